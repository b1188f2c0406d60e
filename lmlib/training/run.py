"""A run in the making: what it consists of, kept in checkpoints and taken up again."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from lmlib.training.checkpoints import checkpoints, load_checkpoint, save_checkpoint
from lmlib.training.config import TrainingConfig
from lmlib.training.log import Log
from lmlib.training.one_process import OneProcess
from lmlib.training.random_state import load_random_state, random_state, set_seed

FREE = (
    "folder",
    "device",
    "recompute",
    "evaluate_every",
    "checkpoint_every",
    "keep_checkpoints",
)  # may differ when a run goes on


@dataclass
class Run:
    """Everything that changes as a run goes on. The schedule needs no state: it follows from the step."""

    model: nn.Module
    optimizers: list[Optimizer]
    batches: Iterable[Any]
    config: TrainingConfig
    processes: OneProcess
    log: Log = field(default_factory=Log)

    def __post_init__(self) -> None:
        if self.config.folder is not None and not hasattr(self.batches, "load_state_dict"):
            raise ValueError(
                f"a run that is kept in a folder needs batches with state_dict() and load_state_dict(), as "
                f"lmlib.data.batching.Loader has them; got {type(self.batches).__name__}"
            )

    def save(self) -> None:
        """Keep the run as it stands, with the random state. Raises CheckpointFileError."""
        if self.config.folder is None:
            return
        state = self.state_dict()
        if self.processes.is_first:
            save_checkpoint(self.config.folder, self.log.n_steps, state, self.config.keep_checkpoints)
        self.processes.wait()

    def restore(self) -> None:
        """Become the newest checkpoint of the folder, if there is one. Raises CheckpointFileError, ValueError."""
        kept = checkpoints(self.config.folder) if self.config.folder is not None else []
        if kept:
            self.load_state_dict(load_checkpoint(kept[-1]))

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and text in dictionaries and lists; all whole, whatever number of processes there is."""
        return {
            "config": _fixed(self.config),
            "model": self.processes.model_state(self.model),
            "optimizers": [self.processes.optimizer_state(optimizer, self.model) for optimizer in self.optimizers],
            "batches": self.batches.state_dict(),  # type: ignore[attr-defined]
            "log": self.log.state_dict(),
            "random": self.processes.of_rows(random_state()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the run that was kept. Raises ValueError when that was told something else."""
        own = _fixed(self.config)
        was = state["config"]
        other = [
            f"{name}={was[name]!r} (now {value!r})" for name, value in own.items() if was.get(name, value) != value
        ]
        if other:
            raise ValueError(
                f"{self.config.folder} holds a run with {', '.join(other)}; give that, or another folder to start anew"
            )
        self.processes.load_model_state(self.model, state["model"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            self.processes.load_optimizer_state(optimizer, kept, self.model)
        self.batches.load_state_dict(state["batches"])  # type: ignore[attr-defined]
        self.log.load_state_dict(state["log"])
        self._load_random(state["random"])

    def _load_random(self, states: list[dict[str, Any]]) -> None:
        """Draw on as before; where other rows are read now, in another number of processes, draw anew."""
        if len(states) == self.processes.n_rows:
            load_random_state(states[self.processes.row])
        else:
            set_seed(hash((self.config.seed, self.log.n_steps, self.processes.row)))


def _fixed(config: TrainingConfig) -> dict[str, Any]:
    """What a run that goes on must be told again as it was."""
    return {name: value for name, value in asdict(config).items() if name not in FREE}
