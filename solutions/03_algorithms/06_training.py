# %% [markdown] name="title"
# # 3.6 训练 · Training — exercises
#
# 本节的练习写出训练循环里最容易出错的三行：AdamW 的一步、每一步的学习率、把一个大批量分成几份时的损失；
# 再画出训练与验证的损失曲线，找出该停在哪里。最后用纸笔算出几个应当记住的数字。
#
# You write the three lines of a training loop that most often go wrong without an error message, and draw what it
# reports. Each question has a cell for your answer and a cell that checks it. Section 3.6 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 06_training

# %% name="imports"
import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="adamw" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "3.6"}
# ## 1. One step of AdamW
#
# Write the step number `step` (1, 2, 3, ...) of AdamW, with plain tensors.
#
# | | shape | |
# | --- | --- | --- |
# | `weight`, `gradient` | (N) | what is moved, and its derivative |
# | `mean`, `square` | (N) | the running means of the gradient and of its square, *before* this step |
# | `step` | int | 1 for the first step; then both means are 0 |
# | `rate`, `beta1`, `beta2`, `eps`, `decay` | float | η, β₁, β₂, ε, λ |
# | returns `weight`, `mean`, `square` | (N) each, float32 | all three *after* this step |
#
# The means that are returned are the uncorrected ones. Do not change the inputs. `torch.optim` would pass as well, but
# you would not have seen how it works.
#
# **What usually goes wrong:** the means begin at 0 and nobody corrects for it; the decay goes through the gradient, as
# in the old Adam; ε stands under the root.


