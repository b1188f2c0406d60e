# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 4.3 注意力的数学 · The mathematics of attention
#
# 本节推导注意力公式的梯度，并用自动微分与有限差分检验。
# 然后说明分数变大时 softmax 为何饱和，多头为何是若干低秩映射之和，置换等变性如何证明。
# 最后说明注意力为何是核平滑，并数清它的计算量。
#
# After this section you can write the backward pass of attention by hand, say when a softmax freezes, read a head
# as two low-rank matrices, and count its operations. [Section 2.2](../02_core_concepts/02_attention.ipynb) introduces
# attention itself; here we take the formula apart.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import math
from itertools import permutations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lmlib import plots
from lmlib.attention import MultiHeadAttention, attention, causal_mask
from lmlib.course import ledger, record, session
from lmlib.models import from_pretrained

device = session.start(seed, device, profile)

# %% [markdown] name="gradient"
# ## 4.3.1 公式与梯度 · The formula and its gradient
#
# Attention in three steps, with T queries, S keys, keys of length D, values of length $D_v$:
#
# $$A = \frac{QK^\top}{\sqrt D},\qquad P = \mathrm{softmax}(A),\qquad O = PV$$
#
# $A$ and $P$ are (T, S), $O$ is (T, $D_v$), and each row of $P$ sums to 1. Training asks the reverse question: when
# the loss changes by $dO$ for each entry of $O$, how does it change for $Q$, $K$ and $V$? We walk back through the
# three steps. (Here $dX$ stands for $\partial\mathcal L/\partial X$, which has the shape of $X$.)
#
# **Step 3.** $O = PV$ is a matrix product. The derivative of a product by one factor is what arrives times the other,
# transposed: $dV = P^\top dO$ and $dP = dO\,V^\top$.
#
# **Step 1** is a product, too: $dQ = dA\,K/\sqrt D$ and $dK = dA^\top Q/\sqrt D$.

# %% [markdown] name="softmax-jacobian"
# **Step 2** needs the derivative of the softmax. For one row, $p_i = e^{a_i}/\sum_j e^{a_j}$. The quotient rule gives
#
# $$\frac{\partial p_i}{\partial a_j} = p_i([i=j] - p_j),\qquad J = \mathrm{diag}(p) - pp^\top .$$
#
# Multiply by what arrives: $da = J\,dp = p\odot(dp - p\cdot dp)$. In words: raising score $j$ raises the loss if
# $dp_j$ is *above the average* of $dp$ under the present weights. For the whole matrix
#
# $$dA = P\odot\big(dP - \mathrm{rowsum}(P\odot dP)\big).$$
#
# And since $\mathrm{rowsum}(P\odot dP) = \mathrm{rowsum}(O\odot dO)$ (put $dP = dO\,V^\top$ in), the average is known
# from $O$ and $dO$. Fused kernels use this: they need not keep $P$.


# %% name="backward-code"
def attention_backward(query, key, value, arriving):
    """The gradients of attention by query (T, D), key (S, D) and value (S, D_v); arriving is dO (T, D_v)."""
    scale = 1 / math.sqrt(query.size(-1))
    weights = torch.softmax(query @ key.mT * scale, dim=-1)  # P (T, S)
    by_value = weights.mT @ arriving
    by_weights = arriving @ value.mT  # dP (T, S)
    average = ((weights @ value) * arriving).sum(-1, keepdim=True)  # rowsum(O ∘ dO), (T, 1)
    by_scores = weights * (by_weights - average)  # dA (T, S)
    return by_scores @ key * scale, by_scores.mT @ query * scale, by_value


# %% [markdown] name="by-hand-text"
# On paper: one query, two keys with equal scores, so $p = (\frac12, \frac12)$. The values are 1 and 5, the output is
# 3, and the loss grows with the output ($dO = 1$). Then $dp = (1, 5)$, the average is 3, and $da = (\frac12(1-3),
# \frac12(5-3)) = (-1, 1)$: the loss grows with the score of the larger value. A step of training goes against the
# gradient, so weight moves to the smaller one.

# %% name="by-hand" tags=["nbval-check-output"]
query, key = torch.tensor([[1.0]]), torch.tensor([[0.0], [0.0]])
value = torch.tensor([[1.0], [5.0]])
by_query, by_key, by_value = attention_backward(query, key, value, torch.tensor([[1.0]]))
print("by the keys:", by_key.flatten().tolist(), "  by the values:", by_value.flatten().tolist())
record.check("the keys get -1 and 1", by_key.flatten().tolist() == [-1, 1])

# %% [markdown] name="witness-text"
# Three witnesses for random matrices, in float64. First autograd, through lmlib's attention. Second a finite
# difference: move along a random direction by $\pm\varepsilon$ and compare. Third torch's `gradcheck`, which moves
# every single entry.

# %% name="witnesses" tags=["nbval-check-output"]
generator = torch.Generator().manual_seed(seed)
query, key, value, arriving = (
    torch.randn(n, d, dtype=torch.float64, generator=generator) for n, d in ((5, 8), (7, 8), (7, 6), (5, 6))
)
inputs = [x.clone().requires_grad_() for x in (query, key, value)]
output, _ = attention(*(x[None, None] for x in inputs))
by_autograd = torch.autograd.grad(output[0, 0], inputs, arriving)
by_formula = attention_backward(query, key, value, arriving)
record.check(
    "the formula equals autograd",
    all(torch.allclose(a, b, atol=1e-12) for a, b in zip(by_autograd, by_formula, strict=True)),
)


