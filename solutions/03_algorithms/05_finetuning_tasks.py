# %% [markdown] name="title"
# # 3.5 微调任务 · Fine-tuning tasks — exercises
#
# 本节的练习写出微调中常见的两段代码：从两个指针读出答案区间，以及 DPO 的损失。最后算三个数，并解释一个结果。
#
# You write two pieces that stand between a model and a task, and work out three numbers. Each question has a cell for
# your answer and a cell that checks it. Section 3.5 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 05_finetuning_tasks

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="span" question={"points": 5, "difficulty": 3, "minutes": 25, "section": "3.5"}
# ## 1. From two pointers to an answer
#
# A model has scored every place as beginning and as end of the answer. Find the best span.
#
# | | shape | |
# | --- | --- | --- |
# | `start`, `end` | (T) | the scores; place 0 stands for "no answer" |
# | `context_from` | int | answers lie in the places from here on |
# | `longest` | int | an answer has at most so many tokens |
# | returns `first`, `last` | int each | the span with the highest `start[first] + end[last]` |
#
# It must hold that `context_from` ≤ `first` ≤ `last` and that the span is not too long. If `start[0] + end[0]` is
# higher than the score of every such span, return 0, 0. No two sums are equal.
#
# **What usually goes wrong:** the best beginning and the best end are taken one by one; spans reach into the question.


# %% name="span-answer"
def best_span(start: Tensor, end: Tensor, context_from: int, longest: int) -> tuple[int, int]:
    """The first and the last place of the best answer, or 0, 0."""
    ### BEGIN SOLUTION
    best, found = float(start[0] + end[0]), (0, 0)
    for first in range(context_from, len(start)):
        for last in range(first, min(first + longest, len(start))):
            score = float(start[first] + end[last])
            if score > best:
                best, found = score, (first, last)
    return found
    ### END SOLUTION


# %% name="span-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("05_finetuning_tasks", "span", best_span)

# %% [markdown] name="span-hint-1"
# Score pairs, not places: for each allowed `first` look at each allowed `last`.

# %% [markdown] name="span-hint-2"
# Begin with "no answer" as the best so far, and let a span replace it only when its sum is higher.

# %% name="span-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

span = FunctionQuestion("best_span", returns=("first", "last"), atol=1e-9, because="places are whole numbers")


def scored(draw, start, end, longest=3):
    ahead, behind = draw.order(6)[:2].tolist()  # so many tokens that nobody would choose, at both ends of the context

    def widened(scores):
        return torch.tensor(scores[:3] + ahead * [-9.0] + scores[3:] + behind * [-9.0])

    return {"start": widened(start), "end": widened(end), "context_from": 3, "longest": longest}


@span.case(points=1)
def simple(draw):
    """the best beginning and the best end fit together"""
    return scored(draw, [0.0, 0, 0, 1, 5, 0, 0, 0], [0.1, 0, 0, 0, 1, 5, 0, 0])


@span.case(points=1)
def crossed(draw):
    """the best beginning stands behind the best end"""
    return scored(draw, [0.0, 0, 0, 0.3, 3, 0, 5, 0.2], [0.1, 0, 0, 0, 4, 1.5, 0.4, 2.2])


@span.case(points=1)
def in_the_question(draw):
    """high scores inside the question"""
    return scored(draw, [0.0, 9, 8, 2.5, 0, 1, 0, 0], [0.1, 9, 8, 1.2, 0.7, 2, 0, 0])


@span.case(points=1)
def too_long(draw):
    """the best pairs are one and two tokens too long"""
    return scored(draw, [0.0, 0, 0, 5, 0, 2.5, 0, 1], [0.1, 0, 0, 0.5, 1, 2, 5, 6])


@span.case(points=1)
def no_answer(draw):
    """no answer is better than every span"""
    return scored(draw, [3.0, 0, 0, 2.1, 0, 1, 0, -5], [4.0, 0, 0, 1.2, 0.7, 2, 2.4, -5])


@span.invariant
def in_order(got, inputs):
    """the first place cannot stand behind the last"""
    return got[0] <= got[1]


@span.invariant
def in_the_context(got, inputs):
    """an answer lies in the context, or is 0, 0"""
    return tuple(got) == (0, 0) or got[0] >= inputs["context_from"]


# %% name="span-mistake-separately"
# %%mistake span
# Beginning and end were chosen one by one. The end may then stand before the beginning: score pairs.
def best_span(start, end, context_from, longest):
    first = context_from + int(start[context_from:].argmax())
    last = context_from + int(end[context_from:].argmax())
    return (0, 0) if start[0] + end[0] > start[first] + end[last] else (first, last)


