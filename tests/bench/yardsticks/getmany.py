"""aiokafka's `getmany` and pydantic: reads so many records, parses each, keeps nothing."""

import asyncio
import json
import sys
import time
from datetime import datetime
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import BaseModel


class Event(BaseModel):
    id: str
    type: str
    createdTime: datetime
    liveMode: bool | None = None
    data: dict[str, Any]


async def main(address: str, topic: str, partitions: int, number: int) -> float:
    consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, each) for each in range(partitions)])
        read, began = 0, 0.0
        while read < number:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                began = began or time.monotonic()
                for record in records:
                    Event.model_validate_json(record.value)
                read += len(records)
        return read / (time.monotonic() - began)
    finally:
        await consumer.stop()


if __name__ == "__main__":
    address, topic, partitions, number = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rate = runner.run(main(address, topic, int(partitions), int(number)))
    print(json.dumps({"rate": rate}))
