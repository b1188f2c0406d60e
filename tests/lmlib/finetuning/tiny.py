"""A tokenizer whose pieces are words and letters, and a tiny BERT over them: what tests of fine-tuning share."""

import random
import string

import torch

from lmlib.models.bert import Bert, BertConfig
from lmlib.text.wordpiece import SPECIAL, WordPiece
from lmlib.training import TrainingConfig, train

WORDS = ("ann", "bob", "eve", "paris", "rome", "saw", "met", "in", "who", "where", "the", "cat", "good", "bad", "film")


def tokenizer() -> WordPiece:
    """Fifteen words; every other word is cut into its letters."""
    letters = string.ascii_lowercase + string.digits + ".,?!-'"
    pieces = [*SPECIAL, *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    return WordPiece({piece: i for i, piece in enumerate(pieces)})


def model(head: str, n_labels: int, seed: int = 0, dropout: float = 0.1, n_layers: int = 2) -> Bert:
    """Two layers of 32, of random weights large enough that predictions differ."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer()),
        d_model=32,
        n_layers=n_layers,
        n_heads=2,
        d_ff=64,
        max_positions=128,
        n_labels=n_labels,
        dropout=dropout,
        attention_dropout=dropout,
        initializer_std=0.2,
    )
    return Bert(config, head)


def sentence(rng: random.Random, n_words: int) -> list[str]:
    """Words, names of several pieces among them."""
    return [rng.choice([*WORDS, "zurich", "o'hara", "x", "R2-D2", "Anne"]) for _ in range(n_words)]


def fit(model: Bert, batches: object, steps: int, rate: float = 3e-3) -> None:
    """Train a little."""
    train(model, batches, TrainingConfig(steps=steps, learning_rate=rate, warmup_steps=5, weight_decay=0.0))
