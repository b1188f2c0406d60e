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
    "sublayer_backward",
    returns=("by_x", "by_weight"),
    atol=5e-5,
    because="a product over up to 8 features, means and sums over up to 24 words in float32, wrong by some 1e-6; the"
    " division by a ρ of 0.1 or more makes it ten times that at most",
)


@backward.case(points=1)
def by_hand(draw):
    """one word, C = 2: x = (2, 4) and ε = 6, so ρ = 4; γ = (2, ½), W = ((1, 2), (0, 1)), and (4, 8) arrives"""
    numbers = {"x": [[2.0, 4.0]], "weight": [2.0, 0.5], "matrix": [[1.0, 2.0], [0.0, 1.0]], "arriving": [[4.0, 8.0]]}
    return {"eps": 6.0, **{name: torch.tensor(values) for name, values in numbers.items()}}


@backward.case(points=1)
def a_batch(draw):
    """two sentences of three words, the mean of x is not 0; γ is 1, as in a new norm, and ε = 10⁻⁶"""
    return sublayer_inputs(draw, 2 * draw.normal(2, 3, 5) + 1, torch.ones(5), 1e-6)


@backward.case(points=1)
def far_weight(draw):
    """three leading dimensions; γ is far from 1, with both signs"""
    return sublayer_inputs(draw, 2 * draw.normal(2, 3, 4, 6), 4 * draw.normal(6), 1e-6)


@backward.case(points=2)
def small_beside_eps(draw):
    """five words, √ε = 0.1: the first is 0, the next three are small beside √ε, the last is larger"""
    sizes = torch.tensor([0.0, 0.01, 0.02, 0.05, 0.3])
    return sublayer_inputs(draw, sizes[:, None] * draw.normal(5, 8), 1 + draw.normal(8), 0.01)


def sublayer_inputs(draw, x, weight, eps):
    matrix = draw.normal(x.size(-1), x.size(-1)) / 2
    return {"x": x, "weight": weight, "matrix": matrix, "eps": eps, "arriving": draw.normal(*x.shape)}


@backward.invariant
def the_branch_is_linear_in_the_weight(got, inputs):
    """yW is linear in γ, so γ · by_weight must be the sum of yW ⊙ g over all words"""
    expected = (branch(inputs) * inputs["arriving"]).sum()
    return bool((got[1] @ inputs["weight"] - expected).abs() < 1e-3 * (1 + expected.abs()))


@backward.invariant
def the_length_hardly_counts(got, inputs):
    """stretching x moves y by the share ε/ρ² alone: without the path past the norm, x · by_x is that share of yW · g"""
    share = inputs["eps"] / (inputs["x"].square().mean(-1) + inputs["eps"])
    expected = share * (branch(inputs) * inputs["arriving"]).sum(-1)
    along = (inputs["x"] * (got[0] - inputs["arriving"])).sum(-1)
    return bool(((along - expected).abs() < 1e-3).all())


def branch(inputs):
    x, weight = inputs["x"], inputs["weight"]
    return torch.nn.functional.rms_norm(x, weight.shape, weight, inputs["eps"]) @ inputs["matrix"]


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
