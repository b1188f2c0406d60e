# %% [markdown] name="title"
# # 4.5 前馈网络、残差与归一化 · Feed-forward, residuals and norms — exercises
#
# 本节的练习写出带门控的前馈网络 SwiGLU、层归一化与 RMSNorm，再不用自动求导写出先归一化子层的反向传播，
# 把各部分合成一个 `nn.Module` 子层，最后用纸笔数参数、算十层残差的梯度，并说清预热的作用。
#
# You write the parts of a layer that are not attention, one of them backwards. Each question has a cell for your
# answer and a cell that checks it. Section 4.5 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 05_feed_forward_and_norms

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="gated" question={"points": 3, "difficulty": 2, "minutes": 12, "section": "4.5"}
# ## 1. A feed-forward network with a gate
#
# Write SwiGLU: $\big(\mathrm{SiLU}(xG) \odot xW_1\big)\,W_2$, where $\mathrm{SiLU}(z) = z\,\sigma(z)$ and $\odot$
# multiplies entry by entry.
#
# | | shape | |
# | --- | --- | --- |
# | `x` | (..., C) | any number of leading dimensions |
# | `w_gate` | (C, F) | $G$ |
# | `w_inner` | (C, F) | $W_1$ |
# | `w_outer` | (F, C) | $W_2$ |
# | returns | (..., C) | no biases |
#
# **What usually goes wrong:** SiLU stands on the wrong one of the two; a sigmoid alone is taken for SiLU.


# %% name="gated-answer"
def swiglu(x: Tensor, w_gate: Tensor, w_inner: Tensor, w_outer: Tensor) -> Tensor:
    """The gated feed-forward network: (..., C) -> (..., C)."""
    ### BEGIN SOLUTION
    gate = x @ w_gate  # (..., F)
    return (gate * torch.sigmoid(gate) * (x @ w_inner)) @ w_outer
    ### END SOLUTION


# %% name="gated-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("05_feed_forward_and_norms", "gated", swiglu)

# %% [markdown] name="gated-hint-1"
# Two products of x with a matrix, each (..., F). One goes through SiLU. Then multiply the two entry by entry.

# %% [markdown] name="gated-hint-2"
# The gate goes through SiLU: `gate * torch.sigmoid(gate)`. The last product, with `w_outer`, brings the width
# back to C.

# %% name="gated-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

gated = FunctionQuestion(
    "swiglu",
    returns=("output",),
    atol=2e-5,
    because="two products in a row over up to 12 features in float32: each adds an error of about 1e-6",
)


@gated.case(points=1)
def by_hand(draw):
    """one feature, one hidden unit: x = 2, gate −½, inner 3, outer ½"""
    number = [torch.tensor([[value]]) for value in (2.0, -0.5, 3.0, 0.5)]
    return dict(zip(("x", "w_gate", "w_inner", "w_outer"), number, strict=True))


@gated.case(points=1)
def one_word(draw):
    """one word of 6 features, 10 hidden units"""
    return matrices(draw, (6,), 6, 10)


@gated.case(points=1)
def a_batch(draw):
    """a batch of two sentences of four words"""
    return matrices(draw, (2, 4, 8), 8, 12)


def matrices(draw, shape, width, hidden):
    weights = {"w_gate": draw.normal(width, hidden), "w_inner": draw.normal(width, hidden)}
    return {"x": draw.normal(*shape) / 2, **weights, "w_outer": draw.normal(hidden, width) / hidden}


# %% name="gated-mistake-sigmoid"
# %%mistake gated
# A sigmoid stands where SiLU belongs. SiLU is z · σ(z): the gate's own value is in it.
def swiglu(x, w_gate, w_inner, w_outer):
    return (torch.sigmoid(x @ w_gate) * (x @ w_inner)) @ w_outer


# %% name="gated-mistake-wrong-side"
# %%mistake gated
# SiLU is applied to x W1, and the gate passes as it is. The two matrices have the same shape, so nothing looks
# wrong; with trained weights everything is.
def swiglu(x, w_gate, w_inner, w_outer):
    return ((x @ w_gate) * F.silu(x @ w_inner)) @ w_outer


# %% name="gated-mistake-added"
# %%mistake gated
# Gate and inner part are added. A gate multiplies: where it is 0, nothing passes.
def swiglu(x, w_gate, w_inner, w_outer):
    return (F.silu(x @ w_gate) + x @ w_inner) @ w_outer


# %% name="gated-mistake-after"
# %%mistake gated
# SiLU is applied to the product of gate and inner part. Only the gate goes through it.
def swiglu(x, w_gate, w_inner, w_outer):
    return F.silu((x @ w_gate) * (x @ w_inner)) @ w_outer


# %% name="gated-mistake-gelu"
# %%mistake gated
# This is GEGLU, with GELU for SiLU. The two functions look much alike and differ by up to a fifth.
def swiglu(x, w_gate, w_inner, w_outer):
    return (F.gelu(x @ w_gate) * (x @ w_inner)) @ w_outer


# %% name="gated-mistake-no-silu"
# %%mistake gated
# There is no SiLU: gate and inner part are multiplied as they are.
def swiglu(x, w_gate, w_inner, w_outer):
    return ((x @ w_gate) * (x @ w_inner)) @ w_outer


# %% name="gated-mistake-relu"
# %%mistake gated
# ReLU stands where SiLU belongs. ReLU cuts every negative gate to 0; SiLU is z · σ(z).
def swiglu(x, w_gate, w_inner, w_outer):
    return (torch.relu(x @ w_gate) * (x @ w_inner)) @ w_outer


# %% name="gated-mistake-both"
# %%mistake gated
# Both go through SiLU. Only the gate does; the inner part passes as it is.
def swiglu(x, w_gate, w_inner, w_outer):
    return (F.silu(x @ w_gate) * F.silu(x @ w_inner)) @ w_outer


# %% name="gated-mistake-before"
# %%mistake gated
# SiLU is applied to x, before the product with G. It belongs after it: SiLU(xG).
def swiglu(x, w_gate, w_inner, w_outer):
    return ((F.silu(x) @ w_gate) * (x @ w_inner)) @ w_outer


