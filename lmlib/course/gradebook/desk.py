"""What an instructor does with a gradebook, from files to files. Each function is one command of `lmbook gradebook`."""

import csv
import getpass
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lmlib.course.errors import CourseError
from lmlib.course.gradebook import exports
from lmlib.course.gradebook.class_report import report
from lmlib.course.gradebook.feedback import page
from lmlib.course.gradebook.lateness import LateRule
from lmlib.course.gradebook.store import Gradebook, Row
from lmlib.course.notebooks import write_atomically

if TYPE_CHECKING:
    from lmlib.course.gradebook.class_grading import Settings

FORMATS: dict[str, Callable[[Sequence[Row]], str]] = {
    "json": exports.as_json,
    "nbgrader": exports.nbgrader_csv,
    "canvas": exports.canvas_csv,
    "moodle": exports.moodle_csv,
}


def opened(path: Path) -> Gradebook:
    """A gradebook that is there. Raises CourseError when it is not, so that a slip makes no empty one."""
    if not path.is_file():
        raise CourseError(f"{path}: there is no such gradebook; `lmbook gradebook enrol` makes one")
    return Gradebook(path)


def enrol(path: Path, roster: Path) -> None:
    """Put the students of a CSV on the roster; the gradebook is made when it is missing."""
    count = Gradebook(path).enrol(_table(roster, "student_id"), _me())
    print(f"{count} students are on the roster")


def deadline(path: Path, assignment: str, due: str, penalty: float, days: int | None) -> None:
    """Set when an assignment is due, and what being late costs."""
    try:
        rule = LateRule(moment(due), penalty, days)
    except ValueError as error:
        raise CourseError(str(error)) from None
    Gradebook(path).set_deadline(assignment, rule, _me())


def extend(path: Path, student: str, assignment: str, due: str) -> None:
    """Give one student more time."""
    opened(path).extend(student, assignment, moment(due), _me())


def give(path: Path, student: str, assignment: str, question: str, points: float | None, comment: str) -> None:
    """Give points by hand, a comment, or both."""
    if points is None and not comment:
        raise CourseError("give --points, --comment, or both")
    opened(path).give(student, assignment, question, points, comment, _me())


def give_all(path: Path, table: Path) -> None:
    """Give what a CSV says: student_id, assignment, question, points (may be empty), comment. All of it, or nothing."""
    book, given = opened(path), []
    for number, row in enumerate(_table(table, "student_id", "assignment", "question", "points", "comment"), 2):
        text = row["points"].strip()
        try:
            points = float(text) if text else None
        except ValueError:
            raise CourseError(f"{table}, line {number}: points must be a number or empty; got {text!r}") from None
        given.append((row["student_id"], row["assignment"], row["question"], points, row["comment"]))
    book.give_all(given, _me())
    print(f"{len(given)} entries by hand")


def regrade(path: Path, assignment: str, question: str | None, settings: "Settings") -> None:
    """Grade one question of every attempt anew, or all of them."""
    from lmlib.course.gradebook.class_grading import regrade

    with closing(opened(path)) as book:
        regrade(book, assignment, question, settings, _me())


def export(path: Path, kind: str, out: Path, assignment: str | None) -> None:
    """Write the points in a format that another system reads."""
    if kind not in FORMATS:
        raise CourseError(f"there is no format {kind!r}; there are: {', '.join(FORMATS)}")
    write_atomically(out, FORMATS[kind](opened(path).rows(assignment)))
    print(f"written to {out}")


def feedback(path: Path, folder: Path, assignment: str | None) -> None:
    """Write FOLDER/STUDENT/ASSIGNMENT.html for everyone who handed in."""
    book = opened(path)
    rows = book.rows(assignment)
    for row in rows:
        where = folder / safe(row.student.id)
        where.mkdir(parents=True, exist_ok=True)
        write_atomically(where / f"{safe(row.assignment)}.html", page(book, row))
    print(f"{len(rows)} pages in {folder}")


def write_report(path: Path, assignment: str, out: Path) -> None:
    """Write the report of the class on one assignment."""
    write_atomically(out, report(opened(path), assignment))
    print(f"written to {out}")


def gradescope(path: Path, student: str, assignment: str, out: Path) -> None:
    """Write Gradescope's results.json for one submission."""
    rows = [row for row in opened(path).rows(assignment) if row.student.id == student]
    if not rows:
        raise CourseError(f"{student} handed in nothing for {assignment}")
    write_atomically(out, json.dumps(exports.gradescope_results(rows[0]), ensure_ascii=False, indent=1) + "\n")


def history(path: Path) -> None:
    """Print who did what, when."""
    for at, who, what in opened(path).history():
        print(f"{at:%Y-%m-%d %H:%M:%S} UTC  {who:<12} {what}")


def safe(name: str) -> str:
    """A name as one part of a path: no folder, no parent, nothing hidden."""
    kept = "".join(char if char.isalnum() or char in "-_.@ " else "_" for char in name).strip(" .")
    return kept or "_"


def moment(text: str) -> datetime:
    """A moment such as "2026-02-01 23:59" or "2026-02-01T23:59+08:00"; without a zone it is this machine's."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise CourseError(
            f'{text!r} is no moment; write it as "2026-02-01 23:59" or "2026-02-01T23:59+08:00"'
        ) from None


def _table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a CSV that has these columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"{path}: it cannot be read as CSV in UTF-8 ({error})") from None
    missing = [column for column in columns if rows and column not in rows[0]]
    if missing or not rows:
        raise CourseError(f"{path}: a CSV with the columns {', '.join(columns)} is expected, and a row at least")
    return rows


def _me() -> str:
    """Who the history names for this command."""
    return getpass.getuser()
