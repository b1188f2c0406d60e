"""A student's answers put into a release: cells are matched by `grade_id`, so that edited or moved cells do no harm."""

from collections.abc import Collection
from typing import Any

from lmlib.course.notebooks import Notebook

Cell = dict[str, Any]


def key(cell: Cell) -> str:
    """What a cell is known by in every version of its notebook: its grade_id, or else its id."""
    return cell["metadata"].get("nbgrader", {}).get("grade_id") or cell.get("id", "")


def is_answer(cell: Cell) -> bool:
    """Whether a cell of a release is for the student to fill in."""
    return bool(cell["metadata"].get("nbgrader", {}).get("solution"))


def answers_in(submitted: Notebook) -> dict[str, str]:
    """The source of each answer cell of a student's notebook; of two cells with one grade_id the first counts."""
    answers: dict[str, str] = {}
    for cell in submitted["cells"]:
        if is_answer(cell):
            answers.setdefault(key(cell), cell["source"])
    return answers


def merge(submitted: Notebook, release: Notebook, earlier: Collection[str] = ()) -> Notebook:
    """The release with the answers of `submitted`, and with the cells that the student added, at their places.

    `earlier` are keys of cells of an earlier release: they are not the student's own. Everything else
    (statements, checks, metadata) is as in the release.
    """
    answers = answers_in(submitted)
    added = _added_after(submitted, {key(cell) for cell in release["cells"]}, earlier)
    cells = list(added.get("", []))
    for cell in release["cells"]:
        if is_answer(cell) and key(cell) in answers:
            cell = {**cell, "source": answers[key(cell)]}
        cells += [cell, *added.get(key(cell), [])]
    return {**release, "cells": cells}


def _added_after(submitted: Notebook, released: set[str], earlier: Collection[str]) -> dict[str, list[Cell]]:
    """The student's own cells, by the key of the release's cell that they follow ("" at the top)."""
    added: dict[str, list[Cell]] = {}
    seen: set[str] = set()
    place = ""
    for cell in submitted["cells"]:
        name = key(cell)
        if name in released and name not in seen:
            seen.add(name)
            place = name
        elif name not in earlier or name in seen:
            added.setdefault(place, []).append(_own(cell, len(seen), sum(map(len, added.values()))))
    return added


def _own(cell: Cell, *position: int) -> Cell:
    """A cell that the student added, as a plain cell: a copy of an answer cell must not pass for a second one."""
    metadata = {k: v for k, v in cell["metadata"].items() if k != "nbgrader"}
    own = {**cell, "metadata": metadata}
    if "nbgrader" in cell["metadata"] or not cell.get("id"):
        own["id"] = "added-" + "-".join(map(str, position))
    return own
