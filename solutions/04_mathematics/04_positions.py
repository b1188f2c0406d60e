# %% [markdown] name="title"
# # 4.4 位置编码 · Positions — exercises
#
# 本节的练习先写出带 ALiBi 距离惩罚与缓存的因果注意力，再写出把所有位置移动 k 步的旋转矩阵，
# 然后写出旋转位置编码下的注意力分数，最后用纸笔算两个数，并判断超出训练长度时会发生什么。
#
# You write attention that forgets by distance, the matrix that sets the clock forward, and rotary scores. Each question
# has a cell for your answer and a cell that checks it. Section 4.4 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 04_positions

# %% name="imports"
import math

import torch
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="distances" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "4.4"}
# ## 1. Attention that forgets by distance
#
# Write causal attention with ALiBi (Press et al. 2022) for H heads at once. The keys and values are those of all S
# places, as a cache holds them; the queries are those of the *last* T places. So query $t = 0 \dots T - 1$ stands at
# place $p = S - T + t$. Its score for the key of place $q$ in head $h$ is
#
# $$s_{pq} = \frac{q_p\cdot k_q}{\sqrt D} - m_h\,(p - q),\qquad m_h = 2^{-8h/H},\quad h = 1 \dots H,$$
#
# and the weights are the softmax of the scores over the places $q \le p$. Later places are hidden.
#
# | | shape | |
# | --- | --- | --- |
# | `query` | (H, T, D) | the first head is $h = 1$; H is a power of two |
# | `key` | (H, S, D) | $1 \le T \le S$; T = S is a whole sequence, T = 1 one new word |
# | `value` | (H, S, D_v) | D_v need not be D |
# | returns `output` | (H, T, D_v) | for each query its mean of the values |
# | returns `weights` | (H, T, S) | 0 at later places |
#
# All are float32, results too. `lmlib` is not allowed here: `lmlib.positions` has the penalty, ready-made.
#
# **What usually goes wrong:** the slopes are counted from $h = 0$; the first query is taken for place 0; the penalty is
# divided by $\sqrt D$ as well.


