"""Services that are forked from one process with everything imported, and killed by number."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.shell.service.serving import until

ROOT = Path(__file__).parents[2]


@dataclass
class Nursery:
    """The process that forks. Orders are one line each, answered in order."""

    process: subprocess.Popen[str]

    def fork(self, environ: dict[str, str], folder: Path, log: Path) -> int:
        """A new service; its process number."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {"environ": environ, "folder": str(folder), "log": str(log)}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery until the block ends."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith("ORDER_RESCUE_")}
    with subprocess.Popen(
        (sys.executable, "-m", "tests.crash.killed_service"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=clean,
    ) as process:
        yield Nursery(process)


@dataclass
class Mortal:
    """A service that may die, and starts again on the same database."""

    nursery: Nursery
    folder: Path
    settings: dict[str, str]
    url: str = ""
    pid: int = 0
    lives: int = 0
    _read_from: int = field(default=0)

    @property
    def log(self) -> Path:
        """Standard error of all its lives."""
        return self.folder / "service.log"

    @property
    def commits(self) -> int:
        """How many commits its first life has begun."""
        count = self.folder / "commits"
        return count.stat().st_size if count.exists() else 0

    def alive(self) -> bool:
        """Whether the process is there."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def launch(self, *, kill_at: int = 0, side: str = "") -> None:
        """Start a life; the first one counts its commits, and ends at this one."""
        environ = {f"ORDER_RESCUE_{name}": value for name, value in self.settings.items()}
        if not self.lives:
            environ["KILL_COUNT"] = str(self.folder / "commits")
            environ |= {"KILL_AT": str(kill_at), "KILL_SIDE": side}
        self.lives += 1
        self.log.touch()
        self._read_from = self.log.stat().st_size
        self.pid = self.nursery.fork(environ, self.folder, self.log)

    async def serves(self) -> bool:
        """Wait until it announces its address, or is dead."""
        await until(lambda: self._announced() or not self.alive(), 30.0, "serving")
        self.url = self._announced() or self.url
        return self.alive()

    def _announced(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._read_from)
            fresh = log.read().decode()
        for line in fresh.splitlines(keepends=True):
            if line.endswith("\n") and '"serving"' in line:
                return str(json.loads(line)["url"])
        return ""

    async def kill(self) -> None:
        """SIGKILL, if it still lives."""
        if self.pid and self.alive():
            os.kill(self.pid, signal.SIGKILL)
            await until(lambda: not self.alive(), 10.0, "dead")

    def complaints(self) -> list[dict[str, Any]]:
        """Errors in its log. An alert is none: a person is told of an answer in no table."""
        found = []
        for line in self.log.read_text().splitlines():
            told = json.loads(line)
            if told["level"] in ("error", "critical") and told["event"] != "alert":
                found.append(told)
        return found


async def brief() -> None:
    """Before asking a real process again."""
    await asyncio.sleep(0.1)
