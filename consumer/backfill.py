"""Backfill: the platform's own list of events, through the same inbox as its webhooks (§6.6).

A webhook and its backfilled copy have one origin and one id, so they are one fact.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from consumer.clock import Clock
from consumer.errors import PlatformError, Rejected, Unavailable
from consumer.platform import Platform, Priority
from consumer.store import entries, inbox, marks
from consumer.store.engine import Store
from consumer.store.inbox import Delivery
from handlers.routing import about
from schemas.facts import Origin
from schemas.wire import Envelope

HISTORY = timedelta(days=30)  # as far back as the platform's list reaches (PLATFORM §6.6)
OVERLAP = timedelta(hours=1)  # an event may be listed later than it was made (PLATFORM §6.6)
PAGE = 100
AGAIN = (1.0, 5.0, 15.0, 60.0)  # seconds before a page that could not be read is tried again
UNREADABLE = "unreadable event"


class BackfillFailed(Exception):
    """A page could not be read; `done` is what was stored before. Running again is harmless."""

    def __init__(self, why: str, done: Summary) -> None:
        super().__init__(why)
        self.done = done


@dataclass(frozen=True, slots=True)
class Summary:
    """What a backfill did. `read` = `new` + `duplicates` + `dead`."""

    since: datetime
    until: datetime
    pages: int = 0
    read: int = 0
    new: int = 0
    duplicates: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list: what to store, what is no event, and where the next page begins."""

    events: tuple[Delivery, ...]
    broken: tuple[Delivery, ...]
    after: str | None


@dataclass(frozen=True)
class Backfill:
    """Reads the list, newest first, and stores it page by page, a transaction each.

    A crash in the middle repeats pages, which are duplicates then. `told` hears of every page.
    """

    store: Store
    platform: Platform
    clock: Clock
    told: Callable[[Summary], None] = lambda _summary: None

    async def run(self, since: datetime, until: datetime | None = None) -> Summary:
        """Store all events made from `since` to `until` (now). Raises BackfillFailed.

        Never reaches back further than the platform's list. At the end the mark moves, if what
        was read joins on to what was known before: then nothing is missing in between.
        """
        now = self.clock.now()
        done = Summary(max(since, now - HISTORY), min(until or now, now))
        after: str | None = None
        behind: set[str] = set()  # where pages began: one that comes again never ends
        while True:
            page = await self._read(done, after, bounded=until is not None)
            job = partial(_store, page=page, done=done, now=self.clock.now())
            done = await self.store.write(job)
            self.told(done)
            if page.after is None:
                break
            if page.after in behind:
                raise BackfillFailed("the list does not go on", done)
            after = page.after
            behind.add(after)
        await self.store.write(lambda c: _advance(c, since, done.until))
        return done

    async def _read(self, done: Summary, after: str | None, *, bounded: bool) -> Page:
        """One page. Without a bound the platform's clock may be ahead of ours."""
        params: dict[str, str | int] = {
            "createdTime[gte]": _written(done.since),
            "limit": PAGE,
        }
        if bounded:
            params["createdTime[lte]"] = _written(done.until)
        if after is not None:
            params["startingAfter"] = after
        for pause in (*AGAIN, None):
            try:
                answer = await self.platform.get("/events", params, priority=Priority.BACKGROUND)
                return _page(answer.body or {}, answer.status)
            except Rejected as error:
                raise BackfillFailed(str(error), done) from error
            except PlatformError as error:
                if pause is None:
                    raise BackfillFailed(str(error), done) from error
                asked = error.retry_after if isinstance(error, Unavailable) else None
            await self.clock.sleep(max(pause, asked or 0.0))
        raise AssertionError("unreachable: the last attempt returns or raises")


def _page(body: dict[str, Any], status: int) -> Page:
    listed = body.get("data")
    if not isinstance(listed, list):
        raise Unavailable(status=status, reason="the list can't be read")
    events: dict[str, Delivery] = {}
    broken: list[Delivery] = []
    for item in listed:
        delivery = _delivery(item)
        if delivery is None:
            broken.append(_broken(item))
        elif events.setdefault(delivery.id, delivery) is not delivery:
            broken.append(_broken(item))  # the same id twice in one page: a person looks
    ids = [item["id"] for item in listed if isinstance(item, dict) and _is_id(item.get("id"))]
    if body.get("hasMore") is True and not ids:
        raise Unavailable(status=status, reason="the list does not say how it goes on")
    after = ids[-1] if body.get("hasMore") is True else None
    return Page(tuple(events.values()), tuple(broken), after)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255


def _delivery(item: Any) -> Delivery | None:
    """The event as the webhook would have brought it; `None` if it can't be read as one."""
    try:
        event = Envelope.model_validate(item)
        created = event.created_time
        data = item["data"]
        resource = data.get("object")
    except (ValidationError, KeyError, TypeError, AttributeError):
        return None
    if created.tzinfo is None or not isinstance(resource, dict):
        return None
    raw = _raw(item)
    if raw is None:
        return None
    return Delivery(Origin.PLATFORM, event.id, event.type, "backfill", raw, about(resource, data))


def _raw(item: Any) -> bytes | None:
    try:
        return json.dumps(item, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None


def _broken(item: Any) -> Delivery:
    """What is no event, as a dead letter; the same thing again is the same letter."""
    raw = _raw(item) or b"null"
    digest = hashlib.sha256(raw).hexdigest()
    return Delivery(Origin.PLATFORM, f"backfill-{digest}", UNREADABLE, "backfill", raw)


def _store(connection: Connection, page: Page, done: Summary, now: datetime) -> Summary:
    new, conflicts = _append(connection, page.events, now)
    buried = inbox.bury_new(connection, page.broken, now, "not understood: an entry of the list")
    read = len(page.events) + len(page.broken)
    dead = conflicts + buried
    return replace(
        done,
        pages=done.pages + 1,
        read=done.read + read,
        new=done.new + new,
        dead=done.dead + dead,
        duplicates=done.duplicates + read - new - dead,
    )


def _append(connection: Connection, events: Sequence[Delivery], now: datetime) -> tuple[int, int]:
    """How many were new, and how many have another use of a known id, which is a dead letter."""
    if not events:
        return 0, 0
    before = entries.newest(connection)
    new = inbox.append(connection, events, now)
    return new, entries.dead_since(connection, before)


def _advance(connection: Connection, since: datetime, until: datetime) -> None:
    """`since` is what was asked for: what lies before the platform's history joins on too."""
    known = marks.at(connection, marks.CAUGHT_UP)
    if known is not None and since <= known:
        marks.advance(connection, marks.CAUGHT_UP, until)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
