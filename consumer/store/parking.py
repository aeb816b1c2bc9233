"""Facts that wait for a purchase: parked under the identity keys that one may claim."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select, update

from consumer.store import dialects
from consumer.store.entries import oldest
from consumer.store.inbox import KINDS, Entry, Key, mark
from consumer.store.tables import inbox, keys, waiting

_WAIT = dialects.for_each(lambda insert: insert(waiting).on_conflict_do_nothing())


def park(connection: Connection, seq: int, wanted: Sequence[Key], reason: str) -> None:
    """Let a fact wait until one of these keys is claimed."""
    mark(connection, seq, "parked", reason=reason)
    wait(connection, [(seq, key) for key in wanted])


def wait(connection: Connection, waits: Sequence[tuple[int, Key]]) -> None:
    """Note which facts wait for which keys."""
    rows = [{"kind": kind, "value": value, "seq": seq} for seq, (kind, value) in waits]
    if rows:
        connection.execute(_WAIT[connection.dialect.name], rows)


_WAITED_FOR = dialects.lookup(
    lambda lot: (
        select(waiting.c.kind, waiting.c.value)
        .where(waiting.c.kind.in_(KINDS), lot.has(waiting.c.value))
        .distinct()
    )
)
_waits = (waiting.c.kind == bindparam("of_kind"), waiting.c.value == bindparam("of_value"))
_WAITING = select(waiting.c.seq).where(*_waits)
_UNPARK = (
    update(inbox).where(inbox.c.seq.in_(_WAITING), inbox.c.status == "parked").values(status="new")
)
_WAITS_NO_MORE = delete(waiting).where(*_waits)


def unpark(connection: Connection, claimed: Sequence[Key]) -> int:
    """Route again what waited for these keys; returns how many facts."""
    if not claimed:
        return 0
    rows = _WAITED_FOR(connection, [value for _, value in claimed]).all()
    changed = 0
    for kind, value in sorted({(kind, value) for kind, value in rows} & set(claimed)):
        this = {"of_kind": kind, "of_value": value}
        changed += connection.execute(_UNPARK, this).rowcount
        connection.execute(_WAITS_NO_MORE, this)
    return changed


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


def still_parked(connection: Connection, seq: int) -> bool:
    """Whether a fact waits, and goes on waiting until the end of the transaction."""
    row = select(inbox.c.status).where(inbox.c.seq == seq).with_for_update()
    return connection.scalar(row) == "parked"


def expire(connection: Connection, before: datetime, reason: str) -> int:
    """Give up on what has been parked since `before`; it stays visible as ignored."""
    old = (inbox.c.status == "parked") & (inbox.c.at < before)
    connection.execute(delete(waiting).where(waiting.c.seq.in_(select(inbox.c.seq).where(old))))
    return connection.execute(
        update(inbox).where(old).values(status="ignored", reason=reason)
    ).rowcount


def any_since(connection: Connection, before: datetime) -> bool:
    """Whether anything has been parked since before this time."""
    old = (inbox.c.status == "parked") & (inbox.c.at < before)
    return oldest(connection, old) is not None


def parked_as(connection: Connection, reasons: Sequence[str], before: datetime) -> Entry | None:
    """The oldest fact that was parked for one of these reasons and came before this time."""
    old = (inbox.c.status == "parked") & inbox.c.reason.in_(reasons) & (inbox.c.at < before)
    return oldest(connection, old)


def waits_for(connection: Connection, seq: int) -> list[Key]:
    """The keys that a parked fact waits for."""
    rows = connection.execute(select(waiting.c.kind, waiting.c.value).where(waiting.c.seq == seq))
    return [(row.kind, row.value) for row in rows]
