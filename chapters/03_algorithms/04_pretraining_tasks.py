# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 3.4 预训练任务 · Pre-training tasks
#
# 本节把所有常见的预训练任务放在同一个句子上看：输入变成什么样，要预测什么，一段文本能给出多少个标签。
# 从因果语言模型、掩码语言模型、下一句与句子顺序，到去噪、片段破坏、排列、替换检测和对比学习。
# 最后让同样大小的小模型在同样的预算下学四种任务，用同一个探针比较它们学到了什么。
#
# After this section you can say of each objective what it feeds to the model, what it asks back, and how much one text
# teaches. And you will have seen how a baseline changes what a comparison says.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import math
from collections import Counter
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.data import world
from lmlib.data.batching import Loader
from lmlib.models.bert import Bert, BertConfig
from lmlib.models.gpt import Gpt, GptConfig
from lmlib.pretraining import (
    Causal,
    Contrastive,
    Denoising,
    GeneratorAndDiscriminator,
    Masked,
    NextSentence,
    Permutation,
    ReplacedToken,
    SentenceOrder,
    SpanCorruption,
    SpecialTokens,
    info_nce,
)
from lmlib.pretraining.masked import masked_loss
from lmlib.text.vocabulary import Vocabulary
from lmlib.training import TrainingConfig, model_loss, set_seed, train

device = session.start(seed, device, profile)

# %% [markdown] name="overview"
# ## 3.4.1 什么是预训练任务 · What is a pre-training task?
#
# Nobody has labelled the web. How can a model learn from text alone? **Take something away from the text, and ask for
# it back.** The text is its own teacher: this is self-supervised learning (自监督学习). What is taken away makes the
# difference: the next word, a few words in the middle, the order of the sentences.
#
# We need a text and a vocabulary. The text comes from the small world; words are tokens, in small letters.

# %% name="corpus"
N_CHARS = {"quick": 200_000, "full": 2_000_000}[profile]
LENGTH = 48  # tokens of the longest text, special ones included
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "<X>", "<Y>", "<Z>", *(f"<{i}>" for i in range(3, 20))]
texts = [
    [[w.lower() for w in s.words] for s in text.sentences] for text in world.make(0).corpus("train", "en", N_CHARS)
]
frequent = Vocabulary.from_sentences(sentence for text in texts for sentence in text).words
WORDS = SPECIAL + frequent[: {"quick": 1000, "full": 3000}[profile]]
IDS = {word: i for i, word in enumerate(WORDS)}
V = len(WORDS)
TOKENS = SpecialTokens(V, pad=0, start=1, end=2, mask=3, others=frozenset(range(4, len(SPECIAL))))


def encode(words):
    """The ids of words, cut to what fits between [CLS] and [SEP]."""
    return [IDS.get(word.lower(), IDS["[UNK]"]) for word in words][: LENGTH - 2]


def show(ids):
    """Ids as text; places without a label are dots."""
    return " ".join("·" if i == -100 else WORDS[i] for i in torch.as_tensor(ids).tolist())


# %% name="documents"
def documents_of(sentences):
    """Stretches of two or more sentences that fit into LENGTH tokens, with three special ones."""
    found = [[]]
    for sentence in map(encode, sentences):
        if sum(map(len, found[-1])) + len(sentence) > LENGTH - 3:
            found.append([])
        found[-1].append(sentence)
    return [document for document in found if len(document) > 1]


DOCUMENTS = [document for text in texts for document in documents_of(text)]  # lists of sentences
TEXTS = [[1, *(i for sentence in document for i in sentence), 2] for document in DOCUMENTS]  # with [CLS] and [SEP]
example = next(d for d in DOCUMENTS if len(d) == 3 and IDS["[UNK]"] not in chain(*d) and sum(map(len, d)) < 36)
flat = [i for sentence in example for i in sentence]
framed = [1, *flat, 2]
for sentence in example:
    print(show(sentence))
record.check("no special token is in the example", not set(flat) & TOKENS.ids)

# %% [markdown] name="principle"
# ## 3.4.2 为什么用对数 · Why the loss is a logarithm
#
# Document 002 says: make the gap between the predicted probability of the next word and the true word small. Which
# gap? Let the next word be *tea* in 6 of 10 cases, *coffee* in 3, *milk* in 1. A model gives one distribution $q$ for
# all of them. We minimise two kinds of gap: $1 - q(\text{word})$, and $-\ln q(\text{word})$. (And, without a plot, a
# third: the squared distance of $q$ from the vector that has 1 at the true word and 0 elsewhere.)


