"""Word vectors against people's judgement of similarity, and on analogies.

Source: Finkelstein et al. 2002 (WordSim-353); Mikolov et al. 2013a, section 4 (analogies).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmlib.models.word_vectors import WordVectors


@dataclass(frozen=True)
class Coverage:
    """A score over the questions whose words all have vectors, and how many of all these are."""

    score: float
    n_used: int
    n_all: int


def similarity_score(vectors: WordVectors, pairs: Iterable[tuple[str, str, float]]) -> Coverage:
    """Spearman's correlation between cosines and people's scores of pairs of words."""
    pairs = list(pairs)
    known = [(a, b, score) for a, b, score in pairs if a in vectors and b in vectors]
    if len(known) < 2:
        raise ValueError(f"{len(known)} of {len(pairs)} pairs have vectors for both words; a correlation needs 2")
    cosines = torch.tensor([vectors.cosine(a, b) for a, b, _ in known])
    people = torch.tensor([score for _, _, score in known], dtype=torch.float64)
    return Coverage(spearman(cosines, people), len(known), len(pairs))


def analogy_accuracy(
    vectors: WordVectors, questions: Iterable[tuple[str, str, str, str]], batch_size: int = 256
) -> Coverage:
    """The share of questions a : b = c : d in which d is the word nearest to b - a + c, other than a, b and c."""
    questions = list(questions)
    known = [[vectors.id(word) for word in question] for question in questions if all(w in vectors for w in question)]
    if not known:
        raise ValueError(f"none of the {len(questions)} questions has vectors for all four words")
    right = 0
    for start in range(0, len(known), batch_size):
        a, b, c, d = torch.tensor(known[start : start + batch_size]).T  # (N,) each
        scores = (vectors.unit[b] - vectors.unit[a] + vectors.unit[c]) @ vectors.unit.T  # (N, V)
        scores.scatter_(1, torch.stack([a, b, c], dim=1), -torch.inf)
        right += int((scores.argmax(1) == d).sum())
    return Coverage(right / len(known), len(known), len(questions))


def spearman(first: Sequence[float] | Tensor, second: Sequence[float] | Tensor) -> float:
    """The correlation of the ranks, -1 to 1; equal values share the mean of their ranks. Source: Spearman 1904."""
    sides = [torch.as_tensor(values, dtype=torch.float64) for values in (first, second)]
    if sides[0].shape != sides[1].shape or sides[0].dim() != 1 or len(sides[0]) < 2:
        raise ValueError(f"two equally long lists of at least 2 values are needed; got {[len(s) for s in sides]}")
    a, b = (ranks - ranks.mean() for ranks in map(average_ranks, sides))
    spread = (a.norm() * b.norm()).item()
    if spread == 0:
        raise ValueError("all values of one side are equal, so that there is no order to compare")
    return float(a @ b) / spread


def average_ranks(values: Tensor) -> Tensor:
    """The rank of each value, from 1; equal values share the mean of their ranks."""
    _, place, count = values.unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0).double()  # the rank of the last of each group of equal values
    return (last - (count - 1) / 2)[place]
