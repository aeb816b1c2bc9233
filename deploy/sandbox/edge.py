"""The platform's HTTP edge: key, rate limit, version, faults, then the call itself."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from . import checkouts, sessions
from .catalogue import CALLS, Call, Handler, no_such_path
from .clock import fine_stamp
from .errors import Refusal, envelope
from .faults import Action
from .fields import parse
from .limiter import RETRY_AFTER, is_live
from .model import Checkout, Json
from .submission import STEP_UP
from .world import VERSION, World, encoded

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

VERSIONS = ("2020-09-30", "2021-02-23", "2021-03-23", VERSION)
HTML = b"<html><head><title>504 Gateway Time-out</title></head><body>Sorry.</body></html>"
UNTOLD = frozenset({"after_commit", "cut", "late_commit", "garbage", "before_commit"})


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


def routes() -> dict[tuple[str | None, ...], dict[str, Handler]]:
    """Every second segment of a path is an id."""
    table: dict[tuple[str | None, ...], dict[str, Handler]] = {}
    for method, path, handler in CALLS:
        table.setdefault(shape(path.strip("/").split("/")), {})[method] = handler
    return table


def shape(segments: list[str]) -> tuple[str | None, ...]:
    return tuple(None if place % 2 else one for place, one in enumerate(segments))


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


@dataclass(slots=True)
class Edge:
    """An ASGI application. Needs a real server for answers that are cut off."""

    world: World
    table: dict[tuple[str | None, ...], dict[str, Handler]] = field(default_factory=routes)
    late: set[asyncio.Task[None]] = field(default_factory=set)
    turn: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = await read(receive)
        if raw is None:
            return
        raw_path = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode()
        request = Request(
            method=scope["method"],
            path=raw_path,
            segments=[unquote(part) for part in raw_path.strip("/").split("/")],
            headers=dict(scope["headers"]),
            query=parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True),
            raw=raw,
            id=self.world.new_id(),
        )
        self.world.ledger.requests += 1
        reply = await self._answer(request, send)
        reply.headers.append((b"x-dr-requestid", request.id.encode()))
        if reply.cut is None:
            await _send(send, reply)
        else:
            await _cut(send, receive, reply)

    async def _answer(self, request: Request, send: Send) -> Reply:
        key = _bearer(request)
        if key not in self.world.keys:
            return refusal(Refusal(401, None, "An authorization error has occurred."))
        note = self._note(request)
        reply, fault = await self._processed(request, key)
        told = reply.cut is None and fault not in UNTOLD and not _gone(send)
        if note is not None:
            note |= {
                "status": None if reply.cut == "before" else reply.status,
                "code": reply.code,
                "fault": fault,
                "told": told,
                "committed": reply.committed,
                "orderId": reply.order_id,
            }  # fmt: skip
            checkout = self.world.checkouts.get(note["checkoutId"] or "")
            if checkout is not None and checkout.dead and told and reply.status == 409:
                checkout.dead_told = True
        return reply

    async def _processed(self, request: Request, key: str) -> tuple[Reply, str | None]:
        """The reply, and the name of the fault that made it."""
        if not self.world.limiter.allows(key):
            return self._too_many(RETRY_AFTER), None
        version = request.headers.get(b"digitalriver-version", VERSION.encode()).decode("latin-1")
        if version not in VERSIONS:
            wrong = Refusal(400, "invalid_parameter", "Unknown version.", "DigitalRiver-Version")
            return refusal(wrong), None
        facts = {
            "method": request.method,
            "path": request.path,
            "checkoutId": request.checkout_id(),
            "upstreamId": request.upstream_id(self.world),
        }
        call = Call(self.world, is_live(key), request.raw, request.query)
        fault = None
        for action in self.world.faults.choose(facts):
            fault = action.kind
            if action.kind == "latency":
                await self.world.clock.sleep(action.seconds)
                continue
            return await self._faulty(action, request, call, version), fault
        return self._run(request, call, version), fault

    def _run(self, request: Request, call: Call, version: str) -> Reply:
        methods = self.table.get(shape(request.segments), {"": no_such_path})
        handler = methods.get(request.method) or methods.get("")
        try:
            if handler is None:
                message = f"The method {request.method} is not allowed."
                raise Refusal(405, "method_not_allowed", message)
            ids = request.segments[1::2]
            call.path = dict(zip(("id", "source"), ids, strict=False))
            status, shown = handler(call)
        except Refusal as error:
            reply = refusal(error)
            reply.committed = error.status
            return reply
        if shown is None:
            return Reply(status, committed=status)
        body = encoded(flattened(shown, version))
        order_id = shown["id"] if request.submits else None
        return Reply(status, body, [JSON], order_id=order_id, committed=status)

    async def _faulty(self, action: Action, request: Request, call: Call, version: str) -> Reply:
        match action.kind:
            case "rate_limit":
                return self._too_many(action.retry_after or RETRY_AFTER)
            case "before_commit":
                return self._broken(action.status or 503)
            case "error":
                return self._forced(action, request)
            case "late_commit":
                task = asyncio.create_task(self._commit_late(action, request, call, version))
                self.late.add(task)
                task.add_done_callback(self.late.discard)
                return self._broken(action.status or 504)
            case "hang":
                reply = self._run(request, call, version) if action.commits else None
                await self.world.clock.sleep(action.seconds)
                return reply or self._broken(504)
        reply = self._run(request, call, version)
        if action.kind == "after_commit":
            broken = self._broken(action.status or 504)
            broken.code, broken.order_id = reply.code, reply.order_id
            broken.committed = reply.committed
            return broken
        if action.kind == "cut":
            self.turn += 1
            reply.cut = action.where or ("before", "middle")[self.turn % 2]
            return reply
        return self._garbage(action, reply)

    async def _commit_late(
        self, action: Action, request: Request, call: Call, version: str
    ) -> None:
        """The request is processed after all, after it was answered with a 504."""
        if not await self.world.clock.sleep(action.seconds):
            return
        reply = self._run(request, call, version)
        self.world.ledger.late_commits.append({
            "at": fine_stamp(self.world.clock.now()),
            "method": request.method,
            "path": request.path,
            "checkoutId": request.checkout_id(),
            "orderId": reply.order_id,
            "status": reply.status,
            "code": reply.code,
            "requestId": request.id,
        })  # fmt: skip

    def _too_many(self, retry_after: int) -> Reply:
        """Bodies are empty and enveloped in turn (PLATFORM §7.2)."""
        self.world.ledger.rate_limited += 1
        headers = [(b"retry-after", str(retry_after).encode())]
        if self.world.ledger.rate_limited % 2:
            return Reply(429, b"", headers)
        body = encoded(envelope(429, "too_many_requests", "Too many requests."))
        return Reply(429, body, [*headers, JSON], "too_many_requests")

    def _broken(self, status: int) -> Reply:
        """Gateways answer with an envelope, with HTML or with nothing (PLATFORM §2.12)."""
        self.turn += 1
        if status < 500 or self.turn % 3 == 0:
            return refusal(Refusal(status, "unknown_error", "Something went wrong."))
        if self.turn % 3 == 1:
            return Reply(status, HTML, [(b"content-type", b"text/html")])
        return Reply(status)

    def _forced(self, action: Action, request: Request) -> Reply:
        status = action.status or 500
        checkout = self.world.checkouts.get(request.checkout_id() or "")
        ends = status == 409 and request.submits and action.code != STEP_UP
        if ends and checkout is not None and not checkout.order_id:
            checkout.dead = action.code or "unknown_error"
        if action.body is not None:
            return Reply(status, action.body.encode(), [JSON], action.code)
        error = Refusal(status, action.code, action.message, action.parameter, action.type)
        return refusal(error)

    def _garbage(self, action: Action, reply: Reply) -> Reply:
        self.turn += 1
        reply.status = action.status or reply.status
        if action.body is not None:
            reply.body = action.body.encode()
        elif self.turn % 2:
            reply.body = reply.body[: len(reply.body) // 2] or b"{"
        else:
            reply.body, reply.headers = HTML, [(b"content-type", b"text/html")]
        return reply

    def _note(self, request: Request) -> Json | None:
        """What the ledger holds of a request that touches a checkout, written on arrival."""
        checkout_id = request.checkout_id()
        checkout = self.world.checkouts.get(checkout_id or "")
        changes = request.submits or (
            request.segments[0] == "checkouts"
            and (request.method == "POST" or len(request.segments) == 4)
        )
        if checkout is not None and checkout.dead and changes:
            self.world.ledger.dead_touches.append({
                "at": fine_stamp(self.world.clock.now()),
                "method": request.method,
                "path": request.path,
                "checkoutId": checkout_id,
                "requestId": request.id,
                "told": checkout.dead_told,
            })  # fmt: skip
        if not request.submits:
            return None
        note: Json = {
            "at": fine_stamp(self.world.clock.now()),
            "checkoutId": checkout_id,
            "upstreamId": checkout.upstream_id if checkout else None,
            **_session_facts(checkout),
            "requestId": request.id,
            "status": None,
            "code": None,
            "fault": None,
            "told": False,
            "committed": None,
            "orderId": None,
        }
        self.world.ledger.submissions.append(note)
        return note


JSON = (b"content-type", b"application/json")


def _session_facts(checkout: Checkout | None) -> Json:
    if checkout is None:
        return {
            "sessionState": None, "amountRemaining": None, "ready": False, "dead": False,
            "consumed": False,
        }  # fmt: skip
    total = checkouts.totals(checkout).total
    return {
        "sessionState": sessions.state(checkout, total),
        "amountRemaining": float(sessions.remaining(checkout, total)),
        "ready": sessions.ready(checkout, total),
        "dead": checkout.dead is not None,
        "consumed": checkout.order_id is not None,
    }


def _bearer(request: Request) -> str:
    scheme, _, key = request.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def refusal(error: Refusal) -> Reply:
    return Reply(error.status, encoded(error.body), [JSON], error.code)


def flattened(shown: Any, version: str) -> Any:
    """Before 2021-03-23 there was no `payment` object (PLATFORM §1.1)."""
    if version >= "2021-03-23" or not isinstance(shown, dict):
        return shown
    if "data" in shown and isinstance(shown["data"], list):
        return {**shown, "data": [flattened(one, version) for one in shown["data"]]}
    if "payment" not in shown:
        return shown
    rest = {name: value for name, value in shown.items() if name != "payment"}
    payment = shown["payment"]
    rest["paymentSessionId"] = payment["session"]["id"]
    return rest | {name: payment[name] for name in ("sources", "charges") if name in payment}


def _gone(send: Send) -> bool:
    return bool(getattr(getattr(send, "__self__", None), "disconnected", False))


async def _send(send: Send, reply: Reply) -> None:
    length = (b"content-length", str(len(reply.body)).encode())
    headers = [*reply.headers, length] if reply.status != 204 else reply.headers
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def _cut(send: Send, receive: Receive, reply: Reply) -> None:
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
