"""Training on a CPU: float32 products by oneDNN, attention in bfloat16 step by step, and memory that stays at hand.

Large float32 products go to oneDNN where that keeps float32's precision. In bfloat16 short texts are attended to with
the weights stored, which is faster than the fused kernel up to `SHORT` positions. Scores are then rounded to bfloat16,
as `attention.attention` rounds them under autocast. torch.compile takes the fused kernel all the same.
"""

import ctypes
import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lmlib.fast import onednn
from lmlib.fast.switch import SWITCH, is_on

# A product of fewer multiplications is faster in the library that torch takes by itself (768 rows of 128 features times
# 512 is 50 million; 2,048 rows of 384 times 1,536 is 1.2 billion).
LARGE_PRODUCT = 200_000_000
FLOAT32_ERROR = 1e-5  # of a product, relative to its largest entry; with operands in bfloat16 it is 1e-3
SHORT = 512  # positions; at 64 to 512 attention with stored weights is 1.5 to 2.9 times as fast, at 1,024 slower


class TrainingPath:
    """One training run on a CPU; `reason` says why large float32 products are left alone, where they are.

    The C library keeps the memory that the process frees from then on, for what it needs next.
    """

    def __init__(self, model: nn.Module, device: torch.device, precision: str):
        self.largest = max((m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear)), default=0)
        self.reason = self._why_not(device, precision)
        is_on_cpu = is_on() and device.type == "cpu"
        is_bfloat16 = precision == "bfloat16" and onednn.missing(torch.bfloat16) is None
        self.attends_in_bfloat16 = is_on_cpu and is_bfloat16
        if is_on_cpu:
            keep_freed_memory()

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

    def step(self, n_rows: int, length: int) -> AbstractContextManager[Any]:
        """A context in which layers multiply n_rows rows of texts of this length; it changes only what is faster."""
        if self.attends_in_bfloat16 and length <= SHORT:
            return attention_with_weights()
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


@contextmanager
def attention_with_weights() -> Iterator[None]:
    """Inside, torch's attention stores its weights, and its products are of the dtype that it is given."""
    backends = torch.backends.cuda  # so named, but it holds for the CPU too
    before = backends.fp16_bf16_reduction_math_sdp_allowed()
    backends.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        backends.allow_fp16_bf16_reduction_math_sdp(before)


@functools.cache
def keep_freed_memory() -> bool:
    """Have the C library keep what this process frees; False where it is not glibc.

    By itself it gives blocks of some megabytes back to the system, and asks for them again in the same step. Each page
    of 4 kB then costs microseconds: 8 % of the time of training 6 layers × 384. Source: mallopt(3).
    """
    trim_threshold, mmap_threshold = -1, -3  # the names' numbers in malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(trim_threshold, 2**31 - 1) and mallopt(mmap_threshold, 2**25))  # the largest that it takes
