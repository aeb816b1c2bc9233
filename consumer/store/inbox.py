"""The inbox: every fact, once, before anything is decided."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from consumer.store import dialects, leases
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


def newest(connection: Connection) -> int:
    """The highest row number, or 0."""
    return connection.scalar(select(func.max(inbox.c.seq))) or 0


def dead_since(connection: Connection, seq: int) -> int:
    """How many dead letters came after this row."""
    found = select(func.count()).where(inbox.c.seq > seq, inbox.c.status == "dead")
    return connection.scalar(found) or 0


def first_heard(connection: Connection) -> datetime | None:
    """When the first event of the platform was stored."""
    platform = inbox.c.origin == Origin.PLATFORM.value
    return connection.scalar(select(inbox.c.at).where(platform).order_by(inbox.c.seq).limit(1))


def last_heard(connection: Connection) -> dict[str, datetime]:
    """When the platform's events last came, by transport; where none has come: nothing."""
    found: dict[str, datetime] = {}
    for transport in ("webhook", "kafka", "backfill"):
        such = (inbox.c.origin == Origin.PLATFORM.value) & (inbox.c.transport == transport)
        newest_first = select(inbox.c.at).where(such).order_by(inbox.c.seq.desc()).limit(1)
        if at := connection.scalar(newest_first):
            found[transport] = at
    return found


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


_ENTRIES = (
    select(
        *(inbox.c.seq, inbox.c.origin, inbox.c.id, inbox.c.type, inbox.c.transport, inbox.c.at),
        *(inbox.c.body, inbox.c.status, inbox.c.reason, inbox.c.purchase_id, inbox.c.trace),
    )
    .order_by(inbox.c.seq)
    .limit(bindparam("limit"))
)
_UNROUTED = _ENTRIES.where(inbox.c.status == "new")
_UNDECIDED = _ENTRIES.where(
    inbox.c.purchase_id == bindparam("purchase"), inbox.c.status == "routed"
)


def unrouted(connection: Connection, limit: int) -> list[Entry]:
    """The oldest facts that have no purchase yet."""
    return _entries(connection, _UNROUTED, limit)


_ANY_UNROUTED = select(inbox.c.seq).where(inbox.c.status == "new").limit(1)


def any_unrouted(connection: Connection) -> bool:
    """Whether a fact has no purchase yet."""
    return connection.execute(_ANY_UNROUTED).first() is not None


def undecided(connection: Connection, purchase_id: str, limit: int = 50) -> list[Entry]:
    """The oldest facts of a purchase that wait for a decision."""
    return _entries(connection, _UNDECIDED, limit, purchase=purchase_id)


_UNDECIDED_OF = dialects.lookup(
    lambda among: _ENTRIES.where(among(inbox.c.purchase_id), inbox.c.status == "routed")
)


def undecided_of(
    connection: Connection, purchase_ids: Sequence[str], limit: int
) -> tuple[dict[str, list[Entry]], bool]:
    """The oldest facts of these purchases that wait for a decision, and whether those are all."""
    found: dict[str, list[Entry]] = {}
    rows = _UNDECIDED_OF(connection, purchase_ids, limit=limit).all()
    for seq, origin, *rest in rows:
        entry = Entry(seq, Origin(origin), *rest)
        found.setdefault(entry.purchase_id or "", []).append(entry)
    return found, len(rows) < limit


def entry(connection: Connection, seq: int) -> Entry | None:
    """One row."""
    return oldest(connection, inbox.c.seq == seq)


def oldest(connection: Connection, which: ColumnElement[bool]) -> Entry | None:
    """The first of these rows."""
    return next(iter(_entries(connection, _ENTRIES.where(which), 1)), None)


def _entries(
    connection: Connection, query: Select[Any], limit: int, **values: object
) -> list[Entry]:
    rows = connection.execute(query, {"limit": limit, **values})
    return [Entry(seq, Origin(origin), *rest) for seq, origin, *rest in rows]


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


def dead(connection: Connection, limit: int, before: int | None = None) -> list[Entry]:
    """Dead letters, newest first, from below the row number `before`."""
    rows = select(inbox.c.seq).where(inbox.c.status == "dead")
    if before is not None:
        rows = rows.where(inbox.c.seq < before)
    wanted = rows.order_by(inbox.c.seq.desc()).limit(limit)
    found = _entries(connection, _ENTRIES.where(inbox.c.seq.in_(wanted)), limit)
    return list(reversed(found))


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


def of_rows(connection: Connection, seqs: Sequence[int]) -> list[Entry]:
    """The facts in these rows, oldest first."""
    return _entries(connection, _ENTRIES.where(inbox.c.seq.in_(seqs)), max(1, len(seqs)))


def of_purchase(connection: Connection, purchase_id: str) -> list[Entry]:
    """All facts of a purchase, oldest first."""
    mine = _ENTRIES.where(inbox.c.purchase_id == purchase_id)
    return _entries(connection, mine, 10_000)


_WAITING_PURCHASES = (
    select(inbox.c.purchase_id)
    .where(
        inbox.c.status == "routed",
        inbox.c.purchase_id.is_not(None),
        not_(leases.out_of_reach(inbox.c.purchase_id)),
    )
    .group_by(inbox.c.purchase_id)
    .order_by(func.min(inbox.c.seq))
    .limit(bindparam("limit"))
)


def waiting_purchases(connection: Connection, now: datetime, limit: int, owner: str) -> list[str]:
    """Purchases that have undecided facts, without those that another than `owner` works on."""
    wanted = {"now": now, "limit": limit, "owner": owner}
    rows = connection.scalars(_WAITING_PURCHASES, wanted)
    return [row for row in rows if row]


_STATUS = select(inbox.c.status).where(
    inbox.c.origin == bindparam("of"), inbox.c.id == bindparam("fact")
)


def decided(connection: Connection, origin: Origin, id: str) -> bool:
    """Whether the fact has left the queue."""
    status = connection.scalar(_STATUS, {"of": origin.value, "fact": id})
    return status not in (None, "new", "routed")


def depth(connection: Connection) -> int:
    """How many facts wait for the router or for a decision."""
    waiting_now = or_(inbox.c.status == "new", inbox.c.status == "routed")
    return connection.scalar(select(func.count()).where(waiting_now)) or 0
