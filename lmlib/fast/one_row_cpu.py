"""One row times a matrix on a CPU: y = W x + b, by a loop that torch.compile writes in C++ and that reads W once.

Libraries for matrix products are made for many rows of x; with one they leave up to half of the memory's bandwidth
unused. A sum over each row of W, written down as such, becomes a loop that does nothing but read, in as many threads as
torch has. It needs a C++ compiler; torch keeps what it has compiled, so only the first use on a machine waits for it.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)  # of weights for which sums in float32 lose nothing
SMALLEST = 2**18  # weights; calling the loop costs 20 µs, which smaller layers do not win back

OneRow = Callable[[Tensor], Tensor]  # (1, ..., 1, K) → (1, ..., 1, N)


def summed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The product as it is written down: x (K,) float32, weight (N, K) of any dtype, bias (N,) float32 → (N,)."""
    return (weight.float() * x).sum(-1) + bias


@functools.cache
def compiled() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The loop: `summed`, as one program for all sizes."""
    return torch.compile(summed, dynamic=True, options={"cpp.dynamic_threads": True})


@functools.cache
@torch.no_grad()
def has_compiler() -> bool:
    """Whether torch.compile can write the loop here. The first call compiles it."""
    try:
        compiled()(torch.ones(64), torch.ones(64, 64), torch.ones(64))
    except (RuntimeError, OSError):  # no compiler, or no folder that it could write to
        return False
    return True


def one_row_of(weight: Tensor, bias: Tensor | None) -> OneRow:
    """x (1, ..., 1, K) → W x + b, (1, ..., 1, N), in the dtype of x; weight (N, K), bias (N,), none with a gradient."""
    loop, added = compiled(), torch.zeros(len(weight)) if bias is None else bias.float()

    def product(x: Tensor) -> Tensor:
        row = x.reshape(-1).float()
        if torch.compiler.is_compiling():  # the loop becomes a part of that program
            y = summed(stored(row), weight, added)
        else:
            row = row.clone() if row.storage_offset() else row  # for a part of a tensor it would be compiled anew
            y = loop(row, weight, added)
        return y.to(x.dtype).view(*x.shape[:-1], -1)

    return product


def stored(row: Tensor) -> Tensor:
    """The same numbers, computed before what follows; else a compiler computes all of x anew for each row of W."""
    return row.as_strided(row.shape, (1,))
