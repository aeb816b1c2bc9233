"""One process for each role, between a topic of events and one of outcomes."""

from pathlib import Path

from tests.services.kafka import Cluster
from tests.shell.service.serving import eventually
from tests.shell.test_roles import shared
from tests.streaming.kafka_stage import (
    DEAD_LETTERS,
    OUTCOMES,
    Topics,
    purchase_of,
    submit_requested,
    topics,
)

SPLITS = ("webhooks", "kafka", "worker", "relay")


async def test_four_processes_make_an_order_of_an_event_and_tell_it(
    tmp_path: Path, postgres_url: str, kafka: Cluster
) -> None:
    made = await topics(kafka)
    async with shared(tmp_path, postgres_url, *SPLITS, **made.settings()) as (stage, _):
        checkout = await stage.paid()
        await made.write(submit_requested(checkout), b"not an event")
        await stage.reaches(await purchase_of(stage, checkout), "accepted", seconds=30)
        stage.in_order(checkout.upstream)
        await eventually(lambda: holds(made, OUTCOMES, b"purchase.accepted"), 30)
        await eventually(lambda: holds(made, DEAD_LETTERS, b"not an event"), 30)


async def holds(made: Topics, purpose: str, part: bytes) -> bool:
    """Whether a record of the topic has this part."""
    return any(part in (record.value or b"") for record in await made.read(purpose))
