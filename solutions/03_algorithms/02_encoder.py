# %% [markdown] name="title"
# # 3.2 编码器 · The encoder — exercises
#
# 本节的练习从词元编号走到一层编码器的输出：先写输入嵌入与位置编码，再写残差连接与层归一化，然后拼成完整的一层，
# 既有 post-norm 也有 pre-norm，并正确处理填充。最后用几个数字和选择题检查是否真正理解。
#
# You write one encoder layer, piece by piece, in plain torch. Section 3.2 has all that you need. Where a question
# asks you to write something, write it: a call of `nn.TransformerEncoderLayer` or of `lmlib.transformer` is not an
# answer.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 02_encoder

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="embed" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "3.2"}
# ## 1. From ids to vectors
#
# Write what stands at the bottom of the encoder: look up each token's row, multiply it by $\sqrt{d_{model}}$, and add
# the sinusoidal vector of its place. Places count from 0:
#
# $$P_{t,2i} = \sin\!\left(t / 10000^{2i/C}\right),\qquad P_{t,2i+1} = \cos\!\left(t / 10000^{2i/C}\right)$$
#
# | | shape | |
# | --- | --- | --- |
# | `ids` | (B, T) int64 | token ids, 0 to V − 1 |
# | `table` | (V, C) | the embedding table; C is even |
# | returns `x` | (B, T, C) | the input of the first layer |
#
# **What usually goes wrong:** the factor is on the sum and not on the row; sines and cosines stand in two halves and
# not side by side; the exponent is i/C where it should be 2i/C.


# %% name="embed-answer"
def embed(ids: Tensor, table: Tensor) -> Tensor:
    """Scaled rows of the table plus sinusoidal positions: (B, T) -> (B, T, C)."""
    ### BEGIN SOLUTION
    length, width = ids.size(1), table.size(1)
    rates = 10000.0 ** (-torch.arange(0, width, 2) / width)  # (C/2,)
    angles = torch.arange(length)[:, None] * rates  # (T, C/2)
    places = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)  # (T, C)
    return table[ids] * math.sqrt(width) + places
    ### END SOLUTION


# %% name="embed-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_encoder", "embed", embed)

# %% [markdown] name="embed-hint-1"
# `table[ids]` has the shape (B, T, C) already. The positions are the same for every sentence: build one (T, C) table,
# and let broadcasting add it.

# %% [markdown] name="embed-hint-2"
# The exponents 2i/C for i = 0, 1, 2 ... are `torch.arange(0, C, 2) / C`. One column of places times one row of rates
# gives all angles.

# %% [markdown] name="embed-hint-3"
# Stack sine and cosine along a *new last* axis, (T, C/2, 2), and flatten: then each sine stands beside its cosine.

# %% name="embed-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

embed = FunctionQuestion(
    "embed",
    returns=("x",),
    atol=1e-4,
    because="angles of up to 60 radians in float32 are exact to some 4e-6, and so are their sines",
)


@embed.case(points=1)
def by_hand(draw):
    """one sentence of two tokens, C = 4, a table that can be read"""
    return {"ids": torch.tensor([[2, 0]]), "table": torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 2.0]])}


@embed.case(points=2)
def batch(draw):
    """a batch of three sentences, C = 12"""
    return {"ids": draw.order(15).view(3, 5), "table": draw.normal(20, 12)}


@embed.case(points=1)
def long_sentence(draw):
    """a sentence of 60 tokens, C = 16: fast and slow waves"""
    return {"ids": draw.order(60).view(1, 60), "table": draw.normal(60, 16)}


# %% name="embed-mistake-no-factor"
# %%mistake embed
# The rows are not multiplied by √d_model. Rows that start with a length of about 1 are then drowned by positions of
# length √(C/2).
def embed(ids, table):
    length, width = ids.size(1), table.size(1)
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, width, 2) / width)
    return table[ids] + torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


# %% name="embed-mistake-factor-on-the-sum"
# %%mistake embed
# The factor √d_model multiplies the sum, positions included. It belongs on the token's row alone; the sum with the
# positions comes after.
def embed(ids, table):
    length, width = ids.size(1), table.size(1)
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, width, 2) / width)
    return (table[ids] + torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)) * math.sqrt(width)


# %% name="embed-mistake-divided"
# %%mistake embed
# The rows are divided by √d_model. That is what the scores of attention need; here the rows are to be made longer.
def embed(ids, table):
    length, width = ids.size(1), table.size(1)
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, width, 2) / width)
    return table[ids] / math.sqrt(width) + torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


