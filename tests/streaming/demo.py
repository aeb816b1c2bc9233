"""`python -m tests.streaming.demo`: the demo with Kafka, PostgreSQL and three replicas.

Replicas are killed in turn, the broker once in the middle; all come back.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it comes without types
import pytest
from aiokafka import ConsumerRecord
from rich.console import Console

from deploy.demo.crowd import Crowd
from deploy.demo.play import More, Options, play, run, stage_of
from tests.services import kafka, postgres
from tests.streaming.books import Taken, Told, taken, told
from tests.streaming.bridge import Bridge, bridging
from tests.streaming.kafka_stage import EVENTS, OUTCOMES, Topics, topics

REPLICAS = 3
SECRET = "whsec_demo"
AWAY = 5.0  # seconds that a killed replica stays away
BROKER_AWAY = 3.0  # seconds
PATIENCE = 90.0  # seconds in which all that is under way arrives, once the shop is empty
UNDER_WAY = """
    SELECT (SELECT count(*) FROM deliveries WHERE status = 'waiting')
         + (SELECT count(*) FROM inbox WHERE status IN ('new', 'routed'))
         + (SELECT count(*) FROM unannounced)
"""
DEAD = """
    SELECT (SELECT count(*) FROM deliveries WHERE status = 'dead')
         + (SELECT count(*) FROM inbox WHERE status = 'dead')
"""
STORED = "SELECT id, count(*) FROM inbox WHERE id = ANY($1::text[]) GROUP BY id"


@dataclass
class Streaming:
    """What this demo adds: a broker that goes away, and books of the topics."""

    console: Console
    brokers: Sequence[kafka.Broker]
    topics: Topics
    bridge: Bridge
    database: str

    async def trouble(self, crowd: Crowd) -> None:
        """The broker is killed when half of the crowd has gone home, and comes back."""
        while 2 * crowd.ended < len(crowd.visits):  # noqa: ASYNC110 - the demo has a deadline
            await asyncio.sleep(0.1)
        for broker in self.brokers:
            await asyncio.to_thread(broker.kill)
        await asyncio.sleep(BROKER_AWAY)
        for broker in self.brokers:
            broker.start()
            await asyncio.to_thread(broker.answering)

    async def books(self) -> bool:
        """Whether all that was acknowledged is stored, and all that was decided is told."""
        connection = await asyncpg.connect(self.database)
        try:
            await self._quiet(connection)
            events, outcomes = await self._events(connection), await self._outcomes(connection)
        finally:
            await connection.close()
        for line in (events.line(), outcomes.line()):
            self.console.print(line, highlight=False, soft_wrap=True)
        return events.right and outcomes.right

    async def _quiet(self, connection: Any) -> None:
        """Waits, but not for ever, until nothing is under way: the books tell what is missing."""
        ends = asyncio.get_running_loop().time() + PATIENCE
        while asyncio.get_running_loop().time() < ends:
            if not await connection.fetchval(UNDER_WAY) and (await self._events(connection)).right:
                return
            await asyncio.sleep(0.2)

    async def _events(self, connection: Any) -> Taken:
        acknowledged = dict(self.bridge.acknowledged)
        rows = await connection.fetch(STORED, list(acknowledged))
        return taken(acknowledged, dict(rows), await connection.fetchval(DEAD))

    async def _outcomes(self, connection: Any) -> Told:
        rows = await connection.fetch("SELECT id, purchase_id, sequence FROM outcomes")
        stored = {row["id"]: (row["purchase_id"], row["sequence"]) for row in rows}
        return told(stored, [outcome_of(one) for one in await self.topics.read(OUTCOMES)])


def outcome_of(record: ConsumerRecord) -> tuple[str, str, int]:
    """Id, purchase and sequence; the purchase is the key, so its outcomes are in one partition."""
    event = json.loads(record.value)
    return event["id"], record.key.decode(), int(event["sequence"])


async def demo(options: Options, console: Console, folder: Path) -> bool:
    """The same crowd and the same books, on what a large shop runs."""
    with kafka.running(folder) as brokers, postgres.server() as database:
        made, url = await topics(brokers), database.fresh()
        async with bridging(brokers.address, made.name(EVENTS), SECRET) as bridge:
            settings = made.settings() | {"DATABASE_URL": url}
            stage = stage_of(
                *(options, folder),
                replicas=REPLICAS, settings=settings, webhook_url=bridge.url, webhook_secret=SECRET,
            )  # fmt: skip
            bridge.services = stage.urls
            more = Streaming(console, brokers.brokers, made, bridge, url)
            return await play(options, console, stage, More(more.trouble, more.books, AWAY))


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the broker goes away on purpose
    try:
        sys.exit(run(demo, "python -m tests.streaming.demo", __doc__))
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        sys.exit(f"the demo {missing}")
