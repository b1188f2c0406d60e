"""The checks of 02_core_concepts/05_prompt_learning: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import math

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

likelihood = FunctionQuestion(
    "answer_likelihood",
    returns=("total", "mean"),
    atol=1e-4,
    because="a log probability has 6 to 7 digits in float32, and up to 5 of them are added",
)


@likelihood.case(points=1)
def one_token(draw):
    """an answer of one token after a prompt of three"""
    return {"logits": 2 * draw.normal(4, 7), "ids": draw.order(7)[:4], "n_prompt": 3}


@likelihood.case(points=2)
def several_tokens(draw):
    """an answer of five tokens after a prompt of four"""
    return {"logits": 2 * draw.normal(9, 11), "ids": draw.order(11)[:9], "n_prompt": 4}


@likelihood.case(points=1)
def large_logits(draw):
    """logits above 100, where exp alone overflows, and a token whose probability is 0 in float32"""
    logits, ids = draw.normal(6, 8) + 120, draw.order(8)[:6]
    logits[3, ids[4]] = -90.0  # about e^-210
    return {"logits": logits, "ids": ids, "n_prompt": 2}


@likelihood.invariant
def not_above_zero(got, inputs):
    """a log probability cannot be above 0"""
    return bool(got[0] <= 1e-6) and bool(got[1] <= 1e-6)


words = FunctionQuestion(
    "label_scores",
    returns=("scores",),
    atol=1e-4,
    because="scores of some tens carry 7 digits in float32",
)


@words.case(points=1)
def two_labels(draw):
    """two labels with two words each"""
    return {"word_scores": -(draw.normal(4, 4).abs() + 1), "label_of": [0, 0, 1, 1]}


@words.case(points=1)
def uneven_labels(draw):
    """three labels with three, one and two words, not sorted"""
    return {"word_scores": -(draw.normal(5, 6).abs() + 1), "label_of": [2, 0, 1, 0, 0, 2]}


@words.case(points=1)
def unlikely_words(draw):
    """long answers: scores near -200 for two of three examples"""
    return {"word_scores": draw.normal(3, 4) - torch.tensor([[200.0], [5.0], [200.0]]), "label_of": [1, 0, 1, 0]}


@words.invariant
def together_not_less_likely(got, inputs):
    """a label must be at least as likely as each of its words"""
    columns = list(enumerate(inputs["label_of"]))
    return all(bool((got[:, k] >= inputs["word_scores"][:, w] - 1e-4).all()) for w, k in columns)


calibration = FunctionQuestion(
    "calibrate",
    returns=("probabilities",),
    atol=1e-5,
    because="probabilities carry 7 digits in float32",
)


@calibration.case(points=1)
def on_paper(draw):
    """two examples and one empty input, with numbers that can be worked out on paper"""
    scores = torch.tensor([[0.3, 0.7], [0.6, 0.4]]).log()
    return {"scores": scores, "content_free": torch.tensor([[0.1, 0.9]]).log()}


@calibration.case(points=2)
def several_inputs(draw):
    """three labels, four empty inputs that disagree, and scores that do not sum to 1"""
    return {"scores": 2 * draw.normal(5, 3) - 6, "content_free": 2 * draw.normal(4, 3) - 9}


@calibration.case(points=1)
def strong_prejudice(draw):
    """a model that nearly always says the same"""
    return {"scores": draw.normal(4, 2) + torch.tensor([-1.0, -6.0]), "content_free": torch.tensor([[-0.5, -5.0]])}


@calibration.invariant
def rows_sum_to_one(got, inputs):
    """each row must sum to 1"""
    return torch.allclose(got.sum(-1), torch.ones(len(got)), atol=1e-5)


@calibration.invariant
def no_negative_probability(got, inputs):
    """no probability may be negative"""
    return bool((got >= 0).all())


limits = ValueQuestion()
limits.number("calibrated", points=1, title="the calibrated probability of good")
limits.number("threshold", points=1, title="the threshold before calibration")
limits.choice("truth", "abcd", points=1, title="the true sentence")
