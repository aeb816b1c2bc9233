"""Keeping this process's share of the rate budget: asking for it, again and again (I10)."""

import asyncio
import math
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from consumer.clock import Clock
from consumer.platform.retry_after import LONGEST
from consumer.platform.shared_limiter import Demand, SharedLimiter
from consumer.settings import Settings
from consumer.signals import Signal
from consumer.store import budget
from consumer.store.budget import Ask, Share, Silence
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.opening import open_engine, open_store

EVERY = 1.0  # seconds between renewals
SOON = 0.2  # seconds between looks whether calls wait
LIVES = 3.0  # seconds that a share lasts, from before it was asked for
SILENT = LIVES + 1.0  # seconds of silence after which others take it over
# Seconds of a share that may be saved for one burst, so that a process which stalled for a moment
# catches up; and of the rate, for all processes together, so that one with a small share has some.
# With 80 % of what the platform allows, a whole second still holds less than 100 %.
OWN_BURST, COMMON_BURST = 0.15, 0.05
log = structlog.get_logger("order_rescue")


@dataclass
class Sharing:
    """Renews the limiter's share of `rate`. `store` is best one that has nothing else to do.

    A database that can't be reached renews nothing: the share ends, and nothing is sent.
    """

    store: Store
    clock: Clock
    limiter: SharedLimiter
    rate: float
    id: str
    most: float = math.inf
    wanted: Demand = field(default_factory=Demand)
    _wake: Signal = field(default_factory=Signal)
    _pause: datetime | None = None
    _heard: datetime | None = None
    _beat: int = 0
    _equal: float = 0.0  # what each would have if all had the same
    _silence: Silence = field(init=False)

    def __post_init__(self) -> None:
        self._silence = Silence(self.clock.monotonic, SILENT)
        self.limiter.on_pause = self.paused

    async def run(self, stop: asyncio.Event) -> None:
        """Renew until `stop`, which comes when nobody calls any more; then leave."""
        while not stop.is_set():
            self.wanted = self._demand()
            try:
                while await self.renew():
                    pass
            except StoreUnavailable:
                pass  # the store says so; the share ends by itself
            await self._rest(stop)
        try:
            await self.store.write(lambda c: budget.leave(c, self.id))
        except StoreUnavailable:
            return  # the others notice

    def paused(self, seconds: float) -> None:
        """The platform said 429: all are to pause."""
        self._pause = self.clock.now() + timedelta(seconds=seconds)
        self._wake.set()

    async def renew(self) -> bool:
        """Ask once; whether others wait for what this process has just given up."""
        asked, using, pause = self.clock.monotonic(), self.limiter.share, self._pause
        self._beat += 1
        needs = (self.wanted.shoppers, self.wanted.others)
        ask = Ask(self.id, self._beat, self.rate, using, *needs, pause)
        share = await self.store.write(lambda c: budget.renew(c, ask, self._silence))
        if self._pause == pause:
            self._pause = None
        self._take(share, asked + LIVES)
        return using - share.rate > self.rate * budget.FLOOR

    def _take(self, share: Share, until: float) -> None:
        equal, rate = self.rate / share.replicas, min(share.rate, self.most)
        self._equal = min(equal, self.most)
        self.limiter.renew(rate, rate * OWN_BURST + equal * COMMON_BURST, until)
        if share.paused and share.paused != self._heard:
            left = (share.paused - self.clock.now()).total_seconds()
            self.limiter.heard_pause(min(left, LONGEST))
        self._heard = share.paused

    def _demand(self) -> Demand:
        """What is needed now, or half of what was needed before: calls come in waves."""
        now = self.limiter.demand(self.rate)
        shoppers = max(now.shoppers, self.wanted.shoppers / 2)
        return Demand(shoppers, min(self.most, max(now.others, self.wanted.others / 2)))

    async def _rest(self, stop: asyncio.Event) -> None:
        end = self.clock.monotonic() + EVERY
        while not stop.is_set() and self.clock.monotonic() < end:
            await self._wake.wait(SOON)
            if self._pause or (self.limiter.lacking and self._may_get_more()):
                return

    def _may_get_more(self) -> bool:
        """Whether asking earlier helps: the others do not know yet, or give up some just now."""
        told = max(self.wanted.shoppers, self.wanted.others) >= min(self.rate, self.most)
        return not told or self.limiter.share < self._equal / 2


def share_of(
    settings: Settings, clock: Clock, limiter: SharedLimiter, most: float = math.inf
) -> Sharing:
    """A share of `PLATFORM_RATE` for this process, over a connection of its own: no other work
    of ours delays a renewal, and whoever stalls within one holds up the others for `LIVES`."""
    engine = open_engine(settings.database_url, pool_size=1, statement_timeout=LIVES)
    id = secrets.token_hex(8)
    return Sharing(open_store(engine), clock, limiter, settings.platform_rate, id, most)