# %% name="distances-answer"
def alibi_attention(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Causal attention with ALiBi: the output (H, T, D_v) and the weights (H, T, S)."""
    ### BEGIN SOLUTION
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** (-8 * torch.arange(1, H + 1) / H)  # (H,)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)  # (T, S): p - q
    scores = query @ key.mT / math.sqrt(D) - slopes[:, None, None] * distance  # (H, T, S)
    weights = scores.masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights
    ### END SOLUTION


# %% name="distances-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_positions", "distances", alibi_attention)

# %% [markdown] name="distances-hint-1"
# First the places: the keys stand at 0, 1, …, S − 1, and the queries at the last T of these numbers. One table (T, S)
# of all differences $p - q$ serves twice: it gives the penalty, and its sign says what is hidden.

# %% [markdown] name="distances-hint-2"
# Then the slopes, (H,). For four heads they are 1/4, 1/16, 1/64, 1/256: try yours. `slopes[:, None, None]` has the
# shape (H, 1, 1), and meets the table of distances in (H, T, S).

# %% [markdown] name="distances-hint-3"
# A hidden place has the score −∞ *before* the softmax: `masked_fill` puts it where the distance is negative. The
# softmax runs over the keys, the last axis.

# %% name="distances-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

distances = FunctionQuestion(
    "alibi_attention",
    returns=("output", "weights"),
    atol=1e-5,
    because="scores of up to about 5 carry an error of 1e-6 in float32, and a weight changes by that part of itself",
)


@distances.case(points=1)
def by_hand(draw):
    """two heads, three places: the last weights are 1/6, 2/6, 3/6 and 3/6, 1/6, 2/6"""
    query = torch.tensor([2.0, 0.0, 0.0, 0.0]).repeat(2, 3, 1)
    parts = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])
    key = torch.tensor([[0.0, -1.0, 1.0, 2.0], [0.0, 3.0, 0.0, -2.0], [0.0, 1.0, 1.0, 0.0]]).repeat(2, 1, 1)
    key[..., 0] = parts.log() - torch.tensor([[0.0, 1 / 16, 2 / 16], [0.0, 1 / 256, 2 / 256]])
    value = torch.tensor([[[6.0, 0.0], [0.0, 6.0], [12.0, 0.0]], [[0.0, 6.0], [12.0, 0.0], [6.0, 6.0]]])
    return {"query": query, "key": key, "value": value}


@distances.case(points=1)
def a_sequence(draw):
    """a whole sequence of six, four heads"""
    return {"query": draw.normal(4, 6, 8), "key": draw.normal(4, 6, 8), "value": draw.normal(4, 6, 5)}


@distances.case(points=1)
def a_cache(draw):
    """the last three of nine places, two heads"""
    return {"query": draw.normal(2, 3, 5), "key": draw.normal(2, 9, 5), "value": draw.normal(2, 9, 4)}


@distances.case(points=1)
def equal_words(draw):
    """one new query and twelve equal keys, eight heads: the weights differ by the penalty alone"""
    key = draw.normal(8, 1, 6).repeat(1, 12, 1)
    return {"query": draw.normal(8, 1, 6), "key": key, "value": draw.normal(8, 12, 3)}


@distances.invariant
def rows_sum_to_one(got, inputs):
    """each row of the weights, one for each query, must sum to 1"""
    sums = got[1].sum(-1)
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-5)


@distances.invariant
def each_sees_one_more(got, inputs):
    """the last query must see all places, and each other query one place less than the query after it"""
    seen = (got[1] > 1e-9).sum(-1)  # (H, T)
    return bool((seen[:, -1] == got[1].size(-1)).all() and (seen.diff(dim=1) == 1).all())


@distances.invariant
def nearer_weighs_more(got, inputs):
    """over equal keys a nearer place must weigh more than a farther one, in each head by a smaller factor"""
    key = inputs["key"]
    steps = got[1][:, -1].log().diff(dim=1)  # (H, S-1): one place nearer
    return not torch.equal(key, key[:, :1].expand_as(key)) or bool((steps > 0).all() and (steps.diff(dim=0) < 0).all())


# %% name="distances-mistake-from-zero"
# %%mistake distances
# The slopes are counted from h = 0: the first is 1, and each is 2^(8/H) times too steep. h runs from 1 to H, so that
# the last slope is 2^(−8), however many heads there are.
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** (-8 * torch.arange(H) / H)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    scores = query @ key.mT / math.sqrt(D) - slopes[:, None, None] * distance
    weights = scores.masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-growing"
# %%mistake distances
# The minus in the exponent is missing: the slopes grow from head to head, up to 256. All of them must be below 1, and
# they fall.
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** (8 * torch.arange(1, H + 1) / H)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    scores = query @ key.mT / math.sqrt(D) - slopes[:, None, None] * distance
    weights = scores.masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-upside-down"
# %%mistake distances
# The exponent is −8/h where it must be −8h/H. Such slopes grow from head to head, and the number of heads has no effect
# on them.
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** (-8 / torch.arange(1, H + 1))
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    scores = query @ key.mT / math.sqrt(D) - slopes[:, None, None] * distance
    weights = scores.masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-last-head-first"
# %%mistake distances
# The slopes are in the opposite order. Head 1, the first in `query`, has the largest, 2^(−8/H), and head H the
# smallest, 2^(−8).
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** (-8 * torch.arange(H, 0, -1) / H)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    scores = query @ key.mT / math.sqrt(D) - slopes[:, None, None] * distance
    weights = scores.masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-eight-heads"
# %%mistake distances
# The slopes 1/2, 1/4, 1/8, … are those of eight heads. H is the first size of `query`: with fewer heads each slope is a
# smaller part of the one before, and the last is 2^(−8) again.
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** -torch.arange(1, H + 1)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    scores = query @ key.mT / math.sqrt(D) - slopes[:, None, None] * distance
    weights = scores.masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-base-e"
# %%mistake distances
# The slopes are powers of e here, and must be powers of 2. The e of this section comes later: the softmax makes the
# factor e^(−m(p − q)) of a penalty.
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = torch.exp(-8 * torch.arange(1, H + 1) / H)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    scores = query @ key.mT / math.sqrt(D) - slopes[:, None, None] * distance
    weights = scores.masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-one-slope"
# %%mistake distances
# Every head has the slope of the first, 2^(−8/H). Each head needs its own: some then look near, and some far back.
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    scores = query @ key.mT / math.sqrt(D) - 2.0 ** (-8 / H) * distance
    weights = scores.masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-before-the-scale"
# %%mistake distances
# The penalty is divided by √D together with the products, so it is too small. √D belongs to the products alone: divide
# them first, then subtract the penalty.
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** (-8 * torch.arange(1, H + 1) / H)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    scores = (query @ key.mT - slopes[:, None, None] * distance) / math.sqrt(D)
    weights = scores.masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-added"
# %%mistake distances
# The penalty is added: the farther back a place, the more it weighs. Subtract m(p − q), or add m(q − p).
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** (-8 * torch.arange(1, H + 1) / H)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    scores = query @ key.mT / math.sqrt(D) + slopes[:, None, None] * distance
    weights = scores.masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-first-places"
# %%mistake distances
# Query t sees the places 0 to t, as if the queries were the first T. They are the last T of S: query t stands at place
# S − T + t, and the last one sees everything. Where T = S the two are the same.
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** (-8 * torch.arange(1, H + 1) / H)
    distance = torch.arange(T)[:, None] - torch.arange(S)
    scores = query @ key.mT / math.sqrt(D) - slopes[:, None, None] * distance
    weights = scores.masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-future-seen"
# %%mistake distances
# Later places get a penalty by |p − q|, and a weight. A causal query sees nothing after its own place: there the score
# must be −∞.
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** (-8 * torch.arange(1, H + 1) / H)
    distance = (torch.arange(S - T, S)[:, None] - torch.arange(S)).abs()
    weights = (query @ key.mT / math.sqrt(D) - slopes[:, None, None] * distance).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-own-place-hidden"
# %%mistake distances
# Each query's own place is hidden as well. A query at place 0 then has nothing left to see, and a softmax of −∞ alone
# is NaN. Hide the distances below 0; the distance 0 stays, and costs nothing.
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** (-8 * torch.arange(1, H + 1) / H)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    scores = query @ key.mT / math.sqrt(D) - slopes[:, None, None] * distance
    weights = scores.masked_fill(distance <= 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-no-scale"
# %%mistake distances
# The products are not divided by √D. ALiBi changes nothing about that: its penalty is subtracted from scaled scores.
def alibi_attention(query, key, value):
    H, T, _ = query.shape
    S = key.size(1)
    slopes = 2.0 ** (-8 * torch.arange(1, H + 1) / H)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    scores = query @ key.mT - slopes[:, None, None] * distance
    weights = scores.masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    return weights @ value, weights


# %% name="distances-mistake-factor-after-softmax"
# %%mistake distances
# The factor e^(−m(p − q)) is put on weights that already sum to 1, so now they sum to less. Subtract the penalty before
# the softmax: it divides by the sum of what is left.
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** (-8 * torch.arange(1, H + 1) / H)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    weights = (query @ key.mT / math.sqrt(D)).masked_fill(distance < 0, -math.inf).softmax(dim=-1)
    weights = weights * torch.exp(-slopes[:, None, None] * distance)
    return weights @ value, weights


# %% name="distances-mistake-mask-after-softmax"
# %%mistake distances
# Later places get their 0 after the softmax. They have had their share by then, and the rest sums to less than 1. Set
# their scores to −∞ before it.
def alibi_attention(query, key, value):
    H, T, D = query.shape
    S = key.size(1)
    slopes = 2.0 ** (-8 * torch.arange(1, H + 1) / H)
    distance = torch.arange(S - T, S)[:, None] - torch.arange(S)
    scores = query @ key.mT / math.sqrt(D) - slopes[:, None, None] * distance
    weights = scores.softmax(dim=-1).masked_fill(distance < 0, 0.0)
    return weights @ value, weights


# %% name="distances-other-key-place-only"
# %%other distances
# m·q is added instead of −m(p − q). The two differ by m·p, the same all along a row, and the softmax cannot see that.
def alibi_attention(query, key, value):
    heads, new, width = query.shape
    places = torch.arange(key.shape[-2])
    slopes = torch.tensor([2 ** (-8 * h / heads) for h in range(1, heads + 1)], dtype=query.dtype)
    scores = torch.einsum("htd,hsd->hts", query / width**0.5, key) + (slopes[:, None] * places)[:, None]
    hidden = torch.ones(new, len(places), dtype=torch.bool).triu(len(places) - new + 1)
    weights = torch.softmax(scores.masked_fill(hidden, -1e9), dim=2)
    return torch.einsum("hts,hsv->htv", weights, value), weights


# %% name="distances-other-loop"
# %%other distances
# One head and one query after the other, each over the places that it sees.
def alibi_attention(query, key, value):
    heads, new, width = query.shape
    length = key.size(1)
    weights = query.new_zeros(heads, new, length)
    for h in range(heads):
        for t in range(new):
            seen = length - new + t + 1
            back = torch.arange(seen).flip(0)  # seen - 1, ..., 1, 0
            score = key[h, :seen] @ query[h, t] / math.sqrt(width) - back * 0.5 ** (8 * (h + 1) / heads)
            weights[h, t, :seen] = score.softmax(dim=0)
    return weights @ value, weights


# %% name="distances-other-factors"
# %%other distances
# The penalty as a factor on the powers, before they are divided by their sum.
def alibi_attention(query, key, value):
    heads, new, width = query.shape
    back = torch.arange(key.size(1) - new, key.size(1)).unsqueeze(1) - torch.arange(key.size(1))
    ratio = 0.5 ** (8 / heads)
    kept = torch.stack([torch.exp(-(ratio**h) * back) * (back >= 0) for h in range(1, heads + 1)])
    scores = query @ key.transpose(1, 2) / width**0.5
    powers = torch.exp(scores - scores.amax(-1, keepdim=True)) * kept
    weights = powers / powers.sum(-1, keepdim=True)
    return weights @ value, weights


# %% name="distances-other-library"
# %%other distances
# The function of torch, with the penalty and −∞ as its mask; with the unit matrix as values its output is the weights.
def alibi_attention(query, key, value):
    heads, new, length = query.size(0), query.size(1), key.size(1)
    back = (torch.arange(length)[None] - torch.arange(length)[-new:, None]).to(query.dtype)  # q - p
    mask = back.masked_fill(back > 0, -math.inf) * torch.logspace(-8 / heads, -8, heads, base=2.0).view(-1, 1, 1)
    unit = torch.eye(length, dtype=query.dtype).expand(heads, -1, -1)
    attend = torch.nn.functional.scaled_dot_product_attention
    return attend(query, key, value, mask), attend(query, key, unit, mask)


# %% [markdown] name="shift" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "4.4"}
# ## 2. One matrix that moves every place
#
# Write the matrix $M_k$ with $\mathrm{PE}(p + k) = M_k\,\mathrm{PE}(p)$ for every place $p$. Here $\mathrm{PE}(p)$ is
# the column of the sinusoids of place $p$ in another order: first all C/2 sines $\sin(\omega_i p)$, then all C/2
# cosines $\cos(\omega_i p)$, with $\omega_i = \mathrm{base}^{-2i/C}$ for $i = 0 \dots C/2 - 1$. So the two entries of
# pair $i$ are $i$ and $i + C/2$, as in question 3. (The matrix in section 4.4 is for neighbours.)
#
# | | shape | |
# | --- | --- | --- |
# | `k` | float | how many places to move; negative moves back |
# | `d_model` | int | C, even |
# | `base` | float | 10000 in the paper |
# | returns | (C, C) float32 | $M_k$ |
#
# **What usually goes wrong:** neighbours are paired; the sign of one sine. The pair here is (sin, cos), not (cos, sin)
# as in most books on rotations. Test your matrix on a place that you know.


# %% name="shift-answer"
def shift_matrix(k: float, d_model: int, base: float) -> Tensor:
    """The matrix (C, C) that moves every position vector by k places."""
    ### BEGIN SOLUTION
    angles = k * base ** (-torch.arange(0, d_model, 2) / d_model)  # (C/2,)
    cos, sin = angles.cos().diag(), angles.sin().diag()  # (C/2, C/2)
    return torch.cat([torch.cat([cos, sin], dim=1), torch.cat([-sin, cos], dim=1)])
    ### END SOLUTION


# %% name="shift-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_positions", "shift", shift_matrix)

# %% [markdown] name="shift-hint-1"
# $\sin(a + b) = \sin a\cos b + \cos a\sin b$ and $\cos(a + b) = \cos a\cos b - \sin a\sin b$. Put $a = \omega p$ and
# $b = \omega k$, and read off the four numbers.

# %% [markdown] name="shift-hint-2"
# Cut $M_k$ into four parts of C/2 by C/2. Each part is a diagonal matrix: new sines from old sines, new sines from old
# cosines, and so on. The angle of pair $i$ is $k\,\omega_i$.

# %% name="shift-parts"
shift = FunctionQuestion(
    "shift_matrix",
    returns=("matrix",),
    atol=1e-5,
    because="each entry is one sine or cosine of an angle below 50, rounded to float32",
)


@shift.case(points=1)
def one_pair(draw):
    """one pair, one place forward: a rotation by 1 radian"""
    return {"k": 1.0, "d_model": 2, "base": 10_000.0}


@shift.case(points=2)
def several_pairs(draw):
    """three pairs, five places forward, base 50"""
    return {"k": 5.0, "d_model": 6, "base": 50.0}


@shift.case(points=1)
def backwards(draw):
    """a drawn number of places back"""
    return {"k": -float(1 + 10 * draw.normal(1).abs().item()), "d_model": 8, "base": 10_000.0}


@shift.invariant
def it_is_a_rotation(got, inputs):
    """M must be a rotation: its transpose times M is the unit matrix"""
    return torch.allclose(got.T @ got, torch.eye(len(got), dtype=got.dtype), atol=1e-5)


# %% name="shift-mistake-sign-of-k"
# %%mistake shift
# The sign of k is lost. A negative k must move back, so that all sines change their sign.
def shift_matrix(k, d_model, base):
    angles = abs(k) * base ** (-torch.arange(0, d_model, 2) / d_model)
    cos, sin = torch.diag(angles.cos()), torch.diag(angles.sin())
    return torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)])


# %% name="shift-mistake-backwards"
# %%mistake shift
# This matrix moves the places back: it is the transpose of the right one. With the sines first, the minus stands in the
# lower left part.
def shift_matrix(k, d_model, base):
    angles = k * base ** (-torch.arange(0, d_model, 2) / d_model)
    cos, sin = torch.diag(angles.cos()), torch.diag(angles.sin())
    return torch.cat([torch.cat([cos, -sin], 1), torch.cat([sin, cos], 1)])


# %% name="shift-mistake-no-minus"
# %%mistake shift
# Both sines have the same sign. Such a matrix changes lengths, so it is no rotation: cos(a+b) has a minus in it.
def shift_matrix(k, d_model, base):
    angles = k * base ** (-torch.arange(0, d_model, 2) / d_model)
    cos, sin = torch.diag(angles.cos()), torch.diag(angles.sin())
    return torch.cat([torch.cat([cos, sin], 1), torch.cat([sin, cos], 1)])


# %% name="shift-mistake-one-rate"
# %%mistake shift
# Every pair turns by the same angle. Each hand has a rate of its own, and only the first is 1 radian a place.
def shift_matrix(k, d_model, base):
    angles = torch.full((d_model // 2,), float(k))
    cos, sin = torch.diag(angles.cos()), torch.diag(angles.sin())
    return torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)])


# %% name="shift-mistake-neighbours"
# %%mistake shift
# This is the matrix of section 4.4, where a sine and its cosine are neighbours. Here all sines come first: entry i
# belongs to entry i + C/2.
def shift_matrix(k, d_model, base):
    rates = base ** (-torch.arange(0, d_model, 2) / d_model)
    cos, sin = (k * rates).cos(), (k * rates).sin()
    blocks = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)
    return torch.block_diag(*blocks)


# %% name="shift-mistake-exponent"
# %%mistake shift
# The exponent is counted twice: `torch.arange(0, d_model, 2)` already gives 2i. The hands slow down too fast.
def shift_matrix(k, d_model, base):
    angles = k * base ** (-2 * torch.arange(0, d_model, 2) / d_model)
    cos, sin = torch.diag(angles.cos()), torch.diag(angles.sin())
    return torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)])


# %% name="shift-mistake-half-exponent"
# %%mistake shift
# The exponent is i/C where it must be 2i/C: the rates fall only half of the way.
def shift_matrix(k, d_model, base):
    angles = k * base ** (-torch.arange(d_model // 2) / d_model)
    cos, sin = torch.diag(angles.cos()), torch.diag(angles.sin())
    return torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)])


# %% name="shift-mistake-base-written-in"
# %%mistake shift
# The base is written in as 10000. It is an argument, and one case has another one.
def shift_matrix(k, d_model, base):
    angles = k * 10_000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    cos, sin = torch.diag(angles.cos()), torch.diag(angles.sin())
    return torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)])


# %% name="shift-other-loop"
# %%other shift
# Pair by pair, number by number.
def shift_matrix(k, d_model, base):
    half = d_model // 2
    matrix = torch.zeros(d_model, d_model)
    for i in range(half):
        angle = k / base ** (2 * i / d_model)
        matrix[i, i] = matrix[i + half, i + half] = math.cos(angle)
        matrix[i, i + half], matrix[i + half, i] = math.sin(angle), -math.sin(angle)
    return matrix


# %% name="shift-other-reordered"
# %%other shift
# The matrix for neighbours, its rows and columns in the other order.
def shift_matrix(k, d_model, base):
    blocks = []
    for i in range(d_model // 2):
        c, s = math.cos(k / base ** (2 * i / d_model)), math.sin(k / base ** (2 * i / d_model))
        blocks.append(torch.tensor([[c, s], [-s, c]]))
    order = torch.cat([torch.arange(0, d_model, 2), torch.arange(1, d_model, 2)])
    return torch.block_diag(*blocks)[order][:, order]


# %% name="shift-other-exponential"
# %%other shift
# A rotation is the exponential of its generator: one place further, infinitely often in infinitely small steps.
def shift_matrix(k, d_model, base):
    generator = torch.zeros(d_model, d_model, dtype=torch.float64)
    first = torch.arange(d_model // 2)
    generator[first, first + d_model // 2] = k * base ** (-2 * first.double() / d_model)
    return torch.linalg.matrix_exp(generator - generator.T).float()


# %% [markdown] name="rotary" question={"points": 5, "difficulty": 3, "minutes": 25, "section": "4.4"}
# ## 3. Rotary scores
#
# Write the scaled attention scores of one head with rotary positions. Turn each query by the angles of its place and
# each key by the angles of its place; then take dot products and divide by $\sqrt D$. The pairs are (entry $i$,
# entry $i + D/2$), as in LLaMA, and pair $i$ turns by $\theta_i = p\cdot\mathrm{base}^{-2i/D}$:
#
# $$x'_i = x_i\cos\theta_i - x_{i+D/2}\sin\theta_i,\qquad x'_{i+D/2} = x_{i+D/2}\cos\theta_i + x_i\sin\theta_i$$
#
# | | shape | |
# | --- | --- | --- |
# | `query`, `key` | (T, D), (S, D) | D is even |
# | `query_places`, `key_places` | (T,), (S,) float | where they stand |
# | `base` | float | |
# | returns | (T, S), in the dtype of `query` | scores, before any softmax |
#
# `lmlib.positions` is not allowed here.
#
# **What usually goes wrong:** one of the two is not turned, or turned the other way; neighbours are paired.


# %% name="rotary-answer"
def rotary_scores(query: Tensor, key: Tensor, query_places: Tensor, key_places: Tensor, base: float) -> Tensor:
    """Scaled scores (T, S) of queries and keys that are turned by their places."""
    ### BEGIN SOLUTION
    width = query.size(-1)
    rates = base ** (-torch.arange(0, width, 2) / width)  # (D/2,)

    def turn(x: Tensor, places: Tensor) -> Tensor:
        cos, sin = (places[:, None] * rates).cos(), (places[:, None] * rates).sin()  # (T, D/2)
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    return turn(query, query_places) @ turn(key, key_places).T / math.sqrt(width)
    ### END SOLUTION


# %% name="rotary-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_positions", "rotary", rotary_scores)

# %% [markdown] name="rotary-hint-1"
# Write a function that turns x (T, D) by its places (T,), and call it twice, for the queries and for the keys.

# %% [markdown] name="rotary-hint-2"
# `first, second = x.chunk(2, dim=-1)` gives all $x_i$ and all $x_{i+D/2}$. The angles are
# `places[:, None] * rates`, of shape (T, D/2), one for each pair.

# %% name="rotary-parts"
rotary = FunctionQuestion(
    "rotary_scores",
    returns=("scores",),
    atol=1e-4,
    because="angles up to about 100 carry an error of 1e-5 in float32, and a score sums up to 8 such products",
)


@rotary.case(points=1)
def place_zero(draw):
    """all at place 0: the scores of plain attention"""
    return {"query": draw.normal(3, 4), "key": draw.normal(5, 4), **at([0.0] * 3, [0.0] * 5)}


@rotary.case(points=2)
def a_sequence(draw):
    """a sequence of six, places 0 to 5"""
    return {"query": draw.normal(6, 8), "key": draw.normal(6, 8), **at(range(6), range(6))}


@rotary.case(points=1)
def moved(draw):
    """one query and one key, twice: at places 7 and 3, and 60 places further"""
    query, key = draw.normal(1, 6).repeat(2, 1), draw.normal(1, 6).repeat(2, 1)
    return {"query": query, "key": key, **at([7, 67], [3, 63])}


@rotary.case(points=1)
def a_cache(draw):
    """one new query at place 9 and ten keys at places 0 to 9, another base"""
    return {"query": draw.normal(1, 8), "key": draw.normal(10, 8), **at([9], range(10)), "base": 50.0}


def at(query_places, key_places):
    both = {"query_places": query_places, "key_places": key_places}
    return {**{name: torch.tensor([float(p) for p in places]) for name, places in both.items()}, "base": 10_000.0}


@rotary.invariant
def only_the_distance_counts(got, inputs):
    """the same query and key at the same distance must have the same score, wherever they stand"""
    same = len(inputs["query"]) == 2 and torch.equal(inputs["query"][0], inputs["query"][1])
    return not same or torch.allclose(got[0, 0], got[1, 1], atol=1e-3)


# %% name="rotary-mistake-query-only"
# %%mistake rotary
# Only the queries are turned. The score then depends on the query's place, and the key's place has no effect at all.
def rotary_scores(query, key, query_places, key_places, base):
    width = query.size(-1)
    rates = base ** (-torch.arange(0, width, 2) / width)

    def turn(x, places):
        cos, sin = (places[:, None] * rates).cos(), (places[:, None] * rates).sin()
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    return turn(query, query_places) @ key.T / math.sqrt(width)


# %% name="rotary-mistake-opposite"
# %%mistake rotary
# Queries and keys are turned in opposite directions, so the score depends on the sum of the places. Turn both the same
# way: the dot product takes the difference by itself.
def rotary_scores(query, key, query_places, key_places, base):
    width = query.size(-1)
    rates = base ** (-torch.arange(0, width, 2) / width)

    def turn(x, places):
        cos, sin = (places[:, None] * rates).cos(), (places[:, None] * rates).sin()
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    return turn(query, query_places) @ turn(key, -key_places).T / math.sqrt(width)


# %% name="rotary-mistake-neighbours"
# %%mistake rotary
# Neighbouring entries are paired. That is the form of the paper, and it works as well, but weights trained for
# one form give nonsense in the other. Here entry i belongs to entry i + D/2.
def rotary_scores(query, key, query_places, key_places, base):
    width = query.size(-1)
    rates = base ** (-torch.arange(0, width, 2) / width)

    def turn(x, places):
        cos, sin = (places[:, None] * rates).cos(), (places[:, None] * rates).sin()
        first, second = x[:, 0::2], x[:, 1::2]
        return torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1).flatten(-2)

    return turn(query, query_places) @ turn(key, key_places).T / math.sqrt(width)


# %% name="rotary-mistake-no-scale"
# %%mistake rotary
# The scores are not divided by √D. Turning changes no length, so they are as large as without positions, and need the
# same scale.
def rotary_scores(query, key, query_places, key_places, base):
    width = query.size(-1)
    rates = base ** (-torch.arange(0, width, 2) / width)

    def turn(x, places):
        cos, sin = (places[:, None] * rates).cos(), (places[:, None] * rates).sin()
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    return turn(query, query_places) @ turn(key, key_places).T


# %% name="rotary-mistake-added"
# %%mistake rotary
# Here sinusoids are added to queries and keys. Rotary positions add nothing: they turn the pairs, so that every
# length stays.
def rotary_scores(query, key, query_places, key_places, base):
    width = query.size(-1)
    rates = base ** (-torch.arange(0, width, 2) / width)

    def add(x, places):
        angles = places[:, None] * rates
        return x + torch.cat([angles.sin(), angles.cos()], dim=-1)

    return add(query, query_places) @ add(key, key_places).T / math.sqrt(width)


# %% name="rotary-mistake-no-minus"
# %%mistake rotary
# Both parts add the sine. Then lengths change and it is no rotation: one of the two needs a minus.
def rotary_scores(query, key, query_places, key_places, base):
    width = query.size(-1)
    rates = base ** (-torch.arange(0, width, 2) / width)

    def turn(x, places):
        cos, sin = (places[:, None] * rates).cos(), (places[:, None] * rates).sin()
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos + second * sin, second * cos + first * sin], dim=-1)

    return turn(query, query_places) @ turn(key, key_places).T / math.sqrt(width)


# %% name="rotary-mistake-opposite-distance"
# %%mistake rotary
# The score is right for the opposite distance. Either the minus stands in the wrong line, or sine and cosine have
# changed places, or the two lists of places. The first part is x_i cos − x_{i+D/2} sin.
def rotary_scores(query, key, query_places, key_places, base):
    width = query.size(-1)
    rates = base ** (-torch.arange(0, width, 2) / width)

    def turn(x, places):
        cos, sin = (places[:, None] * rates).cos(), (places[:, None] * rates).sin()
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos + second * sin, second * cos - first * sin], dim=-1)

    return turn(query, query_places) @ turn(key, key_places).T / math.sqrt(width)


# %% name="rotary-mistake-key-only"
# %%mistake rotary
# Only the keys are turned. The score then depends on the key's place, and the query's place has no effect at all.
def rotary_scores(query, key, query_places, key_places, base):
    width = query.size(-1)
    rates = base ** (-torch.arange(0, width, 2) / width)

    def turn(x, places):
        cos, sin = (places[:, None] * rates).cos(), (places[:, None] * rates).sin()
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    return query @ turn(key, key_places).T / math.sqrt(width)


# %% name="rotary-mistake-half-exponent"
# %%mistake rotary
# The exponent is i/D where it must be 2i/D: the rates fall only half of the way.
def rotary_scores(query, key, query_places, key_places, base):
    width = query.size(-1)
    rates = base ** (-torch.arange(width // 2) / width)

    def turn(x, places):
        cos, sin = (places[:, None] * rates).cos(), (places[:, None] * rates).sin()
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    return turn(query, query_places) @ turn(key, key_places).T / math.sqrt(width)


# %% name="rotary-mistake-turned-already"
# %%mistake rotary
# The second half is computed from a first half that has been turned already. Keep the old one: compute both, then put
# them together.
def rotary_scores(query, key, query_places, key_places, base):
    width = query.size(-1)
    rates = base ** (-torch.arange(0, width, 2) / width)

    def turn(x, places):
        cos, sin = (places[:, None] * rates).cos(), (places[:, None] * rates).sin()
        first, second = x.chunk(2, dim=-1)
        first = first * cos - second * sin
        return torch.cat([first, second * cos + first * sin], dim=-1)

    return turn(query, query_places) @ turn(key, key_places).T / math.sqrt(width)


# %% name="rotary-other-complex"
# %%other rotary
# A pair as a complex number: turning is a product with a number of length 1.
def rotary_scores(query, key, query_places, key_places, base):
    width = query.shape[1]
    rates = torch.tensor([base ** (-2 * i / width) for i in range(width // 2)], dtype=query.dtype)

    def turn(x, places):
        angles = torch.outer(places, rates)
        return torch.complex(x[:, : width // 2], x[:, width // 2 :]) * torch.polar(torch.ones_like(angles), angles)

    q, k = turn(query, query_places), turn(key, key_places)
    return (q @ k.conj().T).real / width**0.5


# %% name="rotary-other-distance"
# %%other rotary
# Nothing is turned by its own place: each pair of query and key by the difference of their places.
def rotary_scores(query, key, query_places, key_places, base):
    half = query.size(1) // 2
    rates = base ** (-torch.arange(half) / half)
    angles = (query_places[:, None] - key_places)[..., None] * rates  # (T, S, D/2)
    a, b, c, d = query[:, None, :half], query[:, None, half:], key[None, :, :half], key[None, :, half:]
    return ((a * c + b * d) * angles.cos() + (a * d - b * c) * angles.sin()).sum(-1) / math.sqrt(2 * half)


# %% name="rotary-equivalent-axes"
# %%equivalent rotary
# The last axis of two is axis 1.
width = query.size(1)
first, second = x.chunk(2, dim=1)
return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=1)

# %% name="rotary-equivalent-signs"
# %%equivalent rotary
# Queries and keys go through the same function, and two minus signs cancel in their product.
return -torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
return torch.cat([second * sin - first * cos, second * cos + first * sin], dim=-1)

# %% [markdown] name="reading" question={"points": 3, "difficulty": 2, "minutes": 10, "section": "4.4"}
# ## 4. Reading the clock
#
# **Two numbers.** Take the Transformer's sinusoids with C = 4 and base 10000. After how many places has the
# *slower* of the two hands made one full turn? Give `period` to three digits or more. And with C = 128: what is
# the dot `product` of the vector of place 17 with itself?
#
# **What happens?** A causal model with a *learned* position table of 512 rows was trained on texts of 128 words
# only. It now reads place 300. Set `beyond` to the letter of the right sentence.
#
# - **a** It works as well as at place 100, because a table generalises to rows between those it has seen.
# - **b** It raises an error, because it has never seen this place.
# - **c** It adds a vector that training has never touched, and the answer is close to a guess if it depends on
#   the place.
# - **d** It adds zeros, so the word is read as if it had no position.

# %% name="reading-answer"
period = None  # a number of places
product = None  # a number
beyond = ""  # the letter
### BEGIN SOLUTION
period = 2 * math.pi * 100  # the rate is 10000^(-2/4) = 1/100 radian a place
product = 64  # C/2 pairs, each sin² + cos² = 1
beyond = "c"
### END SOLUTION

# %% name="reading-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_positions", "reading", period=period, product=product, beyond=beyond)

# %% [markdown] name="reading-hint-1"
# C = 4 has two hands. What is $2i/C$ for the second? And a full turn is $2\pi$ radians.

# %% [markdown] name="reading-hint-2"
# Each pair contributes $\sin^2 + \cos^2$. How many pairs are there?

# %% [markdown] name="reading-hint-3"
# How many rows has the table, and which of them got a gradient in training? What stood in the others at the start?

# %% name="reading-parts"
reading = ValueQuestion()
reading.number("period", points=1, title="the period of the slower hand")
reading.number("product", points=1, title="the product of a place with itself")
reading.choice("beyond", "abcd", points=1, title="beyond the trained length")

# %% name="reading-mistake-no-two-pi"
# %%mistake reading
# 100 is one over the rate: after so many places the hand has turned by 1 radian. A full turn has 2π of them.
period = 100

# %% name="reading-mistake-base"
# %%mistake reading
# That is 2π times the base, the limit that the slowest hand comes near in a wide table. With C = 4 its exponent is 2/4.
period = 2 * math.pi * 10_000

# %% name="reading-mistake-bare-base"
# %%mistake reading
# That is the base itself. The rate of the slower hand is a power of it, and a full turn has 2π radians.
period = 10_000

# %% name="reading-mistake-half-turn"
# %%mistake reading
# That is half a turn, π radians. A full turn has 2π.
period = math.pi * 100

# %% name="reading-mistake-exponent"
# %%mistake reading
# This takes the exponent 1/4. The second hand has i = 1, and the exponent is 2i/C = 2/4.
period = 2 * math.pi * 10

# %% name="reading-mistake-fast-hand"
# %%mistake reading
# That is a turn of the fast hand, whose rate is 1.
period = 2 * math.pi

# %% name="reading-mistake-all-entries"
# %%mistake reading
# Not each entry gives 1 but each *pair*: sin² + cos² = 1.
product = 128

# %% name="reading-mistake-length"
# %%mistake reading
# 8 is the length of the vector. The product with itself is the square of the length.
product = 8

# %% name="reading-mistake-unit"
# %%mistake reading
# One pair gives 1. There are C/2 of them, and their products add up.
product = 1

# %% name="reading-mistake-place-squared"
# %%mistake reading
# That is 17 · 17, the product of the bare numbers. The place is a vector of sines and cosines.
product = 17 * 17

# %% name="reading-mistake-generalises"
# %%mistake reading
# The rows of a table have nothing to do with each other. Row 300 gets a gradient only when place 300 occurs in
# training.
beyond = "a"

# %% name="reading-mistake-error"
# %%mistake reading
# An error comes only from place 512 on. Rows 128 to 511 exist; they hold what they were drawn with.
beyond = "b"

# %% name="reading-mistake-zeros"
# %%mistake reading
# An untrained row is not zero: a table begins with random numbers, and what has no gradient stays as it was.
beyond = "d"

# %% name="reading-other-in-digits"
# %%other reading
# The numbers in digits.
period = 628.32
product = 64.0
beyond = "(C)"

# %% name="reading-other-worked-out"
# %%other reading
# The numbers by torch.
period = 2 * torch.pi / torch.tensor(10_000.0) ** -0.5
product = sum(
    math.sin(17 * 10_000 ** (-i / 128)) ** 2 + math.cos(17 * 10_000 ** (-i / 128)) ** 2 for i in range(0, 128, 2)
)
beyond = "c."

# %% [markdown] name="end"
# ## Done?
#
# `hint("04_positions", "distances", 1)` gives a first hint; each question has two or three. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
