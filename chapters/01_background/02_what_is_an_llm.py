# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 1.2 什么是大语言模型 · What is a large language model?
#
# 本节给“大”这个字一把尺子。我们按公开的配置，把文档列举的七个模型家族（GPT、BERT、XLNet、RoBERTa、ALBERT、T5、GPT-3）
# 搭成没有内存的空壳，数出参数，与论文里的数字对照；再用 6·N·D 估算训练代价，画在一张图里。
# 最后用一个小实验看大语言模型与传统语言模型的区别：从上下文里当场学会新东西。
#
# After this section you can count the parameters of any Transformer in your head, say what its training cost, and name
# what sets a large language model apart from the models of 1.1. You will have built GPT-3 without a single byte.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.models.albert import Albert, AlbertConfig
from lmlib.models.bert import Bert, BertConfig
from lmlib.models.gpt import Gpt, GptConfig
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from lmlib.models.gpt3 import Gpt3, Gpt3Config
from lmlib.models.nanochat import NanoChat, NanoChatConfig
from lmlib.models.ngram import KneserNey
from lmlib.models.roberta import Roberta, RobertaConfig
from lmlib.models.t5 import T5, T5Config
from lmlib.models.xlnet import Xlnet, XlnetConfig
from lmlib.training import TrainingConfig, train

device = session.start(seed, device, profile)

# %% [markdown] name="definition"
# ## 1.2.1 定义 · A definition you can count
#
# A **language model** (语言模型) gives every text a probability, token by token (2.1). A **large language model**
# (大语言模型) is one that is
#
# - a neural network, today nearly always a Transformer,
# - trained on a very large text without labels (自监督预训练), and
# - large: in its number of parameters N, in the number of tokens D that it has read, and so in its cost.
#
# Where does *large* begin? Nobody has fixed it. So we count. PyTorch has a device named **meta**, on which tensors have
# a shape and no memory. There we can build a model of any size in a second.

# %% name="meta"
with torch.device("meta"):
    gpt3 = Gpt3(Gpt3Config(d_model=12288, n_layers=96, n_heads=96), "language_model")
n_gpt3 = sum(parameter.numel() for parameter in gpt3.parameters())

# %% name="meta-check" tags=["nbval-check-output"]
print(f"GPT-3: {n_gpt3:,} parameters; in 16 bits each, {2 * n_gpt3 / 1e9:.0f} GB")
record.check("not one of them has a value", all(p.is_meta for p in gpt3.parameters()))
record.check("Brown et al. say 175.0 billion in the text, 174,600 million in appendix D", round(n_gpt3 / 1e8) == 1746)

# %% [markdown] name="formula-text"
# You can do it in your head. A block of width C has four attention matrices of (C, C), and a feed-forward layer of (C,
# 4C) and (4C, C). That is $4C^2 + 8C^2$, so for L blocks
#
# $$N \approx 12\, L\, C^2$$
#
# GPT-3 has L = 96 and C = 12,288. What is left out are the embeddings, V·C for V tokens, biases and norms.


# %% name="formula" tags=["nbval-check-output"]
def rule_of_thumb(n_layers, width):
    """The weights of the blocks' matrices."""
    return 12 * n_layers * width**2


print(f"12 · 96 · 12288² = {rule_of_thumb(96, 12288):,}")
left_out = 1 - rule_of_thumb(96, 12288) / n_gpt3
print(f"left out: {left_out:.1%}")
record.check("for GPT-3 the rule leaves out less than half a per cent", 0 < left_out < 0.005)

# %% [markdown] name="the-list"
# ## 文档列举的模型 · The models on the documents' list
#
# 001 names seven families as representatives. Here are their published sizes. `paper` is the number of parameters, in
# millions, as the source prints it: in 2018 to 2020 authors rounded freely.


# %% name="list-classes"
@dataclass
class Published:
    """A model as its paper describes it: family, config, head, and the number of parameters printed, in millions."""

    family: type
    config: object
    head: str | None
    paper: float
    source: str

    def parts(self):
        """Parameters of embeddings and of all else, counted on the meta device; a tied matrix counts once."""
        with torch.device("meta"):
            model = self.family(self.config, self.head)
        embeddings = ("word.", "position.", "segment.", "embedding.", "source_word.", "target_word.")
        counted = Counter()
        for name, parameter in model.named_parameters():
            counted[any(part in f"{name}." for part in embeddings)] += parameter.numel()
        return counted[True], counted[False]


