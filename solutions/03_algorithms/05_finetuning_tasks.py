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
# | `start`, `end` | (T) | the scores; place 0 stands for "no answer" (as in BERT; in section 3.5 it was the last) |
# | `context_from` | int | answers lie in the places from here on |
# | `longest` | int | an answer has at most so many tokens |
# | returns `first`, `last` | int each | the span with the highest `start[first] + end[last]` |
#
# It must hold that `context_from` ≤ `first` ≤ `last` and that the span is not too long. If `start[0] + end[0]` is
# higher than the score of every such span, return 0, 0. The highest sum is the only one of its value.
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


def scored(draw, start, end, longest=3, ahead=None, behind=None):
    """Scores of place 0, two places of the question, and the context, with others between that nobody would choose."""
    asked, some, more = draw.order(6)[:3].tolist()
    ahead = some if ahead is None else ahead  # so many places before the context's scores, and behind them
    behind = more if behind is None else behind

    def widened(scores):
        question = scores[:1] + (1 + asked) * [-20.0] + scores[1:3]
        return torch.tensor(question + ahead * [-20.0] + scores[3:] + behind * [-20.0])

    return {"start": widened(start), "end": widened(end), "context_from": 4 + asked, "longest": longest}


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
    """high scores inside the question, and low ones in the context"""
    return scored(draw, [-6.0, 3, 2, -3.5, -6, -5, -6, -6], [0.1, 9, 8, 1.2, 0.7, 2, 0, 0], ahead=0)


@span.case(points=1)
def too_long(draw):
    """pairs that are too long have the highest scores; the best answer has one token"""
    return scored(draw, [0.0, 0, 0, 5, 0, 2.5, 0, 2], [0.1, 0, 0, 0.5, 1, 2, 5, 6], longest=2, behind=0)


@span.case(points=1)
def no_answer(draw):
    """no answer is better than every span"""
    return scored(draw, [1.0, 0, 0, 2.1, 0, 1, 0, -5], [4.0, 0, 0, 1.2, 0.7, 2, 2.4, -5])


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
# "No answer" should have won here. Its score is `start[0] + end[0]`, a sum like that of every span, and it wins when
# that is the highest. (In section 3.5 it stood at the last place; here it is place 0.)
def best_span(start, end, context_from, longest):
    best, found = -math.inf, (0, 0)
    for first in range(context_from, len(start)):
        for last in range(first, min(first + longest, len(start))):
            if float(start[first] + end[last]) > best:
                best, found = float(start[first] + end[last]), (first, last)
    return found


# %% name="span-mistake-one-longer"
# %%mistake span
# Spans may be one token too long here: a span from `first` with n tokens ends at `first + n - 1`.
def best_span(start, end, context_from, longest):
    best, found = float(start[0] + end[0]), (0, 0)
    for first in range(context_from, len(start)):
        for last in range(first, min(first + longest + 1, len(start))):
            if float(start[first] + end[last]) > best:
                best, found = float(start[first] + end[last]), (first, last)
    return found


# %% name="span-mistake-one-shorter"
# %%mistake span
# Spans of `longest` tokens are left out: a span from `first` with n tokens ends at `first + n - 1`, and `range` stops
# before its second number.
def best_span(start, end, context_from, longest):
    best, found = float(start[0] + end[0]), (0, 0)
    for first in range(context_from, len(start)):
        for last in range(first, min(first + longest - 1, len(start))):
            if float(start[first] + end[last]) > best:
                best, found = float(start[first] + end[last]), (first, last)
    return found


# %% name="span-mistake-beginning-first"
# %%mistake span
# The best beginning has won, not the best sum. Either it was chosen first, and the end to fit; or probabilities were
# added, not scores. Score pairs, by `start[first] + end[last]`.
def best_span(start, end, context_from, longest):
    first = context_from + int(start[context_from:].argmax())
    last = first + int(end[first : first + longest].argmax())
    return (0, 0) if start[0] + end[0] > start[first] + end[last] else (first, last)


# %% name="span-mistake-end-first"
# %%mistake span
# The best end has won, not the best sum. It was chosen first, and the beginning to fit: score pairs.
def best_span(start, end, context_from, longest):
    last = context_from + int(end[context_from:].argmax())
    earliest = max(context_from, last - longest + 1)
    first = earliest + int(start[earliest : last + 1].argmax())
    return (0, 0) if start[0] + end[0] > start[first] + end[last] else (first, last)


# %% name="span-mistake-sorted"
# %%mistake span
# Beginning and end were chosen one by one and then put in order. What began an answer is not the end of one: score
# pairs.
def best_span(start, end, context_from, longest):
    first, last = (context_from + int(scores[context_from:].argmax()) for scores in (start, end))
    return (0, 0) if start[0] + end[0] > start[first] + end[last] else (min(first, last), max(first, last))


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
# The highest sum is the only one of its value.
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
# | returns `loss` | () float32, a tensor | −ln σ(β · margin) |
# | returns `margin` | float | how much more the chosen answer has gained than the rejected one, in nats, without β |
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
    surprises = []  # −ln of the probability of each answer, for each model
    for logits in (tuned, reference):
        losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="none")  # 0 at -100
        surprises.append(losses.view(targets.shape).sum(1))
    change = surprises[1] - surprises[0]  # how much more probable each answer has become
    margin = change[0] - change[1]
    return -F.logsigmoid(beta * margin), float(margin)
    ### END SOLUTION