# %% name="gated-other-joined"
# %%other gated
# Both matrices side by side, one product, and torch's own SiLU.
def swiglu(x, w_gate, w_inner, w_outer):
    gate, inner = (x @ torch.cat([w_gate, w_inner], dim=1)).chunk(2, dim=-1)
    return (F.silu(gate) * inner) @ w_outer


# %% name="gated-other-loop"
# %%other gated
# One hidden unit after the other, as keys and values.
def swiglu(x, w_gate, w_inner, w_outer):
    output = torch.zeros(*x.shape[:-1], w_outer.size(1), dtype=x.dtype)
    for j in range(w_gate.size(1)):
        z = (x * w_gate[:, j]).sum(-1, keepdim=True)
        output = output + z / (1 + torch.exp(-z)) * (x * w_inner[:, j]).sum(-1, keepdim=True) * w_outer[j]
    return output


# %% [markdown] name="norms" question={"points": 4, "difficulty": 2, "minutes": 18, "section": "4.5"}
# ## 2. Two norms
#
# Write LayerNorm and RMSNorm in one function:
#
# $$\text{layer: } \gamma\odot\frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta,\qquad
# \text{rms: } \gamma\odot\frac{x}{\sqrt{\frac1C\sum_i x_i^2 + \varepsilon}}$$
#
# | | shape | |
# | --- | --- | --- |
# | `x` | (..., C) | each vector along the last axis is normalised by itself |
# | `kind` | str | `"layer"` or `"rms"`; else raise a `ValueError`, best one that says what was given |
# | `weight`, `bias` | (C,) | $\gamma$ and $\beta$; RMSNorm leaves the bias out |
# | `eps` | float | $\varepsilon$, inside the root |
# | returns | (..., C) | |
#
# Write it with means, squares and roots. `F.layer_norm`, `F.rms_norm` and their modules are not allowed here.
#
# **What usually goes wrong:** the variance is divided by C − 1; $\varepsilon$ stands outside the root; the wrong axis.


# %% name="norms-answer"
def normalise(x: Tensor, kind: str, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """LayerNorm or RMSNorm over the last axis of x (..., C)."""
    ### BEGIN SOLUTION
    if kind == "rms":
        return weight * x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps)
    if kind == "layer":
        centred = x - x.mean(-1, keepdim=True)
        return weight * centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps) + bias
    raise ValueError(f'the kind must be "layer" or "rms"; got {kind!r}')
    ### END SOLUTION


# %% name="norms-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("05_feed_forward_and_norms", "norms", normalise)

# %% [markdown] name="norms-hint-1"
# `x.mean(-1, keepdim=True)` keeps the last axis with length 1, so that it can be subtracted from x.

# %% [markdown] name="norms-hint-2"
# The variance is the mean of the squares of the *centred* vector. The root is taken after eps has been added.

# %% name="norms-parts"
norms = FunctionQuestion(
    "normalise",
    returns=("output",),
    atol=2e-5,
    because="a mean, a square and a root in float32, on values of about 1: an error of some 1e-6",
)


@norms.case(points=1)
def by_hand(draw):
    """LayerNorm of (1, 2, 3, 6), without weights: mean 3, variance 3.5"""
    return norm_inputs(torch.tensor([1.0, 2.0, 3.0, 6.0]), "layer", torch.ones(4), torch.zeros(4), 0.0)


@norms.case(points=1)
def layer_with_weights(draw):
    """LayerNorm of two sentences, with weight, bias and a large eps"""
    return norm_inputs(2 * draw.normal(2, 3, 8) + 1, "layer", draw.normal(8), draw.normal(8), 0.5)


@norms.case(points=1)
def rms_with_weights(draw):
    """RMSNorm of two sentences, with weight and a large eps"""
    return norm_inputs(2 * draw.normal(2, 3, 8) + 1, "rms", draw.normal(8), draw.normal(8), 0.5)


@norms.case(points=1)
def refused(draw):
    """the kind "batch": a ValueError"""
    return norm_inputs(draw.normal(2, 4), "batch", torch.ones(4), torch.zeros(4), 1e-5)


def norm_inputs(x, kind, weight, bias, eps):
    return {"x": x, "kind": kind, "weight": weight, "bias": bias, "eps": eps}


# %% name="norms-mistake-c-minus-one"
# %%mistake norms
# The variance is divided by C − 1, as torch.var does unless told otherwise. LayerNorm divides by C.
def normalise(x, kind, weight, bias, eps):
    if kind == "rms":
        return weight * x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps)
    if kind == "layer":
        return weight * (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + eps) + bias
    raise ValueError(kind)


# %% name="norms-mistake-eps-outside"
# %%mistake norms
# eps is added after the root. It belongs inside, next to the variance: with a large eps the results differ.
def normalise(x, kind, weight, bias, eps):
    if kind == "rms":
        return weight * x / (x.square().mean(-1, keepdim=True).sqrt() + eps)
    if kind == "layer":
        return weight * (x - x.mean(-1, keepdim=True)) / (x.std(-1, unbiased=False, keepdim=True) + eps) + bias
    raise ValueError(kind)


# %% name="norms-mistake-whole-tensor"
# %%mistake norms
# Mean and size are taken over the whole tensor, so the words of a batch change each other. Each vector along the
# last axis stands alone.
def normalise(x, kind, weight, bias, eps):
    if kind == "rms":
        return weight * x / torch.sqrt(x.square().mean() + eps)
    if kind == "layer":
        return weight * (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + eps) + bias
    raise ValueError(kind)


# %% name="norms-mistake-rms-centred"
# %%mistake norms
# RMSNorm subtracts the mean here. That is what it leaves out: it only divides by the root of the mean square.
def normalise(x, kind, weight, bias, eps):
    if kind not in ("rms", "layer"):
        raise ValueError(kind)
    centred = x - x.mean(-1, keepdim=True)
    out = weight * centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps)
    return out + bias if kind == "layer" else out


