# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 2.4 预训练与微调 · Pre-training and fine-tuning
#
# 本节先让一个小模型在没有标注的文本上学习“下一个词”，再用少量标注教它找出人名、地名和物品。
# 我们画出标注数量与成绩的曲线，比较从零训练、冻结骨干和整体微调，最后量一量微调之后模型忘掉了多少。
#
# After this section you can say what pre-training is worth in labelled examples, choose between freezing and
# fine-tuning, and measure what a model forgets.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.data.batching import Loader, Windows, pad
from lmlib.data.world import make
from lmlib.pretraining import Causal, Masked, SpecialTokens
from lmlib.text.vocabulary import Vocabulary
from lmlib.training import TrainingConfig, train
from lmlib.transformer import Shape, Stack

device = session.start(seed, device, profile)

# %% [markdown] name="question"
# A newspaper has a million sentences in its archive, and money to have 128 of them labelled: which words name a
# person, a place, a thing? Train a tagger on the 128, and in most new sentences it meets a word that it has never seen.
# The archive is full of these words. Can a model learn from text that nobody labelled?
#
# (The headings have the numbers of document 000. The advantage, its 2.4.1, comes last here: it must be measured.)

# %% name="data"
N_CHARACTERS = {"quick": 400_000, "full": 4_000_000}[profile]
TAGS = ["O", "PER", "LOC", "THING"]
LENGTH = 48
world = make(0)
archive = [
    [*(w.lower() for s in text.sentences for w in s.words), "</s>"]
    for text in world.corpus("train", "en", N_CHARACTERS)
]
vocabulary = Vocabulary.from_sentences(archive, min_count=3, unknown="<unk>")
V = len(vocabulary)
archive_ids = torch.tensor([i for text in archive for i in vocabulary.encode(text)])


def labelled(split, n):
    """Sentences as ids with a tag (an index into TAGS) for each word."""
    found = world.tagged(n, split)
    ids = [vocabulary.encode(word.lower() for word in one.words)[:LENGTH] for one in found]
    return [
        (i, [TAGS.index(tag.split("-")[-1]) for tag in one.tags][:LENGTH]) for i, one in zip(ids, found, strict=True)
    ]


training, test = labelled("train", 512), labelled("test", 300)

# %% name="example" tags=["nbval-check-output"]
for word, tag in zip(vocabulary.decode(training[0][0]), training[0][1], strict=True):
    print(f"{word:12}{TAGS[tag]}")
print(len(archive_ids), "words without labels")

# %% name="unseen" tags=["nbval-check-output"]
seen = {word for ids, _ in training[:128] for word in ids}
tested = [(word, tag) for ids, tags in test for word, tag in zip(ids, tags, strict=True)]
unseen = sum(word not in seen for word, tag in tested if tag) / sum(tag > 0 for _, tag in tested)
in_archive = np.mean([word != vocabulary.unknown for word, _ in tested])
strange = np.mean([any(word not in seen for word in ids) for ids, _ in test])
print(f"new sentences with an unseen word: {strange:.2f}")
record.check("most new sentences have a word that is not in 128 labelled ones", strange > 0.5)
record.check("of the words with a tag, over a fifth are not in 128 labelled sentences", unseen > 0.2)
record.check("nearly all words of the test stand in the archive", in_archive > 0.95)

# %% [markdown] name="objectives"
# ## 2.4.2 无监督预训练 · Labels for free: self-supervision
#
# Text labels itself. Hide a part, and ask for it: the answer is there. This is **self-supervised learning**
# (自监督学习); the documents also call it unsupervised (无监督), for nobody supervises. Three questions that one
# can ask of the same sentence:
#
# | objective | the model reads | it is asked for |
# | --- | --- | --- |
# | causal (因果语言模型) | the words before | the next word |
# | masked (掩码语言模型) | all words, some hidden | the hidden ones |
# | next sentence (下一句预测) | two sentences | did the second follow the first? |

# %% name="objectives-example" tags=["nbval-check-output"]
tokens = SpecialTokens(V + 2, pad=V, mask=V + 1)
names = [*vocabulary.words, "[PAD]", "[MASK]"]
sentence = training[0][0]
causal_batch = Causal(tokens)([sentence])
masked_batch = Masked(tokens, rate=0.3, generator=torch.Generator().manual_seed(4))([sentence])
print(
    "causal: ",
    [f"{names[a]}→{names[b]}" for a, b in zip(sentence, causal_batch["labels"][0, 1:].tolist(), strict=False)][:5],
)
hidden = masked_batch["labels"][0] != -100
print("masked: ", " ".join(names[i] for i in masked_batch["input_ids"][0].tolist()))
print("asked:  ", [names[i] for i in masked_batch["labels"][0][hidden].tolist()])
record.check("every answer stands in the text itself", set(masked_batch["labels"][0][hidden].tolist()) <= set(sentence))

