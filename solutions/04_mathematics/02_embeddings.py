# %% [markdown] name="title"
# # 4.2 词嵌入 · Embeddings — exercises
#
# 本节的练习先手写嵌入表的梯度，再由共现次数算出平移后的正点互信息矩阵，然后写出负采样跳字模型的损失与梯度，
# 最后推导它收敛到的值，并学会怎样读一个余弦相似度。
#
# You write what an embedding learns, in plain torch and without autograd. Each question has a cell for your answer
# and a cell that checks it. Section 4.2 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 02_embeddings

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="table" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "4.2"}
# ## 1. The gradient of a table
#
# An embedding layer has read some words. The gradient of the loss with respect to its output is known. What is the
# gradient with respect to the table? Write it without autograd.
#
# | | shape | |
# | --- | --- | --- |
# | `ids` | (B, T) int64 | the words that were read |
# | `arriving` | (B, T, C) | the gradient of the loss with respect to each output vector of the layer |
# | `vocab_size` | int | V |
# | `padding` | int or None | the word whose row must not learn (any of 0 to V-1), or None |
# | returns | (V, C) float32 | the gradient with respect to the table |
#
# **What usually goes wrong:** a word that stands twice gets one gradient only, and not the sum.


# %% name="table-answer"
def table_gradient(ids: Tensor, arriving: Tensor, vocab_size: int, padding: int | None) -> Tensor:
    """The gradient (V, C) of the loss by the embedding table."""
    ### BEGIN SOLUTION
    one_hot = F.one_hot(ids.flatten(), vocab_size).to(arriving.dtype)  # (B·T, V)
    gradient = one_hot.T @ arriving.flatten(0, 1)
    if padding is not None:
        gradient[padding] = 0
    return gradient
    ### END SOLUTION


# %% name="table-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_embeddings", "table", table_gradient)

# %% [markdown] name="table-hint-1"
# The layer is a product: X = O E with the one-hot rows O, one for each place. The derivative of a product by its
# right factor is the transposed left factor times what arrives.

# %% [markdown] name="table-hint-2"
# Flatten batch and time into one axis first. Instead of the product you can add each arriving row to its word's row
# with `index_add`; plain indexing with `+=` keeps only one of several.

# %% name="table-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

table = FunctionQuestion(
    "table_gradient",
    returns=("gradient",),
    atol=1e-5,
    because="sums of at most 20 values of about 1 in float32",
)


@table.case(points=1)
def different(draw):
    """each word once"""
    return {"ids": torch.tensor([[2, 0, 3]]), "arriving": draw.normal(1, 3, 4), "vocab_size": 5, "padding": None}


@table.case(points=1)
def repeated(draw):
    """a batch in which words come several times"""
    ids = torch.tensor([[1, 4, 1, 1], [4, 0, 1, 5]])
    return {"ids": ids, "arriving": draw.normal(2, 4, 3), "vocab_size": 7, "padding": None}


@table.case(points=1)
def padded(draw):
    """word 0 is padding and must not learn"""
    ids = torch.tensor([[3, 1, 3, 0, 0], [2, 2, 4, 1, 0]])
    return {"ids": ids, "arriving": draw.normal(2, 5, 4), "vocab_size": 6, "padding": 0}


@table.case(points=1)
def other_padding(draw):
    """word 3 is padding and must not learn; word 0 does"""
    ids = torch.tensor([[0, 1, 0, 3, 3], [2, 2, 4, 1, 3]])
    return {"ids": ids, "arriving": draw.normal(2, 5, 4), "vocab_size": 6, "padding": 3}


@table.invariant
def unread_rows_are_zero(got, inputs):
    """a word that was not read must have the gradient 0"""
    unread = torch.ones(inputs["vocab_size"], dtype=torch.bool)
    unread[inputs["ids"].flatten()] = False
    return not got[unread].any()


