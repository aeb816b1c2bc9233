"""A recording proxy: what is said over a real socket between a client and the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its whole answer. Header names are in lower case; `path` is as sent."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer_headers: dict[str, str]
    answer: bytes


@dataclass(slots=True)
class Recorder:
    """Where the proxy listens, and the exchanges so far, in the order of their answers.

    `target` is the sandbox's address; it may be set after the client has ours.
    """

    target: tuple[str, int] = ("127.0.0.1", 0)
    url: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    clients: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    def point_at(self, url: str) -> None:
        """Stand in front of the sandbox at this address."""
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self.target = (parts.hostname, parts.port)

    def platform(self) -> list[Exchange]:
        """Without what only the sandbox has: its controls and its browser."""
        return [each for each in self.exchanges if not each.path.startswith("/_")]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the client is one connection to the sandbox."""
        task = asyncio.current_task()
        assert task is not None
        self.clients[task] = writer
        try:
            back, forth = await asyncio.open_connection(*self.target)
            try:
                while True:
                    await self._exchange(reader, writer, back, forth)
            finally:
                forth.close()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a side closed the connection
        finally:
            del self.clients[task]
            writer.close()

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        forth: asyncio.StreamWriter,
    ) -> None:
        head, headers, body = await _message(reader)
        forth.write(head + body)
        line = head.split(b"\r\n")[0].decode("ascii")
        method, target, _ = line.split(" ")
        answer_head, answer_headers, answer = await _message(back)
        writer.write(answer_head + answer)
        await writer.drain()
        path, _, query = target.partition("?")
        status = int(answer_head[9:12])
        self.exchanges.append(
            Exchange(method, path, query, headers, body, status, answer_headers, answer)
        )


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, dict[str, str], bytes]:
    """Head, headers and body of a message whose length is told in advance."""
    head = await reader.readuntil(END)
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    assert "transfer-encoding" not in headers
    return head, headers, await reader.readexactly(int(headers.get("content-length", "0")))


@asynccontextmanager
async def recording(url: str = "") -> AsyncIterator[Recorder]:
    """A recorder in front of the sandbox at `url`, until the block ends."""
    recorder = Recorder()
    if url:
        recorder.point_at(url)
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    recorder.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield recorder
    finally:
        server.close()
        for writer in recorder.clients.values():
            writer.close()
        await asyncio.gather(*recorder.clients)
