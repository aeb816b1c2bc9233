"""What happens to an order after it was made: captures, disputes, chargebacks (PLATFORM §5.11)."""

from collections.abc import Callable

from . import charges, endings
from .errors import Refusal, invalid
from .model import Charge, Json, Order
from .orders import announce
from .states import move
from .world import World

SHAPES = ("charge", "order")


def happen(world: World, order: Order, body: Json) -> None:
    """`{"kind", "code"?, "shape"?}`. Raises 400 for an unknown kind, 409 where it can't be."""
    kind = body.get("kind")
    if kind not in KINDS:
        raise invalid("kind", f"one of {', '.join(sorted(KINDS))}")
    if body.get("shape") not in (None, *SHAPES):
        raise invalid("shape", "charge or order")
    KINDS[kind](world, order, body)


def _charge(world: World, order: Order) -> Charge:
    """The primary source's charge, if it is still good."""
    found = [world.charges[one] for one in order.charge_ids]
    found.sort(key=lambda charge: world.sources[charge.source_id].credit)
    if not found or found[0].state in ("failed", "cancelled"):
        raise Refusal(409, "charge_not_capturable", f"Order '{order.id}' has no charge.")
    return found[0]


def _charge_failed(world: World, order: Order, body: Json) -> None:
    if order.state in ("cancelled", "blocked") or not order.shares:
        raise Refusal(409, "order_cancelled", f"Order '{order.id}' is over.", "orderId")
    endings.fail(world, order, body.get("code") or "declined", body.get("shape"))


def _capture_failed(world: World, order: Order, body: Json) -> None:
    """The platform goes on trying for up to 30 days: the charge stays in processing."""
    charge = _charge(world, order)
    charge.state = "processing"
    charges.record(world, charge, charge.captures, "capture", "failed")


def _cancel_failed(world: World, order: Order, body: Json) -> None:
    charge = _charge(world, order)
    charges.record(world, charge, charge.cancels, "cancel", "failed")


def _reauthorization_failed(world: World, order: Order, body: Json) -> None:
    """Told with the order, whose state and charge stay as they are (PLATFORM §6.1)."""
    _charge(world, order)
    order.authorized = False
    order.updated = world.now()
    announce(world, order, "order.charge.reauth.failed")


def _dispute(world: World, order: Order, body: Json) -> None:
    if order.state in ("cancelled", "blocked", "dispute", "pending_payment"):
        message = f"Order '{order.id}' can't be disputed."
        raise Refusal(409, "order_not_submitted", message, "orderId")
    order.disputed_from = order.state
    move(world, order, "dispute")
    announce(world, order, "order.dispute")


def _dispute_resolved(world: World, order: Order, body: Json) -> None:
    """Which state it leaves is documented nowhere; the one before is the sandbox's choice."""
    if order.state != "dispute":
        message = f"Order '{order.id}' is not disputed."
        raise Refusal(409, "order_not_submitted", message, "orderId")
    move(world, order, order.disputed_from or "accepted")
    announce(world, order, "order.dispute.resolved")


def _chargeback(world: World, order: Order, body: Json) -> None:
    """Its object is documented nowhere (PLATFORM §6.1); an order, and its state stays."""
    _charge(world, order)
    order.updated = world.now()
    announce(world, order, "order.chargeback")


KINDS: dict[str, Callable[[World, Order, Json], None]] = {
    "charge_failed": _charge_failed,
    "capture_failed": _capture_failed,
    "cancel_failed": _cancel_failed,
    "reauthorization_failed": _reauthorization_failed,
    "dispute": _dispute,
    "dispute_resolved": _dispute_resolved,
    "chargeback": _chargeback,
}
