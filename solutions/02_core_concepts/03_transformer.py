# %% [markdown] name="title"
# # 2.3 完整的 Transformer 架构 · The Transformer — exercises
#
# 本节的练习先写出一个带残差连接和层归一化的子层，再用公式数清编码器-解码器的参数，
# 然后准备解码器的输入与标签，最后根据失败的样子判断缺了哪一个部件。
#
# You build the pieces that hold a Transformer together, count what it is made of, and diagnose a broken one. Each
# question has a cell for your answer and a cell that checks it. Section 2.3 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 03_transformer

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="sublayer" question={"points": 5, "difficulty": 3, "minutes": 20, "section": "2.3"}
# ## 1. A sublayer with its residual and norm
#
# The feed-forward sublayer is $f(x) = \max(0, xW_1)\,W_2$. Put residual and layer normalisation around it, in one
# of two ways:
#
# - post-norm: $\mathrm{LN}(x + f(x))$, as in 2017;
# - pre-norm: $x + f(\mathrm{LN}(x))$, as in GPT-2 and later.
#
# | | shape | |
# | --- | --- | --- |
# | `x` | (B, T, C) | states |
# | `w_in`, `w_out` | (C, F), (F, C) | the matrices |
# | `gain`, `shift` | (C) | $\mathrm{LN}(x) = \mathrm{gain}\,(x - \mu)/\sqrt{\sigma^2 + 10^{-5}} + \mathrm{shift}$ |
# | `norm_first` | bool | pre-norm if true |
# | returns `y` | (B, T, C) | in the dtype of `x`, without a gradient |
#
# (If you use a layer of `torch.nn`, `.detach()` its result.)
#
# **What usually goes wrong:** mean and variance run over the wrong axis; the variance is divided by C - 1; in
# pre-norm the normalised state is added instead of the state itself.


# %% name="sublayer-answer"
def sublayer(x: Tensor, w_in: Tensor, w_out: Tensor, gain: Tensor, shift: Tensor, norm_first: bool) -> Tensor:
    """Feed-forward with residual and layer norm: (B, T, C) -> (B, T, C)."""

    ### BEGIN SOLUTION
    def norm(h):
        variance = h.var(-1, unbiased=False, keepdim=True)
        return gain * (h - h.mean(-1, keepdim=True)) / torch.sqrt(variance + 1e-5) + shift

    if norm_first:
        return x + torch.relu(norm(x) @ w_in) @ w_out
    return norm(x + torch.relu(x @ w_in) @ w_out)
    ### END SOLUTION


# %% name="sublayer-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_transformer", "sublayer", sublayer)

# %% [markdown] name="sublayer-hint-1"
# Write the norm as a function first. A token is one row of C numbers; its mean and variance are taken over that
# row, the last axis.

# %% [markdown] name="sublayer-hint-2"
# `h.var(-1, unbiased=False, keepdim=True)` divides by C. In both forms it is `x` that is added, never its
# normalised form.

# %% name="sublayer-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

sublayer = FunctionQuestion(
    "sublayer",
    returns=("y",),
    atol=2e-5,
    because="two matrix products of up to 16 terms in float32, on values of about 1",
)


def states(draw, norm_first, spread=1.0):
    return {
        "x": spread * (draw.normal(2, 3, 8) + 0.5),
        "w_in": draw.normal(8, 16) / 3,
        "w_out": draw.normal(16, 8) / 4,
        "gain": 1 + 0.3 * draw.normal(8),
        "shift": 0.3 * draw.normal(8),
        "norm_first": norm_first,
    }


@sublayer.case(points=2)
def post_norm(draw):
    """post-norm"""
    return states(draw, norm_first=False)


@sublayer.case(points=2)
def pre_norm(draw):
    """pre-norm"""
    return states(draw, norm_first=True)


@sublayer.case(points=1)
def nearly_equal_features(draw):
    """pre-norm, states whose features hardly differ: the small number under the root matters"""
    return states(draw, norm_first=True, spread=0.003)


