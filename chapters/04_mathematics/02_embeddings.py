# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 4.2 词嵌入 · Embeddings
#
# 本节说明词嵌入层不过是一次查表，再写出 Word2Vec 与 GloVe 的目标函数，并考察它们收敛到什么。
# 我们用数字证明：负采样的跳字模型是在分解平移后的点互信息矩阵。
# 随后考察近邻与类比究竟测量什么，词向量空间为何是一个“圆锥”，以及输出矩阵与输入矩阵共享意味着什么。
#
# After this section you can say what an embedding layer computes and what its gradient is, derive what skip-gram
# with negative sampling and GloVe converge to, and judge what a list of neighbours or an analogy proves.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import copy
import math
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import nn

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.data import world
from lmlib.data.world import lexicon
from lmlib.evaluation.word_vectors import analogy_accuracy
from lmlib.models.glove import Glove, GloveConfig, count_cooccurrence, fit, weighted_squares
from lmlib.models.nanochat import NanoChat, NanoChatConfig
from lmlib.models.word2vec import Word2Vec, Word2VecConfig, train_word2vec
from lmlib.models.word_vectors import WordVectors
from lmlib.text.vocabulary import Vocabulary

device = session.start(seed, device, profile)

# %% [markdown] name="one-hot"
# ## 4.2.1 独热向量乘矩阵 · A look-up that is a product
#
# A network multiplies numbers. How does a word get in? Number the words 0 to $V-1$, and write word $i$ as the
# **one-hot vector** (独热向量) $e_i$, with a single 1 at place $i$. Multiply by a learned matrix $E$ of shape (V, C):
#
# $$e_i^\top E = \sum_j [j = i]\,E_j = E_i$$
#
# The product is row $i$. Nobody computes the $V - 1$ multiplications by zero: an **embedding layer** (嵌入层) just
# takes the row. Five words, three numbers each:

# %% name="one-hot-check" tags=["nbval-check-output"]
table = torch.arange(15.0).view(5, 3)  # E: (V, C)
ids = torch.tensor([3, 0, 3])
one_hot = F.one_hot(ids, 5).float()  # (T, V)
print(one_hot @ table)
record.check("one-hot times matrix is a look-up of rows", torch.equal(one_hot @ table, table[ids]))
record.check("torch's embedding layer is the same", torch.equal(nn.Embedding.from_pretrained(table)(ids), table[ids]))

# %% [markdown] name="look-up-gradient"
# **The gradient follows from the product.** With $X = OE$ (O the one-hot rows) the chain rule gives $\partial\mathcal
# L/\partial E = O^\top\,\partial\mathcal L/\partial X$. Row $i$ collects the gradients of all places where word $i$
# stands; a word that is not in the batch gets exactly zero. So rare words learn rarely.

# %% name="look-up-gradient-check" tags=["nbval-check-output"]
weight = table.clone().requires_grad_()
arriving = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [10.0, 0.0, 5.0]])  # dL/dX, one row a place
(weight[ids] * arriving).sum().backward()
print(weight.grad)
record.check("the gradient is Oᵀ · dL/dX", torch.equal(weight.grad, one_hot.T @ arriving))
record.check("word 3 stands twice and gets the sum", torch.equal(weight.grad[3], arriving[0] + arriving[2]))

# %% [markdown] name="one-hot-distance"
# Why not keep the one-hot vectors? Because all of them are equally far apart: *tea* is as far from *coffee* as from
# *yesterday*. The rows of $E$ may lie anywhere. Where should they lie?

# %% [markdown] name="word-vectors"
# ## 4.2.2 词向量 · Words by the company they keep
#
# The **distributional hypothesis** (分布假说): words that stand in the same contexts mean similar things. Then
# a first word vector costs nothing but counting: the row of a table of neighbours. Here are seven
# sentences.

# %% name="count-by-hand" tags=["nbval-check-output"]
tiny = ["she drinks hot tea", "he drinks hot coffee", "she drinks tea", "he drinks coffee"]
tiny += ["she reads a book", "he reads a paper", "she reads a paper"]
tiny = [sentence.split() for sentence in tiny]
tiny_words = Vocabulary.from_sentences(tiny)


def neighbour_counts(sentences, words, window):
    """How often word j stands at most `window` places from word i: (V, V)."""
    counts = np.zeros((len(words), len(words)))
    for sentence in sentences:
        row = words.encode(sentence)
        for i, centre in enumerate(row):
            for context in row[max(0, i - window) : i] + row[i + 1 : i + 1 + window]:
                counts[centre, context] += 1
    return counts


counts = neighbour_counts(tiny, tiny_words, window=1)
for word in ("tea", "coffee", "book"):
    row = counts[tiny_words.ids[word]]
    print(f"{word:7}", {tiny_words.words[j]: int(n) for j, n in enumerate(row) if n})

# %% name="count-check" tags=["nbval-check-output"]
by_count = WordVectors(tiny_words.words, torch.from_numpy(counts))
print(f"tea, coffee: {by_count.cosine('tea', 'coffee'):.2f}   tea, book: {by_count.cosine('tea', 'book'):.2f}")
record.check("tea and coffee have the same company", math.isclose(by_count.cosine("tea", "coffee"), 1, rel_tol=1e-6))
record.check("tea and book share no neighbour", by_count.cosine("tea", "book") == 0)
record.check("the table is symmetric", bool((counts == counts.T).all()))

