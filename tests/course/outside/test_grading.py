"""Submissions graded from outside: the points and mistakes of `lmbook check`, for whatever file is handed in."""

import json
import os

import pytest

from lmlib.course import notebooks
from lmlib.course.errors import CourseError, WorkFailedError
from lmlib.course.grade import grade_all
from lmlib.course.outside.grading import Grader, seed
from lmlib.course.outside.limits import MIB, Limits
from lmlib.course.outside.secret import read_or_make
from tests.course.student_notebooks import (
    RELEASE,
    attention_assignment,
    cell,
    hand_in,
    mistaken_answers,
    released_notebook,
    right_answers,
    write,
)

ASSIGNMENT = attention_assignment()
RIGHT = right_answers(ASSIGNMENT)


@pytest.fixture(scope="module")
def grader():
    with Grader(b"secret", Limits(cell_seconds=5, call_seconds=3, seconds=30, notebook=MIB, cells=200)) as grader:
        yield grader


def grade(grader, folder, answers):
    return grader.grade(hand_in(folder / RELEASE.name, answers), RELEASE)


def test_right_answers_have_all_points_and_the_verdict_stands_below_each_check(grader, tmp_path):
    graded = grade(grader, tmp_path, RIGHT)
    assert (graded.status, graded.score, graded.remarks) == ("graded", graded.maximum, ())
    check = next(c for c in graded.notebook["cells"] if c["id"] == "scores-check")
    assert check["outputs"][0]["text"].startswith("scores: 4 of 4 points")
    assert set(graded.sandbox) >= {"namespaces", "Landlock", "seccomp", "memory watch"}


def test_other_right_answers_have_all_points(grader, tmp_path):
    for name, question in ASSIGNMENT.questions.items():
        for other in question.variants["other"]:
            graded = grade(grader, tmp_path, {**RIGHT, f"{name}-answer": f"{question.answer}\n{other.source}"})
            assert graded.score == graded.maximum, (name, other.name, graded)


@pytest.mark.parametrize(("answers", "names"), mistaken_answers(ASSIGNMENT))
def test_each_mistake_is_named_on_hidden_inputs(grader, tmp_path, answers, names):
    graded = grade(grader, tmp_path, answers)
    assert {question.question: list(question.mistakes) for question in graded.questions} == names


def test_the_seed_depends_on_all_that_it_is_made_of():
    seeds = {
        seed(*given)
        for given in (
            (b"a", "x", "1", "q"),
            (b"b", "x", "1", "q"),
            (b"a", "y", "1", "q"),
            (b"a", "x", "2", "q"),
            (b"a", "x", "1", "r"),
        )
    }
    assert len(seeds) == 5
    assert seed(b"a", "x", "1", "q") in seeds


def test_answers_learnt_from_the_visible_inputs_do_not_pass(grader, tmp_path):
    table = (
        "import math, torch\n_seen = torch.manual_seed(0)\n"
        "def attention(query, key, value):\n"
        "    if query.shape == (2, 3, 4, 8):\n"
        "        return torch.zeros(2, 3, 4, 6), torch.full((2, 3, 4, 5), 0.2)\n"
        "    w = torch.softmax(query @ key.mT / math.sqrt(query.size(-1)), -1)\n    return w @ value, w\n"
    )
    graded = grade(grader, tmp_path, {**RIGHT, "scores-answer": table})
    assert graded.questions[0].score == 2


def test_a_cell_that_raises_or_never_ends_costs_only_its_question(grader, tmp_path):
    graded = grade(grader, tmp_path, {**RIGHT, "masks-answer": "1 / 0", "heads-answer": "while True: print(1)"})
    points = {question.question: question.score for question in graded.questions}
    assert points == {"scores": 4, "masks": 0, "heads": 0, "permutation": 3, "scale": 3}
    remarks = {question.question: question.remarks for question in graded.questions}
    assert remarks["masks"] == ("the cell masks-answer raised ZeroDivisionError: division by zero",)
    assert "does a loop never end?" in remarks["heads"][0]


def test_a_dead_process_is_said_and_what_came_before_keeps_its_points(grader, tmp_path):
    graded = grade(grader, tmp_path, {**RIGHT, "heads-answer": "import os; os._exit(7)"})
    assert [question.score for question in graded.questions] == [4, 5, 0, 0, 0]
    assert graded.questions[2].remarks == ("the cell heads-answer ended Python: it ended with code 7",)


