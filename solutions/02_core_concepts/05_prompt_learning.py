# %% [markdown] name="title"
# # 2.5 提示学习 · Prompt learning — exercises
#
# 本节的练习从一个答案的似然写起：哪一行预测哪一个词元。然后把几个标签词合成一个标签的分数，再让几个校准过的提示投票。
# 最后推导两个数，并说清校准能改变什么、不能改变什么。
#
# You write the three steps from a model's scores to a label. Each question has a cell for your answer and a cell that
# checks it. Section 2.5 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 05_prompt_learning

# %% name="imports"
import math

import torch
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="likelihood" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "2.5"}
# ## 1. The likelihood of an answer
#
# A causal model has read a prompt and an answer behind it. Add up the log probabilities of the answer's tokens.
#
# | | shape | |
# | --- | --- | --- |
# | `logits` | (T, V) float32 | row i is what the model thinks **after** token i: raw scores, not probabilities |
# | `ids` | (T) int64 | the tokens of prompt and answer |
# | `n_prompt` | int | how many of them are the prompt, 1 or more; the rest is the answer |
# | returns `total` | scalar tensor | $\ln P(\text{answer} \mid \text{prompt})$ |
# | returns `mean` | scalar tensor | `total` divided by the number of tokens of the answer |
#
# A token may be so unlikely that its probability is 0 in float32. Its logarithm must still be right.
#
# **What usually goes wrong:** row and token are off by one; the prompt's own tokens are counted; the mean divides by
# the wrong length.


# %% name="likelihood-answer"
def answer_likelihood(logits: Tensor, ids: Tensor, n_prompt: int) -> tuple[Tensor, Tensor]:
    """ln P of the answer, as a whole and for each of its tokens on average."""
    ### BEGIN SOLUTION
    log_p = torch.log_softmax(logits[n_prompt - 1 : -1], dim=-1)  # (L, V)
    of_tokens = log_p.gather(1, ids[n_prompt:, None])  # (L, 1)
    return of_tokens.sum(), of_tokens.mean()
    ### END SOLUTION


# %% name="likelihood-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("05_prompt_learning", "likelihood", answer_likelihood)

# %% [markdown] name="likelihood-hint-1"
# The first token of the answer is `ids[n_prompt]`. Which row of the logits was computed before the model saw it?

# %% [markdown] name="likelihood-hint-2"
# Row i predicts token i + 1. Take five tokens and `n_prompt` = 3, and write down which rows are read. `log_softmax`
# over the vocabulary makes log probabilities of them, and `gather` picks one number from each row.

# %% name="likelihood-parts"
import math

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

likelihood = FunctionQuestion(
    "answer_likelihood",
    returns=("total", "mean"),
    atol=1e-4,
    because="a log probability has 6 to 7 digits in float32, and up to 5 of them are added",
)


@likelihood.case(points=1)
def one_token(draw):
    """an answer of one token after a prompt of three"""
    return {"logits": 2 * draw.normal(4, 7), "ids": draw.order(7)[:4], "n_prompt": 3}


@likelihood.case(points=2)
def several_tokens(draw):
    """an answer of five tokens after a prompt of four"""
    return {"logits": 2 * draw.normal(9, 11), "ids": draw.order(11)[:9], "n_prompt": 4}


@likelihood.case(points=1)
def large_logits(draw):
    """logits above 100, where exp alone overflows, and a token whose probability is 0 in float32"""
    logits, ids = draw.normal(6, 8) + 120, draw.order(8)[:6]
    logits[3, ids[4]] = -90.0  # about e^-210
    return {"logits": logits, "ids": ids, "n_prompt": 2}


@likelihood.invariant
def not_above_zero(got, inputs):
    """a log probability cannot be above 0"""
    return bool(got[0] <= 1e-6) and bool(got[1] <= 1e-6)


# %% name="likelihood-mistake-same-row"
# %%mistake likelihood
# Row i is read for token i, but it was computed after token i was seen. Token i is predicted by the row before it.
def answer_likelihood(logits, ids, n_prompt):
    log_p = torch.log_softmax(logits[n_prompt:], dim=-1)
    of_tokens = log_p.gather(1, ids[n_prompt:, None])
    return of_tokens.sum(), of_tokens.mean()


