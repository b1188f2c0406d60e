"""What every family shares: a config read from config.json, weights accounted for one by one, one result type."""

import json
import re
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from lmlib import hub
from lmlib.attention import KeyValueCache

IGNORED_LABEL = -100  # a label that takes no part in the loss
NOT_NUMBERS = "the model's scores are not numbers (NaN): look at its weights and its dtype"


class CheckpointError(ValueError):
    """A folder that does not hold the model it says: missing, unused or misshapen weights, each named."""


@dataclass
class Output:
    """What a model returns; fields that were not asked for, or that the family has not, are None."""

    last_hidden_state: Tensor  # (B, T, C)
    logits: Tensor | None = None  # (B, T, V), or (B, n_labels)
    loss: Tensor | None = None  # scalar
    hidden_states: list[Tensor] | None = None  # n_layers + 1 of (B, T, C)
    attentions: list[Tensor] | None = None  # n_layers of (B, H, T, S)
    cross_attentions: list[Tensor] | None = None  # n_layers of (B, H, T, S)
    pooled: Tensor | None = None  # (B, C)
    pair_logits: Tensor | None = None  # (B, 2): next sentence, or sentence order
    encoder_output: Tensor | None = None  # (B, S, C) of an encoder-decoder
    encoder_hidden_states: list[Tensor] | None = None  # n_layers + 1 of (B, S, C)
    encoder_attentions: list[Tensor] | None = None  # n_layers of (B, H, S, S)
    cache: KeyValueCache | None = None
    memory: list[Tensor] | None = None  # what stays of earlier calls: XLNet's hidden states, a recurrent state


@dataclass
class Config:
    """Base of the families' configs. `PEER_NAMES` maps our field to the key of config.json, where they differ."""

    MODEL_TYPE: ClassVar[str] = ""
    PEER_NAMES: ClassVar[dict[str, str]] = {}

    @classmethod
    def from_peer(cls, values: dict[str, Any]) -> Self:
        """Read the dictionary of a config.json; keys that are absent take the family's defaults."""
        cls.check_peer(values)
        given = {f.name: values.get(cls.PEER_NAMES.get(f.name, f.name), MISSING) for f in fields(cls)}
        return cls(**{name: value for name, value in given.items() if value is not MISSING})

    @classmethod
    def check_peer(cls, values: dict[str, Any]) -> None:
        """Raise ValueError when the config asks for something that this family does not implement."""

    def to_peer(self) -> dict[str, Any]:
        """The dictionary of a config.json that the peer library reads."""
        own = {self.PEER_NAMES.get(f.name, f.name): getattr(self, f.name) for f in fields(self)}
        return {"model_type": self.MODEL_TYPE, **own}


