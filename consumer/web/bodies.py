"""Request bodies: size, media type and time; what is in them is read by `consumer.events`."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from consumer.events import LIMIT, Model, as_model, parse
from consumer.web.problems import Problem

READ_SECONDS = 10.0


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
    """The body as `model`. `optional`: no body counts as `{}`. Raises Malformed."""
    raw = await read(request)
    if optional and not raw:
        raw = b"{}"
    else:
        require_json(request)
    return as_model(parse(raw), model)
