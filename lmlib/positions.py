"""Positions: sinusoidal, rotary, relative buckets and linear biases. (Learned positions are an `nn.Embedding`.)

Shapes: B batch, H heads, T query length, S key length, D d_head, C d_model.
"""

import math

import torch
from torch import Tensor


def sinusoidal(n_positions: int, d_model: int, base: float = 10_000.0) -> Tensor:
    """(n_positions, C) table: sin in the even columns, cos in the odd, wavelengths from 2π to 2π·base.

    Source: Vaswani et al. 2017, section 3.5.
    """
    if d_model % 2:
        raise ValueError(f"sinusoidal positions come in pairs: d_model must be even, got {d_model}")
    angles = torch.arange(n_positions)[:, None] * rotary_rates(d_model, base)  # (n_positions, C/2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def rotary_angles(
    positions: Tensor, d_head: int, base: float = 10_000.0, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """cos and sin, each (..., T, D), for positions (..., T). Add an axis for heads before use with (B, H, T, D).

    Source: Su et al. 2021 (RoFormer), section 3.2; halves instead of neighbours are paired, as LLaMA's weights are.
    """
    return turned(positions, rotary_rates(d_head, base).to(positions.device), dtype)


def rotary_rates(d_head: int, base: float = 10_000.0) -> Tensor:
    """(D/2,) radians that each pair turns from one position to the next: 1 for the first, near 1/base for the last."""
    if d_head % 2:
        raise ValueError(f"rotary positions turn pairs: d_head must be even, got {d_head}")
    return base ** (-torch.arange(0, d_head, 2, dtype=torch.float32) / d_head)


def stretched_rates(rates: Tensor, factor: float, low: float, high: float, trained_length: int) -> Tensor:
    """Rates for texts `factor` times as long: slow pairs are slowed by it, fast ones kept, those between blended.

    A pair is slow when it turns less than `low` times in `trained_length` positions, fast when more than `high` times.
    Source: Grattafiori et al. 2024 (Llama 3), section 3.2, and its published code.
    """
    n_turns = trained_length * rates / (2 * math.pi)
    kept = ((n_turns - low) / (high - low)).clamp(0, 1)
    return rates * (kept + (1 - kept) / factor)


def turned(positions: Tensor, rates: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
    """cos and sin, each (..., T, D), of positions (..., T) at these rates (D/2,); computed in float32."""
    angles = positions.float()[..., None] * rates  # (..., T, D/2)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (x_i, x_{i+D/2}) of x (B, H, T, D) by its angle; lengths and, between two, only offsets matter."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def distances(n_queries: int, n_keys: int, device: torch.device | None = None) -> Tensor:
    """(T, S) of key - query, where the queries are the last T of the S positions."""
    keys = torch.arange(n_keys, device=device)
    return keys[None, :] - keys[n_keys - n_queries :, None]


def relative_buckets(distance: Tensor, n_buckets: int, max_distance: int, bidirectional: bool) -> Tensor:
    """The bucket of each distance key - query: exact when near, logarithmic up to `max_distance`, then all alike.

    Source: Raffel et al. 2020 (T5), section 2.1.
    """
    offset = torch.zeros_like(distance)
    if bidirectional:
        n_buckets //= 2
        offset = (distance > 0).long() * n_buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = n_buckets // 2
    if not 0 < exact < max_distance:
        raise ValueError(f"{n_buckets} buckets a side need a max_distance above {exact}, and one bucket is too few")
    ratio = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = (exact + (ratio * (n_buckets - exact)).long()).clamp(max=n_buckets - 1)
    return offset + torch.where(distance < exact, distance, far)


def alibi(n_heads: int, n_queries: int, n_keys: int, device: torch.device | None = None) -> Tensor:
    """(H, T, S) bias that falls with distance, by a slope of its own in each head; for causal attention.

    Source: Press et al. 2022, section 3: slopes 2^(-8/H), 2^(-16/H), ... for H a power of two.
    """
    if n_heads & (n_heads - 1):
        raise ValueError(f"the slopes are defined for a power of two of heads, got {n_heads}")
    slopes = 2.0 ** (-8.0 * torch.arange(1, n_heads + 1, device=device) / n_heads)
    return slopes[:, None, None] * distances(n_queries, n_keys, device).clamp(max=0)
