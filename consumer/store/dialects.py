"""What SQLite and PostgreSQL spell alike, but SQLAlchemy has apart: INSERT … ON CONFLICT."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.dialects import postgresql, sqlite


def for_each(build: Callable[[Any], Executable]) -> Mapping[str, Executable]:
    """The statement that `build` makes with a dialect's `insert`, by the dialect's name."""
    return {"postgresql": build(postgresql.insert), "sqlite": build(sqlite.insert)}
