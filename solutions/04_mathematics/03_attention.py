# %% [markdown] name="title"
# # 4.3 注意力的数学 · The mathematics of attention — exercises
#
# 本节的练习先手写分组查询注意力的反向传播，再把多头注意力写成低秩映射之和，最后推导运算量、秩与 softmax 饱和的几个数。
#
# You write what autograd and the library do for you otherwise. Each question has a cell for your answer and a cell that
# checks it. Section 4.3 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 03_attention

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="backward" question={"points": 6, "difficulty": 4, "minutes": 30, "section": "4.3"}
# ## 1. The backward pass of grouped-query attention
#
# In grouped-query attention (Ainslie et al. 2023) each key-value head serves a group of neighbouring query heads. There
# are H query heads and K key-value heads, and query head h reads key-value head j = h // (H // K):
#
# `output[h] = softmax(query[h] @ key[j].mT / √D) @ value[j]`
#
# The softmax is causal: the T queries stand at the last T of the S positions, and each sees the positions up to its
# own, its own included. The gradient $dO$ of the loss with respect to the output is given. Compute the gradients with
# respect to query, key and value, without autograd.
#
# | | shape | |
# | --- | --- | --- |
# | `query` | (H, T, D) | T is at most S |
# | `key` | (K, S, D) | K divides H |
# | `value` | (K, S, D_v) | D_v need not be D |
# | `arriving` | (H, T, D_v) | $dO$ |
# | returns `by_query` | (H, T, D) | $dQ$ |
# | returns `by_key` | (K, S, D) | $dK$ |
# | returns `by_value` | (K, S, D_v) | $dV$ |
#
# All tensors are float32, the results too. There is no batch axis. With K = H this is the usual multi-head attention,
# with K = 1 multi-query attention (Shazeer 2019). Both must work, for T = S and for T < S.
#
# **What usually goes wrong:** a key-value head gets the gradient of one query head, or the mean of its group's; the
# wrong heads form a group; the mask takes the queries for the first T positions.


