# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 4.1 序列概率 · The probability of a sequence
#
# 本节从一个只有八种序列的小世界出发，用分数精确地推导概率的链式法则。
# 再说明最大似然、交叉熵与 KL 散度是同一件事，困惑度是几何平均。
# 随后测量马尔可夫假设丢掉了多少信息，并证明“教师强制”给出的正是对数似然的精确梯度。
#
# After this section you can take a sequence's probability apart and put it together again, say what the training loss
# of a language model can reach and why not less, and read a perplexity. You will also have seen how far words
# reach.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import math
from fractions import Fraction
from itertools import permutations, product

import numpy as np
import torch
import torch.nn.functional as F

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.data import world
from lmlib.evaluation.language_models import perplexity
from lmlib.models.nanochat import NanoChat, NanoChatConfig
from lmlib.models.ngram import KneserNey
from lmlib.text.vocabulary import Vocabulary

device = session.start(seed, device, profile)

# %% [markdown] name="chain-rule"
# ## 4.1.1 链式法则 · The chain rule
#
# How likely is a whole sequence, when all a model ever says is how likely the *next* word is? Take a world with two
# words, s (sun) and r (rain), and three days. Eight sequences are possible. Somebody has counted 32 times three
# days, so the truth is a table of 32nds. Fractions are exact: in this part there is no rounding.

# %% name="table" tags=["nbval-check-output"]
WORDS = "sr"
sequences = ["".join(w) for w in product(WORDS, repeat=3)]  # sss, ssr, srs, ...
joint = {x: Fraction(n, 32) for x, n in zip(sequences, (12, 3, 2, 3, 4, 1, 1, 6), strict=True)}
for x, p in joint.items():
    print(f"P({x}) = {p.numerator * 32 // p.denominator:2}/32  {'█' * int(32 * p)}")
record.check("the eight probabilities sum to 1, exactly", sum(joint.values()) == 1)

# %% [markdown] name="conditional-text"
# Two definitions carry everything. The **marginal** (边缘概率) of a part is the sum over all sequences that have
# it. The **conditional** (条件概率) of one part given another is a quotient of two marginals:
#
# $$P(a \mid b) = \frac{P(a, b)}{P(b)}$$


# %% name="conditional"
def marginal(known):
    """P of what is known: a dictionary day → word, such as {0: "s", 2: "r"}."""
    return sum(p for x, p in joint.items() if all(x[day] == word for day, word in known.items()))


def conditional(day, word, known):
    """P(word on that day | what is known)."""
    return marginal({**known, day: word}) / marginal(known)


# %% [markdown] name="chain-derivation"
# Now multiply the definition out, again and again. Each denominator cancels the numerator before it:
#
# $$P(x_1)\cdot\frac{P(x_1,x_2)}{P(x_1)}\cdot\frac{P(x_1,x_2,x_3)}{P(x_1,x_2)} = P(x_1,x_2,x_3)
# \qquad\Longrightarrow\qquad P(x_1,\dots,x_T)=\prod_{t=1}^{T}P(x_t\mid x_{<t})$$
#
# Here $x_{<t}$ are the words before place $t$; for $t = 1$ there are none, and the condition is empty. This is the
# **chain rule of probability** (链式法则). Nothing was assumed on the way. So nothing says that we must go from left to
# right: any order of the places does.


# %% name="chain-code"
def chain(x, order):
    """P(x) as a product of conditionals, in a given order of the days; also the factors."""
    known, factors = {}, []
    for day in order:
        factors.append(conditional(day, x[day], known))
        known[day] = x[day]
    return math.prod(factors), factors


# %% name="chain-check" tags=["nbval-check-output"]
for order in permutations(range(3)):
    p, factors = chain("srr", order)
    name = " → ".join(str(day + 1) for day in order)
    print(f"days {name}:  {' · '.join(f'{f!s:>5}' for f in factors)}  =  {p}")
orders = list(permutations(range(3)))
record.check(
    "all 8 sequences, all 6 orders: exactly the joint", all(chain(x, o)[0] == joint[x] for x in joint for o in orders)
)

# %% [markdown] name="chain-tree-text"
# Six different stories, one probability. A picture of the usual order: the unit interval is cut by the first word, each
# piece by the second, and each of these by the third. The width of a piece is the probability of its sequence.

# %% name="chain-tree"
fig, (ax,) = plots.figure("Each word cuts the interval: widths are probabilities", width=7.4, height=2.7)
for level in range(1, 4):
    left = Fraction(0)
    for prefix in map("".join, product(WORDS, repeat=level)):
        width = marginal(dict(enumerate(prefix)))
        shade = "#9db8d9" if prefix[-1] == "s" else "#f3f3f3"
        ax.barh(3 - level, float(width), left=float(left), height=0.86, color=shade, edgecolor="#333333")
        ax.text(float(left + width / 2), 3 - level, prefix, ha="center", va="center", fontsize=8)
        left += width
ax.set_yticks([2, 1, 0], ["$P(x_1)$", "$P(x_1,x_2)$", "$P(x_1,x_2,x_3)$"])
ax.set_xlim(0, 1)
ax.set_xlabel("probability")
ax.grid(visible=False)
plots.show(
    fig,
    alt="Three rows of boxes over the interval from 0 to 1. The first row is cut into s and r, the second into ss, "
    "sr, rs, rr, the third into all eight sequences. sss is the widest, and each box lies under the one it begins"
    " with.",
)

# %% [markdown] name="no-free-lunch"
# **What does the chain rule save? Nothing.** With $V$ words and $T$ places the joint table has $V^T - 1$ free numbers.
# The conditionals need a distribution ($V - 1$ free numbers) for each prefix, and there are $V^{t-1}$ prefixes of each
# length. A geometric sum gives
#
# $$\sum_{t=1}^{T} V^{t-1}(V-1) = V^T - 1.$$
#
# The rule is an identity, not a model. The model is what *computes* the conditionals with fewer numbers: a table that
# forgets (an n-gram), or a network that shares its weights among all prefixes.

