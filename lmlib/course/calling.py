"""A student's code called: what comes of it, or what it raises and where."""

import inspect
import linecache
from collections.abc import Callable
from typing import Any

from lmlib.course.plain_data import Outcome

UNWRITTEN = "not written yet: the line with `raise NotImplementedError()` is still there"


def call(function: Callable, inputs: dict[str, Any]) -> Outcome:
    """Call a student's function by keyword. An exception becomes an outcome that shows the student's line."""
    if not callable(function):
        return Outcome(raised="TypeError", sentence=f"expected a function; got {type(function).__name__}")
    return outcome_of(lambda: function(**inputs), function)


def outcome_of(work: Callable[[], Any], answer: Any) -> Outcome:
    """What some work with a student's function or class gives, or raises."""
    try:
        return Outcome(work())
    except NotImplementedError as error:  # torch raises it too, with a text
        sentence = _exception_sentence(error, answer) if str(error) else UNWRITTEN
        return Outcome(raised="NotImplementedError", sentence=sentence)
    except (Exception, SystemExit) as error:
        return Outcome(raised=type(error).__name__, sentence=_exception_sentence(error, answer))


def _exception_sentence(error: BaseException, answer: Any) -> str:
    """The exception and the last line of the student's own that it passed through."""
    what = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    file, line, trace = _file_of(answer), None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    if line is None and isinstance(error, TypeError) and "argument" in what:
        return f"{what}; keep the names of the arguments as they were given"
    if file is None or line is None:
        return what
    return f"{what}; in line {line} of the answer: `{linecache.getline(file, line).strip()}`"


def _file_of(answer: Any) -> str | None:
    """Where a function was written, or the first method of a class, below decorators such as `torch.no_grad()`."""
    written = [answer, *(vars(answer).values() if isinstance(answer, type) else ())]
    written = [inspect.unwrap(each) if callable(each) else each for each in written]
    files = (getattr(getattr(each, "__code__", None), "co_filename", None) for each in written)
    return next(filter(None, files), None)
