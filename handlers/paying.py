"""The source that the shopper chose: looked at, saved if they wish, attached (PLATFORM §5.5)."""

from handlers import rejection
from handlers.asks import collect_payment, for_another_source
from handlers.changes import attach, not_processed, perhaps, update
from handlers.decision import Decision, Moment, ignore
from handlers.gate import REDIRECT_FIRST
from handlers.moves import change, hold, read, step, with_current
from handlers.paths import merged
from handlers.policy import Policy
from handlers.rejection import source_fault
from handlers.saved import Unfit, unfit
from handlers.sight import Sight
from schemas.commands import SaveSource
from schemas.facts import CommandEnded
from schemas.purchase import Purchase, Reason
from schemas.results import Rejected, Succeeded, Unavailable

MOST_SAVES = 3  # attempts without an answer before it is attached unsaved


def proceed(purchase: Purchase, sight: Sight, moment: Moment, policy: Policy) -> Decision:
    """The next step towards having the wanted source on the current session."""
    if lack := unfit(purchase, sight, moment):
        return _refuse(purchase, sight, lack, moment, policy)
    source, customer_id = sight.wanted, sight.checkout.customer_id
    assert source is not None
    if source.customer_id and customer_id is None:
        wanted = merged(purchase.wanted_changes, {"customerId": source.customer_id})
        told = with_current(purchase, mended=(*purchase.current.mended, "customerId"))
        return update(told, wanted, sight, "source.name_customer", "PLATFORM §5.5")
    if source.state == "pending_redirect" and source.type in REDIRECT_FIRST:
        return _away(purchase, sight, moment, policy)
    saved = bool(source.reusable) and source.customer_id == customer_id
    if not purchase.save_source or saved:
        return attach(change(purchase, save_source=False), source.id)
    if customer_id is None:
        return attach(change(purchase, save_source=False), source.id, "source.nobody_to_save_for")
    return _save(purchase, customer_id, source.id)


def _away(purchase: Purchase, sight: Sight, moment: Moment, policy: Policy) -> Decision:
    """First the provider's page, then attach and submit: its event or the shopper's return
    brings us back (PLATFORM §5.6)."""
    if purchase.stale:
        reading, again_at_once = read(purchase)
        return Decision(reading, "reading.outdated", "I1", again_at_once)
    held, commands = hold(
        *(purchase, Reason.PAYMENT_INCOMPLETE, moment, policy),
        message="payment.redirect",
        next_action=collect_payment(sight.checkout.id, sight.session.id),
    )
    seen = {"source": purchase.wanted_source}
    waiting = change(held, awaiting=None)
    return Decision(waiting, "source.not_ready", "PLATFORM §5.6", commands, evidence=seen)


def _refuse(
    purchase: Purchase, sight: Sight, lack: Unfit, moment: Moment, policy: Policy
) -> Decision:
    """Ask for another; what is attached instead is not charged in its place (I9)."""
    fault = source_fault(sight.checkout)
    others = tuple(f for f in purchase.faults if f.path != fault.path)
    noted = change(purchase, faults=(*others, fault), notice=lack.message)
    held, commands = for_another_source(noted, moment, policy, message=lack.message)
    seen = {"source": purchase.wanted_source, **lack.evidence}
    return Decision(held, lack.rule, lack.source, commands, evidence=seen)


def _save(purchase: Purchase, customer_id: str, source_id: str) -> Decision:
    command = SaveSource(customer_id=customer_id, source_id=source_id)
    key = f"{purchase.id}/{len(purchase.chain)}/save/{source_id}"
    saving, commands = step(purchase, command, key=key)
    return Decision(saving, "source.save", "PLATFORM §5.5", commands)


def attached_unsaved(purchase: Purchase) -> Decision:
    """The storefront attached it before we could save it: saving comes first or not at all."""
    reading, commands = read(change(purchase, wanted_source=None, save_source=False))
    return Decision(reading, "source.attached_unsaved", "PLATFORM §5.5", commands)


def on_saved(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    """Saving has a result. A refusal does not cost the shopper the order."""
    assert isinstance(fact.command, SaveSource)
    if fact.key != purchase.awaiting:
        return ignore(purchase, "change.superseded", "I7")
    unsaved = change(purchase, save_source=False)
    match fact.result:
        case Unavailable(retry_after=seconds):
            return not_processed(purchase, fact, seconds, moment, policy)
        case Rejected() as refused if rejection.leaves_open(refused):
            return rejection.to_operator(purchase, refused)
        case Rejected() as refused:
            seen = {"status": refused.status, "problems": _problems(refused)}
            return attach(unsaved, fact.command.source_id, "source.not_saved", seen)
        case Succeeded():
            reading, commands = read(unsaved)
            return Decision(reading, "source.saved", "PLATFORM §5.5", commands)
        case _ if fact.attempt >= MOST_SAVES:
            return attach(unsaved, fact.command.source_id, "source.saving_given_up")
        case _:  # perhaps it was saved: the reading of the source tells
            return perhaps(purchase, fact, moment, policy)


def _problems(refused: Rejected) -> list[dict[str, object]]:
    return [problem.model_dump() for problem in refused.problems]
