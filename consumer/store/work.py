"""A worker's transactions: take a purchase, save a decision, begin and end a command."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import zip_longest

from sqlalchemy import Connection

from consumer.store import (
    commands,
    decisions,
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
from schemas.purchase import Purchase
from schemas.results import NeverSent, Result


@dataclass(frozen=True, slots=True)
class Work:
    """A purchase under a lease, and what there is to do: facts first, then one command."""

    purchase: Purchase
    lease: Lease
    facts: Sequence[Entry]
    task: Task | None


def take(
    connection: Connection,
    purchase_id: str,
    owner: str,
    now: datetime,
    until: datetime,
    held: Lease | None = None,
) -> Work | None:
    """Take or renew the lease and look what there is to do; `None` if another one has it.

    What an earlier holder was sending is abandoned: its outcome is unknown (I6). Whoever renews
    the lease that it `held` is no earlier holder.
    """
    lease = leases.acquire(connection, f"purchase/{purchase_id}", owner, now, until)
    if lease is None:
        return None
    try:
        purchase = purchases.load(connection, purchase_id)
    except purchases.TooNew:
        leases.release(connection, lease, now)  # it is for those who can read it
        return None
    if purchase is None:
        return None
    if held is None or held.epoch != lease.epoch:
        commands.abandon(connection, purchase_id, lease.epoch, now)
    facts = inbox.undecided(connection, purchase_id)
    task = None if facts else commands.next_due(connection, purchase_id, now)
    return Work(purchase, lease, facts, task)


def save(
    connection: Connection,
    before: Purchase,
    entry: Entry,
    decision: Decision,
    lease: Lease,
    sinks: Sequence[str],
    now: datetime,
    trace: str | None = None,
) -> Purchase:
    """Store one decision whole. Raises `LeaseLost` or `Moved`; then nothing of it is stored."""
    leases.check(connection, lease, now)
    after = following(before, decision, now)
    changed = after is not before
    if changed:
        purchases.replace(connection, after, before.version)
        _claim(connection, before, after, now)
        links.note(connection, after, before)
    commands.plan(connection, after.id, decision.commands, now)
    idle = not changed and not decision.commands
    status: inbox.Settled = "ignored" if idle else "done"
    reason = decision.rule if idle else None
    if not inbox.settle(connection, entry.seq, status, reason=reason, purchase_id=after.id):
        raise purchases.Moved(after.id)  # by a commit of ours that nobody heard of
    decisions.record(connection, _record(after, entry, decision, now))
    told = outcome(before if before.version > 1 else None, after, now) if changed else None
    if told:
        outcomes.emit(connection, told.model_copy(update={"traceparent": trace}), sinks, now)
    return after


def following(before: Purchase, decision: Decision, now: datetime) -> Purchase:
    """The purchase after a decision: its next version, or itself if nothing changed."""
    if decision.purchase == before:
        return before
    stamp = {"version": before.version + 1, "updated_at": now}
    return decision.purchase.model_copy(update=stamp)


def _claim(connection: Connection, before: Purchase, after: Purchase, now: datetime) -> None:
    """Claim new keys; one that another purchase has is settled between the two."""
    if purchases.identity(before) == purchases.identity(after):
        return
    for key, _owner in purchases.claim(connection, after):
        merging.merge(connection, after, key, now)


def _record(after: Purchase, entry: Entry, decision: Decision, now: datetime) -> decisions.Record:
    return decisions.Record(
        purchase_id=after.id,
        fact_seq=entry.seq,
        at=now,
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
    news = bool(inbox.undecided(connection, task.purchase_id, limit=1))
    return fence.void(purchase, task.key, task.command, lease.epoch, now, news=news)


def end(connection: Connection, task: Task, result: Result, now: datetime) -> None:
    """Store an answer, whoever holds the lease by now (I7)."""
    commands.end(connection, task, result, now)


def bury(connection: Connection, entry: Entry, reason: str) -> None:
    """A fact that can't be decided becomes a dead letter."""
    inbox.mark(connection, entry.seq, "dead", reason=reason)


def pending(connection: Connection, now: datetime, limit: int, owner: str) -> list[str]:
    """Purchases with something to do that nobody else works on, the longest waiting first.

    Facts and commands take turns, so that a busy inbox does not starve what was interrupted.
    """
    facts = inbox.waiting_purchases(connection, now, limit, owner)
    unfinished = commands.unfinished(connection, now, limit, owner)
    turns = (id for pair in zip_longest(unfinished, facts) for id in pair if id)
    return list(dict.fromkeys(turns))
