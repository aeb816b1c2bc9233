"""The inbox: every fact, once, before anything is decided."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    insert,
    select,
    update,
)

from consumer.store import dialects
from consumer.store.tables import inbox, unannounced
from schemas.facts import Origin

Status = Literal["new", "parked", "routed", "done", "ignored", "dead"]
Transport = Literal["webhook", "kafka", "backfill", "api", "internal", "cli"]
REDRIVEN = "redriven"  # such a fact counts as fresh, however old it is
Key = tuple[str, str]  # kind and value
KINDS = ("charge", "checkout", "order", "session", "upstream")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A fact on its way in. `body` is the raw bytes; `about` tells two uses of one id apart."""

    origin: Origin
    id: str
    type: str
    transport: Transport
    body: bytes
    about: str = ""
    purchase_id: str | None = None
    trace: str | None = None

    @property
    def digest(self) -> str:
        """What must be equal for the same id to be the same fact: type and object."""
        return hashlib.sha256(f"{self.type}\n{self.about}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the inbox."""

    seq: int
    origin: Origin
    id: str
    type: str
    transport: str
    at: datetime
    body: bytes
    status: Status
    reason: str | None
    purchase_id: str | None
    trace: str | None = None


_INSERT_NEW = dialects.insert_lot(inbox, number="seq", unique=("origin", "id"))


def append(connection: Connection, deliveries: Sequence[Delivery], now: datetime) -> int:
    """Store what is new of these and return how many were.

    The same id again is a duplicate; the same id with another type or object is a dead letter.
    """
    rows = [_row(delivery, now) for delivery in deliveries]
    fresh = _insert_new(connection, rows)
    for delivery in deliveries:
        if (delivery.origin.value, delivery.id) not in fresh:
            _bury_if_conflicting(connection, delivery, now)
    if len(fresh) < len(deliveries):
        dialects.write_something(connection)  # a duplicate is acknowledged as well (I7)
    return len(fresh)


def rounds(deliveries: list[Delivery]) -> Iterator[list[Delivery]]:
    """Rounds in which no id occurs twice: `append` compares with what was stored before it."""
    while deliveries:
        seen: set[tuple[str, str]] = set()
        this_round: list[Delivery] = []
        rest: list[Delivery] = []
        for delivery in deliveries:
            key = (delivery.origin.value, delivery.id)
            (rest if key in seen else this_round).append(delivery)
            seen.add(key)
        yield this_round
        deliveries = rest


def _row(delivery: Delivery, now: datetime) -> dict[str, object]:
    return {
        "origin": delivery.origin.value,
        "id": delivery.id,
        "transport": delivery.transport,
        "type": delivery.type,
        "digest": delivery.digest,
        "at": now,
        "body": delivery.body,
        "status": "routed" if delivery.purchase_id else "new",
        "purchase_id": delivery.purchase_id,
        "trace": delivery.trace,
    }


def _insert_new(connection: Connection, rows: list[dict[str, object]]) -> set[tuple[str, str]]:
    """Origin and id of those that were new."""
    if not rows:
        return set()
    return {(row.origin, row.id) for row in _INSERT_NEW(connection, rows)}


_DIGEST = select(inbox.c.digest).where(
    inbox.c.origin == bindparam("of"), inbox.c.id == bindparam("fact")
)


def _bury_if_conflicting(connection: Connection, delivery: Delivery, now: datetime) -> None:
    known = connection.scalar(_DIGEST, {"of": delivery.origin.value, "fact": delivery.id})
    if known == delivery.digest:
        return
    row = _row(delivery, now) | {
        "id": f"{delivery.id}#{delivery.digest[:16]}",
        "status": "dead",
        "reason": "same id, another type or object",
    }
    if _insert_new(connection, [row]):
        _announce_row(connection, row)


def bury_new(
    connection: Connection, deliveries: Sequence[Delivery], now: datetime, reason: str
) -> int:
    """Store what can't be a fact as dead letters; returns how many are new."""
    rows = [_row(each, now) | {"status": "dead", "reason": reason} for each in deliveries]
    fresh = _insert_new(connection, rows)
    for row in rows:
        if (row["origin"], row["id"]) in fresh:
            _announce_row(connection, row)
    return len(fresh)


def _announce_row(connection: Connection, row: dict[str, object]) -> None:
    _announce(connection, (inbox.c.origin == row["origin"]) & (inbox.c.id == row["id"]))


def _announce(connection: Connection, which: ColumnElement[bool]) -> None:
    """A dead letter is to be announced, once, however often it dies before that."""
    known = select(unannounced.c.seq).where(unannounced.c.seq == inbox.c.seq).exists()
    found = select(inbox.c.seq).where(which, ~known)
    connection.execute(insert(unannounced).from_select(["seq"], found))


def copy(connection: Connection, entry: Entry, purchase_ids: Sequence[str]) -> int:
    """Append an entry's fact for each of these purchases, once; returns how many are new."""
    copies = [
        Delivery(
            *(entry.origin, f"{entry.id}@{purchase_id}", entry.type, "internal", entry.body),
            purchase_id=purchase_id,
            trace=entry.trace,
        )
        for purchase_id in purchase_ids
    ]
    return append(connection, copies, entry.at)


_MARK = update(inbox).where(inbox.c.seq == bindparam("row"))


def mark(
    connection: Connection,
    seq: int,
    status: Status,
    *,
    reason: str | None = None,
    purchase_id: str | None = None,
) -> None:
    """Move a fact on. Its purchase, once known, stays."""
    values: dict[str, object] = {"row": seq, "status": status, "reason": reason and reason[:255]}
    if purchase_id:
        values["purchase_id"] = purchase_id
    connection.execute(_MARK, values)
    if status == "dead":
        _announce(connection, inbox.c.seq == seq)


@dataclass(frozen=True, slots=True)
class Mark:
    """How a fact moves on: `status`, why, and whose it is."""

    seq: int
    status: Status
    reason: str | None = None
    purchase_id: str | None = None


_MOVE = dialects.update_lot(
    inbox, where=("seq", "status"), values=("status", "reason", "purchase_id")
)


def move(connection: Connection, marks: Sequence[Mark], before: Status) -> bool:
    """Move on facts that all have the status `before`; `False` if one of them has it no more:
    then nothing of the transaction may be kept."""
    rows = [
        {
            "of_seq": mark.seq,
            "of_status": before,
            "status": mark.status,
            "reason": mark.reason and mark.reason[:255],
            "purchase_id": mark.purchase_id,
        }
        for mark in marks
    ]
    if _MOVE(connection, rows) != len(rows):
        return False
    if dead := [mark.seq for mark in marks if mark.status == "dead"]:
        _announce(connection, inbox.c.seq.in_(dead))
    return True


def redrive(connection: Connection, seq: int) -> bool:
    """Route a dead letter again, as fresh; `False` if there is none with this number."""
    ours = inbox.c.origin == Origin.OPERATOR.value  # not for the router
    again = (
        update(inbox)
        .where(inbox.c.seq == seq, inbox.c.status == "dead")
        .values(
            status=case((inbox.c.purchase_id.is_(None) & ~ours, "new"), else_="routed"),
            reason=REDRIVEN,
        )
    )
    return connection.execute(again).rowcount == 1
