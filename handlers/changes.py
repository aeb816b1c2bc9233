"""Changing a checkout: what is wanted of it, and what became of that (PLATFORM §3.3, §5.3)."""

from collections.abc import Mapping
from typing import Any

from handlers import rejection, step_up
from handlers.asks import for_another_source, for_corrections
from handlers.decision import Decision, Moment, ignore
from handlers.moves import (
    again,
    backoff,
    change,
    check,
    end,
    later,
    read,
    step,
    struggle,
    with_condition,
)
from handlers.paths import digest, merged
from handlers.policy import Policy
from handlers.rejection import SOURCE_FAULT, source_fault
from handlers.sight import Sight
from schemas.base import JsonObject
from schemas.commands import AttachSource, Planned, UpdateCheckout
from schemas.facts import CommandEnded
from schemas.purchase import Condition, Purchase, Reason, State
from schemas.results import Rejected, Succeeded, Unavailable

# How the platform refuses any change of a checkout that is dead or has become an order.
SESSION_CLOSED = "session_update_not_allowed"


def update(
    purchase: Purchase, wanted: JsonObject, sight: Sight, rule: str, source: str
) -> Decision:
    """One bundled update; objects are sent whole, since how the platform merges is silent."""
    whole = {name: merged(sight.raw, {name: value})[name] for name, value in wanted.items()}
    command = UpdateCheckout(checkout_id=sight.checkout.id, changes=whole)
    key = f"{purchase.id}/{len(purchase.chain)}/update/{digest(whole)}"
    updating, commands = step(change(purchase, wanted_changes=wanted), command, key=key)
    return Decision(updating, rule, source, commands, evidence={"fields": sorted(wanted)})


def attach(
    purchase: Purchase,
    source_id: str,
    rule: str = "reading.attach",
    seen: Mapping[str, Any] | None = None,
) -> Decision:
    """Attach the source that the shopper chose to the current session."""
    command = AttachSource(checkout_id=purchase.current.checkout_id, source_id=source_id)
    key = f"{purchase.id}/{len(purchase.chain)}/attach/{source_id}"
    attaching, commands = step(purchase, command, key=key)
    return Decision(attaching, rule, "PLATFORM §5.2", commands, evidence=seen or {})


def on_changed(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    """An update or an attachment has a result; the truth is in the next reading."""
    if fact.key != purchase.awaiting:
        return ignore(purchase, "change.superseded", "I7")
    match fact.result:
        case Unavailable(retry_after=seconds):
            return not_processed(purchase, fact, seconds, moment, policy)
        case Rejected() as refused:
            return _change_refused(purchase, fact, refused, moment, policy)
        case Succeeded():
            reading, commands = read(_changed(purchase, fact))
            return Decision(reading, "change.read_back", "PLATFORM §3.3", commands)
        case _:  # perhaps it was done: the reading tells, and repeating does no harm
            return perhaps(purchase, fact, moment, policy)


def not_processed(
    purchase: Purchase,
    fact: CommandEnded,
    seconds: float | None,
    moment: Moment,
    policy: Policy,
    rule: str = "change.later",
) -> Decision:
    """The platform was busy: the same once more, after `seconds` if it said so (PLATFORM §1.5)."""
    held, timers = struggle(purchase, moment, policy)
    delay = seconds or backoff(policy.retry_after, fact.attempt)
    commands = (*timers, *again(fact, later(moment, delay)))
    return Decision(held, rule, "PLATFORM §1.5", commands, evidence={"retryAfter": delay})


def perhaps(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    """Nobody knows whether it was done: read, later and later if it happens again."""
    timers: tuple[Planned, ...] = ()
    if fact.attempt > 1:
        purchase, timers = struggle(purchase, moment, policy)
    due = later(moment, backoff((0, *policy.retry_after), fact.attempt))
    reading, commands = read(purchase, due)
    rule = "change.outcome_unknown"
    return Decision(reading, rule, "PLATFORM §3.3", (*timers, *commands))


def _changed(purchase: Purchase, fact: CommandEnded) -> Purchase:
    """The platform took it: it is no longer wanted, and part of any later clone."""
    if isinstance(fact.command, AttachSource):
        others = tuple(f for f in purchase.faults if not f.path.startswith("payment."))
        return change(purchase, wanted_source=None, save_source=False, faults=others)
    request = purchase.create_request
    if request is not None:
        request = merged(request, purchase.wanted_changes)
    return change(purchase, wanted_changes={}, create_request=request)


def _change_refused(
    purchase: Purchase, fact: CommandEnded, refused: Rejected, moment: Moment, policy: Policy
) -> Decision:
    """The platform does not take the source, or the corrected value: ask again."""
    if rejection.leaves_open(refused):
        return rejection.to_operator(purchase, refused)
    seen = {"status": refused.status, "problems": [p.model_dump() for p in refused.problems]}
    closed = any(p.code == SESSION_CLOSED for p in refused.problems)
    if isinstance(fact.command, AttachSource) and closed:
        # Somebody's order was refused on it, or it became one: the reading tells (I3).
        dead = with_condition(purchase, fact.command.checkout_id, Condition.DEAD)
        if step_up.silent(purchase):  # which of the two, nobody heard: no other checkout (I6)
            waiting = end(dead, State.REVIEW, Reason.UNDECIDED, "order.checking")
            return Decision(
                *(waiting, "change.session_closed", "I6"),
                evidence=seen,
                alert="unknown_not_repeatable",
            )
        checking, commands = check(change(dead, wanted_source=None, save_source=False))
        return Decision(checking, "change.session_closed", "PLATFORM §7.2", commands, evidence=seen)
    if isinstance(fact.command, AttachSource):
        others = tuple(f for f in purchase.faults if f.path != SOURCE_FAULT)
        noted = change(purchase, faults=(*others, source_fault()))
        held, commands = for_another_source(noted, moment, policy)
        return Decision(held, "change.source_refused", "PLATFORM §3.3", commands, evidence=seen)
    faults = tuple(f for p in refused.problems if (f := rejection.fault_of(p)))
    purchase = change(purchase, wanted_changes={})
    if not faults:
        waiting = end(purchase, State.REVIEW, Reason.UNDECIDED, "order.checking")
        return Decision(
            *(waiting, "change.refused", "PLATFORM §4.3"), evidence=seen, alert="change_refused"
        )
    held, commands = for_corrections(purchase, faults, moment, policy)
    return Decision(held, "change.refused", "PLATFORM §4.3", commands, evidence=seen)
