"""`lmbook run`: many notebooks with papermill, side by side; only what changed is executed; a report at the end.

Each result is a file of its own under OUT/results, written when its notebook ends: a run that was killed at
any moment goes on from there.
"""

import hashlib
import json
import os
import platform
import socket
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lmlib.course import book, fingerprint, machine, memory, notebooks, parameters
from lmlib.course.devices import Devices, require_devices
from lmlib.course.errors import CourseError, InterruptedWorkError, WorkFailedError
from lmlib.course.execution import Execution, Failure, Watch, execute, thread_settings
from lmlib.course.notebooks import Notebook, NotebookError
from lmlib.course.progress_display import Display
from lmlib.course.workers import Stop, Workers, WorkersLostError, workers

GOOD = ("passed", "unchanged")
WARMED = ("torch._dynamo",)  # torch imports it, in one second, when the first optimizer is made


@dataclass(frozen=True)
class Settings:
    """What a run was asked for. `timeout` in seconds for each notebook."""

    out: Path
    profile: str = "quick"
    device: str = "auto"
    given: dict[str, Any] = field(default_factory=dict)
    jobs: int | None = None
    timeout: float = 3600
    force: bool = False
    engine: str = "kernel"  # or warm: processes forked from one server; or auto: warm where that can be had
    devices: tuple[str, ...] = ()  # GPUs that are handed out, one to each notebook that runs
    scheduler: str | None = None  # the address of a Dask scheduler, whose workers then execute


@dataclass(frozen=True)
class Result:
    """What came of one notebook: what the report shows, and what the next run compares."""

    name: str
    status: str  # passed, unchanged, failed, short (of points), timeout, died, start, stopped
    seconds: float = 0.0
    checks: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    points: list[dict[str, Any]] = field(default_factory=list)
    failure: Failure | None = None
    key: str = ""


@dataclass(frozen=True)
class Task:
    """One notebook that is to be executed."""

    name: str
    path: Path
    notebook: Notebook
    parameters: dict[str, Any]
    key: str


def run(paths: list[Path], settings: Settings) -> list[Result]:
    """Run the notebooks at `paths` (all of the book when empty) and write OUT/report.html and report.json.

    Raises CourseError before anything runs when an argument is wrong, WorkFailedError when a notebook fails.
    """
    from lmlib.course import report

    base = book.root()
    selected = {book.name_of(path, base): path for path in book.select(paths, base)}
    require_writable(settings.out)
    keys = {name: key_of(content_of(path, base), settings) for name, path in selected.items()}
    results = {} if settings.force else unchanged(keys, settings.out)
    tasks = [task_of(name, path, keys[name], settings) for name, path in selected.items() if name not in results]
    require_runnable(tasks, settings)
    jobs, threads = jobs_and_threads(tasks, settings)
    with Display(len(selected)) as display:
        for result in results.values():
            display.ended(result.name, result.status, "")
        try:
            execute_all(tasks, settings, jobs, threads, display, results)
        except KeyboardInterrupt:
            done = sum(1 for result in results.values() if result.status != "stopped")
            raise InterruptedWorkError(
                f"interrupted with {done} of {len(selected)} notebooks done; run again to finish the rest"
            ) from None
        finally:
            rows = [results.get(name, Result(name, "stopped")) for name in selected]
            with _clear_sentence_when_unwritable(settings.out):
                display.note(f"Report: {book.shown(report.write(rows, settings, jobs, threads, base))}")
    _raise_for_failures(rows)
    return rows


def jobs_and_threads(tasks: list[Task], settings: Settings) -> tuple[int, int]:
    """How many notebooks run at once, and the threads of each: with devices one for each device."""
    return machine.jobs_and_threads(len(tasks), len(settings.devices) or settings.jobs)


@contextmanager
def _server(settings: Settings, threads: int, display: Display) -> Iterator[str | None]:
    """The address of a warm server, which sets the threads of all that it forks; None where notebooks get kernels.

    Raises WorkFailedError when a server was asked for by name and does not start.
    """
    if settings.engine == "kernel" or (settings.engine == "auto" and (settings.scheduler or sys.platform != "linux")):
        yield None
        return
    from lmlib.course.warm.client import ChildEndedError, WarmServer

    try:
        server = WarmServer(os.environ | thread_settings(threads), WARMED)
    except (ChildEndedError, OSError) as error:
        if settings.engine == "warm":
            raise WorkFailedError(f"{error}; --engine kernel does without it") from None
        display.note(f"{error}. Each notebook gets a kernel instead.")
        yield None
        return
    with server:
        yield server.address


