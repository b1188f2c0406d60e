"""Verbalisers: from a label to the words that say it, and from the words' scores back to the label's.

Source: Schick and Schütze 2021, section 3.1. Shapes: N examples, W words, K labels.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Verbaliser:
    """The words of each label, one or several, each of any number of tokens. Raises ValueError when built.

    A label is as likely as its words together; the first of them is what a demonstration shows.
    """

    of: Mapping[Hashable, str | Sequence[str]]
    labels: tuple[Hashable, ...] = field(init=False)
    words: tuple[str, ...] = field(init=False)  # of all labels, one after the other
    label_of: tuple[int, ...] = field(init=False)  # the number of each word's label

    def __post_init__(self) -> None:
        groups = [(words,) if isinstance(words, str) else tuple(words) for words in self.of.values()]
        words = [word for group in groups for word in group]
        if len(groups) < 2 or not all(groups) or not all(words):
            raise ValueError(f"a verbaliser needs two labels or more, and a word for each; got {dict(self.of)}")
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise ValueError(
                f"a word can say one thing only; {', '.join(twice)} stands more than once in {dict(self.of)}"
            )
        object.__setattr__(self, "labels", tuple(self.of))
        object.__setattr__(self, "words", tuple(words))
        object.__setattr__(self, "label_of", tuple(k for k, group in enumerate(groups) for _ in group))

    def word(self, label: Hashable) -> str:
        """The first word of a label."""
        if label not in self.of:
            raise ValueError(f"the verbaliser has no label {label!r}; it has {', '.join(map(repr, self.labels))}")
        return self.words[self.label_of.index(self.labels.index(label))]

    def label_scores(self, word_scores: Tensor) -> Tensor:
        """ln P of words, (N, W) → of labels, (N, K): the sum of the probabilities of a label's words."""
        if word_scores.dim() != 2 or word_scores.size(1) != len(self.words):
            raise ValueError(f"scores must be (N, {len(self.words)}), one a word; got {tuple(word_scores.shape)}")
        own = torch.tensor(self.label_of, device=word_scores.device)
        return torch.stack([word_scores[:, own == k].logsumexp(1) for k in range(len(self.labels))], dim=1)

    def predictions(self, scores: Tensor) -> list[Hashable]:
        """The label with the highest score in each row of (N, K)."""
        return [self.labels[k] for k in scores.argmax(1).tolist()]
