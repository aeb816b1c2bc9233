"""Kafka out: an idempotent producer, and the sink that takes outcomes (at least once)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from consumer.kafka.cluster import Cluster
from consumer.store.outcomes import Delivery

SINK = "kafka"
# Seconds after each failed attempt: brokers come back, and then nothing should wait for long; for
# three days. While they are away `REST` keeps all outcomes together from trying all the time.
RETRIES: Sequence[float] = (1, 2, 5, *(10,) * (3 * 24 * 360))
REST = 2.0  # seconds
STRUCTURED = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
CLOSING = 5.0  # seconds for what a failed producer still has


@dataclass
class Publisher:
    """One producer for all that we write; after an error a new one, which knows no old numbers."""

    cluster: Cluster
    _producer: AIOKafkaProducer | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(
        self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        """Return once all replicas have it. Raises KafkaError, OSError or TimeoutError."""
        producer = await self._ready()
        try:
            await producer.send_and_wait(topic, value, key=key, headers=list(headers))
        except (KafkaError, OSError, TimeoutError):
            await self._replace(producer)
            raise

    async def close(self) -> None:
        """Let go of the brokers."""
        if self._producer is not None:
            await self._replace(self._producer)

    async def _ready(self) -> AIOKafkaProducer:
        async with self._lock:
            if self._producer is None:
                producer = self.cluster.producer()
                try:
                    await producer.start()
                except BaseException:
                    await _closed(producer)
                    raise
                self._producer = producer
            return self._producer

    async def _replace(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            await _closed(producer)


async def _closed(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(CLOSING):
            await producer.stop()


@dataclass(frozen=True)
class OutcomesTopic:
    """The topic of outcomes, a sink of the relay: keyed by purchase, so in order within it."""

    publisher: Publisher
    topic: str
    name: str = SINK
    retries: Sequence[float] = RETRIES
    rest: float = REST

    async def take(self, delivery: Delivery) -> str | None:
        """Why it was not taken; `None` if it was."""
        key, value = delivery.purchase_id.encode(), delivery.body.encode()
        try:
            headers = [(name, text.encode()) for name, text in delivery.trace_headers().items()]
            await self.publisher.send(self.topic, key, value, [*STRUCTURED, *headers])
        except (KafkaError, OSError, TimeoutError) as error:
            return type(error).__name__
        return None