# %% [markdown] name="backbone-text"
# We pre-train causally, which learns fastest (section 2.1). The **backbone** (骨干) turns words into states; the
# word vectors serve as its output.


# %% name="backbone"
class Backbone(nn.Module):
    """Words (B, T) -> states (B, T, C), each from the words up to its own."""

    def __init__(self, width=64):
        super().__init__()
        self.words, self.places = nn.Embedding(V, width), nn.Embedding(LENGTH, width)
        for table in (self.words, self.places):
            nn.init.normal_(table.weight, std=0.02)
        self.stack = Stack(Shape(width, 2, 4, 4 * width, activation="gelu", norm_first=True, final_norm=True))

    def forward(self, ids):
        return self.stack(self.words(ids) + self.places.weight[: ids.size(1)], causal=True).output


def next_word_loss(backbone, batch):
    """Mean cross-entropy of every word but the first."""
    logits = F.linear(backbone(batch["ids"])[:, :-1], backbone.words.weight)
    return F.cross_entropy(logits.flatten(0, 1), batch["ids"][:, 1:].flatten())


# %% name="pretraining"
def pretrained(seed):
    """A backbone that has read the archive, and its losses."""
    torch.manual_seed(seed)
    backbone = Backbone().to(device)
    batches = Loader(Windows(archive_ids, 32), 16, lambda rows: {"ids": torch.stack(rows)}, seed)
    steps = {"quick": 200, "full": 3000}[profile]
    config = TrainingConfig(steps, 6e-3, "muon", warmup_steps=12, weight_decay=0.01, device=str(device), seed=seed)
    return backbone, train(backbone, batches, config, loss=next_word_loss).losses


seeds = range(seed, seed + {"quick": 1, "full": 3}[profile])
backbones = {s: pretrained(s) for s in seeds}
backbone, losses = backbones[seed]
record.check("the first loss is near ln V (within 1.2)", abs(losses[0] - math.log(V)) < 1.2)
record.check("the last lies 2 nats lower", np.mean(losses[-20:]) < losses[0] - 2)

# %% [markdown] name="finetuning"
# ## 2.4.3 有监督微调 · Supervised fine-tuning: frozen, tuned, or from scratch
#
# A new head, a matrix (C, 4) and 4 biases, C = 64, scores the tags. Three ways to train it on n labelled sentences:
#
# - **from scratch** (从零训练): random backbone, everything is trained;
# - **frozen** (冻结): the pre-trained backbone stays as it is, only the head learns, 260 numbers;
# - **fine-tuned** (微调): pre-trained backbone, everything is trained.


# %% name="tagger"
class Tagger(nn.Module):
    """A backbone with a head for tags: words (B, T) -> scores (B, T, 4)."""

    def __init__(self, backbone, frozen):
        super().__init__()
        self.backbone, self.head = backbone.requires_grad_(not frozen), nn.Linear(64, len(TAGS))

    def forward(self, ids):
        return self.head(self.backbone(ids))


def collate(rows):
    """Padded ids and labels (B, T), -100 at padding."""
    return {"ids": pad([ids for ids, _ in rows], 0)[0], "labels": pad([tags for _, tags in rows], -100)[0]}


def tag_loss(model, batch):
    return F.cross_entropy(model(batch["ids"]).flatten(0, 1), batch["labels"].flatten(), ignore_index=-100)


@torch.no_grad()
def f1(model):
    """Mean F1 of the three kinds of names over the test words."""
    batch = {name: tensor.to(device) for name, tensor in collate(test).items()}
    said, true = model(batch["ids"]).argmax(-1), batch["labels"]
    said = said.masked_fill(true == -100, 0)
    both = [((said == k) & (true == k)).sum() / ((said == k).sum() + (true == k).sum()).clamp(min=1) for k in (1, 2, 3)]
    return float(2 * sum(both) / 3)


# %% name="tagger-sizes" tags=["nbval-check-output"]
for way, frozen in (("frozen", True), ("fine-tuned", False)):
    n = sum(p.numel() for p in Tagger(copy.deepcopy(backbone), frozen).parameters() if p.requires_grad)
    print(f"{way:11}{n:9,} numbers are trained")
    if frozen:
        record.check("a frozen tagger trains 64·4 + 4 = 260 numbers", n == 260)

# %% [markdown] name="advantage"
# ## 2.4.1 预训练的概念与优势 · What pre-training is worth
#
# Each way, with 8, 32, 128 and 512 labelled sentences, and the same 80 steps. Before you look: how many labels does
# the tagger from scratch need to reach what the fine-tuned one reaches with 32?

