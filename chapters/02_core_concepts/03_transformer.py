# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 2.3 完整的 Transformer 架构 · The Transformer
#
# 本节把嵌入、位置、编码器、解码器、残差连接、层归一化和输出层装成一台完整的 Transformer。
# 我们写出每一步的形状，数清每一部分的参数。
# 然后训练一台小机器学会把数列倒过来、排好序，从交叉注意力图上看到那条反对角线。
# 最后逐个拆掉位置、残差和掩码，看看每次坏在哪里。
#
# After this section you can draw the whole architecture, name the shape at each stage, count its parameters on
# paper, and tell from a failing model which part is missing.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import math

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.patches import FancyBboxPatch
from torch import nn

from lmlib import plots
from lmlib.attention import causal_mask
from lmlib.course import ledger, record, session
from lmlib.layers import FeedForward
from lmlib.models.transformer import Transformer, TransformerConfig
from lmlib.positions import sinusoidal
from lmlib.training import TrainingConfig, train
from lmlib.transformer import Block, Shape, Stack

device = session.start(seed, device, profile)

# %% [markdown] name="whole"
# ## 2.3.1 Transformer的整体结构 · The whole machine
#
# Read four digits, write them in reverse: 4 7 1 9 → 9 1 7 4. To write the first digit one must have read the last.
# How is a machine built that can do this, with little more than matrix products?
#
# The Transformer (Vaswani et al. 2017) has two towers. The **encoder** (编码器) reads the source and turns each
# token into a vector that knows its neighbours. The **decoder** (解码器) writes the target token by token; it looks
# at what it has written and at what the encoder has read.


# %% name="drawing-tower"
def draw_tower(ax, x, stages):
    """Boxes from the bottom up, an arrow between each two."""
    for y, stage in enumerate(stages):
        shade = "#9db8d9" if "attention" in stage else "#e8e8e8" if "norm" in stage else "#ffffff"
        ax.add_patch(FancyBboxPatch((x, y), 1, 0.55, boxstyle="round,pad=0.02", facecolor=shade, edgecolor="#08306b"))
        ax.text(x + 0.5, y + 0.27, stage, ha="center", va="center", fontsize=8)
        if y:
            ax.annotate("", (x + 0.5, y), (x + 0.5, y - 0.43), arrowprops={"arrowstyle": "->", "color": "#333333"})


# %% name="drawing"
norm, network, start = "add & norm", "feed-forward", "embedding + positions"
encoder = ["tokens", start, "self-attention", norm, network, norm]
decoder = ["tokens so far", start, "causal self-attention", norm, "cross-attention", norm, network, norm]
fig, (ax,) = plots.figure("The Transformer", width=6.4, height=4.6)
draw_tower(ax, 0, encoder)
draw_tower(ax, 1.45, [*decoder, "output: scores of V tokens"])
ax.plot([0.5, 0.5, 1.22, 1.22], [5.6, 6.1, 6.1, 4.3], color="#d9541a")
ax.annotate("", (1.43, 4.3), (1.2, 4.3), arrowprops={"arrowstyle": "->", "color": "#d9541a"})
ax.text(0.52, 6.25, "memory: one vector a source token", fontsize=8, color="#b03a0a")
ax.text(0.5, -0.45, "encoder, N blocks", ha="center", fontsize=8)
ax.text(1.95, -0.45, "decoder, N blocks", ha="center", fontsize=8)
ax.set(xlim=(-0.1, 2.55), ylim=(-0.7, 8.8))
ax.axis("off")
plots.show(
    fig,
    alt="Two columns of boxes. Encoder: tokens, embedding and positions, self-attention, add and norm, feed-forward, "
    "add and norm. Decoder: the same with a causal self-attention and a cross-attention between; an arrow leads "
    "from the encoder's top to the cross-attention.",
)

# %% [markdown] name="whole-shapes-text"
# **The shape at each stage.** B sentences, S source tokens, T target tokens, C = d_model, H heads, V tokens in the
# vocabulary. One thing is worth seeing: between the embedding and the output *nothing changes the shape*. That is
# why blocks can be stacked.

# %% name="whole-shapes" tags=["nbval-check-output"]
PAD, START, STOP = 0, 1, 2
V, C, H = 13, 64, 2  # ten digits and three marks
tiny = Transformer(TransformerConfig(V, d_model=C, n_layers=2, n_heads=H, d_ff=4 * C, max_positions=32, dropout=0.0))
source, target = torch.randint(3, V, (2, 7)), torch.randint(3, V, (2, 5))
out = tiny(source, decoder_input_ids=target, inspect=True)
stages = {
    "source ids (B, S)": source,
    "source embedded (B, S, C)": out.encoder_hidden_states[0],
    "memory (B, S, C)": out.encoder_output,
    "encoder's self-attention (B, H, S, S)": out.encoder_attentions[0],
    "target embedded (B, T, C)": out.hidden_states[0],
    "decoder's self-attention (B, H, T, T)": out.attentions[0],
    "cross-attention (B, H, T, S)": out.cross_attentions[0],
    "logits (B, T, V)": out.logits,
}
for name, tensor in stages.items():
    print(f"{name:40}{tuple(tensor.shape)}")
