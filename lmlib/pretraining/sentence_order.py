"""Sentence order: were two consecutive stretches swapped? Source: Lan et al. 2020, section 3.1.

Both come from one document, so the topic, which makes next sentence easy, tells nothing here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lmlib.pretraining.collator import Batch, Document, SpecialTokens
from lmlib.pretraining.masked import Masked
from lmlib.pretraining.sentence_pairs import check_length, cut, pair_batch, trim


@dataclass(frozen=True)
class SentenceOrder:
    """Documents → input_ids, attention_mask, token_type_ids (B, T), pair_labels (B,); with `masked` also labels (B, T).

    A row for each document. pair_labels are 1 where the two stretches stand in the wrong order, in half of the rows.
    """

    tokens: SpecialTokens
    max_length: int = 128
    masked: Masked | None = None
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        check_length(self.max_length)

    def __call__(self, documents: Sequence[Document]) -> Batch:
        """Raises ValueError for an empty batch, or a document of fewer than two sentences."""
        pairs = [trim(*cut(document, self.generator), self.max_length) for document in documents]
        labels = torch.randint(2, (len(pairs),), generator=self.generator)
        swapped = [(b, a) if label else (a, b) for (a, b), label in zip(pairs, labels.tolist(), strict=True)]
        return pair_batch(swapped, labels, self.tokens, self.masked)