# %% [markdown] name="pmi-idea"
# Raw counts are dominated by *the*, *a*, the comma and the full stop. Ask instead how much more often two words meet
# than by chance. This is the **pointwise mutual information** (点互信息, PMI), the logarithm under the sum of the
# mutual information of section 4.1:
#
# $$\mathrm{PMI}(w, c) = \ln\frac{P(w, c)}{P(w)P(c)} = \ln\frac{N_{wc}\,N}{N_w\,N_c}$$
#
# with $N_{wc}$ pairs of word and context, $N_w$ and $N_c$ the sums of its row and column, $N$ the sum of all. Now the
# small world: its stories, and the table of its 250 most frequent words.

# %% name="world-sentences"
N_CHARS = {"quick": 700_000, "full": 10_000_000}[profile]
V = 250
corpus = world.make(seed=seed).corpus("train", "en", N_CHARS)
sentences = [[word.lower() for word in s.words] for text in corpus for s in text.sentences]
top = Vocabulary(dict(Counter(word for s in sentences for word in s).most_common(V)))


def pair_counts(sentences, words, window):
    """The table of neighbours (V, V), counted with arrays; other words are left out."""
    rows = [np.array(words.encode(s), dtype=int) for s in sentences]
    table = np.zeros((len(words), len(words)))
    for distance in range(1, window + 1):
        first = np.concatenate([r[:-distance] for r in rows if len(r) > distance])
        second = np.concatenate([r[distance:] for r in rows if len(r) > distance])
        np.add.at(table, (first, second), 1)
    return table + table.T


def pmi(table):
    """PMI in nats, -inf where a pair never occurs: (V, V)."""
    expected = table.sum(1, keepdim=True) * table.sum(0, keepdim=True) / table.sum()
    return (table / expected).log()


pairs = torch.from_numpy(pair_counts(sentences, top, window=2))  # (V, V) float64

# %% name="pmi-check" tags=["nbval-check-output"]
same = (pair_counts(tiny, tiny_words, 2) == neighbour_counts(tiny, tiny_words, 2)).all()
record.check("counting with arrays equals counting with loops", bool(same))
independent = torch.outer(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 1.0, 1.0]))
record.check("independent words have PMI 0", torch.allclose(pmi(independent), torch.zeros(3, 3), atol=1e-6))
best = pmi(pairs).masked_fill(pairs < 20, -math.inf)
frequent, special = (sorted(divmod(int(x.argmax()), V)) for x in (pairs, best))  # ids: the most frequent word is 0
print("most frequent pair:", top.decode(frequent), " highest PMI:", top.decode(special))
record.check("the most frequent pair is made of the ten most frequent words", max(frequent) < 10)
record.check("the pair of the highest PMI has none of them", min(special) >= 10)

# %% [markdown] name="skip-gram"
# ## 4.2.3 Word2Vec · Skip-gram with negative sampling
#
# Word2Vec does not count, it *predicts*. Each word has two vectors of length C: $v_w$ as a word, $u_c$ as a context.
# For each pair (w, c) in the text draw $k$ noise words $c'$ and learn to tell the real context from the noise, with
# the sigmoid $\sigma(x) = 1/(1+e^{-x})$:
#
# $$\ell = -\ln\sigma(v_w\cdot u_c) - \sum_{i=1}^{k}\ln\sigma(-v_w\cdot u_{c'_i})$$
#
# (Mikolov et al. 2013b, equation 4: skip-gram with negative sampling, 负采样, SGNS.) Since
# $\frac{d}{dx}\ln\sigma(x) = 1-\sigma(x)$, the gradients are
#
# $$\frac{\partial\ell}{\partial v_w} = (\sigma(v_w\cdot u_c) - 1)\,u_c + \sum_i \sigma(v_w\cdot u_{c'_i})\,u_{c'_i},
# \qquad \frac{\partial\ell}{\partial u_c} = (\sigma(v_w\cdot u_c) - 1)\,v_w .$$
#
# Each is an error, "what I said minus what was right", times the other vector.


# %% name="skip-gram-code"
def negative_sampling(v, u, noise):
    """Loss of one pair: v (C,), u (C,), noise (k, C)."""
    return -F.logsigmoid(v @ u) - F.logsigmoid(-(noise @ v)).sum()


def its_gradient(v, u, noise):
    """By the formula: the gradients by v (C,) and by u (C,)."""
    error, noise_error = torch.sigmoid(v @ u) - 1, torch.sigmoid(noise @ v)  # a number, (k,)
    return error * u + noise_error @ noise, error * v


# %% name="skip-gram-check" tags=["nbval-check-output"]
v, u = (torch.randn(8, dtype=torch.float64, requires_grad=True) for _ in range(2))
noise = torch.randn(5, 8, dtype=torch.float64)
by_autograd = torch.autograd.grad(negative_sampling(v, u, noise), (v, u))
record.check("the gradients are those of autograd", all(map(torch.allclose, by_autograd, its_gradient(v, u, noise))))
model = Word2Vec(6, 8).double()  # word 0 meets context 1; contexts 2 to 5 and 2 again are noise
drawn = torch.tensor([2, 3, 4, 5, 2])
with torch.no_grad():
    model.words.weight[0], model.contexts.weight[1] = v, u
    noise = torch.randn(6, 8, dtype=torch.float64)
    model.contexts.weight[2:] = noise[2:]
    library = model(torch.tensor([[0]]), torch.tensor([1]), drawn[None])
    record.check("lmlib's loss is ours", torch.allclose(library, negative_sampling(v, u, noise[drawn])))

