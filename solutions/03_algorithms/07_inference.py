# %% [markdown] name="title"
# # 3.7 推理 · Inference — exercises
#
# 本节的练习先写温度与 top-p 采样所用的概率，再写束搜索的一步，然后写推测解码的接受规则，
# 最后根据任务选择解码策略，并算出几个数字。
#
# You write the rules that turn a model's scores into text, in plain torch. Section 3.7 has all that you need. Calls of
# `lmlib.decoding` would pass as well, but you would not have seen how it works.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 07_inference

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="nucleus" question={"points": 5, "difficulty": 3, "minutes": 20, "section": "3.7"}
# ## 1. Temperature and top-p
#
# Make of the scores the probabilities that are drawn from: first the temperature, then top-p, then normalise again.
#
# | | shape | |
# | --- | --- | --- |
# | `scores` | (R, V) | one row for each text that is being written |
# | `temperature` | float | above 0; the scores are divided by it |
# | `p` | float | above 0, at most 1 |
# | returns `probabilities` | (R, V) | each row sums to 1; 0 for tokens that are left out |
#
# Top-p keeps the *fewest* likeliest tokens that together have a probability of at least p. The likeliest token always
# stays. No two scores of a row are equal.
#
# **What usually goes wrong:** the token that reaches p is left out; the probabilities go back to the wrong places
# after sorting; top-p looks at the probabilities before the temperature.


# %% name="nucleus-answer"
def nucleus(scores: Tensor, temperature: float, p: float) -> Tensor:
    """The probabilities (R, V) that temperature and top-p make of scores (R, V)."""
    ### BEGIN SOLUTION
    chances = torch.softmax(scores / temperature, dim=1)
    ordered, order = chances.sort(descending=True)
    before = ordered.cumsum(1) - ordered  # what the likelier tokens have together
    kept = torch.where(before < p, ordered, 0.0)
    probabilities = torch.zeros_like(scores).scatter(1, order, kept)
    return probabilities / probabilities.sum(1, keepdim=True)
    ### END SOLUTION


# %% name="nucleus-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("07_inference", "nucleus", nucleus)

# %% [markdown] name="nucleus-hint-1"
# Sort each row with the largest first: `values, order = x.sort(descending=True)`. For each token ask: how much
# probability have those *before* it? If that is less than p, it is still needed.

# %% [markdown] name="nucleus-hint-2"
# `cumsum(-1)` is the sum up to and with a token; take the token itself off and you have what stands before it.

# %% [markdown] name="nucleus-hint-3"
# `torch.zeros_like(scores).scatter(-1, order, values)` puts sorted values back to their places. What must each row
# sum to in the end?

# %% name="nucleus-parts"
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


# %% name="nucleus-mistake-last-left-out"
# %%mistake nucleus
# The token that reaches p is left out, so what stays has less than p. Ask whether the tokens *before* it already have
# p together.
def nucleus(scores, temperature, p):
    ordered, order = torch.softmax(scores / temperature, dim=-1).sort(descending=True)
    keep = ordered.cumsum(-1) <= p
    keep[:, 0] = True
    probabilities = torch.zeros_like(scores).scatter(-1, order, ordered * keep)
    return probabilities / probabilities.sum(-1, keepdim=True)


# %% name="nucleus-mistake-one-too-many"
# %%mistake nucleus
# One token too many stays. When the tokens before it have p together, a token is not needed any more.
def nucleus(scores, temperature, p):
    ordered, order = torch.softmax(scores / temperature, dim=-1).sort(descending=True)
    keep = (ordered.cumsum(-1) - ordered < p).roll(1, dims=-1)
    keep[:, 0] = True
    probabilities = torch.zeros_like(scores).scatter(-1, order, ordered * keep)
    return probabilities / probabilities.sum(-1, keepdim=True)