# %% name="embed-mistake-halves"
# %%mistake embed
# All sines stand in the first half and all cosines in the second. Here sine and cosine of one frequency are
# neighbours: columns 2i and 2i + 1.
def embed(ids, table):
    length, width = ids.size(1), table.size(1)
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, width, 2) / width)
    return table[ids] * math.sqrt(width) + torch.cat([angles.sin(), angles.cos()], dim=-1)


# %% name="embed-mistake-half-exponent"
# %%mistake embed
# The exponent is i/C, half of what it should be: the slowest wave is then much too fast. The formula has 2i/C.
def embed(ids, table):
    length, width = ids.size(1), table.size(1)
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(width // 2) / width)
    return table[ids] * math.sqrt(width) + torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


# %% name="embed-mistake-from-one"
# %%mistake embed
# Places are counted from 1. The first token stands at place 0: its sines are 0 and its cosines 1.
def embed(ids, table):
    length, width = ids.size(1), table.size(1)
    angles = torch.arange(1, length + 1)[:, None] * 10000.0 ** (-torch.arange(0, width, 2) / width)
    return table[ids] * math.sqrt(width) + torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


# %% name="embed-mistake-exponent-of-the-column"
# %%mistake embed
# The cosine has another frequency than the sine beside it. Columns 2i and 2i + 1 are a pair: both have the exponent
# 2i/C.
def embed(ids, table):
    length, width = ids.size(1), table.size(1)
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(width) / width)  # (T, C)
    places = torch.where(torch.arange(width) % 2 == 0, angles.sin(), angles.cos())
    return table[ids] * math.sqrt(width) + places


# %% name="embed-mistake-position-of-the-id"
# %%mistake embed
# The positions are looked up by the token's id. A position is the place in the sentence, whatever word stands there.
def embed(ids, table):
    width = table.size(1)
    angles = ids[..., None] * 10000.0 ** (-torch.arange(0, width, 2) / width)  # (B, T, C/2)
    return table[ids] * math.sqrt(width) + torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(2)


# %% name="embed-mistake-factor-on-the-positions"
# %%mistake embed
# The factor √d_model multiplies the positions. It belongs on the token's row.
def embed(ids, table):
    length, width = ids.size(1), table.size(1)
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, width, 2) / width)
    return table[ids] + torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1) * math.sqrt(width)


# %% name="embed-mistake-cosine-first"
# %%mistake embed
# The cosines stand in the even columns. Columns count from 0: the sine has column 2i, the cosine column 2i + 1.
def embed(ids, table):
    length, width = ids.size(1), table.size(1)
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, width, 2) / width)
    return table[ids] * math.sqrt(width) + torch.stack([angles.cos(), angles.sin()], dim=-1).flatten(1)


# %% name="embed-other-columns"
# %%other embed
# Every second column at a time, and the look-up as a one-hot product.
def embed(ids, table):
    width = table.size(1)
    x = F.one_hot(ids, table.size(0)).to(table.dtype) @ table * width**0.5
    t = torch.arange(ids.size(1), dtype=table.dtype)[:, None]
    rates = torch.exp(-math.log(10000.0) * torch.arange(0, width, 2) / width)
    x[..., 0::2] += torch.sin(t * rates)
    x[..., 1::2] += torch.cos(t * rates)
    return x


