"""What is PostgreSQL's alone: many writers, a server that goes away, a bell, one clock."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, func, select, text
from sqlalchemy.util import await_only

from consumer.clock import SharedClock
from consumer.store import admission, commands, entries, inbox, leases, parking, purchases, work
from consumer.store import tables as t
from consumer.store.admission import Admitted
from consumer.store.bell import Bell
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.inbox import Delivery
from consumer.store.opening import open_engine, open_store
from consumer.store.postgres import connector
from consumer.store.timekeeping import set_clock
from schemas.commands import Planned, ReadOrder
from schemas.facts import Origin
from schemas.requests import PurchaseRequest
from tests.services.postgres import OwnPostgres, own_server
from tests.shell import lone
from tests.shell.service.parts import ShiftedClock
from tests.shell.service.serving import eventually

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def mortal() -> Iterator[OwnPostgres]:
    """A server that a test may kill."""
    with own_server() as found:
        yield found


@asynccontextmanager
async def stores(url: str, number: int) -> AsyncIterator[list[Store]]:
    """So many processes' stores over one database."""
    found = [open_store(open_engine(url)) for _ in range(number)]
    try:
        yield found
    finally:
        for each in found:
            await each.close()


def event(id: str) -> Delivery:
    return Delivery(Origin.PLATFORM, id, "order.accepted", "webhook", b"{}", "o1")


def admit(connection: Connection, checkout: str, upstream: str, fact: str) -> str:
    request = PurchaseRequest(checkout_id=checkout, upstream_id=upstream)
    verdict = admission.admit(
        connection, request, origin=Origin.SHOP, fact_id=fact, transport="api", now=NOW
    )
    assert isinstance(verdict, Admitted)
    return verdict.purchase.id


async def test_the_same_events_at_several_processes_are_one_fact_each(postgres_url: str) -> None:
    names = [f"e{number}" for number in range(120)]
    async with stores(postgres_url, 3) as processes:
        lots = random.Random(1)

        async def tell(store: Store) -> int:
            mine = lots.sample(names, len(names))
            batches = [[event(id) for id in mine[at : at + 20]] for at in range(0, 120, 20)]
            jobs = [store.write(lambda c, b=b: inbox.append(c, b, NOW)) for b in batches]  # type: ignore[misc]  # bound
            return sum(await asyncio.gather(*jobs))

        assert sum(await asyncio.gather(*map(tell, processes))) == 120
        stored = await processes[0].read(lambda c: entries.unrouted(c, 1000))
    assert sorted(entry.id for entry in stored) == sorted(names)


async def test_a_checkout_belongs_to_one_purchase_whichever_process_is_asked(
    postgres_url: str,
) -> None:
    async with stores(postgres_url, 4) as processes:
        jobs = [
            store.write(lambda c, n=f"{round}-{at}", r=round: admit(c, f"c{r}", f"web-{r}", n))  # type: ignore[misc]  # bound
            for round in range(10)
            for at, store in enumerate(processes)
        ]
        ids = await asyncio.gather(*jobs)
        assert len(set(ids)) == 10
        count = select(func.count()).select_from(t.purchases)
        assert await processes[0].read(lambda c: c.scalar(count)) == 10
        facts = await processes[0].read(lambda c: entries.of_purchase(c, ids[0]))
    assert len(facts) == 4


async def test_a_lease_has_one_holder_however_many_compete(postgres_url: str) -> None:
    async with stores(postgres_url, 4) as processes:
        ids = [
            await processes[0].write(lambda c, n=n: admit(c, f"c{n}", f"web-{n}", f"f{n}"))  # type: ignore[misc]  # bound
            for n in range(20)
        ]

        async def compete(number: int, store: Store) -> list[str]:
            def take(connection: Connection, id: str) -> bool:
                found = lone.take(connection, id, f"process-{number}", NOW, after(60))
                return found is not None

            mine = random.Random(number).sample(ids, len(ids))
            got = await asyncio.gather(
                *(store.write(lambda c, id=id: take(c, id)) for id in mine)  # type: ignore[misc]  # bound
            )
            return [id for id, taken in zip(mine, got, strict=True) if taken]

        won = await asyncio.gather(*(compete(n, s) for n, s in enumerate(processes)))
        assert sorted(id for each in won for id in each) == sorted(ids)
        others = await processes[0].read(lambda c: work.pending(c, after(1), 100, "somebody"))
        assert others == []
        later = await processes[0].read(lambda c: work.pending(c, after(61), 100, "somebody"))
        assert sorted(later) == sorted(ids)


