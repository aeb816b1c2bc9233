"""`GET /v1/purchases/{id}/payment-session`: read live, never stored (invariant I8)."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from starlette.responses import Response

from consumer.errors import PlatformError, Rejected, Unavailable
from consumer.platform import path
from consumer.store import purchases
from consumer.web.calls import Call, not_found, read
from consumer.web.deps import Deps
from consumer.web.problems import Problem, unavailable
from consumer.web.purchases import not_now
from handlers.refusals import NotNow
from handlers.saved import listed
from schemas.base import JsonObject
from schemas.purchase import Condition, OrderRecord, Purchase, Reason, State

PATIENCE = 20.0  # seconds; a shopper waits
# A new payment must not be collected where an order may exist or be about to (I2, I3, I6).
CLOSED = frozenset({State.SUBMITTING, State.UNKNOWN, State.ACCEPTED, State.LOST})


async def show(deps: Deps, call: Call) -> Response:
    """What the storefront needs to collect the payment for the current checkout, or to show the
    instructions for a transfer."""
    purchase = await read(deps, lambda connection: purchases.load(connection, call.id))
    if purchase is None:
        raise not_found()
    if purchase.reason is Reason.FUNDS and purchase.order:
        return _answer(await _instructions(deps, purchase, purchase.order))
    if purchase.state in CLOSED or purchase.current.condition is not Condition.OPEN:
        raise not_now(purchase, NotNow("no checkout is open for payment", None), shop=call.shop)
    checkout = await _read(deps, purchase, "checkouts", purchase.current.checkout_id)
    body = session(purchase, checkout)
    customer = await _customer(deps, purchase, checkout.get("customerId"))
    body["savedSources"] = listed(purchase, customer, deps.clock.now()) if customer else []
    return _answer(body)


def _answer(body: JsonObject) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(json.dumps(body), 200, headers, "application/json")


async def _instructions(deps: Deps, purchase: Purchase, order: OrderRecord) -> JsonObject:
    """How to pay an order that waits for money (PLATFORM §4.1, rows 5 and 6): what the session
    says, or else its source. Nothing else can be paid on it, so no secret of the session."""
    body = session(purchase, await _read(deps, purchase, "orders", order.id))
    if not body["nextAction"] and order.source_id:
        source = await _read(deps, purchase, "sources", order.source_id)
        data = {"sourceId": order.source_id, "sourceClientSecret": source.get("clientSecret")}
        body["nextAction"] = {"action": "show_payment_instructions", "data": data}
    return body | {"clientSecret": None, "savedSources": []}


async def _customer(deps: Deps, purchase: Purchase, id: Any) -> JsonObject | None:
    """The checkout's customer with the sources they saved; nobody for a guest."""
    if not id:
        return None
    try:
        return await _read(deps, purchase, "customers", str(id))
    except Problem as problem:
        if problem.status == 502:  # not there, or not ours to see: pay without saved sources
            return None
        raise


async def _read(deps: Deps, purchase: Purchase, kind: str, id: str) -> JsonObject:
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await deps.platform.get(path(kind, id), upstream_id=purchase.upstream_id)
    except TimeoutError:
        raise unavailable("the platform did not answer in time") from None
    except Unavailable as error:
        wait = 5 if error.retry_after is None else math.ceil(min(error.retry_after, 3600))
        raise unavailable("the platform can't answer now", wait) from None
    except Rejected as error:
        detail = f"the platform refused to show one of its {kind} (status {error.status})"
        raise Problem(502, detail) from None
    except (PlatformError, ValueError):  # ValueError: an id that no URL can carry
        raise Problem(502, f"the platform could not show one of its {kind}") from None
    return answer.body or {}


def session(purchase: Purchase, checkout: JsonObject) -> JsonObject:
    """The answer, from a checkout as just read. What the platform did not say is null."""
    asked = purchase.create_request or {}
    payment = _object(checkout.get("payment"))
    found = _object(payment.get("session"))
    return {
        "checkoutId": purchase.current.checkout_id,
        "sessionId": found.get("id"),
        "clientSecret": found.get("clientSecret"),
        "sessionState": found.get("state"),
        "currency": checkout.get("currency"),
        "totalAmount": checkout.get("totalAmount"),
        "amountContributed": found.get("amountContributed"),
        "amountRemaining": found.get("amountRemainingToBeContributed"),
        "customerId": checkout.get("customerId"),
        "chargeType": asked.get("chargeType"),  # the platform does not echo it (PLATFORM §2.3)
        "billTo": checkout.get("billTo"),
        "sellingEntity": checkout.get("sellingEntity"),
        "recurring": _recurring(checkout) or _recurring(asked),
        "nextAction": found.get("nextAction"),
    }


def _recurring(body: JsonObject) -> bool:
    items = body.get("items")
    return isinstance(items, list) and any(_object(i).get("subscriptionInfo") for i in items)


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}
