"""Notebooks that ran out of memory: how that is seen, and what to lower."""

import re
from collections.abc import Iterable
from dataclasses import replace

from lmlib.course.execution import KILLED, Failure
from lmlib.course.notebooks import Notebook
from lmlib.course.parameters import parameters_of

RAISED = re.compile(r"\b_?\w*(OutOfMemoryError|MemoryError)\b|can't allocate memory|out of memory", re.IGNORECASE)
NO_SIZE = ("profile", "device", "seed")  # parameters that every notebook has


def with_advice(failure: Failure, nb: Notebook, given: dict[str, object], jobs: int) -> Failure:
    """The failure; where memory ran out, in torch, in Python or on the machine, with what to lower."""
    was_killed = KILLED in failure.message
    if not was_killed and not RAISED.search(failure.message):
        return failure
    advice = ", or ".join(_advice(parameters_of(nb) or {}, given, jobs))
    start = f"{failure.message.rstrip('. ')}. " + ("It probably ran out of memory" if was_killed else "Out of memory")
    return replace(failure, message=f"{start}: {advice}")


def _advice(known: Iterable[str], given: dict[str, object], jobs: int) -> list[str]:
    sizes = [name for name in known if name not in NO_SIZE]
    found = [f"give a smaller {' or '.join(sizes)} (-p NAME VALUE)"] if sizes else []
    if given.get("profile") == "full":
        found.append("use --profile quick")
    if jobs > 1:
        found.append(f"run fewer than {jobs} notebooks at once (--jobs, or --devices)")
    found.append("lower the batch size or the length in the notebook" if not sizes else "take a machine with more")
    return found
