"""The database, for commands that look or write beside a running service."""

from __future__ import annotations

from sqlalchemy import Connection

from consumer.cli.failures import Failure
from consumer.observe import configure
from consumer.settings import StoreSettings, load_store
from consumer.store import purchases
from consumer.store.engine import Job, T
from consumer.store.lock import database_file
from consumer.store.migrate import require_current
from consumer.store.opening import AnyEngine, is_postgres, open_engine, run_alone
from schemas.purchase import Purchase

PATIENCE = 10.0  # seconds to wait for the service's own transactions


def store_settings() -> StoreSettings:
    """The settings that need no keys, with logs set up."""
    settings = load_store()
    configure(settings.log_format, settings.log_level)
    return settings


def engine_for(settings: StoreSettings) -> AnyEngine:
    """The engine of a command, which waits for the service's own transactions."""
    return open_engine(
        settings.database_url,
        busy_seconds=PATIENCE,
        pool_size=settings.database_pool_size,
        statement_timeout=settings.database_statement_timeout,
    )


def in_database(job: Job[T], *, writing: bool = False) -> T:
    """What `job` returns over a snapshot, or in a transaction that commits at the end.

    Raises Failure where there is no file, SchemaUnknown or StoreUnavailable.
    """
    settings = store_settings()
    url = settings.database_url
    if not is_postgres(url) and not database_file(url).exists():
        raise Failure(f"there is no database at {database_file(url)}: run order-rescue migrate")

    def checked(connection: Connection) -> T:
        require_current(connection)
        return job(connection)

    return run_alone(engine_for(settings), checked, begin="BEGIN IMMEDIATE" if writing else "BEGIN")


def purchase_named(connection: Connection, name: str, *, writing: bool = False) -> Purchase:
    """The purchase of this id, or of this checkout, order or upstream id. Raises Failure."""
    keys = [("checkout", name), ("order", name), ("upstream", name)]
    load = purchases.pinned if writing else purchases.load
    found = load(connection, name)
    if found is None and (owner := purchases.find(connection, keys)):
        found = load(connection, owner)
    if found is None:
        raise Failure("there is no purchase, checkout, order or upstream id of that name")
    return found
