"""The same backbone after each pre-training objective: what its states know, and how well it is fine-tuned.

`python -m tests.learning objectives [--seeds 0 1 2] [--steps N] [--kept FILE.jsonl] [--figure FILE.png]`

2 layers, 64 wide, 4 heads, normalised after each sublayer, learned positions; one vocabulary, and as many documents of
the small world with the same learning rate for each. Only permutation needs blocks of its own (relative positions).
Then, with texts that training has not seen:
- tags, frozen: F1 of spans of people, places and things, by logistic regression on the frozen state of each word;
- tags, tuned: the same, with all weights trained on the same sentences;
- review, frozen and tuned: accuracy of good or bad, from the mean state; half of the reviews are good;
- summary found: how often the mean state of a summary is nearest to that of its document, out of 200 documents.
The last row has no objective: random weights, frozen, or trained on the task alone from scratch.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from lmlib import plots
from lmlib.data.batching import Loader
from lmlib.data.world import make
from lmlib.evaluation.classification import accuracy
from lmlib.evaluation.tagging import span_f1
from lmlib.models.base import IGNORED_LABEL
from lmlib.models.heads import token_loss
from lmlib.training import TrainingConfig, train
from tests.learning._backbones import (
    BATCH,
    LENGTH,
    NOTHING,
    OBJECTIVES,
    WIDTH,
    WORD,
    Corpus,
    MeanState,
    Setup,
    pretrain,
)

STEPS, TUNING_STEPS = 1500, 60
CORPUS = 1_500_000  # characters
TUNING_RATE = 1e-3
N_TRAIN, N_TEST, N_SUMMARIES = 300, 300, 200
COLUMNS = ("tags, frozen", "tags, tuned", "review, frozen", "review, tuned", "summary found")
TAGS = ["O", *(f"{part}-{kind}" for kind in ("PER", "LOC", "THING") for part in "BI")]
Labelled = tuple[list[int], int | list[int]]  # ids, and a label for the text or one for each word


@dataclass(frozen=True)
class Tasks:
    """Examples to learn a task from, and others to test it on, as ids without special tokens."""

    tags: tuple[list[Labelled], list[Labelled]]
    reviews: tuple[list[Labelled], list[Labelled]]
    summaries: list[list[int]]
    documents: list[list[int]]

    @classmethod
    def read(cls, corpus: Corpus) -> "Tasks":
        world = make(0)
        sizes = (("train", N_TRAIN), ("test", N_TEST))

        def whole(text: Any) -> list[int]:
            return corpus.encode([word for one in text.sentences for word in one.words])

        def tags(split: str, n: int) -> list[Labelled]:
            some = world.tagged(n, split)
            return [(corpus.encode(one.words), [TAGS.index(tag) for tag in one.tags][: LENGTH - 2]) for one in some]

        def reviews(split: str, n: int) -> list[Labelled]:
            return [(whole(one.text), one.label) for one in world.reviews(n, split)]

        found = world.summaries(N_SUMMARIES, "test")
        return cls(
            (tags(*sizes[0]), tags(*sizes[1])),
            (reviews(*sizes[0]), reviews(*sizes[1])),
            [corpus.encode(WORD.findall(one.summary)) for one in found],
            [whole(one.document) for one in found],
        )


class Labeller(nn.Module):
    """A linear layer on the backbone's states of words (B, T, C), or on their mean (B, C)."""

    def __init__(self, setup: Setup, n_labels: int, of_words: bool):
        super().__init__()
        self.backbone = setup.model
        self.features = setup.states if of_words else MeanState(setup.model, setup.states)
        self.output = nn.Linear(WIDTH, n_labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.output(self.features(input_ids, attention_mask))


def labelled_batch(setup: Setup, corpus: Corpus, examples: Sequence[Labelled]) -> dict[str, Tensor]:
    """Texts with a label each (B,), or one for each word (B, T); special tokens and padding have none."""
    ids, mask = corpus.tokens.batch([setup.framed(text) for text, _ in examples])
    labels = torch.full_like(ids, IGNORED_LABEL)
    for row, (text, label) in enumerate(examples):
        labels[row, int(setup.starts) : int(setup.starts) + len(text)] = torch.tensor(label)
    if isinstance(examples[0][1], int):
        labels = labels[:, int(setup.starts)]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def label_loss(model: Labeller, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of the labels that there are."""
    return token_loss(model(batch["input_ids"], batch["attention_mask"]), batch["labels"])


@torch.no_grad()
def frozen_predictions(model: Labeller, batches: list[dict[str, Tensor]]) -> list[int]:
    """Labels of the second batch by logistic regression on the states of the frozen backbone, learned on the first."""
    sides = []
    model.eval()
    for batch in batches:
        real = batch["labels"] != IGNORED_LABEL
        features = model.features(batch["input_ids"], batch["attention_mask"])[real]
        sides.append((features.numpy(), batch["labels"][real].numpy()))
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    return classifier.fit(*sides[0]).predict(sides[1][0]).tolist()


def tuned_predictions(model: Labeller, loader: Loader, test: dict[str, Tensor], seed: int) -> list[int]:
    """Labels of the test batch after training all weights."""
    config = TrainingConfig(TUNING_STEPS, TUNING_RATE, warmup_steps=TUNING_STEPS // 10, seed=seed, device="cpu")
    train(model, loader, config, loss=label_loss)
    with torch.no_grad():
        predicted = model(test["input_ids"], test["attention_mask"]).argmax(-1)
    return predicted[test["labels"] != IGNORED_LABEL].tolist()


def both_predictions(
    setup: Setup, corpus: Corpus, task: tuple[list[Labelled], list[Labelled]], n_labels: int, seed: int
) -> list[list[int]]:
    """The labels of the test examples: with the backbone frozen, and tuned. The backbone is left as it was."""
    before = {name: tensor.clone() for name, tensor in setup.model.state_dict().items()}
    torch.manual_seed(seed)
    model = Labeller(setup, n_labels, of_words=isinstance(task[0][0][1], list))
    batches = [labelled_batch(setup, corpus, side) for side in task]
    frozen = frozen_predictions(model, batches)
    loader = Loader(task[0], BATCH, lambda some: labelled_batch(setup, corpus, some), seed)
    tuned = tuned_predictions(model, loader, batches[1], seed)
    setup.model.load_state_dict(before)
    return [frozen, tuned]


def tag_f1(predicted: list[int], examples: list[Labelled]) -> float:
    """Span F1 of predictions that follow one another, sentence by sentence."""
    guesses = iter(predicted)
    true = [[TAGS[i] for i in labels] for _, labels in examples if isinstance(labels, list)]
    return span_f1([[TAGS[next(guesses)] for _ in tags] for tags in true], true)


@torch.no_grad()
def summaries_found(setup: Setup, corpus: Corpus, tasks: Tasks) -> float:
    """The share of summaries whose own document is the nearest of all, by the cosine of centred mean states."""
    mean = MeanState(setup.model, setup.states).eval()
    sides = (corpus.tokens.batch([setup.framed(text) for text in some]) for some in (tasks.summaries, tasks.documents))
    summaries, documents = (F.normalize(v - v.mean(0), dim=-1) for v in (mean(*side) for side in sides))
    nearest = (summaries @ documents.T).argmax(1)
    return accuracy(nearest, torch.arange(len(nearest)))


def measure(name: str, corpus: Corpus, tasks: Tasks, seed: int, steps: int) -> dict[str, float]:
    """Pre-train with one objective, and score the backbone on every task."""
    setup, losses = pretrain(name, corpus, seed, steps)
    tags = [tag_f1(p, tasks.tags[1]) for p in both_predictions(setup, corpus, tasks.tags, len(TAGS), seed)]
    labels = [label for _, label in tasks.reviews[1]]
    reviews = [accuracy(p, labels) for p in both_predictions(setup, corpus, tasks.reviews, 2, seed)]
    scores = dict(zip(COLUMNS, [*tags, *reviews, summaries_found(setup, corpus, tasks)], strict=True))
    ends = {"first loss": losses[0], "last loss": float(np.mean(losses[-20:]))} if losses else {}
    return scores | ends | {"weights": setup.n_trunk}


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: mean of the seeds, and in brackets the lowest and the highest."""
    lines = [f"| objective | {' | '.join(COLUMNS)} |", "| --- |" + " --- |" * len(COLUMNS)]
    for name, seeds in results.items():
        values = [[scores[column] for scores in seeds] for column in COLUMNS]
        cells = [f"{np.mean(v):.2f} ({min(v):.2f}–{max(v):.2f})" for v in values]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results: dict[str, list[dict[str, float]]], path: Path) -> None:
    """The figure: a panel for each task, a row for each objective."""
    panels = {"Tags: span F1": COLUMNS[:2], "Reviews: accuracy": COLUMNS[2:4], "Summaries found": COLUMNS[4:]}
    fig, axes = plots.figure(*panels, width=9.5, height=3.6)
    for ax, columns in zip(axes, panels.values(), strict=True):
        series = {c.partition(", ")[2] or c: [[s[c] for s in seeds] for seeds in results.values()] for c in columns}
        plots.ranges(ax, list(results), series, x_label="score, 0 to 1", row_names=ax is axes[0])
    path.write_bytes(plots.as_png(fig))


def run(arguments: list[str]) -> None:
    """Measure every objective with every seed, and print the table. What is in the file `--kept` is not done again."""
    parser = argparse.ArgumentParser(prog="python -m tests.learning objectives")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--kept", type=Path, help="results so far, a line each; new ones are added")
    parser.add_argument("--figure", type=Path, help="where to draw the figure")
    given = parser.parse_args(arguments)
    kept = (
        [json.loads(line) for line in given.kept.read_text().splitlines()] if given.kept and given.kept.exists() else []
    )
    results: dict[str, list[dict[str, float]]] = {name: [] for name in (*OBJECTIVES, NOTHING)}
    corpus = Corpus.read(CORPUS)
    tasks = Tasks.read(corpus)
    for seed in given.seeds:
        for name in results:
            key = {"objective": name, "seed": seed, "steps": given.steps}
            scores = next((one["scores"] for one in kept if key.items() <= one.items()), None)
            if scores is None:
                scores = measure(name, corpus, tasks, seed, given.steps)
                print(json.dumps(key | {"scores": scores}), flush=True)
                if given.kept:
                    with given.kept.open("a") as file:
                        file.write(json.dumps(key | {"scores": scores}) + "\n")
            results[name].append(scores)
    print(table(results))
    if given.figure:
        draw(results, given.figure)
