"""The relay: outcomes to each sink, in order per purchase; the merchant's endpoint is one."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import httpx
from sqlalchemy import Connection

from consumer.clock import Clock
from consumer.signals import Signal
from consumer.store import leases, outcomes
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.leases import Lease
from consumer.store.outcomes import Delivery

SINK = "webhook"
TIMEOUT = 15.0  # seconds for one attempt, whatever the sink
LEASE = timedelta(seconds=TIMEOUT + 15)
POLL = 0.5
ABREAST = 16  # purchases whose outcomes are sent at the same time
# Seconds after each failed attempt, as Standard Webhooks recommend; then it is a dead letter.
RETRIES = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)


class Sink(Protocol):
    """Where outcomes go. `retries`: seconds after each failed attempt; then it is a dead letter.

    `rest`: seconds for which nothing is tried once nothing was taken: it is away as a whole.
    """

    @property
    def name(self) -> str: ...
    @property
    def retries(self) -> Sequence[float]: ...
    @property
    def rest(self) -> float: ...

    async def take(self, delivery: Delivery) -> str | None:
        """Deliver it; why it was not taken, or `None` if it was. May be cancelled."""
        ...


@dataclass(frozen=True)
class Endpoint:
    """The merchant's endpoint, a sink: signed as Standard Webhooks say. `url` may hold a secret."""

    client: httpx.AsyncClient
    url: str
    key: bytes
    clock: Clock
    name: str = SINK
    retries: Sequence[float] = RETRIES
    rest: float = 0.0  # what it refuses says nothing about the others

    async def take(self, delivery: Delivery) -> str | None:
        """Only 2xx counts, redirects do not."""
        now = int(self.clock.now().timestamp())
        headers = signed(delivery.outcome_id, now, delivery.body, self.key)
        headers |= delivery.trace_headers()
        try:
            answer = await self.client.post(
                self.url, content=delivery.body.encode(), headers=headers
            )
        except httpx.HTTPError as error:
            return type(error).__name__
        return None if answer.is_success else f"status {answer.status_code}"


@dataclass(frozen=True)
class Relay:
    """Sends in order per purchase, at least once, with a stable id. `seen` counts results."""

    store: Store
    clock: Clock
    sink: Sink
    owner: str
    signal: Signal
    seen: Callable[[str], None]
    poll: Callable[[], float] = lambda: POLL

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`; what is under way is finished."""
        while not stop.is_set():
            taken: list[bool] = []
            try:
                taken = await self._send_some()
            except* StoreUnavailable:
                pass  # what was sent and not recorded is sent again: at least once
            if taken and not any(taken):
                await self._rest(stop)
            if len(taken) < ABREAST:
                await self.signal.wait(self.poll())

    async def _rest(self, stop: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.sink.rest):
                await stop.wait()

    async def _send_some(self) -> list[bool]:
        """Of each that was tried whether it was taken."""
        now = self.clock.now()
        if not await self.store.look(lambda c: outcomes.due(c, self.sink.name, now, 1)):
            return []
        found = await self.store.write(self._take)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._send(*each)) for each in found]
        return [task.result() for task in tasks]

    def _take(self, connection: Connection) -> list[tuple[Delivery, Lease]]:
        """Due deliveries, one a purchase, each under its lease."""
        now = self.clock.now()
        found = outcomes.due(connection, self.sink.name, now, ABREAST)
        named = [(d, f"relay/{self.sink.name}/{d.purchase_id}") for d in found]
        tried = [(d, leases.acquire(connection, n, self.owner, now, now + LEASE)) for d, n in named]
        # Another relay may have sent one and let go of its lease since we looked.
        still = set(outcomes.due(connection, self.sink.name, now, 2 * ABREAST))
        return [(delivery, lease) for delivery, lease in tried if lease and delivery in still]

    async def _send(self, delivery: Delivery, lease: Lease) -> bool:
        failure = await self._attempt(delivery)
        now = self.clock.now()
        status, due = "sent", now
        if failure:
            status, due = self._after_failure(delivery, now)
        await self.store.write(lambda c: self._settle(c, delivery, lease, status, due, failure))
        self.seen(status if status != "waiting" else "failed")
        return not failure

    async def _attempt(self, delivery: Delivery) -> str | None:
        """Why it was not taken; `None` if it was."""
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self.sink.take(delivery)
        except TimeoutError as error:
            return type(error).__name__

    def _after_failure(self, delivery: Delivery, now: datetime) -> tuple[str, datetime]:
        if delivery.attempts >= len(self.sink.retries):
            return "dead", now
        return "waiting", now + timedelta(seconds=self.sink.retries[delivery.attempts])

    @staticmethod
    def _settle(
        connection: Connection,
        delivery: Delivery,
        lease: Lease,
        status: str,
        due: datetime,
        failure: str | None,
    ) -> None:
        outcomes.settle(connection, delivery, status, due=due, reason=failure)
        leases.release(connection, lease, due)


def signed(id: str, timestamp: int, body: str, key: bytes) -> dict[str, str]:
    """The headers of a Standard Webhook: id, time in epoch seconds, signature."""
    content = f"{id}.{timestamp}.{body}".encode()
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "content-type": "application/cloudevents+json",
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
