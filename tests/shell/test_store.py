"""The store on real SQLite: group commit, the inbox, commands, leases, and what fences hold."""

import asyncio
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, text
from sqlalchemy import event as event_of

from consumer.store import (
    admission,
    commands,
    entries,
    inbox,
    leases,
    outcomes,
    parking,
    purchases,
    work,
)
from consumer.store import tables as t
from consumer.store.admission import Admitted, Refused
from consumer.store.engine import Store, StoreUnavailable
from consumer.store.inbox import Delivery
from consumer.store.leases import LeaseLost
from consumer.store.opening import open_engine, open_store
from consumer.store.sqlite import SqliteStore
from consumer.store.work import Step
from handlers.decision import Decision
from schemas.commands import FindOrders, Planned, ReadOrder, Wake
from schemas.facts import Origin
from schemas.purchase import Purchase, State
from schemas.requests import PurchaseRequest
from schemas.results import Abandoned, Succeeded
from tests.shell import lone

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LOOK = FindOrders(checkout_ids=("c1",), upstream_id="web-1")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def event(id: str, type: str = "order.accepted", about: str = "o1") -> Delivery:
    return Delivery(Origin.PLATFORM, id, type, "webhook", b"{}", about)


def handed_over(connection: Connection, checkout: str = "c1", upstream: str = "web-1") -> Purchase:
    request = PurchaseRequest(checkout_id=checkout, upstream_id=upstream)
    verdict = admission.admit(
        *(connection, request),
        origin=Origin.SHOP,
        fact_id=f"fact-{checkout}",
        transport="api",
        now=NOW,
    )
    assert isinstance(verdict, Admitted)
    return verdict.purchase


async def test_a_write_that_returned_is_in_the_file(sqlite_store: Store, tmp_path: Path) -> None:
    store = sqlite_store
    assert await store.write(lambda c: inbox.append(c, [event("e1")], NOW)) == 1
    other = sqlite3.connect(tmp_path / "store.db")
    assert other.execute("SELECT id, status FROM inbox").fetchall() == [("e1", "new")]
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


async def test_a_job_that_fails_takes_nobody_else_with_it(store: Store) -> None:
    def bad(connection: Connection) -> None:
        inbox.append(connection, [event("bad")], NOW)
        raise ValueError("mine")

    def good(connection: Connection, number: int) -> None:
        inbox.append(connection, [event(f"good-{number}")], NOW)

    jobs = [store.write(lambda c, n=n: good(c, n)) for n in range(20)]  # type: ignore[misc]  # bound
    results = await asyncio.gather(*jobs, store.write(bad), return_exceptions=True)
    assert isinstance(results[-1], ValueError)
    assert results[:-1] == [None] * 20
    assert await store.read(lambda c: c.scalar(select(func.count()).select_from(t.inbox))) == 20


async def test_a_locked_database_refuses_and_stores_nothing_then_works_again(
    sqlite_store: Store, tmp_path: Path
) -> None:
    store = sqlite_store
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        await store.write(lambda c: inbox.append(c, [event("e1")], NOW))
    assert await store.read(lambda c: entries.unrouted(c, 10)) == []
    other.execute("ROLLBACK")
    other.close()
    assert await store.write(lambda c: inbox.append(c, [event("e1")], NOW)) == 1


async def test_a_full_disk_refuses_the_whole_batch_and_stores_nothing(sqlite_store: Store) -> None:
    store = sqlite_store
    assert isinstance(store, SqliteStore)
    await store.write(lambda c: c.execute(text("SELECT 1")).all())
    with store.engine.connect() as connection:
        size = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.rollback()

    def limit(connection: Connection, pages: int) -> None:
        connection.execute(text(f"PRAGMA max_page_count={pages}"))

    await store.write(lambda c: limit(c, size))
    huge = Delivery(Origin.PLATFORM, "e1", "order.accepted", "webhook", b"x" * 500_000)
    with pytest.raises(StoreUnavailable):
        await store.write(lambda c: inbox.append(c, [huge], NOW))
    await store.write(lambda c: limit(c, 1_000_000))
    assert await store.write(lambda c: inbox.append(c, [huge], NOW)) == 1