# %% name="count-numbers" tags=["nbval-check-output"]
for vocabulary, length in ((2, 3), (10, 4), (50_000, 10)):
    by_chain = sum(vocabulary ** (t - 1) * (vocabulary - 1) for t in range(1, length + 1))
    assert by_chain == vocabulary**length - 1
    digits = len(str(by_chain))
    print(f"V = {vocabulary:6}, T = {length:2}: {by_chain if digits < 9 else f'a number of {digits} digits'}")

# %% [markdown] name="end-marker"
# ### 序列何时结束 · When does a sequence end?
#
# The product says nothing about where a sequence stops. Add it up over *all* sequences of length 1, of length 2, and so
# on: each length gives 1, and all lengths together give infinity. That is no distribution over texts. The cure is one
# more word, the end marker `<eos>`, that the model must predict like any other. Let it come with probability $q$ after
# each word. All texts of $T$ words then share $q(1-q)^{T-1}$ (the first word comes for sure), a geometric series with
# sum 1.


# %% name="end-marker-check" tags=["nbval-check-output"]
def mass_up_to(length, q):
    """P that a text has at most so many words: exact sums over all sequences of a coin-tossing writer."""
    total = Fraction(0)
    for t in range(1, length + 1):
        one = Fraction(1, 2) ** t * (1 - q) ** (t - 1) * (q if q else 1)  # without q: the product, with no end
        total += len(WORDS) ** t * one
    return total


for q in (Fraction(0), Fraction(1, 4)):
    print(f"q = {q}: ", ", ".join(f"T ≤ {t}: {float(mass_up_to(t, q)):.4f}" for t in (1, 2, 4, 16)))
record.check("without an end marker each length adds 1", mass_up_to(16, Fraction(0)) == 16)
record.check("with it the rest is (1 - q)^T, exactly", 1 - mass_up_to(16, Fraction(1, 4)) == Fraction(3, 4) ** 16)

# %% [markdown] name="likelihood"
# ## 4.1.2 最大似然 · Likelihood, cross-entropy, and the floor
#
# A model gives a sequence $x$ the probability $q_\theta(x)$. We have $n$ sequences $x^{(1)},\dots,x^{(n)}$.
# **Maximum likelihood** (最大似然) picks the $\theta$ under which the data were most probable. The logarithm turns
# the product into a sum, and the chain rule turns each sequence into its words:
#
# $$\log \prod_{i} q_\theta(x^{(i)}) = \sum_i\sum_t \log q_\theta(x^{(i)}_t \mid x^{(i)}_{<t})$$
#
# Let $\hat p(x)$ be the share of the data that equals $x$. Count equal sequences together and divide by $n$:
#
# $$-\frac1n\sum_i \log q(x^{(i)}) = \underbrace{-\sum_x \hat p(x)\log q(x)}_{H(\hat p,\,q)\
# \text{cross-entropy 交叉熵}}
# = \underbrace{-\sum_x \hat p(x)\log \hat p(x)}_{H(\hat p)\ \text{entropy 熵}}
# + \underbrace{\sum_x \hat p(x)\log\frac{\hat p(x)}{q(x)}}_{\mathrm{KL}(\hat p\,\|\,q)}$$
#
# (Add and subtract $\sum_x\hat p\log\hat p$.) The entropy does not depend on the model. So three goals are one:
# maximise the likelihood, minimise the cross-entropy, minimise the KL divergence to the data.


# %% name="entropies"
def entropy(p):
    """H(p) in nats; 0 ln 0 counts as 0."""
    return -torch.special.xlogy(p, p).sum(-1)


def cross_entropy(p, q):
    """H(p, q) in nats."""
    return -torch.special.xlogy(p, q).sum(-1)


def divergence(p, q):
    """KL(p ‖ q) in nats."""
    return torch.special.xlogy(p, p / q).sum(-1)


# %% name="three-are-one" tags=["nbval-check-output"]
truth = torch.tensor([float(p) for p in joint.values()], dtype=torch.float64)  # (8,)
generator = torch.Generator().manual_seed(seed)
data = torch.multinomial(truth, 200, replacement=True, generator=generator)  # 200 sequences as numbers 0 to 7
shares = torch.bincount(data, minlength=8).double() / len(data)
model = torch.softmax(torch.randn(8, dtype=torch.float64, generator=generator), dim=0)
likelihood = model[data].log().sum()
record.check("-1/n log-likelihood = cross-entropy", torch.isclose(-likelihood / 200, cross_entropy(shares, model)))
split = entropy(shares) + divergence(shares, model)
record.check("cross-entropy = entropy + KL", torch.isclose(cross_entropy(shares, model), split))

# %% [markdown] name="kl-positive-text"
# Why is KL never negative? Because $\ln z \le z - 1$, so $-\mathrm{KL} = \sum p \ln\frac qp \le \sum p\,(\frac qp -
# 1) = 1 - 1 = 0$, with equality only where $q = p$. Hence the entropy is a **floor** that no model goes below, and
# the best model *is* the table of shares. Below, a coin with $\hat p(\text{s}) = 0.7$: we move the model's
# $q(\text{s})$ and watch the two parts.

# %% name="coin-plot"
coin = torch.tensor([0.7, 0.3], dtype=torch.float64)
grid = torch.linspace(0.02, 0.98, 97, dtype=torch.float64)
models = torch.stack([grid, 1 - grid], dim=1)  # (97, 2)
losses = cross_entropy(coin, models)
fig, (ax,) = plots.figure("Cross-entropy is a floor plus a gap", width=5.6, height=3.3)
plots.lines(ax, grid, {"cross-entropy": losses}, x_label="model: q(s)", y_label="nats per word", markers=False)
ax.fill_between(grid, 0, entropy(coin).item(), color="#e3e3e3", linewidth=0)
ax.fill_between(grid, entropy(coin).item(), losses, color="#c6d6ea", linewidth=0)
ax.text(0.5, 0.28, "entropy of the data: no model's fault", ha="center")
ax.annotate("KL", (0.17, 0.8), ha="center")
ax.set_ylim(0, 2.2)
ax.set_xlim(0, 1)
plots.show(
    fig,
    alt="Cross-entropy against the model's probability of s: a bowl with its lowest point at 0.7. A grey band below "
    "it, of constant height, is the entropy; the area between band and bowl is the KL divergence, which is 0 at "
    "0.7.",
)

