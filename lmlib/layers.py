"""Feed-forward variants and normalisation.

Shapes: B batch, T length, C d_model, F d_ff.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),  # So et al. 2021 (Primer), section 3
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "gelu_new": partial(F.gelu, approximate="tanh"),  # its name in checkpoints
    "silu": F.silu,
    "tanh": torch.tanh,
}


def activation_named(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of this name. Raises ValueError with the known names."""
    if name not in ACTIVATIONS:
        raise ValueError(f"there is no activation {name!r}; there are: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class FeedForward(nn.Module):
    """W₂ · f(W₁ x): (B, T, C) → (B, T, F) → (B, T, C), at each position alone. Source: Vaswani et al. 2017, eq. 2."""

    def __init__(self, d_model: int, d_ff: int, activation: str = "relu", bias: bool = True, dropout: float = 0.0):
        super().__init__()
        self.inner = nn.Linear(d_model, d_ff, bias=bias)
        self.outer = nn.Linear(d_ff, d_model, bias=bias)
        self.activation = activation_named(activation)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.dropout(self.activation(self.inner(x))))


class GatedFeedForward(nn.Module):
    """W₂ · (f(G x) ⊙ W₁ x): one more matrix lets each feature be switched off. Source: Shazeer 2020 (SwiGLU)."""

    def __init__(self, d_model: int, d_ff: int, activation: str = "silu", bias: bool = False, dropout: float = 0.0):
        super().__init__()
        self.gate_and_inner = nn.Linear(d_model, 2 * d_ff, bias=bias)  # one matrix product instead of two
        self.outer = nn.Linear(d_ff, d_model, bias=bias)
        self.activation = activation_named(activation)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        gate, inner = self.gate_and_inner(x).chunk(2, dim=-1)  # (B, T, F) each
        return self.outer(self.dropout(self.activation(gate) * inner))


class RMSNorm(nn.Module):
    """x / rms(x) · weight, computed in float32 inside; no mean is taken off. Source: Zhang & Sennrich 2019."""

    def __init__(self, d_model: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * F.rms_norm(x, (x.size(-1),), eps=self.eps)  # rounded before the weight, as the peers do


class PlainRMSNorm(nn.Module):
    """x / rms(x) and nothing to learn: the matrix that follows can scale its inputs itself."""

    def __init__(self, d_model: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.size(-1),), eps=self.eps)


NORMS: dict[str, Callable[..., nn.Module]] = {"layer": nn.LayerNorm, "rms": RMSNorm, "rms_plain": PlainRMSNorm}


def norm_named(name: str, d_model: int, eps: float) -> nn.Module:
    """A new normalisation layer: "layer" (mean and variance), "rms" (size only), or "rms_plain" (without weight)."""
    if name not in NORMS:
        raise ValueError(f"there is no norm {name!r}; there are: {', '.join(NORMS)}")
    return NORMS[name](d_model, eps=eps)
