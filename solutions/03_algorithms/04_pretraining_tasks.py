# %% [markdown] name="title"
# # 3.4 预训练任务 · Pre-training tasks — exercises
#
# 本节的练习亲手写出三种预训练任务：掩码（80/10/10）、片段破坏和对比学习。
# 最后算一算一段文本能给出多少个标签，并解释为什么一种任务在短训练之后领先。
#
# You make the batches of two objectives and the loss of a third. Each question has a cell for your answer and a cell
# that checks it. Section 3.4 has all that you need. It also has code much like the first three answers: read it, close
# it, and only then write.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 04_pretraining_tasks

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="masking" question={"points": 5, "difficulty": 2, "minutes": 20, "section": "3.4"}
# ## 1. Masking: 80, 10 and 10 per cent
#
# Write masked language modelling, with all random numbers given, so that everybody gets the same result.
#
# | | shape | |
# | --- | --- | --- |
# | `ids` | (B, T) int64 | texts with special tokens |
# | `is_special` | (B, T) bool | True at special tokens and padding: they are never chosen |
# | `choice`, `fate` | (B, T) float64 | numbers from 0 to below 1 |
# | `random` | (B, T) int64 | a random word for each place |
# | `mask` | int | the id of [MASK] |
# | returns `inputs`, `labels` | (B, T) int64 each | |
#
# A place is chosen where `choice` is below 0.15. If it is, `fate` decides: below 0.8 it becomes [MASK], from there to
# below 0.9 the random word, and from 0.9 on it stays. The label is the original word where a place was chosen, and
# −100 elsewhere. Do not change the inputs.
#
# **What usually goes wrong:** places that stay the same lose their label; labels are read after the text was damaged;
# special tokens are masked. And put each comparison in brackets: `&` binds more tightly than `<`.


# %% name="masking-answer"
def mask_words(
    ids: Tensor, is_special: Tensor, choice: Tensor, fate: Tensor, random: Tensor, mask: int
) -> tuple[Tensor, Tensor]:
    """Inputs and labels (B, T) of masked language modelling."""
    ### BEGIN SOLUTION
    chosen = (choice < 0.15) & ~is_special
    inputs = torch.where(chosen & (fate < 0.9), random, ids)
    inputs = inputs.masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)
    ### END SOLUTION


# %% name="masking-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_pretraining_tasks", "masking", mask_words)

# %% [markdown] name="masking-hint-1"
# First one boolean tensor `chosen`: below 0.15, and not special. The labels depend on it alone.

# %% [markdown] name="masking-hint-2"
# `torch.where(condition, a, b)` takes from `a` where the condition holds. Put in the random words for every fate below
# 0.9 first; the masks then go over those below 0.8.

# %% name="masking-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

masking = FunctionQuestion("mask_words", returns=("inputs", "labels"), atol=1e-9, because="ids are whole numbers")


def drawn(draw, choice, fate, special=()):
    """Texts of six words and these draws. Ids do not tell special tokens: words are even, special ones odd between."""
    shape = (len(choice), len(choice[0]))
    words = torch.stack([10 + 2 * draw.order(shape[1]) for _ in range(shape[0])])
    is_special = torch.zeros(shape, dtype=torch.bool)
    for row, place in special:
        is_special[row, place] = True
        words[row, place] = 9 + 2 * place
    random = torch.stack([30 + draw.order(shape[1]) for _ in range(shape[0])])
    draws = {name: torch.tensor(rows, dtype=torch.float64) for name, rows in (("choice", choice), ("fate", fate))}
    mask = 4 + int(draw.order(5)[0])
    return {"ids": words, "is_special": is_special, **draws, "random": random, "mask": mask}


@masking.case(points=1)
def masks(draw):
    """every chosen place becomes a mask"""
    return drawn(draw, [[0.1, 0.5, 0.14, 0.9, 0.3, 0.0]], [[0.1, 0.2, 0.79, 0.5, 0.85, 0.4]])


@masking.case(points=1)
def all_fates(draw):
    """a mask, a random word, and a word that stays"""
    return drawn(draw, [[0.1, 0.01, 0.05, 0.7, 0.8, 0.12]], [[0.3, 0.85, 0.95, 0.85, 0.3, 0.92]])


