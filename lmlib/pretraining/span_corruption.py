"""Span corruption: the decoder writes only the spans that were cut out. Source: Raffel et al. 2020, section 3.1.4.

Thank you <X> me to your party <Y> week        the input
<X> for inviting <Y> last <Z>                  the target: each sentinel, what it stands for, and a last sentinel
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from lmlib.models.base import IGNORED_LABEL
from lmlib.pretraining.collator import Batch, SpecialTokens, check_at_least, shuffled

N_SENTINELS = 100  # of T5


def t5_sentinels(vocab_size: int) -> tuple[int, ...]:
    """T5's sentinels: <extra_id_0> is the last id of its vocabulary (that of the tokenizer), <extra_id_1> before it."""
    return tuple(range(vocab_size - 1, vocab_size - 1 - N_SENTINELS, -1))


@dataclass(frozen=True)
class SpanCorruption:
    """Texts without special tokens → input_ids, attention_mask (B, S), and labels (B, T), both with an end token.

    A share `rate` of the tokens is cut out, in spans of `mean_length` tokens on average that never touch.
    """

    tokens: SpecialTokens
    sentinels: Sequence[int]
    rate: float = 0.15
    mean_length: float = 3.0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        self.tokens.need("end", "span corruption")
        if not 0 < self.rate < 1:
            raise ValueError(f"rate is a share between 0 and 1, so that some text stays; got {self.rate}")
        check_at_least(1, mean_length=self.mean_length)

    def __call__(self, examples: Sequence[Sequence[int]]) -> Batch:
        """Raises ValueError for an empty batch, a text of one token, and more spans than there are sentinels."""
        for ids in examples:
            self.tokens.check_plain(ids, self.sentinels)
        sides = [self.corrupt(ids, self.draw_spans(len(ids))) for ids in examples]
        input_ids, attention_mask = self.tokens.batch([source for source, _ in sides])
        labels, real = self.tokens.batch([target for _, target in sides])
        labels = labels.masked_fill(real == 0, IGNORED_LABEL)
        return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}

    def draw_spans(self, length: int) -> list[tuple[int, int]]:
        """The spans (first, one past the last) to cut out of a text: at least one, and at least one token stays."""
        if length < 2:
            raise ValueError(f"a text needs at least 2 tokens, one to stay and one to go; got {length}")
        n_cut = min(max(round(self.rate * length), 1), length - 1)
        n_kept = length - n_cut
        n_spans = min(max(round(n_cut / self.mean_length), 1), n_kept + 1)
        lengths = random_parts(n_cut, n_spans, self.generator)
        gaps = sorted(shuffled(n_kept + 1, self.generator)[:n_spans])  # a span stands after so many kept tokens
        starts = [gap + sum(lengths[:i]) for i, gap in enumerate(gaps)]
        return [(start, start + n) for start, n in zip(starts, lengths, strict=True)]

    def corrupt(self, ids: Sequence[int], spans: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
        """The input and the target of one text, for spans in order."""
        if len(spans) >= len(self.sentinels):
            raise ValueError(
                f"{len(spans)} spans and the end of the target need {len(spans) + 1} sentinels; "
                f"there are {len(self.sentinels)}. Shorten the text, or take longer spans"
            )
        end = self.tokens.need("end", "span corruption")
        source, target, at = [], [], 0
        for sentinel, (first, last) in zip(self.sentinels, spans, strict=False):
            source += [*ids[at:first], sentinel]
            target += [sentinel, *ids[first:last]]
            at = last
        return [*source, *ids[at:], end], [*target, self.sentinels[len(spans)], end]


def random_parts(total: int, n_parts: int, generator: torch.Generator | None) -> list[int]:
    """`total` as a sum of `n_parts` numbers of 1 or more, every such sum equally likely."""
    cuts = sorted(1 + i for i in shuffled(total - 1, generator)[: n_parts - 1])
    return [after - before for before, after in pairwise([0, *cuts, total])]
