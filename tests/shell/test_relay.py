"""The relay: in order, signed, at least once, given up in the open."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, select, update
from standardwebhooks.webhooks import Webhook

from consumer.relay import ABREAST, LEASE, RETRIES, SINK, Endpoint, Relay
from consumer.signals import Signal
from consumer.store import leases, letters, outcomes
from consumer.store.engine import Store
from consumer.store.tables import deliveries
from handlers.presentation import view
from schemas.outcomes import Outcome
from schemas.purchase import Link, Purchase
from tests.shell.sandbox.shop import Receiver, receiving, until
from tests.shell.service.parts import ShiftedClock
from tests.shell.service.serving import eventually

KEY = b"a signing key of thirty-two bytes"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOBODY = "http://127.0.0.1:9/"  # where nobody listens


@dataclass
class Outbox:
    """A store with outcomes, an endpoint, and a relay between them whose clock can be moved."""

    store: Store
    receiver: Receiver
    relay: Relay
    clock: ShiftedClock
    results: list[str] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)  # of the results

    async def emit(self, purchase_id: str, *sequences: int) -> None:
        """Outcomes of one purchase."""

        def job(connection: Connection) -> None:
            for sequence in sequences:
                outcomes.emit(connection, [outcome(purchase_id, sequence)], [SINK], NOW)

        await self.store.write(job)
        self.relay.signal.set()

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.receiver.got]

    async def statuses(self) -> list[str]:
        rows = select(deliveries.c.status).order_by(deliveries.c.purchase_id, deliveries.c.sequence)
        return await self.store.read(lambda c: list(c.scalars(rows)))

    async def settled(self, *expected: str) -> None:
        async def reached() -> bool:
            return await self.statuses() == list(expected)

        await eventually(reached)

    def pass_time(self, seconds: float) -> None:
        self.clock.seconds += seconds
        self.relay.signal.set()


def outcome(purchase_id: str, sequence: int) -> Outcome:
    purchase = Purchase(
        id=purchase_id,
        upstream_id="web-1",
        chain=(Link(checkout_id="c1"),),
        confirmed_at=NOW,
        created_at=NOW,
        updated_at=NOW,
        version=sequence,
    )
    return Outcome(
        id=f"{purchase_id}-{sequence}",
        type="order-rescue.purchase.held",
        subject=purchase_id,
        time=NOW,
        sequence=str(sequence),
        data=view(purchase, shop=False),
    )


@asynccontextmanager
async def relaying(store: Store, url: str = "", rest: float = 0.0) -> AsyncIterator[Outbox]:
    clock, stop = ShiftedClock(0.0), asyncio.Event()
    results: list[str] = []
    moments: list[float] = []

    def seen(result: str) -> None:
        results.append(result)
        moments.append(time.monotonic())

    async with receiving() as receiver, httpx.AsyncClient(timeout=None) as client:
        sink = Endpoint(client, url or receiver.url, KEY, clock, rest=rest)
        relay = Relay(store, clock, sink, "relay-1", Signal(), seen)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(relay.run(stop))
            try:
                yield Outbox(store, receiver, relay, clock, results, moments)
            finally:
                stop.set()
                relay.signal.set()


async def test_an_outcome_arrives_as_a_signed_cloudevent(store: Store) -> None:
    async with relaying(store) as box:
        await box.emit("pur_1", 3)
        await box.settled("sent")
        [(headers, body)] = box.receiver.got
    verified = Webhook(base64.b64encode(KEY).decode()).verify(body, headers)
    assert verified["id"] == headers["webhook-id"] == "pur_1-3"
    assert (verified["specversion"], verified["sequence"]) == ("1.0", "3")
    assert verified["type"] == "order-rescue.purchase.held"
    assert headers["content-type"] == "application/cloudevents+json"
    assert box.results == ["sent"]


async def test_outcomes_of_a_purchase_arrive_in_order_whatever_fails(store: Store) -> None:
    async with relaying(store) as box:
        box.receiver.statuses = [500, 503, 429]
        await box.emit("pur_1", 1, 2, 3)
        for seconds in RETRIES[:3]:
            seen = len(box.receiver.got)
            await until(lambda seen=seen: len(box.receiver.got) > seen or seen)  # type: ignore[misc]  # bound
            await until(lambda: "failed" in box.results)
            box.results.clear()
            box.pass_time(seconds + 0.1)
        await box.settled("sent", "sent", "sent")
        order = [body["sequence"] for body in box.bodies()]
    assert order == ["1", "1", "1", "1", "2", "3"]
    assert len({headers["webhook-id"] for headers, _ in box.receiver.got}) == 3


async def test_nothing_is_repeated_before_its_time(store: Store) -> None:
    async with relaying(store) as box:
        box.receiver.statuses = [500]
        await box.emit("pur_1", 1)
        await until(lambda: box.results == ["failed"])
        box.pass_time(RETRIES[0] - 2)
        await box.emit("pur_2", 1)  # goes out at once: the relay has looked again
        await until(lambda: box.results == ["failed", "sent"])
        assert [body["subject"] for body in box.bodies()] == ["pur_1", "pur_2"]
        box.pass_time(3)
        await box.settled("sent", "sent")


async def test_purchases_do_not_wait_for_each_other(store: Store) -> None:
    async with relaying(store) as box:
        box.receiver.statuses = [500]
        await box.emit("pur_1", 1)
        await until(lambda: box.results == ["failed"])
        await box.emit("pur_2", 1, 2)
        await box.settled("waiting", "sent", "sent")


@pytest.mark.parametrize("status", [301, 400, 404, 500])
async def test_only_a_2xx_counts(store: Store, status: int) -> None:
    async with relaying(store) as box:
        box.receiver.statuses = [status]
        await box.emit("pur_1", 1)
        await until(lambda: box.results == ["failed"])
        assert await box.statuses() == ["waiting"]


async def test_an_endpoint_that_is_not_there_is_a_failure_like_any_other(store: Store) -> None:
    async with relaying(store, url=NOBODY) as box:
        await box.emit("pur_1", 1)
        await until(lambda: box.results == ["failed"])
        assert await box.statuses() == ["waiting"]


async def exhausted(box: Outbox) -> None:
    """Fail the last of all attempts."""

    def job(connection: Connection) -> None:
        connection.execute(update(deliveries).values(attempts=len(RETRIES)))

    box.receiver.statuses = [500]
    await box.store.write(job)
    box.pass_time(RETRIES[0] + 1)
    await until(lambda: "dead" in box.results)


async def test_a_given_up_outcome_is_a_dead_letter_that_frees_the_next_and_can_be_redriven(
    store: Store,
) -> None:
    async with relaying(store) as box:
        box.receiver.statuses = [500]
        await box.emit("pur_1", 1, 2)
        await until(lambda: box.results == ["failed"])
        await exhausted(box)
        await box.settled("dead", "sent")
        [letter] = await store.read(lambda c: letters.dead(c, 10)) or []
        assert (letter["origin"], letter["purchaseId"]) == ("outcome", "pur_1")
        assert letter["reason"] == "status 500"
        first = box.receiver.got[0][0]["webhook-id"]
        now = box.clock.now()
        assert await store.write(lambda c: letters.redrive(c, letter["id"], now))
        box.relay.signal.set()
        await box.settled("sent", "sent")
        again_headers, again = box.receiver.got[-1]
        assert (again_headers["webhook-id"], json.loads(again)["sequence"]) == (first, "1")
        assert not await store.write(lambda c: letters.redrive(c, letter["id"], now))


async def test_every_attempt_of_the_schedule_is_made_before_giving_up(store: Store) -> None:
    async with relaying(store) as box:
        box.receiver.always = 500
        await box.emit("pur_1", 1)
        for number, seconds in enumerate(RETRIES, 1):
            await until(lambda n=number: len(box.results) == n)  # type: ignore[misc]  # bound
            box.pass_time(seconds + 0.1)
        await until(lambda: box.results == ["failed"] * len(RETRIES) + ["dead"])
        assert len(box.receiver.got) == len(RETRIES) + 1
        assert await box.statuses() == ["dead"]


async def test_two_relays_send_nothing_twice(store: Store) -> None:
    async with relaying(store) as box:
        stop = asyncio.Event()
        rival = replace(box.relay, owner="relay-2", signal=Signal())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(rival.run(stop))
            for number in range(40):
                await box.emit(f"pur_{number:02}", 1, 2)
                rival.signal.set()
            await box.settled(*["sent"] * 80)
            stop.set()
            rival.signal.set()
        assert len(box.receiver.got) == 80


async def test_what_a_dead_relay_was_sending_is_sent_after_its_lease(store: Store) -> None:
    async with relaying(store) as box:
        now = box.clock.now()
        name = f"relay/{SINK}/pur_1"
        await store.write(lambda c: leases.acquire(c, name, "dead", now, now + LEASE))
        await box.emit("pur_1", 1)
        await box.emit("pur_2", 1)
        await box.settled("waiting", "sent")
        box.pass_time(LEASE.total_seconds() + 1)
        await box.settled("sent", "sent")


async def test_a_sink_that_is_away_as_a_whole_is_given_a_rest_for_all(store: Store) -> None:
    async with relaying(store, NOBODY, rest=0.5) as box:
        for number in range(ABREAST + 1):
            await box.emit(f"pur_{number}", 1)
        await until(lambda: len(box.moments) > ABREAST)
        assert max(b - a for a, b in pairwise(box.moments)) >= 0.5


async def test_a_rest_does_not_hold_up_the_end(store: Store) -> None:
    async with asyncio.timeout(20.0), relaying(store, NOBODY, rest=600.0) as box:
        await box.emit("pur_1", 1)
        await until(lambda: box.results)
