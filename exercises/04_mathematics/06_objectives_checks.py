"""The checks of 04_mathematics/06_objectives: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

masked = FunctionQuestion(
    "masked_loss",
    returns=("loss",),
    atol=1e-5,
    because="a mean of logarithms of about 1 in float32 loses about 1e-6",
)


@masked.case(points=1)
def by_hand(draw):
    """one place of three, all logits equal: the loss of a guess, ln 4"""
    return {"logits": torch.zeros(1, 3, 4), "labels": torch.tensor([[-100, 2, -100]])}


@masked.case(points=1)
def several(draw):
    """three sentences with one, three and no hidden words; the first is easy"""
    labels = torch.tensor([[-100, 3, -100, -100], [1, 0, -100, 4], [-100, -100, -100, -100]])
    logits = 2 * draw.normal(3, 4, 5)
    logits[0, 1, 3] += 12
    return {"logits": logits, "labels": labels}


@masked.case(points=1)
def large_logits(draw):
    """logits of some hundreds, where exp overflows and small probabilities become 0"""
    logits = 300 * draw.normal(1, 4, 6)
    logits[0, 2, 1] = logits[0, 2, 2:].amax() - 200  # a label of probability e^-200 or less
    logits[0, 3, 2] = 400  # a label whose own exp overflows
    return {"logits": logits, "labels": torch.tensor([[5, -100, 1, 2]])}


@masked.case(points=1)
def none_chosen(draw):
    """no hidden word at all: 0, not NaN"""
    return {"logits": draw.normal(2, 3, 4), "labels": torch.full((2, 3), -100)}


@masked.invariant
def not_negative(got, inputs):
    """−ln of a probability is never below 0: is the minus there, and has a log_softmax been taken?"""
    return bool(got >= 0)


contrastive = FunctionQuestion(
    "contrastive_loss",
    returns=("loss",),
    atol=1e-4,
    because="cosines carry an error of 1e-7 in float32, and a temperature of 0.1 makes it ten times as large",
)


@contrastive.case(points=1)
def by_hand(draw):
    """two pairs at right angles, no further negatives, temperature 1: ln(1 + 1/e)"""
    pair = torch.eye(2)
    return {"anchors": pair, "positives": 3 * pair, "negatives": torch.zeros(0, 2), "temperature": 1.0}


@contrastive.case(points=2)
def in_batch(draw):
    """five pairs of vectors of different lengths, temperature 0.5"""
    anchors = draw.normal(5, 8)
    lengths = torch.tensor([0.5, 1.0, 2.0, 3.0, 4.0])[:, None]
    return {"anchors": anchors, "positives": lengths * (anchors + draw.normal(5, 8)), **rest(draw, 0, 0.5)}


@contrastive.case(points=2)
def hard_negatives(draw):
    """four pairs and three further negatives, temperature 0.1"""
    return {"anchors": draw.normal(4, 8), "positives": draw.normal(4, 8), **rest(draw, 3, 0.1)}


def rest(draw, n, temperature):
    return {"negatives": draw.normal(n, 8), "temperature": temperature}


@contrastive.invariant
def not_negative(got, inputs):
    """a share is at most 1, so the loss cannot be negative: is the minus there, and the positive a candidate?"""
    return bool(got >= 0)


gradient = FunctionQuestion(
    "logit_gradient",
    returns=("gradient",),
    atol=5e-6,
    because="entries are at most 1; near 100 float32 has steps of 8e-6, and exp(z − logsumexp z) hands them on",
)


@gradient.case(points=1)
def by_hand(draw):
    """one word, four equal logits, no smoothing: ¼ for the wrong words, −¾ for the right one"""
    return {"logits": torch.zeros(1, 4), "words": torch.tensor([2]), "smoothing": 0.0}


@gradient.case(points=1)
def several_words(draw):
    """three words, no smoothing, logits of about 100, where exp overflows"""
    return {"logits": 100 + draw.normal(3, 5), "words": torch.tensor([0, 4, 4]), "smoothing": 0.0}


@gradient.case(points=2)
def smoothed(draw):
    """four words, smoothing 0.2"""
    return {"logits": 2 * draw.normal(4, 6), "words": torch.tensor([1, 5, 0, 1]), "smoothing": 0.2}


@gradient.invariant
def rows_sum_to_zero(got, inputs):
    """each row must sum to 0: both the model's probabilities and the target sum to 1"""
    return bool((got.sum(-1).abs() < 1e-5).all())


floors = ValueQuestion()
floors.number("causal", points=1, title="the floor of the causal loss")
floors.number("masked", points=1, title="the floor with both words hidden")
floors.number("information", points=1, title="the information that is proven")
floors.choice("sign", "abcd", points=1, title="the sign")
