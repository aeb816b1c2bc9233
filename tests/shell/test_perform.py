"""Commands whose ids no URL can carry: answered like any other, never the end of the worker."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from consumer.clock import SystemClock
from consumer.platform import LocalLimiter, Platform
from consumer.store.commands import Task
from consumer.worker.perform import perform
from deploy.sandbox import checkouts
from deploy.sandbox.server import Options, Sandbox, running
from schemas.commands import Command, FindOrders, ReadCheckout, ReadOrder
from schemas.results import Rejected, Succeeded

KEY = "sk_test_sandbox"
LONG = "x" * 70_000


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(Options(keys=(KEY,))) as started:
        yield started


async def run(sandbox: Sandbox, command: Command) -> Any:
    clock = SystemClock()
    now = datetime.now(UTC)
    task = Task("pur_1/1/x", "pur_1", command, "planned", 1, now, None, None)
    limiter = LocalLimiter(100, clock)
    async with Platform(url=sandbox.url, key=KEY, limiter=limiter, clock=clock) as platform:
        return await perform(platform, task, clock.monotonic() + 10)


@pytest.mark.parametrize("id", ["..", "", LONG])
async def test_an_impossible_order_is_not_there(sandbox: Sandbox, id: str) -> None:
    assert await run(sandbox, ReadOrder(order_id=id)) == Rejected(status=404)


@pytest.mark.parametrize("id", ["..", LONG])
async def test_an_impossible_checkout_is_not_there(sandbox: Sandbox, id: str) -> None:
    command = ReadCheckout(checkout_id=id, checkout_ids=(id,), upstream_id="web-1")
    assert await run(sandbox, command) == Rejected(status=404)


async def test_orders_of_an_impossible_upstream_id_can_not_be_listed(sandbox: Sandbox) -> None:
    command = FindOrders(checkout_ids=("c1",), upstream_id=LONG)
    assert await run(sandbox, command) == Rejected(status=404)


@pytest.mark.parametrize("id", ["..", ".", LONG])
async def test_an_impossible_customer_is_nobody(sandbox: Sandbox, id: str) -> None:
    body = {"currency": "EUR", "items": [{"skuId": "kbd-1", "quantity": 1, "price": 5.0}]}
    made = checkouts.create(sandbox.world, False, body)
    made.fields["customerId"] = id
    command = ReadCheckout(checkout_id=made.id, checkout_ids=(made.id,), upstream_id="web-1")
    result = await run(sandbox, command)
    assert isinstance(result, Succeeded)
    assert result.body["customer"] is None