# %% name="span-mistake-question"
# %%mistake span
# The span may lie in the question. The question is not the text: begin at `context_from`.
def best_span(start, end, context_from, longest):
    best, found = float(start[0] + end[0]), (0, 0)
    for first in range(1, len(start)):
        for last in range(first, min(first + longest, len(start))):
            if float(start[first] + end[last]) > best:
                best, found = float(start[first] + end[last]), (first, last)
    return found


# %% name="span-mistake-any-length"
# %%mistake span
# The length is not limited. Two good scores far apart are not an answer.
def best_span(start, end, context_from, longest):
    best, found = float(start[0] + end[0]), (0, 0)
    for first in range(context_from, len(start)):
        for last in range(first, len(start)):
            if float(start[first] + end[last]) > best:
                best, found = float(start[first] + end[last]), (first, last)
    return found


# %% name="span-mistake-always-answers"
# %%mistake span
# "No answer" is never given. It has a score like every span, that of place 0, and wins when it is the highest.
def best_span(start, end, context_from, longest):
    best, found = -math.inf, (0, 0)
    for first in range(context_from, len(start)):
        for last in range(first, min(first + longest, len(start))):
            if float(start[first] + end[last]) > best:
                best, found = float(start[first] + end[last]), (first, last)
    return found


# %% name="span-mistake-one-shorter"
# %%mistake span
# Spans are one token shorter than allowed, or one longer: a span from `first` with n tokens ends at `first + n - 1`.
def best_span(start, end, context_from, longest):
    best, found = float(start[0] + end[0]), (0, 0)
    for first in range(context_from, len(start)):
        for last in range(first, min(first + longest + 1, len(start))):
            if float(start[first] + end[last]) > best:
                best, found = float(start[first] + end[last]), (first, last)
    return found


# %% name="span-other-matrix"
# %%other span
# All pairs in one matrix.
def best_span(start, end, context_from, longest):
    T = len(start)
    pairs = start[:, None] + end
    allowed = torch.ones(T, T).triu().bool() & ~torch.ones(T, T).triu(longest).bool()
    allowed[:context_from] = False
    allowed[0, 0] = True
    place = int(pairs.masked_fill(~allowed, -math.inf).argmax())
    return place // T, place % T


# %% name="span-other-list"
# %%other span
# A list of all candidates, and its maximum.
def best_span(start, end, context_from, longest):
    spans = [(i, j) for i in range(context_from, len(start)) for j in range(i, len(start)) if j - i < longest]
    return max([(0, 0), *spans], key=lambda pair: (start[pair[0]] + end[pair[1]]).item())


# %% name="span-equivalent-order"
# %%equivalent span
# The smaller of two numbers does not depend on their order.
for last in range(first, min(len(start), first + longest)):
    score = float(start[first] + end[last])
    if score > best:
        best, found = score, (first, last)

# %% name="span-equivalent-ties"
# %%equivalent span
# No two sums are equal.
if score >= best:
    best, found = score, (first, last)

# %% [markdown] name="dpo" question={"points": 4, "difficulty": 3, "minutes": 25, "section": "3.5"}
# ## 2. The loss of DPO
#
# Write it from the scores of two models.
#
# | | shape | |
# | --- | --- | --- |
# | `tuned`, `reference` | (2, T, V) each | logits of both models for the rows *chosen* and *rejected*, in this order |
# | `labels` | (2, T) int64 | the tokens of the rows, not moved; −100 in the prompt and at padding |
# | `beta` | float | β |
# | returns `loss` | () | −ln σ(β · margin) |
# | returns `margin` | float | how much more the chosen answer has gained than the rejected one, in nats |
#
# The log-probability of an answer is the **sum** over its tokens. Place t scores the token at t + 1, as always.
#
# **What usually goes wrong:** the mean is taken, so that long answers seem better; the reference is left out; the
# prompt is counted.


# %% name="dpo-answer"
def dpo(tuned: Tensor, reference: Tensor, labels: Tensor, beta: float) -> tuple[Tensor, float]:
    """The loss of DPO for one pair, and its margin."""
    ### BEGIN SOLUTION
    targets = labels[:, 1:]  # (2, T - 1)
    gains = []
    for logits in (tuned, reference):
        losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="none")  # 0 at -100
        gains.append(losses.view(targets.shape).sum(1))
    change = gains[1] - gains[0]  # how much more probable each answer has become
    margin = change[0] - change[1]
    return -F.logsigmoid(beta * margin), float(margin)
    ### END SOLUTION


# %% name="dpo-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("05_finetuning_tasks", "dpo", dpo)

