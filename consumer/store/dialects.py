"""Where SQLite and PostgreSQL differ: INSERT … ON CONFLICT, and locks that SQLite need not have."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Executable, func, select
from sqlalchemy.dialects import postgresql, sqlite


def for_each(build: Callable[[Any], Executable]) -> Mapping[str, Executable]:
    """The statement that `build` makes with a dialect's `insert`, by the dialect's name."""
    return {"postgresql": build(postgresql.insert), "sqlite": build(sqlite.insert)}


def alone(connection: Connection, lock: int) -> bool:
    """Whether no other transaction has this lock; it is ours until the end of this one."""
    if connection.dialect.name == "sqlite":
        return True  # there is one writer
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(lock))))
