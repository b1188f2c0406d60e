# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 1.1 通往大语言模型之路 · The road to large language models
#
# 本节走完语言模型七十年的路：规则、计数（n 元文法）、词向量、循环网络、Transformer。
# 每一步都真的做一遍。能给文本打分的三种（n 元文法、循环网络、Transformer）用同一份语料、同一把尺子
# （每字节多少比特）来量，并数出训练花了多少次运算，最后画在同一张图里。
#
# After this section you can say what each generation of language models could not do, and show it with a number.
# You will have built five kinds of models. Three of them give a text a probability: n-grams, an LSTM and a Transformer.
# You train these on the same text and see them in one figure.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import math
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.data.batching import Loader, Windows
from lmlib.data.world import lexicon, make
from lmlib.data.world.sentences import held_out
from lmlib.evaluation.language_models import bits_per_byte, token_log_probabilities
from lmlib.models.nanochat import NanoChat, NanoChatConfig
from lmlib.models.ngram import AddK, KneserNey
from lmlib.models.recurrent import RecurrentConfig, RecurrentLM
from lmlib.models.word2vec import Word2VecConfig, train_word2vec
from lmlib.text.byte_pair_encoding import BytePairEncoding
from lmlib.training import TrainingConfig, train

device = session.start(seed, device, profile)

# %% [markdown] name="guess"
# ## 问题 · What comes next?
#
# *By trade, Kate is a ...* Roofer? Baker? The language models of this section play one game: they read the beginning of
# a text and give each possible next piece a probability. Shannon played it with people in 1951.
#
# How good is a guess? If the model gave the piece that really came the probability $p$, it needs $-\log_2 p$
# **bits** (比特) for it. A fair coin costs 1 bit, a certain thing costs 0. Summed over a text and divided by
# its length in bytes, this is the measure of this section, **bits per byte**:
#
# $$\text{bits per byte} = -\frac{1}{\text{bytes}} \sum_{t=1}^{T} \log_2 P(x_t \mid x_1, \dots, x_{t-1})$$
#
# T is the number of pieces (tokens). We divide by bytes and not by T, so that models with different pieces can be
# compared. A model that knows nothing spends 8.

# %% name="guess-check" tags=["nbval-check-output"]
for p in (1, 1 / 2, 1 / 60, 1 / 256):
    print(f"probability 1/{1 / p:3.0f}: {math.log2(1 / p):5.2f} bits")
blind = torch.full((100,), 1 / 256, dtype=torch.float64).log()  # a text of 100 bytes, each of 256 equally likely
record.check("who knows nothing spends 8 bits a byte", math.isclose(bits_per_byte(blind, "x" * 100), 8))

# %% [markdown] name="corpus-text"
# ### 语料 · One text to compare models
#
# The text comes from the small world: short profiles of people, as in a book of reference. Who lives where, who does
# what, whose mother is who. One sentence pattern in eight is kept for testing, so the test text is not a copy of
# the training text. Its pieces are 512 tokens, learned from the training text (section 3.1 explains how).

# %% name="corpus"
world = make(0)
N_TEXTS = {"quick": 1000, "full": 4000}[profile]
train_text = "\n".join(text.text for text in world.profiles(N_TEXTS))
test_text = "\n".join(text.text for text in world.profiles(60, "test"))
tokenizer = BytePairEncoding.train([train_text], 512)
V = len(tokenizer)
train_ids = torch.tensor(tokenizer.encode_plain(train_text))
test_ids = torch.tensor(tokenizer.encode_plain(test_text))
print(test_text[:400])

# %% name="corpus-check" tags=["nbval-check-output"]
print(f"training text: {len(train_text):,} characters; test text: {len(test_text):,} characters; {V} tokens")
record.check("the tokens spell the text, byte for byte", tokenizer.decode(test_ids.tolist()) == test_text)
lines = set(train_text.splitlines())
record.check("no line of the test text was in the training text", not lines & set(test_text.splitlines()))

# %% [markdown] name="rules"
# ## 1.1.1 人工智能的发展历程 · 1950s to 1980s: rules
#
# The first programs that handled language had no data. People wrote down what they knew about language, rule by rule.
#
# | year | what | source |
# | --- | --- | --- |
# | 1950 | "Can machines think?": the imitation game | Turing 1950 |
# | 1956 | the name *artificial intelligence*, at a summer meeting in Dartmouth | McCarthy et al. 1955 |
# | 1966 | ELIZA talks with patterns and canned replies | Weizenbaum 1966 |
# | 1970 | SHRDLU understands commands in a world of blocks | Winograd 1972 |
# | 1980s | expert systems; writing down the rules is the *bottleneck* | Feigenbaum 1977 |
#
# Why was it a bottleneck? Let us be a linguist of the small world. Our rule book has one rule for each **sentence
# skeleton**: names become NAME, all content becomes _, and the small words stay.