# %% name="dpo-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("05_finetuning_tasks", "dpo", dpo)

# %% [markdown] name="dpo-hint-1"
# First a function from logits to two numbers: the sum of the log-probabilities of the answer's tokens, for each row.
# `F.cross_entropy(..., reduction="none")` gives *minus* the log-probability of each token, and 0 at the label −100.

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


@dpo.case(points=1.5)
def other_lengths(draw):
    """a short and a long answer, with padding"""
    return pair(draw, [[0, 1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1, 1]], beta=0.2)


@dpo.case(points=1)
def far(draw):
    """models that differ much"""
    return pair(draw, [[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0]], beta=0.7, noise=6.0)


@dpo.case(points=0.5)
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
# The margin has the wrong sign. Look at three places: row 0 is the chosen answer; a gain is tuned minus reference; and
# a cross-entropy is *minus* a log-probability.
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
# β is not used. It says how costly it is to move away from the reference: multiply the margin by it inside the sigmoid.
def dpo(tuned, reference, labels, beta):
    targets = labels[:, 1:]
    rows = []
    for logits in (tuned, reference):
        losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        rows.append(-losses.sum(1))
    change = rows[0] - rows[1]
    margin = change[0] - change[1]
    return -F.logsigmoid(margin), float(margin)


# %% name="dpo-mistake-beta-in-the-margin"
# %%mistake dpo
# The margin was returned with β in it. β belongs in the loss only.
def dpo(tuned, reference, labels, beta):
    targets = labels[:, 1:]
    rows = []
    for logits in (tuned, reference):
        losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        rows.append(-losses.sum(1))
    change = rows[0] - rows[1]
    margin = beta * (change[0] - change[1])
    return -F.logsigmoid(margin), float(margin)


# %% name="dpo-mistake-prompt-counted"
# %%mistake dpo
# Prompt and padding are counted. Where the label is −100 there is nothing to score: set these places to 0 before the
# sum.
def dpo(tuned, reference, labels, beta):
    targets = labels[:, 1:].clamp(min=0)[..., None]
    rows = [logits[:, :-1].log_softmax(-1).gather(-1, targets)[..., 0].sum(1) for logits in (tuned, reference)]
    change = rows[0] - rows[1]
    margin = change[0] - change[1]
    return -F.logsigmoid(beta * margin), float(margin)


# %% name="dpo-mistake-logits"
# %%mistake dpo
# These are logits, not log-probabilities: `log_softmax` over the vocabulary makes them so.
def dpo(tuned, reference, labels, beta):
    targets = labels[:, 1:]
    gained = (tuned - reference)[:, :-1].gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    change = gained.masked_fill(targets == -100, 0.0).sum(1)
    margin = change[0] - change[1]
    return -F.logsigmoid(beta * margin), float(margin)


# %% name="dpo-mistake-moved-the-wrong-way"
# %%mistake dpo
# The labels are moved the wrong way: place t is asked for the token at t − 1, which it has read. It scores the one at
# t + 1.
def dpo(tuned, reference, labels, beta):
    targets = labels[:, :-1]
    rows = []
    for logits in (tuned, reference):
        losses = F.cross_entropy(logits[:, 1:].flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        rows.append(-losses.sum(1))
    change = rows[0] - rows[1]
    margin = change[0] - change[1]
    return -F.logsigmoid(beta * margin), float(margin)


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
# Give shares as numbers from 0 to 1, to three digits.
#
# 1. A text has 4 names. A tagger marks 5 spans: three are right, one has the right kind but is a word too long, and one
#    is no name at all. What is its span `f1`?
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
# Precision is the share of the marked spans that are right, recall the share of the names that were found; a span is
# right only as a whole. F1 is 2·P·R / (P + R).

# %% [markdown] name="numbers-hint-2"
# A is (rank, inputs) and B is (outputs, rank). Where a question has no answer, "no answer" is right. And for the
# reading: look in section 3.5.7 at what the rows of a pair contain.

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

# %% name="numbers-mistake-per-cent"
# %%mistake numbers
# That is in per cent. A share is a number from 0 to 1.
f1 = 66.7
exact = 25

# %% name="numbers-mistake-two-digits"
# %%mistake numbers
# Nearly: give three digits.
f1 = 0.67

# %% name="numbers-mistake-plain-mean"
# %%mistake numbers
# That is the plain mean of precision and recall. F1 is 2·P·R / (P + R), which is nearer to the smaller one.
f1 = 0.675

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

# %% name="numbers-mistake-other-matrix"
# %%mistake numbers
# That is one of the two thin matrices: A and B both are trained.
trained = 60

# %% name="numbers-mistake-sizes-multiplied"
# %%mistake numbers
# The rank is a side of each thin matrix, (2, 40) and (30, 2). Their sizes are added.
trained = 2400

# %% name="numbers-mistake-full"
# %%mistake numbers
# That is the whole matrix, which LoRA leaves as it is.
trained = 1200

# %% name="numbers-mistake-no-match-without-an-answer"
# %%mistake numbers
# Where a question has no answer, "no answer" is an exact match.
exact = 0

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
