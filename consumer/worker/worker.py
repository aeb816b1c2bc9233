"""The worker: takes purchases that have something to do, decides, and does it."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection

from consumer.clock import Clock
from consumer.errors import Unavailable
from consumer.observe import context, tracing
from consumer.platform import Platform, Priority
from consumer.signals import Changes, Signal
from consumer.store import commands, leases, work
from consumer.store.commands import Task
from consumer.store.engine import Job, Store, StoreUnavailable, Together
from consumer.store.leases import Lease, LeaseLost
from consumer.store.purchases import Moved, TooNew, Unreadable
from consumer.store.work import Step
from consumer.worker.perform import perform
from consumer.worker.step import Watch, tell
from consumer.worker.turn import Done, Turn, Turns
from handlers.hurry import hurries
from handlers.policy import Policy
from schemas import results
from schemas.commands import MUTATIONS, Submit
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
    concurrency: int = 256
    _active: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _aside: set[str] = field(default_factory=set)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _turns: Turns = field(init=False)

    def __post_init__(self) -> None:
        lease = timedelta(seconds=self.lease_seconds)
        self._turns = Turns(self.clock, self.policy, self.owner, self.sinks, lease)

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
            without = self._active.keys() | self._aside
            return await self.store.read(lambda c: work.pending(c, now, room, self.owner, without))
        except StoreUnavailable:
            await self.clock.sleep(STORE_PAUSE)
            return []

    def _start(self, group: asyncio.TaskGroup, purchase_id: str, stop: asyncio.Event) -> None:
        task = group.create_task(self._drain(purchase_id, stop), name=f"purchase/{purchase_id}")
        self._active[purchase_id] = task
        task.add_done_callback(lambda _task: self._ended(purchase_id))

    def _ended(self, purchase_id: str) -> None:
        del self._active[purchase_id]
        self.signal.set()  # a fact may have come after its last look

    async def _drain(self, purchase_id: str, stop: asyncio.Event) -> None:
        """Work on one purchase until there is nothing to do for it now."""
        turn = Turn(purchase_id)
        try:
            while not stop.is_set():
                done = await self._take(turn)
                if done is None:
                    return  # somebody else goes on with it
                turn = Turn(purchase_id, done.lease, trace=done.trace)
                tracing.follow(done.trace)  # until this purchase is left
                if stop.is_set():
                    return
                if done.task:
                    ended = await self._do(done.task, done.lease, self._priority(done))
                    turn = replace(turn, ended=ended)
                elif not done.more:
                    return
            await self._keep_answer(turn)  # the next process decides on it
        except (LeaseLost, Moved):
            return
        except TooNew:  # of another that this one meets: who can read both goes on
            self._aside.add(purchase_id)
            self.watch.alert("newer_purchase", purchase_id)
            await self._release(turn)
        except Unreadable:
            self._aside.add(purchase_id)  # the others must not wait for a person's repair
            self.watch.alert("unreadable_purchase", purchase_id)

    async def _take(self, turn: Turn) -> Done | None:
        """One transaction: store an answer, decide on facts, see what is next.

        If it fails, the answer and the first decision are stored alone, and if that fails too the
        fact is a dead letter: it must not stop the others.
        """
        began = self.clock.monotonic()
        try:
            done = await self._write(self._job(turn))
        except StoreUnavailable:
            raise
        except (LeaseLost, Moved, TooNew):
            await self._keep_answer(turn)
            raise
        except Exception as error:
            await self._keep_answer(turn)
            alone = replace(turn, ended=None, most=1)
            if turn.most == 1:
                alone = replace(alone, bury=f"not stored: {type(error).__name__}")
            if turn.bury:
                raise Unreadable(turn.purchase_id) from error
            return await self._take(alone)
        if isinstance(done, Unreadable):
            raise done
        if turn.ended:
            self.watch.performed(*turn.ended)
        if done and done.steps:
            self._tell(turn.purchase_id, done.steps, self.clock.monotonic() - began)
        return done

    async def _release(self, turn: Turn) -> None:
        """Others need not wait for the end of this lease."""
        if lease := turn.held:
            await self._write(lambda c: leases.release(c, lease, self.clock.now()))

    def _job(self, turn: Turn) -> Job[Done | Unreadable | None]:
        return Together(self._turns.take, turn)

    async def _keep_answer(self, turn: Turn) -> None:
        """Whatever else can't be stored, an answer is (I7)."""
        if turn.ended:
            task, result = turn.ended
            await self._write(lambda c: commands.end(c, task, result, self.clock.now()))
            self.watch.performed(task, result)

    def _tell(self, purchase_id: str, steps: Sequence[Step], seconds: float) -> None:
        for step in steps:
            tell(step, self.watch, seconds / len(steps))
        self.told()
        self.changes.tell(purchase_id)

    async def _do(self, task: Task, lease: Lease, priority: Priority) -> tuple[Task, Result] | None:
        """Run one command. A mutation waits for its budget first; then it is stored as `sending`,
        in a commit of its own, and sent at once. `None`: its result is stored already."""
        mutation, turn = task.command.kind in MUTATIONS, None
        try:
            if mutation:
                turn = await self.platform.turn(priority)
        except Unavailable as error:
            unsent = results.Unavailable(retry_after=error.retry_after)
            await self._write(lambda c: self._end_unsent(c, task, unsent, lease))
            self.watch.performed(task, unsent)
            return None
        fence = self.clock.monotonic() + self.lease_seconds
        if mutation and not await self._write(lambda c: self._begin(c, task, lease)):
            return None
        send_by = min(fence - self.platform.timeout, self._permitted_until(task))
        with context(purchase_id=task.purchase_id):
            return task, await perform(self.platform, task, send_by, priority, turn)

    def _priority(self, done: Done) -> Priority:
        """Shoppers who wait come before timers."""
        assert done.task is not None
        hurry = hurries(done.purchase, done.task.command, self.clock.now())
        return Priority.INTERACTIVE if hurry else Priority.BACKGROUND

    def _end_unsent(self, connection: Connection, task: Task, result: Result, lease: Lease) -> None:
        """Nobody else can have begun it while the lease is ours. Raises `LeaseLost`."""
        now = self.clock.now()
        leases.check(connection, lease, now)
        commands.end(connection, task, result, now)

    def _permitted_until(self, task: Task) -> float:
        """The monotonic moment at which the reading behind a submission is too old (I1)."""
        if not isinstance(task.command, Submit):
            return math.inf
        left = task.command.permit.not_after - self.clock.now()
        return self.clock.monotonic() + left.total_seconds()

    def _begin(self, connection: Connection, task: Task, lease: Lease) -> bool:
        """Whether it may be sent."""
        now = self.clock.now()
        until = now + timedelta(seconds=self.lease_seconds)
        return work.begin(connection, task, lease, now, until) is not None

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
