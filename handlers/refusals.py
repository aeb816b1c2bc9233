"""Whether a call applies to a purchase as it is now (DESIGN, HTTP)."""

from dataclasses import dataclass

from handlers import step_up
from handlers.orders import live_orders
from schemas.facts import (
    CancelRequested,
    CheckoutCorrected,
    OperatorDecided,
    ShopperReturned,
    SourceChosen,
    TotalConfirmed,
)
from schemas.money import Money
from schemas.purchase import Condition, Purchase, Reason, State
from schemas.requests import CREATE_ONLY

Call = (
    SourceChosen
    | CheckoutCorrected
    | TotalConfirmed
    | ShopperReturned
    | CancelRequested
    | OperatorDecided
)
RETURNING = (Reason.STEP_UP_REQUIRED, Reason.PAYMENT_INCOMPLETE, Reason.IN_FLIGHT)
CANCELLABLE = (State.HELD, State.SUBMITTING, State.UNKNOWN, State.PENDING, State.REVIEW)


@dataclass(frozen=True, slots=True)
class NotNow:
    """Why a call does not apply to the purchase as it is; `total` is the current one."""

    detail: str
    total: Money | None = None


def refusal(purchase: Purchase, call: Call) -> NotNow | None:
    """Whether the call applies now; the API answers 409 if not, a late fact is ignored."""
    if purchase.observed and not isinstance(call, OperatorDecided):
        return NotNow("nobody handed this purchase over: POST /v1/purchases on its checkout first")
    match call:
        case CancelRequested():
            return _refuse_cancel(purchase)
        case OperatorDecided():
            if purchase.state in (State.REVIEW, State.UNKNOWN):
                return None
            return NotNow("only a purchase in review or unknown waits for a decision")
        case TotalConfirmed():
            return _refuse_state(purchase) or _refuse_total(purchase, call)
        case CheckoutCorrected():
            return _refuse_state(purchase) or _refuse_fields(purchase, call)
        case SourceChosen():
            return _refuse_state(purchase) or _refuse_source(purchase)
        case ShopperReturned():
            return _refuse_return(purchase)


def _refuse_state(purchase: Purchase) -> NotNow | None:
    if purchase.state is State.HELD:
        return None
    return NotNow("the purchase is not waiting for the shopper")


def _refuse_fields(purchase: Purchase, call: CheckoutCorrected) -> NotNow | None:
    """What only a new checkout can take waits until an answer is heard (docs/adr/0009)."""
    if set(call.request.checkout) & CREATE_ONLY and step_up.silent(purchase):
        return NotNow("these need another checkout, and this one may still become an order")
    return None


def _refuse_cancel(purchase: Purchase) -> NotNow | None:
    if len(live_orders(purchase)) > 1:
        return NotNow("there are two orders; a person decides which one stays")
    if purchase.state in CANCELLABLE or purchase.reason is Reason.CANCELLED:
        return None
    return NotNow("the purchase can no longer be cancelled")


def _refuse_source(purchase: Purchase) -> NotNow | None:
    if purchase.current.condition is Condition.OPEN:
        return None
    return NotNow("the next checkout is not open yet; ask for the payment session again")


def _refuse_return(purchase: Purchase) -> NotNow | None:
    """Where shoppers are sent away they come back, perhaps after the platform's own event."""
    away = purchase.state in (State.PENDING, State.ACCEPTED)
    if away or (purchase.state is State.HELD and purchase.reason in RETURNING):
        return None
    return NotNow("the shopper was not sent anywhere")


def _refuse_total(purchase: Purchase, call: TotalConfirmed) -> NotNow | None:
    current = purchase.total
    right = call.request.checkout_id == purchase.current.checkout_id
    if right and current is not None and call.request.total.same_as(current):
        return None
    return NotNow("this is not the current checkout and total", current)
