"""Several frames as one; a frame that is missing is None."""

from collections.abc import Sequence
from typing import Any

from lmlib.course.warm.frames import Frame


def join(frames: Sequence[Frame | None], **header: Any) -> Frame:
    """One frame with the headers and lengths of several, and their bytes in a row."""
    parts = [None if frame is None else [frame.header, len(frame.data)] for frame in frames]
    return Frame({**header, "parts": parts}, b"".join(frame.data for frame in frames if frame))


def split(frame: Frame) -> list[Frame | None]:
    """The frames that were joined."""
    made: list[Frame | None] = []
    position = 0
    for part in frame.header["parts"]:
        if part is None:
            made.append(None)
            continue
        header, length = part
        made.append(Frame(header, frame.data[position : position + length]))
        position += length
    return made