# %% [markdown] name="dpo-hint-1"
# First a function from logits to two numbers: the sum of the log-probabilities of the answer's tokens, for each row.

# %% [markdown] name="dpo-hint-2"
# Then the change of each row, tuned minus reference, and the difference of the two changes.

# %% name="dpo-parts"
dpo = FunctionQuestion(
    "dpo",
    returns=("loss", "margin"),
    atol=1e-4,
    because="sums of up to a dozen log-probabilities of about 2 in float32",
)


def pair(draw, real, beta=0.5, noise=1.0):
    """Logits of two models that differ by noise; `real` marks the places with a label."""
    mask = torch.tensor(real, dtype=torch.bool)
    tokens = torch.stack([draw.order(7)[: mask.size(1)] for _ in real])
    reference = draw.normal(*mask.shape, 7)
    tuned = reference + noise * draw.normal(*mask.shape, 7)
    return {"tuned": tuned, "reference": reference, "labels": tokens.masked_fill(~mask, -100), "beta": beta}


@dpo.case(points=1)
def same_length(draw):
    """two answers of the same length"""
    return pair(draw, [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1]])


@dpo.case(points=1)
def other_lengths(draw):
    """a short and a long answer, with padding"""
    return pair(draw, [[0, 1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1, 1]], beta=0.2)


@dpo.case(points=1)
def far(draw):
    """models that differ much: a large margin"""
    return pair(draw, [[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0]], beta=1.0, noise=6.0)


@dpo.case(points=1)
def untouched(draw):
    """the tuned model is still the reference: margin 0"""
    return pair(draw, [[0, 0, 1, 1, 1], [0, 0, 1, 1, 0]], noise=0.0)


@dpo.invariant
def loss_is_positive(got, inputs):
    """−ln of a probability cannot be negative"""
    return float(got[0]) >= 0


# %% name="dpo-mistake-mean"
# %%mistake dpo
# The mean over the tokens is taken. The probability of an answer is a product, so its logarithm is a sum.
def dpo(tuned, reference, labels, beta):
    targets = labels[:, 1:]
    rows = []
    for logits in (tuned, reference):
        losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        rows.append(-losses.sum(1) / (targets != -100).sum(1))
    change = rows[0] - rows[1]
    margin = change[0] - change[1]
    return -F.logsigmoid(beta * margin), float(margin)


