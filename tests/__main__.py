"""Everything that `make test` runs, one step after the other; fails when any of them fails.

All steps run, also after one has failed. The last line counts them and the tests.
"""

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from lmlib.course.execution import THREAD_VARIABLES
from lmlib.course.machine import cores

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
WORKERS = min(4, cores())
CELL_SECONDS = 300  # nbval does not notice a dead kernel: only this ends the wait
PYTEST = [sys.executable, "-m", "pytest", f"--numprocesses={WORKERS}", "--dist=loadscope"]
IN_ORDER = "--no-loadscope-reorder"  # files with few tests would come last, and the slowest have few
NOTEBOOKS = [folder for folder in ("chapters", "solutions") if (ROOT / folder).is_dir()]


def main(arguments: list[str]) -> int:
    """Run every step; the exit code says whether all of them passed."""
    steps = {
        "lint": [str(BIN / "ruff"), "check", "."],
        "format": [str(BIN / "ruff"), "format", "--check", "."],
        "types": [str(BIN / "mypy")],
        "rooms": [str(BIN / "lint-imports")],
        "notebooks": [*PYTEST, "--nbval-lax", f"--nbval-cell-timeout={CELL_SECONDS}", *NOTEBOOKS],
        "tests": [*PYTEST, IN_ORDER, "tests", *arguments],
    }
    passed = failed = skipped = 0
    broken = []
    for name, command in steps.items():
        good, counts = _run(name, command)
        passed, failed, skipped = (a + b for a, b in zip((passed, failed, skipped), counts, strict=True))
        if not good:
            broken.append(name)
    if broken:
        print(f"\nFAILED: {', '.join(broken)}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if broken else 0


def _run(name: str, command: list[str]) -> tuple[bool, tuple[int, int, int]]:
    """Whether a step passed, and how many tests passed, failed and were skipped; a plain command counts as one."""
    print(
        f"\n=== {name}: {' '.join(Path(part).name if part.startswith('/') else part for part in command)}", flush=True
    )
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counts_file = Path(folder) / "counts.xml"
        is_pytest = "pytest" in command
        extra = [f"--junit-xml={counts_file}"] if is_pytest else []
        good = subprocess.run([*command, *extra], cwd=ROOT, env=_environment()).returncode == 0
        print(f"=== {name}: {'passed' if good else 'FAILED'} in {time.monotonic() - started:.0f} s", flush=True)
        counts = _counts(counts_file) if is_pytest else (int(good), int(not good), 0)
    return good, counts if good or counts[1] else (counts[0], 1, counts[2])


def _environment() -> dict[str, str]:
    """Threads divided among the workers; no progress bars in notebooks; lmlib from this folder."""
    env = dict(os.environ) | {"TQDM_DISABLE": "1"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    return env | {name: str(max(1, cores() // WORKERS)) for name in THREAD_VARIABLES}


def _counts(path: Path) -> tuple[int, int, int]:
    """Passed, failed and skipped in a file that pytest wrote; nothing when it ended before writing."""
    if not path.exists():
        return 0, 0, 0
    suites = ElementTree.parse(path).getroot().iter("testsuite")
    total = failed = skipped = 0
    for suite in suites:
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return total - failed - skipped, failed, skipped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
