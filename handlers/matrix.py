"""What an order's state says about its purchase: the 201 matrix (PLATFORM §4.1), as data.

The same rows hold for an order that was created, found, refreshed or told of.
"""

from dataclasses import dataclass
from enum import StrEnum

from schemas.purchase import OrderRecord


class Meaning(StrEnum):
    """What an order is to its purchase."""

    PLACED = "placed"  # sold; a purchase ends here
    REVIEW = "review"  # somebody looks at it: wait, neither retry nor fulfil
    REDIRECT = "redirect"  # the shopper is to be sent to the provider
    NO_PAGE = "no_page"  # so it says, but names no page
    FUNDS = "funds"  # waits for pushed money
    PROCESSING = "processing"  # the shopper is done, the provider is not
    FAILED = "failed"  # can't be paid any more, but is not over either
    BLOCKED = "blocked"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"  # a state or a session never heard of


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the matrix by its number in PLATFORM §4.1. `None`: any session, page or not."""

    number: int
    states: frozenset[str]
    sessions: frozenset[str] | None
    page: bool | None
    meaning: Meaning

    def covers(self, order: OrderRecord, page: bool) -> bool:
        """Whether the order is of this row; `page`: its session names one to be sent to."""
        return (
            order.state in self.states
            and (self.sessions is None or order.session_state in self.sessions)
            and self.page in (None, page)
        )


PENDING = frozenset({"pending_payment"})
# PLATFORM §3.1: every session state there is, those of rows 3 to 7 apart.
OTHER_SESSIONS = frozenset(
    {
        *("requires_source", "requires_confirmation", "requires_action", "failed", "cancelled"),
        *("confirmed", "processing", "chargeable", "complete"),
    }
)
LATER = frozenset({"fulfilled", "complete", "returned", "dispute"})

# The first that covers an order counts.
MATRIX = (
    Row(1, frozenset({"accepted"}), None, None, Meaning.PLACED),
    Row(2, frozenset({"in_review", "pending_review"}), None, None, Meaning.REVIEW),
    Row(3, PENDING, frozenset({"pending_redirect"}), True, Meaning.REDIRECT),
    Row(4, PENDING, frozenset({"pending_redirect"}), False, Meaning.NO_PAGE),
    Row(5, PENDING, frozenset({"pending_funds"}), None, Meaning.FUNDS),
    Row(7, PENDING, frozenset({"pending"}), None, Meaning.PROCESSING),
    Row(8, PENDING, OTHER_SESSIONS, None, Meaning.FAILED),
    Row(9, frozenset({"blocked"}), None, None, Meaning.BLOCKED),
    Row(10, frozenset({"cancelled"}), None, None, Meaning.CANCELLED),
    Row(11, LATER, None, None, Meaning.PLACED),
)
LOST_CHARGES = frozenset({"failed", "cancelled"})
MONEY_CHARGES = frozenset({"capturable", "processing", "complete"})
MONEY_SESSIONS = frozenset({"pending", "confirmed", "processing", "chargeable", "complete"})


def meaning(order: OrderRecord, *, page: bool) -> Meaning:
    """What the order is; a pending one whose charges have all failed can't be paid (§5.11)."""
    if order.state in PENDING and charges_failed(order):
        return Meaning.FAILED
    return next((row.meaning for row in MATRIX if row.covers(order, page)), Meaning.UNKNOWN)


def charges_failed(order: OrderRecord) -> bool:
    """Whether a charge has failed and none is left that may bring the money."""
    states = {charge.state for charge in order.charges}
    return "failed" in states and states <= LOST_CHARGES


def for_fraud(order: OrderRecord) -> bool:
    """Whether an order was ended for fraud: such a one is never offered recovery (PLATFORM §2.9).

    The one documented value is `fraud`; whatever else has the word in it is taken for it.
    """
    return "fraud" in (order.cancel_reason or "").casefold() or order.fraud_state == "blocked"


def payment_failed(order: OrderRecord) -> bool:
    """Whether an order is over because its payment failed, not because somebody ended it.

    The session tells (PLATFORM §5.11): `failed` after an expired payment, `complete` otherwise.
    """
    return charges_failed(order) or order.session_state in ("failed", "cancelled")
