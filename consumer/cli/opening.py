"""The database, for commands that look or write beside a running service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from consumer.cli.failures import Failure
from consumer.observe import configure
from consumer.settings import StoreSettings, load_store
from consumer.store import purchases
from consumer.store.engine import StoreUnavailable, sqlite_engine
from consumer.store.lock import database_file
from consumer.store.migrate import require_current
from schemas.purchase import Purchase

PATIENCE = 10.0  # seconds to wait for the service's own transactions


def store_settings() -> StoreSettings:
    """The settings that need no keys, with logs set up."""
    settings = load_store()
    configure(settings.log_format, settings.log_level)
    return settings


@contextmanager
def database(*, writing: bool = False) -> Iterator[Connection]:
    """A snapshot, or a transaction that commits at the end.

    Raises Failure where there is no file, SchemaUnknown or StoreUnavailable.
    """
    url = store_settings().database_url
    if not database_file(url).exists():
        raise Failure(f"there is no database at {database_file(url)}: run order-rescue migrate")
    engine = sqlite_engine(url, busy_seconds=PATIENCE)
    begin = "BEGIN IMMEDIATE" if writing else "BEGIN"
    try:
        with engine.connect().execution_options(begin=begin) as connection:
            with connection.begin():
                require_current(connection)
                yield connection
    except DBAPIError as error:
        raise StoreUnavailable(str(error.orig)) from error
    finally:
        engine.dispose()


def purchase_named(connection: Connection, name: str) -> Purchase:
    """The purchase of this id, or of this checkout, order or upstream id. Raises Failure."""
    keys = [("checkout", name), ("order", name), ("upstream", name)]
    found = purchases.load(connection, name)
    if found is None and (owner := purchases.find(connection, keys)):
        found = purchases.load(connection, owner)
    if found is None:
        raise Failure("there is no purchase, checkout, order or upstream id of that name")
    return found
