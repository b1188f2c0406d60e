"""The checks of 03_algorithms/05_finetuning_tasks: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

span = FunctionQuestion("best_span", returns=("first", "last"), atol=1e-9, because="places are whole numbers")


def scored(draw, start, end, longest=3, ahead=None, behind=None):
    """Scores of place 0, two places of the question, and the context, with others between that nobody would choose."""
    asked, some, more = draw.order(6)[:3].tolist()
    ahead = some if ahead is None else ahead  # so many places before the context's scores, and behind them
    behind = more if behind is None else behind

    def widened(scores):
        question = scores[:1] + (1 + asked) * [-20.0] + scores[1:3]
        return torch.tensor(question + ahead * [-20.0] + scores[3:] + behind * [-20.0])

    return {"start": widened(start), "end": widened(end), "context_from": 4 + asked, "longest": longest}


@span.case(points=1)
def simple(draw):
    """the best beginning and the best end fit together"""
    return scored(draw, [0.0, 0, 0, 1, 5, 0, 0, 0], [0.1, 0, 0, 0, 1, 5, 0, 0])


@span.case(points=1)
def crossed(draw):
    """the best beginning stands behind the best end"""
    return scored(draw, [0.0, 0, 0, 0.3, 3, 0, 5, 0.2], [0.1, 0, 0, 0, 4, 1.5, 0.4, 2.2])


@span.case(points=1)
def in_the_question(draw):
    """high scores inside the question, and low ones in the context"""
    return scored(draw, [-6.0, 3, 2, -3.5, -6, -5, -6, -6], [0.1, 9, 8, 1.2, 0.7, 2, 0, 0], ahead=0)


@span.case(points=1)
def too_long(draw):
    """pairs that are too long have the highest scores; the best answer has one token"""
    return scored(draw, [0.0, 0, 0, 5, 0, 2.5, 0, 2], [0.1, 0, 0, 0.5, 1, 2, 5, 6], longest=2, behind=0)


@span.case(points=1)
def no_answer(draw):
    """no answer is better than every span"""
    return scored(draw, [1.0, 0, 0, 2.1, 0, 1, 0, -5], [4.0, 0, 0, 1.2, 0.7, 2, 2.4, -5])


@span.invariant
def in_order(got, inputs):
    """the first place cannot stand behind the last"""
    return got[0] <= got[1]


@span.invariant
def in_the_context(got, inputs):
    """an answer lies in the context, or is 0, 0"""
    return tuple(got) == (0, 0) or got[0] >= inputs["context_from"]


dpo = FunctionQuestion(
    "dpo",
    returns=("loss", "margin"),
    atol=1e-4,
    because="sums of up to a dozen log-probabilities of about 2 in float32",
)


def pair(draw, real, beta=0.5, noise=1.0):
    """Logits of two models that differ by noise; `real` marks the places with a label."""
    mask = torch.tensor(real, dtype=torch.bool)
    tokens = torch.stack([draw.order(7)[: mask.size(1)] for _ in real])
    reference = draw.normal(*mask.shape, 7)
    tuned = reference + noise * draw.normal(*mask.shape, 7)
    return {"tuned": tuned, "reference": reference, "labels": tokens.masked_fill(~mask, -100), "beta": beta}


@dpo.case(points=1)
def same_length(draw):
    """two answers of the same length"""
    return pair(draw, [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1]])


@dpo.case(points=1.5)
def other_lengths(draw):
    """a short and a long answer, with padding"""
    return pair(draw, [[0, 1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1, 1]], beta=0.2)


@dpo.case(points=1)
def far(draw):
    """models that differ much"""
    return pair(draw, [[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0]], beta=0.7, noise=6.0)


@dpo.case(points=0.5)
def untouched(draw):
    """the tuned model is still the reference: margin 0"""
    return pair(draw, [[0, 0, 1, 1, 1], [0, 0, 1, 1, 0]], noise=0.0)


@dpo.invariant
def loss_is_positive(got, inputs):
    """−ln of a probability cannot be negative"""
    return float(got[0]) >= 0


numbers = ValueQuestion()
numbers.number("f1", points=1, title="the span F1")
numbers.number("trained", points=1, title="the weights of LoRA")
numbers.number("exact", points=1, title="the exact match of 'no answer'")
numbers.choice("reason", "abcd", points=1, title="what DPO has taught")