# %% name="coin-check" tags=["nbval-check-output"]
record.check("the lowest point stands at the share, 0.7", math.isclose(grid[losses.argmin()], 0.7, abs_tol=1e-9))
record.check("and there the loss is the entropy", torch.isclose(losses.min(), entropy(coin)))
p, q = torch.softmax(torch.randn(2, 1000, 8, dtype=torch.float64), dim=-1)
record.check("KL is positive for 1000 random pairs", bool((divergence(p, q) > 0).all()))
record.check("KL(p‖q) is not KL(q‖p)", not torch.allclose(divergence(p, q), divergence(q, p), rtol=0.01))

# %% [markdown] name="gradient-text"
# **The gradient.** Let the model be a softmax of logits, $q_k = e^{z_k}/\sum_j e^{z_j}$. Then
# $\log q_k = z_k - \log\sum_j e^{z_j}$, and the derivative of the second term by $z_j$ is $q_j$. So
#
# $$\frac{\partial}{\partial z_j}\Big(-\sum_k \hat p_k\log q_k\Big) = q_j - \hat p_j$$
#
# What the model says, minus what was seen. It is zero exactly at $q = \hat p$. Autograd is the witness, and gradient
# descent ends at the shares.

# %% name="gradient-check" tags=["nbval-check-output"]
logits = torch.zeros(8, dtype=torch.float64, requires_grad=True)
F.cross_entropy(logits.expand(200, 8), data).backward()
record.check("autograd gives q - p̂", torch.allclose(logits.grad, 1 / 8 - shares, atol=1e-12))
record.check("the first loss is ln 8", math.isclose(F.cross_entropy(logits.detach().expand(200, 8), data), math.log(8)))
z = torch.zeros(8, dtype=torch.float64)
for _ in range(20_000):
    z -= torch.softmax(z, dim=0) - shares
record.check("gradient descent ends at the shares", torch.allclose(torch.softmax(z, dim=0), shares, atol=1e-3))

# %% [markdown] name="floor-text"
# **Training loss and test loss stand on two sides of the truth.** The best model for the data is the table of shares,
# and its training loss is $H(\hat p)$. That is, on average, *below* the true entropy $H(p)$, by the mean of
# $\mathrm{KL}(\hat p\|p)$: the table has learned the accidents of the sample. On new data its loss is $H(p) +
# \mathrm{KL}(p\|\hat p)$, above. A second-order expansion gives both gaps the same size, $\frac{V-1}{2n}$ on average.
# Here there are $V = 20$ words with a known truth. We add 1/2 to each count, so that a word never seen does not make
# the test loss infinite.

# %% name="floor-measure"
N_WORDS = 20
zipf = 1 / torch.arange(1, N_WORDS + 1, dtype=torch.float64)
zipf = zipf / zipf.sum()
SIZES = [50, 100, 200, 400, 800, 1600, 3200]
REPEATS = {"quick": 400, "full": 20_000}[profile]


def both_losses(n):
    """Mean training and test loss, in nats, of tables made from n words each."""
    counts = torch.distributions.Multinomial(n, zipf).sample((REPEATS,))  # (R, V)
    tables = (counts + 0.5) / (n + 0.5 * N_WORDS)
    return cross_entropy(counts / n, tables).mean().item(), cross_entropy(zipf, tables).mean().item()


train_loss, test_loss = np.array([both_losses(n) for n in SIZES]).T

# %% name="floor-plot"
fig, (ax,) = plots.figure("Training flatters, testing punishes; the truth lies between", width=5.8, height=3.3)
curves = {"on new words": test_loss, "on the words it was made from": train_loss}
plots.lines(ax, SIZES, curves, x_label="words in the training data, n", y_label="loss (nats per word)")
ax.axhline(entropy(zipf).item(), color="#555555", linestyle=":", label="true entropy H(p)")
ax.legend()
ax.set_xscale("log")
ax.set_xticks(SIZES, [str(n) for n in SIZES])
ax.minorticks_off()
plots.show(
    fig,
    alt="Loss against the number of training words. The test loss falls towards the true entropy from above, the "
    "training loss rises towards it from below, and the two meet as n grows.",
)

# %% name="floor-check"
h = entropy(zipf).item()
record.check("the training loss is below the entropy at every size", bool((train_loss < h).all()))
record.check("the test loss is above it at every size", bool((test_loss > h).all()))
ratio = (test_loss[-1] - h) / ((N_WORDS - 1) / (2 * SIZES[-1]))
record.metric("test gap at the largest n, over (V-1)/2n", ratio)
record.check("the gap at the largest n is (V-1)/2n, within 15 %", abs(ratio - 1) < 0.15)
samples = torch.distributions.Multinomial(SIZES[-1], zipf).sample((REPEATS,)) / SIZES[-1]  # p̂ of each, (R, V)
below = divergence(samples, zipf).mean().item() / ((N_WORDS - 1) / (2 * SIZES[-1]))
record.metric("mean of KL(p̂‖p) at the largest n, over (V-1)/2n", below)
record.check("and so is the gap below, the mean of KL(p̂‖p), within 15 %", abs(below - 1) < 0.15)

# %% [markdown] name="perplexity"
# ## 4.1.3 困惑度 · Perplexity is a geometric mean
#
# A loss of 2.3 nats says little to a reader. **Perplexity** (困惑度) undoes the logarithm:
#
# $$\mathrm{PPL}(x) = \exp\Big(-\frac1T\sum_{t}\log q(x_t\mid x_{<t})\Big) = \Big(\prod_t \frac{1}{q(x_t\mid
# x_{<t})}\Big)^{1/T}$$
#
# It is the geometric mean (几何平均) of $1/q$: the number of equally likely words among which the model seems
# to choose. Three words with probabilities 1/2, 1/4 and 1/8 give $(2\cdot4\cdot8)^{1/3} = 4$.

