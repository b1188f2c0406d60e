"""Text notebooks, .ipynb files, and the two in step."""

import json
from pathlib import Path

import pytest

from lmlib.course import book as book_module
from lmlib.course import notebooks
from lmlib.course.notebooks import NotebookError

from .conftest import ROOT, write_text_notebook

BUILT = [path for path in book_module.select([], ROOT) if path.suffix == ".py"]


@pytest.mark.parametrize("text", BUILT, ids=lambda path: book_module.name_of(path, ROOT))
def test_text_and_ipynb_are_in_step(text: Path):
    built = text.with_suffix(".ipynb")
    assert built.exists(), f"{built.name} is missing; run: lmbook build {text}"
    assert notebooks.same_source(notebooks.read(text), notebooks.read(built)), (
        f"{text.name} and {built.name} differ; run: lmbook build {text}"
    )


@pytest.mark.parametrize("text", BUILT, ids=lambda path: book_module.name_of(path, ROOT))
def test_a_built_notebook_was_executed_to_its_end_without_traces_of_the_run(text: Path):
    nb = notebooks.read(text.with_suffix(".ipynb"))
    code = [cell for cell in nb["cells"] if cell["cell_type"] == "code" and cell["source"].strip()]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert "papermill" not in json.dumps(nb["metadata"])
    assert not any({"execution", "papermill"} & cell["metadata"].keys() for cell in nb["cells"])


def test_a_changed_source_name_or_tag_is_out_of_step(tmp_path):
    text = write_text_notebook(tmp_path / "a.py", "x = 1", "x + 1")
    source = notebooks.read(text)
    for change in ({"source": "x = 2"}, {"id": "other"}, {"metadata": {"name": "c1", "tags": ["new"]}}):
        cells = list(source["cells"])
        cells[1] = {**cells[1], **change}
        assert not notebooks.same_source(source, {**source, "cells": cells})
    outputs = {"outputs": [{"output_type": "stream", "name": "stdout", "text": "1\n"}], "execution_count": 3}
    ran = {**source, "cells": [{**cell, **outputs} for cell in source["cells"]]}
    assert notebooks.same_source(source, ran)


def test_names_of_cells_become_their_ids(tmp_path):
    text = write_text_notebook(tmp_path / "a.py", "x = 1", "x + 1")
    assert [cell["id"] for cell in notebooks.read(text)["cells"]] == ["parameters", "c1", "c2"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# %%\nx = 1\n", 'the cell "x = 1" has no name'),
        ('# %% name="a"\nx = 1\n\n# %% name="a"\ny = 1\n', "two cells are named a"),
    ],
)
def test_a_cell_without_a_name_of_its_own_is_refused(tmp_path, text, sentence):
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(NotebookError, match=sentence):
        notebooks.read(tmp_path / "a.py")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 3}', '{"cells": [1]}', '{"worksheets": []}', "\xff\xfe"])
def test_what_is_no_notebook_is_named(tmp_path, content):
    (tmp_path / "a.ipynb").write_bytes(content.encode("latin-1"))
    with pytest.raises(NotebookError, match=r"a\.ipynb: this is not a notebook"):
        notebooks.read(tmp_path / "a.ipynb")


def test_reading_what_was_written_gives_the_same_notebook(tmp_path):
    nb = notebooks.read(write_text_notebook(tmp_path / "a.py", "x = '中'\nx"))
    nb["cells"][1]["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": "a\nb\n"},
        {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "a\nb", "image/png": "YQ=="}},
    ]
    notebooks.write(nb, tmp_path / "b.ipynb")
    assert notebooks.read(tmp_path / "b.ipynb") == nb
    assert '"a\\n",' in (tmp_path / "b.ipynb").read_text("utf-8")  # a line of text is a line of the file


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        notebooks.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_written_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    notebooks.write_atomically(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode
