# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 3.7 推理 · Inference
#
# 本节讨论模型训练好之后怎样使用：模型给出下一个词元的概率，解码策略决定写出什么。
# 我们在小世界上用几秒钟训练一个小模型，然后逐一比较贪婪解码、束搜索、温度、top-k、top-p 等采样方法、对比搜索、
# 推测解码和受约束的解码，并画出每种方法的得与失；最后测量键值缓存、终止条件，以及分类、问答和序列到序列的用法。
#
# After this section you can write each strategy yourself, choose one for a task and say what it costs: likelihood
# against length, quality against diversity, speed against nothing at all.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import json
import math
import random
import time
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.data.batching import Loader, pack
from lmlib.data.world import make
from lmlib.decoding import (
    OneOf,
    Regex,
    Sampling,
    Stop,
    Tally,
    beam_search,
    contrastive_search,
    generate,
    json_regex,
    speculative,
)
from lmlib.decoding.sampling import draw, min_p, top_k, top_p, typical
from lmlib.decoding.speculative import accept
from lmlib.models.llama import Llama, LlamaConfig
from lmlib.models.transformer import Transformer, TransformerConfig
from lmlib.text.byte_pair_encoding import BytePairEncoding
from lmlib.training import TrainingConfig, train

device = session.start(seed, device, profile)

# %% [markdown] name="inference"
# ## 模型给的是概率 · A model gives probabilities, not text
#
# A trained language model answers one question: given these tokens, how likely is each token to come next? It
# does not say which one to write. That is decided by a **decoding strategy** (解码策略), and the same model
# writes dull, wild, short or wrong texts under different ones.
#
# We need a model to try them on. Its text is the small world: sentences about people and towns, the last sentences of
# reviews with a verdict, questions about 30 people with their answers, and forms in JSON. Each is a line that ends
# with `<end>`.

# %% name="lines"
world = make(seed=0)
people = world.people[:30]


def frequent(sentences, least):
    """The texts of those sentences all of whose words occur at least so often."""
    count = Counter(word for sentence in sentences for word in sentence.words)
    return [s.text if min(count[word] for word in s.words) >= least else None for s in sentences]


told = frequent([s for text in world.profiles(400, "train") for s in text.sentences], 10)
told = [text for text in told if text]
reviews = world.reviews(800, "train")
endings = frequent([review.text.sentences[-1] for review in reviews], 6)
verdicts = {0: "bad", 1: "good"}
judged = [f"{text} Verdict: {verdicts[r.label]}" for text, r in zip(endings, reviews, strict=True) if text]
asked = [f"Where does {p.name.en} live? {p.town.name.en}" for p in people]
asked += [f"What is {p.name.en}? {p.trade.en}" for p in people]
forms = ["Form: " + json.dumps({"name": p.name.en, "town": p.town.name.en, "age": p.age}) for p in people]
lines = told + judged + 10 * (asked + forms)
for some in (told[0], judged[0], asked[0], forms[0]):
    print(some)

# %% name="tokens"
tokenizer = BytePairEncoding.train(lines, 900, ("<pad>", "<end>"))
END = tokenizer.id_of("<end>")
random.Random(seed).shuffle(lines)
rows = pack([tokenizer.encode(line) for line in lines], 64, END)  # (N, 64)


def ids_of(text):
    """A prompt: an end token, as stands before each line, and the text."""
    return [END, *tokenizer.encode(text)]


def text_of(tokens):
    """What was written, without the end token."""
    return tokenizer.decode(tokens, skip_special_tokens=True).strip()


# %% name="train"
def new_model(width, n_layers):
    """A small untrained LLaMA over our vocabulary."""
    torch.manual_seed(seed)
    sizes = {"d_model": width, "n_layers": n_layers, "n_heads": 4, "d_ff": 2 * width, "max_positions": 256}
    return Llama(LlamaConfig(vocab_size=len(tokenizer), tied=True, eos_token_id=END, **sizes), head="language_model")


