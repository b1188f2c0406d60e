"""The gradebook as an object: every method is one transaction, so that a kill at any moment leaves it whole."""

import hashlib
import json
import math
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from lmlib.course.errors import CourseError
from lmlib.course.gradebook import lateness
from lmlib.course.gradebook.graded import Graded, QuestionScore
from lmlib.course.gradebook.lateness import LateRule
from lmlib.course.gradebook.tables import (
    Assignment,
    Attempt,
    Base,
    Change,
    Extension,
    Manual,
    Question,
    Score,
    Student,
)

GRADER = "lmbook"  # who the history names for what no person did
WAIT = 60  # seconds for another process that is writing


class GradebookError(CourseError):
    """A gradebook that cannot be used, or a request that does not fit it, with the reason."""


@dataclass(frozen=True)
class Mark:
    """One question of one student as it counts: by the check, or by a person, whose points come first."""

    points: float
    maximum: float
    by_hand: bool = False
    comment: str = ""
    mistakes: list[str] = field(default_factory=list)
    text: str = ""


@dataclass(frozen=True)
class Kept:
    """An attempt as it is kept, without its file."""

    id: int
    student: str
    received: datetime
    status: str
    sandbox: str


@dataclass(frozen=True)
class Row:
    """One student's work on one assignment, as exports and reports show it."""

    student: Student
    assignment: str
    due: datetime | None
    received: datetime
    days_late: int
    attempts: int
    status: str
    seconds: float
    remarks: list[str]
    marks: dict[str, Mark]
    penalty: float

    @property
    def raw(self) -> float:
        """The points of all questions, before anything is taken off for lateness."""
        return sum(mark.points for mark in self.marks.values())

    @property
    def maximum(self) -> float:
        """The points that the assignment gives."""
        return sum(mark.maximum for mark in self.marks.values())

    @property
    def score(self) -> float:
        """The points that count."""
        return self.raw - self.penalty


def digest_of(file: bytes) -> str:
    """By what a file is known."""
    return hashlib.sha256(file).hexdigest()


