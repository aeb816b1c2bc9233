"""The platform's resources, as far as a rule reads them (PLATFORM §2).

Everything is optional but the ids: half the fields may be gone and enums are open sets.
"""

from datetime import datetime

from pydantic import Field

from schemas.base import JsonObject, Wire


class NextAction(Wire):
    """What the shopper must do for a session (PLATFORM §2.5)."""

    action: str | None = None
    data: JsonObject = Field(default_factory=dict)


class Session(Wire):
    """A payment session. Amounts are major units; `None` means that the platform did not say."""

    id: str | None = None
    state: str | None = None
    amount_contributed: float | None = None
    amount_remaining: float | None = Field(None, alias="amountRemainingToBeContributed")
    next_action: NextAction | None = None


class Card(Wire):
    """When a card ends."""

    expiration_month: int | None = None
    expiration_year: int | None = None


class Source(Wire):
    """A payment source. Inside checkouts `state`, `reusable` and `flow` are absent (§2.3)."""

    id: str
    type: str | None = None
    state: str | None = None
    reusable: bool | None = None
    flow: str | None = None
    amount: float | None = None
    customer_id: str | None = None
    upstream_id: str | None = None
    owner: JsonObject | None = None
    credit_card: Card | None = None


class Capture(Wire):
    """An attempt to capture a charge (PLATFORM §2.10)."""

    state: str | None = None


class Charge(Wire):
    """A charge of an order (PLATFORM §2.10). The newest capture is the last."""

    id: str
    state: str | None = None
    order_id: str | None = None
    source_id: str | None = None
    failure_code: str | None = None
    captures: tuple[Capture, ...] = ()


class Payment(Wire):
    """Sources, charges and session of a checkout or an order."""

    sources: tuple[Source, ...] = ()
    charges: tuple[Charge, ...] = ()
    session: Session | None = None


class Checkout(Wire):
    """A checkout as read (PLATFORM §2.3)."""

    id: str
    customer_id: str | None = None
    upstream_id: str | None = None
    currency: str | None = None
    total_amount: float | None = None
    live_mode: bool | None = None
    payment: Payment = Payment()

    @property
    def primary_source(self) -> Source | None:
        """The source that is not store credit; there is at most one (PLATFORM §3.3)."""
        return next((s for s in self.payment.sources if s.type != "customerCredit"), None)


class OrderItem(Wire):
    """A line of an order. Its id differs from the checkout item's (PLATFORM §2.9)."""

    id: str
    quantity: int | None = None
    metadata: JsonObject = Field(default_factory=dict)


class Order(Wire):
    """An order as read (PLATFORM §2.9)."""

    id: str
    checkout_id: str | None = None
    upstream_id: str | None = None
    state: str | None = None
    fraud_state: str | None = None
    cancel_reason: str | None = None
    total_amount: float | None = None
    currency: str | None = None
    updated_time: datetime | None = None
    items: tuple[OrderItem, ...] = ()
    payment: Payment = Payment()


class Customer(Wire):
    """A registered customer (PLATFORM §2.8)."""

    id: str
    email: str | None = None
    enabled: bool | None = None
    shipping: JsonObject | None = None
    sources: tuple[Source, ...] = ()
