# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 4.4 位置编码 · Positions
#
# 本节推导位置编码：正弦编码是一组转速不同的“指针”，把位置移动 k 步就是转动一个固定的角度。
# 两个位置的点积只与距离有关。我们检验文档 003 的公式错在哪里，再推导旋转位置编码（RoPE）与 ALiBi，
# 最后在两个小任务上测量：训练时没见过的长度，谁还能应付。
#
# After this section you can derive the sinusoids, the shift matrix and the rotary score on paper, build a head
# that looks three places back without any training, and say what each kind of position does beyond the trained
# length.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lmlib import plots
from lmlib.attention import MultiHeadAttention
from lmlib.course import ledger, record, session
from lmlib.positions import alibi, rotary_angles, rotary_rates, rotate, sinusoidal

device = session.start(seed, device, profile)

# %% [markdown] name="question"
# ## 4.4.1 怎样写下一个位置 · How to write down a place
#
# Self-attention without a mask gives each word the same output in whatever order the words stand
# ([section 2.2](../02_core_concepts/02_attention.ipynb) shows it). So we must tell it where a word stands. How would
# you write the number of a place into a vector?
#
# The first idea is the number itself: 0, 1, 2, … But place 5000 is then a thousand times as long a vector as place 5.
# The second idea is its digits. Look at the binary digits of the first numbers, from the last digit to the first.

# %% name="digits" tags=["nbval-check-output"]
print("place   ones  twos  fours  eights")
for p in range(9):
    print(f"{p:5}   " + "  ".join(f"{p >> i & 1:4}" for i in range(4)))

# %% [markdown] name="digits-lesson"
# Each column is a wheel that turns half as fast as the one before it. Few wheels name many places, and no entry is
# larger than 1. But digits jump: from 7 to 8 every column changes, though the places are neighbours. Replace each
# wheel by one that turns *smoothly*, the hand of a clock, and we have the Transformer's position encoding (位置编码).

# %% [markdown] name="sinusoids"
# ### 正弦编码 · A clock with many hands
#
# Hand number $i$ turns by $\omega_i$ radians from one place to the next, and we write down its two coordinates:
#
# $$\mathrm{PE}(p)_{2i} = \sin(\omega_i\, p),\qquad \mathrm{PE}(p)_{2i+1} = \cos(\omega_i\, p),\qquad
# \omega_i = 10000^{-2i/C}$$
#
# | symbol | shape | what it is |
# | --- | --- | --- |
# | $p$ | number | the place, from 0 |
# | $i$ | 0 … C/2 − 1 | the number of the hand; two entries of the vector each |
# | $\omega_i$ | (C/2) | its rate: 1 radian a place for the first, nearly 1/10000 for the last |
# | $\mathrm{PE}$ | (T, C) | one row a place, as wide as the word vectors, to which it is added |
#
# (Vaswani et al. 2017, section 3.5.)


# %% name="sinusoids-code"
def clock(places, d_model, base=10_000.0):
    """Sinusoidal positions from scratch, in float64: places (T,) -> (T, C)."""
    rates = base ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)  # (C/2,)
    angles = places.double()[:, None] * rates  # (T, C/2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)  # sin, cos, sin, cos, ...


# %% [markdown] name="sinusoids-check-text"
# By hand: with C = 4 and base 100 the two rates are 1 and $100^{-2/4} = 0.1$. So place 3 is
# $(\sin 3, \cos 3, \sin 0.3, \cos 0.3)$.

# %% name="sinusoids-check" tags=["nbval-check-output"]
by_hand = [math.sin(3), math.cos(3), math.sin(0.3), math.cos(0.3)]
record.check("place 3 with C = 4 and base 100, as by hand", np.allclose(clock(torch.tensor([3]), 4, 100.0)[0], by_hand))
C, N = 64, 2000
table = clock(torch.arange(N), C)  # (N, C)
record.check("lmlib's table is the same to float32", (sinusoidal(N, C).double() - table).abs().max() < 2e-4)
record.check(
    "every row has the same length, √(C/2)", torch.allclose(table.norm(dim=1), torch.tensor(32.0).sqrt().double())
)

# %% [markdown] name="clock-plot-text"
# Here are four hands of a clock with C = 8 at six places. From 0 to 1 only the fast hand moves visibly; from 0 to
# 1000 every hand has moved. Fast hands tell neighbours apart, slow hands tell the region. Look at the fast hand at
# places 0 and 44: alone it could not tell them apart.

# %% name="clock-plot"
PLACES = [0, 1, 6, 44, 300, 1000]
rates = rotary_rates(8)
fig, (ax,) = plots.figure("A place is the stand of several hands (C = 8)", width=6.4, height=3.6)
circle = np.linspace(0, 2 * math.pi, 40)
for column, p in enumerate(PLACES):
    for row, rate in enumerate(rates.tolist()):
        x, y = 2.6 * column, -2.6 * row
        ax.plot(x + np.cos(circle), y + np.sin(circle), color="#b0b0b0", linewidth=0.8)
        ax.annotate("", (x + math.sin(rate * p), y + math.cos(rate * p)), (x, y), arrowprops={"arrowstyle": "->"})
ax.set_xticks([2.6 * i for i in range(len(PLACES))], [f"place {p}" for p in PLACES])
ax.set_yticks([-2.6 * i for i in range(4)], [f"rate {rate:g}" for rate in rates.numpy().round(6)])
ax.set_aspect("equal")
ax.grid(visible=False)
plots.show(
    fig,
    alt="Six columns of four clock faces. At place 0 all hands point up. At place 1 only the first hand has turned "
    "visibly. At place 44 the first hand points up again. At place 1000 all four point elsewhere.",
)

