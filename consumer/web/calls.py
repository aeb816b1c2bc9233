"""What all `/v1` calls share: token, scope, query, and reading and writing the store in time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consumer.events import field_name
from consumer.settings.values import Token
from consumer.store.engine import Job, StoreUnavailable
from consumer.web.auth import authenticated, require
from consumer.web.deps import Deps
from consumer.web.problems import Problem, bad_field, unavailable
from schemas.requests import IDENTIFIER

T = TypeVar("T")
STORE_SECONDS = 10.0  # an answer that takes longer is not worth waiting for
LONGEST_ID = 255
_ID = re.compile(IDENTIFIER)
_LIMIT = re.compile(r"[1-9][0-9]?|100")


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated request. `query` holds only names that the operation knows."""

    request: Request
    token: Token
    query: Mapping[str, str]

    @property
    def shop(self) -> bool:
        """Whether the caller may only see what shops may see."""
        return self.token.scope == "shop"

    @property
    def id(self) -> str:
        """The id in the path. Raises Problem 404 for what can't be one."""
        id: str = self.request.path_params["id"]
        if len(id) > LONGEST_ID or not _ID.fullmatch(id):
            raise not_found()
        return id


Handler = Callable[[Deps, Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a path: who may call it and which query parameters it has."""

    handler: Handler
    scopes: frozenset[str]
    query: frozenset[str] = field(default=frozenset())


def resource(deps: Deps, path: str, operations: Mapping[str, Operation]) -> Route:
    """A route that authenticates, checks scope, Accept and query, and then calls."""

    async def answer(request: Request) -> Response:
        operation = operations["GET" if request.method == "HEAD" else request.method]
        token = authenticated(request, deps.tokens)
        require(token, operation.scopes)
        require_acceptable(request)
        query = _query(request, operation.query)
        response = await operation.handler(deps, Call(request, token, query))
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return Route(path, answer, methods=list(operations))


def require_acceptable(request: Request) -> None:
    """Raises Problem 406 when the caller refuses JSON in every form."""
    accept = request.headers.get("accept", "")
    ranges = [_media_range(entry) for entry in accept.split(",") if entry.strip()]
    if ranges and not any(
        media in ("*/*", "application/*", "application/json", "application/problem+json")
        and weight > 0
        for media, weight in ranges
    ):
        raise Problem(406, "answers are application/json")


def _media_range(entry: str) -> tuple[str, float]:
    media, *parameters = (part.strip().lower() for part in entry.split(";"))
    weight = next((p[2:].strip() for p in parameters if p.startswith("q=")), "1")
    try:
        return media, float(weight)
    except ValueError:
        return media, 1.0


def _query(request: Request, known: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        where = field_name((name,)) or "query"
        if name not in known:
            raise bad_field(where, "is not a query parameter of this call")
        if name in found:
            raise bad_field(where, "is there more than once")
        if len(value) > LONGEST_ID or not _ID.fullmatch(value):
            raise bad_field(where, f"must be 1 to {LONGEST_ID} characters and no control ones")
        found[name] = value
    return found


def page_limit(call: Call) -> int:
    """`limit`, 1 to 100, 10 if it is not there."""
    text = call.query.get("limit", "10")
    if not _LIMIT.fullmatch(text):
        raise bad_field("limit", "must be a whole number from 1 to 100")
    return int(text)


def not_found() -> Problem:
    """404 that does not repeat what was asked for."""
    return Problem(404, "there is no such resource")


async def write(deps: Deps, job: Job[T]) -> T:
    """Run a job of a caller who waits. Raises Problem 503; a late commit is possible."""
    return await _in_time(deps.store.write(job))


async def read(deps: Deps, job: Job[T]) -> T:
    """Read for a caller who waits. Raises Problem 503."""
    return await _in_time(deps.store.read(job))


async def look(deps: Deps, job: Job[T]) -> T:
    """Read with one statement for a caller who waits. Raises Problem 503."""
    return await _in_time(deps.store.look(job))


async def _in_time(work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(STORE_SECONDS):
            return await work
    except (StoreUnavailable, TimeoutError):
        raise unavailable("the store can't answer now") from None


def json_response(
    model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A model as JSON under its camelCase names."""
    content = model.model_dump_json(by_alias=True)
    return Response(content, status, dict(headers or {}), "application/json")
