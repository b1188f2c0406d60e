"""A Dask scheduler and its workers as real processes on this machine, and jobs for them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lmlib.course.errors import CourseError
from lmlib.course.workers import Stop

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120


class Cluster:
    """A scheduler with so many workers, which stand in the folder `cwd`. A worker that ends is not started again."""

    def __init__(self, workers: int, cwd: Path, folder: Path) -> None:
        self._cwd, self._folder = cwd, folder
        file = folder / "scheduler.json"
        arguments = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        self.scheduler = self._start("scheduler", *arguments)
        deadline = time.monotonic() + START_SECONDS
        while not file.exists() and self.scheduler.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        self.address = json.loads(file.read_text("utf-8"))["address"]
        single = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
        self.workers = [self._start("worker", self.address, *single) for _ in range(workers)]

    def _start(self, what: str, *arguments: str) -> subprocess.Popen:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", what, *arguments],
                cwd=self._cwd,
                env=environment(),
                stdout=log,
                stderr=log,
            )

    def end(self) -> None:
        """Kill all that still runs."""
        for process in (self.scheduler, *self.workers):
            kill(process)


def environment() -> dict[str, str]:
    """The environment of this process, with lmlib and the tests from this repository."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return kept | {"PYTHONPATH": path, "COLUMNS": "200"}


@contextmanager
def cluster(workers: int, cwd: Path = ROOT) -> Iterator[Cluster]:
    """A cluster for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="lmbook-dask-", ignore_cleanup_errors=True) as folder:
        made = Cluster(workers, cwd, Path(folder))
        try:
            yield made
        finally:
            made.end()


def kill(process: subprocess.Popen) -> None:
    """End a process as a machine does that loses its power."""
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


# Jobs --------------------------------------------------------------------------------------------------------------


def slow_square(number: int, log: str) -> int:
    """A job that notes that it has begun, and takes a while."""
    with open(log, "a") as file:
        file.write(f"{number}\n")
    time.sleep(0.3)
    return number * number


def refused() -> None:
    """A job that finds something that a person can put right."""
    raise CourseError("put it right")


def until_stopped(stop: Stop) -> str:
    """A job that ends when it is told to."""
    deadline = time.monotonic() + START_SECONDS
    while not stop.is_set():
        if time.monotonic() > deadline:
            return "never"
        time.sleep(0.05)
    return "stopped"


def deadly() -> None:
    """A job that ends the worker that does it."""
    os.kill(os.getpid(), signal.SIGKILL)
