"""What may be sent for a checkout, at create and at update (PLATFORM §2.2, §2.4, §4.5)."""

from typing import Any

from .addresses import check_bill_to, check_ship_to
from .errors import Refusal, invalid, missing, unknown
from .fields import (
    ANY,
    FLAG,
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    check,
    check_discount,
    check_metadata,
    check_place,
)
from .model import Checkout, Item, Json
from .world import World

UPDATE = {
    "customerId": TEXT, "sourceId": TEXT, "currency": TEXT, "email": TEXT, "locale": TEXT,
    "invoiceAttributeId": TEXT, "browserIp": TEXT, "applicationId": TEXT, "taxIdentifiers": LIST,
    "shipFrom": OBJECT, "shipTo": OBJECT, "billTo": OBJECT, "organization": OBJECT,
    "shippingDiscount": OBJECT, "chargeType": TEXT, "customerType": TEXT,
    "purchaseLocation": OBJECT, "shippingChoice": OBJECT, "items": ANY, "upstreamId": TEXT,
    "metadata": OBJECT, "billingOptimization": OBJECT,
}  # fmt: skip
CREATE = {
    **UPDATE, "items": LIST, "discount": OBJECT, "taxInclusive": FLAG, "disclosures": OBJECT,
}  # fmt: skip
ITEM = {
    "skuId": TEXT, "productDetails": OBJECT, "subscriptionInfo": OBJECT, "price": NUMBER,
    "aggregatePrice": NUMBER, "quantity": NUMBER, "discount": OBJECT, "shipFrom": OBJECT,
    "metadata": OBJECT,
}  # fmt: skip
ITEM_UPDATE = {"id": TEXT, "subscriptionInfo": OBJECT, "shipFrom": OBJECT, "metadata": OBJECT}
PRODUCT = frozenset({
    "id", "skuGroupId", "name", "description", "url", "countryOfOrigin", "image", "weight",
    "weightUnit", "partNumber",
})  # fmt: skip
CHARGE_TYPES = ("customer_initiated", "merchant_initiated", "moto")


def item_of(world: World, wanted: object) -> Item:
    if not isinstance(wanted, dict):
        raise invalid("items", "An item is not an object.")
    check(wanted, ITEM)
    check_metadata(wanted.get("metadata"))
    check_place("shipFrom", wanted.get("shipFrom"))
    check_discount(wanted.get("discount"))
    details = wanted.get("productDetails")
    if not wanted.get("skuId"):
        if not details:
            raise missing("skuId")
        _check_product(details)
    if wanted.get("price") is None and wanted.get("aggregatePrice") is None:
        raise missing("price")
    if (wanted.get("price") or 0) < 0 or (wanted.get("aggregatePrice") or 0) < 0:
        raise invalid("price", "The price is not valid.")
    quantity = 1 if wanted.get("quantity") is None else wanted["quantity"]
    if quantity != int(quantity) or quantity < 1:
        raise Refusal(400, "invalid_quantity_amount", "The quantity is not valid.", "quantity")
    request = {name: value for name, value in wanted.items() if value is not None}
    return Item(world.new_id(), request, int(quantity))


def _check_product(details: Json) -> None:
    for name in details:
        if name not in PRODUCT:
            raise unknown(name)
    if not details.get("skuGroupId"):
        message = "An item of type sku is missing a skuGroupId parameter."
        raise Refusal(400, "missing_parameter", message, "skuGroupId")
    if not details.get("countryOfOrigin"):
        raise Refusal(400, "missing_parameter", "must not be null", "countryOfOrigin")


def item_changes(checkout: Checkout, wanted: Any) -> list[tuple[Item, Json]]:
    """Items may get only these changes later (PLATFORM §2.4); one object or several."""
    if wanted is None:
        return []
    changes = [wanted] if isinstance(wanted, dict) else wanted
    if not isinstance(changes, list):
        raise invalid("items", "'items' has the wrong type.")
    by_id = {item.id: item for item in checkout.items}
    pairs = []
    for change in changes:
        if not isinstance(change, dict):
            raise invalid("items", "An item is not an object.")
        check(change, ITEM_UPDATE)
        check_metadata(change.get("metadata"))
        check_place("shipFrom", change.get("shipFrom"))
        if change.get("id") is None:
            raise missing("id")
        if change["id"] not in by_id:
            raise invalid("items", f"Item '{change['id']}' is not an item of this checkout.")
        pairs.append((by_id[change["id"]], change))
    return pairs


def check_common(body: Json) -> None:
    check_metadata(body.get("metadata"))
    for name in ("shipTo", "billTo", "shipFrom"):
        check_place(name, body.get(name))
    if body.get("shipTo") is not None:
        check_ship_to(body["shipTo"])
    if body.get("billTo") is not None:
        check_bill_to(body["billTo"])
    if body.get("shippingChoice") is not None:
        check(body["shippingChoice"], {
            "id": TEXT, "amount": NUMBER, "description": TEXT, "serviceLevel": TEXT,
            "shippingTerms": TEXT,
        })  # fmt: skip
        if body["shippingChoice"].get("amount") is None:
            raise Refusal(400, "internal_error", "Client must provide shipping Cost")
    if body.get("chargeType") not in (None, *CHARGE_TYPES):
        raise invalid("chargeType", f"'{body['chargeType']}' is not a valid charge type.")
    if body.get("customerType") not in (None, "business", "individual"):
        raise invalid("customerType", f"'{body['customerType']}' is not a valid customer type.")
    check_discount(body.get("shippingDiscount"))