def fit(model, steps, batch_size):
    """The trained model and its losses."""

    def collate(chosen):
        ids = torch.stack(chosen)
        return {"input_ids": ids, "labels": ids}

    plan = TrainingConfig(steps, 1e-2, "muon", warmup_steps=steps // 10, device=str(device), seed=seed)
    losses = train(model, Loader(rows, batch_size, collate, seed), plan).losses
    return model.eval(), np.array(losses)


N_STEPS, N_DRAFT_STEPS, BATCH = {"quick": (200, 120, 16), "full": (1500, 500, 64)}[profile]
model, losses = fit(new_model(96, 2), N_STEPS, BATCH)
record.metric("language model: final loss", losses[-10:].mean(), "nats per token")
record.check("the first loss is near ln V", abs(losses[0] - math.log(len(tokenizer))) < 0.5)
record.check("the last ten are under 1 nat", losses[-10:].mean() < 1)

# %% [markdown] name="next-token-text"
# Ask it three questions, the first one that it has learned best. A bar is the probability of a next token, the ten
# likeliest. Where would you *draw*, and where would you rather have the likeliest?


# %% name="next-token"
@torch.no_grad()
def next_scores(prompt):
    """The scores (V) of the token that follows a list of ids."""
    return model(torch.tensor([prompt], device=device)).logits[0, -1].float().cpu()


where = [f"Where does {person.name.en} live?" for person in people]
surest = max(where, key=lambda question: next_scores(ids_of(question)).softmax(-1).max())
QUESTIONS = [surest, "All in all, I am very", "People in"]
fig, axes = plots.figure(*(f"“{question} …”" for question in QUESTIONS), width=9.0, height=2.9)
for ax, question in zip(axes, QUESTIONS, strict=True):
    chances, ids = next_scores(ids_of(question)).softmax(-1).topk(10)
    ax.barh(range(10), chances, color=plots.COLOURS[0])
    ax.set_yticks(range(10), [tokenizer.decode([i]).strip() or "·" for i in ids.tolist()], fontsize=7)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("probability")
plots.show(
    fig,
    alt="Probabilities of the ten likeliest next tokens after three beginnings. After a question about a person "
    "nearly all lies on one token. After 'All in all, I am very' it is shared by several adjectives. After "
    "'People in' by several towns.",
)

# %% name="next-token-check"
sure, open_ended = (next_scores(ids_of(q)).softmax(-1).max() for q in QUESTIONS[:2])
record.check("the question has one answer: over 0.7 on one token", sure > 0.7)
record.check("the beginning of a sentence has many: under 0.5 on the first", open_ended < 0.5)

# %% [markdown] name="text-generation"
# ## 文本生成 · One loop for all strategies
#
# The loop is that of section [3.3](03_decoder.ipynb): choose a token, append it, ask again, until `<end>` or a
# maximum length. A strategy is the function that chooses. The simplest is **greedy** (贪婪解码): the likeliest token.


# %% name="loop" tags=["nbval-check-output"]
def write(prompt, choose, max_new_tokens=24):
    """Continue a list of ids; `choose` takes scores (V) and gives a token."""
    written = []
    while len(written) < max_new_tokens:
        token = int(choose(next_scores(prompt + written)))
        written.append(token)
        if token == END:
            break
    return written


prompts = [ids_of(question) for question in QUESTIONS]
ours = [write(prompt, torch.argmax) for prompt in prompts]
library = [one.tokens for one in generate(model, prompts, 24)]
record.check("greedy in our loop equals lmlib.decoding.generate", ours == library)
first_names = [ids_of(name) for name in ("She", "He", "People")]
record.check(
    "greedy has no choice: twice the same", generate(model, first_names, 24) == generate(model, first_names, 24)
)

# %% [markdown] name="repetition-text"
# **What is wrong with greedy?** For a question with one answer, nothing. But let it write on, past the end of a line,
# for 100 tokens. We count *repetition*: the share of 4-grams of tokens in a text that occurred in it before. Real
# text is our measure: as many tokens of the training lines.
#
# Two cures are in the plot too. A **repetition penalty** makes all tokens of the prompt and of the text
# written so far less likely.
# **Contrastive search** (对比搜索) takes, of the k likeliest tokens, the one with the most $(1-\alpha)\,p -
# \alpha\,\max_j \cos(h, h_j)$: likely, and with a state $h$ unlike all states $h_j$ before it.

# %% name="repetition"
LONG = {"quick": 100, "full": 220}[profile]
STARTS = [ids_of(word) for word in ("She", "He", "People", "Of", "All", "I", "My", "Two")]
ON = Stop(tokens=())  # write on after <end>


def repetition(tokens):
    """Share of the 4-grams of a text that are not new."""
    grams = list(zip(*(tokens[i:] for i in range(4)), strict=False))
    return 1 - len(set(grams)) / len(grams)


ways = {
    "greedy": generate(model, STARTS, LONG, stop=ON),
    "beam search, 4": beam_search(model, STARTS, LONG, n_beams=4, stop=ON),
    "greedy, penalty 1.3": generate(model, STARTS, LONG, penalty=1.3, stop=ON),
    "contrastive search": contrastive_search(model, STARTS, LONG, k=6, alpha=0.6, stop=ON),
    "drawn": generate(model, STARTS, LONG, sampling=Sampling(), stop=ON, seed=seed),
}
repeated = {name: [repetition(one.tokens) for one in texts] for name, texts in ways.items()}
stretches = [rows.flatten()[i * LONG : (i + 1) * LONG].tolist() for i in range(20)]
repeated["real lines"] = [repetition(tokens) for tokens in stretches]
for name in ("greedy", "greedy, penalty 1.3", "drawn"):
    print(f"{name}, the end of a text: …{tokenizer.decode(ways[name][0].tokens[-45:]).replace('<end>', ' | ')}")

# %% name="repetition-plot"
fig, (ax,) = plots.figure(f"How much of {LONG} tokens is repetition", width=6.6, height=2.8)
plots.ranges(
    ax, list(repeated), {"": list(repeated.values())}, x_label="share of 4-grams that occurred before (0 to 1)"
)
ax.set_xlim(-0.02, 1.02)
plots.show(
    fig,
    alt="Share of repeated 4-grams for six kinds of text: mean and range over eight beginnings, for real lines over "
    "20 stretches. Greedy and beam search repeat most. Drawing repeats about as much as real lines, penalty and "
    "contrastive search even less.",
)

# %% name="repetition-check"
mean = {name: float(np.mean(values)) for name, values in repeated.items()}
for name, value in mean.items():
    record.metric(f"repetition, {name}", value)
record.check("greedy repeats itself: over a fifth of its 4-grams", mean["greedy"] > 0.2)
record.check("drawing repeats at most half as much as greedy", mean["drawn"] < mean["greedy"] / 2)
record.check("the penalty lowers it", mean["greedy, penalty 1.3"] < mean["greedy"] - 0.1)
record.check("so does contrastive search", mean["contrastive search"] < mean["greedy"])

# %% [markdown] name="repetition-lesson"
# A loop is not a bug of the search. Greedy always does the likeliest thing, and a line that was written before is often
# the likeliest next one. (Holtzman et al. 2020 call it degeneration, and find that each repetition makes the next one
# likelier; Su et al. 2022 proposed contrastive search.)

# %% [markdown] name="sampling"
# ## 采样 · Drawing, and how to leave out the tail
#
# Draw the next token with its probability: then the text has the distribution of the model. That is honest, and it
# has a flaw. The tail of the vocabulary is long. Each of its tokens is unlikely, all together are not, and one bad
# token spoils the rest of the line. So one sharpens or cuts the distribution first:
#
# | strategy | what it does to the scores $z$ |
# | --- | --- |
# | temperature 温度 | $\mathrm{softmax}(z / \tau)$: τ < 1 sharper, τ > 1 flatter |
# | top-k | only the k likeliest tokens stay |
# | top-p 核采样 | the fewest tokens that have probability p together |
# | min-p | tokens at least p times as likely as the likeliest |
# | typical | tokens whose surprise $-\ln p$ is nearest to the expected surprise, until they have p together |
#
# What stays is normalised again. The first three from scratch:


# %% name="filters" tags=["nbval-check-output"]
def with_temperature(scores, temperature):
    """Probabilities (V) of scores (V)."""
    return torch.softmax(scores / temperature, dim=-1)


def keep_k(scores, k):
    """Minus infinity at all but the k largest scores."""
    return torch.where(scores >= scores.topk(k).values[-1], scores, -math.inf)


def keep_p(scores, p):
    """The likeliest tokens, until they have probability p together."""
    chances, order = scores.softmax(-1).sort(descending=True)
    before = chances.cumsum(-1) - chances  # what the likelier ones have together
    kept = torch.full_like(scores, -math.inf)
    kept[order[before < p]] = scores[order[before < p]]
    return kept


z = torch.tensor([0.5, 0.25, 0.15, 0.07, 0.03]).log()
print("τ = 0.5:  ", [round(x, 2) for x in with_temperature(z, 0.5).tolist()])
print("top-k, 2: ", [round(x, 2) for x in keep_k(z, 2).softmax(-1).tolist()])
print("top-p, 0.8:", [round(x, 2) for x in keep_p(z, 0.8).softmax(-1).tolist()])
record.check("lmlib's top-k is ours", torch.equal(keep_k(z, 2), top_k(z[None], 2)[0]))
record.check("lmlib's top-p is ours", torch.equal(keep_p(z, 0.8), top_p(z[None], 0.8)[0]))

# %% [markdown] name="filters-text"
# By hand, with p = 0.8: the first two have 0.75, which is not enough, so the third stays too. And temperature ½
# squares the probabilities before they are normalised.
#
# **The difference shows when the model is sure, and when it is not.** How many tokens does each filter leave, after a
# question with one answer and after an open beginning?

# %% name="kept"
FILTERS = {
    "top-k, 10": lambda s: top_k(s, 10),
    "top-p, 0.9": lambda s: top_p(s, 0.9),
    "min-p, 0.1": lambda s: min_p(s, 0.1),
    "typical, 0.9": lambda s: typical(s, 0.9),
}
kept = {
    question: [int(keep(next_scores(ids_of(question))[None]).isfinite().sum()) for keep in FILTERS.values()]
    for question in QUESTIONS[:2]
}

# %% name="kept-plot"
fig, (ax,) = plots.figure("How many tokens stay", width=5.6, height=2.7)
for i, (question, counts) in enumerate(kept.items()):
    place = np.arange(4) + (i - 0.5) * 0.35
    ax.bar(place, counts, 0.35, label=f"“{question} …”", color=plots.COLOURS[i], hatch=("", "//")[i], edgecolor="white")
ax.set_xticks(range(4), list(FILTERS))
ax.set_ylabel("tokens")
ax.set_ylim(0, 13)
ax.legend(loc="upper right", ncols=2)
plots.show(
    fig,
    alt="Tokens left by four filters. Top-k leaves ten in both cases. The three others leave one or two after a "
    "question with one answer, and several after an open beginning.",
)
fixed, *adapting = zip(*kept.values(), strict=True)
record.check("top-k leaves ten, sure or not", fixed == (10, 10))
record.check("the others leave fewer when the model is sure", all(a < b for a, b in adapting))

# %% [markdown] name="trade-off-text"
# **Quality against diversity.** 40 beginnings, three texts for each, and two measures. *Quality*: the share of word
# 4-grams that occur in the lines of the world. *Diversity*: the share of different texts among all. For the real
# thing we take sentences of the test split, which the model has never seen. Each curve runs from a careful setting to
# a bold one.


# %% name="trade-off-data"
def grams_of(text, n=4):
    words = ["^", *text.split(), "$"]
    return list(zip(*(words[i:] for i in range(n)), strict=False))


known_words = {word for line in told for word in line.split()}
known = {gram for line in told for gram in grams_of(line)}
unseen = [s.text for text in world.profiles(300, "test") for s in text.sentences]
unseen = [text for text in unseen if set(text.split()) <= known_words]
beginnings = sorted({text.split()[0] for text in told})
random.Random(seed).shuffle(beginnings)
openings = [ids_of(word) for word in beginnings[:40]]


def measure(texts):
    """(quality, diversity) of a list of texts."""
    grams = [gram for text in texts for gram in grams_of(text)]
    return np.mean([gram in known for gram in grams]), len(set(texts)) / len(texts)


def drawn(**options):
    found = generate(model, openings, 24, sampling=Sampling(**options), n=3, seed=seed)
    starts = [tokenizer.decode(opening[1:]) for opening in openings for _ in range(3)]
    return measure([start + " " + text_of(one.tokens) for start, one in zip(starts, found, strict=True)])


# %% name="trade-off-run"
SETTINGS = {
    "temperature": [{"temperature": t} for t in (0.2, 0.5, 0.8, 1.0, 1.3, 1.7)],
    "top-k": [{"top_k": k} for k in (2, 5, 20, 100)],
    "top-p": [{"top_p": p} for p in (0.3, 0.6, 0.8, 0.95)],
    "min-p, temperature 1.7": [{"min_p": p, "temperature": 1.7} for p in (0.5, 0.2, 0.1, 0.03)],
}
curves = {name: np.array([drawn(**options) for options in settings]) for name, settings in SETTINGS.items()}
real = measure(random.Random(seed).sample(unseen, 120))

# %% name="trade-off-plot"
fig, (ax,) = plots.figure("Quality against diversity, 120 texts a point", width=6.4, height=3.8)
for i, (name, points) in enumerate(curves.items()):
    ax.plot(
        points[:, 1],
        points[:, 0],
        color=plots.COLOURS[i],
        linestyle=plots.DASHES[i],
        marker=plots.MARKERS[i],
        label=name,
    )
ax.plot(real[1], real[0], "*", color="black", markersize=12, label="real sentences, not seen in training")
ax.set_xlabel("diversity: share of different texts")
ax.set_ylabel("quality: share of known word 4-grams")
ax.legend(loc="lower left")
plots.show(
    fig,
    alt="Quality against diversity. All curves fall from careful, alike texts to varied texts of lower quality. "
    "Temperature above 1 falls lowest. With min-p a temperature of 1.7 stays far better. Real sentences are a "
    "star.",
)

# %% name="trade-off-check"
heat = curves["temperature"]
record.check("from temperature 0.2 to 1.7 quality falls by over 0.3", heat[0, 0] - heat[-1, 0] > 0.3)
record.check("and diversity rises by over 0.1", heat[-1, 1] - heat[0, 1] > 0.1)
cut = curves["min-p, temperature 1.7"]
record.check("at temperature 1.7, min-p 0.1 saves over 0.2 of quality", cut[2, 0] - heat[-1, 0] > 0.2)
careful, bold = curves["top-p"][[0, -1]]  # (quality, diversity)
record.check("top-p 0.3 is better and less varied than top-p 0.95", bool(careful[0] > bold[0] and careful[1] < bold[1]))

# %% [markdown] name="facts-text"
# **Facts want a cold hand.** The same model, two jobs: answer 60 questions that have one answer, and write. How do
# they like the temperature?

# %% name="facts"
questions = [(ids_of(line.split("?")[0] + "?"), line.split("? ")[1]) for line in asked]
HEATS = [0.2, 0.5, 0.8, 1.0, 1.3, 1.7]


def share_right(temperature):
    """Share of right answers among three for each question."""
    found = generate(model, [q for q, _ in questions], 8, sampling=Sampling(temperature), n=3, seed=seed)
    return np.mean([text_of(one.tokens) == questions[one.prompt][1] for one in found])


right = np.array([share_right(t) for t in HEATS])
fig, (ax,) = plots.figure("One temperature does not fit both jobs", width=5.8, height=3.0)
plots.lines(
    ax,
    HEATS,
    {"answers right": right, "texts that differ": heat[:, 1]},
    x_label="temperature",
    y_label="share (0 to 1)",
)
ax.set_ylim(0, 1.03)
plots.show(
    fig,
    alt="Against temperature: the share of right answers falls, the share of different texts rises.",
)
record.check("cold, over 65 % of the answers are right", right[0] > 0.65)
record.check("at temperature 1.7, at least 0.2 less", right[-1] < right[0] - 0.2)

# %% [markdown] name="beam"
# ## 束搜索 · Beam search, and its curse
#
# Greedy may miss the likeliest *text*: a likely first token can lead to unlikely ones. **Beam search** (束搜索)
# keeps the K likeliest beginnings and makes each one token longer: of the K·V candidates the K best go on.
# From scratch, for one prompt, without an end token:


# %% name="beam-code" tags=["nbval-check-output"]
def beams(prompt, n_beams, length):
    """The likeliest continuations found, best first: pairs (tokens, sum of log-probabilities)."""
    open_beams = [((), 0.0)]
    for _ in range(length):
        longer = []
        for tokens, total in open_beams:
            log_probs = next_scores(prompt + list(tokens)).log_softmax(-1)
            values, ids = log_probs.topk(n_beams)  # more of one parent cannot be needed
            longer += [((*tokens, i), total + v) for i, v in zip(ids.tolist(), values.tolist(), strict=True)]
        open_beams = sorted(longer, key=lambda beam: -beam[1])[:n_beams]
    return open_beams


ours = beams(first_names[0], 4, 6)
library = beam_search(model, first_names[:1], 6, n_beams=4, n=4, length_penalty=0.0, stop=ON)
record.check(
    "lmlib's beam search finds the same four", [list(tokens) for tokens, _ in ours] == [one.tokens for one in library]
)
one_beam = beam_search(model, first_names, 24, n_beams=1, length_penalty=0.0)
record.check(
    "one beam is greedy", [one.tokens for one in one_beam] == [one.tokens for one in generate(model, first_names, 24)]
)

# %% [markdown] name="curse-text"
# With more beams the search gets better: it finds likelier texts. Are likelier texts better texts? Each token costs
# probability, so the likeliest texts are *short* ones. That is the **beam curse**. The usual mend is to divide the sum
# of log-probabilities by the length to some power, the **length penalty**. As a measure we take real sentences, and
# texts that are *drawn* from the same model: they have the lengths that it has learned.

# %% name="curse"
WIDTHS = {"quick": [1, 2, 4, 8, 16], "full": [1, 2, 4, 8, 16, 32, 64]}[profile]
real_length = np.mean([len(tokenizer.encode(text)) for text in unseen]) - 1  # the first word is given


def searched(n_beams, length_penalty):
    """Mean log-probability of the texts, and their mean length in tokens."""
    found = beam_search(model, openings, 32, n_beams=n_beams, length_penalty=length_penalty)
    return np.mean([sum(one.log_probs) for one in found]), np.mean([len(one.tokens) - 1 for one in found])


drawn_texts = generate(model, openings, 32, sampling=Sampling(), n=10, seed=seed)
drawn_length = np.mean([len(one.tokens) - 1 for one in drawn_texts])
plain = np.array([searched(k, 0.0) for k in WIDTHS])
divided = np.array([searched(k, 1.0) for k in WIDTHS])

# %% name="curse-plot"
fig, (left, right_ax) = plots.figure("The search gets better", "Likely texts are short texts", width=8.0, height=3.1)
names = ("sum of log-probabilities", "divided by the length")
for ax, column, label in ((left, 0, "mean log-probability (nats)"), (right_ax, 1, "mean length (tokens)")):
    values = dict(zip(names, (plain[:, column], divided[:, column]), strict=True))
    plots.lines(ax, WIDTHS, values, x_label="beams", y_label=label)
    ax.set_xscale("log", base=2)
    ax.set_xticks(WIDTHS, [str(k) for k in WIDTHS])
plots.level(right_ax, real_length, "real sentences", below=real_length < drawn_length)
plots.level(right_ax, drawn_length, "drawn from the model", below=drawn_length <= real_length)
right_ax.set_ylim(0, 1.15 * max(real_length, drawn_length))
plots.show(
    fig,
    alt="Against the number of beams. Left: the log-probability of the texts found rises where the sum decides, and "
    "falls where it is divided by the length. Right: by the sum, texts become shorter, and are shorter than real "
    "sentences and than texts drawn from the model. Divided by the length, they become longer.",
)

# %% name="curse-check"
record.check("16 beams find likelier texts than greedy", plain[WIDTHS.index(16), 0] > plain[0, 0] + 0.1)
record.check("and shorter ones", plain[WIDTHS.index(16), 1] < plain[0, 1])
record.check("texts that are drawn are at least 0.2 tokens longer", drawn_length > plain[WIDTHS.index(16), 1] + 0.2)
record.check("shorter than real sentences", plain[WIDTHS.index(16), 1] < real_length)
record.check("divided by the length they are longer", divided[WIDTHS.index(16), 1] > plain[WIDTHS.index(16), 1])

# %% [markdown] name="curse-lesson"
# Divided by the length, the search looks for something else, so the plain log-probability of what it finds may fall.
#
# So likelihood is not what we want of an open text. Beam search belongs where there is one right answer, as in
# translation, with a length penalty. (Stahlberg & Byrne 2019 found that for over half of their sentences the very
# likeliest translation is the *empty* one.)

# %% [markdown] name="speculative"
# ## 推测解码 · Speculative decoding: faster, and nothing lost
#
# A large model is slow because it must run once for each token. But it can *check* several tokens in one run, as in
# training. So let a small model **draft** γ tokens; the large one scores them all at once. A drafted token $x$ stands
# with chance $\min(1, p(x)/q(x))$, where $p$ is the large model's probability and $q$ the draft's. The first that
# falls is drawn anew from what $p$ has more than $q$: $\max(0, p - q)$, normalised.
#
# The claim is strong: the result has *exactly* the large model's distribution, however poor the draft is. We check it
# on paper-sized distributions, 200 000 times.

# %% name="speculative-exact"
wanted, drafted = torch.tensor([0.6, 0.3, 0.1, 0.0]), torch.tensor([0.1, 0.3, 0.2, 0.4])  # a poor draft
N = 200_000
generator = torch.Generator().manual_seed(seed)
tokens = draw(drafted.expand(N, 4), generator)  # what the draft proposes
stands = torch.rand(N, generator=generator) < wanted[tokens] / drafted[tokens]
left_over = (wanted - drafted).clamp(min=0)
result = torch.where(stands, tokens, draw((left_over / left_over.sum()).expand(N, 4), generator))
shares = torch.bincount(result, minlength=4) / N
n_accepted, _ = accept(tokens[:, None], drafted.expand(N, 1, 4), wanted.expand(N, 2, 4), generator)
print("wanted:", [round(x, 2) for x in wanted.tolist()])
print("drawn: ", [round(x, 2) for x in shares.tolist()])
record.check(
    "what comes out has the large model's distribution (within 0.01)", bool((shares - wanted).abs().max() < 0.01)
)
overlap = torch.minimum(wanted, drafted).sum()
record.check("the draft is accepted as often as the two overlap: 0.5", abs(stands.float().mean() - overlap) < 0.01)
record.check("lmlib's rule accepts as often", abs(n_accepted.float().mean() - overlap) < 0.01)

# %% [markdown] name="speed-text"
# How many runs of the large model does it save? If each drafted token stands with chance α, a run gives $1 + \alpha +
# \dots + \alpha^\gamma = \frac{1 - \alpha^{\gamma+1}}{1 - \alpha}$ tokens on average. We draft with a much smaller
# model, and with the large model itself (the limit: α = 1), and count.

# %% name="speed"
small, _ = fit(new_model(32, 1), N_DRAFT_STEPS, BATCH)
DRAFTED = [1, 2, 4, 8]
jobs = openings[:4]


def tokens_per_run(helper, n_draft):
    """Tokens that one run of the large model gives, and the share of drafted tokens that stood."""
    tally = Tally()
    found = speculative(model, helper, jobs, 24, n_draft=n_draft, stop=ON, seed=seed, sampling=Sampling(), tally=tally)
    return sum(len(one.tokens) for one in found) / tally.passes, tally.accepted / tally.drafted


counted = {"a small model": [tokens_per_run(small, g) for g in DRAFTED]}
counted["the large model itself"] = [tokens_per_run(model, g) for g in DRAFTED]

# %% name="speed-plot"
alpha = counted["a small model"][0][1]
formula = [(1 - alpha ** (g + 1)) / (1 - alpha) for g in DRAFTED]
fig, (ax,) = plots.figure("Tokens for each run of the large model", width=5.8, height=3.1)
measured = {f"draft: {name}": [one[0] for one in values] for name, values in counted.items()}
plots.lines(
    ax,
    DRAFTED,
    {**measured, "the formula, with the draft's α": formula},
    x_label="drafted tokens γ",
    y_label="tokens for a run",
)
plots.level(ax, 1, "without a draft", below=True)
ax.set_ylim(bottom=0)
plots.show(
    fig,
    alt="Tokens for each run of the large model against the number of drafted tokens. With the large model as its "
    "own draft nearly γ + 1. With a small draft it rises a little and flattens, near the formula.",
)

# %% name="speed-check"
greedy_fast = speculative(model, small, jobs, 24)
record.check(
    "greedy, the drafted texts are those of greedy decoding",
    [one.tokens for one in greedy_fast] == [one.tokens for one in generate(model, jobs, 24)],
)
small_rates = [one[0] for one in counted["a small model"]]
sizes = [sum(p.numel() for p in one.parameters()) for one in (small, model)]
record.check("the draft has under a fifth of the parameters", sizes[0] < sizes[1] / 5)
record.metric("speculative: chance that a drafted token stands", alpha)
record.check("a small draft of 4 saves over a fifth of the runs", small_rates[2] > 1.25)
record.check("its own draft always stands", all(one[1] > 0.99 for one in counted["the large model itself"]))
record.check("for γ = 4 the formula is off by less than 0.6", abs(small_rates[2] - formula[2]) < 0.6)

# %% [markdown] name="speed-lesson"
# Does a run with five tokens take as long as a run with one? On a GPU nearly, because reading the weights takes the
# time. That is where the gain comes from. The draft's own time must be subtracted, so γ should not be large when α is
# small. (Leviathan et al. 2023; Chen et al. 2023.)

# %% [markdown] name="constrained"
# ## 受约束的解码 · Constrained decoding: the form is certain
#
# A program that reads the output needs a *form*: one of two words, a date, JSON. Asking the model nicely is not
# enough. A constraint is an automaton over tokens: at each step it says which tokens may follow, the others get minus
# infinity. Three kinds: a **choice**, a **regular expression**, and **JSON** of a given shape (which becomes a
# regular expression).

# %% name="constraints"
pieces = [
    None if token == "<end>" or token == "<pad>" else tokenizer.decode([i])
    for i, token in enumerate(tokenizer.tokens(range(len(tokenizer))))
]
pieces = [None if piece and "�" in piece else piece for piece in pieces]  # parts of a character
towns = [town.name.en for town in world.population.towns]
shape = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "town": {"enum": towns}, "age": {"type": "integer"}},
}
as_json = Regex(r" " + json_regex(shape), pieces)
nonsense = [ids_of("Form:")]
hot = Sampling(temperature=2.0)
free = text_of(generate(model, nonsense, 40, sampling=hot, seed=0)[0].tokens)
bound = text_of(generate(model, nonsense, 80, sampling=hot, seed=0, constraint=as_json)[0].tokens)
print("free:       ", free, "\nconstrained:", bound)
record.check("the constrained text is JSON with the three keys", list(json.loads(bound)) == ["name", "town", "age"])
year = Regex(r" (19|20)[0-9]{2}", pieces)
text = text_of(generate(model, [ids_of("What is Vera?")], 8, constraint=year)[0].tokens)
record.check("a pattern for a year gives a year, whatever was asked", text.isdigit() and 1900 <= int(text) < 2100)

