"""Before an order is placed: what the session of the checkout, as read, allows (PLATFORM §3.1).

Only `requires_confirmation` with nothing left to pay is ever submitted (I1); a free order without
anything recurring may be, once, from `requires_source` (§3.4).
"""

from dataclasses import dataclass

from handlers.remedies.words import Action, Remedy

SOURCE = "PLATFORM §3.1"


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A row by session state; None is any other. `sources`: whether any source is attached."""

    states: frozenset[str] | None
    then: Remedy
    sources: bool | None = None

    def covers(self, state: str | None, *, sources: bool) -> bool:
        """Whether a session like this is of this row."""
        return (self.states is None or state in self.states) and self.sources in (None, sources)


READY = "requires_confirmation"
WAITING = frozenset(
    {
        *("confirmed", "processing", "chargeable", "pending_redirect", "pending_funds"),
        *("pending", "complete"),
    }
)
BROKEN = frozenset({"failed", "cancelled"})
PAY = Remedy(Action.COLLECT, "gate.payment_required", SOURCE, "payment.required")
SHORT = Remedy(Action.TOP_UP, "gate.payment_incomplete", "PLATFORM §3.2", "payment.incomplete")
STEP = Remedy(Action.STEP_UP, "gate.step_up", SOURCE, "payment.confirm_with_bank")
AFRESH = Remedy(Action.COLLECT, "gate.session_broken", SOURCE, "payment.choose_another")
IN_FLIGHT = Remedy(Action.WATCH, "gate.session_in_flight", SOURCE, "order.checking")
ODD = Remedy(Action.WATCH, "gate.session_state_unknown", SOURCE, "order.checking", known=False)
SESSIONS = (
    SessionRow(frozenset({READY}), Remedy(Action.SUBMIT, "gate.passed", "PLATFORM §3.2",
                                          "order.checking")),
    SessionRow(frozenset({"requires_source"}), PAY, sources=False),
    SessionRow(frozenset({"requires_source"}), SHORT, sources=True),
    SessionRow(frozenset({"requires_action"}), STEP),
    SessionRow(WAITING, IN_FLIGHT),
    SessionRow(BROKEN, AFRESH),
    SessionRow(None, ODD),
)  # fmt: skip


def session_row(state: str | None, *, sources: bool) -> SessionRow:
    """The one row for a session."""
    return next(row for row in SESSIONS if row.covers(state, sources=sources))
