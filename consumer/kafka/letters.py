"""Dead letters of the inbox to their topic: the body as it came, and headers that say why."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from sqlalchemy import Connection

from consumer.clock import Clock
from consumer.kafka.publisher import Publisher
from consumer.signals import Signal
from consumer.store import announcing, leases
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.inbox import Entry
from consumer.store.leases import Lease

NAME = "dead-letters"  # of the lease: one replica announces
LEASE = timedelta(seconds=60)
BATCH = 50
POLL = 1.0  # seconds between looks
TIMEOUT = 15.0  # seconds for one letter
AGAIN = 5.0  # seconds before a broker that did not take one is tried again

log = structlog.get_logger("order_rescue.kafka")


@dataclass(frozen=True)
class DeadLetters:
    """Announces each dead letter at least once, oldest first."""

    store: Store
    clock: Clock
    publisher: Publisher
    topic: str
    owner: str
    signal: Signal

    async def run(self, stop: asyncio.Event) -> None:
        """Announce until `stop`."""
        while not stop.is_set():
            wait = POLL
            try:
                if await self.store.look(announcing.any_waiting):
                    wait = 0.0 if await self._some() else AGAIN
            except StoreUnavailable:
                wait = AGAIN
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("kafka_dead_letters_wait", error_type=type(error).__name__)
                wait = AGAIN
            if wait:
                await self.signal.wait(wait)

    async def _some(self) -> bool:
        """Announce a batch under the lease; whether there was one for us."""
        taken = await self.store.write(self._take)
        if taken is None:
            return False
        entries, lease = taken
        done: list[int] = []
        try:
            for entry in entries:
                async with asyncio.timeout(TIMEOUT):
                    await self._announce(entry)
                done.append(entry.seq)
                if self.clock.now() > lease.until - timedelta(seconds=TIMEOUT):
                    break
        finally:
            await self.store.write(lambda c: self._settle(c, done, lease))
        return bool(done)

    def _take(self, connection: Connection) -> tuple[list[Entry], Lease] | None:
        now = self.clock.now()
        lease = leases.acquire(connection, f"relay/{NAME}", self.owner, now, now + LEASE)
        return (announcing.waiting(connection, BATCH), lease) if lease else None

    def _settle(self, connection: Connection, done: list[int], lease: Lease) -> None:
        announcing.announced(connection, done)
        leases.release(connection, lease, self.clock.now())

    async def _announce(self, entry: Entry) -> None:
        """A body that the topic does not take stays here: the headers say where."""
        key, headers = str(entry.seq).encode(), _headers(entry)
        try:
            await self.publisher.send(self.topic, key, entry.body, headers)
        except MessageSizeTooLargeError:
            left_out = ("order-rescue-body", b"too large for this topic")
            await self.publisher.send(self.topic, key, b"", [*headers, left_out])


def _headers(entry: Entry) -> list[tuple[str, bytes]]:
    """What is known of it, without what is in it."""
    told = {
        "letter": f"inbox-{entry.seq}",
        "reason": entry.reason or "",
        "origin": entry.origin.value,
        "transport": entry.transport,
        "type": entry.type,
        "id": entry.id,
        "at": entry.at.isoformat(),
        "purchase": entry.purchase_id or "",
    }
    return [(f"order-rescue-{name}", text.encode()) for name, text in told.items() if text]
