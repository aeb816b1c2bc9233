"""What is asked of shoppers: the one shape for each kind of question."""

from handlers.decision import Moment
from handlers.moves import change, hold
from handlers.policy import Policy
from handlers.waiting import overdue
from schemas.base import JsonObject
from schemas.commands import Planned
from schemas.purchase import Fault, Purchase, Reason


def collect_payment(checkout_id: str, session_id: str | None) -> JsonObject:
    """Pay on this session."""
    return {"action": "collect_payment", "checkoutId": checkout_id, "sessionId": session_id}


def correct_checkout(faults: tuple[Fault, ...]) -> JsonObject:
    """Correct these fields."""
    fields = [{"path": fault.path, "problem": fault.problem} for fault in faults]
    return {"action": "correct_checkout", "fields": fields}


def for_corrections(
    purchase: Purchase, found: tuple[Fault, ...], moment: Moment, policy: Policy
) -> tuple[Purchase, tuple[Planned, ...]]:
    """Hold until these fields are corrected; they stand until a reading shows other values."""
    known = {fault.path: fault for fault in (*purchase.faults, *found)}
    held, commands = hold(
        *(_renewed(purchase, moment), Reason.CORRECTION_REQUIRED, moment, policy),
        message="checkout.correct",
        next_action=correct_checkout(found),
    )
    return change(held, awaiting=None, faults=tuple(known.values())), commands


def for_another_source(
    purchase: Purchase,
    moment: Moment,
    policy: Policy,
    *,
    message: str = "payment.choose_another",
) -> tuple[Purchase, tuple[Planned, ...]]:
    """Hold until the shopper chooses another source for the current checkout."""
    link = purchase.current
    held, commands = hold(
        *(_renewed(purchase, moment), Reason.PAYMENT_REQUIRED, moment, policy),
        message=message,
        next_action=collect_payment(link.checkout_id, link.session_id),
    )
    return change(held, awaiting=None, wanted_source=None, save_source=False), commands


def _renewed(purchase: Purchase, moment: Moment) -> Purchase:
    """Asked anew after the deadline, while its last look was under way: a hold of its own, since
    that look is no longer awaited."""
    if not overdue(purchase, moment.now):
        return purchase
    return change(purchase, hold=purchase.hold + 1, deadline=None)
