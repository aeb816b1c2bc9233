"""The worker: takes purchases that have something to do, decides, and does it."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection

from consumer.clock import Clock
from consumer.observe import context, tracing
from consumer.platform import Platform
from consumer.signals import Changes, Signal
from consumer.store import commands, leases, work
from consumer.store.commands import Task
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.facts import Undecidable, decoded
from consumer.store.inbox import Entry
from consumer.store.leases import Lease, LeaseLost
from consumer.store.purchases import Moved, TooNew, Unreadable
from consumer.store.work import Work
from consumer.worker.perform import perform
from consumer.worker.step import Step, Watch
from handlers.decide import decide
from handlers.decision import Moment
from handlers.policy import Policy
from schemas.commands import MUTATIONS, Submit
from schemas.purchase import Purchase
from schemas.results import Result

T = TypeVar("T")
LEASE_SLACK = 15.0  # seconds that a lease outlasts one call of the platform
POLL = 0.5  # seconds between looks at the store when nobody signals
STORE_PAUSE = 1.0  # seconds before a refused transaction is tried again
STOP_PATIENCE = 5.0  # seconds of such pauses once the service is to stop


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
    poll: Callable[[], float] = lambda: POLL
    concurrency: int = 64
    _active: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _aside: set[str] = field(default_factory=set)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lease_seconds(self) -> float:
        """How long a lease lasts: a call, the wait for its budget, and some slack."""
        return self.platform.timeout + LEASE_SLACK

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then finish the commands that are under way."""
        self._stop = stop
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                for purchase_id in await self._waiting():
                    self._start(group, purchase_id, stop)
                await self.signal.wait(await self._pause())
        await self._let_go()

    async def _pause(self) -> float:
        """Seconds until the next look, if nobody signals: no later than a command is due."""
        longest = self.poll()
        if longest <= POLL:
            return longest
        now = self.clock.now()
        try:
            due = await self.store.look(lambda c: commands.due_next(c, now))
        except StoreUnavailable:
            return POLL
        return min(longest, max(0.0, (due - now).total_seconds())) if due else longest

    async def _let_go(self) -> None:
        """Others need not wait for the end of our leases."""
        now = self.clock.now()
        try:
            await self.store.write(lambda c: leases.release_all(c, self.owner, now))
        except StoreUnavailable:
            return  # then they wait

    async def _waiting(self) -> list[str]:
        """Purchases with something to do that nobody here works on; fires due timers first."""
        room = self.concurrency - len(self._active)
        if room <= 0:
            return []
        now = self.clock.now()
        try:
            if await self.store.look(lambda c: commands.timer_due(c, now)):
                await self.store.write(lambda c: commands.fire_due(c, now, 200))
            busy = len(self._active) + len(self._aside)
            found = await self.store.read(lambda c: work.pending(c, now, room + busy, self.owner))
        except StoreUnavailable:
            await self.clock.sleep(STORE_PAUSE)
            return []
        return [id for id in found if id not in self._active and id not in self._aside][:room]

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
            taken = await self._write(lambda c: self._take(c, purchase_id))
            while taken and not stop.is_set():
                if taken.facts:
                    taken = await self._decide_all(taken)
                elif taken.task:
                    taken = await self._do(taken.task, taken.lease)
                else:
                    return
        except (LeaseLost, Moved):
            return  # somebody else goes on with it
        except TooNew:  # of another that this one meets: who can read both goes on
            self._aside.add(purchase_id)
        except Unreadable:
            self._aside.add(purchase_id)  # the others must not wait for a person's repair
            self.watch.alert("unreadable_purchase", purchase_id)

    def _take(
        self, connection: Connection, purchase_id: str, held: Lease | None = None
    ) -> Work | None:
        now = self.clock.now()
        return work.take(connection, purchase_id, self.owner, now, self._lease_end(now), held)

    def _lease_end(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self.lease_seconds)

    async def _decide_all(self, taken: Work) -> Work | None:
        """Decide on all facts and store that in one transaction, which also takes what is next.

        If it fails, the first decision is stored alone and the others are made anew.
        """
        began = self.clock.monotonic()
        steps = self._steps(taken)
        try:
            following = await self._write(lambda c: self._store(c, steps, taken.lease))
        except (LeaseLost, Moved, TooNew):
            raise
        except Exception as error:  # noqa: BLE001 - what can't be stored must not stop the others
            alone = steps[0] if len(steps) > 1 else steps[0].buried(type(error).__name__)
            steps = [alone]
            following = await self._write(lambda c: self._store(c, steps, taken.lease))
        seconds = (self.clock.monotonic() - began) / len(steps)
        for step in steps:
            step.tell(self.watch, seconds)
        self.told()
        self.changes.tell(taken.purchase.id)
        return following

    def _steps(self, taken: Work) -> list[Step]:
        purchase, steps = taken.purchase, []
        for entry in taken.facts:
            step = self._step(purchase, entry, taken.lease)
            steps.append(step)
            purchase = step.after
        return steps

    def _step(self, purchase: Purchase, entry: Entry, lease: Lease) -> Step:
        """One decision; what can't be decided becomes a dead letter."""
        moment = Moment(now=self.clock.now(), at=entry.at, epoch=lease.epoch)
        tracing.follow(entry.trace)  # until this purchase is left
        try:
            decision = decide(purchase, decoded(entry), moment, self.policy)
        except Undecidable as error:
            return Step(purchase, entry, moment.now, reason=str(error))
        except Exception as error:  # noqa: BLE001 - one fact must not stop the others; it is shown
            return Step(purchase, entry, moment.now, reason=f"no decision: {type(error).__name__}")
        return Step(purchase, entry, moment.now, decision, trace=tracing.current())

    def _store(self, connection: Connection, steps: Sequence[Step], lease: Lease) -> Work | None:
        for step in steps:
            step.store(connection, lease, self.sinks)
        return self._take(connection, steps[0].before.id, lease)

    async def _do(self, task: Task, lease: Lease) -> Work | None:
        """Run one command. A mutation is stored as `sending` first, in a commit of its own."""
        fence = self.clock.monotonic() + self.lease_seconds
        mutation = task.command.kind in MUTATIONS
        if mutation and not await self._write(lambda c: self._begin(c, task, lease)):
            return await self._write(lambda c: self._take(c, task.purchase_id, lease))
        send_by = min(fence - self.platform.timeout, self._permitted_until(task))
        with context(purchase_id=task.purchase_id):
            result = await perform(self.platform, task, send_by)
        following = await self._write(lambda c: self._end(c, task, result, lease))
        self.watch.performed(task, result)
        return following

    def _end(self, connection: Connection, task: Task, result: Result, lease: Lease) -> Work | None:
        work.end(connection, task, result, self.clock.now())
        return self._take(connection, task.purchase_id, lease)

    def _permitted_until(self, task: Task) -> float:
        """The monotonic moment at which the reading behind a submission is too old (I1)."""
        if not isinstance(task.command, Submit):
            return math.inf
        left = task.command.permit.not_after - self.clock.now()
        return self.clock.monotonic() + left.total_seconds()

    def _begin(self, connection: Connection, task: Task, lease: Lease) -> bool:
        """Whether it may be sent."""
        now = self.clock.now()
        return work.begin(connection, task, lease, now, self._lease_end(now)) is not None

    async def _write(self, job: Callable[[Connection], T]) -> T:
        """Write, again and again while the database can't take it: nothing may be lost (I7).

        Once we are to stop, for a while only; then `StoreUnavailable` ends the process, and what
        was being sent is looked up by the next one.
        """
        patience = STOP_PATIENCE
        while True:
            try:
                return await self.store.write(job)
            except StoreUnavailable:
                patience -= STORE_PAUSE if self._stop.is_set() else 0.0
                if patience <= 0:
                    raise
            await self.clock.sleep(STORE_PAUSE)
