"""Real services without the second that their imports take: forked from one process."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


@dataclass
class Nursery:
    """The process that forks. Orders are one line each, answered in order."""

    process: subprocess.Popen[str]

    def fork(self, environ: dict[str, str], folder: Path, log: Path) -> "Child":
        """A new service, which appends its output to `log`."""
        order = {"environ": environ, "folder": str(folder), "log": str(log)}
        return Child(self, self.obeys(order))

    def obeys(self, order: dict[str, Any]) -> Any:
        """What it answers."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@dataclass
class Child:
    """A forked service, as far as `subprocess.Popen` has the same methods."""

    nursery: Nursery
    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or `None` while it runs."""
        if self.returncode is None:
            self.returncode = self.nursery.obeys({"poll": self.pid})
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing happens if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@cache
def nursery() -> Nursery:
    """The one of this test process; it ends with its standard input."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith("ORDER_RESCUE_")}
    process = subprocess.Popen(
        (sys.executable, "-m", "tests.shell.service.forked_service"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=clean | {"PYTHONWARNINGS": "default"},
    )
    return Nursery(process)
