"""The real service as a process of its own, on its own database, and what it logged."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.shell.service.nursery import Child, nursery

KEY = "sk_live_service"
WEBHOOK_SECRET = "whsec_service"
SHOP, OPS, READ = "shop-token-1", "ops-token-1", "read-token-1"
SERVE = (sys.executable, "-m", "consumer", "serve")
SETTINGS = {
    "PLATFORM_KEY": KEY,
    "PLATFORM_SETTLE": "1.5",
    "PLATFORM_TIMEOUT": "2",
    "PLATFORM_RATE": "240",
    "WEBHOOK_SECRETS": WEBHOOK_SECRET,
    "API_TOKENS": f"shop:shop:{SHOP},ops:operator:{OPS},read:read:{READ}",
    "PORT": "0",
}


async def until(condition: Callable[[], Any], seconds: float = 15.0, what: str = "") -> Any:
    """What the condition returns once that is true; a real process sets the pace."""
    try:
        async with asyncio.timeout(seconds):
            while not (found := condition()):  # noqa: ASYNC110  # the deadline is above
                await asyncio.sleep(0.01)
            return found
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what or condition}") from None


async def eventually(
    condition: Callable[[], Awaitable[Any]], seconds: float = 10.0, what: str = ""
) -> Any:
    """The same for a condition that must be asked for."""
    try:
        async with asyncio.timeout(seconds):
            while not (found := await condition()):  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.02)
            return found
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what or condition}") from None


@dataclass
class Service:
    """A process that can be started, stopped, killed and started again on the same database.

    `settings` are those of the service without their prefix, `environ` anything else. Without a
    `program`, which is slower, it is forked from a process that has everything imported.
    """

    folder: Path
    settings: dict[str, str]
    environ: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | Child | None = None
    url: str = ""
    _read_from: int = 0

    @property
    def log(self) -> Path:
        """Standard error of all its lives."""
        return self.folder / "service.log"

    def lines(self) -> list[dict[str, Any]]:
        """The log, parsed; a line that is no JSON is a defect that fails the test."""
        text = self.log.read_text()
        return [json.loads(line) for line in text.splitlines() if line]

    def launch(self) -> subprocess.Popen[bytes] | Child:
        """Start the process, without waiting until it serves."""
        variables = {f"ORDER_RESCUE_{name}": value for name, value in self.settings.items()}
        self.log.touch()
        self._read_from = self.log.stat().st_size
        if self.program:
            self.process = self._run(self.environ | variables)
        else:
            self.process = nursery().fork(self.environ | variables, self.folder, self.log)
        return self.process

    def _run(self, variables: dict[str, str]) -> subprocess.Popen[bytes]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith("ORDER_RESCUE_")}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.program,
                env=kept | {"PYTHONWARNINGS": "default"} | variables,
                stderr=log,
                stdout=log,
                cwd=self.folder,
            )

    async def start(self, seconds: float = 30.0) -> None:
        """Start it and wait until it serves; `url` is where."""
        process = self.launch()
        found = await until(
            lambda: self._announced() or (process.poll() is not None and "ended"),
            seconds,
            "serving",
        )
        assert found != "ended", self.log.read_text()[-2000:]
        self.url = found

    def _announced(self) -> str:
        """The address in the line `serving` of this life."""
        fresh = self.log.read_bytes()[self._read_from :].decode()
        for line in fresh.splitlines(keepends=True):
            if line.endswith("\n") and '"serving"' in line:
                return str(json.loads(line)["url"])
        return ""

    async def ended(self, seconds: float = 15.0) -> int:
        """Wait for the process to end by itself; its exit code."""
        process = self.process
        assert process is not None
        await until(lambda: process.poll() is not None, seconds, "the process ends")
        assert process.returncode is not None
        return process.returncode

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await self.ended(20.0)

    async def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            await self.ended()
