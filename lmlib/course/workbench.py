"""An assignment's cells run in this process, without a kernel: the reference, its variants, and verdicts on them."""

import contextlib
import copy
import io
import linecache
from types import CodeType, ModuleType
from typing import Any

from lmlib.course.asking import ask
from lmlib.course.assignment import Assignment, AssignmentError
from lmlib.course.checks import Released, Verdict, expected_digest, judge
from lmlib.course.plain_data import Outcome, double_by_default, encode, fingerprint, in_double, in_dtypes_of, to_double
from lmlib.course.questions import VISIBLE_SEED, AskedQuestion, Case, Question, ValueQuestion


class Workbench:
    """An assignment with its given cells and reference answers run, and its checks ready.

    Raises AssignmentError when a cell raises, or a question's parts do not fit its statement.
    """

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.module = ModuleType(f"{assignment.stem}_checks")
        _run(assignment, "parts", assignment.parts, self.module.__dict__)
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        for cell in assignment.cells:
            if cell["cell_type"] == "code" and assignment.role(cell)[0] in ("given", "answer"):
                _run(assignment, cell["id"], cell["source"], self.namespace)
        for name in assignment.questions:
            self._validate(name)
        data = {name: self._question_data(name) for name in assignment.questions}
        self.released = Released(assignment.stem, self.module, {"assignment": assignment.name, "questions": data})

    def parts(self, question: str) -> Question:
        """The parts of one question's check."""
        return getattr(self.module, question)

    def answers(self, question: str, source: str = "", *, alone: bool = False) -> dict[str, Any]:
        """What an answer cell's source defines, run after all reference answers; those of the reference if empty.

        With `alone`, the reference answer to this question is taken away first.
        """
        names = self.parts(question).answer_names
        namespace = {name: value for name, value in self.namespace.items() if not (alone and name in names)}
        _run(self.assignment, f"an answer to {question}", source, namespace)
        return {name: namespace.get(name) for name in names}

    def verdict(self, question: str, source: str = "", *, alone: bool = False) -> Verdict:
        """The verdict on an answer cell's source, quietly."""
        answers = self.answers(question, source, alone=alone)
        with contextlib.redirect_stdout(io.StringIO()):
            return judge(self.released, question, answers)

    def _validate(self, name: str) -> None:
        parts = getattr(self.module, name, None)
        where = f"{self.assignment.path}: the question {name}"
        if not isinstance(parts, AskedQuestion | ValueQuestion):
            kinds = "FunctionQuestion, ClassQuestion, FigureQuestion or ValueQuestion"
            raise AssignmentError(f"{where}: its parts must define {name} = a {kinds}")
        points, stated = sum(case.points for case in parts.cases), self.assignment.questions[name].facts["points"]
        if points != stated:
            raise AssignmentError(f"{where}: its statement gives {stated:g} points, its cases add up to {points:g}")
        missing = [answer for answer in parts.answer_names if answer not in self.namespace]
        if missing:
            raise AssignmentError(f"{where}: the answer defines no {', '.join(missing)}")

    def _question_data(self, name: str) -> dict[str, Any]:
        """What a release stores of one question: no source, and no wrong outcome that could be read."""
        question, parts = self.assignment.questions[name], self.parts(name)
        reference = self.answers(name)
        mistakes = {
            variant.name: {
                "says": variant.says,
                "fingerprints": self.wrong_marks(name, self.answers(name, variant.source), reference, VISIBLE_SEED),
            }
            for variant in question.variants["mistake"]
        }
        expected = {case.name: self._expected(name, parts, case, reference) for case in parts.cases}
        facts = {**question.facts, "title": question.title}
        return {**facts, "expected": expected, "mistakes": mistakes, "hints": question.hints}

    def _expected(self, name: str, parts: Question, case: Case, answers: dict[str, Any]) -> dict[str, Any]:
        if isinstance(parts, ValueQuestion):
            return {"digest": expected_digest(parts, name, case.name, answers[case.name])}
        single, double = _both(parts, case, answers, VISIBLE_SEED)
        where = f"{self.assignment.path}: the reference of {name}, case {case.name}"
        if single.raised != double.raised:
            outcome = double if double.raised else single
            raise AssignmentError(f"{where}: fails only in float32 or only in float64: {outcome.sentence}")
        if single.raised:
            return {"raised": single.raised}
        if not in_double(double.value):
            raise AssignmentError(
                f"{where}: computes in float32 what it is given in float64; its digits vary by machine"
            )
        try:
            return {"value": encode(double.value, single.value)}
        except (TypeError, ValueError) as error:
            raise AssignmentError(f"{where}: {error}") from None

    def wrong_marks(self, name: str, wrong: dict[str, Any], right: dict[str, Any], seed: int) -> dict[str, Any]:
        """By case, the fingerprint of a wrong answer on the inputs of a seed; None where the check finds it right."""
        parts = self.parts(name)
        return {case.name: _wrong_mark(name, parts, case, wrong, right, seed) for case in parts.cases}


def _both(parts: AskedQuestion, case: Case, answers: dict[str, Any], seed: int) -> tuple[Outcome, Outcome]:
    """The outcomes of one case in single and in double precision: the digits of the second are the same anywhere."""
    inputs, answer = parts.inputs(case, seed), answers[parts.name]
    single = ask(parts.way, answer, copy.deepcopy(inputs))
    with double_by_default():
        return single, ask(parts.way, answer, to_double(inputs))


def _wrong_mark(name: str, parts: Question, case: Case, wrong: dict[str, Any], right: dict[str, Any], seed: int) -> Any:
    salt = f"{name}/{case.name}"
    if isinstance(parts, ValueQuestion):
        values = [parts.normalised(case.name, answers[case.name]) for answers in (wrong, right)]
        mark, expected = (fingerprint(Outcome(value), salt) for value in values)
        return None if mark == expected else mark
    single, double = _both(parts, case, wrong, seed)
    inputs = parts.inputs(case, seed)
    if not parts.compare(single, ask(parts.way, right[parts.name], copy.deepcopy(inputs)), inputs):
        return None
    return in_dtypes_of(fingerprint(double, salt), fingerprint(single, salt))


def _run(assignment: Assignment, name: str, source: str, namespace: dict[str, Any]) -> None:
    """Run one cell quietly. Raises AssignmentError with the cell's name when it raises."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(compiled(source, f"<{assignment.stem}: {name}>"), namespace)
        except Exception as error:
            message = f"{assignment.path}: the cell {name} raised {type(error).__name__}: {error}"
            raise AssignmentError(message) from error


def compiled(source: str, name: str) -> CodeType:
    """Code whose lines a traceback can show under this name."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return compile(source, name, "exec")
