"""Bringing a database to the tables that this version works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from consumer.store import replicas
from consumer.store.opening import AnyEngine, run_alone
from schemas.purchase import SCHEMA_NUMBER

_MIGRATIONS = Path(__file__).with_name("migrations")
_PATIENCE = 30_000  # milliseconds to wait for another process that is migrating
_LOCK = 0x6F72646572  # the key of the advisory lock under which PostgreSQL is migrated


class SchemaUnknown(Exception):
    """The database is not one that this version can work with; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """The schema's revision before (`None`: no tables) and after."""

    before: str | None
    after: str


def migrate(engine: AnyEngine) -> Migrated:
    """Make or complete the tables; does nothing when they are complete.

    All of it is one transaction, and the second of two processes waits for the first: on SQLite
    for the write lock, on PostgreSQL for an advisory one. Not for inside an event loop. Raises
    SchemaUnknown or StoreUnavailable.
    """
    return _in_transaction(engine, keep=True)


def rehearse(engine: AnyEngine) -> Migrated:
    """The same, and then undone: whether it would work. Raises what `migrate` raises."""
    return _in_transaction(engine, keep=False)


def revision(connection: Connection) -> str | None:
    """The schema's revision, or `None` for a database without our tables."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """The revision that this version works with."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def require_current(connection: Connection) -> None:
    """For those who only look. Raises SchemaUnknown unless this version can use the tables."""
    found = revision(connection)
    if found is None:
        raise SchemaUnknown("the database has no tables yet: run order-rescue migrate")
    if not _known(found):
        _require_readable(connection, found)
    elif found != newest():
        raise SchemaUnknown(
            f"the database is at revision {found}, this version needs {newest()}:"
            " run order-rescue migrate"
        )


def _in_transaction(engine: AnyEngine, *, keep: bool) -> Migrated:
    def job(connection: Connection) -> Migrated:
        _wait_for_others(connection)
        done = _upgrade(connection)
        if not keep:
            connection.rollback()
        return done

    return run_alone(engine, job, begin="")  # on SQLite the transaction begins below


def _upgrade(connection: Connection) -> Migrated:
    before = revision(connection)
    if before is not None and not _known(before):
        _require_readable(connection, before)
        return Migrated(before, before)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return Migrated(before, newest())


def _known(found: str) -> bool:
    revisions = ScriptDirectory.from_config(_config()).walk_revisions()
    return found in {script.revision for script in revisions}


def _require_readable(connection: Connection, found: str) -> None:
    """A newer version's tables will do, as long as it says so: migrations add, and take nothing."""
    needed = replicas.min_reader(connection)
    if not 0 < needed <= SCHEMA_NUMBER:
        raise SchemaUnknown(
            f"the database is at revision {found}, made by a newer version, and needs one that"
            f" reads documents of number {needed}; this version reads up to {SCHEMA_NUMBER}"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _wait_for_others(connection: Connection) -> None:
    """Have the database to ourselves until the end of the transaction."""
    if connection.dialect.name == "sqlite":
        connection.detach()  # nobody else shall be so patient
        connection.exec_driver_sql(f"PRAGMA busy_timeout={_PATIENCE}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text(f"SET LOCAL lock_timeout = {_PATIENCE}"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