# %% name="embed-other-loops"
# %%other embed
# The formula number by number.
def embed(ids, table):
    width = table.size(1)
    rows = []
    for t in range(ids.size(1)):
        angles = [t / 10000 ** (2 * (c // 2) / width) for c in range(width)]
        rows.append([math.cos(a) if c % 2 else math.sin(a) for c, a in enumerate(angles)])
    return F.embedding(ids, table) * math.sqrt(width) + torch.tensor(rows)


# %% [markdown] name="norm" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "3.2"}
# ## 2. Add and normalise
#
# Around every sublayer stands the same step: add its output `h` to its input `x`, and normalise the sum.
#
# $$y = g \odot \frac{z - \mu}{\sqrt{\sigma^2 + \varepsilon}} + b,\qquad z = x + h$$
#
# | | shape | |
# | --- | --- | --- |
# | `x`, `h` | (B, T, C) | the sublayer's input and output |
# | `gain`, `shift` | (C) | $g$ and $b$ |
# | `eps` | float | $\varepsilon$ |
# | returns `y` | (B, T, C) | |
#
# $\mu$ and $\sigma^2$ are taken over the C numbers of one vector. Write mean and variance yourself: `F.layer_norm` is
# what you are writing. (The check compares numbers only. This rule is for your own good.)
#
# **What usually goes wrong:** the variance divides by C − 1; ε stands outside the root; the statistics run over the
# sentence.


# %% name="norm-answer"
def add_and_norm(x: Tensor, h: Tensor, gain: Tensor, shift: Tensor, eps: float) -> Tensor:
    """The residual connection and the layer norm after it: (B, T, C) -> (B, T, C)."""
    ### BEGIN SOLUTION
    z = x + h
    centred = z - z.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)  # (B, T, 1)
    return gain * centred / torch.sqrt(variance + eps) + shift
    ### END SOLUTION


# %% name="norm-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_encoder", "norm", add_and_norm)

# %% [markdown] name="norm-hint-1"
# Keep the axis when you take the mean: `mean(-1, keepdim=True)` has the shape (B, T, 1), which can be subtracted from
# (B, T, C).

# %% [markdown] name="norm-hint-2"
# `Tensor.var` divides by C − 1 unless told otherwise: `unbiased=False`. Or take the mean of the squares of what is
# left after the mean has been taken off.

# %% name="norm-parts"
norm = FunctionQuestion(
    "add_and_norm",
    returns=("y",),
    atol=1e-4,
    because="float32, and a division by a small deviation, which makes rounding larger",
)


@norm.case(points=1)
def on_paper(draw):
    """one vector of four numbers, gain 1 and shift 0: do it on paper"""
    x, h = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), torch.tensor([[[0.0, 0.0, 0.0, 2.0]]])
    return {"x": x, "h": h, "gain": torch.ones(4), "shift": torch.zeros(4), "eps": 1e-5}


@norm.case(points=2)
def two_sentences(draw):
    """two sentences, with gain and shift"""
    x, h = 3 * draw.normal(2, 5, 8) + 1, draw.normal(2, 5, 8)
    return {"x": x, "h": h, "gain": draw.normal(8), "shift": draw.normal(8), "eps": 1e-5}


@norm.case(points=1)
def nearly_constant(draw):
    """vectors whose numbers hardly differ: here eps matters"""
    x, h = 0.1 * draw.normal(2, 3, 8), 0.1 * draw.normal(2, 3, 8)
    return {"x": x, "h": h, "gain": 1 + draw.normal(8), "shift": draw.normal(8), "eps": 0.05}


# %% name="norm-mistake-unbiased"
# %%mistake norm
# The variance divides by C − 1. Layer norm uses the mean of the squares, dividing by C: `unbiased=False`.
def add_and_norm(x, h, gain, shift, eps):
    z = x + h
    return gain * (z - z.mean(-1, keepdim=True)) / torch.sqrt(z.var(-1, keepdim=True) + eps) + shift


# %% name="norm-mistake-eps-outside"
# %%mistake norm
# ε is added to the standard deviation, outside the root. The formula has it inside: √(σ² + ε).
def add_and_norm(x, h, gain, shift, eps):
    z = x + h
    deviation = z.std(-1, keepdim=True, unbiased=False)
    return gain * (z - z.mean(-1, keepdim=True)) / (deviation + eps) + shift


# %% name="norm-mistake-no-residual"
# %%mistake norm
# Only the sublayer's output is normalised: the input is not added back. Then every layer must pass on all that is
# known, and the gradient has no free way down.
def add_and_norm(x, h, gain, shift, eps):
    variance = h.var(-1, keepdim=True, unbiased=False)
    return gain * (h - h.mean(-1, keepdim=True)) / torch.sqrt(variance + eps) + shift


# %% name="norm-mistake-norm-then-add"
# %%mistake norm
# The output is normalised first and the input added after. The norm of 2017 is taken of the sum.
def add_and_norm(x, h, gain, shift, eps):
    variance = h.var(-1, keepdim=True, unbiased=False)
    return x + gain * (h - h.mean(-1, keepdim=True)) / torch.sqrt(variance + eps) + shift


# %% name="norm-mistake-over-the-sentence"
# %%mistake norm
# Mean and variance run over another axis (the positions of the sentence, or the sentences of the batch), so that
# vectors change each other. They belong to one vector: take them over the last axis.
def add_and_norm(x, h, gain, shift, eps):
    z = x + h
    variance = z.var(1, keepdim=True, unbiased=False)
    return gain * (z - z.mean(1, keepdim=True)) / torch.sqrt(variance + eps) + shift


# %% name="norm-mistake-no-mean"
# %%mistake norm
# The mean is not taken off. Dividing by the root of the mean square alone is RMSNorm, which LLaMA has; layer norm
# centres first.
def add_and_norm(x, h, gain, shift, eps):
    z = x + h
    return gain * z / torch.sqrt(z.square().mean(-1, keepdim=True) + eps) + shift


# %% name="norm-mistake-no-root"
# %%mistake norm
# There is no root: the vector is divided by the variance. Divide by the standard deviation, √(σ² + ε).
def add_and_norm(x, h, gain, shift, eps):
    z = x + h
    return gain * (z - z.mean(-1, keepdim=True)) / (z.var(-1, keepdim=True, unbiased=False) + eps) + shift


# %% name="norm-mistake-whole-sentence"
# %%mistake norm
# Mean and variance are taken over all numbers of a sentence, so that its words change each other. They belong to one
# vector: take them over the last axis alone.
def add_and_norm(x, h, gain, shift, eps):
    z = x + h
    variance = z.var((1, 2), keepdim=True, unbiased=False)
    return gain * (z - z.mean((1, 2), keepdim=True)) / torch.sqrt(variance + eps) + shift


# %% name="norm-mistake-without-h"
# %%mistake norm
# Only the input x is normalised: the sublayer's output h is not added, and the sublayer has no effect.
def add_and_norm(x, h, gain, shift, eps):
    variance = x.var(-1, keepdim=True, unbiased=False)
    return gain * (x - x.mean(-1, keepdim=True)) / torch.sqrt(variance + eps) + shift


# %% name="norm-other-moments"
# %%other norm
# The variance as mean of squares less square of mean, in float64.
def add_and_norm(x, h, gain, shift, eps):
    z = (x + h).double()
    mean, square = z.mean(2, keepdim=True), (z * z).mean(2, keepdim=True)
    return (gain * (z - mean) * (square - mean**2 + eps).rsqrt() + shift).to(x.dtype)


# %% name="norm-other-loop"
# %%other norm
# One vector after the other.
def add_and_norm(x, h, gain, shift, eps):
    y = torch.empty_like(x)
    for b in range(x.size(0)):
        for t in range(x.size(1)):
            z = x[b, t] + h[b, t]
            variance, mean = torch.var_mean(z, correction=0)
            y[b, t] = (z - mean) / (variance + eps) ** 0.5 * gain + shift
    return y


# %% [markdown] name="layer" question={"points": 5, "difficulty": 4, "minutes": 35, "section": "3.2"}
# ## 3. A whole encoder layer
#
# Self-attention and feed-forward, each with its residual connection and norm. To keep it short there are no biases,
# and the norms have no gain and shift: use `normalised` from the next cell. Attention may be
# `F.scaled_dot_product_attention`, with H heads of D = C/H numbers: head i has the columns iD to (i+1)D of `w_query`,
# `w_key` and `w_value`. Scores are divided by √D, and masked before the softmax.
#
# | | shape | |
# | --- | --- | --- |
# | `x` | (B, T, C) | |
# | `real` | (B, T) bool | True for a token, False for padding: no query attends to padding |
# | `w_query`, `w_key`, `w_value`, `w_output` | (C, C) | used as `x @ w` |
# | `w_inner`, `w_outer` | (C, F), (F, C) | the feed-forward layer, a ReLU between them |
# | `n_heads` | int | H |
# | `norm_first` | bool | False: `normalised(x + f(x))`, as in 2017. True: `x + f(normalised(x))`. For both sublayers |
# | returns `y` | (B, T, C) | |
#
# Padded positions are computed like all others (no zeros there); the check compares them too. Every sentence has at
# least one token.
#
# **What usually goes wrong:** the second sublayer works on the layer's input and not on what the first one made of
# it; the mask hides queries and not keys; with `norm_first` the residual carries the normalised vector.


# %% name="layer-given"
def normalised(z: Tensor) -> Tensor:
    """Each vector with mean 0 and variance 1."""
    return F.layer_norm(z, z.shape[-1:])


# %% name="layer-answer"
def encoder_layer(
    x: Tensor,
    real: Tensor,
    w_query: Tensor,
    w_key: Tensor,
    w_value: Tensor,
    w_output: Tensor,
    w_inner: Tensor,
    w_outer: Tensor,
    n_heads: int,
    norm_first: bool,
) -> Tensor:
    """One encoder layer: (B, T, C) -> (B, T, C)."""

    ### BEGIN SOLUTION
    def attend(z):
        query, key, value = ((z @ w).unflatten(-1, (n_heads, -1)).transpose(1, 2) for w in (w_query, w_key, w_value))
        heads = F.scaled_dot_product_attention(query, key, value, real[:, None, None])
        return heads.transpose(1, 2).flatten(2) @ w_output

    def feed_forward(z):
        return F.relu(z @ w_inner) @ w_outer

    for sublayer in (attend, feed_forward):
        x = x + sublayer(normalised(x)) if norm_first else normalised(x + sublayer(x))
    return x
    ### END SOLUTION


# %% name="layer-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_encoder", "layer", encoder_layer)

# %% [markdown] name="layer-hint-1"
# Write two small functions first, `attend(z)` and `feed_forward(z)`, each from (B, T, C) to (B, T, C). Then the layer
# is two lines for either value of `norm_first`.

# %% [markdown] name="layer-hint-2"
# Heads: `unflatten(-1, (n_heads, -1))` makes (B, T, H, D), and `transpose(1, 2)` brings H forward. On the way back
# `transpose(1, 2)`, then `flatten(2)`, then `@ w_output`.

# %% [markdown] name="layer-hint-3"
# The mask of `F.scaled_dot_product_attention` is True where a query may look. It must broadcast to (B, H, T, S), and
# padding is about keys, the last axis: `real[:, None, None, :]`.

# %% name="layer-parts"
layer = FunctionQuestion(
    "encoder_layer",
    returns=("y",),
    atol=1e-4,
    because="two sublayers in float32; sums of up to 24 products of values of about 1, then a division by a deviation",
)


def sentences(draw, real, norm_first):
    mask = torch.tensor(real, dtype=torch.bool)
    size = {"w_query": (12, 12), "w_key": (12, 12), "w_value": (12, 12), "w_output": (12, 12)}
    size |= {"w_inner": (12, 24), "w_outer": (24, 12)}
    weights = {name: draw.normal(*shape) / shape[0] ** 0.5 for name, shape in size.items()}
    return {"x": draw.normal(*mask.shape, 12), "real": mask, **weights, "n_heads": 3, "norm_first": norm_first}


@layer.case(points=1)
def post_norm(draw):
    """post-norm, no padding"""
    return sentences(draw, [[1] * 5, [1] * 5], norm_first=False)


@layer.case(points=1)
def pre_norm(draw):
    """pre-norm, no padding"""
    return sentences(draw, [[1] * 4, [1] * 4], norm_first=True)


@layer.case(points=2)
def padded(draw):
    """post-norm, the second sentence is padded"""
    return sentences(draw, [[1] * 5, [1, 1, 0, 0, 0]], norm_first=False)


@layer.case(points=1)
def pre_norm_padded(draw):
    """pre-norm, the second sentence is padded"""
    return sentences(draw, [[1] * 4, [1, 1, 1, 0]], norm_first=True)


@layer.invariant
def post_norm_is_normalised(got, inputs):
    """after a post-norm layer every vector must have mean 0"""
    return inputs["norm_first"] or bool(got.mean(-1).abs().max() < 1e-4)


# %% name="layer-mistake-parallel"
# %%mistake layer
# The feed-forward layer reads the layer's input x. It must read what the first sublayer made of it; otherwise it
# never sees what attention fetched.
def encoder_layer(x, real, w_query, w_key, w_value, w_output, w_inner, w_outer, n_heads, norm_first):
    z = normalised(x) if norm_first else x
    query, key, value = ((z @ w).unflatten(-1, (n_heads, -1)).transpose(1, 2) for w in (w_query, w_key, w_value))
    h = F.scaled_dot_product_attention(query, key, value, real[:, None, None]).transpose(1, 2).flatten(2) @ w_output
    g = F.relu(z @ w_inner) @ w_outer
    return x + h + g if norm_first else normalised(normalised(x + h) + g)


# %% name="layer-mistake-no-mask"
# %%mistake layer
# Padding is attended to: the mask is not used. A padded sentence then differs from the same sentence alone.
def encoder_layer(x, real, w_query, w_key, w_value, w_output, w_inner, w_outer, n_heads, norm_first):
    z = normalised(x) if norm_first else x
    query, key, value = ((z @ w).unflatten(-1, (n_heads, -1)).transpose(1, 2) for w in (w_query, w_key, w_value))
    h = x + F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2) @ w_output
    if norm_first:
        return h + F.relu(normalised(h) @ w_inner) @ w_outer
    h = normalised(h)
    return normalised(h + F.relu(h @ w_inner) @ w_outer)


