"""The checks of 02_core_concepts/06_multimodal_fusion: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import math

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

late = FunctionQuestion(
    "similarities",
    returns=("cosines",),
    atol=1e-5,
    because="cosines carry 7 digits in float32",
)


def pictures(draw, counts, n, width):
    longest = max(counts)
    mask = torch.arange(longest) < torch.tensor(counts)[:, None]
    return {
        "regions": draw.normal(len(counts), longest, width) + 1,
        "region_mask": mask,
        "sentences": 3 * draw.normal(n, width),
    }


@late.case(points=1)
def all_real(draw):
    """three pictures of four regions each, two sentences"""
    return pictures(draw, [4, 4, 4], 2, 6)


@late.case(points=2)
def padded(draw):
    """pictures of one, three and five regions; padding is not zero"""
    return pictures(draw, [1, 3, 5], 4, 6)


@late.case(points=1)
def one_each(draw):
    """one picture and one sentence"""
    return pictures(draw, [2], 1, 3)


@late.invariant
def between_minus_one_and_one(got, inputs):
    """a cosine must lie between -1 and 1"""
    return bool((got.abs() <= 1 + 1e-5).all())


early = FunctionQuestion(
    "join",
    returns=("sequence", "mask"),
    atol=1e-5,
    because="sums of up to 6 products of values of about 1 in float32",
)


def elements(draw, n_words, n_regions, width):
    longest = max(n_words), max(n_regions)
    masks = [torch.arange(n) < torch.tensor(c)[:, None] for n, c in zip(longest, (n_words, n_regions), strict=True)]
    return {
        "words": draw.normal(len(n_words), longest[0], 4),
        "regions": draw.normal(len(n_words), longest[1], width),
        "project": draw.normal(width, 4),
        "kinds": draw.normal(2, 4),
        "word_mask": masks[0],
        "region_mask": masks[1],
    }


@early.case(points=1)
def same_width(draw):
    """three words and three regions, features as wide as words"""
    return elements(draw, [3, 3], [3, 3], 4)


@early.case(points=2)
def other_width(draw):
    """features of another width; sentences and pictures of different lengths"""
    return elements(draw, [5, 2, 3], [1, 4, 3], 6)


@early.case(points=1)
def one_region(draw):
    """a single region, as when the whole picture is one vector"""
    return elements(draw, [4], [1], 6)


cross = FunctionQuestion(
    "look",
    returns=("found", "weights"),
    atol=1e-5,
    because="sums of up to 8 products of values of about 1 in float32",
)


def asked(draw, counts, n_words, d=8):
    longest = max(max(counts), 1)
    return {
        "words": draw.normal(len(counts), n_words, 6),
        "regions": draw.normal(len(counts), longest, 5),
        "w_query": draw.normal(6, d) / 2,
        "w_key": draw.normal(5, d) / 2,
        "w_value": draw.normal(5, d) / 2,
        "region_mask": torch.arange(longest) < torch.tensor(counts)[:, None],
    }


@cross.case(points=2)
def all_regions(draw):
    """two pictures of four regions, three words"""
    return asked(draw, [4, 4], 3)


@cross.case(points=1)
def padded_regions(draw):
    """pictures of two, five and three regions, queries and keys of width 4"""
    return asked(draw, [2, 5, 3], 4, d=4)


@cross.case(points=2)
def missing_picture(draw):
    """pictures of four and of two regions, and one that is missing"""
    return asked(draw, [4, 0, 2], 2)


@cross.invariant
def hidden_regions_have_no_weight(got, inputs):
    """a region that is padding has weight"""
    return bool((got[1].masked_fill(inputs["region_mask"][:, None], 0.0) == 0).all())


@cross.invariant
def rows_sum_to_one_or_zero(got, inputs):
    """the weights of a word must sum to 1 over the regions, or to 0 where the picture is missing"""
    expected = inputs["region_mask"].any(1)[:, None].expand(got[1].shape[:2]).to(got[1].dtype)
    return torch.allclose(got[1].sum(-1), expected, atol=1e-5)


cost = ValueQuestion()
cost.number("early_scores", points=1, title="the scores of early fusion")
cost.number("cross_scores", points=1, title="the scores of cross-attention")
cost.choice("forgotten", "abcd", points=1, title="the pictures that the mean cannot tell apart")
