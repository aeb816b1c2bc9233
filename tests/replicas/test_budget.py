"""The shares of the rate budget (I10): several limiters over one real database."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from consumer.clock import Clock, SharedClock, SystemClock
from consumer.platform import Priority, SharedLimiter
from consumer.platform.shared_limiter import Demand
from consumer.sharing import LIVES, SILENT, Sharing
from consumer.store import budget, marks
from consumer.store.engine import Job, Store, StoreUnavailable, T
from consumer.store.opening import open_engine, open_store
from consumer.store.tables import shares
from consumer.store.timekeeping import set_clock
from deploy.sandbox.limiter import Limiter as Platform
from tests.shell.service.parts import ShiftedClock
from tests.shell.service.serving import eventually

RATE = 200.0
BUSY = Demand(shoppers=RATE)
_names = itertools.count(1)


@dataclass
class Time:
    """The one true time, and how far a machine's clocks are from it."""

    seconds: float = 0.0


@dataclass
class Dial:
    """A machine's clocks, as far as the test has moved them."""

    time: Time
    booted: float = 0.0
    wrong: float = 0.0

    def now(self) -> datetime:
        return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time.seconds + self.wrong)

    def monotonic(self) -> float:
        return self.time.seconds - self.booted

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _nothing() -> None:
    """Nothing happens on the way."""


@dataclass
class Road:
    """A store to which something happens on the way there, or on the way back."""

    store: Store
    there: Callable[[], Awaitable[None]] = _nothing
    back: Callable[[], Awaitable[None]] = _nothing

    async def write(self, job: Job[T], *, ingress: bool = False) -> T:
        await self.there()
        result = await self.store.write(job, ingress=ingress)
        await self.back()
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@dataclass
class Replicas:
    """Processes that share one database's budget."""

    store: Store
    time: Time = field(default_factory=Time)
    all: list[Sharing] = field(default_factory=list)

    def join(self, wanted: Demand = BUSY, clock: Clock | None = None) -> Sharing:
        """A process that has asked for nothing yet."""
        number = next(_names)
        clock = clock or Dial(self.time, booted=1000.0 * number)
        road = Road(self.store)
        limiter = SharedLimiter(clock)
        sharing = Sharing(road, clock, limiter, RATE, f"replica-{number}", wanted=wanted)
        self.all.append(sharing)
        return sharing

    async def rows(self) -> dict[str, float]:
        """The rates in the table, by process."""

        def job(connection: Connection) -> dict[str, float]:
            columns = (shares.c.replica, shares.c.rate)
            return {row.replica: row.rate for row in connection.execute(select(*columns))}

        return await self.store.read(job)

    async def within(self) -> None:
        """Claims that nobody can send more than the rate, by the rows and by the limiters."""
        assert sum((await self.rows()).values()) <= RATE + 1e-6
        assert sum(each.limiter.share for each in self.all) <= RATE + 1e-6

    async def settle(self, rounds: int = 6) -> None:
        """Everybody renews, some times."""
        for _ in range(rounds):
            self.time.seconds += 0.5
            for each in self.all:
                await each.renew()
                await self.within()


@pytest.fixture
def replicas(store: Store) -> Replicas:
    return Replicas(store)


async def test_the_first_has_all_and_a_joiner_waits_until_it_shrank(replicas: Replicas) -> None:
    first = replicas.join()
    await first.renew()
    assert first.limiter.share == RATE
    second = replicas.join()
    await second.renew()
    assert second.limiter.share == 0
    assert await first.renew()  # told to shrink: somebody waits for it
    assert first.limiter.share == pytest.approx(RATE / 2)
    await second.renew()
    assert second.limiter.share == 0  # the first may not have heard it yet, for all we know
    await first.renew()
    await second.renew()
    assert second.limiter.share == pytest.approx(RATE / 2)
    await replicas.within()


async def test_what_a_leaver_had_is_taken_over_at_once(replicas: Replicas) -> None:
    one, two = replicas.join(), replicas.join()
    await replicas.settle()
    replicas.all.remove(one)
    await replicas.store.write(lambda c: budget.leave(c, one.id))
    await two.renew()
    assert two.limiter.share == pytest.approx(RATE)