def loss_at(step):
    """The loss (O · dO) after a step along random directions."""
    moved = [x + step * d for x, d in zip((query, key, value), directions, strict=True)]
    return ((torch.softmax(moved[0] @ moved[1].mT / math.sqrt(8), dim=-1) @ moved[2]) * arriving).sum()


directions = [torch.randn(x.shape, dtype=torch.float64, generator=generator) for x in (query, key, value)]
difference = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
slope = sum((g * d).sum() for g, d in zip(by_formula, directions, strict=True))
record.check("and a finite difference, to 8 digits", abs(difference / slope - 1) < 1e-8)


# %% name="gradcheck" tags=["nbval-check-output"]
class HandMade(torch.autograd.Function):
    """Attention whose backward pass is our formula."""

    @staticmethod
    def forward(context, query, key, value):
        context.save_for_backward(query, key, value)
        return torch.softmax(query @ key.mT / math.sqrt(query.size(-1)), dim=-1) @ value

    @staticmethod
    def backward(context, arriving):
        return attention_backward(*context.saved_tensors, arriving)


record.check("gradcheck accepts the hand-made backward pass", torch.autograd.gradcheck(HandMade.apply, inputs))

# %% [markdown] name="jacobian-facts"
# **Four facts about $J = \mathrm{diag}(p) - pp^\top$**, each with a reason. It is symmetric. $J\mathbb 1 = p - p =
# 0$: adding a number to all scores changes nothing. It is positive semidefinite, since $x^\top Jx$ is the *variance*
# of $x$ under the weights $p$. And no eigenvalue exceeds $\frac12$: the variance of a unit vector's entries is
# largest for two entries $\pm\frac1{\sqrt2}$ with weights ½ each.

# %% name="jacobian-check" tags=["nbval-check-output"]
p = torch.softmax(3 * torch.randn(1000, 16, dtype=torch.float64), dim=-1)
J = torch.diag_embed(p) - p[:, :, None] * p[:, None]
eigenvalues = torch.linalg.eigvalsh(J)
record.check("rows sum to 0", torch.allclose(J.sum(-1), torch.zeros(1000, 16, dtype=torch.float64)))
record.check(
    "no eigenvalue below 0 or above 1/2", bool(eigenvalues.min() > -1e-12 and eigenvalues.max() <= 0.5 + 1e-12)
)
pair = torch.tensor([0.5, 0.5], dtype=torch.float64)
record.check(
    "two equal weights reach 1/2",
    torch.isclose(torch.linalg.eigvalsh(torch.diag(pair) - torch.outer(pair, pair))[-1], pair[0]),
)

# %% [markdown] name="saturation"
# ## 4.3.2 尺度与饱和 · When the scores grow
#
# The trace of $J$ is $\sum_i p_i(1-p_i)$. If one weight is near 1 all its entries are near 0: no gradient reaches the
# scores. Two keys show it: $p = \sigma(s)$ with $s$ the difference of the scores, and $p' = p(1-p)$.
#
# How large are scores at the start of training? If the entries of $q$ and $k$ are independent with mean 0 and
# variance 1, then $\mathrm{Var}(q\cdot k) = \sum_{i=1}^{D}\mathrm{Var}(q_ik_i) = D$ (section 2.2 measures it). So raw
# scores have standard deviation $\sigma=\sqrt D$, scaled ones $\sigma = 1$. What does $\sigma$ do to a softmax over
# $n$ keys?
#
# Take scores $a_j$ normal with deviation $\sigma$. For many keys $\sum_j e^{a_j} \approx n\,\mathbb E[e^a] = n
# e^{\sigma^2/2}$, and the weights shift the mean score to $\mathbb E[a e^a]/\mathbb E[e^a] = \sigma^2$. Hence the
# entropy of the weights
#
# $$H = \ln\sum_j e^{a_j} - \sum_j p_ja_j \approx \ln n + \tfrac{\sigma^2}{2} - \sigma^2 = \ln n -
# \tfrac{\sigma^2}{2}.$$
#
# $e^H$ is the number of keys that are really looked at. In this formula it reaches 1, a hard choice, at $\sigma =
# \sqrt{2\ln n}$. Physicists know this point: a glass freezes there (the random energy model). With few keys the
# true curve leaves the formula earlier, as the dotted lines below show.

# %% name="freeze-measure"
N_DRAWS = {"quick": 300, "full": 5000}[profile]
SIGMAS = np.linspace(0, 8, 33)
KEYS = (16, 256, 4096)


def mean_entropy(n, sigma):
    """Mean entropy of softmax weights over n normal scores, in nats."""
    p = torch.softmax(sigma * torch.randn(N_DRAWS, n, device=device), dim=-1)
    return -torch.special.xlogy(p, p).sum(-1).mean().item()


looked_at = {n: np.exp([mean_entropy(n, s) for s in SIGMAS]) for n in KEYS}