record.check("inside a tower every state has one shape", len({s.shape for s in out.encoder_hidden_states}) == 1)

# %% [markdown] name="embedding"
# ### 嵌入与输出 · In and out: the embedding
#
# A token becomes a row of a matrix $E$ (V, C), times $\sqrt{C}$, plus a vector for its place. At the top the same
# matrix is used once more: the score of token v is the dot product of the state with row v. (Vaswani et al. 2017,
# section 3.4.)
#
# $$x_t = \sqrt{C}\, E_{w_t} + p_t, \qquad \mathrm{logits}_t = E\, h_t$$


# %% name="embedding-code"
def embed(ids, table):
    """ids (B, T), table (V, C) -> (B, T, C)."""
    width = table.size(1)
    return table[ids] * math.sqrt(width) + sinusoidal(ids.size(1), width)


# %% name="embedding-check" tags=["nbval-check-output"]
with torch.no_grad():
    ours, first = embed(source, tiny.embedding.weight), out.encoder_hidden_states[0]
    record.check("ours equals lmlib's embedding", torch.allclose(ours, first, atol=1e-6))
    record.check("the logits are dot products with the rows of E", torch.allclose(
        out.last_hidden_state @ tiny.embedding.weight.T, out.logits, atol=1e-5))  # fmt: skip

# %% [markdown] name="positions"
# ### 位置编码 · Positions: who stands where
#
# Attention does not know the order (section 2.2). So each place gets a vector of its own, made of sines and cosines
# with wavelengths from $2\pi$ to $10000 \cdot 2\pi$ (chapter 4 derives them). What is it good for? The dot product
# of two such vectors depends only on how far apart they are.

# %% name="positions-map"
places = sinusoidal(40, C)
similarity = places @ places.T / (C / 2)  # every position vector has length √(C/2)
fig, (left, right) = plots.figure("Similarity of two places", "From place 20", width=7.6, height=3.2)
ticks = [str(i) if i % 10 == 0 else "" for i in range(40)]
plots.heat_map(left, similarity, ticks, ticks, x_label="place", y_label="place")
plots.lines(right, range(40), {"similarity": similarity[20]}, x_label="place", y_label="similarity", markers=False)
right.set_ylim(0, 1.05)
plots.show(
    fig, alt="Left: a band, dark on the diagonal. Right: a peak of 1 at place 20 that falls off to both sides alike."
)

# %% name="positions-check" tags=["nbval-check-output"]
same_distance = torch.stack([similarity.diagonal(k).max() - similarity.diagonal(k).min() for k in range(10)])
record.check("similarity depends on the distance alone", bool((same_distance < 1e-4).all()))
record.check("a place is most like itself, then like its neighbours", bool((similarity[20, 20:24].diff() < 0).all()))

# %% [markdown] name="encoder"
# ## 2.3.2 编码器 · The encoder block
#
# A block has two sublayers: self-attention mixes *between* places, the feed-forward network (前馈网络) works
# *within* each place. Around each stands a residual connection (残差连接) and a layer normalisation (层归一化):
#
# $$x \leftarrow \mathrm{LayerNorm}\big(x + \mathrm{Sublayer}(x)\big), \qquad
# \mathrm{FFN}(x) = \max(0, xW_1 + b_1)\,W_2 + b_2$$
#
# $W_1$ is (C, F) and $W_2$ is (F, C), with F = 4C as a rule. Normalised after the sum, as here, a block is called
# *post-norm*; many later models normalise before the sublayer (*pre-norm*).


# %% name="encoder-code"
def layer_norm(x, gain, shift, eps=1e-5):
    """Each token for itself: mean 0, variance 1 over its C features, then a learned gain and shift."""
    centred = x - x.mean(-1, keepdim=True)
    return gain * centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + eps) + shift


def encoder_block(x, block):
    """One post-norm block with the weights of lmlib's: (B, S, C) -> (B, S, C)."""
    mixed, _ = block.attention(x)
    x = layer_norm(x + mixed, *block.attention_norm.parameters())
    inner, outer = block.feed_forward.inner, block.feed_forward.outer
    thought = torch.relu(x @ inner.weight.T + inner.bias) @ outer.weight.T + outer.bias
    return layer_norm(x + thought, *block.feed_forward_norm.parameters())


