"""Hypothesis profiles: `ci` is the default, `nightly` digs deeper (HYPOTHESIS_PROFILE=nightly)."""

import os

from hypothesis import HealthCheck, settings

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
