"""Rows times a matrix on a CPU by oneDNN, a library below torch, with the weights as they lie or arranged in blocks.

For a few rows torch takes another library by itself, which leaves half of the memory's bandwidth unused in float32.
"""

import functools
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

# oneDNN's product as an operator of our own, since torch.compile takes the original only with weights that it arranged.
OPERATORS = torch.library.Library("lmlib", "FRAGMENT")
OPERATORS.define("linear_by_onednn(Tensor x, Tensor weight, Tensor? bias, int n) -> Tensor")
torch.library.register_fake(
    "lmlib::linear_by_onednn", lambda x, weight, bias, n: x.new_empty(*x.shape[:-1], n), lib=OPERATORS
)
for key in ("CPU", "MkldnnCPU"):  # the latter is of arranged weights
    OPERATORS.impl(
        "linear_by_onednn",
        lambda x, weight, bias, n: torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""),
        key,
    )


def linear(weight: Tensor, bias: Tensor | None, arranged: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    """What computes x Wᵀ + b, (..., K) → (..., N), by oneDNN from W (N, K), or from what `in_blocks` made of W."""
    held = weight if arranged is None else arranged

    def product(x: Tensor) -> Tensor:
        if x.dtype != weight.dtype:  # as of autocast
            return F.linear(x, weight, bias)
        return cast(Tensor, torch.ops.lmlib.linear_by_onednn(x, held, bias, len(weight)))

    return product


def in_blocks(weight: Tensor, rows: int) -> Tensor:
    """The weights arranged for products of about this many rows; a tensor that only oneDNN reads."""
    return cast(Tensor, torch.ops.mkldnn._reorder_linear_weight(weight, rows))


@functools.cache
def missing(dtype: torch.dtype) -> str | None:
    """Why oneDNN's products cannot be used here; None when they can."""
    if dtype not in (torch.float32, torch.bfloat16):
        return f"no path for {dtype}"
    if not torch.backends.mkldnn.is_available():
        return "torch was built without oneDNN"
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return "the processor has no instructions that oneDNN needs for bfloat16"
        weight, one = torch.ones(8, 8, dtype=dtype), torch.ones(1, 8, dtype=dtype)
        linear(weight, None, in_blocks(weight, 1))(one)
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        return f"oneDNN's linear layer fails here: {str(error).splitlines()[0]}"
    return None
