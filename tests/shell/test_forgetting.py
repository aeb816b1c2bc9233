"""Redaction at rest: by structure, in every kind of row, down to the bytes of the files."""

import json
import random
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from consumer.clock import SystemClock
from consumer.forgetter import Forgetter
from consumer.observe.masking import without_personal_data
from consumer.store import entries, forgetting, inbox, links, purchases
from consumer.store.engine import Store
from consumer.store.inbox import Delivery
from consumer.store.redacting import fact_body
from consumer.store.tables import inbox as facts
from consumer.store.tables import metadata
from handlers.links import email_digest
from schemas.facts import Origin
from schemas.purchase import Link, Purchase
from schemas.requests import ForgetRequest
from tests.shell import lone

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CANARY = "canary-quillfeather"
EMAIL = f"{CANARY}@example.test"


def forgetter(store: Store) -> Forgetter:
    return Forgetter(store, SystemClock(), lambda: None)


def event(id: str, email: str, size: int = 1, **more: Any) -> Delivery:
    owner = {"email": email, "firstName": f"{email} " * size}
    body = {"id": id, "type": "source.created", "data": {"object": {"id": id, "owner": owner}}}
    raw = json.dumps(body | {"liveMode": True, "createdTime": NOW.isoformat()}).encode()
    return Delivery(Origin.PLATFORM, id, "source.created", "webhook", raw, **more)


def fill(connection: Connection) -> None:
    """Rows of every size: in one page, in a page of their own, over several."""
    sizes = random.Random(7)
    for number in range(600):
        mine = number % 3 == 0
        email = EMAIL if mine else f"other-{number}@example.test"
        size = sizes.choice((1, 2, 5, 20, 60, 400))
        inbox.append(connection, [event(f"e{number}", email, size)], NOW)
        inbox.mark(connection, number + 1, "ignored", reason="unknown_type")


async def traces(store: Store, folder: Path) -> list[str]:
    """The tables that still hold the canary, and of a database in files the files too."""

    def full(connection: Connection) -> list[str]:
        rows = {table: connection.execute(select(table)).all() for table in metadata.sorted_tables}
        # As tuples: a row's own repr is cut short.
        return [table.name for table, found in rows.items() if CANARY in repr([*map(tuple, found)])]

    return await store.read(full) + files_with_traces(folder)


def files_with_traces(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if CANARY.encode() in file.read_bytes()]


async def test_no_byte_of_hundreds_of_rows_is_left_in_the_files_and_others_stay(
    store: Store, tmp_path: Path
) -> None:
    await store.write(fill)
    assert await traces(store, tmp_path) != []
    wanted = ForgetRequest(email=EMAIL)
    await store.write(lambda c: forgetting.request(c, wanted, "f1", "api", NOW))
    await forgetter(store).turn()
    assert await traces(store, tmp_path) == []
    bodies = await store.read(lambda c: c.scalars(select(metadata.tables["inbox"].c.body)).all())
    assert sum(b"other-" in body for body in bodies) == 400
    again = [event(f"e{number}", EMAIL) for number in range(0, 600, 3)]
    assert await store.write(lambda c: inbox.append(c, again, NOW)) == 0


async def test_a_dead_letter_that_is_no_json_is_found_by_the_address_in_it(store: Store) -> None:
    broken = Delivery(Origin.PLATFORM, "b1", "x", "webhook", f"<mail>{EMAIL}</mail>".encode())
    await store.write(lambda c: inbox.append(c, [broken], NOW))
    await store.write(lambda c: inbox.mark(c, 1, "dead", reason="not understood"))
    wanted = ForgetRequest(email=EMAIL)
    await store.write(lambda c: forgetting.request(c, wanted, "f1", "cli", NOW))
    await forgetter(store).turn()
    entry = await store.read(lambda c: entries.entry(c, 1))
    assert entry is not None
    assert (entry.body, entry.status, entry.reason) == (b"{}", "dead", "not understood")


async def test_a_purchase_is_found_by_any_body_that_names_its_shopper(store: Store) -> None:
    """As it is for those that were there before there were links."""
    for number in (1, 2):
        purchase = Purchase(
            id=f"pur_{number}",
            upstream_id=f"web-{number}",
            chain=(Link(checkout_id=f"c{number}"),),
            confirmed_at=NOW,
            created_at=NOW,
            updated_at=NOW,
        )
        await store.write(partial(purchases.insert_new, purchase=purchase))
    told = [event("e1", EMAIL, purchase_id="pur_1"), event("e2", "b@c.test", purchase_id="pur_2")]
    await store.write(lambda c: inbox.append(c, told, NOW))
    wanted = ForgetRequest(email=EMAIL)
    await store.write(lambda c: forgetting.request(c, wanted, "f1", "api", NOW))
    await forgetter(store).turn()
    mine = await store.read(lambda c: entries.undecided(c, "pur_1"))
    assert [entry.type for entry in mine] == ["source.created", "person_forgotten"]
    others = await store.read(lambda c: entries.undecided(c, "pur_2"))
    assert [entry.type for entry in others] == ["source.created"]
    # What waits for a decision is decided first, and cleaned then.
    assert EMAIL.encode() in mine[0].body
    await store.write(lambda c: inbox.mark(c, mine[0].seq, "done"))
    await forgetter(store).turn()
    cleaned = await store.read(lambda c: entries.entry(c, mine[0].seq))
    assert cleaned is not None
    assert EMAIL.encode() not in cleaned.body


