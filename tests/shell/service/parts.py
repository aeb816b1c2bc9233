"""Parts of the service put together inside a test: a real store, a real client, real workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from consumer.clock import Clock, SystemClock
from consumer.platform import LocalLimiter, Platform
from consumer.signals import Changes, Signal
from consumer.store import entries, purchases
from consumer.store.admission import Admitted, admit
from consumer.store.commands import Task
from consumer.store.engine import Store
from consumer.store.inbox import Entry
from consumer.store.migrate import migrate
from consumer.store.opening import open_engine, open_store
from consumer.worker import Worker
from handlers.decision import Decision
from handlers.policy import Policy
from schemas.facts import Origin
from schemas.purchase import Purchase
from schemas.requests import PurchaseRequest
from schemas.results import Result
from tests.shell.service.serving import KEY, eventually, until


@dataclass
class ShiftedClock:
    """A machine whose wall clock differs by so many seconds, until somebody sets it right."""

    seconds: float

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return SystemClock().monotonic()

    async def sleep(self, seconds: float) -> None:
        await SystemClock().sleep(seconds)


@dataclass
class Witness:
    """Who is told what a worker does; remembers it in order."""

    rules: list[str] = field(default_factory=list)
    buried_reasons: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)

    def decided(
        self, before: Purchase, after: Purchase, entry: Entry, decision: Decision, seconds: float
    ) -> None:
        self.rules.append(decision.rule)

    def buried(self, entry: Entry, reason: str) -> None:
        self.buried_reasons.append(reason)

    def alert(self, kind: str, purchase_id: str) -> None:
        self.alerts.append(kind)

    def performed(self, task: Task, result: Result) -> None:
        self.results.append(f"{task.command.kind}: {result.outcome}")


@dataclass
class Parts:
    """One database and one platform for any number of workers."""

    store: Store
    platform: Platform
    database: Path
    tasks: asyncio.TaskGroup
    stop: asyncio.Event

    def worker(
        self, owner: str, clock: Clock | None = None, **policy: Any
    ) -> tuple[Worker, Witness]:
        """A worker that is not started yet, and its witness."""
        witness = Witness()
        settings: dict[str, Any] = {"live": True, "settle": timedelta(seconds=1.5)} | policy
        worker = Worker(
            *(self.store, self.platform, clock or SystemClock(), Policy(**settings), Changes()),
            *(Signal(), witness, owner),
        )
        return worker, witness

    def start(self, worker: Worker) -> "asyncio.Task[None]":
        """Let it work until the block ends."""
        return self.tasks.create_task(worker.run(self.stop), name=worker.owner)

    async def admit(self, checkout_id: str, upstream_id: str | None) -> Purchase:
        """Hand a checkout over."""
        request = PurchaseRequest(checkout_id=checkout_id, upstream_id=upstream_id)
        now = datetime.now(UTC)
        verdict = await self.store.write(
            lambda c: admit(
                *(c, request),
                origin=Origin.SHOP,
                fact_id=f"f-{checkout_id}",
                transport="api",
                now=now,
            )
        )
        assert isinstance(verdict, Admitted)
        return verdict.purchase

    async def purchase(self, id: str) -> Purchase:
        """The purchase as stored."""
        found = await self.store.read(lambda c: purchases.load(c, id))
        assert found is not None
        return found

    async def facts(self, id: str) -> list[Entry]:
        """All facts of the purchase."""
        return await self.store.read(lambda c: entries.of_purchase(c, id))

    async def reaches(self, id: str, state: str, seconds: float = 15.0) -> Purchase:
        """The purchase once it is in this state."""

        async def there() -> bool:
            return (await self.purchase(id)).state.value == state

        await eventually(there, seconds, f"{id} is {state}")
        return await self.purchase(id)


@asynccontextmanager
async def parts(
    folder: Path,
    platform_url: str,
    call_seconds: float = 4.0,
    database_url: str = "",
    rate: float = 240.0,
) -> AsyncIterator[Parts]:
    """Parts over a migrated database, or a new one in this folder.

    What was started is stopped and awaited at the end.
    """
    if not database_url:
        database_url = f"sqlite:///{folder}/parts.db"
        migrate(open_engine(database_url))
    store, clock, stop = open_store(open_engine(database_url)), SystemClock(), asyncio.Event()
    platform = Platform(platform_url, KEY, LocalLimiter(rate, clock), clock, timeout=call_seconds)
    try:
        async with platform, asyncio.TaskGroup() as tasks:
            try:
                yield Parts(store, platform, folder / "parts.db", tasks, stop)
            finally:
                stop.set()
    finally:
        await store.close()


__all__ = ["Parts", "ShiftedClock", "Witness", "parts", "until"]
