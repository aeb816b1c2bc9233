"""Runs the sandbox, as a process of its own or inside a test."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from . import webhooks
from .app import build
from .clock import Clock
from .control import Control
from .edge import Edge
from .limiter import is_live
from .model import Json
from .sender import Sender
from .world import World

GRACE = 2.0  # seconds for answers under way when the sandbox ends


@dataclass(frozen=True, slots=True)
class Options:
    """`rate`: requests a second for every key, instead of the documented 25 and 250.

    `disable_after`: failures in a row that disable a webhook.
    `speed` divides the platform's own delays; `seed` makes ids and faults repeatable.
    `settings`: those of `settings.py` that are to differ from the start, and after a reset.
    """

    host: str = "127.0.0.1"
    port: int = 0
    keys: tuple[str, ...] = ("sk_test_sandbox",)
    webhook_url: str | None = None
    webhook_secrets: tuple[str, ...] = ("whsec_sandbox",)
    webhook_types: tuple[str, ...] = ("*",)
    basic: tuple[str, str] | None = None
    speed: float = 1.0
    seed: int | None = None
    rate: float | None = None
    disable_after: int = 20
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox: where it listens, and direct access to what it holds."""

    url: str
    world: World
    sender: Sender
    edge: Edge

    @property
    def ledger(self) -> Json:
        """The same document as `GET /_sandbox/ledger`."""
        return Control(self.world, self.sender).ledger_view()


class Server(uvicorn.Server):
    """Leaves the process's signals alone, since it may run inside a test, and ends at once
    where uvicorn looks every 100 ms: tests start hundreds of these."""

    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self.closing = closing

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.closing.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                while state.connections or state.tasks:  # noqa: ASYNC110  # uvicorn tells nobody
                    await asyncio.sleep(0.002)
        for task in list(state.tasks):
            task.cancel()
        for server in self.servers:
            await server.wait_closed()


def world_of(options: Options) -> World:
    world = World(Clock(options.speed), options.seed, options.rate, keys=options.keys)
    world.chosen = {"disable_after": options.disable_after, **options.settings}
    world.settings.change(world.chosen)
    if options.webhook_url is not None:
        for live in sorted({is_live(key) for key in options.keys}):
            add_webhook(world, options, options.webhook_url, live)
    return world


def add_webhook(world: World, options: Options, url: str, live: bool) -> None:
    body: Json = {"types": list(options.webhook_types), "address": url}
    if options.basic is not None:
        user, password = options.basic
        body["authentication"] = {"userName": user, "password": password}
    webhooks.create(world, live, body, list(options.webhook_secrets))


@contextlib.asynccontextmanager
async def running(options: Options | None = None) -> AsyncIterator[Sandbox]:
    """A sandbox on its own socket, until the block ends. Port 0 takes any free one."""
    options = options or Options()
    with socket.create_server((options.host, options.port), backlog=1024) as listener:
        # asyncio sets this only on sockets that it made itself; without it answers take 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host, port = listener.getsockname()[:2]
        world = world_of(options)
        world.url = f"http://{host}:{port}"
        sender = Sender(world)
        world.deliver, world.later = sender.deliver, sender.at
        app, edge = build(world, sender)
        config = uvicorn.Config(
            app, lifespan="off", access_log=False, log_config=None, ws="none",
            proxy_headers=False, server_header=False, date_header=False,
            timeout_keep_alive=75,
        )  # fmt: skip
        server = Server(config, world.clock.closing)
        sending = asyncio.create_task(sender.run())
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            # The socket listens already: a client that is faster than the server just waits.
            yield Sandbox(world.url, world, sender, edge)
        finally:
            world.clock.closing.set()
            sending.cancel()
            for task in edge.late:
                task.cancel()
            ended = await asyncio.gather(serving, sending, *edge.late, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome  # a sandbox that half worked must not pass for a whole one
