# %% [markdown] name="title"
# # 3.3 解码器 · The decoder — exercises
#
# 本节的练习先准备教师强制所需的右移输入，再写出带两种注意力的解码器层，然后写出带键值缓存的一步生成。
# 最后根据训练结果判断问题所在，并算出几个与缓存有关的数字。
#
# You write what is new in a decoder, in plain torch. Section 3.3 has all that you need. Where a question asks you to
# write something, write it: a call of `nn.TransformerDecoderLayer` or of `lmlib` is not an answer.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 03_decoder

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="forcing" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "3.3"}
# ## 1. Teacher forcing
#
# A batch of labels is given. Make the decoder's input of it, and compute the loss of its logits.
#
# | | shape | |
# | --- | --- | --- |
# | `labels` | (B, T) int64 | the words to be written, with an end token; −100 where a row is padded |
# | `logits` | (B, T, V) | what the decoder gave at each place |
# | `start`, `pad` | int | ids of the start token and of padding; `pad` may be the end token's id |
# | returns `inputs` | (B, T) int64 | the start token, then the labels moved one place to the right |
# | returns `loss` | () | the mean of −ln p(label) over all labels that count |
#
# In `inputs` there is no −100: where the label before is padding, put `pad`. The loss is the mean over *all tokens of
# the batch* that count, not the mean of the sentences' means. `F.cross_entropy` may be used.
#
# **What usually goes wrong:** the shift goes to the left; a −100 is left in the input; padding counts in the loss.


# %% name="forcing-answer"
def teacher_forcing(labels: Tensor, logits: Tensor, start: int, pad: int) -> tuple[Tensor, Tensor]:
    """The decoder's input (B, T) for these labels, and the loss of its logits, a scalar."""
    ### BEGIN SOLUTION
    first = torch.full((labels.size(0), 1), start)
    inputs = torch.cat([first, labels[:, :-1]], dim=1)
    inputs = inputs.masked_fill(inputs == -100, pad)
    counts = labels != -100
    losses = -torch.log_softmax(logits, dim=-1)[counts, labels[counts]]
    return inputs, losses.mean()
    ### END SOLUTION


# %% name="forcing-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_decoder", "forcing", teacher_forcing)

# %% [markdown] name="forcing-hint-1"
# Place t of the input is label t − 1. So the last label is never an input, and the first input is never a label.

# %% [markdown] name="forcing-hint-2"
# `counts = labels != -100` is a mask (B, T). `x[counts]` keeps only what is True, in one row: of (B, T) numbers, or
# of (B, T, V) vectors.

# %% [markdown] name="forcing-hint-3"
# −ln p is minus `torch.log_softmax(logits, dim=-1)` at the label. `F.cross_entropy` does it as well: it takes logits
# (no softmax before it) of shape (N, V), and labels (N).

# %% name="forcing-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

forcing = FunctionQuestion(
    "teacher_forcing",
    returns=("inputs", "loss"),
    atol=1e-5,
    because="a mean of at most 15 logarithms in float32; the inputs are whole numbers and must be equal",
)


@forcing.case(points=1)
def one_sentence(draw):
    """one sentence, no padding"""
    return {"labels": torch.tensor([[5, 7, 4, 2]]), "logits": draw.normal(1, 4, 9), "start": 1, "pad": 0}


@forcing.case(points=2)
def padded(draw):
    """three sentences of different lengths"""
    labels = torch.tensor([[5, 7, 2, -100, -100], [6, 3, 8, 4, 2], [4, 2, -100, -100, -100]])
    return {"labels": labels, "logits": 2 * draw.normal(3, 5, 9), "start": 1, "pad": 0}


@forcing.case(points=1)
def other_ids(draw):
    """another start id, `pad` is the end token's id, and one long sentence beside a short one"""
    labels = torch.tensor([[1, 8, 6, 5, 3, 4], [1, 4, -100, -100, -100, -100]])
    return {"labels": labels, "logits": 2 * draw.normal(2, 6, 9), "start": 7, "pad": 4}


@forcing.invariant
def nothing_ignored_is_read(got, inputs):
    """a −100 is left in the input: the embedding has no row for it"""
    return bool((got[0] >= 0).all())


@forcing.invariant
def starts_with_start(got, inputs):
    """every row of the input must begin with the start token, and the labels follow one place later"""
    return bool((got[0][:, 0] == inputs["start"]).all())


# %% name="forcing-mistake-left"
# %%mistake forcing
# The labels are moved to the left and the start token stands at the end. Then place t reads label t + 1, a word that
# it should not know yet.
def teacher_forcing(labels, logits, start, pad):
    inputs = torch.cat([labels[:, 1:], torch.full((labels.size(0), 1), start)], dim=1)
    inputs = inputs.masked_fill(inputs == -100, pad)
    return inputs, F.cross_entropy(logits.flatten(0, 1), labels.flatten())


