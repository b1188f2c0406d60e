"""Permutation language modelling: tokens one after the other, in an order that is drawn. Source: Yang et al. 2019.

Only the last 1/K of an order is predicted (section 2.3, partial prediction); what comes before is context, all of which
sees itself. Shapes: B batch, T length, P predicted positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmlib.models.base import IGNORED_LABEL
from lmlib.models.two_stream import permutation_masks
from lmlib.pretraining.collator import Batch, SpecialTokens, check_at_least


@dataclass(frozen=True)
class Permutation:
    """Texts with their special tokens → input_ids, attention_mask (B, T), perm_mask (B, T, T), target_mapping
    (B, P, T), labels (B, P).

    Of each text's tokens the last 1/K in the order are predicted, one at least; special tokens come first, as context.
    A text with fewer targets than another has rows of zeros in target_mapping, with the label -100.
    """

    tokens: SpecialTokens
    k: float = 6.0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        check_at_least(1, k=self.k)

    def __call__(self, examples: Sequence[Sequence[int]]) -> Batch:
        """Raises ValueError for an empty batch, a text of special tokens only, or one with nothing to predict from."""
        ids, attention_mask = self.tokens.batch(examples)
        is_text = self.tokens.is_text(ids)
        orders = [self.draw_order(row, len(example)) for row, example in zip(is_text, examples, strict=True)]
        masks = [permutation_masks(order[None], n_targets) for order, n_targets in orders]
        n_targets = max(n for _, n in orders)
        perm_mask = torch.cat([context_sees_itself(blocked, targets) for blocked, targets in masks])
        mapping = torch.zeros(len(ids), n_targets, ids.size(1))
        labels = torch.full((len(ids), n_targets), IGNORED_LABEL)
        for row, (order, n) in enumerate(orders):
            mapping[row, :n] = masks[row][1][0]
            labels[row, :n] = ids[row, order[-n:]]
        return {
            "input_ids": ids,
            "attention_mask": attention_mask,
            "perm_mask": perm_mask,
            "target_mapping": mapping,
            "labels": labels,
        }

    def draw_order(self, is_text: Tensor, n_real: int) -> tuple[Tensor, int]:
        """An order (T,) of the positions of one row, padding and special tokens first; how many are predicted."""
        n_text = int(is_text.sum())
        n_targets = max(1, round(n_text / self.k))
        if n_text == 0 or n_targets == n_real:
            raise ValueError(f"a text needs a token to predict and another to predict it from; got {n_text} of text")
        order = torch.randperm(len(is_text), generator=self.generator)
        return torch.cat([order[~is_text[order]], order[is_text[order]]]), n_targets


def context_sees_itself(blocked: Tensor, targets: Tensor) -> Tensor:
    """perm_mask (1, T, T) with what is not predicted open to all: only targets are hidden, each until its turn."""
    is_target = targets.sum(1) > 0  # (1, T)
    return blocked & is_target[:, None, :]
