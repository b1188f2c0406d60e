"""A student's notebook put into the pristine release: only answers and added cells come from the student.

Cells are matched by nbgrader's grade_id, so edited statements, given cells and check cells do not matter.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmlib.course import notebooks
from lmlib.course.errors import CourseError

ADDED_TAG = "nbval-raises-exception"  # an added cell is run, and it may fail without costing points


class SubmissionError(CourseError):
    """A student's notebook that cannot be checked, with the reason and what to do."""


@dataclass(frozen=True)
class Merged:
    """The notebook to run, and what is to be said about answer cells, by grade_id."""

    notebook: dict[str, Any]
    remarks: dict[str, str]


def read_submission(path: Path) -> dict[str, Any]:
    """A student's notebook. Raises SubmissionError when it is none, or two cells have one grade_id."""
    try:
        nb = notebooks.read(path)
    except OSError as error:
        raise SubmissionError(f"{path}: it cannot be read ({error.strerror})") from None
    except notebooks.NotebookError as error:
        raise SubmissionError(str(error)) from None
    for number, cell in enumerate(nb["cells"]):
        whole = isinstance(cell, dict) and isinstance(cell.get("source"), str)
        if not (whole and cell.get("cell_type") in ("code", "markdown", "raw")):
            raise SubmissionError(f"{path}: cell {number} is damaged (no source or no cell type)")
    repeated = [name for name, count in Counter(filter(None, map(grade_id, nb["cells"]))).items() if count > 1]
    if repeated:
        raise SubmissionError(
            f"{path}: two cells have the grade_id {', '.join(map(repr, sorted(repeated)))};"
            " was a cell copied with its metadata? Delete the copy, and paste its text into a new cell"
        )
    return nb


def grade_id(cell: dict[str, Any]) -> str | None:
    """nbgrader's id of a cell, or None for a cell that somebody added."""
    metadata = cell.get("metadata")
    grader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = grader.get("grade_id") if isinstance(grader, dict) else None
    return name if isinstance(name, str) else None


def is_answer(cell: dict[str, Any]) -> bool:
    """Whether a cell of a release is for a student's answer."""
    return bool(cell["metadata"]["nbgrader"]["solution"])


def merge(release: dict[str, Any], student: dict[str, Any]) -> Merged:
    """The release with the student's answers in it, and each added code cell below the cell that it stood below."""
    known = {grade_id(cell) for cell in release["cells"]}
    answers = {grade_id(cell): cell["source"] for cell in student["cells"] if grade_id(cell) in known}
    added: dict[str | None, list[str]] = {}
    last = None
    for cell in student["cells"]:
        if grade_id(cell) in known:
            last = grade_id(cell)
        elif cell["cell_type"] == "code" and cell["source"].strip():
            added.setdefault(last, []).append(cell["source"])
    remarks: dict[str, str] = {}
    cells = [_added_cell(source, f"added-top-{i}") for i, source in enumerate(added.get(None, []))]
    for cell in release["cells"]:
        name = grade_id(cell)
        if is_answer(cell):
            remark = _remark(cell, answers.get(name))
            if remark:
                remarks[str(name)] = remark
            cell = {**cell, "source": answers.get(name, cell["source"])}
        cells.append(cell)
        cells += [_added_cell(source, f"added-{name}-{i}"[-64:]) for i, source in enumerate(added.get(name, []))]
    return Merged({**release, "cells": cells}, remarks)


def _remark(released: dict[str, Any], answer: str | None) -> str:
    if answer is None:
        return "the answer cell is missing; its text was deleted, or its metadata"
    if not answer.strip():
        return "the answer cell is empty"
    return "the answer cell is as it was handed out" if answer == released["source"] else ""


def _added_cell(source: str, name: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {"tags": [ADDED_TAG]},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
