"""A checkout was read: what is true now, what is still to be done to it, and the gate."""

from handlers import (
    chain,
    credits,
    declines,
    merchant,
    orders,
    paying,
    rejection,
    replacement,
    step_up,
    submission,
    unknown,
)
from handlers.changes import attach, not_processed, update
from handlers.completeness import known_repairs, located
from handlers.decision import Decision, Moment, ignore
from handlers.gate import Hold, examine
from handlers.links import noted
from handlers.moves import (
    change,
    check,
    end,
    hold,
    later,
    read,
    wake,
    with_current,
)
from handlers.order_bodies import parsed
from handlers.paths import contains, digest, value_at
from handlers.policy import Policy
from handlers.rejection import SESSION_FAULT, SOURCE_FAULT
from handlers.remedies.sessions import WAITING
from handlers.sight import Sight, evidence, reading_in, seen_in
from handlers.waiting import overdue
from schemas.base import JsonObject
from schemas.commands import Planned, ReadCheckout
from schemas.facts import CommandEnded
from schemas.purchase import Condition, Fault, Purchase, Reason, State
from schemas.requests import CREATE_ONLY
from schemas.results import Reading, Rejected, Result, Succeeded, Unavailable

POLL, LONGEST_POLL = 30.0, 600.0  # seconds between looks at a session that is in flight


