"""The checker's side of an assignment: what is asked of the child, and the verdict on what it says.

Functions, classes with state and figures are asked on inputs from a seed (the ways of asking.py); values are read.
"""

import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lmlib.course.asking import ask
from lmlib.course.assignment import read
from lmlib.course.checks import CaseResult, Verdict, known_mistakes
from lmlib.course.outside import wire
from lmlib.course.plain_data import Outcome, fingerprint
from lmlib.course.questions import AskedQuestion, Case, Question, ValueQuestion
from lmlib.course.warm.frames import Frame
from lmlib.course.workbench import Workbench

UNREADABLE = "what the answer gave cannot be read"


@dataclass(frozen=True)
class Answered:
    """What the child said of one case: an outcome, and the names of inputs that the call changed."""

    outcome: Outcome
    changed: tuple[str, ...] = ()


class Reference:
    """An assignment's reference, drawn from and compared with by seed."""

    def __init__(self, solution: Path) -> None:
        self._bench = Workbench(read(solution))

    @property
    def questions(self) -> list[str]:
        """The names of the questions, in order."""
        return list(self._bench.assignment.questions)

    def requests(self, question: str, seed: int) -> list[Frame]:
        """What is asked of the child, case by case."""
        parts = self._bench.parts(question)
        if isinstance(parts, ValueQuestion):
            return [Frame({"op": "value", "name": case.name}) for case in parts.cases]
        return [_request(parts, case, seed) for case in parts.cases]

    def verdict(self, question: str, seed: int, answers: list[Frame | None]) -> Verdict:
        """The verdict on the child's answers in the order of the requests; None for one that did not come in time."""
        parts = self._bench.parts(question)
        results, marks = [], []
        for case, answer in zip(parts.cases, answers, strict=True):
            findings, mark = self._judged(question, parts, case, seed, answer)
            results.append(CaseResult(case, findings))
            marks.append(mark)
        known = self._mistakes(question, seed) if any(marks) else {}
        return Verdict(question, results, known_mistakes(parts, known, marks))

    def _judged(
        self, question: str, parts: Question, case: Case, seed: int, answer: Frame | None
    ) -> tuple[list[str], Any]:
        """What is wrong in one case, and the fingerprint by which a mistake is known; None when nothing is wrong."""
        try:
            said = _answered(answer)
            findings, changed = self._findings(question, parts, case, seed, said)
            return [*findings, *changed], _mark(parts, question, case, said.outcome) if findings else None
        except Exception as error:  # data made to be hostile may break any comparison; the case has then no points
            return [f"{UNREADABLE}: {type(error).__name__}"], {"raised": type(error).__name__}

    def _findings(
        self, question: str, parts: Question, case: Case, seed: int, said: Answered
    ) -> tuple[list[str], list[str]]:
        """What is wrong in one case, by the question's own comparison, and what is to be said about changed inputs."""
        if said.outcome.raised and isinstance(parts, ValueQuestion):
            return [said.outcome.sentence], []
        if isinstance(parts, ValueQuestion):
            digest = self._bench.released.data["questions"][question]["expected"][case.name]["digest"]
            return parts.findings(case.name, said.outcome.value, digest, f"{question}/{case.name}"), []
        inputs = parts.inputs(case, seed)
        expected = ask(parts.way, self._answers[question][parts.name], copy.deepcopy(inputs))
        findings = parts.compare(said.outcome, expected, inputs)
        return findings, parts.changed([name for name in said.changed if name in inputs])

    def _mistakes(self, question: str, seed: int) -> dict[str, Any]:
        """The known mistakes with their fingerprints on the inputs of this seed."""
        right = self._answers[question]
        return {
            variant.name: {
                "says": variant.says,
                "fingerprints": self._bench.wrong_marks(question, answers, right, seed),
            }
            for variant, answers in self._wrong_answers[question]
        }

    @cached_property
    def _answers(self) -> dict[str, dict[str, Any]]:
        return {name: self._bench.answers(name) for name in self.questions}

    @cached_property
    def _wrong_answers(self) -> dict[str, list[tuple[Any, dict[str, Any]]]]:
        return {
            name: [(variant, self._bench.answers(name, variant.source)) for variant in question.variants["mistake"]]
            for name, question in self._bench.assignment.questions.items()
        }


def _request(parts: AskedQuestion, case: Case, seed: int) -> Frame:
    described, data = wire.pack(parts.inputs(case, seed))
    return Frame({"op": parts.way, "name": parts.name, "inputs": described}, data)


def _answered(answer: Frame | None) -> Answered:
    """An answer of the child as an outcome; one that is no answer is an outcome, too."""
    if answer is None:
        return Answered(Outcome(raised="TimeoutError", sentence="no result in time: does a loop never end?"))
    header = answer.header
    if isinstance(header.get("raised"), str):
        return Answered(Outcome(raised=header["raised"], sentence=str(header.get("sentence", ""))))
    value = wire.unpack(header.get("value"), answer.data)
    changed = header.get("changed")
    names = tuple(name for name in changed if isinstance(name, str)) if isinstance(changed, list) else ()
    return Answered(Outcome(value), names)


def _mark(parts: Question, question: str, case: Case, outcome: Outcome) -> Any:
    if isinstance(parts, ValueQuestion) and not outcome.raised:
        outcome = Outcome(parts.normalised(case.name, outcome.value))
    return fingerprint(outcome, f"{question}/{case.name}")