# %% [markdown] name="levy-derivation"
# ### 隐式矩阵分解 · What does it converge to?
#
# Let every pair have a product $x_{wc} = v_w\cdot u_c$ of its own (vectors long enough allow that). Collect all terms
# of the whole corpus in which $x_{wc}$ occurs. As a true pair it comes $N_{wc}$ times. As noise it comes
# $k\,N_w\,P(c)$ times on average, if noise is drawn by frequency, $P(c) = N_c/N$:
#
# $$L(x) = -N_{wc}\ln\sigma(x) - k\,N_w\frac{N_c}{N}\ln\sigma(-x)$$
#
# Set the derivative to zero: $N_{wc}(1-\sigma(x)) = k\frac{N_wN_c}{N}\sigma(x)$. With $\sigma(x)/(1-\sigma(x)) = e^x$:
#
# $$x^* = \ln\frac{N_{wc}\,N}{N_w\,N_c} - \ln k = \mathrm{PMI}(w, c) - \ln k$$
#
# So skip-gram with negative sampling *factorises the PMI matrix*, shifted by $\ln k$, into two thin matrices. (Levy &
# Goldberg 2014.) Is it so? We do not sample: we minimise the exact expectation over the world's 250 × 250 table.


# %% name="exact-objective"
def expected_loss(products, table, k):
    """The loss per pair of the whole corpus, noise averaged exactly: products (V, V), table (V, V)."""
    chance = k * table.sum(1, keepdim=True) * table.sum(0, keepdim=True) / table.sum()
    return -(table * F.logsigmoid(products) + chance * F.logsigmoid(-products)).sum() / table.sum()


def factorise(table, d_model, k, steps):
    """Two matrices (V, C) that minimise the expected loss, with full-batch Adam; their product (V, V)."""
    generator = torch.Generator().manual_seed(seed)
    words, contexts = (
        (0.1 * torch.randn(len(table), d_model, generator=generator)).to(device).requires_grad_() for _ in range(2)
    )
    optimizer = torch.optim.Adam([words, contexts], lr=0.03)
    table = table.float().to(device)
    for _ in range(steps):
        optimizer.zero_grad()
        expected_loss(words @ contexts.T, table, k).backward()
        optimizer.step()
    return (words @ contexts.T).detach().cpu().double()


# %% [markdown] name="one-pair-text"
# First one pair alone. Three values of $k$; the lowest point of each curve is marked, and computed without calculus.

# %% name="one-pair"
n_pair, n_word, n_context, n_all = 40.0, 500.0, 300.0, 100_000.0  # counts of a made-up pair
x = torch.linspace(-1, 6, 701, dtype=torch.float64)
curves, lowest = {}, {}
for k in (1, 5, 20):
    loss = -n_pair * F.logsigmoid(x) - k * n_word * n_context / n_all * F.logsigmoid(-x)
    curves[f"k = {k}"], lowest[k] = (loss - loss.min()), x[loss.argmin()].item()
fig, (ax,) = plots.figure("Loss of one pair: the lowest point is PMI − ln k", width=5.6, height=3.2)
plots.lines(ax, x, curves, x_label="product v·u", y_label="loss above its minimum", markers=False)
for at in lowest.values():
    ax.axvline(at, color="#999999", linewidth=0.8, linestyle=":")
ax.set_ylim(0, 30)
ax.legend(loc=(0.6, 0.56))
plots.show(
    fig,
    alt="Three bowls, the loss of one pair against the product of its vectors for k = 1, 5 and 20. Each has one "
    "lowest point, marked by a dotted line; it moves to the left as k grows.",
)

# %% name="one-pair-check" tags=["nbval-check-output"]
one_pmi = math.log(n_pair * n_all / (n_word * n_context))
for k, at in lowest.items():
    print(f"k = {k:2}: lowest point {at:5.2f}, PMI - ln k = {one_pmi - math.log(k):5.2f}")
    assert abs(at - (one_pmi - math.log(k))) < 0.01

# %% [markdown] name="factorise-text"
# Now all 62 500 cells at once, with vectors of several lengths. No factorisation can go below the loss of the table
# of $x^*$ itself: that is the floor.

# %% name="factorise"
STEPS = {"quick": 500, "full": 5000}[profile]
WIDTHS = [2, 8, 32, 128]
K = 5
products = {d: factorise(pairs, d, K, STEPS) for d in WIDTHS}
shifted = pmi(pairs) - math.log(K)  # -inf where a pair never occurs
floor = expected_loss(shifted.clamp(min=-30), pairs, K).item()
above = {d: expected_loss(product, pairs, K).item() - floor for d, product in products.items()}
often = pairs >= 10  # cells that are not mostly chance
agreement = {d: np.corrcoef(product[often], shifted[often])[0, 1] for d, product in products.items()}

