"""Large float32 products of training on a CPU go to oneDNN, where that keeps float32's precision."""

import functools
from contextlib import nullcontext

import torch
from torch import nn

from lmlib.fast.switch import SWITCH, is_on

# A product of fewer multiplications is faster in the library that torch takes by itself (768 rows of 128 features times
# 512 is 50 million; 2,048 rows of 384 times 1,536 is 1.2 billion).
LARGE_PRODUCT = 200_000_000
FLOAT32_ERROR = 1e-5  # of a product, relative to its largest entry; with operands in bfloat16 it is 1e-3


class TrainingPath:
    """Large float32 products of one training run, by oneDNN; `reason` says why not, where they are left alone."""

    def __init__(self, model: nn.Module, device: torch.device, precision: str):
        self.largest = max((m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear)), default=0)
        self.reason = self._why_not(device, precision)

    @staticmethod
    def _why_not(device: torch.device, precision: str) -> str | None:
        if not is_on():
            return f"{SWITCH}=0"
        if device.type != "cpu" or precision != "float32":
            return f"it is for float32 on the CPU; the run has {precision} on {device.type}"
        error = error_of_medium()
        if error > FLOAT32_ERROR:
            return f"here oneDNN multiplies with an error of {error:.0e}, as of bfloat16"
        return None

    def step(self, n_rows: int) -> "nullcontext[None] | _Medium":
        """A context in which layers multiply n_rows rows; it changes nothing where that is too little work."""
        is_worth_it = self.reason is None and n_rows * self.largest >= LARGE_PRODUCT
        return _Medium() if is_worth_it else nullcontext()


class _Medium:
    """torch's precision of float32 products is "medium" inside, and afterwards what it was."""

    def __enter__(self) -> None:
        self.before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")

    def __exit__(self, *_: object) -> None:
        torch.set_float32_matmul_precision(self.before)


@functools.cache
def error_of_medium() -> float:
    """The largest error of a float32 product in "medium" precision, relative to its largest entry.

    "medium" lets oneDNN round the operands to bfloat16 where that is faster. On processors with tiles for matrices
    (AMX) it does; on others it multiplies in float32, and is still the faster library for large products.
    """
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=draw) for _ in range(2))
    with _Medium():
        product = a @ b
    exact = a.double() @ b.double()
    return float((product - exact).abs().max() / exact.abs().max())
