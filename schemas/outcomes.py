"""What we tell the outside: the purchase as the API shows it, and outcomes as CloudEvents."""

from datetime import datetime
from typing import Literal

from schemas.base import JsonObject, Strict
from schemas.requests import Submits


class TotalView(Strict):
    """The total as last read; `confirmed` says whether the shopper agreed to exactly this."""

    amount: float
    currency: str
    confirmed: bool


class Message(Strict):
    """A text that shoppers may read, and its key for the storefront's own translations."""

    key: str
    text: str


class ShopperView(Strict):
    """All that shoppers may be shown."""

    message: Message | None
    next_action: JsonObject | None


class SubmissionView(Strict):
    """One submission. `status` is the HTTP status, `None` while there is no answer."""

    number: int
    checkout_id: str
    at: datetime
    status: int | None
    remedy: str | None


class ItemView(Strict):
    """A line of the order."""

    id: str
    metadata: JsonObject


class ChargeView(Strict):
    """A charge of the order; why one failed stays inside (I8)."""

    id: str
    state: str | None


class OrderView(Strict):
    """The live order, as the storefront sees it."""

    id: str
    checkout_id: str | None
    state: str | None
    charges: tuple[ChargeView, ...]
    items: tuple[ItemView, ...]


class FullOrderView(OrderView):
    """The live order, for operators and outcomes."""

    fraud_state: str | None


class OrderRefView(Strict):
    """An order of the chain."""

    id: str
    checkout_id: str | None
    state: str | None


class PurchaseView(Strict):
    """The purchase, as DESIGN's interface shows it."""

    id: str
    upstream_id: str
    submits: Submits
    state: str
    reason: str | None
    checkout_id: str
    checkout_ids: tuple[str, ...]
    order_id: str | None
    order: FullOrderView | OrderView | None
    orders: tuple[OrderRefView, ...]
    fulfil: bool
    total: TotalView | None
    shopper: ShopperView
    submissions: tuple[SubmissionView, ...]
    deadline: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int


class Outcome(Strict):
    """A CloudEvents 1.0 event in structured JSON. Consumers drop lower `sequence`s."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: Literal["order-rescue"] = "order-rescue"
    type: str
    subject: str
    time: datetime
    sequence: str
    datacontenttype: Literal["application/json"] = "application/json"
    traceparent: str | None = None  # the extension of CloudEvents; only where there is a trace
    data: PurchaseView