# %% name="table-mistake-overwritten"
# %%mistake table
# A word that stands several times keeps only the last of its gradients: assigning to a row overwrites it, and
# `gradient[ids] += …` with a tensor of ids does not add up either. Use `index_add` or the product with the one-hot
# matrix.
def table_gradient(ids, arriving, vocab_size, padding):
    gradient = torch.zeros(vocab_size, arriving.size(-1))
    for row, words in zip(arriving, ids, strict=True):
        for vector, word in zip(row, words.tolist(), strict=True):
            gradient[word] = vector
    if padding is not None:
        gradient[padding] = 0
    return gradient


# %% name="table-mistake-overwritten-in-a-row"
# %%mistake table
# A word that stands twice in one sequence keeps only its last gradient there: `gradient[ids[b]] += …` does not add up.
# Use `index_add` or the product with the one-hot matrix.
def table_gradient(ids, arriving, vocab_size, padding):
    gradient = torch.zeros(vocab_size, arriving.size(-1))
    for vectors, words in zip(arriving.numpy(), ids.tolist(), strict=True):
        last = dict(zip(words, vectors, strict=True))
        for word, vector in last.items():
            gradient[word] += torch.from_numpy(vector)
    if padding is not None:
        gradient[padding] = 0
    return gradient


# %% name="table-mistake-mean"
# %%mistake table
# This is the mean over the places of a word. The chain rule sums.
def table_gradient(ids, arriving, vocab_size, padding):
    one_hot = F.one_hot(ids.flatten(), vocab_size).float()
    gradient = one_hot.T @ arriving.flatten(0, 1) / one_hot.sum(0)[:, None].clamp(min=1)
    if padding is not None:
        gradient[padding] = 0
    return gradient


# %% name="table-mistake-padding"
# %%mistake table
# The row of the padding learns. Set its gradient to 0. (For the word 0, `if padding:` is False: ask
# `if padding is not None`.)
def table_gradient(ids, arriving, vocab_size, padding):
    return F.one_hot(ids.flatten(), vocab_size).float().T @ arriving.flatten(0, 1)


# %% name="table-mistake-row-zero"
# %%mistake table
# The row of word 0 is cleared. The padding is the word that `padding` names.
def table_gradient(ids, arriving, vocab_size, padding):
    gradient = F.one_hot(ids.flatten(), vocab_size).float().T @ arriving.flatten(0, 1)
    if padding is not None:
        gradient[0] = 0
    return gradient


# %% name="table-mistake-batch-mean"
# %%mistake table
# The sum is divided by the number of places. What arrives is already the gradient of the whole loss: only add it up.
def table_gradient(ids, arriving, vocab_size, padding):
    gradient = F.one_hot(ids.flatten(), vocab_size).float().T @ arriving.flatten(0, 1) / ids.numel()
    if padding is not None:
        gradient[padding] = 0
    return gradient


# %% name="table-mistake-sequence-mean"
# %%mistake table
# The sum is divided by B. What arrives is already the gradient of the whole loss: only add it up.
def table_gradient(ids, arriving, vocab_size, padding):
    gradient = F.one_hot(ids.flatten(), vocab_size).float().T @ arriving.flatten(0, 1) / len(ids)
    if padding is not None:
        gradient[padding] = 0
    return gradient


# %% name="table-other-index-add"
# %%other table
# Each arriving row is added to the row of its word.
def table_gradient(ids, arriving, vocab_size, padding):
    rows = arriving.reshape(-1, arriving.size(-1))
    gradient = torch.zeros(vocab_size, rows.size(1), dtype=rows.dtype).index_add(0, ids.reshape(-1), rows)
    return gradient if padding is None else gradient * (torch.arange(vocab_size) != padding)[:, None]


# %% name="table-other-loop"
# %%other table
# One word after the other: the sum of what arrives wherever it stands.
def table_gradient(ids, arriving, vocab_size, padding):
    rows = [arriving[ids == word].sum(0) * float(word != padding) for word in range(vocab_size)]
    return torch.stack(rows)


