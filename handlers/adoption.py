"""Orders that nobody handed us: the purchase that is made of one, as read (DESIGN, ADOPT)."""

from datetime import datetime

from handlers.order_bodies import parsed
from handlers.paths import as_id
from handlers.routing import Ignored, Key
from schemas.base import JsonObject
from schemas.money import Money
from schemas.platform import Order
from schemas.purchase import Link, Purchase

NO_ORDER = "no_order"  # it can't be read, or names no checkout: there is nothing to follow


def keys(document: JsonObject) -> list[Key]:
    """The identity keys that an order names, as read."""
    named = (("checkout", "checkoutId"), ("order", "id"), ("upstream", "upstreamId"))
    found = ((kind, as_id(document.get(name))) for kind, name in named)
    return [(kind, value) for kind, value in found if value]


def adopted(
    document: JsonObject, *, id: str, ordered: datetime, now: datetime, observed: bool
) -> Purchase | Ignored:
    """A purchase whose order this is; who made it, submits. `ordered`: the shopper's consent.

    The shopper agreed to the order's total, so no replacement costs another one unasked (I11).
    """
    if document.get("checkoutSessionId"):
        return Ignored("platform_checkout_session")
    named = dict(keys(document))
    found = parsed((document,))
    if not found or "checkout" not in named:
        return Ignored(NO_ORDER)
    total = _total(found[0])
    return Purchase(
        id=id,
        upstream_id=named.get("upstream", id),
        submits="merchant",
        chain=(Link(checkout_id=named["checkout"]),),
        total=total,
        confirmed=total,
        confirmed_at=min(ordered, now),
        observed=observed,
        message="order.checking",
        created_at=now,
        updated_at=now,
    )


def _total(order: Order) -> Money | None:
    try:
        return Money.model_validate({"amount": order.total_amount, "currency": order.currency})
    except ValueError:
        return None
