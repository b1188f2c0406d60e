"""Two-stream attention with relative positions, the heart of XLNet. Source: Yang et al. 2019; Dai et al. 2019.

The content stream sees each token and what comes before it in the order; the query stream knows the position but not
the token that it predicts. Both use the same weights.
Shapes: B batch, T length, M memory length, S = M + T, P predicted positions, H heads, D d_head, C d_model,
L distances.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.attention import attention, causal_mask, fused_attention, padding_mask
from lmlib.layers import FeedForward
from lmlib.positions import rotary_angles


def permutation_masks(order: Tensor, n_targets: int) -> tuple[Tensor, Tensor]:
    """perm_mask (B, T, T) and target_mapping (B, P, T) for orders (B, T): the text is predicted in this order.

    order[b] lists the positions of row b, first to last; the last P = `n_targets` of them are predicted. The very first
    position of an order sees nothing: predict it only with memory. Source: equation 3 and section 2.3.
    """
    length = order.size(-1)
    if order.dim() != 2 or not torch.equal(order.sort(-1).values, torch.arange(length).to(order).expand_as(order)):
        raise ValueError(f"each row of order must hold every position 0..{length - 1} once; got {order.tolist()}")
    if not 1 <= n_targets <= length:
        raise ValueError(f"n_targets must lie in 1..{length}; got {n_targets}")
    rank = order.argsort(-1)  # (B, T): when each position's turn comes
    blocked = rank[:, None, :] >= rank[:, :, None]  # (B, T, T): j comes with i or after it
    targets = F.one_hot(order[:, -n_targets:], length).float()
    return blocked, targets


@dataclass
class Surroundings:
    """What is the same in every layer: where each stream may look, and how far and of what segment each token is."""

    distances: Tensor  # (L, C) encoding of each distance that occurs
    index: Tensor  # (T, S) row of `distances` for each pair of positions
    other_segment: Tensor | None  # (B, 1, T, S) True where the two tokens are of different segments
    query_mask: Tensor | None  # (B or 1, 1, T, S) True where the query stream may look; None for no limit
    content_mask: Tensor | None  # the same, and each token itself
    targets: Tensor | None  # (B, P, T) one row for each predicted position


def pair_distances(n_memory: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The distances (L,) from 1 - T (ahead) to M + T - 1 (behind), and for each pair (T, S) which of them it has."""
    queries = torch.arange(n_memory, n_memory + length, device=device)
    keys = torch.arange(n_memory + length, device=device)
    return torch.arange(1 - length, n_memory + length, device=device), queries[:, None] - keys + length - 1


