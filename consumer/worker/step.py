"""One fact and what comes of it, and who is told."""

from datetime import datetime
from typing import Protocol

from consumer.store import work
from consumer.store.commands import Task
from consumer.store.facts import Undecidable, decoded
from consumer.store.inbox import Entry
from consumer.store.work import Step
from handlers.decide import decide
from handlers.decision import Decision, Moment
from handlers.policy import Policy
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


def step(
    purchase: Purchase, entry: Entry, epoch: int, now: datetime, policy: Policy, trace: str | None
) -> Step:
    """What comes of one fact; one that can't be decided becomes a dead letter."""
    try:
        moment = Moment(now=now, at=entry.at, epoch=epoch)
        decision = decide(purchase, decoded(entry), moment, policy)
    except Undecidable as error:
        return buried(purchase, entry, now, str(error))
    except Exception as error:  # noqa: BLE001 - one fact must not stop the others; it is shown
        return buried(purchase, entry, now, f"no decision: {type(error).__name__}")
    after = work.following(purchase, decision, now)
    return Step(purchase, after, entry, now, decision, trace=entry.trace or trace)


def buried(purchase: Purchase, entry: Entry, now: datetime, reason: str) -> Step:
    """A fact as a dead letter."""
    return Step(purchase, purchase, entry, now, reason=reason)


def tell(step: Step, watch: Watch, seconds: float) -> None:
    """Say that it is stored, in so many seconds."""
    if step.decision is None:
        watch.buried(step.entry, step.reason)
    else:
        watch.decided(step.before, step.after, step.entry, step.decision, seconds)
