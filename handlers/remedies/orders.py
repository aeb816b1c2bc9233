"""What an order means, as read: the 201 matrix (PLATFORM §4.1, §5.6, §5.7, §5.11).

The same rows hold for an order that was created, found, refreshed or told of. The first that
covers an order counts.
"""

from dataclasses import dataclass
from enum import StrEnum

from handlers.remedies.words import Action, Remedy

SOURCE = "PLATFORM §4.1"


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
    REFUSED = "refused"  # cancelled, and never offered again
    UNPAID = "unpaid"  # cancelled because its payment failed
    CANCELLED = "cancelled"  # somebody ended it
    UNKNOWN = "unknown"  # a state or a session never heard of


class Ending(StrEnum):
    """Why a cancelled order ended (PLATFORM §2.9, §5.11)."""

    FRAUD = "fraud"
    UNPAID = "unpaid"  # its payment failed or expired, or it was cancelled at once
    SOMEBODY = "somebody"


@dataclass(frozen=True, slots=True)
class OrderRow:
    """A row of the matrix by its number in PLATFORM §4.1; None is any.

    `page`: the session names a page to send the shopper to. `charges_failed`: a charge failed and
    none is left that may bring the money.
    """

    number: int
    states: frozenset[str] | None
    sessions: frozenset[str] | None
    meaning: Meaning
    then: Remedy
    page: bool | None = None
    charges_failed: bool | None = None
    ending: Ending | None = None

    def covers(
        self,
        state: str | None,
        session: str | None,
        *,
        page: bool = False,
        charges_failed: bool = False,
        ending: Ending = Ending.SOMEBODY,
    ) -> bool:
        """Whether an order like this is of this row."""
        return (
            (self.states is None or state in self.states)
            and (self.sessions is None or session in self.sessions)
            and self.page in (None, page)
            and self.charges_failed in (None, charges_failed)
            and self.ending in (None, ending)
        )


def _to(action: Action, rule: str, message: str, source: str = SOURCE) -> Remedy:
    return Remedy(action, rule, source, message)


ACCEPTED = frozenset({"accepted"})
REVIEWED = frozenset({"in_review", "pending_review"})
PENDING = frozenset({"pending_payment"})
BLOCKED = frozenset({"blocked"})
CANCELLED = frozenset({"cancelled"})
LATER = frozenset({"fulfilled", "complete", "returned", "dispute"})
REDIRECTED = frozenset({"pending_redirect"})
# PLATFORM §3.1: every session state there is, those of rows 3 to 7 apart.
OTHER_SESSIONS = frozenset(
    {
        *("requires_source", "requires_confirmation", "requires_action", "failed", "cancelled"),
        *("confirmed", "processing", "chargeable", "complete"),
    }
)
FAILED = _to(Action.CANCEL, "order.not_paid", "order.processing", "PLATFORM §5.6")
M = Meaning
MATRIX = (
    OrderRow(1, ACCEPTED, None, M.PLACED, _to(Action.SOLD, "order.accepted", "order.accepted")),
    OrderRow(
        *(2, REVIEWED, None, M.REVIEW),
        _to(Action.AWAIT, "order.in_review", "order.processing"),
    ),
    OrderRow(8, PENDING, None, M.FAILED, FAILED, charges_failed=True),
    OrderRow(
        *(3, PENDING, REDIRECTED, M.REDIRECT),
        _to(Action.SEND, "order.redirect", "payment.redirect", "PLATFORM §5.6"),
        page=True,
    ),
    OrderRow(
        *(4, PENDING, REDIRECTED, M.NO_PAGE),
        _to(Action.REFRESH, "order.no_page", "order.processing"),
        page=False,
    ),
    OrderRow(
        *(5, PENDING, frozenset({"pending_funds"}), M.FUNDS),
        _to(Action.INSTRUCT, "order.funds", "payment.instructions", "PLATFORM §5.7"),
    ),
    OrderRow(
        *(7, PENDING, frozenset({"pending"}), M.PROCESSING),
        _to(Action.AWAIT, "order.processing", "order.processing"),
    ),
    OrderRow(8, PENDING, OTHER_SESSIONS, M.FAILED, FAILED),
    OrderRow(9, BLOCKED, None, M.BLOCKED, _to(Action.END, "order.ended", "order.failed")),
    OrderRow(
        *(10, CANCELLED, None, M.REFUSED),
        _to(Action.END, "order.final", "order.failed", "PLATFORM §2.9"),
        ending=Ending.FRAUD,
    ),
    OrderRow(
        *(10, CANCELLED, None, M.UNPAID),
        _to(Action.NEW_CHECKOUT, "order.replace", "payment.declined", "PLATFORM §5.11"),
        ending=Ending.UNPAID,
    ),
    OrderRow(
        *(10, CANCELLED, None, M.CANCELLED),
        _to(Action.CLOSED, "order.cancelled", "order.cancelled", "PLATFORM §5.11"),
        ending=Ending.SOMEBODY,
    ),
    OrderRow(11, LATER, None, M.PLACED, _to(Action.SOLD, "order.accepted", "order.accepted")),
    OrderRow(
        *(12, None, None, M.UNKNOWN),
        Remedy(Action.PERSON, "order.state_unknown", SOURCE, "order.processing", known=False),
    ),
)
