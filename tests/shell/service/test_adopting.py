"""What the router makes of orders that nobody handed over, by `ADOPT`: real store and client."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection, select

from consumer.router import Router
from consumer.router.placing import LEFT
from consumer.router.routes import LOOKED_UP
from consumer.settings import Adopt
from consumer.signals import Signal
from consumer.store import entries, inbox, purchases
from consumer.store.inbox import Delivery, Entry
from consumer.store.tables import inbox as facts
from deploy.sandbox.server import Options, running
from schemas.facts import Origin
from schemas.purchase import Purchase
from tests.shell.sandbox.shop import Json, Shop
from tests.shell.service.parts import Parts, ShiftedClock, parts
from tests.shell.service.serving import KEY, eventually

LATER = 60.0  # seconds by which the router's clock is ahead: the time for our own calls is over


@dataclass
class Routed:
    """A router beside a sandbox with an order of the merchant's; what it counted."""

    parts: Parts
    shop: Shop
    order: Json
    counted: list[tuple[str, str]] = field(default_factory=list)

    async def deliver(
        self, id: str, type: str, resource: Json, age: timedelta = timedelta()
    ) -> str:
        """An event of the platform, as the webhook edge stores it."""
        body = {
            "id": id,
            "type": type,
            "createdTime": (datetime.now(UTC) - age).isoformat(),
            "data": {"object": resource},
        }
        delivery = Delivery(Origin.PLATFORM, id, type, "webhook", json.dumps(body).encode(), id)
        await self.parts.store.write(lambda c: inbox.append(c, [delivery], datetime.now(UTC)))
        return id

    async def fact(self, id: str) -> Entry:
        """The event as it stands."""

        def job(connection: Connection) -> Entry:
            seq = connection.scalar(select(facts.c.seq).where(facts.c.id == id))
            found = entries.entry(connection, seq or 0)
            assert found is not None
            return found

        return await self.parts.store.read(job)

    async def becomes(self, id: str, status: str, reason: str | None = None) -> Entry:
        """The event once it has this status and reason."""

        async def there() -> bool:
            entry = await self.fact(id)
            return (entry.status, entry.reason) == (status, reason)

        await eventually(there, 15.0, f"{id} is {status} {reason}")
        return await self.fact(id)

    async def purchases(self) -> list[Purchase]:
        return await self.parts.store.read(lambda c: purchases.listed(c, limit=10))


@asynccontextmanager
async def routed(folder: Path, adopt: Adopt) -> AsyncIterator[Routed]:
    options = Options(keys=(KEY,), rate=1000.0, webhook_secrets=("whsec",))
    async with running(options) as sandbox, parts(folder, sandbox.url) as some:
        auth = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=sandbox.url, headers=auth) as http:
            shop = Shop(sandbox, http)
            placed = await shop.submit(await shop.ready())
            found = Routed(some, shop, placed.json())
            router = Router(
                *(some.store, some.platform, ShiftedClock(LATER), True, timedelta(days=3)),
                *(
                    Signal(),
                    Signal(),
                    lambda status, reason: found.counted.append((status, reason)),
                ),
                adopt=adopt,
            )
            some.tasks.create_task(router.run(some.stop), name="router")
            yield found


@pytest.mark.parametrize("adopt", ["observe", "remedy"])
async def test_an_order_event_makes_a_purchase_that_is_fed_with_it(
    tmp_path: Path, adopt: Adopt
) -> None:
    async with routed(tmp_path, adopt) as some:
        await some.deliver("e1", "order.accepted", some.order)
        entry = await some.becomes("e1", "routed")
        [purchase] = await some.purchases()
        assert entry.purchase_id == purchase.id
        assert purchase.observed is (adopt == "observe")
        assert purchase.checkout_ids == (some.order["checkoutId"],)
        later = await some.deliver("e2", "order.fulfilled", some.order)
        assert (await some.becomes(later, "routed")).purchase_id == purchase.id


async def test_a_charge_event_makes_one_by_one_reading_of_its_order(tmp_path: Path) -> None:
    async with routed(tmp_path, "observe") as some:
        charge = {"id": "ch1", "orderId": some.order["id"], "state": "failed"}
        await some.deliver("e1", "order.charge.failed", charge)
        await some.becomes("e1", "routed")
        [purchase] = await some.purchases()
        assert purchase.upstream_id == some.order["upstreamId"]


async def test_switched_off_orders_wait_for_their_purchase_and_none_is_made(
    tmp_path: Path,
) -> None:
    async with routed(tmp_path, "off") as some:
        await some.deliver("e1", "order.accepted", some.order)
        charge = {"id": "ch1", "orderId": some.order["id"], "state": "failed"}
        await some.deliver("e2", "order.charge.failed", charge)
        await some.becomes("e2", "parked", LOOKED_UP)  # it came later and was looked up
        await some.becomes("e1", "parked", LOOKED_UP)
        assert await some.purchases() == []


async def test_an_old_event_makes_none_and_still_counts_for_a_known_purchase(
    tmp_path: Path,
) -> None:
    async with routed(tmp_path, "observe") as some:
        old = timedelta(days=4)
        await some.deliver("e1", "order.accepted", some.order, old)
        await some.becomes("e1", "ignored", "stale")
        assert ("ignored", "stale") in some.counted
        assert await some.purchases() == []
        purchase = await some.parts.admit(some.order["checkoutId"], some.order["upstreamId"])
        await some.deliver("e2", "order.accepted", some.order, old)
        assert (await some.becomes("e2", "routed")).purchase_id == purchase.id


async def test_the_platforms_own_flow_is_never_adopted(tmp_path: Path) -> None:
    async with routed(tmp_path, "remedy") as some:
        flow = some.order | {"checkoutSessionId": "cs1"}
        await some.deliver("e1", "order.accepted", flow)
        await some.becomes("e1", "ignored", "platform_checkout_session")
        assert await some.purchases() == []


async def test_orders_that_can_not_be_read_are_left_and_stop_nothing(tmp_path: Path) -> None:
    async with routed(tmp_path, "observe") as some:
        for number, id in enumerate(("o-nowhere", "..", "x" * 255)):
            await some.deliver(f"odd-{number}", "order.accepted", {"id": id, "items": []})
        nameless = {"checkoutId": "c-nowhere", "payment": {}}
        await some.deliver("odd-3", "order.accepted", nameless)
        for number in range(4):
            await some.becomes(f"odd-{number}", "parked", LEFT)
        await some.deliver("e1", "order.accepted", some.order)
        await some.becomes("e1", "routed")
        [purchase] = await some.purchases()
        assert purchase.checkout_ids == (some.order["checkoutId"],)
