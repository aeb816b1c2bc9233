"""`python -m tests.shell.service.forked_service`: real services, forked from one process.

Everything is imported once, then each order on standard input is answered by one line. `{"environ":
{…}, "folder": …, "log": …}` makes a process that runs `order-rescue serve` as the command line
does, and is answered with its number; that saves the second that the imports take, hundreds of
times. `{"poll": number}` is answered with the exit code, negative for a signal, or `null`.

With `KILL_COUNT` in its environment a process has SQLAlchemy's `do_commit` wrapped: it adds one
byte to that file for each commit, and at commit number `KILL_AT` the process sends itself SIGKILL,
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


def answer(order: dict[str, Any]) -> int | None:
    """Fork, or tell how a process ended; in the forked process it does not return."""
    if "poll" in order:
        ended, status = os.waitpid(order["poll"], os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None
    child = os.fork()
    if child == 0:
        os._exit(become_service(order))
    return child


def main() -> None:
    """Obey until standard input ends."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
