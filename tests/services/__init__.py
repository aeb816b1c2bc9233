"""Real services for tests: named by a variable, found on this machine, or not there.

Nothing is fetched here (`make services` does that), and nothing but loopback is reached.
"""

import os
from typing import NoReturn

import pytest

NEEDS = "needs "


def unavailable(service: str, why: str) -> NoReturn:
    """The test can't run for want of a service: in CI a failure, elsewhere told at the end."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{NEEDS}{service}: {why}", pytrace=False)
    pytest.skip(f"{NEEDS}{service}: {why}")
