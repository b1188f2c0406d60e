"""GPUs are handed out one a notebook, and running out of memory says what to lower. No GPU is needed for it."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from lmlib.course import batch, devices, memory, sweep
from lmlib.course.batch import Settings
from lmlib.course.devices import Devices, parse_devices
from lmlib.course.errors import CourseError, WorkFailedError
from lmlib.course.execution import Failure

from .conftest import Lmbook, write_text_notebook

RECORDS_ITS_DEVICE = """import os, time
from pathlib import Path
device = os.environ["CUDA_VISIBLE_DEVICES"]
held = Path("held-" + device)
held.mkdir()  # fails where another notebook has the device now
until = time.monotonic() + 60
while seed == 0 and not list(Path().glob("held-*[!" + device + "]")):  # the first ones wait until they are two
    assert time.monotonic() < until
    time.sleep(0.05)
time.sleep(0.3)
held.rmdir()
from lmlib.course import record
record.metric("device", int(device), "")"""


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch counts four GPUs, and nothing outside restricts them."""
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def devices_of(rows: list[batch.Result]) -> list[float]:
    return [metric["value"] for row in rows for metric in row.metrics]


def test_each_notebook_has_a_device_for_itself_and_a_free_one_goes_to_the_next(book: Path, four_gpus: None) -> None:
    for name in ("01_a", "02_b"):
        write_text_notebook(book / "chapters" / f"{name}.py", RECORDS_ITS_DEVICE)
    for name in ("03_c", "04_d"):
        write_text_notebook(book / "chapters" / f"{name}.py", "seed = 1\n" + RECORDS_ITS_DEVICE)
    rows = batch.run([], Settings(book / "out", devices=("1", "3")))
    assert sorted(devices_of(rows[:2])) == [1, 3]
    assert set(devices_of(rows)) == {1, 3}
    assert json.loads((book / "out" / "report.json").read_text())["jobs"] == 2


@pytest.mark.long
def test_a_sweep_hands_out_devices_too(book: Path, four_gpus: None) -> None:
    cell = (
        'from lmlib.course import record\nimport os; record.metric("device", int(os.environ["CUDA_VISIBLE_DEVICES"]))'
    )
    path = write_text_notebook(book / "chapters" / "01_a.py", cell)
    runs = sweep.sweep(path, {"seed": [0, 1]}, Settings(book / "out", devices=("2",)))
    assert devices_of([run.result for run in runs]) == [2, 2]


@pytest.mark.long
def test_the_warm_engine_hands_out_devices_too(book: Path, four_gpus: None) -> None:
    for name in ("01_a", "02_b"):
        write_text_notebook(book / "chapters" / f"{name}.py", RECORDS_ITS_DEVICE)
    rows = batch.run([], Settings(book / "out", devices=("0", "1"), engine="warm"))
    assert sorted(devices_of(rows)) == [0, 1]


def test_a_number_counts_among_the_gpus_that_a_scheduler_left_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-5f,7")
    with Devices(("1",)).one() as own:
        assert own == {"CUDA_VISIBLE_DEVICES": "GPU-5f"}


def test_who_finds_no_free_device_waits_for_the_first_that_is_given_back() -> None:
    pool = Devices(("0", "1"))

    def take() -> str:
        with pool.one() as own:
            return own["CUDA_VISIBLE_DEVICES"]

    with ThreadPoolExecutor(1) as threads, pool.one() as first:
        with pool.one() as second:
            assert [first["CUDA_VISIBLE_DEVICES"], second["CUDA_VISIBLE_DEVICES"]] == ["0", "1"]
            third = threads.submit(take)
            assert not wait([third], timeout=0.5).done
        assert third.result(timeout=60) == "1"


def test_a_device_is_given_back_when_the_notebook_fails() -> None:
    pool = Devices(("0",))
    with pytest.raises(ZeroDivisionError), pool.one():
        raise ZeroDivisionError
    assert pool._free is not None
    assert pool._free.get(timeout=1) == "0"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("", "takes numbers or names of GPUs"), ("0,x", "takes numbers or names"), ("0,1,0", "name each once")],
)
def test_devices_that_make_no_sense_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(CourseError, match=sentence):
        parse_devices(text)


def test_a_device_that_is_not_there_is_refused(four_gpus: None) -> None:
    devices.require_devices(("3", "GPU-1a"))
    with pytest.raises(CourseError, match="sees 4 CUDA devices here, 0 to 3"):
        devices.require_devices(("0", "4"))


def test_the_command_refuses_what_contradicts_devices(book: Path, lmbook: Lmbook) -> None:
    done = lmbook("run", "--devices", "0", "--jobs", "2")
    assert done.returncode == 2
    assert "leave out --device cpu and --jobs" in done.stderr


RAISES = "import torch\nraise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB.')"


def test_out_of_memory_says_what_to_lower(book: Path, four_gpus: None) -> None:
    path = write_text_notebook(book / "chapters" / "01_a.py", RAISES)
    path.write_text(path.read_text().replace("seed = 0\n", "seed = 0\nwidth = 4096\n"))
    write_text_notebook(book / "chapters" / "02_b.py", f"import os\nos.kill(os.getpid(), {signal.SIGKILL:d})")
    with pytest.raises(WorkFailedError, match="2 of 2 notebooks failed"):
        batch.run([], Settings(book / "out", profile="full", jobs=2))
    raised, killed = json.loads((book / "out" / "report.json").read_text())["notebooks"]
    assert raised["failure"]["message"] == (
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. Out of memory: give a smaller width "
        "(-p NAME VALUE), or use --profile quick, or run fewer than 2 notebooks at once (--jobs, or --devices), "
        "or take a machine with more"
    )
    assert killed["status"] == "died"
    assert killed["failure"]["message"].startswith(
        "the kernel died: it was ended by signal 9. It probably ran out of memory: use --profile quick"
    )


@pytest.mark.parametrize("message", ["AssertionError: memory", "the kernel died: it was ended by signal 11"])
def test_another_failure_is_left_as_it_is(message: str) -> None:
    failure = Failure("error", message)
    assert memory.with_advice(failure, {"cells": []}, {}, 2) is failure


@pytest.mark.parametrize(
    "message",
    [
        "MemoryError: ",
        "_ArrayMemoryError: Unable to allocate 7.28 TiB for an array",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory",
        "the process that ran the notebook was ended by signal 9",
        "DeadKernelError: it was ended by signal 9",
    ],
)
def test_every_way_to_run_out_of_memory_is_known(message: str) -> None:
    assert (
        "ut of memory: lower the batch size" in memory.with_advice(Failure("x", message), {"cells": []}, {}, 1).message
    )
