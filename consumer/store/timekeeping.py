"""Asking the database for the time."""

import asyncio
from datetime import datetime

import structlog
from sqlalchemy import Connection, func, select

from consumer.clock import SharedClock
from consumer.store.engine import Store, StoreUnavailable

EVERY = 10.0  # seconds: clocks drift by less than a millisecond in this time
SAMPLES = 3  # the quickest answer is the most exact
WORTH_SAYING = 2.0  # seconds
log = structlog.get_logger("order_rescue")
_NOW = select(func.clock_timestamp())


def shown(connection: Connection) -> datetime:
    """The time at the database's server."""
    found: datetime = connection.execute(_NOW).scalar_one()
    return found


async def set_clock(store: Store, clock: SharedClock) -> float:
    """Set the clock; returns the seconds by which the machine's is ahead."""
    samples = []
    for _ in range(SAMPLES):
        asked = clock.monotonic()
        samples.append((asked, await store.look(shown), clock.monotonic()))
    asked, told, answered = min(samples, key=lambda sample: sample[2] - sample[0])
    return clock.set(told, asked, answered)


async def keep_time(store: Store, clock: SharedClock, stop: asyncio.Event) -> None:
    """Keep the clock right until `stop`."""
    said = False
    while not stop.is_set():
        try:
            ahead = await set_clock(store, clock)
            if abs(ahead) > WORTH_SAYING and not said:
                said = True
                log.warning("this machine's clock is not the database's", ahead=round(ahead, 1))
        except StoreUnavailable:
            pass  # it goes on by itself
        try:
            async with asyncio.timeout(EVERY):
                await stop.wait()
        except TimeoutError:
            continue