# %% name="norms-mistake-rms-bias"
# %%mistake norms
# RMSNorm has no bias: the weight is all that it learns.
def normalise(x, kind, weight, bias, eps):
    if kind not in ("rms", "layer"):
        raise ValueError(kind)
    centred = x - x.mean(-1, keepdim=True) if kind == "layer" else x
    return weight * centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps) + bias


# %% name="norms-mistake-any-kind"
# %%mistake norms
# An unknown kind is treated as LayerNorm. A slip in the name would then train another model, and nobody would
# notice: raise a ValueError.
def normalise(x, kind, weight, bias, eps):
    if kind == "rms":
        return weight * x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps)
    centred = x - x.mean(-1, keepdim=True)
    return weight * centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps) + bias


# %% name="norms-mistake-first-axis"
# %%mistake norms
# Mean and size are taken along the first axis, over the sentences of the batch. Each vector along the *last* axis is
# normalised by itself.
def normalise(x, kind, weight, bias, eps):
    if kind == "rms":
        return weight * x / torch.sqrt(x.square().mean(0, keepdim=True) + eps)
    if kind == "layer":
        return weight * (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + eps) + bias
    raise ValueError(kind)


# %% name="norms-mistake-no-eps"
# %%mistake norms
# eps has no effect. Without it a vector of equal entries is divided by 0.
def normalise(x, kind, weight, bias, eps):
    if kind == "rms":
        return weight * x / torch.sqrt(x.square().mean(-1, keepdim=True))
    if kind == "layer":
        return weight * (x - x.mean(-1, keepdim=True)) / x.std(-1, unbiased=False, keepdim=True) + bias
    raise ValueError(kind)


# %% name="norms-mistake-no-root"
# %%mistake norms
# The root is missing: this divides by the variance, or by the mean square. The size of a vector is its root.
def normalise(x, kind, weight, bias, eps):
    if kind == "rms":
        return weight * x / (x.square().mean(-1, keepdim=True) + eps)
    if kind == "layer":
        return weight * (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + eps) + bias
    raise ValueError(kind)


# %% name="norms-mistake-no-weight"
# %%mistake norms
# The weight γ has no effect. It multiplies the normalised vector, entry by entry.
def normalise(x, kind, weight, bias, eps):
    if kind == "rms":
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps)
    if kind == "layer":
        return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + eps) + bias
    raise ValueError(kind)


# %% name="norms-other-sums"
# %%other norms
# Sums divided by C, and the variance as the mean square less the square of the mean.
def normalise(x, kind, weight, bias, eps):
    C = x.shape[-1]
    square = (x * x).sum(-1, keepdim=True) / C
    mean = x.sum(-1, keepdim=True) / C
    if kind == "layer":
        return bias + (x - mean) * (square - mean**2 + eps) ** -0.5 * weight
    if kind == "rms":
        return weight * (x * (square + eps).rsqrt())
    raise ValueError(f"unknown kind {kind}")


# %% name="norms-other-std"
# %%other norms
# torch's variance, told to divide by C, and the length of the vector for RMSNorm.
def normalise(x, kind, weight, bias, eps):
    size = x.size(-1)
    if kind == "layer":
        return torch.addcmul(
            bias, weight, (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + eps).sqrt()
        )
    if kind == "rms":
        return weight * x / (x.norm(dim=-1, keepdim=True) ** 2 / size + eps).sqrt()
    raise ValueError(kind)


# %% [markdown] name="backward" question={"points": 5, "difficulty": 4, "minutes": 30, "section": "4.5"}
# ## 3. A pre-norm sublayer, backwards
#
# RMSNorm (Zhang and Sennrich 2019) stands before a sublayer, and the residual connection leads around both. Here the
# sublayer is one matrix $W$:
#
# $$z = x + yW,\qquad y = \gamma\odot\hat x,\qquad \hat x = \frac x\rho,\qquad
# \rho = \sqrt{\tfrac1C\textstyle\sum_i x_i^2 + \varepsilon}$$
#
# You are given the gradient $g$ of a loss with respect to $z$. Write the gradients with respect to $x$ and to
# $\gamma$. The Jacobian of $\hat x$ is in section 4.5; it holds for every $\varepsilon$,
# because $\rho$ contains it.
#
# | | shape | |
# | --- | --- | --- |
# | `x` | (..., C) | one leading dimension or more; each vector along the last axis is a word by itself |
# | `weight` | (C,) | $\gamma$, the same for all words |
# | `matrix` | (C, C) | $W$ |
# | `eps` | float | $\varepsilon > 0$; it may be large beside the mean square, and a word may be 0 in all entries |
# | `arriving` | (..., C) | $g$, the gradient at $z$ |
# | returns `by_x` | (..., C) | the gradient at $x$ |
# | returns `by_weight` | (C,) | the gradient at $\gamma$ |
#
# All tensors are float32, the results too. Write it without autograd; use autograd to test it.
#
# **What usually goes wrong:** $\gamma$ stands on the wrong side of the Jacobian; the path past the norm is forgotten;
# $\hat x$ is taken to have the length $\sqrt C$, but $\varepsilon$ makes it shorter.


