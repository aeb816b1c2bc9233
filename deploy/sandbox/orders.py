"""Orders: what is shown, what may be changed, and how they are listed (PLATFORM §2.9, §1.4)."""

from decimal import Decimal

from . import charges, sessions, sources
from .clock import stamp
from .errors import not_found
from .fields import FLAG, OBJECT, TEXT, check, check_metadata
from .model import Json, Order, OrderItem
from .world import World

UPDATE = {"upstreamId": TEXT, "metadata": OBJECT, "requestToBeForgotten": FLAG}


def find(world: World, live: bool, order_id: str, parameter: str = "id") -> Order:
    order = world.orders.get(order_id)
    if order is None or order.live != live:
        raise not_found(parameter, f"Order '{order_id}' not found.")
    return order


def update(world: World, order: Order, body: Json) -> Order:
    check(body, UPDATE)
    check_metadata(body.get("metadata"))
    for name in ("upstreamId", "metadata"):
        if name in body:
            order.fields[name] = body[name]
    order.forget = bool(body.get("requestToBeForgotten", order.forget))
    order.updated = world.now()
    announce(world, order, "order.updated")
    return order


def announce(world: World, order: Order, kind: str) -> None:
    world.emit(kind, order.live, view(world, order))


def view(world: World, order: Order) -> Json:
    shown: Json = {
        "id": order.id,
        "checkoutId": order.checkout_id,
        "createdTime": stamp(order.created),
        "updatedTime": stamp(order.updated),
        **{name: value for name, value in order.fields.items() if value is not None},
        "items": [_item(item) for item in order.items],
        "payment": payment(world, order),
        "state": order.state,
        "stateTransitions": {name: stamp(at) for name, at in order.transitions.items()},
        "requestToBeForgotten": order.forget,
        "capturedAmount": float(order.captured),
        "cancelledAmount": float(order.cancelled),
        "refundedAmount": 0.0,
        "availableToRefundAmount": float(order.captured),
        "liveMode": order.live,
    }
    if order.fraud_state:
        shown["fraudState"] = order.fraud_state
        shown["fraudStateTransitions"] = {
            name: stamp(at) for name, at in order.fraud_transitions.items()
        }
    if order.cancel_reason:
        shown["cancelReason"] = order.cancel_reason
    return shown


def payment(world: World, order: Order) -> Json:
    """Orders that never got an authorization have no `charges` (PLATFORM §2.6)."""
    paid = sum(order.shares.values(), Decimal(0))
    open_amount = max(Decimal(0), order.total - paid)
    state = order.session.settled or "complete"
    shown: Json = {"session": sessions.view(order.session, state, paid, open_amount)}
    if order.shares:
        shown["sources"] = sources.list_brief(world, order.shares)
    if order.charge_ids:
        shown["charges"] = [
            charges.view(world.charges[charge_id], inside_order=True)
            for charge_id in order.charge_ids
        ]
    return shown


def _item(item: OrderItem) -> Json:
    return {
        **item.view,
        "id": item.id,
        "state": item.state,
        "stateTransitions": {name: stamp(at) for name, at in item.transitions.items()},
        "availableToRefundAmount": 0.0,
    }
