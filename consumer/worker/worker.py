"""The worker: takes purchases that have something to do, decides, and does it."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from consumer.clock import Clock
from consumer.observe import context
from consumer.platform import Platform
from consumer.signals import Changes, Signal
from consumer.store import commands, work
from consumer.store.commands import Task
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.facts import Undecidable, decoded
from consumer.store.inbox import Entry
from consumer.store.leases import Lease, LeaseLost
from consumer.store.purchases import Moved
from consumer.store.work import Work
from consumer.worker.perform import perform
from handlers.decide import decide
from handlers.decision import Decision, Moment
from handlers.policy import Policy
from schemas.commands import MUTATIONS, Submit
from schemas.purchase import Purchase
from schemas.results import Result

T = TypeVar("T")
LEASE_SLACK = 15.0  # seconds that a lease outlasts one call of the platform
POLL = 0.5  # seconds between looks at the store when nobody signals
STORE_PAUSE = 1.0  # seconds before a refused transaction is tried again


class Watch(Protocol):
    """Who is told of decisions: logs, metrics, alerts."""

    def decided(
        self, before: Purchase, after: Purchase, entry: Entry, decision: Decision, seconds: float
    ) -> None:
        """A decision was made and stored, in so many seconds."""
        ...

    def buried(self, entry: Entry, reason: str) -> None:
        """A fact became a dead letter."""
        ...

    def performed(self, task: Task, result: Result) -> None:
        """A command has a result."""
        ...


@dataclass
class Worker:
    """Drains purchases: facts first, then commands one at a time. `owner` names this worker."""

    store: Store
    platform: Platform
    clock: Clock
    policy: Policy
    changes: Changes
    signal: Signal
    watch: Watch
    owner: str
    sinks: Sequence[str] = ()
    told: Callable[[], None] = lambda: None
    concurrency: int = 64
    _active: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    @property
    def lease_seconds(self) -> float:
        """How long a lease lasts: a call, the wait for its budget, and some slack."""
        return self.platform.timeout + LEASE_SLACK

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then finish the commands that are under way."""
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                for purchase_id in await self._waiting():
                    self._start(group, purchase_id, stop)
                await self.signal.wait(POLL)

    async def _waiting(self) -> list[str]:
        """Purchases with something to do that nobody here works on; fires due timers first."""
        room = self.concurrency - len(self._active)
        if room <= 0:
            return []
        now = self.clock.now()
        try:
            if await self.store.read(lambda c: commands.timer_due(c, now)):
                await self.store.write(lambda c: commands.fire_due(c, now, 200))
            found = await self.store.read(lambda c: work.pending(c, now, room + len(self._active)))
        except StoreUnavailable:
            await self.clock.sleep(STORE_PAUSE)
            return []
        return [id for id in found if id not in self._active][:room]

    def _start(self, group: asyncio.TaskGroup, purchase_id: str, stop: asyncio.Event) -> None:
        task = group.create_task(self._drain(purchase_id, stop), name=f"purchase/{purchase_id}")
        self._active[purchase_id] = task
        task.add_done_callback(lambda _task: self._ended(purchase_id))

    def _ended(self, purchase_id: str) -> None:
        del self._active[purchase_id]
        self.signal.set()  # a fact may have come after its last look

    async def _drain(self, purchase_id: str, stop: asyncio.Event) -> None:
        """Work on one purchase until there is nothing to do for it now."""
        try:
            while not stop.is_set():
                fence = self.clock.monotonic() + self.lease_seconds
                taken = await self._write(lambda c: self._take(c, purchase_id))
                if taken is None or not (taken.facts or taken.task):
                    return
                if taken.facts:
                    await self._decide_all(taken)
                elif taken.task:
                    await self._do(taken.task, taken.lease, fence)
        except (LeaseLost, Moved):
            return  # somebody else goes on with it

    def _take(self, connection: Connection, purchase_id: str) -> Work | None:
        now = self.clock.now()
        return work.take(connection, purchase_id, self.owner, now, self._lease_end(now))

    def _lease_end(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self.lease_seconds)

    async def _decide_all(self, taken: Work) -> None:
        purchase = taken.purchase
        for entry in taken.facts:
            purchase = await self._decide(purchase, entry, taken.lease)
        self.changes.tell(purchase.id)

    async def _decide(self, purchase: Purchase, entry: Entry, lease: Lease) -> Purchase:
        """One decision, stored whole; what can't be decided becomes a dead letter."""
        began = self.clock.monotonic()
        moment = Moment(now=self.clock.now(), at=entry.at, epoch=lease.epoch)
        try:
            decision = decide(purchase, decoded(entry), moment, self.policy)
        except Undecidable as error:
            return await self._bury(purchase, entry, str(error))
        except Exception as error:  # noqa: BLE001 - one fact must not stop the others; it is shown
            return await self._bury(purchase, entry, f"no decision: {type(error).__name__}")
        after = await self._write(
            lambda c: work.save(c, purchase, entry, decision, lease, self.sinks, moment.now)
        )
        self.watch.decided(purchase, after, entry, decision, self.clock.monotonic() - began)
        self.told()
        return after

    async def _bury(self, purchase: Purchase, entry: Entry, reason: str) -> Purchase:
        await self._write(lambda c: work.bury(c, entry, reason))
        self.watch.buried(entry, reason)
        return purchase

    async def _do(self, task: Task, lease: Lease, fence: float) -> None:
        """Run one command. A mutation is stored as `sending` first, in a commit of its own."""
        if task.command.kind in MUTATIONS:
            fence = self.clock.monotonic() + self.lease_seconds
            renewed = await self._write(lambda c: self._begin(c, task, lease))
            if renewed is None:
                return
        send_by = min(fence - self.platform.timeout, self._permitted_until(task))
        with context(purchase_id=task.purchase_id):
            result = await perform(self.platform, task, send_by)
        await self._write(lambda c: work.end(c, task, result, self.clock.now()))
        self.watch.performed(task, result)

    def _permitted_until(self, task: Task) -> float:
        """The monotonic moment at which the reading behind a submission is too old (I1)."""
        if not isinstance(task.command, Submit):
            return math.inf
        left = task.command.permit.not_after - self.clock.now()
        return self.clock.monotonic() + left.total_seconds()

    def _begin(self, connection: Connection, task: Task, lease: Lease) -> Lease | None:
        now = self.clock.now()
        return work.begin(connection, task, lease, now, self._lease_end(now))

    async def _write(self, job: Callable[[Connection], T]) -> T:
        """Write, again and again while the database can't take it: nothing may be lost (I7)."""
        return await until_stored(self.store, self.clock, job)


async def until_stored(store: Store, clock: Clock, job: Callable[[Connection], T]) -> T:
    """Run the job as soon as the database takes it."""
    while True:
        try:
            return await store.write(job)
        except StoreUnavailable:
            await clock.sleep(STORE_PAUSE)
