"""What shoppers and storefronts ask for."""

from datetime import datetime

from handlers import chain, provider, stale, step_up, submission
from handlers.asks import for_another_source
from handlers.credits import acknowledged
from handlers.decision import Decision, Moment, ignore
from handlers.links import noted
from handlers.moves import change, check, read
from handlers.orders import live_orders
from handlers.paths import merged, value_at
from handlers.policy import Policy
from handlers.refusals import refusal
from handlers.rejection import SOURCE_FAULT
from handlers.saved import declined
from schemas.commands import Planned, ReadOrder
from schemas.facts import (
    CancelRequested,
    CheckoutCorrected,
    PurchaseRequested,
    ShopperReturned,
    SourceChosen,
    TotalConfirmed,
)
from schemas.money import Money
from schemas.purchase import Condition, Fault, Purchase, Reason, State


def on_requested(purchase: Purchase, fact: PurchaseRequested, moment: Moment) -> Decision:
    """A confirming call of the storefront: the first, a repeated one, or with a new checkout."""
    request = fact.request
    if request.checkout_id not in purchase.checkout_ids:
        return _on_other_checkout(purchase, fact, moment)
    if purchase.observed:
        return _claimed(purchase, fact, moment)
    if request.checkout_id != purchase.current.checkout_id:
        return ignore(purchase, "request.former_checkout", "DESIGN, HTTP")
    if purchase.state not in (State.HELD, State.UNKNOWN):
        return ignore(purchase, "request.nothing_to_do", "DESIGN, HTTP")
    confirmed = _confirmed(purchase, request.confirmed_total, _present_at(fact, moment))
    back = request.submits == "merchant" and purchase.state is State.HELD
    confirmed = change(
        noted(confirmed, request.create_request),
        faults=_but_the_source(purchase),
        submits=request.submits,
        permit=None if back else purchase.permit,  # an open one: its answer may still come
        create_request=request.create_request or purchase.create_request,
    )
    if purchase.state is State.UNKNOWN:
        return Decision(confirmed, "request.confirmed", "I12")
    return _checked(confirmed, "request.check", "DESIGN, HTTP")


def _claimed(purchase: Purchase, fact: PurchaseRequested, moment: Moment) -> Decision:
    """The storefront hands over what we only observed: from now on it is remedied too."""
    request, rule = fact.request, "request.claimed"
    confirmed = _confirmed(purchase, request.confirmed_total, _present_at(fact, moment))
    claimed = change(
        confirmed,
        observed=False,
        submits=request.submits,
        create_request=request.create_request or purchase.create_request,
    )
    if purchase.state is State.HELD:
        return _checked(claimed, rule, "DESIGN, ADOPT")
    planned = tuple(
        Planned(
            key=f"{purchase.id}/order/{order.id}/claim/{purchase.version}",
            command=ReadOrder(order_id=order.id),
        )
        for order in live_orders(purchase)
    )
    return Decision(claimed, rule, "DESIGN, ADOPT", planned)


def _on_other_checkout(purchase: Purchase, fact: PurchaseRequested, moment: Moment) -> Decision:
    """The storefront brought a new checkout for the same upstream id: it joins the chain."""
    if purchase.state in (State.SUBMITTING, State.UNKNOWN) or step_up.silent(purchase):
        waiting = change(purchase, waiting_request=fact.request)
        return Decision(waiting, "request.waits", "DESIGN, HTTP")
    if purchase.state is not State.HELD:
        return ignore(purchase, "request.not_now", "DESIGN, HTTP")
    joined = chain.joined(purchase, fact.request, _present_at(fact, moment))
    checked, commands = check(joined)
    return Decision(checked, "request.joined", "DESIGN, HTTP", commands)


def _present_at(fact: PurchaseRequested, moment: Moment) -> datetime:
    """When the shopper confirmed; an event may have been on its way for days."""
    return min(fact.confirmed_at or moment.at, moment.at)


def _confirmed(purchase: Purchase, total: Money | None, at: datetime) -> Purchase:
    """The shopper is present (I12); without a total they agree to none (I11)."""
    latest = max(at, purchase.confirmed_at)
    return change(
        purchase,
        confirmed=total or purchase.confirmed,
        confirmed_at=latest,
        credits=acknowledged(purchase),
    )


def _but_the_source(purchase: Purchase) -> tuple[Fault, ...]:
    """The shopper's word about how to pay: a source that was refused before is forgotten."""
    return tuple(fault for fault in purchase.faults if fault.path != SOURCE_FAULT)


def _checked(purchase: Purchase, rule: str, source: str) -> Decision:
    """Check now, or leave it to the replacement that is already under way."""
    if purchase.current.condition is not Condition.OPEN and purchase.awaiting:
        return Decision(purchase, rule, source)
    checked, commands = check(purchase)
    return Decision(checked, rule, source, commands)


