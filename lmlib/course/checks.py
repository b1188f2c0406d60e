"""What a check cell calls: `check` runs a student's answer, says what is wrong with it and gives its points.

The data lie beside the notebook, made by `lmbook release`: the parts of each check in `NAME_checks.py`; expected
outcomes, fingerprints of known mistakes with their sentences, and hints in `NAME_checks.json`.
"""

import contextlib
import copy
import importlib.util
import io
import json
import os
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from lmlib.course import record
from lmlib.course.asking import ask
from lmlib.course.errors import CourseError
from lmlib.course.plain_data import (
    Outcome,
    decode,
    digest,
    fingerprint,
    is_fractional,
    is_specific,
    matches,
    same,
)
from lmlib.course.questions import AskedQuestion, Case, Question, ValueQuestion

WIDTH = 100  # of the printed text


class CheckError(CourseError):
    """A check that cannot be made, with the reason and what to do."""


class PointsShortError(AssertionError):
    """Raised under nbval when an answer has not all its points, so that the notebook is red."""


@dataclass(frozen=True)
class Released:
    """The checks of one assignment: the parts and the data of each question."""

    name: str
    module: ModuleType
    data: dict[str, Any]

    def question(self, name: str) -> tuple[Question, dict[str, Any]]:
        """The parts and the data of one question. Raises CheckError when there is none of this name."""
        if name not in self.data["questions"]:
            known = ", ".join(self.data["questions"])
            raise CheckError(f"the assignment {self.name} has no question {name!r}; it has {known}")
        return getattr(self.module, name), self.data["questions"][name]


@dataclass
class CaseResult:
    """One case of a check: passed when there are no findings."""

    case: Case
    findings: list[str]


@dataclass
class Verdict:
    """What a check found: cases, points, and the known mistakes that the answer is equal to."""

    question: str
    results: list[CaseResult]
    mistakes: dict[str, str] = field(default_factory=dict)  # name -> sentence
    hint: str = ""

    @property
    def score(self) -> float:
        """The points of the passed cases."""
        return float(sum(result.case.points for result in self.results if not result.findings))

    @property
    def maximum(self) -> float:
        """The points of all cases."""
        return float(sum(result.case.points for result in self.results))

    @property
    def headline(self) -> str:
        """The points in words: 'scores: 3 of 4 points'."""
        return f"{self.question}: {self.score:g} of {_points(self.maximum)}"

    def text(self) -> str:
        """What a student reads. For a right answer it is always the same."""
        lines = [self.headline]
        first = self.results[0].findings
        common = first if all(result.findings == first for result in self.results[1:]) else []
        for result in self.results:
            mark = "✗" if result.findings else "✓"
            lines.append(f"  {mark} {result.case.title} ({_points(result.case.points)})")
            lines += [_wrapped(finding, "      ") for finding in result.findings if not common]
        lines += [_wrapped(finding, "  in each case: ") for finding in common]
        lines += [_wrapped(says, "  → ") for says in self.mistakes.values()]
        if self.hint and self.score < self.maximum:
            lines.append(f"  A hint: {self.hint}")
        return "\n".join(lines)


class Points:
    """The result of a check cell: a bare number for nbgrader, a line for a person."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict

    def __repr__(self) -> str:
        return str(self.verdict.score)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": f"<b>{self.verdict.headline}</b>"}


def check(assignment: str, question: str, *answer: Any, **values: Any) -> Points:
    """Check an answer: `check("02_attention", "scores", attention)`, or `why=why` for values; prints the verdict.

    Raises CheckError when the check files are not found or there is no such question, and PointsShortError under
    nbval when points are short.
    """
    released = find(assignment)
    answers = dict(values)
    parts, _ = released.question(question)
    if isinstance(parts, AskedQuestion):
        if len(answer) != 1 or values:
            raise CheckError(f"check the {parts.kind}: check({assignment!r}, {question!r}, {parts.name})")
        answers = {parts.name: answer[0]}
    with _quiet() as printed:
        verdict = judge(released, question, answers)
    print(verdict.text())
    graded = "PYTEST_CURRENT_TEST" in os.environ
    if printed.getvalue() and not graded:
        print(textwrap.indent("Your function printed:\n" + _head(printed.getvalue()), "  "))
    record.points(question, verdict.score, verdict.maximum, list(verdict.mistakes), verdict.text())
    if graded and verdict.score < verdict.maximum:
        raise PointsShortError(verdict.headline)
    return Points(verdict)


def hint(assignment: str, question: str, step: int = 1) -> None:
    """Print one of a question's hints; each step says a little more."""
    hints = find(assignment).question(question)[1]["hints"]
    if not 1 <= step <= len(hints):
        raise CheckError(f"{question} has hints 1 to {len(hints)}; there is no hint {step}")
    print(textwrap.fill(hints[step - 1], WIDTH))
    if step < len(hints):
        print(f'The next one: hint("{assignment}", "{question}", {step + 1})')


