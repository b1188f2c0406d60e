"""The linear layers of a model that writes.

Writing one token multiplies a single row with every weight, once, so its time is that of reading the weights. What
helps is to read them in the order in which they lie, and to read fewer bytes:
    one row, float32       the same weights, each matrix laid out column by column in memory
    some rows, float32;    the weights in blocks that oneDNN, the library below torch, arranges for its kernels
    any rows, bfloat16
    int8                   a quarter of the bytes of float32; see `Int8Weights`
    one row, on a GPU      a kernel that does nothing but read; see `one_row`
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.fast.switch import SWITCH, is_on

WEIGHTS = ("same", "int8")
PLAIN = "plain"

Product = Callable[[Tensor], Tensor]  # (..., K) → (..., N)


@dataclass
class Paths:
    """Which path each linear layer takes: name → path, and where that is the plain one, the reason."""

    taken: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Paths with their numbers of layers, and the reasons."""
        paths = ", ".join(f"{n} layers {path}" for path, n in Counter(self.taken.values()).items())
        reasons = "".join(f"; plain: {reason} ({n})" for reason, n in Counter(self.reasons.values()).items())
        return (paths or "no linear layers") + reasons


@contextmanager
def decoding(model: nn.Module, rows: int = 1, weights: str = "same") -> Iterator[Paths]:
    """Inside, the linear layers of the model, which writes `rows` texts at a time, take their fastest path.

    `weights` "same" changes results by round-off alone, "int8" rounds the weights (see `Int8Weights`). Only for
    torch.no_grad() or inference_mode(), as `generate` has it, and only as long as the weights do not change; both are
    checked, the second not in compiled steps. Arranged weights lie in memory beside the model's own. Raises ValueError
    for other `weights`.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights must be one of {', '.join(WEIGHTS)}; got {weights!r}")
    paths, changed = Paths(), []
    try:
        for name, layer in model.named_modules():
            if not isinstance(layer, nn.Linear):
                continue
            path, result = product_of(layer, rows, weights)
            paths.taken[name] = path
            if isinstance(result, str):
                paths.reasons[name] = result
            else:
                layer.forward = _checked(layer, result)  # type: ignore[method-assign, assignment]
                changed.append(layer)
        yield paths
    finally:
        for layer in changed:
            del layer.forward


def product_of(layer: nn.Linear, rows: int, weights: str) -> tuple[str, Product | str]:
    """The path of one layer and what computes it; for the plain path the reason."""
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    if not is_on():
        return PLAIN, f"{SWITCH}=0"
    if type(layer).forward is not nn.Linear.forward or "forward" in vars(layer):
        return PLAIN, f"{type(layer).__name__} multiplies in a way of its own"
    if weight.is_cuda:
        why = one_row_missing(weight, rows, weights)
        return ("one row", one_row_of(layer)) if why is None else (PLAIN, why)
    if weight.device.type != "cpu":
        return PLAIN, f"the weights are on {weight.device.type}"
    if weights == "int8":
        return ("int8", Int8Weights(weight, bias)) if hasattr(torch, "_int_mm") else (PLAIN, "torch has no _int_mm")
    if weight.dtype == torch.float32 and rows == 1:
        return "by columns", by_columns(weight, bias)
    if weight.dtype not in (torch.float32, torch.bfloat16):
        return PLAIN, f"no path for {weight.dtype}"
    if why := blocks_missing(weight.dtype):
        return PLAIN, why
    return "in blocks", in_blocks(weight, bias, rows)


def by_columns(weight: Tensor, bias: Tensor | None) -> Product:
    """x Wᵀ + b where W (N, K) lies in memory column after column.

    With one row the product is a sum of columns, each times a number: every column is read from end to end, and all of
    the sum's entries grow side by side. By rows each entry is a sum of its own.
    """
    laid_out = weight.T.contiguous().T  # the same matrix, other strides
    return lambda x: F.linear(x, laid_out, bias)


def in_blocks(weight: Tensor, bias: Tensor | None, rows: int) -> Product:
    """x Wᵀ + b by oneDNN, with W arranged in blocks for products of about this many rows."""
    ops = torch.ops.mkldnn
    arranged = ops._reorder_linear_weight(weight, rows)

    def product(x: Tensor) -> Tensor:
        if x.dtype != weight.dtype:  # as of autocast
            return F.linear(x, weight, bias)
        return cast(Tensor, ops._linear_pointwise(x, arranged, bias, "none", [], ""))

    return product


@functools.cache
def blocks_missing(dtype: torch.dtype) -> str | None:
    """Why oneDNN's arranged weights cannot be used here; None when they can."""
    if not torch.backends.mkldnn.is_available():
        return "torch was built without oneDNN"
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return "the processor has no instructions that oneDNN needs for bfloat16"
        one = torch.ones(1, 8, dtype=dtype)
        in_blocks(torch.ones(8, 8, dtype=dtype), None, 1)(one)
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        return f"oneDNN's linear layer fails here: {str(error).splitlines()[0]}"
    return None