async def test_a_share_that_is_not_renewed_ends_and_only_then_is_taken_over(
    replicas: Replicas,
) -> None:
    dead, other = replicas.join(), replicas.join()
    await replicas.settle()
    for seconds in (LIVES - 0.01, 0.02, SILENT - LIVES - 0.02):
        replicas.time.seconds += seconds
        await other.renew()
        assert (dead.limiter.share > 0) == (seconds == LIVES - 0.01)
        assert other.limiter.share == pytest.approx(RATE / 2)
    replicas.time.seconds += 0.02
    await other.renew()
    assert other.limiter.share == pytest.approx(RATE)
    assert list(await replicas.rows()) == [other.id]
    await dead.renew()  # it was only slow: a joiner like any other
    assert dead.limiter.share == 0
    await replicas.settle()
    assert dead.limiter.share == pytest.approx(RATE / 2)


async def test_a_process_that_was_frozen_sends_nothing_by_its_old_share(
    replicas: Replicas,
) -> None:
    frozen = replicas.join()
    await frozen.renew()
    waits = [asyncio.create_task(frozen.limiter.acquire()) for _ in range(3)]
    replicas.time.seconds += 60
    assert frozen.limiter.shut() > 0
    done, _ = await asyncio.wait(waits, timeout=0.2)
    assert not done
    await frozen.renew()
    await eventually(lambda: _passed(replicas, waits))


async def _passed(replicas: Replicas, waits: list["asyncio.Task[float]"]) -> bool:
    replicas.time.seconds += 0.01
    return all(each.done() for each in waits)


@pytest.mark.parametrize("where", ["there", "back"])
async def test_an_answer_that_took_too_long_is_no_share(replicas: Replicas, where: str) -> None:
    frozen = replicas.join()

    async def freeze() -> None:
        replicas.time.seconds += LIVES

    setattr(frozen.store, where, freeze)
    await frozen.renew()
    assert frozen.limiter.share == 0


async def test_whoever_froze_on_the_way_to_the_database_takes_nothing_from_the_others(
    replicas: Replicas,
) -> None:
    one, two = replicas.join(), replicas.join()
    await replicas.settle()

    async def meanwhile() -> None:
        replicas.time.seconds += SILENT
        await two.renew()
        replicas.time.seconds += SILENT
        await two.renew()
        assert two.limiter.share == pytest.approx(RATE)

    assert isinstance(one.store, Road)
    one.store.there = meanwhile
    await one.renew()
    assert one.limiter.share == 0
    await replicas.within()


async def test_a_database_that_is_away_ends_the_shares(replicas: Replicas) -> None:
    cut_off = replicas.join(clock=SystemClock())

    async def away() -> None:
        raise StoreUnavailable("away")

    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cut_off.run(stop))
        await eventually(lambda: _is(lambda: cut_off.limiter.share == RATE))
        assert isinstance(cut_off.store, Road)
        cut_off.store.there = away
        await eventually(lambda: _is(lambda: cut_off.limiter.share == 0))
        cut_off.store.there = _nothing
        await eventually(lambda: _is(lambda: cut_off.limiter.share > 0))
        stop.set()


async def _is(condition: Callable[[], bool]) -> bool:
    return condition()


async def test_wall_clocks_may_show_anything(replicas: Replicas) -> None:
    clocks = [Dial(replicas.time, wrong=wrong) for wrong in (0.0, 60.0, -60.0)]
    processes = [replicas.join(clock=clock) for clock in clocks]
    await replicas.settle()
    assert [each.limiter.share for each in processes] == pytest.approx([RATE / 3] * 3)
    for clock, jump in zip(clocks, (-3600, 3600, -86_400), strict=True):
        clock.wrong += jump
    await replicas.settle(2)
    assert [each.limiter.share for each in processes] == pytest.approx([RATE / 3] * 3)


async def test_a_429_pauses_all_and_those_who_come_later(replicas: Replicas) -> None:
    told, other = replicas.join(), replicas.join()
    await replicas.settle()
    told.limiter.pause(30)
    await told.renew()
    await other.renew()
    later = replicas.join()
    await later.renew()
    for each in (told, other, later):
        assert each.limiter.shut() == pytest.approx(30)
    replicas.time.seconds += 30.1
    for each in (told, other):
        await each.renew()
        assert each.limiter.shut() == 0