# %% name="dpo-mistake-no-reference"
# %%mistake dpo
# The reference is left out. Then the model is rewarded for what was probable before, and not for what it has learned.
def dpo(tuned, reference, labels, beta):
    targets = labels[:, 1:]
    losses = F.cross_entropy(tuned[:, :-1].flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
    margin = losses.sum(1)[1] - losses.sum(1)[0]
    return -F.logsigmoid(beta * margin), float(margin)


# %% name="dpo-mistake-exchanged"
# %%mistake dpo
# Chosen and rejected are exchanged: this teaches the worse answer. Row 0 is the chosen one.
def dpo(tuned, reference, labels, beta):
    targets = labels[:, 1:]
    rows = []
    for logits in (tuned, reference):
        losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        rows.append(-losses.sum(1))
    change = rows[0] - rows[1]
    margin = change[1] - change[0]
    return -F.logsigmoid(beta * margin), float(margin)


# %% name="dpo-mistake-not-moved"
# %%mistake dpo
# The labels are not moved: place t is asked for the token that stands there already. It scores the one at t + 1.
def dpo(tuned, reference, labels, beta):
    rows = []
    for logits in (tuned, reference):
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
        rows.append(-losses.sum(1))
    change = rows[0] - rows[1]
    margin = change[0] - change[1]
    return -F.logsigmoid(beta * margin), float(margin)


# %% name="dpo-mistake-beta-left-out"
# %%mistake dpo
# β is not used. It says how far the model may go from the reference: multiply the margin by it inside the sigmoid.
def dpo(tuned, reference, labels, beta):
    targets = labels[:, 1:]
    rows = []
    for logits in (tuned, reference):
        losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        rows.append(-losses.sum(1))
    change = rows[0] - rows[1]
    margin = change[0] - change[1]
    return -F.logsigmoid(margin), float(margin)


# %% name="dpo-other-gather"
# %%other dpo
# With log-probabilities that are gathered.
def dpo(tuned, reference, labels, beta):
    targets = labels[:, 1:]
    real = targets != -100
    change = tuned[:, :-1].log_softmax(-1) - reference[:, :-1].log_softmax(-1)
    gain = (change.gather(-1, targets.clamp(min=0)[..., None])[..., 0] * real).sum(1)
    margin = gain[0] - gain[1]
    return F.softplus(-beta * margin), margin.item()


# %% name="dpo-other-loop"
# %%other dpo
# Token by token.
def dpo(tuned, reference, labels, beta):
    margin = torch.tensor(0.0)
    for row, sign in ((0, 1), (1, -1)):
        for t in range(1, labels.size(1)):
            token = labels[row, t]
            if token != -100:
                gain = tuned[row, t - 1].log_softmax(0)[token] - reference[row, t - 1].log_softmax(0)[token]
                margin = margin + sign * gain
    return torch.log1p(torch.exp(-beta * margin)), float(margin)


# %% [markdown] name="numbers" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "3.5"}
# ## 3. Numbers, and a reading
#
# 1. A tagger has found 3 of the 4 names in a text, and one of its 5 names is right in kind but a word too long; the
#    fifth is no name at all. So 3 are right. What is its span `f1`?
# 2. A layer has a weight matrix of 30 × 40. LoRA with rank 2 stands beside it. How many weights does LoRA train
#    there (`trained`)?
# 3. A model answers every question with "no answer", and 40 of 160 questions have none. What is its exact match
#    (`exact`)?
#
# **And one reading.** After DPO a model hardly ever writes rude answers, but it picks the wrong name as often as
# before. Which explanation fits section 3.5? Set `reason` to its letter.
#
# - **a** β was too large.
# - **b** The pairs teach what an answer looks like; which name is right depends on a text that the model was not
#   shown.
# - **c** DPO needs a reward model, and there was none.
# - **d** Names are rare words, and DPO cannot change rare words.

# %% name="numbers-answer"
f1 = None
trained = None
exact = None
reason = ""
### BEGIN SOLUTION
f1 = 0.667  # precision 3/5, recall 3/4
trained = 140  # 2 · 40 + 30 · 2
exact = 0.25
reason = "b"
### END SOLUTION

# %% name="numbers-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("05_finetuning_tasks", "numbers", f1=f1, trained=trained, exact=exact, reason=reason)

# %% [markdown] name="numbers-hint-1"
# Precision is 3 of what was found, recall is 3 of what is there; F1 is 2·P·R / (P + R).

# %% [markdown] name="numbers-hint-2"
# A is (rank, inputs) and B is (outputs, rank).

# %% name="numbers-parts"
numbers = ValueQuestion()
numbers.number("f1", points=1, title="the span F1")
numbers.number("trained", points=1, title="the weights of LoRA")
numbers.number("exact", points=1, title="the exact match of 'no answer'")
numbers.choice("reason", "abcd", points=1, title="what DPO has taught")

# %% name="numbers-mistake-half-counts"
# %%mistake numbers
# The name that is a word too long was counted as right. A span counts only as a whole.
f1 = 0.889

# %% name="numbers-mistake-recall"
# %%mistake numbers
# That is the recall. F1 also asks how much of what was found is right.
f1 = 0.75

# %% name="numbers-mistake-precision"
# %%mistake numbers
# That is the precision. F1 also asks how much of what is there was found.
f1 = 0.6

# %% name="numbers-mistake-one-matrix"
# %%mistake numbers
# That is one of the two thin matrices: A and B both are trained.
trained = 80

# %% name="numbers-mistake-full"
# %%mistake numbers
# That is the whole matrix, which LoRA leaves as it is.
trained = 1200

# %% name="numbers-mistake-complement"
# %%mistake numbers
# That is the share of questions that it gets wrong.
exact = 0.75

# %% name="numbers-mistake-beta"
# %%mistake numbers
# β is the same for all pairs; it cannot let manners change and facts not.
reason = "a"

# %% name="numbers-mistake-reward"
# %%mistake numbers
# DPO is the way to do without a reward model.
reason = "c"

# %% name="numbers-mistake-rare"
# %%mistake numbers
# DPO changes every word of an answer, rare ones too, if the pairs tell which is better.
reason = "d"

# %% name="numbers-other-worked-out"
# %%other numbers
# Worked out.
f1 = 2 * (3 / 5) * (3 / 4) / (3 / 5 + 3 / 4)
trained = 2 * (30 + 40)
exact = 40 / 160
reason = "B"

# %% name="numbers-other-tensors"
# %%other numbers
# As tensors.
f1 = torch.tensor(6 / 9)
trained = torch.ones(2, 40).numel() + torch.ones(30, 2).numel()
exact = torch.tensor(0.25)
reason = "(b)"

# %% [markdown] name="end"
# ## Done?
#
# `hint("05_finetuning_tasks", "span", 1)` gives a first hint; each question has two. `lmbook check` on this notebook
# runs all of it again from the start, and `lmbook progress` says what is worth doing next.
