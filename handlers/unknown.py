"""A submission without an answer: look for its order, never guess (I6, PLATFORM §4.4)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from handlers import orders, rejection
from handlers.decision import Decision, Moment, ignore
from handlers.moves import again, backoff, change, check, end, enter, later, read, step, wake
from handlers.order_bodies import parsed
from handlers.policy import Policy
from schemas.commands import FindOrders
from schemas.facts import CommandEnded
from schemas.platform import Order
from schemas.purchase import Purchase, Reason, State
from schemas.results import Rejected, Succeeded, Unavailable


def begin(
    purchase: Purchase, sent_by: datetime, moment: Moment, evidence: Mapping[str, Any]
) -> Decision:
    """The outcome is unknown: take no payment, open no checkout, look at once.

    `sent_by` is the last moment at which the request can have been sent; settling counts from it.
    """
    if purchase.state is State.ACCEPTED:
        return ignore(purchase, "unknown.already_accepted", "I2")
    since = max(purchase.unsettled_since or sent_by, sent_by)
    silent = change(purchase, unsettled_since=since, stuck_told=False)
    return look(silent, "unknown.begin", moment, evidence)


def look(
    purchase: Purchase, rule: str, moment: Moment, evidence: Mapping[str, Any] | None = None
) -> Decision:
    """Look for an order of any checkout of the chain, and under the upstream id."""
    unknown = enter(purchase, State.UNKNOWN, message="order.checking")
    unknown = change(unknown, looked_at=moment.now)
    command = FindOrders(checkout_ids=purchase.checkout_ids, upstream_id=purchase.upstream_id)
    unknown, commands = step(unknown, command)
    return Decision(unknown, rule, "PLATFORM §4.4", commands, evidence=evidence or {})


def on_looked(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    """A look-up has an answer."""
    match fact.result:
        case Succeeded(body=body):
            found = parsed(body.get("orders"))
            return on_found(purchase, found, moment, policy)
        case Unavailable(retry_after=seconds):
            due = later(moment, seconds or backoff(policy.look_after, fact.attempt))
            return Decision(purchase, "unknown.look_later", "PLATFORM §4.4", again(fact, due))
        case Rejected() as refused if rejection.leaves_open(refused):
            return rejection.to_operator(purchase, refused)
        case _:
            due = later(moment, backoff(policy.look_after, fact.attempt))
            return Decision(purchase, "unknown.look_again", "PLATFORM §4.4", again(fact, due))


def on_found(
    purchase: Purchase, found: tuple[Order, ...], moment: Moment, policy: Policy
) -> Decision:
    """An order found ends it; nothing found proves nothing before settling."""
    if decision := orders.adopt(purchase, found, moment, policy):
        if decision.rule != orders.FORMER:
            return decision
        purchase = decision.purchase
    settled_at = _settled_at(purchase, policy)
    if (purchase.looked_at or moment.at) < settled_at:
        return _look_later(purchase, settled_at, moment, policy)
    if purchase.verdict:
        return proven(purchase, moment, policy)
    return _repeat(purchase, moment, policy)


def _settled_at(purchase: Purchase, policy: Policy) -> datetime:
    since = purchase.unsettled_since or purchase.updated_at
    return since + policy.settle


def _look_later(
    purchase: Purchase, settled_at: datetime, moment: Moment, policy: Policy
) -> Decision:
    """Look more and more rarely, and once exactly when the outcome has settled."""
    since = purchase.unsettled_since or moment.at
    elapsed = (moment.now - since).total_seconds()
    delay = next((d for d in policy.look_after if d > elapsed), policy.look_after[-1])
    due = min(later(moment, delay), settled_at)
    waiting, commands = wake(purchase, "look", max(due, moment.now))
    seen = {"orders": 0, "settledAt": settled_at.isoformat()}
    return Decision(waiting, "unknown.not_settled", "PLATFORM §4.4", commands, evidence=seen)


def proven(purchase: Purchase, moment: Moment, policy: Policy) -> Decision:
    """A definite rejection, and proof or a person's word that no order exists: it holds."""
    verdict, permit = purchase.verdict, purchase.permit
    assert verdict is not None
    settled = change(purchase, verdict=None, unsettled_since=None, repeats=0)
    if purchase.cancel_requested:
        lost = end(settled, State.LOST, Reason.CANCELLED, "order.cancelled")
        return Decision(lost, "unknown.cancelled", "DESIGN, cancel")
    if permit is None:  # the merchant's own submission: the next reading tells what it charged
        checked, commands = check(change(settled, verdict=verdict))
        return Decision(checked, "unknown.merchant_rejected", "PLATFORM §4.4", commands)
    return rejection.apply(settled, verdict, permit, moment, policy)


def _repeat(purchase: Purchase, moment: Moment, policy: Policy) -> Decision:
    """Settled without an order and without a no: through the gate again, same checkout."""
    if purchase.cancel_requested:
        lost = end(purchase, State.LOST, Reason.CANCELLED, "order.cancelled")
        return Decision(lost, "unknown.cancelled", "DESIGN, cancel")
    if purchase.submits == "merchant" and purchase.permit:  # ours, handed back meanwhile
        return wait(purchase, "unknown.merchant_submits", moment, policy)
    if purchase.submits == "merchant":  # never repeated by us: gate, and it is its turn again
        checked, commands = check(change(purchase, unsettled_since=None, repeats=0, permit=None))
        return Decision(checked, "unknown.merchants_turn", "PLATFORM §4.4", commands)
    if purchase.repeats >= policy.max_repeats:
        alert = "unknown_given_up" if purchase.repeats == policy.max_repeats else None
        told = change(purchase, repeats=policy.max_repeats + 1)
        return wait(told, "unknown.given_up", moment, policy, alert=alert)
    if moment.now > purchase.confirmed_at + policy.consent_window:
        return stuck(purchase, "unknown.consent_expired", moment, policy)  # I12: looked up only
    reading, commands = read(purchase)
    return Decision(reading, "unknown.repeat", "PLATFORM §4.4", commands)


def stuck(
    purchase: Purchase,
    rule: str,
    moment: Moment,
    policy: Policy,
    *,
    evidence: Mapping[str, Any] | None = None,
) -> Decision:
    """It can't be repeated as it is: a person learns of it, once."""
    alert = None if purchase.stuck_told else "unknown_not_repeatable"
    told = change(purchase, stuck_told=True)
    return wait(told, rule, moment, policy, evidence=evidence, alert=alert)


def wait(
    purchase: Purchase,
    rule: str,
    moment: Moment,
    policy: Policy,
    *,
    evidence: Mapping[str, Any] | None = None,
    alert: str | None = None,
) -> Decision:
    """Nothing to be done but to look now and then, and to listen to order events."""
    due = moment.now + policy.slow_look
    waiting, commands = wake(purchase, "look", due)
    return Decision(
        *(waiting, rule, "PLATFORM §4.4", commands), evidence=evidence or {}, alert=alert
    )