# %% [markdown] name="encoder-check-text"
# Two witnesses: lmlib's own stack, and `torch.nn.Transformer` with the same weights.

# %% name="encoder-check" tags=["nbval-check-output"]
sizes = {"d_model": C, "nhead": H, "num_encoder_layers": 2, "num_decoder_layers": 2, "dim_feedforward": 4 * C}
peer = nn.Transformer(**sizes, dropout=0.0, batch_first=True).eval()
peer.encoder.norm = peer.decoder.norm = None  # the paper has no norm on top; torch adds one
peer.load_state_dict(tiny.torch_state())
with torch.no_grad():
    memory = first
    for block in tiny.encoder.blocks:
        memory = encoder_block(memory, block)
    record.check("from scratch equals lmlib's encoder", torch.allclose(memory, out.encoder_output, atol=1e-5))
    expected = peer.encoder(first, mask=torch.zeros(7, 7))
record.check("and torch.nn.Transformer's", torch.allclose(memory, expected, atol=1e-5))

# %% [markdown] name="decoder"
# ## 2.3.3 解码器 · The decoder block
#
# Three sublayers. The self-attention is *causal*: place t sees target tokens up to t. The **cross-attention**
# (交叉注意力) asks with the decoder's state and takes keys and values from the encoder's memory. Then the
# feed-forward network.


# %% name="decoder-code"
def decoder_block(y, memory, block):
    """One post-norm block: target (B, T, C), memory (B, S, C) -> (B, T, C)."""
    mixed, _ = block.attention(y, mask=causal_mask(y.size(1)))
    y = layer_norm(y + mixed, *block.attention_norm.parameters())
    found, _ = block.cross_attention(y, memory)
    y = layer_norm(y + found, *block.cross_attention_norm.parameters())
    return layer_norm(y + block.feed_forward(y), *block.feed_forward_norm.parameters())


# %% name="decoder-check" tags=["nbval-check-output"]
with torch.no_grad():
    states = embed(target, tiny.embedding.weight)
    for block in tiny.decoder.blocks:
        states = decoder_block(states, memory, block)
    record.check("from scratch equals lmlib's decoder", torch.allclose(states, out.last_hidden_state, atol=1e-5))
    future = nn.Transformer.generate_square_subsequent_mask(5)
    expected = peer.decoder(embed(target, tiny.embedding.weight), memory, tgt_mask=future)
record.check("and torch.nn.Transformer's", torch.allclose(states, expected, atol=1e-5))

# %% [markdown] name="decoder-facts-text"
# What the wiring promises, as two experiments: change the *last target token*, and change *one source token*. Which
# logits move?

# %% name="decoder-facts" tags=["nbval-check-output"]
other_target, other_source = target.clone(), source.clone()
other_target[:, -1] = (target[:, -1] - 2) % 10 + 3  # another digit
other_source[:, 3] = (source[:, 3] - 2) % 10 + 3
with torch.no_grad():
    by_target = (tiny(source, decoder_input_ids=other_target).logits - out.logits).abs().amax((0, 2))  # (T,)
    by_source = (tiny(other_source, decoder_input_ids=target).logits - out.logits).abs().amax((0, 2))
print("last target token changed: moves", (by_target > 1e-4).int().tolist())
print("one source token changed:  moves", (by_source > 1e-4).int().tolist())
record.check("the future of the target changes nothing before it", bool((by_target[:-1] < 1e-5).all()))
record.check("every target place sees every source token", bool((by_source > 1e-4).all()))

# %% [markdown] name="counting"
# ### 参数 · Where are the parameters?
#
# On paper, for one block: an attention has four matrices (C, C) with biases, $4(C^2 + C)$. The feed-forward network
# has $2CF + F + C$. A norm has $2C$. An encoder block has one attention, two norms and one network; a decoder block
# two attentions and three norms. The number of heads does not appear.


# %% name="counting-code" tags=["nbval-check-output"]
def count_by_part(vocabulary, c, f, n):
    """Parameters of an encoder-decoder with n blocks on each side and one tied embedding, by formula."""
    attend, think, norm = 4 * (c * c + c), 2 * c * f + f + c, 2 * c
    parts = {"embedding = output": vocabulary * c}
    parts |= {"encoder: attention": n * attend, "encoder: feed-forward": n * think, "encoder: norms": 2 * n * norm}
    parts |= {"decoder: self-attention": n * attend, "decoder: cross-attention": n * attend}
    return parts | {"decoder: feed-forward": n * think, "decoder: norms": 3 * n * norm}


