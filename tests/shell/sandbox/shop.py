"""What the tests do again and again: open a checkout, pay, submit; and receive webhooks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from deploy.sandbox.server import Sandbox

Json = dict[str, Any]
VISA = "4444222233331111"
PLACE: Json = {"line1": "Teststr. 1", "city": "Berlin", "postalCode": "10115", "country": "DE"}
CHECKOUT: Json = {
    "currency": "EUR",
    "email": "ada@example.test",
    "upstreamId": "web-1",
    "items": [{"skuId": "kbd-1", "quantity": 2, "price": 25.0, "metadata": {"line": "1"}}],
    "shipFrom": {"address": {"country": "NL"}},
    "shipTo": {"name": "Ada Probe", "address": PLACE},
    "billTo": {"name": "Ada Probe", "address": PLACE},
    "shippingChoice": {"id": "q", "amount": 4.5, "description": "Standard", "serviceLevel": "SG"},
}


@dataclass(frozen=True, slots=True)
class Shop:
    sandbox: Sandbox
    http: httpx.AsyncClient

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        if body is not None:
            more["json"] = body
        return await self.http.request(method, path, **more)

    async def made(self, method: str, path: str, body: Any = None) -> Json:
        answer = await self.call(method, path, body)
        assert answer.is_success, answer.text
        found: Json = answer.json()
        return found

    async def checkout(self, **changes: Any) -> Json:
        wanted = {
            name: value for name, value in {**CHECKOUT, **changes}.items() if value is not None
        }
        return await self.made("POST", "/checkouts", wanted)

    async def read(self, checkout: Json) -> Json:
        return await self.made("GET", f"/checkouts/{checkout['id']}")

    async def source(
        self, checkout: Json | None = None, last: str = "Probe", number: str = VISA, **more: Any
    ) -> Json:
        body: Json = {"owner": {"firstName": "Ada", "lastName": last, "address": PLACE}, **more}
        if checkout is not None:
            body["sessionId"] = checkout["payment"]["session"]["id"]
        if body.get("type", "creditCard") == "creditCard":
            body.setdefault("card", {"expirationMonth": 1, "expirationYear": 2040})
            body["card"] = {"number": number, **body["card"]}
        return await self.made("POST", "/_browser/sources", body)

    async def attach(self, checkout: Json, source: Json) -> httpx.Response:
        return await self.call("POST", f"/checkouts/{checkout['id']}/sources/{source['id']}")

    async def ready(self, last: str = "Probe", **more: Any) -> Json:
        """A checkout with a source attached, as it reads now."""
        checkout = await self.checkout()
        answer = await self.attach(checkout, await self.source(checkout, last, **more))
        assert answer.status_code == 200, answer.text
        return await self.read(checkout)

    async def submit(self, checkout: Json) -> httpx.Response:
        return await self.call("POST", "/orders", {"checkoutId": checkout["id"]})

    async def orders(self, checkout: Json) -> list[Json]:
        found = await self.made("GET", f"/orders?checkoutId={checkout['id']}")
        rows: list[Json] = found["data"]
        return rows

    async def fault(self, kind: str, **more: Any) -> None:
        """Once, for the next `POST /orders`."""
        script = {"match": {"method": "POST", "path": "/orders"}, "action": {"kind": kind, **more}}
        await self.made("POST", "/_sandbox/faults", {"scripts": [script]})


def error(answer: httpx.Response) -> tuple[int, str | None, str | None]:
    """Status, code and parameter of a refusal."""
    first = answer.json()["errors"][0]
    return answer.status_code, first.get("code"), first.get("parameter")


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # polls a real server; the deadline is above
            await asyncio.sleep(0.005)


@dataclass(slots=True)
class Receiver:
    """A webhook endpoint on a real socket, answering what `statuses` says, then 200."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    always: int = 200
    silent: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")[1:]
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.got.append((headers, body))
                if self.silent:
                    continue
                status = self.statuses.pop(0) if self.statuses else self.always
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the sender closed the connection
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
    try:
        yield receiver
    finally:
        server.close()
