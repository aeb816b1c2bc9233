"""What has been kept long enough goes, and nothing else."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select

from consumer.purger import Purger
from consumer.store import admission, commands, entries, inbox, purchases, retention
from consumer.store import tables as t
from consumer.store.admission import Admitted
from consumer.store.engine import Store
from consumer.store.inbox import Delivery
from schemas.commands import FindOrders, Planned
from schemas.facts import Origin
from schemas.purchase import Purchase, Reason, State
from schemas.requests import PurchaseRequest
from tests.shell import lone
from tests.shell.service.parts import ShiftedClock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CANARY = "canary-quillfeather"
DAY = timedelta(days=1)


def purger(store: Store, at: datetime, owner: str = "one") -> Purger:
    clock = ShiftedClock((at - datetime.now(UTC)).total_seconds())
    return Purger(store, clock, owner, 30 * DAY, 45 * DAY, 400 * DAY)


def begun(connection: Connection, name: str) -> Purchase:
    """A purchase with a fact, a command, and its shopper's name in all of it."""
    request = PurchaseRequest(
        checkout_id=f"c-{name}",
        upstream_id=f"web-{name}",
        create_request={"shipTo": {"name": CANARY}},
    )
    verdict = admission.admit(
        *(connection, request), origin=Origin.SHOP, fact_id=name, transport="api", now=NOW
    )
    assert isinstance(verdict, Admitted)
    found = verdict.purchase
    look = FindOrders(checkout_ids=(f"c-{name}",), upstream_id=f"web-{name}")
    commands.plan(connection, found.id, [Planned(key=f"k-{name}", command=look)], NOW)
    return found


def ended(connection: Connection, name: str) -> Purchase:
    """The same, all of it over."""
    found = begun(connection, name)
    for entry in entries.undecided(connection, found.id):
        inbox.mark(connection, entry.seq, "done")
    done = {"state": State.LOST, "reason": Reason.EXPIRED, "version": found.version + 1}
    after = found.model_copy(update=done)
    lone.replace(connection, after, found.version)
    return after


def stranger(connection: Connection, id: str, status: inbox.Status) -> None:
    body = f'{{"name": "{CANARY}"}}'.encode()
    inbox.append(connection, [Delivery(Origin.PLATFORM, id, "x", "webhook", body)], NOW)
    [entry] = [e for e in entries.unrouted(connection, 100) if e.id == id]
    inbox.mark(connection, entry.seq, status, reason="said")


async def rows(store: Store) -> dict[str, int]:
    """How many rows each table has."""

    def count(connection: Connection) -> dict[str, int]:
        tables = t.metadata.sorted_tables
        found = {e.name: connection.scalar(select(func.count()).select_from(e)) for e in tables}
        return {name: number or 0 for name, number in found.items()}

    return await store.read(count)


async def holding(store: Store) -> Sequence[str]:
    """The tables that hold the canary."""

    def full(connection: Connection) -> list[str]:
        rows = {e.name: connection.execute(select(e)).all() for e in t.metadata.sorted_tables}
        # As tuples: a row's own repr is cut short.
        return [name for name, found in rows.items() if CANARY in repr([*map(tuple, found)])]

    return await store.read(full)


async def test_an_ended_purchase_loses_its_bodies_then_its_facts_then_itself(store: Store) -> None:
    await store.write(lambda c: ended(c, "a"))
    stop = asyncio.Event()
    await purger(store, NOW + 29 * DAY).round(stop)
    assert set(await holding(store)) == {"inbox", "purchases"}
    await purger(store, NOW + 31 * DAY).round(stop)
    assert await holding(store) == []
    assert (await rows(store))["inbox"] == 1  # its id is known
    again = Delivery(Origin.SHOP, "a", "purchase_requested", "api", b"{}")
    assert await store.write(lambda c: inbox.append(c, [again], NOW)) == 0
    await purger(store, NOW + 46 * DAY).round(stop)
    assert (await rows(store))["inbox"] <= 1  # at most the dead letter of the conflict above
    found = await store.read(lambda c: purchases.find(c, [("checkout", "c-a")]))
    assert found is not None  # I2: the checkout is known for longer
    await purger(store, NOW + 401 * DAY).round(stop)
    left = {name: number for name, number in (await rows(store)).items() if number}
    assert set(left) <= {"bounds", "leases"}
    assert left.get("leases", 0) == 1  # the purger's own


async def test_what_has_not_ended_stays_whole(store: Store) -> None:
    await store.write(lambda c: begun(c, "a"))
    before = await rows(store)
    await purger(store, NOW + 500 * DAY).round(asyncio.Event())
    after = await rows(store)
    assert {n: c for n, c in after.items() if n != "leases"} == {
        n: c for n, c in before.items() if n != "leases"
    }
    assert set(await holding(store)) == {"inbox", "purchases"}


async def test_strangers_lose_their_bodies_and_letters_wait_for_a_person(store: Store) -> None:
    await store.write(lambda c: stranger(c, "ignored", "ignored"))
    await store.write(lambda c: stranger(c, "dead", "dead"))
    await purger(store, NOW + 31 * DAY).round(asyncio.Event())
    both = select(t.inbox.c.id, t.inbox.c.body)
    bodies = {row.id: row.body for row in await store.read(lambda c: c.execute(both).all())}
    assert bodies["ignored"] == b""
    assert CANARY.encode() in bodies["dead"]
    await purger(store, NOW + 46 * DAY).round(asyncio.Event())
    assert [e.id for e in await store.read(lambda c: entries.dead(c, 10))] == ["dead"]
    assert (await rows(store))["inbox"] == 1
    await purger(store, NOW + 401 * DAY).round(asyncio.Event())
    assert (await rows(store))["inbox"] == 0


async def test_many_are_purged_in_small_batches_and_a_later_fact_brings_one_back(
    store: Store,
) -> None:
    number = 2 * retention.PURCHASES + 7
    made = await store.write(lambda c: [ended(c, str(n)) for n in range(number)])
    step = await store.write(lambda c: retention.purge_bodies(c, NOW, NOW + DAY, ""))
    assert step.changed == retention.PURCHASES
    assert step.after is not None
    await purger(store, NOW + 31 * DAY).round(asyncio.Event())
    assert await holding(store) == []
    first = await store.read(lambda c: purchases.load(c, made[0].id))
    assert first is not None
    later = first.model_copy(update={"version": first.version + 1, "create_request": {"n": CANARY}})
    await store.write(lambda c: lone.replace(c, later, first.version))
    await purger(store, NOW + 32 * DAY).round(asyncio.Event())
    assert await holding(store) == []


async def test_one_process_purges_at_a_time(store: Store) -> None:
    await store.write(lambda c: ended(c, "a"))
    busy = purger(store, NOW + 31 * DAY, "busy")
    await store.write(lambda c: busy._step(c, lambda _c, _a: retention.Swept(0, None), ""))
    await purger(store, NOW + 31 * DAY, "other").round(asyncio.Event())
    assert "inbox" in await holding(store)
    await busy.round(asyncio.Event())
    assert await holding(store) == []
