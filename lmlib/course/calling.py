"""A student's function called on inputs: what it returns, or what it raises and where."""

import linecache
from collections.abc import Callable
from typing import Any

from lmlib.course.plain_data import Outcome

UNWRITTEN = "not written yet: the line with `raise NotImplementedError()` is still there"


def call(function: Callable, inputs: dict[str, Any]) -> Outcome:
    """Call a student's function by keyword. An exception becomes an outcome that shows the student's line."""
    if not callable(function):
        return Outcome(raised="TypeError", sentence=f"expected a function; got {type(function).__name__}")
    try:
        return Outcome(function(**inputs))
    except NotImplementedError:
        return Outcome(raised="NotImplementedError", sentence=UNWRITTEN)
    except (Exception, SystemExit) as error:
        return Outcome(raised=type(error).__name__, sentence=_exception_sentence(error, function))


def _exception_sentence(error: BaseException, function: Callable) -> str:
    """The exception and the last line of the student's own that it passed through."""
    what = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    if file is None or line is None:
        return what
    return f"{what}; in line {line} of the answer: `{linecache.getline(file, line).strip()}`"