# %% name="backward-answer"
def sublayer_backward(x: Tensor, weight: Tensor, matrix: Tensor, eps: float, arriving: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of x + RMSNorm(x) W at x (..., C) and at the norm's weight (C,)."""
    ### BEGIN SOLUTION
    rho = torch.sqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_x_hat = weight * by_y
    along = (by_x_hat * x_hat).mean(-1, keepdim=True)
    by_x = arriving + (by_x_hat - x_hat * along) / rho
    by_weight = (by_y * x_hat).reshape(-1, x.size(-1)).sum(0)
    return by_x, by_weight
    ### END SOLUTION


# %% name="backward-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("05_feed_forward_and_norms", "backward", sublayer_backward)

# %% [markdown] name="backward-hint-1"
# Go back from z one step at a time. Two paths lead from x to z, and their gradients add up. The gradient at y comes
# through W, as in section 4.3: multiply by the transposed matrix.

# %% [markdown] name="backward-hint-2"
# y is a product, entry by entry, of γ and x̂: the gradient at each of the two is the gradient at y times the other
# one. All words share one γ; each has its own x̂.

# %% [markdown] name="backward-hint-3"
# From x̂ to x, multiply the Jacobian out; no matrix is left. $\frac1C\hat x\,(\hat x\cdot v)$ is $\hat x$ times the
# mean of $\hat x\odot v$. Which gradient is $v$?

# %% name="backward-parts"
backward = FunctionQuestion(
    "sublayer_backward",
    returns=("by_x", "by_weight"),
    atol=5e-5,
    because="a product over up to 8 features, means and sums over up to 24 words in float32, wrong by some 1e-6; the"
    " division by a ρ of 0.1 or more makes it ten times that at most",
)


@backward.case(points=1)
def by_hand(draw):
    """one word, C = 2: x = (2, 4) and ε = 6, so ρ = 4; γ = (2, ½), W = ((1, 2), (0, 1)), and (4, 8) arrives"""
    numbers = {"x": [[2.0, 4.0]], "weight": [2.0, 0.5], "matrix": [[1.0, 2.0], [0.0, 1.0]], "arriving": [[4.0, 8.0]]}
    return {"eps": 6.0, **{name: torch.tensor(values) for name, values in numbers.items()}}


@backward.case(points=1)
def a_batch(draw):
    """two sentences of three words, the mean of x is not 0; γ is 1, as in a new norm, and ε = 10⁻⁶"""
    return sublayer_inputs(draw, 2 * draw.normal(2, 3, 5) + 1, torch.ones(5), 1e-6)


@backward.case(points=1)
def far_weight(draw):
    """three leading dimensions; γ is far from 1, with both signs"""
    return sublayer_inputs(draw, 2 * draw.normal(2, 3, 4, 6), 4 * draw.normal(6), 1e-6)


@backward.case(points=2)
def small_beside_eps(draw):
    """five words, √ε = 0.1: the first is 0, the next three are small beside √ε, the last is larger"""
    sizes = torch.tensor([0.0, 0.01, 0.02, 0.05, 0.3])
    return sublayer_inputs(draw, sizes[:, None] * draw.normal(5, 8), 1 + draw.normal(8), 0.01)


def sublayer_inputs(draw, x, weight, eps):
    matrix = draw.normal(x.size(-1), x.size(-1)) / 2
    return {"x": x, "weight": weight, "matrix": matrix, "eps": eps, "arriving": draw.normal(*x.shape)}


@backward.invariant
def the_branch_is_linear_in_the_weight(got, inputs):
    """yW is linear in γ, so γ · by_weight must be the sum of yW ⊙ g over all words"""
    expected = (branch(inputs) * inputs["arriving"]).sum()
    return bool((got[1] @ inputs["weight"] - expected).abs() < 1e-3 * (1 + expected.abs()))


@backward.invariant
def the_length_hardly_counts(got, inputs):
    """stretching x moves y by the share ε/ρ² alone: without the path past the norm, x · by_x is that share of yW · g"""
    share = inputs["eps"] / (inputs["x"].square().mean(-1) + inputs["eps"])
    expected = share * (branch(inputs) * inputs["arriving"]).sum(-1)
    along = (inputs["x"] * (got[0] - inputs["arriving"])).sum(-1)
    return bool(((along - expected).abs() < 1e-3).all())


def branch(inputs):
    x, weight = inputs["x"], inputs["weight"]
    return torch.nn.functional.rms_norm(x, weight.shape, weight, inputs["eps"]) @ inputs["matrix"]


# %% name="backward-mistake-constant"
# %%mistake backward
# ρ is treated as a constant, so the gradient is only divided by it. But ρ moves when x moves, and must be
# differentiated too: that is the second term of the Jacobian.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    by_y = arriving @ matrix.mT
    return arriving + weight * by_y / rho, (by_y * x / rho).flatten(0, -2).sum(0)


# %% name="backward-mistake-no-eps"
# %%mistake backward
# ε is left out of ρ. Where x is small beside √ε, this ρ is far too small, and where x is 0 it divides by 0.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = x.square().mean(-1, keepdim=True).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)) / rho
    return arriving + by_norm, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-eps-outside"
# %%mistake backward
# ε stands outside the root. It is added to the mean square, and then the root is taken.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = x.square().mean(-1, keepdim=True).sqrt() + eps
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)) / rho
    return arriving + by_norm, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-unit-length"
# %%mistake backward
# The whole part along x is taken out, as for ε = 0. With ε the length of x counts a little: the mean of x̂² is below 1,
# and x̂ times the mean of x̂ ⊙ v takes out less than all.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    direction = F.normalize(x, dim=-1)
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - direction * (by_hat * direction).sum(-1, keepdim=True)) / rho
    return arriving + by_norm, (by_y * x / rho).flatten(0, -2).sum(0)


# %% name="backward-mistake-layer-norm"
# %%mistake backward
# This is the backward pass of LayerNorm: it takes the mean off x and off the gradient. RMSNorm leaves the mean in.
def sublayer_backward(x, weight, matrix, eps, arriving):
    centred = x - x.mean(-1, keepdim=True)
    sigma = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = centred / sigma
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = by_hat - by_hat.mean(-1, keepdim=True) - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)
    return arriving + by_norm / sigma, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-mean-off-gradient"
# %%mistake backward
# The mean of the gradient is taken off, a term that only LayerNorm has: RMSNorm sees a shift of x.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = by_hat - by_hat.mean(-1, keepdim=True) - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)
    return arriving + by_norm / rho, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-weight-after"
# %%mistake backward
# γ is applied after the Jacobian. Forwards it comes last, so backwards it comes first: the gradient at x̂ is γ times
# that at y, and this one goes through the Jacobian.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_norm = weight * (by_y - x_hat * (by_y * x_hat).mean(-1, keepdim=True)) / rho
    return arriving + by_norm, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-no-weight"
