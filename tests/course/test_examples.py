"""The example files: they can be read, the commands and assignments in them exist, and the Slurm one gives a table."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lmlib.course.checking import released_assignments
from lmlib.course.errors import CourseError
from lmlib.course.examples import EXAMPLES, text_of
from lmlib.course.notebooks import read
from tests.course.conftest import ROOT, command, environment
from tests.course.test_sweep import notebook


def commands(text):
    """Every `lmbook ...` of a text, as its words; comments count, too."""
    found = re.findall(r"(?<![\w/-])lmbook ((?:[a-z]+)(?: [^\n'`;&|]+)?)", text)
    return [shlex.split(re.sub(r"\$\w+|\$\{\{.*?\}\}", "X", one.rstrip("#")), comments=True) for one in found]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_command_and_option_of_an_example_exists(name):
    found = [words for words in commands(text_of(name)) if words[0] not in ("runs", "example")]
    assert found
    for words in found:
        page = subprocess.run(command(words[0], "--help"), capture_output=True, text=True, env=environment())
        assert page.returncode == 0, page.stderr
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert [option for option in options if option not in page.stdout] == []


def test_the_workflow_grades_an_assignment_that_exists_with_its_points():
    workflow = yaml.safe_load(text_of("classroom"))
    steps = workflow["jobs"]["grade"]["steps"]
    graders = [step for step in steps if "command-grader" in step.get("uses", "")]
    known = released_assignments(ROOT)
    assert graders
    for step in graders:
        stem = re.search(r"lmbook check \S*?(\w+)\.ipynb", step["with"]["command"])[1]
        (path,) = [path for path in known.values() if path.stem == stem]
        cells = [cell["metadata"]["nbgrader"] for cell in read(path)["cells"]]
        assert step["with"]["max-score"] == sum(cell.get("points", 0) for cell in cells)
    report = steps[-1]
    assert report["with"]["runners"].split(",") == [step["id"] for step in graders]
    assert list(report["env"]) == [f"{step['id'].upper()}_RESULTS" for step in graders]


def test_an_unknown_example_is_one_sentence():
    with pytest.raises(CourseError, match="no example 'moodle'; there are: classroom, slurm"):
        text_of("moodle")


def test_the_slurm_script_can_be_read_by_bash_and_names_a_notebook_with_its_parameter():
    subprocess.run(["bash", "-n"], input=text_of("slurm"), text=True, check=True)
    path = ROOT / re.search(r"NOTEBOOK:-(\S+?)}", text_of("slurm"))[1]
    assert any(
        "parameters" in cell["metadata"].get("tags", []) and "seed" in cell["source"] for cell in read(path)["cells"]
    )


@pytest.mark.long
def test_the_jobs_of_the_array_side_by_side_and_the_last_one_give_the_table(tmp_path):
    (tmp_path / "lmbook").write_text(f'#!/bin/sh\nexec {sys.executable} -m lmlib.course "$@"\n')
    (tmp_path / "lmbook").chmod(0o755)
    (tmp_path / "sweep.sh").write_text(text_of("slurm"))
    settings = environment() | {"NOTEBOOK": str(notebook(tmp_path / "n.ipynb")), "OUT": str(tmp_path / "out")}
    settings["PATH"] = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    array = [
        subprocess.Popen(["bash", tmp_path / "sweep.sh"], env=settings | {"SLURM_ARRAY_TASK_ID": str(task)}, cwd=ROOT)
        for task in range(3)  # the others have not run: the last job does
    ]
    assert [job.wait() for job in array] == [0, 0, 0]
    subprocess.run(["bash", tmp_path / "sweep.sh"], env=settings, cwd=ROOT, check=True)
    with Path(tmp_path / "out" / "results.csv").open(newline="") as file:
        assert [row["value"] for row in csv.DictReader(file)] == [str(10.0 + seed) for seed in range(5)]
