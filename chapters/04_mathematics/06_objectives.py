# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 4.6 训练目标 · Objectives
#
# 本节把四种预训练目标（因果、掩码、去噪、对比）都写成似然，并在一个概率完全已知的小世界里逐条验证。
# 我们说清每个目标“以什么为条件”，检验文档里符号与方向的错误，并在真值已知处测量 InfoNCE 作为互信息下界何时饱和。
#
# After this section you can write each objective as a likelihood, say what it conditions on and what it can
# therefore not know, tell a loss from its negative, and say why a contrastive loss cannot see more than ln N of
# information.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import math

import numpy as np
import torch
import torch.nn.functional as F

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.pretraining import Causal, Denoising, SpecialTokens, info_nce

device = session.start(seed, device, profile)

# %% [markdown] name="question"
# ## 4.6.1 一个完全已知的世界 · A world in which every probability is known
#
# "The model learns to predict." To predict *what*, from *what*? The objectives differ in nothing else. To compare
# them we need a world whose probabilities we know. Let there be three-word sentences over the words *a*, *b*,
# *c*: 27 sentences, each with a probability that we draw once. Every conditional probability is then a sum and a
# quotient.

# %% name="world" tags=["nbval-check-output"]
world = torch.softmax(1.5 * torch.randn(27, dtype=torch.float64), dim=0).view(3, 3, 3)  # P(x1, x2, x3)
sentences = torch.cartesian_prod(*[torch.arange(3)] * 3)  # (27, 3)
P = world.flatten()  # of the sentences, in this order


def conditional(i, given):
    """P(x_i | the words at the places `given`) for each of the 27 sentences: (27,)."""
    hidden = [place for place in range(3) if place not in (i, *given)]
    both = world.sum(hidden, keepdim=True) if hidden else world  # to sum over no axis would sum over all
    known = both.sum(i, keepdim=True)
    return (both / known).expand(3, 3, 3).flatten()


record.check("the 27 probabilities sum to 1", math.isclose(P.sum().item(), 1.0))
ac = world[0, :, 2]  # sentences a?c
by_hand = (ac[1] / ac.sum()).item()
record.check(
    "P(b | a _ c) is P(abc) over the sum of a?c",
    math.isclose(conditional(1, [0, 2])[0 * 9 + 1 * 3 + 2].item(), by_hand),
)

# %% [markdown] name="likelihoods"
# ## 4.6.2 公式推导：似然与交叉熵 · From likelihood to cross-entropy
#
# Let a model give each text $x$ the probability $Q_\theta(x)$, and let the data follow $P$. **Maximum
# likelihood** asks for the $\theta$ that makes the data most probable. With logarithms, and per text, that is to
# *minimise*
#
# $$\mathcal L(\theta) = -\,\mathbb E_{x\sim P}\,\ln Q_\theta(x) \;=\; \underbrace{H(P)}_{\text{entropy}} +
# \underbrace{\mathrm{KL}(P\,\|\,Q_\theta)}_{\ge\, 0}.$$
#
# The left side is the **cross-entropy** (交叉熵). The equation is one line: add and subtract $\mathbb E\ln P(x)$
# ([section 4.1](01_sequence_probability.ipynb) does it slowly).
# The entropy does not depend on $\theta$. So the loss has a floor that no model goes below, and it reaches the
# floor exactly when $Q = P$.

# %% name="likelihoods-check" tags=["nbval-check-output"]
model = torch.softmax(torch.randn(27, dtype=torch.float64), dim=0)
cross_entropy = -(P * model.log()).sum()
entropy = -(P * P.log()).sum()
kl = (P * (P / model).log()).sum()
record.check("cross-entropy = entropy + KL", torch.allclose(cross_entropy, entropy + kl))
record.check("KL is above 0 for another distribution, and 0 for the same", kl > 0.1 and (P * (P / P).log()).sum() == 0)

# %% [markdown] name="gradient-text"
# What does a step of training do? For one prediction with logits $z$ (V) and $Q = \mathrm{softmax}(z)$, the loss
# of the right word $y$ is $-z_y + \ln\sum_j e^{z_j}$. Its derivative is
#
# $$\frac{\partial\mathcal L}{\partial z_j} = Q_j - [\,j = y\,].$$
#
# Each wrong word is pushed down in proportion to the probability it got; the right word is pushed up by what it lacks.

# %% name="gradient-check" tags=["nbval-check-output"]
z = torch.randn(6, dtype=torch.float64, requires_grad=True)
(gradient,) = torch.autograd.grad(F.cross_entropy(z[None], torch.tensor([2])), z)
record.check(
    "autograd gives Q − one-hot", torch.allclose(gradient, torch.softmax(z, 0) - F.one_hot(torch.tensor(2), 6))
)
record.check("the gradient sums to 0: what one wins, others lose", abs(gradient.sum().item()) < 1e-12)

