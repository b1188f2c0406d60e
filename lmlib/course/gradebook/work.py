"""One notebook graded, by the same function in this process and in a Dask worker of another machine.

The course's secret never leaves the process that reads it: what travels with a submission are the seeds that were
drawn from it for this one file, of which nothing can be learned about other files (see outside/grading.py).
"""

import hashlib
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from lmlib.course import book, fingerprint, grade, notebooks
from lmlib.course.checking import assignment_of, check_notebook, released_assignments
from lmlib.course.errors import CourseError
from lmlib.course.gradebook.graded import GRADED, TRUSTED, Graded, QuestionScore
from lmlib.course.gradebook.layouts import Handed
from lmlib.course.submission import SubmissionError

if TYPE_CHECKING:
    from lmlib.course.outside.grading import Grader

Questions = dict[str, tuple[str, ...]]  # assignment → its questions, in order
Seeds = dict[str, dict[str, int]]  # assignment → question → the seed of its hidden inputs
KEPT_SECONDS = 60  # for which the processes of an order wait for its next submission when others are there


@dataclass(frozen=True)
class Order:
    """What all submissions of one command have in common. `book`: the fingerprint of what they are graded by."""

    timeout: float  # seconds for a cell
    trusted: bool
    sandbox: bool
    book: str
    run: str = field(default_factory=lambda: uuid.uuid4().hex)


def fingerprint_of(base: Path) -> str:
    """Of all that points depend on."""
    return fingerprint.of([*fingerprint.library_files(), *fingerprint.assignment_files(base)])


def seeds(secret: bytes, file: bytes, questions: Questions) -> Seeds:
    """The seeds of one file, whichever assignment it turns out to be."""
    from lmlib.course.outside.grading import seed

    digest = hashlib.sha256(file).hexdigest()
    return {
        name: {question: seed(secret, name, digest, question) for question in own} for name, own in questions.items()
    }


def questions_of(base: Path) -> Questions:
    """The questions of every released assignment, in order."""
    return {
        name: tuple(
            cell["metadata"]["nbgrader"]["grade_id"].removesuffix("-check")
            for cell in notebooks.read(path)["cells"]
            if cell["metadata"]["nbgrader"]["grade"]
        )
        for name, path in released_assignments(base).items()
    }


def work(one: Handed, question: str | None, order: Order, drawn: Seeds) -> Graded:
    """Grade a hand-in, or one question of it; what is wrong with it is its status.

    Raises WorkFailedError for what this machine did wrong, and CourseError when it has another book than the order.
    """
    known = released_assignments(_book_of(order))
    stem = PurePosixPath(one.name).stem
    guessed = next((name for name in known if name.rpartition("/")[2] == stem), one.name)
    if one.problem:
        return Graded(guessed, one.problem)
    with tempfile.TemporaryDirectory(prefix="lmbook-grade-") as folder:
        path = Path(folder) / one.name
        path.write_bytes(one.file)
        try:
            if order.trusted:
                return _trusted(path, question, order, _book_of(order))
            return _outside(path, question, order, known, drawn)
        except SubmissionError as error:
            return Graded(guessed, str(error).replace(f"{path}: ", ""))


def _trusted(path: Path, question: str | None, order: Order, base: Path) -> Graded:
    result = check_notebook(path, order.timeout, base, question)
    scores = [QuestionScore(q.question, q.score, q.maximum, q.mistakes, q.text) for q in result.questions]
    return Graded(result.assignment, GRADED, scores, grade.remarks_of(result), sandbox=TRUSTED)


def _outside(path: Path, question: str | None, order: Order, known: dict[str, Path], drawn: Seeds) -> Graded:
    from lmlib.course.outside import submitted

    kept = _graders_of(order)
    nb, _ = submitted.read(path, kept.limits)
    assignment = assignment_of(nb, path, known)
    with kept.one() as own:
        found = own.grade(path, known[assignment], question, drawn[assignment])
    scores = [QuestionScore(q.question, q.score, q.maximum, list(q.mistakes), q.text) for q in found.questions]
    remarks = [remark for q in found.questions for remark in q.remarks] + list(found.remarks)
    layers = "; ".join(f"{layer}: {what}" for layer, what in found.sandbox.items())
    return Graded(found.assignment, found.status, scores, remarks, found.seconds, layers, dict(found.notebook or {}))


_LIBRARY = fingerprint.of(fingerprint.library_files())  # as this process has loaded it


@lru_cache(maxsize=8)
def _book_of(order: Order) -> Path:
    """The book that this process grades by. Raises CourseError when it is not the one of the order."""
    base = book.root()
    if fingerprint.of(fingerprint.library_files()) != _LIBRARY:
        raise CourseError(f"lmlib has changed on {socket.gethostname()} since the worker was started; start it anew")
    if fingerprint_of(base) != order.book:
        raise CourseError(
            f"the book in {base} on {socket.gethostname()} differs from yours; bring it to the same state"
            " and start the worker there anew"
        )
    return base


# Processes that grade ------------------------------------------------------------------------------------------


class _Graders:
    """The graders of an order that have nothing to do. One that failed, or lost a process, is not used again."""

    def __init__(self, order: Order) -> None:
        from lmlib.course.outside.limits import Limits

        self.limits, self._sandbox, self.used = Limits.for_cells(order.timeout), order.sandbox, monotonic()
        self._free: list[Grader] = []

    @contextmanager
    def one(self) -> Iterator["Grader"]:
        """A grader for one submission."""
        from lmlib.course.outside.grading import Grader

        own = self._whole() or Grader(b"", self.limits, sandbox=self._sandbox).__enter__()
        try:
            yield own
        except BaseException:
            own.__exit__(None, None, None)
            raise
        self.used = monotonic()
        self._free.append(own)

    def _whole(self) -> "Grader | None":
        """One that is free and can still grade."""
        while True:
            try:
                own = self._free.pop()
            except IndexError:  # another thread may have taken the last one just now
                return None
            if own.alive():
                return own
            own.__exit__(None, None, None)

    def close(self) -> None:
        """End those that are free."""
        while self._free:
            self._free.pop().__exit__(None, None, None)


_kept: dict[Order, _Graders] = {}
_lock = Lock()


def _graders_of(order: Order) -> _Graders:
    """Those of the order; of other orders those are ended that have waited long."""
    with _lock:
        for other in [other for other in _kept if other != order and monotonic() - _kept[other].used > KEPT_SECONDS]:
            _kept.pop(other).close()
        if order not in _kept:
            _kept[order] = _Graders(order)
        return _kept[order]


def finish(order: Order) -> None:
    """End the processes of an order in this process. In a worker they end with it, or some time after the order."""
    with _lock:
        if order in _kept:
            _kept.pop(order).close()
