"""One row times a matrix on a GPU: y = W x + b, by a kernel that does nothing but read W once, from end to end.

Libraries for matrix products cut W into tiles made for many rows of x; with one row they leave a third of the memory's
bandwidth unused. Here each program walks along a few rows of W, 4,096 numbers at a time: an output for each row.
"""

import triton
import triton.language as tl
from torch import Tensor

NUMBERS = 4096  # that a program reads at a time
LONGEST_PIECE = 2048  # of one row; shorter rows are read several at a time
NUMBERS_PER_WARP = 256  # of one row


@triton.jit
def _kernel(x, weight, bias, y, N, K: tl.constexpr, HAS_BIAS: tl.constexpr, ROWS: tl.constexpr, PIECE: tl.constexpr):  # type: ignore
    n = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    total = tl.zeros((ROWS, PIECE), tl.float32)
    for start in range(0, K, PIECE):
        k = start + tl.arange(0, PIECE)
        inside = (n < N)[:, None] & (k < K)[None, :]
        w = tl.load(weight + n[:, None] * K + k[None, :], mask=inside, other=0.0, eviction_policy="evict_first")
        total += w.to(tl.float32) * tl.load(x + k, mask=k < K, other=0.0).to(tl.float32)[None, :]
    out = tl.sum(total, 1)
    if HAS_BIAS:
        out += tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)
    tl.store(y + n, out, mask=n < N)


def one_row(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (1, ..., 1, K), weight (N, K) and bias (N,), contiguous and of one dtype → (1, ..., 1, N); sums in float32."""
    n, k = weight.shape
    y = x.new_empty(*x.shape[:-1], n)
    piece = min(LONGEST_PIECE, triton.next_power_of_2(k))
    rows, n_warps = NUMBERS // piece, max(1, piece // NUMBERS_PER_WARP)
    programs = (triton.cdiv(n, rows),)
    _kernel[programs](
        x, weight, weight if bias is None else bias, y, n, k, bias is not None, rows, piece, num_warps=n_warps
    )
    return y