def encode_distances(distances: Tensor, d_model: int, longest: int) -> Tensor:
    """(L,) → (L, C): all sines, then all cosines; beyond `longest`, if it is positive, distances count alike."""
    if longest > 0:
        distances = distances.clamp(-longest, longest)
    cos, sin = rotary_angles(distances, d_model)  # each of half the width, twice
    return torch.cat([sin[:, : d_model // 2], cos[:, : d_model // 2]], dim=-1)


def segment_pairs(token_type_ids: Tensor, n_memory: int) -> Tensor:
    """(B, 1, T, S) True where query and key are of different segments; memory counts as segment 0."""
    return (token_type_ids[:, :, None] != F.pad(token_type_ids, (n_memory, 0))[:, None, :])[:, None]


def stream_masks(
    attention_mask: Tensor | None, perm_mask: Tensor | None, uni: bool, n_memory: int, length: int, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """The masks of the query and of the content stream, all limits joined; memory is always seen."""
    masks = []
    if uni:
        masks.append(causal_mask(length, n_memory + length, device)[None, None])
    if attention_mask is not None:
        masks.append(F.pad(padding_mask(attention_mask), (n_memory, 0), value=True))
    if perm_mask is not None:
        masks.append(F.pad(perm_mask[:, None] == 0, (n_memory, 0), value=True))
    if not masks:
        return None, None
    seen = torch.stack(torch.broadcast_tensors(*masks)).all(0)
    itself = torch.eye(length, dtype=torch.bool, device=device)
    return seen, seen | F.pad(itself, (n_memory, 0))


class RelativeAttention(nn.Module):
    """Attention whose scores add content, distance and segment: (B, T, C) → (B, T, C). Source: section 2.5, 2.6."""

    def __init__(self, d_model: int, n_heads: int, dropout: float):
        super().__init__()
        d_head = d_model // n_heads
        self.query, self.key, self.value, self.out, self.relative = (
            nn.Parameter(torch.empty(d_model, n_heads, d_head)) for _ in range(5)
        )
        self.content_bias, self.position_bias, self.segment_bias = (
            nn.Parameter(torch.empty(n_heads, d_head)) for _ in range(3)
        )
        self.segments = nn.Parameter(torch.empty(2, n_heads, d_head))  # same segment, other segment
        self.dropout = dropout

    def forward(
        self, x: Tensor, key: Tensor, value: Tensor, around: Surroundings, stream: str, inspect: bool
    ) -> tuple[Tensor, Tensor | None]:
        """One stream, "content" or "query", over keys and values (B, H, S, D) of the content; weights on request."""
        query = split_heads(x, self.query)  # (B, H, T, D)
        mapped = around.targets if stream == "query" else None
        if mapped is not None:  # (B, H, P, D) -> (B, H, T, D): each query goes to the position that it predicts
            query = torch.einsum("bhpd,bpt->bhtd", query, mapped)
        scale = 1 / math.sqrt(query.size(-1))
        bias = self.position_scores(query, around) * scale  # (B, H, T, S)
        if around.other_segment is not None:
            bias = bias + self.segment_scores(query, around.other_segment) * scale
        mask = around.content_mask if stream == "content" else around.query_mask
        dropout = self.dropout if self.training else 0.0
        query, weights = query + self.content_bias[:, None], None
        if inspect:
            out, weights = attention(query, key, value, mask, bias=bias, scale=scale, dropout=dropout)
        else:
            out = fused_attention(query, key, value, mask, bias=bias, scale=scale, dropout=dropout)
        if mapped is not None:
            out = torch.einsum("bhtd,bpt->bhpd", out, mapped)
        return torch.einsum("bhtd,chd->btc", out, self.out), weights

    def position_scores(self, query: Tensor, around: Surroundings) -> Tensor:
        """(B, H, T, S): how well each query fits the distance to each key."""
        relative = torch.einsum("lc,chd->hdl", around.distances, self.relative)
        by_distance = (query + self.position_bias[:, None]) @ relative  # (B, H, T, L)
        index = around.index.expand(*by_distance.shape[:2], *around.index.shape)
        return by_distance.gather(-1, index)

    def segment_scores(self, query: Tensor, other_segment: Tensor) -> Tensor:
        """(B, H, T, S): one number for keys of the same segment, one for keys of another."""
        same, other = torch.einsum("bhtd,shd->sbht", query + self.segment_bias[:, None], self.segments)[..., None]
        return torch.where(other_segment, other, same)


def split_heads(x: Tensor, weight: Tensor) -> Tensor:
    """(B, T, C) by a weight (C, H, D) → (B, H, T, D)."""
    return torch.einsum("btc,chd->bhtd", x, weight)


class TwoStreamBlock(nn.Module):
    """Relative attention and feed-forward, each with residual and norm after it; both streams use the same weights."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int, activation: str, norm_eps: float, dropout: float):
        super().__init__()
        self.attention = RelativeAttention(d_model, n_heads, dropout)
        self.attention_norm = nn.LayerNorm(d_model, eps=norm_eps)
        self.feed_forward = FeedForward(d_model, d_ff, activation, dropout=dropout)
        self.feed_forward_norm = nn.LayerNorm(d_model, eps=norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, streams: dict[str, Tensor], memory: Tensor | None, around: Surroundings, inspect: bool
    ) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
        """The streams by name, content (B, T, C) and perhaps query (B, P, C) → the same, and the weights of each."""
        content = streams["content"] if memory is None else torch.cat([memory, streams["content"]], dim=1)  # (B, S, C)
        key, value = split_heads(content, self.attention.key), split_heads(content, self.attention.value)
        weights = {}
        new = {}
        for name, x in streams.items():
            h, weights[name] = self.attention(x, key, value, around, name, inspect)
            x = self.attention_norm(x + self.dropout(h))
            new[name] = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return new, weights
