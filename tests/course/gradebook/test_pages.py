"""Exports, feedback pages and the report of a class: what they say, and that nothing in them is executed."""

import base64
import csv
import io
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from lmlib.course import spreadsheets
from lmlib.course.errors import CourseError
from lmlib.course.gradebook import desk, exports
from lmlib.course.gradebook.class_report import answers_of, report
from lmlib.course.gradebook.feedback import page
from lmlib.course.gradebook.graded import Graded
from lmlib.course.gradebook.lateness import LateRule
from lmlib.course.gradebook.similarity import near_identical
from tests.course.gradebook.class_of_three import DUE, NAME, WHO, book_of_three, graded

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n123").decode()


@pytest.fixture
def book(tmp_path):
    found = book_of_three(tmp_path)
    found.set_deadline(NAME, LateRule(DUE, 0.1), WHO)
    yield found
    found.close()


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_json_has_everything(book):
    ann, bob = json.loads(exports.as_json(book.rows()))
    assert (ann["student"], ann["days_late"], ann["raw_score"], ann["penalty"], ann["score"]) == ("ann", 2, 10, 2, 8)
    assert bob["questions"]["scores"]["mistakes"] == ["wrong axis"]


def test_nbgraders_columns(book):
    ann = table(exports.nbgrader_csv(book.rows()))[0]
    names = "assignment,duedate,timestamp,student_id,last_name,first_name,email,raw_score,late_submission_penalty,score"
    assert ",".join(ann) == f"{names},max_score"
    assert (ann["student_id"], ann["last_name"], ann["raw_score"], ann["score"]) == ("ann", "Ash", "10.0", "8.0")


def test_canvas_has_a_line_a_student_with_canvas_own_id(book):
    bob = table(exports.canvas_csv(book.rows()))[1]
    assert (bob["Student"], bob["ID"], bob[NAME]) == ("Birch, Bob", "101", "7.0")


def test_canvas_without_an_id_and_moodle_without_an_email_are_refused(book):
    book.record("eve", b"eve 1", DUE, graded(1, 1))
    with pytest.raises(CourseError, match="ID, which the roster lacks for eve"):
        exports.canvas_csv(book.rows())
    with pytest.raises(CourseError, match="email, which the roster lacks for eve"):
        exports.moodle_csv(book.rows())


def test_moodle_has_the_email_and_a_column_an_assignment(book):
    assert table(exports.moodle_csv(book.rows()))[1] == {"Email address": "bob@school", NAME: "7.0"}


def test_gradescope_gets_a_test_for_each_question(book):
    found = exports.gradescope_results(book.rows()[1])
    assert found["score"] == 7
    assert [(one["name"], one["score"], one["max_score"], one["status"]) for one in found["tests"]] == [
        ("scores", 1, 4, "failed"),
        ("masks", 6, 6, "passed"),
    ]
    assert {one["output_format"] for one in [found, *found["tests"]]} == {"text"}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_no_cell_is_a_formula(book, name):
    book.enrol([{"student_id": "ann", "last_name": name, "email": name, "ID": name}], WHO)
    for text in (exports.nbgrader_csv(book.rows()), exports.canvas_csv(book.rows()), exports.moodle_csv(book.rows())):
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert f"'{name}" in [cell[: len(name) + 1] for cell in cells]
        assert not [cell for cell in cells if cell.startswith(spreadsheets.FORMULA)]


def test_feedback_shows_points_comments_and_outputs_and_nothing_that_runs(book):
    evil = "<script>alert(1)</script>"
    cell = {
        "cell_type": "code",
        "source": [f"print('{evil}')\n", "1"],
        "outputs": [
            {"output_type": "stream", "text": evil},
            {"output_type": "display_data", "data": {"text/html": evil, "text/plain": "shown as text"}},
            {"output_type": "display_data", "data": {"image/png": PNG}},
            {"output_type": "display_data", "data": {"image/png": '"><script>alert(2)</script>'}},
            {"output_type": "error", "ename": evil, "evalue": "x"},
            {"output_type": "execute_result", "data": "no dict"},
        ],
    }
    result = replace(graded(2, 3), executed={"cells": [cell]}, remarks=[evil])
    book.record("bob", b"bob 2", DUE, result)
    book.give("bob", NAME, "scores", 4, evil, WHO)
    text = page(book, next(row for row in book.rows() if row.student.id == "bob"))
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(1)") == 5  # source, stream, error, remark, comment
    assert f'src="data:image/png;base64,{PNG}"' in text
    assert "shown as text" in text
    assert "7 of 10" in text
    assert "(given by a person)" in text


def test_the_report_counts_mistakes_and_names_who_handed_in_nothing(book):
    book.record("dan", b"dan 1", DUE, Graded(NAME, status="<b>no notebook</b>"))
    text = report(book, NAME)
    assert '<td>wrong axis</td><td class="n">1</td>' in text.replace("\n", "")
    assert "cem" in text
    assert "&lt;b&gt;no notebook" in text
    book.set_deadline("x/y", LateRule(), WHO)
    with pytest.raises(CourseError, match="nothing was handed in"):
        report(book, "x/y")


def test_a_class_in_which_nothing_could_be_graded_has_a_report(tmp_path):
    book = desk.Gradebook(tmp_path / "class.db")
    book.record("dan", b"dan 1", DUE, Graded(NAME, status="no notebook"))
    assert "no notebook" in report(book, NAME)


LONG = """
def scores(query, key):
    products = query @ key.transpose(-2, -1)
    shifted = products - products.amax(-1, keepdim=True)
    powers = shifted.exp()
    return powers / powers.sum(-1, keepdim=True)
"""
OTHER = """
def scores(query, key):
    rows = []
    for one in query:
        rows.append(torch.softmax(torch.stack([one @ other for other in key]) / len(one) ** 0.5, 0))
    return torch.stack(rows)
"""


def test_renamed_copies_are_found_and_other_ways_are_not():
    copy = LONG.replace("products", "p").replace("powers", "result").replace("query", "q")
    pairs = near_identical({"ann": LONG, "bob": f"# mine\n{copy}", "cem": OTHER})
    assert [(pair.first, pair.second, pair.share) for pair in pairs] == [("ann", "bob", 1.0)]


def test_what_most_of_the_class_has_is_no_sign_of_copying():
    assert near_identical({f"student{i}": LONG for i in range(10)}) == []


def test_code_that_cannot_be_read_is_compared_as_far_as_it_goes():
    assert near_identical({"ann": "def (", "bob": "'''"}) == []
    assert answers_of(b"no JSON") == answers_of(b"[1]") == answers_of(b'{"cells": [1]}') == ""


@pytest.mark.parametrize(("name", "kept"), [("../../x", "_.._x"), ("ann", "ann"), ("..", "_"), ("a/b\\c\0", "a_b_c_")])
def test_a_students_name_cannot_lead_out_of_the_feedback_folder(name, kept):
    assert desk.safe(name) == kept


def test_feedback_is_written_for_everyone(book, tmp_path):
    book.record("../evil", b"evil 1", DUE + timedelta(days=1), graded(1, 1))
    desk.feedback(tmp_path / "class.db", tmp_path / "out", None)
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.html"))
    stem = NAME.replace("/", "_")
    assert written == [f"_evil/{stem}.html", f"ann/{stem}.html", f"bob/{stem}.html"]
