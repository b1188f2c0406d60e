"""`lmbook grade SUBMISSIONS --gradebook FILE`: a class graded into its gradebook, with a line for each notebook."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from queue import SimpleQueue
from typing import TYPE_CHECKING

from lmlib.course import book, grade, machine
from lmlib.course.checking import assignment_of, check_notebook, released_assignments
from lmlib.course.errors import CourseError, InterruptedWorkError
from lmlib.course.gradebook import layouts
from lmlib.course.gradebook.graded import GRADED, Graded, QuestionScore
from lmlib.course.gradebook.grading import Grade, grade_class
from lmlib.course.gradebook.layouts import Handed
from lmlib.course.gradebook.store import Gradebook

if TYPE_CHECKING:
    from lmlib.course.outside.grading import Grader

OfPath = Callable[[Path], Graded]  # raises CourseError for a notebook that is no copy of an assignment


def grade_into(
    place: Path, gradebook: Path, timeout: float, jobs: int | None, secret: Path | None = None, sandbox: bool = True
) -> None:
    """Grade what the gradebook does not have yet: with this user's rights, or with a secret in the sandbox.

    Raises InterruptedWorkError on Ctrl-C, with what is kept, and SandboxError where no sandbox can be had.
    """
    handed, base, n_jobs = layouts.find(place), book.root(), jobs or machine.cores()
    kept, done = Gradebook(gradebook), 0
    with grader(base, timeout, n_jobs, secret, sandbox) as graded:
        work = grade_class(handed, kept, graded, n_jobs)
        try:
            for one in work:
                done += 1
                print(_line(one.handed, one.graded), flush=True)
        except KeyboardInterrupt:
            raise InterruptedWorkError(
                f"interrupted with {done} of {len(handed)} in the gradebook; run again"
            ) from None
        finally:
            work.close()
            kept.close()


@contextmanager
def grader(base: Path, timeout: float, jobs: int, secret: Path | None, sandbox: bool) -> Iterator[Grade]:
    """What grades one hand-in, in `jobs` threads at a time. Without a secret the notebooks are trusted."""
    known = released_assignments(base)
    if secret is None:
        yield lambda one: _graded(one, known, lambda path: _trusted(path, timeout, base))
        return
    from lmlib.course.outside.grading import Grader
    from lmlib.course.outside.limits import Limits
    from lmlib.course.outside.secret import read_or_make

    limits, word = Limits(cell_seconds=timeout), read_or_make(secret)
    free: SimpleQueue[Grader] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(jobs):
            free.put(stack.enter_context(Grader(word, limits, sandbox=sandbox)))

        def graded(one: Handed) -> Graded:
            own = free.get()
            try:
                return _graded(one, known, lambda path: _outside(path, own, known))
            finally:
                free.put(own)

        yield graded


def _graded(one: Handed, known: dict[str, Path], of_path: OfPath) -> Graded:
    """The result of a hand-in; what is wrong with it is its status."""
    stem = PurePosixPath(one.name).stem
    guessed = next((name for name in known if name.rpartition("/")[2] == stem), one.name)
    if one.problem:
        return Graded(guessed, one.problem)
    with tempfile.TemporaryDirectory(prefix="lmbook-grade-") as folder:
        path = Path(folder) / one.name
        path.write_bytes(one.file)
        try:
            return of_path(path)
        except CourseError as error:
            return Graded(guessed, str(error).replace(f"{path}: ", ""))


def _trusted(path: Path, timeout: float, base: Path) -> Graded:
    result = check_notebook(path, timeout, base)
    scores = [QuestionScore(q.question, q.score, q.maximum, q.mistakes, q.text) for q in result.questions]
    return Graded(result.assignment, GRADED, scores, grade.remarks_of(result), sandbox="none: trusted")


def _outside(path: Path, own: "Grader", known: dict[str, Path]) -> Graded:
    from lmlib.course.outside import submitted

    nb, _ = submitted.read(path, own.limits)
    found = own.grade(path, known[assignment_of(nb, path, known)])
    scores = [QuestionScore(q.question, q.score, q.maximum, list(q.mistakes), q.text) for q in found.questions]
    remarks = [remark for q in found.questions for remark in q.remarks] + list(found.remarks)
    layers = "; ".join(f"{layer}: {what}" for layer, what in found.sandbox.items())
    return Graded(found.assignment, found.status, scores, remarks, found.seconds, layers, dict(found.notebook or {}))


def _line(one: Handed, graded: Graded | None) -> str:
    if graded is None:
        return f"{one.student:<20} {one.name:<36} in the gradebook already"
    score, maximum = (sum(getattr(q, name) for q in graded.questions) for name in ("points", "maximum"))
    said = "" if graded.status == GRADED else f"  {graded.status}"
    return f"{one.student:<20} {graded.assignment:<36} {score:>5g} of {maximum:<5g}{said}"