# %% name="perplexity-check" tags=["nbval-check-output"]
steps = torch.tensor([1 / 2, 1 / 4, 1 / 8], dtype=torch.float64)
print(f"geometric mean of 2, 4, 8: {perplexity(steps.log()):.4f}")
print(f"arithmetic mean of 2, 4, 8: {(1 / steps).mean():.4f}")
record.check("lmlib's perplexity is the geometric mean", math.isclose(perplexity(steps.log()), 4))
uniform = torch.full((50,), 1 / 2036, dtype=torch.float64)
record.check("a uniform guess among V words has perplexity V", math.isclose(perplexity(uniform.log()), 2036))
sure = torch.ones(50, dtype=torch.float64)
record.check("certainty has perplexity 1, the least there is", perplexity(sure.log()) == 1)

# %% [markdown] name="bounds-text"
# **Bounds.** Each $q \le 1$, so $\mathrm{PPL} \ge 1$. On text from the truth $p$ the mean loss is at least $H(p)$, so
# no model stays below $e^{H(p)}$ in the long run, and $H(p) \le \ln V$. There is *no* upper bound: a model can be
# worse than guessing. How bad can one word be? Nine good words and one that the model thought nearly impossible:

# %% name="one-bad-word" tags=["nbval-check-output"]
for bad in (1e-1, 1e-3, 1e-6, 1e-12, 0.0):
    log_p = torch.tensor([1 / 2] * 9 + [bad], dtype=torch.float64).log()
    print(f"nine words at 1/2 and one at {bad:7}: perplexity {perplexity(log_p):7.2f}")
wrong = torch.tensor([1e-6] * 10, dtype=torch.float64)
record.check("a bad model of 2036 words is worse than a guess", perplexity(wrong.log()) > 2036)
record.check("one impossible word makes it infinite", perplexity(log_p) == math.inf)
x = torch.rand(1000, 20, dtype=torch.float64)
record.check("geometric ≤ arithmetic mean, always", bool(((-x.log().mean(1)).exp() <= (1 / x).mean(1)).all()))

# %% [markdown] name="length"
# ### 长度 · Why the length matters
#
# The probability of a sequence shrinks with every word, so log-probabilities of texts of different lengths cannot be
# compared. The *mean* can. For long texts from the truth it even settles: it tends to the entropy rate (熵率) of the
# source. We draw texts from a chain of two words with known transitions and watch $-\frac1t\log P$.
#
# The rate is the entropy of each row, weighted by how often the chain is there: $\sum_i \pi_i H(P_{i\cdot})$, with
# $\pi = \pi P$.


# %% name="fan-draw"
def draw_chain(transition, start, n, length, generator):
    """n sequences (n, length) of a Markov chain: transition (V, V), start (V,)."""
    steps = [torch.multinomial(start, n, replacement=True, generator=generator)]
    for _ in range(length - 1):
        steps.append(torch.multinomial(transition[steps[-1]], 1, generator=generator).squeeze(1))
    return torch.stack(steps, dim=1)


weather = torch.tensor([[0.9, 0.1], [0.3, 0.7]], dtype=torch.float64)
stationary = torch.tensor([0.75, 0.25], dtype=torch.float64)
rate = (stationary * entropy(weather)).sum().item()
days = draw_chain(weather, stationary, 60, 1000, torch.Generator().manual_seed(seed))  # (60, 1000)
log_p = torch.cat([stationary[days[:, :1]].log(), weather[days[:, :-1], days[:, 1:]].log()], dim=1)
settled = -log_p.cumsum(1) / torch.arange(1, 1001)  # (60, 1000)

# %% name="fan-plot"
fig, (ax,) = plots.figure("Ten texts of one source: the mean loss settles", width=5.0, height=2.7)
places = np.unique(np.geomspace(1, 1000, 40).astype(int))  # evenly spread on a logarithmic axis
ax.plot(places, settled[:10, places - 1].T, color="#08306b", alpha=0.5, linewidth=0.8)
ax.set_xscale("log")
ax.set_xlabel("words read, t")
ax.set_ylabel("−(1/t) ln P (nats per word)")
ax.axhline(rate, color="#d9541a", linestyle="--", label="entropy rate")
ax.legend()
plots.show(
    fig,
    alt="Ten curves of the mean negative log-probability against the number of words, on a logarithmic axis. They "
    "are spread wide at first and narrow like a funnel onto the entropy rate.",
)

# %% name="fan-check"
record.check("π is stationary", torch.allclose(stationary @ weather, stationary))
spread = settled.std(0)
record.metric("spread after 10 words", spread[9])
record.metric("spread after 1000 words", spread[-1])
record.check("after 1000 words the mean of all 60 is the rate, to 0.02", abs(settled[:, -1].mean() - rate) < 0.02)
record.check("the funnel: the spread falls to less than a fifth from 10 to 1000", spread[-1] < spread[9] / 5)

# %% [markdown] name="underflow-text"
# The length matters to the computer too. A float32 is 0 below about $1.4\cdot10^{-45}$, whose logarithm is −103.3. A
# text whose words cost $\ell$ nats each has its probability rounded to 0 after about $103/\ell$ words. So programs
# add logarithms.

# %% name="underflow" tags=["nbval-check-output"]
smallest = 149 * math.log(2)  # nats: float32 reaches down to 2^-149
for word in (0.5, 0.1, 0.01):
    text = torch.full((400,), word)
    survived = int((text.cumprod(0) > 0).sum())
    print(f"words at {word}: the product is 0 after {survived} words; 103.3 / loss = {smallest / -math.log(word):.1f}")
    assert abs(survived - smallest / -math.log(word)) < 2
record.check("the sum of logarithms is finite", bool(text.log().sum().isfinite()))

# %% [markdown] name="markov"
# ## 4.1.4 马尔可夫假设 · What forgetting costs
#
# A table of all prefixes is impossible. The **Markov assumption** (马尔可夫假设) keeps the last $k$ words only:
#
# $$P(x_t\mid x_{<t}) \approx P(x_t\mid x_{t-k},\dots,x_{t-1})$$
#
# What is lost? The extra loss per word is exactly $H(x_t\mid x_{t-k..t-1}) - H(x_t\mid x_{<t})$, the information that
# the forgotten words still carry about $x_t$. It cannot be negative. In this made-up language the last word repeats
# the first, and what is between them is noise.

