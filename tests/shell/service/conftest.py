"""One stage for each module: its shoppers do not meet, every one has an upstream id of its own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.shell.service.stage import Stage, staged


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("service")) as found:
        yield found