# %% name="factorise-plot"
fig, axes = plots.figure("C = 8, each point a pair", "C = 128", "What is left to learn", width=9.0, height=3.0)
cells = tuple(often.nonzero()[:: max(1, int(often.sum()) // 400)].T)
for ax, d in zip(axes, (8, 128), strict=False):
    ax.plot(shifted[cells], products[d][cells], ".", color="#08306b", markersize=3, alpha=0.6)
    ax.plot([-4, 5], [-4, 5], color="#d9541a", linestyle="--", linewidth=1)
    ax.set_xlabel("PMI − ln k, from counting")
    ax.set_ylim(-6, 6)
axes[0].set_ylabel("v·u, from training")
plots.lines(axes[2], WIDTHS, {"loss": list(above.values())}, x_label="vector length C", y_label="nats above the floor")
axes[2].set_xscale("log", base=2)
axes[2].set_xticks(WIDTHS, [str(d) for d in WIDTHS])
axes[2].set_ylim(0, None)
plots.show(
    fig,
    alt="Trained products against shifted PMI for some 400 frequent pairs. With 8 numbers the points form a cloud "
    "around the diagonal, with 128 they lie on it. Right: the loss above the floor falls to nearly 0 as the "
    "vectors grow from 2 to 128.",
)

# %% name="factorise-check"
record.metric("correlation of v·u and shifted PMI, C = 128", agreement[128])
record.check("with 128 numbers the correlation is above 0.97", agreement[128] > 0.97)
record.check("with 2 numbers it is below 0.9", agreement[2] < 0.9)
distance = (products[128] - shifted)[often].abs().mean().item()
record.metric("mean distance of v·u from PMI - ln k, C = 128", distance)
record.check("with 128 v·u is PMI - ln k itself, to 0.05 on average", distance < 0.05)
record.check(
    "each longer vector comes closer to the floor", list(above.values()) == sorted(above.values(), reverse=True)
)
record.check("and none falls below it", min(above.values()) > 0)

# %% [markdown] name="shift-text"
# And the shift? Train once more with $k = 1$. The products should all rise by $\ln 5$.

# %% name="shift-check"
with_one = factorise(pairs, 128, 1, STEPS)
rise = (with_one - products[128])[often].mean().item()
record.metric("mean rise from k = 5 to k = 1", rise)
record.check("from k = 5 to k = 1 the products rise by ln 5, within 0.15", abs(rise - math.log(5)) < 0.15)

# %% [markdown] name="levy-lesson"
# What does this teach? The prediction was never the point: the vectors hold co-occurrence statistics, compressed. It
# also names the free choices. `lmlib` draws noise by frequency to the power 0.75, which changes $P(c)$ in the
# derivation, and pairs that never occur pull $x$ to $-\infty$; short vectors cannot follow there, which is their
# gift: they *generalise*.

# %% [markdown] name="glove"
# ## 4.2.4 GloVe · Fitting the logarithm of the counts
#
# GloVe starts where we arrived: from the table. With a bias for each word and each context,
#
# $$J = \sum_{w,c} f(N_{wc})\,\big(v_w\cdot u_c + b_w + \tilde b_c - \ln N_{wc}\big)^2,
# \qquad f(n) = \min\big(1, (n/n_{max})^{3/4}\big)$$
#
# (Pennington et al. 2014, equations 8 and 9.) Cells with $N_{wc} = 0$ are left out. Compare with $\mathrm{PMI} = \ln
# N_{wc} - \ln N_w - \ln N_c + \ln N$. If the biases become $\ln N_w$ and $\ln N_c$ up to a constant, the product is
# again the PMI. Nobody tells them to, and nothing forces them: the vectors can carry a part of the frequency as well.
# We will look. First a table by hand: pairs at distance d count 1/d.

# %% name="glove-by-hand" tags=["nbval-check-output"]
cells = count_cooccurrence([np.array([0, 1, 2, 1])], vocab_size=3, window=3)
for i, j, n in zip(cells.row, cells.column, cells.count, strict=True):
    print(f"words {i} and {j}: {n:.3f}")
both = dict(zip(zip(cells.row.tolist(), cells.column.tolist(), strict=True), cells.count.tolist(), strict=True))
record.check("words 0 and 1 meet at distances 1 and 3: 1 + 1/3", math.isclose(both[0, 1], 4 / 3))
off = weighted_squares(torch.tensor([2.0]), torch.tensor([1.0]), limit=16.0, power=0.75)
record.check("a pair seen once, off by 2: (1/16)^¾ · 2² = 1/2", torch.allclose(off, torch.tensor([0.5])))

# %% name="glove-train"
settings = GloveConfig(d_model=50, window=5, min_count=8, n_epochs={"quick": 12, "full": 50}[profile], seed=seed)
words = Vocabulary.from_sentences(sentences, settings.min_count)
rows = [np.array(words.encode(s), dtype=np.int64) for s in sentences]
table = count_cooccurrence(rows, len(words), settings.window)
glove_model = Glove(len(words), settings.d_model).to(device)
glove_losses = fit(glove_model, table, settings)
glove = WordVectors(words.words, glove_model.words.weight + glove_model.contexts.weight)
totals = torch.from_numpy(np.bincount(table.row, table.count))  # N_w
biases = glove_model.word_bias.weight.detach().cpu().flatten().double()

# %% name="glove-plot"
fig, (ax,) = plots.figure("GloVe's bias of a word follows its frequency, loosely", width=5.4, height=3.2)
ax.plot(totals.log()[::3], biases[::3], ".", color="#08306b", markersize=3, alpha=0.6)
ax.plot([3, 10], [-0.75, 6.25], color="#d9541a", linestyle="--", linewidth=1, label="slope 1: bias = ln N_w + constant")
ax.set_ylim(-0.8, 2.5)
ax.legend()
ax.set_xlabel("ln N_w, from counting")
ax.set_ylabel("bias b_w, from training")
plots.show(
    fig,
    alt="The trained bias of each word against the logarithm of its count: the points rise from lower left to "
    "upper right, far less steeply than the dashed line of slope 1.",
)

# %% name="glove-check"
tracks = np.corrcoef(totals.log(), biases)[0, 1]
slope = np.polyfit(totals.log(), biases, 1)[0]
with torch.no_grad():
    fitted = glove_model(*(torch.from_numpy(x).to(device) for x in (table.row, table.column))).cpu()
frequent = table.count >= 20
fit_quality = np.corrcoef(fitted[frequent], np.log(table.count[frequent]))[0, 1]
record.metric("correlation of GloVe's biases with ln N_w", tracks)
record.metric("correlation of the whole fit with ln N_wc, frequent pairs", fit_quality)
record.check("the whole fit follows ln N_wc: correlation above 0.5 for frequent pairs", fit_quality > 0.5)
record.check("frequent words have larger biases: correlation above 0.4", tracks > 0.4)
record.check("but the slope is far from 1", slope < 0.6)
record.check("the loss falls in every epoch", glove_losses == sorted(glove_losses, reverse=True))

# %% [markdown] name="glove-lesson"
# So GloVe's product is not quite the PMI. The loss fixes the sum $v\cdot u + b + \tilde b$; how it is divided among
# the three is left to the start and the steps of the training. After this training the biases hold only a part of the
# frequency; the rest is in the vectors, or not learned yet.

# %% [markdown] name="neighbours"
# ## 4.2.5 近邻 · What the neighbours show
#
# Now Word2Vec as it is used: sampled, on the stream of sentences, 50 numbers a word. We ask for the nearest words by
# cosine. In the small world each noun has a kind (trade, drink, hobby …), which no model is told. So neighbours can be
# *scored*: how often is the nearest noun of the same kind?

# %% name="word2vec-train"
settings = Word2VecConfig(d_model=50, window=3, min_count=8, n_epochs={"quick": 3, "full": 10}[profile], seed=seed)
word2vec = train_word2vec(sentences, settings, device=str(device))
for word in ("father", "tea", "farmer", "walked"):
    if word in word2vec:
        print(f"{word:8}", *(near for near, _ in word2vec.nearest(word, 5)))

# %% name="kind-score"
KINDS = {noun.en: noun.kind for noun in reversed(lexicon.all_nouns()) if " " not in noun.en}


def same_kind(vectors):
    """Share of nouns whose nearest noun is of the same kind, and the share by chance."""
    known = [word for word in KINDS if word in vectors]
    kinds = np.array([KINDS[word] for word in known])
    unit = vectors.unit[[vectors.id(word) for word in known]]
    scores = (unit @ unit.T).fill_diagonal_(-math.inf)
    equal = kinds[:, None] == kinds
    chance = (equal.sum() - len(known)) / (len(known) * (len(known) - 1))  # a noun is not its own neighbour
    return float(equal[np.arange(len(known)), scores.argmax(1).numpy()].mean()), float(chance)


untrained = WordVectors(word2vec.words, torch.randn(len(word2vec.words), 50))
kind_scores = {name: same_kind(v) for name, v in (("Word2Vec", word2vec), ("GloVe", glove), ("random", untrained))}

# %% name="kind-plot"
fig, (ax,) = plots.figure("Is the nearest noun of the same kind?", width=5.0, height=2.6)
bars = ax.bar(
    list(kind_scores), [score for score, _ in kind_scores.values()], color="#9db8d9", edgecolor="#08306b", width=0.6
)
ax.bar_label(bars, fmt="%.2f")
ax.axhline(kind_scores["random"][1], color="#555555", linestyle=":", label="by chance")
ax.legend()
ax.set_ylim(0, 1)
ax.set_ylabel("share of nouns")
plots.show(
    fig,
    alt="Share of nouns whose nearest noun has the same kind: about two thirds for Word2Vec, about a half for GloVe, "
    "near chance for random vectors.",
)

# %% name="kind-check"
chance = kind_scores["Word2Vec"][1]
for name in ("Word2Vec", "GloVe"):
    record.metric(f"{name}: nearest noun of the same kind", kind_scores[name][0])
    record.check(f"{name}: over 0.4, where chance gives under 0.1", kind_scores[name][0] > 0.4 > 0.1 > chance)
record.check("random vectors are near chance", kind_scores["random"][0] < 0.12)

# %% [markdown] name="antonyms-text"
# **Same contexts is not same meaning.** The words nearest to *father* above are other members of the family, those
# nearest to *walked* are other ways to move, slow or fast: they stand in the same places. The cosine measures whether
# words can be *exchanged*, not whether they agree. In the ledger below a corpus of nine sentences makes *hot* and
# *cold* identical.

# %% [markdown] name="analogies"
# ### 类比 · What an analogy measures
#
# $v_{king} - v_{man} + v_{woman} \approx v_{queen}$ is the most famous picture of word vectors. When must it hold? If
# the PMI of a word with every context is a *sum* of a part for rank and a part for gender, then rows obey $M_{king} -
# M_{man} = M_{queen} - M_{woman}$ exactly. A made-up language has that property:

# %% name="parallelogram" tags=["nbval-check-output"]
contexts = {"he": (0, 1), "she": (0, -1), "throne": (1, 0), "street": (-1, 0), "the": (0, 0)}  # (rank, gender)
people = {"king": (1, 1), "queen": (1, -1), "man": (-1, 1), "woman": (-1, -1)}
made_up = torch.tensor([[a * c + b * d for c, d in contexts.values()] for a, b in people.values()]).float()
rows_of = dict(zip(people, made_up, strict=True))
record.check(
    "king - man + woman is queen", torch.equal(rows_of["king"] - rows_of["man"] + rows_of["woman"], rows_of["queen"])
)

# %% [markdown] name="analogy-world-text"
# In text the parts do not add up so neatly. We ask the trained vectors for gender: *he : she = father : ?* and so on.
# The usual rule forbids the three given words as answers. How much of the success is that rule? And how often does
# the nearest word to *c* alone, with no arithmetic at all, give the same answer?

# %% name="analogy-measure" tags=["nbval-check-output"]
gender = [
    ("he", "she"),
    ("his", "her"),
    ("father", "mother"),
    ("son", "daughter"),
    ("brother", "sister"),
    ("husband", "wife"),
]
questions = [(a, b, c, d) for a, b in gender for c, d in gender if a != c]
print(len(questions), "questions, such as", " : ".join(questions[2][:2]), "=", " : ".join(questions[2][2:]))


def share(vectors, answer):
    """Share of questions that a rule answers rightly; `answer` gets the vectors and the words a, b, c."""
    return sum(answer(vectors, a, b, c) == d for a, b, c, d in questions) / len(questions)


def offset(vectors, a, b, c):
    """The vector b - a + c, of directions."""
    first, second, third = (vectors.unit[vectors.id(word)] for word in (a, b, c))
    return second - first + third


# %% name="analogy-rules"
RULES = {
    "b − a + c, without a, b, c": lambda v, a, b, c: v.analogy(a, b, c)[0][0],
    "b − a + c, all words allowed": lambda v, a, b, c: v.nearest(offset(v, a, b, c), 1)[0][0],
    "nearest to c, no arithmetic": lambda v, a, b, c: v.nearest(c, 1, without=(a, b))[0][0],
}
scores = {
    name: {rule: share(v, f) for rule, f in RULES.items()} for name, v in (("Word2Vec", word2vec), ("GloVe", glove))
}
itself = np.mean([RULES["b − a + c, all words allowed"](word2vec, *q[:3]) in q[:3] for q in questions])

# %% name="analogy-plot"
fig, axes = plots.figure(*scores, width=8.2, height=2.2)
for ax, of_model in zip(axes, scores.values(), strict=True):
    bars = ax.barh(list(RULES), list(of_model.values()), color="#9db8d9", edgecolor="#08306b")
    ax.bar_label(bars, fmt=" %.2f")
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of questions answered")
axes[1].set_yticks([])
plots.show(
    fig,
    alt="Share of gender analogies answered by three rules, for Word2Vec and GloVe. With all words allowed "
    "hardly any is right; with the three given words forbidden more are. The nearest word to c alone does about as "
    "well or better.",
)

# %% name="analogy-check"
library = analogy_accuracy(word2vec, questions)
first_rule = scores["Word2Vec"]["b − a + c, without a, b, c"]
record.metric("Word2Vec: gender analogies", first_rule)
record.check("lmlib's analogy_accuracy counts the same", math.isclose(library.score, first_rule))
record.check("with all words allowed, most answers are one of the three given words", itself > 0.5)
for name, of_model in scores.items():
    a, b = (of_model[rule] for rule in list(RULES)[:2])
    record.check(
        f"{name}: with all words allowed under 0.15 are right, with the given ones forbidden not fewer",
        b < 0.15 and a >= b,
    )
    gain = a - of_model["nearest to c, no arithmetic"]
    record.metric(f"{name}: what the arithmetic adds to the nearest word", gain)
    record.check(f"{name}: the arithmetic adds less than 0.2 to the nearest word alone", gain < 0.2)
record.check(
    "Word2Vec: forbidding the three given words adds over 0.2",
    first_rule - scores["Word2Vec"]["b − a + c, all words allowed"] > 0.2,
)

# %% [markdown] name="analogy-lesson"
# Here the arithmetic added little to the nearest word alone, or took away, and nearly every right answer hung on the
# rule. So read a score on analogies with three questions. Were the given words forbidden? What does the nearest
# neighbour of *c* score? And how many questions are there (here thirty, from six pairs, which is few)? A
# parallelogram is a property of additive statistics; it is no proof of reasoning.

# %% [markdown] name="geometry"
# ## 4.2.6 几何 · The cone
#
# Directions drawn at random in 50 dimensions are nearly perpendicular: the cosine has mean 0 and standard deviation
# $1/\sqrt C$ (a sum of C products, each of variance $1/C^2$). Are word vectors like that? We take random pairs of
# words.


# %% name="geometry-measure"
def random_cosines(matrix, n=20_000):
    """Cosines of n random pairs of different rows."""
    unit = F.normalize(matrix, dim=-1)
    i, j = torch.randint(len(unit), (2, n), generator=torch.Generator().manual_seed(seed))
    return (unit[i] * unit[j]).sum(1)[i != j]


clouds = {
    "random vectors": random_cosines(untrained.matrix),
    "Word2Vec": random_cosines(word2vec.matrix),
    "Word2Vec, mean removed": random_cosines(word2vec.matrix - word2vec.matrix.mean(0)),
}
fig, (ax,) = plots.figure("Cosine of two random words", width=6.0, height=3.2)
bins = np.linspace(-1, 1, 61)
heights = {name: np.histogram(c, bins, density=True)[0] for name, c in clouds.items()}
plots.lines(ax, (bins[:-1] + bins[1:]) / 2, heights, x_label="cosine", y_label="density", markers=False)
plots.show(
    fig,
    alt="Densities of the cosine of random pairs. Random vectors: a narrow hill around 0. Word2Vec: a hill far to the"
    " right, most pairs above 0. Word2Vec with its mean removed: a hill around 0 again.",
)

# %% name="geometry-check"
means = {name: cosines.mean().item() for name, cosines in clouds.items()}
record.check(
    "random vectors: mean 0, deviation 1/√50, within 0.01",
    abs(means["random vectors"]) < 0.01 and abs(clouds["random vectors"].std() - 50**-0.5) < 0.01,
)
record.metric("mean cosine of random words, Word2Vec", means["Word2Vec"])
record.check("Word2Vec: random words have a mean cosine above 0.2", means["Word2Vec"] > 0.2)
record.check("without the common mean it is below 0.1", abs(means["Word2Vec, mean removed"]) < 0.1)
centred = same_kind(WordVectors(word2vec.words, word2vec.matrix - word2vec.matrix.mean(0)))[0]
record.check(
    "removing the mean does not harm the neighbours (less than 0.05)", centred > kind_scores["Word2Vec"][0] - 0.05
)

# %% [markdown] name="geometry-lesson"
# The vectors fill a **cone**, not the space: they are **anisotropic** (各向异性). The derivation suggests why. The
# loss pushes *every* word's vector away from the noise, and noise is the same for all, so all can share a
# direction. A cosine of 0.5 therefore says little by itself. Compare it with that of random pairs, or take
# the mean off first.

# %% [markdown] name="tied"
# ## 4.2.7 输入输出共享 · The output matrix, tied to the input
#
# At its end a language model does the reverse of a look-up. The last hidden state $h$ (C,) meets a matrix
# $U$ (V, C), one row for each word, and gives logits $z = Uh$: the dot product with every word. That is the
# $u_c$ of Word2Vec. **Tying** (权重共享) sets $U = E$. By the chain rule the one matrix collects two gradients,
#
# $$\frac{\partial\mathcal L}{\partial E} = \underbrace{O^\top\frac{\partial\mathcal L}{\partial X}}_{\text{as input:
# words that were read}}
# + \underbrace{(q - p)^\top H}_{\text{as output: every word}}$$
#
# with $q - p$ the (T, V) errors of section 4.1. Now also words that are not in the batch learn at each step.

# %% name="tied-check" tags=["nbval-check-output"]
E = torch.randn(7, 4, dtype=torch.float64)
mix = torch.randn(4, 4, dtype=torch.float64)  # the "model" between the two ends
read, target = torch.tensor([2, 0, 2]), torch.tensor([1, 3, 3])
into, out_of = E.clone().requires_grad_(), E.clone().requires_grad_()
F.cross_entropy(into[read] @ mix @ out_of.T, target, reduction="sum").backward()
shared = E.clone().requires_grad_()
F.cross_entropy(shared[read] @ mix @ shared.T, target, reduction="sum").backward()
record.check("the tied gradient is the sum of both ends", torch.allclose(shared.grad, into.grad + out_of.grad))
hidden = E[read] @ mix
error = torch.softmax(hidden @ E.T, dim=-1) - F.one_hot(target, 7)  # (T, V)
record.check("the output's part is (q - p)ᵀ H", torch.allclose(out_of.grad, error.T @ hidden))
print(
    "rows with a gradient, as input:",
    into.grad.any(1).nonzero().flatten().tolist(),
    " as output: all",
    int(out_of.grad.any(1).sum()),
)

# %% [markdown] name="tied-symmetric-text"
# **A trap.** If nothing stands between the two ends, tied logits are $EE^\top$: symmetric. A model that likes *bay*
# after *kestrel* must like *kestrel* after *bay* just as much, and of any two words the longer
# vector likes itself best. The layers in between have to turn words into *next* words.

# %% name="tied-symmetric" tags=["nbval-check-output"]
logits = E @ E.T
record.check("without layers the tied scores are symmetric", torch.allclose(logits, logits.T))
lengths = logits.diagonal()
record.check(
    "no other word scores above the longer of the two with itself",
    bool((logits <= torch.maximum(lengths[:, None], lengths)).all()),
)
record.check("one matrix between them breaks the symmetry", not torch.allclose(E @ mix @ E.T, (E @ mix @ E.T).T))

# %% [markdown] name="tied-size-text"
# How much is saved? A Transformer of L layers and width C has about $12LC^2$ numbers in its layers and $VC$ in one
# table. For the four sizes of GPT-2 (V = 50257):

# %% name="tied-size"
GPT2 = {"small": (12, 768), "medium": (24, 1024), "large": (36, 1280), "XL": (48, 1600)}
one_table = np.array([50257 * c for _, c in GPT2.values()]) / 1e6
layers = np.array([12 * n * c**2 for n, c in GPT2.values()]) / 1e6
fig, (ax,) = plots.figure("Untied, the tables would be nearly half of the smallest GPT-2", width=6.2, height=2.8)
ax.barh(list(GPT2), one_table / (layers + 2 * one_table), color="#08306b", label="input table")
ax.barh(
    list(GPT2),
    one_table / (layers + 2 * one_table),
    left=one_table / (layers + 2 * one_table),
    color="#9db8d9",
    label="a second table for the output",
)
ax.invert_yaxis()
ax.set_xlabel("share of all parameters of the untied model")
ax.set_xlim(0, 1)
ax.legend()
plots.show(
    fig,
    alt="Bars for GPT-2 small, medium, large and XL: input and output table together would be nearly half of the small "
    "model and a tenth of XL.",
)

# %% name="tied-size-check"
shares = 2 * one_table / (layers + 2 * one_table)
record.check("small: 40 to 50 %; XL: below 12 %", bool(0.4 < shares[0] < 0.5 and shares[-1] < 0.12))

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# Document 003 describes embeddings in two places, in the same words. What can be tested stands below.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("04_mathematics/02_embeddings")

# %% name="ledger-data"
drinks = [f"{a} is {b} today".split() for a in ("tea", "soup", "milk") for b in ("hot", "cold")]
drinks += [sentence.split() for sentence in ("the boiling kettle whistles", "the hot stove", "the cold stove")]
drink_words = Vocabulary.from_sentences(drinks)
matrix = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))  # a table of six words
small = {"vocab_size": 6, "d_model": 8, "n_layers": 1, "n_heads": 2, "d_ff": 16, "max_positions": 8}
reader = NanoChat(NanoChatConfig(eos_token_id=None, **small), "language_model")
for parameter in reader.parameters():
    nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(1))


