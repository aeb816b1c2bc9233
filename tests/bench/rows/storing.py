"""The same with a store that has been used for long, beside an empty one."""

from collections.abc import Awaitable, Callable

from tests.bench.books import drained
from tests.bench.report import Case
from tests.bench.rows.acks import WARM, pushed
from tests.bench.rows.orders import p99, selling
from tests.bench.stage import Bench

MOST = 1.5
Timed = Callable[[Bench, str], Awaitable[float]]


async def stored_ack(bench: Bench) -> list[Case]:
    """The median ack, with 32 connections that never rest."""
    return await _beside_empty(bench, "median ack", _ack)


async def stored_order(bench: Bench) -> list[Case]:
    """The order's p99, as in the row `order`."""
    return await _beside_empty(bench, "order p99", _order)


async def _beside_empty(bench: Bench, name: str, timed: Timed) -> list[Case]:
    full = await bench.full()

    async def empty() -> float:
        with bench.database("postgres") as url:
            return await timed(bench, url)

    much, none = await bench.rounds(lambda: timed(bench, full), empty)
    return [Case(name, "ms", "at most", MOST, much, none)]


async def _ack(bench: Bench, url: str) -> float:
    async with bench.serving(url) as server:
        await pushed(bench, server, WARM)
        seen = await pushed(bench, server, bench.options.seconds)
        await drained(url, 600.0)
    return seen.p50 * 1000


async def _order(bench: Bench, url: str) -> float:
    async with selling(bench, url) as counter:
        return await p99(bench, counter, ours=True)
