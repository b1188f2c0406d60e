"""How fast a run is: tokens a second, operations a token, the peak of the device, and memory.

MFU, model FLOPs utilisation, is the share of the device's arithmetic that the model itself needs: whatever is computed
twice, moved or waited for lowers it. Source: Chowdhery et al. 2022 (PaLM), section 4.1 and appendix B.
"""

import re
import time
from collections.abc import Sequence
from typing import Any

import psutil
import torch
from torch import nn

from lmlib.training.log import Log
from lmlib.training.one_process import Batch, OneProcess

# Dense operations per second, by the makers' data sheets, with products in bfloat16 and in plain float32. A name that
# is part of another's (L4 of L40S) stands after it.
PEAKS: dict[str, dict[str, float]] = {
    "B200": {"bfloat16": 2250e12, "float32": 75e12},
    "H200": {"bfloat16": 989e12, "float32": 67e12},
    "H100 PCIe": {"bfloat16": 756e12, "float32": 51e12},
    "H100": {"bfloat16": 989e12, "float32": 67e12},
    "A100": {"bfloat16": 312e12, "float32": 19.5e12},
    "L40S": {"bfloat16": 362e12, "float32": 91.6e12},
    "L4": {"bfloat16": 121e12, "float32": 30.3e12},
    "A10": {"bfloat16": 125e12, "float32": 31.2e12},
}


def peak_operations(device_name: str, precision: str) -> float | None:
    """Operations per second of a GPU by the name that torch gives it; None for one that is not in `PEAKS`.

    There is no entry for processors: what they could do depends on a clock that they change themselves.
    """
    return next((peaks[precision] for name, peaks in PEAKS.items() if re.search(rf"\b{name}\b", device_name)), None)


def operations_per_token(model: nn.Module, length: int) -> float:
    """What forward and backward cost for one token of a text of `length`: 6 N + 12 L T C.

    N weights multiply, once forward and twice backward, and a product is a multiplication and an addition. An embedding
    that no other layer shares is only looked up. Attention compares T positions in L layers of width C, counted as if
    nothing were masked; for a model whose config names no layers only the weights count.
    """
    multiplied = {
        id(p): p.numel()
        for module in model.modules()
        if not isinstance(module, nn.Embedding)
        for p in module.parameters(recurse=False)
    }
    config: Any = getattr(model, "config", None)
    width = getattr(config, "n_layers", 0) * getattr(config, "d_model", 0)
    return 6.0 * sum(multiplied.values()) + 12.0 * width * length


def n_tokens(batch: Batch) -> int:
    """The real tokens of a batch: those of its mask, else all of its input_ids; 0 for batches of another kind."""
    if "input_ids" not in batch:
        return 0
    mask = batch.get("attention_mask")
    return batch["input_ids"].numel() if mask is None else int(mask.sum())


class Meter:
    """Measures the steps of one run. Make it before the model is divided among processes."""

    def __init__(self, model: nn.Module, precision: str, processes: OneProcess):
        self.model_cost = operations_per_token(model, 0)
        self.position_cost = operations_per_token(model, 1) - self.model_cost  # of a token, for each it is compared to
        self.processes, self.device, self.own = processes, processes.device, psutil.Process()
        self.peak = None
        if self.device.type == "cuda":
            own = peak_operations(torch.cuda.get_device_name(self.device), precision)
            self.peak = None if own is None else own * processes.n_processes
            torch.cuda.reset_peak_memory_stats(self.device)
        self.started = 0.0

    def begin(self) -> None:
        """A step begins."""
        self.started = time.perf_counter()

    def end(self, parts: Sequence[Batch], log: Log) -> tuple[int, float]:
        """Tokens, of all processes, and seconds of the step that is over; its loss was read, so a GPU is done too."""
        seconds = time.perf_counter() - self.started
        own = sum(map(n_tokens, parts))
        length = max((part["input_ids"].size(-1) for part in parts if "input_ids" in part), default=0)
        log.operations_per_token, log.peak = self.model_cost + self.position_cost * length, self.peak
        log.memory = max(log.memory or 0, self._memory())
        return round(self.processes.mean(own) * self.processes.n_rows), seconds

    def _memory(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return self.own.memory_info().rss
