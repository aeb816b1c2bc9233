"""Several real services on one PostgreSQL, the sandbox as a process beside them, and shoppers.

What a test does to them it does meanwhile; `balance` says at the end what is wrong.
"""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it comes without types
import httpx
from httpx_aiohttp import AiohttpTransport

from deploy.demo import books
from deploy.demo.audit import Auditor
from deploy.demo.crowd import Crowd, gather
from deploy.demo.processes import ROOT, Program, answering, clean_environment, free_port
from deploy.demo.shopper import GOOD, Shopper
from deploy.demo.storefront import Storefront
from deploy.demo.trouble import SETTINGS as PATIENT
from deploy.demo.trouble import WEATHER, Trouble
from tests.replicas.door import Door, door
from tests.services.proxy import Proxy, proxy
from tests.shell.service.serving import (
    KEY,
    OPS,
    SETTINGS,
    SHOP,
    WEBHOOK_SECRET,
    Service,
    eventually,
)

Json = dict[str, Any]
TIMEOUT, SETTLE = 3.0, 5.0  # seconds; as in the demo, whose shoppers come
LEASE = TIMEOUT + 15.0
ALL = 28  # shoppers: one of every situation
LONG = 300.0  # seconds that a crowd may take on a slow machine
# Nobody fetches here what was lost for good; and a storefront that attaches a source itself, and
# does not hear the answer, may ask again when the order is being made.
NEVER = ("webhook_lost", "cut")
EARLIER = ("new", "routed")
UNDER_WAY = (
    "SELECT count(*) FROM commands WHERE status = 'sending'"
    " OR (status = 'planned' AND kind <> 'wake' AND due <= now())"
)