@dataclass(frozen=True)
class Joined:
    """Our parameter is theirs, one after the other along the first axis, which has these sizes."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Turned:
    """Our parameter is theirs transposed (GPT-2 stores its linear layers as (inputs, outputs))."""

    name: str


Stored = str | Joined | Turned


def linear(ours: str, theirs: str, bias: bool = True) -> dict[str, Stored]:
    """The weight and bias of one layer, under both names."""
    return {f"{ours}.{part}": f"{theirs}.{part}" for part in (("weight", "bias") if bias else ("weight",))}


def joined(ours: str, theirs: list[str], sizes: list[int], bias: bool = True) -> dict[str, Stored]:
    """The weight and bias of one of our layers that are several of theirs."""
    parts = ("weight", "bias") if bias else ("weight",)
    return {f"{ours}.{p}": Joined(tuple(f"{name}.{p}" for name in theirs), tuple(sizes)) for p in parts}


class PretrainedModel(nn.Module):
    """A model that reads and writes checkpoints as the hub lays them out, with every weight accounted for.

    A family sets `config_class`; `HEADS`, from the name in config.json's `architectures` to the head's name here (None
    for hidden states only); `PREFIX`, which its backbone's weights carry beside a head; `DERIVED`, patterns of stored
    tensors that can be computed and are ignored; and `tied_names`, copies that must agree with their source.
    """

    config_class: ClassVar[type[Config]]
    HEADS: ClassVar[dict[str, str | None]] = {}
    PREFIX: ClassVar[str] = ""
    DERIVED: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Config, head: str | None = None):
        super().__init__()
        if head not in self.HEADS.values():
            known = ", ".join(repr(h) for h in dict.fromkeys(self.HEADS.values()))
            raise ValueError(f"{type(self).__name__} has no head {head!r}; it has: {known}")
        self.config, self.head = config, head

    def stored_names(self) -> dict[str, Stored]:
        """Our parameter's name → where a checkpoint keeps it. Backbone names come without `PREFIX`."""
        raise NotImplementedError

    def head_names(self) -> dict[str, Stored]:
        """The same for the weights of the head, whose stored names never carry `PREFIX`."""
        return {}

    def tied_names(self) -> dict[str, str]:
        """Stored name of a copy → our parameter that it must equal; it is never written, and may be absent.

        Names of the backbone come without `PREFIX`, as in `stored_names`.
        """
        return {}

    def predicted_labels(self, labels: Tensor) -> Tensor:
        """Those of the labels that the loss is a mean over, besides that it leaves out -100."""
        return labels

    @classmethod
    def from_folder(cls, folder: Path, new_head: str | None = None, **config_changes: Any) -> Self:
        """Build the model of `folder` and load it. `new_head` starts that head from random weights instead.

        `config_changes` override the config (n_labels, say). Raises CheckpointError for weights that do not fit.
        """
        values = hub.read_json(folder / "config.json")
        config = cls.config_class.from_peer(values)
        unknown = [name for name in config_changes if name not in {f.name for f in fields(config)}]
        if unknown:
            raise ValueError(f"{type(config).__name__} has no field {unknown[0]!r}")
        config = replace(config, **config_changes)  # the constructor checks the values
        head = new_head or cls._head_of(values, folder)
        stored = hub.read_weights(folder)
        model = cls.for_weights(config, head, stored, head_is_new=new_head is not None)
        model.load_stored(stored, skip_head=new_head is not None, source=str(folder))
        return model.eval()

    @classmethod
    def for_weights(cls, config: Any, head: str | None, stored: dict[str, Tensor], head_is_new: bool) -> Self:
        """The model that these weights will fill; a family with optional parts looks here which are stored."""
        return cls(config, head)

    @classmethod
    def _head_of(cls, values: dict[str, Any], folder: Path) -> str | None:
        names = values.get("architectures") or []
        if not names:
            return None
        if names[0] not in cls.HEADS:
            raise CheckpointError(
                f"{folder}: the architecture {names[0]} is not one that {cls.__name__} has "
                f"({', '.join(cls.HEADS)}); name the head you want with new_head="
            )
        return cls.HEADS[names[0]]

    def load_stored(self, stored: dict[str, Tensor], skip_head: bool = False, source: str = "the checkpoint") -> None:
        """Copy stored tensors into the parameters. Raises CheckpointError that names each weight that does not fit."""
        prefixed = bool(self.PREFIX) and any(name.startswith(self.PREFIX) for name in stored)
        prefix = self.PREFIX if prefixed else ""
        names = self._all_names(prefix, with_head=not skip_head)
        own = dict(self.named_parameters())
        problems: list[str] = []
        used: set[str] = set()
        for ours, where in names.items():
            theirs = where.names if isinstance(where, Joined) else (where if isinstance(where, str) else where.name,)
            used.update(theirs)
            missing = [name for name in theirs if name not in stored]
            if missing:
                problems.append(f"missing: {', '.join(missing)}")
                continue
            problems += self._copy(own[ours], where, [stored[name] for name in theirs], ours)
        heads_own = self.head_names() if skip_head else {}
        for theirs_tied, ours in self.tied_names().items():
            if ours in heads_own:
                continue  # a copy of what the new head replaces
            for name in {theirs_tied, prefix + theirs_tied} & stored.keys():
                used.add(name)
                problems += self._compare_tied(name, stored[name], ours, own[ours])
        problems += [f"unused: {name}" for name in self._unused(stored, used, skip_head)]
        if problems:
            shown = "\n  ".join(problems[:12]) + (f"\n  and {len(problems) - 12} more" if len(problems) > 12 else "")
            raise CheckpointError(f"{source} does not fit {type(self).__name__} (head={self.head!r}):\n  {shown}")

    @staticmethod
    @torch.no_grad()
    def _copy(parameter: Tensor, where: Stored, tensors: list[Tensor], ours: str) -> list[str]:
        shape = tuple(parameter.shape)
        if isinstance(where, Joined):
            needed = [(size, *shape[1:]) for size in where.sizes]
        else:
            needed = [shape[::-1] if isinstance(where, Turned) else shape]
        if [tuple(t.shape) for t in tensors] != needed:
            found = " + ".join(str(tuple(t.shape)) for t in tensors)
            return [f"misshapen: {ours} needs {' + '.join(map(str, needed))}, stored {found} as {where}"]
        parameter.copy_(tensors[0].T if isinstance(where, Turned) else torch.cat(tensors))
        return []

    @staticmethod
    def _compare_tied(name: str, value: Tensor, ours: str, source: Tensor) -> list[str]:
        if value.shape == source.shape and torch.equal(value.to(source), source):
            return []
        return [f"tied: {name} differs from {ours}, which it must equal (or config.json must say that it is not tied)"]

    def _unused(self, stored: dict[str, Tensor], used: set[str], skip_head: bool) -> list[str]:
        rest = [name for name in stored if name not in used]
        rest = [name for name in rest if not any(re.search(pattern, name) for pattern in self.DERIVED)]
        if skip_head:  # the old head goes; what belongs to the backbone must still be used
            parts = {name.partition(".")[0] for name in used}  # the backbone's: embeddings, encoder, ... or the prefix
            rest = [name for name in rest if name.partition(".")[0] in parts]
        return rest

    def _all_names(self, prefix: str, with_head: bool = True) -> dict[str, Stored]:
        names = {ours: _with_prefix(where, prefix) for ours, where in self.stored_names().items()}
        if with_head:
            names |= self.head_names()
        expected = {name for name, _ in self.named_parameters()} - (set() if with_head else set(self.head_names()))
        surplus = sorted(expected - set(names))
        if surplus:
            raise CheckpointError(
                f"a checkpoint has no place for {surplus[0]} and {len(surplus) - 1} more parameters of this "
                f"{type(self).__name__}; adapters are saved on their own, or merged and removed first"
            )
        assert set(names) == expected, f"stored_names disagree with the parameters: {set(names) - expected}"
        return names

    def checkpoint_names(self) -> dict[str, Stored]:
        """Each parameter's name here → where `save_pretrained` puts it."""
        return self._all_names(self.PREFIX if self.head else "")

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors so that the peer library, and `from_pretrained`, read them back."""
        architecture = next(name for name, head in self.HEADS.items() if head == self.head)
        values = self.config.to_peer() | {"architectures": [architecture]}
        hub.write_model(Path(folder), json.dumps(values, indent=2), self.stored_tensors())

    def stored_tensors(self) -> dict[str, Tensor]:
        """All weights under the names, and in the layout, of a checkpoint."""
        stored: dict[str, Tensor] = {}
        own = dict(self.named_parameters())
        for ours, where in self.checkpoint_names().items():
            tensor = own[ours].detach()
            if isinstance(where, Joined):
                stored |= dict(zip(where.names, tensor.split(list(where.sizes)), strict=True))
            elif isinstance(where, Turned):
                stored[where.name] = tensor.T
            else:
                stored[where] = tensor
        return stored


def _with_prefix(where: Stored, prefix: str) -> Stored:
    if isinstance(where, Joined):
        return Joined(tuple(prefix + name for name in where.names), where.sizes)
    return Turned(prefix + where.name) if isinstance(where, Turned) else prefix + where


def check_ids(input_ids: Tensor, vocab_size: int, max_positions: int | None = None) -> None:
    """Raise ValueError with what is wrong with token ids: shape, type, range, length."""
    if input_ids.dim() != 2 or input_ids.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"input_ids must be integers (B, T); got {input_ids.dtype} {tuple(input_ids.shape)}")
    if input_ids.numel() == 0:
        raise ValueError(f"input_ids must hold at least one token; got {tuple(input_ids.shape)}")
    if max_positions is not None and input_ids.size(1) > max_positions:
        raise ValueError(
            f"the sequence has {input_ids.size(1)} tokens, the model has {max_positions} positions; truncate it first"
        )
    if not input_ids.is_cuda and not torch.compiler.is_compiling():  # on a GPU the look would wait for the device
        low, high = int(input_ids.min()), int(input_ids.max())
        if low < 0 or high >= vocab_size:
            raise ValueError(f"token ids must lie in 0..{vocab_size - 1}; got {low}..{high}. Another tokenizer's?")


def check_attention_mask(attention_mask: Tensor, batch: int, length: int) -> None:
    """Raise ValueError unless the mask is (batch, length) with 1 at real tokens and 0 at padding."""
    if attention_mask.shape != (batch, length):
        raise ValueError(
            f"attention_mask must be ({batch}, {length}), one entry a token, cached ones included; "
            f"got {tuple(attention_mask.shape)}"
        )
    waits = attention_mask.is_cuda or torch.compiler.is_compiling()  # on a GPU the look would wait for the device
    looked_at = attention_mask.is_floating_point() or (attention_mask.dtype != torch.bool and not waits)
    if looked_at and not ((attention_mask == 0) | (attention_mask == 1)).all():
        raise ValueError(
            "attention_mask must hold 1 at real tokens and 0 at padding; got other values. "
            "From an additive mask: attention_mask == 0"
        )


def check_cache(cache: KeyValueCache, n_layers: int, batch: int) -> None:
    """Raise ValueError unless the cache was made for this many layers and rows."""
    cached = (len(cache.layers), cache.layers[0].key.size(0))
    if cached != (n_layers, batch):
        raise ValueError(
            f"the cache is for {cached[0]} layers and {cached[1]} rows; "
            f"the model has {n_layers} layers and input_ids {batch} rows"
        )


def count_positions(attention_mask: Tensor | None, past: int, n_new: int, device: torch.device) -> Tensor:
    """Positions of the new tokens, (1, T) or (B, T): padding on the left takes none."""
    if attention_mask is None:
        return torch.arange(past, past + n_new, device=device)[None]
    return (attention_mask.long().cumsum(1) - 1).clamp(min=0)[:, past:]


def check_labels(labels: Tensor, shape: torch.Size, n_classes: int) -> None:
    """Raise ValueError unless labels are int64 of this shape, each a class or -100, and not all of them -100."""
    if labels.shape != shape or labels.dtype != torch.int64:
        raise ValueError(
            f"labels must be int64 of shape {tuple(shape)}; got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    if labels.is_cuda or torch.compiler.is_compiling():  # on a GPU the look would wait for the device
        return
    real = labels[labels != IGNORED_LABEL]
    if real.numel() == 0:
        raise ValueError(
            f"no label is left to learn from: each is {IGNORED_LABEL}, or stands at a first token that nothing predicts"
        )
    if int(real.min()) < 0 or int(real.max()) >= n_classes:
        raise ValueError(
            f"labels must lie in 0..{n_classes - 1}, or be {IGNORED_LABEL} to be left out; "
            f"got {int(real.min())}..{int(real.max())}"
        )


def check_index(name: str, index: Tensor, shape: tuple[int, int], size: int) -> None:
    """Raise ValueError unless `index` (positions or segments) is (B, T), or one row for all, of integers below size."""
    n_rows, length = shape
    shapes = ((n_rows, length), (1, length), (length,))
    if index.dtype not in (torch.int64, torch.int32) or tuple(index.shape) not in shapes:
        raise ValueError(f"{name} must be integers ({n_rows}, {length}); got {index.dtype} {tuple(index.shape)}")
    if index.is_cuda or torch.compiler.is_compiling():
        return
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= size:
        raise ValueError(f"{name} must lie in 0..{size - 1}; got {low}..{high}")
