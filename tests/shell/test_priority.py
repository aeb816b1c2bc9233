"""Shoppers who wait come before timers, in a worker whose budget is too small for both."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from consumer.store.admission import Admitted, admit
from deploy.sandbox.server import Options, running
from schemas.facts import Origin
from schemas.requests import PurchaseRequest
from tests.shell.sandbox.shop import Shop
from tests.shell.service.parts import Parts, parts, until
from tests.shell.service.serving import KEY

OTHERS = 16
RATE = 20.0


async def admit_from(house: Parts, checkout_id: str, upstream_id: str, ago: timedelta) -> str:
    """Hand a checkout over, as of then."""
    request = PurchaseRequest(checkout_id=checkout_id, upstream_id=upstream_id)
    admitted = await house.store.write(
        lambda c: admit(
            *(c, request),
            origin=Origin.SHOP,
            fact_id=f"f-{checkout_id}",
            transport="api",
            now=datetime.now(UTC) - ago,
        )
    )
    assert isinstance(admitted, Admitted)
    return admitted.purchase.id


async def test_a_shopper_is_served_before_those_who_left_and_they_are_served_in_the_end(
    tmp_path: Path,
) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        running(Options(keys=(KEY,), rate=1000.0)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=headers) as http,
        parts(tmp_path, sandbox.url, rate=RATE) as house,
    ):
        shop = Shop(sandbox, http)
        for number in range(OTHERS):
            left = await shop.checkout(upstreamId=f"left-{number}")
            await admit_from(house, left["id"], f"left-{number}", timedelta(hours=1))
        here = await shop.checkout(upstreamId="here")
        await shop.attach(here, await shop.source(here))
        bought = await admit_from(house, here["id"], "here", timedelta())
        worker, witness = house.worker("one")
        house.start(worker)
        await house.reaches(bought, "accepted")
        await until(lambda: witness.results.count("read_checkout: succeeded") >= OTHERS + 1, 30)
        submitted = witness.results.index("submit: succeeded")
        read_before = witness.results[:submitted].count("read_checkout: succeeded")
        assert read_before <= OTHERS / 2
