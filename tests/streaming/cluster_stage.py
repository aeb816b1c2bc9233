"""Three brokers behind proxies, two replicas on PostgreSQL, and somebody who always writes."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it comes without types
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.services.kafka import Cluster, running
from tests.services.proxy import Proxy, proxy
from tests.shell.service.serving import Service, eventually
from tests.shell.service.stage import Stage
from tests.streaming.books import told
from tests.streaming.demo import DEAD, UNDER_WAY, outcome_of
from tests.streaming.kafka_stage import (
    DEAD_LETTERS,
    EVENTS,
    OUTCOMES,
    PARTITIONS,
    Json,
    Topics,
    administering,
    event,
    purchase_of,
    streaming,
    submit_requested,
)

BROKERS = 3
POISON = b"\xff\xfe poison"
PACE = 0.01  # seconds between records
LATEST = 20  # of the records that may come again, later


@dataclass
class Writer:
    """Writes events without end, some of them again and late. `taken`: those the brokers took."""

    topics: Topics
    taken: dict[str, Json] = field(default_factory=dict)
    poison: int = 0
    _chance: random.Random = field(default_factory=lambda: random.Random(4))

    async def run(self) -> None:
        """Until it is cancelled."""
        number = 0
        async with self._producer() as producer:
            while True:
                one = event("customer.created", {"id": f"c{number}"}, id=f"load-{number}")
                await self.write(producer, one)
                if self._chance.random() < 0.2:
                    again = self._chance.choice(list(self.taken.values())[-LATEST:])
                    await self.write(producer, again)
                number += 1
                await asyncio.sleep(PACE)

    async def write(self, producer: AIOKafkaProducer, one: Json) -> None:
        """To any partition, until the brokers have it."""
        await self._send(producer, json.dumps(one).encode(), self._chance.randrange(PARTITIONS))
        self.taken[one["id"]] = one

    async def poisons_all(self, *events: Json) -> None:
        """A poison record in each partition, and these events behind it."""
        async with self._producer() as producer:
            for partition in range(PARTITIONS):
                await self._send(producer, POISON, partition)
                self.poison += 1
            for one in events:
                await self.write(producer, one)

    async def more(self, number: int = 40) -> None:
        """Wait until the brokers have taken so many more."""
        wanted = len(self.taken) + number
        await eventually(lambda: _true(len(self.taken) >= wanted), 60.0, "more records taken")

    async def _send(self, producer: AIOKafkaProducer, value: bytes, partition: int) -> None:
        while True:
            with suppress(KafkaError):
                await producer.send_and_wait(self.topics.name(EVENTS), value, partition=partition)
                return

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(bootstrap_servers=self.topics.cluster.address, acks="all")
        await eventually(lambda: _started(producer), 30.0)
        try:
            yield producer
        finally:
            await producer.stop()


async def _true(value: bool) -> bool:
    return value


async def _started(producer: AIOKafkaProducer) -> bool:
    try:
        await producer.start()
    except KafkaError:
        return False
    return True


@dataclass
class House:
    """All of it. `stage` has the first replica."""

    stage: Stage
    replicas: Sequence[Service]
    topics: Topics
    proxies: Sequence[Proxy]
    database: str
    writer: Writer
    purchases: list[Json] = field(default_factory=list)

    async def buys(self, *, poison: bool = False) -> None:
        """Somebody asks for an order by Kafka; it may take until the trouble is over."""
        checkout = await self.stage.paid()
        wanted = submit_requested(checkout)
        if poison:
            await self.writer.poisons_all(wanted)
        else:
            async with self.topics.producing() as producer:
                await producer.send(wanted)
        self.purchases.append({"checkout": checkout})

    async def balances(self) -> None:
        """Claims that all is as it must be, once nothing is under way."""
        for purchase in self.purchases:
            found = await purchase_of(self.stage, purchase["checkout"])
            await self.stage.reaches(found, "accepted", seconds=60.0)
            self.stage.in_order(purchase["checkout"].upstream)
        acknowledged = set(self.writer.taken)
        connection = await asyncpg.connect(self.database)
        try:
            await self._stored(connection, acknowledged)
            await eventually(lambda: _none(connection, UNDER_WAY), 60.0, "nothing under way")
            assert await connection.fetchval(DEAD) == self.writer.poison
            rows = await connection.fetch("SELECT id, purchase_id, sequence FROM outcomes")
        finally:
            await connection.close()
        stored = {row["id"]: (row["purchase_id"], row["sequence"]) for row in rows}
        books = told(stored, [outcome_of(one) for one in await self.topics.read(OUTCOMES)])
        assert books.right, books.line()
        letters = await self.topics.read(DEAD_LETTERS)
        places = {dict(one.headers)["order-rescue-id"] for one in letters}
        assert len(places) == self.writer.poison

    async def _stored(self, connection: Any, ids: set[str]) -> None:
        missing: set[str] = set()

        async def all_there() -> bool:
            rows = await connection.fetch("SELECT id FROM inbox WHERE transport = 'kafka'")
            missing.clear()
            missing.update(ids - {row["id"] for row in rows})
            return not missing

        try:
            await eventually(all_there, 60.0)
        except AssertionError:
            raise AssertionError(f"acknowledged and not stored: {sorted(missing)[:9]}") from None

    async def in_sync(self) -> None:
        """Wait until every broker has every record again."""
        names = [self.topics.name(each) for each in (EVENTS, OUTCOMES, DEAD_LETTERS)]

        async def whole() -> bool:
            async with administering(self.topics.cluster) as admin:
                found = await admin.describe_topics([*names, "__consumer_offsets"])
            partitions = [p for topic in found for p in topic["partitions"]]
            return all(len(p["isr"]) == BROKERS for p in partitions)

        await eventually(whole, 60.0, "all brokers in sync")

    async def coordinator(self) -> int:
        """Which broker the group's members report to."""
        async with administering(self.topics.cluster) as admin:
            found: int = await admin.find_coordinator(self.topics.name("group"))
            return found

    async def leaders(self) -> list[int]:
        """Of the partitions of the events topic."""
        async with administering(self.topics.cluster) as admin:
            [topic] = await admin.describe_topics([self.topics.name(EVENTS)])
        return [p["leader"] for p in sorted(topic["partitions"], key=_partition)]

    async def members(self) -> int:
        """How many replicas read."""
        async with administering(self.topics.cluster) as admin:
            [described] = await admin.describe_consumer_groups([self.topics.name("group")])
        return len(described.groups[0][5])


def _partition(described: Json) -> int:
    return int(described["partition"])


async def _none(connection: Any, query: str) -> bool:
    return not await connection.fetchval(query)


@asynccontextmanager
async def housed(folder: Path, database: Callable[[], str]) -> AsyncIterator[House]:
    """A house until the block ends. The services come to the brokers by the proxies alone."""
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(proxy(0)) for _ in range(BROKERS)]
        ports = [each.port for each in proxies]
        cluster: Cluster = stack.enter_context(running(folder, BROKERS, ports))
        for each, broker in zip(proxies, cluster.ours(), strict=True):
            each.move(broker.ports["PROXIED"])
        url, by_proxy = database(), ",".join(f"127.0.0.1:{port}" for port in ports)
        settings = {"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": by_proxy}
        stage, made = await stack.enter_async_context(
            streaming(folder, cluster, copies=BROKERS, **settings)
        )
        (folder / "second").mkdir()
        second = Service(folder / "second", stage.service.settings)
        await second.start()
        stack.push_async_callback(second.kill)
        writer = Writer(made)
        writing = asyncio.create_task(writer.run())
        try:
            yield House(stage, (stage.service, second), made, proxies, url, writer)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
