"""The webhook endpoint: proven, stored, then acknowledged; else a clear answer and no more."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from typing import Any

import httpx
import pytest

from consumer.signature import networks, sign
from consumer.web import ingress
from consumer.web.deps import WebhookRules
from tests.shell.web.service import OTHER_SECRET, SECRET, WEBHOOK, Running, Service, event


async def test_an_event_is_on_disk_when_it_is_acknowledged(service: Service) -> None:
    answer = await service.deliver(event())
    assert answer.status_code == 202
    assert not answer.content
    with sqlite3.connect(service.database) as other:
        rows = other.execute("select origin, id, type, transport, body from inbox").fetchall()
    assert rows == [
        ("platform", "evt-1", "order.accepted", "webhook", json.dumps(event()).encode())
    ]


async def test_a_duplicate_and_an_unknown_type_are_acknowledged(service: Service) -> None:
    for body in (event(), event(), event("evt-2", "moon.eclipsed")):
        assert (await service.deliver(body)).status_code == 202
    stored = await service.stored()
    assert [(id, type) for _, id, type, _ in stored] == [
        ("evt-1", "order.accepted"),
        ("evt-2", "moon.eclipsed"),
    ]
    page = (await service.client.get("/metrics")).text
    assert 'order_rescue_webhooks_total{result="stored"} 2.0' in page
    assert 'order_rescue_webhooks_total{result="duplicate"} 1.0' in page


async def test_one_id_for_two_objects_is_a_dead_letter_even_in_one_commit(
    service: Service,
) -> None:
    bodies = [event(), event(id="evt-1", type="order.blocked"), event(), event("evt-2")]
    answers = await asyncio.gather(*(service.deliver(body) for body in bodies))
    assert {answer.status_code for answer in answers} == {202}
    stored = await service.stored()
    assert [status for _, _, _, status in stored].count("dead") == 1
    assert len(stored) == 3


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
async def test_every_configured_secret_counts(service: Service, secret: str) -> None:
    assert (await service.deliver(event(), secret=secret)).status_code == 202


def signatures() -> dict[str, str]:
    raw, now = json.dumps(event()).encode(), int(time.time())
    old, wrong = str(now - 3600), sign(raw, "not the secret", str(now))
    return {
        "wrong": f"{now}, {wrong}",
        "old": f"{old}, {sign(raw, SECRET, old)}",
        "of_another_body": f"{now}, {sign(b'{}', SECRET, str(now))}",
        "no_signature": f"{now}",
        "empty_parts": ", ,",
        "not_ascii": "1, \xff\xfe",
        "long": "1," + "a" * 5000,
    }


@pytest.mark.parametrize("shape", list(signatures()))
async def test_a_delivery_that_is_not_proven_tells_nothing(service: Service, shape: str) -> None:
    header = signatures()[shape].encode("latin-1")
    headers: Any = {"Content-Type": "application/json", "DigitalRiver-Signature": header}
    answer = await service.client.post(WEBHOOK, json=event(), headers=headers)
    missing = await service.client.post(WEBHOOK, json=event())
    assert answer.status_code == missing.status_code == 401
    assert answer.content == missing.content
    assert await service.stored() == []


async def test_two_signature_headers_are_refused(service: Service) -> None:
    raw, stamp = json.dumps(event()).encode(), str(int(time.time()))
    good = f"{stamp}, {sign(raw, SECRET, stamp)}"
    headers = [
        ("Content-Type", "application/json"),
        ("DigitalRiver-Signature", good),
        ("DigitalRiver-Signature", good),
    ]
    answer = await service.client.post(WEBHOOK, content=raw, headers=headers)
    assert answer.status_code == 401


async def test_credentials_and_address_are_checked_where_configured(running: Running) -> None:
    rules = WebhookRules((SECRET,), basic="dr:hush", allow=networks("10.0.0.0/8, 127.0.0.1"))
    async with running(webhook=rules) as service:
        plain = await service.deliver(event())
        right = await service.deliver(event(), headers={"Authorization": "Basic ZHI6aHVzaA=="})
        assert (plain.status_code, right.status_code) == (401, 202)


async def test_only_a_trusted_proxy_may_say_who_sent_it(running: Running) -> None:
    allow = networks("198.51.100.7")
    forwarded = {"X-Forwarded-For": "198.51.100.7"}
    async with running(webhook=WebhookRules((SECRET,), allow=allow)) as service:
        assert (await service.deliver(event(), headers=forwarded)).status_code == 401
    trusting = WebhookRules((SECRET,), allow=allow, trusted=networks("127.0.0.1"))
    async with running(webhook=trusting) as service:
        assert (await service.deliver(event(), headers=forwarded)).status_code == 202


async def test_without_webhooks_there_is_no_endpoint(running: Running) -> None:
    async with running(webhook=None) as service:
        assert (await service.deliver(event())).status_code == 404


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in event().items() if key != name}


MALFORMED: list[tuple[Any, str]] = [
    (b"", "body"),
    (b"  ", "body"),
    (b"{", "body"),
    (b"[]", "body"),
    (b'"text"', "body"),
    (b'{"id": NaN}', "body"),
    (b'{"id": "\xff"}', "body"),
    (b'{"id": "\\ud800"}', "body"),
    (b"[" * 100_000, "body"),
    (b'{"a":' * 5000 + b"1" + b"}" * 5000, "body"),
    (without("id"), "id"),
    (event(id=""), "id"),
    ({**event(), "id": 5}, "id"),
    (event(id="a\0b"), "id"),
    (event(id="x" * 256), "id"),
    (without("type"), "type"),
    ({**event(), "type": ["order.accepted"]}, "type"),
    (without("data"), "data"),
    ({**event(), "data": {"object": None}}, "data.object"),
    ({**event(), "data": {"object": []}}, "data.object"),
    (event(checkoutId="a\0b"), "data.object.id"),
    (without("createdTime"), "createdTime"),
    ({**event(), "createdTime": "yesterday"}, "createdTime"),
    ({**event(), "createdTime": {}}, "createdTime"),
    (json.dumps(event()).encode()[:-1] + b', "id": "evt-9"}', "id"),
    (json.dumps(event()).encode()[:-1] + b', "\\u0074ype": "t"}', "type"),
]


async def test_a_malformed_event_is_refused_by_field(service: Service) -> None:
    for body, field in MALFORMED:
        answer = await service.deliver(body)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await service.stored() == []


async def test_huge_numbers_and_strange_fields_do_not_matter(service: Service) -> None:
    raw = json.dumps({**event(), "x": "\0"}).encode()[:-1] + b', "n": 1e999, "m": %d}' % 10**60
    assert (await service.deliver(raw)).status_code == 202


async def test_the_size_and_the_media_type_are_limited(service: Service) -> None:
    big = json.dumps({**event(), "pad": "x" * ingress_limit()}).encode()

    async def drip() -> Any:
        for start in range(0, len(big), 100_000):
            yield big[start : start + 100_000]

    json_type = {"Content-Type": "application/json"}
    announced = await service.deliver(big)
    streamed = await service.client.post(WEBHOOK, content=drip(), headers=json_type)
    text = await service.deliver(event(), headers={"Content-Type": "text/plain"})
    packed = await service.deliver(event(), headers={"Content-Encoding": "gzip"})
    statuses = [a.status_code for a in (announced, streamed, text, packed)]
    assert statuses == [413, 413, 415, 415]


def ingress_limit() -> int:
    return 1024 * 1024


async def test_a_locked_database_is_answered_in_time_and_nothing_is_acknowledged(
    running: Running,
) -> None:
    async with running(busy_seconds=1.0) as service:
        lock = sqlite3.connect(service.database, isolation_level=None)
        lock.execute("begin immediate")
        started = time.monotonic()
        answers = await asyncio.gather(*(service.deliver(event(f"e{n}")) for n in range(20)))
        took = time.monotonic() - started
        lock.execute("rollback")
        lock.close()
        assert {answer.status_code for answer in answers} == {503}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
        assert took < 3.0
        assert await service.stored() == []
        assert (await service.deliver(event())).status_code == 202


async def test_a_full_disk_is_a_503_and_nothing_is_acknowledged(service: Service) -> None:
    def fill(connection: Any) -> None:
        pages = connection.exec_driver_sql("pragma page_count").scalar()
        connection.exec_driver_sql(f"pragma max_page_count={pages}")

    await service.deps.store.write(fill)
    big = {**event(), "pad": "x" * 500_000}
    answer = await service.deliver(big)
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert await service.stored() == []


async def test_too_many_at_once_are_shed_at_once(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingress, "MOST_WAITING", 3)
    async with running(busy_seconds=1.0) as service:
        lock = sqlite3.connect(service.database, isolation_level=None)
        lock.execute("begin immediate")
        tasks = [asyncio.create_task(service.deliver(event(f"e{n}"))) for n in range(9)]
        done, waiting = await asyncio.wait(tasks, timeout=0.5)
        lock.execute("rollback")
        lock.close()
        assert [task.result().status_code for task in done] == [503] * 6
        assert {(await task).status_code for task in waiting} == {202}
        assert len(await service.stored()) == 3


async def test_slow_bodies_do_not_take_the_places_of_whole_ones(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingress, "MOST_WAITING", 3)
    monkeypatch.setattr(ingress, "PATIENCE", 0.5)
    head = (
        f"POST {WEBHOOK} HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
        "Content-Length: 1000\r\n\r\n{"
    )
    async with running() as service:
        address = httpx.URL(service.url)
        slow = [await asyncio.open_connection(address.host, address.port) for _ in range(6)]
        for _, writer in slow:
            writer.write(head.encode())
            await writer.drain()
        answers = [await service.deliver(event(f"e{n}")) for n in range(3)]
        assert {answer.status_code for answer in answers} == {202}
        for reader, writer in slow:
            async with asyncio.timeout(5):
                assert b" 408 " in await reader.readline()
            writer.close()
            await writer.wait_closed()


async def test_get_is_answered_by_a_problem_that_names_post(service: Service) -> None:
    answer = await service.client.get(WEBHOOK)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json()["status"] == 405
