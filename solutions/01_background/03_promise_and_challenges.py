# %% [markdown] name="title"
# # 1.3 前景与挑战 · Promise and challenges — exercises
#
# 本节的练习先按文体汇总每字节比特数，再从计数算出事先埋下的偏见有多强，
# 然后改写一层网络的权重而不改变它的函数，最后判断几个测量说明了什么、没有说明什么。
#
# You write the measurements of section 1.3 yourself. Each question has a cell for your answer and a cell that checks
# it. Run the check as often as you like.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 03_promise_and_challenges

# %% name="imports"
import math

import torch
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="domains" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "1.3"}
# ## 1. Bits per byte, kind by kind
#
# N texts of several kinds were scored. Give the bits per byte of each kind: all bits of its texts, divided by all bytes
# of its texts.
#
# | | shape | |
# | --- | --- | --- |
# | `log_p` | (N, T) float32 | ln P of each token, rows filled up with any finite numbers |
# | `mask` | (N, T) bool | True for a token, False for filling |
# | `n_bytes` | (N,) int64 | bytes of each text |
# | `kind` | (N,) int64 | the kind of each text, 0 ... K-1; each kind occurs |
# | `n_kinds` | int | K |
# | returns | (K,) float32 | bits per byte |
#
# **What usually goes wrong:** the mean of quotients is not the quotient of the sums; short texts then count too much.


# %% name="domains-answer"
def bits_by_kind(log_p: Tensor, mask: Tensor, n_bytes: Tensor, kind: Tensor, n_kinds: int) -> Tensor:
    """Bits per byte of each kind of text (K,)."""
    ### BEGIN SOLUTION
    bits = -torch.where(mask, log_p, 0.0) / math.log(2)  # (N, T)
    per_kind = [bits[kind == k].sum() / n_bytes[kind == k].sum() for k in range(n_kinds)]
    return torch.stack(per_kind)
    ### END SOLUTION


# %% name="domains-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_promise_and_challenges", "domains", bits_by_kind)

# %% [markdown] name="domains-hint-1"
# First one number for each text: its bits, without the filling. `torch.where(mask, log_p, 0.0)` removes what does not
# count.

# %% [markdown] name="domains-hint-2"
# `bits[kind == k]` are the bits of the texts of kind k. Sum them, and sum their bytes; only then divide.

# %% name="domains-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

domains = FunctionQuestion(
    "bits_by_kind",
    returns=("bits",),
    atol=1e-4,
    because="sums of up to a hundred numbers in float32 keep five digits",
)


@domains.case(points=1)
def by_hand(draw):
    """two kinds, with numbers that can be worked out on paper"""
    log_p = torch.tensor([[0.5, 0.5, 1.0], [0.25, 0.25, 0.25], [0.5, 0.0, 0.0]]).clamp(min=1e-3).log()
    mask = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])
    return {
        "log_p": log_p,
        "mask": mask,
        "n_bytes": torch.tensor([4, 3, 1]),
        "kind": torch.tensor([0, 1, 0]),
        "n_kinds": 2,
    }


@domains.case(points=3)
def many(draw):
    """twelve texts of very different lengths in three kinds"""
    lengths = draw.order(12) + 1
    mask = torch.arange(12)[None] < lengths[:, None]
    log_p = -draw.normal(12, 12).abs() - 0.1
    return {
        "log_p": log_p,
        "mask": mask,
        "n_bytes": 4 * lengths + draw.order(12),
        "kind": torch.tensor([0, 1, 2] * 4)[draw.order(12)],
        "n_kinds": 3,
    }


@domains.invariant
def not_negative(got, inputs):
    """bits per byte cannot be negative"""
    return bool((got >= 0).all())


# %% name="domains-mistake-mean-of-quotients"
# %%mistake domains
# This is the mean of each text's bits per byte. A short text then counts as much as a long one. Sum the bits and the
# bytes of a kind first.
def bits_by_kind(log_p, mask, n_bytes, kind, n_kinds):
    each = -torch.where(mask, log_p, 0.0).sum(1) / math.log(2) / n_bytes
    return torch.stack([each[kind == k].mean() for k in range(n_kinds)])


