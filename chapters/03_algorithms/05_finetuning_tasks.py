# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 3.5 微调任务 · Fine-tuning tasks
#
# 本节让同一个预训练过的小模型去做各种下游任务，每个任务都同时从头训练一次，并配上合适的指标和一个简单的基线。
# 任务有文本分类、命名实体识别、抽取式问答（允许“没有答案”）、序列到序列与指令微调、LoRA，以及用 DPO 学习偏好。
#
# After this section you can turn each task into inputs, labels and a loss, score it with the metric that fits, and say
# what pre-training was worth. You will also have met a baseline that is hard to beat.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import copy
import math
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import nn

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.data import world
from lmlib.data.batching import Loader, pad
from lmlib.decoding import generate
from lmlib.evaluation.question_answering import squad_exact_match, squad_f1
from lmlib.evaluation.tagging import span_f1, spans
from lmlib.finetuning import lora
from lmlib.finetuning.dpo import (
    PreferenceLoss,
    preference_collator,
    share_preferred,
)
from lmlib.finetuning.instructions import Example, collator
from lmlib.finetuning.tagging import repaired
from lmlib.models.bert import Bert, BertConfig
from lmlib.models.nanochat import NanoChat, NanoChatConfig
from lmlib.text.vocabulary import Vocabulary
from lmlib.training import TrainingConfig, set_seed, train

device = session.start(seed, device, profile)

# %% [markdown] name="backbone"
# ## 3.5.1 一个主干，许多任务 · One backbone, many tasks
#
# Pre-training gave us a model that predicts the next word (section 3.4). Nobody needs that as such. What people need
# is a label, a span, an answer. **Fine-tuning** (微调) keeps the weights, puts a small new part on top, and trains
# on, with few labelled examples.
#
# We pre-train one small causal model on the text of the small world. Its words are tokens, in small letters.

# %% name="vocabulary"
SIZE = {
    "quick": {"n_chars": 300_000, "words": 1500, "pretraining": 250, "tuning": 80, "labelled": 200, "tested": 300},
    "full": {"n_chars": 3_000_000, "words": 3000, "pretraining": 4000, "tuning": 300, "labelled": 1000, "tested": 1000},
}[profile]
LENGTH = 64
SMALL_WORLD = world.make(0)
texts = [
    [[w.lower() for w in s.words] for s in text.sentences]
    for text in SMALL_WORLD.corpus("train", "en", SIZE["n_chars"])
]
SPECIAL = ["[PAD]", "[END]", "[UNK]", "[SEP]"]
counted = Vocabulary.from_sentences(sentence for text in texts for sentence in text)
IDS = {word: i for i, word in enumerate(SPECIAL + counted.words[: SIZE["words"]])}
WORDS = list(IDS)


def split(text):
    """The words of a text as the small world's are: small letters, marks apart."""
    for mark in ".,;:?!":
        text = text.replace(mark, f" {mark} ")
    return text.lower().replace("'s", " 's").split()


def encode(words):
    """The ids of words; a word that is not in the vocabulary is [UNK]."""
    return [IDS.get(word.lower(), 2) for word in words]


# %% name="pretraining"
def new_model(seed=seed):
    """A small NanoChat with random weights."""
    set_seed(seed)
    sizes = {"d_model": 64, "n_layers": 2, "n_heads": 4, "d_ff": 256, "max_positions": LENGTH}
    config = NanoChatConfig(vocab_size=len(IDS), eos_token_id=1, pad_token_id=0, score_cap=None, **sizes)
    return NanoChat(config, "language_model").to(device)


