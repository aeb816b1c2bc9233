"""Saved sources: which a shopper may be offered, and whether a chosen source may be attached.

PLATFORM §5.5 and §4.5. A single-use source that the shopper has just made is looked at like a
saved one: it, too, may have been used up, or belong to somebody else, by now.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from handlers.decision import Moment
from handlers.gate import UNUSABLE_SOURCES
from handlers.paths import present
from handlers.sight import Sight, expired
from handlers.step_up import UNAUTHENTICATED
from handlers.tables import charge_type
from schemas.base import JsonObject
from schemas.platform import Source
from schemas.purchase import Purchase


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a source is not attached, and what the shopper reads about it."""

    rule: str
    source: str
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


def listed(purchase: Purchase, customer: JsonObject, now: datetime) -> list[JsonObject]:
    """The customer's sources that may pay this purchase, as `savedSources` shows them; none while
    it is not known which of them was declined.

    With `authenticate` the front end must run authenticateSource on the current session before
    the shopper's choice is told to us. `expires` is `2031-01`, or null for what does not expire.
    """
    if purchase.unread:  # one of them may have been declined
        return []
    sources = customer.get("sources")
    found = [s for s in sources if isinstance(s, dict)] if isinstance(sources, list) else []
    owner = str(customer.get("id") or "")
    return [_shown(purchase, s) for s in found if _usable(purchase, s, owner, now)]


def _usable(purchase: Purchase, document: JsonObject, owner: str, now: datetime) -> bool:
    try:
        source = Source.model_validate(present(document))
    except ValidationError:
        return False
    return (
        source.reusable is True
        and source.state == "chargeable"
        and source.customer_id in (None, owner)
        and not expired(source, now)
        and not declined(purchase, source.id)
    )


def _shown(purchase: Purchase, document: JsonObject) -> JsonObject:
    source = Source.model_validate(present(document))
    block = document.get(source.type or "")
    seen = block if isinstance(block, dict) else {}
    year, month = seen.get("expirationYear"), seen.get("expirationMonth")
    dated = isinstance(year, int) and isinstance(month, int)
    return {
        "id": source.id,
        "type": source.type,
        "brand": seen.get("brand"),
        "lastFour": seen.get("lastFourDigits"),
        "expires": f"{year:04d}-{month:02d}" if dated else None,
        "clientSecret": document.get("clientSecret"),
        "authenticate": charge_type(purchase) not in UNAUTHENTICATED,
    }


def declined(purchase: Purchase, source_id: str) -> bool:
    """Whether the source was declined for good in this purchase (I9)."""
    return any(e.source_id == source_id and e.again <= 0 for e in purchase.declined)


def unfit(purchase: Purchase, sight: Sight, moment: Moment) -> Unfit | None:
    """Why the wanted source must not be attached; `None` if it may."""
    source = sight.wanted
    if declined(purchase, purchase.wanted_source or ""):
        return Unfit("source.declined_before", "I9", "payment.choose_another")
    if source is None:
        return Unfit("source.gone", "PLATFORM §5.5", "payment.source_gone", {"found": False})
    seen = {"sourceState": source.state}
    if source.state in UNUSABLE_SOURCES or source.state == "consumed":
        return Unfit("source.gone", "PLATFORM §5.5", "payment.source_gone", seen)
    if expired(source, moment.now):
        return Unfit("source.expired", "PLATFORM §4.5", "payment.source_expired", seen)
    if _foreign(purchase, sight, source):
        ours = {"checkoutHasCustomer": sight.checkout.customer_id is not None}
        return Unfit("source.of_another", "PLATFORM §5.5", "payment.choose_another", ours)
    return None


def _foreign(purchase: Purchase, sight: Sight, source: Source) -> bool:
    """It is another customer's; unless the purchase's own create request names that customer.

    Then the checkout may be told first, once: `customerId` in `mended` says that it was.
    """
    owner, named = source.customer_id, sight.checkout.customer_id
    if owner is None or owner == named:
        return False
    asked = (purchase.create_request or {}).get("customerId")
    return named is not None or asked != owner or "customerId" in purchase.current.mended