# %% [markdown] name="validity-text"
# How often is a form valid, and how often is it *true* (the town is the person's)? We draw forms for all 30 people,
# free and constrained, at rising temperature.

# %% name="validity"
PROMPTS = [ids_of(f'Form: {{"name": "{p.name.en}", "town": "') for p in people]
rest = "(" + "|".join(towns) + r')", "age": [1-9][0-9]?\}'
rule = Regex(rest, pieces)


def forms_at(temperature, constraint):
    """Shares of valid and of true forms."""
    found = generate(model, PROMPTS, 24, sampling=Sampling(temperature), seed=seed, constraint=constraint)
    valid = true = 0
    for person, one in zip(people, found, strict=True):
        try:
            form = json.loads('{"town": "' + text_of(one.tokens))
        except json.JSONDecodeError:
            continue
        good = isinstance(form, dict) and form.get("town") in towns and isinstance(form.get("age"), int)
        valid, true = valid + good, true + (good and form["town"] == person.town.name.en)
    return valid / len(people), true / len(people)


TEMPERATURES = [0.3, 0.7, 1.0, 1.5, 2.0]
unbound, bound = (np.array([forms_at(t, c) for t in TEMPERATURES]) for c in (None, rule))

# %% name="validity-plot"
fig, (left, right_ax) = plots.figure("Valid forms", "True forms", width=7.6, height=2.9)
for ax, column in ((left, 0), (right_ax, 1)):
    values = {"free": unbound[:, column], "constrained": bound[:, column]}
    plots.lines(ax, TEMPERATURES, values, x_label="temperature", y_label="share (0 to 1)")
    ax.set_ylim(-0.03, 1.05)
