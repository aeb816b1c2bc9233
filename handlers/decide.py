"""The one place that routes a fact to its rule."""

from typing import Any, assert_never

from handlers import (
    calls,
    changes,
    crediting,
    fence,
    forgetting,
    merchant,
    merging,
    operators,
    order_events,
    paying,
    provider,
    reading,
    replacement,
    stale,
    step_up,
    submission,
    unknown,
)
from handlers.cloning import MARK
from handlers.credits import given_back
from handlers.decision import Decision, Moment, ignore
from handlers.moves import change, end, read
from handlers.paths import value_at
from handlers.policy import Policy
from handlers.waiting import SILENCE, End, following_look, waits
from schemas.commands import (
    AttachSource,
    CancelOrder,
    CreateCredit,
    DeleteCheckout,
    DetachSource,
    FindCheckout,
    FindOrders,
    InspectOrder,
    OpenCheckout,
    ReadCheckout,
    ReadOrder,
    RefreshOrder,
    SaveSource,
    Submit,
    UpdateCheckout,
    Wake,
)
from schemas.facts import (
    CancelRequested,
    CheckoutCorrected,
    CommandEnded,
    Fact,
    KeyTaken,
    KeyWanted,
    OperatorDecided,
    OrderRejected,
    PersonForgotten,
    PlatformEvent,
    PurchaseRequested,
    ShopperReturned,
    SourceChosen,
    TimerFired,
    TotalConfirmed,
)
from schemas.purchase import Purchase, Reason, State


def decide(purchase: Purchase, fact: Fact, moment: Moment, policy: Policy) -> Decision:
    """The decision for one fact. Pure: equal arguments give equal decisions."""
    decision = _decide(purchase, fact, moment, policy)
    if decision.purchase.forgotten:
        decision = forgetting.without_person(decision)
    return fence.observed(purchase, given_back(purchase, fact, decision), moment, policy)


def _decide(purchase: Purchase, fact: Fact, moment: Moment, policy: Policy) -> Decision:
    match fact:
        case PurchaseRequested():
            return calls.on_requested(purchase, fact, moment)
        case OrderRejected():
            return merchant.on_rejected(purchase, fact, moment, policy)
        case SourceChosen():
            return calls.on_source(purchase, fact, moment, policy)
        case CheckoutCorrected():
            return calls.on_corrected(purchase, fact, moment)
        case TotalConfirmed():
            return calls.on_confirmed(purchase, fact, moment)
        case ShopperReturned() if purchase.reason is Reason.STEP_UP_REQUIRED:
            return step_up.returned(purchase)
        case ShopperReturned():
            return calls.on_returned(purchase, fact)
        case CancelRequested():
            return calls.on_cancel(purchase, fact)
        case OperatorDecided():
            return operators.on_decided(purchase, fact, moment, policy)
        case PlatformEvent():
            return _on_event(purchase, fact)
        case TimerFired():
            return _on_timer(purchase, fact, moment, policy)
        case CommandEnded():
            return _on_ended(purchase, fact, moment, policy)
        case KeyTaken() | KeyWanted():
            return merging.on_linked(purchase, fact)
        case PersonForgotten():
            return forgetting.on_forgotten(purchase, fact)
        case _:
            assert_never(fact)


def _on_event(purchase: Purchase, fact: PlatformEvent) -> Decision:
    """Platform events only tell where to look (PLATFORM §6.2)."""
    if fact.type.startswith("order."):
        return order_events.on_event(purchase, fact)
    if fact.type == "checkout.created":
        return _on_opened_elsewhere(purchase, fact.object)
    if fact.type == "checkout.updated":
        return _on_checkout_updated(purchase, fact.object)
    if fact.type == "checkout.deleted":
        return _on_checkout_deleted(purchase, fact.object)
    if fact.type == "source.chargeable" and purchase.state is State.HELD:
        return calls.recheck(purchase, "event.source_chargeable", "PLATFORM §6.1")
    if fact.type == "customer.updated" and purchase.state is State.HELD:
        if fact.object.get("enabled") is False:
            return calls.recheck(purchase, "event.customer_disabled", "PLATFORM §6.1")
        return ignore(purchase, "event.nothing_new", "PLATFORM §6.1")
    if fact.type == "customer.source.deleted" and purchase.state is State.HELD:
        return calls.recheck(purchase, "event.source_deleted", "PLATFORM §6.1")
    return ignore(purchase, "event.no_rule", "PLATFORM §6.1", type=fact.type)


def _on_opened_elsewhere(purchase: Purchase, checkout: dict[str, Any]) -> Decision:
    """A checkout with our mark that the chain does not use is an orphan of a lost answer."""
    marked = str(value_at(checkout, f"metadata.{MARK}") or "")
    slot = marked.removeprefix(f"{purchase.id}/")
    if slot == marked or not slot.isdigit() or int(slot) >= len(purchase.chain):
        return ignore(purchase, "event.nothing_new", "PLATFORM §6.2")
    return replacement.delete_orphan(purchase, str(checkout.get("id") or ""))


