"""PLATFORM §4: what refuses a submission, what ends a checkout, what an order becomes."""

import pytest

from tests.shell.sandbox.shop import CHECKOUT, Json, Shop, error, until

NAMELESS = {"address": CHECKOUT["shipTo"]["address"]}


async def test_an_order_takes_the_money_once_and_consumes_its_checkout(shop: Shop) -> None:
    checkout = await shop.ready()
    order = (await shop.submit(checkout)).json()
    assert (order["state"], order["fraudState"]) == ("accepted", "passed")
    assert order["payment"]["session"]["state"] == "complete"
    assert order["payment"]["charges"][0]["state"] == "capturable"
    assert order["items"][0]["id"] != checkout["items"][0]["id"]
    assert order["items"][0]["metadata"] == {"line": "1"}

    assert error(await shop.submit(checkout)) == (404, "not_found", "orderId")
    ledger = shop.sandbox.ledger
    assert [one["checkoutId"] for one in ledger["orders"]] == [checkout["id"]]
    assert [one["result"] for one in ledger["chargeAttempts"]] == ["capturable"]
    assert [(one["ready"], one["consumed"]) for one in ledger["submissions"]] == [
        (True, False),
        (False, True),
    ]


async def test_a_session_that_is_not_ready_is_refused_and_the_ledger_says_so(shop: Shop) -> None:
    checkout = await shop.checkout()
    assert error(await shop.submit(checkout)) == (400, "order_submit_failed", None)
    note = shop.sandbox.ledger["submissions"][0]
    assert (note["ready"], note["sessionState"]) == (False, "requires_source")


async def test_an_unknown_checkout_reads_like_a_consumed_one(shop: Shop) -> None:
    assert error(await shop.submit({"id": "nope"})) == (404, "not_found", "orderId")


@pytest.mark.parametrize(
    ("change", "refused", "repair"),
    [
        ({"email": None}, (400, "order_create_failed", "email"), {"email": "ada@example.test"}),
        ({"email": "ada@"}, (400, "order_create_failed", "email"), {"email": "a@example.test"}),
        ({"shipTo": NAMELESS}, (400, "missing_parameter", "shipping.name"),
         {"shipTo": CHECKOUT["shipTo"]}),
        ({"shipFrom": None}, (400, "missing_parameter", "shipFrom.address"),
         {"shipFrom": CHECKOUT["shipFrom"]}),
        ({"shippingChoice": None}, (400, "invalid_shipping_choice", "shippingChoice"),
         {"shippingChoice": CHECKOUT["shippingChoice"]}),
    ],
)  # fmt: skip
async def test_a_400_keeps_the_checkout_and_a_repair_makes_the_order(
    shop: Shop, change: Json, refused: tuple[int, str, str], repair: Json
) -> None:
    checkout = await shop.checkout(**change)
    await shop.attach(checkout, await shop.source(checkout))
    assert error(await shop.submit(checkout)) == refused
    await shop.made("POST", f"/checkouts/{checkout['id']}", repair)
    assert (await shop.submit(checkout)).status_code == 201
    assert shop.sandbox.ledger["deadTouches"] == []


@pytest.mark.parametrize(
    ("last", "code"),
    [("Decline_insufficient_funds", "insufficient_funds"), ("FraudBlock", "order-fraud-failure")],
)
async def test_after_a_409_every_touch_of_the_checkout_is_refused_and_noted(
    shop: Shop, last: str, code: str
) -> None:
    checkout = await shop.ready(last)
    assert error(await shop.submit(checkout)) == (409, code, None)
    spare = await shop.source(checkout)
    path = f"/checkouts/{checkout['id']}"
    touches = [
        await shop.call("POST", path, {"email": "a@example.test"}),
        await shop.attach(checkout, spare),
        await shop.submit(checkout),
    ]
    assert [error(one)[:2] for one in touches] == [(409, "session_update_not_allowed")] * 3
    noted = shop.sandbox.ledger["deadTouches"]
    assert [one["path"] for one in noted] == [path, f"{path}/sources/{spare['id']}", "/orders"]
    assert all(one["told"] for one in noted)
    assert shop.sandbox.ledger["submissions"][1]["dead"] is True
    assert (await shop.read(checkout))["id"] == checkout["id"]


