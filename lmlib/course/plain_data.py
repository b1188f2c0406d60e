"""Inputs and outcomes of a check as plain data: written to JSON, compared, and recognised by a fingerprint.

Plain data are None, booleans, numbers, strings and tensors, and lists, tuples and dicts of them. Nothing here
knows the code that made them.
"""

import hashlib
import json
import math
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

DECIMALS = 8  # of stored expected values: computed in double precision, so the rounding is the same on every machine
PROJECTIONS = 3  # numbers that a fingerprint keeps of one tensor
LONG = 4  # a list or text of this length is hardly the same by chance


@dataclass(frozen=True)
class Outcome:
    """What a call gave: a value, or the type of the exception that it raised, with a sentence that shows where."""

    value: Any = None
    raised: str | None = None
    sentence: str = ""


def to_double(value: Any) -> Any:
    """The same data with every floating-point tensor in float64."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value.clone()
    return _mapped(to_double, value)


def rounded_to(like: Any, value: Any) -> Any:
    """The same data with every tensor in the dtype that it has in `like`, which has the same structure."""
    if isinstance(value, Tensor):
        return value.to(like.dtype)
    if isinstance(value, dict):
        return {key: rounded_to(like[key], item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(rounded_to(*pair) for pair in zip(like, value, strict=True))
    return value


@contextmanager
def double_by_default() -> Iterator[None]:
    """Tensors that are made of whole numbers or of Python's are float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def in_double(value: Any) -> bool:
    """Whether no tensor in the data has less than double precision."""
    if isinstance(value, Tensor):
        return value.dtype == torch.float64 or not value.is_floating_point()
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return all(in_double(item) for item in items)


