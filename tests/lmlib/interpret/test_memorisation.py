"""Exposure and extraction, against enumeration, numbers by hand, scipy, and a model that knows its secret."""

import math
import random
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats

from lmlib.interpret import memorisation
from lmlib.interpret.memorisation import (
    CHANCE,
    Canary,
    exact_rank,
    exposure,
    extract,
    sampled_exposure,
    skew_normal_log_cdf,
)
from tests.lmlib.decoding import tiny

ALPHA = 1e-6
PREFIX, MAY = (3, 4, 5), (7, 8, 9, 10)


def canary(secret: tuple[int, ...]) -> Canary:
    return Canary(PREFIX, secret, (MAY,) * len(secret))


def all_scores(peer, length: int) -> dict[tuple[int, ...], float]:
    """ln P of every candidate by the peer, each text whole."""
    candidates = list(product(MAY, repeat=length))
    with torch.no_grad():
        logits = peer(torch.tensor([PREFIX + c for c in candidates])).logits.double()
    log_p = logits.log_softmax(-1)[:, len(PREFIX) - 1 : -1]
    return {c: float(row.gather(1, torch.tensor(c)[:, None]).sum()) for c, row in zip(candidates, log_p, strict=True)}


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_rank_is_that_among_all_candidates_written_out(kind: str, seed: int, tmp_path):
    peer, model = tiny.pair(kind, seed, tmp_path)
    scores = all_scores(peer, 3)
    order = sorted(scores, key=scores.get, reverse=True)
    for place in (0, 1, 20, 63):
        own = scores[order[place]]
        near = [sum(score >= own + slack for score in scores.values()) for slack in (2e-4, -2e-4)]
        assert near[0] <= exact_rank(model, canary(order[place]), batch_size=7) <= near[1]


def test_a_fixed_place_adds_no_candidates(tmp_path):
    peer, model = tiny.pair("llama", 1, tmp_path)
    scores = all_scores(peer, 3)
    fixed = Canary(PREFIX, (8, 9, 7), (MAY, (9,), MAY))
    assert fixed.n_candidates == 16
    ahead = sum(score >= scores[8, 9, 7] - 1e-9 for secret, score in scores.items() if secret[1] == 9)
    assert exact_rank(model, fixed) == ahead


def test_exposure_by_hand():
    assert exposure(1, 1_000_000) == pytest.approx(math.log2(1_000_000))
    assert exposure(250, 1000) == pytest.approx(2)
    assert exposure(1000, 1000) == 0


def test_over_all_ranks_exposure_has_the_mean_of_chance():
    n = 100_000
    assert sum(exposure(rank, n) for rank in range(1, n + 1)) / n == pytest.approx(CHANCE, abs=1e-3)


@pytest.mark.parametrize("shape", [-8.0, -1.0, 0.0, 0.5, 4.0])
def test_the_fitted_distribution_is_scipys_skew_normal(shape: float):
    sample = stats.skewnorm.rvs(shape, loc=30, scale=4, size=4000, random_state=np.random.default_rng(0))
    mean, std, skewness = sample.mean(), sample.std(), stats.skew(sample)
    c = abs(skewness) ** (2 / 3)
    delta = np.sign(skewness) * math.sqrt(math.pi / 2 * c / (c + ((4 - math.pi) / 2) ** (2 / 3)))
    scale = std / math.sqrt(1 - 2 * delta**2 / math.pi)
    fitted = stats.skewnorm(delta / math.sqrt(1 - delta**2), mean - scale * delta * math.sqrt(2 / math.pi), scale)
    for x in (24.0, 28.0, 30.0, 33.0, 40.0):
        expected = float(fitted.cdf(x))
        assert math.exp(skew_normal_log_cdf(x, torch.tensor(sample))) == pytest.approx(expected, rel=1e-3, abs=1e-7)


def test_far_out_in_the_tail_there_is_a_number():
    sample = torch.tensor(np.random.default_rng(0).normal(size=2000))
    assert -700 < skew_normal_log_cdf(-30.0, sample) < -200