@masking.case(points=1)
def boundaries(draw):
    """draws that lie exactly on 0.15, 0.8 and 0.9"""
    return drawn(draw, [[0.15, 0.1, 0.1, 0.1, 0.1, 0.5]], [[0.1, 0.8, 0.9, 0.0, 0.999, 0.8]])


@masking.case(points=2)
def special_tokens(draw):
    """two texts with special tokens, of which the draws would choose some"""
    choice = [[0.01, 0.2, 0.1, 0.9, 0.3, 0.0], [0.02, 0.12, 0.6, 0.03, 0.0, 0.01]]
    fate = [[0.5, 0.1, 0.9, 0.3, 0.2, 0.1], [0.85, 0.82, 0.7, 0.6, 0.95, 0.4]]
    return drawn(draw, choice, fate, special=((0, 0), (0, 5), (1, 0), (1, 4), (1, 5)))


@masking.invariant
def special_tokens_stay(got, inputs):
    """special tokens must stay as they are, without a label"""
    special = inputs["is_special"]
    return bool((got[0] == inputs["ids"])[special].all() and (got[1] == -100)[special].all())


@masking.invariant
def labels_are_originals(got, inputs):
    """a label must be −100, or the word that stood there before"""
    return bool(((got[1] == -100) | (got[1] == inputs["ids"])).all())


# %% name="masking-mistake-kept-without-label"
# %%mistake masking
# Words that stay have lost their label. They are chosen too, and the model is asked about them: that is what keeps it
# from being lazy at visible words.
def mask_words(ids, is_special, choice, fate, random, mask):
    chosen = (choice < 0.15) & ~is_special
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~(chosen & (fate < 0.9)), -100)


# %% name="masking-mistake-masks-only"
# %%mistake masking
# Only masked places have a label. The random words, and those that stay, were chosen as well.
def mask_words(ids, is_special, choice, fate, random, mask):
    chosen = (choice < 0.15) & ~is_special
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(inputs != mask, -100)


# %% name="masking-mistake-all-masked"
# %%mistake masking
# All chosen places become a mask. In fine-tuning there are no masks, and the model would never have been asked about a
# visible word.
def mask_words(ids, is_special, choice, fate, random, mask):
    chosen = (choice < 0.15) & ~is_special
    return ids.masked_fill(chosen, mask), ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-special"
# %%mistake masking
# Special tokens are chosen too. [CLS] and padding are no text: nothing can be learned from guessing them.
def mask_words(ids, is_special, choice, fate, random, mask):
    chosen = choice < 0.15
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-labels-of-damaged"
# %%mistake masking
# The labels are read from the damaged text, so the model is asked to predict [MASK]. A label is the *original* word.
def mask_words(ids, is_special, choice, fate, random, mask):
    chosen = (choice < 0.15) & ~is_special
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, inputs.masked_fill(~chosen, -100)


# %% name="masking-mistake-all-labels"
# %%mistake masking
# Every place has a label. Then most of the loss is copying visible words, which is no task at all: −100 where nothing
# was chosen.
def mask_words(ids, is_special, choice, fate, random, mask):
    chosen = (choice < 0.15) & ~is_special
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(is_special, -100)


