"""Commands: things to do, stored before they are done."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from schemas.base import JsonObject, Strict
from schemas.money import Money


class Permit(Strict):
    """The recorded right to make one submission (invariants I1, I5, I11).

    `number` counts the purchase's submissions, `attempt` the repeats under this number. The
    permit is void when the purchase has moved past `version`, when the lease's epoch is no longer
    `epoch`, or after `not_after`: then the checkout is read again.
    """

    number: int
    attempt: int
    checkout_id: str
    source_id: str | None
    reusable: bool
    version: int
    epoch: int
    session_state: str
    amount_remaining: float
    total: Money
    granted_at: datetime
    not_after: datetime


class ReadCheckout(Strict):
    """GET the checkout, the orders of its whole chain, its primary source and its customer.

    `wanted_source` is one that is to be attached: it is read too.
    """

    kind: Literal["read_checkout"] = "read_checkout"
    checkout_id: str
    wanted_source: str | None = None
    checkout_ids: tuple[str, ...]
    upstream_id: str


class FindOrders(Strict):
    """GET the orders of these checkouts and of this upstream id."""

    kind: Literal["find_orders"] = "find_orders"
    checkout_ids: tuple[str, ...]
    upstream_id: str


class ReadOrder(Strict):
    """GET one order."""

    kind: Literal["read_order"] = "read_order"
    order_id: str


class InspectOrder(Strict):
    """GET one order and each of its sources in full: is its money on its way (I5)?"""

    kind: Literal["inspect_order"] = "inspect_order"
    order_id: str


class RefreshOrder(Strict):
    """POST /orders/{id}/refresh: the shopper is back from the provider (PLATFORM §5.6).

    Where that call is not to be had, GET (PLATFORM §8 #39). Repeating it does no harm.
    """

    kind: Literal["refresh_order"] = "refresh_order"
    order_id: str


class Submit(Strict):
    """POST /orders under a permit."""

    kind: Literal["submit"] = "submit"
    permit: Permit


class OpenCheckout(Strict):
    """POST /checkouts. `mark` is in the request's metadata, so that we know it again."""

    kind: Literal["open_checkout"] = "open_checkout"
    request: JsonObject
    mark: str


class FindCheckout(Strict):
    """GET the checkouts of this upstream id and pick the one that carries our mark.

    `request` is what it was opened with.
    """

    kind: Literal["find_checkout"] = "find_checkout"
    upstream_id: str
    mark: str
    request: JsonObject


class UpdateCheckout(Strict):
    """POST /checkouts/{id} with only what changes, in one call (PLATFORM §5.3)."""

    kind: Literal["update_checkout"] = "update_checkout"
    checkout_id: str
    changes: JsonObject


class AttachSource(Strict):
    """POST /checkouts/{id}/sources/{sourceId}."""

    kind: Literal["attach_source"] = "attach_source"
    checkout_id: str
    source_id: str


class DetachSource(Strict):
    """DELETE /checkouts/{id}/sources/{sourceId}; one that is not saved is cancelled by it."""

    kind: Literal["detach_source"] = "detach_source"
    checkout_id: str
    source_id: str


class SaveSource(Strict):
    """POST /customers/{id}/sources/{sourceId}, before it is attached (PLATFORM §5.5)."""

    kind: Literal["save_source"] = "save_source"
    customer_id: str
    source_id: str


class CreateCredit(Strict):
    """POST /sources: store credit on a session (PLATFORM §3.5). The amount is in major units."""

    kind: Literal["create_credit"] = "create_credit"
    session_id: str
    amount: float
    upstream_id: str | None = None
    owner: JsonObject | None = None


class DeleteCheckout(Strict):
    """DELETE /checkouts/{id}: an orphan that carries our mark and that no purchase uses."""

    kind: Literal["delete_checkout"] = "delete_checkout"
    checkout_id: str


class Line(Strict):
    """A line of an order and how many of it."""

    item_id: str
    quantity: int


class CancelOrder(Strict):
    """POST /fulfillments with cancelQuantity: the only way to cancel an order (PLATFORM §5.6)."""

    kind: Literal["cancel_order"] = "cancel_order"
    order_id: str
    lines: tuple[Line, ...]


class Wake(Strict):
    """Wake the purchase later. Ignored when the hold that it names has ended."""

    kind: Literal["wake"] = "wake"
    name: str
    hold: int


PlatformCommand = (
    ReadCheckout
    | FindOrders
    | ReadOrder
    | InspectOrder
    | RefreshOrder
    | Submit
    | OpenCheckout
    | FindCheckout
    | UpdateCheckout
    | AttachSource
    | DetachSource
    | SaveSource
    | CreateCredit
    | DeleteCheckout
    | CancelOrder
)
Command = Annotated[PlatformCommand | Wake, Field(discriminator="kind")]

MUTATIONS = frozenset(
    {
        "submit",
        "open_checkout",
        "update_checkout",
        "attach_source",
        "detach_source",
        "save_source",
        "create_credit",
        "delete_checkout",
        "cancel_order",
    }
)


class Planned(Strict):
    """A command, the slot that its effect fills, and when it is due (`None`: at once)."""

    key: str
    command: Command
    due: datetime | None = None
