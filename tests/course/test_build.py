"""Text notebooks built into .ipynb files."""

from lmlib.course import notebooks
from lmlib.course.build import _joined

from .conftest import write_text_notebook


def test_a_build_is_the_same_file_when_built_again_and_has_outputs_only_from_the_run(book, lmbook):
    text = write_text_notebook(
        book / "chapters" / "01_x" / "01_a.py", "import sys; print('a'); print('b', file=sys.stderr)", "6 * 7"
    )
    assert lmbook("build", text).returncode == 0
    first = text.with_suffix(".ipynb").read_bytes()
    assert lmbook("build").returncode == 0
    assert text.with_suffix(".ipynb").read_bytes() == first
    built = notebooks.read(text.with_suffix(".ipynb"))
    assert notebooks.same_source(notebooks.read(text), built)
    assert built["cells"][2]["outputs"][0]["data"] == {"text/plain": "42"}


def test_pieces_of_one_stream_become_one_output():
    def stream(name, text):
        return {"output_type": "stream", "name": name, "text": text}

    shown = {"output_type": "display_data", "data": {}, "metadata": {}}
    parts = [stream("stdout", "a"), stream("stdout", "b\n"), stream("stderr", "c"), shown, stream("stderr", "d")]
    joined = _joined({"cell_type": "code", "outputs": parts})["outputs"]
    assert joined == [stream("stdout", "ab\n"), stream("stderr", "c"), shown, stream("stderr", "d")]


def test_a_failing_cell_is_named_and_the_old_file_stays(book, lmbook):
    text = write_text_notebook(book / "chapters" / "01_a.py", "1", "{}['absent']")
    text.with_suffix(".ipynb").write_text("old")
    result = lmbook("build", "chapters")
    assert result.returncode == 1
    assert "chapters/01_a.py: cell 'c2': KeyError: 'absent'" in result.stderr
    assert text.with_suffix(".ipynb").read_text() == "old"
    assert sorted(path.name for path in text.parent.iterdir()) == ["01_a.ipynb", "01_a.py"]
