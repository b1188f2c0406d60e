"""The same attacks where the grader is an ordinary user, who has fewer rights to build a sandbox with than root.

Without --all only those for which the rights matter.
"""

import os
import shutil
import subprocess

import pytest

from tests.course.attacks import test_attacks
from tests.course.attacks.attacks import OF_RIGHTS
from tests.course.conftest import ROOT
from tests.course.ordinary_user import NOBODY, environment_of, folder_of


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: for anybody else, test_attacks.py is this test")
def test_the_attacks_fail_for_an_ordinary_user_too(request):
    chosen = [] if request.config.getoption("--all") else ["-k", " or ".join(["daemon", *(a.name for a in OF_RIGHTS)])]
    place = folder_of(NOBODY)
    try:
        python = environment_of(NOBODY, place / "environment")
        environment = {"HOME": str(place), "PATH": os.defpath, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        options = ["-q", "-s", "-p", "no:cacheprovider", f"--basetemp={place}/tests", *chosen, test_attacks.__file__]
        done = subprocess.run(
            [python, "-m", "pytest", *options],
            user=NOBODY, group=NOBODY, extra_groups=[], cwd=ROOT, capture_output=True, text=True,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert " passed" in done.stdout