# %% name="ledger-map" tags=["ledger"]
def document_version(ids):
    """003 §4.1 and §4.4: an embedding maps a word to a vector."""
    return matrix[ids]


def correct_version(ids):
    """The linear map of one-hot vectors."""
    return F.one_hot(ids, 6).float() @ matrix


ids = torch.tensor([4, 1, 4])
record.check("a look-up is a linear map", torch.allclose(document_version(ids), correct_version(ids)))


# %% name="ledger-one-vector" tags=["ledger"]
def document_version(ids):
    """003 §4.1: a word's vector, which is then the same wherever the word stands."""
    return reader.get_parameter(table_name)[ids]


def correct_version(ids):
    """A language model's vector for a word depends on the words before it."""
    with torch.no_grad():
        return reader(input_ids=ids[None], inspect=True).hidden_states[-1][0]


table_name = next(name for name, p in reader.named_parameters() if p.shape == (6, 8))
river, money = torch.tensor([1, 2, 5]), torch.tensor([3, 4, 5])  # two sentences that end in word 5, "bank"
record.check(
    "the table has one vector for both banks", torch.equal(document_version(river)[-1], document_version(money)[-1])
)
record.check(
    "in context they differ", not torch.allclose(correct_version(river)[-1], correct_version(money)[-1], atol=1e-3)
)


