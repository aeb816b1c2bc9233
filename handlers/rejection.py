"""Applying a definite rejection of `POST /orders` (I3, I4, I9; PLATFORM §4.2, §4.3)."""

from typing import Protocol

from handlers import declines, step_up
from handlers.asks import for_corrections
from handlers.credits import refuse_all
from handlers.decision import Decision, Moment
from handlers.moves import change, check, end, enter, with_condition, with_current
from handlers.paths import digest
from handlers.policy import Policy
from handlers.remedies.answers import GOODS
from handlers.sight import Sight
from handlers.tables import Action, Remedy, created_only, path, remedy, remedy_for
from schemas.commands import Permit
from schemas.platform import Checkout, Session
from schemas.purchase import Condition, Fault, Purchase, Reason, State
from schemas.results import PlatformProblem, Rejected

REMEDIES = (
    *(Action.NEW_CHECKOUT, Action.REPAIR, Action.REPLACE, Action.OPERATOR, Action.PERSON),
    *(Action.STOP, Action.END),
)
SESSION_FAULT = "payment.session"
ENDS = {Action.END: Reason.FRAUD, Action.STOP: Reason.STOPPED}
SOURCE_FAULT = "payment.source"  # a chosen source was refused: none is charged in its place (I9)


class Tried(Protocol):
    """What was charged in vain: our permit, or what the merchant submitted by itself."""

    @property
    def checkout_id(self) -> str: ...

    @property
    def source_id(self) -> str | None: ...

    @property
    def reusable(self) -> bool: ...


def leaves_open(rejection: Rejected) -> bool:
    """Whether the same submission may be repeated unchanged once a person mended our side."""
    return remedy(rejection).action is Action.OPERATOR


def to_operator(purchase: Purchase, rejection: Rejected) -> Decision:
    """Our key or client is at fault: a person, once; the checkout and the permit stay."""
    row = remedy(rejection)
    waiting = enter(purchase, State.REVIEW, Reason.CREDENTIALS, message="order.checking")
    return Decision(
        *(change(waiting, awaiting=None), row.rule, row.source),
        evidence=_seen(rejection),
        alert="credentials",
    )


def apply(
    purchase: Purchase,
    rejection: Rejected,
    permit: Tried | None,
    moment: Moment,
    policy: Policy,
) -> Decision:
    """The platform said no, and no order exists: the one remedy of the table."""
    row = remedy_for(purchase, rejection, policy.table)
    ours = permit if isinstance(permit, Permit) else None  # the merchant's is dead already
    if step_up.applies(purchase, rejection, ours, policy):
        return step_up.begin(purchase, _seen(rejection))
    checkout_id = permit.checkout_id if permit else purchase.current.checkout_id
    purchase = change(_noted(purchase, checkout_id, row), permit=None)
    if rejection.status == 409:
        purchase = _dead(purchase, permit, row)
    return _told(purchase, rejection, row, moment, policy)


def too_late(purchase: Purchase, rejection: Rejected, permit: Permit, policy: Policy) -> Purchase:
    """A 409 about a checkout that the purchase has moved on from: dead and declined all the same.

    What the shopper has chosen since stays chosen.
    """
    dead = with_condition(purchase, permit.checkout_id, Condition.DEAD)
    return declined_late(dead, rejection, permit, policy)


def declined_late(
    purchase: Purchase, rejection: Rejected, permit: Permit, policy: Policy
) -> Purchase:
    """The purchase with the source declined that an earlier permit of it charged."""
    if permit.source_id is None:
        return purchase
    row = remedy_for(purchase, rejection, policy.table)
    again = row.again if permit.reusable else 0
    return declines.noted(purchase, permit.source_id, again)


def not_stepped_up(purchase: Purchase, sight: Sight, moment: Moment, policy: Policy) -> Decision:
    """After all the session asks for no step, or the shopper wants something else than to do it:
    dead, as after any 409 (I3; PLATFORM §4.2). A saved source that they chose goes to the next."""
    last = step_up.refused(purchase)[-1]
    rejection = Rejected(status=409, problems=last.problems, request_id=last.request_id)
    row = remedy_for(purchase, rejection, policy.table)
    reusable = bool(sight.source and sight.source.reusable)
    dead = with_condition(_noted(purchase, last.checkout_id, row), last.checkout_id, Condition.DEAD)
    dead = _declined(dead, last.source_id, row, reusable=reusable)
    if sight.wanted and sight.wanted.reusable and purchase.wanted_source != last.source_id:
        kept = {"wanted_source": purchase.wanted_source, "save_source": purchase.save_source}
        dead = change(dead, **kept)
    settled = change(dead, unsettled_since=None, repeats=0)  # if there was silence, it has settled
    return _told(settled, rejection, row, moment, policy)


