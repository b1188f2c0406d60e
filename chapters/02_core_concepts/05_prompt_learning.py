# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 2.5 提示学习 · Prompt learning
#
# 本节不改动模型的任何权重，只把任务写成一段带空缺的文字，让语言模型去填。我们先训练一个读过评论的小模型，
# 再看模板、标签词、示例及其顺序怎样改变它的回答，用校准去掉它的偏好，最后在同样多的标注下比较提示与微调。
# 文档给出的分类模板，逐条用程序检验。
#
# After this section you can turn a classification task into a prompt, score its answers by likelihood, calibrate them,
# and say when a prompt is enough and when labels are worth more.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import copy
import math
from dataclasses import replace
from random import Random

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.data.batching import Loader, pack
from lmlib.evaluation.classification import accuracy
from lmlib.models.nanochat import NanoChat, NanoChatConfig
from lmlib.prompting import (
    Demonstration,
    Prompt,
    Template,
    Verbaliser,
    calibrated,
    causal_scores,
    order_sensitivity,
    orders,
)
from lmlib.text.byte_pair_encoding import BytePairEncoding
from lmlib.training import TrainingConfig, set_seed, train

device = session.start(seed, device, profile)

# %% [markdown] name="question"
# ## 2.5.1 提示学习 · A task without training
#
# "Lovely food, superb staff. I am ..." How does the sentence go on? You say *content*, not *frustrated*. Nobody told
# you that this is sentiment classification. You only know how people write.
#
# A language model knows how people write. So a task can be put as a text with a gap: this is a **prompt** (提示). The
# model is not changed. We only ask which word fits the gap best.
#
# To study this we need a model that has read reviews and no labels. We write the reviews ourselves. Then we know
# how good an answer can be at all.

# %% name="reviews-code"
PRAISE = ["lovely", "superb", "charming", "splendid", "perfect", "delightful"]
BLAME = ["awful", "dreadful", "shabby", "hopeless", "terrible", "dismal"]
ASPECTS = ["staff", "food", "view", "service", "garden", "music"]
CLOSINGS = {  # how a page of reviews ends each of them: for a good one, for a bad one
    "I am {answer}.": ("content", "frustrated"),
    "It was {answer}.": ("great", "bad"),
    "My verdict: {answer}.": ("recommended", "avoid it"),
}
HONEST = 0.9  # the share of remarks that agree with the verdict


def remarks(random, label):
    """One to three remarks on aspects, and how many more of them praise than blame."""
    said, balance = [], 0
    for aspect in random.sample(ASPECTS, random.choice((1, 2, 2, 3))):
        praise = (random.random() < HONEST) == (label == 1)
        said.append(f"{random.choice(PRAISE if praise else BLAME)} {aspect}")
        balance += 1 if praise else -1
    return ", ".join(said).capitalize() + ".", balance


def page(random):
    """Five reviews of one place in one form. Nine times in ten a review agrees with the one before it."""
    label, (closing, words) = random.randint(0, 1), random.choice(list(CLOSINGS.items()))
    rows = []
    for _ in range(5):
        label = label if random.random() < 0.9 else 1 - label
        rows.append(f"{remarks(random, label)[0]} {closing.format(answer=words[1 - label])}\n")
    return "".join(rows)


# %% name="reviews" tags=["nbval-check-output"]
random = Random(seed)
pages = [page(random) for _ in range({"quick": 6000, "full": 60_000}[profile])]
print(page(Random(1)))

# %% [markdown] name="ceiling-text"
# **How good can an answer be?** One remark in ten is against the verdict. So a review with $d$ more praise than blame
# is good with odds $9^d$ to 1 (Bayes' rule with even odds to begin with). The best reader follows the sign of $d$, and
# guesses where $d = 0$. That gives a ceiling for every method of this section.

# %% name="ceiling"
random = Random(1000 + seed)
LABELS = [random.randint(0, 1) for _ in range({"quick": 200, "full": 1000}[profile])]
drawn = [remarks(random, label) for label in LABELS]
EXAMPLES = [{"text": text} for text, _ in drawn]
ceiling = np.mean(
    [0.5 if d == 0 else float((d > 0) == (label == 1)) for (_, d), label in zip(drawn, LABELS, strict=True)]
)
record.metric("ceiling", ceiling)
record.check("the best reader is right in 85 to 98 % of the test reviews", 0.85 < ceiling < 0.98)

# %% [markdown] name="pretraining-text"
# Now the model: two layers, 64 numbers a token. It learns one thing only, the next token. It sees no label and no task.
# The first loss must be about $\ln V$, for an untrained model spreads its guess over the whole vocabulary.

# %% name="pretraining"
tokenizer = BytePairEncoding.train(pages[:500], 500)
rows = pack([tokenizer.encode(text) for text in pages], 64, tokenizer.id_of("<|endoftext|>"))  # (N, 64)