# %% name="sublayer-mistake-wrong-axis"
# %%mistake sublayer
# Mean and variance run over the positions. A token is normalised by its own features, the last axis: else a token
# would change when its neighbours do.
def sublayer(x, w_in, w_out, gain, shift, norm_first):
    def norm(h):
        return gain * (h - h.mean(1, keepdim=True)) / torch.sqrt(h.var(1, unbiased=False, keepdim=True) + 1e-5) + shift

    return x + torch.relu(norm(x) @ w_in) @ w_out if norm_first else norm(x + torch.relu(x @ w_in) @ w_out)


# %% name="sublayer-mistake-unbiased"
# %%mistake sublayer
# The variance is divided by C - 1. Layer norm divides by C: say `unbiased=False`.
def sublayer(x, w_in, w_out, gain, shift, norm_first):
    def norm(h):
        return gain * (h - h.mean(-1, keepdim=True)) / torch.sqrt(h.var(-1, keepdim=True) + 1e-5) + shift

    return x + torch.relu(norm(x) @ w_in) @ w_out if norm_first else norm(x + torch.relu(x @ w_in) @ w_out)


# %% name="sublayer-mistake-no-residual"
# %%mistake sublayer
# Nothing is added: the sublayer replaces its input. In a deep stack the gradient and the differences between tokens get
# lost. Add x.
def sublayer(x, w_in, w_out, gain, shift, norm_first):
    def norm(h):
        return F.layer_norm(h, h.shape[-1:], gain, shift)

    return torch.relu(norm(x) @ w_in) @ w_out if norm_first else norm(torch.relu(x @ w_in) @ w_out)


# %% name="sublayer-mistake-normalised-residual"
# %%mistake sublayer
# In pre-norm the normalised state is added. The residual is x itself: only so does the way from bottom to top stay
# free of norms.
def sublayer(x, w_in, w_out, gain, shift, norm_first):
    def norm(h):
        return F.layer_norm(h, h.shape[-1:], gain, shift)

    if norm_first:
        x = norm(x)
        return x + torch.relu(x @ w_in) @ w_out
    return norm(x + torch.relu(x @ w_in) @ w_out)


# %% name="sublayer-mistake-exchanged"
# %%mistake sublayer
# Here stands post-norm where pre-norm is asked, or the other way round. `norm_first` true means: normalise, then the
# sublayer, then add; false: the sublayer, add, then normalise.
def sublayer(x, w_in, w_out, gain, shift, norm_first):
    def norm(h):
        return F.layer_norm(h, h.shape[-1:], gain, shift)

    return norm(x + torch.relu(x @ w_in) @ w_out) if norm_first else x + torch.relu(norm(x) @ w_in) @ w_out


# %% name="sublayer-mistake-no-relu"
# %%mistake sublayer
# The two matrices follow each other with nothing between. That is one matrix; max(0, ·) makes the network more than
# linear.
def sublayer(x, w_in, w_out, gain, shift, norm_first):
    def norm(h):
        return F.layer_norm(h, h.shape[-1:], gain, shift)

    return x + norm(x) @ w_in @ w_out if norm_first else norm(x + x @ w_in @ w_out)


# %% name="sublayer-mistake-over-everything"
# %%mistake sublayer
# One mean and one variance are taken over all tokens. Each token has its own, over its C features: `mean(-1,
# keepdim=True)`, and the variance likewise.
def sublayer(x, w_in, w_out, gain, shift, norm_first):
    def norm(h):
        return gain * (h - h.mean()) / torch.sqrt(h.var(unbiased=False) + 1e-5) + shift

    return x + torch.relu(norm(x) @ w_in) @ w_out if norm_first else norm(x + torch.relu(x @ w_in) @ w_out)


# %% name="sublayer-mistake-norm-on-the-branch"
# %%mistake sublayer
# In post-norm only the sublayer's output is normalised here. Post-norm normalises the sum x + f(x).
def sublayer(x, w_in, w_out, gain, shift, norm_first):
    def norm(h):
        return F.layer_norm(h, h.shape[-1:], gain, shift)

    return x + torch.relu(norm(x) @ w_in) @ w_out if norm_first else x + norm(torch.relu(x @ w_in) @ w_out)


