"""PLATFORM §5.7: instructions, transfers that are paid, late, or never; how that is told."""

import pytest

from tests.shell.sandbox.shop import Json, Shop, error, until


async def waiting(shop: Shop, kind: str = "konbini", last: str = "Probe") -> tuple[Json, str]:
    """An order that waits for money, and the id of its source."""
    order = (await shop.submit(await shop.ready(last, type=kind))).json()
    assert order["payment"]["session"]["state"] == "pending_funds"
    return order, order["payment"]["sources"][0]["id"]


async def told(shop: Shop) -> list[str]:
    """Of the order, in the order in which it happened; without what came with its making."""
    events = (await shop.made("GET", "/events?type=order.*"))["data"]
    kinds = [one["type"] for one in reversed(events)]
    return [one for one in kinds if one not in ("order.created", "order.pending_payment")]


@pytest.mark.parametrize("kind", ["konbini", "wireTransfer"])
async def test_instructions_carry_a_deadline_for_their_shopper_alone(shop: Shop, kind: str) -> None:
    order, source_id = await waiting(shop, kind)
    data = order["payment"]["session"]["nextAction"]["data"]
    path = f"/_browser/instructions/{source_id}"
    shown = await shop.made("GET", f"{path}?clientSecret={data['sourceClientSecret']}")
    assert (shown["amount"], shown["type"]) == (59.95, kind)
    assert shown[kind]
    assert shown["deadline"] > order["createdTime"]
    assert (await shop.call("GET", path)).status_code == 404


async def test_instructions_may_be_on_the_source_alone_as_in_row_6(shop: Shop) -> None:
    await shop.made("POST", "/_sandbox/settings", {"instructions": "source"})
    order, source_id = await waiting(shop)
    assert "nextAction" not in order["payment"]["session"]
    assert (await shop.made("GET", f"/sources/{source_id}"))["konbini"]["receiptNumber"]


async def test_a_paid_transfer_makes_the_order_accepted(shop: Shop) -> None:
    order, source_id = await waiting(shop)
    await shop.made("POST", f"/_sandbox/sources/{source_id}/pay")
    shown = await shop.made("GET", f"/orders/{order['id']}")
    assert (shown["state"], shown["payment"]["session"]["state"]) == ("accepted", "complete")
    assert await told(shop) == ["order.charge.capturable", "order.accepted"]
    again = await shop.call("POST", f"/_sandbox/sources/{source_id}/pay")
    assert error(again)[1] == "source_not_chargeable"


@pytest.mark.parametrize(
    ("setting", "kinds"),
    [
        ("cancelled", ["order.cancelled"]),
        ("failed_cancelled", ["order.charge.failed", "order.cancelled"]),
        ("cancelled_failed", ["order.cancelled", "order.charge.failed"]),
        ("failed", ["order.charge.failed"]),
    ],
)
async def test_an_expired_transfer_is_told_in_every_order(
    shop: Shop, setting: str, kinds: list[str]
) -> None:
    await shop.made("POST", "/_sandbox/settings", {"expiry_events": setting})
    order, source_id = await waiting(shop)
    await shop.made("POST", f"/_sandbox/sources/{source_id}/expire")
    assert await told(shop) == kinds
    shown = await shop.made("GET", f"/orders/{order['id']}")
    assert (shown["state"], shown["payment"]["session"]["state"]) == ("cancelled", "failed")
    assert shown["fraudState"] == "passed"
    assert {item["state"] for item in shown["items"]} == {"cancelled"}
    assert ("charges" in shown["payment"]) == ("order.charge.failed" in kinds)
    assert (await shop.made("GET", f"/sources/{source_id}"))["state"] == "failed"


@pytest.mark.parametrize(("shape", "name"), [("charge", "orderId"), ("order", "checkoutId")])
async def test_a_failed_charge_is_told_as_a_charge_or_as_an_order(
    shop: Shop, shape: str, name: str
) -> None:
    settings = {"expiry_events": "failed", "charge_failed_shape": shape}
    await shop.made("POST", "/_sandbox/settings", settings)
    order, source_id = await waiting(shop)
    await shop.made("POST", f"/_sandbox/sources/{source_id}/expire")
    event = (await shop.made("GET", "/events?types=order.charge.failed"))["data"][0]
    assert event["data"]["object"][name] == (order["id"] if name == "orderId" else order[name])


async def test_the_deadline_ends_a_transfer_by_itself(shop: Shop) -> None:
    await shop.made("POST", "/_sandbox/settings", {"funds_seconds": 0.1})
    await waiting(shop)
    await until(lambda: shop.sandbox.ledger["orders"][0]["state"] == "cancelled")


async def test_a_source_that_fails_with_delay_cancels_without_a_charge(shop: Shop) -> None:
    shop.sandbox.world.clock.speed = 1000
    await waiting(shop, "wireTransfer", "SourceFailWithDelay")
    await until(lambda: shop.sandbox.ledger["orders"][0]["state"] == "cancelled")
    assert shop.sandbox.ledger["orders"][0]["charges"] == []


async def test_money_that_comes_too_late_is_noted_and_makes_no_order(shop: Shop) -> None:
    order, source_id = await waiting(shop)
    await shop.made("POST", f"/_sandbox/sources/{source_id}/expire")
    refused = await shop.call("POST", f"/_sandbox/sources/{source_id}/pay")
    assert error(refused) == (409, "source_not_chargeable", "sourceId")
    assert (await shop.made("GET", f"/orders/{order['id']}"))["state"] == "cancelled"
    ledger = shop.sandbox.ledger
    assert [one["orderId"] for one in ledger["latePayments"]] == [order["id"]]
    assert ledger["orders"][0]["held"] == 0


async def test_a_transfer_paid_before_the_submission_is_charged_with_it(shop: Shop) -> None:
    checkout = await shop.ready(type="wireTransfer")
    source_id = checkout["payment"]["sources"][0]["id"]
    await shop.made("POST", f"/_sandbox/sources/{source_id}/pay")
    assert (await shop.submit(checkout)).json()["state"] == "accepted"


async def test_an_order_whose_payment_failed_can_not_be_made_accepted(shop: Shop) -> None:
    await shop.made("POST", "/_sandbox/settings", {"charge_failed_leaves": "pending_payment"})
    order, _ = await waiting(shop)
    path = f"/_sandbox/orders/{order['id']}/settle"
    await shop.made("POST", path, {"state": "failed"})
    assert error(await shop.call("POST", path, {"state": "accepted"}))[0] == 409
