"""The checks of 04_mathematics/01_sequence_probability: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

chain = FunctionQuestion(
    "score",
    returns=("log_p", "perplexity"),
    atol=1e-4,
    because="sums of up to 300 logarithms in float32 lose some 1e-6 of their value",
)


def batch(draw, n_words, length, lengths):
    start = torch.softmax(draw.normal(n_words), dim=0)
    transition = torch.softmax(draw.normal(n_words, n_words), dim=1)
    lengths = torch.tensor(lengths)
    tokens = torch.from_numpy(draw.rng.integers(0, n_words, (len(lengths), length)))
    tokens[0, -1] = 0  # a real word: the first row is full
    tokens = tokens * (torch.arange(length) < lengths[:, None])
    return {"start": start, "transition": transition, "tokens": tokens, "lengths": lengths}


@chain.case(points=1)
def by_hand(draw):
    """two words, one sequence of three: 1/2 · 1/4 · 1/8"""
    return {
        "start": torch.tensor([0.5, 0.5]),
        "transition": torch.tensor([[0.75, 0.25], [0.125, 0.875]]),
        "tokens": torch.tensor([[0, 1, 0]]),
        "lengths": torch.tensor([3]),
    }


@chain.case(points=1)
def equal_lengths(draw):
    """five words, three sequences of six"""
    return batch(draw, 5, 6, [6, 6, 6])


@chain.case(points=2)
def padded(draw):
    """sequences of different lengths, one of a single word"""
    return batch(draw, 5, 7, [7, 1, 4, 2])


@chain.case(points=1)
def long(draw):
    """300 words: the product itself is smaller than any float32"""
    return batch(draw, 8, 300, [300, 220])


@chain.invariant
def not_above_certainty(got, inputs):
    """`log_p` is the logarithm of a probability: it cannot be above 0"""
    return bool((got[0] <= 0).all())


@chain.invariant
def not_better_than_certainty(got, inputs):
    """`perplexity` cannot be below 1"""
    return bool((got[1] >= 1 - 1e-5).all())


split = FunctionQuestion(
    "take_apart",
    returns=("loss", "floor", "gap", "gradient"),
    atol=1e-4,
    because="float32, and the gap is a difference of two values of up to 100",
)


@split.case(points=1)
def coin(draw):
    """two words, seen three times and once; a uniform model"""
    return {"samples": torch.tensor([0, 1, 0, 0]), "logits": torch.zeros(2)}


@split.case(points=2)
def all_seen(draw):
    """six words, each seen"""
    drawn = torch.from_numpy(draw.rng.integers(0, 6, 40))
    return {"samples": torch.cat([torch.arange(6), drawn]), "logits": draw.normal(6)}


@split.case(points=1)
def unseen(draw):
    """two of five words were never seen"""
    return {"samples": torch.from_numpy(draw.rng.integers(1, 4, 30)), "logits": draw.normal(5)}


@split.case(points=1)
def far_apart(draw):
    """logits up to 120, so that a probability is 0 in float32"""
    return {"samples": torch.tensor([0, 2, 2]), "logits": torch.tensor([0.0, 1.0, 120.0, 110.0])}


@split.invariant
def parts_sum_up(got, inputs):
    """`floor` plus `gap` must be `loss`, so at least one of the three is wrong"""
    return abs(got[1] + got[2] - got[0]) < 1e-3


@split.invariant
def gap_not_negative(got, inputs):
    """`gap` is a KL divergence: it cannot be negative"""
    return got[2] > -1e-4


@split.invariant
def gradient_sums_to_zero(got, inputs):
    """adding the same number to all logits changes nothing, so `gradient` must sum to 0"""
    return bool(abs(got[3].sum()) < 1e-4)


reach = FunctionQuestion(
    "mutual_information",
    returns=("information",),
    atol=1e-4,
    because="sums of up to 64 terms below 1; float32 is good enough",
)


@reach.case(points=1)
def cycle(draw):
    """three words in turn: each word tells all that follow"""
    return {"tokens": torch.arange(40) % 3, "n_distances": 5, "n_words": 3}


@reach.case(points=1)
def random_text(draw):
    """independent words: only chance is left"""
    return {"tokens": torch.from_numpy(draw.rng.integers(0, 4, 400)), "n_distances": 6, "n_words": 4}


@reach.case(points=1)
def far_echo(draw):
    """each word repeats, with noise, the word three places before"""
    tokens = torch.from_numpy(draw.rng.integers(0, 8, 300))
    for i in range(3, 300):
        if draw.rng.random() < 0.8:
            tokens[i] = tokens[i - 3]
    return {"tokens": tokens, "n_distances": 7, "n_words": 8}


@reach.case(points=1)
def rare_words(draw):
    """words of very different frequency, some never seen, with memory"""
    tokens = torch.from_numpy(draw.rng.choice(5, 200, p=[0.6, 0.25, 0.1, 0.04, 0.01]))
    tokens[1::2] = (tokens[::2] * 2) % 5
    return {"tokens": tokens, "n_distances": 5, "n_words": 7}


@reach.invariant
def not_negative(got, inputs):
    """mutual information is a KL divergence: it cannot be negative"""
    return bool((got > -1e-5).all())


numbers = ValueQuestion()
numbers.number("perplexity", points=1, title="the perplexity of three words")
numbers.number("floor", points=1, title="the floor in bits")
numbers.number("numbers", points=1, title="free numbers of the chain rule")
numbers.choice("reason", "abcd", points=1, title="what teacher forcing is")
