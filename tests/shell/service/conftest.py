"""One stage for each module: its shoppers do not meet, every one has an upstream id of its own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.shell.service.stage import Stage, staged


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """On SQLite, unless the module asks for `BOTH`."""
    settings = {}
    if getattr(request, "param", "sqlite") == "postgres":
        settings["DATABASE_URL"] = request.getfixturevalue("postgres").fresh(migrated=False)
    async with staged(tmp_path_factory.mktemp("service"), **settings) as found:
        yield found
