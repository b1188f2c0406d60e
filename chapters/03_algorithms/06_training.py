# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 3.6 训练 · Training
#
# 本节从十行代码的训练循环出发：数据、输入、前向计算、损失、更新。然后逐一关掉学习率预热、衰减、梯度裁剪、
# 梯度累积和混合精度，看看少了它们会怎样。最后在小世界的文本上搭一架“梯子”，测出每一种方法值多少。
#
# After this section you can write a training loop, say what each of its lines protects against, and read a loss curve:
# where it must begin, where it hangs, and what a fault looks like.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import inspect
import itertools
import math
import tempfile
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, AdamW
from torch.utils.flop_counter import FlopCounterMode

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.data import world
from lmlib.data.batching import Loader, Windows
from lmlib.decoding import Sampling, generate
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from lmlib.models.transformer import Transformer, TransformerConfig
from lmlib.positions import rotary_angles
from lmlib.text.characters import Characters
from lmlib.text.vocabulary import Vocabulary
from lmlib.training import TrainingConfig, checkpoints, load_checkpoint, set_seed, train
from lmlib.training.muon import orthogonalised
from lmlib.training.recipe import next_tokens
from lmlib.training.schedules import SCHEDULES, rate_at

device = session.start(seed, device, profile)

# %% [markdown] name="steps"
# ## 3.6.1 训练的四个步骤 · The four steps of training
#
# A new model is a function with random numbers in it. How do ten lines of code turn it into one that writes?
#
# The steps are always the same: **prepare the data** (数据预处理), **make the input** (输入构造), **compute forward**
# (前向计算), and **compute the loss and update** (损失计算与优化). We take the text of the small world, by characters.

# %% name="text"
SIZE = {
    "quick": {"n_chars": 200_000, "d_model": 48, "n_layers": 2, "length": 48, "batch": 8, "steps": 200, "rate": 1e-2},
    "full": {"n_chars": 2_000_000, "d_model": 256, "n_layers": 6, "length": 128, "batch": 64, "steps": 1500},
}[profile]
RATE = SIZE.get("rate", 2e-3)  # the higher, the smaller the model
texts = [text.text for text in world.make(0).corpus("train", "en", SIZE["n_chars"])]
characters = Characters.train(texts)
train_ids = torch.tensor(characters.encode("\n\n".join(texts)))  # (N,)
held_out = [text.text for text in world.make(0).corpus("test", "en", 30_000)]
test_ids = torch.tensor(characters.encode("\n\n".join(held_out)))
V, T = len(characters), SIZE["length"]
print(texts[0][:200])

# %% [markdown] name="data-text"
# Step 1, the data: characters become numbers, and the numbers one long row. A `Windows` object shows every stretch of
# T characters; a `Loader` draws them in a random order, the same for the same seed.


# %% name="data"
def batches(ids=train_ids, seed=seed):
    """Batches of random windows (B, T) without end."""
    return Loader(Windows(ids, T), SIZE["batch"], next_tokens, seed)


def new_model(kind=Gpt2, config=Gpt2Config, seed=seed, **changes):
    """A small GPT-2 with random weights, without dropout."""
    set_seed(seed)
    sizes = {"d_model": SIZE["d_model"], "n_layers": SIZE["n_layers"], "n_heads": 4, "max_positions": T}
    plain = {"dropout": 0.0, "residual_dropout": 0.0, "attention_dropout": 0.0, "tied": False, "eos_token_id": None}
    return kind(config(**{"vocab_size": V} | sizes | plain | changes), "language_model").to(device)


first_batch = next(batches())["input_ids"]
print(f"{len(train_ids)} characters to train on, {len(test_ids)} to test on, {V} different ones")
print(repr(characters.decode(first_batch[0].tolist())))

# %% [markdown] name="by-hand-text"
# And here is all of training. Read it line by line; the rest of this section is about these lines.


# %% name="by-hand"
def train_by_hand(model, optimizer, source, steps, clip=None):
    """Training in ten lines; the loss of each step."""
    losses = []
    for batch in itertools.islice(source, steps):
        ids = batch["input_ids"].to(device)  # (B, T)
        logits = model(ids).logits  # (B, T, V): a score for every character that may come next
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()  # the derivative of the loss by every weight
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()  # move the weights against it
        optimizer.zero_grad()  # else the next derivatives would be added to these
        losses.append(loss.item())
    return losses


model = new_model()
losses = train_by_hand(model, AdamW(model.parameters(), lr=3e-3), batches(), SIZE["steps"])

# %% name="by-hand-plot"
p = torch.bincount(train_ids, minlength=V) / len(train_ids)
unigram = -(p[p > 0] * p[p > 0].log()).sum().item()  # the best that one can do without looking at the text before
fig, (ax,) = plots.figure("A loss curve, and the three places to know on it", width=6.4, height=3.3)
plots.lines(
    ax,
    *plots.stretches(losses, 100)[:1],
    {"loss": plots.stretches(losses, 100)[1]},
    x_label="step",
    y_label="loss (nats per character)",
    markers=False,
)
plots.level(ax, math.log(V), "ln V: every character is equally likely", below=True)
plots.level(ax, unigram, "knows how frequent each character is, nothing else")
ax.set_ylim(2.0, 4.3)
plots.show(
    fig,
    alt="The loss begins at ln V, falls steeply through the level of character frequencies, bends a little below it, "
    "and goes on falling, slowly.",
)

# %% [markdown] name="by-hand-lesson"
# The curve has three places. It **begins at ln V**: a model that knows nothing gives each of V characters the same
# probability. It falls fast to the level of **mere frequencies**, where a model writes *e* and spaces because they are
# common, and a little below. Then it must **look at the text**, and learns slowly. A run that hangs on the second level
# has learned nothing about language yet; 3.6.6 shows one.

# %% name="by-hand-check" tags=["nbval-check-output"]
record.metric("loss at the first step", losses[0], "nats")
record.metric("loss over the last 20 steps", np.mean(losses[-20:]), "nats")
record.check("the first loss is within 0.15 of ln V", abs(losses[0] - math.log(V)) < 0.15)
record.check("after training it is below the level of mere frequencies, by 0.4", np.mean(losses[-20:]) < unigram - 0.4)

# %% [markdown] name="inputs"
# ## 3.6.2 模型输入构造 · Making the input
#
# A sentence gets a mark at its beginning, [BOS], and one at its end, [EOS]. What is the input, and what is the label?
# The label of a place is **the token after it**. So the input lacks the last token, and the labels lack the first:
#
# $$\text{input} = (x_0, \dots, x_{T-1}),\qquad \text{labels} = (x_1, \dots, x_T)$$
#
# For a text alone, [BOS] is never a label: it gives the first word something to follow. [EOS] is never an input: it
# must be *predicted*, else a text would never end. (Where texts are packed into one row, as in section 3.7, one mark
# does both: it ends a text, and the next one begins after it.)

# %% name="inputs-table" tags=["nbval-check-output"]
tokens = ["[BOS]", *["the", "old", "sailor", "told", "a", "story"], "[EOS]"]
inputs, labels = tokens[:-1], tokens[1:]
print("place   input     may look at          label")
for place, (given, label) in enumerate(zip(inputs, labels, strict=True)):
    print(f"{place:5}   {given:8}  places {'0' if place == 0 else f'0 to {place}':13}  {label}")

# %% [markdown] name="inputs-positions-text"
# Two more things belong to the input. **Positions** 0 to T−1 say where a token stands (section 4.4). And the
# **triangular mask** hides the later places ([section 2.2](../02_core_concepts/02_attention.ipynb)). The mask makes
# it fair to train on all places at once: place *t* cannot see its own label, which stands in the input at *t* + 1.

