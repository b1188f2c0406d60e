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
    "calibrated_vote",
    returns=("probabilities", "labels"),
    atol=1e-5,
    because="in float32 a score near -10 is known to 1e-6, and so is the probability that is made of it",
)


@calibration.case(points=1)
def on_paper(draw):
    """three prompts and one input without content: numbers that can be worked out on paper"""
    first = [[0.4, 0.5, 0.1], [0.3, 0.3, 0.4], [0.1, 0.4, 0.5]]  # vote 0; without calibration 1; most prompts say 2
    second = [[0.4, 0.5, 0.1], [0.2, 0.4, 0.4], [0.1, 0.2, 0.7]]  # vote 2; the product of the three is largest for 0
    nothing = [[0.2, 0.5, 0.3], [0.2, 0.6, 0.2], [0.1, 0.6, 0.3]]
    scores = torch.stack([torch.tensor(first), torch.tensor(second)], dim=1)
    return {"scores": scores.log(), "content_free": torch.tensor(nothing)[:, None].log()}


@calibration.case(points=1)
def several_inputs(draw):
    """two prompts, four labels and three inputs that disagree; probabilities that do not sum to 1"""
    lean = 1.5 * draw.normal(2, 1, 4)  # of each prompt to each label
    scores, content_free = 1.5 * draw.normal(2, 5, 4), 1.5 * draw.normal(2, 3, 4)
    return {"scores": scores + lean - 10, "content_free": content_free + lean - 12}


@calibration.case(points=1)
def opposite_prejudices(draw):
    """two prompts with opposite prejudices; over the last example they disagree, and neither wins"""
    lean = torch.tensor([[[-7.0, -11.0]], [[-11.0, -7.0]]])
    nothing, scores = draw.normal(3, 2) + lean[0], 1.5 * draw.normal(2, 4, 2) + lean
    scores[1, 3] = scores[0, 3].flip(0)
    return {"scores": scores, "content_free": torch.stack([nothing, nothing.flip(1)])}


@calibration.case(points=1)
def large_quotients(draw):
    """one of three prompts nearly never gives one of the labels to an input without content"""
    scores, content_free = draw.normal(3, 3, 5) - 7, draw.normal(3, 2, 5) - 7
    prompt, label = draw.order(3)[0], draw.order(5)[0]
    scores[prompt, :, label] -= 3
    content_free[prompt, :, label] -= 6
    return {"scores": scores, "content_free": content_free}


@calibration.invariant
def rows_sum_to_one(got, inputs):
    """each row of the probabilities must sum to 1"""
    return torch.allclose(got[0].sum(1), torch.ones(len(got[0])), atol=1e-5)


@calibration.invariant
def no_negative_probability(got, inputs):
    """no probability may be negative"""
    return bool((got[0] >= 0).all())


@calibration.invariant
def the_label_is_the_likeliest(got, inputs):
    """each label must have the largest of its row's probabilities"""
    probabilities, labels = got
    chosen = probabilities.gather(1, labels.clamp(0, probabilities.size(1) - 1)[:, None])
    return bool((chosen >= probabilities - 1e-5).all())


limits = ValueQuestion()
limits.number("calibrated", points=1, title="the calibrated probability of good")
limits.number("threshold", points=1, title="the threshold before calibration")
limits.choice("truth", "abcd", points=1, title="the true sentence")
