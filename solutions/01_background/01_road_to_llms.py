# %% [markdown] name="title"
# # 1.1 通往大语言模型之路 · The road to large language models — exercises
#
# 本节的练习先写出两词 Kneser–Ney 平滑，再把同一组得分换算成困惑度和每字节比特数，
# 然后给一本越来越厚的“规则书”数覆盖率，最后推出循环网络与 Transformer 各要等多少步，并读懂一张图。
#
# You write the methods of the road yourself, in plain torch and Python. Each question has a cell for your answer and
# a cell that checks it. Run the check as often as you like. Section 1.1 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 01_road_to_llms

# %% name="imports"
import math

import torch
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="smoothing" question={"points": 5, "difficulty": 3, "minutes": 25, "section": "1.1"}
# ## 1. Kneser–Ney for pairs
#
# A table of counts says how often token $w$ followed token $c$. Turn it into probabilities that are 0 only for tokens
# that never followed anything:
#
# $$P(w \mid c) = \frac{\max(\mathrm{count}(c, w) - D,\ 0)}{\mathrm{total}(c)} +
# \frac{D \cdot \mathrm{kinds}(c)}{\mathrm{total}(c)} \, P_{\text{lower}}(w)$$
#
# total(c) is the sum of row c, kinds(c) is how many *different* tokens followed c. For $P_{\text{lower}}(w)$ count the
# *different* tokens that w followed; divide by the sum of these counts over all w.
#
# | | shape | |
# | --- | --- | --- |
# | `counts` | (V, V) float32 | row c, column w: how often w followed c |
# | `discount` | float | D, between 0 and 1 |
# | returns | (V, V) float32 | row c: the next token's distribution; a row never seen is $P_{\text{lower}}$ |
#
# Write it with torch or loops, without `lmlib.models.ngram`.
#
# **What usually goes wrong:** the lower distribution is made of frequencies instead of kinds; an unseen row divides 0
# by 0.


# %% name="smoothing-answer"
def kneser_ney(counts: Tensor, discount: float) -> Tensor:
    """Interpolated Kneser–Ney probabilities (V, V) from the counts of pairs (V, V)."""
    ### BEGIN SOLUTION
    seen = counts.sign()  # 1 for a pair that occurred
    lower = seen.sum(0) / seen.sum()  # (V): after how many different tokens
    total, kinds = counts.sum(1, keepdim=True), seen.sum(1, keepdim=True)  # (V, 1)
    smoothed = (torch.relu(counts - discount) + discount * kinds * lower) / total  # NaN where nothing was seen
    return torch.where(total > 0, smoothed, lower)
    ### END SOLUTION


# %% name="smoothing-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_road_to_llms", "smoothing", kneser_ney)

# %% [markdown] name="smoothing-hint-1"
# Make a second table first: 1 where a pair was seen, 0 elsewhere. Its row sums are kinds(c), its column sums say after
# how many different tokens w occurred.

# %% [markdown] name="smoothing-hint-2"
# Each row must sum to 1. What is taken off is D for each different token of the row, together D · kinds(c); exactly
# that is given to the lower distribution.

# %% [markdown] name="smoothing-hint-3"
# A row without counts divides 0 by 0. `torch.where(total > 0, smoothed, lower)` puts the lower distribution there.

# %% name="smoothing-parts"
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


# %% name="smoothing-mistake-frequencies"
# %%mistake smoothing
# The lower distribution is made of frequencies. A token that occurs often, but always after the same one, then gets too
# much elsewhere. Count after how many *different* tokens it occurs.
def kneser_ney(counts, discount):
    lower = counts.sum(0) / counts.sum()
    total, kinds = counts.sum(1, keepdim=True), (counts > 0).sum(1, keepdim=True)
    smoothed = ((counts - discount).clamp(min=0) + discount * kinds * lower) / total.clamp(min=1)
    return torch.where(total > 0, smoothed, lower)


# %% name="smoothing-mistake-followers"
# %%mistake smoothing
# The lower distribution counts how many different tokens *follow* w. It must count how many different tokens w follows:
# the column of the table, not its row.
def kneser_ney(counts, discount):
    seen = (counts > 0).float()
    lower = seen.sum(1) / seen.sum()
    total, kinds = counts.sum(1, keepdim=True), seen.sum(1, keepdim=True)
    smoothed = ((counts - discount).clamp(min=0) + discount * kinds * lower) / total.clamp(min=1)
    return torch.where(total > 0, smoothed, lower)


