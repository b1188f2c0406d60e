"""A small causal model and how it is trained: quickly, in a minute or two of one core."""

from collections.abc import Iterable

import torch
from torch import Tensor

from lmlib.models.nanochat import NanoChat, NanoChatConfig
from lmlib.training import TrainingConfig, set_seed, train


def language_batch(rows: list[Tensor]) -> dict[str, Tensor]:
    """Rows of one length, each token to be predicted from those before it."""
    ids = torch.stack(rows)
    return {"input_ids": ids, "labels": ids}


def small_model(vocab_size: int, width: int, layers: int, max_positions: int, seed: int) -> NanoChat:
    """A NanoChat with weights drawn from the seed."""
    set_seed(seed)
    sizes = {"d_model": width, "n_layers": layers, "n_heads": 4, "d_ff": 4 * width, "max_positions": max_positions}
    return NanoChat(NanoChatConfig(vocab_size=vocab_size, eos_token_id=None, **sizes), "language_model")


def taught(model: NanoChat, batches: Iterable[dict[str, Tensor]], steps: int, seed: int) -> NanoChat:
    """The model after so many steps with Muon."""
    config = TrainingConfig(steps, 4e-3, "muon", warmup_steps=steps // 20, device="cpu", seed=seed)
    train(model, batches, config)
    return model
