"""The command line `lmbook`. Each command calls one function of a module, imported when the command runs.

Exit codes: 0 fine; 1 the work failed; 2 wrong use; 130 interrupted.
"""

import io
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lmlib.course.errors import CourseError
from lmlib.course.gradebook.commands import app as gradebook_app
from lmlib.course.options import Sandbox, SandboxOption, Scheduler, Timeout, Untrusted

INTERRUPTED = 130  # what typer makes of Ctrl-C

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Paths = Annotated[list[Path] | None, typer.Argument(help="Notebooks or folders. Default: all.", show_default=False)]

Names = Annotated[list[str] | None, typer.Argument(help="CHAPTER/NAME, or NAME. Default: all.", show_default=False)]


@app.callback()
def lmbook() -> None:
    """Run the book's notebooks, start and check exercises, grade them, and report."""


def main() -> None:
    """Run the command line; an error that a person can put right is one sentence on stderr."""
    for stream in (sys.stdout, sys.stderr):  # on Windows a file or a pipe has the code page, without ✓ and 中文
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill ends all kernels, as Ctrl-C does
    try:
        app(prog_name="lmbook", args=_with_pairs_joined(sys.argv[1:]))
    except CourseError as error:
        _say_error(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        _say_error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _say_error("interrupted")
        raise


def _with_pairs_joined(arguments: list[str]) -> list[str]:
    """`-p NAME VALUE` as `-p NAME=VALUE`: typer has no repeatable option of two values."""
    joined: list[str] = []
    for argument in arguments:
        if len(joined) > 1 and joined[-2] in ("-p", "--parameter") and "=" not in joined[-1]:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _say_error(sentence: str) -> None:
    from rich.console import Console

    Console(stderr=True, soft_wrap=True).print(f"[bold red]lmbook:[/] {_escape(sentence)}", highlight=False)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@app.command()
def build(paths: Paths = None) -> None:
    """Execute text notebooks (.py) and write the .ipynb beside each; the old one stays when a cell fails."""
    from lmlib.course.build import build_all

    build_all(paths or [])


class Profile(StrEnum):
    quick = "quick"
    full = "full"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Engine(StrEnum):
    auto = "auto"
    kernel = "kernel"
    warm = "warm"


ProfileOption = Annotated[Profile, typer.Option(help="Size of the experiments: quick on two cores, full on a GPU.")]

DeviceOption = Annotated[Device, typer.Option(help="Where models run; auto takes the GPU when there is one.")]

EngineOption = Annotated[
    Engine,
    typer.Option(help="A kernel for each notebook, or warm: processes forked from one server; auto is warm on Linux."),
]

Parameters = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="NAME VALUE", help="Set a notebook parameter; repeatable."),
]

Jobs = Annotated[int | None, typer.Option(min=1, help="Notebooks at once. Default: one a core.", show_default=False)]

Devices = Annotated[
    str | None,
    typer.Option(metavar="0,1,…", help="GPUs, one for each notebook that runs; a free one goes to the next."),
]


def _devices(given: str | None, device: str, jobs: int | None) -> tuple[str, ...]:
    """The GPUs to hand out. Raises CourseError where another option says otherwise."""
    from lmlib.course.devices import parse_devices

    if given is None:
        return ()
    if device == "cpu" or jobs is not None:
        raise CourseError("--devices runs a notebook on each of the GPUs; leave out --device cpu and --jobs")
    return parse_devices(given)


@app.command()
def run(
    paths: Paths = None,
    profile: ProfileOption = Profile.quick,
    parameter: Parameters = None,
    device: DeviceOption = Device.auto,
    devices: Devices = None,
    jobs: Jobs = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one notebook.")] = 3600,
    out: Annotated[Path, typer.Option(help="Folder for the report and the executed notebooks.")] = Path("build/run"),
    force: Annotated[bool, typer.Option("--force", help="Execute also what has not changed.")] = False,
    engine: EngineOption = Engine.auto,
) -> None:
    """Execute notebooks with papermill, side by side, and report: seconds, checks, metrics, failures."""
    from lmlib.course import batch
    from lmlib.course.parameters import parse_pairs

    given = parse_pairs(parameter or [])
    own = _devices(devices, device, jobs)
    batch.run(paths or [], batch.Settings(out, profile, device, given, jobs, timeout, force, engine.value, own))


