"""The door to all replicas: a load balancer that remembers what was acknowledged."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from tests.shell.service.serving import Service

PATIENCE = aiohttp.ClientTimeout(total=6.0, sock_connect=2.0)
ASIDE = 2.0  # seconds in which one that did not answer is left alone
# The last part of a call's path, and the type of the fact that it leaves.
FACTS = {
    "purchases": "purchase_requested",
    "payment-source": "source_chosen",
    "corrections": "checkout_corrected",
    "confirmation": "total_confirmed",
    "return": "shopper_returned",
    "cancel": "cancel_requested",
}


@dataclass
class Acknowledged:
    """What got a 2xx. Calls are counted by purchase and type of fact."""

    events: set[str] = field(default_factory=set)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)

    def note(self, method: str, path: str, sent: bytes, answer: bytes) -> None:
        """An answer that says: it is stored."""
        last = path.rsplit("/", 1)[-1]
        if method == "POST" and last in ("digital-river", "events"):
            self.events.add(json.loads(sent)["id"])
        elif method == "POST" and last in FACTS:
            self.calls[json.loads(answer)["id"], FACTS[last]] += 1


@dataclass
class Door:
    """Every request goes to the next replica; one that can't be reached is passed over."""

    http: aiohttp.ClientSession
    url: str = ""
    replicas: list[Service] = field(default_factory=list)
    acknowledged: Acknowledged = field(default_factory=Acknowledged)
    _turns: Iterator[int] = field(default_factory=itertools.count)
    _aside: dict[str, float] = field(default_factory=dict)

    async def forward(self, request: web.Request) -> web.Response:
        """The answer of a replica; 502 or 504 if it broke off or took too long."""
        body = await request.read()
        for replica in self._next():
            try:
                return await self._ask(replica.url, request, body)
            except aiohttp.ClientConnectorError:
                continue  # nothing was sent
            except (aiohttp.ClientError, TimeoutError) as error:
                self._aside[replica.url] = time.monotonic() + ASIDE
                return web.Response(status=504 if isinstance(error, TimeoutError) else 502)
        return web.Response(status=503)

    def _next(self) -> list[Service]:
        turn, now = next(self._turns), time.monotonic()
        wanted = [one for one in self.replicas if self._aside.get(one.url, 0.0) <= now]
        at = turn % len(wanted) if wanted else 0
        return [*wanted[at:], *wanted[:at]]

    async def _ask(self, url: str, request: web.Request, body: bytes) -> web.Response:
        kept = {n: v for n, v in request.headers.items() if n.lower() not in ("host", "connection")}
        async with self.http.request(
            request.method, url + request.raw_path, data=body, headers=kept, timeout=PATIENCE
        ) as answer:
            content = await answer.read()
            if answer.ok:
                self.acknowledged.note(request.method, request.path, body, content)
            wait = answer.headers.get("Retry-After")
            return web.Response(
                body=content,
                status=answer.status,
                headers={"Retry-After": wait} if wait else {},
                content_type=answer.content_type,
            )


@asynccontextmanager
async def door() -> AsyncIterator[Door]:
    """A door with no replica behind it yet, until the block ends."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http:
        made = Door(http)
        app = web.Application(client_max_size=2 << 20)
        app.router.add_route("*", "/{tail:.*}", made.forward)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield made
        finally:
            await asyncio.shield(runner.cleanup())
