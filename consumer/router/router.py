"""The router: gives every stored event its purchase, or says why it has none."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import Connection

from consumer.clock import Clock
from consumer.platform import Platform
from consumer.router.placing import Placing
from consumer.router.routes import admitted, placed
from consumer.settings import Adopt
from consumer.signals import Signal
from consumer.store import dialects, entries, inbox
from consumer.store.engine import Raced, Store, StoreUnavailable
from consumer.store.inbox import Entry, Mark, Status
from schemas.facts import Origin

BATCH = 200  # events in one transaction
ROUTING = 0x726F757465  # the key of the lock under which one process routes
MOST_PAUSE = 1.0  # seconds
POLL = 0.5  # seconds between looks at the store when nobody signals


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
    busy: Callable[[], bool] = lambda: False

    async def run(self, stop: asyncio.Event) -> None:
        """Route until `stop`; beside it, place what can only be placed by a look."""
        placing = Placing(
            *(self.store, self.platform, self.clock, self.max_fact_age, self.adopt),
            *(self.signal, self.routed, self.seen),
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._route_all(stop), name="routing")
            tasks.create_task(placing.run(stop), name="placing")

    async def _route_all(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            began = self.clock.monotonic()
            try:
                found = await self._route_some()
            except StoreUnavailable:
                found = 0
            if self.busy():  # ingress first: routing may take a fifth of the time
                await self.clock.sleep(min(MOST_PAUSE, 4 * (self.clock.monotonic() - began)))
            if found < BATCH:
                await self.signal.wait(self.poll())

    async def _route_some(self) -> int:
        """Route a batch; in an idle system nothing is written."""
        if not await self.store.look(entries.any_unrouted):
            return 0
        try:
            marks = await self.store.write(self._route_batch)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001 - whichever it was, it must not stop the others
            waiting = await self.store.look(lambda c: entries.unrouted(c, BATCH))
            marks = [await self._route_alone(entry) for entry in waiting]
        for mark in marks:
            self.seen(mark.status, mark.reason or "")
        if any(mark.status in ("routed", "done") for mark in marks):
            self.routed.set()
        return len(marks)

    def _route_batch(self, connection: Connection) -> list[Mark]:
        """One process routes at a time: so the facts of a purchase keep their order."""
        if not dialects.alone(connection, ROUTING):
            return []
        marks: list[Mark] = []
        for origin, lot in groupby(entries.unrouted(connection, BATCH), lambda entry: entry.origin):
            marks += self._route(connection, origin, list(lot))
        return marks

    async def _route_alone(self, entry: Entry) -> Mark:
        """One fact in a transaction of its own; if even that fails it is a dead letter."""

        def route(connection: Connection) -> Mark:
            found = entries.entry(connection, entry.seq)
            if found is None or found.status != "new" or not dialects.alone(connection, ROUTING):
                return Mark(entry.seq, entry.status)
            [mark] = self._route(connection, found.origin, [found])
            return mark

        try:
            return await self.store.write(route)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - it is shown
            dead = Mark(entry.seq, "dead", f"no route: {type(error).__name__}")
            await self.store.write(lambda c: inbox.move(c, [dead], "new"))
            return dead

    def _route(
        self, connection: Connection, origin: Origin, entries: Sequence[Entry]
    ) -> list[Mark]:
        """Move on facts of one origin. Raises `Raced`."""
        if origin is Origin.PLATFORM:
            for entry in entries:
                self.heard(entry.transport, entry.at)
        if origin is Origin.MERCHANT:
            now = self.clock.now()
            marks = admitted(connection, entries, now, self.max_fact_age, live=self.live)
        else:
            marks = placed(connection, entries, live=self.live)
        if not inbox.move(connection, marks, "new"):
            raise Raced
        return marks
