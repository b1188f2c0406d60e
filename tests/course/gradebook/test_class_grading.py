"""A class graded into its gradebook: once, resumed, and the same points as without a gradebook."""

import pickle
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lmlib.course import grade
from lmlib.course.errors import WorkFailedError
from lmlib.course.gradebook import work
from lmlib.course.gradebook.class_grading import Settings, grade_into, grader
from lmlib.course.gradebook.graded import Graded, QuestionScore
from lmlib.course.gradebook.grading import grade_class, regrade_class
from lmlib.course.gradebook.layouts import Handed, find
from lmlib.course.gradebook.store import Gradebook, digest_of
from lmlib.course.isolation import probe
from lmlib.course.outside.grading import seed
from lmlib.course.outside.secret import read_or_make
from lmlib.course.sandbox.policy import SandboxError
from lmlib.course.workers import Workers, workers
from tests.course.student_notebooks import NAME, ROOT, attention_assignment, hand_in, mistaken_answers, right_answers

STEM = NAME.rpartition("/")[2]
NOW = datetime(2026, 2, 1, tzinfo=UTC)


def isolation_is_here():
    """Whether this machine can keep a student's program in bounds; without, the checks are outside all the same."""
    return None not in (probe()[means] for means in ("user namespaces", "Landlock", "seccomp"))


def handed(n):
    return [Handed(f"student{i}", "a.ipynb", NOW, f"file {i}".encode()) for i in range(n)]


def result(one):
    return Graded("c/a", questions=[QuestionScore("q", float(one.student[-1]), 9.0)])


def graded_with(n, book, graded, jobs):
    """All that grade_class gives, with a function in place of a grader."""
    with workers(jobs) as own:
        return list(grade_class(handed(n), book, lambda one, question: own.submit(graded, one), own))


def test_a_class_is_graded_once_and_a_second_run_grades_nothing(tmp_path):
    book, calls = Gradebook(tmp_path / "class.db"), []

    def graded(one):
        calls.append(one.student)
        return result(one)

    first, again = graded_with(5, book, graded, jobs=2), graded_with(6, book, graded, jobs=2)
    assert sorted(calls) == [f"student{i}" for i in range(6)]
    assert [done.graded is None for done in first] == [False] * 5
    assert sum(done.graded is None for done in again) == 5
    assert [row.score for row in book.rows()] == [0, 1, 2, 3, 4, 5]


def test_as_many_are_graded_at_a_time_as_there_are_jobs(tmp_path):
    meet = threading.Barrier(3, timeout=20)  # broken unless three are graded at the same time

    def graded(one):
        meet.wait()
        return result(one)

    assert len(graded_with(6, Gradebook(tmp_path / "class.db"), graded, jobs=3)) == 6


def test_stopping_keeps_what_was_done_and_starts_nothing_more(tmp_path):
    book, calls = Gradebook(tmp_path / "class.db"), []

    def graded(one):
        calls.append(one.student)
        return result(one)

    with workers(1) as own:
        doing = grade_class(handed(9), book, lambda one, question: own.submit(graded, one), own)
        next(doing)
        doing.close()
    assert len(book.rows()) == 1
    assert len(calls) <= 2
    graded_with(9, book, graded, jobs=1)
    assert len(book.rows()) == 9


def test_what_this_machine_failed_to_grade_is_not_kept_and_tried_again(tmp_path):
    book, failing = Gradebook(tmp_path / "class.db"), {"student1"}

    def graded(one):
        if one.student in failing:
            raise WorkFailedError("the checker has ended")
        return result(one)

    failed = [one for one in graded_with(3, book, graded, jobs=1) if one.failed]
    assert [(one.handed.student, one.failed, one.graded) for one in failed] == [
        ("student1", "the checker has ended", None)
    ]
    assert len(book.rows()) == 2
    failing.clear()
    graded_with(3, book, graded, jobs=1)
    assert len(book.rows()) == 3


def test_regrading_asks_for_the_files_as_they_were_and_for_nothing_else(tmp_path):
    book, asked = Gradebook(tmp_path / "class.db"), []
    given = [*handed(2), Handed("linked", "a.ipynb", NOW, problem="a link")]

    def graded(one, question):
        asked.append((one.student, one.name, one.received, one.problem, question))
        return Graded("c/a", one.problem) if one.problem else replace(result(one), seconds=len(asked))

    with workers(1) as own:

        def submit(one, question):
            return own.submit(graded, one, question)

        list(grade_class(given, book, submit, own))
        before, asked[:] = book.rows(), []
        one_question = list(regrade_class("c/a", "q", book, submit, own, "teacher"))
        assert asked == [(f"student{i}", "a.ipynb", NOW, "", "q") for i in range(2)]  # the link has no such question
        whole = list(regrade_class("c/a", None, book, submit, own, "teacher"))
        assert asked[-1] == ("linked", "a.ipynb", NOW, "a link", None)
    assert [(one.changes, one.failed) for one in one_question + whole] == [([], "")] * 5
    assert [vars(row) | {"student": ""} for row in book.rows()] == [vars(row) | {"student": ""} for row in before]


