"""GloVe: vectors whose dot products are the logarithms of how often words stand together.

Word2Vec reads the corpus again and again; GloVe counts once and then fits the table of counts.
Source: Pennington et al. 2014.
Shapes: N pairs that occur together, B of them in a batch, C d_model, V vocabulary.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lmlib.models.word_vectors import RowAdagrad, WordVectors, check_trained
from lmlib.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class GloveConfig:
    """How to count and train. `count_limit` and `power` are x_max and α of the paper, section 3.1."""

    d_model: int = 100
    window: int = 10
    min_count: int = 5
    count_limit: float = 100.0
    power: float = 0.75
    n_epochs: int = 25
    batch_size: int = 1024
    learning_rate: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("d_model", "window", "min_count", "n_epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("count_limit", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name)}")


@dataclass(frozen=True)
class Cooccurrence:
    """The cells of the table that are not 0: word `row[i]` has word `column[i]` nearby, `count[i]` times."""

    row: NDArray  # (N,)
    column: NDArray  # (N,)
    count: NDArray  # (N,)


def count_cooccurrence(corpus: list[NDArray], vocab_size: int, window: int) -> Cooccurrence:
    """Count pairs of ids at most `window` apart in a sentence, both ways; at distance d a pair counts 1/d."""
    tokens = np.concatenate(corpus)
    sentence = np.repeat(np.arange(len(corpus)), [len(ids) for ids in corpus])
    cells: NDArray = np.empty(0, dtype=np.int64)
    counts: NDArray = np.empty(0)
    for distance in range(1, min(window, len(tokens) - 1) + 1):
        same = sentence[distance:] == sentence[:-distance]
        first, second = tokens[:-distance][same], tokens[distance:][same]
        here = np.concatenate([first * vocab_size + second, second * vocab_size + first])
        cells, place = np.unique(np.concatenate([cells, here]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([counts, np.full(len(here), 1 / distance)]))
    if not len(cells):
        raise ValueError("no sentence holds two words of the vocabulary, so no pair of words can be counted")
    return Cooccurrence(cells // vocab_size, cells % vocab_size, counts)


class Glove(nn.Module):
    """w·w̃ + b + b̃ for pairs of words; each word has a vector and a bias as a word and as a context."""

    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.words, self.contexts = (nn.Embedding(vocab_size, d_model, sparse=True) for _ in range(2))
        self.word_bias, self.context_bias = (nn.Embedding(vocab_size, 1, sparse=True) for _ in range(2))
        for table in (self.words, self.contexts, self.word_bias, self.context_bias):
            nn.init.uniform_(table.weight, -0.5 / d_model, 0.5 / d_model)

    def forward(self, row: Tensor, column: Tensor) -> Tensor:
        """The model's logarithm of the count of each pair: (B,), (B,) → (B,)."""
        dot = (self.words(row) * self.contexts(column)).sum(-1)
        return dot + self.word_bias(row).squeeze(-1) + self.context_bias(column).squeeze(-1)


def weighted_squares(predicted: Tensor, count: Tensor, limit: float, power: float) -> Tensor:
    """f(x) · (predicted - ln x)² with f = min(x / limit, 1)^power: rare pairs weigh less, frequent ones not more.

    Source: Pennington et al. 2014, equations 8 and 9.
    """
    return (count / limit).clamp(max=1) ** power * (predicted - count.log()) ** 2


def train_glove(
    sentences: Iterable[Sequence[str]], config: GloveConfig | None = None, device: str = "cpu"
) -> WordVectors:
    """Word vectors of tokenised sentences: the sum of a word's two vectors, as the paper has it (section 4.2)."""
    config = GloveConfig() if config is None else config
    sentences = list(sentences)
    vocabulary = Vocabulary.from_sentences(sentences, config.min_count)
    corpus = [np.array(vocabulary.encode(sentence), dtype=np.int64) for sentence in sentences]
    table = count_cooccurrence(corpus, len(vocabulary), config.window)
    torch.manual_seed(config.seed)
    model = Glove(len(vocabulary), config.d_model).to(device)
    fit(model, table, config)
    return WordVectors(vocabulary.words, check_trained(model.words.weight + model.contexts.weight))


def fit(model: Glove, table: Cooccurrence, config: GloveConfig) -> list[float]:
    """Train on all cells in random order, with AdaGrad; returns the mean loss of each epoch."""
    device = model.words.weight.device
    row, column = (torch.from_numpy(ids).to(device) for ids in (table.row, table.column))
    count = torch.from_numpy(table.count).to(device, torch.float32)
    optimizer = RowAdagrad(model.parameters(), initial=1.0)
    losses = []
    for _ in range(config.n_epochs):
        total = 0.0
        for cells in torch.randperm(len(count)).to(device).split(config.batch_size):
            predicted = model(row[cells], column[cells])
            loss = weighted_squares(predicted, count[cells], config.count_limit, config.power).sum()
            loss.backward()
            optimizer.step(config.learning_rate)
            total += loss.item()
        losses.append(total / len(count))
    return losses