# %% name="clock-check"
turns = 44 * rates[0].item() / (2 * math.pi)
record.check("after 44 places the fast hand has made 7 turns, to a thousandth or so", abs(turns - 7) < 0.005)

# %% [markdown] name="rotation"
# ## 4.4.2 公式推导过程 · Derivation: a shift is a rotation
#
# Why sine *and* cosine? Because a hand that turns on by $k$ places turns by the angle $k\omega$, wherever it stood.
# The addition theorems say the same:
#
# $$\begin{pmatrix}\sin\omega(p+k)\\ \cos\omega(p+k)\end{pmatrix} =
# \begin{pmatrix}\cos k\omega & \sin k\omega\\ -\sin k\omega & \cos k\omega\end{pmatrix}
# \begin{pmatrix}\sin\omega p\\ \cos\omega p\end{pmatrix}$$
#
# The matrix contains $k$ and not $p$. Put one such block for each hand on the diagonal, and call the (C, C)
# matrix $M_k$: then $\mathrm{PE}(p+k) = M_k\,\mathrm{PE}(p)$ for every $p$. "Three places further" is one and the
# same linear map everywhere, and a linear map is what a layer can learn.


# %% name="rotation-code"
def shift_matrix(k, d_model, base=10_000.0):
    """The matrix M_k (C, C) that moves every position vector by k places."""
    rates = base ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    cos, sin = (k * rates).cos(), (k * rates).sin()
    blocks = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)  # (C/2, 2, 2)
    return torch.block_diag(*blocks)


# %% name="rotation-check" tags=["nbval-check-output"]
for k in (1, 3, 100):
    error = (table[:-k] @ shift_matrix(k, C).T - table[k:]).abs().max()
    record.check(f"one matrix moves each of {N - k} places by {k} (error below 1e-10)", error < 1e-10)
M = {k: shift_matrix(k, C) for k in (-3, 3, 4, 7)}
unit = torch.eye(C, dtype=torch.float64)
record.check("M₃ᵀ M₃ = 1: it is a rotation, it changes no length", torch.allclose(M[3].T @ M[3], unit))
record.check("M₃ᵀ = M₋₃: back is the transpose", torch.allclose(M[3].T, M[-3]))
record.check("M₃ M₄ = M₇: shifts add up", torch.allclose(M[3] @ M[4], M[7]))

# %% [markdown] name="distance"
# ### 点积只看距离 · The dot product sees the distance only
#
# Attention compares by dot products. What is the dot product of two places? For each hand
# $\sin a \sin b + \cos a \cos b = \cos(a - b)$, so
#
# $$\mathrm{PE}(p)\cdot\mathrm{PE}(q) = \sum_{i} \cos\big(\omega_i\,(p - q)\big).$$
#
# Only $p - q$ is left. It is largest, C/2, for $p = q$. And it is the same for $p - q$ and $q - p$: the bare dot
# product cannot tell *before* from *after*.

# %% name="distance-check" tags=["nbval-check-output"]
products = table[:200] @ table[:200].T  # (200, 200)
offsets = torch.arange(200)[:, None] - torch.arange(200)  # p - q
formula = torch.cos(offsets[..., None] * rotary_rates(C).double()).sum(-1)
record.check("all 40,000 products follow the sum of cosines", torch.allclose(products, formula, atol=1e-4))
record.check("a place with itself: C/2 = 32", torch.allclose(products.diagonal(), torch.full((200,), 32.0).double()))
record.check("the same before and after", torch.allclose(products, products.T))

# %% [markdown] name="look-back-text"
# A head has the matrices $W_Q$ and $W_K$ between the two vectors. Now take $W_Q = M_{-3}$ and $W_K = 1$. The
# score of query place $p$ and key place $q$ becomes $(M_{-3}\mathrm{PE}(p))\cdot\mathrm{PE}(q) =
# \mathrm{PE}(p-3)\cdot\mathrm{PE}(q)$, which is largest at $q = p - 3$. So there is a head that looks three
# places back, at every $p$, and we have found it with a pencil. (The right plot leaves out attention's division by
# $\sqrt C$. With it, $W_Q = \sqrt C\,M_{-3}$ gives the same weights.)

# %% name="look-back-plot"
p, window = 100, torch.arange(70, 131)
plain = table[window] @ table[p]  # scores of a query at place 100
back = table[window] @ (shift_matrix(-3, C) @ table[p])
coarse = clock(window, C, base=100.0) @ clock(torch.tensor([p]), C, base=100.0)[0]
fig, (left, right) = plots.figure(
    "Dot product of two places", "A head that looks three back, untrained", width=7.8, height=2.9
)
near = {"base 10000": plain, "base 100": coarse}
plots.lines(left, window - p, near, x_label="key place − query place", y_label="dot product", markers=False)
weights = {f"query {n}": torch.softmax(table[:20] @ shift_matrix(-3, C).T @ table[:20].T, -1)[n] for n in (7, 14)}
plots.lines(right, range(20), weights, x_label="key place", y_label="attention weight")
right.set_xticks([0, 4, 7, 11, 14, 19])
plots.show(
    fig,
    alt="Left: the dot product peaks at distance 0, is symmetric, and falls off unevenly on both sides; with base "
    "100 it falls further. "
    "Right: attention weights of the queries at places 7 and 14 peak at the keys 4 and 11.",
)

