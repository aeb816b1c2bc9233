"""Which purchase a `POST /v1/purchases` is about (DESIGN, HTTP)."""

from dataclasses import dataclass
from datetime import datetime

from handlers.moves import change, with_condition
from schemas.purchase import Condition, Link, Purchase, State
from schemas.requests import PurchaseRequest

LONGEST_CHAIN = 30  # checkouts: every reading looks for the orders of each (I3)


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
        case State.HELD if len(by_upstream.chain) >= LONGEST_CHAIN:
            return Conflict("this purchase has had too many checkouts", (by_upstream,))
        case State.HELD:
            return Join(by_upstream)
        case State.ACCEPTED:
            return Continue(by_upstream)
        case State.LOST:
            return Begin(successor_to=by_upstream)
        case state:
            detail = f"the purchase with this upstreamId is {state.value}"
            return Conflict(detail, (by_upstream,))


def joined(purchase: Purchase, request: PurchaseRequest, at: datetime) -> Purchase:
    """The held purchase with the storefront's new checkout as its current one."""
    last = purchase.current
    if last.condition is Condition.OPEN:
        purchase = with_condition(purchase, last.checkout_id, Condition.SUPERSEDED)
    return change(
        purchase,
        chain=(*purchase.chain, Link(checkout_id=request.checkout_id)),
        create_request=request.create_request,
        submits=request.submits,
        confirmed=request.confirmed_total or purchase.confirmed,
        confirmed_at=max(at, purchase.confirmed_at),
        wanted_source=None,
        save_source=False,
        wanted_changes={},
        credits=(),
        waiting_request=None,
        faults=(),
        permit=None,
    )


def upstream_id(request: PurchaseRequest) -> str | None:
    """The upstream id that the storefront named, itself or in its create request."""
    named = request.upstream_id or (request.create_request or {}).get("upstreamId")
    return named if isinstance(named, str) and 0 < len(named) <= 255 else None
