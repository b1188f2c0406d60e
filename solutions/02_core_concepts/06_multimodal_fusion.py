# %% [markdown] name="title"
# # 2.6 多模态融合 · Multimodal fusion — exercises
#
# 本节的练习写出三种融合的核心：晚期融合的相似度表，早期融合的拼接与掩码，以及从词到图像区域的交叉注意力。
# 最后计算两种融合的代价，并说清先求平均会忘掉什么。
#
# You write the places where words and pictures meet. Each question has a cell for your answer and a cell that checks
# it. Section 2.6 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 06_multimodal_fusion

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="late" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "2.6"}
# ## 1. Late fusion: one vector each, and a table of similarities
#
# Each picture becomes one vector: the **mean of its real regions**. Compare it with the vector of every sentence by the
# **cosine**.
#
# | | shape | |
# | --- | --- | --- |
# | `regions` | (B, R, C) | vectors of regions; pictures with fewer regions are padded |
# | `region_mask` | (B, R) bool | True at a real region; each picture has one or more |
# | `sentences` | (N, C) | one vector for each sentence, of any length |
# | returns | (B, N) | cosine of picture b and sentence n, from -1 to 1 |
#
# Do not change the arguments.
#
# **What usually goes wrong:** padding is counted in the mean; vectors are not brought to length 1; the cosine is taken
# before the mean.


# %% name="late-answer"
def similarities(regions: Tensor, region_mask: Tensor, sentences: Tensor) -> Tensor:
    """Cosines of pictures and sentences, (B, N)."""
    ### BEGIN SOLUTION
    pooled = (regions * region_mask.unsqueeze(2)).sum(1)  # (B, C): the mean but for its length, which does not matter
    return F.normalize(pooled) @ F.normalize(sentences).T
    ### END SOLUTION


# %% name="late-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_multimodal_fusion", "late", similarities)

# %% [markdown] name="late-hint-1"
# A masked mean is a sum over the real regions divided by how many there are. Give the mask a third axis, so that it
# fits (B, R, C).

# %% [markdown] name="late-hint-2"
# The cosine is the dot product of vectors of length 1. `F.normalize(x, dim=1)` brings rows to length 1; one `@` gives
# the whole table.

# %% name="late-parts"
import math

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

late = FunctionQuestion(
    "similarities",
    returns=("cosines",),
    atol=1e-5,
    because="cosines carry 7 digits in float32",
)


def pictures(draw, counts, n, width):
    longest = max(counts)
    mask = torch.arange(longest) < torch.tensor(counts)[:, None]
    return {
        "regions": draw.normal(len(counts), longest, width) + 1,
        "region_mask": mask,
        "sentences": 3 * draw.normal(n, width),
    }


@late.case(points=1)
def all_real(draw):
    """three pictures of four regions each, two sentences"""
    return pictures(draw, [4, 4, 4], 2, 6)


@late.case(points=2)
def padded(draw):
    """pictures of one, three and five regions; padding is not zero"""
    return pictures(draw, [1, 3, 5], 4, 6)


@late.case(points=1)
def one_each(draw):
    """one picture and one sentence"""
    return pictures(draw, [2], 1, 3)


@late.invariant
def between_minus_one_and_one(got, inputs):
    """a cosine must lie between -1 and 1"""
    return bool((got.abs() <= 1 + 1e-5).all())


# %% name="late-mistake-padding-in-mean"
# %%mistake late
# Padding is counted in the mean. Multiply by the mask, and divide by the number of real regions.
def similarities(regions, region_mask, sentences):
    return F.normalize(regions.mean(1), dim=1) @ F.normalize(sentences, dim=1).T


# %% name="late-mistake-no-length"
# %%mistake late
# These are dot products: a long vector seems more similar. Bring both sides to length 1.
def similarities(regions, region_mask, sentences):
    real = region_mask[..., None].float()
    return (regions * real).sum(1) / real.sum(1) @ sentences.T


