"""Orders that the merchant submits by itself: rejections it reports, and whose turn it is.

What we are told is remedied like a rejection of our own (I3, I4, I6, I9), but nothing is ever
submitted: where our own purchase would submit, the merchant's is `held: ready`.
"""

from dataclasses import dataclass, replace

from handlers import calls, chain, declines, rejection, submission, unknown
from handlers.decision import Decision, Moment, ignore
from handlers.moves import change, check, hold, with_current
from handlers.policy import Policy
from handlers.sight import Sight, evidence
from handlers.tables import TABLE, Action
from handlers.waiting import overdue
from schemas.base import JsonObject
from schemas.facts import OrderRejected
from schemas.purchase import Condition, Link, Purchase, Reason, State, Submission
from schemas.requests import RejectionReport
from schemas.results import Reading, Rejected

NOT_FOUND = 404  # a report may have lost what was not found: an order may exist (I6)


@dataclass(frozen=True, slots=True)
class Tried:
    """What the merchant had charged: the primary source of the checkout, as read afterwards."""

    checkout_id: str
    source_id: str | None
    reusable: bool


def on_rejected(
    purchase: Purchase, fact: OrderRejected, moment: Moment, policy: Policy
) -> Decision:
    """`order.rejected`: what it says that we did not know, and what follows."""
    report = fact.report
    seen: dict[str, object] = {"status": report.status, "checkout": report.checkout_id}
    if _refused_since(purchase, report):
        return _learnt_late(purchase, report, moment, policy, seen)
    if rule := _nothing_to_us(purchase, report):
        return ignore(purchase, rule, "DESIGN, Events of our own", **seen)
    if report.checkout_id not in purchase.checkout_ids:
        purchase = chain.joined_rejected(purchase, report, min(fact.created, moment.at))
    purchase = _recorded(purchase, report, moment)
    if purchase.state is State.REVIEW and purchase.reason is not Reason.CREDENTIALS:
        noted = change(_weighed(purchase, report, moment, policy), permit=None)
        return Decision(noted, "merchant.rejected_in_review", "DESIGN, HTTP", evidence=seen)
    return _answered(purchase, report, moment, policy, seen)


def _refused_since(purchase: Purchase, report: RejectionReport) -> bool:
    """Whether it is the first word of the 409 of a checkout that the purchase does not stand or
    fall with any more: what it charged was declined all the same (I9)."""
    link = next((e for e in purchase.chain if e.checkout_id == report.checkout_id), None)
    if link is None or report.status != 409 or link.condition is Condition.CONSUMED:
        return False
    known = declines.last_submission(purchase, link.checkout_id)
    if known and known.status == 409 and link.condition is Condition.DEAD:
        return False
    over = purchase.state in (State.LOST, State.ACCEPTED)
    stands = link is purchase.current and link.condition is Condition.OPEN
    return not over and (not stands or purchase.state is State.PENDING)


def _learnt_late(
    purchase: Purchase,
    report: RejectionReport,
    moment: Moment,
    policy: Policy,
    seen: dict[str, object],
) -> Decision:
    """The next reading is one of that checkout; where nothing is under way, it is now."""
    verdict = Rejected(status=report.status, problems=report.error.errors)
    noted = declines.refused(
        *(_recorded(purchase, report, moment), report.checkout_id, verdict, policy)
    )
    rule = "merchant.rejected_before"
    if purchase.state is not State.HELD:
        return Decision(noted, rule, "I9", evidence=seen)
    return replace(calls.recheck(noted, rule, "I9"), evidence=seen)


def _nothing_to_us(purchase: Purchase, report: RejectionReport) -> str | None:
    """The rule by which a report changes nothing."""
    link = next((e for e in purchase.chain if e.checkout_id == report.checkout_id), None)
    if purchase.state is State.LOST:
        return "merchant.ended"
    if purchase.state in (State.ACCEPTED, State.PENDING):
        return "merchant.order_exists"
    if link is None:
        return None if purchase.state is State.HELD else "merchant.not_now"
    if link.condition is Condition.CONSUMED:
        return "merchant.order_exists"
    if link is not purchase.current:
        return None if _may_be_ordered(purchase, link, report) else "merchant.former_checkout"
    if link.condition is not Condition.OPEN:
        return "merchant.known"
    return None if _theirs(purchase, report) else "merchant.ours_submits"


def _may_be_ordered(purchase: Purchase, link: Link, report: RejectionReport) -> bool:
    """Whether nobody knows what became of a checkout that was replaced meanwhile (I6)."""
    silent = _outcome(report.status) == "unknown" and link.condition is Condition.SUPERSEDED
    return silent and purchase.state in (State.HELD, State.UNKNOWN)


