"""The storefront's and the operators' calls."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from consumer.store import entries, inbox, outcomes, purchases
from consumer.store.inbox import Delivery
from handlers.presentation import outcome
from schemas.facts import Origin
from schemas.money import Money
from schemas.purchase import Purchase, Reason, State
from tests.shell.web.service import Service, event, until

CHECKING = {"state": "held", "reason": "checking"}
TOTAL = {"amount": 64.86, "currency": "EUR"}
NOW = datetime(2024, 5, 2, tzinfo=UTC)


def envelope(object: Any, **changes: Any) -> dict[str, Any]:
    return {
        "id": "m1",
        "type": "purchase.submit_requested",
        "data": {"object": object},
        "createdTime": "2024-05-02T09:05:00Z",
    } | changes


async def test_a_checkout_begins_a_purchase_once(service: Service) -> None:
    body = {"checkoutId": "c1", "upstreamId": "w1"}
    first = await service.call("POST", "/v1/purchases", body)
    again = await service.call("POST", "/v1/purchases", body)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.json().items() >= {**CHECKING, "checkoutId": "c1", "upstreamId": "w1"}.items()
    shown = await service.call("GET", f"/v1/purchases/{first.json()['id']}")
    assert shown.json() == first.json()
    assert shown.headers["cache-control"] == "no-store"


async def test_checkout_and_upstream_id_of_two_purchases_are_a_409_naming_both(
    service: Service,
) -> None:
    one = await service.purchase("c1", upstreamId="w1")
    two = await service.purchase("c2", upstreamId="w2")
    answer = await service.call("POST", "/v1/purchases", {"checkoutId": "c1", "upstreamId": "w2"})
    assert answer.status_code == 409
    assert {p["id"] for p in answer.json()["purchases"]} == {one["id"], two["id"]}
    assert answer.json()["state"] == "held"


async def test_the_list_pages_and_filters(service: Service) -> None:
    ids = [(await service.purchase(f"c{n}", upstreamId=f"w{n}"))["id"] for n in range(3)]
    page = (await service.call("GET", "/v1/purchases?limit=2&state=held")).json()
    assert page["hasMore"] is True
    assert [p["id"] for p in page["data"]] == [ids[2], ids[1]]
    rest = (await service.call("GET", f"/v1/purchases?startingAfter={ids[1]}")).json()
    assert (rest["hasMore"], [p["id"] for p in rest["data"]]) == (False, [ids[0]])
    for query in ("checkoutId=c1", "upstreamId=w1", "upstreamId=w1&state=held"):
        found = (await service.call("GET", f"/v1/purchases?{query}")).json()
        assert [p["id"] for p in found["data"]] == [ids[1]], query
    assert (await service.call("GET", "/v1/purchases?orderId=none")).json()["data"] == []


WRONG_QUERIES: list[tuple[str, str]] = [
    ("limit=0", "limit"),
    ("limit=101", "limit"),
    ("limit=ten", "limit"),
    ("limit=", "limit"),
    ("limit=1&limit=2", "limit"),
    ("state=sold", "state"),
    ("checkoutId=%00", "checkoutId"),
    ("colour=red", "colour"),
    ("endingBefore=x", "endingBefore"),
]


async def test_a_query_parameter_that_is_wrong_is_named(service: Service) -> None:
    for query, field in WRONG_QUERIES:
        answer = await service.call("GET", f"/v1/purchases?{query}")
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == field


WRONG_BODIES: list[tuple[Any, str | None]] = [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b'{"checkoutId": "\xff"}', "body"),
        (b'{"checkoutId": "\\udc00"}', "body"),
        (b'{"checkoutId": "c", "createRequest": {"a": NaN}}', "body"),
        (b'{"checkoutId": "c", "createRequest": {"a": [1, 1e999]}}', "createRequest.a.1"),
        (b'{"checkoutId": "c", "createRequest": ' + b'{"a":' * 66 + b"1" + b"}" * 67, None),
        ({}, "checkoutId"),
        ({"checkoutId": ""}, "checkoutId"),
        ({"checkoutId": 7}, "checkoutId"),
        ({"checkoutId": "a\0"}, "checkoutId"),
        ({"checkoutId": "x" * 256}, "checkoutId"),
        ({"checkout_id": "c"}, "checkoutId"),
        ({"checkoutId": "c", "replaces": ""}, "replaces"),
        ({"checkoutId": "c", "submits": "nobody"}, "submits"),
        ({"checkoutId": "c", "createRequest": {"items": [{"name\0": 1}]}}, "createRequest.items.0"),
        ({"checkoutId": "c", "confirmedTotal": {"amount": "1", "currency": "EUR"}},
         "confirmedTotal.amount"),
        ({"checkoutId": "c", "confirmedTotal": {"amount": -1, "currency": "EUR"}},
         "confirmedTotal.amount"),
        ({"checkoutId": "c", "confirmedTotal": {"amount": True, "currency": "EUR"}},
         "confirmedTotal.amount"),
        ({"checkoutId": "c", "confirmedTotal": {"amount": 1, "currency": "eur"}},
         "confirmedTotal.currency"),
]  # fmt: skip


async def test_a_body_that_is_wrong_is_refused_by_field(service: Service) -> None:
    for body, field in WRONG_BODIES:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": "Bearer shop-token", "Content-Type": "application/json"}
        answer = await service.client.post("/v1/purchases", content=raw, headers=headers)
        assert answer.status_code == 400, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "errors"} <= answer.json().keys()
        assert field is None or field in [e["field"] for e in answer.json()["errors"]]
    assert await service.stored() == []


async def test_problems_never_repeat_values(service: Service) -> None:
    body = {"checkoutId": 4711.25, "submits": "s3cret", "confirmedTotal": "s3cret"}
    answer = await service.call("POST", "/v1/purchases", body)
    assert len(answer.json()["errors"]) == 3
    assert "s3cret" not in answer.text
    assert "4711" not in answer.text


async def test_size_media_type_and_accept_are_answered_by_problems(service: Service) -> None:
    big = await service.call("POST", "/v1/purchases", {"checkoutId": "x" * 2**20})
    text = await service.call(
        "POST", "/v1/purchases", {"checkoutId": "c"}, Content_Type="text/plain"
    )
    accept = await service.call("GET", "/v1/purchases", Accept="text/html, application/json;q=0")
    method = await service.call("DELETE", "/v1/purchases")
    nothing = await service.call("GET", "/v1/nothing")
    for answer, status in ((big, 413), (text, 415), (accept, 406), (method, 405), (nothing, 404)):
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"
    assert sorted(method.headers["allow"].split(", ")) == ["GET", "HEAD", "POST"]


CALLS = {
    "payment-source": {"sourceId": "s1", "confirmedTotal": TOTAL},
    "corrections": {"checkout": {"shipTo": {"name": "Ada Probe"}}},
    "confirmation": {"checkoutId": "c1", "totalAmount": 64.86, "currency": "EUR"},
    "cancel": {},
}


async def stored_twice(service: Service) -> bool:
    return len(await service.stored()) == 2


async def first_id(service: Service) -> str | None:
    page = (await service.call("GET", "/v1/purchases")).json()["data"]
    return page[0]["id"] if page else None


@pytest.mark.parametrize("name", list(CALLS))
async def test_a_shoppers_call_is_stored_and_answered_with_the_purchase(
    service: Service, name: str
) -> None:
    purchase = await service.purchase()
    await service.decide(purchase["id"], total=Money(amount=64.86, currency="EUR"))
    started = time.monotonic()
    answer = await service.call("POST", f"/v1/purchases/{purchase['id']}/{name}", CALLS[name])
    assert answer.status_code == 202, answer.text
    assert answer.json()["id"] == purchase["id"]
    assert time.monotonic() - started < 2.0  # nobody decided: it did not wait for long
    assert len(await service.stored()) == 2


async def test_the_answer_shows_what_the_call_did(service: Service) -> None:
    purchase = await service.purchase()
    path = f"/v1/purchases/{purchase['id']}/cancel"
    calling = asyncio.create_task(service.call("POST", path))
    await until(lambda: stored_twice(service))
    await service.decide(purchase["id"], state=State.LOST, reason=Reason.CANCELLED)
    answer = await calling
    assert (answer.status_code, answer.json()["state"]) == (202, "lost")


async def test_a_call_that_does_not_apply_now_is_a_409_with_the_state(service: Service) -> None:
    purchase = await service.purchase()
    path = f"/v1/purchases/{purchase['id']}"
    await service.decide(purchase["id"], total=Money(amount=70.0, currency="EUR"))
    other_total = await service.call("POST", f"{path}/confirmation", CALLS["confirmation"])
    assert other_total.status_code == 409
    assert other_total.json()["total"] == {"amount": 70.0, "currency": "EUR"}
    assert other_total.json()["state"] == "held"
    await service.decide(purchase["id"], state=State.LOST, reason=Reason.FRAUD)
    late = await service.call("POST", f"{path}/payment-source", CALLS["payment-source"])
    assert (late.status_code, late.json()["state"]) == (409, "lost")
    assert late.json()["reason"] == "exhausted"  # what a shop may know of a fraud
    assert len(await service.stored()) == 1


@pytest.mark.parametrize("name", [*CALLS, "payment-session"])
async def test_calls_on_an_unknown_purchase_are_404(service: Service, name: str) -> None:
    for id in ("pur_none", "%00", "x" * 500):
        method = "GET" if name == "payment-session" else "POST"
        answer = await service.call(method, f"/v1/purchases/{id}/{name}", CALLS.get(name))
        assert (answer.status_code, answer.json()["status"]) == (404, 404)


async def test_prefer_wait_answers_200_once_it_is_settled(service: Service) -> None:
    created = asyncio.create_task(
        service.call("POST", "/v1/purchases", {"checkoutId": "c1"}, Prefer="wait=20")
    )
    id = await until(lambda: first_id(service))
    await service.decide(id)  # still being checked
    await service.decide(id, state=State.SUBMITTING, reason=None)
    assert not created.done()
    await service.decide(id, reason=Reason.PAYMENT_REQUIRED, state=State.HELD)
    answer = await created
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.json()["reason"] == "payment_required"


@pytest.mark.parametrize("header", ["wait=0", 'respond-async, WAIT = "0"', "wait=0; x=1, wait=9"])
async def test_prefer_is_read_tolerantly(service: Service, header: str) -> None:
    started = time.monotonic()
    answer = await service.call("POST", "/v1/purchases", {"checkoutId": "c1"}, Prefer=header)
    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers
    assert time.monotonic() - started < 0.5


async def test_a_caller_that_leaves_is_not_waited_for(service: Service) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await service.call("POST", "/v1/purchases", {"checkoutId": "c1"}, Prefer="wait=30")

    async def ended() -> bool:
        page = (await service.client.get("/metrics")).text
        return 'route="/v1/purchases"' in page

    assert await until(ended)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/purchases", {"shop", "read", "operator"}),
        ("GET", "/v1/purchases/{id}", {"shop", "read", "operator"}),
        ("POST", "/v1/purchases", {"shop", "operator"}),
        ("POST", "/v1/events", {"shop", "operator"}),
        ("POST", "/v1/purchases/{id}/cancel", {"shop", "operator"}),
        ("GET", "/v1/purchases/{id}/payment-session", {"shop", "operator"}),
        ("GET", "/v1/purchases/{id}/timeline", {"read", "operator"}),
        ("GET", "/v1/dead-letters", {"read", "operator"}),
        ("POST", "/v1/dead-letters/inbox-1/redrive", {"operator"}),
        ("POST", "/v1/purchases/{id}/decision", {"operator"}),
    ],
)
async def test_a_scope_reaches_its_calls_only(
    service: Service, method: str, path: str, allowed: set[str]
) -> None:
    purchase = await service.purchase()
    for scope in ("shop", "read", "operator"):
        target = path.replace("{id}", purchase["id"])
        answer = await service.call(method, target, token=scope)
        assert (answer.status_code != 403) == (scope in allowed), (scope, answer.text)
        assert answer.status_code == 403 or answer.status_code != 401
        if answer.status_code == 403:
            assert all(needed in answer.json()["detail"] for needed in allowed)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer nobody")],
        [("Authorization", "Bearer")],
        [("Authorization", "Basic shop-token")],
        [("Authorization", b"Bearer \xff\xfe")],
        [("Authorization", "Bearer shop-token"), ("Authorization", "Bearer shop-token")],
    ],
)
async def test_without_a_valid_token_nothing_is_shown(service: Service, headers: Any) -> None:
    answer = await service.client.get("/v1/purchases/pur_1", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_merchants_event_is_stored_as_it_came(service: Service) -> None:
    body = envelope({"checkoutId": "c1", "confirmedTotal": TOTAL})
    for _ in range(2):
        assert (await service.call("POST", "/v1/events", body)).status_code == 202
    assert await service.stored() == [("merchant", "m1", "purchase.submit_requested", "new")]


def rejection(**changes: Any) -> dict[str, Any]:
    return envelope({"checkoutId": "c1", "status": 409} | changes, type="order.rejected")


WRONG_EVENTS: list[tuple[Any, str]] = [
        (envelope({"checkoutId": "c1"}, type="order.accepted"), "type"),
        (envelope({"checkoutId": "c1"}, type="order.rejected"), "data.object.status"),
        (rejection(status=201), "data.object.status"),
        (rejection(status="409"), "data.object.status"),
        (rejection(checkoutId=""), "data.object.checkoutId"),
        (rejection(error="declined"), "data.object.error"),
        (rejection(submits="nobody"), "data.object.submits"),
        (rejection(confirmedTotal={"amount": 1.0, "currency": "EUR"}),
         "data.object.confirmedTotal"),
        (envelope({}), "data.object.checkoutId"),
        (envelope({"checkoutId": "c", "confirmedTotal": {"amount": "x", "currency": "EUR"}}),
         "data.object.confirmedTotal.amount"),
        (envelope({"checkoutId": "c", "createRequest": {"a": "\0"}}),
         "data.object.createRequest.a"),
        (envelope({"checkoutId": "c"}, createdTime=None), "createdTime"),
        (envelope({"checkoutId": "c"}, data=[]), "data"),
]  # fmt: skip


async def test_a_wrong_merchant_event_is_refused_by_field(service: Service) -> None:
    for body, field in WRONG_EVENTS:
        answer = await service.call("POST", "/v1/events", body)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == field
    assert await service.stored() == []


ODD_ERRORS: list[Any] = [
    {"errors": [{"code": "declined", "message": "m"}]},
    {"type": 7, "errors": [{"code": None, "parameter": 3, "description": "d"}, "odd"]},
    {"type": "conflict", "errors": {"code": "declined"}},
    {"errors": "none", "more": [[[]]]},
    {},
]


async def test_whatever_an_error_body_looks_like_a_rejection_is_stored(service: Service) -> None:
    for number, error in enumerate(ODD_ERRORS):
        body = rejection(error=error) | {"id": f"odd-{number}"}
        answer = await service.call("POST", "/v1/events", body)
        assert answer.status_code == 202, answer.text
    assert (await service.call("POST", "/v1/events", rejection())).status_code == 202
    assert len(await service.stored()) == len(ODD_ERRORS) + 1


async def test_replacing_what_nobody_knows_names_the_field(service: Service) -> None:
    body = {"checkoutId": "c9", "replaces": "nothing"}
    answer = await service.call("POST", "/v1/purchases", body)
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["field"] == "replaces"
    assert await service.stored() == []


async def test_what_is_replaced_may_be_named_by_any_of_its_ids(service: Service) -> None:
    known = await service.purchase(upstreamId="web-1")
    for number, name in enumerate((known["id"], "c1", "web-1")):
        body = {"checkoutId": f"c1{number}", "replaces": name}
        answer = await service.call("POST", "/v1/purchases", body, Prefer="wait=0")
        assert (answer.status_code, answer.json()["id"]) == (202, known["id"])


async def test_replacing_another_purchase_than_the_upstream_ids_names_both(
    service: Service,
) -> None:
    one = await service.purchase("c1", upstreamId="web-1")
    two = await service.purchase("c2", upstreamId="web-2")
    body = {"checkoutId": "c3", "upstreamId": "web-1", "replaces": "c2"}
    answer = await service.call("POST", "/v1/purchases", body)
    assert answer.status_code == 409
    assert [known["id"] for known in answer.json()["purchases"]] == [one["id"], two["id"]]


async def test_an_operator_decides(service: Service) -> None:
    purchase = await service.purchase()
    path = f"/v1/purchases/{purchase['id']}/decision"
    stop = {"decision": "stop", "note": "shopper called"}
    early = await service.call("POST", path, stop, token="operator")
    assert (early.status_code, early.json()["state"]) == (409, "held")
    await service.decide(purchase["id"], state=State.REVIEW, reason=Reason.UNDECIDED)
    nameless = {"decision": "adopt_order", "note": "n"}
    unnamed = await service.call("POST", path, nameless, token="operator")
    assert unnamed.json()["errors"][0]["field"] == "orderId"
    assert (await service.call("POST", path, stop, token="operator")).status_code == 202
    assert ("operator", "operator_decided") in [(o, t) for o, _, t, _ in await service.stored()]


async def test_the_timeline_holds_no_client_secret(service: Service) -> None:
    purchase = await service.purchase()
    raw = json.dumps(event(payment={"session": {"clientSecret": "s_hush"}})).encode()
    fact = Delivery(Origin.PLATFORM, "e1", "t", "webhook", raw, purchase_id=purchase["id"])
    await service.deps.store.write(lambda connection: inbox.append(connection, [fact], NOW))
    path = f"/v1/purchases/{purchase['id']}/timeline"
    answer = await service.call("GET", path, token="read")
    assert [item["kind"] for item in answer.json()["data"]] == ["fact", "fact"]
    assert "hush" not in answer.text
    assert (await service.call("GET", path.replace("pur", "x"), token="read")).status_code == 404


async def test_dead_letters_of_both_kinds_are_listed_paged_and_redriven(service: Service) -> None:
    purchase = await service.purchase()

    def bury(connection: Any) -> str:
        for number in range(3):
            raw = json.dumps(event(f"e{number}")).encode()
            fact = Delivery(Origin.PLATFORM, f"e{number}", "order.accepted", "webhook", raw)
            inbox.append(connection, [fact], NOW)
        for entry in entries.unrouted(connection, 10):
            inbox.mark(connection, entry.seq, "dead", reason="can't be decided")
        told = outcome(None, Purchase.model_validate(loaded(connection)), NOW)
        assert told is not None
        outcomes.emit(connection, [told], ["webhook"], datetime.now(UTC))
        for delivery in outcomes.due(connection, "webhook", datetime.now(UTC), 5):
            outcomes.settle(connection, delivery, "dead", due=NOW, reason="gone")
        return told.id

    def loaded(connection: Any) -> Any:
        found = purchases.load(connection, purchase["id"])
        assert found is not None
        return found.model_dump()

    outcome_id = await service.deps.store.write(bury)
    ids: list[str] = []
    more, query = True, ""
    while more:
        page = (await service.call("GET", f"/v1/dead-letters?limit=2{query}", token="read")).json()
        ids += [letter["id"] for letter in page["data"]]
        more, query = page["hasMore"], f"&startingAfter={ids[-1]}"
    assert ids == [f"outcome-{outcome_id}-webhook", "inbox-4", "inbox-3", "inbox-2"]
    first = (await service.call("GET", "/v1/dead-letters?limit=2", token="read")).json()["data"]
    assert first[0]["purchaseId"] == purchase["id"]
    assert first[0]["body"]["data"]["state"] == "held"
    assert first[1]["body"]["id"] == "e2"
    for id in ids:
        path = f"/v1/dead-letters/{id}/redrive"
        assert (await service.call("POST", path, token="operator")).status_code == 202
        assert (await service.call("POST", path, token="operator")).status_code == 404
    assert (await service.call("GET", "/v1/dead-letters", token="read")).json()["data"] == []
    behind = await service.call("GET", "/v1/dead-letters?startingAfter=inbox-3", token="read")
    assert behind.json() == {"hasMore": False, "data": []}
    strange = await service.call("GET", "/v1/dead-letters?startingAfter=x", token="read")
    assert strange.json()["errors"][0]["field"] == "startingAfter"
