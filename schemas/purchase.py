"""The purchase: one shopper's intent to buy, and all that we know about it."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from schemas.base import JsonObject, Strict
from schemas.commands import Permit
from schemas.money import Money
from schemas.requests import PurchaseRequest, Submits
from schemas.results import PlatformProblem, Rejected

SCHEMA_NUMBER = 1


class State(StrEnum):
    """Where a purchase stands."""

    HELD = "held"
    SUBMITTING = "submitting"
    UNKNOWN = "unknown"
    PENDING = "pending"
    ACCEPTED = "accepted"
    LOST = "lost"
    REVIEW = "review"


class Reason(StrEnum):
    """Why it stands there. Which reason belongs to which state: `REASONS`."""

    CHECKING = "checking"
    READY = "ready"
    PAYMENT_REQUIRED = "payment_required"
    PAYMENT_INCOMPLETE = "payment_incomplete"
    IN_FLIGHT = "in_flight"
    STEP_UP_REQUIRED = "step_up_required"
    CORRECTION_REQUIRED = "correction_required"
    CONFIRMATION_REQUIRED = "confirmation_required"
    RETRY_SCHEDULED = "retry_scheduled"
    REDIRECT = "redirect"
    FUNDS = "funds"
    PROCESSING = "processing"
    FRAUD_REVIEW = "fraud_review"
    CAPTURE_FAILED = "capture_failed"
    REAUTHORIZATION_FAILED = "reauthorization_failed"
    DISPUTED = "disputed"
    CHARGEBACK = "chargeback"
    BLOCKED = "blocked"
    FRAUD = "fraud"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    STOPPED = "stopped"
    SUPERSEDED = "superseded"
    STALE_ORDER = "stale_order"
    DUPLICATE_ORDER = "duplicate_order"
    MERGE = "merge"
    CREDENTIALS = "credentials"
    UNDECIDED = "undecided"
    CHECKOUT_NOT_FOUND = "checkout_not_found"
    CUSTOMER_DISABLED = "customer_disabled"


SHOPPER_HELD = frozenset(
    {
        Reason.PAYMENT_REQUIRED,
        Reason.PAYMENT_INCOMPLETE,
        Reason.STEP_UP_REQUIRED,
        Reason.CORRECTION_REQUIRED,
        Reason.CONFIRMATION_REQUIRED,
        Reason.READY,
        Reason.IN_FLIGHT,
    }
)

REASONS: dict[State, frozenset[Reason | None]] = {
    State.HELD: SHOPPER_HELD | {Reason.CHECKING, Reason.RETRY_SCHEDULED},
    State.SUBMITTING: frozenset({None}),
    State.UNKNOWN: frozenset({None}),
    State.PENDING: frozenset(
        {Reason.REDIRECT, Reason.FUNDS, Reason.PROCESSING, Reason.FRAUD_REVIEW}
    ),
    State.ACCEPTED: frozenset(
        {
            None,
            Reason.CAPTURE_FAILED,
            Reason.REAUTHORIZATION_FAILED,
            Reason.DISPUTED,
            Reason.CHARGEBACK,
        }
    ),
    State.LOST: frozenset(
        {
            Reason.BLOCKED,
            Reason.FRAUD,
            Reason.CANCELLED,
            Reason.EXPIRED,
            Reason.EXHAUSTED,
            Reason.STOPPED,
            Reason.SUPERSEDED,
        }
    ),
    State.REVIEW: frozenset(
        {
            Reason.STALE_ORDER,
            Reason.DUPLICATE_ORDER,
            Reason.MERGE,
            Reason.CREDENTIALS,
            Reason.UNDECIDED,
            Reason.CHECKOUT_NOT_FOUND,
            Reason.CUSTOMER_DISABLED,
        }
    ),
}


class Condition(StrEnum):
    """What a checkout of the chain is good for."""

    OPEN = "open"
    DEAD = "dead"  # answered 409 (I3)
    CONSUMED = "consumed"  # became an order (I2)
    SUPERSEDED = "superseded"  # the storefront brought another one


class Link(Strict):
    """One checkout of the chain."""

    checkout_id: str
    session_id: str | None = None
    condition: Condition = Condition.OPEN
    stepped_up: bool = False  # the one 409 after which it may be submitted once more (§4.2)
    step_seen: bool = False  # after it, the session did ask for the shopper's step
    mended: tuple[str, ...] = ()  # paths that we repaired by ourselves, once each
    failed: tuple[str, ...] = ()  # "code/parameter" of rejections that left it alive
    ordered: bool = False  # an event told of an order of it; reading that order tells more
    # Refused, as the merchant told us: how often its source may be chosen again, once it is read.
    unread: int | None = None


class Declined(Strict):
    """A source that was declined, and how often the shopper may still choose it."""

    source_id: str
    again: int


class Fault(Strict):
    """Something at `path` of the checkout that the platform refused.

    It stands while the value there has this digest; `None` until it was read once (I4).
    """

    path: str
    problem: str
    digest: str | None = None


class Credit(Strict):
    """Store credit of the shopper, as the storefront put it on a checkout (PLATFORM §3.5).

    Amounts are major units. `number` tells the purchase's credits apart. `source_id` is the source
    on the current session, once there is one, `made` the amount that it has, or that was too
    large; `attached` says that a reading showed it there. `refused`: it can't be had again, and
    the shopper has not confirmed to go on without it.
    """

    number: int = 1
    amount: float
    upstream_id: str | None = None
    owner: JsonObject | None = None
    source_id: str | None = None
    made: float | None = None
    attached: bool = False
    refused: bool = False


class Submission(Strict):
    """One POST /orders. Repeats under one permit share their number."""

    number: int
    attempt: int
    checkout_id: str
    source_id: str | None
    at: datetime
    answered: datetime | None = None
    status: int | None = None
    outcome: str | None = None
    problems: tuple[PlatformProblem, ...] = ()
    request_id: str | None = None
    remedy: str | None = None
    by_merchant: bool = False


class ChargeState(Strict):
    """A charge of the order."""

    id: str
    state: str | None = None
    source_id: str | None = None
    failure_code: str | None = None


class ItemRef(Strict):
    """A line of the order; correlate it with the checkout's by `metadata` (PLATFORM §2.9)."""

    id: str
    quantity: int | None = None
    metadata: JsonObject = Field(default_factory=dict)


