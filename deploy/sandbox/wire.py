"""Requests and replies as they cross the socket, whole, cut off or garbled."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from .errors import Refusal
from .fields import parse
from .world import World, encoded

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = (b"content-type", b"application/json")


@dataclass(slots=True)
class Reply:
    """`committed` is what processing came to, whatever is answered; `cut` is None, or where the
    connection is closed: `before` or `middle` of the answer."""

    status: int
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    code: str | None = None
    order_id: str | None = None
    committed: int | None = None
    cut: str | None = None


@dataclass(slots=True)
class Request:
    method: str
    path: str
    segments: list[str]
    headers: dict[bytes, bytes]
    query: dict[str, list[str]]
    raw: bytes
    id: str

    @property
    def submits(self) -> bool:
        return self.method == "POST" and self.segments == ["orders"]

    def checkout_id(self) -> str | None:
        """The checkout that this request is about, as far as it says so."""
        if self.segments[0] == "checkouts" and len(self.segments) > 1:
            return self.segments[1]
        if self.submits:
            return self._body_text("checkoutId")
        return self.query.get("checkoutId", [None])[-1]

    def _body_text(self, name: str) -> str | None:
        try:
            value = parse(self.raw).get(name)
        except Refusal:
            return None
        return value if isinstance(value, str) else None

    def upstream_id(self, world: World) -> str | None:
        checkout = world.checkouts.get(self.checkout_id() or "")
        if checkout is not None:
            return checkout.upstream_id
        if "upstreamIds" in self.query:
            return self.query["upstreamIds"][-1]
        return self._body_text("upstreamId") if self.method == "POST" else None


async def read(receive: Receive) -> bytes | None:
    """The request's body, or None if the client went away before it was whole."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def bearer(request: Request) -> str:
    scheme, _, key = request.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def refusal(error: Refusal) -> Reply:
    return Reply(error.status, encoded(error.body), [JSON], error.code)


def gone(send: Send) -> bool:
    return bool(getattr(getattr(send, "__self__", None), "disconnected", False))


async def send_whole(send: Send, reply: Reply) -> None:
    length = (b"content-length", str(len(reply.body)).encode())
    headers = [*reply.headers, length] if reply.status != 204 else reply.headers
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def cut_off(send: Send, receive: Receive, reply: Reply) -> None:
    """Closes the connection under the server: ASGI itself has no way to break off."""
    transport = send.__self__.transport  # type: ignore[attr-defined]  # uvicorn's cycle
    if reply.cut == "middle":
        length = (b"content-length", str(len(reply.body) + 1).encode())
        headers = [*reply.headers, length]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        half = reply.body[: len(reply.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        transport.close()
    else:
        transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
