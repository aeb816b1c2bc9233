"""Reading the inbox: facts as they wait, as they are of a purchase, as they died."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, not_, or_, select

from consumer.store import dialects, leases
from consumer.store.inbox import Entry
from consumer.store.tables import inbox
from schemas.facts import Origin

_COLUMNS = (
    *(inbox.c.seq, inbox.c.origin, inbox.c.id, inbox.c.type, inbox.c.transport, inbox.c.at),
    *(inbox.c.body, inbox.c.status, inbox.c.reason, inbox.c.purchase_id, inbox.c.trace),
)
_ENTRIES = select(*_COLUMNS).order_by(inbox.c.seq).limit(bindparam("limit"))
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


def _undecided_of(lot: dialects.Lot) -> Select[Any]:
    place = func.row_number().over(partition_by=inbox.c.purchase_id, order_by=inbox.c.seq)
    numbered = (
        select(inbox.c.seq, place.label("place"))
        .where(lot.has(inbox.c.purchase_id), inbox.c.status == "routed")
        .subquery()
    )
    return (
        select(*_COLUMNS)
        .join(numbered, numbered.c.seq == inbox.c.seq)
        .where(numbered.c.place <= bindparam("limit"))
        .order_by(inbox.c.seq)
    )


_UNDECIDED_OF = dialects.lookup(_undecided_of)


def undecided_of(
    connection: Connection, purchase_ids: Sequence[str], limit: int
) -> dict[str, list[Entry]]:
    """Of each of these purchases so many of the oldest facts that wait for a decision."""
    found: dict[str, list[Entry]] = {}
    for seq, origin, *rest in _UNDECIDED_OF(connection, purchase_ids, limit=limit):
        entry = Entry(seq, Origin(origin), *rest)
        found.setdefault(entry.purchase_id or "", []).append(entry)
    return found


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


def dead(connection: Connection, limit: int, before: int | None = None) -> list[Entry]:
    """Dead letters, newest first, from below the row number `before`."""
    rows = select(inbox.c.seq).where(inbox.c.status == "dead")
    if before is not None:
        rows = rows.where(inbox.c.seq < before)
    wanted = rows.order_by(inbox.c.seq.desc()).limit(limit)
    found = _entries(connection, _ENTRIES.where(inbox.c.seq.in_(wanted)), limit)
    return list(reversed(found))


def of_rows(connection: Connection, seqs: Sequence[int]) -> list[Entry]:
    """The facts in these rows, oldest first."""
    return _entries(connection, _ENTRIES.where(inbox.c.seq.in_(seqs)), max(1, len(seqs)))


def of_purchase(connection: Connection, purchase_id: str) -> list[Entry]:
    """All facts of a purchase, oldest first."""
    mine = _ENTRIES.where(inbox.c.purchase_id == purchase_id)
    return _entries(connection, mine, 10_000)


_WAITING_PURCHASES = dialects.lookup(
    lambda lot: (
        select(inbox.c.purchase_id)
        .where(
            inbox.c.status == "routed",
            inbox.c.purchase_id.is_not(None),
            lot.lacks(inbox.c.purchase_id),
            not_(leases.out_of_reach(inbox.c.purchase_id)),
        )
        .order_by(inbox.c.seq)
        .limit(bindparam("limit"))
    )
)


def waiting_purchases(
    connection: Connection, now: datetime, limit: int, owner: str, without: Collection[str] = ()
) -> list[str]:
    """Purchases that have undecided facts, the longest waiting first, of so many facts.

    Without those that another than `owner` works on, and without these.
    """
    rows = _WAITING_PURCHASES(connection, without, now=now, limit=limit, owner=owner)
    return list(dict.fromkeys(id for (id,) in rows))


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
