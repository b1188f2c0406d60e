"""What a training run is told."""

from dataclasses import dataclass
from pathlib import Path

import torch

from lmlib.training.schedules import SCHEDULES

PRECISIONS = ("float32", "bfloat16")
OPTIMIZERS = ("adamw", "muon")


@dataclass(frozen=True)
class TrainingConfig:
    """The run: how long, how fast, how exact, where it is kept.

    One step is one change of the weights. Weights are float32 always; `precision` "bfloat16" multiplies matrices in
    that type. With `folder` the run is kept there and goes on from its newest checkpoint.
    """

    steps: int
    learning_rate: float = 3e-4  # the highest of the schedule; with "muon" that of what is no hidden matrix
    optimizer: str = "adamw"
    muon_learning_rate: float = 0.02
    betas: tuple[float, float] = (0.9, 0.95)  # AdamW's; 0.999 remembers longer than a short run lasts
    weight_decay: float = 0.1
    schedule: str = "cosine"
    warmup_steps: int = 0
    final_rate: float = 0.0  # where the schedule ends, as a share of the learning rate
    clip: float | None = 1.0  # the largest norm of all gradients together
    accumulation: int = 1  # batches whose gradients are added up before a step
    precision: str = "float32"
    compile: bool = False
    recompute: bool = False  # activation checkpointing: keep only each block's input, and compute the rest again
    fast: bool = False  # on a CPU, see lmlib.fast: faster, the same up to round-off
    device: str = "auto"
    seed: int = 0  # of what the model draws while it is trained: dropout
    evaluate_every: int | None = None  # steps; the end is always evaluated
    folder: str | Path | None = None
    checkpoint_every: int | None = None  # steps; the end is always kept
    keep_checkpoints: int = 2

    def __post_init__(self) -> None:
        for name, known in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS), ("schedule", tuple(SCHEDULES))):
            if getattr(self, name) not in known:
                raise ValueError(f"there is no {name} {getattr(self, name)!r}; there are: {', '.join(known)}")
        for name in ("steps", "accumulation", "evaluate_every", "checkpoint_every", "keep_checkpoints"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}")
        for name in ("learning_rate", "muon_learning_rate", "clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0; got {value}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative; got {self.weight_decay}")
        if not 0 <= self.final_rate <= 1:
            raise ValueError(f"final_rate is a share of the learning rate, 0..1; got {self.final_rate}")
        if not 0 <= self.warmup_steps <= self.steps:
            raise ValueError(f"warmup_steps must lie in 0..{self.steps}, the steps of the run; got {self.warmup_steps}")
        if self.checkpoint_every and self.folder is None:
            raise ValueError("checkpoint_every needs a folder to keep them in; give folder=")

    def torch_device(self) -> torch.device:
        """The device to train on: with "auto" a GPU where there is one. Raises ValueError when it is not there."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        device = torch.device(self.device)
        n_gpus = torch.cuda.device_count()
        if device.type == "cuda" and (device.index or 0) >= n_gpus:
            raise ValueError(f"the device {self.device!r} is not there; torch can use {n_gpus} GPUs here")
        return device
