"""`python -m tests.crash.killed_service`: starts the real service, which kills itself at a commit.

A nursery: everything is imported once, then each line of standard input makes one process by
fork, which runs `order-rescue serve` as the command line does. That saves the second that the
imports take, hundreds of times. A line is `{"environ": {…}, "folder": …, "log": …}`; the answer
is the process's number.

In the new process only SQLAlchemy's `do_commit` is wrapped: it adds one byte to the file
`KILL_COUNT` for each commit, and at commit number `KILL_AT` the process sends itself SIGKILL,
`before` or `after` the database has it (`KILL_SIDE`). Nothing of ours is touched.
"""

import json
import os
import signal
import sys
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

import consumer.app
import consumer.cli.serving
from consumer.cli import main as command_line

IMPORTED = (consumer.app, consumer.cli.serving)  # before the first fork, not after each


def die_at(number: int, side: str, count: str) -> None:
    """Wrap the one place through which every commit of SQLAlchemy goes."""
    commit = DefaultDialect.do_commit
    tally = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    done = 0

    def do_commit(dialect: DefaultDialect, connection: Any) -> None:
        nonlocal done
        done += 1
        os.write(tally, b".")
        if (done, side) == (number, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        commit(dialect, connection)  # type: ignore[no-untyped-call]  # SQLAlchemy's own
        if (done, side) == (number, "after"):
            os.kill(os.getpid(), signal.SIGKILL)

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]  # the whole point


def become_service(order: dict[str, Any]) -> int:
    """In the new process: its own folder, environment and log; then the command line."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, place)
    os.chdir(order["folder"])
    os.environ.update(order["environ"])
    if "KILL_COUNT" in os.environ:
        at, side = int(os.environ.get("KILL_AT", "0")), os.environ.get("KILL_SIDE", "")
        die_at(at, side, os.environ["KILL_COUNT"])
    try:
        return command_line(["serve"])
    except SystemExit as ended:
        return int(ended.code or 0)


def main() -> None:
    """Fork for every order until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead vanish by themselves
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(become_service(json.loads(line)))
        print(child, flush=True)


if __name__ == "__main__":
    main()
