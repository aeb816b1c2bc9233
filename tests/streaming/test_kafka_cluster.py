"""Three brokers and two replicas under load: whatever fails, nothing acknowledged is missing.

After each trouble the books balance: every record that the brokers took is stored once, however
often and in which order it came, every purchase has its one order, every outcome is on its topic
in order, and the only dead letters are the poison records.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.services.postgres import Postgres
from tests.shell.service.serving import eventually
from tests.streaming.cluster_stage import BROKERS, House, housed
from tests.streaming.kafka_stage import PARTITIONS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> AsyncIterator[House]:
    async with housed(tmp_path_factory.mktemp("house"), postgres.fresh) as found:
        yield found


async def both_read(house: House) -> None:
    """Wait until both replicas are members of the group."""

    async def two() -> bool:
        return await house.members() == len(house.replicas)

    await eventually(two, 60.0, "two members")


async def reads(house: House, partitions: int) -> bool:
    """Whether the replicas' metrics have so many among them for which brokers answer."""
    name = "order_rescue_kafka_partitions"
    numbers = [await house.stage.metric(name, at=one.url, state="read") for one in house.replicas]
    return sum(numbers) == partitions


async def test_brokers_restarted_one_by_one(house: House) -> None:
    """Each was the leader of something, and one of them the group's coordinator."""
    await both_read(house)
    led, coordinated = set(), set()
    for broker in house.topics.cluster.ours():
        led |= set(await house.leaders())
        coordinated.add(await house.coordinator())
        await house.buys()
        await asyncio.to_thread(broker.stop)
        await house.writer.more()
        assert broker.number not in await house.leaders()
        broker.start()
        await asyncio.to_thread(broker.answering)
        await house.in_sync()
    coordinated.add(await house.coordinator())
    assert led == set(range(1, BROKERS + 1))
    assert len(coordinated) > 1
    await house.balances()


async def test_the_whole_cluster_killed_and_back(house: House) -> None:
    await house.buys()
    brokers = house.topics.cluster.ours()
    for broker in brokers:
        await asyncio.to_thread(broker.kill)
    checkout = await house.stage.paid()
    done = await house.stage.reaches(await house.stage.buy(checkout), "accepted")
    for broker in brokers:
        broker.start()
    for broker in brokers:
        await asyncio.to_thread(broker.answering)
    await house.writer.more()
    await house.buys(poison=True)
    house.stage.in_order(checkout.upstream)
    assert done["orderId"]
    await house.balances()


async def test_the_network_between_replicas_and_brokers_cut(house: House) -> None:
    await both_read(house)
    for proxy in house.proxies:
        proxy.cut()
    await house.buys(poison=True)
    await house.writer.more(100)
    for proxy in house.proxies:
        proxy.restore()
    await house.buys()
    await house.balances()


async def test_the_network_silent_until_the_replicas_are_out_of_their_group(house: House) -> None:
    await both_read(house)
    for proxy in house.proxies:
        proxy.freeze()

    async def nobody() -> bool:
        return await house.members() == 0

    await house.buys()
    await eventually(nobody, 60.0, "no members")

    await eventually(lambda: reads(house, 0), 60.0, "metrics that say so")
    for proxy in house.proxies:
        proxy.restore()
    await house.writer.more()
    await both_read(house)
    await eventually(lambda: reads(house, PARTITIONS), 60.0, "all partitions read")
    await house.balances()