# %% name="adamw-answer"
def adamw(
    weight: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    step: int,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The weight, the mean and the square (N) after one step of AdamW."""
    ### BEGIN SOLUTION
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient * gradient
    direction = mean / (1 - beta1**step) / (torch.sqrt(square / (1 - beta2**step)) + eps)
    return weight - rate * decay * weight - rate * direction, mean, square
    ### END SOLUTION


# %% name="adamw-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_training", "adamw", adamw)

# %% [markdown] name="adamw-hint-1"
# First the two running means: β times the old mean plus (1 − β) times what is new. Return them as they are.

# %% [markdown] name="adamw-hint-2"
# At step k a mean that began at 0 has collected only a share of 1 − βᵏ. Divide by that share before you use it: the
# mean by 1 − β₁ᵏ, the square by 1 − β₂ᵏ.

# %% [markdown] name="adamw-hint-3"
# ε is added to the root, not under it. And the decay does not pass through the means: the weight loses η·λ times
# itself.

# %% name="adamw-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

adamw = FunctionQuestion(
    "adamw",
    returns=("weight", "mean", "square"),
    atol=1e-5,
    because="a dozen operations in float32 on numbers of about 1; each loses less than 1e-7",
)


def settings(step, rate=0.1, betas=(0.9, 0.95), eps=1e-8, decay=0.0):
    return {"step": step, "rate": rate, "beta1": betas[0], "beta2": betas[1], "eps": eps, "decay": decay}


@adamw.case(points=1)
def first_step(draw):
    """the first step: both means are 0, no decay"""
    zero = torch.zeros(5)
    return {"weight": draw.normal(5), "gradient": draw.normal(5), "mean": zero, "square": zero.clone(), **settings(1)}


@adamw.case(points=1)
def later_step(draw):
    """a later step, with means of steps before"""
    square = draw.normal(5) ** 2 + 0.1
    given = {"weight": draw.normal(5), "gradient": draw.normal(5), "mean": draw.normal(5), "square": square}
    return {**given, **settings(4, rate=0.03, betas=(0.8, 0.99))}


@adamw.case(points=1)
def with_decay(draw):
    """weight decay, and weights far from 0"""
    square = draw.normal(5) ** 2 + 0.1
    given = {"weight": 5 + draw.normal(5), "gradient": draw.normal(5), "mean": draw.normal(5), "square": square}
    return {**given, **settings(7, rate=0.2, decay=(2 + int(draw.order(4)[0])) / 10)}


@adamw.case(points=1)
def tiny_gradients(draw):
    """gradients about as small as ε, some exactly 0"""
    gradient = 0.01 * draw.normal(5)
    gradient[1] = 0.0
    zero = torch.zeros(5)
    return {
        "weight": draw.normal(5),
        "gradient": gradient,
        "mean": zero,
        "square": zero.clone(),
        **settings(1, eps=0.02),
    }


@adamw.invariant
def squares_are_not_negative(got, inputs):
    """a running mean of squares cannot be negative"""
    return bool((got[2] >= 0).all())


@adamw.invariant
def first_step_is_at_most_the_rate(got, inputs):
    """without decay the first step moves no weight by more than the learning rate"""
    moved = (got[0] - inputs["weight"]).abs().max()
    return inputs["step"] != 1 or bool(moved <= inputs["rate"] * 1.001)


# %% name="adamw-mistake-no-correction"
# %%mistake adamw
# The means are used as they are. They began at 0, so the first steps divide a mean that is too small by the root of a
# square that is too small by a different factor. Divide each by its 1 − βᵏ first.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient**2
    return weight * (1 - rate * decay) - rate * mean / (square.sqrt() + eps), mean, square


# %% name="adamw-mistake-one-correction"
# %%mistake adamw
# Only the mean is corrected. The square began at 0 as well: divide it by 1 − β₂ᵏ before you take the root.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient**2
    direction = mean / (1 - beta1**step) / (square.sqrt() + eps)
    return weight * (1 - rate * decay) - rate * direction, mean, square


# %% name="adamw-mistake-coupled-decay"
# %%mistake adamw
# The decay is added to the gradient. Then Adam divides it by the root of the square, and a weight with large gradients
# hardly decays. That is Adam with L2; the W of AdamW is that the weight shrinks by itself.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    gradient = gradient + decay * weight
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient**2
    direction = mean / (1 - beta1**step) / ((square / (1 - beta2**step)).sqrt() + eps)
    return weight - rate * direction, mean, square


# %% name="adamw-mistake-no-decay"
# %%mistake adamw
# The decay is missing. Besides Adam's step, each weight loses η·λ times itself.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient**2
    direction = mean / (1 - beta1**step) / ((square / (1 - beta2**step)).sqrt() + eps)
    return weight - rate * direction, mean, square


# %% name="adamw-mistake-decay-after"
# %%mistake adamw
# The decay comes after Adam's step, so it shrinks the step too. A weight loses η·λ times what it was *before* the step.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient**2
    direction = mean / (1 - beta1**step) / ((square / (1 - beta2**step)).sqrt() + eps)
    return (weight - rate * direction) * (1 - rate * decay), mean, square


# %% name="adamw-mistake-decay-without-rate"
# %%mistake adamw
# The decay is not multiplied by the learning rate. In the form that all libraries use, a weight loses η·λ times itself.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient**2
    direction = mean / (1 - beta1**step) / ((square / (1 - beta2**step)).sqrt() + eps)
    return weight * (1 - decay) - rate * direction, mean, square


# %% name="adamw-mistake-eps-inside"
# %%mistake adamw
# ε stands under the root. There it counts as its root: 1e-8 becomes 1e-4, and small gradients hardly move a weight.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient**2
    direction = mean / (1 - beta1**step) / (square / (1 - beta2**step) + eps).sqrt()
    return weight * (1 - rate * decay) - rate * direction, mean, square


# %% name="adamw-mistake-eps-before-correction"
# %%mistake adamw
# ε is added before the square is corrected. Early in a run the square is small, and ε counts for more than it should.
# First correct the square, then take the root, then add ε.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient**2
    direction = math.sqrt(1 - beta2**step) / (1 - beta1**step) * mean / (square.sqrt() + eps)
    return weight * (1 - rate * decay) - rate * direction, mean, square


# %% name="adamw-mistake-no-root"
# %%mistake adamw
# The mean is divided by the square, not by its root. Then a gradient ten times as large gives a step ten times as
# small.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient**2
    direction = mean / (1 - beta1**step) / (square / (1 - beta2**step) + eps)
    return weight * (1 - rate * decay) - rate * direction, mean, square


# %% name="adamw-mistake-corrected-returned"
# %%mistake adamw
# The corrected means are returned. The next step would correct them once more. Keep the running means, and correct a
# copy.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    mean = (beta1 * mean + (1 - beta1) * gradient) / (1 - beta1**step)
    square = (beta2 * square + (1 - beta2) * gradient**2) / (1 - beta2**step)
    return weight * (1 - rate * decay) - rate * mean / (square.sqrt() + eps), mean, square


# %% name="adamw-mistake-uphill"
# %%mistake adamw
# The step goes *along* the gradient, so the loss grows. Subtract it.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient**2
    direction = mean / (1 - beta1**step) / ((square / (1 - beta2**step)).sqrt() + eps)
    return weight * (1 - rate * decay) + rate * direction, mean, square


# %% name="adamw-other-lerp"
# %%other adamw
# The running means with lerp, the corrections moved into the rate and into ε.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    mean, square = gradient.lerp(mean, beta1), (gradient**2).lerp(square, beta2)
    root = math.sqrt(1 - beta2**step)
    moved = (rate * root / (1 - beta1**step)) * mean / (square.sqrt() + eps * root)
    return (1 - rate * decay) * weight - moved, mean, square


# %% name="adamw-other-loop"
# %%other adamw
# One weight after the other, in Python's numbers.
def adamw(weight, gradient, mean, square, step, rate, beta1, beta2, eps, decay):
    weights, means, squares = [], [], []
    for w, g, m, s in zip(*(x.tolist() for x in (weight, gradient, mean, square)), strict=True):
        m, s = beta1 * m + (1 - beta1) * g, beta2 * s + (1 - beta2) * g * g
        w -= rate * (m / (1 - beta1**step) / (math.sqrt(s / (1 - beta2**step)) + eps) + decay * w)
        weights, means, squares = [*weights, w], [*means, m], [*squares, s]
    return torch.tensor(weights), torch.tensor(means), torch.tensor(squares)


# %% [markdown] name="schedule" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "3.6"}
# ## 2. The learning rate at a step
#
# Write a schedule: warm-up in a straight line, then half a wave of a cosine down to a final share. `rate_at` of
# section 3.6 would pass as well, but you would not have worked it out.
#
# | | | |
# | --- | --- | --- |
# | `step` | int | 0 to `steps` − 1 |
# | `steps`, `warmup` | int | of the whole run, and of the warm-up |
# | `final` | float | where the cosine ends, as a share of the highest rate |
# | returns | float | the share of the highest rate at this step, a Python number |
#
# The first step of the warm-up has the share 1 / (`warmup` + 1), each next one as much more, and the first step
# *after* it has 1. From there the cosine runs over the steps that are left, and would reach `final` at step number
# `steps`.
#
# **What usually goes wrong:** the first step has the rate 0 and is wasted; the cosine counts the steps of the warm-up
# as its own, so that the rate jumps.


# %% name="schedule-answer"
def share(step: int, steps: int, warmup: int, final: float) -> float:
    """The share of the highest learning rate at a step."""
    ### BEGIN SOLUTION
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / (steps - warmup)
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
    ### END SOLUTION


# %% name="schedule-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_training", "schedule", share)

# %% [markdown] name="schedule-hint-1"
# Two cases. In the warm-up, step 0 is the first of `warmup` + 1 equal stairs.

# %% [markdown] name="schedule-hint-2"
# After it, let `progress` go from 0 to 1 over the steps that are left. (1 + cos(π · progress)) / 2 goes from 1 to 0;
# stretch that to go from 1 to `final`.

# %% name="schedule-parts"
schedule = FunctionQuestion("share", returns=("share",), atol=1e-6, because="a few operations on Python's numbers")


@schedule.case(points=1)
def one_step_of_warmup(draw):
    """a warm-up of one step: its first step is its last"""
    return {"step": 0, "steps": 100, "warmup": 1, "final": 0.0}


@schedule.case(points=1)
def in_warmup(draw):
    """in the middle of a warm-up of ten steps"""
    return {"step": 1 + int(draw.order(8)[0]), "steps": 100, "warmup": 10, "final": 0.1}


@schedule.case(points=1)
def after_warmup(draw):
    """in the first half of the descent"""
    return {"step": 30 + int(draw.order(24)[0]), "steps": 100, "warmup": 10, "final": 0.1}


@schedule.case(points=1)
def no_warmup(draw):
    """near the end of a run without warm-up"""
    return {"step": 40 + int(draw.order(9)[0]), "steps": 50, "warmup": 0, "final": 0.2}


@schedule.invariant
def between_final_and_one(got, inputs):
    """a share lies above 0 and is at most 1"""
    return 0 < got <= 1


# %% name="schedule-mistake-first-step-zero"
# %%mistake schedule
# Step 0 has the rate 0: the first batch is computed and thrown away. The first of the stairs is already above 0.
def share(step, steps, warmup, final):
    if step < warmup:
        return step / warmup
    progress = (step - warmup) / (steps - warmup)
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


# %% name="schedule-mistake-first-step-zero-of-more"
# %%mistake schedule
# Step 0 has the rate 0: the first batch is computed and thrown away. Count the stairs from 1, not from 0.
def share(step, steps, warmup, final):
    if step < warmup:
        return step / (warmup + 1)
    progress = (step - warmup) / (steps - warmup)
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


# %% name="schedule-mistake-full-too-early"
# %%mistake schedule
# The warm-up reaches 1 with its own last step. Here the first step *after* it has 1: there are warmup + 1 stairs.
def share(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / (steps - warmup)
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


# %% name="schedule-mistake-progress-of-all"
# %%mistake schedule
# The cosine counts from the first step of the run, so the rate jumps down at the end of the warm-up. Count the steps
# after the warm-up.
def share(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return final + (1 - final) * (1 + math.cos(math.pi * step / steps)) / 2


# %% name="schedule-mistake-divided-by-all"
# %%mistake schedule
# The steps after the warm-up are divided by all steps of the run, so the cosine does not get to its end. Divide by the
# number of steps that are left after the warm-up.
def share(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return final + (1 - final) * (1 + math.cos(math.pi * (step - warmup) / steps)) / 2


# %% name="schedule-mistake-last-step"
# %%mistake schedule
# The cosine arrives at `final` at the last step, number `steps` − 1. It should be on its way there still, and would
# arrive at number `steps`: divide by `steps` − `warmup`.
def share(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / (steps - warmup - 1)
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


# %% name="schedule-mistake-final-as-floor"
# %%mistake schedule
# The cosine goes down to 0 and is cut off at the final share. It should arrive there at the end, and not wait for it.
def share(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / (steps - warmup)
    return max(final, (1 + math.cos(math.pi * progress)) / 2)


# %% name="schedule-mistake-final-left-out"
# %%mistake schedule
# The final share is not used: the cosine goes down to 0. It must end at `final`.
def share(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / (steps - warmup)
    return (1 + math.cos(math.pi * progress)) / 2


# %% name="schedule-mistake-final-added"
# %%mistake schedule
# The final share is added to a wave that is already 1 high, so the share begins at 1 + `final`. Make the wave
# 1 − `final` high.
def share(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / (steps - warmup)
    return final + (1 + math.cos(math.pi * progress)) / 2


# %% name="schedule-mistake-linear"
# %%mistake schedule
# The descent is a straight line; half a wave of a cosine was asked for.
def share(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / (steps - warmup)
    return final + (1 - final) * (1 - progress)


# %% name="schedule-other-square"
# %%other schedule
# (1 + cos x) / 2 is the square of cos(x / 2).
def share(step, steps, warmup, final):
    rising = (step + 1) / (warmup + 1)
    angle = math.pi / 2 * max(0, step - warmup) / (steps - warmup)
    return min(rising, math.cos(angle) ** 2 * (1 - final) + final)


# %% name="schedule-other-torch"
# %%other schedule
# As a table of all steps, of which one is looked up.
def share(step, steps, warmup, final):
    stairs = torch.arange(1, warmup + 1, dtype=torch.float64) / (warmup + 1)
    waves = torch.cos(torch.linspace(0, math.pi, steps - warmup + 1, dtype=torch.float64))[:-1]
    return torch.cat([stairs, (1 + final) / 2 + (1 - final) / 2 * waves])[step].item()


# %% name="schedule-equivalent-boundary"
# %%equivalent schedule
# Both lines give 1 at the first step after the warm-up.
if step <= warmup:
    return (step + 1) / (warmup + 1)

# %% name="schedule-equivalent-sign"
# %%equivalent schedule
# The cosine of an angle is that of the negative angle.
progress = (warmup - step) / (steps - warmup)
progress = (step - warmup) / (warmup - steps)

# %% [markdown] name="parts" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "3.6"}
# ## 3. A batch that comes in parts
#
# A language model's batch does not fit into memory, so it comes in P parts. Compute the loss of the *whole* batch, and
# the share of each part in it. The parts' losses, each times its share, must add up to the loss.
#
# | | shape | |
# | --- | --- | --- |
# | `logits` | a list of P tensors (B, T, V) | scores of every place for the token *after* it |
# | `labels` | a list of P tensors (B, T) int64 | the tokens themselves, not moved; −100 where there is no label |
# | returns `loss` | (), float32 | a tensor: the mean cross-entropy over all labels of all parts |
# | returns `shares` | (P) float32 | they sum to 1; a part without labels has 0 |
#
# B and T may differ from part to part. The first token of a row is never predicted, and the last place predicts
# nothing.
#
# **What usually goes wrong:** the mean of means; a count of labels that includes those that nobody predicts; 0/0 for a
# part without labels.


# %% name="parts-answer"
def loss_in_parts(logits: list[Tensor], labels: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The loss of the whole batch, and the share of each part (P)."""
    ### BEGIN SOLUTION
    sums, counts = [], []
    for i, tokens in enumerate(labels):
        targets = tokens[:, 1:].flatten()  # what place t must predict stands at t + 1
        scores = logits[i][:, :-1].flatten(0, 1)
        sums.append(F.cross_entropy(scores, targets, reduction="sum"))  # -100 is left out
        counts.append((targets != -100).sum())
    shares = torch.stack(counts) / sum(counts)
    return sum(sums) / sum(counts), shares
    ### END SOLUTION


# %% name="parts-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_training", "parts", loss_in_parts)

# %% [markdown] name="parts-hint-1"
# Move first: the scores of place t are for the token at t + 1. So take the scores without the last place, and the
# labels without the first.

# %% [markdown] name="parts-hint-2"
# Add up sums, not means: `F.cross_entropy(..., reduction="sum")` of each part, and its number of labels that are not
# −100. Divide once, at the end.

# %% name="parts-parts"
parts = FunctionQuestion(
    "loss_in_parts",
    returns=("loss", "shares"),
    atol=1e-5,
    because="float32 sums of some twenty terms of about 2",
)


def batch(draw, *patterns):
    """A part for each pattern: a list of rows, in which 0 marks a place without a label."""
    logits, labels = [], []
    for pattern in patterns:
        real = torch.tensor(pattern, dtype=torch.bool)
        tokens = torch.stack([draw.order(6)[: real.size(1)] for _ in pattern])
        logits.append(2 * draw.normal(*real.shape, 6))
        labels.append(tokens.masked_fill(~real, -100))
    return {"logits": logits, "labels": labels}


@parts.case(points=1)
def equal_parts(draw):
    """two parts with as many labels each"""
    return batch(draw, [[1, 1, 1, 1]], [[1, 1, 1, 1]])


@parts.case(points=1)
def unequal_parts(draw):
    """three parts: full rows, a row with labels only at its end (an answer), and a shorter row"""
    return batch(draw, [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1]], [[0, 0, 0, 1, 1]], [[1, 1, 1]])


