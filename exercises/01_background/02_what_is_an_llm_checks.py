"""The checks of 01_background/02_what_is_an_llm: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

count = FunctionQuestion(
    "count_parameters",
    returns=("parameters",),
    atol=1e-12,
    because="whole numbers are equal or not",
)


def sizes(vocab_size, positions, width, layers, d_ff, tied):
    return {
        "vocab_size": vocab_size,
        "positions": positions,
        "width": width,
        "layers": layers,
        "d_ff": d_ff,
        "tied": tied,
    }


@count.case(points=1)
def tiny(draw):
    """a model small enough for paper: V = 10, P = 6, C = 4, L = 1, F = 16, tied"""
    return sizes(10, 6, 4, 1, 16, True)


@count.case(points=2)
def two_blocks(draw):
    """two blocks, and F that is not 4C"""
    return sizes(30, 8, 3, 2, 7, True)


@count.case(points=2)
def untied(draw):
    """drawn sizes, and an output layer of its own"""
    width, d_ff, layers = (int(n) + 2 for n in draw.order(4)[:3])
    return sizes(20 + d_ff, 9, width, layers, d_ff, False)


@count.invariant
def is_int(got, inputs):
    """the result must be an int, without a decimal point: 316, not 316.0"""
    return isinstance(got, int)


@count.invariant
def positive(got, inputs):
    """a number of parameters is above 0"""
    return got > 0


cost = FunctionQuestion(
    "training_cost",
    returns=("operations",),
    atol=1e-6,
    because="the result is compared by its relative error; a product of seven factors in float32 keeps six digits",
)


@cost.case(points=1)
def plain(draw):
    """a BERT: 85 million parameters in the blocks, 256 sequences of 512, 1 million steps"""
    return {
        "stored": 85e6,
        "repeats": 1,
        "encoder_decoder": False,
        "batch": 256,
        "length": 512,
        "steps": 1_000_000,
    }


@cost.case(points=1)
def shared(draw):
    """one small layer that is applied 12 times"""
    return {"stored": 7.0, "repeats": 12, "encoder_decoder": False, "batch": 2, "length": 3, "steps": 4}


@cost.case(points=2)
def halves(draw):
    """an encoder-decoder with drawn sizes, whose blocks are applied three times"""
    a, b, c = (int(n) + 2 for n in draw.order(60)[:3])
    return {
        "stored": 2.0 * a + 1,
        "repeats": 3,
        "encoder_decoder": True,
        "batch": b,
        "length": 64,
        "steps": 1000 * c,
    }


@cost.invariant
def some(got, inputs):
    """training costs something"""
    return got > 0


fit = FunctionQuestion(
    "plan",
    returns=("to_use", "to_train", "days"),
    atol=1e-6,
    because="whole numbers, and one quotient, of which float32 keeps six digits",
)


@fit.case(points=1)
def gpt3(draw):
    """GPT-3 on 1,024 cards of 80 GB and 312e12 operations a second, of which 40 % are reached"""
    return {"n": 175e9, "tokens": 300e9, "n_gpus": 1024, "memory": 80e9, "speed": 312e12, "reached": 0.4}


@fit.case(points=2)
def own(draw):
    """a model and a machine of drawn sizes"""
    a, b, c, d = (int(x) + 1 for x in draw.order(50)[:4])
    n = (a + 20) * 1.3e8 + 5e6  # no whole number of cards, so that no rounding error decides
    return {"n": n, "tokens": b * 1e9, "n_gpus": c, "memory": 4e9, "speed": d * 1e12, "reached": 0.35}


@fit.case(points=1)
def one_card(draw):
    """one card of 24 GB, and a model of drawn size that it cannot hold"""
    n = (int(draw.order(20)[0]) + 13) * 1e9 + 2.5e8
    return {"n": n, "tokens": 1e9, "n_gpus": 1, "memory": 24e9, "speed": 1e14, "reached": 0.5}


@fit.invariant
def training_needs_more(got, inputs):
    """training needs at least as many cards as use, and use at least one"""
    return 1 <= got[0] <= got[1]


reading = ValueQuestion()
reading.number("layers", points=1, title="the number of blocks")
reading.number("factor", points=1, title="the factor of the cost")
reading.choice("large", "abcd", points=2, title="why ALBERT-xxlarge is large")