# %% name="look-back-check"
scores = table @ shift_matrix(-3, C).T @ table.T  # (N, N)
record.check(
    "the best key of every place from 3 on is three back", torch.equal(scores[3:].argmax(1), torch.arange(N - 3))
)
record.check("the left curve is symmetric", torch.allclose(plain, plain.flip(0)))
record.check("with base 100 distant places differ more", coarse[0] < plain[0])

# %% [markdown] name="frequencies"
# ## 4.4.3 快针与慢针 · What each frequency is for
#
# Add a little noise to every position vector, for in a real layer the numbers of the word are mixed in, and ask:
# which of the 2000 places was it? We guess the nearest row of the table, for a clock of 8 hands. Then the same with
# its 3 fast hands only, and with its 5 slow ones only. What do you expect of each?


# %% name="frequencies-code"
def mean_miss(part, noise, generator):
    """Blur each row of `part` (N, c), guess the nearest row; the share of exact guesses and the mean miss in places."""
    blurred = part + noise * torch.randn(part.shape, generator=generator, dtype=part.dtype)
    miss = (torch.cdist(blurred, part).argmin(1) - torch.arange(len(part))).abs().double()
    return (miss == 0).double().mean().item(), miss.mean().item()


NOISES = [0.05, 0.1, 0.2, 0.4]
eight = clock(torch.arange(N), 16)
parts = {"all 8 hands": eight, "3 fast hands": eight[:, :6], "5 slow hands": eight[:, 6:]}
generator = torch.Generator().manual_seed(seed)
found = {name: np.array([mean_miss(part, noise, generator) for noise in NOISES]) for name, part in parts.items()}

# %% name="frequencies-plot"
fig, (left, right) = plots.figure("How often exact", "How far off", width=7.6)
exact, misses = ({name: rows[:, i] for name, rows in found.items()} for i in (0, 1))
plots.lines(left, NOISES, exact, x_label="noise on each entry", y_label="share of exact guesses")
plots.lines(right, NOISES, misses, x_label="noise on each entry", y_label="mean miss (places)")
right.set_yscale("symlog", linthresh=0.1)
right.get_legend().remove()  # the same as at the left
plots.show(
    fig,
    alt="Left: with all 8 hands the guess is exact up to a noise of 0.2; the 3 fast hands are exact less often, the "
    "slow ones "
    "rarely. Right: the slow hands miss by a few places, the fast ones by hundreds, all together by the least.",
)

# %% name="frequencies-check"
record.metric("noise 0.4: mean miss of all hands", misses["all 8 hands"][-1], "places")
record.check(
    "noise 0.1: fast hands are exact more often than slow ones",
    exact["3 fast hands"][1] > exact["5 slow hands"][1] + 0.2,
)
record.check(
    "noise 0.4: when fast hands miss, they miss far more widely",
    misses["3 fast hands"][3] > 3 * misses["5 slow hands"][3],
)
record.check(
    "noise 0.4: together they miss less than either alone",
    misses["all 8 hands"][3] < min(m[3] for n, m in misses.items() if n[0] != "a"),
)

# %% [markdown] name="frequencies-lesson"
# As with an hour hand and a minute hand: the slow one says roughly where, the fast one says exactly where within
# that. The geometric row of rates gives a hand for every scale between a few places and tens of thousands.

# %% [markdown] name="alternatives"
# ### 比较五种写法 · Five ways to write a place, tested
#
# What should a good encoding have? Bounded entries; no two places alike; and a shift that is one linear map. For
# the last we do not look for the matrix by thought. We fit it: the least-squares $M$ with $\mathrm{PE}(p+3)
# \approx M\,\mathrm{PE}(p)$, and we measure what is left over.
#
# One of the five is the formula that document 003 prints in §4.1: $[\sin(i/k), \cos(i/k), \sin(2i/k), \cos(2i/k),
# \dots]$, where $i$ is the place. Its hands turn 1, 2, 3, … times as fast as the first, with $k$ = 10 here.