# %% name="likelihood-mistake-prompt-counted"
# %%mistake likelihood
# The tokens of the prompt are counted as well. That is the probability of the whole text, not that of the answer
# given the prompt.
def answer_likelihood(logits, ids, n_prompt):
    log_p = torch.log_softmax(logits[:-1], dim=-1)
    of_tokens = log_p.gather(1, ids[1:, None])
    return of_tokens.sum(), of_tokens.mean()


# %% name="likelihood-mistake-raw-logits"
# %%mistake likelihood
# These are raw logits. Only after log_softmax over the vocabulary are they log probabilities.
def answer_likelihood(logits, ids, n_prompt):
    of_tokens = logits[n_prompt - 1 : -1].gather(1, ids[n_prompt:, None])
    return of_tokens.sum(), of_tokens.mean()


# %% name="likelihood-mistake-length-of-all"
# %%mistake likelihood
# The sum is right. The mean divides by the length of prompt and answer together; only the answer's tokens were added.
def answer_likelihood(logits, ids, n_prompt):
    log_p = torch.log_softmax(logits[n_prompt - 1 : -1], dim=-1)
    total = log_p.gather(1, ids[n_prompt:, None]).sum()
    return total, total / len(ids)


# %% name="likelihood-mistake-overflow"
# %%mistake likelihood
# The formula is right, but exp of a large logit is infinite in float32. Use log_softmax, which subtracts the largest
# first.
def answer_likelihood(logits, ids, n_prompt):
    powers = torch.exp(logits[n_prompt - 1 : -1])
    of_tokens = torch.log(powers / powers.sum(-1, keepdim=True)).gather(1, ids[n_prompt:, None])
    return of_tokens.sum(), of_tokens.mean()


# %% name="likelihood-mistake-underflow"
# %%mistake likelihood
# The formula is right, but a probability can be 0 in float32, and its logarithm is minus infinity. Use log_softmax,
# which never makes probabilities.
def answer_likelihood(logits, ids, n_prompt):
    of_tokens = torch.softmax(logits[n_prompt - 1 : -1], dim=-1).gather(1, ids[n_prompt:, None])
    return of_tokens.log().sum(), of_tokens.log().mean()


# %% name="likelihood-mistake-first-token-missing"
# %%mistake likelihood
# The first token of the answer is missing. It is `ids[n_prompt]`, and row n_prompt - 1 predicts it.
def answer_likelihood(logits, ids, n_prompt):
    of_tokens = torch.log_softmax(logits, dim=-1)[n_prompt:-1].gather(1, ids[n_prompt + 1 :, None])
    return of_tokens.sum(), of_tokens.mean()


# %% name="likelihood-mistake-last-of-prompt-counted"
# %%mistake likelihood
# The last token of the prompt is counted as well. The answer begins at `ids[n_prompt]`.
def answer_likelihood(logits, ids, n_prompt):
    of_tokens = torch.log_softmax(logits, dim=-1)[n_prompt - 2 : -1].gather(1, ids[n_prompt - 1 :, None])
    return of_tokens.sum(), of_tokens.mean()


# %% name="likelihood-mistake-over-positions"
# %%mistake likelihood
# The softmax runs over the positions of the text. Each row is a distribution over the vocabulary: the last axis.
def answer_likelihood(logits, ids, n_prompt):
    of_tokens = torch.log_softmax(logits, dim=0)[n_prompt - 1 : -1].gather(1, ids[n_prompt:, None])
    return of_tokens.sum(), of_tokens.mean()


# %% name="likelihood-other-loop"
# %%other likelihood
# One token after the other.
def answer_likelihood(logits, ids, n_prompt):
    total = torch.zeros(())
    for i in range(n_prompt, len(ids)):
        total = total + logits[i - 1, ids[i]] - torch.logsumexp(logits[i - 1], dim=0)
    return total, total / (len(ids) - n_prompt)


# %% name="likelihood-other-cross-entropy"
# %%other likelihood
# The cross entropy is the mean with the other sign.
def answer_likelihood(logits, ids, n_prompt):
    loss = torch.nn.functional.cross_entropy(logits[n_prompt - 1 : -1], ids[n_prompt:])
    return -loss * (len(ids) - n_prompt), -loss


# %% name="likelihood-equivalent-axis"
# %%equivalent likelihood
# The rows have two axes, so the last is axis 1.
log_p = torch.log_softmax(logits[n_prompt - 1 : -1], dim=1)  # (L, V)