plots.show(
    fig,
    alt="Against temperature. Left: free forms become invalid, constrained forms are always valid. Right: the "
    "share of true forms falls in both cases, for a constraint does not know the truth.",
)
record.check("constrained forms are valid, all of them", bool((bound[:, 0] == 1).all()))
record.check("free forms at temperature 2 are not: under 0.7", unbound[-1, 0] < 0.7)
record.check("but at temperature 2 not all constrained forms are true", bound[-1, 1] < 0.9)
fallen = [shares[0, 1] - shares[-1, 1] for shares in (unbound, bound)]
record.check("true forms become fewer in both cases, by over 0.05", min(fallen) > 0.05)

# %% [markdown] name="tasks"
# ## 推理时的任务 · Tasks at inference: classification, questions, sequences
#
# **Classification** (分类). Our model has no classifier on top. It has a vocabulary: let it choose between two
# words after "Verdict:". That is a constraint with two choices. If each of them is one token, it is the same as to
# compare two likelihoods; with longer ones, greedy decides at the first token at which they differ.
# **Question answering** (问答): write until `<end>`. We ask on reviews of the test split, and the 60 questions.

# %% name="tasks-one-model"
good, bad = (tokenizer.encode(f" {word}") for word in ("good", "bad"))
test = [(review, review.text.sentences[-1].text) for review in world.reviews(300, "test")]
seen_words = {word for line in judged for word in line.split()}
test = [(review, text) for review, text in test if set(text.split()) <= seen_words]
asked_now = [ids_of(f"{text} Verdict:") for _, text in test]
found = generate(model, asked_now, 4, constraint=OneOf([good, bad]))
right_verdicts = np.mean([text_of(one.tokens) == verdicts[r.label] for one, (r, _) in zip(found, test, strict=True)])
majority = max(Counter(review.label for review, _ in test).values()) / len(test)
answered = generate(model, [question for question, _ in questions], 8)
right_answers = np.mean([text_of(one.tokens) == answer for one, (_, answer) in zip(answered, questions, strict=True)])
record.metric("verdicts right", right_verdicts)
record.metric("answers right", right_answers)
record.check("verdicts beat the most frequent one by over 0.15", right_verdicts > majority + 0.15)
record.check("over 65 % of the questions are answered right, word for word", right_answers > 0.65)
strangers = [ids_of(f"Where does {person.name.en} live?") for person in world.people[30:60]]
named = [text_of(one.tokens) for one in generate(model, strangers, 8)]
print("homes that no answer told:", Counter(named).most_common(3))
record.check(
    "asked for homes that no answer told, it names a town all the same: over 80 %",
    np.mean([name in {town.name.en for town in world.population.towns} for name in named]) > 0.8,
)

