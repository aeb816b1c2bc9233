"""Dead letters of the inbox that have not been announced on their topic yet."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from consumer.store.entries import of_rows
from consumer.store.inbox import Entry
from consumer.store.tables import unannounced


def any_waiting(connection: Connection) -> bool:
    """Whether there is one."""
    return connection.execute(select(unannounced.c.seq).limit(1)).first() is not None


def waiting(connection: Connection, limit: int) -> list[Entry]:
    """The oldest of them, as they are now: one that was redriven meanwhile is none any more."""
    seqs = select(unannounced.c.seq).order_by(unannounced.c.seq).limit(limit)
    return of_rows(connection, list(connection.scalars(seqs)))


def announced(connection: Connection, seqs: Sequence[int]) -> None:
    """These are on the topic."""
    if seqs:
        connection.execute(delete(unannounced).where(unannounced.c.seq.in_(seqs)))
