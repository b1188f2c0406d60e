"""The checks of 01_background/03_promise_and_challenges: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

domains = FunctionQuestion(
    "bits_by_kind",
    returns=("bits",),
    atol=1e-4,
    because="sums of up to a hundred numbers in float32 keep five digits",
)


@domains.case(points=1)
def by_hand(draw):
    """two kinds, with numbers that can be worked out on paper"""
    log_p = torch.tensor([[0.5, 0.5, 1.0], [0.25, 0.25, 0.25], [0.5, 0.0, 0.0]]).clamp(min=1e-3).log()
    mask = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])
    return {
        "log_p": log_p,
        "mask": mask,
        "n_bytes": torch.tensor([4, 3, 1]),
        "kind": torch.tensor([0, 1, 0]),
        "n_kinds": 2,
    }


@domains.case(points=3)
def many(draw):
    """twelve texts of very different lengths in three kinds"""
    lengths = draw.order(12) + 1
    mask = torch.arange(12)[None] < lengths[:, None]
    log_p = -draw.normal(12, 12).abs() - 0.1
    return {
        "log_p": log_p,
        "mask": mask,
        "n_bytes": 4 * lengths + draw.order(12),
        "kind": torch.tensor([0, 1, 2] * 4)[draw.order(12)],
        "n_kinds": 3,
    }


@domains.invariant
def not_negative(got, inputs):
    """bits per byte cannot be negative"""
    return bool((got >= 0).all())


bias = FunctionQuestion(
    "measured_bias",
    returns=("difference",),
    atol=1e-5,
    because="a mean of up to 30 logarithms in float32 keeps six digits",
)


@bias.case(points=1)
def four_trades(draw):
    """four trades, k = 1: the log-odds are ln 4, ln 1, -ln 2 and -ln 2"""
    counts = torch.tensor([[7.0, 1.0], [3.0, 3.0], [0.0, 1.0], [4.0, 9.0]])
    return {"counts": counts, "first": torch.tensor([True, True, False, False]), "k": 1.0}


@bias.case(points=2)
def thirty(draw):
    """thirty trades, some of them frequent, groups mixed"""
    counts = (draw.normal(30, 2).abs() * 12 * (1 + 3 * draw.normal(30, 1).abs())).round() + 1
    return {"counts": counts, "first": draw.order(30) < 11, "k": 0.5}


@bias.case(points=2)
def zeros(draw):
    """trades after which one of the two never followed"""
    counts = (draw.normal(12, 2).abs() * 6).round()
    counts[:4, 0], counts[4:7, 1] = 0, 0
    return {"counts": counts, "first": draw.order(12) < 5, "k": 0.1}


@bias.invariant
def finite(got, inputs):
    """with k above 0 no logarithm is infinite"""
    return -100 < got < 100


reorder = FunctionQuestion(
    "reorder",
    returns=("w1", "b1", "w2", "b2"),
    atol=1e-6,
    because="numbers are moved, not computed with",
)


def layer(draw, width, hidden):
    return {
        "w1": draw.normal(hidden, width),
        "b1": draw.normal(hidden),
        "w2": draw.normal(width, hidden),
        "b2": draw.normal(width),
    }


@reorder.case(points=2)
def turned(draw):
    """two inputs, four hidden units, turned by one place"""
    return {**layer(draw, 2, 4), "order": torch.tensor([1, 2, 3, 0])}


@reorder.case(points=2)
def square(draw):
    """as many hidden units as inputs, where a wrong axis has the right shape"""
    return {**layer(draw, 5, 5), "order": torch.tensor([2, 0, 3, 4, 1])}


@reorder.invariant
def same_function(got, inputs):
    """the reordered layer must compute the same outputs"""
    x = torch.linspace(-2, 2, 6 * inputs["w1"].size(1)).view(6, -1)
    outputs = []
    for w1, b1, w2, b2 in (got, [inputs[name] for name in ("w1", "b1", "w2", "b2")]):
        outputs.append(torch.relu(x @ w1.T + b1) @ w2.T + b2)
    return torch.allclose(*outputs, atol=1e-4)


meaning = ValueQuestion()
meaning.choice("worse", "abc", points=2, title="worse than knowing nothing")
meaning.number("bits", points=1, title="bits for a probability of 1/1024")
meaning.number("women", points=1, title="women with a trade of the first half")
