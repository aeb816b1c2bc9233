"""Group commit at the edge: all deliveries that wait while a commit runs make one statement."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import datetime

import structlog
from sqlalchemy import Connection, select

from consumer.clock import Clock
from consumer.store import inbox
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.inbox import Delivery
from consumer.store.tables import inbox as table

PATIENCE = 2.5  # seconds; the platform gives up after 3 (PLATFORM §6.3)
log = structlog.get_logger("order_rescue.web")
Doubles = set[int]  # `id()`s of the deliveries that the inbox knew already


class Batch:
    """Deliveries that will be stored together. Open until its transaction begins."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.open = True
        self.stored: asyncio.Task[Doubles] | None = None


class Collector:
    """Merges concurrent appends to the inbox. For one event loop."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()  # between the event loop and the writer thread
        self._batch = Batch()
        self._batch.open = False
        self._running: set[asyncio.Task[Doubles]] = set()

    async def add(self, delivery: Delivery) -> bool:
        """Return once the delivery is durable: whether it was new.

        Raises StoreUnavailable: it was not stored; TimeoutError: it may yet be, and its repetition
        is a duplicate then. Cancelling the caller does not take the delivery back: others are in
        the same commit.
        """
        doubles = await asyncio.shield(self._join(delivery))
        return id(delivery) not in doubles

    def _join(self, delivery: Delivery) -> asyncio.Task[Doubles]:
        with self._lock:
            if self._batch.open:
                self._batch.deliveries.append(delivery)
                assert self._batch.stored is not None
                return self._batch.stored
            batch = self._batch = Batch()
            batch.deliveries.append(delivery)
        # The batch has many waiters and none of them owns it. It ends with the writer's commit,
        # and its error is told to whoever still waits.
        batch.stored = asyncio.create_task(self._write(batch))
        self._running.add(batch.stored)
        batch.stored.add_done_callback(self._ended)
        return batch.stored

    def _ended(self, task: asyncio.Task[Doubles]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may wait any more, and asyncio would complain of that

    async def _write(self, batch: Batch) -> Doubles:
        try:
            async with asyncio.timeout(PATIENCE):  # of all: a timer for each costs as much as a row
                return await self._store.write(
                    lambda connection: self._append(connection, batch), ingress=True
                )
        except StoreUnavailable as error:  # told once here, and to every waiter
            log.warning("events_not_stored", error=str(error), count=len(batch.deliveries))
            raise
        finally:
            batch.open = False

    def _append(self, connection: Connection, batch: Batch) -> Doubles:
        with self._lock:
            batch.open = False
        now = self._clock.now()
        doubles: set[int] = set()
        for deliveries in inbox.rounds(batch.deliveries):
            fresh = inbox.append(connection, deliveries, now)
            if fresh < len(deliveries):
                doubles.update(_known_before(connection, deliveries, now))
        return doubles


def _known_before(
    connection: Connection, deliveries: list[Delivery], now: datetime
) -> Iterator[int]:
    """Which of these were stored before `now`: for the metrics alone."""
    rows = connection.execute(
        select(table.c.origin, table.c.id).where(
            table.c.id.in_([delivery.id for delivery in deliveries]), table.c.at == now
        )
    )
    fresh = {(row.origin, row.id) for row in rows}
    return (id(d) for d in deliveries if (d.origin.value, d.id) not in fresh)
