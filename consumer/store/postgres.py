"""The store over PostgreSQL: several transactions at once, each for all that waits."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it comes without types
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from consumer.store.engine import Job, Raced, StoreUnavailable, T, grouped, run_group

POOL_SIZE = 10
STATEMENT_TIMEOUT = 10.0  # seconds
CONNECT_TIMEOUT = 5.0  # seconds
BATCH = 100  # jobs in one transaction
INGRESS_BATCH = 200
IMPATIENT = 0.02  # seconds that a job waits for a transaction of others before one more begins
SPLITS = 2  # of a group while the database is unwell: each part takes as long again
ATTEMPTS = 8  # of one job that others are always faster than
SAY_AGAIN = 10.0  # seconds in which a database that refuses is logged once
# Serialization failure, deadlock, and a unique key that somebody else has just taken.
LOST_RACES = frozenset({"40001", "40P01"})
RACED = LOST_RACES | {"23505"}
# The server's own condition: connection, resources, operator, system, read-only, timeout, lock.
UNAVAILABLE = ("08", "53", "57", "58", "XX", "25006", "55P03", "28", "3D")
log = structlog.get_logger("order_rescue")


def connector(url: str, statement_timeout: float) -> Callable[..., Awaitable[Any]]:
    """Makes connections for a libpq URL, of which asyncpg knows all parameters.

    `statement_timeout` in seconds; a client that stalls in a transaction loses it after as long,
    and with it the locks that others wait for.
    """
    milliseconds = str(round(statement_timeout * 1000))

    async def connect(*_args: Any, **_options: Any) -> Any:
        connection = await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT,
            command_timeout=statement_timeout + CONNECT_TIMEOUT,  # if the network is cut
            server_settings={
                "application_name": "order-rescue",
                "statement_timeout": milliseconds,
                "idle_in_transaction_session_timeout": milliseconds,
                "timezone": "UTC",
                "jit": "off",
            },
        )
        await connection.execute(_DURABLE)
        return connection

    return connect


def postgres_engine(
    url: str, *, pool_size: int = POOL_SIZE, statement_timeout: float = STATEMENT_TIMEOUT
) -> AsyncEngine:
    """An engine that keeps at most `pool_size` connections."""
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connector(url, statement_timeout),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=statement_timeout,
    )


# A commit that returned must be on disk, whatever the server's default is (I7).
_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A job that waits for its transaction."""

    job: Job[Any]
    future: "asyncio.Future[Any]"


@dataclass
class Lane:
    """Jobs of one kind, and how many transactions they may have at once.

    One at first: what comes meanwhile shares the next. `impatient` starts another when that takes
    long.
    """

    width: int
    batch: int
    waiting: deque[Pending] = field(default_factory=deque)
    running: int = 0
    impatient: asyncio.TimerHandle | None = None