# %% name="layer-mistake-causal"
# %%mistake layer
# A causal mask hides the words to the right. An encoder reads the whole sentence: each word may look both ways, and
# only padding is hidden.
def encoder_layer(x, real, w_query, w_key, w_value, w_output, w_inner, w_outer, n_heads, norm_first):
    z = normalised(x) if norm_first else x
    query, key, value = ((z @ w).unflatten(-1, (n_heads, -1)).transpose(1, 2) for w in (w_query, w_key, w_value))
    mask = real[:, None, None] & torch.ones(x.size(1), x.size(1), dtype=torch.bool).tril()
    h = x + F.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2).flatten(2) @ w_output
    if norm_first:
        return h + F.relu(normalised(h) @ w_inner) @ w_outer
    h = normalised(h)
    return normalised(h + F.relu(h @ w_inner) @ w_outer)


# %% name="layer-mistake-residual-of-the-norm"
# %%mistake layer
# With `norm_first`, the normalised vector is added back. The residual carries x itself, untouched; only the sublayer
# sees the normalised one.
def encoder_layer(x, real, w_query, w_key, w_value, w_output, w_inner, w_outer, n_heads, norm_first):
    def attend(z):
        query, key, value = ((z @ w).unflatten(-1, (n_heads, -1)).transpose(1, 2) for w in (w_query, w_key, w_value))
        return (
            F.scaled_dot_product_attention(query, key, value, real[:, None, None]).transpose(1, 2).flatten(2) @ w_output
        )

    for f in (attend, lambda z: F.relu(z @ w_inner) @ w_outer):
        z = normalised(x)
        x = z + f(z) if norm_first else normalised(x + f(x))
    return x


