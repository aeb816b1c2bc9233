"""A small TCP proxy on loopback: a network that can be cut, frozen and restored."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CHUNK = 1 << 16


@dataclass(eq=False)
class Line:
    """One connection and its continuation behind the proxy."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter

    def drop(self) -> None:
        """Both ends see the connection broken off."""
        for end in (self.near, self.far):
            end.transport.abort()


@dataclass
class Proxy:
    """Listens at `port`; what comes goes to `target`, which may be moved while it runs."""

    target: int
    port: int = 0
    lines: set[Line] = field(default_factory=set)
    _cut: bool = False
    _flows: asyncio.Event = field(default_factory=asyncio.Event)

    def cut(self) -> None:
        """Every connection is broken off, and every new one at once."""
        self._cut = True
        for line in list(self.lines):
            line.drop()

    def freeze(self) -> None:
        """Nothing arrives any more, and nobody is told; new connections are taken all the same."""
        self._flows.clear()

    def restore(self) -> None:
        """What was frozen arrives late; of who hung up meanwhile nothing does."""
        self._cut = False
        self._flows.set()

    def move(self, target: int) -> None:
        """The address now leads elsewhere."""
        self.target = target

    async def take(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        await self._flows.wait()
        if self._cut:
            near.transport.abort()
            return
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            near.transport.abort()
            return
        line = Line(near, far)
        self.lines.add(line)
        try:
            await self._carry(line, reader, far_reader)
        finally:
            self.lines.discard(line)
            line.drop()

    async def _carry(
        self, line: Line, near: asyncio.StreamReader, far: asyncio.StreamReader
    ) -> None:
        """Until either end hangs up."""
        ways = [
            asyncio.create_task(self._one_way(near, line.far, line.near)),
            asyncio.create_task(self._one_way(far, line.near, line.far)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _one_way(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, sender: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(CHUNK):
            await self._flows.wait()
            if source.at_eof() or sender.transport.is_closing():
                return  # a system that gave a connection up does not send what was left of it
            to.write(data)
            await to.drain()


@asynccontextmanager
async def proxy(target: int) -> AsyncIterator[Proxy]:
    """A proxy to this port, until the block ends."""
    made = Proxy(target)
    made.restore()
    server = await asyncio.start_server(made.take, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.restore()
        made.cut()
        server.close()
        await server.wait_closed()
