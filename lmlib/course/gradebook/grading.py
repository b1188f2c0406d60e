"""A class graded into its gradebook, or graded anew: several notebooks at a time, each kept as soon as it is graded.

What the gradebook has is not graded again, so a run that was stopped goes on where it was.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from lmlib.course.errors import WorkFailedError
from lmlib.course.gradebook.graded import GRADED, Graded
from lmlib.course.gradebook.layouts import Handed
from lmlib.course.gradebook.store import Gradebook, Kept, digest_of
from lmlib.course.sandbox.policy import SandboxError
from lmlib.course.workers import Workers, WorkersLostError

Submit = Callable[[Handed, str | None], Future[Graded]]  # a hand-in, and one question of it or None


@dataclass(frozen=True)
class Done:
    """One notebook of the class: its result; none when the gradebook had it, or when this machine failed."""

    handed: Handed
    graded: Graded | None = None
    failed: str = ""


@dataclass(frozen=True)
class Regraded:
    """One attempt graded anew: what has changed, or why it could not be graded."""

    attempt: Kept
    changes: list[str] = field(default_factory=list)
    failed: str = ""


def grade_class(
    handed: Sequence[Handed], book: Gradebook, submit: Submit, workers: Workers
) -> Generator[Done, None, None]:
    """Grade what the gradebook does not have, and give each as soon as it is kept.

    What failed by this machine's fault is not kept: the next run tries it again. Closing the iterator, as Ctrl-C does,
    starts nothing more and keeps what is running out of the gradebook.
    """
    todo, files = [], defaultdict(set)
    for one in handed:
        files[one.student].add(digest_of(content(one)))
    for one in handed:
        digest = digest_of(content(one))
        if book.has(one.student, digest):
            if one.file:
                book.hand_in_again(one.student, digest, one.received, files[one.student])
            yield Done(one)
        else:
            todo.append(one)
    for one, future in workers.each(todo, lambda one: submit(one, None)):
        graded = _result(workers, future)
        if isinstance(graded, str):
            yield Done(one, failed=graded)
        else:
            book.record(one.student, content(one), one.received, graded)
            yield Done(one, graded)


def regrade_class(
    assignment: str, question: str | None, book: Gradebook, submit: Submit, workers: Workers, who: str
) -> Generator[Regraded, None, None]:
    """Grade one question of every attempt anew, or whole attempts, and give each as soon as it is kept.

    With a question: attempts that could not be graded at all are left out. Raises GradebookError for a name that the
    gradebook does not know.
    """
    stem = assignment.rpartition("/")[2]
    kept = [one for one in book.attempts(assignment, question) if question is None or one.status == GRADED]

    def submitted(one: Kept) -> Future[Graded]:
        file = book.file(one.id)
        problem = one.status if file.endswith(f": {one.status}".encode()) else ""  # see `content`
        return submit(Handed(one.student, f"{stem}.ipynb", one.received, file, problem), question)

    for one, future in workers.each(kept, submitted):
        graded = _result(workers, future)
        if isinstance(graded, str):
            yield Regraded(one, failed=graded)
        elif graded.assignment != assignment or (question is not None and graded.status != GRADED):
            why = graded.status if graded.assignment == assignment else f"it is of {graded.assignment} now"
            yield Regraded(one, failed=why)
        else:
            yield Regraded(one, book.regrade(one.id, graded, who, question))


def _result(workers: Workers, future: Future[Graded]) -> Graded | str:
    """A result, or why this machine could not get one. Raises what would befall every other notebook as well."""
    try:
        return workers.result(future)
    except (SandboxError, WorkersLostError):
        raise
    except WorkFailedError as error:
        return str(error)


def content(one: Handed) -> bytes:
    """By what a hand-in is known and kept: its file, or what was wrong with it."""
    return one.file or f"{one.name}: {one.problem}".encode()
