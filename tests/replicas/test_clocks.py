"""Replicas on machines whose clocks differ: leases and due times go by the database's."""

import asyncio
import sys
from pathlib import Path

from tests.replicas.house import LEASE, House, house, some_are_in
from tests.services.postgres import Postgres

APART = 60  # seconds
OFF = (sys.executable, str(Path(__file__).with_name("machine.py")))
LONGEST = "SELECT extract(epoch FROM max(until) - now()) FROM leases WHERE name LIKE 'purchase/%'"
TAKEN_AWAY = """SELECT id FROM inbox WHERE id LIKE '%/abandoned'
    AND convert_from(body, 'UTF8')::json #>> '{result,outcome}' = 'abandoned'"""  # not never_sent


async def test_clocks_that_are_minutes_apart_neither_shorten_nor_lengthen_a_lease(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = await asyncio.to_thread(postgres.fresh, migrated=False)
    async with house(tmp_path, url) as many:
        for seconds in (-APART, 0, APART):
            await many.start(program=(*OFF, str(seconds)))
        async with many.shopping(seconds=5.0) as crowd:
            await some_are_in(crowd, 0.7)
            assert await many.rows(TAKEN_AWAY) == []
            [[longest]] = await many.rows(LONGEST)
            assert longest <= LEASE + 1
            await many.replicas[-1].kill()
        await many.balance()
        assert [ahead(many, number) for number in range(3)] == [-APART, None, APART]


def ahead(many: House, number: int) -> int | None:
    """By how many seconds a replica found its machine's clock to be ahead, if it is."""
    told = (line["ahead"] for line in many.replicas[number].lines() if "ahead" in line)
    return next((round(seconds) for seconds in told), None)
