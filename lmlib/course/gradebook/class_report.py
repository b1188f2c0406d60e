"""The report of a class on one assignment: points a question, common mistakes by name, time, near-identical work."""

import base64
from collections import Counter
from typing import Any

from lmlib import plots
from lmlib.course import merge, pages, safe_json
from lmlib.course.errors import CourseError
from lmlib.course.gradebook.feedback import text_of
from lmlib.course.gradebook.graded import GRADED
from lmlib.course.gradebook.similarity import near_identical
from lmlib.course.gradebook.store import Gradebook, Row


def report(book: Gradebook, assignment: str) -> str:
    """The page. Raises CourseError when nothing was handed in."""
    rows = book.rows(assignment)
    if not rows:
        raise CourseError(f"nothing was handed in for {assignment}")
    handed_in = {row.student.id for row in rows}
    mistakes = Counter((name, mistake) for row in rows for name, mark in row.marks.items() for mistake in mark.mistakes)
    order = {name: place for place, name in enumerate(rows[0].marks)}
    scores = [row.score for row in rows if row.status == GRADED]
    answers = {student: answers_of(file) for student, file in book.files(assignment).items()}
    return pages.render(
        "class_report.html",
        assignment=assignment,
        rows=rows,
        missing=[one for one in book.students() if one.on_roster and one.id not in handed_in],
        mean=sum(scores) / len(scores) if scores else 0.0,
        mistakes=sorted(mistakes.items(), key=lambda one: (-one[1], order[one[0][0]], one[0][1])),
        pairs=near_identical(answers),
        points=_picture(_points_figure(rows)),
        seconds=sorted(row.seconds for row in rows if row.status == GRADED) or [0.0],
        troubles=[row for row in rows if row.status != GRADED],
    )


def answers_of(file: bytes) -> str:
    """The code of the answer cells of a notebook; empty when it is none."""
    try:
        cells = safe_json.loads(file.decode()).get("cells", [])
        return "\n".join(text_of(cell.get("source", "")) for cell in cells if merge.is_answer(cell))
    except (ValueError, AttributeError, TypeError, KeyError):
        return ""


def _points_figure(rows: list[Row]) -> Any:
    """For each question the mean share of its points, and below it how many have all of them."""
    names = list(rows[0].marks)
    shares = [[row.marks[name].points / (row.marks[name].maximum or 1) for row in rows] for name in names]
    fig, (ax,) = plots.figure("Points by question", width=7.0, height=0.9 + 0.4 * len(names))
    places = range(len(names))
    ax.barh(places, [sum(of_one) / len(of_one) for of_one in shares], color="0.6", edgecolor="0.2")
    labels = [
        f"{name}\n{sum(one >= 1 for one in of_one)} of {len(of_one)} full"
        for name, of_one in zip(names, shares, strict=True)
    ]
    ax.set_yticks(places, labels)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("mean share of the points")
    return fig


def _picture(fig: Any) -> str:
    return base64.b64encode(plots.as_png(fig)).decode()
