"""The secret of a course: hidden inputs are drawn from it, and drawn again the same when a submission is regraded."""

import os
import secrets
from pathlib import Path

from lmlib.course.errors import CourseError

BYTES = 32


def read_or_make(path: Path) -> bytes:
    """The secret in a file that only its owner can read; a new one when there is no such file.

    Raises CourseError when the file holds something else.
    """
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(BYTES) + "\n")
    try:
        secret = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != BYTES:
        raise CourseError(f"{path}: this is no secret of a course ({2 * BYTES} hexadecimal digits); name another file")
    return secret
