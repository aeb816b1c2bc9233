"""Waiting for processes, with a deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.bench.wrk import Broken


async def until(condition: Callable[[], Any], seconds: float, what: str, every: float = 0.1) -> Any:
    """What the condition returns once it is true. Raises Broken."""
    try:
        async with asyncio.timeout(seconds):
            while not (found := await _asked(condition)):  # noqa: ASYNC110  # the deadline is above
                await asyncio.sleep(every)
            return found
    except TimeoutError:
        raise Broken(f"not within {seconds:g} s: {what}") from None


async def _asked(condition: Callable[[], Any]) -> Any:
    found = condition()
    return await found if isinstance(found, Awaitable) else found
