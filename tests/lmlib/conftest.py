"""A seed drawn anew at each run: printed when the test fails, replayed with `--seed`."""

import os

import pytest


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """An integer that the test draws everything from; pytest shows the printed line of a test that fails."""
    given = request.config.getoption("--seed", default=None)
    drawn = int.from_bytes(os.urandom(4), "big") if given is None else int(given)
    print(f"seed {drawn}: replay with --seed {drawn}")
    return drawn
