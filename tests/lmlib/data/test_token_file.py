"""Texts as a mapped file of tokens: nothing is lost, memory stays flat, runs go on in the middle of an epoch."""

import os
import signal
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lmlib.data import DataError
from lmlib.data.token_file import TokenFile, TokenLoader, text_parts, write_tokens
from lmlib.text.bytes import Bytes
from lmlib.training import TrainingConfig, train
from tests.lmlib.training.processes import run_in_processes
from tests.lmlib.training.small_models import make

ROOT = Path(__file__).resolve().parents[3]
LENGTH, VOCAB = 12, 11


def write(path: Path, ids: list[int], vocab_size: int = VOCAB) -> TokenFile:
    """A file of these ids."""
    write_tokens(path, [["all"]], lambda text: ids, vocab_size)
    return TokenFile(path)


def counting(path: Path, n_windows: int = 20) -> TokenFile:
    """Windows that begin with their number, in base VOCAB, so that each is known by its first two tokens."""
    rows = [[i // VOCAB, i % VOCAB, *((i + j) % VOCAB for j in range(LENGTH - 2))] for i in range(n_windows)]
    return write(path, [token for row in rows for token in row] + [3])


def numbers(ids: torch.Tensor) -> list[int]:
    """Which windows a batch holds."""
    return (ids[:, 0] * VOCAB + ids[:, 1]).tolist()


@pytest.mark.parametrize(("vocab_size", "width"), [(257, 2), (65_536, 2), (65_537, 4), (200_000, 4)])
def test_ids_come_back_in_the_smallest_width_that_holds_them(tmp_path: Path, vocab_size: int, width: int) -> None:
    drawn = torch.randint(vocab_size, (1000,), generator=torch.Generator().manual_seed(1))
    ids = [*drawn.tolist(), vocab_size - 1, 0]
    file = write(tmp_path / "tokens", ids, vocab_size)
    assert file.ids.tolist() == ids
    assert file.vocab_size == vocab_size
    assert (tmp_path / "tokens").stat().st_size == 32 + width * len(ids)
    header = struct.unpack("<8sIIQQ", (tmp_path / "tokens").read_bytes()[:32])
    assert header == (b"LMTOKENS", 1, width, len(ids), vocab_size)


def test_a_text_in_parts_is_the_text_and_ends_with_the_separator(tmp_path: Path) -> None:
    texts = ["one\r\ntwo\n\n\n三 four", "", "x" * 200_000 + "\n" + "é\n" * 70_000]
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.txt").write_bytes(text.encode())
    paths = [tmp_path / f"{i}.txt" for i in range(len(texts))]
    assert ["".join(text_parts(path)) for path in paths] == texts
    assert max(len(part) for path in paths for part in text_parts(path)) < 140_000
    n = write_tokens(tmp_path / "tokens", map(text_parts, paths), Bytes().encode_plain, 257, separator=256)
    ids = TokenFile(tmp_path / "tokens").ids.tolist()
    assert ids == [i for text in texts for i in (*text.encode(), 256)]
    assert n == len(ids)


def test_writing_and_reading_take_little_memory(tmp_path: Path) -> None:
    part = list(range(1000))
    tracemalloc.start()
    n = write_tokens(tmp_path / "tokens", [["part"] * 5000], lambda text: part, 1000)
    batch = next(TokenLoader(TokenFile(tmp_path / "tokens").windows(100), 8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 5_000_000
    assert batch["input_ids"].shape == (8, 100)
    assert peak < 12 * 2**20  # as Python's integers all of it would take 40 MB for the list alone


WRITER = """
import os, signal, sys
from lmlib.data.token_file import write_tokens
def parts():
    for i in range(600):
        yield "part"
    os.kill(os.getpid(), signal.SIGKILL)
write_tokens(sys.argv[1], [parts()], lambda text: [1] * 1000, 7)
"""


def test_a_writer_that_is_killed_leaves_no_file_and_the_next_one_writes_it(tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path / "tokens")], env=env)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.partial"]
    assert write(tmp_path / "tokens", [1, 2, 3]).ids.tolist() == [1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]


def test_what_cannot_be_written_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    write(tmp_path / "tokens", [1, 2, 3])
    for ids, message in (([VOCAB], r"ids must lie in 0..10; got 11..11"), ([], "hold no token"), ([-1], "got -1..-1")):
        with pytest.raises(ValueError, match=message):
            write(tmp_path / "tokens", ids)
    assert TokenFile(tmp_path / "tokens").ids.tolist() == [1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(DataError, match="cannot be written"):
        write(tmp_path / "absent" / "tokens", [1])
    with pytest.raises(DataError, match="cannot be written"):
        write(tmp_path / "tokens" / "below", [1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], "is damaged: 241 ids need 514 bytes, it has 513"),
        (lambda content: b"", "is no file of tokens"),
        (lambda content: b"PK" + content[2:], "is no file of tokens"),
        (lambda content: content[:8] + b"\2" + content[9:], "has version 2 of the format"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, damage: Any, message: str) -> None:
    path = counting(tmp_path / "tokens").path
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        TokenFile(path)


def test_a_text_that_is_not_there_or_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    for name in ("latin.txt", "absent.txt"):
        with pytest.raises(DataError, match=f"{name}: it cannot be read as UTF-8"):
            list(text_parts(tmp_path / name))
    with pytest.raises(DataError, match="cannot be read"):
        TokenFile(tmp_path / "absent")
    with pytest.raises(ValueError, match="241 tokens do not fill one window of 242"):
        counting(tmp_path / "tokens").windows(242)


def test_an_epoch_holds_every_window_once_in_another_order_each_time(tmp_path: Path) -> None:
    loader = TokenLoader(counting(tmp_path / "tokens").windows(LENGTH), 4)
    epochs = [[i for _ in range(5) for i in numbers(next(loader)["input_ids"])] for _ in range(3)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_ranks_read_disjoint_rows_that_are_the_batch_of_one(tmp_path: Path) -> None:
    windows = counting(tmp_path / "tokens").windows(LENGTH)
    alone, loaders = TokenLoader(windows, 4), [TokenLoader(windows, 4) for _ in range(2)]
    parts = [loader.part(rank, 2) for rank, loader in enumerate(loaders)]
    for _ in range(7):  # into the second epoch
        batch, own = next(alone), [next(part) for part in parts]
        assert torch.equal(torch.cat([rows["labels"] for rows in own]), batch["labels"])
        assert not set(numbers(own[0]["input_ids"])) & set(numbers(own[1]["input_ids"]))
    for loader in loaders:  # a checkpoint after a step counts the batch of that step
        assert loader.state_dict() == alone.state_dict()
    resumed = TokenLoader(windows, 4)
    resumed.load_state_dict(loaders[0].state_dict())
    assert torch.equal(next(resumed)["labels"], next(alone)["labels"])
    with pytest.raises(ValueError, match="a batch of 4 rows cannot be shared evenly among 3 processes"):
        next(TokenLoader(windows, 4).part(0, 3))


CONFIG = TrainingConfig(steps=7, learning_rate=1e-2, device="cpu")


class Stopped(Exception):
    """The run was stopped from outside."""


def trained(path: Path, config: TrainingConfig, processes: Any = None, stop: bool = False) -> Any:
    """Train a small model on the file; with `stop` end it after the fifth step, which is not kept."""

    def evaluate(model: Any) -> dict[str, float]:
        if stop:
            raise Stopped
        return {}

    model = make("llama")
    loader = TokenLoader(TokenFile(path).windows(LENGTH), 4)
    train(model, loader, config, evaluate=evaluate, processes=processes)
    return model.state_dict()


def two(path: Path, folder: Path) -> tuple[Any, Any]:
    """In two processes: the run at once, and the run that one process began."""
    from lmlib.training.parallel import Parallelism, Processes

    processes = Processes(Parallelism("ddp"), torch.device("cpu"))
    return trained(path, CONFIG, processes), trained(path, replace(CONFIG, folder=folder), processes)


def test_a_run_goes_on_in_the_middle_of_an_epoch_bit_for_bit_and_in_two_processes(tmp_path: Path) -> None:
    path = counting(tmp_path / "tokens").path
    straight = trained(path, CONFIG)
    kept = replace(CONFIG, folder=tmp_path / "run", checkpoint_every=3, evaluate_every=5)  # an epoch has 5 batches
    for folder in ("run", "begun"):
        with pytest.raises(Stopped):
            trained(path, replace(kept, folder=tmp_path / folder), stop=True)
    again = trained(path, kept)
    assert all(torch.equal(again[name], tensor) for name, tensor in straight.items())
    for own in run_in_processes(two, 2, tmp_path, path, tmp_path / "begun"):
        for weights in own:
            for name, tensor in straight.items():
                torch.testing.assert_close(weights[name], tensor, rtol=1e-5, atol=1e-5)


def test_the_command_writes_what_a_recipe_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lmlib.course.corpora import write_tokens as command
    from lmlib.course.errors import CourseError
    from lmlib.training.recipe import Recipe

    text = "".join(f"line {i}\n" for i in range(100))
    (tmp_path / "a.txt").write_text(text)
    command([tmp_path / "a.txt"], tmp_path / "tokens", None)
    assert f"{len(text) + 1:,} tokens of a vocabulary of 257" in capsys.readouterr().out
    (tmp_path / "run.yml").write_text(
        f"model: {{family: gpt2, d_model: 8, n_layers: 1, n_heads: 2, max_positions: 16}}\n"
        f"data: {{file: '{tmp_path / 'tokens'}', length: 16, batch_size: 4}}\ntraining: {{steps: 2}}\n"
    )
    recipe = Recipe.from_file(tmp_path / "run.yml")
    assert recipe.make_model().config.vocab_size == 257
    loader, held_out = recipe.data.make_batches()
    assert isinstance(loader, TokenLoader)
    seen = {bytes(row.tolist()) for _ in range(loader.batches_per_epoch) for row in next(loader)["input_ids"]}
    assert seen <= {text[at : at + 16].encode() for at in range(0, 900, 16)}
    first = bytes(held_out[0]["input_ids"][0].tolist()).decode()
    assert first == text[len(text) + 1 - (len(text) + 1) // 10 :][:16]
    with pytest.raises(CourseError, match="there is no such file"):
        command([tmp_path / "absent.txt"], tmp_path / "tokens", None)
    with pytest.raises(CourseError, match="it is no folder of a tokenizer"):
        command([tmp_path / "a.txt"], tmp_path / "tokens", tmp_path)


def test_documents_are_asked_for_one_by_one(tmp_path: Path) -> None:
    asked = []

    def documents() -> Iterator[list[str]]:
        for i in range(3):
            asked.append(i)
            yield [str(i)]

    write_tokens(tmp_path / "tokens", documents(), lambda text: [len(asked)], VOCAB)
    assert TokenFile(tmp_path / "tokens").ids.tolist() == [1, 2, 3]
