"""Next sentence: does the second stretch follow the first, or is it from elsewhere? Source: Devlin et al. 2019, 3.1."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lmlib.pretraining.collator import Batch, Document, SpecialTokens
from lmlib.pretraining.masked import Masked
from lmlib.pretraining.sentence_pairs import check_length, cut, pair_batch, trim


@dataclass(frozen=True)
class NextSentence:
    """Documents → input_ids, attention_mask, token_type_ids (B, T), pair_labels (B,); with `masked` also labels (B, T).

    A row for each document. pair_labels are 1 where the second stretch comes from another document of the batch, in
    half of the rows: give documents that differ.
    """

    tokens: SpecialTokens
    max_length: int = 128
    masked: Masked | None = None
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        check_length(self.max_length)

    def __call__(self, documents: Sequence[Document]) -> Batch:
        """Raises ValueError for fewer than two documents, or one of fewer than two sentences."""
        n = len(documents)
        if n < 2:
            raise ValueError(f"the other sentence comes from another document of the batch; got {n} documents")
        cuts = [cut(document, self.generator) for document in documents]
        labels = torch.randint(2, (n,), generator=self.generator)
        step = torch.randint(1, n, (n,), generator=self.generator)  # to another document, each as likely
        others = ((torch.arange(n) + step * labels) % n).tolist()
        pairs = [trim(cuts[i][0], cuts[other][1], self.max_length) for i, other in enumerate(others)]
        return pair_batch(pairs, labels, self.tokens, self.masked)