parts = count_by_part(37000, 512, 2048, 6)  # the base model of 2017
with torch.device("meta"):  # shapes without memory
    base = Transformer(TransformerConfig(37000))
for name, n in parts.items():
    print(f"{name:26}{n:12,}")
counted = sum(p.numel() for p in base.parameters())
record.check(f"the formula gives what the model has: {counted:,}", sum(parts.values()) == counted)

# %% name="counting-plot"
fig, (ax,) = plots.figure("The base model of 2017: 63 million parameters", width=6.2, height=2.9)
millions = [n / 1e6 for n in parts.values()]
ax.barh(range(len(parts)), millions, height=0.65, color="#9db8d9", edgecolor=plots.COLOURS[0])
for i, value in enumerate(millions):
    ax.text(value, i, f" {value:.2f}" if value < 1 else f" {value:.1f}", va="center", fontsize=8)
ax.set_yticks(range(len(parts)), list(parts))
ax.set_ylim(len(parts) - 0.5, -0.5)
ax.set_xlim(0, 22)
ax.set_xlabel("million parameters")
ax.grid(visible=False, axis="y")
plots.show(
    fig,
    alt="Bars: the embedding 18.9 million; feed-forward 12.6 on each side; each attention 6.3; norms next to nothing.",
)

# %% name="counting-check" tags=["nbval-check-output"]
share = parts["encoder: feed-forward"] / sum(n for name, n in parts.items() if name.startswith("encoder"))
print(f"share of the feed-forward network in an encoder block: {share:.3f}")
record.check("two thirds of an encoder block are feed-forward", abs(share - 2 / 3) < 0.01)

# %% [markdown] name="residual"
# ### 残差连接与层归一化 · Residuals and norms: why depth does not hurt
#
# Each sublayer *adds* to what came in. Its derivative is $I + J$: even where the sublayer's own Jacobian J is
# small, the identity hands the gradient down. Without the $I$, forty sublayers multiply forty small Jacobians. And
# without it, a second thing is lost: attention averages over the tokens, and what is averaged again and again
# becomes alike.
#
# We build stacks of 20 random blocks and measure both: the gradient that reaches each depth, relative to the top,
# and how alike the tokens have become (the mean cosine between the states of two tokens, 1 when all are the same).


# %% name="residual-stacks"
class WithoutResidual(Block):
    """A block whose sublayers replace what came in, and do not add to it."""

    def _add(self, x, h, norm):
        return norm(h)


class WithoutNorm(Block):
    """A block that adds, and does not normalise."""

    def _add(self, x, h, norm):
        return x + h


class WithoutBoth(Block):
    """A block whose sublayers just follow one another."""

    def _add(self, x, h, norm):
        return h


# %% name="residual-measure"
def alike(states):
    """Mean cosine between the states of two different tokens of a text; states (B, T, C)."""
    directions = F.normalize(states, dim=-1)
    cosines = directions @ directions.mT  # (B, T, T)
    n = cosines.size(-1)
    return float((cosines.sum() - cosines.diagonal(dim1=1, dim2=2).sum()) / (len(cosines) * n * (n - 1)))


def by_depth(kind, depth=20):
    """After each of 0 to `depth` random blocks: the gradient relative to the top, and how alike tokens are."""
    torch.manual_seed(seed)
    states = [torch.randn(4, 16, 64, requires_grad=True)]
    for block in [kind(Shape(64, depth, 4, 256)) for _ in range(depth)]:
        states.append(block(states[-1])[0])
        states[-1].retain_grad()
    (states[-1] * torch.randn(4, 16, 64)).sum().backward()
    gradients = np.array([float(state.grad.norm()) for state in states])
    return gradients / gradients[-1], [alike(state.detach()) for state in states]


kinds = {"residual and norm": Block, "no residual": WithoutResidual, "no norm": WithoutNorm, "neither": WithoutBoth}
measured = {name: by_depth(kind) for name, kind in kinds.items()}

# %% name="residual-plot"
fig, (left, right) = plots.figure("Gradient that arrives at a depth", "How alike the tokens are", width=7.4, height=2.8)
for ax, column, label in ((left, 0, "norm, relative to the top"), (right, 1, "mean cosine of two tokens")):
    curves = {name: run[column] for name, run in measured.items()}
    plots.lines(ax, range(21), curves, x_label="blocks passed (0 = input)", y_label=label, markers=False)
left.set_yscale("log")
right.set_ylim(-0.1, 1.1)
right.get_legend().remove()  # the left panel has it
plots.show(
    fig,
    alt="Left, logarithmic: with neither residual nor norm the gradient falls by over twenty powers of ten from top to "
    "bottom; the other three stay within two powers of ten of the top. Right: without residuals the tokens become "
    "almost the same within a few blocks; with them they stay apart.",
)