# %% name="echo" tags=["nbval-check-output"]
echo = [
    first + middle + first for first in "ab" for middle in map("".join, product("xy", repeat=2))
]  # 8, equally likely


def conditional_entropy(texts, k):
    """H(last word | the k words before it) in bits, all texts equally likely."""
    total = 0.0
    for context in {t[-1 - k : -1] for t in texts}:
        ends = [t[-1] for t in texts if t[-1 - k : -1] == context]
        p = torch.tensor([ends.count(w) / len(ends) for w in sorted(set(ends))])
        total += len(ends) / len(texts) * entropy(p).item() / math.log(2)
    return total


print("texts:", " ".join(echo))
for k in range(4):
    print(f"the last word, given the {k} before it: {conditional_entropy(echo, k):.0f} bit")
record.check("two words of memory are worth nothing here", conditional_entropy(echo, 2) == conditional_entropy(echo, 0))
record.check("the third is worth the whole bit", conditional_entropy(echo, 3) == 0)

# %% [markdown] name="world-text"
# Now a real question of degree: how far do words reach in the stories of the small world? For two words at distance
# $d$ measure their **mutual information** (互信息)
#
# $$I_d = \sum_{a,b} P_d(a,b)\,\log\frac{P_d(a,b)}{P(a)P(b)} = \mathrm{KL}\big(P_d(a,b)\,\|\,P(a)P(b)\big).$$
#
# It is 0 exactly if they are independent. Words that are not among the 200 most frequent count as one. Counts of a
# finite text find "information" even in noise, so we subtract what the same measure finds when all words are shuffled.

# %% name="world-data"
N_CHARS = {"quick": 500_000, "full": 5_000_000}[profile]
TOP = 200


def texts(split, n_chars):
    """The texts of a split as lists of lower-case words."""
    corpus = world.make(seed=seed).corpus(split, "en", n_chars)
    return [words for t in corpus if (words := [w.lower() for s in t.sentences for w in s.words])]


train_words, test_words = texts("train", N_CHARS), texts("test", 60_000)
vocabulary = Vocabulary.from_sentences(train_words, min_count=5, unknown="<unk>")
train_ids, test_ids = ([np.array(vocabulary.encode(w)) for w in part] for part in (train_words, test_words))
frequent = [np.minimum(ids, TOP) for ids in train_ids]  # TOP stands for all rarer words
print(" ".join(train_words[2][:24]))


# %% name="mutual-information"
def pair_table(sequences, distance):
    """Shares of pairs of words so far apart, (TOP + 1, TOP + 1)."""
    first = np.concatenate([s[:-distance] for s in sequences if len(s) > distance])
    second = np.concatenate([s[distance:] for s in sequences if len(s) > distance])
    counts = np.bincount(first * (TOP + 1) + second, minlength=(TOP + 1) ** 2)
    return counts.reshape(TOP + 1, TOP + 1) / len(first)


def mutual_information(table):
    """I in nats of a joint table (V, V)."""
    independent = np.outer(table.sum(1), table.sum(0))
    seen = table > 0
    return (table[seen] * np.log(table[seen] / independent[seen])).sum()


# %% name="mutual-information-check" tags=["nbval-check-output"]
record.check("independent words: 0", math.isclose(mutual_information(np.full((2, 2), 1 / 4)), 0, abs_tol=1e-12))
record.check("a copy of a fair coin: ln 2", math.isclose(mutual_information(np.eye(2) / 2), math.log(2)))

# %% [markdown] name="bigram-text"
# For comparison we write a text of the same size with a **bigram** (二元模型), which knows each word's
# successors and nothing more. (The plot leaves out what is below 0.005 nats: noise.) Information about a
# start can only shrink along a chain (the data processing inequality, 数据处理不等式).


# %% name="bigram-writer"
def bigram_texts(sequences, rng):
    """As many texts as given, of the same lengths and first words, drawn from the table of successors."""
    counts = np.zeros((TOP + 1, TOP + 1))
    for s in sequences:
        np.add.at(counts, (s[:-1], s[1:]), 1)
    limits = (counts / counts.sum(1, keepdims=True).clip(1)).cumsum(1)  # (V, V)
    steps = [np.array([s[0] for s in sequences])]
    for _ in range(max(map(len, sequences)) - 1):
        drawn = (limits[steps[-1]] < rng.random((len(sequences), 1))).sum(1)
        steps.append(np.minimum(drawn, TOP))
    return [row[: len(s)] for row, s in zip(np.stack(steps, axis=1), sequences, strict=True)]


rng = np.random.default_rng(seed)
bigram = bigram_texts(frequent, rng)
ends = np.cumsum([len(s) for s in frequent])[:-1]
shuffled = np.split(rng.permutation(np.concatenate(frequent)), ends)

# %% name="reach-measure"
DISTANCES = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16]
measured = {
    name: np.array([mutual_information(pair_table(s, d)) for d in DISTANCES])
    for name, s in (("world", frequent), ("bigram", bigram), ("shuffled", shuffled))
}
world_reach, bigram_reach = (measured[name] - measured["shuffled"] for name in ("world", "bigram"))

# %% name="reach-plot"
fig, (ax,) = plots.figure("How far does a word reach?", width=6.2, height=3.5)
curves = {"stories of the small world": world_reach}
curves["written by a bigram of the same stories"] = np.where(bigram_reach > 5e-3, bigram_reach, np.nan)
plots.lines(ax, DISTANCES, curves, x_label="distance (words)", y_label="mutual information (nats)")
ax.set_yscale("log")
ax.set_xscale("log")
ax.set_xticks(DISTANCES, [str(d) for d in DISTANCES])
ax.minorticks_off()
plots.show(
    fig,
    alt="Mutual information against distance on logarithmic axes. Both curves start together at distance 1. The "
    "bigram's falls off a cliff and is lost in noise after 4 or 5 words; that of the stories declines slowly and "
    "is still there at 16.",
)

