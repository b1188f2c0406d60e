# %% [markdown] name="title"
# # 3.4 预训练任务 · Pre-training tasks — exercises
#
# 本节的练习亲手写出三种预训练任务：全词掩码、片段破坏和双向的对比学习。
# 最后算一算一段文本能给出多少个标签，并解释为什么一种任务在短训练之后领先。
#
# You make the batches of two objectives and the loss of a third. Each question has a cell for your answer and a cell
# that checks it. Section 3.4 has all that you need. It also has code much like the second answer, and simpler forms of
# the first and the third: read it, close it, and only then write.

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
# ## 1. Whole-word masking
#
# A tokenizer cuts a rare word into pieces. If one piece alone is hidden, the others give it away. In **whole-word
# masking** (全词掩码) all pieces of a word are chosen together: so do later models of BERT's authors, and Cui et al.
# (2021) for Chinese, where the pieces are the characters of a word. Write it for one text, with all random numbers
# given, so that everybody gets the same result.
#
# | | shape | |
# | --- | --- | --- |
# | `ids` | (T,) int64 | the pieces of a text, with special tokens |
# | `word_of` | (T,) int64 | the number of the word that a piece belongs to, from 0 to W − 1; −1 at special tokens |
# | `choice`, `fate` | (W,) float64 | for each *word* a number from 0 to below 1 |
# | `random` | (T,) int64 | for each *piece* a random id |
# | `mask` | int | the id of [MASK] |
# | returns `inputs`, `labels` | (T,) int64 each | |
#
# A word is chosen if its `choice` is below 0.15. Its `fate` then decides for all its pieces (80, 10 and 10 per cent:
# Devlin et al. 2019, section 3.1): below 0.8 each becomes [MASK], from there to below 0.9 each becomes the random id of
# its own place, and from 0.9 on all stay. (BERT's own code draws a fate for each piece; here a word has one.) The label
# is the original id at each piece of a chosen word, and −100 elsewhere. Special tokens, padding included, are never
# chosen. The text may be cut out of a longer one: then some of the W words have no piece in it. Do not change the
# inputs.
#
# **What usually goes wrong:** word 0 is taken for a special token, an index of −1 reads the *last* word's number, or
# pieces that stay lose their label.


# %% name="masking-answer"
def mask_whole_words(
    ids: Tensor, word_of: Tensor, choice: Tensor, fate: Tensor, random: Tensor, mask: int
) -> tuple[Tensor, Tensor]:
    """Inputs and labels (T,) of masked language modelling with whole words."""
    ### BEGIN SOLUTION
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)  # (T,): at −1 the index reads something, and it does not count
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate < 0.9), random, ids)
    inputs = inputs.masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)
    ### END SOLUTION


# %% name="masking-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_pretraining_tasks", "masking", mask_whole_words)

# %% [markdown] name="masking-hint-1"
# A tensor can be the index of another: `choice[word_of]` has for each piece the number of its word, (T,). And what
# does it have at a special token?

# %% [markdown] name="masking-hint-2"
# First one boolean tensor `chosen`, (T,). The labels depend on it alone. Put each comparison in brackets: `&` binds
# more tightly than `<`.

# %% [markdown] name="masking-hint-3"
# The fate comes to the pieces as the choice does; the random ids are there for each piece already. Put them in for
# every fate below 0.9 first (`torch.where`); the masks then go over those below 0.8.

# %% name="masking-parts"
import math

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

masking = FunctionQuestion("mask_whole_words", returns=("inputs", "labels"), atol=1e-9, because="ids are whole numbers")


def text_of(draw, words, special=(), cut=0):
    """A text of words, each (choice, fate, pieces), and of special tokens, each told by how many words come before it.

    `cut` words at each end are not in the text. The others come in a drawn order; if nothing is cut, those between the
    first and the last.
    """
    fixed = max(cut, 1)
    between = (fixed + draw.order(len(words) - 2 * fixed)).tolist()
    words = [*words[:fixed], *(words[i] for i in between), *words[len(words) - fixed :]]
    word_of = []
    for number, (_, _, pieces) in enumerate(words):
        inside = cut <= number < len(words) - cut
        word_of += [-1] * special.count(number) + [number] * (pieces if inside else 0)
    word_of = torch.tensor(word_of + [-1] * special.count(len(words)))
    choice, fate = (torch.tensor([word[i] for word in words], dtype=torch.float64) for i in (0, 1))
    n = len(word_of)
    ids, random = 10 + 2 * draw.order(n) + (word_of < 0), 60 + draw.order(n)  # special tokens are odd
    mask = 4 + int(draw.order(5)[0])
    return {"ids": ids, "word_of": word_of, "choice": choice, "fate": fate, "random": random, "mask": mask}


