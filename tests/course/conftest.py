"""A small book in a temporary folder, and `lmbook` run in it as a person would."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = '# %% name="parameters" tags=["parameters"]\nseed = 0\nprofile = "quick"\ndevice = "auto"\n'

Lmbook = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty book, as the working folder."""
    (tmp_path / "book" / "chapters").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "book")
    return tmp_path / "book"


@pytest.fixture
def lmbook() -> Lmbook:
    """Run the command line in the working folder; gives exit code, stdout and stderr."""
    return lambda *arguments, **more: subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=300, env=environment(), **more
    )


def command(*arguments: str | Path) -> list[str]:
    """The command line as a list."""
    return [sys.executable, "-m", "lmlib.course", *map(str, arguments)]


def environment() -> dict[str, str]:
    """The environment, with lmlib from this repository and wide output."""
    return dict(os.environ) | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def write_text_notebook(path: Path, *cells: str, parameters: bool = True) -> Path:
    """A text notebook with a parameters cell and code cells that are named after their position: c1, c2, …"""
    named = [f'# %% name="c{number}"\n{cell}\n' for number, cell in enumerate(cells, start=1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([PARAMETERS] * parameters + named), "utf-8")
    return path