@parts.case(points=1)
def first_tokens(draw):
    """a part whose first tokens have labels, and one whose have none: nobody predicts a first token"""
    return batch(draw, [[1, 1, 0, 0], [1, 0, 1, 0]], [[0, 1, 1, 1], [0, 1, 1, 0]])


@parts.case(points=1)
def nothing_to_predict(draw):
    """a part in which no label is left"""
    return batch(draw, [[1, 1, 1, 1]], [[1, 0, 0, 0]], [[0, 1, 1, 0]])


@parts.invariant
def shares_sum_to_one(got, inputs):
    """the shares must sum to 1"""
    return abs(float(got[1].sum()) - 1) < 1e-5


# %% name="parts-mistake-mean-of-means"
# %%mistake parts
# The parts count alike, however few labels they have. A part with two labels then weighs as much as one with eight:
# weigh each by its number of labels.
def loss_in_parts(logits, labels):
    losses = [
        F.cross_entropy(s[:, :-1].flatten(0, 1), t[:, 1:].flatten(), reduction="sum")
        / (t[:, 1:] != -100).sum().clamp(min=1)
        for s, t in zip(logits, labels, strict=True)
    ]
    return torch.stack(losses).mean(), torch.full((len(logits),), 1 / len(logits))


# %% name="parts-mistake-not-moved"
# %%mistake parts
# The labels are not moved: place t is asked for its own token, which it has just read. Compare the scores at t with the
# token at t + 1.
def loss_in_parts(logits, labels):
    sums = [F.cross_entropy(s.flatten(0, 1), t.flatten(), reduction="sum") for s, t in zip(logits, labels, strict=True)]
    counts = torch.stack([(t != -100).sum() for t in labels])
    return sum(sums) / counts.sum(), counts / counts.sum()


