# %% [markdown] name="title"
# # 2.1 语言模型 · Language models — exercises
#
# 本节的练习先用链式法则给句子打分，再由每个词的概率算出困惑度和每字节比特数，
# 然后写出自回归与自编码两种训练损失，最后在纸上推导几个数，并说明掩码训练的代价。
#
# You score sentences, measure a model, and write the two losses that language models are trained with. Each
# question has a cell for your answer and a cell that checks it. Section 2.1 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 01_language_models

# %% name="imports"
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="chain" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "2.1"}
# ## 1. The chain rule
#
# A bigram model is a table: row a, column b has the probability that word b follows word a. Row V stands for the
# start of a sentence, column V for its end. Write the **natural logarithm** of the probability of a whole sentence.
#
# | | shape | |
# | --- | --- | --- |
# | `ids` | (T) int64 | the words of the sentence, each in 0 ... V-1; without start and end |
# | `table` | (V + 1, V + 1) | each row sums to 1 |
# | returns `log_p` | float | ln P of the sentence, the end included |
#
# A sentence may have no word at all. And it may be long: the product of 400 small numbers is 0 in any float.
#
# **What usually goes wrong:** the start or the end is left out; the product is formed before the logarithm.


# %% name="chain-answer"
def sentence_log_probability(ids: Tensor, table: Tensor) -> float:
    """ln P of a sentence under a bigram model, from its start to its end."""
    ### BEGIN SOLUTION
    edge = torch.tensor([len(table) - 1])  # the start as a row, the end as a column
    before, after = torch.cat([edge, ids]), torch.cat([ids, edge])
    return table[before, after].log().sum().item()
    ### END SOLUTION


# %% name="chain-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_language_models", "chain", sentence_log_probability)

# %% [markdown] name="chain-hint-1"
# A sentence of T words has T + 1 factors: the first word after the start, each word after the one before it, and the
# end after the last word. Write them down for a sentence of two words.

# %% [markdown] name="chain-hint-2"
# The logarithm of a product is the sum of the logarithms. Take the logarithm of each factor first, then add.

# %% [markdown] name="chain-hint-3"
# Put V in front of the ids for the rows, and V behind them for the columns. `table[before, after]` then gives all
# factors at once.

# %% name="chain-parts"
import math

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

chain = FunctionQuestion(
    "sentence_log_probability",
    returns=("log_p",),
    atol=1e-4,
    because="float32 loses less than this share of a sum of up to 401 logarithms",
)


def bigram_table(draw, n_words):
    return torch.softmax(draw.normal(n_words + 1, n_words + 1), dim=-1)


@chain.case(points=1)
def three_words(draw):
    """a sentence of three words"""
    return {"ids": draw.order(5)[:3], "table": bigram_table(draw, 5)}


@chain.case(points=1)
def no_word(draw):
    """a sentence without a word: the end follows the start"""
    return {"ids": torch.zeros(0, dtype=torch.int64), "table": bigram_table(draw, 4)}


@chain.case(points=1)
def long_sentence(draw):
    """400 words, whose product no float can hold"""
    return {"ids": torch.cat([draw.order(8) for _ in range(50)]), "table": bigram_table(draw, 8)}


@chain.case(points=1)
def different_rows(draw):
    """a table in which start and end are very different from the words"""
    table = bigram_table(draw, 6)
    table[6] = torch.softmax(torch.arange(7.0), dim=0)
    table[:, 6] = 0.01
    table = table / table.sum(-1, keepdim=True)
    return {"ids": draw.order(6)[:4], "table": table}


@chain.invariant
def never_positive(got, inputs):
    """a probability is at most 1, so its logarithm cannot be positive"""
    return got <= 1e-6


# %% name="chain-mistake-no-end"
# %%mistake chain
# The end is left out: this is the probability that a sentence *begins* like that. Multiply by the probability of the
# end after the last word.
def sentence_log_probability(ids, table):
    before = torch.cat([torch.tensor([len(table) - 1]), ids[:-1]])
    return table[before[: len(ids)], ids].log().sum().item()


# %% name="chain-mistake-no-start"
# %%mistake chain
# The first word has no factor. It comes after the start of the sentence, which has a row of its own, the last.
def sentence_log_probability(ids, table):
    after = torch.cat([ids[1:], torch.tensor([len(table) - 1])])
    return table[ids, after[: len(ids)]].log().sum().item()