def _told(
    purchase: Purchase, rejection: Rejected, row: Remedy, moment: Moment, policy: Policy
) -> Decision:
    decision = _remedied(purchase, rejection, row, moment, policy)
    alert = decision.alert or (None if row.known else "unlisted_rejection")
    return Decision(
        *(decision.purchase, row.rule, row.source, decision.commands),
        evidence=_seen(rejection) | {"remedy": row.action.value},
        alternatives=tuple(action.value for action in REMEDIES if action is not row.action),
        alert=alert,
    )


def _dead(purchase: Purchase, permit: Tried | None, row: Remedy) -> Purchase:
    """The checkout is dead (I3) and its source declined, for good or once more (I9)."""
    checkout_id = permit.checkout_id if permit else purchase.current.checkout_id
    purchase = with_condition(purchase, checkout_id, Condition.DEAD)
    if permit is None:
        return purchase
    return _declined(purchase, permit.source_id, row, reusable=permit.reusable)


def _declined(
    purchase: Purchase, source_id: str | None, row: Remedy, *, reusable: bool
) -> Purchase:
    """The purchase with this source declined; with its credits, if they alone paid (I9)."""
    if source_id is None:
        return refuse_all(purchase) if row.charged else purchase
    # A source that is not saved can't be chosen again anyway: it was used up by this charge.
    known = declines.noted(purchase, source_id, row.again if reusable else 0)
    return change(known, wanted_source=None, save_source=False)


def _remedied(
    purchase: Purchase, rejection: Rejected, row: Remedy, moment: Moment, policy: Policy
) -> Decision:
    if row.action in ENDS:
        return Decision(end(purchase, State.LOST, ENDS[row.action], row.message), "", "")
    if purchase.cancel_requested:
        return Decision(end(purchase, State.LOST, Reason.CANCELLED, "order.cancelled"), "", "")
    if purchase.attempts >= policy.max_submissions:
        return Decision(end(purchase, State.LOST, Reason.EXHAUSTED, "order.failed"), "", "")
    purchase = _with_faults(purchase, rejection)
    if row.action not in (Action.NEW_CHECKOUT, Action.REPLACE, Action.REPAIR):
        return Decision(end(purchase, State.REVIEW, Reason.UNDECIDED, "order.checking"), "", "")
    if row.action is Action.REPLACE:
        return _uncorrectable_here(purchase, row, moment, policy)
    checked, commands = check(change(purchase, notice=row.message))
    return Decision(checked, "", "", commands)


def _uncorrectable_here(
    purchase: Purchase, row: Remedy, moment: Moment, policy: Policy
) -> Decision:
    """Only the storefront knows the right items or prices: ask; the answer opens a new one."""
    held, commands = for_corrections(purchase, purchase.faults, moment, policy)
    return Decision(held, "", "", commands)


def _with_faults(purchase: Purchase, rejection: Rejected) -> Purchase:
    """Note what was refused: it stands until a reading shows another value there (I4)."""
    found = {fault.path: fault for fault in purchase.faults}
    for problem in rejection.problems:
        if fault := fault_of(problem):
            found[fault.path] = fault
    failed = tuple(f"{p.code or ''}/{p.parameter or ''}" for p in rejection.problems)
    if rejection.status != 409:
        purchase = with_current(purchase, failed=(*purchase.current.failed, *failed))
    return change(purchase, faults=tuple(found.values()))


def fault_of(problem: PlatformProblem) -> Fault | None:
    """Where in the checkout a problem is, as a fault; `None` if it is nowhere in it."""
    if problem.code == "order_submit_failed" or problem.parameter == "sourceId":
        return Fault(path=SESSION_FAULT, problem="refused")
    if problem.code in GOODS:
        return Fault(path="items", problem="unavailable")
    place = created_only(problem) or path(problem)
    if place is None:
        return None
    missing = (problem.code or "").startswith(("missing", "additional_information"))
    return Fault(path=place, problem="missing" if missing else "invalid")


def paid_by(checkout: Checkout) -> list[object]:
    """What a refusal of the session or of a source was about: it stands while this is the same."""
    primary, session = checkout.primary_source, checkout.payment.session or Session()
    return [session.state, session.amount_contributed, primary.id if primary else None]


def source_fault(checkout: Checkout | None = None) -> Fault:
    """A chosen source was refused; whatever else is attached waits for the shopper's word (I9)."""
    seen = digest(paid_by(checkout)) if checkout else None
    return Fault(path=SOURCE_FAULT, problem="refused", digest=seen)


def _noted(purchase: Purchase, checkout_id: str, row: Remedy) -> Purchase:
    """The checkout's last submission with the remedy; fraud reads like any other end (I8)."""
    return declines.with_submission(purchase, checkout_id, remedy=row.action.value)


def _seen(rejection: Rejected) -> dict[str, object]:
    return {
        "status": rejection.status,
        "problems": [problem.model_dump() for problem in rejection.problems],
        "requestId": rejection.request_id,
    }
