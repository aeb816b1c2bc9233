"""Records of a real broker become facts, once each, whatever else is on the topic (I7)."""

import asyncio
import json
import os
import random
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.services.kafka import Cluster
from tests.shell.service.serving import OPS, eventually
from tests.shell.service.stage import Stage
from tests.streaming.kafka_stage import (
    DEAD_LETTERS,
    EVENTS,
    OUTCOMES,
    PARTITIONS,
    Json,
    Topics,
    event,
    purchase_of,
    streaming,
    submit_requested,
)

CODECS = (None, "gzip", "snappy", "lz4", "zstd")
LONG = 2 * 1024 * 1024
SEGMENT = "00000000000000000000.log"  # a partition's first file
PRODUCER_AT = 43  # where the producer's number is in the head of a batch; -1: it has none
UNREADABLE: dict[str, bytes | None] = {
    "body: is a tombstone": None,
    "body: must not be empty": b"",
    "body: is not JSON in UTF-8": '{"id": "Ünicode"}'.encode("latin-1"),
    "body: must be a JSON object": b"[1, 2]",
    "id: must be a string": b'{"schema": "orders-v7", "orderNumber": 17, "lines": []}',
    "data: must be an object": b'{"id": "e1", "type": "order.created", "createdTime": "now"}',
    f"body: is {LONG} bytes long": b" " * LONG,
}


async def dead_letters(stage: Stage) -> list[Json]:
    """All of them, by the API."""
    answer = await stage.call("GET", "/v1/dead-letters?limit=100", token=OPS)
    found: list[Json] = answer.json()["data"]
    return found


async def read_up(stage: Stage, topics: Topics, records: int) -> None:
    """Wait until so many records are stored and committed."""

    async def done() -> bool:
        return await topics.committed() == records

    await eventually(done, 60.0, f"{records} committed offsets")


async def test_an_event_by_kafka_leads_to_an_order_and_its_outcomes_to_their_topic(
    tmp_path: Path, kafka: Cluster
) -> None:
    async with streaming(tmp_path, kafka) as (stage, topics):
        checkout = await stage.paid()
        await topics.write(submit_requested(checkout))
        purchase = await stage.reaches(await purchase_of(stage, checkout), "accepted")
        stage.in_order(checkout.upstream)
        await read_up(stage, topics, 1)

        async def told() -> bool:
            found = await topics.read(OUTCOMES)
            return any(b"purchase.accepted" in (r.value or b"") for r in found)

        await eventually(told, 20.0)
        found = await topics.read(OUTCOMES)
    assert {record.key.decode() for record in found} == {purchase["id"]}
    assert len({record.partition for record in found}) == 1
    bodies = [json.loads(record.value) for record in found]
    assert {dict(r.headers)["content-type"] for r in found} == {
        b"application/cloudevents+json; charset=UTF-8"
    }
    sequences = [int(body["sequence"]) for body in bodies]
    assert sequences == sorted(set(sequences))
    assert {body["specversion"] for body in bodies} == {"1.0"}
    assert bodies[-1]["type"] == "order-rescue.purchase.accepted"
    assert bodies[-1]["data"]["orderId"] == purchase["orderId"]


async def test_outcomes_come_from_an_idempotent_producer(tmp_path: Path, kafka: Cluster) -> None:
    """What is on the broker's disk bears the producer's number, by which it tells repetitions."""
    [broker] = kafka.ours()
    async with streaming(tmp_path, kafka) as (stage, topics):
        done = await stage.reaches(await stage.buy(await stage.paid()), "accepted")

        async def told() -> bool:
            return done["id"].encode() in {record.key for record in await topics.read(OUTCOMES)}

        await eventually(told, 20.0)
        folders = (broker.folder / f"data-{broker.number}").glob(f"{topics.name(OUTCOMES)}-*")
        written = [log for folder in folders if (log := (folder / SEGMENT).read_bytes())]
    assert written
    for log in written:
        [number] = struct.unpack_from(">q", log, PRODUCER_AT)
        assert number >= 0


