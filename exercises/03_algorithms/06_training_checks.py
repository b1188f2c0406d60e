"""The checks of 03_algorithms/06_training: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

adamw = FunctionQuestion(
    "adamw",
    returns=("weight", "mean", "square"),
    atol=1e-5,
    because="a dozen operations in float32 on numbers of about 1; each loses less than 1e-7",
)


def settings(step, rate=0.1, betas=(0.9, 0.95), eps=1e-8, decay=0.0):
    return {"step": step, "rate": rate, "beta1": betas[0], "beta2": betas[1], "eps": eps, "decay": decay}


@adamw.case(points=1)
def first_step(draw):
    """the first step: both means are 0, no decay"""
    zero = torch.zeros(5)
    return {"weight": draw.normal(5), "gradient": draw.normal(5), "mean": zero, "square": zero.clone(), **settings(1)}


@adamw.case(points=1)
def later_step(draw):
    """a later step, with means of steps before"""
    square = draw.normal(5) ** 2 + 0.1
    given = {"weight": draw.normal(5), "gradient": draw.normal(5), "mean": draw.normal(5), "square": square}
    return {**given, **settings(4, rate=0.03, betas=(0.8, 0.99))}


@adamw.case(points=1)
def with_decay(draw):
    """weight decay, and weights far from 0"""
    square = draw.normal(5) ** 2 + 0.1
    given = {"weight": 5 + draw.normal(5), "gradient": draw.normal(5), "mean": draw.normal(5), "square": square}
    return {**given, **settings(7, rate=0.2, decay=(2 + int(draw.order(4)[0])) / 10)}


@adamw.case(points=1)
def tiny_gradients(draw):
    """gradients about as small as ε, some exactly 0"""
    gradient = 0.01 * draw.normal(5)
    gradient[1] = 0.0
    zero = torch.zeros(5)
    return {
        "weight": draw.normal(5),
        "gradient": gradient,
        "mean": zero,
        "square": zero.clone(),
        **settings(1, eps=0.02),
    }


@adamw.invariant
def squares_are_not_negative(got, inputs):
    """a running mean of squares cannot be negative"""
    return bool((got[2] >= 0).all())


@adamw.invariant
def first_step_is_at_most_the_rate(got, inputs):
    """without decay the first step moves no weight by more than the learning rate"""
    moved = (got[0] - inputs["weight"]).abs().max()
    return inputs["step"] != 1 or bool(moved <= inputs["rate"] * 1.001)


schedule = FunctionQuestion("share", returns=("share",), atol=1e-6, because="a few operations on Python's numbers")


@schedule.case(points=1)
def one_step_of_warmup(draw):
    """a warm-up of one step: its first step is its last"""
    return {"step": 0, "steps": 100, "warmup": 1, "final": 0.0}


@schedule.case(points=1)
def in_warmup(draw):
    """in the middle of a warm-up of ten steps"""
    return {"step": 1 + int(draw.order(8)[0]), "steps": 100, "warmup": 10, "final": 0.1}


@schedule.case(points=1)
def after_warmup(draw):
    """in the first half of the descent"""
    return {"step": 30 + int(draw.order(24)[0]), "steps": 100, "warmup": 10, "final": 0.1}


@schedule.case(points=1)
def no_warmup(draw):
    """near the end of a run without warm-up"""
    return {"step": 40 + int(draw.order(9)[0]), "steps": 50, "warmup": 0, "final": 0.2}


@schedule.invariant
def between_final_and_one(got, inputs):
    """a share lies above 0 and is at most 1"""
    return 0 < got <= 1


parts = FunctionQuestion(
    "loss_in_parts",
    returns=("loss", "shares"),
    atol=1e-5,
    because="float32 sums of some twenty terms of about 2",
)


def batch(draw, *patterns):
    """A part for each pattern: a list of rows, in which 0 marks a place without a label."""
    logits, labels = [], []
    for pattern in patterns:
        real = torch.tensor(pattern, dtype=torch.bool)
        tokens = torch.stack([draw.order(6)[: real.size(1)] for _ in pattern])
        logits.append(2 * draw.normal(*real.shape, 6))
        labels.append(tokens.masked_fill(~real, -100))
    return {"logits": logits, "labels": labels}


@parts.case(points=1)
def equal_parts(draw):
    """two parts with as many labels each"""
    return batch(draw, [[1, 1, 1, 1]], [[1, 1, 1, 1]])


@parts.case(points=1)
def unequal_parts(draw):
    """three parts: full rows, a row with labels only at its end (an answer), and a shorter row"""
    return batch(draw, [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1]], [[0, 0, 0, 1, 1]], [[1, 1, 1]])


@parts.case(points=1)
def first_tokens(draw):
    """a part whose first tokens have labels, and one whose have none: nobody predicts a first token"""
    return batch(draw, [[1, 1, 0, 0], [1, 0, 1, 0]], [[0, 1, 1, 1], [0, 1, 1, 0]])


@parts.case(points=1)
def nothing_to_predict(draw):
    """a part in which no label is left"""
    return batch(draw, [[1, 1, 1, 1]], [[1, 0, 0, 0]], [[0, 1, 1, 0]])


@parts.invariant
def shares_sum_to_one(got, inputs):
    """the shares must sum to 1"""
    return abs(float(got[1].sum()) - 1) < 1e-5


from lmlib.course.questions import FigureQuestion

curves = FigureQuestion("draw_curves", atol=1e-5, because="means of float32 losses of about 5")


@curves.case(points=1)
def short_run(draw):
    """eight steps, measured after every four"""
    train = torch.tensor([5.0, 4.5, 4.6, 4.3, 3.9, 3.8, 3.5, 3.2])
    return {"train": train, "validation": torch.tensor([4.4, 3.7]), "every": 4, "batch": 100}


@curves.case(points=2)
def overfits(draw):
    """a run whose validation loss rises again"""
    train = torch.linspace(6, 1, 60) + draw.normal(60) / 10
    validation = (torch.linspace(-1, 1, 12) - 0.3).square() + 3 + draw.normal(12) / 50
    return {"train": train, "validation": validation, "every": 5, "batch": 512}


@curves.case(points=1)
def steps_left(draw):
    """a run with a stretch of easy text, stopped three steps after its last measurement"""
    train = 3 + draw.normal(33) / 4
    train[6:12] -= 1.0
    validation = torch.tensor([3.6, 3.1, 2.9, 3.0, 3.2]) + draw.normal(5) / 50
    return {"train": train, "validation": validation, "every": 6, "batch": 2048}


numbers = ValueQuestion()
numbers.number("first_loss", points=1, title="the first loss")
numbers.number("first_move", points=1, title="Adam's first move")
numbers.number("hours", points=1, title="the hours of training")
numbers.number("entry", points=1, title="the entry after clipping")
numbers.choice("reason", "abcd", points=1, title="the reason for a loss of 0.01")