async def test_letting_go_leaves_a_purchase_to_others_at_once(postgres_url: str) -> None:
    async with stores(postgres_url, 1) as [store]:
        id = await store.write(lambda c: admit(c, "c1", "web-1", "f1"))
        await store.write(lambda c: lone.take(c, id, "one", NOW, after(60)))
        assert await store.write(lambda c: lone.take(c, id, "two", after(1), after(60))) is None
        assert await store.write(lambda c: leases.release_all(c, "one", after(1))) == 1
        heir = await store.write(lambda c: lone.take(c, id, "two", after(1), after(60)))
        assert heir is not None
        assert heir.lease.epoch == 2


async def test_a_start_whose_commit_nobody_heard_of_is_repeated_by_its_holder_alone(
    postgres_url: str,
) -> None:
    async with stores(postgres_url, 1) as [store]:
        id = await store.write(lambda c: admit(c, "c1", "web-1", "f1"))
        read = Planned(key="k", command=ReadOrder(order_id="o1"))
        await store.write(lambda c: commands.plan(c, id, [read], NOW))
        task = await store.write(lambda c: commands.next_due_of(c, [id], NOW).get(id))
        assert task is not None
        for epoch, started in ((1, True), (1, True), (2, False)):
            found = await store.write(
                lambda c, e=epoch: commands.start(c, task, e, NOW, after(9))  # type: ignore[misc]  # bound
            )
            assert (found is not None) is started


async def test_jobs_that_wait_share_a_transaction_and_a_failing_one_spoils_no_other(
    postgres_url: str,
) -> None:
    def number(connection: Connection) -> int:
        connection.execute(text("SELECT pg_current_xact_id()"))
        found: int = connection.scalar(text("SELECT pg_current_xact_id()::text::bigint"))
        return found

    def fail(connection: Connection) -> None:
        connection.execute(text("SELECT 1/0"))

    async with stores(postgres_url, 1) as [store]:
        same = await asyncio.gather(*(store.write(number) for _ in range(20)))
        assert len(set(same)) == 1
        mixed = await asyncio.gather(
            *(store.write(number) for _ in range(5)), store.write(fail), return_exceptions=True
        )
    assert isinstance(mixed[-1], Exception)
    assert not isinstance(mixed[-1], StoreUnavailable)
    assert len(set(mixed[:-1])) == 1


async def test_a_statement_that_takes_too_long_is_given_up(postgres_url: str) -> None:
    store = open_store(open_engine(postgres_url, statement_timeout=1.0))
    try:
        with pytest.raises(StoreUnavailable):
            await store.write(lambda c: c.execute(text("SELECT pg_sleep(30)")))
        with pytest.raises(StoreUnavailable):
            await store.look(lambda c: c.execute(text("SELECT pg_sleep(30)")))
        assert await store.look(lambda c: c.scalar(text("SELECT 1"))) == 1
    finally:
        await store.close()


async def test_a_server_that_dies_in_the_middle_of_work_loses_and_doubles_nothing(
    mortal: OwnPostgres,
) -> None:
    url = await asyncio.to_thread(mortal.fresh)
    async with stores(url, 2) as processes:
        acknowledged: set[str] = set()
        refused = 0
        stop = asyncio.Event()

        async def tell(store: Store, sender: int) -> None:
            """What a sender does: repeat an event until it is acknowledged."""
            nonlocal refused
            number = 0
            while not stop.is_set():
                id = f"e{sender}-{number}"
                try:
                    await store.write(lambda c: inbox.append(c, [event(id)], NOW), ingress=True)  # noqa: B023 - awaited here
                    acknowledged.add(id)
                    number += 1
                except StoreUnavailable:
                    refused += 1
                    await asyncio.sleep(0.05)

        async def count() -> int:
            return len(acknowledged)

        async with asyncio.TaskGroup() as tasks:
            for sender in range(8):
                tasks.create_task(tell(processes[sender % 2], sender))
            for _ in range(3):
                before = await count()
                await eventually(lambda b=before: _more(acknowledged, b + 40), 30.0)  # type: ignore[misc]  # bound
                await asyncio.to_thread(mortal.crash)
                await asyncio.to_thread(mortal.start)
            before = await count()
            await eventually(lambda: _more(acknowledged, before + 40), 30.0)
            stop.set()
        stored = await processes[0].read(lambda c: entries.unrouted(c, 100_000))
    ids = [entry.id for entry in stored]
    assert refused > 0
    assert len(ids) == len(set(ids))
    assert acknowledged <= set(ids)


