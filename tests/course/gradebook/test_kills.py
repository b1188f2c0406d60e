"""The grader killed again and again, and a worker of it: the gradebook ends as if nothing had happened."""

import random
import re
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from lmlib.course import release
from lmlib.course.outside.secret import read_or_make
from tests.course.conftest import command
from tests.course.dask_cluster import cluster, environment, kill
from tests.course.gradebook.dump import dump
from tests.course.small_assignment import SOURCE
from tests.course.student_notebooks import hand_in

STUDENTS, KILLS = 60, 20
END_SECONDS = 60
ANSWERS = [  # each student's is one of these, and a number of their own
    ("def double(x):\n    return 2 * x", "letter, size = 'b', 8"),
    ("def double(x):\n    return 3 * x", "letter, size = 'a', 64"),
    (
        "def double(x):\n    print(x.sum())\n    return x + x",
        "import torch\nprint(torch.ones(2))\nletter, size = 'b', 8",
    ),
    ("def double(x):\n    return 1 / 0", "1 / 0"),
    ("import os\nos._exit(1)", "letter, size = 'b', 8"),
]


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book with one small assignment, a class that has handed it in, and the course's secret."""
    base = tmp_path_factory.mktemp("book")
    for folder in ("chapters", "solutions/01_test"):
        (base / folder).mkdir(parents=True)
    (base / "solutions" / "01_test" / "t.py").write_text(SOURCE, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        release.release_all(["t"], nbgrader=None)
    for number in range(STUDENTS):
        double, choose = ANSWERS[number % len(ANSWERS)]
        answers = {"double-answer": f"{double}\n# {number}", "choose-answer": choose}
        hand_in(base / "submitted" / f"s{number:02}" / "t.ipynb", answers, base / "exercises" / "01_test" / "t.ipynb")
    (base / "submitted" / "s99").mkdir()
    (base / "submitted" / "s99" / "t.ipynb").write_text("no notebook")
    read_or_make(base / "secret")
    return base


def grading(gradebook: Path, *more: str) -> list[str]:
    options = ["--gradebook", gradebook, "--untrusted", "secret", "--sandbox", "off", *more]
    return command("grade", "submitted", *options)


def started(book: Path, program: list[str]) -> subprocess.Popen:
    return subprocess.Popen(program, cwd=book, env=environment(), stdout=subprocess.PIPE, text=True)


def read_new_lines(process: subprocess.Popen, count: int) -> int:
    """Read until so many notebooks have been graded, or it ends; how many were."""
    seen = 0
    while seen < count and (line := process.stdout.readline()):
        seen += re.search(r"\d of \d|not a notebook", line) is not None
    return seen


def killed_at_random(book: Path, program: list[str], draw: random.Random) -> None:
    """Start it and kill it: while it starts, or some time after it has kept some notebooks. Nothing of it stays."""
    process = started(book, program)
    wanted = draw.randrange(4)
    read_new_lines(process, wanted)
    time.sleep(draw.uniform(0, 0.2 if wanted else 4))
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    kill(process)
    process.stdout.close()
    assert psutil.wait_procs(children, timeout=END_SECONDS)[1] == []


@pytest.fixture(scope="module")
def whole(book):
    """The dump of a run that was left alone."""
    subprocess.run(grading(book / "whole.db", "--jobs", "1"), cwd=book, env=environment(), check=True)
    found = dump(book / "whole.db")
    assert len(found["attempts"]) == STUDENTS + 1
    assert {row["points"] for row in found["scores"] if row["question"] == "double"} == {0.0, 3.0}
    return found


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_killed_at_20_moments_the_gradebook_is_the_one_of_a_run_that_was_not(book, whole, jobs, seed, tmp_path):
    draw, path = random.Random(seed), tmp_path / "killed.db"
    for _ in range(KILLS):
        killed_at_random(book, grading(path, "--jobs", jobs), draw)
    subprocess.run(grading(path, "--jobs", jobs), cwd=book, env=environment(), check=True)
    assert dump(path) == whole


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_dask_worker_killed_in_the_middle_changes_nothing(book, whole, tmp_path):
    with cluster(2, book) as dask:
        process = started(book, grading(tmp_path / "far.db", "--scheduler", dask.address))
        assert read_new_lines(process, 5) == 5
        kill(dask.workers[0])
        process.stdout.read()
        assert process.wait() == 0
    assert dump(tmp_path / "far.db") == whole


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_worker_with_another_book_is_refused_and_nothing_is_kept(book, tmp_path):
    (tmp_path / "chapters").mkdir()
    with cluster(1, tmp_path) as dask:
        program = grading(tmp_path / "far.db", "--scheduler", dask.address)
        done = subprocess.run(program, cwd=book, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(rf"the book in {tmp_path} on \S+ differs from yours", done.stderr)
    assert dump(tmp_path / "far.db")["attempts"] == []
