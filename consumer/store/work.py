"""A worker's transactions: take a purchase, save a decision, begin and end a command."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import zip_longest

from sqlalchemy import Connection

from consumer.store import (
    commands,
    decisions,
    entries,
    inbox,
    leases,
    links,
    merging,
    outcomes,
    purchases,
)
from consumer.store.commands import Task
from consumer.store.inbox import Entry
from consumer.store.leases import Lease
from handlers import fence
from handlers.decision import Decision
from handlers.presentation import outcome
from schemas.outcomes import Outcome
from schemas.purchase import Purchase
from schemas.results import NeverSent

FACTS = 50  # of one purchase at once


@dataclass(frozen=True, slots=True)
class Work:
    """A purchase under a lease, and what there is to do: facts first, then one command."""

    purchase: Purchase
    lease: Lease
    facts: Sequence[Entry]
    task: Task | None = None


Held = Mapping[str, Lease | None]


def take_all(
    connection: Connection,
    wanted: Held,
    owner: str,
    now: datetime,
    until: datetime,
    most: int = FACTS,
) -> dict[str, Work | purchases.Unreadable]:
    """Take or renew the leases of purchases and look what there is to do; those that another one
    has are left out.

    What an earlier holder was sending is abandoned: its outcome is unknown (I6). Whoever renews
    the lease that it held is no earlier holder. `most`: facts of one purchase.
    """
    names = {leases.name(id): id for id in wanted}
    taken = leases.acquire_all(connection, list(names), owner, now, until)
    mine = {names[name]: lease for name, lease in taken.items()}
    loaded = purchases.load_all(connection, list(mine))
    new = {id: lease.epoch for id, lease in mine.items() if _is_new(lease, wanted[id])}
    for id, purchase in loaded.items():
        if isinstance(purchase, purchases.TooNew):
            leases.release(connection, mine.pop(id), now)  # it is for those who can read it
            new.pop(id, None)
    commands.abandon(connection, new, now)
    facts = entries.undecided_of(connection, list(mine), most)
    idle = [id for id in mine if id not in facts]
    tasks = commands.next_due_of(connection, idle, now) if idle else {}
    return {
        id: purchase
        if isinstance(purchase, purchases.Unreadable)
        else Work(purchase, mine[id], facts.get(id, ()), tasks.get(id))
        for id, purchase in loaded.items()
        if id in mine
    }


def _is_new(lease: Lease, held: Lease | None) -> bool:
    return held is None or held.epoch != lease.epoch


@dataclass(frozen=True, slots=True)
class Step:
    """A fact and what comes of it: a decision, or a dead letter with its `reason`.

    `after` is the purchase as the next fact finds it, `trace` the one that the fact belongs to.
    """

    before: Purchase
    after: Purchase
    entry: Entry
    now: datetime
    decision: Decision | None = None
    reason: str = ""
    trace: str | None = None


def save_all(
    connection: Connection, steps: Sequence[Step], sinks: Sequence[str], now: datetime
) -> None:
    """Store what came of facts about any number of purchases, under leases that this transaction
    has taken or checked.

    Several about one purchase follow each other. Raises `Moved`; then nothing may be kept.
    """
    changes = _changes(steps)
    purchases.replace_all(connection, [(after, before.version) for before, after in changes])
    changed = [step for step in steps if step.after is not step.before]
    _claim(connection, changed, now)
    links.note_new(connection, [(step.before, step.after) for step in changed])
    decided = [(step, step.decision) for step in steps if step.decision]
    planned = [(step.after.id, item) for step, decision in decided for item in decision.commands]
    commands.plan_all(connection, planned, now)
    if not inbox.move(connection, [_mark(step) for step in steps], "routed"):
        raise purchases.Moved  # by a commit of ours that nobody heard of
    decisions.record(connection, [_record(step, decision) for step, decision in decided])
    told = (_told(step) for step in steps)
    outcomes.emit(connection, [outcome for outcome in told if outcome], sinks, now)


def _changes(steps: Sequence[Step]) -> list[tuple[Purchase, Purchase]]:
    """Each purchase that changes, as it was first and as it is at last."""
    found: dict[str, tuple[Purchase, Purchase]] = {}
    for step in steps:
        if step.after is not step.before:
            first, _ = found.get(step.after.id, (step.before, None))
            found[step.after.id] = (first, step.after)
    return list(found.values())


def _mark(step: Step) -> inbox.Mark:
    seq, id = step.entry.seq, step.before.id
    if step.decision is None:
        return inbox.Mark(seq, "dead", step.reason, id)
    if step.after is step.before and not step.decision.commands:
        return inbox.Mark(seq, "ignored", step.decision.rule, id)
    return inbox.Mark(seq, "done", None, id)


def _told(step: Step) -> Outcome | None:
    if step.after is step.before:
        return None
    told = outcome(step.before if step.before.version > 1 else None, step.after, step.now)
    return told.model_copy(update={"traceparent": step.trace}) if told else None


def following(before: Purchase, decision: Decision, now: datetime) -> Purchase:
    """The purchase after a decision: its next version, or itself if nothing changed."""
    if decision.purchase == before:
        return before
    stamp = {"version": before.version + 1, "updated_at": now}
    return decision.purchase.model_copy(update=stamp)


def _claim(connection: Connection, changed: Sequence[Step], now: datetime) -> None:
    """Claim new keys; one that another purchase has is settled between the two."""
    claimants = [
        step.after
        for step in changed
        if purchases.identity(step.before) != purchases.identity(step.after)
    ]
    if claimants:
        for claimant, key in purchases.claim(connection, claimants):
            merging.merge(connection, claimant, key, now)


def _record(step: Step, decision: Decision) -> decisions.Record:
    after = step.after
    return decisions.Record(
        purchase_id=after.id,
        fact_seq=step.entry.seq,
        at=step.now,
        version=after.version,
        state=after.state.value,
        reason=after.reason.value if after.reason else None,
        rule=decision.rule,
        source=decision.source,
        evidence=decision.evidence,
        alternatives=decision.alternatives,
    )


def begin(
    connection: Connection, task: Task, lease: Lease, now: datetime, until: datetime
) -> Lease | None:
    """Renew the lease and record that the command is about to be sent, until the lease's end.

    `None` if it must not be sent: then it has ended as never sent, because its permit is void
    (I1) or facts came in between. Raises `LeaseLost`.
    """
    leases.check(connection, lease, now)
    if _void(connection, task, lease, now):
        commands.end(connection, task, NeverSent(), now)
        return None
    renewed = leases.acquire(connection, lease.name, lease.owner, now, until)
    started = commands.start(connection, task, lease.epoch, now, until)
    return replace(lease, until=until) if renewed and started else None


def _void(connection: Connection, task: Task, lease: Lease, now: datetime) -> bool:
    """Whether the right to send it has passed."""
    purchase = purchases.load(connection, task.purchase_id)
    news = bool(entries.undecided(connection, task.purchase_id, limit=1))
    return fence.void(purchase, task.key, task.command, lease.epoch, now, news=news)


def pending(
    connection: Connection, now: datetime, limit: int, owner: str, without: Collection[str] = ()
) -> list[str]:
    """Purchases with something to do that nobody else works on, the longest waiting first.

    Facts and commands take turns, so that a busy inbox does not starve what was interrupted.
    `without`: those that `owner` works on already, or can't.
    """
    facts = entries.waiting_purchases(connection, now, limit, owner, without)
    unfinished = commands.unfinished(connection, now, limit, owner, without)
    turns = (id for pair in zip_longest(unfinished, facts) for id in pair if id)
    return list(dict.fromkeys(turns))[:limit]