# %% name="chain-mistake-product-first"
# %%mistake chain
# The product comes before the logarithm. For 400 words it is smaller than any float: 0, and its logarithm minus
# infinity.
def sentence_log_probability(ids, table):
    edge = torch.tensor([len(table) - 1])
    return table[torch.cat([edge, ids]), torch.cat([ids, edge])].prod().log().item()


# %% name="chain-mistake-rows-and-columns"
# %%mistake chain
# Rows and columns are exchanged. The row is the word before, the column the word that follows.
def sentence_log_probability(ids, table):
    edge = torch.tensor([len(table) - 1])
    return table[torch.cat([ids, edge]), torch.cat([edge, ids])].log().sum().item()


# %% name="chain-mistake-mean"
# %%mistake chain
# This is the mean for each word, which perplexity needs. The probability of the sentence is the product of all
# factors, so its logarithm is their sum.
def sentence_log_probability(ids, table):
    edge = torch.tensor([len(table) - 1])
    return table[torch.cat([edge, ids]), torch.cat([ids, edge])].log().mean().item()


# %% name="chain-mistake-bits"
# %%mistake chain
# These are bits: the logarithm has base 2. The question asks for the natural one.
def sentence_log_probability(ids, table):
    edge = torch.tensor([len(table) - 1])
    return table[torch.cat([edge, ids]), torch.cat([ids, edge])].log2().sum().item()


# %% name="chain-mistake-product-of-python-numbers"
# %%mistake chain
# The product comes before the logarithm. For 400 words it is smaller than any float: 0, and `math.log(0)` is an error.
def sentence_log_probability(ids, table):
    p, before = 1.0, len(table) - 1
    for word in [*ids.tolist(), len(table) - 1]:
        p, before = p * table[before, word].item(), word
    return math.log(p)


# %% name="chain-mistake-words-only"
# %%mistake chain
# Start and end are both left out: only the steps from word to word are counted. A sentence of T words has T + 1
# factors.
def sentence_log_probability(ids, table):
    return table[ids[:-1], ids[1:]].log().sum().item()


# %% name="chain-other-loop"
# %%other chain
# One factor after the other.
def sentence_log_probability(ids, table):
    total, before = 0.0, table.shape[0] - 1
    for word in [*ids.tolist(), table.shape[0] - 1]:
        total += math.log(float(table[before, word]))
        before = word
    return total


# %% name="chain-other-logs-first"
# %%other chain
# The whole table in logarithms, then one row for each word before.
def sentence_log_probability(ids, table):
    path = F.pad(ids, (1, 1), value=table.size(1) - 1)
    return float(sum(table.log()[a, b] for a, b in zip(path.tolist(), path[1:].tolist(), strict=False)))


# %% [markdown] name="measures" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "2.1"}
# ## 2. Perplexity and bits per byte
#
# A model has read a batch of texts, and `log_p` has the natural logarithm of the probability that it gave to each
# token. The texts have different lengths, so some places are padding. Their numbers mean nothing.
#
# | | shape | |
# | --- | --- | --- |
# | `log_p` | (B, T) | ln P of each token given those before it |
# | `mask` | (B, T) bool | True for a token, False for padding |
# | `n_bytes` | int | the length of all texts together, in UTF-8 |
# | returns `perplexity` | float | over all tokens of the batch together |
# | returns `bits_per_byte` | float | |
#
# **What usually goes wrong:** padding is counted; nats are taken for bits; a mean of the texts' perplexities is not
# the perplexity.


# %% name="measures-answer"
def measure(log_p: Tensor, mask: Tensor, n_bytes: int) -> tuple[float, float]:
    """Perplexity for each token, and bits for each byte."""
    ### BEGIN SOLUTION
    nats = -log_p[mask].sum()
    return torch.exp(nats / mask.sum()).item(), (nats / math.log(2) / n_bytes).item()
    ### END SOLUTION


# %% name="measures-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_language_models", "measures", measure)

# %% [markdown] name="measures-hint-1"
# `log_p[mask]` is one long row of all real tokens. Everything else follows from its sum and from how many there are.

# %% [markdown] name="measures-hint-2"
# Perplexity is exp of the mean surprise, with the same base as the logarithm. A nat is 1 / ln 2 bits.

# %% name="measures-parts"
measures = FunctionQuestion(
    "measure",
    returns=("perplexity", "bits_per_byte"),
    atol=1e-4,
    because="perplexities are about 10 here, and float32 carries 7 digits",
)


