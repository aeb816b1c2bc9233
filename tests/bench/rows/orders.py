"""From a ready checkout to its order, one at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deploy.demo.processes import free_port
from tests.bench.books import drained
from tests.bench.report import Case
from tests.bench.shop import Checkout, Shop, opened
from tests.bench.stage import Bench, Server
from tests.bench.wrk import PATH

PACE = 20.0  # orders a second: light load
KINDS = ("sqlite", "postgres")
WARM = 20  # orders before those that are measured


@dataclass(frozen=True)
class Counter:
    """Where one can buy: a sandbox, the service beside it, and a shop."""

    shop: Shop
    service: Server
    database: str


async def order(bench: Bench) -> list[Case]:
    """p99 beside that of two bare calls of the same platform by the same client."""
    cases = []
    for kind in KINDS:
        mine: list[float] = []
        bare: list[float] = []
        for number in range(bench.options.rounds):
            with bench.database(kind) as url:
                async with selling(bench, url) as counter:
                    for ours in (True, False) if number % 2 == 0 else (False, True):
                        (mine if ours else bare).append(await p99(bench, counter, ours=ours))
        cases.append(Case(kind, "ms", "at most", 4.0, mine, bare))
    return cases


@asynccontextmanager
async def selling(bench: Bench, database: str) -> AsyncIterator[Counter]:
    """The service on this database, with a platform that answers at once and sends webhooks."""
    port = free_port()
    webhook = f"http://127.0.0.1:{port}{PATH}"
    async with (
        bench.sandbox("--webhook-url", webhook) as sandbox,
        bench.serving(database, sandbox.url, PORT=str(port)) as service,
        opened(sandbox.url) as shop,
    ):
        yield Counter(shop, service, database)


async def p99(bench: Bench, counter: Counter, *, ours: bool) -> float:
    """Milliseconds within which 99 of 100 orders are there."""
    number = max(50, int(PACE * bench.options.seconds))
    checkouts = await counter.shop.ready(WARM + number)
    await drained(counter.database)

    async def buy(checkout: Checkout) -> None:
        if ours:
            await counter.shop.buy(counter.service.url, checkout)
        else:
            await counter.shop.submit(checkout)

    await paced(buy, checkouts[:WARM])
    before = (await counter.shop.ledger())["requests"]
    times = sorted(await paced(buy, checkouts[WARM:]))
    if ours:
        calls = (await counter.shop.ledger())["requests"] - before
        bench.note("platform calls/order", calls / number)
    return times[int(len(times) * 0.99)] * 1000


async def paced(
    buy: Callable[[Checkout], Awaitable[None]], checkouts: list[Checkout]
) -> list[float]:
    """Seconds of each, begun at an even pace unless the one before took longer."""
    times, begins = [], time.monotonic()
    for checkout in checkouts:
        await asyncio.sleep(max(0.0, begins - time.monotonic()))
        began = time.monotonic()
        await buy(checkout)
        times.append(time.monotonic() - began)
        begins = max(begins + 1 / PACE, time.monotonic())
    return times
