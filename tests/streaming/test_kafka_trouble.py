"""Brokers, topics, logins, databases and neighbours that fail: no record is lost, none stalls."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from tests.services.kafka import PASSWORD, USER, Cluster, running
from tests.shell.service.serving import Service, eventually, until
from tests.shell.service.stage import Stage
from tests.shell.service.test_process import alone, database
from tests.streaming.kafka_stage import (
    DEAD_LETTERS,
    EVENTS,
    OUTCOMES,
    PARTITIONS,
    Json,
    Topics,
    administering,
    event,
    purchase_of,
    streaming,
    submit_requested,
    topics,
)


def small(*numbers: int) -> list[Json]:
    """Events that are stored and change nothing; their ids are the numbers."""
    return [event("customer.created", {"id": "c1"}, id=f"e{number}") for number in numbers]


def stored(folder: Path) -> set[str]:
    """The ids of all events in a service's inbox."""
    connection = sqlite3.connect(folder / "service.db", timeout=10)
    try:
        return {row[0] for row in connection.execute("SELECT id FROM inbox")}
    finally:
        connection.close()


async def has(folder: Path, *numbers: int, seconds: float = 60.0) -> None:
    """Wait until these are stored."""
    wanted = {f"e{number}" for number in numbers}
    await until(lambda: wanted <= stored(folder), seconds, f"{sorted(wanted)} stored")


@asynccontextmanager
async def reading(folder: Path, made: Topics, **settings: str) -> AsyncIterator[Service]:
    """A service that only reads Kafka."""
    os.makedirs(folder, exist_ok=True)
    service = alone(folder, **made.settings(), WEBHOOKS="off", WEBHOOK_SECRETS="", **settings)
    await service.start()
    try:
        yield service
    finally:
        await service.kill()


async def told(service: Service, code: int = 1) -> list[str]:
    """What a service that does not start says."""
    service.launch()
    assert await service.ended(60.0) == code
    return [x for x in service.log.read_text().splitlines() if x.startswith("order-rescue: ")]


