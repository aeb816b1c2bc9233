"""Links: what several purchases may share. Rows are added with each decision, never moved."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Select, bindparam, delete, select

from consumer.store import dialects
from consumer.store.tables import links, purchases
from handlers.links import Link
from handlers.links import links as of_purchase
from schemas.purchase import Purchase, State

UNRESOLVED = tuple(s.value for s in State if s not in (State.ACCEPTED, State.LOST))
MOST = 100  # purchases that one event fans out to


_NOTE = dialects.for_each(lambda insert: insert(links).on_conflict_do_nothing())


def note(connection: Connection, purchase: Purchase) -> None:
    """Add all links of a new purchase."""
    note_new(connection, [(None, purchase)])


def note_new(connection: Connection, moved: Sequence[tuple[Purchase | None, Purchase]]) -> None:
    """Add the links that purchases have gained, each given as it was and as it is."""
    rows = [
        {"kind": kind, "value": value, "purchase_id": after.id}
        for before, after in moved
        for kind, value in sorted(
            of_purchase(after) - (of_purchase(before) if before else frozenset())
        )
    ]
    if rows:
        connection.execute(_NOTE[connection.dialect.name], rows)


_EVERY = (
    select(links.c.purchase_id)
    .join(purchases, purchases.c.id == links.c.purchase_id)
    .where(links.c.kind == bindparam("kind"), links.c.value == bindparam("value"))
)
_UNRESOLVED = _EVERY.where(purchases.c.state.in_(UNRESOLVED))


def unresolved(connection: Connection, named: Sequence[Link]) -> list[str]:
    """The purchases with any of these links that have not ended, newest first."""
    return _linked(connection, named, _UNRESOLVED)[:MOST]


def every(connection: Connection, named: Iterable[Link]) -> list[str]:
    """All purchases that have, or ever had, any of these links."""
    return _linked(connection, named, _EVERY)


def _linked(connection: Connection, named: Iterable[Link], query: Select[tuple[str]]) -> list[str]:
    found: set[str] = set()
    for kind, value in named:
        found.update(connection.scalars(query, {"kind": kind, "value": value}))
    return sorted(found, reverse=True)  # ids rise with time


def of_kind(connection: Connection, purchase_id: str, kind: str) -> list[str]:
    """The values of a purchase's links of one kind."""
    query = select(links.c.value).where(links.c.purchase_id == purchase_id, links.c.kind == kind)
    return sorted(connection.scalars(query))


def drop(connection: Connection, purchase_id: str, kinds: Sequence[str]) -> None:
    """Remove a purchase's links of these kinds: its shopper is to be forgotten."""
    connection.execute(
        delete(links).where(links.c.purchase_id == purchase_id, links.c.kind.in_(kinds))
    )