# %% name="sublayer-mistake-outside-the-root"
# %%mistake sublayer
# The small number is added to the standard deviation. It belongs under the root, to the variance: there it weighs more
# when the features hardly differ.
def sublayer(x, w_in, w_out, gain, shift, norm_first):
    def norm(h):
        return gain * (h - h.mean(-1, keepdim=True)) / (h.std(-1, unbiased=False, keepdim=True) + 1e-5) + shift

    return x + torch.relu(norm(x) @ w_in) @ w_out if norm_first else norm(x + torch.relu(x @ w_in) @ w_out)


# %% name="sublayer-mistake-no-small-number"
# %%mistake sublayer
# The small number under the root is missing. Without it the noise of a token whose features hardly differ is blown
# up, and a token of equal features becomes 0 / 0.
def sublayer(x, w_in, w_out, gain, shift, norm_first):
    def norm(h):
        return gain * (h - h.mean(-1, keepdim=True)) / h.std(-1, unbiased=False, keepdim=True) + shift

    return x + torch.relu(norm(x) @ w_in) @ w_out if norm_first else norm(x + torch.relu(x @ w_in) @ w_out)


# %% name="sublayer-other-library"
# %%other sublayer
# The library's norm.
def sublayer(x, w_in, w_out, gain, shift, norm_first):
    h = F.layer_norm(x, (x.size(-1),), gain, shift) if norm_first else x
    h = x + F.relu(h.matmul(w_in)).matmul(w_out)
    return h if norm_first else F.layer_norm(h, (x.size(-1),), gain, shift)


# %% name="sublayer-other-loop"
# %%other sublayer
# One token after the other.
def sublayer(x, w_in, w_out, gain, shift, norm_first):
    def norm(h):
        centred = h - h.sum() / len(h)
        return centred / (centred.dot(centred) / len(h) + 1e-5) ** 0.5 * gain + shift

    y = torch.empty_like(x)
    for b in range(x.size(0)):
        for t in range(x.size(1)):
            token = x[b, t]
            think = ((norm(token) if norm_first else token) @ w_in).clamp(min=0) @ w_out
            y[b, t] = token + think if norm_first else norm(token + think)
    return y


# %% [markdown] name="count" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "2.3"}
# ## 2. Count the parameters
#
# Count the parameters of an encoder-decoder by formula. Every matrix of an attention is (C, C) with a bias (C). The
# feed-forward network has matrices (C, F) and (F, C), with biases. A norm has a gain and a shift. A norm stands
# behind every sublayer, and nowhere else. One embedding (V, C) serves source, target and output; positions are
# sinusoids.
#
# | | | |
# | --- | --- | --- |
# | `vocabulary`, `c`, `f` | int | V, C, F |
# | `n_encoder`, `n_decoder` | int | blocks on each side; 0 is possible |
# | returns | int | a count, so no float |
#
# **What usually goes wrong:** the decoder's second attention is forgotten, or its norm; so are biases.


# %% name="count-answer"
def count_parameters(vocabulary: int, c: int, f: int, n_encoder: int, n_decoder: int) -> int:
    """Parameters of an encoder-decoder."""
    ### BEGIN SOLUTION
    attention, norm = 4 * (c * c + c), 2 * c
    network = (c * f + f) + (f * c + c)
    encoder = attention + network + 2 * norm
    decoder = 2 * attention + network + 3 * norm
    return vocabulary * c + n_encoder * encoder + n_decoder * decoder
    ### END SOLUTION


# %% name="count-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_transformer", "count", count_parameters)

# %% [markdown] name="count-hint-1"
# Count one encoder block, then one decoder block, then add up. An attention has four matrices: query, key, value,
# output.

# %% [markdown] name="count-hint-2"
# A decoder block has three sublayers, so three norms: self-attention, cross-attention, feed-forward.

