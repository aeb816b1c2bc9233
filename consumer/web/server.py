"""uvicorn inside our own task group: our signals, our sockets, our logs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

DRAIN_SECONDS = 10  # for requests that are being answered
KEEP_ALIVE = 65  # seconds; longer than the usual 60 of load balancers in front


class ServerEnded(Exception):
    """The web server stopped by itself: the process must not go on without it."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise SIGTERM again when it is done, and kill its undrained siblings."""
        yield


def listener(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes any. Raises OSError when the address can't be had."""
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    # asyncio only switches Nagle's delays off (40 ms an answer) where it sees that this is TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by every connection; asyncio sets it only on sockets that it makes itself.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


async def serve(
    app: ASGIApp,
    sock: socket.socket,
    stop: asyncio.Event,
    ready: Callable[[], None] = lambda: None,
    *,
    drain_seconds: int = DRAIN_SECONDS,
) -> None:
    """Serve until `stop` is set, then answer what has been received, and return.

    `ready` is called once connections are accepted. Raises ServerEnded.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        interface="asgi3",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # TRUSTED_PROXIES decides, at the webhook
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=drain_seconds,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = _Server(config, ready)
    with contextlib.closing(sock):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_watch(server, stop))
            await server.serve(sockets=[sock])
            if not stop.is_set():
                raise ServerEnded


async def _watch(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True
