"""A full checkout, and what makes a checkout or an order refused (PLATFORM A.1)."""

from __future__ import annotations

from typing import Any

from tests.shell.sandbox.shop import PLACE

Json = dict[str, Any]
PARTY: Json = {"name": "Ada Probe", "phone": "+49301234", "email": "a@b.test", "address": PLACE}
FULL: Json = {
    "customerId": "cust-1",
    "taxInclusive": True,
    "chargeType": "merchant_initiated",
    "customerType": "business",
    "locale": "de_DE",
    "browserIp": "203.0.113.9",
    "applicationId": "storefront",
    "organization": {"id": "org-1"},
    "invoiceAttributeId": "attribute-1",
    "purchaseLocation": {"country": "DE", "postalCode": "10115"},
    "shipTo": PARTY | {"organization": "Probe GmbH"},
    "billTo": PARTY,
    "discount": {"percentOff": 10},
    "shippingDiscount": {"amountOff": 1.5},
    "metadata": {"basket": "b-12", "gift": True, "lines": 2},
    "items": [
        {
            "skuId": "kbd-1", "quantity": 2, "price": 25.0,
            "discount": {"amountOff": 1, "quantity": 1},
        },
        {
            "quantity": 1,
            "aggregatePrice": 12.5,
            "shipFrom": {"address": {"country": "AT"}},
            "metadata": {"line": "2"},
            "productDetails": {
                "id": "mouse-1", "skuGroupId": "mice", "name": "Mouse", "countryOfOrigin": "NL",
                "description": "Grey", "url": "https://shop.example.test/mouse", "weight": 0.2,
                "image": "https://shop.example.test/mouse.png", "weightUnit": "kg",
                "partNumber": "M-1",
            },
            "subscriptionInfo": {
                "terms": "Monthly", "autoRenewal": True, "freeTrial": False, "planId": "plan-1",
            },
        },
    ],
}  # fmt: skip


def place(**changes: str | None) -> Json:
    """An address with some parts changed, or left out."""
    wanted = {**PLACE, **changes}
    return {name: value for name, value in wanted.items() if value is not None}


def to(**changes: str | None) -> Json:
    return {"shipTo": {"name": "Ada Probe", "address": place(**changes)}}


def items(**changes: Any) -> Json:
    return {"items": [{"skuId": "kbd-1", "quantity": 1, "price": 25.0, **changes}]}


def product(**details: Any) -> Json:
    return {"items": [{"price": 1, "productDetails": {"id": "m", "skuGroupId": "g", **details}}]}


# Changes to a good `POST /checkouts` that it is refused for.
REFUSED_CHECKOUTS: tuple[Json, ...] = (
    {"currency": None},
    {"currency": "YEM"},
    {"currency": "PAB"},
    {"items": []},
    {"items": ["kbd"]},
    items(skuId=None),
    items(price=None),
    items(price=-1),
    items(quantity=1.5),
    items(frobnicate=1),
    items(discount={"percentOff": 101}),
    {"discount": {"amountOff": 0.0}},
    product(countryOfOrigin="NL", eccn="EAR99"),
    product(),
    {"items": [{"price": 1, "productDetails": {"id": "m"}}]},
    {"frobnicate": 1},
    {"email": 5},
    {"metadata": {"k" * 41: "v"}},
    {"metadata": {"k": "v" * 501}},
    {"metadata": {f"k{n}": "v" for n in range(21)}},
    {"shippingChoice": {"id": "q"}},
    {"chargeType": "mail_order"},
    {"customerType": "robot"},
    {"sourceId": "no-such-source"},
    to(country=None),
    to(line1=None),
    to(city=None),
    to(postalCode=None),
    to(country="US", postalCode="55343"),
    to(country="US", postalCode="55343", state="XX"),
    to(postalCode="1011"),
    to(country="KP"),
    to(country="BR"),
    {"shipTo": {"address": ["x"]}},
    {"shipTo": {"address": {"country": 5}}},
)

# Changes to a good checkout that is then refused as an order.
REFUSED_ORDERS: tuple[Json, ...] = (
    {"email": None},
    {"shipTo": None},
    {"shipTo": {"address": PLACE}},
    {"shipFrom": None},
    {"shippingChoice": None},
    to(country="TW"),
    to(country="TW") | {"customerType": "business"},
)
