"""`lmbook grade SUBMISSIONS --gradebook FILE`: a class graded into its gradebook, with a line for each notebook."""

import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from lmlib.course import book, grade, machine
from lmlib.course.checking import check_notebook, released_assignments
from lmlib.course.errors import CourseError, InterruptedWorkError
from lmlib.course.gradebook import layouts
from lmlib.course.gradebook.graded import GRADED, Graded, QuestionScore
from lmlib.course.gradebook.grading import grade_class
from lmlib.course.gradebook.layouts import Handed
from lmlib.course.gradebook.store import Gradebook


def grade_into(place: Path, gradebook: Path, timeout: float, jobs: int | None) -> None:
    """Grade what the gradebook does not have yet. Raises InterruptedWorkError on Ctrl-C, with what is kept."""
    handed, base = layouts.find(place), book.root()
    kept, done = Gradebook(gradebook), 0
    work = grade_class(handed, kept, trusting(base, timeout), jobs or machine.cores())
    try:
        for one in work:
            done += 1
            print(_line(one.handed, one.graded), flush=True)
    except KeyboardInterrupt:
        raise InterruptedWorkError(f"interrupted with {done} of {len(handed)} in the gradebook; run again") from None
    finally:
        work.close()
        kept.close()


def trusting(base: Path, timeout: float) -> Callable[[Handed], Graded]:
    """A grader that runs each notebook as `lmbook check` does, with this user's rights."""
    names = {name.rpartition("/")[2]: name for name in released_assignments(base)}

    def graded(one: Handed) -> Graded:
        guessed = names.get(PurePosixPath(one.name).stem, one.name)
        if one.problem:
            return Graded(guessed, one.problem)
        with tempfile.TemporaryDirectory(prefix="lmbook-grade-") as folder:
            path = Path(folder) / one.name
            path.write_bytes(one.file)
            try:
                result = check_notebook(path, timeout, base)
            except CourseError as error:
                return Graded(guessed, str(error).replace(f"{path}: ", ""))
        scores = [QuestionScore(q.question, q.score, q.maximum, q.mistakes, q.text) for q in result.questions]
        return Graded(result.assignment, GRADED, scores, grade.remarks_of(result), sandbox="none")

    return graded


def _line(one: Handed, graded: Graded | None) -> str:
    if graded is None:
        return f"{one.student:<20} {one.name:<36} in the gradebook already"
    score, maximum = (sum(getattr(q, name) for q in graded.questions) for name in ("points", "maximum"))
    said = "" if graded.status == GRADED else f"  {graded.status}"
    return f"{one.student:<20} {graded.assignment:<36} {score:>5g} of {maximum:<5g}{said}"