# %% name="freeze-plot"
fig, (ax,) = plots.figure("How many keys does a query look at?", width=6.4, height=3.6)
curves = {f"{n} keys": looked_at[n] for n in KEYS}
x_label = "standard deviation of the scores, σ"
plots.lines(ax, SIGMAS, curves, x_label=x_label, y_label="keys looked at, exp(H)", markers=False)
for n in KEYS:
    below = math.sqrt(2 * math.log(n)) >= SIGMAS
    ax.plot(SIGMAS[below], n * np.exp(-(SIGMAS[below] ** 2) / 2), color="#999999", linewidth=0.9, linestyle=":")
for sigma, name, side in ((1.1, "scaled", "left"), (7.9, "raw, D = 64", "right")):
    ax.axvline(round(sigma), color="#333333", linewidth=0.8)
    ax.text(sigma, 2500, name, ha=side)
ax.set_yscale("log")
ax.legend(loc=(0.55, 0.5))
plots.show(
    fig,
    alt="Number of keys looked at against the deviation of the scores, for 16, 256 and 4096 keys, on a logarithmic "
    "axis. Each curve begins at its number of keys, follows the dotted formula at first and then stays above it; at "
    "deviation 8, that of raw scores with D = 64, all are below 4.",
)

# %% name="freeze-check"
at_one = int(np.argmin(abs(SIGMAS - 1)))
for n, band in zip(KEYS, (0.2, 0.1, 0.1), strict=True):  # the formula is for many keys
    share = looked_at[n][at_one] / (n / math.sqrt(math.e))
    record.check(f"{n} keys, scaled scores: exp(H) is n/√e, within {band:.0%}", abs(share - 1) < band)
    record.check(f"{n} keys, raw scores of D = 64: fewer than 4 are looked at", looked_at[n][-1] < 4)
record.check("for raw scores of D = 64 not to freeze, e^32 keys are needed: over 10^13", math.exp(64 / 2) > 1e13)

# %% [markdown] name="gradient-through-text"
# And the gradient? We send a random $dP$ back through softmaxes of growing $\sigma$ and measure what arrives at the
# scores.

# %% name="gradient-through"
sigmas = torch.linspace(0.25, 16, 64)
scores = torch.randn(N_DRAWS, 64, dtype=torch.float64)
arriving_p = torch.randn(N_DRAWS, 64, dtype=torch.float64)
through, alive = [], []
for s in sigmas.tolist():
    p = torch.softmax(s * scores, dim=-1)
    by_scores = (p * (arriving_p - (p * arriving_p).sum(-1, keepdim=True))).norm(dim=-1)
    through.append(by_scores.median().item())
    alive.append((by_scores > 0.01).double().mean().item())
fig, (ax,) = plots.figure("What comes back through a softmax over 64 keys", width=5.8, height=3.0)
plots.lines(
    ax,
    sigmas,
    {"median gradient": through, "share of rows above 0.01": alive},
    x_label="standard deviation of the scores, σ",
    y_label="norm, share",
    markers=False,
)
ax.set_ylim(0, 1.05)
plots.show(
    fig,
    alt="Against the deviation of the scores: the median norm of the gradient rises to a maximum at a moderate "
    "deviation and then falls towards 0; the share of rows that still get a gradient falls as well.",
)

# %% name="gradient-through-check"
peak = sigmas[int(np.argmax(through))].item()
record.metric("deviation with the largest median gradient", peak)
record.check("the gradient is largest at a moderate deviation, 1 to 8", 1 <= peak <= 8)
record.check("at 16 the median is below a tenth of its maximum", through[-1] < max(through) / 10)
record.check("and fewer rows are alive than at 1", alive[-1] < alive[3])

# %% [markdown] name="saturation-lesson"
# Two lessons. The scale $1/\sqrt D$ puts the start where every query looks at a fixed share of the keys, $1/\sqrt e$,
# at any width and any length. And sharpness has a price that grows with the number of keys: random scores need a
# deviation beyond $\sqrt{2\ln n}$, and one key that leads all others by $a$ gets half of the weight only at $a =
# \ln(n-1)$.

# %% [markdown] name="multi-head"
# ## 4.3.3 多头是低秩映射之和 · Heads are a sum of low-rank maps
#
# The usual picture: split, attend, concatenate, multiply by $W_O$. But a row of blocks times a column of blocks is a
# sum. Cut $W_O$ (C, C) into H slices $W_O^h$ of D rows:
#
# $$\mathrm{Concat}(Z_1,\dots,Z_H)\,W_O = \sum_{h=1}^{H} Z_h W_O^h = \sum_{h}
# P_h\,X\,\underbrace{W_V^hW_O^h}_{W_{OV}^h},
# \qquad P_h = \mathrm{softmax}\Big(\frac{X\,\overbrace{W_Q^hW_K^{h\top}}^{W_{QK}^h}\,X^\top}{\sqrt D}\Big)$$
#
# Heads do not interact. Each *adds* its own contribution to the result, and is fully described by two (C, C) matrices
# of rank at most D: $W_{QK}$ says who looks at whom, $W_{OV}$ says what is handed over. (Elhage et al. 2021.)