# %% name="rules-example"
read = [
    s for text in world.corpus("train", "en", {"quick": 600_000, "full": 2_000_000}[profile]) for s in text.sentences
]
new = [  # without the patterns that training never shows: no reading could give their rules
    s for text in world.corpus("test", "en", 60_000) for s in text.sentences if not held_out(s.skeleton)
]
for sentence in new[:3]:
    print(f"{sentence.text}\n    {sentence.skeleton}")

# %% [markdown] name="rules-text"
# We read sentence after sentence, and write a rule for every new skeleton. How many sentences of another text do our
# rules accept? Guess before you look: is the book ever complete?


# %% name="rules-count"
def coverage(n_read):
    """After reading so many sentences: the number of rules, and the share of new sentences that they accept."""
    rules = {sentence.skeleton for sentence in read[:n_read]}
    return len(rules), np.mean([sentence.skeleton in rules for sentence in new])


amounts = [n for n in (10, 30, 100, 300, 1000, 3000, 10_000, 30_000) if n < len(read)] + [len(read)]
n_rules, accepted = zip(*(coverage(n) for n in amounts), strict=True)

# %% name="rules-plot"
fig, (left, right) = plots.figure("The rule book grows ...", "... and is never complete", width=7.6)
plots.lines(left, amounts, {"rules": n_rules}, x_label="sentences read", y_label="rules written")
plots.lines(right, amounts, {"accepted": accepted}, x_label="sentences read", y_label="share of new sentences accepted")
left.set_xscale("log")
left.set_yscale("log")
right.set_xscale("log")
right.set_ylim(0, 1)
plots.level(right, 1.0, "all sentences", below=True)
plots.show(
    fig,
    alt="Left, logarithmic: the number of rules grows almost as fast as the number of sentences read. Right: the share "
    "of new sentences accepted rises slowly and stays far below 1 after thousands of sentences.",
)

# %% name="rules-check"
record.metric("share of new sentences that the rules accept", accepted[-1])
record.check("after thousands of sentences, over a third of the new ones fit no rule", accepted[-1] < 2 / 3)
record.check("from the first third to all that was read, rules more than double", n_rules[-1] > 2 * n_rules[-2])
gain = np.diff(accepted) / np.diff(n_rules)
record.check("the last rules help less than those before them", gain[-1] < gain[-2])

# %% [markdown] name="rules-lesson"
# The later rules help less than the earlier ones. And a rule book says yes or no. It cannot say that one sentence is
# *likelier* than another, so its mistakes cannot be weighed.

# %% [markdown] name="counting"
# ## 1.1.2 自然语言处理的发展历程 · 1990s: counting
#
# Shannon had shown the other way in 1948: count. An **n-gram model** (n 元文法) takes the last $n-1$ tokens
# and asks how often each token followed them in the training text:
#
# $$P(x_t \mid x_1,\dots,x_{t-1}) \approx
# \frac{\mathrm{count}(x_{t-n+1}, \dots, x_t)}{\mathrm{count}(x_{t-n+1}, \dots, x_{t-1})}$$
#
# With $n = 1$ this is the frequency of a token, with $n = 2$ a table of pairs. The counting takes five lines:


# %% name="bigram-code"
def bigram(ids, vocab_size):
    """P(next | token) by counting, (V, V); a row of zeros where a token was never seen."""
    counts = torch.zeros(vocab_size, vocab_size, dtype=torch.float64)
    counts.index_put_((ids[:-1], ids[1:]), torch.ones(len(ids) - 1, dtype=torch.float64), accumulate=True)
    return counts / counts.sum(1, keepdim=True).clamp(min=1)


table = bigram(train_ids, V)
mine = table[test_ids[:-1], test_ids[1:]]
theirs = AddK([train_ids], 2, V, k=0).log_probabilities(train_ids)[1:].exp()

# %% name="bigram-check" tags=["nbval-check-output"]
record.check("our table equals lmlib's", torch.allclose(table[train_ids[:-1], train_ids[1:]], theirs))
print(f"pairs of the test text that never occurred in training: {(mine == 0).sum()} of {len(mine)}")
record.check("one of them is enough for infinitely many bits", bool(mine.log2().sum().isinf()))

# %% [markdown] name="smoothing-text"
# What never occurred gets probability 0, and costs infinitely many bits. So a share of the probability must be saved
# for what is new. **Kneser–Ney smoothing** (1995) takes a little off every count, and gives it to the shorter context.
# There it asks not *how often* a token occurs, but *after how many different* tokens. `lmlib.models.ngram` has it.

