"""A tiny model with dropout and a tiny loader, for the tests of training."""

from typing import Any

import torch

from lmlib.data.batching import Loader, pad
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from lmlib.training import TrainingConfig, set_seed

VOCAB = 11


def tiny_model(dropout: float = 0.1, seed: int = 0) -> Gpt2:
    """Two layers of 16."""
    set_seed(seed)
    sizes: dict[str, Any] = {"d_model": 16, "n_layers": 2, "n_heads": 2, "max_positions": 12, "eos_token_id": None}
    rates = {"dropout": dropout, "residual_dropout": dropout, "attention_dropout": dropout}
    return Gpt2(Gpt2Config(vocab_size=VOCAB, **sizes, **rates), "language_model")


def counting_texts(n: int = 40) -> list[list[int]]:
    """Texts of 2 to 12 tokens that count upwards from anywhere: the next token follows from the last."""
    return [[(start + i) % VOCAB for i in range(2 + start * 7 % 11)] for start in range(n)]


def padded(texts: list[list[int]]) -> dict[str, torch.Tensor]:
    """A batch in which padding has no label."""
    ids, mask = pad(texts, 0)
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


def tiny_loader(batch_size: int = 4, seed: int = 3, **options: Any) -> Loader:
    """Shuffled batches of texts that count."""
    return Loader(counting_texts(), batch_size, padded, seed=seed, **options)


def config(steps: int, **changes: Any) -> TrainingConfig:
    """A short run on the CPU."""
    return TrainingConfig(steps, **({"learning_rate": 1e-2, "device": "cpu"} | changes))
