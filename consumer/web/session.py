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
from handlers.calls import NotNow
from schemas.base import JsonObject
from schemas.purchase import Condition, Purchase, State

PATIENCE = 20.0  # seconds; a shopper waits
# A new payment must not be collected where an order may exist or be about to (I2, I3, I6).
CLOSED = frozenset({State.SUBMITTING, State.UNKNOWN, State.ACCEPTED, State.LOST})


async def show(deps: Deps, call: Call) -> Response:
    """What the storefront needs to collect the payment for the current checkout."""
    purchase = await read(deps, lambda connection: purchases.load(connection, call.id))
    if purchase is None:
        raise not_found()
    if purchase.state in CLOSED or purchase.current.condition is not Condition.OPEN:
        raise not_now(purchase, NotNow("no checkout is open for payment", None), shop=call.shop)
    body = session(purchase, await _checkout(deps, purchase))
    headers = {"Cache-Control": "no-store"}
    return Response(json.dumps(body), 200, headers, "application/json")


async def _checkout(deps: Deps, purchase: Purchase) -> JsonObject:
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await deps.platform.get(
                path("checkouts", purchase.current.checkout_id), upstream_id=purchase.upstream_id
            )
    except TimeoutError:
        raise unavailable("the platform did not answer in time") from None
    except Unavailable as error:
        wait = 5 if error.retry_after is None else math.ceil(min(error.retry_after, 3600))
        raise unavailable("the platform can't answer now", wait) from None
    except Rejected as error:
        detail = f"the platform refused to show the checkout (status {error.status})"
        raise Problem(502, detail) from None
    except (PlatformError, ValueError):  # ValueError: an id that no URL can carry
        raise Problem(502, "the platform could not show the checkout") from None
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
