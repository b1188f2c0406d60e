# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 4.5 前馈网络、残差与归一化 · Feed-forward, residuals and norms
#
# 本节推导 Transformer 每一层中注意力之外的部分：前馈网络、残差连接和层归一化。
# 每个公式先在纸上推导，再用 float64 与自动求导验证；最后测量先归一化与后归一化在深层网络中的梯度，并看清预热的作用。
#
# After this section you can build XOR from two ReLUs by hand, derive the gradient of a residual stack and the
# Jacobian of LayerNorm, and show a deep post-norm model that learns only with a warm-up.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.layers import FeedForward, GatedFeedForward, RMSNorm
from lmlib.positions import sinusoidal
from lmlib.transformer import Block, Shape, Stack

device = session.start(seed, device, profile)

# %% [markdown] name="question"
# ## 4.5.1 前馈网络 · What does the rest of a layer do?
#
# With its weights given, attention is linear: each output is a weighted mean of values, and values are linear in
# the input. A word that attends to itself alone gets a linear map and no more. How could it answer "one or the
# other, but not both" about two of its own features? That is XOR: 1 if exactly one of two inputs is 1. We first
# ask how far any *linear* map gets (with a bias).

# %% name="xor-linear" tags=["nbval-check-output"]
inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
xor = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
with_one = torch.cat([inputs, torch.ones(4, 1, dtype=torch.float64)], dim=1)  # a column for the bias
best = torch.linalg.lstsq(with_one, xor[:, None]).solution
print("the best linear map says", (with_one @ best).flatten().numpy().round(6).tolist())
record.check(
    "it answers ½ to everything", torch.allclose(with_one @ best, torch.full((4, 1), 0.5, dtype=torch.float64))
)

# %% [markdown] name="xor-idea"
# One bend is enough. Let $h_1 = \max(0, x_1 + x_2)$ count the ones, and let $h_2 = \max(0, x_1 + x_2 - 1)$ wake
# up only when there are two. Then $h_1 - 2h_2$ is 0, 1, 1, 0. Two matrices with a bend between them: that is the
# feed-forward network (前馈网络).

# %% [markdown] name="feed-forward"
# ### 公式 · The formula
#
# $$\mathrm{FFN}(x) = \max(0,\; xW_1 + b_1)\,W_2 + b_2$$
#
# | symbol | shape | what it is |
# | --- | --- | --- |
# | $x$ | (T, C) | one row a word; the formula is applied to each row *alone* |
# | $W_1, b_1$ | (C, F), (F) | F questions asked to the word; $F = d_{ff}$ is usually 4C |
# | $\max(0, \cdot)$ | (T, F) | ReLU: what is negative becomes 0 |
# | $W_2, b_2$ | (F, C), (C) | what each question contributes to the answer |
#
# (Vaswani et al. 2017, equation 2.)


# %% name="feed-forward-code"
def feed_forward(x, w1, b1, w2, b2):
    """FFN from scratch: x (..., C), w1 (C, F), w2 (F, C) -> (..., C)."""
    hidden = torch.clamp(x @ w1 + b1, min=0)  # (..., F)
    return hidden @ w2 + b2


