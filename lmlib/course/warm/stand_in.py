"""`lmlib.course.checks` in a process that is graded from outside: its names can be imported, and check nothing."""

import sys
from types import ModuleType
from typing import Any

NAME = "lmlib.course.checks"


def install() -> None:
    """Put the stand-in where an import finds it."""
    module = ModuleType(NAME)
    module.__dict__.update(check=check, hint=hint)
    sys.modules[NAME] = module


def check(assignment: str, question: str, *function: Any, **values: Any) -> None:
    """The check of an answer, which is made by the grader."""
    print(f"{question}: checked by the grader")


def hint(assignment: str, question: str, step: int = 1) -> None:
    """Hints are for learning; none is given here."""
    print(f"{question}: no hints here")
