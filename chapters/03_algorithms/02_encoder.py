# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 3.2 编码器 · The encoder
#
# 本节沿着一个句子走完编码器：先把词元变成向量并加上位置编码，再依次经过自注意力、前馈网络、残差连接与层归一化。
# 每个子层都先用几行代码写出来，再与 PyTorch 的 `TransformerEncoderLayer` 和 lmlib 逐一核对。
# 最后打开一个训练好的句子编码器，逐层看它对词向量做了什么；文档中的步骤逐条用程序检验。
#
# After this section you can write an encoder layer from memory, name the shape at every station, and say what goes
# wrong when one part is missing. You will also have seen that attention makes words alike, and that the
# feed-forward layer sets them apart again.

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
from lmlib.attention import MultiHeadAttention, attention, padding_mask
from lmlib.course import ledger, record, session
from lmlib.layers import FeedForward
from lmlib.models import from_pretrained
from lmlib.models.transformer import Transformer, TransformerConfig, torch_layer_names
from lmlib.positions import sinusoidal
from lmlib.transformer import Block, Shape

device = session.start(seed, device, profile)

# %% [markdown] name="encoder"
# ## 编码器做什么 · What an encoder is for
#
# A river has a bank, and so has a high street. A table of word vectors has one row for *bank*, so both banks start as
# the same vector. A reader who knows the sentence knows which one is meant. The **encoder** (编码器) is the part
# of a Transformer that reads: it takes one vector for each token and gives back one vector for each token. The shape
# does not change. What changes is that each vector now depends on the whole sentence.
#
# Does it work? We ask all-MiniLM-L6-v2, a trained encoder with 6 layers. Four sentences speak of rivers, four of
# money. We take the vector of *bank* after each layer and compare all pairs.

# %% name="bank-vectors"
RIVER = [
    "The bank of the river was muddy.",
    "We sat on the grassy bank and watched the boats.",
    "The fish hid under the bank of the stream.",
    "The flood washed away the bank of the canal.",
]
MONEY = [
    "The bank lent him money for a house.",
    "She opened an account at the bank.",
    "The bank raised its interest rates.",
    "He paid the cheque into the bank.",
]
reader = from_pretrained("all-MiniLM-L6-v2").to(device)


@torch.no_grad()
def states_of(word, sentence):
    """The unit vector of a word at the input and after each layer, (L + 1, C)."""
    ids = reader.tokenizer([sentence])["input_ids"].to(device)  # (1, T)
    place = reader.tokenizer.tokens(ids[0].tolist()).index(word)
    states = torch.stack(reader.encoder(ids, inspect=True).hidden_states)[:, 0]  # (L + 1, T, C)
    return F.normalize(states[:, place], dim=-1).cpu()


river, money = (torch.stack([states_of("bank", s) for s in group]) for group in (RIVER, MONEY))  # (4, L + 1, C)


# %% name="bank-plot"
def mean_cosine(one, other, same=False):
    """Mean cosine of all pairs at each layer, (L + 1,); `same` leaves out each vector with itself."""
    cosines = torch.einsum("nlc,mlc->lnm", one, other)
    keep = ~torch.eye(len(one), dtype=torch.bool) if same else torch.ones(len(one), len(other), dtype=torch.bool)
    return cosines[:, keep].mean(-1)


alike = (mean_cosine(river, river, True) + mean_cosine(money, money, True)) / 2
unlike = mean_cosine(river, money)
fig, (ax,) = plots.figure("The word bank, layer by layer", width=5.8)
curves = {"the same meaning": alike, "river and money": unlike}
plots.lines(ax, range(7), curves, x_label="layer (0: the input)", y_label="mean cosine of two banks")
plots.show(
    fig,
    alt="Mean cosine between vectors of the word bank. At the input both curves are close to 1 and nearly equal. "
    "From layer 1 on the pairs of unlike meaning lie clearly below the pairs of one meaning.",
)

# %% name="bank-check"
gap = alike - unlike
record.metric("bank: gap of the cosines at the input", gap[0])
record.metric("bank: gap of the cosines at the output", gap[-1])
record.check("at the input the meanings cannot be told apart: a gap below 0.01", gap[0] < 0.01)
record.check("at the output they can: a gap above 0.05", gap[-1] > 0.05)

# %% [markdown] name="stations"
# The two curves do not begin at exactly 1, because a position is already added at the input: the same word at
# another place is another vector. What happens in between is the subject of this section. The stations:
#
# | station | what goes on | where |
# | --- | --- | --- |
# | input embedding 输入嵌入 | a row of a table for each token | once |
# | positional encoding 位置编码 | a vector for each place is added | once |
# | self-attention 自注意力 | words fetch something from each other | in every layer |
# | residual and norm 残差与归一化 | what came in is added back; the size is set | in every layer |
# | feed-forward 前馈 | each word is worked on alone | in every layer |
# | residual and norm | once more | in every layer |
#
# One letter for one thing: B sentences, T tokens each, C numbers for each token ($d_{model}$), H heads of D = C/H
# numbers, F numbers inside the feed-forward layer ($d_{ff}$), V tokens in the vocabulary.

# %% [markdown] name="input-embedding"
# ## 输入嵌入 · Input embedding
#
# Token ids are names, not quantities: token 7 is not larger than token 3 in any sense. So each id selects a **row**
# of a table $E$ of shape (V, C). That is the same as multiplying a one-hot vector by $E$, without the
# multiplications by 0. The rows are parameters; training moves them.
#
# The paper of 2017 then multiplies by $\sqrt{C}$:
#
# $$x_t = \sqrt{d_{model}}\; E[\mathrm{id}_t]$$
#
# | symbol | shape | what it is |
# | --- | --- | --- |
# | $\mathrm{id}$ | (B, T) | integers from 0 to V − 1 |
# | $E$ | (V, C) | the embedding table |
# | $x$ | (B, T, C) | one vector for each token |

