"""What is wrong with a result, in sentences: first its form (type, dtype, shape, finiteness), then its values."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmlib.course.plain_data import is_finite

SHOWN = 60  # characters of a text
BEYOND = "a whole number beyond what a float can hold"


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
        return "a number" if is_finite(value) else BEYOND if isinstance(value, int) else str(value)
    return f"an object of type {type(value).__name__}"


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def form_findings(name: str, got: Any, expected: Any) -> list[str]:
    """What is wrong with the type, dtype, device, shape or finiteness of one result."""
    if isinstance(expected, Tensor):
        return _tensor_findings(name, got, expected)
    if isinstance(expected, list | tuple | dict):
        return _structure_findings(name, got, expected)
    if expected is None or isinstance(expected, str):
        wanted = "None" if expected is None else "a text"
        return [] if isinstance(got, type(expected)) else [f"{name} must be {wanted}; got {described(got)}"]
    if isinstance(got, np.generic):
        kind = type(expected).__name__
        return [f"{name} is a NumPy scalar; expected a Python {kind}: `{kind}(...)` makes one of it"]
    wanted = "True or False" if isinstance(expected, bool) else "a number"
    if isinstance(got, Tensor):
        advice = ": `.item()` makes one of it" if got.numel() == 1 else "; is a sum or a mean missing?"
        return [f"{name} must be {wanted}; got {described(got)}{advice}"]
    if isinstance(expected, bool):
        return [] if isinstance(got, bool) else [f"{name} must be {wanted}; got {described(got)}"]
    if isinstance(got, bool) or not isinstance(got, int | float):
        return [f"{name} must be a Python number; got {described(got)}"]
    return [] if is_finite(got) else [f"{name} is {described(got)}"]


def _structure_findings(name: str, got: Any, expected: list | tuple | dict) -> list[str]:
    """What is wrong with the form of a list or dict: its length or its names, or else the first item that is wrong."""
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return [f"{name} must be a dict; got {described(got)}"]
        missing, more = expected.keys() - got.keys(), got.keys() - expected.keys()
        if missing or more:
            return [f"{name} has {_names(got)}; expected {_names(expected)}"]
    else:
        if not isinstance(got, list | tuple):
            return [f"{name} must be a list; got {described(got)}"]
        if len(got) != len(expected):
            return [f"{name} has {len(got)} items; expected {len(expected)}"]
    return next(filter(None, (form_findings(*item) for item in _items(name, got, expected))), [])


def _items(name: str, got: Any, expected: list | tuple | dict) -> list[tuple[str, Any, Any]]:
    """The items of two lists or dicts of the same form, with what they are called."""
    if isinstance(expected, dict):
        return [(f"{key!r} of {name}", got[key], expected[key]) for key in expected]
    return [(f"item {i} of {name}", *pair) for i, pair in enumerate(zip(got, expected, strict=True))]


def _names(found: dict) -> str:
    return ", ".join(repr(str(key)[:SHOWN]) for key in sorted(found, key=str)[:20]) or "nothing in it"


def _tensor_findings(name: str, got: Any, expected: Tensor) -> list[str]:
    if got is None:
        return [f"{name} is None; expected {described(expected)}: is there a `return`?"]
    if isinstance(got, np.ndarray):
        return [f"{name} is a NumPy array; expected a torch tensor: stay in torch from the inputs to the result"]
    if not isinstance(got, Tensor):
        return [f"{name} is {described(got)}; expected {described(expected)}"]
    if got.device != expected.device:
        return [f"{name} is on {got.device}; expected {expected.device}, where the inputs are"]
    if got.shape != expected.shape:
        return [f"{name} has shape {tuple(got.shape)}; expected {tuple(expected.shape)}"]
    if got.dtype != expected.dtype:
        return [f"{name} is {_dtype(got)}; expected {_dtype(expected)}: `.to({expected.dtype})` makes it that"]
    if got.layout != torch.strided:
        return [f"{name} is a sparse tensor; expected a dense one: `.to_dense()` makes it one"]
    if got.requires_grad:
        return [f"{name} requires a gradient, and no input does; `.detach()` takes it away"]
    if torch.isnan(got).any():
        return [f"{name} has NaN in it"]
    if torch.isinf(got).any():
        return [f"{name} has infinite values in it"]
    return []


def value_findings(name: str, got: Any, expected: Any, atol: float) -> list[str]:
    """Where one result first differs from what was expected by more than `atol`."""
    if isinstance(expected, list | tuple | dict):
        items = _items(name, got, expected)
        return next(filter(None, (value_findings(*item, atol) for item in items)), [])
    if expected is None or isinstance(expected, str):
        return [] if got == expected else [f"{name} is {str(got)[:SHOWN]!r}; expected {str(expected)[:SHOWN]!r}"]
    if not isinstance(expected, Tensor):
        if isinstance(expected, bool):
            return [] if got == expected else [f"{name} is {got}; expected {expected}"]
        close = abs(got - expected) <= atol * (1 + abs(expected))
        return [] if close else ["{} is {}; expected {}".format(name, *_told_apart(got, expected))]
    difference = (got.double() - expected.double()).abs()
    wrong = difference > atol * (1 + expected.double().abs())
    if not wrong.any():
        return []
    place = tuple(wrong.nonzero()[0].tolist())
    first, right = _told_apart(got[place].item(), expected[place].item())
    if wrong.numel() == 1:
        return [f"{name} is {first}; expected {right}"]
    return [
        f"{name} has other values than expected ({int(wrong.sum())} of {wrong.numel()} differ);"
        f" the first at {list(place)}: got {first}, expected {right}"
    ]


def _told_apart(got: bool | float, expected: bool | float) -> tuple[str, str]:
    """Two values that differ, with four digits, or with as many as it takes to see that they differ."""
    if isinstance(expected, bool):
        return str(got), str(expected)
    pairs = ((f"{got:.{n}g}", f"{expected:.{n}g}") for n in (4, 8, 17))
    return next((pair for pair in pairs if pair[0] != pair[1]), (str(got), str(expected)))
