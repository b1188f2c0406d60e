"""`lmbook run`: what is executed, what is reported, what is refused, and what an interruption leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lmlib.course import batch, execution, fingerprint
from lmlib.course.batch import Settings
from lmlib.course.errors import CourseError, WorkFailedError
from lmlib.course.execution import Execution, Failure
from lmlib.course.warm import client
from lmlib.course.warm.client import ChildEndedError

from .conftest import command, environment, write_text_notebook

CHECKED = (
    "from lmlib.course import record; record.check('two is two', 2 == 2); record.metric('loss', seed + 0.5, 'nats')"
)


def report(out: Path = Path("build/run")) -> dict:
    return json.loads((out / "report.json").read_text("utf-8"))


def statuses() -> dict[str, str]:
    return {row["name"]: row["status"] for row in report()["notebooks"]}


def test_one_failing_notebook_does_not_stop_the_others_and_a_rerun_executes_only_what_is_not_good(book, lmbook):
    write_text_notebook(book / "chapters" / "01_a.py", CHECKED)
    bad = write_text_notebook(book / "chapters" / "02_b.py", "x = 1", "assert x == 2, 'x is 1'", parameters=False)
    write_text_notebook(book / "solutions" / "01_a.py", "print(profile, device)")
    result = lmbook("run", "--device", "cpu")
    assert result.returncode == 1
    assert "1 of 3 notebooks failed: chapters/02_b" in result.stderr
    assert statuses() == {"chapters/01_a": "passed", "chapters/02_b": "failed", "solutions/01_a": "passed"}
    rows = {row["name"]: row for row in report()["notebooks"]}
    assert rows["chapters/01_a"]["checks"] == [{"name": "two is two", "passed": True}]
    assert rows["chapters/01_a"]["metrics"] == [{"name": "loss", "value": 0.5, "unit": "nats"}]
    assert rows["chapters/02_b"]["failure"]["cell"] == "c2"
    assert "assert x == 2" in rows["chapters/02_b"]["failure"]["traceback"]
    assert "quick cpu" in (book / "build" / "run" / "notebooks" / "solutions" / "01_a.ipynb").read_text()
    page = (book / "build" / "run" / "report.html").read_text()
    assert "1 of 3 notebooks failed" in page
    assert "AssertionError: x is 1" in page

    bad.write_text(bad.read_text().replace("x = 1", "x = 2"))
    again = lmbook("run", "--device", "cpu")
    assert again.returncode == 0, again.stderr
    assert statuses() == {"chapters/01_a": "unchanged", "chapters/02_b": "passed", "solutions/01_a": "unchanged"}
    kept = report()["notebooks"][0]
    assert kept["seconds"] == rows["chapters/01_a"]["seconds"]
    assert kept["metrics"] == rows["chapters/01_a"]["metrics"]
    assert report()["totals"]["checks"] == 1


@pytest.fixture
def executed(monkeypatch) -> list[str]:
    """Names of the notebooks that are executed; none is, really."""
    names: list[str] = []

    def pretend(task, *_):
        names.append(task.name)
        return Execution(1.0, notebook=task.notebook, rows=[])

    monkeypatch.setattr(batch, "_execute", pretend)
    return names


def test_only_what_changed_is_executed(book, executed):
    write_text_notebook(book / "chapters" / "01_a.py", "1")
    other = write_text_notebook(book / "chapters" / "02_b.py", "2")
    out = book / "out"

    def names_of_run(**options) -> list[str]:
        executed.clear()
        batch.run([], Settings(out, **options))
        return sorted(executed)

    both = ["chapters/01_a", "chapters/02_b"]
    assert names_of_run() == both
    assert names_of_run() == []
    other.write_text(other.read_text() + "\n3\n")
    assert names_of_run() == ["chapters/02_b"]
    assert names_of_run(profile="full") == both
    assert names_of_run(profile="full", device="cpu") == both
    assert names_of_run(profile="full", given={"seed": 1}) == both
    assert names_of_run(profile="full", given={"seed": 1}) == []
    assert names_of_run(profile="full", given={"seed": 1}, force=True) == both
    (book / "chapters" / "01_a_data.json").write_text("[]")
    assert names_of_run(profile="full", given={"seed": 1}) == ["chapters/01_a"]
    (out / "results" / "chapters" / "02_b.json").write_text("{damaged")
    assert names_of_run(profile="full", given={"seed": 1}) == ["chapters/02_b"]
    (out / "notebooks" / "chapters" / "01_a.ipynb").unlink()
    assert names_of_run(profile="full", given={"seed": 1}) == ["chapters/01_a"]


def test_what_took_longest_begins_first_and_what_is_new_before_it(book, executed, monkeypatch):
    seconds = {"chapters/01_a": 1.0, "chapters/02_b": 3.0, "chapters/03_c": 2.0}
    for name in seconds:
        write_text_notebook(book / f"{name}.py", "1")

    def pretend(task, *_):
        executed.append(task.name)
        return Execution(seconds.get(task.name, 0.0), notebook=task.notebook, rows=[])

    monkeypatch.setattr(batch, "_execute", pretend)
    batch.run([], Settings(book / "out", jobs=1))
    assert executed == ["chapters/01_a", "chapters/02_b", "chapters/03_c"]
    executed.clear()
    write_text_notebook(book / "chapters" / "04_new.py", "1")
    batch.run([], Settings(book / "out", jobs=1, force=True))
    assert executed == ["chapters/04_new", "chapters/02_b", "chapters/03_c", "chapters/01_a"]


def test_a_change_of_the_library_executes_everything_again(book, executed, monkeypatch, tmp_path):
    write_text_notebook(book / "chapters" / "01_a.py", "1")
    package = tmp_path / "lmlib" / "course"
    package.mkdir(parents=True)
    (package / "batch.py").write_text("1")
    monkeypatch.setattr(fingerprint, "PACKAGE", package.parent)
    batch.run([], Settings(book / "out"))
    batch.run([], Settings(book / "out"))
    (package.parent / "attention.py").write_text("2")
    batch.run([], Settings(book / "out"))
    assert executed == ["chapters/01_a"] * 2


@pytest.mark.parametrize(
    ("rows", "failure", "status", "sentence"),
    [
        ([], None, "passed", None),
        ([{"kind": "check", "name": "c", "passed": False}], None, "failed", "does not hold: c"),
        ([{"kind": "points", "name": "q", "score": 1.5, "max": 2}], None, "short", "points are short: q: 1.5 of 2"),
        ([{"kind": "points", "name": "q", "score": 2, "max": 2}], None, "passed", None),
        ([], Failure("error", "KeyError: 1", "c1"), "failed", "cell 'c1': KeyError: 1"),
        ([], Failure("timeout", "not finished", "c1"), "timeout", "cell 'c1': not finished"),
    ],
)
def test_a_notebook_passes_only_when_every_check_holds_and_no_point_is_missing(rows, failure, status, sentence):
    task = batch.Task("nb", Path("nb.py"), {"cells": [], "metadata": {}}, {}, "key")
    result = batch._judge(task, Execution(1.0, rows=rows, failure=failure))
    assert result.status == status
    assert (str(result.failure) if result.failure else None) == sentence


def notebook_json(**metadata) -> str:
    return json.dumps({"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{ not json", "this is not a notebook"),
        (notebook_json(), "names no kernel"),
        (notebook_json(kernelspec={"name": "cobol"}), "asks for the kernel 'cobol'; installed: "),
    ],
)
def test_a_notebook_that_cannot_run_is_refused_before_any_runs(book, executed, content, sentence):
    write_text_notebook(book / "chapters" / "01_a.py", "1")
    (book / "chapters" / "02_b.ipynb").write_text(content)
    with pytest.raises(CourseError, match=sentence):
        batch.run([], Settings(book / "out"))
    assert executed == []


def test_a_device_that_is_not_there_is_refused(book, executed, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    write_text_notebook(book / "chapters" / "01_a.py", "1")
    with pytest.raises(CourseError, match="sees no CUDA device here; use --device cpu or auto"):
        batch.run([], Settings(book / "out", device="cuda"))
    assert executed == []


def test_an_output_folder_that_is_a_file_is_refused(book, executed):
    write_text_notebook(book / "chapters" / "01_a.py", "1")
    (book / "out").write_text("a file")
    with pytest.raises(CourseError, match="the output folder cannot be written") as error:
        batch.run([], Settings(book / "out"))
    assert error.value.exit_code == 2
    assert executed == []


def test_a_disk_that_fills_up_in_the_middle_is_one_sentence_and_keeps_the_good_results(book, executed, monkeypatch):
    write_text_notebook(book / "chapters" / "01_a.py", "1")
    batch.run([], Settings(book / "out"))
    good = (book / "out" / "notebooks" / "chapters" / "01_a.ipynb").read_bytes()
    real = batch.notebooks.write_atomically

    def full(path: Path, text: str) -> None:
        if path.suffix in (".ipynb", ".json", ".html"):
            raise OSError(28, "No space left on device")
        real(path, text)

    monkeypatch.setattr(batch.notebooks, "write_atomically", full)
    with pytest.raises(WorkFailedError, match="No space left on device"):
        batch.run([], Settings(book / "out", force=True))
    assert (book / "out" / "notebooks" / "chapters" / "01_a.ipynb").read_bytes() == good


@pytest.mark.parametrize("engine", ["kernel", "auto"])
def test_without_room_for_temporary_files_the_notebook_fails_with_the_reason(book, monkeypatch, engine):
    write_text_notebook(book / "chapters" / "01_a.py", "1")
    monkeypatch.setattr("tempfile.tempdir", str(book / "absent"))
    with pytest.raises(WorkFailedError, match="1 of 1 notebooks failed"):
        batch.run([], Settings(book / "out", engine=engine))
    row = report(book / "out")["notebooks"][0]
    assert (row["status"], row["executed"]) == ("start", None)
    assert "no temporary files can be written (No such file or directory)" in row["failure"]["message"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_where_no_server_starts_notebooks_get_kernels_unless_it_was_asked_for_by_name(book, monkeypatch, capsys):
    write_text_notebook(book / "chapters" / "01_a.py", CHECKED)

    class NoServer:
        def __init__(self, *arguments):
            raise ChildEndedError("the server did not start")

    monkeypatch.setattr(client, "WarmServer", NoServer)
    with pytest.raises(WorkFailedError, match="the server did not start; --engine kernel does without it"):
        batch.run([], Settings(book / "out", engine="warm"))
    (result,) = batch.run([], Settings(book / "out", engine="auto"))
    assert result.status == "passed"
    assert "the server did not start. Each notebook gets a kernel instead." in capsys.readouterr().out


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_kernels_leaves_a_report_and_a_rerun_finishes_the_rest(book, lmbook, sent):
    write_text_notebook(book / "chapters" / "01_a.py", "1")
    slow = write_text_notebook(book / "chapters" / "02_b.py", "import time; open('started', 'w'); time.sleep(600)")
    process = subprocess.Popen(
        command("run", "--jobs", "1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    _wait_until((book / "chapters" / "started").exists)
    tree = descendants(process.pid)
    assert len(tree) >= 2
    process.send_signal(sent)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted with 1 of 2 notebooks done; run again to finish the rest" in said
    assert "Traceback" not in said
    assert not psutil.wait_procs(tree, timeout=5)[1]
    assert statuses() == {"chapters/01_a": "passed", "chapters/02_b": "stopped"}
    assert "Interrupted with 1 of 2 notebooks to do" in (book / "build" / "run" / "report.html").read_text()
    slow.write_text(slow.read_text().replace("600", "0"))
    assert lmbook("run").returncode == 0
    assert statuses() == {"chapters/01_a": "unchanged", "chapters/02_b": "passed"}


def test_a_run_that_was_killed_leaves_no_process_and_goes_on_from_there(book, lmbook):
    write_text_notebook(book / "chapters" / "01_a.py", "1")
    slow = write_text_notebook(book / "chapters" / "02_b.py", "import time; open('started', 'w'); time.sleep(600)")
    process = subprocess.Popen(command("run", "--jobs", "1"), stdout=subprocess.DEVNULL, env=environment())
    _wait_until((book / "chapters" / "started").exists)
    tree = descendants(process.pid)
    process.kill()
    process.wait()
    assert not psutil.wait_procs(tree, timeout=10)[1]
    slow.write_text(slow.read_text().replace("600", "0"))
    assert lmbook("run").returncode == 0
    assert statuses() == {"chapters/01_a": "unchanged", "chapters/02_b": "passed"}


def _wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not begin"
        time.sleep(0.1)


def test_notebooks_run_side_by_side_with_the_cores_divided(book, lmbook):
    meet = (
        "import os, time; open(f'here-{os.getpid()}', 'w').write(os.environ['OMP_NUM_THREADS'])\n"
        "from pathlib import Path\n"
        "until = time.monotonic() + 60\n"
        "while len(list(Path().glob('here-*'))) < 2: assert time.monotonic() < until; time.sleep(0.05)"
    )
    for name in ("01_a", "02_b"):
        write_text_notebook(book / "chapters" / f"{name}.py", meet)
    env = {k: v for k, v in environment().items() if k != "OMP_NUM_THREADS"}
    result = subprocess.run(command("run", "--jobs", "2"), capture_output=True, text=True, env=env)
    assert result.returncode == 0, result.stdout + result.stderr
    from lmlib.course.machine import cores

    threads = {path.read_text() for path in (book / "chapters").glob("here-*")}
    assert threads == {str(max(1, cores() // 2))}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs Linux")
def test_a_full_disk_is_one_sentence_and_a_rerun_finishes(book, lmbook):
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("needs unshare: user namespaces are closed here")
    write_text_notebook(book / "chapters" / "01_a.py", "print('x' * 400_000)")
    (book / "out").mkdir()
    program = " ".join(command("run", "--out", "out"))
    script = (
        "mount -t tmpfs -o size=300k tmpfs out || exit 9\n"
        f"{program}; echo first $?\nls out/notebooks/chapters out/.??* 2>/dev/null\n"
        f"mount -o remount,size=20m out; {program}; echo second $?\nls out out/notebooks/chapters"
    )
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True, env=environment())
    assert "first 1" in done.stdout, done.stdout + done.stderr
    assert "out: the output folder cannot be written (No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr
    before, after = done.stdout.split("first 1")[1].split("second 0")
    assert "01_a.ipynb" not in before  # neither whole nor half
    assert {"report.html", "01_a.ipynb"} <= set(after.split())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs Linux")
def test_a_read_only_output_folder_is_refused(book):
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("needs unshare: user namespaces are closed here")
    write_text_notebook(book / "chapters" / "01_a.py", "1")
    (book / "out").mkdir()
    program = " ".join(command("run", "--out", "out/run"))
    script = f"mount -t tmpfs -o ro tmpfs out || exit 9\n{program}; echo ended $?"
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True, env=environment())
    assert "ended 2" in done.stdout, done.stdout + done.stderr
    assert "out/run: the output folder cannot be written (Read-only file system)" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_words_of_the_world_belong_to_the_library():
    words = set((fingerprint.PACKAGE / "data" / "world").rglob("*.txt"))
    assert words
    assert words <= set(fingerprint.library_files())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs sh")
def test_a_process_that_leaves_half_a_file_costs_its_own_notebook_only(book, monkeypatch, tmp_path):
    for name in ("01_a", "02_b"):
        write_text_notebook(book / "chapters" / f"{name}.py", "1")
    worker = tmp_path / "python"
    worker.write_text("#!/bin/sh\necho c1 > $3/cells; printf '{\"cells\": [' > $3/executed.ipynb; exit 1\n")
    worker.chmod(0o755)
    monkeypatch.setattr(execution.sys, "executable", str(worker))
    with pytest.raises(WorkFailedError, match="2 of 2 notebooks failed"):
        batch.run([], Settings(book / "out"))
    assert {row["status"] for row in report(book / "out")["notebooks"]} == {"died"}


def test_another_run_that_tries_the_same_folder_at_that_moment_is_no_fault(tmp_path, monkeypatch):
    real = batch.notebooks.write_atomically

    def put_away_by_the_other(path: Path, text: str) -> None:
        real(path, text)
        path.unlink()

    monkeypatch.setattr(batch.notebooks, "write_atomically", put_away_by_the_other)
    batch.require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []
