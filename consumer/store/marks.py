"""Marks: how far something is known to be done, so that it goes on there after a restart."""

from datetime import datetime

from sqlalchemy import Connection, select

from consumer.store import dialects
from consumer.store.tables import marks

CAUGHT_UP = "caught_up"  # every event that the platform made before this time is in the inbox


def at(connection: Connection, name: str) -> datetime | None:
    """Where the mark is, if it has been set."""
    return connection.scalar(select(marks.c.at).where(marks.c.name == name))


_ADVANCE = dialects.for_each(
    lambda insert: (new := insert(marks)).on_conflict_do_update(
        index_elements=["name"],
        set_={"at": new.excluded.at},
        where=marks.c.at < new.excluded.at,
    )
)


def advance(connection: Connection, name: str, to: datetime) -> None:
    """Set the mark; it never goes back."""
    connection.execute(_ADVANCE[connection.dialect.name], {"name": name, "at": to})