async def test_closing_finishes_what_waits(database_url: str) -> None:
    store = open_store(open_engine(database_url))
    jobs = [
        asyncio.ensure_future(store.write(lambda c, n=n: inbox.append(c, [event(str(n))], NOW)))  # type: ignore[misc]  # bound
        for n in range(50)
    ]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*jobs) == [1] * 50


async def test_the_same_event_again_is_one_fact(store: Store) -> None:
    assert await store.write(lambda c: inbox.append(c, [event("e1"), event("e2")], NOW)) == 2
    assert await store.write(lambda c: inbox.append(c, [event("e1"), event("e3")], NOW)) == 1
    found = await store.read(lambda c: entries.unrouted(c, 10))
    assert [entry.id for entry in found] == ["e1", "e2", "e3"]


async def test_a_long_batch_keeps_its_order_and_its_repeats_are_one_fact(store: Store) -> None:
    names = [f"e{number:04}" for number in range(1500)]
    repeated = [event(name) for name in [*names, *names[-2:]]]
    assert await store.write(lambda c: inbox.append(c, repeated, NOW)) == len(names)
    found = await store.read(lambda c: entries.unrouted(c, 2000))
    assert [entry.id for entry in found] == names


async def test_a_batch_of_events_is_one_statement(store: Store) -> None:
    seen: list[str] = []

    def job(connection: Connection) -> int:
        def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
            seen.append(statement)

        event_of.listen(connection, "before_cursor_execute", note)
        try:
            return inbox.append(connection, [event(f"e{n}") for n in range(500)], NOW)
        finally:
            event_of.remove(connection, "before_cursor_execute", note)

    assert await store.write(job) == 500
    assert len(seen) == 1


@pytest.mark.parametrize("other", [event("e1", about="o2"), event("e1", type="order.blocked")])
async def test_the_same_id_with_another_type_or_object_is_a_dead_letter(
    store: Store, other: Delivery
) -> None:
    await store.write(lambda c: inbox.append(c, [event("e1")], NOW))
    for _ in range(2):
        await store.write(lambda c: inbox.append(c, [other], NOW))
    [letter] = await store.read(lambda c: entries.dead(c, 10))
    assert letter.reason == "same id, another type or object"
    assert [entry.id for entry in await store.read(lambda c: entries.unrouted(c, 10))] == ["e1"]


async def test_the_same_id_of_two_origins_is_two_facts(store: Store) -> None:
    mine = Delivery(Origin.MERCHANT, "e1", "purchase.submit_requested", "api", b"{}")
    assert await store.write(lambda c: inbox.append(c, [event("e1"), mine], NOW)) == 2


async def test_a_parked_fact_is_routed_again_when_its_key_is_claimed(store: Store) -> None:
    def park(connection: Connection) -> None:
        inbox.append(connection, [event("e1")], NOW)
        [entry] = entries.unrouted(connection, 1)
        parking.park(connection, entry.seq, [("checkout", "c1"), ("order", "o1")], "waits")

    await store.write(park)
    assert await store.read(lambda c: entries.unrouted(c, 10)) == []
    await store.write(handed_over)
    assert [e.id for e in await store.read(lambda c: entries.unrouted(c, 10))] == ["e1"]


async def test_a_redriven_dead_letter_goes_its_way_once(store: Store) -> None:
    def bury(connection: Connection) -> int:
        inbox.append(connection, [event("e1")], NOW)
        [entry] = entries.unrouted(connection, 1)
        inbox.mark(connection, entry.seq, "dead", reason="no sense")
        return entry.seq

    seq = await store.write(bury)
    assert await store.write(lambda c: inbox.redrive(c, seq))
    assert not await store.write(lambda c: inbox.redrive(c, seq))
    [entry] = await store.read(lambda c: entries.unrouted(c, 10))
    assert entry.reason == inbox.REDRIVEN


async def test_a_lease_has_one_holder_and_a_rising_epoch(store: Store) -> None:
    def story(c: Connection) -> list[int | None]:
        steps = [
            leases.acquire(c, "x", "one", NOW, after(10)),
            leases.acquire(c, "x", "two", after(5), after(15)),
            leases.acquire(c, "x", "one", after(5), after(15)),
            leases.acquire(c, "x", "two", after(15), after(25)),
            leases.acquire(c, "x", "one", after(16), after(26)),
            leases.acquire(c, "x", "two", after(30), after(40)),
        ]
        return [lease.epoch if lease else None for lease in steps]

    assert await store.write(story) == [1, None, 1, 2, None, 3]


