"""One HTTP exchange, and the one thing httpx can't say: whether sending may have begun.

The aiohttp transport reports a connection that the server closed under our request as
`httpx.ConnectTimeout`, so the exception's name proves nothing. The connector's own trace does:
until a connection was handed to the request, not a byte of it was written.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import types
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime

import aiohttp
import httpx
from aiohttp.connector import Connection
from httpx_aiohttp import AiohttpTransport

from consumer.platform.answers import Reply
from consumer.platform.envelope import LARGEST
from consumer.platform.retry_after import retry_after

# Below the idle time-outs of common servers (uvicorn, Node: 5 s), so that a request seldom meets
# a connection that is just being closed: for a mutation that costs a settling time.
_KEEP_ALIVE = 4.0


@dataclass(slots=True)
class _Progress:
    """How far a request got. Without a trace (another transport) it counts as begun."""

    connecting: bool = False


_progress: ContextVar[_Progress | None] = ContextVar("platform_request", default=None)


class Cut(Exception):
    """No whole answer. `begun`: whether a byte of the request can have left this machine."""

    def __init__(self, begun: bool, reply: Reply | None, reason: str) -> None:
        super().__init__(reason)
        self.begun = begun
        self.reply = reply
        self.reason = reason


def transport(connections: int, timeout: float) -> httpx.AsyncBaseTransport:
    """httpx over aiohttp: a keep-alive pool, no proxies, no cookies, no repeats of its own.

    What the network has not taken after `timeout` seconds is given up.
    """
    tls = httpx.create_ssl_context()
    return AiohttpTransport(verify=tls, client=lambda: _session(tls, connections, timeout))


def persistent(timeout: float) -> Callable[[aiohttp.AddrInfoType], socket.socket]:
    """Makes sockets that send again for so many seconds and no longer.

    A system goes on sending for minutes, even when we have hung up: a submission would arrive
    after it has settled (I6).
    """

    def made(address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        found = socket.socket(family, kind, protocol)
        found.setblocking(False)
        if option := getattr(socket, "TCP_USER_TIMEOUT", None):  # Linux
            found.setsockopt(socket.IPPROTO_TCP, option, round(timeout * 1000))
        return found

    return made


async def exchange(
    client: httpx.AsyncClient, request: httpx.Request, limit: float, now: datetime
) -> Reply:
    """Send the request and read the whole answer within `limit` seconds, or raise `Cut`.

    A body over `LARGEST` bytes is not read to its end: the reply's `raw` is None.
    """
    progress = _Progress()
    reply: Reply | None = None
    token = _progress.set(progress)
    try:
        async with asyncio.timeout(limit):
            response = await client.send(request, stream=True)
            try:
                reply = _head(response, now)
                return _with_body(reply, await _body(response))
            finally:
                await response.aclose()
    except TimeoutError as error:
        raise Cut(not progress.connecting, reply, "timed out") from error
    except (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError, ValueError) as error:
        # ValueError: what a garbled status line becomes inside the transport.
        reason = type(error.__cause__ or error).__name__
        raise Cut(not progress.connecting, reply, f"the connection failed ({reason})") from error
    finally:
        _progress.reset(token)


def _head(response: httpx.Response, now: datetime) -> Reply:
    headers = response.headers
    return Reply(
        status=response.status_code,
        content_type=headers.get("content-type", ""),
        raw=b"",
        request_id=visible(headers.get("x-dr-requestid", "")) or None,
        retry_after=retry_after(headers.get("retry-after"), headers.get("date"), now),
    )


def _with_body(reply: Reply, raw: bytes | None) -> Reply:
    return Reply(reply.status, reply.content_type, raw, reply.request_id, reply.retry_after)


async def _body(response: httpx.Response) -> bytes | None:
    chunks, size = [], 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > LARGEST:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def visible(text: str) -> str:
    """Printable ASCII, at most 128 characters: fit for a header and for a log."""
    return "".join(char for char in text[:512] if " " <= char <= "~").strip()[:128]


class _Response(aiohttp.ClientResponse):
    """With a status line that httpx can take: what it can't would leave the connection open."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        await super().start(connection)
        self.reason = visible(self.reason or "")
        return self


def _session(tls: ssl.SSLContext, connections: int, timeout: float) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=connections,
            keepalive_timeout=_KEEP_ALIVE,
            ssl=tls,
            socket_factory=persistent(timeout),
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[_trace()],
        response_class=_Response,
    )
    # aiohttp repeats a DELETE on a fresh connection when a kept one breaks; here only we repeat.
    # There is no public switch; a test holds this one to its effect.
    session._retry_connection = False
    return session


def _trace() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(_on_start)
    trace.on_connection_create_end.append(_on_connection)
    trace.on_connection_reuseconn.append(_on_connection)
    return trace


async def _on_start(
    session: aiohttp.ClientSession, context: types.SimpleNamespace, params: object
) -> None:
    progress = _progress.get()
    if progress is not None:
        progress.connecting = True


async def _on_connection(
    session: aiohttp.ClientSession, context: types.SimpleNamespace, params: object
) -> None:
    progress = _progress.get()
    if progress is not None:
        progress.connecting = False
