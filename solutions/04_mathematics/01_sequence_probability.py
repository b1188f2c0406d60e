# %% [markdown] name="title"
# # 4.1 序列概率 · The probability of a sequence — exercises
#
# 本节的练习先计算一批长短不一的序列的对数概率与困惑度，再把样本的交叉熵拆成熵与 KL 散度，
# 然后测量相隔若干词的互信息，最后推导几个数，并说清“教师强制”到底是什么。
#
# You write the measures of this section yourself, in plain torch. Each question has a cell for your answer and a cell
# that checks it. Section 4.1 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 01_sequence_probability

# %% name="imports"
import math

import torch
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="chain" question={"points": 5, "difficulty": 2, "minutes": 20, "section": "4.1"}
# ## 1. A batch of sequences under a Markov chain
#
# A Markov chain with V words gives $P(x) = \pi(x_1)\prod_{t=2}^{T} A(x_{t-1}, x_t)$. Compute the log-probability of
# each sequence in a padded batch, and its perplexity per word.
#
# | | shape | |
# | --- | --- | --- |
# | `start` | (V,) | $\pi$, the probabilities of the first word |
# | `transition` | (V, V) | row i: the probabilities of the word after word i |
# | `tokens` | (B, T) int64 | the sequences, filled up at the end with 0 |
# | `lengths` | (B,) int64 | how many words of each row are real, at least 1 |
# | returns `log_p` | (B,) float32 | the natural logarithm of each sequence's probability |
# | returns `perplexity` | (B,) float32 | the geometric mean of 1 over the probability of each real word |
#
# 0 is a real word, too: only `lengths` tells it from padding. Some sequences have 300 words. All probabilities are
# above 0.
#
# **What usually goes wrong:** padding is counted, the first word is forgotten, and a product of 300 small numbers is 0.