# %% [markdown] name="tasks-lesson"
# The last check is worth a thought. The questions name people whose homes were never among the answers. The model does
# not say so: it writes a likely town. To answer from a text that is given, it must be trained to (section 3.5).
#
# **Sequence to sequence** (序列到序列). An encoder reads the source, a decoder writes. For `generate` and
# `beam_search` the prompts are then the sources. A model that sorts five digits, trained on the spot:

# %% name="sorting"
torch.manual_seed(seed)
SORT = {"d_model": 48, "n_layers": 1, "n_heads": 4, "d_ff": 96, "max_positions": 16, "dropout": 0.0, "norm_first": True}
sorter = Transformer(TransformerConfig(vocab_size=13, final_norm=True, tied=False, **SORT)).to(
    device
)  # digit d is token d + 3
optimizer = torch.optim.Adam(sorter.parameters(), lr=4e-3)
for _ in range({"quick": 220, "full": 2000}[profile]):
    source = torch.randint(3, 13, (64, 5)).to(device)
    labels = F.pad(source.sort(1).values, (0, 1), value=2)  # sorted, and the end token
    loss = sorter(source, labels=labels).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
sorter.eval()
source = torch.randint(3, 13, (200, 5)).to(device)
exact = {}
for name, found in {
    "greedy": generate(sorter, source, 8),
    "4 beams": beam_search(sorter, source, 8, n_beams=4),
    "drawn": generate(sorter, source, 8, sampling=Sampling(), seed=seed),
}.items():
    truth = source.sort(1).values.tolist()
    exact[name] = np.mean([one.tokens == [*row, 2] for one, row in zip(found, truth, strict=True)])