@pytest.mark.parametrize("id", [["x"], {"a": 1}, 7, None, True, "x" * 300], ids=type)
async def test_a_customers_event_with_an_odd_id_stops_nobody(store: Store, id: object) -> None:
    body = {"id": "e1", "type": "customer.updated", "data": {"object": {"id": id}}}
    told = Delivery(Origin.PLATFORM, "e1", "customer.updated", "webhook", json.dumps(body).encode())
    await store.write(lambda c: inbox.append(c, [told], NOW))
    wanted = ForgetRequest(customer_id="someone")
    await store.write(lambda c: forgetting.request(c, wanted, "f1", "api", NOW))
    await forgetter(store).turn()
    assert await store.read(forgetting.next_request) is None


async def test_a_request_is_stored_without_the_address_and_once(store: Store) -> None:
    wanted = ForgetRequest(email=EMAIL)
    for _ in range(2):
        await store.write(lambda c: forgetting.request(c, wanted, "f1", "api", NOW))
    entry = await store.read(forgetting.next_request)
    assert entry is not None
    assert EMAIL.encode() not in entry.body
    assert email_digest(EMAIL).encode() in entry.body
    assert await store.read(lambda c: entries.unrouted(c, 10)) == []
    await forgetter(store).turn()
    assert await store.read(forgetting.next_request) is None


async def test_a_customers_id_is_no_longer_kept_either(store: Store, tmp_path: Path) -> None:
    purchase = Purchase(
        id="pur_1",
        upstream_id="web-1",
        chain=(Link(checkout_id="c1"),),
        customer_id=CANARY,
        confirmed_at=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
    await store.write(lambda c: purchases.insert_new(c, purchase))
    body = {
        "id": "e9",
        "type": "customer.updated",
        "data": {"object": {"id": CANARY, "locale": "x"}},
    }
    raw = json.dumps(body).encode()
    told = Delivery(Origin.PLATFORM, "e9", "customer.updated", "webhook", raw)
    await store.write(lambda c: inbox.append(c, [told], NOW))
    await store.write(lambda c: inbox.mark(c, 1, "done", reason="forget"))
    wanted = ForgetRequest(customer_id=CANARY)
    await store.write(lambda c: forgetting.request(c, wanted, "f1", "api", NOW))
    await forgetter(store).turn()
    [fact] = await store.read(lambda c: entries.undecided(c, "pur_1"))
    scrubbed = purchase.model_copy(update={"customer_id": None, "version": 2})
    await store.write(lambda c: lone.replace(c, scrubbed, 1))  # what the decision does
    await store.write(lambda c: inbox.mark(c, fact.seq, "done"))
    await forgetter(store).turn()
    assert await store.read(lambda c: links.every(c, [("customer", CANARY)])) == []
    assert await traces(store, tmp_path) == []


def test_what_is_kept_is_named_and_all_else_goes() -> None:
    value = {
        "id": "c1",
        "totalAmount": 64.86,
        "state": "accepted",
        "createdTime": "2024-05-02T09:00:00Z",
        "email": EMAIL,
        "upstreamId": "web-1",
        "shipTo": {"name": "Ada"},
        "aFieldOfTomorrow": "Ada",
        "vatNumber": 12345,
        "metadata": {"id": "Ada"},
        "customerId": "ada-1",
        "payment": {"sources": [{"id": "s1", "owner": {"x": 1}, "amount": 2.5, "note": "Ada"}]},
        "tags": ["Ada"],
    }
    assert without_personal_data(value) == {
        "id": "c1",
        "totalAmount": 64.86,
        "state": "accepted",
        "createdTime": "2024-05-02T09:00:00Z",
        "upstreamId": "web-1",
        "payment": {"sources": [{"id": "s1", "amount": 2.5}]},
        "tags": [],
    }


def test_a_redacted_fact_is_redacted_already() -> None:
    entry = inbox.Entry(
        *(1, Origin.PLATFORM, "e", "source.created", "webhook", NOW + timedelta(0)),
        *(event("e", EMAIL).body, "done", None, None),
    )
    once = fact_body(entry)
    again = inbox.Entry(*(*_fields(entry)[:6], once, *_fields(entry)[7:]))
    assert fact_body(again) == once
    assert b'"id": "e"' in once


def _fields(entry: inbox.Entry) -> list[Any]:
    return [getattr(entry, name) for name in inbox.Entry.__slots__]


async def test_a_request_that_can_not_be_worked_off_is_a_dead_letter_and_stops_nobody(
    store: Store,
) -> None:
    await store.write(lambda c: forgetting.request(c, ForgetRequest(email=EMAIL), "f1", "api", NOW))
    await store.write(lambda c: inbox.append(c, [event("e1", EMAIL)], NOW))
    odd = update(facts).where(facts.c.id == "e1").values(origin="nobody", status="ignored")
    await store.write(lambda c: c.execute(odd))
    await forgetter(store).turn()
    letters = await store.read(lambda c: entries.dead(c, 10))
    assert [(one.id, one.reason) for one in letters] == [("f1", "not forgotten: ValueError")]
    seq = letters[0].seq
    assert await store.write(lambda c: inbox.redrive(c, seq))
    await store.write(lambda c: c.execute(odd.values(origin="platform")))
    await forgetter(store).turn()
    assert await store.read(lambda c: entries.dead(c, 10)) == []
    assert b"quillfeather" not in (await store.read(lambda c: entries.entry(c, 2))).body  # type: ignore[union-attr]  # it is there
