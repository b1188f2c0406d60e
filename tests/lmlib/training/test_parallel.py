"""Several processes together are one: the same loss, gradients, norm, weights after steps, and state dicts."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lmlib.models.base import IGNORED_LABEL
from lmlib.training.parallel import Parallelism, Processes
from lmlib.training.tensor_parallel import cuts_of
from lmlib.training.whole_state import put_together
from tests.lmlib.training.processes import run_in_processes
from tests.lmlib.training.small_models import batch_for, make

N_STEPS = 3
FAMILIES = ("gpt2", "llama", "qwen3", "bert", "albert", "t5")


def loss_of(model: Any, batch: dict[str, Tensor]) -> Tensor:
    return model(**batch).loss


def n_labels(family: str, batch: dict[str, Tensor]) -> Tensor:
    """Labels that count: in a causal model none is predicted at the first token."""
    labels = batch["labels"] if family == "t5" else batch["labels"][:, 1:]
    return (labels != IGNORED_LABEL).sum().float()


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-2, eps=1e-4)  # round-off must not turn the sign of a step


def train_alone(family: str) -> dict[str, Any]:
    """What one process does with the whole batch."""
    model = make(family)
    optimizer = make_optimizer(model)
    losses, norms, gradients = [], [], {}
    for step in range(N_STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, batch_for(family, step))
        loss.backward()
        losses.append(loss.detach())
        if step == 0:
            gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 0.5))
        optimizer.step()
    return {
        "loss": torch.stack(losses),
        "norm": torch.stack(norms),
        "gradients": gradients,
        "weights": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }


def train_together(family: str, mode: str, tensor: int | None) -> dict[str, Any]:
    """The same in this one of several processes; its tensors are put together at the end."""
    processes = Processes(Parallelism(mode, tensor=tensor), torch.device("cpu"))
    model = processes.divide(make(family))
    optimizer = make_optimizer(model)
    objective = processes.objective(model, loss_of)
    batches = iter(processes.share([batch_for(family, step) for step in range(N_STEPS)]))
    losses, norms, gradients = [], [], {}
    for step, batch in enumerate(batches):
        optimizer.zero_grad()
        count = float(n_labels(family, batch))
        loss = objective(batch) * (count / processes.mean(count))
        loss.backward()
        losses.append(torch.tensor(processes.mean(float(loss.detach()))))
        if step == 0:
            cuts = cuts_of(model)
            gradients = {
                name: put_together(parameter.grad, cuts.get(name), processes.shards).clone()
                for name, parameter in model.named_parameters()
            }
        norms.append(processes.clip_gradients(model, 0.5))
        optimizer.step()
    weights = processes.model_state(model)
    states = processes.optimizer_state(optimizer, model)
    return {
        "loss": torch.stack(losses),
        "norm": torch.stack(norms),
        "gradients": gradients,
        "weights": weights,
        "optimizer": states,
        "elements": sum(_own_size(parameter) for parameter in model.parameters()),
    } | {"resumed": resumed(family, processes, weights, states)}


def _own_size(parameter: Tensor) -> int:
    return getattr(parameter, "to_local", lambda: parameter)().numel()


def resumed(family: str, processes: Processes, weights: dict[str, Tensor], states: dict[str, Any]) -> dict[str, Any]:
    """What a new divided model and optimizer hold after the whole states were loaded into them."""
    model = processes.divide(make(family))
    optimizer = make_optimizer(model)
    processes.load_model_state(model, weights)
    processes.load_optimizer_state(optimizer, states, model)
    return {
        "weights": processes.model_state(model),
        "optimizer": processes.optimizer_state(optimizer, model),
    }


def cases_of(modes: list[tuple[str, int | None, list[str]]]) -> dict[tuple[str, str], Any]:
    return {
        (family, mode): train_together(family, mode, tensor) for mode, tensor, families in modes for family in families
    }


RUNS = {  # name → number of processes, and the modes, with the number of shards and the families
    "two": (2, [("ddp", None, ["gpt2"]), ("fsdp", None, ["gpt2"]), ("tensor", None, ["bert", "llama", "t5"])]),
    "four": (4, [("fsdp+tensor", 2, ["qwen3"])]),
    "long-two": (2, [(mode, None, [*FAMILIES]) for mode in ("ddp", "fsdp", "tensor")]),
    "long-four": (4, [("fsdp+tensor", 2, [*FAMILIES]), ("ddp", None, ["llama"]), ("tensor", None, ["gpt2"])]),
}
CASES = [
    pytest.param(run, mode, family, marks=[pytest.mark.long] if "long" in run else [], id=f"{run}-{mode}-{family}")
    for run, (_, modes) in RUNS.items()
    for mode, _, families in modes
    for family in families
]
alone = functools.cache(train_alone)
every_case = pytest.mark.parametrize(("run", "mode", "family"), CASES)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], list[Any]]:
    """(run, mode, family) → what each process returned; a run is done once."""

    @functools.cache
    def of_run(run: str) -> list[Any]:
        n, modes = RUNS[run]
        return run_in_processes(cases_of, n, tmp_path_factory.mktemp(run), modes)

    return lambda run, mode, family: [one[family, mode] for one in of_run(run)]


def assert_same(own: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert list(own) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(own[name], tensor, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


@every_case
def test_loss_and_every_gradient_are_those_of_one_process(run: str, mode: str, family: str, together: Any) -> None:
    for own in together(run, mode, family):
        torch.testing.assert_close(own["loss"], alone(family)["loss"], rtol=2e-6, atol=2e-6)
        assert_same(own["gradients"], alone(family)["gradients"], 2e-6)


@every_case
def test_the_norm_that_clips_counts_every_element_once(run: str, mode: str, family: str, together: Any) -> None:
    for own in together(run, mode, family):
        torch.testing.assert_close(own["norm"], alone(family)["norm"], rtol=2e-6, atol=0)
    assert alone(family)["norm"].min() > 0.5, "nothing was clipped: the test would see no wrong norm"


@every_case
def test_weights_and_optimizer_after_three_steps_are_those_of_one_process(
    run: str, mode: str, family: str, together: Any
) -> None:
    for own in together(run, mode, family):
        assert_same(own["weights"], alone(family)["weights"], 5e-6)
        expected = alone(family)["optimizer"]
        assert own["optimizer"]["param_groups"] == expected["param_groups"]
        for number, state in expected["state"].items():
            assert_same(own["optimizer"]["state"][number], state, 5e-6)


@every_case
def test_whole_states_load_into_divided_models_and_come_back_unchanged(
    run: str, mode: str, family: str, together: Any
) -> None:
    for own in together(run, mode, family):
        assert_same(own["resumed"]["weights"], own["weights"], 0)
        for number, state in own["optimizer"]["state"].items():
            assert_same(own["resumed"]["optimizer"]["state"][number], state, 0)


@every_case
def test_each_process_holds_its_share_of_the_weights(run: str, mode: str, family: str, together: Any) -> None:
    whole = sum(parameter.numel() for parameter in make(family).parameters())
    cut = sum(parameter.numel() for name, parameter in make(family).named_parameters() if is_matrix_of_block(name))
    held = [own["elements"] for own in together(run, mode, family)]
    match mode:
        case "ddp":
            assert held == [whole] * len(held)
        case "fsdp":
            assert sum(held) == whole
        case "tensor":
            assert held == [whole - cut + cut // len(held)] * len(held)
        case "fsdp+tensor":
            assert sum(held) == 2 * (whole - cut) + cut


def is_matrix_of_block(name: str) -> bool:
    """Whether the paper divides it: both matrices of a sublayer, and the bias of the first."""
    return name.endswith(("qkv.weight", "qkv.bias", "inner.weight", "inner.bias", "n.out.weight", "outer.weight"))
