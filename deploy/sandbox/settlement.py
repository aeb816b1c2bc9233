"""How an order goes on: waiting, accepted, in review, and out of each (PLATFORM §4.1, §5)."""

from collections.abc import Callable
from datetime import timedelta

from . import cards, charges, endings, sources, waiting
from .errors import Refusal, invalid
from .model import Json, Order, Source
from .orders import announce
from .states import judge, move, set_session
from .world import World

OUTCOMES = ("accepted", "blocked", "cancelled", "failed")
# SANDBOX-CHOICE of PLATFORM §7.2: what a review ends with, by the owner's last name.
REVIEW: dict[str, tuple[str, str | None]] = {
    "Review": ("accepted", None), "ReviewBlock": ("blocked", None),
    "ReviewFraud": ("cancelled", "fraud"),
}  # fmt: skip


def begin(world: World, order: Order, main: Source | None) -> None:
    """The state in which POST /orders answers: rows 1 to 7 of PLATFORM §4.1."""
    if main is not None and main.state == "pending_redirect":
        _wait(world, order, "pending_redirect", waiting.redirect(world, main))
    elif main is not None and main.state == "pending_funds":
        _wait(world, order, "pending_funds", waiting.instructions(world, main))
        _limit(world, order, main)
    elif main is not None and pends(main):
        _wait(world, order, "pending", None)
        pend(world, order, main)
    else:
        finish(world, order, main)


def _wait(world: World, order: Order, session: str, action: Json | None) -> None:
    order.session.settled = session
    order.session.next_action = action
    move(world, order, "pending_payment")
    announce(world, order, "order.pending_payment")


def later(world: World, seconds: float, act: Callable[[], None]) -> None:
    """In platform seconds."""
    if world.later is not None:
        world.later(world.clock.scaled(seconds), act)


def while_open(world: World, order: Order, act: Callable[[], None]) -> Callable[[], None]:
    """Does nothing once the order is decided, or forgotten by a reset."""

    def checked() -> None:
        if world.orders.get(order.id) is order and not order.settled:
            act()

    return checked


def pends(source: Source) -> bool:
    """Whether the provider goes on working after the shopper has finished."""
    return source.type in cards.SETTLE_LATER or source.last_name in cards.CHARGE_PENDS


def pend(world: World, order: Order, main: Source) -> None:
    """Row 7: a pending charge, which later becomes capturable, fails, or stays."""
    for source_id, amount in order.shares.items():
        charge = charges.authorize(world, order, world.sources[source_id], amount, "pending")
        world.emit("order.charge.pending", order.live, charges.view(charge))
    if main.last_name == "ChargeRemainPending":
        return

    def act() -> None:
        if main.last_name == "ChargeFailedAfterPending":
            endings.fail(world, order)
        else:
            finish(world, order, main)

    later(world, world.settings.settlement_seconds, while_open(world, order, act))


def finish(world: World, order: Order, main: Source | None) -> None:
    """The money is there, or the charge fails; then a review, or accepted."""
    code = charges.decline_code(world, main) if main is not None else None
    if code is not None:
        endings.fail(world, order, code)
        return
    take_money(world, order)
    if main is not None and main.last_name in REVIEW:
        _review(world, order, *REVIEW[main.last_name])
        return
    accept(world, order)


def _review(world: World, order: Order, end: str, reason: str | None) -> None:
    order.session.settled = "complete"
    order.session.next_action = None
    move(world, order, "in_review")
    judge(world, order, "review_opened")
    announce(world, order, "order.review_opened")
    act = while_open(world, order, lambda: settle(world, order, end, reason))
    later(world, world.settings.review_seconds, act)


def take_money(world: World, order: Order) -> None:
    """One charge for each source that carries something; a pending one becomes capturable."""
    made = {world.charges[one].source_id: world.charges[one] for one in order.charge_ids}
    for source_id, amount in order.shares.items():
        charge = made.get(source_id)
        if amount <= 0 or (charge is not None and charge.state != "pending"):
            continue
        if charge is None:
            charge = charges.authorize(world, order, world.sources[source_id], amount)
        charge.state = "capturable"
        world.emit("order.charge.capturable", order.live, charges.view(charge))


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
    unpaid = state == "accepted" and order.session.settled == "failed"
    if unpaid or (state == "failed" and not order.shares):
        raise Refusal(409, "charge_not_capturable", f"Order '{order.id}' has no charge.", "orderId")
    reviewed = order.state == "in_review"
    when = world.settings.review_closed if reviewed else "never"
    if when == "before":
        announce(world, order, "order.review_closed")
    _end(world, order, state, cancel_reason)
    if when == "after":
        announce(world, order, "order.review_closed")


def _end(world: World, order: Order, state: str, cancel_reason: str | None) -> None:
    match state:
        case "accepted":
            _arrive(world, order)
            take_money(world, order)
            accept(world, order)
        case "blocked":
            endings.block(world, order)
        case "failed":
            endings.fail(world, order)
        case _:
            endings.cancel(world, order, "platform", cancel_reason)


def _arrive(world: World, order: Order) -> None:
    """What was waited for has come: the sources can be charged."""
    for source_id in order.shares:
        source = world.sources[source_id]
        if source.state in endings.WAITING:
            source.state = "chargeable"
            world.emit("source.chargeable", source.live, sources.view(source))


def refresh(world: World, order: Order) -> Order:
    """`POST /orders/{id}/refresh`: looks at what the provider said (PLATFORM §5.6)."""
    if order.state != "pending_payment" or order.session.settled != "pending_redirect":
        return order
    main = waiting.primary(world, order)
    if main is not None and main.state == "failed":
        set_session(world, order, "failed")
    elif main is not None and main.state == "chargeable":
        go_on(world, order, main)
    return order


def go_on(world: World, order: Order, main: Source) -> None:
    """The money of an order that waited can be had now."""
    if pends(main):
        order.session.next_action = None
        set_session(world, order, "pending")
        pend(world, order, main)
    else:
        finish(world, order, main)


def _limit(world: World, order: Order, main: Source) -> None:
    """The event example wins over the testing page (PLATFORM §8 #46): failed after 30 s."""
    delayed = main.last_name == "SourceFailWithDelay"
    seconds = 30.0 if delayed else world.settings.funds_seconds
    main.deadline = world.clock.now() + timedelta(seconds=world.clock.scaled(seconds))

    def act() -> None:
        if main.state == "pending_funds":
            main.state = "failed"
            endings.expire(world, order)

    later(world, seconds, while_open(world, order, act))
