"""Checkouts: what may be sent, what is shown, and what can still be changed (PLATFORM §2.2-2.4)."""

from collections.abc import Iterable

from . import sessions, sources
from .checkout_rules import CREATE, UPDATE, check_common, item_changes, item_of
from .clock import stamp
from .currencies import check_currency
from .errors import Refusal, missing, not_found, session_closed
from .fields import (
    check,
    check_discount,
    text,
)
from .model import Checkout, Json, Session, Source
from .totals import Totals, compute
from .world import World

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
    items = [item_of(world, one) for one in body["items"]]
    check_common(body)
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
    changes = item_changes(checkout, body.get("items"))
    check_common(body)
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