def scored(draw, lengths, n_bytes):
    width = max(lengths)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    log_p = -1.0 - 1.5 * draw.normal(len(lengths), width).abs()
    return {"log_p": log_p.masked_fill(~mask, -7.0), "mask": mask, "n_bytes": n_bytes}


@measures.case(points=1)
def worked_by_hand(draw):
    """four tokens with probabilities 1/2, 1/4, 1/8 and 1/4, in a text of 16 bytes"""
    log_p = -math.log(2) * torch.tensor([[1.0, 2.0, 3.0, 2.0]])
    return {"log_p": log_p, "mask": torch.ones(1, 4, dtype=torch.bool), "n_bytes": 16}


@measures.case(points=1)
def one_length(draw):
    """three texts of one length"""
    return scored(draw, [6, 6, 6], 70)


@measures.case(points=2)
def with_padding(draw):
    """texts of lengths 7, 2 and 4, padded"""
    return scored(draw, [7, 2, 4], 57)


@measures.invariant
def at_least_one(got, inputs):
    """a perplexity is at least 1"""
    return got[0] >= 1


@measures.invariant
def never_negative(got, inputs):
    """a price in bits cannot be negative"""
    return got[1] >= 0


# %% name="measures-mistake-padding"
# %%mistake measures
# The padding is counted as well. Take only the places where the mask is True.
def measure(log_p, mask, n_bytes):
    return torch.exp(-log_p.mean()).item(), (-log_p.sum() / math.log(2) / n_bytes).item()


# %% name="measures-mistake-padding-in-the-number"
# %%mistake measures
# The sum leaves the padding out, but the number of tokens does not. Divide by the number of real tokens,
# `mask.sum()`.
def measure(log_p, mask, n_bytes):
    nats = -(log_p * mask).sum()
    return torch.exp(nats / log_p.numel()).item(), (nats / math.log(2) / n_bytes).item()


# %% name="measures-mistake-nats"
# %%mistake measures
# The second result is in nats. Divide by ln 2: a nat is about 1.44 bits.
def measure(log_p, mask, n_bytes):
    nats = -log_p[mask].sum()
    return torch.exp(nats / mask.sum()).item(), (nats / n_bytes).item()


# %% name="measures-mistake-two-to-the-nats"
# %%mistake measures
# 2 is raised to nats. Base and logarithm must fit: exp for the natural one, or first turn nats into bits.
def measure(log_p, mask, n_bytes):
    nats = -log_p[mask].sum()
    return (2 ** (nats / mask.sum())).item(), (nats / math.log(2) / n_bytes).item()


# %% name="measures-mistake-mean-of-perplexities"
# %%mistake measures
# This is the mean of the texts' perplexities, in which a short text counts as much as a long one. Take the mean
# surprise of all tokens first, and one exponential at the end.
def measure(log_p, mask, n_bytes):
    each = (-(log_p * mask).sum(1) / mask.sum(1)).exp()
    return each.mean().item(), (-log_p[mask].sum() / math.log(2) / n_bytes).item()


# %% name="measures-mistake-bits-per-token"
# %%mistake measures
# The second result is bits for each token. Divide by the bytes of the text: only then can tokenizers be compared.
def measure(log_p, mask, n_bytes):
    nats = -log_p[mask].mean()
    return torch.exp(nats).item(), (nats / math.log(2)).item()


# %% name="measures-mistake-padding-in-the-perplexity"
# %%mistake measures
# The bits are right, but padding is counted in the perplexity. Take the mean over the places where the mask is True.
def measure(log_p, mask, n_bytes):
    return torch.exp(-log_p.mean()).item(), (-log_p[mask].sum() / math.log(2) / n_bytes).item()


# %% name="measures-mistake-padding-in-the-bits"
# %%mistake measures
# The perplexity is right, but padding is counted in the bits. Add up only the places where the mask is True.
def measure(log_p, mask, n_bytes):
    return torch.exp(-log_p[mask].mean()).item(), (-log_p.sum() / math.log(2) / n_bytes).item()


# %% name="measures-mistake-mean-of-means"
# %%mistake measures
# This averages the texts' means, in which a short text counts as much as a long one. Divide the sum over all tokens
# by their number.
def measure(log_p, mask, n_bytes):
    each = -(log_p * mask).sum(1) / mask.sum(1)
    return each.mean().exp().item(), (-log_p[mask].sum() / math.log(2) / n_bytes).item()


