"""A submission's file, before anything of it runs: its size, its form, its hash."""

import hashlib
import os
import stat
from pathlib import Path

from lmlib.course import submission
from lmlib.course.notebooks import Notebook
from lmlib.course.outside.limits import Limits
from lmlib.course.submission import SubmissionError


def read(path: Path, limits: Limits) -> tuple[Notebook, str]:
    """The notebook and the SHA-256 of its bytes. Raises SubmissionError with what is wrong with it."""
    _require_plain_file(path, limits)
    nb = submission.read(path)
    if len(nb["cells"]) > limits.cells:
        raise SubmissionError(f"{path}: {len(nb['cells'])} cells; at most {limits.cells} are graded")
    return nb, hashlib.sha256(path.read_bytes()).hexdigest()


def _require_plain_file(path: Path, limits: Limits) -> None:
    try:
        found = os.lstat(path)
    except OSError as error:
        raise SubmissionError(f"{path}: it cannot be read ({error.strerror})") from None
    if stat.S_ISLNK(found.st_mode):
        raise SubmissionError(f"{path}: this is a link, not a file; hand in the notebook itself")
    if not stat.S_ISREG(found.st_mode):
        raise SubmissionError(f"{path}: this is no file")
    if found.st_size > limits.notebook:
        size, most = found.st_size / 2**20, limits.notebook / 2**20
        raise SubmissionError(f"{path}: {size:.0f} MiB; a notebook of at most {most:g} MiB is read: clear its outputs")