async def test_a_429_is_told_at_once(replicas: Replicas) -> None:
    stop = asyncio.Event()
    one, other = (replicas.join(clock=SystemClock()) for _ in range(2))
    async with asyncio.TaskGroup() as tasks:
        for each in (one, other):
            tasks.create_task(each.run(stop))
        await eventually(lambda: _is(lambda: other.limiter.share > 0 < one.limiter.share))
        one.limiter.pause(20)
        await eventually(lambda: _is(lambda: other.limiter.shut() > 15), 5)
        stop.set()
    assert await replicas.rows() == {}


async def test_hosts_whose_clocks_differ_by_a_minute_pause_equally_long(postgres_url: str) -> None:
    store = open_store(open_engine(postgres_url))
    replicas = Replicas(store)
    clocks = [SharedClock(ShiftedClock(seconds)) for seconds in (60.0, 0.0, -60.0)]
    for clock in clocks:
        await set_clock(store, clock)
    one, *others = [replicas.join(clock=clock) for clock in clocks]
    one.limiter.pause(30)
    await one.renew()
    for each in others:
        await each.renew()
        assert 28 < each.limiter.shut() < 31
    paused = await store.read(lambda c: marks.at(c, budget.PAUSED))
    assert paused is not None
    assert 20 < (paused - datetime.now(UTC)).total_seconds() < 31
    await store.close()


async def test_need_decides_and_an_idle_process_keeps_little(replicas: Replicas) -> None:
    busy, idle = replicas.join(), replicas.join(Demand())
    await replicas.settle()
    assert busy.limiter.share >= 0.95 * RATE
    assert 0 < idle.limiter.share
    idle.wanted = Demand(shoppers=20)
    await replicas.settle()
    assert idle.limiter.share >= 20
    assert busy.limiter.share >= RATE - 26


async def test_shoppers_anywhere_come_before_timers_elsewhere(replicas: Replicas) -> None:
    backfill, shop = replicas.join(Demand(others=RATE)), replicas.join(Demand(shoppers=150))
    await replicas.settle()
    assert shop.limiter.share >= 150
    assert backfill.limiter.share >= RATE * budget.FLOOR


@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 300)), min_size=1, max_size=90))
def test_fair_shares_sum_to_the_rate_and_leave_nobody_without(
    needs: list[tuple[float, float]],
) -> None:
    shoppers = {f"r{n:02}": need for n, (need, _) in enumerate(needs)}
    others = {f"r{n:02}": need for n, (_, need) in enumerate(needs)}
    found = budget.fair(RATE, shoppers, others)
    assert sum(found.values()) == pytest.approx(RATE)
    assert min(found.values()) >= min(RATE * budget.FLOOR, RATE / 2 / len(needs)) - 1e-9
    equal = RATE * 0.5 / len(needs)
    assert all(found[each] >= min(shoppers[each], equal) - 1e-9 for each in found)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_the_shares_stay_within_the_rate(
    replicas: Replicas, seed: int
) -> None:
    rng = random.Random(seed)
    for _ in range(120):
        await _something(replicas, rng)
        await replicas.within()


async def _something(replicas: Replicas, rng: random.Random, depth: int = 0) -> None:
    """Somebody joins, leaves, is killed, freezes, needs more or less, or renews."""
    replicas.time.seconds += rng.choice((0.01, 0.3, 1.0, 1.0, 2.9, LIVES, SILENT))
    what = rng.random()
    if what < 0.12 or not replicas.all:
        replicas.join(Demand(rng.choice((0, 10, RATE)), rng.choice((0, 50, RATE))))
    elif what < 0.17:
        leaver = replicas.all.pop(rng.randrange(len(replicas.all)))
        await replicas.store.write(lambda c: budget.leave(c, leaver.id))
    elif what < 0.25:
        victim = rng.choice(replicas.all)
        victim.wanted = Demand(rng.choice((0, 10, RATE)), rng.choice((0, 50, RATE)))
    elif depth < 2:
        one = rng.choice(replicas.all)
        assert isinstance(one.store, Road)

        async def meanwhile() -> None:
            if rng.random() < 0.3:
                await _something(replicas, rng, depth + 1)
                assert sum(each.limiter.share for each in replicas.all) <= RATE + 1e-6

        one.store.there = one.store.back = meanwhile
        await one.renew()


