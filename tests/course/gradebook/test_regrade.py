"""`lmbook gradebook regrade`: a check is mended, and one question of a class is graded anew by it, nothing else."""

import sqlite3

import pytest

from lmlib.course import notebooks, release
from lmlib.course.checking import check_notebook
from lmlib.course.errors import CourseError
from lmlib.course.gradebook import desk
from lmlib.course.gradebook.class_grading import Settings, grade_into
from lmlib.course.gradebook.store import Gradebook
from lmlib.course.submission import SubmissionError, for_question, to_run
from tests.course.small_assignment import SOURCE
from tests.course.student_notebooks import hand_in

NAME = "01_test/t"
MENDED = SOURCE.replace("size = 64", "size = 9").replace("size = 8", "size = 64")  # the teacher's own answer was wrong
ANSWERS = {
    "ann": {"double-answer": "def double(x):\n    return 2 * x", "choose-answer": "letter, size = 'b', 8"},
    "bob": {"double-answer": "def double(x):\n    return 3 * x", "choose-answer": "letter, size = 'b', 64"},
}


@pytest.fixture
def assignment(tmp_path, monkeypatch):
    """A function that writes and releases the small assignment in a book that is the working folder."""
    for folder in ("chapters", "solutions/01_test", "submitted"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def released(source):
        (tmp_path / "solutions" / "01_test" / "t.py").write_text(source, "utf-8")
        release.release_all(["t"], nbgrader=None)
        return tmp_path / "exercises" / "01_test" / "t.ipynb"

    return released


def outside(tmp_path):
    return Settings(secret=tmp_path / "secret", sandbox=False, jobs=1)


def table(path, what):
    with sqlite3.connect(path) as database:
        return sorted(database.execute(f"SELECT * FROM {what}"), key=str)


def said(capsys):
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_mended_check_changes_its_question_alone(assignment, tmp_path, capsys):
    path, log = assignment(SOURCE), tmp_path / "log"
    for student, answers in ANSWERS.items():
        counted = f"open({str(log)!r}, 'a').write('.')\n{answers['choose-answer']}"
        hand_in(tmp_path / "submitted" / student / "t.ipynb", answers | {"choose-answer": counted}, path)
    (tmp_path / "submitted" / "cem").mkdir()
    (tmp_path / "submitted" / "cem" / "t.ipynb").write_text("no notebook")
    database, settings = tmp_path / "class.db", outside(tmp_path)
    grade_into(tmp_path / "submitted", database, settings)
    book = Gradebook(database)
    book.give("ann", NAME, "choose", 1.5, "see me", "teacher")
    before = {what: table(database, what) for what in ("scores", "attempts", "manual", "questions")}

    assignment(MENDED)
    capsys.readouterr()
    desk.regrade(database, NAME, "choose", settings)
    assert said(capsys) == ["ann choose: 2 -> 1", "bob choose: 1 -> 2", "2 of 2 attempts have changed"]
    after = {what: table(database, what) for what in before}
    assert {what for what in before if before[what] != after[what]} == {"scores"}
    assert [row for row in before["scores"] if "double" in row] == [row for row in after["scores"] if "double" in row]
    ann, bob, cem = book.rows(NAME)
    assert (ann.marks["choose"].points, ann.marks["choose"].comment) == (1.5, "see me")
    assert (bob.marks["choose"].points, cem.marks["choose"].points) == (2, 0)
    assert [what for _, _, what in book.history()][-1] == f"bob, {NAME}: regraded, choose: 1 -> 2"
    assert log.read_text() == "...."

    desk.regrade(database, NAME, "double", settings)
    assert said(capsys) == ["0 of 2 attempts have changed"]  # its check is as before, and draws the same inputs
    assert log.read_text() == "...."  # what comes after the question is not run
    assert table(database, "scores") == after["scores"]


def test_trusted_work_is_run_up_to_the_question(assignment, tmp_path):
    path = assignment(SOURCE)
    answers = ANSWERS["bob"] | {"choose-answer": "raise SystemExit"}
    result = check_notebook(hand_in(tmp_path / "t.ipynb", answers, path), base=tmp_path, question="double")
    assert [(one.question, one.score, one.maximum, one.mistakes) for one in result.questions] == [
        ("double", 0, 3, ["triple"])
    ]
    assert result.green is False
    assert result.remarks == []


def test_only_the_code_before_the_question_and_its_own_check_are_run(assignment):
    nb = notebooks.read(assignment(SOURCE))
    names = [cell["id"] for cell in for_question(to_run(nb, nb), "choose").notebook["cells"]]
    assert {"imports", "double-answer", "choose-answer"} < set(names)
    assert "double-check" not in names
    assert names[-1] == "choose-check"
    with pytest.raises(SubmissionError, match="no question 'chose'"):
        for_question(to_run(nb, nb), "chose")


def test_what_cannot_be_regraded_is_one_sentence_and_changes_nothing(assignment, tmp_path):
    path = assignment(SOURCE)
    hand_in(tmp_path / "submitted" / "ann" / "t.ipynb", ANSWERS["ann"], path)
    database = tmp_path / "class.db"
    grade_into(tmp_path / "submitted", database, outside(tmp_path))
    before = table(database, "changes")
    for name, question, settings, sentence in [
        (NAME, "chose", outside(tmp_path), r"no question 'chose' in this gradebook; it has: double, choose"),
        ("01_test/x", "double", outside(tmp_path), "knows no assignment '01_test/x'"),
        (NAME, "double", Settings(), "was not trusted when it was graded; give --untrusted SECRET"),
        (
            NAME,
            "double",
            Settings(secret=tmp_path / "other"),
            "other: there is no such secret; a regrade needs the one",
        ),
    ]:
        with pytest.raises(CourseError, match=sentence):
            desk.regrade(database, name, question, settings)
    with pytest.raises(CourseError, match="there is no such gradebook"):
        desk.regrade(tmp_path / "none.db", NAME, "double", outside(tmp_path))
    path.unlink()
    with pytest.raises(CourseError, match="there is no assignment 01_test/t in "):
        desk.regrade(database, NAME, "double", outside(tmp_path))
    assert table(database, "changes") == before