def bert_sizes(layers, width):
    """The sizes that BERT, RoBERTa and ALBERT share: heads of 64, a feed-forward layer of 4C."""
    return {"d_model": width, "n_layers": layers, "n_heads": width // 64, "d_ff": 4 * width}


# %% name="list-models"
clark, brown, lan = "Clark et al. 2020", "Brown et al. 2020", "Lan et al. 2020"
t5 = {"d_head": 64, "d_ff": 3072, "n_layers": 12, "n_heads": 12}
deep_t5 = {"d_model": 1024, "n_layers": 24}
ROBERTA = {**bert_sizes(24, 1024), "max_positions": 514, "n_segments": 1}
PUBLISHED = {
    "GPT": Published(Gpt, GptConfig(), "language_model", 117, "Radford et al. 2019"),
    "BERT-base": Published(Bert, BertConfig(), None, 110, "Devlin et al. 2019"),
    "BERT-large": Published(Bert, BertConfig(**bert_sizes(24, 1024)), None, 340, "Devlin et al. 2019"),
    "XLNet-large": Published(Xlnet, XlnetConfig(), "lm", 360, clark),
    "RoBERTa-large": Published(Roberta, RobertaConfig(**ROBERTA), "masked_lm", 355, "Liu et al. 2019"),
    "ALBERT-base": Published(Albert, AlbertConfig(**bert_sizes(12, 768)), None, 12, lan),
    "ALBERT-large": Published(Albert, AlbertConfig(**bert_sizes(24, 1024)), None, 18, lan),
    "ALBERT-xlarge": Published(Albert, AlbertConfig(**bert_sizes(24, 2048)), None, 60, lan),
    "ALBERT-xxlarge": Published(Albert, AlbertConfig(**bert_sizes(12, 4096)), None, 235, lan),
}

# %% name="list-more"
raffel = "Raffel et al. 2020"
PUBLISHED |= {
    "T5-small": Published(T5, T5Config(), "language_model", 60, raffel),
    "T5-base": Published(T5, T5Config(d_model=768, **t5), "language_model", 220, raffel),
    "T5-large": Published(T5, T5Config(**deep_t5, d_ff=4096, n_heads=16), "language_model", 770, raffel),
    "T5-3B": Published(T5, T5Config(**deep_t5, d_head=128, d_ff=16384, n_heads=32), "language_model", 2800, raffel),
    "T5-11B": Published(T5, T5Config(**deep_t5, d_head=128, d_ff=65536, n_heads=128), "language_model", 11000, raffel),
    "GPT-2": Published(
        Gpt2, Gpt2Config(d_model=1600, n_layers=48, n_heads=25), "language_model", 1542, "Radford et al. 2019"
    ),
    "GPT-3 small": Published(Gpt3, Gpt3Config(), "language_model", 125, brown),
    "GPT-3": Published(Gpt3, Gpt3Config(d_model=12288, n_layers=96, n_heads=96), "language_model", 175000, brown),
}
parts = {name: model.parts() for name, model in PUBLISHED.items()}
N = {name: sum(both) for name, both in parts.items()}

# %% name="list-table" tags=["nbval-check-output"]
print("model             counted (M)   paper (M)   difference   source")
for name, model in PUBLISHED.items():
    difference = N[name] / 1e6 / model.paper - 1
    print(f"{name:15} {N[name] / 1e6:13,.1f} {model.paper:11,} {difference:+11.1%}   {model.source}")

# %% [markdown] name="list-check-text"
# All but two agree within 3 %. Most of that is rounding: 335 was printed as 340. GPT-2's 1,542 is not: its authors
# later called it an error, and the released model is named 1558M. T5-large and ALBERT-xxlarge are 4 to 6 % smaller
# than printed, and no rounding explains it. A number in a paper is a claim like any other, and this one takes
# a second to check.

# %% name="list-check" tags=["nbval-check-output"]
away = {name: abs(N[name] / 1e6 / model.paper - 1) for name, model in PUBLISHED.items()}
odd = [name for name, difference in away.items() if difference > 0.03]
print("more than 3 % away:", ", ".join(odd))
record.check("all but two agree within 3 %", odd == ["ALBERT-xxlarge", "T5-large"])
record.check("these two are smaller than printed, by 4 to 6 %", all(0.04 < away[name] < 0.06 for name in odd))
record.check("from ALBERT-base to GPT-3: a factor of almost 15,000", 14_900 < N["GPT-3"] / N["ALBERT-base"] < 15_000)

# %% [markdown] name="where-text"
# **Where do the parameters sit?** In GPT and BERT-base a fifth to a third is the table of word vectors. It grows with
# C, the blocks grow with L·C². So in a large model nearly everything is blocks. (ALBERT stores one block for all layers
# and a narrow table, so its points lie further left.)

# %% name="where-plot"
fig, (ax,) = plots.figure("Share of the embeddings in all parameters", width=6.6, height=3.4)
for i, family in enumerate(("GPT", "BERT", "RoBERTa", "ALBERT", "T5")):
    mine = [name for name in PUBLISHED if name.startswith(family)]
    share = [parts[name][0] / N[name] for name in mine]
    ax.plot([N[name] for name in mine], share, plots.MARKERS[i], color=plots.COLOURS[i], label=family, markersize=6)
ax.set_xscale("log")
ax.set_xlabel("parameters N")
ax.set_ylabel("share of the embeddings")
ax.set_ylim(0, 0.4)
ax.annotate("GPT-3", (N["GPT-3"], 0), xytext=(-14, 8), textcoords="offset points", fontsize=8)
ax.legend()
plots.show(
    fig,
    alt="Share of the embeddings against the number of parameters, logarithmic. In BERT, ALBERT and T5 it falls with "
    "the size; in GPT from about a third at 125 million to under one per cent for GPT-3. ALBERT's points lie further "
    "left.",
)

# %% name="where-check"
share = {name: both[0] / N[name] for name, both in parts.items()}
record.check("GPT, BERT-base: a fifth to a third", all(0.2 < share[n] < 0.34 for n in ("GPT", "BERT-base")))
record.check("GPT-3: less than half a per cent", share["GPT-3"] < 0.005)
for family in ("BERT", "ALBERT", "T5"):
    falling = [share[name] for name in PUBLISHED if name.startswith(family)]
    record.check(f"{family}: the larger the model, the smaller the share", bool((np.diff(falling) < 0).all()))

# %% [markdown] name="cost"
# ## 训练代价 · What training cost
#
# In 1.1 you saw torch count the operations of a training step. They follow a rule. In the forward pass each
# parameter multiplies one number and adds the product: 2 operations a token. The backward pass needs twice as many. So
#
# $$\text{training cost} \approx 6\, N\, D \quad \text{operations (FLOPs)}$$
#
# for N parameters and D tokens read, repeated ones included. (Kaplan et al. 2020. The scores of attention come on top,
# and are small as long as the text is much shorter than 12·C.) First the check, on a small BERT:


# %% name="cost-rule" tags=["nbval-check-output"]
def counted_and_ruled(family, config, head=None, applied=1):
    """Operations of one forward and backward pass that torch counts, and 6 · N · D, N being the matrices' weights."""
    model = family(config, head)
    ids = torch.zeros(4, 64, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(ids, inspect=True).last_hidden_state.sum().backward()  # a CPU's fused attention is not counted
    n = sum(p.numel() for name, p in model.named_parameters() if ".blocks." in name and p.dim() == 2)
    return counter.get_total_flops(), 6 * n * applied * 4 * 64


small = {"d_model": 128, "n_layers": 6, "n_heads": 4, "d_ff": 512}
for name, family, config in (("BERT", Bert, BertConfig(50, **small)), ("ALBERT", Albert, AlbertConfig(50, **small))):
    counted, ruled = counted_and_ruled(family, config)
    print(f"{name:6} counted {counted / 1e9:.2f} billion; 6·N·D {ruled / 1e9:.2f} billion; ratio {counted / ruled:.2f}")
    right = name == "BERT"
    record.check(f"{name}: 6·N·D is {'right' if right else 'wrong'}", (counted / ruled < 1.2) == right)

# %% [markdown] name="cost-albert"
# ALBERT's six layers are *one* layer, applied six times. It stores a sixth of the weights, and computes as much as
# BERT. So for the cost N must be the parameters **applied** to a token. ALBERT is small on disk and large in the
# electricity bill. In T5 it is the other way round: a token passes the encoder or the decoder, half of the weights.
#
# How many tokens did each model read? Batch, length and steps stand in the papers.

# %% name="cost-table"
TOKENS = {  # sequences in a batch, tokens in a sequence, steps; or the total
    "GPT": (100 * 800e6, "100 epochs of BooksCorpus, 800 million words"),
    "BERT-base": (256 * 512 * 1e6, "256 × 512, 1 million steps; at most: many had 128 tokens"),
    "BERT-large": (256 * 512 * 1e6, "256 × 512, 1 million steps; at most: many had 128 tokens"),
    "XLNet-large": (8192 * 512 * 500e3, "8192 × 512, 500,000 steps"),
    "RoBERTa-large": (8192 * 512 * 500e3, "8192 × 512, 500,000 steps"),
    "ALBERT-xxlarge": (4096 * 512 * 1.5e6, "4096 × 512, 1.5 million steps"),
    "T5-base": (1e12, "1 trillion tokens"),
    "T5-11B": (1e12, "1 trillion tokens"),
    "GPT-3 small": (300e9, "300 billion tokens"),
    "GPT-3": (300e9, "300 billion tokens"),
}
APPLIED = {"ALBERT-xxlarge": rule_of_thumb(12, 4096), "T5-base": N["T5-base"] / 2, "T5-11B": N["T5-11B"] / 2}
D = {name: tokens for name, (tokens, _) in TOKENS.items()}
cost = {name: 6 * APPLIED.get(name, N[name]) * D[name] for name in D}

# %% name="cost-print" tags=["nbval-check-output"]
print("model              N applied          D        6·N·D   read")
for name, (tokens, words) in TOKENS.items():
    print(f"{name:15} {APPLIED.get(name, N[name]):12.1e} {tokens:10.1e} {cost[name]:12.1e}   {words}")

# %% [markdown] name="cost-witness-text"
# Is a rule with one factor any good? Two papers printed such numbers. Clark et al. 2020 (ELECTRA, tables 1 to 4)
# counted operation by operation: an independent witness. Brown et al. 2020 (GPT-3, table D.1) used 6·N·D themselves,
# so they only confirm our N and D. Where both have a model, they do not agree with each other.

# %% name="cost-witness" tags=["nbval-check-output"]
WITNESS = {
    "GPT": (4.0e19, clark),
    "BERT-base": (6.4e19, clark),
    "BERT-large": (1.9e20, clark),
    "XLNet-large": (3.9e21, clark),
    "RoBERTa-large": (3.2e21, clark),
    "ALBERT-xxlarge": (3.1e22, clark),
    "T5-base": (6.6e20, brown),
    "T5-11B": (3.3e22, brown),
    "GPT-3 small": (2.25e20, brown),
    "GPT-3": (3.14e23, brown),
}
ratios = {name: cost[name] / said for name, (said, _) in WITNESS.items()}
for name, ratio in ratios.items():
    print(f"{name:15} 6·N·D is {ratio:.2f} times what {WITNESS[name][1]} say")
record.check("all ten agree within a factor of 1.6", all(1 / 1.6 < ratio < 1.6 for ratio in ratios.values()))
record.check("GPT-3 agrees within 1 %", abs(ratios["GPT-3"] - 1) < 0.01)
BY_BROWN = {"BERT-base": 1.64e20, "BERT-large": 5.33e20, "RoBERTa-large": 4.26e21}
apart = {name: said / WITNESS[name][0] for name, said in BY_BROWN.items()}
print("Brown et al. over Clark et al.:", ", ".join(f"{name} {ratio:.1f}" for name, ratio in apart.items()))
berts = [name for name in BY_BROWN if name.startswith("BERT")]
record.check("for both BERTs 6·N·D lies between the papers", all(1 < ratios[b] < apart[b] for b in berts))

# %% [markdown] name="cost-plot-text"
# Now all in one figure: parameters across, tokens up. Because both axes are logarithmic, models of equal cost
# lie on a falling line. Each grey line costs ten times the one before.

# %% name="cost-plot"
fig, (ax,) = plots.figure("What training cost: two years of language models", width=7.2, height=4.4)
span = np.array([4e7, 6e11])
for power in range(19, 25):
    ax.plot(span, 10.0**power / 6 / span, color="#bbbbbb", linewidth=0.9)
    x = min(10.0**power / 6 / 3e10, 4.2e11)  # a label at the lower or the right-hand edge
    label = ax.text(x, 10.0**power / 6 / x, f"10$^{{{power}}}$", fontsize=8, color="#555555", ha="center", va="center")
    label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
for i, (name, tokens) in enumerate(D.items()):
    applied = APPLIED.get(name, N[name])
    ax.plot(applied, tokens, plots.MARKERS[i % 6], color=plots.COLOURS[i % 5], markersize=7)
    below = name in ("T5-base", "RoBERTa-large", "GPT-3 small", "GPT")
    left = name == "XLNet-large"
    place = {"ha": "right" if left else "left", "xytext": (2 if left else 5, -13 if below else 6)}
    ax.annotate(name, (applied, tokens), textcoords="offset points", fontsize=8, **place)
ax.set(xscale="log", yscale="log", xlim=span, ylim=(2.4e10, 9e12))
ax.set_xlabel("parameters applied to a token, N")
ax.set_ylabel("tokens read, D")
ax.grid(visible=False)
plots.show(
    fig,
    alt="Parameters against tokens, both logarithmic, with falling grey lines of equal cost, 1e19 to 1e24. "
    "GPT and BERT lie near 1e20, XLNet and RoBERTa near 4e21, ALBERT-xxlarge and T5-11B near 4e22, GPT-3 above 3e23.",
)

# %% name="cost-check" tags=["nbval-check-output"]
growth = cost["GPT-3"] / cost["GPT"]
larger, longer = N["GPT-3"] / N["GPT"], D["GPT-3"] / D["GPT"]
print(f"from GPT (2018) to GPT-3 (2020): {growth:,.0f} times the operations")
print(f"    = {larger:,.0f} times the parameters · {longer:.2f} times the tokens")
record.check("nearly all of the growth came from parameters", larger > 100 * longer)
years = (
    cost["GPT-3"] / (312e12 * 0.4) / (365 * 24 * 3600)
)  # an A100: 312e12 operations a second, of which 0.4 are reached
print(f"one A100 at 40 % of its peak would train GPT-3 for {years:.0f} years")
record.check("that is longer than a working life", years > 50)

# %% [markdown] name="cost-lesson"
# From GPT to GPT-3 nearly all growth went into N, and D hardly moved. Two years later it was shown that this was
# lopsided: for a given cost, N and D should grow together (Hoffmann et al. 2022; section 8.1).
#
# The research of those years (研究现状) moved along three roads: other architectures and objectives (XLNet, ALBERT,
# T5), more data (RoBERTa is BERT, moved upwards in the figure; XLNet-large stands at the same point), and more
# parameters (T5-11B and GPT-3, to the right).

# %% [markdown] name="properties"
# ## 1.2.2 特点 · Properties
#
# What does a model of this kind *have* that can be read off without training? Three things.
#
# 1. **It is trained without labels.** The text is its own answer: shifted by one place.
# 2. **It is one network for any text**; its size does not depend on how much it has read.
# 3. **It reads and writes with the same numbers.** A score for each next token is a distribution to draw from.
#
# The second is a clear difference from the tables of 1.1. Watch both read more and more.

# %% name="properties-grow"
generator = torch.Generator().manual_seed(seed)
weights = torch.rand(200, 200, generator=generator) ** 6  # a made-up language: some tokens like to follow others
stream = [0]
for _ in range(8000):
    stream.append(int(torch.multinomial(weights[stream[-1]], 1, generator=generator)))
amounts = [500, 1000, 2000, 4000, 8000]
table = [sum(len(level.keys) for level in KneserNey([stream[:n]], 3, 200).levels) for n in amounts]
network = sum(p.numel() for p in Gpt(GptConfig(200, 32, 2, 2, 16), "language_model").parameters())

# %% name="properties-plot"
fig, (ax,) = plots.figure("A table grows with what it has read; a network does not", width=5.6, height=3.0)
curves = {"3-gram: entries of the table": table, "small GPT: parameters": [network] * len(amounts)}
plots.lines(ax, amounts, curves, x_label="tokens read", y_label="numbers stored")
ax.set_ylim(0, None)
plots.show(
    fig, alt="Numbers stored against tokens read: the 3-gram's table rises steadily, the network is a flat line."
)

# %% name="properties-check" tags=["nbval-check-output"]
growth_of_table = np.diff(np.log(table))
record.check("every doubling of the text adds over half to the table", bool(growth_of_table.min() > math.log(1.5)))
ids = torch.tensor([stream[:12]])
model = Gpt(GptConfig(200, 32, 2, 2, 16), "language_model").eval()
own = F.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:])
record.check("the loss needs no label but the text itself", torch.allclose(model(ids, labels=ids).loss, own))
drawn = torch.multinomial(model(ids).logits[0].softmax(-1), 1)
record.check("and every score is a distribution to draw from", drawn.shape == (12, 1))