# %% name="ledger-built-by" tags=["ledger"]
def document_version(ids):
    """003 §4.1: an embedding can be made by Word2Vec or GloVe. Read so that it is made then, and stays as it is."""
    return change_by_training(ids, frozen=True)


def correct_version(ids):
    """It can begin so. Then it is a parameter like the others."""
    return change_by_training(ids, frozen=False)


def change_by_training(ids, frozen):
    """What one step of training a language model changes in a table (6, 8) of Word2Vec."""
    model, start = copy.deepcopy(reader), Word2Vec(6, 8).words.weight.detach()[:6]
    table = model.get_parameter(next(name for name, p in model.named_parameters() if p.shape == (6, 8)))
    table.data.copy_(start)
    table.requires_grad_(not frozen)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    F.cross_entropy(model(input_ids=ids[None]).logits[0, :-1], ids[1:]).backward()
    optimizer.step()
    return table.detach() - start


ids = torch.tensor([1, 2, 5])
record.check("a frozen table keeps the vectors of Word2Vec", not document_version(ids).any())
record.check("a step of training moves the words that were read", bool(correct_version(ids)[[1, 2]].any(1).all()))


# %% name="ledger-semantic" tags=["ledger"]
def document_version(first, second):
    """003 §4.4: vectors capture the relation of meaning. Cosine of the neighbour counts, which says what is alike."""
    return WordVectors(drink_words.words, torch.from_numpy(pair_table)).cosine(first, second)