@dataclass
class House:
    """`network` leads from the replicas to the platform."""

    folder: Path
    database_url: str  # as the tests reach it
    settings: dict[str, str]
    sandbox: Program
    sandbox_url: str
    network: Proxy
    http: httpx.AsyncClient
    door: Door
    replicas: list[Service] = field(default_factory=list)
    expected: list[books.Expectation] = field(default_factory=list)
    later: list["asyncio.Future[Any]"] = field(default_factory=list)  # what shoppers still do

    # The replicas.

    async def start(self, program: tuple[str, ...] = (), **settings: str) -> Service:
        """One more replica, once it serves."""
        folder = self.folder / f"replica-{len(self.replicas)}"
        folder.mkdir()
        replica = Service(folder, self.settings | settings, program=program)
        self.replicas.append(replica)
        await replica.start(LONG)
        self.door.replicas.append(replica)
        return replica

    async def stop(self, replica: Service) -> None:
        """SIGTERM: what it has in hand it finishes."""
        self.door.replicas.remove(replica)
        assert await replica.stop() == 0

    def signal(self, replica: Service, number: signal.Signals) -> None:
        """Freeze it, or let it go on."""
        assert replica.process is not None
        os.kill(replica.process.pid, number)

    # The shoppers.

    @property
    def trouble(self) -> Trouble:
        """What the platform is made to do."""
        return Trouble(self.http, self.sandbox_url)

    @property
    def shop(self) -> Storefront:
        """The storefront, which comes in by the door."""
        return Storefront(self.http, self.sandbox_url, KEY, (self.door.url,), SHOP)

    def shopper(self, name: str) -> Shopper:
        """Somebody who will have an order."""
        self.expected.append(books.Expectation(name, "alone"))
        return Shopper(name, len(self.expected) + 1000, self.shop, self.trouble)

    async def ready(self, name: str, **fault: Any) -> Shopper:
        """A shopper with a paid basket; this happens to the first submission."""
        shopper = self.shopper(name)
        await shopper.fills_basket()
        await shopper.attaches(GOOD)
        if fault:
            await shopper.trouble.with_submission(name, 1, **fault)
        return shopper

    async def slow_reading(self, shopper: Shopper, seconds: float) -> None:
        """The next reading of the shopper's checkout takes so long."""
        match = {"method": "GET", "path": f"/checkouts/{shopper.checkout['id']}"}
        script = {"match": match, "action": {"kind": "latency", "seconds": seconds}}
        await self._control("faults", {"scripts": [script]})

    async def met_trouble(self, calls: int) -> bool:
        """Whether so many of the calls that were to meet a fault have come."""
        answer = await self.http.get(f"{self.sandbox_url}/_sandbox/faults")
        used: int = sum(script["used"] for script in answer.json()["scripts"])
        return used >= calls

    @asynccontextmanager
    async def shopping(self, seconds: float, count: int = ALL) -> AsyncIterator[Crowd]:
        """Shoppers of every kind come within these seconds; the block ends when all have left."""
        crowd = gather(count, len(self.expected) + 1, self.shop, self.trouble)
        last = max(visit.arrives for visit in crowd.visits)
        for visit in crowd.visits:
            visit.arrives *= seconds / last
        self.expected += [visit.expectation for visit in crowd.visits]
        walking = asyncio.create_task(crowd.shop())
        try:
            yield crowd
            await eventually(lambda: self._left(crowd), LONG, "all shoppers leave")
        except AssertionError as error:
            raise AssertionError(f"{error}: {staying(crowd)}") from None
        finally:
            walking.cancel()
            await asyncio.gather(walking, return_exceptions=True)
        errors = [f"{visit.shopper.name}: {visit.error}" for visit in crowd.visits if visit.error]
        assert not errors, errors

    async def _left(self, crowd: Crowd) -> bool:
        """The platform repeats what was not taken sooner than by its own schedule."""
        if crowd.ended < len(crowd.visits):
            await asyncio.sleep(0.5)
            await self._hurry()
        return crowd.ended == len(crowd.visits)

    # The books.

    async def ledger(self) -> Json:
        """What really happened at the platform."""
        return await self.trouble.ledger()

    async def rows(self, statement: str) -> list[Any]:
        """Of our own database."""
        connection = await asyncpg.connect(self.database_url, timeout=10)
        try:
            found: list[Any] = await connection.fetch(statement)
            return found
        finally:
            await connection.close()

    async def balance(self) -> None:
        """Both books agree, every shopper has what they came for, all that was acknowledged is
        there and decided, and nothing is in the dead letters or the logs."""
        await eventually(self._quiet, 60.0, "every fact is decided, and what follows is done")
        auditor = Auditor(self.http, self.door.url, OPS)
        purchases = await auditor.purchases()
        timelines = await auditor.timelines(purchases)
        found = books.balance(await self.ledger(), purchases, timelines, self.expected).findings
        stories = [story(timelines[one.purchase_id]) for one in found if one.purchase_id][:2]
        assert not found, "\n".join([*(f"{one.kind}: {one.text}" for one in found), *stories])
        missing, complaints = await self.missing(), self.complaints()
        assert not missing, missing
        assert not complaints, complaints

    async def _quiet(self) -> bool:
        await self._hurry()
        facts = f"SELECT count(*) FROM inbox WHERE status IN {EARLIER}"
        [row] = await self.rows(f"SELECT ({facts}) + ({UNDER_WAY})")
        return bool(row[0] == 0)

    async def missing(self) -> list[str]:
        """What got a 2xx and is not stored, and what is a dead letter."""
        told = self.door.acknowledged
        facts = await self.rows("SELECT origin, id, type, purchase_id, status, reason FROM inbox")
        kept = {row["id"] for row in facts if row["origin"] in ("platform", "merchant")}
        calls = Counter((row["purchase_id"], row["type"]) for row in facts)
        dead = [f"{row['type']}: {row['reason']}" for row in facts if row["status"] == "dead"]
        assert kept & told.events, "no event came this way"
        return [*(told.events - kept), *map(str, told.calls - calls), *dead]

    def complaints(self) -> list[Json]:
        """Errors in the replicas' logs. An alert is none: the platform does odd things here."""
        lines = [line for replica in self.replicas for line in replica.lines()]
        bad = [line for line in lines if line["level"] in ("error", "critical")]
        return [line for line in bad if line["event"] != "alert"]

    def alerts(self, replica: Service) -> list[Json]:
        """The alerts that one replica raised."""
        return [line for line in replica.lines() if line["event"] == "alert"]

    async def _hurry(self) -> None:
        """The platform tries again now what it would later; it may take longer than we wait."""
        with suppress(httpx.TimeoutException):
            await self._control("webhooks/flush", {})

    async def _control(self, what: str, body: Json) -> Json:
        answer = await self.http.post(f"{self.sandbox_url}/_sandbox/{what}", json=body)
        found: Json = answer.raise_for_status().json()
        return found