# %% name="layer-mistake-one-norm"
# %%mistake layer
# The sum after attention is not normalised; there is one norm, at the end. Each sublayer has its own.
def encoder_layer(x, real, w_query, w_key, w_value, w_output, w_inner, w_outer, n_heads, norm_first):
    z = normalised(x) if norm_first else x
    query, key, value = ((z @ w).unflatten(-1, (n_heads, -1)).transpose(1, 2) for w in (w_query, w_key, w_value))
    h = F.scaled_dot_product_attention(query, key, value, real[:, None, None]).transpose(1, 2).flatten(2) @ w_output
    x = x + h
    if norm_first:
        return x + F.relu(normalised(x) @ w_inner) @ w_outer
    return normalised(x + F.relu(x @ w_inner) @ w_outer)


# %% name="layer-mistake-no-relu"
# %%mistake layer
# There is no ReLU between the two matrices, so together they are no more than one matrix.
def encoder_layer(x, real, w_query, w_key, w_value, w_output, w_inner, w_outer, n_heads, norm_first):
    def attend(z):
        query, key, value = ((z @ w).unflatten(-1, (n_heads, -1)).transpose(1, 2) for w in (w_query, w_key, w_value))
        return (
            F.scaled_dot_product_attention(query, key, value, real[:, None, None]).transpose(1, 2).flatten(2) @ w_output
        )

    for f in (attend, lambda z: z @ w_inner @ w_outer):
        x = x + f(normalised(x)) if norm_first else normalised(x + f(x))
    return x