class Gradebook:
    """An SQLite file. Raises GradebookError when it is none, or when a name in a request is unknown."""

    def __init__(self, path: Path):
        self.path = path
        self.engine = _engine(path)
        try:
            Base.metadata.create_all(self.engine)
        except DatabaseError as error:
            raise GradebookError(f"{path}: it cannot be used as a gradebook ({error.orig})") from None

    def close(self) -> None:
        """Let go of the file."""
        self.engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        """A transaction: all of it is kept, or nothing."""
        with Session(self.engine) as session, session.begin():
            yield session

    # --- what is set before grading

    def enrol(self, roster: Iterable[Mapping[str, str]], who: str) -> int:
        """Put students on the roster, or change their names; returns how many. A row needs `student_id`."""
        count = 0
        with self._writing() as session:
            for row in roster:
                values = {key: (value or "").strip() for key, value in row.items() if key}
                if not values.get("student_id"):
                    raise GradebookError(f"each row of a roster needs a student_id; one has {', '.join(values)}")
                student = session.merge(Student(id=values.pop("student_id")))
                for name in {"last_name", "first_name", "email"} & values.keys():
                    setattr(student, name, values.pop(name))
                student.on_roster, student.columns = True, {**(student.columns or {}), **values}
                count += 1
            _note(session, who, f"enrolled {count} students")
        return count

    def set_deadline(self, assignment: str, rule: LateRule, who: str) -> None:
        """Set the deadline of an assignment and what being late costs."""
        with self._writing() as session:
            row = session.get(Assignment, assignment) or Assignment(name=assignment)
            session.add(row)
            row.due, row.penalty_per_day, row.days_accepted = rule.due, rule.penalty_per_day, rule.days_accepted
            _note(session, who, f"{assignment}: due {rule.due}, {rule.penalty_per_day:g} a day, {rule.days_accepted}")

    def extend(self, student: str, assignment: str, due: datetime, who: str) -> None:
        """Give one student a deadline of their own."""
        with self._writing() as session:
            _require(session, Student, student)
            _require(session, Assignment, assignment)
            session.merge(Extension(student=student, assignment=assignment, due=due))
            _note(session, who, f"{student}, {assignment}: due {due}")

    # --- grading

    def has(self, student: str, digest: str) -> bool:
        """Whether this very file of the student was graded already. One of no known assignment is tried again."""
        with Session(self.engine) as session:
            found = _attempt(session, student, digest)
            return found is not None and not _is_unknown(found)

    def hand_in_again(self, student: str, digest: str, received: datetime, others: Collection[str]) -> None:
        """A file that was graded comes again, now with `others` (digests): it counts if the last one is gone."""
        with self._writing() as session:
            row = _attempt(session, student, digest)
            if row is None:
                return
            own = select(Attempt).where(Attempt.student == student, Attempt.assignment == row.assignment)
            last = session.scalars(own.order_by(Attempt.received.desc(), Attempt.id.desc())).first() or row
            if last.digest not in others and received > last.received:
                row.received = received
                _note(session, GRADER, f"{student}, {row.assignment}: an earlier file was handed in again")

    def record(self, student: str, file: bytes, received: datetime, graded: Graded) -> None:
        """Keep one graded file. The same file of the same student again changes nothing."""
        digest = digest_of(file)
        if self.has(student, digest):
            return
        with self._writing() as session:
            if session.get(Student, student) is None:
                session.add(Student(id=student))
            if unknown := _attempt(session, student, digest):
                session.delete(unknown)
                session.flush()
            _keep_questions(session, graded)
            session.flush()
            session.add(
                Attempt(
                    student=student,
                    assignment=graded.assignment,
                    digest=digest,
                    file=zlib.compress(file),
                    received=received,
                    status=graded.status,
                    seconds=graded.seconds,
                    remarks=graded.remarks,
                    sandbox=graded.sandbox,
                    executed=_packed(graded.executed),
                    scores=[_score(question) for question in graded.questions],
                )
            )
            _note(session, GRADER, f"{student}, {graded.assignment}: {graded.status}")

    def attempts(self, assignment: str, question: str | None = None) -> list[Kept]:
        """Every attempt at an assignment, in order. Raises GradebookError when it, or its question, is unknown."""
        with Session(self.engine) as session:
            _require(session, Assignment, assignment)
            if question is not None:
                _require_question(session, assignment, question)
            wanted = select(Attempt.id, Attempt.student, Attempt.received, Attempt.status, Attempt.sandbox)
            found = session.execute(wanted.where(Attempt.assignment == assignment).order_by(Attempt.id))
            return [Kept(*row) for row in found]

    def file(self, attempt: int) -> bytes:
        """The file of an attempt, as it was handed in."""
        with Session(self.engine) as session:
            return zlib.decompress(session.get_one(Attempt, attempt).file)

    def regrade(self, attempt: int, graded: Graded, who: str, question: str | None = None) -> list[str]:
        """Put a new result in place of that of an attempt, or of one question of it; what people gave stays.

        Returns what has changed, such as "scores: 1 -> 4"; when nothing has, nothing is written.
        """
        with self._writing() as session:
            row = session.get_one(Attempt, attempt)
            new = [one for one in graded.questions if question in (None, one.question)]
            changes = [change for one in new if (change := _replace(session, row, one))]
            if question is None:
                if (row.status, row.remarks) != (graded.status, graded.remarks):
                    changes += [graded.status] if row.status != graded.status else ["remarks"]
                    row.status, row.remarks = graded.status, graded.remarks
                if changes:
                    row.seconds, row.sandbox, row.executed = graded.seconds, graded.sandbox, _packed(graded.executed)
            if changes:
                _note(session, who, f"{row.student}, {row.assignment}: regraded, {'; '.join(changes)}")
            return changes

    # --- what a person gives

    def give(self, student: str, assignment: str, question: str, points: float | None, comment: str, who: str) -> None:
        """Points in place of the check's (None: leave those), and a comment. Above the maximum is allowed: a bonus."""
        self.give_all([(student, assignment, question, points, comment)], who)

    def give_all(self, given: Iterable[tuple[str, str, str, float | None, str]], who: str) -> None:
        """As `give`, for many: (student, assignment, question, points, comment). All are kept, or none."""
        with self._writing() as session:
            for student, assignment, question, points, comment in given:
                if points is not None and not 0 <= points < math.inf:
                    raise GradebookError(f"points must be 0 or more; got {points:g} for {student}, {question}")
                _require(session, Student, student)
                _require_question(session, assignment, question)
                keys = {"student": student, "assignment": assignment, "question": question}
                row = session.get(Manual, keys) or Manual(**keys, points=None, comment="")
                session.add(row)
                row.points = row.points if points is None else points
                row.comment = comment or row.comment
                said = "a comment" if points is None else f"{points:g} points"
                _note(session, who, f"{student}, {assignment}, {question}: {said} by hand {comment!r}")

    # --- reading

    def rows(self, assignment: str | None = None) -> list[Row]:
        """The attempt that counts, the last one handed in, of every student and assignment."""
        with Session(self.engine, expire_on_commit=False) as session:
            wanted = select(Attempt).order_by(Attempt.assignment, Attempt.student, Attempt.received, Attempt.id)
            if assignment is not None:
                _require(session, Assignment, assignment)
                wanted = wanted.where(Attempt.assignment == assignment)
            counts: dict[tuple[str, str], list[Attempt]] = {}
            for attempt in session.scalars(wanted):
                counts.setdefault((attempt.student, attempt.assignment), []).append(attempt)
            return [_row(session, attempts) for attempts in counts.values()]

    def executed(self, student: str, assignment: str) -> dict[str, Any]:
        """The executed notebook of the attempt that counts; empty when nothing ran."""
        wanted = select(Attempt.executed).where(Attempt.student == student, Attempt.assignment == assignment)
        with Session(self.engine) as session:
            found = session.scalars(wanted.order_by(Attempt.received.desc(), Attempt.id.desc())).first()
        return json.loads(zlib.decompress(found)) if found else {}

    def files(self, assignment: str) -> dict[str, bytes]:
        """The file that counts of every student."""
        wanted = select(Attempt.student, Attempt.file).where(Attempt.assignment == assignment)
        with Session(self.engine) as session:
            found = session.execute(wanted.order_by(Attempt.received, Attempt.id)).all()
        return {student: zlib.decompress(file) for student, file in found}

    def students(self) -> list[Student]:
        """All students, by name."""
        with Session(self.engine, expire_on_commit=False) as session:
            return list(session.scalars(select(Student).order_by(Student.last_name, Student.first_name, Student.id)))

    def assignments(self) -> list[str]:
        """The names of all assignments that something was handed in for, or that have a deadline."""
        with Session(self.engine) as session:
            return list(session.scalars(select(Assignment.name).order_by(Assignment.name)))

    def history(self) -> list[tuple[datetime, str, str]]:
        """When, who, what; in order."""
        with Session(self.engine) as session:
            return [(row.at, row.who, row.what) for row in session.scalars(select(Change).order_by(Change.id))]


