"""What the loop asks of the processes that run it, as one alone answers; `parallel.Processes` answers for several."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lmlib.training.config import TrainingConfig

Batch = dict[str, Tensor]
Loss = Callable[[Any, Batch], Tensor]


class OneProcess:
    """This process is alone: it reads every row, holds every weight, and writes every file."""

    is_first = True  # whether this is the one that logs, shows progress and writes checkpoints
    row, n_rows = 0, 1  # which of how many slices of a batch it reads
    n_processes = 1

    def __init__(self, device: torch.device):
        self.device = device

    def check(self, config: TrainingConfig) -> None:
        """Raise ValueError when the config asks for what these processes cannot do together."""

    def divide(self, model: nn.Module) -> nn.Module:
        """Turn the model, in place, into what this process holds of it. Make the optimizers afterwards."""
        return model.to(self.device)

    def share(self, batches: Any) -> Any:
        """The batches with this process's rows alone."""
        return batches

    def objective(self, model: Any, loss: Loss) -> Callable[[Batch], Tensor]:
        """batch → loss, whose backward leaves the mean of the gradients over all rows' processes."""
        return lambda batch: loss(model, batch)

    def mean(self, value: float) -> float:
        """The mean of a number over the processes that read different rows."""
        return value

    def clip_gradients(self, model: nn.Module, limit: float | None) -> Tensor:
        """Scale all gradients down together when their norm is above the limit; the norm before that, ()."""
        norm = self.gradient_norm(model)
        if limit is not None:
            nn.utils.clip_grads_with_norm_(model.parameters(), limit, norm)
        return norm

    def gradient_norm(self, model: nn.Module) -> Tensor:
        """The norm of the whole gradient."""
        return nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])

    def model_state(self, model: nn.Module) -> dict[str, Tensor]:
        """The state dict of the whole model; every process must ask at the same time."""
        return model.state_dict()

    def load_model_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Take over the state of a whole model."""
        model.load_state_dict(state)

    def optimizer_state(self, optimizer: Optimizer, model: nn.Module) -> dict[str, Any]:
        """The state dict of the whole optimizer; every process must ask at the same time."""
        return optimizer.state_dict()

    def load_optimizer_state(self, optimizer: Optimizer, state: dict[str, Any], model: nn.Module) -> None:
        """Take over the state of a whole optimizer."""
        optimizer.load_state_dict(state)

    def of_rows(self, own: Any) -> list[Any]:
        """What the processes hold that read the different rows, of something that each has for itself."""
        return [own]

    def wait(self) -> None:
        """Go on when every process has come here."""
