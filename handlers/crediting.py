"""What became of making, attaching and releasing store credit (PLATFORM §3.3, §3.5)."""

from handlers import rejection
from handlers.changes import not_processed, perhaps
from handlers.credits import attach, coming, refuse, release, with_credit
from handlers.decision import Decision, Moment, ignore
from handlers.moves import again, backoff, change, later, read
from handlers.policy import Policy
from schemas.commands import AttachSource, CreateCredit, DetachSource
from schemas.facts import CommandEnded
from schemas.purchase import Purchase, State
from schemas.results import NeverSent, Rejected, Succeeded, Unavailable

TOO_LARGE = "session_source_amount_too_large"
MOST_RELEASES = 6  # attempts without a definite answer


def on_created(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    """`POST /sources` was answered. One that was made and is not attached does no harm."""
    assert isinstance(fact.command, CreateCredit)
    if fact.key != purchase.awaiting:
        return ignore(purchase, "change.superseded", "I7")
    credit = coming(purchase)
    if credit is None:
        reading, commands = read(purchase)
        return Decision(reading, "change.read_back", "PLATFORM §3.3", commands)
    match fact.result:
        case Succeeded(body={"id": str() as id}) if id:
            amount = fact.command.amount
            made = with_credit(purchase, credit.number, source_id=id, made=amount)
            return attach(made, id, {"credit": credit.number, "amount": amount})
        case _:
            return _not_done(purchase, fact, moment, policy)


def ours(purchase: Purchase, fact: CommandEnded) -> bool:
    """Whether an attachment is one of a credit."""
    assert isinstance(fact.command, AttachSource)
    return any(credit.source_id == fact.command.source_id for credit in purchase.credits)


def on_attached(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    """The attachment of a credit was answered; the truth is in the next reading."""
    assert isinstance(fact.command, AttachSource)
    if fact.key != purchase.awaiting:
        return _too_late(purchase, fact)
    if isinstance(fact.result, Succeeded):
        reading, commands = read(purchase)
        return Decision(reading, "change.read_back", "PLATFORM §3.3", commands)
    return _not_done(purchase, fact, moment, policy)


def _too_late(purchase: Purchase, fact: CommandEnded) -> Decision:
    """It may be on the checkout of a purchase that has ended meanwhile."""
    assert isinstance(fact.command, AttachSource)
    if purchase.state is not State.LOST or isinstance(fact.result, NeverSent | Rejected):
        return ignore(purchase, "change.superseded", "I7")
    commands = release(purchase, fact.command.checkout_id, (fact.command.source_id,))
    return Decision(purchase, "credit.release", "PLATFORM §3.5", commands)


def _not_done(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    match fact.result:
        case Unavailable(retry_after=seconds):
            return not_processed(purchase, fact, seconds, moment, policy)
        case Rejected() as refused if rejection.leaves_open(refused):
            return rejection.to_operator(purchase, refused)
        case Rejected() as refused:
            return _refused(purchase, fact, refused)
        case _:  # perhaps it was done: the reading tells
            return perhaps(purchase, fact, moment, policy)


def _refused(purchase: Purchase, fact: CommandEnded, refused: Rejected) -> Decision:
    """Too large, perhaps because the total shrank: the next reading caps it. Else it goes."""
    credit = coming(purchase)
    problems = [problem.model_dump() for problem in refused.problems]
    seen = {"status": refused.status, "problems": problems}
    if credit is None:
        reading, commands = read(purchase)
        return Decision(reading, "credit.refused", "PLATFORM §3.3", commands, evidence=seen)
    if any(problem.code == TOO_LARGE for problem in refused.problems):
        amount = fact.command.amount if isinstance(fact.command, CreateCredit) else credit.made
        smaller = with_credit(purchase, credit.number, source_id=None, made=amount)
        reading, commands = read(smaller)
        return Decision(reading, "credit.cap", "PLATFORM §3.2", commands, evidence=seen)
    return refuse(purchase, credit, "credit.refused", seen)


def on_detached(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    """A release was answered; repeating one does no harm."""
    assert isinstance(fact.command, DetachSource)
    seen = {"credit": fact.command.source_id}
    match fact.result:
        case Succeeded():
            kept = tuple(c for c in purchase.credits if c.source_id != fact.command.source_id)
            done = change(purchase, credits=kept)
            return Decision(done, "credit.released", "PLATFORM §3.5", evidence=seen)
        case NeverSent():
            return ignore(purchase, "credit.not_released", "I2", **seen)
        case Rejected() as refused:
            seen = seen | {"status": str(refused.status)}
            return ignore(purchase, "credit.release_refused", "PLATFORM §3.3", **seen)
        case Unavailable(retry_after=seconds):
            due = later(moment, seconds or backoff(policy.retry_after, fact.attempt))
            return Decision(purchase, "credit.release_later", "PLATFORM §1.5", again(fact, due))
        case _ if fact.attempt < MOST_RELEASES:
            due = later(moment, backoff(policy.retry_after, fact.attempt))
            return Decision(purchase, "credit.release_again", "PLATFORM §3.3", again(fact, due))
        case _:
            return ignore(purchase, "credit.release_unknown", "PLATFORM §3.3", **seen)
