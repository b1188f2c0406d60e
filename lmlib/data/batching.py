"""From examples of any length to batches: pad, truncate, pack, bucket by length, and a loader that can be resumed.

Shapes: B examples in a batch, T length of the longest.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

BUCKET_BATCHES = 50  # this many batches are sorted by length together: enough that a batch has nearly one length

Batch = dict[str, Tensor]


def pad(sequences: Sequence[Sequence[int]], value: int, side: str = "right") -> tuple[Tensor, Tensor]:
    """Sequences of token ids as one tensor (B, T), and the attention mask (B, T), 1 at real tokens.

    `value` fills what is missing, on the `side` "right" or "left". Raises ValueError for an empty batch or sequence.
    """
    if side not in ("left", "right"):
        raise ValueError(f'padding stands on the side "left" or "right"; got {side!r}')
    lengths = [len(sequence) for sequence in sequences]
    if not lengths or min(lengths) == 0:
        raise ValueError(f"a batch needs at least one sequence, and each at least one token; got lengths {lengths}")
    ids = torch.full((len(lengths), max(lengths)), value)
    mask = torch.zeros_like(ids)
    for row, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
        place = slice(0, length) if side == "right" else slice(-length, None)
        ids[row, place] = torch.as_tensor(sequence)
        mask[row, place] = 1
    return ids, mask


def truncate(sequence: Sequence[int], max_length: int, keep: str = "start") -> Sequence[int]:
    """At most `max_length` tokens of a sequence: its "start" or its "end"."""
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1; got {max_length}")
    if keep not in ("start", "end"):
        raise ValueError(f'what is kept is the "start" or the "end"; got {keep!r}')
    return sequence[:max_length] if keep == "start" else sequence[-max_length:]


def pack(sequences: Sequence[Sequence[int]], length: int, separator: int) -> Tensor:
    """Write the sequences one after the other, `separator` after each, and cut rows (N, length): no padding at all.

    A sequence may go on in the next row; what is left at the end and fills no row is dropped.
    Raises ValueError when not even one row is filled.
    """
    stream = torch.tensor([token for sequence in sequences for token in (*sequence, separator)])
    n_rows = len(stream) // length
    if n_rows == 0:
        raise ValueError(f"{len(stream)} tokens with separators do not fill one row of {length}; shorten the rows")
    return stream[: n_rows * length].view(n_rows, length)


class Windows(Sequence[Tensor]):
    """Every window of `length` tokens of one long text (N,), by where it starts; they overlap."""

    def __init__(self, ids: Tensor, length: int):
        if ids.dim() != 1 or not 1 <= length <= len(ids):
            raise ValueError(f"windows of {length} tokens need a text (N,) of at least as many; got {tuple(ids.shape)}")
        self.ids, self.length = ids, length

    def __len__(self) -> int:
        return len(self.ids) - self.length + 1

    def __getitem__(self, start: Any) -> Any:
        if not 0 <= start < len(self):
            raise IndexError(f"windows start at 0..{len(self) - 1}; got {start}")
        return self.ids[start : start + self.length]


def next_tokens(windows: list[Tensor]) -> Batch:
    """A batch in which every token is the label of the place before it; the model moves the labels itself."""
    ids = torch.stack(windows)
    return {"input_ids": ids, "labels": ids}


def bucket(order: Sequence[int], lengths: Sequence[int], batch_size: int, generator: torch.Generator) -> list[int]:
    """The same order, rearranged so that each batch holds examples of nearly one length, and so little padding.

    Stretches of some batches are sorted by length, cut into batches, and the batches shuffled: long ones come at any
    time. `lengths` has the length of every example, not only of those in `order`.
    """
    if len(order) % batch_size:
        raise ValueError(f"{len(order)} examples make no whole batches of {batch_size}; leave some out before")
    arranged: list[int] = []
    stretch = batch_size * BUCKET_BATCHES
    for at in range(0, len(order), stretch):
        by_length = sorted(order[at : at + stretch], key=lambda i: lengths[i])
        batches = [by_length[i : i + batch_size] for i in range(0, len(by_length), batch_size)]
        for i in torch.randperm(len(batches), generator=generator).tolist():
            arranged += batches[i]
    return arranged


class Loader(Iterator[Batch]):
    """Batches of `examples` without end, in a new order each epoch; the same seed gives the same batches.

    `collate` makes a batch of a list of examples. What it draws from torch's random state (which tokens to mask, say)
    follows from the seed and the number of the batch alone, so a resumed run draws the same; it must not keep a
    generator of its own. `bucket_by` gives an example's length where batches are to be of nearly one length.
    An epoch's last examples that fill no batch are left out; the next epoch leaves out others.
    """

    def __init__(
        self,
        examples: Sequence[Any],
        batch_size: int,
        collate: Callable[[list[Any]], Batch],
        seed: int = 0,
        shuffle: bool = True,
        bucket_by: Callable[[Any], int] | None = None,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}")
        if len(examples) < batch_size:
            raise ValueError(f"{len(examples)} examples do not fill a batch of {batch_size}; lower batch_size")
        self.examples, self.batch_size, self.collate = examples, batch_size, collate
        self.seed, self.shuffle = seed, shuffle
        self.lengths = [bucket_by(example) for example in examples] if bucket_by else None
        self.batches_per_epoch = len(examples) // batch_size
        self.n_batches = 0  # given so far, in all epochs
        self._order: tuple[int, Tensor] | None = None  # the epoch, and its order

    def __next__(self) -> Batch:
        chosen = [self.examples[i] for i in self.next_examples()]
        with torch.random.fork_rng(devices=[]):
            # not torch.manual_seed, which starts every GPU's generator anew as well: dropout draws from that
            torch.default_generator.manual_seed(_mixed(self.seed, "batch", self.n_batches))
            batch = self.collate(chosen)
        self.n_batches += 1
        return batch

    def next_examples(self) -> list[int]:
        """The numbers of the examples that the next batch holds."""
        epoch, place = divmod(self.n_batches, self.batches_per_epoch)
        return self._order_of(epoch)[place * self.batch_size : (place + 1) * self.batch_size].tolist()

    def _order_of(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(_mixed(self.seed, "order", epoch))
            n = len(self.examples)
            order = torch.randperm(n, generator=generator) if self.shuffle else torch.arange(n)
            order = order[: self.batches_per_epoch * self.batch_size]
            if self.lengths is not None:
                order = torch.tensor(bucket(order.tolist(), self.lengths, self.batch_size, generator))
            self._order = (epoch, order)
        return self._order[1]

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands, and of what it is: the order of any epoch follows from the seed."""
        return {
            "seed": self.seed,
            "n_batches": self.n_batches,
            "n_examples": len(self.examples),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where the other loader stood. Raises ValueError when that was made otherwise."""
        own = self.state_dict()
        for name in ("seed", "n_examples", "batch_size", "shuffle"):
            if state.get(name, own[name]) != own[name]:  # older states lack the last two
                raise ValueError(f"the state is of a loader with {name}={state[name]}; this one has {own[name]}")
        self.n_batches = state["n_batches"]


def _mixed(seed: int, use: str, number: int) -> int:
    """A seed of its own for each use and number: neighbours must not give streams that resemble each other."""
    return int(np.random.SeedSequence([seed, *use.encode(), number]).generate_state(1, np.uint64)[0] >> 1)
