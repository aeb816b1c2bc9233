"""Forgetting a person: who is meant, where they are named, and taking that out, durably.

A request is a fact of the operator's. It is worked off in small steps that may be repeated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, func, select, update

from consumer.store import dialects, entries, inbox, links, redacting
from consumer.store.inbox import Delivery, Entry, Transport
from consumer.store.redacting import CUSTOMER_EVENT
from consumer.store.tables import commands, decisions, forgotten, keys, outcomes, purchases
from consumer.store.tables import inbox as facts
from handlers.links import customer_digest, email_digest
from handlers.paths import as_id
from schemas.base import Strict
from schemas.facts import Origin, PersonForgotten
from schemas.requests import ForgetRequest

TYPE = "forget_requested"
BATCH = 200  # rows that are looked at, or changed, in one transaction
OPEN = ("new", "parked", "routed")
PERSONAL_LINKS = ("customer", "email")
_EMAIL = re.compile(r"[\w.+%'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")


class Wanted(Strict):
    """A request as stored: an address only as its digest. Afterwards the customer too."""

    customer: str | None = None
    email: str | None = None
    upstream: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """Where a person was found: their purchases, and rows of the inbox that have none."""

    purchases: frozenset[str] = frozenset()
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """Whom to look for. `ids` are those of their checkouts, orders, sessions and sources."""

    customers: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    upstreams: frozenset[str] = frozenset()
    ids: frozenset[str] = field(default=frozenset(), repr=False)

    def named_in(self, type: str, body: bytes) -> bool:
        """Whether a body names this person."""
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            words = _EMAIL.findall(body.decode("utf-8", "replace"))
            return any(email_digest(word) in self.emails for word in words)
        if CUSTOMER_EVENT.match(type) and isinstance(found, dict):
            data = found.get("data")
            holders = data.values() if isinstance(data, dict) else ()
            ids = (as_id(h.get("id")) for h in holders if isinstance(h, dict))
            if any(id in self.customers for id in ids):
                return True
        return any(self._is(name, value) for name, value in _leaves(found))

    def _is(self, name: str, value: str) -> bool:
        plain = name.lower()
        if plain.endswith("email"):
            return email_digest(value) in self.emails
        if plain == "customerid":
            return value in self.customers
        if plain == "upstreamid" and value in self.upstreams:
            return True
        return value in self.ids and plain.endswith("id")


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for inner, item in value.items():
            yield from _leaves(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, name)


def request(
    connection: Connection, wanted: ForgetRequest, id: str, transport: Transport, now: datetime
) -> None:
    """Store a request; once for each id."""
    stored = Wanted(
        customer=wanted.customer_id,
        email=email_digest(wanted.email) if wanted.email else None,
        upstream=wanted.upstream_id,
    )
    body = stored.model_dump_json().encode()
    if inbox.append(connection, [Delivery(Origin.OPERATOR, id, TYPE, transport, body)], now):
        # Not for the router: no purchase is its own.
        mine = (facts.c.origin == Origin.OPERATOR.value) & (facts.c.id == id)
        connection.execute(update(facts).where(mine).values(status="routed"))


def next_request(connection: Connection) -> Entry | None:
    """The oldest request that has not been done."""
    query = select(facts.c.seq).where(facts.c.status == "routed", facts.c.type == TYPE)
    seq = connection.scalar(query.order_by(facts.c.seq).limit(1))
    return entries.entry(connection, seq) if seq else None


def person(connection: Connection, entry: Entry) -> tuple[Person, frozenset[str]]:
    """Whom a request means, and the purchases that are known to be theirs."""
    try:
        wanted = Wanted.model_validate_json(entry.body)
    except ValidationError:
        return Person(), frozenset()
    named = [("customer", wanted.customer), ("email", wanted.email)]
    mine = set(links.every(connection, [(kind, value) for kind, value in named if value]))
    if wanted.upstream:
        same = select(purchases.c.id).where(purchases.c.upstream_id == wanted.upstream)
        mine.update(connection.scalars(same))
    someone = Person(
        frozenset(filter(None, [wanted.customer])),
        frozenset(filter(None, [wanted.email])),
        frozenset(filter(None, [wanted.upstream])),
    )
    return someone, frozenset(mine)


def look(
    connection: Connection, someone: Person, after: int, *, orphans: bool
) -> tuple[Named, int | None]:
    """Look through the rows behind `after`; where to go on, `None` at the end."""
    columns = (facts.c.seq, facts.c.type, facts.c.body, facts.c.purchase_id)
    query = select(*columns).where(facts.c.seq > after)
    if orphans:
        query = query.where(facts.c.purchase_id.is_(None))
    rows = connection.execute(query.order_by(facts.c.seq).limit(BATCH)).all()
    mine = [row for row in rows if row.type != TYPE and someone.named_in(row.type, row.body)]
    named = Named(
        frozenset(row.purchase_id for row in mine if row.purchase_id),
        tuple(row.seq for row in mine if not row.purchase_id),
    )
    return named, rows[-1].seq if len(rows) == BATCH else None


def with_ids(connection: Connection, someone: Person, mine: frozenset[str]) -> Person:
    """The same person, also by the ids and addresses of their purchases."""
    ids: set[str] = set()
    emails, customers = set(someone.emails), set(someone.customers)
    for purchase_id in mine:
        own = (keys.c.purchase_id == purchase_id) & (keys.c.kind != "upstream")
        ids.update(connection.scalars(select(keys.c.value).where(own)))
        ids.update(links.of_kind(connection, purchase_id, "source"))
        emails.update(links.of_kind(connection, purchase_id, "email"))
        customers.update(links.of_kind(connection, purchase_id, "customer"))
    return Person(frozenset(customers), frozenset(emails), someone.upstreams, frozenset(ids))


_FORGET = dialects.for_each(
    lambda insert: (new := insert(forgotten)).on_conflict_do_update(
        index_elements=["purchase_id"], set_={"at": new.excluded.at, "clean_to": 0}
    )
)


def begin(connection: Connection, entry: Entry, mine: Sequence[str], now: datetime) -> None:
    """Tell these purchases, and clean all that they have and will get."""
    fact = PersonForgotten()
    for purchase_id in mine:
        row = {"purchase_id": purchase_id, "at": now, "clean_to": 0}
        connection.execute(_FORGET[connection.dialect.name], row)
        body = fact.model_dump_json(by_alias=True).encode()
        told = Delivery(
            *(Origin.OPERATOR, f"{entry.id}/{purchase_id}", fact.kind, "internal", body),
            purchase_id=purchase_id,
        )
        inbox.append(connection, [told], now)


def clean_rows(connection: Connection, seqs: Sequence[int]) -> int:
    """Redact rows of the inbox; returns how many were changed."""
    changed = 0
    for seq in seqs:
        entry = entries.entry(connection, seq)
        body = redacting.fact_body(entry) if entry else b""
        if entry and body != entry.body:
            connection.execute(update(facts).where(facts.c.seq == seq).values(body=body))
            changed += 1
    return changed


def finish(connection: Connection, entry: Entry) -> None:
    """The request is done; what it named is kept as a fingerprint only."""
    inbox.mark(connection, entry.seq, "done", reason="forgotten")
    wanted = Wanted.model_validate_json(entry.body)
    if wanted.customer:
        wanted = wanted.model_copy(update={"customer": customer_digest(wanted.customer)})
    body = wanted.model_dump_json().encode()
    connection.execute(update(facts).where(facts.c.seq == entry.seq).values(body=body))


def unclean(connection: Connection, limit: int) -> list[str]:
    """Forgotten purchases that have got facts since they were cleaned."""
    fresh = (
        (facts.c.purchase_id == forgotten.c.purchase_id)
        & (facts.c.seq > forgotten.c.clean_to)
        & facts.c.status.not_in(OPEN)
    )
    query = select(forgotten.c.purchase_id).where(select(facts.c.seq).where(fresh).exists())
    return list(connection.scalars(query.order_by(forgotten.c.purchase_id).limit(limit)))


def clean(connection: Connection, purchase_id: str) -> int:
    """Take all that is personal out of a purchase's rows; returns how many facts were changed."""
    mine = forgotten.c.purchase_id == purchase_id
    since = connection.scalar(select(forgotten.c.clean_to).where(mine)) or 0
    own = (facts.c.purchase_id == purchase_id) & (facts.c.seq > since)
    waiting = connection.scalar(select(func.min(facts.c.seq)).where(own, facts.c.status.in_(OPEN)))
    last = connection.scalar(select(func.max(facts.c.seq)).where(own)) or since
    decided = select(facts.c.seq).where(own, facts.c.status.not_in(OPEN))
    changed = clean_rows(connection, list(connection.scalars(decided)))
    _clean_decisions(connection, purchase_id, since)
    _clean_commands(connection, purchase_id)
    _clean_outcomes(connection, purchase_id)
    links.drop(connection, purchase_id, PERSONAL_LINKS)
    to = waiting - 1 if waiting else last
    connection.execute(update(forgotten).where(mine).values(clean_to=to))
    return changed


