"""The checks of 04_mathematics/04_positions: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

distances = FunctionQuestion(
    "alibi_attention",
    returns=("output", "weights"),
    atol=1e-5,
    because="scores of up to about 5 carry an error of 1e-6 in float32, and a weight changes by that part of itself",
)


@distances.case(points=1)
def by_hand(draw):
    """two heads, three places: the last weights are 1/6, 2/6, 3/6 and 3/6, 1/6, 2/6"""
    query = torch.tensor([2.0, 0.0, 0.0, 0.0]).repeat(2, 3, 1)
    parts = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])
    key = torch.tensor([[0.0, -1.0, 1.0, 2.0], [0.0, 3.0, 0.0, -2.0], [0.0, 1.0, 1.0, 0.0]]).repeat(2, 1, 1)
    key[..., 0] = parts.log() - torch.tensor([[0.0, 1 / 16, 2 / 16], [0.0, 1 / 256, 2 / 256]])
    value = torch.tensor([[[6.0, 0.0], [0.0, 6.0], [12.0, 0.0]], [[0.0, 6.0], [12.0, 0.0], [6.0, 6.0]]])
    return {"query": query, "key": key, "value": value}


@distances.case(points=1)
def a_sequence(draw):
    """a whole sequence of six, four heads"""
    return {"query": draw.normal(4, 6, 8), "key": draw.normal(4, 6, 8), "value": draw.normal(4, 6, 5)}


@distances.case(points=1)
def a_cache(draw):
    """the last three of nine places, two heads"""
    return {"query": draw.normal(2, 3, 5), "key": draw.normal(2, 9, 5), "value": draw.normal(2, 9, 4)}


@distances.case(points=1)
def equal_words(draw):
    """one new query and twelve equal keys, eight heads: the weights differ by the penalty alone"""
    key = draw.normal(8, 1, 6).repeat(1, 12, 1)
    return {"query": draw.normal(8, 1, 6), "key": key, "value": draw.normal(8, 12, 3)}


@distances.invariant
def rows_sum_to_one(got, inputs):
    """each row of the weights, one for each query, must sum to 1"""
    sums = got[1].sum(-1)
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-5)


@distances.invariant
def each_sees_one_more(got, inputs):
    """the last query must see all places, and each other query one place less than the query after it"""
    seen = (got[1] > 1e-9).sum(-1)  # (H, T)
    return bool((seen[:, -1] == got[1].size(-1)).all() and (seen.diff(dim=1) == 1).all())


@distances.invariant
def nearer_weighs_more(got, inputs):
    """over equal keys a nearer place must weigh more than a farther one, in each head by a smaller factor"""
    key = inputs["key"]
    steps = got[1][:, -1].log().diff(dim=1)  # (H, S-1): one place nearer
    return not torch.equal(key, key[:, :1].expand_as(key)) or bool((steps > 0).all() and (steps.diff(dim=0) < 0).all())


shift = FunctionQuestion(
    "shift_matrix",
    returns=("matrix",),
    atol=1e-5,
    because="each entry is one sine or cosine of an angle below 50, rounded to float32",
)


@shift.case(points=1)
def one_pair(draw):
    """one pair, one place forward: a rotation by 1 radian"""
    return {"k": 1.0, "d_model": 2, "base": 10_000.0}


@shift.case(points=2)
def several_pairs(draw):
    """three pairs, five places forward, base 50"""
    return {"k": 5.0, "d_model": 6, "base": 50.0}


@shift.case(points=1)
def backwards(draw):
    """a drawn number of places back"""
    return {"k": -float(1 + 10 * draw.normal(1).abs().item()), "d_model": 8, "base": 10_000.0}


@shift.invariant
def it_is_a_rotation(got, inputs):
    """M must be a rotation: its transpose times M is the unit matrix"""
    return torch.allclose(got.T @ got, torch.eye(len(got), dtype=got.dtype), atol=1e-5)


rotary = FunctionQuestion(
    "rotary_scores",
    returns=("scores",),
    atol=1e-4,
    because="angles up to about 100 carry an error of 1e-5 in float32, and a score sums up to 8 such products",
)


@rotary.case(points=1)
def place_zero(draw):
    """all at place 0: the scores of plain attention"""
    return {"query": draw.normal(3, 4), "key": draw.normal(5, 4), **at([0.0] * 3, [0.0] * 5)}


@rotary.case(points=2)
def a_sequence(draw):
    """a sequence of six, places 0 to 5"""
    return {"query": draw.normal(6, 8), "key": draw.normal(6, 8), **at(range(6), range(6))}


@rotary.case(points=1)
def moved(draw):
    """one query and one key, twice: at places 7 and 3, and 60 places further"""
    query, key = draw.normal(1, 6).repeat(2, 1), draw.normal(1, 6).repeat(2, 1)
    return {"query": query, "key": key, **at([7, 67], [3, 63])}


@rotary.case(points=1)
def a_cache(draw):
    """one new query at place 9 and ten keys at places 0 to 9, another base"""
    return {"query": draw.normal(1, 8), "key": draw.normal(10, 8), **at([9], range(10)), "base": 50.0}


def at(query_places, key_places):
    both = {"query_places": query_places, "key_places": key_places}
    return {**{name: torch.tensor([float(p) for p in places]) for name, places in both.items()}, "base": 10_000.0}


@rotary.invariant
def only_the_distance_counts(got, inputs):
    """the same query and key at the same distance must have the same score, wherever they stand"""
    same = len(inputs["query"]) == 2 and torch.equal(inputs["query"][0], inputs["query"][1])
    return not same or torch.allclose(got[0, 0], got[1, 1], atol=1e-3)


reading = ValueQuestion()
reading.number("period", points=1, title="the period of the slower hand")
reading.number("product", points=1, title="the product of a place with itself")
reading.choice("beyond", "abcd", points=1, title="beyond the trained length")