# %% name="backward-answer"
def attention_backward(query: Tensor, key: Tensor, value: Tensor, arriving: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of causal grouped-query attention by query, key and value."""
    ### BEGIN SOLUTION
    K, S, D = key.shape
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))  # (K, H/K, T, ...): a group has an axis
    key, value = key[:, None], value[:, None]  # (K, 1, S, ...)
    T = query.size(2)
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    scores = (query @ key.mT / math.sqrt(D)).masked_fill(~seen, -math.inf)  # (K, H/K, T, S)
    weights = torch.softmax(scores, dim=-1)
    by_weights = arriving @ value.mT
    average = (weights * by_weights).sum(-1, keepdim=True)
    by_scores = weights * (by_weights - average) / math.sqrt(D)
    by_query = by_scores @ key
    by_key, by_value = by_scores.mT @ query, weights.mT @ arriving  # what each query head sends
    return by_query.flatten(0, 1), by_key.sum(1), by_value.sum(1)
    ### END SOLUTION


# %% name="backward-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_attention", "backward", attention_backward)

# %% [markdown] name="backward-hint-1"
# Give each query head its key-value head and compute the weights (H, T, S) first. Query t stands at position S − T + t.
# Each head then walks back as in 4.3.1; masked places need no care there, for their weight is 0.

# %% [markdown] name="backward-hint-2"
# What a number changes in several places comes back from all of them. A key is read by each query head of its group:
# what rule joins their gradients?

# %% [markdown] name="backward-hint-3"
# `query.unflatten(0, (K, -1))` has the shape (K, H/K, T, D). With `key[:, None]`, of shape (K, 1, S, D), products
# broadcast over the group, and the group has an axis to sum over.

# %% name="backward-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

backward = FunctionQuestion(
    "attention_backward",
    returns=("by_query", "by_key", "by_value"),
    atol=1e-4,
    because="three products of float32 matrices with sums of at most 15 terms",
)


def drawn(draw, heads, shared, queries, positions, width, width_of_values):
    query, key = draw.normal(heads, queries, width), draw.normal(shared, positions, width)
    value, arriving = draw.normal(shared, positions, width_of_values), draw.normal(heads, queries, width_of_values)
    return {"query": query, "key": key, "value": value, "arriving": arriving}


@backward.case(points=1)
def equal_scores(draw):
    """one new query after one old position, two heads with a shared key: all weights are 1/2, and D = 9"""
    query = torch.ones(2, 1, 9) * torch.tensor([1.0, 2.0])[:, None, None]
    value, arriving = (
        torch.tensor([[[1.0, 0.0, 2.0, 3.0], [5.0, 1.0, 5.0, 2.0]]]),
        torch.eye(4)[draw.order(4)[:2], None],
    )
    return {"query": query, "key": torch.eye(9)[None, :2], "value": value, "arriving": arriving}


@backward.case(points=1)
def own_keys(draw):
    """each of three heads has its own keys, and T = S"""
    return drawn(draw, 3, 3, 5, 5, 8, 6)


@backward.case(points=2)
def groups(draw):
    """six heads in two groups, and T = S"""
    return drawn(draw, 6, 2, 5, 5, 4, 7)


@backward.case(points=2)
def newest(draw):
    """eight heads in four groups; the queries are the last 3 of 7 positions"""
    return drawn(draw, 8, 4, 3, 7, 6, 5)


@backward.invariant
def shift_of_keys(got, inputs):
    """one vector added to all keys of a head changes nothing, so `by_key` must sum to 0 over the positions"""
    return bool((got[1].sum(1).abs() < 1e-3).all())


@backward.invariant
def first_sees_itself(got, inputs):
    """where T = S the first query sees itself alone, with weight 1 whatever it is: its `by_query` must be 0"""
    return inputs["query"].size(1) < inputs["key"].size(1) or bool((got[0][:, 0].abs() < 1e-4).all())


@backward.invariant
def shift_of_values(got, inputs):
    """the weights of a query sum to 1: `by_value` over all heads and positions must sum to the sum of `arriving`"""
    return bool((got[2].sum((0, 1)) - inputs["arriving"].sum((0, 1))).abs().max() < 1e-3)


# %% name="backward-mistake-no-average"
# %%mistake backward
# The average is missing: this is the derivative of e^a over a fixed sum. Raising one score lowers all other weights;
# subtract Σ P·dP from dP.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_scores = weights * (arriving @ value.mT) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-no-scale"
# %%mistake backward
# The scale is missing on the way back. The scores are products times 1/√D, so dQ and dK carry the factor too.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True))
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-no-scale-at-all"
# %%mistake backward
# The scale is missing in both passes: the scores are products over √D, and dQ and dK carry the factor too.
def attention_backward(query, key, value, arriving):
    K, T, S = key.size(0), query.size(1), key.size(1)
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True))
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-scaled-twice"
# %%mistake backward
# `by_key` has the scale twice: the query is scaled once before the scores, and the product with this query is scaled
# again. dK is dAᵀ times the query as it came, times 1/√D.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query * scale, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-width-of-values"
# %%mistake backward
# The scale has the width of the values. Scores are products of queries and keys: it is 1/√D.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(value.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-width-of-model"
# %%mistake backward
# The scale has the width of all heads together, H·D. Each score is a product of D terms: it is 1/√D.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(0) * query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-plain-mean"
# %%mistake backward
# The plain mean of dP is subtracted. The average must be taken with the weights P.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - by_weights.mean(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-mean-of-products"
# %%mistake backward
# The average is Σ P·dP / S. The weights P sum to 1 already: their average is the *sum* Σ P·dP.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).mean(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-diagonal"
# %%mistake backward
# Only the diagonal of the Jacobian is used, p(1 − p). Each weight depends on all scores of its row: J = diag(p) − p pᵀ.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_scores = weights * (1 - weights) * (arriving @ value.mT) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-axis"
# %%mistake backward
# The average runs over the queries. Each query has a softmax of its own over the keys: sum along the last axis.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-2, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-not-transposed"
# %%mistake backward
# dK and dV are formed with dA and P, not with their transposes: they collect over the keys of a query, where they
# should collect over the queries that look at a key. (Where T is not S the shapes do not fit at all.)
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores @ query).sum(1), (weights @ arriving).sum(1)


# %% name="backward-mistake-no-mask"
# %%mistake backward
# The causal mask is missing: positions look into the future, and gradients come back from there.
def attention_backward(query, key, value, arriving):
    K, scale = key.size(0), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    weights = torch.softmax(query @ key.mT * scale, dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-mask-on-diagonal"
# %%mistake backward
# The mask covers a query's own position as well. It attends to itself, too; without it the very first position has
# nothing left, hence NaN.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    hidden = torch.ones(T, S, dtype=torch.bool).triu(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(hidden, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-mask-of-first"
# %%mistake backward
# The mask is made as if the queries stood at the first T positions. They stand at the last: query t is at S − T + t and
# sees all before it, too.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    hidden = torch.ones(T, S, dtype=torch.bool).triu(1)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(hidden, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-mask-only-new"
# %%mistake backward
# Keys before the first query are masked as well, so the queries see each other alone. Those keys are in their past: all
# queries see them.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.cat([torch.zeros(T, S - T), torch.ones(T, T).tril()], dim=1).bool()
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-mask-after-softmax"
# %%mistake backward
# The mask cuts the weights after the softmax, so they no longer sum to 1. Put minus infinity into the scores, before
# the softmax.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    weights = torch.softmax(query @ key.mT * scale, dim=-1).tril(S - T)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-mask-of-zeros"
# %%mistake backward
# The mask puts 0 into the scores. A score of 0 is a score like any other, e⁰ = 1, so the future keeps some weight: put
# minus infinity.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    weights = torch.softmax((query @ key.mT * scale).tril(S - T), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(1), (weights.mT @ arriving).sum(1)


# %% name="backward-mistake-group-mean"
# %%mistake backward
# The gradients of a group are averaged. A key is used once by each query head of its group, and the gradients of all
# uses *add up*.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).mean(1), (weights.mT @ arriving).mean(1)


# %% name="backward-mistake-group-first"
# %%mistake backward
# A key-value head gets the gradient of the first query head of its group alone. All heads of the group read it: sum
# over them.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query)[:, 0], (weights.mT @ arriving)[:, 0]


# %% name="backward-mistake-group-last"
# %%mistake backward
# The gradients of a group overwrite each other, and only the last query head's is left. Write += where several heads
# send to one place.
def attention_backward(query, key, value, arriving):
    gradients = torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)
    T, S, scale = query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    for h in range(query.size(0)):
        j = h // (query.size(0) // key.size(0))
        weights = torch.softmax((query[h] @ key[j].mT * scale).masked_fill(~seen, -math.inf), dim=-1)
        by_weights = arriving[h] @ value[j].mT
        by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
        gradients[0][h], gradients[1][j], gradients[2][j] = (
            by_scores @ key[j],
            by_scores.mT @ query[h],
            weights.mT @ arriving[h],
        )
    return gradients


# %% name="backward-mistake-group-not-summed"
# %%mistake backward
# `by_key` and `by_value` have a gradient for each query head. They belong to K heads: sum over the query heads that
# share one.
def attention_backward(query, key, value, arriving):
    group, T, S, scale = query.size(0) // key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    key, value = (x.repeat_interleave(group, dim=0) for x in (key, value))
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return by_scores @ key, by_scores.mT @ query, weights.mT @ arriving


# %% name="backward-mistake-group-modulo"
# %%mistake backward
# Query head h reads key-value head h % K. Neighbouring heads form a group: it is h // (H / K), as `repeat_interleave`
# repeats; `repeat` does not.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (-1, K)) for x in (query, arriving))
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).flatten(0, 1), (by_scores.mT @ query).sum(0), (weights.mT @ arriving).sum(0)


# %% name="backward-mistake-group-modulo-on-the-way-back"
# %%mistake backward
# The forward pass has the right groups, but the way back adds up the heads h, h + K, h + 2K and so on. The heads of a
# group lie next to each other: unflatten to (K, H/K, ...) and sum over axis 1.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    k, v = (x.repeat_interleave(query.size(0) // K, dim=0) for x in (key, value))
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ k.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ v.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    by_key, by_value = (x.unflatten(0, (-1, K)).sum(0) for x in (by_scores.mT @ query, weights.mT @ arriving))
    return by_scores @ k, by_key, by_value


# %% name="backward-mistake-group-of-k"
# %%mistake backward
# The head number is divided by K, the number of key-value heads. Divide by the size of a group, H / K.
def attention_backward(query, key, value, arriving):
    gradients = torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)
    T, S, scale = query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    for h in range(query.size(0)):
        j = h // key.size(0)
        weights = torch.softmax((query[h] @ key[j].mT * scale).masked_fill(~seen, -math.inf), dim=-1)
        by_weights = arriving[h] @ value[j].mT
        by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
        gradients[0][h] = by_scores @ key[j]
        gradients[1][j] += by_scores.mT @ query[h]
        gradients[2][j] += weights.mT @ arriving[h]
    return gradients


# %% name="backward-mistake-group-summed-first"
# %%mistake backward
# The heads of a group are summed before the products. A sum of products is not the product of the sums: that would mix
# one head's weights with another head's dO.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    query, arriving = (x.unflatten(0, (K, -1)) for x in (query, arriving))
    key, value = key[:, None], value[:, None]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
    weights = torch.softmax((query @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = arriving @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    by_key, by_value = by_scores.sum(1).mT @ query.sum(1), weights.sum(1).mT @ arriving.sum(1)
    return (by_scores @ key).flatten(0, 1), by_key, by_value


# %% name="backward-mistake-mask-of-flat-group"
# %%mistake backward
# The queries of a group stand in one row, head after head, but each row of the mask is repeated on the spot. Repeat the
# mask as a whole: `repeat`, not `repeat_interleave`.
def attention_backward(query, key, value, arriving):
    K, T, S, scale = key.size(0), query.size(1), key.size(1), 1 / math.sqrt(query.size(-1))
    q, d = query.reshape(K, -1, query.size(-1)), arriving.reshape(K, -1, arriving.size(-1))
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T).repeat_interleave(query.size(0) // K, dim=0)
    weights = torch.softmax((q @ key.mT * scale).masked_fill(~seen, -math.inf), dim=-1)
    by_weights = d @ value.mT
    by_scores = weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True)) * scale
    return (by_scores @ key).reshape(query.shape), by_scores.mT @ q, weights.mT @ d


# %% name="backward-other-jacobian"
# %%other backward
# With the Jacobian diag(p) - p pᵀ of each row, and einsum.
def attention_backward(query, key, value, arriving):
    K, S, D = key.shape
    T = query.size(1)
    q, d = query.reshape(K, -1, T, D), arriving.reshape(K, -1, T, value.size(-1))
    p = (torch.einsum("kgtd,ksd->kgts", q, key) / D**0.5 + torch.full((T, S), -math.inf).triu(S - T + 1)).softmax(-1)
    jacobian = torch.diag_embed(p) - p[..., :, None] * p[..., None, :]
    by_scores = torch.einsum("kgtsu,kgtv,kuv->kgts", jacobian, d, value) / D**0.5
    by_query = torch.einsum("kgts,ksd->kgtd", by_scores, key).reshape(query.shape)
    return by_query, torch.einsum("kgts,kgtd->ksd", by_scores, q), torch.einsum("kgts,kgtv->ksv", p, d)


# %% name="backward-other-output"
# %%other backward
# The average from the output: rowsum(O ∘ dO), one head and one query after the other.
def attention_backward(query, key, value, arriving):
    gradients = torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)
    H, T, D = query.shape
    for h in range(H):
        j = h * key.size(0) // H
        for t in range(T):
            end = key.size(1) - T + t + 1
            k, v, d = key[j, :end], value[j, :end], arriving[h, t]
            p = torch.softmax(k @ query[h, t] * D**-0.5, dim=0)
            by_scores = p * (v @ d - (p @ v) @ d) * D**-0.5
            gradients[0][h, t] = by_scores @ k
            gradients[1][j, :end] += torch.outer(by_scores, query[h, t])
            gradients[2][j, :end] += torch.outer(p, d)
    return gradients


# %% name="backward-other-flat-group"
# %%other backward
# The query heads of a group are only more queries to the same keys: one head with H/K · T of them, and nothing to sum.
def attention_backward(query, key, value, arriving):
    K, S, D = key.shape
    T = query.size(1)
    q, d = query.reshape(K, -1, D), arriving.reshape(K, -1, value.size(-1))
    places = torch.arange(S - T, S).repeat(query.size(0) // K)
    p = torch.softmax((q @ key.mT / D**0.5).where(torch.arange(S) <= places[:, None], -math.inf), dim=-1)
    average = ((p @ value) * d).sum(-1, keepdim=True)
    by_scores = p * (d @ value.mT - average) / D**0.5
    return (by_scores @ key).reshape(query.shape), by_scores.mT @ q, p.mT @ d


# %% name="backward-other-repeated"
# %%other backward
# With a copy of its key-value head for each query head; `index_add` brings the gradients of the copies together.
def attention_backward(query, key, value, arriving):
    H, T, D = query.shape
    of_head = torch.arange(H) // (H // key.size(0))
    k, v = key[of_head], value[of_head]
    scores = query @ k.mT / D**0.5
    hidden = torch.ones_like(scores).triu(key.size(1) - T + 1).bool()
    p = torch.softmax(scores.masked_fill(hidden, -1e9), dim=-1)
    dp = arriving @ v.mT
    by_scores = p * (dp - (p * dp).sum(-1, keepdim=True)) / D**0.5
    by_key = torch.zeros_like(key).index_add(0, of_head, by_scores.mT @ query)
    return by_scores @ k, by_key, torch.zeros_like(value).index_add(0, of_head, p.mT @ arriving)


# %% [markdown] name="heads" question={"points": 5, "difficulty": 3, "minutes": 20, "section": "4.3"}
# ## 2. Heads as a sum
#
# Write a layer of self-attention, without a mask and without biases, as a sum over heads. Give the two matrices that
# describe each head, and what each head adds.
#
# | | shape | |
# | --- | --- | --- |
# | `x` | (T, C) | the words |
# | `w_query`, `w_key`, `w_value` | (C, C) | used as `x @ w`; head h owns the columns h·D to (h+1)·D |
# | `w_out` | (C, C) | applied to the concatenated heads: `heads @ w_out` |
# | `n_heads` | int | H, divides C; D = C / H |
# | returns `qk` | (H, C, C) | scores of head h are `x @ qk[h] @ x.T`, the scale included |
# | returns `ov` | (H, C, C) | what is handed over: `x @ ov[h]` |
# | returns `each` | (H, T, C) | what each head adds; their sum is the layer's output |
#
# All tensors are float32, the results too.
#
# **What usually goes wrong:** a head takes columns of `w_out` where it owns rows; the scale has the root of C.


# %% name="heads-answer"
def sum_of_heads(
    x: Tensor, w_query: Tensor, w_key: Tensor, w_value: Tensor, w_out: Tensor, n_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """W_QK and W_OV of each head (H, C, C), and what it adds (H, T, C)."""
    ### BEGIN SOLUTION
    D = x.size(1) // n_heads
    qk, ov = [], []
    for start in range(0, x.size(1), D):
        own = slice(start, start + D)
        qk.append(w_query[:, own] @ w_key[:, own].mT / math.sqrt(D))
        ov.append(w_value[:, own] @ w_out[own])
    qk, ov = torch.stack(qk), torch.stack(ov)
    weights = torch.softmax(x @ qk @ x.mT, dim=-1)  # (H, T, T)
    return qk, ov, weights @ x @ ov
    ### END SOLUTION


# %% name="heads-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_attention", "heads", sum_of_heads)

# %% [markdown] name="heads-hint-1"
# A row of blocks times a column of blocks is the sum of block times block. So a head meets D *rows* of `w_out`.

# %% [markdown] name="heads-hint-2"
# The scores of a head are x W_Q (x W_K)ᵀ / √D = x (W_Q W_Kᵀ / √D) xᵀ. What it adds is P x W_V W_O.

# %% name="heads-parts"
heads = FunctionQuestion(
    "sum_of_heads",
    returns=("qk", "ov", "each"),
    atol=1e-4,
    because="products of float32 matrices with sums of up to 12 terms",
)


def layer(draw, length, width, n_heads):
    weights = (draw.normal(width, width) / width**0.5 for _ in range(4))
    names = ("w_query", "w_key", "w_value", "w_out")
    return {"x": draw.normal(length, width), **dict(zip(names, weights, strict=True)), "n_heads": n_heads}


@heads.case(points=1)
def one_head(draw):
    """one head"""
    return layer(draw, 4, 6, 1)


@heads.case(points=2)
def three_heads(draw):
    """three heads of four features"""
    return layer(draw, 5, 12, 3)


@heads.case(points=2)
def narrow_heads(draw):
    """four heads of two features"""
    return layer(draw, 3, 8, 4)


@heads.invariant
def low_rank(got, inputs):
    """a head's matrices cannot have a higher rank than D"""
    D = inputs["x"].size(1) // inputs["n_heads"]
    ranks = torch.linalg.matrix_rank(torch.cat([got[0], got[1]]).double(), rtol=1e-4)
    return bool((ranks <= D).all())


# %% name="heads-mistake-columns-of-out"
# %%mistake heads
# Columns of `w_out` are used. The concatenated heads meet its rows: head h owns the rows h·D to (h+1)·D.
def sum_of_heads(x, w_query, w_key, w_value, w_out, n_heads):
    D = x.size(1) // n_heads
    own = [slice(s, s + D) for s in range(0, x.size(1), D)]
    qk = torch.stack([w_query[:, o] @ w_key[:, o].mT / math.sqrt(D) for o in own])
    ov = torch.stack([w_value[:, o] @ w_out[:, o].mT for o in own])
    return qk, ov, torch.softmax(x @ qk @ x.mT, dim=-1) @ x @ ov


# %% name="heads-mistake-scale"
# %%mistake heads
# The scale has the root of C. A head's query has D entries: divide by √D. (With one head the two are the same.)
def sum_of_heads(x, w_query, w_key, w_value, w_out, n_heads):
    D = x.size(1) // n_heads
    own = [slice(s, s + D) for s in range(0, x.size(1), D)]
    qk = torch.stack([w_query[:, o] @ w_key[:, o].mT / math.sqrt(x.size(1)) for o in own])
    ov = torch.stack([w_value[:, o] @ w_out[o] for o in own])
    return qk, ov, torch.softmax(x @ qk @ x.mT, dim=-1) @ x @ ov


# %% name="heads-mistake-scale-outside"
# %%mistake heads
# `each` is right, but the scale is not in `qk`: the scores must be `x @ qk[h] @ x.T` as they stand.
def sum_of_heads(x, w_query, w_key, w_value, w_out, n_heads):
    D = x.size(1) // n_heads
    own = [slice(s, s + D) for s in range(0, x.size(1), D)]
    qk = torch.stack([w_query[:, o] @ w_key[:, o].mT for o in own])
    ov = torch.stack([w_value[:, o] @ w_out[o] for o in own])
    return qk, ov, torch.softmax(x @ qk @ x.mT / math.sqrt(D), dim=-1) @ x @ ov


# %% name="heads-mistake-no-scale"
# %%mistake heads
# The scale is missing: the scores of a head are its products of queries and keys, divided by √D.
def sum_of_heads(x, w_query, w_key, w_value, w_out, n_heads):
    D = x.size(1) // n_heads
    own = [slice(s, s + D) for s in range(0, x.size(1), D)]
    qk = torch.stack([w_query[:, o] @ w_key[:, o].mT for o in own])
    ov = torch.stack([w_value[:, o] @ w_out[o] for o in own])
    return qk, ov, torch.softmax(x @ qk @ x.mT, dim=-1) @ x @ ov


# %% name="heads-mistake-no-root"
# %%mistake heads
# The scores are divided by D, not by its root.
def sum_of_heads(x, w_query, w_key, w_value, w_out, n_heads):
    D = x.size(1) // n_heads
    own = [slice(s, s + D) for s in range(0, x.size(1), D)]
    qk = torch.stack([w_query[:, o] @ w_key[:, o].mT / D for o in own])
    ov = torch.stack([w_value[:, o] @ w_out[o] for o in own])
    return qk, ov, torch.softmax(x @ qk @ x.mT, dim=-1) @ x @ ov


# %% name="heads-mistake-swapped"
# %%mistake heads
# Query and key have changed places: this is the transpose of W_QK. The query's word stands on the left.
def sum_of_heads(x, w_query, w_key, w_value, w_out, n_heads):
    D = x.size(1) // n_heads
    own = [slice(s, s + D) for s in range(0, x.size(1), D)]
    qk = torch.stack([w_key[:, o] @ w_query[:, o].mT / math.sqrt(D) for o in own])
    ov = torch.stack([w_value[:, o] @ w_out[o] for o in own])
    return qk, ov, torch.softmax(x @ qk @ x.mT, dim=-1) @ x @ ov


# %% name="heads-mistake-interleaved"
# %%mistake heads
# The features of a head are taken every H-th: 0, H, 2H and so on. They lie next to each other: h·D to (h+1)·D.
def sum_of_heads(x, w_query, w_key, w_value, w_out, n_heads):
    D = x.size(1) // n_heads
    own = [slice(h, None, n_heads) for h in range(n_heads)]
    qk = torch.stack([w_query[:, o] @ w_key[:, o].mT / math.sqrt(D) for o in own])
    ov = torch.stack([w_value[:, o] @ w_out[o] for o in own])
    return qk, ov, torch.softmax(x @ qk @ x.mT, dim=-1) @ x @ ov


# %% name="heads-mistake-reshape"
# %%mistake heads
# `reshape(H, C, D)` cuts the heads out of the rows: it does not move an axis. Take columns, or
# `reshape(C, H, D).transpose(0, 1)`.
def sum_of_heads(x, w_query, w_key, w_value, w_out, n_heads):
    C = x.size(1)
    D = C // n_heads
    q, k, v = (w.reshape(n_heads, C, D) for w in (w_query, w_key, w_value))
    qk, ov = q @ k.mT / math.sqrt(D), v @ w_out.reshape(n_heads, D, C)
    return qk, ov, torch.softmax(x @ qk @ x.mT, dim=-1) @ x @ ov


# %% name="heads-mistake-axis"
# %%mistake heads
# The softmax runs over the queries. Each query shares out its attention over the keys: the last axis.
def sum_of_heads(x, w_query, w_key, w_value, w_out, n_heads):
    D = x.size(1) // n_heads
    own = [slice(s, s + D) for s in range(0, x.size(1), D)]
    qk = torch.stack([w_query[:, o] @ w_key[:, o].mT / math.sqrt(D) for o in own])
    ov = torch.stack([w_value[:, o] @ w_out[o] for o in own])
    return qk, ov, torch.softmax(x @ qk @ x.mT, dim=-2) @ x @ ov


# %% name="heads-other-einsum"
# %%other heads
# With the heads as one more letter of einsum.
def sum_of_heads(x, w_query, w_key, w_value, w_out, n_heads):
    C = x.size(1)
    q, k, v = (w.reshape(C, n_heads, -1) for w in (w_query, w_key, w_value))
    qk = torch.einsum("ahd,bhd->hab", q, k) * (C // n_heads) ** -0.5
    ov = torch.einsum("ahd,hdb->hab", v, w_out.reshape(n_heads, -1, C))
    weights = torch.einsum("ta,hab,sb->hts", x, qk, x).softmax(-1)
    return qk, ov, torch.einsum("hts,sa,hab->htb", weights, x, ov)


# %% name="heads-other-masked"
# %%other heads
# A head as the whole layer with all other features set to 0; its part by torch's attention.
def sum_of_heads(x, w_query, w_key, w_value, w_out, n_heads):
    C = x.size(1)
    D = C // n_heads
    results = []
    for h in range(n_heads):
        keep = ((torch.arange(C) // D) == h).to(x.dtype)
        q, k, v = x @ w_query * keep, x @ w_key * keep, x @ w_value * keep
        part = F.scaled_dot_product_attention(q[None], k[None], v[None], scale=D**-0.5)[0] @ w_out
        results.append((w_query * keep @ w_key.mT * D**-0.5, w_value * keep @ w_out, part))
    return tuple(torch.stack(part) for part in zip(*results, strict=True))


# %% [markdown] name="numbers" question={"points": 5, "difficulty": 2, "minutes": 15, "section": "4.3"}
# ## 3. Numbers to derive
#
# **Operations.** A layer of attention has C = 64, H = 8 and no biases. At which length T do the scores and the
# mixing ($4T^2C$ FLOPs) cost as much as its four matrices (`crossover`)? Then this length is doubled. By what factor do
# the FLOPs of the whole layer grow, the four matrices included (`growth`)?
#
# **A rank.** C = 768, H = 12. What is the largest `rank` that the matrix $W_{QK}$ of one head can have?
#
# **Saturation.** Two keys get the weights 0.99 and 0.01. What is the `slope`, the derivative of the first weight with
# respect to its own score? Three digits.
#
# **A bias.** A layer without positions adds a learned bias to its keys. What does training do to this bias? (There is
# no weight decay.) Set `bias` to its letter.
#
# - **a** It learns which words are looked at most.
# - **b** Nothing: its gradient is exactly zero, for it adds the same number to all scores of a query.
# - **c** It takes over the part of the scale $1/\sqrt D$.
# - **d** It grows without bound, because nothing holds it.

# %% name="numbers-answer"
crossover = None  # a number
growth = None  # a number
rank = None  # a number
slope = None  # a number
bias = ""  # the letter
### BEGIN SOLUTION
crossover = 128  # T = 2C
growth = 3  # (T·8C² + 4T²C): 128 gives 1 + 1 parts, 256 gives 2 + 4
rank = 64  # 768 / 12
slope = 0.0099  # 0.99 · 0.01
bias = "b"
### END SOLUTION

# %% name="numbers-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_attention", "numbers", crossover=crossover, growth=growth, rank=rank, slope=slope, bias=bias)

# %% [markdown] name="numbers-hint-1"
# The four matrices cost 8TC². Set both parts equal. At that length call each part 1. What is each part at twice the
# length, and what is their sum over the sum before?

# %% [markdown] name="numbers-hint-2"
# W_QK is a product of a (C, D) and a (D, C) matrix. The derivative of a softmax weight by its own score is p(1 − p).

# %% name="numbers-parts"
numbers = ValueQuestion()
numbers.number("crossover", points=1, title="where both parts are equal")
numbers.number("growth", points=1, title="twice the length")
numbers.number("rank", points=1, title="the rank of W_QK")
numbers.number("slope", points=1, title="a saturated softmax")
numbers.choice("bias", "abcd", points=1, title="a bias on the keys")

# %% name="numbers-mistake-half"
# %%mistake numbers
# At T = C the scores and the mixing cost half of the matrices: 4C³ against 8C³.
crossover = 64

# %% name="numbers-mistake-per-head"
# %%mistake numbers
# That is twice the width of a head. All heads together have width C, and the FLOPs do not depend on their number.
crossover = 16

# %% name="numbers-mistake-one-matrix"
# %%mistake numbers
# That is for one matrix, 2TC² FLOPs. There are four.
crossover = 32

# %% name="numbers-mistake-not-divided"
# %%mistake numbers
# That counts in parts of which the layer had two before: 6 over 2.
growth = 6

# %% name="numbers-mistake-four"
# %%mistake numbers
# Only the part with T² grows fourfold. The four matrices grow twofold, and at T = 128 they are half of the work.
growth = 4

# %% name="numbers-mistake-two"
# %%mistake numbers
# Only the four matrices grow twofold. The scores and the mixing grow fourfold.
growth = 2

# %% name="numbers-mistake-full-rank"
# %%mistake numbers
# The matrix is (768, 768), but a product with a factor of 64 columns has at most rank 64.
rank = 768

# %% name="numbers-mistake-number-of-heads"
# %%mistake numbers
# That is the number of heads. The rank is bounded by the width of one head, C / H.
rank = 12

# %% name="numbers-mistake-eight-heads"
# %%mistake numbers
# That is 768 / 8. This layer has 12 heads.
rank = 96

# %% name="numbers-mistake-weight"
# %%mistake numbers
# That is the weight. Raising the score also raises the sum below the fraction line: p(1 − p).
slope = 0.99

# %% name="numbers-mistake-squared"
# %%mistake numbers
# That is p² (or the difference of the two weights). The derivative is p − p² = p(1 − p).
slope = 0.9801

# %% name="numbers-mistake-other-score"
# %%mistake numbers
# That is the derivative with respect to the *other* score.
slope = -0.0099

# %% name="numbers-mistake-other-weight"
# %%mistake numbers
# That is the other weight, or p(1 − p) rounded too far: give three digits.
slope = 0.01

# %% name="numbers-mistake-learns"
# %%mistake numbers
# The bias is the same for all keys, so it cannot prefer any of them.
bias = "a"

# %% name="numbers-mistake-scales"
# %%mistake numbers
# A scale multiplies the scores; a bias on the keys adds q·b to all scores of a query, and the softmax ignores that.
bias = "c"

# %% name="numbers-mistake-grows"
# %%mistake numbers
# What has no gradient does not move at all. It keeps its first value.
bias = "d"

# %% name="numbers-other-worked-out"
# %%other numbers
# The numbers as they are worked out.
crossover = 2 * 64
growth = (8 * 256 * 64**2 + 4 * 256**2 * 64) / (8 * 128 * 64**2 + 4 * 128**2 * 64)
rank = 768 // 12
slope = 0.99 * (1 - 0.99)
bias = "(B)"

# %% name="numbers-other-tensors"
# %%other numbers
# The same with tensors.
crossover = torch.tensor(64) * 2
growth = torch.tensor(6.0) / 2
rank = torch.tensor([768.0, 64.0]).min()
slope = torch.tensor(0.0099)
bias = " b."

# %% [markdown] name="end"
# ## Done?
#
# `hint("03_attention", "backward", 1)` gives a first hint; each question has two or three. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