# %% name="nucleus-mistake-ascending"
# %%mistake nucleus
# The least likely tokens are kept first. Sort with `descending=True`.
def nucleus(scores, temperature, p):
    ordered, order = torch.softmax(scores / temperature, dim=-1).sort()
    kept = torch.where(ordered.cumsum(-1) - ordered < p, ordered, 0.0)
    probabilities = torch.zeros_like(scores).scatter(-1, order, kept)
    return probabilities / probabilities.sum(-1, keepdim=True)


# %% name="nucleus-mistake-mask-not-sorted-back"
# %%mistake nucleus
# Which tokens stay was found in sorted order, but it is applied to the probabilities in their own order. Scatter the
# mask back with `order` first.
def nucleus(scores, temperature, p):
    chances = torch.softmax(scores / temperature, dim=-1)
    ordered, _ = chances.sort(descending=True)
    kept = torch.where(ordered.cumsum(-1) - ordered < p, chances, 0.0)
    return kept / kept.sum(-1, keepdim=True)


# %% name="nucleus-mistake-wrong-places"
# %%mistake nucleus
# The probabilities are left in sorted order: the largest stands at token 0, whichever token it belongs to. Scatter
# them back with `order`.
def nucleus(scores, temperature, p):
    ordered, _ = torch.softmax(scores / temperature, dim=-1).sort(descending=True)
    kept = torch.where(ordered.cumsum(-1) - ordered < p, ordered, 0.0)
    return kept / kept.sum(-1, keepdim=True)


# %% name="nucleus-mistake-gathered"
# %%mistake nucleus
# `gather` with `order` shuffles the sorted values once more. The value at place k belongs to token `order[k]`: that is
# what `scatter` does.
def nucleus(scores, temperature, p):
    ordered, order = torch.softmax(scores / temperature, dim=-1).sort(descending=True)
    kept = torch.where(ordered.cumsum(-1) - ordered < p, ordered, 0.0)
    return kept.gather(-1, order) / kept.sum(-1, keepdim=True)


# %% name="nucleus-mistake-temperature-after"
# %%mistake nucleus
# Top-p is taken before the temperature. The temperature comes first: it decides how many tokens are needed for p.
def nucleus(scores, temperature, p):
    ordered, order = scores.softmax(-1).sort(descending=True)
    keep = torch.zeros_like(scores).scatter(-1, order, (ordered.cumsum(-1) - ordered < p).float()) > 0
    return (scores / temperature).masked_fill(~keep, -math.inf).softmax(-1)


# %% name="nucleus-mistake-multiplied"
# %%mistake nucleus
# The scores are multiplied by the temperature. A temperature below 1 must make the distribution *sharper*: divide.
def nucleus(scores, temperature, p):
    ordered, order = torch.softmax(scores * temperature, dim=-1).sort(descending=True)
    kept = torch.where(ordered.cumsum(-1) - ordered < p, ordered, 0.0)
    probabilities = torch.zeros_like(scores).scatter(-1, order, kept)
    return probabilities / probabilities.sum(-1, keepdim=True)


# %% name="nucleus-mistake-not-normalised"
# %%mistake nucleus
# What is left is not normalised again: the rows sum to p or a little more.
def nucleus(scores, temperature, p):
    ordered, order = torch.softmax(scores / temperature, dim=-1).sort(descending=True)
    kept = torch.where(ordered.cumsum(-1) - ordered < p, ordered, 0.0)
    return torch.zeros_like(scores).scatter(-1, order, kept)


# %% name="nucleus-mistake-threshold"
# %%mistake nucleus
# This keeps tokens whose *own* probability is at least (1 − p) of the largest. Top-p is about the probability of the
# kept tokens together.
def nucleus(scores, temperature, p):
    chances = torch.softmax(scores / temperature, dim=-1)
    kept = torch.where(chances >= (1 - p) * chances.amax(-1, keepdim=True), chances, 0.0)
    return kept / kept.sum(-1, keepdim=True)


