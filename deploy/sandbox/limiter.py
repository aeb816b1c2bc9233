"""Requests per second and key (PLATFORM §1.5): refused before anything is processed."""

from dataclasses import dataclass, field
from time import monotonic

LIVE_RATE = 250.0
TEST_RATE = 25.0
RETRY_AFTER = 2  # seconds; SANDBOX-CHOICE of PLATFORM §7.2


def is_live(key: str) -> bool:
    return not key.startswith("sk_test_")


@dataclass(slots=True)
class Bucket:
    rate: float
    level: float
    at: float

    def take(self, now: float) -> bool:
        self.level = min(self.rate, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


@dataclass(slots=True)
class Limiter:
    """A bucket for each key, one second deep. `rate` replaces both documented rates."""

    rate: float | None = None
    buckets: dict[str, Bucket] = field(default_factory=dict)

    def allows(self, key: str) -> bool:
        now = monotonic()
        if key not in self.buckets:
            rate = self.rate or (LIVE_RATE if is_live(key) else TEST_RATE)
            self.buckets[key] = Bucket(rate, rate, now)
        return self.buckets[key].take(now)
