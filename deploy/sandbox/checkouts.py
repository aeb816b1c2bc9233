"""Checkouts: what may be sent, what is shown, and what can still be changed (PLATFORM §2.2-2.4)."""

from collections.abc import Iterable
from typing import Any

from . import sessions, sources
from .addresses import check_bill_to, check_ship_to
from .clock import stamp
from .currencies import check_currency
from .errors import Refusal, invalid, missing, not_found, session_closed, unknown
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
    text,
)
from .model import Checkout, Item, Json, Session, Source
from .totals import Totals, compute
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
# Not echoed (PLATFORM §2.3); the invoice attribute comes back as an object.
SILENT = frozenset({
    "sourceId", "items", "taxInclusive", "chargeType", "shippingDiscount", "invoiceAttributeId",
})  # fmt: skip
EUROPE = frozenset("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI "
                   "SK NO CH".split())  # fmt: skip
ENTITIES = {
    "GB": ("DR_UK-ENTITY", "Digital River UK Ltd."),
    "JP": ("DR_JAPAN-ENTITY", "DR Japan K.K."),
    "BR": ("DR_BRAZIL-ENTITY", "Digital River do Brasil Ltda."),
    "TW": ("DR_TAIWAN-ENTITY", "Digital River Taiwan Ltd."),
}


def find(world: World, live: bool, checkout_id: str) -> Checkout:
    checkout = world.checkouts.get(checkout_id)
    gone = world.settings.consumed_checkout == "gone"
    if checkout is None or checkout.live != live or (checkout.order_id and gone):
        raise not_found("id", f"Checkout '{checkout_id}' not found.")
    return checkout


def create(world: World, live: bool, body: Json) -> Checkout:
    check(body, CREATE)
    check_currency(text(body, "currency"))
    if not body.get("items"):
        raise missing("items")
    items = [_item(world, one) for one in body["items"]]
    _check_common(body)
    check_discount(body.get("discount"))
    checkout_id, session_id = world.new_id(), world.new_id()
    moment = world.now()
    checkout = Checkout(
        id=checkout_id,
        live=live,
        created=moment,
        updated=moment,
        fields=_kept(body),
        items=items,
        session=Session(session_id, world.new_secret(session_id)),
        tax_inclusive=bool(body.get("taxInclusive")),
        charge_type=body.get("chargeType") or "customer_initiated",
        shipping_discount=body.get("shippingDiscount"),
    )
    _check_tax_identifiers(checkout)
    source = _wanted_source(world, live, body)
    if source is not None:
        sources.attach(world, checkout, source, totals(checkout).total)
    world.checkouts[checkout_id] = checkout
    world.sessions[session_id] = checkout_id
    shown = view(world, checkout)
    world.emit("checkout.created", live, shown)
    return checkout


def _wanted_source(world: World, live: bool, body: Json) -> Source | None:
    """An empty id means none (PLATFORM §5.5). `POST /checkouts` declares no 404."""
    source_id = body.get("sourceId")
    if not source_id:
        return None
    source = world.sources.get(source_id)
    if source is None or source.live != live:
        message = f"Source '{source_id}' not found."
        raise Refusal(409, "not_found", message, "sourceId")
    return source


def update(world: World, checkout: Checkout, body: Json) -> Checkout:
    if checkout.dead or checkout.order_id:
        raise session_closed()
    check(body, UPDATE)
    changes = _item_changes(checkout, body.get("items"))
    _check_common(body)
    if "currency" in body:
        check_currency(text(body, "currency"))
    source = _wanted_source(world, checkout.live, body)
    before = view(world, checkout)
    for item, change in changes:
        item.request.update({name: value for name, value in change.items() if name != "id"})
    for name, value in _kept(body).items():
        checkout.fields[name] = value
    if "shippingDiscount" in body:
        checkout.shipping_discount = body["shippingDiscount"]
    checkout.charge_type = body.get("chargeType") or checkout.charge_type
    if source is not None:
        sources.attach(world, checkout, source, totals(checkout).total)
    touch(world, checkout, before)
    return checkout


def touch(world: World, checkout: Checkout, before: Json) -> None:
    """Stamps a change and tells of it."""
    checkout.updated = world.now()
    after = view(world, checkout)
    previous = {name: value for name, value in before.items() if after.get(name) != value}
    previous.update({name: None for name in after if name not in before})
    world.emit("checkout.updated", checkout.live, after, previous)


def delete(world: World, checkout: Checkout) -> None:
    if checkout.order_id:
        raise session_closed()
    del world.checkouts[checkout.id]
    world.sessions.pop(checkout.session.id, None)
    world.emit("checkout.deleted", checkout.live, {}, view(world, checkout))