async def test_the_same_card_is_recognised_and_its_number_never_kept(shop: Shop) -> None:
    for _ in range(2):
        answer = await shop.submit(await shop.ready(number="4000000000003600"))
        assert error(answer) == (409, "failed-request", None)
    await shop.submit(await shop.ready())
    attempts = shop.sandbox.ledger["chargeAttempts"]
    first, second, third = (one["card"] for one in attempts)
    assert first == second != third
    assert [one["code"] for one in attempts] == ["failed-request", "failed-request", None]
    everything = (await shop.call("GET", "/_sandbox/ledger")).text
    assert "4000000000003600" not in everything


async def test_an_expired_card_is_declined_as_expired(shop: Shop) -> None:
    checkout = await shop.ready(card={"expirationMonth": 1, "expirationYear": 2020})
    assert error(await shop.submit(checkout)) == (409, "card_expired", None)


async def test_an_incomplete_billing_address_ends_the_checkout(shop: Shop) -> None:
    checkout = await shop.checkout(billTo=None)
    owner = {"firstName": "Ada", "lastName": "Probe", "address": {"country": "DE"}}
    await shop.attach(checkout, await shop.source(checkout, owner=owner))
    assert error(await shop.submit(checkout)) == (409, "create-order-failed", None)


async def test_step_up_keeps_the_checkout_until_the_shopper_authenticated(shop: Shop) -> None:
    checkout = await shop.ready("StepUp")
    assert error(await shop.submit(checkout))[1] == "additional_payment_action_required"
    session = (await shop.read(checkout))["payment"]["session"]
    assert session["state"] == "requires_action"
    assert session["nextAction"]["action"] == "sca_required"
    body = {"sessionId": session["id"], "sourceId": checkout["payment"]["sources"][0]["id"]}
    assert await shop.made("POST", "/_browser/authenticate", body) == {"result": "complete"}
    assert (await shop.submit(checkout)).status_code == 201


@pytest.mark.parametrize(("last", "end"), [("Review", "accepted"), ("ReviewBlock", "blocked")])
async def test_a_review_ends_after_its_time(shop: Shop, last: str, end: str) -> None:
    shop.sandbox.world.clock.speed = 1000
    order = (await shop.submit(await shop.ready(last))).json()
    assert (order["state"], order["fraudState"]) == ("in_review", "review_opened")
    await until(lambda: shop.sandbox.ledger["orders"][0]["state"] == end)
    events = (await shop.made("GET", "/events?type=order.*"))["data"]
    assert f"order.{end}" in {event["type"] for event in events}


@pytest.mark.parametrize(
    ("kind", "session", "action"),
    [
        ("klarnaCredit", "pending_redirect", "redirect"),
        ("konbini", "pending_funds", "show_payment_instructions"),
    ],
)
async def test_waiting_orders_say_what_the_shopper_does_next(
    shop: Shop, kind: str, session: str, action: str
) -> None:
    order = (await shop.submit(await shop.ready(type=kind))).json()
    shown = order["payment"]["session"]
    assert (order["state"], shown["state"]) == ("pending_payment", session)
    assert shown["nextAction"]["action"] == action
    assert "charges" not in order["payment"]
    settled = await shop.made(
        "POST", f"/_sandbox/orders/{order['id']}/settle", {"state": "accepted"}
    )
    assert (settled["state"], settled["payment"]["session"]["state"]) == ("accepted", "complete")


async def test_a_redirect_is_approved_at_the_provider_and_refreshed(shop: Shop) -> None:
    order = (await shop.submit(await shop.ready(type="klarnaCredit"))).json()
    path = f"/orders/{order['id']}/refresh"
    assert (await shop.made("POST", path))["state"] == "pending_payment"
    url = order["payment"]["session"]["nextAction"]["data"]["redirectUrl"]
    assert (await shop.call("GET", url)).status_code == 200
    await shop.call("POST", url.partition("?")[0] + "/approve")
    assert (await shop.made("POST", path))["state"] == "accepted"


async def test_a_charge_that_fails_later_cancels_the_order(shop: Shop) -> None:
    order = (await shop.submit(await shop.ready(type="konbini"))).json()
    body = {"state": "failed"}
    shown = await shop.made("POST", f"/_sandbox/orders/{order['id']}/settle", body)
    assert (shown["state"], shown["payment"]["session"]["state"]) == ("cancelled", "failed")
    kinds = [one["type"] for one in (await shop.made("GET", "/events?type=order.*"))["data"]]
    assert kinds.index("order.charge.failed") > kinds.index("order.cancelled")  # newest first