# %% name="late-mistake-one-side"
# %%mistake late
# Only the pictures have length 1. A cosine needs both sides.
def similarities(regions, region_mask, sentences):
    real = region_mask[..., None].float()
    return F.normalize((regions * real).sum(1), dim=1) @ sentences.T


# %% name="late-mistake-cosine-before-mean"
# %%mistake late
# Each region is brought to length 1 before the mean, so that a faint region counts as much as a clear one. Take
# the mean first.
def similarities(regions, region_mask, sentences):
    pooled = (F.normalize(regions, dim=2) * region_mask[..., None]).sum(1)
    return F.normalize(pooled, dim=1) @ F.normalize(sentences, dim=1).T


# %% name="late-mistake-transposed"
# %%mistake late
# The table is turned: a row for each sentence. The question asks for a row for each picture.
def similarities(regions, region_mask, sentences):
    real = region_mask[..., None].float()
    pooled = (regions * real).sum(1) / real.sum(1)
    return F.normalize(sentences, dim=1) @ F.normalize(pooled, dim=1).T


# %% name="late-mistake-mean-of-cosines"
# %%mistake late
# This is the mean of the regions' cosines. Take the mean of the vectors first, then one cosine.
def similarities(regions, region_mask, sentences):
    cosines = F.normalize(regions, dim=2) @ F.normalize(sentences, dim=1).T * region_mask[..., None]
    return cosines.sum(1) / region_mask.sum(1, keepdim=True)


# %% name="late-mistake-sentences-only"
# %%mistake late
# Only the sentences have length 1. A cosine needs both sides.
def similarities(regions, region_mask, sentences):
    real = region_mask[..., None].float()
    return (regions * real).sum(1) / real.sum(1) @ F.normalize(sentences, dim=1).T


# %% name="late-mistake-columns"
# %%mistake late
# The columns are brought to length 1. It is the rows that are vectors: `dim=1`.
def similarities(regions, region_mask, sentences):
    real = region_mask[..., None].float()
    return F.normalize((regions * real).sum(1) / real.sum(1), dim=0) @ F.normalize(sentences, dim=0).T


# %% name="late-other-loop"
# %%other late
# Picture by picture, sentence by sentence.
def similarities(regions, region_mask, sentences):
    rows = []
    for picture, mask in zip(regions, region_mask, strict=True):
        mean = picture[mask].mean(0)
        rows.append(torch.stack([F.cosine_similarity(mean, one, dim=0) for one in sentences]))
    return torch.stack(rows)


# %% name="late-other-einsum"
# %%other late
# The sum over real regions points the same way as their mean, so no division is needed.
def similarities(regions, region_mask, sentences):
    pooled = torch.einsum("brc,br->bc", regions, region_mask.float())
    dots = torch.einsum("bc,nc->bn", pooled, sentences)
    return dots / pooled.norm(dim=1)[:, None] / sentences.norm(dim=1)


# %% [markdown] name="early" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "2.6"}
# ## 2. Early fusion: one sequence out of two
#
# Put words and regions into one sequence for an ordinary encoder. It must still know what is a word and what is a
# region, so each gets the vector of its kind added.
#
# | | shape | |
# | --- | --- | --- |
# | `words` | (B, T, C) | word vectors |
# | `regions` | (B, R, F) | features of regions; F need not be C |
# | `project` | (F, C) | a matrix from features to the width of words |
# | `kinds` | (2, C) | the vector of words, the vector of regions |
# | `word_mask`, `region_mask` | (B, T), (B, R) bool | True at real elements |
# | returns `sequence` | (B, T + R, C) | words first; padding is treated like the rest, only the mask marks it |
# | returns `mask` | (B, T + R) bool | which elements are real |
#
# **What usually goes wrong:** the kinds are exchanged; the kind is added before the projection; mask and sequence are
# joined in different orders.


