"""The gradebook: what counts, what is kept, and that a regrade leaves alone what people gave."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from lmlib.course.gradebook import desk
from lmlib.course.gradebook.graded import Graded, QuestionScore
from lmlib.course.gradebook.grading import grade_class
from lmlib.course.gradebook.lateness import LateRule, days_late, penalty
from lmlib.course.gradebook.layouts import Handed
from lmlib.course.gradebook.store import Gradebook, GradebookError, digest_of
from lmlib.course.workers import workers
from tests.course.gradebook.class_of_three import DUE, NAME, WHO, book_of_three, graded


@pytest.fixture
def book(tmp_path):
    found = book_of_three(tmp_path)
    yield found
    found.close()


def row_of(book, student):
    return next(row for row in book.rows(NAME) if row.student.id == student)


@pytest.mark.parametrize(
    ("late", "days"),
    [("0:00:00", 0), ("-0:00:01", 0), ("0:00:01", 1), ("24:00:00", 1), ("24:00:01", 2)],
)
def test_a_day_counts_once_it_has_begun(late, days):
    hours, minutes, seconds = map(int, late.removeprefix("-").split(":"))
    after = timedelta(hours=hours, minutes=minutes, seconds=seconds) * (-1 if late.startswith("-") else 1)
    assert days_late(DUE + after, DUE) == days


def test_the_penalty_is_a_share_of_the_maximum_a_day_and_never_more_than_was_earned():
    rule = LateRule(DUE, 0.1, days_accepted=3)
    assert penalty(8, 10, 0, rule) == 0
    assert penalty(8, 10, 2, rule) == pytest.approx(2)
    assert penalty(1, 10, 3, rule) == 1
    assert penalty(8, 10, 4, rule) == 8  # no longer accepted
    assert penalty(8, 10, 400, LateRule(DUE)) == 0


def test_late_work_loses_points_and_an_extension_gives_them_back(book):
    book.set_deadline(NAME, LateRule(DUE, 0.1, 7), WHO)
    late = row_of(book, "ann")
    assert (late.days_late, late.raw, late.penalty, late.score, late.maximum) == (2, 10, 2, 8, 10)
    assert row_of(book, "bob").penalty == 0
    book.extend("ann", NAME, DUE + timedelta(days=2), WHO)
    assert row_of(book, "ann").score == 10


def test_the_attempt_handed_in_last_counts_and_all_are_kept(book):
    book.record("bob", b"bob 2", DUE, graded(4, 5))
    book.record("bob", b"bob 0", DUE - timedelta(days=2), graded(0, 0))  # found later, handed in earlier
    row = row_of(book, "bob")
    assert (row.score, row.attempts) == (9, 3)
    assert book.files(NAME)["bob"] == b"bob 2"


def test_the_same_file_twice_is_one_attempt(book):
    assert book.has("bob", digest_of(b"bob 1"))
    assert not book.has("ann", digest_of(b"bob 1"))
    book.record("bob", b"bob 1", DUE + timedelta(days=9), graded(0, 0))
    assert (row_of(book, "bob").attempts, row_of(book, "bob").score) == (1, 7)


def test_points_by_hand_survive_a_regrade_that_changes_the_check(book):
    book.give("bob", NAME, "scores", 3.5, "the idea is right", WHO)
    now = Graded(NAME, questions=[QuestionScore("scores", 4.0, 4.0, [], "now right")])
    changes = [book.regrade(one.id, now, WHO, "scores") for one in book.attempts(NAME, "scores")]
    assert changes == [["scores: other words"], ["scores: 1 -> 4"]]
    mark = row_of(book, "bob").marks["scores"]
    assert (mark.points, mark.by_hand, mark.comment, mark.text) == (3.5, True, "the idea is right", "now right")
    assert row_of(book, "bob").marks["masks"].points == 6
    assert [what for _, who, what in book.history() if who == WHO][-1] == f"bob, {NAME}: regraded, scores: 1 -> 4"


def test_a_regrade_of_one_question_keeps_no_other_and_one_that_changes_nothing_writes_nothing(book):
    kept = book.attempts(NAME)
    assert [book.file(one.id) for one in kept] == [b"ann 1", b"bob 1"]
    before = book.history(), row_of(book, "ann").marks
    assert book.regrade(kept[0].id, graded(4, 6), WHO, "masks") == []
    assert book.regrade(kept[0].id, graded(0, 6), WHO, "masks") == []  # the scores are not asked for
    assert (book.history(), row_of(book, "ann").marks) == before


def test_a_regrade_of_all_brings_status_remarks_and_every_question(book):
    (ann, _) = book.attempts(NAME)
    new = replace(graded(3, 6), remarks=["a remark"], executed={"cells": [1]})
    assert book.regrade(ann.id, new, WHO) == ["scores: 4 -> 3", "remarks"]
    row = row_of(book, "ann")
    assert (row.score, row.remarks, book.executed("ann", NAME)) == (9, ["a remark"], {"cells": [1]})


def test_a_regrade_brings_a_questions_new_maximum_and_new_questions(book):
    (ann, bob) = book.attempts(NAME)
    more = Graded(NAME, questions=[QuestionScore("scores", 8.0, 8.0), QuestionScore("heads", 1.0, 5.0)])
    book.regrade(ann.id, more, WHO)
    assert {name: (mark.points, mark.maximum) for name, mark in row_of(book, "ann").marks.items()} == {
        "scores": (8, 8),
        "masks": (6, 6),
        "heads": (1, 5),
    }
    assert row_of(book, "bob").marks["scores"].points == 1  # his own regrade is still to come
    assert any("scores: of 4 -> 8 points" in what for _, _, what in book.history())
    assert book.regrade(bob.id, more, WHO, "heads") == ["heads: none -> 1"]


def test_a_comment_alone_leaves_the_points_of_the_check(book):
    book.give("bob", NAME, "scores", None, "see me", WHO)
    mark = row_of(book, "bob").marks["scores"]
    assert (mark.points, mark.by_hand, mark.comment) == (1, False, "see me")


def test_a_list_of_points_is_kept_whole_or_not_at_all(book):
    with pytest.raises(GradebookError, match="no question 'nothing'"):
        book.give_all([("ann", NAME, "scores", 1.0, ""), ("bob", NAME, "nothing", 1.0, "")], WHO)
    assert row_of(book, "ann").marks["scores"].points == 4


def test_what_could_not_be_graded_is_a_row_with_no_points_and_the_reason(book):
    book.record("dan", b"not JSON", DUE, Graded(NAME, status="the file is no notebook"))
    row = row_of(book, "dan")
    assert (row.score, row.maximum, row.status) == (0, 10, "the file is no notebook")
    assert not row.student.on_roster


def test_the_history_says_who_did_what(book):
    book.give("bob", NAME, "scores", 2, "", WHO)
    assert [who for _, who, _ in book.history()] == [WHO, "lmbook", "lmbook", WHO]
    assert book.history()[-1][2] == f"bob, {NAME}, scores: 2 points by hand ''"


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda book: book.extend("eve", NAME, DUE, WHO), "no student 'eve'"),
        (lambda book: book.extend("ann", "no/such", DUE, WHO), "no assignment 'no/such'"),
        (lambda book: book.give("ann", NAME, "scores", -1, "", WHO), "0 or more; got -1"),
        (lambda book: book.give("ann", NAME, "scores", float("nan"), "", WHO), "0 or more; got nan"),
        (lambda book: book.attempts(NAME, "nothing"), "no question 'nothing' in this gradebook; it has: scores, masks"),
        (lambda book: book.attempts("no/such"), "no assignment 'no/such'"),
        (lambda book: book.enrol([{"name": "Eve"}], WHO), "needs a student_id; one has name"),
        (lambda book: book.rows("no/such"), "no assignment 'no/such'"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_and_changes_nothing(book, act, message):
    before = book.history()
    with pytest.raises(GradebookError, match=message):
        act(book)
    assert book.history() == before


def test_a_file_that_is_no_gradebook_is_left_alone(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("shopping list " * 100)
    with pytest.raises(GradebookError, match="cannot be used as a gradebook"):
        Gradebook(path)
    assert path.read_text().startswith("shopping list")
    with pytest.raises(GradebookError, match="no such folder"):
        Gradebook(tmp_path / "missing" / "class.db")


ENDLESS = """
import sys
from pathlib import Path
from tests.course.gradebook.class_of_three import DUE, graded
from lmlib.course.gradebook.store import Gradebook
book = Gradebook(Path(sys.argv[1]))
for i in range(100000):
    book.record(f"student{i}", f"file {i}".encode() * 500, DUE, graded(i % 5, i % 7))
    print(i, flush=True)