# %% name="smoothing-mistake-nothing-freed"
# %%mistake smoothing
# The discount is taken off, and nothing is given to the shorter context: rows sum to less than 1, and new pairs still
# have probability 0.
def kneser_ney(counts, discount):
    seen = (counts > 0).float()
    lower = seen.sum(0) / seen.sum()
    total = counts.sum(1, keepdim=True)
    return torch.where(total > 0, (counts - discount).clamp(min=0) / total.clamp(min=1), lower)


# %% name="smoothing-mistake-negative"
# %%mistake smoothing
# The discount is taken off pairs that were never seen as well, so that some probabilities fall below 0. Only what
# was counted can be discounted: max(count - D, 0).
def kneser_ney(counts, discount):
    seen = (counts > 0).float()
    lower = seen.sum(0) / seen.sum()
    total, kinds = counts.sum(1, keepdim=True), seen.sum(1, keepdim=True)
    smoothed = (counts - discount + discount * kinds * lower) / total.clamp(min=1)
    return torch.where(total > 0, smoothed, lower)


# %% name="smoothing-mistake-unseen-rows"
# %%mistake smoothing
# A token that nothing ever followed has a row of zeros, and 0/0 is NaN. Its row must be the lower distribution.
def kneser_ney(counts, discount):
    seen = (counts > 0).float()
    lower = seen.sum(0) / seen.sum()
    total, kinds = counts.sum(1, keepdim=True), seen.sum(1, keepdim=True)
    return ((counts - discount).clamp(min=0) + discount * kinds * lower) / total


# %% name="smoothing-mistake-even"
# %%mistake smoothing
# What is freed is shared out evenly. Kneser and Ney give more to tokens that occur after many different ones.
def kneser_ney(counts, discount):
    seen = (counts > 0).float()
    lower = torch.full((len(counts),), 1 / len(counts))
    total, kinds = counts.sum(1, keepdim=True), seen.sum(1, keepdim=True)
    smoothed = ((counts - discount).clamp(min=0) + discount * kinds * lower) / total.clamp(min=1)
    return torch.where(total > 0, smoothed, lower)


# %% name="smoothing-mistake-zero-row"
# %%mistake smoothing
# The row of a token that nothing ever followed is all zeros. Its row must be the lower distribution.
def kneser_ney(counts, discount):
    seen = (counts > 0).float()
    lower = seen.sum(0) / seen.sum()
    total, kinds = counts.sum(1, keepdim=True), seen.sum(1, keepdim=True)
    return torch.nan_to_num(((counts - discount).clamp(min=0) + discount * kinds * lower) / total)


# %% name="smoothing-mistake-even-row"
# %%mistake smoothing
# A row that was never seen is shared out evenly here. Even then we know something: how many different tokens each
# token followed. The row must be the lower distribution.
def kneser_ney(counts, discount):
    seen = (counts > 0).float()
    lower = seen.sum(0) / seen.sum()
    total, kinds = counts.sum(1, keepdim=True), seen.sum(1, keepdim=True)
    smoothed = ((counts - discount).clamp(min=0) + discount * kinds * lower) / total
    return torch.where(total > 0, smoothed, 1 / len(counts))


# %% name="smoothing-mistake-lower-not-divided"
# %%mistake smoothing
# The lower numbers are counts and do not sum to 1. Divide them by their sum over all w.
def kneser_ney(counts, discount):
    seen = (counts > 0).float()
    lower = seen.sum(0)
    total, kinds = counts.sum(1, keepdim=True), seen.sum(1, keepdim=True)
    smoothed = ((counts - discount).clamp(min=0) + discount * kinds * lower) / total
    return torch.where(total > 0, smoothed, lower)


# %% name="smoothing-mistake-back-off"
# %%mistake smoothing
# The lower distribution is used only where nothing was counted. That is back-off. The formula adds it everywhere:
# interpolation.
def kneser_ney(counts, discount):
    seen = (counts > 0).float()
    lower = seen.sum(0) / seen.sum()
    total, kinds = counts.sum(1, keepdim=True), seen.sum(1, keepdim=True)
    smoothed = torch.where(counts > 0, counts - discount, discount * kinds * lower) / total
    return torch.where(total > 0, smoothed, lower)


