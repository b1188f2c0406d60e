"""The checks of 03_algorithms/03_decoder: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

forcing = FunctionQuestion(
    "teacher_forcing",
    returns=("inputs", "loss"),
    atol=1e-5,
    because="a mean of at most 15 logarithms in float32; the inputs are whole numbers and must be equal",
)


@forcing.case(points=1)
def one_sentence(draw):
    """one sentence, no padding"""
    return {"labels": torch.tensor([[5, 7, 4, 2]]), "logits": draw.normal(1, 4, 9), "start": 1, "pad": 0}


@forcing.case(points=2)
def padded(draw):
    """three sentences of different lengths"""
    labels = torch.tensor([[5, 7, 2, -100, -100], [6, 3, 8, 4, 2], [4, 2, -100, -100, -100]])
    return {"labels": labels, "logits": 2 * draw.normal(3, 5, 9), "start": 1, "pad": 0}


@forcing.case(points=1)
def other_ids(draw):
    """another start id, `pad` is the end token's id, and one long sentence beside a short one"""
    labels = torch.tensor([[1, 8, 6, 5, 3, 4], [1, 4, -100, -100, -100, -100]])
    return {"labels": labels, "logits": 2 * draw.normal(2, 6, 9), "start": 7, "pad": 4}


@forcing.invariant
def nothing_ignored_is_read(got, inputs):
    """a −100 is left in the input: the embedding has no row for it"""
    return bool((got[0] >= 0).all())


@forcing.invariant
def starts_with_start(got, inputs):
    """every row of the input must begin with the start token, and the labels follow one place later"""
    return bool((got[0][:, 0] == inputs["start"]).all())


layer = FunctionQuestion(
    "decoder_layer",
    returns=("y",),
    atol=1e-4,
    because="three sublayers in float32, each with a division by a deviation",
)


def translation(draw, n_batch, n_target, real):
    mask = torch.tensor(real, dtype=torch.bool)
    inputs = {"x": draw.normal(n_batch, n_target, 8), "memory": draw.normal(*mask.shape, 8), "memory_real": mask}
    weights = {"own": draw.normal(4, 8, 8), "other": draw.normal(4, 8, 8)}
    weights |= {"w_inner": draw.normal(8, 16), "w_outer": draw.normal(16, 8) / 2**0.5}
    return {**inputs, **{name: w / 8**0.5 for name, w in weights.items()}}


@layer.case(points=2)
def short_source(draw):
    """six target words, three source words, no padding"""
    return translation(draw, 2, 6, [[1, 1, 1], [1, 1, 1]])


@layer.case(points=2)
def padded_source(draw):
    """four target words, five source words, the second source is padded"""
    return translation(draw, 2, 4, [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])


@layer.case(points=1)
def same_beginning(draw):
    """two targets with the same source and the same first three words"""
    inputs = translation(draw, 2, 5, [[1, 1, 1, 1], [1, 1, 1, 1]])
    inputs["x"][1, :3], inputs["memory"][1] = inputs["x"][0, :3], inputs["memory"][0]
    return inputs


@layer.invariant
def result_is_normalised(got, inputs):
    """the last step is a norm: every vector of the result must have mean 0"""
    return bool(got.mean(-1).abs().max() < 1e-4)


@layer.invariant
def the_past_stays(got, inputs):
    """two targets with the same beginning and the same source differ there: the future changes the past"""
    same = (inputs["x"][0] == inputs["x"][1]).all(-1) & (inputs["memory"][0] == inputs["memory"][1]).all()
    return torch.allclose(got[0][same], got[1][same], atol=1e-4)


cache = FunctionQuestion(
    "cached_step",
    returns=("out", "keys", "values"),
    atol=1e-5,
    because="sums of up to 12 products of values of about 1 in float32",
)


def step(draw, n_batch, n_heads, n_past, d_head):
    width = n_heads * d_head
    past = {
        "keys": draw.normal(n_batch, n_heads, n_past, d_head),
        "values": draw.normal(n_batch, n_heads, n_past, d_head),
    }
    weights = {name: draw.normal(width, width) / width**0.5 for name in ("w_query", "w_key", "w_value")}
    return {"new": draw.normal(n_batch, width), **past, **weights}


@cache.case(points=2)
def after_four(draw):
    """two sentences, four places in the cache, two heads of 3"""
    return step(draw, 2, 2, 4, 3)


@cache.case(points=1)
def after_none(draw):
    """the first word: the cache is empty"""
    return step(draw, 2, 2, 0, 3)


@cache.case(points=2)
def after_seven(draw):
    """three sentences, seven places, four heads of 3"""
    return step(draw, 3, 4, 7, 3)


@cache.invariant
def one_place_longer(got, inputs):
    """the cache must begin with what was in it, unchanged"""
    length = inputs["keys"].size(2)
    return torch.equal(got[1][:, :, :length], inputs["keys"]) and torch.equal(got[2][:, :, :length], inputs["values"])


reading = ValueQuestion()
reading.choice("cause", "abcd", points=1, title="a loss that is too good")
reading.choice("why", "abcd", points=1, title="why a cache is allowed")
reading.number("places", points=1, title="places without a cache")
reading.number("numbers", points=1, title="numbers in the cache")
reading.number("whole", points=1, title="a whole sentence")