def with_login(cluster: Cluster, listener: str, mechanism: str, password: str) -> dict[str, str]:
    """Settings for a listener that wants a login."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": cluster.at(listener),
        "KAFKA_SECURITY_PROTOCOL": listener,
        "KAFKA_SASL_MECHANISM": mechanism,
        "KAFKA_SASL_USERNAME": USER,
        "KAFKA_SASL_PASSWORD": password,
    } | ({"KAFKA_SSL_CA_FILE": str(cluster.ca)} if listener == "SASL_SSL" else {})


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_events_and_outcomes_go_over_tls_with_a_login(
    tmp_path: Path, kafka: Cluster, mechanism: str
) -> None:
    kafka.ours()
    settings: dict[str, Any] = with_login(kafka, "SASL_SSL", mechanism, PASSWORD)
    async with streaming(tmp_path, kafka, **settings) as (stage, made):
        checkout = await stage.paid()
        await made.write(submit_requested(checkout))
        await stage.reaches(await purchase_of(stage, checkout), "accepted")

        async def announced() -> bool:
            return len(await made.read(OUTCOMES)) > 0

        await eventually(announced, 20.0)
        assert PASSWORD not in stage.service.log.read_text()


@pytest.mark.parametrize(
    ("listener", "mechanism"),
    [("SASL_SSL", "PLAIN"), ("SASL_SSL", "SCRAM-SHA-512"), ("SASL_PLAINTEXT", "SCRAM-SHA-256")],
)
async def test_wrong_credentials_stop_the_start_with_one_line(
    tmp_path: Path, kafka: Cluster, listener: str, mechanism: str
) -> None:
    kafka.ours()
    made = await topics(kafka)
    wrong = with_login(kafka, listener, mechanism, "wrong-canary-word")
    service = alone(tmp_path, **(made.settings() | wrong))
    [line] = await told(service)
    assert f"Kafka at {kafka.at(listener)} refuses the login (KAFKA_SASL_*" in line
    assert "canary" not in service.log.read_text()


async def test_a_certificate_of_an_unknown_authority_stops_the_start_with_one_line(
    tmp_path: Path, kafka: Cluster
) -> None:
    kafka.ours()
    made = await topics(kafka)
    secure = {"KAFKA_BOOTSTRAP_SERVERS": kafka.at("SSL"), "KAFKA_SECURITY_PROTOCOL": "SSL"}
    [line] = await told(alone(tmp_path, **(made.settings() | secure)))
    assert "no secure connection (KAFKA_SSL_*)" in line


async def test_a_missing_topic_stops_the_start_with_one_line(
    tmp_path: Path, kafka: Cluster
) -> None:
    made = await topics(kafka)
    await made.delete(OUTCOMES)
    [line] = await told(alone(tmp_path, **made.settings()))
    assert f"Kafka has no topic {made.name(OUTCOMES)} (KAFKA_OUTCOMES_TOPIC)" in line


async def test_a_broker_that_is_away_at_the_start_is_waited_for(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(tmp_path_factory.mktemp("kafka")) as cluster:
        made = await topics(cluster)
        await made.write(*small(1))
        [broker] = cluster.ours()
        await asyncio.to_thread(broker.stop)
        async with reading(tmp_path, made):
            broker.start()
            await has(tmp_path, 1)


async def test_a_broker_killed_and_back_costs_no_record_and_no_outcome(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(tmp_path_factory.mktemp("kafka")) as cluster:
        [broker] = cluster.ours()
        async with streaming(tmp_path, cluster) as (stage, made):
            await made.write(*small(1))
            await has(tmp_path, 1)
            await asyncio.to_thread(broker.kill)
            meanwhile = await stage.buy(await stage.paid())  # outcomes that can't go out now
            await eventually(lambda: wait(stage, True), 30.0, "outcomes that wait, by the metrics")
            broker.start()
            await asyncio.to_thread(broker.answering)
            checkout = await stage.paid()
            await made.write(*small(2), submit_requested(checkout))
            await has(tmp_path, 2)
            done = await stage.reaches(await purchase_of(stage, checkout), "accepted", seconds=30)
            await outcomes_of(made, meanwhile, done)
            await eventually(lambda: wait(stage, False), 30.0, "none that waits")
            lines = stage.service.lines()
            assert len(lines) < 200  # one who tries for minutes does not fill the log


async def wait(stage: Stage, some: bool) -> bool:
    """Whether the metrics have outcomes that wait for Kafka, or none."""
    return some == bool(await stage.metric("order_rescue_outcomes_waiting", sink="kafka"))


async def outcomes_of(made: Topics, *purchases: Json) -> None:
    """Wait until each of them has been told of as accepted."""

    async def all_told() -> bool:
        found = await made.read(OUTCOMES)
        ended = {r.key.decode() for r in found if b"purchase.accepted" in (r.value or b"")}
        return {purchase["id"] for purchase in purchases} <= ended

    await eventually(all_told, 90.0, "outcomes on their topic")


async def test_of_three_brokers_the_leader_may_die(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(tmp_path_factory.mktemp("kafka"), brokers=3) as cluster:
        async with streaming(tmp_path, cluster, copies=3) as (stage, made):
            await made.write(*small(*range(30)))
            await has(tmp_path, *range(30))
            leader = await leader_of(made, 0)
            await asyncio.to_thread(cluster.ours()[leader - 1].kill)
            checkout = await stage.paid()
            for partition in range(PARTITIONS):
                await made.write(*small(100 + partition), partition=partition)
            await made.write(submit_requested(checkout))
            await has(tmp_path, 100, 101, 102)
            done = await stage.reaches(await purchase_of(stage, checkout), "accepted", seconds=30)
            await outcomes_of(made, done)
            stage.in_order(checkout.upstream)


async def leader_of(made: Topics, partition: int) -> int:
    async with administering(made.cluster) as admin:
        [topic] = await admin.describe_topics([made.name(EVENTS)])
        leaders: dict[int, int] = {p["partition"]: p["leader"] for p in topic["partitions"]}
        return leaders[partition]


async def test_a_topic_deleted_and_made_anew_is_read_from_its_beginning(
    tmp_path: Path, kafka: Cluster
) -> None:
    made = await topics(kafka)
    async with reading(tmp_path, made):
        await made.write(*small(1, 2, 3), partition=0)
        await has(tmp_path, 1, 2, 3)
        await made.delete(EVENTS)
        await made.create(EVENTS)
        await made.write(*small(4, 5), partition=0)
        await has(tmp_path, 4, 5, seconds=90.0)


async def test_where_records_expired_unread_it_goes_on_with_the_earliest_and_says_so(
    tmp_path: Path, kafka: Cluster
) -> None:
    made = await topics(kafka)
    async with reading(tmp_path, made) as service:
        await made.write(*small(1), partition=0)
        await has(tmp_path, 1)
        await eventually(lambda: committed(made, 1))
        assert await service.stop() == 0
    await made.write(*small(2, 3, 4), partition=0)
    async with administering(kafka) as admin:
        first = TopicPartition(made.name(EVENTS), 0)
        await admin.delete_records({first: RecordsToDelete(before_offset=3)})
    async with reading(tmp_path, made) as service:
        await has(tmp_path, 4)
        assert not {"e2", "e3"} & stored(tmp_path)
        [line] = [x for x in service.lines() if x["event"] == "kafka_offset_out_of_range"]
        assert (line["partition"], line["offset"]) == (0, 1)
        assert await resets(service) == 1


async def resets(service: Service) -> float:
    """How many partitions lacked what came next, by the metrics."""
    async with httpx.AsyncClient() as http:
        page = (await http.get(service.url + "/metrics")).text
    return float(page.partition("\norder_rescue_kafka_offset_resets_total ")[2].split()[0])


async def committed(made: Topics, records: int) -> bool:
    return await made.committed() == records


async def test_two_services_share_the_partitions_and_one_takes_over_from_the_dead(
    tmp_path: Path, kafka: Cluster
) -> None:
    made = await topics(kafka)
    one, two = tmp_path / "one", tmp_path / "two"

    def all_stored() -> set[str]:
        return stored(one) | stored(two)

    async with reading(one, made) as first, reading(two, made):
        sent = 0

        async def both_read() -> bool:
            nonlocal sent
            for partition in range(PARTITIONS):
                await made.write(*small(sent), partition=partition)
                sent += 1
            return bool(stored(one)) and bool(stored(two))

        await eventually(both_read, 60.0)
        await first.kill()
        last = range(sent, sent + PARTITIONS)
        for partition, number in enumerate(last):
            await made.write(*small(number), partition=partition)
        wanted = {f"e{number}" for number in range(last.stop)}
        await until(lambda: wanted <= all_stored(), 60.0, "all of them are stored")


async def test_a_database_that_is_locked_keeps_the_batch_and_commits_nothing(
    tmp_path: Path, kafka: Cluster
) -> None:
    made = await topics(kafka)
    async with reading(tmp_path, made) as service:
        await made.write(*small(1))
        await eventually(lambda: committed(made, 1), 30.0)
        with database(tmp_path) as other:
            other.execute("BEGIN IMMEDIATE")
            await made.write(*small(2), b"garbage")
            await until(lambda: any("database can't" in x["event"] for x in service.lines()), 30.0)
            assert await made.committed() == 1
            other.execute("ROLLBACK")
        await has(tmp_path, 2)
        await eventually(lambda: committed(made, 3), 30.0)


async def test_dead_letters_and_outcomes_wait_for_a_topic_that_is_gone(
    tmp_path: Path, kafka: Cluster
) -> None:
    async with streaming(tmp_path, kafka) as (stage, made):
        await made.delete(DEAD_LETTERS)
        await made.write(b"garbage")
        done: Any = await stage.reaches(await stage.buy(await stage.paid()), "accepted")
        await outcomes_of(made, done)
        await made.create(DEAD_LETTERS)

        async def announced() -> bool:
            return [r.value for r in await made.read(DEAD_LETTERS)] == [b"garbage"]

        await eventually(announced, 90.0)
        assert isinstance(stage, Stage)