# %% [markdown] name="words" question={"points": 3, "difficulty": 3, "minutes": 15, "section": "2.5"}
# ## 2. From words to labels
#
# A verbaliser may give a label several words: *great*, *good* and *fine* all say 1. A label is as likely as its words
# **together**.
#
# | | shape | |
# | --- | --- | --- |
# | `word_scores` | (N, W) float32 | $\ln P$ of each word for each example |
# | `label_of` | list of W int | the number of each word's label, 0 ... K-1, in any order |
# | returns | (N, K) float32 | $\ln P$ of each label; column k is label k |
#
# Scores may be as low as -200, where `exp` gives 0, for one example, and near 0 for the next.
#
# **What usually goes wrong:** log probabilities are added, which multiplies the probabilities; the mean is taken, so
# that a rare synonym pulls its label down.


# %% name="words-answer"
def label_scores(word_scores: Tensor, label_of: list[int]) -> Tensor:
    """ln P of each label, (N, K)."""
    ### BEGIN SOLUTION
    own = torch.tensor(label_of)  # (W)
    columns = [torch.logsumexp(word_scores[:, own == k], dim=1) for k in range(max(label_of) + 1)]  # K of (N)
    return torch.stack(columns, dim=1)
    ### END SOLUTION


# %% name="words-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("05_prompt_learning", "words", label_scores)

# %% [markdown] name="words-hint-1"
# Probabilities of different words add up. You have logarithms. Which function computes ln(e^a + e^b)?

# %% [markdown] name="words-hint-2"
# Take one label: which columns of `word_scores` are its words? `torch.logsumexp` over them gives (N). Do it for each
# label, and put the K results side by side.

# %% name="words-parts"
words = FunctionQuestion(
    "label_scores",
    returns=("scores",),
    atol=1e-4,
    because="scores of some tens carry 7 digits in float32",
)


@words.case(points=1)
def two_labels(draw):
    """two labels with two words each"""
    return {"word_scores": -(draw.normal(4, 4).abs() + 1), "label_of": [0, 0, 1, 1]}


@words.case(points=1)
def uneven_labels(draw):
    """three labels with three, one and two words, not sorted"""
    return {"word_scores": -(draw.normal(5, 6).abs() + 1), "label_of": [2, 0, 1, 0, 0, 2]}


@words.case(points=1)
def unlikely_words(draw):
    """long answers: scores near -200 for two of three examples"""
    return {"word_scores": draw.normal(3, 4) - torch.tensor([[200.0], [5.0], [200.0]]), "label_of": [1, 0, 1, 0]}


@words.invariant
def together_not_less_likely(got, inputs):
    """a label must be at least as likely as each of its words"""
    columns = list(enumerate(inputs["label_of"]))
    return all(bool((got[:, k] >= inputs["word_scores"][:, w] - 1e-4).all()) for w, k in columns)


# %% name="words-mistake-sum-of-logs"
# %%mistake words
# Adding logarithms multiplies the probabilities: that is the chance of writing all words of a label at once. Any one
# of them will do, so the probabilities add.
def label_scores(word_scores, label_of):
    own = torch.tensor(label_of)
    return torch.stack([word_scores[:, own == k].sum(1) for k in range(max(label_of) + 1)], dim=1)


# %% name="words-mistake-mean-of-logs"
# %%mistake words
# The mean of the logarithms lets a rare synonym pull its label down. A label with one more word can only become
# likelier.
def label_scores(word_scores, label_of):
    own = torch.tensor(label_of)
    return torch.stack([word_scores[:, own == k].mean(1) for k in range(max(label_of) + 1)], dim=1)


# %% name="words-mistake-best-word"
# %%mistake words
# This is the best word of each label. The others of its words count as well.
def label_scores(word_scores, label_of):
    own = torch.tensor(label_of)
    return torch.stack([word_scores[:, own == k].amax(1) for k in range(max(label_of) + 1)], dim=1)


# %% name="words-mistake-underflow"
# %%mistake words
# The formula is right, but exp of a very low score is 0 in float32, and its logarithm is minus infinity. Use logsumexp:
# for each example it subtracts the largest score first.
def label_scores(word_scores, label_of):
    own = torch.tensor(label_of)
    return torch.stack([word_scores[:, own == k].exp().sum(1).log() for k in range(max(label_of) + 1)], dim=1)


