# %% [markdown] name="title"
# # 2.4 预训练与微调 · Pre-training and fine-tuning — exercises
#
# 本节的练习先从文本中造出掩码语言模型的输入和标签，再在冻结的特征上亲手训练一个分类头，
# 最后根据一张成绩表推导预训练的价值，并判断遗忘的原因。
#
# You make the labels of pre-training from bare text, train a head on frozen features by hand, and read results. Section
# 2.4 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 04_pretraining_and_finetuning

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="masking" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "2.4"}
# ## 1. Labels for free: masked words
#
# Make the input and the labels of masked language modelling in BERT's form. Which words are `chosen` is given. A
# chosen word with `fate` below 80 becomes the mask; from 80 to 89 it becomes its entry of `random_ids`;
# from 90 on it stays. Every chosen word is asked for, whatever became of it.
#
# | | shape | |
# | --- | --- | --- |
# | `ids` | (B, T) int64 | the text |
# | `chosen` | (B, T) bool | which words are asked for |
# | `fate` | (B, T) int64 | whole numbers from 0 to 99, drawn evenly |
# | `random_ids` | (B, T) int64 | a random word for each place |
# | `mask_id` | int | the mask |
# | returns `inputs` | (B, T) int64 | |
# | returns `labels` | (B, T) int64 | the true word where chosen, else -100 |
#
# Do not change the arguments.
#
# **What usually goes wrong:** words that stay or become random are not asked for; words that were not chosen change.


# %% name="masking-answer"
def mask_words(ids: Tensor, chosen: Tensor, fate: Tensor, random_ids: Tensor, mask_id: int) -> tuple[Tensor, Tensor]:
    """Inputs and labels (B, T) of masked language modelling."""
    ### BEGIN SOLUTION
    inputs = torch.where(chosen & (fate < 90), random_ids, ids)
    inputs = inputs.masked_fill(chosen & (fate < 80), mask_id)
    return inputs, ids.masked_fill(~chosen, -100)
    ### END SOLUTION


# %% name="masking-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_pretraining_and_finetuning", "masking", mask_words)

# %% [markdown] name="masking-hint-1"
# The labels need only `ids` and `chosen`. Do them first.

# %% [markdown] name="masking-hint-2"
# For the inputs: first put the random word wherever the fate is below 90, then the mask wherever it is below 80.
# Each time only where a word is chosen.

# %% name="masking-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

masking = FunctionQuestion(
    "mask_words",
    returns=("inputs", "labels"),
    atol=1e-9,
    because="tokens are exact",
)


def drawn(draw, rows, length):
    place = torch.arange(rows * length).view(rows, length)
    fate = draw.order(rows * length).view(rows, length) * 100 // (rows * length) + 1  # neither 80 nor 90
    return {
        "ids": draw.order(200)[: rows * length].view(rows, length) + 10,
        "chosen": place % 3 != 1,
        "fate": fate,
        "random_ids": draw.order(200)[: rows * length].view(rows, length) + 300,
        "mask_id": 3,
    }


@masking.case(points=2)
def one_row(draw):
    """one text of 30 words"""
    return drawn(draw, 1, 30)


@masking.case(points=1)
def several_rows(draw):
    """three texts, with another number for the mask"""
    return {**drawn(draw, 3, 20), "mask_id": 7}


@masking.case(points=1)
def at_the_bounds(draw):
    """fates beside and on the bounds: 79, 80, 89 and 90"""
    inputs = drawn(draw, 1, 6)
    fate = torch.tensor([[79, 80, 89, 90, 0, 99]])
    return {**inputs, "fate": fate, "chosen": torch.ones(1, 6, dtype=torch.bool)}


# %% name="masking-mistake-only-masks"
# %%mistake masking
# Every chosen word becomes the mask. Then the model never has to look closely at a word that is there: keep the
# shares of 80, 10 and 10 per cent.
def mask_words(ids, chosen, fate, random_ids, mask_id):
    return ids.masked_fill(chosen, mask_id), ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-only-masked-asked"
# %%mistake masking
# Only words behind a mask are asked for. The words that became random, or stayed, are asked for as well; that is
# what they are for.
def mask_words(ids, chosen, fate, random_ids, mask_id):
    inputs = torch.where(chosen & (fate < 90), random_ids, ids).masked_fill(chosen & (fate < 80), mask_id)
    return inputs, torch.where(inputs == mask_id, ids, -100)


