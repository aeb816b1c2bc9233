"""What shoppers do at the provider: approve, decline, leave; pay a transfer, or never pay it."""

from datetime import timedelta

from . import cards, endings, settlement, sources, waiting
from .clock import fine_stamp, stamp
from .errors import Refusal, not_found
from .model import Json, Source
from .world import World

CHOICES = ("approve", "decline", "abandon")


def choose(world: World, source: Source, choice: str) -> None:
    """Declined and left leave the source waiting (PLATFORM §7.1). Raises 409 when it is over."""
    if source.state != "pending_redirect":
        _visited(world, source, choice, late=choice == "approve")
        raise Refusal(409, "source_status_invalid_for_session", "This payment is over.")
    if choice == "approve":
        failing = source.last_name in cards.FAILS_AFTER_REDIRECT
        source.state = "failed" if failing else "chargeable"
    _visited(world, source, choice)
    if source.state == "chargeable":
        world.emit("source.chargeable", source.live, sources.view(source))
    if choice == "approve":
        _by_itself(world, source)


def _by_itself(world: World, source: Source) -> None:
    """Whether the platform goes on without a refresh is not documented; a setting decides."""
    order = waiting.order_of(world, source)
    how = world.settings.after_redirect
    if order is None or how == "refresh":
        return
    act = settlement.while_open(world, order, lambda: _refresh(world, source))
    if how == "at_once":
        act()
    else:
        settlement.later(world, world.settings.settlement_seconds, act)


def _refresh(world: World, source: Source) -> None:
    order = waiting.order_of(world, source)
    if order is not None:
        settlement.refresh(world, order)


def pay(world: World, source: Source) -> None:
    """The transfer arrives. Late money makes no order: it is noted, and refused with 409."""
    order = waiting.order_of(world, source)
    over = order is not None and order.state != "pending_payment"
    _visited(world, source, "pay", late=over or source.state != "pending_funds")
    if over or source.state != "pending_funds":
        message = f"Source '{source.id}' is not chargeable."
        raise Refusal(409, "source_not_chargeable", message, "sourceId")
    source.state = "chargeable"
    world.emit("source.chargeable", source.live, sources.view(source))
    if order is not None:
        settlement.go_on(world, order, source)


def expire(world: World, source: Source) -> None:
    """The deadline passes (PLATFORM §5.7)."""
    if source.state not in endings.WAITING:
        message = "The source status is invalid for this session."
        raise Refusal(409, "source_status_invalid_for_session", message)
    _visited(world, source, "expire")
    source.state = "failed"
    order = waiting.order_of(world, source)
    if order is not None and order.state == "pending_payment":
        endings.expire(world, order)


def _visited(world: World, source: Source, choice: str, late: bool = False) -> None:
    order = waiting.order_of(world, source)
    entry: Json = {
        "at": fine_stamp(world.clock.now()),
        "sourceId": source.id,
        "type": source.type,
        "choice": choice,
        "sourceState": source.state,
        "orderId": order.id if order else None,
        "orderState": order.state if order else None,
        "amount": float(source.amount),
        "currency": source.currency,
    }
    ledger = world.ledger
    (ledger.late_payments if late else ledger.provider_visits).append(entry)


def instructions(world: World, source_id: str, secret: str | None) -> Json:
    """What the instructions element shows, to its shopper alone: the deadline is in no resource."""
    source = world.sources.get(source_id)
    if source is None or source.secret != secret or source.flow != "receiver":
        raise not_found("sourceId", f"Source '{source_id}' not found.")
    start = timedelta(seconds=world.clock.scaled(world.settings.funds_seconds))
    return {
        "sourceId": source.id,
        "type": source.type,
        "state": source.state,
        "amount": float(source.amount),
        "currency": source.currency,
        "deadline": stamp(source.deadline or source.created + start),
        source.type: source.details,
    }
