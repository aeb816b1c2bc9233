"""Time as a dependency: the system's here, the simulation's in its tests."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for facts, monotonic seconds for deadlines, and a way to wait."""

    def now(self) -> datetime:
        """The current moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less only yields to other tasks."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class SharedClock:
    """The wall clock of the database, carried on by this machine's monotonic one.

    So all processes on a database agree about leases and due times, whatever their machines'
    clocks show. `set` keeps it right; until then it is the machine's own.
    """

    def __init__(self, machine: Clock) -> None:
        self._machine = machine
        self._shown = machine.now()
        self._read_at = machine.monotonic()

    def set(self, shown: datetime, asked: float, answered: float) -> float:
        """Take over what the database showed between two monotonic moments.

        Returns the seconds by which the machine's clock is ahead of it.
        """
        self._shown, self._read_at = shown, (asked + answered) / 2
        return (self._machine.now() - self.now()).total_seconds()

    def now(self) -> datetime:
        return self._shown + timedelta(seconds=self._machine.monotonic() - self._read_at)

    def monotonic(self) -> float:
        return self._machine.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._machine.sleep(seconds)
