"""A class graded into its gradebook: several notebooks at a time, each kept as soon as it is graded.

What the gradebook has is not graded again, so a run that was stopped goes on where it was.
"""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from lmlib.course.gradebook.graded import Graded
from lmlib.course.gradebook.layouts import Handed
from lmlib.course.gradebook.store import Gradebook, digest_of

Grade = Callable[[Handed], Graded]  # never raises for what a student handed in


@dataclass(frozen=True)
class Done:
    """One notebook of the class: its result, or None when the gradebook had it already."""

    handed: Handed
    graded: Graded | None


def grade_class(handed: Sequence[Handed], book: Gradebook, grade: Grade, jobs: int) -> Generator[Done, None, None]:
    """Grade what the gradebook does not have, `jobs` at a time, and give each as soon as it is kept.

    Closing the iterator, as Ctrl-C does, starts nothing more and keeps what is running out of the gradebook.
    """
    todo = []
    for one in handed:
        if book.has(one.student, digest_of(content(one))):
            yield Done(one, None)
        else:
            todo.append(one)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        running: dict[Future[Graded], Handed] = {}
        waiting = iter(todo)
        try:
            while True:
                for one in waiting:
                    running[pool.submit(grade, one)] = one
                    if len(running) >= jobs:
                        break
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    one, graded = running.pop(future), future.result()
                    book.record(one.student, content(one), one.received, graded)
                    yield Done(one, graded)
        finally:
            for future in running:
                future.cancel()


def content(one: Handed) -> bytes:
    """By what a hand-in is known and kept: its file, or what was wrong with it."""
    return one.file or f"{one.name}: {one.problem}".encode()
