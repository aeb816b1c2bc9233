"""How an order ends without being sold: cancelled, blocked, its charge failed, never paid."""

from . import charges
from .clock import fine_stamp
from .model import Charge, Json, Order, Source
from .orders import announce
from .states import end_items, judge, move, set_session
from .world import World

WAITING = ("pending_funds", "pending_redirect")
# What an unpaid transfer tells, by setting, in this order (PLATFORM §5.7, §8 #2).
EXPIRY = {
    "cancelled": ("cancelled",),
    "failed_cancelled": ("failed", "cancelled"),
    "cancelled_failed": ("cancelled", "failed"),
    "failed": ("failed",),
}


def cancel(world: World, order: Order, by: str, reason: str | None = None) -> None:
    """An order whose money never came keeps the failed session of the docs' example."""
    note_cancel(world, order, by, "cancelled", reason)
    _cancel_quietly(world, order, reason)
    announce(world, order, "order.cancelled")
    _cancel_charges(world, order)


def _cancel_quietly(world: World, order: Order, reason: str | None = None) -> None:
    if order.state == "pending_payment":
        order.session.settled = "failed"
        for source in _primaries(world, order):
            if source.state in WAITING:
                source.state = "failed"
            elif source.state == "chargeable":
                source.state = "cancelled"
    move(world, order, "cancelled")
    order.cancel_reason = reason
    order.cancelled = order.total
    end_items(world, order, "cancelled")


def _primaries(world: World, order: Order) -> list[Source]:
    """Those that only this order can use."""
    found = (world.sources[source_id] for source_id in order.shares)
    return [source for source in found if not source.credit and not source.reusable]


def _cancel_charges(world: World, order: Order) -> None:
    for charge_id in order.charge_ids:
        charges.cancel(world, world.charges[charge_id])


def block(world: World, order: Order) -> None:
    """Final in both states; the charges are cancelled (PLATFORM §5.11)."""
    move(world, order, "blocked")
    judge(world, order, "blocked")
    end_items(world, order, "blocked")
    announce(world, order, "order.blocked")
    _cancel_charges(world, order)


def fail(world: World, order: Order, code: str = "declined", shape: str | None = None) -> None:
    """A charge fails after the order was made (PLATFORM §5.11)."""
    charge = failed_charge(world, order, code)
    set_session(world, order, "failed")
    tell_failed(world, order, charge, shape)
    stays = world.settings.charge_failed_leaves == "pending_payment"
    if not (stays and order.state == "pending_payment"):
        cancel(world, order, "platform")


def failed_charge(world: World, order: Order, code: str) -> Charge:
    """The primary source's charge, made if there is none, as failed."""
    shares = sorted(order.shares.items(), key=lambda share: world.sources[share[0]].credit)
    source_id, amount = shares[0]
    found = (world.charges[one] for one in order.charge_ids)
    charge = next((one for one in found if one.source_id == source_id), None)
    if charge is None:
        source = world.sources[source_id]
        charge = charges.authorize(world, order, source, amount, "failed", code)
    charge.state, charge.failure_code = "failed", code
    return charge


def tell_failed(world: World, order: Order, charge: Charge, shape: str | None = None) -> None:
    """The shape is documented nowhere (PLATFORM §8 #1)."""
    if (shape or world.settings.charge_failed_shape) == "charge":
        world.emit("order.charge.failed", order.live, charges.view(charge))
    else:
        announce(world, order, "order.charge.failed")


def expire(world: World, order: Order) -> None:
    """Nobody paid in time. A charge exists only if it is told of (PLATFORM §8 #2)."""
    steps = EXPIRY[world.settings.expiry_events]
    if order.fraud_state is None:
        judge(world, order, "passed")  # as in the docs' example (PLATFORM §7.1)
    for step in steps:
        if step == "failed":
            tell_failed(world, order, failed_charge(world, order, "source_expired"))
        else:
            cancel(world, order, "platform")
    if "cancelled" not in steps:
        note_cancel(world, order, "platform", "cancelled", None)
        _cancel_quietly(world, order)


def money_on_its_way(world: World, order: Order) -> bool:
    """Whether cancelling this order now takes back what a shopper has paid or is paying."""
    return (
        order.session.settled == "pending"
        or any(source.state == "chargeable" for source in _primaries(world, order))
        or any(
            world.charges[one].state not in ("cancelled", "failed")
            for one in order.charge_ids
        )
    )  # fmt: skip


def note_cancel(world: World, order: Order, by: str, result: str, reason: str | None) -> None:
    """Every cancel goes to the ledger, with what could be seen before it."""
    entry: Json = {
        "at": fine_stamp(world.clock.now()),
        "orderId": order.id,
        "checkoutId": order.checkout_id,
        "upstreamId": order.upstream_id,
        "by": by,
        "reason": reason,
        "result": result,
        "state": order.state,
        "sessionState": order.session.settled,
        "sources": [world.sources[one].state for one in order.shares],
        "charges": [world.charges[one].state for one in order.charge_ids],
        "moneyOnItsWay": money_on_its_way(world, order),
    }
    world.ledger.cancels.append(entry)
