"""Which purchase a `POST /v1/purchases` is about (DESIGN, HTTP)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from handlers import step_up
from handlers.moves import change, with_condition
from schemas.facts import Merge
from schemas.purchase import Condition, Link, Purchase, State
from schemas.requests import PurchaseRequest, RejectionReport

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
    request: PurchaseRequest,
    by_checkout: Purchase | None,
    by_upstream: Purchase | None,
    replaced: Purchase | None = None,
) -> Begin | Continue | Join | Conflict:
    """The rule for a request, given the purchases that its checkout, upstream id and `replaces`
    belong to. What `replaces` names is followed like a known upstream id."""
    named = {"checkoutId": by_checkout, "upstreamId": by_upstream, "replaces": replaced}
    known = {name: purchase for name, purchase in named.items() if purchase}
    owners = {purchase.id: purchase for purchase in known.values()}
    if len(owners) > 1:
        count = "two" if len(owners) == 2 else "three"
        detail = f"{_listed(known)} belong to {count} different purchases"
        return Conflict(detail, tuple(owners.values()))
    if by_checkout:
        return Continue(by_checkout)
    found = _follow(by_upstream, "with this upstreamId") or _follow(replaced, "that it replaces")
    return found or Begin()


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}"


def _follow(known: Purchase | None, which: str) -> Begin | Continue | Join | Conflict | None:
    """A new checkout for a known purchase."""
    if known is None:
        return None
    match known.state:
        case State.HELD if len(known.chain) >= LONGEST_CHAIN:
            return Conflict("this purchase has had too many checkouts", (known,))
        case State.HELD if step_up.silent(known):
            return Conflict(f"the purchase {which} may still become an order", (known,))
        case State.HELD:
            return Join(known)
        case State.ACCEPTED:
            return Continue(known)
        case State.LOST:
            return Begin(successor_to=known)
        case state:
            return Conflict(f"the purchase {which} is {state.value}", (known,))


def joined(purchase: Purchase, request: PurchaseRequest, at: datetime) -> Purchase:
    """The held purchase with the storefront's new checkout as its current one.

    A rejection of the former one that was not remedied yet says nothing about it, but for the
    source that was declined: that is read first (`Link.unread`).
    """
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
        verdict=None,
        observed=False,
    )


def joined_rejected(purchase: Purchase, report: RejectionReport, at: datetime) -> Purchase:
    """The same for a checkout that the merchant submitted itself, in vain.

    Nobody confirmed anything by it, and it does not change who submits.
    """
    submits, confirmed_at = purchase.submits, purchase.confirmed_at
    followed = joined(purchase, report.as_request(), at)
    return change(followed, submits=submits, confirmed_at=confirmed_at)


def merge(newcomer: Purchase, owner: Purchase, *, order: bool) -> tuple[Merge, Merge]:
    """Two purchases turn out to be one: the newcomer wants a key of the owner's (DESIGN, Router).

    What becomes of the newcomer and of the owner. The one without a submission yields, and what
    was only observed yields to what was handed over; a person decides where both were submitted.
    An accepted newcomer is left alone, unless both claim one `order`: nobody may ship it twice. An
    accepted owner was submitted: it stays, or a person decides.
    """
    if newcomer.state is State.LOST or (newcomer.state is State.ACCEPTED and not order):
        return "none", "none"
    if owner.state is State.LOST and not owner.orders:
        return "stay", "none"
    mine, theirs = _standing(newcomer), _standing(owner)
    if mine == theirs == SUBMITTED:
        return "person", "person"
    return ("stay", "yield") if mine > theirs else ("yield", "stay")


OBSERVED, HANDED_OVER, SUBMITTED = range(3)


def _standing(purchase: Purchase) -> int:
    if purchase.observed and purchase.state is not State.ACCEPTED:
        return OBSERVED
    return SUBMITTED if purchase.submissions or purchase.orders else HANDED_OVER


def upstream_id(request: PurchaseRequest) -> str | None:
    """The upstream id that the storefront named, itself or in its create request."""
    named = request.upstream_id or (request.create_request or {}).get("upstreamId")
    return named if isinstance(named, str) and 0 < len(named) <= 255 else None


def comes_with(other: Purchase, merge: Merge) -> tuple[str, ...]:
    """The ids of the orders that come with the other's keys; of a lost purchase none is news."""
    if merge != "stay" or other.state is State.LOST:
        return ()
    return tuple(order.id for order in other.orders)
