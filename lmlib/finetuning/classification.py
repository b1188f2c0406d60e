"""One class a text: a layer on the vector of the first token. Source: Devlin et al. 2019, section 4.1."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmlib.data.tasks.classification import LabelledText
from lmlib.evaluation.classification import accuracy, f1
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


@torch.inference_mode()
def probabilities(model: nn.Module, collator: Collator, texts: Sequence[str], batch_size: int = 64) -> Tensor:
    """The probability of each class for each text, (N, n_labels), in the order given."""
    if not texts:
        raise ValueError("there is no text to classify")
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    found = torch.empty(len(texts), len(collator.labels))
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # like lengths share a batch
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = collator.tokenizer([texts[i] for i in rows], collator.max_length)
        logits = model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits  # (B, n_labels)
        found[rows] = logits.float().softmax(-1).cpu()
    model.train(was_training)
    return found


def predict(model: nn.Module, collator: Collator, texts: Sequence[str], batch_size: int = 64) -> list[str]:
    """The most probable class of each text."""
    return [collator.labels[i] for i in probabilities(model, collator, texts, batch_size).argmax(-1).tolist()]


def evaluate(model: nn.Module, collator: Collator, examples: Sequence[LabelledText]) -> dict[str, float]:
    """Accuracy, and the mean of the classes' F1."""
    predicted = predict(model, collator, [example.text for example in examples])
    true = [example.label for example in examples]
    return {"accuracy": accuracy(predicted, true), "macro_f1": f1(predicted, true, average="macro")}
