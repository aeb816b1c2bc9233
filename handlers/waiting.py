"""What every waiting purchase waits for, when to look if nothing comes, and how long (I6).

Webhooks may be lost. Silence leads to a reading, never to a guess.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from handlers.policy import Policy
from schemas.commands import Planned, Wake
from schemas.facts import TimerFired
from schemas.purchase import Purchase, Reason, State

SILENCE = "silence"  # the name of the timers that look at an idle hold


class Looking(StrEnum):
    """Who looks when nothing comes."""

    NOBODY = "nobody"  # it has ended, or a person looks
    COMMAND = "command"  # a command or its repeat is under way, and has an answer or a deadline
    LOOKUP = "lookup"  # `handlers.unknown`: at once, more and more rarely, exactly at settling
    POLL = "poll"  # `handlers.reading`: soon, since money may be moving
    IDLE = "idle"  # after `Policy.held_looks`
    ORDER = "order"  # after `Policy.pending_look`, again and again


class End(StrEnum):
    """What happens at the deadline."""

    NEVER = "never"  # there is none
    EXPIRE = "expire"  # what could be read was read: lost
    LOOK_THEN_EXPIRE = "look_then_expire"  # one more reading, its orders included, then lost
    REFRESH = "refresh"  # ask for the order once more; still not paid: it is replaced (§5.6)
    ALERT = "alert"  # somebody is told; it goes on
    REVIEW = "review"  # a person


@dataclass(frozen=True, slots=True)
class Wait:
    """One row: what ends the wait (events and calls), who looks, and what ends the patience."""

    expects: tuple[str, ...]
    looking: Looking
    life: Callable[[Policy], timedelta | None]
    end: End


def _forever(_policy: Policy) -> timedelta | None:
    return None


def _hold(policy: Policy) -> timedelta | None:
    return policy.hold_deadline


def _retry(policy: Policy) -> timedelta | None:
    return policy.retry_deadline


def _redirect(policy: Policy) -> timedelta | None:
    return policy.redirect_wait


def _patience(policy: Policy) -> timedelta | None:
    return policy.pending_patience


def _held(*expects: str) -> Wait:
    return Wait((*expects, "cancel"), Looking.IDLE, _hold, End.LOOK_THEN_EXPIRE)


def _pending(*expects: str) -> Wait:
    """The platform ends these; no clock of ours does (PLATFORM §5.7)."""
    return Wait((*expects, "cancel"), Looking.ORDER, _patience, End.ALERT)


def _ended(*expects: str) -> Wait:
    return Wait(expects, Looking.NOBODY, _forever, End.NEVER)


PAYMENT = ("payment-source", "checkout.updated", "source.chargeable")
ORDER_ENDS = ("order.accepted", "order.cancelled", "order.blocked", "order.charge.failed")
PERSON = ("decision", "order.*")
H, P, A, L, R = State.HELD, State.PENDING, State.ACCEPTED, State.LOST, State.REVIEW
WAITS: dict[tuple[State, Reason | None], Wait] = {
    (H, Reason.CHECKING): Wait(("read_checkout",), Looking.COMMAND, _forever, End.NEVER),
    (H, Reason.RETRY_SCHEDULED): Wait(("read_checkout",), Looking.COMMAND, _retry, End.EXPIRE),
    (H, Reason.READY): _held("order.created", "order.rejected", "POST /v1/purchases"),
    (H, Reason.PAYMENT_REQUIRED): _held(*PAYMENT),
    (H, Reason.PAYMENT_INCOMPLETE): _held(*PAYMENT),
    (H, Reason.STEP_UP_REQUIRED): _held("return", *PAYMENT),
    (H, Reason.CORRECTION_REQUIRED): _held("corrections", "checkout.updated"),
    (H, Reason.CONFIRMATION_REQUIRED): _held("confirmation", "checkout.updated"),
    (H, Reason.IN_FLIGHT): Wait(
        ("checkout.updated", "source.chargeable"), Looking.POLL, _hold, End.REVIEW
    ),
    (State.SUBMITTING, None): Wait(("submit",), Looking.COMMAND, _forever, End.NEVER),
    (State.UNKNOWN, None): Wait(("find_orders", "order.*"), Looking.LOOKUP, _forever, End.NEVER),
    (P, Reason.REDIRECT): Wait(
        ("return", "cancel", *ORDER_ENDS), Looking.ORDER, _redirect, End.REFRESH
    ),
    (P, Reason.FUNDS): _pending(*ORDER_ENDS),
    (P, Reason.PROCESSING): _pending(*ORDER_ENDS),
    (P, Reason.FRAUD_REVIEW): _pending("order.review_closed", *ORDER_ENDS),
    (A, None): _ended("order.*"),
    (A, Reason.CAPTURE_FAILED): _ended("order.*"),
    (A, Reason.REAUTHORIZATION_FAILED): _ended("order.*"),
    (A, Reason.DISPUTED): _ended("order.dispute.resolved"),
    (A, Reason.CHARGEBACK): _ended("order.*"),
    (L, Reason.BLOCKED): _ended(),
    (L, Reason.FRAUD): _ended(),
    (L, Reason.CANCELLED): _ended(),
    (L, Reason.EXPIRED): _ended(),
    (L, Reason.EXHAUSTED): _ended(),
    (L, Reason.STOPPED): _ended(),
    (L, Reason.SUPERSEDED): _ended(),
    (R, Reason.STALE_ORDER): _ended(*PERSON),
    (R, Reason.DUPLICATE_ORDER): _ended(*PERSON),
    (R, Reason.MERGE): _ended(*PERSON),
    (R, Reason.CREDENTIALS): _ended(*PERSON),
    (R, Reason.UNDECIDED): _ended(*PERSON),
    (R, Reason.CHECKOUT_NOT_FOUND): _ended(*PERSON),
    (R, Reason.CUSTOMER_DISABLED): _ended(*PERSON),
}


def waits(purchase: Purchase) -> Wait:
    """The row of a purchase as it stands."""
    return WAITS[purchase.state, purchase.reason]


def life(purchase: Purchase, policy: Policy) -> timedelta | None:
    """How long it may wait in this state and reason; `None`: for ever."""
    return waits(purchase).life(policy)


def overdue(purchase: Purchase, now: datetime) -> bool:
    """Whether the last look has been due: what it shows is the end of it."""
    last = waits(purchase).end is End.LOOK_THEN_EXPIRE
    return last and purchase.deadline is not None and purchase.deadline <= now


def first_look(purchase: Purchase, now: datetime, policy: Policy) -> tuple[Planned, ...]:
    """The timer that looks first at a hold that has just begun."""
    return _look(purchase, 0, now, policy)


def following_look(
    purchase: Purchase, fact: TimerFired, now: datetime, policy: Policy
) -> tuple[Planned, ...]:
    """The timer that looks after the one that fired."""
    return _look(purchase, int(fact.key.rpartition("/")[2]) + 1, now, policy)


def _look(purchase: Purchase, number: int, now: datetime, policy: Policy) -> tuple[Planned, ...]:
    """More and more rarely; none after the deadline, at which there is a look anyway."""
    looks = policy.held_looks
    if waits(purchase).looking is not Looking.IDLE or not looks:
        return ()
    due = now + looks[min(number, len(looks) - 1)]
    if purchase.deadline and due >= purchase.deadline:
        return ()
    wake = Wake(name=SILENCE, hold=purchase.hold)
    return (
        Planned(key=f"{purchase.id}/{purchase.hold}/{SILENCE}/{number}", command=wake, due=due),
    )


def order_look(purchase: Purchase, now: datetime, policy: Policy) -> datetime | None:
    """When to read the order of a pending purchase again; `None` if nobody is to."""
    if waits(purchase).looking is not Looking.ORDER:
        return None
    return now + policy.pending_look