def run(steps, rate=4e-3, **changes):
    """How everything in this section is trained: Muon for matrices, AdamW for the rest."""
    given = {"optimizer": "muon", "warmup_steps": steps // 10, "seed": seed, "device": str(device)} | changes
    return TrainingConfig(steps, rate, **given)


stream = torch.tensor([i for text in texts for sentence in text for i in encode(sentence)])
rows = stream[: len(stream) // LENGTH * LENGTH].view(-1, LENGTH)
backbone = new_model()
log = train(
    backbone,
    Loader(rows, 16, lambda some: {"input_ids": torch.stack(some), "labels": torch.stack(some)}, seed),
    run(SIZE["pretraining"]),
)

# %% name="pretraining-check"
print(f"loss of pre-training: from {log.losses[0]:.2f} to {np.mean(log.losses[-20:]):.2f} nats per word")
record.check("the first loss is ln V, within 0.1", abs(log.losses[0] - math.log(len(IDS))) < 0.1)
record.check("the last one is below 4.2", np.mean(log.losses[-20:]) < 4.2)

# %% [markdown] name="heads"
# ### 输入与输出的形式 · A head for every task
#
# | task | input | what is on top | a label for | metric |
# | --- | --- | --- | --- | --- |
# | classification | the text | linear, on the last state | the text | accuracy |
# | tagging | the sentence | linear, on every state | each word | span F1 |
# | extractive questions | question [SEP] sentence | linear, 2 scores a place | the ends of a span | exact match |
# | instructions | instruction [SEP] answer | what is there: the next word | each word of the answer | exact match |
#
# Only the last needs no new weights. The others need one linear layer of the right width.


# %% name="head-code"
class Head(nn.Module):
    """A linear layer on the states of a model: ids and mask (B, T) → scores (B, T, n)."""

    def __init__(self, model, n):
        super().__init__()
        self.model, self.output = model, nn.Linear(64, n).to(device)

    def forward(self, input_ids, attention_mask):
        out = self.model(input_ids, attention_mask=attention_mask, last_only=True)  # the next word is not asked for
        return self.output(out.last_hidden_state)


def started(name):
    """A copy of the pre-trained model, or a new one."""
    return copy.deepcopy(backbone) if name == "pre-trained" else new_model()


STARTS = ("pre-trained", "from scratch")

# %% [markdown] name="classification"
# ## 3.5.2 文本分类 · Classification
#
# Is a review good or bad? The model reads from left to right, so its **last** state has seen the whole text. The loss
# is the cross-entropy of two classes.

# %% name="classification-data"
reviews = {
    split: [
        ([*[i for s in r.text.sentences for i in encode(s.words)][: LENGTH - 1], 1], r.label)
        for r in SMALL_WORLD.reviews(SIZE["labelled" if split == "train" else "tested"], split)
    ]
    for split in ("train", "test")
}
print(" ".join(WORDS[i] for i in reviews["train"][0][0]), "— label", reviews["train"][0][1])
print(f"share of good reviews: {np.mean([label for _, label in reviews['test']]):.2f}")


def classes_batch(examples):
    """Texts and their classes: ids and mask (B, T), labels (B,)."""
    ids, mask = pad([ids for ids, _ in examples], 0)
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([label for _, label in examples])}


# %% name="classification-training"
def class_scores(model, batch):
    """The scores (B, 2) at the last word of each text."""
    scores, last = model(batch["input_ids"], batch["attention_mask"]), batch["attention_mask"].sum(1) - 1
    return scores[torch.arange(len(last), device=scores.device), last]


def class_loss(model, batch):
    return F.cross_entropy(class_scores(model, batch), batch["labels"])


@torch.no_grad()
def class_accuracy(model):
    batch = {name: tensor.to(device) for name, tensor in classes_batch(reviews["test"]).items()}
    return (class_scores(model, batch).argmax(-1) == batch["labels"]).float().mean().item()


results = {"reviews: accuracy": {}}
for name in STARTS:
    model = Head(started(name), 2)
    train(model, Loader(reviews["train"], 16, classes_batch, seed), run(SIZE["tuning"]), loss=class_loss)
    results["reviews: accuracy"][name] = class_accuracy(model)

# %% [markdown] name="classification-baseline-text"
# The baseline knows nothing of order: it counts words, and a logistic regression weighs them.


# %% name="classification-baseline"
def counts(examples):
    return np.stack([np.bincount(ids, minlength=len(IDS)) for ids, _ in examples])


bag = LogisticRegression(C=0.3, max_iter=500).fit(counts(reviews["train"]), [label for _, label in reviews["train"]])
results["reviews: accuracy"]["baseline"] = bag.score(counts(reviews["test"]), [label for _, label in reviews["test"]])
for name, value in results["reviews: accuracy"].items():
    print(f"{name:13} {value:.2f}")

# %% [markdown] name="tagging"
# ## 3.5.3 命名实体识别 · Tagging with BIO, scored by spans
#
# Where are the people, places and things? Each word gets a tag: **B**-egin of a name, **I**-nside it, or
# **O**-utside. A name may have several words, and it counts only as a *whole*. **Precision** P is the share of the
# found names that are right, **recall** R the share of the true names that were found; the **span F1** is
# 2PR / (P + R).

# %% name="tagging-bio" tags=["nbval-check-output"]
words = ["anton", "met", "old", "mary", "in", "kestrel", "bay", "."]
true = ["B-PER", "O", "O", "B-PER", "O", "B-LOC", "I-LOC", "O"]
guess = ["B-PER", "O", "O", "B-PER", "O", "B-LOC", "O", "O"]
right = sum(a == b for a, b in zip(true, guess, strict=True))
print("spans:", [(" ".join(words[start:end]), kind) for kind, start, end in spans(true)])
print("found:", [(" ".join(words[start:end]), kind) for kind, start, end in spans(guess)])
print(f"tags right: {right} of {len(true)}; span F1: {span_f1([guess], [true]):.2f}")
record.check(
    "one wrong tag of eight costs a third: half a name is no name", math.isclose(span_f1([guess], [true]), 2 / 3)
)
nothing = span_f1([["O"] * 8], [true])
record.check(
    "saying O everywhere has half of the tags right, and a span F1 of 0", nothing == 0 and true.count("O") == 4
)

# %% name="tagging-training"
TAGS = ["O", *(f"{part}-{kind}" for kind in ("PER", "LOC", "THING") for part in "BI")]
tagged = {
    split: SMALL_WORLD.tagged(SIZE["labelled" if split == "train" else "tested"], split) for split in ("train", "test")
}


def tags_batch(sentences):
    """Sentences: ids and mask (B, T), labels (B, T), -100 at padding."""
    ids, mask = pad([encode(s.words)[:LENGTH] for s in sentences], 0)
    labels, _ = pad([[TAGS.index(tag) for tag in s.tags][:LENGTH] for s in sentences], -100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def tags_loss(model, batch):
    return F.cross_entropy(model(batch["input_ids"], batch["attention_mask"]).flatten(0, 1), batch["labels"].flatten())


@torch.no_grad()
def tags_f1(model):
    batch = {name: tensor.to(device) for name, tensor in tags_batch(tagged["test"]).items()}
    best = model(batch["input_ids"], batch["attention_mask"]).argmax(-1).tolist()
    found = [repaired([TAGS[i] for i in row[: len(s.tags)]]) for row, s in zip(best, tagged["test"], strict=True)]
    return span_f1(found, [list(s.tags[:LENGTH]) for s in tagged["test"]])


results["tags: span F1"] = {}
for name in STARTS:
    model = Head(started(name), len(TAGS))
    train(model, Loader(tagged["train"], 16, tags_batch, seed), run(SIZE["tuning"]), loss=tags_loss)
    results["tags: span F1"][name] = tags_f1(model)

# %% [markdown] name="tagging-baseline-text"
# The baseline: each word gets the tag that it had most often in training; a word that was not there is outside.

# %% name="tagging-baseline"
votes = {}
for s in tagged["train"]:
    for word, tag in zip(s.words, s.tags, strict=True):
        votes.setdefault(word, Counter())[tag] += 1
found = [repaired([votes[w].most_common(1)[0][0] if w in votes else "O" for w in s.words]) for s in tagged["test"]]
results["tags: span F1"]["baseline"] = span_f1(found, [list(s.tags) for s in tagged["test"]])
for name, value in results["tags: span F1"].items():
    print(f"{name:13} {value:.2f}")

# %% [markdown] name="questions"
# ## 3.5.4 问答 · Extractive questions, and "there is no answer"
#
# The answer is a stretch of the text, so the model only *points*: one score for "begins here", one for "ends here".
# The question stands before the sentence, so that every word of it is read with the question in mind. And if the
# sentence does not say? Then both pointers go to the end token: **no answer** is a place like any other (as [CLS] is
# in BERT).
#
# We ask about the tagged sentences: *who*, *where* or *what* is named? Where nothing of the kind is
# named, there is no answer.

# %% name="questions-data"
ASKED = {"PER": ["who", "?"], "LOC": ["where", "?"], "THING": ["what", "?"]}


def questions_of(sentences):
    """(ids, first place, last place) of sentences that name a kind once, or never."""
    made = []
    for number, s in enumerate(sentences):
        kind = list(ASKED)[number % 3]
        names = [(start, end) for k, start, end in spans(s.tags) if k == kind]
        if len(names) > 1 or len(s.words) > LENGTH - 4:
            continue
        head = [*encode(ASKED[kind]), 3]
        ids = [*head, *encode(s.words), 1]
        first, last = (len(head) + names[0][0], len(head) + names[0][1] - 1) if names else (len(ids) - 1, len(ids) - 1)
        made.append((ids, first, last))
    return made


N_SENTENCES = {"train": 3 * SIZE["labelled"], "test": SIZE["tested"]}
questions = {split: questions_of(SMALL_WORLD.tagged(n, split)) for split, n in N_SENTENCES.items()}
n_empty = sum(first == len(ids) - 1 for ids, first, _ in questions["test"])
print(
    f"{len(questions['train'])} questions to learn from; {len(questions['test'])} to test, "
    f"{n_empty} of them without answer"
)
known = [question for question in questions["train"] if 2 not in question[0]]  # all of its words are in the vocabulary
answered = next(question for question in known if question[1] < len(question[0]) - 1)
for ids, first, last in (answered, known[0]):
    print(" ".join(WORDS[i] for i in ids), "—", " ".join(WORDS[i] for i in ids[first : last + 1]))


# %% name="questions-training"
def pointers_batch(examples):
    """Questions with sentences: ids and mask (B, T), labels (B, 2), the places of the answer's ends."""
    ids, mask = pad([ids for ids, *_ in examples], 0)
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([ends for _, *ends in examples])}


def pointer_scores(model, batch):
    """Scores (B, 2, T) of beginning and end; padding can be neither."""
    scores = model(batch["input_ids"], batch["attention_mask"]).mT
    return scores.masked_fill(batch["attention_mask"][:, None] == 0, -math.inf)


def pointer_loss(model, batch):
    return F.cross_entropy(pointer_scores(model, batch).flatten(0, 1), batch["labels"].flatten())


# %% [markdown] name="questions-decode-text"
# **Reading the pointers.** The best beginning and the best end need not fit together. So all pairs are scored, first
# + last, and only those with first ≤ last, and not too long, are looked at. "No answer" must win against the best
# span.


# %% name="questions-decode"
def best_span(scores, context_from, max_length=4):
    """(first, last) of the best span of the context, or of no answer (the last place), from scores (2, T)."""
    T = scores.size(1)
    pairs = scores[0][:, None] + scores[1]  # (T, T): beginning, end
    allowed = torch.ones(T, T, dtype=torch.bool).triu() & ~torch.ones(T, T, dtype=torch.bool).triu(max_length)
    allowed[:context_from] = False  # not in the question
    allowed[:, T - 1], allowed[T - 1] = False, False
    allowed[T - 1, T - 1] = True  # no answer
    place = pairs.masked_fill(~allowed, -math.inf).argmax().item()
    return divmod(place, T)


@torch.no_grad()
def exact_match(model):
    """The share of test questions whose span is right to the word, for those with an answer and for those without."""
    batch = {name: tensor.to(device) for name, tensor in pointers_batch(questions["test"]).items()}
    scores = pointer_scores(model, batch).cpu()
    hits = {True: [], False: []}
    for row, (ids, first, last) in zip(scores, questions["test"], strict=True):
        hits[first < len(ids) - 1].append(best_span(row[:, : len(ids)], 3) == (first, last))
    return np.mean(hits[True] + hits[False]), np.mean(hits[True]), np.mean(hits[False])


# %% name="questions-decode-check" tags=["nbval-check-output"]
scores = torch.full((2, 8), -5.0)
scores[0, 6], scores[1, 4] = 4.0, 4.0  # the best beginning stands behind the best end
scores[0, 4], scores[1, 5] = 3.0, 2.0
scores[0, 1] = 9.0  # in the question
record.check("separately one would get 6 to 4; together it is 4 to 4", best_span(scores, 3) == (4, 4))
scores[:, 7] = 4.0
record.check("no answer wins when its score is higher", best_span(scores, 3) == (7, 7))

# %% name="questions-results"
results["questions: exact match"] = {}
by_kind = {}
for name in STARTS:
    model = Head(started(name), 2)
    train(model, Loader(questions["train"], 16, pointers_batch, seed), run(2 * SIZE["tuning"]), loss=pointer_loss)
    total, *by_kind[name] = exact_match(model)
    results["questions: exact match"][name] = total
results["questions: exact match"]["baseline"] = n_empty / len(questions["test"])  # always "no answer"
for name, value in results["questions: exact match"].items():
    parts = by_kind.get(name, (0.0, 1.0))
    print(f"{name:13} {value:.2f}   (with an answer {parts[0]:.2f}, without {parts[1]:.2f})")

# %% [markdown] name="questions-metrics-text"
# Two metrics of SQuAD (a set of questions on Wikipedia). **Exact match**: all words are right; case, punctuation and
# articles do not count. **F1**: precision and recall of the answer's words, so that nearly right gets part of the
# point.

# %% name="questions-metrics" tags=["nbval-check-output"]
for found in ("kestrel bay", "in kestrel bay", "the kestrel bay", ""):
    exact, part = squad_exact_match(found, ["Kestrel Bay"]), squad_f1(found, ["Kestrel Bay"])
    print(f"{found!r:18} exact match {exact}, F1 {part:.2f}")
record.check("F1 gives part of the point", math.isclose(squad_f1("in kestrel bay", ["Kestrel Bay"]), 0.8))

# %% [markdown] name="sequences"
# ## 3.5.5 序列到序列与指令微调 · Sequence to sequence: the answer in words
#
# Any task can be written as "text in, text out". A decoder alone can do it, without new weights: source, a mark,
# target, end, all in one row. This is also how a model is taught to follow **instructions** (指令微调). **The loss
# counts the answer only**: labels of the instruction are −100, for the model shall answer questions, not learn to ask
# them.
#
# We take the same questions as before, but now the model must *write* the answer. Nothing at all means "no answer".


# %% name="instructions-data"
def written(question):
    """The row of a question: sentence and question, [SEP], the answer, [END]; labels for answer and end."""
    ids, first, last = question
    answer = [*ids[first : last + 1], 1] if first < len(ids) - 1 else [1]
    asked = [*ids[3:-1], *ids[:3]]  # the sentence first, then the question and [SEP]
    return Example([*asked, *answer], [-100] * len(asked) + answer)


row = written(answered)
for name, ids in (("input:", row.input_ids), ("labels:", row.labels)):
    print(f"{name:8}", " ".join("·" if i == -100 else WORDS[i] for i in ids))

# %% name="instructions-check" tags=["nbval-check-output"]
whole = Example(row.input_ids, row.input_ids)
with torch.no_grad():
    losses = [backbone(**{n: t.to(device) for n, t in collator(0)([one]).items()}).loss.item() for one in (row, whole)]
record.check(
    "the loss of the answer alone is another number than that of the whole row", abs(losses[0] - losses[1]) > 0.05
)
batch = collator(0)([row, written(questions["train"][0])])
record.check("the instruction has no labels", bool((batch["labels"][0, : row.labels.count(-100)] == -100).all()))
record.check("its end is a label, so that the model learns to stop", 1 in batch["labels"][0].tolist())


# %% name="instructions-training"
def written_right(model):
    """The share of test questions whose written answer is right to the word."""
    rows = [written(question) for question in questions["test"]]
    prompts = [row.input_ids[: row.labels.count(-100)] for row in rows]
    wrote = [one.tokens for one in generate(model, prompts, 5)]
    return np.mean([w == row.labels[row.labels.count(-100) :] for w, row in zip(wrote, rows, strict=True)])


results["written answers: exact match"], tuned = {}, {}
for name in STARTS:
    tuned[name] = started(name)
    rows = [written(question) for question in questions["train"]]
    train(tuned[name], Loader(rows, 16, collator(0), seed), run(2 * SIZE["tuning"]))
    results["written answers: exact match"][name] = written_right(tuned[name])
results["written answers: exact match"]["baseline"] = results["questions: exact match"]["baseline"]
for name, value in results["written answers: exact match"].items():
    print(f"{name:13} {value:.2f}")

# %% [markdown] name="all-text"
# Four tasks, one backbone. The baselines: a regression on word counts, the most frequent tag of each word, and "there
# is no answer" to every question.

# %% name="all-plot"
fig, axes = plots.figure(*results, width=10.0, height=2.7)
shades = [plots.COLOURS[0], "#9db8d9", "white"]
for ax, (name, values) in zip(axes, results.items(), strict=True):
    ax.bar(range(3), values.values(), color=shades, edgecolor=plots.COLOURS[0], width=0.65)
    for i, value in enumerate(values.values()):
        ax.text(i, value, f"{value:.2f}", ha="center", va="bottom")
    ax.set_xticks(range(3), ["pre-\ntrained", "from\nscratch", "base-\nline"])
    ax.set_ylim(0, 1.05)
    ax.set_title(name.replace(": ", ":\n"), loc="left", fontsize=9)
    ax.grid(visible=False, axis="x")
plots.show(
    fig,
    alt="Four panels of three bars: pre-trained, from scratch, simple baseline. Pre-trained is the highest for "
    "reviews, tags and questions. For written answers all three are close together.",
)

# %% name="all-check"
for name, values in results.items():
    for start, value in values.items():
        record.metric(f"{name}, {start}", value)
pointing, writing = results["questions: exact match"], results["written answers: exact match"]
gain = {name: values["pre-trained"] - values["from scratch"] for name, values in results.items()}
record.check("pre-training is worth more than 0.1 for tags", gain["tags: span F1"] > 0.1)
record.check("and more than 0.1 for pointing at answers", gain["questions: exact match"] > 0.1)
record.check("for reviews it does no harm, within 0.05", gain["reviews: accuracy"] > -0.05)
above = [values["pre-trained"] > values["baseline"] for name, values in results.items() if "written" not in name]
record.check("with it, reviews, tags and pointing are above their baselines", all(above))

# %% name="all-order-check"
reviewed = results["reviews: accuracy"]
record.check(
    "for reviews counting words is more than 0.05 behind the pre-trained model",
    reviewed["baseline"] < reviewed["pre-trained"] - 0.05,
)
if profile == "quick":  # with more examples and steps the others follow
    record.check(
        "pre-training is worth more for tags and pointing than for reviews",
        min(gain["tags: span F1"], gain["questions: exact match"]) > gain["reviews: accuracy"],
    )
    record.check("writing is more than 0.15 behind pointing", pointing["pre-trained"] - writing["pre-trained"] > 0.15)
    record.check("and within 0.1 of the baseline", abs(writing["pre-trained"] - writing["baseline"]) < 0.1)

# %% [markdown] name="all-lesson"
# Pre-training is worth most where the task is about *words in their places*: names, spans. For reviews it is worth
# less (how much less depends on the seed). But counting words is not enough for them: the baseline is behind the
# pre-trained model.
#
# The last panel is a warning. Pointing and writing answer *the same* questions, from the same examples, in as many
# steps. Pointing has learned it. Writing must also learn to **copy** a word that it has hardly seen, and is still
# near the baseline, which says "no answer" to everything. Without that baseline one might have been proud of it. (The
# `full` profile gives it more time.) Writing can do any task with the same weights; that it learns more slowly is the
# price.

# %% [markdown] name="lora"
# ## 3.5.6 LoRA：只学一个小的改变 · LoRA: learn a small change
#
# A model for each task means a copy of all weights for each task. **LoRA** (Hu et al. 2021) freezes $W$ and learns a
# change of low rank beside it:
#
# $$W x + \frac{\alpha}{r}\, B A x,\qquad A \in \mathbb{R}^{r\times n},\quad B \in \mathbb{R}^{m\times r}$$
#
# $W$ has the shape (m, n); the rank $r$ is small, and $\alpha$ is a fixed number that sets how strong the change is.
# $B$ starts at 0, so that nothing changes at first. Afterwards $\frac{\alpha}{r} BA$ can be added to $W$: the merged
# model costs nothing extra. We give it twice the steps of the full fine-tuning above (and AdamW instead of Muon), and
# ask whether it gets as far.

# %% name="lora-training"
adapted = started("pre-trained")
with torch.no_grad():
    probe = stream[:LENGTH][None].to(device)
    before = adapted(probe).logits
lora.add_adapters(adapted, lora.LoraConfig(rank=4, alpha=8.0, targets=("qkv", "out", "inner", "outer")))
with torch.no_grad():
    fresh = adapted(probe).logits
model = Head(adapted, len(TAGS))
config = run(2 * SIZE["tuning"], rate=1e-2, optimizer="adamw")
train(model, Loader(tagged["train"], 16, tags_batch, seed), config, loss=tags_loss)
n_trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
n_all = sum(p.numel() for p in backbone.parameters())
lora_f1 = tags_f1(model)
print(f"{n_trained} of {n_all} weights are trained, {n_trained / n_all:.1%}; span F1 {lora_f1:.2f}")

# %% name="lora-check"
with torch.no_grad():
    unmerged = adapted(probe).logits
    lora.merge(adapted)
    merged = adapted(probe).logits
    lora.unmerge(adapted)
    with lora.without_adapters(adapted):
        off = adapted(probe).logits
record.check("new adapters change nothing", torch.equal(before, fresh))
record.check("training has changed the model", not torch.allclose(before, unmerged, atol=1e-2))
record.check("merged equals unmerged", torch.allclose(merged, unmerged, atol=1e-3))
record.check("with the adapters off it is the pre-trained model, bit for bit", torch.equal(off, before))
record.check("fewer than 5 % of the weights are trained", n_trained < 0.05 * n_all)
record.check(
    "in twice the steps it is as good as training all weights, within 0.05",
    lora_f1 > results["tags: span F1"]["pre-trained"] - 0.05,
)
record.check("and better than from scratch", lora_f1 > results["tags: span F1"]["from scratch"])

# %% [markdown] name="lora-lesson"
# Fewer than 5 % of the weights get as far as all of them, in twice the steps.

# %% [markdown] name="preferences"
# ## 3.5.7 偏好 · Preferences: DPO
#
# Which of two answers is better? People can say that, even where nobody can write down the one right answer. **DPO**
# (Rafailov et al. 2023) learns from such pairs. Let $\Delta$ be how much more probable an answer has become, compared
# with the model before: $\Delta(y) = \ln \pi_\theta(y \mid x) - \ln \pi_{\text{ref}}(y \mid x)$. Then
#
# $$\mathcal{L} = -\ln \sigma\big(\beta\,(\Delta(y_{\text{chosen}}) - \Delta(y_{\text{rejected}}))\big)$$
#
# $\pi_\theta(y \mid x)$ is the probability that the model in training gives to the answer $y$ to the question $x$;
# $\pi_{\text{ref}}$ is a frozen copy from before. $\sigma$ is the logistic function, and $\beta$ says how costly it is
# to move away from the copy. At the start both $\Delta$ are 0, and the loss is ln 2. Our prompts are a passage and a
# question; to keep rows short we show the model the **question alone**.


# %% name="preferences-data"
def preference(one):
    """A pair of rows: the question with the chosen, and with the rejected answer."""
    asked = [*encode(split(one.prompt.splitlines()[-1])), 3]
    rows = [
        ([*asked, *answer], [-100] * len(asked) + answer)
        for answer in ([*encode(split(t)), 1] for t in (one.chosen, one.rejected))
    ]
    return tuple(Example(ids[:LENGTH], labels[:LENGTH]) for ids, labels in rows)


preferences = {part: SMALL_WORLD.preferences(SIZE["labelled"], part) for part in ("train", "test")}
for one in preferences["train"][:6:2]:
    print(f"{one.prompt.splitlines()[-1]}\n   + {one.chosen}\n   − {one.rejected}   ({one.reason})")

# %% name="preferences-training"
collate = preference_collator(collator(0))
pairs = [preference(one) for one in preferences["train"]]
reference = started("pre-trained")
policy = started("pre-trained")
config = run(SIZE["tuning"] // 2, rate=1e-3, optimizer="adamw", clip=1.0)
log = train(policy, Loader(pairs, 16, collate, seed), config, loss=PreferenceLoss(beta=0.1, reference=reference))
reasons = sorted({one.reason for one in preferences["test"]})
shares = {"before": [], "after": []}
for reason in reasons:
    some = [preference(one) for one in preferences["test"] if one.reason == reason]
    batch = {name: tensor.to(device) for name, tensor in collate(some).items()}
    for name, model in (("before", reference), ("after", policy)):
        shares[name].append(share_preferred(model, [batch]))

# %% name="preferences-plot"
fig, (ax,) = plots.figure("How often the better answer is the more probable one", width=6.2, height=3.0)
for i, (name, values) in enumerate(shares.items()):
    places = np.arange(len(reasons)) + 0.36 * (i - 0.5)
    ax.bar(places, values, 0.34, label=name + " DPO", color=shades[1 - i], edgecolor=plots.COLOURS[0])
ax.axhline(0.5, color="#555555", linewidth=0.9, linestyle=":", label="guessing")
ax.set_xticks(range(len(reasons)), [reason.replace("_", " ") for reason in reasons])
ax.set_ylim(0, 1.2)
ax.set_xlabel("what is wrong with the rejected answer")
ax.set_ylabel("share of pairs")
ax.legend(loc="upper right", ncols=3)
plots.show(
    fig,
    alt="Bars before and after DPO for four faults of the rejected answer. Before it, rude and off-topic answers lose "
    "in less than half of the pairs, garbled ones in most. After it, rude and garbled ones lose almost always and "
    "off-topic ones mostly; for answers that are wrong in fact it stays near chance.",
)

# %% name="preferences-check"
print({name: dict(zip(reasons, [round(v, 2) for v in values], strict=True)) for name, values in shares.items()})
after = dict(zip(reasons, shares["after"], strict=True))
record.check("the first loss is ln 2", math.isclose(log.losses[0], math.log(2), abs_tol=1e-3))
record.check("afterwards rude answers lose in over 80 % of the pairs", after["rude"] > 0.8)
record.check("answers off the topic lose in over 65 %", after["off_topic"] > 0.65)
at_first = dict(zip(reasons, shares["before"], strict=True))
for reason in ("rude", "off_topic"):
    record.check(
        f"{reason}: the better answer wins more often than before, by over 0.2", after[reason] > at_first[reason] + 0.2
    )
record.check("wrong facts are harder than both", after["wrong"] < min(after["rude"], after["off_topic"]) - 0.1)
record.check("there it stays near chance, within 0.2, for the passage is not shown", abs(after["wrong"] - 0.5) < 0.2)

# %% [markdown] name="preferences-lesson"
# DPO taught *manners*: what an answer looks like. It cannot teach a fact that the model does not see. Remember both
# results when someone says that a model was "aligned".

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# What the documents state about fine-tuning tasks, put to a test. Each cell computes the document's version and the
# correct one, and checks both.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("03_algorithms/05_finetuning_tasks")

# %% name="ledger-data"
set_seed(0)
sizes = {"vocab_size": 40, "d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 32, "max_positions": 16}
causal = NanoChat(NanoChatConfig(eos_token_id=1, initializer_std=0.3, **sizes), "language_model").eval()
with torch.no_grad():
    for matrix in (p for p in causal.parameters() if p.dim() > 1):
        matrix.add_(0.3 * torch.randn_like(matrix))  # a model with opinions, none of them good
who, where, passage = [5, 6], [7, 6], [10, 11, 12, 13, 14, 15]


def states(ids):
    """The states of a row (T, C)."""
    with torch.no_grad():
        return causal(torch.tensor([ids])).last_hidden_state[0]


# %% name="ledger-not-a-sequence" tags=["ledger"]
def document_version(ids):
    """001 §3.3.2: every task becomes sequence to sequence: for each place of the output a score for every word."""
    return causal(ids).logits


def correct_version(ids):
    """A class needs one vector of scores, as many as there are classes."""
    return Bert(BertConfig(**sizes, n_labels=3), "classification")(ids).logits


ids = torch.tensor([passage])
record.check("as a sequence: a score for each place and word", document_version(ids).shape == (1, 6, 40))
record.check("as a class: three numbers", correct_version(ids).shape == (1, 3))


# %% name="ledger-first-mark" tags=["ledger"]
def document_version(text):
    """004 §3.2.2: marks at both ends, then classify. From the mark at the beginning, as BERT does."""
    return states([2, *text, 3])[0]


def correct_version(text):
    """A causal model has read nothing there: it must classify from the mark at the end."""
    return states([2, *text, 3])[-1]


other = passage[::-1]
record.check(
    "at the first mark all texts look the same", torch.allclose(document_version(passage), document_version(other))
)
record.check(
    "at the last mark they do not", not torch.allclose(correct_version(passage), correct_version(other), atol=1e-2)
)


# %% name="ledger-question-first" tags=["ledger"]
def document_version(question):
    """004 §3.2.2: question and text are put together. With the text first, the states of its words."""
    return states([*passage, *question])[: len(passage)]


def correct_version(question):
    """With the question first, each word of the text is read with the question in mind."""
    return states([*question, *passage])[len(question) :]


record.check(
    "text first: a causal model cannot point, whatever is asked",
    torch.allclose(document_version(who), document_version(where)),
)
record.check(
    "question first: the states depend on it",
    not torch.allclose(correct_version(who), correct_version(where), atol=1e-2),
)


# %% name="ledger-generated-answer" tags=["ledger"]
def document_version(question):
    """004 §3.2.2: the model *generates* the answer."""
    return generate(causal, [[*question, *passage]], 3)[0].tokens


def correct_version(question):
    """It may also point: then the answer is a stretch of the text, however bad the model is."""
    scores = states([*question, *passage])[len(question) :, :2]
    first = int(scores[:, 0].argmax())
    return passage[first : first + 1 + int(scores[first:, 1].argmax())]


def in_text(answer):
    return any(passage[i : i + len(answer)] == answer for i in range(len(passage)))


record.check("what an untrained model generates does not stand in the text", not in_text(document_version(who)))
record.check("what it points at does", in_text(correct_version(who)) and len(correct_version(who)) > 0)

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/03_algorithms/05_finetuning_tasks.ipynb), about 65 minutes, three
# questions:
#
# 1. from two pointers to an answer, or to none;
# 2. the loss of DPO;
# 3. numbers, and a reading.
#
# To go on: 3.6 looks at training itself, 5.4 fine-tunes with a well-known library.
