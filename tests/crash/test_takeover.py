"""A worker outlives its lease while its POST /orders is in flight, and another takes over.

The first one's clock is behind when it takes the lease, which so ends while the call still hangs:
by the right clock the first one has stalled.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.sandbox.server import Options, running
from tests.shell.sandbox.shop import Shop
from tests.shell.service.parts import Parts, ShiftedClock, Witness, parts, until
from tests.shell.service.serving import KEY, eventually

TIMEOUT = 4.0  # seconds for a call; a lease is 15 longer
LAG = 1.0  # seconds that the lease lasts by the right clock


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        running(Options(keys=(KEY,), rate=1000.0)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=headers) as http,
    ):
        yield Shop(sandbox, http)


async def overtaken(
    shop: Shop, house: Parts, settle: float, **fault: Any
) -> tuple[str, Witness, Witness]:
    """The purchase, and the witnesses of the worker that stalled and of the one that took over."""
    checkout = await shop.ready()
    await shop.fault("hang", seconds=3.0, **fault)
    policy: dict[str, Any] = {"settle": timedelta(seconds=settle)}
    first = house.worker("first", ShiftedClock(0.0), **policy)[0]
    behind = ShiftedClock(LAG - first.lease_seconds)
    (first, saw_first), (second, saw_second) = (
        house.worker("first", behind, **policy),
        house.worker("second", **policy),
    )
    purchase = await house.admit(checkout["id"], "web-1")
    house.start(first)
    await until(lambda: shop.sandbox.ledger["submissions"])
    behind.seconds = 0.0  # set right: the lease that it took is nearly over
    house.start(second)
    return purchase.id, saw_first, saw_second


async def both_results(house: Parts, id: str) -> None:
    """The command's two results are both facts, and both were decided upon."""
    key = f"{id}/1/submit/1/1"

    async def found() -> bool:
        facts = await house.facts(id)
        done = [f for f in facts if f.id.startswith(key) and f.status in ("done", "ignored")]
        return {fact.id.removeprefix(f"{key}/") for fact in done} == {"abandoned", "answer"}

    await eventually(found)


async def test_the_order_is_found_by_the_second_and_the_late_answer_changes_nothing(
    shop: Shop, tmp_path: Path, database_url: str
) -> None:
    async with parts(tmp_path, shop.sandbox.url, TIMEOUT, database_url) as house:
        id, first, second = await overtaken(shop, house, settle=6.0)
        done = await house.reaches(id, "accepted")
        assert first.results.count("submit: succeeded") == 0  # its POST is still in flight
        assert "unknown.begin" in second.rules
        decided_before = list(first.rules)
        await both_results(house, id)
        after = await house.purchase(id)
        assert (after.state, after.order) == (done.state, done.order)
        assert first.rules == decided_before  # it answers, but decides nothing any more
    ledger = shop.sandbox.ledger
    assert len(ledger["submissions"]) == len(ledger["orders"]) == len(ledger["chargeAttempts"]) == 1


async def test_an_order_that_is_not_listed_yet_is_known_from_the_late_answer(
    shop: Shop, tmp_path: Path, database_url: str
) -> None:
    await shop.made("POST", "/_sandbox/faults", {"rates": {"list_lag": 30}})
    async with parts(tmp_path, shop.sandbox.url, TIMEOUT, database_url) as house:
        id, first, second = await overtaken(shop, house, settle=20.0)
        await house.reaches(id, "unknown")
        await house.reaches(id, "accepted")
        await both_results(house, id)
        assert second.rules.count("order.accepted") == 1  # a look-up may still answer after it
        assert "order.accepted" not in first.rules
    ledger = shop.sandbox.ledger
    assert len(ledger["submissions"]) == len(ledger["orders"]) == 1


async def test_what_was_not_made_is_repeated_by_the_second_after_settling(
    shop: Shop, tmp_path: Path, database_url: str
) -> None:
    async with parts(tmp_path, shop.sandbox.url, TIMEOUT, database_url) as house:
        id, first, second = await overtaken(shop, house, settle=2.5, commits=False)
        await house.reaches(id, "unknown")
        await house.reaches(id, "accepted")
        await both_results(house, id)
        assert first.results[-1] == "submit: unknown"
        assert second.results.count("submit: succeeded") == 1
    ledger = shop.sandbox.ledger
    one, two = (datetime.fromisoformat(entry["at"]) for entry in ledger["submissions"])
    assert two - one >= timedelta(seconds=LAG + 2.4)  # sent by the lease's end, then settling
    assert len(ledger["orders"]) == len(ledger["chargeAttempts"]) == 1
