"""The checks of 03_algorithms/04_pretraining_tasks: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

masking = FunctionQuestion("mask_words", returns=("inputs", "labels"), atol=1e-9, because="ids are whole numbers")


def drawn(draw, choice, fate, special=()):
    """Texts of six words and these draws. Ids do not tell special tokens: words are even, special ones odd between."""
    shape = (len(choice), len(choice[0]))
    words = torch.stack([10 + 2 * draw.order(shape[1]) for _ in range(shape[0])])
    is_special = torch.zeros(shape, dtype=torch.bool)
    for row, place in special:
        is_special[row, place] = True
        words[row, place] = 9 + 2 * place
    random = torch.stack([30 + draw.order(shape[1]) for _ in range(shape[0])])
    draws = {name: torch.tensor(rows, dtype=torch.float64) for name, rows in (("choice", choice), ("fate", fate))}
    mask = 4 + int(draw.order(5)[0])
    return {"ids": words, "is_special": is_special, **draws, "random": random, "mask": mask}


@masking.case(points=1)
def masks(draw):
    """every chosen place becomes a mask"""
    return drawn(draw, [[0.1, 0.5, 0.14, 0.9, 0.3, 0.0]], [[0.1, 0.2, 0.79, 0.5, 0.85, 0.4]])


@masking.case(points=1)
def all_fates(draw):
    """a mask, a random word, and a word that stays"""
    return drawn(draw, [[0.1, 0.01, 0.05, 0.7, 0.8, 0.12]], [[0.3, 0.85, 0.95, 0.85, 0.3, 0.92]])


@masking.case(points=1)
def boundaries(draw):
    """draws that lie exactly on 0.15, 0.8 and 0.9"""
    return drawn(draw, [[0.15, 0.1, 0.1, 0.1, 0.1, 0.5]], [[0.1, 0.8, 0.9, 0.0, 0.999, 0.8]])


@masking.case(points=2)
def special_tokens(draw):
    """two texts with special tokens, of which the draws would choose some"""
    choice = [[0.01, 0.2, 0.1, 0.9, 0.3, 0.0], [0.02, 0.12, 0.6, 0.03, 0.0, 0.01]]
    fate = [[0.5, 0.1, 0.9, 0.3, 0.2, 0.1], [0.85, 0.82, 0.7, 0.6, 0.95, 0.4]]
    return drawn(draw, choice, fate, special=((0, 0), (0, 5), (1, 0), (1, 4), (1, 5)))


@masking.invariant
def special_tokens_stay(got, inputs):
    """special tokens must stay as they are, without a label"""
    special = inputs["is_special"]
    return bool((got[0] == inputs["ids"])[special].all() and (got[1] == -100)[special].all())


@masking.invariant
def labels_are_originals(got, inputs):
    """a label must be −100, or the word that stood there before"""
    return bool(((got[1] == -100) | (got[1] == inputs["ids"])).all())


spans = FunctionQuestion("corrupt", returns=("source", "target"), atol=1e-9, because="ids are whole numbers")


def text_with(draw, length, places):
    sentinel, end = 101 + int(draw.order(50)[0]), 2 + int(draw.order(7)[0])
    return {"ids": 10 + draw.order(length), "spans": torch.tensor(places), "sentinel": sentinel, "end": end}


@spans.case(points=1)
def one_span(draw):
    """one span in the middle"""
    return text_with(draw, 8, [[3, 5]])


@spans.case(points=1)
def two_spans(draw):
    """two spans of different lengths"""
    return text_with(draw, 12, [[1, 3], [6, 9]])


@spans.case(points=1)
def at_the_ends(draw):
    """spans at the beginning and at the end of the text"""
    return text_with(draw, 10, [[0, 2], [7, 10]])


@spans.case(points=1)
def three_spans(draw):
    """three spans, two of which touch"""
    return text_with(draw, 14, [[2, 4], [4, 6], [10, 13]])


@spans.invariant
def no_token_is_lost(got, inputs):
    """source and target together must have each token of the text once"""
    both = torch.cat(list(got))
    kept = both[(both < inputs["sentinel"]) & (both != inputs["end"])]
    return torch.equal(kept.sort().values, inputs["ids"].sort().values)


@spans.invariant
def both_end(got, inputs):
    """source and target must both end with the end token"""
    return all(len(side) > 0 and int(side[-1]) == inputs["end"] for side in got)


contrast = FunctionQuestion(
    "contrast",
    returns=("loss", "found"),
    atol=1e-4,
    because="cosines in float32 are exact to 1e-7, and divided by a temperature of 0.05 to 1e-5",
)


def pairs(draw, n, width, noise, temperature):
    anchors = draw.normal(n, width)
    return {"anchors": anchors, "positives": anchors + noise * draw.normal(n, width), "temperature": temperature}


@contrast.case(points=1)
def unrelated(draw):
    """pairs that have nothing to do with each other"""
    return {"anchors": draw.normal(6, 4), "positives": draw.normal(6, 4), "temperature": 1.0}


@contrast.case(points=1)
def cold(draw):
    """pairs that resemble each other, at a low temperature"""
    return pairs(draw, 8, 6, 1.5, 0.2)


@contrast.case(points=2)
def long_vectors(draw):
    """vectors of very different lengths"""
    inputs = pairs(draw, 8, 6, 0.7, 0.5)
    inputs["positives"] = inputs["positives"] * torch.linspace(0.1, 20, 8)[:, None]
    inputs["anchors"] = inputs["anchors"] * torch.linspace(3, 0.2, 8)[:, None]
    return inputs


@contrast.invariant
def loss_is_not_negative(got, inputs):
    """a mean of −ln of shares cannot be negative"""
    return float(got[0]) >= 0


@contrast.invariant
def share_of_anchors(got, inputs):
    """`found` is a share, from 0 to 1"""
    return 0 <= got[1] <= 1


numbers = ValueQuestion()
numbers.number("causal", points=1, title="predictions of a causal model")
numbers.number("visible", points=1, title="labels at visible words")
numbers.number("loss", points=1, title="the contrastive loss of a model that knows nothing")
numbers.choice("reason", "abcd", points=1, title="why the causal model is ahead")