# %% name="nucleus-other-loop"
# %%other nucleus
# Row by row, token by token, until p is reached.
def nucleus(scores, temperature, p):
    result = torch.zeros_like(scores)
    for row, chances in zip(result, torch.softmax(scores / temperature, dim=-1), strict=True):
        total = 0.0
        for token in chances.argsort(descending=True).tolist():
            if total >= p:
                break
            row[token] = chances[token]
            total += chances[token].item()
    return result / result.sum(1, keepdim=True)


# %% name="nucleus-other-scores"
# %%other nucleus
# Minus infinity in the scores, and a second softmax; the mask by comparing each token with all others.
def nucleus(scores, temperature, p):
    scaled = scores / temperature
    chances = scaled.softmax(-1)
    likelier = scaled[:, None, :] > scaled[:, :, None]  # (R, V, V): is the last one likelier than the middle one?
    before = (likelier * chances[:, None, :]).sum(-1)
    return scaled.masked_fill(before >= p, -math.inf).softmax(-1)


# %% name="nucleus-equivalent-boundary"
# %%equivalent nucleus
# No sum of the drawn probabilities is exactly p, so it makes no difference on which side p itself belongs.
kept = torch.where(before <= p, ordered, 0.0)

# %% [markdown] name="beam" question={"points": 5, "difficulty": 4, "minutes": 25, "section": "3.7"}
# ## 2. One step of beam search
#
# K beginnings are kept, with the sums of their log-probabilities. The model has given scores of the next token for
# each. Find the K best longer beginnings among all K·V.
#
# | | shape | |
# | --- | --- | --- |
# | `totals` | (K,) | sum of log-probabilities of each beginning so far |
# | `scores` | (K, V) | the model's scores of the next token, *not yet* log-probabilities |
# | returns `new_totals` | (K,) | of the K best longer beginnings, best first |
# | returns `parents` | (K,) int64 | which beginning each of them continues |
# | returns `tokens` | (K,) int64 | by which token |
#
# There is no end token here. No two candidates are equal.
#
# **What usually goes wrong:** the K best of *each* beginning are taken; scores are added as if they were
# log-probabilities; parent and token are exchanged when the place in the flat list is taken apart.


