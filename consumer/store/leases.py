"""Leases: who may work on a purchase, and since when. The epoch rises with every new holder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    literal,
    not_,
    or_,
    select,
    update,
)

from consumer.store import dialects
from consumer.store.tables import leases, purchases
from schemas.purchase import SCHEMA_NUMBER


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of `owner` to decide and send, until `until` by the store's clock."""

    name: str
    owner: str
    epoch: int
    until: datetime


def name(purchase_id: str) -> str:
    """The name of a purchase's lease."""
    return f"purchase/{purchase_id}"


class LeaseLost(Exception):
    """Another holder has taken over; what was decided under the old epoch is void."""


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_mine = leases.c.owner == bindparam("holder")
_over = leases.c.until <= bindparam("now")
# A row that another transaction is changing is not waited for: it is being taken, or kept.
_free = (
    select(leases.c.name)
    .where(leases.c.name == bindparam("lease"), or_(_mine, _over))
    .with_for_update(skip_locked=True)
)
_ACQUIRE = (
    update(leases)
    .where(leases.c.name == _free.scalar_subquery())
    .values(
        owner=bindparam("holder"),
        epoch=leases.c.epoch + case((and_(_mine, not_(_over)), 0), else_=1),
        until=bindparam("end"),
    )
    .returning(leases.c.epoch)
)
_EPOCH = select(leases.c.epoch).where(leases.c.name == bindparam("lease"))
_FIRST = dialects.for_each(
    lambda insert: insert(leases).on_conflict_do_nothing().returning(leases.c.epoch)
)


def acquire(
    connection: Connection, name: str, owner: str, now: datetime, until: datetime
) -> Lease | None:
    """Take or renew a lease; `None` while another owner holds it."""
    mine = {"lease": name, "holder": owner, "now": now, "end": until}
    if epoch := connection.scalar(_ACQUIRE, mine):
        return Lease(name, owner, epoch, until)
    if connection.scalar(_EPOCH, {"lease": name}) is not None:
        return None
    row = {"name": name, "owner": owner, "epoch": 1, "until": until}
    first = connection.scalar(_FIRST[connection.dialect.name], row)
    return Lease(name, owner, 1, until) if first else None


_ACQUIRE_ALL = dialects.lookup(
    lambda lot: (
        update(leases)
        .where(
            leases.c.name.in_(
                select(leases.c.name)
                .where(lot.has(leases.c.name), or_(_mine, _over))
                .with_for_update(skip_locked=True)
            )
        )
        .values(
            owner=bindparam("holder"),
            epoch=leases.c.epoch + case((and_(_mine, not_(_over)), 0), else_=1),
            until=bindparam("end"),
        )
        .returning(leases.c.name, leases.c.epoch)
    )
)


def acquire_all(
    connection: Connection, names: Sequence[str], owner: str, now: datetime, until: datetime
) -> dict[str, Lease]:
    """Take or renew many leases; those that another owner holds are left out."""
    rows = _ACQUIRE_ALL(connection, names, holder=owner, now=now, end=until)
    taken = {name: Lease(name, owner, epoch, until) for name, epoch in rows}
    for name in names:
        if name not in taken and (lease := acquire(connection, name, owner, now, until)):
            taken[name] = lease
    return taken


def prepare(connection: Connection, name: str) -> None:
    """Make a lease that nobody has held, so that those who compete for it find its row."""
    row = {"name": name, "owner": "", "epoch": 0, "until": _LONG_AGO}
    connection.execute(_FIRST[connection.dialect.name], row)


def out_of_reach(purchase_id: ColumnElement[str]) -> ColumnElement[bool]:
    """For a query with `owner` and `now`: whether this purchase is not ours to take.

    Somebody else works on it, or its document is of a newer version.
    """
    theirs = (leases.c.name == literal("purchase/") + purchase_id) & (
        leases.c.owner != bindparam("owner")
    )
    held = select(leases.c.name).where(theirs, leases.c.until > bindparam("now")).exists()
    too_new = purchases.c.schema_number > SCHEMA_NUMBER
    unread = select(purchases.c.id).where(purchases.c.id == purchase_id, too_new).exists()
    return or_(held, unread)


# Until the end of the transaction nobody can take the lease over.
_HELD = (
    select(leases.c.owner, leases.c.epoch, leases.c.until)
    .where(leases.c.name == bindparam("lease"))
    .with_for_update(key_share=True)
)


def check(connection: Connection, lease: Lease, now: datetime) -> None:
    """Raises `LeaseLost` unless the lease is still this holder's."""
    row = connection.execute(_HELD, {"lease": lease.name}).one_or_none()
    if row is None or (row.owner, row.epoch) != (lease.owner, lease.epoch) or row.until <= now:
        raise LeaseLost(lease.name)


def release(connection: Connection, lease: Lease, now: datetime) -> None:
    """Let go early, if still held. The row stays, so that the epoch goes on rising."""
    connection.execute(_RELEASE, {"lease": lease.name, "held": lease.epoch, "until": now})


_RELEASE = update(leases).where(
    leases.c.name == bindparam("lease"), leases.c.epoch == bindparam("held")
)


def release_all(connection: Connection, owner: str, now: datetime) -> int:
    """Let go of all that an owner holds: it is about to end."""
    held = (leases.c.owner == owner) & (leases.c.until > now)
    return connection.execute(update(leases).where(held).values(until=now)).rowcount


def end_all(connection: Connection, now: datetime) -> int:
    """End the leases of dead processes. Only for a store that one process has to itself."""
    return connection.execute(update(leases).where(leases.c.until > now).values(until=now)).rowcount