# %% name="ngrams"
ORDERS = [1, 2, 3, 4, 5]
ngrams = {n: KneserNey([train_ids], n, V) for n in ORDERS}
scores = {n: bits_per_byte(model.log_probabilities(test_ids), test_text) for n, model in ngrams.items()}
stored = {n: sum(len(level.keys) for level in model.levels) for n, model in ngrams.items()}
operations = {n: n * len(train_ids) for n in ORDERS}  # one count for each length and each position

# %% name="ngrams-plot"
fig, (left, right) = plots.figure("Longer contexts help less and less ...", "... and cost more and more", width=7.6)
plots.lines(left, ORDERS, {"Kneser–Ney": list(scores.values())}, x_label="n", y_label="bits per byte (test)")
plots.lines(right, ORDERS, {"stored": list(stored.values())}, x_label="n", y_label="n-grams stored")
left.set_ylim(0, 3.5)
for ax in (left, right):
    ax.set_xticks(ORDERS)
plots.show(
    fig,
    alt="Left: bits per byte fall from about 3 for n = 1 to about 1.5 for n = 2 and then flatten below 1. Right: the "
    "number of stored n-grams grows with every n.",
)

# %% name="ngrams-check"
for n in ORDERS:
    record.metric(f"{n}-gram", scores[n], "bits per byte")
gains = -np.diff(list(scores.values()))
record.check("each longer context is better", bool((gains > 0).all()))
record.check("each step helps less than the one before", bool((np.diff(gains) < 0).all()))
record.check("and stores more new n-grams", bool((np.diff(list(stored.values()), n=2) > 0).all()))
record.check("the step from 1 to 2 gains over ten times what the step from 4 to 5 gains", gains[0] > 10 * gains[-1])

# %% [markdown] name="more-text"
# ### 问题的由来 · More text
#
# The internet made text cheap. What does more of it do for counting? We train the 2-gram and the 5-gram on parts.