# %% name="measures-mistake-divided-twice"
# %%mistake measures
# The bits are divided by the tokens and by the bytes. Divide the bits of all texts, a sum, by the bytes only.
def measure(log_p, mask, n_bytes):
    nats = -log_p[mask].mean()
    return torch.exp(nats).item(), (nats / math.log(2) / n_bytes).item()


# %% name="measures-other-where"
# %%other measures
# Padding counts 0, in float64.
def measure(log_p, mask, n_bytes):
    total = torch.where(mask, log_p, 0.0).double().sum().item()
    return math.exp(-total / int(mask.sum())), -total * math.log2(math.e) / n_bytes


# %% name="measures-other-bits"
# %%other measures
# Bits from the beginning; the perplexity is 2 to the bits.
def measure(log_p, mask, n_bytes):
    bits = -log_p.masked_select(mask) / math.log(2)
    return float(2 ** bits.mean()), float(bits.sum()) / n_bytes


# %% [markdown] name="losses" question={"points": 6, "difficulty": 3, "minutes": 20, "section": "2.1"}
# ## 3. Two losses
#
# The same network, asked two questions. Write the loss of each, a mean cross-entropy in nats.
#
# | | shape | |
# | --- | --- | --- |
# | `logits` | (B, T, V) | what the network answered at each place |
# | `ids` | (B, T) int64 | the true words |
# | `hidden` | (B, T) bool, or None | which words were hidden from the network (auto-encoding) |
# | returns `loss` | float | |
#
# With `hidden` the network saw both sides, and place t of the logits scores word t; only hidden words count. With
# None it is autoregressive: place t has seen words 0 ... t and scores word **t + 1**. Each predicted word counts
# the same.
#
# If no word of the batch is hidden there is nothing to learn from: raise a `ValueError`.
#
# **What usually goes wrong:** the shift by one, or a shift where there is none; words that were seen are counted.


# %% name="losses-answer"
def language_model_loss(logits: Tensor, ids: Tensor, hidden: Tensor | None) -> float:
    """Mean cross-entropy of the words that are predicted."""
    ### BEGIN SOLUTION
    if hidden is None:
        predicted, words = logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
    else:
        predicted, words = logits[hidden], ids[hidden]
    if len(words) == 0:
        raise ValueError("no word is predicted, so there is no loss")
    return F.cross_entropy(predicted, words).item()
    ### END SOLUTION


# %% name="losses-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_language_models", "losses", language_model_loss)

# %% [markdown] name="losses-hint-1"
# Which place of the logits answers for the second word of a row? In the autoregressive case the first; with hidden
# words the second. Which place answers for the first word in the autoregressive case? None.

# %% [markdown] name="losses-hint-2"
# `logits[hidden]` and `ids[hidden]` are the hidden places as one long row, (N, V) and (N). `F.cross_entropy` takes
# these.

# %% [markdown] name="losses-hint-3"
# Autoregressive: leave out the last place of the logits and the first word of the ids, then flatten batch and length
# into one axis.

# %% name="losses-parts"
losses = FunctionQuestion(
    "language_model_loss",
    returns=("loss",),
    atol=1e-5,
    because="a mean of up to 24 float32 values of about 2",
)


@losses.case(points=2)
def next_word(draw):
    """autoregressive: three rows of six words"""
    return {"logits": draw.normal(3, 6, 7), "ids": torch.stack([draw.order(7)[:6] for _ in range(3)]), "hidden": None}


@losses.case(points=2)
def hidden_words(draw):
    """auto-encoding: three words of a row hidden, one of the other"""
    hidden = torch.tensor([[0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 1, 0]], dtype=torch.bool)
    return {"logits": draw.normal(2, 6, 7), "ids": torch.stack([draw.order(7)[:6] for _ in range(2)]), "hidden": hidden}


@losses.case(points=1)
def first_and_last_hidden(draw):
    """auto-encoding: the first and the last word of a row are hidden, none of the other row"""
    hidden = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 1]], dtype=torch.bool)
    ids = torch.stack([draw.order(5)[:4] for _ in range(2)])
    return {"logits": 2 * draw.normal(2, 4, 5), "ids": ids, "hidden": hidden}


@losses.case(points=1)
def nothing_hidden(draw):
    """nothing hidden: a ValueError"""
    return {
        "logits": draw.normal(1, 4, 5),
        "ids": draw.order(5)[None, :4],
        "hidden": torch.zeros(1, 4, dtype=torch.bool),
    }


