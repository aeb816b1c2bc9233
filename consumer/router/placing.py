"""Placing: events that name no purchase that we know are looked up, adopted, or given up on."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from consumer.clock import Clock
from consumer.errors import PlatformError, Rejected
from consumer.platform import ImpossiblePath, Platform, Priority, path
from consumer.router.routes import LOOKED_UP, UNPLACED
from consumer.settings import Adopt
from consumer.signals import Signal
from consumer.store import inbox, parking, purchases
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.facts import envelope
from consumer.store.inbox import Entry, Key, Status
from handlers import adoption
from handlers.paths import as_id
from handlers.routing import Ignored, stale
from schemas.base import JsonObject

PLACE_AFTER = 5.0  # seconds: usually our own answer claims the order's key by then
KEEP_PARKED = timedelta(hours=72)  # as long as the platform repeats a webhook (PLATFORM §6.4)
BATCH = 100  # keys in one transaction
LEFT = "waits, and can't be adopted"


@dataclass(frozen=True)
class Placing:
    """What can only be placed by a look at the platform, and what waits too long."""

    store: Store
    platform: Platform
    clock: Clock
    max_fact_age: timedelta
    adopt: Adopt
    signal: Signal
    routed: Signal
    seen: Callable[[Status, str], None]

    async def run(self, stop: asyncio.Event) -> None:
        """Place until `stop`."""
        while not stop.is_set():
            try:
                await self._expire()
                await self._unpark()
                entry = await self.store.read(self._unplaced)
                if entry:
                    await self._look_up(entry)
                    continue
            except StoreUnavailable:
                pass  # the next round tries again
            await _pause(stop, PLACE_AFTER)

    def _unplaced(self, connection: Connection) -> Entry | None:
        before = self.clock.now() - timedelta(seconds=PLACE_AFTER)
        waiting = (UNPLACED,) if self.adopt == "off" else (UNPLACED, LOOKED_UP)
        return parking.parked_as(connection, waiting, before)

    async def _expire(self) -> None:
        before = self.clock.now() - KEEP_PARKED
        if await self.store.look(lambda c: parking.any_since(c, before)):
            expired = await self.store.write(lambda c: parking.expire(c, before, "not_ours"))
            for _ in range(expired):
                self.seen("ignored", "not_ours")

    async def _unpark(self) -> None:
        """Route again what was parked while its key was being claimed."""
        if keys := await self.store.look(lambda c: parking.claimed(c, BATCH)):
            await self.store.write(lambda c: parking.unpark(c, keys))
            self.signal.set()

    async def _look_up(self, entry: Entry) -> None:
        """One reading of the order, with low priority, tells whose it is; of a charge before it,
        if that is all that the event named."""
        named = dict(await self._keys(entry))
        order: JsonObject = {}
        try:
            if "charge" in named:
                charge = await self._read("charges", named["charge"])
                named["order"] = as_id(charge.get("orderId"))
            if named.get("order"):
                order = await self._read("orders", named["order"])
        except (Rejected, ImpossiblePath):
            order = {}
        except PlatformError:
            await self.clock.sleep(PLACE_AFTER)
            return
        try:
            seen = await self.store.write(lambda c: self._look_ended(c, entry, order))
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one event must not stop the others; it is shown
            why = f"no route: {type(error).__name__}"
            seen = await self.store.write(lambda c: _mark(c, entry, "dead", why))
        self.seen(*seen)
        self.routed.set()
        self.signal.set()

    async def _read(self, collection: str, id: str) -> JsonObject:
        where = path(collection, id)
        answer = await self.platform.get(where, priority=Priority.BACKGROUND)
        return answer.body or {}

    def _look_ended(
        self, connection: Connection, entry: Entry, order: JsonObject
    ) -> tuple[Status, str]:
        """Route it, if one of the order's keys has been claimed; else adopt, or park again."""
        if not parking.still_parked(connection, entry.seq):
            return "new", ""
        found = adoption.keys(order)
        parking.park(connection, entry.seq, found, LOOKED_UP)
        if owner := purchases.find(connection, found):
            return _mark(connection, entry, "routed", "", owner)
        if self.adopt == "off":
            return "parked", LOOKED_UP
        return self._adopt(connection, entry, order)

    def _adopt(self, connection: Connection, entry: Entry, order: JsonObject) -> tuple[Status, str]:
        """Make a purchase of an order that nobody handed us; its event is the first fact."""
        now = self.clock.now()
        created = envelope(entry).created_time
        if stale(created, now, self.max_fact_age, redriven=False):
            return _mark(connection, entry, "ignored", "stale")
        id, observed = purchases.new_id(now), self.adopt == "observe"
        made = adoption.adopted(order, id=id, ordered=created, now=now, observed=observed)
        if isinstance(made, Ignored) and made.reason == adoption.NO_ORDER:
            return _mark(connection, entry, "parked", LEFT)
        if isinstance(made, Ignored):
            return _mark(connection, entry, "ignored", made.reason)
        purchases.insert_new(connection, made)
        return _mark(connection, entry, "routed", "", made.id)

    async def _keys(self, entry: Entry) -> list[Key]:
        return await self.store.read(lambda c: parking.waits_for(c, entry.seq))


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _mark(
    connection: Connection,
    entry: Entry,
    status: Status,
    reason: str,
    purchase_id: str | None = None,
) -> tuple[Status, str]:
    inbox.mark(connection, entry.seq, status, reason=reason or None, purchase_id=purchase_id)
    return status, reason