# %% name="count-parts"
count = FunctionQuestion(
    "count_parameters",
    returns=("parameters",),
    atol=1e-9,
    because="whole numbers are exact",
)


def sizes(draw, n_encoder, n_decoder):
    vocabulary, c, f = (draw.order(6)[:3] + 3).tolist()  # three different sizes, small: a missing vector shows
    return {"vocabulary": vocabulary, "c": c, "f": f, "n_encoder": n_encoder, "n_decoder": n_decoder}


@count.case(points=1)
def embedding_only(draw):
    """no block at all"""
    return sizes(draw, 0, 0)


@count.case(points=1)
def encoder_only(draw):
    """one encoder block"""
    return sizes(draw, 1, 0)


@count.case(points=1)
def decoder_only(draw):
    """one decoder block"""
    return sizes(draw, 0, 1)


@count.case(points=1)
def uneven(draw):
    """three encoder blocks and two decoder blocks"""
    return sizes(draw, 3, 2)


@count.invariant
def positive(got, inputs):
    """a number of parameters is an int above 0: use `//` or `int(...)` where a float comes out"""
    return isinstance(got, int) and got > 0


# %% name="count-mistake-no-cross-attention"
# %%mistake count
# The decoder's cross-attention is missing, with its norm: this counts the decoder block as an encoder block.
def count_parameters(vocabulary, c, f, n_encoder, n_decoder):
    block = 4 * (c * c + c) + 2 * c * f + f + c + 4 * c
    return vocabulary * c + (n_encoder + n_decoder) * block


# %% name="count-mistake-no-biases"
# %%mistake count
# The biases are missing: C for each of four matrices of an attention, F and C in the network.
def count_parameters(vocabulary, c, f, n_encoder, n_decoder):
    encoder, decoder = 4 * c * c + 2 * c * f + 4 * c, 8 * c * c + 2 * c * f + 6 * c
    return vocabulary * c + n_encoder * encoder + n_decoder * decoder


# %% name="count-mistake-three-matrices"
# %%mistake count
# An attention has four matrices. The fourth, W_O, mixes what the heads have found.
def count_parameters(vocabulary, c, f, n_encoder, n_decoder):
    attention, network = 3 * (c * c + c), 2 * c * f + f + c
    encoder, decoder = attention + network + 4 * c, 2 * attention + network + 6 * c
    return vocabulary * c + n_encoder * encoder + n_decoder * decoder


# %% name="count-mistake-norms"
# %%mistake count
# The norms are missing. Each has a gain and a shift of C numbers; an encoder block has two norms, a decoder block
# three.
def count_parameters(vocabulary, c, f, n_encoder, n_decoder):
    attention, network = 4 * (c * c + c), 2 * c * f + f + c
    return vocabulary * c + n_encoder * (attention + network) + n_decoder * (2 * attention + network)


# %% name="count-mistake-output-again"
# %%mistake count
# The output is counted once more. It is the embedding: one matrix serves both.
def count_parameters(vocabulary, c, f, n_encoder, n_decoder):
    attention, network = 4 * (c * c + c), 2 * c * f + f + c
    encoder, decoder = attention + network + 4 * c, 2 * attention + network + 6 * c
    return 2 * vocabulary * c + n_encoder * encoder + n_decoder * decoder


# %% name="count-mistake-two-norms-in-the-decoder"
# %%mistake count
# One norm of the decoder is missing. The cross-attention has a norm of its own: a decoder block has three.
def count_parameters(vocabulary, c, f, n_encoder, n_decoder):
    attention, network = 4 * (c * c + c), 2 * c * f + f + c
    encoder, decoder = attention + network + 4 * c, 2 * attention + network + 4 * c
    return vocabulary * c + n_encoder * encoder + n_decoder * decoder