def one_row_of(layer: nn.Linear) -> Product:
    """x Wᵀ + b by `one_row`; a prompt, which has many rows, and another dtype, as of autocast, take the plain way."""
    from lmlib.fast.one_row import one_row  # only builds of torch for GPUs bring Triton

    def product(x: Tensor) -> Tensor:
        if x.numel() > x.size(-1) or x.dtype != layer.weight.dtype:
            return F.linear(x, layer.weight, layer.bias)
        return one_row(x.contiguous(), layer.weight, layer.bias)

    return product


def one_row_missing(weight: Tensor, rows: int, weights: str) -> str | None:
    """Why the kernel for one row cannot be used on a GPU; None when it can."""
    if weights != "same":
        return f"{weights} weights are for the CPU"
    if rows > 1:
        return f"on a GPU, {rows} rows are no faster than by the plain way"
    if weight.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"no path for {weight.dtype}"
    if not weight.is_contiguous():
        return "the weights do not lie in one piece"
    return None if find_spec("triton") else "Triton is not installed"


class Int8Weights:
    """x Wᵀ + b with weights and inputs rounded to whole numbers of one byte.

    Each output channel n has a scale of its own, s = max |W[n]| / 127, and keeps Q[n] = round(W[n] / s); each row of
    x, when it comes, t = max |x| / 127 and u = round(x / t). Then x · W[n] ≈ s t (u · Q[n]), and u · Q[n] is a sum of
    whole numbers without any error. A channel with large weights does not make others coarse; an input with one large
    feature makes all of its others coarse, which is why models with such features keep them apart (Dettmers et al.
    2022). With K inputs, rounding changes an output by at most s/2 · Σ|x| + t/2 · Σ|W[n]| + K s t/4, and by far less
    in the mean. Sources: Jacob et al. 2018, section 2; Dettmers et al. 2022 (LLM.int8), section 3.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None):
        """Round the weights (N, K)."""
        self.scale, rounded = rounded_to_int8(weight.float())  # (N, 1), (N, K)
        self.weight = rounded.T  # (K, N), and each channel lies in one piece
        self.bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """(..., K) → (..., N), in the dtype of x."""
        rows = x.flatten(0, -2)
        scale, rounded = rounded_to_int8(rows.float())  # (R, 1), (R, K)
        y = torch._int_mm(rounded, self.weight) * (scale * self.scale.T)  # (R, N)
        y = y if self.bias is None else y + self.bias
        return y.to(x.dtype).view(*x.shape[:-1], -1)


def rounded_to_int8(x: Tensor) -> tuple[Tensor, Tensor]:
    """The scale of each row, (R, 1), and whole numbers -127..127, (R, K) int8, that times the scale are nearly x."""
    scale = x.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return scale, (x / scale).round_().to(torch.int8)


def _checked(layer: nn.Linear, product: Product) -> Product:
    """The product, refused where it would be of other weights or would lose a gradient."""
    version = layer.weight._version

    def forward(x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError("fast.decoding has no gradients; leave it, or call the model in torch.no_grad()")
        if not torch.compiler.is_compiling() and layer.weight._version != version:
            raise RuntimeError("the weights have changed inside of fast.decoding; leave it and enter it again")
        return product(x)

    return forward