# %% name="words-mistake-probabilities"
# %%mistake words
# These are probabilities. The question asks for their logarithms.
def label_scores(word_scores, label_of):
    own = torch.tensor(label_of)
    return torch.stack([word_scores[:, own == k].exp().sum(1) for k in range(max(label_of) + 1)], dim=1)


# %% name="words-mistake-started-at-zero"
# %%mistake words
# 1 is added to each sum of probabilities, as if each label had one more word that is certain. A sum that starts empty
# starts at ln 0, minus infinity; 0 is ln 1.
def label_scores(word_scores, label_of):
    found = torch.zeros(word_scores.size(0), max(label_of) + 1)
    for w, k in enumerate(label_of):
        found[:, k] = torch.logaddexp(found[:, k], word_scores[:, w])
    return found


# %% name="words-mistake-among-the-labels"
# %%mistake words
# The labels are made to sum to 1 here. This question asks for the sum of the words' probabilities as they are.
def label_scores(word_scores, label_of):
    own = torch.tensor(label_of)
    sums = [torch.logsumexp(word_scores[:, own == k], 1) for k in range(max(label_of) + 1)]
    return torch.log_softmax(torch.stack(sums, dim=1), dim=1)


# %% name="words-mistake-mean-of-probabilities"
# %%mistake words
# These are means of the probabilities. A label is as likely as its words together: the sum.
def label_scores(word_scores, label_of):
    own = torch.tensor(label_of)
    counts = torch.tensor([label_of.count(k) for k in range(max(label_of) + 1)])
    sums = [torch.logsumexp(word_scores[:, own == k], 1) for k in range(max(label_of) + 1)]
    return torch.stack(sums, dim=1) - counts.log()


# %% name="words-mistake-order-of-appearance"
# %%mistake words
# The columns stand in the order in which the labels first appear in `label_of`. Column k is label k.
def label_scores(word_scores, label_of):
    own = torch.tensor(label_of)
    return torch.stack([torch.logsumexp(word_scores[:, own == k], 1) for k in dict.fromkeys(label_of)], dim=1)


# %% name="words-other-double"
# %%other words
# Float64 is wide enough for exp(-200); a loop adds.
def label_scores(word_scores, label_of):
    sums = torch.zeros(word_scores.size(0), max(label_of) + 1, dtype=torch.float64)
    for w, k in enumerate(label_of):
        sums[:, k] += word_scores[:, w].double().exp()
    return sums.log().float()


# %% name="words-other-pairwise"
# %%other words
# Two at a time.
def label_scores(word_scores, label_of):
    found = torch.full((word_scores.size(0), max(label_of) + 1), -math.inf)
    for w, k in enumerate(label_of):
        found[:, k] = torch.logaddexp(found[:, k], word_scores[:, w])
    return found


# %% [markdown] name="calibration" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "2.5"}
# ## 3. Calibrated prompts vote
#
# Another wording gives another answer, and each wording has its own prejudice. So ask in P wordings, calibrate each
# prompt by **its own** prejudice (contextual calibration, Zhao et al. 2021), and let the prompts vote.
#
# | | shape | |
# | --- | --- | --- |
# | `scores` | (P, N, K) float32 | natural logarithms of the probabilities of K labels, for N examples under P prompts |
# | `content_free` | (P, M, K) float32 | the same for M inputs such as "N/A" |
# | returns `probabilities` | (N, K) float32 | the outcome of the vote; each row sums to 1 |
# | returns `labels` | (N) int64 | the likeliest label of each example; of equal ones the first |
#
# The K probabilities need not sum to 1. First make them sum to 1, for each example and input under each prompt. The
# prejudice of a prompt is the **mean probability** over its M inputs. Divide by it, and make the K numbers sum to 1
# again. The vote is the **mean of the prompts' probabilities** (soft voting; an opinion pool, Stone 1961).
#
# P, N and M are 1 or more, K is 2 or more. Each score lies between -30 and 0.
#
# **What usually goes wrong:** one prejudice is taken for all prompts; the quotients vote before they sum to 1, so that
# a prompt with large ones decides alone; the prompts' labels are counted in place of averaging their probabilities.