def _kept(body: Json) -> Json:
    return {name: value for name, value in body.items() if name not in SILENT} | (
        {"invoiceAttributes": {"id": body["invoiceAttributeId"]}}
        if body.get("invoiceAttributeId")
        else {}
    )


def _item(world: World, wanted: object) -> Item:
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


def _item_changes(checkout: Checkout, wanted: Any) -> list[tuple[Item, Json]]:
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


def _check_common(body: Json) -> None:
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


def _check_tax_identifiers(checkout: Checkout) -> None:
    if country(checkout) == "BR" and not checkout.fields.get("taxIdentifiers"):
        message = "Tax identifiers of type 'br_natural' are required with this selling entity."
        raise Refusal(409, "additional_information_required", message, "taxIdentifiers")


def country(checkout: Checkout) -> str:
    for name in ("shipTo", "billTo"):
        address = (checkout.fields.get(name) or {}).get("address") or {}
        if address.get("country"):
            return str(address["country"])
    return "US"


def entity(checkout: Checkout) -> Json:
    where = country(checkout)
    default = ("DR_IRELAND-ENTITY", "Digital River Ireland Ltd.")
    if where not in EUROPE:
        default = ENTITIES.get(where, ("DR_INC-ENTITY", "Digital River Inc."))
    return {"id": default[0], "name": default[1]}


def physical(checkout: Checkout) -> bool:
    """No catalogue here: shipping data means that something is shipped (PLATFORM §4.5)."""
    return bool(checkout.fields.get("shipTo") or checkout.fields.get("shippingChoice"))


def totals(checkout: Checkout) -> Totals:
    choice = checkout.fields.get("shippingChoice") or {}
    return compute(
        checkout.items,
        checkout.fields["currency"],
        checkout.tax_inclusive,
        choice.get("amount", 0),
        checkout.fields.get("discount"),
        checkout.shipping_discount,
    )


def view(world: World, checkout: Checkout) -> Json:
    """Also brings the primary source's amount up to date, as every read does."""
    sums = totals(checkout)
    shown: Json = {
        "id": checkout.id,
        "createdTime": stamp(checkout.created),
        "updatedTime": stamp(checkout.updated),
        **common(checkout, sums),
        "items": list(_items(checkout, sums)),
        "liveMode": checkout.live,
    }
    if not checkout.order_id:
        sources.share_out(world, checkout, sums.total)
    paid = sessions.contributed(checkout)
    open_amount = sessions.remaining(checkout, sums.total)
    state = sessions.state(checkout, sums.total)
    payment: Json = {"session": sessions.view(checkout.session, state, paid, open_amount)}
    if checkout.shares:
        payment["sources"] = sources.list_brief(world, checkout.shares)
    shown["payment"] = payment
    return shown


def common(checkout: Checkout, sums: Totals) -> Json:
    """What a checkout and its order show alike."""
    shown = {name: value for name, value in checkout.fields.items() if value is not None}
    choice = shown.get("shippingChoice")
    if choice:
        shown["shippingChoice"] = {
            "shippingTerms": "DDP",
            **choice,
            "amount": float(sums.shipping),
            "taxAmount": float(sums.shipping_tax),
        }
    shown.setdefault("taxIdentifiers", [])
    shown.setdefault("customerType", "individual")
    shown.setdefault("locale", "en_US")
    shown |= {
        "totalAmount": float(sums.total),
        "subtotal": float(sums.subtotal),
        "totalTax": float(sums.tax),
        "totalFees": 0.0,
        "totalImporterTax": 0.0,
        "importerOfRecordTax": False,
        "totalDuty": 0.0,
        "totalDiscount": float(sums.discount),
        "totalShipping": float(sums.shipping),
        "sellingEntity": entity(checkout),
    }
    return shown


def _items(checkout: Checkout, sums: Totals) -> Iterable[Json]:
    for place, (item, line) in enumerate(zip(checkout.items, sums.lines, strict=True)):
        request = item.request
        details = {"id": request.get("skuId") or item.id, **(request.get("productDetails") or {})}
        shown: Json = {
            "id": item.id,
            "productDetails": details,
            "quantity": item.quantity,
            "amount": float(line.amount),
            "tax": {"rate": 0.1, "amount": float(line.tax)},
            "importerTax": {"amount": 0.0},
            "duties": {"amount": 0.0},
            "fees": {"amount": 0.0, "taxAmount": 0.0},
        }
        if physical(checkout):
            amount, tax = (sums.shipping, sums.shipping_tax) if place == 0 else (0, 0)
            shown["shipping"] = {"amount": float(amount), "taxAmount": float(tax)}
        for name in ("skuId", "subscriptionInfo", "discount", "shipFrom", "metadata"):
            if request.get(name) is not None:
                shown[name] = request[name]
        yield shown
