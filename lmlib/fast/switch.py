"""The one switch for all fast paths."""

import os

SWITCH = "LMLIB_FAST"


def is_on() -> bool:
    """Whether the switch lets fast paths run."""
    return os.environ.get(SWITCH, "1") != "0"
