"""The parts of a check, each of which stands alone: draw inputs from a seed, ask (see asking.py), compare.

An assignment's `..._checks.py` defines its questions with these classes. A question is given data and gives
data: drawing knows no answer, comparing knows no student's code.
"""

import unicodedata
import zlib
from collections.abc import Callable, Collection
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lmlib.course.figures import NEEDED, PARTS
from lmlib.course.findings import described, form_findings, value_findings
from lmlib.course.plain_data import Outcome, digest, double_by_default, is_finite, rounded_to
from lmlib.course.steps import results_of

VISIBLE_SEED = 0  # of the inputs that a student's own check uses


class Draw:
    """Random inputs in a row, the same for the same seed and case on every machine."""

    def __init__(self, seed: int, case: str) -> None:
        self.rng = np.random.default_rng([seed, zlib.crc32(case.encode())])

    def normal(self, *shape: int) -> Tensor:
        """A tensor of this shape in the default dtype, with mean 0 and variance 1."""
        return torch.from_numpy(self.rng.standard_normal(shape)).to(torch.get_default_dtype())

    def order(self, length: int) -> Tensor:
        """A random permutation of 0 ... length-1 (int64)."""
        return torch.from_numpy(self.rng.permutation(length))


Inputs = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One thing that a check looks at, worth some points. A question of values has nothing to draw."""

    name: str
    title: str
    points: float
    draw: Callable[[Draw], Inputs] = lambda draw: {}


@dataclass
class AskedQuestion:
    """A question whose answer is a function or a class of this name: it is asked on drawn inputs, its outcome compared.

    `atol` is the largest difference that counts as equal (on values of about 1), and `because` says why it is that
    large. `way` is how it is asked: a name in asking.py.
    """

    name: str
    _: KW_ONLY
    atol: float
    because: str
    cases: list[Case] = field(default_factory=list)

    way: ClassVar[str]
    kind: ClassVar[str]  # in words, for a student

    @property
    def answer_names(self) -> list[str]:
        """The names that the answer cell defines."""
        return [self.name]

    def case(self, points: float) -> Callable[[Callable[[Draw], Inputs]], Callable[[Draw], Inputs]]:
        """Add a case: the function draws its inputs, its docstring is the title that a student reads."""

        def add(draw: Callable[[Draw], Inputs]) -> Callable[[Draw], Inputs]:
            self.cases.append(Case(draw.__name__, _first_line(draw), points, draw))
            return draw

        return add

    def inputs(self, case: Case, seed: int = VISIBLE_SEED) -> Inputs:
        """The inputs of one case for one seed. Computed in float64 and then rounded, they are the same anywhere."""
        like = case.draw(Draw(seed, case.name))
        with double_by_default():
            return rounded_to(like, case.draw(Draw(seed, case.name)))

    def compare(self, outcome: Outcome, expected: Outcome, inputs: Inputs) -> list[str]:
        """What is wrong with an outcome, in sentences; empty when it is right."""
        if outcome.raised == NotImplementedError.__name__:
            return [outcome.sentence]
        if expected.raised:
            return [] if outcome.raised == expected.raised else [_not_refused(outcome, expected.raised)]
        if outcome.raised:
            return [outcome.sentence]
        return self._findings(outcome.value, expected.value, inputs)

    def _findings(self, got: Any, expected: Any, inputs: Inputs) -> list[str]:
        """What is wrong with a value."""
        raise NotImplementedError

    def changed(self, names: Collection[str]) -> list[str]:
        """What is to be said when these inputs were changed in place."""
        return [f"the call changes its input `{'`, `'.join(names)}` in place; work on a copy"] if names else []


@dataclass
class FunctionQuestion(AskedQuestion):
    """A question that is answered by a function, called by keyword. `returns` names the results, in order."""

    _: KW_ONLY
    returns: tuple[str, ...]
    invariants: list[Callable[[Any, Inputs], bool]] = field(default_factory=list)

    way: ClassVar[str] = "call"
    kind: ClassVar[str] = "function"

    def invariant(self, holds: Callable[[Any, Inputs], bool]) -> Callable[[Any, Inputs], bool]:
        """Add a property of every right outcome: the docstring is what a student reads when it is broken."""
        _first_line(holds)
        self.invariants.append(holds)
        return holds

    def _findings(self, got: Any, expected: Any, inputs: Inputs) -> list[str]:
        findings = self._form(got, expected)
        if findings:
            return findings
        broken = [_first_line(holds) for holds in self.invariants if not holds(got, inputs)]
        return [*broken, *self._values(got, expected)]

    def _form(self, got: Any, expected: Any) -> list[str]:
        """What is wrong with types, dtypes, shapes and finiteness."""
        if got is None:
            return [f"`{self.name}` returns nothing (None); is there a `return`?"]
        if len(self.returns) == 1:
            return form_findings("the result", got, expected)
        names = ", ".join(self.returns)
        if not isinstance(got, list | tuple):
            return [f"got {described(got)}; expected {len(self.returns)} results: {names}"]
        if len(got) != len(self.returns):
            return [f"got {len(got)} results; expected {len(self.returns)}: {names}"]
        parts = zip(self.returns, got, expected, strict=True)
        return [finding for name, g, e in parts for finding in form_findings(f"`{name}`", g, e)]

    def _values(self, got: Any, expected: Any) -> list[str]:
        if len(self.returns) == 1:
            return value_findings("the result", got, expected, self.atol)
        parts = zip(self.returns, got, expected, strict=True)
        return [finding for name, g, e in parts for finding in value_findings(f"`{name}`", g, e, self.atol)]


@dataclass
class ClassQuestion(AskedQuestion):
    """A question that is answered by a class with state: a case is a row of steps (see steps.py)."""

    way: ClassVar[str] = "use"
    kind: ClassVar[str] = "class"

    def _findings(self, got: Any, expected: Any, inputs: Inputs) -> list[str]:
        """What is wrong with the first step that is: later ones follow from the state that it left."""
        parts = zip(results_of(inputs), got, expected, strict=True)
        found = (form_findings(*part) or value_findings(*part, self.atol) for part in parts)
        return next(filter(None, found), [])

    def changed(self, names: Collection[str]) -> list[str]:
        """What is to be said when inputs of any step were changed in place."""
        return ["a method changes what it was given in place; work on a copy"] if names else []


@dataclass
class FigureQuestion(AskedQuestion):
    """A question that is answered by a function that draws on the Axes `ax`: what it drew is compared as data.

    Labels, scales and the names of what is drawn must be as the statement says; see figures.py for all that counts.
    """

    way: ClassVar[str] = "draw"
    kind: ClassVar[str] = "function"

    def _findings(self, got: Any, expected: Any, inputs: Inputs) -> list[str]:
        """What is missing, and what is wrong with each part of the figure, its data last."""
        missing = [sentence for name, sentence in NEEDED.items() if expected[name] and got[name] is not True]
        parts = [(PARTS[name], got[name], expected[name]) for name in PARTS]
        return missing + [finding for p in parts for finding in form_findings(*p) or value_findings(*p, self.atol)]


@dataclass
class ValueQuestion:
    """A question that is answered by values: a letter that stands for a choice, or a number that was worked out.

    Only digests of the right values are stored, so numbers are compared to three significant digits.
    """

    cases: list[Case] = field(default_factory=list)
    choices: dict[str, str] = field(default_factory=dict)

    @property
    def answer_names(self) -> list[str]:
        """The names that the answer cell defines."""
        return [case.name for case in self.cases]

    def choice(self, name: str, letters: str, points: float, title: str) -> None:
        """Add a value that must be one of the letters."""
        self.choices[name] = letters
        self.cases.append(Case(name, title, points))

    def number(self, name: str, points: float, title: str) -> None:
        """Add a value that must be a number."""
        self.cases.append(Case(name, title, points))

    def normalised(self, name: str, value: Any) -> Any:
        """The value in the form that is compared: a number as a Python number, a letter small and bare.

        A letter may be capital, in brackets, before a stop, or wide, as Chinese keyboards give it.
        """
        if isinstance(value, str):
            return unicodedata.normalize("NFKC", value).strip(" ().,:;。、").lower()
        if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0:
            return value.item()
        return value

    def findings(self, name: str, value: Any, expected: str, salt: str) -> list[str]:
        """What is wrong with a value, in sentences; empty when its digest is the expected one."""
        value = self.normalised(name, value)
        if value is None or value == "" or value is ...:
            return [f"`{name}` is not answered yet"]
        if name in self.choices:
            letters = self.choices[name]
            if not isinstance(value, str) or value not in list(letters):
                return [f"`{name}` must be one of the letters {', '.join(letters)}; got {described(value)}"]
        elif isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
            return [f"`{name}` must be a Python number; got {described(value)}"]
        if digest(value, salt) == expected:
            return []
        rounded = "" if name in self.choices or value == int(value) else ": its first three digits are compared"
        return [f"`{name}` is not right{rounded}"]


Question = AskedQuestion | ValueQuestion


def _first_line(function: Callable) -> str:
    if not function.__doc__:
        raise ValueError(f"{function.__name__} needs a docstring: it is the sentence that a student reads")
    return function.__doc__.strip().partition("\n")[0]


def _not_refused(outcome: Outcome, expected: str) -> str:
    came = f"{outcome.raised} was raised" if outcome.raised else f"got {described(outcome.value)}"
    return f"expected that {expected} is raised; {came}"
