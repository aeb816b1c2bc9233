"""Looking into a database beside the service, and filling one before it starts."""

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it comes without types

from tests.bench.waiting import until

SQLITE = "sqlite:///"


async def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """What a query finds."""
    if url.startswith(SQLITE):
        return await asyncio.to_thread(_sqlite_rows, url.removeprefix(SQLITE), query)
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def _sqlite_rows(path: str, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


async def count(url: str, query: str) -> int:
    """The number that a query finds."""
    [[found]] = await rows(url, query)
    return int(found or 0)


async def events(url: str) -> int:
    """How many events of the platform are in the inbox."""
    return await count(url, "SELECT count(*) FROM inbox WHERE origin = 'platform'")


async def drained(url: str, seconds: float = 120.0) -> None:
    """Return once nothing waits for its purchase or for a decision."""

    async def empty() -> bool:
        query = "SELECT 1 FROM inbox WHERE status IN ('new', 'routed') LIMIT 1"
        return not await rows(url, query)

    await until(empty, seconds, "the inbox is empty", every=0.2)


async def do(url: str, *statements: str) -> None:
    """Run these on PostgreSQL, each in a transaction of its own."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fill(url: str, table: str, records: Iterable[Mapping[str, Any]]) -> None:
    """Put rows into a table of PostgreSQL, fast."""
    listed = list(records)
    columns = list(listed[0])
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.copy_records_to_table(
            table, records=[[row[name] for name in columns] for row in listed], columns=columns
        )
    finally:
        await connection.close()