# %% name="count-mistake-no-biases-in-the-network"
# %%mistake count
# The biases of the feed-forward network are missing: F behind the first matrix, C behind the second.
def count_parameters(vocabulary, c, f, n_encoder, n_decoder):
    attention, network = 4 * (c * c + c), 2 * c * f
    encoder, decoder = attention + network + 4 * c, 2 * attention + network + 6 * c
    return vocabulary * c + n_encoder * encoder + n_decoder * decoder


# %% name="count-mistake-gain-only"
# %%mistake count
# A norm is counted as C numbers. It has a gain and a shift: 2C.
def count_parameters(vocabulary, c, f, n_encoder, n_decoder):
    attention, network = 4 * (c * c + c), 2 * c * f + f + c
    encoder, decoder = attention + network + 2 * c, 2 * attention + network + 3 * c
    return vocabulary * c + n_encoder * encoder + n_decoder * decoder


# %% name="count-mistake-norms-on-top"
# %%mistake count
# There is one norm too many on each side: torch's nn.Transformer has one on top of its blocks. Here a norm stands
# behind every sublayer, and nowhere else.
def count_parameters(vocabulary, c, f, n_encoder, n_decoder):
    attention, network = 4 * (c * c + c), 2 * c * f + f + c
    encoder, decoder = attention + network + 4 * c, 2 * attention + network + 6 * c
    return vocabulary * c + n_encoder * encoder + n_decoder * decoder + 4 * c


# %% name="count-other-list"
# %%other count
# Every matrix and vector by its shape.
def count_parameters(vocabulary, c, f, n_encoder, n_decoder):
    attention, norm, network = [c * c, c] * 4, [c, c], [c * f, f, f * c, c]
    encoder = sum(attention + norm + network + norm)
    decoder = sum(attention + norm + attention + norm + network + norm)
    return sum([vocabulary * c] + [encoder] * n_encoder + [decoder] * n_decoder)


# %% name="count-other-factored"
# %%other count
# What both blocks share, and what the decoder has besides.
def count_parameters(vocabulary, c, f, n_encoder, n_decoder):
    shared = 4 * c * (c + 1) + f * (2 * c + 1) + 5 * c
    besides = 4 * c * (c + 1) + 2 * c
    return c * vocabulary + shared * (n_encoder + n_decoder) + besides * n_decoder


# %% [markdown] name="teacher" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "2.3"}
# ## 3. What the decoder reads, and what it is asked for
#
# In training the decoder reads the target one place to the right, behind a start mark, and is asked at each place
# for the token that comes next; at the end of the target, for the stop mark. Where nothing is asked the label is
# -100.
#
# | | shape | |
# | --- | --- | --- |
# | `target` | (B, T) int64 | target tokens, padded on the right with `pad`; no marks yet |
# | `start`, `stop`, `pad` | int | the marks |
# | returns `inputs` | (B, T + 1) int64 | what the decoder reads, filled up with `pad` |
# | returns `labels` | (B, T + 1) int64 | what it is asked for, filled up with -100 |
#
# `pad` may be any number that is no token: larger or smaller than all tokens.
#
# **What usually goes wrong:** the stop mark stands behind the padding instead of behind the last token, or in the
# inputs; inputs and labels are the same, so that the model sees what it is asked for.


# %% name="teacher-answer"
def decoder_batch(target: Tensor, start: int, stop: int, pad: int) -> tuple[Tensor, Tensor]:
    """Inputs and labels (B, T + 1) of a decoder under teacher forcing."""
    ### BEGIN SOLUTION
    inputs = F.pad(target, (1, 0), value=start)
    lengths = (target != pad).sum(1, keepdim=True)  # (B, 1)
    place = torch.arange(target.size(1) + 1)
    labels = torch.where(place == lengths, stop, F.pad(target, (0, 1)))
    return inputs, labels.masked_fill(place > lengths, -100)
    ### END SOLUTION


# %% name="teacher-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_transformer", "teacher", decoder_batch)

# %% [markdown] name="teacher-hint-1"
# Write one row down: target 7 8 9 and one padding. The inputs are start 7 8 9 pad. What should the model say at
# each of these places?

