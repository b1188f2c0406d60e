"""A student's answers in a release: matched by grade_id, own cells at their places, everything else pristine."""

from lmlib.course.merge import answers_in, merge


def cell(id, source="", grade_id=None, solution=False, kind="code"):
    metadata = {"nbgrader": {"grade_id": grade_id, "solution": solution}} if grade_id else {}
    return {"cell_type": kind, "id": id, "source": source, "metadata": metadata}


def notebook(*cells):
    return {"cells": list(cells), "metadata": {"kernelspec": {"name": "python3"}}}


RELEASE = notebook(
    cell("intro", "# Title", kind="markdown"),
    cell("a1", "stub 1", "one", solution=True),
    cell("t1", "check 1", "one-check"),
    cell("a2", "stub 2", "two", solution=True),
    cell("t2", "check 2", "two-check"),
)


def sources(nb):
    return [cell["source"] for cell in nb["cells"]]


def test_answers_are_matched_by_grade_id_whatever_their_place_and_id():
    theirs = notebook(cell("x", "answer 2", "two", solution=True), cell("y", "answer 1", "one", solution=True))
    assert sources(merge(theirs, RELEASE)) == ["# Title", "answer 1", "check 1", "answer 2", "check 2"]


def test_edited_checks_statements_and_metadata_have_no_effect():
    theirs = notebook(
        cell("intro", "# Mine"),
        cell("a1", "answer", "one", solution=True),
        cell("t1", "2", "one-check", solution=True),  # a check that poses as an answer
    )
    merged = merge(theirs, RELEASE)
    assert sources(merged) == ["# Title", "answer", "check 1", "stub 2", "check 2"]
    assert [c["metadata"] for c in merged["cells"]] == [c["metadata"] for c in RELEASE["cells"]]


def test_added_cells_follow_the_cell_that_they_followed_in_order():
    theirs = notebook(
        cell("n0", "import math"),
        cell("intro", "# Title"),
        cell("a1", "answer", "one", solution=True),
        cell("n1", "helper"),
        cell("n2", "look"),
        cell("t2", "check 2", "two-check"),
        cell("n3", "end"),
    )
    merged = merge(theirs, RELEASE)
    expected = ["import math", "# Title", "answer", "helper", "look", "check 1", "stub 2", "check 2", "end"]
    assert sources(merged) == expected


def test_a_copy_of_an_answer_cell_is_the_students_own_cell_not_a_second_answer():
    theirs = notebook(cell("a1", "first", "one", solution=True), cell("copy", "second", "one", solution=True))
    merged = merge(theirs, RELEASE)
    assert answers_in(theirs) == {"one": "first"}
    assert sources(merged)[1:3] == ["first", "second"]
    assert "nbgrader" not in merged["cells"][2]["metadata"]
    ids = [cell["id"] for cell in merged["cells"]]
    assert len(ids) == len(set(ids))


def test_cells_of_an_earlier_release_are_not_taken_for_the_students_own():
    theirs = notebook(cell("old", "gone from the release"), cell("own", "mine"))
    assert sources(merge(theirs, RELEASE, earlier={"old"}))[0] == "mine"
    assert "gone from the release" not in sources(merge(theirs, RELEASE, earlier={"old"}))


def test_the_release_itself_is_not_changed():
    before = sources(RELEASE)
    merge(notebook(cell("a1", "answer", "one", solution=True), cell("n", "new")), RELEASE)
    assert sources(RELEASE) == before
