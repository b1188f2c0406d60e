"""The checks of 04_mathematics/02_embeddings: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

table = FunctionQuestion(
    "table_gradient",
    returns=("gradient",),
    atol=1e-5,
    because="sums of at most 20 values of about 1 in float32",
)


@table.case(points=1)
def different(draw):
    """each word once"""
    return {"ids": torch.tensor([[2, 0, 3]]), "arriving": draw.normal(1, 3, 4), "vocab_size": 5, "padding": None}


@table.case(points=1)
def repeated(draw):
    """a batch in which words come several times"""
    ids = torch.tensor([[1, 4, 1, 1], [4, 0, 1, 5]])
    return {"ids": ids, "arriving": draw.normal(2, 4, 3), "vocab_size": 7, "padding": None}


@table.case(points=1)
def padded(draw):
    """word 0 is padding and must not learn"""
    ids = torch.tensor([[3, 1, 3, 0, 0], [2, 2, 4, 1, 0]])
    return {"ids": ids, "arriving": draw.normal(2, 5, 4), "vocab_size": 6, "padding": 0}


@table.case(points=1)
def other_padding(draw):
    """word 3 is padding and must not learn; word 0 does"""
    ids = torch.tensor([[0, 1, 0, 3, 3], [2, 2, 4, 1, 3]])
    return {"ids": ids, "arriving": draw.normal(2, 5, 4), "vocab_size": 6, "padding": 3}


@table.invariant
def unread_rows_are_zero(got, inputs):
    """a word that was not read must have the gradient 0"""
    unread = torch.ones(inputs["vocab_size"], dtype=torch.bool)
    unread[inputs["ids"].flatten()] = False
    return not got[unread].any()


pmi = FunctionQuestion(
    "shifted_ppmi",
    returns=("matrix",),
    atol=1e-4,
    because="logarithms of quotients of float32 sums",
)


@pmi.case(points=1)
def plain(draw):
    """no shift (k = 1), noise by frequency (power 1)"""
    return {"counts": draw.normal(4, 4).abs() * 20 + 1, "k": 1, "power": 1.0}


@pmi.case(points=1)
def shifted(draw):
    """k = 2"""
    return {"counts": draw.normal(5, 4).exp() ** 2 + 1, "k": 2, "power": 1.0}


@pmi.case(points=1)
def powered(draw):
    """noise to the power 3/4, and k = 2"""
    return {"counts": draw.normal(4, 6).exp() ** 2 * torch.arange(1, 7), "k": 2, "power": 0.75}


@pmi.case(points=2)
def with_zeros(draw):
    """pairs that were never seen, and an empty row and column; noise to the power 3/4, and k = 2"""
    counts = torch.from_numpy(draw.rng.poisson(0.6, (8, 8))).float()
    counts[2], counts[:, 1] = 0, 0
    return {"counts": counts, "k": 2, "power": 0.75}


@pmi.invariant
def never_negative(got, inputs):
    """no entry may be below 0"""
    return bool((got >= 0).all())


@pmi.invariant
def unseen_is_zero(got, inputs):
    """a pair that was never seen must have 0"""
    return not got[inputs["counts"] == 0].any()


sgns = FunctionQuestion(
    "skip_gram",
    returns=("loss", "by_v", "by_u", "by_noise"),
    atol=1e-4,
    because="sums of products of about 1 in float32; the loss may reach a few hundred",
)


@sgns.case(points=1)
def one_pair(draw):
    """one pair and one noise word, in two dimensions"""
    return {
        "v": torch.tensor([[1.0, 2.0]]),
        "u": torch.tensor([[0.5, 0.25]]),
        "noise": torch.tensor([[[-1.0, 1.0]]]),
    }


@sgns.case(points=3)
def batch(draw):
    """four pairs with five noise words each"""
    return {"v": draw.normal(4, 6), "u": draw.normal(4, 6), "noise": draw.normal(4, 5, 6)}


@sgns.case(points=2)
def large(draw):
    """products of about ±200"""
    v = torch.tensor([[10.0, 10.0, 0.0], [10.0, -10.0, 1.0]])
    u = torch.tensor([[-10.0, -10.0, 1.0], [10.0, -10.0, 0.0]])
    return {"v": v, "u": u, "noise": torch.stack([v, -v], dim=1) + 0.1 * draw.normal(2, 2, 3)}


@sgns.invariant
def loss_is_positive(got, inputs):
    """a sum of minus logarithms of probabilities cannot be negative"""
    return bool((got[0] >= 0).all())


reading = ValueQuestion()
reading.number("product", points=1, title="the product of the pair")
reading.number("expected", points=1, title="meetings by chance")
reading.number("factor", points=1, title="untied over tied")
reading.choice("conclusion", "abcd", points=1, title="what a cosine says")