# %% name="residual-check"
for name, (gradients, cosines) in measured.items():
    record.metric(f"{name}: gradient at the input, relative to the top", gradients[0])
    record.metric(f"{name}: cosine of two tokens at the top", cosines[-1])
record.check("with both, the input gets a gradient of the same size", 0.3 < measured["residual and norm"][0][0] < 3)
record.check("with neither, less than 10⁻¹² of it arrives", measured["neither"][0][0] < 1e-12)
record.check("a norm alone keeps the gradient above a hundredth", measured["no residual"][0][0] > 0.01)
same_from_three = min(measured["no residual"][1][3:]) > 0.95
record.check("but without residuals all tokens become alike within three blocks: cosine over 0.95", same_from_three)
record.check("with them they stay apart: below 0.85", measured["residual and norm"][1][-1] < 0.85)

# %% [markdown] name="residual-lesson"
# So "residuals prevent vanishing gradients" is only half of it. A norm behind every sublayer rescales, and that alone
# saves the gradient from vanishing: more than a hundredth of it arrives. What it cannot save is the *difference
# between tokens*: after a few blocks without residuals every place holds the same vector, and no decoder can find
# anything there. (Dong et al. 2021 prove it: attention alone loses rank.)

# %% [markdown] name="task"
# ## 学会倒序与排序 · It learns to reverse and to sort
#
# Now the machine is put to work. The source has three to six random digits and a stop mark; the target is the same
# digits reversed, or sorted, and a stop mark. Examples are drawn anew at every step, so there is nothing to learn
# by heart. A million sources of length 6 exist, and the training sees a few thousand.

# %% name="task-data" tags=["nbval-check-output"]
LONGEST = {"quick": 6, "full": 12}[profile]


def draw_examples(n, task, generator):
    """Sources (n, LONGEST + 1), padded, and their targets, -100 where nothing is asked."""
    lengths = torch.randint(3, LONGEST + 1, (n, 1), generator=generator)
    place = torch.arange(LONGEST + 1)
    digits = torch.randint(3, V, (n, LONGEST + 1), generator=generator)
    source = torch.where(place < lengths, digits, torch.where(place == lengths, STOP, PAD))
    if task == "reverse":
        changed = source.gather(1, (lengths - 1 - place).clamp(min=0))
    else:
        changed = torch.where(place < lengths, digits, V).sort(1).values
    return source, torch.where(place < lengths, changed, torch.where(place == lengths, STOP, -100))


for task in ("reverse", "sort"):
    for rows in zip(*draw_examples(3, task, torch.Generator().manual_seed(3)), strict=True):
        show = [["." if i == STOP else str(i - 3) for i in row.tolist() if i > PAD] for row in rows]
        print(f"{task:8}", " ".join(show[0]), " → ", " ".join(show[1]))


# %% name="task-training"
class Examples:
    """Batches of new examples without end."""

    def __init__(self, task, seed):
        self.task, self.generator = task, torch.Generator().manual_seed(seed)

    def __iter__(self):
        while True:
            source, target = draw_examples(64, self.task, self.generator)
            yield {"input_ids": source, "attention_mask": (source != PAD).long(), "labels": target}


CONFIG = TransformerConfig(V, d_model=C, n_layers=1, n_heads=1, d_ff=4 * C, max_positions=32, dropout=0.0)
N_STEPS = {"quick": 200, "full": 2000}[profile]


def taught(task, change=lambda model: None):
    """A model after `change`, trained on the task, and its losses."""
    torch.manual_seed(seed)
    model = Transformer(CONFIG)
    change(model)
    config = TrainingConfig(N_STEPS, 4e-3, "muon", warmup_steps=20, weight_decay=0.0, device=str(device), seed=seed)
    return model, train(model, Examples(task, seed), config).losses


# %% [markdown] name="task-writing-text"
# **Writing** is another thing than training. In training the decoder reads the true target, one place to the right
# (teacher forcing). To write, it starts with a start mark and reads its own tokens. We count a sequence as right
# when every token is.


# %% name="task-writing"
@torch.no_grad()
def write(model, source):
    """Greedy decoding: read once, then take the best next token, one after the other: (B, LONGEST + 1)."""
    mask = (source != PAD).long()
    memory = model.encode(source, mask)
    written = torch.full((len(source), 1), START, device=source.device)
    for _ in range(LONGEST + 1):
        logits = model(attention_mask=mask, encoder_output=memory, decoder_input_ids=written, last_only=True).logits
        written = torch.cat([written, logits[:, -1:].argmax(-1)], dim=1)
    return written[:, 1:]


