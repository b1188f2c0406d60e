"""Contrastive learning: a text's vector near its partner's, far from all others in the batch.

Source: van den Oord et al. 2018, equation 4 (InfoNCE); Gao et al. 2021 (SimCSE).
Shapes: B pairs, K texts of each (anchor, positive, hard negatives), T length, C width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.pretraining.collator import Batch, SpecialTokens


def info_nce(anchors: Tensor, positives: Tensor, negatives: Tensor | None = None, temperature: float = 0.05) -> Tensor:
    """-ln of the share that each anchor's own positive has among all candidates, exp(cosine / temperature); the mean.

    anchors and positives (B, C): the positives of the others are negatives ("in batch"). `negatives`, (N, C), are
    further candidates for every anchor. Vectors need not have length 1. Raises ValueError.
    """
    if anchors.dim() != 2 or anchors.shape != positives.shape:
        raise ValueError(
            f"anchors and positives must be (B, C) both; got {tuple(anchors.shape)}, {tuple(positives.shape)}"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0; got {temperature}")
    candidates = positives if negatives is None else torch.cat([positives, negatives])  # (B + N, C)
    if len(candidates) < 2:
        raise ValueError("a pair alone has no negatives, and its loss is 0 whatever the model does; give two or more")
    cosines = F.normalize(anchors, dim=-1) @ F.normalize(candidates, dim=-1).T  # (B, B + N)
    return F.cross_entropy(cosines / temperature, torch.arange(len(anchors), device=anchors.device))


@dataclass(frozen=True)
class Contrastive:
    """Tuples of texts → input_ids and attention_mask (B, K, T): an anchor, its positive, then its hard negatives.

    A text with itself as its positive is SimCSE without labels: dropout makes two vectors of it, so train with dropout.
    `loss(model, batch)` is for a model that turns ids and mask, (B, T), into vectors (B, C).
    """

    tokens: SpecialTokens
    temperature: float = 0.05

    def __call__(self, examples: Sequence[Sequence[Sequence[int]]]) -> Batch:
        """Raises ValueError for fewer than two texts to an example, or another number than the first has."""
        sizes = {len(example) for example in examples}
        if len(sizes) != 1 or min(sizes) < 2:
            raise ValueError(
                "an example is an anchor, a positive and perhaps negatives, as many in each of the batch; "
                f"got {sorted(sizes) or 'no example'}"
            )
        ids, attention_mask = self.tokens.batch([text for example in examples for text in example])  # (B·K, T)
        shape = (len(examples), sizes.pop(), ids.size(1))
        return {"input_ids": ids.view(shape), "attention_mask": attention_mask.view(shape)}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """InfoNCE over the batch. All texts go through the model at once, each with dropout of its own."""
        shape = batch["input_ids"].shape  # (B, K, T)
        vectors = model(batch["input_ids"].flatten(0, 1), batch["attention_mask"].flatten(0, 1))  # (B·K, C)
        if vectors.dim() != 2:
            raise ValueError(f"the model must give one vector a text, (B, C); got {tuple(vectors.shape)}")
        anchors, positives, *negatives = vectors.view(*shape[:2], -1).unbind(1)  # each (B, C)
        return info_nce(anchors, positives, torch.cat(negatives) if negatives else None, self.temperature)