# %% [markdown] name="pmi" question={"points": 5, "difficulty": 3, "minutes": 20, "section": "4.2"}
# ## 2. The matrix behind Word2Vec
#
# From a table of counts compute the **shifted positive PMI**: $\max(\mathrm{PMI}(w,c) - \ln k,\ 0)$, with
# $\mathrm{PMI} = \ln\frac{N_{wc}N}{N_wN_c}$. The noise may be drawn by frequency to a power $\alpha$: then the
# context's share $N_c/N$ is replaced by $N_c^\alpha/\sum_{c'}N_{c'}^\alpha$.
#
# | | shape | |
# | --- | --- | --- |
# | `counts` | (V, U) float32 | how often word w met context c; a whole row or column may be 0 |
# | `k` | int | how many noise words for each pair |
# | `power` | float | $\alpha$ |
# | returns | (V, U) float32 | 0 wherever the pair was never seen |
#
# **What usually goes wrong:** the logarithm of 0; a division by an empty row; the power on the wrong side.


# %% name="pmi-answer"
def shifted_ppmi(counts: Tensor, k: int, power: float) -> Tensor:
    """max(PMI - ln k, 0) of each word and context (V, U)."""
    ### BEGIN SOLUTION
    words = counts.sum(1, keepdim=True)  # (V, 1)
    noise = counts.sum(0, keepdim=True) ** power  # (1, U)
    expected = k * words * noise / noise.sum()
    ratio = torch.where(counts > 0, counts / expected, 1.0)  # ln 1 = 0
    return ratio.log().clamp(min=0)
    ### END SOLUTION


# %% name="pmi-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_embeddings", "pmi", shifted_ppmi)

# %% [markdown] name="pmi-hint-1"
# Write the sum under the logarithm as a quotient: what was seen, N_wc, over what chance gives k times, k · N_w ·
# P(c). The shift is then already inside.

# %% [markdown] name="pmi-hint-2"
# Where a count is 0, put 1 in place of the quotient before you take the logarithm: `torch.where(counts > 0, ..., 1.0)`.

# %% name="pmi-parts"
pmi = FunctionQuestion(
    "shifted_ppmi",
    returns=("matrix",),
    atol=1e-4,
    because="logarithms of quotients of float32 sums",
)


@pmi.case(points=1)
def plain(draw):
    """no shift (k = 1), noise by frequency (power 1)"""
    return {"counts": draw.normal(4, 4).abs() * 20 + 1, "k": 1, "power": 1.0}


@pmi.case(points=1)
def shifted(draw):
    """k = 2"""
    return {"counts": draw.normal(5, 4).exp() ** 2 + 1, "k": 2, "power": 1.0}


@pmi.case(points=1)
def powered(draw):
    """noise to the power 3/4, and k = 2"""
    return {"counts": draw.normal(4, 6).exp() ** 2 * torch.arange(1, 7), "k": 2, "power": 0.75}


@pmi.case(points=2)
def with_zeros(draw):
    """pairs that were never seen, and an empty row and column; noise to the power 3/4, and k = 2"""
    counts = torch.from_numpy(draw.rng.poisson(0.6, (8, 8))).float()
    counts[2], counts[:, 1] = 0, 0
    return {"counts": counts, "k": 2, "power": 0.75}


@pmi.invariant
def never_negative(got, inputs):
    """no entry may be below 0"""
    return bool((got >= 0).all())


@pmi.invariant
def unseen_is_zero(got, inputs):
    """a pair that was never seen must have 0"""
    return not got[inputs["counts"] == 0].any()


# %% name="pmi-mistake-no-shift"
# %%mistake pmi
# The shift by ln k is missing. k noise words for each pair make chance look k times as likely.
def shifted_ppmi(counts, k, power):
    noise = counts.sum(0, keepdim=True) ** power
    expected = counts.sum(1, keepdim=True) * noise / noise.sum()
    return torch.where(counts > 0, counts / expected, 1.0).log().clamp(min=0)


# %% name="pmi-mistake-shift-after"
# %%mistake pmi
# The shift comes after the cut at 0: then entries below 0 appear. Subtract ln k first, cut last.
def shifted_ppmi(counts, k, power):
    noise = counts.sum(0, keepdim=True) ** power
    expected = counts.sum(1, keepdim=True) * noise / noise.sum()
    return torch.where(counts > 0, counts / expected, 1.0).log().clamp(min=0) - math.log(k)


