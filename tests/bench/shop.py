"""The storefront at the platform: checkouts that are ready to be submitted."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_aiohttp import AiohttpTransport

from tests.bench import documents
from tests.bench.stage import KEY, SHOP, SHOP_KEYS
from tests.bench.wrk import Broken

AT_ONCE = 12
VISA = "4444222233331111"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Checkout:
    """A checkout with a source, and the request that made it."""

    id: str
    upstream: str
    request: dict[str, Any]


@dataclass(frozen=True)
class Shop:
    """Calls of a storefront, and of the yardstick, over one client like the service's own."""

    http: httpx.AsyncClient
    platform: str

    async def ready(self, number: int) -> list[Checkout]:
        """So many checkouts with a source, made with other keys than the service's."""
        doors = asyncio.Semaphore(AT_ONCE)

        async def one(place: int) -> Checkout:
            async with doors:
                return await self._ready(SHOP_KEYS[place % len(SHOP_KEYS)])

        return await asyncio.gather(*(one(place) for place in range(number)))

    async def _ready(self, key: str) -> Checkout:
        request = documents.request(f"shop-{next(_numbers)}")
        made = await self._call("POST", "/checkouts", request, key)
        owner = {"firstName": "Ada", "lastName": "Probe", "address": documents.PLACE}
        card = {"number": VISA, "expirationMonth": 1, "expirationYear": 2040}
        session = made["payment"]["session"]["id"]
        body = {"sessionId": session, "owner": owner, "card": card}
        source = await self._call("POST", "/_browser/sources", body, key)
        await self._call("POST", f"/checkouts/{made['id']}/sources/{source['id']}", None, key)
        return Checkout(made["id"], request["upstreamId"], request)

    async def buy(self, service: str, checkout: Checkout) -> None:
        """Hand it over and wait for the end of the story."""
        body = {
            "checkoutId": checkout.id,
            "upstreamId": checkout.upstream,
            "createRequest": checkout.request,
        }
        headers = {"Authorization": f"Bearer {SHOP}", "Prefer": "wait=30"}
        answer = await self.http.post(f"{service}/v1/purchases", json=body, headers=headers)
        if answer.status_code != 200 or answer.json()["state"] != "accepted":
            raise Broken(f"not accepted: {answer.status_code} {answer.text[:500]}")

    async def submit(self, checkout: Checkout) -> None:
        """The two calls that it takes at the least: read the checkout, place its order."""
        await self._call("GET", f"/checkouts/{checkout.id}", None, KEY)
        await self._call("POST", "/orders", {"checkoutId": checkout.id}, KEY)

    async def latency(self, seconds: float) -> None:
        """Every answer of the platform takes so long from now on."""
        rates = {"latency": {"rate": 1, "seconds": seconds}}
        await self._call("POST", "/_sandbox/faults", {"rates": rates}, KEY)

    async def ledger(self) -> dict[str, Any]:
        """The platform's own books."""
        return await self._call("GET", "/_sandbox/ledger", None, KEY)

    async def _call(self, method: str, path: str, body: Any, key: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {key}"}
        answer = await self.http.request(method, self.platform + path, json=body, headers=headers)
        if not answer.is_success:
            raise Broken(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found


@asynccontextmanager
async def opened(platform: str) -> AsyncIterator[Shop]:
    """A shop until the block ends."""
    transport = AiohttpTransport()
    async with httpx.AsyncClient(transport=transport, timeout=40.0, trust_env=False) as http:
        yield Shop(http, platform)
