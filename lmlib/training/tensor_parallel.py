"""Tensor parallelism: the matrices of every block are divided among processes that read the same batch.

A sublayer is two matrices with something between that works on each head, or each feature, alone. The first matrix is
divided by its outputs, so that a process computes some heads (or features) from beginning to end; the second by its
inputs, so that the processes' results only need to be added: one sum a sublayer forward, one backward.
    f  at the entry: forward the same x for all, backward the sum of the gradients   (`copy_to_shards`)
    g  at the exit:  forward the sum of the results, backward the same for all       (`sum_over_shards`)
Everything outside of the sublayers (embeddings, norms, residuals, the loss) is computed by every process alike.
Source: Shoeybi et al. 2019 (Megatron-LM), section 3.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.func import functional_call

from lmlib.attention import JoinedLinear, MultiHeadAttention
from lmlib.layers import FeedForward, GatedFeedForward
from lmlib.transformer import Block


class _Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shards: DeviceMesh) -> Tensor:
        ctx.shards = shards
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _summed(gradient, ctx.shards), None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shards: DeviceMesh) -> Tensor:
        return _summed(x, shards)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def _summed(x: Tensor, shards: DeviceMesh) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=shards.get_group())
    return total


def copy_to_shards(x: Tensor, shards: DeviceMesh) -> Tensor:
    """f: x as it is; its gradient is the sum of what every shard sends back."""
    return _Copy.apply(x, shards)


def sum_over_shards(x: Tensor, shards: DeviceMesh) -> Tensor:
    """g: the sum of every shard's x; its gradient goes back to each as it is."""
    return _Sum.apply(x, shards)


@dataclass(frozen=True)
class Cut:
    """How a parameter is divided: along `dim`, where parts of these sizes follow each other, each into equal slices."""

    dim: int
    sizes: tuple[int, ...]

    def slice(self, whole: Tensor, rank: int, n_shards: int) -> Tensor:
        """What process `rank` of n_shards holds of `whole`."""
        parts = whole.split(self.sizes, self.dim)
        return torch.cat([part.chunk(n_shards, self.dim)[rank] for part in parts], self.dim)

    def join(self, slices: Sequence[Tensor]) -> Tensor:
        """The whole again, from the slices in the order of their processes."""
        sizes = [size // len(slices) for size in self.sizes]
        parts = zip(*(one.split(sizes, self.dim) for one in slices), strict=True)
        return torch.cat([one for part in parts for one in part], self.dim)


class ShardedLinear(JoinedLinear):
    """One process's slice of a linear layer; `cuts` says of each divided parameter how."""

    def __init__(self, whole: nn.Linear, cuts: dict[str, Cut], shards: DeviceMesh):
        if type(whole) not in (nn.Linear, JoinedLinear):  # LoRA's is an nn.Linear too, and would lose its adapters
            raise TypeError(f"a linear layer is needed to divide it; got {type(whole).__name__}: merge adapters first")
        super().__init__(whole.in_features, whole.out_features, whole.bias is not None, device="meta")
        self.cuts, self.shards = cuts, shards
        for name, parameter in whole.named_parameters(recurse=False):
            tensor = parameter.detach()
            if name in cuts:
                tensor = cuts[name].slice(tensor, shards.get_local_rank(), shards.size())
            setattr(self, name, nn.Parameter(tensor.clone(), parameter.requires_grad))
        self.out_features, self.in_features = self.weight.shape


class ColumnParallelLinear(ShardedLinear):
    """f(x) Aᵣ + bᵣ: (B, T, C) → (B, T, F/n), the r-th slice of each part of the outputs.

    The columns of A are the rows of `weight`, which is Aᵀ. `parts`: sizes of what lies joined in the outputs (queries,
    keys and values; gate and inner), so that every process gets its slice of each. Source: section 3, figure 3.
    """

    def __init__(self, whole: nn.Linear, parts: Sequence[int], shards: DeviceMesh):
        cut = Cut(0, tuple(parts))
        super().__init__(whole, {"weight": cut, "bias": cut}, shards)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(copy_to_shards(x, self.shards), self.weight, self.bias)

    def part(self, x: Tensor, start: int, end: int) -> Tensor:
        return super().part(copy_to_shards(x, self.shards), start, end)


class RowParallelLinear(ShardedLinear):
    """g(xᵣ Aᵣ) + b: (B, T, F/n) → (B, T, C). The bias is whole, and added once, after the sum."""

    def __init__(self, whole: nn.Linear, shards: DeviceMesh):
        super().__init__(whole, {"weight": Cut(1, (whole.in_features,))}, shards)

    def forward(self, x: Tensor) -> Tensor:
        y = sum_over_shards(F.linear(x, self.weight), self.shards)
        return y if self.bias is None else y + self.bias


@contextmanager
def randomness_of_shard(shards: DeviceMesh) -> Iterator[None]:
    """Inside, each shard draws other numbers; afterwards all go on alike, as what they hold alike needs it."""
    seed = int(torch.randint(2**62, ()))  # the same on every shard
    devices = [torch.cuda.current_device()] if shards.device_type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed + shards.get_local_rank())
        yield


