"""The rate budget (I10)."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

import pytest

from consumer.platform.limiter import LocalLimiter, Priority
from consumer.platform.shared_limiter import SharedLimiter


class ManualClock:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (self.time + seconds, id(woken), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, waking each sleeper at its moment."""
        end = self.time + seconds
        await settle()
        while self.sleepers and self.sleepers[0][0] <= end:
            at, _, woken = heapq.heappop(self.sleepers)
            self.time = max(self.time, at)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self.time = end


async def settle() -> None:
    """Give every ready task its turn."""
    for _ in range(20):
        await asyncio.sleep(0)


class Calls:
    """Tasks that each want one call; `made` is the order in which they got it."""

    def __init__(self, limiter: LocalLimiter) -> None:
        self.limiter = limiter
        self.made: list[str] = []
        self.waited: dict[str, float] = {}

    def want(self, name: str, priority: Priority = Priority.INTERACTIVE) -> asyncio.Task[None]:
        return asyncio.create_task(self._call(name, priority))

    async def _call(self, name: str, priority: Priority) -> None:
        self.waited[name] = await self.limiter.acquire(priority)
        self.made.append(name)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_no_window_of_a_second_exceeds_the_rate_and_the_burst(clock: ManualClock) -> None:
    limiter = LocalLimiter(20, clock, burst=2)
    made: list[float] = []

    async def call() -> None:
        await limiter.acquire()
        made.append(clock.monotonic())

    tasks = [asyncio.create_task(call()) for _ in range(100)]
    await clock.advance(10)
    await asyncio.gather(*tasks)
    assert made[-1] - made[0] == pytest.approx(98 / 20)
    assert max(sum(t <= u < t + 1 for u in made) for t in made) <= 22


async def test_first_come_is_first_served(clock: ManualClock) -> None:
    calls = Calls(LocalLimiter(1, clock))
    tasks = [calls.want(name) for name in "abcd"]
    await clock.advance(10)
    await asyncio.gather(*tasks)
    assert calls.made == ["a", "b", "c", "d"]
    assert [calls.waited[name] for name in "abcd"] == pytest.approx([0, 1, 2, 3])


async def test_a_shopper_goes_before_background_work(clock: ManualClock) -> None:
    calls = Calls(LocalLimiter(1, clock))
    tasks = [calls.want("first")]
    await settle()
    tasks += [calls.want(f"background {n}", Priority.BACKGROUND) for n in (1, 2)]
    await settle()
    tasks += [calls.want("shopper")]
    await clock.advance(10)
    await asyncio.gather(*tasks)
    assert calls.made == ["first", "shopper", "background 1", "background 2"]


async def test_of_ten_calls_one_is_for_those_in_the_background(clock: ManualClock) -> None:
    calls = Calls(LocalLimiter(1, clock))
    tasks = [calls.want("first")]
    await settle()
    tasks += [calls.want(f"background {n}", Priority.BACKGROUND) for n in (1, 2)]
    tasks += [calls.want(f"shopper {n}") for n in range(25)]
    await clock.advance(40)
    await asyncio.gather(*tasks)
    places = [n for n, name in enumerate(calls.made) if name.startswith("background")]
    assert places == [10, 20]


async def test_shoppers_do_not_wait_for_a_background_that_has_waited_for_nobody(
    clock: ManualClock,
) -> None:
    calls = Calls(LocalLimiter(1, clock))
    tasks = [calls.want(f"shopper {n}") for n in range(20)]
    await clock.advance(15)
    tasks += [calls.want("background", Priority.BACKGROUND)]
    await clock.advance(20)
    await asyncio.gather(*tasks)
    assert calls.made[-1] == "background"


async def test_a_pause_stops_everything_and_ends_without_a_burst(clock: ManualClock) -> None:
    limiter = LocalLimiter(10, clock, burst=5)
    calls = Calls(limiter)
    limiter.pause(120)
    limiter.pause(1)
    tasks = [calls.want(str(n)) for n in range(5)]
    await clock.advance(120)
    assert calls.made == []
    await clock.advance(0.21)
    assert calls.made == ["0", "1"]
    await clock.advance(1)
    await asyncio.gather(*tasks)


async def test_a_pause_reaches_those_who_wait_already(clock: ManualClock) -> None:
    limiter = LocalLimiter(1, clock)
    calls = Calls(limiter)
    tasks = [calls.want("first"), calls.want("second")]
    await clock.advance(0.5)
    limiter.pause(60)
    await clock.advance(60)
    assert calls.made == ["first"]
    await clock.advance(1)
    assert calls.made == ["first", "second"]
    await asyncio.gather(*tasks)


async def test_without_a_share_nobody_is_let_through_and_one_is_used_until_its_end(
    clock: ManualClock,
) -> None:
    limiter = SharedLimiter(clock)
    calls = Calls(limiter)
    tasks = [calls.want(str(n)) for n in range(40)]
    await clock.advance(5)
    assert (calls.made, limiter.share, limiter.shut() > 0) == ([], 0, True)
    limiter.renew(10, 1, until=clock.time + 2)
    await clock.advance(10)
    assert 18 <= len(calls.made) <= 20
    limiter.renew(20, 1, until=clock.time + 1)
    await clock.advance(10)
    assert 37 <= len(calls.made) <= 40
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_nothing_is_saved_while_there_is_no_share(clock: ManualClock) -> None:
    limiter = SharedLimiter(clock)
    limiter.renew(10, 5, until=clock.time + 0.01)
    await clock.advance(60)
    limiter.renew(10, 5, until=clock.time + 60)
    calls = Calls(limiter)
    tasks = [calls.want(str(n)) for n in range(5)]
    await clock.advance(0.05)
    assert calls.made == []
    await clock.advance(1)
    await asyncio.gather(*tasks)


async def test_calls_that_wait_make_the_share_too_small(clock: ManualClock) -> None:
    limiter = SharedLimiter(clock)
    limiter.renew(10, 1, until=clock.time + 60)
    await clock.advance(1)
    limiter.demand(200)
    calls = Calls(limiter)
    tasks = []
    for number in range(4):
        tasks.append(calls.want(f"timer {number}", Priority.BACKGROUND))
        await clock.advance(0.5)
    needs = [(limiter.lacking, limiter.demand(200))]
    tasks += [calls.want(f"shopper {n}") for n in range(5)]
    await settle()
    needs += [(limiter.lacking, limiter.demand(200))]
    assert [lacking for lacking, _ in needs] == [False, True]
    assert [demand.shoppers for _, demand in needs] == [0, 200]
    assert needs[0][1].others == pytest.approx(3.0)
    await clock.advance(5)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("cancelled", [1, 2, 3])
async def test_a_cancelled_waiter_takes_no_budget_and_blocks_nobody(
    clock: ManualClock, cancelled: int
) -> None:
    limiter = LocalLimiter(1, clock)
    calls = Calls(limiter)
    tasks = [calls.want(str(n)) for n in range(5)]
    await clock.advance(0.5)
    tasks[cancelled].cancel()
    await clock.advance(2.6)
    expected = [str(n) for n in range(5) if n != cancelled]
    assert calls.made == expected
    assert limiter.waiting == 0
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_rate_must_be_above_zero(clock: ManualClock) -> None:
    for rate in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="above zero"):
            LocalLimiter(rate, clock)