@app.command()
def start(
    update: Annotated[
        bool, typer.Option("--update", help="Bring copies up to date; answers are carried over, old copies kept.")
    ] = False,
) -> None:
    """Make your own copy of chapters and exercises in work/; what is there already is left alone."""
    from lmlib.course import book
    from lmlib.course.start import start as hand_out
    from lmlib.course.start import summary

    work = book.root() / "work"
    typer.echo(summary(hand_out(book.root(), work, update), book.shown(work)))
    typer.echo(f"Open it: jupyter lab --notebook-dir={book.shown(work)}")


@app.command()
def sweep(
    notebook: Annotated[Path, typer.Argument(help="The notebook to run.", show_default=False)],
    grid: Annotated[
        list[str] | None, typer.Option(help="A parameter and its values; again for each.", metavar="NAME=V,V…")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="The grid as YAML: for each parameter a list of values.")] = None,
    parameter: Parameters = None,
    profile: ProfileOption = Profile.quick,
    device: DeviceOption = Device.auto,
    devices: Devices = None,
    jobs: Jobs = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that a run may take.")] = 3600,
    retries: Annotated[int, typer.Option(min=0, help="More tries for a run that died, or did not start.")] = 1,
    out: Annotated[Path, typer.Option(help="Where results go.")] = Path("build/sweep"),
    force: Annotated[bool, typer.Option("--force", help="Run also what has a result.")] = False,
    engine: EngineOption = Engine.auto,
    scheduler: Scheduler = None,
) -> None:
    """Run a notebook with every combination of parameters, into one table; what has a result is not run again."""
    from lmlib.course import sweep as sweeps
    from lmlib.course.batch import Settings
    from lmlib.course.parameters import parse_pairs

    if bool(grid) == bool(file):
        raise CourseError("give the grid, as in --grid width=32,64 --grid seed=0,1, or a --file, one of both")
    values = sweeps.parse_grid(grid or []) if file is None else sweeps.read_grid(file)
    if scheduler and engine == Engine.warm:
        raise CourseError("--engine warm is for this machine; the workers of a scheduler start kernels")
    if scheduler and devices:
        raise CourseError("--devices is for this machine; give each worker of a scheduler its own CUDA_VISIBLE_DEVICES")
    own, given = _devices(devices, device, jobs), parse_pairs(parameter or [])
    settings = Settings(out, profile.value, device.value, given, jobs, timeout, force, engine.value, own, scheduler)
    sweeps.sweep(notebook, values, settings, retries)


@app.command("sweep-plot")
def sweep_plot(
    out: Annotated[Path, typer.Argument(help="Where the sweep's results are.", show_default=False)],
    x: Annotated[str, typer.Option(help="The parameter along the axis.")],
    y: Annotated[str, typer.Option(help="The metric.")],
    to: Annotated[Path, typer.Option(help="The PNG file to write.")],
    by: Annotated[str | None, typer.Option(help="A curve for each value of this parameter.")] = None,
) -> None:
    """Draw a metric of a sweep against a parameter."""
    from lmlib.course import sweep as sweeps

    sweeps.plot(out, x, y, by, to)


data_app = typer.Typer(no_args_is_help=True, help="Real corpora by name: show them, fetch them.")
app.add_typer(data_app, name="data")
app.add_typer(gradebook_app, name="gradebook")


@data_app.command("list")
def list_corpora() -> None:
    """Show every corpus: whether it is here, its size, languages and licence."""
    from lmlib.course.corpora import show_list

    show_list()