class ShardedDropout(nn.Dropout):
    """Dropout of features of which each process has others."""

    def __init__(self, whole: nn.Dropout, shards: DeviceMesh):
        super().__init__(whole.p)
        self.shards = shards

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        with randomness_of_shard(self.shards):
            return super().forward(x)


class HeadNorm(nn.Module):
    """The norm of Qwen3's queries and keys: one weight for all heads, so its gradient is the sum over the shards."""

    def __init__(self, whole: nn.Module, shards: DeviceMesh):
        super().__init__()
        self.norm, self.shards = (whole,), shards  # in a tuple, so that the names of its parameters stay
        for name, parameter in whole.named_parameters():
            self.register_parameter(name, parameter)

    def forward(self, x: Tensor) -> Tensor:
        weights = {name: copy_to_shards(parameter, self.shards) for name, parameter in self.named_parameters()}
        return functional_call(self.norm[0], weights, (x,))


class ParallelAttention(MultiHeadAttention):
    """`MultiHeadAttention` with H/n of its query heads and K/n of its key-value heads."""

    def __init__(self, whole: MultiHeadAttention, shards: DeviceMesh):
        nn.Module.__init__(self)
        self.shards, n = shards, shards.size()
        self.n_heads, self.n_kv_heads, self.d_head = whole.n_heads // n, whole.n_kv_heads // n, whole.d_head
        self.scale, self.dropout = whole.scale, whole.dropout
        self.sizes = [size // n for size in whole.sizes]
        self.qkv = ColumnParallelLinear(whole.qkv, whole.sizes, shards)
        self.out = RowParallelLinear(whole.out, shards)
        self.query_norm = None if whole.query_norm is None else HeadNorm(whole.query_norm, shards)
        self.key_norm = None if whole.key_norm is None else HeadNorm(whole.key_norm, shards)

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
        if return_weights:
            raise ValueError("a process holds only its own heads' weights; inspect the model that is not divided")
        if bias is not None:
            bias = self._own_heads(copy_to_shards(bias, self.shards))
        if mask is not None:
            mask = self._own_heads(mask)
        if not self.training or self.dropout == 0:
            return super()._attend(query, key, value, mask, causal, bias, return_weights)
        with randomness_of_shard(self.shards):
            return super()._attend(query, key, value, mask, causal, bias, return_weights)

    def _own_heads(self, x: Tensor) -> Tensor:
        """(B, H, T, S) → (B, H/n, T, S); what is alike for all heads, or has no such axis, stays."""
        if x.dim() < 3 or x.size(-3) == 1:
            return x
        return x.narrow(-3, self.shards.get_local_rank() * self.n_heads, self.n_heads)


def divide_feed_forward(layer: FeedForward | GatedFeedForward, shards: DeviceMesh) -> None:
    """Keep F/n of the inner features, in place."""
    d_ff = layer.outer.in_features
    if isinstance(layer, FeedForward):
        layer.inner = ColumnParallelLinear(layer.inner, [d_ff], shards)
    else:
        layer.gate_and_inner = ColumnParallelLinear(layer.gate_and_inner, [d_ff, d_ff], shards)
    layer.dropout = ShardedDropout(layer.dropout, shards)
    layer.outer = RowParallelLinear(layer.outer, shards)


def divide_blocks(model: nn.Module, shards: DeviceMesh) -> None:
    """Turn a model that every process has alike into this process's shard of it, in place.

    `shards` is a mesh of one dimension. Raises ValueError when a model has no blocks of `lmlib.transformer`, or heads
    or features cannot be divided evenly.
    """
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    if not blocks:
        raise ValueError(f"{type(model).__name__} has no Block of lmlib.transformer that could be divided")
    for block in blocks:
        _check_divisible(block, shards.size())
    for block in blocks:
        block.attention = ParallelAttention(block.attention, shards)
        if hasattr(block, "cross_attention"):
            block.cross_attention = ParallelAttention(block.cross_attention, shards)
        divide_feed_forward(block.feed_forward, shards)


def _check_divisible(block: Block, n_shards: int) -> None:
    heads, d_ff = block.attention, block.feed_forward.outer.in_features
    for what, size in (
        ("query heads", heads.n_heads),
        ("key-value heads", heads.n_kv_heads),
        ("features (d_ff)", d_ff),
    ):
        if size % n_shards:
            raise ValueError(f"{size} {what} cannot be divided evenly among {n_shards} processes; take a divisor")


def cuts_of(model: nn.Module) -> dict[str, Cut]:
    """Name of each divided parameter → how it is divided; empty for a model that is not."""
    return {
        f"{path}.{name}": cut
        for path, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, ShardedLinear)
        for name, cut in module.cuts.items()
    }
