"""The command line: quick to start, and one sentence and an exit code for every wrong use."""

import subprocess
import sys

import pytest

from lmlib import data

from .conftest import ROOT, command, environment, write_text_notebook

HEAVY = ("dask", "distributed", "torch", "numpy", "nbformat", "jupytext", "papermill", "matplotlib", "IPython")


def test_help_loads_nothing_heavy():
    program = (
        "import sys; sys.argv = ['lmbook', '--help']\n"
        "from lmlib.course.cli import main\n"
        "try: main()\n"
        f"finally: print('LOADED', [name for name in {HEAVY} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert "LOADED []" in result.stdout
    assert {"run", "doctor"} <= set(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "--profile", "huge"], "'huge' is not one of"),
        (["run", "--device", "tpu"], "'tpu' is not one of"),
        (["run", "--jobs", "0"], "greater than or equal to 1"),
        (["run", "missing.ipynb"], "missing.ipynb: there is no such file or folder"),
        (["run", "notes.txt"], "notes.txt: not a notebook"),
        (["run", "empty"], "no notebooks in empty"),
        (["run", "-p", "seed"], "-p takes a name and a value"),
        (["run", "-p", "depth", "3"], "has no parameter 'depth'; it has: seed, profile, device"),
        (["run", "-p", "seed", "three"], "the parameter seed is a number (default 0), given: 'three'"),
        (["build", "missing.py"], "missing.py: there is no such file or folder"),
        (["start"], "nothing to hand out"),
        (["data", "get", "moby_dick"], "there is no corpus 'moby_dick'"),
        (["data", "get"], "name the corpora, or give --all"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(book, lmbook, arguments, sentence):
    write_text_notebook(book / "chapters" / "01_a.py", "1 + 1")
    (book / "notes.txt").write_text("no notebook")
    (book / "empty").mkdir()
    result = lmbook(*arguments)
    said = " ".join(result.stderr.replace("│", " ").split())
    assert sentence in said
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert not (book / "build" / "run" / "report.json").exists()


def test_a_file_that_cannot_be_written_is_one_sentence(book, monkeypatch, capsys):
    from lmlib.course import build, cli

    def refuse(paths):
        raise OSError(30, "Read-only file system", "chapters/01_a.ipynb")

    monkeypatch.setattr(build, "build_all", refuse)
    monkeypatch.setattr("sys.argv", ["lmbook", "build"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert "chapters/01_a.ipynb: Read-only file system" in capsys.readouterr().err


def test_pairs_of_name_and_value_are_joined_for_the_parser():
    from lmlib.course.cli import _with_pairs_joined

    given = ["run", "-p", "seed", "3", "--parameter", "name", "a=b", "-p", "lr=0.1", "chapters"]
    assert _with_pairs_joined(given) == [
        "run", "-p", "seed=3", "--parameter", "name=a=b", "-p", "lr=0.1", "chapters",
    ]  # fmt: skip


def test_a_log_in_another_code_page_gets_utf_8(tmp_path):
    corpus = data.corpora()["word_analogy"]  # what it says of itself has a sign that the code page lacks
    (tmp_path / corpus.name).mkdir()
    for file in corpus.files:
        with (tmp_path / corpus.name / file.path).open("wb") as whole:
            whole.truncate(file.bytes)
    settings = environment() | {"PYTHONIOENCODING": "cp1252", "LMBOOK_DATA": str(tmp_path)}
    done = subprocess.run(command("data", "list"), capture_output=True, env=settings, cwd=ROOT)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert "✓" in done.stdout.decode("utf-8")