# %% [markdown] name="differences"
# ## 1.2.3 与传统语言模型的区别 · Learning from the prompt
#
# The difference that surprised people in 2020 is another one. A classical model learns while it is trained,
# and then it is fixed. A large one goes on learning **from what it reads** (上下文学习, in-context learning), with
# no change of its weights. Brown et al. 2020 wrote examples of a task into the prompt, and GPT-3 went on with
# it.
#
# A tiny model can show the heart of it. Each text is a row of random tokens that repeats after 8 to 16 places. No
# row ever comes twice, so there is nothing to know beforehand. Only who notices, *within the text*, what came after a
# token last time, can do better than ln V.

# %% name="context-data"
VOCABULARY, LENGTH, PERIODS = 32, 34, range(8, 17)


def repeating(n, period, generator):
    """n rows of random tokens (n, LENGTH) that repeat with the period."""
    row = torch.randint(VOCABULARY, (n, period), generator=generator)
    return row.repeat(1, LENGTH // period + 1)[:, :LENGTH]


def repeating_batches(generator):
    """Batches without end, each with a period of its own."""
    while True:
        period = int(torch.randint(len(PERIODS), (), generator=generator)) + PERIODS[0]
        rows = repeating(32, period, generator)
        yield {"input_ids": rows, "labels": rows}


print(repeating(1, 8, torch.Generator().manual_seed(seed))[0].tolist())

# %% name="context-train"
STEPS = {"quick": 500, "full": 3000}[profile]
torch.manual_seed(seed)
sizes = {"d_model": 32, "n_layers": 2, "n_heads": 2, "d_ff": 64, "max_positions": 64}
learner = NanoChat(NanoChatConfig(vocab_size=VOCABULARY, eos_token_id=None, **sizes), "language_model")
settings = TrainingConfig(STEPS, 2e-2, "muon", muon_learning_rate=0.06, warmup_steps=20, device=str(device), seed=seed)
log = train(learner, repeating_batches(torch.Generator().manual_seed(seed)), settings)
source = repeating_batches(torch.Generator().manual_seed(seed))  # the n-gram reads the same rows
counts = KneserNey([row for _ in range(100) for row in next(source)["input_ids"]], 2, VOCABULARY)

# %% name="context-measure"
PERIOD = 13
new = repeating(512, PERIOD, torch.Generator().manual_seed(seed + 1000))
with torch.no_grad():
    log_p = learner(new.to(device)).logits[:, :-1].log_softmax(-1).gather(-1, new[:, 1:, None].to(device))
in_context = -log_p[..., 0].mean(0).cpu()  # (LENGTH - 1,): the loss at each place
by_table = -torch.stack([counts.log_probabilities(row)[1:] for row in new[:128]]).mean(0)

# %% name="context-plot"
fig, (ax,) = plots.figure("Loss at each place of a row that nobody has seen before", width=6.6, height=3.2)
places = range(2, LENGTH + 1)
plots.lines(ax, places, {"Transformer": in_context, "2-gram": by_table}, x_label="place", y_label="loss (nats)")
plots.level(ax, math.log(VOCABULARY), "ln V: guessing")
ax.axvline(PERIOD + 1, color="#555555", linewidth=0.9, linestyle=":")
ax.annotate("the row begins again", (PERIOD + 1, 1.8), xytext=(16, 0), textcoords="offset points", fontsize=8)
ax.set_ylim(0, 4.2)
ax.legend(loc="lower left")
plots.show(
    fig,
    alt="Loss against place. Both models are at ln 32 in the first round. When the row begins again, the Transformer "
    "falls close to 0 and stays there; the 2-gram stays near ln 32.",
)

# %% [markdown] name="context-bands"
# Bands over seeds: in the first round no loss lies more than 0.15 below ln V; that would be a leak. Its end lies a
# little *above* ln V: most rows begin again earlier, so the model bets on it, and loses. In the second round the mean
# loss of the Transformer is below 0.7. The weights are the same at every place: what changed is only what it
# has read. The 2-gram stays above 3 throughout.

# %% name="context-check"
first_round, second_round = in_context[: PERIOD - 1], in_context[PERIOD + 1 :]
record.metric("loss in the second round", second_round.mean(), "nats")
record.check("first round: not better than guessing", bool(first_round.min() > math.log(VOCABULARY) - 0.15))
record.check("at the end of the first round it bets too early", first_round[-3:].mean() > math.log(VOCABULARY) + 0.02)
record.check("second round: the Transformer knows the row", second_round.mean() < 0.7)
record.check("the 2-gram does not", bool(by_table.min() > 3))

# %% [markdown] name="differences-table"
# | | classical: n-gram | large language model |
# | --- | --- | --- |
# | learns by | counting | gradient descent |
# | sees | the last n - 1 tokens | all tokens of its window |
# | stores | a table that grows with the text | a fixed number of parameters |
# | similar words | nothing in common | similar vectors (1.1) |
# | learns from the prompt | no | yes |
# | used for | one job: to score or to propose text | many jobs, by fine-tuning or by the prompt |

# %% [markdown] name="keywords"
# ## 关键词与地图 · Keywords, and a map of the book
#
# 002 sets four keywords above its text: large language models, theory, practice, code. The book covers all five
# documents. Where do their headings lead?

# %% name="keywords-map"
headings = ledger.load_outline()
chapters = Counter(heading.notebook.split("/")[0] for heading in headings)
print("chapter              headings of the five documents")
for chapter, n in sorted(chapters.items()):
    print(f"{chapter:20} {n:3}")
theory = sum(n for chapter, n in chapters.items() if chapter[:2] in ("02", "03", "04"))
record.check("more than half of all headings are theory", theory > len(headings) / 2)

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# The documents define and list large language models. What can be put to a test was put to one.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("01_background/02_what_is_an_llm")

# %% name="ledger-data"
tiny = {"d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 64}
gpt = Gpt(GptConfig(50, 16, 2, 2, 32), "language_model").eval().requires_grad_(False)
bert = Bert(BertConfig(50, max_positions=32, **tiny), "masked_lm").eval().requires_grad_(False)
sentence = torch.tensor([[5, 9, 2, 7, 1, 8]])
changed = torch.tensor([[5, 9, 2, 7, 1, 30]])  # only the last token is another


# %% name="ledger-names" tags=["ledger"]
def document_version(name):
    """001 §1.2: T5 is Text-to-Text Transfer Transformer. The words with a T in front."""
    return float(sum(word[0] in "Tt" for word in name.replace("-to-", "-To-").replace("-", " ").split()))


def correct_version(short):
    """The number in the short form: five T's."""
    return float(short[1])


same = document_version("Text-to-Text Transfer Transformer") == correct_version("T5")
record.check("T5 has its five T's", same)


# %% name="ledger-generation" tags=["ledger"]
def document_version():
    """001 §1.2: all seven generate. BERT, RoBERTa and ALBERT predict masked words and see both sides."""
    return bert


def correct_version():
    """Who writes from left to right must not see what is still to come: GPT, GPT-3, T5's decoder."""
    return gpt


def past_stays(model):
    """Whether the predictions for the first five tokens survive a change of the sixth."""
    return torch.allclose(model(sentence).logits[:, :5], model(changed).logits[:, :5], atol=1e-6)


record.check("a BERT's scores for the past change with the future", not past_stays(document_version()))
record.check("a GPT's stay", past_stays(correct_version()))


# %% name="ledger-bidirectional" tags=["ledger"]
def document_version():
    """001 §1.2: BERT is bidirectional. How many of the 6 · 6 pairs of places depend on each other, by derivatives."""
    embedded = bert.embeddings(sentence, None, None).requires_grad_()
    states = bert.encode(embedded, None, False).last_hidden_state[0, :, 0]  # (T,): one number of each state
    gradients = [torch.autograd.grad(state, embedded, retain_graph=True)[0][0] for state in states]
    return float((torch.stack(gradients).abs().sum(-1) > 0).sum())


def correct_version():
    """All of them."""
    return 36.0


record.check("in BERT every place depends on every place", document_version() == correct_version())


# %% name="ledger-albert" tags=["ledger"]
def document_version(model):
    """001 §1.2: ALBERT is a large model. If size is the number of parameters stored in the blocks ..."""
    return sum(p.numel() for p in model.encoder.parameters())


def correct_version(model):
    """... and if it is the number of parameters applied to a token, repeated layers counted again."""
    return sum(p.numel() for block in model.encoder.blocks for p in block.parameters())


with torch.device("meta"):
    pair = Albert(AlbertConfig(d_model=768, n_layers=12, n_heads=12, d_ff=3072)), Bert(BertConfig())
stored, applied = ([version(model) for model in pair] for version in (document_version, correct_version))
record.check("ALBERT-base stores a twelfth of BERT-base: not large", 12 * stored[0] == stored[1])
record.check("it computes with as many: as large as BERT", applied[0] == applied[1])


# %% name="ledger-architectures" tags=["ledger"]
def document_version(models):
    """003 §1.2: Transformer, GPT and BERT are different architectures. As many as there are names."""
    return len(models)


def correct_version(models):
    """GPT and BERT are Transformers: their blocks have weights of the same names and shapes."""
    return len({tuple((n, tuple(p.shape)) for n, p in block.named_parameters()) for block in models.values()})


blocks = {"BERT": bert.encoder.blocks[0], "GPT": gpt.decoder.blocks[0]}
x = torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(0))
blocks["GPT"].load_state_dict(blocks["BERT"].state_dict())  # would fail if they differed
same = torch.allclose(blocks["GPT"](x)[0], blocks["BERT"](x)[0], atol=1e-3)
record.check("with the same weights and no mask both compute the same, up to GELU's two forms", same)
record.check("two names", document_version(blocks) == 2)
record.check("one block; what differs is the mask, and the task", correct_version(blocks) == 1)


# %% name="ledger-self-supervised" tags=["ledger"]
def document_version(ids):
    """004 §1.2: pre-training is self-supervised: the model is given a text and nothing else."""
    return gpt(ids, labels=ids).loss


def correct_version(ids):
    """Each token is the label of the place before it."""
    log_p = gpt(ids).logits.log_softmax(-1)
    return -torch.stack([log_p[0, t, ids[0, t + 1]] for t in range(5)]).mean()


same = torch.allclose(document_version(sentence), correct_version(sentence), atol=1e-5)
record.check("the labels are the text itself, one place on", same)


# %% name="ledger-growth" tags=["ledger"]
def document_version(parameters, tokens):
    """004 §1.2: the rise came from more data and more computing. Computing from 6·N·D, for two sizes of GPT-3."""
    return math.log10(6 * parameters * tokens)


def correct_version(petaflop_days):
    """From the days of 10¹⁵ operations a second that Brown et al. report in appendix D."""
    return math.log10(petaflop_days * 1e15 * 24 * 3600)


for parameters, days in ((174.6e9, 3640), (125e6, 2.60)):
    same = abs(document_version(parameters, 300e9) - correct_version(days)) < 0.02
    record.check(f"{parameters:.1e} parameters: 6·N·D is the reported computing", same)

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/01_background/02_what_is_an_llm.ipynb), about 60 minutes, four questions:
#
# 1. count the parameters of a GPT from its config, to the last bias;
# 2. what training costs: 6·N·D, with weights that are shared or half used;
# 3. does it fit? bytes for weights, and days on a given machine;
# 4. reading the figure: numbers to derive, and what *large* means.
#
# To go on: 1.3 measures promises and challenges, 2.4 pre-trains and fine-tunes, 8.1 asks how N and D should grow.
