"""Which purchase a `POST /v1/purchases` is about (DESIGN, HTTP)."""

from dataclasses import dataclass

from schemas.purchase import Purchase, State
from schemas.requests import PurchaseRequest


@dataclass(frozen=True, slots=True)
class Begin:
    """A new purchase; it takes over the upstream id of `successor_to`, a lost one."""

    successor_to: Purchase | None = None


@dataclass(frozen=True, slots=True)
class Continue:
    """A known purchase: 200."""

    purchase: Purchase


@dataclass(frozen=True, slots=True)
class Join:
    """A new checkout for a held purchase: 202."""

    purchase: Purchase


@dataclass(frozen=True, slots=True)
class Conflict:
    """409, naming the purchases."""

    detail: str
    purchases: tuple[Purchase, ...]


def admit(
    request: PurchaseRequest, by_checkout: Purchase | None, by_upstream: Purchase | None
) -> Begin | Continue | Join | Conflict:
    """The rule for a request, given the purchases that own its checkout and its upstream id."""
    if by_checkout and by_upstream and by_checkout.id != by_upstream.id:
        detail = "checkoutId and upstreamId belong to two different purchases"
        return Conflict(detail, (by_checkout, by_upstream))
    if by_checkout:
        return Continue(by_checkout)
    if by_upstream is None:
        return Begin()
    match by_upstream.state:
        case State.HELD:
            return Join(by_upstream)
        case State.ACCEPTED:
            return Continue(by_upstream)
        case State.LOST:
            return Begin(successor_to=by_upstream)
        case state:
            detail = f"the purchase with this upstreamId is {state.value}"
            return Conflict(detail, (by_upstream,))
