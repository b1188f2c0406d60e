"""A run as a file: what is read, and each message for what cannot be."""

from pathlib import Path

import pytest
import torch

from lmlib.models.llama import Llama
from lmlib.training.__main__ import processes_for
from lmlib.training.parallel import Parallelism, SharedBatches
from lmlib.training.recipe import Recipe

GOOD = """
model: {family: llama, d_model: 16, n_layers: 1, n_heads: 4, n_kv_heads: 2, d_ff: 24, max_positions: 32}
data: {name: world, length: 16, batch_size: 4, n_chars: 4000}
training: {steps: 2, learning_rate: 1.0e-2}
parallel: {mode: fsdp+tensor, tensor: 2}
"""


def recipe_of(tmp_path: Path, text: str) -> Recipe:
    (tmp_path / "run.yml").write_text(text, "utf-8")
    return Recipe.from_file(tmp_path / "run.yml")


def test_a_file_gives_the_model_the_text_and_the_plan_that_it_names(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, GOOD)
    model = recipe.make_model()
    assert isinstance(model, Llama)
    assert (model.config.n_kv_heads, model.config.vocab_size, model.head) == (2, 257, "language_model")
    assert recipe.parallel == Parallelism("fsdp+tensor", tensor=2)
    loader, held_out = recipe.data.make_batches()
    batch = next(loader)
    assert batch["input_ids"].shape == (4, 16)
    assert torch.equal(batch["input_ids"], batch["labels"])
    text = bytes(held_out[0]["input_ids"][0].tolist()).decode()
    assert text in recipe.data.text()[-500:], "the held-out text is the end of the text"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("training:", "trainin:", "section 'training' is missing|section 'trainin' is unknown"),
        (GOOD, "- 1", "must hold the sections model, data, training"),
        ("family: llama, ", "", "model needs its family, one of .*gpt2"),
        ("steps: 2", "step: 2", "training has no key step; it has: .*steps"),
        ("steps: 2, ", "", "training: .*missing.*'steps'"),
        ("1.0e-2", "1e-2", "learning_rate is the text '1e-2'; YAML reads a number as 3 or 1.0e-3"),
        ("mode: fsdp+tensor", "mode: pipeline", "mode must be one of ddp, fsdp, tensor, fsdp.tensor; got 'pipeline'"),
        ("{mode: fsdp+tensor, tensor: 2}", "4", "parallel must be keys with values, of data, mode, tensor.*; got 4"),
    ],
)
def test_a_file_that_cannot_be_read_says_which_key_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe_of(tmp_path, GOOD.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("family: llama", "family: bert", "no decoder-only family 'bert'; there are: .*llama"),
        ("d_ff: 24", "d_fff: 24", "model has no key d_fff; it has: .*d_ff"),
    ],
)
def test_a_model_that_there_is_not_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe_of(tmp_path, GOOD.replace(old, new)).make_model()


def test_the_number_of_processes_must_be_that_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(tmp_path, GOOD)
    with pytest.raises(ValueError, match=r"data=1 × tensor=2 needs 2 processes, but 1 were started"):
        processes_for(recipe)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match=r"data=1 × tensor=2 needs 2 processes, but 3 were started"):
        processes_for(recipe)
    with pytest.raises(ValueError, match="3 processes were started, but the file has no section parallel"):
        processes_for(recipe_of(tmp_path, GOOD.replace("parallel: {mode: fsdp+tensor, tensor: 2}", "")))


@pytest.mark.parametrize(
    ("mode", "data", "tensor", "n", "table"),
    [
        ("ddp", None, None, 4, (4, 1)),
        ("fsdp", 2, None, 2, (2, 1)),
        ("tensor", None, None, 4, (1, 4)),
        ("fsdp+tensor", None, 2, 4, (2, 2)),
        ("fsdp+tensor", 4, None, 8, (4, 2)),
        ("fsdp+tensor", 1, 2, 2, (1, 2)),
    ],
)
def test_sizes_that_are_not_given_follow_from_the_number_of_processes(
    mode: str, data: int | None, tensor: int | None, n: int, table: tuple[int, int]
) -> None:
    assert Parallelism(mode, data, tensor).table(n) == table


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"mode": "ddp", "tensor": 2}, "mode 'ddp' has no tensor parallelism, but tensor=2"),
        ({"mode": "tensor", "data": 2}, "mode 'tensor' has no data parallelism, but data=2"),
        ({"mode": "fsdp", "data": 0}, "data=0 must be a number of processes, at least 1"),
        ({"mode": "fsdp", "timeout_seconds": 0}, "timeout_seconds must be above 0; got 0"),
    ],
)
def test_a_plan_that_cannot_be_is_an_error(plan: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parallelism(**plan)


def test_two_axes_need_one_size() -> None:
    with pytest.raises(ValueError, match=r"mode 'fsdp.tensor' needs tensor=, the number of processes that share"):
        Parallelism("fsdp+tensor").table(4)


def test_the_rows_of_all_processes_are_the_batch() -> None:
    batch = {"input_ids": torch.arange(12).view(6, 2), "labels": torch.arange(6)}
    shares = [next(iter(SharedBatches([batch], rank, 3))) for rank in range(3)]
    for name in batch:
        assert torch.equal(torch.cat([share[name] for share in shares]), batch[name])


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"input_ids": torch.ones(4, 2), "mask": torch.ones(2, 2)}, "must have one row a text; got sizes .*'mask': 2"),
        ({"input_ids": torch.ones(5, 2)}, "a batch of 5 rows cannot be shared evenly among 2 processes"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_an_error(batch: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(iter(SharedBatches([batch], 0, 2)))


def test_a_text_that_is_too_short_to_hold_a_window_out_is_named(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, GOOD.replace("length: 16", "length: 512"))
    with pytest.raises(ValueError, match="are held out, which do not fill one window of 512"):
        recipe.data.make_batches()
