"""The HTTP application over a real socket and a real SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import Connection, select

from consumer.clock import SystemClock
from consumer.observe.metrics import Metrics
from consumer.platform import LocalLimiter, Platform
from consumer.settings.values import Token
from consumer.signals import Changes, Signal
from consumer.signature import sign
from consumer.store import purchases
from consumer.store.sqlite import SqliteStore, sqlite_engine
from consumer.store.tables import inbox
from consumer.web.app import application
from consumer.web.deps import Deps, WebhookRules
from consumer.web.server import listener, serve
from schemas.purchase import Purchase
from tests.shell import lone

SECRET = "whsec-one"
OTHER_SECRET = "whsec-two"
TOKENS = (
    Token("storefront", "shop", SecretStr("shop-token")),
    Token("dashboard", "read", SecretStr("read-token")),
    Token("payments", "operator", SecretStr("operator-token")),
)
WEBHOOK = "/webhooks/digital-river"


@dataclass
class Service:
    """A running application, and the store behind it."""

    url: str
    client: httpx.AsyncClient
    deps: Deps
    database: Path
    stop: asyncio.Event

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str = "shop", **headers: str
    ) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        auth = {"Authorization": f"Bearer {token}-token"}
        return await self.client.request(method, path, json=body, headers=auth | named)

    async def purchase(self, checkout: str = "c1", **body: Any) -> dict[str, Any]:
        request = {"checkoutId": checkout, **body}
        answer = await self.call("POST", "/v1/purchases", request, Prefer="wait=0")
        assert answer.status_code == 202, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def deliver(
        self,
        body: Any,
        *,
        secret: str = SECRET,
        signature: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        stamp = str(int(time.time() * 1000))
        signed = signature or f"{stamp}, {sign(raw, secret, stamp)}"
        named = {"Content-Type": "application/json", "DigitalRiver-Signature": signed}
        return await self.client.post(WEBHOOK, content=raw, headers=named | (headers or {}))

    async def stored(self) -> list[tuple[str, str, str, str]]:
        """(origin, id, type, status) of every fact, oldest first."""

        def job(connection: Connection) -> list[tuple[str, str, str, str]]:
            columns = (inbox.c.origin, inbox.c.id, inbox.c.type, inbox.c.status)
            return [tuple(row) for row in connection.execute(select(*columns).order_by("seq"))]

        return await self.deps.store.read(job)

    async def decide(self, purchase_id: str, **changes: Any) -> None:
        """Do what a worker does: settle the facts and store the next version."""

        def job(connection: Connection) -> None:
            before = purchases.load(connection, purchase_id)
            assert before is not None
            after = Purchase.model_validate(
                before.model_dump() | changes | {"version": before.version + 1}
            )
            lone.replace(connection, after, before.version)
            connection.execute(
                inbox.update().where(inbox.c.purchase_id == purchase_id).values(status="done")
            )

        await self.deps.store.write(job)
        self.deps.changes.tell(purchase_id)


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """What the condition returns once that is true; fails after five seconds."""
    async with asyncio.timeout(5):
        while not (found := await condition()):  # noqa: ASYNC110 - the store has no event
            await asyncio.sleep(0.005)
    return found


Running = Callable[..., contextlib.AbstractAsyncContextManager[Service]]  # see `running`


@contextlib.asynccontextmanager
async def running(
    database: Path,
    *,
    webhook: WebhookRules | None = WebhookRules((SECRET, OTHER_SECRET)),  # noqa: B008 - frozen
    platform_url: str = "http://127.0.0.1:9",
    busy_seconds: float = 0.2,
    **changes: Any,
) -> AsyncIterator[Service]:
    """A service on this migrated database until the block ends; `changes` are fields of `Deps`."""
    engine = sqlite_engine(f"sqlite:///{database}", busy_seconds)
    store, clock = SqliteStore(engine), SystemClock()
    platform = Platform(
        platform_url, "sk_test_1", LocalLimiter(1000.0, clock), clock, timeout=1.0, patience=1.0
    )
    deps = Deps(store, platform, clock, TOKENS, webhook, Signal(), Changes(), metrics=Metrics())
    async with platform, asyncio.TaskGroup() as tasks:
        stop, ready, sock = asyncio.Event(), asyncio.Event(), listener("127.0.0.1", 0)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        app = application(replace(deps, stopping=stop.is_set, **changes))
        tasks.create_task(serve(app, sock, stop, ready.set, drain_seconds=3))
        await ready.wait()
        try:
            async with httpx.AsyncClient(base_url=url, timeout=10) as client:
                yield Service(url, client, deps, database, stop)
        finally:
            stop.set()
    await store.close()


def event(id: str = "evt-1", type: str = "order.accepted", **object: Any) -> dict[str, Any]:
    """An event of the platform (PLATFORM §2.11)."""
    return {
        "id": id,
        "type": type,
        "data": {"object": {"id": "o1", "checkoutId": "c1"} | object},
        "liveMode": False,
        "createdTime": "2024-05-02T09:05:00.123456Z",
        "webhookIds": ["w1"],
    }
