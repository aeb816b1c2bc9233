"""A stage with Kafka: topics of its own for every test, records in, outcomes out."""

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from tests.services.kafka import Cluster
from tests.shell.service.serving import eventually
from tests.shell.service.stage import Checkout, Stage, staged

Json = dict[str, Any]
PARTITIONS = 3
EVENTS, OUTCOMES, DEAD_LETTERS = "events", "outcomes", "dead-letters"


@dataclass
class Topics:
    """Topics with a random prefix, and whoever writes and reads them."""

    cluster: Cluster
    prefix: str
    copies: int = 1

    def name(self, purpose: str) -> str:
        return f"{self.prefix}.{purpose}"

    def settings(self) -> dict[str, str]:
        """What the service is told."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.cluster.address,
            "KAFKA_EVENTS_TOPIC": self.name(EVENTS),
            "KAFKA_OUTCOMES_TOPIC": self.name(OUTCOMES),
            "KAFKA_DEAD_LETTERS_TOPIC": self.name(DEAD_LETTERS),
            "KAFKA_GROUP": self.name("group"),
        }

    async def create(self, *purposes: str, **config: str) -> None:
        """Make topics, as the operator would."""
        large = {"max.message.bytes": str(8 << 20)}
        async with administering(self.cluster) as admin:
            await admin.create_topics(
                [
                    NewTopic(self.name(each), PARTITIONS, self.copies, topic_configs=large | config)
                    for each in purposes
                ]
            )

    async def delete(self, purpose: str) -> None:
        """Delete a topic, with all that is in it."""
        async with administering(self.cluster) as admin:
            await admin.delete_topics([self.name(purpose)])

            async def gone() -> bool:
                return self.name(purpose) not in await admin.list_topics()

            await eventually(gone, 20.0)

    @asynccontextmanager
    async def producing(self, codec: str | None = None) -> AsyncIterator["Writer"]:
        """Somebody who writes to the events topic."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.cluster.address,
            compression_type=codec,
            acks="all",
            max_request_size=8 << 20,
        )
        await producer.start()
        try:
            yield Writer(producer, self.name(EVENTS))
        finally:
            await producer.stop()

    async def write(self, *values: bytes | Json, partition: int | None = None) -> None:
        """These records, in this order."""
        async with self.producing() as writer:
            for value in values:
                await writer.send(value, partition)

    async def read(self, purpose: str) -> list[ConsumerRecord]:
        """All that is on a topic now, partition by partition."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.cluster.address, auto_offset_reset="earliest"
        )
        await consumer.start()
        found: list[ConsumerRecord] = []
        try:
            tps = [TopicPartition(self.name(purpose), number) for number in range(PARTITIONS)]
            consumer.assign(tps)
            ends = await consumer.end_offsets(tps)
            for tp in tps:
                while await consumer.position(tp) < ends[tp]:
                    found += (await consumer.getmany(tp, timeout_ms=500)).get(tp, [])
        finally:
            await consumer.stop()
        return found

    async def committed(self) -> int:
        """The sum of the group's committed offsets."""
        async with administering(self.cluster) as admin:
            found = await admin.list_consumer_group_offsets(self.name("group"))
            mine = [meta.offset for tp, meta in found.items() if tp.topic == self.name(EVENTS)]
            return sum(offset for offset in mine if offset > 0)


@dataclass
class Writer:
    """Writes records to one topic and waits until they are on it."""

    producer: AIOKafkaProducer
    topic: str

    async def send(
        self,
        value: bytes | Json | None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        raw = json.dumps(value).encode() if isinstance(value, dict) else value
        # A record without a value needs a key, or it goes nowhere.
        await self.producer.send_and_wait(
            self.topic, raw, key=b"k", partition=partition, headers=list(headers)
        )


@asynccontextmanager
async def administering(cluster: Cluster) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that may make topics. A broker that has just started may not answer at once."""
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.address)

    async def started() -> bool:
        try:
            await admin.start()
        except KafkaError:
            return False
        return True

    await eventually(started, 30.0)
    try:
        yield admin
    finally:
        await admin.close()


async def topics(cluster: Cluster, copies: int = 1) -> Topics:
    """Fresh topics for a test."""
    made = Topics(cluster, f"t{secrets.token_hex(4)}", copies)
    await made.create(EVENTS, OUTCOMES, DEAD_LETTERS)
    return made


@asynccontextmanager
async def streaming(
    folder: Path, cluster: Cluster, copies: int = 1, **settings: str
) -> AsyncIterator[tuple[Stage, Topics]]:
    """A stage whose service reads and writes fresh topics."""
    made = await topics(cluster, copies)
    given: dict[str, Any] = made.settings() | settings
    async with staged(folder, **given) as stage:
        yield stage, made


def submit_requested(checkout: Checkout, **more: Any) -> Json:
    """The merchant's own event: place the order of this checkout."""
    return event(
        "purchase.submit_requested",
        {
            "checkoutId": checkout.id,
            "upstreamId": checkout.upstream,
            "createRequest": checkout.request,
            "submits": "service",
        },
        **more,
    )


def event(type: str, resource: Json, **more: Any) -> Json:
    """An event in the platform's envelope, made now."""
    return {
        "id": f"ev-{secrets.token_hex(6)}",
        "type": type,
        "createdTime": datetime.now(UTC).isoformat(),
        "data": {"object": resource},
        **more,
    }


async def purchase_of(stage: Stage, checkout: Checkout) -> Json:
    """The purchase of a checkout, once there is one."""
    found: list[Json] = []

    async def there() -> bool:
        answer = await stage.call("GET", f"/v1/purchases?checkoutId={checkout.id}")
        found[:] = answer.json()["data"]
        return bool(found)

    await eventually(there, 30.0)
    return found[0]
