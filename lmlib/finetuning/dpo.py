"""DPO: learn from pairs of a better and a worse answer, without a reward model.

The reward of an answer is beta · (ln P of the tuned model - ln P of the reference model), and the loss is that of
guessing from the difference of two rewards which answer was chosen. The reference is a frozen model, or, with LoRA, the
model itself with its adapters off.
Shapes: P pairs, T length, V vocabulary; in a batch of 2P rows each chosen answer has its rejected one behind it,
so that any share of the pairs is a share of the rows, as several processes cut a batch.
Source: Rafailov et al. 2023, equation 7.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.decoding.session import is_encoder_decoder
from lmlib.finetuning.lora import without_adapters
from lmlib.models.base import IGNORED_LABEL, check_labels

Batch = dict[str, Tensor]


def preference_collator(collate: Callable[[list[Any]], Batch]) -> Callable[[list[tuple[Any, Any]]], Batch]:
    """A collator for pairs (chosen, rejected), from one for examples: rows 0, 2, 4... chosen, 1, 3, 5... rejected."""

    def both(pairs: list[tuple[Any, Any]]) -> Batch:
        return collate([answer for pair in pairs for answer in pair])

    return both


def answer_log_probabilities(model: nn.Module, batch: Batch) -> Tensor:
    """ln P of each row's answer given its prompt: (B,), the sum over the tokens whose label is not -100."""
    labels = batch["labels"]
    logits = model(**_inputs(model, batch)).logits  # (B, T, V)
    check_labels(labels, logits.shape[:2], logits.size(-1))
    if not is_encoder_decoder(model):  # position t predicts label t + 1
        logits, labels = logits[:, :-1], labels[:, 1:]
    log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    counted = labels != IGNORED_LABEL
    of_token = log_p.gather(-1, labels.masked_fill(~counted, 0)[..., None]).squeeze(-1)  # (B, T)
    return (of_token * counted).sum(-1)


def _inputs(model: Any, batch: Batch) -> Batch:
    """What the model reads: no labels, whose loss is not needed; an encoder-decoder reads them moved by one place."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    if is_encoder_decoder(model) and "decoder_input_ids" not in inputs:
        inputs["decoder_input_ids"] = model.shift_right(batch["labels"])
    return inputs


def dpo_loss(tuned: Tensor, reference: Tensor, beta: float) -> Tensor:
    """-ln sigmoid(beta · margin), averaged over pairs; ln P of answers (2P,) under the tuned and reference model."""
    return -F.logsigmoid(beta * margins(tuned - reference)).mean()


def margins(values: Tensor) -> Tensor:
    """(2P,) values, a chosen, then its rejected answer → (P,) differences. Raises ValueError for an odd number."""
    if values.dim() != 1 or len(values) % 2 or not len(values):
        raise ValueError(
            "a batch of preferences has an even number of rows, of each pair the chosen one first; "
            f"got {tuple(values.shape)}"
        )
    return values[0::2] - values[1::2]


class PreferenceLoss:
    """The loss of a batch of preferences, as `training.train(..., loss=)` calls it.

    It is a mean over pairs, and `count` says so to the loop. Without `reference` the model must have LoRA adapters, and
    is its own reference with them off. A low `beta` lets the model go far from the reference.
    """

    def __init__(self, beta: float = 0.1, reference: nn.Module | None = None):
        if not beta > 0:
            raise ValueError(f"beta must be above 0; got {beta}")
        self.beta, self.reference = beta, reference
        if reference is not None:
            reference.eval().requires_grad_(False)

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        if self.reference is model:
            raise ValueError(
                "the reference is the model that is tuned, so the loss could not change: give a copy of it"
            )
        return dpo_loss(
            answer_log_probabilities(model, batch), self.reference_log_probabilities(model, batch), self.beta
        )

    @staticmethod
    def count(model: Any, batch: Batch) -> int:
        """Over how many pairs the loss is a mean."""
        return len(batch["labels"]) // 2

    @torch.no_grad()
    def reference_log_probabilities(self, model: nn.Module, batch: Batch) -> Tensor:
        """ln P of the answers (2P,) under the reference, without dropout."""
        if self.reference is not None:
            return answer_log_probabilities(self.reference.to(batch["labels"].device), batch)
        with without_adapters(model), _evaluating(model):
            return answer_log_probabilities(model, batch)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@torch.no_grad()
def share_preferred(model: nn.Module, batches: Sequence[Batch]) -> float:
    """The share of pairs whose chosen answer has the higher ln P; half a point where both have the same."""
    if not batches:
        raise ValueError("there is no batch of preferences to count in")
    device = next(model.parameters()).device
    moved = ({name: tensor.to(device) for name, tensor in batch.items()} for batch in batches)
    with _evaluating(model):
        found = torch.cat([margins(answer_log_probabilities(model, batch)) for batch in moved])
    return float(((found > 0).float() + 0.5 * (found == 0)).mean())
