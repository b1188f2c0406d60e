"""Attention: the explicit form to read, the fused form to run, masks, heads and the key-value cache.

Masks are boolean and True means "may be attended". A query that may attend nothing gets zeros, never NaN.
Shapes: B batch, H heads, K key-value heads, T query length, S key length, D d_head, C d_model.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.positions import rotate


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention, step by step; returns the output and the weights.

    query (B, H, T, D); key, value (B, K, S, D) where K divides H; mask, bool, and bias, added to the scaled scores,
    both broadcastable to (B, H, T, S). Output (B, H, T, D), weights (B, H, T, S): each row sums to 1, or to 0 where
    nothing may be attended. `scale` is 1/√D if not given.
    Source: Vaswani et al. 2017, equation 1.
    """
    _check_shapes(query, key, value, mask, bias)
    group = query.size(1) // key.size(1)
    key, value = (x.repeat_interleave(group, dim=1) for x in (key, value))  # (B, H, S, D)
    scale = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    scores = (query * scale) @ key.transpose(-2, -1)  # (B, H, T, S); scaled first, for float16 ends at 65,504
    if bias is not None:
        scores = scores + bias
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # not -inf: a row of -inf gives 0/0
    weights = torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)  # matters only in a row where nothing may be attended
    weights = weights.to(query.dtype)
    return F.dropout(weights, dropout) @ value, weights


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    bias: Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Scaled dot-product attention by PyTorch's fused kernel; equal to `attention` and never stores the weights.

    Shapes as in `attention`. `causal` needs T = S and no mask; it lets the kernel skip half of the work.
    """
    _check_shapes(query, key, value, mask, bias)
    if causal and (mask is not None or bias is not None or query.size(2) != key.size(2)):
        raise ValueError(
            f"causal=True needs T = S, no mask and no bias; got T={query.size(2)}, S={key.size(2)}. "
            "Combine causal_mask(T, S) with your mask instead"
        )
    empty = None
    if mask is not None and query.is_cuda:  # kernels for the CPU give zeros there; those for CUDA differ
        empty = ~mask.any(-1, keepdim=True)
        mask = mask | empty
    out = F.scaled_dot_product_attention(
        query,
        key,
        value,
        mask if bias is None else masked_bias(bias.to(query.dtype), mask),
        dropout,
        is_causal=causal,
        scale=scale,
        enable_gqa=query.size(1) != key.size(1),
    )
    return out if empty is None else out.masked_fill(empty, 0.0)  # (B, H, T, D)


def masked_bias(bias: Tensor, mask: Tensor | None) -> Tensor:
    """The bias with minus infinity where the mask forbids: what a kernel adds to the scores."""
    return bias if mask is None else bias.masked_fill(~mask, -math.inf)


def _check_shapes(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None) -> None:
    if query.dim() != 4 or key.dim() != 4 or key.shape[:3] != value.shape[:3] or query.size(0) != key.size(0):
        raise ValueError(
            "attention takes query (B, H, T, D), key (B, K, S, D), value (B, K, S, D); "
            f"got query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
        )
    if query.size(-1) != key.size(-1):
        raise ValueError(f"query and key must share d_head; got {query.size(-1)} and {key.size(-1)}")
    if query.size(1) % key.size(1):
        raise ValueError(f"the {key.size(1)} key-value heads must divide the {query.size(1)} query heads")
    if mask is not None and mask.dtype != torch.bool:
        raise TypeError(
            f"the mask must be bool, True where attention is allowed; got {mask.dtype}. "
            "From a 0/1 mask: mask.bool(). From an additive mask: mask == 0"
        )
    scores = (*query.shape[:3], key.size(2))
    for name, given in (("mask", mask), ("bias", bias)):
        if given is not None and any(n not in (1, m) for n, m in zip(given.shape[::-1], scores[::-1], strict=False)):
            raise ValueError(f"the {name} must broadcast to (B, H, T, S) = {scores}; got {tuple(given.shape)}")


def causal_mask(n_queries: int, n_keys: int | None = None, device: torch.device | None = None) -> Tensor:
    """(T, S) mask in which a query sees the keys up to its own position; the queries are the last T of S positions."""
    n_keys = n_queries if n_keys is None else n_keys
    return torch.ones(n_queries, n_keys, dtype=torch.bool, device=device).tril(n_keys - n_queries)


def band_mask(n_queries: int, n_keys: int, width: int, device: torch.device | None = None) -> Tensor:
    """(T, S) causal mask in which a query sees only the last `width` positions, its own included.

    Source: the locally banded layers of Child et al. 2019 and Brown et al. 2020 (section 2.1).
    """
    full = causal_mask(n_queries, n_keys, device)
    return full & ~full.tril(-width + n_keys - n_queries)


def with_causal(
    mask: Tensor | None, n_queries: int, n_keys: int, device: torch.device, fused: bool = True
) -> tuple[Tensor | None, bool]:
    """Add the causal rule to a mask: (mask, causal), where `causal` is left to the kernel if it can do it alone."""
    if n_queries == 1:
        return mask, False  # the newest position sees everything before it
    if fused and mask is None and n_queries == n_keys:
        return None, True
    seen = causal_mask(n_queries, n_keys, device)
    return (seen if mask is None else seen & mask), False


def padding_mask(attention_mask: Tensor) -> Tensor:
    """(B, 1, 1, S) mask from the (B, S) `attention_mask` of a tokenizer, in which 1 marks a real token."""
    if attention_mask.dim() != 2:
        raise ValueError(f"attention_mask must be (B, S); got {tuple(attention_mask.shape)}")
    return attention_mask.bool()[:, None, None, :]


@dataclass
class LayerCache:
    """Keys and values of one layer, (B, K, S, D), in memory allocated once; `length` positions are filled."""

    key: Tensor
    value: Tensor
    length: int = 0

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write T new positions in place and return all that are filled. Raises ValueError when they do not fit."""
        end = self.length + key.size(2)
        if end > self.key.size(2):
            raise ValueError(f"the cache holds {self.key.size(2)} positions; {end} are needed")
        self.key[:, :, self.length : end] = key
        self.value[:, :, self.length : end] = value
        self.length = end
        return self.key[:, :, :end], self.value[:, :, :end]

    def reorder(self, rows: Tensor, start: int = 0) -> None:
        """Row b becomes a copy of row rows[b] from position `start` on, as beam search needs it."""
        n = self.length
        self.key[:, :, start:n] = self.key[rows, :, start:n]
        self.value[:, :, start:n] = self.value[rows, :, start:n]

    def repeat(self, times: int, max_length: int) -> "LayerCache":
        """A cache of other size in which each row stands `times` times, one after the other."""
        batch, n_heads, _, d_head = self.key.shape
        key, value = (old.new_zeros(batch * times, n_heads, max_length, d_head) for old in (self.key, self.value))
        key[:, :, : self.length] = self.key[:, :, : self.length].repeat_interleave(times, dim=0)
        value[:, :, : self.length] = self.value[:, :, : self.length].repeat_interleave(times, dim=0)
        return LayerCache(key, value, self.length)


