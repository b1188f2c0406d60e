"""The checks of 03_algorithms/07_inference: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

nucleus = FunctionQuestion(
    "nucleus",
    returns=("probabilities",),
    atol=1e-5,
    because="a softmax and sums of up to 20 probabilities in float32",
)


@nucleus.case(points=1)
def on_paper(draw):
    """one row with the probabilities 0.13, 0.26, 0.1, 0.2, 0.17 and 0.14, p = 0.55"""
    return {"scores": torch.tensor([[0.13, 0.26, 0.1, 0.2, 0.17, 0.14]]).log(), "temperature": 1.0, "p": 0.55}


@nucleus.case(points=1)
def only_temperature(draw):
    """p = 0.9999: only the temperature counts, and nothing is left out"""
    return {"scores": draw.normal(3, 8) / 2, "temperature": 0.5, "p": 0.9999}


@nucleus.case(points=2)
def both(draw):
    """four rows of 20 tokens, temperature 1.5 and p = 0.8"""
    return {"scores": 2 * draw.normal(4, 20), "temperature": 1.5, "p": 0.8}


@nucleus.case(points=1)
def sure(draw):
    """rows in which one token has more than p by itself"""
    scores = draw.normal(2, 6) / 2
    scores[:, 3] += 2.0
    return {"scores": scores, "temperature": 1.0, "p": 0.25}


@nucleus.invariant
def rows_sum_to_one(got, inputs):
    """each row must sum to 1"""
    return torch.allclose(got.sum(-1), torch.ones(len(got)), atol=1e-5)


@nucleus.invariant
def likeliest_stays(got, inputs):
    """the likeliest token must stay the likeliest"""
    return torch.equal(got.argmax(-1), inputs["scores"].argmax(-1))


beam = FunctionQuestion(
    "beam_step",
    returns=("new_totals", "parents", "tokens"),
    atol=1e-5,
    because="one log-softmax and one sum in float32; parents and tokens are whole numbers and must be equal",
)


@beam.case(points=1)
def two_beams(draw):
    """two beginnings, four tokens: the numbers can be worked out"""
    scores = torch.tensor([[0.2, 0.25, 0.45, 0.1], [0.16, 1.5, 0.24, 0.1]]).log()
    return {"totals": torch.tensor([0.6, 0.39]).log(), "scores": scores}


@beam.case(points=2)
def many(draw):
    """five beginnings, twelve tokens; scores that are no log-probabilities"""
    return {"totals": -2 * draw.normal(5).abs() - 3, "scores": 2 * draw.normal(5, 12) + 3 * draw.normal(5, 1)}


@beam.case(points=2)
def one_parent(draw):
    """one beginning is far ahead: all continuations are its children"""
    totals = draw.normal(3) - 20
    totals[1] = -1.0
    return {"totals": totals, "scores": 2 * draw.normal(3, 9) + 3 * draw.normal(3, 1)}


@beam.invariant
def best_first(got, inputs):
    """the totals must fall: the best first"""
    return bool((got[0].diff() <= 0).all())


@beam.invariant
def never_better_than_the_parent(got, inputs):
    """a longer text cannot be likelier than its beginning"""
    parents = got[1].clamp(0, len(inputs["totals"]) - 1)
    return bool((got[0] <= inputs["totals"][parents] + 1e-4).all())


speculative = FunctionQuestion(
    "acceptance",
    returns=("chance", "instead"),
    atol=1e-5,
    because="differences of probabilities in float32, divided by a sum that is some 0.1",
)


def distributions(draw, n_rows, n_tokens):
    wanted, drafted = ((1.5 * draw.normal(n_rows, n_tokens)).softmax(-1) for _ in range(2))
    return wanted, drafted


@speculative.case(points=1)
def by_hand(draw):
    """two rows of four tokens that can be done on paper"""
    wanted = torch.tensor([[0.6, 0.3, 0.1, 0.0], [0.25, 0.25, 0.25, 0.25]])
    drafted = torch.tensor([[0.1, 0.3, 0.2, 0.4], [0.5, 0.125, 0.25, 0.125]])
    return {"wanted": wanted, "drafted": drafted, "tokens": torch.tensor([2, 1])}


@speculative.case(points=2)
def random_rows(draw):
    """six rows of ten tokens"""
    wanted, drafted = distributions(draw, 6, 10)
    tokens = torch.stack([draw.order(10)[0] for _ in range(6)])
    tokens[0], tokens[1] = (wanted[0] - drafted[0]).argmax(), (drafted[1] - wanted[1]).argmax()
    return {"wanted": wanted, "drafted": drafted, "tokens": tokens}


@speculative.case(points=1)
def a_perfect_draft(draw):
    """in one row the draft's distribution is the large model's"""
    wanted, drafted = distributions(draw, 3, 5)
    drafted[1] = wanted[1]
    return {"wanted": wanted, "drafted": drafted, "tokens": torch.tensor([0, 1, 2])}


@speculative.invariant
def chances_are_probabilities(got, inputs):
    """a chance lies between 0 and 1"""
    return bool(((got[0] >= 0) & (got[0] <= 1 + 1e-6)).all())


@speculative.invariant
def no_negative_rest(got, inputs):
    """no probability in `instead` may be negative"""
    return bool((got[1] >= -1e-6).all())


@speculative.invariant
def rows_of_the_rest_sum_to_one(got, inputs):
    """each row of `instead` must sum to 1"""
    return torch.allclose(got[1].sum(-1), torch.ones(len(got[1])), atol=1e-5)


choices = ValueQuestion()
choices.choice("answers", "abcd", points=1, title="one right answer")
choices.choice("curse", "abcd", points=1, title="the beam curse")
choices.choice("certain", "abcd", points=1, title="what a constraint makes certain")
choices.number("sharp", points=1, title="temperature ½")
choices.number("rate", points=1, title="tokens for a run")
choices.number("score", points=1, title="divided by the length")
