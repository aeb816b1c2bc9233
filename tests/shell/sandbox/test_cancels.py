"""PLATFORM §5.6, §8 #14: cancelling through POST /fulfillments, and what could be seen before."""

import httpx
import pytest

from tests.shell.sandbox.shop import Json, Shop, error, until


async def waiting(shop: Shop, kind: str = "klarnaCredit", last: str = "Probe") -> Json:
    order: Json = (await shop.submit(await shop.ready(last, type=kind))).json()
    assert order["state"] == "pending_payment"
    return order


async def cancel(shop: Shop, order: Json, what: str = "cancelQuantity") -> httpx.Response:
    items = [{"itemId": one["id"], what: one["quantity"]} for one in order["items"]]
    return await shop.call("POST", "/fulfillments", {"orderId": order["id"], "items": items})


async def state(shop: Shop, order: Json) -> str:
    found: str = (await shop.made("GET", f"/orders/{order['id']}"))["state"]
    return found


@pytest.mark.parametrize("kind", ["klarnaCredit", "konbini"])
async def test_a_waiting_order_can_be_cancelled(shop: Shop, kind: str) -> None:
    order = await waiting(shop, kind)
    assert (await cancel(shop, order)).status_code == 201
    assert await state(shop, order) == "cancelled"
    assert error(await cancel(shop, order)) == (409, "order_cancelled", "orderId")
    note = shop.sandbox.ledger["cancels"]
    assert [(one["by"], one["result"], one["moneyOnItsWay"]) for one in note] == [
        ("merchant", "cancelled", False)
    ]


@pytest.mark.parametrize(("setting", "status"), [("refused", 409), ("ignored", 201)])
async def test_a_cancel_may_be_refused_or_do_nothing(shop: Shop, setting: str, status: int) -> None:
    await shop.made("POST", "/_sandbox/settings", {"cancels": setting})
    order = await waiting(shop)
    assert (await cancel(shop, order)).status_code == status
    assert await state(shop, order) == "pending_payment"
    assert [one["result"] for one in shop.sandbox.ledger["cancels"]] == [setting]
    sold = (await shop.submit(await shop.ready())).json()
    assert (await cancel(shop, sold)).status_code == 201  # accepted orders are not concerned
    assert await state(shop, sold) == "cancelled"


async def test_a_cancel_may_come_true_later(shop: Shop) -> None:
    settings = {"cancels": "later", "settlement_seconds": 0.1}
    await shop.made("POST", "/_sandbox/settings", settings)
    order = await waiting(shop)
    assert (await cancel(shop, order)).status_code == 201
    await until(lambda: shop.sandbox.ledger["orders"][0]["state"] == "cancelled")


async def test_a_waiting_order_does_not_ship(shop: Shop) -> None:
    refused = await cancel(shop, await waiting(shop), "quantity")
    assert error(refused) == (409, "order_not_submitted", "orderId")


async def test_money_on_its_way_is_seen_on_reads_and_noted_at_the_cancel(shop: Shop) -> None:
    order = await waiting(shop)
    source_id = order["payment"]["sources"][0]["id"]
    await shop.call("POST", f"/payments/redirects/{source_id}/approve")
    assert (await shop.made("GET", f"/sources/{source_id}"))["state"] == "chargeable"
    await cancel(shop, order)
    note = shop.sandbox.ledger["cancels"][0]
    assert (note["moneyOnItsWay"], note["sources"]) == (True, ["chargeable"])
    assert (await shop.made("GET", f"/sources/{source_id}"))["state"] == "cancelled"
    assert 'class="problem"' in (await shop.call("GET", "/")).text


async def test_a_pending_charge_is_released_by_the_cancel(shop: Shop) -> None:
    order = await waiting(shop, "directDebit", "ChargeRemainPending")
    source_id = order["payment"]["sources"][0]["id"]
    await shop.call("POST", f"/payments/redirects/{source_id}/approve")
    shown = await shop.made("POST", f"/orders/{order['id']}/refresh")
    assert shown["payment"]["session"]["state"] == "pending"
    assert [one["state"] for one in shown["payment"]["charges"]] == ["pending"]
    await cancel(shop, order)
    entry = shop.sandbox.ledger["orders"][0]
    assert [one["money"] for one in entry["charges"]] == ["released"]
    assert shop.sandbox.ledger["cancels"][0]["moneyOnItsWay"] is True


async def test_the_ledger_tells_an_order_s_whole_way(shop: Shop) -> None:
    order = await waiting(shop, "directDebit")
    await shop.made("POST", "/_sandbox/settings", {"settlement_seconds": 0.1})
    source_id = order["payment"]["sources"][0]["id"]
    await shop.call("POST", f"/payments/redirects/{source_id}/approve")
    await shop.made("POST", f"/orders/{order['id']}/refresh")
    await until(lambda: shop.sandbox.ledger["orders"][0]["state"] == "accepted")
    await cancel(shop, order, "quantity")
    entry = shop.sandbox.ledger["orders"][0]
    assert [(one["state"], one["sessionState"]) for one in entry["history"]] == [
        ("pending_payment", "pending_redirect"),
        ("pending_payment", "pending"),
        ("accepted", "complete"),
        ("fulfilled", "complete"),
        ("complete", "complete"),
    ]
    assert [(one["money"], one["captures"]) for one in entry["charges"]] == [
        ("captured", ["complete"])
    ]
    assert entry["captured"] == entry["totalAmount"] == 59.95
    assert "pending_payment &gt; accepted &gt; fulfilled" in (await shop.call("GET", "/")).text
