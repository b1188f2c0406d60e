"""The loop in several processes: the same run as in one, dropout in step, and clear ends where it cannot go on."""

import copy
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lmlib.data.batching import Loader
from lmlib.finetuning.lora import LoraConfig, add_adapters
from lmlib.models.xlnet import Xlnet, XlnetConfig
from lmlib.training import TrainingConfig, train
from lmlib.training.parallel import Parallelism, Processes
from lmlib.training.tensor_parallel import ShardedDropout
from tests.lmlib.training.processes import run_in_processes
from tests.lmlib.training.small_models import ROWS, batch_for, make

CONFIG = TrainingConfig(steps=3, learning_rate=1e-2, accumulation=2, clip=0.5, warmup_steps=1, device="cpu")
CPU = torch.device("cpu")
MODES = ("ddp", "fsdp", "tensor")
RESUMED = ("fsdp", "tensor")


def texts(kind: type[Loader] = Loader) -> Loader:
    """Batches of ROWS texts of unequal length, in an order of their own each epoch."""
    batches = [batch_for("llama", seed) for seed in range(3)]
    rows = [{name: tensor[i] for name, tensor in batch.items()} for batch in batches for i in range(ROWS)]
    return kind(rows, ROWS, lambda part: {name: torch.stack([row[name] for row in part]) for name in part[0]}, seed=5)


def one_loss(model: Any) -> dict[str, float]:
    return {"loss": float(model(**batch_for("llama", 9)).loss)}


def run(processes: Processes | None, **changes: Any) -> dict[str, Any]:
    """Train a small Llama; its log and the whole weights."""
    model = make("llama")
    log = train(model, texts(), replace(CONFIG, **changes), evaluate=one_loss, processes=processes)
    return {"log": log, "weights": whole(model, processes)}


class Stopped(Exception):
    """The run was stopped from outside."""


class StoppingLoader(Loader):
    """A loader that stops the run at its fourth batch, when one of three steps is done."""

    def __next__(self) -> Any:
        if self.n_batches == 3:
            raise Stopped
        return super().__next__()


def run_until_stopped(model: Any, folder: Path, processes: Processes | None, goes_on: bool) -> dict[str, Tensor]:
    """Train with a checkpoint each step in that folder; stop, and then go on with another model if that is wanted."""
    config = replace(CONFIG, folder=folder, checkpoint_every=1)
    with pytest.raises(Stopped):
        train(copy.deepcopy(model), texts(StoppingLoader), config, processes=processes)
    if goes_on:
        train(model, texts(), config, processes=processes)
    return whole(model, processes)


def whole(model: Any, processes: Processes | None) -> dict[str, Tensor]:
    state = model.state_dict() if processes is None else processes.model_state(model)
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def resumed(mode: str, processes: Processes, folder: Path) -> dict[str, Any]:
    """With dropout: a run without and one with a stop. Without: one that another number of processes began."""
    straight, stopped, begun_alone = make("gpt2", 0.2), make("gpt2", 0.2), make("llama")
    train(straight, texts(), CONFIG, processes=processes)
    run_until_stopped(make("llama"), folder / f"begun-by-{mode}", processes, goes_on=False)
    train(begun_alone, texts(), replace(CONFIG, folder=folder / f"begun-alone-{mode}"), processes=processes)
    return {
        "straight": whole(straight, processes),
        "stopped": run_until_stopped(stopped, folder / f"stopped-{mode}", processes, goes_on=True),
        "begun alone": whole(begun_alone, processes),
    }


def facts_of_two(folder: Path) -> dict[str, Any]:
    """All that two processes are asked in this file, so that they are started once."""
    plans = {mode: Processes(Parallelism(mode), CPU) for mode in MODES}
    resumes = {mode: resumed(mode, plans[mode], folder) for mode in RESUMED}
    runs = {mode: run(processes) for mode, processes in plans.items()}
    runs["muon"] = run(plans["ddp"], optimizer="muon")
    runs |= {f"{mode}, recompute": run(processes, recompute=True) for mode, processes in plans.items()}
    return {"runs": runs, "resumes": resumes, "messages": messages(plans), "dropout": dropout_in_step(plans["tensor"])}


def messages(plans: dict[str, Processes]) -> dict[str, str]:
    """What is said when something cannot be done."""

    def of(attempt: Any) -> str:
        with pytest.raises((ValueError, TypeError)) as error:
            attempt()
        return str(error.value)

    odd_heads, odd_features, adapted = make("llama"), make("llama"), make("llama")
    for block in odd_heads.decoder.blocks:
        block.attention.n_heads = 3
    odd_features.decoder.blocks[1].feed_forward.outer.in_features = 25
    add_adapters(adapted, LoraConfig(2))
    xlnet = Xlnet(XlnetConfig(vocab_size=8, d_model=8, n_layers=1, n_heads=2, d_ff=8), "lm")
    divided = plans["tensor"].divide(make("llama"))
    whole_state = make("gpt2").state_dict()
    return {
        "heads": of(lambda: plans["tensor"].divide(odd_heads)),
        "features": of(lambda: plans["tensor"].divide(odd_features)),
        "untouched": type(odd_features.decoder.blocks[0].attention).__name__,
        "adapted": of(lambda: plans["tensor"].divide(adapted)),
        "no blocks": of(lambda: plans["tensor"].divide(xlnet)),
        "weights": of(lambda: divided(batch_for("llama")["input_ids"], inspect=True)),
        "state": of(lambda: plans["tensor"].load_model_state(divided, whole_state)),
        "muon": of(lambda: run(plans["fsdp"], optimizer="muon")),
        "compile": of(lambda: run(plans["tensor"], compile=True)),
    }


