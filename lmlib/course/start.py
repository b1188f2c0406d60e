"""`lmbook start`: a student's own copy of the chapters and exercises in work/, and its updates.

Nothing of the student's is ever lost: files that are there are left alone, and an update keeps the old copy.
What was handed out is noted in work/.start.json, so that an update knows what the student changed.
"""

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from lmlib.course import book, merge, notebooks
from lmlib.course.errors import CourseError
from lmlib.course.notebooks import Notebook, NotebookError

FOLDERS = ("chapters", "exercises")
NEW, KEPT, REPLACED, CARRIED = "new", "kept", "brought up to date", "brought up to date your old copy kept beside it"

Given = dict[str, str]  # key of a cell → hash of its source, as it was handed out


def start(base: Path, work: Path, update: bool) -> dict[str, str]:
    """Copy what is missing from the book at `base` into `work`; with `update`, carry the student's work over.

    Returns what was done with each notebook. Raises CourseError when the book has nothing to hand out, or
    `work` cannot be written.
    """
    sources = [p for name in FOLDERS for p in sorted((base / name).rglob("*")) if _is_handed_out(p, base)]
    if not any(path.suffix == ".ipynb" for path in sources):
        raise CourseError(f"{base}: nothing to hand out; `lmbook build` and `lmbook release` make the notebooks")
    try:
        given = _read_notes(work)
        done = {}
        for source in sources:
            name = source.relative_to(base).as_posix()
            if source.suffix == ".ipynb":
                done[name] = _hand_out(source, work / name, given.get(name), update)
                if done[name] != KEPT:
                    given[name] = _hashes(notebooks.read(source))
                    _write_notes(work, given)
            else:
                _copy_companion(source, work / name, update)
    except OSError as error:
        raise CourseError(f"{work}: cannot be written ({error.strerror}: {error.filename})") from None
    return done


def summary(done: dict[str, str], work: str) -> str:
    """One sentence on what was done, with the names that changed under the student's hands."""
    counts = ", ".join(f"{count} {what}" for what, count in Counter(done.values()).items())
    carried = [name for name, what in done.items() if what == CARRIED]
    old = f"\nYour old copies of {', '.join(carried)} lie beside them (before-update)." if carried else ""
    return f"{work}: notebooks: {counts}.{old}"


def _is_handed_out(path: Path, base: Path) -> bool:
    """Notebooks of both folders; beside exercises also the files that their checks read."""
    inside = path.relative_to(base)
    hidden = any(part.startswith((".", "__")) for part in inside.parts)
    return path.is_file() and not hidden and (path.suffix == ".ipynb" or inside.parts[0] == "exercises")


def _hand_out(source: Path, target: Path, given: Given | None, update: bool) -> str:
    release = notebooks.strip(notebooks.read(source))
    if not target.exists():
        notebooks.write(release, target)
        return NEW
    if not update:
        return KEPT
    try:
        theirs = notebooks.read(target)
    except NotebookError:
        theirs = None  # damaged: the old copy is kept all the same
    if theirs is not None:
        ours, has = _hashes(release), _hashes(theirs)
        if has == ours or (given == ours and ours.keys() <= has.keys()):
            return KEPT
        if has == given:
            notebooks.write(release, target)
            return REPLACED
    shutil.copy2(target, _free_name(target))
    notebooks.write(notebooks.strip(_carry_over(theirs, release, given or {})), target)
    return CARRIED


def _carry_over(theirs: Notebook | None, release: Notebook, given: Given) -> Notebook:
    """The release with the student's answers and added cells; an answer cell left as handed out is renewed."""
    if theirs is None:
        return release
    touched = [
        cell
        for cell in theirs["cells"]
        if not (merge.is_answer(cell) and _hash(cell["source"]) == given.get(merge.key(cell)))
    ]
    return merge.merge({**theirs, "cells": touched}, release, earlier=given)


def _copy_companion(source: Path, target: Path, update: bool) -> None:
    if not target.exists() or (update and source.read_bytes() != target.read_bytes()):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.part")
        try:
            shutil.copyfile(source, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _free_name(path: Path) -> Path:
    number = 1
    while (old := path.with_name(f"{path.stem}.before-update-{number}.ipynb")).exists():
        number += 1
    return old


def _hashes(nb: Notebook) -> Given:
    return {merge.key(cell): _hash(cell["source"]) for cell in nb["cells"]}


def _hash(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _read_notes(work: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((work / book.WORK_NOTES).read_text("utf-8")))
    except (FileNotFoundError, ValueError):
        return {}  # lost: every notebook then counts as edited, and its old copy is kept


def _write_notes(work: Path, given: dict[str, Any]) -> None:
    notebooks.write_atomically(work / book.WORK_NOTES, json.dumps(given, indent=1) + "\n")
