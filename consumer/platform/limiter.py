"""The rate budget (I10): a token bucket with two queues."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from consumer.clock import Clock

TURNS = 9  # calls for shoppers while others wait; the tenth is for those


class Priority(IntEnum):
    """Who goes first: a shopper who waits, then everything else."""

    INTERACTIVE = 0
    BACKGROUND = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to make one call, until this monotonic moment; `waited` so many seconds for."""

    until: float
    waited: float = 0.0


class Limiter(Protocol):
    """For one process (`LocalLimiter`), or its share of what several have (`SharedLimiter`)."""

    async def acquire(self, priority: Priority = Priority.INTERACTIVE) -> float:
        """Wait for the right to make one call; returns the seconds waited."""
        ...

    def pause(self, seconds: float) -> None:
        """Let nobody through for so long: the platform answered 429 (PLATFORM §1.5)."""
        ...

    def shut(self) -> float:
        """Seconds for which certainly nobody is let through."""
        ...


@dataclass(eq=False, slots=True)
class _Ticket:
    priority: Priority
    turn: asyncio.Event = field(default_factory=asyncio.Event)


class LocalLimiter:
    """A token bucket for one process: `rate` calls a second, at most `burst` at once.

    First come, first served within a priority; of ten calls one is for those in the background,
    if any wait. Cancelling a waiter gives its place to the next one and takes no token. A pause
    never shortens an earlier one, and ends without a burst.
    """

    def __init__(self, rate: float, clock: Clock, burst: float | None = None) -> None:
        if not rate > 0:
            raise ValueError("the rate is calls a second and must be above zero")
        self._rate = rate
        # The platform counts whole seconds: a tenth of one keeps 80 % plus burst below 100 %.
        self._burst = max(1.0, rate / 10 if burst is None else burst)
        self._clock = clock
        self._tokens = self._burst
        self._filled_at = clock.monotonic()  # in the future while paused
        self._queues: dict[Priority, deque[_Ticket]] = {p: deque() for p in Priority}
        self._ahead = 0  # calls for shoppers since somebody in the background waits
        self._arrived: Counter[Priority] = Counter()

    @property
    def waiting(self) -> int:
        """How many calls wait now."""
        return sum(len(queue) for queue in self._queues.values())

    @property
    def share(self) -> float:
        """Calls a second that this process may make."""
        return self._rate

    async def acquire(self, priority: Priority = Priority.INTERACTIVE) -> float:
        arrived = self._clock.monotonic()
        ticket = _Ticket(priority)
        queue = self._queues[priority]
        queue.append(ticket)
        self._arrived[priority] += 1
        try:
            await self._until_served(ticket)
        finally:
            queue.remove(ticket)
            self._call_next()
        return self._clock.monotonic() - arrived

    def pause(self, seconds: float) -> None:
        until = self._clock.monotonic() + max(0.0, seconds)
        if until > self._filled_at:
            self._tokens = 0.0
            self._filled_at = until

    def shut(self) -> float:
        return max(0.0, self._filled_at - self._clock.monotonic())

    async def _until_served(self, ticket: _Ticket) -> None:
        while True:
            if self._head() is not ticket:
                ticket.turn.clear()
                await ticket.turn.wait()
                continue
            seconds = self._seconds_to_token()
            if seconds <= 0:
                self._tokens -= 1.0
                self._count(ticket.priority)
                return
            # May oversleep its turn at the head; the loop looks again before taking anything.
            await self._clock.sleep(seconds)

    def _count(self, served: Priority) -> None:
        overtaken = served is Priority.INTERACTIVE and self._queues[Priority.BACKGROUND]
        self._ahead = self._ahead + 1 if overtaken else 0

    def _head(self) -> _Ticket | None:
        shoppers, others = self._queues.values()
        first, second = (others, shoppers) if self._ahead >= TURNS else (shoppers, others)
        return next((queue[0] for queue in (first, second) if queue), None)

    def _call_next(self) -> None:
        head = self._head()
        if head is not None:
            head.turn.set()

    def _seconds_to_token(self) -> float:
        now = self._clock.monotonic()
        if now > self._filled_at:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
            self._filled_at = now
        # Rounding must not leave a sleep too short for the clock to show.
        if self._tokens >= 1.0 - 1e-6:
            return 0.0
        return (self._filled_at - now) + (1.0 - self._tokens) / self._rate