# %% name="early-answer"
def join(
    words: Tensor, regions: Tensor, project: Tensor, kinds: Tensor, word_mask: Tensor, region_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """One sequence of words and regions, and its mask."""
    ### BEGIN SOLUTION
    sequence = torch.cat([words + kinds[0], regions @ project + kinds[1]], dim=1)  # (B, T + R, C)
    mask = torch.cat([word_mask, region_mask], dim=1)  # (B, T + R)
    return sequence, mask
    ### END SOLUTION


# %% name="early-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_multimodal_fusion", "early", join)

# %% [markdown] name="early-hint-1"
# First bring the regions to width C. Then both are (B, something, C) and can stand one behind the other.

# %% [markdown] name="early-hint-2"
# `torch.cat([...], dim=1)` joins along the sequence. `kinds[0]` is (C): it is added to every word.

# %% name="early-parts"
early = FunctionQuestion(
    "join",
    returns=("sequence", "mask"),
    atol=1e-5,
    because="sums of up to 6 products of values of about 1 in float32",
)


def elements(draw, n_words, n_regions, width):
    longest = max(n_words), max(n_regions)
    masks = [torch.arange(n) < torch.tensor(c)[:, None] for n, c in zip(longest, (n_words, n_regions), strict=True)]
    return {
        "words": draw.normal(len(n_words), longest[0], 4),
        "regions": draw.normal(len(n_words), longest[1], width),
        "project": draw.normal(width, 4),
        "kinds": draw.normal(2, 4),
        "word_mask": masks[0],
        "region_mask": masks[1],
    }


@early.case(points=1)
def same_width(draw):
    """three words and three regions, features as wide as words"""
    return elements(draw, [3, 3], [3, 3], 4)


@early.case(points=2)
def other_width(draw):
    """features of another width; sentences and pictures of different lengths"""
    return elements(draw, [5, 2, 3], [1, 4, 3], 6)


@early.case(points=1)
def one_region(draw):
    """a single region, as when the whole picture is one vector"""
    return elements(draw, [4], [1], 6)


# %% name="early-mistake-kinds-exchanged"
# %%mistake early
# The kinds are exchanged: `kinds[0]` is the vector of words, `kinds[1]` that of regions.
def join(words, regions, project, kinds, word_mask, region_mask):
    sequence = torch.cat([words + kinds[1], regions @ project + kinds[0]], dim=1)
    return sequence, torch.cat([word_mask, region_mask], dim=1)


# %% name="early-mistake-no-kinds"
# %%mistake early
# The kinds are not added. The encoder cannot tell words from regions then, for it does not know the order.
def join(words, regions, project, kinds, word_mask, region_mask):
    sequence = torch.cat([words, regions @ project], dim=1)
    return sequence, torch.cat([word_mask, region_mask], dim=1)


# %% name="early-mistake-regions-first"
# %%mistake early
# The regions stand first in the sequence. Words come first, in the sequence and in the mask.
def join(words, regions, project, kinds, word_mask, region_mask):
    sequence = torch.cat([regions @ project + kinds[1], words + kinds[0]], dim=1)
    return sequence, torch.cat([region_mask, word_mask], dim=1)


# %% name="early-mistake-padding-ignored"
# %%mistake early
# The mask says that everything is real. Then the encoder reads the padding of the shorter sentences and pictures.
def join(words, regions, project, kinds, word_mask, region_mask):
    sequence = torch.cat([words + kinds[0], regions @ project + kinds[1]], dim=1)
    return sequence, torch.ones(sequence.shape[:2], dtype=torch.bool)


# %% name="early-mistake-mask-in-other-order"
# %%mistake early
# The mask is joined in another order than the sequence. In both, words come first.
def join(words, regions, project, kinds, word_mask, region_mask):
    sequence = torch.cat([words + kinds[0], regions @ project + kinds[1]], dim=1)
    return sequence, torch.cat([region_mask, word_mask], dim=1)


# %% name="early-mistake-padding-zeroed"
# %%mistake early
# The padding is set to 0. Treat it like the rest; only the mask says what is real.
def join(words, regions, project, kinds, word_mask, region_mask):
    mask = torch.cat([word_mask, region_mask], dim=1)
    return torch.cat([words + kinds[0], regions @ project + kinds[1]], dim=1) * mask[..., None], mask


# %% name="early-other-fill"
# %%other early
# An empty sequence that is filled in two parts.
def join(words, regions, project, kinds, word_mask, region_mask):
    n, length = words.size(1), words.size(1) + regions.size(1)
    sequence = torch.empty(words.size(0), length, words.size(2))
    sequence[:, :n] = words + kinds[0]
    sequence[:, n:] = torch.einsum("brf,fc->brc", regions, project) + kinds[1]
    return sequence, torch.hstack([word_mask, region_mask])


# %% name="early-other-index"
# %%other early
# The kinds looked up by a segment number, as an embedding would.
def join(words, regions, project, kinds, word_mask, region_mask):
    segment = torch.tensor([0] * words.size(1) + [1] * regions.size(1))
    sequence = torch.cat((words, F.linear(regions, project.T)), dim=-2) + kinds[segment]
    return sequence, torch.cat((word_mask, region_mask), dim=-1)


# %% [markdown] name="cross" question={"points": 5, "difficulty": 3, "minutes": 25, "section": "2.6"}
# ## 3. Cross-attention: words look at regions
#
# Each word asks; the regions answer. Regions that are padding get no weight. A picture may be **missing** altogether:
# then nothing is found, and both results are zero, not NaN. Do not change the arguments.
#
# | | shape | |
# | --- | --- | --- |
# | `words` | (B, T, C) | the queries come from here |
# | `regions` | (B, R, F) | keys and values come from here |
# | `w_query`, `w_key`, `w_value` | (C, D), (F, D), (F, D) | applied as `x @ w` |
# | `region_mask` | (B, R) bool | True at a real region; may be False everywhere |
# | returns `found` | (B, T, D) | what each word finds |
# | returns `weights` | (B, T, R) | how much it takes from each region |
#
# **What usually goes wrong:** queries and keys change sides; the scale; the mask on the wrong axis; rows of NaN.


# %% name="cross-answer"
def look(
    words: Tensor, regions: Tensor, w_query: Tensor, w_key: Tensor, w_value: Tensor, region_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-attention from words to regions: what is found, and the weights."""
    ### BEGIN SOLUTION
    scores = (words @ w_query) @ (regions @ w_key).mT / math.sqrt(w_key.size(1))  # (B, T, R)
    hidden = ~region_mask.unsqueeze(1)  # (B, 1, R)
    weights = torch.softmax(scores.masked_fill(hidden, -math.inf), dim=2).masked_fill(hidden, 0.0)
    return weights @ (regions @ w_value), weights
    ### END SOLUTION


# %% name="cross-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_multimodal_fusion", "cross", look)

# %% [markdown] name="cross-hint-1"
# Who shares out attention? Each word, over the regions. So the scores are (B, T, R) and the softmax runs over R.

# %% [markdown] name="cross-hint-2"
# The mask speaks about regions: (B, 1, R) fits the scores. Hide before the softmax. Which score has exp(score) = 0?

# %% [markdown] name="cross-hint-3"
# A row in which all is hidden becomes NaN. What must stand there, and when can you put it there?

# %% name="cross-parts"
cross = FunctionQuestion(
    "look",
    returns=("found", "weights"),
    atol=1e-5,
    because="sums of up to 8 products of values of about 1 in float32",
)


def asked(draw, counts, n_words, d=8):
    longest = max(max(counts), 1)
    return {
        "words": draw.normal(len(counts), n_words, 6),
        "regions": draw.normal(len(counts), longest, 5),
        "w_query": draw.normal(6, d) / 2,
        "w_key": draw.normal(5, d) / 2,
        "w_value": draw.normal(5, d) / 2,
        "region_mask": torch.arange(longest) < torch.tensor(counts)[:, None],
    }


@cross.case(points=2)
def all_regions(draw):
    """two pictures of four regions, three words"""
    return asked(draw, [4, 4], 3)


@cross.case(points=1)
def padded_regions(draw):
    """pictures of two, five and three regions, queries and keys of width 4"""
    return asked(draw, [2, 5, 3], 4, d=4)


@cross.case(points=2)
def missing_picture(draw):
    """pictures of four and of two regions, and one that is missing"""
    return asked(draw, [4, 0, 2], 2)


@cross.invariant
def hidden_regions_have_no_weight(got, inputs):
    """a region that is padding has weight"""
    return bool((got[1].masked_fill(inputs["region_mask"][:, None], 0.0) == 0).all())


@cross.invariant
def rows_sum_to_one_or_zero(got, inputs):
    """the weights of a word must sum to 1 over the regions, or to 0 where the picture is missing"""
    expected = inputs["region_mask"].any(1)[:, None].expand(got[1].shape[:2]).to(got[1].dtype)
    return torch.allclose(got[1].sum(-1), expected, atol=1e-5)


# %% name="cross-mistake-nan"
# %%mistake cross
# All is right except where the picture is missing: there the softmax divides 0 by 0. Fill those weights with 0.
def look(words, regions, w_query, w_key, w_value, region_mask):
    scores = (words @ w_query) @ (regions @ w_key).mT / math.sqrt(w_key.size(1))
    weights = torch.softmax(scores.masked_fill(~region_mask[:, None], -math.inf), dim=-1)
    return weights @ (regions @ w_value), weights


# %% name="cross-mistake-no-mask"
# %%mistake cross
# The mask is not used, so words look at padding, and at a picture that is not there.
def look(words, regions, w_query, w_key, w_value, region_mask):
    weights = torch.softmax((words @ w_query) @ (regions @ w_key).mT / math.sqrt(w_key.size(1)), dim=-1)
    return weights @ (regions @ w_value), weights


# %% name="cross-mistake-over-words"
# %%mistake cross
# The softmax runs over the words: each region shares out its attention. It is the words that look, so it must run over
# the regions.
def look(words, regions, w_query, w_key, w_value, region_mask):
    scores = (words @ w_query) @ (regions @ w_key).mT / math.sqrt(w_key.size(1))
    weights = torch.softmax(scores, dim=1).masked_fill(~region_mask[:, None], 0.0)
    return weights @ (regions @ w_value), weights


# %% name="cross-mistake-no-scale"
# %%mistake cross
# The scores are not divided by √D, the root of the width of a key.
def look(words, regions, w_query, w_key, w_value, region_mask):
    hidden = ~region_mask[:, None]
    scores = ((words @ w_query) @ (regions @ w_key).mT).masked_fill(hidden, -math.inf)
    weights = torch.softmax(scores, dim=-1).masked_fill(hidden, 0.0)
    return weights @ (regions @ w_value), weights


# %% name="cross-mistake-keys-as-values"
# %%mistake cross
# The keys are mixed in place of the values. What a region offers to be found by is one thing, what it hands over
# another.
def look(words, regions, w_query, w_key, w_value, region_mask):
    hidden = ~region_mask[:, None]
    scores = ((words @ w_query) @ (regions @ w_key).mT / math.sqrt(w_key.size(1))).masked_fill(hidden, -math.inf)
    weights = torch.softmax(scores, dim=-1).masked_fill(hidden, 0.0)
    return weights @ (regions @ w_key), weights


# %% name="cross-mistake-mask-after"
# %%mistake cross
# The mask comes after the softmax only: padding has already taken its share, and the rest sums to less than 1.
def look(words, regions, w_query, w_key, w_value, region_mask):
    scores = (words @ w_query) @ (regions @ w_key).mT / math.sqrt(w_key.size(1))
    weights = torch.softmax(scores, dim=-1).masked_fill(~region_mask[:, None], 0.0)
    return weights @ (regions @ w_value), weights


# %% name="cross-mistake-large-negative"
# %%mistake cross
# A large negative number stands for minus infinity, so the words share a missing picture out evenly among its padding.
# Set the hidden weights to 0 after the softmax.
def look(words, regions, w_query, w_key, w_value, region_mask):
    scores = (words @ w_query) @ (regions @ w_key).mT / math.sqrt(w_key.size(1))
    weights = torch.softmax(scores.masked_fill(~region_mask[:, None], -1e9), dim=-1)
    return weights @ (regions @ w_value), weights


# %% name="cross-mistake-score-zero"
# %%mistake cross
# A score of 0 is no weight of 0, for exp(0) = 1. Hide with minus infinity before the softmax.
def look(words, regions, w_query, w_key, w_value, region_mask):
    scores = (words @ w_query) @ (regions @ w_key).mT / math.sqrt(w_key.size(1))
    weights = torch.softmax(scores * region_mask[:, None], dim=-1)
    return weights @ (regions @ w_value), weights


# %% name="cross-mistake-score-zero-then-hidden"
# %%mistake cross
# Padding has weight 0 in the end, but with a score of 0 it has taken its share before: exp(0) = 1. The rest then sums
# to less than 1. Hide with minus infinity before the softmax.
def look(words, regions, w_query, w_key, w_value, region_mask):
    scores = (words @ w_query) @ (regions @ w_key).mT / math.sqrt(w_key.size(1))
    weights = torch.softmax(scores * region_mask[:, None], dim=-1) * region_mask[:, None]
    return weights @ (regions @ w_value), weights


# %% name="cross-mistake-scale-of-words"
# %%mistake cross
# The scores are divided by √C, the root of the width of the words. Divide by √D, D being the width of queries and keys.
def look(words, regions, w_query, w_key, w_value, region_mask):
    hidden = ~region_mask[:, None]
    scores = ((words @ w_query) @ (regions @ w_key).mT / math.sqrt(words.size(2))).masked_fill(hidden, -math.inf)
    weights = torch.softmax(scores, dim=-1).masked_fill(hidden, 0.0)
    return weights @ (regions @ w_value), weights


# %% name="cross-other-einsum"
# %%other cross
# Products as einsum, the softmax by hand.
def look(words, regions, w_query, w_key, w_value, region_mask):
    query, key, value = words @ w_query, regions @ w_key, regions @ w_value
    scores = torch.einsum("btd,brd->btr", query, key) * key.size(-1) ** -0.5
    powers = torch.exp(scores) * region_mask[:, None]
    weights = powers / powers.sum(-1, keepdim=True).clamp(min=1e-30)
    return torch.einsum("btr,brd->btd", weights, value), weights


# %% name="cross-other-loop"
# %%other cross
# Picture by picture, with its real regions only.
def look(words, regions, w_query, w_key, w_value, region_mask):
    found = torch.zeros(*words.shape[:2], w_value.size(1))
    weights = torch.zeros(*words.shape[:2], regions.size(1))
    for b, mask in enumerate(region_mask):
        if mask.any():
            real = regions[b, mask]
            share = F.softmax(words[b] @ w_query @ (real @ w_key).T / w_key.size(1) ** 0.5, dim=1)
            weights[b][:, mask] = share
            found[b] = share @ real @ w_value
    return found, weights


# %% [markdown] name="cost" question={"points": 3, "difficulty": 2, "minutes": 10, "section": "2.6"}
# ## 4. What fusion costs, and what it forgets
#
# A sentence has 10 words, a picture 20 regions. How many attention scores does **one head of one layer** compute in
# early fusion, where all elements attend to all (`early_scores`)? How many in cross-attention from words to regions
# (`cross_scores`)?
#
# **Each region has the features of section 2.6: one part for its shape, one for its colour. For which pair of pictures
# is the plain mean over the regions the same?** Set `forgotten` to the letter.
#
# - **a** A red ball and a blue box; a blue ball and a red box.
# - **b** A red ball and a blue box; a red ball and a red box.
# - **c** A red ball and a blue box; a red ball alone.
# - **d** A red ball and a blue box; a red tent and a blue box.

# %% name="cost-answer"
early_scores = None  # a number
cross_scores = None  # a number
forgotten = ""  # the letter
### BEGIN SOLUTION
early_scores = 900  # (10 + 20)²
cross_scores = 200  # 10 · 20
forgotten = "a"
### END SOLUTION

# %% name="cost-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("06_multimodal_fusion", "cost", early_scores=early_scores, cross_scores=cross_scores, forgotten=forgotten)

# %% [markdown] name="cost-hint-1"
# One score for each pair of a query and a key. Who are the queries, who the keys?

# %% [markdown] name="cost-hint-2"
# The mean of features counts how often each shape and each colour comes, as shares. For which pair of pictures are all
# these shares the same?

# %% name="cost-parts"
cost = ValueQuestion()
cost.number("early_scores", points=1, title="the scores of early fusion")
cost.number("cross_scores", points=1, title="the scores of cross-attention")
cost.choice("forgotten", "abcd", points=1, title="the pictures that the mean cannot tell apart")

# %% name="cost-mistake-sum-of-squares"
# %%mistake cost
# This counts words with words and regions with regions. In early fusion words and regions meet as well, both ways.
early_scores = 10**2 + 20**2

# %% name="cost-mistake-not-squared"
# %%mistake cost
# 30 is the length of the sequence. Each element attends to each.
early_scores = 30

# %% name="cost-mistake-each-pair-once"
# %%mistake cost
# This counts each pair once. Who asks and who answers is not the same: each ordered pair has a score.
early_scores = 30 * 31 / 2

# %% name="cost-mistake-without-itself"
# %%mistake cost
# An element attends to itself as well.
early_scores = 30 * 29

# %% name="cost-mistake-words-and-regions-only"
# %%mistake cost
# This counts words that look at regions only. In early fusion all 30 elements ask, and all 30 answer.
early_scores = 10 * 20

# %% name="cost-mistake-both-ways"
# %%mistake cost
# Only the words ask here; the regions don't look back.
cross_scores = 2 * 10 * 20

# %% name="cost-mistake-all-pairs"
# %%mistake cost
# That is the count of early fusion. In cross-attention the keys are the regions alone.
cross_scores = 30**2

# %% name="cost-mistake-words-among-the-keys"
# %%mistake cost
# The words do not look at words here. The keys are the regions alone, 20.
cross_scores = 10 * 30

# %% name="cost-mistake-colours-differ"
# %%mistake cost
# The second picture has no blue at all, so the share of blue differs.
forgotten = "b"

# %% name="cost-mistake-fewer-things"
# %%mistake cost
# In the second picture the box is missing, so the share of boxes differs.
forgotten = "c"

# %% name="cost-mistake-shapes-differ"
# %%mistake cost
# The first has a ball, the second a tent, so the shares of the shapes differ.
forgotten = "d"

# %% name="cost-other-worked-out"
# %%other cost
# The numbers as they are worked out.
early_scores = (10 + 20) ** 2
cross_scores = sum(20 for _ in range(10))
forgotten = "(A)"

# %% name="cost-other-tensors"
# %%other cost
# Counted on tensors.
early_scores = torch.zeros(30, 30).numel()
cross_scores = torch.tensor(10) * 20
forgotten = " a."

# %% [markdown] name="end"
# ## Done?
#
# `hint("06_multimodal_fusion", "late", 1)` gives a first hint; each question has two or three. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