async def test_duplicates_and_any_order_of_records_make_one_order(
    tmp_path: Path, kafka: Cluster
) -> None:
    async with streaming(tmp_path, kafka) as (stage, topics):
        checkout = await stage.paid()
        wanted = submit_requested(checkout)
        order = {"id": "o-none", "checkoutId": checkout.id, "upstreamId": checkout.upstream}
        early = event("order.accepted", {**order, "state": "accepted"}, liveMode=True)
        await topics.write(early, wanted, partition=0)
        await topics.write(wanted, wanted, early, partition=1)
        await topics.write(wanted, partition=2)
        await stage.reaches(await purchase_of(stage, checkout), "accepted")
        await read_up(stage, topics, 6)
        assert len(stage.submissions(checkout.upstream)) == 1
        stage.in_order(checkout.upstream)
        counted = [
            await stage.metric("order_rescue_kafka_records_total", result=result)
            for result in ("stored", "duplicate", "dead")
        ]
        assert counted == [2, 4, 0]


async def test_the_same_event_by_webhook_and_by_kafka_is_one_fact(
    tmp_path: Path, kafka: Cluster
) -> None:
    async with streaming(tmp_path, kafka) as (stage, topics):
        await stage.reaches(await stage.buy(await stage.paid()), "accepted")
        sent = [
            e.body
            for e in stage.sandbox.world.events.values()
            if e.body["type"] == "order.accepted"
        ]
        await eventually(lambda: stage.metric("order_rescue_webhooks_total", result="stored"), 20.0)

        async def webhooks_came() -> bool:
            came = await stage.metric("order_rescue_webhooks_total", result="stored")
            return came >= len(stage.sandbox.world.events)

        await eventually(webhooks_came, 20.0)
        await topics.write(*sent)
        await read_up(stage, topics, len(sent))
        assert sent
        assert await stage.metric("order_rescue_kafka_records_total", result="stored") == 0
        duplicates = await stage.metric("order_rescue_kafka_records_total", result="duplicate")
        assert duplicates == len(sent)


@pytest.mark.parametrize("mode", ["binary", "structured", "structured, without its header"])
async def test_cloudevents_carry_the_envelope_whose_id_wins(
    tmp_path: Path, kafka: Cluster, mode: str
) -> None:
    async with streaming(tmp_path, kafka) as (stage, topics):
        first, second = await stage.paid(), await stage.paid()
        whole = submit_requested(first)
        bare = submit_requested(second)
        told = {"id": "ce-2", "type": bare.pop("type"), "time": bare.pop("createdTime")}
        del bare["id"]
        about: dict[str, str] = {"specversion": "1.0", "source": "/shop"}
        async with topics.producing() as writer:
            sent = [(whole, {"id": "ce-1", "type": "x"}), (whole, {"id": "ce-9", "type": "y"})]
            for number, (inner, more) in enumerate([*sent, (bare, told)]):
                attributes = about | more
                if mode == "binary":
                    headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
                    headers.append(("content-type", b"application/json"))
                    await writer.send(inner, number, headers)
                else:
                    kind = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
                    named = kind if mode == "structured" else []
                    await writer.send(attributes | {"data": inner}, number, named)
        for checkout in (first, second):
            await stage.reaches(await purchase_of(stage, checkout), "accepted")
        await read_up(stage, topics, 3)
        stored = await stage.metric("order_rescue_kafka_records_total", result="stored")
        assert (stored, await dead_letters(stage)) == (2, [])
        story = await stage.timeline(await purchase_of(stage, first))
        ids = [item.get("id") for item in story if item["kind"] == "fact"]
        assert whole["id"] in ids


async def test_a_poison_record_in_each_partition_is_a_dead_letter_and_stops_none(
    tmp_path: Path, kafka: Cluster
) -> None:
    async with streaming(tmp_path, kafka) as (stage, topics):
        checkouts = [await stage.paid() for _ in range(PARTITIONS)]
        for partition, checkout in enumerate(checkouts):
            await topics.write(b"\xff\xfe poison", submit_requested(checkout), partition=partition)
        for checkout in checkouts:
            await stage.reaches(await purchase_of(stage, checkout), "accepted")
        letters = await dead_letters(stage)
        assert {letter["transport"] for letter in letters} == {"kafka"}
        assert len(letters) == PARTITIONS

        async def announced() -> bool:
            return len(await topics.read(DEAD_LETTERS)) == PARTITIONS

        await eventually(announced, 20.0)
        found = await topics.read(DEAD_LETTERS)
        headers = [{name: value.decode() for name, value in r.headers} for r in found]
        assert {record.value for record in found} == {b"\xff\xfe poison"}
        for told in headers:
            assert told["order-rescue-reason"].startswith("not understood: body: is not JSON")
        places = {told["order-rescue-id"].partition("#")[0] for told in headers}
        assert places == {f"{topics.name(EVENTS)}/{number}/0" for number in range(PARTITIONS)}


