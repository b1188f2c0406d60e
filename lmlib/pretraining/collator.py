"""What the objectives share: the tokens that are no text, checks of what they are given, and draws.

Shapes: B batch, T length of the longest text, V vocabulary.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from lmlib.data.batching import pad

Batch = dict[str, Tensor]
Document = Sequence[Sequence[int]]  # sentences, each of token ids without special tokens


@dataclass(frozen=True)
class SpecialTokens:
    """The size of a vocabulary, and which of its ids are no text: none of them is ever masked, drawn or predicted.

    start and end stand around a text ([CLS] and [SEP] in BERT, <s> and </s> in BART). A vocabulary without one of the
    tokens has None there; an objective that needs it says so. `others` are further ids that are no text.
    """

    vocab_size: int
    pad: int
    start: int | None = None
    end: int | None = None
    mask: int | None = None
    others: frozenset[int] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        wrong = [i for i in self.ids if not 0 <= i < self.vocab_size]
        if wrong:
            raise ValueError(f"special tokens must lie in 0..{self.vocab_size - 1}; got {wrong[0]}")
        if len(self.ids) == self.vocab_size:
            raise ValueError(f"all {self.vocab_size} tokens are special; none is left for text")

    @property
    def ids(self) -> set[int]:
        """All special ids."""
        return {i for i in (self.pad, self.start, self.end, self.mask, *self.others) if i is not None}

    def need(self, name: str, objective: str) -> int:
        """The id of the token "start", "end" or "mask". Raises ValueError where the tokenizer has none."""
        token: int | None = getattr(self, name)
        if token is None:
            raise ValueError(
                f"{objective} needs a {name} token, and this tokenizer has none: add one and give its id as {name}="
            )
        return token

    def check_plain(self, ids: Iterable[int], further: Iterable[int] = ()) -> None:
        """Raise ValueError when a text brings a token that the objective itself puts in, `further` ones included."""
        own = {self.pad, self.start, self.end, self.mask, *further}
        found = [i for i in ids if i in own]
        if found:
            raise ValueError(
                f"this objective takes texts without special tokens and adds its own; got the id {found[0]}"
            )

    @cached_property
    def _is_text(self) -> Tensor:
        text = torch.ones(self.vocab_size, dtype=torch.bool)
        text[list(self.ids)] = False
        return text

    def is_text(self, ids: Tensor) -> Tensor:
        """True where an id is text, in the shape of `ids`. Raises ValueError for ids of another vocabulary."""
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= self.vocab_size:
            raise ValueError(f"token ids must lie in 0..{self.vocab_size - 1}; got {low}..{high}. Another tokenizer's?")
        return self._is_text[ids]

    def draw(self, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
        """Random text tokens of this shape, each as likely as any other."""
        text = self._is_text.nonzero().squeeze(1)  # (number of text tokens,)
        return text[torch.randint(len(text), tuple(shape), generator=generator)]

    def batch(self, examples: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Texts → ids and attention mask, (B, T), padded on the right. Raises ValueError for an empty batch or text."""
        return pad(examples, self.pad)


def check_rate(**rates: float) -> None:
    """Raise ValueError unless each named rate lies above 0 and is at most 1."""
    for name, rate in rates.items():
        if not 0 < rate <= 1:
            raise ValueError(f"{name} is a share above 0 and at most 1; got {rate}")


def check_at_least(least: int, **numbers: float) -> None:
    """Raise ValueError unless each named number is at least this one."""
    for name, number in numbers.items():
        if not number >= least:
            raise ValueError(f"{name} must be at least {least}; got {number}")


def shuffled(n: int, generator: torch.Generator | None) -> list[int]:
    """0..n-1 in random order."""
    return torch.randperm(n, generator=generator).tolist()


def drawn(n: int, generator: torch.Generator | None) -> list[float]:
    """n numbers, each from 0 to below 1."""
    return torch.rand(n, generator=generator).tolist()
