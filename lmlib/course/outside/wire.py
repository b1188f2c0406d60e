"""Plain data in frames: a description in JSON, and the bytes of tensors beside it. Nothing in it is ever run.

Written in the child and read by the checker, so whoever reads trusts nothing: types, dtypes, shapes and lengths are
looked at, and an object that is no plain data comes out as a placeholder that only has its type's name.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

DEPTH = 8  # of lists in lists
ITEMS = 10_000  # of lists and dicts together
TEXT = 10_000  # characters
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
        torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128,
    )
}  # fmt: skip
SCALARS = {kind.__name__: kind for kind in (np.float16, np.float32, np.int64, np.int32, np.uint8, np.bool_)}


class WireError(ValueError):
    """Data that cannot be sent, or a description that is none."""


class Opaque:
    """What stands for an object that is no plain data."""


def pack(value: Any) -> tuple[Any, bytes]:
    """The description of a value, and the bytes of its tensors. Raises WireError when it is too deep or too large."""
    parts: list[bytes] = []
    left = [ITEMS]
    return _described(value, parts, left, DEPTH), b"".join(parts)


def _described(value: Any, parts: list[bytes], left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth < 0:
        raise WireError(f"the result holds more than {ITEMS} items, or lists in lists deeper than {DEPTH}")
    if isinstance(value, Tensor):
        return _tensor(value, parts)
    if isinstance(value, np.ndarray):
        return {"array": list(value.shape)}
    if isinstance(value, np.generic):
        return {"scalar": type(value).__name__}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"int": str(int(value))} if abs(int(value)) < 10**300 else {"other": "int"}
    if isinstance(value, float):
        return {"float": float(value).hex()}
    if isinstance(value, str):
        return {"text": str(value)[:TEXT]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_described(item, parts, left, depth - 1) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _described(item, parts, left, depth - 1) for key, item in value.items()}}
    return {"other": type(value).__name__}


def _tensor(value: Tensor, parts: list[bytes]) -> dict[str, Any]:
    said = {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
    if value.layout != torch.strided or value.is_meta:
        return {"tensor": {**said, "layout": "meta" if value.is_meta else "sparse"}}
    if said["dtype"] not in DTYPES:
        return {"other": f"tensor_of_{said['dtype']}"}
    plain = value.detach().cpu().contiguous().resolve_conj().resolve_neg().reshape(-1)
    data = plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    parts.append(data)
    return {"tensor": {**said, "bytes": len(data), "gradient": value.requires_grad}}


def unpack(described: Any, data: bytes) -> Any:
    """The value that was described. Raises WireError for what `pack` never writes."""
    reader = _Reader(data)
    value = reader.value(described, DEPTH)
    if reader.position != len(data):
        raise WireError(f"{len(data) - reader.position} bytes belong to nothing")
    return value


class _Reader:
    """Takes the bytes of one tensor after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position, self.left = data, 0, ITEMS

    def value(self, said: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth < 0:
            raise WireError("too many items, or too deep")
        if said is None or isinstance(said, bool):
            return said
        if not isinstance(said, dict) or len(said) != 1:
            raise WireError("a value without a form")
        ((form, content),) = said.items()
        if form in ("list", "tuple") and isinstance(content, list):
            items = [self.value(item, depth - 1) for item in content]
            return tuple(items) if form == "tuple" else items
        if form == "dict" and isinstance(content, dict):
            return {key: self.value(item, depth - 1) for key, item in content.items()}
        if form == "tensor" and isinstance(content, dict):
            return self._tensor(content)
        return _simple(form, content)

    def _tensor(self, said: dict[str, Any]) -> Tensor:
        shape, dtype = _shape(said.get("shape")), DTYPES.get(str(said.get("dtype")))
        if dtype is None:
            raise WireError("a tensor of an unknown dtype")
        if said.get("layout") == "meta":
            return torch.empty(shape, dtype=dtype, device="meta")
        if said.get("layout") == "sparse":
            return torch.sparse_coo_tensor(torch.empty(len(shape), 0, dtype=torch.int64), [], size=shape, dtype=dtype)
        length = math.prod(shape) * dtype.itemsize
        if said.get("bytes") != length or self.position + length > len(self.data):
            raise WireError(f"a tensor of shape {shape}, {dtype}, with other than {length} bytes")
        part = bytearray(self.data[self.position : self.position + length])
        self.position += length
        if dtype == torch.bool and any(part.translate(None, b"\x00\x01")):
            raise WireError("a tensor of booleans with other bytes than 0 and 1")
        flat = torch.frombuffer(part, dtype=dtype) if length else torch.empty(0, dtype=dtype)
        tensor = flat.reshape(shape)
        wants = said.get("gradient") is True and (dtype.is_floating_point or dtype.is_complex)
        return tensor.requires_grad_() if wants else tensor


def _shape(said: Any) -> list[int]:
    if not isinstance(said, list) or len(said) > 32 or not all(type(n) is int and 0 <= n < 1 << 32 for n in said):
        raise WireError("a tensor without a shape")
    return said


def _simple(form: str, content: Any) -> Any:
    if form == "array":
        return np.broadcast_to(np.float64(0), _shape(content))
    if not isinstance(content, str):
        raise WireError(f"a {form} without text")
    if form == "scalar":
        return SCALARS.get(content, np.float64)(0)
    if form == "text":
        return content[:TEXT]
    try:
        if form == "int":
            return int(content)
        if form == "float":
            return float.fromhex(content)
    except (ValueError, OverflowError):
        raise WireError(f"a number that is none: {content[:20]!r}") from None
    if form == "other":
        name = content[:40] if content.isidentifier() else "object"
        return type(name, (Opaque,), {})()
    raise WireError(f"an unknown form {form[:20]!r}")
