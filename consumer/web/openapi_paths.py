"""The paths of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from consumer.store.letters import LETTER
from schemas.purchase import State
from schemas.requests import IDENTIFIER

Json = dict[str, Any]
PROBLEMS = {
    400: "Malformed: `errors` names the fields",
    401: "No valid token",
    403: "The token's scope does not reach this call",
    404: "There is no such resource",
    406: "The caller accepts no JSON",
    408: "The body did not arrive in time",
    409: "The call does not apply now; `state` tells why",
    413: "The body is over 1 MiB",
    415: "The body is not declared as JSON",
    502: "The platform refused to show the checkout",
    503: "Nothing was stored or read; repeat after `Retry-After` seconds",
}
TOKEN = (401, 403, 406)
STORE = (503,)
BODY = (400, 408, 413, 415)


def paths() -> Json:
    """Every path of the service."""
    return {**_webhook(), **_purchases(), **_calls(), **_operators(), **_open()}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _answer(description: str, schema: str, **headers: Json) -> Json:
    answer: Json = {"description": description, "content": _json(_ref(schema))}
    return answer | ({"headers": headers} if headers else {})


def _problems(*statuses: int) -> Json:
    return {str(status): _problem(status) for status in sorted(set(statuses))}


def _problem(status: int) -> Json:
    answer: Json = {
        "description": PROBLEMS[status],
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
    }
    if status == 503:
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return answer


def _body(model: str, *, required: bool = True) -> Json:
    return {"required": required, "content": _json(_ref(model))}


def _operation(id: str, summary: str, answers: Json, problems: Iterable[int], **more: Any) -> Json:
    return {
        "operationId": id,
        "summary": summary,
        **more,
        "responses": {**answers, **_problems(*problems)},
    }


def _query(name: str, schema: Json, description: str) -> Json:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": schema,
        "description": description,
    }


ID_TEXT = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": IDENTIFIER}
LETTER_ID = {"type": "string", "maxLength": 255, "pattern": LETTER}
LIMIT = _query(
    "limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}, "Length of a page"
)
ID = {"name": "id", "in": "path", "required": True, "schema": ID_TEXT}
PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "example": "wait=10",
    "description": "RFC 7240 `wait`, up to 30 seconds: 200 as soon as the purchase is neither "
    "being checked nor submitted, else 202",
}
APPLIED = {"schema": {"type": "string"}, "description": "`wait=N` if that was preferred"}


def _webhook() -> Json:
    return {
        "/webhooks/digital-river": {
            "post": _operation(
                "receiveWebhook",
                "An event of the platform",
                {"202": {"description": "Stored; duplicates and unknown types too"}},
                (400, 401, 408, 413, 415, 503),
                security=[],
                description="Proven by `DigitalRiver-Signature`, and by basic credentials and "
                "the sender's address where those are configured.",
                parameters=[
                    {
                        "name": "DigitalRiver-Signature",
                        "in": "header",
                        "required": True,
                        "schema": {"type": "string"},
                        "description": "`{timestamp}, {signature}`, with base64 HMAC-SHA256 over "
                        "`timestamp.body`",
                    }
                ],
                requestBody=_body("PlatformEvent"),
            )
        },
        "/v1/events": {
            "post": _operation(
                "receiveEvent",
                "An event of the merchant's: `purchase.submit_requested` or `order.rejected`",
                {"202": {"description": "Stored; a duplicate too"}},
                (*TOKEN, *BODY, *STORE),
                requestBody=_body("MerchantEvent"),
            )
        },
    }


def _confirming(id: str, summary: str, model: str, *, body: bool = True) -> Json:
    answers = {
        "200": _answer("As preferred: checked and not submitting", "PurchaseView"),
        "202": _answer("Recorded", "PurchaseView"),
    }
    answers["200"]["headers"] = {"Preference-Applied": APPLIED}
    return {
        "parameters": [ID],
        "post": _operation(
            id,
            summary,
            answers,
            (*TOKEN, *BODY, *STORE, 404, 409),
            parameters=[PREFER],
            requestBody=_body(model, required=body),
        ),
    }


def _purchases() -> Json:
    create = _confirming("createPurchase", "Hand over a checkout", "PurchaseRequest")["post"]
    del create["responses"]["404"]
    create["responses"]["200"]["description"] = "Known, or as preferred"
    filters = [
        _query("state", {"type": "string", "enum": [s.value for s in State]}, "In this state"),
        *(_query(name, ID_TEXT, "Of this id") for name in ("checkoutId", "upstreamId", "orderId")),
        LIMIT,
        _query("startingAfter", ID_TEXT, "Older than this purchase"),
    ]
    return {
        "/v1/purchases": {
            "post": create,
            "get": _operation(
                "listPurchases",
                "Purchases, newest first",
                {"200": _answer("A page", "PurchasePage")},
                (400, *TOKEN, *STORE),
                parameters=filters,
            ),
        },
        "/v1/purchases/{id}": {
            "parameters": [ID],
            "get": _operation(
                "showPurchase",
                "One purchase",
                {"200": _answer("The purchase", "PurchaseView")},
                (400, *TOKEN, *STORE, 404),
            ),
        },
    }


def _calls() -> Json:
    path = "/v1/purchases/{id}"
    return {
        f"{path}/payment-source": _confirming(
            "chooseSource", "The shopper chose a payment source", "SourceRequest"
        ),
        f"{path}/corrections": _confirming(
            "correctCheckout", "The shopper corrected the checkout", "CorrectionsRequest"
        ),
        f"{path}/confirmation": _confirming(
            "confirmTotal", "The shopper agreed to a total", "ConfirmationRequest"
        ),
        f"{path}/return": _confirming(
            "returnShopper",
            "The shopper is back from a redirect or a step-up",
            "ReturnRequest",
            body=False,
        ),
        f"{path}/cancel": _confirming(
            "cancelPurchase", "The shopper no longer wants it", "CancelRequest", body=False
        ),
        f"{path}/decision": _confirming(
            "decidePurchase", "A person decides (operator)", "DecisionRequest"
        ),
        f"{path}/payment-session": {
            "parameters": [ID],
            "get": _operation(
                "showPaymentSession",
                "What the storefront needs to collect the payment; read live",
                {"200": _answer("The session", "PaymentSession")},
                (400, *TOKEN, *STORE, 404, 409, 502),
            ),
        },
    }


def _operators() -> Json:
    return {
        "/v1/purchases/{id}/timeline": {
            "parameters": [ID],
            "get": _operation(
                "showTimeline",
                "Everything that happened to a purchase (read, operator)",
                {"200": _answer("In order", "Timeline")},
                (400, *TOKEN, *STORE, 404),
            ),
        },
        "/v1/forget": {
            "post": _operation(
                "forget",
                "Take a person's data out of everything that is stored (operator)",
                {"202": _answer("Recorded; done in the background", "Redriven")},
                (*TOKEN, *BODY, *STORE),
                requestBody=_body("ForgetRequest"),
            )
        },
        "/v1/dead-letters": {
            "get": _operation(
                "listDeadLetters",
                "Facts not decided and outcomes not delivered, newest first (read, operator)",
                {"200": _answer("A page", "DeadLetterPage")},
                (400, *TOKEN, *STORE),
                parameters=[LIMIT, _query("startingAfter", LETTER_ID, "Older than this one")],
            )
        },
        "/v1/dead-letters/{id}/redrive": {
            "parameters": [ID | {"schema": LETTER_ID}],
            "post": _operation(
                "redriveDeadLetter",
                "Try a dead letter again (operator)",
                {"202": _answer("On its way", "Redriven")},
                (400, *TOKEN, *STORE, 404),
            ),
        },
    }


def _open() -> Json:
    status = _answer("Yes", "Status")
    return {
        "/healthz": {
            "get": _operation("alive", "The process answers", {"200": status}, (), security=[])
        },
        "/readyz": {
            "get": _operation(
                "ready",
                "The store takes writes and all tasks run; the platform need not answer",
                {"200": status},
                (503,),
                security=[],
            )
        },
        "/metrics": {
            "get": _operation(
                "metrics",
                "Prometheus metrics; open, so keep the port private",
                {
                    "200": {
                        "description": "Text format",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    }
                },
                (),
                security=[],
            )
        },
        "/openapi.json": {
            "get": _operation(
                "describe",
                "This document",
                {"200": {"description": "OpenAPI 3.1", "content": _json({"type": "object"})}},
                (),
                security=[],
            )
        },
    }