# %% name="sorting-check"
for name, share in exact.items():
    record.metric(f"sorted right, {name}", share)
record.check("greedy sorts over 60 % right", exact["greedy"] > 0.6)
record.check("four beams are not worse by more than 0.03", exact["4 beams"] > exact["greedy"] - 0.03)
record.check("drawing is not better than greedy: there is one right answer", exact["drawn"] <= exact["greedy"])

# %% [markdown] name="cache"
# ## 键值缓存的时间 · What the cache saves, in seconds
#
# Section [3.3](03_decoder.ipynb) derives the cache and counts operations. Here we take the time for *one more token*,
# with the whole text run again and with the cache.


# %% name="cache-time"
LENGTHS = [16, 64, 128, 240]


@torch.no_grad()
def cost(length, cached):
    """Seconds to get the scores after `length` tokens, of the processor or of the GPU; and the operations counted."""
    ids, cache = rows.flatten()[:length][None].to(device), model.decoder.allocate_cache(1, length)
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    if cached:
        model(ids[:, :-1], cache=cache)
    new, given = (ids[:, -1:], {"cache": cache}) if cached else (ids, {})
    start = clock()
    model(new, last_only=True, **given)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = clock() - start
    cache.crop(length - 1)
    with FlopCounterMode(display=False) as counter:
        model(new, last_only=True, **given)
    return seconds, counter.get_total_flops()


