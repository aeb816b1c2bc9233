"""An order that can't be paid any more: proven not to be paid, cancelled, read back, replaced (I5).

PLATFORM §5.6, stale-order hygiene: before a replacement is submitted the old order must have been
read as cancelled or blocked, or it may still be paid, and the shopper pays twice.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from handlers import declines
from handlers.credits import refuse_all
from handlers.decision import Decision, Moment, ignore
from handlers.matrix import MONEY_CHARGES, MONEY_SESSIONS, charges_failed
from handlers.moves import (
    again,
    backoff,
    change,
    check,
    end,
    enter,
    later,
    patience,
    step,
    wake,
)
from handlers.policy import Policy
from handlers.tables import Action, remedy_for
from schemas.commands import CancelOrder, InspectOrder, Line, ReadOrder
from schemas.facts import CommandEnded
from schemas.platform import Source
from schemas.purchase import OrderRecord, Purchase, Reason, State
from schemas.results import NeverSent, PlatformProblem, Rejected, Succeeded, Unavailable

MOST_READS = 4  # of a cancel that was taken, until the read shows it
DONE_BEFORE = ("order_cancelled", "item_cancelled")  # a refusal that says that it is done
WAITED_FOR = frozenset({"redirect", "receiver"})  # flows whose source is chargeable once paid
SOURCES: TypeAdapter[tuple[Source, ...]] = TypeAdapter(tuple[Source, ...])


def begin(purchase: Purchase, order: OrderRecord, rule: str) -> Decision:
    """The order can't be recovered: look whether money is on its way before it is cancelled."""
    if purchase.replacing == order.id and purchase.awaiting:
        return ignore(purchase, "order.being_replaced", "I5")
    waiting = enter(purchase, State.PENDING, Reason.PROCESSING, message="order.processing")
    waiting = change(waiting, replacing=order.id)
    return _inspect(waiting, order.id, rule)


def _inspect(purchase: Purchase, order_id: str, rule: str) -> Decision:
    key = f"{purchase.id}/order/{order_id}/inspect/{purchase.step}"
    inspecting, commands = step(purchase, InspectOrder(order_id=order_id), key=key)
    return Decision(inspecting, rule, "PLATFORM §5.6", commands)


def on_the_way(order: OrderRecord, sources: Iterable[Source]) -> bool:
    """Whether the order's money may still come: then it is awaited and not cancelled (I5).

    A card's source is chargeable for ever; only one that somebody had to pay first tells.
    """
    if {charge.state for charge in order.charges} & MONEY_CHARGES:
        return True
    if order.session_state in MONEY_SESSIONS and not charges_failed(order):
        return True
    if order.session_state in ("failed", "cancelled") or charges_failed(order):
        return False
    paid = (s for s in sources if s.type != "customerCredit" and s.state == "chargeable")
    return any(source.flow is None or source.flow in WAITED_FOR for source in paid)


def readable_sources(listed: Any) -> tuple[Source, ...]:
    """The sources of an inspection; one that can't be read is left out."""
    found: list[Source] = []
    for document in listed if isinstance(listed, list) else ():
        try:
            found += SOURCES.validate_python((document,))
        except ValidationError:
            continue
    return tuple(found)


def await_money(purchase: Purchase, moment: Moment, policy: Policy) -> Decision:
    """Money is on its way: wait for the order to say so, and look now and then."""
    free = change(purchase, replacing=None)
    waiting = enter(free, State.PENDING, Reason.PROCESSING, message="order.processing")
    waiting, timers = patience(waiting, moment, policy)
    lasted = moment.now - (waiting.deadline or moment.now) + policy.pending_patience
    pause = min(max(lasted, policy.money_look), policy.pending_look)
    waiting, commands = wake(waiting, "order", moment.now + pause)
    return Decision(waiting, "order.money_on_its_way", "I5", (*commands, *timers))


def cancel(purchase: Purchase, order: OrderRecord) -> Decision:
    """No money is on its way: cancel all of it (PLATFORM §5.6)."""
    cancelling, commands = step(
        purchase, _cancel_all(order), key=f"{purchase.id}/order/{order.id}/cancel"
    )
    return Decision(cancelling, "order.cancel_stale", "PLATFORM §5.6", commands)


def take_back(purchase: Purchase, order: OrderRecord, rule: str) -> Decision:
    """The shopper no longer wants it: cancel it, and promise nothing before it is read."""
    waiting = enter(purchase, State.PENDING, Reason.PROCESSING, message="order.processing")
    waiting, commands = step(
        waiting, _cancel_all(order), key=f"{purchase.id}/order/{order.id}/cancel"
    )
    return Decision(waiting, rule, "PLATFORM §5.6", commands)


def _cancel_all(order: OrderRecord) -> CancelOrder:
    lines = tuple(Line(item_id=item.id, quantity=item.quantity or 1) for item in order.items)
    return CancelOrder(order_id=order.id, lines=lines)