def share_right(model, task, n=500):
    """The share of new sequences that are written without a mistake."""
    source, target = (x.to(device) for x in draw_examples(n, task, torch.Generator().manual_seed(seed + 1000)))
    right = (write(model, source) == target) | (target == -100)
    return right.all(1).float().mean().item()


models = {task: taught(task) for task in ("reverse", "sort")}
whole = {task: share_right(model, task) for task, (model, _) in models.items()}

# %% name="task-check"
for task, (_, losses) in models.items():
    record.metric(f"{task}: share of sequences written without a mistake", whole[task], "")
    record.check(f"{task}: over 0.9 of new sequences are written without a mistake", whole[task] > 0.9)
    record.check(
        f"{task}: the loss begins above ln V, and ends below 0.1", losses[0] > math.log(V) and losses[-1] < 0.1
    )

# %% [markdown] name="cross-map-text"
# **Where does the decoder look?** One example for each task. A row is a token that is being written, a column a
# source token. For the reversal, the first token comes from the last place, the second from the last but one: the
# weights lie on the *anti-diagonal*. Nobody told the model so. For sorting there is no fixed
# place to look at.


# %% name="cross-map-code"
@torch.no_grad()
def cross_map(model, source, target):
    """The cross-attention of the last block while the target is read, (T, S)."""
    out = model(source.to(device), labels=target.to(device), inspect=True)
    return out.cross_attentions[-1][0, 0].cpu()


digits = (
    torch.randperm(10, generator=torch.Generator().manual_seed(5))[:LONGEST]
    if LONGEST < 10
    else torch.arange(12) * 7 % 10
)
stop = torch.tensor([STOP])
source = torch.cat([digits + 3, stop])[None]
targets = {
    "reverse": torch.cat([digits.flip(0) + 3, stop])[None],
    "sort": torch.cat([digits.sort().values + 3, stop])[None],
}
maps = {task: cross_map(models[task][0], source, target) for task, target in targets.items()}

# %% name="cross-map"
fig, axes = plots.figure("Reversing", "Sorting", width=7.6, height=3.6)
labels = {task: ["." if i == STOP else str(i - 3) for i in target[0].tolist()] for task, target in targets.items()}
read = [str(i - 3) for i in source[0].tolist()[:-1]] + ["."]
for ax, (task, one) in zip(axes, maps.items(), strict=True):
    plots.heat_map(ax, one, labels[task], read, x_label="source token looked at", y_label="token being written")
plots.show(
    fig,
    alt="Two cross-attention maps. Reversing: dark from the upper right to the lower left. Sorting: no such line: "
    "each row has its weight somewhere else.",
)


# %% name="cross-map-check"
def weight_on_anti_diagonal(task):
    """The mean weight on the anti-diagonal, over all new sequences of full length."""
    sources, answers = draw_examples(400, task, torch.Generator().manual_seed(seed + 2000))
    full = sources[:, LONGEST] == STOP
    with torch.no_grad():
        seen = models[task][0](sources[full].to(device), labels=answers[full].to(device), inspect=True)
    mean_map = seen.cross_attentions[-1][:, 0].mean(0).cpu()  # (T, S)
    return torch.stack([mean_map[t, LONGEST - 1 - t] for t in range(LONGEST)]).mean()


anti = {task: weight_on_anti_diagonal(task) for task in models}
for task, weight in anti.items():
    record.metric(f"{task}: mean weight on the anti-diagonal", weight)
record.check("reversing: over half of the weight lies on the anti-diagonal", anti["reverse"] > 0.5)
record.check("sorting: less than 0.3 of it", anti["sort"] < 0.3)

# %% [markdown] name="broken"
# ## 拆掉一个部件 · Take one part away
#
# The same training, the same task (reversing), and one part is missing. Before you look: without which part does
# the training loss still become excellent?

# %% name="broken-parts"


class SeesTheFuture(Stack):
    """A decoder's stack without the causal mask."""

    def forward(self, x, mask=None, *, causal=False, **options):
        return super().forward(x, mask, causal=False, **options)


class NoResidualStack(Stack):
    """A stack of blocks without residual connections."""

    def make_blocks(self, shape):
        return [WithoutResidual(shape) for _ in range(shape.n_layers)]


def without_positions(model):
    model.table.zero_()


def exchanged(kind, stack, side):
    """A stack of another kind with the same weights."""
    other = kind(CONFIG.shape(side))
    other.load_state_dict(stack.state_dict())
    return other


def without_mask(model):
    model.decoder = exchanged(SeesTheFuture, model.decoder, "decoder")


def without_residual(model):
    model.encoder = exchanged(NoResidualStack, model.encoder, "encoder")
    model.decoder = exchanged(NoResidualStack, model.decoder, "decoder")