# %% name="forcing-mistake-no-shift"
# %%mistake forcing
# The labels are not moved: only the first one is replaced by the start token. Every other place reads the very word
# that it is to predict.
def teacher_forcing(labels, logits, start, pad):
    inputs = labels.masked_fill(labels == -100, pad)
    inputs[:, 0] = start
    return inputs, F.cross_entropy(logits.flatten(0, 1), labels.flatten())


# %% name="forcing-mistake-ignored-in-input"
# %%mistake forcing
# A −100 is left in the input. It is a mark for the loss and no token id; put `pad` in its place.
def teacher_forcing(labels, logits, start, pad):
    inputs = torch.cat([torch.full((labels.size(0), 1), start), labels[:, :-1]], dim=1)
    return inputs, F.cross_entropy(logits.flatten(0, 1), labels.flatten())


# %% name="forcing-mistake-padding-counts"
# %%mistake forcing
# Padding counts in the loss, as if the model had to write it. Leave out the places where the label is −100.
def teacher_forcing(labels, logits, start, pad):
    inputs = torch.cat([torch.full((labels.size(0), 1), start), labels[:, :-1]], dim=1)
    inputs = inputs.masked_fill(inputs == -100, pad)
    return inputs, F.cross_entropy(logits.flatten(0, 1), labels.masked_fill(labels == -100, pad).flatten())


# %% name="forcing-mistake-mean-of-means"
# %%mistake forcing
# This is the mean of the sentences' means: a word of a short sentence weighs more than a word of a long one. Take the
# mean over all tokens that count.
def teacher_forcing(labels, logits, start, pad):
    inputs = torch.cat([torch.full((labels.size(0), 1), start), labels[:, :-1]], dim=1)
    inputs = inputs.masked_fill(inputs == -100, pad)
    return inputs, torch.stack([F.cross_entropy(z, y) for z, y in zip(logits, labels, strict=True)]).mean()


# %% name="forcing-mistake-loss-of-inputs"
# %%mistake forcing
# The loss compares the logits with the input. What the model has read is not what it is to predict: compare them with
# the labels.
def teacher_forcing(labels, logits, start, pad):
    inputs = torch.cat([torch.full((labels.size(0), 1), start), labels[:, :-1]], dim=1)
    counts = inputs != -100
    inputs = inputs.masked_fill(~counts, pad)
    return inputs, F.cross_entropy(logits[counts], inputs[counts])


# %% name="forcing-mistake-pad-not-counted"
# %%mistake forcing
# The loss leaves out every label that equals `pad`. Where padding and the end token have one number, the end is never
# learned: leave out −100 and nothing else.
def teacher_forcing(labels, logits, start, pad):
    inputs = torch.cat([torch.full((labels.size(0), 1), start), labels[:, :-1]], dim=1)
    inputs, labels = inputs.masked_fill(inputs == -100, pad), labels.masked_fill(labels == -100, pad)
    return inputs, F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=pad)


# %% name="forcing-mistake-divided-by-all"
# %%mistake forcing
# The sum is divided by the number of all places, padding included. Divide by the number of labels that count.
def teacher_forcing(labels, logits, start, pad):
    inputs = torch.cat([torch.full((labels.size(0), 1), start), labels[:, :-1]], dim=1)
    inputs = inputs.masked_fill(inputs == -100, pad)
    return inputs, F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").mean()


# %% name="forcing-mistake-moved-twice"
# %%mistake forcing
# The labels are moved a second time, for the loss. The input is moved already: the logits at place t belong to the
# label at place t.
def teacher_forcing(labels, logits, start, pad):
    inputs = torch.cat([torch.full((labels.size(0), 1), start), labels[:, :-1]], dim=1)
    inputs = inputs.masked_fill(inputs == -100, pad)
    return inputs, F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


# %% name="forcing-mistake-pad-one-place-early"
# %%mistake forcing
# `pad` is put where the label of the same place is padding. It belongs where the label *before* is: the end token is
# read once.
def teacher_forcing(labels, logits, start, pad):
    inputs = torch.cat([torch.full((labels.size(0), 1), start), labels[:, :-1]], dim=1)
    inputs = inputs.masked_fill(labels == -100, pad)
    return inputs, F.cross_entropy(logits.flatten(0, 1), labels.flatten())


# %% name="forcing-other-library"
# %%other forcing
# `F.cross_entropy` leaves out −100 by itself; the shift with `roll`.
def teacher_forcing(labels, logits, start, pad):
    inputs = labels.roll(1, dims=1)
    inputs[:, 0] = start
    return torch.where(inputs < 0, pad, inputs), F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100)


# %% name="forcing-other-loop"
# %%other forcing
# One token at a time.
def teacher_forcing(labels, logits, start, pad):
    inputs, losses = torch.full_like(labels, pad), []
    for b, row in enumerate(labels.tolist()):
        inputs[b, 0] = start
        for t, label in enumerate(row):
            if label == -100:
                continue
            losses.append(logits[b, t].logsumexp(0) - logits[b, t, label])
            if t + 1 < len(row):
                inputs[b, t + 1] = label
    return inputs, sum(losses) / len(losses)