# %% name="alternatives-code"
def harmonics(places, d_model, k):
    """003 §4.1: hands whose rates are 1/k, 2/k, 3/k, ...; places (T,) -> (T, C)."""
    angles = places.double()[:, None] * torch.arange(1, d_model // 2 + 1) / k
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def tested(code):
    """Largest entry; smallest distance of two places; what the best linear shift by 3 leaves, relative."""
    apart = torch.cdist(code, code, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(math.inf).min()
    shift = torch.linalg.pinv(code[:-3], rtol=1e-9) @ code[3:]  # (C, C), by least squares
    left_over = (code[:-3] @ shift - code[3:]).norm() / code[3:].norm()
    return code.abs().max().item(), apart.item(), left_over.item()


places = torch.arange(512)
ways = {
    "the number p": places.double()[:, None],
    "p / 512": places.double()[:, None] / 512,
    "binary digits": (places[:, None] >> torch.arange(9) & 1).double(),
    "003: harmonics": harmonics(places, 16, k=10),
    "sinusoids": clock(places, 16),
}
results = {name: tested(code) for name, code in ways.items()}

# %% name="alternatives-table" tags=["nbval-check-output"]
print("                  largest entry   nearest two places   a linear shift leaves")
for name, (largest, apart, left_over) in results.items():
    print(f"{name:15}   {largest:13.0f}   {apart:18.3f}   {100 * left_over:19.1f} %")

# %% name="alternatives-check"
record.check(
    "only the number itself grows without bound", [n for n, r in results.items() if r[0] > 1] == ["the number p"]
)
record.check("p / 512: neighbours are closer than 0.01", results["p / 512"][1] < 0.01)
record.check("binary digits have no linear shift", results["binary digits"][2] > 0.1)
record.check("harmonics: two of 512 places nearly coincide", results["003: harmonics"][1] < 0.06)
record.check("harmonics do shift linearly, as every hand does", results["003: harmonics"][2] < 1e-9)
record.check("sinusoids: bounded, apart, linear", results["sinusoids"][1] > 0.5 and results["sinusoids"][2] < 1e-9)

# %% [markdown] name="alternatives-lesson"
# (For the number itself the matrix only lacks a constant, $p + 3$; a bias would give it.)
#
# So 003's hands are not hopeless: each is a hand, and a shift is a rotation. What they lack is a *slow* one. All
# rates are whole multiples of $1/k$, so after $2\pi k$ places every hand has made whole turns, and the clock
# shows what it showed at the start.

# %% [markdown] name="collision-text"
# The picture shows the distance between place 0 and all others. With $k = 10$ the period is $20\pi \approx 62.8$
# places. A larger $k$ moves the collision further away, and brings the neighbours closer together.

# %% name="collision-plot"
fig, (left, right) = plots.figure("003's formula, k = 10", "The Transformer's sinusoids", width=8.0)
far = torch.arange(260)
for ax, code in ((left, harmonics(far, 16, k=10)), (right, clock(far, 16))):
    distance = (code - code[0]).norm(dim=1)
    plots.lines(ax, far, {"distance": distance}, x_label="place", y_label="distance from place 0", markers=False)
    ax.set_ylim(0, 6)
for n in range(1, 5):
    left.axvline(20 * math.pi * n, color="#555555", linewidth=0.9, linestyle=":")
plots.show(
    fig,
    alt="Left: the distance of place 0 to the others falls back to nearly 0 at each dotted line, every 62.8 places. "
    "Right: "
    "with the sinusoids it rises at once and never comes near 0 again.",
)

# %% name="collision-check" tags=["nbval-check-output"]
code = harmonics(far, 16, k=10)
nearest = sorted(((code[10:] - code[0]).norm(dim=1).argsort()[:4] + 10).tolist())
print("the four places most like place 0 (beyond the tenth):", nearest)
record.check(
    "they are one, two, three and four periods off, to a place",
    [round(n / (20 * math.pi)) for n in nearest] == [1, 2, 3, 4],
)
record.check("no sinusoid comes near place 0 again", (clock(far, 16)[5:] - clock(far, 16)[0]).norm(dim=1).min() > 1)
slow = (harmonics(far, 16, k=40) - harmonics(far, 16, k=40)[0]).norm(dim=1)
record.check("k = 40: from place 20 to place 231 none comes near place 0", slow[20:232].min() > 3)
record.check("but place 1 is less than half as far from it as with k = 10", slow[1] < 0.5 * (code[1] - code[0]).norm())

# %% [markdown] name="learned"
# ## 4.4.4 学出来的位置 · Learned positions
#
# The simplest way needs no formula: a table (T_max, C) of free numbers, one row a place, trained like word vectors.
# BERT and GPT-2 do so. Nothing is known about places at the start: neighbours are no more alike than strangers. And
# there is no row beyond T_max.

# %% name="learned-check" tags=["nbval-check-output"]
rows = nn.Embedding(512, C).weight.detach()
cosine = F.normalize(rows, dim=1) @ F.normalize(rows, dim=1).T
neighbours, strangers = cosine.diagonal(1).mean().item(), cosine.diagonal(100).mean().item()
record.check("untrained: neighbours and strangers are equally unlike", abs(neighbours) < 0.03 and abs(strangers) < 0.03)
record.check("the table costs T_max · C numbers", rows.numel() == 512 * C)
record.check("place 512 does not exist", ledger.outcome(nn.Embedding(512, C), torch.tensor([512])) == "IndexError")

# %% [markdown] name="rotary"
# ## 4.4.5 旋转位置编码 · Rotary positions
#
# Added positions enter everything: with $x + \mathrm{PE}(p)$ and $y + \mathrm{PE}(q)$ a score has four parts,
# word–word, word–place, place–word and place–place, and the values carry the place too. Only the last part is
# about distance. Could the *whole* score depend on the distance?
#
# Take the rotation itself. Turn the query by the hands of its place and the key by the hands of its own place. A
# rotation's transpose turns back, so
#
# $$(M_p\,q)\cdot(M_s\,k) = q^\top M_p^\top M_s\, k = q^\top M_{s-p}\,k.$$
#
# The places $p$ and $s$ have left only their difference. Nothing is added, the values are not touched, no length
# changes. This is **rotary position embedding** (旋转位置编码, RoPE; Su et al. 2021). `lmlib.positions` pairs entry $i$
# with entry $i + D/2$ instead of its neighbour. That is the same up to the order of the entries: entry $i + D/2$ stands
# where the sine stood, entry $i$ where the cosine stood.

# %% name="rotary-check" tags=["nbval-check-output"]
D = 16
query, key = torch.randn(2, D, dtype=torch.float64).unbind()


def rotary_score(query, p, key, s):
    """The score of a query at place p and a key at place s."""
    turned = [
        rotate(x[None, None, None], *rotary_angles(torch.tensor([place]), D, dtype=torch.float64))
        for x, place in ((query, p), (key, s))
    ]
    return (turned[0] * turned[1]).sum().item()


pairs = [(3, 0), (13, 10), (503, 500)]
scores = [rotary_score(query, p, key, s) for p, s in pairs]
record.check("three pairs of places at distance 3: one score", max(scores) - min(scores) < 1e-3)
record.check("another distance: another score", abs(rotary_score(query, 4, key, 0) - scores[0]) > 1e-3)
record.check("before is not after", abs(rotary_score(query, 0, key, 3) - scores[0]) > 1e-3)
pairs_of = torch.arange(D).reshape(2, D // 2).flip(0).T.flatten()  # entry i + D/2, then entry i
neighbours = (shift_matrix(3, D) @ query[pairs_of]) @ key[pairs_of]
record.check("the matrix M₃ gives it too, once the entries are put in its order", abs(neighbours - scores[0]) < 1e-5)

# %% [markdown] name="whole-sentence-text"
# The same for a whole sentence: move all words 100 places on, as if a page had been put before them. Which scores
# change?

# %% name="whole-sentence" tags=["nbval-check-output"]
words, w_query, w_key = torch.randn(6, D), torch.randn(D, D) / 4, torch.randn(D, D) / 4


def added_scores(first):
    """Scores (T, T) with sinusoids added to the words; the first word stands at place `first`."""
    x = words + sinusoidal(first + 6, D)[first:]
    return x @ w_query @ (x @ w_key).T


def rotary_scores(first):
    """Scores (T, T) with queries and keys turned."""
    angles = rotary_angles(torch.arange(first, first + 6), D)
    q, k = (rotate((words @ w)[None, None], *angles)[0, 0] for w in (w_query, w_key))
    return q @ k.T


record.check("added: every score changes", bool(((added_scores(0) - added_scores(100)).abs() > 1e-4).all()))
record.check("rotary: none does (to 1e-4)", torch.allclose(rotary_scores(0), rotary_scores(100), atol=1e-4))

# %% [markdown] name="alibi"
# ## 4.4.6 ALiBi · A penalty for distance
#
# The shortest way of all: leave words, queries and keys alone, and subtract from each score a penalty in proportion to
# the distance, with a slope $m_h$ of its own for each head (Press et al. 2022):
#
# $$s_{pq} = \frac{q_p\cdot k_q}{\sqrt D} - m_h\,(p - q),\qquad m_h = 2^{-8h/H},\quad h = 1 \dots H$$
#
# After the softmax the penalty is a factor $e^{-m_h (p-q)}$ on each weight. Each place back costs the same
# *factor*, for ever: a head forgets like a radioactive source, with a half-life of $\ln 2 / m_h$ places.

# %% name="alibi-plot"
bias = alibi(4, 64, 64)  # (H, T, S)
decay = torch.softmax(bias[:, -1], dim=-1).flip(-1)  # weights of the last query over equal words, by distance
fig, (ax,) = plots.figure("ALiBi: weight by distance, all words equal", width=5.8)
curves = {f"head {h + 1}, slope 1/{round(2 ** (2 * h + 2))}": decay[h] for h in range(4)}
plots.lines(ax, range(64), curves, x_label="places back", y_label="attention weight", markers=False)
ax.set_yscale("log")
ax.set_ylim(1e-4, 0.5)
plots.show(
    fig,
    alt="On a logarithmic scale the weights of the four heads are straight lines that fall with slopes 1/4, 1/16, "
    "1/64 and 1/256.",
)

# %% name="alibi-check" tags=["nbval-check-output"]
record.check(
    "the slopes of four heads are 1/4, 1/16, 1/64, 1/256",
    bias[:, -1, -2].tolist() == [-1 / 4, -1 / 16, -1 / 64, -1 / 256],
)
ratio = decay[0, 1:9] / decay[0, :8]
record.check(
    "each place back multiplies the weight by e^(-1/4)",
    torch.allclose(ratio, torch.full((8,), math.exp(-0.25)), atol=1e-5),
)

# %% [markdown] name="longer"
# ## 4.4.7 实验：更长的文本 · An experiment: longer than in training
#
# Train on sequences of 24 symbols, test on 96. One layer of causal attention with 4 heads, and two tasks that
# need positions:
#
# - **three back**: at each place, say the symbol that stood three places before. It needs an exact distance.
# - **latest signal**: the symbols 0 to 3 are signals. Say the latest signal so far. It needs *what* and *how recent*.
#
# Four models differ in their positions only. Before you look: who will still work at place 90?

# %% name="longer-tasks" tags=["nbval-check-output"]
V, TRAINED, LONG = 16, 24, {"quick": 96, "full": 512}[profile]
IGNORED = -100  # what cross_entropy leaves out: no answer exists yet


def three_back(ids):
    """The symbol three places before, (B, T)."""
    return torch.cat([torch.full_like(ids[:, :3], IGNORED), ids[:, :-3]], dim=1)


def latest_signal(ids):
    """The latest of the symbols 0 to 3 up to each place, (B, T)."""
    seen = torch.where(ids < 4, torch.arange(ids.size(1), device=ids.device), -1).cummax(1).values
    return torch.where(seen < 0, IGNORED, ids.gather(1, seen.clamp(min=0)))


TASKS = {"three back": three_back, "latest signal": latest_signal}
example = torch.tensor([[9, 2, 7, 7, 0, 12, 5, 3]])
for name, task in TASKS.items():
    print(f"{name:14}", example[0].tolist(), "->", [a if a >= 0 else "." for a in task(example)[0].tolist()])


# %% name="longer-model"
class OneLayer(nn.Module):
    """Embedding, one layer of causal attention with the given kind of positions, and logits (B, T, V)."""

    def __init__(self, kind, d_model=64, n_heads=4):
        super().__init__()
        self.kind, self.n_heads = kind, n_heads
        self.symbol = nn.Embedding(V, d_model)
        self.place = nn.Embedding(LONG, d_model) if kind == "learned" else None
        self.attend = MultiHeadAttention(d_model, n_heads)
        self.read = nn.Linear(d_model, V)

    def forward(self, ids):
        T = ids.size(1)
        x = self.symbol(ids)  # (B, T, C)
        if self.kind == "learned":
            x = x + self.place.weight[:T]
        if self.kind == "sinusoidal":
            x = x + sinusoidal(T, x.size(-1)).to(x.device)
        places = torch.arange(T, device=ids.device)
        rotary = rotary_angles(places, self.attend.d_head) if self.kind == "rotary" else None
        bias = alibi(self.n_heads, T, T, ids.device) if self.kind == "ALiBi" else None
        return self.read(self.attend(x, causal=True, rotary=rotary, bias=bias)[0])


# %% name="longer-training"
N_STEPS = {"quick": 250, "full": 2000}[profile]


def train_and_test(kind, task, seed):
    """The model, and its accuracy at each place of long sequences (LONG,)."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = OneLayer(kind).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(N_STEPS):
        ids = torch.randint(V, (32, TRAINED), generator=generator).to(device)
        loss = F.cross_entropy(model(ids).flatten(0, 1), task(ids).flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ids = torch.randint(V, (256, LONG), generator=generator).to(device)
    with torch.no_grad():
        right = (model(ids).argmax(-1) == task(ids)).sum(0)
    return model, (right / (task(ids) >= 0).sum(0).clamp(min=1)).cpu().numpy()


KINDS = ["learned", "sinusoidal", "rotary", "ALiBi"]
runs = {(kind, name): train_and_test(kind, task, seed) for name, task in TASKS.items() for kind in KINDS}

# %% name="longer-plot"
fig, axes = plots.figure("Task: three back", "Task: latest signal", width=8.0, height=3.0)
for ax, name in zip(axes, TASKS, strict=True):
    curves = {kind: np.convolve(runs[kind, name][1][3:], np.ones(7) / 7, mode="valid") for kind in KINDS}
    plots.lines(ax, np.arange(6, LONG - 3), curves, x_label="place", y_label="accuracy", markers=False)
    ax.axvspan(0, TRAINED - 1, color="#eeeeee", zorder=0)
    ax.text(TRAINED / 2, 1.03, "trained", ha="center", fontsize=8)
    ax.set_ylim(0, 1.1)
    ax.legend(loc="lower left" if name == "latest signal" else "upper right", fontsize=8)
plots.show(
    fig,
    alt="Two panels of accuracy against place, the trained 24 places shaded. Three back: learned and sinusoidal fall "
    "from 1 "
    "to near chance right after the shaded part, rotary later and slowly, ALiBi is low and level everywhere. Latest "
    "signal: learned "
    "and sinusoidal fall, rotary falls slowly, ALiBi stays level above 0.9.",
)

# %% [markdown] name="longer-bands-text"
# The checks hold over several seeds. In particular a learned position that was never trained is a random vector:
# from the first new place the answer is close to a guess.

# %% name="longer-bands"
inside, soon, late = slice(10, TRAINED), slice(TRAINED + 4, TRAINED + 12), slice(72, 96)
mean = {key: [accuracy[part].mean() for part in (inside, soon, late)] for key, (_, accuracy) in runs.items()}
for (kind, name), (a, _, c) in mean.items():
    record.metric(f"{name}, {kind}: accuracy inside", a)
    record.metric(f"{name}, {kind}: accuracy at places 72 to 95", c)
exact = {kind: mean[kind, "three back"] for kind in KINDS}
record.check(
    "three back: learned, sinusoidal and rotary are over 0.95 where they were trained",
    min(exact[k][0] for k in KINDS[:3]) > 0.95,
)
record.check("three back: learned positions are near a guess soon after", exact["learned"][1] < 0.2)
record.check("three back: sinusoids have lost half", exact["sinusoidal"][1] < 0.5)
record.check(
    "three back: rotary is still over 0.9 there, and worse at the end",
    exact["rotary"][1] > 0.9 > exact["rotary"][2] + 0.05,
)
record.check("three back: ALiBi never learns it", max(exact["ALiBi"]) < 0.4)
recent = {kind: mean[kind, "latest signal"] for kind in KINDS}
record.check("latest signal: added positions lose a third or more", max(recent[k][2] for k in KINDS[:2]) < 0.67)
record.check("latest signal: ALiBi stays over 0.85 to the end", min(recent["ALiBi"]) > 0.85)

# %% [markdown] name="score-text"
# Rotary scores depend on the distance only, so why does rotary lose at all? Because distances of 24 and more
# never occurred in training, and nobody told the head what to think of them. We look at its mean score at each
# distance, for the head that looks three back most clearly.


# %% name="score-by-distance"
def scores_by_distance(model, n):
    """Mean rotary score of random symbols at each distance 0 … n-1, for each head: (H, n)."""
    ids = torch.randint(V, (64, n), generator=torch.Generator().manual_seed(0)).to(device)
    attend = model.attend
    q, k, _ = (
        part.unflatten(-1, (-1, attend.d_head)).transpose(1, 2) for part in attend.qkv(model.symbol(ids)).chunk(3, -1)
    )
    angles = rotary_angles(torch.arange(n, device=device), attend.d_head)
    q, k = rotate(q, *angles), rotate(k, *angles)
    scores = (q @ k.mT).mean(0) / math.sqrt(attend.d_head)  # (H, T, S)
    return torch.stack([scores.diagonal(-d, 1, 2).mean(1) for d in range(n)], dim=1).detach().cpu()


by_distance = scores_by_distance(runs["rotary", "three back"][0], 96)
height = by_distance[:, 3] - by_distance[:, 4:TRAINED].amax(1)
best = by_distance[height.argmax()]

# %% name="score-plot"
fig, (ax,) = plots.figure("Rotary, three back: mean score of one head by distance", width=6.6)
plots.lines(ax, range(96), {"mean score": best}, x_label="places back", y_label="score", markers=False)
ax.axvspan(0, TRAINED - 1, color="#eeeeee", zorder=0)
ax.text(TRAINED / 2 + 2, best.max().item(), "trained", ha="center", fontsize=8)
ax.plot([3], [best[3]], marker="o", color=plots.COLOURS[1])
plots.show(
    fig,
    alt="The mean score of a head against distance goes up and down. In the shaded trained part the bump at distance 3 "
    "is clearly the highest. Beyond it others rise nearly as high, which training never pressed down.",
)

# %% name="score-check"
new = best[TRAINED:].max().item()
record.metric("highest score at a distance never trained, relative to distance 3", new / best[3].item())
record.check("in the trained part distance 3 has the highest score", int(best[:TRAINED].argmax()) == 3)
record.check(
    "an untrained distance rises above all trained ones but those next to 3", new > best[6:TRAINED].max().item()
)
waves = torch.fft.rfft(best - best.mean()).abs()  # entry n: n turns in 96 places
record.check("the bumps of the curve are about 6.3 places apart: 15 or 16 in 96", int(waves.argmax()) in (15, 16))

# %% [markdown] name="longer-lesson"
# The hand that makes the peak at distance 3 turns once in 6.3 places, so its bumps return for ever. Training gave
# the other hands such stands that the bumps stay lower *within* the trained distances. Beyond them nothing holds
# them down.
#
# So a formula that *can* be evaluated anywhere is not yet a model that works anywhere. "Relative" removes one
# failure, the unknown place; the unknown distance remains. ALiBi has no unknown distance, because its penalty
# only grows. It pays for that: a single layer cannot single out a place by it. (Longer texts with rotary positions
# are won by slowing the hands down and training on a little: `lmlib.positions.stretched_rates` is what Llama 3.1
# does.)

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# Document 003 prints a formula and names its letters; 001 and 004 say what positions are for. The cells under the table
# compute the document's version and the correct one.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("04_mathematics/04_positions")

# %% name="ledger-data"
N_PLACES, WIDTH = 200, 16
at = torch.arange(N_PLACES, dtype=torch.float64)
paper = sinusoidal(N_PLACES, WIDTH).double()


def hands(places, rates):
    """Coordinates of hands: places (T,), rates (n,) -> (T, 2n): sin and cos of each."""
    angles = places[:, None] * torch.as_tensor(rates, dtype=torch.float64)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def nearest_two(code):
    """The smallest distance between two different rows."""
    return torch.cdist(code, code, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(math.inf).min()


# %% [markdown] name="ledger-formula-text"
# ### 公式 · The formula of 003 §4.1


# %% name="ledger-formula" tags=["ledger"]
def document_version(k):
    """003 §4.1: the hands turn 1/k, 2/k, 3/k, ..."""
    return hands(at, [n / k for n in range(1, WIDTH // 2 + 1)])


def correct_version(base):
    """The rates fall geometrically: base^(-2i/C)."""
    return hands(at, [base ** (-2 * i / WIDTH) for i in range(WIDTH // 2)])


record.check(
    "for k = 1, 10, ... 10,000 they are not the Transformer's",
    all(not torch.allclose(document_version(10.0**e), paper, atol=0.1) for e in range(5)),
)
record.check("the geometric rates are", torch.allclose(correct_version(1e4), paper, atol=1e-4))
record.check("003's clock repeats: two of 200 places almost coincide", nearest_two(document_version(10)) < 0.3)
record.check("the Transformer's does not", nearest_two(correct_version(1e4)) > 0.5)


# %% name="ledger-period" tags=["ledger"]
def document_version(k):
    """003 §4.1: k is the length of the period."""
    return k


def correct_version(k):
    """The slowest hand sin(i/k) needs 2πk places for a turn."""
    return 2 * math.pi * k


wave = [n / 7 for n in range(1, 9)]  # the rates for k = 7
start, after = (hands(torch.tensor([p], dtype=torch.float64), wave) for p in (0, document_version(7)))
record.check("after k places the clock shows something else", not torch.allclose(start, after, atol=0.1))
after = hands(torch.tensor([correct_version(7)], dtype=torch.float64), wave)
record.check("after 2πk it shows what it showed", torch.allclose(start, after))


# %% name="ledger-exponent" tags=["ledger"]
def document_version(i, k, d):
    """003 §4.1: the last pair has i / k^(m/d), and m is the embedding dimension, which is d."""
    return hands(i, [1 / k, 1 / k ** (d / d)])


def correct_version(i, k, d):
    """The exponent counts the pairs: it is 2j/d, from 0 to (d-2)/d, and k is a base."""
    return hands(i, [k ** (-2 * j / d) for j in (0, d // 2 - 1)])


first, last = document_version(at, 10.0, WIDTH).chunk(2, dim=1)
record.check("003's last pair is its first once more", torch.equal(first, last))
first, last = correct_version(at, 1e4, WIDTH).chunk(2, dim=1)
record.check(
    "the Transformer's first and last hand are its fastest and slowest",
    torch.allclose(last, paper[:, -2:], atol=1e-5) and not torch.allclose(first, last, atol=0.1),
)


# %% name="ledger-aliasing" tags=["ledger"]
def document_version(width, k):
    """003 §4.1: rates that grow with the number of the pair."""
    return [n / k for n in range(1, width // 2 + 1)]


def correct_version(width, base):
    """Rates that fall from 1."""
    return [base ** (-2 * i / width) for i in range(width // 2)]


fastest = max(document_version(512, 10))
slower = fastest % (2 * math.pi)  # a turn between two places goes unseen
record.check("512 entries, k = 10: the fastest hand turns over half a circle from place to place", fastest > math.pi)
record.check(
    "so at whole places it cannot be told from a slower one", torch.allclose(hands(at, [fastest]), hands(at, [slower]))
)
record.check("the Transformer's fastest turns 1 radian", max(correct_version(512, 1e4)) == 1.0)

# %% [markdown] name="ledger-use-text"
# ### 用法 · What is done with them


# %% name="ledger-own-vector" tags=["ledger"]
def document_version(n):
    """001 §2.2 and §3.1, 003 §3.1 and §4.4, 004 §2.2.3: each place has its own vector. Different rows among n."""
    return torch.tensor(len(torch.unique(sinusoidal(n, 32).double().round(decimals=4), dim=0)))


def correct_version(n):
    """As many as places."""
    return torch.tensor(n)


record.check("5000 places, 5000 vectors", torch.equal(document_version(5000).double(), correct_version(5000).double()))


# %% name="ledger-added" tags=["ledger"]
def document_version(x, first):
    """001 §3.1, 003 §4.1: the place is added to the word's vector. Scores of words from place `first` on."""
    x = x + sinusoidal(first + 5, 16)[first:]
    return x @ x.T


def correct_version(x, first):
    """It may instead turn queries and keys: then a score depends on the distance alone."""
    x = rotate(x[None, None], *rotary_angles(torch.arange(first, first + 5), 16))[0, 0]
    return x @ x.T


x = torch.randn(5, 16)
record.check(
    "added: the scores change when the sentence moves 50 places on",
    (document_version(x, 0) - document_version(x, 50)).abs().max() > 0.1,
)
record.check("turned: they stay", torch.allclose(correct_version(x, 0), correct_version(x, 50), atol=1e-3))


# %% name="ledger-both-kinds" tags=["ledger"]
def document_version(x, first):
    """004 §2.2.3: the kinds are sinusoids and learned vectors, which are added. Scores from place `first` on."""
    placed = [x + table[first : first + 5] for table in (sinusoidal(512, 16), learned)]
    return torch.stack([y @ y.T for y in placed])


def correct_version(x, first):
    """There are also kinds that are not added and work by distance: rotary positions and ALiBi."""
    turned = rotate(x[None, None], *rotary_angles(torch.arange(first, first + 5), 16))[0, 0]
    penalty = alibi(1, first + 5, first + 5)[0, first:, first:]
    return torch.stack([turned @ turned.T, x @ x.T + penalty])


x, learned = torch.randn(5, 16), torch.randn(512, 16)
moved = (document_version(x, 50) - document_version(x, 0)).abs().amax((1, 2))
record.check("both of the document's kinds: the scores change 50 places on", bool((moved > 0.1).all()))
moved = (correct_version(x, 50) - correct_version(x, 0)).abs().amax((1, 2))
record.check("rotary and ALiBi: they stay", bool((moved < 1e-3).all()))
gone = ledger.outcome(nn.Embedding.from_pretrained(learned), torch.tensor([600]))
record.check("a learned table of 512 places has no place 600", gone == "IndexError")


# %% name="ledger-derivation" tags=["ledger"]
def document_version(p, k):
    """003 §4.2: the derivations are in the paper on the Transformer. 003's own formula, width 4."""
    return hands(p, [1 / k, 2 / k])


def correct_version(p, k):
    """The paper's: sin and cos of p / 10000^(2i/C)."""
    return hands(p, [1.0, k ** (-2 / 4)])


four = sinusoidal(50, 4).double()
record.check(
    "the paper does not derive 003's formula: the two differ at place 1 already",
    not torch.allclose(document_version(at[:2], 1e4), four[:2], atol=0.1),
)
record.check("its formula is the geometric one", torch.allclose(correct_version(at[:50], 1e4), four, atol=1e-5))

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/04_mathematics/04_positions.ipynb), about 75 minutes, four questions:
#
# 1. causal attention with ALiBi and a cache;
# 2. the matrix that moves every place by k, with the sines first;
# 3. rotary scores;
# 4. reading the clock: two numbers to derive, and what happens beyond the trained length.
#
# To go on: 4.5 derives what stands after attention in each layer, the feed-forward network and the norms.
