"""WEAT: numbers by hand, the exact p value by brute force from the definition, and what must not change it."""

import itertools
import math

import numpy as np
import pytest
import torch

from lmlib.interpret import weat as module
from lmlib.interpret.weat import association, effect, weat
from lmlib.models.word_vectors import WordVectors

X, Y, A, B = ["x1", "x2", "x3"], ["y1", "y2", "y3"], ["a1", "a2"], ["b1", "b2"]


def drawn(seed: int) -> WordVectors:
    matrix = torch.tensor(np.random.default_rng(seed).normal(size=(10, 4)))
    return WordVectors([*X, *Y, *A, *B], matrix)


def test_effect_of_four_words_by_hand() -> None:
    matrix = torch.tensor([[1.0, 0], [3, 4], [0, 2], [-1, 0], [5, 0], [0, 1]])
    vectors = WordVectors(["x1", "x2", "y1", "y2", "a", "b"], matrix)
    # s(w, A, B) = cos(w, a) - cos(w, b): 1, 0.6 - 0.8, -1, -1
    assert association(vectors, "x2", ["a"], ["b"]) == pytest.approx(-0.2)
    found = weat(vectors, ["x1", "x2"], ["y1", "y2"], ["a"], ["b"])
    assert found.difference == pytest.approx(0.4 - -1)
    spread = math.sqrt((1.3**2 + 0.1**2 + 0.7**2 * 2) / 3)  # the mean of all four is -0.3
    assert found.size == pytest.approx(1.4 / spread)
    assert found.p == pytest.approx(1 / 6)  # of the six ways to choose two, no other reaches 0.8
    assert found.exact


def test_exact_p_is_that_of_the_definition_by_brute_force(seed: int) -> None:
    vectors = drawn(seed)

    def statistic(x: tuple[str, ...], y: list[str]) -> float:
        def s(word: str) -> float:
            def mean(words: list[str]) -> float:
                cosines = [torch.cosine_similarity(vectors[word], vectors[one], dim=0).item() for one in words]
                return sum(cosines) / len(cosines)

            return mean(A) - mean(B)

        return sum(map(s, x)) - sum(map(s, y))

    splits = [(x, [w for w in X + Y if w not in x]) for x in itertools.combinations(X + Y, 3)]
    observed = statistic(tuple(X), Y)
    expected = sum(statistic(*split) >= observed - 1e-6 for split in splits) / len(splits)
    assert weat(vectors, X, Y, A, B).p == pytest.approx(expected)


def test_exchanging_the_attributes_or_the_targets_turns_the_sign(seed: int) -> None:
    vectors = drawn(seed)
    found = weat(vectors, X, Y, A, B)
    for other in (weat(vectors, X, Y, B, A), weat(vectors, Y, X, A, B)):
        assert other.size == pytest.approx(-found.size)
        assert other.difference == pytest.approx(-found.difference)
        assert other.p + found.p >= 1  # both count the split that was observed


def test_neither_the_length_of_vectors_nor_a_rotation_matters(seed: int) -> None:
    vectors = drawn(seed)
    rng = np.random.default_rng(seed)
    rotation = torch.tensor(np.linalg.qr(rng.normal(size=(4, 4)))[0]).float()
    lengths = torch.tensor(rng.uniform(0.1, 9, size=(10, 1))).float()
    moved = WordVectors(vectors.words, lengths * vectors.matrix @ rotation)
    assert weat(moved, X, Y, A, B).size == pytest.approx(weat(vectors, X, Y, A, B).size, abs=1e-4)


def test_the_largest_effect_is_two_groups_without_spread() -> None:
    assert effect([1.0] * 50, [-1.0] * 50).size == pytest.approx(2, abs=0.02)


def test_drawn_splits_come_near_the_exact_p(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0.4, 1, 7).tolist(), rng.normal(0, 1, 7).tolist()
    exact = effect(x, y)
    monkeypatch.setattr(module, "EXACT", 0)
    sampled = effect(x, y, seed)
    assert (exact.exact, sampled.exact) == (True, False)
    assert sampled == effect(x, y, seed)
    spread = math.sqrt(exact.p * (1 - exact.p) / module.N_DRAWN)
    assert abs(sampled.p - exact.p) <= 5 * spread + 2 / module.N_DRAWN  # 5 standard deviations: alpha 1e-6


def test_bad_input_is_named(seed: int) -> None:
    vectors = drawn(seed)
    with pytest.raises(ValueError, match=r"no vector for z1, z2 in x; leave them out"):
        weat(vectors, ["z1", "x1", "z2"], Y, A, B)
    with pytest.raises(ValueError, match=r"b needs words, each once; got \['b1', 'b1'\]"):
        weat(vectors, X, Y, A, ["b1", "b1"])
    with pytest.raises(ValueError, match=r"both sets: a1"):
        weat(vectors, X, Y, A, ["a1", "b1"])
    with pytest.raises(ValueError, match=r"equally many words for the test to be fair; got 3 and 2"):
        weat(vectors, X, Y[:2], A, B)
    with pytest.raises(ValueError, match="2 scores or more that are not all the same"):
        effect([1.0, 1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="2 scores or more"):
        effect([1.0], [2.0, 3.0])
