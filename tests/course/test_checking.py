"""`lmbook check`: red until solved, nothing of a student's own check cells counts, and every trouble has a sentence."""

import os
import subprocess
import sys

import pytest

from lmlib.course import progress, record
from lmlib.course.assignment import all_assignments
from lmlib.course.checking import QuestionResult, Result, assignment_of, check_notebook, released_assignments, run
from lmlib.course.nbval_cells import CellWatcher
from lmlib.course.notebooks import read
from lmlib.course.submission import SubmissionError
from tests.course.student_notebooks import (
    NAME,
    RELEASE,
    ROOT,
    attention_assignment,
    cell,
    hand_in,
    released_notebook,
    right_answers,
    write,
)

RELEASES = [
    pytest.param(
        ROOT / "exercises" / path.parent.name / f"{path.stem}.ipynb",
        id=path.stem,
        marks=() if f"{path.parent.name}/{path.stem}" == NAME else pytest.mark.long,
    )
    for path in all_assignments(ROOT)
]  # each takes seconds; without --all, test_assignments.py asks the checks of the others about their releases
RIGHT = right_answers(attention_assignment())


def lmbook(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "lmlib.course", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def own_cell(source):
    return {"cell_type": "code", "id": "mine", "metadata": {}, "source": source, "outputs": [], "execution_count": None}


@pytest.mark.parametrize("release", RELEASES)
def test_an_unsolved_release_is_red_in_every_check_cell(release):
    cells = {result["id"]: result for result in run(read(release), release, timeout=60)}
    checks = [c["id"] for c in read(release)["cells"] if c["metadata"]["nbgrader"]["grade"]]
    assert checks
    assert not any(cells[name]["passed"] for name in checks)


def test_a_solved_notebook_is_green_and_exits_with_0(tmp_path):
    nb = released_notebook()
    for name, source in RIGHT.items():
        cell(nb, name)["source"] = source
    nb["cells"].insert(3, own_cell("raise ValueError('a student tries something')"))
    notebook = write(tmp_path / "renamed.ipynb", nb)
    done = lmbook("check", notebook)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{NAME}: 20 of 20 points" in done.stdout
    assert "an added cell, line 1, raised ValueError: a student tries something" in done.stdout


def test_edited_checks_stored_outputs_and_removed_tags_gain_nothing(tmp_path):
    """Everything that passes for solved in the student's own file: forged output, no tag, another check."""
    nb = released_notebook()
    nb["cells"].insert(0, own_cell("def check(*args, **kwargs):\n    print('all points')"))
    cell(nb, "scores-check")["source"] = "print('scores: 4 of 4 points')"
    cell(nb, "masks-check")["metadata"]["tags"] = []
    cell(nb, "heads-check")["outputs"] = []
    cell(nb, "scale-check")["metadata"]["nbgrader"]["points"] = 100
    cell(nb, "permutation-layers")["source"] = "attend = None"
    cell(nb, "permutation-answer")["source"] = RIGHT["permutation-answer"]
    cell(nb, "scale-answer")["source"] = "# NBVAL_SKIP\n" + RIGHT["scale-answer"].replace("256", "64")
    result = check_notebook(write(tmp_path / "02_attention.ipynb", nb), base=ROOT)
    assert {q.question: q.score for q in result.questions} == {
        "scores": 0,
        "masks": 0,
        "heads": 0,
        "permutation": 3,
        "scale": 0,
    }
    assert not result.green


def test_raising_looping_empty_and_deleted_answers_are_each_said(tmp_path):
    nb = released_notebook()
    for name, source in RIGHT.items():
        cell(nb, name)["source"] = source
    cell(nb, "scores-answer")["source"] = "x = 1\nx / 0\n"
    cell(nb, "masks-answer")["source"] = "def masked_attention(**inputs):\n    while True:\n        pass"
    cell(nb, "heads-answer")["source"] = " \n"
    nb["cells"].remove(cell(nb, "permutation-answer"))
    result = check_notebook(write(tmp_path / "02_attention.ipynb", nb), timeout=4, base=ROOT)
    said = {q.question: " ".join([*q.remarks, q.text]) for q in result.questions}
    assert "the cell scores-answer, line 2, raised ZeroDivisionError: division by zero" in said["scores"]
    assert "the cell masks-check was stopped after 4 seconds: does a loop never end?" in said["masks"]
    assert "the answer cell is empty" in said["heads"]
    assert "the answer cell is missing" in said["permutation"]
    assert [q.score for q in result.questions] == [0, 0, 0, 0, 3]


def test_a_loop_in_the_cell_itself_and_the_end_of_python_are_each_said(tmp_path):
    answers = {**RIGHT, "scores-answer": "while True:\n    pass", "permutation-answer": "import os\nos._exit(1)"}
    result = check_notebook(hand_in(tmp_path / "02_attention.ipynb", answers), timeout=4, base=ROOT)
    said = {q.question: " ".join(q.remarks) for q in result.questions}
    assert "the cell scores-answer was stopped after 4 seconds" in said["scores"]
    assert "the cell permutation-answer ended Python" in said["permutation"]
    assert "the cell scale-answer was not run: Python had ended before it" in said["scale"]
    assert [q.score for q in result.questions] == [0, 5, 5, 0, 0]


def broken(change):
    nb = released_notebook()
    change(nb)
    return nb


def copy_answer_cell(nb):
    nb["cells"].append(dict(cell(nb, "scores-answer")))


@pytest.mark.parametrize(
    ("nb", "sentence"),
    [
        (broken(copy_answer_cell), "two cells have the grade_id scores-answer"),
        (broken(lambda nb: nb["metadata"].update(lmbook={"assignment": "../x"})), "../x is no released assignment"),
        (broken(lambda nb: nb["metadata"].pop("lmbook")), "other is no released assignment"),
        (broken(lambda nb: nb.pop("cells")), "this is not a notebook"),
        (broken(lambda nb: nb["cells"].append("text")), "this is not a notebook"),
        (broken(lambda nb: nb["cells"][0].update(cell_type="video")), "is damaged"),
        (broken(lambda nb: nb["cells"][0]["metadata"].update(nbgrader="x")), "is damaged"),
        ([1, 2], "this is not a notebook"),
    ],
)
def test_what_is_no_copy_of_an_assignment_is_refused_in_one_sentence(tmp_path, nb, sentence):
    with pytest.raises(SubmissionError, match=sentence.replace(".", r"\.")):
        check_notebook(write(tmp_path / "other.ipynb", nb), base=ROOT)


@pytest.mark.parametrize(("name", "sentence"), [("none.ipynb", "no such file"), ("bad.ipynb", "not a notebook")])
def test_wrong_use_exits_with_2_and_one_sentence(tmp_path, name, sentence):
    (tmp_path / "bad.ipynb").write_bytes(b"\xff\xfe not json")
    done = lmbook("check", tmp_path / name)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_notebook_without_our_metadata_is_known_by_its_name(tmp_path):
    nb = released_notebook()
    del nb["metadata"]["lmbook"]
    known = released_assignments(ROOT)
    assert assignment_of(nb, tmp_path / RELEASE.name, known) == NAME


@pytest.fixture
def book_folder(tmp_path, monkeypatch):
    """A book with the released assignment, and an empty work/."""
    for name in ("chapters", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "exercises").symlink_to(ROOT / "exercises")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked(**scores):
    """What a check of a notebook found: these points, and none for the other questions."""
    points = {"scores": 4, "masks": 5, "heads": 5, "permutation": 3, "scale": 3}
    questions = [QuestionResult(name, scores.get(name, 0), points[name]) for name in points]
    return Result(NAME, questions, green=False)


def attention_alone(book_folder):
    """The progress in this assignment, as if the book had no other."""
    return [row for row in progress.progress(book_folder) if row.assignment == NAME]


def test_progress_knows_what_is_begun_checked_changed_and_next(book_folder):
    assert "Next: scores" in progress.next_step(attention_alone(book_folder))
    notebook = book_folder / "work" / "exercises" / f"{NAME}.ipynb"
    hand_in(notebook, {"scores-answer": RIGHT["scores-answer"], "scale-answer": RIGHT["scale-answer"]})
    assert "Go on with scores" in progress.next_step(attention_alone(book_folder))
    progress.remember(checked(scores=4, scale=3), notebook, book_folder)
    rows = {row.question: row for row in attention_alone(book_folder)}
    assert [name for name, row in rows.items() if row.solved] == ["scores", "scale"]
    assert "Next: masks" in progress.next_step(list(rows.values()))
    hand_in(notebook, {"scores-answer": RIGHT["scores-answer"] + "\n# later"})
    assert "scores has changed since" in progress.next_step(attention_alone(book_folder))


def test_a_notebook_outside_work_leaves_no_trace_in_progress(book_folder):
    notebook = hand_in(book_folder / "elsewhere.ipynb", {})
    progress.remember(checked(scores=4), notebook, book_folder)
    assert not (book_folder / "work" / progress.FILE).exists()


def test_a_verdict_with_other_line_ends_is_one_row(tmp_path, monkeypatch):
    monkeypatch.setenv("LMBOOK_RECORD", str(tmp_path / "record"))
    watcher = CellWatcher(tmp_path / "record", 1.0)
    for text in ("a \x85 b \u2028 c", "d"):
        record.points("q", 0.0, 2.0, [], text)
        assert [row["text"] for row in watcher._new_rows()] == [text]
