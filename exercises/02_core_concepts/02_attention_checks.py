"""The checks of 02_core_concepts/02_attention: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

scores = FunctionQuestion(
    "attention",
    returns=("output", "weights"),
    atol=1e-5,
    because="float32 carries 7 digits, and sums of up to 8 products of values of about 1 lose less than one of them",
)


@scores.case(points=1)
def by_hand(draw):
    """two queries and three keys, with numbers that can be worked out on paper"""
    query = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 4.0, 0.0, 0.0]])
    key = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    value = torch.tensor([[1.0, 0.0, 0.0, 2.0, 3.0], [0.0, 1.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 2.0, 2.0]])
    return {"query": query, "key": key, "value": value}


@scores.case(points=2)
def batch_and_heads(draw):
    """a batch with heads: 4 queries, 5 keys, values of another width than the keys"""
    return {"query": draw.normal(2, 3, 4, 8), "key": draw.normal(2, 3, 5, 8), "value": draw.normal(2, 3, 5, 6)}


@scores.case(points=1)
def large_scores(draw):
    """scores above 100 and below -100: in float32 exp alone gives inf and 0"""
    query = torch.tensor([[10.0, 1.0, 0.0, 0.0], [-20.0, 0.0, 2.0, 0.0]])
    key = torch.tensor([[20.0, 4.0, 0.0, 1.0], [20.0, 2.0, 2.0, 0.0], [20.0, 0.0, 1.0, 3.0]])
    return {"query": query, "key": key, "value": draw.normal(3, 4)}


@scores.invariant
def rows_sum_to_one(got, inputs):
    """each row of the weights, one for each query, must sum to 1"""
    sums = got[1].sum(-1)
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-5)


@scores.invariant
def no_negative_weights(got, inputs):
    """no weight may be negative"""
    return bool((got[1] >= 0).all())


@scores.invariant
def output_between_values(got, inputs):
    """an output is a mean of values, so it cannot lie outside their smallest and largest"""
    low, high = inputs["value"].amin(-2, keepdim=True), inputs["value"].amax(-2, keepdim=True)
    return bool(((got[0] >= low - 1e-5) & (got[0] <= high + 1e-5)).all())


masks = FunctionQuestion(
    "masked_attention",
    returns=("output", "weights"),
    atol=1e-5,
    because="as for the scores: sums of up to 8 products in float32",
)


def sequences(draw, attention_mask, causal):
    mask = torch.tensor(attention_mask, dtype=torch.bool)  # (B, T)
    query, key, value = (draw.normal(*mask.shape, 8) for _ in range(3))
    return {"query": query, "key": key, "value": value, "attention_mask": mask, "causal": causal}


def allowed_keys(inputs):
    mask = inputs["attention_mask"][:, None, :]  # (B, 1, T)
    length = mask.size(-1)
    return mask & (torch.ones(length, length, dtype=torch.bool).tril() if inputs["causal"] else mask)


@masks.case(points=1)
def future_hidden(draw):
    """causal, no padding: two sequences with the same beginning and different ends, and a query of zeros in each"""
    inputs = sequences(draw, [[1] * 5, [1] * 5], causal=True)
    for name in ("query", "key", "value"):
        inputs[name][1, :3] = inputs[name][0, :3]
    inputs["query"][:, 1] = 0
    return inputs


@masks.case(points=1)
def padding_hidden(draw):
    """padding on the right, not causal, and a query of zeros"""
    inputs = sequences(draw, [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], causal=False)
    inputs["query"][0, 0] = 0
    return inputs


@masks.case(points=1)
def both_hidden(draw):
    """padding on the right, and causal"""
    return sequences(draw, [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], causal=True)


@masks.case(points=2)
def nothing_to_attend(draw):
    """rows with nothing to attend to: padding on the left and causal, and a sequence of padding only"""
    return sequences(draw, [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], causal=True)


@masks.invariant
def forbidden_weights_are_zero(got, inputs):
    """a weight is not 0 though its key is padding, or lies in the future of a causal query"""
    return bool((got[1].masked_fill(allowed_keys(inputs), 0.0) == 0).all())


@masks.invariant
def rows_sum_to_one_or_zero(got, inputs):
    """a row of the weights must sum to 1, or to 0 where every key is forbidden"""
    expected = allowed_keys(inputs).expand_as(got[1]).any(-1).to(got[1].dtype)
    return torch.allclose(got[1].sum(-1), expected, atol=1e-5)


@masks.invariant
def the_past_stays(got, inputs):
    """two causal sequences with the same beginning differ there: the future changes the past"""
    same = inputs["causal"] & (inputs["query"][0] == inputs["query"][1]).all(-1)  # (T)
    return torch.allclose(got[0][0][same], got[0][1][same], atol=1e-5)


heads = FunctionQuestion(
    "multi_head_attention",
    returns=("output",),
    atol=2e-5,
    because="three products in a row over 8 to 12 features in float32: each adds an error of about 1e-6",
)


def layer(draw, batch, length, width, n_heads):
    inputs = {"x": draw.normal(batch, length, width)}
    for name in ("w_query", "w_key", "w_value", "w_output"):
        inputs[name] = draw.normal(width, width) / width**0.5
    return {**inputs, "n_heads": n_heads}


@heads.case(points=1)
def one_head(draw):
    """a single head: attention, and a projection before and after"""
    return layer(draw, batch=1, length=4, width=8, n_heads=1)


@heads.case(points=2)
def several_heads(draw):
    """two heads, four positions, eight features"""
    return layer(draw, batch=1, length=4, width=8, n_heads=2)


@heads.case(points=1)
def batch(draw):
    """three heads and a batch, in which the first and the last sequence are equal"""
    inputs = layer(draw, batch=3, length=5, width=12, n_heads=3)
    inputs["x"][2] = inputs["x"][0]
    return inputs


@heads.case(points=1)
def refused(draw):
    """8 features and 3 heads: a ValueError"""
    return layer(draw, batch=1, length=4, width=8, n_heads=3)


@heads.invariant
def sequences_do_not_mix(got, inputs):
    """two equal sequences of a batch must give equal outputs, whatever stands between them"""
    return not torch.equal(inputs["x"][0], inputs["x"][-1]) or torch.allclose(got[0], got[-1], atol=1e-5)


permutation = FunctionQuestion(
    "permutation_test",
    returns=("gap", "equivariant"),
    atol=1e-5,
    because="a gap that is only rounding in float32 is some 1e-7; a real one is above 0.1",
)


def shuffled(draw, kind):
    return {"kind": kind, "x": draw.normal(6, 6), "order": torch.tensor([3, 0, 5, 1, 2, 4])}


@permutation.case(points=1)
def plain(draw):
    """plain self-attention"""
    return shuffled(draw, "plain")


def with_positions(x):
    places, features = (torch.arange(size, dtype=x.dtype) for size in x.shape)
    x = (x + torch.sin(places[:, None] / 10 ** (features / x.size(1))))[None]
    return torch.nn.functional.scaled_dot_product_attention(x, x, x)[0]


@permutation.case(points=0.5)
def positions(draw):
    """self-attention with positions added"""
    inputs = shuffled(draw, "positions")
    x, order = inputs["x"], inputs["order"]
    difference = with_positions(x[order]) - with_positions(x)[order]
    if difference.max() < -difference.min():
        return inputs
    return {**inputs, "x": x[order], "order": order.argsort()}  # back again: the same differences with the other sign


def exchanged(draw, sign):
    """The first two tokens exchanged. All differences of the outputs have one sign: without `abs` they are lost."""
    inputs = shuffled(draw, "causal")
    inputs["x"][1] = inputs["x"][0] + sign * (1 + draw.normal(6).abs())
    return {**inputs, "order": torch.tensor([1, 0, 2, 3, 4, 5])}


@permutation.case(points=0.5)
def causal_smaller(draw):
    """causal self-attention, the first two tokens exchanged; the second has smaller features"""
    return exchanged(draw, -1)


@permutation.case(points=0.5)
def causal_larger(draw):
    """causal self-attention, the first two tokens exchanged; the second has larger features"""
    return exchanged(draw, 1)


@permutation.case(points=0.5)
def nothing_shuffled(draw):
    """causal self-attention, and an order that changes nothing"""
    return {**shuffled(draw, "causal"), "order": torch.arange(6)}


@permutation.invariant
def gap_is_a_distance(got, inputs):
    """a largest absolute difference cannot be negative"""
    return got[0] >= 0


scale = ValueQuestion()
scale.choice("reason", "abcd", points=1, title="the reason")
scale.number("variance", points=1, title="the variance of the dot product")
scale.number("deviation", points=1, title="the standard deviation of the score")
