"""The OpenAPI document is true: schemathesis drives the running service from it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from openapi_schema_validator import OAS31Validator

from consumer.web.openapi import described
from tests.shell.service.serving import OPS
from tests.shell.service.stage import Stage, staged

SECONDS = 300.0
EXAMPLES = "12"  # of fuzzing, for each operation; boundary values come on top
# With a token of every scope nothing is forbidden; what scopes forbid has tests of its own.
# NUL characters are refused anywhere in a body, which a schema can't say of free objects.
CONFIG = """
[generation]
allow-x00 = false

[parameters]
"path.id" = "{id}"
"header.Prefer" = "wait=0"
"""


async def schemathesis(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and report of a run."""
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), *arguments),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            report, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, report.decode()


async def driven(folder: Path, stage: Stage, id: str) -> None:
    """Every check on every operation, with this id in the paths; fails with the report."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG.format(id=id))
    code, report = await schemathesis(
        folder,
        *("--config-file", str(config), "run", f"{stage.service.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {OPS}", "--checks", "all"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES),
        *("--seed", "1", "--no-color", "--workers", "2"),
    )
    assert code == 0, report


async def test_every_operation_does_what_the_document_says(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        checkout = await stage.checkout()
        purchase = await stage.call("POST", "/v1/purchases", {"checkoutId": checkout.id})
        await driven(tmp_path, stage, purchase.json()["id"])
        assert not [line for line in stage.service.lines() if line["event"] == "request_failed"]


@pytest.mark.parametrize("name", sorted(described()["components"]["schemas"]))
def test_every_schema_is_one(name: str) -> None:
    OAS31Validator.check_schema(described()["components"]["schemas"][name])
