"""The checks of 03_algorithms/04_pretraining_tasks: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import math

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

masking = FunctionQuestion("mask_whole_words", returns=("inputs", "labels"), atol=1e-9, because="ids are whole numbers")


def text_of(draw, words, special=(), cut=0):
    """A text of words, each (choice, fate, pieces), and of special tokens, each told by how many words come before it.

    `cut` words at each end are not in the text. The others come in a drawn order; if nothing is cut, those between the
    first and the last.
    """
    fixed = max(cut, 1)
    between = (fixed + draw.order(len(words) - 2 * fixed)).tolist()
    words = [*words[:fixed], *(words[i] for i in between), *words[len(words) - fixed :]]
    word_of = []
    for number, (_, _, pieces) in enumerate(words):
        inside = cut <= number < len(words) - cut
        word_of += [-1] * special.count(number) + [number] * (pieces if inside else 0)
    word_of = torch.tensor(word_of + [-1] * special.count(len(words)))
    choice, fate = (torch.tensor([word[i] for word in words], dtype=torch.float64) for i in (0, 1))
    n = len(word_of)
    ids, random = 10 + 2 * draw.order(n) + (word_of < 0), 60 + draw.order(n)  # special tokens are odd
    mask = 4 + int(draw.order(5)[0])
    return {"ids": ids, "word_of": word_of, "choice": choice, "fate": fate, "random": random, "mask": mask}


@masking.case(points=1)
def masks(draw):
    """all chosen words become masks, each piece one"""
    words = [(0.1, 0.3, 2), (0.5, 0.2, 1), (0.14, 0.79, 3), (0.9, 0.6, 2), (0.3, 0.85, 2), (0.0, 0.1, 1)]
    return text_of(draw, words)


@masking.case(points=1)
def all_fates(draw):
    """words that become masks, words that become random ids, and words that stay"""
    words = [(0.1, 0.3, 2), (0.01, 0.85, 3), (0.05, 0.95, 2), (0.7, 0.85, 2), (0.8, 0.3, 1), (0.03, 0.81, 1)]
    return text_of(draw, [*words, (0.6, 0.97, 2), (0.12, 0.92, 1)])


@masking.case(points=1)
def boundaries(draw):
    """numbers that lie exactly on 0.15, 0.8 and 0.9"""
    words = [(0.15, 0.1, 2), (0.1, 0.8, 2), (0.02, 0.9, 3), (0.12, 0.0, 1), (0.1, 0.999, 1), (0.5, 0.8, 2)]
    return text_of(draw, words)


@masking.case(points=1)
def special_tokens(draw):
    """special tokens at both ends and in the middle, beside words that are chosen"""
    words = [(0.01, 0.5, 2), (0.2, 0.1, 1), (0.1, 0.91, 2), (0.9, 0.3, 3), (0.06, 0.2, 1), (0.05, 0.85, 2)]
    return text_of(draw, words, special=(0, 3, 6, 6, 6))


@masking.case(points=1)
def cut_out(draw):
    """a text cut out of a longer one"""
    words = [(0.02, 0.85, 1), (0.4, 0.1, 1)]
    words += [(0.1, 0.2, 2), (0.6, 0.3, 1), (0.04, 0.87, 3), (0.13, 0.93, 1)]
    return text_of(draw, [*words, (0.5, 0.5, 1), (0.08, 0.4, 2)], special=(2, 6), cut=2)


@masking.invariant
def special_tokens_stay(got, inputs):
    """special tokens must stay as they are, without a label"""
    special = inputs["word_of"] < 0
    return bool((got[0] == inputs["ids"])[special].all() and (got[1] == -100)[special].all())


@masking.invariant
def labels_are_originals(got, inputs):
    """a label must be −100, or the id that stood there before"""
    return bool(((got[1] == -100) | (got[1] == inputs["ids"])).all())


@masking.invariant
def words_are_whole(got, inputs):
    """of one word all pieces must have a label, or none"""
    labelled = got[1] != -100
    words = [labelled[inputs["word_of"] == number] for number in range(len(inputs["choice"]))]
    return all(bool(word.all()) or not word.any() for word in words)


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
    because="cosines in float32 are exact to 1e-7, and divided by a temperature of 0.25 to 1e-6",
)


def of_length_1(vectors):
    return vectors / vectors.norm(dim=1)[:, None]


def with_groups(draw, index, width, temperature, near=1.0):
    """Pairs that are near those with the same index, with a drawn number for each index. Vectors of length 1."""
    n, index = len(index), torch.tensor(index)
    middles = near * draw.normal(n, width)[index]
    anchors, positives = (of_length_1(middles + draw.normal(n, width)) for _ in range(2))
    group = 3 + 7 * draw.order(n)[index]
    return {"anchors": anchors, "positives": positives, "temperature": temperature, "group": group}


@contrast.case(points=1)
def on_paper(draw):
    """six pairs along the axes, two of them of one group: cosines of 0 and 1, and ties"""
    axes, order = draw.order(4), draw.order(6)
    sides = [torch.tensor(side)[order] for side in ([0, 0, 1, 1, 2, 0], [0, 0, 1, 1, 2, 2])]
    lengths = [torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0, 8.0])[draw.order(6)][:, None] for _ in sides]
    anchors, positives = (length * torch.eye(4)[axes[side]] for side, length in zip(sides, lengths, strict=True))
    temperature = [0.25, 0.5, 2.0][int(draw.order(3)[0])]
    group = (4 + 3 * draw.order(5))[torch.tensor([0, 0, 1, 2, 3, 4])][order]
    return {"anchors": anchors, "positives": positives, "temperature": temperature, "group": group}


@contrast.case(points=1)
def no_groups(draw):
    """vectors of length 1, and each pair a group of its own"""
    return with_groups(draw, [7, 6, 5, 4, 3, 2, 1, 0], 5, 0.3, near=0.5)


@contrast.case(points=1)
def groups(draw):
    """vectors of length 1, in groups of one to three pairs"""
    return with_groups(draw, [0, 1, 0, 0, 2, 3, 1, 4, 2], 4, 0.5)


@contrast.case(points=1)
def long_vectors(draw):
    """vectors of very different lengths, in groups of one and two pairs"""
    inputs = with_groups(draw, [0, 1, 2, 0, 3, 4, 1], 6, 0.4)
    for side, first, last in (("anchors", 3, 0.2), ("positives", 0.1, 20)):
        inputs[side] = inputs[side] * torch.linspace(first, last, 7)[draw.order(7)][:, None]
    return inputs


@contrast.invariant
def loss_is_not_negative(got, inputs):
    """a mean of −ln of shares cannot be negative"""
    return float(got[0]) >= 0


@contrast.invariant
def loss_has_a_bound(got, inputs):
    """scores lie between −1/τ and 1/τ, so the loss is at most ln N + 2/τ"""
    return float(got[0]) <= math.log(len(inputs["group"])) + 2 / inputs["temperature"] + 1e-4


@contrast.invariant
def share_of_anchors(got, inputs):
    """`found` must be a number of anchors divided by N"""
    count = got[1] * len(inputs["group"])
    return 0 <= got[1] <= 1 and abs(count - round(count)) < 1e-4


numbers = ValueQuestion()
numbers.number("causal", points=1, title="predictions of a causal model")
numbers.number("visible", points=1, title="labels at visible words")
numbers.number("loss", points=1, title="the contrastive loss of a model that knows nothing")
numbers.choice("reason", "abcd", points=1, title="why the causal model is ahead")
