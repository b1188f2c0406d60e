"""A hash of files, by which a change of the book or of lmlib is seen, on this machine or between two of them."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]  # the folder of lmlib
CODE = (".py", ".yml", ".json", ".txt")  # .txt: words and patterns of the small world


def of(files: Iterable[Path]) -> str:
    """SHA-256 over the names and the content of files, in the order given; their folders don't matter."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"\0{file.name}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def library_files() -> list[Path]:
    """The files of lmlib, in order."""
    return sorted(file for file in PACKAGE.rglob("*") if file.suffix in CODE)


def assignment_files(base: Path) -> list[Path]:
    """The files that grading reads: releases with their checks, and solutions, in order."""
    found = [*(base / "exercises").glob("*/*"), *(base / "solutions").glob("*/*.py")]
    return sorted(file for file in found if file.is_file() and not file.name.startswith("."))
