"""The checks of 02_core_concepts/03_transformer: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

sublayer = FunctionQuestion(
    "sublayer",
    returns=("y",),
    atol=2e-5,
    because="two matrix products of up to 16 terms in float32, on values of about 1",
)


def states(draw, norm_first, spread=1.0):
    return {
        "x": spread * (draw.normal(2, 3, 8) + 0.5),
        "w_in": draw.normal(8, 16) / 3,
        "w_out": draw.normal(16, 8) / 4,
        "gain": 1 + 0.3 * draw.normal(8),
        "shift": 0.3 * draw.normal(8),
        "norm_first": norm_first,
    }


@sublayer.case(points=2)
def post_norm(draw):
    """post-norm"""
    return states(draw, norm_first=False)


@sublayer.case(points=2)
def pre_norm(draw):
    """pre-norm"""
    return states(draw, norm_first=True)


@sublayer.case(points=1)
def nearly_equal_features(draw):
    """pre-norm, states whose features hardly differ: the small number under the root matters"""
    return states(draw, norm_first=True, spread=0.003)


count = FunctionQuestion(
    "count_parameters",
    returns=("parameters",),
    atol=1e-9,
    because="whole numbers are exact",
)


def sizes(draw, n_encoder, n_decoder):
    vocabulary, c, f = (draw.order(6)[:3] + 3).tolist()  # three different sizes, small: a missing vector shows
    return {"vocabulary": vocabulary, "c": c, "f": f, "n_encoder": n_encoder, "n_decoder": n_decoder}


@count.case(points=1)
def embedding_only(draw):
    """no block at all"""
    return sizes(draw, 0, 0)


@count.case(points=1)
def encoder_only(draw):
    """one encoder block"""
    return sizes(draw, 1, 0)


@count.case(points=1)
def decoder_only(draw):
    """one decoder block"""
    return sizes(draw, 0, 1)


@count.case(points=1)
def uneven(draw):
    """three encoder blocks and two decoder blocks"""
    return sizes(draw, 3, 2)


@count.invariant
def positive(got, inputs):
    """a number of parameters is an int above 0: use `//` or `int(...)` where a float comes out"""
    return isinstance(got, int) and got > 0


teacher = FunctionQuestion(
    "decoder_batch",
    returns=("inputs", "labels"),
    atol=1e-9,
    because="tokens are exact",
)


def padded(draw, lengths, pad):
    width = max(lengths)
    tokens = torch.stack([draw.order(20)[:width] + 5 for _ in lengths])
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return {"target": tokens.masked_fill(~mask, pad), "start": 1, "stop": 2, "pad": pad}


@teacher.case(points=1)
def no_padding(draw):
    """two targets of four tokens"""
    return padded(draw, [4, 4], pad=0)


@teacher.case(points=2)
def with_padding(draw):
    """targets of 5, 2 and 3 tokens"""
    return padded(draw, [5, 2, 3], pad=0)


@teacher.case(points=1)
def other_pad(draw):
    """padding with a number that is larger than all tokens, and an empty target"""
    return padded(draw, [3, 0, 1], pad=30)


diagnosis = ValueQuestion()
diagnosis.number("weights", points=1, title="a: the weights of the cross-attention")
diagnosis.number("share", points=1, title="b: the share of the feed-forward network")
diagnosis.choice("first", "abcd", points=1, title="c: the first colleague")
diagnosis.choice("second", "abcd", points=1, title="c: the second colleague")