# %% name="inputs-mask-check" tags=["nbval-check-output"]
ids = first_batch.to(device)
changed = ids.clone()
changed[:, 20:] = (changed[:, 20:] + 1) % V
with torch.no_grad():
    before, after = model(ids).logits, model(changed).logits
record.check(
    "with other characters from place 20 on, the logits before it stay", torch.equal(before[:, :20], after[:, :20])
)
record.check("those after them do not", not torch.allclose(before[:, 20:], after[:, 20:], atol=1e-2))

# %% [markdown] name="leak-text"
# **What a leak looks like.** Forget to move the labels by one, so that each place must give back its own character.
# The model is delighted: it copies. Watch for a loss that falls too fast and too far.


# %% name="leak"
def first_losses(shift, steps=60):
    """Losses with labels that are moved by `shift` places: 1 is right, 0 is a leak."""
    model = new_model()
    optimizer = AdamW(model.parameters(), lr=RATE)
    losses = []
    for batch in itertools.islice(batches(), steps):
        ids = batch["input_ids"].to(device)
        logits = model(ids).logits[:, : T - shift]
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, shift:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


right, leak = first_losses(1), first_losses(0)
print(f"after 60 steps: labels moved by one {right[-1]:.2f}, labels not moved {leak[-1]:.2f} nats")
record.check("with the leak the loss is below 0.5 after 60 steps", leak[-1] < 0.5)
record.check("without it, it is above 2", right[-1] > 2)

# %% [markdown] name="forward"
# ## 3.6.3 前向计算 · The forward pass
#
# What does `model(ids)` do? Each line is a part that other sections build; here we only follow the shapes.

# %% name="forward-shapes" tags=["nbval-check-output"]
with torch.no_grad():
    x = model.word(ids) + model.position(torch.arange(T, device=device))  # embeddings of tokens and places
    states = model.decoder(x, causal=True).output  # all blocks, each reads what is to its left
    logits = model.output(states)
    probabilities = logits.softmax(-1)
for name, tensor in (("ids", ids), ("embedded", x), ("states", states), ("logits", logits)):
    print(f"{name:9} {tuple(tensor.shape)}")
record.check("line by line is the same as model(ids)", torch.allclose(logits, model(ids).logits, atol=1e-5))
record.check(
    "every place has a distribution: its V probabilities sum to 1",
    torch.allclose(probabilities.sum(-1), torch.ones_like(ids, dtype=torch.float32), atol=1e-5),
)

# %% [markdown] name="forward-lesson"
# There is no encoder here. Document 004 describes training with an encoder *and* a decoder, as for translation. GPT
# and its kin have the decoder alone: what is read and what is written is one text.

# %% [markdown] name="loss"
# ## 3.6.4 损失计算与优化 · Loss and update
#
# The loss is the **cross-entropy** (交叉熵): how surprised the model was by the token that came.
#
# $$\mathcal{L} = -\frac{1}{T-1}\sum_{t=1}^{T-1} \log p_\theta(x_t \mid x_{<t})$$
#
# (Here T counts all tokens $x_0, \dots, x_{T-1}$ of a row, as in the code; the first of them is no label, so T − 1 are
# left.)
#
# An untrained model should be surprised by ln V, no more and no less. More means that it is *sure of something*,
# before it has seen anything. When does that happen? Draw the weights larger and larger.

# %% name="first-loss"
spreads = [0.005, 0.02, 0.08, 0.32, 1.28]
starts = []
for spread in spreads:
    with torch.no_grad():
        starts.append(new_model(initializer_std=spread)(ids, labels=ids).loss.item())
fig, (ax,) = plots.figure("Large random weights: sure of itself, and wrong", width=5.4, height=3.0)
plots.lines(ax, spreads, {"first loss": starts}, x_label="standard deviation of the new weights", y_label="loss (nats)")
plots.level(ax, math.log(V), "ln V")
ax.set_xscale("log")
ax.set_yscale("log")
ax.set_xticks(spreads, [str(spread) for spread in spreads])
ax.minorticks_off()
ax.set_yticks([4, 8, 16], ["4", "8", "16"])
plots.show(
    fig,
    alt="First loss against the standard deviation of the weights, logarithmic: flat at ln V up to 0.08, then rising "
    "steeply to several times ln V.",
)
record.check("up to 0.08 the first loss is ln V within 0.25", all(abs(s - math.log(V)) < 0.25 for s in starts[:3]))
record.check("at 1.28 it is more than twice ln V", starts[-1] > 2 * math.log(V))

# %% [markdown] name="gradient-text"
# The update needs the **gradient** (梯度): for each weight, how much the loss grows when the weight grows. `backward`
# computes all of them in one sweep, by the chain rule from the loss back to the input (反向传播). Is it right? Move
# one weight by a little, and look at the loss itself.

# %% name="gradient-check" tags=["nbval-check-output"]
exact = new_model().double()
loss = exact(ids[:2], labels=ids[:2]).loss
loss.backward()
weight = exact.decoder.blocks[0].feed_forward.inner.weight
for row, column in ((0, 0), (5, 7), (20, 3)):
    with torch.no_grad():
        weight[row, column] += 1e-5
        above = exact(ids[:2], labels=ids[:2]).loss
        weight[row, column] -= 2e-5
        below = exact(ids[:2], labels=ids[:2]).loss
        weight[row, column] += 1e-5
    measured = ((above - below) / 2e-5).item()
    same = math.isclose(measured, weight.grad[row, column].item(), rel_tol=1e-4, abs_tol=1e-10)
    record.check(f"weight ({row}, {column}): backward agrees with moving it by hand", same)

# %% [markdown] name="descent-text"
# **Gradient descent** moves every weight against its derivative: $\theta \leftarrow \theta - \eta\, g$, with the
# learning rate $\eta$ (学习率). For a small step the loss falls by $\eta\,\lVert g\rVert^2$, which we can check too.

# %% name="descent-check" tags=["nbval-check-output"]
rate = 1e-4
gradients = [p.grad for p in exact.parameters()]
predicted = rate * sum((g**2).sum() for g in gradients).item()
with torch.no_grad():
    for p, g in zip(exact.parameters(), gradients, strict=True):
        p -= rate * g
    fallen = (loss - exact(ids[:2], labels=ids[:2]).loss).item()
record.check("one small step lowers the loss by η·‖g‖², within 1 %", abs(fallen / predicted - 1) < 0.01)

# %% [markdown] name="optimisers"
# ## 3.6.5 优化器 · SGD and AdamW
#
# One learning rate for all weights is a poor deal. The embedding of *the* gets a gradient at nearly every step, that
# of a rare word once in a hundred. **Adam** (Kingma & Ba 2015) therefore gives each weight a step of its own. It
# keeps two running means, of the gradient and of its square, and divides:
#
# $$m \leftarrow \beta_1 m + (1-\beta_1) g,\quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,\quad
# \theta \leftarrow \theta - \eta\,\frac{m/(1-\beta_1^k)}{\sqrt{v/(1-\beta_2^k)} + \epsilon}$$
#
# The divisors $1-\beta^k$ at step $k = 1, 2, \dots$ undo that both means start at 0. **AdamW** (Loshchilov & Hutter
# 2019) first shrinks the weight itself: $\theta \leftarrow (1 - \eta\lambda)\,\theta$.


# %% name="adamw"
def adamw_step(weight, gradient, state, rate, betas=(0.9, 0.999), eps=1e-8, decay=0.01):
    """Move a weight by one step of AdamW; the state holds step, mean and square."""
    state["step"] += 1
    state["mean"] = betas[0] * state["mean"] + (1 - betas[0]) * gradient
    state["square"] = betas[1] * state["square"] + (1 - betas[1]) * gradient**2
    mean = state["mean"] / (1 - betas[0] ** state["step"])
    square = state["square"] / (1 - betas[1] ** state["step"])
    return weight * (1 - rate * decay) - rate * mean / (square.sqrt() + eps)