# %% [markdown] name="direction-text"
# **Minimise or maximise?** The likelihood is to be maximised; the *negative* log-likelihood is to be minimised.
# Documents mix the two up, and the sign is all that separates learning from its opposite. We train the logits of
# all 27 sentences, once downhill and once uphill.


# %% name="direction"
def follow(sign, steps=60, rate=2.0):
    """The loss at each step of gradient descent (sign -1) or ascent (+1) on the logits of 27 sentences."""
    logits, losses = torch.zeros(27, dtype=torch.float64, requires_grad=True), []
    for _ in range(steps):
        loss = -(P * torch.log_softmax(logits, 0)).sum()
        (gradient,) = torch.autograd.grad(loss, logits)
        logits = (logits + sign * rate * gradient).detach().requires_grad_()
        losses.append(loss.item())
    return losses


ways = {"minimise −ln Q": follow(-1), "maximise −ln Q": follow(+1)}

# %% name="direction-plot"
fig, (ax,) = plots.figure("The same loss, with both signs", width=5.8)
plots.lines(ax, range(60), ways, x_label="step", y_label="−E ln Q(x) (nats)", markers=False)
plots.level(ax, math.log(27), "ln 27: all sentences alike")
plots.level(ax, entropy.item(), "entropy of the world", below=True)
ax.set_ylim(0, 8)
plots.show(
    fig,
    alt="Both curves start at ln 27. Minimised, the loss falls to the entropy of the world and stays. Maximised, it "
    "climbs without end.",
)

# %% name="direction-check"
record.check(
    "downhill: the loss ends within 0.1 nats above the entropy", 0 <= ways["minimise −ln Q"][-1] - entropy.item() < 0.1
)
record.check("uphill: it leaves the guess behind and keeps growing", ways["maximise −ln Q"][-1] > math.log(27) + 1)

# %% [markdown] name="causal"
# ## 4.6.3 因果语言模型 · Causal: the chain rule
#
# A model of whole sentences cannot have a logit for each. The chain rule (链式法则) cuts a sentence into words
# without any loss:
#
# $$\ln Q(x) = \sum_{t=1}^T \ln Q(x_t \mid x_{<t})$$
#
# That is the **causal** objective (CLM, 因果语言模型). It conditions on the left side only, and the sum *is* the
# log-likelihood of the text: so the model can write texts and score them, and its loss can be compared with that
# of other models of the same text.

# %% name="causal-check" tags=["nbval-check-output"]
chain = conditional(0, []).log() + conditional(1, [0]).log() + conditional(2, [0, 1]).log()
record.check("for all 27 sentences the sum is ln P(x), exactly", torch.allclose(chain, P.log()))
backwards = conditional(2, []).log() + conditional(1, [2]).log() + conditional(0, [1, 2]).log()
record.check("from right to left it is the same number: any order will do", torch.allclose(backwards, P.log()))
tokens = SpecialTokens(vocab_size=10, pad=0, start=1, end=2, mask=3)
batch = Causal(tokens)([[1, 5, 6, 7, 2], [1, 8, 2]])
print(batch["labels"].tolist())
record.check("lmlib's Causal: every token is a label, padding (−100) is not", (batch["labels"] >= 0).sum().item() == 8)

# %% [markdown] name="masked"
# ## 4.6.4 掩码语言模型 · Masked: what may be seen
#
# The **masked** objective (MLM, 掩码语言模型) hides a set $\mathcal M$ of places and asks for the hidden words, from
# both sides:
#
# $$\mathcal L_{\mathrm{MLM}} = -\,\mathbb E\Big[\sum_{i\in\mathcal M}\ln Q(x_i \mid x_{\setminus\mathcal M})\Big]$$
#
# Read the condition with care. It is $x_{\setminus\mathcal M}$, the text without *all* hidden words. Document 004
# (§4.2) writes $x_{\setminus i}$, the text without $x_i$: then the other hidden words would be seen. With one
# mask the two agree; with several they don't.
#
# We hide places 1 and 2 of the three and compute the best reachable loss under each reading.


# %% name="masked-check" tags=["nbval-check-output"]
def expected(log_probability):
    """−E ln of something that has a value for each sentence."""
    return -(P * log_probability).sum().item()


