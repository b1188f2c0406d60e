"""A run that stops and goes on is the run that never stopped; what is killed or finds no room leaves what was there."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lmlib.training import CheckpointFileError, TrainingConfig, checkpoints, load_checkpoint, train
from lmlib.training.checkpoints import save_checkpoint
from tests.lmlib.training.tiny import config, tiny_loader, tiny_model

ROOT = Path(__file__).resolve().parents[3]


class Stopped(Exception):
    """What a test throws into a run."""


def run_until(stop: int | None, run: TrainingConfig, model_seed: int = 0, **loader: Any) -> tuple[Any, Any]:
    """Train, and be stopped at the evaluation after `stop` steps; the model and the log, if it came to an end."""
    model = tiny_model(seed=model_seed)

    def evaluate(model: Any) -> dict[str, float]:
        if len(list(checkpoints(run.folder or "nowhere"))) and stop is not None:
            raise Stopped
        return {"draw": float(torch.rand(()))}

    return model, train(model, tiny_loader(**loader), run, evaluate=evaluate)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "muon"},
        {"accumulation": 2, "schedule": "linear", "warmup_steps": 3},
        {"optimizer": "muon", "accumulation": 3, "precision": "bfloat16"},
    ],
    ids=str,
)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(changes: dict[str, Any], tmp_path: Path) -> None:
    half = 13  # not where an epoch of the loader ends
    run = config(2 * half, evaluate_every=half + 4, **changes)
    model, log = run_until(None, run, bucket_by=len)
    kept = replace(run, folder=tmp_path, checkpoint_every=half)
    with pytest.raises(Stopped):  # four steps after the checkpoint, which are lost
        run_until(half, kept, bucket_by=len)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000013.pt"]
    torch.rand(5)  # another state of everything that draws
    resumed, again = run_until(None, kept, model_seed=1, bucket_by=len)
    assert again == log
    for (name, p), (_, q) in zip(model.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.equal(p, q), name


def test_a_finished_run_is_read_back_without_a_step(tmp_path: Path) -> None:
    run = config(4, folder=tmp_path)
    model, log = run_until(None, run)
    other, again = run_until(None, run, model_seed=1)
    assert again == log
    assert torch.equal(model.word.weight, other.word.weight)


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    train(tiny_model(), tiny_loader(), config(7, folder=tmp_path, checkpoint_every=2, keep_checkpoints=3))
    assert [path.name for path in checkpoints(tmp_path)] == [f"step-0000000{step}.pt" for step in (4, 6, 7)]


def test_another_config_is_refused_with_what_differs(tmp_path: Path) -> None:
    train(tiny_model(), tiny_loader(), config(2, folder=tmp_path))
    with pytest.raises(ValueError, match=r"a run with steps=2 \(now 3\), weight_decay=0.1 \(now 0.2\); give that"):
        train(tiny_model(), tiny_loader(), config(3, folder=tmp_path, weight_decay=0.2))
    with pytest.raises(ValueError, match="a loader with seed=3; this one has 4"):
        train(tiny_model(), tiny_loader(seed=4), config(2, folder=tmp_path))


def test_batches_that_cannot_be_resumed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs batches with state_dict\(\) .* got list_iterator"):
        train(tiny_model(), iter([]), config(2, folder=tmp_path))


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, {"x": torch.zeros(1000)}, keep=1)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(CheckpointFileError, match=r"step-00000001.pt is damaged .*; delete it"):
        load_checkpoint(path)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    torch.save({"x": Path("anything")}, tmp_path / "step-00000001.pt")
    with pytest.raises(CheckpointFileError, match="is damaged"):
        load_checkpoint(tmp_path / "step-00000001.pt")


def test_what_a_killed_writer_left_is_no_checkpoint_and_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "step-00000009.partial").write_bytes(b"half")
    assert checkpoints(tmp_path) == []
    save_checkpoint(tmp_path, 10, {"x": 1}, keep=2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010.pt"]


WRITER = """
import sys, torch
from lmlib.training.checkpoints import save_checkpoint
step = int(sys.argv[2])
while True:
    step += 1
    save_checkpoint(sys.argv[1], step, {"step": step, "x": torch.full((int(sys.argv[3]),), float(step))}, keep=2)
    print(step, flush=True)