# %%mistake backward
# γ is missing from the gradient at x. A feature that γ makes ten times as large gets ten times the gradient.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_norm = (by_y - x_hat * (by_y * x_hat).mean(-1, keepdim=True)) / rho
    return arriving + by_norm, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-no-residual"
# %%mistake backward
# Only the path through the norm is followed. Along the residual connection the arriving gradient reaches x unchanged;
# the two add up.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)) / rho
    return by_norm, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-residual-in-norm"
# %%mistake backward
# The gradient of the residual connection goes through the norm as well. This connection starts at x, before the norm:
# what arrives on it is added at the very end.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving + arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)) / rho
    return by_norm, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-not-transposed"
# %%mistake backward
# The gradient is multiplied by W, as in the forward pass. On the way back it is the transposed matrix: entry i of the
# gradient at y is the sum of W_ij g_j over j.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix
    by_hat = weight * by_y
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)) / rho
    return arriving + by_norm, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-sum"
# %%mistake backward
# The part along x̂ is a sum where it must be a mean: the Jacobian has 1/C before x̂x̂ᵀ.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - x_hat * (by_hat * x_hat).sum(-1, keepdim=True)) / rho
    return arriving + by_norm, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-twice-c"
# %%mistake backward
# The part along x̂ is divided by C twice: the mean has the 1/C of the Jacobian in it already.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True) / x.size(-1)) / rho
    return arriving + by_norm, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-not-normalised"
# %%mistake backward
# In the second term x stands where x̂ belongs. x̂ is x divided by ρ.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - x * (by_hat * x).mean(-1, keepdim=True)) / rho
    return arriving + by_norm, (by_y * x / rho).flatten(0, -2).sum(0)


# %% name="backward-mistake-no-division"
# %%mistake backward
# The 1/ρ before the bracket is missing. A long vector must get a small gradient through the norm.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)
    return arriving + by_norm, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-square"
# %%mistake backward
# The bracket is divided by ρ², the mean square. The root is missing there: the factor is 1/ρ.
def sublayer_backward(x, weight, matrix, eps, arriving):
    square = x.square().mean(-1, keepdim=True) + eps
    x_hat = x / square.sqrt()
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)) / square
    return arriving + by_norm, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-all-divided"
# %%mistake backward
# The arriving gradient is divided by ρ too. Past the norm it goes to x as it is; only what comes through the norm is
# divided.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)
    return (arriving + by_norm) / rho, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-whole-tensor"
# %%mistake backward
# One ρ is taken over the whole tensor, so the words change each other. Each vector along the last axis stands alone.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean() + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean()) / rho
    return arriving + by_norm, (by_y * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-weight-by-x"
# %%mistake backward
# The gradient at γ is taken with x in place of x̂. What γ multiplies is x̂, so x̂ is its derivative.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)) / rho
    return arriving + by_norm, (by_y * x).flatten(0, -2).sum(0)


# %% name="backward-mistake-weight-averaged"
# %%mistake backward
# The gradient at γ is averaged over the words. Each word adds its own part to the loss: it is the sum.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)) / rho
    return arriving + by_norm, (by_y * x_hat).flatten(0, -2).mean(0)


# %% name="backward-mistake-weight-first-axis"
# %%mistake backward
# The gradient at γ is summed over the first axis alone. γ serves every word of every sentence: sum over all axes but
# the last.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_y = arriving @ matrix.mT
    by_hat = weight * by_y
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)) / rho
    return arriving + by_norm, (by_y * x_hat).sum(0)


# %% name="backward-mistake-weight-twice"
# %%mistake backward
# The gradient at γ has γ in it. y is γ ⊙ x̂, so the gradient at γ is that at y times x̂, and no more.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_hat = weight * (arriving @ matrix.mT)
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)) / rho
    return arriving + by_norm, (by_hat * x_hat).flatten(0, -2).sum(0)


# %% name="backward-mistake-weight-past-matrix"
# %%mistake backward
# The gradient at γ is taken from g itself. Between y and z there is W: the gradient at y is gWᵀ.
def sublayer_backward(x, weight, matrix, eps, arriving):
    rho = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat = x / rho
    by_hat = weight * (arriving @ matrix.mT)
    by_norm = (by_hat - x_hat * (by_hat * x_hat).mean(-1, keepdim=True)) / rho
    return arriving + by_norm, (arriving * x_hat).flatten(0, -2).sum(0)


# %% name="backward-other-matrix"
# %%other backward
# The Jacobian as a matrix, for each word; γ and W are matrices too.
def sublayer_backward(x, weight, matrix, eps, arriving):
    C = x.size(-1)
    rho = (x.norm(dim=-1, keepdim=True) ** 2 / C + eps) ** 0.5
    x_hat = (x / rho)[..., None]  # (..., C, 1)
    identity = torch.eye(C, dtype=x.dtype)
    jacobian = identity + (identity - x_hat @ x_hat.mT / C) / rho[..., None] @ torch.diag(weight) @ matrix
    by_weight = torch.einsum("...i,ij,...j->i", x_hat[..., 0], matrix, arriving)
    return (jacobian @ arriving[..., None])[..., 0], by_weight


# %% name="backward-other-loop"
# %%other backward
# One word after the other, and powers of 1/ρ: the second term is x (x · v) / (C ρ³).
def sublayer_backward(x, weight, matrix, eps, arriving):
    C = x.shape[-1]
    by_x, by_weight = torch.zeros_like(x).reshape(-1, C), torch.zeros_like(weight)
    for t, (word, g) in enumerate(zip(x.reshape(-1, C), arriving.reshape(-1, C), strict=True)):
        inverse = torch.rsqrt(word @ word / C + eps)
        v = matrix @ g
        by_weight += v * word * inverse
        by_x[t] = g + weight * v * inverse - word * (word @ (weight * v)) * inverse**3 / C
    return by_x.view_as(x), by_weight


