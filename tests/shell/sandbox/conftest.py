"""A sandbox on a real socket for each test, and a shop that uses it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from deploy.sandbox.server import Options, running
from tests.shell.sandbox.shop import Receiver, Shop, receiving

KEY = "sk_live_shop"


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with (
        running(Options(keys=(KEY,), seed=7)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers={"Authorization": f"Bearer {KEY}"}) as http,
    ):
        yield Shop(sandbox, http)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found