@losses.invariant
def not_negative(got, inputs):
    """a cross-entropy is at least 0"""
    return got >= 0


# %% name="losses-mistake-no-shift"
# %%mistake losses
# The autoregressive loss has no shift: place t is asked for word t, which it has just seen. A model would learn to
# copy, and its loss would fall to 0. That is a leak.
def language_model_loss(logits, ids, hidden):
    if hidden is None:
        hidden = torch.ones_like(ids, dtype=torch.bool)
    if not hidden.any():
        raise ValueError("nothing is hidden")
    return F.cross_entropy(logits[hidden], ids[hidden]).item()


# %% name="losses-mistake-wrong-direction"
# %%mistake losses
# The shift goes the wrong way: place t + 1 is asked for word t, the word before. It should be asked for the next.
def language_model_loss(logits, ids, hidden):
    if hidden is None:
        return F.cross_entropy(logits[:, 1:].flatten(0, 1), ids[:, :-1].flatten()).item()
    if not hidden.any():
        raise ValueError("nothing is hidden")
    return F.cross_entropy(logits[hidden], ids[hidden]).item()


# %% name="losses-mistake-all-words"
# %%mistake losses
# All words count, also those that the network saw. It only has to copy them, and the loss hides how little it knows.
def language_model_loss(logits, ids, hidden):
    if hidden is None:
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()
    if not hidden.any():
        raise ValueError("nothing is hidden")
    return F.cross_entropy(logits.flatten(0, 1), ids.flatten()).item()


# %% name="losses-mistake-seen-words"
# %%mistake losses
# The mask is the wrong way round: the words that were seen count, and the hidden ones do not.
def language_model_loss(logits, ids, hidden):
    if hidden is None:
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()
    if not hidden.any():
        raise ValueError("nothing is hidden")
    return F.cross_entropy(logits[~hidden], ids[~hidden]).item()


# %% name="losses-mistake-both-shifted"
# %%mistake losses
# The hidden words are shifted too. An auto-encoding model answers for a word at the place of that word: no shift.
def language_model_loss(logits, ids, hidden):
    predicted, words = logits[:, :-1], ids[:, 1:]
    chosen = torch.ones_like(words, dtype=torch.bool) if hidden is None else hidden[:, 1:]
    if not chosen.any():
        raise ValueError("nothing is hidden")
    return F.cross_entropy(predicted[chosen], words[chosen]).item()


# %% name="losses-mistake-sum"
# %%mistake losses
# This is the sum over the words, not the mean: it grows with the batch.
def language_model_loss(logits, ids, hidden):
    if hidden is None:
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum").item()
    if not hidden.any():
        raise ValueError("nothing is hidden")
    return F.cross_entropy(logits[hidden], ids[hidden], reduction="sum").item()


# %% name="losses-mistake-nan"
# %%mistake losses
# With nothing hidden the mean over no word is NaN, and one such batch ruins the weights. Raise a ValueError.
def language_model_loss(logits, ids, hidden):
    if hidden is None:
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()
    return F.cross_entropy(logits[hidden], ids[hidden]).item()


# %% name="losses-mistake-last-place-left-out"
# %%mistake losses
# The last place is left out with hidden words too. Leave it out only in the autoregressive case, where nothing
# follows it.
def language_model_loss(logits, ids, hidden):
    if hidden is None:
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()
    if not hidden.any():
        raise ValueError("nothing is hidden")
    chosen = hidden[:, :-1]
    return F.cross_entropy(logits[:, :-1][chosen], ids[:, :-1][chosen]).item()


# %% name="losses-other-ignore"
# %%other losses
# Labels of -100 where nothing is asked, and the library leaves them out.
def language_model_loss(logits, ids, hidden):
    if hidden is None:
        labels = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], -100)], dim=1)
    else:
        labels = ids.masked_fill(~hidden, -100)
    if (labels == -100).all():
        raise ValueError("nothing to predict")
    return F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100).item()


# %% name="losses-other-log-softmax"
# %%other losses
# The logarithm of the softmax, picked by hand, word for word.
def language_model_loss(logits, ids, hidden):
    log_p, picked = logits.log_softmax(-1), []
    for b in range(ids.shape[0]):
        for t in range(ids.shape[1]):
            if hidden is None and t > 0:
                picked.append(-log_p[b, t - 1, ids[b, t]])
            elif hidden is not None and hidden[b, t]:
                picked.append(-log_p[b, t, ids[b, t]])
    if not picked:
        raise ValueError("nothing to predict")
    return float(torch.stack(picked).mean())


