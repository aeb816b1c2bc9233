"""The platform's budget of calls: how much of it is used when there is work for all of it."""

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from tests.bench import documents
from tests.bench.books import do, fill
from tests.bench.report import Case
from tests.bench.shop import Checkout, Shop, opened
from tests.bench.stage import PLATFORM_LIMIT, Bench
from tests.bench.waiting import until

RATE = 200  # calls a second: the default of a live key, and what all replicas share
LATENCY = 0.150  # seconds that the platform takes
CALLS = 3  # of one purchase at the least
WARM = 3.0  # seconds after the first call: leases and shares are dealt


async def budget(bench: Bench, replicas: int) -> list[Case]:
    """Calls a second in parts of the budget, and the answers that said 429."""
    rates, refused = [], []
    for _ in range(bench.options.rounds):
        rate, told = await _spent(bench, replicas)
        rates.append(rate)
        refused.append(told)
    share = [float(RATE)] * len(rates)
    return [
        Case("calls", "/s", "at least", 0.90, rates, share),
        Case("429s", "", "at most", 0.0, refused),
    ]


async def _spent(bench: Bench, replicas: int) -> tuple[float, float]:
    seconds = bench.options.seconds
    number = int(RATE * (seconds + 2 * WARM) / CALLS)
    limit = ("--rate", str(PLATFORM_LIMIT), "--webhook-url", "", "--set", "webhooks=off")
    with bench.database("postgres") as url:
        async with bench.sandbox(*limit) as sandbox, opened(sandbox.url) as shop:
            await _handed_over(url, await shop.ready(number))
            await shop.latency(LATENCY)
            before = await _requests(shop)
            async with AsyncExitStack() as stack:
                settings = {"PLATFORM_RATE": str(RATE)}
                starting = (bench.serving(url, sandbox.url, **settings) for _ in range(replicas))
                for service in starting:
                    await stack.enter_async_context(service)

                async def begun() -> bool:
                    return await _requests(shop) > before

                await until(begun, 30.0, "the first call of the platform")
                await asyncio.sleep(WARM)
                first, began = await shop.ledger(), time.monotonic()
                await asyncio.sleep(seconds)
                last, took = await shop.ledger(), time.monotonic() - began
    return (last["requests"] - first["requests"]) / took, float(last["rateLimited"])


async def _requests(shop: Shop) -> int:
    return int((await shop.ledger())["requests"])


async def _handed_over(url: str, checkouts: list[Checkout]) -> None:
    """The merchant's events about them wait in the inbox."""
    now = datetime.now(UTC)
    facts = (documents.submit_requested(each.id, each.request, now) for each in checkouts)
    await fill(url, "inbox", facts)
    await do(url, "ANALYZE")
