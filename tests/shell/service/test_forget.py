"""Forgetting a person: nothing of theirs stays in any table or file, and the books balance."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.shell.sandbox.shop import VISA
from tests.shell.service.serving import OPS, SHOP, eventually
from tests.shell.service.stage import DECLINED_CARD, Checkout, Json, Stage, restart, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARIES = {
    "name": "Zanarina Quill",
    "first": "Zanarina",
    "last": "Quillfeather",
    "email": "zanarina@canary.example",
    "phone": "+49555010203",
    "line": "Canarygasse 7b",
    "city": "Kanarienstadt",
    "ip": "203.0.113.77",
    "tax": "DE99988877",
    "note": "called by Zanarina",
}
ADDRESS = {
    "line1": CANARIES["line"],
    "city": CANARIES["city"],
    "postalCode": "10115",
    "country": "DE",
}
PARTY = {
    "name": CANARIES["name"],
    "phone": CANARIES["phone"],
    "email": CANARIES["email"],
    "address": ADDRESS,
}
PERSONAL = {
    "email": CANARIES["email"],
    "shipTo": PARTY,
    "billTo": PARTY,
    "browserIp": CANARIES["ip"],
}


@pytest_asyncio.fixture(loop_scope="module")
async def shop(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage of its own, whose outcomes nobody takes."""
    async with staged(
        tmp_path,
        OUTCOME_WEBHOOK_URL="http://127.0.0.1:9/outcomes",
        OUTCOME_WEBHOOK_SECRET="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ) as found:
        yield found


def database(stage: Stage) -> Path:
    return stage.service.folder / "service.db"


def traces(stage: Stage) -> list[str]:
    """Which canaries are left, and where: in a table, or in the bytes of a file."""
    found = []
    with closing(sqlite3.connect(f"file:{database(stage)}?mode=ro", uri=True)) as raw:
        tables = [
            name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        for table in tables:
            rows = "\n".join(map(str, raw.execute(f'SELECT * FROM "{table}"')))
            found += [f"{table}: {name}" for name, text in CANARIES.items() if text in rows]
    for file in (database(stage), database(stage).with_name("service.db-wal")):
        content = file.read_bytes() if file.exists() else b""
        found += [f"{file.name}: {n}" for n, text in CANARIES.items() if text.encode() in content]
    return found


async def forgotten(stage: Stage) -> None:
    """Wait until nothing is left."""

    async def clean() -> bool:
        return not await asyncio.to_thread(traces, stage)

    try:
        await eventually(clean, 20.0)
    except AssertionError:
        raise AssertionError(traces(stage)) from None


async def forget(stage: Stage, **who: str) -> None:
    answer = await stage.call("POST", "/v1/forget", who, token=OPS)
    assert answer.status_code == 202, answer.text


async def paid(
    stage: Stage, number: str = VISA, last: str = CANARIES["last"], **changes: Any
) -> Checkout:
    """A checkout of hers with her card attached."""
    given: Json = {**PERSONAL, **changes}
    checkout = await stage.checkout(**given)
    owner = {
        "firstName": CANARIES["first"],
        "lastName": last,
        "email": CANARIES["email"],
        "address": ADDRESS,
    }
    source = await stage.source(checkout.session, number=number, owner=owner)
    await stage.attach(checkout.id, source)
    return checkout


async def held(stage: Stage) -> Json:
    """A purchase that waits for another card, with a replacement checkout."""
    bought = await stage.buy(await paid(stage, DECLINED_CARD))
    return await stage.reaches(bought, "held", "payment_required")


async def test_nothing_of_a_person_is_left_in_any_table_or_file_and_the_books_balance(
    shop: Stage,
) -> None:
    accepted = await shop.buy(await paid(shop))
    waiting = await held(shop)
    incomplete = await shop.buy(await paid(shop, shipTo={"address": ADDRESS}), create=False)
    assert incomplete["reason"] == "correction_required"
    changes = {"checkout": {"shipTo": PARTY, "taxIdentifiers": []}}
    corrected = await shop.tell(incomplete, "corrections", changes)
    await shop.reaches(corrected, "accepted")
    stranger = {
        "id": "src-0",
        "owner": {"email": CANARIES["email"], "firstName": CANARIES["first"]},
    }
    shop.sandbox.world.emit("source.created", True, stranger)  # no purchase of ours
    other = await shop.buy(await shop.paid())
    assert traces(shop)
    before = await books(shop)
    await forget(shop, email=CANARIES["email"].upper())
    await forgotten(shop)
    assert await books(shop) == before
    lost = await shop.purchase(waiting["id"], OPS)
    assert (lost["state"], lost["reason"]) == ("lost", "stopped")
    kept = await shop.purchase(accepted["id"], OPS)
    assert (kept["state"], kept["orderId"], kept["fulfil"]) == (
        "accepted",
        accepted["orderId"],
        True,
    )
    assert kept["total"] == accepted["total"]
    untouched = await shop.timeline(other)
    assert "ada@example.test" in str(untouched)
    assert await shop.rules(waiting)  # the story can still be read


async def books(stage: Stage) -> dict[str, object]:
    """Ids of orders and checkouts and the submissions, as the API shows them."""
    listed = (await stage.call("GET", "/v1/purchases?limit=100", token=OPS)).json()["data"]
    return {
        p["id"]: (p["orderId"], p["checkoutIds"], p["submissions"], p["total"], p["upstreamId"])
        for p in listed
    }


async def test_forgetting_twice_and_the_same_events_again_change_nothing(shop: Stage) -> None:
    accepted = await shop.buy(await paid(shop))
    await forget(shop, upstreamId=accepted["upstreamId"])
    await forgotten(shop)
    facts = len([f for f in await shop.timeline(accepted) if f.get("origin") == "platform"])
    world = shop.sandbox.world
    [hook] = world.webhooks.values()
    for event in list(world.events.values()):
        shop.sandbox.sender.send(hook, event)
    await forget(shop, upstreamId=accepted["upstreamId"])
    await forgotten(shop)
    again = [f for f in await shop.timeline(accepted) if f.get("origin") == "platform"]
    assert len(again) == facts
    assert (await shop.purchase(accepted["id"]))["state"] == "accepted"


async def test_an_order_that_is_pending_goes_on_by_ids_and_later_facts_are_cleaned_too(
    shop: Stage,
) -> None:
    checkout = await paid(shop, last="Review")
    pending = await shop.buy(checkout)
    assert pending["state"] == "pending"
    await forget(shop, email=CANARIES["email"])
    done = await shop.reaches(pending, "accepted")
    assert done["fulfil"] is True
    await forgotten(shop)
    assert len(shop.orders(checkout.upstream)) == 1


async def test_the_customers_own_event_does_the_same(shop: Stage) -> None:
    customer = {"id": "cust-canary", "email": CANARIES["email"], "shipping": PARTY}
    shipping = {"name": CANARIES["name"], "address": ADDRESS}
    await shop.platform("POST", "/customers", customer | {"shipping": shipping})
    hers = await shop.buy(await paid(shop, customerId="cust-canary"))
    assert hers["state"] == "accepted"
    await shop.platform("POST", "/customers/cust-canary", {"requestToBeForgotten": True})
    await forgotten(shop)

    async def gone() -> bool:
        return b"cust-canary" not in await asyncio.to_thread(database(shop).read_bytes)

    await eventually(gone, 15.0)


async def test_a_request_survives_a_kill(shop: Stage) -> None:
    await held(shop)
    await forget(shop, email=CANARIES["email"])
    await shop.service.kill()
    await restart(shop)
    await forgotten(shop)


@pytest.mark.parametrize(
    ("body", "token", "status"),
    [
        ({"email": "a@b.example"}, SHOP, 403),
        ({}, OPS, 400),
        ({"email": "a@b.example", "customerId": "c"}, OPS, 400),
        ({"email": None}, OPS, 400),
        ({"name": "Ada"}, OPS, 400),
    ],
)
async def test_only_operators_may_ask_and_for_exactly_one(
    stage: Stage, body: Json, token: str, status: int
) -> None:
    assert (await stage.call("POST", "/v1/forget", body, token=token)).status_code == status
