"""Training in several processes: who holds which part of the model and of the batch, and what they tell each other.

The processes form a table, data × tensor. Those of one row read the same rows of a batch and hold shards of the
matrices (tensor_parallel.py); those of one column read different rows and hold the same weights, whole ("ddp", which
adds the gradients) or, to save memory, each a share that is collected when a block needs it ("fsdp").
Sources: Shoeybi et al. 2019 (tensor); Li et al. 2020 (DDP); Zhao et al. 2023 (FSDP).
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.export import register_dataclass
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from lmlib.data.token_file import TokenLoader
from lmlib.models.base import Output
from lmlib.training import whole_state
from lmlib.training.config import TrainingConfig
from lmlib.training.one_process import Batch, Loss, OneProcess
from lmlib.training.tensor_parallel import cuts_of, divide_blocks
from lmlib.transformer import Block

MODES = ("ddp", "fsdp", "tensor", "fsdp+tensor")

# FSDP gathers weights again for backward when it knows the tensors of the output; torch 2.13 finds them itself.
register_dataclass(Output)


@dataclass(frozen=True)
class Parallelism:
    """How a run uses its processes. A size that is not given follows from the number of processes."""

    mode: str
    data: int | None = None  # processes that read different rows of a batch
    tensor: int | None = None  # processes that share the matrices of a block
    timeout_seconds: float = 600.0  # a process that says nothing for so long has failed, and the run ends

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"parallel mode must be one of {', '.join(MODES)}; got {self.mode!r}")
        if not self.timeout_seconds > 0:
            raise ValueError(f"timeout_seconds must be above 0; got {self.timeout_seconds}")
        for name in ("data", "tensor"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ValueError(f"{name}={size} must be a number of processes, at least 1")
            if size is not None and size > 1 and name not in self._axes():
                raise ValueError(f"mode {self.mode!r} has no {name} parallelism, but {name}={size} was given")

    def _axes(self) -> tuple[str, ...]:
        return {"tensor": ("tensor",), "fsdp+tensor": ("data", "tensor")}.get(self.mode, ("data",))

    def table(self, n_processes: int) -> tuple[int, int]:
        """(data, tensor) sizes whose product is n_processes. Raises ValueError where that cannot be."""
        data, tensor = (getattr(self, name) if name in self._axes() else 1 for name in ("data", "tensor"))
        if data is None and tensor is None:
            raise ValueError(f"mode {self.mode!r} needs tensor=, the number of processes that share a matrix")
        data = max(1, n_processes // tensor) if data is None else data
        tensor = max(1, n_processes // data) if tensor is None else tensor
        if data * tensor != n_processes:
            raise ValueError(
                f"data={data} × tensor={tensor} needs {data * tensor} processes, but {n_processes} were started; "
                f"start them with torchrun --nproc-per-node {data * tensor}, or change the sizes"
            )
        return data, tensor


def start(plan: Parallelism, device: torch.device) -> "Processes":
    """Join the processes that torchrun started. On GPUs each takes one, and they talk through NCCL; else gloo.

    Raises ValueError when the number of processes is not the plan's.
    """
    plan.table(int(os.environ["WORLD_SIZE"]))  # a wrong number is told before the processes wait for each other
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=plan.timeout_seconds))
    return Processes(plan, device)


class Processes(OneProcess):
    """The processes of this run, seen from one of them; `torch.distributed` must be initialised, as `start` does."""

    def __init__(self, plan: Parallelism, device: torch.device):
        super().__init__(device)
        self.mode = plan.mode
        table = torch.arange(dist.get_world_size()).view(plan.table(dist.get_world_size()))  # (data, tensor) of ranks
        wait = timedelta(seconds=plan.timeout_seconds)
        columns, _ = dist.new_subgroups_by_enumeration(table.T.tolist(), timeout=wait)
        rows, _ = dist.new_subgroups_by_enumeration(table.tolist(), timeout=wait)
        mesh = DeviceMesh.from_group([columns, rows], device.type, table, mesh_dim_names=("data", "tensor"))
        self.readers, self.shards = mesh["data"], mesh["tensor"]
        self.row, self.n_rows = self.readers.get_local_rank(), self.readers.size()
        self.is_first, self.n_processes = dist.get_rank() == 0, dist.get_world_size()

    def check(self, config: TrainingConfig) -> None:
        if self.mode == "ddp":
            return
        if config.optimizer == "muon":
            raise ValueError(f'Muon needs whole matrices, which no process holds in mode {self.mode!r}; use "adamw"')
        if config.compile:
            raise ValueError(f"compile=True is for one process and for mode 'ddp'; the mode is {self.mode!r}")

    def divide(self, model: nn.Module) -> nn.Module:
        """Turn the model, in place, into what this process holds of it; all start from the first one's weights.

        Make the optimizers afterwards. Under "fsdp" a loss must call the model itself, not a part of it, for that call
        is what collects the weights.
        """
        model.to(self.device)
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)
        if "tensor" in self.mode:
            divide_blocks(model, self.shards)
        if "fsdp" in self.mode:
            for block in [module for module in model.modules() if isinstance(module, Block)]:
                fully_shard(block, mesh=self.readers)
            fully_shard(model, mesh=self.readers, reshard_after_forward=True)
        return model

    def share(self, batches: Any) -> Iterable[Batch]:
        if isinstance(batches, TokenLoader):
            return batches.part(self.row, self.n_rows)
        return SharedBatches(batches, self.row, self.n_rows)

    def objective(self, model: Any, loss: Loss) -> Callable[[Batch], Tensor]:
        objective = Objective(model, loss)
        if self.mode != "ddp":
            return objective  # "fsdp" and "tensor" have put into the model what adds the gradients
        group = self.readers.get_group()
        return DistributedDataParallel(objective, process_group=group, find_unused_parameters=True)

    def mean(self, value: float) -> float:
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(total, group=self.readers.get_group())
        return float(total) / self.n_rows

    def gradient_norm(self, model: nn.Module) -> Tensor:
        """The norm of the whole gradient: every element of it counts once."""
        cuts = cuts_of(model)
        squares = torch.zeros(2, device=self.device)  # of what all shards hold alike, and of what is cut among them
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                own = parameter.grad.to_local() if isinstance(parameter.grad, DTensor) else parameter.grad
                squares[int(name in cuts)] += own.float().square().sum()
        if "fsdp" in self.mode:
            dist.all_reduce(squares, group=self.readers.get_group())
        dist.all_reduce(squares[1:], group=self.shards.get_group())
        return squares.sum().sqrt()

    def model_state(self, model: nn.Module) -> dict[str, Tensor]:
        return whole_state.model_state(model, self.shards)

    def load_model_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        whole_state.load_model_state(model, state, self.shards)

    def optimizer_state(self, optimizer: Optimizer, model: nn.Module) -> dict[str, Any]:
        return whole_state.optimizer_state(optimizer, model, self.shards)

    def load_optimizer_state(self, optimizer: Optimizer, state: dict[str, Any], model: nn.Module) -> None:
        whole_state.load_optimizer_state(optimizer, state, model, self.shards)

    def of_rows(self, own: Any) -> list[Any]:
        of_all: list[Any] = [None] * self.n_rows
        dist.all_gather_object(of_all, own, group=self.readers.get_group())
        return of_all

    def wait(self) -> None:
        dist.barrier()


class Objective(nn.Module):
    """A model with its loss, as one module: batch → scalar. What DDP wraps, so that a loss sees the model as it is."""

    def __init__(self, model: nn.Module, loss: Loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch) -> Tensor:
        return self.loss(self.model, batch)


class SharedBatches:
    """The rows of one process: the `rank`-th of n equal slices of every batch.

    Each process runs the same loader and keeps its rows, so padding and order are those of one process, and the
    loader's state, the same everywhere, serves any number of processes.
    """

    def __init__(self, batches: Any, rank: int, n: int):
        self.batches, self.rank, self.n = batches, rank, n

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            yield self._own_rows(batch)

    def _own_rows(self, batch: Batch) -> Batch:
        sizes = {name: tensor.size(0) if tensor.dim() else 0 for name, tensor in batch.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"to share a batch, each of its tensors must have one row a text; got sizes {sizes}")
        size = next(iter(sizes.values()))
        if size % self.n:
            raise ValueError(f"a batch of {size} rows cannot be shared evenly among {self.n} processes")
        return {name: tensor.chunk(self.n)[self.rank] for name, tensor in batch.items()}

    def state_dict(self) -> dict[str, Any]:
        """The loader's state."""
        return self.batches.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where that loader stood."""
        self.batches.load_state_dict(state)