# %% name="calibration-answer"
def calibrated_vote(scores: Tensor, content_free: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of the prompts' calibrated probabilities, (N, K), and the labels, (N)."""
    ### BEGIN SOLUTION
    prejudice = torch.softmax(content_free, dim=-1).mean(1, keepdim=True)  # (P, 1, K)
    fair = torch.softmax(scores, dim=-1) / prejudice  # (P, N, K)
    probabilities = (fair / fair.sum(-1, keepdim=True)).mean(0)
    return probabilities, probabilities.argmax(1)
    ### END SOLUTION


# %% name="calibration-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("05_prompt_learning", "calibration", calibrated_vote)

# %% [markdown] name="calibration-hint-1"
# Section 2.5 calibrates one prompt; here each number has one more index, for the prompt. How many numbers has the
# prejudice of one prompt? torch lines up shapes by their last axes: beside (P, N, K), what shape must it have so that
# all examples of a prompt get the prejudice of that prompt?

# %% [markdown] name="calibration-hint-2"
# The prejudice is (P, 1, K); `keepdim` keeps the axis. Each prompt has one vote, which it divides among the labels: its
# K numbers sum to 1 before you average over the prompts. The labels come last, from the averages.

# %% name="calibration-parts"
calibration = FunctionQuestion(
    "calibrated_vote",
    returns=("probabilities", "labels"),
    atol=1e-5,
    because="in float32 a score near -10 is known to 1e-6, and so is the probability that is made of it",
)


@calibration.case(points=1)
def on_paper(draw):
    """three prompts and one input without content: numbers that can be worked out on paper"""
    first = [[0.4, 0.5, 0.1], [0.3, 0.3, 0.4], [0.1, 0.4, 0.5]]  # vote 0; without calibration 1; most prompts say 2
    second = [[0.4, 0.5, 0.1], [0.2, 0.4, 0.4], [0.1, 0.2, 0.7]]  # vote 2; the product of the three is largest for 0
    nothing = [[0.2, 0.5, 0.3], [0.2, 0.6, 0.2], [0.1, 0.6, 0.3]]
    scores = torch.stack([torch.tensor(first), torch.tensor(second)], dim=1)
    return {"scores": scores.log(), "content_free": torch.tensor(nothing)[:, None].log()}


@calibration.case(points=1)
def several_inputs(draw):
    """two prompts, four labels and three inputs that disagree; probabilities that do not sum to 1"""
    lean = 1.5 * draw.normal(2, 1, 4)  # of each prompt to each label
    scores, content_free = 1.5 * draw.normal(2, 5, 4), 1.5 * draw.normal(2, 3, 4)
    return {"scores": scores + lean - 10, "content_free": content_free + lean - 12}


@calibration.case(points=1)
def opposite_prejudices(draw):
    """two prompts with opposite prejudices; over the last example they disagree, and neither wins"""
    lean = torch.tensor([[[-7.0, -11.0]], [[-11.0, -7.0]]])
    nothing, scores = draw.normal(3, 2) + lean[0], 1.5 * draw.normal(2, 4, 2) + lean
    scores[1, 3] = scores[0, 3].flip(0)
    return {"scores": scores, "content_free": torch.stack([nothing, nothing.flip(1)])}


@calibration.case(points=1)
def large_quotients(draw):
    """one of three prompts nearly never gives one of the labels to an input without content"""
    scores, content_free = draw.normal(3, 3, 5) - 7, draw.normal(3, 2, 5) - 7
    prompt, label = draw.order(3)[0], draw.order(5)[0]
    scores[prompt, :, label] -= 3
    content_free[prompt, :, label] -= 6
    return {"scores": scores, "content_free": content_free}


@calibration.invariant
def rows_sum_to_one(got, inputs):
    """each row of the probabilities must sum to 1"""
    return torch.allclose(got[0].sum(1), torch.ones(len(got[0])), atol=1e-5)


@calibration.invariant
def no_negative_probability(got, inputs):
    """no probability may be negative"""
    return bool((got[0] >= 0).all())


@calibration.invariant
def the_label_is_the_likeliest(got, inputs):
    """each label must have the largest of its row's probabilities"""
    probabilities, labels = got
    chosen = probabilities.gather(1, labels.clamp(0, probabilities.size(1) - 1)[:, None])
    return bool((chosen >= probabilities - 1e-5).all())


# %% name="calibration-mistake-not-calibrated"
# %%mistake calibration
# This is the vote before calibration: the prejudices are not used, or came out the same for every label. Each is a
# softmax over the labels (the last axis), then a mean over the M inputs (axis 1).
def calibrated_vote(scores, content_free):
    probabilities = torch.softmax(scores, dim=-1).mean(0)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-one-prejudice-for-all"
# %%mistake calibration
# One prejudice is taken for all prompts: the mean over prompts and inputs. What one prompt favours, another may not;
# divide each by its own.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) / torch.softmax(content_free, dim=-1).mean((0, 1))
    probabilities = (fair / fair.sum(-1, keepdim=True)).mean(0)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-after-the-vote"
# %%mistake calibration
# The prompts vote first, and the outcome is calibrated. By then their prejudices are mixed; calibrate each prompt
# before the vote.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1).mean(0) / torch.softmax(content_free, dim=-1).mean((0, 1))
    probabilities = fair / fair.sum(-1, keepdim=True)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-log-prejudice"
# %%mistake calibration
# The vote is right. For the prejudice the logarithms of the inputs are averaged; it is the mean of their probabilities.
def calibrated_vote(scores, content_free):
    prejudice = torch.log_softmax(content_free, dim=-1).mean(1, keepdim=True)
    probabilities = torch.softmax(scores - prejudice, dim=-1).mean(0)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-quotients-averaged"
# %%mistake calibration
# Each input is divided by on its own, and the quotients are averaged over the inputs. The mean of 1/p is not 1 over the
# mean of p: average the inputs first, then divide.
def calibrated_vote(scores, content_free):
    inverse = (1 / torch.softmax(content_free, dim=-1)).mean(1, keepdim=True)
    fair = torch.softmax(scores, dim=-1) * inverse
    probabilities = (fair / fair.sum(-1, keepdim=True)).mean(0)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-inputs-as-they-are"
# %%mistake calibration
# The inputs are averaged before each is made to sum to 1 among the labels. An input whose labels are all unlikely then
# hardly counts.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) / content_free.exp().mean(1, keepdim=True)
    probabilities = (fair / fair.sum(-1, keepdim=True)).mean(0)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-first-input-only"
# %%mistake calibration
# Only the first of the M inputs is used. The prejudice is the mean over all of them.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) / torch.softmax(content_free[:, :1], dim=-1)
    probabilities = (fair / fair.sum(-1, keepdim=True)).mean(0)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-multiplied"
# %%mistake calibration
# The prejudices are multiplied in, which makes them stronger. Divide by them.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) * torch.softmax(content_free, dim=-1).mean(1, keepdim=True)
    probabilities = (fair / fair.sum(-1, keepdim=True)).mean(0)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-subtracted"
# %%mistake calibration
# The prejudice is subtracted from the probability, which can go below 0. Divide by it.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) - torch.softmax(content_free, dim=-1).mean(1, keepdim=True)
    return fair.mean(0), fair.mean(0).argmax(1)


# %% name="calibration-mistake-axis-lost"
# %%mistake calibration
# The prejudice has lost the axis of the inputs. torch lines its (P, K) up with (P, N, K) as (1, P, K): where P equals
# N, example n gets the prejudice of prompt n. It must be (P, 1, K).
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) / torch.softmax(content_free, dim=-1).mean(1)
    probabilities = (fair / fair.sum(-1, keepdim=True)).mean(0)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-quotients-vote"
