"""Word2Vec: vectors that tell the words around a word from words drawn by chance. Source: Mikolov et al. 2013a, 2013b.

Skip-gram predicts each word nearby from one word; CBOW predicts the word from the mean of those nearby. Negative
sampling turns the softmax over the vocabulary into K + 1 decisions between yes and no.
Shapes: B examples, W words that predict (1 in skip-gram), K negatives, C d_model, V vocabulary.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lmlib.models.word_vectors import RowAdagrad, WordVectors, check_trained
from lmlib.text.vocabulary import Vocabulary

NOISE_POWER = 0.75  # negatives are drawn by frequency to this power: rare words more often than they occur
BLOCK = 500_000  # tokens whose examples are in memory at once


@dataclass(frozen=True)
class Word2VecConfig:
    """How to train; `method` is "skip_gram" or "cbow". The defaults suit corpora of a million words."""

    method: str = "skip_gram"
    d_model: int = 100
    window: int = 5
    n_negatives: int = 5
    min_count: int = 5
    subsample: float = 1e-3  # words more frequent than this share are thinned out; 0 keeps all
    n_epochs: int = 5
    batch_size: int = 1024
    learning_rate: float = 0.05  # falls linearly to 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in ("skip_gram", "cbow"):
            raise ValueError(f"there is no method {self.method!r}; there are: skip_gram, cbow")
        for name in ("d_model", "window", "n_negatives", "min_count", "n_epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.subsample < 0:
            raise ValueError(f"subsample must not be negative; got {self.subsample}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate}")


class Word2Vec(nn.Module):
    """Two vectors a word: `words`, which is kept, and `contexts`, for the word when it is predicted."""

    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.padding = vocab_size  # fills the rows of CBOW where fewer than 2 · window words are near
        self.words = nn.EmbeddingBag(vocab_size + 1, d_model, mode="mean", padding_idx=self.padding, sparse=True)
        self.contexts = nn.Embedding(vocab_size, d_model, sparse=True)
        nn.init.uniform_(self.words.weight, -0.5 / d_model, 0.5 / d_model)
        nn.init.zeros_(self.contexts.weight)

    def forward(self, inputs: Tensor, target: Tensor, negatives: Tensor) -> Tensor:
        """inputs (B, W), target (B,), negatives (B, K) → the loss of each example, (B,).

        -ln σ(v·u) - Σ ln σ(-v·u'), u the target, u' each negative; a negative that is the target takes no part.
        Source: Mikolov et al. 2013b, equation 4.
        """
        v = self.words(inputs)  # (B, C)
        u = self.contexts(torch.cat([target[:, None], negatives], dim=1))  # (B, 1 + K, C)
        scores = torch.bmm(u, v[:, :, None]).squeeze(2)  # (B, 1 + K)
        wrong = F.softplus(scores[:, 1:]).masked_fill(negatives == target[:, None], 0.0)
        return F.softplus(-scores[:, 0]) + wrong.sum(1)


def train_word2vec(
    sentences: Iterable[Sequence[str]], config: Word2VecConfig | None = None, device: str = "cpu"
) -> WordVectors:
    """Word vectors of tokenised sentences. The same seed gives the same vectors on the same machine."""
    config = Word2VecConfig() if config is None else config
    sentences = list(sentences)
    vocabulary = Vocabulary.from_sentences(sentences, config.min_count)
    corpus = [np.array(vocabulary.encode(sentence), dtype=np.int64) for sentence in sentences]
    counts = np.array(vocabulary.counts, dtype=np.float64)
    torch.manual_seed(config.seed)
    model = Word2Vec(len(vocabulary), config.d_model).to(device)
    noise = torch.tensor(counts**NOISE_POWER, device=device)
    rng = np.random.default_rng(config.seed)
    optimizer = RowAdagrad(model.parameters(), initial=1e-8)
    for progress, inputs, target in batches(corpus, counts, config, rng):
        target = target.to(device)
        negatives = torch.multinomial(noise, len(target) * config.n_negatives, replacement=True)
        loss = model(inputs.to(device), target, negatives.view(len(target), -1)).sum()
        loss.backward()
        optimizer.step(config.learning_rate * (1 - progress))
    return WordVectors(vocabulary.words, check_trained(model.words.weight[:-1]))


def batches(
    corpus: list[NDArray], counts: NDArray, config: Word2VecConfig, rng: np.random.Generator
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Progress from 0 to 1, inputs (B, W) and target (B,), over all epochs; shuffled within a block of tokens."""
    if max(len(ids) for ids in corpus) < 2:
        raise ValueError("no sentence holds two words of the vocabulary, so no word has another nearby")
    tokens = np.concatenate(corpus)
    sentence = np.repeat(np.arange(len(corpus)), [len(ids) for ids in corpus])
    keep = keep_probability(counts, config.subsample)
    starts = range(0, len(tokens), BLOCK)
    for step in range(config.n_epochs * len(starts)):
        part = slice(starts[step % len(starts)], starts[step % len(starts)] + BLOCK)
        kept = rng.random(len(tokens[part])) < keep[tokens[part]]
        near = windows(tokens[part][kept], sentence[part][kept], config.window, len(counts), rng)
        inputs, target = examples(tokens[part][kept], near, config.method, len(counts))
        order = rng.permutation(len(target))
        for at in range(0, len(order), config.batch_size):
            rows = order[at : at + config.batch_size]
            progress = (step + at / len(order)) / (config.n_epochs * len(starts))
            yield progress, torch.from_numpy(inputs[rows]), torch.from_numpy(target[rows])


def keep_probability(counts: NDArray, subsample: float) -> NDArray:
    """How likely an occurrence of each word is kept: √(t/f) + t/f of its share f, at most 1; t is `subsample`.

    This is the rule of the authors' program; the paper (Mikolov et al. 2013b, equation 5) has √(t/f).
    """
    if subsample == 0:
        return np.ones(len(counts))
    ratio = subsample * counts.sum() / counts
    return np.minimum(1, np.sqrt(ratio) + ratio)


def windows(tokens: NDArray, sentence: NDArray, window: int, padding: int, rng: np.random.Generator) -> NDArray:
    """The words around each token, (N, 2 · window), `padding` where there is none.

    Each token draws its own radius from 1..window, so that near words count more.
    """
    radius = rng.integers(1, window + 1, len(tokens))
    near = np.full((len(tokens), 2 * window), padding)
    for distance in range(1, min(window, len(tokens) - 1) + 1):
        same = sentence[distance:] == sentence[:-distance]
        before = same & (radius[distance:] >= distance)  # of the later token of the two
        after = same & (radius[:-distance] >= distance)
        near[distance:, 2 * distance - 2][before] = tokens[:-distance][before]
        near[: len(tokens) - distance, 2 * distance - 1][after] = tokens[distance:][after]
    return near


def examples(tokens: NDArray, near: NDArray, method: str, padding: int) -> tuple[NDArray, NDArray]:
    """Inputs (N, W) and the target (N,) that they predict: each word nearby (skip-gram), or the token (CBOW)."""
    present = near != padding
    if method == "cbow":
        some = present.any(1)
        return near[some], tokens[some]
    return np.repeat(tokens, present.sum(1))[:, None], near[present]