# %% name="pmi-mistake-k-added"
# %%mistake pmi
# The shift has the wrong sign: more noise must lower the entries.
def shifted_ppmi(counts, k, power):
    noise = counts.sum(0, keepdim=True) ** power
    expected = counts.sum(1, keepdim=True) * noise / noise.sum() / k
    return torch.where(counts > 0, counts / expected, 1.0).log().clamp(min=0)


# %% name="pmi-mistake-base-two"
# %%mistake pmi
# The logarithm is to base 2; ln is the natural one, `torch.log`.
def shifted_ppmi(counts, k, power):
    noise = counts.sum(0, keepdim=True) ** power
    expected = k * counts.sum(1, keepdim=True) * noise / noise.sum()
    return torch.where(counts > 0, counts / expected, 1.0).log2().clamp(min=0)


# %% name="pmi-mistake-no-power"
# %%mistake pmi
# The power is not used. Noise words are drawn by the frequency of the context to this power.
def shifted_ppmi(counts, k, power):
    noise = counts.sum(0, keepdim=True)
    expected = k * counts.sum(1, keepdim=True) * noise / noise.sum()
    return torch.where(counts > 0, counts / expected, 1.0).log().clamp(min=0)


# %% name="pmi-mistake-power-on-words"
# %%mistake pmi
# The power is on the words. Noise replaces the *context*: the power belongs on the sums of the columns.
def shifted_ppmi(counts, k, power):
    words = counts.sum(1, keepdim=True) ** power
    expected = k * words / words.sum() * counts.sum(0, keepdim=True)
    return torch.where(counts > 0, counts / expected, 1.0).log().clamp(min=0)


# %% name="pmi-mistake-total"
# %%mistake pmi
# After the power the shares of the contexts no longer sum to 1: divide by the sum of the powers, not by the sum of
# the counts.
def shifted_ppmi(counts, k, power):
    noise = counts.sum(0, keepdim=True) ** power
    expected = k * counts.sum(1, keepdim=True) * noise / counts.sum()
    return torch.where(counts > 0, counts / expected, 1.0).log().clamp(min=0)


# %% name="pmi-mistake-power-of-share"
# %%mistake pmi
# The share N_c/N is raised to the power, and then the shares no longer sum to 1. Divide by their sum over all contexts.
def shifted_ppmi(counts, k, power):
    noise = (counts.sum(0, keepdim=True) / counts.sum()) ** power
    expected = k * counts.sum(1, keepdim=True) * noise
    return torch.where(counts > 0, counts / expected, 1.0).log().clamp(min=0)


# %% name="pmi-mistake-empty"
# %%mistake pmi
# An empty row or column gives 0/0, which is NaN, and a cut at 0 does not remove it. Choose the seen pairs first.
def shifted_ppmi(counts, k, power):
    noise = counts.sum(0, keepdim=True) ** power
    expected = k * counts.sum(1, keepdim=True) * noise / noise.sum()
    return (counts / expected).log().clamp(min=0)


# %% name="pmi-other-logs"
# %%other pmi
# With logarithms of each part.
def shifted_ppmi(counts, k, power):
    share = torch.softmax(power * counts.sum(0).log(), dim=0)  # N_c^power over its sum
    pmi = counts.log() - counts.sum(1).log()[:, None] - share.log()[None] - math.log(k)
    return torch.relu(pmi.nan_to_num(-1.0, posinf=-1.0, neginf=-1.0)).masked_fill(counts == 0, 0.0)


# %% name="pmi-other-loop"
# %%other pmi
# One pair after the other.
def shifted_ppmi(counts, k, power):
    result = torch.zeros_like(counts)
    rows, columns = counts.sum(1).tolist(), counts.sum(0).tolist()
    total = sum(c**power for c in columns)
    for w, c in (counts > 0).nonzero().tolist():
        value = math.log(counts[w, c].item() * total / (rows[w] * columns[c] ** power)) - math.log(k)
        result[w, c] = max(value, 0.0)
    return result


# %% name="pmi-equivalent-axis"
# %%equivalent pmi
# A row of shape (U,) is broadcast in the same way as one of shape (1, U).
noise = counts.sum(0) ** power
noise = counts.sum(0, keepdim=False) ** power