def language_batch(some):
    """Rows of one length; each token is predicted from those before it."""
    ids = torch.stack(some)
    return {"input_ids": ids, "labels": ids}


def new_model():
    """A small causal model with random weights."""
    sizes = {"d_model": 64, "n_layers": 2, "n_heads": 4, "d_ff": 256, "max_positions": 256}
    return NanoChat(NanoChatConfig(vocab_size=len(tokenizer), eos_token_id=None, **sizes), "language_model").to(device)


set_seed(seed)
model = new_model()
steps = {"quick": 200, "full": 2000}[profile]
config = TrainingConfig(steps, 5e-3, warmup_steps=steps // 20, seed=seed, device=str(device))
log = train(model, Loader(list(rows), 32, language_batch, seed), config)

# %% name="pretraining-check"
print(
    f"loss: {log.losses[0]:.2f} at the start (ln V = {math.log(len(tokenizer)):.2f}), {log.losses[-1]:.2f} at the end"
)
record.check("the first loss is ln V, within 0.2", abs(log.losses[0] - math.log(len(tokenizer))) < 0.2)
record.check("the last loss is below 1.2", np.mean(log.losses[-20:]) < 1.2)

# %% [markdown] name="template-idea"
# ### 模板与标签词 · Template and verbaliser
#
# A prompt has two parts.
#
# - The **template** (模板) puts an input $x$ into a text with one gap: $T(x)$ = "*x* My verdict: {answer}."
# - The **verbaliser** (标签词映射) gives each label $y$ a word $v(y)$: 1 → *recommended*, 0 → *avoid it*.
#
# The label whose word is the likeliest in the gap wins. The words of an answer may be several tokens
# $a_1, \dots, a_L$, so their log probabilities are added:
#
# $$\hat y = \arg\max_y \ \ln P(v(y) \mid T(x)),\qquad
# \ln P(a \mid T) = \sum_{i=1}^{L} \ln P(a_i \mid T, a_{<i})$$
#
# This is called **zero-shot** (零样本) where the prompt shows no example. (Schick and Schütze 2021; Brown et al. 2020.)


# %% name="likelihood-code"
def log_probability(model, before, answer):
    """ln P of the answer's tokens after the text `before`. Two numbers are easy to confuse: i, and i - 1."""
    ids = torch.tensor([tokenizer.encode(before + answer)], device=device)  # (1, T)
    n_before = len(tokenizer.encode(before))
    with torch.no_grad():
        log_p = model(ids).logits.log_softmax(-1)[0]  # (T, V); row i predicts token i + 1
    return sum(log_p[i - 1, ids[0, i]].item() for i in range(n_before, ids.size(1)))


before = "Lovely food, superb staff. My verdict:"
for word in CLOSINGS["My verdict: {answer}."]:
    n_tokens, probability = len(tokenizer.encode(f" {word}")), math.exp(log_probability(model, before, f" {word}"))
    print(f"{word:12} tokens: {n_tokens}   P = {probability:.3f}")

# %% [markdown] name="likelihood-check-text"
# `lmlib.prompting` does the same for many texts at once. It encodes prompt and answer together, for a tokenizer may
# join the space to the word behind it. Are both the same? And: the probabilities of *all* first tokens must sum to 1,
# so those of two words sum to less.

# %% name="likelihood-check" tags=["nbval-check-output"]
VERDICT = Prompt(
    Template("{text} My verdict: {answer}."), Verbaliser({1: "recommended", 0: "avoid it"}), separator="\n"
)


def score(prompt, examples=EXAMPLES):
    """ln P of the labels (N, 2), in the order of the verbaliser: good, bad."""
    return causal_scores(model, tokenizer.encode, prompt, examples, batch_size=64)


def right(prompt, scores):
    """The share of test reviews that are answered as they were meant."""
    return accuracy(prompt.verbaliser.predictions(scores), LABELS)


ours = [log_probability(model, before, f" {word}.") for word in ("recommended", "avoid it")]
library = score(VERDICT, [{"text": "Lovely food, superb staff."}])[0].tolist()
record.check("ours equals lmlib's to 1e-4", np.allclose(ours, library, atol=1e-4))
record.check("two words have less than probability 1 together", sum(map(math.exp, ours)) < 1)
record.check("praise is recommended", ours[0] > ours[1])

# %% [markdown] name="zero-shot-text"
# Now the test reviews. Nothing is trained here: the weights must be the same, bit for bit, before and after.

# %% name="zero-shot"
weights_before = copy.deepcopy(model.state_dict())
zero_shot = right(VERDICT, score(VERDICT))
record.metric("zero-shot accuracy", zero_shot)
print(f"zero-shot: {zero_shot:.2f}, best reader: {ceiling:.2f}, guessing: 0.50")
record.check("zero-shot is far above guessing", zero_shot > 0.75)
record.check("nobody beats the ceiling by more than luck (0.06)", zero_shot < ceiling + 0.06)
same = all(torch.equal(weights_before[name], one) for name, one in model.state_dict().items())
record.check("not one weight has changed", same)

# %% [markdown] name="variance-text"
# ### 模板的方差 · The wording matters
#
# The model answered a question that nobody trained it for. Now say the same in other words. A person would
# understand all of the prompts below. Before you look: which will work, and which will not?

# %% name="variance"
WORDINGS = [
    ("{text} My verdict: {answer}.", "recommended", "avoid it"),
    ("{text} It was {answer}.", "great", "bad"),
    ("{text} I am {answer}.", "content", "frustrated"),
    ("{text} My verdict: {answer}.", "great", "bad"),
    ("{text} {answer}.", "content", "frustrated"),
    ("Review: {text} Sentiment: {answer}.", "positive", "negative"),
    ("It was {answer}. {text}", "great", "bad"),
    ("{text} It was {answer}.", "bad", "great"),
]
prompts = [Prompt(Template(text), Verbaliser({1: good, 0: bad}), separator="\n") for text, good, bad in WORDINGS]
by_wording = [right(prompt, score(prompt)) for prompt in prompts]

# %% name="variance-plot"
fig, (ax,) = plots.figure("The same question in eight wordings", width=7.6, height=3.4)
ax.barh(range(len(WORDINGS)), by_wording, height=0.6, color="#9db8d9", edgecolor=plots.COLOURS[0])
ax.set_yticks(range(len(WORDINGS)), [f"{text.format(text='…', answer=f'[{a} / {b}]')}" for text, a, b in WORDINGS])
ax.invert_yaxis()
ax.axvline(0.5, color="#333333", linestyle=":")
ax.axvline(ceiling, color="#333333", linestyle="--")
ax.set_xlim(0, 1)
ax.set_xlabel("accuracy without any example; dotted: guessing, dashed: best reader")
plots.show(
    fig,
    alt="Bars of accuracy for eight wordings. Those that close as the corpus does come near the best reader. A known "
    "closing with words of another may come near it or not. New closings do worse; at seed 0 they stay near guessing "
    "or below it. With the words exchanged the accuracy is far below guessing.",
)

# %% name="variance-check"
known, foreign, exchanged = by_wording[:3], by_wording[3:7], by_wording[7]
record.check("the best closing of the corpus is within 0.08 of the ceiling", max(known) > ceiling - 0.08)
record.check("the best and the worst sensible wording differ by over 0.25", max(known) - min(foreign) > 0.25)
mirror = abs(exchanged - (1 - by_wording[1]))
record.check("exchanged words give the mirror image of the accuracy", mirror < 1e-9)

# %% [markdown] name="variance-lesson"
# Three lessons.
#
# - A prompt works where it continues *as the training text does*. The model does not know what "sentiment" means, for
#   it has never met the word.
# - A known template with label words from elsewhere (*My verdict: great*) may work or not. It is clear to you; the
#   model has never read it. Run the notebook with another seed and look at the fourth bar.
# - In "It was {answer}. *x*" the answer comes **before** the text. A causal model fills that gap without having read
#   the text.
#
# The last bar is a warning. The words *are* the labels: who exchanges them gets the opposite answers. Large models
# behave alike: the wording alone moves their accuracy by tens of points (Zhao et al. 2021).

# %% [markdown] name="channel-text"
# Need the seventh bar be one half? Who says the same to every review is right in the share of that label, and our
# labels were drawn. And `causal_scores` counts what follows the gap as well. The gap's own score is the same for every
# review. What differs is $\ln P(x \mid v(y))$: how likely is the *text* after each label? This is the **channel**
# (噪声信道) reading; by Bayes' rule it answers the same question. (Min et al. 2022.) It works where the corpus puts
# labels before texts. On our pages a verdict stands before the *next* review only.

# %% name="channel"
joint = score(prompts[6])  # ln P(label) + ln P(text | label)
alone = score(replace(prompts[6], template=Template("It was {answer}.")), [{}])  # (1, 2): no review was read
channel = joint - alone
print(f"good reviews {np.mean(LABELS):.2f}, seventh bar {by_wording[6]:.2f}, channel {right(prompts[6], channel):.2f}")
record.check("what differs between reviews is the likelihood of the text", float(channel.std(0).min()) > 0.1)
record.metric("accuracy of the channel", right(prompts[6], channel))

# %% [markdown] name="few-shot"
# ### 少样本与顺序 · Few-shot: examples in the prompt, and their order
#
# **Few-shot** (少样本) prompts show some solved examples first, the **demonstrations** (示例). Still no weight changes:
# they are only more text to read. They can tell the model the form, the words, and how often each label comes.

# %% name="demonstrations" tags=["nbval-check-output"]
random = Random(77)
GOOD = [Demonstration({"text": remarks(random, 1)[0]}, 1) for _ in range(4)]
BAD = [Demonstration({"text": remarks(random, 0)[0]}, 0) for _ in range(4)]
CONTENT = replace(prompts[2], demonstrations=[*GOOD[:2], *BAD[:2]])
before, after = CONTENT.fill(EXAMPLES[0])
print(before, "___", after, sep="")

# %% [markdown] name="label-bias-text"
# What do demonstrations do to the answer? On a page of our corpus nine reviews of ten agree with the one just
# before. So praise just before makes praise likelier. Let us show four good ones, four bad ones, or two good ones and
# then two bad ones, and look at the mean log odds of *content* against *frustrated* over all test reviews. Zero would
# be no preference.

# %% name="label-bias"
SHOWN = {"four good": GOOD, "two of each": [*GOOD[:2], *BAD[:2]], "none": [], "four bad": BAD}
odds = {}
for name, shown in SHOWN.items():
    scores = score(replace(prompts[2], demonstrations=shown))
    odds[name] = float((scores[:, 0] - scores[:, 1]).mean())
    print(f"{name:12} mean log odds of good: {odds[name]:+.2f}   accuracy {right(prompts[2], scores):.2f}")
record.check("four good examples make 'good' likelier than four bad ones", odds["four good"] > odds["four bad"] + 0.3)
to_good, to_bad = (abs(odds["two of each"] - odds[name]) for name in ("four good", "four bad"))
record.check("two good and then two bad count as four bad do: the last ones decide", to_bad < to_good)

# %% [markdown] name="orders-text"
# Look at "two of each": it is about as far from good as four bad ones are, for its last two are bad. That is **recency
# bias** (近因偏差). Large models also have a **majority label bias** (多数标签偏差): the label shown most often is
# favoured (Zhao et al. 2021). If the last ones decide, the order matters. Take the *same* four demonstrations, in all
# 24 orders. How much does the accuracy move?

# %% name="orders"
asked = slice(0, {"quick": 100, "full": 1000}[profile])
all_orders = orders(4, 24)
scores_of = {order: score(CONTENT.ordered(order), EXAMPLES[asked]) for order in all_orders}
raw = [accuracy(CONTENT.verbaliser.predictions(scores_of[order]), LABELS[asked]) for order in all_orders]
record.metric("best order less worst", max(raw) - min(raw))
record.check("the order alone moves the accuracy by over 0.015", max(raw) - min(raw) > 0.015)

# %% [markdown] name="orders-library-text"
# `lmlib.prompting.order_sensitivity` makes this measurement. It must agree, and it adds a useful number: the entropy of
# the predicted labels. Near 0 bits the model says the same to everybody.

# %% name="orders-library" tags=["nbval-check-output"]
key = {tuple(id(d) for d in CONTENT.ordered(order).demonstrations): order for order in all_orders}
found = order_sensitivity(
    lambda one: scores_of[key[tuple(map(id, one.demonstrations))]], CONTENT, LABELS[asked], all_orders
)
record.check("lmlib counts the same", np.allclose(found.accuracy.numpy(), raw))
record.check("the entropy of two labels is at most one bit", float(found.label_entropy.max()) <= 1 + 1e-9)

# %% [markdown] name="calibration"
# ### 校准 · Calibration: take away what it would say to anything
#
# Ask the model about **nothing**: put "N/A." where the review should be. A fair judge would be undecided. If it says
# *frustrated* with 90 %, that is its prejudice, made of word frequencies and of the demonstrations. **Contextual
# calibration** (上下文校准) divides it out:
#
# $$q(y \mid x) = \frac{p(y \mid x)\,/\,p_{cf}(y)}{\sum_{y'} p(y' \mid x)\,/\,p_{cf}(y')}$$
#
# where $p$ is the probability among the label words only, (N, K), and $p_{cf}$ (K) is its mean over inputs without
# content. No label is used. (Zhao et al. 2021.)


# %% name="calibration-code"
def calibrate(scores, content_free):
    """scores (N, K) and content_free (M, K), both ln P → probabilities (N, K)."""
    prejudice = content_free.softmax(-1).mean(0)  # (K)
    fair = scores.softmax(-1) / prejudice
    return fair / fair.sum(-1, keepdim=True)


NOTHING = [{"text": text} for text in ("N/A.", "The place.", "It.")]

# %% name="calibration-check" tags=["nbval-check-output"]
by_hand = calibrate(torch.tensor([[0.3, 0.7]]).log(), torch.tensor([[0.1, 0.9]]).log())
print("p = (0.3, 0.7), prejudice (0.1, 0.9) → q =", [round(q, 3) for q in by_hand[0].tolist()])
record.check("on paper: 3 to 7/9, that is 27/34", math.isclose(by_hand[0, 0].item(), 27 / 34, rel_tol=1e-5))
one, nothing = score(CONTENT), score(CONTENT, NOTHING)
record.check("lmlib's equals ours", torch.allclose(calibrate(one, nothing), calibrated(one, nothing), atol=1e-6))
even = calibrate(nothing[:1], nothing[:1])
record.check("an input without content gets even odds", torch.allclose(even, torch.full_like(even, 0.5), atol=1e-5))

# %% [markdown] name="calibration-plot-text"
# Does it help? Left: the 24 orders, before and after. Right: the log odds of all reviews under one prompt. Calibration
# only moves the threshold from 0 to the dashed line. It cannot make the two clouds overlap less.

# %% name="calibration-orders"
mended = [
    accuracy(
        CONTENT.verbaliser.predictions(calibrated(scores_of[o], score(CONTENT.ordered(o), NOTHING))), LABELS[asked]
    )
    for o in all_orders
]
worst = all_orders[int(np.argmin(raw))]
scores = scores_of[worst]
log_odds = (scores[:, 0] - scores[:, 1]).numpy()
free = score(CONTENT.ordered(worst), NOTHING).softmax(-1).mean(0)
threshold = float((free[0] / free[1]).log())

# %% name="calibration-plot"
fig, (left, middle) = plots.figure("24 orders of four examples", "The worst order", width=8.6, height=3.3)
plots.order_spread(left, {"ln P": raw, "calibrated": mended}, max(np.mean(LABELS[asked]), 1 - np.mean(LABELS[asked])))
left.set_ylim(0.4, 1)
truth = np.array(LABELS[asked]) == 1
bins = np.linspace(log_odds.min(), log_odds.max(), 25)
middle.hist(log_odds[truth], bins, label="good", color="#9db8d9", edgecolor=plots.COLOURS[0])
middle.hist(log_odds[~truth], bins, label="bad", color="none", edgecolor=plots.COLOURS[1], hatch="////")
middle.axvline(0, color="black", label="threshold of ln P")
middle.axvline(threshold, color="black", linestyle="--", label="after calibration")
middle.set_xlabel("ln P(content) − ln P(frustrated)")
middle.set_ylabel("test reviews")
middle.legend(fontsize=8)
plots.show(
    fig,
    alt="Left: the accuracies of 24 orders, before and after calibration, each with its median. Right: log odds of "
    "good and bad reviews form two clouds with mixed reviews between them; calibration moves the threshold away from "
    "0.",
)

# %% name="calibration-result"
print(
    f"median of the orders: {np.median(raw):.2f} → {np.median(mended):.2f}; worst: {min(raw):.2f} → {min(mended):.2f}"
)
record.metric("calibration, change of the median", np.median(mended) - np.median(raw))
record.check("calibration does not lower the median by more than 0.05", np.median(mended) > np.median(raw) - 0.05)
moved = (calibrated(scores, score(CONTENT.ordered(worst), NOTHING))[:, 0] > 0.5).numpy()
record.check("calibrating is moving one threshold", np.array_equal(moved, log_odds > threshold))

# %% [markdown] name="against-fine-tuning"
# ### 提示与微调 · Prompting against fine-tuning, at equal labels
#
# How many labels is a prompt worth? (Le Scao and Rush 2021.) Take $n$ labelled reviews and three ways to use them:
#
# - **prompt + tuning**: all weights learn to fill the gap *My verdict: ...* of the labelled reviews;
# - **new head**: all weights and a fresh layer of two outputs learn, on the state of the last token;
# - **from nothing**: as the first, but with random weights instead of pre-trained ones.
#
# At $n = 0$ stands the prompt alone; a new head without training can only guess, so it is drawn at one half. Each is
# trained for 40 steps, the second task below for 120.


# %% name="tuning-code"
def tuned(start, prompt, examples, labels, steps=40):
    """A copy of a model that has learned to fill the gap for labelled examples; the text itself is not learned."""
    learner, rows = copy.deepcopy(start).train(), []
    for example, label in zip(examples, labels, strict=True):
        before, after = prompt.fill(example)
        ids, n = tokenizer.encode(f"{before}{prompt.verbaliser.word(label)}{after}"), len(tokenizer.encode(before)) - 1
        rows.append((ids, [-100] * n + ids[n:]))
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows], device=device)  # (n, T)
    targets = torch.tensor([some + [-100] * (longest - len(some)) for _, some in rows], device=device)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=2e-3)
    for step in range(steps):
        batch = torch.arange(step * 16, step * 16 + min(16, len(ids)), device=device) % len(ids)
        optimizer.zero_grad()
        learner(ids[batch], labels=targets[batch]).loss.backward()
        optimizer.step()
    return learner.eval()


