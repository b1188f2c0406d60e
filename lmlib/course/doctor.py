"""`lmbook doctor`: what this machine has for the book, and what to do about what is missing."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lmlib.course import isolation, machine
from lmlib.course.errors import WorkFailedError

GOOD, OPTIONAL, MISSING = "ok", "optional", "missing"
PYTHONS = ((3, 11), (3, 13))
OLDEST_TORCH = (2, 11)
ENOUGH_MEMORY, ENOUGH_DISK = 4, 5  # GiB


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `optional` is not needed for the book, `missing` is."""

    subject: str
    status: str
    found: str
    advice: str = ""


def doctor(as_json: bool) -> None:
    """Print the findings as a table or as JSON. Raises WorkFailedError when something needed is missing."""
    findings = list(examine())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
    else:
        _print_table(findings)
    missing = [finding.subject for finding in findings if finding.status == MISSING]
    if missing:
        raise WorkFailedError(f"needed and not there: {', '.join(missing)}")


def examine() -> Iterator[Finding]:
    """Every finding, in the order of the table."""
    yield _python()
    yield from _torch()
    yield from _size()
    yield _kernel()
    yield _font()
    yield from _data()
    yield _program("git", ("git",), "needed only to change the book; install it from your system's packages")
    browsers = ("chromium", "chromium-browser", "google-chrome")
    yield _program("Chromium", browsers, "needed only by the test of JupyterLab; install Chromium")
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # as torch looks for it
    advice = "needed only by torch.compile and by the fastest decoding on a CPU; install g++"
    yield _program("C++ compiler", (compiler,), advice)
    for means, found in isolation.probe().items():
        advice = "untrusted notebooks could not be graded safely here; use a Linux machine that offers it"
        yield Finding(f"sandbox: {means}", GOOD if found else OPTIONAL, found or "not offered", "" if found else advice)


def _python() -> Finding:
    fits = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]
    advice = "" if fits else "use Python 3.11, 3.12 or 3.13"
    return Finding("Python", GOOD if fits else MISSING, platform.python_version(), advice)


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("torch", MISSING, f"cannot be imported: {error}", "pip install torch; see the README")
        return
    new_enough = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= OLDEST_TORCH
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    found = f"{torch.__version__}, {build}, {torch.get_num_threads()} threads"
    yield Finding("torch", GOOD if new_enough else MISSING, found, "" if new_enough else "install torch 2.11 or newer")
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        yield Finding("device", GOOD, f"{properties.name}, {properties.total_memory / machine.GIB:.0f} GiB")
    else:
        advice = "the quick profile needs no GPU; for --profile full: an NVIDIA GPU, its driver, torch's CUDA build"
        yield Finding("device", OPTIONAL, "CPU only", advice)


def _size() -> Iterator[Finding]:
    import psutil

    yield Finding("processor cores", GOOD, str(machine.cores()))
    memory = psutil.virtual_memory().available / machine.GIB
    advice = "" if memory >= ENOUGH_MEMORY else "run one notebook at a time: lmbook run --jobs 1"
    yield Finding("free memory", GOOD if not advice else OPTIONAL, f"{memory:.1f} GiB", advice)
    disk = shutil.disk_usage(Path.cwd()).free / machine.GIB
    advice = "" if disk >= ENOUGH_DISK else "make room: torch and models take several GiB"
    yield Finding("free disk", GOOD if not advice else OPTIONAL, f"{disk:.1f} GiB", advice)


def _kernel() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    advice = "python -m ipykernel install --sys-prefix"
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Finding("Jupyter kernel", MISSING, "no kernel python3", advice)
    program = spec.argv[0]
    if program not in ("python", "python3") and not _same_environment(program):
        found = f"python3 is another Python: {program}"
        return Finding("Jupyter kernel", MISSING, found, f"remove {spec.resource_dir}, or: {advice}")
    return Finding("Jupyter kernel", GOOD, "python3, of this Python")


def _same_environment(program: str) -> bool:
    """Whether an interpreter has the environment of this one; links are not followed, they differ by venv."""
    try:
        ask = [program, "-c", "import sys; print(sys.prefix)"]
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=30)
    except OSError:
        return False
    return answer.stdout.strip() == sys.prefix


def _font() -> Finding:
    from lmlib.plots import chinese_font

    font = chinese_font()
    advice = "Chinese words in plots become boxes; install Noto Sans CJK (Debian: fonts-noto-cjk)"
    return Finding("font with Chinese", GOOD if font else OPTIONAL, font or "none", "" if font else advice)


def _data() -> Iterator[Finding]:
    from lmlib.data.download import CACHE_VARIABLE, cache_folder
    from lmlib.data.registry import DATA_VARIABLE, corpora, is_here

    here = sum(is_here(name) for name in corpora())
    advice = "" if here == len(corpora()) else f"lmbook data get NAME fetches one; or name a folder in {DATA_VARIABLE}"
    yield Finding(
        "real corpora", GOOD if not advice else OPTIONAL, f"{here} of {len(corpora())} on this machine", advice
    )
    folder = cache_folder()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    writable = os.access(nearest, os.W_OK)
    advice = "" if writable else f"name a folder that you can write in {CACHE_VARIABLE}"
    yield Finding("cache folder", GOOD if writable else OPTIONAL, str(folder), advice)


def _program(subject: str, names: tuple[str, ...], advice: str) -> Finding:
    path = next((found for found in map(shutil.which, names) if found), None)
    return Finding(subject, GOOD if path else OPTIONAL, path or "not found", "" if path else advice)


def _print_table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    marks = {GOOD: "[green]✓[/]", OPTIONAL: "[yellow]–[/]", MISSING: "[bold red]✗[/]"}
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "What", "Found", "What to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row(marks[finding.status], finding.subject, escape(finding.found), escape(finding.advice))
    console = Console(highlight=False)
    console.print(table)
    console.print("\n✓ there   – not needed for the book   ✗ needed", style="dim")