# %% name="smoothing-other-loops"
# %%other smoothing
# One number at a time.
def kneser_ney(counts, discount):
    size = len(counts)
    rows = counts.tolist()
    after = [sum(rows[c][w] > 0 for c in range(size)) for w in range(size)]
    out = torch.zeros(size, size)
    for c in range(size):
        total, kinds = sum(rows[c]), sum(n > 0 for n in rows[c])
        for w in range(size):
            lower = after[w] / sum(after)
            out[c, w] = (max(rows[c][w] - discount, 0) + discount * kinds * lower) / total if total else lower
    return out


# %% name="smoothing-other-what-is-left"
# %%other smoothing
# First what is kept; the rest up to 1 goes to the lower distribution, whatever it is.
def kneser_ney(counts, discount):
    kept = torch.relu(counts - discount) / counts.sum(1, keepdim=True).clamp(min=1e-9)
    after = counts.sign().sum(0)
    return kept + (1 - kept.sum(1))[:, None] * after / after.sum()


# %% [markdown] name="measures" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "1.1"}
# ## 2. One score, two measures
#
# A model gave each token of a text its log probability, the natural logarithm. Compute
#
# - **bits per byte**: the bits of the whole text, divided by its bytes;
# - **perplexity** (困惑度): $\exp$ of the mean of $-\ln P$ over the tokens.
#
# | | shape | |
# | --- | --- | --- |
# | `log_p` | (T,) float32 | ln P of each token |
# | `n_bytes` | int | length of the text in bytes |
# | returns `bits`, `perplexity` | float, float | Python numbers, not rounded |
#
# **What usually goes wrong:** nats are taken for bits; the bits are divided by the number of tokens.


# %% name="measures-answer"
def measures(log_p: Tensor, n_bytes: int) -> tuple[float, float]:
    """Bits per byte and perplexity from the log probabilities of a text's tokens."""
    ### BEGIN SOLUTION
    nats = -log_p.sum().item()
    return nats / math.log(2) / n_bytes, math.exp(nats / len(log_p))
    ### END SOLUTION


# %% name="measures-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_road_to_llms", "measures", measures)

# %% [markdown] name="measures-hint-1"
# $\log_2 x = \ln x / \ln 2$. So a nat is 1/ln 2 bits, about 1.44.

# %% [markdown] name="measures-hint-2"
# Both begin with the same sum of $-\ln P$. One divides it by bytes, the other by tokens.

# %% name="measures-parts"
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


# %% name="measures-mistake-nats"
# %%mistake measures
# These are nats per byte: the logarithm is the natural one. Divide by ln 2 for bits.
def measures(log_p, n_bytes):
    nats = -log_p.sum().item()
    return nats / n_bytes, math.exp(nats / len(log_p))


# %% name="measures-mistake-per-token"
# %%mistake measures
# These are bits per *token*. Models with other tokens could not be compared; divide by the bytes of the text.
def measures(log_p, n_bytes):
    nats = -log_p.sum().item()
    return nats / math.log(2) / len(log_p), math.exp(nats / len(log_p))


# %% name="measures-mistake-per-byte-perplexity"
# %%mistake measures
# The perplexity is taken per byte. It is meant per token: how many tokens the model hesitates between.
def measures(log_p, n_bytes):
    nats = -log_p.sum().item()
    return nats / math.log(2) / n_bytes, math.exp(nats / n_bytes)


# %% name="measures-mistake-two-to-nats"
# %%mistake measures
# The base of the perplexity and the unit of the mean do not fit: 2 to the power of nats. Use exp with nats, or 2 with
# bits.
def measures(log_p, n_bytes):
    nats = -log_p.sum().item()
    return nats / math.log(2) / n_bytes, 2 ** (nats / len(log_p))


# %% name="measures-mistake-mean-of-perplexities"
# %%mistake measures
# This is the mean of 1/P over the tokens. One bad token dominates it; the mean belongs on the logarithms, before exp.
def measures(log_p, n_bytes):
    nats = -log_p.sum().item()
    return nats / math.log(2) / n_bytes, (-log_p).exp().mean().item()


