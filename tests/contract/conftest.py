"""The vendor's files, and what was said at the wire: once for every test that asks for it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from deploy.sandbox.server import Options, running
from tests.contract import drive, stories
from tests.contract.files import VARIABLE, folder, openapi
from tests.contract.recorder import Exchange, recording
from tests.contract.vendor import Document
from tests.shell.sandbox.shop import Shop

KEY = "sk_live_contract"


@pytest.fixture(scope="session")
def vendor() -> Path:
    """The folder with the vendor's files. Skips without one; in CI a wrong one is a failure."""
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names no folder with the vendor's OpenAPI file and examples")
    found = folder()
    if found is None:
        text = f"{VARIABLE}: no openapi*.json or no examples/ in {os.environ[VARIABLE]}"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return found


@pytest.fixture(scope="session")
def document(vendor: Path) -> Document:
    return Document.of(openapi(vendor).read_bytes())


@pytest.fixture(scope="session")
def told(vendor: Path) -> list[Exchange]:
    """Everything that the sandbox can say."""
    return asyncio.run(_told())


async def _told() -> list[Exchange]:
    options = Options(keys=(KEY,), seed=7, rate=5000.0)
    async with (
        running(options) as sandbox,
        recording(sandbox.url) as recorder,
        drive.shop_at(recorder.url, KEY) as http,
    ):
        await drive.everything(Shop(sandbox, http))
        return recorder.platform()


@pytest.fixture(scope="session")
def asked(vendor: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Exchange]:
    """Everything that our service asks the platform."""
    return asyncio.run(stories.everything(tmp_path_factory.mktemp("asked")))
