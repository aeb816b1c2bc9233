"""The worker over a real store, a real client and the sandbox."""

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from consumer.store import announcing, inbox, letters, tables
from consumer.store.engine import StoreUnavailable
from consumer.store.inbox import Delivery
from deploy.sandbox.server import Options, running
from schemas.facts import CancelRequested, Origin
from schemas.purchase import Reason, State
from tests.shell.sandbox.shop import Shop
from tests.shell.service.parts import Parts, parts, until
from tests.shell.service.serving import KEY, eventually

AT = datetime(2026, 1, 1, tzinfo=UTC)
CANCEL = CancelRequested().model_dump_json().encode()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        running(Options(keys=(KEY,), rate=1000.0)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=headers) as http,
    ):
        yield Shop(sandbox, http)


@pytest.fixture
async def house(shop: Shop, tmp_path: Path, database_url: str) -> AsyncIterator[Parts]:
    async with parts(tmp_path, shop.sandbox.url, database_url=database_url) as found:
        yield found


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def append(house: Parts, purchase_id: str, type: str, body: bytes) -> None:
    """A fact of this purchase, as the API would store it."""
    delivery = Delivery(Origin.SHOP, f"{type}-{purchase_id}", type, "api", body, "", purchase_id)
    await house.store.write(lambda c: inbox.append(c, [delivery], datetime.now(UTC)))


async def test_two_workers_share_the_purchases_and_each_becomes_one_order(
    shop: Shop, house: Parts
) -> None:
    (one, saw_one), (two, saw_two) = house.worker("one"), house.worker("two")
    house.start(one)
    house.start(two)
    ids = []
    for number in range(12):
        checkout = await shop.checkout(upstreamId=f"web-{number}")
        await shop.attach(checkout, await shop.source(checkout))
        ids.append((await house.admit(checkout["id"], f"web-{number}")).id)
        one.signal.set()
        two.signal.set()
    for id in ids:
        await house.reaches(id, "accepted")
    assert len(shop.sandbox.ledger["orders"]) == len(shop.sandbox.ledger["submissions"]) == 12
    # A worker tells what it decided after the commit that `reaches` saw.
    await until(lambda: (saw_one.rules + saw_two.rules).count("order.accepted") == 12)


async def test_a_fact_that_can_not_be_decided_is_buried_and_the_next_is_decided(
    shop: Shop, house: Parts
) -> None:
    checkout = await shop.checkout()
    purchase = await house.admit(checkout["id"], "web-1")
    await append(house, purchase.id, "source_chosen", b'{"kind":"source_chosen","request":{}}')
    await append(house, purchase.id, "nonsense", b"\xff\x00 not json")
    await append(
        house, purchase.id, "cancel_requested", CancelRequested().model_dump_json().encode()
    )
    worker, witness = house.worker("one")
    house.start(worker)
    done = await house.reaches(purchase.id, "lost")
    assert done.reason is Reason.CANCELLED
    assert len(witness.buried_reasons) == 2
    assert "sourceId" in witness.buried_reasons[0]
    found = await house.store.read(lambda c: letters.dead(c, 10)) or []
    assert {letter["purchaseId"] for letter in found} == {purchase.id}
    assert all(letter["reason"] for letter in found)
    to_be_announced = await house.store.read(lambda c: announcing.waiting(c, 10))
    assert {f"inbox-{entry.seq}" for entry in to_be_announced} == {one["id"] for one in found}


async def test_a_fact_that_can_not_be_decided_is_buried_when_it_is_alone(
    shop: Shop, house: Parts
) -> None:
    purchase = await house.admit((await shop.checkout())["id"], "web-1")
    worker, witness = house.worker("one")
    house.start(worker)
    await eventually(lambda: _is(house, purchase.id, Reason.PAYMENT_REQUIRED))
    await append(house, purchase.id, "nonsense", b"\xff\x00 not json")
    await until(lambda: witness.buried_reasons)
    await append(house, purchase.id, "cancel_requested", CANCEL)
    assert (await house.reaches(purchase.id, "lost")).reason is Reason.CANCELLED


async def test_a_decision_that_can_not_be_stored_is_buried_and_the_next_is_decided(
    shop: Shop, house: Parts
) -> None:
    purchase = await house.admit((await shop.checkout())["id"], "web-1")
    taken = tables.outcomes.insert().values(
        id=f"{purchase.id}-2", purchase_id="another", sequence=2, type="", at=AT, body=""
    )
    await house.store.write(lambda c: c.execute(taken))
    worker, witness = house.worker("one")
    house.start(worker)
    await until(lambda: witness.buried_reasons)
    assert witness.buried_reasons[0].startswith("not stored: ")


