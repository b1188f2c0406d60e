"""The checks of 02_core_concepts/01_language_models: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import math

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

chain = FunctionQuestion(
    "sentence_log_probability",
    returns=("log_p",),
    atol=1e-4,
    because="float32 loses less than this share of a sum of up to 401 logarithms",
)


def bigram_table(draw, n_words):
    return torch.softmax(draw.normal(n_words + 1, n_words + 1), dim=-1)


@chain.case(points=1)
def three_words(draw):
    """a sentence of three words"""
    return {"ids": draw.order(5)[:3], "table": bigram_table(draw, 5)}


@chain.case(points=1)
def no_word(draw):
    """a sentence without a word: the end follows the start"""
    return {"ids": torch.zeros(0, dtype=torch.int64), "table": bigram_table(draw, 4)}


@chain.case(points=1)
def long_sentence(draw):
    """400 words, whose product no float can hold"""
    return {"ids": torch.cat([draw.order(8) for _ in range(50)]), "table": bigram_table(draw, 8)}


@chain.case(points=1)
def different_rows(draw):
    """a table in which start and end are very different from the words"""
    table = bigram_table(draw, 6)
    table[6] = torch.softmax(torch.arange(7.0), dim=0)
    table[:, 6] = 0.01
    table = table / table.sum(-1, keepdim=True)
    return {"ids": draw.order(6)[:4], "table": table}


@chain.invariant
def never_positive(got, inputs):
    """a probability is at most 1, so its logarithm cannot be positive"""
    return got <= 1e-6


measures = FunctionQuestion(
    "measure",
    returns=("perplexity", "bits_per_byte"),
    atol=1e-4,
    because="perplexities are about 10 here, and float32 carries 7 digits",
)


def scored(draw, lengths, n_bytes):
    width = max(lengths)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    log_p = -1.0 - 1.5 * draw.normal(len(lengths), width).abs()
    return {"log_p": log_p.masked_fill(~mask, -7.0), "mask": mask, "n_bytes": n_bytes}


@measures.case(points=1)
def worked_by_hand(draw):
    """four tokens with probabilities 1/2, 1/4, 1/8 and 1/4, in a text of 16 bytes"""
    log_p = -math.log(2) * torch.tensor([[1.0, 2.0, 3.0, 2.0]])
    return {"log_p": log_p, "mask": torch.ones(1, 4, dtype=torch.bool), "n_bytes": 16}


@measures.case(points=1)
def one_length(draw):
    """three texts of one length"""
    return scored(draw, [6, 6, 6], 70)


@measures.case(points=2)
def with_padding(draw):
    """texts of lengths 7, 2 and 4, padded"""
    return scored(draw, [7, 2, 4], 57)


@measures.invariant
def at_least_one(got, inputs):
    """a perplexity is at least 1"""
    return got[0] >= 1


@measures.invariant
def never_negative(got, inputs):
    """a price in bits cannot be negative"""
    return got[1] >= 0


losses = FunctionQuestion(
    "language_model_loss",
    returns=("loss",),
    atol=1e-5,
    because="a mean of up to 24 float32 values of about 2",
)


@losses.case(points=2)
def next_word(draw):
    """autoregressive: three rows of six words"""
    return {"logits": draw.normal(3, 6, 7), "ids": torch.stack([draw.order(7)[:6] for _ in range(3)]), "hidden": None}


@losses.case(points=2)
def hidden_words(draw):
    """auto-encoding: three words of a row hidden, one of the other"""
    hidden = torch.tensor([[0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 1, 0]], dtype=torch.bool)
    return {"logits": draw.normal(2, 6, 7), "ids": torch.stack([draw.order(7)[:6] for _ in range(2)]), "hidden": hidden}


@losses.case(points=1)
def first_and_last_hidden(draw):
    """auto-encoding: the first and the last word of a row are hidden, none of the other row"""
    hidden = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 1]], dtype=torch.bool)
    ids = torch.stack([draw.order(5)[:4] for _ in range(2)])
    return {"logits": 2 * draw.normal(2, 4, 5), "ids": ids, "hidden": hidden}


@losses.case(points=1)
def nothing_hidden(draw):
    """nothing hidden: a ValueError"""
    return {
        "logits": draw.normal(1, 4, 5),
        "ids": draw.order(5)[None, :4],
        "hidden": torch.zeros(1, 4, dtype=torch.bool),
    }


@losses.invariant
def not_negative(got, inputs):
    """a cross-entropy is at least 0"""
    return got >= 0


numbers = ValueQuestion()
numbers.number("perplexity", points=1, title="a: the perplexity")
numbers.number("bits", points=1, title="b: bits for each byte")
numbers.number("times", points=1, title="c: the factor")
numbers.choice("answer", "abcd", points=1, title="d: the reply")