# %% name="broken-training"
changes = {"no positions": without_positions, "no residual": without_residual, "no causal mask": without_mask}
broken = {name: taught("reverse", change) for name, change in changes.items()}
runs = {"whole": models["reverse"], **broken}
final_loss = {name: float(np.mean(losses[-20:])) for name, (_, losses) in runs.items()}
right = {name: share_right(model, "reverse") for name, (model, _) in runs.items()}

# %% name="broken-plot"
fig, (left, middle) = plots.figure("Training loss", "New sequences written right", width=8.6, height=3.0)
smooth = {name: np.convolve(losses, np.ones(10) / 10, mode="valid") for name, (_, losses) in runs.items()}
plots.lines(left, np.arange(N_STEPS - 9) + 10, smooth, x_label="step", y_label="loss (nats a token)", markers=False)
left.set_ylim(0, 2.6)
middle.barh(range(len(right)), list(right.values()), height=0.6, color="#9db8d9", edgecolor=plots.COLOURS[0])
for i, value in enumerate(right.values()):
    middle.text(value, i, f" {value:.2f}", va="center", fontsize=8)
middle.set_yticks(range(len(right)), list(right))
middle.set_ylim(len(right) - 0.5, -0.5)
middle.set_xlim(0, 1.15)
middle.set_xlabel("share without a mistake")
middle.grid(visible=False, axis="y")
plots.show(
    fig,
    alt="Left: four loss curves. Without positions the loss stays high, without residuals it falls slowly, without the "
    "causal mask it falls at least as fast as the whole model's. Right: the whole model writes nearly all sequences "
    "right, the one without residuals fewer, without positions few, and without the mask few.",
)

# %% name="broken-check"
for name in runs:
    record.metric(f"{name}: final loss", final_loss[name], "nats")
    record.metric(f"{name}: sequences written right", right[name])
record.check(
    "no positions: the loss stays above 0.5, and under a fifth is right",
    final_loss["no positions"] > 0.5 and right["no positions"] < 0.2,
)
record.check(
    "no residual: it learns more slowly", final_loss["no residual"] > 2 * final_loss["whole"] or profile == "full"
)
record.check("no mask: the training loss is excellent all the same, below 0.05", final_loss["no causal mask"] < 0.05)
record.check("no mask: fewer than half of the sequences are written right", right["no causal mask"] < 0.5)

# %% [markdown] name="broken-lesson"
# Three failures, three signatures:
#
# - **No positions**: the model knows *which* digits, and not in which order. The loss stops at a level and stays there.
# - **No residual**: it learns, but more slowly. With one block on each side that is a nuisance; with twenty, all
#   tokens are alike.
# - **No causal mask**: the most dangerous one. The decoder reads the answer in its own input, so the loss is
# excellent. Only *writing* shows how little was learned. A training loss that is too good is a leak until proven
# otherwise.

# %% [markdown] name="broken-leak-text"
# How large is the gap? Ask the leaky model twice for the same sequences: once while it reads the true target, as in
# training, and once while it writes.

# %% name="broken-leak"
source, target = (x.to(device) for x in draw_examples(500, "reverse", torch.Generator().manual_seed(seed + 3000)))
mask = (source != PAD).long()
with torch.no_grad():
    told = broken["no causal mask"][0](source, mask, labels=target).logits.argmax(-1)
told_right = ((told == target) | (target == -100)).all(1).float().mean().item()
record.metric("no causal mask: sequences right while the target is read", told_right)
record.check("told the answer, it has over 0.95 of the sequences right", told_right > 0.95)
record.check("that is more than double what it can write", told_right > 2 * right["no causal mask"])

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# What the documents state about the architecture, put to a test. Each cell computes the document's version and the
# correct one, and checks both.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("02_core_concepts/03_transformer")

# %% name="ledger-data"
x = 2 + 3 * torch.randn(2, 6, 16)  # (B, T, C)
network = FeedForward(16, 64).requires_grad_(False)
pair = (
    Transformer(TransformerConfig(20, d_model=16, n_layers=1, n_heads=2, d_ff=32, dropout=0.0))
    .eval()
    .requires_grad_(False)
)
source, target = torch.randint(3, 20, (1, 6)), torch.randint(3, 20, (1, 5))


# %% [markdown] name="ledger-cells-text"
# ### 逐条检验 · Claim by claim


# %% name="ledger-only-attention" tags=["ledger"]
def document_version(block):
    """001 §2.2, 004 §2.2.1: the model is built from attention alone. The share of attention in a block's weights."""
    return 1.0


def correct_version(block):
    """Counted."""
    return sum(p.numel() for p in block.attention.parameters()) / sum(p.numel() for p in block.parameters())