# %% name="backward-other-dual"
# %%other backward
# The derivative in the direction of each feature, forwards: column j is what a change of feature j does to z.
def sublayer_backward(x, weight, matrix, eps, arriving):
    C = x.size(-1)
    mean_square = x.pow(2).sum(-1, keepdim=True).div(C) + eps
    columns = []
    for j in range(C):
        unit = torch.zeros_like(x)
        unit[..., j] = 1
        change = (unit - x * x[..., j : j + 1] / (C * mean_square)) / mean_square.sqrt()
        columns.append(((unit + change * weight @ matrix) * arriving).sum(-1))
    each = x / mean_square.sqrt() * torch.matmul(arriving, matrix.T)
    while each.ndim > 1:
        each = each.sum(0)
    return torch.stack(columns, dim=-1), each


# %% [markdown] name="block" question={"points": 4, "difficulty": 3, "minutes": 25, "section": "4.5"}
# ## 4. The sublayer as a module
#
# Put the parts together as a `torch.nn.Module`: norm first, then SwiGLU, then the residual connection around both,
#
# $$y = x + \big(\mathrm{SiLU}(hG^\top) \odot hW^\top\big)\,V^\top,\qquad h = \mathrm{RMSNorm}(x).$$
#
# The check makes a `FeedForward(width, hidden)`, sets its parameters by their names, and calls it with `x` (..., C).
#
# | parameter | shape | |
# | --- | --- | --- |
# | `norm.weight` | (C,) | of the RMSNorm, whose ε is 10⁻⁶; 1 in a new module |
# | `gate.weight` | (F, C) | $G$, as `nn.Linear` keeps it; random in a new module; no biases anywhere |
# | `inner.weight` | (F, C) | $W$; random in a new module |
# | `outer.weight` | (C, F) | $V$; **0 in a new module**, so that the block passes x on as it is |
#
# `nn.Linear` and `nn.RMSNorm` are allowed here.
#
# **What usually goes wrong:** the residual connection adds the normalised x; the norm comes last; a bias is left on.


# %% name="block-answer"
class FeedForward(torch.nn.Module):
    """Norm, gated feed-forward network and residual connection: (..., C) -> (..., C)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.norm = torch.nn.RMSNorm(width, eps=1e-6)
        self.gate = torch.nn.Linear(width, hidden, bias=False)
        self.inner = torch.nn.Linear(width, hidden, bias=False)
        self.outer = torch.nn.Linear(hidden, width, bias=False)
        torch.nn.init.zeros_(self.outer.weight)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)"""
        ### BEGIN SOLUTION
        h = self.norm(x)
        return x + self.outer(F.silu(self.gate(h)) * self.inner(h))
        ### END SOLUTION


# %% name="block-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("05_feed_forward_and_norms", "block", FeedForward)

# %% [markdown] name="block-hint-1"
# Four parts in `__init__`, each under the name that the table gives it: the weight of `self.gate` is `gate.weight`.
# `nn.Linear(a, b)` has a weight of shape (b, a), and a bias unless it is told otherwise.

# %% [markdown] name="block-hint-2"
# In `forward`, normalise once and keep x: gate and inner part read the normalised vector, the sum at the end takes x
# itself. `torch.nn.init.zeros_` fills a weight with 0.

# %% name="block-parts"
from lmlib.course.questions import ClassQuestion
from lmlib.course.steps import call, load, new, read, steps

block = ClassQuestion(
    "FeedForward",
    atol=5e-5,
    because="a root and three products over up to 12 features in float32, one after the other",
)


def weights_of(draw, width, hidden):
    return {
        "norm.weight": 1 + draw.normal(width) / 4,
        "gate.weight": draw.normal(hidden, width) / 2,
        "inner.weight": draw.normal(hidden, width) / 2,
        "outer.weight": draw.normal(width, hidden) / 2,
    }


@block.case(points=1)
def when_new(draw):
    """a new module passes x on as it is; its four weights have the right shapes and first values"""
    made = new(width=5, hidden=7)
    shapes = [read(f"{name}.weight.shape") for name in ("norm", "gate", "inner", "outer")]
    drawn = [call(f"{name}.weight.any") for name in ("gate", "inner")]
    return steps(made, call("__call__", x=draw.normal(2, 3, 5)), *shapes, read("norm.weight"), *drawn)


@block.case(points=1)
def with_weights(draw):
    """weights set by the check, two sentences of three words"""
    return steps(new(width=6, hidden=9), load(weights_of(draw, 6, 9)), call("__call__", x=2 * draw.normal(2, 3, 6)))


@block.case(points=1)
def tiny_numbers(draw):
    """numbers so small that ε counts"""
    return steps(new(width=8, hidden=4), load(weights_of(draw, 8, 4)), call("__call__", x=draw.normal(4, 8) / 1000))


@block.case(points=1)
def nothing_kept(draw):
    """two calls in a row: the second one depends on nothing of the first"""
    x, other = draw.normal(3, 4), draw.normal(3, 4)
    both = (call("__call__", x=other), call("__call__", x=x))
    return steps(new(width=4, hidden=12), load(weights_of(draw, 4, 12)), *both, read("norm.weight"))