# %% name="heads-code"
def head_matrices(layer):
    """W_QK (H, C, C) with the scale inside, and W_OV (H, C, C) of a MultiHeadAttention without biases."""
    H = layer.n_heads
    w_query, w_key, w_value = (
        w.T.unflatten(1, (H, -1)).transpose(0, 1) for w in layer.qkv.weight.chunk(3)
    )  # (H, C, D)
    w_out = layer.out.weight.T.unflatten(0, (H, -1))  # (H, D, C)
    return w_query @ w_key.mT / math.sqrt(w_query.size(-1)), w_value @ w_out


def sum_of_heads(x, qk, ov):
    """Self-attention of x (T, C) as a sum over heads; also each head's contribution (H, T, C)."""
    weights = torch.softmax(x @ qk @ x.mT, dim=-1)  # (H, T, T)
    each = weights @ x @ ov
    return each.sum(0), each


# %% name="heads-check" tags=["nbval-check-output"]
layer = MultiHeadAttention(32, n_heads=4, bias=False).double().requires_grad_(False)
x = torch.randn(10, 32, dtype=torch.float64)
qk, ov = head_matrices(layer)
total, each = sum_of_heads(x, qk, ov)
record.check("the sum of four heads is lmlib's layer", torch.allclose(total, layer(x[None])[0][0]))
print(
    "ranks of W_QK:",
    torch.linalg.matrix_rank(qk).tolist(),
    " of W_OV:",
    torch.linalg.matrix_rank(ov).tolist(),
    " size: 32",
)
record.check("each has rank D = 8", torch.linalg.matrix_rank(torch.cat([qk, ov])).tolist() == [8] * 8)

# %% [markdown] name="freedom-text"
# The two matrices are what a head *is*; $W_Q$ and $W_K$ alone are not. Take any invertible $M$ (D, D) and replace
# $W_Q$ by $W_QM$, $W_K$ by $W_KM^{-\top}$: the product, and so the head, stays the same. So nobody can read meaning
# into a single coordinate of a query.

# %% name="freedom" tags=["nbval-check-output"]
w_query, w_key = torch.randn(2, 32, 8, dtype=torch.float64)
M = torch.randn(8, 8, dtype=torch.float64)
turned = (w_query @ M) @ (w_key @ torch.linalg.inv(M).mT).mT
record.check("other queries and keys, the same head", torch.allclose(turned, w_query @ w_key.mT))
shared = torch.randn(1, 1, 1, 8, dtype=torch.float64)
q, k, v = torch.randn(3, 1, 1, 6, 8, dtype=torch.float64)
record.check(
    "a vector added to all keys changes nothing", torch.allclose(attention(q, k + shared, v)[0], attention(q, k, v)[0])
)

# %% [markdown] name="freedom-bias"
# The last line is $J\mathbb 1 = 0$ again: $q\cdot(k_j + b) = q\cdot k_j + q\cdot b$, the same number for all keys. Here
# a bias on the keys is a parameter without any effect. (With rotary positions, section 4.4, it is turned by the key's
# place and does have one.)

# %% [markdown] name="real-heads-text"
# A trained model obeys the same algebra. all-MiniLM-L6-v2 has C = 384 and 12 heads of D = 32. We compute $W_{QK}$ of
# each head of its first and last layers and look at the singular values. (Its biases are left out here: they add
# vectors and numbers to the scores, and the rank of $W_{QK}$ does not depend on them.)

# %% name="real-heads"
encoder = from_pretrained("all-MiniLM-L6-v2")
spectra = {}
for name, block in (("layer 1", encoder.encoder.encoder.blocks[0]), ("layer 6", encoder.encoder.encoder.blocks[-1])):
    real_qk, _ = head_matrices(block.attention.double())
    spectra[name] = torch.linalg.svdvals(real_qk.detach())[:, :48]  # (H, 48), largest first
fig, (ax,) = plots.figure("Singular values of W_QK, C = 384: nothing after D = 32", width=6.0, height=3.2)
for i, (name, values) in enumerate(spectra.items()):
    plots.band(ax, range(1, 49), (values / values[:, :1]).clamp(min=1e-17), name, number=i)
ax.set_yscale("log")
ax.set_xlabel("number of the singular value")
ax.set_ylabel("relative to the largest")
ax.legend(loc="lower left")
plots.show(
    fig,
    alt="Singular values of the query-key form of 12 heads in layers 1 and 6, relative to the largest, logarithmic. "
    "They decline gently up to number 32 and drop there by a factor of more than 10^10.",
)

# %% name="real-heads-check"
drop = min((v[:, 31] / v[:, 32]).min().item() for v in spectra.values())
record.check("after the 32nd they drop by a factor of more than 10^10, in every head", drop > 1e10)

# %% [markdown] name="rank-trade-text"
# So for a fixed C there is a trade. More heads: more maps, each of lower rank. What can a form of low rank not do?
# Give each of 32 random words the score 1 with itself and 0 with the others: with $X$ (32, 32) invertible that needs
# $W_{QK} = X^{-1}X^{-\top}$, of rank 32. The best form of rank D keeps the D largest singular values of the target,
# the unit matrix, and misses the share $1 - D/32$ of its square.
#
# These are scores. The softmax only asks that the right score be the largest of its row, and for that rank 2 is
# enough if scores may be large: put the 32 words on a circle.

