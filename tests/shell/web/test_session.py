"""`payment-session`: read live from the platform, never stored, and only while it applies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumer.web.server import listener, serve
from schemas.purchase import Condition, Link, Reason, State
from tests.shell.web.service import Running, Service

CHECKOUT = {
    "id": "c1",
    "customerId": "cust-1",
    "currency": "EUR",
    "totalAmount": 64.86,
    "billTo": {"name": "Ada Probe"},
    "items": [{"id": "i1", "subscriptionInfo": {"subscriptionId": "sub-1"}}],
    "sellingEntity": {"id": "DR_IRELAND-ENTITY"},
    "payment": {
        "session": {
            "id": "9f55",
            "amountContributed": 0.0,
            "amountRemainingToBeContributed": 64.86,
            "state": "requires_source",
            "clientSecret": "9f55_hush",
            "nextAction": {"action": "redirect", "data": {"redirectUrl": "https://pay.test/?a=1"}},
        }
    },
}


CUSTOMER = {
    "id": "cust-1",
    "sources": [
        {
            "id": "c0de",
            "type": "creditCard",
            "reusable": True,
            "state": "chargeable",
            "clientSecret": "c0de_hush",
            "creditCard": {
                "brand": "Visa",
                "lastFourDigits": "4242",
                "expirationMonth": 1,
                "expirationYear": 2099,
            },
        },
        {"id": "gone", "type": "creditCard", "reusable": True, "state": "cancelled"},
    ],
}


class Wire:
    """A platform that answers every GET as it was told."""

    def __init__(self) -> None:
        self.answer: Response = JSONResponse(CHECKOUT)
        self.customer: Response = JSONResponse(CUSTOMER)
        self.paths: list[str] = []

    async def reply(self, request: Request) -> Response:
        self.paths.append(request.scope["raw_path"].decode())
        return self.customer if "/customers/" in self.paths[-1] else self.answer


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def service(running: Running, wire: Wire) -> AsyncIterator[Service]:
    stop, sock = asyncio.Event(), listener("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    app = Starlette(routes=[Route("/{rest:path}", wire.reply)])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(app, sock, stop))
        async with running(platform_url=url) as started:
            yield started
        stop.set()


async def ask(service: Service, purchase: dict[str, Any]) -> Any:
    return await service.call("GET", f"/v1/purchases/{purchase['id']}/payment-session")


async def test_the_session_is_the_platforms_as_it_is_now(service: Service, wire: Wire) -> None:
    asked = {"chargeType": "merchant_initiated", "currency": "EUR", "items": []}
    purchase = await service.purchase("c 1/x", createRequest=asked)
    answer = await ask(service, purchase)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    session = CHECKOUT["payment"]["session"]  # type: ignore[index]  # as written above
    assert answer.json() == {
        "checkoutId": "c 1/x",
        "sessionId": "9f55",
        "clientSecret": "9f55_hush",
        "sessionState": "requires_source",
        "currency": "EUR",
        "totalAmount": 64.86,
        "amountContributed": 0.0,
        "amountRemaining": 64.86,
        "customerId": "cust-1",
        "chargeType": "merchant_initiated",
        "billTo": {"name": "Ada Probe"},
        "sellingEntity": {"id": "DR_IRELAND-ENTITY"},
        "recurring": True,
        "nextAction": session["nextAction"],
        "savedSources": [
            {
                "id": "c0de",
                "type": "creditCard",
                "brand": "Visa",
                "lastFour": "4242",
                "expires": "2099-01",
                "clientSecret": "c0de_hush",
                "authenticate": False,
            }
        ],
    }
    assert wire.paths == ["/checkouts/c%201%2Fx", "/customers/cust-1"]
    assert b"hush" not in service.database.read_bytes()


@pytest.mark.parametrize(("status", "answered"), [(404, 200), (403, 200), (429, 503)])
async def test_customers_that_can_not_be_seen_pay_without_saved_sources(
    service: Service, wire: Wire, status: int, answered: int
) -> None:
    wire.customer = JSONResponse({"errors": [{"code": "not_found"}]}, status)
    got = await ask(service, await service.purchase())
    assert got.status_code == answered
    assert got.json().get("savedSources") == ([] if answered == 200 else None)


async def test_drop_in_has_its_session_and_elements_have_the_saved_sources_beside_it(
    service: Service, wire: Wire
) -> None:
    """Drop-in can't present saved sources, elements can (PLATFORM §5.5): one answer serves both."""
    shown = (await ask(service, await service.purchase())).json()
    assert shown["sessionId"]
    assert shown["clientSecret"]
    assert [source["id"] for source in shown["savedSources"]] == ["c0de"]


async def test_client_secrets_of_saved_sources_appear_nowhere_else(
    service: Service, wire: Wire
) -> None:
    purchase = await service.purchase()
    assert "c0de_hush" in (await ask(service, purchase)).text
    for path in (f"/v1/purchases/{purchase['id']}", f"/v1/purchases/{purchase['id']}/timeline"):
        assert "hush" not in (await service.call("GET", path)).text


async def test_what_the_platform_did_not_say_is_null(service: Service, wire: Wire) -> None:
    wire.answer = JSONResponse({"id": "c1", "payment": None, "items": "?"})
    session = (await ask(service, await service.purchase())).json()
    assert session["recurring"] is False
    said = [k for k, v in session.items() if v is not None]
    assert said == ["checkoutId", "recurring", "savedSources"]
    assert session["savedSources"] == []


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (JSONResponse({"errors": [{"code": "not_found", "message": "m"}]}, 404), 502),
        (JSONResponse({"errors": [{"code": "unauthorized"}]}, 401), 502),
        (JSONResponse({}, 503), 503),
        (JSONResponse({}, 429, {"Retry-After": "1"}), 503),
        (Response("<html>", 200, media_type="text/html"), 503),
    ],
)
async def test_a_platform_that_fails_is_a_problem(
    service: Service, wire: Wire, answer: Response, status: int
) -> None:
    wire.answer = answer
    got = await ask(service, await service.purchase())
    assert got.status_code == got.json()["status"] == status
    assert ("retry-after" in got.headers) == (status == 503)
    assert "not_found" not in got.text  # codes are not for shops
    assert "unauthorized" not in got.text


async def test_without_a_platform_it_is_a_503(running: Running) -> None:
    async with running() as service:
        answer = await ask(service, await service.purchase())
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"state": State.ACCEPTED, "reason": None},
        {"state": State.LOST, "reason": Reason.CANCELLED},
        {"state": State.UNKNOWN, "reason": None},
        {"chain": (Link(checkout_id="c1", condition=Condition.DEAD),)},
        {"chain": (Link(checkout_id="c1", condition=Condition.CONSUMED),)},
    ],
)
async def test_no_payment_is_collected_where_none_applies(
    service: Service, wire: Wire, changes: dict[str, Any]
) -> None:
    purchase = await service.purchase()
    await service.decide(purchase["id"], **changes)
    answer = await ask(service, purchase)
    assert answer.status_code == 409
    assert answer.json()["state"] == changes.get("state", "held")
    assert wire.paths == []
    assert "hush" not in json.dumps(answer.json())