# %% name="measures-mistake-sign"
# %%mistake measures
# The sign is lost: a log probability is at most 0, and what it costs is its negative.
def measures(log_p, n_bytes):
    nats = log_p.sum().item()
    return nats / math.log(2) / n_bytes, math.exp(nats / len(log_p))


# %% name="measures-mistake-times-ln-2"
# %%mistake measures
# The bits are multiplied by ln 2. A bit is the *smaller* unit: one nat is 1.44 bits, so divide.
def measures(log_p, n_bytes):
    nats = -log_p.sum().item()
    return nats * math.log(2) / n_bytes, math.exp(nats / len(log_p))


# %% name="measures-mistake-log-of-log"
# %%mistake measures
# `log_p` is a logarithm already. It is negative, and a negative number has no log2. Only the unit must change: divide
# by ln 2.
def measures(log_p, n_bytes):
    return -torch.log2(log_p).sum().item() / n_bytes, math.exp(-log_p.mean().item())


# %% name="measures-mistake-exp-of-bits"
# %%mistake measures
# The base of the perplexity and the unit of the mean do not fit: exp of bits. Use exp with nats, or 2 with bits.
def measures(log_p, n_bytes):
    bits = -log_p.sum().item() / math.log(2)
    return bits / n_bytes, math.exp(bits / len(log_p))


# %% name="measures-mistake-no-exp"
# %%mistake measures
# The second number is the mean of -ln P, the loss. The perplexity is exp of it.
def measures(log_p, n_bytes):
    nats = -log_p.sum().item()
    return nats / math.log(2) / n_bytes, nats / len(log_p)


# %% name="measures-other-log2"
# %%other measures
# By way of probabilities and log2, in float64.
def measures(log_p, n_bytes):
    bits = -log_p.double().exp().log2()
    return float(bits.sum() / n_bytes), float(2 ** bits.mean())


# %% name="measures-other-loop"
# %%other measures
# One token after the other.
def measures(log_p, n_bytes):
    total = 0.0
    for value in log_p.tolist():
        total -= value
    return total * math.log2(math.e) / n_bytes, math.e ** (total / log_p.numel())


# %% [markdown] name="rules" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "1.1"}
# ## 3. The rule book
#
# Sentences have been turned into numbers, one for each skeleton. We read `read` from left to right and keep a rule for
# each skeleton seen. After each amount in `amounts`, what share of the sentences in `new` fits a rule?
#
# | | shape | |
# | --- | --- | --- |
# | `read` | (N,) int64 | the skeletons in the order in which they are read |
# | `new` | (M,) int64 | skeletons of another text; a skeleton that occurs twice counts twice |
# | `amounts` | (A,) int64 | how many sentences have been read, rising, each between 0 and N |
# | returns | (A,) float32 | the share of accepted sentences, between 0 and 1 |
#
# **What usually goes wrong:** kinds of skeletons are counted instead of sentences; the amount is off by one.


# %% name="rules-answer"
def coverage(read: Tensor, new: Tensor, amounts: Tensor) -> Tensor:
    """The share of new sentences that fit a rule, after each amount of sentences read (A,)."""
    ### BEGIN SOLUTION
    shares = []
    for amount in amounts:
        rules = set(read[:amount].tolist())
        shares.append(sum(skeleton in rules for skeleton in new.tolist()) / len(new))
    return torch.tensor(shares)
    ### END SOLUTION


# %% name="rules-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_road_to_llms", "rules", coverage)

# %% [markdown] name="rules-hint-1"
# A Python `set` of the first `amount` skeletons, as Python numbers (`.tolist()`), is the rule book. Ask for every
# sentence of `new` whether its number is in it.

# %% [markdown] name="rules-hint-2"
# `torch.isin(new, read[:amount])` answers for all sentences at once; the mean of the answers is the share.

# %% name="rules-parts"
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


# %% name="rules-mistake-kinds"
# %%mistake rules
# Each kind of skeleton counts once here. A frequent one must count as often as it occurs: the question asks for
# the share of sentences.
def coverage(read, new, amounts):
    kinds = set(new.tolist())
    return torch.tensor([len(kinds & set(read[:n].tolist())) / len(kinds) for n in amounts.tolist()])


