"""The storefront's calls about purchases."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.responses import Response

from consumer.store import inbox, purchases
from consumer.store.admission import Refused, Unknown, admit
from consumer.store.inbox import Delivery
from consumer.web.bodies import validated
from consumer.web.calls import Call, json_response, look, not_found, page_limit, read, write
from consumer.web.deps import Deps
from consumer.web.problems import Problem, bad_field
from consumer.web.waiting import Stored, answered
from handlers.presentation import view
from handlers.refusals import Call as FactOfCall
from handlers.refusals import NotNow, refusal
from schemas.facts import (
    CancelRequested,
    CheckoutCorrected,
    OperatorDecided,
    Origin,
    ShopperReturned,
    SourceChosen,
    TotalConfirmed,
)
from schemas.purchase import Purchase, State
from schemas.requests import (
    CancelRequest,
    ConfirmationRequest,
    CorrectionsRequest,
    DecisionRequest,
    PurchaseRequest,
    ReturnRequest,
    SourceRequest,
)

FILTERS = frozenset({"state", "checkoutId", "upstreamId", "orderId", "limit", "startingAfter"})


async def create(deps: Deps, call: Call) -> Response:
    """A checkout is handed over, or confirmed again; chain rules are the store's `admit`."""
    request = await validated(call.request, PurchaseRequest)
    fact_id = secrets.token_hex(16)
    verdict = await write(
        deps,
        lambda connection: admit(
            connection,
            request,
            origin=Origin.SHOP,
            fact_id=fact_id,
            transport="api",
            now=deps.clock.now(),
        ),
    )
    if isinstance(verdict, Unknown):
        raise bad_field(verdict.field, "names no purchase, nor a checkout or order of one", 409)
    if isinstance(verdict, Refused):
        raise _conflict(verdict, shop=call.shop)
    deps.stored.set()
    stored = Stored(verdict.purchase.id, fact_id, status=verdict.status)
    return await answered(deps, call, stored)


def _conflict(refused: Refused, *, shop: bool) -> Problem:
    views = [view(purchase, shop=shop) for purchase in refused.purchases]
    named = [
        {"id": v.id, "upstreamId": v.upstream_id, "checkoutId": v.checkout_id, "state": v.state}
        for v in views
    ]
    state = {"state": views[0].state, "reason": views[0].reason} if views else {}
    return Problem(409, refused.detail, extra={**state, "purchases": named})


async def choose_source(deps: Deps, call: Call) -> Response:
    """The shopper chose a payment source."""
    request = await validated(call.request, SourceRequest)
    return await _confirmed(deps, call, SourceChosen(request=request))


async def correct(deps: Deps, call: Call) -> Response:
    """The shopper corrected the checkout."""
    request = await validated(call.request, CorrectionsRequest)
    return await _confirmed(deps, call, CheckoutCorrected(request=request))


async def confirm(deps: Deps, call: Call) -> Response:
    """The shopper confirmed a total."""
    request = await validated(call.request, ConfirmationRequest)
    return await _confirmed(deps, call, TotalConfirmed(request=request))


async def back(deps: Deps, call: Call) -> Response:
    """The shopper is back from a redirect or a step-up."""
    await validated(call.request, ReturnRequest, optional=True)
    return await _confirmed(deps, call, ShopperReturned())


async def cancel(deps: Deps, call: Call) -> Response:
    """The shopper no longer wants it."""
    await validated(call.request, CancelRequest, optional=True)
    return await _confirmed(deps, call, CancelRequested())


async def decide(deps: Deps, call: Call) -> Response:
    """An operator decided."""
    request = await validated(call.request, DecisionRequest)
    if request.decision == "adopt_order" and request.order_id is None:
        raise bad_field("orderId", "is needed to adopt an order")
    return await _confirmed(deps, call, OperatorDecided(request=request), Origin.OPERATOR)


@dataclass(frozen=True, slots=True)
class _Recorded:
    purchase: Purchase
    refused: NotNow | None


async def _confirmed(
    deps: Deps, call: Call, fact: FactOfCall, origin: Origin = Origin.SHOP
) -> Response:
    delivery = Delivery(
        origin,
        secrets.token_hex(16),
        fact.kind,
        "api",
        fact.model_dump_json(by_alias=True).encode(),
        purchase_id=call.id,
    )
    recorded = await write(deps, lambda connection: _record(deps, connection, delivery, fact))
    if recorded is None:
        raise not_found()
    if recorded.refused:
        raise not_now(recorded.purchase, recorded.refused, shop=call.shop)
    deps.stored.set()
    return await answered(deps, call, Stored(recorded.purchase.id, delivery.id, origin))


def _record(
    deps: Deps, connection: Connection, delivery: Delivery, fact: FactOfCall
) -> _Recorded | None:
    purchase = purchases.pinned(connection, delivery.purchase_id or "")
    if purchase is None:
        return None
    refused = refusal(purchase, fact)
    if refused is None:
        inbox.append(connection, [delivery], deps.clock.now())
    return _Recorded(purchase, refused)


def not_now(purchase: Purchase, refused: NotNow, *, shop: bool) -> Problem:
    """409 with the state, and the total where the shopper confirmed another one."""
    shown = view(purchase, shop=shop)
    extra: dict[str, object] = {"state": shown.state, "reason": shown.reason}
    if refused.total:
        extra["total"] = {"amount": refused.total.amount, "currency": refused.total.currency}
    return Problem(409, refused.detail, extra=extra)


async def show(deps: Deps, call: Call) -> Response:
    """One purchase."""
    purchase = await look(deps, lambda connection: purchases.load(connection, call.id))
    if purchase is None:
        raise not_found()
    return json_response(view(purchase, shop=call.shop))


async def listing(deps: Deps, call: Call) -> Response:
    """Purchases, newest first."""
    query, limit = call.query, page_limit(call)
    state = query.get("state")
    if state is not None and state not in [known.value for known in State]:
        raise bad_field("state", f"must be one of {', '.join(known.value for known in State)}")
    found = await read(
        deps,
        lambda connection: purchases.listed(
            connection,
            limit=limit + 1,
            state=state,
            checkout_id=query.get("checkoutId"),
            upstream_id=query.get("upstreamId"),
            order_id=query.get("orderId"),
            starting_after=query.get("startingAfter"),
        ),
    )
    shown = [view(purchase, shop=call.shop) for purchase in found[:limit]]
    body = {
        "hasMore": len(found) > limit,
        "data": [item.model_dump(mode="json", by_alias=True) for item in shown],
    }
    return Response(json.dumps(body), media_type="application/json")