def execute_all(
    tasks: list[Task], settings: Settings, jobs: int, threads: int, display: Display, results: dict[str, Result]
) -> None:
    """Execute tasks side by side and add each result when it is written. An interrupt ends all kernels."""
    if not tasks:
        return
    devices = Devices(settings.devices)
    own_jobs = settings.jobs if settings.scheduler else jobs
    with _server(settings, threads, display) as server, workers(own_jobs, settings.scheduler) as own:
        base = book.root()
        states = {path: _state(path, settings, base) for path in {task.path for task in tasks if settings.scheduler}}

        def submit(task: Task) -> Future[Execution]:
            if settings.scheduler:
                return own.submit(execute_elsewhere, task, settings, base, states[task.path], own.stop)
            return own.submit(_execute, task, settings, threads, server, devices, own.stop, display)

        with closing(own.each(_longest_first(tasks, settings.out), submit)) as ended:
            try:
                for task, future in ended:
                    results[task.name] = _settle(task, _outcome(own, future), settings, jobs, display)
            except BaseException:
                own.stop.set()
                raise


def _execute(
    task: Task,
    settings: Settings,
    threads: int,
    server: str | None,
    devices: Devices,
    stop: Stop,
    display: Display,
) -> Execution:
    if stop.is_set():
        return Execution(0.0, failure=Failure("stopped", "interrupted"))
    display.began(task.name, len(task.notebook["cells"]))
    watch = Watch(settings.timeout, stop, lambda index, cell: display.cell(task.name, index, cell))
    with devices.one() as own:
        return _executed(task, threads, watch, server, own)


def execute_elsewhere(task: Task, settings: Settings, base: Path, state: str, stop: Stop) -> Execution:
    """Execute a task in a worker, with the threads that the worker's environment sets.

    Raises CourseError when the notebook, its data, lmlib, Python or torch are not there as they are at the sender's.
    """
    if not task.path.is_file() or _state(task.path, settings, base) != state:
        raise CourseError(
            f"{task.path} is missing on {socket.gethostname()}, or it, its data, lmlib, Python or torch differ there; "
            "workers need the book at the same path, in a shared folder, and the same environment"
        )
    return _executed(task, None, Watch(settings.timeout, stop), None, {})


def _state(path: Path, settings: Settings, base: Path) -> str:
    """What of this machine the result of a notebook depends on."""
    return key_of(content_of(path, base), settings)


def _executed(
    task: Task, threads: int | None, watch: Watch, server: str | None, environment: dict[str, str]
) -> Execution:
    try:
        return execute(task.notebook, task.path.parent, task.parameters, threads, watch, server, environment)
    except OSError as error:
        return Execution(0.0, failure=Failure("start", f"no temporary files can be written ({error.strerror})"))
    except (NotebookError, json.JSONDecodeError, UnicodeDecodeError) as error:
        place = f"is there room in {tempfile.gettempdir()}?"
        return Execution(0.0, failure=Failure("died", f"its process left a file that is not whole; {place} ({error})"))


def _outcome(own: Workers, future: Future[Execution]) -> Execution:
    """What a task gave; a task that its workers died of is one that died. Raises what would befall every other one."""
    try:
        return own.result(future)
    except WorkersLostError:
        raise
    except WorkFailedError as error:
        return Execution(0.0, failure=Failure("died", str(error)))


def _settle(task: Task, execution: Execution, settings: Settings, jobs: int, display: Display) -> Result:
    """Write the executed notebook and its result; what a failed run leaves there is whole, too."""
    if execution.failure is not None:
        failure = memory.with_advice(execution.failure, task.notebook, task.parameters, jobs)
        execution = replace(execution, failure=failure)
    result = _judge(task, execution)
    with _clear_sentence_when_unwritable(settings.out):
        if execution.notebook is not None:
            notebooks.write(execution.notebook, settings.out / "notebooks" / f"{task.name}.ipynb")
        if result.status != "stopped":
            text = json.dumps(asdict(result), ensure_ascii=False, indent=1)
            notebooks.write_atomically(_result_path(settings.out, task.name), text + "\n")
    display.ended(result.name, result.status, str(result.failure or ""), result.seconds)
    return result


def _judge(task: Task, execution: Execution) -> Result:
    rows: dict[str, list[dict[str, Any]]] = {"check": [], "metric": [], "points": []}
    for row in execution.rows:
        rows.get(row.get("kind", ""), []).append({k: v for k, v in row.items() if k != "kind"})
    failure = execution.failure
    broken = [row["name"] for row in rows["check"] if not row["passed"]]
    short = [row for row in rows["points"] if row["score"] < row["max"]]
    if failure is None and broken:
        failure = Failure("error", f"does not hold: {'; '.join(broken)}")
    if failure is None and short:
        scores = "; ".join(f"{row['name']}: {row['score']:g} of {row['max']:g}" for row in short)
        failure = Failure("short", f"points are short: {scores}")
    status = {"error": "failed"}.get(failure.kind, failure.kind) if failure else "passed"
    return Result(
        task.name, status, execution.seconds, rows["check"], rows["metric"], rows["points"], failure, task.key
    )


