"""Hypothesis profiles: `ci` is the default, `nightly` digs deeper (HYPOTHESIS_PROFILE=nightly)."""

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

from tests.services import NEEDS

pytest_plugins = ("tests.services.databases",)

# No deadline and no too_slow: shared machines stall for reasons that are not ours.
settings.register_profile(
    "ci",
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile(
    "nightly",
    max_examples=2000,
    derandomize=False,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last lines say plainly what was not run for want of a service, and why."""
    wanting: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else "")
        if reason.startswith(f"Skipped: {NEEDS}"):
            wanting[reason.removeprefix("Skipped: ")] += 1
    for reason, tests in sorted(wanting.items()):
        terminalreporter.write_line(f"NOT RUN: {tests} tests: {reason}", yellow=True)