# %% [markdown] name="teacher-hint-2"
# The label at place t is the input at place t + 1, with the stop mark right behind the last real token. Count the
# real tokens of each row.

# %% name="teacher-parts"
teacher = FunctionQuestion(
    "decoder_batch",
    returns=("inputs", "labels"),
    atol=1e-9,
    because="tokens are exact",
)


def padded(draw, lengths, pad):
    width = max(lengths)
    tokens = torch.stack([draw.order(20)[:width] + 5 for _ in lengths])
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return {"target": tokens.masked_fill(~mask, pad), "start": 1, "stop": 2, "pad": pad}


@teacher.case(points=1)
def no_padding(draw):
    """two targets of four tokens"""
    return padded(draw, [4, 4], pad=0)


@teacher.case(points=2)
def with_padding(draw):
    """targets of 5, 2 and 3 tokens"""
    return padded(draw, [5, 2, 3], pad=0)


@teacher.case(points=1)
def other_pad(draw):
    """padding with a number that is larger than all tokens, and an empty target"""
    return padded(draw, [3, 0, 1], pad=30)


# %% name="teacher-mistake-stop-behind-padding"
# %%mistake teacher
# The stop mark stands behind the padding. It belongs right behind the last real token; after it nothing is asked.
def decoder_batch(target, start, stop, pad):
    labels = F.pad(target, (0, 1), value=stop)
    return F.pad(target, (1, 0), value=start), labels.masked_fill(labels == pad, -100)


# %% name="teacher-mistake-padding-asked"
# %%mistake teacher
# The model is asked for padding. Put -100 there, or it learns to write padding, and the loss looks better than it is.
def decoder_batch(target, start, stop, pad):
    lengths = (target != pad).sum(1, keepdim=True)
    place = torch.arange(target.size(1) + 1)
    return F.pad(target, (1, 0), value=start), torch.where(place == lengths, stop, F.pad(target, (0, 1), value=pad))


# %% name="teacher-mistake-no-shift"
# %%mistake teacher
# The labels stand at the places of the inputs: the model sees the very token that it is asked for.
def decoder_batch(target, start, stop, pad):
    inputs = F.pad(target, (1, 0), value=start)
    return inputs, inputs.masked_fill(inputs == pad, -100)


# %% name="teacher-mistake-no-start"
# %%mistake teacher
# The start mark is missing, so inputs and labels stand at the same places: the model sees the very token that it is
# asked for. Put the start mark in front of the inputs.
def decoder_batch(target, start, stop, pad):
    lengths = (target != pad).sum(1, keepdim=True)
    place = torch.arange(target.size(1) + 1)
    labels = torch.where(place == lengths, stop, F.pad(target, (0, 1), value=pad))
    return F.pad(target, (0, 1), value=pad), labels.masked_fill(place > lengths, -100)


# %% name="teacher-mistake-no-stop"
# %%mistake teacher
# Nothing asks for the stop mark. The model would never learn to end.
def decoder_batch(target, start, stop, pad):
    labels = F.pad(target, (0, 1), value=pad)
    return F.pad(target, (1, 0), value=start), labels.masked_fill(labels == pad, -100)


# %% name="teacher-mistake-zero-is-padding"
# %%mistake teacher
# 0 is taken for padding. The padding has the number `pad`.
def decoder_batch(target, start, stop, pad):
    lengths = (target != 0).sum(1, keepdim=True)
    place = torch.arange(target.size(1) + 1)
    labels = torch.where(place == lengths, stop, F.pad(target, (0, 1), value=0))
    return F.pad(target, (1, 0), value=start), labels.masked_fill(place > lengths, -100)


# %% name="teacher-mistake-stop-behind-padding-asked"
# %%mistake teacher
# The padding is still in the labels, and the stop mark stands behind it. The stop mark belongs right behind the last
# real token; after it every label is -100.
def decoder_batch(target, start, stop, pad):
    return F.pad(target, (1, 0), value=start), F.pad(target, (0, 1), value=stop)