# %% name="feed-forward-check" tags=["nbval-check-output"]
w1, b1 = torch.ones(2, 2, dtype=torch.float64), torch.tensor([0.0, -1.0], dtype=torch.float64)
w2, b2 = torch.tensor([[1.0], [-2.0]], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
answers = feed_forward(inputs, w1, b1, w2, b2).flatten()
print("by hand-made weights, XOR is", answers.tolist())
record.check("two ReLUs solve XOR exactly", torch.equal(answers, xor))
C, F_WIDTH, T = 16, 64, 6
layer, x = FeedForward(C, F_WIDTH), torch.randn(2, T, C)
with torch.no_grad():
    ours = feed_forward(x, layer.inner.weight.T, layer.inner.bias, layer.outer.weight.T, layer.outer.bias)
    record.check("from scratch equals lmlib's FeedForward", torch.allclose(ours, layer(x), atol=1e-6))

# %% [markdown] name="alone-text"
# Note the transposes: `nn.Linear` stores (out, in), the formula says (in, out).
#
# Two consequences to test. **Each position alone**: change one word, and only its own output changes. Words meet
# in attention, and nowhere else. **The bend is needed**: without it the two matrices are one matrix, of rank at
# most the smaller width.

# %% name="alone-check" tags=["nbval-check-output"]
other = x.clone()
other[:, 3] += 1.0
with torch.no_grad():
    moved = (layer(other) - layer(x)).abs().amax(-1)[0] > 0
    one_by_one = torch.stack([layer(x[:, t]) for t in range(T)], dim=1)
    record.check("a change at place 3 moves place 3 alone", moved.tolist() == [t == 3 for t in range(T)])
    record.check("one by one gives what all at once gives", torch.allclose(one_by_one, layer(x), atol=1e-6))
    straight = (x @ layer.inner.weight.T) @ layer.outer.weight.T
    joined = x @ (layer.outer.weight @ layer.inner.weight).T
    record.check("without the bend, two matrices are one", torch.allclose(straight, joined, atol=1e-5))

# %% [markdown] name="memory-text"
# ### 键与值 · Another view: a memory of keys and values
#
# Write column $j$ of $W_1$ as a key $k_j$ and row $j$ of $W_2$ as a value $v_j$. Then the same formula reads
#
# $$\mathrm{FFN}(x) = \sum_{j=1}^{F} \max(0,\; x\cdot k_j + b_j)\; v_j \;+\; b_2.$$
#
# It is attention's cousin: compare with keys, mix values. Two things differ. The keys are *parameters*, not words
# of the text, so this is where a model can store facts. And the weights are not shared out by a softmax: each key
# fires on its own. (Geva et al. 2021.)

# %% name="memory-check" tags=["nbval-check-output"]
keys, values = layer.inner.weight.detach(), layer.outer.weight.detach().T  # (F, C) each
word = x[0, 0]
total = layer.outer.bias.detach().clone()
for key, bias, value in zip(keys, layer.inner.bias.detach(), values, strict=True):
    total += max(0.0, float(word @ key + bias)) * value
record.check("the sum over 64 keys and values is the FFN", torch.allclose(total, layer(word).detach(), atol=1e-5))

# %% [markdown] name="facts-text"
# Can it store facts? Give 40 random words (vectors) of width 64, each with a random answer, and *write* the
# memory by hand: the key is the word itself, the value its answer, the bias a threshold. A noisy word should
# still find its answer.

# %% name="facts"
n_facts, width = 40, 64
generator = torch.Generator().manual_seed(seed)
known = F.normalize(torch.randn(n_facts, width, generator=generator), dim=1)
answer = torch.randn(n_facts, width, generator=generator)
noises = np.linspace(0, 2, 11)


def recalled(threshold):
    """Share of 10 × 40 noisy words whose output is nearest to their own answer, for each noise."""
    shares = []
    for noise in noises:
        shape = (10, n_facts, width)
        asked = known + noise * F.normalize(torch.randn(shape, generator=generator), dim=-1)  # noise of this length
        out = feed_forward(asked, known.T, torch.full((n_facts,), -threshold), answer, torch.zeros(width))
        shares.append((out @ answer.T).argmax(-1).eq(torch.arange(n_facts)).double().mean().item())
    return shares


curves = {f"threshold {b}": recalled(b) for b in (0.0, 0.5, 0.9)}

# %% name="facts-plot"
fig, (ax,) = plots.figure("40 facts written by hand into a feed-forward network", width=5.8)
plots.lines(ax, noises, curves, x_label="length of the noise (a word has length 1)", y_label="share of right answers")
ax.set_ylim(0, 1.05)
plots.show(
    fig,
    alt="Share of right answers against noise for three thresholds. All begin at 1. With threshold 0.9 recall falls "
    "first, with 0 later, with 0.5 last.",
)

# %% name="facts-check"
record.check("without noise every fact is recalled, for each threshold", all(c[0] == 1.0 for c in curves.values()))
record.check("noise of a word's own length: threshold 0.5 still recalls over 0.95", curves["threshold 0.5"][5] > 0.95)
record.check(
    "0.5 is better than 0 and 0.9 under strong noise",
    curves["threshold 0.5"][-1] > max(curves["threshold 0.0"][-1], curves["threshold 0.9"][-1]),
)

# %% [markdown] name="facts-lesson"
# The bend does the work. With threshold 0 every key that points roughly the same way adds its answer; with 0.9
# even the right key often stays silent. In between, few keys fire, and the right one is among them.

# %% [markdown] name="share-text"
# ### 参数的份额 · Most of the parameters are here
#
# Attention has four C × C matrices, $4C^2$. The feed-forward network has $2CF = 8C^2$ for $F = 4C$: **two
# thirds** of a layer.

# %% name="share" tags=["nbval-check-output"]
print("  C     attention   feed-forward    share")
for width in (64, 512, 1024):
    block = Block(Shape(d_model=width, n_heads=8, d_ff=4 * width))
    attend, rest = (sum(p.numel() for p in part.parameters()) for part in (block.attention, block.feed_forward))
    print(f"{width:4}  {attend:11,}    {rest:11,}   {rest / (attend + rest):.4f}")
    assert attend == 4 * width**2 + 4 * width
    assert rest == 8 * width**2 + 5 * width
record.check("the last share is 2/3 to a thousandth", abs(rest / (attend + rest) - 2 / 3) < 1e-3)

# %% [markdown] name="activations"
# ## 4.5.2 激活函数 · Softer bends, and a gate
#
# ReLU has a corner, and its derivative is exactly 0 on the left: a unit that is negative for every input never
# learns again. Two smooth relatives multiply $x$ by a number between 0 and 1 that grows with $x$:
#
# $$\mathrm{GELU}(x) = x\,\Phi(x) = \frac{x}{2}\Big(1 + \mathrm{erf}\frac{x}{\sqrt2}\Big),\qquad
# \mathrm{SiLU}(x) = x\,\sigma(x) = \frac{x}{1 + e^{-x}}$$
#
# $\Phi$ is the distribution function of the normal distribution: GELU keeps $x$ with the probability that a
# random number lies below it. By the product rule its derivative is $\Phi(x) + x\,\varphi(x)$, with the bell
# curve $\varphi$.

# %% name="activations-check" tags=["nbval-check-output"]
z = torch.linspace(-4, 4, 81, dtype=torch.float64, requires_grad=True)
phi, bell = 0.5 * (1 + torch.erf(z / math.sqrt(2))), torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
record.check("torch's GELU is x Φ(x)", torch.allclose(F.gelu(z), z * phi))
record.check(
    "its derivative is Φ(x) + x φ(x), by autograd",
    torch.allclose(*torch.autograd.grad(F.gelu(z).sum(), z), phi + z * bell),
)
tanh_form = 0.5 * z * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
record.check("the tanh form of GPT-2 differs by less than 0.001", (tanh_form - F.gelu(z)).abs().max() < 1e-3)
record.check("SiLU is x σ(x)", torch.allclose(F.silu(z), z * torch.sigmoid(z)))

# %% name="activations-plot"
fig, (left, right) = plots.figure("Activation", "Its derivative", width=7.4, height=2.9)
functions = {"ReLU": F.relu, "GELU": F.gelu, "SiLU": F.silu}
grid = z.detach()
plots.lines(left, grid, {n: f(grid) for n, f in functions.items()}, x_label="x", y_label="f(x)", markers=False)
slopes = {n: torch.autograd.grad(f(z).sum(), z)[0] for n, f in functions.items()}
plots.lines(right, grid, slopes, x_label="x", y_label="f'(x)", markers=False)
plots.show(
    fig,
    alt="Left: ReLU has a corner at 0, GELU and SiLU dip a little below 0 on the left and follow x on the right. "
    "Right: the "
    "derivative of ReLU jumps from 0 to 1; those of GELU and SiLU rise smoothly and exceed 1 a little.",
)

# %% name="activations-shape-check"
record.check(
    "the smooth two have a derivative above 1 somewhere", slopes["GELU"].max() > 1.05 and slopes["SiLU"].max() > 1.05
)
record.check(
    "and they are not monotone: a minimum below 0", -0.2 < F.gelu(grid).min() < -0.1 and F.silu(grid).min() < -0.2
)

# %% [markdown] name="gate-text"
# **A gate.** LLaMA and its kin use **SwiGLU**: one matrix more, whose output decides how much of each feature passes.
#
# $$\mathrm{SwiGLU}(x) = \big(\mathrm{SiLU}(xG) \odot xW_1\big)\,W_2$$
#
# Now a product of two features of $x$ can be formed exactly, not only approximated by bends. Three matrices with
# $F = \tfrac{8}{3}C$ cost as much as two with $4C$. (Shazeer 2020.)

# %% name="gate-check" tags=["nbval-check-output"]
gated = GatedFeedForward(C, 48)
g, w = gated.gate_and_inner.weight.detach().chunk(2)  # (F, C) each
by_formula = (F.silu(x @ g.T) * (x @ w.T)) @ gated.outer.weight.detach().T
record.check("the formula equals lmlib's GatedFeedForward", torch.allclose(by_formula, gated(x).detach(), atol=1e-6))
sizes = [
    sum(p.numel() for p in m.parameters())
    for m in (FeedForward(48, 4 * 48, bias=False), GatedFeedForward(48, 8 * 48 // 3))
]
record.check("three matrices of 8/3 C cost what two of 4C cost", sizes[0] == sizes[1])
a, b = torch.randn(2, 100, dtype=torch.float64)
pair = F.silu(a) * b + F.silu(-a) * -b
record.check("two gated units multiply exactly: SiLU(a)·b + SiLU(−a)·(−b) = a·b", torch.allclose(pair, a * b))

# %% [markdown] name="residuals-and-norms"
# ## 4.5.3 残差连接和层归一化 · Residual connections and layer normalisation
#
# A model of 30 layers is a chain of 30 functions. By the chain rule its derivative is a *product* of 30 factors,
# and a product of many factors is either tiny or huge. Take $y = f(x)$ with a derivative of ½ in each layer:
# after 30 layers the gradient is $2^{-30}$, a billionth.
#
# A **residual connection** (残差连接) adds the input to the output: $y = x + f(x)$. The factor becomes $1 + f'$, and
# the product, multiplied out, is
#
# $$\prod_{l=1}^{L}(1 + f_l') = 1 + \sum_l f_l' + \sum_{l<m} f_l' f_m' + \dots$$
#
# The leading 1 is a path that goes through no layer at all. The next terms are paths through one layer, and so
# on: $2^L$ paths.

# %% name="paths-check" tags=["nbval-check-output"]
slopes_of = torch.tensor([0.5, -0.2, 0.3, 0.1], dtype=torch.float64)
start = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
stream = start
for slope in slopes_of:
    stream = stream + slope * stream
(derivative,) = torch.autograd.grad(stream, start)
subsets = [[slopes_of[i] for i in range(4) if n >> i & 1] for n in range(16)]  # the layers that a path goes through
paths = sum(math.prod(path) for path in subsets)
record.check("autograd gives the product of 1 + f'", torch.allclose(derivative, (1 + slopes_of).prod()))
record.check("and the sum over all 2⁴ = 16 paths", torch.allclose(derivative, paths))

# %% [markdown] name="deep-text"
# Now real layers: 30 times a linear map with ReLU, width 64, at PyTorch's initialisation. How large is the
# gradient when it arrives at layer $l$, coming from above?


# %% name="deep-code"
def gradient_by_layer(residual, depth=30, width=64):
    """Norm of the gradient at the output of each layer, from the first to the last."""
    torch.manual_seed(seed)
    layers = [nn.Linear(width, width) for _ in range(depth)]
    state, states = torch.randn(32, width), []
    for linear in layers:
        out = F.relu(linear(state))
        state = state + out if residual else out
        state.retain_grad()
        states.append(state)
    state.square().mean().sqrt().backward()
    return np.array([s.grad.norm().item() for s in states])


gradients = {"without residual": gradient_by_layer(False), "with residual": gradient_by_layer(True)}

# %% name="deep-plot"
fig, (ax,) = plots.figure("The gradient on its way down", width=5.8)
relative = {name: norms / norms[-1] for name, norms in gradients.items()}
plots.lines(ax, range(1, 31), relative, x_label="layer", y_label="gradient, relative to layer 30", markers=False)
ax.set_yscale("log")
plots.show(
    fig,
    alt="On a logarithmic scale. Without residual connections the gradient falls from layer 30 down to layer 1 by "
    "more than ten orders "
    "of magnitude. With them it grows by about three.",
)

# %% name="deep-check"
record.metric("without residual: gradient at layer 1 over layer 30", relative["without residual"][0])
record.metric("with residual: gradient at layer 1 over layer 30", relative["with residual"][0])
record.check("without residuals over six orders of magnitude are lost", relative["without residual"][0] < 1e-6)
record.check(
    "with residuals nothing is lost; the gradient grows more than ten times", relative["with residual"][0] > 10
)

# %% [markdown] name="deep-lesson"
# So residual connections cure the vanishing, and bring the opposite: each layer adds to the stream, and what
# comes out grows from layer to layer. Something must keep the sizes in hand.

# %% [markdown] name="layer-norm"
# ### 层归一化 · LayerNorm, derived
#
# Take one word's vector $x$ (C). Subtract its mean, divide by its standard deviation, then let two learned
# vectors choose size and shift again:
#
# $$\mu = \tfrac1C\textstyle\sum_i x_i,\quad \sigma^2 = \tfrac1C\sum_i (x_i-\mu)^2,\quad
# \hat x = \frac{x-\mu}{\sqrt{\sigma^2 + \varepsilon}},\quad \mathrm{LN}(x) = \gamma\odot\hat x + \beta$$
#
# The variance is divided by C, not by C − 1. By hand: $x = (1, 2, 3, 6)$ has $\mu = 3$, $\sigma^2 = (4+1+0+9)/4 = 3.5$.


# %% name="layer-norm-code"
def layer_norm(x, weight=1.0, bias=0.0, eps=0.0):
    """LayerNorm from scratch over the last axis."""
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return weight * centred / torch.sqrt(variance + eps) + bias


# %% name="layer-norm-check" tags=["nbval-check-output"]
four = torch.tensor([1.0, 2.0, 3.0, 6.0], dtype=torch.float64)
record.check(
    "(1, 2, 3, 6) becomes (−2, −1, 0, 3) / √3.5",
    torch.allclose(layer_norm(four), torch.tensor([-2.0, -1.0, 0.0, 3.0]).double() / math.sqrt(3.5)),
)
peer = nn.LayerNorm(C, eps=1e-5)
nn.init.normal_(peer.weight)
nn.init.normal_(peer.bias)
ours = layer_norm(x, peer.weight, peer.bias, 1e-5)
record.check("from scratch equals torch's", torch.allclose(ours, peer(x), atol=1e-5))
record.check(
    "size and mean of x do not matter: LN(3x + 5) = LN(x)", torch.allclose(layer_norm(3 * four + 5), layer_norm(four))
)

# %% [markdown] name="circle-text"
# What does it do, seen from outside? Every $\hat x$ has mean 0 and length $\sqrt C$. So LayerNorm first drops $x$
# onto the plane of all vectors with mean 0, and then pulls it onto a sphere. For C = 3 the plane is
# two-dimensional and the sphere in it a circle: we can look at it.

# %% name="circle-plot"
cloud = torch.randn(300, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + torch.tensor(
    [2.0, 0.5, 0.0]
)
plane = torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]], dtype=torch.float64)
plane = F.normalize(plane, dim=1)  # two directions at right angles to (1, 1, 1) and to each other
fig, (left, right) = plots.figure("300 vectors of width 3, mean dropped", "after LayerNorm", width=6.8, height=3.2)
for ax, points in ((left, cloud), (right, layer_norm(cloud))):
    x_axis, y_axis = (points @ plane.T).T
    ax.scatter(x_axis, y_axis, s=8, color=plots.COLOURS[0], alpha=0.5, linewidths=0)
    ax.set_aspect("equal")
    ax.set(xlim=(-3.6, 3.6), ylim=(-3.6, 3.6), xlabel="along (1, −1, 0)", ylabel="along (1, 1, −2)")
plots.show(
    fig,
    alt="Left: a cloud of points off the centre. Right: all of them on one circle of radius √3, denser on the side "
    "of the cloud.",
)

# %% name="circle-check" tags=["nbval-check-output"]
normed = layer_norm(cloud)
record.check("every output lies in the plane: its mean is 0", normed.mean(1).abs().max() < 1e-12)
record.check(
    "and on the circle of radius √3", torch.allclose(normed.norm(dim=1), torch.full((300,), math.sqrt(3)).double())
)

# %% [markdown] name="jacobian"
# ### 雅可比矩阵 · Its derivative
#
# How does $\hat x$ change when $x$ changes by $dx$? With $\varepsilon = 0$:
#
# 1. Centring: $d(x_i - \mu) = dx_i - \tfrac1C\sum_j dx_j$.
# 2. From $\sigma^2 = \tfrac1C\sum_i (x_i-\mu)^2$: $\;d\sigma = \tfrac{1}{C}\sum_j \hat x_j\, dx_j$ (the mean
#    drops out, because $\sum_j \hat x_j = 0$).
# 3. The quotient: $d\hat x_i = \dfrac{d(x_i-\mu)}{\sigma} - \hat x_i\,\dfrac{d\sigma}{\sigma}$.
#
# Together, with $\mathbf 1$ for the vector of ones:
#
# $$J = \frac{\partial\hat x}{\partial x} =
# \frac1\sigma\Big(I - \tfrac1C\,\mathbf 1\mathbf 1^\top - \tfrac1C\,\hat x\hat x^\top\Big)$$
#
# In words: take out the mean, take out the direction of $\hat x$, divide by $\sigma$. The gradient that flows
# back, $J^\top g$ with $J^\top = J$, never points along $\mathbf 1$ or along $\hat x$: moving the mean or the
# length would change nothing, so there is nothing to gain.

# %% name="jacobian-check" tags=["nbval-check-output"]
v = torch.randn(8, dtype=torch.float64)
x_hat, sigma, ones = layer_norm(v), v.std(unbiased=False), torch.ones(8, dtype=torch.float64)
J = (torch.eye(8, dtype=torch.float64) - torch.outer(ones, ones) / 8 - torch.outer(x_hat, x_hat) / 8) / sigma
record.check("autograd gives this matrix", torch.allclose(torch.func.jacrev(layer_norm)(v), J))
record.check("J·1 = 0: a shift changes nothing", torch.allclose(J @ ones, 0 * ones, atol=1e-12))
record.check("J·x̂ = 0: a stretch changes nothing", torch.allclose(J @ x_hat, 0 * ones, atol=1e-12))
eigenvalues = torch.linalg.eigvalsh(J) * sigma
print("eigenvalues of σJ:", [round(abs(e), 6) for e in eigenvalues.tolist()])
record.check("σJ is a projection: 0 twice, and 1 for the other C − 2", torch.allclose(J @ J * sigma, J))

# %% [markdown] name="gradient-scale-text"
# The factor $1/\sigma$ matters too: a word vector ten times as long gets a gradient a tenth as large. The same
# holds for a matrix before the norm, $\mathrm{LN}(xW)$: twice the matrix gives the same output and half the
# gradient. We test both, and write the backward pass as `torch` has it.


# %% name="backward-code"
def layer_norm_backward(x, grad):
    """The gradient at x (..., C), given the gradient at x̂: no matrix is formed."""
    sigma = x.std(-1, unbiased=False, keepdim=True)
    x_hat = (x - x.mean(-1, keepdim=True)) / sigma
    return (grad - grad.mean(-1, keepdim=True) - x_hat * (grad * x_hat).mean(-1, keepdim=True)) / sigma


# %% name="backward-check" tags=["nbval-check-output"]
many = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
upstream = torch.randn(5, 8, dtype=torch.float64)
(by_torch,) = torch.autograd.grad(F.layer_norm(many, (8,), eps=0.0), many, upstream)
record.check("our backward pass is torch's", torch.allclose(layer_norm_backward(many.detach(), upstream), by_torch))
longer = layer_norm_backward(10 * many.detach(), upstream)
record.check("ten times the input, a tenth of the gradient", torch.allclose(10 * longer, by_torch))
record.check("no gradient changes the mean", by_torch.sum(-1).abs().max() < 1e-12)
record.check(
    "none stretches the centred x", (by_torch * (many - many.mean(-1, keepdim=True))).sum(-1).abs().max() < 1e-12
)
w = torch.randn(8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
slope_at = torch.func.grad(lambda w: (layer_norm(v @ w) * upstream[0]).sum())
same = torch.allclose(layer_norm(v @ (2 * w)), layer_norm(v @ w))
record.check("twice the matrix before the norm: the same output", same)
record.check("and half its gradient", torch.allclose(2 * slope_at(2 * w), slope_at(w)))

# %% [markdown] name="rms-norm"
# ### RMSNorm · Without the mean
#
# Is the mean worth its trouble? **RMSNorm** leaves it in and divides by the root of the mean square only:
#
# $$\mathrm{RMS}(x) = \gamma \odot \frac{x}{\rho},\quad
# \rho = \sqrt{\tfrac1C\textstyle\sum_i x_i^2 + \varepsilon},\qquad
# J = \frac{1}{\rho}\Big(I - \tfrac{1}{C}\hat x\hat x^\top\Big)$$
#
# One direction is projected out instead of two, and there is one sum less to compute. (Zhang and Sennrich 2019.)
# Where the mean of $x$ is 0 the two norms are the same.

# %% name="rms-norm-check" tags=["nbval-check-output"]
rho = v.square().mean().sqrt()
record.check("lmlib's RMSNorm is x / ρ", torch.allclose(RMSNorm(8, eps=0.0).double()(v), v / rho))
J_rms = (torch.eye(8, dtype=torch.float64) - torch.outer(v / rho, v / rho) / 8) / rho
record.check(
    "its Jacobian, by autograd", torch.allclose(torch.func.jacrev(lambda u: F.rms_norm(u, (8,), eps=0.0))(v), J_rms)
)
record.check("a shift is seen now: J·1 is not 0", (J_rms @ ones).norm() > 0.1)
centred = v - v.mean()
record.check(
    "on centred vectors both norms agree", torch.allclose(F.rms_norm(centred, (8,), eps=0.0), layer_norm(centred))
)

# %% [markdown] name="order"
# ## 4.5.4 先归一化还是后归一化 · Before or after?
#
# Where does the norm go? The first Transformer put it *after* the sum (post-norm, 后归一化), most later ones put it
# *inside* the branch (pre-norm, 先归一化):
#
# $$\text{post: } x_{l+1} = \mathrm{LN}\big(x_l + f(x_l)\big)\qquad\qquad
# \text{pre: } x_{l+1} = x_l + f\big(\mathrm{LN}(x_l)\big)$$
#
# In pre-norm the path through no layer is free from end to end. In post-norm it passes a norm in each layer, and
# each multiplies by $1/\sigma$, where $\sigma > 1$ as soon as $f$ has added something. We measure at
# initialisation: the size of the stream, and the gradients.


# %% name="order-code"
def new_stack(norm_first, depth, width, n_heads):
    """A new Transformer stack, its matrices drawn as in 2017 (Xavier)."""
    shape = Shape(width, depth, n_heads, 4 * width, norm_first=norm_first, final_norm=norm_first)
    stack = Stack(shape)
    for p in stack.parameters():
        if p.dim() > 1:
            nn.init.xavier_uniform_(p)
    return stack


def at_initialisation(norm_first, depth, seed, width=64):
    """For each state its mean length and its gradient; for each layer the gradient of its last matrix."""
    torch.manual_seed(seed)
    stack, read = new_stack(norm_first, depth, width, n_heads=4), nn.Linear(width, 50)
    states = [torch.randn(8, 16, width, requires_grad=True)]
    for block in stack.blocks:
        states.append(block(states[-1])[0])
        states[-1].retain_grad()
    out = stack.final_norm(states[-1]) if norm_first else states[-1]
    F.cross_entropy(read(out).flatten(0, 1), torch.randint(50, (8 * 16,))).backward()
    lengths = [s.detach().norm(dim=-1).mean().item() for s in states]
    at_states = [s.grad.norm().item() for s in states]
    return lengths, at_states, [b.feed_forward.outer.weight.grad.norm().item() for b in stack.blocks]


# %% name="order-measure"
DEPTHS = [2, 4, 8, 16, 32]
SEEDS = range(seed, seed + {"quick": 3, "full": 10}[profile])
ORDERS = {"post-norm": False, "pre-norm": True}
measured = {
    (name, depth): [at_initialisation(first, depth, s) for s in SEEDS]
    for name, first in ORDERS.items()
    for depth in DEPTHS
}

# %% name="order-plot"
titles = ("Length of the state", "Gradient at each state", "Gradient of the last matrix")
fig, (left, middle, right) = plots.figure(*titles, width=9.4, height=2.9)
for number, name in enumerate(ORDERS):
    deep = measured[name, 32]
    last = np.array([[run[2][-1] for run in measured[name, d]] for d in DEPTHS])
    plots.band(left, range(33), [run[0] for run in deep], name, number=number)
    plots.band(middle, range(33), [run[1] for run in deep], name, number=number)
    plots.band(right, DEPTHS, last.T, name, number=number)
left.set(xlabel="layer", ylabel="length")
middle.set(xlabel="layer", ylabel="norm", yscale="log")
middle.set_yticks([0.01, 0.02, 0.04], ["0.01", "0.02", "0.04"])
middle.minorticks_off()
right.set(xlabel="number of layers L", ylabel="norm", xscale="log", yscale="log", ylim=(0.05, 1))
right.set_xticks(DEPTHS, [str(d) for d in DEPTHS])
right.set_yticks([0.1, 0.5], ["0.1", "0.5"])
right.minorticks_off()
left.legend()
plots.show(
    fig,
    alt="Three panels, 32 layers. Length of the state: constant for post-norm, growing about as a root for pre-norm. "
    "Gradient at "
    "each state: post-norm falls over the first layers, then grows and is largest at the output; pre-norm falls. "
    "Gradient of the last matrix against depth: "
    "level for post-norm, falling as 1/√L for pre-norm.",
)

# %% [markdown] name="order-reading"
# Read the right panel: this is the last matrix of the last layer. Under post-norm its gradient does not care how
# deep the model is. Under pre-norm the stream has grown to about $\sqrt L$ times its size, the final norm divides
# by that, and so the gradient falls as $1/\sqrt L$. Deep post-norm models begin with larger gradients on top than
# below: a bad start for one learning rate. (Xiong et al. 2020 derive both orders of growth.)

# %% name="order-check"
last = {name: [np.mean([run[2][-1] for run in measured[name, d]]) for d in DEPTHS] for name in ORDERS}
slope = {name: np.polyfit(np.log(DEPTHS[1:]), np.log(norms[1:]), 1)[0] for name, norms in last.items()}
for name in ORDERS:
    record.metric(f"{name}: exponent of the depth in the last gradient", slope[name])
record.check(
    "post-norm: the last gradient keeps its size (exponent between −0.2 and 0.3)", -0.2 < slope["post-norm"] < 0.3
)
record.check("pre-norm: it falls like 1/√L (exponent between −0.65 and −0.35)", -0.65 < slope["pre-norm"] < -0.35)
lengths, at_states = (np.mean([[run[i] for run in measured[name, 32]] for name in ORDERS], axis=1) for i in (0, 1))
record.check("post-norm: every state has the length √C = 8", bool((abs(lengths[0][1:] - 8) < 0.1).all()))
record.check("pre-norm: the last state is over three times as long as the first", lengths[1][-1] > 3 * lengths[1][0])
record.check(
    "post-norm: the gradient at the top is over twice that at the bottom", at_states[0][-1] > 2 * at_states[0][0]
)
record.check(
    "there it falls by over a fifth to state 8, and is largest at the top",
    at_states[0][8] < 0.8 * at_states[0][0] and at_states[0].argmax() == 32,
)
record.check("pre-norm: it is the other way round", at_states[1][0] > 1.5 * at_states[1][-1])

# %% [markdown] name="warm-up"
# ### 预热 · What warm-up is for
#
# The cure that post-norm models got is a **warm-up** (预热): begin with a learning rate near 0 and raise it over
# the first steps. Xiong et al. explain the need by the large gradients on top. But Adam divides each gradient by
# its own size, so that cannot be all: Liu et al. 2020 find that in post-norm a small change of the weights changes
# the output more. An experiment: 12 layers, the task "say the symbol before this one", 16 symbols, Adam with a
# learning rate of 0.003. Which of the four runs will not learn?


# %% name="warm-up-code"
N_STEPS, N_WARM, V = 120, 60, 16


def train(norm_first, warm, width=32, rate=3e-3):
    """Losses of a Transformer of 12 layers that learns to say the symbol before."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    stack = new_stack(norm_first, 12, width, n_heads=2)
    model = nn.ModuleList([nn.Embedding(V, width), stack, nn.Linear(width, V)]).to(device)
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=rate), []
    for step in range(N_STEPS):
        optimizer.param_groups[0]["lr"] = rate * min(1, (step + 1) / N_WARM) if warm else rate
        ids = torch.randint(V, (32, 12), generator=generator).to(device)
        states = model[1](model[0](ids) + sinusoidal(12, width).to(device), causal=True).output
        loss = F.cross_entropy(model[2](states)[:, 1:].flatten(0, 1), ids[:, :-1].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


runs = {
    f"{name}, {'warm-up' if warm else 'none'}": train(first, warm)
    for name, first in ORDERS.items()
    for warm in (False, True)
}

# %% name="warm-up-plot"
fig, (ax,) = plots.figure("12 layers, learning rate 0.003", width=6.2)
smooth = {name: np.convolve(losses, np.ones(5) / 5, mode="valid") for name, losses in runs.items()}
plots.lines(ax, np.arange(N_STEPS - 4) + 3, smooth, x_label="step", y_label="loss (nats)", markers=False)
plots.level(ax, math.log(V), "ln V: guessing")
ax.set_ylim(0, 3.4)
ax.legend(loc="lower left")
plots.show(
    fig,
    alt="Loss against step. Post-norm without warm-up stays at ln 16. Post-norm with warm-up falls after about 40 "
    "steps. "
    "Pre-norm falls without warm-up first, and with it a little later.",
)

# %% name="warm-up-check"
final = {name: losses[-10:].mean() for name, losses in runs.items()}
for name, loss in final.items():
    record.metric(f"{name}: final loss", loss, "nats")
record.check("post-norm without warm-up has learned next to nothing: over 2.3 nats", final["post-norm, none"] > 2.3)
record.check("with warm-up it learns: under 1 nat", final["post-norm, warm-up"] < 1.0)
record.check("pre-norm learns both ways: under 0.5", max(final["pre-norm, none"], final["pre-norm, warm-up"]) < 0.5)

# %% [markdown] name="warm-up-try"
# **Try it.** Set `rate=1e-3` in `train`. Does post-norm now learn without any warm-up?
#
# <details><summary>If it does, what does that say?</summary>Warm-up is not a law but a remedy: the first steps must be
# small. A small learning rate everywhere does it as well, and is slower ever after.</details>

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# The formulas of 000 and 004 and the claims of 001 and 004 about the parts of a layer. One half of a sentence in
# 004 stays untested: that LayerNorm improves *generalisation*. No small experiment of ours could decide that
# fairly.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("04_mathematics/05_feed_forward_and_norms")

# %% name="ledger-data"
x = torch.randn(2, 5, 8)  # two sentences of five words, C = 8
ffn = FeedForward(8, 32).requires_grad_(False)
w1, b1, w2, b2 = ffn.inner.weight.T, ffn.inner.bias, ffn.outer.weight.T, ffn.outer.bias


def stack_of(depth, step):
    """Apply `step(state, matrix)` depth times, to one vector of ones; the gradient's norm at the start."""
    generator = torch.Generator().manual_seed(0)
    start = torch.ones(8, dtype=torch.float64, requires_grad=True)
    state = start
    for _ in range(depth):
        state = step(state, torch.randn(8, 8, generator=generator, dtype=torch.float64) / 8)
    return torch.autograd.grad(state.sum(), start)[0].norm()


# %% [markdown] name="ledger-ffn-text"
# ### 前馈 · Feed-forward


# %% name="ledger-ffn" tags=["ledger"]
def document_version(x):
    """000 §4.1.3, 001 §3.1, 004 §4.1.2: max(0, x W1 + b1) W2 + b2."""
    return torch.clamp(x @ w1 + b1, min=0) @ w2 + b2


def correct_version(x):
    """PyTorch's layers, one after the other."""
    return F.linear(F.relu(F.linear(x, w1.T, b1)), w2.T, b2)


record.check("the formula is the formula", torch.allclose(document_version(x), correct_version(x), atol=1e-6))


# %% name="ledger-alone" tags=["ledger"]
def document_version(x):
    """001 §2.2 and §3.1, 004 §4.1.2: it works on each position's vector: here each by itself."""
    return torch.stack([ffn(x[:, t]) for t in range(x.size(1))], dim=1)


def correct_version(x):
    """All positions at once."""
    return ffn(x)


record.check("no position sees another", torch.allclose(document_version(x), correct_version(x), atol=1e-6))


# %% name="ledger-nonlinear" tags=["ledger"]
def document_version(pairs):
    """001 §2.2, 004 §4.1.2: the bend makes it more expressive. XOR by two ReLUs."""
    return torch.relu(pairs.sum(1)) - 2 * torch.relu(pairs.sum(1) - 1)


def correct_version(pairs):
    """XOR."""
    return (pairs[:, 0] != pairs[:, 1]).float()


pairs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
record.check("two ReLUs make XOR", torch.equal(document_version(pairs), correct_version(pairs)))
linear = torch.linalg.lstsq(torch.cat([pairs, torch.ones(4, 1)], 1), correct_version(pairs)[:, None]).residuals
record.check("no linear map does: its squared error is 1", torch.allclose(linear, torch.ones(1)))


# %% name="ledger-width" tags=["ledger"]
def document_version(x, c, f):
    """000 §4.1.3: W1 is (d_model, d_ff), W2 (d_ff, d_model), b1 (d_ff), b2 (d_model)."""
    return torch.relu(x @ numbers(c, f) + numbers(f)) @ numbers(f, c) + numbers(c)


def correct_version(x, c, f):
    """PyTorch's layers store (out, in): the same matrices, transposed."""
    return F.linear(F.relu(F.linear(x, numbers(c, f).T, numbers(f))), numbers(f, c).T, numbers(c))


def numbers(*shape):
    """Numbers from −1 to 1 in this shape."""
    return torch.linspace(-1, 1, math.prod(shape)).view(shape)


record.check(
    "in the document's shapes the formula is the network",
    torch.allclose(document_version(x, 8, 32), correct_version(x, 8, 32), atol=1e-3),
)
stored = [tuple(linear.weight.shape) for linear in (ffn.inner, ffn.outer)]
record.check("nn.Linear stores both transposed", stored == [(32, 8), (8, 32)])
record.check("x W with a stored matrix fails", ledger.outcome(torch.matmul, x, ffn.inner.weight) == "RuntimeError")

# %% [markdown] name="ledger-residual-text"
# ### 残差 · Residuals


# %% name="ledger-residual" tags=["ledger"]
def document_version(depth):
    """001 §2.2 and §3.1, 004 §2.2.4 and §4.1.3: a residual connection lets the gradient through. By autograd."""
    return stack_of(depth, lambda h, w: h + torch.tanh(h @ w))


def correct_version(depth):
    """The product of (1 + f') of all layers, each matrix written out."""
    generator, state = torch.Generator().manual_seed(0), torch.ones(8, dtype=torch.float64)
    total = torch.eye(8, dtype=torch.float64)
    for _ in range(depth):
        w = torch.randn(8, 8, generator=generator, dtype=torch.float64) / 8
        slope = 1 - torch.tanh(state @ w) ** 2
        total = (torch.eye(8, dtype=torch.float64) + slope[:, None] * w.T) @ total
        state = state + torch.tanh(state @ w)
    return total.sum(0).norm()


record.check("the gradient is the product of 1 + f'", torch.allclose(document_version(40), correct_version(40)))
record.check("after 40 layers it is still there", document_version(40) > 0.1)
record.check("without the residual it is gone", stack_of(40, lambda h, w: torch.tanh(h @ w)) < 1e-10)


# %% [markdown] name="ledger-norm-text"
# ### 归一化 · Norms


# %% name="ledger-order" tags=["ledger"]
def document_version(x, sublayer):
    """001 §3.1, 004 §4.1.3: LayerNorm(x + Sublayer(x)) after each sublayer."""
    return F.layer_norm(x + sublayer(x), (8,))


def correct_version(x, sublayer):
    """So it was in 2017. Most later models put the norm before the sublayer, and x passes untouched."""
    return x + sublayer(F.layer_norm(x, (8,)))


post = Block(Shape(d_model=8, n_heads=2, d_ff=32, norm_first=False))
with torch.no_grad():
    inner = post.attention_norm(x + post.attention(x)[0])
    record.check(
        "the document's order is that of a post-norm block",
        torch.allclose(document_version(inner, post.feed_forward), post(x)[0], atol=1e-5),
    )
record.check(
    "there, a sublayer that adds nothing still changes x",
    not torch.allclose(document_version(x, torch.zeros_like), x, atol=0.1),
)
record.check("in pre-norm the path is free", torch.equal(correct_version(x, torch.zeros_like), x))


# %% name="ledger-axis" tags=["ledger"]
def document_version(x):
    """001 §2.2, 004 §4.1.3: a layer's output is normalised in mean and variance. Literally: all of it together."""
    return (x - x.mean()) / x.std(unbiased=False)


def correct_version(x):
    """Each position's vector by itself."""
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, unbiased=False, keepdim=True)


other = torch.cat([x[:1], 10 * x[1:]])  # the second sentence is another one
record.check(
    "taken together, one sentence would change the other",
    not torch.allclose(document_version(x)[0], document_version(other)[0], atol=0.1),
)
record.check("LayerNorm knows one position only", torch.allclose(correct_version(x)[0], correct_version(other)[0]))
record.check("as PyTorch has it", torch.allclose(correct_version(x), F.layer_norm(x, (8,), eps=0.0), atol=1e-5))


# %% name="ledger-learned-scale" tags=["ledger"]
def document_version(x, norm):
    """004 §2.2.4 and §4.1.3: it normalises mean and variance, and no more."""
    return F.layer_norm(x, (8,))


def correct_version(x, norm):
    """Then a learned weight and bias choose size and shift anew."""
    return norm.weight * F.layer_norm(x, (8,)) + norm.bias


norm = nn.LayerNorm(8).requires_grad_(False)
norm.weight.fill_(3.0)
norm.bias.fill_(1.0)
record.check(
    "a trained LayerNorm need not give mean 0 and variance 1",
    not torch.allclose(document_version(x, norm), norm(x), atol=0.1),
)
record.check("with weight and bias it is PyTorch's", torch.allclose(correct_version(x, norm), norm(x), atol=1e-5))


# %% name="ledger-gradient-size" tags=["ledger"]
def document_version(scale):
    """001 §2.2, 004 §2.2.4: with a norm training is faster. The gradient of a step without one, by size of input."""
    w = torch.zeros(8, requires_grad=True)
    return torch.autograd.grad((scale * x @ w).sum(), w)[0].norm().item()


def correct_version(scale):
    """With the norm, the gradient of the weights after it does not depend on the size of the input."""
    w = torch.zeros(8, requires_grad=True)
    return torch.autograd.grad((F.layer_norm(scale * x, (8,), eps=0.0) @ w).sum(), w)[0].norm().item()


plain, normed = (f(100.0) / f(1.0) for f in (document_version, correct_version))
record.check("without it a hundredfold input gives a hundredfold gradient", math.isclose(plain, 100, rel_tol=1e-3))
record.check("with it one learning rate fits both", math.isclose(normed, 1, rel_tol=1e-3))

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/04_mathematics/05_feed_forward_and_norms.ipynb), about 100 minutes,
# five questions:
#
# 1. SwiGLU: the gate on the right side;
# 2. LayerNorm and RMSNorm from their formulas;
# 3. the backward pass of a pre-norm sublayer, without autograd;
# 4. norm, SwiGLU and residual connection as one module;
# 5. counting: parameters, a gradient through ten layers, and what warm-up is for.
#
# To go on: 4.6 derives what the whole model is trained for.
