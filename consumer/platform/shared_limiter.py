"""The share of the rate budget that one of several processes has (I10)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from consumer.clock import Clock
from consumer.platform.limiter import LocalLimiter, Priority

NAP = 0.05  # seconds after which whoever is next looks whether the share has changed
LATE = 0.1  # seconds of waiting from which on the share is too small
MARGIN = 1.5  # times the calls of a moment ago: more may come


@dataclass(frozen=True, slots=True)
class Demand:
    """Calls a second that this process has a use for: for shoppers who wait, and for the rest."""

    shoppers: float = 0.0
    others: float = 0.0


class SharedLimiter(LocalLimiter):
    """A `LocalLimiter` whose rate is a share that ends by itself unless it is renewed in time.

    Without a share nobody is let through. `on_pause` is told of every 429, since all must pause.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(1.0, clock)
        self._tokens = 0.0
        self._until = -math.inf
        self._asked_at = clock.monotonic()
        self.on_pause: Callable[[float], None] = lambda _seconds: None

    @property
    def share(self) -> float:
        """Calls a second that this process may make; 0 once its time is over."""
        return self._rate if self._clock.monotonic() < self._until else 0.0

    def renew(self, rate: float, burst: float, until: float) -> None:
        """The share until this monotonic moment. What was saved of an earlier one is kept."""
        self._seconds_to_token()
        self._rate, self._burst, self._until = rate, max(1.0, burst), until
        self._tokens = min(self._tokens, self._burst)

    def pause(self, seconds: float) -> None:
        super().pause(seconds)
        self.on_pause(seconds)

    def heard_pause(self, seconds: float) -> None:
        """Another process was told to pause."""
        super().pause(seconds)

    def shut(self) -> float:
        return max(super().shut(), 0.0 if self.share else NAP)

    @property
    def lacking(self) -> bool:
        """Whether calls wait longer than they should."""
        return any(self._late(priority) for priority in Priority)

    def demand(self, total: float) -> Demand:
        """What this process has a use for, since it was last asked; `total` if calls wait."""
        now = self._clock.monotonic()
        seconds = max(NAP, now - self._asked_at)
        self._asked_at = now
        wanted = {
            p: total if self._late(p) else min(total, MARGIN * self._arrived[p] / seconds)
            for p in Priority
        }
        self._arrived.clear()
        return Demand(wanted[Priority.INTERACTIVE], wanted[Priority.BACKGROUND])

    def _late(self, priority: Priority) -> bool:
        return len(self._queues[priority]) > self.share * LATE

    def _seconds_to_token(self) -> float:
        now = self._clock.monotonic()
        if now >= self._until or self._rate <= 0:
            self._tokens, self._filled_at = 0.0, max(now, self._filled_at)
            return NAP
        return min(NAP, super()._seconds_to_token())