@masking.case(points=1)
def masks(draw):
    """all chosen words become masks, each piece one"""
    words = [(0.1, 0.3, 2), (0.5, 0.2, 1), (0.14, 0.79, 3), (0.9, 0.6, 2), (0.3, 0.85, 2), (0.0, 0.1, 1)]
    return text_of(draw, words)


@masking.case(points=1)
def all_fates(draw):
    """words that become masks, words that become random ids, and words that stay"""
    words = [(0.1, 0.3, 2), (0.01, 0.85, 3), (0.05, 0.95, 2), (0.7, 0.85, 2), (0.8, 0.3, 1), (0.03, 0.81, 1)]
    return text_of(draw, [*words, (0.6, 0.97, 2), (0.12, 0.92, 1)])


@masking.case(points=1)
def boundaries(draw):
    """numbers that lie exactly on 0.15, 0.8 and 0.9"""
    words = [(0.15, 0.1, 2), (0.1, 0.8, 2), (0.02, 0.9, 3), (0.12, 0.0, 1), (0.1, 0.999, 1), (0.5, 0.8, 2)]
    return text_of(draw, words)


@masking.case(points=1)
def special_tokens(draw):
    """special tokens at both ends and in the middle, beside words that are chosen"""
    words = [(0.01, 0.5, 2), (0.2, 0.1, 1), (0.1, 0.91, 2), (0.9, 0.3, 3), (0.06, 0.2, 1), (0.05, 0.85, 2)]
    return text_of(draw, words, special=(0, 3, 6, 6, 6))


@masking.case(points=1)
def cut_out(draw):
    """a text cut out of a longer one"""
    words = [(0.02, 0.85, 1), (0.4, 0.1, 1)]
    words += [(0.1, 0.2, 2), (0.6, 0.3, 1), (0.04, 0.87, 3), (0.13, 0.93, 1)]
    return text_of(draw, [*words, (0.5, 0.5, 1), (0.08, 0.4, 2)], special=(2, 6), cut=2)


@masking.invariant
def special_tokens_stay(got, inputs):
    """special tokens must stay as they are, without a label"""
    special = inputs["word_of"] < 0
    return bool((got[0] == inputs["ids"])[special].all() and (got[1] == -100)[special].all())


@masking.invariant
def labels_are_originals(got, inputs):
    """a label must be −100, or the id that stood there before"""
    return bool(((got[1] == -100) | (got[1] == inputs["ids"])).all())


@masking.invariant
def words_are_whole(got, inputs):
    """of one word all pieces must have a label, or none"""
    labelled = got[1] != -100
    words = [labelled[inputs["word_of"] == number] for number in range(len(inputs["choice"]))]
    return all(bool(word.all()) or not word.any() for word in words)


