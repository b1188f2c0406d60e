"""The state of a divided model and its optimizer, put together as one process would have it, and divided again.

So a checkpoint does not know how many processes wrote it, and any number can go on from it.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, distribute_tensor

from lmlib.training.tensor_parallel import Cut, cuts_of


def put_together(own: Tensor, cut: Cut | None, shards: DeviceMesh) -> Tensor:
    """The whole tensor of which every process holds a part; all must call."""
    if isinstance(own, DTensor):
        own = own.full_tensor()  # FSDP's shares
    if cut is None:
        return own
    slices = [torch.empty_like(own) for _ in range(shards.size())]
    dist.all_gather(slices, own.contiguous(), group=shards.get_group())
    return cut.join(slices)


def take_apart(whole: Tensor, like: Tensor, cut: Cut | None, shards: DeviceMesh) -> Tensor:
    """This process's part of a whole tensor, in the form that `like` has."""
    whole = whole.to(like.device)
    if cut is not None:
        whole = cut.slice(whole, shards.get_local_rank(), shards.size())
    if isinstance(like, DTensor):
        return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
    return whole


def model_state(model: nn.Module, shards: DeviceMesh) -> dict[str, Tensor]:
    """The state dict that the model would have in one process; all must call."""
    cuts = cuts_of(model)
    return {name: put_together(own, cuts.get(name), shards) for name, own in model.state_dict().items()}


@torch.no_grad()
def load_model_state(model: nn.Module, state: dict[str, Tensor], shards: DeviceMesh) -> None:
    """Copy a whole state dict into a divided model. Raises ValueError when the names are not the model's."""
    cuts, own = cuts_of(model), model.state_dict()
    if own.keys() != state.keys():
        raise ValueError(f"the state is of another model; names that only one has: {sorted(own.keys() ^ state.keys())}")
    for name, tensor in own.items():
        tensor.copy_(take_apart(state[name], tensor, cuts.get(name), shards))


def optimizer_state(optimizer: torch.optim.Optimizer, model: nn.Module, shards: DeviceMesh) -> dict[str, Any]:
    """The state dict that the optimizer would have in one process; all must call."""
    state = optimizer.state_dict()
    parameters = _numbered(optimizer, model)
    for number, values in state["state"].items():
        parameter, cut = parameters[number]
        state["state"][number] = {
            key: put_together(value, cut, shards) if _is_like(value, parameter) else value
            for key, value in values.items()
        }
    return state


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, state: dict[str, Any], model: nn.Module, shards: DeviceMesh
) -> None:
    """Divide a whole state of the optimizer and load it."""
    own: dict[int, dict[str, Any]] = {}
    for number, (parameter, cut) in _numbered(optimizer, model).items():
        whole_shape = _whole_shape(parameter, cut, shards.size())
        own[number] = {
            key: take_apart(value, parameter, cut, shards)
            if isinstance(value, Tensor) and value.shape == whole_shape
            else value
            for key, value in state["state"].get(number, {}).items()
        }
    optimizer.load_state_dict({**state, "state": own})


def _numbered(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[int, tuple[Tensor, Cut | None]]:
    """The optimizer's parameters by the numbers that its state dict gives them, each with its cut."""
    cuts = cuts_of(model)
    cut_of = {parameter: cuts.get(name) for name, parameter in model.named_parameters()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {number: (parameter, cut_of[parameter]) for number, parameter in enumerate(parameters)}


def _is_like(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.shape == parameter.shape


def _whole_shape(parameter: Tensor, cut: Cut | None, n_shards: int) -> torch.Size:
    shape = list(parameter.shape)  # of a DTensor: of all shares
    if cut is not None:
        shape[cut.dim] *= n_shards
    return torch.Size(shape)
