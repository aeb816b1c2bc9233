"""A trace goes from the record to the platform and to the outcomes; without the extra, nowhere."""

import json
import subprocess
import sys
from pathlib import Path

from consumer.observe import tracing
from tests.services.kafka import Cluster
from tests.shell.service.serving import eventually
from tests.streaming.kafka_stage import OUTCOMES, purchase_of, streaming, submit_requested

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


async def test_a_record_s_trace_is_on_the_outcomes_that_follow(
    tmp_path: Path, kafka: Cluster
) -> None:
    async with streaming(tmp_path, kafka) as (stage, topics):
        checkout = await stage.paid()
        async with topics.producing() as writer:
            await writer.send(
                submit_requested(checkout), headers=[("traceparent", PARENT.encode())]
            )
        await stage.reaches(await purchase_of(stage, checkout), "accepted")

        async def told() -> bool:
            found = await topics.read(OUTCOMES)
            return any(b"purchase.accepted" in (r.value or b"") for r in found)

        await eventually(told, 20.0)
        found = await topics.read(OUTCOMES)
        untraced = await stage.buy(await stage.paid())

        async def both() -> bool:
            return untraced["id"] in {r.key.decode() for r in await topics.read(OUTCOMES)}

        await eventually(both, 20.0)
        others = [r for r in await topics.read(OUTCOMES) if r.key.decode() == untraced["id"]]
    for record in found:
        assert dict(record.headers)["traceparent"].decode() == PARENT
        assert json.loads(record.value)["traceparent"] == PARENT
    for record in others:
        assert "traceparent" not in dict(record.headers)
        assert "traceparent" not in json.loads(record.value)


def test_what_is_no_trace_context_is_not_kept() -> None:
    assert tracing.received({"traceparent": PARENT}) == PARENT
    for wrong in ("", "00-0-0-0", f"00-{'0' * 32}-b7ad6b7169203331-01", "x" * 500):
        assert tracing.received({"traceparent": wrong}) is None
    assert tracing.received({}) is None


WITHOUT = f"""
import sys
sys.modules["opentelemetry.context"] = None
from consumer.observe import tracing
tracing.follow("{PARENT}")
assert tracing.received({{"traceparent": "{PARENT}"}}) is None
assert tracing.headers() == {{}}
"""


def test_without_the_extra_nothing_is_read_or_sent() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT], check=True)