def correct_version(first, second):
    """Alike in meaning: 1 for the same quality, -1 for the opposite, as a person has written it down."""
    quality = {"hot": 1, "boiling": 1, "cold": -1}
    return quality[first] * quality[second]


pair_table = np.zeros((len(drink_words), len(drink_words)))
for s in drinks:
    for a, b in zip(drink_words.encode(s), drink_words.encode(s)[1:], strict=False):
        pair_table[a, b] += 1
        pair_table[b, a] += 1
record.check(
    "the vectors call hot and cold the same",
    document_version("hot", "cold") > 0.99 > document_version("hot", "boiling"),
)
record.check("they are opposites", correct_version("hot", "cold") < correct_version("hot", "boiling"))


# %% name="ledger-better" tags=["ledger"]
def document_version(n_labelled):
    """003 §4.4: embeddings improve a model. Is a review good? From the mean of vectors that plain text has taught."""
    return accuracy(by_word @ (vectors / (by_word @ vectors).std(0)), n_labelled)


def correct_version(n_labelled):
    """From the counts of its words alone."""
    return accuracy(by_word, n_labelled)


def accuracy(features, n):
    """Of a logistic regression on 400 new reviews, after n labelled ones; mean of five draws."""
    draws = [np.random.default_rng(i).permutation(1000)[:n] for i in range(5)]
    models = [LogisticRegression(max_iter=300).fit(features[draw], labels[draw]) for draw in draws]
    return np.mean([model.score(features[1000:], labels[1000:]) for model in models])