# %% name="sentences" tags=["nbval-check-output"]
SENTENCES = ["the old sailor told the children a story", "she slept"]
words = ["<pad>", *dict.fromkeys(" ".join(SENTENCES).split())]
C, H, FF, T = 32, 4, 128, 8
ids = torch.tensor([[words.index(w) for w in s.split()] + [0] * (T - len(s.split())) for s in SENTENCES])  # (B, T)
real = ids > 0  # (B, T): True at tokens, False at padding
print(f"V = {len(words)}")
print(ids.tolist())


# %% name="embed"
def embed(ids, table):
    """Input embedding: ids (B, T), table (V, C) -> (B, T, C)."""
    return table[ids] * math.sqrt(table.size(1))


table = torch.randn(len(words), C) / math.sqrt(C)  # rows of length about 1
tokens = embed(ids, table)

# %% name="embed-check" tags=["nbval-check-output"]
one_hot = F.one_hot(ids, len(words)).float()  # (B, T, V)
print("ids", tuple(ids.shape), "one-hot", tuple(one_hot.shape), "tokens", tuple(tokens.shape))
record.check("a row of the table is a one-hot vector times the table", torch.allclose(one_hot @ table, table[ids]))
record.check("both words 'the' get the same vector", torch.equal(tokens[0, 0], tokens[0, 4]))
trained = table.clone().requires_grad_()
embed(ids[:1], trained).square().sum().backward()
moved = trained.grad.abs().sum(1) > 0
record.check(
    "only rows of tokens that occur get a gradient", moved.tolist() == [i in ids[0] for i in range(len(words))]
)

# %% [markdown] name="positional-encoding"
# ## 位置编码 · Positional encoding
#
# Attention does not know the order (section 2.2 proves it). So each place gets a vector of its own, and it is
# **added** to the token's vector. The paper takes sines and cosines of C/2 frequencies, from one radian a step down
# to about 1/10000:
#
# $$P_{t,2i} = \sin\!\left(t / 10000^{2i/C}\right),\qquad P_{t,2i+1} = \cos\!\left(t / 10000^{2i/C}\right)$$
#
# $P$ is (T, C), the same for every sentence. Sine and cosine squared sum to 1, so every row has the length
# $\sqrt{C/2}$. (Vaswani et al. 2017, section 3.5. Section 4.4 looks at other kinds.)


# %% name="position-code"
def position_table(n_positions, d_model):
    """Sinusoidal positions, (T, C)."""
    rates = 10_000.0 ** (-torch.arange(0, d_model, 2) / d_model)  # (C/2,)
    angles = torch.arange(n_positions)[:, None] * rates  # (T, C/2)
    places = torch.empty(n_positions, d_model)
    places[:, 0::2], places[:, 1::2] = angles.sin(), angles.cos()
    return places


places = position_table(64, C)
x = tokens + places[:T]  # (B, T, C)

# %% name="position-check" tags=["nbval-check-output"]
record.check("lmlib's table is the same", torch.allclose(places, sinusoidal(64, C), atol=1e-6))
by_hand = [math.sin(3 / 10_000 ** (4 / C)), math.cos(3 / 10_000 ** (4 / C))]
record.check("place 3, columns 4 and 5, worked out singly", np.allclose(places[3, 4:6].numpy(), by_hand, atol=1e-6))
record.check("every row has the length √(C/2)", torch.allclose(places.norm(dim=1), torch.tensor(C / 2).sqrt()))
record.check("the two words 'the' are now different vectors", not torch.allclose(x[0, 0], x[0, 4], atol=0.1))

# %% [markdown] name="scale-text"
# ### 为什么乘以 √d_model · Why the factor, and does adding not mix things up?
#
# A sum forgets its parts: from 7 alone you cannot tell 3 + 4. Can the layers above still tell which token it was and
# where it stood? We test it with the simplest reader there is. Add the vector of a random token to that of a random
# place, then look for the token whose row fits the sum best, and for the place that fits it best.
#
# Rows of the table have a length of about 1, as lmlib starts them (variance 1/C). We try it with the factor $\sqrt C$
# and without.

# %% name="read-back"
WIDTHS = [8, 16, 32, 64, 128, 256]
N_TOKENS, N_PLACES, N_DRAWS = 1000, 64, {"quick": 2000, "full": 20_000}[profile]


def read_back(d_model, factor):
    """Shares of tokens and of places that are found again in the sum of both."""
    rows = torch.randn(N_TOKENS, d_model) / math.sqrt(d_model) * factor
    spots = sinusoidal(N_PLACES, d_model)
    token, place = torch.randint(N_TOKENS, (N_DRAWS,)), torch.randint(N_PLACES, (N_DRAWS,))
    both = rows[token] + spots[place]  # (N, C)
    nearest_token = (both @ rows.T - rows.square().sum(1) / 2).argmax(1)  # the least distance
    nearest_place = (both @ spots.T).argmax(1)  # all places are equally long
    return (nearest_token == token).float().mean().item(), (nearest_place == place).float().mean().item()


scaled = np.array([read_back(d_model, math.sqrt(d_model)) for d_model in WIDTHS])
plain = np.array([read_back(d_model, 1.0) for d_model in WIDTHS])

# %% name="read-back-plot"
fig, axes = plots.figure("Without the factor", "With the factor √d_model", width=7.6, height=2.9)
for ax, shares in zip(axes, (plain, scaled), strict=True):
    curves = {"token found": shares[:, 0], "place found": shares[:, 1]}
    plots.lines(ax, WIDTHS, curves, x_label="d_model", y_label="share found (0 to 1)")
    ax.set_xscale("log", base=2)
    ax.set_xticks(WIDTHS, [str(n) for n in WIDTHS])
    ax.set_ylim(-0.03, 1.03)
    ax.legend(loc="center right" if shares is plain else "lower right")
plots.show(
    fig,
    alt="Share of tokens and places that a nearest-row reader finds in their sum, against d_model. Without the "
    "factor places are found from width 16 on, and tokens are lost at every width. With it tokens are found from "
    "width 32 on, and places more and more as the width grows.",
)

