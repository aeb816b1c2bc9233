"""Submitting under a permit, and what its answer means (I1, I6, I9; PLATFORM §4)."""

from collections.abc import Mapping
from dataclasses import replace

from handlers import orders, rejection, step_up, unknown
from handlers.decision import Decision, Moment, ignore
from handlers.moves import backoff, change, check, end, enter, hold, later, step, wake
from handlers.order_bodies import parsed
from handlers.policy import Policy
from handlers.sight import Sight, evidence
from handlers.tables import Action, remedy_for
from schemas.commands import Permit, Submit
from schemas.facts import CommandEnded
from schemas.purchase import Condition, Purchase, Reason, State, Submission
from schemas.results import (
    Abandoned,
    NeverSent,
    OutcomeUnknown,
    Rejected,
    Succeeded,
    Unavailable,
)


def submit(
    purchase: Purchase, sight: Sight, passed: tuple[str, ...], moment: Moment, policy: Policy
) -> Decision:
    """The gate has passed: grant a permit and submit, within the budget of I9."""
    if purchase.cancel_requested:
        return cancelled(purchase, "submission.cancelled")
    number, attempt = _numbered(purchase, sight)
    if number > policy.max_submissions:
        spent = end(purchase, State.LOST, Reason.EXHAUSTED, "order.failed")
        return Decision(spent, "submission.exhausted", "I9", evidence={"attempts": number - 1})
    permit = _permit(purchase, sight, number, attempt, moment, policy)
    entry = Submission(
        number=number,
        attempt=attempt,
        checkout_id=permit.checkout_id,
        source_id=permit.source_id,
        at=moment.now,
    )
    granted = change(
        enter(purchase, State.SUBMITTING, message="order.checking"),
        permit=permit,
        submissions=(*purchase.submissions, entry),
        repeats=purchase.repeats + (purchase.unsettled_since is not None),
    )
    key = f"{purchase.id}/{number}/submit/{attempt}"
    granted, commands = step(granted, Submit(permit=permit), key=key)
    return Decision(
        *(granted, "gate.passed", "PLATFORM §3.2", commands),
        evidence=evidence(sight) | {"number": number, "attempt": attempt},
        alternatives=passed,
    )


def _numbered(purchase: Purchase, sight: Sight) -> tuple[int, int]:
    """A new number, or the open permit's with its next attempt: repeats do not count (I9)."""
    permit = purchase.permit
    if permit is None or permit.checkout_id != sight.checkout.id:
        return purchase.attempts + 1, 1
    return permit.number, permit.attempt + 1


def _permit(
    purchase: Purchase, sight: Sight, number: int, attempt: int, moment: Moment, policy: Policy
) -> Permit:
    primary = sight.checkout.primary_source
    return Permit(
        number=number,
        attempt=attempt,
        checkout_id=sight.checkout.id,
        source_id=primary.id if primary else None,
        reusable=bool(sight.source and sight.source.reusable),
        version=purchase.version + 1,
        epoch=moment.epoch,
        session_state=sight.session.state or "",
        amount_remaining=sight.session.amount_remaining or 0.0,
        total=sight.total,
        granted_at=moment.now,
        not_after=moment.at + policy.permit_life,
    )


