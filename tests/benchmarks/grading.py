"""`python -m tests.benchmarks.grading`: seconds a submission, graded from outside in the sandbox, and memory.

The submissions are those of the attention assignment: the reference and every known mistake, in turns. The gradebook
and the feedback pages are not in it.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from lmlib.course.outside.grading import Grader
from lmlib.course.outside.limits import Limits
from tests.course.student_notebooks import (
    RELEASE,
    attention_assignment,
    hand_in,
    mistaken_answers,
    right_answers,
)

MIB = 1 << 20


def main() -> None:
    """Grade, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=200)
    parser.add_argument("--sandbox", choices=("on", "off"), default="on")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        notebooks = _hand_in_all(Path(folder))
        started = time.perf_counter()
        with Grader(b"benchmark", Limits(), sandbox=given.sandbox == "on") as grader:
            seconds, memory = [], []
            for i in range(given.submissions):
                seconds.append(grader.grade(notebooks[i % len(notebooks)], RELEASE).seconds)
                memory.append(_memory())
        whole = time.perf_counter() - started
    _report(seconds, memory, whole)


def _hand_in_all(folder: Path) -> list[Path]:
    assignment = attention_assignment()
    answers = [right_answers(assignment), *(wrong for wrong, _ in mistaken_answers(assignment))]
    return [hand_in(folder / str(i) / RELEASE.name, own) for i, own in enumerate(answers)]


def _memory() -> int:
    """Resident bytes of this process, the server and the checker."""
    own = psutil.Process()
    return sum(process.memory_info().rss for process in [own, *own.children()])


def _report(seconds: list[float], memory: list[int], whole: float) -> None:
    rest = sorted(seconds[1:])
    print(f"{len(seconds)} submissions in {whole:.1f} s: {whole / len(seconds):.3f} s each, with what starts once")
    print(f"median {statistics.median(rest):.3f} s, 90 of 100 below {rest[int(0.9 * len(rest))]:.3f} s")
    print(f"the first, which loads the assignment: {seconds[0]:.2f} s")
    tenth = max(1, len(memory) // 10)
    early, late = statistics.median(memory[tenth : 2 * tenth]), statistics.median(memory[-tenth:])
    print(f"memory of this process, the server and the checker: {early / MIB:.0f} MiB early, {late / MIB:.0f} MiB late")


if __name__ == "__main__":
    main()