# %% name="rank-trade" tags=["nbval-check-output"]
target = torch.eye(32, dtype=torch.float64)
for n_heads in (1, 2, 4, 8):
    D = 32 // n_heads
    basis = torch.linalg.qr(torch.randn(32, D, dtype=torch.float64)).Q  # any D directions: all singular values are 1
    missed = ((target - basis @ basis.mT) ** 2).sum() / 32
    print(f"{n_heads} heads of {D:2}: one head misses {missed:.3f} of the scores 'itself 1, others 0'")
    assert torch.isclose(missed, torch.tensor(1 - D / 32, dtype=torch.float64))
angle = 2 * math.pi * torch.arange(32, dtype=torch.float64) / 32
circle = torch.stack([angle.cos(), angle.sin()], dim=-1)  # (32, 2)
weights = torch.softmax(1000 * circle @ circle.T, dim=-1)
record.check("after the softmax, rank 2 is enough to look at yourself", bool(weights.diagonal().min() > 0.99))

# %% [markdown] name="equivariance"
# ## 4.3.4 置换等变 · Permutation equivariance, proved
#
# Let $\Pi$ be a permutation matrix; $\Pi X$ are the same words in another order, and $\Pi^\top\Pi = I$. The softmax
# works on rows, so reordering rows and columns commutes with it: $\mathrm{softmax}(\Pi A\Pi^\top) =
# \Pi\,\mathrm{softmax}(A)\,\Pi^\top$. Then
#
# $$f(\Pi X) = \mathrm{softmax}\big(\Pi X W_{QK} X^\top\Pi^\top\big)\,\Pi X W_{OV}
# = \Pi\,P\,\Pi^\top\Pi\,X W_{OV} = \Pi f(X).$$
#
# And the sum over heads keeps it. With a mask $A + M$ it needs $\Pi M\Pi^\top = M$, which the causal mask fulfils only
# if $\Pi$ is the identity. We try all 120 orders of five words.

# %% name="equivariance-check" tags=["nbval-check-output"]
words = x[:5]


def commutes(order, mask=None):
    """Whether shuffling before and after the layer are the same."""
    order = torch.tensor(order)
    one, two = (layer(y[None], mask=mask)[0][0] for y in (words[order], words))
    return torch.allclose(one, two[order])


orders = list(permutations(range(5)))
print(
    "without a mask:",
    sum(commutes(o) for o in orders),
    "of 120; causal:",
    sum(commutes(o, causal_mask(5)) for o in orders),
    "of 120",
)
record.check("without a mask all 120 orders commute", all(commutes(o) for o in orders))
record.check(
    "with the causal mask only the identity does", [o for o in orders if commutes(o, causal_mask(5))] == [orders[0]]
)

# %% [markdown] name="kernel"
# ## 4.3.5 核平滑 · Attention is kernel smoothing
#
# Statisticians had the formula in 1964. To estimate a function at $q$ from noisy points $(k_j, v_j)$,
# **Nadaraya and Watson** average the values with a kernel (核) that falls with distance:
#
# $$\hat f(q) = \frac{\sum_j \kappa(q, k_j)\,v_j}{\sum_j\kappa(q, k_j)},\qquad \kappa(q,k) = e^{-\lVert
# q-k\rVert^2/2h^2}$$
#
# Attention is that, with $\kappa(q,k) = e^{q\cdot k/\sqrt D}$. Multiply out: $-\lVert q-k\rVert^2 = 2q\cdot k -
# \lVert q\rVert^2 - \lVert k\rVert^2$. The term with $q$ is the same for all keys and cancels. If all keys have the
# same length, so does the last, and *attention is the Gaussian smoother* with bandwidth $h^2 = \sqrt D$.

# %% name="kernel-check" tags=["nbval-check-output"]
q = torch.randn(1, 1, 4, 16, dtype=torch.float64)
k = 3 * F.normalize(torch.randn(1, 1, 9, 16, dtype=torch.float64), dim=-1)  # keys on a sphere
v = torch.randn(1, 1, 9, 2, dtype=torch.float64)
kernel = torch.exp(-(torch.cdist(q, k) ** 2) / (2 * math.sqrt(16)))  # h² = √D
smoothed = kernel / kernel.sum(-1, keepdim=True) @ v
record.check("keys of one length: attention is the Gaussian smoother", torch.allclose(attention(q, k, v)[0], smoothed))
long_key = k.clone()
long_key[0, 0, 0] *= 3
kernel = torch.exp(-(torch.cdist(q, long_key) ** 2) / (2 * math.sqrt(16)))
record.check(
    "with one longer key it is not",
    not torch.allclose(attention(q, long_key, v)[0], kernel / kernel.sum(-1, keepdim=True) @ v),
)

# %% [markdown] name="kernel-plot-text"
# The scale is then a bandwidth. Sixty noisy points of a sine, laid on an arc of a circle so that all keys have length
# 1; queries between them; attention with three scales.

# %% name="kernel-plot"
generator = torch.Generator().manual_seed(seed)
place = torch.linspace(0, 1, 60)
noisy = torch.sin(2 * math.pi * place) + 0.3 * torch.randn(60, generator=generator)


def on_arc(t):
    """Points of [0, 1] as vectors of length 1: (1, 1, N, 2)."""
    return torch.stack([torch.cos(t), torch.sin(t)], dim=-1)[None, None]


