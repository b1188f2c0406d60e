"""`lmbook grade SUBMISSIONS --gradebook FILE` and `lmbook gradebook regrade`, with a line for each notebook."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lmlib.course import book
from lmlib.course.errors import CourseError, InterruptedWorkError, WorkFailedError
from lmlib.course.gradebook import layouts, work
from lmlib.course.gradebook.graded import GRADED, TRUSTED
from lmlib.course.gradebook.grading import Done, Regraded, Submit, grade_class, regrade_class
from lmlib.course.gradebook.store import Gradebook
from lmlib.course.submission import on_one_line
from lmlib.course.workers import Workers, workers

One = TypeVar("One", Done, Regraded)


@dataclass(frozen=True)
class Settings:
    """How notebooks are graded: with this user's rights, or with the file of a secret in the sandbox, from outside."""

    timeout: float = 60  # seconds for a cell
    jobs: int | None = None  # at a time; one for each core when it is not given
    secret: Path | None = None
    sandbox: bool = True
    scheduler: str | None = None  # the address of a Dask scheduler, whose workers then grade


def grade_into(place: Path, gradebook: Path, settings: Settings) -> None:
    """Grade what the gradebook does not have yet.

    Raises InterruptedWorkError on Ctrl-C, with what is kept, WorkFailedError at the end for what this machine failed
    to grade, and SandboxError where no sandbox can be had.
    """
    handed = layouts.find(place)
    with closing(Gradebook(gradebook)) as kept, grader(book.root(), settings) as (submit, own):
        done = _shown(grade_class(handed, kept, submit, own), len(handed))
    if failed := [one for one in done if one.failed]:
        raise WorkFailedError(f"{len(failed)} of {len(handed)} were not graded, see above; run again to grade them")


def regrade(gradebook: Gradebook, assignment: str, question: str | None, settings: Settings, who: str) -> None:
    """Grade one question of every attempt at an assignment anew, or all of them.

    Raises CourseError before anything runs: for an unknown name, and for notebooks that were not trusted and would be
    now. Raises InterruptedWorkError and WorkFailedError as `grade_into` does.
    """
    base = book.root()
    attempts = gradebook.attempts(assignment, question)
    released = work.questions_of(base).get(assignment)
    if released is None or (question is not None and question not in released):
        what = f"question {question!r} in {assignment}" if released else f"assignment {assignment}"
        raise CourseError(f"there is no {what} in {base / 'exercises'}; it cannot be graded")
    if settings.secret is None and any(one.sandbox not in ("", TRUSTED) for one in attempts):
        raise CourseError(f"the work on {assignment} was not trusted when it was graded; give --untrusted SECRET again")
    if settings.secret is not None and not settings.secret.is_file():
        raise CourseError(f"{settings.secret}: there is no such secret; a regrade needs the one of the grading")
    with grader(base, settings) as (submit, own):
        done = _shown(regrade_class(assignment, question, gradebook, submit, own, who), len(attempts))
    changed = sum(bool(one.changes) for one in done)
    print(f"{changed} of {len(done)} attempts have changed")
    if failed := [one for one in done if one.failed]:
        raise WorkFailedError(f"{len(failed)} of {len(done)} were not graded anew, see above; they are as they were")


@contextmanager
def grader(base: Path, settings: Settings) -> Iterator[tuple[Submit, Workers]]:
    """What takes hand-ins and grades them, and the workers that do it."""
    from lmlib.course.outside.secret import read_or_make

    secret = read_or_make(settings.secret) if settings.secret else None
    order = work.Order(settings.timeout, secret is None, settings.sandbox, work.fingerprint_of(base))
    questions = work.questions_of(base)
    with workers(settings.jobs, settings.scheduler) as own:
        try:
            yield (
                lambda one, question: own.submit(
                    work.work, one, question, order, work.seeds(secret, one.file, questions) if secret else {}
                ),
                own,
            )
        finally:
            work.finish(order)


def _shown(doing: Generator[One, None, None], total: int) -> list[One]:
    """Print a line for each as soon as it is kept. Raises InterruptedWorkError on Ctrl-C, with how many are."""
    done: list[One] = []
    with closing(doing):
        try:
            for one in doing:
                done.append(one)
                if line := _line(one):
                    print(on_one_line(line), flush=True)
        except KeyboardInterrupt:
            raise InterruptedWorkError(f"interrupted with {len(done)} of {total} in the gradebook; run again") from None
    return done


def _line(one: Done | Regraded) -> str:
    if isinstance(one, Regraded):
        said = "; ".join(one.changes) or one.failed
        return f"{one.attempt.student:<20} {said}" if said else ""
    begin = f"{one.handed.student:<20}"
    if one.graded is None:
        return f"{begin} {one.handed.name:<36} {one.failed or 'in the gradebook already'}"
    score, maximum = (sum(getattr(q, name) for q in one.graded.questions) for name in ("points", "maximum"))
    said = "" if one.graded.status == GRADED else f"  {one.graded.status}"
    return f"{begin} {one.graded.assignment:<36} {score:>5g} of {maximum:<5g}{said}"
