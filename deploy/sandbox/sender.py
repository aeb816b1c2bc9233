"""Delivers events to webhooks: signed, concurrently, retried, given up (PLATFORM §6.3-6.5)."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
from httpx_aiohttp import AiohttpTransport

from . import webhooks
from .model import Event, Webhook
from .world import World, encoded

# Seconds after each failed attempt. Test: SANDBOX-CHOICE of PLATFORM §7.2. Live: up to 72 h.
TEST_RETRIES = (300.0, 1800.0, 7200.0)
LIVE_RETRIES = (60.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 64800.0, 129600.0)
AT_ONCE = 32


@dataclass(slots=True, eq=False)
class Delivery:
    webhook: Webhook
    event: Event
    raw: bytes
    attempt: int = 0
    asked: bool = False  # by a control call, which no switch stops


@dataclass(slots=True)
class Sender:
    """Holds what is to be done later, deliveries and changes of orders alike, and does it."""

    world: World
    due: list[tuple[float, int, Delivery | Callable[[], None]]] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    order: "itertools.count[int]" = field(default_factory=itertools.count)

    def deliver(self, webhook: Webhook, event: Event, raw: bytes) -> None:
        """What `World.emit` calls; the webhook faults strike here."""
        faults, counts = self.world.faults, self.world.ledger.webhooks
        off = self.world.settings.webhooks == "off"
        if off or faults.webhook("webhook_lost") is not None:
            counts["lost"] += 1
            return
        delivery = Delivery(webhook, event, raw)
        wait = faults.webhook("webhook_delayed")
        if wait is not None:
            counts["delayed"] += 1
        elif faults.webhook("webhook_reordered") is not None:
            counts["reordered"] += 1
            wait = faults.random.uniform(0.05, 0.5)
        self.at(wait or 0.0, delivery)
        if faults.webhook("webhook_doubled") is not None:
            counts["doubled"] += 1
            self.at((wait or 0.0) + faults.random.uniform(0.0, 0.2), Delivery(webhook, event, raw))

    def send(self, webhook: Webhook, event: Event) -> None:
        """Once more, now, whatever the faults."""
        self.at(0.0, Delivery(webhook, event, encoded(event.body), asked=True))

    def forget(self) -> None:
        self.due.clear()

    def at(self, seconds: float, what: Delivery | Callable[[], None]) -> None:
        """Real seconds from now."""
        when = asyncio.get_running_loop().time() + seconds
        heapq.heappush(self.due, (when, next(self.order), what))
        self.changed.set()

    async def run(self) -> None:
        """Ends when cancelled; what is under way is cancelled too."""
        transport = AiohttpTransport()
        async with httpx.AsyncClient(transport=transport, follow_redirects=False) as client:
            try:
                while True:
                    await self._next(client)
            finally:
                for task in self.tasks:
                    task.cancel()
                await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _next(self, client: httpx.AsyncClient) -> None:
        loop = asyncio.get_running_loop()
        self.changed.clear()
        if not self.due or self.due[0][0] > loop.time():
            wait = self.due[0][0] - loop.time() if self.due else None
            try:
                async with asyncio.timeout(wait):
                    await self.changed.wait()
            except TimeoutError:
                pass  # something is due now
            return
        _, _, what = heapq.heappop(self.due)
        if not isinstance(what, Delivery):
            what()
            return
        task = asyncio.create_task(self._deliver(client, what))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _deliver(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        async with self.slots:
            if not delivery.webhook.enabled:
                return
            counts = self.world.ledger.webhooks
            if self.world.settings.webhooks == "off" and not delivery.asked:
                counts["lost"] += 1
                return
            counts["sent"] += 1
            if await self._post(client, delivery):
                counts["acknowledged"] += 1
                delivery.webhook.failures = 0
                return
            counts["failed"] += 1
            self._failed(delivery)

    async def _post(self, client: httpx.AsyncClient, delivery: Delivery) -> bool:
        """True if acknowledged: a 2xx within the time limit. A redirect is a failure."""
        webhook, settings = delivery.webhook, self.world.settings
        headers = {
            "content-type": "application/json",
            "digitalriver-signature": webhooks.sign(
                webhook.secrets, delivery.raw, self.world.clock.now(), settings
            ),
        }
        auth = webhooks.basic(webhook)
        try:
            async with asyncio.timeout(settings.webhook_timeout):
                answer = await client.post(
                    webhook.address,
                    content=delivery.raw,
                    headers=headers,
                    auth=auth or httpx.USE_CLIENT_DEFAULT,
                    timeout=settings.webhook_timeout,
                )
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            return False
        return answer.is_success

    def _failed(self, delivery: Delivery) -> None:
        webhook, counts = delivery.webhook, self.world.ledger.webhooks
        webhook.failures += 1
        if webhook.failures >= self.world.settings.disable_after and webhook.enabled:
            webhook.enabled = False
            counts["disabled"] += 1
            return
        schedule = LIVE_RETRIES if webhook.live else TEST_RETRIES
        if delivery.attempt < len(schedule):
            wait = self.world.clock.scaled(schedule[delivery.attempt])
            delivery.attempt += 1
            counts["retried"] += 1
            self.at(wait, delivery)

    async def flush(self) -> int:
        """Attempts every waiting delivery now, and returns how many when they are answered."""
        waiting = [entry for entry in self.due if isinstance(entry[2], Delivery)]
        now = asyncio.get_running_loop().time()
        kept = [entry for entry in self.due if not isinstance(entry[2], Delivery)]
        self.due = [*kept, *((now, entry[1], entry[2]) for entry in waiting)]
        heapq.heapify(self.due)
        self.changed.set()
        await asyncio.sleep(0)
        while any(entry[0] <= now for entry in self.due) or self.tasks:
            if self.tasks:
                await asyncio.wait(list(self.tasks))
            await asyncio.sleep(0)
        return len(waiting)
