"""The checks of 04_mathematics/04_positions: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

clock = FunctionQuestion(
    "clock",
    returns=("table",),
    atol=1e-4,
    because="angles up to about 100 have an absolute error of about 1e-5 in float32, and sin and cos hand it on",
)


@clock.case(points=1)
def by_hand(draw):
    """places 0 and 3, four entries, base 100: rates 1 and 0.1"""
    return {"places": torch.tensor([0.0, 3.0]), "d_model": 4, "base": 100.0}


@clock.case(points=1)
def a_wide_table(draw):
    """twelve places in a row, 16 entries, base 10000"""
    return {"places": torch.arange(12.0), "d_model": 16, "base": 10_000.0}


@clock.case(points=1)
def any_places(draw):
    """places that are not whole numbers, in any order, some negative"""
    return {"places": 20 * draw.normal(7), "d_model": 8, "base": 500.0}


@clock.case(points=1)
def refused(draw):
    """an odd width: a ValueError"""
    return {"places": torch.arange(3.0), "d_model": 1, "base": 10_000.0}


@clock.invariant
def rows_are_equally_long(got, inputs):
    """each pair is a point on the unit circle, so each row must have the length √(C/2)"""
    return torch.allclose(
        got.norm(dim=1), torch.full((len(got),), (got.size(1) / 2) ** 0.5, dtype=got.dtype), atol=1e-4
    )


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