# %% name="domains-mistake-filling"
# %%mistake domains
# The filling is scored as well. Only the tokens where the mask is True belong to the text.
def bits_by_kind(log_p, mask, n_bytes, kind, n_kinds):
    bits = -log_p.sum(1) / math.log(2)
    return torch.stack([bits[kind == k].sum() / n_bytes[kind == k].sum() for k in range(n_kinds)])


# %% name="domains-mistake-nats"
# %%mistake domains
# These are nats per byte. Divide by ln 2 for bits.
def bits_by_kind(log_p, mask, n_bytes, kind, n_kinds):
    nats = -torch.where(mask, log_p, 0.0).sum(1)
    return torch.stack([nats[kind == k].sum() / n_bytes[kind == k].sum() for k in range(n_kinds)])


# %% name="domains-mistake-per-token"
# %%mistake domains
# These are bits per token. Kinds whose words are cut into more tokens would look better than they are; divide by bytes.
def bits_by_kind(log_p, mask, n_bytes, kind, n_kinds):
    bits = -torch.where(mask, log_p, 0.0).sum(1) / math.log(2)
    return torch.stack([bits[kind == k].sum() / mask[kind == k].sum() for k in range(n_kinds)])


# %% name="domains-mistake-all-bytes"
# %%mistake domains
# The bits of one kind are divided by the bytes of *all* texts. Take the bytes of the same texts.
def bits_by_kind(log_p, mask, n_bytes, kind, n_kinds):
    bits = -torch.where(mask, log_p, 0.0).sum(1) / math.log(2)
    return torch.stack([bits[kind == k].sum() / n_bytes.sum() for k in range(n_kinds)])


# %% name="domains-mistake-times-ln-2"
# %%mistake domains
# The nats are multiplied by ln 2. A bit is the *smaller* unit: one nat is 1.44 bits, so divide.
def bits_by_kind(log_p, mask, n_bytes, kind, n_kinds):
    bits = -torch.where(mask, log_p, 0.0).sum(1) * math.log(2)
    return torch.stack([bits[kind == k].sum() / n_bytes[kind == k].sum() for k in range(n_kinds)])


# %% name="domains-mistake-mask-reversed"
# %%mistake domains
# The filling is scored, and the tokens are left out. The mask is True for a token.
def bits_by_kind(log_p, mask, n_bytes, kind, n_kinds):
    bits = -torch.where(mask, 0.0, log_p).sum(1) / math.log(2)
    return torch.stack([bits[kind == k].sum() / n_bytes[kind == k].sum() for k in range(n_kinds)])


# %% name="domains-mistake-probability-zero"
# %%mistake domains
# Either the filling gets probability 0, and that costs infinitely many bits: put 0 into the *logarithms*. Or log2 is
# taken of `log_p`, which is a logarithm already: divide by ln 2.
def bits_by_kind(log_p, mask, n_bytes, kind, n_kinds):
    bits = -torch.log2(log_p.exp() * mask).sum(1)
    return torch.stack([bits[kind == k].sum() / n_bytes[kind == k].sum() for k in range(n_kinds)])


# %% name="domains-other-index-add"
# %%other domains
# Both sums with index_add.
def bits_by_kind(log_p, mask, n_bytes, kind, n_kinds):
    nats = -(log_p * mask).sum(1)
    total = torch.zeros(n_kinds).index_add(0, kind, nats)
    size = torch.zeros(n_kinds).index_add(0, kind, n_bytes.float())
    return total / size * math.log2(math.e)


# %% name="domains-other-loop"
# %%other domains
# One token after the other.
def bits_by_kind(log_p, mask, n_bytes, kind, n_kinds):
    bits, size = [0.0] * n_kinds, [0] * n_kinds
    for n in range(len(log_p)):
        k = int(kind[n])
        size[k] += int(n_bytes[n])
        for t in range(log_p.size(1)):
            if mask[n, t]:
                bits[k] -= float(log_p[n, t]) / math.log(2)
    return torch.tensor([b / s for b, s in zip(bits, size, strict=True)])


