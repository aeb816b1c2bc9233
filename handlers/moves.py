"""The moves that rules are made of: enter a state, plan the next step, wake later."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from handlers.decision import Moment
from handlers.policy import Policy
from handlers.waiting import first_look, life
from schemas.base import JsonObject
from schemas.commands import Command, Planned, ReadCheckout, Wake
from schemas.facts import CommandEnded
from schemas.purchase import Condition, Link, Purchase, Reason, State


def change(purchase: Purchase, **fields: Any) -> Purchase:
    """The purchase with these fields changed."""
    return purchase.model_copy(update=fields)


def enter(
    purchase: Purchase,
    state: State,
    reason: Reason | None = None,
    *,
    message: str | None = None,
    next_action: JsonObject | None = None,
) -> Purchase:
    """Enter a state. Another state or reason begins a new hold and ends the old one's timers."""
    same = (state, reason) == (purchase.state, purchase.reason)
    return change(
        purchase,
        state=state,
        reason=reason,
        message=message,
        next_action=next_action,
        hold=purchase.hold if same else purchase.hold + 1,
        deadline=purchase.deadline if same else None,
    )


def hold(
    purchase: Purchase,
    reason: Reason,
    moment: Moment,
    policy: Policy,
    *,
    message: str | None = None,
    next_action: JsonObject | None = None,
) -> tuple[Purchase, tuple[Planned, ...]]:
    """Hold the purchase, with the timers that look at it and that end it (`handlers.waiting`)."""
    held = enter(purchase, State.HELD, reason, message=message, next_action=next_action)
    held, ending = patience(held, moment, policy)
    return held, (*ending, *(first_look(held, moment.now, policy) if ending else ()))


def patience(
    purchase: Purchase, moment: Moment, policy: Policy
) -> tuple[Purchase, tuple[Planned, ...]]:
    """With the deadline of its wait and the timer for it, unless it has one or never ends."""
    lasts = life(purchase, policy)
    if lasts is None or purchase.deadline:
        return purchase, ()
    waiting = change(purchase, deadline=moment.now + lasts)
    ending = Wake(name="deadline", hold=waiting.hold)
    key = f"{waiting.id}/{waiting.hold}/deadline"
    return waiting, (Planned(key=key, command=ending, due=waiting.deadline),)


def struggle(
    purchase: Purchase, moment: Moment, policy: Policy
) -> tuple[Purchase, tuple[Planned, ...]]:
    """The platform does not let us finish a check: it goes on, and it shows, with a deadline.

    What the shopper is asked for stays as it is.
    """
    if purchase.reason not in (Reason.CHECKING, Reason.RETRY_SCHEDULED):
        return purchase, ()
    return hold(purchase, Reason.RETRY_SCHEDULED, moment, policy, message="order.checking")


def end(purchase: Purchase, state: State, reason: Reason | None, message: str | None) -> Purchase:
    """Enter a state in which nothing of ours is under way any more.

    After a review it may go on, so what the shopper asked for is kept for then; after an order
    that is not paid, so are the corrections.
    """
    entered = enter(purchase, state, reason, message=message)
    ended = change(entered, awaiting=None, stale=False, replacing=None)
    if state is State.REVIEW:
        return ended
    left = purchase.wanted_changes if state is State.PENDING else {}
    return change(
        ended, wanted_source=None, save_source=False, wanted_changes=left, waiting_request=None
    )


def step(
    purchase: Purchase, command: Command, due: datetime | None = None, key: str | None = None
) -> tuple[Purchase, tuple[Planned, ...]]:
    """Plan the next command of the main path; its result is what the purchase waits for."""
    key = key or f"{purchase.id}/{purchase.step}/{command.kind}"
    moved = change(purchase, step=purchase.step + 1, awaiting=key, stale=False)
    return moved, (Planned(key=key, command=command, due=due),)


def read(purchase: Purchase, due: datetime | None = None) -> tuple[Purchase, tuple[Planned, ...]]:
    """Read the current checkout together with the orders of the whole chain (I1, I3).

    First those that were refused and whose source nobody knows yet, one by one (I9).
    """
    return step(
        purchase,
        ReadCheckout(
            checkout_id=(purchase.unread or purchase.current).checkout_id,
            wanted_source=purchase.wanted_source,
            checkout_ids=purchase.checkout_ids,
            upstream_id=purchase.upstream_id,
        ),
        due,
    )


def check(purchase: Purchase) -> tuple[Purchase, tuple[Planned, ...]]:
    """Begin a new check of the current checkout."""
    return read(enter(purchase, State.HELD, Reason.CHECKING))


def wake(purchase: Purchase, name: str, due: datetime) -> tuple[Purchase, tuple[Planned, ...]]:
    """Go on at `due`."""
    return step(purchase, Wake(name=name, hold=purchase.hold), due)


def later(moment: Moment, seconds: float) -> datetime:
    """The time so many seconds from now."""
    return moment.now + timedelta(seconds=seconds)


def again(fact: CommandEnded, due: datetime) -> tuple[Planned, ...]:
    """The same command once more: it was not processed, or can be repeated without harm."""
    return (Planned(key=fact.key, command=fact.command, due=due),)


def backoff(delays: Sequence[float], attempt: int) -> float:
    """The delay in seconds after attempt number `attempt`, counted from 1."""
    return delays[min(attempt, len(delays)) - 1]


def with_current(purchase: Purchase, **fields: Any) -> Purchase:
    """The purchase with these fields of its current checkout changed."""
    return with_link(purchase, purchase.current.checkout_id, **fields)


def with_condition(purchase: Purchase, checkout_id: str, condition: Condition) -> Purchase:
    """The purchase with this checkout of its chain in another condition."""
    return with_link(purchase, checkout_id, condition=condition)


def with_link(purchase: Purchase, checkout_id: str, **fields: Any) -> Purchase:
    """The purchase with these fields of one checkout of its chain changed."""

    def moved(link: Link) -> Link:
        return link.model_copy(update=fields) if link.checkout_id == checkout_id else link

    return change(purchase, chain=tuple(map(moved, purchase.chain)))