def _mapped(function: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: function(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(function(item) for item in value)
    return value


def encode(value: Any, dtypes_of: Any) -> Any:
    """Data as JSON. `dtypes_of` has the same structure, and says in which dtype a tensor is to be."""
    if isinstance(value, Tensor):
        numbers = " ".join(_number(x) for x in value.flatten().tolist())
        return {"tensor": numbers, "shape": list(value.shape), "dtype": str(dtypes_of.dtype).removeprefix("torch.")}
    if isinstance(value, tuple):
        return {"tuple": [encode(*pair) for pair in zip(value, dtypes_of, strict=True)]}
    if isinstance(value, list):
        return [encode(*pair) for pair in zip(value, dtypes_of, strict=True)]
    if isinstance(value, dict):
        return {"dict": {key: encode(item, dtypes_of[key]) for key, item in value.items()}}
    if isinstance(value, float):
        return float(_number(value))
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} is no plain data (numbers, strings, tensors, lists, tuples and dicts are)")


def _number(x: float) -> str:
    """A number in `DECIMALS` decimals, without a sign before zero and without zeros at the end."""
    if isinstance(x, bool | int):
        return str(int(x))
    if not np.isfinite(x):
        raise TypeError(f"{x} cannot be an expected value")
    return f"{round(x, DECIMALS) + 0.0:.{DECIMALS}f}".rstrip("0").rstrip(".")


def decode(data: Any) -> Any:
    """The data that `encode` wrote."""
    if isinstance(data, dict) and "tensor" in data:
        numbers = [float(x) for x in data["tensor"].split()]
        return torch.tensor(numbers, dtype=torch.float64).reshape(data["shape"]).to(getattr(torch, data["dtype"]))
    if isinstance(data, dict) and "dict" in data:
        return {key: decode(item) for key, item in data["dict"].items()}
    if isinstance(data, dict):
        return tuple(decode(item) for item in data["tuple"])
    return [decode(item) for item in data] if isinstance(data, list) else data


def same(first: Any, second: Any) -> bool:
    """Whether two pieces of data are the same, bit for bit (NaN equals NaN)."""
    if isinstance(first, Tensor):
        if not isinstance(second, Tensor) or first.shape != second.shape or first.dtype != second.dtype:
            return False
        return torch.equal(torch.isnan(first), torch.isnan(second)) and torch.equal(
            first.nan_to_num(), second.nan_to_num()
        )
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(same(*pair) for pair in zip(first, second, strict=True))
    return bool(first == second)


def digest(value: Any, salt: str) -> str:
    """A short hash by which a text or a number is recognised; a number to three significant digits and 1e-5."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = f"{type(value).__name__} {value}"
    else:
        text = f"number {_rounded(value)}"
    return hashlib.sha256(f"{salt} {text}".encode()).hexdigest()[:16]


def _rounded(number: float) -> str:
    return f"{round(number, 5) + 0.0:.3g}" if isinstance(number, float) or is_finite(number) else "beyond"


def is_finite(number: float) -> bool:
    """Whether a number is finite, and no int beyond what a float can hold."""
    return abs(number) <= sys.float_info.max


def fingerprint(outcome: Outcome, salt: str) -> Any:
    """By what an outcome is recognised. The outcome cannot be computed from it.

    Of a tensor it keeps shape, dtype, how many values are not finite, and fewer random projections than it has
    values; of a number, a text or a list of whole numbers and texts its digest; of an exception its type.
    """
    return {"raised": outcome.raised} if outcome.raised else _fingerprint(outcome.value, salt)


def _fingerprint(value: Any, salt: str) -> Any:
    if isinstance(value, Tensor) and (value.is_meta or value.layout != torch.strided):
        return {"shape": list(value.shape), "device": str(value.device), "layout": str(value.layout)}
    if isinstance(value, Tensor) and value.numel() == 1:
        return {"shape": list(value.shape), "dtype": str(value.dtype), **_of_one(value.item(), salt)}
    if isinstance(value, Tensor):
        flat = value.detach().flatten().double().cpu().numpy()
        finite = np.isfinite(flat)
        return {
            "shape": list(value.shape),
            "dtype": str(value.dtype),
            "not_finite": int((~finite).sum()),
            "projections": _projections(np.where(finite, flat, 0.0), salt),
        }
    if isinstance(value, np.ndarray):  # never written out: its shape may be any
        return {"shape": list(value.shape), "array": True}
    if isinstance(value, str | list) and len(value) >= LONG and _is_discrete(value):
        return {"digest": digest(json.dumps(value), salt), "length": len(value)}
    if isinstance(value, list | tuple):
        return [_fingerprint(item, f"{salt}/{i}") for i, item in enumerate(value)]
    if isinstance(value, dict):
        names = sorted(value, key=str)
        return [
            _fingerprint([str(name) for name in names], salt),
            *(_fingerprint(value[n], f"{salt}/{n}") for n in names),
        ]
    return _of_one(value, salt)


def _of_one(value: Any, salt: str) -> dict[str, Any]:
    """The fingerprint of a single value, which says of a number when it is not whole."""
    mark: dict[str, Any] = {"digest": digest(value, salt)}
    if isinstance(value, float) and math.isfinite(value) and not float(_rounded(value)).is_integer():
        mark["fractional"] = True
    return mark


def _is_discrete(value: Any) -> bool:
    """Whether there is nothing in it that is rounded."""
    if isinstance(value, list | tuple):
        return all(map(_is_discrete, value))
    return value is None or isinstance(value, int | str)


def _projections(flat: np.ndarray, salt: str) -> list[float]:
    count = min(PROJECTIONS, flat.size - 1)
    directions = np.random.default_rng(zlib.crc32(salt.encode())).standard_normal((max(count, 0), flat.size))
    return [round(float(x), 6) + 0.0 for x in directions @ flat / np.sqrt(max(flat.size, 1))]


def matches(found: Any, known: Any) -> bool:
    """Whether two fingerprints are of the same outcome, up to rounding in float32."""
    if isinstance(found, list) or isinstance(known, list):
        return (
            isinstance(found, list)
            and isinstance(known, list)
            and len(found) == len(known)
            and all(matches(*pair) for pair in zip(found, known, strict=True))
        )
    if found is None or known is None or found.keys() != known.keys():
        return False
    if any(found[key] != known[key] for key in found if key != "projections"):
        return False
    pairs = zip(found.get("projections", []), known.get("projections", []), strict=True)
    return all(abs(a - b) <= 1e-4 * (1 + abs(b)) for a, b in pairs)


def in_dtypes_of(mark: Any, single: Any) -> Any:
    """A fingerprint from a run in double precision, with the dtypes of the run in single precision.

    Where the two runs differ in more than rounding, it is the one in single precision.
    """
    if isinstance(mark, list) and isinstance(single, list) and len(mark) == len(single):
        return [in_dtypes_of(*pair) for pair in zip(mark, single, strict=True)]
    if isinstance(mark, dict) and "dtype" in mark:
        mark = {**mark, "dtype": single.get("dtype")} if isinstance(single, dict) else mark
    return mark if matches(mark, single) else single


def is_specific(mark: Any) -> bool:
    """Whether a fingerprint is of many values, so that two different wrong answers hardly share it."""
    if isinstance(mark, list):
        return any(is_specific(item) for item in mark)
    return bool(mark and (any(mark.get("projections", ())) or mark.get("length")))


def is_fractional(mark: Any) -> bool:
    """Whether a fingerprint is of a number that is not whole: two wrong answers may share one, but hardly two."""
    if isinstance(mark, list):
        return any(is_fractional(item) for item in mark)
    return bool(mark and mark.get("fractional"))
