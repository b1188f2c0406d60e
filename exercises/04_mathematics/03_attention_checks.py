"""The checks of 04_mathematics/03_attention: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

backward = FunctionQuestion(
    "attention_backward",
    returns=("by_query", "by_key", "by_value"),
    atol=1e-4,
    because="three products of float32 matrices with sums of at most 15 terms",
)


def drawn(draw, heads, shared, queries, positions, width, width_of_values):
    query, key = draw.normal(heads, queries, width), draw.normal(shared, positions, width)
    value, arriving = draw.normal(shared, positions, width_of_values), draw.normal(heads, queries, width_of_values)
    return {"query": query, "key": key, "value": value, "arriving": arriving}


@backward.case(points=1)
def equal_scores(draw):
    """one new query after one old position, two heads with a shared key: all weights are 1/2, and D = 9"""
    query = torch.ones(2, 1, 9) * torch.tensor([1.0, 2.0])[:, None, None]
    value, arriving = (
        torch.tensor([[[1.0, 0.0, 2.0, 3.0], [5.0, 1.0, 5.0, 2.0]]]),
        torch.eye(4)[draw.order(4)[:2], None],
    )
    return {"query": query, "key": torch.eye(9)[None, :2], "value": value, "arriving": arriving}


@backward.case(points=1)
def own_keys(draw):
    """each of three heads has its own keys, and T = S"""
    return drawn(draw, 3, 3, 5, 5, 8, 6)


@backward.case(points=2)
def groups(draw):
    """six heads in two groups, and T = S"""
    return drawn(draw, 6, 2, 5, 5, 4, 7)


@backward.case(points=2)
def newest(draw):
    """eight heads in four groups; the queries are the last 3 of 7 positions"""
    return drawn(draw, 8, 4, 3, 7, 6, 5)


@backward.invariant
def shift_of_keys(got, inputs):
    """one vector added to all keys of a head changes nothing, so `by_key` must sum to 0 over the positions"""
    return bool((got[1].sum(1).abs() < 1e-3).all())


@backward.invariant
def first_sees_itself(got, inputs):
    """where T = S the first query sees itself alone, with weight 1 whatever it is: its `by_query` must be 0"""
    return inputs["query"].size(1) < inputs["key"].size(1) or bool((got[0][:, 0].abs() < 1e-4).all())


@backward.invariant
def shift_of_values(got, inputs):
    """the weights of a query sum to 1: `by_value` over all heads and positions must sum to the sum of `arriving`"""
    return bool((got[2].sum((0, 1)) - inputs["arriving"].sum((0, 1))).abs().max() < 1e-3)


heads = FunctionQuestion(
    "sum_of_heads",
    returns=("qk", "ov", "each"),
    atol=1e-4,
    because="products of float32 matrices with sums of up to 12 terms",
)


def layer(draw, length, width, n_heads):
    weights = (draw.normal(width, width) / width**0.5 for _ in range(4))
    names = ("w_query", "w_key", "w_value", "w_out")
    return {"x": draw.normal(length, width), **dict(zip(names, weights, strict=True)), "n_heads": n_heads}


@heads.case(points=1)
def one_head(draw):
    """one head"""
    return layer(draw, 4, 6, 1)


@heads.case(points=2)
def three_heads(draw):
    """three heads of four features"""
    return layer(draw, 5, 12, 3)


@heads.case(points=2)
def narrow_heads(draw):
    """four heads of two features"""
    return layer(draw, 3, 8, 4)


@heads.invariant
def low_rank(got, inputs):
    """a head's matrices cannot have a higher rank than D"""
    D = inputs["x"].size(1) // inputs["n_heads"]
    ranks = torch.linalg.matrix_rank(torch.cat([got[0], got[1]]).double(), rtol=1e-4)
    return bool((ranks <= D).all())


numbers = ValueQuestion()
numbers.number("crossover", points=1, title="where both parts are equal")
numbers.number("growth", points=1, title="twice the length")
numbers.number("rank", points=1, title="the rank of W_QK")
numbers.number("slope", points=1, title="a saturated softmax")
numbers.choice("bias", "abcd", points=1, title="a bias on the keys")