class OrderRecord(Strict):
    """What we know of an order, as last read."""

    id: str
    checkout_id: str | None
    state: str | None
    fraud_state: str | None = None
    cancel_reason: str | None = None
    session_state: str | None = None
    source_id: str | None = None
    trouble: Reason | None = None  # what failed after it was accepted, as last told (§5.11)
    updated: datetime | None = None
    charges: tuple[ChargeState, ...] = ()
    items: tuple[ItemRef, ...] = ()


class Purchase(Strict):
    """The aggregate. Immutable; every decision makes a new one.

    `hold` numbers the spells in one state and reason: timers name it. `step` numbers the commands
    of the main path and `awaiting` is the key of the one whose answer moves the purchase on;
    `stale` says that something changed while it was under way. `wanted_*` is what is to be done
    to the current checkout and has not been read back. `unsettled_since` is the last moment at
    which a submission without an answer can have been sent, `looked_at` when the newest look-up
    for its order was planned, `verdict` a definite rejection that
    waits for the proof that no order exists (I6). `notice` is what the shopper should read about
    the last payment when asked for another. `waiting_request` brought a new checkout while a
    submission was under way; it joins the chain if the purchase is held again.
    `save_source`: the shopper wants `wanted_source` saved before it is attached. `credits` are to
    be on the current checkout. `replacing` is the order that is being cancelled so that another
    may take its place, `returns` how often the shopper came back from its provider in vain.
    `observed`: an order that nobody handed us; nothing is changed at the platform (ADOPT).
    """

    schema_number: int = SCHEMA_NUMBER
    id: str
    upstream_id: str
    submits: Submits = "service"
    state: State = State.HELD
    reason: Reason | None = Reason.CHECKING
    chain: tuple[Link, ...]
    create_request: JsonObject | None = None
    subscription_id: str | None = None
    total: Money | None = None
    confirmed: Money | None = None
    confirmed_at: datetime
    wanted_source: str | None = None
    attached_source: str | None = None  # the current checkout's primary source, as last read
    save_source: bool = False
    wanted_changes: JsonObject = Field(default_factory=dict)
    credits: tuple[Credit, ...] = ()
    faults: tuple[Fault, ...] = ()
    declined: tuple[Declined, ...] = ()
    permit: Permit | None = None
    submissions: tuple[Submission, ...] = ()
    unsettled_since: datetime | None = None
    looked_at: datetime | None = None
    verdict: Rejected | None = None
    repeats: int = 0
    stuck_told: bool = False  # somebody was told that this unknown can't be repeated
    order: OrderRecord | None = None
    orders: tuple[OrderRecord, ...] = ()
    cancel_requested: bool = False
    replacing: str | None = None
    returns: int = 0
    observed: bool = False
    customer_id: str | None = None
    email_digest: str | None = None
    forgotten: bool = False  # by request: nothing personal is kept, it is never held again
    waiting_request: PurchaseRequest | None = None
    message: str | None = None
    notice: str | None = None
    next_action: JsonObject | None = None
    step: int = 0
    awaiting: str | None = None
    stale: bool = False
    hold: int = 0
    deadline: datetime | None = None
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def current(self) -> Link:
        """The newest checkout of the chain."""
        return self.chain[-1]

    @property
    def unread(self) -> Link | None:
        """The oldest refused checkout of which nobody has read yet what it charged (I9)."""
        dead = (link for link in self.chain if link.condition is Condition.DEAD)
        return next((link for link in dead if link.unread is not None), None)

    @property
    def checkout_ids(self) -> tuple[str, ...]:
        """All checkouts of the chain, oldest first."""
        return tuple(link.checkout_id for link in self.chain)

    @property
    def attempts(self) -> int:
        """Submissions that count against the budget: repeats under one permit do not (I9)."""
        return max((s.number for s in self.submissions), default=0)