async def test_a_topic_with_a_tenth_of_garbage_loses_no_good_record(
    tmp_path: Path, kafka: Cluster
) -> None:
    """Every kind of garbage in every codec, the good ones between."""
    chance = random.Random(7)
    good = [event("customer.created", {"id": f"c{number}"}) for number in range(600)]
    bad = list(UNREADABLE.items()) * 9
    mixed: list[Any] = [*good, *(value for _, value in bad)]
    chance.shuffle(mixed)
    async with streaming(tmp_path, kafka) as (stage, topics):
        for codec in CODECS:
            async with topics.producing(codec) as writer:
                for value in mixed[CODECS.index(codec) :: len(CODECS)]:
                    await writer.send(value, chance.randrange(PARTITIONS))
        await read_up(stage, topics, len(mixed))
        counted = {
            result: await stage.metric("order_rescue_kafka_records_total", result=result)
            for result in ("stored", "duplicate", "dead")
        }
        assert counted == {"stored": len(good), "duplicate": 0, "dead": len(bad)}
        letters = await dead_letters(stage)
        for reason in UNREADABLE:
            assert any(reason in letter["reason"] for letter in letters), reason
        assert max(len(str(letter["body"])) for letter in letters) < 100_000

        async def announced() -> bool:
            return len(await topics.read(DEAD_LETTERS)) == len(bad)

        await eventually(announced, 60.0)


async def test_a_deep_inbox_pauses_the_partitions_until_half_of_it_is_done(
    tmp_path: Path, kafka: Cluster
) -> None:
    async with streaming(tmp_path, kafka, KAFKA_INBOX_LIMIT="100") as (stage, topics):
        seen = 0.0
        many = [event("customer.created", {"id": os.urandom(4).hex()}) for _ in range(6000)]
        async with topics.producing() as writer:
            for each in many:
                await writer.producer.send(writer.topic, json.dumps(each).encode())
            await writer.producer.flush()

        async def paused() -> bool:
            nonlocal seen
            seen = max(seen, await stage.metric("order_rescue_kafka_paused"))
            return bool(seen) or await topics.committed() == len(many)

        await eventually(paused, 60.0)
        await read_up(stage, topics, len(many))
        lines = [line["event"] for line in stage.service.lines()]
        assert "kafka_paused" in lines
        stored = await stage.metric("order_rescue_kafka_records_total", result="stored")
        assert stored == len(many)


POISON = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class Raw(str):  # a header's name as other clients may write it
    def encode(self, *_):
        return b"\\xff\\xfe"

async def main(address, topic, good):
    producer = AIOKafkaProducer(bootstrap_servers=address)
    async with producer:
        for headers in ([], [(Raw("x"), b"v")]):
            await producer.send_and_wait(topic, good.encode(), partition=1, headers=headers)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_record_that_the_client_library_can_not_decode_stops_no_partition(
    tmp_path: Path, kafka: Cluster
) -> None:
    async with streaming(tmp_path, kafka) as (stage, topics):
        one = event("customer.created", {"id": "c1"})
        await topics.write(*(event("customer.created", {"id": "c"}) for _ in range(50)))
        writer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", POISON, kafka.address, topics.name(EVENTS), json.dumps(one)),
            env={**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"},  # its own Python can be bent
        )
        assert await writer.wait() == 0
        checkout = await stage.paid()
        await topics.write(submit_requested(checkout), partition=1)
        await stage.reaches(await purchase_of(stage, checkout), "accepted")
        await read_up(stage, topics, 53)
        [letter] = await dead_letters(stage)
        assert letter["reason"] == "can't be decoded: UnicodeDecodeError"
        stored = await stage.metric("order_rescue_kafka_records_total", result="stored")
        assert stored == 52