async def _more(found: set[str], than: int) -> bool:
    return len(found) > than


async def test_a_bell_is_heard_by_others_and_again_after_the_server_was_away(
    mortal: OwnPostgres,
) -> None:
    url = await asyncio.to_thread(mortal.fresh)
    connect, stop = connector(url, 5.0), asyncio.Event()
    heard: dict[str, list[str]] = {"one": [], "two": []}
    missed: list[str] = []
    bells = {
        name: Bell(connect, heard[name].append, lambda name=name: missed.append(name))  # type: ignore[misc]  # bound
        for name in heard
    }

    async def listening() -> bool:
        return all(bell.listening for bell in bells.values())

    async def came(word: str) -> bool:
        return word in heard["two"]

    async with asyncio.TaskGroup() as tasks:
        for bell in bells.values():
            tasks.create_task(bell.run(stop))
        try:
            await eventually(listening)
            bells["one"].ring("news")
            await eventually(lambda: came("news"))
            await asyncio.to_thread(mortal.crash)
            await eventually(lambda: _none(bells))
            await asyncio.to_thread(mortal.start)
            await eventually(listening)
            assert sorted(missed) == ["one", "one", "two", "two"]
            for number in range(500):  # more than one NOTIFY can carry
                bells["one"].ring(f"pur_{number:028}")
            await eventually(lambda: came(f"pur_{499:028}"))
        finally:
            stop.set()
    assert heard["one"] == []  # nobody hears themselves
    assert len([word for word in heard["two"] if word.startswith("pur_")]) == 500


async def _none(bells: dict[str, Bell]) -> bool:
    return not any(bell.listening for bell in bells.values())


async def test_machines_whose_clocks_differ_by_a_minute_agree_on_the_time(
    postgres_url: str,
) -> None:
    async with stores(postgres_url, 2) as processes:
        ahead, behind = SharedClock(ShiftedClock(60)), SharedClock(ShiftedClock(-60))
        assert (ahead.now() - behind.now()) > timedelta(seconds=100)
        differences = [
            await set_clock(s, c) for s, c in zip(processes, (ahead, behind), strict=True)
        ]
        assert abs(ahead.now() - behind.now()) < timedelta(seconds=1)
    assert [round(each / 60) for each in differences] == [1, -1]


async def test_what_was_parked_while_its_key_was_claimed_is_found(postgres_url: str) -> None:
    """Neither transaction sees the other: the one parks, the other one claims."""
    async with stores(postgres_url, 2) as [one, two]:
        await one.write(lambda c: inbox.append(c, [event("e1")], NOW))
        parked, claimed = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def park(connection: Connection) -> None:
            [entry] = entries.unrouted(connection, 1)
            parking.park(connection, entry.seq, [("checkout", "c1")], "waits")
            loop.call_soon(parked.set)
            await_only(claimed.wait())

        waits = asyncio.create_task(one.write(park))
        await parked.wait()
        id = await two.write(lambda c: admit(c, "c1", "web-1", "f1"))
        claimed.set()
        await waits
        assert await one.read(lambda c: entries.unrouted(c, 10)) == []
        [key] = await one.look(lambda c: parking.claimed(c, 10))
        await one.write(lambda c: parking.unpark(c, [key]))
        assert [e.id for e in await one.read(lambda c: entries.unrouted(c, 10))] == ["e1"]
        assert await one.look(lambda c: purchases.find(c, [key])) == id