def on_cancelled(
    purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy
) -> Decision:
    """`POST /fulfillments` was answered. Only a read proves the cancel (PLATFORM §5.6).

    The key of that read tells how the cancel was answered: taken, refused or not at all.
    """
    assert isinstance(fact.command, CancelOrder)
    order_id = fact.command.order_id
    if order_id != purchase.replacing and not purchase.cancel_requested:
        return ignore(purchase, "order.cancel_needless", "I5")
    match fact.result:
        case Unavailable(retry_after=seconds):
            due = later(moment, seconds or backoff(policy.retry_after, fact.attempt))
            return Decision(purchase, "order.cancel_later", "PLATFORM §5.6", again(fact, due))
        case NeverSent():
            return _inspect(purchase, order_id, "order.inspect_again")
        case Succeeded():
            return _read_back(purchase, order_id, f"taken/{fact.attempt}")
        case Rejected() as refused if refused.first.code in DONE_BEFORE:
            return _read_back(purchase, order_id, f"taken/{fact.attempt}")
        case Rejected():
            return _read_back(purchase, order_id, f"refused/{fact.attempt}")
        case _:
            return _read_back(purchase, order_id, f"unclear/{fact.attempt}")


def _read_back(purchase: Purchase, order_id: str, how: str) -> Decision:
    key = f"{purchase.id}/order/{order_id}/cancelled/{how}"
    reading, commands = step(purchase, ReadOrder(order_id=order_id), key=key)
    return Decision(reading, "order.read_back", "PLATFORM §5.6", commands)


def lags(fact: CommandEnded) -> bool:
    """Whether the read after a cancel that was taken may still be older than the cancel."""
    return "/cancelled/taken/" in fact.key and fact.attempt < MOST_READS


def not_gone(
    purchase: Purchase, order: OrderRecord, fact: CommandEnded, moment: Moment, policy: Policy
) -> Decision:
    """The order was read after its cancel, and it is still there."""
    seen = {"order": order.id, "state": order.state}
    how = fact.key.rpartition("/cancelled/")[2].partition("/")[0]
    if lags(fact):
        due = later(moment, backoff(policy.look_after, fact.attempt))
        return Decision(purchase, "order.not_cancelled_yet", "PLATFORM §5.6", again(fact, due))
    if how == "unclear" and int(fact.key.rpartition("/")[2]) < MOST_READS:
        return replace(cancel(purchase, order), rule="order.cancel_again")
    refused = end(purchase, State.REVIEW, Reason.STALE_ORDER, "order.processing")
    looking, commands = wake(refused, "order", moment.now + policy.review_look)
    return Decision(
        *(looking, "order.cancel_refused", "I5", commands), evidence=seen, alert="stale_order"
    )


def still_there(purchase: Purchase, moment: Moment, policy: Policy) -> Decision:
    """A person has it, and it neither was paid nor has gone: look again tomorrow."""
    looking, commands = wake(purchase, "order", moment.now + policy.review_look)
    return Decision(looking, "order.still_stale", "I5", commands)


def recover(purchase: Purchase, order: OrderRecord, policy: Policy) -> Decision:
    """The order is over because it was not paid: the shopper pays on a new checkout.

    Its source was declined as its charge says; what no rejection may lead to another try of
    ends here too (I9).
    """
    row = remedy_for(purchase, _as_rejection(order), policy.table)
    free = change(purchase, order=None, replacing=None, returns=0, permit=None, wanted_source=None)
    free = declined(free, order, policy)
    if order.source_id is None:
        free = refuse_all(free)  # credit alone paid, in vain: the shopper is asked
    if row.action is Action.END:
        return Decision(end(free, State.LOST, Reason.FRAUD, "order.failed"), "order.final", "I9")
    if purchase.cancel_requested:
        lost = end(free, State.LOST, Reason.CANCELLED, "order.cancelled")
        return Decision(lost, "order.cancelled", "DESIGN, cancel")
    if purchase.attempts >= policy.max_submissions:
        lost = end(free, State.LOST, Reason.EXHAUSTED, "order.failed")
        return Decision(lost, "order.exhausted", "I9")
    checking, commands = check(change(free, notice=row.message))
    return Decision(checking, "order.replace", "PLATFORM §5.6", commands)


def declined(purchase: Purchase, order: OrderRecord, policy: Policy) -> Purchase:
    """The purchase with the sources whose charges failed; one that was abandoned was not
    declined."""
    again = remedy_for(purchase, _as_rejection(order), policy.table).again
    failed = [charge for charge in order.charges if charge.state == "failed"]
    for id in sorted({id for charge in failed if (id := charge.source_id or order.source_id)}):
        purchase = declines.noted(purchase, id, again)
    return purchase


def _as_rejection(order: OrderRecord) -> Rejected:
    """A charge that failed later, in the words of one that failed at once (PLATFORM §5.8)."""
    codes = [charge.failure_code for charge in order.charges if charge.state == "failed"]
    problems = tuple(PlatformProblem(code=code) for code in codes if code)
    return Rejected(status=409, problems=problems or (PlatformProblem(code="failed-request"),))