def test_a_machine_without_a_sandbox_grades_nothing(tmp_path):
    book = Gradebook(tmp_path / "class.db")

    def graded(one):
        raise SandboxError("no namespaces")

    with pytest.raises(SandboxError, match="no namespaces"):
        graded_with(3, book, graded, jobs=1)
    assert book.rows() == []
    assert str(pickle.loads(pickle.dumps(SandboxError("no namespaces")))) == str(SandboxError("no namespaces"))


def test_the_secret_of_the_course_does_not_travel_with_a_submission(tmp_path, monkeypatch):
    sent, path = [], tmp_path / "secret"
    monkeypatch.setattr(Workers, "submit", lambda self, function, *arguments: sent.append(arguments))
    with grader(ROOT, Settings(jobs=1, secret=path)) as (submit, _):
        submit(Handed("ann", "a.ipynb", NOW, b"file"), None)
    packed, secret = pickle.dumps(sent), read_or_make(path)
    assert [word for word in (secret, secret.hex().encode(), str(path).encode()) if word in packed] == []
    ((_, _, _, seeds),) = sent
    assert seeds[NAME]["masks"] == seed(secret, NAME, digest_of(b"file"), "masks")


@pytest.fixture(scope="module")
def submitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    assignment = attention_assignment()
    hand_in(folder / "right" / f"{STEM}.ipynb", right_answers(assignment))
    hand_in(folder / "mistaken" / f"{STEM}.ipynb", mistaken_answers(assignment)[0][0])
    (folder / "broken").mkdir()
    (folder / "broken" / f"{STEM}.ipynb").write_text("{no JSON")
    return folder


@pytest.fixture(scope="module")
def trusted(submitted):
    """The gradebook of this class, whose students are trusted."""
    path = submitted.parent / "class.db"
    grade_into(submitted, path, Settings(jobs=2))
    return path


def test_the_gradebook_has_the_points_of_the_plain_command(submitted, trusted, capsys):
    found = {row.student.id: row for row in Gradebook(trusted).rows(NAME)}
    plain = {row.student: row for row in grade.grade(submitted, timeout=60, base=ROOT)}
    for student in ("right", "mistaken"):
        assert (found[student].score, found[student].maximum) == (plain[student].score, plain[student].maximum)
        mistakes = [f"{name}: {m}" for name, mark in found[student].marks.items() for m in mark.mistakes]
        assert mistakes == plain[student].mistakes
    assert found["right"].score == found["right"].maximum == 20
    assert found["broken"].score == 0
    assert "JSON" in found["broken"].status
    assert str(submitted) not in found["broken"].status
    capsys.readouterr()
    grade_into(submitted, trusted, Settings(jobs=2))
    assert capsys.readouterr().out.count("in the gradebook already") == 3


def test_a_problem_of_the_layout_becomes_a_row(tmp_path):
    link = tmp_path / "ann" / f"{STEM}.ipynb"
    link.parent.mkdir()
    link.symlink_to("/etc/hostname")
    (one,) = find(tmp_path)
    with grader(ROOT, Settings(jobs=1)) as (submit, _):
        graded = submit(one, None).result()
    assert graded.status == one.problem != ""
    assert graded.assignment == NAME


def test_untrusted_work_gets_the_same_points_in_the_sandbox(submitted, trusted, tmp_path):
    outside = tmp_path / "outside.db"
    grade_into(submitted, outside, Settings(jobs=2, secret=tmp_path / "secret", sandbox=isolation_is_here()))
    points = [
        {row.student.id: {name: mark.points for name, mark in row.marks.items()} for row in Gradebook(path).rows()}
        for path in (trusted, outside)
    ]
    assert points[0] == points[1]
    assert Gradebook(outside).executed("right", NAME)["cells"]


@pytest.mark.parametrize("process", ["_server", "_checker"])
def test_processes_that_die_between_two_submissions_are_started_anew(submitted, tmp_path, process):
    """As the kernel ends the largest process of a machine that has no memory left."""
    right = next(one for one in find(submitted) if one.student == "right")
    with grader(ROOT, Settings(jobs=1, secret=tmp_path / "secret", sandbox=isolation_is_here())) as (submit, _):
        first = submit(right, None).result()
        (kept,) = work._kept.values()
        killed = getattr(kept._free[0], process)._process
        killed.kill()
        killed.wait()
        assert submit(right, None).result().questions == first.questions


def test_what_no_assignment_was_known_for_is_tried_again(tmp_path):
    book = Gradebook(tmp_path / "class.db")
    with workers(1) as own:
        for name, given in (("hw2.ipynb", lambda one: Graded(one.name, "no released assignment")), ("a.ipynb", result)):
            handed_in = [Handed("student1", name, NOW, b"1")]
            list(grade_class(handed_in, book, lambda one, _, given=given: own.submit(given, one), own))
    assert [(row.assignment, row.score) for row in book.rows()] == [("c/a", 1)]