fine = torch.linspace(0, 1, 200)
SCALES = {"scale 20: too smooth": 20.0, "scale 400": 400.0, "scale 40000: copies the noise": 40_000.0}
fits = {
    name: attention(on_arc(fine), on_arc(place), noisy[None, None, :, None], scale=s)[0].flatten()
    for name, s in SCALES.items()
}
fig, (ax,) = plots.figure("Attention as regression: the scale is a bandwidth", width=6.4, height=3.2)
ax.plot(place, noisy, ".", color="#8c8c8c", markersize=4)
plots.lines(ax, fine, fits, x_label="place of key and query", y_label="value", markers=False)
plots.show(
    fig,
    alt="Grey points scatter around a sine. Attention with a small scale is nearly flat, with a middle scale it "
    "follows the sine, with a large scale it runs through every noisy point.",
)

# %% name="kernel-plot-check"
clean = torch.sin(2 * math.pi * fine)
errors = {name: ((fit - clean) ** 2).mean().item() for name, fit in fits.items()}
smooth, middle, rough = errors.values()
record.check("the middle scale is closest to the sine", middle < smooth and middle < rough)

# %% [markdown] name="linear-text"
# A kernel invites a trick. If $\kappa(q,k) = \phi(q)\cdot\phi(k)$ with finite features $\phi$, the sums can
# be taken in another order, $\phi(Q)\,(\phi(K)^\top V)$, and the (T, S) matrix never exists: **linear
# attention** (线性注意力; Katharopoulos et al. 2020). The denominator, $\phi(q)\cdot\sum_j\phi(k_j)$, is summed once in
# the same way; the check below leaves it out. The exponential has no finite features, so this is another function,
# not a faster way to the same one.

# %% name="linear-check" tags=["nbval-check-output"]
features_q, features_k = (F.elu(torch.randn(256, 16, dtype=torch.float64)) + 1 for _ in range(2))
values = torch.randn(256, 16, dtype=torch.float64)
with FlopCounterMode(display=False) as quadratic:
    slow = (features_q @ features_k.T) @ values
with FlopCounterMode(display=False) as linear:
    fast = features_q @ (features_k.T @ values)
record.check("both orders give the same", torch.allclose(slow, fast))
print("operations:", quadratic.get_total_flops(), "and", linear.get_total_flops())
record.check("the ratio is T / D = 16", quadratic.get_total_flops() == 16 * linear.get_total_flops())

# %% [markdown] name="cost"
# ## 4.3.6 计算量 · Counting operations
#
# A product of (a, b) and (b, c) takes $2abc$ floating-point operations (FLOPs). For one layer on T tokens of width C:
#
# | part | products | FLOPs |
# | --- | --- | --- |
# | $Q, K, V$ and $W_O$ | four of (T, C)(C, C) | $8TC^2$ |
# | scores and mixing | two of H · (T, D)(D, T) | $4T^2C$ |
#
# H has dropped out, since $HD = C$. The second part overtakes the first where $4T^2C = 8TC^2$, at $T = 2C$. Going
# back, each product $Y = AB$ needs two: $dA = dY\,B^\top$ and $dB = A^\top dY$. So a training step costs three times
# the forward pass.


# %% name="cost-count" tags=["nbval-check-output"]
def count(T, C, H, backward=False):
    """FLOPs of a layer of attention, counted by torch while it runs."""
    one = MultiHeadAttention(C, H, bias=False)
    x = torch.randn(1, T, C, requires_grad=backward)
    with FlopCounterMode(display=False) as counter:
        out = one(x, return_weights=True)[0]
        if backward:
            out.sum().backward()
    return counter.get_total_flops()


for T, C, H in ((32, 64, 1), (32, 64, 8), (128, 64, 4), (256, 64, 4)):
    counted = count(T, C, H)
    print(f"T = {T:3}, C = {C}, H = {H}: {counted:9} FLOPs")
    assert counted == 8 * T * C**2 + 4 * T**2 * C
record.check("at T = 2C the two parts are equal", 8 * 128 * 64**2 == 4 * 128**2 * 64)
record.check(
    "forward and backward together cost three times the forward pass", count(128, 64, 4, True) == 3 * count(128, 64, 4)
)

# %% name="cost-plot"
lengths = 2 ** np.arange(6, 18)
fig, (ax,) = plots.figure("Share of the T² part in a layer of attention", width=5.8, height=3.0)
plots.lines(
    ax,
    lengths,
    {f"C = {C}": lengths / (lengths + 2 * C) for C in (768, 4096, 12288)},
    x_label="length T (tokens)",
    y_label="share of the FLOPs",
)
plots.level(ax, 0.5, "T = 2C")
ax.set_xscale("log", base=2)
ax.set_ylim(0, 1)
plots.show(
    fig,
    alt="Share of the quadratic part against the length for C = 768, 4096 and 12288: three S-shaped curves that pass "
    "one half where T is 2C.",
)

# %% [markdown] name="cost-lesson"
# The square is not the whole story: below $T = 2C$ most of the work of the layer is in its four plain matrices, and
# wide models are slow to reach that point.

# %% [markdown] name="capacity"
# ## 4.3.7 头数与过拟合 · Do more heads protect from overfitting?
#
# One document says that several heads lower the risk of overfitting. The four matrices have $4C^2$ numbers for any H.
# To *measure* overfitting, give the model something that cannot be learned: 64 random sequences with random labels.
# Whatever it gets right, it has learned by heart. If heads protected, more heads would memorise less.