# %% [markdown] name="sgns" question={"points": 6, "difficulty": 3, "minutes": 20, "section": "4.2"}
# ## 3. Skip-gram with negative sampling
#
# Write loss and gradients for a batch of pairs, without autograd:
# $\ell_b = -\ln\sigma(v_b\cdot u_b) - \sum_i\ln\sigma(-v_b\cdot n_{bi})$.
#
# | | shape | |
# | --- | --- | --- |
# | `v` | (B, C) | vectors of the words |
# | `u` | (B, C) | vectors of their true contexts |
# | `noise` | (B, K, C) | vectors of the noise words |
# | returns `loss` | (B,) | one number per pair |
# | returns `by_v` | (B, C) | for each word vector, the gradient of the loss of its pair |
# | returns `by_u` | (B, C) | the same for each context vector |
# | returns `by_noise` | (B, K, C) | the same for each noise vector |
#
# All tensors are float32, the results too. Products may be as large as 200.
#
# **What usually goes wrong:** a sign; a noise word treated as true; σ rounds to 0 and its logarithm is −∞.


# %% name="sgns-answer"
def skip_gram(v: Tensor, u: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Losses (B,) and gradients by v (B, C), u (B, C) and noise (B, K, C)."""
    ### BEGIN SOLUTION
    true = (v * u).sum(1)  # (B,)
    false = torch.einsum("bc,bkc->bk", v, noise)
    loss = F.softplus(-true) + F.softplus(false).sum(1)  # -ln σ(x) = softplus(-x)
    error = torch.sigmoid(true)[:, None] - 1  # (B, 1)
    noise_error = torch.sigmoid(false)[:, :, None]  # (B, K, 1)
    by_v = error * u + (noise_error * noise).sum(1)
    return loss, by_v, error * v, noise_error * v[:, None]
    ### END SOLUTION


# %% name="sgns-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_embeddings", "sgns", skip_gram)

# %% [markdown] name="sgns-hint-1"
# The derivative of −ln σ(x) is σ(x) − 1, that of −ln σ(−x) is σ(x). Then the chain rule: x is a dot product, so its
# derivative by one vector is the other.

# %% [markdown] name="sgns-hint-2"
# −ln σ(x) = ln(1 + e^(−x)), which is `F.softplus(-x)`; it never overflows.

# %% [markdown] name="sgns-hint-3"
# `v` takes part in K + 1 products: its gradient has K + 1 terms. `u` and each noise vector take part in one.

# %% name="sgns-parts"
sgns = FunctionQuestion(
    "skip_gram",
    returns=("loss", "by_v", "by_u", "by_noise"),
    atol=1e-4,
    because="sums of products of about 1 in float32; the loss may reach a few hundred",
)


@sgns.case(points=1)
def one_pair(draw):
    """one pair and one noise word, in two dimensions"""
    return {
        "v": torch.tensor([[1.0, 2.0]]),
        "u": torch.tensor([[0.5, 0.25]]),
        "noise": torch.tensor([[[-1.0, 1.0]]]),
    }


@sgns.case(points=3)
def batch(draw):
    """four pairs with five noise words each"""
    return {"v": draw.normal(4, 6), "u": draw.normal(4, 6), "noise": draw.normal(4, 5, 6)}


@sgns.case(points=2)
def large(draw):
    """products of about ±200"""
    v = torch.tensor([[10.0, 10.0, 0.0], [10.0, -10.0, 1.0]])
    u = torch.tensor([[-10.0, -10.0, 1.0], [10.0, -10.0, 0.0]])
    return {"v": v, "u": u, "noise": torch.stack([v, -v], dim=1) + 0.1 * draw.normal(2, 2, 3)}


@sgns.invariant
def loss_is_positive(got, inputs):
    """a sum of minus logarithms of probabilities cannot be negative"""
    return bool((got[0] >= 0).all())


# %% name="sgns-mistake-overflow"
# %%mistake sgns
# One of two overflows: σ(−200) is 0 in float32 and its logarithm minus infinity, or e^200 is infinite. `F.softplus` and
# `F.logsigmoid` are safe.
def skip_gram(v, u, noise):
    true, false = (v * u).sum(1), (noise @ v[:, :, None]).squeeze(2)
    loss = -torch.sigmoid(true).log() - torch.sigmoid(-false).log().sum(1)
    error, noise_error = torch.sigmoid(true)[:, None] - 1, torch.sigmoid(false)[:, :, None]
    return loss, error * u + (noise_error * noise).sum(1), error * v, noise_error * v[:, None]


# %% name="sgns-mistake-small-number"
# %%mistake sgns
# The small number inside the logarithm caps each term of the loss, at about 20 for 1e-9. Use `F.softplus` or
# `F.logsigmoid`.
def skip_gram(v, u, noise):
    true, false = (v * u).sum(1), (noise @ v[:, :, None]).squeeze(2)
    loss = -(torch.sigmoid(true) + 1e-9).log() - (torch.sigmoid(-false) + 1e-9).log().sum(1)
    error, noise_error = torch.sigmoid(true)[:, None] - 1, torch.sigmoid(false)[:, :, None]
    return loss, error * u + (noise_error * noise).sum(1), error * v, noise_error * v[:, None]


# %% name="sgns-mistake-noise-sign"
# %%mistake sgns
# The noise is treated as true: its products should be small, so its term is −ln σ(−x).
def skip_gram(v, u, noise):
    true, false = (v * u).sum(1), (noise @ v[:, :, None]).squeeze(2)
    loss = F.softplus(-true) + F.softplus(-false).sum(1)
    error, noise_error = torch.sigmoid(true)[:, None] - 1, torch.sigmoid(false)[:, :, None] - 1
    return loss, error * u + (noise_error * noise).sum(1), error * v, noise_error * v[:, None]


# %% name="sgns-mistake-noise-sign-in-loss"
# %%mistake sgns
# The gradients are right, but the loss treats the noise as true: its products should be small, so its term is
# −ln σ(−x).
def skip_gram(v, u, noise):
    true, false = (v * u).sum(1), (noise @ v[:, :, None]).squeeze(2)
    loss = F.softplus(-true) + F.softplus(-false).sum(1)
    error, noise_error = torch.sigmoid(true)[:, None] - 1, torch.sigmoid(false)[:, :, None]
    return loss, error * u + (noise_error * noise).sum(1), error * v, noise_error * v[:, None]


# %% name="sgns-mistake-exchanged"
# %%mistake sgns
# `by_v` and `by_u` have changed places. The derivative by one vector has the *other* vector in it: `by_v` is made of
# `u` and the noise.
def skip_gram(v, u, noise):
    true, false = (v * u).sum(1), (noise @ v[:, :, None]).squeeze(2)
    loss = F.softplus(-true) + F.softplus(false).sum(1)
    error, noise_error = torch.sigmoid(true)[:, None] - 1, torch.sigmoid(false)[:, :, None]
    return loss, error * v, error * u + (noise_error * noise).sum(1), noise_error * v[:, None]


# %% name="sgns-mistake-derivative-of-sigmoid"
# %%mistake sgns
# This is the derivative of σ, not of ln σ: the derivative of ln σ(x) is 1 − σ(x).
def skip_gram(v, u, noise):
    true, false = (v * u).sum(1), (noise @ v[:, :, None]).squeeze(2)
    loss = F.softplus(-true) + F.softplus(false).sum(1)
    p, q = torch.sigmoid(true)[:, None], torch.sigmoid(false)[:, :, None]
    error, noise_error = -p * (1 - p), q * (1 - q)
    return loss, error * u + (noise_error * noise).sum(1), error * v, noise_error * v[:, None]


# %% name="sgns-mistake-ascent"
# %%mistake sgns
# The gradients have the wrong sign: they point to where the loss falls. The error is σ(x) minus what was right.
def skip_gram(v, u, noise):
    true, false = (v * u).sum(1), (noise @ v[:, :, None]).squeeze(2)
    loss = F.softplus(-true) + F.softplus(false).sum(1)
    error, noise_error = 1 - torch.sigmoid(true)[:, None], -torch.sigmoid(false)[:, :, None]
    return loss, error * u + (noise_error * noise).sum(1), error * v, noise_error * v[:, None]


# %% name="sgns-mistake-only-true"
# %%mistake sgns
# The gradient by v has the true context only. v takes part in the products with the noise as well: K more terms.
def skip_gram(v, u, noise):
    true, false = (v * u).sum(1), (noise @ v[:, :, None]).squeeze(2)
    loss = F.softplus(-true) + F.softplus(false).sum(1)
    error, noise_error = torch.sigmoid(true)[:, None] - 1, torch.sigmoid(false)[:, :, None]
    return loss, error * u, error * v, noise_error * v[:, None]


# %% name="sgns-mistake-mean-noise"
# %%mistake sgns
# The noise terms are averaged. The loss has their sum: with five noise words chance counts five times, which is the
# ln k of the derivation.
def skip_gram(v, u, noise):
    true, false = (v * u).sum(1), (noise @ v[:, :, None]).squeeze(2)
    loss = F.softplus(-true) + F.softplus(false).mean(1)
    error, noise_error = torch.sigmoid(true)[:, None] - 1, torch.sigmoid(false)[:, :, None] / noise.size(1)
    return loss, error * u + (noise_error * noise).sum(1), error * v, noise_error * v[:, None]


# %% name="sgns-other-stacked"
# %%other sgns
# True context and noise in one table with labels 1 and 0: a logistic regression.
def skip_gram(v, u, noise):
    others = torch.cat([u[:, None], noise], dim=1)  # (B, 1 + K, C)
    labels = torch.zeros(others.shape[:2])
    labels[:, 0] = 1
    scores = (others * v[:, None]).sum(-1)
    loss = F.binary_cross_entropy_with_logits(scores, labels, reduction="none").sum(1)
    error = (scores.sigmoid() - labels)[..., None]
    by_others = error * v[:, None]
    return loss, (error * others).sum(1), by_others[:, 0], by_others[:, 1:]


# %% name="sgns-other-logsigmoid"
# %%other sgns
# Pair by pair, with logsigmoid.
def skip_gram(v, u, noise):
    parts = []
    for word, context, drawn in zip(v, u, noise, strict=True):
        loss = -F.logsigmoid(word @ context) - F.logsigmoid(-(drawn @ word)).sum()
        error, noise_error = -torch.sigmoid(-(word @ context)), torch.sigmoid(drawn @ word)
        parts.append((loss, error * context + noise_error @ drawn, error * word, torch.outer(noise_error, word)))
    return tuple(torch.stack(part) for part in zip(*parts, strict=True))


# %% [markdown] name="reading" question={"points": 4, "difficulty": 2, "minutes": 10, "section": "4.2"}
# ## 4. What it converges to
#
# **A pair.** In a corpus of N = 10 000 pairs a word has $N_w = 100$, a context $N_c = 200$, and they met $N_{wc} =
# 40$ times. Skip-gram with k = 5 and noise by frequency has converged, with vectors long enough. What is the
# `product` $v_w\cdot u_c$? Three digits.
#
# **Never seen.** Another pair of the same corpus has $N_w = 100$, $N_c = 200$ and never met. How many meetings would
# you expect by chance (`expected`)?
#
# **A tied table.** A model has V = 1000, C = 64 and 100 000 parameters besides its tables. Divide the number of all
# parameters of the untied model by that of the tied one: what is this `factor`? Three digits.
#
# **A cosine.** In a model two words have cosine 0.5. What do you conclude? Set `conclusion` to its letter.
#
# - **a** They are related in meaning: unrelated words have cosine 0.
# - **b** Half of their contexts are the same.
# - **c** Nothing yet: random pairs of this model may have a mean of 0.5. Compare with them.
# - **d** They are synonyms if both are frequent.

# %% name="reading-answer"
product = None  # a number
expected = None  # a number
factor = None  # a number
conclusion = ""  # the letter
### BEGIN SOLUTION
product = 1.386  # ln(40 · 10000 / (100 · 200)) - ln 5 = ln 20 - ln 5 = ln 4
expected = 2  # 100 · 200 / 10000
factor = 1.39  # (100000 + 128000) / (100000 + 64000)
conclusion = "c"
### END SOLUTION

# %% name="reading-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_embeddings", "reading", product=product, expected=expected, factor=factor, conclusion=conclusion)

# %% [markdown] name="reading-hint-1"
# The product tends to PMI − ln k, with PMI = ln(N_wc · N / (N_w · N_c)).

# %% [markdown] name="reading-hint-2"
# Tied: one table of V · C numbers. Untied: two.

# %% name="reading-parts"
reading = ValueQuestion()
reading.number("product", points=1, title="the product of the pair")
reading.number("expected", points=1, title="meetings by chance")
reading.number("factor", points=1, title="untied over tied")
reading.choice("conclusion", "abcd", points=1, title="what a cosine says")

# %% name="reading-mistake-no-shift"
# %%mistake reading
# That is the PMI. Five noise words for each pair shift it by ln 5.
product = 2.996

# %% name="reading-mistake-log2"
# %%mistake reading
# That is the value in bits. The sigmoid is made with e: natural logarithms.
product = 2

# %% name="reading-mistake-k-added"
# %%mistake reading
# The shift has the wrong sign: more noise lowers the product.
product = 4.605

# %% name="reading-mistake-shift-alone"
# %%mistake reading
# That is the shift, ln 5, alone. Subtract it from the PMI.
product = 1.609

# %% name="reading-mistake-no-logarithm"
# %%mistake reading
# That is the quotient. The product is its natural logarithm.
product = 4

# %% name="reading-mistake-neither"
# %%mistake reading
# That is the quotient under the logarithm of the PMI. Take its natural logarithm, and subtract ln 5.
product = 20

# %% name="reading-mistake-with-k"
# %%mistake reading
# Chance alone gives N_w · N_c / N. The factor k belongs to the noise of the training, not to the text.
expected = 10

# %% name="reading-mistake-zero"
# %%mistake reading
# They never met, but the question is how often they would meet by chance: N_w · N_c / N.
expected = 0

# %% name="reading-mistake-probability"
# %%mistake reading
# That is the probability that one pair of the corpus is this one. Times N it is a number of meetings.
expected = 0.0002

# %% name="reading-mistake-share"
# %%mistake reading
# That is the context's share, N_c / N: the chance at one place. The word stands at N_w places.
expected = 0.02

# %% name="reading-mistake-double"
# %%mistake reading
# Only the table is doubled, not the whole model.
factor = 2

# %% name="reading-mistake-inverse"
# %%mistake reading
# That is the tied model as a share of the untied one. The question asks for the other way round.
factor = 0.719

# %% name="reading-mistake-tied-without-table"
# %%mistake reading
# The tied model has a table too: 164 000 parameters.
factor = 2.28

# %% name="reading-mistake-one-table"
# %%mistake reading
# That is 164 000 over 100 000, one table and none. The tied model has one table, the untied model two.
factor = 1.64

# %% name="reading-mistake-difference"
# %%mistake reading
# That is by how much the untied model is larger. The question asks for the quotient of the two.
factor = 0.39

# %% name="reading-mistake-zero-cosine"
# %%mistake reading
# Word vectors share a direction: random pairs of Word2Vec have a mean cosine far above 0.
conclusion = "a"

# %% name="reading-mistake-half"
# %%mistake reading
# A cosine is no share of contexts: it is a normalised dot product of learned vectors.
conclusion = "b"

# %% name="reading-mistake-synonyms"
# %%mistake reading
# Frequent words share contexts with many others, opposites included.
conclusion = "d"

# %% name="reading-other-worked-out"
# %%other reading
# The numbers as they are worked out.
product = math.log(40 * 10_000 / (100 * 200)) - math.log(5)
expected = 100 * 200 / 10_000
factor = (100_000 + 2 * 1000 * 64) / (100_000 + 1000 * 64)
conclusion = "(C)"

# %% name="reading-other-tensors"
# %%other reading
# The same with tensors.
product = torch.tensor(4.0).log()
expected = torch.tensor(100.0) * 0.02
factor = torch.tensor(228.0) / 164
conclusion = "c."

# %% [markdown] name="end"
# ## Done?
#
# `hint("02_embeddings", "table", 1)` gives a first hint; each question has two or three. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
