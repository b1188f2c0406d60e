"""The release of an assignment: what students get, made from the instructor's notebook; no answer is in it.

A notebook with nbgrader's cell metadata (schema 3, checksums), and beside it the parts of the checks and their data.
The same source gives the same files on every machine.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmlib.course import book, notebooks, proof
from lmlib.course.assignment import Assignment, all_assignments, clear_solution, find_path, read
from lmlib.course.checks import Points
from lmlib.course.errors import WorkFailedError
from lmlib.course.workbench import Workbench

HEADER = '''"""The checks of {name}: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

'''


@dataclass(frozen=True)
class Release:
    """The files of one release, by name."""

    assignment: Assignment
    notebook: dict[str, Any]
    checks: str
    data: str

    def write(self, folder: Path) -> None:
        """Write the three files into a folder."""
        stem = self.assignment.stem
        try:
            self._write(folder, stem)
        except OSError as error:
            raise WorkFailedError(f"{folder}: the release cannot be written ({error.strerror})") from None

    def _write(self, folder: Path, stem: str) -> None:
        notebooks.write(self.notebook, folder / f"{stem}.ipynb")
        notebooks.write_atomically(folder / f"{stem}_checks.py", self.checks)
        notebooks.write_atomically(folder / f"{stem}_checks.json", self.data)


def release_all(names: list[str], nbgrader: Path | None) -> None:
    """Release the named assignments (all when empty) into exercises/, or as nbgrader's source/, and print the proof.

    Raises WorkFailedError, and writes nothing of an assignment, when its checks are not proven.
    """
    base = book.root()
    paths = [find_path(base, name) for name in names] or all_assignments(base)
    proofs, problems = [], []
    for path in paths:
        bench = Workbench(read(path))
        rows = proof.prove(bench)
        proofs += rows
        wrong = [f"{row.assignment}, {row.question}: {problem}" for row in rows for problem in row.problems]
        problems += wrong
        if wrong:
            continue
        if nbgrader is None:
            make(bench).write(base / "exercises" / path.parent.name)
        else:
            make(bench, with_answers=True).write(nbgrader / "source" / path.stem)
    print(proof.table(proofs))
    if problems:
        raise WorkFailedError("not released:\n" + "\n".join(problems))


def make(bench: Workbench, *, with_answers: bool = False) -> Release:
    """The release of an assignment. With answers it is nbgrader's source, from which nbgrader clears them itself."""
    assignment = bench.assignment
    cells = []
    for cell in assignment.cells:
        role, question = assignment.role(cell)
        if role in ("given", "statement", "answer", "check"):
            cells.append(_released(bench, cell, role, question, with_answers))
    for count, cell in enumerate((c for c in cells if c["cell_type"] == "code"), start=1):
        if cell["outputs"]:
            cell["execution_count"] = cell["outputs"][-1]["execution_count"] = count
    metadata = {
        "kernelspec": notebooks.KERNEL,
        "language_info": {"name": "python"},
        "lmbook": {"assignment": assignment.name},
    }
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    data = _one_line_a_list(json.dumps(bench.released.data, ensure_ascii=False, indent=1)) + "\n"
    return Release(assignment, notebook, HEADER.format(name=assignment.name) + assignment.parts, data)


def _one_line_a_list(text: str) -> str:
    """JSON with each list of numbers on one line."""
    return re.sub(r"\[\n\s*([-\d.,\se]+?)\n\s*\]", lambda numbers: "[" + " ".join(numbers[1].split()) + "]", text)


def _released(bench: Workbench, cell: dict[str, Any], role: str, question: str, answers: bool) -> dict[str, Any]:
    """One cell of the release, with nbgrader's metadata."""
    source = cell["source"]
    if role == "answer" and not answers:
        source = clear_solution(source)
    if role == "statement":
        source = _with_facts(source, bench.assignment.questions[question].facts)
    grader: dict[str, Any] = {
        "schema_version": 3,
        "grade": role == "check",
        "locked": role != "answer",
        "solution": role == "answer",
        "task": False,
        "grade_id": cell["id"],
        "cell_type": cell["cell_type"],
    }
    if role == "check":
        grader["points"] = bench.assignment.questions[question].facts["points"]
    grader["checksum"] = checksum(source, grader)
    metadata: dict[str, Any] = {"deletable": False, "nbgrader": grader}
    if role != "answer":
        metadata["editable"] = False
    if role == "check":
        metadata["tags"] = ["nbval-check-output"]
    made = {"cell_type": cell["cell_type"], "id": cell["id"], "metadata": metadata, "source": source}
    if cell["cell_type"] == "code":
        made |= {"execution_count": None, "outputs": _outputs(bench, question) if role == "check" else []}
    return made


def _with_facts(source: str, facts: dict[str, Any]) -> str:
    """The statement with a line below its heading: points, difficulty, minutes, section."""
    heading, _, rest = source.partition("\n")
    points = "1 point" if facts["points"] == 1 else f"{facts['points']:g} points"
    line = f"*{points} · difficulty {facts['difficulty']} of 5 · about {facts['minutes']} min"
    return f"{heading}\n\n{line} · section {facts['section']}*\n{rest}"


def _outputs(bench: Workbench, question: str) -> list[dict[str, Any]]:
    """What the check cell shows for a right answer."""
    verdict = bench.verdict(question)
    result: dict[str, Any] = {"output_type": "execute_result", "execution_count": None, "metadata": {}}
    return [
        {"output_type": "stream", "name": "stdout", "text": verdict.text() + "\n"},
        {**result, "data": Points(verdict)._repr_mimebundle_()},
    ]


def checksum(source: str, grader: dict[str, Any]) -> str:
    """nbgrader's checksum of a cell (md5 over source, kind, flags, id and points)."""
    locked = not grader["solution"] and (grader["grade"] or grader["locked"])
    fields = [source, grader["cell_type"], grader["grade"], grader["solution"], locked, grader["grade_id"]]
    if grader["grade"]:
        fields.append(float(grader["points"]))
    return hashlib.md5("".join(map(str, fields)).encode(), usedforsecurity=False).hexdigest()
