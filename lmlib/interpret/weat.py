"""WEAT: do word vectors associate two sets of words with two sets of attributes as people do?

Targets X and Y (trades of two groups, say), attributes A and B (words for women, words for men). Source: Caliskan,
Bryson & Narayanan 2017, supplement, "Word Embedding Association Test".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lmlib.models.word_vectors import WordVectors

EXACT = 20_000  # up to so many ways to split the scores, all of them are tried
N_DRAWN = 10_000  # so many are drawn where there are more


@dataclass(frozen=True)
class Effect:
    """How far two groups of scores lie apart.

    `difference` of the means; `size`, the same in standard deviations of all scores, from -2 to 2 for groups of one
    size; `p`, one-sided: the share of splits into two groups of these sizes that differ at least as much, of all
    splits if `exact`.
    """

    difference: float
    size: float
    p: float
    exact: bool


def weat(
    vectors: WordVectors, x: Sequence[str], y: Sequence[str], a: Sequence[str], b: Sequence[str], seed: int = 0
) -> Effect:
    """How much more the words x go with a, and y with b, than the other way round. Raises ValueError for unfit sets."""
    check_sets(vectors, x, y, a, b)
    return effect([association(vectors, w, a, b) for w in x], [association(vectors, w, a, b) for w in y], seed)


def association(vectors: WordVectors, word: str, a: Sequence[str], b: Sequence[str]) -> float:
    """s(w, A, B): the mean cosine of the word with a, minus that with b."""
    return float(np.mean([vectors.cosine(word, one) for one in a]) - np.mean([vectors.cosine(word, one) for one in b]))


def effect(x: Sequence[float], y: Sequence[float], seed: int = 0) -> Effect:
    """The effect that the scores x lie above the scores y, with its permutation test.

    Where there are too many splits to try all, the true one is counted among those drawn, so that p is never 0.
    Raises ValueError for scores that are too few, not finite or all the same.
    """
    scores, n = np.array([*x, *y], dtype=float), len(x)
    if min(n, len(y)) < 2 or not np.isfinite(scores).all() or np.ptp(scores) == 0:
        raise ValueError(f"two groups of 2 scores or more that are not all the same are needed; got {x} and {y}")
    difference = scores[:n].mean() - scores[n:].mean()
    exact = math.comb(len(scores), n) <= EXACT
    sums = all_sums(scores, n) if exact else drawn_sums(scores, n, seed)
    at_least = int((sums >= scores[:n].sum() - 1e-9).sum())  # the total is fixed: a larger sum, a larger difference
    p = at_least / len(sums) if exact else (at_least + 1) / (len(sums) + 1)
    return Effect(float(difference), float(difference / scores.std(ddof=1)), p, exact)


def all_sums(scores: NDArray, n: int) -> NDArray:
    """The sum over each of the ways to choose n scores."""
    return np.array([scores[list(chosen)].sum() for chosen in combinations(range(len(scores)), n)])


def drawn_sums(scores: NDArray, n: int, seed: int) -> NDArray:
    """The sums over n scores chosen by chance, again and again."""
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(scores)[:n].sum() for _ in range(N_DRAWN)])


def check_sets(vectors: WordVectors, x: Sequence[str], y: Sequence[str], a: Sequence[str], b: Sequence[str]) -> None:
    """Raise ValueError for words without a vector, and for sets that are empty, share words or differ in size."""
    for name, words in (("x", x), ("y", y), ("a", a), ("b", b)):
        missing = [word for word in words if word not in vectors]
        if missing:
            raise ValueError(f"no vector for {', '.join(missing)} in {name}; leave them out")
        if not words or len(set(words)) < len(words):
            raise ValueError(f"{name} needs words, each once; got {list(words)}")
    shared = set(x) & set(y) | set(a) & set(b)
    if shared:
        raise ValueError(f"a word must not stand in both sets: {', '.join(sorted(shared))}")
    if len(x) != len(y):
        raise ValueError(f"x and y must have equally many words for the test to be fair; got {len(x)} and {len(y)}")