# %% name="read-back-check"
record.check("without the factor tokens drown: under 10 % are found at any width", plain[:, 0].max() < 0.1)
record.check("with it, all but 1 % are found from width 32 on", scaled[2:, 0].min() > 0.99)
record.check("wider is better for places too: over 75 % at width 256", scaled[-1, 1] > 0.75 > scaled[2, 1])

# %% [markdown] name="scale-lesson"
# So adding does little harm where there is room: in many dimensions two random vectors are nearly at right angles. But
# the two parts must have similar lengths. A row of length 1 beside a position of length $\sqrt{C/2}$ is a whisper
# beside a shout. The factor makes up for the *small start* of the table. `nn.Embedding` itself starts with variance
# 1, rows of length $\sqrt C$; there the factor would be too much. The factor and the start belong together.
#
# lmlib's `Transformer` does both in `embed`. From here on we use that.

# %% name="embed-library" tags=["nbval-check-output"]
config = TransformerConfig(vocab_size=len(words), d_model=C, n_layers=2, n_heads=H, d_ff=FF, max_positions=64)
transformer = Transformer(config).eval()
where = torch.arange(T)
library = transformer.embed(ids, where, "encoder")
ours = embed(ids, transformer.embedding.weight) + position_table(T, C)
record.check("lmlib's Transformer embeds as we do", torch.allclose(library, ours, atol=1e-5))

# %% [markdown] name="self-attention"
# ## 自注意力层 · The self-attention sublayer
#
# Section [2.2](../02_core_concepts/02_attention.ipynb) builds attention. Here it is one sublayer: project to queries,
# keys and values, attend in H heads, put the heads side by side, multiply by $W_O$.
#
# | step | shape |
# | --- | --- |
# | $x$ | (B, T, C) |
# | $xW_Q,\ xW_K,\ xW_V$, cut into heads | 3 × (B, H, T, D) |
# | scores, weights | (B, H, T, T) |
# | heads side by side, times $W_O$ | (B, T, C) |
#
# An encoder reads a sentence that is all there. So there is **no causal mask**: every word may look at every word, to
# the left and to the right. Only padding is hidden. Our weights are those of PyTorch's own layer, so that we can
# compare.

# %% name="peer"
peer = nn.TransformerEncoderLayer(C, H, FF, dropout=0.0, batch_first=True).requires_grad_(False)
for parameter in peer.parameters():
    if parameter.dim() == 1:
        parameter += 0.1 * torch.randn_like(parameter)  # biases of 0 would hide a mistake with them
w = peer.state_dict()
for name, tensor in w.items():
    print(f"{name:25} {tuple(tensor.shape)}")


# %% name="attention-sublayer"
def self_attention(x, w, n_heads, real):
    """x (B, T, C), real (B, T) bool -> what each word fetched, (B, T, C), and the weights (B, H, T, T)."""
    joint = F.linear(x, w["self_attn.in_proj_weight"], w["self_attn.in_proj_bias"])  # (B, T, 3C)
    query, key, value = (part.unflatten(-1, (n_heads, -1)).transpose(1, 2) for part in joint.chunk(3, dim=-1))
    heads, weights = attention(query, key, value, padding_mask(real))  # (B, H, T, D), (B, H, T, T)
    merged = heads.transpose(1, 2).flatten(2)  # (B, T, C)
    return F.linear(merged, w["self_attn.out_proj.weight"], w["self_attn.out_proj.bias"]), weights


fetched, weights = self_attention(x, w, H, real)

# %% name="attention-check" tags=["nbval-check-output"]
print("x", tuple(x.shape), "weights", tuple(weights.shape), "fetched", tuple(fetched.shape))
expected, _ = peer.self_attn(x, x, x, key_padding_mask=~real)  # PyTorch's mask: True means hidden
record.check("from scratch equals PyTorch's sublayer", torch.allclose(fetched, expected, atol=1e-6))
alone, _ = self_attention(x[1:, :2], w, H, real[1:, :2])
record.check("'she slept' is the same alone and in the padded batch", torch.allclose(alone, fetched[1:, :2], atol=1e-6))
record.check("the first word takes something from the last", bool(weights[0, :, 0, -1].min() > 0))

# %% [markdown] name="feed-forward"
# ## 前馈神经网络层 · The feed-forward sublayer
#
# Attention mixes values, and a mixture is linear in the values. Work that is not linear happens here: up to F numbers,
# every negative one set to 0, and down again. The same two matrices serve every position.
#
# $$\mathrm{FFN}(x) = \max(0,\ xW_1 + b_1)\,W_2 + b_2$$
#
# | symbol | shape |
# | --- | --- |
# | $x$ | (B, T, C) |
# | $W_1, b_1$ | (C, F), (F); usually F = 4C |
# | $W_2, b_2$ | (F, C), (C) |


# %% name="feed-forward-code"
def feed_forward(x, w):
    """Each position alone: (B, T, C) -> (B, T, F) -> (B, T, C)."""
    inner = F.relu(F.linear(x, w["linear1.weight"], w["linear1.bias"]))  # (B, T, F)
    return F.linear(inner, w["linear2.weight"], w["linear2.bias"])


# %% name="feed-forward-check" tags=["nbval-check-output"]
library = FeedForward(C, FF)
names = {"inner.weight": "linear1.weight", "inner.bias": "linear1.bias"}
names |= {"outer.weight": "linear2.weight", "outer.bias": "linear2.bias"}
library.load_state_dict({ours: w[theirs] for ours, theirs in names.items()})
record.check("lmlib's FeedForward gives the same", torch.allclose(feed_forward(x, w), library(x), atol=1e-6))
one_by_one = torch.stack([feed_forward(x[:, t], w) for t in range(T)], dim=1)
record.check("position by position gives the same", torch.allclose(feed_forward(x, w), one_by_one, atol=1e-6))
in_one = w["linear2.weight"] @ w["linear1.weight"]  # (C, C)
linear = F.linear(F.linear(x, w["linear1.weight"]), w["linear2.weight"])
record.check("without the ReLU two matrices would be one", torch.allclose(linear, F.linear(x, in_one), atol=1e-5))
counts = {k: sum(v.numel() for n, v in w.items() if n.startswith(k)) for k in ("self_attn", "linear", "norm")}
print("parameters:", counts)
record.check("feed-forward holds about two thirds of the layer", 0.6 < counts["linear"] / sum(counts.values()) < 0.7)