# %% [markdown] name="layer" question={"points": 5, "difficulty": 4, "minutes": 30, "section": "3.3"}
# ## 2. A decoder layer
#
# Three sublayers, each followed by the sum with its input and a norm: masked self-attention, attention to the
# encoder's output, feed-forward. One head and no biases, to keep it short; `normalised` is given in the next cell,
# and `F.scaled_dot_product_attention` may be used.
#
# | | shape | |
# | --- | --- | --- |
# | `x` | (B, T, C) | the target |
# | `memory` | (B, S, C) | the encoder's output |
# | `memory_real` | (B, S) bool | True for a source token, False for padding: nobody attends to padding |
# | `own` | (4, C, C) | the matrices of self-attention: query, key, value, output; used as `x @ w` |
# | `other` | (4, C, C) | the same of the attention to the memory |
# | `w_inner`, `w_outer` | (C, F), (F, C) | feed-forward, with a ReLU between |
# | returns `y` | (B, T, C) | |
#
# **What usually goes wrong:** the causal mask is put on the second attention too; queries and keys of the second
# attention come from the wrong side (then the shapes do not fit); the padding mask is forgotten.


# %% name="layer-given"
def normalised(z: Tensor) -> Tensor:
    """Each vector with mean 0 and variance 1."""
    return F.layer_norm(z, z.shape[-1:])


# %% name="layer-answer"
def decoder_layer(
    x: Tensor, memory: Tensor, memory_real: Tensor, own: Tensor, other: Tensor, w_inner: Tensor, w_outer: Tensor
) -> Tensor:
    """One decoder layer of 2017, with one head: (B, T, C) -> (B, T, C)."""
    ### BEGIN SOLUTION
    query, key, value = x @ own[0], x @ own[1], x @ own[2]
    looked_back = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    x = normalised(x + looked_back @ own[3])
    query, key, value = x @ other[0], memory @ other[1], memory @ other[2]
    fetched = F.scaled_dot_product_attention(query, key, value, memory_real[:, None, :])
    x = normalised(x + fetched @ other[3])
    return normalised(x + F.relu(x @ w_inner) @ w_outer)
    ### END SOLUTION


# %% name="layer-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_decoder", "layer", decoder_layer)

# %% [markdown] name="layer-hint-1"
# Write down which side gives what. Self-attention: all three from x. Attention to the memory: queries from the
# target, keys and values from the memory. The output has one row for each query.

# %% [markdown] name="layer-hint-2"
# Two masks, and each belongs to one attention. Causal, (T, T): the target's words to come are hidden. Padding, (B, 1,
# S): the source's padding is hidden. The source is all there, so nothing of it is in the future.

# %% [markdown] name="layer-hint-3"
# Six lines: project, attend, `normalised(x + ...)`, and again, and one line for the feed-forward layer.

# %% name="layer-parts"
layer = FunctionQuestion(
    "decoder_layer",
    returns=("y",),
    atol=1e-4,
    because="three sublayers in float32, each with a division by a deviation",
)


def translation(draw, n_batch, n_target, real):
    mask = torch.tensor(real, dtype=torch.bool)
    inputs = {"x": draw.normal(n_batch, n_target, 8), "memory": draw.normal(*mask.shape, 8), "memory_real": mask}
    weights = {"own": draw.normal(4, 8, 8), "other": draw.normal(4, 8, 8)}
    weights |= {"w_inner": draw.normal(8, 16), "w_outer": draw.normal(16, 8) / 2**0.5}
    return {**inputs, **{name: w / 8**0.5 for name, w in weights.items()}}


@layer.case(points=2)
def short_source(draw):
    """six target words, three source words, no padding"""
    return translation(draw, 2, 6, [[1, 1, 1], [1, 1, 1]])


@layer.case(points=2)
def padded_source(draw):
    """four target words, five source words, the second source is padded"""
    return translation(draw, 2, 4, [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])


@layer.case(points=1)
def same_beginning(draw):
    """two targets with the same source and the same first three words"""
    inputs = translation(draw, 2, 5, [[1, 1, 1, 1], [1, 1, 1, 1]])
    inputs["x"][1, :3], inputs["memory"][1] = inputs["x"][0, :3], inputs["memory"][0]
    return inputs


@layer.invariant
def result_is_normalised(got, inputs):
    """the last step is a norm: every vector of the result must have mean 0"""
    return bool(got.mean(-1).abs().max() < 1e-4)


@layer.invariant
def the_past_stays(got, inputs):
    """two targets with the same beginning and the same source differ there: the future changes the past"""
    same = (inputs["x"][0] == inputs["x"][1]).all(-1) & (inputs["memory"][0] == inputs["memory"][1]).all()
    return torch.allclose(got[0][same], got[1][same], atol=1e-4)