async def some_are_in(crowd: Crowd, share: float) -> None:
    """Wait until that share of the shoppers has come."""

    async def came() -> bool:
        return sum(visit.started for visit in crowd.visits) >= share * len(crowd.visits)

    await eventually(came, LONG, "more shoppers")


async def passed(seconds: float) -> None:
    """Wait so long: it is the trouble itself that lasts, and nobody can be asked about it."""
    end = time.monotonic() + seconds

    async def over() -> bool:
        return time.monotonic() >= end

    await eventually(over, seconds + LONG)


def staying(crowd: Crowd) -> list[str]:
    """Who has not left, for failures."""
    left = [visit for visit in crowd.visits if not visit.ended]
    return [f"{one.shopper.name} ({one.situation.name}): {one.shopper.purchase}" for one in left]


def story(timeline: list[Json]) -> str:
    """One line for each item, for failures."""
    lines = []
    for item in timeline:
        name = item.get("rule") or item.get("key") or item.get("type")
        rest = item.get("evidence") or item.get("status") or ""
        lines.append(f"  {item['at'][17:26]} {item['kind']} {name} {rest}")
    return "\n".join(lines)


def _platform(folder: Path, port: int, webhooks: str) -> Program:
    command = [
        *(sys.executable, "-m", "deploy.sandbox", "--port", str(port), "--key", KEY),
        *("--webhook-url", f"{webhooks}/webhooks/digital-river"),
        *("--webhook-types", "checkout.*,order.*,source.chargeable,customer.*"),
        *("--webhook-secret", WEBHOOK_SECRET, "--speed", "60", "--rate", "1000", "--seed", "1"),
    ]
    clean = clean_environment({"PYTHONPATH": str(ROOT)})
    return Program("sandbox", command, clean, folder, folder / "sandbox.log")


@asynccontextmanager
async def house(
    folder: Path, database_url: str, seen_as: str = "", **settings: str
) -> AsyncIterator[House]:
    """No replica yet. `seen_as`: the database's URL for the replicas, if it is another."""
    port = free_port()
    async with (
        httpx.AsyncClient(transport=AiohttpTransport(), timeout=15.0) as http,
        door() as entrance,
        proxy(port) as network,
    ):
        sandbox = _platform(folder, port, entrance.url)
        given = SETTINGS | {
            "PLATFORM_URL": f"http://127.0.0.1:{network.port}",
            "PLATFORM_TIMEOUT": f"{TIMEOUT:g}",
            "PLATFORM_SETTLE": f"{SETTLE:g}",
            "DATABASE_URL": seen_as or database_url,
            "STEP_UP": "on",
        }
        url = f"http://127.0.0.1:{port}"
        made = House(folder, database_url, given | settings, sandbox, url, network, http, entrance)
        try:
            sandbox.start()
            await answering(http, sandbox, f"{url}/_sandbox/settings")
            await made._control("settings", PATIENT)
            rates = {name: rate for name, rate in WEATHER["rates"].items() if name not in NEVER}
            await made._control("faults", WEATHER | {"rates": rates})
            yield made
        finally:
            for replica in made.replicas:
                await replica.kill()
            sandbox.kill()
