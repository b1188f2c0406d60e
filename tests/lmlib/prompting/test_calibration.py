"""Calibration by inputs without content: numbers worked by hand, and what must hold for any scores."""

import math

import numpy as np
import pytest
import torch

from lmlib.prompting import calibrated, relative_to_domain


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).log_softmax(-1) - 3


def test_numbers_worked_by_hand():
    scores = torch.tensor([[0.4, 0.1]]).log()  # 0.8 and 0.2 of what the two labels have
    content_free = torch.tensor([[0.6, 0.4], [0.03, 0.01]]).log()  # means 0.675 and 0.325
    a, b = 0.8 / 0.675, 0.2 / 0.325
    assert calibrated(scores, content_free).tolist() == [pytest.approx([a / (a + b), b / (a + b)])]


def test_as_the_papers_matrix_does_in_float64(seed: int):
    scores, content_free = drawn(seed, 6, 4), drawn(seed + 1, 3, 4)
    p, free = (np.exp(s.double().numpy()) for s in (scores, content_free))
    p, free = p / p.sum(1, keepdims=True), (free / free.sum(1, keepdims=True)).mean(0)
    q = p @ np.linalg.inv(np.diag(free))
    assert np.abs(calibrated(scores, content_free).numpy() - q / q.sum(1, keepdims=True)).max() < 1e-5


def test_an_input_without_content_comes_out_even(seed: int):
    content_free = drawn(seed, 1, 5)
    assert calibrated(content_free, content_free).tolist() == [pytest.approx([0.2] * 5, abs=1e-6)]


def test_a_bias_of_the_model_for_some_words_goes(seed: int):
    scores, content_free, bias = drawn(seed, 6, 3), drawn(seed + 1, 1, 3), torch.tensor([-5.0, -1.0, 0.0])
    assert torch.allclose(calibrated(scores + bias, content_free + bias), calibrated(scores, content_free), atol=1e-5)


def test_with_one_content_free_input_the_labels_are_those_of_the_domain_conditional_score(seed: int):
    scores, one = drawn(seed, 50, 4), drawn(seed + 1, 1, 4)
    assert torch.equal(calibrated(scores, one).argmax(1), relative_to_domain(scores, one).argmax(1))


def test_the_domain_conditional_score_is_a_log_ratio():
    ratio = relative_to_domain(torch.tensor([[0.2, 0.1]]).log(), torch.tensor([[0.4, 0.05]]).log())
    assert ratio.exp().tolist() == [pytest.approx([0.5, 2.0])]


GOOD = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibrated(GOOD, torch.zeros(3)), r"same labels; got \(2, 3\) and \(3,\)"),
        (lambda: calibrated(GOOD, torch.zeros(1, 2)), r"same labels; got \(2, 3\) and \(1, 2\)"),
        (lambda: calibrated(GOOD, torch.zeros(0, 3)), "one row or more"),
        (lambda: calibrated(GOOD + 0.5, GOOD), "were probabilities or logits given"),
        (lambda: calibrated(GOOD, GOOD * math.nan), "not NaN"),
        (lambda: calibrated(GOOD - math.inf, GOOD), "every label probability 0"),
        (lambda: relative_to_domain(torch.zeros(3, 3), GOOD), r"\(1, K\), or \(N, K\) as the scores are; got \(2, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


def test_answers_that_are_a_hundred_nats_apart_are_calibrated_too():
    scores = torch.tensor([[-60.0, -200.0]])
    assert calibrated(scores, scores).tolist() == [pytest.approx([0.5, 0.5])]