"""


def test_a_kill_at_any_moment_leaves_whole_attempts_only(tmp_path):
    for number in range(3):
        path = tmp_path / f"{number}.db"
        process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(5 + 4 * number):
            last = int(process.stdout.readline())
        time.sleep(0.003 * number)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        rows = Gradebook(path).rows()
        assert len(rows) >= last
        assert all(set(row.marks) == {"scores", "masks"} and row.marks["masks"].text for row in rows)
        whole = sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone()
        assert whole == ("ok",)


def test_two_processes_can_write_at_the_same_time(tmp_path):
    path = tmp_path / "class.db"
    Gradebook(path).close()
    code = ENDLESS.replace("range(100000)", "range(20)").replace("student{i}", "{sys.argv[2]}{i}")
    code = code.replace('f"file {i}"', 'f"{sys.argv[2]} {i}"')
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), who]) for who in ("x", "y")]
    assert [process.wait() for process in running] == [0, 0]
    assert len(Gradebook(path).rows()) == 40


def test_questions_that_a_release_adds_later_have_no_points_in_earlier_attempts(book):
    more = replace(graded(4, 6), questions=[*graded(4, 6).questions, QuestionScore("heads", 2.0, 5.0)])
    book.record("cem", b"cem 1", DUE, more)
    assert row_of(book, "ann").maximum == 15
    assert row_of(book, "ann").marks["heads"].points == 0


def test_a_comment_leaves_points_by_hand_and_points_a_comment(book):
    book.give("bob", NAME, "scores", 3.5, "", WHO)
    book.give("bob", NAME, "scores", None, "see me", WHO)
    book.give("bob", NAME, "masks", None, "good", WHO)
    book.give("bob", NAME, "masks", 5, "", WHO)
    assert [(m.points, m.comment) for m in row_of(book, "bob").marks.values()] == [(3.5, "see me"), (5, "good")]


def test_a_second_roster_keeps_what_it_does_not_name(book):
    book.enrol([{"student_id": "ann", "Student": "Ash, Ann", "SIS User ID": "7"}], WHO)
    ann = next(one for one in book.students() if one.id == "ann")
    assert (ann.last_name, ann.email) == ("Ash", "ann@school")
    assert (ann.columns["ID"], ann.columns["SIS User ID"]) == ("100", "7")


def test_a_row_without_its_last_cells_is_a_row(book, tmp_path):
    (tmp_path / "t.csv").write_text(f"student_id,assignment,question,points,comment\nann,{NAME},scores,2\n")
    desk.give_all(book.path, tmp_path / "t.csv")
    assert row_of(book, "ann").marks["scores"].points == 2


def test_an_earlier_file_handed_in_again_counts(book):
    with workers(1) as own:
        for hours, content, points in ((1, b"bob 2", graded(0, 0)), (2, b"bob 1", None)):
            handed = [Handed("bob", "a.ipynb", DUE + timedelta(hours=hours), content)]
            list(grade_class(handed, book, lambda one, _, points=points: own.submit(lambda: points), own))
    assert (row_of(book, "bob").score, row_of(book, "bob").attempts) == (7, 2)
