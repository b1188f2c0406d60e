"""n-gram models against numbers worked by hand and against the definition written with dictionaries."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from lmlib.models.ngram import AddK, KneserNey, NGram

ALPHA = 1e-6  # of the statistical tests
START = "start"


def random_sequences(seed: int, vocab_size: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(vocab_size, 0.5))  # uneven, so that counts of 1, 2 and more occur
    return [rng.choice(vocab_size, size=rng.integers(0, 12), p=weights).tolist() for _ in range(20)] + [[0, 1, 0]]


class Definition:
    """Interpolated Kneser–Ney as the paper's equations say it, one probability at a time."""

    def __init__(self, sequences: list[list[int]], order: int, vocab_size: int, discount: float | None):
        self.order, self.vocab_size = order, vocab_size
        self.counts: dict[int, Counter] = {m: Counter() for m in range(1, order + 1)}
        grams = set()
        for sequence in sequences:
            padded = [START] * (order - 1) + sequence
            for end in range(order, len(padded) + 1):
                self.counts[order][tuple(padded[end - order : end])] += 1
                grams |= {tuple(padded[end - m : end]) for m in range(1, order + 1)}
        for m in range(1, order):
            self.counts[m] = Counter(gram[1:] for gram in grams if len(gram) == m + 1)
        self.discounts = {m: discount or self.estimate(self.counts[m]) for m in self.counts}

    @staticmethod
    def estimate(counts: Counter) -> float:
        once, twice = (sum(1 for c in counts.values() if c == n) for n in (1, 2))
        return once / (once + 2 * twice) if once else 0.75

    def probability(self, context: tuple, token: int) -> float:
        m = len(context) + 1
        shorter = self.probability(context[1:], token) if context else 1 / self.vocab_size
        following = {gram: c for gram, c in self.counts[m].items() if gram[:-1] == context}
        total = sum(following.values())
        if total == 0:
            return shorter
        kept = max(following.get((*context, token), 0) - self.discounts[m], 0) / total
        return kept + self.discounts[m] * len(following) / total * shorter


def test_kneser_ney_gives_the_probabilities_worked_by_hand():
    # Bigrams of 0 1 0 2: S0, 01, 10, 02. Different tokens before 0: S, 1; before 1: 0; before 2: 0.
    # With D = 1/2: P(0) = 1.5/4 + 0.5 · 3/4 · 1/3 = 0.5 and P(1) = P(2) = 0.25.
    model = KneserNey([[0, 1, 0, 2]], order=2, vocab_size=3, discount=0.5)
    expected = {
        (0,): [0.25, 0.375, 0.375],
        (1,): [0.75, 0.125, 0.125],
        (2,): [0.5, 0.25, 0.25],
        (): [0.75, 0.125, 0.125],
    }
    for context, probabilities in expected.items():
        assert model.probabilities(context).tolist() == pytest.approx(probabilities)
    assert model.log_probabilities([0, 1]).exp().tolist() == pytest.approx([0.75, 0.375])


def test_add_k_gives_the_probabilities_worked_by_hand():
    model = AddK([[0, 1, 0, 2]], order=2, vocab_size=3, k=0.5)
    assert model.probabilities([0]).tolist() == pytest.approx([0.5 / 3.5, 1.5 / 3.5, 1.5 / 3.5])
    assert model.probabilities([2]).tolist() == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("discount", [None, 0.6])
