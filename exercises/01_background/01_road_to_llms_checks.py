"""The checks of 01_background/01_road_to_llms: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

smoothing = FunctionQuestion(
    "kneser_ney",
    returns=("probabilities",),
    atol=1e-5,
    because="probabilities are below 1, and a few sums and one division in float32 lose less than 1e-6",
)


@smoothing.case(points=1)
def on_paper(draw):
    """three tokens, with numbers that can be worked out on paper"""
    return {"counts": torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 4.0], [3.0, 0.0, 0.0]]), "discount": 0.5}


@smoothing.case(points=2)
def larger(draw):
    """seven tokens, drawn counts, another discount"""
    counts = (2 * draw.normal(7, 7)).clamp(min=0).round()
    counts[:, 0] += 1
    counts[1, 1:] = 0
    return {"counts": counts, "discount": 0.75}


@smoothing.case(points=2)
def unseen(draw):
    """one token was never followed by anything, and one never follows"""
    counts = (2 * draw.normal(6, 6)).clamp(min=0).round()
    counts[:, 0] += 2
    counts[2], counts[:, 4] = 0, 0
    return {"counts": counts, "discount": 0.6}


@smoothing.invariant
def rows_sum_to_one(got, inputs):
    """each row must sum to 1: what the discount takes off is given back, and an unseen row is the lower distribution"""
    return torch.allclose(got.sum(1), torch.ones(len(got)), atol=1e-4)


@smoothing.invariant
def no_negative(got, inputs):
    """no probability may be negative"""
    return bool((got >= 0).all())


measures = FunctionQuestion(
    "measures",
    returns=("bits", "perplexity"),
    atol=1e-4,
    because="a sum of up to 200 numbers in float32 keeps five digits",
)


@measures.case(points=1)
def coins(draw):
    """eight fair coins, a byte each: 1 bit a byte, and a perplexity of 2"""
    return {"log_p": torch.full((8,), 0.5).log(), "n_bytes": 8}


@measures.case(points=2)
def words(draw):
    """forty tokens for 160 bytes"""
    return {"log_p": -draw.normal(40).abs() - 0.2, "n_bytes": 160}


@measures.case(points=1)
def chinese(draw):
    """two hundred tokens of Chinese text, 430 bytes"""
    return {"log_p": -1.5 * draw.normal(200).abs(), "n_bytes": 430}


@measures.invariant
def bits_not_negative(got, inputs):
    """bits per byte cannot be negative"""
    return got[0] >= 0


@measures.invariant
def perplexity_at_least_one(got, inputs):
    """a perplexity is at least 1: it is exp of a mean that is not negative"""
    return got[1] >= 1


rules = FunctionQuestion(
    "coverage",
    returns=("shares",),
    atol=1e-6,
    because="a share is one division of two whole numbers",
)


@rules.case(points=2)
def few(draw):
    """six sentences read, five new ones"""
    read = torch.tensor([3, 1, 3, 7, 2, 9])
    return {"read": read, "new": torch.tensor([3, 3, 7, 8, 1]), "amounts": torch.tensor([0, 1, 3, 4, 6])}


@rules.case(points=2)
def many(draw):
    """two hundred read, with frequent and rare skeletons"""
    read, new = ((draw.normal(n).abs() * 15).long() for n in (200, 80))
    return {"read": read, "new": new, "amounts": torch.tensor([1, 5, 20, 80, 200])}


@rules.invariant
def never_less(got, inputs):
    """more sentences read cannot mean fewer accepted"""
    return bool((got.diff() >= 0).all())


@rules.invariant
def is_a_share(got, inputs):
    """a share lies between 0 and 1"""
    return bool(((got >= 0) & (got <= 1)).all())


waiting = ValueQuestion()
waiting.number("recurrent", points=1, title="steps of the recurrent network")
waiting.number("transformer", points=1, title="steps of the Transformer")
waiting.choice("conclusion", "abcd", points=2, title="what the figure supports")