# %% name="head-code"
def last_states(learner, texts):
    """The state (N, C) of the last token of each text."""
    rows = [tokenizer.encode(text) for text in texts]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)  # padding behind: unseen
    ends = torch.tensor([len(row) - 1 for row in rows], device=device)
    states = learner(ids).last_hidden_state  # (N, T, C)
    return states[torch.arange(len(rows), device=device), ends]


def with_new_head(start, texts, labels, steps=40):
    """A copy of the model and a fresh layer (C → 2), both trained on labelled texts."""
    learner, head = copy.deepcopy(start).train(), nn.Linear(64, 2).to(device)
    optimizer = torch.optim.AdamW([*learner.parameters(), *head.parameters()], lr=2e-3)
    for step in range(steps):
        batch = [i % len(texts) for i in range(step * 16, step * 16 + min(16, len(texts)))]
        optimizer.zero_grad()
        logits = head(last_states(learner, [texts[i] for i in batch]))
        nn.functional.cross_entropy(logits, torch.tensor([labels[i] for i in batch], device=device)).backward()
        optimizer.step()
    return learner.eval(), head


# %% name="tuning-run"
NUMBERS = {"quick": [4, 16, 64], "full": [2, 4, 8, 16, 32, 64, 128, 256]}[profile]
random = Random(2000 + seed)
taught_labels = [i % 2 for i in range(max(NUMBERS))]
taught_texts = [remarks(random, label)[0] for label in taught_labels]