# %% name="advantage-training"
NUMBERS = [8, 32, 128, 512]


def tuned(way, n, seed):
    """A tagger trained in one of the three ways on n sentences."""
    torch.manual_seed(seed + 100)
    start = Backbone() if way == "from scratch" else copy.deepcopy(backbones[seed][0])
    model = Tagger(start, frozen=way == "frozen").to(device)
    rate = 2e-2 if way == "frozen" else 3e-3  # a head alone bears larger steps
    config = TrainingConfig(80, rate, warmup_steps=8, weight_decay=0.01, device=str(device), seed=seed)
    train(model, Loader(training[:n], 8, collate, seed), config, loss=tag_loss)
    return model


WAYS = ["from scratch", "frozen", "fine-tuned"]
taggers = {(way, n, s): tuned(way, n, s) for way in WAYS for n in NUMBERS for s in seeds}
scores = {way: np.array([[f1(taggers[way, n, s]) for n in NUMBERS] for s in seeds]) for way in WAYS}  # (seeds, sizes)

# %% name="advantage-plot"
fig, (ax,) = plots.figure("What labels buy", width=5.8, height=3.4)
for i, way in enumerate(WAYS):
    plots.band(ax, NUMBERS, scores[way], way, number=i)
ax.set_xscale("log", base=2)
ax.set_xticks(NUMBERS, [str(n) for n in NUMBERS])
ax.set_xlabel("labelled sentences")
ax.set_ylabel("F1 of names (0 to 1)")
ax.set_ylim(0, 1)
ax.legend(loc="lower right")
plots.show(
    fig,
    alt="F1 against the number of labelled sentences. Frozen starts high with 8 and then flattens; fine-tuned is "
    "highest with 128 and 512; from scratch is far below both with few labels and rises steadily.",
)

# %% name="advantage-check"
for way in WAYS:
    for n, score in zip(NUMBERS, scores[way].mean(0), strict=True):
        record.metric(f"{way}, {n} sentences: F1", score)
at = {way: dict(zip(NUMBERS, scores[way].mean(0), strict=True)) for way in WAYS}
record.check(
    "with 8 labels both pre-trained ways are ahead by 0.15",
    min(at["frozen"][8], at["fine-tuned"][8]) > at["from scratch"][8] + 0.15,
)
record.check(
    "fine-tuned on 32 does at least what scratch does with 128", at["fine-tuned"][32] > at["from scratch"][128]
)
record.check(
    "the head alone stops: from 128 to 512 it gains less than 0.1", at["frozen"][512] - at["frozen"][128] < 0.1
)
record.check(
    "with 128 labels fine-tuning beats the frozen backbone by 0.05", at["fine-tuned"][128] > at["frozen"][128] + 0.05
)

# %% name="advantage-end-check"
record.check(
    "tuned or from scratch, 512 labels do more than 128",
    all(at[way][512] > at[way][128] for way in ("fine-tuned", "from scratch")),
)
record.check(
    "with 512 labels fine-tuning is ahead of both",
    at["fine-tuned"][512] > max(at["frozen"][512], at["from scratch"][512]),
)

# %% [markdown] name="advantage-lesson"
# Pre-training has multiplied the labels: 32 with it do more than 128 without. It does not make labels needless; both
# curves that train everything rise to the end. And a frozen backbone is a good choice only where labels are few: its
# states were made for another question, and a head of 260 numbers cannot change them.

# %% [markdown] name="forgetting"
# ### 遗忘 · What fine-tuning forgets
#
# The fine-tuned backbone was once a language model. Is it still? Put its word vectors back as output, and measure
# its loss on new text, before and after.