block = Block(Shape(64, 1, 4, 256))
others = sum(p.numel() for name, p in block.named_parameters() if not name.startswith("attention."))
n_all = sum(p.numel() for p in block.parameters())
record.check(
    "attention has a third of the weights",
    math.isclose(correct_version(block), 1 - others / n_all) and correct_version(block) < 0.35,
)
record.check("the document's reading leaves no room for the others", document_version(block) + others / n_all > 1.5)


# %% name="ledger-pointwise" tags=["ledger"]
def document_version(x):
    """001 §2.2: the feed-forward network transforms each position for itself."""
    return torch.stack([network(x[:, t]) for t in range(x.size(1))], dim=1)


def correct_version(x):
    """All positions at once."""
    return network(x)


record.check("one by one is the same as at once", torch.allclose(document_version(x), correct_version(x), atol=1e-5))


# %% name="ledger-residual" tags=["ledger"]
def document_version(x):
    """001 §2.2, 004 §2.2.4: input and output are added, which hands the gradient on. The Jacobian of x + f(x)."""
    return torch.func.jacrev(lambda v: v + network(v))(x)


def correct_version(x):
    """By the sum rule: the identity plus the sublayer's own."""
    return torch.eye(16) + torch.func.jacrev(network)(x)


record.check(
    "the gradient keeps a straight way: I + J",
    torch.allclose(document_version(x[0, 0]), correct_version(x[0, 0]), atol=1e-5),
)


# %% name="ledger-norm-of-layer" tags=["ledger"]
def document_version(x):
    """001 §2.2, 004 §2.2.4: the outputs of a layer are normalised by mean and variance. Of the whole layer's output."""
    return (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + 1e-5)


def correct_version(x):
    """Each token by its own mean and variance, over its features."""
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5)


expected = F.layer_norm(x, (16,))
record.check(
    "over all tokens together it is not LayerNorm", not torch.allclose(document_version(x), expected, atol=1e-2)
)
record.check("token by token it is", torch.allclose(correct_version(x), expected, atol=1e-5))


# %% name="ledger-prefix-and-source" tags=["ledger"]
def document_version(source, target):
    """001 §2.2, 004 §2.2.1: the decoder goes by the encoder's output and the prefix. One prefix after the other."""
    memory = pair.encode(source)
    steps = [pair(encoder_output=memory, decoder_input_ids=target[:, : t + 1]).logits[:, -1:] for t in range(5)]
    return torch.cat(steps, dim=1)


def correct_version(source, target):
    """The whole target in one pass, as in training."""
    return pair(source, decoder_input_ids=target).logits


same = torch.allclose(document_version(source, target), correct_version(source, target), atol=1e-5)
record.check("memory and prefix settle the output", same)


# %% name="ledger-long-range" tags=["ledger"]
def document_version(distance):
    """001 §2.1, 003 §2.2: long-range dependencies are captured. What a trained Transformer block tells of token 1."""
    return told(Stack(Shape(32, 1, 2, 64, norm_first=True)), lambda out: out.output, distance)


def correct_version(distance):
    """To capture is to tell all of them rightly."""
    return 1.0


def told(network, states, distance):
    """The share of new texts (4 kinds of token) whose first token is told from the last state, after 200 steps."""
    table, head = nn.Embedding(4, 32), nn.Linear(32, 4)
    optimizer = torch.optim.Adam([*table.parameters(), *head.parameters(), *network.parameters()], lr=5e-3)
    for _ in range(201):
        ids = torch.randint(4, (32, distance + 1))  # new at each step
        scores = head(states(network(table(ids) + sinusoidal(distance + 1, 32)))[:, -1])  # (B, 4)
        optimizer.zero_grad()
        F.cross_entropy(scores, ids[:, 0]).backward()
        optimizer.step()
    return (scores.argmax(1) == ids[:, 0]).float().mean().item()


for distance in (5, 60):
    same = abs(document_version(distance) - correct_version(distance)) < 0.07
    record.check(f"{distance} tokens back: the block learns to tell the first token", same)
lstm = [told(nn.LSTM(32, 32, batch_first=True), lambda out: out[0], distance) for distance in (5, 60)]
record.check("in the same training an LSTM learns it at 5 tokens, and not at 60", lstm[0] > 0.9 and lstm[1] < 0.6)

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/02_core_concepts/03_transformer.ipynb), about 65 minutes, four questions:
#
# 1. a sublayer with its residual and norm, before or after;
# 2. count the parameters of an encoder-decoder;
# 3. what the decoder reads, and what it is asked for;
# 4. shapes, and a diagnosis: which part is missing?
#
# To go on: 3.2 and 3.3 take encoder and decoder apart, 4.4 derives the positions, 5.2 writes all of it anew.
