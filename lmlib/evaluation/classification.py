"""Right or wrong: accuracy, the confusion matrix, precision, recall and F1."""

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Labels = Sequence[Hashable] | Tensor


@dataclass(frozen=True)
class Scores:
    """Of what was predicted, the share that is right; of what is there, the share that was found; and both in one."""

    precision: float
    recall: float
    f1: float

    @classmethod
    def from_counts(cls, hits: int, n_predicted: int, n_true: int) -> "Scores":
        """A share of nothing counts as 0."""
        f1 = 2 * hits / (n_predicted + n_true) if hits else 0.0
        return cls(hits / n_predicted if n_predicted else 0.0, hits / n_true if n_true else 0.0, f1)


def accuracy(predicted: Labels, true: Labels) -> float:
    """The share of predictions that are right."""
    pairs = paired(predicted, true)
    return sum(p == t for p, t in pairs) / len(pairs)


def confusion_matrix(predicted: Labels, true: Labels) -> tuple[list, Tensor]:
    """The sorted labels, and counts (labels, labels): row the true label, column the predicted one."""
    pairs = paired(predicted, true)
    labels = sorted({label for pair in pairs for label in pair})
    place = {label: i for i, label in enumerate(labels)}
    matrix = torch.zeros(len(labels), len(labels), dtype=torch.long)
    for p, t in pairs:
        matrix[place[t], place[p]] += 1
    return labels, matrix


def class_scores(predicted: Labels, true: Labels) -> dict:
    """Precision, recall and F1 of each label that occurs among the predictions or the truth."""
    pairs = paired(predicted, true)
    hits = Counter(t for p, t in pairs if p == t)
    return scores_by_kind(hits, Counter(p for p, _ in pairs), Counter(t for _, t in pairs))


def f1(predicted: Labels, true: Labels, average: str = "macro") -> float:
    """ "macro": the mean of the labels' F1, each label worth the same. "micro": all decisions in one count.

    With one label to each example the micro average is the accuracy.
    """
    check_average(average)
    if average == "micro":
        return accuracy(predicted, true)
    return macro_f1(class_scores(predicted, true).values())


def scores_by_kind(hits: Mapping, n_predicted: Mapping, n_true: Mapping) -> dict:
    """The scores of each kind that was predicted or is there, sorted, from three counts by kind."""
    kinds = sorted({*n_predicted, *n_true})
    return {k: Scores.from_counts(hits.get(k, 0), n_predicted.get(k, 0), n_true.get(k, 0)) for k in kinds}


def macro_f1(scores: Collection[Scores]) -> float:
    """The mean F1 over kinds; 0 if there are none."""
    return sum(of_kind.f1 for of_kind in scores) / len(scores) if scores else 0.0


def check_average(average: str) -> None:
    """Raise ValueError for an unknown way to average."""
    if average not in ("micro", "macro"):
        raise ValueError(f"there is no average {average!r}; there are: micro, macro")


def paired(predicted: Labels, true: Labels) -> list[tuple]:
    """(prediction, truth) of each example. Raises ValueError for unequal lengths, no example, or a second axis."""
    sides = [side.tolist() if isinstance(side, Tensor) else list(side) for side in (predicted, true)]
    if len(sides[0]) != len(sides[1]):
        raise ValueError(f"{len(sides[0])} predictions were given for {len(sides[1])} true labels")
    if not sides[0]:
        raise ValueError("there is no example to score")
    if any(isinstance(label, list) for side in sides for label in side):
        raise ValueError("one label for each example is needed; got lists of labels. Flatten them, or use span_scores")
    return list(zip(*sides, strict=True))