# %% name="adamw-check" tags=["nbval-check-output"]
ours, theirs = torch.ones(6), nn.Parameter(torch.ones(6))
state, peer = {"step": 0, "mean": torch.zeros(6), "square": torch.zeros(6)}, AdamW([theirs], lr=0.1)
moves = []
for _ in range(5):
    gradient = torch.randn(6) * torch.tensor([1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0])
    before, theirs.grad = ours, gradient
    ours = adamw_step(ours, gradient, state, rate=0.1)
    peer.step()
    moves.append((ours - 0.999 * before).abs())  # without the decay of 0.1 · 0.01
record.check("from scratch equals torch.optim.AdamW", torch.allclose(ours, theirs.detach(), atol=1e-6))
print("first step of six weights, gradients from 0.001 to 100:", [round(m, 3) for m in moves[0].tolist()])
record.check(
    "the first step is the learning rate, however large the gradient",
    torch.allclose(moves[0], torch.tensor(0.1), atol=1e-4),
)

# %% [markdown] name="adamw-lesson"
# So Adam's step does not depend on the *size* of a gradient, only on how steady it is. That is what rare words need.
# To see it, we train on **words** instead of characters, and split the loss by how frequent the predicted word is.

# %% name="words"
N_WORDS = {"quick": 1000, "full": 2500}[profile]
corpus = world.make(0).corpus("train", "en", 2 * SIZE["n_chars"])
sentences = [[word.lower() for word in sentence.words] for text in corpus for sentence in text.sentences]
known = {word: i + 1 for i, word in enumerate(Vocabulary.from_sentences(sentences).words[:N_WORDS])}  # 0: unknown
word_ids = torch.tensor([known.get(word, 0) for sentence in sentences for word in sentence])
tests = [sentence for text in world.make(0).corpus("test", "en", 60_000) for sentence in text.sentences]
word_tests = torch.tensor([known.get(word.lower(), 0) for sentence in tests for word in sentence.words])
word_tests = word_tests[: len(word_tests) // 24 * 24].view(-1, 24)
by_frequency = torch.bincount(word_ids, minlength=N_WORDS + 1).argsort(descending=True)
RANK = torch.empty_like(by_frequency).scatter_(0, by_frequency, torch.arange(N_WORDS + 1))[word_tests[:, 1:]]
GROUPS = {"the 10 most frequent": (0, 10), "ranks 11 to 100": (10, 100), "all others": (100, N_WORDS + 1)}


# %% name="words-training"
def word_losses(optimizer, steps=SIZE["steps"], **options):
    """Loss on new text by the frequency of the word that is predicted, after training on words."""
    model = new_model(d_model=32, n_layers=1, n_heads=2, max_positions=24, vocab_size=N_WORDS + 1)
    loader = Loader(Windows(word_ids, 24), 16, next_tokens, seed)
    train_by_hand(model, optimizer(model.parameters(), **options), loader, steps)
    with torch.no_grad():
        logits = model(word_tests.to(device)).logits[:, :-1].cpu()
    each = F.cross_entropy(logits.flatten(0, 1), word_tests[:, 1:].flatten(), reduction="none").view(RANK.shape)
    return {name: each[(low <= RANK) & (high > RANK)].mean().item() for name, (low, high) in GROUPS.items()}


by_optimizer = {
    "SGD with momentum, rate 0.3": word_losses(SGD, lr=0.3, momentum=0.9),
    "AdamW, rate 0.003": word_losses(AdamW, lr=3e-3),
}
too_fast = word_losses(SGD, steps=SIZE["steps"] // 4, lr=1.0, momentum=0.9)
record.check("SGD with rate 1: the loss is NaN", all(math.isnan(loss) for loss in too_fast.values()))

# %% [markdown] name="words-plot-text"
# A higher rate does not help SGD without limit: at 1 the run breaks, and the loss becomes NaN.

# %% name="words-plot"
fig, (ax,) = plots.figure("SGD learns the frequent words. The rare ones wait.", width=6.4, height=3.2)
curves = {name: list(groups.values()) for name, groups in by_optimizer.items()}
plots.lines(ax, range(3), curves, x_label="the word that is predicted", y_label="loss (nats per word)")
ax.set_xticks(range(3), list(GROUPS))
ax.set_xlim(-0.3, 2.3)
plots.show(
    fig,
    alt="Loss for three groups of words. On the ten most frequent words SGD and AdamW are close. On ranks 11 to 100 "
    "and on all others SGD is worse, by half a nat or more.",
)

# %% name="words-check"
sgd, adam = by_optimizer["SGD with momentum, rate 0.3"], by_optimizer["AdamW, rate 0.003"]
gaps = {name: sgd[name] - adam[name] for name in GROUPS}
for name, gap in gaps.items():
    record.metric(f"SGD minus AdamW, {name}", gap, "nats")
    print(f"{name}: SGD is behind by {gap:+.2f} nats")
record.check("on the most frequent words SGD is less than 0.35 behind", gaps["the 10 most frequent"] < 0.35)
record.check("on the rare ones it is more than 0.35 behind", gaps["all others"] > 0.35)

# %% [markdown] name="words-lesson"
# Language has many rare words and few frequent ones. So a Transformer is trained with Adam or something like it.
# (Kunstner et al. 2024 trace the gap to exactly this: heavy tails of the classes.)
#
# **Which weights decay?** `lmlib` decays the matrices that multiply. Not biases and gains, for 0 is not their simplest
# value, and not embeddings: a rare word's row would shrink at each step and be trained once in a hundred.

# %% [markdown] name="rate"
# ## 3.6.6 学习率 · Learning rate: warm-up and schedule
#
# The learning rate is the first number to get right. Too low, and the budget runs out on the way. Too high, and the
# run hangs or breaks. It also should change during the run: rise at the beginning (**warm-up**, 预热), because Adam's
# running means are made of one or two noisy gradients there while its steps have full size; and fall at the end
# (衰减), because long steps jump around the minimum. `lmlib.training.schedules` has five shapes. The most usual is half
# a wave of a **cosine**. With $t$ from 0 at the end of the warm-up to 1 at the end of the run, and a share $f$ that is
# left at the end (here 0), it is
#
# $$f + (1 - f)\,\frac{1 + \cos \pi t}{2}$$

# %% name="schedules"
fig, (ax,) = plots.figure("Share of the highest learning rate", width=6.4, height=2.9)
points = np.arange(200)
shapes = {name: [rate_at(int(s), name, 200, warmup_steps=20) for s in points] for name in SCHEDULES}
plots.lines(ax, points, shapes, x_label="step of 200, 20 of them warm-up", y_label="share", markers=False)
ax.legend(loc="lower left", bbox_to_anchor=(0.09, 0.0))
plots.show(
    fig,
    alt="Five schedules. All rise in a straight line over 20 steps. Constant stays at 1; linear and cosine fall to 0; "
    "warmup_stable_decay stays at 1 and falls over the last fifth; inverse square root falls slowly.",
)
record.check("the first step has 1/21 of the rate, not 0: no step is wasted", math.isclose(shapes["cosine"][0], 1 / 21))
record.check("the first step after warm-up has all of it", all(shape[20] == 1 for shape in shapes.values()))
wave = [(1 + math.cos(math.pi * (step - 20) / 180)) / 2 for step in range(20, 200)]
record.check("from there on the cosine is the formula", np.allclose(shapes["cosine"][20:], wave))

# %% [markdown] name="rate-text"
# **Warm-up switched off.** From here on `lmlib.training.train` does the work: the same loop, with all the switches of
# `TrainingConfig`. We train at four rates, with warm-up over 40 % of the steps and without, and look at the loss on
# text that was held out.


# %% name="rate-training"
@torch.no_grad()
def held_out_loss(model, n=200):
    """Mean loss (nats per character) over windows of the test text."""
    rows = test_ids[: min(n, len(test_ids) // T) * T].view(-1, T).to(device)
    return model(rows, labels=rows).loss.item()


PLAIN = TrainingConfig(SIZE["steps"], RATE, schedule="constant", clip=None, device=str(device), seed=seed)
short = replace(PLAIN, steps=SIZE["steps"] // 2, schedule="linear")
rates = [RATE * factor for factor in (0.1, 0.3, 1, 10)]
by_warmup = {}
for name, share in (("without warm-up", 0.0), ("with warm-up", 0.4)):
    by_warmup[name] = []
    for rate in rates:
        config = replace(short, steps=SIZE["steps"] * 2 // 5, learning_rate=rate)
        config = replace(config, warmup_steps=int(share * config.steps))
        model = new_model()
        train(model, batches(), config)
        by_warmup[name].append(held_out_loss(model))

# %% name="rate-plot"
fig, (ax,) = plots.figure("The learning rate has a best place; warm-up widens it", width=5.8, height=3.1)
curves = by_warmup | {"mere frequencies": [unigram] * len(rates)}
plots.lines(ax, rates, curves, x_label="highest learning rate", y_label="held-out loss (nats)")
ax.set_xscale("log")
ax.legend(loc="lower right")
plots.show(
    fig,
    alt="Held-out loss against learning rate on a logarithmic axis. Both curves are lowest in the middle. At the "
    "highest rate the run without warm-up ends at the level of mere frequencies, far above the one with it.",
)

# %% name="rate-check"
without, with_warmup = by_warmup["without warm-up"], by_warmup["with warm-up"]
record.check(
    "neither the lowest nor the highest rate is best", min(with_warmup) not in (with_warmup[0], with_warmup[-1])
)
record.check("at the highest rate warm-up is worth more than 0.1 nats", without[-1] - with_warmup[-1] > 0.1)

# %% [markdown] name="clipping"
# ## 3.6.7 梯度裁剪 · Clipping: one bad batch
#
# Real corpora hold strange things: a page of the same character, a table of digits. One such batch gives a gradient
# many times longer than usual. **Clipping** (梯度裁剪) shortens the whole gradient to a largest norm $c$ and keeps
# its direction: $g \leftarrow g \cdot \min(1,\ c/\lVert g\rVert)$.
#
# We put one batch of nothing but the rarest character into the middle of a run.


# %% name="clipping-training"
STRANGE, N_STEPS = 80, 140


def with_a_strange_batch(seed):
    """Batches of text, and one of the rarest character alone."""
    rarest = torch.bincount(train_ids, minlength=V).float().masked_fill_(torch.arange(V) < 2, math.inf).argmin()
    for step, batch in enumerate(batches(seed=seed)):
        yield {"input_ids": torch.full_like(batch["input_ids"], int(rarest))} if step == STRANGE else batch


def run_past_it(optimizer, clip, **options):
    model = new_model(d_model=32, n_layers=1)
    return train_by_hand(model, optimizer(model.parameters(), **options), with_a_strange_batch(seed), N_STEPS, clip)


past = {
    "SGD": run_past_it(SGD, None, lr=0.3, momentum=0.9),
    "SGD, clipped at 1": run_past_it(SGD, 1.0, lr=0.3, momentum=0.9),
    "AdamW": run_past_it(AdamW, None, lr=3e-3, betas=(0.9, 0.95)),
}

# %% name="clipping-plot"
fig, (ax,) = plots.figure("One strange batch at step 80", width=6.4, height=3.2)
window = slice(60, N_STEPS)
plots.lines(
    ax,
    range(60, N_STEPS),
    {name: run[window] for name, run in past.items()},
    x_label="step",
    y_label="loss (nats)",
    markers=False,
)
plots.level(ax, unigram, "mere frequencies")
ax.set_ylim(2, 10)
plots.show(
    fig,
    alt="Loss from step 60 to 140. All three jump at step 80. SGD without clipping stays high and returns only to the "
    "level of mere frequencies or a little below. SGD with clipping and AdamW go on as if nothing had happened.",
)

# %% name="clipping-check"
before = np.mean(past["SGD"][70:80])
harm = {name: np.mean(run[81:91]) - before for name, run in past.items()}
print("loss in the ten steps after it, minus the ten before:", {name: round(float(h), 2) for name, h in harm.items()})
record.check("SGD loses more than 0.5 nats", harm["SGD"] > 0.5)
record.check("clipped SGD and AdamW lose less than 0.15", max(harm["SGD, clipped at 1"], harm["AdamW"]) < 0.15)

# %% [markdown] name="clipping-lesson"
# AdamW needs clipping less: its steps have about the size of the rate, whatever the gradient. Clipping is a seat
# belt. It costs nothing, and on most days it does nothing, as the ladder at the end of this section will show.

# %% [markdown] name="accumulation"
# ## 3.6.8 梯度累积 · Accumulation: a large batch in small parts
#
# A batch of 64 texts may not fit into memory. Then take eight batches of 8, **add up their gradients**, and make one
# step: `backward` adds to `.grad` anyway, until `zero_grad`. There is one trap. A loss is a *mean* over labels, and
# parts need not have as many labels each. The mean of the means is not the mean: each part must weigh as much as it
# has labels.

# %% name="accumulation-check" tags=["nbval-check-output"]
exact = new_model().double()
whole = {"input_ids": ids[:8], "labels": ids[:8].clone()}
whole["labels"][4:, : T // 2] = -100  # the second half of the batch has fewer labels, as answers are shorter than texts


def gradient(weights):
    """The gradient of the sum of two half batches' losses, each times its weight."""
    exact.zero_grad()
    for half, weight in zip((slice(0, 4), slice(4, 8)), weights, strict=True):
        (weight * exact(whole["input_ids"][half], labels=whole["labels"][half]).loss).backward()
    return torch.cat([p.grad.flatten() for p in exact.parameters()])


exact.zero_grad()
exact(**whole).loss.backward()
expected = torch.cat([p.grad.flatten() for p in exact.parameters()])
counts = [int((whole["labels"][half, 1:] != -100).sum()) for half in (slice(0, 4), slice(4, 8))]
record.check(
    "weighed by their labels, two parts give the gradient of the whole batch",
    torch.allclose(gradient([n / sum(counts) for n in counts]), expected),
)
record.check("the mean of the two means does not", not torch.allclose(gradient([0.5, 0.5]), expected, rtol=0.01))

# %% [markdown] name="accumulation-loop-text"
# `train` counts the labels itself. Its two runs below see the same texts: six at a time, or twice three.


# %% name="accumulation-loop" tags=["nbval-check-output"]
def after_some_steps(batch_size, accumulation):
    """The weights after ten steps."""
    model = new_model().double()
    loader = Loader(train_ids[: 240 * T].view(-1, T), batch_size, next_tokens, seed, shuffle=False)
    train(model, loader, replace(PLAIN, steps=10, accumulation=accumulation))
    return torch.cat([p.detach().flatten() for p in model.parameters()])


difference = (after_some_steps(6, 1) - after_some_steps(3, 2)).abs().max()
record.check("six at a time, or twice three: the same weights after ten steps, to 1e-9", difference < 1e-9)

# %% [markdown] name="precision"
# ## 3.6.9 混合精度 · Mixed precision: where bits may be saved
#
# `bfloat16` has the range of `float32` and only 8 bits of precision. Products of matrices bear that well, and GPUs have
# fast units for them. But **weights must stay in float32**. Between 1 and 2 the neighbours of a bfloat16
# number are 1/128 away. Add less than half of that, and nothing happens.

# %% name="precision-numbers" tags=["nbval-check-output"]
one = torch.tensor(1.0, dtype=torch.bfloat16)
for step in (0.01, 0.005, 0.003, 0.001):
    print(f"1 + {step}: {float(one + step):.6f} in bfloat16")
record.check("in bfloat16, 1 + 0.003 is 1", one + 0.003 == one)

# %% [markdown] name="precision-moved-text"
# How much of a training step is lost? We take new weights, add a step of the size of the learning rate, and count the
# weights that moved.

# %% name="precision-moved"
steps = np.geomspace(1e-6, 1e-2, 25)
weights = torch.randn(20_000) * 0.02
kinds = {"weights of a new layer (0.02)": weights.bfloat16(), "gains of a norm (1)": torch.ones(20_000).bfloat16()}
moved = {n: [((w + s * torch.randn(w.shape)).bfloat16() != w).float().mean() for s in steps] for n, w in kinds.items()}
fig, (ax,) = plots.figure("With bfloat16 weights, small steps are lost", width=6.0, height=3.0)
plots.lines(
    ax,
    steps,
    moved,
    x_label="size of a step (about the learning rate)",
    y_label="share of weights that move",
    markers=False,
)
ax.set_xscale("log")
plots.show(
    fig,
    alt="Share of weights that a step moves, against the size of the step. Weights of size 0.02 move in part from 1e-5 "
    "on. Gains of 1 hardly move below 1e-3.",
)

# %% name="precision-training"
half = new_model().bfloat16()
train(half, batches(), replace(PLAIN, steps=40, learning_rate=1e-3, schedule="linear"))
mixed = new_model()
train(mixed, batches(), replace(PLAIN, steps=40, learning_rate=1e-3, schedule="linear", precision="bfloat16"))


def gains(model):
    return torch.cat([m.weight.detach().float().cpu() for m in model.modules() if isinstance(m, nn.LayerNorm)])


stuck = {name: (gains(m) == 1).float().mean().item() for name, m in (("bfloat16", half), ("mixed", mixed))}
print(f"gains that are still exactly 1 after 40 steps: {stuck['bfloat16']:.0%} in bfloat16, {stuck['mixed']:.0%} mixed")
record.check("with weights in bfloat16 more than 99 % of the gains never moved", stuck["bfloat16"] > 0.99)
record.check("with float32 weights and bfloat16 products nearly all moved", stuck["mixed"] < 0.05)

# %% [markdown] name="precision-lesson"
# So `precision="bfloat16"` of `train` keeps the weights, their gradients and Adam's means in float32 and multiplies
# in bfloat16. (float16 has more precision and a smaller range: small gradients become 0 there, and the loss must be
# scaled up before `backward`. With bfloat16 that is not needed.)

# %% name="precision-check"
exact = new_model()
train(exact, batches(), replace(PLAIN, steps=40, learning_rate=1e-3, schedule="linear"))
difference = abs(held_out_loss(mixed) - held_out_loss(exact))
record.metric("mixed precision: difference of the held-out loss", difference, "nats")
record.check("the held-out loss of the mixed run is that of float32, within 0.02", difference < 0.02)

# %% [markdown] name="muon"
# ## 3.6.10 Muon：让每个方向都前进 · Muon: every direction moves
#
# A gradient of a matrix is a matrix, and nearly all of it lies in a few directions. So does a step that follows it.
# **Muon** (Jordan et al. 2024) replaces the step $USV^\top$ by $UV^\top$: the same directions, all with the same
# length. It computes that without a decomposition, by five steps of a polynomial that pushes every singular value
# towards 1. (A direction that has no gradient at all stays at 0.)

# %% name="muon-spectrum"
probe = new_model()
train(probe, batches(), replace(PLAIN, steps=60, learning_rate=3e-3))
probe(ids, labels=ids).loss.backward()
matrix = probe.decoder.blocks[0].feed_forward.inner.weight.grad  # (4·C, C)
before = torch.linalg.svdvals(matrix.float()).cpu()
after = torch.linalg.svdvals(orthogonalised(matrix.float())).cpu()
fig, (ax,) = plots.figure("Singular values of one step", width=5.6, height=3.0)
curves = {"the gradient (largest = 1)": before / before[0], "after Muon's five steps": after}
plots.lines(
    ax, range(1, len(before) + 1), curves, x_label="direction, the largest first", y_label="length", markers=False
)
ax.set_ylim(0, 1.4)
plots.show(
    fig,
    alt="Singular values in order of size. Those of the gradient fall quickly to a few hundredths. Those after Muon "
    "lie near 1, but for the last.",
)


# %% name="muon-check"
def directions(lengths):
    """How many directions carry a matrix: 1 if one does, n if n do alike."""
    return ((lengths**2).sum() ** 2 / (lengths**4).sum()).item()


record.metric("directions that carry the gradient", directions(before), f"of {len(before)}")
print(f"of {len(before)} directions {directions(before):.1f} carry the gradient, {directions(after):.1f} Muon's step")
record.check("a fifth of the directions, or fewer, carry the gradient", directions(before) < len(before) / 5)
record.check("more than two thirds carry Muon's step", directions(after) > len(after) * 2 / 3)

# %% [markdown] name="loop"
# ## 3.6.11 读真正的训练循环 · Reading the real loop
#
# You know nearly every part now; the table names the rest. Here is the loop of `lmlib.training.train`, as it stands in
# `lmlib/training/loop.py`.

# %% name="loop-source"
source = inspect.getsource(train).splitlines()
start = next(i for i, line in enumerate(source) if line.lstrip().startswith("for step in"))
body = itertools.takewhile(lambda line: line.startswith(8 * " "), source[start:])
print("\n".join(line[8:] for line in body))

# %% [markdown] name="loop-lines"
# | line | why it is there |
# | --- | --- |
# | `rate_at`, `set_rate` | warm-up and decay; the rate follows from the step alone, so nothing must be kept for it |
# | `parts`, `weights_of` | accumulation, weighed by labels |
# | `add_gradients` | forward and backward of each part, in mixed precision; `fast_path` (off here) is faster on a CPU |
# | `clip_gradients` | the seat belt; it returns the norm from *before*, which is worth a plot |
# | `processes` | one here, several in section 5.6; loss and norm are read once a step: only there it waits for a GPU |
# | `meter` | tokens and seconds of each step, for the log |
# | `check_finite` | a NaN ends the run *before* it reaches the weights |
# | `step`, `zero_grad` | the update |
# | `log.record` | a loss that nobody kept cannot be looked at |
# | `evaluate` | without dropout, and without touching the random state: looking must not change the run |
# | `run.save` | weights, optimiser, place in the data, random state: all that is needed to go on |
#
# One call, one log:

# %% name="loop-run"
half = SIZE["steps"] // 2
best = replace(short, warmup_steps=half // 5, clip=1.0, evaluate_every=half // 5)
log = train(new_model(), batches(), best, evaluate=lambda model: {"held-out": held_out_loss(model, 100)})
log.show()
record.check("the highest rate of the log is that of the config", math.isclose(max(log.learning_rates), RATE))
record.check(
    "it was evaluated five times, and improved from first to last",
    len(log.evaluation("held-out")[0]) == 5 and log.evaluation("held-out")[1][-1] < log.evaluation("held-out")[1][0],
)

# %% [markdown] name="resume"
# ## 3.6.12 断点续训 · Checkpoints: to go on, bit for bit
#
# Machines stop. What must a checkpoint hold, so that the run that goes on *is* the run that never stopped? Let one be
# killed at step 22, with a checkpoint at step 15, and start it again.


# %% name="resume-code"
class Killed(Exception):
    pass


def killed_at(step):
    def evaluate(model):
        nonlocal step
        step -= 1
        if step == 0:
            raise Killed
        return {"draw": torch.rand(()).item()}

    return evaluate


def weights_of(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()]).cpu()


never = new_model(dropout=0.1)  # with dropout, so that the random state matters too
run = replace(PLAIN, steps=30, schedule="cosine", warmup_steps=5, evaluate_every=1)
log = train(never, batches(), run, evaluate=killed_at(-1))

# %% name="resume-check" tags=["nbval-check-output"]
with tempfile.TemporaryDirectory() as folder:
    kept = replace(run, folder=folder, checkpoint_every=15)
    try:
        train(new_model(dropout=0.1), batches(), kept, evaluate=killed_at(22))
    except Killed:
        print("killed; kept:", [path.name for path in checkpoints(folder)])
    state = load_checkpoint(checkpoints(folder)[-1])
    print("it holds:", ", ".join(state))
    resumed = new_model(dropout=0.1, seed=99)  # other weights: they are read from the file
    log_again = train(resumed, batches(), kept, evaluate=killed_at(-1))
record.check(
    "the same weights as without the interruption, bit for bit", torch.equal(weights_of(never), weights_of(resumed))
)
record.check("the same losses at every step, and the same draws", log == log_again)

# %% [markdown] name="resume-lost-text"
# **Keep the weights only**, as many scripts do, and Adam forgets its means. Its next step is a *first* step again:
# full size for every weight. How large is a step in the middle of a run?


# %% name="resume-lost"
def next_move(model, optimizer, batch):
    """The mean move of a weight in one step, as a share of the learning rate."""
    before = weights_of(model)
    train_by_hand(model, optimizer, [batch], 1)
    return ((weights_of(model) - before).abs().mean() / optimizer.param_groups[0]["lr"]).item()


model = new_model()
optimizer = AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
train_by_hand(model, optimizer, batches(), 100)
copy = new_model()
copy.load_state_dict(model.state_dict())
batch = next(batches(seed=seed + 1))
steady = next_move(model, optimizer, batch)
forgetful = next_move(copy, AdamW(copy.parameters(), lr=1e-3, weight_decay=0.0), batch)
print(f"mean move of a weight: {steady:.2f} of the rate in a steady run, {forgetful:.2f} after the means were lost")
record.check("after losing its means Adam moves more than twice as far", forgetful > 2 * steady)

# %% [markdown] name="ladder"
# ## 3.6.13 梯子 · The ladder: what is each ingredient worth?
#
# One ingredient after the other, each row with all that those before it have; the same text, the same number of steps,
# the same highest rate for all of AdamW's rows. Two rows change the model: **rotary positions** (section 4.4) and
# **normalised queries and keys, with a squared ReLU**.


# %% name="ladder-models"
class RotaryGpt2(Gpt2):
    """GPT-2 whose positions turn queries and keys; nothing is added to the embedding."""

    LEARNED_POSITIONS = False

    def rotary(self, position_ids):
        cos, sin = rotary_angles(position_ids, self.config.d_model // self.config.n_heads)
        return cos[:, None], sin[:, None]


@dataclass
class NormalisedConfig(Gpt2Config):
    """GPT-2 that normalises queries and keys, and squares a ReLU."""

    def shape(self):
        return replace(super().shape(), head_norm=True, activation="relu2")


# %% name="ladder-training"
scheduled = replace(PLAIN, warmup_steps=SIZE["steps"] // 5, schedule="linear")
clipped = replace(scheduled, clip=1.0)
RUNGS = {
    "AdamW, constant rate": ((Gpt2, Gpt2Config), PLAIN),
    "+ warm-up and decay": ((Gpt2, Gpt2Config), scheduled),
    "+ clipping": ((Gpt2, Gpt2Config), clipped),
    "+ rotary positions": ((RotaryGpt2, Gpt2Config), clipped),
    "+ normalised q, k; ReLU²": ((RotaryGpt2, NormalisedConfig), clipped),
    "+ Muon for the matrices": ((RotaryGpt2, NormalisedConfig), replace(clipped, optimizer="muon")),
}
ladder, trained = {}, {}
for name, (kind, config) in RUNGS.items():
    trained[name] = new_model(*kind)
    train(trained[name], batches(), config)
    ladder[name] = held_out_loss(trained[name])

# %% name="ladder-plot"
values = list(ladder.values())
fig, (ax,) = plots.figure("Held-out loss; at the right, what the last ingredient was worth", width=7.2, height=3.0)
ax.barh(range(len(values)), values, color="#9db8d9", edgecolor=plots.COLOURS[0], height=0.6)
for i, value in enumerate(values):
    worth = "" if i == 0 else f"   {values[i] - values[i - 1]:+.2f}".replace("-", "−")
    ax.text(value, i, f" {value:.2f}{worth}", va="center")
ax.set_yticks(range(len(values)), list(ladder))
ax.set_ylim(len(values) - 0.5, -0.5)
ax.set_xlim(1.5, max(values) + 0.2)
ax.set_xlabel("loss on new text (nats per character); the axis begins at 1.5")
ax.grid(visible=False, axis="y")
plots.show(
    fig,
    alt="Bars of held-out loss, from the top down shorter and shorter: AdamW, warm-up and decay, clipping (little), "
    "rotary positions, normalised queries and keys with squared ReLU, Muon. Rotary positions and Muon shorten it most.",
)

# %% name="ladder-check"
worth = dict(zip(list(ladder)[1:], np.diff(values), strict=True))
for name, change in worth.items():
    record.metric(name, change, "nats")
record.check("warm-up and decay help by more than 0.05", worth["+ warm-up and decay"] < -0.05)
record.check("clipping does next to nothing on a clean corpus: less than 0.1", abs(worth["+ clipping"]) < 0.1)
record.check("rotary positions help by more than 0.1", worth["+ rotary positions"] < -0.1)
record.check("Muon helps by more than 0.1", worth["+ Muon for the matrices"] < -0.1)
record.check("from the first rung to the last it is more than 0.4 nats", values[0] - values[-1] > 0.4)

# %% [markdown] name="ladder-samples-text"
# Is that much? Let the first and the last model of the ladder write.

# %% name="ladder-samples"
for name in ("AdamW, constant rate", "+ Muon for the matrices"):
    prompt = characters.encode("The ")
    wrote = generate(trained[name], [prompt], T - len(prompt), sampling=Sampling(temperature=0.7), seed=seed)[0]
    print(f"{name}: The {characters.decode(wrote.tokens)!r}")

# %% [markdown] name="ladder-lesson"
# Be careful with such a ladder. What a rung is worth depends on the rungs below it, on the size of the model, and on
# how long it trains. This run is *short*, and learned positions start from nothing while rotary ones need no learning:
# a longer run may show a smaller gap. A ladder for a model ten times as large must be climbed anew.

# %% [markdown] name="price"
# ## 3.6.14 算法优缺点 · What it costs, and what one gets
#
# Documents 002 and 003 list good and bad sides of training large models: they handle what they have not seen, but they
# need much data and much computing. Two of these can be measured here. **Data**: the same model, the same number of
# steps, but the text is cut to its first N characters.

# %% name="price-data"
sizes = [1000, 6000, len(train_ids)]
known_loss, new_loss = [], []
for n in sizes:
    model = new_model(n_layers=1)
    log = train(model, batches(train_ids[:n]), replace(clipped, steps=SIZE["steps"] * 3 // 4, learning_rate=4e-3))
    known_loss.append(np.mean(log.losses[-20:]))
    new_loss.append(held_out_loss(model))
fig, (ax,) = plots.figure("Too little text: the model fits that text, not the language", width=5.8, height=3.0)
curves = {"on new text": new_loss, "on its training text": known_loss}
plots.lines(ax, sizes, curves, x_label="characters of training text", y_label="loss (nats)")
ax.set_xscale("log")
plots.show(
    fig,
    alt="Loss against the amount of training text. With 1,000 characters the loss is low on the training text and high "
    "on new text. The two curves meet as the text grows.",
)

# %% name="price-data-check"
record.check("with 1,000 characters, new text costs more than 0.5 nats extra", new_loss[0] - known_loss[0] > 0.5)
record.check("with all of the text it costs less than 0.1 extra", new_loss[-1] - known_loss[-1] < 0.1)
record.check("more text, better on new text", new_loss[0] - 0.2 > new_loss[1] > new_loss[-1])

# %% [markdown] name="price-compute-text"
# **Computing**: each of the N weights of the matrices is used once for each token, in a multiplication and an
# addition. So the forward pass costs 2·N operations a token. The backward pass costs twice as much: one product for
# the gradient of the weights, one for that of the input. Together **6·N a token** (Kaplan et al. 2020). Attention adds
# 4·T·C for each layer in the forward pass, for T tokens of C numbers. The matrices of a layer need 24·C², so that is
# little as long as T is much smaller than 6·C. We let torch count.

# %% name="price-compute" tags=["nbval-check-output"]
model = new_model(d_model=64, n_layers=4)
n_matrices = sum(
    p.numel() for name, p in model.named_parameters() if p.dim() == 2 and "word" not in name and "position" not in name
)
attention = 4 * 4 * T * 64  # a token, forward: in 4 layers T scores and a mean of T values, each 64 wide
with FlopCounterMode(display=False) as counter:
    out = model(ids, labels=ids, inspect=True)  # explicit products: torch does not count a CPU's fused attention
forward = counter.get_total_flops() / ids.numel()
with FlopCounterMode(display=False) as counter:
    out.loss.backward()
backward = counter.get_total_flops() / ids.numel()
print(
    f"operations a token over the number of weights: forward {forward / n_matrices:.1f}, "
    f"backward {backward / n_matrices:.1f}"
)
record.check("forward: 2·N a token, and what attention needs", math.isclose(forward, 2 * n_matrices + attention))
record.check("backward: twice as much", math.isclose(backward, 2 * forward))

# %% [markdown] name="price-gpt3-text"
# That is enough to work out what a large model costs. GPT-3 has 175 billion weights and read 300 billion tokens (Brown
# et al. 2020). Say that a GPU does 300 thousand billion operations a second (3·10¹⁴), 40 % of which are of use.

# %% name="price-gpt3" tags=["nbval-check-output"]
operations = 6 * 175e9 * 300e9
years = operations / (0.4 * 3e14) / (365 * 24 * 3600)
print(
    f"GPT-3: {operations:.2e} operations; {years:.0f} years on one such GPU, "
    f"{365 * years / 1000:.0f} days on a thousand"
)
record.check("the same as the paper's 3.14e23 operations, within 1 %", abs(operations / 3.14e23 - 1) < 0.01)

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# The documents' statements about training, each put to a test. The cells under the table are the evidence: each
# computes the document's version and the correct one, and checks both.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("03_algorithms/06_training")

# %% name="ledger-data"
set_seed(0)
sizes = {"vocab_size": 11, "d_model": 16, "n_layers": 2, "n_heads": 2, "max_positions": 8, "eos_token_id": None}
tiny = Gpt2(Gpt2Config(**sizes), "language_model").eval()
row = torch.randint(11, (1, 8))  # a text of eight tokens
small_text = "".join(text.text for text in world.make(0).corpus("train", "en", 20_000))
other_text = "".join(text.text for text in world.make(1).corpus("test", "en", 2000))  # of another world


def bigram_loss(text):
    """Loss (nats a character) of a bigram model of the small text; characters that it lacks are left out."""
    place = {char: i for i, char in enumerate(sorted(set(small_text)))}
    numbers = torch.tensor([place[char] for char in small_text])
    counts = torch.full((len(place), len(place)), 0.1)
    counts.index_put_((numbers[:-1], numbers[1:]), torch.tensor(1.0), accumulate=True)
    read = torch.tensor([place[char] for char in text if char in place])
    return -(counts / counts.sum(1, keepdim=True)).log()[read[:-1], read[1:]].mean()


# %% name="ledger-both-ends" tags=["ledger"]
def document_version(steps, first, stop):
    """004 §3.1.2: marks at both ends. The probabilities of all texts up to a length, summed one by one."""
    total = 0.0
    for length in range(1, 9):
        for text in itertools.product(range(2), repeat=length):
            p = first[text[0]] * math.prod(steps[a][b] for a, b in itertools.pairwise(text)) * stop[text[-1]]
            total += float(p)
    return torch.tensor(total)


def correct_version(steps, first, stop):
    """1 minus the probability that a text goes on for longer: with an end mark, texts share one unit of probability."""
    going_on = first
    for _ in range(8):
        going_on = (going_on * (1 - stop)) @ (steps / (1 - stop)[:, None])
    return 1 - going_on.sum()


stop, first = torch.tensor([0.5, 0.3]), torch.tensor([0.6, 0.4])  # of a language of two letters
steps = torch.tensor([[0.2, 0.8], [0.7, 0.3]]) * (1 - stop)[:, None]  # from a letter to the next, if none ends
pair = document_version(steps, first, stop), correct_version(steps, first, stop)
record.check("texts of up to eight letters have all but what longer ones have", torch.allclose(*pair, atol=1e-5))
record.check("that is over 0.98 already: with an end mark the sum goes to 1", bool(pair[0] > 0.98))


# %% name="ledger-one-pass" tags=["ledger"]
def document_version(ids):
    """004 §3.1.3: the decoder predicts the next token. One pass for each."""
    runs = [tiny(ids[:, :t]).logits[:, -1].log_softmax(-1)[0, ids[0, t]] for t in range(1, ids.size(1))]
    return torch.stack(runs), len(runs)


def correct_version(ids):
    """With the causal mask one pass predicts the next token of every place."""
    scores = tiny(ids).logits[:, :-1].log_softmax(-1)
    return scores.gather(-1, ids[:, 1:, None])[0, :, 0], 1


record.check("token by token, eight tokens need seven passes", document_version(row)[1] == 7)
record.check("in training one pass is enough", correct_version(row)[1] == 1)
record.check("and gives the same", torch.allclose(document_version(row)[0], correct_version(row)[0], atol=1e-5))


# %% name="ledger-no-encoder" tags=["ledger"]
def document_version():
    """004 §3.1.3: the input goes through an encoder, the decoder predicts from its output."""
    return Transformer(TransformerConfig(vocab_size=11, d_model=16, n_layers=1, n_heads=2, d_ff=16))


def correct_version():
    """So it is in translation. GPT has one stack, and its input is the text before."""
    return tiny


parts = {name.split(".")[0] for name, _ in document_version().named_parameters()}
record.check("the Transformer of 2017 has an encoder and a decoder", {"encoder", "decoder"} <= parts)
parts = {name.split(".")[0] for name, _ in correct_version().named_parameters()}
record.check("a GPT has no encoder, and predicts all the same", "encoder" not in parts and "decoder" in parts)


# %% name="ledger-predicted-sequence" tags=["ledger"]
def document_version(logits, ids):
    """004 §3.1.4: the cross-entropy of the predicted *sequence*: the most likely tokens against the true ones."""
    predicted = F.one_hot(logits.argmax(-1), logits.size(-1)).float()
    return -predicted.gather(-1, ids[..., None]).log().mean()


def correct_version(logits, ids):
    """The cross-entropy of the predicted *distributions*."""
    return -logits.log_softmax(-1).gather(-1, ids[..., None]).mean()


logits = tiny(row[:, :-1]).logits
record.check("of a sequence: infinite after one wrong token", document_version(logits, row[:, 1:]).item() == math.inf)
record.check("and without a gradient", not document_version(logits, row[:, 1:]).requires_grad)
record.check("of distributions: finite, with a gradient", correct_version(logits, row[:, 1:]).requires_grad)


# %% name="ledger-gradient" tags=["ledger"]
def document_version(weights, x):
    """004 §3.1.4, 003 §3.2: back-propagation computes the derivatives."""
    weights = weights.clone().requires_grad_()
    torch.tanh(x @ weights).square().sum().backward()
    return weights.grad


def correct_version(weights, x):
    """What moving each weight by hand gives."""
    units = torch.eye(6).double().view(6, 2, 3)
    moved = [torch.tanh(x @ (weights + s * 1e-5 * unit)).square().sum() for unit in units for s in (1, -1)]
    return (torch.stack(moved[::2]) - torch.stack(moved[1::2])).view(2, 3) / 2e-5


weights, x = torch.randn(2, 3).double(), torch.randn(4, 2).double()
record.check("it does", torch.allclose(document_version(weights, x), correct_version(weights, x), atol=1e-6))


# %% name="ledger-descent" tags=["ledger"]
def document_version(curvature, steps):
    """003 §3.2: plain gradient descent, at the highest rate that does not break."""
    x = torch.ones_like(curvature)
    for _ in range(steps):
        x = x - 1.9 / curvature.max() * curvature * x
    return x


def correct_version(curvature, steps):
    """Large models use Adam, which gives each weight a step of its own."""
    x = nn.Parameter(torch.ones_like(curvature))
    optimizer = torch.optim.Adam([x], lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        (curvature * x**2 / 2).sum().backward()
        optimizer.step()
    return x.detach()


bowl = torch.tensor([1000.0, 1.0])  # steep in one direction, flat in the other
record.check("after 100 steps, descent has hardly moved where it is flat", document_version(bowl, 100)[1] > 0.8)
record.check("Adam is within 0.1 of it in both directions", bool((correct_version(bowl, 100).abs() < 0.1).all()))


# %% name="ledger-six" tags=["ledger"]
def document_version(widths, tokens):
    """002 §3.3, 003 §3.3: much computing. By the rule 6·N operations a token."""
    return torch.tensor(6.0 * sum(a * b for a, b in itertools.pairwise(widths)) * tokens)


def correct_version(widths, tokens):
    """What torch counts, forward and backward."""
    stack = nn.Sequential(*[nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(widths)])
    with FlopCounterMode(display=False) as counter:
        stack(torch.randn(tokens, widths[0], requires_grad=True)).sum().backward()
    return torch.tensor(float(counter.get_total_flops()))


same = torch.equal(document_version((32, 64, 16), 10), correct_version((32, 64, 16), 10))
record.check("training costs 6 operations for each weight and token", same)


# %% name="ledger-size-is-not-cost" tags=["ledger"]
def document_version(vocab_size):
    """002 §3.3: many parameters, so long training. If the number of parameters were the cost."""
    return sum(p.numel() for p in (nn.Embedding(vocab_size, 16).weight, nn.Linear(16, 16).weight))


def correct_version(vocab_size):
    """An embedding is looked up, not multiplied: its rows cost no operations."""
    with FlopCounterMode(display=False) as counter:
        nn.Linear(16, 16)(nn.Embedding(vocab_size, 16)(row % vocab_size))
    return counter.get_total_flops()


record.check("a hundred times as many words, far more parameters", document_version(1000) > 30 * document_version(10))
record.check("and the same number of operations", correct_version(1000) == correct_version(10))


# %% name="ledger-inference" tags=["ledger"]
def document_version(tokens):
    """003 §3.3: training *and* inference are costly. Training by the token, in units of inference: as 6·N to 2·N."""
    return torch.tensor(3.0)


def correct_version(tokens):
    """What torch counts."""
    layer, x, counts = nn.Linear(32, 32, bias=False), torch.randn(tokens, 32, requires_grad=True), []
    for with_backward in (False, True):
        with FlopCounterMode(display=False) as counter:
            y = layer(x)
            if with_backward:
                y.sum().backward()
        counts.append(counter.get_total_flops())
    return torch.tensor(counts[1] / counts[0])


record.check(
    "a token costs a third in inference of what it costs in training",
    torch.allclose(document_version(9), correct_version(9)),
)


# %% name="ledger-unseen" tags=["ledger"]
def document_version(text):
    """002 §3.3: a language model handles text that it has never seen. Here, text about people of another world."""
    return bigram_loss(text)


def correct_version(text):
    """If it resembles what was seen. Here, the same characters in reverse order."""
    return bigram_loss(text[::-1])


guess = math.log(len(set(small_text)))
record.check("new text of the same kind costs over a nat less than guessing", document_version(other_text) < guess - 1)
record.check("reversed, it costs more than guessing", correct_version(other_text) > guess)


# %% name="ledger-data-hunger" tags=["ledger"]
def document_version(n_symbols, n_data):
    """002 §3.3: much data is needed. Measured: what a model of counts loses against the truth, mean of 4,000 trials."""
    truth = torch.full((4000, n_symbols), 1 / n_symbols)
    counts = torch.zeros(4000, n_symbols).scatter_add_(1, truth.multinomial(n_data, True), torch.ones(4000, n_data))
    learned = (counts + 0.5) / (n_data + n_symbols / 2)
    return 100 * (truth * (truth / learned).log()).sum(1).mean()


def correct_version(n_symbols, n_data):
    """The rule: free parameters over twice the data. Twice the parameters need twice the data."""
    return torch.tensor(100 * (n_symbols - 1) / (2 * n_data))


for n_symbols, n_data in ((11, 500), (21, 1000)):
    same = torch.allclose(document_version(n_symbols, n_data), correct_version(n_symbols, n_data), atol=0.05)
    record.check(f"{n_symbols} symbols, {n_data} data: the loss is parameters over twice the data (in 1/100 nat)", same)


# %% name="ledger-window" tags=["ledger"]
def document_version(text):
    """002 §3.3: what is written agrees with the earlier input. All of it is read."""
    return ledger.outcome(lambda: tiny(text).logits[:, -1])


def correct_version(text):
    """With the part that stands in the window: only the last `max_positions` tokens are read."""
    return tiny(text[:, -tiny.config.max_positions :]).logits[:, -1]


def with_other(text, places):
    """The text with another token at some places."""
    return text.index_copy(1, torch.tensor(places), (text[:, places] + 1) % 11)


long = torch.randint(11, (1, 12))  # four tokens more than the window holds
record.check("twelve tokens do not fit into a window of eight", document_version(long) == "ValueError")
before, inside = correct_version(with_other(long, [0, 1, 2, 3])), correct_version(with_other(long, [4]))
record.check("other tokens before the window change nothing", torch.equal(correct_version(long), before))
record.check("another first token in it does", not torch.equal(correct_version(long), inside))

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/03_algorithms/06_training.ipynb), about 95 minutes, five questions:
#
# 1. AdamW: one step, with the corrections;
# 2. the learning rate at a step: warm-up and decay without an error of one;
# 3. accumulation: the loss of a batch that comes in parts;
# 4. two loss curves, and where to stop;
# 5. numbers to know: the first loss, the first step, the bill.
#
# To go on: 3.7 lets the trained model write, 5.6 trains on several devices at once.
