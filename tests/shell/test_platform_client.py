"""The platform client over real sockets: what was sent, what came back, what it means (I6)."""

import asyncio
import gzip
import json
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from consumer.clock import SystemClock
from consumer.errors import OutcomeUnknown, PlatformError, Rejected, Unavailable
from consumer.observe import tracing
from consumer.platform import Call, LocalLimiter, Platform, Priority, Turn, path, route
from consumer.platform.wire import Cut, exchange, persistent

KEY = "sk_test_never_shown"
CLOCK = SystemClock()


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Silence:
    """Keep the connection open and say nothing until the client leaves."""


class Abort:
    """Reset the connection after reading the request."""


@dataclass(frozen=True)
class Part:
    """Send this and close."""

    raw: bytes


@dataclass
class Wire:
    """A server that plays one reply for each request, the last one for ever."""

    replies: list[bytes | Part | type[Silence] | type[Abort]]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client left; the tests look at the client's side
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        raw_headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
        named = {name.lower(): value for name, value in raw_headers.items()}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append(Request(method, target, named, body))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply is Silence:
            await reader.read()
            return False
        if reply is Abort:
            writer.transport.abort()
            return False
        raw = reply.raw if isinstance(reply, Part) else reply
        assert isinstance(raw, bytes)
        writer.write(raw)
        await writer.drain()
        return not isinstance(reply, Part)


def answer(
    status: int = 200, body: Any = None, kind: str = "application/json", **headers: str
) -> bytes:
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(raw)}"]
    lines += [f"Content-Type: {kind}"] if raw else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + raw


def problem(status: int, **error: str) -> bytes:
    return answer(status, {"type": "conflict", "errors": [error]}, x_dr_requestid="req-1")


@asynccontextmanager
async def serving(*replies: bytes | Part | type[Silence] | type[Abort]) -> AsyncIterator[Wire]:
    wire = Wire(list(replies))
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    async with server:
        yield wire


@dataclass
class Watched:
    platform: Platform
    calls: list[Call]
    limiter: LocalLimiter


@asynccontextmanager
async def client(url: str, rate: float = 1000, **settings: Any) -> AsyncIterator[Watched]:
    calls: list[Call] = []
    limiter = LocalLimiter(rate, CLOCK)
    settings = {"timeout": 5.0, "application": "order-rescue/1.2.3", **settings}
    made = Platform(
        url=url,
        key=KEY,
        limiter=limiter,
        clock=CLOCK,
        observe=calls.append,
        rng=random.Random(7),
        **settings,
    )
    async with made as platform:
        yield Watched(platform, calls, limiter)


async def fails(platform: Platform, method: str = "POST", where: str = "/orders") -> PlatformError:
    """Make the call and return what it raises."""
    call = platform.get(where) if method == "GET" else platform.send(method, where, {"a": "1"})
    with pytest.raises(PlatformError) as caught:
        await call
    return caught.value


# What is sent


async def test_every_call_carries_the_headers_that_the_platform_asks_for() -> None:
    async with serving(answer(201, {"id": "1"})) as wire, client(wire.url) as watched:
        await watched.platform.send(
            "POST",
            "/orders",
            {"checkoutId": "c"},
            upstream_id="pur_1/0/submit",
            session_id="browser-1\r\nx-evil: 1",
            forwarded="2001:db8::1",
        )
        (sent,) = wire.requests
    assert (sent.method, sent.target, json.loads(sent.body)) == (
        *("POST", "/orders"),
        {"checkoutId": "c"},
    )
    expected = {
        "authorization": f"Bearer {KEY}",
        "digitalriver-version": "2021-12-13",
        "content-type": "application/json",
        "accept": "application/json",
        "upstream-id": "pur_1/0/submit",
        "upstream-application-id": "order-rescue/1.2.3",
        "upstream-session-id": "browser-1x-evil: 1",
        "forwarded": 'for="[2001:db8::1]"',
    }
    assert expected.items() <= sent.headers.items()
    assert "x-evil" not in sent.headers


async def test_a_call_belongs_to_the_trace_that_is_followed_and_only_there() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def traced(platform: Platform) -> None:
        tracing.follow(parent)
        await platform.get("/orders/1")

    async with serving(answer(200, {"id": "1"})) as wire, client(wire.url) as watched:
        await asyncio.create_task(traced(watched.platform))
        await watched.platform.get("/orders/1")
        assert [sent.headers.get("traceparent") for sent in wire.requests] == [parent, None]