"""


def kill_a_writer(folder: Path, seconds: float, size: int) -> int:
    """Start a process that writes checkpoints, kill -9 it after some time; the last step that it reported."""
    start = max([int(path.stem[5:]) for path in checkpoints(folder)], default=0)
    command = [sys.executable, "-c", WRITER, str(folder), str(start), str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ) as writer:
        assert writer.stdout is not None
        reported = [int(writer.stdout.readline())]  # it has started to write
        time.sleep(seconds)
        writer.send_signal(signal.SIGKILL)
        reported += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    return reported[-1]


def assert_whole(folder: Path, reported: int, size: int) -> None:
    newest = load_checkpoint(checkpoints(folder)[-1])
    assert newest["step"] in (reported, reported + 1)  # the last may have been renamed, and not reported
    assert torch.equal(newest["x"], torch.full((size,), float(newest["step"])))


HALF_WRITER = """
import io, sys, torch
from lmlib.training.checkpoints import save_checkpoint
whole = torch.save
def half(state, file):
    buffer = io.BytesIO()
    whole(state, buffer)
    file.write(buffer.getvalue()[: buffer.tell() // 2])
    file.flush()
    print("in the middle", flush=True)
    sys.stdin.read()
save_checkpoint(sys.argv[1], 1, {"x": torch.ones(100_000)}, keep=2)
torch.save = half
save_checkpoint(sys.argv[1], 2, {"x": torch.ones(100_000)}, keep=2)
"""


def test_a_writer_that_is_killed_in_the_middle_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HALF_WRITER, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=os.environ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "in the middle\n"
        writer.send_signal(signal.SIGKILL)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000001.pt"]
    assert load_checkpoint(checkpoints(tmp_path)[-1])["x"].sum() == 100_000
    assert len(list(tmp_path.iterdir())) == 2  # and half of the other


@pytest.mark.long
def test_many_kills_at_any_moment_leave_a_whole_checkpoint(tmp_path: Path, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    partial = 0
    for _ in range(25):
        size = 4_000_000
        reported = kill_a_writer(tmp_path, float(torch.rand((), generator=draw)) * 0.3, size)
        partial += len(list(tmp_path.glob("*.partial")))
        assert_whole(tmp_path, reported, size)
    assert partial > 0  # some were killed in the middle of writing


def test_a_full_disk_is_an_error_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("needs unshare: user namespaces are closed here")
    program = (
        "import torch\n"
        "from lmlib.training.checkpoints import *\n"
        "save_checkpoint('.', 1, {'x': torch.ones(50_000)}, keep=2)\n"
        "try: save_checkpoint('.', 2, {'x': torch.ones(200_000)}, keep=2)\n"
        "except CheckpointFileError as error: print(error)\n"
        "print([path.name for path in checkpoints('.')], load_checkpoint(checkpoints('.')[-1])['x'].sum())\n"
        "import os; print(os.listdir('.'))\n"
    )
    script = f'mount -t tmpfs -o size=500k tmpfs "{tmp_path}" && cd "{tmp_path}" && "{sys.executable}" -c "$PROGRAM"'
    env = dict(os.environ) | {"PROGRAM": program, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True, env=env)
    error, kept, files = done.stdout.splitlines() or [done.stderr] * 3
    assert "step-00000002.pt cannot be written" in error
    assert "No space left on device" in error
    assert kept == "['step-00000001.pt'] tensor(50000.)"
    assert files == "['step-00000001.pt']"


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointFileError, match="cannot be written"):
        save_checkpoint(tmp_path / "file", 1, {"x": 1}, keep=1)