def test_a_server_that_is_killed_costs_no_submission_its_points(tmp_path):
    """The one that runs goes on; the next is said to be for this machine to try again, and is no zero."""
    with Grader(b"secret", Limits(), sandbox=False) as grader:
        server = grader._server._process
        answers = {**RIGHT, "scores-answer": f"import os\nos.kill({server.pid}, 9)\n{RIGHT['scores-answer']}"}
        assert grade(grader, tmp_path, answers).score == 20
        assert server.wait(10) == -9
        assert not grader.alive()
        with pytest.raises(WorkFailedError, match=r"the server of notebook processes has ended .*; grade it again"):
            grade(grader, tmp_path, RIGHT)


def test_an_edited_check_cell_gains_nothing(grader, tmp_path):
    nb = released_notebook()
    cell(nb, "scores-check")["source"] = "print('scores: 4 of 4 points'); 4.0"
    assert grader.grade(write(tmp_path / RELEASE.name, nb), RELEASE).score == 0


def test_files_that_are_no_submissions_are_a_status(grader, tmp_path):
    right = hand_in(tmp_path / "right.ipynb", RIGHT)
    os.symlink(right, tmp_path / "link.ipynb")
    (tmp_path / "deep.ipynb").write_text("[" * 200_000)
    (tmp_path / "large.ipynb").write_text(json.dumps("x" * (2 << 20)))
    (tmp_path / "text.ipynb").write_text("no notebook")
    (tmp_path / "folder.ipynb").mkdir()
    os.mkfifo(tmp_path / "pipe.ipynb")
    many, twice = notebooks.read(right), notebooks.read(right)
    many["cells"] += [{"cell_type": "code", "id": f"c{i}", "metadata": {}, "source": ""} for i in range(300)]
    twice["cells"].append(cell(twice, "scores-answer"))
    write(tmp_path / "many.ipynb", many)
    write(tmp_path / "twice.ipynb", twice)
    expected = {
        "link": "this is a link", "deep": "too deep", "large": "at most 1 MiB", "text": "not a notebook",
        "folder": "this is no file", "pipe": "this is no file", "many": "at most 200", "twice": "two cells",
        "missing": "cannot be read",
    }  # fmt: skip
    for name, said in expected.items():
        graded = grader.grade(tmp_path / f"{name}.ipynb", RELEASE)
        assert said in graded.status
        assert (graded.score, graded.maximum, graded.notebook) == (0, 20, None)


def test_without_the_sandbox_the_result_says_so(tmp_path):
    with Grader(b"secret", Limits(), sandbox=False) as grader:
        graded = grade(grader, tmp_path, RIGHT)
    assert graded.score == 20
    assert graded.sandbox == {"sandbox": "off: the submissions' code ran with the rights of the grader"}


def test_the_command_grades_a_class_and_keeps_its_secret(tmp_path, capsys):
    hand_in(tmp_path / "class" / "right" / RELEASE.name, RIGHT)
    hand_in(tmp_path / "class" / "reader" / RELEASE.name, {**RIGHT, "scores-answer": "open('/etc/passwd')"})
    secret = tmp_path / "secret"
    grade_all(tmp_path / "class", tmp_path / "grades.json", 60, secret)
    rows = {row["student"]: row for row in json.loads((tmp_path / "grades.json").read_text())}
    assert (rows["right"]["score"], rows["reader"]["score"]) == (20, 16)
    assert "FileNotFoundError" in rows["reader"]["status"]
    assert secret.stat().st_mode & 0o777 == 0o600
    assert read_or_make(secret) == read_or_make(secret)
    secret.write_text("guessed")
    with pytest.raises(CourseError, match="no secret of a course"):
        read_or_make(secret)


def test_a_grader_whose_process_ends_costs_one_row(tmp_path, monkeypatch):
    for student in ("a", "b", "c"):
        hand_in(tmp_path / "class" / student / RELEASE.name, RIGHT)
    real = Grader.grade

    def grade_but_one(self, notebook, release):
        if notebook.parent.name == "b":
            raise WorkFailedError("the checker has ended")
        return real(self, notebook, release)

    monkeypatch.setattr(Grader, "grade", grade_but_one)
    grade_all(tmp_path / "class", tmp_path / "grades.json", 60, tmp_path / "secret")
    rows = json.loads((tmp_path / "grades.json").read_text())
    assert [(row["score"], row["status"].partition(":")[0]) for row in rows][1] == (0, "not graded")
    assert [rows[i]["score"] for i in (0, 2)] == [20, 20]


def test_a_cell_may_take_the_time_that_it_is_given():
    assert Limits.for_cells(400).seconds >= 400
