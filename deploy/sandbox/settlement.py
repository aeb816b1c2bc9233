"""How an order's state goes on: accepted, reviewed, paid, cancelled, failed (PLATFORM §4.1, §5)."""

from . import charges, sources
from .errors import Refusal, invalid
from .model import Charge, Json, Order, Source
from .orders import announce
from .world import World

OUTCOMES = ("accepted", "blocked", "cancelled", "failed", "dispute")
REVIEW = {"Review": "accepted", "ReviewBlock": "blocked"}  # SANDBOX-CHOICE of PLATFORM §7.2


def move(world: World, order: Order, state: str) -> None:
    moment = world.now()
    order.state = state
    order.transitions[state] = moment
    order.updated = moment


def judge(world: World, order: Order, verdict: str) -> None:
    order.fraud_state = verdict
    order.fraud_transitions[verdict] = world.now()


def begin(world: World, order: Order, main: Source | None) -> None:
    """The state in which POST /orders answers: rows 1, 2, 3 and 5 of PLATFORM §4.1."""
    if main is not None and main.state == "pending_redirect":
        action = {"action": "redirect", "data": {"redirectUrl": redirect_url(world, main)}}
        _wait(world, order, "pending_redirect", action)
        return
    if main is not None and main.state == "pending_funds":
        data = {"sourceId": main.id, "sourceClientSecret": main.secret}
        _wait(world, order, "pending_funds", {"action": "show_payment_instructions", "data": data})
        _schedule_receiver(world, order, main)
        return
    if main is not None and main.last_name == "ChargeFailedAfterPending":
        _wait(world, order, "pending", None)
        later(world, world.settings.settlement_seconds, order, "failed")
        return
    if main is not None and main.last_name == "ChargeRemainPending":
        _wait(world, order, "pending", None)
        return
    take_money(world, order)
    if main is not None and main.last_name in REVIEW:
        move(world, order, "in_review")
        judge(world, order, "review_opened")
        announce(world, order, "order.review_opened")
        later(world, world.settings.review_seconds, order, REVIEW[main.last_name])
        return
    accept(world, order)


def _wait(world: World, order: Order, session: str, action: Json | None) -> None:
    order.session.settled = session
    order.session.next_action = action
    move(world, order, "pending_payment")
    announce(world, order, "order.pending_payment")


def _schedule_receiver(world: World, order: Order, main: Source) -> None:
    """The event example wins over the testing page (PLATFORM §8 #46): cancelled after 30 s."""
    if main.last_name == "SourceFailWithDelay":
        later(world, 30.0, order, "cancelled")


def redirect_url(world: World, source: Source) -> str:
    return f"{world.url}/payments/redirects/{source.id}?apiKey=pk_test_sandbox"


def later(world: World, seconds: float, order: Order, state: str) -> None:
    def act() -> None:
        if world.orders.get(order.id) is order and not order.settled:
            settle(world, order, state)

    if world.later is not None:
        world.later(world.clock.scaled(seconds), act)


def take_money(world: World, order: Order) -> list[Charge]:
    """One charge for each source that carries something."""
    made = []
    for source_id, amount in order.shares.items():
        if amount > 0:
            charge = charges.authorize(world, order, world.sources[source_id], amount)
            world.emit("order.charge.capturable", order.live, charges.view(charge))
            made.append(charge)
    return made


def accept(world: World, order: Order) -> None:
    order.session.settled = "complete"
    order.session.next_action = None
    move(world, order, "accepted")
    judge(world, order, "passed")
    announce(world, order, "order.accepted")


def settle(world: World, order: Order, state: str, cancel_reason: str | None = None) -> None:
    """Ends a wait or a review; also cancels an accepted order."""
    if state not in OUTCOMES:
        raise invalid("state", f"one of {', '.join(OUTCOMES)}")
    if order.state in ("cancelled", "blocked"):
        raise Refusal(409, "order_cancelled", f"Order '{order.id}' is over.", "orderId")
    if state == "accepted":
        _settle_accepted(world, order)
    elif state == "blocked":
        _settle_blocked(world, order)
    elif state == "failed":
        fail(world, order)
    elif state == "dispute":
        move(world, order, "dispute")
        announce(world, order, "order.dispute")
    else:
        cancel(world, order, cancel_reason)


def _settle_accepted(world: World, order: Order) -> None:
    reviewed = order.state == "in_review"
    for source_id in order.shares:
        if world.sources[source_id].state in ("pending_funds", "pending_redirect"):
            source = world.sources[source_id]
            source.state = "chargeable"
            world.emit("source.chargeable", source.live, sources.view(source))
    if not order.charge_ids:
        take_money(world, order)
    accept(world, order)
    if reviewed:
        announce(world, order, "order.review_closed")


def _settle_blocked(world: World, order: Order) -> None:
    move(world, order, "blocked")
    judge(world, order, "blocked")
    _end_items(world, order, "blocked")
    announce(world, order, "order.blocked")
    _cancel_charges(world, order)


def cancel(world: World, order: Order, reason: str | None = None) -> None:
    """An order whose money never came keeps the failed session of the docs' example."""
    if order.state == "pending_payment":
        order.session.settled = "failed"
        for source_id in order.shares:
            source = world.sources[source_id]
            if source.state in ("pending_funds", "pending_redirect"):
                source.state = "failed"
    move(world, order, "cancelled")
    order.cancel_reason = reason
    order.cancelled = order.total
    _end_items(world, order, "cancelled")
    announce(world, order, "order.cancelled")
    _cancel_charges(world, order)


def fail(world: World, order: Order) -> None:
    """A charge fails later: `order.charge.failed`, then the order is over (PLATFORM §8 #3)."""
    charge = next((world.charges[one] for one in order.charge_ids), None)
    if charge is None:
        source_id, amount = next(iter(order.shares.items()))
        charge = charges.authorize(world, order, world.sources[source_id], amount, "failed")
    charge.state = "failed"
    charge.failure_code = charge.failure_code or "declined"
    order.session.settled = "failed"
    if world.settings.charge_failed_shape == "charge":
        world.emit("order.charge.failed", order.live, charges.view(charge))
    else:
        announce(world, order, "order.charge.failed")
    cancel(world, order)


def _end_items(world: World, order: Order, state: str) -> None:
    for item in order.items:
        item.state = state
        item.transitions[state] = world.now()
        if state == "cancelled":
            item.cancelled = item.quantity - item.shipped


def _cancel_charges(world: World, order: Order) -> None:
    for charge_id in order.charge_ids:
        charges.cancel(world, world.charges[charge_id])


def refresh(world: World, order: Order) -> Order:
    """`POST /orders/{id}/refresh`: the shopper is back from the provider (PLATFORM §5.6)."""
    if order.state != "pending_payment" or order.session.settled != "pending_redirect":
        return order
    states = [world.sources[one].state for one in order.shares if not world.sources[one].credit]
    if states and all(state == "chargeable" for state in states):
        _settle_accepted(world, order)
    return order