# %% name="rules-mistake-off-by-one"
# %%mistake rules
# One sentence too many has been read: `read[: amount + 1]` has amount + 1 entries.
def coverage(read, new, amounts):
    return torch.stack([torch.isin(new, read[: n + 1]).float().mean() for n in amounts.tolist()])


# %% name="rules-mistake-one-too-few"
# %%mistake rules
# One sentence too few has been read. The slice `read[:amount]` already ends before the index amount.
def coverage(read, new, amounts):
    return torch.stack([torch.isin(new, read[: max(n - 1, 0)]).float().mean() for n in amounts.tolist()])


# %% name="rules-mistake-rules-used"
# %%mistake rules
# This is the share of the *rules* that the new text uses. The question is the other way round: the share of the new
# sentences that have a rule.
def coverage(read, new, amounts):
    shares = []
    for n in amounts.tolist():
        book = set(read[:n].tolist())
        shares.append(len(book & set(new.tolist())) / max(len(book), 1))
    return torch.tensor(shares)


# %% name="rules-mistake-rejected"
# %%mistake rules
# This is the share that fits *no* rule. Subtract it from 1.
def coverage(read, new, amounts):
    return torch.stack([1 - torch.isin(new, read[:n]).float().mean() for n in amounts.tolist()])


# %% name="rules-mistake-set-of-tensors"
# %%mistake rules
# Every share is 0. If the book is a set of tensors, nothing is ever found: tensors in a set are compared as objects,
# not as numbers. Use `.tolist()` first.
def coverage(read, new, amounts):
    shares = []
    for n in amounts:
        book = set(read[:n])
        shares.append(sum(skeleton in book for skeleton in new) / len(new))
    return torch.tensor(shares)


# %% name="rules-mistake-kinds-over-sentences"
# %%mistake rules
# The numerator counts kinds of skeletons, the denominator sentences. Count each sentence of `new` that fits a rule.
def coverage(read, new, amounts):
    kinds = set(new.tolist())
    return torch.tensor([len(kinds & set(read[:n].tolist())) / len(new) for n in amounts.tolist()])


# %% name="rules-mistake-turned-round"
# %%mistake rules
# The question is turned round: this is the share of the sentences *read* that occur in `new`. Ask for each sentence of
# `new` whether it is among those read.
def coverage(read, new, amounts):
    return torch.stack([torch.isin(read[:n], new).to(torch.get_default_dtype()).mean() for n in amounts.tolist()])


# %% name="rules-mistake-amount-of-rules"
# %%mistake rules
# This is the share after so many *rules*. `amounts` counts sentences, and a skeleton that comes again makes no new
# rule.
def coverage(read, new, amounts):
    book = torch.tensor(list(dict.fromkeys(read.tolist())))
    return torch.stack([torch.isin(new, book[:n]).float().mean() for n in amounts.tolist()])


# %% name="rules-other-isin"
# %%other rules
# All sentences at once.
def coverage(read, new, amounts):
    return torch.stack([torch.isin(new, read[:n]).float().mean() for n in amounts.tolist()])


# %% name="rules-other-first-seen"
# %%other rules
# When was the skeleton of each new sentence first read? It is accepted from the next amount on.
def coverage(read, new, amounts):
    first = {}
    for i, skeleton in enumerate(read.tolist()):
        first.setdefault(skeleton, i)
    seen_at = torch.tensor([first.get(skeleton, len(read)) for skeleton in new.tolist()])
    return (seen_at[None] < amounts[:, None]).float().mean(1)


# %% [markdown] name="waiting" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "1.1"}
# ## 4. Who must wait for whom?
#
# A recurrent network has 3 layers and reads 100 tokens. One **step** computes the new state of one layer at one
# position; it needs the state of that layer one position before, and the output of the layer below at the same
# position. Steps that do not need each other may run at the same time, on as many processors as you like.
#
# - `recurrent`: how many steps must come one after the other, if as much as possible is done at the same time? (Draw
#   the grid: 3 rows, 100 columns.)
# - `transformer`: the same for a Transformer with 3 layers that reads these 100 tokens. There one step computes one
#   layer at one position, and needs the layer below at *all* positions up to its own.
#
# **Read the figure of section 1.1.** The Transformer ended below the 5-gram, after about a million times as many
# operations. Which conclusion does the figure support? Set `conclusion` to its letter.
#
# - **a** A Transformer is better than an n-gram at any training effort.
# - **b** With little computing, counting is the better choice; with more, the Transformer gets further.
# - **c** The Transformer wins because it was given more text than the n-gram.
# - **d** With a longer context n the n-gram would have caught up, because its curve is still falling steeply.