as_trained = expected(conditional(0, [2]).log() + conditional(1, [2]).log())  # sees the third word only
as_printed = expected(conditional(0, [1, 2]).log() + conditional(1, [0, 2]).log())  # sees the other hidden word too
together = expected((P / world.sum((0, 1)).repeat(9)).log())  # -E ln P(x1, x2 | x3): the pair at once
record.check("004's reading promises a lower loss than any model can reach", as_printed < together < as_trained)
gap = as_trained - together
mutual = sum(  # of the two hidden words, given the third
    (
        world[..., k]
        * (world[..., k] * world[..., k].sum() / (world[..., k].sum(1, keepdim=True) * world[..., k].sum(0))).log()
    ).sum()
    for k in range(3)
)
record.check(
    "what is lost is the mutual information of the hidden words", math.isclose(gap, mutual.item(), rel_tol=1e-9)
)

# %% [markdown] name="masked-lesson"
# The second check is worth a derivation. Given the visible words, the model predicts each hidden word *alone*, so
# its best guess at the pair is the product of two marginals. The distance (KL) from the true joint to the product
# of its marginals is by definition their mutual information. "New York" and "Los Angeles" fit into two masks; so
# do, for such a model, "New Angeles" and "Los York".

# %% name="two-cities" tags=["nbval-check-output"]
cities = torch.tensor([[0.5, 0.0], [0.0, 0.5]], dtype=torch.float64)  # (New, Los) × (York, Angeles)
product = cities.sum(1, keepdim=True) * cities.sum(0, keepdim=True)
print("the pair:            ", cities.tolist())
print("each mask by itself: ", product.tolist())
lost = (cities[cities > 0] * (cities / product)[cities > 0].log()).sum().item()
record.check("half of the probability goes to cities that do not exist", product[cities == 0].sum() == 0.5)
record.check("the loss of it is ln 2", math.isclose(lost, math.log(2)))

# %% [markdown] name="pseudo-text"
# Is the MLM loss at least a likelihood of the text, if we mask each place in turn and add up? That sum, $\sum_i
# \ln Q(x_i\mid x_{\setminus i})$, is called pseudo-log-likelihood. It is *not* $\ln Q(x)$: each word is predicted
# with help from all the others, so what two words share is counted twice. We compare the two sums, sentence by
# sentence.

# %% name="pseudo-plot"
pseudo = sum(conditional(i, [j for j in range(3) if j != i]).log() for i in range(3))
fig, (ax,) = plots.figure("27 sentences: two ways to add up", width=4.6, height=3.6)
ax.plot(P.log(), chain, linestyle="", marker="o", color=plots.COLOURS[0], label="causal: Σ ln P(x_t | x_<t)")
ax.plot(
    P.log(), pseudo, linestyle="", marker="s", color=plots.COLOURS[1], label="masked, one by one: Σ ln P(x_i | rest)"
)
ax.plot([-7, -1], [-7, -1], color="#555555", linewidth=0.9, linestyle=":")
ax.set(xlabel="ln P(x), the truth (nats)", ylabel="the sum (nats)")
ax.legend(fontsize=8)
plots.show(
    fig,
    alt="Sums against the true log-probability. The causal sums lie on the diagonal. The masked sums scatter far off, "
    "on both sides.",
)

# %% name="pseudo-check" tags=["nbval-check-output"]
record.check("the causal sum lies on the diagonal", torch.allclose(chain, P.log()))
record.check("the masked sum promises more than there is, on average", expected(pseudo) < entropy.item())
record.check("and as probabilities they do not sum to 1", abs(pseudo.exp().sum().item() - 1) > 0.1)

# %% [markdown] name="masked-lmlib-text"
# How the places are chosen, and why not all of them become a mask, is the subject of
# [section 3.4](../03_algorithms/04_pretraining_tasks.ipynb): there 15 % of the words are labels. The other 85 % teach
# nothing directly, whereas the causal objective learns from every place.

# %% [markdown] name="denoising"
# ## 4.6.5 去噪 · Denoising: from a damaged text to the whole one
#
# A denoising autoencoder (去噪自编码器) sees a damaged text $\tilde x$ and writes the whole one. Document 000 (§4.2.2)
# prints $-\sum_t\ln P(x_t\mid\tilde x)$. Taken literally, each word is guessed from $\tilde x$ alone, as under
# several masks. BART's decoder also sees the words that it has already written:
#
# $$\mathcal L_{\mathrm{DAE}} = -\,\mathbb E\Big[\sum_t \ln Q(x_t\mid x_{<t},\,\tilde x)\Big]
# = -\,\mathbb E\,\ln Q(x\mid\tilde x)$$
#
# By the chain rule that is the full conditional likelihood, and "New Angeles" is ruled out. In our world: damage
# the text by hiding the first two words.