# %% [markdown] name="influence-text"
# **Who influences whom?** Push one word's vector a little and see which outputs move. Do it for every word, in both
# sublayers. Before you look: which map is full, and which is empty but for the diagonal?


# %% name="influence"
def influence(function):
    """How far each output moves when each input is pushed, (T, T), the largest as 1."""
    push = 0.1 * torch.randn(C)
    rows = []
    for t in range(T):
        pushed = x[:1].clone()
        pushed[:, t] += push
        rows.append((function(pushed) - function(x[:1])).norm(dim=-1)[0])
    moved = torch.stack(rows, dim=1)  # (outputs, inputs)
    return moved / moved.max()


by_attention = influence(lambda y: self_attention(y, w, H, real[:1])[0])
by_feed_forward = influence(lambda y: feed_forward(y, w))
fig, axes = plots.figure("Self-attention", "Feed-forward", width=7.6, height=3.3)
labels = SENTENCES[0].split()
for ax, one in zip(axes, (by_attention, by_feed_forward), strict=True):
    plots.heat_map(ax, one, labels, labels, x_label="input that is pushed", y_label="output that moves")
plots.show(
    fig,
    alt="Two maps of 8 by 8 words. Self-attention: every field is coloured, for each input moves every output. "
    "Feed-forward: only the diagonal is coloured.",
)

# %% name="influence-check" tags=["nbval-check-output"]
record.check("in attention every word moves every word", bool((by_attention > 0.01).all()))
off = ~torch.eye(T, dtype=torch.bool)
record.check("in the feed-forward layer it moves itself alone, exactly", not by_feed_forward[off].any())

# %% [markdown] name="influence-lesson"
# Remember the encoder like this: **attention moves information between places, the feed-forward layer works on it in
# place.** Whatever a word knows about its neighbours came through an attention sublayer.

# %% [markdown] name="residual-and-norm"
# ## 残差连接与层归一化 · Residual connection and layer normalisation
#
# A sublayer does not replace its input. Its output is *added* to it, and the sum is normalised:
#
# $$y = \mathrm{LayerNorm}(x + \mathrm{Sublayer}(x)),\qquad
# \mathrm{LayerNorm}(z) = g \odot \frac{z - \mu}{\sqrt{\sigma^2 + \varepsilon}} + b$$
#
# $\mu$ and $\sigma^2$ are mean and variance of the C numbers of **one** vector: not over the sentence, not over the
# batch. The variance divides by C, not by C − 1. $g$ and $b$ (C) are learned, $\varepsilon$ keeps the root away from
# 0.


# %% name="norm-code"
def layer_norm(z, gain, shift, eps=1e-5):
    """Each vector of z (B, T, C) gets mean 0 and variance 1, then the learned gain and shift (C)."""
    mean = z.mean(-1, keepdim=True)  # (B, T, 1)
    variance = z.var(-1, keepdim=True, unbiased=False)
    return gain * (z - mean) / torch.sqrt(variance + eps) + shift


def add_and_norm(x, h, w, name):
    """The residual connection and the norm after it."""
    return layer_norm(x + h, w[f"{name}.weight"], w[f"{name}.bias"])


# %% name="norm-check" tags=["nbval-check-output"]
plain_norm = layer_norm(x, torch.ones(C), torch.zeros(C))
record.check("each vector has mean 0", torch.allclose(plain_norm.mean(-1), torch.zeros(2, T), atol=1e-6))
record.check("and the length √C", torch.allclose(plain_norm.norm(dim=-1), torch.tensor(C).sqrt(), rtol=1e-3))
record.check("ten times the input, the same output", torch.allclose(plain_norm, layer_norm(10 * x, 1, 0), atol=1e-3))
record.check(
    "PyTorch's layer_norm is the same",
    torch.allclose(peer.norm1(x), layer_norm(x, w["norm1.weight"], w["norm1.bias"]), atol=1e-6),
)
record.check("the other words don't matter", torch.allclose(plain_norm[:, :1], layer_norm(x[:, :1], 1, 0)))

# %% [markdown] name="depth-text"
# ### 深了会怎样 · What they are good for shows in a deep stack
#
# Why both? Stack random layers, none of them trained, and watch two numbers on the way up. How alike are the word
# vectors (mean cosine of all pairs)? And how much of the gradient that leaves the top arrives at the bottom? Five
# stacks: bare sublayers, residual only, norm only, both as above (**post-norm**), and both with the norm moved to the
# *input* of the sublayer, $x + \mathrm{Sublayer}(\mathrm{LayerNorm}(x))$ (**pre-norm**).

# %% name="depth-code"
DEPTH = {"quick": 24, "full": 96}[profile]
STACKS = {  # how a sublayer f with its norm n is wired
    "bare": lambda z, f, n: f(z),
    "residual only": lambda z, f, n: z + f(z),
    "norm only": lambda z, f, n: n(f(z)),
    "both, post-norm": lambda z, f, n: n(z + f(z)),
    "both, pre-norm": lambda z, f, n: z + f(n(z)),
}


def random_layer():
    """A layer with weights as a Transformer starts them."""
    block = Block(Shape(d_model=64, n_heads=4, d_ff=256))
    for module in block.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    return block


# %% name="depth-run"
def likeness(states):
    """Mean cosine of all pairs of words, states (T, C)."""
    unit = F.normalize(states, dim=-1)
    cosines = unit @ unit.T
    return ((cosines.sum() - len(unit)) / (cosines.numel() - len(unit))).item()


