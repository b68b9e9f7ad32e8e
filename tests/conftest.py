"""Fixtures and defaults of all tests. Tests that need a broker live in `integration/` and take its fixtures."""

import os

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import engine

# Before the first test imports Polars: two test processes with a thread pool each per core would only wait.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

# Shared machines stall for a quarter of a second now and then: time is no property of the code under test.
settings.register_profile("plantweave", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("plantweave")

# Hypothesis may make a finding smaller for five minutes; after two the time limit of tests would end the process, and
# the finding with it.
engine.MAX_SHRINKING_SECONDS = 45
