"""A shopper who does not give up: asks again through crashes, and pays when asked to."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from deploy.sandbox.server import Options, Sandbox, add_webhook, running
from tests.crash.mortal import Mortal, brief
from tests.shell.sandbox.shop import CHECKOUT, PLACE, VISA
from tests.shell.service.serving import KEY, OPS, SETTINGS, SHOP, WEBHOOK_SECRET

Json = dict[str, Any]
LATE = 1.2  # seconds until a late commit: less than it takes to settle
ENDS = ("accepted", "lost", "review")
UPSTREAM = "web-1"
DECLINED_CARD = "4000000000003600"


@dataclass(frozen=True, slots=True)
class Way:
    """What a shopper goes through: the first payment, and what happens to the first submission.

    `kind` is the first source's type; a provider's page is opened and left unpaid. `owner` is a
    last name that the sandbox knows. A `thorough` way is never sampled.
    """

    name: str
    card: str = VISA
    kind: str = "creditCard"
    fault: str | None = None
    webhooks: bool = False
    checkouts: int = 1
    credit: tuple[float, ...] = ()  # store credit that is on the first checkout
    cancelled: int = 0  # orders that must have been taken back before the last one
    lag: float = 0.0  # seconds until the platform lists a new order
    owner: str = "Probe"
    thorough: bool = False


@dataclass
class Case:
    """One shopper, one sandbox, one service on its own database."""

    way: Way
    folder: Path
    sandbox: Sandbox
    service: Mortal
    http: httpx.AsyncClient
    purchase: Json = field(default_factory=dict)
    died: bool = False
    story: list[Json] = field(default_factory=list)

    async def platform(self, path: str, body: Json | None = None) -> Json:
        """A call of the sandbox that must succeed."""
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = await self.http.post(self.sandbox.url + path, json=body, headers=headers)
        assert answer.is_success, answer.text
        found: Json = answer.json()
        return found

    async def source(self, session: str, card: str = VISA, kind: str = "creditCard") -> str:
        """A card typed into the browser, or another way to pay chosen there."""
        owner = {"firstName": "Ada", "lastName": self.way.owner, "address": PLACE}
        body: Json = {"sessionId": session, "owner": owner, "type": kind}
        if kind == "creditCard":
            body["card"] = {"number": card, "expirationMonth": 1, "expirationYear": 2040}
        return str((await self.platform("/_browser/sources", body))["id"])

    async def prepare(self) -> str:
        """A checkout that is paid with the first card; its id."""
        made = await self.platform("/checkouts", {**CHECKOUT, "upstreamId": UPSTREAM})
        session = made["payment"]["session"]["id"]
        for amount in self.way.credit:
            body = {"type": "customerCredit", "paymentSessionId": session, "amount": amount}
            given = (await self.platform("/sources", body))["id"]
            await self.platform(f"/checkouts/{made['id']}/sources/{given}")
        source = await self.source(session, self.way.card, self.way.kind)
        await self.platform(f"/checkouts/{made['id']}/sources/{source}")
        if self.way.fault:
            script = {
                "match": {"method": "POST", "path": "/orders"},
                "action": {"kind": self.way.fault, "seconds": LATE},
            }
            await self.platform("/_sandbox/faults", {"scripts": [script]})
        return str(made["id"])

    async def ask(
        self, method: str, path: str, body: Json | None = None, token: str = SHOP
    ) -> httpx.Response:
        """A call of the service, again and again until a living process answers it; after a death
        another story's may have its port, and knows nothing of the purchase."""
        headers = {"Authorization": f"Bearer {token}"}
        while True:
            with suppress(httpx.TransportError):
                answer = await self.http.request(
                    method, self.service.url + path, json=body, headers=headers
                )
                if answer.status_code < 500 and answer.status_code != 404:
                    return answer
            await brief()

    async def shop(self, checkout_id: str) -> None:
        """Hand the checkout over and do what is asked, to the end."""
        request = {**CHECKOUT, "upstreamId": UPSTREAM}
        body = {"checkoutId": checkout_id, "upstreamId": UPSTREAM, "createRequest": request}
        self.purchase = (await self.ask("POST", "/v1/purchases", body)).json()
        chosen: dict[str, str] = {}
        while self.purchase["state"] not in ENDS:
            action = self.purchase["shopper"]["nextAction"]
            if action and action["action"] == "collect_payment":
                await self.pay(action["sessionId"], chosen)
            if action and action["action"] == "step_up":
                await self.confirm_at_bank(action["checkoutId"])
            if action and action["action"] in ("redirect", "step_up"):  # the first without paying
                await self.ask("POST", f"/v1/purchases/{self.purchase['id']}/return")
            await brief()
            path = f"/v1/purchases/{self.purchase['id']}"
            self.purchase = (await self.ask("GET", path)).json()
        path = f"/v1/purchases/{self.purchase['id']}/timeline"
        self.story = (await self.ask("GET", path, token=OPS)).json()["data"]

    async def pay(self, session: str, chosen: dict[str, str]) -> None:
        """Another card, typed once for each session, chosen again if nobody took it."""
        if session not in chosen:
            chosen[session] = await self.source(session)
        path = f"/v1/purchases/{self.purchase['id']}/payment-source"
        answer = await self.ask("POST", path, {"sourceId": chosen[session]})
        assert answer.status_code in (200, 202, 409), answer.text

    async def confirm_at_bank(self, checkout_id: str) -> None:
        """What DigitalRiver.js does with a session that asks for the step."""
        session = self.sandbox.world.checkouts[checkout_id].session
        if session.next_action:
            body = {"sessionId": session.id, "sourceId": session.next_action["data"]["sourceId"]}
            await self.platform("/_browser/authenticate", body)

    async def supervise(self) -> None:
        """Start the service again whenever it is found dead."""
        while True:
            if not self.service.alive():
                self.died = True
                self.service.launch()
                assert await self.service.serves(), self.service.log.read_text()[-1000:]
                self.point_webhooks()
            await brief()

    def point_webhooks(self) -> None:
        """Tell the platform where the service is now."""
        for hook in self.sandbox.world.webhooks.values():
            hook.address = f"{self.service.url}/webhooks/digital-river"
            hook.enabled, hook.failures = True, 0

    async def run(self, kill_at: int = 0, side: str = "") -> None:
        """The whole story; raises TimeoutError if it has no end."""
        checkout_id = await self.prepare()
        self.service.launch(kill_at=kill_at, side=side)
        if await self.service.serves():
            self.point_webhooks()
        async with asyncio.timeout(75):  # on PostgreSQL a dead one's lease runs out first
            supervising = asyncio.create_task(self.supervise())
            shopping = asyncio.create_task(self.shop(checkout_id))
            try:
                await asyncio.wait({supervising, shopping}, return_when=asyncio.FIRST_COMPLETED)
                for task in (supervising, shopping):
                    if task.done():
                        task.result()
            finally:
                for task in (supervising, shopping):
                    task.cancel()
                await asyncio.gather(supervising, shopping, return_exceptions=True)

    def conflicts(self) -> dict[str, str]:
        """When the first 409 of a checkout was stored: before that nobody could know of it."""
        known: dict[str, str] = {}
        for item in self.story:
            body = item.get("body") or {}
            command = body.get("command") or {}
            status = (body.get("result") or {}).get("status")
            if command.get("kind") == "submit" and status == 409:
                known.setdefault(command["permit"]["checkoutId"], item["at"])
        return known

    def touches(self) -> list[Json]:
        """Touches of a dead checkout after its 409 was stored (I3 is about answers that we
        received, and a killed process received nothing)."""
        known = self.conflicts()
        touched = self.sandbox.ledger["deadTouches"]
        return [t for t in touched if t["at"] > known.get(t["checkoutId"], "9")]

    def hasty(self) -> list[Json]:
        """Repeats of a submission without a definite answer, before it has settled (I6)."""
        known = self.conflicts()
        found = []
        for first, second in pairwise(self.sandbox.ledger["submissions"]):
            gap = datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])
            same = first["checkoutId"] == second["checkoutId"]
            heard = first["at"] < known.get(first["checkoutId"], "9") < second["at"]
            if same and not heard and gap.total_seconds() < float(SETTINGS["PLATFORM_SETTLE"]):
                found.append(second)
        return found

    def credits(self) -> list[float]:
        """The store credit that is on the checkout of the live order."""
        world = self.sandbox.world
        return [
            float(amount)
            for order in world.orders.values()
            if order.state not in ("cancelled", "blocked")
            for id, amount in order.shares.items()
            if world.sources[id].credit
        ]

    def faults(self) -> list[str]:
        """What is wrong at the end, in the sandbox's own books."""
        world, ledger = self.sandbox.world, self.sandbox.ledger
        touched = self.touches()
        live = [o for o in ledger["orders"] if o["state"] not in ("cancelled", "blocked")]
        paid = [c for c in ledger["chargeAttempts"] if c["result"] == "capturable"]
        declined = [c for c in ledger["chargeAttempts"] if c["result"] != "capturable"]
        checks = {
            f"ends {self.purchase['state']}/{self.purchase['reason']}": (
                self.purchase["state"] == "accepted"
            ),
            f"orders: {ledger['orders']}": (
                len(live) == 1 and len(ledger["orders"]) == 1 + self.way.cancelled
            ),
            f"cancelled with money on its way: {ledger['cancels']}": not any(
                cancel["moneyOnItsWay"] for cancel in ledger["cancels"]
            ),
            f"paid with credit {self.credits()}": self.credits() == list(self.way.credit),
            "another order than told": [o["id"] for o in live] == [self.purchase["orderId"]],
            f"charged {len(paid)} times": len(paid) == 1 + len(self.way.credit),
            f"declined {len(declined)} times": (
                len(declined) == self.way.checkouts - 1 - self.way.cancelled
            ),
            f"repeated before settling: {self.hasty()}": not self.hasty(),
            "submitted what was not ready": all(s["ready"] for s in ledger["submissions"]),
            f"touched what was dead: {touched}": not touched,
            f"checkouts {list(world.checkouts)} for {self.purchase['checkoutIds']}": (
                list(world.checkouts) == self.purchase["checkoutIds"]
                and len(world.checkouts) == self.way.checkouts
            ),
            f"logged {self.service.complaints()}": not self.service.complaints(),
        }
        return [claim for claim, holds in checks.items() if not holds]

    def told(self) -> str:
        """The purchase's timeline, for failures."""
        lines = []
        for item in self.story:
            name = item.get("rule") or item.get("key") or item.get("type")
            rest = item.get("evidence") or item.get("status") or ""
            lines.append(f"    {item['at'][17:26]} {item['kind']} {name} {rest}")
        return "\n".join(lines)


async def case(
    stack: AsyncExitStack,
    way: Way,
    folder: Path,
    http: httpx.AsyncClient,
    database_url: str = "",
) -> Case:
    """A fresh sandbox and an empty database, of SQLite unless given, for one shopper."""
    options = Options(keys=(KEY,), speed=60.0, rate=1000.0, webhook_secrets=(WEBHOOK_SECRET,))
    sandbox = await stack.enter_async_context(running(options))
    if way.webhooks:
        add_webhook(sandbox.world, options, "http://127.0.0.1:9/webhooks/digital-river", live=True)
    sandbox.world.faults.change({"rates": {"list_lag": way.lag}} if way.lag else {})
    settings = {
        **SETTINGS,
        "PLATFORM_URL": sandbox.url,
        "DATABASE_URL": database_url or f"sqlite:///{folder}/service.db",
        "STEP_UP": "on",
    }
    if not way.webhooks:
        settings |= {"WEBHOOKS": "off", "WEBHOOK_SECRETS": ""}
    service = Mortal(folder, settings)
    stack.push_async_callback(service.kill)
    return Case(way, folder, sandbox, service, http)
