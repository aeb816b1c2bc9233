"""Schemas of the OpenAPI document that no pydantic model stands behind."""

from __future__ import annotations

from typing import Any

from schemas.facts import Origin
from schemas.purchase import State

Json = dict[str, Any]


def _object(required: tuple[str, ...] = (), /, **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(required)}


def _all(**properties: Json) -> Json:
    """An object of exactly these."""
    return _object(tuple(properties), **properties) | {"additionalProperties": False}


def _maybe(kind: str) -> Json:
    return {"type": [kind, "null"]}


def _page(schema: str) -> Json:
    items = {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}}
    return _all(hasMore={"type": "boolean"}, data=items)


TEXT: Json = {"type": "string"}
# Without control characters.
NAME: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$",
}
MOMENT: Json = {"type": "string", "format": "date-time"}
ANY_OBJECT: Json = {"type": "object"}

PROBLEM = _object(
    ("type", "title", "status", "detail"),
    type={"type": "string", "format": "uri"},
    title=TEXT,
    status={"type": "integer"},
    detail=TEXT,
    errors={"type": "array", "items": _all(field=TEXT, problem=TEXT)},
    state={"type": "string", "enum": [state.value for state in State]},
    reason=_maybe("string"),
    total=_all(amount={"type": "number"}, currency=TEXT),
    purchases={
        "type": "array",
        "items": _all(id=TEXT, upstreamId=TEXT, checkoutId=TEXT, state=TEXT),
    },
)


def _event(type: Json, resource: Json) -> Json:
    return _object(
        ("id", "type", "data", "createdTime"),
        id=NAME,
        type=type,
        data=_object(("object",), object=resource),
        createdTime=MOMENT,
    )


MERCHANT_EVENTS = {
    "purchase.submit_requested": "PurchaseRequest",
    "order.rejected": "RejectionReport",
}

SESSION = _all(
    checkoutId=TEXT,
    sessionId=_maybe("string"),
    clientSecret=_maybe("string"),
    sessionState=_maybe("string"),
    currency=_maybe("string"),
    totalAmount=_maybe("number"),
    amountContributed=_maybe("number"),
    amountRemaining=_maybe("number"),
    customerId=_maybe("string"),
    chargeType=_maybe("string"),
    billTo=_maybe("object"),
    sellingEntity=_maybe("object"),
    recurring={"type": "boolean"},
    nextAction=_maybe("object"),
    savedSources={"type": "array", "items": {"$ref": "#/components/schemas/SavedSource"}},
)

SAVED_SOURCE = _all(
    id=TEXT,
    type=_maybe("string"),
    brand=_maybe("string"),
    lastFour=_maybe("string"),
    expires=_maybe("string"),
    clientSecret=_maybe("string"),
    authenticate={"type": "boolean"},
)

LETTER = _all(
    id=TEXT,
    at=MOMENT,
    origin={"type": "string", "enum": [*(origin.value for origin in Origin), "outcome"]},
    transport=TEXT,
    type=TEXT,
    reason=_maybe("string"),
    purchaseId=_maybe("string"),
    body={},
)

MOMENTS = {
    "type": "object",
    "properties": {
        "at": MOMENT,
        "kind": {"type": "string", "enum": ["fact", "decision", "command", "outcome"]},
    },
    "required": ["at", "kind"],
}

REJECTION_ERROR = {
    "type": "object",
    "description": "The platform's error envelope, as it came",
    "properties": {
        "type": {},
        "errors": {
            "description": "`[{code, parameter, message}]`; any part may be missing, "
            "`description` is read for `message`",
        },
    },
}

SCHEMAS: Json = {
    "Problem": PROBLEM,
    "PlatformEvent": _event(NAME, ANY_OBJECT),
    "MerchantEvent": {
        "oneOf": [
            _event({"const": name}, {"$ref": f"#/components/schemas/{resource}"})
            for name, resource in MERCHANT_EVENTS.items()
        ]
    },
    "PurchasePage": _page("PurchaseView"),
    "PaymentSession": SESSION,
    "SavedSource": SAVED_SOURCE,
    "Timeline": _all(data={"type": "array", "items": MOMENTS}),
    "DeadLetter": LETTER,
    "DeadLetterPage": _page("DeadLetter"),
    "Redriven": _all(id=TEXT),
    "Status": _all(status=TEXT),
}
