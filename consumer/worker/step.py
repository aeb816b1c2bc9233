"""One fact and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from consumer.store import work
from consumer.store.commands import Task
from consumer.store.inbox import Entry
from consumer.store.leases import Lease
from handlers.decision import Decision
from schemas.purchase import Purchase
from schemas.results import Result


class Watch(Protocol):
    """Who is told of decisions: logs, metrics, alerts."""

    def decided(
        self, before: Purchase, after: Purchase, entry: Entry, decision: Decision, seconds: float
    ) -> None:
        """A decision was made and stored, in so many seconds."""
        ...

    def buried(self, entry: Entry, reason: str) -> None:
        """A fact became a dead letter."""
        ...

    def alert(self, kind: str, purchase_id: str) -> None:
        """Somebody must look."""
        ...

    def performed(self, task: Task, result: Result) -> None:
        """A command has a result."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """A fact and what comes of it: a decision, or a dead letter with its reason."""

    before: Purchase
    entry: Entry
    now: datetime
    decision: Decision | None = None
    reason: str = ""
    trace: str | None = None

    @property
    def after(self) -> Purchase:
        """The purchase as the next fact finds it."""
        return (
            work.following(self.before, self.decision, self.now) if self.decision else self.before
        )

    def buried(self, reason: str) -> "Step":
        """The same fact as a dead letter."""
        return replace(self, decision=None, reason=f"not stored: {reason}")

    def store(self, connection: Connection, lease: Lease, sinks: Sequence[str]) -> None:
        """Raises `LeaseLost` or `Moved`."""
        if self.decision is None:
            work.bury(connection, self.entry, self.reason)
        else:
            work.save(
                connection,
                self.before,
                self.entry,
                self.decision,
                lease,
                sinks,
                self.now,
                self.trace,
            )

    def tell(self, watch: Watch, seconds: float) -> None:
        """Say that it is stored."""
        if self.decision is None:
            watch.buried(self.entry, self.reason)
        else:
            watch.decided(self.before, self.after, self.entry, self.decision, seconds)
