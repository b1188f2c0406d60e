"""The commands `lmbook gradebook ...`."""

from pathlib import Path
from typing import Annotated

import typer

from lmlib.course.options import Sandbox, SandboxOption, Scheduler, Timeout, Untrusted

app = typer.Typer(
    no_args_is_help=True, help="The gradebook of a class: roster, deadlines, points by hand, exports, reports."
)

Book = Annotated[Path, typer.Argument(help="The gradebook, an SQLite file.", show_default=False)]
Assignment = Annotated[str, typer.Argument(help="CHAPTER/NAME", show_default=False)]
Student = Annotated[str, typer.Argument(help="The student's id.", show_default=False)]
Moment = Annotated[str, typer.Argument(help='Such as "2026-02-01 23:59".', show_default=False)]
Out = Annotated[Path, typer.Argument(help="The file to write.", show_default=False)]
OneAssignment = Annotated[str | None, typer.Option("--assignment", help="This one alone.", metavar="CHAPTER/NAME")]


@app.command()
def enrol(book: Book, roster: Annotated[Path, typer.Argument(help="A CSV with student_id, names, email.")]) -> None:
    """Put students on the roster; the gradebook is made when it is missing."""
    from lmlib.course.gradebook import desk

    desk.enrol(book, roster)


@app.command()
def deadline(
    book: Book,
    assignment: Assignment,
    due: Moment,
    penalty: Annotated[float, typer.Option(help="Share of the maximum taken off for each day begun.")] = 0.0,
    days: Annotated[int | None, typer.Option(help="Days after which late work earns nothing.")] = None,
) -> None:
    """Set when an assignment is due, and what being late costs."""
    from lmlib.course.gradebook import desk

    desk.deadline(book, assignment, due, penalty, days)


@app.command()
def extend(book: Book, student: Student, assignment: Assignment, due: Moment) -> None:
    """Give one student more time."""
    from lmlib.course.gradebook import desk

    desk.extend(book, student, assignment, due)


@app.command()
def give(
    book: Book,
    student: Student,
    assignment: Assignment,
    question: Annotated[str, typer.Argument(help="The question's name.", show_default=False)],
    points: Annotated[float | None, typer.Option(help="In place of the check's points.")] = None,
    comment: Annotated[str, typer.Option(help="What the student reads.")] = "",
) -> None:
    """Give points by hand, a comment, or both; no regrade touches them."""
    from lmlib.course.gradebook import desk

    desk.give(book, student, assignment, question, points, comment)


@app.command("give-all")
def give_all(book: Book, table: Annotated[Path, typer.Argument(help="A CSV, a row for each entry.")]) -> None:
    """Give what a CSV says: student_id, assignment, question, points, comment."""
    from lmlib.course.gradebook import desk

    desk.give_all(book, table)


@app.command()
def regrade(
    book: Book,
    assignment: Assignment,
    question: Annotated[
        str | None, typer.Argument(help="The question's name. Default: all of the notebook.", show_default=False)
    ] = None,
    timeout: Timeout = 60,
    untrusted: Untrusted = None,
    sandbox: SandboxOption = Sandbox.on,
    jobs: Annotated[int | None, typer.Option(min=1, help="Notebooks at a time. Default: one a core.")] = None,
    scheduler: Scheduler = None,
) -> None:
    """Grade one question of every attempt anew, after its check was changed; what people gave stays.

    Only the code up to the question's check is run, and no other check; the other questions keep what they had.
    """
    from lmlib.course.gradebook import desk
    from lmlib.course.gradebook.class_grading import Settings

    desk.regrade(book, assignment, question, Settings(timeout, jobs, untrusted, sandbox == Sandbox.on, scheduler))


@app.command()
def export(
    book: Book,
    out: Out,
    kind: Annotated[str, typer.Option("--format", help="json, nbgrader, canvas or moodle.")] = "json",
    assignment: OneAssignment = None,
) -> None:
    """Write the points in a format that another system reads."""
    from lmlib.course.gradebook import desk

    desk.export(book, kind, out, assignment)


@app.command()
def gradescope(book: Book, student: Student, assignment: Assignment, out: Out) -> None:
    """Write Gradescope's results.json for one submission."""
    from lmlib.course.gradebook import desk

    desk.gradescope(book, student, assignment, out)


@app.command()
def feedback(
    book: Book,
    folder: Annotated[Path, typer.Argument(help="Here come STUDENT/ASSIGNMENT.html.", show_default=False)],
    assignment: OneAssignment = None,
) -> None:
    """Write an HTML page for each student."""
    from lmlib.course.gradebook import desk

    desk.feedback(book, folder, assignment)


@app.command()
def report(book: Book, assignment: Assignment, out: Out) -> None:
    """Write the report of the class: points, common mistakes, time, near-identical work."""
    from lmlib.course.gradebook import desk

    desk.write_report(book, assignment, out)


@app.command()
def history(book: Book) -> None:
    """Print who did what, when."""
    from lmlib.course.gradebook import desk

    desk.history(book)