def accuracy_of(learner, prompt, labels=LABELS):
    """The share of test reviews answered as the labels say."""
    scores = causal_scores(learner, tokenizer.encode, prompt, EXAMPLES, batch_size=64)
    return accuracy(prompt.verbaliser.predictions(scores), labels)


set_seed(seed)
untrained, texts = new_model().eval(), [one["text"] for one in EXAMPLES]
curves = {"prompt + tuning": [zero_shot], "new head": [0.5], "from nothing": [accuracy_of(untrained, VERDICT)]}
for n in NUMBERS:
    labelled = [{"text": text} for text in taught_texts[:n]]
    curves["prompt + tuning"].append(accuracy_of(tuned(model, VERDICT, labelled, taught_labels[:n]), VERDICT))
    curves["from nothing"].append(accuracy_of(tuned(untrained, VERDICT, labelled, taught_labels[:n]), VERDICT))
    learner, head = with_new_head(model, taught_texts[:n], taught_labels[:n])
    with torch.no_grad():
        said = head(last_states(learner, texts)).argmax(1).tolist()
    curves["new head"].append(accuracy(said, LABELS))

# %% [markdown] name="silent-task-text"
# And a second task, about which the corpus is silent: *does the review make several remarks?* with the answers *yes*
# and *no*. Nobody on our pages ever writes them.

