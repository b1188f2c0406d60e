"""Tiny Shakespeare by characters: what each ingredient of training is worth, one added after the other.

The setting is nanoGPT's for a CPU: 4 layers, 4 heads, 128 wide, context 64, batch 12, 2,000 steps, no dropout, the
first 90 % of the text to train on. The loss is the mean over the whole rest, in windows of 64 that do not overlap.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib import data
from lmlib.data.batching import Loader, Windows
from lmlib.models.causal import CausalModel
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from lmlib.models.nanochat import NanoChat, NanoChatConfig
from lmlib.positions import rotary_angles
from lmlib.training import TrainingConfig, set_seed, train
from lmlib.transformer import Shape

CONTEXT, BATCH, STEPS = 64, 12, 2000
SIZES: dict[str, Any] = {"d_model": 128, "n_layers": 4, "n_heads": 4, "max_positions": CONTEXT, "eos_token_id": None}
NO_DROPOUT: dict[str, Any] = {"dropout": 0.0, "residual_dropout": 0.0, "attention_dropout": 0.0}


class RotaryGpt2(Gpt2):
    """GPT-2 whose positions turn queries and keys; nothing is added to the embedding."""

    LEARNED_POSITIONS = False

    def rotary(self, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = rotary_angles(position_ids, self.config.d_model // self.config.n_heads)
        return cos[:, None], sin[:, None]


@dataclass
class NormalisedConfig(Gpt2Config):
    """GPT-2 that normalises queries and keys, and squares a ReLU."""

    def shape(self) -> Shape:
        return replace(super().shape(), head_norm=True, activation="relu2")


@dataclass(frozen=True)
class Rung:
    """A row of the table: what is new in it, how its model is made, how it is trained."""

    new: str
    model: Callable[[int], CausalModel]  # from the size of the vocabulary
    config: TrainingConfig


def ladder(steps: int = STEPS) -> list[Rung]:
    """All rows; each has all that those before it have."""
    base = TrainingConfig(
        steps=steps, learning_rate=1e-3, final_rate=0.1, warmup_steps=steps // 20, betas=(0.9, 0.99), device="cpu"
    )
    fast = replace(base, learning_rate=4e-3)
    muon = replace(fast, optimizer="muon", final_rate=0.0)
    return [
        Rung("nanoGPT's recipe: GPT-2, AdamW 1e-3", gpt2, base),
        Rung("learning rate 4e-3", gpt2, fast),
        Rung("rotary positions", rotary, fast),
        Rung("normalised queries and keys, squared ReLU", normalised, fast),
        Rung("Muon for the matrices", normalised, muon),
        Rung("NanoChat", nanochat, muon),
    ]


def gpt2(vocab_size: int) -> CausalModel:
    return Gpt2(Gpt2Config(vocab_size=vocab_size, **SIZES, **NO_DROPOUT), "language_model")


def rotary(vocab_size: int) -> CausalModel:
    return RotaryGpt2(Gpt2Config(vocab_size=vocab_size, **SIZES, **NO_DROPOUT), "language_model")


def normalised(vocab_size: int) -> CausalModel:
    return RotaryGpt2(NormalisedConfig(vocab_size=vocab_size, **SIZES, **NO_DROPOUT), "language_model")


def nanochat(vocab_size: int) -> CausalModel:
    return NanoChat(NanoChatConfig(vocab_size=vocab_size, d_ff=4 * SIZES["d_model"], **SIZES), "language_model")


def corpus() -> tuple[Tensor, Tensor, int]:
    """Ids of the characters to train on and of those to test on, and how many different ones there are."""
    text = data.load("tiny_shakespeare").text()
    characters = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([characters[character] for character in text])
    cut = int(0.9 * len(ids))
    return ids[:cut], ids[cut:], len(characters)


def next_character_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The mean loss of all characters of windows (B, T + 1) but the first: T inputs, T predictions."""
    ids = batch["input_ids"]
    return F.cross_entropy(model(input_ids=ids[:, :-1]).logits.flatten(0, 1), ids[:, 1:].flatten())


@torch.no_grad()
def validation_loss(model: nn.Module, ids: Tensor) -> float:
    """The mean loss over the whole text in windows that do not overlap; what fills no window is left out."""
    n = (len(ids) - 1) // CONTEXT
    inputs, targets = ids[: n * CONTEXT].view(n, CONTEXT), ids[1 : n * CONTEXT + 1].view(n, CONTEXT)
    losses = [
        F.cross_entropy(model(input_ids=x).logits.flatten(0, 1), y.flatten(), reduction="sum")
        for x, y in zip(inputs.split(128), targets.split(128), strict=True)
    ]
    return float(torch.stack(losses).sum()) / (n * CONTEXT)


def trained_loss(rung: Rung, seed: int, texts: tuple[Tensor, Tensor, int]) -> float:
    """Train the row's model from this seed; its loss on the rest of the text."""
    train_ids, test_ids, vocab_size = texts
    set_seed(seed)
    model = rung.model(vocab_size)
    batches = Loader(Windows(train_ids, CONTEXT + 1), BATCH, lambda rows: {"input_ids": torch.stack(rows)}, seed=seed)
    train(model, batches, replace(rung.config, seed=seed), loss=next_character_loss)
    return validation_loss(model, test_ids)


def run(arguments: Sequence[str]) -> None:
    """Print the ladder as a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.learning shakespeare", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rungs", type=int, nargs="+", help="only these rows, counted from 1")
    given = parser.parse_args(arguments)
    texts = corpus()
    print("| what is new | " + " | ".join(f"seed {seed}" for seed in given.seeds) + " | median |")
    print("| --- |" + " --- |" * (len(given.seeds) + 1))
    for i, rung in enumerate(ladder(given.steps), 1):
        if given.rungs and i not in given.rungs:
            continue
        losses = [trained_loss(rung, seed, texts) for seed in given.seeds]
        cells = " | ".join(f"{loss:.3f}" for loss in [*losses, median(losses)])
        print(f"| {rung.new} | {cells} |", flush=True)
