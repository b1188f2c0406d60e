"""The gradebook in the formats that other systems read. No cell is left that a spreadsheet would take for a formula."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from lmlib.course.errors import CourseError
from lmlib.course.gradebook.store import Row
from lmlib.course.spreadsheets import harmless

NBGRADER = (
    *("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"),
    *("raw_score", "late_submission_penalty", "score", "max_score"),
)
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def as_json(rows: Sequence[Row]) -> str:
    """Everything that is known of each row."""
    return json.dumps([_plain(row) for row in rows], ensure_ascii=False, indent=1) + "\n"


def _plain(row: Row) -> dict[str, Any]:
    return {
        "student": row.student.id,
        "last_name": row.student.last_name,
        "first_name": row.student.first_name,
        "assignment": row.assignment,
        "received": row.received.isoformat(timespec="seconds"),
        "due": row.due.isoformat(timespec="seconds") if row.due else None,
        "days_late": row.days_late,
        "attempts": row.attempts,
        "status": row.status,
        "remarks": row.remarks,
        "raw_score": row.raw,
        "penalty": row.penalty,
        "score": row.score,
        "max_score": row.maximum,
        "questions": {name: vars(mark) for name, mark in row.marks.items()},
    }


def nbgrader_csv(rows: Sequence[Row]) -> str:
    """The columns of `nbgrader export`."""

    def cells(row: Row) -> list[Any]:
        one = row.student
        who = [one.id, one.last_name, one.first_name, one.email]
        moments = [row.due or "", row.received]
        return [row.assignment, *moments, *who, row.raw, row.penalty, row.score, row.maximum]

    return _csv(NBGRADER, map(cells, rows))


def gradescope_results(row: Row) -> dict[str, Any]:
    """The `results.json` of one submission: a test for each question. Texts are plain, never HTML."""
    tests = [
        {
            "name": name,
            "score": mark.points,
            "max_score": mark.maximum,
            "status": "passed" if mark.points >= mark.maximum else "failed",
            "output": "\n".join(filter(None, [mark.text, mark.comment])),
            "output_format": "text",
            "visibility": "visible",
        }
        for name, mark in row.marks.items()
    ]
    said = [] if row.status == "graded" else [row.status]
    return {
        "score": row.score,
        "execution_time": round(row.seconds, 2),
        "output": "\n".join(said + row.remarks),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }


def canvas_csv(rows: Sequence[Row]) -> str:
    """Canvas' gradebook: a line a student, a column an assignment. The roster must have Canvas' own `ID` column.

    Raises CourseError that names the students without one: Canvas would take their points for somebody else's, or none.
    """
    missing = sorted({row.student.id for row in rows if not row.student.columns.get("ID")})
    if missing:
        raise CourseError(
            f"Canvas knows students by its ID, which the roster lacks for {', '.join(missing)}; export the gradebook "
            "from Canvas, add a column student_id, and enrol that file"
        )
    assignments = sorted({row.assignment for row in rows})

    def cells(own: list[Row]) -> list[Any]:
        student, scores = own[0].student, {row.assignment: row.score for row in own}
        name = student.columns.get("Student") or f"{student.last_name}, {student.first_name}"
        return [name, *(student.columns.get(key, "") for key in CANVAS[1:]), *(scores.get(a, "") for a in assignments)]

    return _csv([*CANVAS, *assignments], map(cells, _by_student(rows)))


def moodle_csv(rows: Sequence[Row]) -> str:
    """Moodle's grade import: the email address, then a column an assignment. Raises CourseError without an email."""
    missing = sorted({row.student.id for row in rows if not row.student.email})
    if missing:
        raise CourseError(f"Moodle knows students by email, which the roster lacks for {', '.join(missing)}")
    assignments = sorted({row.assignment for row in rows})

    def cells(own: list[Row]) -> list[Any]:
        scores = {row.assignment: row.score for row in own}
        return [own[0].student.email, *(scores.get(a, "") for a in assignments)]

    return _csv(["Email address", *assignments], map(cells, _by_student(rows)))


def _by_student(rows: Sequence[Row]) -> list[list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.student.id, []).append(row)
    return list(found.values())


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([harmless(cell) for cell in head])
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return text.getvalue()