# %% name="capacity-model"
class Reader(nn.Module):
    """Embeddings, one layer of attention without a residual, the mean, and two logits."""

    def __init__(self, n_heads, d_model=32):
        super().__init__()
        self.table = nn.Embedding(20, d_model)
        self.place = nn.Parameter(torch.randn(8, d_model) / 2)
        self.attend = MultiHeadAttention(d_model, n_heads)
        self.decide = nn.Linear(d_model, 2)

    def forward(self, ids):
        x = self.table(ids) + self.place  # (B, 8, C)
        return self.decide(torch.relu(self.attend(x)[0]).mean(1))  # no residual: all must pass through the heads


def memorise(n_heads, seed, steps=150):
    """Share of 64 random labels that a trained model knows, and of 512 new ones; its number of parameters."""
    torch.manual_seed(seed)
    model = Reader(n_heads).to(device)
    ids, labels = torch.randint(20, (576, 8), device=device), torch.randint(2, (576,), device=device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(ids[:64]), labels[:64]).backward()
        optimizer.step()
    right = (model(ids).argmax(1) == labels).float()
    return right[:64].mean().item(), right[64:].mean().item(), sum(p.numel() for p in model.parameters())


# %% name="capacity-measure"
HEADS = (1, 2, 4, 8, 16)
N_RUNS = {"quick": 3, "full": 10}[profile]
memory = {h: [memorise(h, 10 * seed + r) for r in range(N_RUNS)] for h in HEADS}

# %% name="capacity-plot"
fig, (ax,) = plots.figure("Random labels learned by heart", width=5.6, height=3.0)
for i, name in enumerate(("seen in training", "new")):
    plots.band(ax, range(len(HEADS)), np.array([[run[i] for run in memory[h]] for h in HEADS]).T, name, number=i)
ax.set_xticks(range(len(HEADS)), [str(h) for h in HEADS])
ax.set_xlabel("heads (C = 32)")
ax.set_ylabel("share of labels right")
ax.set_ylim(0, 1.05)
plots.level(ax, 0.5, "guessing", below=True)
ax.legend(loc=(0.62, 0.68))
plots.show(
    fig,
    alt="Share of random labels that are right against the number of heads: near 1 for those seen in training and near "
    "one half for new ones, for 1 to 16 heads alike.",
)

# %% name="capacity-check"
record.check(
    "the number of parameters is the same for all", len({run[2] for runs in memory.values() for run in runs}) == 1
)
for h in HEADS:
    learned, new = (np.mean([run[i] for run in memory[h]]) for i in (0, 1))
    record.check(
        f"{h} heads know over 95 % of the random labels by heart, and guess the new ones",
        learned > 0.95 and abs(new - 0.5) < 0.08,
    )

# %% [markdown] name="capacity-lesson"
# No number of heads protects here. More heads may well help a model to find the *right* pattern on real data, but
# that is a question of what it learns, not of how much it can hold.

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# Section 2.2 has tested the formulas of attention themselves. Here are the statements about heads, shapes and
# structure.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("04_mathematics/03_attention")

# %% name="ledger-data"
draws = torch.Generator().manual_seed(0)
x = torch.randn(5, 12, generator=draws)  # five words, C = 12
w_query, w_key = torch.randn(2, 3, 12, 4, generator=draws)  # H = 3 heads, d_k = 4
w_value, w_out = torch.randn(3, 12, 6, generator=draws), torch.randn(18, 12, generator=draws)  # d_v = 6, (h·d_v, C)
torch.manual_seed(0)
encoder_layer = nn.TransformerEncoderLayer(12, 3, 24, dropout=0.0, batch_first=True).eval()
decoder_layer = nn.TransformerDecoderLayer(12, 3, 24, dropout=0.0, batch_first=True).eval()


# %% name="ledger-shapes" tags=["ledger"]
def document_version(x):
    """000 §4.1.2: W_Q and W_K are (d_model, d_k), W_V is (d_model, d_v), W_O is (h·d_v, d_model); Concat, then W_O."""
    heads = [
        torch.softmax(x @ q @ (x @ k).T / 2, dim=-1) @ x @ v for q, k, v in zip(w_query, w_key, w_value, strict=True)
    ]
    return torch.cat(heads, dim=-1) @ w_out


def correct_version(x):
    """As a sum over heads, by einsum."""
    scores = torch.einsum("tc,hcd,hed,se->hts", x, w_query, w_key, x) / math.sqrt(4)
    return torch.einsum("hts,sc,hcv,hvo->to", torch.softmax(scores, dim=-1), x, w_value, w_out.view(3, 6, 12))


record.check(
    "the shapes fit, also with d_v ≠ d_k", torch.allclose(document_version(x), correct_version(x), atol=1e-3, rtol=1e-3)
)


# %% name="ledger-one-projection" tags=["ledger"]
def document_version(x):
    """004 §4.1.1, literally: X is projected once to Q, K, V; then h heads attend with these."""
    q, k, v = x @ w_query[0], x @ w_key[0], x @ w_value[0]
    return torch.stack([torch.softmax(q @ k.T / 2, dim=-1) @ v for _ in range(3)])


