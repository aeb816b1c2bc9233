"""The store over SQLite: one writer thread with group commit, and a few readers."""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from consumer.store.engine import Job, StoreUnavailable, T, grouped, run_group

UNAVAILABLE = (
    *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR"),
    *("SQLITE_CANTOPEN", "SQLITE_NOMEM", "SQLITE_CORRUPT", "SQLITE_NOTADB"),
)
BATCH = 200  # jobs in one transaction: long enough to share a commit, short enough for ingress
SAY_AGAIN = 10.0  # seconds in which a database that refuses is logged once
log = structlog.get_logger("order_rescue")


@dataclass(order=True)
class Pending:
    """A job that waits for the next commit. Ingress sorts first, then first come."""

    rank: int
    number: int
    job: Job[Any] = field(compare=False)
    future: "Future[Any]" = field(compare=False)


def sqlite_engine(url: str, busy_seconds: float = 1.0) -> Engine:
    """An engine whose transactions are `BEGIN IMMEDIATE` on WAL with synchronous=FULL."""
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": busy_seconds})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        begin = connection.get_execution_options().get("begin", "BEGIN IMMEDIATE")
        if begin:
            connection.exec_driver_sql(begin)

    return engine


class SqliteStore:
    """`Store` for a database that one process has to itself.

    All that waits is run in one transaction; a job that fails takes no other with it.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._queue: queue.PriorityQueue[Pending] = queue.PriorityQueue()
        self._numbers = 0
        self._said = -SAY_AGAIN
        self._readers = ThreadPoolExecutor(2, "store-reader")
        self._writer = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)
        self._writer.start()

    async def write(self, job: Job[T], *, ingress: bool = False) -> T:
        """Run `job` in a transaction and return its result once that is durable."""
        self._numbers += 1
        pending = Pending(0 if ingress else 1, self._numbers, job, Future())
        self._queue.put(pending)
        return await asyncio.shield(asyncio.wrap_future(pending.future))

    async def read(self, job: Job[T]) -> T:
        """Run `job` over a snapshot."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, job, "BEGIN")

    async def look(self, job: Job[T]) -> T:
        """Run a `job` of one statement, which needs no transaction to see one snapshot."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, job, None)

    async def checkpoint(self) -> bool:
        """Empty the write-ahead log, so that no byte of what was deleted is left in a file.

        False while a reader is in the way: then try again.
        """
        self._numbers += 1
        pending = Pending(1, self._numbers, _empty_log, Future())
        self._queue.put(pending)
        done: bool = await asyncio.shield(asyncio.wrap_future(pending.future))
        return done

    async def close(self) -> None:
        """Finish what waits, then close."""
        self._queue.put(Pending(2, 0, _stop, Future()))
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown()
        self.engine.dispose()

    def backlog(self) -> int:
        """How many jobs wait for a commit."""
        return self._queue.qsize()

    def _read(self, job: Job[T], begin: str | None) -> T:
        try:
            with self.engine.connect().execution_options(begin=begin) as connection:
                return job(connection)
        except DBAPIError as error:
            raise StoreUnavailable(type(error.orig).__name__) from error

    def _write_loop(self) -> None:
        while True:
            batch = [self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            jobs = [pending for pending in batch if pending.job not in (_stop, _empty_log)]
            if jobs:
                self._commit(jobs)
            for pending in batch:
                if pending.job is _empty_log:
                    pending.future.set_result(self._truncate())
            if any(pending.job is _stop for pending in batch):
                return

    def _truncate(self) -> bool:
        """Outside of any transaction. What deleted rows held is overwritten: `secure_delete`."""
        if self.engine.dialect.name != "sqlite":
            return True
        try:
            with closing(self.engine.raw_connection()) as raw:
                cursor = raw.cursor()
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                busy = cursor.fetchone()
                return busy is not None and busy[0] == 0
        except (DBAPIError, sqlite3.Error):
            return False

    def _commit(self, batch: list[Pending]) -> None:
        try:
            settled = self._transact(batch)
        except DBAPIError as error:
            settled = self._after_failure(batch, error)
        for settle in settled:
            settle()

    def _transact(self, batch: list[Pending]) -> list[Callable[[], None]]:
        with self.engine.connect() as connection:
            try:
                with connection.begin():
                    return _run_all(batch, connection)
            except DBAPIError:
                connection.invalidate()  # whatever it was left with, nobody inherits it
                raise

    def _after_failure(self, batch: list[Pending], error: DBAPIError) -> list[Callable[[], None]]:
        """Nothing was stored. Where one job may have spoilt it for all, each gets its own turn."""
        if not _is_unavailable(error) and len(batch) > 1:
            for pending in batch:
                self._commit([pending])
            return []
        self._complain(error)
        refusal = StoreUnavailable(type(error.orig).__name__)
        refusal.__cause__ = error
        return [_refuse(pending, refusal) for pending in batch]

    def _complain(self, error: DBAPIError) -> None:
        """Whoever wrote may try again for hours: somebody must see why."""
        now = time.monotonic()
        if now - self._said >= SAY_AGAIN:
            self._said = now
            name = getattr(error.orig, "sqlite_errorname", type(error.orig).__name__)
            log.warning("the database can't be written now", error_type=name)


def _is_unavailable(error: DBAPIError) -> bool:
    """Whether it is the database's own condition: locked, full, read-only, unreadable."""
    name = getattr(error.orig, "sqlite_errorname", "")
    return name.startswith(UNAVAILABLE)


def _run_all(batch: list[Pending], connection: Connection) -> list[Callable[[], None]]:
    settled = []
    for places in grouped([pending.job for pending in batch]):
        settled += _run([batch[place] for place in places], connection)
    return settled


def _run(group: list[Pending], connection: Connection) -> list[Callable[[], None]]:
    """Run jobs in a savepoint; what they return or raise is told after the commit."""
    # As text: SQLAlchemy compiles its own savepoints anew each time, which cost as much as a query.
    connection.exec_driver_sql("SAVEPOINT job")
    try:
        results = run_group(connection, [pending.job for pending in group])
    except OperationalError:
        raise  # the transaction is spoilt, and with it what the others did in it
    except Exception as error:  # noqa: BLE001 - a job's own error belongs to its caller
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT job")
        connection.exec_driver_sql("RELEASE SAVEPOINT job")
        if len(group) == 1:
            return [_refuse(group[0], error)]
        return [settle for pending in group for settle in _run([pending], connection)]
    connection.exec_driver_sql("RELEASE SAVEPOINT job")
    return [_settle(*pair) for pair in zip(group, results, strict=True)]


def _settle(pending: Pending, result: Any) -> Callable[[], None]:
    return lambda: pending.future.set_result(result)


def _refuse(pending: Pending, error: Exception) -> Callable[[], None]:
    return lambda: pending.future.set_exception(error)


def _stop(_connection: Connection) -> None:
    """The job that ends the writer."""


def _empty_log(_connection: Connection) -> None:
    """The job that stands for a checkpoint."""
