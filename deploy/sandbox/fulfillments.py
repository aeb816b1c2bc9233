"""`POST /fulfillments`: ships items, and is the only way to cancel an order (PLATFORM §5.6)."""

from decimal import Decimal

from . import charges, endings, orders, settlement
from .clock import stamp
from .errors import Refusal, invalid, missing, reauthorization_failed
from .fields import LIST, NUMBER, OBJECT, TEXT, check, check_metadata, text
from .model import Json, Order, OrderItem
from .states import move
from .world import World

FIELDS = {
    "orderId": TEXT, "shipmentId": TEXT, "items": LIST, "metadata": OBJECT,
    "trackingCompany": TEXT, "trackingNumber": TEXT, "trackingUrl": TEXT,
}  # fmt: skip
ITEM = {
    "itemId": TEXT, "skuId": TEXT, "shipmentItemId": TEXT, "quantity": NUMBER,
    "cancelQuantity": NUMBER,
}  # fmt: skip


def create(world: World, live: bool, body: Json) -> Json:
    check(body, FIELDS)
    check_metadata(body.get("metadata"))
    order_id = text(body, "orderId")
    order = world.orders.get(order_id)
    if order is None or order.live != live:
        # 404 is not declared for this call; a 409 with this code is (PLATFORM §8 #35).
        raise Refusal(409, "not_found", f"Order '{order_id}' not found.", "orderId")
    if not body.get("items"):
        raise missing("items")
    _check_order(order)
    wanted = [_wanted(order, one) for one in body["items"]]
    _check_shipping(order, sum(ship for _, ship, _ in wanted))
    if not order.settled and not _cancels(world, order):
        return _record(world, order, body)
    shown = _record(world, order, body)
    for item, ship, cancel in wanted:
        item.shipped += ship
        item.cancelled += cancel
        _advance(world, item)
    _settle(world, order)
    return shown


def _check_order(order: Order) -> None:
    refusals = {
        "cancelled": ("order_cancelled", f"Resource '{order.id}' is cancelled."),
        "blocked": ("order_cancelled", f"Resource '{order.id}' is cancelled."),
        "complete": ("order_complete", f"Resource '{order.id}' is complete."),
        "fulfilled": ("order_fulfilled", f"Resource '{order.id}' is fulfilled."),
        "dispute": ("order_not_submitted", f"Order '{order.id}' has not been submitted."),
    }
    if order.state in refusals:
        code, message = refusals[order.state]
        raise Refusal(409, code, message, "orderId")


def _check_shipping(order: Order, shipped: int) -> None:
    """Only accepted orders ship (PLATFORM §5.11), and only while they are authorized (A.1)."""
    if shipped and not order.settled:
        message = f"Order '{order.id}' has not been submitted."
        raise Refusal(409, "order_not_submitted", message, "orderId")
    if shipped and not order.authorized:
        raise reauthorization_failed()


def _cancels(world: World, order: Order) -> bool:
    """Whether an order that still waits is cancelled now (PLATFORM §8 #14)."""
    how = world.settings.cancels
    if how == "allowed":
        return True
    endings.note_cancel(world, order, "merchant", how, None)
    if how == "refused":
        message = f"Order '{order.id}' has not been submitted."
        raise Refusal(409, "order_not_submitted", message, "orderId")
    if how == "later":
        act = settlement.while_open(world, order, lambda: endings.cancel(world, order, "merchant"))
        settlement.later(world, world.settings.settlement_seconds, act)
    return False


def _wanted(order: Order, one: object) -> tuple[OrderItem, int, int]:
    if not isinstance(one, dict):
        raise invalid("items", "An item is not an object.")
    check(one, ITEM)
    item_id = text(one, "itemId")
    item = next((item for item in order.items if item.id == item_id), None)
    if item is None:
        raise invalid("itemId", f"Item '{item_id}' is not an item of this order.")
    ship, cancel = int(one.get("quantity") or 0), int(one.get("cancelQuantity") or 0)
    if ship < 0 or cancel < 0 or ship + cancel == 0:
        raise Refusal(400, "invalid_quantity_amount", "The quantity is not valid.", "quantity")
    if item.cancelled >= item.quantity:
        message = f"Resource '{item_id}' is cancelled."
        raise Refusal(409, "item_cancelled", message, "itemId")
    if item.shipped >= item.quantity:
        message = f"Resource '{item_id}' is fulfilled."
        raise Refusal(409, "item_fulfilled", message, "itemId")
    if item.shipped + item.cancelled + ship + cancel > item.quantity:
        raise Refusal(409, "quantity_too_large", "The quantity is too large.", "items[0].qty")
    return item, ship, cancel


def _advance(world: World, item: OrderItem) -> None:
    if item.shipped + item.cancelled < item.quantity:
        return
    item.state = "fulfilled" if item.shipped else "cancelled"
    item.transitions[item.state] = world.now()


def _record(world: World, order: Order, body: Json) -> Json:
    skus = {item.id: item.view.get("skuId") for item in order.items}
    items = [
        {
            "itemId": one["itemId"],
            "quantity": int(one.get("quantity") or 0),
            "cancelQuantity": int(one.get("cancelQuantity") or 0),
            **({"skuId": skus[one["itemId"]]} if skus[one["itemId"]] else {}),
        }
        for one in body["items"]
    ]
    kept = {name: value for name, value in body.items() if name in FIELDS and value is not None}
    shown = {
        **kept,
        "id": f"ful_{world.new_id()}",
        "createdTime": stamp(world.now()),
        "items": items,
        "liveMode": order.live,
    }
    world.fulfillments[shown["id"]] = shown
    details = orders.view(world, order)
    del details["payment"]
    world.emit("fulfillment.created", order.live, {**shown, "orderDetails": details})
    return shown


def _settle(world: World, order: Order) -> None:
    """All cancelled: the order is cancelled. All shipped or cancelled: fulfilled and captured."""
    if all(item.cancelled == item.quantity for item in order.items):
        endings.cancel(world, order, "merchant")
        return
    order.cancelled = _cancelled_amount(order)
    order.updated = world.now()
    if any(item.shipped + item.cancelled < item.quantity for item in order.items):
        return
    move(world, order, "fulfilled")
    orders.announce(world, order, "order.fulfilled")
    captured = [charges.capture(world, world.charges[one]) for one in order.charge_ids]
    if all(captured):
        order.captured = order.total - order.cancelled
        move(world, order, "complete")
        orders.announce(world, order, "order.complete")


def _cancelled_amount(order: Order) -> Decimal:
    total = Decimal(0)
    for item in order.items:
        whole = Decimal(str(item.view["amount"])) + Decimal(str(item.view["tax"]["amount"]))
        total += whole * item.cancelled / item.quantity
    return total.quantize(Decimal("0.01"))
