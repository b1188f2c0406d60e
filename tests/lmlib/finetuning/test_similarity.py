"""Sentence vectors that learn from scores."""

import random

import numpy as np
import pytest
import torch

from lmlib.data.batching import Loader
from lmlib.data.tasks.similarity import ScoredPair
from lmlib.finetuning.similarity import Collator, cosine_loss, predict
from lmlib.models.bert import Bert
from lmlib.models.sentence_encoder import SentenceEncoder
from lmlib.training import TrainingConfig, train
from tests.lmlib.finetuning import tiny


@pytest.fixture
def encoder() -> SentenceEncoder:
    headed = tiny.model("classification", 2, dropout=0.0)
    return SentenceEncoder(Bert(headed.config), tiny.tokenizer(), max_length=32).eval()


def pairs(rng: random.Random, n: int) -> list[ScoredPair]:
    """The score is 5 times the share of words that the two have in common."""
    found = []
    for _ in range(n):
        first, second = (rng.sample(["ann", "bob", "rome", "cat", "film", "good"], 3) for _ in range(2))
        found.append(ScoredPair(" ".join(first), " ".join(second), 5 * len({*first} & {*second}) / 3))
    return found


def test_the_loss_is_the_squared_difference_of_cosine_and_score(encoder, seed):
    examples = pairs(random.Random(seed), 6)
    loss = cosine_loss(encoder, Collator(encoder.tokenizer, highest=5.0)(examples))
    squares = []
    for pair in examples:
        one, other = (vector.double().numpy() for vector in encoder.encode([pair.first, pair.second]))
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        squares.append((cosine - pair.score / 5) ** 2)
    assert loss.item() == pytest.approx(np.mean(squares), rel=1e-4)


def test_it_learns_and_predicts_cosines(encoder):
    rng = random.Random(0)
    held_out = pairs(rng, 100)
    true = torch.tensor([pair.score / 5 for pair in held_out])

    def error() -> float:
        predicted = torch.tensor(predict(encoder, held_out))
        assert predicted.abs().max() <= 1 + 1e-5
        return (predicted - true).square().mean().item()

    before = error()
    loader = Loader(pairs(rng, 300), 32, Collator(encoder.tokenizer, highest=5.0))
    encoder.train()
    train(encoder, loader, TrainingConfig(steps=60, learning_rate=3e-3), loss=cosine_loss)
    assert error() < before / 3
