"""Training in several processes: who holds which part of the model and of the batch, and what they tell each other.

The processes form a table, data × tensor. Those of one row read the same rows of a batch and hold shards of the
matrices (tensor_parallel.py); those of one column read different rows and hold the same weights, whole ("ddp", which
adds the gradients) or, to save memory, each a share that is collected when a block needs it ("fsdp").
Sources: Shoeybi et al. 2019 (tensor); Li et al. 2020 (DDP); Zhao et al. 2023 (FSDP).
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from lmlib.training.tensor_parallel import cuts_of, divide_blocks
from lmlib.transformer import Block

MODES = ("ddp", "fsdp", "tensor", "fsdp+tensor")
Batch = dict[str, Tensor]
Loss = Callable[[Any, Batch], Tensor]


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


def start(plan: Parallelism) -> "Processes":
    """Join the processes that torchrun started: NCCL and one GPU each where there are GPUs, else gloo on the CPU."""
    if "WORLD_SIZE" not in os.environ:
        raise RuntimeError(
            "several processes are started by torchrun: torchrun --nproc-per-node 2 -m lmlib.training ..."
        )
    plan.table(int(os.environ["WORLD_SIZE"]))  # a wrong number is told before the processes wait for each other
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(backend, timeout=timedelta(seconds=plan.timeout_seconds))
    return Processes(plan)


class Processes:
    """The processes of this run, seen from one of them; `start` makes it, or whoever initialised torch.distributed."""

    def __init__(self, plan: Parallelism):
        self.mode = plan.mode
        on_gpu = dist.get_backend() == "nccl"
        self.device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
        table = plan.table(dist.get_world_size())
        self.mesh = init_device_mesh(self.device.type, table, mesh_dim_names=("data", "tensor"))
        self.rows, self.shards = self.mesh["data"], self.mesh["tensor"]

    @property
    def is_first(self) -> bool:
        """Whether this is the one process that logs, shows progress and writes checkpoints."""
        return dist.get_rank() == 0

    def divide(self, model: nn.Module) -> nn.Module:
        """Turn the model, in place, into what this process holds of it; all start from the first one's weights.

        Make the optimizer afterwards, of the parameters that it has then. Under "fsdp" a loss must call the model
        itself, not a part of it, for that call is what collects the weights.
        """
        model.to(self.device)
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)
        if "tensor" in self.mode:
            divide_blocks(model, self.shards)
        if "fsdp" in self.mode:
            for block in [module for module in model.modules() if isinstance(module, Block)]:
                fully_shard(block, mesh=self.rows)
            fully_shard(model, mesh=self.rows, reshard_after_forward=True)
        return model

    def with_gradients_added(self, model: nn.Module, loss: Loss) -> Callable[[Batch], Tensor]:
        """The function batch → loss whose backward leaves in every process the mean of the processes' gradients."""
        objective = Objective(model, loss)
        if self.mode != "ddp":
            return objective  # "fsdp" and "tensor" see to it in the model itself
        return DistributedDataParallel(objective, process_group=self.rows.get_group(), find_unused_parameters=True)

    def share(self, batches: Any) -> "SharedBatches":
        """This process's rows of every batch."""
        return SharedBatches(batches, self.rows.get_local_rank(), self.rows.size())

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a scalar over the processes that read different rows; no gradient."""
        total = value.detach().clone().to(self.device)
        dist.all_reduce(total, group=self.rows.get_group())
        return total / self.rows.size()

    def gradient_norm(self, model: nn.Module) -> Tensor:
        """The length of the whole gradient, as one process would compute it: every element counts once."""
        cuts = cuts_of(model)
        squares = torch.zeros(2, device=self.device)  # of what all hold alike, and of what is cut among the shards
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                own = parameter.grad.to_local() if isinstance(parameter.grad, DTensor) else parameter.grad
                squares[int(name in cuts)] += own.float().square().sum()
        if "fsdp" in self.mode:
            dist.all_reduce(squares, group=self.rows.get_group())
        dist.all_reduce(squares[1:], group=self.shards.get_group())
        return squares.sum().sqrt()


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
