"""The web tests' service."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from consumer.store.migrate import migrate
from consumer.store.sqlite import sqlite_engine
from tests.shell.web.service import Running, Service, running


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, to be copied."""
    path = tmp_path_factory.mktemp("web") / "empty.db"
    engine = sqlite_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture(name="running")
def _running(tmp_path: Path, empty: Path) -> Running:
    """Starts services: `async with running(webhook=…) as service`."""
    shutil.copy(empty, tmp_path / "web.db")
    return partial(running, tmp_path / "web.db")


@pytest.fixture
async def service(running: Running) -> AsyncIterator[Service]:
    async with running() as started:
        yield started
