"""What is kept how long: bodies, ids, purchases. Everything here is a short transaction."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Table, delete, select, update

from consumer.store import redacting
from consumer.store.purchases import Unreadable, load, rewrite
from consumer.store.tables import (
    commands,
    decisions,
    deliveries,
    forgotten,
    keys,
    leases,
    links,
    outcomes,
    purchases,
    unannounced,
)
from consumer.store.tables import inbox as facts
from handlers.forgetting import scrubbed
from schemas.purchase import State

ENDED = (State.ACCEPTED.value, State.LOST.value)
CLOSED = ("done", "ignored")
FACTS = 500  # rows that are looked at in one transaction
PURCHASES = 50
LEASED = ("purchase", "relay/webhook", "relay/kafka")


@dataclass(frozen=True, slots=True)
class Swept:
    """How many rows a step changed, and behind which the next one goes on; `None` at the end."""

    changed: int
    after: str | int | None


def _first_id(at: datetime) -> str:
    """Ids of purchases that began before this moment sort below it."""
    return f"pur_{max(0, int(at.timestamp() * 1000)):012x}"


def purge_bodies(connection: Connection, now: datetime, before: datetime, after: str) -> Swept:
    """Take out what purchases that ended before that time hold beyond ids, states and amounts."""
    page = connection.execute(
        select(purchases.c.id, purchases.c.state, purchases.c.updated_at)
        .where(purchases.c.purged_at.is_(None), purchases.c.id > after)
        .where(purchases.c.id < _first_id(before))
        .order_by(purchases.c.id)
        .limit(PURCHASES)
        .with_for_update(skip_locked=True)
    ).all()
    ended = [row.id for row in page if row.state in ENDED and row.updated_at < before]
    for purchase_id in ended:
        _purge(connection, purchase_id, now)
    return Swept(len(ended), page[-1].id if len(page) == PURCHASES else None)


def _purge(connection: Connection, purchase_id: str, now: datetime) -> None:
    try:
        purchase = load(connection, purchase_id)
    except Unreadable:
        return  # a person repairs it first
    if purchase is not None:
        rewrite(connection, scrubbed(purchase), now)
    own = facts.c.purchase_id == purchase_id
    connection.execute(update(facts).where(own, facts.c.status.in_(CLOSED)).values(body=b""))
    mine = (commands.c.purchase_id == purchase_id) & (commands.c.status == "ended")
    for row in connection.execute(select(commands.c.seq, commands.c.body).where(mine)).all():
        body = redacting.command_body(row.body)
        connection.execute(update(commands).where(commands.c.seq == row.seq).values(body=body))
    # One that waits or was given up keeps its body: it may still be sent.
    unsent = select(deliveries.c.outcome_id).where(
        deliveries.c.purchase_id == purchase_id, deliveries.c.status != "sent"
    )
    told = (outcomes.c.purchase_id == purchase_id) & outcomes.c.id.not_in(unsent)
    for row in connection.execute(select(outcomes.c.id, outcomes.c.body).where(told)).all():
        body = redacting.outcome_body(row.body)
        connection.execute(update(outcomes).where(outcomes.c.id == row.id).values(body=body))


def purge_strangers(connection: Connection, before: datetime, after: int) -> Swept:
    """Take out the bodies of facts that came before that time and never had a purchase."""
    page = connection.execute(
        select(facts.c.seq, facts.c.at, facts.c.status, facts.c.purchase_id)
        .where(facts.c.seq > after)
        .order_by(facts.c.seq)
        .limit(FACTS)
    ).all()
    mine = [
        row.seq for row in page if row.at < before and row.status in CLOSED and not row.purchase_id
    ]
    if mine:
        connection.execute(update(facts).where(facts.c.seq.in_(mine)).values(body=b""))
    more = len(page) == FACTS and page[-1].at < before
    return Swept(len(mine), page[-1].seq if more else None)


def drop_facts(connection: Connection, before: datetime, after: int) -> Swept:
    """Remove facts that came before that time, are closed, and are no open purchase's."""
    page = connection.execute(
        select(facts.c.seq, facts.c.at, facts.c.status, facts.c.purchase_id)
        .where(facts.c.seq > after)
        .order_by(facts.c.seq)
        .limit(FACTS)
    ).all()
    old = [row for row in page if row.at < before and row.status in CLOSED]
    owners = {row.purchase_id for row in old if row.purchase_id}
    kept = select(purchases.c.id).where(purchases.c.id.in_(owners), purchases.c.purged_at.is_(None))
    open_ones = set(connection.scalars(kept))
    gone = [row.seq for row in old if row.purchase_id not in open_ones]
    if gone:
        connection.execute(delete(facts).where(facts.c.seq.in_(gone)))
    more = len(page) == FACTS and page[-1].at < before
    return Swept(len(gone), page[-1].seq if more else None)


_OF_PURCHASE: tuple[Table, ...] = (
    *(facts, keys, links, commands, decisions, deliveries, outcomes, forgotten),
)


def drop_purchases(connection: Connection, before: datetime, after: str) -> Swept:
    """Remove purchases that ended before that time, with their keys and all else of theirs."""
    page = connection.execute(
        select(purchases.c.id, purchases.c.state, purchases.c.updated_at)
        .where(purchases.c.id > after, purchases.c.id < _first_id(before))
        .order_by(purchases.c.id)
        .limit(PURCHASES)
        .with_for_update(skip_locked=True)
    ).all()
    gone = [row.id for row in page if row.state in ENDED and row.updated_at < before]
    if gone:
        letters = select(facts.c.seq).where(facts.c.purchase_id.in_(gone))
        connection.execute(delete(unannounced).where(unannounced.c.seq.in_(letters)))
        for table in _OF_PURCHASE:
            connection.execute(delete(table).where(table.c.purchase_id.in_(gone)))
        connection.execute(delete(purchases).where(purchases.c.id.in_(gone)))
        names = [f"{kind}/{id}" for id in gone for kind in LEASED]
        connection.execute(delete(leases).where(leases.c.name.in_(names)))
    return Swept(len(gone), page[-1].id if len(page) == PURCHASES else None)


def drop_dead(connection: Connection, before: datetime) -> Swept:
    """Remove dead letters of no purchase that nobody has redriven since before that time."""
    old = (
        select(facts.c.seq)
        .where(facts.c.status == "dead", facts.c.at < before, facts.c.purchase_id.is_(None))
        .order_by(facts.c.seq)
        .limit(FACTS)
    )
    gone = list(connection.scalars(old))
    if gone:
        connection.execute(delete(unannounced).where(unannounced.c.seq.in_(gone)))
        connection.execute(delete(facts).where(facts.c.seq.in_(gone)))
    return Swept(len(gone), 0 if len(gone) == FACTS else None)