def dropout_in_step(processes: Processes) -> dict[str, Tensor]:
    """Train with dropout everywhere; then what a process holds whole, and what it drew for its own features."""
    model = make("gpt2", dropout=0.2)
    train(model, [batch_for("gpt2", step) for step in range(6)], CONFIG, processes=processes)
    layer = ShardedDropout(torch.nn.Dropout(0.5), processes.shards)
    torch.manual_seed(0)
    drawn = layer(torch.ones(64))
    return {"norm": model.decoder.blocks[0].attention_norm.weight.detach(), "drawn": drawn, "after": torch.rand(8)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs are kept."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def facts(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes says; they also go on with runs that were begun here."""
    for mode in RESUMED:
        run_until_stopped(make("llama"), folder / f"begun-alone-{mode}", None, goes_on=False)
    return run_in_processes(facts_of_two, 2, tmp_path_factory.mktemp("two"), folder)


@pytest.mark.parametrize("mode", [*MODES, "muon", *(f"{mode}, recompute" for mode in MODES)])
def test_a_run_of_two_processes_is_that_of_one(mode: str, facts: list[dict[str, Any]]) -> None:
    alone = run(None, optimizer="muon" if mode == "muon" else "adamw")
    for own in facts:
        log = own["runs"][mode]["log"]
        assert log.tokens == alone["log"].tokens
        for name in ("losses", "gradient_norms", "learning_rates"):
            assert getattr(log, name) == pytest.approx(getattr(alone["log"], name), rel=5e-6)
        assert log.evaluation("loss")[1] == pytest.approx(alone["log"].evaluation("loss")[1], rel=1e-5)
        for name, tensor in alone["weights"].items():
            torch.testing.assert_close(own["runs"][mode]["weights"][name], tensor, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", RESUMED)
def test_a_run_that_was_stopped_goes_on_bit_for_bit_with_dropout(mode: str, facts: list[dict[str, Any]]) -> None:
    for own in facts:
        straight, stopped = own["resumes"][mode]["straight"], own["resumes"][mode]["stopped"]
        assert all(torch.equal(stopped[name], tensor) for name, tensor in straight.items())


@pytest.mark.parametrize("mode", RESUMED)
def test_one_process_goes_on_with_what_two_began_and_two_with_what_one_began(
    mode: str, facts: list[dict[str, Any]], folder: Path
) -> None:
    straight, begun_by_two = run(None)["weights"], make("llama")
    log = train(begun_by_two, texts(), replace(CONFIG, folder=folder / f"begun-by-{mode}"))
    assert log.n_steps == CONFIG.steps
    for weights in (whole(begun_by_two, None), *(own["resumes"][mode]["begun alone"] for own in facts)):
        for name, tensor in straight.items():
            torch.testing.assert_close(weights[name], tensor, rtol=1e-5, atol=1e-5)


def test_dropout_leaves_alike_what_all_shards_hold_and_differs_in_what_each_has_alone(
    facts: list[dict[str, Any]],
) -> None:
    first, second = (own["dropout"] for own in facts)
    assert torch.equal(first["norm"], second["norm"])
    assert not torch.equal(first["norm"], torch.ones_like(first["norm"])), "nothing was learned"
    assert not torch.equal(first["drawn"], second["drawn"])
    assert torch.equal(first["after"], second["after"]), "afterwards both draw the same again"


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ("heads", "3 query heads cannot be divided evenly among 2 processes; take a divisor"),
        ("features", "25 features (d_ff) cannot be divided evenly among 2 processes; take a divisor"),
        ("untouched", "MultiHeadAttention"),
        ("adapted", "a linear layer is needed to divide it; got LoraLinear: merge adapters first"),
        ("no blocks", "Xlnet has no Block of lmlib.transformer that could be divided"),
        ("weights", "a process holds only its own heads' weights; inspect the model that is not divided"),
        ("state", "the state is of another model; names that only one has: ['decoder.blocks.0.attention.out.bias'"),
        ("muon", "Muon needs whole matrices, which no process holds in mode 'fsdp'; use \"adamw\""),
        ("compile", "compile=True is for one process and for mode 'ddp'; the mode is 'tensor'"),
    ],
)
def test_what_cannot_be_divided_is_an_error_before_anything_changes(
    of: str, expected: str, facts: list[dict[str, Any]]
) -> None:
    for own in facts:
        assert own["messages"][of].startswith(expected)


def wait_for_one_that_sleeps() -> float:
    """Seconds until the first process gives up on the second, which never comes to the sum."""
    processes = Processes(Parallelism("ddp", timeout_seconds=1), CPU)
    start = time.monotonic()
    if processes.is_first:
        with pytest.raises(RuntimeError, match=r"[Tt]imed out"):
            processes.mean(1.0)
    else:
        time.sleep(8)
    return time.monotonic() - start


def test_a_process_that_says_nothing_ends_the_wait_of_the_others(tmp_path: Path) -> None:
    waited, slept = run_in_processes(wait_for_one_that_sleeps, 2, tmp_path)
    assert waited < slept