# %% name="denoising-check" tags=["nbval-check-output"]
printed = expected(conditional(0, [2]).log() + conditional(1, [2]).log())  # third word: visible in the damaged text
decoder = expected(conditional(0, [2]).log() + conditional(1, [0, 2]).log())
record.check("with x_<t the sum is −E ln P(x | damaged)", math.isclose(decoder, together, rel_tol=1e-9))
record.check(
    "without it the loss stays higher, by the mutual information",
    math.isclose(printed - decoder, mutual.item(), rel_tol=1e-9),
)
noise = Denoising(tokens, noises=("text_infilling",), rate=0.4, generator=torch.Generator().manual_seed(seed))
batch = noise([[[4, 5, 6, 7, 8, 9, 4, 5, 6, 7]]])
print("damaged:", batch["input_ids"][0].tolist())
print("labels: ", batch["labels"][0].tolist())
record.check(
    "lmlib's Denoising: every word of the whole text is a label",
    batch["labels"][0].tolist() == [1, 4, 5, 6, 7, 8, 9, 4, 5, 6, 7, 2],
)

# %% [markdown] name="conditions-text"
# ### 一张图 · What each objective can know
#
# The lowest loss a perfect model can reach under each objective, per word that it has to guess, in our world. (A
# denoising model also writes the words that it sees; they cost a perfect model nothing and are not counted.) It
# says nothing about which objective is better: the questions differ.

# %% name="conditions-plot"
floors = {
    "no context": sum(expected(conditional(i, []).log()) for i in range(3)) / 3,
    "causal: words to the left": expected(chain) / 3,
    "masked: two of three hidden": np.mean(
        [expected(conditional(i, [j]).log()) for i in range(3) for j in range(3) if i != j]
    ),
    "denoising: two hidden, decoder": np.mean(
        [
            (expected(conditional(i, [k]).log()) + expected(conditional(j, [i, k]).log())) / 2
            for i, j, k in ((0, 1, 2), (0, 2, 1), (1, 2, 0))
        ]
    ),
    "masked: one of three hidden": expected(pseudo) / 3,
}
fig, (ax,) = plots.figure("The lowest reachable loss", width=6.4, height=2.6)
ax.barh(range(len(floors)), floors.values(), color="#9db8d9", edgecolor=plots.COLOURS[0])
ax.set_yticks(range(len(floors)), list(floors))
ax.invert_yaxis()
ax.axvline(math.log(3), color="#333333", linewidth=0.9, linestyle=":")
ax.set_xlabel("nats per guessed word (dotted: ln 3)")
plots.show(
    fig, alt="Five bars. No context is highest, just below ln 3; one mask with all other words visible is lowest."
)

# %% name="conditions-check"
record.check(
    "more context, lower floor",
    floors["no context"] > floors["masked: two of three hidden"] > floors["masked: one of three hidden"],
)
record.check(
    "the decoder's look back helps", floors["denoising: two hidden, decoder"] < floors["masked: two of three hidden"]
)
record.check(
    "causal lies between no context and all context",
    floors["no context"] > floors["causal: words to the left"] > floors["masked: one of three hidden"],
)

# %% [markdown] name="smoothing"
# ### 标签平滑 · Label smoothing: another target
#
# What if we do not want the model to be sure? **Label smoothing** mixes the one-hot target with a uniform one: $q
# = (1-\epsilon)\,\text{one-hot} + \epsilon/V$. The loss becomes $(1-\epsilon)(-\ln Q_y) +
# \epsilon\,\frac1V\sum_j(-\ln Q_j)$. As a cross-entropy it has its floor at $Q = q$: the best model says
# $1-\epsilon+\epsilon/V$ for the right word, and no more.

# %% name="smoothing-check" tags=["nbval-check-output"]
logits, eps = torch.randn(1, 5, dtype=torch.float64), 0.1
by_formula = (1 - eps) * F.cross_entropy(logits, torch.tensor([3])) - eps * torch.log_softmax(logits, 1).mean()
record.check(
    "torch's label_smoothing is this mixture",
    torch.allclose(F.cross_entropy(logits, torch.tensor([3]), label_smoothing=eps), by_formula),
)
target = torch.full((5,), eps / 5, dtype=torch.float64)
target[3] += 1 - eps
best = target.log()[None].requires_grad_()
(slope,) = torch.autograd.grad(F.cross_entropy(best, torch.tensor([3]), label_smoothing=eps), best)
record.check(
    "at Q = q the gradient is 0: the optimum is 0.92 sure, not 1",
    slope.abs().max() < 1e-12 and math.isclose(target[3], 0.92),
)