def climb(wire):
    """Likeness of the words, and gradient relative to the top, after each layer from 0 to DEPTH."""
    torch.manual_seed(seed)
    z = torch.randn(1, 16, 64, requires_grad=True)
    states = [z]
    for _ in range(DEPTH):
        block = random_layer()
        z = wire(z, lambda y, block=block: block.attention(y)[0], block.attention_norm)
        z = wire(z, block.feed_forward, block.feed_forward_norm)
        z.retain_grad()
        states.append(z)
    z.backward(torch.randn_like(z))
    gradients = np.array([s.grad.norm().item() for s in states])
    return [likeness(s.detach()[0]) for s in states], gradients / gradients[-1]


climbs = {name: climb(wire) for name, wire in STACKS.items()}

# %% name="depth-plot"
fig, (left, right) = plots.figure("How alike the words become", "How much gradient comes down", width=7.4, height=2.8)
layers = np.arange(DEPTH + 1)
alike_curves = {name: run[0] for name, run in climbs.items()}
gradient_curves = {name: np.maximum(run[1], 1e-30) for name, run in climbs.items()}
plots.lines(left, layers, alike_curves, x_label="layer", y_label="mean cosine of two words", markers=False)
plots.lines(right, layers, gradient_curves, x_label="layer", y_label="gradient / gradient at the top", markers=False)
right.set_yscale("log")
right.get_legend().remove()
plots.show(
    fig,
    alt="Left: bare and norm-only stacks make all words alike within about four layers; residuals slow this down, "
    "pre-norm most. Right, logarithmic: towards layer 0 the gradient of the bare stack shrinks by many orders "
    "of magnitude, that of the residual-only stack grows by many; with a norm, alone or with the residual, it stays "
    "within about two orders of magnitude, with both nearest to 1.",
)

# %% name="depth-check"
record.check("bare: the words are all alike after four layers", climbs["bare"][0][4] > 0.99)
record.check("bare: under a millionth of the gradient arrives", climbs["bare"][1][0] < 1e-6)
record.check("residual only: the gradient explodes, over a thousandfold", climbs["residual only"][1][0] > 1e3)
record.check("norm only: the words are alike all the same", climbs["norm only"][0][4] > 0.99)
record.check(
    "norm only: over a thousand times as much gradient arrives as bare",
    climbs["norm only"][1][0] > 1e3 * climbs["bare"][1][0],
)
for name in ("both, post-norm", "both, pre-norm"):
    record.check(f"{name}: the gradient stays within a factor of 30", 1 / 30 < climbs[name][1][0] < 30)
record.check(
    "pre-norm keeps the words apart longest", climbs["both, pre-norm"][0][-1] < climbs["both, post-norm"][0][-1]
)

# %% [markdown] name="depth-lesson"
# The norm keeps the size in hand, and with it the gradient: without a norm it dies (bare) or explodes (residual only).
# The residual *slows down* how the words grow alike. It does not stop it: in post-norm the words of this untrained
# stack are nearly the same at the top, and only pre-norm keeps them apart so long. Attention pulls together; training
# has to work against it. (Dong et al. 2021 prove that attention alone loses all differences; Xiong et al. 2020 compare
# post-norm and pre-norm. Most models after GPT-2 are pre-norm.)

# %% [markdown] name="layer"
# ## 一层，然后许多层 · One layer, then many
#
# Now put the sublayers together. Nothing is new here; the order is all.


# %% name="layer-code"
def encoder_layer(x, w, n_heads, real):
    """One layer of the encoder of 2017: (B, T, C) -> (B, T, C)."""
    fetched, _ = self_attention(x, w, n_heads, real)
    x = add_and_norm(x, fetched, w, "norm1")
    return add_and_norm(x, feed_forward(x, w), w, "norm2")


# %% name="layer-check" tags=["nbval-check-output"]
out = encoder_layer(x, w, H, real)
expected = peer(x, src_key_padding_mask=~real)  # (B, T, C); padded positions hold numbers that nobody reads
record.check(
    "from scratch equals torch.nn.TransformerEncoderLayer", torch.allclose(out[real], expected[real], atol=1e-5)
)
block = Block(Shape(d_model=C, n_heads=H, d_ff=FF)).requires_grad_(False)
names = torch_layer_names("ours", "theirs", decoder=False)  # what a weight is called here and there
block.load_state_dict({a.removeprefix("ours."): w[b.removeprefix("theirs.")] for a, b in names.items()})
library, _, _ = block(x, mask=padding_mask(real))
record.check("lmlib's Block equals both", torch.allclose(out, library, atol=1e-5))
n_parameters = sum(tensor.numel() for tensor in w.values())
record.check("4C² + 2CF numbers, and 9C + F in biases and norms", n_parameters == 4 * C * C + 2 * C * FF + 9 * C + FF)

# %% name="shapes" tags=["nbval-check-output"]
joint = F.linear(x, w["self_attn.in_proj_weight"])
trace = [
    ("token ids", "(B, T)", ids),
    ("tokens and positions", "(B, T, C)", x),
    ("queries, keys, values", "(B, T, 3C)", joint),
    ("weights of attention", "(B, H, T, T)", weights),
    ("what was fetched", "(B, T, C)", fetched),
    ("inside feed-forward", "(B, T, F)", F.linear(x, w["linear1.weight"])),
    ("after the layer", "(B, T, C)", out),
]
for station, letters, tensor in trace:
    print(f"{station:22} {letters:13} {tuple(tensor.shape)}")

# %% [markdown] name="stack-text"
# **Many layers.** The output has the shape of the input, so layers can be stacked. They are alike in form; each has
# weights of its own. Embedding and positions come once, at the bottom.

# %% name="stack-check" tags=["nbval-check-output"]
state = transformer.torch_state()  # the same weights under PyTorch's names
y = transformer.embed(ids, where, "encoder")
for i in range(2):
    prefix = f"encoder.layers.{i}."
    y = encoder_layer(y, {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}, H, real)