# %% name="waiting-answer"
recurrent = None  # a number
transformer = None  # a number
conclusion = ""  # the letter
### BEGIN SOLUTION
recurrent = 102  # along the first layer, then up: 100 + 3 - 1
transformer = 3  # one a layer
conclusion = "b"
### END SOLUTION

# %% name="waiting-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_road_to_llms", "waiting", recurrent=recurrent, transformer=transformer, conclusion=conclusion)

# %% [markdown] name="waiting-hint-1"
# Draw 2 rows and 4 columns, layer 1 as the lower row. Write into each field the earliest time at which its step can be
# done: the field at the lower left has 1.

# %% [markdown] name="waiting-hint-2"
# In a Transformer no step needs another one of its own layer. What does that mean for the steps of one layer?

# %% [markdown] name="waiting-hint-3"
# In the recurrent network the step at layer l and position t can be done at time l + t - 1, if everything starts as
# early as it can. When is the last one, at layer 3 and position 100?

# %% name="waiting-parts"
waiting = ValueQuestion()
waiting.number("recurrent", points=1, title="steps of the recurrent network")
waiting.number("transformer", points=1, title="steps of the Transformer")
waiting.choice("conclusion", "abcd", points=2, title="what the figure supports")

# %% name="waiting-mistake-one-by-one"
# %%mistake waiting
# 300 is the number of all steps. Many of them can run at the same time: layer 2 can work on position 1 while
# layer 1 works on position 2.
recurrent = 300

# %% name="waiting-mistake-one-layer"
# %%mistake waiting
# 100 is enough for the lowest layer. When it has finished the last position, two layers still wait for it.
recurrent = 100

# %% name="waiting-mistake-arrows"
# %%mistake waiting
# 101 is the number of arrows on the longest path: 99 to the right and 2 up. The first step is a step, too.
recurrent = 101

# %% name="waiting-mistake-product-and-layer"
# %%mistake waiting
# 103 counts the corner twice: the path goes along 100 positions and then up 2 more layers.
recurrent = 103

# %% name="waiting-mistake-transformer-waits"
# %%mistake waiting
# "All positions up to its own" are positions of the layer *below*, which is finished. Nothing waits along a layer.
transformer = 102

# %% name="waiting-mistake-transformer-writes"
# %%mistake waiting
# Position after position is how a Transformer *writes*. When the text is given, all positions of a layer are computed
# at once.
transformer = 100

# %% name="waiting-mistake-transformer-all"
# %%mistake waiting
# That is the number of all steps of the Transformer. A whole layer can be done at once.
transformer = 300

# %% name="waiting-mistake-one-step"
# %%mistake waiting
# Positions need not wait for each other, but layers must: the second layer reads what the first has made.
transformer = 1

# %% name="waiting-mistake-at-any-effort"
# %%mistake waiting
# At the left of the figure stand only the counts; the Transformer begins far above the 3-gram.
conclusion = "a"

# %% name="waiting-mistake-more-text"
# %%mistake waiting
# All models had the same text. The networks read it several times, the n-grams once.
conclusion = "c"

# %% name="waiting-mistake-longer-context"
# %%mistake waiting
# The curve of the counts has flattened: from n = 4 to 5 it gains a small fraction of what the step from 1 to 2 gained.
conclusion = "d"

# %% name="waiting-other-worked-out"
# %%other waiting
# The numbers as they are worked out.
recurrent = max(layer + position for layer in range(3) for position in range(100)) + 1
transformer = len({"layer 1", "layer 2", "layer 3"})
conclusion = "(B)"

# %% name="waiting-other-tensors"
# %%other waiting
# The numbers as tensors.
recurrent = torch.tensor(100) + 3 - 1
transformer = torch.ones(3).sum()
conclusion = "b."

# %% [markdown] name="end"
# ## Done?
#
# `hint("01_road_to_llms", "smoothing", 1)` gives a first hint; each question has two or three. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
