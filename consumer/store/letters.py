"""Dead letters of both kinds as one list: facts not decided, outcomes not delivered.

Their ids are `inbox-<seq>` and `outcome-<outcome id>-<sink>`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Subquery, literal, select, tuple_, union_all

from consumer.store import inbox, outcomes
from consumer.store.tables import deliveries
from consumer.store.tables import inbox as facts
from consumer.store.tables import outcomes as told
from consumer.store.timeline import readable

Item = dict[str, Any]
LETTER = r"^(inbox-[0-9]{1,18}|outcome-[!-~]+-[a-z]+)$"
_FACT = re.compile(r"inbox-([0-9]{1,18})")
_OUTCOME = re.compile(r"outcome-([!-~]+)-([a-z]+)")


def dead(connection: Connection, limit: int, after: str | None = None) -> list[Item] | None:
    """Dead letters, newest first, those behind `after`; `None` if that can't be an id.

    What is behind a letter can be asked for when that one has been redriven meanwhile.
    """
    listed = _listed()
    place = (listed.c.at, listed.c.seq, listed.c.outcome_id, listed.c.sink)
    query = select(listed).order_by(*(column.desc() for column in place)).limit(limit)
    if after is not None:
        if not re.fullmatch(LETTER, after):
            return None
        known = _place(connection, after)
        if known is None:
            return []
        query = query.where(tuple_(*place) < tuple_(*known, types=[c.type for c in place]))
    return [_item(row) for row in connection.execute(query)]


def _place(connection: Connection, id: str) -> tuple[datetime, int, str, str] | None:
    """Where a letter stands in the list, dead or not."""
    if match := _FACT.fullmatch(id):
        seq = int(match[1])
        at = connection.scalar(select(facts.c.at).where(facts.c.seq == seq))
        return (at, seq, "", "") if at else None
    match = _OUTCOME.fullmatch(id)
    outcome_id, sink = match.groups() if match else ("", "")
    at = connection.scalar(select(told.c.at).where(told.c.id == outcome_id))
    return (at, 0, outcome_id, sink) if at else None


def redrive(connection: Connection, id: str, now: datetime) -> bool:
    """Let a dead letter go its way again; `False` if there is none of this id."""
    if match := _FACT.fullmatch(id):
        return inbox.redrive(connection, int(match[1]))
    if match := _OUTCOME.fullmatch(id):
        return outcomes.redrive(connection, match[1], match[2], now)
    return False


def _listed() -> Subquery:
    undecided = select(
        *(facts.c.at, facts.c.seq, literal("").label("outcome_id"), literal("").label("sink")),
        *(facts.c.origin, facts.c.transport, facts.c.type, facts.c.reason),
        *(facts.c.purchase_id, facts.c.body, literal("").label("text")),
    ).where(facts.c.status == "dead")
    undelivered = (
        select(
            *(told.c.at, literal(0).label("seq"), deliveries.c.outcome_id, deliveries.c.sink),
            *(literal("outcome"), deliveries.c.sink, told.c.type, deliveries.c.reason),
            *(deliveries.c.purchase_id, literal(b"").label("body"), told.c.body),
        )
        .join(told, told.c.id == deliveries.c.outcome_id)
        .where(deliveries.c.status == "dead")
    )
    return union_all(undecided, undelivered).subquery()


def _item(row: Row[Any]) -> Item:
    body = row.body if row.seq else row.text.encode()
    return {
        "id": f"inbox-{row.seq}" if row.seq else f"outcome-{row.outcome_id}-{row.sink}",
        "at": row.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "origin": row.origin,
        "transport": row.transport,
        "type": row.type,
        "reason": row.reason,
        "purchaseId": row.purchase_id,
        "body": readable(body),
    }
