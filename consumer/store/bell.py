"""A bell between the processes on one PostgreSQL database: LISTEN and NOTIFY.

It only shortens waits: all state is in the tables, and who hears nothing looks now and then.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it comes without types

CHANNEL = "order_rescue"
LONGEST = 7000  # bytes of one NOTIFY; PostgreSQL takes 7999
AGAIN = 1.0  # seconds until a lost connection is tried again
ALIVE = 10.0  # seconds of silence after which the connection is tried


class Bell:
    """`heard` gets every word that another process rang, `missed` is called when some may have
    been lost. All that is rung while one NOTIFY is on its way goes into the next one."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        heard: Callable[[str], None],
        missed: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._heard = heard
        self._missed = missed
        self._words: set[str] = set()
        self._wake = asyncio.Event()
        self.listening = False

    def ring(self, word: str) -> None:
        """Tell the other processes, soon. A word has no spaces."""
        self._words.add(word)
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Ring and listen until `stop`, on a connection of its own that is made again if lost."""
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _task: self._wake.set())
        try:
            while not stop.is_set():
                try:
                    await self._listen(stop)
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await asyncio.wait({stopping}, timeout=AGAIN)
        finally:
            stopping.cancel()

    async def _listen(self, stop: asyncio.Event) -> None:
        connection = await self._connect()
        try:
            connection.add_termination_listener(lambda _connection: self._wake.set())
            await connection.add_listener(CHANNEL, self._notified)
            self.listening = True
            self._missed()
            while not stop.is_set():
                await self._rung()
                if connection.is_closed():
                    return
                for payload in self._payloads():
                    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)
        finally:
            self.listening = False
            connection.terminate()

    async def _rung(self) -> None:
        try:
            async with asyncio.timeout(ALIVE):
                await self._wake.wait()
        except TimeoutError:
            self._words.add("")  # a NOTIFY that says nothing shows that the connection lives
        self._wake.clear()

    def _payloads(self) -> Iterator[str]:
        words, self._words = sorted(self._words), set()
        line = ""
        for word in words:
            if line and len(line) + len(word) >= LONGEST:
                yield line
                line = ""
            line = f"{line} {word}" if line else word
        if words:
            yield line

    def _notified(self, connection: Any, sender: int, _channel: str, payload: str) -> None:
        if sender == connection.get_server_pid():
            return
        for word in payload.split():
            self._heard(word)
