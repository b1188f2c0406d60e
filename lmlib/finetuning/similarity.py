"""Sentence vectors learn from scores: the cosine of two is to be the score. Source: Reimers & Gurevych 2019."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.data.tasks.similarity import ScoredPair
from lmlib.models.sentence_encoder import SentenceEncoder
from lmlib.text.wordpiece import WordPiece


@dataclass(frozen=True)
class Collator:
    """Scored pairs → a batch: ids and mask of either side (B, T), and scores (B,) from 0 to 1."""

    tokenizer: WordPiece
    highest: float
    max_length: int = 128

    def __call__(self, examples: Sequence[ScoredPair]) -> dict[str, Tensor]:
        batch = {"scores": torch.tensor([example.score / self.highest for example in examples])}
        for side in ("first", "second"):
            encoded = self.tokenizer([getattr(example, side) for example in examples], self.max_length)
            batch |= {f"{side}_ids": encoded["input_ids"], f"{side}_mask": encoded["attention_mask"]}
        return batch


def cosine_loss(model: SentenceEncoder, batch: dict[str, Tensor]) -> Tensor:
    """Mean squared difference of cosine and score."""
    first = model(batch["first_ids"], batch["first_mask"])  # (B, C), of length one
    second = model(batch["second_ids"], batch["second_mask"])
    return F.mse_loss((first * second).sum(-1), batch["scores"])


def predict(model: SentenceEncoder, pairs: Sequence[ScoredPair]) -> list[float]:
    """The cosine of each pair."""
    was_training = model.training
    model.eval()
    first = model.encode([pair.first for pair in pairs])
    second = model.encode([pair.second for pair in pairs])
    model.train(was_training)
    return (first * second).sum(-1).tolist()