# %% [markdown] name="bias" question={"points": 5, "difficulty": 3, "minutes": 20, "section": "1.3"}
# ## 2. How strong is the bias?
#
# After "... is a baker." *She* followed 7 times and *He* 2 times, and so on for A trades. The trades fall into two
# groups. Measure the bias:
#
# 1. for each trade the log-odds $\ln P(\text{She}) - \ln P(\text{He})$, where add-k smoothing gives
#    $P(w) = (\mathrm{count}_w + k) / (\mathrm{count}_{She} + \mathrm{count}_{He} + 2k)$;
# 2. the mean over the trades of the first group, minus the mean over the trades of the second.
#
# | | shape | |
# | --- | --- | --- |
# | `counts` | (A, 2) float32 | how often *She* (column 0) and *He* (column 1) followed |
# | `first` | (A,) bool | True for trades of the first group; both groups have trades, in any order |
# | `k` | float | above 0 |
# | returns | float | the difference of the mean log-odds, in nats; positive: the first group goes with *She* |
#
# **What usually goes wrong:** counts are pooled before the logarithm, so that frequent trades decide; a count of 0.


# %% name="bias-answer"
def measured_bias(counts: Tensor, first: Tensor, k: float) -> float:
    """The difference of mean log-odds between the two groups of trades."""
    ### BEGIN SOLUTION
    smoothed = (counts + k).log()  # the denominator is the same for both and cancels
    log_odds = smoothed[:, 0] - smoothed[:, 1]  # (A,)
    return (log_odds[first].mean() - log_odds[~first].mean()).item()
    ### END SOLUTION


# %% name="bias-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_promise_and_challenges", "bias", measured_bias)

# %% [markdown] name="bias-hint-1"
# In the difference of the two logarithms the common denominator cancels: ln(count_She + k) - ln(count_He + k). So
# it does not matter here what both are divided by.

# %% [markdown] name="bias-hint-2"
# You need A log-odds before you take any mean. `log_odds[first]` and `log_odds[~first]` are the two groups.

# %% name="bias-parts"
bias = FunctionQuestion(
    "measured_bias",
    returns=("difference",),
    atol=1e-5,
    because="a mean of up to 30 logarithms in float32 keeps six digits",
)


@bias.case(points=1)
def four_trades(draw):
    """four trades, k = 1: the log-odds are ln 4, ln 1, -ln 2 and -ln 2"""
    counts = torch.tensor([[7.0, 1.0], [3.0, 3.0], [0.0, 1.0], [4.0, 9.0]])
    return {"counts": counts, "first": torch.tensor([True, True, False, False]), "k": 1.0}


@bias.case(points=2)
def thirty(draw):
    """thirty trades, some of them frequent, groups mixed"""
    counts = (draw.normal(30, 2).abs() * 12 * (1 + 3 * draw.normal(30, 1).abs())).round() + 1
    return {"counts": counts, "first": draw.order(30) < 11, "k": 0.5}


@bias.case(points=2)
def zeros(draw):
    """trades after which one of the two never followed"""
    counts = (draw.normal(12, 2).abs() * 6).round()
    counts[:4, 0], counts[4:7, 1] = 0, 0
    return {"counts": counts, "first": draw.order(12) < 5, "k": 0.1}


@bias.invariant
def finite(got, inputs):
    """with k above 0 no logarithm is infinite"""
    return -100 < got < 100


# %% name="bias-mistake-pooled"
# %%mistake bias
# The counts of a group are added before the logarithm. Then one frequent trade decides for all. Take the log-odds of
# each trade first.
def measured_bias(counts, first, k):
    one, two = (counts[group].sum(0) + k for group in (first, ~first))
    return ((one[0] / one[1]).log() - (two[0] / two[1]).log()).item()


# %% name="bias-mistake-pooled-each"
# %%mistake bias
# The smoothed counts of a group are added before the logarithm. Then one frequent trade decides for all. Take the
# log-odds of each trade first.
def measured_bias(counts, first, k):
    one, two = ((counts[group] + k).sum(0) for group in (first, ~first))
    return ((one[0] / one[1]).log() - (two[0] / two[1]).log()).item()


# %% name="bias-mistake-probabilities"
# %%mistake bias
# That is a difference of probabilities. The question asks for log-odds: ln P(She) - ln P(He).
def measured_bias(counts, first, k):
    p = (counts[:, 0] + k) / (counts.sum(1) + 2 * k)
    return (p[first].mean() - p[~first].mean()).item()


# %% name="bias-mistake-log-of-mean"
# %%mistake bias
# Here the odds are averaged before the logarithm. A trade with odds of 100 to 1 then outweighs all others. The mean
# belongs on the logarithms.
def measured_bias(counts, first, k):
    odds = (counts[:, 0] + k) / (counts[:, 1] + k)
    return (odds[first].mean().log() - odds[~first].mean().log()).item()