def _clean_decisions(connection: Connection, purchase_id: str, since: int) -> None:
    mine = (decisions.c.purchase_id == purchase_id) & (decisions.c.fact_seq > since)
    columns = (decisions.c.seq, decisions.c.evidence)
    for row in connection.execute(select(*columns).where(mine)).all():
        evidence = redacting.text(row.evidence).decode()
        connection.execute(
            update(decisions).where(decisions.c.seq == row.seq).values(evidence=evidence)
        )


def _clean_commands(connection: Connection, purchase_id: str) -> None:
    """What is being sent is left alone; its result comes and brings us back."""
    mine = (commands.c.purchase_id == purchase_id) & (commands.c.status != "sending")
    for row in connection.execute(select(commands.c.seq, commands.c.body).where(mine)).all():
        body = redacting.command_body(row.body)
        if body != row.body:
            connection.execute(update(commands).where(commands.c.seq == row.seq).values(body=body))


def _clean_outcomes(connection: Connection, purchase_id: str) -> None:
    """Delivered or not: those on their way keep their id, sequence and state."""
    mine = outcomes.c.purchase_id == purchase_id
    for row in connection.execute(select(outcomes.c.id, outcomes.c.body).where(mine)).all():
        body = redacting.outcome_body(row.body)
        connection.execute(update(outcomes).where(outcomes.c.id == row.id).values(body=body))