class Failed(Exception):
    """Jobs that ran together raised, and so spoilt their transaction: nothing of it is stored."""

    def __init__(self, group: list[Pending], error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.group = group
        self.error = error


class PostgresStore:
    """`Store` for any number of processes. Belongs to the event loop that it is first used in.

    Jobs of one transaction share its fate; when one fails, the others are run again without it.
    """

    def __init__(self, engine: AsyncEngine, pool_size: int = POOL_SIZE) -> None:
        self.engine = engine
        self._ingress = Lane(width=1, batch=INGRESS_BATCH)
        self._others = Lane(width=max(1, pool_size // 2), batch=BATCH)
        self._tasks: set[asyncio.Task[None]] = set()
        self._said = -SAY_AGAIN

    async def write(self, job: Job[T], *, ingress: bool = False) -> T:
        """Run `job` in a transaction and return its result once that is durable."""
        lane = self._ingress if ingress else self._others
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        lane.waiting.append(Pending(job, future))
        if not lane.running:
            self._start(lane)
        elif lane.running < lane.width and not lane.impatient:
            lane.impatient = asyncio.get_running_loop().call_later(IMPATIENT, self._relieve, lane)
        return await asyncio.shield(future)

    async def read(self, job: Job[T]) -> T:
        """Run `job` over a snapshot."""
        return await self._look(job, isolation_level="REPEATABLE READ", postgresql_readonly=True)

    async def look(self, job: Job[T]) -> T:
        """Run a `job` of one statement."""
        return await self._look(job, isolation_level="AUTOCOMMIT")

    async def checkpoint(self) -> bool:
        """The server's own business: vacuum."""
        return True

    async def close(self) -> None:
        """Finish what waits, then close."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self.engine.dispose()

    def backlog(self) -> int:
        """How many jobs wait for a transaction."""
        return len(self._ingress.waiting) + len(self._others.waiting)

    async def _look(self, job: Job[T], **options: Any) -> T:
        for last in (False, True):
            try:
                async with self.engine.connect() as connection:
                    await connection.execution_options(**options)
                    return await connection.run_sync(job)
            except DRIVER_ERRORS as error:
                # A connection that had died in the pool says nothing about the server.
                if last or not _lost(error):
                    raise self._refusal(error) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _start(self, lane: Lane) -> None:
        lane.running += 1
        task = asyncio.create_task(self._drain(lane), name="store")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _relieve(self, lane: Lane) -> None:
        """One more transaction for those who still wait: the others may wait for a lock."""
        lane.impatient = None
        if lane.waiting and lane.running < lane.width:
            self._start(lane)

    async def _drain(self, lane: Lane) -> None:
        try:
            await asyncio.sleep(0)  # whoever else has something to write just now comes along
            while lane.waiting:
                size = min(lane.batch, len(lane.waiting))
                await self._settle([lane.waiting.popleft() for _ in range(size)])
        finally:
            lane.running -= 1

    async def _settle(self, batch: list[Pending], attempt: int = 1) -> None:
        """Run until every job of the batch has its result or its error."""
        try:
            results = await self._transact(batch)
        except Failed as failed:
            await self._after_failure(batch, failed, attempt)
        except DRIVER_ERRORS as error:
            self._refuse(batch, self._refusal(error))
        except Exception as error:  # noqa: BLE001 - told to those who wait for it
            self._refuse(batch, error)
        else:
            for pending, result in zip(batch, results, strict=True):
                pending.future.set_result(result)

    async def _transact(self, batch: list[Pending]) -> list[Any]:
        async with self.engine.connect() as connection, connection.begin():
            return await connection.run_sync(_run_all, batch)

    async def _after_failure(self, batch: list[Pending], failed: Failed, attempt: int) -> None:
        """Nothing of the batch is stored. The others go on without the one that failed."""
        again = _raced(failed.error) or (_lost(failed.error) and attempt == 1)
        if _lost(failed.error):
            if again:
                return await self._settle(batch, attempt + 1)
            return self._refuse(batch, self._refusal(failed.error))
        others = [pending for pending in batch if pending not in failed.group]
        if others:
            await self._settle(others)
        passing = isinstance(failed.error, DRIVER_ERRORS) and _unavailable(failed.error)
        if len(failed.group) > 1 and not (passing and attempt > SPLITS):
            half = len(failed.group) // 2  # whichever it was, few transactions find it
            for part in (failed.group[:half], failed.group[half:]):
                await self._settle(part, attempt + passing)
        elif again and attempt < ATTEMPTS:
            await asyncio.sleep(random.uniform(0, 0.005 * 2**attempt))
            await self._settle(failed.group, attempt + 1)
        elif others:  # its error may be due to what the others had done before it
            await self._settle(failed.group, attempt + 1)
        else:
            self._refuse(failed.group, self._refusal(failed.error))

    def _refuse(self, batch: list[Pending], error: Exception) -> None:
        for pending in batch:
            pending.future.set_exception(error)
            pending.future.exception()  # nobody may wait any more; asyncio would complain of that

    def _refusal(self, error: Exception) -> Exception:
        """What the caller is told; the log says why now and then.

        Whoever lost every race of two transactions may try again as well.
        """
        if not _unavailable(error) and _state(error) not in LOST_RACES:
            return error
        name = error_name(error)
        if time.monotonic() - self._said >= SAY_AGAIN:
            self._said = time.monotonic()
            log.warning("the database can't be used now", error_type=name)
        refusal = StoreUnavailable(name)
        refusal.__cause__ = error
        return refusal


DRIVER_ERRORS = (
    *(DBAPIError, NoConnection, asyncpg.PostgresError, asyncpg.InterfaceError),
    *(OSError, TimeoutError),
)


def _run_all(connection: Connection, batch: list[Pending]) -> list[Any]:
    results: dict[int, Any] = {}
    for places in grouped([pending.job for pending in batch]):
        group = [batch[place] for place in places]
        try:
            found = run_group(connection, [pending.job for pending in group])
        except Exception as error:
            raise Failed(group, error) from error
        results.update(zip(places, found, strict=True))
    return [results[place] for place in range(len(batch))]


def _state(error: Exception) -> str:
    """The SQLSTATE, or nothing if the server did not say one."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlstate", None) or "")


def _raced(error: Exception) -> bool:
    return isinstance(error, Raced) or _state(error) in RACED


def _lost(error: Exception) -> bool:
    """Whether the connection was lost, rather than the server refused."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _state(error).startswith("57P")
    if isinstance(error, TimeoutError):
        return False  # it would only take as long again
    return isinstance(error, (OSError, asyncpg.InterfaceError))


def _unavailable(error: Exception) -> bool:
    if isinstance(error, (NoConnection, OSError, TimeoutError, asyncpg.InterfaceError)):
        return True
    return _lost(error) or _state(error).startswith(UNAVAILABLE)


def error_name(error: Exception) -> str:
    """What went wrong, without the server's text: that may hold values."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    original = cause.__cause__ if isinstance(cause, Exception) else None
    return type(original or cause).__name__
