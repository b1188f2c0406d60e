"""One notebook executed in a process of its own, watched from outside: time-out, death, stop.

The kernel sees nothing of the user's IPython profile, and no process outlives the call.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

from lmlib.course import notebooks
from lmlib.course.notebooks import Notebook
from lmlib.course.record import RECORD_VARIABLE
from lmlib.course.workers import Stop

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
TRACEBACK_LINES = 15
ANSI = re.compile(r"\x1b\[[0-9;]*m")
KILLED = "ended by signal 9"  # in the message of a process that the system, or a person, killed


@dataclass(frozen=True)
class Failure:
    """Why a notebook did not finish. Kinds: error (a cell raised), timeout, died, start, stopped."""

    kind: str
    message: str
    cell: str | None = None
    traceback: str = ""

    def __str__(self) -> str:
        return f"cell {self.cell!r}: {self.message}" if self.cell else self.message


@dataclass
class Execution:
    """What came of one notebook: its outputs as far as they came, and what it recorded (see record.py)."""

    seconds: float
    notebook: Notebook | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    failure: Failure | None = None


@dataclass(frozen=True)
class Watch:
    """What the caller wants to hear and may say while a notebook runs."""

    timeout: float | None = None  # seconds for the whole notebook
    stop: Stop = field(default_factory=Event)
    on_cell: Callable[[int, str], None] = lambda index, name: None


def execute(
    nb: Notebook,
    cwd: Path,
    parameters: dict[str, Any],
    threads: int | None = None,
    watch: Watch | None = None,
    server: str | None = None,
    environment: dict[str, str] | None = None,
) -> Execution:
    """Execute a notebook with `cwd` as the kernel's folder; a kernel that fails to start is tried once more.

    With the address of a warm server the notebook's process is forked there, and no kernel is started. `environment`
    adds to that of this process.
    """
    watch = watch or Watch()
    added = thread_settings(threads) | (environment or {})
    job = {"parameters": parameters, "cwd": str(cwd), "server": server}
    for attempt in (1, 2):
        with tempfile.TemporaryDirectory(prefix="lmbook-", ignore_cleanup_errors=True) as name:
            execution = _execute_in(Path(name), nb, job, added, watch)
        if attempt == 1 and execution.failure and execution.failure.kind == "start":
            continue
        break
    return execution


def _execute_in(folder: Path, nb: Notebook, job: dict[str, Any], added: dict[str, str], watch: Watch) -> Execution:
    (folder / "notebook.ipynb").write_text(json.dumps(nb), "utf-8")
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lmlib.course.worker", str(folder)],
            env=_environment(folder) | added,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C comes to the parent alone, which then ends this tree
        )
    started = monotonic()
    try:
        failure = _watch(process, folder, watch)
    finally:
        kill_tree(process)
    execution = Execution(monotonic() - started, rows=_rows(folder / "record.jsonl"))
    if (folder / "executed.ipynb").exists() and failure is None:
        execution.notebook = _without_error_markers(notebooks.read(folder / "executed.ipynb"))
        failure = _raised(execution.notebook)
    execution.failure = failure or _reported(process.returncode, folder)
    return execution


def _environment(folder: Path) -> dict[str, str]:
    package = str(Path(__file__).resolve().parents[2])  # so that notebooks find lmlib when it is not installed
    env = dict(os.environ)
    env |= {
        RECORD_VARIABLE: str(folder / "record.jsonl"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "TQDM_DISABLE": "1",  # bars on stderr would change the stored outputs
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
    }
    return env


def thread_settings(threads: int | None) -> dict[str, str]:
    """The environment variables that set the threads of a process; none when it is to choose."""
    return {name: str(threads) for name in THREAD_VARIABLES} if threads else {}


def _watch(process: subprocess.Popen, folder: Path, watch: Watch) -> Failure | None:
    """Wait for the end; a failure is what ended it from outside."""
    deadline = monotonic() + watch.timeout if watch.timeout else float("inf")
    while True:
        begun = _begun(folder)
        if begun:
            watch.on_cell(len(begun), begun[-1])
        cell = begun[-1] if begun else None
        if watch.stop.is_set():
            return Failure("stopped", "interrupted", cell)
        if monotonic() > deadline:
            return Failure("timeout", f"not finished after {watch.timeout:g} s (see --timeout)", cell)
        try:
            process.wait(timeout=0.1)
            return None
        except subprocess.TimeoutExpired:
            continue


def _begun(folder: Path) -> list[str]:
    cells = folder / "cells"
    return cells.read_text("utf-8").splitlines() if cells.exists() else []


def kill_tree(process: subprocess.Popen) -> None:
    """End a process and all that it started. The process is halted first, so that it starts no more."""
    import psutil

    if process.poll() is not None:
        return
    try:
        parent = psutil.Process(process.pid)
        parent.suspend()
        tree = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        tree = []
    for member in tree:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of the record; a last line cut off by a kill is left out."""
    lines = path.read_text("utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def _without_error_markers(nb: Notebook) -> Notebook:
    """papermill puts a cell before the one that failed; positions and ids should stay those of the source."""
    cells = [c for c in nb["cells"] if "papermill-error-cell-tag" not in c["metadata"].get("tags", [])]
    return {**nb, "cells": cells}


def _raised(nb: Notebook) -> Failure | None:
    for index, cell in enumerate(nb["cells"]):
        if not cell["metadata"].get("papermill", {}).get("exception"):
            continue
        name = cell["metadata"].get("name") or f"cell {index}"
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                lines = ANSI.sub("", "\n".join(output["traceback"])).splitlines()
                text = "\n".join(lines[-TRACEBACK_LINES:])
                return Failure("error", f"{output['ename']}: {output['evalue']}", name, text)
        return Failure("error", "the cell failed without an exception", name)
    return None


def _reported(returncode: int, folder: Path) -> Failure | None:
    """What the worker said of its failure, or how it ended when it could not say."""
    begun = _begun(folder)
    cell = begun[-1] if begun else None
    if (folder / "failure.json").exists():
        said = json.loads((folder / "failure.json").read_text("utf-8"))
        return Failure(said["kind"], said["message"], cell)
    if returncode == 0:
        return None
    log = (folder / "log").read_text("utf-8", errors="replace").strip().splitlines()
    ended = f"was {KILLED}" if returncode == -9 else f"ended with code {returncode}"
    return Failure(
        "died" if begun else "start",
        f"the process that ran the notebook {ended}",
        cell,
        "\n".join(log[-TRACEBACK_LINES:]),
    )
