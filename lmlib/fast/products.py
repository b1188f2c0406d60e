"""The linear layers of a model that writes.

Writing one token multiplies a single row with every weight, once, so its time is that of reading the weights. What
helps is to read them in the order in which they lie, and to read fewer bytes:
    one row                a loop, or on a GPU a kernel, that does nothing but read; see `one_row_cpu`, `one_row_gpu`
    in blocks              the weights as oneDNN arranges them for its kernels: on a CPU, for several rows, for small
                           layers, and where no C++ compiler is at hand; see `onednn`
    int8                   a quarter of the bytes of float32; see `Int8Weights`
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.fast import one_row_cpu, onednn
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
    checked, the second not in compiled steps. Arranged weights lie in memory beside the model's own. The first use on a
    machine may compile for some seconds. Raises ValueError for other `weights`.
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
        return ("one row", row_by_row(layer)) if why is None else (PLAIN, why)
    if weight.device.type != "cpu":
        return PLAIN, f"the weights are on {weight.device.type}"
    if weights == "int8":
        return ("int8", Int8Weights(weight, bias)) if hasattr(torch, "_int_mm") else (PLAIN, "torch has no _int_mm")
    if rows == 1 and is_worth_a_loop(weight):
        return "one row", row_by_row(layer)
    if why := onednn.missing(weight.dtype):
        return PLAIN, why
    return "in blocks", onednn.linear(weight, bias, onednn.in_blocks(weight, rows))


def is_worth_a_loop(weight: Tensor) -> bool:
    """Whether a compiled loop can multiply one row on the CPU, and gains more than calling it costs."""
    return (
        weight.numel() >= one_row_cpu.SMALLEST
        and weight.dtype in one_row_cpu.DTYPES
        and weight.is_contiguous()
        and one_row_cpu.has_compiler()
    )


def row_by_row(layer: nn.Linear) -> Product:
    """x Wᵀ + b for one row; a prompt, which has many, and another dtype, as of autocast, go another way."""
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    one_row = on_gpu(layer) if weight.is_cuda else one_row_cpu.one_row_of(weight, bias)
    has_onednn = weight.device.type == "cpu" and onednn.missing(weight.dtype) is None
    many_rows = onednn.linear(weight, bias) if has_onednn else lambda x: F.linear(x, layer.weight, layer.bias)

    def product(x: Tensor) -> Tensor:
        return one_row(x) if x.numel() == x.size(-1) and x.dtype == weight.dtype else many_rows(x)

    return product


def on_gpu(layer: nn.Linear) -> Product:
    """x Wᵀ + b for one row, by the kernel of `one_row_gpu`."""
    from lmlib.fast.one_row_gpu import one_row  # only builds of torch for GPUs bring Triton

    return lambda x: one_row(x.contiguous(), layer.weight, layer.bias)


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
    """x Wᵀ + b with weights, and mostly inputs, rounded to whole numbers of one byte.

    Each output channel n has a scale of its own, s = max |W[n]| / 127, and keeps Q[n] = round(W[n] / s). One row times
    a large layer is s (x · Q[n]), in float32. Otherwise each row of x, when it comes, has t = max |x| / 127 and
    u = round(x / t); then x · W[n] ≈ s t (u · Q[n]), and u · Q[n] is a sum of whole numbers without any error. A
    channel with large weights does not make others coarse; an input with one large feature makes all of its others
    coarse, which is why models with such features keep them apart (Dettmers et al. 2022). With K inputs, rounding
    changes an output by at most s/2 · Σ|x| + t/2 · Σ|W[n]| + K s t/4, where t = 0 for one row, and by far less in the
    mean. Sources: Jacob et al. 2018, section 2; Dettmers et al. 2022 (LLM.int8), section 3.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None):
        """Round the weights (N, K)."""
        self.scale, self.weight = rounded_to_int8(weight.float())  # (N, 1), (N, K)
        self.bias = bias
        self.one_row = one_row_cpu.one_row_of(self.weight, None) if is_worth_a_loop(weight) else None

    def __call__(self, x: Tensor) -> Tensor:
        """(..., K) → (..., N), in the dtype of x."""
        if x.numel() == x.size(-1) and self.one_row is not None:
            y = self.one_row(x.float()).view(1, -1) * self.scale.T  # (1, N)
        else:
            scale, rounded = rounded_to_int8(x.flatten(0, -2).float())  # (R, 1), (R, K)
            y = torch._int_mm(rounded, self.weight.T) * (scale * self.scale.T)  # (R, N)
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