# %% name="parts-mistake-moved-back"
# %%mistake parts
# The labels are moved the wrong way: place t is asked for the token before it.
def loss_in_parts(logits, labels):
    pairs = [(s[:, 1:].flatten(0, 1), t[:, :-1].flatten()) for s, t in zip(logits, labels, strict=True)]
    sums = [F.cross_entropy(s, t, reduction="sum") for s, t in pairs]
    counts = torch.stack([(t != -100).sum() for _, t in pairs])
    return sum(sums) / counts.sum(), counts / counts.sum()


# %% name="parts-mistake-first-counted"
# %%mistake parts
# The labels are counted before they are moved, so the first tokens count too, and nobody predicts them. Count what is
# left after moving.
def loss_in_parts(logits, labels):
    sums = [
        F.cross_entropy(s[:, :-1].flatten(0, 1), t[:, 1:].flatten(), reduction="sum")
        for s, t in zip(logits, labels, strict=True)
    ]
    counts = torch.stack([(t != -100).sum() for t in labels])
    return sum(sums) / counts.sum(), counts / counts.sum()


# %% name="parts-mistake-shares-of-all-labels"
# %%mistake parts
# The labels for the shares are counted before they are moved, so the first tokens count too, and nobody predicts them.
def loss_in_parts(logits, labels):
    scores = torch.cat([s[:, :-1].flatten(0, 1) for s in logits])
    targets = torch.cat([t[:, 1:].flatten() for t in labels])
    counts = torch.stack([(t != -100).sum() for t in labels])
    return F.cross_entropy(scores, targets), counts / counts.sum()


