"""The writer: one commit for all that waits, and nobody pays for another's failure."""

import asyncio

import pytest
from sqlalchemy import Connection, text

from consumer.store.engine import Store


@pytest.fixture(name="store")
async def _store(store: Store) -> Store:
    await store.write(lambda c: run(c, "create table notes (word text unique)"))
    return store


def run(connection: Connection, statement: str) -> None:
    connection.execute(text(statement))


def note(connection: Connection, word: str) -> None:
    connection.execute(text("insert into notes values (:word)"), {"word": word})


def notes(connection: Connection) -> set[str]:
    return set(connection.scalars(text("select word from notes")))


async def test_a_job_that_fails_takes_nobody_else_with_it(store: Store) -> None:
    def fail(connection: Connection) -> None:
        note(connection, "half")
        raise LookupError("mine")

    results = await asyncio.gather(
        store.write(lambda c: note(c, "before")),
        store.write(fail),
        store.write(lambda c: note(c, "after")),
        return_exceptions=True,
    )
    assert isinstance(results[1], LookupError)
    assert await store.read(notes) == {"before", "after"}


async def test_a_statement_that_the_database_refuses_harms_only_its_own_job(store: Store) -> None:
    results = await asyncio.gather(
        store.write(lambda c: note(c, "before")),
        store.write(lambda c: run(c, "insert into nowhere values (1)")),
        store.write(lambda c: note(c, "after")),
        return_exceptions=True,
    )
    assert isinstance(results[1], Exception)
    assert await store.read(notes) == {"before", "after"}