# %% name="reach-check"
record.check(
    "at distance 1 the bigram has what the stories have, within 10 %", abs(bigram_reach[0] / world_reach[0] - 1) < 0.1
)
record.check("at distance 3 it has less than a third", bigram_reach[2] < world_reach[2] / 3)
record.check("at distance 8 less than a tenth", bigram_reach[6] < world_reach[6] / 10)
record.check("the stories reach 16 words: over 0.005 nats are left", world_reach[-1] > 0.005)
record.check("that of the stories only declines", bool((np.diff(world_reach) < 0).all()))
record.check("the bigram's too, down to the noise", bool((np.diff(bigram_reach[:4]) < 0).all()))
record.check("and in the noise it rises by less than 0.01", bool((np.diff(bigram_reach) < 0.01).all()))

# %% [markdown] name="eigenvalue-text"
# Why a cliff? For a chain the pair at distance $d$ has the table $\mathrm{diag}(\pi)P^d$. The eigenvalues of $P$ are
# 1 and, here, $\lambda = 0.6$, so $P^d = \mathbb 1\pi + \lambda^d(\dots)$. For small deviations KL is quadratic,
# hence $I_d \approx c\,\lambda^{2d}$: an exponential. So it goes with every chain whose other eigenvalues are smaller
# than 1 in size. (Words that come strictly in turn have others: such a chain never forgets.) The weather chain shows
# it.

# %% name="eigenvalue-check" tags=["nbval-check-output"]
exact = [mutual_information((stationary[:, None] * weather.matrix_power(d)).numpy()) for d in range(1, 13)]
ratios = np.array(exact[1:]) / np.array(exact[:-1])
print("I(d+1) / I(d):", " ".join(f"{r:.3f}" for r in ratios[[0, 1, 3, 7, 10]]))
record.check("the ratio tends to λ² = 0.36", math.isclose(ratios[-1], 0.36, abs_tol=1e-3))

# %% [markdown] name="order-text"
# And in perplexity? `lmlib` has n-gram models with Kneser–Ney smoothing (section 2.1 builds on them). We train orders
# 1 to 5, which remember 0 to 4 words, and test on stories with sentence patterns that training never showed.

# %% name="order-measure"
ORDERS = [1, 2, 3, 4, 5]
by_order = {"on new stories": [], "on stories it has read": []}
for order in ORDERS:
    ngram = KneserNey(train_ids, order, len(vocabulary))
    for name, part in zip(by_order, (test_ids, train_ids[:100]), strict=True):
        by_order[name].append(perplexity(torch.cat([ngram.log_probabilities(s) for s in part])))
fig, (ax,) = plots.figure("More memory helps, then only seems to", width=5.4, height=3.2)
plots.lines(ax, np.array(ORDERS) - 1, by_order, x_label="words remembered, k", y_label="perplexity")
ax.set_yscale("log")
ax.set_xticks(range(5))
ax.set_yticks([5, 10, 20, 50, 100, 300], ["5", "10", "20", "50", "100", "300"])
plots.show(
    fig,
    alt="Perplexity against the number of words remembered. On new stories it falls steeply to 2 words and then "
    "hardly. On stories that were read it falls on and on.",
)

# %% name="order-check"
new, read = by_order.values()
record.metric("perplexity of the bigram on new stories", new[1])
record.check("the first word remembered cuts the perplexity to less than a quarter", new[1] < new[0] / 4)
record.check("the second by another fifth or more", new[2] < 0.8 * new[1])
record.check("the fourth changes it by less than a tenth", 0.9 * new[3] < new[4] < 1.1 * new[3])
record.check("on what was read every word lowers it", read == sorted(read, reverse=True))
record.check("and the fourth by more than a tenth", read[4] < 0.9 * read[3])
record.check("even without memory it is better than guessing, which has perplexity V", new[0] < len(vocabulary))

# %% [markdown] name="sampling"
# ## 4.1.5 采样 · Writing with the chain rule
#
# The chain rule runs backwards as well. Draw $x_1$ from $P(x_1)$, then $x_2$ from $P(x_2\mid x_1)$, and so on: the
# result is a draw from the joint. This is **ancestral sampling** (祖先采样), and each step needs only the next word's
# distribution. Does it work? We draw from the weather table and compare shares.


# %% name="ancestral"
def ancestral(n, generator):
    """n sequences, each drawn word by word from the exact conditionals."""
    drawn = []
    for _ in range(n):
        x = ""
        while len(x) < 3:
            p_sun = float(conditional(len(x), "s", dict(enumerate(x))))
            x += "s" if torch.rand((), generator=generator) < p_sun else "r"
        drawn.append(x)
    return drawn


N_SAMPLES = {"quick": 2000, "full": 50_000}[profile]
drawn = ancestral(N_SAMPLES, torch.Generator().manual_seed(seed))
counts = torch.tensor([drawn.count(x) for x in joint], dtype=torch.float64)

# %% [markdown] name="ancestral-check-text"
# A statistical test states its risk. With 8 kinds, Pearson's $\chi^2 = \sum (n_k - np_k)^2/np_k$ has 7 degrees of
# freedom; a right sampler exceeds 40 about once in a million runs. And the mean of $-\ln P$ over samples estimates
# the entropy.

# %% name="ancestral-check" tags=["nbval-check-output"]
chi_squared = ((counts - N_SAMPLES * truth) ** 2 / (N_SAMPLES * truth)).sum()
record.check("χ² is below 40: the samples are from the joint", bool(chi_squared < 40))
loss = -(counts / N_SAMPLES * truth.log()).sum()
deviation = (torch.special.xlogy(truth, truth) @ truth.log() - entropy(truth) ** 2).sqrt() / math.sqrt(N_SAMPLES)
record.check(
    "their mean loss is the entropy, within 5 standard errors", bool(abs(loss - entropy(truth)) < 5 * deviation)
)

# %% [markdown] name="greedy-text"
# **The most probable word each time is not the most probable sequence.** A greedy writer takes the best first word
# and can never undo it. Three first words, each with its continuations:

