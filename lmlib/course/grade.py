"""A folder of notebooks graded; a table, CSV or JSON comes out.

Trusted notebooks run as `lmbook check` runs them; others in a sandbox, checked from outside (see outside/).

A notebook that cannot be graded has a row with 0 points and the reason, and does not end the batch.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmlib.course import book
from lmlib.course.checking import NOT_RUN, Result, assignment_of, check_notebook, released_assignments
from lmlib.course.errors import CourseError, WorkFailedError
from lmlib.course.notebooks import write_atomically
from lmlib.course.outside import submitted
from lmlib.course.sandbox.policy import SandboxError
from lmlib.course.spreadsheets import harmless
from lmlib.course.submission import SubmissionError, on_one_line, readable

if TYPE_CHECKING:
    from lmlib.course.outside.grading import Grader


@dataclass
class Grade:
    """The row of one notebook; `status` is 'graded', or why it could not be."""

    student: str
    assignment: str
    score: float
    maximum: float
    status: str = "graded"
    questions: dict[str, float] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)


def submissions(folder: Path) -> list[tuple[str, Path]]:
    """Student and notebook, for FOLDER/STUDENT/**/NAME.ipynb (nbgrader's submitted/ too), or FOLDER/STUDENT.ipynb.

    Raises CourseError when the folder does not exist or holds no notebook.
    """
    if not folder.is_dir():
        raise CourseError(f"{folder}: there is no such folder; give the folder that holds one folder for each student")
    found = []
    for path in sorted(folder.rglob("*.ipynb")):
        inside = path.relative_to(folder).parts
        if not any(part.startswith(".") for part in inside):
            found.append((readable(inside[0] if len(inside) > 1 else path.stem), path))
    if not found:
        raise CourseError(f"{folder}: there is no .ipynb file in it")
    return found


def grade(folder: Path, timeout: float, base: Path | None = None) -> list[Grade]:
    """Grade each notebook of a folder."""
    return [_grade(student, path, timeout, base) for student, path in submissions(folder)]


def _grade(student: str, path: Path, timeout: float, base: Path | None) -> Grade:
    try:
        result = check_notebook(path, timeout, base)
    except CourseError as error:
        return Grade(student, readable(path.stem), 0.0, 0.0, status=readable(str(error)))
    return Grade(
        student,
        result.assignment,
        result.score,
        result.maximum,
        status="; ".join(["graded", *remarks_of(result)]),
        questions={question.question: question.score for question in result.questions},
        mistakes=[f"{q.question}: {mistake}" for q in result.questions for mistake in q.mistakes],
    )


def _grade_outside(student: str, path: Path, grader: "Grader", known: dict[str, Path]) -> Grade:
    """The row of one notebook that is graded in the sandbox, from outside."""
    try:
        graded = grader.grade(path, known[assignment_of(submitted.read(path, grader.limits)[0], path, known)])
    except SubmissionError as error:
        return Grade(student, readable(path.stem), 0.0, 0.0, status=readable(str(error)))
    remarks = [remark for question in graded.questions for remark in question.remarks] + list(graded.remarks)
    notice = [f"sandbox {graded.sandbox['sandbox']}"] if "sandbox" in graded.sandbox else []
    return Grade(
        student,
        graded.assignment,
        graded.score,
        graded.maximum,
        status="; ".join([graded.status, *(r for r in remarks if not r.endswith(NOT_RUN)), *notice]),
        questions={question.question: question.score for question in graded.questions},
        mistakes=[f"{q.question}: {mistake}" for q in graded.questions for mistake in q.mistakes],
    )


@contextmanager
def _way(base: Path, timeout: float, secret: Path | None, sandbox: bool) -> Iterator[Callable[[str, Path], Grade]]:
    """How one notebook is graded: with the rights of this process, or with a secret from outside."""
    if secret is None:
        yield lambda student, path: _grade(student, path, timeout, base)
        return
    from lmlib.course.outside.grading import Grader
    from lmlib.course.outside.limits import Limits
    from lmlib.course.outside.secret import read_or_make

    known, limits, key = released_assignments(base), Limits.for_cells(timeout), read_or_make(secret)
    with ExitStack() as stack:
        graders = [stack.enter_context(Grader(key, limits, sandbox=sandbox))]

        def grade_one(student: str, path: Path) -> Grade:
            try:
                return _grade_outside(student, path, graders[0], known)
            except SandboxError:
                raise
            except WorkFailedError as error:  # one of its processes has ended, or no longer answers: a new one goes on
                stack.close()
                graders[0] = stack.enter_context(Grader(key, limits, sandbox=sandbox))
                return Grade(student, readable(path.stem), 0.0, 0.0, status=f"not graded: {error}")

        yield grade_one


def remarks_of(result: Result) -> list[str]:
    """What is worth a place in the table, with its questions; nothing of cells after the one that ended Python."""
    questions: dict[str, list[str]] = {}
    for question in result.questions:
        for remark in question.remarks:
            questions.setdefault(remark, []).append(question.question)
    remarks = [f"{', '.join(names)}: {remark}" for remark, names in questions.items()] + result.remarks
    return [remark for remark in remarks if not remark.endswith(NOT_RUN)]


def grade_all(folder: Path, out: Path | None, timeout: float, secret: Path | None = None, sandbox: bool = True) -> None:
    """Grade a folder, print the table, and write `out` (.csv or .json) when it is given.

    With the file of a secret the notebooks are not trusted: they run in the sandbox, and are checked from outside.
    Raises CourseError for another ending, before anything is run, and SandboxError where no sandbox can be had.
    """
    if out and out.suffix not in (".csv", ".json"):
        raise CourseError(f"{out}: write to a file that ends in .csv or .json")
    base = book.root()
    grades = []
    found = submissions(folder)
    with _way(base, timeout, secret, sandbox) as grade_one:
        for student, path in found:
            grades.append(grade_one(student, path))
            print(line(grades[-1]), flush=True)
    if out:
        _write(out, as_csv(grades) if out.suffix == ".csv" else as_json(grades))
        print(f"written to {out}")


def _write(out: Path, text: str) -> None:
    try:
        write_atomically(out, text)
    except OSError as error:
        raise WorkFailedError(f"{out}: it cannot be written ({error.strerror}); the table is above") from None


def line(row: Grade) -> str:
    """One row for the terminal."""
    mistakes = f"  [{', '.join(row.mistakes)}]" if row.mistakes else ""
    status = "" if row.status == "graded" else f"  {row.status.removeprefix('graded; ')}"
    said = f"{row.student:<20} {row.assignment:<36} {row.score:>5g} of {row.maximum:<5g}{mistakes}{status}"
    return on_one_line(said)


def as_json(grades: list[Grade]) -> str:
    """The rows as JSON."""
    return json.dumps([vars(row) for row in grades], ensure_ascii=False, indent=1) + "\n"


def as_csv(grades: list[Grade]) -> str:
    """The rows as CSV, with nbgrader's names where it has the same column, and one column for each question."""
    names = list(dict.fromkeys(name for row in grades for name in row.questions))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["assignment", "student_id", "score", "max_score", "status", "mistakes", *names])
    for row in grades:
        cells: list[Any] = [row.assignment, row.student, row.score, row.maximum, row.status, "; ".join(row.mistakes)]
        writer.writerow([harmless(cell) for cell in cells + [row.questions.get(name, "") for name in names]])
    return text.getvalue()