# %% [markdown] name="contrastive"
# ## 4.6.6 对比学习 · Contrastive: which one of N?
#
# The last objective predicts no word. It is given $x$ and N candidates, of which one, $x^+$, belongs to $x$ and
# the others were drawn at random; it must say which. With scores $s(x, y)$, the **InfoNCE** loss is the
# cross-entropy of that choice:
#
# $$\mathcal L_{\mathrm{CL}} = -\,\mathbb E\,\ln\frac{e^{s(x,x^+)}}{\sum_{j=1}^{N} e^{s(x,y_j)}},\qquad
# s(x,y) = \frac{f(x)\cdot f(y)}{\tau\,\|f(x)\|\,\|f(y)\|}$$
#
# So it *is* a likelihood: of the position of the right candidate. $\tau$ is the **temperature** (温度). In a batch
# of N pairs, the partners of the others serve as wrong candidates, and the N losses come from one (N, N) matrix.

# %% name="contrastive-check" tags=["nbval-check-output"]
anchors, positives = torch.randn(2, 4, 8, dtype=torch.float64).unbind()
losses = []
for i in range(4):
    scores = [F.cosine_similarity(anchors[i], y, dim=0) / 0.1 for y in positives]
    losses.append(-math.log(math.exp(scores[i]) / sum(math.exp(s) for s in scores)))
record.check(
    "lmlib's info_nce is this mean", math.isclose(info_nce(anchors, positives, temperature=0.1).item(), np.mean(losses))
)
alike = torch.ones(4, 8)
record.check(
    "a model that finds all alike pays ln N", math.isclose(info_nce(alike, alike).item(), math.log(4), rel_tol=1e-5)
)

# %% [markdown] name="sign"
# ### 方向 · The sign
#
# Document 000 (§4.2.3) says this loss is to be *maximised*. We let 12 pairs of points live on a circle, move
# freely, and follow the gradient in both directions. Before you look: where do the two points of a pair end up?