def test_kneser_ney_equals_the_definition(seed: int, order: int, discount: float | None):
    vocab_size = 6
    sequences = random_sequences(seed, vocab_size)
    model = KneserNey(sequences, order, vocab_size, discount)
    definition = Definition(sequences, order, vocab_size, discount)
    assert model.discounts == pytest.approx(list(definition.discounts.values()))
    test = np.random.default_rng(seed + 1).integers(0, vocab_size, 15).tolist()
    padded = [START] * (order - 1) + test
    expected = [definition.probability(tuple(padded[i : i + order - 1]), token) for i, token in enumerate(test)]
    torch.testing.assert_close(model.log_probabilities(test), torch.tensor(expected, dtype=torch.float64).log())


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("kind", [KneserNey, AddK])
def test_probabilities_sum_to_1_after_any_context(seed: int, kind: type[NGram], order: int):
    model = kind(random_sequences(seed, 7), order, 7)
    for context in [[], [0], [0, 1, 0], [6, 6, 6, 6, 6]]:
        p = model.probabilities(context)
        assert float(p.sum()) == pytest.approx(1)
        assert (p > 0).all()


def test_one_context_at_a_time_agrees_with_a_whole_sequence(seed: int):
    model = KneserNey(random_sequences(seed, 5), 3, 5)
    ids = np.random.default_rng(seed).integers(0, 5, 10).tolist()
    one_by_one = torch.stack([model.probabilities(ids[:i])[token] for i, token in enumerate(ids)])
    torch.testing.assert_close(model.log_probabilities(ids).exp(), one_by_one)


def test_a_word_of_one_place_is_unlikely_in_a_new_place():
    """'Francisco' (1) is as frequent as 'glasses' (2), but follows only 'San' (0); after 9, Kneser–Ney prefers 2."""
    sequences = [[0, 1]] * 5 + [[i, 2] for i in (3, 4, 5, 6, 7)] + [[9, 8]]
    p = KneserNey(sequences, 2, 10, discount=0.75).probabilities([9])
    assert p[2] > 2 * p[1]


def test_maximum_likelihood_says_never_as_minus_infinity_and_not_nan():
    model = AddK([[0, 1, 0, 2]], order=2, vocab_size=4, k=0)
    assert model.log_probabilities([0, 0]).tolist() == [0.0, -np.inf]


def test_samples_follow_the_distribution(seed: int):
    model = KneserNey([[0, 1, 0, 2, 0, 0]], order=2, vocab_size=4, discount=0.5)
    generator = torch.Generator().manual_seed(seed)
    draws = Counter(model.sample(1, [0], generator)[0] for _ in range(2000))
    observed = [draws[token] for token in range(4)]
    assert chisquare(observed, 2000 * model.probabilities([0]).numpy()).pvalue > ALPHA


def test_the_seed_of_a_sample_reproduces_it():
    model = KneserNey([[0, 1, 0, 2, 0, 0]], order=3, vocab_size=4)
    first, second = (model.sample(20, [0, 1], torch.Generator().manual_seed(5)) for _ in range(2))
    assert first == second
    assert len(first) == 20


def test_tokens_may_come_as_tensors_arrays_or_lists():
    ids = [0, 1, 0, 2]
    models = [KneserNey([form], 2, 3) for form in (ids, np.array(ids), torch.tensor(ids))]
    for model in models:
        assert torch.equal(model.log_probabilities(torch.tensor(ids)), models[0].log_probabilities(ids))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: KneserNey([0, 1], 2, 3), "Put one sequence into a list"),
        (lambda: KneserNey([[]], 2, 3), "no token to count"),
        (lambda: KneserNey([], 2, 3), "no token to count"),
        (lambda: KneserNey([[0, 3]], 2, 3), r"0\.\.2; got 0\.\.3"),
        (lambda: KneserNey([["a", "b"]], 2, 3), "Words must be encoded first"),
        (lambda: KneserNey([[0, 1]], 0, 3), "order and vocab_size must be at least 1"),
        (lambda: KneserNey([[0, 1]], 2, 3, discount=1.5), "at most at 1; got 1.5"),
        (lambda: AddK([[0, 1]], 2, 3, k=-1), "k must not be negative"),
        (lambda: AddK([[0, 1]], 2, 3, k=0).probabilities([2]), "never seen"),
    ],
)
def test_wrong_input_is_refused_with_its_reason(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()
