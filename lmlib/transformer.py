"""The Transformer: a block of sublayers, and a stack of blocks, as encoder, decoder or both.

Every family of `lmlib.models` is this stack with other switches in its `Shape`.
Shapes: B batch, H heads, T length, S memory length, C d_model.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lmlib.attention import KeyValueCache, MultiHeadAttention, masked_bias, with_causal
from lmlib.layers import FeedForward, GatedFeedForward, norm_named


@dataclass(frozen=True)
class Shape:
    """Sizes and switches of a stack of blocks. Defaults are the encoder of Vaswani et al. 2017."""

    d_model: int = 512
    n_layers: int = 6
    n_heads: int = 8
    d_ff: int = 2048
    n_kv_heads: int | None = None
    d_head: int | None = None
    activation: str = "relu"
    gated: bool = False
    norm: str = "layer"
    norm_eps: float = 1e-5
    norm_first: bool = False  # normalise the input of a sublayer (pre-norm) or the sum after it (post-norm)
    final_norm: bool = False
    head_norm: bool = False  # normalise queries and keys in each head (Qwen3)
    qkv_bias: bool = True
    out_bias: bool = True
    ff_bias: bool = True
    scale: float | None = None
    cross_attention: bool = False
    dropout: float = 0.0
    attention_dropout: float = 0.0
    ff_dropout: float = 0.0
    final_dropout: float = 0.0


@dataclass
class Trace:
    """What happened inside a stack: its output, and on request the states and weights of every layer."""

    output: Tensor  # (B, T, C)
    hidden_states: list[Tensor] = field(default_factory=list)  # n_layers + 1 of (B, T, C)
    attentions: list[Tensor] = field(default_factory=list)  # n_layers of (B, H, T, T)
    cross_attentions: list[Tensor] = field(default_factory=list)  # n_layers of (B, H, T, S)


class Block(nn.Module):
    """Self-attention, with `cross_attention` attention to a memory, then feed-forward; each with residual and norm.

    With `recompute`, training keeps only the block's input, and computes what lies between again when backward needs
    it: about a third more work for a fraction of the memory. Source: Chen et al. 2016.
    """

    recompute = False

    def __init__(self, shape: Shape):
        super().__init__()
        norm = partial(norm_named, shape.norm, shape.d_model, shape.norm_eps)
        self.norm_first = shape.norm_first
        self.attention, self.attention_norm = self._attention(shape), norm()
        if shape.cross_attention:
            self.cross_attention, self.cross_attention_norm = self._attention(shape), norm()
        kind = GatedFeedForward if shape.gated else FeedForward
        self.feed_forward = kind(shape.d_model, shape.d_ff, shape.activation, shape.ff_bias, shape.ff_dropout)
        self.feed_forward_norm = norm()
        self.dropout = nn.Dropout(shape.dropout)

    @staticmethod
    def _attention(shape: Shape) -> MultiHeadAttention:
        return MultiHeadAttention(
            shape.d_model,
            shape.n_heads,
            n_kv_heads=shape.n_kv_heads,
            d_head=shape.d_head,
            bias=shape.qkv_bias,
            out_bias=shape.out_bias,
            scale=shape.scale,
            dropout=shape.attention_dropout,
            head_norm=partial(norm_named, shape.norm, eps=shape.norm_eps) if shape.head_norm else None,
        )

    def forward(
        self,
        x: Tensor,
        memory: Tensor | tuple[Tensor, Tensor] | None = None,
        memory_mask: Tensor | None = None,
        *,
        return_weights: bool = False,
        **self_attention: object,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """(B, T, C) → (B, T, C), with the weights of self- and cross-attention on request.

        `self_attention`: mask, causal, bias, rotary, cache, as `MultiHeadAttention.forward` takes them.
        """
        given: dict[str, Any] = {"return_weights": return_weights, **self_attention}
        if self.recompute and self.training and torch.is_grad_enabled() and self_attention.get("cache") is None:
            return checkpoint(self._sublayers, x, memory, memory_mask, use_reentrant=False, **given)
        return self._sublayers(x, memory, memory_mask, **given)

    def _sublayers(
        self,
        x: Tensor,
        memory: Tensor | tuple[Tensor, Tensor] | None,
        memory_mask: Tensor | None,
        *,
        return_weights: bool,
        **self_attention: object,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        h = self.attention_norm(x) if self.norm_first else x
        h, weights = self.attention(h, return_weights=return_weights, **self_attention)
        x = self._add(x, h, self.attention_norm)
        cross_weights = None
        if memory is not None:
            h = self.cross_attention_norm(x) if self.norm_first else x
            h, cross_weights = self.cross_attention(h, memory, memory_mask, return_weights=return_weights)
            x = self._add(x, h, self.cross_attention_norm)
        h = self.feed_forward(self.feed_forward_norm(x) if self.norm_first else x)
        return self._add(x, h, self.feed_forward_norm), weights, cross_weights

    def _add(self, x: Tensor, h: Tensor, norm: nn.Module) -> Tensor:
        x = x + self.dropout(h)
        return x if self.norm_first else norm(x)


class Stack(nn.Module):
    """n_layers blocks, one after the other, and with `final_norm` a last normalisation."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.blocks = nn.ModuleList(self.make_blocks(shape))
        self.final_norm = norm_named(shape.norm, shape.d_model, shape.norm_eps) if shape.final_norm else None
        self.final_dropout = nn.Dropout(shape.final_dropout)

    def make_blocks(self, shape: Shape) -> list[Block]:
        """The blocks; a family that shares or alternates them says so here."""
        return [Block(shape) for _ in range(shape.n_layers)]

    def forward(
        self,
        x: Tensor,
        mask: Tensor | list[Tensor | None] | None = None,
        *,
        causal: bool = False,
        bias: Tensor | None = None,
        rotary: tuple[Tensor, Tensor] | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
        collect: bool = False,
    ) -> Trace:
        """Run x (B, T, C) through the blocks. `collect` keeps every layer's states and weights (explicit attention).

        mask, bool, broadcastable to (B, H, T, S), or a list with one a layer; `memory` (B, S, C) for cross-attention.
        """
        trace = Trace(x, [x] if collect else [])
        if not isinstance(mask, list):
            mask, causal, bias = self._once(x, mask, causal, bias, cache, collect)
        for i, block in enumerate(cast("Iterable[Block]", self.blocks)):
            x, weights, cross_weights = block(
                x,
                self._memory_of(i, block, memory, cache),
                memory_mask,
                mask=mask[i] if isinstance(mask, list) else mask,
                causal=causal,
                bias=bias,
                rotary=rotary,
                cache=cache.layers[i] if cache else None,
                return_weights=collect,
            )
            if collect:
                trace.hidden_states.append(x)
                trace.attentions.append(weights)
                if cross_weights is not None:
                    trace.cross_attentions.append(cross_weights)
        trace.output = self.final_dropout(x if self.final_norm is None else self.final_norm(x))
        if collect:
            trace.hidden_states[-1] = trace.output
        return trace

    def allocate_cache(self, batch: int, max_length: int) -> KeyValueCache:
        """An empty cache for `batch` rows of up to `max_length` positions, where the weights are and in their dtype."""
        first = cast("Block", self.blocks[0]).attention
        weight = first.qkv.weight
        return KeyValueCache.allocate(
            self.shape.n_layers, batch, first.n_kv_heads, max_length, first.d_head, weight.device, weight.dtype
        )

    @staticmethod
    def _once(
        x: Tensor, mask: Tensor | None, causal: bool, bias: Tensor | None, cache: KeyValueCache | None, collect: bool
    ) -> tuple[Tensor | None, bool, Tensor | None]:
        """Combine mask, causal rule and bias here, so that no layer has to do it again."""
        if causal:
            n_keys = x.size(1) + (cache.length if cache else 0)
            mask, causal = with_causal(mask, x.size(1), n_keys, x.device, fused=bias is None and not collect)
        if mask is not None and bias is not None and not (collect or x.is_cuda):  # see `fused_attention` on CUDA
            mask, bias = None, masked_bias(bias.to(x.dtype), mask)
        return mask, causal, bias

    @staticmethod
    def _memory_of(
        i: int, block: Block, memory: Tensor | None, cache: KeyValueCache | None
    ) -> Tensor | tuple[Tensor, Tensor] | None:
        """The memory for block i; with a cache its keys and values are projected once and kept."""
        if cache is None:
            return memory
        if memory is not None and i not in cache.memory:
            cache.memory[i] = block.cross_attention.project_memory(memory)
        return cache.memory.get(i)
