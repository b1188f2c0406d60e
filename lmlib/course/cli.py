"""The command line `lmbook`. Each command calls one function of a module, imported when the command runs.

Exit codes: 0 fine; 1 the work failed; 2 wrong use; 130 interrupted.
"""

import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lmlib.course.errors import CourseError

INTERRUPTED = 130  # what typer makes of Ctrl-C

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Paths = Annotated[list[Path] | None, typer.Argument(help="Notebooks or folders. Default: all.", show_default=False)]

Names = Annotated[list[str] | None, typer.Argument(help="CHAPTER/NAME, or NAME. Default: all.", show_default=False)]

Timeout = Annotated[float, typer.Option(min=1, help="Seconds that a cell may take.")]


@app.callback()
def lmbook() -> None:
    """Run the book's notebooks, start and check exercises, grade them, and report."""


def main() -> None:
    """Run the command line; an error that a person can put right is one sentence on stderr."""
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
    kernel = "kernel"
    warm = "warm"


@app.command()
def run(
    paths: Paths = None,
    profile: Annotated[
        Profile, typer.Option(help="Size of the experiments: quick on two cores, full on a GPU.")
    ] = Profile.quick,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME VALUE", help="Set a notebook parameter; repeatable."),
    ] = None,
    device: Annotated[
        Device, typer.Option(help="Where models run; auto takes the GPU when there is one.")
    ] = Device.auto,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Notebooks at once. Default: one a core.", show_default=False)
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one notebook.")] = 3600,
    out: Annotated[Path, typer.Option(help="Folder for the report and the executed notebooks.")] = Path("build/run"),
    force: Annotated[bool, typer.Option("--force", help="Execute also what has not changed.")] = False,
    engine: Annotated[
        Engine, typer.Option(help="A kernel for each notebook, or warm: processes forked from one server.")
    ] = Engine.kernel,
) -> None:
    """Execute notebooks with papermill, side by side, and report: seconds, checks, metrics, failures."""
    from lmlib.course import batch
    from lmlib.course.parameters import parse_pairs

    given = parse_pairs(parameter or [])
    batch.run(paths or [], batch.Settings(out, profile, device, given, jobs, timeout, force, engine))


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


data_app = typer.Typer(no_args_is_help=True, help="Real corpora by name: show them, fetch them.")
app.add_typer(data_app, name="data")


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


class Sandbox(StrEnum):
    on = "on"
    off = "off"


@app.command()
def grade(
    submissions: Annotated[Path, typer.Argument(help="A folder with a folder for each student.")],
    out: Annotated[Path | None, typer.Option(help="Write the table to a .csv or .json file.")] = None,
    timeout: Timeout = 60,
    untrusted: Annotated[
        Path | None,
        typer.Option(
            metavar="SECRET",
            help="Run them in a sandbox, and check from outside on inputs drawn from the secret in this file "
            "(made when it is not there).",
        ),
    ] = None,
    sandbox: Annotated[Sandbox, typer.Option(help="off: outside checks without the sandbox.")] = Sandbox.on,
) -> None:
    """Grade a folder of notebooks. Without --untrusted it trusts them: their code runs with your rights."""
    from lmlib.course.grade import grade_all

    if untrusted is None and sandbox == Sandbox.off:
        raise CourseError("--sandbox=off is for --untrusted SECRET; without it there is no sandbox")
    grade_all(submissions, out, timeout, untrusted, sandbox == Sandbox.on)


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
