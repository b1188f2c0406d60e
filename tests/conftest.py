"""For all tests: threads divided among the workers, a seed drawn at each run, and skips that must be on the list."""

import gc
import os
import re
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the tests run also where lmlib is not installed

from lmlib.course.execution import THREAD_VARIABLES  # noqa: E402
from lmlib.course.machine import cores  # noqa: E402

# A test may skip for these reasons and for no other: a skip that is not listed fails the run.
ALLOWED_SKIPS = (
    r"needs a CUDA device",
    r"needs a C\+\+ compiler",
    r"needs \.\./shared",
    r"needs Chromium",
    r"needs unshare",
    r"needs Linux",
    r"needs git",
    r"needs root",
    r"needs a Python that an ordinary user can start",
)

# Whole programs, which take longest, begin first; the last minute then has small tests for every worker.
FIRST = ("test_chapters.py", "course", "test_jupyterlab.py")

# Before torch is imported: processes with a thread for every core each are many times slower than one.
# Workers inherit what their controller has set here, and divide it; what the user has set stays.
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if "LMBOOK_TEST_THREADS" in os.environ or not any(name in os.environ for name in THREAD_VARIABLES):
    os.environ["LMBOOK_TEST_THREADS"] = str(max(1, cores() // _workers))
    os.environ |= dict.fromkeys(THREAD_VARIABLES, os.environ["LMBOOK_TEST_THREADS"])

# A shell lets what it starts in the background ignore Ctrl-C, and all its children with it; tests send that signal.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# A million objects come from imports and collecting, and stay: the garbage collector need not look through them.
gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="replay the tests that draw from a seed with this one")
    parser.addoption("--all", action="store_true", help="run the long tests, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--all"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    items.sort(key=lambda item: next((i for i, name in enumerate(FIRST) if name in item.path.parts), len(FIRST)))
    if any(item.get_closest_marker("gpu") for item in items) and not _has_cuda():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """An integer that the test draws everything from; pytest shows the printed line of a test that fails."""
    given = request.config.getoption("--seed")
    drawn = int.from_bytes(os.urandom(4), "big") if given is None else given
    print(f"seed {drawn}: replay with --seed {drawn}")
    return drawn


_unlisted: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note_skip(report)


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):  # an expected failure has no tuple here
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not any(re.match(pattern, reason) for pattern in ALLOWED_SKIPS):
            _unlisted.add(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _unlisted and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for skip in sorted(_unlisted):
        terminalreporter.write_line(f"SKIP NOT ON THE LIST in tests/conftest.py: {skip}", red=True)