def correct_version(x):
    """Each head has projections of its own."""
    return torch.stack(
        [torch.softmax(x @ q @ (x @ k).T / 2, dim=-1) @ x @ v for q, k, v in zip(w_query, w_key, w_value, strict=True)]
    )


record.check("with one projection all heads are the same", torch.equal(document_version(x)[0], document_version(x)[2]))
record.check("with their own they differ", not torch.allclose(correct_version(x)[0], correct_version(x)[2], atol=0.1))


# %% name="ledger-final-linear" tags=["ledger"]
def document_version(heads):
    """002 §4.3, step 4: a linear map of the concatenated heads gives the output."""
    return torch.cat(list(heads), dim=-1) @ w_out


def correct_version(heads):
    """Each head through its own rows of W_O, then the sum."""
    return sum(z @ w for z, w in zip(heads, w_out.view(3, 6, 12), strict=True))


heads = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(1))
record.check(
    "the linear map is a sum over heads", torch.allclose(document_version(heads), correct_version(heads), atol=1e-4)
)


# %% name="ledger-overfitting" tags=["ledger"]
def document_version(known):
    """002 §4.4: several heads lower the risk of overfitting. Those that should know less by heart than one head."""
    return [h for h in known if h > 1]


def correct_version(known):
    """Those that do know less of 24 random labels by heart, after training."""
    return [h for h in known if known[h] < known[1] - 0.1]


def learned_by_heart(n_heads, steps=100):
    """Share of random labels (24,) of random texts (24, 5, C) that a layer with so many heads gives back."""
    torch.manual_seed(0)
    texts, labels = torch.randn(24, 5, 12), torch.randint(2, (24,))
    model = nn.ModuleList([MultiHeadAttention(12, n_heads), nn.Linear(12, 2)])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        scores = model[1](torch.relu(model[0](texts)[0]).mean(1))
        optimizer.zero_grad()
        F.cross_entropy(scores, labels).backward()
        optimizer.step()
    return (scores.argmax(1) == labels).float().mean().item()


known = {h: learned_by_heart(h) for h in (1, 2, 4, 6)}
record.check("one head learns over 95 % of the random labels by heart", known[1] > 0.95)
record.check("2, 4 and 6 heads should know less", document_version(known) == [2, 4, 6])
record.check("none does", correct_version(known) == [])


# %% name="ledger-rank" tags=["ledger"]
def document_version(n_heads):
    """002 §4.4: more heads, more expressive power. The maps (T, T) that a layer makes of five words, all different."""
    maps = MultiHeadAttention(12, n_heads)(x[None], return_weights=True)[1][0]  # (H, T, T)
    return len(torch.unique(maps.detach(), dim=0))


def correct_version(n_heads):
    """More maps, but each from a query-key form (C, C) of lower rank: that of one head."""
    q, k, _ = MultiHeadAttention(12, n_heads).qkv.weight.detach().double().chunk(3)
    q, k = (w.unflatten(0, (n_heads, -1))[0] for w in (q, k))  # (D, C) of the first head
    return int(torch.linalg.matrix_rank(q.T @ k))


record.check("4 heads make 4 maps, one head makes one", (document_version(4), document_version(1)) == (4, 1))
record.check(
    "but one head's form has rank 12, each of the four has 3", (correct_version(1), correct_version(4)) == (12, 3)
)


# %% name="ledger-two-sublayers" tags=["ledger"]
def document_version():
    """004 §4.1: a layer of the encoder and of the decoder has two sublayers each."""
    return {"encoder": 2, "decoder": 2}


def correct_version():
    """Each sublayer has a norm of its own: count them in PyTorch's layers."""
    layers = {"encoder": encoder_layer, "decoder": decoder_layer}
    return {name: sum(isinstance(m, nn.LayerNorm) for m in one.modules()) for name, one in layers.items()}


record.check("the encoder's layer has two", correct_version()["encoder"] == document_version()["encoder"])
record.check(
    "the decoder's has three: attention to the encoder's output",
    correct_version()["decoder"] == 3 != document_version()["decoder"],
)


# %% name="ledger-decoder-input" tags=["ledger"]
def document_version(target, memory):
    """004 §4.1, the diagram: the decoder's only input is the encoder's output."""
    return decoder_layer(torch.zeros_like(target), memory)


def correct_version(target, memory):
    """It also reads what has been written so far."""
    return decoder_layer(target, memory)


one, two = torch.randn(2, 1, 4, 12, generator=torch.Generator().manual_seed(1))
memory = torch.randn(1, 7, 12, generator=torch.Generator().manual_seed(2))
record.check(
    "by the diagram the words written would not matter",
    torch.equal(document_version(one, memory), document_version(two, memory)),
)
record.check("they do", not torch.allclose(correct_version(one, memory), correct_version(two, memory), atol=0.1))

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/04_mathematics/03_attention.ipynb), about 65 minutes, three questions:
#
# 1. the backward pass of causal attention whose heads share keys and values, without autograd;
# 2. a layer of heads as a sum of low-rank maps;
# 3. numbers to derive: operations, a rank, a frozen softmax.
#
# To go on: 4.4 adds positions, which break the symmetry of 4.3.4 on purpose.
