"""The checks of 02_core_concepts/04_pretraining_and_finetuning: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

masking = FunctionQuestion(
    "mask_words",
    returns=("inputs", "labels"),
    atol=1e-9,
    because="tokens are exact",
)


def drawn(draw, rows, length):
    place = torch.arange(rows * length).view(rows, length)
    fate = draw.order(rows * length).view(rows, length) * 100 // (rows * length) + 1  # neither 80 nor 90
    return {
        "ids": draw.order(200)[: rows * length].view(rows, length) + 10,
        "chosen": place % 3 != 1,
        "fate": fate,
        "random_ids": draw.order(200)[: rows * length].view(rows, length) + 300,
        "mask_id": 3,
    }


@masking.case(points=2)
def one_row(draw):
    """one text of 30 words"""
    return drawn(draw, 1, 30)


@masking.case(points=1)
def several_rows(draw):
    """three texts, with another number for the mask"""
    return {**drawn(draw, 3, 20), "mask_id": 7}


@masking.case(points=1)
def at_the_bounds(draw):
    """fates beside and on the bounds: 79, 80, 89 and 90"""
    inputs = drawn(draw, 1, 6)
    fate = torch.tensor([[79, 80, 89, 90, 0, 99]])
    return {**inputs, "fate": fate, "chosen": torch.ones(1, 6, dtype=torch.bool)}


head = FunctionQuestion(
    "train_head",
    returns=("weights",),
    atol=1e-5,
    because="up to 20 steps in float32, each a mean of up to 24 products of about 1",
)


def words(draw, n, width, n_labels, rate, steps, n_seen):
    labels = torch.cat([draw.order(n_seen) for _ in range(-(-n // n_seen))])[:n]
    return {"features": draw.normal(n, width), "labels": labels, "n_labels": n_labels, "rate": rate, "steps": steps}


@head.case(points=2)
def one_step(draw):
    """one step"""
    return words(draw, 12, 5, 3, 0.7, 1, n_seen=3)


@head.case(points=2.5)
def many_steps(draw):
    """twenty steps, and a label that no word has"""
    return words(draw, 24, 6, 4, 0.5, 20, n_seen=3)


@head.case(points=0.5)
def no_step(draw):
    """no step at all: the weights are 0"""
    return words(draw, 6, 4, 2, 0.5, 0, n_seen=2)


@head.invariant
def rows_sum_to_zero(got, inputs):
    """the weights of each feature must sum to 0 over the labels: they start at 0, and what one gains the others lose"""
    return torch.allclose(got.sum(1), torch.zeros(got.size(0)), atol=1e-4)


reading = ValueQuestion()
reading.number("times", points=1, title="a: times as many labels")
reading.number("trained", points=1, title="b: numbers that are trained")
reading.choice("cause", "abcd", points=1, title="c: the cause")
reading.choice("remedy", "abcd", points=1, title="d: the remedy")
