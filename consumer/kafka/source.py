"""The Kafka source: records into the inbox, and only then their offsets committed (I7)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
)
from sqlalchemy import Connection

from consumer.clock import Clock
from consumer.events import Malformed
from consumer.kafka.cluster import Cluster
from consumer.kafka.reader import Batches, Reader, Undecodable, Undecoded
from consumer.kafka.records import delivery, letter, reason
from consumer.observe import Metrics
from consumer.signals import Signal
from consumer.store import entries, inbox
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.inbox import Delivery

MOST = 500  # records in one write
MOST_BYTES = 16 * 1024 * 1024  # of one answer of a broker
PACE = 0.5  # seconds between looks at the depth of the inbox
SILENCE = 10.0  # seconds without an answer for a partition
AGAIN = 1.0  # seconds before the store, or a broken consumer, is tried again
COMMIT = 10.0  # seconds for one commit, so that silence shows meanwhile
GRACE = 10.0  # seconds in which what is under way ends, once the service is to stop

log = structlog.get_logger("order_rescue.kafka")


@dataclass
class Source:
    """One member of the group. `limit`: facts that may wait for a decision before it pauses."""

    cluster: Cluster
    store: Store
    clock: Clock
    metrics: Metrics
    stored: Signal
    limit: int
    _reader: Reader = field(init=False)
    _paused: bool = False
    _paced: float = float("-inf")
    _next: dict[TopicPartition, int] = field(default_factory=dict)  # offsets that are read next
    _done: dict[TopicPartition, int] = field(default_factory=dict)  # stored, not yet committed

    def __post_init__(self) -> None:
        self._reader = Reader(self.metrics)

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop`. Whatever happens to the brokers, it goes on."""
        while not stop.is_set():
            try:
                await self._member(stop)
            except (KafkaError, OSError, TimeoutError, Undecoded) as error:
                log.warning("kafka_consumer_begins_again", error_type=type(error).__name__)
                await _pause(stop, AGAIN)

    async def _member(self, stop: asyncio.Event) -> None:
        """From joining the group to leaving it. What was not committed is read again."""
        consumer = self.cluster.consumer(max_poll_records=MOST, fetch_max_bytes=MOST_BYTES)
        self._done.clear()
        self._next.clear()
        try:
            await _unless(stop, consumer.start())
            consumer.subscribe([self.cluster.events])
            while not stop.is_set():
                await _unless(stop, self._turn(consumer, stop))
        finally:
            self.metrics.kafka(lag=0, paused=False, read=0, silent=0)
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(GRACE):
                    await consumer.stop()

    async def _turn(self, consumer: AIOKafkaConsumer, stop: asyncio.Event) -> None:
        await self._keep_pace(consumer)
        found = await self._reader.read(consumer)
        if found and await self._store(consumer, found, stop):
            fresh = {tp: records[-1].offset + 1 for tp, records in found.items()}
            self._done |= fresh
            self._next |= fresh
        await self._commit(consumer)
        self._tell(consumer)

    async def _keep_pace(self, consumer: AIOKafkaConsumer) -> None:
        """Pause all partitions while the inbox is too deep; also those that came meanwhile."""
        if self.clock.monotonic() - self._paced >= PACE:
            self._paced = self.clock.monotonic()
            try:
                depth = await self.store.look(entries.depth)
            except StoreUnavailable:
                depth = self.limit + 1
            most = self.limit // 2 if self._paused else self.limit
            if self._paused != (depth > most):
                self._paused = depth > most
                log.info("kafka_paused" if self._paused else "kafka_resumed", inbox=depth)
        if self._paused:
            consumer.pause(*consumer.assignment())
        elif consumer.paused():
            consumer.resume(*consumer.paused())

    async def _store(self, consumer: AIOKafkaConsumer, found: Batches, stop: asyncio.Event) -> bool:
        """Store all of it in one transaction, however long that takes; whether it was."""
        facts: list[Delivery] = []
        broken: list[tuple[Delivery, str]] = []
        for record in (each for records in found.values() for each in records):
            if isinstance(record, Undecodable):
                broken.append((letter(record), f"can't be decoded: {record.why}"))
                continue
            try:
                facts.append(delivery(record))
            except Malformed as error:
                broken.append((letter(record), reason(error)))

        def job(connection: Connection) -> tuple[int, int]:
            now = self.clock.now()
            new = sum(inbox.append(connection, each, now) for each in inbox.rounds(facts))
            return new, sum(inbox.bury_new(connection, [d], now, why) for d, why in broken)

        while not stop.is_set():
            try:
                new, dead = await self.store.write(job, ingress=True)
            except StoreUnavailable:
                self._paused = True
                consumer.pause(*consumer.assignment())
                await _pause(stop, AGAIN)
                continue
            self.stored.set()
            self._count(new, dead, len(facts) + len(broken))
            return True
        return False

    def _count(self, new: int, dead: int, all: int) -> None:
        self.metrics.kafka_records("stored", new)
        self.metrics.kafka_records("dead", dead)
        self.metrics.kafka_records("duplicate", all - new - dead)
        for _ in range(dead):
            self.metrics.dead_letter("merchant")
        if dead:
            log.error("dead letter", reason="records that are no events", count=dead)

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        """Exactly what was stored. What belongs to another member now is read there again."""
        mine = consumer.assignment()
        offsets = {tp: offset for tp, offset in self._done.items() if tp in mine}
        self._done.clear()
        if not offsets:
            return
        try:
            async with asyncio.timeout(COMMIT):  # the library tries for as long as it takes
                await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError):
            log.info("kafka_commit_came_too_late", partitions=len(offsets))
        except (KafkaError, TimeoutError) as error:
            self._done = offsets | self._done
            log.warning("kafka_commit_failed", error_type=type(error).__name__)

    def _tell(self, consumer: AIOKafkaConsumer) -> None:
        mine = consumer.assignment()
        self._next = {tp: offset for tp, offset in self._next.items() if tp in mine}
        ends = {tp: consumer.highwater(tp) or 0 for tp in self._next}
        lag = sum(max(0, ends[tp] - offset) for tp, offset in self._next.items())
        silent = 0 if self._paused else sum(_silent(consumer, tp) for tp in mine)
        read = len(mine) - silent
        self.metrics.kafka(lag=lag, paused=self._paused, read=read, silent=silent)


def _silent(consumer: AIOKafkaConsumer, tp: TopicPartition) -> bool:
    """Whether no broker has answered for it lately; they answer when there is nothing new, too."""
    at = consumer.last_poll_timestamp(tp)  # by this machine's clock, as the library takes it
    return at is None or time.time() - at / 1000 > SILENCE


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do it; once `stop` is set it has `GRACE` seconds to end, and is cancelled then."""
    task, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait((task,), timeout=GRACE)
        if task.done():
            task.result()
    finally:
        for each in (task, stopping):
            each.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
