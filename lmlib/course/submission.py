"""A student's notebook, read with suspicion, and the notebook that is run for it: the release with the answers."""

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from lmlib.course import merge, notebooks
from lmlib.course.errors import CourseError
from lmlib.course.merge import Cell
from lmlib.course.notebooks import Notebook

ADDED = "added-"  # how the ids of a student's own cells begin
MAY_FAIL = "nbval-raises-exception"  # a student's own cell is run; it may fail without costing points


class SubmissionError(CourseError):
    """A student's notebook that cannot be checked, with the reason and what to do."""


@dataclass(frozen=True)
class ToRun:
    """The notebook to run, and what is to be said about answer cells before it runs, by grade_id."""

    notebook: Notebook
    remarks: dict[str, str]


def read(path: Path) -> Notebook:
    """A student's notebook. Raises SubmissionError when it is none, or two cells have one grade_id."""
    try:
        nb = notebooks.read(path)
    except OSError as error:
        raise SubmissionError(f"{path}: it cannot be read ({error.strerror})") from None
    except notebooks.NotebookError as error:
        raise SubmissionError(str(error)) from None
    for number, cell in enumerate(nb["cells"]):
        if not _is_whole(cell):
            raise SubmissionError(
                f"{path}: cell {number} is damaged (no source, an unknown type, or a wrong id or metadata)"
            )
    names = Counter(cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in nb["cells"])
    repeated = sorted(name for name, count in names.items() if name and count > 1)
    if repeated:
        raise SubmissionError(
            f"{path}: two cells have the grade_id {', '.join(repeated)}; was a cell copied with its metadata?"
            " Delete the copy, and paste its text into a new cell"
        )
    return nb


def _is_whole(cell: Cell) -> bool:
    grader = cell["metadata"].get("nbgrader", {})
    known = isinstance(grader, dict) and isinstance(grader.get("grade_id", ""), str)
    known = known and isinstance(cell.get("id", ""), str)
    return known and isinstance(cell.get("source"), str) and cell.get("cell_type") in ("code", "markdown", "raw")


def to_run(release: Notebook, student: Notebook) -> ToRun:
    """The pristine release with the student's answers, and the student's own code cells at their places."""
    answers = merge.answers_in(student)
    remarks = {
        merge.key(cell): remark
        for cell in release["cells"]
        if merge.is_answer(cell) and (remark := _remark(cell, answers.get(merge.key(cell))))
    }
    released = {merge.key(cell) for cell in release["cells"]}
    cells = []
    for number, cell in enumerate(merge.merge(student, release)["cells"]):
        if merge.key(cell) in released:
            cells.append(cell)
        elif cell["cell_type"] == "code":
            cells.append(_own_cell(cell["source"], f"{ADDED}{number}"))
    return ToRun({**release, "cells": cells}, remarks)


def for_question(merged: ToRun, question: str) -> ToRun:
    """What one question needs: the code up to its check, for an answer may use earlier ones, and no other check.

    Raises SubmissionError when there is no such question.
    """
    check, cells = f"{question}-check", []
    for cell in merged.notebook["cells"]:
        graded = cell["metadata"].get("nbgrader", {}).get("grade", False)
        if merge.key(cell) == check or not graded:
            cells.append(cell)
        if merge.key(cell) == check:
            return replace(merged, notebook={**merged.notebook, "cells": cells})
    raise SubmissionError(f"the assignment has no question {question!r}")


def _remark(released: Cell, answer: str | None) -> str:
    if answer is None:
        return (
            "the answer cell is missing: it was deleted, or lost its metadata; `lmbook start --update` brings it back"
        )
    if not answer.strip():
        return "the answer cell is empty"
    return "the answer cell is as it was handed out" if answer == released["source"] else ""


def _own_cell(source: str, name: str) -> Cell:
    """A student's own cell without its outputs, tags and metadata: nothing in them can change the verdict."""
    cell = {"cell_type": "code", "id": name, "metadata": {"tags": [MAY_FAIL]}, "source": source}
    return {**cell, "outputs": [], "execution_count": None}


def on_one_line(text: str) -> str:
    """A text as one line of a terminal: what a student wrote can begin no line, and move no cursor."""
    return "".join(char if char.isprintable() else " " for char in text)


def readable(name: str) -> str:
    """A file's name as text that can be stored and shown: bytes that are no UTF-8 are written out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
