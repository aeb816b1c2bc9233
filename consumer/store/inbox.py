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
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from consumer.store import dialects, leases
from consumer.store.tables import inbox, keys, unannounced, waiting
from schemas.facts import Origin

Status = Literal["new", "parked", "routed", "done", "ignored", "dead"]
Transport = Literal["webhook", "kafka", "backfill", "api", "internal", "cli"]
REDRIVEN = "redriven"  # such a fact counts as fresh, however old it is
Key = tuple[str, str]  # kind (checkout, order, session, upstream) and value


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


def undecided(connection: Connection, purchase_id: str, limit: int = 50) -> list[Entry]:
    """The oldest facts of a purchase that wait for a decision."""
    return _entries(connection, _UNDECIDED, limit, purchase=purchase_id)


def entry(connection: Connection, seq: int) -> Entry | None:
    """One row."""
    return next(iter(_entries(connection, _ENTRIES.where(inbox.c.seq == seq), 1)), None)


def still_parked(connection: Connection, seq: int) -> bool:
    """Whether a fact waits, and goes on waiting until the end of the transaction."""
    row = select(inbox.c.status).where(inbox.c.seq == seq).with_for_update()
    return connection.scalar(row) == "parked"


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


_SETTLE = _MARK.where(inbox.c.status == "routed")


def settle(
    connection: Connection, seq: int, status: Status, *, reason: str | None, purchase_id: str
) -> bool:
    """Move on a fact that waits for a decision; `False` if it has been decided upon."""
    values = {"row": seq, "status": status, "reason": reason and reason[:255]}
    return connection.execute(_SETTLE, values | {"purchase_id": purchase_id}).rowcount == 1


def park(connection: Connection, seq: int, keys: Sequence[Key], reason: str) -> None:
    """Let a fact wait until one of these keys is claimed."""
    mark(connection, seq, "parked", reason=reason)
    known = set(waits_for(connection, seq))
    rows = [{"kind": k, "value": v, "seq": seq} for k, v in keys if (k, v) not in known]
    if rows:
        connection.execute(insert(waiting), rows)


_waits = (waiting.c.kind == bindparam("of_kind"), waiting.c.value == bindparam("of_value"))
_WAITING = select(waiting.c.seq).where(*_waits)
_UNPARK = (
    update(inbox).where(inbox.c.seq.in_(_WAITING), inbox.c.status == "parked").values(status="new")
)
_WAITS_NO_MORE = delete(waiting).where(*_waits)


def unpark(connection: Connection, key: Key) -> int:
    """Route again what waited for this key; returns how many facts."""
    this = {"of_kind": key[0], "of_value": key[1]}
    if connection.execute(_WAITING, this).first() is None:
        return 0
    changed = connection.execute(_UNPARK, this)
    connection.execute(_WAITS_NO_MORE, this)
    return changed.rowcount


_CLAIMED = (
    select(waiting.c.kind, waiting.c.value)
    .join(keys, (keys.c.kind == waiting.c.kind) & (keys.c.value == waiting.c.value))
    .limit(bindparam("limit"))
)


def claimed(connection: Connection, limit: int) -> list[Key]:
    """Keys that facts wait for although they belong to a purchase.

    A fact that is parked while its key is being claimed sees no claim, and the claim no fact.
    """
    return [(row.kind, row.value) for row in connection.execute(_CLAIMED, {"limit": limit})]


def expire_parked(connection: Connection, before: datetime, reason: str) -> int:
    """Give up on what has been parked since `before`; it stays visible as ignored."""
    old = (inbox.c.status == "parked") & (inbox.c.at < before)
    connection.execute(delete(waiting).where(waiting.c.seq.in_(select(inbox.c.seq).where(old))))
    return connection.execute(
        update(inbox).where(old).values(status="ignored", reason=reason)
    ).rowcount


def any_parked(connection: Connection, before: datetime) -> bool:
    """Whether anything has been parked since before this time."""
    old = (inbox.c.status == "parked") & (inbox.c.at < before)
    return bool(_entries(connection, _ENTRIES.where(old), 1))


def parked_as(connection: Connection, reasons: Sequence[str], before: datetime) -> Entry | None:
    """The oldest fact that was parked for one of these reasons and came before this time."""
    old = (inbox.c.status == "parked") & inbox.c.reason.in_(reasons) & (inbox.c.at < before)
    return next(iter(_entries(connection, _ENTRIES.where(old), 1)), None)


def waits_for(connection: Connection, seq: int) -> list[Key]:
    """The keys that a parked fact waits for."""
    rows = connection.execute(select(waiting.c.kind, waiting.c.value).where(waiting.c.seq == seq))
    return [(row.kind, row.value) for row in rows]


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
