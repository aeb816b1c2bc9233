"""wrk: the load, and what it saw."""

import asyncio
import json
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import Load

SCRIPT = Path(__file__).with_name("wrk.lua")
LONGEST = 20  # seconds that an answer may take and still be measured
PATH = "/webhooks/digital-river"


class Broken(Exception):
    """A row could not be measured."""


@dataclass(frozen=True)
class Seen:
    """What one run saw. Latencies in seconds; `statuses` only where they were asked for."""

    requests: int
    seconds: float
    p50: float
    p99: float
    slowest: float
    failed: int
    timeouts: int
    sockets: int
    ran_out: bool
    statuses: dict[str, int]

    @property
    def rate(self) -> float:
        """Answers a second, all of them good ones."""
        return (self.requests - self.failed) / self.seconds


async def run(
    url: str,
    load: Load,
    *,
    seconds: float,
    connections: int = 32,
    rate: float = 0.0,
    wrap: bool = False,
    statuses: bool = False,
) -> Seen:
    """Send the load's events; without `wrap` each once at most."""
    if shutil.which("wrk") is None:
        raise Broken("there is no wrk on this machine. On Debian and Ubuntu: apt install wrk")
    command = [
        *("wrk", "--threads", "1", "--connections", str(connections)),
        *("--duration", f"{max(1, round(seconds))}s", "--timeout", f"{LONGEST}s"),
        *("--script", str(SCRIPT), url, "--", str(load.template), str(load.events), PATH),
        *(f"{rate:f}", "wrap" if wrap else "once"),
    ]
    environment = dict(os.environ) | ({"BENCH_STATUSES": "1"} if statuses else {})
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said = await _said(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or "BENCH " not in said:
        raise Broken(f"wrk: {said.strip()[-500:]}")
    return _read(json.loads(said.rpartition("BENCH ")[2]))


async def _said(process: asyncio.subprocess.Process) -> str:
    """All that it says. Once it has nothing left to send it is told to end: it would wait."""
    assert process.stdout is not None
    said = ""
    async for line in process.stdout:
        said += line.decode()
        if line.strip() == b"RAN OUT":
            process.send_signal(signal.SIGINT)
    await process.wait()
    return said


def _read(found: dict[str, float | str]) -> Seen:
    words = [word.partition("=") for word in str(found["statuses"]).split()]
    return Seen(
        requests=int(found["requests"]),
        seconds=float(found["micros"]) / 1e6,
        p50=float(found["p50"]) / 1e6,
        p99=float(found["p99"]) / 1e6,
        slowest=float(found["max"]) / 1e6,
        failed=int(found["failed"]),
        timeouts=int(found["timeouts"]),
        sockets=int(found["sockets"]),
        ran_out=bool(found["ran_out"]),
        statuses={status: int(count) for status, _, count in words},
    )