# %% name="layer-mistake-mask-on-queries"
# %%mistake layer
# The mask hides the queries of padding, and the keys of padding are seen. A mask of keys stands on the last axis:
# `real[:, None, None, :]`.
def encoder_layer(x, real, w_query, w_key, w_value, w_output, w_inner, w_outer, n_heads, norm_first):
    def attend(z):
        query, key, value = ((z @ w).unflatten(-1, (n_heads, -1)).transpose(1, 2) for w in (w_query, w_key, w_value))
        heads = F.scaled_dot_product_attention(query, key, value, real[:, None, :, None])
        return heads.transpose(1, 2).flatten(2) @ w_output

    for f in (attend, lambda z: F.relu(z @ w_inner) @ w_outer):
        x = x + f(normalised(x)) if norm_first else normalised(x + f(x))
    return x


# %% name="layer-mistake-mask-upside-down"
# %%mistake layer
# The mask is upside down. For `F.scaled_dot_product_attention` True is what may be seen; by hand, the scores of padding
# become minus infinity.
def encoder_layer(x, real, w_query, w_key, w_value, w_output, w_inner, w_outer, n_heads, norm_first):
    def attend(z):
        query, key, value = ((z @ w).unflatten(-1, (n_heads, -1)).transpose(1, 2) for w in (w_query, w_key, w_value))
        heads = F.scaled_dot_product_attention(query, key, value, ~real[:, None, None])
        return heads.transpose(1, 2).flatten(2) @ w_output

    for f in (attend, lambda z: F.relu(z @ w_inner) @ w_outer):
        x = x + f(normalised(x)) if norm_first else normalised(x + f(x))
    return x