# %% name="teacher-mistake-stop-in-the-inputs"
# %%mistake teacher
# The decoder reads the stop mark of the short rows. Inputs are the start mark, the target and `pad`: nobody asks what
# follows the stop.
def decoder_batch(target, start, stop, pad):
    lengths = (target != pad).sum(1, keepdim=True)
    place = torch.arange(target.size(1) + 1)
    labels = torch.where(place == lengths, stop, F.pad(target, (0, 1), value=pad))
    inputs = F.pad(labels, (1, 0), value=start)[:, :-1]
    return inputs, labels.masked_fill(place > lengths, -100)


# %% name="teacher-mistake-no-label-in-the-inputs"
# %%mistake teacher
# -100 stands in the inputs. It is a label only: no embedding has a row -100. The inputs are filled up with `pad`.
def decoder_batch(target, start, stop, pad):
    lengths = (target != pad).sum(1, keepdim=True)
    place = torch.arange(target.size(1) + 1)
    labels = torch.where(place == lengths, stop, F.pad(target, (0, 1), value=pad))
    inputs = F.pad(target, (1, 0), value=start)
    return inputs.masked_fill(inputs == pad, -100), labels.masked_fill(place > lengths, -100)


# %% name="teacher-mistake-marks-exchanged"
# %%mistake teacher
# Start and stop are exchanged. The decoder reads the start mark first, and is asked for the stop mark at the end.
def decoder_batch(target, start, stop, pad):
    lengths = (target != pad).sum(1, keepdim=True)
    place = torch.arange(target.size(1) + 1)
    labels = torch.where(place == lengths, start, F.pad(target, (0, 1), value=pad))
    return F.pad(target, (1, 0), value=stop), labels.masked_fill(place > lengths, -100)


# %% name="teacher-other-lists"
# %%other teacher
# Row by row, with lists.
def decoder_batch(target, start, stop, pad):
    inputs, labels, width = [], [], target.size(1) + 1
    for row in target.tolist():
        tokens = [token for token in row if token != pad]
        inputs.append([start, *tokens] + [pad] * (width - 1 - len(tokens)))
        labels.append([*tokens, stop] + [-100] * (width - 1 - len(tokens)))
    return torch.tensor(inputs), torch.tensor(labels)


# %% name="teacher-other-scatter"
# %%other teacher
# Fill with -100, then write the stop marks to their places.
def decoder_batch(target, start, stop, pad):
    inputs = torch.cat([torch.full_like(target[:, :1], start), target], dim=1)
    labels = torch.full_like(inputs, -100)
    labels[:, :-1] = torch.where(target == pad, -100, target)
    labels[torch.arange(len(target)), (target != pad).sum(1)] = stop
    return inputs, labels


# %% [markdown] name="diagnosis" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "2.3"}
# ## 4. Shapes, and a diagnosis
#
# **a.** A source of 7 tokens, 5 tokens that the decoder reads, 8 heads. How many attention weights (numbers after the
# softmax) does the cross-attention of one block compute for this pair? Set `weights`.
#
# **b.** A model has C = 100 and F = 400. Count only the matrices of an encoder block, no biases and no norms. What
# share of their parameters is feed-forward? Give `share` as a number between 0 and 1, with three digits.
#
# **c.** Two colleagues train an encoder-decoder to reverse digits. Whose trouble has which cause? Set `first` and
# `second` to the letter of the missing part: **a** positions, **b** residual connections, **c** causal mask, **d**
# the layer norm's gain.
#
# - `first`: the training loss is 0.00 after a few steps; when it writes, most sequences are wrong.
# - `second`: the loss stops at a level; it writes the right digits, in any order.

# %% name="diagnosis-answer"
weights = None  # a number
share = None  # a number
first = ""  # a letter
second = ""  # a letter
### BEGIN SOLUTION
weights = 280  # 8 heads, 5 rows, 7 columns
share = 0.667  # 2·C·4C of 4·C·C + 2·C·4C
first = "c"
second = "a"
### END SOLUTION