def _engine(path: Path) -> Engine:
    if not path.parent.is_dir():
        raise GradebookError(f"{path.parent}: there is no such folder; make it first")
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": WAIT})

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")

    return engine


def _require(session: Session, table: type[Student] | type[Assignment], name: str) -> None:
    if session.get(table, name) is None:
        what = table.__name__.lower()
        raise GradebookError(f"the gradebook knows no {what} {name!r}")


def _require_question(session: Session, assignment: str, name: str) -> None:
    if session.get(Question, (assignment, name)) is None:
        known = session.scalars(
            select(Question.name).where(Question.assignment == assignment).order_by(Question.place)
        ).all()
        raise GradebookError(
            f"{assignment} has no question {name!r} in this gradebook; it has: {', '.join(known) or 'none'}"
        )


def _attempt(session: Session, student: str, digest: str) -> Attempt | None:
    """The attempt with this very file of the student."""
    return session.scalar(select(Attempt).where(Attempt.student == student, Attempt.digest == digest))


def _is_unknown(attempt: Attempt) -> bool:
    """Whether it is kept under the name of its file, for want of an assignment (see `work.work`)."""
    return attempt.assignment.endswith(".ipynb")


def _note(session: Session, who: str, what: str) -> None:
    session.add(Change(at=datetime.now(UTC), who=who, what=what))


