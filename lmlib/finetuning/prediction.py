"""What a fine-tuned model says about many examples: in batches of like length, and in the order given."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Example = TypeVar("Example")


@torch.inference_mode()
def logits_of(
    model: nn.Module,
    examples: Sequence[Example],
    collate: Callable[[list[Example]], dict[str, Tensor]],
    length: Callable[[Example], int],
    batch_size: int,
) -> list[Tensor]:
    """The logits of each example in float32 on the CPU; where they have a length, padding included.

    The model predicts in evaluation mode and is left in the mode it was in.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    found: dict[int, Tensor] = {}
    order = sorted(range(len(examples)), key=lambda i: length(examples[i]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = collate([examples[i] for i in rows])
        logits = model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits  # (B, ...)
        found |= dict(zip(rows, logits.float().cpu(), strict=True))
    model.train(was_training)
    return [found[i] for i in range(len(examples))]