# %% name="bias-mistake-she-only"
# %%mistake bias
# That is ln P(She) alone. The log-odds compare it with ln P(He).
def measured_bias(counts, first, k):
    log_p = ((counts[:, 0] + k) / (counts.sum(1) + 2 * k)).log()
    return (log_p[first].mean() - log_p[~first].mean()).item()


# %% name="bias-mistake-no-smoothing"
# %%mistake bias
# Nothing is added to the counts. Where one of the two never followed, the logarithm of 0 is infinite.
def measured_bias(counts, first, k):
    log_odds = counts[:, 0].log() - counts[:, 1].log()
    return (log_odds[first].mean() - log_odds[~first].mean()).item()


# %% name="bias-mistake-direction"
# %%mistake bias
# The sign is reversed: positive must mean that the *first* group goes with She.
def measured_bias(counts, first, k):
    log_odds = (counts[:, 0] + k).log() - (counts[:, 1] + k).log()
    return (log_odds[~first].mean() - log_odds[first].mean()).item()


# %% name="bias-mistake-all-trades"
# %%mistake bias
# The second mean is over all trades. It must be over the trades of the second group alone: `log_odds[~first]`.
def measured_bias(counts, first, k):
    log_odds = (counts[:, 0] + k).log() - (counts[:, 1] + k).log()
    return (log_odds[first].mean() - log_odds.mean()).item()


# %% name="bias-mistake-mean-of-all"
# %%mistake bias
# Each mean is over all A trades, those of the other group counted as 0. Divide by the size of the group.
def measured_bias(counts, first, k):
    log_odds = (counts[:, 0] + k).log() - (counts[:, 1] + k).log()
    return ((log_odds * first).mean() - (log_odds * ~first).mean()).item()


# %% name="bias-mistake-bits"
# %%mistake bias
# These are bits. The natural logarithm gives nats.
def measured_bias(counts, first, k):
    log_odds = (counts[:, 0] + k).log2() - (counts[:, 1] + k).log2()
    return (log_odds[first].mean() - log_odds[~first].mean()).item()


# %% name="bias-mistake-sorted"
# %%mistake bias
# The trades are taken to be sorted, with the first group in front. The groups are mixed: `first` says where a trade
# belongs.
def measured_bias(counts, first, k):
    log_odds, size = (counts[:, 0] + k).log() - (counts[:, 1] + k).log(), int(first.sum())
    return (log_odds[:size].mean() - log_odds[size:].mean()).item()


# %% name="bias-other-probabilities"
# %%other bias
# By way of both probabilities, in float64.
def measured_bias(counts, first, k):
    p = (counts.double() + k) / (counts.double().sum(1, keepdim=True) + 2 * k)
    log_odds = torch.logit(p[:, 0])
    return float(log_odds[first].mean() - log_odds[first.logical_not()].mean())


# %% name="bias-other-loop"
# %%other bias
# One trade after the other.
def measured_bias(counts, first, k):
    sums, sizes = {True: 0.0, False: 0.0}, {True: 0, False: 0}
    for (she, he), group in zip(counts.tolist(), first.tolist(), strict=True):
        sums[group] += math.log((she + k) / (he + k))
        sizes[group] += 1
    return sums[True] / sizes[True] - sums[False] / sizes[False]


# %% [markdown] name="reorder" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "1.3"}
# ## 3. Other weights, the same function
#
# A layer computes $y = W_2\, \mathrm{relu}(W_1 x + b_1) + b_2$. Put its F hidden units into another order: new unit
# $i$ is old unit `order[i]`. The function must stay the same.
#
# | | shape | |
# | --- | --- | --- |
# | `w1`, `b1` | (F, C), (F,) | into the hidden units, as `nn.Linear` stores them |
# | `w2`, `b2` | (C, F), (C,) | out of them |
# | `order` | (F,) int64 | a permutation of 0 ... F-1 |
# | returns `w1`, `b1`, `w2`, `b2` | shapes as given | the weights of the reordered layer |
#
# **What usually goes wrong:** one of the parts is forgotten, or `w2` is reordered along the wrong axis.