# %% name="masking-mistake-all-asked"
# %%mistake masking
# All words are asked for. Those that were not chosen stand in the input, and the model would only copy them.
def mask_words(ids, chosen, fate, random_ids, mask_id):
    inputs = torch.where(chosen & (fate < 90), random_ids, ids)
    return inputs.masked_fill(chosen & (fate < 80), mask_id), ids.clone()


# %% name="masking-mistake-not-chosen"
# %%mistake masking
# Words that were not chosen change too. The fate counts only where a word is chosen.
def mask_words(ids, chosen, fate, random_ids, mask_id):
    inputs = torch.where(fate < 90, random_ids, ids).masked_fill(fate < 80, mask_id)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-masked-overwritten"
# %%mistake masking
# The random words overwrite the masks: the mask must come last, or the random ones only from 80 on.
def mask_words(ids, chosen, fate, random_ids, mask_id):
    inputs = ids.masked_fill(chosen & (fate < 80), mask_id)
    return torch.where(chosen & (fate < 90), random_ids, inputs), ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-labels-of-input"
# %%mistake masking
# The labels are taken from the input, after it was changed: the model is asked for the mask. Take them from the text.
def mask_words(ids, chosen, fate, random_ids, mask_id):
    inputs = torch.where(chosen & (fate < 90), random_ids, ids).masked_fill(chosen & (fate < 80), mask_id)
    return inputs, inputs.masked_fill(~chosen, -100)


# %% name="masking-mistake-parentheses"
# %%mistake masking
# Every word becomes the mask, chosen or not. Python reads `chosen & fate < 80` as `(chosen & fate) < 80`, and that is
# true everywhere. Write `chosen & (fate < 80)`.
def mask_words(ids, chosen, fate, random_ids, mask_id):
    inputs = torch.where(chosen & fate < 90, random_ids, ids)
    inputs = inputs.masked_fill(chosen & fate < 80, mask_id)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-bounds"
# %%mistake masking
# Both bounds are off by one. 79 is the last fate of the mask, so a word with 80 becomes random. 89 is the last fate of
# the random word, so a word with 90 stays.
def mask_words(ids, chosen, fate, random_ids, mask_id):
    inputs = torch.where(chosen & (fate <= 90), random_ids, ids).masked_fill(chosen & (fate <= 80), mask_id)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-kept-not-asked"
# %%mistake masking
# Chosen words that stay (fate 90 and more) are not asked for. Every chosen word is: the labels need only `ids` and
# `chosen`.
def mask_words(ids, chosen, fate, random_ids, mask_id):
    inputs = torch.where(chosen & (fate < 90), random_ids, ids).masked_fill(chosen & (fate < 80), mask_id)
    return inputs, torch.where(inputs != ids, ids, -100)


# %% name="masking-mistake-random-not-chosen"
# %%mistake masking
# The masks are right. But words that were not chosen become random: `chosen` belongs into both conditions.
def mask_words(ids, chosen, fate, random_ids, mask_id):
    inputs = torch.where(fate < 90, random_ids, ids).masked_fill(chosen & (fate < 80), mask_id)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-other-loop"
# %%other masking
# Word by word.
def mask_words(ids, chosen, fate, random_ids, mask_id):
    inputs, labels = ids.clone(), torch.full_like(ids, -100)
    for b, t in chosen.nonzero().tolist():
        labels[b, t] = ids[b, t]
        if fate[b, t] < 80:
            inputs[b, t] = mask_id
        elif fate[b, t] < 90:
            inputs[b, t] = random_ids[b, t]
    return inputs, labels


# %% name="masking-other-where"
# %%other masking
# One `where` within the other.
def mask_words(ids, chosen, fate, random_ids, mask_id):
    changed = torch.where(fate < 80, mask_id, torch.where(fate < 90, random_ids, ids))
    return torch.where(chosen, changed, ids), torch.where(chosen, ids, -100)


