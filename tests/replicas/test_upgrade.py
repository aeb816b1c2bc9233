"""A rolling restart with another schema number: old and new processes on one database."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx

from schemas.purchase import SCHEMA_NUMBER
from tests.replicas.house import House, house, some_are_in
from tests.services.postgres import Postgres
from tests.shell.service.serving import OPS, Service, eventually

OLD, NEW = SCHEMA_NUMBER, SCHEMA_NUMBER + 1
NEXT = (sys.executable, str(Path(__file__).with_name("next_version.py")))


async def numbers(many: House, where: str = "true") -> list[int]:
    """Of the documents."""
    query = f"SELECT DISTINCT schema_number FROM purchases WHERE {where} ORDER BY schema_number"
    return [row[0] for row in await many.rows(query)]


async def writes(many: House, replica: Service, number: int) -> None:
    """Wait until what is handed over at this replica is stored with this number."""
    others, many.door.replicas = many.door.replicas, [replica]

    async def written() -> bool:
        shopper = await many.ready(f"beside-{len(many.expected)}")
        await shopper.places_order()
        return await numbers(many, f"upstream_id = '{shopper.name}'") == [number]

    await eventually(written, 90.0, f"documents are written with {number}")
    many.door.replicas = others


async def asked(
    many: House, replica: Service, method: str, path: str, body: dict[str, Any] | None = None
) -> httpx.Response:
    """The answer of this replica."""
    headers = {"authorization": f"Bearer {OPS}"}
    return await many.http.request(method, replica.url + path, json=body, headers=headers)


async def test_a_rolling_restart_loses_nothing_and_nobody_meets_what_it_can_not_read(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = await asyncio.to_thread(postgres.fresh, migrated=False)
    async with house(tmp_path, url) as many:
        old = [await many.start() for _ in range(2)]
        patient = many.shopper("patient")
        await patient.fills_basket()
        await patient.places_order()  # and has not paid
        async with many.shopping(seconds=8.0) as crowd:
            await some_are_in(crowd, 0.25)
            await many.start(program=NEXT)
            await many.stop(old[0])
            await many.start(program=NEXT)
            await some_are_in(crowd, 0.75)
            assert await numbers(many) == [OLD]
            await many.stop(old[1])
        await writes(many, many.replicas[-1], NEW)
        assert await numbers(many, "upstream_id = 'patient'") == [OLD]
        await patient.follows()
        await many.balance()
        assert await numbers(many, "upstream_id = 'patient'") == [NEW]  # rewritten by a worker


async def test_an_older_process_leaves_a_newer_document_alone_and_says_to_ask_again(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = await asyncio.to_thread(postgres.fresh, migrated=False)
    async with house(tmp_path, url) as many:
        new = await many.start(program=NEXT)
        shopper = await many.ready("newer", kind="hang", seconds=2.5)
        placing = asyncio.create_task(shopper.places_order())
        await eventually(lambda: many.met_trouble(1), 30.0)
        old = await many.start()
        await placing
        one, checkout = f"/v1/purchases/{shopper.id}", shopper.checkout["id"]
        for answer in (
            await asked(many, old, "GET", one),
            await asked(many, old, "GET", f"{one}/timeline"),
            await asked(many, old, "GET", f"/v1/purchases?checkoutId={checkout}"),
            await asked(many, old, "POST", "/v1/purchases", {"checkoutId": checkout}),
            await asked(many, old, "POST", f"{one}/cancel"),
        ):
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["title"] == "Service Unavailable"
        await shopper.follows()  # by the door, at the one or the other
        await writes(many, new, OLD)
        await many.stop(old)
        await many.balance()
        assert many.alerts(old) == []
