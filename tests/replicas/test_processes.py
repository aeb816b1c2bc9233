"""Replicas that are killed, frozen and stopped: others go on, and nothing is done twice."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.demo.shopper import Shopper
from tests.replicas.house import LEASE, House, house, some_are_in
from tests.services.postgres import Postgres
from tests.shell.service.serving import Service, eventually

SLACK = 15.0  # seconds for a slow machine, beyond the lease


@pytest.fixture
async def many(tmp_path: Path, postgres: Postgres) -> AsyncIterator[House]:
    url = await asyncio.to_thread(postgres.fresh, migrated=False)
    async with house(tmp_path, url) as found:
        yield found


async def in_hand(many: House) -> tuple[Service, list[Shopper]]:
    """A replica that waits for the platform: with half of its shoppers for the answer to a
    submission, with the others for a reading."""
    first = await many.start()
    shoppers = [await many.ready(f"sent-{n}", kind="hang", seconds=1.5) for n in range(3)]
    for number in range(3):
        shoppers.append(await many.ready(f"read-{number}"))
        await many.slow_reading(shoppers[-1], 2.5)
    await asyncio.gather(*(shopper.places_order() for shopper in shoppers))
    return first, shoppers


async def all_accepted(shoppers: list[Shopper], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await asyncio.gather(*(shopper.follows() for shopper in shoppers))
    assert [shopper.purchase["state"] for shopper in shoppers] == ["accepted"] * len(shoppers)


@pytest.mark.parametrize("number", [2, 3])
async def test_replicas_killed_in_turn_under_load_lose_and_double_nothing(
    many: House, number: int
) -> None:
    for _ in range(number):
        await many.start()
    async with many.shopping(seconds=2.0 * number) as crowd:
        for turn, replica in enumerate(list(many.replicas), 1):
            await some_are_in(crowd, turn / (number + 1))
            await replica.kill()
            await replica.start()
    await many.balance()


async def test_a_killed_replicas_purchases_go_on_elsewhere_within_the_lease(many: House) -> None:
    first, shoppers = await in_hand(many)
    await many.start()
    await first.kill()
    await all_accepted(shoppers, LEASE + SLACK)
    await many.balance()


async def test_a_frozen_replica_that_wakes_doubles_nothing(many: House) -> None:
    first, shoppers = await in_hand(many)
    many.signal(first, signal.SIGSTOP)
    await many.start()
    await all_accepted(shoppers, LEASE + SLACK)
    many.signal(first, signal.SIGCONT)
    # It works again: what it is told alone, it does.
    many.door.replicas.remove(many.replicas[1])
    late = await many.ready("late")
    await late.places_order()
    await all_accepted([late], 60.0)
    await many.balance()


async def test_a_replica_frozen_under_load_doubles_nothing(many: House) -> None:
    replicas = [await many.start() for _ in range(3)]
    async with many.shopping(seconds=4.0) as crowd:
        await some_are_in(crowd, 0.4)
        many.signal(replicas[0], signal.SIGSTOP)
        frozen = time.monotonic()
        await eventually(lambda: over(frozen), 60.0, "its leases end")
        many.signal(replicas[0], signal.SIGCONT)
    await many.balance()


async def over(since: float) -> bool:
    """Whether every lease of that moment has ended."""
    return time.monotonic() > since + LEASE + 1


async def test_a_stopped_replica_hands_its_purchases_over_at_once(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = await asyncio.to_thread(postgres.fresh, migrated=False)
    async with house(tmp_path, url, PLATFORM_TIMEOUT="60") as many:
        first, shoppers = await in_hand(many)
        await many.start()
        await many.stop(first)
        await all_accepted(shoppers, 60.0)  # its leases would last for 75
        await many.balance()