async def test_each_call_gets_an_upstream_id_of_its_own() -> None:
    async with serving(answer(200, {})) as wire, client(wire.url) as watched:
        await watched.platform.get("/orders")
        await watched.platform.get("/orders", upstream_id="日本")
        ids = [request.headers["upstream-id"] for request in wire.requests]
    assert len(set(ids)) == 2
    assert [call.upstream_id for call in watched.calls] == ids


async def test_ids_of_any_shape_stay_within_their_segment() -> None:
    strange = "a/b%2F?#é .."
    async with serving(answer(200, {})) as wire, client(wire.url) as watched:
        await watched.platform.get(path("checkouts", strange), {"ids": ["a&b", "c"]})
        target = wire.requests[0].target
    assert target == "/checkouts/a%2Fb%252F%3F%23%C3%A9%20..?ids=a%26b&ids=c"
    for bad in ("", ".", ".."):
        with pytest.raises(ValueError, match="an id of the platform"):
            path("checkouts", bad)


async def test_connections_are_kept_and_redirects_are_not_followed() -> None:
    moved = answer(307, {}, Location="/elsewhere", Set_Cookie="a=b")
    async with (
        serving(answer(200, {}), moved, answer(200, {})) as wire,
        client(wire.url) as watched,
    ):
        await watched.platform.get("/orders")
        assert isinstance(await fails(watched.platform), OutcomeUnknown)
        await watched.platform.get("/orders")
    assert [request.target for request in wire.requests] == ["/orders"] * 3
    assert wire.connections == 1


@pytest.mark.parametrize(
    "url",
    [
        *("http://api.digitalriver.com", "http://10.0.0.1", "http://127.0.0.1.example.com"),
        *("", "ftp://x", "api.digitalriver.com", "http://localhost@example.com"),
        *("https://u:p@h", "https://h?a", "https://h#a", "https://"),
    ],
)
def test_the_key_only_goes_over_tls_or_to_this_machine(url: str) -> None:
    with pytest.raises(ValueError, match="platform's address"):
        Platform(url=url, key=KEY, limiter=LocalLimiter(1, CLOCK), clock=CLOCK)


@pytest.mark.parametrize(
    "url", ["https://api.digitalriver.com/", "http://localhost:1/x", "http://[::1]:1"]
)
def test_https_and_loopback_are_accepted_and_the_key_is_not_shown(url: str) -> None:
    made = Platform(url=url, key=KEY, limiter=LocalLimiter(1, CLOCK), clock=CLOCK)
    assert made.url == url.rstrip("/")
    assert KEY not in repr(made)


