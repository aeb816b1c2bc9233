"""Everything that the sandbox can say: each of its calls, each of its errors (PLATFORM A.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from deploy.sandbox import cards
from tests.contract.samples import FULL, REFUSED_CHECKOUTS, REFUSED_ORDERS, Json
from tests.shell.sandbox.shop import CHECKOUT, PLACE, Shop


async def checkouts(shop: Shop) -> None:
    await shop.made("POST", "/customers", {"id": "cust-1", "email": "ada@example.test"})
    full = await shop.checkout(**FULL)
    line = full["items"][0]["id"]
    change = {"items": [{"id": line, "metadata": {"line": "1"}}], "email": "b@example.test"}
    where = f"/checkouts/{full['id']}"
    await shop.made("POST", where, change | {"shippingDiscount": {"percentOff": 5}})
    await shop.made("GET", where)
    ranges = {"createdTime[gte]": "2024-01-01T00:00:00Z", "totalAmount[gt]": "1"}
    names = ("customerId", "email", "currency", "locale", "chargeType")
    for query in ({"limit": 100}, {"upstreamIds": "web-1"}, ranges, {"ids": full["id"]}):
        await shop.call("GET", "/checkouts", params=query)
    await shop.call("GET", "/checkouts", params={name: "x" for name in names})
    for query in ({"limit": 0}, {"createdTime[gt]": "noon"}, {"totalAmount[gt]": "much"},
                  {"totalAmount[near]": "5"}, {"startingAfter": "nobody"}):  # fmt: skip
        await shop.call("GET", "/checkouts", params=query)
    unfit: tuple[Any, ...] = ([{"id": "x"}], [{}], [{"id": line, "price": 1}], 5, ["x"])
    for wrong in unfit:
        await shop.call("POST", where, {"items": wrong})
    await shop.call("POST", where, {"taxInclusive": True})
    await shop.call("DELETE", where)
    for method in ("GET", "POST", "DELETE"):
        await shop.call(method, where)


async def refused_checkouts(shop: Shop) -> None:
    for changes in REFUSED_CHECKOUTS:
        await shop.call("POST", "/checkouts", {**CHECKOUT, **changes})


async def sources(shop: Shop) -> None:
    """Every type, shown by itself, in a checkout and in the order that it pays."""
    for kind in sorted(cards.KNOWN - {"customerCredit"}):
        checkout = await shop.checkout()
        source = await shop.source(checkout, type=kind)
        await shop.made("GET", f"/sources/{source['id']}")
        assert (await shop.attach(checkout, source)).status_code == 200
        await shop.read(checkout)
        await shop.submit(checkout)
    checkout = await shop.checkout()
    source = await shop.source(checkout)
    attached = f"/checkouts/{checkout['id']}/sources/{source['id']}"
    for method in ("POST", "DELETE", "POST", "DELETE"):
        await shop.call(method, attached)
    await shop.call("POST", f"/checkouts/{checkout['id']}/sources/nobody")
    await shop.call("GET", "/sources/nobody")


async def credit(shop: Shop) -> None:
    checkout = await shop.checkout()
    good = {
        "type": "customerCredit",
        "paymentSessionId": checkout["payment"]["session"]["id"],
        "amount": 9.95,
        "upstreamId": "credit-1",
        "owner": {"firstName": "Ada", "lastName": "Probe", "address": PLACE},
    }
    some = await shop.made("POST", "/sources", good)
    await shop.attach(checkout, some)
    await shop.attach(checkout, await shop.made("POST", "/sources", good | {"amount": 60}))
    await shop.attach(checkout, await shop.source(checkout))
    await shop.attach(checkout, await shop.made("POST", "/sources", good))
    await shop.submit(checkout)
    for wrong in ({"type": "creditCard"}, {"amount": None}, {"amount": -1}, {"frobnicate": 1},
                  {"paymentSessionId": "nobody"}):  # fmt: skip
        await shop.call("POST", "/sources", good | wrong)


async def customers(shop: Shop) -> None:
    shipping = {"name": "Ada Probe", "address": PLACE}
    good = {"id": "cust-2", "email": "ada@example.test", "shipping": shipping, "locale": "de_DE"}
    await shop.made("POST", "/customers", good | {"type": "individual", "metadata": {"a": "b"}})
    await shop.call("POST", "/customers", good)
    await shop.call("POST", "/customers", {"id": "c" * 41})
    kept = await shop.source(owner=None)  # the customer's own data then do
    for method in ("POST", "POST"):
        await shop.call(method, f"/customers/cust-2/sources/{kept['id']}")
    guest = await shop.checkout(sourceId=kept["id"])
    await shop.submit(guest)  # source_in_use
    await shop.call("POST", f"/customers/cust-1/sources/{kept['id']}")
    for kind in ("wireTransfer", "payPal"):
        other = await shop.source(type=kind)
        await shop.call("POST", f"/customers/cust-2/sources/{other['id']}")
    await shop.made("POST", f"/_sandbox/sources/{other['id']}", {"state": "chargeable"})
    await shop.call("POST", f"/customers/cust-2/sources/{other['id']}")
    for query in ({"email": "ada@example.test"}, {"ids": "cust-2"}, {"limit": 1000}):
        await shop.call("GET", "/customers", params=query)
    await shop.made("GET", "/customers/cust-2")
    await shop.made("POST", "/customers/cust-2", {"defaultSourceId": kept["id"], "enabled": False})
    await shop.call("POST", "/customers/cust-2", {"defaultSourceId": "nobody"})
    await shop.submit(await _ready(shop, customerId="cust-2"))  # not enabled
    for _ in range(2):
        await shop.call("DELETE", f"/customers/cust-2/sources/{kept['id']}")
    await shop.attach(await shop.checkout(customerId="cust-2"), kept)
    await shop.call("DELETE", "/customers/cust-2")
    for method in ("GET", "POST", "DELETE"):
        await shop.call(method, "/customers/cust-2")


async def _ready(shop: Shop, last: str = "Probe", **changes: Any) -> Json:
    """A checkout with these changes and a source, whose owner is billed."""
    checkout = await shop.checkout(**changes)
    await shop.attach(checkout, await shop.source(checkout, last))
    return checkout


async def orders(shop: Shop) -> None:
    """Every way in which an order goes on, and every way to look at it."""
    for last, state in (
        ("Probe", "cancelled"), ("Review", "accepted"), ("ReviewBlock", "blocked"),
        ("ChargeRemainPending", "accepted"), ("ChargeFailedAfterPending", "failed"),
        ("Probe", "failed"),
    ):  # fmt: skip
        answer = await shop.submit(await _ready(shop, last, **FULL))
        order = answer.json()
        reason = {"cancelReason": "fraud"} if state == "cancelled" else {}
        await shop.made("POST", f"/_sandbox/orders/{order['id']}/settle", {"state": state} | reason)
        shown = await shop.made("GET", f"/orders/{order['id']}")
        for charge in shown["payment"].get("charges", ()):
            await shop.made("GET", f"/charges/{charge['id']}")
        await shop.made("POST", f"/orders/{order['id']}/refresh")
        await shop.call("POST", "/fulfillments", _ship(order, quantity=1))
    await shop.made("POST", f"/orders/{order['id']}", {"metadata": {"a": "b"}, "upstreamId": "u"})
    await shop.call("POST", f"/orders/{order['id']}", {"email": "x"})
    for query in ({"checkoutId": order["checkoutId"]}, {"upstreamIds": ["web-1", "u"]},
                  {"state": "accepted"}, {"in_review[gte]": "2024-01-01T00:00:00Z"},
                  {"limit": 101}, {"endingBefore": "nobody"}):  # fmt: skip
        await shop.call("GET", "/orders", params=query)
    for method, path in (("GET", "/orders/x"), ("POST", "/orders/x"), ("POST", "/orders/x/refresh"),
                         ("GET", "/charges/x")):  # fmt: skip
        await shop.call(method, path)


async def waits(shop: Shop) -> None:
    """Orders that wait for the shopper: how each goes on, and each end."""
    for kind, last, choice in (
        ("klarnaCredit", "Probe", "approve"), ("klarnaCredit", "ChargeCreationFail", "approve"),
        ("directDebit", "Probe", "approve"), ("directDebit", "SourceFailAfterRedirect", "approve"),
        ("alipay", "Probe", "decline"), ("msts", "ReviewFraud", "approve"),
        ("konbini", "Probe", "pay"), ("wireTransfer", "Probe", "expire"),
    ):  # fmt: skip
        checkout = await shop.checkout()
        source = await shop.source(checkout, last, type=kind)
        await shop.attach(checkout, source)
        order = (await shop.submit(checkout)).json()
        paid = kind in cards.RECEIVER
        where = "/_sandbox/sources" if paid else "/payments/redirects"
        await shop.http.post(f"{shop.sandbox.url}{where}/{source['id']}/{choice}")
        await shop.made("POST", f"/orders/{order['id']}/refresh")
        shown = await shop.made("GET", f"/orders/{order['id']}")
        for charge in shown["payment"].get("charges", ()):
            await shop.made("GET", f"/charges/{charge['id']}")
        await shop.made("GET", f"/sources/{source['id']}")


async def troubles(shop: Shop) -> None:
    """What happens to accepted orders, and how they read then."""
    for kind in ("capture_failed", "cancel_failed", "reauthorization_failed", "dispute",
                 "dispute_resolved", "chargeback", "charge_failed"):  # fmt: skip
        order = (await shop.submit(await _ready(shop))).json()
        if kind == "dispute_resolved":
            await shop.made("POST", f"/_sandbox/orders/{order['id']}/trouble", {"kind": "dispute"})
        await shop.made("POST", f"/_sandbox/orders/{order['id']}/trouble", {"kind": kind})
        shown = await shop.made("GET", f"/orders/{order['id']}")
        await shop.made("GET", f"/charges/{shown['payment']['charges'][0]['id']}")
        await shop.call("POST", "/fulfillments", _ship(order, quantity=2))
    for number in ("4485951788521565", "4024007120579635"):
        checkout = await shop.checkout()
        await shop.attach(checkout, await shop.source(checkout, number=number))
        order = (await shop.submit(checkout)).json()
        await shop.made("POST", "/fulfillments", _ship(order, quantity=2))
        await shop.made("GET", f"/orders/{order['id']}")
    await shop.made("POST", "/_sandbox/checkout-sessions", {})


async def refused_orders(shop: Shop) -> None:
    for changes in REFUSED_ORDERS:
        await shop.submit(await _ready(shop, **changes))
    await shop.submit(await shop.checkout())  # order_submit_failed
    free = {"items": [{"skuId": "kbd-1", "price": 0}], "shippingChoice": None, "shipTo": None}
    await shop.submit(await shop.checkout(billTo=None, **free))  # billTo.address.country
    country = {"firstName": "Ada", "lastName": "Probe", "address": {"country": "DE"}}
    checkout = await shop.checkout(billTo=None)
    await shop.attach(checkout, await shop.source(checkout, owner=country))
    await shop.submit(checkout)  # create-order-failed
    for last in ("ChargeFail", "Decline_insufficient_funds", "FraudBlock", "StepUp"):
        checkout = await _ready(shop, last)
        await shop.submit(checkout)
        await shop.submit(checkout)  # a dead checkout
        await shop.attach(checkout, await shop.source(checkout))
    checkout = await _ready(shop)
    spent = (await shop.read(checkout))["payment"]["sources"][0]["id"]
    await shop.made("POST", f"/_sandbox/sources/{spent}", {"state": "requires_action"})
    await shop.submit(checkout)  # source_not_chargeable
    checkout = await _ready(shop)
    for _ in range(2):
        await shop.submit(checkout)  # the second finds it consumed
    for method in ("POST", "DELETE"):
        await shop.call(method, f"/checkouts/{checkout['id']}", {} if method == "POST" else None)
    await shop.call("POST", "/orders", {})


def _ship(order: Json, **quantities: int) -> Json:
    return {
        "orderId": order["id"],
        "items": [{"itemId": order["items"][0]["id"], **quantities}],
        "metadata": {"parcel": "1"},
        "trackingNumber": "T1",
    }


async def fulfillments(shop: Shop) -> None:
    async def placed(**changes: Any) -> Json:
        order: Json = (await shop.submit(await _ready(shop, **changes))).json()
        return order

    several = await placed(items=FULL["items"])
    for _ in range(2):
        await shop.call("POST", "/fulfillments", _ship(several, cancelQuantity=2))
    one = await placed()
    await shop.call("POST", "/fulfillments", _ship(one, quantity=3))
    await shop.call("POST", "/fulfillments", _ship(one, quantity=0))
    await shop.made("POST", "/fulfillments", _ship(one, quantity=1))
    await shop.made("POST", "/fulfillments", _ship(one, quantity=1))
    await shop.call("POST", "/fulfillments", _ship(one, quantity=1))
    shown = await shop.made("GET", f"/orders/{one['id']}")
    await shop.made("GET", f"/charges/{shown['payment']['charges'][0]['id']}")
    part = await placed(items=FULL["items"])
    for _ in range(2):
        await shop.call("POST", "/fulfillments", _ship(part, quantity=2))
    shop.sandbox.world.orders[part["id"]].state = "dispute"
    await shop.call("POST", "/fulfillments", _ship(part, quantity=1))
    shop.sandbox.world.orders[part["id"]].state = "fulfilled"
    await shop.call("POST", "/fulfillments", _ship(part, quantity=1))
    gone = await placed()
    for _ in range(2):
        await shop.call("POST", "/fulfillments", _ship(gone, cancelQuantity=2))
    shown = await shop.made("GET", f"/orders/{gone['id']}")
    await shop.made("GET", f"/charges/{shown['payment']['charges'][0]['id']}")
    unfit: tuple[Json, ...] = (
        {"orderId": "nobody"},
        {"items": []},
        {"items": ["x"]},
        {"items": [{"itemId": "nobody", "quantity": 1}]},
    )
    for wrong in unfit:
        await shop.call("POST", "/fulfillments", _ship(await placed(), quantity=1) | wrong)


async def events(shop: Shop) -> None:
    found = await shop.made("GET", "/events?limit=100")
    await shop.made("GET", f"/events/{found['data'][0]['id']}")
    await shop.call("GET", "/events/nobody")
    since = {"createdTime[gte]": "2024-01-01T00:00:00Z", "type": "order.*"}
    many = {"types": [f"order.{n}" for n in range(20)]}
    for query in (since, {"types": ["order.accepted"]}, {"types": "a", "type": "b"}, many):
        await shop.call("GET", "/events", params=query)


async def webhooks(shop: Shop) -> None:
    good = {
        "types": ["order.accepted"],
        "address": "http://127.0.0.1:9/hooks",
        "authentication": {"username": "dr", "password": "hush"},
    }
    pinned = {"apiVersion": "2021-12-13", "authentication": {"userName": "dr", "password": "hush"}}
    await shop.made("POST", "/webhooks", good | pinned)
    made = await shop.made("POST", "/webhooks", good)
    where = f"/webhooks/{made['id']}"
    await shop.made("PATCH", where, {"enabled": False})
    await shop.made("GET", where)
    await shop.made("GET", "/webhooks")
    for wrong in ({"address": "http://127.0.0.1:9"}, good | {"types": [5]}, {"types": ["*"]}):
        await shop.call("POST", "/webhooks", wrong)
    for method in ("DELETE", "GET", "PATCH", "DELETE"):
        await shop.call(method, where, {} if method == "PATCH" else None)


async def edge(shop: Shop) -> None:
    """What is answered before any call is looked at, and what only comes in between."""
    await shop.call("GET", "/orders", headers={"Authorization": "Bearer nobody"})
    await shop.call("GET", "/orders", headers={"DigitalRiver-Version": "1999-01-01"})
    await shop.call("PUT", "/orders")
    await shop.call("GET", "/moons/1")
    for raw in (b"{", b"[]"):
        await shop.http.post("/checkouts", content=raw)
    await shop.http.post("/checkouts", content=b"{}")
    for kind in ("rate_limit", "rate_limit", *["before_commit"] * 3, *["after_commit"] * 3):
        checkout = await _ready(shop)
        await shop.fault(kind)
        await shop.submit(checkout)


PARTS: tuple[Callable[[Shop], Awaitable[None]], ...] = (
    checkouts, refused_checkouts, sources, credit, customers, orders, waits, troubles,
    refused_orders, fulfillments, events, webhooks, edge,
)  # fmt: skip


async def everything(shop: Shop) -> None:
    for part in PARTS:
        await part(shop)


def shop_at(url: str, key: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}", "DigitalRiver-Version": "2021-12-13"}
    return httpx.AsyncClient(base_url=url, headers=headers, trust_env=False)
