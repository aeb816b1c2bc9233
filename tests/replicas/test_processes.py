"""Replicas that are killed, frozen and stopped: others go on, and nothing is done twice."""

import asyncio
import signal
from pathlib import Path

from deploy.demo.shopper import Shopper
from tests.replicas.house import LEASE, House, house, passed, some_are_in
from tests.services.postgres import Postgres
from tests.shell.service.serving import Service, eventually

SLACK = 15.0  # seconds for a slow machine, beyond the lease


async def in_hand(many: House, names: str) -> tuple[Service, list[Shopper]]:
    """A replica that waits for the platform: for some shoppers for the answer to a submission,
    for the others for a reading."""
    first = await many.start()
    sent = [await many.ready(f"{names}-sent-{n}", kind="hang", seconds=2.5) for n in range(3)]
    read = [await many.ready(f"{names}-read-{n}") for n in range(3)]
    for shopper in read:
        await many.slow_reading(shopper, 2.5)
    placing = asyncio.gather(*(shopper.places_order() for shopper in (*sent, *read)))
    await eventually(lambda: many.met_trouble(6), 30.0, "all wait for the platform")
    many.later.append(placing)
    return first, [*sent, *read]


async def all_accepted(many: House, shoppers: list[Shopper], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await asyncio.gather(*many.later)
        await asyncio.gather(*(shopper.follows() for shopper in shoppers))
    many.later.clear()
    assert [shopper.purchase["state"] for shopper in shoppers] == ["accepted"] * len(shoppers)


async def test_two_replicas_killed_in_turn_under_load_lose_and_double_nothing(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with house(tmp_path, await fresh(postgres)) as many:
        await killed_in_turn(many, 2)


async def test_three_replicas_killed_in_turn_under_load_and_one_frozen_double_nothing(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with house(tmp_path, await fresh(postgres)) as many:
        await killed_in_turn(many, 3, freeze=True)


async def killed_in_turn(many: House, number: int, *, freeze: bool = False) -> None:
    for _ in range(number):
        await many.start()
    async with many.shopping(seconds=2.0 * number) as crowd:
        for turn, replica in enumerate(many.replicas, 1):
            await some_are_in(crowd, turn / (number + 1))
            await replica.kill()
            await replica.start()
        if freeze:
            many.signal(many.replicas[0], signal.SIGSTOP)
            await passed(LEASE + 1)
            many.signal(many.replicas[0], signal.SIGCONT)
    await many.balance()


async def test_purchases_of_a_killed_and_of_a_frozen_replica_go_on_elsewhere_within_the_lease(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with house(tmp_path, await fresh(postgres)) as many:
        frozen, waiting = await in_hand(many, "frozen")
        many.signal(frozen, signal.SIGSTOP)
        killed, more = await in_hand(many, "killed")
        await killed.kill()
        third = await many.start()
        await all_accepted(many, [*waiting, *more], LEASE + SLACK)
        many.signal(frozen, signal.SIGCONT)
        # It works again: what it is told alone, it does.
        await many.stop(third)
        late = await many.ready("late")
        await late.places_order()
        await all_accepted(many, [late], 60.0)
        await many.balance()


async def test_a_stopped_replica_hands_its_purchases_over_at_once(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with house(tmp_path, await fresh(postgres), PLATFORM_TIMEOUT="60") as many:
        first, shoppers = await in_hand(many, "stopped")
        await many.start()
        await many.stop(first)
        await all_accepted(many, shoppers, 60.0)  # its leases would last for 75
        await many.balance()


async def fresh(postgres: Postgres) -> str:
    return await asyncio.to_thread(postgres.fresh, migrated=False)
