"""Everything that draws at random, set and kept: Python, NumPy, torch on the CPU and on every GPU."""

import random
from typing import Any

import numpy as np
import torch


def set_seed(seed: int) -> None:
    """Start all generators from one seed; call it before a model is made, for its weights are drawn."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the old global generator: other people's code draws from it
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Where all generators stand, in tensors and plain numbers."""
    version, internal, gauss = random.getstate()
    name, keys, place, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    return {
        "python": [version, list(internal), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), place, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def load_random_state(state: dict[str, Any]) -> None:
    """Put all generators where they stood."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    for gpu, kept in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):  # here there may be fewer
        torch.cuda.set_rng_state(kept, gpu)
