"""The command under torchrun: the same run in any number of processes, one checkpoint, and an end when one dies."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lmlib.models import from_pretrained
from lmlib.training import checkpoints, load_checkpoint

pytestmark = pytest.mark.long  # every process imports torch anew

ROOT = Path(__file__).resolve().parents[3]
RECIPE = """
model: {{family: {family}, d_model: 16, n_layers: 2, n_heads: 4, {more} d_ff: 24, max_positions: 32}}
data: {{name: world, length: 16, batch_size: 4, n_chars: 4000}}
training: {{steps: {steps}, learning_rate: 1.0e-2, device: cpu, checkpoint_every: 1, folder: '{folder}'}}
"""
GPT2 = {"family": "gpt2", "more": "dropout: 0.0, residual_dropout: 0.0, attention_dropout: 0.0,"}
LLAMA = {"family": "llama", "more": "n_kv_heads: 2,"}


def command(n_processes: int, file: Path) -> list[str]:
    """The command line of a run; several processes meet at a port that is free."""
    if n_processes == 1:
        return [sys.executable, "-m", "lmlib.training", str(file)]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes)]
    return [*start, "-m", "lmlib.training", str(file)]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def write_recipe(folder: Path, model: dict[str, str], parallel: str = "", steps: int = 3) -> Path:
    folder.mkdir()
    file = folder / "run.yml"
    file.write_text(RECIPE.format(**model, steps=steps, folder=folder / "run") + parallel, "utf-8")
    return file


def run(n_processes: int, file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(n_processes, file), env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=240
    )


def end_of(done: subprocess.CompletedProcess[str]) -> list[float]:
    """Loss and held-out loss from the one line that is printed."""
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == 1, "one process prints, and no other"
    return [float(number) for number in re.findall(r"loss (\d+\.\d+)", done.stdout)]


@pytest.mark.parametrize("model", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_any_number_of_processes_ends_where_one_does(tmp_path: Path, model: dict[str, str]) -> None:
    alone = write_recipe(tmp_path / "alone", model)
    expected = end_of(run(1, alone))
    for n, mode in ((2, "ddp"), (2, "fsdp"), (2, "tensor"), (4, "fsdp+tensor, tensor: 2")):
        file = write_recipe(tmp_path / f"{mode[:11]}{n}", model, f"parallel: {{mode: {mode}}}\n")
        assert end_of(run(n, file)) == pytest.approx(expected, abs=2e-4)
        own, whole = (from_pretrained(at.parent / "run" / "model") for at in (file, alone))
        for name, tensor in whole.state_dict().items():
            assert own.state_dict()[name] == pytest.approx(tensor, abs=1e-5)


def test_a_process_that_is_killed_ends_the_run_with_its_name(tmp_path: Path) -> None:
    file = write_recipe(tmp_path / "killed", LLAMA, "parallel: {mode: fsdp, timeout_seconds: 30}\n", steps=1_000_000)
    started = subprocess.Popen(command(2, file), env=environment(), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        while not checkpoints(tmp_path / "killed" / "run"):  # until it trains
            assert started.poll() is None, "the run ended before it was killed"
            time.sleep(0.1)
        process_of(started.pid, rank=1).kill()
        _, errors = started.communicate(timeout=120)
    finally:
        started.kill()
    assert started.returncode != 0
    assert "Signal 9 (SIGKILL)" in errors
    assert re.search(r"rank\s*: 1 \(local_rank: 1\)", errors)
    load_checkpoint(checkpoints(tmp_path / "killed" / "run")[-1])


def process_of(launcher: int, rank: int) -> psutil.Process:
    """The process that torchrun started for this rank."""
    children = psutil.Process(launcher).children(recursive=True)
    return next(child for child in children if child.environ().get("RANK") == str(rank))
