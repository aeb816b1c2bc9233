"""Being one of several: who lives, and whether all of them can read what this version writes."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy import Connection

from consumer.clock import Clock
from consumer.store import replicas
from consumer.store.engine import Store, StoreUnavailable
from schemas.purchase import SCHEMA_NUMBER

EVERY = 5.0  # seconds between beats
LIVES = timedelta(seconds=45)  # without a beat: as long as a lease
log = structlog.get_logger("order_rescue")


@dataclass
class Presence:
    """This process among the others on its database. `number`: of the newest documents it reads;
    while others can't read those it writes what they can."""

    store: Store
    clock: Clock
    id: str
    number: int = SCHEMA_NUMBER
    known: asyncio.Event = field(default_factory=asyncio.Event)  # what is to be written
    agreed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until `stop`, then say that this process has gone."""
        while not stop.is_set():
            try:
                await self.beat()
            except StoreUnavailable:
                pass  # nobody else can beat either
            try:
                async with asyncio.timeout(EVERY):
                    await stop.wait()
            except TimeoutError:
                continue
        try:
            await self.store.write(lambda c: replicas.leave(c, self.id))
        except StoreUnavailable:
            return  # the others wait for the end of its time

    async def beat(self) -> None:
        """Say that this process lives, and see what it is to write."""
        number = await self.store.write(self._beat)
        replicas.write_as(self.store.engine, number)
        self.known.set()
        if number >= self.number:
            self.agreed.set()
        elif not self.agreed.is_set():
            log.info("waits for older processes to end", reads=number, writes=self.number)

    def alone(self) -> None:
        """There is no other process, and will be none."""
        self.known.set()
        self.agreed.set()

    async def once_known(self, stop: asyncio.Event, work: Awaitable[None]) -> None:
        """Do this work once it is known who lives; not at all after `stop`."""
        await self._once(self.known, stop, work)

    async def once_agreed(self, stop: asyncio.Event, work: Awaitable[None]) -> None:
        """Do this work once every process can read what it writes; not at all after `stop`."""
        await self._once(self.agreed, stop, work)

    async def _once(self, event: asyncio.Event, stop: asyncio.Event, work: Awaitable[None]) -> None:
        waits = asyncio.create_task(event.wait())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({waits, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waits.cancel()
            stopping.cancel()
        await work

    def _beat(self, connection: Connection) -> int:
        now = self.clock.now()
        replicas.beat(connection, self.id, now, now + LIVES, self.number)
        return replicas.agreed(connection, now, self.number)
