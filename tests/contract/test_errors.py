"""The vendor's example errors, answered over a real socket to the real client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from consumer.clock import SystemClock
from consumer.errors import OutcomeUnknown, PlatformError, Rejected
from consumer.platform import LocalLimiter, Platform
from handlers.tables import remedy
from schemas.results import Rejected as RejectedResult
from tests.contract.files import examples

STATUSES = {"bad_request": 400, "conflict": 409, "not_found": 404, "unauthorized": 401}
# Without a type: PLATFORM A.1 gives the status of the first, the shipping page that of the second.
UNTYPED = {"payment_authorization_failed": 409, None: 400}


@asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[Platform]:
    """A client of a server that gives every request this answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if "content-length:" in head:
            await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
        writer.write(f"HTTP/1.1 {status} X\r\n{length}\r\nConnection: close\r\n\r\n".encode())
        writer.write(body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    clock = SystemClock()
    try:
        async with Platform(url, "sk_test_1", LocalLimiter(100.0, clock), clock) as platform:
            yield platform
    finally:
        server.close()


def status_of(body: dict[str, Any]) -> int:
    if "type" in body:
        return STATUSES[body["type"]]
    return UNTYPED[body["errors"][0].get("code")]


async def refusal(platform: Platform, method: str, path: str) -> PlatformError:
    asked = (
        platform.get(path) if method == "GET" else platform.send(method, path, {"checkoutId": "c1"})
    )
    with pytest.raises(PlatformError) as caught:
        await asked
    return caught.value


@pytest.mark.parametrize("name", examples("errors"))
async def test_an_example_error_is_understood_and_has_a_remedy(vendor: Path, name: str) -> None:
    raw = (vendor / "examples/errors" / name).read_bytes()
    body = json.loads(raw)
    status = status_of(body)
    wanted = [
        (each.get("code"), each.get("parameter"), each.get("message") or each.get("description"))
        for each in body["errors"]
    ]
    # A 404 that names an order may mean that an earlier, unanswered POST made it (PLATFORM §4.3).
    unsure = status == 404 and any(each.get("parameter") == "orderId" for each in body["errors"])
    async with answering(status, raw) as platform:
        for method, path, kind in (
            ("POST", "/orders", OutcomeUnknown if unsure else Rejected),
            ("POST", "/checkouts/c1", Rejected),
            ("GET", "/checkouts/c1", Rejected),
        ):
            error = await refusal(platform, method, path)
            assert type(error) is kind, (method, path)
            assert error.status == status
            assert [(e.code, e.parameter, e.message) for e in error.errors] == wanted
    assert remedy(RejectedResult(status=status, problems=error.errors)).rule
