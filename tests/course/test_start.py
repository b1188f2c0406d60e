"""A student's own copy: complete, without outputs, and nothing of the student's is ever lost."""

import json
import shutil
from pathlib import Path

import pytest

from lmlib.course import notebooks
from lmlib.course.errors import CourseError
from lmlib.course.start import CARRIED, KEPT, NEW, REPLACED, start

CHAPTER = Path("chapters/01_x/01_a.ipynb")
EXERCISE = Path("exercises/01_x/01_a.ipynb")


def code(id, source, **nbgrader):
    metadata = {"nbgrader": nbgrader} if nbgrader else {}
    output = {"output_type": "stream", "name": "stdout", "text": "passed\n"}
    ran = {"outputs": [output], "execution_count": 1}
    return {"cell_type": "code", "id": id, "source": source, "metadata": metadata, **ran}


def write(path, *cells):
    notebooks.write({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, path)


def release(book, stub="raise NotImplementedError", check="check(1)", chapter="x = 1"):
    """The two notebooks as the book has them, with the sources given."""
    answer = code("answer", stub, grade_id="q", solution=True)
    other = code("other", "pass", grade_id="r", solution=True)
    write(book / EXERCISE, answer, code("t", check, grade_id="q-check"), other)
    write(book / CHAPTER, code("c1", chapter))


def sources(path):
    return [cell["source"] for cell in notebooks.read(path)["cells"]]


def edit(path, id, source):
    nb = notebooks.read(path)
    next(cell for cell in nb["cells"] if cell["id"] == id)["source"] = source
    notebooks.write(nb, path)


@pytest.fixture
def work(book):
    release(book)
    (book / "exercises" / "01_x" / "01_a_checks.json").write_text("[1]")
    (book / "exercises" / "01_x" / "__pycache__").mkdir()
    (book / "exercises" / "01_x" / "__pycache__" / "x.pyc").write_text("")
    (book / "chapters" / "01_x" / "01_a.py").write_text("# %%")
    done = start(book, book / "work", update=False)
    assert done == {CHAPTER.as_posix(): NEW, EXERCISE.as_posix(): NEW}
    return book / "work"


def test_the_copy_has_the_notebooks_without_outputs_and_what_the_checks_read(work):
    files = {path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file()}
    expected = {CHAPTER.as_posix(), EXERCISE.as_posix(), "exercises/01_x/01_a_checks.json", ".start.json"}
    assert files == expected
    for name in (CHAPTER, EXERCISE):
        assert all(cell["outputs"] == [] for cell in notebooks.read(work / name)["cells"])
    assert notebooks.read(work / EXERCISE)["cells"][0]["metadata"]["nbgrader"]["grade_id"] == "q"


def test_without_update_nothing_that_is_there_is_touched(book, work):
    edit(work / EXERCISE, "answer", "mine")
    before = (work / EXERCISE).read_bytes()
    release(book, stub="new", chapter="x = 2")
    assert set(start(book, work, update=False).values()) == {KEPT}
    assert (work / EXERCISE).read_bytes() == before
    assert sources(work / CHAPTER) == ["x = 1"]


def test_a_copy_that_was_deleted_comes_back(book, work):
    (work / CHAPTER).unlink()
    assert start(book, work, update=False) == {CHAPTER.as_posix(): NEW, EXERCISE.as_posix(): KEPT}


def test_an_update_replaces_what_was_only_run_and_keeps_no_old_copy_of_it(book, work):
    nb = notebooks.read(work / CHAPTER)
    nb["cells"][0] |= {"outputs": [{"output_type": "stream", "name": "stdout", "text": "1"}], "execution_count": 4}
    notebooks.write(nb, work / CHAPTER)
    release(book, chapter="x = 2")
    assert start(book, work, update=True) == {CHAPTER.as_posix(): REPLACED, EXERCISE.as_posix(): KEPT}
    assert sources(work / CHAPTER) == ["x = 2"]
    assert list(work.rglob("*before-update*")) == []


def test_an_update_carries_answers_over_renews_untouched_stubs_and_keeps_the_old_copy(book, work):
    edit(work / EXERCISE, "answer", "mine")
    nb = notebooks.read(work / EXERCISE)
    nb["cells"].insert(1, code("own", "look = 1"))
    notebooks.write(nb, work / EXERCISE)
    answer = code("answer", "a new stub", grade_id="q", solution=True)
    other = code("other", "a better stub", grade_id="r", solution=True)
    write(book / EXERCISE, code("new", "new cell"), answer, code("t", "check(2)", grade_id="q-check"), other)
    (book / "exercises" / "01_x" / "01_a_checks.json").write_text("[2]")
    assert start(book, work, update=True)[EXERCISE.as_posix()] == CARRIED
    assert sources(work / EXERCISE) == ["new cell", "mine", "look = 1", "check(2)", "a better stub"]
    old = work / "exercises" / "01_x" / "01_a.before-update-1.ipynb"
    assert sources(old) == ["mine", "look = 1", "check(1)", "pass"]
    assert json.loads((work / "exercises" / "01_x" / "01_a_checks.json").read_text()) == [2]
    release(book, check="check(3)")
    assert start(book, work, update=True)[EXERCISE.as_posix()] == CARRIED
    assert sources(work / EXERCISE) == ["mine", "look = 1", "check(3)", "pass"]
    assert old.with_name("01_a.before-update-2.ipynb").exists()


def test_an_update_of_an_unchanged_release_leaves_the_students_work_alone(book, work):
    edit(work / EXERCISE, "answer", "mine")
    assert set(start(book, work, update=True).values()) == {KEPT}
    assert sources(work / EXERCISE)[0] == "mine"


def test_an_update_brings_back_a_cell_that_the_student_deleted(book, work):
    edit(work / EXERCISE, "other", "mine")
    nb = notebooks.read(work / EXERCISE)
    del nb["cells"][0]
    notebooks.write(nb, work / EXERCISE)
    assert start(book, work, update=True)[EXERCISE.as_posix()] == CARRIED
    assert sources(work / EXERCISE) == ["raise NotImplementedError", "check(1)", "mine"]


def test_an_edited_chapter_is_renewed_and_the_edited_copy_kept(book, work):
    edit(work / CHAPTER, "c1", "x = 99")
    release(book, chapter="x = 2")
    assert start(book, work, update=True)[CHAPTER.as_posix()] == CARRIED
    assert sources(work / CHAPTER) == ["x = 2"]
    assert sources(work / "chapters" / "01_x" / "01_a.before-update-1.ipynb") == ["x = 99"]


@pytest.mark.parametrize("notes", [None, "{damaged", "[]"])
def test_with_the_notes_lost_an_update_still_loses_nothing(book, work, notes):
    edit(work / EXERCISE, "answer", "mine")
    (work / ".start.json").unlink() if notes is None else (work / ".start.json").write_text(notes)
    release(book, check="check(2)")
    start(book, work, update=True)
    assert sources(work / EXERCISE)[:2] == ["mine", "check(2)"]
    assert (work / "exercises" / "01_x" / "01_a.before-update-1.ipynb").exists()


def test_a_copy_that_is_damaged_is_kept_beside_a_fresh_one(book, work):
    (work / EXERCISE).write_text("{ half a file")
    release(book, check="check(2)")
    start(book, work, update=True)
    assert (work / "exercises" / "01_x" / "01_a.before-update-1.ipynb").read_text() == "{ half a file"
    assert sources(work / EXERCISE)[1] == "check(2)"


def test_the_command_says_what_it_did(book, lmbook):
    release(book)
    result = lmbook("start")
    assert result.returncode == 0
    assert "work: notebooks: 2 new." in result.stdout
    assert "jupyter lab --notebook-dir=work" in result.stdout
    assert "2 kept" in lmbook("start").stdout


def test_a_full_disk_leaves_no_half_companion(book, work, monkeypatch):
    companion = work / "exercises" / "01_x" / "01_a_checks.json"
    companion.unlink()

    def full(source, target):
        Path(target).write_text("[")
        raise OSError(28, "No space left on device", str(target))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(CourseError, match="No space left"):
            start(book, work, update=False)
    assert not companion.exists()
    start(book, work, update=False)
    assert companion.read_text() == "[1]"