# %% name="parts-mistake-flattened-first"
# %%mistake parts
# The rows are joined before they are moved, so the end of a row is asked for the beginning of the next. Move within
# each row.
def loss_in_parts(logits, labels):
    pairs = [(s.flatten(0, 1)[:-1], t.flatten()[1:]) for s, t in zip(logits, labels, strict=True)]
    sums = [F.cross_entropy(s, t, reduction="sum") for s, t in pairs]
    counts = torch.stack([(t != -100).sum() for _, t in pairs])
    return sum(sums) / counts.sum(), counts / counts.sum()


# %% name="parts-mistake-places-counted"
# %%mistake parts
# All places are counted, with a label or without. Then a batch with much padding seems to have a small loss. Count the
# labels that are not −100.
def loss_in_parts(logits, labels):
    sums = [
        F.cross_entropy(s[:, :-1].flatten(0, 1), t[:, 1:].flatten(), reduction="sum")
        for s, t in zip(logits, labels, strict=True)
    ]
    counts = torch.tensor([t[:, 1:].numel() for t in labels])
    return sum(sums) / counts.sum(), counts / counts.sum()


# %% name="parts-mistake-nan"
# %%mistake parts
# All is right but for a part without labels: its mean is 0/0, NaN, and NaN times 0 is still NaN. Add up sums, and
# divide once at the end.
def loss_in_parts(logits, labels):
    means = [F.cross_entropy(s[:, :-1].flatten(0, 1), t[:, 1:].flatten()) for s, t in zip(logits, labels, strict=True)]
    counts = torch.stack([(t[:, 1:] != -100).sum() for t in labels])
    shares = counts / counts.sum()
    return (torch.stack(means) * shares).sum(), shares


# %% name="parts-mistake-mean-of-means-with-shares"
# %%mistake parts
# The shares are right, but the loss does not use them: it is the mean of the parts' means. Weigh each mean by its
# share.
def loss_in_parts(logits, labels):
    means = [F.cross_entropy(s[:, :-1].flatten(0, 1), t[:, 1:].flatten()) for s, t in zip(logits, labels, strict=True)]
    counts = torch.stack([(t[:, 1:] != -100).sum() for t in labels])
    return torch.stack(means).mean(), counts / counts.sum()


# %% name="parts-mistake-sum"
# %%mistake parts
# The losses of all labels are added and not divided: the loss, and with it the gradient, grows with the batch.
def loss_in_parts(logits, labels):
    sums = [
        F.cross_entropy(s[:, :-1].flatten(0, 1), t[:, 1:].flatten(), reduction="sum")
        for s, t in zip(logits, labels, strict=True)
    ]
    counts = torch.stack([(t[:, 1:] != -100).sum() for t in labels])
    return sum(sums), counts / counts.sum()


# %% name="parts-other-one-list"
# %%other parts
# All predictions in one list, from which one mean is taken.
def loss_in_parts(logits, labels):
    scores = torch.cat([s[:, :-1].flatten(0, 1) for s in logits])
    targets = torch.cat([t[:, 1:].flatten() for t in labels])
    numbers = [t[:, 1:].ge(0).sum().item() for t in labels]
    return F.cross_entropy(scores, targets), torch.tensor([n / sum(numbers) for n in numbers])


# %% name="parts-other-loop"
# %%other parts
# Place by place, with log-probabilities.
def loss_in_parts(logits, labels):
    losses = []
    for scores, tokens in zip(logits, labels, strict=True):
        log_p = torch.log_softmax(scores, dim=-1)
        rows, places = tokens.shape
        losses.append(
            [-log_p[b, t - 1, tokens[b, t]] for b in range(rows) for t in range(1, places) if tokens[b, t] != -100]
        )
    every = [loss for part in losses for loss in part]
    return torch.stack(every).mean(), torch.tensor([len(part) / len(every) for part in losses])