# %% [markdown] name="numbers" question={"points": 4, "difficulty": 2, "minutes": 10, "section": "2.1"}
# ## 4. Four answers to derive
#
# **a.** A model gives to the four tokens of a text the probabilities 1/2, 1/8, 1/8 and 1/2. What is its `perplexity`?
#
# **b.** The text has 8 bytes. How many `bits` for each byte is that?
#
# **c.** A masked model hides 15 % of the words, an autoregressive one predicts all but the first. For a text of 100
# words: by what factor does the autoregressive one learn from more words? Round to one digit after the point: `times`.
#
# **d.** Somebody says: *autoregressive models are slower to train, because they go word by word*. Set `answer` to
# the letter of the right reply.
#
# - **a** True: word 100 can only be computed when the model has written words 1 to 99.
# - **b** In training the true words are there. A causal mask lets one pass predict all of them; only writing goes
# word by word.
# - **c** True, but a GPU hides it by computing several texts at once.
# - **d** False, because an autoregressive model leaves out the words that a masked model hides.

# %% name="numbers-answer"
perplexity = None  # a number
bits = None  # a number
times = None  # a number
answer = ""  # the letter
### BEGIN SOLUTION
perplexity = 4  # 1, 3, 3 and 1 bits: 2 in the mean
bits = 1.0  # 8 bits for 8 bytes
times = 6.6  # 99 / 15
answer = "b"
### END SOLUTION

# %% name="numbers-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_language_models", "numbers", perplexity=perplexity, bits=bits, times=times, answer=answer)

# %% [markdown] name="numbers-hint-1"
# A probability of 1/8 is three bits. Add up the bits of the text, then divide: by tokens for one answer, by bytes
# for the other.

# %% [markdown] name="numbers-hint-2"
# For c: write down how many words each of the two models is asked for in a text of 100 words, then divide.

# %% [markdown] name="numbers-hint-3"
# For d: what does the model read in training at place 100, the words that it wrote, or the words that stand there?

# %% name="numbers-parts"
numbers = ValueQuestion()
numbers.number("perplexity", points=1, title="a: the perplexity")
numbers.number("bits", points=1, title="b: bits for each byte")
numbers.number("times", points=1, title="c: the factor")
numbers.choice("answer", "abcd", points=1, title="d: the reply")

# %% name="numbers-mistake-mean-of-probabilities"
# %%mistake numbers
# That is 1 over the mean probability. Average the logarithms, not the probabilities.
perplexity = 3.2

# %% name="numbers-mistake-bits-for-perplexity"
# %%mistake numbers
# Two bits is the mean surprise. The perplexity is 2 to that power.
perplexity = 2

# %% name="numbers-mistake-bits-per-token"
# %%mistake numbers
# That is for each token. The 8 bits of the text are shared by 8 bytes.
bits = 2

# %% name="numbers-mistake-upside-down"
# %%mistake numbers
# That is the share of words that a masked model learns from. The question asks by what factor the other has more.
times = 0.15

# %% name="numbers-mistake-first-word-counted"
# %%mistake numbers
# That is 100 / 15. The first word is not predicted: nothing stands before it.
times = 6.7

# %% name="numbers-mistake-waits"
# %%mistake numbers
# So it is when the model writes. In training it reads the true words 1 to 99, which are all there from the beginning.
answer = "a"

# %% name="numbers-mistake-gpu"
# %%mistake numbers
# Several texts at once help both kinds alike. One text alone is already predicted at all places in one pass.
answer = "c"

# %% name="numbers-mistake-leaves-out"
# %%mistake numbers
# An autoregressive model hides nothing; it predicts all words but the first.
answer = "d"

# %% name="numbers-other-worked-out"
# %%other numbers
# The numbers as they are worked out.
perplexity = 2 ** ((1 + 3 + 3 + 1) / 4)
bits = (1 + 3 + 3 + 1) / 8
times = round(99 / (0.15 * 100), 1)
answer = "(B)"

# %% name="numbers-other-tensors"
# %%other numbers
# The numbers as tensors.
given = torch.tensor([0.5, 0.125, 0.125, 0.5])
perplexity = torch.exp(-given.log().mean())
bits = -given.log2().sum() / 8
times = 6.6
answer = " b."

# %% [markdown] name="end"
# ## Done?
#
# `hint("01_language_models", "chain", 1)` gives a first hint; each question has two or three. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