# %% name="silent-task"
SEVERAL = Prompt(Template("{text} Several: {answer}."), Verbaliser({1: "yes", 0: "no"}))
several = [int("," in text) for text in texts]
several_curve = [accuracy_of(model, SEVERAL, several)]
for n in NUMBERS:
    labelled = [{"text": text} for text in taught_texts[:n]]
    told = [int("," in text) for text in taught_texts[:n]]
    several_curve.append(accuracy_of(tuned(model, SEVERAL, labelled, told, 120), SEVERAL, several))
common = max(np.mean(several), 1 - np.mean(several))

# %% name="tuning-plot"
fig, (left, middle) = plots.figure("Is it good?", "Does it make several remarks?", width=8.6, height=3.3)
places = range(len(NUMBERS) + 1)
plots.lines(left, places, curves, x_label="labels (0: the prompt alone)", y_label="accuracy")
plots.lines(
    middle, places, {"prompt + tuning": several_curve}, x_label="labels (0: the prompt alone)", y_label="accuracy"
)
plots.level(left, ceiling, "best reader")
plots.level(middle, common, "most frequent answer", below=True)
for ax in (left, middle):
    ax.set_xticks(places, ["0", *map(str, NUMBERS)])
    ax.set_ylim(0, 1.05)
left.legend(loc="lower right")
plots.show(
    fig,
    alt="Left: the prompt alone is near the best reader without labels; the new head starts at one half and catches up "
    "with labels; from nothing needs the most labels to come near. Right: the prompt alone is below the most frequent "
    "answer, and rises with labels.",
)