def find(assignment: str) -> Released:
    """The checks beside the notebook. An instructor's notebook takes those of the release.

    Raises CheckError when the two files are not there.
    """
    here = Path.cwd()
    for folder in (here, here.parents[1] / "exercises" / here.name if len(here.parents) > 1 else here):
        if (folder / f"{assignment}_checks.json").is_file() and (folder / f"{assignment}_checks.py").is_file():
            return load(folder, assignment)
    raise CheckError(
        f"{assignment}_checks.py and {assignment}_checks.json are not beside the notebook (in {here});"
        " work in a copy made by `lmbook start`, or copy them from the folder of the assignment"
    )


def load(folder: Path, assignment: str) -> Released:
    """The checks of an assignment in a folder."""
    data = json.loads((folder / f"{assignment}_checks.json").read_text("utf-8"))
    return Released(assignment, load_parts(folder / f"{assignment}_checks.py"), data)


def load_parts(path: Path) -> ModuleType:
    """The parts of an assignment's checks as a module (its name may begin with a digit, so no import)."""
    spec = importlib.util.spec_from_file_location(f"checks_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judge(released: Released, question: str, answers: dict[str, Any]) -> Verdict:
    """The verdict on answers, given by name; nothing is printed or recorded."""
    parts, data = released.question(question)
    results, marks = [], []
    for case in parts.cases:
        salt = f"{question}/{case.name}"
        expected = data["expected"][case.name]
        changed: list[str] = []  # no mark is made of this: the outcome itself may be right
        if isinstance(parts, AskedQuestion):
            outcome, findings, changed = _judge_asked(parts, case, answers[parts.name], decode_outcome(expected))
        else:
            outcome = Outcome(parts.normalised(case.name, answers.get(case.name)))
            findings = parts.findings(case.name, outcome.value, expected["digest"], salt)
        results.append(CaseResult(case, [*findings, *changed]))
        marks.append(fingerprint(outcome, salt) if findings else None)
    hint_call = f'hint("{released.name}", "{question}", 1)' if data["hints"] else ""
    return Verdict(question, results, known_mistakes(parts, data["mistakes"], marks), hint_call)


def _judge_asked(
    parts: AskedQuestion, case: Case, answer: Any, expected: Outcome
) -> tuple[Outcome, list[str], list[str]]:
    """The outcome, what is wrong with it, and what is to be said about inputs that were changed in place."""
    inputs = parts.inputs(case)
    given = copy.deepcopy(inputs)
    outcome = ask(parts.way, answer, given)
    findings = parts.compare(outcome, expected, inputs)
    changed = [name for name in inputs if not same(inputs[name], given[name])]
    return outcome, findings, parts.changed(changed)


def decode_outcome(expected: dict[str, Any]) -> Outcome:
    """The expected outcome that a release stored."""
    return Outcome(raised=expected["raised"]) if "raised" in expected else Outcome(decode(expected["value"]))


def known_mistakes(parts: Question, mistakes: dict[str, Any], marks: list[Any]) -> dict[str, str]:
    """The known mistakes that explain failed cases, with sentences: the one that explains most, then what adds to it.

    A mark that says little (an exception, True or False, one number) must be equal in every case in which the mistake
    fails, and explain all that the others leave. Two equal numbers that are not whole say enough.
    """
    left = {i for i, mark in enumerate(marks) if mark is not None}
    specific, vague = {}, {}
    for name, known in mistakes.items():
        prints = [known["fingerprints"].get(case.name) for case in parts.cases]
        equal = {i for i in left if matches(marks[i], prints[i])}
        says_much = any(is_specific(marks[i]) for i in equal) or sum(is_fractional(marks[i]) for i in equal) > 1
        if says_much or isinstance(parts, ValueQuestion):
            specific[name] = equal
        elif equal == {i for i, mark in enumerate(prints) if mark is not None}:
            vague[name] = equal
    named = {}
    while left and specific:
        best = max(specific, key=lambda name: len(specific[name] & left))
        if not specific[best] & left:
            break
        left -= specific.pop(best)
        named[best] = mistakes[best]["says"]
    named |= {name: mistakes[name]["says"] for name, equal in vague.items() if left and left <= equal}
    return named


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Catch what is printed, and drop what goes to stderr, on descriptor 2 as well: nbgrader gives 0 for any of it."""
    printed = io.StringIO()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            yield printed
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _points(number: float) -> str:
    return f"{number:g} point" if number == 1 else f"{number:g} points"


def _wrapped(text: str, first: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _head(text: str, lines: int = 20) -> str:
    shown = text.splitlines()[:lines]
    return "\n".join(shown) + ("\n..." if len(text.splitlines()) > lines else "")


def expected_digest(parts: ValueQuestion, question: str, name: str, value: Any) -> str:
    """The digest that a release stores for the right value of a value question."""
    return digest(parts.normalised(name, value), f"{question}/{name}")
