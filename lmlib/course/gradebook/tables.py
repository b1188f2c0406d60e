"""The tables of a gradebook. Moments are kept in UTC; points that a person gave stand apart from those of a check."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import DateTime, TypeDecorator


class Moment(TypeDecorator[datetime]):
    """A moment in UTC: SQLite forgets the time zone, so it is fixed on the way in and added on the way out."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value.replace(tzinfo=UTC) if value else None


class Base(DeclarativeBase):
    """All tables."""


class Student(Base):
    """One who is on the roster, or has handed in without being on it."""

    __tablename__ = "students"
    id: Mapped[str] = mapped_column(primary_key=True)  # as in the names of folders
    last_name: Mapped[str] = mapped_column(default="")
    first_name: Mapped[str] = mapped_column(default="")
    email: Mapped[str] = mapped_column(default="")
    on_roster: Mapped[bool] = mapped_column(default=False)
    columns: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)  # other columns of the roster, by name


class Assignment(Base):
    """An assignment, with its deadline and what being late costs."""

    __tablename__ = "assignments"
    name: Mapped[str] = mapped_column(primary_key=True)  # CHAPTER/NAME
    due: Mapped[datetime | None] = mapped_column(Moment)
    penalty_per_day: Mapped[float] = mapped_column(default=0.0)  # a share of the maximum for each day begun
    days_accepted: Mapped[int | None] = mapped_column(default=None)  # after so many days late work earns nothing
    questions: Mapped[list["Question"]] = relationship(order_by="Question.place")


class Question(Base):
    """A question of an assignment, in its order, with the points that it gives."""

    __tablename__ = "questions"
    assignment: Mapped[str] = mapped_column(ForeignKey("assignments.name"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[int]
    maximum: Mapped[float]


class Extension(Base):
    """A deadline of one student."""

    __tablename__ = "extensions"
    student: Mapped[str] = mapped_column(ForeignKey("students.id"), primary_key=True)
    assignment: Mapped[str] = mapped_column(ForeignKey("assignments.name"), primary_key=True)
    due: Mapped[datetime] = mapped_column(Moment)


class Attempt(Base):
    """One notebook that was handed in, with what grading gave. All are kept; the one handed in last counts."""

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("student", "digest"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    student: Mapped[str] = mapped_column(ForeignKey("students.id"))
    assignment: Mapped[str] = mapped_column(ForeignKey("assignments.name"))
    digest: Mapped[str]  # SHA-256 of the file
    file: Mapped[bytes]  # the file, compressed, so that it can be graded again
    received: Mapped[datetime] = mapped_column(Moment)
    status: Mapped[str]  # "graded", or why it could not be
    seconds: Mapped[float]
    remarks: Mapped[list[str]] = mapped_column(JSON)
    sandbox: Mapped[str]  # what kept the student's code in bounds
    executed: Mapped[bytes]  # the executed notebook as JSON, compressed
    scores: Mapped[list["Score"]] = relationship(cascade="all, delete-orphan")


class Score(Base):
    """What the check of a question gave to an attempt."""

    __tablename__ = "scores"
    attempt: Mapped[int] = mapped_column(ForeignKey("attempts.id"), primary_key=True)
    question: Mapped[str] = mapped_column(primary_key=True)
    points: Mapped[float]
    mistakes: Mapped[list[str]] = mapped_column(JSON)
    text: Mapped[str]


class Manual(Base):
    """What a person gave for a question: points in place of the check's, a comment, or both. No regrade touches it."""

    __tablename__ = "manual"
    __table_args__ = (ForeignKeyConstraint(["assignment", "question"], ["questions.assignment", "questions.name"]),)
    student: Mapped[str] = mapped_column(ForeignKey("students.id"), primary_key=True)
    assignment: Mapped[str] = mapped_column(primary_key=True)
    question: Mapped[str] = mapped_column(primary_key=True)
    points: Mapped[float | None]
    comment: Mapped[str] = mapped_column(default="")


class Change(Base):
    """A line of the history: who did what, when."""

    __tablename__ = "changes"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(Moment)
    who: Mapped[str]
    what: Mapped[str]
