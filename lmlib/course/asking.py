"""How a student's answer is asked: what comes of it on some inputs. The same in a notebook, and outside of it."""

from collections.abc import Callable
from typing import Any

from lmlib.course.calling import call
from lmlib.course.figures import draw
from lmlib.course.plain_data import Outcome
from lmlib.course.steps import use

WAYS: dict[str, Callable[[Any, dict[str, Any]], Outcome]] = {"call": call, "use": use, "draw": draw}


def ask(way: str, answer: Any, inputs: dict[str, Any]) -> Outcome:
    """The outcome of a function that is called, a class that is used, or a function that draws."""
    return WAYS[way](answer, inputs)
