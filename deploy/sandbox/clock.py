"""Wall time for resources, and waiting that a speed-up shortens."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(slots=True)
class Clock:
    """`speed` divides the platform's own delays (webhook retries, reviews), never fault times."""

    speed: float = 1.0
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def scaled(self, seconds: float) -> float:
        return seconds / self.speed

    async def sleep(self, seconds: float) -> bool:
        """Waits real seconds. False when the sandbox is closing, at once."""
        if seconds <= 0:
            return not self.closing.is_set()
        try:
            async with asyncio.timeout(seconds):
                await self.closing.wait()
        except TimeoutError:
            return True
        return False


def whole(moment: datetime) -> datetime:
    """Resources carry whole seconds (PLATFORM §1.3)."""
    return moment.replace(microsecond=0)


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def fine_stamp(moment: datetime) -> str:
    """Events carry fractional seconds (PLATFORM §1.3)."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
