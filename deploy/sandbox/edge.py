"""The platform's HTTP edge: key, rate limit, version, faults, then the call itself."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from .call import Call, Handler
from .catalogue import CALLS, no_such_path
from .clock import fine_stamp
from .errors import Refusal, envelope
from .faults import Action
from .limiter import RETRY_AFTER, is_live
from .notes import arrival
from .submission import STEP_UP
from .wire import (
    JSON,
    Receive,
    Reply,
    Request,
    Scope,
    Send,
    bearer,
    cut_off,
    gone,
    read,
    refusal,
    send_whole,
)
from .world import VERSION, World, encoded

VERSIONS = ("2020-09-30", "2021-02-23", "2021-03-23", VERSION)
HTML = b"<html><head><title>Please wait</title></head><body>Sorry.</body></html>"
UNTOLD = frozenset({"after_commit", "cut", "late_commit", "garbage", "before_commit"})


def routes() -> dict[tuple[str | None, ...], dict[str, Handler]]:
    """Every second segment of a path is an id."""
    table: dict[tuple[str | None, ...], dict[str, Handler]] = {}
    for method, path, handler in CALLS:
        table.setdefault(shape(path.strip("/").split("/")), {})[method] = handler
    return table


def shape(segments: list[str]) -> tuple[str | None, ...]:
    return tuple(None if place % 2 else one for place, one in enumerate(segments))


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
            await send_whole(send, reply)
        else:
            await cut_off(send, receive, reply)

    async def _answer(self, request: Request, send: Send) -> Reply:
        key = bearer(request)
        if key not in self.world.keys:
            return refusal(Refusal(401, None, "An authorization error has occurred."))
        note = arrival(self.world, request)
        reply, fault = await self._processed(request, key)
        told = reply.cut is None and fault not in UNTOLD and not gone(send)
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
        """A gateway's envelope, or nothing (PLATFORM §2.12)."""
        self.turn += 1
        if status < 500 or self.turn % 2:
            return refusal(Refusal(status, "unknown_error", "Something went wrong."))
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
