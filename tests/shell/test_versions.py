"""Versions that read different documents, on one database: who writes which, and who waits."""

import asyncio
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection, select

from consumer.presence import Presence
from consumer.store import entries, parking, purchases, replicas, retention, work
from consumer.store import tables as t
from consumer.store.engine import Store
from deploy.sandbox.server import Options, running
from schemas.facts import Origin
from schemas.purchase import SCHEMA_NUMBER
from tests.shell import lone
from tests.shell.sandbox.shop import Shop
from tests.shell.service.parts import ShiftedClock, parts, until
from tests.shell.service.serving import KEY
from tests.shell.test_links import routed
from tests.shell.test_retention import DAY, NOW, begun, ended

OLD, NEW = SCHEMA_NUMBER, SCHEMA_NUMBER + 1


async def number(store: Store, purchase_id: str) -> tuple[int, str]:
    """Of a purchase: the column's, and the document's own words."""
    found = select(t.purchases.c.schema_number, t.purchases.c.document)
    [row] = await store.read(lambda c: c.execute(found.where(t.purchases.c.id == purchase_id)))
    return row.schema_number, row.document.partition('"schemaNumber":')[2][:1]


async def test_documents_have_the_number_that_every_living_process_can_read(store: Store) -> None:
    clock = ShiftedClock(0)
    new = Presence(store, clock, "new", NEW)
    await store.write(lambda c: replicas.beat(c, "old", clock.now(), NOW + 9999 * DAY, OLD))
    await new.beat()
    found = await store.write(lambda c: begun(c, "a"))
    assert await number(store, found.id) == (OLD, str(OLD))
    await store.write(lambda c: replicas.leave(c, "old"))
    await new.beat()
    again = found.model_copy(update={"version": 2})
    await store.write(lambda c: lone.replace(c, again, 1))
    assert await number(store, found.id) == (NEW, str(NEW))
    other = await store.write(lambda c: begun(c, "b"))
    assert await number(store, other.id) == (NEW, str(NEW))
    # One that comes back can't read what is newer already, but all that is new from now on.
    await store.write(lambda c: replicas.beat(c, "old", clock.now(), NOW + 9999 * DAY, OLD))
    await new.beat()
    later = await store.write(lambda c: begun(c, "c"))
    assert await number(store, later.id) == (OLD, str(OLD))


async def test_what_is_purged_gets_the_number_too(store: Store) -> None:
    found = await store.write(lambda c: ended(c, "a"))
    await Presence(store, ShiftedClock(0), "new", NEW).beat()
    await store.write(lambda c: retention.purge_bodies(c, NOW, NOW + DAY, ""))
    assert await number(store, found.id) == (NEW, str(NEW))


async def test_a_newer_version_waits_until_the_last_older_process_is_gone(store: Store) -> None:
    clock = ShiftedClock(0)
    old, new = Presence(store, clock, "old", 1), Presence(store, clock, "new", 2)
    await old.beat()
    assert old.agreed.is_set()
    await new.beat()
    assert not new.agreed.is_set()
    await old.beat()  # the older one goes on beside the newer one
    await store.write(lambda c: replicas.leave(c, "old"))
    await new.beat()
    assert new.agreed.is_set()


async def test_an_older_process_that_was_killed_is_waited_for_no_longer_than_it_is_believed(
    store: Store,
) -> None:
    clock = ShiftedClock(0)
    await Presence(store, clock, "old", 1).beat()
    new = Presence(store, clock, "new", 2)
    await new.beat()
    assert not new.agreed.is_set()
    clock.seconds = 60
    await new.beat()
    assert new.agreed.is_set()


async def test_work_begins_once_all_agree_and_not_after_the_stop(store: Store) -> None:
    done: list[str] = []

    async def work(name: str) -> None:
        done.append(name)

    presence, stop = Presence(store, ShiftedClock(0), "one"), asyncio.Event()
    waiting = asyncio.create_task(presence.once_agreed(stop, work("worker")))
    await asyncio.sleep(0)
    assert done == []
    await presence.beat()
    await waiting
    assert done == ["worker"]


@pytest.mark.parametrize("readable", [True, False])
async def test_a_document_of_a_newer_version_is_left_to_those_who_can_read_it(
    store: Store, readable: bool
) -> None:
    found = await store.write(lambda c: begun(c, "a"))
    newer = found.model_copy(update={"schema_number": SCHEMA_NUMBER + 1, "version": 2})

    def write(connection: Connection) -> None:
        lone.replace(connection, newer, 1)
        if not readable:
            odd = newer.model_dump_json(by_alias=True).replace('"chain"', '"links"')
            connection.execute(t.purchases.update().values(document=odd))

    await store.write(write)
    later = NOW + timedelta(minutes=1)
    assert await store.read(lambda c: work.pending(c, later, 10, "one")) == []
    until = later + timedelta(minutes=1)
    assert await store.write(lambda c: lone.take(c, found.id, "one", later, until)) is None
    held = await store.read(lambda c: c.scalars(select(t.leases.c.until)).all())
    assert all(end <= later for end in held)  # the lease is free for others


async def written_by_a_newer_version(store: Store, purchase_id: str) -> None:
    newer = t.purchases.update().where(t.purchases.c.id == purchase_id)
    found = await store.read(lambda c: purchases.load(c, purchase_id))
    assert found is not None
    document = found.model_copy(update={"schema_number": NEW}).model_dump_json(by_alias=True)
    await store.write(lambda c: c.execute(newer.values(document=document, schema_number=NEW)))


async def test_an_event_about_a_newer_document_stays_for_those_who_can_read_it(
    store: Store,
) -> None:
    found = await store.write(lambda c: begun(c, "a"))
    await written_by_a_newer_version(store, found.id)
    again = {"checkoutId": "c-a", "upstreamId": "web-a"}
    await routed(store, "purchase.submit_requested", again, "e1", Origin.MERCHANT)
    await routed(store, "purchase.submit_requested", {"checkoutId": "c-b"}, "e2", Origin.MERCHANT)
    assert await store.read(lambda c: entries.unrouted(c, 10)) == []
    # It waits for a key that is claimed: so it is routed again until somebody can read the owner.
    waits = await store.read(lambda c: parking.claimed(c, 10))
    assert sorted(waits) == [("checkout", "c-a"), ("upstream", "web-a")]
    assert await store.write(lambda c: parking.unpark(c, waits)) == 1
    left = await store.read(lambda c: entries.unrouted(c, 10))
    assert [(entry.id, entry.status) for entry in left] == [("e1", "new")]


async def test_a_decision_that_meets_a_newer_document_is_left_to_those_who_can_read_it(
    tmp_path: Path, database_url: str
) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        running(Options(keys=(KEY,), rate=1000.0)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=headers) as http,
        parts(tmp_path, sandbox.url, database_url=database_url) as house,
    ):
        checkout = await Shop(sandbox, http).checkout(upstreamId="web-1")
        newer = await house.admit("another", "web-1")
        await written_by_a_newer_version(house.store, newer.id)
        mine = await house.admit(checkout["id"], None)
        worker, witness = house.worker("old")
        house.start(worker)
        await until(lambda: mine.id in worker._aside)
        facts = await house.facts(mine.id)
        assert facts[-1].status == "routed"
        assert (witness.alerts, witness.buried_reasons) == (["newer_purchase"], [])
