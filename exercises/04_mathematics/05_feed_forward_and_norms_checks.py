"""The checks of 04_mathematics/05_feed_forward_and_norms: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

gated = FunctionQuestion(
    "swiglu",
    returns=("output",),
    atol=2e-5,
    because="two products in a row over up to 12 features in float32: each adds an error of about 1e-6",
)


@gated.case(points=1)
def by_hand(draw):
    """one feature, one hidden unit: x = 2, gate −½, inner 3, outer ½"""
    number = [torch.tensor([[value]]) for value in (2.0, -0.5, 3.0, 0.5)]
    return dict(zip(("x", "w_gate", "w_inner", "w_outer"), number, strict=True))


@gated.case(points=1)
def one_word(draw):
    """one word of 6 features, 10 hidden units"""
    return matrices(draw, (6,), 6, 10)


@gated.case(points=1)
def a_batch(draw):
    """a batch of two sentences of four words"""
    return matrices(draw, (2, 4, 8), 8, 12)


def matrices(draw, shape, width, hidden):
    weights = {"w_gate": draw.normal(width, hidden), "w_inner": draw.normal(width, hidden)}
    return {"x": draw.normal(*shape) / 2, **weights, "w_outer": draw.normal(hidden, width) / hidden}


norms = FunctionQuestion(
    "normalise",
    returns=("output",),
    atol=2e-5,
    because="a mean, a square and a root in float32, on values of about 1: an error of some 1e-6",
)


@norms.case(points=1)
def by_hand(draw):
    """LayerNorm of (1, 2, 3, 6), without weights: mean 3, variance 3.5"""
    return norm_inputs(torch.tensor([1.0, 2.0, 3.0, 6.0]), "layer", torch.ones(4), torch.zeros(4), 0.0)


@norms.case(points=1)
def layer_with_weights(draw):
    """LayerNorm of two sentences, with weight, bias and a large eps"""
    return norm_inputs(2 * draw.normal(2, 3, 8) + 1, "layer", draw.normal(8), draw.normal(8), 0.5)


@norms.case(points=1)
def rms_with_weights(draw):
    """RMSNorm of two sentences, with weight and a large eps"""
    return norm_inputs(2 * draw.normal(2, 3, 8) + 1, "rms", draw.normal(8), draw.normal(8), 0.5)


@norms.case(points=1)
def refused(draw):
    """the kind "batch": a ValueError"""
    return norm_inputs(draw.normal(2, 4), "batch", torch.ones(4), torch.zeros(4), 1e-5)


def norm_inputs(x, kind, weight, bias, eps):
    return {"x": x, "kind": kind, "weight": weight, "bias": bias, "eps": eps}


backward = FunctionQuestion(
    "norm_backward",
    returns=("gradient",),
    atol=5e-5,
    because="differences of means in float32, wrong by some 1e-7, divided by a σ that may be as small as 0.02",
)


@backward.case(points=2)
def one_vector(draw):
    """one vector of 8 entries"""
    return {"x": draw.normal(8), "grad": draw.normal(8)}


@backward.case(points=1)
def a_batch(draw):
    """two sentences of three words, far from mean 0"""
    return {"x": 3 * draw.normal(2, 3, 6) + 5, "grad": draw.normal(2, 3, 6)}


@backward.case(points=1)
def useless_directions(draw):
    """a gradient that only asks for another mean and another length: nothing may be left of it"""
    x = 2 * draw.normal(4, 8)
    return {"x": x, "grad": 1.5 + 0.5 * (x - x.mean(-1, keepdim=True))}


@backward.case(points=1)
def another_size(draw):
    """the same small vector twice, the second ten times as large: a tenth of the gradient"""
    x, grad = draw.normal(1, 8), draw.normal(1, 8)
    return {"x": torch.cat([x / 20, x / 2]), "grad": grad.repeat(2, 1)}


@backward.invariant
def the_mean_is_left_alone(got, inputs):
    """the gradient at x must sum to 0: LayerNorm does not see the mean, so nothing is gained by changing it"""
    return bool((got.sum(-1).abs() < 1e-3).all())


@backward.invariant
def the_length_is_left_alone(got, inputs):
    """the gradient must be at right angles to the centred x: LayerNorm does not see its length"""
    centred = inputs["x"] - inputs["x"].mean(-1, keepdim=True)
    return bool(((got * centred).sum(-1).abs() < 1e-3).all())


from lmlib.course.questions import ClassQuestion
from lmlib.course.steps import call, load, new, read, steps

block = ClassQuestion(
    "FeedForward",
    atol=5e-5,
    because="a root and three products over up to 12 features in float32, one after the other",
)


def weights_of(draw, width, hidden):
    return {
        "norm.weight": 1 + draw.normal(width) / 4,
        "gate.weight": draw.normal(hidden, width) / 2,
        "inner.weight": draw.normal(hidden, width) / 2,
        "outer.weight": draw.normal(width, hidden) / 2,
    }


@block.case(points=1)
def when_new(draw):
    """a new module passes x on as it is; its four weights have the right shapes and first values"""
    made = new(width=5, hidden=7)
    shapes = [read(f"{name}.weight.shape") for name in ("norm", "gate", "inner", "outer")]
    drawn = [call(f"{name}.weight.any") for name in ("gate", "inner")]
    return steps(made, call("__call__", x=draw.normal(2, 3, 5)), *shapes, read("norm.weight"), *drawn)


@block.case(points=1)
def with_weights(draw):
    """weights set by the check, two sentences of three words"""
    return steps(new(width=6, hidden=9), load(weights_of(draw, 6, 9)), call("__call__", x=2 * draw.normal(2, 3, 6)))


@block.case(points=1)
def tiny_numbers(draw):
    """numbers so small that ε counts"""
    return steps(new(width=8, hidden=4), load(weights_of(draw, 8, 4)), call("__call__", x=draw.normal(4, 8) / 1000))


@block.case(points=1)
def nothing_kept(draw):
    """two calls in a row: the second one depends on nothing of the first"""
    x, other = draw.normal(3, 4), draw.normal(3, 4)
    both = (call("__call__", x=other), call("__call__", x=x))
    return steps(new(width=4, hidden=12), load(weights_of(draw, 4, 12)), *both, read("norm.weight"))


counting = ValueQuestion()
counting.number("parameters", points=1, title="the number of parameters")
counting.number("gradient", points=1, title="the derivative through ten layers")
counting.number("directions", points=1, title="the rank of the Jacobian")
counting.choice("reason", "abcd", points=1, title="the reason for warm-up")