# %% name="reorder-answer"
def reorder(w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, order: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same layer with its hidden units in another order."""
    ### BEGIN SOLUTION
    return w1[order], b1[order], w2[:, order], b2
    ### END SOLUTION


# %% name="reorder-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_promise_and_challenges", "reorder", reorder)

# %% [markdown] name="reorder-hint-1"
# Which numbers belong to hidden unit i? A row of `w1`, one number of `b1`, and a column of `w2`. They move together.

# %% [markdown] name="reorder-hint-2"
# `b2` belongs to the outputs, which stay where they are.

# %% name="reorder-parts"
reorder = FunctionQuestion(
    "reorder",
    returns=("w1", "b1", "w2", "b2"),
    atol=1e-6,
    because="numbers are moved, not computed with",
)


def layer(draw, width, hidden):
    return {
        "w1": draw.normal(hidden, width),
        "b1": draw.normal(hidden),
        "w2": draw.normal(width, hidden),
        "b2": draw.normal(width),
    }


@reorder.case(points=2)
def turned(draw):
    """two inputs, four hidden units, turned by one place"""
    return {**layer(draw, 2, 4), "order": torch.tensor([1, 2, 3, 0])}


@reorder.case(points=2)
def square(draw):
    """as many hidden units as inputs, where a wrong axis has the right shape"""
    return {**layer(draw, 5, 5), "order": torch.tensor([2, 0, 3, 4, 1])}


@reorder.invariant
def same_function(got, inputs):
    """the reordered layer must compute the same outputs"""
    x = torch.linspace(-2, 2, 6 * inputs["w1"].size(1)).view(6, -1)
    outputs = []
    for w1, b1, w2, b2 in (got, [inputs[name] for name in ("w1", "b1", "w2", "b2")]):
        outputs.append(torch.relu(x @ w1.T + b1) @ w2.T + b2)
    return torch.allclose(*outputs, atol=1e-4)


# %% name="reorder-mistake-only-in"
# %%mistake reorder
# The units have moved, but `w2` still reads them at their old places. Its columns must move too.
def reorder(w1, b1, w2, b2, order):
    return w1[order], b1[order], w2, b2


# %% name="reorder-mistake-bias"
# %%mistake reorder
# The bias of the hidden units stayed where it was, so each unit has now the bias of another one.
def reorder(w1, b1, w2, b2, order):
    return w1[order], b1, w2[:, order], b2


# %% name="reorder-mistake-inverse"
# %%mistake reorder
# The function is the same, but the order is the inverse one: new unit i must be old unit `order[i]`.
def reorder(w1, b1, w2, b2, order):
    back = order.argsort()
    return w1[back], b1[back], w2[:, back], b2


# %% name="reorder-mistake-nothing"
# %%mistake reorder
# Nothing has moved. That is the same function, too, but not in the order that was asked for.
def reorder(w1, b1, w2, b2, order):
    return w1, b1, w2, b2


# %% name="reorder-mistake-inverse-out"
# %%mistake reorder
# The columns of `w2` moved in the inverse direction. In and out must be indexed with the same `order`.
def reorder(w1, b1, w2, b2, order):
    return w1[order], b1[order], w2[:, order.argsort()], b2


# %% name="reorder-mistake-wrong-axis"
# %%mistake reorder
# The rows of `w2` are reordered. They belong to the outputs. Its *columns* belong to the hidden units: `w2[:, order]`.
def reorder(w1, b1, w2, b2, order):
    return w1[order], b1[order], w2[order], b2


# %% name="reorder-mistake-outputs-too"
# %%mistake reorder
# `b2` is reordered as well. It belongs to the outputs, which stay where they are.
def reorder(w1, b1, w2, b2, order):
    return w1[order], b1[order], w2[:, order], b2[order]


# %% name="reorder-mistake-only-out"
# %%mistake reorder
# Only the way out is reordered. The rows of `w1` and the numbers of `b1` belong to the same units and must move too.
def reorder(w1, b1, w2, b2, order):
    return w1, b1, w2[:, order], b2


# %% name="reorder-mistake-only-w1"
# %%mistake reorder
# Only `w1` is reordered. The numbers of `b1` and the columns of `w2` belong to the same units and must move too.
def reorder(w1, b1, w2, b2, order):
    return w1[order], b1, w2, b2


# %% name="reorder-other-matrix"
# %%other reorder
# With a permutation matrix from the left and its transpose from the right.
def reorder(w1, b1, w2, b2, order):
    p = torch.eye(len(order))[order]
    return p @ w1, p @ b1, w2 @ p.T, b2


# %% name="reorder-other-stack"
# %%other reorder
# Unit after unit.
def reorder(w1, b1, w2, b2, order):
    units = [(w1[i], b1[i], w2[:, i]) for i in order.tolist()]
    rows, biases, columns = (torch.stack(part) for part in zip(*units, strict=True))
    return rows, biases, columns.T.contiguous(), b2 + 0


# %% [markdown] name="meaning" question={"points": 4, "difficulty": 2, "minutes": 10, "section": "1.3"}
# ## 4. What does a measurement say?
#
# - `worse`: on Chinese text the model of section 1.3, trained on English, needs more than 8 bits a byte. How can it be
#   worse than a model that knows nothing?
#   - **a** The measurement is wrong: no model needs more than 8 bits a byte.
#   - **b** It gives very small probabilities to the tokens that really come, because it is sure that English goes on.
#   - **c** Chinese characters have three bytes, so the bits per byte are three times too large.
# - `bits`: a model gave each byte of a text the probability 1/1024. How many bits per byte is that?
# - `women`: a world has 60 women and bias b = 0.5. How many of them have a trade of the first half?

# %% name="meaning-answer"
worse = ""  # the letter
bits = None  # a number
women = None  # a number
### BEGIN SOLUTION
worse = "b"
bits = 10
women = 45  # (1 + 0.5) / 2 of 60
### END SOLUTION

# %% name="meaning-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_promise_and_challenges", "meaning", worse=worse, bits=bits, women=women)

# %% [markdown] name="meaning-hint-1"
# A token that gets probability p costs -log2(p) bits, and p may be as small as the model likes.

# %% [markdown] name="meaning-hint-2"
# The share of the women with a trade of the first half is (1 + b) / 2.

# %% name="meaning-parts"
meaning = ValueQuestion()
meaning.choice("worse", "abc", points=2, title="worse than knowing nothing")
meaning.number("bits", points=1, title="bits for a probability of 1/1024")
meaning.number("women", points=1, title="women with a trade of the first half")

# %% name="meaning-mistake-impossible"
# %%mistake meaning
# 8 bits are what equal probabilities cost. A model that gave the byte a probability below 1/256 pays more.
worse = "a"

# %% name="meaning-mistake-three-bytes"
# %%mistake meaning
# All three bytes are counted in the denominator, so the measure does not grow because of them.
worse = "c"

# %% name="meaning-mistake-nats"
# %%mistake meaning
# 6.93 is the natural logarithm of 1024. For bits take log2.
bits = 6.93

# %% name="meaning-mistake-eight"
# %%mistake meaning
# 8 bits belong to a probability of 1/256.
bits = 8

# %% name="meaning-mistake-sign"
# %%mistake meaning
# The sign is lost: a probability below 1 costs a positive number of bits.
bits = -10

# %% name="meaning-mistake-log10"
# %%mistake meaning
# That is log10 of 1024. For bits take log2.
bits = 3.01

# %% name="meaning-mistake-through-eight"
# %%mistake meaning
# The measure is bits per byte already: one byte costs 10 bits. Nothing is to be divided by 8.
bits = 1.25

# %% name="meaning-mistake-half"
# %%mistake meaning
# Half of the women would be b = 0. The share is (1 + b) / 2.
women = 30

# %% name="meaning-mistake-men"
# %%mistake meaning
# (1 - b) / 2 is the share of the men.
women = 15

# %% name="meaning-mistake-share"
# %%mistake meaning
# 0.75 is the share. The question is how many of the 60 women they are.
women = 0.75

# %% name="meaning-other-worked-out"
# %%other meaning
# The numbers as they are worked out.
worse = "(B)"
bits = math.log2(1024)
women = 60 * (1 + 0.5) / 2

# %% name="meaning-other-tensors"
# %%other meaning
# The numbers as tensors.
worse = "b."
bits = -torch.tensor(1 / 1024).log2()
women = torch.tensor(45)

# %% [markdown] name="end"
# ## Done?
#
# `hint("03_promise_and_challenges", "domains", 1)` gives a first hint; each question has two. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