# %% [markdown] name="curves" question={"points": 4, "difficulty": 2, "minutes": 20, "section": "3.6"}
# ## 4. Two loss curves, and where to stop
#
# Draw the losses of a run on the Axes `ax`. Losses on a training batch jump, so that curve is made of means.
#
# | | shape | |
# | --- | --- | --- |
# | `ax` | Axes | what you draw on |
# | `train` | (N) | the loss of each training step |
# | `validation` | (M) | measured after every `every` steps; N is at least M · `every` |
# | `every`, `batch` | int | steps between two measurements, and tokens of one step |
#
# - Line `train`: the mean loss of the `every` steps before each measurement. Line `validation`: the measurements. Both
#   over the **tokens read so far**. Steps after the last measurement are left out.
# - One point `best` where the validation loss is lowest: by `scatter`, or by `plot` with a marker and no line (`"o"`).
# - A title of the Axes, and a legend. Only the x axis is logarithmic; its label is `tokens`, that of the y axis is
#   `loss (nats)`.
#
# The names above are the labels of what you draw, exactly; draw nothing else. Look at your figure before you run the
# check: `draw_curves(plt.figure().subplots(), ...)`. The weights of which measurement would you keep?
#
# **What usually goes wrong:** each curve is drawn over its own numbers 0, 1, 2, ..., so that the same x is another
# moment in each; means stand where their steps begin.


# %% name="curves-answer"
def draw_curves(ax: Axes, train: Tensor, validation: Tensor, every: int, batch: int) -> None:
    """Losses of a run over the tokens read, with the best measurement."""
    ### BEGIN SOLUTION
    measured = len(validation)
    tokens = every * batch * torch.arange(1, measured + 1)
    means = train[: measured * every].view(measured, every).mean(1)
    best = validation.argmin()
    ax.plot(tokens, means, label="train")
    ax.plot(tokens, validation, label="validation")
    ax.scatter(tokens[best], validation[best], label="best")
    ax.set(title="Loss of the run", xlabel="tokens", ylabel="loss (nats)", xscale="log")
    ax.legend()
    ### END SOLUTION


# %% name="curves-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_training", "curves", draw_curves)

# %% [markdown] name="curves-hint-1"
# The first measurement comes after `every` steps, that is after `every` · `batch` tokens. Make one row of `tokens`, and
# draw both lines over it.

# %% [markdown] name="curves-hint-2"
# `train.view(-1, every)` has one row for each measurement, when the steps after the last one have been cut off.

# %% name="curves-parts"
from lmlib.course.questions import FigureQuestion

curves = FigureQuestion("draw_curves", atol=1e-5, because="means of float32 losses of about 5")


@curves.case(points=1)
def short_run(draw):
    """eight steps, measured after every four"""
    train = torch.tensor([5.0, 4.5, 4.6, 4.3, 3.9, 3.8, 3.5, 3.2])
    return {"train": train, "validation": torch.tensor([4.4, 3.7]), "every": 4, "batch": 100}


@curves.case(points=2)
def overfits(draw):
    """a run whose validation loss rises again"""
    train = torch.linspace(6, 1, 60) + draw.normal(60) / 10
    validation = (torch.linspace(-1, 1, 12) - 0.3).square() + 3 + draw.normal(12) / 50
    return {"train": train, "validation": validation, "every": 5, "batch": 512}


@curves.case(points=1)
def steps_left(draw):
    """a run with a stretch of easy text, stopped three steps after its last measurement"""
    train = 3 + draw.normal(33) / 4
    train[6:12] -= 1.0
    validation = torch.tensor([3.6, 3.1, 2.9, 3.0, 3.2]) + draw.normal(5) / 50
    return {"train": train, "validation": validation, "every": 6, "batch": 2048}


# %% name="curves-mistake-as-they-are"
# %%mistake curves
# Both losses are drawn over their own numbers 0, 1, 2, ... A measurement belongs to the `every` steps before it: take
# the mean of those, and draw both over the tokens read.
def draw_curves(ax, train, validation, every, batch):
    best = validation.argmin()
    ax.plot(train, label="train")
    ax.plot(validation, label="validation")
    ax.scatter(best, validation[best], label="best")
    ax.set(title="Loss", xlabel="tokens", ylabel="loss (nats)", xscale="log")
    ax.legend()


# %% name="curves-mistake-own-places"
# %%mistake curves
# The x axis counts measurements. Runs that measure after other numbers of steps, or with other batches, could not be
# compared: draw over the tokens read.
def draw_curves(ax, train, validation, every, batch):
    places = torch.arange(1, len(validation) + 1)
    best = validation.argmin()
    ax.plot(places, train[: len(validation) * every].view(-1, every).mean(1), label="train")
    ax.plot(places, validation, label="validation")
    ax.scatter(places[best], validation[best], label="best")
    ax.set(title="Loss", xlabel="tokens", ylabel="loss (nats)", xscale="log")
    ax.legend()


# %% name="curves-mistake-steps-not-tokens"
# %%mistake curves
# The x axis counts steps. Each step reads `batch` tokens: multiply by it.
def draw_curves(ax, train, validation, every, batch):
    steps = every * torch.arange(1, len(validation) + 1)
    best = validation.argmin()
    ax.plot(steps, train[: len(validation) * every].view(-1, every).mean(1), label="train")
    ax.plot(steps, validation, label="validation")
    ax.scatter(steps[best], validation[best], label="best")
    ax.set(title="Loss", xlabel="tokens", ylabel="loss (nats)", xscale="log")
    ax.legend()