n_threads = torch.get_num_threads()
torch.set_num_threads(1)  # threads that wait for each other would be measured too
rounds = [[[cost(n, cached) for n in LENGTHS] for cached in (False, True)] for _ in range(15)]
least, counted = np.moveaxis(np.min(rounds, 0), -1, 0)  # (2, lengths): a disturbance can only add time
times = dict(zip(("whole text", "with the cache"), 1e3 * least, strict=True))
torch.set_num_threads(n_threads)

# %% name="cache-plot"
fig, (ax,) = plots.figure("Time for one more token", width=5.4, height=2.9)
plots.lines(ax, LENGTHS, times, x_label="length so far (tokens)", y_label="time (ms)")
ax.set_ylim(bottom=0)
plots.show(
    fig,
    alt="Time for one more token against the length so far. Run again as a whole it grows with the length; with "
    "the cache it hardly grows.",
)
record.check("after 240 tokens the cache saves over 99 % of the operations", counted[1, -1] < counted[0, -1] / 100)
if device.type == "cpu":  # on a GPU a model this small takes the same time for any length
    slow, fast = times.values()
    record.metric("after 240 tokens the whole text takes longer by a factor of", slow[-1] / fast[-1])
    record.check("after 240 tokens the cache saves time", fast[-1] < slow[-1])
    record.check("without it the time grows with the length", slow[0] < slow[-1])

# %% [markdown] name="stopping"
# ## 终止 · When to stop
#
# A text ends when the model writes the end token; when it has the maximum length; when a **stop string** stands in
# it; or when a constraint is complete. A text that was cut by its length is not finished. So look at *why* it ended.
# How many of our texts end by themselves, for different limits?

# %% name="stopping-plot"
LIMITS = [2, 4, 8, 12, 16, 24, 32]
ended = [
    np.mean(
        [
            one.stopped_by == "token"
            for one in generate(model, openings, n, sampling=Sampling(top_p=0.9), n=3, seed=seed)
        ]
    )
    for n in LIMITS
]
fig, (ax,) = plots.figure("Texts that end by themselves", width=5.2, height=2.7)
plots.lines(ax, LIMITS, {"share": ended}, x_label="max_new_tokens", y_label="share (0 to 1)")
ax.set_ylim(0, 1.05)
plots.show(
    fig, alt="Share of texts that end with the end token against the maximum length: it rises from near 0 to nearly 1."
)
record.check("with 2 tokens under a tenth is finished", ended[0] < 0.1)
record.check("with 32 over nine tenths are", ended[-1] > 0.9)
record.check("a higher limit never finishes fewer by more than 0.05", bool((np.diff(ended) > -0.05).all()))

# %% name="stopping-strings" tags=["nbval-check-output"]
until = Stop(strings=("Verdict",), decode=lambda ids: tokenizer.decode(ids, skip_special_tokens=True))
one = generate(model, [ids_of("All in all,")], 30, stop=until)[0]
print("stopped by:", one.stopped_by)
record.check("the text is cut before the stop string", "Verdict" not in one.text and one.text.strip() != "")
record.check(
    "the tokens are not: a stop string may end in the middle of one", "Verdict" in tokenizer.decode(one.tokens)
)
short = generate(model, [ids_of("All in all,")], 2)[0]
record.check("a limit of 2 says so", short.stopped_by == "length")

# %% [markdown] name="which"
# ## 选哪一种 · Which one to take
#
# | the job | take | because |
# | --- | --- | --- |
# | one right answer (questions, classes, code) | greedy, or a low temperature | a draw is right less often |
# | translation, summaries | a few beams with a length penalty | likely is good here, too short is not |
# | stories, dialogue | temperature near 1 with top-p or min-p | variety, without the tail |
# | long texts without loops | drawing, a penalty, contrastive search | greedy repeats itself |
# | output for a program | a constraint | the form is certain; the content is not |
# | any of them, faster | the cache always; a draft if one is at hand | the result is the same |

