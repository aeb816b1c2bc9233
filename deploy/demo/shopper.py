"""One shopper with a browser: fills a basket, places the order, does what the page asks."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .storefront import Card, Json, Storefront
from .trouble import Trouble

LOOKS = (0.5, 1.0, 1.5, 2.0)  # seconds between looks at the page, the last one for ever
AGAIN = 4.0  # seconds after which a shopper who paid presses the button again
ENDS = frozenset({"accepted", "lost", "review"})
GOOD = Card()


class GaveUp(Exception):
    """The page asked for something that no shopper of this demo can do."""


@dataclass(slots=True)
class Shopper:
    """`name` is the order number at the storefront, the platform's upstream id."""

    name: str
    number: int
    shop: Storefront
    trouble: Trouble
    customer: str | None = None
    full_name: str | None = "Ada Probe"
    request: Json = field(default_factory=dict)
    checkout: Json = field(default_factory=dict)
    total: Json = field(default_factory=dict)
    purchase: Json = field(default_factory=dict)
    at_provider: list[str] = field(default_factory=lambda: ["approve"])  # the last for ever
    comes_back: bool = True
    transfer: str = "pay"
    submitted: set[str] = field(default_factory=set)  # checkouts that the merchant itself sent
    credit: float = 0.0  # store credit, of which the books are told by the order's metadata
    answered: int = 0  # the newest version of the purchase that the shopper has reacted to

    async def registers(self, **known: Any) -> None:
        """Has an account at the shop."""
        self.customer = f"customer-{self.name}"
        await self.shop.register({"id": self.customer, "email": self.email, **known})

    async def fills_basket(self, *, ship_to_name: bool = True) -> None:
        """The storefront opens a checkout and keeps its own request."""
        self.request = self._request()
        if not ship_to_name:
            del self.request["shipTo"]["name"]
        self.checkout = await self.shop.open_checkout(self.request)
        self.total = {"amount": self.checkout["totalAmount"], "currency": "EUR"}

    async def saves_card(self, card: Card) -> str:
        """A card that the customer's account remembers."""
        return await self.shop.card_field(self._session, card, saved_for=self.customer)

    async def types(self, card: Card) -> str:
        """Chooses how to pay on the storefront's own page; not attached yet."""
        return await self.shop.card_field(self._session, card)

    async def approves(self, source_id: str) -> None:
        """Approves at the provider before the order is placed."""
        self._reacts()
        page = f"{self.shop.platform_url}/payments/redirects/{source_id}"
        await self.shop.visit_provider(page, "approve")

    async def is_troubled(self, kind: str, reason: str) -> None:
        """Something goes wrong with the order; waits until the service says so."""
        order = self.purchase["orderId"]
        await self.trouble.with_order(order, kind)
        for wait in _forever(LOOKS):
            self._see(await self.shop.purchase(self.id))
            if self.purchase["reason"] == reason:
                return
            await asyncio.sleep(wait)

    async def attaches(self, source: Card | str) -> None:
        """Pays on the storefront's own page."""
        if isinstance(source, Card):
            source = await self.shop.card_field(self._session, source)
        await self.shop.attach(self.checkout["id"], source)

    async def places_order(self, *, seen: float | None = None) -> None:
        """Presses the button; `seen` is the total that the page showed, if it was wrong."""
        total = self.total if seen is None else self.total | {"amount": seen}
        self._see(await self.shop.place(self.checkout["id"], self.name, self.request, total))

    async def pays(self, source: Card | str) -> None:
        """Types a card, or chooses a saved one, on the page of the purchase."""
        session = await self.shop.payment_session(self.id)
        if session is None:
            return
        self._reacts()
        if isinstance(source, Card):
            source = await self.shop.card_field(session["sessionId"], source)
        self._see(await self.shop.pay(self.id, source))

    async def redeems_credit(self) -> None:
        """Store credit goes first, on the storefront's own page."""
        await self.shop.give_credit(self.checkout["id"], self._session, self.credit)

    async def chooses_saved(self) -> None:
        """Chooses one of the saved cards that the page lists, and confirms at the bank."""
        await self.is_asked("collect_payment")
        session = await self.shop.payment_session(self.id)
        if session is None or not session["savedSources"]:
            return
        self._reacts()
        saved = session["savedSources"][0]
        if saved["authenticate"]:
            await self.shop.authenticate(session["sessionId"], saved["id"])
        self._see(await self.shop.pay(self.id, saved["id"]))

    async def cancels(self) -> None:
        """Changes their mind."""
        self._see(await self.shop.cancel(self.id))

    async def appears(self) -> None:
        """The storefront handed nothing over: waits until the service knows of the order."""
        for wait in _forever(LOOKS):
            found = await self.shop.known(self.name)
            if found is not None:
                self._see(found)
                return
            await asyncio.sleep(wait)

    async def submits_itself(self) -> None:
        """The storefront's own `POST /orders`; a rejection is told to the service."""
        checkout = self.purchase.get("checkoutId") or self.checkout["id"]
        self.submitted.add(checkout)
        status, body = await self.shop.submit(checkout)
        if status == 201:
            return
        rejection = {"checkoutId": checkout, "upstreamId": self.name, "status": status,
                     "createRequest": self.request, "error": body}  # fmt: skip
        now = datetime.now(UTC).isoformat()
        await self.shop.report_rejection(f"rejected-{checkout}", now, rejection)

    async def is_asked(self, action: str) -> None:
        """Waits until the page asks for this, or the purchase has ended."""
        for wait in _forever(LOOKS):
            if self._asked == action or self.purchase["state"] in ENDS:
                return
            await asyncio.sleep(wait)
            self._see(await self.shop.purchase(self.id))

    async def pays_at_the_storefront(self, card: Card = GOOD) -> None:
        """Asked for a card, uses the storefront's own page, of which only the platform knows."""
        await self.is_asked("collect_payment")
        if self.purchase["state"] in ENDS:
            return
        self._reacts()
        await self.attaches(card)
        since = time.monotonic()
        for wait in _forever(LOOKS):
            await asyncio.sleep(wait)
            self._see(await self.shop.purchase(self.id))
            if self._asked != "collect_payment":
                return
            if time.monotonic() - since > AGAIN:  # the webhook is late or lost
                await self.places_order()
                since = time.monotonic()

    async def follows(self, *cards: Card) -> None:
        """Does what the page asks until there is an outcome; the last card is used for ever."""
        wallet = list(cards or (GOOD,))
        waits = _forever(LOOKS)
        while self.purchase["state"] not in ENDS:
            if self._turn_of_merchant:
                await self.submits_itself()
                continue
            if self._asked and self.purchase["version"] > self.answered:
                waits = _forever(LOOKS)
                await self._does(wallet)
                continue
            await asyncio.sleep(next(waits))
            self._see(await self.shop.purchase(self.id))

    async def _does(self, wallet: list[Card]) -> None:
        """What the page asks, and a look at what became of it: it may have been behind."""
        page = self.purchase
        action = page["shopper"]["nextAction"]
        match action["action"]:
            case "redirect":
                self._reacts()
                choices = self.at_provider
                choice = choices.pop(0) if len(choices) > 1 else choices[0]
                await self.shop.visit_provider(action["redirectUrl"], choice)
                if self.comes_back:
                    self._see(await self.shop.returned(self.id))
            case "show_payment_instructions":
                self._reacts()
                await self.trouble.transfer(action["sourceId"], self.transfer)
            case "step_up":
                await self._confirms_at_bank()
            case "collect_payment":
                await self.pays(wallet.pop(0) if len(wallet) > 1 else wallet[0])
            case "correct_checkout":
                self._reacts()
                fields = _corrections([fault["path"] for fault in action["fields"]])
                self._see(await self.shop.correct(self.id, fields))
            case "confirm_total":
                self._reacts()
                now = action["totals"]["now"]
                checkout = self.purchase["checkoutId"]
                self._see(await self.shop.confirm(self.id, checkout, now))
            case other:
                raise GaveUp(f"asked for {other}")
        if self.purchase is page or self.purchase["version"] <= self.answered:
            await asyncio.sleep(LOOKS[0])
            self._see(await self.shop.purchase(self.id))

    async def _confirms_at_bank(self) -> None:
        self._reacts()
        session = await self.shop.payment_session(self.id)
        if session is None or session["nextAction"] is None:
            return  # the page is behind: the bank has its confirmation
        source = session["nextAction"]["data"]["sourceId"]
        await self.shop.authenticate(session["sessionId"], source)
        self._see(await self.shop.returned(self.id))

    @property
    def id(self) -> str:
        """The purchase's id."""
        return str(self.purchase["id"])

    @property
    def email(self) -> str:
        """One of their own: limits for one person must not strike the crowd."""
        return f"shopper-{self.number}@example.test"

    @property
    def _session(self) -> str:
        return str(self.checkout["payment"]["session"]["id"])

    @property
    def _asked(self) -> str | None:
        action = self.purchase["shopper"]["nextAction"]
        return action["action"] if action else None

    @property
    def _turn_of_merchant(self) -> bool:
        ready = (self.purchase["state"], self.purchase["reason"]) == ("held", "ready")
        return ready and self.purchase["checkoutId"] not in self.submitted

    def _reacts(self) -> None:
        self.answered = int(self.purchase["version"])

    def _see(self, purchase: Json | None) -> None:
        """What the page shows; an answer that was overtaken by a newer one is not looked at."""
        if purchase is not None and purchase["version"] >= self.purchase.get("version", 0):
            self.purchase = purchase

    def _request(self) -> Json:
        address = {
            "line1": f"Teststr. {self.number + 1}", "city": "Berlin", "postalCode": "10115",
            "country": "DE",
        }  # fmt: skip
        request: Json = {
            "currency": "EUR",
            "email": self.email,
            "locale": "de_DE",
            "browserIp": f"198.18.{self.number // 250}.{self.number % 250 + 1}",
            "upstreamId": self.name,
            "applicationId": "demo-storefront",
            "shipFrom": {"address": {"country": "NL"}},
            "shipTo": {"name": self.full_name, "address": address},
            "billTo": {"name": self.full_name, "address": address},
            "shippingChoice": {"id": "q-77", "amount": 4.5, "description": "Standard",
                               "serviceLevel": "SG"},
            "items": [{"skuId": "kbd-1", "quantity": 1 + self.number % 3, "price": 25.0,
                       "metadata": {"line": "1"}}],
            "metadata": {"basket": f"b-{self.number}"},
        }  # fmt: skip
        if self.credit:
            request["metadata"]["credit"] = self.credit
        if self.customer is not None:
            request["customerId"] = self.customer
        return request


def _corrections(paths: list[str]) -> Json:
    """What the shopper types into the fields that the page marks."""
    typed = {"shipTo.name": {"shipTo": {"name": "Ada Probe"}}}
    fields: Json = {}
    for path in paths:
        if path not in typed:
            raise GaveUp(f"asked to correct {path}")
        fields |= typed[path]
    return fields


def _forever(waits: tuple[float, ...]) -> Iterator[float]:
    """The waits, and then the last one again and again."""
    yield from waits
    yield from itertools.repeat(waits[-1])
