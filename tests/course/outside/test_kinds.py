"""A class with state, a module with weights and a figure: a notebook's own check and the check from outside agree."""

import pytest

from lmlib.course.assignment import read
from lmlib.course.outside.grading import Grader
from lmlib.course.outside.limits import Limits
from lmlib.course.proof import prove
from lmlib.course.release import make
from lmlib.course.workbench import Workbench
from tests.course.small_assignment import SOURCE
from tests.course.stateful_assignment import STATEFUL
from tests.course.student_notebooks import hand_in, mistaken_answers, right_answers

KINDS = ("shelf", "scale", "plot")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    path = tmp_path_factory.mktemp("book") / "solutions" / "01_x" / "t.py"
    path.parent.mkdir(parents=True)
    path.write_text(SOURCE + STATEFUL, "utf-8")
    return Workbench(read(path))


@pytest.fixture(scope="module")
def release(bench):
    folder = bench.assignment.path.parents[2] / "exercises" / "01_x"
    make(bench).write(folder)
    return folder / "t.ipynb"


@pytest.fixture(scope="module")
def grader():
    with Grader(b"secret", Limits(cell_seconds=20, call_seconds=20)) as grader:
        yield grader


def test_their_checks_are_proven(bench):
    rows = [row for row in prove(bench) if row.question in KINDS]
    assert [problem for row in rows for problem in row.problems] == []
    assert len(rows) == 3


def test_right_answers_have_all_points_in_other_words_too(bench, release, grader, tmp_path):
    right = right_answers(bench.assignment)
    graded = grader.grade(hand_in(tmp_path / "t.ipynb", right, release), release)
    assert (graded.score, graded.remarks) == (14, ())
    for i in range(2):
        others = {f"{name}-answer": bench.assignment.questions[name].variants["other"][i].source for name in KINDS}
        graded = grader.grade(hand_in(tmp_path / "t.ipynb", right | others, release), release)
        assert graded.score == 14, graded


def test_mistakes_have_the_points_and_the_names_that_the_own_check_gives(bench, release, grader, tmp_path):
    for answers, names in mistaken_answers(bench.assignment):
        graded = grader.grade(hand_in(tmp_path / "t.ipynb", answers, release), release)
        for found in graded.questions:
            own = bench.verdict(found.question, answers[f"{found.question}-answer"])
            assert (found.score, list(found.mistakes)) == (own.score, names[found.question])


def test_what_was_asked_of_a_class_is_said_in_the_words_of_its_steps(bench):
    text = bench.verdict("shelf", "class Shelf:\n    def __init__(self, room): self.room = room").text()
    assert "`put(item='cup')`: AttributeError: 'Shelf' object has no attribute 'put'" in text
    text = bench.verdict("scale", bench.assignment.questions["scale"].variants["mistake"][2].source).text()
    assert "a method changes what it was given in place; work on a copy" in text
    assert "expected a class; got function" in bench.verdict("shelf", "def Shelf(room): return 1").text()
    text = bench.verdict("plot", bench.assignment.questions["plot"].variants["mistake"][1].source).text()
    assert "the scale of the y axis is 'linear'; expected 'log'" in text
