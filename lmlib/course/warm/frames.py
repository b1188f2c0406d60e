"""Messages over a stream: a JSON header and raw bytes, both of a capped length. No other form of data is read."""

import json
import struct
from dataclasses import dataclass
from typing import Any, Protocol

from lmlib.course import safe_json

LENGTHS = struct.Struct("<II")  # of the header and of the bytes after it
HEADER_CAP = 16 << 20
BYTES_CAP = 64 << 20
DEPTH = 64  # of lists and dicts in each other: whoever walks through them must not run out of stack


class FrameError(Exception):
    """What came is no frame: too long, no JSON object, or cut off."""


class Readable(Protocol):
    """What frames are read from: a socket."""

    def recv(self, size: int, /) -> bytes:
        """Read up to `size` bytes; none at the end."""


class Writable(Protocol):
    """What frames are written to: a socket."""

    def sendall(self, data: bytes, /) -> None:
        """Write all bytes."""


@dataclass(frozen=True)
class Frame:
    """One message."""

    header: dict[str, Any]
    data: bytes = b""


def send(stream: Writable, header: dict[str, Any], data: bytes = b"") -> None:
    """Write one frame."""
    text = json.dumps(header).encode()
    stream.sendall(LENGTHS.pack(len(text), len(data)) + text + data)


def receive(stream: Readable, header_cap: int = HEADER_CAP) -> Frame | None:
    """Read one frame; None when the stream has ended between two. Raises FrameError, or what the stream raises."""
    head = _read(stream, LENGTHS.size, at_start=True)
    if head is None:
        return None
    header_length, length = LENGTHS.unpack(head)
    if header_length > header_cap or length > BYTES_CAP:
        raise FrameError(
            f"a frame of {header_length} and {length} bytes; at most {header_cap} and {BYTES_CAP} are read"
        )
    text, data = _read(stream, header_length), _read(stream, length)
    try:
        header = safe_json.loads((text or b"").decode())
    except ValueError as error:
        raise FrameError(f"a frame without JSON: {type(error).__name__}") from None
    if not isinstance(header, dict) or is_deep(header, DEPTH):
        raise FrameError("a frame whose header is no JSON object, or one that is too deep")
    return Frame(header, data or b"")


def is_deep(value: Any, most: int) -> bool:
    """Whether lists and dicts lie deeper than this in each other; looked at level by level."""
    level = [value]
    for _ in range(most):
        inner = [list(item.values()) if isinstance(item, dict) else item for item in level]
        level = [part for item in inner if isinstance(item, list) for part in item]
    return bool(level)


def _read(stream: Readable, size: int, *, at_start: bool = False) -> bytes | None:
    parts, missing = [], size
    while missing:
        part = stream.recv(min(missing, 1 << 20))
        if not part:
            if at_start and missing == size:
                return None
            raise FrameError(f"the stream ended {missing} bytes before the end of a frame")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
