"""An order as auditors see it: its history, and what became of the money."""

from decimal import Decimal

from .clock import stamp
from .model import Charge, Json, Order
from .world import World

OVER = frozenset({"cancelled", "blocked"})
TAKEN = frozenset({"pending", "capturable", "processing", "complete"})


def entry(world: World, order: Order) -> Json:
    """`live`: not over without having been sold."""
    made = [world.charges[one] for one in order.charge_ids]
    return {
        "id": order.id,
        "checkoutId": order.checkout_id,
        "checkoutSessionId": order.checkout_session_id,
        "upstreamId": order.upstream_id,
        "state": order.state,
        "fraudState": order.fraud_state,
        "sessionState": order.session.settled,
        "cancelReason": order.cancel_reason,
        "totalAmount": float(order.total),
        "currency": order.fields["currency"],
        "createdTime": stamp(order.created),
        "metadata": order.fields.get("metadata") or {},
        "history": order.history,
        "charges": [_charge(world, charge) for charge in made],
        "held": float(sum((_held(charge) for charge in made), Decimal(0))),
        "captured": float(order.captured),
        "live": order.state not in OVER,
        "liveMode": order.live,
    }


def _held(charge: Charge) -> Decimal:
    """What is taken, or promised, and not given back."""
    return charge.amount if charge.state in TAKEN else Decimal(0)


def _charge(world: World, charge: Charge) -> Json:
    """`money`: held, captured, released (a cancel that worked), or never taken."""
    source = world.sources[charge.source_id]
    money = {"complete": "captured", "cancelled": "released", "failed": "none"}
    return {
        "id": charge.id,
        "sourceId": charge.source_id,
        "type": source.type,
        "credit": source.credit,
        "amount": float(charge.amount),
        "state": charge.state,
        "money": money.get(charge.state, "held"),
        "code": charge.failure_code,
        "captures": [one["state"] for one in charge.captures],
        "cancels": [one["state"] for one in charge.cancels],
    }