async def test_a_new_process_ends_the_leases_of_the_dead(store: Store) -> None:
    def story(c: Connection) -> int | None:
        leases.acquire(c, "x", "dead", NOW, after(100))
        leases.end_all(c, after(1))
        heir = leases.acquire(c, "x", "heir", after(1), after(50))
        return heir.epoch if heir else None

    assert await store.write(story) == 2


async def test_a_purchase_with_very_many_facts_does_not_hide_those_of_the_others(
    store: Store,
) -> None:
    def flood(connection: Connection) -> dict[str, list[inbox.Entry]]:
        for name, number in (("flooded", 300), ("other", 1)):
            facts = [replace(event(f"{name}-{n}"), purchase_id=name) for n in range(number)]
            inbox.append(connection, facts, NOW)
        return entries.undecided_of(connection, ["flooded", "other"], 51)

    found = await store.write(flood)
    assert {name: len(facts) for name, facts in found.items()} == {"flooded": 51, "other": 1}
    assert [fact.id for fact in found["flooded"][:2]] == ["flooded-0", "flooded-1"]


async def test_a_decision_under_a_lost_lease_is_not_stored(store: Store) -> None:
    purchase = await store.write(handed_over)
    taken = await store.write(lambda c: lone.take(c, purchase.id, "one", NOW, after(10)))
    assert taken is not None
    moved = purchase.model_copy(update={"state": State.SUBMITTING, "reason": None})
    planned = Planned(key="k", command=LOOK)
    decision = Decision(moved, "rule", "source", (planned,))
    heir = await store.write(lambda c: lone.take(c, purchase.id, "two", after(11), after(21)))
    assert heir is not None
    assert heir.lease.epoch == taken.lease.epoch + 1

    def late(connection: Connection, now: datetime) -> None:
        step = Step(
            purchase, work.following(purchase, decision, now), taken.facts[0], now, decision
        )
        lone.save(connection, step, taken.lease, ())

    for now in (after(9), after(12)):
        with pytest.raises(LeaseLost):
            await store.write(lambda c, n=now: late(c, n))  # type: ignore[misc]  # bound
    stored = await store.read(lambda c: purchases.load(c, purchase.id))
    assert stored == purchase
    assert await store.read(lambda c: commands.of_purchase(c, purchase.id)) == []
    # The other one's goes through.
    after_it = work.following(purchase, decision, after(12))
    step = Step(purchase, after_it, heir.facts[0], after(12), decision)
    saved = await store.write(lambda c: lone.save(c, step, heir.lease, ("webhook",)))
    assert saved.version == purchase.version + 1
    assert len(await store.read(lambda c: outcomes.due(c, "webhook", after(12), 10))) == 1


async def test_a_decision_on_an_outdated_version_is_not_stored(store: Store) -> None:
    purchase = await store.write(handed_over)
    taken = await store.write(lambda c: lone.take(c, purchase.id, "one", NOW, after(10)))
    assert taken is not None
    moved = purchase.model_copy(update={"state": State.SUBMITTING, "reason": None})
    decision = Decision(moved, "rule", "source")
    after_it = work.following(purchase, decision, NOW)
    step = Step(purchase, after_it, taken.facts[0], NOW, decision)
    await store.write(lambda c: lone.save(c, step, taken.lease, ()))
    with pytest.raises(purchases.Moved):
        await store.write(lambda c: lone.save(c, step, taken.lease, ()))


async def test_an_answer_is_stored_whoever_holds_the_lease_and_beside_its_abandonment(
    store: Store,
) -> None:
    purchase = await store.write(handed_over)
    task = await sending(store, purchase, "one")
    await store.write(lambda c: lone.take(c, purchase.id, "two", after(30), after(40)))
    await store.write(lambda c: commands.end(c, task, Succeeded(status=201), after(31)))
    facts = await store.read(lambda c: entries.of_purchase(c, purchase.id))
    ids = [fact.id for fact in facts if fact.origin is Origin.COMMAND]
    assert ids == ["k/1/abandoned", "k/1/answer"]