# %%mistake calibration
# The quotients are averaged over the prompts before they sum to 1. A prompt with large quotients then decides alone;
# make the K numbers of each prompt sum to 1, so that each has one vote.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) / torch.softmax(content_free, dim=-1).mean(1, keepdim=True)
    probabilities = fair.mean(0) / fair.mean(0).sum(-1, keepdim=True)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-never-normalised"
# %%mistake calibration
# These are means of the quotients, which do not sum to 1. Make the K numbers of each prompt sum to 1, then average.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) / torch.softmax(content_free, dim=-1).mean(1, keepdim=True)
    return fair.mean(0), fair.mean(0).argmax(1)


# %% name="calibration-mistake-softmax-of-quotients"
# %%mistake calibration
# The quotients are right, but a softmax takes exp of them first. Divide the K numbers by their sum.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) / torch.softmax(content_free, dim=-1).mean(1, keepdim=True)
    probabilities = torch.softmax(fair, dim=-1).mean(0)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-product"
# %%mistake calibration
# Each prompt is calibrated well. In the vote the logarithms are averaged, which multiplies the probabilities (a product
# of experts): one prompt that says 0 forbids a label. Average the probabilities.
def calibrated_vote(scores, content_free):
    prejudice = torch.softmax(content_free, dim=-1).mean(1, keepdim=True)
    probabilities = torch.softmax((torch.log_softmax(scores, dim=-1) - prejudice.log()).mean(0), dim=-1)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-majority"
