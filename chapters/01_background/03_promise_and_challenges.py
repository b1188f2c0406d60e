# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 1.3 前景与挑战 · Promise and challenges
#
# 本节把文档里的许诺（理解、生成、问答）和挑战（算力、数据、可解释性、偏见、泛化）一条条变成可以运行的测量。
# 我们在小世界里训练一个小模型，因为小世界的真相是已知的：回答能判对错，偏见可以事先埋进去，没见过的句型可以留出来。
#
# After this section you have a number for each promise and each challenge, measured on a model that you trained, and
# you know what each number does not say.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import copy
import math
import random
import re
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.data.batching import Loader, Windows
from lmlib.data.world import make
from lmlib.data.world.sentences import held_out
from lmlib.evaluation.language_models import bits_per_byte, token_log_probabilities
from lmlib.models.nanochat import NanoChat, NanoChatConfig
from lmlib.models.ngram import AddK, KneserNey
from lmlib.text.byte_pair_encoding import BytePairEncoding
from lmlib.training import TrainingConfig, train

device = session.start(seed, device, profile)

# %% [markdown] name="promise"
# ## 1.3.1 意义 · One score, many uses
#
# What is so useful about guessing the next token? A language model gives any text a **score**, its log probability.
# With a score you can *choose* (which of two texts is likelier?), *write* (draw what is likely), and *answer* (which
# ending is likeliest?). Three promises, one tool. We train the Transformer of 1.1 once and ask it for all three, and
# a 5-gram beside it.

# %% name="model-text"
world = make(0)
N_TEXTS = {"quick": 1000, "full": 4000}[profile]
profiles = world.profiles(N_TEXTS)
train_text = "\n".join(text.text for text in profiles)
tokenizer = BytePairEncoding.train([train_text], 512)
V, T = len(tokenizer), 64
train_ids = torch.tensor(tokenizer.encode_plain(train_text))
test_ids = torch.tensor(tokenizer.encode_plain("\n".join(text.text for text in world.profiles(60, "test"))))
print(profiles[0].text)

# %% name="model-train"
WIDTH, LAYERS, STEPS = {"quick": (96, 1, 400), "full": (256, 2, 3000)}[profile]


def as_batch(rows):
    """Windows of equal length, (B, T)."""
    return {"input_ids": torch.stack(rows), "labels": torch.stack(rows)}


