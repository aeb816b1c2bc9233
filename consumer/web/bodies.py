"""Request bodies: size, media type, JSON, depth, and characters that databases refuse."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from consumer.web.problems import Problem, bad_field, bad_fields, field_name

LIMIT = 1024 * 1024  # bytes
DEPTH = 64  # containers inside one another
READ_SECONDS = 10.0

Model = TypeVar("Model", bound=BaseModel)
Path = tuple[Any, ...]  # (parent path, name): a list is only made of the one that is reported


def require_json(request: Request) -> None:
    """415 unless the body says that it is JSON, not compressed."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise Problem(415, "the Content-Type must be application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "the body must not be compressed")


async def read(request: Request, seconds: float = READ_SECONDS) -> bytes:
    """The body. 413 as soon as it is known to be too long, 408 if it takes more `seconds`."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced[:20]) > LIMIT:
        raise _too_long()
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > LIMIT:
                    raise _too_long()
                chunks.append(chunk)
    except TimeoutError:
        raise Problem(408, "the body did not arrive in time") from None
    return b"".join(chunks)


def _too_long() -> Problem:
    return Problem(413, f"the body must not exceed {LIMIT} bytes")


async def validated(request: Request, model: type[Model], *, optional: bool = False) -> Model:
    """The body as `model`. `optional`: no body counts as `{}`. Problems name the fields."""
    raw = await read(request)
    if optional and not raw:
        raw = b"{}"
    else:
        require_json(request)
    return as_model(parse(raw), model)


def as_model(value: Any, model: type[Model], prefix: tuple[str, ...] = ()) -> Model:
    """Strictly validate parsed JSON by its camelCase names; `prefix` leads the reported paths."""
    refuse_hostile(value, prefix)
    try:
        return model.model_validate(value, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise bad_fields(error, prefix) from None


def parse(raw: bytes) -> Any:
    """JSON. 400 for anything else: empty, not UTF-8, lone surrogates, NaN, nested too deep."""
    if not raw.strip():
        raise bad_field("", "must not be empty")
    try:
        return from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        words = str(error)
        if "recursion limit" in words:
            raise _too_deep("") from None
        raise bad_field("", f"is not JSON in UTF-8: {words}") from None


def refuse_hostile(value: Any, prefix: tuple[str, ...] = ()) -> None:
    """400 for what can't be stored or written again: depth, NUL, numbers beyond a double."""
    for path, item, depth in _walk(value):
        if depth > DEPTH:
            raise _too_deep(field_name((*prefix, *_names(path)[:4])))
        problem = _hostile(item)
        if problem:
            raise bad_field(field_name((*prefix, *_names(path))), problem)


def _hostile(item: Any) -> str | None:
    if isinstance(item, str):
        return "must not contain NUL characters" if "\0" in item else None
    if isinstance(item, dict):
        return "has a name with NUL characters" if any("\0" in name for name in item) else None
    if isinstance(item, float) and not math.isfinite(item):
        return "is too large a number"
    return None


def _walk(root: Any) -> Iterator[tuple[Path, Any, int]]:
    stack: list[tuple[Path, Any, int]] = [((), root, 0)]
    while stack:
        path, item, depth = stack.pop()
        inside = depth + 1 if isinstance(item, dict | list) else depth
        yield path, item, inside
        if isinstance(item, dict):
            stack.extend(((path, name), value, inside) for name, value in item.items())
        elif isinstance(item, list):
            stack.extend(((path, index), value, inside) for index, value in enumerate(item))


def _names(path: Path) -> list[str | int]:
    names: list[str | int] = []
    while path:
        path, name = path
        names.append(name)
    return names[::-1]


def _too_deep(path: str) -> Problem:
    return bad_field(path, f"is nested more than {DEPTH} levels deep")
