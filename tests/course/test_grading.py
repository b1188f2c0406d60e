"""A class of notebooks, right and wrong, graded by `lmbook grade` and by nbgrader itself: the same points."""

import csv
import io

import pytest

from lmlib.course import grade
from lmlib.course.errors import CourseError
from tests.course import by_nbgrader
from tests.course.student_notebooks import (
    NAME,
    ROOT,
    attention_assignment,
    hand_in,
    mistaken_answers,
    right_answers,
    write,
)

STEM = NAME.rpartition("/")[2]
ASSIGNMENT = attention_assignment()
MISTAKEN = mistaken_answers(ASSIGNMENT)
FEW = 1  # of them without --all: each notebook is run twice and takes seconds; test_assignments.py tries all mistakes


def class_answers(mistaken):
    """The answers of each student; so many of them have made mistakes."""
    right = right_answers(ASSIGNMENT)
    students = {f"mistaken{i}": answers for i, (answers, _) in enumerate(MISTAKEN[:mistaken])}
    students["right"] = right
    students["half"] = {name: right[name] for name in ("scores-answer", "scale-answer")}
    noise = "    import sys\n    print('a note')\n    print('a warning', file=sys.stderr)\n    scores ="
    noisy = {"scores-answer": right["scores-answer"].replace("    scores =", noise, 1)}
    raising = {"masks-answer": "1 / 0", "heads-answer": "def multi_head_attention(x, **rest):\n    x.a"}
    students["raising"] = {**right, **noisy, **raising}
    return students


@pytest.fixture(scope="module")
def submitted(tmp_path_factory, request):
    mistaken = len(MISTAKEN) if request.config.getoption("--all") else FEW
    folder = tmp_path_factory.mktemp("class") / "submitted"
    for student, answers in class_answers(mistaken).items():
        hand_in(folder / student / STEM / f"{STEM}.ipynb", answers)
    return folder


@pytest.fixture(scope="module")
def graded(submitted):
    return {row.student: row for row in grade.grade(submitted, timeout=60, base=ROOT)}


@pytest.fixture(scope="module")
def graded_by_nbgrader(submitted):
    """The points by student and question, from nbgrader's own commands in a new course folder."""
    course = submitted.parent
    by_nbgrader.prepare(course, ASSIGNMENT)
    by_nbgrader.command(course, "autograde", STEM, "--create")
    return by_nbgrader.points(course, ASSIGNMENT)


def test_a_right_notebook_gets_all_points(graded):
    assert (graded["right"].score, graded["right"].maximum, graded["right"].status) == (20, 20, "graded")


@pytest.mark.parametrize(
    "number", [*range(FEW), *(pytest.param(i, marks=pytest.mark.long) for i in range(FEW, len(MISTAKEN)))]
)
def test_every_mistake_is_named_in_a_students_notebook(graded, number):
    expected = [f"{question}: {name}" for question, names in MISTAKEN[number][1].items() for name in names]
    assert graded[f"mistaken{number}"].mistakes == expected


def test_half_a_notebook_gets_the_points_of_its_half(graded):
    row = graded["half"]
    assert row.questions == {"scores": 4, "masks": 0, "heads": 0, "permutation": 0, "scale": 3}
    assert "masks, heads, permutation: the answer cell is as it was handed out" in row.status


def test_an_answer_that_raises_costs_its_own_question_only_and_one_that_prints_costs_nothing(graded):
    row = graded["raising"]
    assert row.questions == {"scores": 4, "masks": 0, "heads": 0, "permutation": 3, "scale": 3}
    assert "the cell masks-answer, line 1, raised ZeroDivisionError" in row.status


def test_nbgrader_gives_the_same_points(graded, graded_by_nbgrader):
    assert graded_by_nbgrader == {student: row.questions for student, row in graded.items()}


def test_broken_notebooks_have_a_row_with_the_reason(tmp_path):
    (tmp_path / "zoe").mkdir()
    (tmp_path / "zoe" / "broken.ipynb").write_text("{not json", "utf-8")
    write(tmp_path / "yan" / "other.ipynb", {"cells": [], "metadata": {}})
    rows = grade.grade(tmp_path, timeout=60, base=ROOT)
    assert [(row.student, row.score) for row in rows] == [("yan", 0), ("zoe", 0)]
    assert "no released assignment" in rows[0].status
    assert "not a notebook" in rows[1].status


def test_students_are_told_by_folder_or_by_file_name(tmp_path):
    for name in ("ann/02_attention/02_attention.ipynb", "ben.ipynb", "ann/.ipynb_checkpoints/x.ipynb"):
        write(tmp_path / name, {})
    assert [student for student, _ in grade.submissions(tmp_path)] == ["ann", "ben"]


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_folder_without_notebooks_is_refused(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError, match=r"no such folder|no \.ipynb file"):
        grade.submissions(tmp_path / folder)


def test_csv_has_a_column_for_each_question_and_no_formula():
    rows = [
        grade.Grade("=cmd()", "a/b", 3.0, 4.0, questions={"one": 1.0, "two": 2.0}),
        grade.Grade("ben", "a/b", 0.0, 0.0, status="broken"),
    ]
    table = list(csv.DictReader(io.StringIO(grade.as_csv(rows))))
    assert [row["student_id"] for row in table] == ["'=cmd()", "ben"]
    assert (table[0]["one"], table[0]["two"], table[1]["one"]) == ("1.0", "2.0", "")
    assert [float(row["max_score"]) for row in table] == [4, 0]


def test_another_ending_than_csv_or_json_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(CourseError, match=r"ends in \.csv or \.json"):
        grade.grade_all(tmp_path, tmp_path / "grades.xls", timeout=1)


def test_a_row_is_one_line_whatever_a_student_wrote():
    row = grade.Grade("mallory", "t", 0, 0, status="x\nann  02_attention  20 of 20\x1b[2K")
    assert len(grade.line(row).splitlines()) == 1
    assert "\x1b" not in grade.line(row)