# %% [markdown] name="head" question={"points": 5, "difficulty": 3, "minutes": 25, "section": "2.4"}
# ## 2. A head on a frozen backbone
#
# The backbone is frozen, so its states never change: they are features. Train a linear head **without a bias** on them
# by gradient descent. The loss is the mean cross-entropy over the N words; its gradient with respect to W is
#
# $$\frac1N\, X^\top \big(\mathrm{softmax}(XW) - Y\big)$$
#
# where Y has a 1 in each row at the label's place, and 0 elsewhere.
#
# | | shape | |
# | --- | --- | --- |
# | `features` | (N, C) float32 | X, the states |
# | `labels` | (N) int64 | 0 ... K-1; not every label need occur |
# | `n_labels` | int | K |
# | `rate`, `steps` | float, int | W changes by -rate times the gradient, `steps` times; it starts at 0 |
# | returns `weights` | (C, K) float32 | W |
#
# You have the gradient as a formula, so you need neither autograd nor an optimizer.
#
# **What usually goes wrong:** the sign; the sum instead of the mean; the softmax over the wrong axis.


# %% name="head-answer"
def train_head(features: Tensor, labels: Tensor, n_labels: int, rate: float, steps: int) -> Tensor:
    """Weights (C, K) of a linear head after `steps` steps of gradient descent."""
    ### BEGIN SOLUTION
    weights = features.new_zeros(features.size(1), n_labels)
    truth = F.one_hot(labels, n_labels).to(features)  # (N, K)
    for _ in range(steps):
        error = torch.softmax(features @ weights, dim=-1) - truth
        weights = weights - rate * features.T @ error / len(features)
    return weights
    ### END SOLUTION


# %% name="head-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_pretraining_and_finetuning", "head", train_head)

# %% [markdown] name="head-hint-1"
# With W = 0 every label has probability 1/K. Work out the first gradient for one word and two labels on paper.

# %% [markdown] name="head-hint-2"
# Shapes: X is (N, C), the error (N, K). To get (C, K), one of them must be transposed.

# %% name="head-parts"
head = FunctionQuestion(
    "train_head",
    returns=("weights",),
    atol=1e-5,
    because="up to 20 steps in float32, each a mean of up to 24 products of about 1",
)