# %% name="beam-answer"
def beam_step(totals: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The K best one-token continuations of K beginnings: totals, parents and tokens, each (K,)."""
    ### BEGIN SOLUTION
    n_beams, n_tokens = scores.shape
    candidates = totals[:, None] + torch.log_softmax(scores, dim=1)  # (K, V)
    new_totals, places = candidates.flatten().topk(n_beams)
    return new_totals, places // n_tokens, places % n_tokens
    ### END SOLUTION


# %% name="beam-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("07_inference", "beam", beam_step)

# %% [markdown] name="beam-hint-1"
# A sum of log-probabilities is the logarithm of a product. So the new total of a candidate is the total of its parent
# plus `log_softmax` of the scores, at its token.

# %% [markdown] name="beam-hint-2"
# All K·V candidates compete. Flatten (K, V) to (K·V): then place 0 to V − 1 are the first beginning's. What do `//`
# and `%` by V tell you?

# %% name="beam-parts"
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


# %% name="beam-mistake-raw-scores"
# %%mistake beam
# The scores are added as they are. They are not log-probabilities: beginnings whose scores happen to be large would
# win. Use `log_softmax` over the vocabulary.
def beam_step(totals, scores):
    new_totals, places = (totals[:, None] + scores).flatten().topk(len(totals))
    return new_totals, places // scores.size(1), places % scores.size(1)


# %% name="beam-mistake-no-logarithm"
# %%mistake beam
# Probabilities are added to logarithms. A sum of log-probabilities stands for a product of probabilities: use
# `log_softmax`.
def beam_step(totals, scores):
    new_totals, places = (totals[:, None] + scores.softmax(-1)).flatten().topk(len(totals))
    return new_totals, places // scores.size(1), places % scores.size(1)


# %% name="beam-mistake-each-its-own"
# %%mistake beam
# Each beginning keeps its best continuation, one child for each parent. That is K greedy searches side by side; in a
# beam all K·V candidates compete.
def beam_step(totals, scores):
    best, tokens = (totals[:, None] + scores.log_softmax(-1)).max(-1)
    new_totals, parents = best.sort(descending=True)
    return new_totals, parents, tokens[parents]


# %% name="beam-mistake-exchanged"
# %%mistake beam
# Parent and token are exchanged. In the flat list the tokens of one beginning stand side by side: `//` by V is the
# parent, `%` by V the token.
def beam_step(totals, scores):
    new_totals, places = (totals[:, None] + scores.log_softmax(-1)).flatten().topk(len(totals))
    return new_totals, places % scores.size(1), places // scores.size(1)


# %% name="beam-mistake-place-as-token"
# %%mistake beam
# The tokens are places in the flat list. The token is the place in its own row: `%` by V.
def beam_step(totals, scores):
    new_totals, places = (totals[:, None] + scores.log_softmax(-1)).flatten().topk(len(totals))
    return new_totals, places // scores.size(1), places


# %% name="beam-mistake-topk-of-topk"
# %%mistake beam
# After a `topk` of each row, a place in the row is no token any more. Look the token up in the indices that this `topk`
# gave.
def beam_step(totals, scores):
    values, _ = scores.log_softmax(-1).topk(len(totals))
    new_totals, places = (totals[:, None] + values).flatten().topk(len(totals))
    return new_totals, places // len(totals), places % len(totals)


# %% name="beam-mistake-divided-by-beams"
# %%mistake beam
# The place is taken apart with K, the number of beginnings. A row of the candidates has V entries: divide by V.
def beam_step(totals, scores):
    new_totals, places = (totals[:, None] + scores.log_softmax(-1)).flatten().topk(len(totals))
    return new_totals, places // len(totals), places % len(totals)


# %% name="beam-mistake-no-history"
# %%mistake beam
# The totals so far are left out, in the choice or in the totals that are returned: only the newest token counts. A
# likely token after an unlikely beginning would win, now or at the next step.
def beam_step(totals, scores):
    new_totals, places = scores.log_softmax(-1).flatten().topk(len(totals))
    return new_totals, places // scores.size(1), places % scores.size(1)


# %% name="beam-mistake-softmax-over-beams"
# %%mistake beam
# The softmax runs over all candidates at once. Each beginning has a distribution of its own: take it over the last
# axis.
def beam_step(totals, scores):
    candidates = totals[:, None] + scores.flatten().log_softmax(0).view_as(scores)
    new_totals, places = candidates.flatten().topk(len(totals))
    return new_totals, places // scores.size(1), places % scores.size(1)


# %% name="beam-other-list"
# %%other beam
# All candidates in a list, sorted.
def beam_step(totals, scores):
    log_probs = scores - scores.logsumexp(1, keepdim=True)
    found = [(totals[k] + log_probs[k, v], k, v) for k in range(scores.size(0)) for v in range(scores.size(1))]
    best = sorted(found, key=lambda one: -one[0].item())[: len(totals)]
    return torch.stack([one[0] for one in best]), torch.tensor([b[1] for b in best]), torch.tensor([b[2] for b in best])


# %% name="beam-other-two-steps"
# %%other beam
# The K best of each beginning first, then the K best of those: more than K of one parent are never needed.
def beam_step(totals, scores):
    n_beams = len(totals)
    values, ids = scores.log_softmax(-1).topk(min(n_beams, scores.size(1)))
    values = values + totals.unsqueeze(1)
    new_totals, places = values.reshape(-1).sort(descending=True)
    places = places[:n_beams]
    return new_totals[:n_beams], torch.div(places, ids.size(1), rounding_mode="floor"), ids.reshape(-1)[places]


# %% [markdown] name="speculative" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "3.7"}
# ## 3. The rule of speculative decoding
#
# A small model has drafted a token, drawn from its distribution q. The large model would have drawn from p. For each
# row give the chance with which the drafted token stands, and the distribution from which a new token is drawn if it
# falls:
#
# $$\text{chance} = \min\!\left(1, \frac{p(x)}{q(x)}\right),\qquad
# p'(v) = \frac{\max(0,\ p(v) - q(v))}{\sum_u \max(0,\ p(u) - q(u))}$$
#
# | | shape | |
# | --- | --- | --- |
# | `wanted` | (R, V) | p, the large model's probabilities |
# | `drafted` | (R, V) | q, the draft's |
# | `tokens` | (R,) int64 | the drafted tokens; q of each is above 0 |
# | returns `chance` | (R,) | that the drafted token stands |
# | returns `instead` | (R, V) | p′, from which a new one is drawn |
#
# Where p and q are equal in a row, the token always stands, and nothing is left to draw from: give p itself as
# `instead` there, not NaN. In all other rows give p′, also where the chance is 1.
#
# **What usually goes wrong:** p and q are exchanged; the chance is not capped at 1; the rest is not normalised.


# %% name="speculative-answer"
def acceptance(wanted: Tensor, drafted: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The chance (R,) that drafted tokens stand, and what is drawn from (R, V) where they fall."""
    ### BEGIN SOLUTION
    places = tokens[:, None]
    ratio = wanted.gather(1, places) / drafted.gather(1, places)  # (R, 1)
    rest = (wanted - drafted).clamp(min=0)  # (R, V)
    total = rest.sum(1, keepdim=True)
    instead = torch.where(total > 0, rest / total, wanted)
    return ratio.flatten().clamp(max=1), instead
    ### END SOLUTION


# %% name="speculative-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("07_inference", "speculative", acceptance)

# %% [markdown] name="speculative-hint-1"
# `x.gather(1, tokens[:, None])[:, 0]` picks one number of each row: the probability of its token.

# %% [markdown] name="speculative-hint-2"
# The rest is what the large model wants *more* than the draft gave. `clamp(min=0)` leaves out the tokens of which the
# draft gave too much.

# %% name="speculative-parts"
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


# %% name="speculative-mistake-exchanged"
# %%mistake speculative
# p and q are exchanged in the chance: a token that the draft likes too much would always stand. It is p/q.
def acceptance(wanted, drafted, tokens):
    rows = torch.arange(len(tokens))
    rest = (wanted - drafted).clamp(min=0)
    total = rest.sum(1, keepdim=True)
    chance = (drafted[rows, tokens] / wanted[rows, tokens]).clamp(max=1)
    return chance, torch.where(total > 0, rest / total, wanted)


# %% name="speculative-mistake-both-exchanged"
# %%mistake speculative
# p and q are exchanged everywhere. `wanted` is p, `drafted` is q: the chance is p/q, and the rest is p − q.
def acceptance(wanted, drafted, tokens):
    rows = torch.arange(len(tokens))
    rest = (drafted - wanted).clamp(min=0)
    total = rest.sum(1, keepdim=True)
    chance = (drafted[rows, tokens] / wanted[rows, tokens]).clamp(max=1)
    return chance, torch.where(total > 0, rest / total, wanted)


# %% name="speculative-mistake-rest-exchanged"
# %%mistake speculative
# p and q are exchanged in the rest. It is what the large model wants *more* than the draft: p − q, not q − p.
def acceptance(wanted, drafted, tokens):
    rows = torch.arange(len(tokens))
    rest = (drafted - wanted).clamp(min=0)
    total = rest.sum(1, keepdim=True)
    chance = (wanted[rows, tokens] / drafted[rows, tokens]).clamp(max=1)
    return chance, torch.where(total > 0, rest / total, wanted)


# %% name="speculative-mistake-capped-below"
# %%mistake speculative
# The chance is at least 1 here: `clamp(min=1)`, or `clamp(x, 1)`, makes small numbers larger. The cap is
# `clamp(max=1)`.
def acceptance(wanted, drafted, tokens):
    rows = torch.arange(len(tokens))
    rest = (wanted - drafted).clamp(min=0)
    total = rest.sum(1, keepdim=True)
    chance = (wanted[rows, tokens] / drafted[rows, tokens]).clamp(min=1)
    return chance, torch.where(total > 0, rest / total, wanted)


# %% name="speculative-mistake-not-capped"
# %%mistake speculative
# The chance is not capped: where the large model likes the token better than the draft does, p/q is above 1. It
# stands for certain: 1.
def acceptance(wanted, drafted, tokens):
    rows = torch.arange(len(tokens))
    rest = (wanted - drafted).clamp(min=0)
    total = rest.sum(1, keepdim=True)
    return wanted[rows, tokens] / drafted[rows, tokens], torch.where(total > 0, rest / total, wanted)


# %% name="speculative-mistake-draws-wanted"
# %%mistake speculative
# Each row of `instead` is p itself. Then the tokens that the draft likes come too often: they have had their chance
# already. Only what is missing, max(0, p − q), may be drawn. (Without the max, p − q sums to 0 in each row, and a guard
# against the sum 0 gives p everywhere.)
def acceptance(wanted, drafted, tokens):
    rows = torch.arange(len(tokens))
    return (wanted[rows, tokens] / drafted[rows, tokens]).clamp(max=1), wanted


# %% name="speculative-mistake-drafted-token-left-out"
# %%mistake speculative
# Only the drafted token is left out of p. The draft might have drawn the others as well: subtract q everywhere.
def acceptance(wanted, drafted, tokens):
    rows = torch.arange(len(tokens))
    rest = wanted.clone()
    rest[rows, tokens] = 0.0
    return (wanted[rows, tokens] / drafted[rows, tokens]).clamp(max=1), rest / rest.sum(1, keepdim=True)


# %% name="speculative-mistake-not-normalised"
# %%mistake speculative
# The rest is not normalised, so it is no distribution: divide by its sum.
def acceptance(wanted, drafted, tokens):
    rows = torch.arange(len(tokens))
    rest = (wanted - drafted).clamp(min=0)
    return (wanted[rows, tokens] / drafted[rows, tokens]).clamp(max=1), rest


# %% name="speculative-mistake-absolute"
# %%mistake speculative
# The rest takes the absolute difference: tokens of which the draft gave too much would be drawn again. Negative
# differences count as 0.
def acceptance(wanted, drafted, tokens):
    rows = torch.arange(len(tokens))
    rest = (wanted - drafted).abs()
    total = rest.sum(1, keepdim=True)
    chance = (wanted[rows, tokens] / drafted[rows, tokens]).clamp(max=1)
    return chance, torch.where(total > 0, rest / total, wanted)


# %% name="speculative-mistake-zero-by-zero"
# %%mistake speculative
# Where draft and large model agree, nothing is left, and the rest is divided by 0. Give p there: it will never be
# drawn from, but NaN would spoil the row.
def acceptance(wanted, drafted, tokens):
    rows = torch.arange(len(tokens))
    rest = (wanted - drafted).clamp(min=0)
    return (wanted[rows, tokens] / drafted[rows, tokens]).clamp(max=1), rest / rest.sum(1, keepdim=True)


# %% name="speculative-other-loop"
# %%other speculative
# Row by row.
def acceptance(wanted, drafted, tokens):
    chances, rests = [], []
    for p, q, token in zip(wanted, drafted, tokens.tolist(), strict=True):
        chances.append(min(1.0, (p[token] / q[token]).item()))
        rest = torch.relu(p - q)
        rests.append(rest / rest.sum() if rest.any() else p)
    return torch.tensor(chances), torch.stack(rests)


# %% name="speculative-other-minimum"
# %%other speculative
# What p and q share is their minimum; the rest is p less that.
def acceptance(wanted, drafted, tokens):
    shared = torch.minimum(wanted, drafted)
    rows = torch.arange(len(tokens))
    rest = wanted - shared
    missing = 1 - shared.sum(1, keepdim=True)
    equal = (wanted == drafted).all(1, keepdim=True)
    return (shared / drafted)[rows, tokens], torch.where(equal, wanted, rest / torch.where(equal, 1.0, missing))


# %% [markdown] name="choices" question={"points": 6, "difficulty": 2, "minutes": 15, "section": "3.7"}
# ## 4. Which strategy, and some numbers
#
# **1.** A model answers questions of which each has one right answer. Which setting makes most answers right? Set
# `answers`.
#
# - **a** temperature 1, so that the model's own distribution is drawn from
# - **b** the likeliest token each time
# - **c** temperature 1.5 with top-p 0.9
# - **d** a repetition penalty of 1.5
#
# **2.** With 64 beams instead of 4 a translator's outputs have a higher probability, are much shorter, and are worse.
# Why? Set `curse`.
#
# - **a** A beam search with many beams makes mistakes in its sums.
# - **b** Each token costs probability, so among all texts short ones are the likeliest; a better search finds them.
# - **c** More beams make the temperature higher.
# - **d** The model was trained with 4 beams.
#
# **3.** A form is drawn under a constraint that allows only valid JSON with a town of a given list. What is certain?
# Set `certain`.
#
# - **a** that the form can be read, and nothing about its truth
# - **b** that the town is the right one
# - **c** that the text is the likeliest valid one
# - **d** that it takes fewer tokens
#
# Give the numbers of 4 to 6 to three digits or more.
#
# **4.** Three tokens have the probabilities 0.6, 0.3 and 0.1. What is the probability of the first at temperature ½?
# Set `sharp`.
#
# **5.** A draft of γ = 3 tokens, each of which stands with chance ½. How many tokens does one run of the large model
# give on average? Set `rate`.
#
# **6.** A text of 4 tokens has the log-probability −6, another of 10 tokens −12. Divide each by its length. What is
# then the score of the better text? Set `score`.

# %% name="choices-answer"
answers = ""  # the letter
curse = ""  # the letter
certain = ""  # the letter
sharp = None  # a number between 0 and 1, to three digits
rate = None  # a number, to three digits
score = None  # a number
### BEGIN SOLUTION
answers = "b"
curse = "b"
certain = "a"
sharp = 0.783  # 0.36 / (0.36 + 0.09 + 0.01)
rate = 1.88  # 1 + 1/2 + 1/4 + 1/8 = 1.875
score = -1.2  # -12 / 10, against -6 / 4 = -1.5
### END SOLUTION

# %% name="choices-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("07_inference", "choices", answers=answers, curse=curse, certain=certain, sharp=sharp, rate=rate, score=score)

# %% [markdown] name="choices-hint-1"
# 4: dividing scores by ½ doubles them, and doubling a logarithm squares the probability. Normalise afterwards.

# %% [markdown] name="choices-hint-2"
# 5: one token comes in any case. A second one if the first draft stands, a third one if two stand in a row, and so on.

# %% [markdown] name="choices-hint-3"
# 6: logarithms of probabilities are negative. The better text is the one whose score is nearer to 0.

# %% name="choices-parts"
choices = ValueQuestion()
choices.choice("answers", "abcd", points=1, title="one right answer")
choices.choice("curse", "abcd", points=1, title="the beam curse")
choices.choice("certain", "abcd", points=1, title="what a constraint makes certain")
choices.number("sharp", points=1, title="temperature ½")
choices.number("rate", points=1, title="tokens for a run")
choices.number("score", points=1, title="divided by the length")

# %% name="choices-mistake-drawn"
# %%mistake choices
# Drawing from the model's own distribution misses the right answer whenever the model is not quite sure. The
# likeliest is right at least as often.
answers = "a"

# %% name="choices-mistake-hot"
# %%mistake choices
# A temperature above 1 flattens the distribution: more variety, fewer right answers. Top-p takes back a part of the
# harm only.
answers = "c"

# %% name="choices-mistake-penalty"
# %%mistake choices
# A penalty makes the tokens that have already occurred less likely, those of the question as well, and an answer often
# needs them. It is a cure for loops in long texts.
answers = "d"

# %% name="choices-mistake-sums"
# %%mistake choices
# The sums are right. The outputs *have* a higher probability: the search does what it is asked to do, and that is the
# trouble.
curse = "a"

# %% name="choices-mistake-temperature"
# %%mistake choices
# Beam search draws nothing, so it has no temperature. More beams look at more candidates.
curse = "c"

# %% name="choices-mistake-trained"
# %%mistake choices
# Beams belong to decoding; in training the next token of the given text is predicted, without any search.
curse = "d"

# %% name="choices-mistake-right-town"
# %%mistake choices
# The constraint allows every town of the list. Which one is right it does not know.
certain = "b"

# %% name="choices-mistake-likeliest"
# %%mistake choices
# The constraint looks one token ahead, and tokens are drawn. A valid text comes out, not the likeliest one.
certain = "c"

# %% name="choices-mistake-fewer-tokens"
# %%mistake choices
# A form with all its brackets and quotes often takes more tokens than a free answer.
certain = "d"

# %% name="choices-mistake-not-normalised"
# %%mistake choices
# 0.36 is the square; the squares sum to 0.46. Divide by that.
sharp = 0.36

# %% name="choices-mistake-root"
# %%mistake choices
# That takes the square roots, temperature 2, which flattens. Temperature ½ squares.
sharp = 0.473

# %% name="choices-mistake-probabilities-divided"
# %%mistake choices
# That divides the probabilities by ½ as if they were scores. Their logarithms are the scores: square the probabilities,
# and normalise.
sharp = 0.522

# %% name="choices-mistake-drafted-only"
# %%mistake choices
# ½ + ¼ + ⅛ counts the drafted tokens. In each run the large model gives one token of its own: in place of the first
# that falls, or after the last.
rate = 0.875

# %% name="choices-mistake-one-term-less"
# %%mistake choices
# That is for γ = 2. The third drafted token stands with chance ⅛.
rate = 1.75

# %% name="choices-mistake-one-term-more"
# %%mistake choices
# That is for γ = 4. Three drafted tokens and one of the large model's own make four terms.
rate = 1.9375

# %% name="choices-mistake-product"
# %%mistake choices
# γ · ½ counts drafted tokens as if each stood independently of those before it. But when one falls, all after it go;
# and one token comes in any case.
rate = 1.5

# %% name="choices-mistake-plus-one"
# %%mistake choices
# 1 + γ · ½ takes each draft by itself. When one falls, all after it are lost: 1 + ½ + ¼ + ⅛.
rate = 2.5

# %% name="choices-mistake-shorter"
# %%mistake choices
# −1.5 is the short text's score. −1.2 is larger, so the long one wins.
score = -1.5

# %% name="choices-mistake-sum"
# %%mistake choices
# That is the sum. Divide it by the length of the text.
score = -12

# %% name="choices-other-worked-out"
# %%other choices
# The numbers rounded to four digits, as they are worked out.
answers, curse, certain = "B", "(b)", "a."
sharp = 0.6**2 / sum(p * p for p in (0.6, 0.3, 0.1))
rate = 1.88
score = max(-6 / 4, -12 / 10)

# %% name="choices-other-tensors"
# %%other choices
# The numbers as tensors.
answers, curse, certain = " b", "b", "A"
sharp = (torch.tensor([0.6, 0.3, 0.1]).log() / 0.5).softmax(0)[0]
rate = torch.tensor(1.8751)
score = torch.tensor([-6.0, -12.0]).div(torch.tensor([4, 10])).max()

# %% [markdown] name="end"
# ## Done?
#
# `hint("07_inference", "nucleus", 1)` gives a first hint; the other questions have hints too. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
