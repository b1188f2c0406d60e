# %% [markdown] name="title"
# # 2.2 注意力机制 · Attention — exercises
#
# 本节的练习从一个查询和两个键开始，先亲手写出缩放点积注意力，再加上因果掩码与填充掩码，最后写成多头注意力。
# 之后用一次实验检验“没有位置信息的自注意力不区分顺序”，并说清为什么要除以 √d_k。
#
# You write attention itself, in plain torch. Each question has a cell for your answer and a cell that checks it.
# Run the check as often as you like: it says what was expected, and what came. Section 2.2 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 02_attention

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="scores" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "2.2"}
# ## 1. From scores to an output
#
# Write scaled dot-product attention: $\mathrm{softmax}(QK^\top / \sqrt{d_k})\,V$.
#
# | | shape | |
# | --- | --- | --- |
# | `query` | (..., T, D) | T queries |
# | `key` | (..., S, D) | S keys; D is $d_k$ |
# | `value` | (..., S, D_v) | one value for each key; D_v need not be D |
# | returns `output` | (..., T, D_v) | for each query a mean of the values |
# | returns `weights` | (..., T, S) | how much each query takes from each key |
#
# The dots are any number of leading dimensions: batch, heads, or none. Both results have the dtype of `value`. Write
# it with `@` and a softmax; torch's own function would pass as well, but you would not have seen how it works.
#
# **What usually goes wrong:** the axis of the softmax, which width is $d_k$, and an exponential that overflows.


