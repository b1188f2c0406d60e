# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 2.6 多模态融合 · Multimodal fusion
#
# 本节让一个模型同时看图和读句子，判断“这句话是否符合这张图”。这个任务只看图或只读句子都做不出来。
# 我们把两种信息在三个不同的地方合在一起：晚期融合、早期融合和交叉注意力，看哪一种会把颜色和形状张冠李戴，
# 并把词到图像区域的注意力画在图上。
#
# After this section you can say where words and pictures may meet in a model, prove what is lost when each is squeezed
# into one vector first, and read an attention map on a picture with due care.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import math
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lmlib import plots
from lmlib.attention import MultiHeadAttention, attention
from lmlib.course import ledger, record, session
from lmlib.data.world import make
from lmlib.data.world.pictures import Shape, draw
from lmlib.models.ngram import KneserNey
from lmlib.models.visual_bert import VisualBert, VisualBertConfig
from lmlib.training import set_seed

device = session.start(seed, device, profile)

# %% [markdown] name="question"
# ## 2.6.1 多模态融合 · Is this sentence true of this picture?
#
# The small world has pictures with captions. Here are three. You can say at once whether a caption fits. What do
# you have to do for it? You read a word, look for the thing, and check what it looks like. You go back and forth.

# %% name="world-pictures"
shown = make(0).pictures(3)
fig, axes = plots.figure("", "", "", width=7.6, height=2.7)
for ax, one in zip(axes, shown, strict=True):
    ax.imshow(one.pixels)
    ax.set_axis_off()
    words = one.caption.split()
    ax.set_title(" ".join(words[: len(words) // 2]) + "\n" + " ".join(words[len(words) // 2 :]), fontsize=8)
plots.show(
    fig,
    alt="Three small pictures with their captions: " + " ".join(one.caption for one in shown),
)

# %% [markdown] name="task-text"
# Our task: four things in a picture, all of different shape and colour, and a claim of the form "The *ball* is *red*".
# A false claim names the colour of **another** thing in the same picture. So nothing is gained by asking "is there a
# ball?" or "is there something red?". The two words must be looked up *together*. This is the **binding problem**
# (绑定问题): which colour belongs to which shape?

# %% name="task-code"
SHAPES = ["ball", "box", "tent", "moon", "star"]
COLOURS = ["red", "green", "blue", "yellow", "black"]
PLACES = [(8, 8), (24, 8), (8, 24), (24, 24)]  # one thing in each quarter of the picture
WORDS = ["[CLS]", "[PAD]", *SHAPES, *COLOURS]


def things(random):
    """Four things that differ in shape and in colour."""
    shapes, colours = random.sample(SHAPES, 4), random.sample(COLOURS, 4)
    places = [(x + random.randint(-1, 1), y + random.randint(-1, 1)) for x, y in PLACES]
    return [Shape(s, c, "large", *place) for s, c, place in zip(shapes, colours, places, strict=True)]


def claim(random, seen):
    """(shape, colour, whether it is true) about the things of a picture; even odds."""
    true, i = random.random() < 0.5, random.randrange(4)
    j = i if true else random.choice([k for k in range(4) if k != i])
    return seen[i].name, seen[j].colour, int(true)


# %% name="task-picture"
random = Random(1)
scene = things(random)
fig, (ax,) = plots.figure("True or false?", width=3.2, height=3.0)
ax.imshow(draw("white", tuple(scene)))
ax.set_axis_off()
plots.show(fig, alt="A picture with four things: " + ", ".join(f"a {t.colour} {t.name}" for t in scene) + ".")
for _ in range(4):
    shape, colour, true = claim(random, scene)
    print(f"The {shape} is {colour}: {bool(true)}")

# %% [markdown] name="balance-text"
# **Does it need both?** Two checks that could fail. For a reader without the picture every pair of words must be
# true about half of the time. For a viewer without the words the claim is a coin toss by construction.

# %% name="balance" tags=["nbval-check-output"]
random = Random(100)
claims = [claim(random, things(random)) for _ in range(20_000)]
share = {pair: [true for *names, true in claims if tuple(names) == pair] for pair in {(s, c) for s, c, _ in claims}}
record.check("all 25 pairs of words occur", len(share) == 25)
record.check("each is true in 40 to 60 % of the cases", all(0.4 < np.mean(true) < 0.6 for true in share.values()))

# %% [markdown] name="regions-text"
# ### 区域 · From pixels to regions
#
# Words are already tokens. A picture must become tokens, too. VL-BERT and VisualBERT use **regions** (区域): a detector
# finds things and hands over a vector for each. Ours cuts the picture into four quarters and learns to name what is in
# each. It learns from pixels only; it never sees a claim.
#
# | symbol | shape | what it is |
# | --- | --- | --- |
# | pixels | (B, R, 768) | R = 4 regions of 16 · 16 · 3 numbers |
# | features $F$ | (B, R, 10) | for each region: 5 probabilities of a shape, 5 of a colour |
# | words | (B, T) | T = 3: [CLS], the shape, the colour |


# %% name="data-code"
def examples(random, n):
    """n pictures with a claim: pixels (n, 4, 768), words (n, 3), truth (n), names (n, 4, 2)."""
    pixels, words, truth, names = [], [], [], []
    for _ in range(n):
        seen = things(random)
        shape, colour, true = claim(random, seen)
        pixels.append(draw("white", tuple(seen)))
        words.append([0, WORDS.index(shape), WORDS.index(colour)])
        truth.append(true)
        names.append([(SHAPES.index(t.name), COLOURS.index(t.colour)) for t in seen])
    image = torch.tensor(np.stack(pixels)).float().div(255).sub(0.5)  # (n, 32, 32, 3)
    regions = image.unfold(1, 16, 16).unfold(2, 16, 16).reshape(n, 4, 768)
    return [x.to(device) for x in (regions, torch.tensor(words), torch.tensor(truth), torch.tensor(names))]


n_train, n_steps = {"quick": (4000, 1000), "full": (30_000, 5000)}[profile]
pixels, words, truth, names = examples(Random(seed), n_train)
test_pixels, test_words, test_truth, test_names = examples(Random(1000 + seed), 500)

# %% name="detector"
set_seed(seed)
detector = nn.Sequential(nn.Linear(768, 64), nn.GELU(), nn.Linear(64, 10)).to(device)
optimizer = torch.optim.AdamW(detector.parameters(), lr=3e-3)
for step in range(150):
    batch = torch.arange(step * 64, step * 64 + 64, device=device) % n_train
    shape_scores, colour_scores = detector(pixels[batch]).split(5, dim=-1)  # (B, R, 5) each
    loss = F.cross_entropy(shape_scores.flatten(0, 1), names[batch, :, 0].flatten())
    loss = loss + F.cross_entropy(colour_scores.flatten(0, 1), names[batch, :, 1].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@torch.no_grad()
def features(pixels):
    """What the detector hands over: probabilities of shapes and of colours, (B, R, 10)."""
    return torch.cat([part.softmax(-1) for part in detector(pixels).split(5, dim=-1)], dim=-1)


seen, test_seen = features(pixels), features(test_pixels)

# %% name="detector-check"
named = torch.stack([part.argmax(-1) for part in test_seen.split(5, dim=-1)], dim=-1)  # (N, R, 2)
found = (named == test_names).float().mean((0, 1))
print(f"named rightly in new pictures: shapes {found[0]:.3f}, colours {found[1]:.3f}")
record.check("shape and colour of a region are named rightly in over 95 %", bool((found > 0.95).all()))

# %% [markdown] name="fusion-idea"
# ### 融合的位置 · Where the two may meet
#
# The features hold all that is needed. Now the question of this section: **where** do words and regions meet?
#
# | fusion | formula | who sees whom |
# | --- | --- | --- |
# | decision (决策融合) | $s = f(\bar F) + g(w)$ | nobody: two verdicts are added |
# | late (晚期融合) | $s = h([\bar F;\, w])$, $\bar F = \frac1R \sum_r F_r$ | one vector meets one vector |
# | early (早期融合) | $s = h(\mathrm{Encoder}([w_1 \dots w_T;\, F_1 \dots F_R]))$ | all see all |
# | cross (交叉注意力) | $s = h(\mathrm{Attention}(Q = w,\, K = V = F))$ | words look at regions |
#
# $s$ is the score, above 0 for true; $f, g, h$ are any functions; $F_r$ is the vector of region $r$; $w$ stands for the
# vectors of the words, joined in late fusion.
#
# Late fusion is cheap and practical: pictures can be stored as one vector each and searched (CLIP does this). But
# something is lost. Before you go on: *what does the mean over the regions forget?*

# %% name="pooling" tags=["nbval-check-output"]
exact = torch.zeros(2, 4, 10)  # features without any error, for two pictures
for r in range(4):
    exact[0, r, [r, 5 + r]] = 1  # shape r has colour r
    exact[1, r, [r, 5 + (r ^ 1)]] = 1  # colours 0 and 1 change places, and so do 2 and 3
print("regions of the two pictures equal:", torch.equal(exact[0], exact[1]))
print("means over the regions equal:     ", torch.equal(exact[0].mean(0), exact[1].mean(0)))
record.check("swapping the colours does not change the mean", torch.equal(exact[0].mean(0), exact[1].mean(0)))

# %% [markdown] name="pooling-lesson"
# There it is. The mean says: a ball, a box, something red, something green. **Which** is red, it does not say. Two
# pictures that differ exactly in what the claim is about have the same vector, so *every* function $h$ gives them the
# same answer, and is wrong for one of them.
#
# Adding two verdicts is worse still. Take two pictures $p, p'$ and two claims $w, w'$ with $w$ true of $p$ only, and
# $w'$ true of $p'$ only. For $s = f + g$
#
# $$s(p, w) + s(p', w') = s(p, w') + s(p', w)$$
#
# On the left are the two true pairs, on the right the two false ones. So the true ones cannot both score above zero
# while both false ones score below. It is the XOR problem.


# %% name="decision-check" tags=["nbval-check-output"]
f, g = torch.randn(2), torch.randn(2)  # any verdicts at all
s = f[:, None] + g[None, :]  # (picture, claim)
record.check("true and false pairs have equal sums", torch.allclose(s.trace(), s.flip(1).trace(), atol=1e-6))

# %% [markdown] name="models-text"
# ### 代码 · Four models, with the same inputs
#
# All get the same words and features, and end in one number: above 0 means true. First the two that pool.

# %% name="late-code"
C = 32


def network(n_in, n_out):
    """Two layers with 64 hidden numbers."""
    return nn.Sequential(nn.Linear(n_in, 64), nn.GELU(), nn.Linear(64, n_out))


class Late(nn.Module):
    """One vector of the picture, one of the words; `encoder` turns each region into `width` numbers before the mean."""

    def __init__(self, encoder, width=C):
        super().__init__()
        self.word, self.encoder = nn.Embedding(len(WORDS), C), encoder
        self.head = network(width + 2 * C, 1)

    def forward(self, words, regions):
        picture = self.encoder(regions).mean(1)  # (B, width)
        sentence = self.word(words[:, 1:]).flatten(1)  # (B, 2 C)
        return self.head(torch.cat([picture, sentence], dim=-1))[:, 0]


# %% [markdown] name="cross-text"
# **Cross-attention**, from section 2.2: queries from one side, keys and values from the other. The shape word looks
# for its region; what comes back is compared with the colour word.
#
# $$\alpha_{r} = \mathrm{softmax}_r\!\left(\frac{(w W_Q)(F_r W_K)^\top}{\sqrt{D}}\right),\qquad
# o = \sum_r \alpha_r\, F_r W_V$$
#
# Here $F_r$ (C) is the region after a linear layer from 10 to C = 32, $w$ (C) a word; $W_Q, W_K, W_V$ are (C, D), and
# with one head D = C. Biases and the output matrix are not written.


# %% name="cross-code"
class Cross(nn.Module):
    """Words look at regions; what the shape word finds is compared with the colour word."""

    def __init__(self):
        super().__init__()
        self.word, self.region = nn.Embedding(len(WORDS), C), nn.Linear(10, C)
        self.look, self.head = MultiHeadAttention(C, n_heads=1), network(2 * C, 1)

    def attend(self, words, regions):
        """What each word finds (B, 2, C), and the weights (B, 2, R)."""
        out, weights = self.look(self.word(words[:, 1:]), self.region(regions), return_weights=True)
        return out, weights[:, 0]

    def forward(self, words, regions):
        found, _ = self.attend(words, regions)
        return self.head(torch.cat([found[:, 0], self.word(words[:, 2])], dim=-1))[:, 0]


# %% [markdown] name="early-text"
# **Early fusion**: one sequence. `lmlib.models` has VisualBERT: an ordinary BERT encoder that reads [CLS], the words
# and then the regions, each with an embedding that says which kind it is. (Li et al. 2019.)


# %% name="early-code"
class Early(nn.Module):
    """A small VisualBERT with two classes, false and true."""

    def __init__(self):
        super().__init__()
        sizes = {"d_model": 64, "n_layers": 2, "n_heads": 4, "d_ff": 128, "max_positions": 8, "d_visual": 10}
        still = {"dropout": 0.0, "attention_dropout": 0.0}
        self.model = VisualBert(VisualBertConfig(len(WORDS), n_labels=2, **sizes, **still), "classification")
        for weights in self.model.parameters():  # BERT begins with 0.02, made for width 768; 1/√64 is 0.125
            weights.data *= 6 if weights.dim() > 1 else 1

    def forward(self, words, regions):
        logits = self.model(words, visual_embeds=regions).logits  # (B, 2)
        return logits[:, 1] - logits[:, 0]


# %% name="cross-check" tags=["nbval-check-output"]
untrained = Cross().to(device)
out, weights = untrained.attend(test_words[:5], test_seen[:5])
print("found", tuple(out.shape), "weights", tuple(weights.shape))
record.check(
    "each word shares out one unit over the regions", torch.allclose(weights.sum(-1), torch.ones_like(weights[..., 0]))
)
order = torch.tensor([2, 0, 3, 1])
moved, _ = untrained.attend(test_words[:5], test_seen[:5][:, order])
record.check("a set has no order: regions may come in any", torch.allclose(moved, out, atol=1e-6))

# %% [markdown] name="training-text"
# ### 实验 · Who can bind?
#
# Four models, the same data, the same number of steps; the learning rate is chosen for each kind of fusion. One of the
# four is late fusion with a **network for each region before the mean**, into a vector four times as wide. It could
# give each *pair* of shape and colour a direction of its own; there are 25 pairs. Guess first: which of the four will
# be at one half?


# %% name="training-code"
def right(model, words, regions, truth):
    """The share of claims that are judged rightly."""
    with torch.no_grad():
        return ((model.eval()(words, regions) > 0) == truth.bool()).float().mean().item()


def taught(model, steps=n_steps, rate=5e-3):
    """Train on the claims; accuracy on new pictures at ten moments."""
    model, curve = model.to(device), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        batch = torch.randint(0, n_train, (64,), generator=generator).to(device)
        scores = model.train()(words[batch], seen[batch])  # (B)
        loss = F.binary_cross_entropy_with_logits(scores, truth[batch].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % (steps // 10) == 0:
            curve.append(right(model, test_words, test_seen, test_truth))
    return curve


# %% name="training"
set_seed(seed)
models = {
    "late": Late(nn.Linear(10, C)),
    "late, network before the mean": Late(network(10, 128), 128),
    "cross-attention": Cross(),
    "early: VisualBERT": Early(),
}
rates = dict.fromkeys(models, 5e-3) | {"cross-attention": 1e-2, "early: VisualBERT": 2e-3}
curves = {name: taught(model, rate=rates[name]) for name, model in models.items()}

# %% name="training-plot"
fig, (ax,) = plots.figure("Claims judged rightly in new pictures", width=8.2, height=3.2)
steps = [(i + 1) * n_steps // 10 for i in range(10)]
plots.lines(ax, steps, curves, x_label="step", y_label="accuracy")
plots.level(ax, 0.5, "guessing", below=True)
ax.set_ylim(0.4, 1.03)
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plots.show(
    fig,
    alt="Accuracy against steps. Late fusion stays at one half. Cross-attention and early fusion rise to nearly 1. "
    "Late fusion with a network before the mean does not pass them.",
)

# %% name="training-check"
for name, curve in curves.items():
    record.metric(f"{name}: accuracy", curve[-1])
record.check("late fusion of pooled features guesses", curves["late"][-1] < 0.62)
net = curves["late, network before the mean"][-1]
record.check(
    "with a network before the mean it does not pass cross-attention", net < curves["cross-attention"][-1] + 0.01
)
record.check("cross-attention is right in over 90 %", curves["cross-attention"][-1] > 0.9)
record.check("early fusion is right in over 90 %", curves["early: VisualBERT"][-1] > 0.9)

# %% [markdown] name="attention-text"
# ### 词看哪里 · Words look at regions
#
# Now the picture to remember. For three claims the weights of the **shape word** are laid over the picture: the lower
# a weight is against the largest, the more its region is veiled. Before you read on: is the *named* shape clear or
# veiled?

# %% name="attention-plot"
cross = models["cross-attention"].eval()
with torch.no_grad():
    found, weights = cross.attend(test_words, test_seen)  # weights (N, 2, R)
    verdicts = cross(test_words, test_seen) > 0
fig, axes = plots.figure("", "", "", width=7.8, height=3.0)
for i, ax in enumerate(axes):
    image = test_pixels[i].cpu().view(2, 2, 3, 16, 16).permute(0, 3, 1, 4, 2).reshape(32, 32, 3) + 0.5
    ax.imshow(image.clamp(0, 1).numpy())
    for r in range(4):
        x, y, weight = 16 * (r % 2), 16 * (r // 2), float(weights[i, 0, r])
        veil = 0.8 * (1 - weight / float(weights[i, 0].max()))
        ax.add_patch(plots.matplotlib.patches.Rectangle((x - 0.5, y - 0.5), 16, 16, color="#777777", alpha=veil))
        ax.text(x + 0.5, y + 2.5, f"{weight:.2f}", fontsize=8, backgroundcolor="white")
    shape, colour = (WORDS[w] for w in test_words[i, 1:])
    ax.set_title(f"The {shape} is {colour}.\nmodel: {bool(verdicts[i])}, truth: {bool(test_truth[i])}", fontsize=9)
    ax.set_axis_off()
plots.show(
    fig,
    alt="Three pictures of four things. In each the quarter with the named shape stands out from the other three: it "
    "has nearly all of the weight or nearly none; where the weight is low the picture is veiled in grey.",
)

# %% [markdown] name="attention-check-text"
# Three pictures prove nothing. Over all test claims: how much weight does the shape word put on the region that
# shows this shape? By chance it would be a quarter.
#
# There are **two ways** to be right. *Look at the named thing*, and compare its colour. Or *look at all the others*:
# each colour comes once, so if the claimed colour is among them, the claim is false. Training may find either; try
# other seeds. Did you expect the second?

# %% name="attention-check"
target = (test_names[..., 0] + 2 == test_words[:, 1:2]).float()  # (N, R): 1 at the region of the named shape
on_target = (weights[:, 0] * target).sum(-1).mean().item()
way = "the named thing" if on_target > 0.25 else "all the others"
print(f"weight of the shape word on its own region: {on_target:.2f}; by chance: 0.25. It looks at {way}.")
record.metric("weight on the named region", on_target)
record.check("the word sets its own region apart from the others", abs(on_target - 0.25) > 0.15)

# %% [markdown] name="intervention-text"
# **Is it understood?** A map shows where a word looks, not what follows from it (section 2.2). So we *intervene*. In
# each picture with a false claim we exchange two colours: those of the named thing and of the thing that has the
# claimed colour. Now the claim is true. As a control we exchange the colours of the two things that the claim does not
# touch. A model that binds must change its verdict in the first case and keep it in the second, whichever way it looks.


# %% name="intervention"
def exchanged(regions, one, other):
    """The features with the colours of two regions exchanged; one, other (N, R) are 1 at a region each."""
    shape, colour = regions.split(5, dim=-1)  # (N, R, 5)
    one, other = one[..., None], other[..., None]
    change = (colour * other).sum(1, keepdim=True) - (colour * one).sum(1, keepdim=True)  # (N, 1, 5)
    return torch.cat([shape, colour + (one - other) * change], dim=-1)


false = test_truth == 0
claimed = (test_names[..., 1] + 2 + len(SHAPES) == test_words[:, 2:]).float()  # the region with the claimed colour
untouched = (1 - target - claimed).clamp(min=0)  # (N, R): for a false claim, two regions
first = untouched * (untouched.cumsum(1) == 1)
with torch.no_grad():
    bound = cross(test_words, exchanged(test_seen, target, claimed))[false] > 0
    control = cross(test_words, exchanged(test_seen, first, untouched - first))[false] > 0
for name, said in {"nothing": verdicts[false], "two others": control, "named and claimed": bound}.items():
    print(f"false claims, exchanged: {name:17}  called true in {said.float().mean():.2f}")
record.check("made true by the exchange, over 85 % are called true", bound.float().mean() > 0.85)
record.check("after the control under 15 %", control.float().mean() < 0.15)

# %% [markdown] name="blind-text"
# **And without the picture?** Give every claim the mean features of all pictures. A model that had found a trick in the
# words would still be right. This control belongs to every multimodal experiment: in a well-known set of questions
# about pictures, many can be answered from the words alone (Goyal et al. 2017).

# %% name="blind"
blank = seen.mean((0, 1)).expand_as(test_seen)
blind = {name: right(model, test_words, blank, test_truth) for name, model in models.items()}
print({name: round(share, 2) for name, share in blind.items()})
record.check("without the picture all guess: between 0.4 and 0.6", all(0.4 < share < 0.6 for share in blind.values()))

# %% [markdown] name="lesson"
# What to keep.
#
# - A task that needs both modalities must be *tested* for it: hide one, and look.
# - Two models that are equally right may look at opposite places. A map is a question; an intervention is an answer.
# - Pooling before the meeting forgets which property belongs to which thing. A learned encoder can save it into one
#   vector, as far as the vector has room and the data suffice.
# - Cross-attention and early fusion keep the regions apart until the words have said what they ask for. The price: the
#   picture must be read again for every sentence.

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# One document lists four core concepts, fusion among them. What it says at this heading was put to a test.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("02_core_concepts/06_multimodal_fusion")

# %% name="ledger-data"
XOR = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])  # (picture, claim): true where both are of one kind
told, new = (
    [w.lower() for t in make(0).stories(80, part) for s in t.sentences for w in s.words] for part in ("train", "test")
)
ids = {word: i for i, word in enumerate(sorted({*told, *new}))}
counts = {n: KneserNey([[ids[word] for word in told]], n, len(ids)) for n in (1, 4)}  # see no word before, see three


# %% name="ledger-more-modalities" tags=["ledger"]
def document_version(steps=200):
    """002 §2: bringing in another modality improves understanding. Brought in as a second verdict that is added."""
    picture, claim = torch.randn(2, requires_grad=True), torch.randn(2, requires_grad=True)
    return fitted(lambda: picture[:, None] + claim[None, :], [picture, claim], steps)


def correct_version(steps=200):
    """Brought in so that picture and claim can meet: their product."""
    picture, claim = torch.randn(2, requires_grad=True), torch.randn(2, requires_grad=True)
    return fitted(lambda: picture[:, None] * claim[None, :], [picture, claim], steps)


def fitted(scores, weights, steps):
    """The lowest loss on the four pairs after training."""
    optimizer = torch.optim.Adam(weights, lr=0.1)
    for _ in range(steps):
        loss = F.softplus(-XOR * scores()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


record.check("added verdicts learn nothing: the loss comes to ln 2", abs(document_version() - math.log(2)) < 1e-3)
record.check("where they meet, the task is learned", correct_version() < 0.1)


# %% name="ledger-dynamic" tags=["ledger"]
def document_version(query, key):
    """002 §2: attention chooses by the input what to look at. The same keys, another query."""
    return attention(query, key, key)[1]


def correct_version(query, key):
    """The softmax of the scaled products, by hand."""
    return torch.softmax(query @ key.mT / math.sqrt(8), dim=-1)


query, other, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8), torch.randn(1, 1, 5, 8)
same = torch.allclose(document_version(query, key), correct_version(query, key), atol=1e-6)
differ = not torch.allclose(document_version(query, key), document_version(other, key), atol=1e-2)
record.check("so it does: another query, other weights", same and differ)


# %% name="ledger-fluent" tags=["ledger"]
def document_version(model, n_words=300):
    """002 §2: each word takes account of those written before, which makes the text fluent. The likeliest next word."""
    written = [ids["."]]
    for _ in range(n_words):
        written.append(int(model.probabilities(written[-3:]).argmax()))
    return written


def correct_version(model, n_words=300):
    """How the word is chosen matters as well: drawn with its probability."""
    return model.sample(n_words, [ids["."]], torch.Generator().manual_seed(0))


def share(words, length, test):
    """The share of runs of so many words that pass a test."""
    runs = [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]
    return np.mean([test(runs, i) for i in range(len(runs))])


real = set(zip(*([ids[word] for word in new[k:]] for k in (0, 1)), strict=False))  # pairs of words of other stories
paired = {n: share(correct_version(model), 2, lambda runs, i: runs[i] in real) for n, model in counts.items()}
record.check("who sees the words before writes over twice as many real pairs", paired[4] > 2 * paired[1])
greedy, drawn = (share(version(counts[4]), 4, lambda runs, i: runs[i] not in runs[:i])
                 for version in (document_version, correct_version))  # fmt: skip
record.check("but the likeliest words go round in circles: most runs of four stood before", greedy < 0.5)
record.check("drawn words do not: nine in ten are new", drawn > 0.9)


# %% name="ledger-long-distance" tags=["ledger"]
def document_version(distance, window):
    """002 §2: long-distance dependencies are captured. The weight on the one fitting key, at any distance."""
    return fitting(distance, 1000)


def correct_version(distance, window):
    """Within the window that the model was built for; what lies outside was never read."""
    return fitting(distance, window)


def fitting(distance, window):
    """The weight on a fitting key so far back, when the last `window` positions are read."""
    keys = torch.zeros(1, 1, 1000, 8)
    keys[0, 0, 999 - distance] = 4.0
    weights = attention(torch.ones(1, 1, 1, 8), keys[:, :, -window:], keys[:, :, -window:])[1].flatten()
    return weights.max().item()


record.check("inside the window distance is no obstacle", correct_version(100, 128) > 0.9 < document_version(100, 128))
record.check("beyond it nothing is captured", correct_version(500, 128) < 0.01 < document_version(500, 128))

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/02_core_concepts/06_multimodal_fusion.ipynb), about 65 minutes, four
# questions:
#
# 1. late fusion: pooled vectors and the table of all similarities;
# 2. early fusion: one sequence out of two, with its mask and segments;
# 3. cross-attention from words to regions, with missing regions;
# 4. what each fusion costs, and what it forgets.
#
# To go on: section 6.8 builds a dialogue about pictures on these parts.
