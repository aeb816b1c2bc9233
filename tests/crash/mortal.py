"""A service that is killed by number, and starts again on its database."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.shell.service.nursery import Child, nursery
from tests.shell.service.serving import until


@dataclass
class Mortal:
    """A service that may die, and starts again on the same database."""

    folder: Path
    settings: dict[str, str]
    url: str = ""
    process: Child | None = None
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
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def launch(self, *, kill_at: int = 0, side: str = "") -> None:
        """Start a life; the first one counts its commits, and ends at this one."""
        environ = {f"ORDER_RESCUE_{name}": value for name, value in self.settings.items()}
        if not self.lives:
            environ["KILL_COUNT"] = str(self.folder / "commits")
            environ |= {"KILL_AT": str(kill_at), "KILL_SIDE": side}
        self.lives += 1
        self.log.touch()
        self._read_from = self.log.stat().st_size
        self.process = nursery().fork(environ, self.folder, self.log)

    async def serves(self) -> bool:
        """Wait until it announces its address, or is dead."""
        async with asyncio.timeout(30.0):
            while not self._announced() and self.alive():
                await brief()
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
        if self.process is not None:
            self.process.kill()
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
