"""What goes wrong with an order after it was accepted (PLATFORM §5.11). It is told, not remedied.

The platform itself repeats captures for up to 30 days; nothing of ours makes a second order.
"""

from handlers.remedies.later import LATER
from schemas.platform import Order
from schemas.purchase import Reason

# Event type -> what it says of the order, and what it says is over. Synonyms: PLATFORM §6.1.
TROUBLES: dict[str, Reason] = {row.event: row.reason for row in LATER}
ENDS: dict[str, Reason] = {event: row.reason for row in LATER for event in row.over}


def trouble_told(type: str, known: Reason | None) -> Reason | None:
    """What is wrong with an order after an event of this type. A chargeback is never over."""
    if type in TROUBLES and known is not Reason.CHARGEBACK:
        return TROUBLES[type]
    return None if ENDS.get(type) is known else known


def trouble_read(order: Order, known: Reason | None) -> Reason | None:
    """What is wrong with an order as read: events may be lost, and a read shows less than they."""
    if known is Reason.CHARGEBACK:
        return known
    if order.state == "dispute":
        return Reason.DISPUTED
    if known is Reason.DISPUTED and order.state is not None:
        known = None  # it was resolved
    captures = {c.captures[-1].state for c in order.payment.charges if c.captures}
    states = {charge.state for charge in order.payment.charges}
    if "failed" in captures or (states and states == {"failed"}):
        return Reason.CAPTURE_FAILED
    if known is Reason.CAPTURE_FAILED and "complete" in captures:
        return None
    return known