async def test_news_between_permit_and_sending_void_the_permit(shop: Shop, house: Parts) -> None:
    """A cancel that is stored before `sending` keeps the order from being made at all."""
    checkout = await shop.ready()
    reading = {"method": "GET", "path": f"/checkouts/{checkout['id']}"}
    slow = {"match": reading, "action": {"kind": "latency", "seconds": 0.6}}
    await shop.made("POST", "/_sandbox/faults", {"scripts": [slow]})
    purchase = await house.admit(checkout["id"], "web-1")
    worker, _ = house.worker("one")
    house.start(worker)
    await until(lambda: shop.sandbox.world.faults.scripts[0].used)
    await append(
        house, purchase.id, "cancel_requested", CancelRequested().model_dump_json().encode()
    )
    done = await house.reaches(purchase.id, "lost")
    assert done.reason is Reason.CANCELLED
    assert shop.sandbox.ledger["submissions"] == []


async def test_a_permit_that_is_too_old_is_never_used(shop: Shop, house: Parts) -> None:
    checkout = await shop.ready()
    purchase = await house.admit(checkout["id"], "web-1")
    worker, witness = house.worker("one", permit_life=timedelta(0))
    house.start(worker)

    async def voided() -> bool:
        return witness.rules.count("submission.permit_void") >= 2

    await eventually(voided)
    assert shop.sandbox.ledger["submissions"] == []
    assert (await house.purchase(purchase.id)).state in (State.HELD, State.SUBMITTING)
    assert not (await house.purchase(purchase.id)).orders


async def test_stopping_waits_for_the_call_in_flight_and_stores_its_answer(
    shop: Shop, tmp_path: Path, database_url: str
) -> None:
    await shop.fault("hang", seconds=0.8)
    checkout = await shop.ready()
    async with parts(tmp_path, shop.sandbox.url, database_url=database_url) as house:
        purchase = await house.admit(checkout["id"], "web-1")
        worker, witness = house.worker("one")
        running_worker = house.start(worker)
        await until(lambda: shop.sandbox.ledger["submissions"])
        house.stop.set()
        await running_worker
        assert witness.results[-1] == "submit: succeeded"
        facts = await house.facts(purchase.id)
        assert facts[-1].id == f"{purchase.id}/1/submit/1/1/answer"
        assert facts[-1].status == "routed"  # the next process decides it


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_answer_outlives_a_database_that_is_locked_when_it_comes(
    shop: Shop, house: Parts, sqlite_file: Path
) -> None:
    await shop.fault("hang", seconds=0.4)
    checkout = await shop.ready()
    purchase = await house.admit(checkout["id"], "web-1")
    worker, _ = house.worker("one")
    house.start(worker)
    await until(lambda: shop.sandbox.ledger["submissions"])
    other = sqlite3.connect(sqlite_file, isolation_level=None, timeout=5)
    other.execute("BEGIN IMMEDIATE")
    await until(lambda: shop.sandbox.ledger["submissions"][0]["status"] == 201)
    with pytest.raises(StoreUnavailable):  # behind the worker's own write
        await house.store.write(lambda c: None)
    other.execute("ROLLBACK")
    other.close()
    done = await house.reaches(purchase.id, "accepted")
    assert done.order is not None
    assert len(shop.sandbox.ledger["submissions"]) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_nothing_is_written_while_nothing_happens(
    shop: Shop, house: Parts, sqlite_file: Path
) -> None:
    checkout = await shop.checkout()
    purchase = await house.admit(checkout["id"], "web-1")
    worker, _ = house.worker("one")
    house.start(worker)
    await eventually(lambda: _is(house, purchase.id, Reason.PAYMENT_REQUIRED))
    connection = sqlite3.connect(sqlite_file)
    seen = connection.execute("PRAGMA data_version").fetchone()
    looks = 0

    async def looked() -> bool:
        nonlocal looks
        looks += 1
        return looks > 40  # several rounds of the worker's own polling

    await eventually(looked)
    assert connection.execute("PRAGMA data_version").fetchone() == seen
    connection.close()


async def _is(house: Parts, id: str, reason: Reason) -> bool:
    return (await house.purchase(id)).reason is reason