library = transformer.encode(ids, real.long())
record.check("our layers in a loop equal lmlib's encoder", torch.allclose(y[real], library[real], atol=1e-5))
changed = ids.clone()
changed[0, -1] = words.index("slept")  # another last word
differs = (transformer.encode(changed, real.long()) - library).abs().amax(-1) > 1e-4
print("another last word changes the output at:", differs[0].nonzero().flatten().tolist())
record.check("the whole first sentence notices, the second does not", bool(differs[0].all() and not differs[1].any()))

# %% [markdown] name="ablation"
# ## 缺一个会怎样 · Take one away
#
# What is each part good for? Give a one-layer encoder a task that seems to need them all: a row of random digits, and
# at each place the answer is *this digit plus the one before it, modulo 10*. To solve it the model must fetch a digit
# from another place (attention), from the place *before* (positions), and compute something that is not linear.
# Guessing costs ln 10.
#
# Predict: which model cannot do better than guessing? Which one learns something but not enough?


# %% name="ablation-model"
class Adder(nn.Module):
    """One encoder layer over digits, with one part left out: logits (B, T, 10)."""

    def __init__(self, without):
        super().__init__()
        self.without = without
        self.digit, self.read = nn.Embedding(10, C), nn.Linear(C, 10)
        nn.init.normal_(self.digit.weight, std=C**-0.5)
        self.attention, self.attention_norm = MultiHeadAttention(C, H), nn.LayerNorm(C)
        self.feed_forward, self.feed_forward_norm = FeedForward(C, FF), nn.LayerNorm(C)

    def forward(self, digits):
        x = self.digit(digits) * math.sqrt(C)  # (B, T, C)
        if self.without != "positions":
            x = x + sinusoidal(digits.size(1), C).to(x.device)
        if self.without != "attention":
            x = self.attention_norm(x + self.attention(x)[0])
        if self.without != "feed-forward":
            x = self.feed_forward_norm(x + self.feed_forward(x))
        return self.read(x)


# %% name="ablation-training"
N_STEPS, BATCH = {"quick": (400, 64), "full": (2000, 256)}[profile]