# %% name="masking-mistake-special-as-last-word"
# %%mistake masking
# Special tokens are chosen too: an index of −1 reads the last number, so they have the fate of the last word. Leave
# them out: `word_of >= 0`.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = choice[word_of] < 0.15
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-special-as-first-word"
# %%mistake masking
# Special tokens are chosen too: they have the numbers of word 0 here. [CLS] and padding are no text: leave them out.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    word_of = word_of.clamp(min=0)
    chosen = choice[word_of] < 0.15
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-word-0"
# %%mistake masking
# Word 0 is never chosen. Only −1 stands for a special token; 0 is the number of a word: `word_of >= 0`.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of > 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-first-piece"
# %%mistake masking
# Only the first piece of a word is chosen. The pieces that are left tell which word it was: choose all of them.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    chosen[1:] &= word_of[1:] != word_of[:-1]
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-mask-at-first-piece"
# %%mistake masking
# The other pieces of a masked word are still visible, and tell which word it was. Each piece becomes a [MASK].
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    first = torch.cat([torch.tensor([True]), word_of[1:] != word_of[:-1]])
    inputs = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), random, ids)
    inputs = inputs.masked_fill(chosen & first & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-one-mask-a-word"
# %%mistake masking
# The text became shorter: one mask stands for a whole word. That is T5's way. Here each piece becomes a mask, so that
# it has a place at which it is predicted.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    first = torch.cat([torch.tensor([True]), word_of[1:] != word_of[:-1]])
    kept = ~chosen | (fate >= 0.8) | first
    return inputs[kept], ids.masked_fill(~chosen, -100)[kept]


# %% name="masking-mistake-random-by-word"
# %%mistake masking
# The random ids are read at the number of the word. There is one for each *piece*: `random[t]` belongs to place t.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate < 0.9), random[word_of], ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-random-of-first-piece"
# %%mistake masking
# All pieces of a word became the same random id, that of its first piece. They share the fate, not the id: each takes
# the one of its own place.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    first = [word_of.tolist().index(number) for number in word_of.tolist()]
    inputs = torch.where(chosen & (fate < 0.9), random[first], ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-words-counted"
# %%mistake masking
# The words were counted from the left of the text. `word_of` has their numbers: if the text was cut out of a longer
# one, its first word is not word 0.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    words = word_of[word_of >= 0].unique_consecutive()
    rank = (words == word_of[:, None]).long().argmax(1)
    chosen = (word_of >= 0) & (choice[rank] < 0.15)
    fate = fate[rank]
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-up-to"
# %%mistake masking
# A number that lies exactly on a boundary belongs to what comes after it: *below* 0.15, below 0.8, below 0.9.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] <= 0.15)
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate <= 0.9), random, ids).masked_fill(chosen & (fate <= 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-kept-without-label"
# %%mistake masking
# Words that stay have lost their label. They are chosen too, and the model is asked about them: that is what keeps it
# from being lazy at visible words.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~(chosen & (fate < 0.9)), -100)


# %% name="masking-mistake-masks-only"
# %%mistake masking
# Only masks have a label. The words that became random ids, and those that stay, were chosen as well.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(inputs != mask, -100)


# %% name="masking-mistake-all-masked"
# %%mistake masking
# All chosen words become masks. In fine-tuning there are no masks, and the model would never have been asked about a
# visible word.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    return ids.masked_fill(chosen, mask), ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-labels-of-damaged"
# %%mistake masking
# The labels are read from the damaged text, so the model is asked to predict [MASK]. A label is the *original* id.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, inputs.masked_fill(~chosen, -100)


# %% name="masking-mistake-all-labels"
# %%mistake masking
# Every word has a label. Then most of the loss is copying visible words, which is no task at all: −100 where nothing
# was chosen.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(word_of < 0, -100)


# %% name="masking-mistake-shares-exchanged"
# %%mistake masking
# Random ids and words that stay are exchanged: from 0.8 to below 0.9 the random ids, from 0.9 on the word itself.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate >= 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-random-over-masks"
# %%mistake masking
# Random ids went over the masks: every fate below 0.8 is below 0.9 too. Put the masks in last, or give random ids only
# from 0.8 on.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    inputs = torch.where(chosen & (fate < 0.9), random, ids.masked_fill(chosen & (fate < 0.8), mask))
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-nothing-stays"
# %%mistake masking
# Every chosen word is damaged. From 0.9 on it stays as it is, so that a visible word may be the right one.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    inputs = torch.where(chosen, random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-no-random-ids"
# %%mistake masking
# Random ids are missing, and the old word still stands there. From 0.8 on, 0.8 included, to below 0.9 they take its
# place.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    return ids.masked_fill(chosen & (fate < 0.8), mask), ids.masked_fill(~chosen, -100)


# %% name="masking-mistake-random-where-nothing-was-chosen"
# %%mistake masking
# Random ids also stand where nothing was chosen. The fate of a word counts only if the word is chosen.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen = (word_of >= 0) & (choice[word_of] < 0.15)
    fate = fate[word_of]
    inputs = torch.where((fate >= 0.8) & (fate < 0.9), random, ids).masked_fill(chosen & (fate < 0.8), mask)
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masking-other-word-by-word"
# %%other masking
# Word by word.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    inputs, labels = ids.clone(), torch.full_like(ids, -100)
    for number in (choice < 0.15).nonzero().flatten().tolist():
        pieces = word_of == number
        labels[pieces] = ids[pieces]
        if fate[number] < 0.8:
            inputs[pieces] = mask
        elif fate[number] < 0.9:
            inputs[pieces] = random[pieces]
    return inputs, labels


# %% name="masking-other-one-more-word"
# %%other masking
# Special tokens as one more word, which is never chosen: −1 is its index.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    chosen, fate = (torch.cat([draws, draws.new_ones(1)])[word_of] for draws in (choice, fate))
    chosen = chosen < 0.15
    kind = torch.bucketize(fate, fate.new_tensor([0.8, 0.9]), right=True)  # 0, 1, 2
    damaged = torch.stack([torch.full_like(ids, mask), random, ids]).gather(0, kind[None])[0]
    return torch.where(chosen, damaged, ids), torch.where(chosen, ids, -100)


# %% name="masking-other-lists"
# %%other masking
# In plain Python, piece by piece.
def mask_whole_words(ids, word_of, choice, fate, random, mask):
    inputs, labels = ids.tolist(), [-100] * len(ids)
    for place, number in enumerate(word_of.tolist()):
        if number != -1 and choice[number] < 0.15:
            labels[place] = inputs[place]
            inputs[place] = mask if fate[number] < 0.8 else int(random[place]) if fate[number] < 0.9 else inputs[place]
    return torch.tensor(inputs), torch.tensor(labels)


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
# ## 3. The contrastive loss in both directions
#
# CLIP (Radford et al. 2021) has pictures and captions: each picture chooses among the captions of the batch, and each
# caption among the pictures. Its loss is the mean of both directions. If two captions of one picture are in the batch,
# either fits the picture, so they must not be pushed away from it. Write this loss with groups.
#
# | | shape | |
# | --- | --- | --- |
# | `anchors`, `positives` | (N, C) float32 | row i of one belongs to row i of the other; of any length but 0 |
# | `temperature` | float | τ, above 0 |
# | `group` | (N,) int64 | pairs with the same number are of one group; the numbers have no order |
# | returns `loss` | () tensor | in the dtype of the vectors |
# | returns `found` | float | the share of the N *anchors* that find their own positive |
#
# The score of anchor i and positive j is their cosine divided by τ. It is **left out** where i ≠ j and both are of the
# same group; the own pair, i = j, always stays. All others in the batch are negatives. The loss of an anchor is −ln of
# the share that its own pair has in its row, $e^{s_{ii}} / \sum_j e^{s_{ij}}$, over the positives that are left. The
# loss of a positive is the same in its column, over the anchors that are left. Take the mean over N in each direction,
# then the mean of the two.
#
# An anchor finds its own positive if their score is higher than its score with *each* other positive that is left: a
# tie is not found. If no other is left, it is found.
#
# **What usually goes wrong:** what is left out gets the score 0, and $e^0 = 1$ still counts; the own pair is left out
# with its group; the softmax runs twice along the same axis.


# %% name="contrast-answer"
def contrast(anchors: Tensor, positives: Tensor, temperature: float, group: Tensor) -> tuple[Tensor, float]:
    """The contrastive loss in both directions, and the share of anchors that find their own positive."""
    ### BEGIN SOLUTION
    unit = [x / x.norm(dim=1)[:, None] for x in (anchors, positives)]
    own = torch.arange(len(group))
    is_own = own[:, None] == own
    scores = unit[0] @ unit[1].T / temperature  # (N, N): a row for each anchor
    scores = scores.masked_fill((group[:, None] == group) & ~is_own, -math.inf)
    loss = (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2
    best_other = scores.masked_fill(is_own, -math.inf).amax(1)
    return loss, (scores.diagonal() > best_other).double().mean().item()
    ### END SOLUTION


# %% name="contrast-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("04_pretraining_tasks", "contrast", contrast)

# %% [markdown] name="contrast-hint-1"
# Divide every vector by its own length. Then one matrix product gives all cosines, (N, N): a row for each anchor. A
# second (N, N) matrix, of booleans, says which of them to leave out: compare each group with each, and spare the
# diagonal.

# %% [markdown] name="contrast-hint-2"
# What is left out must add nothing to the sum: for which score $s$ is $e^s = 0$? Then each row is a classification with
# N classes, as in section 3.4, and the right class of row i is i. And where are the rows of the other direction?

# %% [markdown] name="contrast-hint-3"
# For `found`, compare the diagonal with the largest score of the *others* in each row. A copy in which the diagonal is
# −∞ as well has only the others.

# %% name="contrast-parts"
contrast = FunctionQuestion(
    "contrast",
    returns=("loss", "found"),
    atol=1e-4,
    because="cosines in float32 are exact to 1e-7, and divided by a temperature of 0.25 to 1e-6",
)


def of_length_1(vectors):
    return vectors / vectors.norm(dim=1)[:, None]


def with_groups(draw, index, width, temperature, near=1.0):
    """Pairs that are near those with the same index, with a drawn number for each index. Vectors of length 1."""
    n, index = len(index), torch.tensor(index)
    middles = near * draw.normal(n, width)[index]
    anchors, positives = (of_length_1(middles + draw.normal(n, width)) for _ in range(2))
    group = 3 + 7 * draw.order(n)[index]
    return {"anchors": anchors, "positives": positives, "temperature": temperature, "group": group}


@contrast.case(points=1)
def on_paper(draw):
    """six pairs along the axes, two of them of one group: cosines of 0 and 1, and ties"""
    axes, order = draw.order(4), draw.order(6)
    sides = [torch.tensor(side)[order] for side in ([0, 0, 1, 1, 2, 0], [0, 0, 1, 1, 2, 2])]
    lengths = [torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0, 8.0])[draw.order(6)][:, None] for _ in sides]
    anchors, positives = (length * torch.eye(4)[axes[side]] for side, length in zip(sides, lengths, strict=True))
    temperature = [0.25, 0.5, 2.0][int(draw.order(3)[0])]
    group = (4 + 3 * draw.order(5))[torch.tensor([0, 0, 1, 2, 3, 4])][order]
    return {"anchors": anchors, "positives": positives, "temperature": temperature, "group": group}


@contrast.case(points=1)
def no_groups(draw):
    """vectors of length 1, and each pair a group of its own"""
    return with_groups(draw, [7, 6, 5, 4, 3, 2, 1, 0], 5, 0.3, near=0.5)


@contrast.case(points=1)
def groups(draw):
    """vectors of length 1, in groups of one to three pairs"""
    return with_groups(draw, [0, 1, 0, 0, 2, 3, 1, 4, 2], 4, 0.5)


@contrast.case(points=1)
def long_vectors(draw):
    """vectors of very different lengths, in groups of one and two pairs"""
    inputs = with_groups(draw, [0, 1, 2, 0, 3, 4, 1], 6, 0.4)
    for side, first, last in (("anchors", 3, 0.2), ("positives", 0.1, 20)):
        inputs[side] = inputs[side] * torch.linspace(first, last, 7)[draw.order(7)][:, None]
    return inputs


@contrast.invariant
def loss_is_not_negative(got, inputs):
    """a mean of −ln of shares cannot be negative"""
    return float(got[0]) >= 0


@contrast.invariant
def loss_has_a_bound(got, inputs):
    """scores lie between −1/τ and 1/τ, so the loss is at most ln N + 2/τ"""
    return float(got[0]) <= math.log(len(inputs["group"])) + 2 / inputs["temperature"] + 1e-4


@contrast.invariant
def share_of_anchors(got, inputs):
    """`found` must be a number of anchors divided by N"""
    count = got[1] * len(inputs["group"])
    return 0 <= got[1] <= 1 and abs(count - round(count)) < 1e-4


# %% name="contrast-mistake-one-direction"
# %%mistake contrast
# The loss has one direction only, or the softmax ran twice along the same axis. In the other one each *positive*
# chooses among the anchors: the same with the transposed scores.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = F.cross_entropy(scores, right)
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-other-direction"
# %%mistake contrast
# Only the positives choose among the anchors here. The anchors also choose among the positives; the loss is the mean of
# both directions.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = F.cross_entropy(scores.T, right)
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-both-axes-at-once"
# %%mistake contrast
# The softmax ran over all N · N scores at once. Each anchor chooses among the positives of its own row, and each
# positive among the anchors of its own column.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    loss = (scores.logsumexp((0, 1)) - scores.diagonal()).mean()
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-directions-added"
# %%mistake contrast
# The two directions are added. Their mean was asked for.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-sum"
# %%mistake contrast
# The losses of the N rows, and of the N columns, are added. The mean was asked for, so that the loss does not grow with
# the batch.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right, reduction="sum") + F.cross_entropy(scores.T, right, reduction="sum")) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-sign"
# %%mistake contrast
# This is the logarithm of the share, which is negative and is to be made *large*. A loss is made small: change the
# sign.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    loss = (scores.log_softmax(0).diagonal() + scores.log_softmax(1).diagonal()).mean() / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-no-length"
# %%mistake contrast
# The vectors are not brought to length 1. Then a long vector is near to everybody, and the model can make the loss
# small by growing.
def contrast(anchors, positives, temperature, group):
    scores = anchors @ positives.T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-only-anchors-of-length-1"
# %%mistake contrast
# Only the anchors were brought to length 1. A cosine needs both vectors of length 1.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ positives.T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-only-positives-of-length-1"
# %%mistake contrast
# Only the positives were brought to length 1. A cosine needs both vectors of length 1.
def contrast(anchors, positives, temperature, group):
    scores = anchors @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-length-of-batch"
# %%mistake contrast
# The lengths are taken over the wrong axis: each *feature* was divided by its length over the batch. A vector is a row.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=0) @ F.normalize(positives, dim=0).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-no-temperature"
# %%mistake contrast
# The temperature is not used: divide the cosines by it.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-times-temperature"
# %%mistake contrast
# The scores are multiplied by the temperature. A low temperature must make them *larger*: divide.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T * temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-groups-ignored"
# %%mistake contrast
# The groups are not used. Two captions of one picture are pushed apart, though each fits: leave such pairs out.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-zeros"
# %%mistake contrast
# Pairs of one group have score 0 instead of −∞. But e^0 = 1, so they still count in the sum.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, 0.0)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-lowest-cosine"
# %%mistake contrast
# Pairs of one group have the lowest cosine, −1. The power of that is small, but not 0, so they still count in the sum:
# only −∞ leaves them out.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -1 / temperature)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-own-left-out"
# %%mistake contrast
# The own pair is left out with its group, but only in the sum below the fraction line. Then it is no share, and the
# "loss" can be negative without end.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    others = scores.masked_fill(own, -math.inf)
    loss = (others.logsumexp(1) + others.logsumexp(0) - 2 * scores.diagonal()).mean() / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-own-at-minus-infinity"
# %%mistake contrast
# The own pair has score −∞, for it is of its own group. It must stay: leave out the places where the groups are the
# same *and* the rows differ.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill(group[:, None] == group, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-other-groups-left-out"
# %%mistake contrast
# The wrong pairs are left out: those of *different* groups. They are the negatives. Leave out those of the same group,
# without the own one.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill(group[:, None] != group, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-neighbours-only"
# %%mistake contrast
# Only neighbours of one group are left out. A group may stand anywhere in the batch, and may have three pairs: compare
# every row with every other.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    right = torch.arange(len(group))
    same = (group[:, None] == group) & ((right[:, None] - right).abs() == 1)
    scores = scores.masked_fill(same, -math.inf)
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-left-out-in-one-direction"
# %%mistake contrast
# In the second direction the pairs of one group are negatives again. Leave them out in both.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    every = scores
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(every.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-group-as-positives"
# %%mistake contrast
# All pairs of a group count as right. That is supervised contrastive learning (Khosla et al. 2020). Here only the own
# pair is right, and the others of its group are left out.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    same = group[:, None] == group
    group_only = scores.masked_fill(~same, -math.inf)
    every = scores
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    losses = [every.logsumexp(axis) - group_only.logsumexp(axis) for axis in (0, 1)]
    loss = torch.stack(losses).mean()
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-found-among-all"
# %%mistake contrast
# For `found`, pairs of one group still compete. What is left out of the loss is left out here, too.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    every = scores
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (every.diagonal() > every.masked_fill(own, -math.inf).max(1).values).double().mean().item()


# %% name="contrast-mistake-found-with-ties"
# %%mistake contrast
# A tie counts as found. An own positive that another one equals cannot be told from it: it must be *higher*.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() == scores.max(1).values).double().mean().item()


# %% name="contrast-mistake-found-by-argmax"
# %%mistake contrast
# With `argmax` a tie counts as found whenever the own positive comes first. It must be *higher* than each other.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.argmax(1) == right).double().mean().item()


# %% name="contrast-mistake-found-in-columns"
# %%mistake contrast
# `found` asks which positives find their anchor. It was to be counted for the anchors: by rows.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return loss, (scores.diagonal() > scores.masked_fill(own, -math.inf).max(0).values).double().mean().item()


# %% name="contrast-mistake-found-in-both-directions"
# %%mistake contrast
# `found` is the mean of both directions. Only the loss has two; `found` is the share of the anchors.
def contrast(anchors, positives, temperature, group):
    scores = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T / temperature
    own = torch.eye(len(group), dtype=torch.bool)
    scores = scores.masked_fill((group[:, None] == group) & ~own, -math.inf)
    right = torch.arange(len(group))
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    other = scores.masked_fill(own, -math.inf)
    found = [(scores.diagonal() > other.max(axis).values).double().mean().item() for axis in (0, 1)]
    return loss, sum(found) / 2


# %% name="contrast-other-anchor-by-anchor"
# %%other contrast
# Pair by pair, in loops.
def contrast(anchors, positives, temperature, group):
    def direction(left, right):
        losses, hits = [], 0
        for i in range(len(left)):
            js = [j for j in range(len(left)) if j == i or group[j] != group[i]]
            scores = [left[i] @ right[j] / (left[i].norm() * right[j].norm()) / temperature for j in js]
            own = scores.pop(js.index(i))
            losses.append(torch.stack([own, *scores]).logsumexp(0) - own)
            hits += all(bool(own > other) for other in scores)
        return torch.stack(losses).mean(), hits / len(left)

    loss, found = direction(anchors, positives)
    return (loss + direction(positives, anchors)[0]) / 2, found


# %% name="contrast-other-exponentials"
# %%other contrast
# The formula, with exponentials and a matrix of ones and zeros.
def contrast(anchors, positives, temperature, group):
    n = len(group)
    left = torch.eye(n) + (group.view(n, 1) != group.view(1, n)).float()
    scores = torch.cosine_similarity(anchors[:, None], positives[None], dim=-1) / temperature
    powers = torch.exp(scores) * left.to(scores.dtype)
    own = powers.diagonal()
    loss = -0.5 * torch.log(own * own / (powers.sum(0) * powers.sum(1))).mean()
    higher = (scores.diagonal()[:, None] <= scores) & (left > 0)
    return loss, sum(row == 1 for row in higher.sum(1).tolist()) / n


# %% name="contrast-other-two-matrices"
# %%other contrast
# A penalty of −∞ is added, and the two directions are stacked.
def contrast(anchors, positives, temperature, group):
    u, v = (x / x.square().sum(1, keepdim=True).sqrt() for x in (anchors, positives))
    penalty = torch.zeros(len(group), len(group), dtype=u.dtype)
    for i in range(len(group)):
        for j in range(len(group)):
            if i != j and group[i] == group[j]:
                penalty[i, j] = -math.inf
    scores = torch.einsum("ic,jc->ij", u, v) / temperature + penalty
    loss = F.cross_entropy(torch.cat([scores, scores.T]), torch.arange(len(group)).repeat(2))
    rivals = (scores >= scores.diagonal()[:, None]).sum(1) - 1
    return loss, (rivals == 0).sum().item() / len(group)


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
# `hint("04_pretraining_tasks", "masking", 1)` gives a first hint; each question has two or three. `lmbook check` on
# this notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
