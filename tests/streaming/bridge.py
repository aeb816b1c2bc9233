"""A merchant's bridge: the platform's webhooks onto the events topic.

A webhook is acknowledged once all brokers in sync have its record. By its id an event goes onto
the topic, to the service's own endpoint, or both ways.
"""

import asyncio
import json
import socket
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import uvicorn
from aiokafka.errors import KafkaError
from httpx_aiohttp import AiohttpTransport
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consumer.kafka.cluster import Cluster
from consumer.kafka.publisher import Publisher
from consumer.signature import SignatureInvalid, verify
from deploy.sandbox.server import Server

KAFKA, BOTH, WEBHOOK = "Kafka", "both", "webhook"
WAYS = (KAFKA, KAFKA, KAFKA, BOTH, BOTH, WEBHOOK)
PATIENCE = 2.5  # seconds; the platform gives up after 3
TOLERANCE = 300.0  # seconds between its clock and ours
HEADERS = ("digitalriver-signature", "content-type")


@dataclass
class Bridge:
    """`services`: where the replicas listen. `acknowledged`: events by their ids, and their way."""

    url: str
    publisher: Publisher
    topic: str
    secret: str
    http: httpx.AsyncClient
    services: Sequence[str] = ()
    acknowledged: dict[str, str] = field(default_factory=dict)

    async def receive(self, request: Request) -> Response:
        """202 once it is where it should go; 503 asks the platform to repeat it."""
        body = await request.body()
        given = request.headers.get("digitalriver-signature")
        try:
            verify(given, body, (self.secret,), datetime.now(UTC), TOLERANCE)
        except SignatureInvalid:
            return Response(status_code=401)
        id = str(json.loads(body)["id"])
        way = WAYS[zlib.crc32(id.encode()) % len(WAYS)]
        try:
            async with asyncio.timeout(PATIENCE):
                if way != WEBHOOK:
                    await self.publisher.send(self.topic, id.encode(), body, ())
                if way != KAFKA:
                    await self._forward(request, body)
        except (KafkaError, OSError, TimeoutError, httpx.HTTPError):
            return Response(status_code=503)
        self.acknowledged[id] = way
        return Response(status_code=202)

    async def _forward(self, request: Request, body: bytes) -> None:
        """To any replica. Raises httpx.HTTPError."""
        kept = {name: request.headers[name] for name in HEADERS if name in request.headers}
        url = self.services[len(self.acknowledged) % len(self.services)]
        answer = await self.http.post(f"{url}/webhooks/digital-river", content=body, headers=kept)
        answer.raise_for_status()


@asynccontextmanager
async def bridging(servers: str, topic: str, secret: str) -> AsyncIterator[Bridge]:
    """A bridge that listens until the block ends."""
    sock = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
    publisher = Publisher(Cluster((servers,), topic, "", "", "", {}))
    async with httpx.AsyncClient(transport=AiohttpTransport(), timeout=PATIENCE) as http:
        bridge = Bridge(url, publisher, topic, secret, http)
        app = Starlette(routes=[Route("/", bridge.receive, methods=["POST"])])
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        closing = asyncio.Event()
        serving = asyncio.create_task(Server(config, closing).serve([sock]))
        try:
            yield bridge
        finally:
            closing.set()
            await serving
            await publisher.close()
