"""A class as a teacher gets it, generated from the assignments: right answers, known mistakes, other ways, crashes."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lmlib.course.assignment import Assignment, read
from tests.course.student_notebooks import ROOT, hand_in, mistaken_answers, right_answers, variant_answers

ENDS = ("import os\nos.abort()", "import os\nos._exit(3)", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")


@dataclass(frozen=True)
class Submission:
    """What one student hands in. Honest work leaves Python alive, so that every grader can give it its points."""

    student: str
    assignment: str
    kind: str  # right, other, mistake, raises, empty, ends Python, no notebook
    answers: dict[str, str]
    honest: bool

    def write(self, folder: Path) -> Path:
        """Write it below nbgrader's submitted/ as FOLDER/STUDENT/NAME/NAME.ipynb."""
        stem = self.assignment.rpartition("/")[2]
        path = folder / self.student / stem / f"{stem}.ipynb"
        if self.kind == "no notebook":
            path.parent.mkdir(parents=True)
            path.write_text("{no JSON", "utf-8")
            return path
        release = ROOT / "exercises" / f"{self.assignment}.ipynb"
        marked = {name: f"{source}\n# {self.student}" for name, source in self.answers.items()}
        return hand_in(path, marked, release)


def assignments(names: Iterable[str] = ()) -> list[Assignment]:
    """The assignments of these names, or all of the book."""
    paths = [ROOT / "solutions" / f"{name}.py" for name in names] or sorted((ROOT / "solutions").glob("*/*.py"))
    return [read(path) for path in paths]


def made_class(sources: list[Assignment], count: int, honest_only: bool = False) -> list[Submission]:
    """So many submissions, in turns of every assignment, each kind of answer in turns."""
    kinds = [
        itertools.cycle([one for one in _kinds(source, ENDS[i % len(ENDS)]) if one[2] or not honest_only])
        for i, source in enumerate(sources)
    ]
    turns = itertools.cycle(zip(sources, kinds, strict=True))
    made = []
    for number in range(count):
        source, own = next(turns)
        kind, answers, honest = next(own)
        made.append(Submission(f"student{number:04}", source.name, kind, answers, honest))
    return made


def _kinds(source: Assignment, end: str) -> Iterator[tuple[str, dict[str, str], bool]]:
    """Kind, answers, and whether they are honest: what a class hands in for one assignment; each kind soon."""
    right = right_answers(source)
    first = next(iter(right))
    mistaken = [("mistake", answers, True) for answers, _ in mistaken_answers(source)]
    others = [("other", answers, True) for answers, _ in variant_answers(source, "other")]
    yield "right", right, True
    yield mistaken[0]
    yield others[0]
    yield "raises", {**right, first: f"1 / 0\n{right[first]}"}, True
    yield "ends Python", {**right, first: f"{end}\n{right[first]}"}, False
    yield "no notebook", {}, False
    yield "empty", {}, True
    yield from (*mistaken[1:], *others[1:])