# %% name="chain-answer"
def score(start: Tensor, transition: Tensor, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities (B,) and perplexities (B,) of a padded batch."""
    ### BEGIN SOLUTION
    first = start[tokens[:, :1]].log()  # (B, 1)
    later = transition[tokens[:, :-1], tokens[:, 1:]].log()  # (B, T - 1)
    terms = torch.cat([first, later], dim=1)
    real = torch.arange(tokens.size(1)) < lengths[:, None]  # (B, T)
    log_p = (terms * real).sum(1)
    return log_p, torch.exp(-log_p / lengths)
    ### END SOLUTION


# %% name="chain-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_sequence_probability", "chain", score)

# %% [markdown] name="chain-hint-1"
# Make a table (B, T) of the logarithm of each word's conditional probability first. The first column needs `start`, the
# others `transition[previous, next]`.

# %% [markdown] name="chain-hint-2"
# `torch.arange(T) < lengths[:, None]` is True at real words. Set the rest of the table to 0, then sum each row.

# %% [markdown] name="chain-hint-3"
# The perplexity is exp(-log_p / length), with each row's own length.

# %% name="chain-parts"
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


# %% name="chain-mistake-padding-counted"
# %%mistake chain
# The padding is counted: each row is summed to its end. Keep the first `lengths` terms of each row only.
def score(start, transition, tokens, lengths):
    terms = torch.cat([start[tokens[:, :1]].log(), transition[tokens[:, :-1], tokens[:, 1:]].log()], dim=1)
    log_p = terms.sum(1)
    return log_p, torch.exp(-log_p / lengths)


# %% name="chain-mistake-padding-in-both"
# %%mistake chain
# The padding is counted, in the sum and in the mean: keep the first `lengths` terms of each row only, and divide by
# `lengths`.
def score(start, transition, tokens, lengths):
    terms = torch.cat([start[tokens[:, :1]].log(), transition[tokens[:, :-1], tokens[:, 1:]].log()], dim=1)
    return terms.sum(1), torch.exp(-terms.mean(1))


# %% name="chain-mistake-padding-by-number"
# %%mistake chain
# The padding is recognised by its number, 0. But 0 is also a real word: only `lengths` says what is padding.
def score(start, transition, tokens, lengths):
    terms = torch.cat([start[tokens[:, :1]].log(), transition[tokens[:, :-1], tokens[:, 1:]].log()], dim=1)
    log_p = (terms * (tokens != 0)).sum(1)
    return log_p, torch.exp(-log_p / lengths)


# %% name="chain-mistake-one-transition-more"
# %%mistake chain
# One transition too many is counted: a sequence of n words has n − 1 of them. Word t of a row, from 0, is real if
# t < n.
def score(start, transition, tokens, lengths):
    later = transition[tokens[:, :-1], tokens[:, 1:]].log()
    real = torch.arange(tokens.size(1) - 1) < lengths[:, None]
    log_p = start[tokens[:, 0]].log() + (later * real).sum(1)
    return log_p, torch.exp(-log_p / lengths)


# %% name="chain-mistake-first-word"
# %%mistake chain
# The first word has no factor. It costs something too: its probability is in `start`.
def score(start, transition, tokens, lengths):
    terms = transition[tokens[:, :-1], tokens[:, 1:]].log()
    real = torch.arange(1, tokens.size(1)) < lengths[:, None]
    log_p = (terms * real).sum(1)
    return log_p, torch.exp(-log_p / lengths)


# %% name="chain-mistake-transitions-only"
# %%mistake chain
# The first word has no factor, and the mean does not count it. It costs something too: its probability is in `start`,
# and the mean is over all `lengths` words.
def score(start, transition, tokens, lengths):
    terms = transition[tokens[:, :-1], tokens[:, 1:]].log()
    real = torch.arange(1, tokens.size(1)) < lengths[:, None]
    log_p = (terms * real).sum(1)
    return log_p, torch.exp(-log_p / (lengths - 1))


# %% name="chain-mistake-product"
# %%mistake chain
# The product is formed first and the logarithm comes last. With 300 words the product is 0 in float32 and its
# logarithm minus infinity. Add logarithms instead.
def score(start, transition, tokens, lengths):
    terms = torch.cat([start[tokens[:, :1]], transition[tokens[:, :-1], tokens[:, 1:]]], dim=1)
    real = torch.arange(tokens.size(1)) < lengths[:, None]
    log_p = terms.masked_fill(~real, 1.0).prod(1).log()
    return log_p, torch.exp(-log_p / lengths)


# %% name="chain-mistake-width"
# %%mistake chain
# The mean is taken over T, the width of the batch. Short sequences then look too good: divide each row by its own
# length.
def score(start, transition, tokens, lengths):
    terms = torch.cat([start[tokens[:, :1]].log(), transition[tokens[:, :-1], tokens[:, 1:]].log()], dim=1)
    real = torch.arange(tokens.size(1)) < lengths[:, None]
    log_p = (terms * real).sum(1)
    return log_p, torch.exp(-log_p / tokens.size(1))


# %% name="chain-mistake-arithmetic"
# %%mistake chain
# This is the arithmetic mean of 1/p. Perplexity is the geometric mean: exp of the mean of the logarithms.
def score(start, transition, tokens, lengths):
    terms = torch.cat([start[tokens[:, :1]].log(), transition[tokens[:, :-1], tokens[:, 1:]].log()], dim=1)
    real = torch.arange(tokens.size(1)) < lengths[:, None]
    return (terms * real).sum(1), (torch.exp(-terms) * real).sum(1) / lengths


# %% name="chain-mistake-column"
# %%mistake chain
# The transition is read the wrong way round: row i of the matrix belongs to the word before, the column to the word
# after.
def score(start, transition, tokens, lengths):
    terms = torch.cat([start[tokens[:, :1]].log(), transition[tokens[:, 1:], tokens[:, :-1]].log()], dim=1)
    real = torch.arange(tokens.size(1)) < lengths[:, None]
    log_p = (terms * real).sum(1)
    return log_p, torch.exp(-log_p / lengths)


# %% name="chain-other-loop"
# %%other chain
# One sequence after the other, one word after the other, in Python numbers.
def score(start, transition, tokens, lengths):
    sums = []
    for row, length in zip(tokens.tolist(), lengths.tolist(), strict=True):
        total = math.log(start[row[0]].item())
        for t in range(1, length):
            total += math.log(transition[row[t - 1], row[t]].item())
        sums.append(total)
    log_p = torch.tensor(sums)
    return log_p, torch.tensor([math.exp(-s / n) for s, n in zip(sums, lengths.tolist(), strict=True)])


# %% name="chain-other-cumulative"
# %%other chain
# The running sum of each row, read off at its last real word.
def score(start, transition, tokens, lengths):
    terms = transition.log()[tokens[:, :-1], tokens[:, 1:]]
    running = torch.cat([start.log()[tokens[:, :1]], terms], dim=1).double().cumsum(1)
    log_p = running.gather(1, lengths[:, None] - 1).squeeze(1)
    return log_p.float(), (1 / torch.exp(log_p / lengths)).float()


# %% [markdown] name="split" question={"points": 5, "difficulty": 3, "minutes": 20, "section": "4.1"}
# ## 2. Cross-entropy is entropy plus KL
#
# A model with logits $z$ meets a sample of words. Take its loss apart.
#
# | | shape | |
# | --- | --- | --- |
# | `samples` | (N,) int64 | the words that were seen, 0 to V-1 |
# | `logits` | (V,) | the model is softmax(logits) |
# | returns `loss` | number | the mean negative log-likelihood of the samples, in nats |
# | returns `floor` | number | the entropy of the shares of the words in the sample |
# | returns `gap` | number | KL(shares ‖ model) |
# | returns `gradient` | (V,) float32 | the gradient of `loss` with respect to the logits, by the formula of 4.1.2 |
#
# Return the first three as Python numbers. Some words may never have been seen: 0 ln 0 counts as 0. Write it without
# autograd and without `F.cross_entropy`.
#
# **What usually goes wrong:** 0 · (−∞) is NaN; a softmax rounds to 0, and its logarithm is −∞; KL is taken in the
# other direction.


# %% name="split-answer"
def take_apart(samples: Tensor, logits: Tensor) -> tuple[float, float, float, Tensor]:
    """Loss, entropy and KL in nats, and the gradient (V,) of the loss."""
    ### BEGIN SOLUTION
    shares = torch.bincount(samples, minlength=len(logits)) / len(samples)  # (V,)
    log_model = torch.log_softmax(logits, dim=0)
    loss = -(shares * log_model).sum().item()
    floor = -torch.special.xlogy(shares, shares).sum().item()
    return loss, floor, loss - floor, log_model.exp() - shares
    ### END SOLUTION


# %% name="split-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_sequence_probability", "split", take_apart)

# %% [markdown] name="split-hint-1"
# `torch.bincount(samples, minlength=V)` counts the words. Divide by N for the shares. The loss is minus the sum of
# share times log of the model.

# %% [markdown] name="split-hint-2"
# `torch.log_softmax` takes the logarithm of a softmax safely. `torch.special.xlogy(p, p)` is p ln p with 0 at 0.

# %% [markdown] name="split-hint-3"
# KL is what the loss has above the floor. The gradient is what the model says minus what was seen.

# %% name="split-parts"
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


# %% name="split-mistake-nan"
# %%mistake split
# A word that was never seen gives 0 · ln 0, and in floating point that is NaN. Count it as 0, for example with
# `torch.special.xlogy`.
def take_apart(samples, logits):
    shares = torch.bincount(samples, minlength=len(logits)) / len(samples)
    log_model = torch.log_softmax(logits, dim=0)
    loss = -(shares * log_model).sum().item()
    floor = -(shares * shares.log()).sum().item()
    return loss, floor, loss - floor, log_model.exp() - shares


# %% name="split-mistake-nan-floor"
# %%mistake split
# Only the floor is NaN: a word that was never seen gives 0 · ln 0. Count it as 0, for example with
# `torch.special.xlogy`.
def take_apart(samples, logits):
    shares = torch.bincount(samples, minlength=len(logits)) / len(samples)
    log_model = torch.log_softmax(logits, dim=0)
    loss = -(shares * log_model).sum().item()
    floor = -(shares * shares.log()).sum().item()
    gap = (torch.special.xlogy(shares, shares) - shares * log_model).sum().item()
    return loss, floor, gap, log_model.exp() - shares


# %% name="split-mistake-overflow"
# %%mistake split
# The softmax comes first and the logarithm after it. A probability below 1e-45 has become 0 by then, and its
# logarithm minus infinity. `torch.log_softmax` does both safely.
def take_apart(samples, logits):
    shares = torch.bincount(samples, minlength=len(logits)) / len(samples)
    model = torch.softmax(logits, dim=0)
    loss = -torch.special.xlogy(shares, model).sum().item()
    floor = -torch.special.xlogy(shares, shares).sum().item()
    return loss, floor, loss - floor, model - shares


# %% name="split-mistake-overflow-twice"
# %%mistake split
# The softmax comes first, the logarithms after it. A probability below 1e-45 has become 0 by then: ln 0 is minus
# infinity, and 0/0 in the KL is NaN. Work with `torch.log_softmax`.
def take_apart(samples, logits):
    shares = torch.bincount(samples, minlength=len(logits)) / len(samples)
    model = torch.softmax(logits, dim=0)
    loss = -torch.special.xlogy(shares, model).sum().item()
    floor = -torch.special.xlogy(shares, shares).sum().item()
    gap = torch.special.xlogy(shares, shares / model).sum().item()
    return loss, floor, gap, model - shares


# %% name="split-mistake-divided-by-words"
# %%mistake split
# The KL is divided by V. `F.kl_div` takes the mean over the words unless you say `reduction="sum"`.
def take_apart(samples, logits):
    shares = torch.bincount(samples, minlength=len(logits)) / len(samples)
    log_model = torch.log_softmax(logits, dim=0)
    loss = -(shares * log_model).sum().item()
    floor = -torch.special.xlogy(shares, shares).sum().item()
    return loss, floor, (loss - floor) / len(logits), log_model.exp() - shares


# %% name="split-mistake-reverse"
# %%mistake split
# This is KL(model ‖ shares). The order matters: likelihood belongs to KL(shares ‖ model), weighted by what was seen.
def take_apart(samples, logits):
    shares = torch.bincount(samples, minlength=len(logits)) / len(samples)
    log_model = torch.log_softmax(logits, dim=0)
    loss = -(shares * log_model).sum().item()
    floor = -torch.special.xlogy(shares, shares).sum().item()
    gap = (log_model.exp() * (log_model - shares.clamp(min=1e-9).log())).sum().item()
    return loss, floor, gap, log_model.exp() - shares


# %% name="split-mistake-gradient-sign"
# %%mistake split
# The gradient has the wrong sign: this is the direction in which the likelihood grows. The loss grows in the other:
# model minus shares.
def take_apart(samples, logits):
    shares = torch.bincount(samples, minlength=len(logits)) / len(samples)
    log_model = torch.log_softmax(logits, dim=0)
    loss = -(shares * log_model).sum().item()
    floor = -torch.special.xlogy(shares, shares).sum().item()
    return loss, floor, loss - floor, shares - log_model.exp()


# %% name="split-mistake-sum"
# %%mistake split
# This is the sum over the samples. The question asks for the mean, and only the mean can be compared with an entropy.
def take_apart(samples, logits):
    counts = torch.bincount(samples, minlength=len(logits)).float()
    shares = counts / len(samples)
    log_model = torch.log_softmax(logits, dim=0)
    loss = -(counts * log_model).sum().item()
    floor = -torch.special.xlogy(shares, shares).sum().item()
    return loss, floor, loss - floor, log_model.exp() - shares


# %% name="split-mistake-sum-of-loss"
# %%mistake split
# The loss is the sum over the samples. The question asks for the mean: divide by N.
def take_apart(samples, logits):
    shares = torch.bincount(samples, minlength=len(logits)) / len(samples)
    log_model = torch.log_softmax(logits, dim=0)
    loss = -(shares * log_model).sum().item()
    floor = -torch.special.xlogy(shares, shares).sum().item()
    return loss * len(samples), floor, loss - floor, log_model.exp() - shares


# %% name="split-mistake-model-entropy"
# %%mistake split
# The floor is the entropy of the model here. A model's own entropy is no bound for its loss; take the shares of the
# sample.
def take_apart(samples, logits):
    shares = torch.bincount(samples, minlength=len(logits)) / len(samples)
    log_model = torch.log_softmax(logits, dim=0)
    loss = -(shares * log_model).sum().item()
    floor = -(log_model.exp() * log_model).sum().item()
    return loss, floor, loss - floor, log_model.exp() - shares


# %% name="split-other-one-by-one"
# %%other split
# From the samples one by one; the softmax by hand, with the largest logit taken off.
def take_apart(samples, logits):
    shifted = logits - logits.max()
    log_model = shifted - shifted.exp().sum().log()
    loss = -log_model[samples].mean().item()
    kinds, counts = samples.unique(return_counts=True)
    shares = torch.zeros_like(logits)
    shares[kinds] = counts / len(samples)
    floor = -(shares[kinds] * shares[kinds].log()).sum().item()
    gap = (shares[kinds] * (shares[kinds].log() - log_model[kinds])).sum().item()
    return loss, floor, gap, log_model.exp() - shares


# %% name="split-other-one-hot"
# %%other split
# The shares as the mean of one-hot rows; the entropy with Categorical.
def take_apart(samples, logits):
    shares = torch.eye(len(logits))[samples].mean(0)
    log_model = logits - logits.logsumexp(0)
    loss = -float(log_model[samples].sum()) / len(samples)
    floor = float(-(shares * shares.clamp(min=1e-30).log()).sum())
    return loss, floor, loss - floor, torch.softmax(logits, dim=0) - shares


# %% name="split-equivalent-axis"
# %%equivalent split
# There is one axis; 0 and -1 are the same.
log_model = torch.log_softmax(logits, dim=-1)

# %% [markdown] name="reach" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "4.1"}
# ## 3. How far does a word reach?
#
# Measure the mutual information of two words at each distance d = 1, …, D, in nats:
# $I_d = \sum_{a,b} P_d(a,b)\ln\frac{P_d(a,b)}{P_d(a)\,P_d(b)}$.
#
# | | shape | |
# | --- | --- | --- |
# | `tokens` | (N,) int64 | one long text, words 0 to V-1 |
# | `n_distances` | int | D, the largest distance; the pairs at d are (`tokens[i]`, `tokens[i + d]`) |
# | `n_words` | int | V |
# | returns | (D,) float32 | $I_1, \dots, I_D$; the marginals are those of the same pairs |
#
# Pairs that never occur count as 0.
#
# **What usually goes wrong:** the table is not normalised; a marginal is left out; the distance is off by one.


# %% name="reach-answer"
def mutual_information(tokens: Tensor, n_distances: int, n_words: int) -> Tensor:
    """I_1 to I_D of a text, in nats (D,)."""
    ### BEGIN SOLUTION
    result = torch.zeros(n_distances)
    for d in range(1, n_distances + 1):
        pairs = tokens[:-d] * n_words + tokens[d:]
        table = torch.bincount(pairs, minlength=n_words**2).view(n_words, n_words) / len(pairs)
        independent = torch.outer(table.sum(1), table.sum(0))
        seen = table > 0
        result[d - 1] = (table[seen] * (table[seen] / independent[seen]).log()).sum()
    return result
    ### END SOLUTION


# %% name="reach-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_sequence_probability", "reach", mutual_information)

# %% [markdown] name="reach-hint-1"
# A pair (a, b) has the number a · V + b. Count these numbers with `torch.bincount`, and make a table (V, V) of shares.

# %% [markdown] name="reach-hint-2"
# The marginals are the row sums and the column sums of the table. Their outer product is the table that independent
# words would have. Take the KL divergence over the fields that are not 0.

# %% name="reach-parts"
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


# %% name="reach-mistake-counts"
# %%mistake reach
# The quotient compares counts, not shares: divide by the number of pairs before you form the marginals.
def mutual_information(tokens, n_distances, n_words):
    result = torch.zeros(n_distances)
    for d in range(1, n_distances + 1):
        pairs = tokens[:-d] * n_words + tokens[d:]
        table = torch.bincount(pairs, minlength=n_words**2).view(n_words, n_words).float()
        independent = torch.outer(table.sum(1), table.sum(0))
        seen = table > 0
        result[d - 1] = (table[seen] * (table[seen] / independent[seen]).log()).sum() / len(pairs)
    return result


# %% name="reach-mistake-counts-throughout"
# %%mistake reach
# Counts are used throughout, not shares: divide the table by the number of pairs before you form the marginals.
def mutual_information(tokens, n_distances, n_words):
    result = torch.zeros(n_distances)
    for d in range(1, n_distances + 1):
        pairs = tokens[:-d] * n_words + tokens[d:]
        table = torch.bincount(pairs, minlength=n_words**2).view(n_words, n_words).float()
        independent = torch.outer(table.sum(1), table.sum(0))
        seen = table > 0
        result[d - 1] = (table[seen] * (table[seen] / independent[seen]).log()).sum()
    return result


# %% name="reach-mistake-whole-text"
# %%mistake reach
# The marginals are those of the whole text. At distance d the last d words are never first, and the first d never
# second: take the sums of the rows and of the columns of the pairs' table.
def mutual_information(tokens, n_distances, n_words):
    result, share = torch.zeros(n_distances), torch.bincount(tokens, minlength=n_words) / len(tokens)
    for d in range(1, n_distances + 1):
        pairs = tokens[:-d] * n_words + tokens[d:]
        table = torch.bincount(pairs, minlength=n_words**2).view(n_words, n_words) / len(pairs)
        independent, seen = torch.outer(share, share), table > 0
        result[d - 1] = (table[seen] * (table[seen] / independent[seen]).log()).sum()
    return result


# %% name="reach-mistake-entropy"
# %%mistake reach
# This is the entropy of the pairs. Mutual information compares the pairs with what independent words would give.
def mutual_information(tokens, n_distances, n_words):
    result = torch.zeros(n_distances)
    for d in range(1, n_distances + 1):
        pairs = tokens[:-d] * n_words + tokens[d:]
        table = torch.bincount(pairs, minlength=n_words**2).view(n_words, n_words) / len(pairs)
        seen = table > 0
        result[d - 1] = -(table[seen] * table[seen].log()).sum()
    return result


# %% name="reach-mistake-bits"
# %%mistake reach
# This is in bits. The question asks for nats: the natural logarithm.
def mutual_information(tokens, n_distances, n_words):
    result = torch.zeros(n_distances)
    for d in range(1, n_distances + 1):
        pairs = tokens[:-d] * n_words + tokens[d:]
        table = torch.bincount(pairs, minlength=n_words**2).view(n_words, n_words) / len(pairs)
        independent = torch.outer(table.sum(1), table.sum(0))
        seen = table > 0
        result[d - 1] = (table[seen] * (table[seen] / independent[seen]).log2()).sum()
    return result


# %% name="reach-mistake-off-by-one"
# %%mistake reach
# The pairs are one word further apart than asked: distance 1 is the neighbour, `tokens[1:]`.
def mutual_information(tokens, n_distances, n_words):
    result = torch.zeros(n_distances)
    for d in range(1, n_distances + 1):
        pairs = tokens[: -d - 1] * n_words + tokens[d + 1 :]
        table = torch.bincount(pairs, minlength=n_words**2).view(n_words, n_words) / len(pairs)
        independent = torch.outer(table.sum(1), table.sum(0))
        seen = table > 0
        result[d - 1] = (table[seen] * (table[seen] / independent[seen]).log()).sum()
    return result


# %% name="reach-mistake-from-zero"
# %%mistake reach
# The first distance here is 0, where each word is paired with itself. Begin at 1.
def mutual_information(tokens, n_distances, n_words):
    result = torch.zeros(n_distances)
    for d in range(n_distances):
        pairs = tokens[: len(tokens) - d] * n_words + tokens[d:]
        table = torch.bincount(pairs, minlength=n_words**2).view(n_words, n_words) / len(pairs)
        independent = torch.outer(table.sum(1), table.sum(0))
        seen = table > 0
        result[d] = (table[seen] * (table[seen] / independent[seen]).log()).sum()
    return result


# %% name="reach-mistake-circular"
# %%mistake reach
# The end of the text is paired with its beginning. There are N − d pairs at distance d.
def mutual_information(tokens, n_distances, n_words):
    result = torch.zeros(n_distances)
    for d in range(1, n_distances + 1):
        pairs = tokens * n_words + tokens.roll(-d)
        table = torch.bincount(pairs, minlength=n_words**2).view(n_words, n_words) / len(pairs)
        independent = torch.outer(table.sum(1), table.sum(0))
        seen = table > 0
        result[d - 1] = (table[seen] * (table[seen] / independent[seen]).log()).sum()
    return result


# %% name="reach-mistake-conditional"
# %%mistake reach
# The quotient divides by one marginal only. What is left is the entropy of a word given the other: divide by the
# product of both.
def mutual_information(tokens, n_distances, n_words):
    result = torch.zeros(n_distances)
    for d in range(1, n_distances + 1):
        pairs = tokens[:-d] * n_words + tokens[d:]
        table = torch.bincount(pairs, minlength=n_words**2).view(n_words, n_words) / len(pairs)
        one_side = table.sum(1, keepdim=True).expand_as(table)
        seen = table > 0
        result[d - 1] = -(table[seen] * (table[seen] / one_side[seen]).log()).sum()
    return result


# %% name="reach-other-entropies"
# %%other reach
# H(a) + H(b) - H(a, b), the pairs counted one by one.
def mutual_information(tokens, n_distances, n_words):
    def entropy(p):
        return -torch.special.xlogy(p, p).sum().item()

    result = []
    for d in range(1, n_distances + 1):
        pairs = torch.zeros(n_words, n_words, dtype=torch.float64)
        for a, b in zip(tokens[:-d].tolist(), tokens[d:].tolist(), strict=True):
            pairs[a, b] += 1 / (len(tokens) - d)
        result.append(entropy(pairs.sum(0)) + entropy(pairs.sum(1)) - entropy(pairs))
    return torch.tensor(result, dtype=torch.float32)


# %% name="reach-other-one-hot"
# %%other reach
# The table as a product of one-hot matrices, the sum as a mean over the pairs.
def mutual_information(tokens, n_distances, n_words):
    hot = torch.eye(n_words)[tokens]
    means = []
    for d in range(1, n_distances + 1):
        a, b, pair = hot[:-d], hot[d:], (tokens[:-d], tokens[d:])
        table = a.T @ b / len(a)
        means.append((table[pair] / (a.mean(0)[pair[0]] * b.mean(0)[pair[1]])).log().mean())
    return torch.stack(means)


# %% [markdown] name="numbers" question={"points": 4, "difficulty": 2, "minutes": 10, "section": "4.1"}
# ## 4. Numbers to derive
#
# **Three words.** A model gives the words of a text the probabilities 1/2, 1/4 and 1/32. What is the `perplexity`, to
# three digits?
#
# **A floor.** A source draws words independently: one of two words, with probabilities 3/4 and 1/4. What is the
# lowest mean loss, in **bits** per word, that a model can have in the long run? Give `floor` to three digits.
#
# **The joint table.** A vocabulary has 10 words. How many free numbers (`numbers`) does the chain rule need for texts
# of exactly 3 words, without any assumption?
#
# **Teacher forcing.** Which sentence says what it is? Set `reason` to its letter.
#
# - **a** An approximation that makes training cheaper: the exact gradient would need the model's own words as input.
# - **b** The exact gradient of the log-likelihood: the conditions of the chain rule are the words of the text itself.
# - **c** A way to make the model's conditionals independent of each other.
# - **d** A regulariser: it keeps the model's own mistakes out of the training data.

# %% name="numbers-answer"
perplexity = None  # a number
floor = None  # a number, in bits
numbers = None  # a number
reason = ""  # the letter
### BEGIN SOLUTION
perplexity = 6.3496  # (2 · 4 · 32)^(1/3)
floor = 0.811  # 3/4 log2(4/3) + 1/4 log2 4
numbers = 999  # 10^3 - 1
reason = "b"
### END SOLUTION

# %% name="numbers-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_sequence_probability", "numbers", perplexity=perplexity, floor=floor, numbers=numbers, reason=reason)

# %% [markdown] name="numbers-hint-1"
# Perplexity is a geometric mean. Write down 1/p for each of the n words, multiply, then take the n-th root.

# %% [markdown] name="numbers-hint-2"
# The floor is the entropy of the source, with logarithms to base 2. For the table: probabilities of all texts sum to 1,
# so one of them is not free.

# %% name="numbers-parts"
numbers = ValueQuestion()
numbers.number("perplexity", points=1, title="the perplexity of three words")
numbers.number("floor", points=1, title="the floor in bits")
numbers.number("numbers", points=1, title="free numbers of the chain rule")
numbers.choice("reason", "abcd", points=1, title="what teacher forcing is")

# %% name="numbers-mistake-arithmetic"
# %%mistake numbers
# That is the arithmetic mean of 2, 4 and 32. Perplexity is their geometric mean.
perplexity = 12.6667

# %% name="numbers-mistake-product"
# %%mistake numbers
# That is 1 over the probability of the text. Take the third root: perplexity counts per word.
perplexity = 256

# %% name="numbers-mistake-loss-in-nats"
# %%mistake numbers
# That is the mean loss in nats. Perplexity is exp of it.
perplexity = 1.848

# %% name="numbers-mistake-loss-in-bits"
# %%mistake numbers
# That is the mean loss in bits. Perplexity is 2 to the power of it.
perplexity = 2.667

# %% name="numbers-mistake-of-probabilities"
# %%mistake numbers
# That is the geometric mean of the probabilities. Perplexity takes 1 over each.
perplexity = 0.1575

# %% name="numbers-mistake-example"
# %%mistake numbers
# That is for 1/2, 1/4 and 1/8, the example of the section. The third word here has 1/32.
perplexity = 4

# %% name="numbers-mistake-nats"
# %%mistake numbers
# That is the entropy in nats. In bits, divide by ln 2.
floor = 0.562

# %% name="numbers-mistake-uniform"
# %%mistake numbers
# One bit is the loss of guessing. A model that knows 3/4 and 1/4 does better.
floor = 1

# %% name="numbers-mistake-frequent-word"
# %%mistake numbers
# That is the loss of the frequent word alone. Take the mean over both words, with their probabilities as weights.
floor = 0.415

# %% name="numbers-mistake-no-sum"
# %%mistake numbers
# The table has that many entries, but they sum to 1, so the last follows from the others.
numbers = 1000

# %% name="numbers-mistake-markov"
# %%mistake numbers
# That counts a first word and one table of transitions: a Markov chain. The question assumes nothing.
numbers = 99

# %% name="numbers-mistake-three-tables"
# %%mistake numbers
# That counts all entries of the three tables, 10 + 100 + 1000 (or all texts of up to 3 words). Each row sums to 1, so
# one number of each row is not free.
numbers = 1110

# %% name="numbers-mistake-three-independent"
# %%mistake numbers
# That is for three independent words. The question assumes nothing.
numbers = 27

# %% name="numbers-mistake-approximation"
# %%mistake numbers
# Differentiate the chain rule: its conditions are the true words. With the model's own words it would be the gradient
# of something else.
reason = "a"

# %% name="numbers-mistake-independent"
# %%mistake numbers
# The conditionals still depend on all words before. What teacher forcing makes possible is to compute them at once.
reason = "c"

# %% name="numbers-mistake-regulariser"
# %%mistake numbers
# Nothing is added to the likelihood and nothing held back. Its gradient simply has the true words as conditions.
reason = "d"

# %% name="numbers-other-worked-out"
# %%other numbers
# The numbers as they are worked out.
perplexity = (2 * 4 * 32) ** (1 / 3)
floor = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
numbers = 9 + 10 * 9 + 100 * 9
reason = "(B)"

# %% name="numbers-other-tensors"
# %%other numbers
# The same with tensors.
perplexity = torch.tensor([0.5, 0.25, 1 / 32]).log().mean().neg().exp()
floor = torch.distributions.Categorical(torch.tensor([0.75, 0.25])).entropy() / math.log(2)
numbers = torch.tensor(10) ** 3 - 1
reason = " b."

# %% [markdown] name="end"
# ## Done?
#
# `hint("01_sequence_probability", "chain", 1)` gives a first hint; each question has two or three. `lmbook check` on
# this notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
