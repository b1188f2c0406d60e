"""Causal language modelling: each token from those before it. Source: Bengio et al. 2003; Radford et al. 2018."""

from collections.abc import Sequence
from dataclasses import dataclass

from lmlib.models.base import IGNORED_LABEL
from lmlib.pretraining.collator import Batch, SpecialTokens


@dataclass(frozen=True)
class Causal:
    """Texts → input_ids, attention_mask, labels (B, T). The model shifts: its state at t predicts label t + 1.

    Every token is a label, special ones too: the end of a text is to be learned. Only padding is not.
    """

    tokens: SpecialTokens

    def __call__(self, examples: Sequence[Sequence[int]]) -> Batch:
        """Raises ValueError for an empty batch, or a text of one token, which leaves nothing to predict."""
        short = [len(example) for example in examples if len(example) < 2]
        if short:
            raise ValueError(f"a text needs at least 2 tokens, one to predict the other from; got {short[0]}")
        ids, attention_mask = self.tokens.batch(examples)
        labels = ids.masked_fill(attention_mask == 0, IGNORED_LABEL)
        return {"input_ids": ids, "attention_mask": attention_mask, "labels": labels}