def on_source(purchase: Purchase, fact: SourceChosen, moment: Moment, policy: Policy) -> Decision:
    """The shopper chose a source: attach it and pass the gate, unless it was declined for good."""
    if refused := refusal(purchase, fact):
        return ignore(purchase, "call.not_now", "DESIGN, HTTP", detail=refused.detail)
    request = fact.request
    if declined(purchase, request.source_id):
        return _declined_before(purchase, moment, policy)
    changes = purchase.wanted_changes
    if request.browser_ip:
        changes = merged(changes, {"browserIp": request.browser_ip})
    chosen = change(
        _confirmed(purchase, request.confirmed_total, moment.at),
        wanted_source=request.source_id,
        save_source=request.save_to_customer,
        faults=_but_the_source(purchase),
        wanted_changes=changes,
        notice=None,
    )
    return _checked(chosen, "call.source_chosen", "PLATFORM §5.2")


def _declined_before(purchase: Purchase, moment: Moment, policy: Policy) -> Decision:
    held, commands = for_another_source(purchase, moment, policy)
    return Decision(held, "call.source_declined_before", "I9", commands)


def on_corrected(purchase: Purchase, fact: CheckoutCorrected, moment: Moment) -> Decision:
    """The shopper corrected fields: update this checkout, or open one that has them."""
    if refused := refusal(purchase, fact):
        return ignore(purchase, "call.not_now", "DESIGN, HTTP", detail=refused.detail)
    changes = fact.request.checkout
    corrected = change(
        _confirmed(purchase, fact.request.confirmed_total, moment.at),
        wanted_changes=merged(purchase.wanted_changes, changes),
        faults=tuple(f for f in purchase.faults if not _covers(changes, f)),
    )
    return _checked(corrected, "call.corrected", "PLATFORM §5.3")


def _covers(changes: dict[str, object], fault: Fault) -> bool:
    """Whether the correction says anything about where the fault is."""
    path = fault.path.removeprefix("?.")
    if fault.path.startswith("?."):
        return any(value_at(changes, f"{party}.{path}") for party in ("shipTo", "billTo"))
    root = path.split(".")[0]
    value = changes.get(root)
    return value is not None and (
        not isinstance(value, dict) or value_at(changes, path) is not None
    )


def on_confirmed(purchase: Purchase, fact: TotalConfirmed, moment: Moment) -> Decision:
    """The shopper agreed to the total as it is now (I11)."""
    if refused := refusal(purchase, fact):
        return ignore(purchase, "call.not_now", "DESIGN, HTTP", detail=refused.detail)
    return _checked(_confirmed(purchase, fact.request.total, moment.at), "call.confirmed", "I11")


def on_returned(purchase: Purchase, fact: ShopperReturned) -> Decision:
    """The shopper is back: ask the platform how the provider's page or the step-up ended (§5.6)."""
    if refused := refusal(purchase, fact):
        return ignore(purchase, "call.not_now", "DESIGN, HTTP", detail=refused.detail)
    if purchase.state is State.HELD:
        return recheck(purchase, "call.returned", "PLATFORM §5.6")
    if purchase.state is State.PENDING and purchase.order and not purchase.replacing:
        how = provider.AGAIN if provider.refreshing(purchase) else provider.REFRESHED
        return provider.refresh(purchase, purchase.order.id, "call.returned", how)
    return ignore(purchase, "call.returned_before", "PLATFORM §5.6")


def on_cancel(purchase: Purchase, fact: CancelRequested) -> Decision:
    """Nothing is promised while an order may exist."""
    if refused := refusal(purchase, fact):
        return ignore(purchase, "call.not_now", "DESIGN, HTTP", detail=refused.detail)
    if purchase.state is State.LOST:
        return ignore(purchase, "call.cancelled_before", "DESIGN, cancel")
    cancelling = change(purchase, cancel_requested=True)
    if live := live_orders(purchase):
        return stale.take_back(cancelling, live[-1], "call.take_back")
    if purchase.state is State.SUBMITTING or purchase.unsettled_since:
        return Decision(cancelling, "call.cancel_recorded", "DESIGN, cancel")
    return submission.cancelled(cancelling, "call.cancelled")


def recheck(purchase: Purchase, rule: str, source: str) -> Decision:
    """Something changed at the platform: look again, or after the look that is under way."""
    polling = purchase.reason is Reason.IN_FLIGHT  # what is awaited then is mostly a timer
    if purchase.awaiting and not polling:
        return Decision(change(purchase, stale=True), rule, source)
    reading, commands = read(purchase)
    return Decision(reading, rule, source, commands)