# %% name="layer-mistake-heads-across-positions"
# %%mistake layer
# The heads are cut across positions: `view(B, H, T, D)` mixes the words of a sentence. First (B, T, H, D), then
# `transpose(1, 2)`.
def encoder_layer(x, real, w_query, w_key, w_value, w_output, w_inner, w_outer, n_heads, norm_first):
    def attend(z):
        (B, T, C), H = z.shape, n_heads
        query, key, value = ((z @ w).view(B, H, T, C // H) for w in (w_query, w_key, w_value))
        heads = F.scaled_dot_product_attention(query, key, value, real[:, None, None])
        return heads.transpose(1, 2).flatten(2) @ w_output

    for f in (attend, lambda z: F.relu(z @ w_inner) @ w_outer):
        x = x + f(normalised(x)) if norm_first else normalised(x + f(x))
    return x


# %% name="layer-mistake-norm-of-the-output"
# %%mistake layer
# With `norm_first`, the sublayer's output is normalised. The norm stands before the sublayer: `x + f(normalised(x))`.
def encoder_layer(x, real, w_query, w_key, w_value, w_output, w_inner, w_outer, n_heads, norm_first):
    def attend(z):
        query, key, value = ((z @ w).unflatten(-1, (n_heads, -1)).transpose(1, 2) for w in (w_query, w_key, w_value))
        heads = F.scaled_dot_product_attention(query, key, value, real[:, None, None])
        return heads.transpose(1, 2).flatten(2) @ w_output

    for f in (attend, lambda z: F.relu(z @ w_inner) @ w_outer):
        x = x + normalised(f(x)) if norm_first else normalised(x + f(x))
    return x


# %% name="layer-other-by-hand"
# %%other layer
# Attention by hand, one head at a time; scores of padding are minus infinity.
def encoder_layer(x, real, w_query, w_key, w_value, w_output, w_inner, w_outer, n_heads, norm_first):
    width = x.size(-1) // n_heads
    z = normalised(x) if norm_first else x
    fetched = torch.zeros_like(x)
    for start in range(0, x.size(-1), width):
        own = slice(start, start + width)
        scores = (z @ w_query[:, own]) @ (z @ w_key[:, own]).mT / math.sqrt(width)
        weights = scores.masked_fill(~real[:, None, :], -math.inf).softmax(-1)
        fetched += weights @ (z @ w_value[:, own]) @ w_output[own]
    x = x + fetched
    if not norm_first:
        x = normalised(x)
    z = normalised(x) if norm_first else x
    x = x + (z @ w_inner).clamp(min=0) @ w_outer
    return x if norm_first else normalised(x)


# %% name="layer-other-einsum"
# %%other layer
# Both wirings written out, the heads as a letter of einsum.
def encoder_layer(x, real, w_query, w_key, w_value, w_output, w_inner, w_outer, n_heads, norm_first):
    def attend(z):
        query, key, value = (
            torch.einsum("btc,chd->bhtd", z, w.view(12, n_heads, -1)) for w in (w_query, w_key, w_value)
        )
        scores = torch.einsum("bhtd,bhsd->bhts", query, key) / query.size(-1) ** 0.5
        scores = scores + torch.where(real, 0.0, -math.inf)[:, None, None, :]
        return torch.einsum("bhts,bhsd->bthd", scores.softmax(-1), value).flatten(2) @ w_output

    if norm_first:
        x = x + attend(normalised(x))
        return x + F.relu(normalised(x) @ w_inner) @ w_outer
    x = normalised(x + attend(x))
    return normalised(x + F.relu(x @ w_inner) @ w_outer)


# %% name="layer-equivalent-transposes"
# %%equivalent layer
# Two axes change places; which of them is named first makes no difference.
query, key, value = ((z @ w).unflatten(-1, (n_heads, -1)).transpose(2, 1) for w in (w_query, w_key, w_value))
return heads.transpose(2, 1).flatten(2) @ w_output

# %% [markdown] name="reasons" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "3.2"}
# ## 4. Numbers and reasons
#
# **a.** In the sentence *she sat on the bank of the river*, where in an encoder layer can the vector of *bank* learn
# that a *river* is near? Set `where` to the letter.
#
# - **a** In the feed-forward sublayer: it is the one that is not linear.
# - **b** In the layer norm: it compares the vector with the others.
# - **c** In the residual connection: it adds the words of the sentence together.
# - **d** In the self-attention sublayer: only it reads other positions.
#
# **b.** A layer has C = 4, H = 2 and F = 8, with biases in all six linear maps (W_Q, W_K, W_V, W_O, W_1, W_2) and
# two layer norms with gain and shift. How many `parameters` does it have?
#
# **c.** A batch of 3 sentences of 5 tokens goes through that layer. How many numbers are in its attention
# `weights`, all heads together?
#
# **d.** What is the `length` (the Euclidean norm) of the sinusoidal vector of place 37 when C = 128?

# %% name="reasons-answer"
where = ""  # the letter
parameters = None  # a whole number
weights = None  # a whole number
length = None  # a number
### BEGIN SOLUTION
where = "d"
parameters = 172  # 4·16 + 4·4 + 2·32 + 8 + 4 + 4·4
weights = 150  # 3 · 2 · 5 · 5
length = 8  # √(128 / 2)
### END SOLUTION

# %% name="reasons-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_encoder", "reasons", where=where, parameters=parameters, weights=weights, length=length)

# %% [markdown] name="reasons-hint-1"
# For the parameters, make a list: four (C, C) matrices and their biases, (C, F) and its bias, (F, C) and its bias,
# two gains and two shifts.

# %% [markdown] name="reasons-hint-2"
# Each head has one weight for each pair of a query and a key. And sin² + cos² = 1, for each of the C/2 pairs.

# %% name="reasons-parts"
reasons = ValueQuestion()
reasons.choice("where", "abcd", points=1, title="where words meet")
reasons.number("parameters", points=1, title="the number of parameters")
reasons.number("weights", points=1, title="the number of attention weights")
reasons.number("length", points=1, title="the length of a position vector")

# %% name="reasons-mistake-feed-forward"
# %%mistake reasons
# The feed-forward layer is not linear, but it works on each position alone: pushing *river* moves nothing at *bank*.
where = "a"

# %% name="reasons-mistake-norm"
# %%mistake reasons
# Layer norm takes mean and variance of the numbers in one vector. It never sees another word.
where = "b"

# %% name="reasons-mistake-residual"
# %%mistake reasons
# The residual connection adds a word's own vector to the sublayer's output for the same word.
where = "c"

# %% name="reasons-mistake-no-biases"
# %%mistake reasons
# These are the matrices alone. The biases (five of length C and one of length F) and the two norms are missing.
parameters = 128

# %% name="reasons-mistake-no-norms"
# %%mistake reasons
# 16 numbers are missing: those of the two norms (each has a gain and a shift of C numbers), or the four biases of
# attention.
parameters = 156

# %% name="reasons-mistake-matrices-for-each-head"
# %%mistake reasons
# The matrices of attention are counted once for each head. A head has only C/H columns of them: all heads together
# make one (C, C) matrix.
parameters = 236

# %% name="reasons-mistake-one-head"
# %%mistake reasons
# Those are the weights of one head. The other head has its own.
weights = 75

# %% name="reasons-mistake-one-sentence"
# %%mistake reasons
# Those are the weights of one sentence. There are three.
weights = 50

# %% name="reasons-mistake-length-squared"
# %%mistake reasons
# That is the square of the length: 64 pairs, each of which gives sin² + cos² = 1. Take the root.
length = 64

# %% name="reasons-mistake-number-of-components"
# %%mistake reasons
# That is the number of components. The length of a vector is the root of the sum of their squares.
length = 128

# %% name="reasons-mistake-root-of-width"
# %%mistake reasons
# √C would be right if each of the C numbers squared gave 1 on average. Here each *pair* gives 1.
length = 11.3

# %% name="reasons-other-worked-out"
# %%other reasons
# The numbers as they are worked out.
where = "D"
C, H, F, T = 4, 2, 8, 5
parameters = 4 * C * C + 2 * C * F + 9 * C + F
weights = 3 * H * T**2
length = math.sqrt(128 / 2)

# %% name="reasons-other-counted"
# %%other reasons
# The numbers counted by torch.
where = "(d)"
parameters = sum(p.numel() for p in torch.nn.TransformerEncoderLayer(4, 2, 8).parameters())
weights = torch.zeros(3, 2, 5, 5).numel()
length = torch.stack([torch.full((64,), 37.0).sin(), torch.full((64,), 37.0).cos()]).norm()

# %% [markdown] name="end"
# ## Done?
#
# `hint("02_encoder", "embed", 1)` gives a first hint; the other questions have hints too. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