def train_adder(without):
    """The loss at each step (nats per digit)."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Adder(without).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(N_STEPS):
        digits = torch.randint(10, (BATCH, 8), generator=generator).to(device)
        sums = (digits[:, 1:] + digits[:, :-1]) % 10
        loss = F.cross_entropy(model(digits)[:, 1:].flatten(0, 1), sums.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


curves = {"all parts": train_adder("nothing")}
for without in ("feed-forward", "positions", "attention"):
    curves[f"without {without}"] = train_adder(without)

# %% name="ablation-plot"
fig, (ax,) = plots.figure("This digit plus the one before, modulo 10", width=6.6, height=3.5)
smooth = {name: np.convolve(losses, np.ones(10) / 10, mode="valid") for name, losses in curves.items()}
plots.lines(ax, np.arange(N_STEPS - 9) + 10, smooth, x_label="step", y_label="loss (nats per digit)", markers=False)
plots.level(ax, math.log(10), "ln 10: guessing")
ax.set_ylim(0, 2.8)
ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
plots.show(
    fig,
    alt="Loss against step. With all parts it falls to nearly 0. Without the feed-forward layer it falls later. "
    "Without positions it stops well above 1. Without attention it stays at ln 10.",
)

# %% name="ablation-check"
final = {name: losses[-20:].mean() for name, losses in curves.items()}
for name, loss in final.items():
    record.metric(f"adder {name}: final loss", loss, "nats")
solved = {name: int((run < 1).argmax()) for name, run in smooth.items() if (run < 1).any()}
record.check("the first loss is near ln 10", abs(curves["all parts"][0] - math.log(10)) < 0.5)
record.check("with all parts it is solved: a loss under 0.1", final["all parts"] < 0.1)
record.check("without attention it stays at ln 10 (within 0.05)", abs(final["without attention"] - math.log(10)) < 0.05)
record.check("without positions it stays over 1", final["without positions"] > 1)
late = solved.get("without feed-forward", 0)  # 0: never
record.check("without feed-forward it falls below 1 too, but later", late > solved["all parts"])

# %% [markdown] name="ablation-lesson"
# Without attention, a place knows its own digit only, and the sum with an unknown digit is as good as random. Without
# positions it sees *which* digits there are, but not which one stands before it. Without the feed-forward layer the
# task is learned all the same, only later: the softmax of the attention and the norm are not linear either. So the
# plot also warns: a part that can be replaced by others is not useless. (If your run leaves the bands: a first loss
# far from ln 10 is a bad start.)

# %% [markdown] name="real-encoder"
# ## 打开真实的编码器 · Sublayer by sublayer in a trained encoder
#
# Back to all-MiniLM-L6-v2. What does each sublayer do to the words of a sentence? We run its blocks by hand and stop
# after every sublayer. First: is our walk the model's own?

# %% name="walk"
TEXTS = [
    "The old sailor told the children a story about the sea.",
    "My sister bought a red bicycle because her car was broken.",
    "When the rain stopped, the farmers walked back to their fields.",
    "Nobody believed the boy, although he had seen the wolf.",
    "The baker sells bread in the morning and cakes in the afternoon.",
]


@torch.no_grad()
def walk(sentence):
    """The states (T, C) at the input and after each of the 12 sublayers of the trained encoder."""
    ids = reader.tokenizer([sentence])["input_ids"].to(device)
    x = reader.encoder.embeddings(ids, None, None)
    states = [x]
    for block in reader.encoder.encoder.blocks:
        x = block.attention_norm(x + block.attention(x)[0])
        states.append(x)
        x = block.feed_forward_norm(x + block.feed_forward(x))
        states.append(x)
    expected = reader.encoder(ids).last_hidden_state
    return [s[0].cpu() for s in states], torch.allclose(x, expected, atol=1e-4)


walks = [walk(text) for text in TEXTS]
record.check("walked by hand, the trained encoder gives its own output", all(same for _, same in walks))
path = np.mean([[likeness(state) for state in states] for states, _ in walks], axis=0)  # (13,)

# %% name="walk-plot"
fig, (ax,) = plots.figure("Attention makes the words alike, feed-forward sets them apart", width=6.8, height=3.3)
ax.plot(range(13), path, color="#8c8c8c", linewidth=1)
ax.plot(range(1, 13, 2), path[1::2], "o", color=plots.COLOURS[0], label="after self-attention")
ax.plot(range(2, 13, 2), path[2::2], "s", color=plots.COLOURS[1], label="after feed-forward")
ax.plot(0, path[0], "D", color="black", label="input")
ax.set_xticks(range(0, 13, 2), [f"layer {i}" if i else "input" for i in range(7)])
ax.set_ylabel("mean cosine of two words")
ax.legend()
plots.show(
    fig,
    alt="Mean cosine between the words of a sentence after each sublayer of a trained encoder: a saw. After each "
    "attention it is higher, after each feed-forward layer lower, and it climbs from below 0.2 at the input "
    "to about a half.",
)

# %% name="walk-check"
steps = np.diff(path)  # (12,): attention, feed-forward, attention, ...
record.metric("MiniLM: likeness of words at the input", path[0])
record.metric("MiniLM: likeness of words at the output", path[-1])
record.check("each of the six attention sublayers makes the words more alike", bool((steps[0::2] > 0).all()))
record.check("each of the six feed-forward sublayers makes them less alike", bool((steps[1::2] < 0).all()))
record.check("on the whole the words grow together", path[-1] > path[0] + 0.2)

# %% [markdown] name="walk-lesson"
# A saw. Attention hands each word a mixture of the others, so they grow alike. The feed-forward layer works on each
# alone and pulls them apart. This is *this* model on *these* sentences; it was trained so that the mean of its word
# vectors says what the sentence means, which may be why the words grow together so far.
#
# An encoder needs no decoder to be useful: the mean over its output is a sentence vector. In a translation model the
# output goes to a decoder instead, as **memory** ([section 3.3](03_decoder.ipynb)).

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# Document 001 lists the steps of the encoder, 003 its core ideas. Each statement that can be tested has a row, and a
# cell that computes the document's version and the correct one.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("03_algorithms/02_encoder")

# %% name="ledger-data"
toy = torch.randn(1, 6, 16)  # one sentence of six words, C = 16
torch_layer = nn.TransformerEncoderLayer(16, 4, 64, dropout=0.0, batch_first=True).requires_grad_(False)
torch_stack = nn.TransformerEncoder(torch_layer, 3, enable_nested_tensor=False).requires_grad_(False)
small = Transformer(TransformerConfig(vocab_size=20, d_model=16, n_layers=1, n_heads=4, d_ff=64)).eval()
small.requires_grad_(False)


def mean_likeness(states):
    """Mean cosine of all pairs of words, states (1, T, C)."""
    unit = F.normalize(states[0], dim=-1)
    cosines = unit @ unit.T
    return (cosines.sum() - len(unit)) / (cosines.numel() - len(unit))


def through(z, layers, wire):
    """A stack of sublayers, wired in some way."""
    for layer in layers:
        z = wire(z, layer)
    return z


# %% [markdown] name="ledger-input-text"
# ### 输入 · The input


# %% name="ledger-embedding-scale" tags=["ledger"]
def document_version(model, ids):
    """001 §3.1, step 1: each token is mapped to a vector. No factor is named."""
    return model.embedding.weight[ids]


def correct_version(model, ids):
    """The paper multiplies the row by √d_model."""
    return model.embedding.weight[ids] * math.sqrt(model.config.d_model)


some = torch.arange(6)[None]
tokens_only = small.embed(some, some, "encoder") - sinusoidal(6, 16)
record.check(
    "the row alone is under half as long as its position",
    document_version(small, some).norm() < 0.5 * sinusoidal(6, 16).norm(),
)
record.check(
    "with the factor it is the Transformer's", torch.allclose(correct_version(small, some), tokens_only, atol=1e-5)
)


# %% name="ledger-positions" tags=["ledger"]
def document_version(tokens):
    """001 §3.1, step 2; 003 §3.1: a position vector is added to each token's vector, so that order can be seen."""
    return torch_layer(tokens + sinusoidal(6, 16))


def correct_version(tokens):
    """The same, place by place from the formula."""
    spots = [
        [math.sin(t / 10_000 ** (i / 16)), math.cos(t / 10_000 ** (i / 16))] for t in range(6) for i in range(0, 16, 2)
    ]
    return torch_layer(tokens + torch.tensor(spots).view(6, 16))


record.check("the step is right", torch.allclose(document_version(toy), correct_version(toy), atol=1e-5))
turned = torch_layer(toy.flip(1)).flip(1)
record.check("without it, order is not seen", torch.allclose(turned, torch_layer(toy), atol=1e-5))
turned = document_version(toy.flip(1)).flip(1)
record.check("with it, it is", not torch.allclose(turned, document_version(toy), atol=1e-2))


# %% [markdown] name="ledger-layer-text"
# ### 一层 · The layer


# %% name="ledger-layer" tags=["ledger"]
def document_version(x):
    """001 §3.1, steps 3 to 6: self-attention, add and normalise, feed-forward, add and normalise. Two sublayers."""
    layer = torch_layer
    x = F.layer_norm(x + layer.self_attn(x, x, x)[0], (16,), layer.norm1.weight, layer.norm1.bias)
    inner = F.relu(F.linear(x, layer.linear1.weight, layer.linear1.bias))
    h = F.linear(inner, layer.linear2.weight, layer.linear2.bias)
    return F.layer_norm(x + h, (16,), layer.norm2.weight, layer.norm2.bias)


def correct_version(x):
    """PyTorch's layer."""
    return torch_layer(x)


same = torch.allclose(document_version(toy), correct_version(toy), atol=1e-5)
record.check("the four steps in their order are PyTorch's encoder layer", same)


