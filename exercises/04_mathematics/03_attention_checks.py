"""The checks of 04_mathematics/03_attention: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

backward = FunctionQuestion(
    "attention_backward",
    returns=("by_query", "by_key", "by_value"),
    atol=1e-4,
    because="three products of float32 matrices with sums of at most 9 terms",
)


def drawn(draw, batch, length, width, width_of_values, causal):
    query, key = draw.normal(batch, length, width), draw.normal(batch, length, width)
    value, arriving = draw.normal(batch, length, width_of_values), draw.normal(batch, length, width_of_values)
    return {"query": query, "key": key, "value": value, "arriving": arriving, "causal": causal}


@backward.case(points=1)
def equal_scores(draw):
    """two positions with equal scores, the same in both sequences: the weights are 1/2 and 1/2, and D = 9"""
    query, key = torch.ones(1, 2, 9), torch.eye(9)[None, :2]
    value, arriving = torch.tensor([[[1.0, 0.0, 2.0, 3.0], [5.0, 1.0, 0.0, 2.0]]]), torch.eye(4)[None, :2]
    one = {"query": query, "key": key, "value": value, "arriving": arriving}
    return {**{name: tensor.repeat(2, 1, 1) for name, tensor in one.items()}, "causal": False}


@backward.case(points=2)
def without_mask(draw):
    """a batch without a mask; values of another width"""
    return drawn(draw, 2, 5, 4, 6, causal=False)


@backward.case(points=3)
def with_mask(draw):
    """a batch with the causal mask"""
    return drawn(draw, 2, 6, 8, 5, causal=True)


@backward.invariant
def shift_of_keys(got, inputs):
    """one vector added to all keys changes nothing, so `by_key` must sum to 0 over the keys"""
    return bool((got[1].sum(1).abs() < 1e-3).all())


@backward.invariant
def first_sees_itself(got, inputs):
    """a causal first position sees itself alone, with weight 1 whatever its query is: its `by_query` must be 0"""
    return not inputs["causal"] or bool((got[0][:, 0].abs() < 1e-4).all())


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