# %% name="more-text-measure"
parts = [len(train_ids) // d for d in (32, 16, 8, 4, 2, 1)]
by_size = {
    f"{n}-gram": [bits_per_byte(KneserNey([train_ids[:m]], n, V).log_probabilities(test_ids), test_text) for m in parts]
    for n in (2, 5)
}
fig, (ax,) = plots.figure("A short memory is soon full; a long one wants more text", width=5.4, height=3.0)
plots.lines(ax, parts, by_size, x_label="training tokens", y_label="bits per byte (test)")
ax.set_xscale("log")
plots.show(
    fig,
    alt="Bits per byte against training tokens: the 2-gram hardly improves after a quarter of the text, the 5-gram "
    "keeps falling.",
)

# %% name="more-text-check"
last = {name: values[2] - values[-1] for name, values in by_size.items()}
record.check("the last eightfold of text helps the 5-gram more than the 2-gram", last["5-gram"] > 2 * last["2-gram"])

# %% [markdown] name="ngram-limits"
# Two things no amount of counting mends. First, *baker* and *butcher* are two different numbers to the table: what
# it learns about one says nothing about the other. Second, it forgets. After $n-1$ tokens everything is gone.

# %% [markdown] name="deep-learning"
# ## 1.1.3 深度学习的崛起 · 2003 to 2016: words become vectors
#
# The cure for the first: give each word a **vector** (词向量) and learn it. Similar uses, similar vectors.
# Bengio et al. did it in 2003 inside a language model, word2vec (Mikolov et al. 2013) with a trick that needs
# minutes. The trick: tell the words that stand near a word from words drawn by chance. A word is known by the
# company it keeps.

# %% name="word-vectors"
N_CHARS = {"quick": 400_000, "full": 2_000_000}[profile]
sentences = [[w.lower() for w in s.words] for text in world.corpus("train", "en", N_CHARS) for s in text.sentences]
config = Word2VecConfig(d_model=32, window=2, min_count=5, learning_rate=0.1, seed=seed)
vectors = train_word2vec(sentences, config, str(device))
kind_of = {noun.en: noun.kind for noun in lexicon.all_nouns() if noun.en in vectors}  # the truth about the nouns
for word in ("kitchen", "violin", "trousers"):
    near = [other for other, _ in vectors.nearest(word, 100) if other in kind_of][:5]
    print(f"{word} ({kind_of[word]}):", ", ".join(f"{other} ({kind_of[other]})" for other in near))

# %% [markdown] name="word-vectors-text"
# Nobody told the program what a room or an instrument is. In the small world the kind of each noun is known, so we
# can count: how many of the five nearest nouns are of the same kind, and how many would be by chance?

# %% name="word-vectors-check"
n_of_kind = Counter(kind_of.values())
nouns = [word for word, kind in kind_of.items() if n_of_kind[kind] > 5]
same = []
for word in nouns:
    near = [other for other, _ in vectors.nearest(word, 100) if other in kind_of][:5]
    same += [kind_of[other] == kind_of[word] for other in near]
chance = np.mean([n_of_kind[kind_of[word]] / len(kind_of) for word in nouns])
record.metric("share of the nearest nouns that are of the same kind", np.mean(same))
record.metric("the same by chance", chance)
record.check("neighbours are of the same kind five times as often as by chance", np.mean(same) > 5 * chance)

# %% [markdown] name="lstm-text"
# ### 循环网络 · A memory that is learned
#
# The cure for the second: a **recurrent network** (循环神经网络) carries a state $h$ from token to token, and
# learns what to keep in it (Elman 1990):
#
# $$h_t = f(W x_t + U h_{t-1} + b), \qquad P(x_{t+1} \mid x_1, \dots, x_t) = \mathrm{softmax}(O h_t)$$
#
# $x_t$ is the vector of the token (C), $h_t$ the state (C), $W$ and $U$ are (C, C), $O$ is (V, C). The **LSTM**
# (Hochreiter & Schmidhuber 1997; the gate that can forget: Gers et al. 2000) adds gates to $f$, so that a memory can
# stay unchanged over many steps. Its gates are a handful of lines:


# %% name="lstm-code"
def lstm_step(x, h, c, weight_x, weight_h, bias):
    """One step of an LSTM: x, h, c (B, C), weights (4C, C), bias (4C) -> the next h and c."""
    enter, stay, new, show = (x @ weight_x.T + h @ weight_h.T + bias).chunk(4, dim=-1)  # (B, C) each
    c = stay.sigmoid() * c + enter.sigmoid() * new.tanh()  # what stays, and what comes in
    return show.sigmoid() * c.tanh(), c


# %% name="lstm-check" tags=["nbval-check-output"]
peer = nn.LSTM(8, 8, batch_first=True)
x, h, c = torch.randn(2, 5, 8), torch.zeros(2, 8), torch.zeros(2, 8)
for t in range(5):
    h, c = lstm_step(x[:, t], h, c, peer.weight_ih_l0, peer.weight_hh_l0, peer.bias_ih_l0 + peer.bias_hh_l0)
record.check("five of our steps equal torch.nn.LSTM", torch.allclose(h, peer(x)[0][:, -1], atol=1e-6))

# %% [markdown] name="transformer"
# ## 1.1.4 Transformer 架构的提出 · 2017: no waiting
#
# The state has a price: $h_t$ needs $h_{t-1}$. A text of 1,000 tokens is 1,000 steps that must wait for each other,
# and a processor with 10,000 arithmetic units has nothing to do. The **Transformer** (Vaswani et al. 2017) has no
# state. Each position looks at all positions before it, directly ([section
# 2.2](../02_core_concepts/02_attention.ipynb)), and all positions are computed at once.
#
# We need no clock to see it. PyTorch remembers which result was made from which. The longest chain in this graph is the
# number of operations that must wait for each other, however many processors you have.


# %% name="chain-code"
def longest_chain(result):
    """The largest number of operations, one made from the other, that lead to this tensor."""
    length, stack = {None: 0}, [result.grad_fn]
    while stack:
        node = stack[-1]
        waiting = [n for n, _ in node.next_functions if n not in length]
        if waiting:
            stack += waiting
        else:
            length[stack.pop()] = 1 + max((length[n] for n, _ in node.next_functions), default=0)
    return length[result.grad_fn]


a = torch.ones(3, requires_grad=True)
record.check("exp of a sum of squares: three operations after the leaf", longest_chain((a**2).sum().exp()) == 4)


# %% [markdown] name="models-text"
# Both models of our race have the same width and number of layers: an LSTM, and a small modern Transformer. They also
# share tokens, batches, number of steps and optimizer; each has its own learning rate.

# %% name="models"
WIDTH = {"quick": 96, "full": 256}[profile]
LAYERS = {"quick": 1, "full": 2}[profile]


def make_model(name):
    """A new model with weights from the seed."""
    torch.manual_seed(seed)
    if name == "LSTM":
        return RecurrentLM(RecurrentConfig(V, WIDTH, LAYERS))
    sizes = {"d_model": WIDTH, "n_layers": LAYERS, "n_heads": 4, "d_ff": 4 * WIDTH, "max_positions": 256}
    return NanoChat(NanoChatConfig(vocab_size=V, eos_token_id=None, score_cap=None, **sizes), "language_model")


# %% name="chain-plot"
LENGTHS = [8, 16, 32, 64]
chains = {
    name: [longest_chain(make_model(name)(train_ids[None, :length]).logits) for length in LENGTHS]
    for name in ("LSTM", "Transformer")
}
fig, (ax,) = plots.figure("Operations that must wait for each other", width=5.2, height=3.0)
plots.lines(ax, LENGTHS, chains, x_label="length of the text (tokens)", y_label="longest chain")
plots.show(
    fig,
    alt="The longest chain of operations against the length: for the LSTM a straight line that rises steeply, for the "
    "Transformer a flat line.",
)

# %% name="chain-check" tags=["nbval-check-output"]
if profile == "quick":
    print("LSTM:", chains["LSTM"], " Transformer:", chains["Transformer"])
per_token = (chains["LSTM"][-1] - chains["LSTM"][0]) // (LENGTHS[-1] - LENGTHS[0])
record.check("the LSTM's chain grows with every token", per_token >= 3)
record.check("the Transformer's chain is the same for every length", len(set(chains["Transformer"])) == 1)

# %% [markdown] name="road"
# ## 大语言模型的兴起 · The road in one figure
#
# Now the race. Both networks read 64 tokens at a time, 16 such windows a step. After 1, 2, 4, 8, ... steps we
# measure the bits per byte of the test text. Beside it we count the **training effort** (训练代价) in operations:
# for a network what torch counts in one step, times the steps; for n-grams one count for each length at each
# position.

# %% name="race"
STEPS = {"quick": 400, "full": 3000}[profile]
T, B = 64, 16
RATES = {"LSTM": (2e-2, 0.08), "Transformer": (1e-2, 0.04)}  # of the embeddings, of the matrices: each tried beforehand


def as_batch(rows):
    """Windows of equal length, (B, T): each token is to be predicted from those before it."""
    return {"input_ids": torch.stack(rows), "labels": torch.stack(rows)}


def measure_at(moments):
    """An evaluation that is called after every step, and measures at some of them: bits per byte of the test text."""
    steps_done = iter(range(1, STEPS + 1))

    def measure(model):
        if next(steps_done) not in moments:
            return {}
        log_p = token_log_probabilities(model, test_ids.to(device), T, start_id=0, batch_size=64)
        return {"bits": bits_per_byte(log_p, test_text)}  # each token sees at least half a window

    return measure


# %% name="race-code"
def race(name):
    """The trained model, and its (steps done, bits per byte)."""
    model = make_model(name)
    rate, muon_rate = RATES[name]
    settings = {"warmup_steps": STEPS // 20, "muon_learning_rate": muon_rate, "evaluate_every": 1}
    config = TrainingConfig(STEPS, rate, "muon", device=str(device), seed=seed, **settings)
    moments = {2**k for k in range(12) if 2**k < 0.8 * STEPS} | {STEPS}
    batches = Loader(Windows(train_ids, T), B, as_batch, seed)
    log = train(model, batches, config, evaluate=measure_at(moments))
    record.metric(f"{name}: first loss", log.losses[0], "nats")
    return model, log


# %% name="race-run"
runs = {name: race(name) for name in ("LSTM", "Transformer")}
models = {name: model for name, (model, _) in runs.items()}


# %% name="effort"
def operations_of_a_step(name):
    """Floating-point operations of one training step, counted by torch while it runs."""
    model, batch = make_model(name), as_batch([train_ids[:T]] * B)
    with FlopCounterMode(display=False) as counter:
        model(**batch, inspect=True).loss.backward()  # as plain products; a CPU's fused attention is not counted
    return counter.get_total_flops()


effort, bits = {}, {}
for name, (_, log) in runs.items():
    done, bits[name] = log.evaluation("bits")
    effort[name] = np.array(done) * operations_of_a_step(name)
    n_matrix = sum(p.numel() for n, p in make_model(name).named_parameters() if p.dim() == 2 and "word" not in n)
    n_matrix -= V * WIDTH if name == "LSTM" else 0  # its embedding is looked up, not multiplied
    rule = 6 * n_matrix * B * T * STEPS
    print(f"{name}: counted {effort[name][-1]:.2e} operations; the rule 6 · parameters · tokens gives {rule:.2e}")
    record.check(f"{name}: the rule is right within a fifth", 0.8 < rule / effort[name][-1] < 1.2)

# %% name="road-plot"
fig, (ax,) = plots.figure("Seventy years of language models on one text", width=7.4, height=4.2)
counted = [operations[n] for n in ORDERS]
ax.plot(counted, list(scores.values()), "D:", color=plots.COLOURS[3], label="counting: Kneser–Ney n-grams")
for n in (1, 2, 3, 5):
    place = (-5, -13) if n == 5 else (7, 2)
    ax.annotate(f"n = {n}", (operations[n], scores[n]), xytext=place, textcoords="offset points", fontsize=8)
for name, colour, dash, marker in (("LSTM", 0, "-", "o"), ("Transformer", 1, "--", "s")):
    ax.plot(effort[name], bits[name], dash, marker=marker, color=plots.COLOURS[colour], label=f"{name}, step by step")
plots.level(ax, math.log2(V) * len(test_ids) / len(test_text.encode()), "all tokens equally likely")
ax.axhline(scores[5], color=plots.COLOURS[3], linewidth=0.8, linestyle=":")
ax.set_xscale("log")
ax.set_yscale("log")
ax.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
ax.minorticks_off()
ax.set_xlabel("training effort (operations, logarithmic)")
ax.set_ylabel("bits per byte of the test text (logarithmic)")
ax.legend(loc="upper center", bbox_to_anchor=(0.42, 0.85))
plots.show(
    fig,
    alt="Bits per byte against training effort, both logarithmic. The n-grams stand at the left and fall from 3 to "
    "0.7, flattening. LSTM and Transformer start thousands of times further right, near guessing, and fall steeply; "
    "the Transformer ends lowest of all.",
)

# %% [markdown] name="road-read"
# Counting is a bargain: its five points cost next to nothing, and the 5-gram is hard to beat. The Transformer pays over
# 100,000 times as much before it passes it. But the curve of the counts has gone flat, and those of the networks have
# not. Who has that much computing can go on where counting stops. That is the road to large language models, in one
# small picture.

# %% name="road-check"
final = {name: values[-1] for name, values in bits.items()}
for name in final:
    record.metric(f"{name}: final", final[name], "bits per byte")
record.check("after one step both networks are worse than the 1-gram", all(v[0] > scores[1] for v in bits.values()))
record.check(
    "the last stretch gains more than the step from n = 4 to 5", all(v[-2] - v[-1] > gains[-1] for v in bits.values())
)
record.check("the LSTM ends better than the 3-gram", final["LSTM"] < scores[3])
record.check(
    "the Transformer ends better than every n-gram and the LSTM", final["Transformer"] < min(scores[5], final["LSTM"])
)
passed = next(e for e, b in zip(effort["Transformer"], bits["Transformer"], strict=True) if b < scores[5])
record.check("when it passes the 5-gram, it has cost over 100,000 times as much", passed > 1e5 * operations[5])

# %% [markdown] name="samples-text"
# The numbers have a sound, too. Each model goes on from the same beginning.


# %% name="samples"
def go_on(model, prompt, n_tokens=40):
    """The prompt and n_tokens sampled after it."""
    ids, generator = tokenizer.encode_plain(prompt), torch.Generator().manual_seed(seed)
    if isinstance(model, KneserNey):
        return tokenizer.decode(ids + model.sample(n_tokens, ids, generator))
    for _ in range(n_tokens):
        with torch.no_grad():
            logits = model(torch.tensor([ids[-T:]], device=device)).logits[0, -1].cpu()
        ids.append(int(torch.multinomial(logits.softmax(-1), 1, generator=generator)))
    return tokenizer.decode(ids)


for name, model in {"1-gram": ngrams[1], "2-gram": ngrams[2], "5-gram": ngrams[5], **models}.items():
    print(f"{name}: {go_on(model, 'By trade, Kate is a').replace(chr(10), ' | ')}\n")

# %% [markdown] name="memory"
# ### 哪座城 · Which town? What a memory is good for
#
# Where does the Transformer win? A profile names the town of its person at the beginning and often once more, many
# tokens later: *People in ... speak of his punctuality*. There are eight towns. At every later mention we let each
# model choose among the eight, and give it only the last $c$ tokens before. An n-gram has $c = n - 1$.

# %% name="memory-places"
towns = [tokenizer.encode_plain(f" {town.name.en}")[0] for town in world.population.towns]
record.check("the first token of each town's name is its own", len(set(towns)) == len(towns) == 8)
places = [
    t for t in range(T, len(test_ids)) if int(test_ids[t]) in towns and int(test_ids[t]) in test_ids[t - 60 : t - 8]
]
right = torch.tensor([towns.index(int(test_ids[t])) for t in places])
before = tokenizer.decode(test_ids[places[0] - 45 : places[0]].tolist())
print(f"{len(places)} later mentions of a town, such as: ...{before}")


def share_right(c, scores):
    """How often the right town has the highest score of the eight, given the last c tokens."""
    rows = scores(torch.stack([test_ids[t - c : t] for t in places]))  # (N, V)
    return (rows[:, towns].argmax(1) == right).double().mean().item()


# %% name="memory-plot"
CONTEXTS = [1, 2, 4, 8, 16, 32, 64]
memory = {}
for name, model in models.items():
    with torch.no_grad():
        memory[name] = [share_right(c, lambda x, m=model: m(x.to(device)).logits[:, -1].cpu()) for c in CONTEXTS]
counting = [share_right(n - 1, lambda x, m=ngrams[n]: torch.stack([m.probabilities(r) for r in x])) for n in (2, 3, 5)]
fig, (ax,) = plots.figure("Which of eight towns? Chosen from the last c tokens", width=6.2, height=3.2)
plots.lines(ax, CONTEXTS, memory, x_label="c: tokens that the model sees", y_label="share chosen right")
ax.plot([1, 2, 4], counting, "D:", color=plots.COLOURS[3], label="n-grams, n = c + 1")
ax.set_xscale("log", base=2)
ax.set_xticks(CONTEXTS, [str(c) for c in CONTEXTS])
ax.set_ylim(0, 1.05)
ax.legend(loc="upper left")
plots.level(ax, 1 / 8, "chance", below=True)
plots.show(
    fig,
    alt="Share of towns chosen right against the number of visible tokens. With one or two tokens all models are near "
    "chance. The n-grams end at four tokens, below one half; the LSTM stays there. From 16 tokens on the Transformer "
    "is above one half.",
)

# %% name="memory-check"
record.metric("towns right: 5-gram", counting[-1])
for name, values in memory.items():
    record.metric(f"towns right: {name}, {CONTEXTS[-1]} tokens", values[-1])
few = max(counting[-1], *(values[2] for values in memory.values()))
record.check("with four tokens no model chooses half of the towns right", few < 0.5)
gain = memory["Transformer"][-1] - memory["Transformer"][2]
record.check("the Transformer gains over 0.2 from what stands further back", gain > 0.2)
record.check("and passes the 5-gram, and the LSTM", memory["Transformer"][-1] > max(counting[-1], memory["LSTM"][-1]))

# %% [markdown] name="memory-lesson"
# Four tokens are a short memory, and the 5-gram lives on what is always true: the *neat* town is Stonebrook. The LSTM
# *could* keep the town in its state, but it has to learn what to keep first. The Transformer need not keep anything. It
# looks back, and the town is still there.

# %% [markdown] name="road-after"
# ### 之后 · What came after
#
# | year | step | source |
# | --- | --- | --- |
# | 1948 | n-grams of letters and words | Shannon 1948 |
# | 1995 | Kneser–Ney smoothing | Kneser & Ney 1995 |
# | 1997 | LSTM | Hochreiter & Schmidhuber 1997 |
# | 2003 | a neural language model with word vectors | Bengio et al. 2003 |
# | 2013 | word2vec | Mikolov et al. 2013 |
# | 2014 | attention, for translation | Bahdanau et al. 2015 |
# | 2017 | the Transformer | Vaswani et al. 2017 |
# | 2018 | pre-train, then fine-tune: GPT and BERT | Radford et al. 2018; Devlin et al. 2019 |
# | 2020 | GPT-3: tasks from examples in the prompt | Brown et al. 2020 |
#
# None of these steps made the older one wrong. Smoothed counts, word vectors and recurrent states are all still in use.
# What changed is where the road stops: the next section says how far it has been followed.

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# The documents tell this history in a few sentences. What can be put to a test was put to one.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("01_background/01_road_to_llms")

# %% name="ledger-data"
small = make(0)
told = [s.skeleton for text in small.stories(40) for s in text.sentences]
later = [s.skeleton for text in small.stories(40, "test") for s in text.sentences if not held_out(s.skeleton)]
letters = torch.tensor([0, 1, 2, 0, 1, 0, 2, 2, 1, 0, 0, 1, 2, 1, 0, 2])  # a text over an alphabet of three


# %% name="ledger-rules" tags=["ledger"]
def document_version(rules, sentences):
    """001 §1.1, 004 §1.1: systems of rules are limited by the knowledge that was written down. The share left out."""
    return torch.tensor([sentence not in rules for sentence in sentences]).double().mean()


def correct_version(rules, sentences):
    """The same share, from counts of each skeleton."""
    times = Counter(sentences)
    return torch.tensor(sum(n for s, n in times.items() if s not in rules) / len(sentences), dtype=torch.float64)


half, whole = set(told[: len(told) // 2]), set(told)
for rules in (half, whole):
    same = torch.isclose(document_version(rules, later), correct_version(rules, later))
    record.check(f"a share of {correct_version(rules, later):.2f} fits none of the rules", bool(same))
record.check(
    "more rules leave out less, and still much", 0.2 < correct_version(whole, later) < correct_version(half, later)
)


# %% name="ledger-statistics" tags=["ledger"]
def document_version(ids):
    """001 §1.1: statistical methods (here: relative frequencies of pairs), before deep learning."""
    return AddK([ids], 2, 3, k=0).probabilities([0]).float()


def correct_version(ids):
    """The softmax layer of a network, trained on the same pairs by gradient descent, learns the same numbers."""
    logits = torch.zeros(3, 3, requires_grad=True)
    for _ in range(300):
        loss = F.cross_entropy(logits[ids[:-1]], ids[1:])
        logits = (logits - 2.0 * torch.autograd.grad(loss, logits)[0]).detach().requires_grad_()
    return logits[0].detach().softmax(0)


same = torch.allclose(document_version(letters), correct_version(letters), atol=1e-3)
record.check("deep learning did not replace statistics: a network estimates the same probabilities", same)


# %% name="ledger-data-driven" tags=["ledger"]
def document_version(n_texts):
    """002 §1.1, 004 §1.1: models driven by data gain from data. The loss of new characters in nats, by lmlib."""
    train, test = ("".join(t.text for t in small.stories(n, part)) for n, part in ((n_texts, "train"), (5, "test")))
    model = AddK([torch.tensor(list(train.encode()))], 3, 256)
    return float(-model.log_probabilities(torch.tensor(list(test.encode())))[2:].mean())


def correct_version(n_texts):
    """The same from counts in plain Python."""
    train, test = ("".join(t.text for t in small.stories(n, part)) for n, part in ((n_texts, "train"), (5, "test")))
    three, two = (Counter(train[i : i + n] for i in range(len(train) - 2)) for n in (3, 2))
    triples = [test[i : i + 3] for i in range(len(test) - 2)]
    return -np.mean([math.log((three[t] + 1) / (two[t[:2]] + 256)) for t in triples])


few, many = 2, 60
record.check(
    "both ways of counting agree", all(abs(document_version(n) - correct_version(n)) < 1e-6 for n in (few, many))
)
record.check("30 times the text: over half a nat less a character", correct_version(many) < correct_version(few) - 0.5)


# %% name="ledger-understand-generate" tags=["ledger"]
def document_version(ids, context):
    """001 §1.1: to understand and to generate. Generated: how often each letter is drawn after the context."""
    drawn = [model.sample(1, context, generator)[0] for _ in range(2000)]
    return torch.bincount(torch.tensor(drawn), minlength=3) / 2000


def correct_version(ids, context):
    """Understood: the probability that the model gives each letter there."""
    return model.probabilities(context).float()


model, generator = KneserNey([letters], 2, 3), torch.Generator().manual_seed(0)
pair = [version(letters, [1]) for version in (document_version, correct_version)]
record.check("one distribution does both: it scores a text, and draws one", torch.allclose(*pair, atol=0.06))


# %% name="ledger-abbreviation" tags=["ledger"]
def document_version(name):
    """002 §1.1: the short form that is given."""
    return "LLC"


def correct_version(name):
    """The initials."""
    return "".join(word[0] for word in name.split())


name = "Large Language Model"
record.check(
    "LLC are not the initials of large language model", document_version(name) != "".join(w[0] for w in name.split())
)
record.check("LLM are", correct_version(name) == "LLM")


# %% name="ledger-emergence" tags=["ledger"]
def document_version(accuracies, chance):
    """003 §1.1: emergent is what a model can do without being programmed for it."""
    return accuracies[-1] > chance + 0.2


def correct_version(accuracies, chance):
    """Emergent is what small models cannot do and large ones can (Wei et al. 2022)."""
    return abs(accuracies[0] - chance) < 0.1 and accuracies[-1] > chance + 0.2


text = torch.tensor([0, 1, 2] * 40)
accuracies = []
for order in (2, 3, 5):  # tables of growing size learn the alphabet's order from text; nobody programs it
    table = AddK([text], order, 3)
    guesses = [int(table.probabilities(text[t - order + 1 : t]).argmax()) for t in range(order, 60)]
    accuracies.append(np.mean([g == int(text[t]) for t, g in enumerate(guesses, order)]))
record.check(
    "by the document's words, a table of counts has an emergent ability", bool(document_version(accuracies, 1 / 3))
)
record.check("it has none: the smallest table can do it as well", not correct_version(accuracies, 1 / 3))

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/01_background/01_road_to_llms.ipynb), about 70 minutes, four questions:
#
# 1. Kneser–Ney for pairs: discount, and what it frees;
# 2. bits per byte and perplexity from the same scores;
# 3. the skeleton rules, counted: coverage of a growing rule book;
# 4. who must wait for whom: numbers to derive, and a result to read.
#
# To go on: 1.2 asks what *large* means, 2.1 defines language models, 2.2 builds attention.
