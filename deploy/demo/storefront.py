"""The merchant's storefront: what its back end and its pages call, over HTTP, patiently.

It knows the platform's public interface and the service's storefront API, nothing else. Every
call is repeated while the other side is away or busy; the caller's deadline ends that.
"""

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

Json = dict[str, Any]
PATIENCE = (0.2, 0.3, 0.5, 0.8)  # seconds between repetitions, the last one for ever
AWAY = frozenset({408, 429, 500, 502, 503, 504})
DECISION_SECONDS = 2  # `Prefer: wait`
CALL_SECONDS = 20.0  # for all of a call, however slowly it comes


class Unexpected(Exception):
    """An answer that a correct storefront never gets."""


@dataclass(frozen=True, slots=True)
class Card:
    """What the shopper types, or another way to pay, by its type, which needs no number.

    `last_name` may be one of the sandbox's magic ones.
    """

    number: str = "4444222233331111"
    last_name: str = "Probe"
    kind: str = "creditCard"


@dataclass(frozen=True, slots=True)
class Storefront:
    """Addresses and credentials of one merchant.

    Of the service's addresses each call takes the next, as a load balancer would.
    """

    http: httpx.AsyncClient
    platform_url: str
    platform_key: str
    service_urls: Sequence[str]
    token: str
    _turn: Iterator[int] = field(default_factory=itertools.count)

    async def open_checkout(self, request: Json) -> Json:
        """A checkout at the platform."""
        return await self._platform("POST", "/checkouts", request)

    async def register(self, customer: Json) -> None:
        """A customer record at the platform; that it is there already is fine."""
        await self._platform("POST", "/customers", customer, also=(409,))

    async def attach(self, checkout_id: str, source_id: str) -> None:
        """Attach a source without the service's knowledge."""
        await self._platform("POST", f"/checkouts/{checkout_id}/sources/{source_id}", {})

    async def card_field(self, session_id: str, card: Card, *, saved_for: str | None = None) -> str:
        """The card field of the page (DigitalRiver.js): a card becomes a source; its id."""
        body: Json = {
            "sessionId": session_id,
            "type": card.kind,
            "owner": {
                "firstName": "Ada", "lastName": card.last_name, "email": "ada@example.test",
                "address": {"line1": "Teststr. 1", "city": "Berlin", "postalCode": "10115",
                            "country": "DE"},
            },
        }  # fmt: skip
        if card.kind == "creditCard":
            body["card"] = {"number": card.number, "expirationMonth": 3, "expirationYear": 2035}
        if saved_for is not None:
            body |= {"customerId": saved_for, "reusable": True}
        answer = await self._patiently("POST", f"{self.platform_url}/_browser/sources", body)
        return str(_good(answer)["id"])

    async def authenticate(self, session_id: str, source_id: str) -> None:
        """The bank's page for a saved card or a step-up (DigitalRiver.js)."""
        body = {"sessionId": session_id, "sourceId": source_id}
        _good(await self._patiently("POST", f"{self.platform_url}/_browser/authenticate", body))

    async def visit_provider(self, url: str, choice: str) -> None:
        """The provider's page, on which the shopper approves, declines or leaves."""
        page = url.partition("?")[0]
        await self._patiently("POST", f"{page}/{choice}")

    async def give_credit(self, checkout_id: str, session_id: str, amount: float) -> None:
        """Store credit of the shopper goes on the checkout, before any card does."""
        body = {
            "type": "customerCredit", "paymentSessionId": session_id, "amount": amount,
            "upstreamId": f"credit-{checkout_id}", "customerCredit": {},
        }  # fmt: skip
        credit = await self._platform("POST", "/sources", body)
        await self.attach(checkout_id, credit["id"])

    async def submit(self, checkout_id: str) -> tuple[int, Json]:
        """The merchant's own `POST /orders`; status and body."""
        headers = {"authorization": f"Bearer {self.platform_key}"}
        answer = await self._patiently(
            "POST", f"{self.platform_url}/orders", {"checkoutId": checkout_id}, headers
        )
        return answer.status_code, answer.json()

    async def report_rejection(self, event_id: str, created: str, rejection: Json) -> None:
        """Tells the service that the merchant's order was rejected."""
        event = {
            "id": event_id, "type": "order.rejected", "createdTime": created,
            "data": {"object": rejection},
        }  # fmt: skip
        answer = await self._service("POST", "/v1/events", event)
        if answer.status_code != 202:
            raise Unexpected(f"the event was not taken: {answer.status_code} {answer.text}")

    async def known(self, upstream_id: str) -> Json | None:
        """The purchase of this order number, if the service has one."""
        path = f"/v1/purchases?upstreamId={upstream_id}"
        found: list[Json] = _good(await self._service("GET", path))["data"]
        return found[0] if found else None

    async def place(
        self, checkout_id: str, upstream_id: str, create_request: Json, total: Json
    ) -> Json:
        """The shopper presses "place order"; also when they press it again."""
        body = {
            "checkoutId": checkout_id,
            "upstreamId": upstream_id,
            "createRequest": create_request,
            "confirmedTotal": total,
        }
        return _good(await self._service("POST", "/v1/purchases", body))

    async def purchase(self, purchase_id: str) -> Json:
        """Where the purchase stands."""
        return _good(await self._service("GET", f"/v1/purchases/{purchase_id}"))

    async def payment_session(self, purchase_id: str) -> Json | None:
        """What the card field needs; None if no payment is wanted just now."""
        path = f"/v1/purchases/{purchase_id}/payment-session"
        return _unless_moved_on(await self._service("GET", path))

    async def pay(self, purchase_id: str, source_id: str, *, save: bool = False) -> Json | None:
        """The shopper chose this source; None if the purchase moved on meanwhile."""
        body = {"sourceId": source_id, "saveToCustomer": save}
        return await self._act(purchase_id, "payment-source", body)

    async def returned(self, purchase_id: str) -> Json | None:
        """The shopper is back from the provider or the bank."""
        return await self._act(purchase_id, "return", {})

    async def cancel(self, purchase_id: str) -> Json | None:
        """The shopper no longer wants it."""
        return await self._act(purchase_id, "cancel", {})

    async def correct(self, purchase_id: str, fields: Json) -> Json | None:
        """The shopper corrected these fields of the checkout."""
        return await self._act(purchase_id, "corrections", {"checkout": fields})

    async def confirm(self, purchase_id: str, checkout_id: str, total: Json) -> Json | None:
        """The shopper agrees to this total."""
        body = {
            "checkoutId": checkout_id,
            "totalAmount": total["amount"],
            "currency": total["currency"],
        }
        return await self._act(purchase_id, "confirmation", body)

    async def _act(self, purchase_id: str, call: str, body: Json) -> Json | None:
        path = f"/v1/purchases/{purchase_id}/{call}"
        return _unless_moved_on(await self._service("POST", path, body))

    async def _service(self, method: str, path: str, body: Json | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        if method == "POST":
            headers["prefer"] = f"wait={DECISION_SECONDS}"
        return await self._patiently(method, path, body, headers)

    async def _platform(self, method: str, path: str, body: Json, also: Iterable[int] = ()) -> Json:
        headers = {"authorization": f"Bearer {self.platform_key}"}
        url = self.platform_url + path
        while True:
            answer = await self._patiently(method, url, body, headers)
            if answer.status_code in also:
                return {}
            try:
                return _good(answer)
            except ValueError:
                continue  # an answer that can't be read: ask again

    async def _patiently(
        self,
        method: str,
        url: str,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """`url` is whole, or a path of the service."""
        waits = iter(PATIENCE)
        while True:
            wait = next(waits, PATIENCE[-1])
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    where = self._service_url() + url if url.startswith("/") else url
                    answer = await self.http.request(method, where, json=body, headers=headers)
                if answer.status_code not in AWAY:
                    return answer
                wait = max(wait, _retry_after(answer))
            except (httpx.TransportError, TimeoutError):
                pass  # refused or broken off: the service is down, or the answer was lost
            await asyncio.sleep(wait)

    def _service_url(self) -> str:
        return self.service_urls[next(self._turn) % len(self.service_urls)]


def _retry_after(answer: httpx.Response) -> float:
    """Seconds; at most 5, since a demo has no time for more."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), 5.0) if text.isdigit() else 0.0


def _unless_moved_on(answer: httpx.Response) -> Json | None:
    return None if answer.status_code == 409 else _good(answer)


def _good(answer: httpx.Response) -> Json:
    if not answer.is_success:
        request = answer.request
        raise Unexpected(f"{request.method} {request.url.path}: {answer.status_code} {answer.text}")
    shown: Json = answer.json()
    return shown
