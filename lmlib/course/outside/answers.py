"""A child's answer before it goes on to the checker, whose own limits it must not reach."""

import json
from typing import Any

from lmlib.course.warm.frames import Frame

HEADER, DATA = 1 << 20, 4 << 20  # bytes
DEPTH = 24


def limited(answer: Frame) -> Frame:
    """The answer, or one that says that it is too large."""
    if len(answer.data) > DATA or _depth(answer.header) > DEPTH or len(json.dumps(answer.header)) > HEADER:
        return Frame({"raised": "ValueError", "sentence": "the result is far too large to be compared"})
    return answer


def _depth(value: Any) -> int:
    """How deep lists and dicts lie in each other, looked at level by level: a deep one must not exhaust the stack."""
    level, depth = [value], 0
    while level and depth <= DEPTH:
        inner = [list(item.values()) if isinstance(item, dict) else item for item in level]
        level = [part for item in inner if isinstance(item, list) for part in item]
        depth += 1
    return depth