# %% name="tuning-check"
record.metric("new head, most labels", curves["new head"][-1])
record.metric("several remarks, most labels", several_curve[-1])
record.check(
    "without labels the prompt beats a model from nothing by over 0.15", zero_shot > curves["from nothing"][0] + 0.15
)
record.check(
    "with the fewest labels a new head is at most 0.06 above the prompt alone", curves["new head"][1] < zero_shot + 0.06
)
record.check(
    "on the silent task the prompt alone does not beat the most frequent answer by 0.1", several_curve[0] < common + 0.1
)
record.check("there, labels help: above the most frequent answer by over 0.05", several_curve[-1] > common + 0.05)

# %% [markdown] name="tuning-lesson"
# Read both panels together. A prompt brings out what the training text has put in. On the left the corpus had said
# what praise leads to, so the prompt is nearly as good as possible with no label at all, and a new head has to
# learn again how its two outputs are called. (Its curve on the left is one short training for each point, and depends
# on the seed: a dip in it says nothing.) On the right there was nothing to bring out, and only labels help.
#
# What we may say: *for this model and this corpus*. For large models the left-hand situation is common, for the web
# has said something about nearly everything. It is not universal.

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# One of the five documents has a section on prompts. Its template and its claims were put to a test. Each cell below
# computes the document's version and the correct one.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("02_core_concepts/05_prompt_learning")

