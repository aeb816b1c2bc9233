"""A sandbox, the service beside it, and a storefront that uses both over HTTP."""

import itertools
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.sandbox.server import Options, Sandbox, add_webhook, running
from tests.shell.sandbox.shop import CHECKOUT, PLACE, VISA
from tests.shell.service.serving import (
    KEY,
    OPS,
    SETTINGS,
    SHOP,
    WEBHOOK_SECRET,
    Service,
    eventually,
    until,
)

Json = dict[str, Any]
# For a module's `pytestmark`: its tests run on either database.
BOTH = pytest.mark.parametrize("stage", ["sqlite", "postgres"], indirect=True, scope="module")
TOTAL = 59.95  # of CHECKOUT, taxes included
DECLINED_CARD = "4000000000003600"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout as the storefront made it, and the request that made it."""

    id: str
    session: str
    upstream: str
    request: Json


@dataclass
class Stage:
    """Everything on it is real; only the platform is a stand-in."""

    sandbox: Sandbox
    service: Service
    http: httpx.AsyncClient
    seen: list[str] = field(default_factory=list)

    # The storefront at the platform.

    async def platform(self, method: str, path: str, body: Json | None = None) -> Json:
        """A call with the secret key, which must succeed."""
        answer = await self.http.request(
            method, self.sandbox.url + path, json=body, headers={"Authorization": f"Bearer {KEY}"}
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        found: Json = answer.json() if answer.content else {}
        return found

    async def checkout(self, upstream: str = "", **changes: Any) -> Checkout:
        """A new checkout; `None` leaves a field out."""
        upstream = upstream or f"web-{next(_numbers)}-{secrets.token_hex(3)}"
        wanted = {**CHECKOUT, "upstreamId": upstream, **changes}
        request = {name: value for name, value in wanted.items() if value is not None}
        made = await self.platform("POST", "/checkouts", request)
        return Checkout(made["id"], made["payment"]["session"]["id"], upstream, request)

    async def source(
        self, session: str | None, last: str = "Probe", number: str = VISA, **more: Any
    ) -> str:
        """What the shopper's browser does; the source's id."""
        owner = {"firstName": "Ada", "lastName": last, "address": PLACE}
        card = {"number": number, "expirationMonth": 1, "expirationYear": 2040}
        body = {"sessionId": session, "owner": owner, "card": card, **more}
        body = {name: value for name, value in body.items() if value is not None}
        made = await self.platform("POST", "/_browser/sources", body)
        return str(made["id"])

    async def attach(self, checkout_id: str, source_id: str) -> None:
        """The storefront attaches a source itself."""
        await self.platform("POST", f"/checkouts/{checkout_id}/sources/{source_id}")

    async def paid(self, last: str = "Probe", number: str = VISA, **changes: Any) -> Checkout:
        """A checkout with a source attached."""
        checkout = await self.checkout(**changes)
        await self.attach(checkout.id, await self.source(checkout.session, last, number))
        return checkout

    async def fault(
        self, checkout: Checkout, kind: str, *, path: str = "/orders", times: int = 1, **more: Any
    ) -> None:
        """Something goes wrong with the next calls of this shopper."""
        match = {"method": "POST", "path": path, "upstreamId": checkout.upstream}
        script = {"match": match, "action": {"kind": kind, **more}, "times": times}
        await self.platform("POST", "/_sandbox/faults", {"scripts": [script]})

    # The storefront at the service.

    async def call(
        self, method: str, path: str, body: Json | None = None, *, token: str = SHOP, wait: int = 0
    ) -> httpx.Response:
        """A call of the service, whatever the answer."""
        headers = {"Authorization": f"Bearer {token}"}
        if wait:
            headers["Prefer"] = f"wait={wait}"
        return await self.http.request(
            method, self.service.url + path, json=body, headers=headers, timeout=40.0
        )

    async def buy(
        self, checkout: Checkout, *, wait: int = 15, create: bool = True, **more: Any
    ) -> Json:
        """Hand a checkout over; the purchase as it stands when it is neither checking nor
        submitting."""
        body = {"checkoutId": checkout.id, "upstreamId": checkout.upstream, **more}
        if create:
            body["createRequest"] = checkout.request
        answer = await self.call("POST", "/v1/purchases", body, wait=wait)
        assert answer.status_code in (200, 202), answer.text
        found: Json = answer.json()
        self.seen.append(found["id"])
        return found

    async def tell(
        self, purchase: Json, what: str, body: Json | None = None, *, wait: int = 15, **more: Any
    ) -> Json:
        """A call about a purchase, which must be taken."""
        answer = await self.call(
            "POST", f"/v1/purchases/{purchase['id']}/{what}", body, wait=wait, **more
        )
        assert answer.is_success, answer.text
        found: Json = answer.json()
        return found

    async def purchase(self, id: str, token: str = SHOP) -> Json:
        """The purchase now."""
        answer = await self.call("GET", f"/v1/purchases/{id}", token=token)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def reaches(
        self, purchase: Json, state: str, reason: str | None = None, seconds: float = 15.0
    ) -> Json:
        """The purchase once it is in this state and reason."""
        return await self.eventually(
            purchase, lambda p: (p["state"], p["reason"]) == (state, reason), seconds
        )

    async def eventually(
        self, purchase: Json, condition: Callable[[Json], Any], seconds: float = 15.0
    ) -> Json:
        """The purchase once the condition is true of it, or a failure with its timeline."""
        found: Json = {}

        async def holds() -> Any:
            found.clear()
            found.update(await self.purchase(purchase["id"]))
            return condition(found)

        try:
            await eventually(holds, seconds)
        except AssertionError as error:
            story = "\n".join(await self.story(purchase))
            raise AssertionError(f"still {found['state']}/{found['reason']}\n{story}") from error
        return found

    async def timeline(self, purchase: Json) -> list[Json]:
        """All that the service stored about it."""
        answer = await self.call("GET", f"/v1/purchases/{purchase['id']}/timeline", token=OPS)
        found: list[Json] = answer.json()["data"]
        return found

    async def rules(self, purchase: Json) -> list[str]:
        """The rules of its decisions, in order."""
        items = await self.timeline(purchase)
        return [item["rule"] for item in items if item["kind"] == "decision"]

    async def story(self, purchase: Json) -> list[str]:
        """The timeline, one line each, for failures."""
        lines = []
        for item in await self.timeline(purchase):
            name = item.get("rule") or item.get("command") or item.get("type")
            rest = item.get("evidence") or item.get("status") or ""
            lines.append(f"  {item['at'][17:23]} {item['kind']} {name} {rest}")
        return lines

    async def metric(self, name: str, *, at: str = "", **labels: str) -> float:
        """The sum of a metric's samples with these labels; `at`: another process's address."""
        answer = await self.http.get((at or self.service.url) + "/metrics")
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        total = 0.0
        for line in answer.text.splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(label in sample for label in wanted):
                total += float(value)
        return total

    # The sandbox's own books.

    def submissions(self, upstream: str) -> list[Json]:
        """Every POST /orders of this shopper, in order."""
        return [s for s in self.sandbox.ledger["submissions"] if s["upstreamId"] == upstream]

    def opened(self, upstream: str) -> list[str]:
        """All checkouts of this shopper, oldest first."""
        world = self.sandbox.world
        return [one.id for one in world.checkouts.values() if one.upstream_id == upstream]

    def orders(self, upstream: str, *, live: bool = True) -> list[Json]:
        """This shopper's orders; only those not cancelled or blocked, unless asked for all."""
        mine = set(self.opened(upstream))
        found = [o for o in self.sandbox.ledger["orders"] if o["checkoutId"] in mine]
        return [o for o in found if not live or o["state"] not in ("cancelled", "blocked")]

    def charges(self, upstream: str) -> list[Json]:
        """Every charge attempt of this shopper."""
        mine = set(self.opened(upstream))
        return [c for c in self.sandbox.ledger["chargeAttempts"] if c["checkoutId"] in mine]

    def in_order(self, upstream: str) -> None:
        """Claims what must hold at every end: one live order at most, one charge for it, no
        submission of a checkout that was not ready, no touch of a dead one."""
        assert len(self.orders(upstream)) <= 1
        assert all(s["ready"] for s in self.submissions(upstream)), self.submissions(upstream)
        mine = set(self.opened(upstream))
        touched = self.sandbox.ledger["deadTouches"]
        assert [t for t in touched if t["checkoutId"] in mine and t["told"]] == []