# %% name="curves-mistake-begins"
# %%mistake curves
# Each mean stands where its steps begin. At that time the model had not yet seen them; the curve seems to run ahead.
def draw_curves(ax, train, validation, every, batch):
    tokens = every * batch * torch.arange(1, len(validation) + 1)
    best = validation.argmin()
    ax.plot(tokens - every * batch, train[: len(validation) * every].view(-1, every).mean(1), label="train")
    ax.plot(tokens, validation, label="validation")
    ax.scatter(tokens[best], validation[best], label="best")
    ax.set(title="Loss", xlabel="tokens", ylabel="loss (nats)", xscale="log")
    ax.legend()


# %% name="curves-mistake-both-begin"
# %%mistake curves
# Means and measurements stand where their steps begin. At that time the model had not yet read these tokens; both
# curves seem to run ahead.
def draw_curves(ax, train, validation, every, batch):
    tokens = every * batch * torch.arange(len(validation))
    best = validation.argmin()
    ax.plot(tokens, train[: len(validation) * every].view(-1, every).mean(1), label="train")
    ax.plot(tokens, validation, label="validation")
    ax.scatter(tokens[best], validation[best], label="best")
    ax.set(title="Loss", xlabel="tokens", ylabel="loss (nats)", xscale="log")
    ax.legend()


# %% name="curves-mistake-single-losses"
# %%mistake curves
# The training curve takes the one loss at each measurement. A single batch says little; take the mean of all steps
# since the measurement before.
def draw_curves(ax, train, validation, every, batch):
    tokens = every * batch * torch.arange(1, len(validation) + 1)
    ax.plot(tokens, train[every - 1 :: every][: len(validation)], label="train")
    ax.plot(tokens, validation, label="validation")
    best = validation.argmin()
    ax.scatter(tokens[best], validation[best], label="best")
    ax.set(title="Loss", xlabel="tokens", ylabel="loss (nats)", xscale="log")
    ax.legend()


# %% name="curves-mistake-best-is-last"
# %%mistake curves
# The best point is the last one. The validation loss may rise again: look for its lowest value.
def draw_curves(ax, train, validation, every, batch):
    tokens = every * batch * torch.arange(1, len(validation) + 1)
    ax.plot(tokens, train[: len(validation) * every].view(-1, every).mean(1), label="train")
    ax.plot(tokens, validation, label="validation")
    ax.scatter(tokens[-1], validation[-1], label="best")
    ax.set(title="Loss", xlabel="tokens", ylabel="loss (nats)", xscale="log")
    ax.legend()


# %% name="curves-mistake-best-on-training"
# %%mistake curves
# The best point is chosen by the training loss. What counts is text that the model has not learned from: the lowest
# validation loss.
def draw_curves(ax, train, validation, every, batch):
    tokens = every * batch * torch.arange(1, len(validation) + 1)
    means = train[: len(validation) * every].view(-1, every).mean(1)
    ax.plot(tokens, means, label="train")
    ax.plot(tokens, validation, label="validation")
    best = means.argmin()
    ax.scatter(tokens[best], validation[best], label="best")
    ax.set(title="Loss", xlabel="tokens", ylabel="loss (nats)", xscale="log")
    ax.legend()


# %% name="curves-mistake-straight-axis"
# %%mistake curves
# The x axis is not logarithmic. Nearly all of the fall happens in the first tenth of a run, and cannot be seen.
def draw_curves(ax, train, validation, every, batch):
    tokens = every * batch * torch.arange(1, len(validation) + 1)
    ax.plot(tokens, train[: len(validation) * every].view(-1, every).mean(1), label="train")
    ax.plot(tokens, validation, label="validation")
    best = validation.argmin()
    ax.scatter(tokens[best], validation[best], label="best")
    ax.set(title="Loss", xlabel="tokens", ylabel="loss (nats)")
    ax.legend()


# %% name="curves-other-pyplot"
# %%other curves
# Lists, and matplotlib's own functions for a logarithmic axis; the point is a line of one point.
def draw_curves(ax, train, validation, every, batch):
    xs, means = [], []
    for k in range(1, len(validation) + 1):
        xs.append(k * every * batch)
        means.append(sum(train[(k - 1) * every : k * every].tolist()) / every)
    ax.semilogx(xs, validation.tolist(), "--", color="0.3", label="validation")
    ax.semilogx(xs, means, label="train")
    lowest = min(range(len(xs)), key=lambda i: float(validation[i]))
    ax.plot([xs[lowest]], [float(validation[lowest])], "o", label="best")
    ax.set_title("When to stop")
    ax.set_xlabel("Tokens")
    ax.set_ylabel("Loss (nats)")
    ax.legend(frameon=False)


# %% name="curves-other-unfold"
# %%other curves
# Means by unfold, drawn by pyplot on the current Axes.
def draw_curves(ax, train, validation, every, batch):
    plt.sca(ax)
    means = train.unfold(0, every, every).mean(-1)[: validation.numel()]
    tokens = (torch.arange(validation.numel()) + 1) * (every * batch)
    for label, losses in (("train", means), ("validation", validation)):
        plt.plot(tokens.tolist(), losses.tolist(), label=label)
    value, place = validation.min(dim=0)
    plt.plot(tokens[place].item(), value.item(), marker="*", linestyle="none", label="best")
    plt.xscale("log")
    plt.xlabel("tokens")
    plt.ylabel("loss (nats)")
    plt.title("Training and validation")
    plt.legend()


