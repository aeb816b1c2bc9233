"""SCA step-up: the one 409 after which the same checkout may be submitted again (I3).

The evidence is the vendor's own client (PLATFORM §4.2, §8 #4), so it happens behind a setting and
once for each checkout. The first reading after that 409 decides: a session that asks for the
shopper's step keeps the checkout alive, any other means that it is dead like after any 409.

The 409 itself may be lost. Its trace is not: the session asks for the step, which it did not do
when the gate let the submission pass. After settling, with no order in sight, that trace counts as
the answer (docs/adr/0009).
"""

from collections.abc import Mapping

from handlers.decision import Decision
from handlers.moves import change, check, with_current
from handlers.policy import Policy
from handlers.remedies.words import MERCHANT, MOTO
from handlers.sight import Sight
from handlers.tables import Action, charge_type
from schemas.base import JsonObject
from schemas.commands import Permit
from schemas.platform import Session
from schemas.purchase import Condition, Purchase, Submission
from schemas.results import Rejected

CODE = "additional_payment_action_required"
ACTION = "sca_required"
UNAUTHENTICATED = (MERCHANT, MOTO)  # SCA does not apply to these (PLATFORM §5.5)


def applies(purchase: Purchase, rejection: Rejected, permit: Permit | None, policy: Policy) -> bool:
    """Whether this rejection may be answered by a step-up on the same checkout."""
    row = policy.table.remedy(rejection, charge_type(purchase))
    return row.action is Action.STEP_UP and _allowed(purchase, permit, policy)


def unheard(purchase: Purchase, session: Session, policy: Policy) -> bool:
    """Whether a submission without an answer, settled without an order, met that 409."""
    return asked(session) and _allowed(purchase, purchase.permit, policy)


def _allowed(purchase: Purchase, permit: Permit | None, policy: Policy) -> bool:
    link = purchase.current
    return (
        policy.step_up
        and permit is not None
        and permit.checkout_id == link.checkout_id
        and not link.stepped_up
        and not purchase.cancel_requested
        and purchase.attempts < policy.max_submissions
        and charge_type(purchase) not in UNAUTHENTICATED
    )


def begin(purchase: Purchase, evidence: Mapping[str, object]) -> Decision:
    """Read whether the session asks for the step; nothing counts as declined by it (I9)."""
    stepping = change(with_current(purchase, stepped_up=True), permit=None)
    checked, commands = check(stepping)
    return Decision(*(checked, "step_up.look", "PLATFORM §4.2", commands), evidence=evidence)


def known(purchase: Purchase, evidence: Mapping[str, object]) -> Decision:
    """The trace of an answer that nobody heard was read: the shopper's turn, the silence over."""
    traced = change(with_current(purchase, step_seen=True), unsettled_since=None, repeats=0)
    return begin(traced, evidence)


def refused(purchase: Purchase) -> tuple[Submission, ...]:
    """The submissions of the current checkout whose 409 was heard."""
    here = purchase.current.checkout_id
    return tuple(s for s in purchase.submissions if s.checkout_id == here and s.status == 409)


def silent(purchase: Purchase) -> bool:
    """Whether only the trace speaks of a 409: then there is no other checkout before an answer is
    heard, since one checkout makes one order at most (I5, I6)."""
    return purchase.current.stepped_up and not refused(purchase)


def heard_at_last(purchase: Purchase, rejection: Rejected, permit: Permit) -> bool:
    """Whether this late answer is the very 409 whose trace was read before it came."""
    link, open_permit = purchase.current, purchase.permit
    return (
        rejection.status == 409
        and {problem.code for problem in rejection.problems} == {CODE}
        and link.stepped_up
        and link.condition is Condition.OPEN
        and link.checkout_id == permit.checkout_id
        and (open_permit is None or open_permit.number != permit.number)
        and len(refused(purchase)) == 1
    )


def undecided(purchase: Purchase) -> bool:
    """Whether the next reading decides between the step and a dead checkout."""
    return purchase.current.stepped_up and not purchase.current.step_seen


def asked(session: Session) -> bool:
    """Whether the session asks for the shopper's step."""
    return session.next_action is not None and session.next_action.action == ACTION


def outgrown(purchase: Purchase, sight: Sight, changes: JsonObject) -> bool:
    """Whether the shopper wants something else of the checkout than the step: another source, or
    these changes. It was answered 409 and takes none, so the next one gets them (I3). Where nobody
    heard that answer the same checkout is tried with them: it makes one order at most (I5, I6)."""
    wanted = purchase.wanted_source
    if silent(purchase):
        return False
    another = wanted and all(one.id != wanted for one in sight.checkout.payment.sources)
    return purchase.current.stepped_up and bool(changes or another)


def returned(purchase: Purchase) -> Decision:
    """The shopper is back from the step: what the session says now decides."""
    checked, commands = check(purchase)
    return Decision(checked, "step_up.returned", "PLATFORM §4.2", commands)
