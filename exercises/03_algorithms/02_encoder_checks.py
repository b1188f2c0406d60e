"""The checks of 03_algorithms/02_encoder: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

embed = FunctionQuestion(
    "embed",
    returns=("x",),
    atol=1e-4,
    because="angles of up to 60 radians in float32 are exact to some 4e-6, and so are their sines",
)


@embed.case(points=1)
def by_hand(draw):
    """one sentence of two tokens, C = 4, a table that can be read"""
    return {"ids": torch.tensor([[2, 0]]), "table": torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 2.0]])}


@embed.case(points=2)
def batch(draw):
    """a batch of three sentences, C = 12"""
    return {"ids": draw.order(15).view(3, 5), "table": draw.normal(20, 12)}


@embed.case(points=1)
def long_sentence(draw):
    """a sentence of 60 tokens, C = 16: fast and slow waves"""
    return {"ids": draw.order(60).view(1, 60), "table": draw.normal(60, 16)}


norm = FunctionQuestion(
    "add_and_norm",
    returns=("y",),
    atol=1e-4,
    because="float32, and a division by a small deviation, which makes rounding larger",
)


@norm.case(points=1)
def on_paper(draw):
    """one vector of four numbers, gain 1 and shift 0: do it on paper"""
    x, h = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), torch.tensor([[[0.0, 0.0, 0.0, 2.0]]])
    return {"x": x, "h": h, "gain": torch.ones(4), "shift": torch.zeros(4), "eps": 1e-5}


@norm.case(points=2)
def two_sentences(draw):
    """two sentences, with gain and shift"""
    x, h = 3 * draw.normal(2, 5, 8) + 1, draw.normal(2, 5, 8)
    return {"x": x, "h": h, "gain": draw.normal(8), "shift": draw.normal(8), "eps": 1e-5}


@norm.case(points=1)
def nearly_constant(draw):
    """vectors whose numbers hardly differ: here eps matters"""
    x, h = 0.1 * draw.normal(2, 3, 8), 0.1 * draw.normal(2, 3, 8)
    return {"x": x, "h": h, "gain": 1 + draw.normal(8), "shift": draw.normal(8), "eps": 0.05}


layer = FunctionQuestion(
    "encoder_layer",
    returns=("y",),
    atol=1e-4,
    because="two sublayers in float32; sums of up to 24 products of values of about 1, then a division by a deviation",
)


def sentences(draw, real, norm_first):
    mask = torch.tensor(real, dtype=torch.bool)
    size = {"w_query": (12, 12), "w_key": (12, 12), "w_value": (12, 12), "w_output": (12, 12)}
    size |= {"w_inner": (12, 24), "w_outer": (24, 12)}
    weights = {name: draw.normal(*shape) / shape[0] ** 0.5 for name, shape in size.items()}
    return {"x": draw.normal(*mask.shape, 12), "real": mask, **weights, "n_heads": 3, "norm_first": norm_first}


@layer.case(points=1)
def post_norm(draw):
    """post-norm, no padding"""
    return sentences(draw, [[1] * 5, [1] * 5], norm_first=False)


@layer.case(points=1)
def pre_norm(draw):
    """pre-norm, no padding"""
    return sentences(draw, [[1] * 4, [1] * 4], norm_first=True)


@layer.case(points=2)
def padded(draw):
    """post-norm, the second sentence is padded"""
    return sentences(draw, [[1] * 5, [1, 1, 0, 0, 0]], norm_first=False)


@layer.case(points=1)
def pre_norm_padded(draw):
    """pre-norm, the second sentence is padded"""
    return sentences(draw, [[1] * 4, [1, 1, 1, 0]], norm_first=True)


@layer.invariant
def post_norm_is_normalised(got, inputs):
    """after a post-norm layer every vector must have mean 0"""
    return inputs["norm_first"] or bool(got.mean(-1).abs().max() < 1e-4)


reasons = ValueQuestion()
reasons.choice("where", "abcd", points=1, title="where words meet")
reasons.number("parameters", points=1, title="the number of parameters")
reasons.number("weights", points=1, title="the number of attention weights")
reasons.number("length", points=1, title="the length of a position vector")
