"""The process: how it starts, drains, fails and what it writes (I7, I8)."""

import asyncio
import json
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.shell.service.serving import (
    KEY,
    OPS,
    SHOP,
    WEBHOOK_SECRET,
    Service,
    eventually,
)
from tests.shell.service.stage import DECLINED_CARD, restart, staged, until


async def test_sigterm_answers_and_stores_what_is_in_flight_and_exits_0(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        checkout = await stage.paid()
        await stage.fault(checkout, "hang", seconds=1.2)
        buying = asyncio.create_task(stage.buy(checkout))
        await until(lambda: stage.submissions(checkout.upstream))
        assert stage.service.process is not None
        stage.service.process.send_signal(signal.SIGTERM)
        bought = await buying
        assert await stage.service.ended(20.0) == 0
        assert stage.service.lines()[-1]["event"] == "stopped"
        statuses = dict(command_statuses(tmp_path))
        assert statuses[f"{bought['id']}/1/submit/1"] == "ended"
        await restart(stage)
        await stage.reaches(bought, "accepted")
        assert len(stage.submissions(checkout.upstream)) == 1
        stage.in_order(checkout.upstream)


def command_statuses(folder: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(folder / "service.db")
    try:
        return connection.execute("SELECT key, status FROM commands").fetchall()
    finally:
        connection.close()


async def test_killed_with_a_call_in_flight_the_next_process_finds_the_order(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        checkout = await stage.paid()
        await stage.fault(checkout, "hang", seconds=5)
        answer = await stage.call(
            *("POST", "/v1/purchases"),
            {"checkoutId": checkout.id, "upstreamId": checkout.upstream},
        )
        await until(lambda: stage.submissions(checkout.upstream))
        await stage.service.kill()
        await restart(stage)
        await stage.reaches(answer.json(), "accepted")
        assert len(stage.submissions(checkout.upstream)) == 1
        stage.in_order(checkout.upstream)


def alone(folder: Path, **settings: str) -> Service:
    """A service whose platform is not there; it must start all the same."""
    given = {
        "PLATFORM_URL": "http://127.0.0.1:9",
        "PLATFORM_KEY": KEY,
        "WEBHOOK_SECRETS": WEBHOOK_SECRET,
        "API_TOKENS": f"shop:shop:{SHOP}",
        "DATABASE_URL": f"sqlite:///{folder}/service.db",
        "PORT": "0",
    }
    return Service(folder, given | settings)


async def test_an_occupied_port_ends_the_process_with_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = alone(tmp_path, PORT=str(taken.getsockname()[1]))
        service.launch()
        assert await service.ended() == 1
    [line] = service.lines()
    assert (line["level"], line["error_type"]) == ("critical", "OSError")
    assert "Traceback" not in service.log.read_text()


async def test_a_database_that_can_not_be_made_ends_the_process_with_one_line(
    tmp_path: Path,
) -> None:
    service = alone(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/none/service.db")
    service.launch()
    assert await service.ended() == 1
    assert len(service.log.read_text().splitlines()) == 1


async def test_a_file_that_is_no_database_ends_the_process_with_one_line(
    tmp_path: Path,
) -> None:
    (tmp_path / "service.db").write_text("this is no database\n" * 100)
    service = alone(tmp_path)
    service.launch()
    assert await service.ended() == 1
    text = service.log.read_text()
    assert len(text.splitlines()) == 1
    assert "Traceback" not in text


async def test_a_task_that_fails_ends_the_process_with_one_line(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        with database(tmp_path) as connection:  # a row that no version of ours has written
            connection.execute(
                "INSERT INTO inbox (origin, id, transport, type, digest, at, body, status)"
                " VALUES ('nobody', '1', 'webhook', 't', '', '2026-01-01 00:00:00', x'7b7d', 'new')"
            )
        assert await stage.service.ended() == 1
        [line] = [x for x in stage.service.lines() if x["level"] == "critical"]
        assert line["error_type"] == "ValueError"
        assert "Traceback" not in stage.service.log.read_text()


async def test_a_purchase_that_can_not_be_read_stops_nobody_else(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        held = await stage.buy(await stage.checkout())
        with database(tmp_path) as connection:
            connection.execute("UPDATE purchases SET document = '{}'")
        stage.sandbox.world.emit("checkout.updated", True, {"id": held["checkoutId"]})
        await stage.reaches(await stage.buy(await stage.paid()), "accepted")
        await eventually(
            lambda: stage.metric("order_rescue_alerts_total", kind="unreadable_purchase")
        )


@contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    """Another program at the service's file; what it did is committed at the end."""
    connection = sqlite3.connect(folder / "service.db", timeout=10, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


async def test_a_locked_database_acknowledges_nothing_says_so_and_is_waited_for(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        checkout = await stage.paid()
        held = await stage.buy(await stage.checkout())
        body = {"checkoutId": checkout.id, "upstreamId": checkout.upstream}
        with database(tmp_path) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = await stage.call("POST", "/v1/purchases", body)
            assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
            hook = next(iter(stage.sandbox.world.webhooks.values()))
            failures = hook.failures
            stage.sandbox.world.emit("checkout.updated", True, {"id": held["checkoutId"]})
            await until(lambda: hook.failures > failures)
            assert (await stage.purchase(held["id"]))["id"] == held["id"]  # reading goes on
            await until(lambda: any(x["level"] == "warning" for x in stage.service.lines()))
            other.execute("ROLLBACK")
        done = await stage.buy(checkout)
        assert done["state"] == "accepted"
        stage.in_order(checkout.upstream)


async def test_a_second_serve_on_the_same_file_is_refused(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        second = Service(tmp_path, stage.service.settings)
        second.launch()
        assert await second.ended() == 1
        [line] = [x for x in second.log.read_text().splitlines() if x.startswith("order-rescue:")]
        assert "in use by another order-rescue serve" in line
        done = await stage.buy(await stage.paid())
        assert done["state"] == "accepted"
        # Both wrote to one log; the service's own lines are JSON, and the lock is free afterwards.
        await stage.service.kill()
        second.launch()
        await until(lambda: b'"serving"' in second.log.read_bytes()[second._read_from :])
        assert await second.stop() == 0


async def test_a_missing_setting_is_named_and_nothing_starts(tmp_path: Path) -> None:
    service = alone(tmp_path, PLATFORM_KEY="")
    service.launch()
    assert await service.ended() == 2
    assert service.log.read_text().splitlines() == [
        "order-rescue: ORDER_RESCUE_PLATFORM_KEY: is required"
    ]
    assert not (tmp_path / "service.db").exists()


CANARIES = {
    "email": "canary.email@example.test",
    "name": "Canarius Verylongname",
    "street": "Canarystreet 77",
    "last": "Canarianlast",
    "ip": "203.0.113.177",
    "code": "insufficient_funds",
}


async def test_the_log_of_many_troubles_holds_nothing_personal_and_no_secret(
    tmp_path: Path,
) -> None:
    place = {
        "line1": CANARIES["street"],
        "city": "Berlin",
        "postalCode": "10115",
        "country": "DE",
    }
    party = {"name": CANARIES["name"], "address": place}
    person: dict[str, Any] = {
        "email": CANARIES["email"],
        "shipTo": party,
        "billTo": party,
        "browserIp": CANARIES["ip"],
    }
    async with staged(tmp_path, LOG_LEVEL="debug") as stage:
        await stage.buy(await stage.paid(last=CANARIES["last"], **person))
        declined = await stage.paid(last=f"Decline_{CANARIES['code']}", **person)
        held = await stage.reaches(await stage.buy(declined), "held", "payment_required")
        session = await stage.call("GET", f"/v1/purchases/{held['id']}/payment-session")
        assert session.json()["clientSecret"]
        await stage.buy(await stage.paid(last="FraudBlock", **person))
        unknown = await stage.paid(**person)
        await stage.fault(unknown, "after_commit")
        await stage.reaches(await stage.buy(unknown), "accepted")
        nameless = await stage.checkout(**{**person, "shipTo": {"address": place}})
        asked = await stage.buy(nameless)
        await stage.tell(asked, "corrections", {"checkout": {"shipTo": {"name": party["name"]}}})
        wrong = await stage.paid(**person)
        await stage.fault(wrong, "error", status=401)
        await stage.buy(wrong)
        stage.sandbox.world.emit("checkout.updated", True, {"id": ["x"], "metadata": "y", **person})
        await stage.call("POST", "/v1/purchases", {"email": CANARIES["email"]})
        await stage.call("GET", "/v1/purchases/none", token="wrong-token-77")
        pages = (await stage.http.get(stage.service.url + "/metrics")).text
        secret = session.json()["clientSecret"]
        assert await stage.service.stop() == 0
        log = stage.service.log.read_text()
    assert len(log.splitlines()) > 50
    for line in log.splitlines():
        json.loads(line)  # every line is one JSON object: no traceback, no stray text
    secrets = [secret, KEY, SHOP, OPS, WEBHOOK_SECRET, "wrong-token-77"]
    for text in (log, pages):
        for word in [*CANARIES.values(), *secrets, "fraud", "Decline_"]:
            assert word.lower() not in text.lower(), word


async def test_a_decline_leaves_no_word_of_it_for_the_shop(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        checkout = await stage.paid(number=DECLINED_CARD)
        held = await stage.reaches(await stage.buy(checkout), "held", "payment_required")
        assert "failed-request" not in json.dumps(held)
        story = await stage.timeline(held)
        assert "failed-request" in json.dumps(story)  # operators see the original
