"""Masked language modelling: hidden tokens from both sides. Source: Devlin et al. 2019, section 3.1 and appendix A.1.

Of the tokens that are chosen, 80 % become the mask token, 10 % a random one, and 10 % stay, so that the model must have
a good state for every token and not for masks alone. With whole words, all tokens of a word are chosen or none (Cui et
al. 2021 for words of several Chinese characters); what becomes of each is still drawn token by token.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lmlib.models.base import IGNORED_LABEL
from lmlib.pretraining.collator import Batch, SpecialTokens, check_rate


class Words(NamedTuple):
    """A text of which whole words are masked: its token ids, and for each token the number of its word."""

    ids: list[int]
    numbers: list[int]

    @classmethod
    def encode(cls, words: Iterable[str], encode: Callable[[str], Sequence[int]]) -> "Words":
        """Words of any language, each turned into token ids alone; `encode` adds no special tokens."""
        pieces = [list(encode(word)) for word in words]
        numbers = [number for number, ids in enumerate(pieces) for _ in ids]
        return cls([i for ids in pieces for i in ids], numbers)

    def between(self, start: int, end: int) -> "Words":
        """The same text between two special tokens."""
        return Words([start, *self.ids, end], [-1, *self.numbers, -1])


@dataclass(frozen=True)
class Masked:
    """Texts with their special tokens → input_ids, attention_mask, labels (B, T), -100 where nothing was chosen.

    Each token, or each word of `Words`, is chosen with probability `rate`; a batch in which none was is drawn again.
    """

    tokens: SpecialTokens
    rate: float = 0.15
    mask_share: float = 0.8
    random_share: float = 0.1
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        self.tokens.need("mask", "masked language modelling")
        check_rate(rate=self.rate)
        if min(self.mask_share, self.random_share) < 0 or self.mask_share + self.random_share > 1:
            raise ValueError(
                "mask_share and random_share are shares of what is chosen, together at most 1; "
                f"got {self.mask_share} and {self.random_share}"
            )

    def __call__(self, examples: Sequence[Sequence[int] | Words]) -> Batch:
        """Raises ValueError for an empty batch, and for texts of nothing but special tokens."""
        ids, attention_mask = self.tokens.batch([e.ids if isinstance(e, Words) else e for e in examples])
        input_ids, labels = self.hide(ids, word_numbers(examples, ids.size(1)))
        return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}

    def hide(self, ids: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """ids and the number of each token's word, below T, both (B, T) → input_ids and labels, (B, T)."""
        chosen = self.choose(self.tokens.is_text(ids), numbers)
        fate = torch.rand(ids.shape, generator=self.generator)
        random = self.tokens.draw(ids.shape, self.generator)
        input_ids = torch.where(chosen & (fate < self.mask_share + self.random_share), random, ids)
        input_ids = input_ids.masked_fill(chosen & (fate < self.mask_share), self.tokens.need("mask", "masking"))
        return input_ids, ids.masked_fill(~chosen, IGNORED_LABEL)

    def choose(self, is_text: Tensor, numbers: Tensor) -> Tensor:
        """Which tokens are to be predicted, (B, T) bool; the tokens of a word share one draw."""
        if not is_text.any():
            raise ValueError("no token of the batch can be masked: all are special. Are the texts empty?")
        while True:
            draw = torch.rand(numbers.shape, generator=self.generator).gather(1, numbers)
            chosen = is_text & (draw < self.rate)
            if chosen.any():
                return chosen


def word_numbers(examples: Sequence[Sequence[int] | Words], length: int) -> Tensor:
    """For each token of the batch (B, T) the number of its word in its row, below T; without `Words` its own place."""
    numbers = torch.arange(length).repeat(len(examples), 1)
    for row, example in enumerate(examples):
        if isinstance(example, Words):
            if len(example.ids) != len(example.numbers):
                raise ValueError(
                    f"Words needs a number for each token; got {len(example.ids)} ids, {len(example.numbers)} numbers"
                )
            places = {number: place for place, number in reversed(list(enumerate(example.numbers)))}  # of its first
            numbers[row, : len(example.ids)] = torch.tensor([places[number] for number in example.numbers])
    return numbers


def masked_loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    """`model(**batch).loss`, where the head scores only positions with a label: the same number for far less work."""
    return model(**batch, labelled_only=True).loss
