"""Reading partitions: where to begin, and how to get past what the client library can't decode."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from consumer.kafka.records import Record
from consumer.observe import Metrics

WAIT = 500  # milliseconds for records, when there are none
STEP = 0.1  # seconds between looks while reading one by one
CAREFUL = 200  # readings one by one after the last record that could not be decoded

log = structlog.get_logger("order_rescue.kafka")


@dataclass(frozen=True, slots=True)
class Undecodable:
    """The place of a record that the library can't decode, such as one with a header whose name
    is not UTF-8; of its batch nothing behind it can be had either. `why` is an error's name."""

    topic: str
    partition: int
    offset: int
    why: str
    value: None = None
    headers: Sequence[tuple[str, bytes]] = ()


class Undecoded(Exception):
    """Somewhere in what was fetched is such a record. What was fetched with it is gone from the
    consumer: begin again from what was committed, and read one by one."""


Batches = Mapping[TopicPartition, Sequence[Record | Undecodable]]


@dataclass
class Reader:
    """Reads for a consumer without automatic resets. `careful`: readings one by one to come."""

    metrics: Metrics
    careful: int = 0

    async def read(self, consumer: AIOKafkaConsumer) -> Batches:
        """What came, in order within a partition. Raises KafkaError or Undecoded."""
        try:
            if self.careful:
                return await self._one_by_one(consumer)
            found: Batches = await consumer.getmany(timeout_ms=WAIT)
            return found
        except NoOffsetForPartitionError as error:
            await consumer.seek_to_beginning(error.args[0])
        except OffsetOutOfRangeError as error:
            await self._start_over(consumer, error.args[0])
        except CorruptRecordException as error:
            raise self._undecoded(error) from error
        except (KafkaError, OSError, TimeoutError):
            raise
        except Exception as error:  # a decoder's own error can be any
            raise self._undecoded(error) from error
        return {}

    def _undecoded(self, error: Exception) -> Undecoded:
        self.careful = CAREFUL
        return Undecoded(type(error).__name__)

    async def _one_by_one(self, consumer: AIOKafkaConsumer) -> Batches:
        """One record of each partition, so that an error has a place."""
        found: dict[TopicPartition, list[Record | Undecodable]] = {}
        self.careful -= 1
        for tp in sorted(consumer.assignment()):
            try:
                found |= await consumer.getmany(tp, timeout_ms=0, max_records=1)
            except (NoOffsetForPartitionError, OffsetOutOfRangeError):
                raise
            except Exception as error:
                if isinstance(error, KafkaError) and not isinstance(error, CorruptRecordException):
                    raise
                offset = await consumer.position(tp)
                consumer.seek(tp, offset + 1)
                why = type(error).__name__
                found[tp] = [Undecodable(tp.topic, tp.partition, offset, why)]
                self.careful = CAREFUL
        if not found:
            await asyncio.sleep(STEP)
        return found

    async def _start_over(
        self, consumer: AIOKafkaConsumer, lost: Mapping[TopicPartition, int]
    ) -> None:
        """The broker no longer has, or never had, what comes next: go on with all that is left.
        What was read before is a duplicate."""
        await consumer.seek_to_beginning(*lost)
        for tp, offset in lost.items():
            self.metrics.kafka_reset()
            log.error(
                "kafka_offset_out_of_range",
                topic=tp.topic,
                partition=tp.partition,
                offset=offset,
                goes_on="with the earliest record that is left",
            )
