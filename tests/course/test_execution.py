"""One notebook in a process of its own: whatever it does, the call ends, says why, and leaves nothing behind."""

import time
from pathlib import Path
from threading import Event

import psutil
import pytest

from lmlib.course import execution, notebooks
from lmlib.course.execution import Watch, execute

from .conftest import write_text_notebook


def run(folder: Path, *cells: str, **options):
    nb = notebooks.read(write_text_notebook(folder / "nb.py", *cells))
    return execute(nb, folder, options.pop("parameters", {}), **options)


def text_of(done, name: str) -> str:
    cell = next(cell for cell in done.notebook["cells"] if cell["id"] == name)
    return "".join(output.get("text", "") for output in cell["outputs"])


def test_the_kernel_works_in_the_folder_given_with_parameters_threads_and_a_clean_profile(tmp_path, monkeypatch):
    startup = tmp_path / "home" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "own.py").write_text("print('from the profile of the user'); seed = 99")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "home"))
    cells = (
        "import os, tqdm; from lmlib.course import record",
        "print(os.getcwd(), seed, os.environ['OMP_NUM_THREADS'])",
        "record.check('true', True); record.metric('loss', 1.5, 'nats')",
        "for i in tqdm.tqdm(range(3)): pass",
    )
    done = run(tmp_path, *cells, parameters={"seed": 7}, threads=3)
    assert done.failure is None
    assert text_of(done, "c2") == f"{tmp_path} 7 3\n"
    assert text_of(done, "c4") == ""  # no bar
    assert done.rows == [
        {"kind": "check", "name": "true", "passed": True},
        {"kind": "metric", "name": "loss", "value": 1.5, "unit": "nats"},
    ]


def test_a_cell_that_raises_is_named_with_its_traceback(tmp_path):
    done = run(tmp_path, "x = 0", "def f():\n    return 1 / x\n\nf()", "never = 1")
    assert (done.failure.kind, done.failure.cell) == ("error", "c2")
    assert done.failure.message == "ZeroDivisionError: division by zero"
    assert "return 1 / x" in done.failure.traceback
    assert "\x1b" not in done.failure.traceback
    assert [cell["id"] for cell in done.notebook["cells"]] == ["parameters", "c1", "c2", "c3"]


def test_an_exception_that_is_expected_is_no_failure(tmp_path):
    text = write_text_notebook(tmp_path / "nb.py", "1")
    text.write_text(
        text.read_text() + '\n# %% name="bad" tags=["raises-exception"]\n1 / 0\n\n# %% name="on"\nprint("on")\n'
    )
    done = execute(notebooks.read(text), tmp_path, {})
    assert done.failure is None
    assert text_of(done, "on") == "on\n"


def test_a_kernel_that_dies_is_seen_its_cell_named_and_what_came_before_kept(tmp_path):
    done = run(tmp_path, "print('before')", "import os; os._exit(0)")
    assert (done.failure.kind, done.failure.cell) == ("died", "c2")
    assert "the kernel died" in done.failure.message
    assert text_of(done, "c1") == "before\n"


def children() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


def test_at_the_time_out_the_cell_is_named_and_all_processes_end(tmp_path, monkeypatch):
    before = children()
    cell = (
        "import subprocess, time; p = subprocess.Popen(['sleep', '600'])\n"
        f"open('{tmp_path}/pid', 'w').write(str(p.pid))"
    )
    late = []  # the clock jumps when the second cell begins: no machine is too slow for this test
    monkeypatch.setattr(execution, "monotonic", lambda: time.monotonic() + (7000 if late else 0))
    watch = Watch(timeout=6000, on_cell=lambda index, name: late.append(name) if name == "c2" else None)
    done = run(tmp_path, cell, "while True: time.sleep(1)", watch=watch)
    assert (done.failure.kind, done.failure.cell) == ("timeout", "c2")
    assert "not finished after 6000 s" in done.failure.message
    assert not _is_alive(int((tmp_path / "pid").read_text()))
    assert children() == before


def _is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_stop_ends_the_notebook_soon(tmp_path):
    stop = Event()
    heard = []

    def stop_at_c1(index: int, name: str) -> None:
        heard.append((index, name))
        if name == "c1":
            stop.set()

    done = run(tmp_path, "import time; time.sleep(600)", watch=Watch(stop=stop, on_cell=stop_at_c1))
    assert (done.failure.kind, done.failure.cell) == ("stopped", "c1")
    assert heard[-1] == (2, "c1")
    assert done.seconds < 300


@pytest.mark.parametrize(("failures", "kind"), [(1, None), (2, "start")])
def test_a_kernel_that_fails_to_start_is_tried_once_more(tmp_path, monkeypatch, failures, kind):
    attempts = []
    real = execution._execute_in

    def first_fails(folder, *rest):
        attempts.append(folder)
        if len(attempts) <= failures:
            return execution.Execution(0.0, failure=execution.Failure("start", "Kernel died before replying"))
        return real(folder, *rest)

    monkeypatch.setattr(execution, "_execute_in", first_fails)
    done = run(tmp_path, "1")
    assert (done.failure.kind if done.failure else None) == kind
    assert len(attempts) == 2


def test_a_kernel_that_ends_at_once_is_a_failed_start(tmp_path, monkeypatch):
    kernel = tmp_path / "kernels" / "broken"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["false"], "display_name": "broken", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    nb = notebooks.read(write_text_notebook(tmp_path / "nb.py", "1"))
    nb["metadata"]["kernelspec"] = {"name": "broken", "display_name": "broken", "language": "python"}
    done = execute(nb, tmp_path, {})
    assert done.failure.kind == "start"
    assert done.failure.cell is None


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    run(tmp_path, "1 / 0")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_record_cut_off_in_its_last_line_is_read_up_to_there(tmp_path):
    (tmp_path / "record").write_text('{"kind": "check", "name": "a", "passed": true}\n{"kind": "ch')
    assert [row["name"] for row in execution._rows(tmp_path / "record")] == ["a"]
