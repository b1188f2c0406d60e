"""Everything that `make test` runs; fails when any of it fails.

The notebooks and the tests share one pool of processes; what only reads the sources runs beside them. The last line
counts all of it.
"""

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from lmlib.course.execution import THREAD_VARIABLES
from lmlib.course.machine import cores

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
WORKERS = min(4, cores() + 1)  # one more than cores: many tests wait for a process of theirs
CELL_SECONDS = 300  # nbval does not notice a dead kernel: only this ends the wait
NOTEBOOKS = ["-p", "tests.kernels", "--nbval-lax", f"--nbval-cell-timeout={CELL_SECONDS}", "chapters", "solutions"]
IN_ORDER = ["--dist=loadscope", "--no-loadscope-reorder"]  # of tests/conftest.py: the slowest files have few tests
READING = {
    "lint": [str(BIN / "ruff"), "check", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "."],
    "rooms": [str(BIN / "lint-imports")],
    "types": [str(BIN / "mypy")],
}


def main(arguments: list[str]) -> int:
    """Run every step; the exit code says whether all of them passed."""
    tests = [sys.executable, "-m", "pytest", f"--numprocesses={WORKERS}", *IN_ORDER, *NOTEBOOKS, "tests", *arguments]
    with ThreadPoolExecutor(max_workers=1) as beside:
        reading = {name: beside.submit(_read, name, command) for name, command in READING.items()}
        _compile_once()
        done = {"tests": _test(tests)} | {name: step.result() for name, step in reading.items()}
    broken = [name for name, step in done.items() if step.failed]
    if broken:
        print(f"\nFAILED: {', '.join(broken)}")
    passed, failed, skipped = (sum(counts) for counts in zip(*done.values(), strict=True))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if broken else 0


class Counts(NamedTuple):
    """Tests of a step; one that reads the sources counts as one."""

    passed: int
    failed: int
    skipped: int


def _read(name: str, command: list[str]) -> Counts:
    """Run a step that reads the sources, beside the tests, and print all that it says at its end."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    good = done.returncode == 0
    print(f"\n=== {name}: {'passed' if good else 'FAILED'}\n{done.stdout}", flush=True)
    return Counts(int(good), int(not good), 0)


def _compile_once() -> None:
    """The first time, import what the tests import: Python keeps what it compiles, and no worker does it again."""
    if not (ROOT / "tests" / "course" / "__pycache__").exists():
        command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", *NOTEBOOKS, "tests"]
        subprocess.run(command, cwd=ROOT, env=_environment(), stdout=subprocess.DEVNULL)


def _test(command: list[str]) -> Counts:
    """Run pytest, which prints as it goes."""
    print(f"\n=== tests: {' '.join(Path(part).name if part.startswith('/') else part for part in command)}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counts_file = Path(folder) / "counts.xml"
        done = subprocess.run([*command, f"--junit-xml={counts_file}"], cwd=ROOT, env=_environment())
        counts = _counts(counts_file)
    if done.returncode and not counts.failed:  # pytest itself failed, or a skip is not on the list
        counts = counts._replace(failed=1)
    print(f"=== tests: {'FAILED' if counts.failed else 'passed'} in {time.monotonic() - started:.0f} s", flush=True)
    return counts


def _environment() -> dict[str, str]:
    """Threads divided among the workers; no progress bars in notebooks; lmlib from this folder."""
    env = dict(os.environ) | {"TQDM_DISABLE": "1"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    return env | {name: str(max(1, cores() // WORKERS)) for name in THREAD_VARIABLES}


def _counts(path: Path) -> Counts:
    """Those in a file that pytest wrote; nothing when it ended before writing."""
    if not path.exists():
        return Counts(0, 0, 0)
    suites = ElementTree.parse(path).getroot().iter("testsuite")
    total = failed = skipped = 0
    for suite in suites:
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return Counts(total - failed - skipped, failed, skipped)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
