"""One class a text: a layer on the vector of the first token. Source: Devlin et al. 2019, section 4.1."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from lmlib.data.tasks.classification import LabelledText
from lmlib.evaluation.classification import accuracy, f1
from lmlib.finetuning.prediction import logits_of
from lmlib.text.wordpiece import WordPiece


@dataclass(frozen=True)
class Collator:
    """Texts and their classes → a batch: input_ids and attention_mask (B, T), labels (B,).

    `labels` are the classes in the order of their numbers. Longer texts are cut at `max_length` tokens.
    """

    tokenizer: WordPiece
    labels: tuple[str, ...]
    max_length: int = 128

    def __call__(self, examples: Sequence[LabelledText]) -> dict[str, Tensor]:
        batch = self.tokenizer([example.text for example in examples], self.max_length)
        return batch | {"labels": torch.tensor([self.number(example.label) for example in examples])}

    def number(self, label: str) -> int:
        """The number of a class. Raises ValueError for one that is not among them."""
        if label not in self.labels:
            raise ValueError(f"there is no class {label!r}; there are: {', '.join(self.labels)}")
        return self.labels.index(label)


def classes(examples: Sequence[LabelledText]) -> tuple[str, ...]:
    """The classes that occur, sorted."""
    return tuple(sorted({example.label for example in examples}))


def probabilities(model: nn.Module, collator: Collator, texts: Sequence[str], batch_size: int = 64) -> Tensor:
    """The probability of each class for each text, (N, n_labels), in the order given."""
    if not texts:
        raise ValueError("there is no text to classify")
    tokenize = partial(collator.tokenizer, max_length=collator.max_length)
    return torch.stack(logits_of(model, texts, tokenize, len, batch_size)).softmax(-1)


def predict(model: nn.Module, collator: Collator, texts: Sequence[str], batch_size: int = 64) -> list[str]:
    """The most probable class of each text."""
    return [collator.labels[i] for i in probabilities(model, collator, texts, batch_size).argmax(-1).tolist()]


def evaluate(model: nn.Module, collator: Collator, examples: Sequence[LabelledText]) -> dict[str, float]:
    """Accuracy, and the mean of the classes' F1."""
    predicted = predict(model, collator, [example.text for example in examples])
    true = [example.label for example in examples]
    return {"accuracy": accuracy(predicted, true), "macro_f1": f1(predicted, true, average="macro")}