# %% name="ledger-data"
outcome = ledger.outcome  # a call's result, or the name of the error it raises
LINES = ["lovely food I am content", "awful food I am cross", "superb view I am content", "dull view I am cross"]
LINES += ["lovely food so come again", "awful food so stay away", "superb view so come again", "dull view so stay away"]


def counted(prompt, answer):
    """A language model made of counts: how often the words of a prompt stand in a line that ends with the answer."""
    ends = [line.split() for line in LINES if line.endswith(answer)]
    return sum(math.log(1 + sum(word in line for line in ends)) for word in prompt.split())


# %% name="ledger-label-in-prompt" tags=["ledger"]
def document_version(text, *label):
    """001 §2.4: input text and label are joined into the prompt. There is no prompt before the label is known."""
    return "This is a {1} article about {0}.".format(text, *label)


def correct_version(text, *label):
    """The label's place is a gap; what stands before it can be built from the text alone."""
    return Template("{text} This article is {answer}.").fill({"text": text})[0]


record.check(
    "the document's prompt cannot be built for a text without a label", outcome(document_version, "x") == "IndexError"
)
record.check("with a gap it can", outcome(correct_version, "x") == "x This article is ")


# %% name="ledger-sentence-in-slot" tags=["ledger"]
def document_version(text, label):
    """001 §2.4, its template word for word: the text is put inside a sentence."""
    return f"这是一篇关于{text}的{label}文章。"


def correct_version(text, label):
    """The text stays whole, and the sentence with the gap comes after it."""
    return f"{text}这是一篇{label}文章。"


def torn(prompt):
    """Whether a full stop stands where the sentence goes on: before 的."""
    return "。的" in prompt


text = "今天的比赛很精彩。我们队赢了。"
record.check("in the document's template a full stop tears the sentence", torn(document_version(text, "体育")))
record.check("with the text in front both sentences stay whole", not torn(correct_version(text, "体育")))


# %% name="ledger-generate" tags=["ledger"]
def document_version(next_word):
    """001 §2.4: the model's generation gives the result directly. The likeliest next word."""
    return max(next_word, key=next_word.get)


def correct_version(next_word):
    """The likeliest of the *label words*: a verbaliser is needed."""
    return max(("good", "bad"), key=next_word.get)


next_word = {"a": 0.5, "very": 0.2, "good": 0.2, "bad": 0.1}
record.check("what is written next need not be a label", document_version(next_word) not in ("good", "bad"))
record.check("the likeliest label word is always one", correct_version(next_word) == "good")


# %% name="ledger-answer-first" tags=["ledger"]
def document_version(text):
    """001 §2.4 in English word order, 'a {answer} article about {text}': what a causal model reads before the gap."""
    return Template("This is a {answer} article about {text}.").fill({"text": text})[0]


def correct_version(text):
    """The gap at the end, as the Chinese word order has it."""
    return Template("About {text} this is an article that is {answer}.").fill({"text": text})[0]


texts = ("the match", "the election")
record.check("answer first: the gap is filled without the text", len({document_version(text) for text in texts}) == 1)
record.check("answer last: the text has been read", len({correct_version(text) for text in texts}) == 2)


# %% name="ledger-efficient" tags=["ledger"]
def document_version(n_questions, n_examples):
    """001 §2.4: without tuning, computation is saved: all that tuning costs, 40 steps on 16 reviews of 20 tokens."""
    return 40 * operations(16, 20, learn=True)


def correct_version(n_questions, n_examples):
    """Tuning is paid once. Examples in the prompt, 20 tokens each, are read at each question if no cache keeps them."""
    extra = operations(1, 20 * (1 + n_examples)) - operations(1, 20)
    return 40 * operations(16, 20, learn=True) - n_questions * extra