# %% [markdown] name="applications"
# ### 应用领域 · One model, many uses
#
# Document 003 lists writing, translation and answering as uses of such models; document 002 lists writing, dialogue
# and, with pictures and sound, multimodal understanding. We have seen writing and answering, and sorting in the place
# of translation. They share the loop, with different prompts and different strategies. In numbers, from above:

# %% name="applications-table"
for job, one, another in (
    ("questions, right", f"greedy {right_answers:.2f}", f"drawn {right[HEATS.index(1.0)]:.2f}"),
    ("sequences sorted, right", f"greedy {exact['greedy']:.2f}", f"drawn {exact['drawn']:.2f}"),
    ("long texts, repetition", f"greedy {mean['greedy']:.2f}", f"drawn {mean['drawn']:.2f}"),
):
    print(f"{job:26}{one:16}{another}")
record.check(
    "for one right answer drawing is worse, for long texts better",
    right[HEATS.index(1.0)] < right_answers and mean["drawn"] < mean["greedy"],
)

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# Document 004 describes generation in four points; 002 and 003 list uses. Each statement that can be tested has a
# row, and a cell that computes the document's version and the correct one.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("03_algorithms/07_inference")

# %% name="ledger-data"
chances = torch.tensor([0.5, 0.3, 0.15, 0.05])  # of the next of four tokens
torch.manual_seed(0)
tiny_config = LlamaConfig(vocab_size=7, d_model=16, n_layers=1, n_heads=2, d_ff=32, max_positions=32, eos_token_id=0)
tiny = Llama(tiny_config, head="language_model").eval().requires_grad_(False)
_ = torch.manual_seed(seed)


# %% name="ledger-likeliest" tags=["ledger"]
def document_version(n):
    """004 §3.2.1: the model predicts the likeliest next token, one after the other. The shares of n draws."""
    return torch.bincount(chances.argmax().expand(n), minlength=4) / n


def correct_version(n):
    """That is greedy decoding. Top-k and top-p, which the document names too, draw tokens with their probabilities."""
    return torch.bincount(draw(chances.expand(n, 4), None), minlength=4) / n


record.check("always the likeliest: the three others never come", document_version(10_000)[1:].sum() == 0)
record.check("drawn, each comes as often as the model says", (correct_version(10_000) - chances).abs().max() < 0.03)


# %% name="ledger-path" tags=["ledger"]
def document_version(first, second):
    """004 §3.2.1: generate by taking the likeliest token each time."""
    token = int(first.argmax())
    return float(first[token] * second[token].max())


def correct_version(first, second):
    """The likeliest text may begin with another token: look at all, or keep the best beginnings (beam search)."""
    return float((first[:, None] * second).max())


first = torch.tensor([0.6, 0.4])
second = torch.tensor([[0.4, 0.3, 0.3], [0.9, 0.05, 0.05]])  # after the first token, and after the second
record.check("greedy finds a text of probability 0.24", abs(document_version(first, second) - 0.24) < 1e-6)
record.check("the likeliest has 0.36", abs(correct_version(first, second) - 0.36) < 1e-6)


# %% name="ledger-strategies" tags=["ledger"]
def document_version(scores):
    """004 §3.2.1: greedy, beam search, top-k and top-p are different strategies. Here k = 1 and a tiny p."""
    return torch.stack([Sampling(top_k=1).probabilities(scores), Sampling(top_p=1e-6).probabilities(scores)])


def correct_version(scores):
    """They are, with greedy as their common limit: all on the likeliest token."""
    return F.one_hot(scores.argmax(-1), scores.size(-1)).float().expand(2, -1, -1)


scores = torch.randn(5, 7)
record.check(
    "top-k with k = 1 and top-p with p near 0 are greedy",
    torch.equal(document_version(scores), correct_version(scores)),
)
one, greedy = beam_search(tiny, [[1], [2]], 6, n_beams=1), generate(tiny, [[1], [2]], 6)
record.check("so is one beam", [a.tokens for a in one] == [b.tokens for b in greedy])
wider = Sampling(top_k=3).probabilities(scores)
record.check("with k = 3 it is another strategy", not torch.allclose(wider, correct_version(scores)[0]))


# %% name="ledger-stopping" tags=["ledger"]
def document_version(prompts, most):
    """004 §3.2.1: stop at [EOS] or at the maximum length. The lengths of greedy texts, by that rule."""
    lengths = []
    for prompt in prompts:
        text = list(prompt)
        while len(text) - len(prompt) < most and (len(text) == len(prompt) or text[-1] != 0):
            text.append(int(tiny(torch.tensor([text])).logits[0, -1].argmax()))
        lengths.append(len(text) - len(prompt))
    return torch.tensor(lengths)


def correct_version(prompts, most):
    """What lmlib.decoding does."""
    return torch.tensor([len(one.tokens) for one in generate(tiny, prompts, most)])


starts = [[i] for i in range(1, 7)]
record.check("the rule gives lmlib's lengths", torch.equal(document_version(starts, 5), correct_version(starts, 5)))
reasons = {one.stopped_by for one in generate(tiny, starts, 5)}
record.check("the reason is one of the two, and it is told", reasons <= {"token", "length"})


# %% name="ledger-uses" tags=["ledger"]
def document_version(p):
    """003 §3.3, 003 §3.4: writing, translation and answering are uses of one model. Answers drawn as stories are."""
    return float((p * p).sum())  # right when the truth and the draw agree


def correct_version(p):
    """One model, but not one way to decode: where one answer is right, the likeliest is right most often."""
    return float(p.max())


many = torch.randn(1000, 8).mul(2).softmax(-1)
record.check(
    "drawn answers are right less often than the likeliest, always",
    all(document_version(p) < p.max() - 1e-4 for p in many),
)
record.check(
    "for our four tokens 0.37 against 0.5",
    abs(document_version(chances) - 0.365) < 1e-6 and correct_version(chances) == 0.5,
)

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/03_algorithms/07_inference.ipynb), about 80 minutes, four questions:
#
# 1. nucleus sampling: temperature, then top-p;
# 2. one step of beam search;
# 3. the rule of speculative decoding, in numbers;
# 4. which strategy, and why: choices and numbers.
#
# To go on: chapter 6 uses these strategies in applications; section 8.3 is about making models cheaper.
