"""The network between the replicas and the platform fails: an answer that is lost is looked up."""

import asyncio
from pathlib import Path

import pytest

from tests.replicas.house import TIMEOUT, house, passed, some_are_in
from tests.services.postgres import Postgres

AWAY = TIMEOUT + 2.0  # seconds: longer than any call waits


@pytest.mark.parametrize("how", ["cut", "frozen"])
async def test_a_network_to_the_platform_that_fails_loses_and_doubles_nothing(
    tmp_path: Path, postgres: Postgres, how: str
) -> None:
    url = await asyncio.to_thread(postgres.fresh, migrated=False)
    async with house(tmp_path, url) as many:
        for _ in range(2):
            await many.start()
        async with many.shopping(seconds=6.0) as crowd:
            await some_are_in(crowd, 0.4)
            many.network.cut() if how == "cut" else many.network.freeze()
            await passed(AWAY)
            many.network.restore()
        await many.balance()