# %% name="diagnosis-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("03_transformer", "diagnosis", weights=weights, share=share, first=first, second=second)

# %% [markdown] name="diagnosis-hint-1"
# For a: which tokens ask in a cross-attention, and which are looked at? What is the shape of its weights, with an axis
# for the heads? For b write down the shape of every matrix of the block.

# %% [markdown] name="diagnosis-hint-2"
# For c: a loss that is too good is a leak. What does the decoder see in training, and not when it writes? And for the
# second colleague: what does attention not know, when nobody tells it?

# %% name="diagnosis-parts"
diagnosis = ValueQuestion()
diagnosis.number("weights", points=1, title="a: the weights of the cross-attention")
diagnosis.number("share", points=1, title="b: the share of the feed-forward network")
diagnosis.choice("first", "abcd", points=1, title="c: the first colleague")
diagnosis.choice("second", "abcd", points=1, title="c: the second colleague")

# %% name="diagnosis-mistake-square-of-target"
# %%mistake diagnosis
# That is the target's self-attention. In cross-attention the keys come from the source, of which there are 7.
weights = 200

# %% name="diagnosis-mistake-one-head"
# %%mistake diagnosis
# Each head has weights of its own: 8 times as many.
weights = 35

# %% name="diagnosis-mistake-six-queries"
# %%mistake diagnosis
# That is 8 · 6 · 7. The decoder reads 5 tokens here, the start mark included.
weights = 336

# %% name="diagnosis-mistake-half"
# %%mistake diagnosis
# The network is twice as large as the attention: 2·C·4C against 4·C·C.
share = 0.5

# %% name="diagnosis-mistake-three-matrices"
# %%mistake diagnosis
# The attention has four matrices, not three.
share = 0.727

# %% name="diagnosis-mistake-two-digits"
# %%mistake diagnosis
# Nearly: give three digits.
share = 0.67

# %% name="diagnosis-mistake-percent"
# %%mistake diagnosis
# That is in percent. A share lies between 0 and 1.
share = 66.7

# %% name="diagnosis-mistake-share-of-attention"
# %%mistake diagnosis
# That is the share of the attention. The network has the rest.
share = 0.333

# %% name="diagnosis-mistake-times-the-attention"
# %%mistake diagnosis
# That is how many times as many parameters as the attention the network has. The question asks for its share of all.
share = 2

# %% name="diagnosis-mistake-residual-first"
# %%mistake diagnosis
# Without residuals training is slow; its loss is not too good, but too bad.
first = "b"

# %% name="diagnosis-mistake-positions-first"
# %%mistake diagnosis
# Without positions the loss cannot reach 0: the order is not known. Here the model sees its answer.
first = "a"

# %% name="diagnosis-mistake-mask-second"
# %%mistake diagnosis
# Without the causal mask the loss would be too good. Here the model knows the digits, and not where they stand.
second = "c"

# %% name="diagnosis-mistake-residual-second"
# %%mistake diagnosis
# Without residuals it learns more slowly, but it does learn the order. Here the order is what is missing.
second = "b"

# %% name="diagnosis-mistake-gain"
# %%mistake diagnosis
# Without the gain the norm still works, and the next matrix can scale as well. Neither picture follows from it.
first = "d"
second = "d"

# %% name="diagnosis-other-worked-out"
# %%other diagnosis
# The numbers as they are worked out.
weights = 8 * 5 * 7
share = 2 * 100 * 400 / (4 * 100 * 100 + 2 * 100 * 400)
first = "(C)"
second = "A"

# %% name="diagnosis-other-tensors"
# %%other diagnosis
# The numbers as tensors.
weights = torch.zeros(8, 5, 7).numel()
share = torch.tensor(2.0) / 3
first = "c."
second = " a"

# %% [markdown] name="end"
# ## Done?
#
# `hint("03_transformer", "sublayer", 1)` gives a first hint; each question has two. `lmbook check` on this notebook
# runs all of it again from the start, and `lmbook progress` says what is worth doing next.