reviews = [*world.make(0).reviews(1000, "train"), *world.make(0).reviews(400, "test")]
labels = np.array([review.label for review in reviews])
texts = [[word.lower() for s in review.text.sentences for word in s.words] for review in reviews]
common = Vocabulary(dict(Counter(word for text in texts[:1000] for word in text).most_common(600)))
by_word = np.stack([np.bincount(common.encode(text), minlength=600) for text in texts])
met = by_word[:1000].T @ by_word[:1000]  # how often two words stand in the same review
positive_pmi = np.log(np.maximum(1, met * met.sum() / np.outer(met.sum(1), met.sum(0))))
vectors = np.linalg.svd(positive_pmi)[0][:, :16]  # (600, 16)
record.check("50 labelled reviews: vectors are better by over 0.03", document_version(50) > correct_version(50) + 0.03)
record.check("1000: counts of words are, by over 0.05", correct_version(1000) > document_version(1000) + 0.05)

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/04_mathematics/02_embeddings.ipynb), about 65 minutes, four questions:
#
# 1. the gradient of an embedding table, without autograd;
# 2. the shifted positive PMI matrix, from counts;
# 3. loss and gradients of skip-gram with negative sampling;
# 4. what it converges to, and how to read a cosine.
#
# To go on: 4.3 derives attention, which makes one vector a word into one vector a *place*; 4.4 adds positions.
