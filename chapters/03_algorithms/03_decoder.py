# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 3.3 解码器 · The decoder
#
# 本节把解码器一个子层一个子层地写出来，并与 PyTorch 的 `TransformerDecoderLayer` 逐一核对。
# 先是右移的目标嵌入和带掩码的自注意力，再是编码-解码注意力、前馈网络和输出层。我们训练一个小模型，把数字读成英文单词，
# 看看掩码或右移出错时会发生什么；再从“未来不能改变过去”推出键值缓存。文档中的步骤逐条用程序检验。
#
# After this section you can write a decoder layer and its generation loop, say why training is parallel and writing
# is not, recognise a leak by its loss, and derive the key-value cache from one sentence: the future cannot change
# the past.

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
from torch.utils.flop_counter import FlopCounterMode

from lmlib import plots
from lmlib.attention import attention, causal_mask
from lmlib.course import ledger, record, session
from lmlib.decoding import generate
from lmlib.models.base import IGNORED_LABEL
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from lmlib.models.transformer import Transformer, TransformerConfig, torch_layer_names
from lmlib.positions import sinusoidal
from lmlib.transformer import Block, Shape

device = session.start(seed, device, profile)

# %% [markdown] name="decoder"
# ## 解码器做什么 · What a decoder is for
#
# Read the number 3074 aloud: *three thousand seventy four*. You looked at the digits, and at each word you
# knew which words you had said already. A **decoder** (解码器) does the same. It writes a target one token at a
# time. For each next token it looks at two things: the source, which an encoder has read ([section
# 3.2](02_encoder.ipynb)), and its own words so far.
#
# Numbers in digits and in words are our translation task. It is small, it has rules with exceptions (a 0 is not
# spoken, 14 is one word), and the truth is known. The words:

# %% name="spell" tags=["nbval-check-output"]
ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
ONES = [*ONES.split(), "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
WORDS = ["<pad>", "<start>", "<end>", *ONES, *TENS, "hundred", "thousand"]
PAD, START, END = 0, 1, 2


def spell(number):
    """A number from 1 to 9999 as a list of words."""
    words = []
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            words += [ONES[number // size - 1], name]
            number %= size
    if number >= 20:
        words.append(TENS[number // 10 - 2])
        number %= 10
    return words + [ONES[number - 1]] * (number > 0)


for number in (3074, 9000, 1214):
    print(number, "→", " ".join(spell(number)))

# %% [markdown] name="stations"
# The stations of the decoder. Four things are new: the shift of the target, the mask, the second attention, and the
# output layer.
#
# | station | who meets whom | like the encoder? |
# | --- | --- | --- |
# | target embedding 目标嵌入 | each token alone; the target is shifted right | but for the shift |
# | masked self-attention 掩码自注意力 | a target word and the target words up to itself | but for the mask |
# | encoder-decoder attention 编码-解码注意力 | a target word and all source tokens | new |
# | feed-forward 前馈 | each word alone | yes |
# | output layer 输出层 | each word's vector and all V words of the vocabulary | new, once at the top |
#
# After each of the three sublayers stand a residual connection and a norm. Letters: B sentences, T target tokens, S
# source tokens, C = $d_{model}$, H heads of D = C/H, F = $d_{ff}$, V words.

# %% [markdown] name="target-embedding"
# ## 目标嵌入 · The target, shifted right
#
# The decoder shall predict word *t* from the words before *t*. So at place *t* its input must not be word *t* but
# word *t* − 1. Take the **labels** (what is to be written, with an end token), put a start token in front, and drop
# the last one:
#
# | place | 1 | 2 | 3 | 4 | 5 |
# | --- | --- | --- | --- | --- | --- |
# | input | `<start>` | three | thousand | seventy | four |
# | label | three | thousand | seventy | four | `<end>` |
#
# At each place the question is the same: which word comes next? Labels of padding are −100 and count for nothing.


# %% name="shift-code" tags=["nbval-check-output"]
def encode_pairs(numbers):
    """Source digits (B, 4) and labels (B, T), -100 where a label is padding."""
    source = torch.tensor([[int(digit) for digit in str(number)] for number in numbers])
    rows = [[WORDS.index(word) for word in spell(number)] + [END] for number in numbers]
    longest = max(map(len, rows))
    return source, torch.tensor([row + [IGNORED_LABEL] * (longest - len(row)) for row in rows])


def shift_right(labels):
    """The decoder's input for these labels: a start token, then all labels but the last. (B, T) -> (B, T)."""
    start = torch.full_like(labels[:, :1], START)
    shifted = torch.cat([start, labels[:, :-1]], dim=1)
    return shifted.masked_fill(shifted == IGNORED_LABEL, PAD)


source, labels = encode_pairs([3074, 9000])
target = shift_right(labels)
print("source", source.tolist())
for name, rows in (("input ", target), ("label ", labels)):
    for row in rows.tolist():
        print(name, " ".join(f"{WORDS[i] if i >= 0 else '-100':9}" for i in row))

# %% [markdown] name="target-embed-text"
# The rest is as in the encoder: a row of a table for each token, times $\sqrt{C}$, plus the sinusoid of its place.
# lmlib's `Transformer` does both steps. The model below is still untrained.

# %% name="target-embed" tags=["nbval-check-output"]
SIZES = {"d_model": 64, "n_layers": 1, "n_decoder_layers": 2, "n_heads": 4, "d_ff": 128}
SIZES |= {"norm_first": True, "final_norm": True, "tied": False, "dropout": 0.0}


def new_model():
    """A small untrained Transformer from digits to words; always the same for one seed."""
    torch.manual_seed(seed)
    config = TransformerConfig(vocab_size=len(WORDS), source_vocab=10, max_positions=256, **SIZES)
    return Transformer(config).to(device)


model = new_model().cpu().eval().requires_grad_(False)
x = model.embed(target, torch.arange(target.size(1)), "decoder")  # (B, T, C)
by_hand = model.embedding.weight[target] * math.sqrt(64) + sinusoidal(target.size(1), 64)
print("target", tuple(target.shape), "-> x", tuple(x.shape))
record.check("lmlib shifts as we do", torch.equal(model.shift_right(labels), target))
record.check("and embeds as the encoder does", torch.allclose(x, by_hand, atol=1e-5))

# %% [markdown] name="masked-self-attention"
# ## 掩码自注意力层 · Masked self-attention
#
# In training all places are computed at once, and the input of place 3 is the label of place 2. A place that could
# look to the right would read its own answer. So the **causal mask** (因果掩码) allows place *t* the places 1 to *t*.
#
# From scratch, with the weights of PyTorch's own layer. One function will do for both attentions of the decoder:
# queries come from `x`, keys and values from `memory`. In self-attention the two are the same.

# %% name="peer"
C, H, FF, T, S = 32, 4, 128, 6, 4
peer = nn.TransformerDecoderLayer(C, H, FF, dropout=0.0, batch_first=True).requires_grad_(False)
for parameter in peer.parameters():
    if parameter.dim() == 1:
        parameter += 0.1 * torch.randn_like(parameter)  # biases of 0 would hide a mistake with them
w = peer.state_dict()
print(sorted({name.rpartition(".")[0] for name in w}))


# %% name="multi-head"
def multi_head(x, memory, w, name, n_heads, mask=None):
    """Queries from x (B, T, C), keys and values from memory (B, S, C) -> (B, T, C), weights (B, H, T, S)."""
    matrices, biases = w[f"{name}.in_proj_weight"].chunk(3), w[f"{name}.in_proj_bias"].chunk(3)
    query, key, value = (
        F.linear(y, matrix, bias).unflatten(-1, (n_heads, -1)).transpose(1, 2)  # (B, H, T or S, D)
        for y, matrix, bias in zip((x, memory, memory), matrices, biases, strict=True)
    )
    heads, weights = attention(query, key, value, mask)
    merged = heads.transpose(1, 2).flatten(2)  # (B, T, C)
    return F.linear(merged, w[f"{name}.out_proj.weight"], w[f"{name}.out_proj.bias"]), weights


x, memory = torch.randn(2, T, C), torch.randn(2, S, C)  # a target and what an encoder made of a source
looked_back, weights = multi_head(x, x, w, "self_attn", H, causal_mask(T))

# %% name="masked-check" tags=["nbval-check-output"]
print("x", tuple(x.shape), "weights", tuple(weights.shape))
hidden = nn.Transformer.generate_square_subsequent_mask(T)  # PyTorch's: minus infinity where it is hidden
expected, _ = peer.self_attn(x, x, x, attn_mask=hidden)
record.check("from scratch equals PyTorch's sublayer", torch.allclose(looked_back, expected, atol=1e-6))
other = x.clone()
other[:, 4:] = torch.randn(2, 2, C)
again, _ = multi_head(other, other, w, "self_attn", H, causal_mask(T))
record.check("the future cannot change the past: places 1 to 4 stay", torch.equal(looked_back[:, :4], again[:, :4]))
record.check("the first place sees itself alone: its weight is 1", bool((weights[:, :, 0, 0] == 1).all()))

# %% [markdown] name="wrong-mask-text"
# ### 掩码放错地方 · A mask in the wrong place
#
# Document 001 puts the mask on the keys and values: those of the future are set to "infinitely small". Read it as 0.
# A key of 0 has the score $q \cdot 0 = 0$. That is not a low score: it is a quite ordinary one, and $e^0 = 1$. The
# hidden words take probability, and what they hand over is 0. So the output of the first word is pulled towards 0,
# the more so the more words follow.


# %% name="wrong-mask"
def share_on_hidden(n_following, masked_keys):
    """How much of the first word's attention lies on words that it must not see; mean over 200 draws."""
    query, keys = torch.randn(200, 1, 8), torch.randn(200, 1 + n_following, 8)
    if masked_keys:
        keys[:, 1:] = 0.0
    scores = query @ keys.mT / math.sqrt(8)  # (200, 1, 1 + n)
    if not masked_keys:
        scores[..., 1:] = -math.inf
    return torch.softmax(scores, dim=-1)[..., 1:].sum(-1).mean().item()


FOLLOWING = [0, 1, 2, 4, 8, 16, 32, 64]
curves = {
    "keys of the future set to 0": [share_on_hidden(n, True) for n in FOLLOWING],
    "scores of the future set to minus infinity": [share_on_hidden(n, False) for n in FOLLOWING],
}
fig, (ax,) = plots.figure("What the first word gives to words that it must not see", width=6.2, height=3.0)
plots.lines(ax, range(len(FOLLOWING)), curves, x_label="words that follow", y_label="share of its attention")
ax.set_xticks(range(len(FOLLOWING)), [str(n) for n in FOLLOWING])
ax.set_ylim(-0.03, 1.03)
plots.show(
    fig,
    alt="Share of the first word's attention on hidden words against the number of words that follow. With keys "
    "set to 0 it climbs from 0 to nearly 1. With scores of minus infinity it stays at 0.",
)

# %% name="wrong-mask-check"
wrong, right = curves.values()
record.check("with zeroed keys, one following word already takes over a quarter", wrong[1] > 0.25)
record.check("64 following words take over 90 %", wrong[-1] > 0.9)
record.check("with masked scores they take nothing", max(right) == 0)

# %% [markdown] name="wrong-mask-lesson"
# No *content* leaks: a value of 0 tells nothing. But the *number* of the words to come leaks. In training the first
# word has many followers, in writing it has none, so a model trained like this would meet other numbers when it
# writes. (Keys of minus infinity are worse: section 2.2 shows the NaN.) The mask belongs on the scores.

# %% [markdown] name="cross-attention"
# ## 编码-解码注意力层 · Encoder-decoder attention
#
# Now the target looks at the source. The queries come from the target (what does this place need?), keys and values
# from the encoder's output, the **memory** (what is there to be had?). All of the source may be seen, for it is all
# there; only its padding is hidden.
#
# | | shape |
# | --- | --- |
# | queries, from the target | (B, H, T, D) |
# | keys and values, from the memory | (B, H, S, D) |
# | weights | (B, H, T, S): each row sums to 1 over the *source* |
# | out | (B, T, C): one vector for each *target* word |

# %% name="cross-check" tags=["nbval-check-output"]
fetched, weights = multi_head(x, memory, w, "multihead_attn", H)
print("x", tuple(x.shape), "memory", tuple(memory.shape), "weights", tuple(weights.shape), "out", tuple(fetched.shape))
expected, _ = peer.multihead_attn(x, memory, memory)
record.check("from scratch equals PyTorch's sublayer", torch.allclose(fetched, expected, atol=1e-6))
turned, _ = multi_head(x, memory.flip(1), w, "multihead_attn", H)
record.check("the order of the memory's rows does not matter", torch.allclose(fetched, turned, atol=1e-6))
swapped, _ = multi_head(memory, x, w, "multihead_attn", H)
record.check("exchanged, the answer has as many rows as the source", swapped.shape == memory.shape)

# %% [markdown] name="feed-forward"
# ## 前馈神经网络层 · Feed-forward
#
# The same form as in the encoder, $\max(0, xW_1 + b_1)W_2 + b_2$ at each position alone, with weights of its own.


# %% name="feed-forward-code" tags=["nbval-check-output"]
def feed_forward(x, w):
    """Each position alone: (B, T, C) -> (B, T, F) -> (B, T, C)."""
    inner = F.relu(F.linear(x, w["linear1.weight"], w["linear1.bias"]))  # (B, T, F)
    return F.linear(inner, w["linear2.weight"], w["linear2.bias"])


inside = F.relu(peer.linear1(x))
record.check("it equals PyTorch's", torch.allclose(feed_forward(x, w), peer.linear2(inside), atol=1e-6))
sizes = {k: sum(t.numel() for n, t in w.items() if n.startswith(k)) for k in ("self_attn", "multihead_attn", "linear")}
print("parameters:", sizes)
record.check(
    "two attentions hold as much as the feed-forward layer, about", 0.9 < 2 * sizes["self_attn"] / sizes["linear"] < 1.1
)

# %% [markdown] name="residual-and-norm"
# ## 残差连接与层归一化 · Residual, norm, and the whole layer
#
# Each of the three sublayers: add its output to its input, normalise the sum. The layer in one function:


# %% name="layer-code"
def decoder_layer(x, memory, w, n_heads):
    """One layer of the decoder of 2017: target x (B, T, C), memory (B, S, C) -> (B, T, C)."""

    def add_and_norm(x, h, name):
        return F.layer_norm(x + h, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    looked_back, _ = multi_head(x, x, w, "self_attn", n_heads, causal_mask(x.size(1)))
    x = add_and_norm(x, looked_back, "norm1")
    fetched, _ = multi_head(x, memory, w, "multihead_attn", n_heads)
    x = add_and_norm(x, fetched, "norm2")
    return add_and_norm(x, feed_forward(x, w), "norm3")


out = decoder_layer(x, memory, w, H)

# %% name="layer-check" tags=["nbval-check-output"]
expected = peer(x, memory, tgt_mask=hidden, tgt_is_causal=True)
record.check("from scratch equals torch.nn.TransformerDecoderLayer", torch.allclose(out, expected, atol=1e-5))
block = Block(Shape(d_model=C, n_heads=H, d_ff=FF, cross_attention=True)).requires_grad_(False)
names = torch_layer_names("ours", "theirs", decoder=True)
block.load_state_dict({a.removeprefix("ours."): w[b.removeprefix("theirs.")] for a, b in names.items()})
library, _, _ = block(x, memory, causal=True)
record.check("lmlib's Block equals both", torch.allclose(out, library, atol=1e-5))
n_parameters = sum(tensor.numel() for tensor in w.values())
record.check("8C² + 2CF numbers, and 15C + F in biases and norms", n_parameters == 8 * C * C + 2 * C * FF + 15 * C + FF)

# %% [markdown] name="influence-text"
# **Who can move whom?** Push one input vector, see which outputs move. Left: target words are pushed. Right: rows of
# the memory. What do you expect above the diagonal?

# %% name="influence"
push = 0.1 * torch.randn(C)


def moved(which, place):
    """How far each output of the layer moves (T) when one row of the target or of the memory is pushed."""
    inputs = {"target": x[:1].clone(), "memory": memory[:1].clone()}
    inputs[which][:, place] += push
    return (decoder_layer(inputs["target"], inputs["memory"], w, H) - out[:1]).norm(dim=-1)[0]


by_target = torch.stack([moved("target", t) for t in range(T)], dim=1)  # (outputs, inputs)
by_memory = torch.stack([moved("memory", s) for s in range(S)], dim=1)
fig, (left, right) = plots.figure("Target words pushed", "Rows of the memory pushed", width=6.6, height=2.8)
places = [str(t + 1) for t in range(T)]
for ax, one in ((left, by_target), (right, by_memory)):
    columns = places[: one.size(1)]
    plots.heat_map(ax, (one / one.max()).sqrt(), places, columns, x_label="input", y_label="output")
right.set_xlabel("row of the memory")
plots.show(
    fig,
    alt="Two maps of what moves what, darker is more (root of the distance). Target words move outputs at their "
    "own place and later ones only: a lower triangle. Rows of the memory move all outputs.",
)

# %% name="influence-check" tags=["nbval-check-output"]
record.check("above the diagonal nothing moves, exactly", not by_target.triu(1).any())
record.check("each word moves itself and all that follow", bool((by_target[causal_mask(T)] > 1e-5).all()))
record.check("each row of the memory moves every output", bool((by_memory > 1e-5).all()))

# %% [markdown] name="output-layer"
# ## 输出层 · From vectors to words
#
# At the top a linear layer makes V **logits** of each vector, and a softmax makes probabilities of them:
#
# $$p(y_t \mid y_{<t}, \text{source}) = \mathrm{softmax}(z_t W_{out}),\qquad z\ (B, T, C),\quad W_{out}\ (C, V)$$
#
# There is one distribution for *each place*: over the word that comes next there. The probability of the whole target
# is their product. The loss is the mean cross-entropy, $-\ln p$ of the right word. An untrained model guesses, so it
# should be near ln V, a little above.


# %% name="output-code"
def target_logits(model, source, target, causal=True):
    """The logits (B, T, V) of a whole target at once; source (B, S) ids, target (B, T) ids, shifted right."""
    memory = model.encode(source)  # (B, S, C)
    x = model.embed(target, torch.arange(target.size(1), device=target.device), "decoder")  # (B, T, C)
    return model.project(model.decoder(x, causal=causal, memory=memory).output)


logits = target_logits(model, source, target)  # (B, T, V)
probabilities = logits.softmax(-1)
loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED_LABEL)

# %% name="output-check" tags=["nbval-check-output"]
print("logits", tuple(logits.shape), " V =", len(WORDS), f" ln V = {math.log(len(WORDS)):.2f}")
record.check("each place has a distribution: it sums to 1", torch.allclose(probabilities.sum(-1), torch.ones(2, 5)))
record.check("lmlib's forward gives the same", torch.allclose(model(source, labels=labels).logits, logits, atol=1e-5))
record.check("and the same loss", torch.allclose(model(source, labels=labels).loss, loss))
record.check("the untrained loss lies between ln V and ln V + 1.5", 0 < loss - math.log(len(WORDS)) < 1.5)

# %% [markdown] name="training"
# ## 教师强制 · Teacher forcing, and how a leak looks
#
# In training the decoder always reads the *right* words so far, whatever it would have written itself. This is
# **teacher forcing** (教师强制). Thanks to it all places are trained in one pass: T losses for one run of the model. Is
# the one pass really the same as T separate questions?

# %% name="parallel-check" tags=["nbval-check-output"]
one_by_one = torch.stack([target_logits(model, source, target[:, :t])[:, -1] for t in range(1, 6)], dim=1)
record.check("all at once equals one prefix after the other", torch.allclose(logits, one_by_one, atol=1e-5))
unmasked = target_logits(model, source, target, causal=False)
record.check("without the mask it does not", not torch.allclose(unmasked, one_by_one, atol=1e-2))

# %% [markdown] name="leak-text"
# So the mask is what makes parallel training honest. What if it is forgotten? Or if the target is not shifted? Train
# three models that differ in this alone, for the same steps on the same numbers. Then let each *write* numbers
# that it has never seen.
#
# Predict, before you look: which loss falls fastest? Which model writes best?

# %% name="leak-data"
N_STEPS, BATCH, N_TEST = {"quick": (200, 64, 200), "full": (1500, 256, 1000)}[profile]
numbers = (torch.randperm(9000, generator=torch.Generator().manual_seed(seed)) + 1000).tolist()
test, learned = numbers[:N_TEST], numbers[N_TEST:]
all_source, all_labels = (tensor.to(device) for tensor in encode_pairs(learned))
test_source, test_labels = (tensor.to(device) for tensor in encode_pairs(test))


@torch.no_grad()
def scores_of(model):
    """Shares right: words when the right words so far are given, numbers written alone, numbers with the teacher."""
    model.eval()
    guessed = target_logits(model, test_source, model.shift_right(test_labels)).argmax(-1)
    counts, hits = test_labels != IGNORED_LABEL, guessed == test_labels
    forced, whole = hits[counts].float().mean().item(), (hits | ~counts).all(1).float().mean().item()
    written = generate(model, test_source, max_new_tokens=8)
    right = [[WORDS[i] for i in one.tokens] == [*spell(n), "<end>"] for one, n in zip(written, test, strict=True)]
    return forced, float(np.mean(right)), whole


# %% name="leak-training"
def train(causal=True, shifted=True, look_every=None):
    """The trained model, its losses, and at every `look_every` steps (step, *scores)."""
    model, generator, losses, looks = new_model(), torch.Generator().manual_seed(seed), [], []
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, N_STEPS)  # calm at the end
    for step in range(1, N_STEPS + 1):
        rows = torch.randint(len(all_source), (BATCH,), generator=generator).to(device)
        labels = all_labels[rows]
        target = model.shift_right(labels) if shifted else labels.clamp(min=PAD)
        logits = target_logits(model.train(), all_source[rows], target, causal)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED_LABEL)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if look_every and step % look_every == 0:
            looks.append((step, *scores_of(model)))
    return model.eval(), np.array(losses), looks


writer, losses, looks = train(look_every=N_STEPS // 10)
runs = {"as it should be": (writer, losses)}
runs["no mask"] = train(causal=False)[:2]
runs["no shift"] = train(shifted=False)[:2]
written_right = {name: scores_of(model)[1] for name, (model, _) in runs.items()}

# %% name="leak-plot"
fig, (left, right) = plots.figure("Training loss", "Unseen numbers written right", width=8.2, height=3.0)
curves = {name: np.maximum(losses, 1e-5) for name, (_, losses) in runs.items()}
plots.lines(left, np.arange(N_STEPS) + 1, curves, x_label="step", y_label="loss (nats per word)", markers=False)
left.set_yscale("log")
right.bar(range(3), list(written_right.values()), color=plots.COLOURS[:3], width=0.6)
right.set_xticks(range(3), list(written_right))
right.set_ylabel("share (0 to 1)")
right.set_ylim(0, 1.05)
plots.show(
    fig,
    alt="Left, logarithmic: the losses without shift and without mask fall at least as fast as the honest one. "
    "Right: only the honest model writes unseen numbers right, nearly all of them; the two others write none.",
)

# %% name="leak-check"
for name, share in written_right.items():
    record.metric(f"{name}: numbers written right", share)
    record.metric(f"{name}: final loss", runs[name][1][-20:].mean(), "nats")
record.check("without the shift the loss is tiny after 50 steps: under 0.02", runs["no shift"][1][50:60].mean() < 0.02)
honest, unmasked = (runs[name][1][70:80].mean() for name in ("as it should be", "no mask"))
record.check("without the mask it is under half of the honest loss after 70 steps", unmasked < 0.5 * honest)
record.check("and small at the end: under 0.02", runs["no mask"][1][-20:].mean() < 0.02)
record.check(
    "neither writes a tenth of the numbers right", max(written_right["no mask"], written_right["no shift"]) < 0.1
)
record.check("the honest model writes over 90 % right", written_right["as it should be"] > 0.9)

# %% [markdown] name="leak-lesson"
# The two broken models learned to *copy* the answer from their own input, a task that is easy and worthless. Their
# losses look splendid. So take it as a rule: **a loss that falls to 0 too soon is a leak**, and the proof is to let
# the model write.

# %% [markdown] name="generation"
# ## 自回归生成 · Writing, one word after the other
#
# When it writes there is no teacher. The model reads `<start>`, chooses a word, appends it to its own input, reads
# again, and so on until it chooses `<end>`. Here it takes the likeliest word each time (greedy; section 3.7 has all
# other ways).


# %% name="generation-code" tags=["nbval-check-output"]
@torch.no_grad()
def write(model, source, most=8):
    """Greedy generation for one source (1, S): the ids that were written, the end token included."""
    written = torch.full((1, 1), START, device=source.device)
    while written.size(1) <= most:
        logits = target_logits(model, source, written)  # the whole prefix, every time
        written = torch.cat([written, logits[:, -1:].argmax(-1)], dim=1)
        if written[0, -1] == END:
            break
    return written[0, 1:].tolist()


ours = [write(writer, row[None]) for row in test_source[:20]]
library = [one.tokens for one in generate(writer, test_source[:20], max_new_tokens=8)]
record.check("the loop writes what lmlib.decoding.generate writes, 20 times", ours == library)

# %% [markdown] name="generation-map-text"
# What the model thinks at each step, for 3074. A row is a step: the input that is read last, and the probabilities of
# a few next words.

# %% name="generation-map"
source, _ = encode_pairs([3074])
ids = write(writer, source.to(device))
with torch.no_grad():
    steps = (
        target_logits(writer, source.to(device), torch.tensor([[START, *ids[:-1]]], device=device))[0].softmax(-1).cpu()
    )
candidates = sorted(set(ids) | set(steps.topk(2).indices.flatten().tolist()))
fig, (ax,) = plots.figure("3074: the next word at each step", width=5.6, height=3.0)
rows = ["<start>", *(WORDS[i] for i in ids[:-1])]
names = [WORDS[i] for i in candidates]
plots.heat_map(ax, steps[:, candidates], rows, names, x_label="next word", y_label="last word read")
plots.show(
    fig,
    alt="Probabilities of the next word at each of five steps for the number 3074. In each row one field is dark: "
    "three, thousand, seventy, four, end.",
)
record.check("it reads 3074 aloud", [WORDS[i] for i in ids] == ["three", "thousand", "seventy", "four", "<end>"])
record.check("and is sure of each word, over 80 %", bool((steps.amax(-1) > 0.8).all()))

# %% [markdown] name="exposure-text"
# **One word, and a whole number.** While it learned, we looked ten times: how many words does the model get right
# when the right words so far are given? And how many whole numbers, of up to seven tokens, does it write alone
# without a mistake?

# %% name="exposure-plot"
step, forced, free, whole = np.array(looks).T
lengths = (test_labels != IGNORED_LABEL).sum(1).cpu().numpy()  # (N)
product = [np.mean(share**lengths) for share in forced]
fig, (ax,) = plots.figure("One word right is not a number right", width=6.0, height=3.1)
curves = {
    "words, with the teacher": forced,
    "numbers, written alone": free,
    "words to the power of the length": product,
}
plots.lines(ax, step, curves, x_label="step", y_label="share right (0 to 1)")
plots.show(
    fig,
    alt="Shares right against training step. Words with the teacher are far ahead of whole numbers written alone "
    "early in training; at the end both are near 1. The word share to the power of the length runs near the "
    "curve of the whole numbers.",
)

# %% name="exposure-check"
record.check("with the teacher it is never behind", bool((forced >= free - 0.02).all()))
record.check("early, the gap is over 0.15", (forced - free)[:4].max() > 0.15)
record.check("numbers alone and with the teacher: always the same share (within 0.02)", abs(whole - free).max() < 0.02)
record.check("at the end both are over 0.9", min(forced[-1], free[-1]) > 0.9)

# %% [markdown] name="exposure-lesson"
# A number is right only if all its words are. If each were right with the same chance $p$, independently, n words
# would be right with chance $p^n$: the third curve. So a good loss can stand beside poor texts. The teacher makes no
# difference to this count: while all words so far are right, the model alone reads what the teacher would give, and
# after the first mistake the number is wrong anyway. But in a longer text all that follows a mistake may suffer: the
# model reads its own mistake, which it never saw in training (**exposure bias**, 暴露偏差).

# %% [markdown] name="alignment"
# ### 看着哪个数字 · Which digit does a word come from?
#
# The weights of the second attention say where the decoder looks. But section 2.2 warned: a weight is only half of
# the story. So we also *test* it: change one digit of the source, and measure how far the distribution of each word
# moves (half the sum of absolute differences, averaged over all nine other digits).

# %% name="alignment-code"
chosen = 4638
source, labels = (tensor.to(device) for tensor in encode_pairs([chosen]))
target = writer.shift_right(labels)
with torch.no_grad():
    seen = writer(source, decoder_input_ids=target, inspect=True)
    looks_at = torch.stack(seen.cross_attentions).mean((0, 1, 2)).cpu()  # (T, S): mean over layers and heads
    before = seen.logits[0].softmax(-1)  # (T, V)
    effect = torch.zeros(target.size(1), 4)
    for place in range(4):
        for shift in range(1, 10):
            changed = source.clone()
            changed[0, place] = (changed[0, place] + shift) % 10
            after = target_logits(writer, changed, target)[0].softmax(-1)
            effect[:, place] += ((after - before).abs().sum(-1) / 2 / 9).cpu()

# %% name="alignment-plot"
fig, (left, right) = plots.figure("Mean weight on each digit", "Effect of changing it", width=7.0, height=3.1)
rows = [WORDS[i] for i in labels[0].tolist()]
for ax, one in ((left, looks_at), (right, effect)):
    plots.heat_map(ax, one, rows, list(str(chosen)), x_label="digit", y_label="word to be written", numbers=True)
plots.show(
    fig,
    alt="Two maps for 4638. Left: mean attention weight of each word on each digit. Right: how far each word's "
    "distribution moves when that digit changes. On the right four depends on 4, six on 6, thirty on 3, eight "
    "on 8; six also moves somewhat with the 4; thousand moves with none, hundred hardly.",
)

# %% name="alignment-check"
pairs = {rows.index(word): place for place, word in enumerate(("four", "six", "thirty", "eight"))}
record.check(
    "each of the four numerals depends most on its own digit", all(effect[t].argmax() == s for t, s in pairs.items())
)
record.check("and by more than 0.5", all(effect[t, s] > 0.5 for t, s in pairs.items()))
record.check("'thousand' depends on no digit: under 0.1", bool(effect[rows.index("thousand")].max() < 0.1))

# %% [markdown] name="alignment-lesson"
# The effects are nearly what a reader of numbers would draw: each numeral depends most on its own digit. (Look for a
# field that does not fit: in our run *six* also moves when the 4 changes.) The weights need not agree: a head may look
# where it takes nothing, and take from a row of the memory that has already gathered other digits in the encoder. To
# say what a word depends on, change it and look.

# %% [markdown] name="cache"
# ## 键值缓存 · The cache follows from the structure
#
# The loop above runs the *whole prefix* through the decoder at every step, to use the last place only. Is that
# needed? Think: the future cannot change the past. So when a word is appended, **nothing that was computed for
# earlier places changes**, in any layer. And a new place needs from the earlier ones only their keys and values. Keep
# those, and each step needs to compute one place.
#
# First the premise: the states of the first places, with and without a word after them.

# %% name="cache-premise" tags=["nbval-check-output"]
long_target = torch.randint(3, len(WORDS), (1, 12), generator=torch.Generator().manual_seed(seed)).to(device)
with torch.no_grad():
    short = writer(
        source, decoder_input_ids=long_target[:, :11], inspect=True
    ).hidden_states  # layers + 1 of (1, 11, C)
    full = writer(source, decoder_input_ids=long_target, inspect=True).hidden_states
    same = [torch.allclose(a, b[:, :11], atol=1e-5) for a, b in zip(short, full, strict=True)]
    fewer = writer.encoder(writer.embed(source[:, :3], torch.arange(3, device=device), "encoder")).output
    more = writer.encode(source)
record.check("decoder: one word more changes no earlier state, in no layer", all(same))
every = bool(((fewer - more[:, :3]).abs().amax(-1) > 1e-4).all())
record.check("encoder: one digit more changes them all", every)


# %% [markdown] name="cache-step-text"
# Then the step. Queries are made for the new place alone; its key and value join the others. No mask is needed: all
# that is in the cache lies in the past.


# %% name="cache-step"
def cached_attention(new, past, w, n_heads):
    """One new place (B, 1, C), past keys and values (B, H, t, D) or None -> out (B, 1, C), (keys, values)."""
    joint = F.linear(new, w["self_attn.in_proj_weight"], w["self_attn.in_proj_bias"])  # (B, 1, 3C)
    query, key, value = (part.unflatten(-1, (n_heads, -1)).transpose(1, 2) for part in joint.chunk(3, dim=-1))
    if past is not None:
        key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)  # (B, H, t + 1, D)
    heads, _ = attention(query, key, value)  # (B, H, 1, D)
    merged = heads.transpose(1, 2).flatten(2)
    return F.linear(merged, w["self_attn.out_proj.weight"], w["self_attn.out_proj.bias"]), (key, value)


past, steps = None, []
for t in range(T):
    out_t, past = cached_attention(x[:, t : t + 1], past, w, H)
    steps.append(out_t)

# %% name="cache-step-check" tags=["nbval-check-output"]
at_once, _ = multi_head(x, x, w, "self_attn", H, causal_mask(T))
record.check(
    "step by step with a cache equals all at once with a mask", torch.allclose(torch.cat(steps, 1), at_once, atol=1e-6)
)
print("cached keys", tuple(past[0].shape), "= (B, H, T, D)")
cache = writer.decoder.allocate_cache(batch=1, max_length=12)
with torch.no_grad():
    memory_of_source = writer.encode(source)
    slow = writer(decoder_input_ids=long_target, encoder_output=memory_of_source).logits
    fast = [
        writer(decoder_input_ids=long_target[:, t : t + 1], encoder_output=memory_of_source, cache=cache)
        for t in range(12)
    ]
fast = torch.cat([one.logits for one in fast], dim=1)
record.check("lmlib's whole decoder: cached equals not cached", torch.allclose(slow, fast, atol=1e-4))

# %% [markdown] name="cache-cost-text"
# What is saved? We count the operations for the next word, with the whole prefix and with the cache. And the price:
# the cache holds $2 \cdot \text{layers} \cdot B \cdot H \cdot D$ numbers for each place.

# %% name="cache-cost"
LENGTHS = [1, 32, 64, 96, 128, 160, 192]


@torch.no_grad()
def operations(length, cached):
    """Floating-point operations to get the scores after `length` target tokens, by torch's counter."""
    ids = torch.full((1, length), 5, device=device)
    cache = writer.decoder.allocate_cache(1, length)
    if cached and length > 1:
        writer(decoder_input_ids=ids[:, :-1], encoder_output=memory_of_source, cache=cache)
    with FlopCounterMode(display=False) as counter:
        given = {"decoder_input_ids": ids[:, -1:], "cache": cache} if cached else {"decoder_input_ids": ids}
        writer(encoder_output=memory_of_source, inspect=True, last_only=True, **given)
    return counter.get_total_flops(), cache.layers[0].key.numel() * 2 * len(cache.layers)


counts = {"whole prefix": [operations(n, False)[0] for n in LENGTHS]}
counts["with the cache"], held = zip(*(operations(n, True) for n in LENGTHS), strict=True)
fig, (left, right) = plots.figure("Operations for the next word", "Numbers in the cache", width=8.0, height=2.9)
millions = {name: np.array(values) / 1e6 for name, values in counts.items()}
plots.lines(left, LENGTHS, millions, x_label="words so far", y_label="operations (millions)")
plots.lines(right, LENGTHS, {"cache": np.array(held) / 1e3}, x_label="words so far", y_label="numbers (thousands)")
plots.show(
    fig,
    alt="Left: with the whole prefix the operations for the next word grow a little faster than the length; with "
    "the cache they hardly grow. Right: the size of the cache grows in proportion to the length.",
)

# %% name="cache-cost-check" tags=["nbval-check-output"]
record.check("the cache holds 2 · layers · C numbers for each word", list(held) == [2 * 2 * 64 * n for n in LENGTHS])
slow, fast = counts.values()
record.check("at 192 words the cache saves over 98 % of the operations", fast[-1] < 0.02 * slow[-1])
record.check("twice the prefix costs more than twice as much", slow[-1] > 2 * slow[LENGTHS.index(96)])
record.check("the first word costs about the same", 0.5 < fast[0] / slow[0] < 2)

# %% [markdown] name="cache-lesson"
# The keys and values of the *memory* are also made once and kept: the source does not change while we write. So a
# decoder trades memory for time, and it may, because it is causal. An encoder may not: there every state changes with
# every new token. Section 3.7 measures the time.

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# Document 001 lists the decoder's eight steps and describes generation. Each statement that can be tested has a row,
# and a cell that computes the document's version and the correct one.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("03_algorithms/03_decoder")

# %% name="ledger-data"
toy, toy_memory = torch.randn(1, 5, 16), torch.randn(1, 7, 16)  # five target words, seven source words, C = 16
layer = nn.TransformerDecoderLayer(16, 4, 64, dropout=0.0, batch_first=True).requires_grad_(False)
future = nn.Transformer.generate_square_subsequent_mask(5)
small = Transformer(TransformerConfig(vocab_size=5, d_model=16, n_layers=1, n_heads=4, d_ff=32, dropout=0.0))
small = small.eval().requires_grad_(False)
small_source = torch.tensor([[3, 4, 3]])
outcome = ledger.outcome  # a call's result, or the name of the error it raises


def self_attend(x, mask=None):
    """The layer's masked self-attention, as PyTorch has it."""
    return layer.self_attn(x, x, x, attn_mask=future if mask is None else mask)[0]


# %% [markdown] name="ledger-input-text"
# ### 输入 · The input


# %% name="ledger-shift" tags=["ledger"]
def document_version(labels):
    """001 §3.2, step 1: the tokens of the output sequence are embedded. No shift is named."""
    return labels


def correct_version(labels):
    """A start token first, and all tokens but the last."""
    return torch.cat([torch.full_like(labels[:, :1], 1), labels[:, :-1]], dim=1)


wanted = torch.tensor([[7, 9, 4, 2]])
record.check(
    "unshifted, each place reads the very word it is to predict", torch.equal(document_version(wanted), wanted)
)
shifted = correct_version(wanted)
record.check("shifted, it reads the word before", torch.equal(shifted[:, 1:], wanted[:, :-1]) and shifted[0, 0] == 1)


# %% name="ledger-positions" tags=["ledger"]
def document_version(x):
    """001 §3.2, steps 1 and 2: output embedding, then masked self-attention. No positions are named."""
    return self_attend(x)


def correct_version(x):
    """The decoder's input has positions too."""
    return self_attend(x + sinusoidal(5, 16))


turned = toy[:, [1, 0, 3, 2, 4]]  # the words before the last in another order
same = torch.allclose(document_version(toy)[:, -1], document_version(turned)[:, -1], atol=1e-5)
record.check("without positions the last word does not know the order of those before it", same)
same = torch.allclose(correct_version(toy)[:, -1], correct_version(turned)[:, -1], atol=1e-3)
record.check("with positions it does", not same)


# %% [markdown] name="ledger-layer-text"
# ### 一层 · The layer


# %% name="ledger-steps" tags=["ledger"]
def document_version(x, memory):
    """001 §3.2, steps 2 to 7: masked self-attention, attention to the encoder, feed-forward, and three norms."""
    x = layer.norm1(x + self_attend(x))
    x = layer.norm2(x + layer.multihead_attn(x, memory, memory)[0])
    return layer.norm3(x + layer.linear2(F.relu(layer.linear1(x))))


def correct_version(x, memory):
    """PyTorch's layer."""
    return layer(x, memory, tgt_mask=future, tgt_is_causal=True)


same = torch.allclose(document_version(toy, toy_memory), correct_version(toy, toy_memory), atol=1e-5)
record.check("the steps in their order are PyTorch's decoder layer", same)


# %% name="ledger-mask-length" tags=["ledger"]
def document_version(x):
    """001 §3.2, step 2b-d: keys and values of the future are emptied, so that only the past counts."""
    seen = causal_mask(x.size(1))[..., None]  # (T, S, 1)
    keys = torch.where(seen, x[0], 0.0)  # (T, S, C): for each query its own
    weights = torch.softmax((x[0, :, None] * keys).sum(-1) / 4, dim=-1)
    return (weights[..., None] * keys).sum(1)


def correct_version(x):
    """Scores of the future are minus infinity."""
    return attention(x[:, None], x[:, None], x[:, None], causal_mask(x.size(1)))[0][0, 0]


record.check(
    "emptied keys: the first two words change when three more follow",
    not torch.allclose(document_version(toy)[:2], document_version(toy[:, :2]), atol=1e-2),
)
same = torch.allclose(correct_version(toy)[:2], correct_version(toy[:, :2]), atol=1e-6)
record.check("masked scores: they do not, so writing agrees with training", same)


# %% name="ledger-queries" tags=["ledger"]
def document_version(x, memory):
    """001 §3.2, step 4: the output of the decoder attends to the encoder's output."""
    x = layer.norm1(x + self_attend(x))
    x = layer.norm3(x + layer.linear2(F.relu(layer.linear1(x))))
    return layer.norm2(x + layer.multihead_attn(x, memory, memory)[0])


def correct_version(x, memory):
    """What the masked self-attention gives attends to it, inside each layer; the feed-forward layer comes after."""
    x = layer.norm1(x + self_attend(x))
    x = layer.norm2(x + layer.multihead_attn(x, memory, memory)[0])
    return layer.norm3(x + layer.linear2(F.relu(layer.linear1(x))))


expected = layer(toy, toy_memory, tgt_mask=future, tgt_is_causal=True)
record.check(
    "attention after the rest of the layer is another layer",
    not torch.allclose(document_version(toy, toy_memory), expected, atol=1e-2),
)
record.check(
    "attention in the middle is PyTorch's", torch.allclose(correct_version(toy, toy_memory), expected, atol=1e-5)
)


# %% name="ledger-same-feed-forward" tags=["ledger"]
def document_version(x):
    """001 §3.2, step 6: the same as the encoder's feed-forward layer. Read literally: that very layer."""
    return small.encoder.blocks[0].feed_forward(x)


def correct_version(x):
    """The same form, with weights of its own."""
    return small.decoder.blocks[0].feed_forward(x)


own = small.decoder.blocks[0].feed_forward
by_hand = F.linear(F.relu(F.linear(toy, own.inner.weight, own.inner.bias)), own.outer.weight, own.outer.bias)
record.check("the decoder's layer works with its own weights", torch.allclose(correct_version(toy), by_hand, atol=1e-5))
record.check("the encoder's gives another result", not torch.allclose(document_version(toy), by_hand, atol=1e-2))


# %% name="ledger-without-encoder" tags=["ledger"]
def document_version(ids):
    """001 §3.2: a decoder writes on the basis of an encoder's output. Without one it cannot."""
    return outcome(lambda: small(decoder_input_ids=ids).logits)


def correct_version(ids):
    """The decoder of the GPT family has no second attention and needs no encoder."""
    gpt = Gpt2(Gpt2Config(vocab_size=5, d_model=16, n_layers=1, n_heads=2, max_positions=8), head="language_model")
    return outcome(lambda: gpt.eval()(ids).logits)


ids = torch.tensor([[1, 3, 4]])
record.check(
    "the decoder of a translation model refuses to work without a source", document_version(ids) == "ValueError"
)
record.check("GPT-2 writes without one", isinstance(correct_version(ids), torch.Tensor))


# %% [markdown] name="ledger-output-text"
# ### 输出 · The output


# %% name="ledger-distribution" tags=["ledger"]
def document_version(target):
    """001 §3.2, step 8: the softmax gives the probability distribution of the target sequence. One look at it."""
    shifted = torch.cat([torch.ones_like(target[:, :1]), target[:, :-1]], dim=1)
    chances = small(small_source.expand(len(target), -1), decoder_input_ids=shifted).logits.softmax(-1)  # (N, T, V)
    return chances.gather(2, target[..., None])[:, -1, 0]


def correct_version(target):
    """It gives one distribution for each place, of the next token; that of the sequence is the product."""
    shifted = torch.cat([torch.ones_like(target[:, :1]), target[:, :-1]], dim=1)
    chances = small(small_source.expand(len(target), -1), decoder_input_ids=shifted).logits.softmax(-1)
    return chances.gather(2, target[..., None])[..., 0].prod(1)


every_pair = torch.cartesian_prod(torch.arange(5), torch.arange(5))  # all 25 sequences of two tokens
record.check(
    "one softmax, summed over all sequences of two tokens: 5, not 1", abs(document_version(every_pair).sum() - 5) < 1e-4
)
record.check("the product sums to 1", abs(correct_version(every_pair).sum() - 1) < 1e-5)


# %% name="ledger-repeat" tags=["ledger"]
def document_version(target):
    """001 §3.2, last sentence: what has been written is the new input, and all steps are repeated."""
    memory = small.encode(small_source)
    return torch.stack(
        [
            small(decoder_input_ids=target[:, : t + 1], encoder_output=memory).logits[:, -1]
            for t in range(target.size(1))
        ]
    )


def correct_version(target):
    """So it is. With a cache the newest word alone goes through the layers, and the result is the same."""
    memory, cache = small.encode(small_source), small.decoder.allocate_cache(1, target.size(1))
    feeds = target.split(1, dim=1)
    return torch.stack(
        [small(decoder_input_ids=one, encoder_output=memory, cache=cache).logits[:, -1] for one in feeds]
    )


some = torch.tensor([[1, 3, 4, 4, 3]])
same = torch.allclose(document_version(some), correct_version(some), atol=1e-5)
record.check("the whole prefix, or the newest word and a cache: the same scores", same)

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/03_algorithms/03_decoder.ipynb), about 85 minutes, four questions:
#
# 1. teacher forcing: the shifted input, and which places count;
# 2. a decoder layer: two attentions with two different masks;
# 3. one step with a cache;
# 4. reading results: a loss that is too good, and some numbers.
#
# To go on: section 3.7 has all ways to choose the next word, 5.5 trains a translator on real sentences.
