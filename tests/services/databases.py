"""Both databases: the same tests run on either, by the fixtures `database_url` and `store`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from consumer.store.engine import Store
from consumer.store.migrate import migrate
from consumer.store.opening import open_engine, open_store
from tests.services.postgres import Postgres, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real server, once for each test process."""
    with server() as found:
        yield found


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A fresh PostgreSQL database with our tables."""
    url = postgres.fresh()
    yield url
    postgres.drop(url)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database with our tables, one of each kind."""
    if request.param == "postgres":
        found: str = request.getfixturevalue("postgres_url")
        return found
    url = f"sqlite:///{tmp_path}/store.db"
    migrate(open_engine(url))
    return url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store over a fresh database of either kind."""
    found = open_store(open_engine(database_url, busy_seconds=0.1))
    yield found
    await asyncio.shield(found.close())


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store over `store.db`, for what is SQLite's alone."""
    engine = open_engine(f"sqlite:///{tmp_path}/store.db", busy_seconds=0.1)
    migrate(engine)
    found = open_store(engine)
    yield found
    await found.close()
