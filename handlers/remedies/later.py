"""After an order was accepted: what is told, and what is never remedied by a second order.

PLATFORM §5.11. The platform itself repeats captures for up to 30 days.
"""

from dataclasses import dataclass

from handlers.remedies.words import Action, Remedy
from schemas.purchase import Reason

SOURCE = "PLATFORM §5.11"


@dataclass(frozen=True, slots=True)
class LaterRow:
    """An event about an accepted order, what it says, and the events after which it is over."""

    event: str
    reason: Reason
    then: Remedy
    over: tuple[str, ...] = ()


TOLD = Remedy(Action.TELL, "order.trouble", SOURCE, "order.accepted")
LATER = (
    LaterRow(
        *("order.charge.capture.failed", Reason.CAPTURE_FAILED, TOLD),
        over=("order.charge.capture.complete", "order.charge.capture.completed"),
    ),
    LaterRow("order.charge.reauth.failed", Reason.REAUTHORIZATION_FAILED, TOLD),
    LaterRow("order.dispute", Reason.DISPUTED, TOLD, over=("order.dispute.resolved",)),
    LaterRow("order.chargeback", Reason.CHARGEBACK, TOLD),
)