def _theirs(purchase: Purchase, report: RejectionReport) -> bool:
    """Whether the merchant can have submitted this: not while it is we who do.

    A 409 counts even if the purchase was handed over since, and a report that opened a purchase
    counts whoever is to submit from then on.
    """
    if purchase.state is State.SUBMITTING or purchase.permit is not None:
        return False
    opened = purchase.version == 1 and not purchase.submissions
    return purchase.submits == "merchant" or opened or report.status == 409


def _recorded(purchase: Purchase, report: RejectionReport, moment: Moment) -> Purchase:
    """The purchase with the merchant's submission; who reports, hands over what was observed."""
    number, attempt = _numbered(purchase, report)
    current = report.create_request and report.checkout_id == purchase.current.checkout_id
    entry = Submission(
        number=number,
        attempt=attempt,
        checkout_id=report.checkout_id,
        source_id=None,
        at=moment.at,
        answered=moment.at,
        status=report.status,
        outcome=_outcome(report.status),
        problems=report.error.errors,
        by_merchant=True,
    )
    return change(
        purchase,
        submissions=(*purchase.submissions, entry),
        create_request=report.create_request if current else purchase.create_request,
        observed=False,
    )


def _numbered(purchase: Purchase, report: RejectionReport) -> tuple[int, int]:
    """As with ours, repeating what was not processed or not answered does not count (I9)."""
    last = purchase.submissions[-1] if purchase.submissions else None
    repeated = (
        last is not None
        and last.by_merchant
        and last.checkout_id == report.checkout_id
        and last.outcome != "rejected"
    )
    if last is not None and repeated:
        return last.number, last.attempt + 1
    return purchase.attempts + 1, 1


def _outcome(status: int) -> str:
    """What the status alone means, as the table of remedies has it."""
    action = TABLE.row(status, None, None, None).then.action
    if action is Action.WAIT:
        return "unavailable"
    return "unknown" if action is Action.LOOK or status == NOT_FOUND else "rejected"


def _answered(
    purchase: Purchase,
    report: RejectionReport,
    moment: Moment,
    policy: Policy,
    seen: dict[str, object],
) -> Decision:
    """As after an answer to a submission of ours (`submission.on_ended`)."""
    verdict = Rejected(status=report.status, problems=report.error.errors)
    match _outcome(report.status):
        case "unknown":
            return unknown.begin(purchase, moment.at, moment, evidence=seen)
        case "unavailable" if purchase.unsettled_since:
            return unknown.look(purchase, "merchant.not_processed", moment, seen)
        case "unavailable":
            return _checked(purchase, "merchant.not_processed", "PLATFORM §4.3", seen)
    if rejection.leaves_open(verdict):
        return rejection.to_operator(purchase, verdict)
    purchase = _weighed(purchase, report, moment, policy)
    if purchase.unsettled_since:
        return unknown.look(purchase, "merchant.rejected_after_unknown", moment, seen)
    return _checked(purchase, "merchant.rejected", "I3", seen)


def _checked(purchase: Purchase, rule: str, source: str, seen: JsonObject) -> Decision:
    checked, commands = check(purchase)
    return Decision(checked, rule, source, commands, evidence=seen)


def _weighed(
    purchase: Purchase, report: RejectionReport, moment: Moment, policy: Policy
) -> Purchase:
    """A definite no waits for the proof that no order exists; a 409 ends the checkout at once.

    Silence must settle, also if that is after a review (I6).
    """
    verdict = Rejected(status=report.status, problems=report.error.errors)
    if _outcome(report.status) == "unknown":
        return change(purchase, unsettled_since=moment.at)
    if rejection.leaves_open(verdict) or _outcome(report.status) != "rejected":
        return purchase
    if report.status == 409:
        purchase = declines.refused(purchase, report.checkout_id, verdict, policy)
    return change(purchase, verdict=submission.harder(purchase, verdict, policy))


def on_reading(
    purchase: Purchase, reading: Reading, moment: Moment, policy: Policy
) -> Decision | None:
    """No order exists, as just read: the rejection that the merchant reported holds.

    The source that it had charged is the one on the checkout; it is not charged again (I9).
    """
    verdict = purchase.verdict
    if verdict is None or purchase.permit is not None or purchase.state is not State.HELD:
        return None
    checkout_id = purchase.current.checkout_id
    tried = Tried(checkout_id, *declines.source_in(reading))
    known = declines.with_submission(purchase, checkout_id, source_id=tried.source_id)
    known = change(with_current(known, unread=None), verdict=None)
    return rejection.apply(known, verdict, tried, moment, policy)


def ready(
    purchase: Purchase, sight: Sight, passed: tuple[str, ...], moment: Moment, policy: Policy
) -> Decision:
    """The gate has passed: the merchant's turn. Silence leads to a look, which finds its order."""
    held, timers = hold(purchase, Reason.READY, moment, policy)
    if overdue(held, moment.now):
        return submission.expired(held)
    return Decision(
        *(change(held, awaiting=None), "gate.ready", "PLATFORM §3.2", timers),
        evidence=evidence(sight),
        alternatives=passed,
    )
