"""What really happened: append-only, written by the sandbox alone."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Entry = dict[str, Any]


@dataclass(slots=True)
class Ledger:
    """`submissions` get their answer filled in once; nothing else is ever changed."""

    charge_attempts: list[Entry] = field(default_factory=list)
    submissions: list[Entry] = field(default_factory=list)
    dead_touches: list[Entry] = field(default_factory=list)
    late_commits: list[Entry] = field(default_factory=list)
    cancels: list[Entry] = field(default_factory=list)
    late_payments: list[Entry] = field(default_factory=list)
    provider_visits: list[Entry] = field(default_factory=list)
    requests: int = 0
    rate_limited: int = 0
    webhooks: Counter[str] = field(default_factory=Counter)

    def view(self, orders: list[Entry]) -> Entry:
        names = ("sent", "acknowledged", "failed", "doubled", "lost", "delayed", "reordered",
                 "retried", "disabled")  # fmt: skip
        return {
            "orders": orders,
            "chargeAttempts": self.charge_attempts,
            "submissions": self.submissions,
            "deadTouches": self.dead_touches,
            "lateCommits": self.late_commits,
            "cancels": self.cancels,
            "latePayments": self.late_payments,
            "providerVisits": self.provider_visits,
            "rateLimited": self.rate_limited,
            "requests": self.requests,
            "webhooks": {name: self.webhooks[name] for name in names},
        }