def on_ended(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    """A submission has a result. Late answers count as much as those in time (I7)."""
    assert isinstance(fact.command, Submit)
    permit, result = fact.command.permit, fact.result
    awaited = fact.key == purchase.awaiting
    if isinstance(result, NeverSent):
        return _never_sent(purchase, permit, moment, awaited=awaited)
    purchase = _recorded(purchase, permit, fact, moment)
    match result:
        case Succeeded():
            return _placed(purchase, result, permit, moment, policy)
        case OutcomeUnknown() | Abandoned() if not awaited:
            return _still_unknown(purchase, permit, moment, _seen(result))
        case OutcomeUnknown() | Abandoned():
            sent_by = result.sent_by if isinstance(result, Abandoned) else moment.at
            return unknown.begin(purchase, sent_by, moment, evidence=_seen(result))
        case Unavailable():
            return _busy(purchase, result, permit, moment, policy, awaited=awaited)
        case Rejected():
            return _rejected(purchase, result, permit, moment, policy, awaited=awaited)


def _recorded(purchase: Purchase, permit: Permit, fact: CommandEnded, moment: Moment) -> Purchase:
    """The purchase with the answer in its list of submissions."""
    result = fact.result
    answer = {
        "answered": moment.at,
        "outcome": result.outcome,
        "status": getattr(result, "status", None),
        "problems": getattr(result, "problems", ()),
        "request_id": getattr(result, "request_id", None),
    }
    entries = tuple(
        entry.model_copy(update=answer)
        if (entry.number, entry.attempt) == (permit.number, permit.attempt)
        and entry.outcome in (None, "abandoned")
        else entry
        for entry in purchase.submissions
    )
    return change(purchase, submissions=entries)


def _never_sent(purchase: Purchase, permit: Permit, moment: Moment, *, awaited: bool) -> Decision:
    """The permit was void before anything was sent: look at the checkout again."""
    kept = tuple(
        entry
        for entry in purchase.submissions
        if (entry.number, entry.attempt) != (permit.number, permit.attempt)
    )
    purchase = change(purchase, submissions=kept)
    if not awaited:
        return ignore(purchase, "submission.never_sent", "I1")
    if purchase.unsettled_since:
        return unknown.look(purchase, "submission.never_sent", moment)
    if purchase.cancel_requested:
        return cancelled(purchase, "submission.cancelled_before_sending")
    checked, commands = check(purchase)
    return Decision(checked, "submission.permit_void", "I1", commands)


def _placed(
    purchase: Purchase, result: Succeeded, permit: Permit, moment: Moment, policy: Policy
) -> Decision:
    found = parsed((result.body,))
    if not found:
        return unknown.begin(purchase, moment.at, moment, evidence={"unreadable": True})
    order = found[0]
    if order.checkout_id is None:
        order = order.model_copy(update={"checkout_id": permit.checkout_id})
    return orders.settle(purchase, order, moment, policy, rule="submission.created")


def _busy(
    purchase: Purchase,
    result: Unavailable,
    permit: Permit,
    moment: Moment,
    policy: Policy,
    *,
    awaited: bool,
) -> Decision:
    """Not processed (PLATFORM §1.5): the same checkout again, unchanged, through the gate."""
    seen = {"retryAfter": result.retry_after, "status": result.status}
    if not awaited:
        return ignore(purchase, "submission.not_processed", "PLATFORM §4.3", **seen)
    if purchase.unsettled_since:
        return unknown.look(purchase, "submission.not_processed", moment)
    if purchase.cancel_requested:
        return cancelled(purchase, "submission.cancelled_unprocessed")
    delay = result.retry_after or backoff(policy.retry_after, permit.attempt)
    return retry_later(purchase, delay, "submission.not_processed", moment, policy, seen)


def retry_later(
    purchase: Purchase,
    delay: float,
    rule: str,
    moment: Moment,
    policy: Policy,
    seen: Mapping[str, object],
) -> Decision:
    """Hold until the platform takes it again, then read and pass the gate again."""
    held, timers = hold(purchase, Reason.RETRY_SCHEDULED, moment, policy, message="order.checking")
    held, waking = wake(held, "retry", later(moment, delay))
    return Decision(held, rule, "PLATFORM §4.3", (*timers, *waking), evidence=seen)


def _rejected(
    purchase: Purchase,
    result: Rejected,
    permit: Permit,
    moment: Moment,
    policy: Policy,
    *,
    awaited: bool,
) -> Decision:
    """A definite no. After an unknown outcome it still needs the proof that no order exists."""
    if awaited and rejection.leaves_open(result):
        return rejection.to_operator(purchase, result)
    if not awaited and step_up.heard_at_last(purchase, result, permit):
        return _heard_at_last(purchase, result)
    if not awaited and (_has_moved_on(purchase, permit) or rejection.leaves_open(result)):
        return _too_late(purchase, result, permit, moment, policy)
    if not awaited and purchase.state in (State.SUBMITTING, State.REVIEW):
        # Another attempt is under way, or a person is asked; then this verdict is weighed.
        # With the silence over, as after a step-up, that attempt's own answer would hide it (I3).
        since = purchase.unsettled_since or moment.at
        if result.status == 409 and purchase.permit and purchase.permit.number != permit.number:
            purchase = rejection.declined_late(purchase, result, permit, policy)
        noted = change(purchase, verdict=harder(purchase, result, policy), unsettled_since=since)
        return Decision(noted, "submission.late_verdict", "I6", evidence=_seen(result))
    if purchase.unsettled_since:
        proving = change(purchase, verdict=harder(purchase, result, policy))
        return unknown.look(proving, "submission.rejected_after_unknown", moment)
    return rejection.apply(purchase, result, permit, moment, policy)


def _heard_at_last(purchase: Purchase, result: Rejected) -> Decision:
    """Its step was asked for already; what the shopper wants besides it may go elsewhere now."""
    rule, seen = "submission.step_up_heard", _seen(result)
    if purchase.state is not State.HELD:
        return Decision(purchase, rule, "PLATFORM §4.2", evidence=seen)
    checked, commands = check(purchase)
    return Decision(checked, rule, "PLATFORM §4.2", commands, evidence=seen)


def _too_late(
    purchase: Purchase, result: Rejected, permit: Permit, moment: Moment, policy: Policy
) -> Decision:
    """A no about what nobody waits for. A 409 ends its checkout at any time (I3), and its source
    was declined (I9), unless an order is there."""
    link = next((one for one in purchase.chain if one.checkout_id == permit.checkout_id), None)
    alive = link is not None and link.condition in (Condition.OPEN, Condition.SUPERSEDED)
    over = purchase.state in (State.LOST, State.ACCEPTED)
    if result.status != 409 or not alive or over:
        return ignore(purchase, "submission.late_rejection", "I7", **_seen(result))
    if purchase.state is State.HELD and link is purchase.current:
        decision = rejection.apply(purchase, result, permit, moment, policy)
        if purchase.wanted_source in (None, permit.source_id) or decision.purchase.state is not (
            State.HELD
        ):
            return decision
        chosen = {"wanted_source": purchase.wanted_source, "save_source": purchase.save_source}
        return replace(decision, purchase=change(decision.purchase, **chosen))
    noted = rejection.too_late(purchase, result, permit, policy)
    return Decision(noted, "submission.late_rejection", "I3", evidence=_seen(result))


def _has_moved_on(purchase: Purchase, permit: Permit) -> bool:
    """Whether a late answer is about a checkout or a submission that matters no more."""
    current = permit.checkout_id == purchase.current.checkout_id
    asked = purchase.state is State.REVIEW and purchase.unsettled_since is not None
    return not current or not (asked or purchase.state in (State.UNKNOWN, State.SUBMITTING))


def _still_unknown(
    purchase: Purchase, permit: Permit, moment: Moment, seen: dict[str, object]
) -> Decision:
    """Silence about an attempt that was given up before: settling counts from now (I6)."""
    since = purchase.unsettled_since
    if since is None or _has_moved_on(purchase, permit):
        return ignore(purchase, "submission.unknown_before", "I7", **seen)
    noted = change(purchase, unsettled_since=max(since, moment.at))
    return Decision(noted, "submission.unknown_still", "I6", evidence=seen)


def expired(purchase: Purchase) -> Decision:
    """The last look showed nothing new: nobody came back in time."""
    due = purchase.deadline
    lost = end(purchase, State.LOST, Reason.EXPIRED, "order.expired")
    seen = {"due": due.isoformat()} if due else {}
    return Decision(lost, "timer.deadline", "DESIGN, settings", evidence=seen)


def cancelled(purchase: Purchase, rule: str) -> Decision:
    """The shopper cancelled, and no order can exist."""
    lost = end(purchase, State.LOST, Reason.CANCELLED, "order.cancelled")
    return Decision(lost, rule, "DESIGN, cancel")


def _seen(result: Rejected | OutcomeUnknown | Abandoned) -> dict[str, object]:
    if isinstance(result, Abandoned):
        return {"abandoned": True}
    return {
        "status": result.status,
        "problems": [problem.model_dump() for problem in result.problems],
        "requestId": result.request_id,
    }


def harder(purchase: Purchase, result: Rejected, policy: Policy) -> Rejected:
    """Of two answers about one checkout the final one counts, then a 409: it is dead (I3)."""

    def weight(verdict: Rejected) -> tuple[bool, bool]:
        action = remedy_for(purchase, verdict, policy.table).action
        return action in (Action.END, Action.STOP), verdict.status == 409

    known = purchase.verdict
    return max((known, result), key=weight) if known else result
