"""PLATFORM §5.11, §6.1: what happens to an order later, and what it is told with."""

from typing import Any

import pytest

from tests.shell.sandbox.shop import Json, Shop, error, until


async def accepted(shop: Shop, **more: Any) -> Json:
    order: Json = (await shop.submit(await shop.ready(**more))).json()
    assert order["state"] == "accepted"
    return order


async def trouble(shop: Shop, order: Json, kind: str, **more: str) -> Json:
    path = f"/_sandbox/orders/{order['id']}/trouble"
    return await shop.made("POST", path, {"kind": kind, **more})


async def told(shop: Shop, kind: str) -> Json:
    """The object of the only event of this type."""
    found = (await shop.made("GET", f"/events?types={kind}"))["data"]
    assert len(found) == 1
    thing: Json = found[0]["data"]["object"]
    return thing


def shipped(order: Json) -> Json:
    items = [{"itemId": one["id"], "quantity": one["quantity"]} for one in order["items"]]
    return {"orderId": order["id"], "items": items}


@pytest.mark.parametrize(
    ("kind", "event", "name", "state"),
    [
        ("capture_failed", "order.charge.capture.failed", "orderId", "accepted"),
        ("cancel_failed", "order.charge.cancel.failed", "orderId", "accepted"),
        ("reauthorization_failed", "order.charge.reauth.failed", "id", "accepted"),
        ("dispute", "order.dispute", "id", "dispute"),
        ("chargeback", "order.chargeback", "id", "accepted"),
        ("charge_failed", "order.charge.failed", "orderId", "cancelled"),
    ],
)
async def test_each_trouble_is_told_and_leaves_its_state(
    shop: Shop, kind: str, event: str, name: str, state: str
) -> None:
    order = await accepted(shop)
    assert (await trouble(shop, order, kind))["state"] == state
    assert (await told(shop, event))[name] == order["id"]


async def test_a_dispute_is_resolved_to_the_state_before(shop: Shop) -> None:
    order = await accepted(shop)
    path = f"/_sandbox/orders/{order['id']}/trouble"
    early = await shop.call("POST", path, {"kind": "dispute_resolved"})
    assert error(early)[0] == 409
    await trouble(shop, order, "dispute")
    refused = await shop.call("POST", "/fulfillments", shipped(order))
    assert error(refused) == (409, "order_not_submitted", "orderId")
    assert (await trouble(shop, order, "dispute_resolved"))["state"] == "accepted"
    assert (await told(shop, "order.dispute.resolved"))["state"] == "accepted"


async def test_an_order_that_lost_its_authorization_does_not_ship_but_can_be_cancelled(
    shop: Shop,
) -> None:
    order = await accepted(shop)
    shown = await trouble(shop, order, "reauthorization_failed")
    assert [one["state"] for one in shown["payment"]["charges"]] == ["capturable"]
    refused = await shop.call("POST", "/fulfillments", shipped(order))
    assert refused.status_code == 409
    assert "type" not in refused.json()
    assert refused.json()["errors"][0] == {
        "code": "payment_authorization_failed",
        "parameter": "orderId",
        "description": "Fulfillment cannot be processed because the payment authorization "
        "has expired",
    }
    items = [{"itemId": one["id"], "cancelQuantity": one["quantity"]} for one in order["items"]]
    await shop.made("POST", "/fulfillments", {"orderId": order["id"], "items": items})
    assert (await shop.made("GET", f"/orders/{order['id']}"))["state"] == "cancelled"


async def test_a_pending_capture_fails_later(shop: Shop) -> None:
    await shop.made("POST", "/_sandbox/settings", {"settlement_seconds": 0.1})
    order = await accepted(shop, number="4485951788521565")
    await shop.made("POST", "/fulfillments", shipped(order))
    assert (await told(shop, "order.charge.capture.pending"))["captures"][0]["state"] == "pending"
    await until(
        lambda: shop.sandbox.ledger["orders"][0]["charges"][0]["captures"] == ["failed"]
    )  # fmt: skip
    assert (await told(shop, "order.charge.capture.failed"))["orderId"] == order["id"]
    entry = shop.sandbox.ledger["orders"][0]
    assert (entry["state"], entry["captured"]) == ("fulfilled", 0)


async def test_a_capture_that_stays_pending_completes_no_order(shop: Shop) -> None:
    order = await accepted(shop, number="4000000000000028")
    await shop.made("POST", "/fulfillments", shipped(order))
    assert (await shop.made("GET", f"/orders/{order['id']}"))["state"] == "fulfilled"


@pytest.mark.parametrize(
    ("leaves", "state"), [("cancelled", "cancelled"), ("pending_payment", "pending_payment")]
)
async def test_a_failed_charge_leaves_a_waiting_order_as_the_setting_says(
    shop: Shop, leaves: str, state: str
) -> None:
    await shop.made("POST", "/_sandbox/settings", {"charge_failed_leaves": leaves})
    order = (await shop.submit(await shop.ready(type="konbini"))).json()
    shown = await trouble(shop, order, "charge_failed", code="insufficient_funds")
    assert (shown["state"], shown["payment"]["session"]["state"]) == (state, "failed")
    assert shown["payment"]["charges"][0]["failureCode"] == "insufficient_funds"
    kinds = {one["type"] for one in (await shop.made("GET", "/events?type=order.*"))["data"]}
    assert ("order.cancelled" in kinds) == (state == "cancelled")


async def test_one_trouble_may_have_a_shape_of_its_own(shop: Shop) -> None:
    await trouble(shop, await accepted(shop), "charge_failed", shape="order")
    assert "checkoutId" in await told(shop, "order.charge.failed")


@pytest.mark.parametrize("body", [{}, {"kind": "flood"}, {"kind": "dispute", "shape": "moon"}])
async def test_an_unknown_trouble_is_refused(shop: Shop, body: Json) -> None:
    order = await accepted(shop)
    answer = await shop.call("POST", f"/_sandbox/orders/{order['id']}/trouble", body)
    assert answer.status_code == 400


async def test_trouble_with_a_charge_needs_one(shop: Shop) -> None:
    order = (await shop.submit(await shop.ready(type="konbini"))).json()
    for kind in ("capture_failed", "chargeback", "reauthorization_failed", "dispute"):
        path = f"/_sandbox/orders/{order['id']}/trouble"
        assert error(await shop.call("POST", path, {"kind": kind}))[0] == 409