@asynccontextmanager
async def staged(
    folder: Path, *, speed: float = 60.0, keys: tuple[str, ...] = (KEY,), **settings: str
) -> AsyncIterator[Stage]:
    """A stage until the block ends. `speed` divides the platform's delays: reviews take 1 s."""
    options = Options(keys=keys, speed=speed, rate=1000.0, webhook_secrets=(WEBHOOK_SECRET,))
    async with running(options) as sandbox, httpx.AsyncClient(timeout=15.0) as http:
        given = {
            **SETTINGS,
            "PLATFORM_URL": sandbox.url,
            "DATABASE_URL": f"sqlite:///{folder}/service.db",
            **settings,
        }
        service = Service(folder, given)
        stage = Stage(sandbox, service, http)
        try:
            await service.start()
            add_webhook(sandbox.world, options, webhook_address(service), live=True)
            yield stage
        finally:
            await service.kill()


def webhook_address(service: Service) -> str:
    """Where the platform's events go."""
    return f"{service.url}/webhooks/digital-river"


async def restart(stage: Stage) -> None:
    """Start the service again and tell the platform its new address."""
    await stage.service.start()
    for hook in stage.sandbox.world.webhooks.values():
        hook.address = webhook_address(stage.service)
        hook.enabled, hook.failures = True, 0


__all__ = ["BOTH", "Checkout", "Json", "Stage", "restart", "staged", "until"]