# What a result depends on -------------------------------------------------------------------------------------


def key_of(content: str, settings: Settings) -> str:
    """A hash of all that a result depends on: the content of files, the parameters, the versions."""
    asked = [settings.profile, settings.device, sorted((k, repr(v)) for k, v in settings.given.items())]
    return hashlib.sha256(
        json.dumps([content, asked, platform.python_version(), _torch_version()]).encode()
    ).hexdigest()


def content_of(path: Path, base: Path) -> str:
    """A hash of a notebook, its data files and lmlib."""
    return fingerprint.of([path, *fingerprint.library_files(), *_data_files(path, base)])


def _data_files(path: Path, base: Path) -> list[Path]:
    """Files that a notebook may read: the book's lists, and those beside it or its release that begin as it does."""
    part = path.relative_to(base).parts[1:-1] if path.is_relative_to(base) else ()
    folders = {path.parent, *(base.joinpath(top, *part) for top in ("chapters", "solutions", "exercises"))}
    companions = {file for folder in folders for file in folder.glob(f"{path.stem}*") if file.is_file()}
    own = {path, path.with_suffix(".ipynb"), path.with_suffix(".py")}
    return sorted([*(base / "chapters").glob("*.yml"), *(companions - own)])


def _torch_version() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return "none"


def unchanged(keys: dict[str, str], out: Path) -> dict[str, Result]:
    """Earlier results that passed and still hold."""
    earlier = {name: _earlier(name, out) for name in keys}
    return {
        name: replace(result, status="unchanged")
        for name, result in earlier.items()
        if result and result.status == "passed" and result.key == keys[name] and _notebook_path(out, name).is_file()
    }


def _longest_first(tasks: list[Task], out: Path) -> list[Task]:
    """By the seconds that they took last time, so that no long one runs alone at the end; before them what is new."""

    def seconds(task: Task) -> float:
        earlier = _earlier(task.name, out)
        return earlier.seconds if earlier else float("inf")

    return sorted(tasks, key=seconds, reverse=True)


def _earlier(name: str, out: Path) -> Result | None:
    """The result of an earlier run; None when there is none, or it is damaged."""
    try:
        return Result(**(json.loads(_result_path(out, name).read_text("utf-8")) | {"failure": None}))
    except (OSError, ValueError, TypeError):
        return None


def _result_path(out: Path, name: str) -> Path:
    return out / "results" / f"{name}.json"


def _notebook_path(out: Path, name: str) -> Path:
    return out / "notebooks" / f"{name}.ipynb"


# What must be in order before anything runs --------------------------------------------------------------------


def task_of(name: str, path: Path, key: str, settings: Settings) -> Task:
    """A notebook with its parameters. Raises CourseError when it cannot take them."""
    nb = notebooks.read(path)
    parameters.refuse_unfit(name, nb, settings.given)
    known = parameters.parameters_of(nb) or {}
    own = {k: v for k, v in (("profile", settings.profile), ("device", settings.device)) if k in known}
    return Task(name, path, nb, own | settings.given, key)


def require_runnable(tasks: list[Task], settings: Settings) -> None:
    """Raise CourseError when the kernel of a task, or the device, is not there."""
    if not tasks:
        return
    if settings.device == "cuda" and not settings.scheduler:
        _require_cuda()
    require_devices(settings.devices)
    from jupyter_client.kernelspec import KernelSpecManager

    installed = KernelSpecManager().find_kernel_specs()
    for task in tasks:
        kernel = task.notebook["metadata"].get("kernelspec", {}).get("name")
        if not kernel:
            raise CourseError(f"{task.name} names no kernel; open it in JupyterLab, choose one, and save it")
        if kernel not in installed:
            raise CourseError(f"{task.name} asks for the kernel {kernel!r}; installed: {', '.join(installed)}")


def _require_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise CourseError(
            f"--device cuda: torch {torch.__version__} sees no CUDA device here; use --device cpu or auto "
            "(`lmbook doctor` says what torch can use)"
        )


def require_writable(out: Path) -> None:
    """Raise CourseError when nothing can be written into the output folder."""
    with _clear_sentence_when_unwritable(out, CourseError):
        probe = out / ".writable"
        notebooks.write_atomically(probe, "")
        probe.unlink(missing_ok=True)  # another run may be trying the same


@contextmanager
def _clear_sentence_when_unwritable(out: Path, error_class: type[CourseError] = WorkFailedError) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise error_class(
            f"{out}: the output folder cannot be written ({error.strerror}); make room there or choose another "
            "with --out; what is finished is kept, and the next run goes on from there"
        ) from None


def _raise_for_failures(rows: list[Result]) -> None:
    bad = [row for row in rows if row.status not in GOOD]
    if bad:
        raise WorkFailedError(f"{len(bad)} of {len(rows)} notebooks failed: {', '.join(row.name for row in bad)}")