# %% name="layer-mistake-no-causal"
# %%mistake layer
# Self-attention has no causal mask. In training each place would read the word that it is to predict, one place to
# its right.
def decoder_layer(x, memory, memory_real, own, other, w_inner, w_outer):
    x = normalised(x + F.scaled_dot_product_attention(x @ own[0], x @ own[1], x @ own[2]) @ own[3])
    key, value = memory @ other[1], memory @ other[2]
    x = normalised(x + F.scaled_dot_product_attention(x @ other[0], key, value, memory_real[:, None]) @ other[3])
    return normalised(x + F.relu(x @ w_inner) @ w_outer)


# %% name="layer-mistake-causal-on-memory"
# %%mistake layer
# The attention to the memory is causal too. The source has been read to its end: the first target word may look at
# the last source word.
def decoder_layer(x, memory, memory_real, own, other, w_inner, w_outer):
    x = normalised(x + F.scaled_dot_product_attention(x @ own[0], x @ own[1], x @ own[2], is_causal=True) @ own[3])
    key, value = memory @ other[1], memory @ other[2]
    mask = memory_real[:, None] & torch.ones(x.size(1), memory.size(1), dtype=torch.bool).tril()
    x = normalised(x + F.scaled_dot_product_attention(x @ other[0], key, value, mask) @ other[3])
    return normalised(x + F.relu(x @ w_inner) @ w_outer)


# %% name="layer-mistake-no-padding-mask"
# %%mistake layer
# The padding of the source is attended to. The mask `memory_real` belongs on the keys of the second attention.
def decoder_layer(x, memory, memory_real, own, other, w_inner, w_outer):
    x = normalised(x + F.scaled_dot_product_attention(x @ own[0], x @ own[1], x @ own[2], is_causal=True) @ own[3])
    x = normalised(x + F.scaled_dot_product_attention(x @ other[0], memory @ other[1], memory @ other[2]) @ other[3])
    return normalised(x + F.relu(x @ w_inner) @ w_outer)


# %% name="layer-mistake-values-of-target"
# %%mistake layer
# The second attention takes all three from the target: it is a second self-attention, and the source has no effect.
def decoder_layer(x, memory, memory_real, own, other, w_inner, w_outer):
    x = normalised(x + F.scaled_dot_product_attention(x @ own[0], x @ own[1], x @ own[2], is_causal=True) @ own[3])
    h = F.scaled_dot_product_attention(x @ other[0], x @ other[1], x @ other[2], is_causal=True)
    x = normalised(x + h @ other[3])
    return normalised(x + F.relu(x @ w_inner) @ w_outer)


# %% name="layer-mistake-first-norm"
# %%mistake layer
# The sum after self-attention is not normalised. Each of the three sublayers has its norm.
def decoder_layer(x, memory, memory_real, own, other, w_inner, w_outer):
    x = x + F.scaled_dot_product_attention(x @ own[0], x @ own[1], x @ own[2], is_causal=True) @ own[3]
    key, value = memory @ other[1], memory @ other[2]
    x = normalised(x + F.scaled_dot_product_attention(x @ other[0], key, value, memory_real[:, None]) @ other[3])
    return normalised(x + F.relu(x @ w_inner) @ w_outer)


# %% name="layer-mistake-second-norm"
# %%mistake layer
# The sum after the attention to the memory is not normalised. Each of the three sublayers has its norm.
def decoder_layer(x, memory, memory_real, own, other, w_inner, w_outer):
    x = normalised(x + F.scaled_dot_product_attention(x @ own[0], x @ own[1], x @ own[2], is_causal=True) @ own[3])
    key, value = memory @ other[1], memory @ other[2]
    x = x + F.scaled_dot_product_attention(x @ other[0], key, value, memory_real[:, None]) @ other[3]
    return normalised(x + F.relu(x @ w_inner) @ w_outer)


# %% name="layer-mistake-values-of-target-unmasked"
# %%mistake layer
# The second attention takes all three from the target, without a mask: the source has no effect, and the future is
# seen. Keys and values are made of the memory.
def decoder_layer(x, memory, memory_real, own, other, w_inner, w_outer):
    x = normalised(x + F.scaled_dot_product_attention(x @ own[0], x @ own[1], x @ own[2], is_causal=True) @ own[3])
    x = normalised(x + F.scaled_dot_product_attention(x @ other[0], x @ other[1], x @ other[2]) @ other[3])
    return normalised(x + F.relu(x @ w_inner) @ w_outer)


# %% name="layer-mistake-masks-upside-down"
# %%mistake layer
# The masks are upside down. For `F.scaled_dot_product_attention` True is what may be seen; for `nn.MultiheadAttention`
# it is what is hidden.
def decoder_layer(x, memory, memory_real, own, other, w_inner, w_outer):
    future = torch.ones(x.size(1), x.size(1), dtype=torch.bool).triu(1)
    x = normalised(x + F.scaled_dot_product_attention(x @ own[0], x @ own[1], x @ own[2], future) @ own[3])
    key, value = memory @ other[1], memory @ other[2]
    x = normalised(x + F.scaled_dot_product_attention(x @ other[0], key, value, ~memory_real[:, None]) @ other[3])
    return normalised(x + F.relu(x @ w_inner) @ w_outer)


