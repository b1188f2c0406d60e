"""The first line of every notebook: its parameters become a seeded random state and a device."""

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PROFILES = ("quick", "full")


def start(seed: int, device: str, profile: str) -> "torch.device":
    """Seed Python, NumPy and torch, and return the device; "auto" is the GPU where there is one.

    Raises ValueError for an unknown profile, and for a device that torch does not know or that is not there.
    """
    import numpy as np
    import torch
    from huggingface_hub.utils import disable_progress_bars

    if profile not in PROFILES:
        raise ValueError(f'the profile is "{profile}"; it must be one of {", ".join(PROFILES)}')
    disable_progress_bars()  # the peers' bars on stderr would change the stored outputs
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that a notebook shows may draw from it
    torch.manual_seed(seed)
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f'the device "{device}" cannot be used: {reason} Use "auto" or "cpu".') from None
    return torch.device(device)