async def sending(store: Store, purchase: Purchase, owner: str) -> commands.Task:
    """A command of this purchase that its holder is sending, until ten seconds from now."""

    def job(connection: Connection) -> commands.Task:
        taken = lone.take(connection, purchase.id, owner, NOW, after(10))
        assert taken is not None
        for entry in taken.facts:
            inbox.mark(connection, entry.seq, "done")
        commands.plan(connection, purchase.id, [Planned(key="k", command=LOOK)], NOW)
        task = commands.next_due_of(connection, [purchase.id], NOW).get(purchase.id)
        assert task is not None
        assert work.begin(connection, task, taken.lease, NOW, after(10)) is not None
        return task

    return await store.write(job)


@pytest.mark.parametrize(("taken_at", "sent_by"), [(11, 10), (5, 5)])
async def test_what_was_being_sent_can_have_been_sent_until_its_deadline_or_now(
    store: Store, taken_at: float, sent_by: float
) -> None:
    purchase = await store.write(handed_over)
    await sending(store, purchase, "one")
    await store.write(lambda c: leases.end_all(c, after(taken_at)))
    until = after(taken_at + 10)
    await store.write(lambda c: lone.take(c, purchase.id, "two", after(taken_at), until))
    facts = await store.read(lambda c: entries.of_purchase(c, purchase.id))
    assert (
        Abandoned(sent_by=after(sent_by)).model_dump_json(by_alias=True) in facts[-1].body.decode()
    )


async def test_causes_of_one_effect_collide_while_it_is_planned_or_sent(store: Store) -> None:
    purchase = await store.write(handed_over)
    again = Planned(key="k", command=ReadOrder(order_id="o1"))
    task = await sending(store, purchase, "one")
    await store.write(lambda c: commands.plan(c, purchase.id, [again, again], NOW))
    [only] = await store.read(lambda c: commands.of_purchase(c, purchase.id))
    assert (only.status, only.attempt, only.command) == ("sending", 1, LOOK)
    await store.write(lambda c: commands.end(c, task, Succeeded(status=200), NOW))
    await store.write(lambda c: commands.plan(c, purchase.id, [again], NOW))
    [only] = await store.read(lambda c: commands.of_purchase(c, purchase.id))
    assert (only.status, only.attempt) == ("planned", 2)


async def test_a_timer_fires_once_when_it_is_due(store: Store) -> None:
    purchase = await store.write(handed_over)
    wake = Planned(key="w", command=Wake(name="look", hold=0), due=after(5))
    await store.write(lambda c: commands.plan(c, purchase.id, [wake], NOW))
    assert not await store.read(lambda c: commands.timer_due(c, after(4)))
    assert await store.write(lambda c: commands.fire_due(c, after(4), 10)) == []
    assert await store.write(lambda c: commands.fire_due(c, after(5), 10)) == [purchase.id]
    assert await store.write(lambda c: commands.fire_due(c, after(6), 10)) == []
    facts = await store.read(lambda c: entries.of_purchase(c, purchase.id))
    assert [fact.origin for fact in facts] == [Origin.SHOP, Origin.TIMER]


async def test_a_checkout_belongs_to_one_purchase_however_many_ask_at_once(store: Store) -> None:
    request = PurchaseRequest(checkout_id="c1", upstream_id="web-1")

    def admit(connection: Connection, number: int) -> str:
        verdict = admission.admit(
            *(connection, request),
            origin=Origin.SHOP,
            fact_id=f"f{number}",
            transport="api",
            now=NOW,
        )
        assert isinstance(verdict, Admitted)
        return verdict.purchase.id

    jobs = [store.write(lambda c, n=n: admit(c, n)) for n in range(20)]  # type: ignore[misc]  # bound
    assert len(set(await asyncio.gather(*jobs))) == 1


async def test_checkout_and_upstream_id_of_two_purchases_are_refused(store: Store) -> None:
    await store.write(lambda c: handed_over(c, "c1", "web-1"))
    await store.write(lambda c: handed_over(c, "c2", "web-2"))
    request = PurchaseRequest(checkout_id="c1", upstream_id="web-2")
    verdict = await store.write(lambda c: admission.place(c, request, NOW))
    assert isinstance(verdict, Refused)
    assert {p.upstream_id for p in verdict.purchases} == {"web-1", "web-2"}