# %% name="sign-code"
def on_a_circle(sign, steps=400, rate=0.05, n=12):
    """Train the places of n pairs on the unit circle; the points (2, n, 2) and the mean cosine of the pairs by step."""
    points = torch.randn(2, n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    cosines = []
    for _ in range(steps):
        points = F.normalize(points, dim=-1).requires_grad_()
        cosines.append((points[0] * points[1]).sum(-1).mean().item())
        (gradient,) = torch.autograd.grad(info_nce(*points, temperature=0.2), points)
        points = (points + sign * rate * n * gradient).detach()
    return F.normalize(points, dim=-1), cosines


ends = {"minimised": on_a_circle(-1), "maximised, as 000 says": on_a_circle(+1)}

# %% name="sign-plot"
fig, axes = plots.figure(*ends, "mean cosine of a pair", width=9.0, height=3.1)
angle = np.linspace(0, 2 * math.pi, 100)
for ax, (points, _) in zip(axes[:2], ends.values(), strict=True):
    ax.plot(np.cos(angle), np.sin(angle), color="#cccccc", linewidth=0.8)
    for a, b in points.transpose(0, 1):
        ax.plot([a[0], b[0]], [a[1], b[1]], color="#999999", linewidth=0.9)
    for i, (marker, size) in enumerate((("o", 9), ("s", 4))):
        look = {"color": plots.COLOURS[i], "marker": marker, "markersize": size, "fillstyle": ("none", "full")[i]}
        ax.plot(points[i, :, 0], points[i, :, 1], linestyle="", **look)
    ax.set_aspect("equal")
    ax.grid(visible=False)
curves = {name.split(",")[0]: cosines for name, (_, cosines) in ends.items()}
plots.lines(axes[2], range(400), curves, x_label="step", y_label="cosine", markers=False)
axes[2].set_xlim(0, 60)
plots.show(
    fig,
    alt="Left: minimised, the two points of each pair lie together, and the pairs are spread over the circle. Middle: "
    "maximised, the two points of each pair lie at opposite ends of one line, and first and second points stand at "
    "both ends. Right: the mean cosine of a pair goes to 1, or to −1.",
)

# %% name="sign-check"
for name, (_, cosines) in ends.items():
    record.metric(f"{name}: mean cosine of a pair at the end", cosines[-1])
record.check("minimised: the pairs meet (mean cosine above 0.95)", ends["minimised"][1][-1] > 0.95)
record.check(
    "maximised: the pairs are pushed apart (mean cosine below −0.9)", ends["maximised, as 000 says"][1][-1] < -0.9
)
firsts = ends["maximised, as 000 says"][0][0]  # (12, 2)
record.check("and first points stand at both ends", (firsts @ firsts[0]).min() < -0.9)

# %% [markdown] name="temperature"
# ### 温度 · What the temperature does
#
# The gradient on a wrong candidate is its probability. So the temperature decides *which* wrong candidates count:
# at a low temperature only the nearest ones, at a high one all of them alike. Here are 16 candidates with cosines
# from −1 to 1.

# %% name="temperature-plot"
cosines = torch.linspace(-1, 1, 16, dtype=torch.float64)
fig, (ax,) = plots.figure("Share of the push that each wrong candidate gets", width=5.8)
shares = {f"τ = {tau}": torch.softmax(cosines / tau, 0) for tau in (0.05, 0.2, 1.0)}
plots.lines(ax, cosines, shares, x_label="cosine with the anchor", y_label="share of the gradient")
plots.show(
    fig,
    alt="At τ = 0.05 nearly all of the push goes to the nearest candidate; at 0.2 to the nearest few; at 1 it is "
    "spread.",
)

# %% name="temperature-check" tags=["nbval-check-output"]
record.check("τ = 0.05: the nearest of 16 takes over 0.9", shares["τ = 0.05"][-1] > 0.9)
record.check("τ = 1: it takes less than a quarter", shares["τ = 1.0"][-1] < 0.25)
flat = [info_nce(anchors, positives, temperature=t).item() for t in (100.0, 1000.0)]
record.check(
    "for a large τ the loss is ln N whatever the vectors are", all(abs(loss - math.log(4)) < 0.02 for loss in flat)
)

# %% [markdown] name="information"
# ## 4.6.7 InfoNCE 与互信息 · How much can it know?
#
# How good can the choice be? By Bayes, the right candidate among N has the posterior $\frac{r(x,x^+)}{\sum_j
# r(x,y_j)}$ with $r(x,y) = \frac{p(y\mid x)}{p(y)}$. So the best score is $s = \ln r$, up to a constant. (van den
# Oord et al. 2018.) From this follows a bound on the **mutual information** (互信息) of $x$ and its partner, for any
# score:
#
# $$I(X;Y)\;\ge\;\ln N - \mathcal L_{\mathrm{CL}}$$
#
# And since $\mathcal L_{\mathrm{CL}}\ge 0$, the right side never exceeds $\ln N$, however much there is to know.
# We check it where the truth is known: pairs of Gaussians, each of $d$ coordinates with correlation $\rho$, have
# $I = -\tfrac d2\ln(1-\rho^2)$, and $\ln r$ is a formula.


# %% name="information-code"
def bound(n, d, rho, draws):
    """Mean of ln N − InfoNCE over `draws` batches of n pairs of Gaussians, with the best possible score."""
    values = []
    for _ in range(draws):
        x, noise = torch.randn(2, n, d, dtype=torch.float64).unbind()
        y, v = rho * x + math.sqrt(1 - rho**2) * noise, 1 - rho**2
        log_ratio = -torch.cdist(rho * x, y).square() / (2 * v) + y.square().sum(1) / 2 - d / 2 * math.log(v)  # (N, N)
        values.append(math.log(n) - F.cross_entropy(log_ratio, torch.arange(n)).item())
    return float(np.mean(values))


SIZES = [2, 8, 32, 128, 512]
N_PAIRS = {"quick": 4096, "full": 100_000}[profile]
DIMENSIONS = (1, 4, 16)
truth = {d: -d / 2 * math.log(1 - 0.8**2) for d in DIMENSIONS}
bounds = {d: [bound(n, d, 0.8, max(4, N_PAIRS // n)) for n in SIZES] for d in DIMENSIONS}

# %% name="information-plot"
fig, (ax,) = plots.figure("The bound, with a perfect score", width=6.2, height=3.6)
plots.lines(
    ax,
    SIZES,
    {f"d = {d}": bounds[d] for d in DIMENSIONS},
    x_label="number of candidates N",
    y_label="ln N − loss (nats)",
)
ax.plot(SIZES, np.log(SIZES), color="#555555", linewidth=0.9, linestyle=":", label="ln N")
for d in DIMENSIONS:
    plots.level(ax, truth[d], f"true information, d = {d}")
ax.set_xscale("log", base=2)
ax.set_xticks(SIZES, [str(n) for n in SIZES])
ax.set_ylim(0, 9.2)
ax.legend(loc=(0.04, 0.5))
plots.show(
    fig,
    alt="Bound against number of candidates. For d = 1 and 4 the curves reach their true information. For d = 16 the "
    "curve clings to ln N, far below the truth of 8.2 nats.",
)

# %% name="information-check"
for d in DIMENSIONS:
    record.metric(f"d = {d}: bound at N = 512, of the true information", bounds[d][-1] / truth[d])
record.check(
    "every bound stays below ln N",
    all(b < math.log(n) for d in DIMENSIONS for b, n in zip(bounds[d], SIZES, strict=True)),
)
record.check(
    "and not above the truth, but for the noise of the draw (0.1)",
    all(b < truth[d] + 0.1 for d in DIMENSIONS for b in bounds[d]),
)
record.check("little information: nearly all of it is found", all(bounds[d][-1] > 0.85 * truth[d] for d in (1, 4)))
record.check("8.2 nats: 512 candidates see less than three quarters", bounds[16][-1] < 0.75 * truth[16])
record.check("with two candidates they see ln 2 and no more", math.log(2) - 0.05 < bounds[16][0] < math.log(2))

# %% [markdown] name="information-lesson"
# That is one reason why contrastive training wants large batches. To see 8.2 nats one needs at least $e^{8.2}$,
# thousands of candidates. And a perfect score at N = 2 tells that a model is better than chance, not how good it
# is. (Poole et al. 2019 discuss such bounds.)

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# 000 §4.2 and 004 §4.2 print objectives. Most formulas are nearly right; what is wrong is what one does with
# them, and what stands behind the bar. One sentence of 004 §4.2 stays untested: that masked words and next
# sentence together improve *generalisation*. RoBERTa left next sentence out and lost nothing (Liu et al. 2019);
# [section 3.4](../03_algorithms/04_pretraining_tasks.ipynb) shows how far counting shared words gets in that task.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("04_mathematics/06_objectives")

# %% name="ledger-data"
joint = torch.tensor([[0.4, 0.1], [0.1, 0.4]], dtype=torch.float64)  # P(x1, x2): two words that like to agree
first, second = joint.sum(1), joint.sum(0)  # P(x1), P(x2)


def step_along(loss, parameters, sign, steps=50, rate=0.5):
    """The parameters after some steps of gradient descent (-1) or ascent (+1) on a loss."""
    for _ in range(steps):
        parameters = parameters.detach().requires_grad_()
        parameters = parameters + sign * rate * torch.autograd.grad(loss(parameters), parameters)[0]
    return parameters.detach()


# %% [markdown] name="ledger-signs-text"
# ### 方向 · The signs


# %% name="ledger-contrastive-sign" tags=["ledger"]
def document_version(pairs):
    """000 §4.2.3: the contrastive loss is to be maximised."""
    return step_along(lambda p: info_nce(*p, temperature=0.5), pairs, sign=+1)


def correct_version(pairs):
    """It is to be minimised."""
    return step_along(lambda p: info_nce(*p, temperature=0.5), pairs, sign=-1)


pairs = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
before, up, down = (
    F.cosine_similarity(*p, dim=-1).mean() for p in (pairs, document_version(pairs), correct_version(pairs))
)
record.check("maximised: pairs are pushed apart", up < before - 0.2)
record.check("minimised: pairs come together", down > before + 0.2)


# %% name="ledger-masked-sign" tags=["ledger"]
def document_version(logits, word):
    """004 §4.2: L1, a negative log-likelihood, is printed where a maximum is asked for. Taken literally."""
    return step_along(lambda z: F.cross_entropy(z, word), logits, sign=+1)


def correct_version(logits, word):
    """It is minimised: that maximises the probability of the hidden word."""
    return step_along(lambda z: F.cross_entropy(z, word), logits, sign=-1)


word = torch.tensor([2])
ends = [torch.softmax(f(torch.zeros(1, 5), word), 1)[0, 2] for f in (document_version, correct_version)]
record.check("maximised: the right word ends below a guess", ends[0] < 0.05)
record.check("minimised: it is found", ends[1] > 0.9)


# %% name="ledger-causal-sign" tags=["ledger"]
def document_version(logits):
    """004 §4.2: so with L2, the causal loss, taken literally. Here a model of one word that follows P(x2)."""
    return step_along(lambda z: -(second * torch.log_softmax(z, 0)).sum(), logits, sign=+1)


def correct_version(logits):
    """Minimised, the model's probabilities become those of the data."""
    return step_along(lambda z: -(second * torch.log_softmax(z, 0)).sum(), logits, sign=-1)


start = torch.tensor([0.0, 1.0], dtype=torch.float64)
up, down = (torch.softmax(f(start), 0) for f in (document_version, correct_version))
record.check("maximised: away from the data", (up - second).abs().max() > 0.4)
record.check("minimised: to the data", torch.allclose(down, second, atol=1e-3))

# %% [markdown] name="ledger-conditions-text"
# ### 条件 · What stands behind the bar


# %% name="ledger-condition" tags=["ledger"]
def document_version():
    """004 §4.2: each masked word is predicted from all words but itself. The best loss, if both are masked."""
    return -(joint * ((joint / second).log() + (joint / first[:, None]).log())).sum()


def correct_version():
    """The other masked word is hidden as well: nothing is seen."""
    return -(joint * (first[:, None].log() + second.log())).sum()


record.check(
    "a model that sees two masks cannot beat 2 ln 2 here",
    torch.allclose(correct_version(), torch.tensor(2 * math.log(2)).double()),
)
record.check("004's condition promises over a quarter less", document_version() < 0.75 * 2 * math.log(2))


# %% name="ledger-decoder" tags=["ledger"]
def document_version():
    """000 §4.2.2: Σ ln P(x_t | damaged text), both words hidden: each is guessed alone."""
    return first[:, None] * second


def correct_version():
    """A decoder sees what it has written: P(x1 | damaged) P(x2 | x1, damaged)."""
    return first[:, None] * (joint / first[:, None])


record.check(
    "word by word from the damaged text: all pairs are equally likely",
    torch.allclose(document_version(), torch.full((2, 2), 0.25).double()),
)
record.check("with x_<t the pair has its true probability", torch.allclose(correct_version(), joint))


# %% name="ledger-length" tags=["ledger"]
def document_version(text):
    """000 §4.2.2: the damaged text has T words, as the text has."""
    return len(text)


def correct_version(text):
    """Not when spans are infilled or words deleted, as BART does."""
    special = SpecialTokens(vocab_size=60, pad=0, start=1, end=2, mask=3)
    noise = Denoising(special, noises=("text_infilling",), rate=0.5, generator=torch.Generator().manual_seed(0))
    return noise([[text]])["input_ids"].size(1) - 2  # without start and end


record.check("a text of 40 words has lost some", correct_version(list(range(10, 50))) < 40)
record.check("in the document's notation it cannot", document_version(list(range(10, 50))) == 40)

# %% [markdown] name="ledger-formulas-text"
# ### 公式 · The formulas


# %% name="ledger-chain" tags=["ledger"]
def document_version():
    """004 §4.2: Σ ln P(x_i | x_<i), for every text of two words."""
    return first.log()[:, None] + (joint / first[:, None]).log()


def correct_version():
    """The log-probability of the text."""
    return joint.log()


record.check("the causal sum is the log-likelihood", torch.allclose(document_version(), correct_version()))


# %% name="ledger-cross-entropy" tags=["ledger"]
def document_version(logits, words):
    """002 §4.2: the loss is the cross-entropy, here of one-hot targets."""
    return -(F.one_hot(words, 7) * torch.log_softmax(logits, 1)).sum(1).mean()


def correct_version(logits, words):
    """Minus the mean log-likelihood of the words."""
    return -torch.stack([(z.exp() / z.exp().sum())[w].log() for z, w in zip(logits, words, strict=True)]).mean()


logits, words = torch.randn(5, 7, dtype=torch.float64), torch.randint(7, (5,))
record.check(
    "cross-entropy is the negative log-likelihood",
    torch.allclose(document_version(logits, words), correct_version(logits, words)),
)


# %% name="ledger-choice" tags=["ledger"]
def document_version(anchor, positive, negatives):
    """000 §4.2.3: -ln of e^{f·f+} over e^{f·f+} plus the sum over the negatives."""
    right, wrong = (anchor @ positive).exp(), (negatives @ anchor).exp().sum()
    return -(right / (right + wrong)).log()


def correct_version(anchor, positive, negatives):
    """A classification among 1 + n candidates, by cross-entropy."""
    return F.cross_entropy((torch.cat([positive[None], negatives]) @ anchor)[None], torch.tensor([0]))


vectors = torch.randn(6, 4, dtype=torch.float64)
record.check(
    "the fraction is a choice among candidates",
    torch.allclose(
        document_version(vectors[0], vectors[1], vectors[2:]), correct_version(vectors[0], vectors[1], vectors[2:])
    ),
)


# %% name="ledger-bare-products" tags=["ledger"]
def document_version(anchors, positives):
    """000 §4.2.3: bare dot products."""
    return F.cross_entropy(anchors @ positives.T, torch.arange(len(anchors)))


def correct_version(anchors, positives):
    """Cosines over a temperature: only directions count, and the temperature sets the sharpness."""
    return info_nce(anchors, positives, temperature=0.1)


pairs = torch.eye(4, 8, dtype=torch.float64)
loss = [[f(n * pairs, n * pairs) for n in (1, 5)] for f in (document_version, correct_version)]
record.check(
    "with bare products longer vectors lower the loss, and no direction changes", loss[0][1] < 0.01 * loss[0][0]
)
record.check("with cosines the length does not matter", torch.allclose(loss[1][0], loss[1][1]))

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/04_mathematics/06_objectives.ipynb), about 70 minutes, four questions:
#
# 1. the masked loss: labels at some places only;
# 2. InfoNCE with a temperature and hard negatives;
# 3. the gradient of the cross-entropy, with label smoothing;
# 4. floors and bounds: three numbers and a choice.
#
# To go on: section 3.4 builds the batches of these objectives, section 3.6 trains with them.
