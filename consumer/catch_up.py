"""Catching up: at the start, after a silence, and now and then, because a push may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from consumer.backfill import HISTORY, OVERLAP, Backfill, BackfillFailed, Summary
from consumer.clock import Clock
from consumer.store import entries, marks
from consumer.store.engine import Store, StoreUnavailable

PUSHED = ("webhook", "kafka")  # how events come by themselves
SILENT = timedelta(minutes=15)  # without any event: perhaps the webhook was disabled (§6.4)
REGULAR = timedelta(hours=6)  # single pushes may be lost while others arrive
TICK = 5.0  # seconds between looks at the clock
AGAIN = timedelta(minutes=1)  # after a catch-up that failed
log = structlog.get_logger("order_rescue")


@dataclass
class Pulse:
    """When the platform's events last came, by `webhook`, `kafka` and `backfill`."""

    last: dict[str, datetime] = field(default_factory=dict)

    def heard(self, transport: str, at: datetime) -> None:
        """An event came; how late the router sees it does not matter."""
        if transport in (*PUSHED, "backfill"):
            self.last[transport] = max(at, self.last.get(transport, at))


@dataclass(frozen=True)
class CatchUp:
    """Keeps the mark: every event made before it is in the inbox. It moves only when a whole
    stretch was read, so a push that was lost although later ones came is found as well."""

    store: Store
    backfill: Backfill
    clock: Clock
    pulse: Pulse
    stored: Callable[[], None]
    failed: Callable[[], None] = lambda: None

    async def run(self, stop: asyncio.Event) -> None:
        """Catch up now, and again when it is due, until `stop`."""
        done: datetime | None = None
        failed: datetime | None = None
        while not stop.is_set():
            now = self.clock.now()
            if self._due(done, failed, now):
                done, failed = (now, None) if await self._turn(stop) else (done, now)
            try:
                async with asyncio.timeout(TICK):
                    await stop.wait()
            except TimeoutError:
                continue

    def _due(self, done: datetime | None, failed: datetime | None, now: datetime) -> bool:
        """Silence counts from the last catch-up: that one has read what came before it."""
        if failed is not None:
            return now >= failed + AGAIN
        if done is None:
            return True
        heard = max(done, *(self.pulse.last.get(transport, done) for transport in PUSHED))
        return now >= min(done + REGULAR, heard + SILENT)

    async def _turn(self, stop: asyncio.Event) -> bool:
        """One catch-up, left when the service stops; whether it was done."""
        work = asyncio.create_task(self.once())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            return work.done()
        except BackfillFailed as error:
            log.warning("the events can't be caught up now", why=str(error))
            self.failed()
        except StoreUnavailable:
            log.warning("the events can't be caught up now", why="the database can't be used")
        finally:
            for task in (work, stopping):
                task.cancel()
            await asyncio.gather(work, stopping, return_exceptions=True)
        return False

    async def once(self) -> Summary | None:
        """Catch up from the mark. `None`: this is the first start, at which none can be missing."""
        now = self.clock.now()
        since = await self.store.write(lambda c: _since(c, now))
        if since is None:
            return None
        done = await self.backfill.run(max(since - OVERLAP, now - HISTORY))
        self.stored()
        log.info("caught up", read=done.read, new=done.new, dead=done.dead, pages=done.pages)
        return done


def _since(connection: Connection, now: datetime) -> datetime | None:
    """The mark; where there is none, the first event that was ever seen sets it, or else now."""
    known = marks.at(connection, marks.CAUGHT_UP)
    if known is None:
        known = entries.first_heard(connection)
        marks.advance(connection, marks.CAUGHT_UP, known or now)
    if known is not None and known < now - HISTORY:
        # What is older can't be read any more; what can be, joins on.
        known = now - HISTORY
        marks.advance(connection, marks.CAUGHT_UP, known)
    return known
