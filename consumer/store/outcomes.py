"""Outcomes and their deliveries: one row per outcome and sink."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, select, update

from consumer.store.tables import deliveries, outcomes
from schemas.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Delivery:
    """An outcome on its way to one sink."""

    outcome_id: str
    sink: str
    purchase_id: str
    sequence: int
    attempts: int
    body: str

    def trace_headers(self) -> dict[str, str]:
        """The trace that it belongs to, if it does, as a header beside the CloudEvent's own."""
        trace = json.loads(self.body).get("traceparent")
        return {"traceparent": trace} if trace else {}


_EMIT = insert(outcomes)
_DELIVER = insert(deliveries).values(status="waiting", attempts=0)


def emit(
    connection: Connection, told: Sequence[Outcome], sinks: Sequence[str], now: datetime
) -> None:
    """Store outcomes, and of each a delivery for every sink."""
    if not told:
        return
    connection.execute(_EMIT, [_columns(outcome, now) for outcome in told])
    if sinks:
        connection.execute(
            _DELIVER, [_due(outcome, now) | {"sink": sink} for outcome in told for sink in sinks]
        )


def _columns(outcome: Outcome, now: datetime) -> dict[str, object]:
    return {
        "id": outcome.id,
        "purchase_id": outcome.subject,
        "sequence": int(outcome.sequence),
        "type": outcome.type,
        "at": now,
        "body": outcome.model_dump_json(by_alias=True, exclude=_absent(outcome)),
    }


def _due(outcome: Outcome, now: datetime) -> dict[str, object]:
    return {
        "outcome_id": outcome.id,
        "purchase_id": outcome.subject,
        "sequence": int(outcome.sequence),
        "due": now,
    }


def _absent(outcome: Outcome) -> set[str]:
    """A CloudEvent has no attribute without a value."""
    return set() if outcome.traceparent else {"traceparent"}


_first = (
    select(deliveries.c.purchase_id, func.min(deliveries.c.sequence).label("sequence"))
    .where(deliveries.c.sink == bindparam("to"), deliveries.c.status == "waiting")
    .group_by(deliveries.c.purchase_id)
    .subquery()
)
_DUE = (
    select(
        *(deliveries.c.outcome_id, deliveries.c.sink, deliveries.c.purchase_id),
        *(deliveries.c.sequence, deliveries.c.attempts, outcomes.c.body),
    )
    .join(outcomes, outcomes.c.id == deliveries.c.outcome_id)
    .join(
        _first,
        (_first.c.purchase_id == deliveries.c.purchase_id)
        & (_first.c.sequence == deliveries.c.sequence),
    )
    .where(deliveries.c.sink == bindparam("to"), deliveries.c.due <= bindparam("now"))
    .order_by(deliveries.c.due)
    .limit(bindparam("limit"))
)


def due(connection: Connection, sink: str, now: datetime, limit: int) -> list[Delivery]:
    """Of every purchase its oldest waiting delivery, where that is due: order within a purchase."""
    rows = connection.execute(_DUE, {"to": sink, "now": now, "limit": limit})
    return [Delivery(*row) for row in rows]


_SETTLE = update(deliveries).where(
    deliveries.c.outcome_id == bindparam("outcome"),
    deliveries.c.sink == bindparam("to"),
    deliveries.c.status != "sent",  # a slow attempt that failed does not undo another's success
)


def settle(
    connection: Connection,
    delivery: Delivery,
    status: str,
    *,
    due: datetime,
    reason: str | None = None,
) -> None:
    """Record an attempt: `sent`, `waiting` until `due`, or `dead` with its reason."""
    connection.execute(
        _SETTLE,
        {
            "outcome": delivery.outcome_id,
            "to": delivery.sink,
            "status": status,
            "attempts": delivery.attempts + 1,
            "due": due,
            "reason": reason,
        },
    )


_WAITING = (
    select(deliveries.c.sink, func.count())
    .where(deliveries.c.status == "waiting")
    .group_by(deliveries.c.sink)
)


def waiting(connection: Connection) -> dict[str, int]:
    """How many deliveries each sink has still to take; those that have none are not named."""
    return {sink: number for sink, number in connection.execute(_WAITING)}


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A given-up delivery, as a dead letter."""

    outcome_id: str
    sink: str
    at: datetime
    type: str
    reason: str | None
    purchase_id: str
    body: str


def undelivered(connection: Connection, limit: int) -> list[Undelivered]:
    """Given-up deliveries, newest first."""
    rows = connection.execute(
        select(
            *(deliveries.c.outcome_id, deliveries.c.sink, outcomes.c.at, outcomes.c.type),
            *(deliveries.c.reason, deliveries.c.purchase_id, outcomes.c.body),
        )
        .join(outcomes, outcomes.c.id == deliveries.c.outcome_id)
        .where(deliveries.c.status == "dead")
        .order_by(outcomes.c.at.desc(), outcomes.c.sequence.desc())
        .limit(limit)
    )
    return [Undelivered(*row) for row in rows]


def redrive(connection: Connection, outcome_id: str, sink: str, now: datetime) -> bool:
    """Send a given-up delivery again, with the same id and sequence."""
    changed = connection.execute(
        update(deliveries)
        .where(
            deliveries.c.outcome_id == outcome_id,
            deliveries.c.sink == sink,
            deliveries.c.status == "dead",
        )
        .values(status="waiting", attempts=0, due=now, reason=None)
    )
    return changed.rowcount == 1


@dataclass(frozen=True, slots=True)
class Emitted:
    """An outcome as the timeline shows it."""

    id: str
    at: datetime
    type: str
    sequence: int


def of_purchase(connection: Connection, purchase_id: str) -> list[Emitted]:
    """All outcomes of a purchase, oldest first."""
    rows = connection.execute(
        select(outcomes.c.id, outcomes.c.at, outcomes.c.type, outcomes.c.sequence)
        .where(outcomes.c.purchase_id == purchase_id)
        .order_by(outcomes.c.sequence)
    )
    return [Emitted(*row) for row in rows]