# %% name="masking-mistake-shares-exchanged"
# %%mistake masking
# Random words and words that stay are exchanged: from 0.8 to below 0.9 the random word, from 0.9 on the word itself.
def mask_words(ids, is_special, choice, fate, random, mask):
    chosen = (choice < 0.15) & ~is_special
    inputs = torch.where(chosen & (fate >= 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-random-over-masks"
# %%mistake masking
# Random words went over the masks: every fate below 0.8 is below 0.9 too. Put the masks in last, or give random words
# only from 0.8 on.
def mask_words(ids, is_special, choice, fate, random, mask):
    chosen = (choice < 0.15) & ~is_special
    inputs = torch.where(chosen & (fate < 0.9), random, ids.masked_fill(chosen & (fate < 0.8), mask))
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-no-random-words"
# %%mistake masking
# A random word is missing, and the old word still stands there. From 0.8 on, 0.8 included, to below 0.9 the random
# word takes its place.
def mask_words(ids, is_special, choice, fate, random, mask):
    chosen = (choice < 0.15) & ~is_special
    return ids.masked_fill(chosen & (fate < 0.8), mask), ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-random-where-nothing-was-chosen"
# %%mistake masking
# Random words also stand where nothing was chosen. The fate of a place counts only if the place is chosen.
def mask_words(ids, is_special, choice, fate, random, mask):
    chosen = (choice < 0.15) & ~is_special
    inputs = torch.where((fate >= 0.8) & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-special-only"
# %%mistake masking
# No ordinary word is chosen here. Look at two places: `choice` must be *below* 0.15, and `is_special`, which is True
# at the places to leave alone, must be turned round with `~`.
def mask_words(ids, is_special, choice, fate, random, mask):
    chosen = (choice < 0.15) & is_special
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-other-loop"
# %%other masking
# Place by place.
def mask_words(ids, is_special, choice, fate, random, mask):
    inputs, labels = ids.clone(), torch.full_like(ids, -100)
    for b, t in ((choice < 0.15) & ~is_special).nonzero().tolist():
        labels[b, t] = ids[b, t]
        if fate[b, t] < 0.8:
            inputs[b, t] = mask
        elif fate[b, t] < 0.9:
            inputs[b, t] = random[b, t]
    return inputs, labels


# %% name="masking-other-arithmetic"
# %%other masking
# With sums of products.
def mask_words(ids, is_special, choice, fate, random, mask):
    chosen = torch.logical_and(choice < 0.15, torch.logical_not(is_special)).long()
    masked = chosen * (fate < 0.8)
    replaced = chosen * (fate >= 0.8) * (fate < 0.9)
    inputs = ids * (1 - masked - replaced) + masked * mask + replaced * random
    return inputs, ids * chosen - 100 * (1 - chosen)


# %% [markdown] name="spans" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "3.4"}
# ## 2. Span corruption
#
# Make the input and the target of T5 from a text and the spans to cut out.
#
# | | shape | |
# | --- | --- | --- |
# | `ids` | (T) int64 | a text without special tokens |
# | `spans` | (S, 2) int64 | for each span its first place, and the place *after* its last |
# | `sentinel` | int | the first sentinel; the next ones are `sentinel + 1`, `sentinel + 2`, ... |
# | `end` | int | the id of the end token |
# | returns `source`, `target` | (·) int64 each | tensors |
#
# There is at least one span. They are in order and do not overlap, but two may touch. In the source each span is
# replaced by its sentinel. The target has each sentinel followed by what it stands for, and after the last span one
# more sentinel. Both end with `end`.
#
# **What usually goes wrong:** places move while one cuts; the last sentinel is forgotten, and the decoder does not
# know where the last span ends.


# %% name="spans-answer"
def corrupt(ids: Tensor, spans: Tensor, sentinel: int, end: int) -> tuple[Tensor, Tensor]:
    """Source and target of span corruption."""
    ### BEGIN SOLUTION
    source, target, at = [], [], 0
    for first, last in spans.tolist():
        source += [*ids[at:first].tolist(), sentinel]
        target += [sentinel, *ids[first:last].tolist()]
        at = last
        sentinel = sentinel + 1
    source += [*ids[at:].tolist(), end]
    target += [sentinel, end]
    return torch.tensor(source), torch.tensor(target)
    ### END SOLUTION


# %% name="spans-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_pretraining_tasks", "spans", corrupt)

# %% [markdown] name="spans-hint-1"
# Build two Python lists from left to right, and keep one number: how far the text has been read.

# %% [markdown] name="spans-hint-2"
# For each span: what stands between the place reached and the span goes to the source, then the sentinel to both, then
# the span itself to the target. After the loop the rest of the text is still to come.

# %% name="spans-parts"
spans = FunctionQuestion("corrupt", returns=("source", "target"), atol=1e-9, because="ids are whole numbers")


def text_with(draw, length, places):
    sentinel, end = 101 + int(draw.order(50)[0]), 2 + int(draw.order(7)[0])
    return {"ids": 10 + draw.order(length), "spans": torch.tensor(places), "sentinel": sentinel, "end": end}


@spans.case(points=1)
def one_span(draw):
    """one span in the middle"""
    return text_with(draw, 8, [[3, 5]])


@spans.case(points=1)
def two_spans(draw):
    """two spans of different lengths"""
    return text_with(draw, 12, [[1, 3], [6, 9]])


@spans.case(points=1)
def at_the_ends(draw):
    """spans at the beginning and at the end of the text"""
    return text_with(draw, 10, [[0, 2], [7, 10]])


@spans.case(points=1)
def three_spans(draw):
    """three spans, two of which touch"""
    return text_with(draw, 14, [[2, 4], [4, 6], [10, 13]])


@spans.invariant
def no_token_is_lost(got, inputs):
    """source and target together must have each token of the text once"""
    both = torch.cat(list(got))
    kept = both[(both < inputs["sentinel"]) & (both != inputs["end"])]
    return torch.equal(kept.sort().values, inputs["ids"].sort().values)


@spans.invariant
def both_end(got, inputs):
    """source and target must both end with the end token"""
    return all(len(side) > 0 and int(side[-1]) == inputs["end"] for side in got)


# %% name="spans-mistake-no-last-sentinel"
# %%mistake spans
# The target lacks the last sentinel. It tells where the last span ends, as the others do for the spans before.
def corrupt(ids, spans, sentinel, end):
    source, target, at = [], [], 0
    for i, (first, last) in enumerate(spans.tolist()):
        source += [*ids[at:first].tolist(), sentinel + i]
        target += [sentinel + i, *ids[first:last].tolist()]
        at = last
    return torch.tensor([*source, *ids[at:].tolist(), end]), torch.tensor([*target, end])


# %% name="spans-mistake-last-sentinel-repeated"
# %%mistake spans
# The sentinel at the end of the target was used before. It must be a new one, the next after that of the last span.
def corrupt(ids, spans, sentinel, end):
    source, target, at = [], [], 0
    for i, (first, last) in enumerate(spans.tolist()):
        source += [*ids[at:first].tolist(), sentinel + i]
        target += [sentinel + i, *ids[first:last].tolist()]
        at = last
    return torch.tensor([*source, *ids[at:].tolist(), end]), torch.tensor([*target, sentinel + i, end])


# %% name="spans-mistake-one-sentinel"
# %%mistake spans
# All spans have the same sentinel. Then nothing in the target tells which gap is meant: count up.
def corrupt(ids, spans, sentinel, end):
    source, target, at = [], [], 0
    for first, last in spans.tolist():
        source += [*ids[at:first].tolist(), sentinel]
        target += [sentinel, *ids[first:last].tolist()]
        at = last
    return torch.tensor([*source, *ids[at:].tolist(), end]), torch.tensor([*target, sentinel, end])


# %% name="spans-mistake-source-without-end"
# %%mistake spans
# The source lacks the end token. Source and target both end with `end`.
def corrupt(ids, spans, sentinel, end):
    source, target, at = [], [], 0
    for i, (first, last) in enumerate(spans.tolist()):
        source += [*ids[at:first].tolist(), sentinel + i]
        target += [sentinel + i, *ids[first:last].tolist()]
        at = last
    return torch.tensor([*source, *ids[at:].tolist()]), torch.tensor([*target, sentinel + len(spans), end])


# %% name="spans-mistake-no-end"
# %%mistake spans
# The end token is missing. Source and target both end with `end`.
def corrupt(ids, spans, sentinel, end):
    source, target, at = [], [], 0
    for i, (first, last) in enumerate(spans.tolist()):
        source += [*ids[at:first].tolist(), sentinel + i]
        target += [sentinel + i, *ids[first:last].tolist()]
        at = last
    return torch.tensor([*source, *ids[at:].tolist()]), torch.tensor([*target, sentinel + len(spans)])


# %% name="spans-mistake-places-move"
# %%mistake spans
# The places are those of the whole text. Once a span has been cut out of the list, all that follows has moved: cut from
# the right, or copy from left to right into a new list.
def corrupt(ids, spans, sentinel, end):
    source, target = ids.tolist(), []
    for i, (first, last) in enumerate(spans.tolist()):
        target += [sentinel + i, *source[first:last]]
        source[first:last] = [sentinel + i]
    return torch.tensor([*source, end]), torch.tensor([*target, sentinel + len(spans), end])


# %% name="spans-mistake-rest-lost"
# %%mistake spans
# What stands after the last span is missing in the source.
def corrupt(ids, spans, sentinel, end):
    source, target, at = [], [], 0
    for i, (first, last) in enumerate(spans.tolist()):
        source += [*ids[at:first].tolist(), sentinel + i]
        target += [sentinel + i, *ids[first:last].tolist()]
        at = last
    return torch.tensor([*source, end]), torch.tensor([*target, sentinel + len(spans), end])


# %% name="spans-mistake-last-included"
# %%mistake spans
# One token too many is cut out: the second number of a span is the place *after* its last token.
def corrupt(ids, spans, sentinel, end):
    source, target, at = [], [], 0
    for i, (first, last) in enumerate(spans.tolist()):
        source += [*ids[at:first].tolist(), sentinel + i]
        target += [sentinel + i, *ids[first : last + 1].tolist()]
        at = last + 1
    source += [*ids[at:].tolist(), end]
    return torch.tensor(source), torch.tensor([*target, sentinel + len(spans), end])


# %% name="spans-mistake-mask-for-each-token"
# %%mistake spans
# The sentinel stands once for every token of its span, so the input gives the length away. One sentinel stands for the
# whole span: how long it is, the model has to find out.
def corrupt(ids, spans, sentinel, end):
    source, target = ids.tolist(), []
    for i, (first, last) in enumerate(spans.tolist()):
        target += [sentinel + i, *source[first:last]]
        source[first:last] = [sentinel + i] * (last - first)
    return torch.tensor([*source, end]), torch.tensor([*target, sentinel + len(spans), end])


# %% name="spans-mistake-whole-text"
# %%mistake spans
# The target is the whole text. That is BART's denoising; T5's decoder writes only what was cut out.
def corrupt(ids, spans, sentinel, end):
    source, at = [], 0
    for i, (first, last) in enumerate(spans.tolist()):
        source += [*ids[at:first].tolist(), sentinel + i]
        at = last
    return torch.tensor([*source, *ids[at:].tolist(), end]), torch.tensor([*ids.tolist(), end])


# %% name="spans-other-from-the-right"
# %%other spans
# From the right, so that places do not move.
def corrupt(ids, spans, sentinel, end):
    source, target = ids.tolist(), [sentinel + len(spans), end]
    for i in range(len(spans) - 1, -1, -1):
        first, last = spans[i].tolist()
        target = [sentinel + i, *source[first:last], *target]
        source[first:last] = [sentinel + i]
    return torch.tensor([*source, end]), torch.tensor(target)


# %% name="spans-other-split"
# %%other spans
# The text cut at all the borders: every second piece is a span.
def corrupt(ids, spans, sentinel, end):
    pieces = torch.tensor_split(ids, spans.flatten())
    marks = torch.arange(sentinel, sentinel + len(spans) + 1)[:, None]
    source = [part for i, piece in enumerate(pieces[::2]) for part in (piece, marks[i])][:-1]
    target = [part for i, piece in enumerate(pieces[1::2]) for part in (marks[i], piece)]
    last = torch.tensor([end])
    return torch.cat([*source, last]), torch.cat([*target, marks[-1], last])


# %% name="spans-equivalent-numbers"
# %%equivalent spans
# torch.tensor makes the same of numbers and of tensors that hold one number.
source += [*ids[at:first], sentinel]
target += [sentinel, *ids[first:last]]
source += [*ids[at:], end]
for first, last in spans:
    source += [*ids[at:first].tolist(), sentinel]
    target += [sentinel, *ids[first:last].tolist()]
    at = last
    sentinel = sentinel + 1

# %% [markdown] name="contrast" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "3.4"}
# ## 3. The contrastive loss
#
# Write InfoNCE with in-batch negatives, from vectors that have any length.
#
# | | shape | |
# | --- | --- | --- |
# | `anchors`, `positives` | (B, C) | row i of one belongs to row i of the other |
# | `temperature` | float | τ |
# | returns `loss` | () float32, a tensor | the mean over the anchors |
# | returns `found` | float | the share of anchors whose own positive has the highest cosine of all candidates |
#
# The score of an anchor and a candidate is their cosine divided by τ; all positives of the batch are candidates.
#
# **What usually goes wrong:** the vectors are not brought to length 1; the softmax runs over the wrong axis; the sign.


# %% name="contrast-answer"
def contrast(anchors: Tensor, positives: Tensor, temperature: float) -> tuple[Tensor, float]:
    """The contrastive loss, and how often the own positive is the nearest."""
    ### BEGIN SOLUTION
    unit = [x / x.norm(dim=1)[:, None] for x in (anchors, positives)]
    scores = unit[0] @ unit[1].T / temperature  # (B, B)
    own = torch.arange(len(scores))
    return F.cross_entropy(scores, own), (scores.argmax(1) == own).float().mean().item()
    ### END SOLUTION


# %% name="contrast-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_pretraining_tasks", "contrast", contrast)

# %% [markdown] name="contrast-hint-1"
# Divide every vector by its own length. Then one matrix product gives all cosines, (B, B): a row for each anchor.

# %% [markdown] name="contrast-hint-2"
# It is a classification with B classes. The right class of row i is i: `F.cross_entropy(scores, torch.arange(B))`.

# %% name="contrast-parts"
contrast = FunctionQuestion(
    "contrast",
    returns=("loss", "found"),
    atol=1e-4,
    because="cosines in float32 are exact to 1e-7, and divided by a temperature of 0.05 to 1e-5",
)


def pairs(draw, n, width, noise, temperature):
    anchors = draw.normal(n, width)
    return {"anchors": anchors, "positives": anchors + noise * draw.normal(n, width), "temperature": temperature}


@contrast.case(points=1)
def unrelated(draw):
    """pairs that have nothing to do with each other"""
    return {"anchors": draw.normal(6, 4), "positives": draw.normal(6, 4), "temperature": 1.0}


@contrast.case(points=1)
def cold(draw):
    """pairs that resemble each other, at a low temperature"""
    return pairs(draw, 8, 6, 1.5, 0.2)


@contrast.case(points=2)
def long_vectors(draw):
    """vectors of very different lengths"""
    inputs = pairs(draw, 8, 6, 0.7, 0.5)
    inputs["positives"] = inputs["positives"] * torch.linspace(0.1, 20, 8)[:, None]
    inputs["anchors"] = inputs["anchors"] * torch.linspace(3, 0.2, 8)[:, None]
    return inputs


@contrast.invariant
def loss_is_not_negative(got, inputs):
    """a mean of −ln of shares cannot be negative"""
    return float(got[0]) >= 0


@contrast.invariant
def share_of_anchors(got, inputs):
    """`found` is a share, from 0 to 1"""
    return 0 <= got[1] <= 1


# %% name="contrast-mistake-no-length"
# %%mistake contrast
# The vectors are not brought to length 1. Then a long vector is near to everybody, and the model can make the loss
# small by growing.
def contrast(anchors, positives, temperature):
    scores = anchors @ positives.T / temperature
    own = torch.arange(len(scores))
    return F.cross_entropy(scores, own), (scores.argmax(1) == own).float().mean().item()


# %% name="contrast-mistake-only-anchors-of-length-1"
# %%mistake contrast
# Only the anchors were brought to length 1. A cosine needs both vectors of length 1.
def contrast(anchors, positives, temperature):
    scores = F.normalize(anchors, dim=-1) @ positives.T / temperature
    own = torch.arange(len(scores))
    return F.cross_entropy(scores, own), (scores.argmax(1) == own).float().mean().item()


# %% name="contrast-mistake-only-positives-of-length-1"
# %%mistake contrast
# Only the positives were brought to length 1. A cosine needs both vectors of length 1.
def contrast(anchors, positives, temperature):
    scores = anchors @ F.normalize(positives, dim=-1).T / temperature
    own = torch.arange(len(scores))
    return F.cross_entropy(scores, own), (scores.argmax(1) == own).float().mean().item()


# %% name="contrast-mistake-no-temperature"
# %%mistake contrast
# The temperature is not used: divide the cosines by it.
def contrast(anchors, positives, temperature):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T
    own = torch.arange(len(scores))
    return F.cross_entropy(scores, own), (scores.argmax(1) == own).float().mean().item()


# %% name="contrast-mistake-times-temperature"
# %%mistake contrast
# The scores are multiplied by the temperature. A low temperature must make them *larger*: divide.
def contrast(anchors, positives, temperature):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T * temperature
    own = torch.arange(len(scores))
    return F.cross_entropy(scores, own), (scores.argmax(1) == own).float().mean().item()


# %% name="contrast-mistake-other-axis"
# %%mistake contrast
# The softmax runs over the anchors: each *positive* looks for its anchor. Each anchor is to choose among the
# positives, so rows must be anchors.
def contrast(anchors, positives, temperature):
    scores = F.normalize(positives, dim=-1) @ F.normalize(anchors, dim=-1).T / temperature
    own = torch.arange(len(scores))
    return F.cross_entropy(scores, own), (scores.argmax(1) == own).float().mean().item()


# %% name="contrast-mistake-other-axis-in-the-loss"
# %%mistake contrast
# In the loss the softmax runs over the anchors: each *positive* looks for its anchor. Each anchor is to choose among
# the positives.
def contrast(anchors, positives, temperature):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.arange(len(scores))
    return F.cross_entropy(scores.T, own), (scores.argmax(1) == own).float().mean().item()


# %% name="contrast-mistake-sign"
# %%mistake contrast
# This is the logarithm of the share, which is negative and is to be made *large*. A loss is made small: change the
# sign.
def contrast(anchors, positives, temperature):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.arange(len(scores))
    return scores.log_softmax(1).diagonal().mean(), (scores.argmax(1) == own).float().mean().item()


# %% name="contrast-mistake-own-left-out"
# %%mistake contrast
# The own positive is left out of the sum below the fraction line. Then it is no share, and the "loss" can be negative
# without end.
def contrast(anchors, positives, temperature):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.arange(len(scores))
    others = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool), -math.inf)
    return (others.logsumexp(1) - scores.diagonal()).mean(), (scores.argmax(1) == own).float().mean().item()


# %% name="contrast-mistake-length-of-batch"
# %%mistake contrast
# The lengths are taken over the wrong axis: each *feature* was divided by its length over the batch. A vector is a
# row.
def contrast(anchors, positives, temperature):
    scores = F.normalize(anchors, dim=0) @ F.normalize(positives, dim=0).T / temperature
    own = torch.arange(len(scores))
    return F.cross_entropy(scores, own), (scores.argmax(1) == own).float().mean().item()


# %% name="contrast-mistake-sum"
# %%mistake contrast
# The losses of the anchors are added; the mean was asked for, so that the loss does not grow with the batch.
def contrast(anchors, positives, temperature):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.arange(len(scores))
    return F.cross_entropy(scores, own, reduction="sum"), (scores.argmax(1) == own).float().mean().item()


# %% name="contrast-other-by-hand"
# %%other contrast
# The formula, with exponentials.
def contrast(anchors, positives, temperature):
    cosines = torch.cosine_similarity(anchors[:, None], positives[None], dim=-1)
    powers = torch.exp(cosines / temperature)
    shares = powers.diagonal() / powers.sum(1)
    best = cosines.max(1).values == cosines.diagonal()
    return -shares.log().mean(), sum(best.tolist()) / len(best)


# %% name="contrast-other-loop"
# %%other contrast
# Anchor by anchor.
def contrast(anchors, positives, temperature):
    losses, hits = [], 0
    for i, anchor in enumerate(anchors):
        scores = torch.stack([anchor @ p / (anchor.norm() * p.norm()) for p in positives]) / temperature
        losses.append(torch.logsumexp(scores, 0) - scores[i])
        hits += int(scores.argmax() == i)
    return torch.stack(losses).mean(), hits / len(anchors)


# %% [markdown] name="numbers" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "3.4"}
# ## 4. How much does a text teach?
#
# A text has 512 tokens, none of them special. **Work out three numbers**, to three digits or more.
#
# 1. How many predictions does a causal model make of it (`causal`)? There is no [BOS].
# 2. At how many of its tokens does masked language modelling, with a rate of 0.15 and 80/10/10, ask for a word that
#    is still *visible as it was*, on average (`visible`)?
# 3. Contrastive learning with a batch of 64 texts and in-batch negatives: what is the loss, in nats, of a model that
#    gives the same vector to every text (`loss`)?
#
# **And one reading.** Two models with the same number of weights were pre-trained with the same texts for the same
# short time, one causal, one masked. The loss of the causal one is below what frequencies alone would give, that of the
# masked one is not yet. Which explanation fits what section 3.4 counted? Set `reason` to its letter.
#
# - **a** Looking at both sides is worse than looking at the left side.
# - **b** A masked model gets labels from few of its tokens, so it has learned from far fewer labels.
# - **c** Random words in the input make the masked model's embeddings useless.
# - **d** The causal model has fewer words to choose from at each place.

# %% name="numbers-answer"
causal = None
visible = None
loss = None
reason = ""
### BEGIN SOLUTION
causal = 511
visible = 7.68  # 512 · 0.15 · 0.1
loss = 4.16  # ln 64
reason = "b"
### END SOLUTION

# %% name="numbers-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_pretraining_tasks", "numbers", causal=causal, visible=visible, loss=loss, reason=reason)

# %% [markdown] name="numbers-hint-1"
# The first token has nothing before it. And of the tokens that are chosen, one in ten stays as it was.

# %% [markdown] name="numbers-hint-2"
# If all vectors are alike, all cosines are. Then each of the 64 candidates has the same share.

# %% name="numbers-parts"
numbers = ValueQuestion()
numbers.number("causal", points=1, title="predictions of a causal model")
numbers.number("visible", points=1, title="labels at visible words")
numbers.number("loss", points=1, title="the contrastive loss of a model that knows nothing")
numbers.choice("reason", "abcd", points=1, title="why the causal model is ahead")

# %% name="numbers-mistake-first-token"
# %%mistake numbers
# Nothing stands before the first token, so nobody predicts it.
causal = 512

# %% name="numbers-mistake-half"
# %%mistake numbers
# A label for every token but the first is what makes the causal objective quick; 15 % is the share of masked language
# modelling.
causal = 76.8

# %% name="numbers-mistake-all-chosen"
# %%mistake numbers
# That is the number of all chosen tokens. Eight in ten of them are masked, and one in ten is another word.
visible = 76.8

# %% name="numbers-mistake-random-included"
# %%mistake numbers
# A random word is visible, but it is not the word that stood there: only one in ten stays as it was.
visible = 15.36

# %% name="numbers-mistake-bits"
# %%mistake numbers
# That is the loss in bits. In nats it is the natural logarithm of 64.
loss = 6

# %% name="numbers-mistake-zero"
# %%mistake numbers
# Its own positive is as near as can be, but so are all others: it has 1/64 of the sum, not all of it.
loss = 0

# %% name="numbers-mistake-negatives-only"
# %%mistake numbers
# The own positive is a candidate too: there are 64, not 63.
loss = math.log(63)

# %% name="numbers-mistake-both-sides"
# %%mistake numbers
# Both sides tell more than one, and section 3.4 has not measured that they are worse.
reason = "a"

# %% name="numbers-mistake-random-words"
# %%mistake numbers
# One and a half per cent of the tokens are random words. That is too little to harm the embeddings, and it was not
# measured.
reason = "c"

# %% name="numbers-mistake-fewer-words"
# %%mistake numbers
# Both choose among all words of the vocabulary, at each place.
reason = "d"

# %% name="numbers-other-worked-out"
# %%other numbers
# Worked out step by step.
causal = 512 - 1
visible = 512 * 0.15 * (1 - 0.8 - 0.1)
loss = -math.log(1 / 64)
reason = "B"

# %% name="numbers-other-tensors"
# %%other numbers
# As tensors.
causal = torch.ones(512)[1:].sum()
visible = torch.tensor(7.68)
loss = F.cross_entropy(torch.ones(64, 64), torch.arange(64))
reason = "(b)"

# %% [markdown] name="end"
# ## Done?
#
# `hint("04_pretraining_tasks", "masking", 1)` gives a first hint; each question has two. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