# %%mistake calibration
# Each prompt's label is counted once (hard voting), however sure the prompt is. Average the probabilities.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) / torch.softmax(content_free, dim=-1).mean(1, keepdim=True)
    probabilities = torch.nn.functional.one_hot(fair.argmax(-1), scores.size(-1)).float().mean(0)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-labels-by-majority"
# %%mistake calibration
# The probabilities are right. The labels are those that most prompts chose; take the likeliest label of the vote.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) / torch.softmax(content_free, dim=-1).mean(1, keepdim=True)
    probabilities = (fair / fair.sum(-1, keepdim=True)).mean(0)
    return probabilities, torch.mode(fair.argmax(-1), dim=0).values


# %% name="calibration-mistake-surest-prompt"
# %%mistake calibration
# For each label only the prompt that is surest of it counts. A vote hears all prompts: the mean.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) / torch.softmax(content_free, dim=-1).mean(1, keepdim=True)
    best = (fair / fair.sum(-1, keepdim=True)).amax(0)
    return best / best.sum(-1, keepdim=True), best.argmax(1)


# %% name="calibration-mistake-sum"
# %%mistake calibration
# The votes are added up, so each row sums to P. The mean makes probabilities of them.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=-1) / torch.softmax(content_free, dim=-1).mean(1, keepdim=True)
    votes = (fair / fair.sum(-1, keepdim=True)).sum(0)
    return votes, votes.argmax(1)


# %% name="calibration-mistake-over-prompts"
# %%mistake calibration
# The softmaxes run over the prompts. Under each prompt the labels share the probability: the last axis.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=0) / torch.softmax(content_free, dim=0).mean(1, keepdim=True)
    probabilities = (fair / fair.sum(-1, keepdim=True)).mean(0)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-mistake-over-examples"
# %%mistake calibration
# The softmaxes run over the examples and over the inputs. Each example is one distribution over the labels: the last
# axis.
def calibrated_vote(scores, content_free):
    fair = torch.softmax(scores, dim=1) / torch.softmax(content_free, dim=1).mean(1, keepdim=True)
    probabilities = (fair / fair.sum(-1, keepdim=True)).mean(0)
    return probabilities, probabilities.argmax(1)


# %% name="calibration-other-prompt-by-prompt"
# %%other calibration
# One prompt after the other, in logarithms; a softmax normalises.
def calibrated_vote(scores, content_free):
    votes = torch.zeros_like(scores[0])
    for said, nothing in zip(scores, content_free, strict=True):
        prejudice = torch.log_softmax(nothing, dim=-1).exp().mean(0)
        votes = votes + torch.softmax(said - prejudice.log(), dim=-1) / len(scores)
    return votes, votes.max(dim=1).indices


# %% name="calibration-other-matrices"
# %%other calibration
# As Zhao et al. write it: a diagonal matrix W = diag(p)⁻¹ for each prompt. The scale of a row falls out in the end.
def calibrated_vote(scores, content_free):
    p = content_free.exp() / content_free.exp().sum(2, keepdim=True)
    q = scores.exp() @ torch.diag_embed(1 / p.mean(1))
    probabilities = torch.einsum("pnk,pn->nk", q, 1 / q.sum(2)) / scores.size(0)
    return probabilities, probabilities.argmax(dim=-1)


# %% name="calibration-other-logarithms"
# %%other calibration
# Nothing but logarithms until the end. In both means the number of inputs or prompts falls out.
def calibrated_vote(scores, content_free):
    prejudice = torch.logsumexp(torch.log_softmax(content_free, dim=-1), dim=1, keepdim=True)
    votes = torch.logsumexp(torch.log_softmax(scores - prejudice, dim=-1), dim=0)
    return torch.softmax(votes, dim=-1), votes.argmax(dim=1)