# %% name="block-mistake-norm-last"
# %%mistake block
# The norm comes last, over the sum. That is post-norm: the residual path is normalised in every layer, and deep models
# of this kind need warm-up.
class FeedForward(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm = torch.nn.RMSNorm(width, eps=1e-6)
        self.gate = torch.nn.Linear(width, hidden, bias=False)
        self.inner = torch.nn.Linear(width, hidden, bias=False)
        self.outer = torch.nn.Linear(hidden, width, bias=False)
        torch.nn.init.zeros_(self.outer.weight)

    def forward(self, x):
        return self.norm(x + self.outer(F.silu(self.gate(x)) * self.inner(x)))


# %% name="block-mistake-normalised-residual"
# %%mistake block
# The sum takes the normalised x. Then no path leads through the layers unchanged; add to x itself.
class FeedForward(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm = torch.nn.RMSNorm(width, eps=1e-6)
        self.gate = torch.nn.Linear(width, hidden, bias=False)
        self.inner = torch.nn.Linear(width, hidden, bias=False)
        self.outer = torch.nn.Linear(hidden, width, bias=False)
        torch.nn.init.zeros_(self.outer.weight)

    def forward(self, x):
        x = self.norm(x)
        return x + self.outer(F.silu(self.gate(x)) * self.inner(x))


# %% name="block-mistake-no-residual"
# %%mistake block
# The residual connection is missing: a new module gives 0 for every x.
class FeedForward(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm = torch.nn.RMSNorm(width, eps=1e-6)
        self.gate = torch.nn.Linear(width, hidden, bias=False)
        self.inner = torch.nn.Linear(width, hidden, bias=False)
        self.outer = torch.nn.Linear(hidden, width, bias=False)
        torch.nn.init.zeros_(self.outer.weight)

    def forward(self, x):
        h = self.norm(x)
        return self.outer(F.silu(self.gate(h)) * self.inner(h))


# %% name="block-mistake-not-zero"
# %%mistake block
# The last matrix is drawn at random. It is to be 0 in a new module, so that each layer starts as if it were not there.
class FeedForward(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm = torch.nn.RMSNorm(width, eps=1e-6)
        self.gate = torch.nn.Linear(width, hidden, bias=False)
        self.inner = torch.nn.Linear(width, hidden, bias=False)
        self.outer = torch.nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        h = self.norm(x)
        return x + self.outer(F.silu(self.gate(h)) * self.inner(h))


# %% name="block-mistake-gate-not-normalised"
# %%mistake block
# The gate reads x, and only the inner part the normalised x. Both read the same vector.
class FeedForward(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm = torch.nn.RMSNorm(width, eps=1e-6)
        self.gate = torch.nn.Linear(width, hidden, bias=False)
        self.inner = torch.nn.Linear(width, hidden, bias=False)
        self.outer = torch.nn.Linear(hidden, width, bias=False)
        torch.nn.init.zeros_(self.outer.weight)

    def forward(self, x):
        return x + self.outer(F.silu(self.gate(x)) * self.inner(self.norm(x)))


# %% name="block-mistake-all-zero"
# %%mistake block
# Gate and inner matrix are 0 too. Then no gradient reaches any of the three, and the block never learns. Only the
# last one is 0.
class FeedForward(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm = torch.nn.RMSNorm(width, eps=1e-6)
        self.gate = torch.nn.Linear(width, hidden, bias=False)
        self.inner = torch.nn.Linear(width, hidden, bias=False)
        self.outer = torch.nn.Linear(hidden, width, bias=False)
        for linear in (self.gate, self.inner, self.outer):
            torch.nn.init.zeros_(linear.weight)

    def forward(self, x):
        h = self.norm(x)
        return x + self.outer(F.silu(self.gate(h)) * self.inner(h))


# %% name="block-mistake-default-eps"
# %%mistake block
# `nn.RMSNorm` takes another ε unless it is told otherwise: `eps=1e-6`.
class FeedForward(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm = torch.nn.RMSNorm(width)
        self.gate = torch.nn.Linear(width, hidden, bias=False)
        self.inner = torch.nn.Linear(width, hidden, bias=False)
        self.outer = torch.nn.Linear(hidden, width, bias=False)
        torch.nn.init.zeros_(self.outer.weight)

    def forward(self, x):
        h = self.norm(x)
        return x + self.outer(F.silu(self.gate(h)) * self.inner(h))


# %% name="block-mistake-layer-norm"
# %%mistake block
# This is LayerNorm: it subtracts the mean. RMSNorm only divides.
class FeedForward(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm = torch.nn.LayerNorm(width, eps=1e-6, bias=False)
        self.gate = torch.nn.Linear(width, hidden, bias=False)
        self.inner = torch.nn.Linear(width, hidden, bias=False)
        self.outer = torch.nn.Linear(hidden, width, bias=False)
        torch.nn.init.zeros_(self.outer.weight)

    def forward(self, x):
        h = self.norm(x)
        return x + self.outer(F.silu(self.gate(h)) * self.inner(h))


# %% name="block-mistake-wrong-side"
# %%mistake block
# SiLU is applied to the inner part, and the gate passes as it is. Only the gate goes through SiLU.
class FeedForward(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm = torch.nn.RMSNorm(width, eps=1e-6)
        self.gate = torch.nn.Linear(width, hidden, bias=False)
        self.inner = torch.nn.Linear(width, hidden, bias=False)
        self.outer = torch.nn.Linear(hidden, width, bias=False)
        torch.nn.init.zeros_(self.outer.weight)

    def forward(self, x):
        h = self.norm(x)
        return x + self.outer(self.gate(h) * F.silu(self.inner(h)))


# %% name="block-other-parameters"
# %%other block
# Bare parameters in small modules of one's own, and the norm written out.
class FeedForward(torch.nn.Module):
    class Weight(torch.nn.Module):
        def __init__(self, *shape, fill=None):
            super().__init__()
            values = torch.randn(*shape) / 10 if fill is None else torch.full(shape, float(fill))
            self.weight = torch.nn.Parameter(values)

    def __init__(self, width, hidden):
        super().__init__()
        self.norm, self.outer = self.Weight(width, fill=1), self.Weight(width, hidden, fill=0)
        self.gate, self.inner = self.Weight(hidden, width), self.Weight(hidden, width)

    def forward(self, x):
        h = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.norm.weight
        gate = h @ self.gate.weight.mT
        return x + (gate / (1 + torch.exp(-gate)) * (h @ self.inner.weight.mT)) @ self.outer.weight.mT


# %% name="block-other-joined"
# %%other block
# Gate and inner part in one product, their weights side by side.
class FeedForward(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        sizes = {"gate": (width, hidden), "inner": (width, hidden), "outer": (hidden, width)}
        for name, (inputs, outputs) in sizes.items():
            self.add_module(name, torch.nn.Linear(inputs, outputs, bias=False))
        self.outer.weight.data *= 0
        self.norm = torch.nn.RMSNorm(width, 1e-6)

    def forward(self, x):
        both = F.linear(self.norm(x), torch.cat([self.gate.weight, self.inner.weight]))
        gate, inner = both.chunk(2, dim=-1)
        return self.outer(inner * gate * gate.sigmoid()).add(x)


# %% [markdown] name="counting" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "4.5"}
# ## 5. Counting
#
# **Three numbers.**
#
# - `parameters`: how many parameters has a *plain* feed-forward network (no gate) with C = 4, F = 16 and both biases?
# - `gradient`: ten layers, each $y = x + f(x)$ with the derivative $f' = 0.1$. What is the derivative of the
#   output with respect to the input? Three digits or more.
# - `directions`: LayerNorm without weights and with ε = 0 has a Jacobian of size 512 × 512. What is its rank?
#
# **Why warm-up?** Set `reason` to the letter of the reason that Xiong et al. 2020 give for a deep *post-norm* model.
#
# - **a** The gradients of all layers are 0 at first, and warm-up wakes them up.
# - **b** The gradients near the output are large at first, and full steps on them make training unstable.
# - **c** The loss is infinite at first, and a small learning rate keeps it from overflowing.
# - **d** The mean of the activations drifts, and LayerNorm needs some steps to measure it.

# %% name="counting-answer"
parameters = None  # a number
gradient = None  # a number
directions = None  # a number
reason = ""  # the letter
### BEGIN SOLUTION
parameters = 2 * 4 * 16 + 16 + 4
gradient = 1.1**10
directions = 510  # all but the mean and the direction of x̂
reason = "b"
### END SOLUTION

# %% name="counting-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check(
    "05_feed_forward_and_norms",
    "counting",
    parameters=parameters,
    gradient=gradient,
    directions=directions,
    reason=reason,
)

# %% [markdown] name="counting-hint-1"
# A plain network: two matrices and two biases. For the gradient: what is the factor of one layer, and how do ten
# factors combine?

# %% [markdown] name="counting-hint-2"
# Which changes of x does LayerNorm not see at all? Each such direction lowers the rank by 1.

# %% [markdown] name="counting-hint-3"
# For the reason, look at the middle panel of the plot in section 4.5.4: at which end of a post-norm model are the
# gradients largest?

# %% name="counting-parts"
counting = ValueQuestion()
counting.number("parameters", points=1, title="the number of parameters")
counting.number("gradient", points=1, title="the derivative through ten layers")
counting.number("directions", points=1, title="the rank of the Jacobian")
counting.choice("reason", "abcd", points=1, title="the reason for warm-up")

# %% name="counting-mistake-one-matrix"
# %%mistake counting
# That is one matrix with its bias. There are two matrices, there and back.
parameters = 4 * 16 + 16

# %% name="counting-mistake-three-matrices"
# %%mistake counting
# Three matrices are those of a gated network. The plain one has two.
parameters = 3 * 4 * 16

# %% name="counting-mistake-one-matrix-no-bias"
# %%mistake counting
# 64 is C·F, one matrix without its bias (and 4C², the attention beside it). There are two such matrices, and each has a
# bias.
parameters = 4 * 16

# %% name="counting-mistake-no-bias"
# %%mistake counting
# Those are the two matrices alone. Each has a bias: one of F entries, one of C.
parameters = 2 * 4 * 16

# %% name="counting-mistake-only-inner-bias"
# %%mistake counting
# One bias is missing: that of the output, with C entries.
parameters = 2 * 4 * 16 + 16

# %% name="counting-mistake-only-outer-bias"
# %%mistake counting
# One bias is missing: that of the hidden layer, with F entries.
parameters = 2 * 4 * 16 + 4

# %% name="counting-mistake-wide-bias"
# %%mistake counting
# The second bias is as wide as the output: C entries, not F.
parameters = 2 * (4 * 16 + 16)

# %% name="counting-mistake-no-residual"
# %%mistake counting
# That is the product of the f' alone: ten layers without residual connections. With them each factor is 1 + f'.
gradient = 0.1**10

# %% name="counting-mistake-sum"
# %%mistake counting
# 2 is 1 + 10 · 0.1: the paths through no layer and through exactly one. Paths through several layers count too.
gradient = 2

# %% name="counting-mistake-one"
# %%mistake counting
# 1 is only the path that goes through no layer.
gradient = 1

# %% name="counting-mistake-full-rank"
# %%mistake counting
# Full rank would mean that LayerNorm sees every change of x. It does not see a shift of the mean, nor a stretch.
directions = 512

# %% name="counting-mistake-mean-only"
# %%mistake counting
# The mean is one direction that is lost. The length of the centred x is lost too.
directions = 511

# %% name="counting-mistake-two"
# %%mistake counting
# 2 is the number of directions that are *lost*. The rank counts those that remain.
directions = 2

# %% name="counting-mistake-zero-gradients"
# %%mistake counting
# They are not 0: section 4.5 measures them, and at the top they are the largest.
reason = "a"

# %% name="counting-mistake-infinite-loss"
# %%mistake counting
# The first loss is about ln V, as for every model that guesses.
reason = "c"

# %% name="counting-mistake-running-mean"
# %%mistake counting
# LayerNorm keeps no running mean. It takes mean and variance from the vector itself, from the first step on.
reason = "d"

# %% name="counting-other-torch"
# %%other counting
# Counted by torch.
parameters = sum(p.numel() for p in (*torch.nn.Linear(4, 16).parameters(), *torch.nn.Linear(16, 4).parameters()))
gradient = math.exp(10 * math.log1p(0.1))
directions = torch.tensor(512 - 2)
reason = "(B)"

# %% name="counting-other-digits"
# %%other counting
# In digits, the sum over all paths written out.
parameters = 148
gradient = sum(math.comb(10, n) * 0.1**n for n in range(11))
directions = 510.0
reason = "b."

# %% [markdown] name="end"
# ## Done?
#
# `hint("05_feed_forward_and_norms", "gated", 1)` gives a first hint; each question has two or three. `lmbook check`
# on this notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
