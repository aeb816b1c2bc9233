"""The router: gives every stored event its purchase, or says why it has none."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from consumer.clock import Clock
from consumer.errors import PlatformError, Rejected
from consumer.events import REJECTED
from consumer.platform import ImpossiblePath, Platform, Priority, path
from consumer.settings import Adopt
from consumer.signals import Signal
from consumer.store import admission, dialects, forgetting, inbox, links, purchases
from consumer.store.engine import Raced, Store, StoreUnavailable
from consumer.store.facts import Undecidable, envelope, reported, requested
from consumer.store.inbox import REDRIVEN, Entry, Key, Status
from consumer.store.purchases import TooNew
from handlers import adoption
from handlers.paths import as_id
from handlers.routing import Ignored, asks_to_be_forgotten, route, stale, wrong_mode
from schemas.base import JsonObject
from schemas.facts import Origin
from schemas.requests import ForgetRequest
from schemas.wire import Envelope

BATCH = 100
ROUTING = 0x726F757465  # the key of the lock under which one process routes
POLL = 0.5  # seconds between looks at the store when nobody signals
PLACE_AFTER = 5.0  # seconds: usually our own answer claims the order's key by then
KEEP_PARKED = timedelta(hours=72)  # as long as the platform repeats a webhook (PLATFORM §6.4)
UNPLACED = "waits for its order"
LOOKED_UP = "waits for its purchase"
LEFT = "waits, and can't be adopted"


@dataclass(frozen=True)
class Router:
    """Routes what is new, in the order in which it came. `seen` counts by status and reason."""

    store: Store
    platform: Platform
    clock: Clock
    live: bool
    max_fact_age: timedelta
    signal: Signal
    routed: Signal
    seen: Callable[[Status, str], None]
    adopt: Adopt = "observe"
    heard: Callable[[str, datetime], None] = lambda _transport, _at: None
    poll: Callable[[], float] = lambda: POLL

    async def run(self, stop: asyncio.Event) -> None:
        """Route until `stop`; beside it, place what can only be placed by a look."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._route_all(stop), name="routing")
            tasks.create_task(self._place_all(stop), name="placing")

    async def _route_all(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                found = await self._route_some()
            except StoreUnavailable:
                found = 0
            if found < BATCH:
                await self.signal.wait(self.poll())

    async def _route_some(self) -> int:
        """Route a batch; in an idle system nothing is written."""
        waiting = await self.store.look(lambda c: inbox.unrouted(c, BATCH))
        if not waiting:
            return 0
        try:
            results = await self.store.write(self._route_batch)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001 - whichever it was, it must not stop the others
            results = [await self._route_alone(entry) for entry in waiting]
        for status, reason in results:
            self.seen(status, reason)
        self.routed.set()
        return len(results)

    def _route_batch(self, connection: Connection) -> list[tuple[Status, str]]:
        """One process routes at a time: so the facts of a purchase keep their order."""
        if not dialects.alone(connection, ROUTING):
            return []
        return [self._route(connection, entry) for entry in inbox.unrouted(connection, BATCH)]

    async def _route_alone(self, entry: Entry) -> tuple[Status, str]:
        """One fact in a transaction of its own; if even that fails it is a dead letter."""

        def route(connection: Connection) -> tuple[Status, str]:
            found = inbox.entry(connection, entry.seq)
            if found is None or found.status != "new" or not dialects.alone(connection, ROUTING):
                return entry.status, ""
            return self._route(connection, found)

        try:
            return await self.store.write(route)
        except StoreUnavailable:
            raise
        except TooNew:
            return entry.status, ""  # it stays for those who can read its purchase
        except Exception as error:  # noqa: BLE001 - it is shown
            why = f"no route: {type(error).__name__}"
            return await self.store.write(lambda c: _mark(c, entry, "dead", why))

    def _route(self, connection: Connection, entry: Entry) -> tuple[Status, str]:
        try:
            if entry.origin is Origin.PLATFORM:
                self.heard(entry.transport, entry.at)
            event = envelope(entry)
            if wrong_mode(event.live_mode, live=self.live):
                return _mark(connection, entry, "ignored", "wrong_mode")
            if entry.origin is Origin.MERCHANT:
                return self._admit(connection, entry, event)
            return _place(connection, entry, event)
        except Undecidable as error:
            return _mark(connection, entry, "dead", str(error))
        except (SQLAlchemyError, Raced, TooNew):
            raise
        except Exception as error:  # noqa: BLE001 - one event must not stop the others; it is shown
            return _mark(connection, entry, "dead", f"no route: {type(error).__name__}")

    def _admit(self, connection: Connection, entry: Entry, event: Envelope) -> tuple[Status, str]:
        """The merchant's own event opens or continues a purchase, if it is fresh."""
        rejected = event.type == REJECTED
        request = reported(event).as_request() if rejected else requested(event)
        now = self.clock.now()
        redriven = entry.reason == REDRIVEN
        if stale(event.created_time, now, self.max_fact_age, redriven=redriven):
            return _mark(connection, entry, "dead", "stale")
        verdict = admission.place(connection, request, min(event.created_time, now))
        if isinstance(verdict, admission.Unknown):
            return _mark(connection, entry, "dead", f"{verdict.field} names no known purchase")
        if isinstance(verdict, admission.Refused):
            return _mark(connection, entry, "dead", verdict.detail)
        return _mark(connection, entry, "routed", "", verdict.purchase.id)

    async def _place_all(self, stop: asyncio.Event) -> None:
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
        return inbox.parked_as(connection, waiting, before)

    async def _expire(self) -> None:
        before = self.clock.now() - KEEP_PARKED
        if await self.store.look(lambda c: inbox.any_parked(c, before)):
            expired = await self.store.write(lambda c: inbox.expire_parked(c, before, "not_ours"))
            for _ in range(expired):
                self.seen("ignored", "not_ours")

    async def _unpark(self) -> None:
        """Route again what was parked while its key was being claimed."""
        if keys := await self.store.look(lambda c: inbox.claimed(c, BATCH)):
            await self.store.write(lambda c: [inbox.unpark(c, key) for key in keys])
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
        self.seen(*await self.store.write(lambda c: self._look_ended(c, entry, order)))
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
        if not inbox.still_parked(connection, entry.seq):
            return "new", ""
        found = adoption.keys(order)
        inbox.park(connection, entry.seq, found, LOOKED_UP)
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
        return await self.store.read(lambda c: inbox.waits_for(c, entry.seq))


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


def _place(connection: Connection, entry: Entry, event: Envelope) -> tuple[Status, str]:
    """Find the purchase by the keys that the event names; park what may get one later."""
    resource = event.data.resource
    if asks_to_be_forgotten(event.type, resource):
        wanted = _person(resource)
        forgetting.request(connection, wanted, f"event/{event.id}", "internal", entry.at)
        return _mark(connection, entry, "done", "forget")
    found = route(event.type, resource)
    if isinstance(found, Ignored):
        return _mark(connection, entry, "dead" if found.odd else "ignored", found.reason)
    owner = purchases.find(connection, found.keys)
    if owner and event.type == "checkout.created":
        return _mark(connection, entry, "ignored", "known_checkout")
    if owner is None and found.purchase_id and purchases.exists(connection, found.purchase_id):
        owner = found.purchase_id
    if owner:
        return _mark(connection, entry, "routed", "", owner)
    if concerned := links.unresolved(connection, found.links):
        return _fan_out(connection, entry, concerned)
    if not found.wait:
        return _mark(connection, entry, "ignored", "not_ours")
    only_order = all(kind in ("order", "charge") for kind, _ in found.keys)
    reason = UNPLACED if only_order else LOOKED_UP
    inbox.park(connection, entry.seq, found.keys, reason)
    return "parked", reason


def _person(customer: JsonObject) -> ForgetRequest:
    """Whom a customer's event is about. Raises `Undecidable`."""
    try:
        return ForgetRequest(customer_id=as_id(customer.get("id")))
    except ValidationError as error:
        raise Undecidable("not understood: data.object.id") from error


def _fan_out(connection: Connection, entry: Entry, owners: list[str]) -> tuple[Status, str]:
    """One fact for each purchase. All get copies, whose ids name the purchase: routed again,
    the event finds them there and gives nobody a second one."""
    inbox.copy(connection, entry, owners)
    return _mark(connection, entry, "done", "fanned_out")