# %% name="forgetting-measure"
@torch.no_grad()
def language_loss(backbone):
    """Mean next-word loss on unseen text, in nats."""
    text = [
        i
        for t in world.corpus("test", "en", 20_000)
        for s in t.sentences
        for i in vocabulary.encode(w.lower() for w in s.words)
    ]
    rows = torch.tensor(text[: len(text) // 32 * 32]).view(-1, 32).to(device)
    return float(next_word_loss(backbone, {"ids": rows}))


before = language_loss(backbone)
after = {(way, n): language_loss(taggers[way, n, seed].backbone) for way in WAYS[1:] for n in NUMBERS}

# %% name="forgetting-plot"
fig, (ax,) = plots.figure("Is it still a language model?", width=5.8, height=3.2)
for i, way in enumerate(WAYS[1:], 1):
    plots.band(ax, NUMBERS, [[after[way, n] for n in NUMBERS]], way, number=i)
ax.set_xlabel("labelled sentences it was tuned on")
ax.set_ylabel("next-word loss (nats)")
ax.legend(loc="center left")
ax.set_xscale("log", base=2)
ax.set_xticks(NUMBERS, [str(n) for n in NUMBERS])
plots.level(ax, math.log(V), "ln V: guessing")
plots.show(
    fig, alt="Next-word loss after tuning. Frozen: a flat low line. Fine-tuned: far higher at every number of labels."
)

# %% name="forgetting-check"
record.metric("next-word loss before", before, "nats")
record.metric("next-word loss after fine-tuning on 512", after["fine-tuned", 512], "nats")
record.check("frozen forgets nothing, to the last digit", all(after["frozen", n] == before for n in NUMBERS))
record.check(
    "fine-tuning costs over half a nat, however many labels",
    all(after["fine-tuned", n] > before + 0.5 for n in NUMBERS),
)
record.check("with 8 labels it forgets more than with 512", after["fine-tuned", 8] > after["fine-tuned", 512])

# %% [markdown] name="forgetting-lesson"
# This is **catastrophic forgetting** (灾难性遗忘). Nothing in the new loss protects the old skill. Look at the
# slope, too: in the same 80 steps *fewer* labels make it forget more. (With 8 labels, the same 8 sentences are read
# 80 times.) For a tagger that may be fine; for a model that should go on talking it is not. Small
# steps, a mixture of old and new text, or adapters that leave the backbone alone (LoRA, section 3.5) are the usual
# remedies.

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# What the documents state about pre-training and fine-tuning, put to a test. Each cell computes the document's
# version and the correct one, and checks both.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("02_core_concepts/04_pretraining_and_finetuning")

# %% name="ledger-data"
text = torch.randint(4, 50, (4, 500)).tolist()
special = SpecialTokens(50, pad=0, start=1, end=2, mask=3)
old_x, new_x = torch.randn(200, 6), torch.randn(200, 6)
old_y, new_y = old_x @ torch.ones(6), new_x @ torch.tensor([1.0, 1, 1, -1, -1, -1])
old_model = torch.linalg.lstsq(old_x, old_y[:, None]).solution.squeeze(1)


# %% name="ledger-self-supervised" tags=["ledger"]
def document_version(texts):
    """001 §2.3, 004 §2.3.3: unlabelled text is enough, as in next-word prediction. The labels: the text itself."""
    return torch.tensor(texts)[:, 1:].float()


def correct_version(texts):
    """What lmlib's causal objective asks for, at the places that predict."""
    return Causal(special)(texts)["labels"][:, 1:].float()


record.check("every label comes from the text", torch.equal(document_version(text), correct_version(text)))


# %% name="ledger-masked" tags=["ledger"]
def document_version(texts):
    """001 §2.3: some words are masked, and the model predicts them. Share of the predicted words that are masked."""
    return 1.0


def correct_version(texts):
    """In BERT's form 80 % of them are masked; others become a random word, or stay."""
    batch = Masked(special)(texts)
    return float((batch["input_ids"][batch["labels"] != -100] == 3).float().mean())


batch = Masked(special)(text)
asked = batch["labels"] != -100
shown = float((batch["input_ids"][asked] != 3).float().mean())  # predicted, and not behind a mask
record.check("a fifth of the predicted words is not masked at all", abs(1 - correct_version(text) - 0.2) < 0.12)
record.check("the document leaves no room for them", document_version(text) + shown > 1.12)


# %% name="ledger-forgetting" tags=["ledger"]
def adjusted(model):
    """100 steps of gradient descent on the new task."""
    w = model.clone()
    for _ in range(100):
        w -= 0.1 * new_x.T @ (new_x @ w - new_y) / len(new_x)
    return w


def document_version(model):
    """001 §2.3, 003 §2.3: tuning improves; of the old task they say nothing. Its error, if tuning only added."""
    return (old_x @ model - old_y).pow(2).mean()


def correct_version(model):
    """Measured: the error on the old task after tuning."""
    return (old_x @ adjusted(model) - old_y).pow(2).mean()


new_error = [(new_x @ w - new_y).pow(2).mean() for w in (old_model, adjusted(old_model))]
record.check("the claim holds: the error on the new task falls to under a hundredth", new_error[1] < new_error[0] / 100)
record.check("if tuning only added, the old error would stay at 0", document_version(old_model) < 1e-6)
record.check("in fact it is large", correct_version(old_model) > 1)

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/02_core_concepts/04_pretraining_and_finetuning.ipynb), about 50
# minutes, three questions:
#
# 1. labels for free: masked words in BERT's form;
# 2. a head on a frozen backbone, by hand;
# 3. read the results: what pre-training is worth, and why a model forgets.
#
# To go on: 3.4 compares the objectives of pre-training at length, 3.5 fine-tunes for many tasks, 2.5 does without
# fine-tuning.