@dataclass
class KeyValueCache:
    """The caches of all layers: self-attention, and for an encoder-decoder the memory's keys and values."""

    layers: list[LayerCache]
    memory: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def allocate(
        cls,
        n_layers: int,
        batch: int,
        n_kv_heads: int,
        max_length: int,
        d_head: int,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> "KeyValueCache":
        """Room for `max_length` positions: 2 · n_layers · B · K · max_length · D numbers."""
        shape = (batch, n_kv_heads, max_length, d_head)
        new = [[torch.zeros(shape, device=device, dtype=dtype) for _ in range(2)] for _ in range(n_layers)]
        return cls([LayerCache(key, value) for key, value in new])

    @property
    def length(self) -> int:
        """Positions filled so far."""
        return self.layers[0].length

    def reorder(self, rows: Tensor, shared: int = 0) -> None:
        """Row b becomes a copy of row rows[b] in every layer.

        `shared` positions that are equal in b and rows[b], as those of a common prompt are, need not be copied; nor
        need the memory then, for a common prompt has a common source.
        """
        for layer in self.layers:
            layer.reorder(rows, shared)
        if not shared:
            self.memory = {i: (key[rows], value[rows]) for i, (key, value) in self.memory.items()}

    def repeat(self, times: int, max_length: int) -> "KeyValueCache":
        """A cache of other size in which each row stands `times` times, one after the other."""
        memory = {
            i: (key.repeat_interleave(times, dim=0), value.repeat_interleave(times, dim=0))
            for i, (key, value) in self.memory.items()
        }
        return KeyValueCache([layer.repeat(times, max_length) for layer in self.layers], memory)

    def crop(self, length: int) -> None:
        """Forget what stands after the first `length` positions; with 0 the memory too, for a new source."""
        if length == 0:
            self.memory = {}
        for layer in self.layers:
            layer.length = min(layer.length, length)


class JoinedLinear(nn.Linear):
    """Several linear layers with one input, their matrices one above the other, so that one product does for all."""

    def part(self, x: Tensor, start: int, end: int) -> Tensor:
        """Only the outputs start..end - 1: (..., C) → (..., end - start)."""
        return F.linear(x, self.weight[start:end], None if self.bias is None else self.bias[start:end])


class MultiHeadAttention(nn.Module):
    """Project to queries, keys and values, attend in every head, merge the heads and project back.

    (B, T, C) → (B, T, C). With `memory` (B, S, C) it is cross-attention. `n_kv_heads` below `n_heads` shares each
    key-value head among a group of queries. Source: Vaswani et al. 2017, section 3.2.2; Ainslie et al. 2023 (grouped).
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        *,
        n_kv_heads: int | None = None,
        d_head: int | None = None,
        bias: bool = True,
        out_bias: bool | None = None,
        scale: float | None = None,
        dropout: float = 0.0,
        head_norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if d_head is None and d_model % n_heads:
            raise ValueError(f"d_model={d_model} cannot be split into {n_heads} equal heads; or give d_head")
        self.n_heads = n_heads
        self.n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        if n_heads % self.n_kv_heads:
            raise ValueError(f"n_kv_heads={self.n_kv_heads} must divide n_heads={n_heads}")
        self.d_head = d_model // n_heads if d_head is None else d_head
        self.scale, self.dropout = scale, dropout
        self.sizes = [n_heads * self.d_head, self.n_kv_heads * self.d_head, self.n_kv_heads * self.d_head]
        self.qkv = JoinedLinear(d_model, sum(self.sizes), bias=bias)  # one matrix product instead of three
        self.out = nn.Linear(n_heads * self.d_head, d_model, bias=bias if out_bias is None else out_bias)
        self.query_norm = head_norm(self.d_head) if head_norm else None
        self.key_norm = head_norm(self.d_head) if head_norm else None

    def forward(
        self,
        x: Tensor,
        memory: Tensor | tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        bias: Tensor | None = None,
        rotary: tuple[Tensor, Tensor] | None = None,
        cache: LayerCache | None = None,
        return_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend; the weights (B, H, T, S) are returned on request and else None.

        `memory` is (B, S, C), or what `project_memory` made of it. `rotary` is the (cos, sin) of
        `positions.rotary_angles`. With `cache`, new keys and values join it and the queries attend all of it.
        """
        if memory is None:
            query, key, value = self._heads(self.qkv(x), self.sizes)
        else:
            (query,) = self._heads(self._project(x, 0, 1), self.sizes[:1])
            key, value = self.project_memory(memory) if isinstance(memory, Tensor) else memory
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        if rotary is not None:
            query, key = rotate(query, *rotary), rotate(key, *rotary)
        if cache is not None:
            key, value = cache.extend(key, value)
        out, weights = self._attend(query, key, value, mask, causal, bias, return_weights)
        return self.out(out.transpose(1, 2).flatten(2)), weights  # (B, H, T, D) -> (B, T, C)

    def project_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, K, S, D) of an encoder's output (B, S, C): computed once, attended at every step."""
        key, value = self._heads(self._project(memory, 1, 3), self.sizes[1:])
        return key, value

    def _project(self, x: Tensor, first: int, last: int) -> Tensor:
        """Apply only the parts first..last of the joint projection (0 query, 1 key, 2 value)."""
        return self.qkv.part(x, sum(self.sizes[:first]), sum(self.sizes[:last]))

    def _heads(self, joint: Tensor, sizes: list[int]) -> list[Tensor]:
        """(B, T, sum of sizes) -> one (B, H, T, D) for each size."""
        return [part.unflatten(-1, (-1, self.d_head)).transpose(1, 2) for part in joint.split(sizes, dim=-1)]

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        causal: bool,
        bias: Tensor | None,
        return_weights: bool,
    ) -> tuple[Tensor, Tensor | None]:
        if causal:
            fused = bias is None and not return_weights
            mask, causal = with_causal(mask, query.size(2), key.size(2), query.device, fused)
        dropout = self.dropout if self.training else 0.0
        if return_weights:
            return attention(query, key, value, mask, bias=bias, scale=self.scale, dropout=dropout)
        out = fused_attention(query, key, value, mask, causal=causal, bias=bias, scale=self.scale, dropout=dropout)
        return out, None
