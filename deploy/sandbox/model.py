"""What the stand-in platform holds in memory."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from .cards import REDIRECT_FIRST

Json = dict[str, Any]


@dataclass(slots=True)
class Source:
    """`told_address`: the shopper gave one; else the sandbox made the owner's up."""

    id: str
    secret: str
    live: bool
    created: datetime
    type: str
    flow: str
    state: str
    owner: Json
    details: Json
    currency: str | None = None
    amount: Decimal = Decimal(0)
    reusable: bool = False
    customer_id: str | None = None
    session_id: str | None = None
    upstream_id: str | None = None
    fingerprint: str | None = None
    decline: str | None = None
    trouble: str | None = None
    removed: bool = False
    told_address: bool = True
    deadline: datetime | None = None
    return_url: str | None = None
    cancel_url: str | None = None
    authenticated: set[str] = field(default_factory=set)

    @property
    def credit(self) -> bool:
        return self.type == "customerCredit"

    @property
    def redirects_first(self) -> bool:
        """The shopper is redirected before the submission (PLATFORM §2.7)."""
        return self.type in REDIRECT_FIRST

    @property
    def last_name(self) -> str:
        return str(self.owner.get("lastName") or "")


@dataclass(slots=True)
class Session:
    """`settled` is the state since an order was made; `forced` is set by a test."""

    id: str
    secret: str
    settled: str | None = None
    forced: str | None = None
    next_action: Json | None = None


@dataclass(slots=True)
class Item:
    id: str
    request: Json
    quantity: int


@dataclass(slots=True)
class Checkout:
    """`shares`: what each attached source contributes; a saved one may be attached twice."""

    id: str
    live: bool
    created: datetime
    updated: datetime
    fields: Json
    items: list[Item]
    session: Session
    tax_inclusive: bool = False
    charge_type: str = "customer_initiated"
    shipping_discount: Json | None = None
    shares: dict[str, Decimal] = field(default_factory=dict)
    order_id: str | None = None
    dead: str | None = None
    dead_told: bool = False

    @property
    def upstream_id(self) -> str | None:
        return self.fields.get("upstreamId")


@dataclass(slots=True)
class Charge:
    id: str
    live: bool
    created: datetime
    currency: str
    amount: Decimal
    state: str
    order_id: str
    source_id: str
    session_id: str
    type: str
    failure_code: str | None = None
    captures: list[Json] = field(default_factory=list)
    cancels: list[Json] = field(default_factory=list)


@dataclass(slots=True)
class OrderItem:
    id: str
    view: Json
    quantity: int
    state: str
    transitions: dict[str, datetime]
    shipped: int = 0
    cancelled: int = 0


@dataclass(slots=True)
class Order:
    """`authorized` ends with a failed re-authorization; `history` is for the ledger alone."""

    id: str
    live: bool
    checkout_id: str
    created: datetime
    updated: datetime
    fields: Json
    total: Decimal
    items: list[OrderItem]
    shares: dict[str, Decimal]
    session: Session
    state: str
    transitions: dict[str, datetime]
    charge_type: str
    listed_from: datetime
    fraud_state: str | None = None
    fraud_transitions: dict[str, datetime] = field(default_factory=dict)
    charge_ids: list[str] = field(default_factory=list)
    captured: Decimal = Decimal(0)
    cancelled: Decimal = Decimal(0)
    cancel_reason: str | None = None
    forget: bool = False
    checkout_session_id: str | None = None
    authorized: bool = True
    disputed_from: str | None = None
    history: list[Json] = field(default_factory=list)

    @property
    def upstream_id(self) -> str | None:
        return self.fields.get("upstreamId")

    @property
    def settled(self) -> bool:
        return self.state not in ("pending_payment", "in_review")


@dataclass(slots=True)
class Customer:
    id: str
    live: bool
    created: datetime
    updated: datetime
    fields: Json
    enabled: bool = True
    forget: bool = False
    default_source_id: str | None = None
    source_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Event:
    id: str
    live: bool
    created: datetime
    type: str
    body: Json


@dataclass(slots=True)
class Webhook:
    """`secrets`: the newest first. No call of the platform shows them (PLATFORM §6.7)."""

    id: str
    live: bool
    created: datetime
    updated: datetime
    types: list[str]
    address: str
    secrets: list[str]
    api_version: str = "default"
    enabled: bool = True
    transport: str = "HTTP"
    authentication: Json | None = None
    failures: int = 0

    def wants(self, kind: str) -> bool:
        return any(matches(pattern, kind) for pattern in self.types)


def matches(pattern: str, kind: str) -> bool:
    """`*` and `order.*` wildcards (PLATFORM §6.6)."""
    if pattern.endswith("*"):
        return kind.startswith(pattern[:-1])
    return pattern == kind
