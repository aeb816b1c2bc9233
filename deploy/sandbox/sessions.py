"""Payment session of a checkout: its state, its amounts, the gate (PLATFORM §3.1, §3.2)."""

from decimal import Decimal

from .model import Checkout, Json, Session


def contributed(checkout: Checkout) -> Decimal:
    return sum(checkout.shares.values(), Decimal(0))


def remaining(checkout: Checkout, total: Decimal) -> Decimal:
    return max(Decimal(0), total - contributed(checkout))


def state(checkout: Checkout, total: Decimal) -> str:
    """A zero total needs no source (SANDBOX-CHOICE of PLATFORM §3.4)."""
    session = checkout.session
    if session.forced or session.settled:
        return str(session.forced or session.settled)
    if session.next_action is not None:
        return "requires_action"
    if remaining(checkout, total) > 0:
        return "requires_source"
    return "requires_confirmation"


def ready(checkout: Checkout, total: Decimal) -> bool:
    """The gate of PLATFORM §3.2."""
    return state(checkout, total) == "requires_confirmation" and remaining(checkout, total) == 0


def view(session: Session, state: str, paid: Decimal, open_amount: Decimal) -> Json:
    shown: Json = {
        "id": session.id,
        "amountContributed": float(paid),
        "amountRemainingToBeContributed": float(open_amount),
        "state": state,
        "clientSecret": session.secret,
    }
    if session.next_action is not None:
        shown["nextAction"] = session.next_action
    return shown
