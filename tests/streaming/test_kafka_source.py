"""Records of a real broker become facts, once each, whatever else is on the topic (I7)."""

from pathlib import Path

from tests.services.kafka import Cluster
from tests.shell.service.serving import eventually
from tests.streaming.kafka_stage import purchase_of, streaming, submit_requested


async def test_an_event_by_kafka_leads_to_an_order(tmp_path: Path, kafka: Cluster) -> None:
    async with streaming(tmp_path, kafka) as (stage, topics):
        checkout = await stage.paid()
        await topics.write(submit_requested(checkout))
        await stage.reaches(await purchase_of(stage, checkout), "accepted")
        stage.in_order(checkout.upstream)

        async def committed() -> bool:
            return await topics.committed() == 1

        await eventually(committed)
