"""What a purchase shares with others: its customer, sources, subscription and e-mail address.

Such links are many-to-many: an event that names only one of them concerns every purchase that has
it. An e-mail address is known by its digest alone.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from handlers.moves import change
from schemas.purchase import Purchase

Link = tuple[str, str]  # kind (customer, source, subscription, email) and value
LONGEST = 255


def email_digest(address: str) -> str:
    """An address's fingerprint; case and surrounding space do not matter."""
    return _fingerprint("email", address.strip().casefold())


def customer_digest(customer_id: str) -> str:
    """A customer's fingerprint, for what is kept after that customer was forgotten."""
    return _fingerprint("customer", customer_id)


def _fingerprint(kind: str, value: str) -> str:
    return hashlib.sha256(f"{kind}\n{value}".encode()).hexdigest()


def noted(purchase: Purchase, checkout: Mapping[str, Any] | None) -> Purchase:
    """The purchase with the customer and e-mail address that a checkout or its request names."""
    named = checkout or {}
    customer, email = _text(named.get("customerId")), _text(named.get("email"))
    return change(
        purchase,
        customer_id=customer or purchase.customer_id,
        email_digest=email_digest(email) if email else purchase.email_digest,
    )


def links(purchase: Purchase) -> frozenset[Link]:
    """All links of a purchase as it is now; the store keeps earlier ones too."""
    found = {("source", id) for id in _sources(purchase) if id}
    singles = (
        ("customer", purchase.customer_id),
        ("subscription", purchase.subscription_id),
        ("email", purchase.email_digest),
    )
    found |= {(kind, value) for kind, value in singles if value}
    return frozenset((kind, value) for kind, value in found if len(value) <= LONGEST)


def _sources(purchase: Purchase) -> Iterator[str | None]:
    yield from (purchase.wanted_source, purchase.attached_source)
    yield from (declined.source_id for declined in purchase.declined)
    yield from (submission.source_id for submission in purchase.submissions)
    yield from (credit.source_id for credit in purchase.credits)
    for order in purchase.orders:
        yield order.source_id
        yield from (charge.source_id for charge in order.charges)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