def test_the_sampled_exposure_agrees_with_the_exact_one(tmp_path):
    peer, model = tiny.pair("llama", 5, tmp_path)
    scores = all_scores(peer, 6)
    order = sorted(scores, key=scores.get, reverse=True)
    for place in (100, 1000, 3000):  # of 4096
        exact = exposure(exact_rank(model, canary(order[place])), 4096)
        assert sampled_exposure(model, canary(order[place]), n=2000) == pytest.approx(exact, abs=0.6)


def test_secrets_that_a_model_never_saw_rank_like_chance(seed: int, tmp_path):
    _, model = tiny.pair("gpt2", seed, tmp_path)
    draw = random.Random(seed)
    ranks = [exact_rank(model, canary(tuple(draw.choice(MAY) for _ in range(4)))) for _ in range(20)]
    exposures = [exposure(rank, 256) for rank in ranks]
    # 20 exponential draws of mean CHANCE have a gamma distribution; ranks being whole shifts it by less than a tenth
    low, high = stats.gamma(20, scale=CHANCE / 20).ppf([ALPHA / 2, 1 - ALPHA / 2])
    assert low - 0.1 < sum(exposures) / 20 < high


def test_a_model_trained_on_a_secret_ranks_it_first_and_writes_it(tmp_path):
    _, model = tiny.pair("llama", 2, tmp_path)
    known = canary((9, 7, 10, 8, 8))
    assert not extract(model, known).extracted
    before = exposure(exact_rank(model, known), known.n_candidates)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    ids = torch.tensor([known.prefix + known.secret])
    for _ in range(60):
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
    assert exact_rank(model, known) == 1
    assert before < exposure(1, known.n_candidates) == 10
    assert sampled_exposure(model, known, n=500) > 10
    for n_beams in (1, 3):
        assert extract(model, known, n_beams).written == known.secret
    wrong = extract(model, canary((9, 7, 8, 8, 8)))
    assert (wrong.n_right, wrong.extracted) == (2, False)


def characters(text: str) -> list[int]:
    return [ord(char) for char in text]


def test_a_canary_from_text_has_the_digits_as_choices_and_what_is_between_as_fixed():
    one = Canary.from_text(characters, "Code ", ["5", "7"], "0123456789")
    assert bytes(one.prefix) == b"Code "
    assert bytes(one.secret) == b"5 7"
    assert [bytes(may) for may in one.choices] == [b"0123456789", b" ", b"0123456789"]
    assert one.n_candidates == 100


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Canary((), (7,), (MAY,)), "got 0 tokens before, 1 of the secret, 1 choices"),
        (lambda: Canary((1,), (7, 8), (MAY,)), "2 of the secret, 1 choices"),
        (lambda: Canary((1,), (7, 11), (MAY, MAY)), r"tokens at places \[1\] are not among the choices"),
        (lambda: Canary.from_text(characters, "Code ", ["5", "7"], ["5", "17"]), "equally many tokens"),
        (lambda: Canary.from_text(characters, "Code ", ["ab", "cd"], ["ab", "cd"]), "2 parts are 4"),
        (lambda: exposure(0, 10), "1..10, the number of candidates; got 0"),
        (lambda: exposure(11, 10), "got 11"),
        (lambda: sampled_exposure(None, canary((7, 7)), n=5), "cannot be fitted to 5 candidates"),
        (lambda: skew_normal_log_cdf(0.0, torch.zeros(50)), "all candidates have the same score"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("shift", [1e-2, 20.0])
def test_rounding_between_two_passes_does_not_lose_the_secret(shift: float, monkeypatch, tmp_path):
    peer, model = tiny.pair("llama", 1, tmp_path)
    scores = all_scores(peer, 4)
    best = canary(max(scores, key=scores.get))
    real = memorisation._log_probabilities
    monkeypatch.setattr(memorisation, "_log_probabilities", lambda *given: real(*given) + shift)
    assert exact_rank(model, best) == 1


def test_broken_weights_are_an_error_and_no_rank(tmp_path):
    _, model = tiny.pair("gpt2", 1, tmp_path)
    torch.nn.init.constant_(model.decoder.final_norm.weight, math.nan)
    with pytest.raises(ValueError, match="NaN"):
        exact_rank(model, canary((7, 8)))
