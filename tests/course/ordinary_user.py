"""An ordinary user, for tests that root starts: a folder, a Python, and an environment of that user's own."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.course.conftest import ROOT

NOBODY = 65534


def folder_of(user: int) -> Path:
    """A new folder of this user, which everybody can read."""
    place = Path(subprocess.check_output(["mktemp", "-d"], user=user, cwd="/", text=True).strip())
    os.chmod(place, 0o755)
    return place


def python_of(user: int, needs: str = "sys.version_info >= (3, 11)") -> str:
    """A Python that this user can start, and of which this holds."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            program = f"import sys; assert {needs}"
            started = subprocess.run([python, "-c", program], user=user, cwd="/", capture_output=True)
        except OSError:
            continue
        if started.returncode == 0:
            return python
    pytest.skip("needs a Python that an ordinary user can start")


def environment_of(user: int, folder: Path) -> str:
    """The Python of a new environment with our packages, by hard links where the file system allows them.

    Skips where this user has no Python of our version, or cannot read the tests.
    """
    needs = f"sys.version_info[:2] == {sys.version_info[:2]} and open('{ROOT / 'pyproject.toml'}')"
    subprocess.run([python_of(user, needs), "-m", "venv", "--without-pip", folder], user=user, cwd="/", check=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    packages, target = sysconfig.get_path("purelib"), folder / "lib" / f"python{version}" / "site-packages"
    linked = subprocess.run(["cp", "-al", f"{packages}/.", target], capture_output=True)
    if linked.returncode:
        subprocess.run(["cp", "-a", f"{packages}/.", target], check=True)
    return str(folder / "bin" / "python")
