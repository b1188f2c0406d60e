"""The parts of a check, each of which stands alone: draw inputs from a seed, call, compare.

An assignment's `..._checks.py` defines its questions with these two classes. A question is given data and gives
data: drawing knows no answer, comparing knows no student's code.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmlib.course.plain_data import Outcome, digest

VISIBLE_SEED = 0  # of the inputs that a student's own check uses


class Draw:
    """Random inputs in a row, the same for the same seed and case on every machine."""

    def __init__(self, seed: int, case: str) -> None:
        self.rng = np.random.default_rng([seed, zlib.crc32(case.encode())])

    def normal(self, *shape: int) -> Tensor:
        """A float32 tensor of this shape with mean 0 and variance 1."""
        return torch.from_numpy(self.rng.standard_normal(shape).astype(np.float32))

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
class FunctionQuestion:
    """A question that is answered by a function, called on drawn inputs.

    `returns` names the results, in order. `atol` is the largest difference that counts as equal (on values of
    about 1), and `because` says why it is that large.
    """

    function: str
    returns: tuple[str, ...]
    atol: float
    because: str
    cases: list[Case] = field(default_factory=list)
    invariants: list[Callable[[Any, Inputs], bool]] = field(default_factory=list)

    @property
    def answer_names(self) -> list[str]:
        """The names that the answer cell defines."""
        return [self.function]

    def case(self, points: float) -> Callable[[Callable[[Draw], Inputs]], Callable[[Draw], Inputs]]:
        """Add a case: the function draws its inputs, its docstring is the title that a student reads."""

        def add(draw: Callable[[Draw], Inputs]) -> Callable[[Draw], Inputs]:
            self.cases.append(Case(draw.__name__, _first_line(draw), points, draw))
            return draw

        return add

    def invariant(self, holds: Callable[[Any, Inputs], bool]) -> Callable[[Any, Inputs], bool]:
        """Add a property of every right outcome: the docstring is what a student reads when it is broken."""
        _first_line(holds)
        self.invariants.append(holds)
        return holds

    def inputs(self, case: Case, seed: int = VISIBLE_SEED) -> Inputs:
        """The inputs of one case for one seed."""
        return case.draw(Draw(seed, case.name))

    def compare(self, outcome: Outcome, expected: Outcome, inputs: Inputs) -> list[str]:
        """What is wrong with an outcome, in sentences; empty when it is right."""
        if outcome.raised == NotImplementedError.__name__:
            return [outcome.sentence]
        if expected.raised:
            return [] if outcome.raised == expected.raised else [_not_refused(outcome, expected.raised)]
        if outcome.raised:
            return [outcome.sentence]
        findings = self._form(outcome.value, expected.value)
        if findings:
            return findings
        broken = [_first_line(holds) for holds in self.invariants if not holds(outcome.value, inputs)]
        return broken or self._values(outcome.value, expected.value)

    def _form(self, got: Any, expected: Any) -> list[str]:
        """What is wrong with types, dtypes, shapes and finiteness."""
        if got is None:
            return [f"`{self.function}` returns nothing (None); is there a `return`?"]
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
        """The value in the form that is compared: a letter in lower case, a number as a Python number."""
        if isinstance(value, str):
            return value.strip().strip("().").lower()
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
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return [f"`{name}` must be a number; got {described(value)}"]
        return [] if digest(value, salt) == expected else [f"`{name}` is not right"]


Question = FunctionQuestion | ValueQuestion


def _first_line(function: Callable) -> str:
    if not function.__doc__:
        raise ValueError(f"{function.__name__} needs a docstring: it is the sentence that a student reads")
    return function.__doc__.strip().partition("\n")[0]


def _not_refused(outcome: Outcome, expected: str) -> str:
    came = f"{outcome.raised} was raised" if outcome.raised else f"got {described(outcome.value)}"
    return f"expected that {expected} is raised; {came}"


def described(value: Any) -> str:
    """What a value is, without its numbers: 'a tensor of shape (2, 3), float32'."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}, {_dtype(value)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return f"the text {value[:20]!r}"
    if isinstance(value, int | float):
        return "a number" if math.isfinite(value) else str(value)
    return f"an object of type {type(value).__name__}"


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def form_findings(name: str, got: Any, expected: Any) -> list[str]:
    """What is wrong with the type, dtype, device, shape or finiteness of one result."""
    if isinstance(expected, Tensor):
        return _tensor_findings(name, got, expected)
    if isinstance(got, np.generic):
        kind = type(expected).__name__
        return [f"{name} is a NumPy scalar; expected a Python {kind}: `{kind}(...)` makes one of it"]
    wanted = "True or False" if isinstance(expected, bool) else "a number"
    if isinstance(got, Tensor):
        return [f"{name} must be {wanted}; got {described(got)}: `.item()` makes one of it"]
    if isinstance(expected, bool):
        return [] if isinstance(got, bool) else [f"{name} must be {wanted}; got {described(got)}"]
    if isinstance(got, bool) or not isinstance(got, int | float):
        return [f"{name} must be a number; got {described(got)}"]
    return [] if math.isfinite(got) else [f"{name} is {got}"]


def _tensor_findings(name: str, got: Any, expected: Tensor) -> list[str]:
    if got is None:
        return [f"{name} is None; expected {described(expected)}"]
    if isinstance(got, np.ndarray):
        return [f"{name} is a NumPy array; expected a torch tensor: stay in torch from the inputs to the result"]
    if not isinstance(got, Tensor):
        return [f"{name} is {described(got)}; expected {described(expected)}"]
    if got.device != expected.device:
        return [f"{name} is on {got.device}; expected {expected.device}, where the inputs are"]
    if got.shape != expected.shape:
        return [f"{name} has shape {tuple(got.shape)}; expected {tuple(expected.shape)}"]
    if got.dtype != expected.dtype:
        return [f"{name} is {_dtype(got)}; expected {_dtype(expected)}, as the inputs are"]
    if got.layout != torch.strided:
        return [f"{name} is a sparse tensor; expected a dense one: `.to_dense()` makes it one"]
    if got.requires_grad:
        return [f"{name} requires a gradient, and no input does; is a parameter or `requires_grad` left in it?"]
    if torch.isnan(got).any():
        return [f"{name} has NaN in it"]
    if torch.isinf(got).any():
        return [f"{name} has infinite values in it"]
    return []


def value_findings(name: str, got: Any, expected: Any, atol: float) -> list[str]:
    """Where one result first differs from what was expected by more than `atol`."""
    if not isinstance(expected, Tensor):
        if isinstance(expected, bool):
            return [] if got == expected else [f"{name} is {got}; expected {expected}"]
        close = abs(got - expected) <= atol * (1 + abs(expected))
        return [] if close else [f"{name} is {got:.4g}; expected {expected:.4g}"]
    difference = (got.double() - expected.double()).abs()
    wrong = difference > atol * (1 + expected.double().abs())
    if not wrong.any():
        return []
    place = tuple(wrong.nonzero()[0].tolist())
    at = f" at {list(place)}" if place else ""
    return [
        f"{name} has other values than expected ({int(wrong.sum())} of {wrong.numel()} differ);"
        f" the first{at}: got {got[place].item():.4g}, expected {expected[place].item():.4g}"
    ]