# %% name="greedy" tags=["nbval-check-output"]
story = {"the cat": "4/20", "the dog": "3/20", "the end": "3/20", "once upon": "9/20", "a day": "1/20"}
story = {x: Fraction(p) for x, p in story.items()}
first = {}
for x, p in story.items():
    first[x.split()[0]] = first.get(x.split()[0], 0) + p
best_first = max(first, key=first.get)
greedy = max((x for x in story if x.startswith(best_first)), key=story.get)
best = max(story, key=story.get)
print(f"greedy: {greedy!r} with {story[greedy]}; best: {best!r} with {story[best]}")
record.check("greedy misses the best sequence", greedy != best and story[greedy] < story[best])

# %% [markdown] name="typical-text"
# And the most probable sequence is not a *typical* one. In 1000 days of the weather chain, the most probable sequence
# is sun without end. None of our sixty texts looks like it, and its loss per word is far below the entropy rate,
# outside the funnel. High probability for a single sequence does not make it a good sample: there are just many more
# of the others.

# %% name="typical-check" tags=["nbval-check-output"]
all_sun = -(math.log(0.75) + 999 * math.log(0.9)) / 1000
print(f"loss per word of endless sun: {all_sun:.3f}; entropy rate: {rate:.3f}")
record.check("endless sun lies below every one of the sixty", bool(all_sun < settled[:, -1].min()))

# %% [markdown] name="teacher-forcing"
# ## 4.1.6 教师强制 · Teacher forcing is the exact gradient
#
# In training, the model reads the *true* words before each place, even where it would have written others. This is
# called **teacher forcing** (教师强制), and it is often described as a trick. It is none. Differentiate the chain rule:
#
# $$\nabla_\theta \log P_\theta(x) = \sum_t \nabla_\theta \log P_\theta(x_t\mid x_{<t})$$
#
# The conditions $x_{<t}$ on the right are those of the sequence whose probability is meant: the true words. Anything
# else would be the gradient of something else. First witness: a model with free conditionals of three words. We build
# its whole joint table, pick the entry of the data, and let autograd differentiate it as it stands.

# %% name="forcing-joint" tags=["nbval-check-output"]
tables = [torch.randn(2**t, 2, dtype=torch.float64, requires_grad=True) for t in range(3)]  # logits for each prefix


def joint_table():
    """All 8 probabilities (2, 2, 2) of the model."""
    first, second, third = (torch.softmax(t, dim=-1) for t in tables)
    return first.view(2, 1, 1) * second.view(2, 2, 1) * third.view(2, 2, 2)


by_joint = torch.autograd.grad(joint_table()[0, 1, 1].log(), tables)  # of the sequence s r r
terms = [F.log_softmax(table[row], dim=-1)[word] for table, row, word in zip(tables, (0, 0, 1), (0, 1, 1), strict=True)]
by_forcing = torch.autograd.grad(sum(terms), tables)
record.check("the model is a distribution", torch.isclose(joint_table().sum(), torch.ones((), dtype=torch.float64)))
record.check("teacher forcing gives the gradient of log P", all(map(torch.allclose, by_joint, by_forcing)))

# %% [markdown] name="forcing-network-text"
# Second witness: a network. All terms of the sum come from *one* pass, because with a causal mask (section 2.2) place
# $t$ does not see what comes after it. We compare one pass over a sequence with one pass over each of its prefixes
# (the first word's factor is left out), in float64.