def _on_checkout_updated(purchase: Purchase, checkout: dict[str, Any]) -> Decision:
    """Perhaps the hold is over; the snapshot may be old, so read, unless it says the same."""
    current = checkout.get("id") == purchase.current.checkout_id
    if purchase.state not in (State.HELD, State.UNKNOWN) or not current:
        return ignore(purchase, "event.not_held", "PLATFORM §6.2")
    if purchase.state is State.UNKNOWN:
        return Decision(change(purchase, stale=True), "event.checkout_updated", "PLATFORM §6.1")
    session = value_at(checkout, "payment.session.state")
    if purchase.reason is Reason.PAYMENT_REQUIRED and session == "requires_source":
        return ignore(purchase, "event.nothing_new", "PLATFORM §6.2")
    return calls.recheck(purchase, "event.checkout_updated", "PLATFORM §6.1")


def _on_checkout_deleted(purchase: Purchase, checkout: dict[str, Any]) -> Decision:
    """Nothing will come of a hold on a checkout that is gone: read, and let a person know."""
    current = checkout.get("id") == purchase.current.checkout_id
    if purchase.state is not State.HELD or not current:
        return ignore(purchase, "event.not_held", "PLATFORM §6.2")
    return calls.recheck(purchase, "event.checkout_deleted", "PLATFORM §6.1")


def _on_timer(purchase: Purchase, fact: TimerFired, moment: Moment, policy: Policy) -> Decision:
    if fact.name == "deadline":
        return _on_deadline(purchase, fact)
    if fact.name == SILENCE:
        return _on_silence(purchase, fact, moment, policy)
    if fact.key != purchase.awaiting:
        return ignore(purchase, "timer.hold_ended", "DESIGN, timers", timer=fact.name)
    if purchase.state is State.UNKNOWN:
        return unknown.look(purchase, "timer.look", moment)
    if purchase.state in (State.PENDING, State.REVIEW) and purchase.order:
        return order_events.look_again(purchase, purchase.order)
    reading, commands = read(purchase)
    return Decision(reading, f"timer.{fact.name}", "DESIGN, timers", commands)


def _on_deadline(purchase: Purchase, fact: TimerFired) -> Decision:
    """The patience has ended (`handlers.waiting`)."""
    due = purchase.deadline
    if fact.hold != purchase.hold or not due:
        return ignore(purchase, "timer.hold_ended", "DESIGN, timers", timer=fact.name)
    match waits(purchase).end:
        case End.REFRESH if purchase.order:
            return provider.refresh(purchase, purchase.order.id, "timer.redirect", provider.OVERDUE)
        case End.ALERT:
            waiting = change(purchase, deadline=None)
            return Decision(waiting, "timer.pending_too_long", "I6", alert="pending_too_long")
        case End.REVIEW:  # not the shopper's fault, and money may move
            waiting = end(purchase, State.REVIEW, Reason.UNDECIDED, "order.checking")
            return Decision(waiting, "timer.in_flight", "PLATFORM §3.1", alert="in_flight_too_long")
        case End.LOOK_THEN_EXPIRE:  # a webhook may be lost: `reading.expire` if it shows nothing
            return calls.recheck(purchase, "timer.last_look", "I6")
        case End.EXPIRE:
            return submission.expired(purchase)
        case _:
            return ignore(purchase, "timer.hold_ended", "DESIGN, timers", timer=fact.name)


def _on_silence(purchase: Purchase, fact: TimerFired, moment: Moment, policy: Policy) -> Decision:
    """Nothing came for a while: read, unless that is under way, and look again later."""
    if purchase.state is not State.HELD or fact.hold != purchase.hold:
        return ignore(purchase, "timer.hold_ended", "DESIGN, timers", timer=fact.name)
    following = following_look(purchase, fact, moment.now, policy)
    if purchase.awaiting:
        return Decision(purchase, "timer.looking_already", "I6", following)
    looking, commands = read(purchase)
    return Decision(looking, "timer.silence", "I6", (*commands, *following))


def _on_ended(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    match fact.command:
        case ReadCheckout():
            return reading.on_read(purchase, fact, moment, policy)
        case AttachSource() if crediting.ours(purchase, fact):
            return crediting.on_attached(purchase, fact, moment, policy)
        case UpdateCheckout() | AttachSource():
            return changes.on_changed(purchase, fact, moment, policy)
        case Submit():
            return submission.on_ended(purchase, fact, moment, policy)
        case FindOrders() if fact.key == purchase.awaiting:
            return unknown.on_looked(purchase, fact, moment, policy)
        case OpenCheckout():
            return replacement.on_opened(purchase, fact, moment, policy)
        case FindCheckout():
            return replacement.on_found(purchase, fact, moment, policy)
        case ReadOrder() | RefreshOrder() | InspectOrder():
            return order_events.on_read(purchase, fact, moment, policy)
        case CancelOrder():
            return stale.on_cancelled(purchase, fact, moment, policy)
        case SaveSource():
            return paying.on_saved(purchase, fact, moment, policy)
        case CreateCredit():
            return crediting.on_created(purchase, fact, moment, policy)
        case DetachSource():
            return crediting.on_detached(purchase, fact, moment, policy)
        case FindOrders() | DeleteCheckout() | Wake():
            return ignore(purchase, "result.not_awaited", "I7")
        case _:
            assert_never(fact.command)
