"""A bar for a person who waits; nothing in a log, and nothing in a notebook that a program runs."""

import os
import sys

from tqdm import tqdm


def progress_bar(start: int, steps: int, is_first: bool = True) -> tqdm:
    """A bar over the steps of a run, from `start` on, in the first of its processes; it disappears when it is done."""
    return tqdm(total=steps, initial=start, unit="step", leave=False, disable=not (is_first and is_watched()))


def is_watched() -> bool:
    """Whether a person sees stderr: at a terminal, or in a notebook that Jupyter's server opened for one.

    The server names the notebook in JPY_SESSION_NAME; papermill, nbclient and nbval start kernels without it.
    TQDM_DISABLE, when set, means no.
    """
    if os.environ.get("TQDM_DISABLE"):
        return False
    if "ipykernel" in sys.modules:
        return "JPY_SESSION_NAME" in os.environ
    return sys.stderr.isatty()