@pytest.mark.parametrize("key", ["", "sk\n", "sk_é", "sk x"])
def test_a_key_that_cannot_be_sent_stops_the_start_unseen(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        Platform(url="https://h", key=key, limiter=LocalLimiter(1, CLOCK), clock=CLOCK)
    assert not key or key not in str(caught.value)


async def test_calls_are_observed_without_ids_and_secrets() -> None:
    refused = problem(409, code="failed-request", message="Failed")
    async with (
        serving(answer(200, {}, x_dr_requestid="req-0"), refused) as wire,
        client(wire.url) as watched,
    ):
        await watched.platform.send("POST", path("checkouts", "c-1", "sources", "s-1"))
        await fails(watched.platform)
    first, second = watched.calls
    assert (first.method, first.route) == ("POST", "/checkouts/{id}/sources/{id}")
    assert (first.status, first.outcome, first.request_id) == (200, "answered", "req-0")
    assert (second.status, second.outcome, second.request_id) == (409, "rejected", "req-1")
    assert all(call.seconds > 0 and call.waited >= 0 for call in watched.calls)
    shown = repr(watched.calls)
    assert not any(text in shown for text in (KEY, "failed-request", "Failed", "c-1", "s-1"))


def test_routes_hold_no_ids() -> None:
    assert route("/orders/1/refresh") == "/orders/{id}/refresh"
    assert route("/customers/a@b.c/tax-identifiers/9") == "/customers/{id}/tax-identifiers/{id}"
    assert route("/orders") == "/orders"


# Nothing was sent


async def unused_port() -> int:
    async with serving(Silence) as wire:
        return wire.port


async def test_a_refused_connection_is_not_processed() -> None:
    async with client(f"http://127.0.0.1:{await unused_port()}") as watched:
        error = await fails(watched.platform)
    assert isinstance(error, Unavailable)
    assert error.status is None
    assert [call.outcome for call in watched.calls] == ["unavailable"]


async def test_a_failed_tls_handshake_is_not_processed() -> None:
    async with serving(Silence) as wire, client(f"https://127.0.0.1:{wire.port}") as watched:
        # The server waits for a request's end: the handshake makes no progress and is cut off.
        quick = Platform(
            url=f"https://127.0.0.1:{wire.port}",
            key=KEY,
            limiter=watched.limiter,
            clock=CLOCK,
            timeout=0.2,
        )
        async with quick:
            assert isinstance(await fails(quick), Unavailable)
    assert wire.requests == []


async def test_a_server_without_tls_is_not_processed() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, client(f"https://127.0.0.1:{port}") as watched:
        error = await fails(watched.platform)
    assert isinstance(error, Unavailable)


async def test_waiting_for_a_connection_of_the_pool_is_not_processed() -> None:
    async with serving(Silence) as wire, client(wire.url, connections=1) as watched:
        http = watched.platform.client
        first = asyncio.create_task(watched.platform.send("POST", "/orders", {}))
        await until(lambda: len(wire.requests) == 1)
        with pytest.raises(Cut) as caught:
            await exchange(http, http.build_request("POST", wire.url), 0.1, CLOCK.now())
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert not caught.value.begun
    assert len(wire.requests) == 1


async def test_without_budget_in_time_nothing_is_sent() -> None:
    async with serving(answer(201, {})) as wire, client(wire.url, 0.1, patience=0.05) as watched:
        await watched.limiter.acquire()
        error = await fails(watched.platform)
    assert isinstance(error, Unavailable)
    assert wire.requests == []
    assert watched.calls[0].waited > 0.04


async def test_a_pause_that_is_too_long_is_not_waited_for() -> None:
    async with serving(answer(201, {})) as wire, client(wire.url, patience=50) as watched:
        watched.limiter.pause(60)
        error = await fails(watched.platform)
    assert isinstance(error, Unavailable)
    assert 59 < (error.retry_after or 0) <= 60
    assert wire.requests == []
    assert watched.calls[0].waited < 1


async def test_budget_that_was_waited_for_before_is_used_once_and_only_while_it_is_fresh() -> None:
    async with serving(answer(201, {})) as wire, client(wire.url, 0.1, patience=0.05) as watched:
        turn = await watched.platform.turn(Priority.INTERACTIVE)
        await watched.platform.send("POST", "/orders", {}, turn=turn)
        assert watched.calls[0].waited >= turn.waited
        with pytest.raises(Unavailable):
            await watched.platform.send("POST", "/orders", {}, turn=Turn(CLOCK.monotonic() - 1))
        watched.limiter.pause(0.01)
        with pytest.raises(Unavailable):
            await watched.platform.send("POST", "/orders", {}, turn=Turn(CLOCK.monotonic() + 1))
    assert len(wire.requests) == 1


async def test_after_its_last_moment_nothing_is_sent() -> None:
    async with serving(answer(201, {})) as wire, client(wire.url) as watched:
        with pytest.raises(Unavailable):
            await watched.platform.send("POST", "/orders", {}, send_by=CLOCK.monotonic() - 0.001)
        assert wire.requests == []
        await watched.platform.send("POST", "/orders", {}, send_by=CLOCK.monotonic() + 60)
    assert len(wire.requests) == 1


async def test_what_is_no_call_is_an_error_of_ours() -> None:
    async with serving(answer(200, {})) as wire, client(wire.url) as watched:
        send = watched.platform.send
        for method, where, body in (
            ("GET", "/orders", {}),
            ("POST", "orders", {}),
            ("POST", "/orders?a=b", {}),
            ("POST", "/checkouts/../orders", {}),
            ("POST", "/orders", {"total": float("nan")}),
        ):
            with pytest.raises(ValueError):  # noqa: PT011 (three different texts)
                await send(method, where, body)
    assert wire.requests == []


# Nobody knows


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
@pytest.mark.parametrize("end", [Abort, Part(b"")])
async def test_a_connection_lost_after_sending_is_unknown(
    method: str, end: type[Abort] | Part
) -> None:
    async with serving(end) as wire, client(wire.url) as watched:
        error = await fails(watched.platform, method)
    assert isinstance(error, OutcomeUnknown)
    assert error.status is None
    assert len(wire.requests) == 1


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
@pytest.mark.parametrize("end", [Abort, Part(b"")])
async def test_a_kept_connection_that_closes_under_a_change_is_unknown_and_not_repeated(
    method: str, end: type[Abort] | Part
) -> None:
    async with serving(answer(200, {}), end, answer(200, {})) as wire, client(wire.url) as watched:
        await watched.platform.get("/orders")
        error = await fails(watched.platform, method)
    assert isinstance(error, OutcomeUnknown)
    assert [request.method for request in wire.requests] == ["GET", method]
    assert wire.connections == 1


async def test_a_change_without_an_answer_in_time_is_unknown() -> None:
    async with serving(Silence) as wire, client(wire.url, timeout=0.2) as watched:
        error = await fails(watched.platform)
    assert isinstance(error, OutcomeUnknown)
    assert error.status is None
    assert len(wire.requests) == 1


WHOLE = answer(201, {"id": "1", "state": "accepted"}, x_dr_requestid="req-1")


@pytest.mark.parametrize(
    "reply",
    [
        Part(WHOLE[:5]),
        Part(WHOLE[:40]),
        Part(WHOLE[:-1]),
        Part(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}"),
        Part(b'HTTP/1.1 201 Created\r\n\r\n{"id": "1"'),
        Part(b"HTTP/1.1 201 \xff\xfe\r\nContent-Length: 9\r\n\r\n{}"),
        Part(b"SMTP ready\r\n\r\n"),
        Part(b"HTTP/1.1 201 Created\r\nX: " + b"x" * 100_000 + b"\r\n\r\n{}"),
        Part(problem(409, code="failed-request")[:-1]),
        answer(201, b"<html>", "text/html"),
        answer(201, {"id": "1"}, "text/html"),
        answer(201, [1]),
        answer(201),
        answer(201, b'{"a": NaN}'),
        answer(201, b"[" * 100_000),
        answer(201, b'{"a": "' + b"x" * 9_000_000 + b'"}'),
        answer(201, gzip.compress(b"{}")[:11], Content_Encoding="gzip"),
        answer(201, b"\x00\x01", Content_Encoding="gzip"),
        answer(301, Location="/orders"),
        answer(408, {"type": "request_timeout"}),
        answer(500, {"type": "internal_server_error"}, x_dr_requestid="req-1"),
        answer(502, b"<html>", "text/html"),
        answer(503, Retry_After="5"),
        answer(403, b"<html>", "text/html"),
        answer(404, b"Not Found", "text/plain"),
    ],
    ids=lambda reply: repr(reply.raw if isinstance(reply, Part) else reply)[2:40],
)
async def test_an_answer_that_proves_nothing_is_unknown(reply: bytes | Part) -> None:
    async with serving(reply) as wire, client(wire.url) as watched:
        error = await fails(watched.platform)
    assert isinstance(error, OutcomeUnknown)
    assert len(wire.requests) == 1
    assert watched.calls[0].outcome == "unknown"


async def test_a_submission_s_404_that_names_an_order_is_unknown_with_its_problem() -> None:
    consumed = problem(404, code="not_found", parameter="orderId", message="Order 1 not found")
    async with serving(consumed) as wire, client(wire.url) as watched:
        error = await fails(watched.platform)
        other = await fails(watched.platform, where="/orders/1/refresh")
    assert isinstance(error, OutcomeUnknown)
    assert (error.status, error.request_id, error.errors[0].parameter) == (404, "req-1", "orderId")
    assert isinstance(other, Rejected)


async def test_a_cancelled_call_is_observed() -> None:
    async with serving(Silence) as wire, client(wire.url) as watched:
        task = asyncio.create_task(watched.platform.send("POST", "/orders", {}))
        await until(lambda: len(wire.requests) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [call.outcome for call in watched.calls] == ["cancelled"]


# Definite answers


async def test_a_change_is_answered() -> None:
    async with serving(WHOLE, answer(204)) as wire, client(wire.url) as watched:
        created = await watched.platform.send("POST", "/orders", {"checkoutId": "1"})
        deleted = await watched.platform.send("DELETE", "/checkouts/1")
    assert (created.status, created.body) == (201, {"id": "1", "state": "accepted"})
    assert (created.request_id, created.seconds > 0) == ("req-1", True)
    assert (deleted.status, deleted.body) == (204, None)


@pytest.mark.parametrize(
    ("reply", "codes"),
    [
        (problem(409, code="failed-request", message="No"), ["failed-request"]),
        (answer(400, {"errors": [{"code": "a"}, {"code": "b"}]}), ["a", "b"]),
        (answer(401, {"type": "unauthorized"}), []),
        (answer(403, b"<html>", "text/html", x_dr_requestid="req-1"), []),
        (answer(409, {"errors": [{"code": "c"}]}, "text/plain"), ["c"]),
    ],
)
async def test_a_4xx_of_the_platform_is_a_rejection(reply: bytes, codes: list[str]) -> None:
    async with serving(reply) as wire, client(wire.url) as watched:
        error = await fails(watched.platform)
    assert isinstance(error, Rejected)
    assert [p.code for p in error.errors] == codes
    assert not any(code in str(error) for code in codes if len(code) > 1)


@pytest.mark.parametrize(
    "reply",
    [
        answer(429, Retry_After="7"),
        answer(429, b"<html>", "text/html", Retry_After="7"),
        answer(429, {"type": "too_many_requests"}, x_dr_requestid="r", Retry_After="7"),
        Part(answer(429, {"type": "too_many_requests"}, Retry_After="7")[:-3]),
        answer(
            429,
            Date="Thu, 02 May 2024 08:00:00 GMT",
            Retry_After="Thu, 02 May 2024 08:00:07 GMT",
        ),
    ],
)
async def test_any_429_is_not_processed_and_pauses_every_call(reply: bytes | Part) -> None:
    async with serving(reply) as wire, client(wire.url, patience=0.05) as watched:
        error = await fails(watched.platform)
        assert isinstance(error, Unavailable)
        assert (error.status, error.retry_after) == (429, 7)
        assert isinstance(await fails(watched.platform, where="/checkouts"), Unavailable)
        assert isinstance(await fails(watched.platform, "GET"), Unavailable)
    assert len(wire.requests) == 1


# Readings repeat by themselves


@pytest.mark.parametrize(
    "reply",
    [
        answer(503, Retry_After="0"),
        answer(500, b"<html>", "text/html"),
        answer(408),
        answer(429, Retry_After="0"),
        answer(200, b"<html>", "text/html"),
        answer(404, b"<html>", "text/html"),
        Part(WHOLE[:-1]),
        Abort,
    ],
    ids=lambda reply: repr(reply)[:40],
)
async def test_a_reading_is_repeated_until_answered(
    reply: bytes | Part | type[Abort],
) -> None:
    async with serving(reply, answer(200, {"data": []})) as wire, client(wire.url) as watched:
        got = await watched.platform.get("/orders")
    assert got.body == {"data": []}
    assert [call.outcome for call in watched.calls] == ["unavailable", "answered"]
    assert len({request.headers["upstream-id"] for request in wire.requests}) == 1


async def test_a_reading_gives_up_after_a_few_attempts() -> None:
    async with serving(problem(503, code="x")) as wire, client(wire.url) as watched:
        error = await fails(watched.platform, "GET")
    assert isinstance(error, Unavailable)
    assert (error.status, error.request_id) == (503, "req-1")
    assert len(wire.requests) == 3


async def test_a_reading_ends_within_its_time() -> None:
    started = CLOCK.monotonic()
    async with serving(Silence) as wire, client(wire.url, timeout=0.3, patience=0.1) as watched:
        error = await fails(watched.platform, "GET")
    assert isinstance(error, Unavailable)
    assert CLOCK.monotonic() - started < 5


async def test_a_reading_does_not_wait_longer_than_its_time_for_the_platform() -> None:
    async with serving(answer(503, Retry_After="3000")) as wire, client(wire.url) as watched:
        error = await fails(watched.platform, "GET")
    assert isinstance(error, Unavailable)
    assert error.retry_after == 3000
    assert len(wire.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
async def test_a_reading_that_the_platform_refuses_is_not_repeated(status: int) -> None:
    async with serving(problem(status, code="not_found")) as wire, client(wire.url) as watched:
        error = await fails(watched.platform, "GET")
    assert isinstance(error, Rejected)
    assert (error.status, len(wire.requests)) == (status, 1)


async def until(condition: Callable[[], bool]) -> None:
    """Wait, at most ten seconds, until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (a condition has no event to wait for)
            await asyncio.sleep(0.002)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_the_system_gives_up_sending_when_the_call_does() -> None:
    address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 9))
    with persistent(2.5)(address) as made:
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2500