def _keep_questions(session: Session, graded: Graded) -> None:
    if session.get(Assignment, graded.assignment) is None:
        session.add(Assignment(name=graded.assignment))
        session.flush()
    for place, one in enumerate(graded.questions):
        session.merge(Question(assignment=graded.assignment, name=one.question, place=place, maximum=one.maximum))


def _score(one: QuestionScore) -> Score:
    return Score(question=one.question, points=one.points, mistakes=one.mistakes, text=one.text)


def _packed(notebook: Mapping[str, Any]) -> bytes:
    return zlib.compress(json.dumps(notebook).encode())


def _replace(session: Session, attempt: Attempt, new: QuestionScore) -> str:
    """Put a new score in place of an attempt's, and the maximum of its question; what has changed, or nothing."""
    known = session.get(Question, (attempt.assignment, new.question))
    if known is None:
        place = len(session.get_one(Assignment, attempt.assignment).questions)
        session.add(Question(assignment=attempt.assignment, name=new.question, place=place, maximum=new.maximum))
        session.flush()
    elif known.maximum != new.maximum:
        _note(session, GRADER, f"{attempt.assignment}, {new.question}: of {known.maximum:g} -> {new.maximum:g} points")
        known.maximum = new.maximum
    before = next((score for score in attempt.scores if score.question == new.question), None)
    if before is None:
        attempt.scores.append(_score(new))
        return f"{new.question}: none -> {new.points:g}"
    if (before.points, before.mistakes, before.text) == (new.points, new.mistakes, new.text):
        return ""
    was = before.points
    before.points, before.mistakes, before.text = new.points, new.mistakes, new.text
    return f"{new.question}: {was:g} -> {new.points:g}" if was != new.points else f"{new.question}: other words"


def _row(session: Session, attempts: list[Attempt]) -> Row:
    """The row of a student's attempts at an assignment, the last one last."""
    last = attempts[-1]
    assignment = session.get_one(Assignment, last.assignment)
    extension = session.get(Extension, (last.student, last.assignment))
    due = extension.due if extension else assignment.due
    scores = {score.question: score for score in last.scores}
    marks = {
        question.name: _mark(question, scores.get(question.name), _manual(session, last.student, question))
        for question in assignment.questions
    }
    rule = LateRule(due, assignment.penalty_per_day, assignment.days_accepted)
    days = lateness.days_late(last.received, due)
    raw, maximum = (sum(getattr(mark, name) for mark in marks.values()) for name in ("points", "maximum"))
    return Row(
        student=session.get_one(Student, last.student),
        assignment=last.assignment,
        due=due,
        received=last.received,
        days_late=days,
        attempts=len(attempts),
        status=last.status,
        seconds=last.seconds,
        remarks=last.remarks,
        marks=marks,
        penalty=lateness.penalty(raw, maximum, days, rule),
    )


def _manual(session: Session, student: str, question: Question) -> Manual | None:
    return session.get(Manual, (student, question.assignment, question.name))


def _mark(question: Question, score: Score | None, manual: Manual | None) -> Mark:
    by_hand = manual is not None and manual.points is not None
    points = manual.points if manual is not None and manual.points is not None else score.points if score else 0.0
    return Mark(
        points=points,
        maximum=question.maximum,
        by_hand=by_hand,
        comment=manual.comment if manual else "",
        mistakes=score.mistakes if score else [],
        text=score.text if score else "",
    )