def operations(n_rows, length, learn=False):
    """What torch counts in a pass of a small model over rows of tokens, and in the backward pass if it learns."""
    sizes = {"d_model": 32, "n_layers": 2, "n_heads": 2, "d_ff": 128, "max_positions": 128}
    reader = NanoChat(NanoChatConfig(vocab_size=100, eos_token_id=None, **sizes), "language_model")
    ids = torch.zeros(n_rows, length, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        loss = reader(ids, labels=ids).loss
        if learn:
            loss.backward()
    return counter.get_total_flops()


record.check("a prompt without examples saves it all", correct_version(10_000, 0) == document_version(10_000, 0))
record.check("with four examples and ten questions most is saved", correct_version(10, 4) > document_version(10, 4) / 2)
record.check("without a cache nothing is saved in a thousand", correct_version(1000, 4) < 0 < document_version(1000, 4))


# %% name="ledger-flexible" tags=["ledger"]
def document_version(text):
    """001 §2.4: another prompt, another task; one model. Index of the answer to two questions."""
    feeling = max((0, 1), key=lambda y: counted(f"{text} I am", ("cross", "content")[y]))
    advice = max((0, 1), key=lambda y: counted(f"{text} so", ("stay away", "come again")[y]))
    return torch.tensor([feeling, advice])


def correct_version(text):
    """What a reader would answer to both."""
    return torch.tensor([1, 1]) if text.split()[0] in ("lovely", "superb") else torch.tensor([0, 0])


for text in ("lovely food", "dull view"):
    same = torch.equal(document_version(text), correct_version(text))
    record.check(f"one model, two prompts, two right answers: {text}", same)


# %% name="ledger-transparent" tags=["ledger"]
def document_version(prompts):
    """001 §2.4: a person understands the model by its prompt. Then equal meaning has equal odds, those of the first."""
    return [counted(prompts[0], "content") - counted(prompts[0], "cross")] * len(prompts)


def correct_version(prompts):
    """The odds that the model gives to each wording."""
    return [counted(prompt, "content") - counted(prompt, "cross") for prompt in prompts]


same_meaning = ["lovely food I am", "charming dishes I am"]  # the corpus never says charming
record.check("a person expects even odds for neither of the two", min(document_version(same_meaning)) > 0.5)
record.check("the model has no opinion on words it never read", correct_version(same_meaning)[1] == 0)


# %% name="ledger-below-tuning" tags=["ledger"]
def document_version(texts, labels):
    """001 §2.4: on some tasks prompting is worse than fine-tuning. The share right by prompt, on unknown words."""
    said = [int(counted(f"{text} edible", "yes") > counted(f"{text} edible", "no")) for text in texts]
    return torch.tensor([float(a == b) for a, b in zip(said, labels, strict=True)]).mean()


def correct_version(texts, labels):
    """The share right of a classifier that was fitted to four other labelled texts."""
    words = sorted({word for text in TAUGHT for word in text.split()})
    x, new = (torch.tensor([[float(w in text.split()) for w in words] for text in some]) for some in (TAUGHT, texts))
    weights = torch.linalg.pinv(x) @ (2 * torch.tensor(list(TAUGHT.values())).float() - 1)  # (W)
    return ((new @ weights > 0).long() == torch.tensor(labels)).float().mean()


TAUGHT = {"lovely food": 1, "awful food": 1, "superb view": 0, "dull view": 0}  # is it edible?
texts, labels = ["superb food", "dull food", "lovely view", "awful view"], [1, 1, 0, 0]
record.check("by prompt: one half, for the corpus never says yes or no", document_version(texts, labels) == 0.5)
record.check("fitted to four labels: all right on four new texts", correct_version(texts, labels) == 1.0)


# %% name="ledger-experience" tags=["ledger"]
def document_version(texts, labels):
    """001 §2.4: designing a prompt needs a person's experience. The share right with words that a person chose."""
    return share_right(("bad", "good"), texts, labels)


def correct_version(texts, labels):
    """With the pair of words that is right most often on two labelled texts: searched, not designed."""
    words = sorted({line.split()[-1] for line in LINES})
    pairs = [(bad, good) for bad in words for good in words if bad != good]
    best = max(pairs, key=lambda pair: share_right(pair, ["lovely food", "awful food"], [1, 0]))
    return share_right(best, texts, labels)


def share_right(pair, texts, labels):
    """The share of texts for which the model of counts prefers the word of the true label."""
    said = [int(counted(text, pair[1]) > counted(text, pair[0])) for text in texts]
    return np.mean([a == b for a, b in zip(said, labels, strict=True)])


texts, labels = ["superb view", "dull view"], [1, 0]
record.check(
    "words that a person chose: one half, for the model never read them", document_version(texts, labels) == 0.5
)
record.check("words that were searched: all right", correct_version(texts, labels) == 1.0)

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/02_core_concepts/05_prompt_learning.ipynb), about 70 minutes, four
# questions:
#
# 1. the likelihood of an answer: which row predicts which token;
# 2. from words to labels: several words for one label;
# 3. calibrated prompts vote: each has a prejudice of its own;
# 4. two numbers to derive, and what calibration cannot do.
#
# To go on: section 2.4 compares ways of fine-tuning, section 3.5 its tasks.
