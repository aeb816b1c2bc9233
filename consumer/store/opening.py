"""Opening the database that a URL names."""

import asyncio
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from consumer.store.engine import Job, Store, StoreUnavailable, T
from consumer.store.postgres import (
    DRIVER_ERRORS,
    POOL_SIZE,
    STATEMENT_TIMEOUT,
    PostgresStore,
    error_name,
    postgres_engine,
)
from consumer.store.sqlite import SqliteStore, sqlite_engine

AnyEngine = Engine | AsyncEngine


def is_postgres(url: str) -> bool:
    """Whether a URL names a PostgreSQL database; else it names a SQLite file."""
    return url.startswith(("postgresql:", "postgres:"))


def open_engine(
    url: str,
    *,
    busy_seconds: float = 1.0,
    pool_size: int = POOL_SIZE,
    statement_timeout: float = STATEMENT_TIMEOUT,
) -> AnyEngine:
    """The engine for a URL; connects later. `busy_seconds` is for SQLite, the rest not."""
    if is_postgres(url):
        return postgres_engine(url, pool_size=pool_size, statement_timeout=statement_timeout)
    return sqlite_engine(url, busy_seconds)


def open_store(engine: AnyEngine) -> Store:
    """The store over an engine, which it closes at its end."""
    if isinstance(engine, AsyncEngine):
        return PostgresStore(engine, engine.pool.size())  # type: ignore[attr-defined]  # a QueuePool
    return SqliteStore(engine)


def run_alone(engine: AnyEngine, job: Job[T], **options: Any) -> T:
    """One job in one transaction, outside of any event loop; disposes of the engine.

    `options` are SQLAlchemy's for the connection. Raises StoreUnavailable.
    """
    if isinstance(engine, AsyncEngine):
        return asyncio.run(_run_async(engine, job, options))
    try:
        with engine.connect().execution_options(**options) as connection, connection.begin():
            return job(connection)
    except DBAPIError as error:
        raise StoreUnavailable(str(error.orig)) from error
    finally:
        engine.dispose()


async def _run_async(engine: AsyncEngine, job: Job[T], options: dict[str, Any]) -> T:
    try:
        async with engine.connect() as connection:
            await connection.execution_options(**options)
            async with connection.begin():
                return await connection.run_sync(job)
    except DRIVER_ERRORS as error:
        raise StoreUnavailable(error_name(error)) from error
    finally:
        await engine.dispose()