# %% name="scores-answer"
def attention(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention: the output (..., T, D_v) and the weights (..., T, S)."""
    ### BEGIN SOLUTION
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (..., T, S)
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
    ### END SOLUTION


# %% name="scores-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_attention", "scores", attention)

# %% [markdown] name="scores-hint-1"
# Write down the shapes first. One matrix product must turn (..., T, D) and (..., S, D) into (..., T, S):
# which two axes of the keys have to change places?

# %% [markdown] name="scores-hint-2"
# Each query shares out one unit of attention over the keys. So the sum over the keys, the last axis of the scores,
# must be 1 after the softmax.

# %% [markdown] name="scores-hint-3"
# Three lines: `scores` with `@`, `transpose(-2, -1)` and `math.sqrt`; `weights` with `torch.softmax`; and the output
# is one more `@`.

# %% name="scores-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

scores = FunctionQuestion(
    "attention",
    returns=("output", "weights"),
    atol=1e-5,
    because="float32 carries 7 digits, and sums of up to 8 products of values of about 1 lose less than one of them",
)


@scores.case(points=1)
def by_hand(draw):
    """two queries and three keys, with numbers that can be worked out on paper"""
    query = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 4.0, 0.0, 0.0]])
    key = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    value = torch.tensor([[1.0, 0.0, 0.0, 2.0, 3.0], [0.0, 1.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 2.0, 2.0]])
    return {"query": query, "key": key, "value": value}


@scores.case(points=2)
def batch_and_heads(draw):
    """a batch with heads: 4 queries, 5 keys, values of another width than the keys"""
    return {"query": draw.normal(2, 3, 4, 8), "key": draw.normal(2, 3, 5, 8), "value": draw.normal(2, 3, 5, 6)}


@scores.case(points=1)
def large_scores(draw):
    """scores above 100 and below -100: in float32 exp alone gives inf and 0"""
    query = torch.tensor([[10.0, 1.0, 0.0, 0.0], [-20.0, 0.0, 2.0, 0.0]])
    key = torch.tensor([[20.0, 4.0, 0.0, 1.0], [20.0, 2.0, 2.0, 0.0], [20.0, 0.0, 1.0, 3.0]])
    return {"query": query, "key": key, "value": draw.normal(3, 4)}


@scores.invariant
def rows_sum_to_one(got, inputs):
    """each row of the weights, one for each query, must sum to 1"""
    sums = got[1].sum(-1)
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-5)


@scores.invariant
def no_negative_weights(got, inputs):
    """no weight may be negative"""
    return bool((got[1] >= 0).all())


@scores.invariant
def output_between_values(got, inputs):
    """an output is a mean of values, so it cannot lie outside their smallest and largest"""
    low, high = inputs["value"].amin(-2, keepdim=True), inputs["value"].amax(-2, keepdim=True)
    return bool(((got[0] >= low - 1e-5) & (got[0] <= high + 1e-5)).all())


# %% name="scores-mistake-wrong-axis"
# %%mistake scores
# Here each column of the weights sums to 1, not each row: the softmax runs over the queries. A query shares its
# attention out over the keys, and they lie along the last axis.
def attention(query, key, value):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    weights = torch.softmax(scores, dim=-2)
    return weights @ value, weights


# %% name="scores-mistake-no-scale"
# %%mistake scores
# The scores are not divided by √d_k. With wide keys they grow, the softmax becomes almost a hard choice, and
# little gradient is left.
def attention(query, key, value):
    weights = torch.softmax(query @ key.transpose(-2, -1), dim=-1)
    return weights @ value, weights


# %% name="scores-mistake-no-root"
# %%mistake scores
# The scores are divided by d_k, not by its root. That is too much: the weights become nearly equal.
def attention(query, key, value):
    weights = torch.softmax(query @ key.transpose(-2, -1) / query.size(-1), dim=-1)
    return weights @ value, weights


# %% name="scores-mistake-scale-after-softmax"
# %%mistake scores
# The division by √d_k comes after the softmax, so the rows sum to 1/√d_k. It belongs on the scores, before the
# softmax.
def attention(query, key, value):
    weights = torch.softmax(query @ key.transpose(-2, -1), dim=-1) / math.sqrt(query.size(-1))
    return weights @ value, weights


# %% name="scores-mistake-width-of-values"
# %%mistake scores
# The scale is the root of the width of the values. The scores are made of queries and keys: d_k is their width.
def attention(query, key, value):
    scores = query @ key.transpose(-2, -1) / math.sqrt(value.size(-1))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights


# %% name="scores-mistake-overflow"
# %%mistake scores
# The formula is right, but exp(100) is larger than any float32: it is inf, and inf / inf is NaN. In a row of low scores
# every exp is 0, and 0 / 0 is NaN too. Subtract the largest score of each row first, or let torch.softmax do it.
def attention(query, key, value):
    powers = torch.exp(query @ key.transpose(-2, -1) / math.sqrt(query.size(-1)))
    weights = powers / powers.sum(-1, keepdim=True)
    return weights @ value, weights


# %% name="scores-mistake-largest-of-all"
# %%mistake scores
# The largest score of ALL rows is subtracted. In a row that lies far below it every exp is 0, and 0 / 0 is NaN.
# Subtract the largest of each row: `amax(-1, keepdim=True)`.
def attention(query, key, value):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    powers = torch.exp(scores - scores.max())
    weights = powers / powers.sum(-1, keepdim=True)
    return weights @ value, weights


# %% name="scores-other-einsum"
# %%other scores
# Both products as einsum, the scale on the queries.
def attention(query, key, value):
    scores = torch.einsum("...td,...sd->...ts", query / query.shape[-1] ** 0.5, key)
    weights = scores.softmax(-1)
    return torch.einsum("...ts,...sv->...tv", weights, value), weights


# %% name="scores-other-loop"
# %%other scores
# One query after the other, the softmax by hand.
def attention(query, key, value):
    rows = []
    for t in range(query.size(-2)):
        score = (key * query[..., t : t + 1, :]).sum(-1) / math.sqrt(key.size(-1))  # (..., S)
        power = torch.exp(score - score.amax(-1, keepdim=True))
        rows.append(power / power.sum(-1, keepdim=True))
    weights = torch.stack(rows, dim=-2)
    return weights @ value, weights


# %% name="scores-other-library"
# %%other scores
# The function of torch; with the unit matrix as values its output is the weights.
def attention(query, key, value):
    unit = torch.eye(key.size(-2), dtype=key.dtype).expand(*key.shape[:-1], key.size(-2))
    return F.scaled_dot_product_attention(query, key, value), F.scaled_dot_product_attention(query, key, unit)


# %% name="scores-equivalent-transpose"
# %%equivalent scores
# Two axes change places; which of them is named first makes no difference.
scores = query @ key.transpose(-1, -2) / math.sqrt(query.size(-1))

# %% [markdown] name="masks" question={"points": 5, "difficulty": 3, "minutes": 25, "section": "2.2"}
# ## 2. Masks, and rows with nothing to attend to
#
# Now some keys are forbidden. Write self-attention with a padding mask and, if `causal` is true, a causal mask:
# position *t* then attends to the positions up to *t*, itself included.
#
# | | shape | |
# | --- | --- | --- |
# | `query`, `key`, `value` | (B, T, D) | a batch of sequences |
# | `attention_mask` | (B, T) bool | True for a token, False for padding: no query attends to padding |
# | `causal` | bool | whether the future is hidden |
# | returns `output` | (B, T, D) | |
# | returns `weights` | (B, T, T) | 0 wherever a key is forbidden |
#
# Queries at padded positions are computed like all others; nobody reads them. Padding may stand on the left, and a
# sequence may be all padding. A query that may attend to **nothing** gets weights 0 and output 0, never NaN. Both
# results have the dtype of `value`.
#
# **What usually goes wrong:** the mask is put on after the softmax; it is put on the queries; a large negative number
# stands for minus infinity; a score that happens to be 0 is taken for a forbidden one.


# %% name="masks-answer"
def masked_attention(
    query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, causal: bool
) -> tuple[Tensor, Tensor]:
    """Self-attention with masks: the output (B, T, D) and the weights (B, T, T)."""
    ### BEGIN SOLUTION
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (B, T, T)
    allowed = attention_mask[:, None, :].expand_as(scores)
    if causal:
        allowed = allowed & torch.ones_like(allowed).tril()
    weights = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=-1)
    weights = weights.masked_fill(~allowed, 0.0)  # a row of -inf only has softmax NaN
    return weights @ value, weights
    ### END SOLUTION


# %% name="masks-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_attention", "masks", masked_attention)

# %% [markdown] name="masks-hint-1"
# Build one boolean mask `allowed` of shape (B, T, T): entry (b, t, s) says whether query t may attend to key s.
# The padding mask speaks about keys, so it must stand along the last axis.

# %% [markdown] name="masks-hint-2"
# A forbidden key must have weight exp(-inf) = 0. So put `-math.inf` into the scores with `masked_fill`, before the
# softmax. `torch.ones(T, T, dtype=torch.bool).tril()` is the causal mask.

# %% [markdown] name="masks-hint-3"
# A row with minus infinity everywhere becomes 0/0 = NaN. Fill the forbidden weights with 0 once more, after the
# softmax: in all other rows they are 0 already.

# %% name="masks-parts"
masks = FunctionQuestion(
    "masked_attention",
    returns=("output", "weights"),
    atol=1e-5,
    because="as for the scores: sums of up to 8 products in float32",
)


def sequences(draw, attention_mask, causal):
    mask = torch.tensor(attention_mask, dtype=torch.bool)  # (B, T)
    query, key, value = (draw.normal(*mask.shape, 8) for _ in range(3))
    return {"query": query, "key": key, "value": value, "attention_mask": mask, "causal": causal}


def allowed_keys(inputs):
    mask = inputs["attention_mask"][:, None, :]  # (B, 1, T)
    length = mask.size(-1)
    return mask & (torch.ones(length, length, dtype=torch.bool).tril() if inputs["causal"] else mask)


@masks.case(points=1)
def future_hidden(draw):
    """causal, no padding: two sequences with the same beginning and different ends, and a query of zeros in each"""
    inputs = sequences(draw, [[1] * 5, [1] * 5], causal=True)
    for name in ("query", "key", "value"):
        inputs[name][1, :3] = inputs[name][0, :3]
    inputs["query"][:, 1] = 0
    return inputs


@masks.case(points=1)
def padding_hidden(draw):
    """padding on the right, not causal, and a query of zeros"""
    inputs = sequences(draw, [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], causal=False)
    inputs["query"][0, 0] = 0
    return inputs


@masks.case(points=1)
def both_hidden(draw):
    """padding on the right, and causal"""
    return sequences(draw, [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], causal=True)


@masks.case(points=2)
def nothing_to_attend(draw):
    """rows with nothing to attend to: padding on the left and causal, and a sequence of padding only"""
    return sequences(draw, [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], causal=True)


@masks.invariant
def forbidden_weights_are_zero(got, inputs):
    """a weight is not 0 though its key is padding, or lies in the future of a causal query"""
    return bool((got[1].masked_fill(allowed_keys(inputs), 0.0) == 0).all())


@masks.invariant
def rows_sum_to_one_or_zero(got, inputs):
    """a row of the weights must sum to 1, or to 0 where every key is forbidden"""
    expected = allowed_keys(inputs).expand_as(got[1]).any(-1).to(got[1].dtype)
    return torch.allclose(got[1].sum(-1), expected, atol=1e-5)


@masks.invariant
def the_past_stays(got, inputs):
    """two causal sequences with the same beginning differ there: the future changes the past"""
    same = inputs["causal"] & (inputs["query"][0] == inputs["query"][1]).all(-1)  # (T)
    return torch.allclose(got[0][0][same], got[0][1][same], atol=1e-5)


# %% name="masks-mistake-after-softmax"
# %%mistake masks
# The mask comes after the softmax: forbidden keys have already taken their share, and the rows that are left sum to
# less than 1. Put minus infinity into the scores, before the softmax.
def masked_attention(query, key, value, attention_mask, causal):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    allowed = attention_mask[:, None, :].expand_as(scores)
    if causal:
        allowed = allowed & torch.ones_like(allowed).tril()
    weights = torch.softmax(scores, dim=-1).masked_fill(~allowed, 0.0)
    return weights @ value, weights


# %% name="masks-mistake-large-negative"
# %%mistake masks
# Where every key is forbidden, the weights are equal instead of 0. A large negative number in place of minus infinity
# does this: all scores are equally low then, and the softmax attends to padding and future.
def masked_attention(query, key, value, attention_mask, causal):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    allowed = attention_mask[:, None, :].expand_as(scores)
    if causal:
        allowed = allowed & torch.ones_like(allowed).tril()
    weights = torch.softmax(scores.masked_fill(~allowed, -1e9), dim=-1)
    return weights @ value, weights


# %% name="masks-mistake-nan-rows"
# %%mistake masks
# All is right except in rows where every key is forbidden: there the softmax divides 0 by 0. Fill those weights
# with 0 after the softmax.
def masked_attention(query, key, value, attention_mask, causal):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    allowed = attention_mask[:, None, :].expand_as(scores)
    if causal:
        allowed = allowed & torch.ones_like(allowed).tril()
    weights = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=-1)
    return weights @ value, weights


# %% name="masks-mistake-past-hidden"
# %%mistake masks
# The causal mask is the wrong way round: each position sees itself and the future, and not the past. Keep the lower
# triangle (`tril`), where the key stands at or before the query.
def masked_attention(query, key, value, attention_mask, causal):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    allowed = attention_mask[:, None, :].expand_as(scores)
    if causal:
        allowed = allowed & torch.ones_like(allowed).triu()
    weights = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=-1).masked_fill(~allowed, 0.0)
    return weights @ value, weights


# %% name="masks-mistake-self-hidden"
# %%mistake masks
# The diagonal is masked too, so a position cannot attend to itself, and the first one to nothing. A token may see
# itself: only later keys are the future.
def masked_attention(query, key, value, attention_mask, causal):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    allowed = attention_mask[:, None, :].expand_as(scores)
    if causal:
        allowed = allowed & torch.ones_like(allowed).tril(-1)
    weights = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=-1).masked_fill(~allowed, 0.0)
    return weights @ value, weights


# %% name="masks-mistake-padded-queries"
# %%mistake masks
# The padding mask lies along the queries. So padded queries get nothing, which nobody needs, and real queries still
# attend to padded keys. It must lie along the last axis: `attention_mask[:, None, :]`.
def masked_attention(query, key, value, attention_mask, causal):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    allowed = attention_mask[:, :, None].expand_as(scores)
    if causal:
        allowed = allowed & torch.ones_like(allowed).tril()
    weights = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=-1).masked_fill(~allowed, 0.0)
    return weights @ value, weights


# %% name="masks-mistake-zero-scores"
# %%mistake masks
# The scores of forbidden keys are set to 0. But a score of 0 is not nothing: exp(0) = 1, and the key takes its share.
# Only minus infinity gives weight 0.
def masked_attention(query, key, value, attention_mask, causal):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    allowed = attention_mask[:, None, :].expand_as(scores)
    if causal:
        allowed = allowed & torch.ones_like(allowed).tril()
    weights = torch.softmax(scores * allowed, dim=-1)
    return weights @ value, weights


# %% name="masks-mistake-polarity"
# %%mistake masks
# The padding mask is read the wrong way round: True means a real token here. (Libraries differ: the
# `key_padding_mask` of torch's nn.MultiheadAttention is True for padding.)
def masked_attention(query, key, value, attention_mask, causal):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    allowed = ~attention_mask[:, None, :].expand_as(scores)
    if causal:
        allowed = allowed & torch.ones_like(allowed).tril()
    weights = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=-1).masked_fill(~allowed, 0.0)
    return weights @ value, weights


# %% name="masks-mistake-keys-and-queries"
# %%mistake masks
# The keys are masked rightly, but padded queries are put to 0 as well. They are computed like all others here: the
# mask speaks about keys only.
def masked_attention(query, key, value, attention_mask, causal):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    allowed = attention_mask[:, None, :] & attention_mask[:, :, None]
    if causal:
        allowed = allowed & torch.ones_like(allowed).tril()
    weights = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=-1).masked_fill(~allowed, 0.0)
    return weights @ value, weights


# %% name="masks-mistake-not-inverted"
# %%mistake masks
# Exactly the allowed keys are hidden. `masked_fill` fills where its mask is True; so if `allowed` is True where a
# query MAY look, write `~allowed`.
def masked_attention(query, key, value, attention_mask, causal):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    allowed = attention_mask[:, None, :].expand_as(scores)
    if causal:
        allowed = allowed & torch.ones_like(allowed).tril()
    weights = torch.softmax(scores.masked_fill(allowed, -math.inf), dim=-1).nan_to_num(0.0)
    return weights @ value, weights


# %% name="masks-mistake-zero-is-forbidden"
# %%mistake masks
# A score of 0 is taken for a forbidden key. A true score may be 0, as all those of a query of zeros are. Fill by the
# mask itself.
def masked_attention(query, key, value, attention_mask, causal):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    allowed = attention_mask[:, None, :].expand_as(scores)
    if causal:
        allowed = allowed & torch.ones_like(allowed).tril()
    scores = scores * allowed
    weights = torch.softmax(scores.masked_fill(scores == 0, -math.inf), dim=-1).nan_to_num(0.0)
    return weights @ value, weights


# %% name="masks-mistake-zero-times-infinity"
# %%mistake masks
# All is NaN. A mask multiplied by infinity does this: 0 · ∞ is NaN, so allowed keys get NaN too. Put minus infinity
# into the scores with `masked_fill` or `torch.where`.
def masked_attention(query, key, value, attention_mask, causal):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    allowed = attention_mask[:, None, :].expand_as(scores)
    if causal:
        allowed = allowed & torch.ones_like(allowed).tril()
    weights = torch.softmax(scores + (~allowed).to(scores.dtype) * -math.inf, dim=-1)
    return weights @ value, weights


# %% name="masks-other-added-mask"
# %%other masks
# The mask as a number that is added, 0 or minus infinity; NaN is taken out at the end.
def masked_attention(query, key, value, attention_mask, causal):
    length = query.size(1)
    added = torch.zeros(query.size(0), length, length, dtype=query.dtype)
    added[~attention_mask[:, None, :].expand_as(added)] = -math.inf
    if causal:
        added += torch.full((length, length), -math.inf, dtype=query.dtype).triu(1)
    scores = torch.einsum("btd,bsd->bts", query, key) * query.size(-1) ** -0.5 + added
    weights = scores.softmax(-1).nan_to_num(0.0)
    return weights @ value, weights


# %% name="masks-other-loop"
# %%other masks
# Each query by itself, with the list of the keys that it may attend to.
def masked_attention(query, key, value, attention_mask, causal):
    batch, length, width = query.shape
    output, weights = torch.zeros_like(value), torch.zeros(batch, length, length, dtype=query.dtype)
    for b in range(batch):
        for t in range(length):
            keys = [s for s in range(length) if attention_mask[b, s] and (s <= t or not causal)]
            if keys:
                weights[b, t, keys] = torch.softmax(key[b, keys] @ query[b, t] / math.sqrt(width), dim=0)
                output[b, t] = weights[b, t] @ value[b]
    return output, weights


# %% name="masks-other-library"
# %%other masks
# The function of torch, called with the mask, and once more with the unit matrix for the weights.
def masked_attention(query, key, value, attention_mask, causal):
    length = query.size(1)
    mask = attention_mask[:, None, :].repeat(1, length, 1)
    mask &= torch.arange(length)[:, None] >= torch.arange(length) if causal else True
    unit = torch.eye(length, dtype=query.dtype).expand_as(mask)
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    weights = F.scaled_dot_product_attention(query, key, unit, attn_mask=mask)
    return output.nan_to_num(0.0), weights.nan_to_num(0.0)


# %% name="masks-equivalent-transpose"
# %%equivalent masks
# Two axes change places; which of them is named first makes no difference.
scores = query @ key.transpose(-1, -2) / math.sqrt(query.size(-1))

# %% [markdown] name="heads" question={"points": 5, "difficulty": 3, "minutes": 25, "section": "2.2"}
# ## 3. Several heads
#
# Write multi-head self-attention, without masks, from four weight matrices.
#
# | | shape | |
# | --- | --- | --- |
# | `x` | (B, T, C) | C is $d_{model}$ |
# | `w_query`, `w_key`, `w_value` | (C, C) | project with `x @ w`, without bias |
# | `w_output` | (C, C) | applied after the heads are merged |
# | `n_heads` | int | H; each head has D = C / H features |
# | returns | (B, T, C) | |
#
# Head *h* owns the features *h·D* to *(h+1)·D* of each projection. Within a head you may use
# `F.scaled_dot_product_attention`. The result has the dtype of `x` and requires no gradient (if you build it from a
# layer of `torch.nn`, `.detach()` it). If H does not divide C, raise a `ValueError`; a good one says what was given,
# but its text is not checked.
#
# **What usually goes wrong:** `view` gives the right shape with the wrong numbers in it. It never moves a value; axes
# change places only with `transpose`, once when you split and once when you merge.


# %% name="heads-answer"
def multi_head_attention(
    x: Tensor, w_query: Tensor, w_key: Tensor, w_value: Tensor, w_output: Tensor, n_heads: int
) -> Tensor:
    """Multi-head self-attention of x (B, T, C), without masks and biases."""
    ### BEGIN SOLUTION
    B, T, C = x.shape
    if C % n_heads:
        raise ValueError(f"n_heads must divide d_model; got n_heads={n_heads} and d_model={C}")

    def split(projected: Tensor) -> Tensor:
        return projected.view(B, T, n_heads, C // n_heads).transpose(1, 2)  # (B, H, T, D)

    heads = F.scaled_dot_product_attention(split(x @ w_query), split(x @ w_key), split(x @ w_value))
    return heads.transpose(1, 2).reshape(B, T, C) @ w_output
    ### END SOLUTION


# %% name="heads-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_attention", "heads", multi_head_attention)

# %% [markdown] name="heads-hint-1"
# Project first, then split: (B, T, C) becomes (B, T, H, D), because the features of a head lie next to each other.
# For attention the positions must be the last axis but one: (B, H, T, D).

# %% [markdown] name="heads-hint-2"
# Merging is splitting backwards: (B, H, T, D) to (B, T, H, D) with `transpose`, then to (B, T, C) with `reshape`.
# Only then comes `w_output`.

# %% name="heads-parts"
heads = FunctionQuestion(
    "multi_head_attention",
    returns=("output",),
    atol=2e-5,
    because="three products in a row over 8 to 12 features in float32: each adds an error of about 1e-6",
)


def layer(draw, batch, length, width, n_heads):
    inputs = {"x": draw.normal(batch, length, width)}
    for name in ("w_query", "w_key", "w_value", "w_output"):
        inputs[name] = draw.normal(width, width) / width**0.5
    return {**inputs, "n_heads": n_heads}


@heads.case(points=1)
def one_head(draw):
    """a single head: attention, and a projection before and after"""
    return layer(draw, batch=1, length=4, width=8, n_heads=1)


@heads.case(points=2)
def several_heads(draw):
    """two heads, four positions, eight features"""
    return layer(draw, batch=1, length=4, width=8, n_heads=2)


@heads.case(points=1)
def batch(draw):
    """three heads and a batch, in which the first and the last sequence are equal"""
    inputs = layer(draw, batch=3, length=5, width=12, n_heads=3)
    inputs["x"][2] = inputs["x"][0]
    return inputs


@heads.case(points=1)
def refused(draw):
    """8 features and 3 heads: a ValueError"""
    return layer(draw, batch=1, length=4, width=8, n_heads=3)


@heads.invariant
def sequences_do_not_mix(got, inputs):
    """two equal sequences of a batch must give equal outputs, whatever stands between them"""
    return not torch.equal(inputs["x"][0], inputs["x"][-1]) or torch.allclose(got[0], got[-1], atol=1e-5)


# %% name="heads-mistake-view-for-transpose"
# %%mistake heads
# `view(B, H, T, D)` has the right shape, but cuts each sequence into blocks of positions, so that a head mixes
# features of different tokens. Use `view(B, T, H, D)`, then `transpose(1, 2)`.
def multi_head_attention(x, w_query, w_key, w_value, w_output, n_heads):
    B, T, C = x.shape
    if C % n_heads:
        raise ValueError(f"{n_heads} does not divide {C}")
    query, key, value = ((x @ w).view(B, n_heads, T, C // n_heads) for w in (w_query, w_key, w_value))
    heads = F.scaled_dot_product_attention(query, key, value)
    return heads.transpose(1, 2).reshape(B, T, C) @ w_output


# %% name="heads-mistake-view-twice"
# %%mistake heads
# Both times `view` stands where `transpose` belongs. The two undo each other in shape, so nothing looks wrong; but each
# head has seen blocks of positions with their features mixed, not all positions with a slice of the features.
def multi_head_attention(x, w_query, w_key, w_value, w_output, n_heads):
    B, T, C = x.shape
    if C % n_heads:
        raise ValueError(f"{n_heads} does not divide {C}")
    query, key, value = ((x @ w).view(B, n_heads, T, C // n_heads) for w in (w_query, w_key, w_value))
    return F.scaled_dot_product_attention(query, key, value).reshape(B, T, C) @ w_output


# %% name="heads-mistake-merge-without-transpose"
# %%mistake heads
# The heads are merged without changing the axes back: (B, H, T, D) is read as (B, T, C), and a position gets
# features that belong to others. First `transpose(1, 2)`, then `reshape(B, T, C)`.
def multi_head_attention(x, w_query, w_key, w_value, w_output, n_heads):
    B, T, C = x.shape
    if C % n_heads:
        raise ValueError(f"{n_heads} does not divide {C}")
    query, key, value = ((x @ w).view(B, T, n_heads, -1).transpose(1, 2) for w in (w_query, w_key, w_value))
    heads = F.scaled_dot_product_attention(query, key, value)
    return heads.reshape(B, T, C) @ w_output


# %% name="heads-mistake-attention-between-heads"
# %%mistake heads
# The axes are still (B, T, H, D): each position's heads attend to each other, and no token sees another one. The
# positions must be the last axis but one.
def multi_head_attention(x, w_query, w_key, w_value, w_output, n_heads):
    B, T, C = x.shape
    if C % n_heads:
        raise ValueError(f"{n_heads} does not divide {C}")
    query, key, value = ((x @ w).view(B, T, n_heads, -1) for w in (w_query, w_key, w_value))
    return F.scaled_dot_product_attention(query, key, value).reshape(B, T, C) @ w_output


# %% name="heads-mistake-no-output-projection"
# %%mistake heads
# The heads are merged, but `w_output` is not applied. Without it the results of the heads stand side by side and are
# never combined.
def multi_head_attention(x, w_query, w_key, w_value, w_output, n_heads):
    B, T, C = x.shape
    if C % n_heads:
        raise ValueError(f"{n_heads} does not divide {C}")
    query, key, value = ((x @ w).view(B, T, n_heads, -1).transpose(1, 2) for w in (w_query, w_key, w_value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(B, T, C)


# %% name="heads-mistake-scale-of-model"
# %%mistake heads
# The scores are divided by the root of d_model. A head's dot products have only D = d_model / n_heads terms: divide
# by √D. (With one head the two are the same.)
def multi_head_attention(x, w_query, w_key, w_value, w_output, n_heads):
    B, T, C = x.shape
    if C % n_heads:
        raise ValueError(f"{n_heads} does not divide {C}")
    query, key, value = ((x @ w).view(B, T, n_heads, -1).transpose(1, 2) for w in (w_query, w_key, w_value))
    heads = F.scaled_dot_product_attention(query, key, value, scale=C**-0.5)
    return heads.transpose(1, 2).reshape(B, T, C) @ w_output


# %% name="heads-mistake-transposed-weights"
# %%mistake heads
# The weights are applied transposed, as `nn.Linear` stores them. Here the projection is `x @ w`.
def multi_head_attention(x, w_query, w_key, w_value, w_output, n_heads):
    B, T, C = x.shape
    if C % n_heads:
        raise ValueError(f"{n_heads} does not divide {C}")
    query, key, value = (F.linear(x, w).view(B, T, n_heads, -1).transpose(1, 2) for w in (w_query, w_key, w_value))
    heads = F.scaled_dot_product_attention(query, key, value)
    return F.linear(heads.transpose(1, 2).reshape(B, T, C), w_output)


# %% name="heads-mistake-interleaved"
# %%mistake heads
# The features are shared out in turn: head 0 gets features 0, H, 2H and so on. Head h owns neighbouring features:
# `view(B, T, H, D)`, not `view(B, T, D, H)`.
def multi_head_attention(x, w_query, w_key, w_value, w_output, n_heads):
    B, T, C = x.shape
    if C % n_heads:
        raise ValueError(f"{n_heads} does not divide {C}")
    query, key, value = ((x @ w).view(B, T, -1, n_heads).permute(0, 3, 1, 2) for w in (w_query, w_key, w_value))
    heads = F.scaled_dot_product_attention(query, key, value)
    return heads.permute(0, 2, 3, 1).reshape(B, T, C) @ w_output


# %% name="heads-mistake-not-refused"
# %%mistake heads
# A number of heads that does not divide d_model ends in torch's own error about shapes. Test it first, and raise a
# ValueError that says what was given.
def multi_head_attention(x, w_query, w_key, w_value, w_output, n_heads):
    B, T, C = x.shape
    query, key, value = ((x @ w).view(B, T, n_heads, C // n_heads).transpose(1, 2) for w in (w_query, w_key, w_value))
    heads = F.scaled_dot_product_attention(query, key, value)
    return heads.transpose(1, 2).reshape(B, T, C) @ w_output


# %% name="heads-other-loop"
# %%other heads
# A loop over the heads; each takes its columns of the weights, and its rows of `w_output`.
def multi_head_attention(x, w_query, w_key, w_value, w_output, n_heads):
    width, left = divmod(x.size(-1), n_heads)
    if left:
        raise ValueError(f"{x.size(-1)} features cannot be shared out to {n_heads} heads")
    output = torch.zeros_like(x)
    for start in range(0, x.size(-1), width):
        own = slice(start, start + width)
        scores = (x @ w_query[:, own]) @ (x @ w_key[:, own]).mT / math.sqrt(width)
        output += scores.softmax(-1) @ (x @ w_value[:, own]) @ w_output[own]
    return output


# %% name="heads-other-einsum"
# %%other heads
# The heads as one more letter of einsum.
def multi_head_attention(x, w_query, w_key, w_value, w_output, n_heads):
    C = x.size(-1)
    if C % n_heads != 0:
        raise ValueError(f"n_heads={n_heads} does not divide d_model={C}")
    query, key, value = (torch.einsum("btc,chd->bthd", x, w.reshape(C, n_heads, -1)) for w in (w_query, w_key, w_value))
    weights = torch.softmax(torch.einsum("bthd,bshd->bhts", query, key) / math.sqrt(C // n_heads), dim=-1)
    return torch.einsum("bhts,bshd,hdc->btc", weights, value, w_output.reshape(n_heads, -1, C))


# %% name="heads-equivalent-transposes"
# %%equivalent heads
# Two axes change places; which of them is named first makes no difference.
return projected.view(B, T, n_heads, C // n_heads).transpose(2, 1)
return heads.transpose(2, 1).reshape(B, T, C) @ w_output

# %% [markdown] name="permutation" question={"points": 3, "difficulty": 2, "minutes": 15, "section": "2.2"}
# ## 4. Does attention know the order?
#
# Shuffle the tokens of a sentence. If the outputs are the same vectors, shuffled in the same way, the layer does not
# know the order; the word for that is *permutation-equivariant*. Section 2.2 says that self-attention without
# positions is. Test it by experiment. The next cell gives three layers to try.
#
# | | shape | |
# | --- | --- | --- |
# | `kind` | str | the layer: `"plain"`, `"positions"` or `"causal"`; call `attend(kind, x)` |
# | `x` | (T, C) | a sequence |
# | `order` | (T) int64 | a permutation of 0 ... T-1; `x[order]` is the shuffled sequence |
# | returns `gap` | float | the largest absolute difference between *shuffle, then attend* and *attend, then shuffle* |
# | returns `equivariant` | bool | the verdict for this `x` and `order`: whether the two are the same but for rounding |
#
# **What usually goes wrong:** two results of the same sum differ in the last digit when the terms come in another
# order. And a shuffle must be on the positions, on both sides, in the same direction.


# %% name="permutation-layers"
def attend(kind: str, x: Tensor) -> Tensor:
    """Self-attention of x (T, C) to itself: 'plain', with 'positions' added first, or 'causal'."""
    if kind == "positions":
        places, features = (torch.arange(size, dtype=x.dtype) for size in x.shape)
        x = x + torch.sin(places[:, None] / 10 ** (features / x.size(1)))
    batch = x[None]  # (1, T, C)
    return F.scaled_dot_product_attention(batch, batch, batch, is_causal=kind == "causal")[0]


# %% name="permutation-answer"
def permutation_test(kind: str, x: Tensor, order: Tensor) -> tuple[float, bool]:
    """How far a layer is from permutation-equivariant on one example, and the verdict."""
    ### BEGIN SOLUTION
    difference = attend(kind, x[order]) - attend(kind, x)[order]  # (T, C)
    gap = difference.abs().max().item()
    return gap, gap < 1e-5
    ### END SOLUTION


# %% name="permutation-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_attention", "permutation", permutation_test)

# %% [markdown] name="permutation-hint-1"
# Two lines compute two tensors of shape (T, C): one shuffles `x` before the layer, one shuffles its output. If order
# means nothing to the layer, they are equal.

# %% [markdown] name="permutation-hint-2"
# A float32 has about 7 digits, and the values here are about 1. So what counts as rounding is some 1e-6. A real
# difference is some 0.1. Put the threshold between them.

# %% name="permutation-parts"
permutation = FunctionQuestion(
    "permutation_test",
    returns=("gap", "equivariant"),
    atol=1e-5,
    because="a gap that is only rounding in float32 is some 1e-7; a real one is above 0.1",
)


def shuffled(draw, kind):
    return {"kind": kind, "x": draw.normal(6, 6), "order": torch.tensor([3, 0, 5, 1, 2, 4])}


@permutation.case(points=1)
def plain(draw):
    """plain self-attention"""
    return shuffled(draw, "plain")


def with_positions(x):
    places, features = (torch.arange(size, dtype=x.dtype) for size in x.shape)
    x = (x + torch.sin(places[:, None] / 10 ** (features / x.size(1))))[None]
    return torch.nn.functional.scaled_dot_product_attention(x, x, x)[0]


@permutation.case(points=0.5)
def positions(draw):
    """self-attention with positions added"""
    inputs = shuffled(draw, "positions")
    x, order = inputs["x"], inputs["order"]
    difference = with_positions(x[order]) - with_positions(x)[order]
    if difference.max() < -difference.min():
        return inputs
    return {**inputs, "x": x[order], "order": order.argsort()}  # back again: the same differences with the other sign


def exchanged(draw, sign):
    """The first two tokens exchanged. All differences of the outputs have one sign: without `abs` they are lost."""
    inputs = shuffled(draw, "causal")
    inputs["x"][1] = inputs["x"][0] + sign * (1 + draw.normal(6).abs())
    return {**inputs, "order": torch.tensor([1, 0, 2, 3, 4, 5])}


@permutation.case(points=0.5)
def causal_smaller(draw):
    """causal self-attention, the first two tokens exchanged; the second has smaller features"""
    return exchanged(draw, -1)


@permutation.case(points=0.5)
def causal_larger(draw):
    """causal self-attention, the first two tokens exchanged; the second has larger features"""
    return exchanged(draw, 1)


@permutation.case(points=0.5)
def nothing_shuffled(draw):
    """causal self-attention, and an order that changes nothing"""
    return {**shuffled(draw, "causal"), "order": torch.arange(6)}


@permutation.invariant
def gap_is_a_distance(got, inputs):
    """a largest absolute difference cannot be negative"""
    return got[0] >= 0


# %% name="permutation-mistake-one-side"
# %%mistake permutation
# Only one side is shuffled. Then position 0 is compared with the token that now stands there, and even plain attention
# seems to know the order. Shuffle the output of the other side as well.
def permutation_test(kind, x, order):
    gap = (attend(kind, x[order]) - attend(kind, x)).abs().max().item()
    return gap, gap < 1e-5


# %% name="permutation-mistake-other-direction"
# %%mistake permutation
# One side is shuffled by `order`, the other by its inverse. Index both with the same `order`: row i of both is then
# the token order[i].
def permutation_test(kind, x, order):
    gap = (attend(kind, x[order]) - attend(kind, x)[order.argsort()]).abs().max().item()
    return gap, gap < 1e-5


# %% name="permutation-mistake-exactly-zero"
# %%mistake permutation
# The gap is right, but the verdict asks for exactly 0, or for less than float32 can give. The terms of a sum were added
# in another order, so some last digits differ (here by about 5e-7). Ask whether the gap is below 1e-5, for example.
def permutation_test(kind, x, order):
    gap = (attend(kind, x[order]) - attend(kind, x)[order]).abs().max().item()
    return gap, gap == 0.0


# %% name="permutation-mistake-features"
# %%mistake permutation
# This shuffles the features of each token, not the tokens. Dot products don't change then, so even causal attention
# seems to ignore the order. Index the first axis: `x[order]`.
def permutation_test(kind, x, order):
    gap = (attend(kind, x[:, order]) - attend(kind, x)[:, order]).abs().max().item()
    return gap, gap < 1e-5


# %% name="permutation-mistake-mean"
# %%mistake permutation
# This is the mean difference. One wrong position among many right ones would hardly show in it; the question asks for
# the largest.
def permutation_test(kind, x, order):
    gap = (attend(kind, x[order]) - attend(kind, x)[order]).abs().mean().item()
    return gap, gap < 1e-5


# %% name="permutation-mistake-verdict-reversed"
# %%mistake permutation
# The gap is right and the verdict is reversed: a small gap means that shuffling before and after are the same, so the
# layer is equivariant.
def permutation_test(kind, x, order):
    gap = (attend(kind, x[order]) - attend(kind, x)[order]).abs().max().item()
    return gap, gap > 1e-5


# %% name="permutation-mistake-verdict-by-name"
# %%mistake permutation
# The verdict follows from the name of the layer, not from the gap. An order that changes nothing leaves no gap in any
# layer: measure, then judge.
def permutation_test(kind, x, order):
    gap = (attend(kind, x[order]) - attend(kind, x)[order]).abs().max().item()
    return gap, kind == "plain"


# %% name="permutation-mistake-no-absolute-value"
# %%mistake permutation
# The largest difference is taken with its sign, so a large negative one does not count. Take `abs` first.
def permutation_test(kind, x, order):
    gap = (attend(kind, x[order]) - attend(kind, x)[order]).max().item()
    return gap, gap < 1e-5


# %% name="permutation-other-matrix"
# %%other permutation
# The shuffle as a matrix from the left.
def permutation_test(kind, x, order):
    shuffle = torch.eye(len(order), dtype=x.dtype)[order]
    before, after = attend(kind, shuffle @ x), shuffle @ attend(kind, x)
    return float(torch.dist(before, after, p=math.inf)), torch.allclose(before, after, atol=1e-4)


# %% name="permutation-other-undo"
# %%other permutation
# Shuffle, attend, and put the tokens back in their old places; then compare with the plain run, value by value.
def permutation_test(kind, x, order):
    undone = attend(kind, x[order])[order.argsort()].flatten().tolist()
    gap = max(abs(a - b) for a, b in zip(undone, attend(kind, x).flatten().tolist(), strict=True))
    return gap, not gap > 1e-3


# %% name="permutation-equivalent-boundary"
# %%equivalent permutation
# No gap is exactly the threshold, so it makes no difference on which side the threshold itself belongs.
return gap, gap <= 1e-5

# %% name="permutation-equivalent-sign"
# %%equivalent permutation
# The absolute value follows, so the sign of the difference makes no difference.
difference = attend(kind, x)[order] - attend(kind, x[order])

# %% name="permutation-equivalent-threshold"
# %%equivalent permutation
# Both thresholds lie between rounding and a real gap.
return gap, gap < 2e-5

# %% [markdown] name="scale" question={"points": 3, "difficulty": 2, "minutes": 10, "section": "2.2"}
# ## 5. Why √d_k?
#
# **Which sentence is the reason for dividing the scores by √d_k?** Set `reason` to its letter.
#
# - **a** Without it, a row of the weights would not sum to 1.
# - **b** It makes the products cheaper to compute when the keys are wide.
# - **c** Dot products of wide vectors spread out, the softmax saturates, and hardly any gradient comes back.
# - **d** It turns each dot product into the cosine of the angle between query and key.
#
# **Work out two numbers.** All entries of a query and a key are independent, with mean 0. Those of the query have
# variance 1, those of the key have variance 4, and d_k = 64. What is the `variance` of their dot product? And what is
# the standard `deviation` of the score, the dot product divided by √d_k?

# %% name="scale-answer"
reason = ""  # the letter
variance = None  # a number
deviation = None  # a number
### BEGIN SOLUTION
reason = "c"
variance = 256  # 64 products, each of variance 1 · 4
deviation = 2  # √256 / √64
### END SOLUTION

# %% name="scale-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_attention", "scale", reason=reason, variance=variance, deviation=deviation)

# %% [markdown] name="scale-hint-1"
# The product of two independent variables with mean 0 has the product of their variances. The variance of a sum of
# independent variables is the sum of their variances.

# %% [markdown] name="scale-hint-2"
# Dividing by a number divides the standard deviation by it, and the variance by its square.

# %% [markdown] name="scale-hint-3"
# For the letter: take a row with the scores 0 and 80. Which weights does the softmax give, and how much do they change
# when one score changes a little?

# %% name="scale-parts"
scale = ValueQuestion()
scale.choice("reason", "abcd", points=1, title="the reason")
scale.number("variance", points=1, title="the variance of the dot product")
scale.number("deviation", points=1, title="the standard deviation of the score")

# %% name="scale-mistake-rows-sum-to-one"
# %%mistake scale
# The softmax divides each row by its sum, so the rows sum to 1 whatever the scores are.
reason = "a"

# %% name="scale-mistake-cheaper"
# %%mistake scale
# The division is one operation more for each score, and none less. The cost does not change.
reason = "b"

# %% name="scale-mistake-cosine"
# %%mistake scale
# A cosine is the dot product divided by the lengths of these two vectors. √d_k is the same number for all of them.
reason = "d"

# %% name="scale-mistake-variance-of-key-left-out"
# %%mistake scale
# These numbers hold when the entries of the key have variance 1. Here they have variance 4, and each of the 64 products
# has it too.
variance = 64
deviation = 1

# %% name="scale-mistake-deviation-for-variance"
# %%mistake scale
# 16 is the standard deviation of the dot product; its square is the variance.
variance = 16

# %% name="scale-mistake-variance-squared"
# %%mistake scale
# The variance of the key's entries went in squared. A product of independent entries with mean 0 has variance 1 · 4.
variance = 1024

# %% name="scale-mistake-variance-divided-by-root"
# %%mistake scale
# That is the variance divided by √d_k. The standard deviation is divided by √d_k: take the root of the variance first.
deviation = 32

# %% name="scale-mistake-variance-of-score"
# %%mistake scale
# 4 is the variance of the score. The question asks for the standard deviation, its root.
deviation = 4

# %% name="scale-other-worked-out"
# %%other scale
# The numbers as they are worked out, the letter as it stands in the list.
reason = "(C)"
variance = sum(1.0 * 4.0 for _ in range(64))
deviation = math.sqrt(variance) / math.sqrt(64)

# %% name="scale-other-tensors"
# %%other scale
# The numbers as tensors.
reason = " c."
variance = torch.tensor(64) * 4
deviation = (torch.full((64,), 4.0).sum() / 64).sqrt()

# %% [markdown] name="end"
# ## Done?
#
# `hint("02_attention", "scores", 1)` gives a first hint; each question has two or three. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
