"""Kafka to the inbox, beside a bare consumer of the same records."""

import asyncio
import json
import secrets
import sys
import time

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.bench.books import count, events
from tests.bench.load import body, checkout_updated
from tests.bench.report import Case
from tests.bench.stage import Bench
from tests.bench.waiting import until
from tests.bench.wrk import Broken

PARTITIONS = 3
RECORDS = 4_000  # for each second of `--seconds`
PATIENCE = 300.0  # seconds


async def kafka(bench: Bench) -> list[Case]:
    """Records a second, from the first that is stored to the last."""
    topic = f"bench-{secrets.token_hex(4)}"
    number = int(RECORDS * bench.options.seconds)
    await _written(bench, topic, number)

    async def ours() -> float:
        return await _stored(bench, topic, number)

    async def theirs() -> float:
        return await _getmany(bench, topic, number)

    mine, bare = await bench.rounds(ours, theirs)
    return [Case("postgres", "/s", "at least", 0.20, mine, bare)]


async def _written(bench: Bench, topic: str, number: int) -> None:
    """The topics, and so many events of 2.5 KB on the first of them."""
    address = bench.kafka.address
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    names = (topic, f"{topic}.outcomes", f"{topic}.dead-letters")
    await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    await admin.close()
    template = checkout_updated()
    producer = AIOKafkaProducer(bootstrap_servers=address, linger_ms=20, max_batch_size=1 << 18)
    await producer.start()
    try:
        for each in range(number):
            value = body(template, f"k-{each:09}").encode()
            await producer.send(topic, value, partition=each % PARTITIONS)
        await producer.flush()
    finally:
        await producer.stop()


async def _stored(bench: Bench, topic: str, number: int) -> float:
    """What the service reads; it may read on however much of it waits for the router."""
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": bench.kafka.address,
        "KAFKA_EVENTS_TOPIC": topic,
        "KAFKA_OUTCOMES_TOPIC": f"{topic}.outcomes",
        "KAFKA_DEAD_LETTERS_TOPIC": f"{topic}.dead-letters",
        "KAFKA_GROUP": f"{topic}-{secrets.token_hex(4)}",
        "KAFKA_INBOX_LIMIT": "10000000",
    }
    with bench.database("postgres") as url:

        async def highest() -> int:
            return await count(url, "SELECT max(seq) FROM inbox")

        async def all_there() -> bool:
            return await highest() >= number and await events(url) >= number

        async with bench.serving(url, **settings):
            await until(highest, 60.0, "the first record is stored", every=0.02)
            before, began = await events(url), time.monotonic()
            await until(all_there, PATIENCE, "every record is stored", every=0.05)
            rate = (number - before) / (time.monotonic() - began)
        if dead := await count(url, "SELECT count(*) FROM inbox WHERE status = 'dead'"):
            raise Broken(f"{dead} records became dead letters")
    return rate


async def _getmany(bench: Bench, topic: str, number: int) -> float:
    """What `yardsticks/getmany.py` reads, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.yardsticks.getmany"]
    words = [bench.kafka.address, topic, str(PARTITIONS), str(number)]
    process = await asyncio.create_subprocess_exec(
        *command, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = (await asyncio.wait_for(process.communicate(), PATIENCE))[0].decode()
    if process.returncode:
        raise Broken(f"getmany: {said[-500:]}")
    return float(json.loads(said.splitlines()[-1])["rate"])
