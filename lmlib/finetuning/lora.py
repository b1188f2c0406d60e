"""LoRA: the weights stay as they are, and a product of two thin matrices beside each learns the change.

W x becomes W x + (alpha / rank) · B A x, where A (rank, inputs) is drawn, and B (outputs, rank) starts at 0, so that
nothing changes at first. Only A and B are trained and saved (lora_files.py). A layer that joins several of a
checkpoint's (queries, keys and values; gate and inner) gets an adapter for each of them, as the library `peft` does.
Source: Hu et al. 2021, section 4.1.
"""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.attention import JoinedLinear
from lmlib.models.base import Joined, PretrainedModel, Stored, Turned

ATTENTION = ("qkv", "out")


@dataclass(frozen=True)
class LoraConfig:
    """How large the change may be, and of which layers: the end of their names here ("qkv", "feed_forward.inner")."""

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0  # of the adapter's input
    targets: tuple[str, ...] = ATTENTION

    def __post_init__(self) -> None:
        if isinstance(self.targets, str) or not self.targets:
            raise ValueError(f"targets are ends of the names of layers, one at least, in a tuple; got {self.targets!r}")
        if self.rank < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise ValueError(
                "rank is 1 or more, alpha above 0, dropout from 0 to below 1; "
                f"got rank={self.rank}, alpha={self.alpha}, dropout={self.dropout}"
            )


@dataclass(frozen=True)
class Place:
    """Where an adapter sits: outputs start..end - 1 of a layer here, and the layer that a checkpoint has for them."""

    layer: str
    start: int
    end: int
    stored: str


class Adapter(nn.Module):
    """The change B A of some outputs of a layer."""

    def __init__(self, place: Place, like: Tensor, rank: int):
        super().__init__()
        self.place = place
        self.A = nn.Parameter(like.new_empty(rank, like.size(1)))
        self.B = nn.Parameter(like.new_zeros(place.end - place.start, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))  # as a linear layer of PyTorch begins


class LoraLinear(JoinedLinear):
    """A linear layer with adapters beside it; its weight and bias are those of the layer it stands for."""

    def __init__(self, layer: nn.Linear, places: list[Place], config: LoraConfig):
        nn.Module.__init__(self)  # the layer has its weights already
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        self.config, self.scale = config, config.alpha / config.rank
        self.dropout = nn.Dropout(config.dropout)
        self.adapters = nn.ModuleList(Adapter(place, layer.weight, config.rank) for place in places)
        self.enabled = True
        self.unmerged: Tensor | None = None  # the weight as it was, while the change is in it

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x, 0, self.out_features)

    def part(self, x: Tensor, start: int, end: int) -> Tensor:
        out = super().part(x, start, end)
        if not self.enabled or self.unmerged is not None:
            return out
        x = self.dropout(x)
        for adapter in self.all_adapters():
            first, last = max(start, adapter.place.start), min(end, adapter.place.end)
            if first < last:
                B = adapter.B[first - adapter.place.start : last - adapter.place.start]
                change = F.linear(F.linear(x, adapter.A), B) * self.scale  # (..., last - first)
                out = out + F.pad(change, (first - start, end - last))
        return out

    @torch.no_grad()
    def merge(self) -> None:
        """Add the change to the weight; the adapters then stand idle."""
        if self.unmerged is None:
            self.unmerged = self.weight.clone()
            for adapter in self.all_adapters():
                self.weight[adapter.place.start : adapter.place.end] += self.scale * adapter.B @ adapter.A

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put back the weight as it was, bit for bit."""
        if self.unmerged is not None:
            self.weight.copy_(self.unmerged)
            self.unmerged = None

    def plain(self) -> nn.Linear:
        """The layer without adapters, with the weight as it is now."""
        layer = JoinedLinear(self.in_features, self.out_features, bias=False, device="meta")
        layer.weight, layer.bias = self.weight, self.bias
        return layer

    def all_adapters(self) -> list[Adapter]:
        """The adapters of this layer."""
        return cast("list[Adapter]", list(self.adapters))


def add_adapters(model: PretrainedModel, config: LoraConfig) -> None:
    """Put adapters beside the target layers, and freeze everything else.

    Raises ValueError for a target that no linear layer has, one whose weight is another's too, and a second time.
    """
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    chosen: list[str] = []
    for target in config.targets:
        found = [name for name in layers if name == target or name.endswith(f".{target}")]
        if not found:
            ends = dict.fromkeys(name.rpartition(".")[2] for name in layers)
            raise ValueError(f"no linear layer is called {target!r}; their names end in: {', '.join(ends)}")
        chosen += found
    free = places(model)
    shared = [name for name in chosen if name not in {place.layer for place in free}]
    if shared:
        raise ValueError(f"{shared[0]} shares its weight with another layer: merged, both would change")
    attach(model, [place for place in free if place.layer in chosen], config)


def places(model: PretrainedModel) -> list[Place]:
    """Every place where an adapter can sit: linear layers with a weight of their own, joined ones part by part.

    Raises ValueError when the model has adapters already.
    """
    if _lora_layers(model):
        raise ValueError("the model has adapters already; remove_adapters(model) first")
    names = model.checkpoint_names()
    owners = Counter(id(weight) for module in model.modules() for weight in module.parameters(recurse=False))
    found = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and owners[id(module.weight)] == 1:
            start = 0
            for stored, size in _parts(names[f"{name}.weight"], module.out_features):
                found.append(Place(name, start, start + size, stored.removesuffix(".weight")))
                start += size
    return found


def _parts(where: Stored, n_outputs: int) -> list[tuple[str, int]]:
    """(name in a checkpoint, outputs) of each layer that is joined in one of ours."""
    if isinstance(where, Joined):
        return list(zip(where.names, where.sizes, strict=True))
    return [(where.name if isinstance(where, Turned) else where, n_outputs)]


def attach(model: PretrainedModel, chosen: list[Place], config: LoraConfig) -> None:
    """Put new adapters at these places, and freeze everything else."""
    of_layer: dict[str, list[Place]] = {}
    for place in chosen:
        of_layer.setdefault(place.layer, []).append(place)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name, there in of_layer.items():
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        model.set_submodule(name, LoraLinear(layer, there, config).train(layer.training))


def merge(model: nn.Module) -> None:
    """Add every change to its weight: the model computes the same, as fast as without adapters."""
    for layer in lora_layers(model).values():
        layer.merge()


def unmerge(model: nn.Module) -> None:
    """Take the changes out again; the weights are what they were, bit for bit."""
    for layer in lora_layers(model).values():
        layer.unmerge()


def remove_adapters(model: nn.Module) -> None:
    """Plain layers again, everything trainable: after `merge` the tuned model, else the model as it was."""
    for name, layer in lora_layers(model).items():
        model.set_submodule(name, layer.plain().train(layer.training))
    for parameter in model.parameters():
        parameter.requires_grad_(True)


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """Inside, the model is what it was before it was tuned. Raises ValueError when the changes are merged."""
    layers = lora_layers(model).values()
    if any(layer.unmerged is not None for layer in layers):
        raise ValueError("the adapters are merged into the weights; unmerge(model) first")
    for layer in layers:
        layer.enabled = False
    try:
        yield
    finally:
        for layer in layers:
            layer.enabled = True


def lora_layers(model: nn.Module) -> dict[str, LoraLinear]:
    """The layers with adapters by name. Raises ValueError when there is none."""
    found = _lora_layers(model)
    if not found:
        raise ValueError(f"this {type(model).__name__} has no adapters; add_adapters(model, LoraConfig()) first")
    return found


def _lora_layers(model: nn.Module) -> dict[str, LoraLinear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}
