"""Which notebooks a person means."""

import pytest

from lmlib.course import book as book_module
from lmlib.course.errors import CourseError

from .conftest import write_text_notebook


@pytest.fixture
def files(book):
    text = write_text_notebook(book / "chapters" / "01_x" / "01_a.py", "1")
    text.with_suffix(".ipynb").write_text("{}")
    (book / "chapters" / "01_x" / "02_alone.ipynb").write_text("{}")
    (book / "chapters" / "01_x" / "program.py").write_text("print(1)\n")
    hidden = book / "chapters" / "01_x" / ".ipynb_checkpoints"
    hidden.mkdir()
    (hidden / "01_a-checkpoint.ipynb").write_text("{}")
    write_text_notebook(book / "solutions" / "01_x" / "01_a.py", "1")
    return book


def names(paths, base):
    return [path.relative_to(base).as_posix() for path in book_module.select(paths, base)]


def test_without_paths_all_of_chapters_and_solutions_is_meant(files):
    everything = ["chapters/01_x/01_a.py", "chapters/01_x/02_alone.ipynb", "solutions/01_x/01_a.py"]
    assert names([], files) == everything


def test_a_file_is_taken_as_it_was_given(files):
    built = files / "chapters" / "01_x" / "01_a.ipynb"
    assert names([built], files) == ["chapters/01_x/01_a.ipynb"]


def test_a_text_and_its_ipynb_given_together_are_one_notebook(files):
    both = [files / "chapters" / "01_x" / f"01_a.{ending}" for ending in ("ipynb", "py")]
    assert names(both, files) == ["chapters/01_x/01_a.py"]


def test_a_notebook_without_text_cannot_be_built(files):
    with pytest.raises(CourseError, match=r"there is no text notebook 02_alone\.py"):
        book_module.select_texts([files / "chapters" / "01_x" / "02_alone.ipynb"], files)


def test_a_students_copy_is_not_taken_for_the_book(files, monkeypatch):
    (files / "work" / "chapters").mkdir(parents=True)
    (files / "work" / ".start.json").write_text("{}")
    monkeypatch.chdir(files / "work" / "chapters")
    assert book_module.root() == files
