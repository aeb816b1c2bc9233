"""Facts: what happened, stored once in the inbox, then decided upon."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schemas.base import JsonObject, Strict
from schemas.commands import Command
from schemas.purchase import Declined
from schemas.requests import (
    ConfirmationRequest,
    CorrectionsRequest,
    DecisionRequest,
    PurchaseRequest,
    RejectionReport,
    SourceRequest,
)
from schemas.results import Result


class Origin(StrEnum):
    """Who says so. An inbox row is unique on origin and id."""

    PLATFORM = "platform"
    MERCHANT = "merchant"
    SHOP = "shop"
    TIMER = "timer"
    COMMAND = "command"
    OPERATOR = "operator"


class PlatformEvent(Strict):
    """An event of the platform about a purchase's checkout, order, charge or source."""

    kind: Literal["platform_event"] = "platform_event"
    event_id: str
    type: str
    object: JsonObject
    created: datetime


class PurchaseRequested(Strict):
    """The storefront handed us a checkout, or confirmed it again.

    `confirmed_at` is when the shopper did so, if that was before we heard of it.
    """

    kind: Literal["purchase_requested"] = "purchase_requested"
    request: PurchaseRequest
    confirmed_at: datetime | None = None


class OrderRejected(Strict):
    """The merchant submitted by itself and the platform did not create an order.

    `created` is when the merchant said so.
    """

    kind: Literal["order_rejected"] = "order_rejected"
    report: RejectionReport
    created: datetime


class SourceChosen(Strict):
    """The shopper chose a payment source and confirmed."""

    kind: Literal["source_chosen"] = "source_chosen"
    request: SourceRequest


class CheckoutCorrected(Strict):
    """The shopper corrected fields and confirmed."""

    kind: Literal["checkout_corrected"] = "checkout_corrected"
    request: CorrectionsRequest


class TotalConfirmed(Strict):
    """The shopper confirmed a total."""

    kind: Literal["total_confirmed"] = "total_confirmed"
    request: ConfirmationRequest


class ShopperReturned(Strict):
    """The shopper is back from the provider's page or from a step-up."""

    kind: Literal["shopper_returned"] = "shopper_returned"


class CancelRequested(Strict):
    """The shopper cancelled."""

    kind: Literal["cancel_requested"] = "cancel_requested"


class TimerFired(Strict):
    """A wake-up is due."""

    kind: Literal["timer_fired"] = "timer_fired"
    key: str
    name: str
    hold: int


class CommandEnded(Strict):
    """A command has a result. The same attempt may end twice: abandoned, then answered."""

    kind: Literal["command_ended"] = "command_ended"
    key: str
    attempt: int
    command: Command
    result: Result


class OperatorDecided(Strict):
    """A person decided."""

    kind: Literal["operator_decided"] = "operator_decided"
    request: DecisionRequest


# Of two purchases that turn out to be one: what becomes of the one that is told so.
Merge = Literal["yield", "stay", "person", "none"]


class KeyTaken(Strict):
    """An identity key that this purchase wanted to claim belonged to another purchase.

    `merge` is what follows for this one. Where it stays, the other's keys are its own now, and
    `orders` are those that came with them. `declined` are the other's sources: one shopper's.
    """

    kind: Literal["key_taken"] = "key_taken"
    key: str
    owner: str
    merge: Merge | None = None  # `None`: stored before there was a rule for both
    orders: tuple[str, ...] = ()
    declined: tuple[Declined, ...] = ()


class KeyWanted(Strict):
    """The counterpart: another purchase wanted to claim an identity key of this one."""

    kind: Literal["key_wanted"] = "key_wanted"
    key: str
    by: str
    merge: Merge
    orders: tuple[str, ...] = ()
    declined: tuple[Declined, ...] = ()


class PersonForgotten(Strict):
    """The shopper asked to be forgotten."""

    kind: Literal["person_forgotten"] = "person_forgotten"


Fact = Annotated[
    PlatformEvent
    | PurchaseRequested
    | OrderRejected
    | SourceChosen
    | CheckoutCorrected
    | TotalConfirmed
    | ShopperReturned
    | CancelRequested
    | TimerFired
    | CommandEnded
    | OperatorDecided
    | KeyTaken
    | KeyWanted
    | PersonForgotten,
    Field(discriminator="kind"),
]
