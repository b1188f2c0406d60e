"""`python -m tests.benchmarks.grading`: a class graded end to end, side by side with nbgrader; seconds and memory.

End to end: from the folder of submissions to points in a gradebook and a feedback page for each student, by the
commands that a teacher types, with all that they start. The class is the one of tests/course/made_class.py.

`--nbgrader N` honest submissions go to both graders (nbgrader takes seconds for each, so few by default); their points
are compared. `--submissions N` go to ours alone, crashes included; 2,000 show whether memory grows.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from lmlib.course.gradebook.store import Gradebook
from tests.course import by_nbgrader
from tests.course.dask_cluster import environment
from tests.course.made_class import Submission, assignments, made_class
from tests.course.student_notebooks import NAME, ROOT

MIB = 1 << 20
LOOK_SECONDS = 0.2  # between two looks at the memory
HEAD = (
    "| grader | submissions | jobs | seconds | seconds each | × nbgrader | memory early, MiB | late |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True)
class Measured:
    """One grading: seconds, feedback included, and the memory of its processes in bytes, early and late in it."""

    seconds: float
    early: float
    late: float


def main() -> None:
    """Grade, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nbgrader", type=int, default=12, metavar="N", help="submissions that both grade")
    parser.add_argument("--submissions", type=int, default=200, metavar="N", help="submissions that ours alone grades")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sandbox", choices=("on", "off"), default="on")
    parser.add_argument("--assignment", nargs="*", help="CHAPTER/NAME; default: all", default=[])
    given = parser.parse_args()
    print(HEAD)
    if given.nbgrader:
        _side_by_side(given)
    if given.submissions:
        made = made_class(assignments(given.assignment), given.submissions)
        for jobs in given.jobs:
            with tempfile.TemporaryDirectory() as folder:
                _row("lmbook", made, jobs, _ours(_handed_in(Path(folder), made), jobs, given.sandbox))


def _side_by_side(given: argparse.Namespace) -> None:
    """Both graders on the same honest submissions; their points must be equal."""
    sources = assignments(given.assignment or [NAME])
    made = made_class(sources, given.nbgrader, honest_only=True)
    with tempfile.TemporaryDirectory() as folder:
        course = _handed_in(Path(folder), made)
        for source in sources:
            by_nbgrader.prepare(course, source)

        def theirs() -> None:
            for source in sources:
                by_nbgrader.command(course, "autograde", source.stem, "--create")
                by_nbgrader.command(course, "generate_feedback", source.stem)

        peer = _measured(theirs)
        _row("nbgrader", made, 1, peer)
        for jobs in given.jobs:
            _row("lmbook", made, jobs, _ours(course, jobs, given.sandbox), peer)
            different = _different(course, [by_nbgrader.points(course, source) for source in sources])
            if different:
                sys.exit(f"not the same points: {', '.join(different)}")
    print(f"\nAll {len(made)} have the same points from both.", f"\n\n{HEAD}" if given.submissions else "", flush=True)


def _handed_in(folder: Path, made: list[Submission]) -> Path:
    for one in made:
        one.write(folder / "submitted")
    return folder


def _ours(course: Path, jobs: int, sandbox: str) -> Measured:
    """Grade into a new gradebook, and write the feedback; the memory is that of grading, which may take hours."""
    gradebook, feedback = course / "class.db", course / "pages"
    gradebook.unlink(missing_ok=True)
    shutil.rmtree(feedback, ignore_errors=True)
    options = ["--untrusted", course / "secret", "--sandbox", sandbox, "--jobs", str(jobs)]
    graded = _measured(lambda: _lmbook("grade", course / "submitted", "--gradebook", gradebook, *options))
    shown = _measured(lambda: _lmbook("gradebook", "feedback", gradebook, feedback))
    return replace(graded, seconds=graded.seconds + shown.seconds)


def _lmbook(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "lmlib.course", *map(str, arguments)]
    subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, check=True)


def _different(course: Path, theirs: list[by_nbgrader.Points]) -> list[str]:
    """The students whose points are not those of nbgrader."""
    expected = {student: points for of_one in theirs for student, points in of_one.items()}
    book = Gradebook(course / "class.db")
    found = {row.student.id: {name: mark.points for name, mark in row.marks.items()} for row in book.rows()}
    book.close()
    return sorted(student for student in expected.keys() | found.keys() if expected.get(student) != found.get(student))


def _measured(work: Callable[[], None]) -> Measured:
    """Do it, and look at the memory of all that it starts."""
    ended, seen = threading.Event(), []

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            seen.append(_memory())

    watcher = threading.Thread(target=look)
    watcher.start()
    started = time.perf_counter()
    try:
        work()
    finally:
        seconds = time.perf_counter() - started
        ended.set()
        watcher.join()
    tenth = max(1, len(seen) // 10)
    early, late = seen[2 * tenth : 3 * tenth] or seen or [0], seen[-2 * tenth : -tenth] or seen or [0]
    return Measured(seconds, statistics.median(early), statistics.median(late))


def _memory() -> int:
    """Resident bytes of what this process has started, pages that are shared counted in each."""
    total = 0
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _row(grader: str, made: list[Submission], jobs: int, found: Measured, peer: Measured | None = None) -> None:
    ratio = f"{peer.seconds / found.seconds:.1f}" if peer else ""
    each = found.seconds / len(made)
    memory = f"{found.early / MIB:.0f} | {found.late / MIB:.0f}"
    print(f"| {grader} | {len(made)} | {jobs} | {found.seconds:.1f} | {each:.3f} | {ratio} | {memory} |", flush=True)


if __name__ == "__main__":
    main()
