"""A small class: two questions, three students, and helpers to hand in."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from lmlib.course.gradebook.graded import Graded, QuestionScore
from lmlib.course.gradebook.store import Gradebook

NAME = "02_core_concepts/02_attention"
DUE = datetime(2026, 2, 1, 12, tzinfo=UTC)
WHO = "teacher"


def graded(first: float, second: float, mistakes: tuple[str, ...] = ()) -> Graded:
    """A result with points for both questions, of 4 and of 6."""
    questions = [
        QuestionScore("scores", first, 4.0, list(mistakes), f"scores: {first:g} of 4 points"),
        QuestionScore("masks", second, 6.0, [], f"masks: {second:g} of 6 points"),
    ]
    return Graded(NAME, questions=questions, seconds=0.2, sandbox="strict")


def book_of_three(folder: Path) -> Gradebook:
    """Ann has all points and is a day and a bit late, Bob has made a mistake, Cem is only on the roster."""
    book = Gradebook(folder / "class.db")
    names = [("ann", "Ann", "Ash"), ("bob", "Bob", "Birch"), ("cem", "Cem", "Çınar")]
    roster = [
        {"student_id": one, "first_name": first, "last_name": last, "email": f"{one}@school", "ID": str(number)}
        for number, (one, first, last) in enumerate(names, 100)
    ]
    book.enrol(roster, WHO)
    book.record("ann", b"ann 1", DUE + timedelta(days=1, seconds=1), graded(4, 6))
    book.record("bob", b"bob 1", DUE - timedelta(hours=1), graded(1, 6, ("wrong axis",)))
    return book