# %% [markdown] name="limits" question={"points": 3, "difficulty": 3, "minutes": 15, "section": "2.5"}
# ## 4. What calibration does, and what it cannot do
#
# **Two numbers.** A model says *good* with 0.6 and *bad* with 0.4 to a review, and *good* with 0.75 and *bad* with 0.25
# to "N/A". What is the `calibrated` probability of *good*? And from what probability of *good* on, before calibration,
# is the answer *good* afterwards: the `threshold`? Both lie between 0 and 1. Give three digits, or a fraction such as
# 2 / 7.
#
# **Which sentence is true of calibration with two labels?** Set `truth` to its letter.
#
# - **a** Sorted from the surest *bad* to the surest *good*, the reviews can stand in another order after it.
# - **b** It changes the answer only where the probability of *good* lies between the old threshold and the new one.
# - **c** It needs some labelled reviews, from which the prejudice is estimated.
# - **d** It changes the weights of the model, so it must be done once only.

# %% name="limits-answer"
calibrated = None  # a number
threshold = None  # a number
truth = ""  # the letter
### BEGIN SOLUTION
calibrated = 1 / 3  # 0.6 / 0.75 = 0.8 against 0.4 / 0.25 = 1.6
threshold = 0.75  # there both quotients are 1
truth = "b"
### END SOLUTION

# %% name="limits-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("05_prompt_learning", "limits", calibrated=calibrated, threshold=threshold, truth=truth)

# %% [markdown] name="limits-hint-1"
# Divide each probability by the one for "N/A", then make the two quotients sum to 1.

# %% [markdown] name="limits-hint-2"
# The answer is *good* where p / 0.75 is larger than (1 - p) / 0.25. For which p are the two equal?

# %% name="limits-parts"
limits = ValueQuestion()
limits.number("calibrated", points=1, title="the calibrated probability of good")
limits.number("threshold", points=1, title="the threshold before calibration")
limits.choice("truth", "abcd", points=1, title="the true sentence")

# %% name="limits-mistake-not-normalised"
# %%mistake limits
# 0.8 is the quotient 0.6 / 0.75. That of bad is 1.6; make the two sum to 1.
calibrated = 0.8

# %% name="limits-mistake-multiplied"
# %%mistake limits
# Here the prejudice was multiplied in. It favours good, so calibration must make good less likely.
calibrated = 9 / 11

# %% name="limits-mistake-rounded"
# %%mistake limits
# Rounded too far: give three digits, or the fraction.
calibrated = 0.33

# %% name="limits-mistake-bad"
# %%mistake limits
# That is the calibrated probability of *bad*.
calibrated = 2 / 3

# %% name="limits-mistake-product"
# %%mistake limits
# 0.45 is 0.6 · 0.75: the prejudice was multiplied in. Divide by it, and make the two quotients sum to 1.
calibrated = 0.45

# %% name="limits-mistake-per-cent"
# %%mistake limits
# A probability lies between 0 and 1; this is in per cent.
calibrated = 100 / 3
threshold = 75

# %% name="limits-mistake-half"
# %%mistake limits
# One half is the threshold after calibration. The question asks where it lies before.
threshold = 0.5

# %% name="limits-mistake-other-side"
# %%mistake limits
# 0.25 is the prejudice for bad. A model that leans to good must say good with more than its prejudice for good.
threshold = 0.25

# %% name="limits-mistake-this-review"
# %%mistake limits
# 0.6 is what this review got. Look for the p at which p / 0.75 and (1 - p) / 0.25 are equal.
threshold = 0.6

# %% name="limits-mistake-order"
# %%mistake limits
# The log odds of every review move by the same number, so their order stays.
truth = "a"

# %% name="limits-mistake-labels"
# %%mistake limits
# The prejudice comes from inputs without content. They have no label, and none is needed.
truth = "c"

# %% name="limits-mistake-weights"
# %%mistake limits
# Only the output is divided. The weights stay, and another prompt has another prejudice.
truth = "d"

# %% name="limits-other-worked-out"
# %%other limits
# The numbers as they are worked out.
calibrated = (0.6 / 0.75) / (0.6 / 0.75 + 0.4 / 0.25)
threshold = 0.75 / (0.75 + 0.25)
truth = "(B)"

# %% name="limits-other-tensors"
# %%other limits
# The numbers as tensors.
calibrated = torch.softmax(torch.log(torch.tensor([0.6 / 0.75, 0.4 / 0.25])), dim=0)[0]
threshold = torch.tensor(3) / 4
truth = " b."

# %% [markdown] name="end"
# ## Done?
#
# `hint("05_prompt_learning", "likelihood", 1)` gives a first hint; each question has two. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
