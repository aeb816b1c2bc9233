"""How much waits, and since when: for the gauges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from consumer.store import entries, marks, outcomes
from consumer.store.links import UNRESOLVED
from consumer.store.tables import inbox as facts
from consumer.store.tables import purchases


@dataclass(frozen=True, slots=True)
class Levels:
    """`purchases` counts those that have not ended by state and reason; `oldest` is when the
    oldest of each state began; `caught_up` the mark of `consumer.catch_up`; `undelivered` counts
    outcomes by the sink that they wait for."""

    inbox: int
    parked: int
    purchases: dict[tuple[str, str | None], int]
    oldest: dict[str, datetime | None]
    caught_up: datetime | None
    undelivered: dict[str, int]


def levels(connection: Connection) -> Levels:
    """All of it as it is now."""
    states = purchases.c.state.in_(UNRESOLVED)
    counted = connection.execute(
        select(purchases.c.state, purchases.c.reason, func.count())
        .where(states)
        .group_by(purchases.c.state, purchases.c.reason)
    )
    parked = select(func.count()).where(facts.c.status == "parked")
    return Levels(
        inbox=entries.depth(connection),
        parked=connection.scalar(parked) or 0,
        purchases={(state, reason): number for state, reason, number in counted},
        oldest={state: _oldest(connection, state) for state in UNRESOLVED},
        caught_up=marks.at(connection, marks.CAUGHT_UP),
        undelivered=outcomes.waiting(connection),
    )


def _oldest(connection: Connection, state: str) -> datetime | None:
    """Ids rise with time, so the index on state and id finds it."""
    return connection.scalar(
        select(purchases.c.created_at)
        .where(purchases.c.state == state)
        .order_by(purchases.c.id)
        .limit(1)
    )