def loss_at(moments):
    """An evaluation that is called after every step, and measures the loss on test windows at some of them."""
    steps_done = iter(range(1, STEPS + 1))
    windows = test_ids[: len(test_ids) // T * T].view(-1, T).to(device)
    return lambda model: {"loss": model(windows, labels=windows).loss.item()} if next(steps_done) in moments else {}


torch.manual_seed(seed)
sizes = {"d_model": WIDTH, "n_layers": LAYERS, "n_heads": 4, "d_ff": 4 * WIDTH, "max_positions": 256}
transformer = NanoChat(NanoChatConfig(vocab_size=V, eos_token_id=None, **sizes), "language_model")
settings = {"muon_learning_rate": 0.04, "warmup_steps": STEPS // 20, "evaluate_every": 1}
config = TrainingConfig(STEPS, 1e-2, "muon", device=str(device), seed=seed, **settings)
moments = {2**k for k in range(12) if 2**k < 0.8 * STEPS} | {STEPS}
log = train(transformer, Loader(Windows(train_ids, T), 16, as_batch, seed), config, evaluate=loss_at(moments))
ngrams = {n: KneserNey([train_ids], n, V) for n in (1, 2, 3, 4, 5)}

# %% name="scores"
START = tokenizer.encode_plain("\n")[0]  # a new text begins on a new line


def log_p(model, text):
    """ln P of each token of a text that begins on a new line."""
    ids = torch.tensor(tokenizer.encode_plain(text))
    if isinstance(model, KneserNey):
        return model.log_probabilities(torch.cat([torch.tensor([START]), ids]))[1:]
    return token_log_probabilities(model, ids.to(device), T, start_id=START)


models = {"5-gram": ngrams[5], "Transformer": transformer}
record.check("the first loss is that of guessing, ln V", abs(log.losses[0] - math.log(V)) < 0.15)

# %% [markdown] name="understanding"
# ## 1.3.2 自然语言理解 · Understanding: choose the likelier text
#
# A first, small piece of understanding: does the model notice that a sentence is a sentence? We take sentences of the
# test text and swap two neighbouring words in each. Which of the two has the higher score?

# %% name="understanding-pairs"
shuffler = random.Random(seed)


def swapped(sentence):
    """The sentence with two neighbouring words exchanged, which are not the same."""
    words = sentence.split()
    places = [i for i in range(1, len(words) - 2) if words[i] != words[i + 1]]
    i = shuffler.choice(places)
    words[i], words[i + 1] = words[i + 1], words[i]
    return " ".join(words)


sentences = [s.text for text in world.profiles(40, "test") for s in text.sentences if len(s.words) > 6][:120]
pairs = [(sentence, swapped(sentence)) for sentence in sentences]
for right, wrong in pairs[:2]:
    print(f"{right}\n{wrong}\n")

# %% name="understanding-measure"
grammar = {
    name: np.mean([float(log_p(m, a).sum()) > float(log_p(m, b).sum()) for a, b in pairs]) for name, m in models.items()
}
for name, share in grammar.items():
    record.metric(f"{name}: the real sentence is likelier", share)
    record.check(f"{name}: of the two, the real sentence is likelier more than 9 times in 10", share > 0.9)

# %% [markdown] name="understanding-reviews-text"
# The same tool tells good reviews from bad ones. Train one small model on good reviews and one on bad ones, and ask
# which of the two finds a new review likelier. That is Bayes' rule: with both kinds equally frequent,
# $P(\text{good} \mid x) = P(x \mid \text{good}) / (P(x \mid \text{good}) + P(x \mid \text{bad}))$.

# %% name="understanding-reviews"
readers = {}
for label in (0, 1):
    texts = [review.text.text for review in world.reviews(600) if review.label == label]
    readers[label] = KneserNey([tokenizer.encode_plain(text) for text in texts], 3, V)
new = world.reviews(300, "test")
right = []
for review in new:
    ids = tokenizer.encode_plain(review.text.text)
    scores = [float(readers[label].log_probabilities(ids).sum()) for label in (0, 1)]
    right.append((scores[1] > scores[0]) == bool(review.label))
record.metric("reviews told right by two language models", np.mean(right))
record.check("nine in ten new reviews are told right; a coin would tell half", np.mean(right) > 0.9)

# %% [markdown] name="generation"
# ## 1.3.3 文本生成 · Writing: between nonsense and copying
#
# To write is to draw one token after the other. A good text consists of real words, and is not copied out. So we
# measure both: how many words of the drawn text exist, and how many runs of eight words stand in the training text,
# word for word. What do you expect of the 1-gram, and what of the 5-gram?


# %% name="generation-code"
def draw(model, n_rows=24, n_tokens=64):
    """Texts of n_tokens, drawn token by token."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(model, KneserNey):
        return [tokenizer.decode(model.sample(n_tokens, [START], generator)) for _ in range(n_rows)]
    ids = torch.full((n_rows, 1), START)
    for _ in range(n_tokens):
        with torch.no_grad():
            logits = model(ids[:, -T:].to(device), last_only=True).logits[:, -1].cpu()
        ids = torch.cat([ids, torch.multinomial(logits.softmax(-1), 1, generator=generator)], dim=1)
    return [tokenizer.decode(row[1:].tolist()) for row in ids]


def words_of(text):
    return re.findall(r"[\w'-]+", text)


known_words = set(words_of(train_text))
running = words_of(train_text)
known_runs = {tuple(running[i : i + 8]) for i in range(len(running) - 7)}


# %% name="generation-measure"
def judge(texts):
    """The share of words that exist, and the share of runs of eight words that are copied."""
    words = [words_of(text)[:-1] for text in texts]  # the last word may be cut off
    real = np.mean([word in known_words for row in words for word in row])
    runs = [tuple(row[i : i + 8]) in known_runs for row in words for i in range(len(row) - 7)]
    return real, np.mean(runs)


writers = {f"{n}-gram": model for n, model in ngrams.items()} | {"Transformer": transformer}
written = {name: draw(model) for name, model in writers.items()}
judged = {name: judge(texts) for name, texts in written.items()}
judged["test text"] = judge([text.text for text in world.profiles(40, "test")])
for name in ("2-gram", "Transformer"):
    print(f"{name}: {written[name][0]}\n")

# %% name="generation-plot"
fig, (ax,) = plots.figure("Between nonsense and copying", width=5.8, height=3.4)
for i, (name, (real, copied)) in enumerate(judged.items()):
    ax.plot(real, copied, plots.MARKERS[i % 6], color=plots.COLOURS[i % 6], markersize=7)
    left = real > 0.9
    place = {"xytext": (-7 if left else 7, 4), "ha": "right" if left else "left"}
    ax.annotate(name, (real, copied), textcoords="offset points", fontsize=8, **place)
ax.set_xlabel("share of the words that exist")
ax.set_ylabel("share of 8-word runs that are copied")
ax.set_xlim(0, 1.05)
plots.show(
    fig,
    alt="Share of copied runs against share of real words. The 1-gram is at the left, with nothing copied. "
    "With n the n-grams move right and then up. The Transformer lies at the right, near the 3-gram; the "
    "real test text is at the upper right.",
)

# %% name="generation-check"
for name, (real, copied) in judged.items():
    record.metric(f"{name}: words that exist", real)
    record.metric(f"{name}: runs that are copied", copied)
record.check("the 1-gram writes nonsense: under half of its words exist", judged["1-gram"][0] < 0.5)
record.check("over four in five words of the Transformer exist", judged["Transformer"][0] > 0.8)
record.check("the 5-gram copies more than the 2-gram", judged["5-gram"][1] > judged["2-gram"][1] + 0.05)
most = max(copied for name, (_, copied) in judged.items() if name != "test text")
record.check("the test text repeats more runs than any model", judged["test text"][1] > most)
record.check("over 99 in 100 of its words exist", judged["test text"][0] > 0.99)

# %% [markdown] name="generation-lesson"
# To copy is easy to despise. But look at the point of the test text: *almost every* word exists, and more of its runs
# stand in the training text than any model's. People write in set phrases, too. So a low share of copies alone is no
# merit, and both numbers together do not yet say that a text is good. Whether it is *true* is another question, and
# the next one.

# %% [markdown] name="answers"
# ## 1.3.4 知识问答 · Answering: what was read is known, more or less
#
# The profiles say again and again who does what. So ask: *By trade, Kate is a ...*, and let the model choose the
# likeliest of all the trades in the world. For each person the truth is known.

# %% name="answers-measure"
trades = sorted({person.trade.en for person in world.people})


def answer(model, name):
    """The trade whose whole sentence has the highest score."""
    articles = {trade: "an" if trade[0] in "aeio" else "a" for trade in trades}
    scores = {t: float(log_p(model, f"By trade, {name} is {articles[t]} {t}.").sum()) for t in trades}
    return max(scores, key=scores.get)


asked = world.people[: {"quick": 20, "full": 60}[profile]]
answers = {name: {p.name.en: answer(model, p.name.en) for p in asked} for name, model in models.items()}
for person in asked[:4]:
    told = ", ".join(f"{name}: {said[person.name.en]}" for name, said in answers.items())
    print(f"By trade, {person.name.en} is a ... {told} (truth: {person.trade.en})")

# %% name="answers-check"
known = {name: np.mean([said[p.name.en] == p.trade.en for p in asked]) for name, said in answers.items()}
for name, share in known.items():
    record.metric(f"{name}: trades known", share)
    record.check(f"{name}: at least ten times better than chance", share > 10 / len(trades))

# %% [markdown] name="answers-text"
# Nobody programmed a database. But this way of asking leaves no room for *I do not know*: some trade always has the
# highest score. We ask about people who do not exist.

# %% name="answers-unknown"
strangers = [name for name in ("Zorblax", "Quintilia", "Xanthippe") if name not in train_text]
for name in strangers:
    print(f"By trade, {name} is a ... {answer(transformer, name)}")
record.check("none of them is in the text, and a trade comes out all the same", len(strangers) == 3)

# %% [markdown] name="challenges"
# ## 1.3.5 挑战 · Five challenges, five measurements
#
# 001 names five challenges: computing, data, opacity, bias, generalisation. Each gets its own number.
#
# ### 算力 · Computing: the later gains cost more
#
# How many steps does the next bit of loss cost? We read it off the training log.

# %% name="computing"
done, losses = log.evaluation("loss")
levels = np.arange(math.floor(losses[0]), math.ceil(losses[-1] * 2) / 2 - 0.01, -0.5)
steps_to = np.exp(np.interp(-levels, -np.array(losses), np.log(done)))
fig, (left, right) = plots.figure("The loss falls ...", "... and the later half nats cost more", width=7.6)
plots.lines(left, done, {"test loss": losses}, x_label="steps (logarithmic)", y_label="loss (nats per token)")
left.set_xscale("log")
labels = [f"{level:.1f} → {level - 0.5:.1f}" for level in levels[:-1]]
right.bar(labels, np.diff(steps_to), color="#9db8d9", edgecolor=plots.COLOURS[0])
right.tick_params(axis="x", rotation=90)
right.grid(visible=False, axis="x")
right.set_ylabel("steps for this half nat")
plots.show(
    fig,
    alt="Left: test loss against the number of steps, logarithmic, falling from 6 to below 2. Right: bars of the steps "
    "that each half nat costs: after a dearer first one they grow from left to right.",
)

# %% name="computing-check"
prices = np.diff(steps_to)
record.metric("price of the last half nat over that of the first", prices[-1] / prices[0])
record.check("the last half nat costs more than ten times the first", prices[-1] > 10 * prices[0])
rises = np.diff(prices[len(prices) // 2 :])
record.check("in the second half of the way each half nat costs more than the one before", bool((rises > 0).all()))

# %% [markdown] name="data"
# ### 数据 · Data: how much, and how good
#
# Left: the 5-gram with more and more text. Right: the same amount of text, but in a share of its sentences the words
# have been shuffled. Nothing is missing from them, except the order.

# %% name="data-measure"
amounts = [len(train_ids) // d for d in (32, 16, 8, 4, 2, 1)]
by_amount = [-float(KneserNey([train_ids[:m]], 5, V).log_probabilities(test_ids).mean()) for m in amounts]
spoiled_shares = [0.0, 0.25, 0.5, 0.75, 1.0]


def spoil_text(share):
    """The training text, in a share of its sentences with the words in random order."""
    mixer, out = random.Random(seed), []
    for text in profiles:
        lines = [sentence.text.split() for sentence in text.sentences]
        for words in lines:
            if mixer.random() < share:
                mixer.shuffle(words)
        out.append(" ".join(" ".join(words) for words in lines))
    return torch.tensor(tokenizer.encode_plain("\n".join(out)))


by_quality = [-float(KneserNey([spoil_text(s)], 5, V).log_probabilities(test_ids).mean()) for s in spoiled_shares]

# %% name="data-plot"
fig, (left, right) = plots.figure("More text", "Worse text", width=7.6)
plots.lines(left, amounts, {"5-gram": by_amount}, x_label="training tokens", y_label="loss (nats per token)")
left.set_xscale("log")
plots.lines(
    right,
    spoiled_shares,
    {"5-gram": by_quality},
    x_label="share of shuffled sentences",
    y_label="loss (nats per token)",
)
for ax in (left, right):
    ax.set_ylim(0, 3)
plots.show(
    fig,
    alt="Left: the loss falls with every doubling of the training text. Right: the loss rises slowly with the share of "
    "shuffled sentences, and steeply when all are shuffled.",
)

# %% name="data-check"
record.check("with nothing shuffled both panels show the same model", math.isclose(by_quality[0], by_amount[-1]))
record.check("each doubling of the text lowers the loss", bool((np.diff(by_amount) < 0).all()))
record.check("the more is shuffled the worse", bool((np.diff(by_quality) > 0).all()))
first_half, other_half = by_quality[2] - by_quality[0], by_quality[4] - by_quality[2]
record.check("to shuffle half of the sentences costs less than to shuffle the other half", first_half < other_half)

# %% [markdown] name="opacity"
# ### 可解释性 · Opacity: every number can be read, and none has a name
#
# Is the model a black box? We can read and change every weight, so it is a box of glass. Yet what does one number
# mean? Two experiments. First: reorder the hidden units of the feed-forward layer. All weights now stand in other
# places, and the model is exactly the same function.

# %% name="opacity-permute" tags=["nbval-check-output"]
with torch.no_grad():
    other = copy.deepcopy(transformer)
    layer = other.decoder.blocks[0].feed_forward
    order = torch.randperm(layer.inner.weight.size(0))
    layer.inner.weight.copy_(layer.inner.weight[order])
    layer.outer.weight.copy_(layer.outer.weight[:, order])
    sample = test_ids[:T][None].to(device)
    same = torch.allclose(other(sample).logits, transformer(sample).logits, atol=1e-3)
    moved = (layer.inner.weight != transformer.decoder.blocks[0].feed_forward.inner.weight).float().mean().item()
record.check("over nine in ten of the layer's weights are other numbers now", moved > 0.9)
record.check("and every output is the same: the place of a unit means nothing", same)

# %% [markdown] name="opacity-text"
# Second: take out one hidden unit after the other, and see how much the loss suffers. Is there a unit that
# carries the knowledge?

# %% name="opacity-remove"
windows = test_ids[: 8 * T].view(8, T).to(device)
units = transformer.decoder.blocks[0].feed_forward


@torch.no_grad()
def loss_without(removed):
    """The loss on test windows when these hidden units are silent."""
    kept = units.outer.weight[:, removed].clone()
    units.outer.weight[:, removed] = 0.0
    loss = transformer(windows, labels=windows).loss.item()
    units.outer.weight[:, removed] = kept
    return loss


whole = loss_without([])
damage = np.array([loss_without([i]) - whole for i in range(units.outer.weight.size(1))])
all_removed = loss_without(list(range(len(damage)))) - whole

# %% name="opacity-plot"
fig, (ax,) = plots.figure("What it costs to remove one hidden unit", width=5.8, height=3.0)
ax.plot(range(1, len(damage) + 1), np.sort(damage)[::-1], color=plots.COLOURS[0])
plots.level(ax, all_removed, "all units removed", below=True)
ax.set_xlabel("hidden units, most important first")
ax.set_ylabel("rise of the loss (nats)")
plots.show(
    fig,
    alt="The rise of the loss when one unit is removed, sorted: close to 0 for every unit, and far below the "
    "dotted line for the removal of all units.",
)

# %% name="opacity-check"
record.metric("largest rise from one unit", damage.max(), "nats")
record.metric("rise from all units", all_removed, "nats")
record.check("no single unit carries a fifth of what all of them carry", damage.max() < all_removed / 5)

# %% [markdown] name="bias"
# ### 偏见 · Bias: what goes in comes out
#
# In the small world a bias can be *planted*. With strength $b$, a share of $(1 + b)/2$ of the women has a trade of
# the first half of all trades, and a share of $(1 - b)/2$ of the men. At $b = 0$ both are alike. We train on the
# profiles of such worlds, and ask: after *... is a baker.* (first half) or *... is a tailor.* (second half), how much
# likelier is *She* than *He*?
#
# $$\text{log-odds}(w) = \ln \frac{P(\text{She} \mid c_w)}{P(\text{He} \mid c_w)},
# \quad c_w = \text{... is a } w\text{.}$$
#
# for a trade $w$; it is 0 where both are equally likely.


# %% name="bias-measure"
def measured_bias(strength, world_seed):
    """Mean log-odds of She against He after trades of the first half, minus that after trades of the second half."""
    biased = make(seed=world_seed, size="large", bias=strength)
    lists = [[w for s in text.sentences for w in s.words] for text in biased.profiles(800)]
    ids = {word: i for i, word in enumerate(sorted({w for words in lists for w in words}))}
    model = KneserNey([[ids[w] for w in words] for words in lists], 4, len(ids))
    means = []
    for group in biased.population.groups:
        known = [trade for trade in group if trade in ids]
        after = [model.probabilities([ids["a"], ids[trade], ids["."]]) for trade in known]
        means.append(np.mean([math.log(p[ids["She"]] / p[ids["He"]]) for p in after]))
    return means[0] - means[1]


STRENGTHS = [-1.0, -0.5, 0.0, 0.5, 1.0]
seeds = range(seed, seed + {"quick": 2, "full": 5}[profile])
found = np.array([[measured_bias(b, s) for b in STRENGTHS] for s in seeds])

# %% name="bias-plot"
fig, (ax,) = plots.figure("Planted in the world, found in the model", width=5.6, height=3.2)
plots.band(ax, STRENGTHS, found, "4-gram, worlds of several seeds")
plots.level(ax, 0.0, "no difference")
ax.set_xlabel("planted bias b")
ax.set_ylabel("difference of log-odds (nats)")
plots.show(
    fig,
    alt="The measured difference of log-odds rises with the planted bias, from clearly negative at -1 through "
    "about 0 at 0 to clearly positive at 1.",
)

# %% name="bias-check"
ends, middle = found[:, [0, -1]], found[:, 2]
record.check("planted against the first half: below -0.5 nats", bool((ends[:, 0] < -0.5).all()))
record.check("planted for the first half: above 0.5 nats", bool((ends[:, 1] > 0.5).all()))
record.check("nothing planted: nearer to 0 than either end", bool((abs(middle) < abs(ends).min(1)).all()))

# %% [markdown] name="bias-lesson"
# The model was told nothing about women and men. It counted. It has no way to know which regularities of its text
# we would like it to forget.

# %% [markdown] name="generalisation"
# ### 泛化 · Generalisation: how far from home?
#
# Bits per byte of the same two models on texts that lie further and further away: profiles that they were trained on,
# new profiles in known sentence patterns, new profiles in patterns that were held out, and then stories, news and
# Chinese.

# %% name="generalisation-measure"
new_sentences = [s for text in world.profiles(150, "test") for s in text.sentences]
places = {
    "training text": " ".join(s.text for text in profiles[:30] for s in text.sentences),
    "new, known patterns": " ".join(s.text for s in new_sentences if not held_out(s.skeleton))[:8000],
    "new, held-out patterns": " ".join(s.text for s in new_sentences if held_out(s.skeleton))[:8000],
    "stories": "\n".join(text.text for text in world.stories(10, "test")),
    "news": "\n".join(text.text for text in world.news(12, "test")),
    "profiles in Chinese": "\n".join(text.text for text in world.profiles(30, "test", "zh")),
}
far = {name: [bits_per_byte(log_p(m, text), text) for text in places.values()] for name, m in models.items()}

# %% name="generalisation-plot"
fig, (ax,) = plots.figure("Further from home, more bits", width=6.6, height=3.4)
for i, (name, values) in enumerate(far.items()):
    ax.barh(np.arange(len(places)) + 0.4 * i, values, 0.38, color=("#9db8d9", "#08306b")[i], label=name)
ax.axvline(8, color="#555555", linewidth=0.9, linestyle=":")
ax.set_yticks(np.arange(len(places)) + 0.2, list(places))
ax.invert_yaxis()
ax.set_xlabel("bits per byte (dotted: a model that knows nothing)")
ax.grid(visible=False, axis="y")
ax.legend(loc="upper right")
plots.show(
    fig,
    alt="Bars of bits per byte for six kinds of text: below 1 for training text and new texts in known patterns, "
    "more for held-out patterns, three or more for stories and news, and over 8 for Chinese.",
)

# %% name="generalisation-check"
for name, values in far.items():
    for place, value in zip(places, values, strict=True):
        record.metric(f"{name}: {place}", value, "bits per byte")
    home, known_patterns, held, stories, news, chinese = values
    record.check(f"{name}: patterns that were held out cost more than known ones", held > known_patterns > home)
    foreign = min(stories, news)
    record.check(f"{name}: stories and news cost more than twice as much as held-out patterns", foreign > 2 * held)
    record.check(f"{name}: in Chinese it is worse than a model that knows nothing", chinese > 8)

# %% [markdown] name="generalisation-lesson"
# One reading of the bars: such a model generalises *within* its world, to new sentences of known making. Outside it
# gets worse, and in Chinese it is worse than ignorant: it is sure, and wrong, which costs more than 8 bits a byte. What
# makes large models general is first of all that their world is large. Very little is far from home for them.

# %% [markdown] name="structure"
# ## 1.3.6 本文结构 · What the documents promise of themselves
#
# 002 and 003 announce their own structure: principles first (002: also algorithms and formulas), then practice and an
# outlook. That can be checked as well, with the list of their headings.

# %% name="structure-list" tags=["nbval-check-output"]
headings = [h for h in ledger.load_outline() if h.number and h.number.count(".") == 0]
for document in ("002", "003"):
    print(document, " · ".join(h.title for h in headings if h.document == document))

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# Promises can hardly be refuted, but their parts can be tested.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("01_background/03_promise_and_challenges")

# %% name="ledger-data"
small = make(0)
stories, reviews = ("".join(t.text for t in kind) for kind in (small.stories(30), [r.text for r in small.reviews(60)]))
in_bytes = lambda text: torch.tensor(list(text.encode()))  # noqa: E731


# %% name="ledger-computing" tags=["ledger"]
def document_version():
    """001 §1.3, challenge 1: enormous computing. Years of one A100 at 40 % of its peak for GPT-3, from 6·N·D."""
    return math.log10(6 * 175e9 * 300e9 / (312e12 * 0.4) / (365 * 86400))


def correct_version():
    """From the 3,640 days of 10¹⁵ operations a second that Brown et al. report."""
    return math.log10(3640 * 1e15 / (312e12 * 0.4) / 365)


record.check("both ways agree within 2 %", abs(document_version() - correct_version()) < 0.008)
record.check("more than a lifetime of work", 10 ** correct_version() > 50)


# %% name="ledger-quality" tags=["ledger"]
def document_version(clean, spoiled, new):
    """001 §1.3, challenge 2: quality and diversity of the data. What a worse text costs, in nats a byte, by lmlib."""
    losses = [-AddK([in_bytes(text)], 2, 256).log_probabilities(in_bytes(new))[1:].mean() for text in (clean, spoiled)]
    return float(losses[1] - losses[0])


def correct_version(clean, spoiled, new):
    """The same by counts in plain Python."""
    losses = []
    for text in (clean, spoiled):
        two, one = Counter(text[i : i + 2] for i in range(len(text) - 1)), Counter(text[:-1])
        steps = [math.log((two[new[i : i + 2]] + 1) / (one[new[i]] + 256)) for i in range(len(new) - 1)]
        losses.append(-np.mean(steps))
    return losses[1] - losses[0]


clean = "".join(c for c in stories if c.isascii())
spoiled, new = "".join(random.Random(0).sample(clean, len(clean))), "".join(c for c in reviews if c.isascii())
record.check("both agree", abs(document_version(clean, spoiled, new) - correct_version(clean, spoiled, new)) < 1e-6)
record.check("the same letters in disorder cost over 0.3 nats a letter", correct_version(clean, spoiled, new) > 0.3)
narrow = (clean[: len(clean) // 30] * 31)[: len(clean)]
cost = correct_version(clean, narrow, new)
record.check("a thirtieth of the text, repeated to the same length, costs over 0.3 too", cost > 0.3)


# %% name="ledger-black-box" tags=["ledger"]
def document_version(one, two, x):
    """001 §1.3, challenge 3: a black box. All that can be compared is what comes out."""
    return torch.allclose(F.relu(x @ one[0]) @ one[1], F.relu(x @ two[0]) @ two[1], atol=1e-5)


def correct_version(one, two, x):
    """It can be opened: every weight can be read. What is missing is what it means."""
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


one, order = (torch.randn(4, 9), torch.randn(9, 4)), torch.arange(8, -1, -1)
two = (one[0][:, order], one[1][order])  # the hidden units in another order
x = torch.randn(5, 4)
record.check("from outside two networks are the same", document_version(one, two, x))
record.check("from inside every number can be seen, and they differ", not correct_version(one, two, x))


# %% name="ledger-bias" tags=["ledger"]
def document_version(share):
    """001 §1.3, challenge 4: what is skewed in the text is skewed in the output. P(she | nurse) of a 2-gram."""
    she, he, nurse = 0, 1, 2
    text = [token for i in range(100) for token in (nurse, she if i < 100 * share else he)]
    return float(AddK([text], 2, 3, k=0).probabilities([nurse])[she])


def correct_version(share):
    """The share that was planted."""
    return share


for share in (0.5, 0.9):
    record.check(f"planted {share}, found {share}", abs(document_version(share) - correct_version(share)) < 1e-9)


# %% name="ledger-generalisation" tags=["ledger"]
def document_version(home, away):
    """001 §1.3, challenge 5: limited generalisation. The loss on another kind of text, of letters counted at home."""
    return float(-AddK([in_bytes(home)], 1, 256).log_probabilities(in_bytes(away)).mean())


def correct_version(home, away):
    """What the other text costs in any case, its entropy, plus the price of the wrong home: a divergence."""
    q, p = (torch.bincount(in_bytes(text), minlength=256).double() for text in (away, home))
    q, p = q / q.sum(), (p + 1) / (p + 1).sum()
    seen = q > 0
    entropy = -(q[seen] * q[seen].log()).sum()
    return float(entropy + (q[seen] * (q[seen] / p[seen]).log()).sum())


chinese = "".join(t.text for t in small.stories(10, "test", "zh"))
for away in (reviews, chinese):
    record.check(
        "loss = entropy + divergence", abs(document_version(stories, away) - correct_version(stories, away)) < 1e-6
    )
dear, cheap = correct_version(stories, chinese), correct_version(stories, reviews)
record.check("far from home the price is over two nats a byte higher", dear > cheap + 2)


# %% name="ledger-structure" tags=["ledger"]
def document_version(document, promised):
    """002 §1.4, 003 §1.4: the structure that is announced. How many parts are found, in the announced order."""
    titles = [h.title for h in ledger.load_outline() if h.document == document and h.number]
    place, found = 0, 0
    for part in promised:
        later = [i for i, title in enumerate(titles) if i >= place and part in title]
        found, place = (found + 1, later[0]) if later else (found, place)
    return float(found)


def correct_version(document, promised):
    """All of them."""
    return float(len(promised))


for document, promised in (("002", ["核心", "算法", "数学", "代码", "未来"]), ("003", ["核心", "实践", "未来"])):
    same = document_version(document, promised) == correct_version(document, promised)
    record.check(f"{document} keeps its promise: {len(promised)} parts in their order", same)


# %% name="ledger-broken-off" tags=["ledger"]
def document_version(promised):
    """004 §1.3: core concepts, applications, outlook. All of them are announced."""
    return len(promised)


def correct_version(promised):
    """Those that have a heading in the text that we have."""
    titles = [h.title for h in ledger.load_outline() if h.document == "004"]
    return sum(any(part in title for title in titles) for part in promised)


promised = ["核心概念", "应用场景", "未来发展趋势"]  # and 关键技术, for which several headings could stand
record.check("three parts are announced", document_version(promised) == 3)
record.check("one has a heading: the text breaks off", correct_version(promised) == 1)

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/01_background/03_promise_and_challenges.ipynb), about 60 minutes, four
# questions:
#
# 1. bits per byte, kind by kind: sums first, then the quotient;
# 2. a planted bias, from counts to a difference of log-odds;
# 3. the same function in other weights: reorder the hidden units;
# 4. what a measurement says, and what it does not.
#
# To go on: chapter 2 explains the models themselves. Bias returns in 8.5, opacity in 8.4, scaling in 8.1.
