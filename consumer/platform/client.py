"""Calls to the platform: budget, headers, time limits, repeats of readings, classification."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx

from consumer.clock import Clock
from consumer.errors import OutcomeUnknown, PlatformError, Unavailable
from consumer.observe import tracing
from consumer.platform.address import base_url
from consumer.platform.answers import Answer, judge_mutation, judge_reading
from consumer.platform.calls import Call, Headers, call, ignore
from consumer.platform.limiter import Limiter, Priority, Turn
from consumer.platform.paths import ImpossiblePath, route
from consumer.platform.wire import Cut, exchange, transport, visible

READ_ATTEMPTS = 3
_BACKOFF = 0.2  # seconds before the second attempt; doubles
_PAUSE = 1.0  # seconds after a 429 that does not say how long
_TURN = 0.5  # seconds; turns that are kept for longer would be used in a burst

Params = Mapping[str, str | int | Sequence[str]]


@dataclass(frozen=True)
class Platform:
    """The commerce platform's API, as JSON.

    `timeout` bounds one exchange from connecting to the last byte, in seconds; `patience` bounds
    the wait for rate budget before it. At most `connections` are open at once; waiting for one
    counts as connecting. A GET, repeats included, takes at most both together. Use
    it as an async context manager: it owns a pool of connections.

    Raises ValueError for an address that is neither https nor loopback, and for a key or version
    that can't be sent in a header. `observe` must not raise.
    """

    url: str
    key: str = field(repr=False)
    limiter: Limiter
    clock: Clock
    version: str = "2021-12-13"
    timeout: float = 30.0
    patience: float = 10.0
    application: str = "order-rescue/0"
    connections: int = 100
    observe: Callable[[Call], None] = ignore
    rng: random.Random = field(default_factory=random.Random, repr=False)
    client: httpx.AsyncClient = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not _is_token(self.key) or not _is_token(self.version):
            raise ValueError("the platform's key and version are printable ASCII without spaces")
        headers = {
            "authorization": f"Bearer {self.key}",
            "digitalriver-version": self.version,
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": visible(self.application),
            "upstream-application-id": visible(self.application),
        }
        # No limits in httpx itself: `exchange` bounds the whole. No proxies: they would hide
        # what was sent.
        client = httpx.AsyncClient(
            transport=transport(self.connections, self.timeout),
            headers=headers,
            timeout=None,
            trust_env=False,
        )
        object.__setattr__(self, "url", base_url(self.url))
        object.__setattr__(self, "client", client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.client.aclose()

    async def get(
        self,
        path: str,
        params: Params | None = None,
        *,
        upstream_id: str | None = None,
        session_id: str | None = None,
        forwarded: str | None = None,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Answer:
        """GET, repeated a few times within the time limit.

        Raises Rejected (the platform's own 4xx; 404: no such thing) or Unavailable.
        """
        headers = Headers(visible(upstream_id or "") or self.fresh_id(), session_id, forwarded)
        request = self._request("GET", path, headers, params=params)
        deadline = self.clock.monotonic() + self.patience + self.timeout
        for attempt in range(1, READ_ATTEMPTS + 1):
            left = deadline - self.clock.monotonic()
            share = min(self.timeout, left) / (READ_ATTEMPTS + 1 - attempt)
            try:
                return await self._attempt(request, priority, share, deadline - share)
            except Unavailable as error:
                pause = self._backoff(attempt, error.retry_after)
                if attempt == READ_ATTEMPTS or self.clock.monotonic() + pause >= deadline:
                    raise
            await self.clock.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        upstream_id: str | None = None,
        session_id: str | None = None,
        forwarded: str | None = None,
        priority: Priority = Priority.INTERACTIVE,
        send_by: float = math.inf,
        turn: Turn | None = None,
    ) -> Answer:
        """Change something at the platform: one attempt, never a repeat.

        `send_by` is a moment of `clock.monotonic()`: if no budget comes by then, nothing is sent
        and Unavailable is raised. A fresh `turn` is budget that was waited for before. Raises
        Rejected, Unavailable (certainly not processed) or OutcomeUnknown (I6); ValueError for a
        body that is not JSON, or for a GET.
        """
        if method not in ("POST", "PUT", "PATCH", "DELETE"):
            raise ValueError("a change is a POST, PUT, PATCH or DELETE")
        headers = Headers(visible(upstream_id or "") or self.fresh_id(), session_id, forwarded)
        request = self._request(method, path, headers, body=body)
        return await self._attempt(request, priority, self.timeout, send_by, turn)

    async def turn(self, priority: Priority) -> Turn:
        """Wait for the budget of one call. Raises Unavailable."""
        arrived = self.clock.monotonic()
        if refusal := await self._no_budget(priority, math.inf):
            raise refusal
        now = self.clock.monotonic()
        return Turn(now + _TURN, now - arrived)

    def fresh_id(self) -> str:
        """A new `upstream-id`: 32 hexadecimal digits."""
        return f"{self.rng.getrandbits(128):032x}"

    def _request(
        self,
        method: str,
        path: str,
        headers: Headers,
        params: Params | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> httpx.Request:
        if not path.startswith("/") or set("?#") & set(path) or ".." in path.split("/"):
            raise ValueError("a path of the platform starts with / and holds no query")
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        try:
            return self.client.build_request(
                method,
                self.url + path,
                headers=headers.named() | tracing.headers(),
                params=params,
                content=content,
                extensions={"route": route(path)},
            )
        except httpx.InvalidURL as error:  # a filter that is too long
            raise ImpossiblePath("no URL can carry this") from error

    async def _attempt(
        self,
        request: httpx.Request,
        priority: Priority,
        limit: float,
        send_by: float,
        turn: Turn | None = None,
    ) -> Answer:
        arrived = started = self.clock.monotonic()
        verdict: Answer | PlatformError | None = None
        try:
            verdict = await self._no_budget(priority, send_by, turn)
            started = self.clock.monotonic()
            if verdict is None:
                verdict = await self._verdict(request, limit)
        finally:
            waited, seconds = started - arrived, self.clock.monotonic() - started
            before = turn.waited if turn else 0.0
            self.observe(call(request, verdict, seconds, waited + before))
        if isinstance(verdict, PlatformError):
            raise verdict
        return verdict

    async def _no_budget(
        self, priority: Priority, send_by: float, turn: Turn | None = None
    ) -> Unavailable | None:
        """Wait for rate budget; what to raise if none came in time, or can't come."""
        now, shut = self.clock.monotonic(), self.limiter.shut()
        patience = min(self.patience, send_by - now)
        if shut > patience:
            return Unavailable(reason="no rate budget in time", retry_after=shut)
        if turn is None or now > turn.until or shut:
            try:
                async with asyncio.timeout(patience):
                    await self.limiter.acquire(priority)
            except TimeoutError:
                return Unavailable(reason="no rate budget in time")
        if self.clock.monotonic() > send_by:
            return Unavailable(reason="too late to be sent")
        return None

    async def _verdict(self, request: httpx.Request, limit: float) -> Answer | PlatformError:
        started = self.clock.monotonic()
        try:
            reply = await exchange(self.client, request, limit, self.clock.now())
        except Cut as cut:
            if cut.reply is None or cut.reply.status != 429:
                return _after_cut(request, cut)
            reply = cut.reply  # a 429 is not processed, whatever became of its body
        if reply.status == 429:
            self.limiter.pause(reply.retry_after or _PAUSE)
        seconds = self.clock.monotonic() - started
        if request.method == "GET":
            return judge_reading(reply, seconds=seconds)
        submission = (request.method, request.extensions["route"]) == ("POST", "/orders")
        return judge_mutation(reply, submission=submission, seconds=seconds)

    def _backoff(self, attempt: int, asked: float | None) -> float:
        jittered = _BACKOFF * 2.0 ** (attempt - 1) * self.rng.uniform(0.5, 1.5)
        return max(jittered, asked or 0.0)


def _is_token(text: str) -> bool:
    return bool(text) and all("!" <= char <= "~" for char in text)


def _after_cut(request: httpx.Request, cut: Cut) -> PlatformError:
    status = None if cut.reply is None else cut.reply.status
    request_id = None if cut.reply is None else cut.reply.request_id
    kind = OutcomeUnknown if cut.begun and request.method != "GET" else Unavailable
    error = kind(status=status, request_id=request_id, reason=cut.reason)
    error.__cause__ = cut
    return error
