"""A child's answer before it goes on to the checker, whose own limits it must not reach."""

import json

from lmlib.course.warm.frames import Frame, is_deep

HEADER, DATA = 1 << 20, 4 << 20  # bytes
DEPTH = 24


def limited(answer: Frame) -> Frame:
    """The answer, or one that says that it is too large."""
    if len(answer.data) > DATA or is_deep(answer.header, DEPTH) or len(json.dumps(answer.header)) > HEADER:
        return Frame({"raised": "ValueError", "sentence": "the result is far too large to be compared"})
    return answer
