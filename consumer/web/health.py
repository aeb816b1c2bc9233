"""Whether the process lives, whether it can work, and its metrics. Open: bind to loopback."""

from __future__ import annotations

import asyncio
import json

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from consumer.store import leases
from consumer.store.engine import StoreUnavailable
from consumer.web.deps import Deps
from consumer.web.problems import unavailable

PROBE = "readiness"  # a lease that nobody holds: writing it shows that the disk takes writes
PROBE_SECONDS = 2.0
FRESH_SECONDS = 1.0  # anyone may ask; the disk is asked once in this time


class Health:
    """`/healthz`, `/readyz` and `/metrics`."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._probing = asyncio.Lock()
        self._probed = float("-inf")
        self._writable = False

    async def alive(self, _request: Request) -> Response:
        """The process answers."""
        return _json({"status": "alive"})

    async def ready(self, _request: Request) -> Response:
        """The store takes writes and every task runs. The platform need not answer."""
        ailing = list(self._deps.ailing())
        if not await self._store_writable():
            ailing.append("store")
        if ailing:
            raise unavailable(f"not ready: {', '.join(ailing)}")
        return _json({"status": "ready"})

    async def metrics(self, _request: Request) -> Response:
        """Prometheus text format."""
        page, content_type = self._deps.metrics.render()
        return Response(page, headers={"Content-Type": content_type})

    async def _store_writable(self) -> bool:
        async with self._probing:
            if self._deps.clock.monotonic() - self._probed > FRESH_SECONDS:
                self._writable = await self._probe()
                self._probed = self._deps.clock.monotonic()
        return self._writable

    async def _probe(self) -> bool:
        def touch(connection: Connection) -> None:
            now = self._deps.clock.now()
            leases.acquire(connection, PROBE, PROBE, now, now)

        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._deps.store.write(touch)
        except (StoreUnavailable, TimeoutError):
            return False
        return True


def _json(body: object) -> Response:
    return Response(json.dumps(body), media_type="application/json")
