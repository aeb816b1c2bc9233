"""What an order's state says about its purchase, as the table of remedies has it (PLATFORM §4.1).

The same rows hold for an order that was created, found, refreshed or told of.
"""

from handlers.remedies.orders import MATRIX, PENDING, Ending, Meaning
from schemas.purchase import OrderRecord

__all__ = ["MATRIX", "PENDING", "Ending", "Meaning", "charges_failed", "ending", "meaning"]

LOST_CHARGES = frozenset({"failed", "cancelled"})
MONEY_CHARGES = frozenset({"capturable", "processing", "complete"})
MONEY_SESSIONS = frozenset({"pending", "confirmed", "processing", "chargeable", "complete"})


def meaning(order: OrderRecord, *, page: bool, given_up: bool = False) -> Meaning:
    """What the order is. `given_up`: its end, if it has one, was not somebody's own wish."""
    row = next(
        row
        for row in MATRIX
        if row.covers(
            *(order.state, order.session_state),
            page=page,
            charges_failed=charges_failed(order),
            ending=ending(order, given_up=given_up),
        )
    )
    return row.meaning


def ending(order: OrderRecord, *, given_up: bool) -> Ending:
    """Why a cancelled order ended. Fraud is never offered recovery, whatever else is true."""
    if for_fraud(order):
        return Ending.FRAUD
    return Ending.UNPAID if given_up or payment_failed(order) else Ending.SOMEBODY


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
