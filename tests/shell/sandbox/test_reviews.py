"""PLATFORM §5.11: what ends a review, and how it is told."""

import pytest

from tests.shell.sandbox.shop import Json, Shop, until


async def in_review(shop: Shop, last: str = "Review") -> Json:
    order: Json = (await shop.submit(await shop.ready(last))).json()
    assert (order["state"], order["fraudState"]) == ("in_review", "review_opened")
    return order


async def settled(shop: Shop, order: Json, **body: str) -> Json:
    return await shop.made("POST", f"/_sandbox/orders/{order['id']}/settle", body)


async def told(shop: Shop) -> list[str]:
    events = (await shop.made("GET", "/events?type=order.*"))["data"]
    kinds = [one["type"] for one in reversed(events)]
    return kinds[kinds.index("order.review_opened") + 1 :]


@pytest.mark.parametrize(
    ("when", "kinds"),
    [
        ("after", ["order.accepted", "order.review_closed"]),
        ("before", ["order.review_closed", "order.accepted"]),
        ("never", ["order.accepted"]),
    ],
)
async def test_a_review_is_closed_around_its_outcome(
    shop: Shop, when: str, kinds: list[str]
) -> None:
    await shop.made("POST", "/_sandbox/settings", {"review_closed": when})
    shown = await settled(shop, await in_review(shop), state="accepted")
    assert (shown["state"], shown["fraudState"]) == ("accepted", "passed")
    assert await told(shop) == kinds


async def test_a_blocked_order_gives_the_money_back(shop: Shop) -> None:
    shown = await settled(shop, await in_review(shop), state="blocked")
    assert (shown["state"], shown["fraudState"]) == ("blocked", "blocked")
    assert [one["state"] for one in shown["payment"]["charges"]] == ["cancelled"]
    assert {item["state"] for item in shown["items"]} == {"blocked"}
    assert await told(shop) == [
        "order.blocked", "order.charge.cancel.complete", "order.review_closed",
    ]  # fmt: skip
    entry = shop.sandbox.ledger["orders"][0]
    assert ([one["money"] for one in entry["charges"]], entry["held"]) == (["released"], 0)


async def test_a_fraud_cancellation_carries_its_reason(shop: Shop) -> None:
    shop.sandbox.world.clock.speed = 1000
    order = await in_review(shop, "ReviewFraud")
    await until(lambda: shop.sandbox.ledger["orders"][0]["state"] == "cancelled")
    shown = await shop.made("GET", f"/orders/{order['id']}")
    assert shown["cancelReason"] == "fraud"
    note = shop.sandbox.ledger["cancels"][0]
    assert (note["by"], note["reason"], note["state"]) == ("platform", "fraud", "in_review")


async def test_an_accepted_order_may_still_be_cancelled_for_fraud(shop: Shop) -> None:
    order = (await shop.submit(await shop.ready())).json()
    shown = await settled(shop, order, state="cancelled", cancelReason="fraud")
    assert (shown["state"], shown["cancelReason"]) == ("cancelled", "fraud")
    assert shop.sandbox.ledger["orders"][0]["held"] == 0
