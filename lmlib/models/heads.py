"""What stands on top of an encoder: labels and their names, the masked-token head, the losses.

Shapes: B batch, T length, C d_model, E embedding size, V vocabulary, N labels.
"""

from dataclasses import dataclass, field
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.layers import activation_named
from lmlib.models.base import IGNORED_LABEL, Config, check_labels


@dataclass
class LabelledConfig(Config):
    """A config that knows how many labels a classifier has, and what they are called."""

    n_labels: int = field(default=2, kw_only=True)
    label_names: list[str] | None = field(default=None, kw_only=True)

    @classmethod
    def from_peer(cls, values: dict[str, Any]) -> Self:
        config = super().from_peer(values)
        names = values.get("id2label") or {}
        config.n_labels = len(names) or values.get("num_labels", cls.n_labels)
        given = [names[i] for i in sorted(names, key=int)]
        config.label_names = None if given == [f"LABEL_{i}" for i in range(len(given))] else given
        return config

    def to_peer(self) -> dict[str, Any]:
        values = super().to_peer()
        n_labels, names = values.pop("n_labels"), values.pop("label_names")
        if names is None or len(names) != n_labels:
            names = [f"LABEL_{i}" for i in range(n_labels)]
        return values | {
            "id2label": {str(i): name for i, name in enumerate(names)},
            "label2id": {name: i for i, name in enumerate(names)},
        }


class MaskedHead(nn.Module):
    """Scores over the vocabulary: dense, activation, norm, then the word embedding as output matrix.

    (B, T, C) → (B, T, V); the width between is that of the embedding. Source: Devlin et al. 2019, section 3.1.
    """

    def __init__(self, d_model: int, activation: str, norm_eps: float, word: nn.Embedding):
        super().__init__()
        self.dense = nn.Linear(d_model, word.embedding_dim)
        self.activation = activation_named(activation)
        self.norm = nn.LayerNorm(word.embedding_dim, eps=norm_eps)
        self.bias = nn.Parameter(torch.zeros(word.num_embeddings))
        self.weight = word.weight  # tied

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.norm(self.activation(self.dense(x))), self.weight, self.bias)


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the labels that are not -100. logits (..., V); labels (...). Raises ValueError."""
    check_labels(labels, logits.shape[:-1], logits.size(-1))
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED_LABEL)


def next_token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy where position t of logits (B, T, V) predicts label t + 1 of (B, T). Raises ValueError."""
    check_labels(labels, logits.shape[:2], logits.size(-1))
    following = F.pad(labels[:, 1:], (0, 1), value=IGNORED_LABEL)  # moving the labels copies less than cutting logits
    return token_loss(logits, following)


def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss for one label a text, logits (B, N). Raises ValueError when the labels fit none of the three.

    Whole numbers (B,) are classes; floats (B, N) are several yes-or-no answers; with N = 1 labels (B,) are values.
    """
    if logits.size(-1) == 1:
        _check_shape(labels, logits.shape[:1])
        return F.mse_loss(logits[:, 0], labels.to(logits.dtype))
    if labels.is_floating_point():
        _check_shape(labels, logits.shape)
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    check_labels(labels, logits.shape[:1], logits.size(-1))
    return F.cross_entropy(logits, labels)


def span_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of the losses of the first and the last position of an answer. logits (B, T, 2); labels (B, 2).

    A position outside the text (the answer was cut off) is marked -100. Raises ValueError.
    """
    _check_shape(labels, (logits.size(0), 2))
    ends = [token_loss(logits[..., i], labels[:, i]) for i in (0, 1)]
    return (ends[0] + ends[1]) / 2


def _check_shape(labels: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(labels.shape) != tuple(shape):
        raise ValueError(f"labels must have the shape {tuple(shape)}; got {tuple(labels.shape)}")
