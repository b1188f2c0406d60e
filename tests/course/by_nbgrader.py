"""The same submissions graded by nbgrader's own commands, in a course folder that is made for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from nbgrader.api import Gradebook

from lmlib.course.assignment import Assignment
from lmlib.course.release import make
from lmlib.course.workbench import Workbench
from tests.course.student_notebooks import ROOT

Points = dict[str, dict[str, float]]  # student → question → points


def prepare(course: Path, assignment: Assignment) -> None:
    """Give nbgrader the assignment, and every student of COURSE/submitted the files of its checks."""
    make(Workbench(assignment), with_answers=True).write(course / "source" / assignment.stem)
    for student in (course / "submitted").iterdir():
        for ending in ("_checks.py", "_checks.json"):
            if (student / assignment.stem).is_dir():
                shutil.copy(ROOT / "exercises" / f"{assignment.name}{ending}", student / assignment.stem)
    command(course, "generate_assignment", assignment.stem, "--create")


def command(course: Path, *arguments: str) -> None:
    """Run one of nbgrader's commands."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment |= {"HOME": str(course), "JUPYTER_CONFIG_DIR": str(course)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    program = [sys.executable, "-m", "nbgrader", *arguments, f"--course-dir={course}"]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, cwd=course, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def points(course: Path, assignment: Assignment) -> Points:
    """What `nbgrader autograde` has given."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        return {
            submission.student.id: {grade.name.removesuffix("-check"): grade.score for grade in notebook.grades}
            for submission in book.assignment_submissions(assignment.stem)
            for notebook in submission.notebooks
        }