@data_app.command("get")
def get_corpora(
    names: Annotated[list[str] | None, typer.Argument(help="Names of corpora.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Fetch all of them.")] = False,
) -> None:
    """Fetch corpora into the cache, each file held to its SHA-256."""
    from lmlib.course.corpora import get

    if bool(names) == everything:
        raise CourseError("name the corpora, or give --all; `lmbook data list` shows the names")
    get(names or [])


@data_app.command("tokens")
def write_tokens(
    texts: Annotated[list[Path], typer.Argument(help="Text files in UTF-8, each one document.", show_default=False)],
    to: Annotated[Path, typer.Option(help="The file to write.")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="A tokenizer's folder. Default: every byte is a token.", show_default=False)
    ] = None,
) -> None:
    """Write texts as one file of tokens, which training reads without loading it."""
    from lmlib.course.corpora import write_tokens as write

    write(texts, to, tokenizer)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at this machine: what the book has here, and what to do about what is missing."""
    from lmlib.course.doctor import doctor as examine

    examine(as_json)


@app.command()
def release(
    assignments: Names = None,
    nbgrader: Annotated[
        Path | None, typer.Option(help="Write nbgrader's FOLDER/source/ASSIGNMENT/ instead.", metavar="FOLDER")
    ] = None,
) -> None:
    """Prove the checks of assignments, and make exercises/ from solutions/: no answer is left in it."""
    from lmlib.course.release import release_all

    release_all(assignments or [], nbgrader)


@app.command()
def check(
    notebook: Annotated[Path, typer.Argument(help="Your copy of an assignment (.ipynb).")],
    timeout: Timeout = 60,
) -> None:
    """Run your answers in a fresh copy of the assignment, and say points and what is wrong; 0 at full points."""
    from lmlib.course.checking import check_and_show

    check_and_show(notebook, timeout)


@app.command()
def grade(
    submissions: Annotated[Path, typer.Argument(help="A folder with a folder for each student.")],
    out: Annotated[Path | None, typer.Option(help="Write the table to a .csv or .json file.")] = None,
    timeout: Timeout = 60,
    untrusted: Untrusted = None,
    sandbox: SandboxOption = Sandbox.on,
    gradebook: Annotated[
        Path | None, typer.Option(help="Keep all in this gradebook; what it has is not graded again.", metavar="FILE")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Notebooks at a time, with --gradebook.")] = None,
    scheduler: Scheduler = None,
) -> None:
    """Grade a folder of notebooks, or a zip of them. Without --untrusted their code runs with your rights."""
    from lmlib.course.grade import grade_all

    if untrusted is None and sandbox == Sandbox.off:
        raise CourseError("--sandbox=off is for --untrusted SECRET; without it there is no sandbox")
    if gradebook is None and scheduler is not None:
        raise CourseError("--scheduler is for --gradebook FILE, which keeps what the workers have done")
    if gradebook is None:
        grade_all(submissions, out, timeout, untrusted, sandbox == Sandbox.on)
        return
    if out is not None:
        raise CourseError("with --gradebook, write tables by `lmbook gradebook export`")
    from lmlib.course.gradebook.class_grading import Settings, grade_into

    grade_into(submissions, gradebook, Settings(timeout, jobs, untrusted, sandbox == Sandbox.on, scheduler))


@app.command()
def example(
    name: Annotated[str, typer.Argument(help="classroom: a GitHub Classroom workflow; slurm: a sweep as an array.")],
) -> None:
    """Print an example: a file to begin with, to be saved and changed."""
    from lmlib.course.examples import text_of

    typer.echo(text_of(name), nl=False)


@app.command()
def progress() -> None:
    """Show what is solved in work/, and what is worth doing next."""
    from lmlib.course.progress import show

    show()


@app.command()
def new(name: Annotated[str, typer.Argument(help="CHAPTER/NAME, such as 03_algorithms/02_encoder")]) -> None:
    """Start an assignment: a small complete instructor's notebook in solutions/, to be changed."""
    from lmlib.course.new import start_assignment

    start_assignment(name)