def words(draw, n, width, n_labels, rate, steps, n_seen):
    labels = torch.cat([draw.order(n_seen) for _ in range(-(-n // n_seen))])[:n]
    return {"features": draw.normal(n, width), "labels": labels, "n_labels": n_labels, "rate": rate, "steps": steps}


@head.case(points=2)
def one_step(draw):
    """one step"""
    return words(draw, 12, 5, 3, 0.7, 1, n_seen=3)


@head.case(points=2.5)
def many_steps(draw):
    """twenty steps, and a label that no word has"""
    return words(draw, 24, 6, 4, 0.5, 20, n_seen=3)


@head.case(points=0.5)
def no_step(draw):
    """no step at all: the weights are 0"""
    return words(draw, 6, 4, 2, 0.5, 0, n_seen=2)


@head.invariant
def rows_sum_to_zero(got, inputs):
    """the weights of each feature must sum to 0 over the labels: they start at 0, and what one gains the others lose"""
    return torch.allclose(got.sum(1), torch.zeros(got.size(0)), atol=1e-4)


# %% name="head-mistake-sign"
# %%mistake head
# The step goes uphill. Subtract the gradient.
def train_head(features, labels, n_labels, rate, steps):
    weights, truth = features.new_zeros(features.size(1), n_labels), F.one_hot(labels, n_labels).to(features)
    for _ in range(steps):
        weights = weights + rate * features.T @ (torch.softmax(features @ weights, -1) - truth) / len(features)
    return weights


# %% name="head-mistake-sum"
# %%mistake head
# This is the gradient of the sum, N times too large. Divide by the number of words.
def train_head(features, labels, n_labels, rate, steps):
    weights, truth = features.new_zeros(features.size(1), n_labels), F.one_hot(labels, n_labels).to(features)
    for _ in range(steps):
        weights = weights - rate * features.T @ (torch.softmax(features @ weights, -1) - truth)
    return weights


# %% name="head-mistake-wrong-axis"
# %%mistake head
# The softmax runs over the words. Each word has a distribution over the labels: the last axis.
def train_head(features, labels, n_labels, rate, steps):
    weights, truth = features.new_zeros(features.size(1), n_labels), F.one_hot(labels, n_labels).to(features)
    for _ in range(steps):
        weights = weights - rate * features.T @ (torch.softmax(features @ weights, 0) - truth) / len(features)
    return weights


# %% name="head-mistake-no-softmax"
# %%mistake head
# The scores are taken for probabilities: this fits the labels by least squares. Put a softmax around the scores.
def train_head(features, labels, n_labels, rate, steps):
    weights, truth = features.new_zeros(features.size(1), n_labels), F.one_hot(labels, n_labels).to(features)
    for _ in range(steps):
        weights = weights - rate * features.T @ (features @ weights - truth) / len(features)
    return weights


# %% name="head-mistake-one-step-more"
# %%mistake head
# One step too many is taken.
def train_head(features, labels, n_labels, rate, steps):
    weights, truth = features.new_zeros(features.size(1), n_labels), F.one_hot(labels, n_labels).to(features)
    for _ in range(steps + 1):
        weights = weights - rate * features.T @ (torch.softmax(features @ weights, -1) - truth) / len(features)
    return weights


# %% name="head-mistake-gradient-once"
# %%mistake head
# The gradient is computed once, at W = 0, and used in every step. It changes with W: compute it in the loop.
def train_head(features, labels, n_labels, rate, steps):
    weights, truth = features.new_zeros(features.size(1), n_labels), F.one_hot(labels, n_labels).to(features)
    gradient = features.T @ (torch.softmax(features @ weights, -1) - truth) / len(features)
    for _ in range(steps):
        weights = weights - rate * gradient
    return weights


# %% name="head-mistake-no-rate"
# %%mistake head
# The gradient is not multiplied by the rate.
def train_head(features, labels, n_labels, rate, steps):
    weights, truth = features.new_zeros(features.size(1), n_labels), F.one_hot(labels, n_labels).to(features)
    for _ in range(steps):
        weights = weights - features.T @ (torch.softmax(features @ weights, -1) - truth) / len(features)
    return weights


# %% name="head-mistake-bias"
# %%mistake head
# A bias is trained as well. This head has none: its scores are XW.
def train_head(features, labels, n_labels, rate, steps):
    weights, truth = features.new_zeros(features.size(1), n_labels), F.one_hot(labels, n_labels).to(features)
    bias = features.new_zeros(n_labels)
    for _ in range(steps):
        error = torch.softmax(features @ weights + bias, -1) - truth
        weights, bias = weights - rate * features.T @ error / len(features), bias - rate * error.mean(0)
    return weights


# %% name="head-mistake-one-step-only"
# %%mistake head
# Only one step is taken, however many are asked for. Does the `return` stand inside the loop, or is W set to 0 in it?
def train_head(features, labels, n_labels, rate, steps):
    weights, truth = features.new_zeros(features.size(1), n_labels), F.one_hot(labels, n_labels).to(features)
    for _ in range(steps):
        return weights - rate * features.T @ (torch.softmax(features @ weights, -1) - truth) / len(features)


# %% name="head-other-autograd"
# %%other head
# The gradient by autograd.
def train_head(features, labels, n_labels, rate, steps):
    weights = features.new_zeros(features.size(1), n_labels, requires_grad=True)
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(F.cross_entropy(features @ weights, labels), weights)
        weights = (weights - rate * gradient).detach().requires_grad_()
    return weights.detach()


# %% name="head-other-loop"
# %%other head
# Word by word.
def train_head(features, labels, n_labels, rate, steps):
    weights = features.new_zeros(features.size(1), n_labels)
    for _ in range(steps):
        gradient = torch.zeros_like(weights)
        for x, label in zip(features, labels, strict=True):
            p = (x @ weights).softmax(0)
            p[label] -= 1
            gradient += torch.outer(x, p)
        weights = weights - rate * gradient / features.size(0)
    return weights


# %% name="head-equivalent"
# %%equivalent head
# Of two axes the last is axis 1; and whole numbers become floats when floats are taken off.
truth = F.one_hot(labels, n_labels)
error = torch.softmax(features @ weights, dim=1) - truth

# %% [markdown] name="reading" question={"points": 4, "difficulty": 2, "minutes": 10, "section": "2.4"}
# ## 3. Read the results
#
# | labelled sentences | 8 | 32 | 128 | 512 |
# | --- | --- | --- | --- | --- |
# | from scratch | 0.20 | 0.34 | 0.56 | 0.72 |
# | fine-tuned | 0.53 | 0.72 | 0.86 | 0.91 |
#
# **a.** The newspaper wants an F1 of 0.72. How many times as many labels does it need without pre-training: `times`?
#
# **b.** The backbone has C = 64 and the tagger K = 4 tags. How many numbers does a frozen tagger train, the head's
# bias included: `trained`?
#
# **c.** After fine-tuning, the backbone's next-word loss has risen from 4 to above 6 nats. Why? Set `cause` to a
# letter.
#
# - **a** The text of the tagger was in another language.
# - **b** Nothing in the tagger's loss asks for next words, and the weights went where tags are predicted best.
# - **c** The learning rate was 0 for the word vectors.
# - **d** The model has overfitted the next word.
#
# **d.** What keeps the next-word loss exactly as it was? Set `remedy` to a letter: **a** more labels, **b** a smaller
# learning rate, **c** freezing the backbone, **d** more steps.

# %% name="reading-answer"
times = None  # a number
trained = None  # a number
cause = ""  # a letter
remedy = ""  # a letter
### BEGIN SOLUTION
times = 16  # 512 / 32
trained = 260  # 64 · 4 + 4
cause = "b"
remedy = "c"
### END SOLUTION

# %% name="reading-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_pretraining_and_finetuning", "reading", times=times, trained=trained, cause=cause, remedy=remedy)

# %% [markdown] name="reading-hint-1"
# a: find 0.72 in both rows, and look at the numbers of sentences above. b: the head is a matrix (C, K) and a bias (K).
# c: what does the loss of the tagger ask for?

# %% [markdown] name="reading-hint-2"
# d: the next-word loss depends on the weights of the backbone. *Exactly as it was* is more than *nearly*.

# %% name="reading-parts"
reading = ValueQuestion()
reading.number("times", points=1, title="a: times as many labels")
reading.number("trained", points=1, title="b: numbers that are trained")
reading.choice("cause", "abcd", points=1, title="c: the cause")
reading.choice("remedy", "abcd", points=1, title="d: the remedy")

# %% name="reading-mistake-one-column"
# %%mistake reading
# That is one column. 0.72 stands two columns further on without pre-training.
times = 4

# %% name="reading-mistake-difference"
# %%mistake reading
# That is the difference. The question asks for the ratio.
times = 480

# %% name="reading-mistake-number-of-labels"
# %%mistake reading
# 512 is how many it needs. The question asks how many times as many: compare with the 32 of the fine-tuned model.
times = 512

# %% name="reading-mistake-turned-round"
# %%mistake reading
# The ratio is turned round. Without pre-training it needs more labels, not fewer.
times = 1 / 16

# %% name="reading-mistake-no-bias"
# %%mistake reading
# The head has a bias for each tag as well.
trained = 256

# %% name="reading-mistake-bias-of-features"
# %%mistake reading
# That is a bias for each of the 64 features. The bias has one number for each tag, 4 in all.
trained = 320

# %% name="reading-mistake-sum-of-sizes"
# %%mistake reading
# The sizes were added. The matrix alone has 64 · 4 numbers: one for each feature and tag.
trained = 68

# %% name="reading-mistake-language"
# %%mistake reading
# It was the same language, even the same world. The question that it was asked was another one.
cause = "a"

# %% name="reading-mistake-rate-zero"
# %%mistake reading
# With rate 0 they would not have changed, and could forget nothing.
cause = "c"

# %% name="reading-mistake-overfitted"
# %%mistake reading
# In fine-tuning the next word was not trained at all, so it cannot be overfitted.
cause = "d"

# %% name="reading-mistake-more-labels"
# %%mistake reading
# More labels of the new task ask no more for the old one.
remedy = "a"

# %% name="reading-mistake-smaller-rate"
# %%mistake reading
# Smaller steps forget less; but each of them changes the backbone.
remedy = "b"

# %% name="reading-mistake-more-steps"
# %%mistake reading
# More steps lead further away from where the backbone was.
remedy = "d"

# %% name="reading-other-worked-out"
# %%other reading
# The numbers as they are worked out.
times = 512 / 32
trained = 64 * 4 + 4
cause = "(B)"
remedy = "C."

# %% name="reading-other-tensors"
# %%other reading
# The numbers as tensors.
times = torch.tensor(512) / 32
trained = sum(p.numel() for p in torch.nn.Linear(64, 4).parameters())
cause = " b"
remedy = "c "

# %% [markdown] name="end"
# ## Done?
#
# `hint("04_pretraining_and_finetuning", "masking", 1)` gives a first hint; each question has two. `lmbook check` on
# this notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
