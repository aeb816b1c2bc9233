"""The processes that work on a database, and which documents all of them can read.

A version reads documents up to its own number. It writes its own number only when no process is
left that can't read it; until then it must write the number of the oldest one. What a migration
changes beyond the reach of older versions it says by raising `min_reader`.
"""

from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, delete, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncEngine

from consumer.store import dialects
from consumer.store.tables import bounds, replicas
from schemas.purchase import SCHEMA_NUMBER

_BEAT = dialects.for_each(
    lambda insert: (new := insert(replicas)).on_conflict_do_update(
        index_elements=["id"], set_={"reads": new.excluded.reads, "until": new.excluded.until}
    )
)


def beat(
    connection: Connection, id: str, now: datetime, until: datetime, reads: int = SCHEMA_NUMBER
) -> None:
    """Say that this process lives until then; those whose time is over are removed."""
    connection.execute(_BEAT[connection.dialect.name], {"id": id, "reads": reads, "until": until})
    connection.execute(delete(replicas).where(replicas.c.until < now))


def leave(connection: Connection, id: str) -> None:
    """This process ends; nobody need wait for it."""
    connection.execute(delete(replicas).where(replicas.c.id == id))


_AGREED = select(func.min(replicas.c.reads)).where(replicas.c.until > bindparam("now"))


def agreed(connection: Connection, now: datetime, own: int = SCHEMA_NUMBER) -> int:
    """The number of documents that every living process can read, ours included."""
    others = connection.scalar(_AGREED, {"now": now})
    return own if others is None else min(own, others)


def write_as(engine: Engine | AsyncEngine, number: int) -> None:
    """From its next transaction on, what this engine writes has this number."""
    engine.update_execution_options(schema_number=number)


def writes(connection: Connection) -> int:
    """The number of the documents that are written over this connection."""
    found: int = connection.get_execution_options().get("schema_number", SCHEMA_NUMBER)
    return found


def min_reader(connection: Connection) -> int:
    """What a process must be able to read at least; 0 for a database that does not say."""
    if not inspect(connection).has_table(bounds.name):
        return 0
    found = select(bounds.c.number).where(bounds.c.name == "min_reader")
    return connection.scalar(found) or 0