# %% name="ledger-feed-forward" tags=["ledger"]
def document_version(x):
    """001 §3.1, step 5: two linear layers with a ReLU between them, applied to each position."""
    return torch.stack([torch_layer.linear2(torch_layer.linear1(x[:, t]).clamp(min=0)) for t in range(6)], dim=1)


def correct_version(x):
    """All positions at once."""
    return torch_layer.linear2(F.relu(torch_layer.linear1(x)))


record.check(
    "each position alone gives the same", torch.allclose(document_version(toy), correct_version(toy), atol=1e-5)
)
half = torch_layer.linear2(torch_layer.linear1(toy / 2))
straight = (torch_layer.linear2(torch_layer.linear1(toy)) + torch_layer.linear2(torch_layer.linear1(0 * toy))) / 2
record.check("without the ReLU it would be a straight line", torch.allclose(half, straight, atol=1e-5))
bent = (correct_version(toy) + correct_version(0 * toy)) / 2
record.check("with it, it is none", not torch.allclose(correct_version(toy / 2), bent, atol=1e-2))


# %% name="ledger-gradient" tags=["ledger"]
def document_version(z, direction):
    """001 §3.1, step 4: the input is added and the sum normalised, to pass the gradient. By autograd."""
    return torch.func.jvp(with_both, (z,), (direction,))[1].norm()


def correct_version(z, direction):
    """The same, measured: push the bottom a little and see how far the top moves."""
    return (with_both(z + 1e-5 * direction) - with_both(z - 1e-5 * direction)).norm() / 2e-5


def with_both(z):
    return through(z, sublayers, lambda y, f: F.layer_norm(y + f(y), (64,)))


sublayers = [nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64)).double() for _ in range(24)]
z, direction = torch.randn(2, 8, 64, dtype=torch.float64).unbind()
passed = document_version(z, direction)
record.check("autograd and the push agree", torch.allclose(passed, correct_version(z, direction), rtol=1e-4))
bare = torch.func.jvp(lambda y: through(y, sublayers, lambda u, f: f(u)), (z,), (direction,))[1].norm()
record.check("24 layers up, without residual and norm under a millionth is left", bare < 1e-6 * direction.norm())
record.check("with them, over a tenth", passed > 0.1 * direction.norm())


# %% name="ledger-core" tags=["ledger"]
def document_version(x, blocks):
    """003 §3.1: the core is self-attention with several heads, and positions. A stack of that alone."""
    x = x + sinusoidal(6, 16)
    for block in blocks:
        x = block.attention(x)[0]
    return mean_likeness(x)


def correct_version(x, blocks):
    """Residual, norm and feed-forward belong to the core."""
    x = x + sinusoidal(6, 16)
    for block in blocks:
        x, _, _ = block(x)
    return mean_likeness(x)


blocks = [Block(Shape(d_model=16, n_heads=4, d_ff=64, norm_first=True)) for _ in range(8)]
record.check("attention alone makes all six words the same", document_version(toy, blocks) > 0.99)
record.check("whole layers keep them apart", correct_version(toy, blocks) < 0.95)


# %% [markdown] name="ledger-stack-text"
# ### 许多层 · The stack


# %% name="ledger-repeated" tags=["ledger"]
def document_version(tokens):
    """001 §3.1, last sentence: the steps above are repeated in every layer. The positions are among them."""
    for layer in torch_stack.layers:
        tokens = layer(tokens + sinusoidal(6, 16))
    return tokens


def correct_version(tokens):
    """Steps 3 to 6 are repeated. Embedding and positions come once."""
    tokens = tokens + sinusoidal(6, 16)
    for layer in torch_stack.layers:
        tokens = layer(tokens)
    return tokens


expected = torch_stack(toy + sinusoidal(6, 16))
record.check(
    "positions in every layer give another result", not torch.allclose(document_version(toy), expected, atol=1e-2)
)
record.check("positions once give PyTorch's", torch.allclose(correct_version(toy), expected, atol=1e-5))


# %% name="ledger-identical" tags=["ledger"]
def document_version(layers):
    """001 §3.1: several identical layers. Read literally: one layer, used again and again."""
    return sum(p.numel() for p in layers[0].parameters())


def correct_version(layers):
    """Identical in form; each has weights of its own."""
    return sum(p.numel() for p in {p for layer in layers for p in layer.parameters()})


total = sum(p.numel() for p in torch_stack.parameters())
record.check("one layer's weights are a third of the stack of three", document_version(torch_stack.layers) * 3 == total)
record.check("three times their own are all", correct_version(torch_stack.layers) == total)


# %% name="ledger-memory" tags=["ledger"]
def document_version(decoder, target, encoded):
    """001 §3.1, last sentence: what the encoder gives is the input of the decoder."""
    return decoder(encoded, encoded)


def correct_version(decoder, target, encoded):
    """The input of the decoder is the target so far; what the encoder gives is the memory that it attends to."""
    return decoder(target, encoded)


decoder = nn.TransformerDecoderLayer(16, 4, 64, dropout=0.0, batch_first=True).requires_grad_(False)
target = torch.randn(1, 4, 16)  # four words of the translation so far
record.check("as the input it gives one row for each source word", document_version(decoder, target, toy).size(1) == 6)
record.check("as the memory, one for each target word", correct_version(decoder, target, toy).size(1) == 4)
record.check(
    "and the target matters",
    not torch.allclose(correct_version(decoder, target, toy), correct_version(decoder, target + 1, toy), atol=1e-3),
)

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/03_algorithms/02_encoder.ipynb), about 80 minutes, four questions:
#
# 1. from ids to vectors: the table, its factor, the positions;
# 2. add and normalise: one vector at a time;
# 3. a whole encoder layer, with padding, post-norm or pre-norm;
# 4. numbers and reasons: parameters, weights, lengths, and where words meet.
#
# To go on: section 3.3 builds the decoder, 3.4 trains encoders on masked words, 4.4 and 4.5 look at positions,
# feed-forward layers and norms.
