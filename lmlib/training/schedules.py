"""How the learning rate changes over a run, as a share of the highest one.

All begin with a warm-up: Adam's estimates are noise in the first steps, and large steps along noise do harm that lasts.
"""

import math
from collections.abc import Callable

STABLE_SHARE = 0.8  # of "warmup_stable_decay": the rate falls in the rest of the run


def rate_at(step: int, schedule: str, steps: int, warmup_steps: int = 0, final_rate: float = 0.0) -> float:
    """The share, above 0 and up to 1, of the learning rate at `step` of 0..steps-1.

    It rises in even parts over the warm-up and reaches 1 with the first step after it.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if schedule == "inverse_square_root":
        return inverse_square_root(step, warmup_steps)
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)  # 0 at the first step, below 1 at the last
    return final_rate + (1 - final_rate) * SCHEDULES[schedule](progress)


def constant(progress: float) -> float:
    """Always 1."""
    return 1.0


def linear(progress: float) -> float:
    """Down to 0 in a straight line."""
    return 1 - progress


def cosine(progress: float) -> float:
    """Half a wave of a cosine: slow, fast, slow. Source: Loshchilov & Hutter 2017, equation 5, without restarts."""
    return (1 + math.cos(math.pi * progress)) / 2


def warmup_stable_decay(progress: float) -> float:
    """1 for most of the run, then down to 0 in a straight line; so a run can be made longer before its descent.

    Source: Hu et al. 2024 (MiniCPM), section 4.2.
    """
    return min(1.0, (1 - progress) / (1 - STABLE_SHARE))


def inverse_square_root(step: int, warmup_steps: int) -> float:
    """√(w / s) at step s, with w the steps of warm-up: it never ends. Source: Vaswani et al. 2017, equation 3."""
    return math.sqrt((warmup_steps + 1) / (step + 1))


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "warmup_stable_decay": warmup_stable_decay,
    "inverse_square_root": inverse_square_root,
}
