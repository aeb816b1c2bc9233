"""The purger: takes out what has been kept long enough, a few rows at a time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Connection

from consumer.clock import Clock
from consumer.store import leases, retention
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.retention import Swept

EVERY = 3600.0  # seconds between rounds
PAUSE = 0.05  # seconds between transactions: shoppers come first
LEASE = timedelta(minutes=5)  # renewed with every step; one process purges
NAME = "purger"
log = structlog.get_logger("order_rescue")


@dataclass
class Purger:
    """`bodies`, `ids` and `purchases`: how long each is kept after its end."""

    store: Store
    clock: Clock
    owner: str
    bodies: timedelta
    ids: timedelta
    purchases: timedelta

    async def run(self, stop: asyncio.Event) -> None:
        """A round now and then, until `stop`."""
        while not stop.is_set():
            try:
                await self.round(stop)
            except StoreUnavailable:
                pass  # the next round goes on
            try:
                async with asyncio.timeout(EVERY):
                    await stop.wait()
            except TimeoutError:
                continue

    async def round(self, stop: asyncio.Event) -> None:
        """Everything that has been kept long enough by now."""
        now = self.clock.now()
        old, older, oldest = now - self.bodies, now - self.ids, now - self.purchases
        counts = {
            "bodies": await self._sweep(
                stop, lambda c, after: retention.purge_bodies(c, now, old, str(after))
            ),
            "strangers": await self._sweep(
                stop, lambda c, after: retention.purge_strangers(c, old, int(after or 0))
            ),
            "facts": await self._sweep(
                stop, lambda c, after: retention.drop_facts(c, older, int(after or 0))
            ),
            "purchases": await self._sweep(
                stop, lambda c, after: retention.drop_purchases(c, oldest, str(after))
            ),
            "dead_letters": await self._sweep(
                stop, lambda c, _after: retention.drop_dead(c, oldest)
            ),
        }
        if any(counts.values()):
            log.info("purged", **counts)

    async def _sweep(
        self, stop: asyncio.Event, step: Callable[[Connection, str | int], Swept]
    ) -> int:
        """Steps until there is nothing more; how many rows were changed."""
        changed, after = 0, ""
        while not stop.is_set():
            swept = await self.store.write(partial(self._step, step=step, after=after))
            if swept is None:
                break  # another process purges
            changed += swept.changed
            if swept.after is None:
                break
            after = str(swept.after)
            await self.clock.sleep(PAUSE)
        return changed

    def _step(
        self, connection: Connection, step: Callable[[Connection, str | int], Swept], after: str
    ) -> Swept | None:
        now: datetime = self.clock.now()
        if leases.acquire(connection, NAME, self.owner, now, now + LEASE) is None:
            return None
        return step(connection, after)