async def test_fulfillments_cancel_an_order_once(shop: Shop) -> None:
    order = (await shop.submit(await shop.ready())).json()
    items = [{"itemId": one["id"], "cancelQuantity": one["quantity"]} for one in order["items"]]
    body = {"orderId": order["id"], "items": items}
    too_many = {"orderId": order["id"], "items": [{**items[0], "cancelQuantity": 3}]}
    assert error(await shop.call("POST", "/fulfillments", too_many))[1] == "quantity_too_large"
    assert (await shop.call("POST", "/fulfillments", body)).status_code == 201
    shown = await shop.made("GET", f"/orders/{order['id']}")
    assert (shown["state"], shown["cancelledAmount"]) == ("cancelled", 59.95)
    charge = await shop.made("GET", f"/charges/{shown['payment']['charges'][0]['id']}")
    assert charge["state"] == "cancelled"
    again = await shop.call("POST", "/fulfillments", body)
    assert error(again) == (409, "order_cancelled", "orderId")
    assert shop.sandbox.ledger["orders"][0]["live"] is False


async def test_a_disabled_customer_gets_no_order(shop: Shop) -> None:
    await shop.made("POST", "/customers", {"id": "c1"})
    await shop.made("POST", "/_sandbox/customers/c1", {"enabled": False})
    checkout = await shop.checkout(customerId="c1")
    await shop.attach(checkout, await shop.source(checkout))
    assert (await shop.submit(checkout)).status_code == 409


async def test_orders_are_listed_newest_first_by_every_filter(shop: Shop) -> None:
    made = []
    for name in ("a", "b", "c"):
        checkout = await shop.checkout(upstreamId=name)
        await shop.attach(checkout, await shop.source(checkout))
        made.append((await shop.submit(checkout)).json())

    async def ids(query: str) -> list[str]:
        return [one["id"] for one in (await shop.made("GET", f"/orders?{query}"))["data"]]

    first, second, third = (one["id"] for one in made)
    assert await ids("") == [third, second, first]
    assert await ids("upstreamIds=a&upstreamIds=b") == [second, first]
    assert await ids("upstreamIds=a,c") == [third, first]
    assert await ids(f"checkoutId={made[1]['checkoutId']}") == [second]
    assert await ids("state=blocked") == []
    assert await ids(f"startingAfter={third}&limit=1") == [second]
    assert await ids(f"endingBefore={first}&startingAfter={first}&limit=1") == [second]
    assert await ids("createdTime[gte]=2999-01-01T00:00:00Z") == []
    assert (await shop.made("GET", "/orders?limit=2"))["hasMore"] is True
    assert error(await shop.call("GET", "/orders?limit=0")) == (400, "invalid_parameter", "limit")


@pytest.mark.parametrize(
    ("number", "what", "kind"),
    [
        ("4000000000004103", "quantity", "order.charge.capture.failed"),
        ("4000000000004442", "cancelQuantity", "order.charge.cancel.failed"),
    ],
)
async def test_cards_fail_at_what_comes_after_the_order(
    shop: Shop, number: str, what: str, kind: str
) -> None:
    order = (await shop.submit(await shop.ready(number=number))).json()
    items = [{"itemId": one["id"], what: one["quantity"]} for one in order["items"]]
    await shop.made("POST", "/fulfillments", {"orderId": order["id"], "items": items})
    events = (await shop.made("GET", f"/events?types={kind}"))["data"]
    assert [one["data"]["object"]["orderId"] for one in events] == [order["id"]]


async def test_taiwan_asks_for_an_invoice_attribute(shop: Shop) -> None:
    place = {**CHECKOUT["shipTo"]["address"], "country": "TW"}
    checkout = await shop.checkout(shipTo={"name": "Ada Probe", "address": place})
    await shop.attach(checkout, await shop.source(checkout))
    refused = (409, "additional_information_required", "invoiceAttributeId")
    assert error(await shop.submit(checkout)) == refused


async def test_a_forced_session_state_is_read_and_refuses_the_submission(shop: Shop) -> None:
    checkout = await shop.ready()
    path = f"/_sandbox/checkouts/{checkout['id']}/session"
    shown = await shop.made("POST", path, {"state": "processing"})
    assert shown["payment"]["session"]["state"] == "processing"
    assert error(await shop.submit(checkout)) == (400, "order_submit_failed", None)
    await shop.made("POST", path, {"state": None})
    assert (await shop.submit(checkout)).status_code == 201
