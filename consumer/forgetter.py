"""The forgetter: works off requests to be forgotten, and keeps forgotten purchases clean.

Every step is a short transaction that may be repeated, so a crash anywhere only costs time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from consumer.clock import Clock
from consumer.store import forgetting, inbox
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.forgetting import Person
from consumer.store.inbox import Entry

POLL = 1.0  # seconds between looks
BATCH = 50  # rows or purchases in one transaction
log = structlog.get_logger("order_rescue")


@dataclass
class Forgetter:
    """`stored` wakes the worker; `seen` counts purchases and facts. `dirty`: bytes of what was
    taken out may still be in the database's log."""

    store: Store
    clock: Clock
    stored: Callable[[], None]
    seen: Callable[[int, int], None] = lambda _purchases, _facts: None
    dirty: bool = True  # a crash may have come in between

    async def run(self, stop: asyncio.Event) -> None:
        """Forget until `stop`."""
        while not stop.is_set():
            try:
                await self.turn()
            except StoreUnavailable:
                pass  # what was not done is found again
            try:
                async with asyncio.timeout(POLL):
                    await stop.wait()
            except TimeoutError:
                continue

    async def turn(self) -> None:
        """Everything that there is to do now."""
        while entry := await self.store.read(forgetting.next_request):
            try:
                await self._forget(entry)
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one request must not stop the service; it is shown
                reason = f"not forgotten: {type(error).__name__}"
                buried = partial(inbox.mark, seq=entry.seq, status="dead", reason=reason)
                await self.store.write(buried)
                log.error("dead letter", fact=entry.type, fact_id=entry.id, reason=reason)
        while found := await self.store.read(lambda c: forgetting.unclean(c, BATCH)):
            for purchase_id in found:
                await self.store.write(partial(forgetting.clean, purchase_id=purchase_id))
            self.dirty = True
        if self.dirty:
            self.dirty = not await self.store.checkpoint()

    async def _forget(self, entry: Entry) -> None:
        someone, known = await self.store.read(partial(forgetting.person, entry=entry))
        mine, rows = await self._named(someone, known, orphans=False)
        # What has no purchase may name only an id of theirs.
        wider = await self.store.read(partial(forgetting.with_ids, someone=someone, mine=mine))
        _, more = await self._named(wider, mine, orphans=True)
        rows = sorted({*rows, *more})
        now, listed = self.clock.now(), sorted(mine)
        for at in range(0, len(listed), BATCH):
            part = listed[at : at + BATCH]
            await self.store.write(partial(forgetting.begin, entry=entry, mine=part, now=now))
        for at in range(0, len(rows), BATCH):
            await self.store.write(partial(forgetting.clean_rows, seqs=rows[at : at + BATCH]))
        await self.store.write(partial(forgetting.finish, entry=entry))
        self.dirty = True
        self.stored()
        self.seen(len(listed), len(rows))

    async def _named(
        self, someone: Person, known: frozenset[str], *, orphans: bool
    ) -> tuple[frozenset[str], list[int]]:
        """Their purchases, and rows without one that name them."""
        mine, rows = set(known), list[int]()
        after: int | None = 0
        while after is not None:
            found, after = await self.store.read(
                partial(forgetting.look, someone=someone, after=after, orphans=orphans)
            )
            mine |= found.purchases
            rows.extend(found.rows)
        return frozenset(mine), rows
