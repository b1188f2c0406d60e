# %% [markdown] name="title"
# # 4.6 训练目标 · Objectives — exercises
#
# 本节的练习写出掩码语言模型的损失、带温度与难负例的 InfoNCE，再推导并写出带标签平滑的交叉熵的梯度，
# 最后用纸笔算出损失的下限与互信息的界，并判断一个符号的对错。
#
# You write two losses and one gradient in plain torch. Each question has a cell for your answer and a cell that
# checks it. Section 4.6 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 06_objectives

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="masked" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "4.6"}
# ## 1. The loss of a masked language model
#
# Write the mean negative log-likelihood of the hidden words. A label is the id of the hidden word, or −100 at
# every place that was not chosen: such a place does not count.
#
# | | shape | |
# | --- | --- | --- |
# | `logits` | (B, T, V) | scores of the model |
# | `labels` | (B, T) int64 | ids, or −100 |
# | returns | scalar tensor | the mean over all chosen places of the batch, in nats; 0 if none was chosen |
#
# `F.cross_entropy` and `F.nll_loss` are not allowed here; `torch.log_softmax` is.
#
# **What usually goes wrong:** the mean is taken over all places, or over sentences; −100 is used as an index.


# %% name="masked-answer"
def masked_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean −ln Q of the labels (B, T) that are not −100."""
    ### BEGIN SOLUTION
    chosen = labels >= 0  # (B, T)
    if not chosen.any():
        return logits.new_zeros(())
    log_q = torch.log_softmax(logits[chosen], dim=-1)  # (n, V)
    return -log_q.gather(1, labels[chosen][:, None]).mean()
    ### END SOLUTION


# %% name="masked-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_objectives", "masked", masked_loss)

# %% [markdown] name="masked-hint-1"
# `labels >= 0` says which places count. `logits[chosen]` keeps only those: (n, V).

# %% [markdown] name="masked-hint-2"
# `gather(1, ids[:, None])` picks from each row the log-probability of its own word.

# %% [markdown] name="masked-hint-3"
# The mean of no numbers is NaN. Ask first whether any place was chosen: `chosen.any()`.

# %% name="masked-parts"
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


# %% name="masked-mistake-all-places"
# %%mistake masked
# The sum is over the hidden words, divided by all places. With 15 % hidden the loss looks almost seven times too good.
def masked_loss(logits, labels):
    chosen = labels >= 0
    log_q = torch.log_softmax(logits, dim=-1).gather(2, labels.clamp(min=0)[..., None])[..., 0]
    return -(log_q * chosen).mean()


# %% name="masked-mistake-index"
# %%mistake masked
# Places without a label are scored as if word 0 were hidden there. −100 means: leave this place out.
def masked_loss(logits, labels):
    return -torch.log_softmax(logits, dim=-1).gather(2, labels.clamp(min=0)[..., None]).mean()


# %% name="masked-mistake-sentences"
# %%mistake masked
# First a mean in each sentence, then a mean over the sentences. A hidden word in a sentence with few of them then
# weighs more than one in a sentence with many.
def masked_loss(logits, labels):
    chosen = labels >= 0
    if not chosen.any():
        return logits.new_zeros(())
    log_q = torch.log_softmax(logits, dim=-1).gather(2, labels.clamp(min=0)[..., None])[..., 0]
    counts = chosen.sum(1)
    return -((log_q * chosen).sum(1)[counts > 0] / counts[counts > 0]).mean()


# %% name="masked-mistake-sign"
# %%mistake masked
# The minus is missing: this is the log-likelihood, which is to be maximised. An optimizer that descends on it unlearns.
def masked_loss(logits, labels):
    chosen = labels >= 0
    if not chosen.any():
        return logits.new_zeros(())
    return torch.log_softmax(logits[chosen], dim=-1).gather(1, labels[chosen][:, None]).mean()


# %% name="masked-mistake-nan"
# %%mistake masked
# All is right except in a batch without a hidden word: the mean of nothing is NaN, and one NaN spoils every weight.
def masked_loss(logits, labels):
    chosen = labels >= 0
    return -torch.log_softmax(logits[chosen], dim=-1).gather(1, labels[chosen][:, None]).mean()


# %% name="masked-mistake-overflow"
# %%mistake masked
# The softmax is written out, and exp of some hundreds is infinite in float32; a small probability becomes 0, its
# logarithm −∞. torch.log_softmax subtracts the largest logit first.
def masked_loss(logits, labels):
    chosen = labels >= 0
    if not chosen.any():
        return logits.new_zeros(())
    powers = logits[chosen].exp()
    return -(powers / powers.sum(-1, keepdim=True)).log().gather(1, labels[chosen][:, None]).mean()


# %% name="masked-mistake-log-of-softmax"
# %%mistake masked
# Softmax first, log after: a very small probability is 0 in float32, and its logarithm is −∞. torch.log_softmax does
# both at once.
def masked_loss(logits, labels):
    chosen = labels >= 0
    if not chosen.any():
        return logits.new_zeros(())
    return -torch.softmax(logits[chosen], dim=-1).log().gather(1, labels[chosen][:, None]).mean()


# %% name="masked-mistake-capped"
# %%mistake masked
# 1e-9 under the logarithm caps every loss at 20.7, so a confident mistake gets no gradient. torch.log_softmax needs no
# such number.
def masked_loss(logits, labels):
    chosen = labels >= 0
    if not chosen.any():
        return logits.new_zeros(())
    return -(torch.softmax(logits[chosen], dim=-1) + 1e-9).log().gather(1, labels[chosen][:, None]).mean()


# %% name="masked-mistake-word-zero"
# %%mistake masked
# Word 0 is left out: its id is a label like any other. Only −100 is none.
def masked_loss(logits, labels):
    chosen = labels > 0
    if not chosen.any():
        return logits.new_zeros(())
    return -torch.log_softmax(logits[chosen], dim=-1).gather(1, labels[chosen][:, None]).mean()


# %% name="masked-mistake-over-places"
# %%mistake masked
# The softmax runs over the places. At each place the model chooses among the words: the last axis.
def masked_loss(logits, labels):
    chosen = labels >= 0
    if not chosen.any():
        return logits.new_zeros(())
    return -torch.log_softmax(logits, dim=1)[chosen].gather(1, labels[chosen][:, None]).mean()


# %% name="masked-other-loop"
# %%other masked
# Place by place.
def masked_loss(logits, labels):
    losses = [
        torch.logsumexp(logits[b, t], 0) - logits[b, t, labels[b, t]]
        for b in range(labels.size(0))
        for t in range(labels.size(1))
        if labels[b, t] != -100
    ]
    return torch.stack(losses).mean() if losses else torch.zeros((), dtype=logits.dtype)


# %% name="masked-other-one-hot"
# %%other masked
# A sum over all places, divided by the number of labels, at least 1.
def masked_loss(logits, labels):
    chosen = labels.ge(0)
    one_hot = F.one_hot(labels.clamp(min=0), logits.size(-1)) * chosen[..., None]
    return -(torch.log_softmax(logits, -1) * one_hot).sum() / chosen.sum().clamp(min=1)


# %% name="masked-equivalent-same"
# %%equivalent masked
# No id is −1, zero has no sign and no size, and the last axis of two is axis 1.
chosen = labels >= -1
return logits.new_zeros(()) * 1.01
return -logits.new_zeros(())
log_q = torch.log_softmax(logits[chosen], dim=1)

# %% [markdown] name="contrastive" question={"points": 5, "difficulty": 3, "minutes": 20, "section": "4.6"}
# ## 2. InfoNCE
#
# Write the contrastive loss: for each anchor $a_b$, −ln of the share that its own positive $p_b$ has among all
# candidates,
#
# $$-\ln\frac{e^{\cos(a_b,\,p_b)/\tau}}{\sum_c e^{\cos(a_b,\,c)/\tau}}$$
#
# The candidates $c$ of every anchor are the positives of the whole batch and all given negatives.
#
# | | shape | |
# | --- | --- | --- |
# | `anchors`, `positives` | (B, C) | row b of one belongs to row b of the other; of any norm |
# | `negatives` | (K, C) | further wrong candidates; K may be 0 |
# | `temperature` | float | $\tau$ |
# | returns | scalar tensor | the mean over the B anchors, in nats |
#
# `lmlib.pretraining` is not allowed here; `F.cross_entropy` and `F.normalize` are.
#
# **What usually goes wrong:** vectors are not normalised; $\tau$ multiplies; the positive is missing in the
# denominator.


# %% name="contrastive-answer"
def contrastive_loss(anchors: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """InfoNCE with in-batch and further negatives: the mean over the anchors."""
    ### BEGIN SOLUTION
    candidates = torch.cat([positives, negatives])  # (B + K, C)
    cosines = F.normalize(anchors, dim=-1) @ F.normalize(candidates, dim=-1).T  # (B, B + K)
    return F.cross_entropy(cosines / temperature, torch.arange(len(anchors)))
    ### END SOLUTION


# %% name="contrastive-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_objectives", "contrastive", contrastive_loss)

# %% [markdown] name="contrastive-hint-1"
# Stack the negatives under the positives (`torch.cat`): B + K candidates. One matrix product of normalised vectors
# gives all cosines.

# %% [markdown] name="contrastive-hint-2"
# Row b of the (B, B + K) scores is a classification, and the right class is b.

# %% name="contrastive-parts"
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


# %% name="contrastive-mistake-bare-products"
# %%mistake contrastive
# These are bare dot products, as in document 000: long vectors win whatever their direction. Normalise both sides
# first.
def contrastive_loss(anchors, positives, negatives, temperature):
    scores = anchors @ torch.cat([positives, negatives]).T
    return F.cross_entropy(scores / temperature, torch.arange(len(anchors)))


# %% name="contrastive-mistake-times-temperature"
# %%mistake contrastive
# The cosines are multiplied by the temperature. A low temperature must make differences larger: divide.
def contrastive_loss(anchors, positives, negatives, temperature):
    candidates = torch.cat([positives, negatives])
    cosines = F.normalize(anchors, dim=-1) @ F.normalize(candidates, dim=-1).T
    return F.cross_entropy(cosines * temperature, torch.arange(len(anchors)))


# %% name="contrastive-mistake-sign"
# %%mistake contrastive
# The sign is the wrong way round: descending on this pushes the two of a pair apart.
def contrastive_loss(anchors, positives, negatives, temperature):
    candidates = torch.cat([positives, negatives])
    cosines = F.normalize(anchors, dim=-1) @ F.normalize(candidates, dim=-1).T
    return -F.cross_entropy(cosines / temperature, torch.arange(len(anchors)))


# %% name="contrastive-mistake-negatives-left-out"
# %%mistake contrastive
# The given negatives take no part. They are candidates for every anchor, beside the positives of the others.
def contrastive_loss(anchors, positives, negatives, temperature):
    cosines = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T
    return F.cross_entropy(cosines / temperature, torch.arange(len(anchors)))


# %% name="contrastive-mistake-positive-left-out"
# %%mistake contrastive
# The positive is missing in the denominator, so this is no share, and the loss can fall below 0. It is one of the
# candidates.
def contrastive_loss(anchors, positives, negatives, temperature):
    candidates = torch.cat([positives, negatives])
    scores = F.normalize(anchors, dim=-1) @ F.normalize(candidates, dim=-1).T / temperature
    own = torch.eye(len(anchors), len(candidates), dtype=torch.bool)
    return (torch.logsumexp(scores.masked_fill(own, -math.inf), 1) - scores.diagonal()).mean()


# %% name="contrastive-mistake-other-way"
# %%mistake contrastive
# Anchors and positives have changed places: here each *positive* chooses among anchors. The two directions differ
# as soon as the matrix is not symmetric.
def contrastive_loss(anchors, positives, negatives, temperature):
    candidates = torch.cat([anchors, negatives])
    cosines = F.normalize(positives, dim=-1) @ F.normalize(candidates, dim=-1).T
    return F.cross_entropy(cosines / temperature, torch.arange(len(anchors)))


# %% name="contrastive-mistake-own-positive-only"
# %%mistake contrastive
# The positives of the other anchors are missing among the candidates. They are wrong answers that cost nothing.
def contrastive_loss(anchors, positives, negatives, temperature):
    anchors, positives, negatives = (F.normalize(v, dim=-1) for v in (anchors, positives, negatives))
    scores = torch.cat([(anchors * positives).sum(1, keepdim=True), anchors @ negatives.T], dim=1)
    return -torch.log_softmax(scores / temperature, dim=1)[:, 0].mean()


# %% name="contrastive-mistake-no-temperature"
# %%mistake contrastive
# The temperature has no effect. Divide the cosines by it.
def contrastive_loss(anchors, positives, negatives, temperature):
    candidates = torch.cat([positives, negatives])
    return F.cross_entropy(F.normalize(anchors) @ F.normalize(candidates).T, torch.arange(len(anchors)))


# %% name="contrastive-mistake-one-side-normalised"
# %%mistake contrastive
# Only the anchors are normalised. A long candidate still wins whatever its direction: normalise both sides.
def contrastive_loss(anchors, positives, negatives, temperature):
    scores = F.normalize(anchors) @ torch.cat([positives, negatives]).T
    return F.cross_entropy(scores / temperature, torch.arange(len(anchors)))


# %% name="contrastive-mistake-two-softmaxes"
# %%mistake contrastive
# `cross_entropy` takes logits and makes the softmax itself. Here it is taken twice.
def contrastive_loss(anchors, positives, negatives, temperature):
    candidates = torch.cat([positives, negatives])
    cosines = F.normalize(anchors) @ F.normalize(candidates).T
    return F.cross_entropy((cosines / temperature).softmax(1), torch.arange(len(anchors)))


# %% name="contrastive-other-loop"
# %%other contrastive
# Anchor by anchor.
def contrastive_loss(anchors, positives, negatives, temperature):
    losses = []
    for anchor, positive in zip(anchors, positives, strict=True):
        candidates = torch.cat([positive[None], torch.cat([positives, negatives])])
        scores = F.cosine_similarity(anchor[None], candidates, dim=1) / temperature
        losses.append(torch.logsumexp(scores[1:], 0) - scores[0])
    return sum(losses) / len(losses)


# %% name="contrastive-other-log-softmax"
# %%other contrastive
# The norms by hand, and the diagonal of a log-softmax.
def contrastive_loss(anchors, positives, negatives, temperature):
    candidates = torch.cat([positives, negatives])
    scores = anchors @ candidates.T / (anchors.norm(dim=1)[:, None] * candidates.norm(dim=1)) / temperature
    return -torch.log_softmax(scores, dim=1).diagonal().mean()


# %% name="contrastive-equivalent-axes"
# %%equivalent contrastive
# The last axis of two is axis 1, which is also what F.normalize takes unless told otherwise.
cosines = F.normalize(anchors) @ F.normalize(candidates, dim=-1).T
cosines = F.normalize(anchors, dim=1) @ F.normalize(candidates, dim=-1).T
cosines = F.normalize(anchors, dim=-1) @ F.normalize(candidates).T
cosines = F.normalize(anchors, dim=-1) @ F.normalize(candidates, dim=1).T

# %% [markdown] name="gradient" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "4.6"}
# ## 3. The gradient of a smoothed cross-entropy
#
# With label smoothing the target is $q = (1-\epsilon)\,\text{one-hot}(y) + \epsilon/V$, and the loss of one word
# is $-\sum_j q_j\ln Q_j$ with $Q = \mathrm{softmax}(z)$. Derive its gradient with respect to the logits $z$ and
# write it, for the *mean* over B words.
#
# | | shape | |
# | --- | --- | --- |
# | `logits` | (B, V) | $z$ |
# | `words` | (B,) int64 | the right words $y$ |
# | `smoothing` | float | $\epsilon$, from 0 to 1 |
# | returns | (B, V) | the gradient of the mean loss |
#
# Write it without autograd; use autograd to test it.
#
# **What usually goes wrong:** the mean is forgotten; $\epsilon$ is shared out among the wrong words only; exp
# overflows.


# %% name="gradient-answer"
def logit_gradient(logits: Tensor, words: Tensor, smoothing: float) -> Tensor:
    """Gradient (B, V) of the mean smoothed cross-entropy."""
    ### BEGIN SOLUTION
    B, V = logits.shape
    one_hot = F.one_hot(words, V).to(logits.dtype)
    target = (1 - smoothing) * one_hot + smoothing / V
    return (torch.softmax(logits, dim=-1) - target) / B
    ### END SOLUTION


# %% name="gradient-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_objectives", "gradient", logit_gradient)

# %% [markdown] name="gradient-hint-1"
# $\ln Q_j = z_j - \ln\sum_k e^{z_k}$. What is its derivative with respect to $z_i$? Then sum over $j$ with the
# weights $q_j$, which add up to 1.

# %% [markdown] name="gradient-hint-2"
# With $\partial\ln Q_j/\partial z_i = [i = j] - Q_i$ the sum is $-\sum_j q_j\,([i = j] - Q_i)$. What is $\sum_j q_j$?

# %% [markdown] name="gradient-hint-3"
# What is left for one word is a difference of two distributions. And the loss is a *mean* over B words: what does that
# do to each row?

# %% name="gradient-parts"
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


# %% name="gradient-mistake-no-mean"
# %%mistake gradient
# This is the gradient of the sum. The loss is a mean over the B words, so divide by B.
def logit_gradient(logits, words, smoothing):
    V = logits.size(1)
    return torch.softmax(logits, -1) - (1 - smoothing) * F.one_hot(words, V) - smoothing / V


# %% name="gradient-mistake-sign"
# %%mistake gradient
# The sign is the wrong way round. The gradient of a loss points uphill: for the right word it is negative.
def logit_gradient(logits, words, smoothing):
    B, V = logits.shape
    return ((1 - smoothing) * F.one_hot(words, V) + smoothing / V - torch.softmax(logits, -1)) / B


# %% name="gradient-mistake-no-smoothing"
# %%mistake gradient
# The smoothing has no effect here. The target is not one-hot any more.
def logit_gradient(logits, words, smoothing):
    B, V = logits.shape
    return (torch.softmax(logits, -1) - F.one_hot(words, V)) / B


# %% name="gradient-mistake-wrong-words-only"
# %%mistake gradient
# ε is shared out among the V − 1 wrong words. In the definition each of all V words gets ε/V, the right one too.
def logit_gradient(logits, words, smoothing):
    B, V = logits.shape
    one_hot = F.one_hot(words, V).to(logits.dtype)
    target = (1 - smoothing) * one_hot + smoothing / (V - 1) * (1 - one_hot)
    return (torch.softmax(logits, -1) - target) / B


# %% name="gradient-mistake-not-reduced"
# %%mistake gradient
# The right word keeps its full 1, and ε/V comes on top, so the target sums to more than 1. First take ε away from
# the right word.
def logit_gradient(logits, words, smoothing):
    B, V = logits.shape
    return (torch.softmax(logits, -1) - F.one_hot(words, V) - smoothing / V) / B


# %% name="gradient-mistake-over-all"
# %%mistake gradient
# Divided by B · V, as if the loss were a mean over all entries. It is a sum over the vocabulary and a mean over
# the words.
def logit_gradient(logits, words, smoothing):
    B, V = logits.shape
    return (torch.softmax(logits, -1) - (1 - smoothing) * F.one_hot(words, V) - smoothing / V) / (B * V)


# %% name="gradient-mistake-overflow"
# %%mistake gradient
# The softmax is written out, and exp of a logit of 100 is infinite in float32. torch.softmax subtracts the largest
# logit first.
def logit_gradient(logits, words, smoothing):
    B, V = logits.shape
    powers = logits.exp()
    target = (1 - smoothing) * F.one_hot(words, V) + smoothing / V
    return (powers / powers.sum(-1, keepdim=True) - target) / B


# %% name="gradient-mistake-changed-places"
# %%mistake gradient
# ε and 1 − ε have changed places. Without smoothing, ε = 0, the target is one-hot.
def logit_gradient(logits, words, smoothing):
    B, V = logits.shape
    return (torch.softmax(logits, -1) - smoothing * F.one_hot(words, V) - (1 - smoothing) / V) / B


# %% name="gradient-mistake-hard-part-only"
# %%mistake gradient
# The uniform part of the loss is missing: ε times the gradient for the target 1/V.
def logit_gradient(logits, words, smoothing):
    B, V = logits.shape
    return (1 - smoothing) * (torch.softmax(logits, -1) - F.one_hot(words, V)) / B


# %% name="gradient-mistake-probabilities"
# %%mistake gradient
# This is −q/Q, the gradient with respect to the probabilities. Go on to the logits, through the softmax.
def logit_gradient(logits, words, smoothing):
    B, V = logits.shape
    target = (1 - smoothing) * F.one_hot(words, V) + smoothing / V
    return -target / torch.softmax(logits, -1) / B


# %% name="gradient-other-indexed"
# %%other gradient
# The probabilities, changed in place.
def logit_gradient(logits, words, smoothing):
    result = logits.softmax(1) - smoothing / logits.size(1)
    result[torch.arange(len(words)), words] -= 1 - smoothing
    return result / len(words)


# %% name="gradient-other-mixture"
# %%other gradient
# A mixture of two gradients: that of the hard target and that of the uniform one.
def logit_gradient(logits, words, smoothing):
    powers = torch.exp(logits - logits.amax(1, keepdim=True))
    q = powers / powers.sum(1, keepdim=True)
    hard = q - torch.eye(logits.size(1), dtype=logits.dtype)[words]
    even = q - 1 / logits.size(1)
    return torch.lerp(hard, even, smoothing) / logits.size(0)


# %% name="gradient-equivalent-same"
# %%equivalent gradient
# Whole numbers become floats in the next line by themselves, and the last axis of two is axis 1.
one_hot = F.one_hot(words, V)
return (torch.softmax(logits, dim=1) - target) / B

# %% [markdown] name="floors" question={"points": 4, "difficulty": 3, "minutes": 15, "section": "4.6"}
# ## 4. Floors and bounds
#
# **Two cities.** A text consists of two words, "New York" or "Los Angeles", each with probability ½. In nats, to
# three digits:
#
# - `causal`: the lowest loss that a *causal* model can reach on a whole text (the sum over its two words);
# - `masked`: the same sum for a *masked* model when both words are hidden at once.
#
# **A bound.** A contrastive model picks the right one of N = 64 candidates; its loss on new pairs, again 64 at a time,
# is 1.5 nats. What is the least mutual `information`, in nats and to three digits, that this proves?
#
# **A sign.** Document 000 writes $\mathcal L = -\mathbb E\ln(\dots)$ for the contrastive loss and says that it is
# maximised. Set `sign` to the letter of what then happens.
#
# - **a** Nothing changes: a loss and its negative have the same optimum.
# - **b** The two of a pair are pushed apart, as far as the space allows.
# - **c** All vectors come together in one point, and the loss is ln N.
# - **d** Training is only slower, because the gradient has the wrong scale.

# %% name="floors-answer"
causal = None  # a number
masked = None  # a number
information = None  # a number
sign = ""  # the letter
### BEGIN SOLUTION
causal = math.log(2)  # the first word is a coin toss, the second then certain
masked = 2 * math.log(2)  # each word is a coin toss
information = math.log(64) - 1.5
sign = "b"
### END SOLUTION

# %% name="floors-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_objectives", "floors", causal=causal, masked=masked, information=information, sign=sign)

# %% [markdown] name="floors-hint-1"
# How uncertain is the first word for the causal model? And the second, once the first is known? What does the
# masked model know when it guesses the second?

# %% [markdown] name="floors-hint-2"
# The bound is in section 4.6.7. It is 0 when the loss is that of a guess among N, and largest when the loss is 0.

# %% [markdown] name="floors-hint-3"
# Maximising −ln of the share makes the share of the right candidate as small as it can be. Which cosine does that?

# %% name="floors-parts"
floors = ValueQuestion()
floors.number("causal", points=1, title="the floor of the causal loss")
floors.number("masked", points=1, title="the floor with both words hidden")
floors.number("information", points=1, title="the information that is proven")
floors.choice("sign", "abcd", points=1, title="the sign")

# %% name="floors-mistake-zero"
# %%mistake floors
# 0 would mean that even the first word is certain. It is a coin toss between two words.
causal = 0

# %% name="floors-mistake-causal-both"
# %%mistake floors
# The second word is certain once the first has been read, so it costs nothing.
causal = 2 * math.log(2)

# %% name="floors-mistake-bits"
# %%mistake floors
# 1 is the answer in bits. In nats a coin toss is ln 2.
causal = 1

# %% name="floors-mistake-causal-mean"
# %%mistake floors
# That is the mean over the two words. The sum is asked.
causal = math.log(2) / 2

# %% name="floors-mistake-masked-one"
# %%mistake floors
# ln 2 is one coin toss, or the mean over the two words. Both words are hidden, each is a coin toss, and the sum is
# asked.
masked = math.log(2)

# %% name="floors-mistake-masked-bits"
# %%mistake floors
# 2 is the answer in bits. In nats two coin tosses are 2 ln 2.
masked = 2

# %% name="floors-mistake-masked-nothing"
# %%mistake floors
# 0 is the floor when only *one* word is hidden: the other tells it. Here both are hidden.
masked = 0

# %% name="floors-mistake-masked-four"
# %%mistake floors
# 4 ln 2 counts twice: there are four pairs of words, and their number enters as ln 4.
masked = 4 * math.log(2)

# %% name="floors-mistake-log-n"
# %%mistake floors
# ln 64 is the most that could be proven, with a loss of 0. Take the loss off.
information = math.log(64)

# %% name="floors-mistake-two"
# %%mistake floors
# This takes the logarithm to base 2 for ln N, and the loss is in nats. Use one unit for both.
information = 6 - 1.5

# %% name="floors-mistake-loss"
# %%mistake floors
# 1.5 is the loss. The smaller it is, the more information has been shown: the bound is ln N − loss.
information = 1.5

# %% name="floors-mistake-information-bits"
# %%mistake floors
# That is the bound in bits. Nats are asked.
information = (math.log(64) - 1.5) / math.log(2)

# %% name="floors-mistake-added"
# %%mistake floors
# The loss is taken off, not added: the smaller it is, the more has been shown.
information = math.log(64) + 1.5

# %% name="floors-mistake-one-less"
# %%mistake floors
# N counts all candidates, the right one too.
information = math.log(63) - 1.5

# %% name="floors-mistake-same-optimum"
# %%mistake floors
# The minimum of a loss is the maximum of its negative. But here the *same* expression is to be maximised, and
# that is the opposite.
sign = "a"

# %% name="floors-mistake-one-point"
# %%mistake floors
# If all vectors were one, the loss would be ln N. Larger values exist: with a pair on opposite sides the right
# candidate is the least likely of all.
sign = "c"

# %% name="floors-mistake-slower"
# %%mistake floors
# A gradient with the opposite sign leads away from the goal at every speed.
sign = "d"

# %% name="floors-other-digits"
# %%other floors
# In digits.
causal = 0.693147
masked = 1.386294
information = 2.658883
sign = "B"

# %% name="floors-other-torch"
# %%other floors
# As entropies, by torch.
causal = torch.distributions.Categorical(torch.tensor([0.5, 0.5])).entropy()
masked = torch.tensor(4.0).log()
information = 6 * math.log(2) - 3 / 2
sign = " (b) "

# %% [markdown] name="end"
# ## Done?
#
# `hint("06_objectives", "masked", 1)` gives a first hint; each question has two or three. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