# %% [markdown] name="numbers" question={"points": 5, "difficulty": 2, "minutes": 20, "section": "3.6"}
# ## 5. Numbers to know
#
# **Work out four numbers**, to three digits.
#
# 1. A model with a vocabulary of 32,000 tokens has just been created. What is its `first_loss`, in nats?
# 2. Adam makes its very first step with η = 0.001, without decay. The gradient of one weight is 250. By how much does
#    that weight move (`first_move`, as a positive number)?
# 3. A model has 10⁹ weights in its matrices and reads 2·10¹⁰ tokens. On a GPU that does 10¹⁵ operations a second, of
#    which half are of use, how many `hours` does the training take?
# 4. The norm of the whole gradient is 20, and it is clipped at 1. One entry of the gradient was 5. What is that
#    `entry` afterwards?
#
# **And one reading.** Somebody's loss curve begins at ln V, falls within 50 steps to 0.01 and stays there, on the
# training text and on held-out text alike. What is the most likely reason? Set `reason` to a letter.
#
# - **a** The learning rate is well chosen, and the model has learned the language.
# - **b** The labels are not moved, so that each place is asked for the token that it has just read.
# - **c** The model has learned the training text by heart.
# - **d** The gradients were not set back to 0 between the steps.

# %% name="numbers-answer"
first_loss = None
first_move = None
hours = None
entry = None
reason = ""
### BEGIN SOLUTION
first_loss = 10.37  # ln 32,000
first_move = 0.001  # mean / root of the square is 250 / 250
hours = 66.67  # 6 · 10⁹ · 2·10¹⁰ operations, 0.5 · 10¹⁵ of them a second
entry = 0.25  # 5 / 20
reason = "b"
### END SOLUTION

# %% name="numbers-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_training", "numbers", first_loss=first_loss, first_move=first_move, hours=hours, entry=entry, reason=reason)

# %% [markdown] name="numbers-hint-1"
# A model that knows nothing gives each of V tokens the probability 1/V. The loss is the negative logarithm of that.

# %% [markdown] name="numbers-hint-2"
# At its first step Adam's corrected means are the gradient and its square.

# %% [markdown] name="numbers-hint-3"
# Six operations for each weight and token. And clipping keeps the direction: every entry is multiplied by the same
# number.

# %% name="numbers-parts"
numbers = ValueQuestion()
numbers.number("first_loss", points=1, title="the first loss")
numbers.number("first_move", points=1, title="Adam's first move")
numbers.number("hours", points=1, title="the hours of training")
numbers.number("entry", points=1, title="the entry after clipping")
numbers.choice("reason", "abcd", points=1, title="the reason for a loss of 0.01")

# %% name="numbers-mistake-bits"
# %%mistake numbers
# That is the logarithm to base 2: the loss in bits. In nats it is the natural logarithm.
first_loss = math.log2(32_000)

# %% name="numbers-mistake-gradient-counts"
# %%mistake numbers
# That is the step of plain gradient descent, η times the gradient. Adam divides the gradient by the root of its own
# square.
first_move = 0.25

# %% name="numbers-mistake-uncorrected"
# %%mistake numbers
# That leaves out the corrections for the start: both means are divided by what they have collected so far, and become
# the gradient and its square.
first_move = 0.00316

# %% name="numbers-mistake-forward-only"
# %%mistake numbers
# Two operations for each weight and token is the forward pass alone. Backward costs four more.
hours = 2 * 1e9 * 2e10 / (0.5 * 1e15) / 3600

# %% name="numbers-mistake-full-speed"
# %%mistake numbers
# Only half of the GPU's operations are of use here, so it takes twice as long.
hours = 6 * 1e9 * 2e10 / 1e15 / 3600

# %% name="numbers-mistake-seconds"
# %%mistake numbers
# Those are seconds. An hour has 3,600 of them.
hours = 240_000

# %% name="numbers-mistake-minutes"
# %%mistake numbers
# Those are minutes. An hour has 60 of them.
hours = 4_000

# %% name="numbers-mistake-factor"
# %%mistake numbers
# 1/20 is the factor by which every entry is multiplied. The entry was 5.
entry = 0.05

# %% name="numbers-mistake-entry-clipped"
# %%mistake numbers
# Each entry was clipped by itself. Clipping by the norm multiplies all entries by 1/20, so that the direction stays.
entry = 1.0

# %% name="numbers-mistake-learned"
# %%mistake numbers
# No language can be predicted that well: even a perfect model is surprised by what is not yet decided.
reason = "a"

# %% name="numbers-mistake-by-heart"
# %%mistake numbers
# What was learned by heart does not help on held-out text. There the loss would be high.
reason = "c"

# %% name="numbers-mistake-gradients-kept"
# %%mistake numbers
# Gradients that pile up make steps along old directions: the loss would be too high, not too low.
reason = "d"

# %% name="numbers-other-worked-out"
# %%other numbers
# Worked out in another way.
first_loss = 5 * math.log(10) + math.log(0.32)
first_move = 1e-3 * 250 / math.sqrt(250**2)
hours = 1.2e20 / 5e14 / 60 / 60
entry = 0.25
reason = "B"

# %% name="numbers-other-tensors"
# %%other numbers
# As tensors.
first_loss = F.cross_entropy(torch.zeros(1, 32_000), torch.tensor([7]))
first_move = torch.tensor(0.001)
hours = torch.tensor(6.0 * 20 / 500_000 * 1e9) / 3600
entry = torch.tensor([5.0, 375**0.5])[0] / 20
reason = "(b)"

# %% [markdown] name="end"
# ## Done?
#
# `hint("06_training", "adamw", 1)` gives a first hint; each question has two or three. `lmbook check` on this notebook
# runs all of it again from the start, and `lmbook progress` says what is worth doing next.