# %% name="principle-code"
def best_distribution(gap, truth, steps=1500):
    """The distribution that makes the mean gap smallest, found by gradient descent."""
    scores = torch.zeros(len(truth), requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        (truth * gap(scores.softmax(0))).sum().backward()
        optimizer.step()
    return scores.detach().softmax(0)


truth = torch.tensor([0.6, 0.3, 0.1])
by_distance = best_distribution(lambda q: 1 - q, truth)
by_logarithm = best_distribution(lambda q: -q.log(), truth)
by_square = best_distribution(lambda q: q.square().sum() - 2 * q + 1, truth)

# %% name="principle-plot"
fig, (ax,) = plots.figure("What a model learns from each kind of gap", width=5.8, height=2.9)
for i, (name, values) in enumerate((("truth", truth), ("gap 1 − q", by_distance), ("gap −ln q", by_logarithm))):
    ax.bar(np.arange(3) + 0.27 * (i - 1), values, 0.25, label=name, color=plots.COLOURS[i], alpha=(1, 0.7, 0.5)[i])
ax.set_xticks(range(3), ["tea", "coffee", "milk"])
ax.set_ylabel("probability")
ax.legend()
plots.show(
    fig,
    alt="Three bars a word. With the gap 1 minus q the model gives tea nearly everything and the others nothing. With "
    "the logarithm it gives exactly the true shares: 0.6, 0.3 and 0.1.",
)

# %% name="principle-check" tags=["nbval-check-output"]
record.check("with 1 − q everything goes to the most frequent word", by_distance[0] > 0.99)
record.check("with −ln q the model learns the true shares", torch.allclose(by_logarithm, truth, atol=1e-3))
record.check("with the squared distance too", torch.allclose(by_square, truth, atol=1e-3))

# %% [markdown] name="principle-lesson"
# The logarithm makes it pay to be honest about rare words. So does the squared distance; but only logarithms of single
# words add up to the logarithm of the whole text's probability. All objectives below that predict tokens use them.

# %% [markdown] name="language-model"
# ## 3.4.3 语言模型预训练 · Causal language modelling
#
# **Taken away:** everything to the right. **Asked for:** the next token, at every place.
#
# $$\mathcal{L} = -\frac{1}{T-1}\sum_{t=2}^{T} \ln P(x_t \mid x_1, \dots, x_{t-1})$$
#
# In code there is nothing to do but copy: the labels are the input, and the model moves them by one place.

# %% name="causal" tags=["nbval-check-output"]
batch = Causal(TOKENS)([framed])
print("input:     ", show(batch["input_ids"][0, :-1]))
print("to predict:", show(batch["labels"][0, 1:]))
record.check("every token but the first is a label", (batch["labels"][0, 1:] != -100).all())
record.check("they are the text itself, moved by one", torch.equal(batch["labels"], batch["input_ids"]))

# %% [markdown] name="masked"
# ## 3.4.4 掩码语言模型 · Masked language modelling
#
# **Taken away:** 15 % of the tokens. **Asked for:** those tokens, from both sides.
#
# After training there are no [MASK] tokens any more. A model that saw them at *all* its labels could be lazy
# everywhere else. So of the chosen tokens 80 % become [MASK], 10 % a random word, and 10 % stay (Devlin et al. 2019).
# Each visible word may then be one that it is asked about.
#
# Here a token is a whole word. Where words are cut into pieces, a piece that is left visible gives the others away; so
# all pieces of a word are chosen together (**whole-word masking**, 全词掩码; Cui et al. 2021 for Chinese).


# %% name="masked-from-scratch"
def mask_by_hand(ids, generator):
    """Ids (B, T) → input and labels (B, T), chosen 15 %, of them 80/10/10; special tokens are never chosen."""
    is_text = ids >= len(SPECIAL)
    chosen = is_text & (torch.rand(ids.shape, generator=generator) < 0.15)
    fate = torch.rand(ids.shape, generator=generator)
    random = torch.randint(len(SPECIAL), V, ids.shape, generator=generator)
    inputs = torch.where(chosen & (fate < 0.9), random, ids)  # 10 % stay
    inputs = inputs.masked_fill(chosen & (fate < 0.8), IDS["[MASK]"])
    return inputs, ids.masked_fill(~chosen, -100)


# %% name="masked-example" tags=["nbval-check-output"]
batch = Masked(TOKENS, generator=torch.Generator().manual_seed(1))([framed])
print("input:     ", show(batch["input_ids"][0]))
print("to predict:", show(batch["labels"][0]))

# %% name="masked-check" tags=["nbval-check-output"]
many = torch.randint(len(SPECIAL), V, (500, 100), generator=torch.Generator().manual_seed(seed))
for name, (inputs, labels) in {
    "by hand": mask_by_hand(many, torch.Generator().manual_seed(seed)),
    "lmlib": Masked(TOKENS, generator=torch.Generator().manual_seed(seed)).hide(many, torch.arange(100).repeat(500, 1)),
}.items():
    chosen = labels != -100
    masked, kept = (inputs == IDS["[MASK]"])[chosen].float().mean(), (inputs == many)[chosen].float().mean()
    record.check(f"{name}: 15 % are chosen, within 1 %", abs(chosen.float().mean() - 0.15) < 0.01)
    record.check(
        f"{name}: of them 80 % are masked, 10 % stay, within 2 %", abs(masked - 0.8) < 0.02 and abs(kept - 0.1) < 0.02
    )
    record.check(f"{name}: what was not chosen stays", torch.equal(inputs[~chosen], many[~chosen]))

# %% [markdown] name="pairs"
# ## 3.4.5 下一句与句子顺序 · Next sentence and sentence order
#
# Two objectives look at pairs. **Next sentence** (BERT): does the second stretch follow the first, or is it from
# another document? **Sentence order** (ALBERT): have the two been swapped? Each text gives one label, a yes or no.

# %% name="pairs-example"
other = next(d for d in DOCUMENTS[200:] if len(d) == 3 and sum(map(len, d)) < 36 and IDS["[UNK]"] not in chain(*d))
for objective in (NextSentence, SentenceOrder):
    draws = torch.Generator().manual_seed(9)  # a seed that shows both labels
    batch = objective(TOKENS, LENGTH, generator=draws)([example, other])
    print(objective.__name__)
    for row, label in zip(batch["input_ids"], batch["pair_labels"].tolist(), strict=True):
        print(f"   label {label}:", show(row[row != 0]))

# %% [markdown] name="pairs-shortcut-text"
# Next sentence is said to be too easy. A stretch from another document is about other people and other things, so it
# is enough to compare *words*; no grammar, no logic. Is it so here? A classifier that cannot read at all: count the
# words (the rarer, the more they count) that both stretches share. The number above each plot, the **area** under the
# curve (AUC), says how often a pair with label 0 shares more than a pair with label 1: 0.5 is chance, 1 is perfect.

# %% name="pairs-shortcut"
document_frequency = Counter(word for document in DOCUMENTS for word in set(chain(*document)))


def shared_words(row):
    """How much rare vocabulary the two stretches of a row share."""
    ends = (row == 2).nonzero().flatten().tolist()
    first, second = set(row[1 : ends[0]].tolist()), set(row[ends[0] + 1 : ends[1]].tolist())
    return sum(math.log(len(DOCUMENTS) / document_frequency[word]) for word in first & second if word > 4)


def area_under_curve(objective, n=600):
    """How often a random pair with label 0 shares more than one with label 1; ties count half. 0.5 is chance."""
    batch = objective(TOKENS, LENGTH, generator=torch.Generator().manual_seed(seed))(DOCUMENTS[:n])
    shared = torch.tensor([shared_words(row) for row in batch["input_ids"]])
    zero, one = shared[batch["pair_labels"] == 0], shared[batch["pair_labels"] == 1]
    difference = zero[:, None] - one
    return ((difference > 0).float() + 0.5 * (difference == 0)).mean().item(), zero, one


areas = {"next sentence": area_under_curve(NextSentence), "sentence order": area_under_curve(SentenceOrder)}

# %% name="pairs-shortcut-plot"
fig, axes = plots.figure(*(f"{name}: area {area:.2f}" for name, (area, *_) in areas.items()), width=7.4, height=2.9)
labels = {"next sentence": ("follows", "from elsewhere"), "sentence order": ("in order", "swapped")}
for ax, (name, (_, zero, one)) in zip(axes, areas.items(), strict=True):
    bins = np.linspace(0, 20, 16)
    ax.hist(zero.clamp(max=19.9), bins, label=labels[name][0], color=plots.COLOURS[0], alpha=0.75)
    ax.hist(one.clamp(max=19.9), bins, label=labels[name][1], histtype="step", color=plots.COLOURS[1], linewidth=2)
    ax.set_xlabel("shared words, weighed by rarity")
    ax.set_ylabel("pairs")
    ax.legend()
plots.show(
    fig,
    alt="Two histograms of shared words. Next sentence: most pairs from elsewhere share next to nothing, and so do a "
    "third of the pairs that follow; the others share more. Sentence order: both histograms lie on each other.",
)

# %% name="pairs-shortcut-check"
record.metric("next sentence by shared words, area", areas["next sentence"][0])
record.check("shared words alone are right in over two thirds of the comparisons", areas["next sentence"][0] > 2 / 3)
record.check("for sentence order they are worth nothing", abs(areas["sentence order"][0] - 0.5) < 0.06)

# %% [markdown] name="pairs-shortcut-lesson"
# Only in part: shared words alone are right in over two thirds of the comparisons, without any reading. In sentence
# order they are worth nothing: swapped or not, the two stretches are the same, and so are the words that they share.

# %% [markdown] name="denoising"
# ## 3.4.6 去噪自编码器预训练 · Denoising
#
# **Taken away:** anything. **Asked for:** the whole text, written anew by a decoder. BART (Lewis et al. 2020) tries
# five kinds of damage. Read each line and ask: what must the model find out, to repair it?

# %% name="denoising-noises" tags=["nbval-check-output"]
print("text:                 ", show(flat))
for noise in ("token_mask", "token_deletion", "text_infilling", "sentence_permutation", "document_rotation"):
    damaged = Denoising(TOKENS, (noise,), generator=torch.Generator().manual_seed(2)).damage(example)
    print(f"{noise + ':':22}", show(damaged))

# %% [markdown] name="denoising-lesson"
# A mask says *where* a word is missing; deletion does not. Infilling puts one mask for a stretch of any length, even
# of none: the model must find out *how many* words are missing. Permutation and rotation ask for the order of things.
# Rotation may begin at any token; here the draw has hit the beginning of a sentence.

# %% name="denoising-check" tags=["nbval-check-output"]
for noise in ("sentence_permutation", "document_rotation"):
    damaged = Denoising(TOKENS, (noise,), generator=torch.Generator().manual_seed(seed)).damage(example)
    record.check(f"{noise} loses no token", sorted(damaged) == sorted(flat))
long = flat * 40
kinds = {
    noise: Denoising(TOKENS, (noise,), generator=torch.Generator().manual_seed(seed))
    for noise in ("token_mask", "token_deletion", "text_infilling")
}
record.check(
    "deletion at rate 0.3 leaves 70 %, within 4 %",
    abs(len(kinds["token_deletion"].damage([long])) / len(long) - 0.7) < 0.04,
)
left = sum(i != IDS["[MASK]"] for i in kinds["text_infilling"].damage([long]))
record.check("infilling hides 30 %, exactly", left == len(long) - round(0.3 * len(long)))
record.check("masking keeps the length", len(kinds["token_mask"].damage([long])) == len(long))
batch = Denoising(TOKENS)([example])
record.check("the labels are the whole text", show(batch["labels"][0]) == show(framed))

# %% [markdown] name="spans-text"
# **Span corruption** (T5, Raffel et al. 2020) is thrifty: the decoder writes only what is missing. Each stretch that
# was cut out is replaced by a sentinel of its own; the target lists the sentinels, each with its words, and one more
# sentinel that ends the last stretch.


# %% name="spans"
def corrupt_by_hand(ids, spans):
    """Input and target of span corruption, for spans (first, one past the last) in order."""
    source, target, at = [], [], 0
    for number, (first, last) in enumerate(spans):
        sentinel = IDS["<X>"] + number
        source += [*ids[at:first], sentinel]
        target += [sentinel, *ids[first:last]]
        at = last
    return [*source, *ids[at:], IDS["[SEP]"]], [*target, IDS["<X>"] + len(spans), IDS["[SEP]"]]


objective = SpanCorruption(TOKENS, range(5, 25), generator=torch.Generator().manual_seed(1))
source, target = corrupt_by_hand(flat, objective.draw_spans(len(flat)))
print("input: ", show(source))
print("target:", show(target))

# %% name="spans-check" tags=["nbval-check-output"]
spans = objective.draw_spans(len(flat))
record.check("by hand is as lmlib does it", corrupt_by_hand(flat, spans) == objective.corrupt(flat, spans))
source, target = corrupt_by_hand(flat, spans)
pieces = {}
for i in target[:-2]:
    pieces.setdefault(i, []) if i in range(5, 25) else pieces[max(pieces)].append(i)
repaired = [j for i in source[:-1] for j in pieces.get(i, [i])]
record.check("input and target together are the text: nothing is lost", repaired == flat)

# %% [markdown] name="permutation"
# ## 3.4.7 排列与替换检测 · Permutation and replaced tokens
#
# **Permutation** (XLNet, Yang et al. 2019): draw an order of the tokens; predict the last sixth of them, one after
# the other *in that order*. So a token is predicted from both sides, as in masking, and yet each from those predicted
# before it, as in writing. Nothing is replaced by a mask; a matrix says who may see whom. (In the picture it is about a
# third, so that there is more to see.)

# %% name="permutation-map"
words = flat[: len(example[0])][:12]
batch = Permutation(TOKENS, k=3.0, generator=torch.Generator().manual_seed(3))([words])
visible = (~batch["perm_mask"][0].bool()).float()
targets = batch["target_mapping"][0].argmax(-1).tolist()
fig, (ax,) = plots.figure("Who may see whom (dark: yes)", width=5.0, height=3.7)
names = [WORDS[i] for i in words]
rows = [f"{n}. {names[t]}" for n, t in enumerate(targets, 1)]
plots.heat_map(ax, 0.8 * visible[targets], rows, names, x_label="word that is seen", y_label="predicted, in this order")
plots.show(
    fig,
    alt="A map with a row for each predicted word, in the order of prediction. Each row sees all words that are not "
    "predicted, and those that were predicted before it, wherever they stand; never itself.",
)

# %% name="permutation-check" tags=["nbval-check-output"]
print("predicted, in this order:", ", ".join(names[t] for t in targets))
record.check("no word sees itself", not visible[targets, targets].any())
record.check(
    "each sees those predicted before it, and none after it",
    all(bool(visible[b, a]) and not visible[a, b] for n, a in enumerate(targets) for b in targets[n + 1 :]),
)

# %% [markdown] name="replaced-text"
# **Replaced tokens** (ELECTRA, Clark et al. 2020): a small masked model fills the gaps with its own guesses; the
# model that is kept must tell, for *every* token, whether it is the original. Fakes of an untrained generator are
# nonsense, so the task is easy at first, and grows harder as the generator learns.

# %% name="replaced"
SIZES = {"d_model": 64, "n_layers": 2, "n_heads": 4}


def new_bert(head, **changes):
    """The small encoder that several objectives share."""
    sizes = {"d_ff": 256, "max_positions": LENGTH, "norm_eps": 1e-5}
    return Bert(BertConfig(**{"vocab_size": V} | SIZES | sizes | changes), head)


set_seed(seed)
electra = GeneratorAndDiscriminator(new_bert("masked_lm", d_model=32, n_heads=2, d_ff=128), new_bert(None))
with torch.no_grad():
    out = electra(**ReplacedToken(TOKENS, generator=torch.Generator().manual_seed(1))([framed]))
marks = [f"*{WORDS[i]}*" if i != j else WORDS[i] for i, j in zip(out.corrupted[0].tolist(), framed, strict=True)]
print("which are fake?", " ".join(marks))
record.check("the first loss of the discriminator is ln 2, within 0.3", abs(out.discriminator_loss - math.log(2)) < 0.3)

# %% [markdown] name="contrastive"
# ## 3.4.8 对比学习预训练 · Contrastive learning
#
# All objectives so far speak about tokens. **Contrastive learning** speaks about whole texts: the vector of a text
# shall be near that of its partner, and far from all others in the batch. With vectors of length 1 and a temperature
# $\tau$:
#
# $$\mathcal{L} = -\frac1B\sum_{i=1}^{B} \ln \frac{e^{u_i\cdot v_i/\tau}}{\sum_{j=1}^{B} e^{u_i\cdot v_j/\tau}}$$
#
# It is a cross-entropy: B candidates, and the label of text *i* is *i*. SimCSE (Gao et al. 2021) needs no pairs at
# all: it sends the same text through the model twice, and **dropout** makes the two vectors differ.
# CLIP (Radford et al. 2021) pairs pictures with captions, and takes the mean of two such losses: one in which each
# picture chooses among the captions, and one in which each caption chooses among the pictures.


# %% name="contrastive-code" tags=["nbval-check-output"]
def contrast_by_hand(anchors, positives, temperature):
    """InfoNCE of vectors (B, C)."""
    cosines = F.normalize(anchors, dim=-1) @ F.normalize(positives, dim=-1).T  # (B, B)
    return F.cross_entropy(cosines / temperature, torch.arange(len(anchors)))


anchors, positives = torch.randn(2, 32, 256).unbind()
record.check(
    "by hand equals lmlib's info_nce",
    torch.allclose(contrast_by_hand(anchors, positives, 0.05), info_nce(anchors, positives)),
)
record.check(
    "vectors that are all alike: ln B, nothing is known",
    math.isclose(contrast_by_hand(torch.ones(32, 8), torch.ones(32, 8), 0.05).item(), math.log(32), rel_tol=1e-5),
)
record.check(
    "partners alike and the others at right angles: nearly 0",
    contrast_by_hand(torch.eye(32), torch.eye(32), 0.05) < 1e-6,
)
record.check(
    "the length of a vector does not count",
    torch.allclose(contrast_by_hand(5 * anchors, positives, 0.05), info_nce(anchors, positives)),
)

# %% [markdown] name="temperature-text"
# **What does the temperature do?** It decides *which* wrong candidates are pushed away: at a low temperature the
# nearest only, at a high one all alike. [Section 4.6](../04_mathematics/06_objectives.ipynb) derives and draws it.

# %% [markdown] name="labels"
# ## 3.4.9 一段文本给出多少标签 · How much does one text teach?
#
# We run every objective on the same 200 documents and count: for 100 tokens of text, how many predictions does the
# loss get, and out of how many choices?

# %% name="labels-count"
some, pieces = DOCUMENTS[:200], TEXTS[:200]
n_tokens = sum(len(sentence) for document in some for sentence in document)
set_seed(seed)
batches = {
    "causal": Causal(TOKENS)(pieces)["labels"][:, 1:],
    "masked": Masked(TOKENS)(pieces)["labels"],
    "next sentence": NextSentence(TOKENS, LENGTH)(some)["pair_labels"],
    "sentence order": SentenceOrder(TOKENS, LENGTH)(some)["pair_labels"],
    "denoising": Denoising(TOKENS)(some)["labels"][:, 1:],
    "span corruption": SpanCorruption(TOKENS, range(5, 25))([t[1:-1] for t in pieces])["labels"],
    "permutation": Permutation(TOKENS)(pieces)["labels"],
    "replaced token": ReplacedToken(TOKENS)(pieces)["attention_mask"]
    .float()
    .masked_fill_(Masked(TOKENS)(pieces)["attention_mask"] == 0, -100),
    "contrastive": torch.arange(200),
}
per_100 = {name: 100 * (labels != -100).sum().item() / n_tokens for name, labels in batches.items()}
CHOICES = {"next sentence": "2", "sentence order": "2", "replaced token": "2", "contrastive": "B"}

# %% name="labels-plot"
fig, (ax,) = plots.figure("Predictions from 100 tokens of text, and out of how many", width=6.8, height=3.2)
ax.barh(range(len(per_100)), per_100.values(), color="#9db8d9", edgecolor=plots.COLOURS[0], height=0.6)
for i, (name, count) in enumerate(per_100.items()):
    ax.text(count, i, f"  {count:.0f}, each of {CHOICES.get(name, 'V')}", va="center")
ax.set_yticks(range(len(per_100)), list(per_100))
ax.set_ylim(len(per_100) - 0.5, -0.5)
ax.set_xlim(0, 145)
ax.set_xlabel("predictions for 100 tokens")
ax.grid(visible=False, axis="y")
plots.show(
    fig,
    alt="Bars. Causal, denoising and replaced token give about 100 predictions for 100 tokens; span corruption about "
    "25, masked and permutation about 15; next sentence, sentence order and contrastive about 3.",
)

# %% [markdown] name="labels-lesson"
# Masked stays below 15, for [UNK] is never chosen. Span corruption cuts out 15 % too, but its decoder also writes the
# sentinels and [SEP].

# %% name="labels-check"
record.check("causal: a prediction for every token", per_100["causal"] > 99)
known = sum(i != IDS["[UNK]"] for document in some for sentence in document for i in sentence) / n_tokens
record.check(
    "masked: 15 % of the words in the vocabulary, within 2 for 100 tokens", abs(per_100["masked"] - 15 * known) < 2
)
record.check(
    "denoising: as many as causal; replaced token: more",
    per_100["denoising"] == per_100["causal"] < per_100["replaced token"],
)
record.check("span corruption: more than masked, under 30", per_100["masked"] < per_100["span corruption"] < 30)
record.check("causal gives over five times as many as masked", per_100["causal"] > 5 * per_100["masked"])
record.check(
    "next sentence, sentence order and contrastive: one a text",
    len({per_100[n] for n in ("next sentence", "sentence order", "contrastive")}) == 1,
)

# %% [markdown] name="budget"
# ## 3.4.10 同样的预算，四种任务 · One size, one budget, four objectives
#
# Now we let small models of one size (2 layers, 64 wide) learn with four objectives, the causal one as a decoder (GPT),
# the others as an encoder (BERT): as many documents, as many steps, the same learning rate. Then each is **frozen**,
# and a linear probe (探针) reads its states: a name is hidden behind a mask; was it a person, a place or a thing? The
# sentences are new. Two more models, one of each kind, have random weights: a baseline that is often forgotten, for
# random states tell words apart too.


# %% name="budget-setups"
class MeanState(nn.Module):
    """The mean of the states over a text: ids and mask (B, T) → (B, C)."""

    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def forward(self, ids, mask):
        return (self.bert(ids, mask).last_hidden_state * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def twice(texts):
    return Contrastive(TOKENS)([(text, text) for text in texts])


def setup(name):
    """The model to train, what makes batches of texts, the loss, and the backbone that is kept."""
    if name in ("causal", "random causal"):
        model = Gpt(GptConfig(V, max_positions=LENGTH, **SIZES), "language_model")
        return model, Causal(TOKENS), model_loss, model
    if name == "masked":
        model = new_bert("masked_lm")
        return model, Masked(TOKENS), masked_loss, model
    kept = new_bert(None)
    if name == "replaced token":
        small = new_bert("masked_lm", d_model=32, n_heads=2, d_ff=128)
        return GeneratorAndDiscriminator(small, kept), ReplacedToken(TOKENS), model_loss, kept
    return MeanState(kept), twice, Contrastive(TOKENS).loss, kept


# %% name="budget-training"
STEPS = {"quick": 120, "full": 4000}[profile]
NAMES = ("causal", "masked", "replaced token", "contrastive", "random causal", "random weights")
backbones, curves = {}, {}
for name in NAMES:
    set_seed(seed)
    model, collate, loss, backbones[name] = setup(name)
    if not name.startswith("random"):
        config = TrainingConfig(STEPS, 2e-3, warmup_steps=STEPS // 10, weight_decay=0.01, seed=seed, device=str(device))
        curves[name] = train(model, Loader(TEXTS, 16, collate, seed), config, loss=loss).losses
    backbones[name].to(device).eval()
starts = {"causal": math.log(V), "masked": math.log(V), "contrastive": math.log(16)}

# %% name="budget-losses-check"
for name, losses in curves.items():
    print(f"{name}: from {losses[0]:.2f} to {np.mean(losses[-20:]):.2f}")
    record.check(f"{name}: the loss has fallen", np.mean(losses[-20:]) < 0.9 * losses[0])
for name in ("causal", "masked"):
    record.check(f"{name}: the first loss is ln V, within 0.3", abs(curves[name][0] - starts[name]) < 0.3)
record.check(
    "contrastive: the first loss is below ln B: dropout changes a text less than another text does",
    curves["contrastive"][0] < starts["contrastive"],
)

# %% [markdown] name="budget-probe-text"
# Losses of *different* objectives cannot be compared, for they answer different questions. Each can be compared with
# what *frequencies* alone would give: the entropy of its labels. (Those of the causal model include [UNK] and [SEP].)


# %% name="budget-plateau"
def entropy(labels):
    """The loss, in nats, of a model that knows how often each label occurs, and nothing else."""
    share = torch.bincount(labels).double() / len(labels)
    return -(share[share > 0] * share[share > 0].log()).sum().item()


every = torch.tensor([i for text in TEXTS for i in text[1:]])  # labels of the causal model, [UNK] and [SEP] too
by_frequency = {"causal": entropy(every), "masked": entropy(every[every >= len(SPECIAL)])}
ends = {name: np.mean(curves[name][-20:]) for name in by_frequency}
for name, end in ends.items():
    print(f"{name}: {end:.2f} nats; frequencies alone: {by_frequency[name]:.2f}")
record.check("causal has gone below frequencies, by more than 0.05", ends["causal"] < by_frequency["causal"] - 0.05)
if profile == "quick":  # with more steps the others follow
    record.check("masked is still within 0.45 of them", abs(ends["masked"] - by_frequency["masked"]) < 0.45)

# %% [markdown] name="budget-probe-question"
# So the masked model has hardly begun to *read*. Does the probe agree? Every name and thing in the tagged sentences
# of the small world is hidden once. The causal model must know before it comes to the place, so its state is taken one
# place to the left, at the word before. That word alone tells much (after *in* comes a place), so this model gets a
# baseline of its own: random weights, read at the same place. The others see both sides.


# %% name="budget-hidden"
KINDS = ("PER", "LOC", "THING")


def hidden_names(sentence):
    """For each name: the ids with the name behind one mask, the place of the mask, the kind."""
    found, tags, at = [], sentence.tags, 0
    while at < len(tags):
        after = at + 1
        if tags[at].startswith("B-"):
            while after < len(tags) and tags[after].startswith("I-"):
                after += 1
            ids = [1, *encode(sentence.words[:at]), 3, *encode(sentence.words[after:])][: LENGTH - 1]
            if at + 1 < len(ids):
                found.append(([*ids, 2], at + 1, KINDS.index(tags[at][2:])))
        at = after
    return found


N_TAGGED = {"quick": 200, "full": 1000}[profile]
HIDDEN = [
    [one for sentence in world.make(0).tagged(N_TAGGED, split) for one in hidden_names(sentence)]
    for split in ("train", "test")
]
ids, place, kind = HIDDEN[1][0]
print(show(ids), "—", KINDS[kind])


# %% name="budget-probe"
@torch.no_grad()
def states_at(name, examples):
    """The states at the hidden names (N, C), and the kinds (N)."""
    ids, mask = TOKENS.batch([ids for ids, *_ in examples])
    states = backbones[name](ids.to(device), mask.to(device), inspect=True).hidden_states[-1].cpu()
    places = torch.tensor([place for _, place, _ in examples]) - int("causal" in name)
    return states[torch.arange(len(examples)), places].numpy(), [kind for *_, kind in examples]


def probe(name):
    """Accuracy of a linear probe on the frozen states."""
    (x, y), (x_test, y_test) = (states_at(name, examples) for examples in HIDDEN)
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300)).fit(x, y).score(x_test, y_test)


scores = {name: probe(name) for name in NAMES}
majority = max(Counter(kind for *_, kind in HIDDEN[1]).values()) / len(HIDDEN[1])

# %% name="budget-plot"
fig, (ax,) = plots.figure(f"Person, place or thing? Read from frozen states after {STEPS} steps", width=6.6, height=3.0)
ax.barh(range(len(scores)), scores.values(), color="#9db8d9", edgecolor=plots.COLOURS[0], height=0.6)
for i, value in enumerate(scores.values()):
    ax.text(value, i, f" {value:.2f}", va="center")
ax.axvline(majority, color="#333333", linewidth=1, linestyle=":", label="most frequent kind")
ax.legend(loc="lower right")
ax.set_yticks(range(len(scores)), list(scores))
ax.set_ylim(len(scores) - 0.5, -0.5)
ax.set_xlim(0, 1)
ax.set_xlabel("accuracy on new sentences (0 to 1)")
ax.grid(visible=False, axis="y")
plots.show(
    fig,
    alt="Bars of accuracy for causal, masked, replaced token, contrastive, random causal and random weights. Causal is "
    "the highest, with random causal close behind; all others are close to random weights, a little above the most "
    "frequent kind.",
)

# %% name="budget-check"
for name, score in scores.items():
    record.metric(f"{name}: kind of a hidden name", score, "accuracy")
record.check("random weights are above the most frequent kind", scores["random weights"] > majority)
record.check("causal is more than 0.2 above them", scores["causal"] > scores["random weights"] + 0.2)
record.check(
    "and so are random weights that are read at the word before",
    scores["random causal"] > scores["random weights"] + 0.2,
)
if profile == "quick":  # with more steps the models leave them behind
    record.check(
        "causal is within 0.15 of random weights that are read at the same place",
        abs(scores["causal"] - scores["random causal"]) < 0.15,
    )
    record.check("contrastive has solved its own task", np.mean(curves["contrastive"][-20:]) < 0.1)
    for name in ("masked", "replaced token", "contrastive"):
        record.check(f"{name} is within 0.1 of random weights", abs(scores[name] - scores["random weights"]) < 0.1)

# %% [markdown] name="budget-lesson"
# By the bars the causal model is far ahead. But most of its lead is the word before: random weights that are read there
# get almost as far. Had we not measured random weights, at *both* places, 0.5 of three kinds would have looked like
# knowledge, and the lead like reading. After so few steps the probe says little of the objectives; the losses say more.
#
# The causal loss is below its frequencies, the masked one has only come near them. The causal objective gets a label
# from *every* token, the masked one from 15 %: that fits the order of these two. It is not all. Replaced token has a
# label at every place too, of two choices, and its states are no better than random ones; and the contrastive model has
# *solved* its task (a loss near 0), which never asks for a single word. This says which objective is quick at the
# start, not which is best in the end: run the `full` profile to see how far they get with many more steps.

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# What the documents state about pre-training objectives, put to a test. Each cell computes the document's version and
# the correct one, and checks both.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("03_algorithms/04_pretraining_tasks")

# %% name="ledger-data"
set_seed(0)
small = SpecialTokens(50, pad=0, start=1, end=2, mask=3)
rows = [[1, *torch.randint(4, 50, (60,)).tolist(), 2] for _ in range(50)]
sizes = {"n_layers": 1, "n_heads": 2, "max_positions": 64}
stories = [[[w.lower() for w in s.words] for s in text.sentences] for text in world.make(0).stories(300)]
counts = Counter(word for story in stories for sentence in story for word in sentence)
numbers = {word: i + 4 for i, word in enumerate(sorted(counts, key=lambda word: -counts[word]))}
story_ids = [[[numbers[w] for w in s] for s in story] for story in stories]


def shared_share(batch):
    """How often a pair with label 0 shares more rare words than one with label 1; ties count half."""
    shared = []
    for row in batch["input_ids"].tolist():
        cut = row.index(2)
        shared.append(len(set(row[:cut]) & set(row[cut + 1 :]) - set(range(104))))  # rare ones only
    shared, labels = torch.tensor(shared), batch["pair_labels"]
    difference = shared[labels == 0][:, None] - shared[labels == 1]
    return ((difference > 0).float() + 0.5 * (difference == 0)).mean().item()


# %% name="ledger-visible-labels" tags=["ledger"]
def document_version(rows):
    """001 §3.3.1: some words are masked, and those are predicted. The share of labels at which the word is visible."""
    batch = Masked(small, mask_share=1.0, random_share=0.0)(rows)
    chosen = batch["labels"] != -100
    return (batch["input_ids"][chosen] != 3).float().mean().item()


def correct_version(rows):
    """A fifth of the chosen words is not masked, so that visible words matter too."""
    batch = Masked(small)(rows)
    chosen = batch["labels"] != -100
    return (batch["input_ids"][chosen] != 3).float().mean().item()


record.check("if all were masked, no visible word would ever be asked for", document_version(rows) == 0)
record.check("in BERT every fifth label is at a visible word", abs(correct_version(rows) - 0.2) < 0.08)


# %% name="ledger-only-chosen" tags=["ledger"]
def document_version(logits, labels, truth):
    """001 §3.3.1: the loss of masked modelling is the cross-entropy. Over all places."""
    return F.cross_entropy(logits.flatten(0, 1), truth.flatten())


def correct_version(logits, labels, truth):
    """Over the chosen places alone."""
    return F.cross_entropy(logits[labels != -100], labels[labels != -100])


batch, truth = Masked(small)(rows), torch.tensor(rows)
model = Bert(BertConfig(50, 16, d_ff=32, **sizes), "masked_lm").eval()
with torch.no_grad():
    for matrix in (p for p in model.parameters() if p.dim() > 1):
        matrix.mul_(20)  # a model that has opinions
out = model(**batch)
record.check(
    "over all places: another number",
    not math.isclose(document_version(out.logits, batch["labels"], truth).item(), out.loss.item(), rel_tol=1e-3),
)
record.check(
    "over the chosen ones: BERT's loss",
    math.isclose(correct_version(out.logits, batch["labels"], truth).item(), out.loss.item(), rel_tol=1e-5),
)


# %% name="ledger-binary" tags=["ledger"]
def document_version(logits, labels):
    """001 §3.3.1: next sentence has the binary cross-entropy (of the difference of the two scores)."""
    return F.binary_cross_entropy_with_logits(logits[:, 1] - logits[:, 0], labels.float())


def correct_version(logits, labels):
    """The cross-entropy of two classes, as BERT computes it."""
    return F.cross_entropy(logits, labels)


logits, labels = torch.randn(9, 2), torch.randint(2, (9,))
record.check("both are the same", torch.allclose(document_version(logits, labels), correct_version(logits, labels)))


# %% name="ledger-follows" tags=["ledger"]
def document_version(documents):
    """001 §3.3.1: whether two sentences follow each other. How far counting shared words gets."""
    return shared_share(NextSentence(small_world, 200)(documents))


def correct_version(documents):
    """A question about *order* cannot be answered that way."""
    return shared_share(SentenceOrder(small_world, 200)(documents))


small_world = SpecialTokens(len(numbers) + 4, pad=0, start=1, end=2, mask=3)
record.check("next sentence: counting gets over 0.65 of the comparisons right", document_version(story_ids) > 0.65)
record.check("sentence order: it is a coin toss", abs(correct_version(story_ids) - 0.5) < 0.12)


# %% name="ledger-chain" tags=["ledger"]
def document_version(model, ids):
    """001 §3.3.1: the causal objective predicts each word from those before. The product of its predictions."""
    steps = [model(ids[:, :t]).logits[0, -1].softmax(-1)[ids[0, t]] for t in range(1, ids.size(1))]
    return torch.stack(steps).log().sum()


def correct_version(model, ids):
    """Minus the loss, times the number of predictions: the log-probability of the text, given its first token."""
    return -model(ids, labels=ids).loss * (ids.size(1) - 1)


model = Gpt(GptConfig(50, 16, **sizes), "language_model").eval()
ids = torch.tensor(rows[:1])[:, :12]
record.check(
    "minus the causal loss, times the predictions, is the log-probability of the text",
    torch.allclose(document_version(model, ids), correct_version(model, ids), atol=1e-3),
)


# %% name="ledger-gap" tags=["ledger"]
def document_version(truth):
    """002 §3.1: make the gap between predicted probability and true word small: the least 1 − q."""
    return F.one_hot((truth @ (1 - torch.eye(len(truth)))).argmin(), len(truth)).float()


def correct_version(truth):
    """The one with the least −ln q, among a thousand random ones and the truth itself."""
    candidates = torch.cat([torch.distributions.Dirichlet(torch.ones(3)).sample((1000,)), truth[None]])
    return candidates[(-candidates.log() @ truth).argmin()]


truth = torch.tensor([0.6, 0.3, 0.1])
record.check("the plain gap forgets all but the most frequent word", document_version(truth).tolist() == [1, 0, 0])
record.check("the logarithm finds the true distribution", torch.equal(correct_version(truth), truth))


# %% name="ledger-statistics" tags=["ledger"]
def document_version(text):
    """002 §3.1: so the model learns the statistics of the text. A table of scores, trained by the causal loss."""
    scores = torch.zeros(5, 5, requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=0.1)
    for _ in range(120):
        optimizer.zero_grad()
        F.cross_entropy(scores[text[:-1]], text[1:]).backward()
        optimizer.step()
    return scores.detach().softmax(-1)


def correct_version(text):
    """How often each letter follows each, counted."""
    counts = torch.zeros(5, 5).index_put_((text[:-1], text[1:]), torch.tensor(1.0), accumulate=True)
    return counts / counts.sum(-1, keepdim=True)


text = torch.randint(5, (400,))
record.check("what it learns are the counts", torch.allclose(document_version(text), correct_version(text), atol=0.02))

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/03_algorithms/04_pretraining_tasks.ipynb), about 75 minutes, four
# questions:
#
# 1. whole-word masking, from draws that are given;
# 2. span corruption: input and target;
# 3. the contrastive loss in both directions, in a batch where not every other pair is a negative;
# 4. how much a text teaches: three numbers, and a reading.
#
# To go on: 4.6 derives these losses, 3.5 fine-tunes what was pre-trained here.
