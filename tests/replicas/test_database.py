"""PostgreSQL restarts, fails over, or can't be reached: what was acknowledged is there, once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumer.store import inbox
from consumer.store.engine import StoreUnavailable
from consumer.store.inbox import Delivery
from consumer.store.opening import open_engine, open_store
from schemas.facts import Origin
from tests.replicas.house import House, house, passed, some_are_in
from tests.services.postgres import OwnPostgres, own_server
from tests.services.proxy import Proxy, proxy
from tests.services.standby import promote, standby_of

AWAY = 8.0  # seconds: longer than anybody waits for an answer of the database
IMPATIENT = "1"  # seconds for a statement; the network has five more


@pytest.fixture
def server() -> Iterator[OwnPostgres]:
    with own_server() as found:
        yield found


@asynccontextmanager
async def two_replicas(folder: Path, server: OwnPostgres) -> AsyncIterator[tuple[House, Proxy]]:
    """They reach the server through a network of its own."""
    url = await asyncio.to_thread(server.fresh, migrated=False)
    async with proxy(server.port, stubborn=True) as network:
        seen_as = url.replace(f":{server.port}/", f":{network.port}/")
        async with house(folder, url, seen_as, DATABASE_STATEMENT_TIMEOUT=IMPATIENT) as many:
            for _ in range(2):
                await many.start()
            yield many, network


async def test_a_database_that_restarts_under_load_loses_and_doubles_nothing(
    tmp_path: Path, server: OwnPostgres
) -> None:
    async with two_replicas(tmp_path, server) as (many, _):
        async with many.shopping(seconds=6.0) as crowd:
            for share in (0.3, 0.7):
                await some_are_in(crowd, share)
                await asyncio.to_thread(server.crash)
                await asyncio.to_thread(server.start)
        await many.balance()


async def test_a_promoted_synchronous_standby_has_all_that_was_acknowledged(
    tmp_path: Path, server: OwnPostgres
) -> None:
    async with two_replicas(tmp_path, server) as (many, network):
        with standby_of(server) as copy:
            async with many.shopping(seconds=5.0) as crowd:
                await some_are_in(crowd, 0.5)
                await asyncio.to_thread(server.kill)
                network.cut()
                await asyncio.to_thread(promote, copy)
                many.database_url = many.database_url.replace(f":{server.port}/", f":{copy.port}/")
                network.move(copy.port)
                network.restore()
            await many.balance()


async def test_an_event_that_the_standby_lacks_is_not_acknowledged_when_it_comes_again(
    server: OwnPostgres,
) -> None:
    url = await asyncio.to_thread(server.fresh)
    event = Delivery(Origin.PLATFORM, "e1", "order.accepted", "webhook", b"{}")
    store = open_store(open_engine(url, statement_timeout=float(IMPATIENT)))

    async def told() -> int:
        return await store.write(
            lambda c: inbox.append(c, [event], datetime.now(UTC)), ingress=True
        )

    with standby_of(server) as copy:
        copy.crash()
        for _ in range(2):  # the second finds it on the primary, where its commit was given up
            with pytest.raises(StoreUnavailable):
                await told()
        copy.start()
        assert await told() == 0
        seen_by_copy = url.replace(f":{server.port}/", f":{copy.port}/")
        assert [row["id"] for row in copy.do("SELECT id FROM inbox", seen_by_copy)] == ["e1"]
    await store.close()


@pytest.mark.parametrize("how", ["cut", "frozen"])
async def test_a_network_to_the_database_that_fails_loses_and_doubles_nothing(
    tmp_path: Path, server: OwnPostgres, how: str
) -> None:
    async with two_replicas(tmp_path, server) as (many, network):
        async with many.shopping(seconds=5.0) as crowd:
            await some_are_in(crowd, 0.4)
            network.cut() if how == "cut" else network.freeze()
            await passed(AWAY)
            network.restore()
        await many.balance()