# %% name="layer-mistake-padding-upside-down"
# %%mistake layer
# The padding mask is upside down. For `F.scaled_dot_product_attention` True is what may be seen: a token, not padding.
def decoder_layer(x, memory, memory_real, own, other, w_inner, w_outer):
    x = normalised(x + F.scaled_dot_product_attention(x @ own[0], x @ own[1], x @ own[2], is_causal=True) @ own[3])
    key, value = memory @ other[1], memory @ other[2]
    x = normalised(x + F.scaled_dot_product_attention(x @ other[0], key, value, ~memory_real[:, None]) @ other[3])
    return normalised(x + F.relu(x @ w_inner) @ w_outer)


# %% name="layer-mistake-old-queries"
# %%mistake layer
# The queries of the second attention are made of the layer's input. They are made of what the first sublayer gave, so
# that they know the words before.
def decoder_layer(x, memory, memory_real, own, other, w_inner, w_outer):
    query, key, value = x @ other[0], memory @ other[1], memory @ other[2]
    x = normalised(x + F.scaled_dot_product_attention(x @ own[0], x @ own[1], x @ own[2], is_causal=True) @ own[3])
    x = normalised(x + F.scaled_dot_product_attention(query, key, value, memory_real[:, None]) @ other[3])
    return normalised(x + F.relu(x @ w_inner) @ w_outer)


# %% name="layer-other-one-function"
# %%other layer
# One function for both attentions, by hand.
def decoder_layer(x, memory, memory_real, own, other, w_inner, w_outer):
    def attend(x, memory, w, mask):
        scores = (x @ w[0]) @ (memory @ w[1]).mT / math.sqrt(x.size(-1))
        return scores.masked_fill(~mask, -math.inf).softmax(-1) @ (memory @ w[2]) @ w[3]

    causal = torch.ones(x.size(1), x.size(1), dtype=torch.bool).tril()
    x = normalised(x + attend(x, x, own, causal))
    x = normalised(x + attend(x, memory, other, memory_real[:, None]))
    return normalised(x + (x @ w_inner).clamp(min=0) @ w_outer)


# %% name="layer-other-prefixes"
# %%other layer
# No causal mask at all: each place attends to the prefix that ends with it. And each sentence's padding is cut off.
def decoder_layer(x, memory, memory_real, own, other, w_inner, w_outer):
    sentences = []
    for y, source, real in zip(x, memory, memory_real, strict=True):
        source, rows = source[real], []
        for t in range(len(y)):
            z = y[t : t + 1]
            weights = ((z @ own[0]) @ (y[: t + 1] @ own[1]).T / math.sqrt(y.size(-1))).softmax(-1)
            z = normalised(z + weights @ (y[: t + 1] @ own[2]) @ own[3])
            weights = ((z @ other[0]) @ (source @ other[1]).T / math.sqrt(y.size(-1))).softmax(-1)
            z = normalised(z + weights @ (source @ other[2]) @ other[3])
            rows.append(normalised(z + F.relu(z @ w_inner) @ w_outer))
        sentences.append(torch.cat(rows))
    return torch.stack(sentences)


# %% [markdown] name="cache" question={"points": 5, "difficulty": 3, "minutes": 25, "section": "3.3"}
# ## 3. One step with a cache
#
# The decoder has written t words; their keys and values are kept. Now one new word comes. Write causal self-attention
# for the new place alone, with H heads (scores divided by √D; `F.scaled_dot_product_attention` may be used), and return
# the longer cache.
#
# | | shape | |
# | --- | --- | --- |
# | `new` | (B, C) | the new place's vector |
# | `keys`, `values` | (B, H, t, D) | of the t places before; t may be 0 |
# | `w_query`, `w_key`, `w_value` | (C, C) | used as `new @ w`; head i has the columns iD to (i+1)D |
# | returns `out` | (B, C) | the heads side by side (no output matrix here) |
# | returns `keys`, `values` | (B, H, t+1, D) | the longer cache; what was in it stays as it is |
#
# The new place attends to all places before it *and to itself*.
#
# **What usually goes wrong:** the new key is added after attending, so that the word does not see itself; the heads
# are cut from the wrong axis; the new entry is put in front.


