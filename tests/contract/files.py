"""Where the vendor's files are. None of them is part of this project."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "TEST_ORDER_RESCUE_VENDOR_FILES"


def folder() -> Path | None:
    """The folder that the environment names, if it holds what the tests need."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    found = Path(named)
    complete = (found / "examples").is_dir() and next(found.glob("openapi*.json"), None)
    return found if complete else None


def openapi(folder: Path) -> Path:
    """The newest version of the OpenAPI document."""
    return max(folder.glob("openapi*.json"))


def examples(kind: str) -> list[str]:
    """Names of the examples of a kind, for parameters; one nameless one if there are none, so
    that a test is there to be skipped or to fail."""
    found = folder()
    files = (found / "examples" / kind).glob("*.json") if found else ()
    return sorted(file.name for file in files) or ["none"]