@dataclass
class Shop:
    """Calls of one process, some at a time, at a platform that counts exactly."""

    sharing: Sharing
    platform: Platform
    made: int = 0
    refused: int = 0

    async def call(self, stop: asyncio.Event, priority: Priority = Priority.INTERACTIVE) -> None:
        while not stop.is_set():
            await self.sharing.limiter.acquire(priority)
            if self.platform.allows("sk_live_1"):
                self.made += 1
            else:
                self.refused += 1
            await asyncio.sleep(0.15)


@asynccontextmanager
async def open_shops(url: str, busy: int, idle: int = 0) -> AsyncIterator[list[Shop]]:
    """Processes with stores of their own, in real time; the busy ones want more than there is."""
    platform = Platform(RATE)
    stop, clock = asyncio.Event(), SystemClock()
    async with AsyncExitStack() as stack:
        stores = [open_store(open_engine(url)) for _ in range(busy + idle)]
        for store in stores:
            stack.push_async_callback(store.close)
        shops = [
            Shop(Sharing(store, clock, SharedLimiter(clock), RATE, f"shop-{n}"), platform)
            for n, store in enumerate(stores)
        ]
        async with asyncio.TaskGroup() as tasks:
            callers = []
            for place, shop in enumerate(shops):
                tasks.create_task(shop.sharing.run(stop))
                callers += [
                    tasks.create_task(shop.call(stop)) for _ in range(64 if place < busy else 0)
                ]
            try:
                yield shops
            finally:
                stop.set()
                for caller in callers:
                    caller.cancel()


def limiters(shops: list[Shop]) -> Iterator[SharedLimiter]:
    return (shop.sharing.limiter for shop in shops)


async def used_in(seconds: float, shops: list[Shop]) -> float:
    """Calls a second that the platform took from all of them, in this stretch."""
    clock = SystemClock()
    began, made = clock.monotonic(), sum(shop.made for shop in shops)
    await eventually(lambda: _is(lambda: clock.monotonic() - began > seconds), seconds + 10)
    return (sum(shop.made for shop in shops) - made) / (clock.monotonic() - began)


@pytest.mark.parametrize(("busy", "idle"), [(1, 0), (3, 0), (1, 2)])
async def test_nine_tenths_of_the_rate_are_used_and_nothing_is_refused(
    database_url: str, busy: int, idle: int
) -> None:
    async with open_shops(database_url, busy, idle) as shops:
        part = 0.94 * RATE / busy
        await eventually(lambda: _is(lambda: min(x.share for x in limiters(shops[:busy])) > part))
        used = 0.0
        for _ in range(5):  # a machine that has others' work to do may lose a stretch
            if used < 0.9 * RATE:
                used = await used_in(2.0, shops)
        assert used >= 0.9 * RATE
        assert sum(shop.refused for shop in shops) == 0
        if busy == 3:
            assert [x.share for x in limiters(shops)] == pytest.approx([RATE / 3] * 3, rel=0.05)


async def test_processes_come_and_go_without_a_refusal(database_url: str) -> None:
    async with open_shops(database_url, 2) as shops:
        await eventually(lambda: _is(lambda: min(x.share for x in limiters(shops)) > 90))
        clock, late = SystemClock(), open_store(open_engine(database_url))
        joiner = Shop(Sharing(late, clock, SharedLimiter(clock), RATE, "joiner"), shops[0].platform)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(joiner.sharing.run(stop))
            calls = [tasks.create_task(joiner.call(stop)) for _ in range(64)]
            await eventually(lambda: _is(lambda: joiner.made > 60))
            for call in calls:
                call.cancel()
            stop.set()
        await late.close()
        await eventually(lambda: _is(lambda: min(x.share for x in limiters(shops)) > 90))
        assert joiner.refused + sum(shop.refused for shop in shops) == 0