# %% name="cache-answer"
def cached_step(
    new: Tensor, keys: Tensor, values: Tensor, w_query: Tensor, w_key: Tensor, w_value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Self-attention of one new place (B, C) with a cache; returns its output (B, C) and the longer cache."""
    ### BEGIN SOLUTION
    n_heads = keys.size(1)
    query, key, value = ((new @ w).unflatten(-1, (n_heads, 1, -1)) for w in (w_query, w_key, w_value))  # (B, H, 1, D)
    keys = torch.cat([keys, key], dim=2)
    values = torch.cat([values, value], dim=2)
    scores = query @ keys.transpose(-2, -1) / math.sqrt(query.size(-1))  # (B, H, 1, t + 1)
    out = torch.softmax(scores, dim=-1) @ values  # (B, H, 1, D)
    return out.flatten(1), keys, values
    ### END SOLUTION


# %% name="cache-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_decoder", "cache", cached_step)

# %% [markdown] name="cache-hint-1"
# Give the new vector an axis for its one place: its query, key and value have the shape (B, H, 1, D). `unflatten(-1,
# (H, 1, D))` makes it of (B, C) in one go.

# %% [markdown] name="cache-hint-2"
# Join first, along the axis of places (`dim=2`), and attend then. Is a causal mask needed?

# %% [markdown] name="cache-hint-3"
# It is not: all places in the cache are before the new one. So it is plain attention with one query, and `flatten(1)`
# puts the heads side by side.

# %% name="cache-parts"
cache = FunctionQuestion(
    "cached_step",
    returns=("out", "keys", "values"),
    atol=1e-5,
    because="sums of up to 12 products of values of about 1 in float32",
)


def step(draw, n_batch, n_heads, n_past, d_head):
    width = n_heads * d_head
    past = {
        "keys": draw.normal(n_batch, n_heads, n_past, d_head),
        "values": draw.normal(n_batch, n_heads, n_past, d_head),
    }
    weights = {name: draw.normal(width, width) / width**0.5 for name in ("w_query", "w_key", "w_value")}
    return {"new": draw.normal(n_batch, width), **past, **weights}


@cache.case(points=2)
def after_four(draw):
    """two sentences, four places in the cache, two heads of 3"""
    return step(draw, 2, 2, 4, 3)


@cache.case(points=1)
def after_none(draw):
    """the first word: the cache is empty"""
    return step(draw, 2, 2, 0, 3)


@cache.case(points=2)
def after_seven(draw):
    """three sentences, seven places, four heads of 3"""
    return step(draw, 3, 4, 7, 3)


@cache.invariant
def one_place_longer(got, inputs):
    """the cache must begin with what was in it, unchanged"""
    length = inputs["keys"].size(2)
    return torch.equal(got[1][:, :, :length], inputs["keys"]) and torch.equal(got[2][:, :, :length], inputs["values"])


# %% name="cache-mistake-not-itself"
# %%mistake cache
# The new word attends to the places before it only; its own key joins the cache too late. The causal mask includes
# the diagonal, so join first and attend then.
def cached_step(new, keys, values, w_query, w_key, w_value):
    query, key, value = ((new @ w).unflatten(-1, (keys.size(1), 1, -1)) for w in (w_query, w_key, w_value))
    out = F.scaled_dot_product_attention(query, keys, values) if keys.size(2) else torch.zeros_like(query)
    return out.flatten(1), torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)


# %% name="cache-mistake-in-front"
# %%mistake cache
# The new entry is put in front of the cache. The output is right, but the places are in the wrong order: entry t
# no longer belongs to word t.
def cached_step(new, keys, values, w_query, w_key, w_value):
    query, key, value = ((new @ w).unflatten(-1, (keys.size(1), 1, -1)) for w in (w_query, w_key, w_value))
    keys, values = torch.cat([key, keys], dim=2), torch.cat([value, values], dim=2)
    return F.scaled_dot_product_attention(query, keys, values).flatten(1), keys, values


# %% name="cache-mistake-heads-interleaved"
# %%mistake cache
# The heads are cut from the wrong axis: head i has every H-th number and not D neighbours. Unflatten to (H, D), not
# to (D, H).
def cached_step(new, keys, values, w_query, w_key, w_value):
    H, D = keys.size(1), keys.size(3)
    query, key, value = (
        (new @ w).unflatten(-1, (D, H)).transpose(1, 2).unsqueeze(2) for w in (w_query, w_key, w_value)
    )
    keys, values = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
    return F.scaled_dot_product_attention(query, keys, values).flatten(1), keys, values


# %% name="cache-mistake-scale-of-model"
# %%mistake cache
# The scores are divided by the root of C. A head's dot products have D terms: divide by √D.
def cached_step(new, keys, values, w_query, w_key, w_value):
    query, key, value = ((new @ w).unflatten(-1, (keys.size(1), 1, -1)) for w in (w_query, w_key, w_value))
    keys, values = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
    return F.scaled_dot_product_attention(query, keys, values, scale=new.size(-1) ** -0.5).flatten(1), keys, values


# %% name="cache-mistake-values-from-keys"
# %%mistake cache
# The new value is made with the key's matrix. What a place hands over is its value: `new @ w_value`.
def cached_step(new, keys, values, w_query, w_key, w_value):
    query, key = ((new @ w).unflatten(-1, (keys.size(1), 1, -1)) for w in (w_query, w_key))
    keys, values = torch.cat([keys, key], dim=2), torch.cat([values, key], dim=2)
    return F.scaled_dot_product_attention(query, keys, values).flatten(1), keys, values


# %% name="cache-mistake-causal-mask"
# %%mistake cache
# A causal mask of one row lets the first place alone be seen: torch puts its corner at the upper left. The one query is
# the last of all places and needs no mask.
def cached_step(new, keys, values, w_query, w_key, w_value):
    query, key, value = ((new @ w).unflatten(-1, (keys.size(1), 1, -1)) for w in (w_query, w_key, w_value))
    keys, values = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
    return F.scaled_dot_product_attention(query, keys, values, is_causal=True).flatten(1), keys, values


# %% name="cache-mistake-no-scale"
# %%mistake cache
# The scores are not divided by √D. They grow with D, and the softmax becomes too sharp.
def cached_step(new, keys, values, w_query, w_key, w_value):
    query, key, value = ((new @ w).unflatten(-1, (keys.size(1), 1, -1)) for w in (w_query, w_key, w_value))
    keys, values = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
    return F.scaled_dot_product_attention(query, keys, values, scale=1.0).flatten(1), keys, values


# %% name="cache-mistake-itself-only"
# %%mistake cache
# The new place attends to itself only. Its query meets all keys, those of the cache and its own.
def cached_step(new, keys, values, w_query, w_key, w_value):
    key, value = ((new @ w).unflatten(-1, (keys.size(1), 1, -1)) for w in (w_key, w_value))
    return value.flatten(1), torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)


# %% name="cache-other-library"
# %%other cache
# torch's attention, the heads by view.
def cached_step(new, keys, values, w_query, w_key, w_value):
    B, H, _, D = keys.shape
    query, key, value = ((new @ w).view(B, H, 1, D) for w in (w_query, w_key, w_value))
    keys, values = torch.cat([keys, key], dim=-2), torch.cat([values, value], dim=-2)
    return F.scaled_dot_product_attention(query, keys, values).reshape(B, H * D), keys, values


# %% name="cache-other-heads"
# %%other cache
# One head after the other, with room for the new place made beforehand.
def cached_step(new, keys, values, w_query, w_key, w_value):
    B, H, t, D = keys.shape
    longer_keys, longer_values = (torch.cat([x, x.new_zeros(B, H, 1, D)], dim=2) for x in (keys, values))
    outs = []
    for h in range(H):
        columns = slice(h * D, (h + 1) * D)
        longer_keys[:, h, t], longer_values[:, h, t] = new @ w_key[:, columns], new @ w_value[:, columns]
        scores = torch.einsum("bd,bsd->bs", new @ w_query[:, columns], longer_keys[:, h]) * D**-0.5
        outs.append(torch.einsum("bs,bsd->bd", scores.softmax(1), longer_values[:, h]))
    return torch.cat(outs, dim=1), longer_keys, longer_values


# %% name="cache-equivalent-axes"
# %%equivalent cache
# The last axis is axis 1 of (B, C), and -2 is axis 2 of four; which of two axes is named first makes no difference.
query, key, value = ((new @ w).unflatten(1, (n_heads, 1, -1)) for w in (w_query, w_key, w_value))
scores = query @ keys.transpose(-1, -2) / math.sqrt(query.size(-1))
scores = query @ keys.transpose(2, -1) / math.sqrt(query.size(-1))

# %% [markdown] name="reading" question={"points": 5, "difficulty": 2, "minutes": 15, "section": "3.3"}
# ## 4. Reading results
#
# **a.** A decoder is trained with teacher forcing. After 60 steps its loss is 0.004, on new sentences too. Then it
# writes, and every sentence is nonsense. What is the most likely cause? Set `cause`.
#
# - **a** It has learned the training sentences by heart.
# - **b** Each place can read the word that it is to predict: the mask or the shift is wrong.
# - **c** The learning rate is too small.
# - **d** It writes greedily, and should search with several beams.
#
# **b.** Why may a decoder keep the keys and values of the words that it has written, while an encoder may not keep
# those of a text that grows? Set `why`.
#
# - **a** In a decoder no state depends on a later word, so earlier keys and values stay.
# - **b** A decoder has fewer parameters than an encoder, so there is memory left for them.
# - **c** An encoder has no keys and values: it reads all words at the same time.
# - **d** A decoder's softmax runs over the vocabulary, and not over the places.
#
# **c.** Without a cache, a loop that writes 10 words after a start token runs the decoder on 1 place, then on 2, and
# so on up to 10. How many `places` are computed in all?
#
# **d.** A decoder has 3 layers, 4 heads of 8 numbers. How many `numbers` does its cache for self-attention hold for
# one sentence of 5 words?
#
# **e.** Each word is right with probability 0.9, independently. What is the probability that a sentence of 7 words is
# `whole`? (A number from 0 to 1; give three digits.)

# %% name="reading-answer"
cause = ""  # the letter
why = ""  # the letter
places = None  # a whole number
numbers = None  # a whole number
whole = None  # a number
### BEGIN SOLUTION
cause = "b"
why = "a"
places = 55  # 1 + 2 + ... + 10
numbers = 960  # keys and values: 2 · 3 · 4 · 8 · 5
whole = 0.478  # 0.9 ** 7
### END SOLUTION

# %% name="reading-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_decoder", "reading", cause=cause, why=why, places=places, numbers=numbers, whole=whole)

# %% [markdown] name="reading-hint-1"
# a: the loss on *new* sentences is small as well. What would learning by heart do to it?

# %% [markdown] name="reading-hint-2"
# d: each layer keeps keys *and* values, for each head and each word.

# %% [markdown] name="reading-hint-3"
# b: one more word comes at the end. Which states can see it, with a causal mask and without one? c: write down how many
# places the first three steps run on. e: all seven words must be right.

# %% name="reading-parts"
reading = ValueQuestion()
reading.choice("cause", "abcd", points=1, title="a loss that is too good")
reading.choice("why", "abcd", points=1, title="why a cache is allowed")
reading.number("places", points=1, title="places without a cache")
reading.number("numbers", points=1, title="numbers in the cache")
reading.number("whole", points=1, title="a whole sentence")

# %% name="reading-mistake-by-heart"
# %%mistake reading
# What was learned by heart gives a small loss on the training sentences only. Here it is small on new ones too: the
# answer must be in the input.
cause = "a"

# %% name="reading-mistake-learning-rate"
# %%mistake reading
# Too small a rate keeps the loss high. This one is far too low for 60 steps.
cause = "c"

# %% name="reading-mistake-beams"
# %%mistake reading
# A better search finds likelier sentences of the same model. With a loss of 0.004 an honest model would be sure of
# every word, and greedy would do.
cause = "d"

# %% name="reading-mistake-fewer-parameters"
# %%mistake reading
# The number of parameters says nothing about which states change. (A decoder layer with cross-attention has more.)
why = "b"

# %% name="reading-mistake-no-keys"
# %%mistake reading
# An encoder's self-attention has keys and values too. But each new word changes the states of all others, and with
# them their keys and values.
why = "c"

# %% name="reading-mistake-softmax"
# %%mistake reading
# The softmax over the vocabulary is the output layer. The cache is about self-attention.
why = "d"

# %% name="reading-mistake-with-cache"
# %%mistake reading
# That is the count *with* a cache: one place for each step. Without it step t computes t places.
places = 10

# %% name="reading-mistake-square"
# %%mistake reading
# The prefix grows from 1 to 10; it is not 10 long at each step. The sum of 1 to n is n(n + 1)/2.
places = 100

# %% name="reading-mistake-up-to-nine"
# %%mistake reading
# The sum stops too early: the tenth word needs 10 places, the start token and nine words.
places = 45

# %% name="reading-mistake-up-to-eleven"
# %%mistake reading
# The last word is never read: ten words need 1 to 10 places.
places = 66

# %% name="reading-mistake-keys-only"
# %%mistake reading
# These are the keys alone. The values must be kept as well.
numbers = 480

# %% name="reading-mistake-one-layer"
# %%mistake reading
# That is one layer. Each layer has keys and values of its own.
numbers = 320

# %% name="reading-mistake-one-place"
# %%mistake reading
# That is one word. Each of the five has keys and values.
numbers = 192

# %% name="reading-mistake-one-layer-keys-only"
# %%mistake reading
# Those are the keys of one layer. Each of the three layers keeps keys and values.
numbers = 160

# %% name="reading-mistake-one-word"
# %%mistake reading
# One word right is not a sentence right: all seven must be.
whole = 0.9

# %% name="reading-mistake-two-digits"
# %%mistake reading
# Give three digits.
whole = 0.48

# %% name="reading-mistake-percent"
# %%mistake reading
# A probability lies between 0 and 1. This one is in percent.
whole = 100 * 0.9**7

# %% name="reading-mistake-not-whole"
# %%mistake reading
# That is the probability that at least one word is wrong.
whole = 1 - 0.9**7

# %% name="reading-other-worked-out"
# %%other reading
# The numbers as they are worked out.
cause, why = "B", "(a)"
places = sum(range(1, 11))
numbers = 2 * 3 * 4 * 8 * 5
whole = 0.9**7

# %% name="reading-other-tensors"
# %%other reading
# The numbers as tensors.
cause, why = "b.", " a"
places = torch.arange(11).sum()
numbers = torch.zeros(2, 3, 1, 4, 5, 8).numel()
whole = torch.full((7,), 0.9).prod()

# %% [markdown] name="end"
# ## Done?
#
# `hint("03_decoder", "forcing", 1)` gives a first hint; the other questions have hints too. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
