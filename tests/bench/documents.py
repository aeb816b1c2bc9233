"""Purchases as the service would have left them, by its own models."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.commands import ReadOrder
from schemas.facts import CommandEnded
from schemas.money import Money
from schemas.purchase import (
    ChargeState,
    Condition,
    ItemRef,
    Link,
    OrderRecord,
    Purchase,
    Reason,
    State,
    Submission,
)
from schemas.results import Succeeded

Json = dict[str, Any]
TOTAL = 59.95
PLACE: Json = {"line1": "Teststr. 1", "city": "Berlin", "postalCode": "10115", "country": "DE"}


def request(upstream: str) -> Json:
    """The storefront's own create request."""
    item = {"skuId": "kbd-1", "quantity": 2, "price": 25.0, "metadata": {"line": "1"}}
    return {
        "currency": "EUR",
        "email": f"{upstream}@example.test",
        "upstreamId": upstream,
        "items": [item],
        "shipFrom": {"address": {"country": "NL"}},
        "shipTo": {"name": "Ada Probe", "address": PLACE},
        "billTo": {"name": "Ada Probe", "address": PLACE},
        "shippingChoice": {
            **{"id": "q", "amount": 4.5, "description": "Standard", "serviceLevel": "SG"}
        },
    }


def purchase(tag: str, state: State, reason: Reason | None, at: datetime) -> Purchase:
    """One that was handed over and submitted once, unless it is still held."""
    held = state is State.HELD
    ordered = state in (State.PENDING, State.ACCEPTED)
    condition = Condition.CONSUMED if ordered else Condition.OPEN
    record = order_record(tag, "accepted" if state is State.ACCEPTED else "pending_payment", at)
    return Purchase(
        id=f"pur_{tag}",
        upstream_id=f"web-{tag}",
        state=state,
        reason=reason,
        chain=(Link(checkout_id=f"c-{tag}", session_id=f"s-{tag}", condition=condition),),
        create_request=request(f"web-{tag}"),
        total=Money(amount=TOTAL, currency="EUR"),
        confirmed=Money(amount=TOTAL, currency="EUR"),
        confirmed_at=at,
        attached_source=None if held else f"src-{tag}",
        submissions=() if held else (_submission(tag, at),),
        unsettled_since=at if state is State.UNKNOWN else None,
        order=record if ordered else None,
        orders=(record,) if ordered else (),
        message="order.accepted" if state is State.ACCEPTED else "order.checking",
        step=4,
        hold=2,
        created_at=at,
        updated_at=at,
        version=5,
    )


def _submission(tag: str, at: datetime) -> Submission:
    return Submission(
        number=1, attempt=1, checkout_id=f"c-{tag}", source_id=f"src-{tag}", at=at, status=201
    )


def order_record(tag: str, state: str, at: datetime) -> OrderRecord:
    """What a purchase holds of its order."""
    return OrderRecord(
        id=f"o-{tag}",
        checkout_id=f"c-{tag}",
        state=state,
        session_state="complete" if state == "accepted" else "pending",
        source_id=f"src-{tag}",
        updated=at,
        charges=(ChargeState(id=f"ch-{tag}", state="capturable", source_id=f"src-{tag}"),),
        items=(ItemRef(id=f"i-{tag}", quantity=2, metadata={"line": "1"}),),
    )


def order(tag: str, at: datetime) -> Json:
    """The order as the platform shows it, accepted."""
    return {
        "id": f"o-{tag}",
        "checkoutId": f"c-{tag}",
        "upstreamId": f"web-{tag}",
        "state": "accepted",
        "fraudState": "passed",
        "totalAmount": TOTAL,
        "currency": "EUR",
        "updatedTime": at.isoformat(),
        "shipTo": {"name": "Ada Probe", "address": PLACE},
        "billTo": {"name": "Ada Probe", "address": PLACE},
        "items": [{"id": f"i-{tag}", "quantity": 2, "metadata": {"line": "1"}}],
        "payment": {
            "sources": [{"id": f"src-{tag}", "type": "creditCard"}],
            "charges": [{"id": f"ch-{tag}", "state": "capturable", "sourceId": f"src-{tag}"}],
            "session": {"id": f"s-{tag}", "state": "complete"},
        },
    }


def order_was_read(tag: str, at: datetime) -> CommandEnded:
    """The answer to a reading of that order."""
    return CommandEnded(
        key=f"pur_{tag}/order/o-{tag}/look/1",
        attempt=1,
        command=ReadOrder(order_id=f"o-{tag}"),
        result=Succeeded(status=200, body=order(tag, at)),
    )


def submit_requested(checkout: str, wanted: Json, at: datetime) -> Json:
    """The row of the merchant's event that hands a checkout over, or confirms it again."""
    named = {"checkoutId": checkout, "upstreamId": wanted["upstreamId"], "createRequest": wanted}
    event = {
        "id": f"submit-{checkout}",
        "type": "purchase.submit_requested",
        "createdTime": at.isoformat(),
        "data": {"object": named},
    }
    return {
        **{"origin": "merchant", "id": event["id"], "transport": "kafka", "type": event["type"]},
        **{"digest": "", "at": at, "body": json.dumps(event).encode(), "status": "new"},
        "purchase_id": None,
    }


def tags(prefix: str, number: int) -> Iterator[str]:
    """So many names."""
    return (f"{prefix}{each:09}" for each in range(number))


def ago(**span: float) -> datetime:
    """A moment in the past."""
    return datetime.now(UTC) - timedelta(**span)


def columns(found: Purchase) -> Json:
    """Its row."""
    return {
        "id": found.id,
        "upstream_id": found.upstream_id,
        "state": found.state.value,
        "reason": found.reason.value if found.reason else None,
        "checkout_id": found.current.checkout_id,
        "order_id": found.order.id if found.order else None,
        "version": found.version,
        "schema_number": found.schema_number,
        "document": found.model_dump_json(by_alias=True),
        "created_at": found.created_at,
        "updated_at": found.updated_at,
    }
