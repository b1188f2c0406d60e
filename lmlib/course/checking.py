"""A student's notebook checked: the answers in the pristine release, nbval on it, points and messages.

The same run serves `lmbook check` and `lmbook grade`. It trusts the student's code: it runs with the rights of the
person who calls it.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmlib.course import book, notebooks, submission
from lmlib.course.errors import WorkFailedError
from lmlib.course.merge import is_answer, key
from lmlib.course.submission import ADDED, SubmissionError

CELL_TIMEOUT = 60.0  # seconds
NOT_RUN = "was not run: Python had ended before it"


@dataclass
class QuestionResult:
    """The points of one question, and what is to be said about it."""

    question: str
    score: float
    maximum: float
    mistakes: list[str] = field(default_factory=list)
    text: str = ""
    remarks: list[str] = field(default_factory=list)


@dataclass
class Result:
    """The result of one notebook. `green`: nbval passed every cell."""

    assignment: str
    questions: list[QuestionResult]
    green: bool
    remarks: list[str] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The points of all questions."""
        return sum(question.score for question in self.questions)

    @property
    def maximum(self) -> float:
        """The points that the assignment gives."""
        return sum(question.maximum for question in self.questions)


def released_assignments(base: Path) -> dict[str, Path]:
    """The notebooks of all released assignments by CHAPTER/NAME."""
    found = sorted((base / "exercises").glob("*/*.ipynb"))
    return {f"{path.parent.name}/{path.stem}": path for path in found if not path.name.startswith(".")}


def assignment_of(nb: dict[str, Any], path: Path, known: dict[str, Path]) -> str:
    """Which assignment a student's notebook is: by its metadata, or else by its name. Raises SubmissionError."""
    stated = nb.get("metadata", {}).get("lmbook", {})
    name = stated.get("assignment") if isinstance(stated, dict) else None
    if isinstance(name, str) and name in known:
        return name
    named = [key for key in known if key.rpartition("/")[2] == path.stem]
    if name is None and len(named) == 1:
        return named[0]
    raise SubmissionError(
        f"{path}: {name or path.stem} is no released assignment; there are {', '.join(known) or 'none'}."
        " Start from a copy made by `lmbook start`"
    )


def check_notebook(
    path: Path, timeout: float = CELL_TIMEOUT, base: Path | None = None, question: str | None = None
) -> Result:
    """Check one notebook, or one question of it. Raises SubmissionError when it is no copy of an assignment."""
    known = released_assignments(base or book.root())
    student = submission.read(path)
    name = assignment_of(student, path, known)
    release = notebooks.read(known[name])
    merged = submission.to_run(release, student)
    if question is not None:
        merged = submission.for_question(merged, question)
    cells = run(merged.notebook, known[name], timeout)
    ran = {cell["id"]: cell for cell in cells}
    results = []
    for cell in release["cells"]:
        if cell["metadata"]["nbgrader"]["grade"] and question in (None, key(cell).removesuffix("-check")):
            results.append(_question_result(cell, release, ran, merged.remarks, timeout))
    others = [_failure(cell, timeout) for cell in cells if not _is_graded(cell["id"], release)]
    return Result(name, results, all(cell["passed"] for cell in cells), [text for text in others if text])


def run(nb: dict[str, Any], released: Path, timeout: float) -> list[dict[str, Any]]:
    """Run nbval on a notebook in an empty folder with the check files beside it; what it found, cell by cell."""
    with tempfile.TemporaryDirectory(prefix="lmbook-check-") as name:
        folder = Path(name) / released.parent.name
        folder.mkdir()
        for ending in ("_checks.py", "_checks.json"):
            source = released.with_name(released.stem + ending)
            (folder / source.name).write_text(source.read_text("utf-8"), "utf-8")
        notebook, result = folder / released.name, Path(name) / "cells.json"
        notebooks.write(nb, notebook)
        command = [sys.executable, "-m", "lmlib.course.nbval_cells", str(notebook), f"{timeout:g}", str(result)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        if not result.exists():
            raise WorkFailedError(f"nbval did not run: {(done.stderr or done.stdout).strip()[-500:]}")
        return json.loads(result.read_text("utf-8"))


def environment() -> dict[str, str]:
    """This process's environment, with lmlib importable from any folder, and without what pytest set for itself."""
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return {**kept, "PYTHONPATH": path}


def _question_result(
    cell: dict[str, Any], release: dict[str, Any], ran: dict[str, dict], remarks: dict[str, str], timeout: float
) -> QuestionResult:
    """The points that a check cell recorded, with what happened to the question's answer cells."""
    name = key(cell)
    question, maximum = name.removesuffix("-check"), float(cell["metadata"]["nbgrader"]["points"])
    result = QuestionResult(question, 0.0, maximum)
    for answer in (c for c in release["cells"] if is_answer(c) and key(c) == f"{question}-answer"):
        failure = _failure(ran[key(answer)], timeout) if key(answer) in ran else ""
        result.remarks += [remark for remark in (remarks.get(key(answer)), failure) if remark]
    own = ran.get(name, {"rows": [], "passed": False, "message": "it was not run", "error": "", "alive": True})
    rows = [row for row in own["rows"] if row["kind"] == "points" and row["name"] == question]
    if rows:
        result.score, result.mistakes, result.text = rows[-1]["score"], rows[-1]["mistakes"], rows[-1]["text"]
    elif not result.remarks and (failure := _failure({**own, "id": name}, timeout)):
        result.remarks.append(failure)
    return result


def _is_graded(name: str, release: dict[str, Any]) -> bool:
    graded = {key(c) for c in release["cells"] if is_answer(c) or c["metadata"]["nbgrader"]["grade"]}
    return name in graded


def _failure(cell: dict[str, Any], timeout: float) -> str:
    """A sentence about a cell that did not run through; empty when it did."""
    kind = "an added cell" if cell["id"].startswith(ADDED) else f"the cell {cell['id']}"
    if "dead" in cell["message"].lower():
        return f"{kind} {NOT_RUN}"
    if not cell["alive"]:
        return f"{kind} ended Python (a crash, `os._exit`, no memory left), or could not be interrupted"
    if "Timeout" in cell["message"]:
        return f"{kind} was stopped after {timeout:g} seconds: does a loop never end?"
    if cell["error"]:
        place = f", line {cell['line']}" if cell.get("line") else ""
        return f"{kind}{place}, raised {cell['error']}"
    return "" if cell["passed"] else f"{kind}: {cell['message']}"


def check_and_show(path: Path, timeout: float) -> None:
    """Check a notebook and print points and messages. Raises WorkFailedError when points are short."""
    from lmlib.course import progress

    base = book.root()
    result = check_notebook(path, timeout, base)
    for question in result.questions:
        heading = f"{question.question}: {question.score:g} of {question.maximum:g} points"
        print(question.text or heading)
        for remark in question.remarks:
            print(f"  ! {remark}")
    for remark in result.remarks:
        print(f"! {remark}")
    progress.remember(result, path, base)
    print(f"\n{result.assignment}: {result.score:g} of {result.maximum:g} points")
    if result.score < result.maximum:
        raise WorkFailedError(f"{result.maximum - result.score:g} points are still missing")
    if not result.green:
        raise WorkFailedError("all points, but nbval is not green: a check cell shows other text than it should")
