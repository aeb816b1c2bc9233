"""A checkout as it was read: what the rules look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from handlers.paths import present
from schemas.base import JsonObject
from schemas.money import Money
from schemas.platform import Checkout, Customer, Session, Source
from schemas.results import Reading


@dataclass(frozen=True, slots=True)
class Sight:
    """What was read: the checkout raw and parsed, its primary source and customer in full.

    `wanted` is the source that is to be attached.
    """

    raw: Mapping[str, Any]
    checkout: Checkout
    total: Money
    source: Source | None
    customer: Customer | None
    wanted: Source | None = None

    @property
    def session(self) -> Session:
        """The payment session; an empty one if there is none."""
        return self.checkout.payment.session or Session()


def reading_in(body: JsonObject) -> Reading:
    """What was read, without the fields that are null."""
    return Reading.model_validate({"checkout": None, **present(body)})


def seen_in(reading: Reading) -> Sight | None:
    """The reading with its parts parsed; `None` if something that the gate needs is missing."""
    try:
        checkout = Checkout.model_validate(reading.checkout)
        total = Money(amount=checkout.total_amount, currency=checkout.currency)  # type: ignore[arg-type]  # None is refused
        source = Source.model_validate(reading.source) if reading.source else None
        wanted = Source.model_validate(reading.wanted) if reading.wanted else None
        customer = Customer.model_validate(reading.customer) if reading.customer else None
    except ValidationError:
        return None
    return Sight(reading.checkout or {}, checkout, total, source, customer, wanted)


def evidence(sight: Sight) -> dict[str, Any]:
    """What the gate looked at; no personal data."""
    session = sight.session
    return {
        "sessionState": session.state,
        "amountContributed": session.amount_contributed,
        "amountRemaining": session.amount_remaining,
        "totalAmount": sight.total.amount,
        "currency": sight.total.currency,
        "sourceState": sight.source.state if sight.source else None,
    }


def expired(source: Source, now: datetime) -> bool:
    """Whether it is a card whose last month has passed."""
    card = source.credit_card
    if card is None or not card.expiration_year or not card.expiration_month:
        return False
    return (card.expiration_year, card.expiration_month) < (now.year, now.month)