def on_read(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    """`read_checkout` was answered."""
    assert isinstance(fact.command, ReadCheckout)
    if fact.key != purchase.awaiting:
        noted = _with_first_total(purchase, fact.command, fact.result)
        return ignore(noted, "reading.superseded", "I1")
    checkout_id, current = fact.command.checkout_id, purchase.current.checkout_id
    match fact.result:
        case Succeeded(body=body) if checkout_id != current:
            return declines.on_read(purchase, checkout_id, body)
        case Succeeded() if purchase.unread and purchase.unread.checkout_id != current:
            return _look_closer(purchase)  # what another one was refused for was told meanwhile
        case Succeeded() if purchase.wanted_source not in (None, fact.command.wanted_source):
            return _look_closer(purchase)  # the source that is wanted now was not looked at
        case Succeeded(body=body):
            return _on_reading(purchase, reading_in(body), moment, policy)
        case Unavailable(retry_after=seconds):
            return not_processed(purchase, fact, seconds, moment, policy, "reading.unavailable")
        case Rejected() as refused if rejection.leaves_open(refused):
            return rejection.to_operator(purchase, refused)
        case _:
            waiting = end(purchase, State.REVIEW, Reason.UNDECIDED, "order.checking")
            return Decision(waiting, "reading.refused", "PLATFORM §2.1", alert="reading_refused")


def _with_first_total(purchase: Purchase, command: ReadCheckout, result: Result) -> Purchase:
    """The first total read counts as confirmed, even if nobody waits for that reading (I11)."""
    current = command.checkout_id == purchase.current.checkout_id
    if purchase.confirmed or not current or not isinstance(result, Succeeded):
        return purchase
    sight = seen_in(reading_in(result.body))
    return change(purchase, confirmed=sight.total, total=sight.total) if sight else purchase


def _on_reading(purchase: Purchase, reading: Reading, moment: Moment, policy: Policy) -> Decision:
    found = parsed(reading.orders)
    if decision := orders.adopt(purchase, found, moment, policy):
        if decision.rule != orders.FORMER:
            return decision
        purchase = decision.purchase
    if decision := merchant.on_reading(purchase, reading, moment, policy):
        return decision
    purchase = declines.learnt(purchase, purchase.current.checkout_id, reading)
    waits = purchase.waiting_request and not step_up.silent(purchase)
    if purchase.waiting_request and waits and purchase.state is State.HELD:
        joined, commands = check(chain.joined(purchase, purchase.waiting_request, moment.at))
        return Decision(joined, "request.joined", "DESIGN, HTTP", commands)
    if purchase.current.condition is not Condition.OPEN:
        return replacement.open_next(purchase, reading)
    if reading.checkout is None:
        return _not_there(purchase, moment, policy)
    sight = seen_in(reading)
    if sight is None or sight.checkout.id != purchase.current.checkout_id:
        waiting = end(purchase, State.REVIEW, Reason.UNDECIDED, "order.checking")
        return Decision(waiting, "reading.not_understood", "PLATFORM §2.3", alert="not_understood")
    if sight.checkout.live_mode is not None and sight.checkout.live_mode is not policy.live:
        waiting = end(purchase, State.REVIEW, Reason.UNDECIDED, "order.checking")
        return Decision(waiting, "reading.wrong_mode", "PLATFORM §1.1", alert="wrong_mode")
    known_as = purchase.upstream_id
    purchase = _noted(purchase, sight)
    if purchase.upstream_id != known_as:  # its orders were not looked up under this id yet
        reading_again, commands = read(purchase)
        return Decision(reading_again, "reading.upstream_learnt", "I3", commands)
    if step_up.undecided(purchase):
        if not step_up.asked(sight.session):
            return rejection.not_stepped_up(purchase, sight, moment, policy)
        purchase = with_current(purchase, step_seen=True)
    if purchase.state is State.UNKNOWN:
        return _repeat(purchase, sight, moment, policy)
    return _act(purchase, sight, moment, policy)


def _not_there(purchase: Purchase, moment: Moment, policy: Policy) -> Decision:
    """No such checkout, and no order of it: once more after settling, then a person."""
    rule, source = "reading.not_found", "PLATFORM §4.3"
    if purchase.state is not State.UNKNOWN and purchase.reason is not Reason.RETRY_SCHEDULED:
        held, timers = hold(purchase, Reason.RETRY_SCHEDULED, moment, policy)
        held, commands = wake(held, "retry", moment.now + policy.settle)
        return Decision(held, rule, source, (*timers, *commands))
    waiting = end(purchase, State.REVIEW, Reason.CHECKOUT_NOT_FOUND, "order.checking")
    return Decision(waiting, rule, source, alert="checkout_not_found")


def _noted(purchase: Purchase, sight: Sight) -> Purchase:
    """What the reading tells of the purchase; the first total counts as confirmed (I11)."""
    own = sight.checkout.upstream_id
    unnamed = purchase.upstream_id == purchase.id
    purchase = with_current(purchase, session_id=sight.session.id)
    purchase = credits.noted(purchase, sight.checkout)
    primary = sight.checkout.primary_source
    return change(
        noted(purchase, sight.raw),
        attached_source=primary.id if primary else None,
        upstream_id=own if unnamed and own else purchase.upstream_id,
        total=sight.total,
        confirmed=purchase.confirmed or sight.total,
        faults=_standing(purchase.faults, sight),
    )


def _standing(faults: tuple[Fault, ...], sight: Sight) -> tuple[Fault, ...]:
    """Of what was refused, that which still has the same value (I4)."""
    standing = []
    for fault in faults:
        fault = located(fault, sight.raw)
        seen = digest(_value(fault, sight))
        if fault.digest in (None, seen):
            standing.append(fault.model_copy(update={"digest": seen}))
    return tuple(standing)


def _value(fault: Fault, sight: Sight) -> object:
    if fault.path.startswith("payment."):
        return rejection.paid_by(sight.checkout)
    return value_at(sight.raw, fault.path)


def _repeat(purchase: Purchase, sight: Sight, moment: Moment, policy: Policy) -> Decision:
    """From `unknown` only the same submission again, if the gate lets it pass (I6)."""
    if purchase.stale:
        return _look_closer(purchase)
    held, passed = examine(purchase, sight, moment, policy)
    if held is None and purchase.submits == "service":
        return submission.submit(purchase, sight, passed, moment, policy)
    if held is None:
        return unknown.wait(purchase, "unknown.merchant_submits", moment, policy)
    seen = evidence(sight) | {"held": held.rule}
    if step_up.unheard(purchase, sight.session, policy):
        return step_up.known(purchase, seen)
    return unknown.stuck(purchase, "unknown.gate_holds", moment, policy, evidence=seen)


def _act(purchase: Purchase, sight: Sight, moment: Moment, policy: Policy) -> Decision:
    """First what the shopper asked for, then the gate, then what we can mend ourselves."""
    wanted = _missing_changes(purchase, sight)
    if step_up.outgrown(purchase, sight, wanted):
        return rejection.not_stepped_up(purchase, sight, moment, policy)
    if wanted and set(wanted) & CREATE_ONLY:
        return replacement.supersede(purchase)
    if wanted:
        return update(purchase, wanted, sight, "reading.update", "PLATFORM §5.3")
    purchase = change(purchase, wanted_changes={})
    if decision := credits.restore(purchase, sight) or _choose(purchase, sight, moment, policy):
        return decision
    if purchase.wanted_source and _attached(purchase.wanted_source, sight):
        purchase = change(purchase, wanted_source=None)
    held, passed = examine(purchase, sight, moment, policy)
    if held is None and purchase.stale:
        return _look_closer(purchase)
    if held is None and purchase.submits == "service":
        return submission.submit(purchase, sight, passed, moment, policy)
    if held is None:
        return merchant.ready(purchase, sight, passed, moment, policy)
    return _mend(purchase, held, sight) or _hold(purchase, held, passed, sight, moment, policy)


def _choose(purchase: Purchase, sight: Sight, moment: Moment, policy: Policy) -> Decision | None:
    """The next step towards the source that the shopper chose, if there is one to take."""
    wanted = purchase.wanted_source
    if wanted is None:
        return None
    if _attached(wanted, sight):
        unsaved = purchase.save_source and not (sight.source and sight.source.reusable)
        return paying.attached_unsaved(purchase) if unsaved else None
    refused = any(credit.refused for credit in purchase.credits)  # the shopper is asked first
    if refused or sight.session.state in WAITING:
        return None
    return paying.proceed(purchase, sight, moment, policy)


def _look_closer(purchase: Purchase) -> Decision:
    """Something changed after this reading was asked for: it proves nothing (I1)."""
    reading, commands = read(purchase)
    return Decision(reading, "reading.outdated", "I1", commands)


def _missing_changes(purchase: Purchase, sight: Sight) -> JsonObject:
    """The wanted changes that the checkout does not show yet."""
    wanted = purchase.wanted_changes
    return {k: v for k, v in wanted.items() if not contains(sight.raw.get(k), v)}


def _attached(source_id: str, sight: Sight) -> bool:
    return any(source.id == source_id for source in sight.checkout.payment.sources)


def _mend(purchase: Purchase, held: Hold, sight: Sight) -> Decision | None:
    """Mend by ourselves what we know for sure, once per field and checkout (PLATFORM §5.1).

    After a step-up the checkout is submitted as it is, or not at all (I3).
    """
    if purchase.current.stepped_up:
        return None
    mended = purchase.current.mended
    fresh = tuple(fault for fault in held.faults if fault.path not in mended)
    repairs = known_repairs(fresh, sight.raw, purchase.create_request, sight.customer)
    if repairs:
        paths = tuple(fault.path for fault in fresh)
        purchase = with_current(purchase, mended=(*mended, *paths))
        return update(purchase, repairs, sight, "reading.mend", held.source)
    refused = held.rule == "gate.session_refused_before" and SESSION_FAULT not in mended
    refused = refused and all(fault.path != SOURCE_FAULT for fault in purchase.faults)
    if refused and sight.source and sight.source.reusable:
        purchase = with_current(purchase, mended=(*mended, SESSION_FAULT))
        return attach(purchase, sight.source.id)
    return None


def _hold(
    purchase: Purchase,
    held: Hold,
    passed: tuple[str, ...],
    sight: Sight,
    moment: Moment,
    policy: Policy,
) -> Decision:
    """Hold, with what would release it; look again if something changed while we read."""
    seen = evidence(sight) | dict(held.evidence)
    if held.reason is Reason.CUSTOMER_DISABLED:
        waiting = end(purchase, State.REVIEW, held.reason, held.message)
        return Decision(
            *(waiting, held.rule, held.source),
            evidence=seen,
            alternatives=passed,
            alert="customer_disabled",
        )
    stale = purchase.stale
    asked = held.message in ("payment.required", "payment.incomplete")
    message = purchase.notice if asked else None
    kept, commands = hold(
        *(purchase, held.reason, moment, policy),
        message=message or held.message,
        next_action=held.next_action,
    )
    if overdue(kept, moment.now) and not stale:
        return submission.expired(purchase)
    kept, more = _next_look(kept, held, moment, policy, stale=stale)
    return Decision(
        *(kept, held.rule, held.source, (*commands, *more)), evidence=seen, alternatives=passed
    )


def _next_look(
    purchase: Purchase, held: Hold, moment: Moment, policy: Policy, *, stale: bool
) -> tuple[Purchase, tuple[Planned, ...]]:
    """At once if something changed meanwhile; more and more rarely while it is in flight."""
    if stale:
        return read(purchase)
    if held.reason is not Reason.IN_FLIGHT or purchase.deadline is None:
        return change(purchase, awaiting=None), ()
    elapsed = (moment.now - (purchase.deadline - policy.hold_deadline)).total_seconds()
    return wake(purchase, "poll", later(moment, min(max(elapsed, POLL), LONGEST_POLL)))