# %% name="forcing-network" tags=["nbval-check-output"]
sizes = {"vocab_size": 11, "d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 32, "max_positions": 16}
network = NanoChat(NanoChatConfig(eos_token_id=None, **sizes), "language_model").double().to(device)
for parameter in network.parameters():
    torch.nn.init.normal_(parameter, std=0.3)  # a NanoChat begins with zeros, where every gradient test is too easy
x = torch.randint(11, (1, 9), generator=torch.Generator().manual_seed(seed)).to(device)
one_pass = -F.cross_entropy(network(input_ids=x).logits[0, :-1], x[0, 1:], reduction="sum")
at_once = torch.autograd.grad(one_pass, network.parameters())
many = sum(F.log_softmax(network(input_ids=x[:, :t]).logits[0, -1], dim=-1)[x[0, t]] for t in range(1, 9))
one_by_one = torch.autograd.grad(many, network.parameters())
record.check("one pass and eight passes: the same log-probability", torch.allclose(one_pass, many))
same = all(torch.allclose(a, b, atol=1e-10) for a, b in zip(at_once, one_by_one, strict=True))
record.check("and the same gradient", same)

# %% [markdown] name="free-running-text"
# Third: what if the model reads its *own* words in training? Data: after s always comes s, after r always r (two
# days). Half of the texts are ss, half rr. We fit the second day given the first. With teacher forcing the gradient
# is zero at the truth. A free-running model draws its own first word, independent of the data's, and is asked for the
# data's second word. Its best answer is then a coin toss, whatever the first word was. It unlearns the rule.


# %% name="free-running"
def fit_second_day(teacher, steps=300):
    """P(second = first) after training, with the true first word as condition or a drawn one."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])  # a model that knows the rule already, roughly
    curve = []
    for _ in range(steps):
        true_first = torch.randint(2, (256,), generator=generator)
        read = true_first if teacher else torch.randint(2, (256,), generator=generator)
        gradient = torch.softmax(logits[read], dim=-1) - F.one_hot(true_first, 2)  # second word = first word
        logits = logits.index_add(0, read, gradient, alpha=-0.2 / 32)
        curve.append(torch.softmax(logits, dim=-1).diagonal().mean().item())
    return curve


runs = {"reads the true words": fit_second_day(True), "reads its own words": fit_second_day(False)}
fig, (ax,) = plots.figure("Whose words does the model read in training?", width=5.6, height=3.0)
plots.lines(ax, range(1, 301), runs, x_label="step", y_label="P(second day = first day)", markers=False)
plots.level(ax, 1.0, "the rule of the data", below=True)
ax.text(300, 0.4, "a coin toss", ha="right", fontsize=8, color="#333333")
ax.set_ylim(0.3, 1.05)
plots.show(
    fig,
    alt="Probability that the model repeats the first day, against training steps. With the true words it rises to "
    "nearly 1. With its own words it falls from its start to one half and stays.",
)

# %% name="free-running-check"
record.check("with teacher forcing the rule is learned: over 0.99", runs["reads the true words"][-1] > 0.99)
record.check("reading its own words unlearns it: 0.4 to 0.6", 0.4 < runs["reads its own words"][-1] < 0.6)

# %% [markdown] name="exposure"
# The price of teacher forcing is elsewhere: when the model writes, it reads its own words, and may stand on a prefix
# that no training text had. The likelihood says nothing about what it should do there. This is a gap between two
# *uses*, not an error of the gradient.

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# Documents 000 and 002 state the chain rule and the likelihood in three formulas. Each statement that can be tested
# stands below with its evidence.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("04_mathematics/01_sequence_probability")

# %% name="ledger-data"
two, three = torch.rand(2, 4, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).unbind()
joint_p = three / three.sum()  # (4, 4, 4): P of each sequence of three words, V = 4
counts_of = torch.tensor([5.0, 3.0, 0.0, 2.0], dtype=torch.float64)  # how often each of four words was seen
short, long = torch.tensor([0.2, 0.2]).log(), torch.tensor([0.5] * 6).log()  # ln q of the words of two texts


# %% name="ledger-chain" tags=["ledger"]
def document_version(p):
    """002 §4.1: the product of P(word | words before)."""
    first, pair = p.sum((1, 2)), p.sum(2)
    return first[:, None, None] * (pair / first[:, None])[:, :, None] * (p / pair[:, :, None])


def correct_version(p):
    """The joint itself."""
    return p


record.check(
    "the product is the joint, for all 64", torch.allclose(document_version(joint_p), correct_version(joint_p))
)


# %% name="ledger-no-model" tags=["ledger"]
def document_version(n_words, length):
    """002 §4.1: the product is a model, so it needs fewer numbers than the joint. Here: a table for each place."""
    return length * n_words * (n_words - 1)


def correct_version(n_words, length):
    """A distribution for each prefix: as many numbers as the joint has."""
    return sum(n_words**t * (n_words - 1) for t in range(length))


record.check("the identity needs V^T - 1 numbers", correct_version(10, 6) == 10**6 - 1)
record.check("a model with a table for each place has fewer", document_version(10, 6) < 1000)


# %% name="ledger-all-lengths" tags=["ledger"]
def document_version(length):
    """002 §4.1 and 000 §4.2.1: P of all texts up to a length, with the product up to T and no end. Four words."""
    return sum(4**t * 0.25**t for t in range(1, length + 1))


def correct_version(length):
    """One word in five is the end marker."""
    return sum(4**t * 0.2**t * 0.2 for t in range(length + 1))


record.check("without an end the sum passes 1", document_version(30) > 29)
record.check("with an end marker it tends to 1", 0.99 < correct_version(30) < 1)


# %% name="ledger-sampling" tags=["ledger"]
def document_version(n):
    """002 §4.1: the conditionals describe how text is generated. Shares of n texts drawn word by word."""
    generator = torch.Generator().manual_seed(0)
    prefix = torch.zeros(n, 0, dtype=torch.long)
    for p in (joint_p.sum((1, 2))[None], joint_p.sum(2), joint_p.flatten(0, 1)):
        row = sum(prefix[:, i] * 4 ** (prefix.size(1) - 1 - i) for i in range(prefix.size(1)))
        weights = p[row] if prefix.size(1) else p.expand(n, 4)
        prefix = torch.cat([prefix, torch.multinomial(weights, 1, generator=generator)], dim=1)
    return torch.bincount(prefix @ torch.tensor([16, 4, 1]), minlength=64) / n


def correct_version(n):
    """What the joint says."""
    return joint_p.flatten()


gap = (document_version(20_000) - correct_version(20_000)).abs().max()
record.check("word by word gives the joint, each share to 0.01", bool(gap < 0.01))


# %% name="ledger-log" tags=["ledger"]
def document_version(log_q):
    """000 §4.2.1: the likelihood is Σ log P."""
    return log_q.sum()


def correct_version(log_q):
    """That is its logarithm; the likelihood is the product."""
    return log_q.exp().prod()


record.check("the sum is no probability: it is below 0", document_version(short) < 0)
record.check("the product is: 0.2 · 0.2", math.isclose(correct_version(short), 0.04, rel_tol=1e-5))


# %% name="ledger-maximise" tags=["ledger"]
def document_version(counts):
    """000 §4.2.1: maximise Σ log P by gradient ascent; what the model then believes."""
    logits = torch.zeros(4, dtype=torch.float64)
    for _ in range(4000):
        logits = logits + (counts / counts.sum() - torch.softmax(logits, dim=0))
    return torch.softmax(logits, dim=0)


def correct_version(counts):
    """The closed form: the share of each word."""
    return counts / counts.sum()


gap = (document_version(counts_of) - correct_version(counts_of)).abs().max()
record.check("maximising it gives the shares, to 0.001", bool(gap < 1e-3))


# %% name="ledger-length" tags=["ledger"]
def document_version(log_q):
    """000 §4.2.1: the sum over the sequence, the objective of a text. Here it is used as a score between texts."""
    return log_q.sum()


def correct_version(log_q):
    """The mean: the sum falls with every word, whatever the words are."""
    return log_q.mean()


record.check("by the sum, two poor words beat six good ones", document_version(short) > document_version(long))
record.check("by the mean they do not", correct_version(short) < correct_version(long))

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/04_mathematics/01_sequence_probability.ipynb), about 70 minutes, four
# questions:
#
# 1. the log-probability and the perplexity of a padded batch under a Markov chain;
# 2. likelihood, entropy and KL of a sample, with a word that was never seen;
# 3. mutual information at a distance;
# 4. numbers to derive: a perplexity, a floor, and what teacher forcing is.
#
# To go on: 4.2 turns words into vectors, 4.3 derives attention, which computes the conditionals of today's models.
