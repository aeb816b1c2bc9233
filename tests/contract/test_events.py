"""The vendor's example events, signed and delivered to the real service over HTTP."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from deploy.sandbox.settings import Settings
from deploy.sandbox.webhooks import sign
from tests.contract.files import examples
from tests.shell.service.serving import WEBHOOK_SECRET, until
from tests.shell.service.stage import Json, Stage, staged, webhook_address

TEST_KEY = "sk_test_contract"
OPEN = ("new", "routed")  # a fact that somebody still has to do something about


class Row(NamedTuple):
    """A fact in the service's inbox."""

    id: str
    type: str
    status: str
    reason: str | None


@pytest.fixture
async def rehearsal(vendor: Path, tmp_path: Path) -> AsyncIterator[Stage]:
    """A service with a key of test mode: most examples are of test mode."""
    async with staged(tmp_path, keys=(TEST_KEY,), PLATFORM_KEY=TEST_KEY, PLATFORM_RATE="20") as one:
        yield one


@pytest.fixture
async def stage(vendor: Path, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as found:
        yield found


def example(vendor: Path, name: str) -> Json:
    body: Json = json.loads((vendor / "examples/events" / name).read_bytes())
    return body


async def deliver(stage: Stage, body: bytes) -> httpx.Response:
    """Signed as the platform signs it (PLATFORM §6.5)."""
    headers = {
        "Content-Type": "application/json",
        "DigitalRiver-Signature": sign([WEBHOOK_SECRET], body, datetime.now(UTC), Settings()),
    }
    return await stage.http.post(webhook_address(stage.service), content=body, headers=headers)


def rows(stage: Stage) -> dict[str, Row]:
    """The platform's facts, by id."""
    with sqlite3.connect(stage.service.folder / "service.db") as database:
        found = database.execute(
            "select id, type, status, reason from inbox where origin = 'platform'"
        ).fetchall()
    database.close()
    return {row[0]: Row(*row) for row in found}


async def unharmed(stage: Stage) -> None:
    """Claims that the service runs on, and complained of nothing."""
    assert stage.service.process is not None
    assert stage.service.process.poll() is None
    letters = await stage.call("GET", "/v1/dead-letters", token="ops-token-1")
    assert letters.json()["data"] == []
    loud = [line for line in stage.service.lines() if line["level"] in ("error", "critical")]
    assert loud == []
    assert (await stage.http.get(f"{stage.service.url}/readyz")).status_code == 200


def destiny(event: Json) -> str:
    """Why an example that is about nothing of ours is ignored (DESIGN, Router).

    Orders are looked up at the platform first; those of the examples are years old, and open
    nothing.
    """
    if event["liveMode"]:
        return "wrong_mode"
    if not event["type"].startswith("order."):
        return "not_ours or unknown_type"
    resource = event["data"]["object"]
    return "platform_checkout_session" if resource.get("checkoutSessionId") else "stale"


async def test_every_example_is_stored_and_put_aside_visibly(
    vendor: Path, rehearsal: Stage
) -> None:
    events = [example(vendor, name) for name in examples("events")]
    for name in examples("events"):
        answer = await deliver(rehearsal, (vendor / "examples/events" / name).read_bytes())
        assert answer.status_code == 202, (name, answer.text)
    await until(lambda: not any(row.status in OPEN for row in rows(rehearsal).values()))
    # Orders are looked up at the platform, one by one, after some seconds.
    await until(
        lambda: not any(row.status == "parked" for row in rows(rehearsal).values()),
        30.0,
        "every order was looked up",
    )
    found = rows(rehearsal)
    for event in events:
        row = found[event["id"]]
        assert (row.type, row.status) == (event["type"], "ignored"), row
        assert row.reason
        assert row.reason in destiny(event), row
    await unharmed(rehearsal)


async def test_an_example_sent_again_is_acknowledged_and_stored_once(
    vendor: Path, rehearsal: Stage
) -> None:
    bodies = [(vendor / "examples/events" / name).read_bytes() for name in examples("events")]
    for body in (*bodies, *bodies):
        assert (await deliver(rehearsal, body)).status_code == 202
    ids = {json.loads(body)["id"] for body in bodies}
    assert set(rows(rehearsal)) == ids
    assert await rehearsal.metric("order_rescue_webhooks_total", result="duplicate") == len(bodies)


async def test_examples_about_our_own_orders_are_hints_and_the_platforms_word_decides(
    vendor: Path, stage: Stage
) -> None:
    """Each order event, as if it were about a purchase that is accepted, and one that waits."""
    done = await stage.buy(await stage.paid())
    checkout = await stage.checkout()
    source = await stage.source(checkout.session, type="wireTransfer", card=None)
    await stage.attach(checkout.id, source)
    waiting = await stage.buy(checkout)
    assert (done["state"], waiting["state"]) == ("accepted", "pending")
    sent = [
        about(example(vendor, name), purchase)
        for name in examples("events")
        if name.startswith("order.")
        for purchase in (done, waiting)
    ]
    for event in sent:
        assert (await deliver(stage, json.dumps(event).encode())).status_code == 202
    mine = {event["id"] for event in sent}
    await until(lambda: not any(rows(stage)[id].status in OPEN for id in mine))
    found = [row for id, row in rows(stage).items() if id in mine]
    assert len(found) == len(sent)
    # Only what repeats the state that we know says nothing new; all else makes us look.
    known = {order["orderId"]: order["order"]["state"] for order in (done, waiting)}
    repeats = {
        event["id"]
        for event in sent
        if known.get(event["data"]["object"]["id"]) == event["data"]["object"].get("state")
    }
    undecided = [row for row in found if row.status != "done"]
    assert {(row.status, row.reason) for row in undecided} <= {("ignored", "event.nothing_new")}
    assert {row.id for row in undecided} <= repeats
    for purchase in (done, waiting):
        now = await stage.purchase(purchase["id"])
        told = (now["state"], now["reason"], now["orderId"])
        assert told == (purchase["state"], purchase["reason"], purchase["orderId"])
        facts = [item for item in await stage.timeline(purchase) if item["kind"] == "fact"]
        assert mine & {fact["id"] for fact in facts}
    await unharmed(stage)


def about(event: Json, purchase: Json) -> Json:
    """The example, with the ids of a purchase's order."""
    resource: dict[str, Any] = dict(event["data"]["object"])
    if "orderId" in resource:
        resource["orderId"] = purchase["orderId"]
    else:
        resource |= {"id": purchase["orderId"], "checkoutId": purchase["checkoutId"]}
    fresh = {"id": secrets.token_hex(8), "liveMode": True}
    return event | fresh | {"data": event["data"] | {"object": resource}}
