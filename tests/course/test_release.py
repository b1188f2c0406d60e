"""Releasing an assignment: what an instructor forgets is said, and a check that proves nothing is not released."""

import json
import re
import subprocess
import sys

import pytest

from lmlib.course import new, release
from lmlib.course.assignment import AssignmentError, find_path, read
from lmlib.course.errors import WorkFailedError
from lmlib.course.mutants import mutants
from lmlib.course.plain_data import Outcome, fingerprint
from lmlib.course.proof import prove
from lmlib.course.questions import Case, FunctionQuestion
from lmlib.course.workbench import Workbench
from tests.course.small_assignment import SOURCE
from tests.course.student_notebooks import ROOT


@pytest.fixture
def book_folder(tmp_path, monkeypatch):
    """An empty book, with room for one small assignment."""
    (tmp_path / "chapters").mkdir()
    (tmp_path / "solutions" / "01_test").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, source):
    path = folder / "solutions" / "01_test" / "t.py"
    path.write_text(source, "utf-8")
    return path


def without_cell(name):
    return re.sub(rf'# %%[^\n]* name="{name}".*?(?=# %% )', "", SOURCE, flags=re.DOTALL)


def test_a_small_assignment_is_released_with_its_three_files(book_folder, capsys):
    write(book_folder, SOURCE)
    release.release_all(["t"], nbgrader=None)
    made = book_folder / "exercises" / "01_test"
    assert {path.name for path in made.iterdir()} == {"t.ipynb", "t_checks.py", "t_checks.json"}
    assert "3 of 3" in capsys.readouterr().out


def test_the_statement_says_points_difficulty_minutes_and_section(book_folder):
    nb = release.make(Workbench(read(write(book_folder, SOURCE)))).notebook
    statement = next(cell["source"] for cell in nb["cells"] if cell["id"] == "double")
    assert statement == "## Double\n\n*3 points · difficulty 1 of 5 · about 1 min · section 1.1*\n"


def test_nbgraders_source_lies_flat_and_keeps_the_answers(book_folder, tmp_path):
    write(book_folder, SOURCE)
    release.release_all([], nbgrader=tmp_path / "course")
    nb = json.loads((tmp_path / "course" / "source" / "t" / "t.ipynb").read_text("utf-8"))
    assert "return 2 * x" in json.dumps(nb)
    assert not (book_folder / "exercises").exists()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (without_cell("double-check"), "the question double: no cell double-check"),
        (without_cell("double-answer"), "no cell double-answer"),
        (without_cell("double-parts"), "no cell double-parts"),
        (without_cell("double-mistake-square"), "2 cells %%mistake, at least 3 are needed"),
        (without_cell("double-other-sum"), "1 cells %%other, at least 2 are needed"),
        (SOURCE.replace("# Three is too much.\n", ""), "double-mistake-triple needs a comment below its magic"),
        (SOURCE.replace("%%other double\n# a sum", "%%other treble\n# a sum"), "no question 'treble'; double, choose"),
        (SOURCE.replace('"minutes": 1, "section": "1.1"}\n# ## Double', '"section": "1.1"}\n# ## Double'), "minutes"),
        (SOURCE.replace('"difficulty": 1', '"difficulty": 9', 1), "the difficulty of double must be 1 to 5; got 9"),
        (SOURCE.replace("    ### BEGIN SOLUTION\n", "").replace("    ### END SOLUTION\n", ""), "no ### BEGIN SOLUTION"),
        (SOURCE.replace("from lmlib.course.checks import check\n\ncheck(", "check(", 1), "its check cell must have"),
    ],
)
def test_what_is_missing_from_an_assignment_is_named(book_folder, source, sentence):
    assert source != SOURCE
    with pytest.raises(AssignmentError, match=re.escape(sentence)):
        read(write(book_folder, source))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (SOURCE.replace('"points": 3', '"points": 4'), "its statement gives 4 points, its cases add up to 3"),
        (SOURCE.replace("import torch\n", "import torch\n1 / 0\n", 1), "the cell imports raised ZeroDivisionError"),
        (
            SOURCE.replace("def double(x):\n    ### BEGIN", "def treble(x):\n    ### BEGIN"),
            "the answer defines no double",
        ),
        (SOURCE.replace("double = FunctionQuestion", "other = FunctionQuestion"), "name 'double' is not defined"),
        (SOURCE.replace("return 2 * x\n", "return 2 * x.double() / 0\n"), "inf cannot be an expected value"),
        (SOURCE.replace("return 2 * x\n", "return {2 * x}\n"), "set is no plain data"),
        (SOURCE.replace("return 2 * x\n", "return 2 * x.float()\n"), "computes in float32 what it is given in float64"),
    ],
)
def test_what_does_not_run_or_fit_is_named(book_folder, source, sentence):
    assert source != SOURCE
    with pytest.raises(AssignmentError, match=re.escape(sentence)):
        Workbench(read(write(book_folder, source)))


def small_case_only(source):
    """A check that looks at one number only: x = 2, where x + x, x * x and 2 * x are the same."""
    weak = source.replace("torch.tensor([1.0, 2.0])", "torch.tensor([2.0])").replace(
        "draw.normal(2, 5)", "torch.ones(1) * 2"
    )
    assert weak != source
    return weak


def test_a_weak_check_is_not_released_and_says_what_it_lets_through(book_folder):
    write(book_folder, small_case_only(SOURCE))
    with pytest.raises(WorkFailedError) as error:
        release.release_all(["t"], nbgrader=None)
    assert "the mistake square gets full points" in str(error.value)
    assert not (book_folder / "exercises").exists()


def test_a_mutant_that_survives_is_a_problem_until_it_is_listed_as_equivalent(book_folder):
    source = SOURCE.replace("    return 2 * x\n", "    y = x if x.dim() < 9 else x\n    return 2 * y\n")
    problems = [p for row in prove(Workbench(read(write(book_folder, source)))) for p in row.problems]
    assert any("a mutant gets full points: y = x if x.dim() <= 9 else x" in problem for problem in problems)
    cells = "".join(
        f'\n# %% name="double-equivalent-{i}"\n# %%equivalent double\n# No tensor has so many axes.\n{line}\n'
        for i, line in enumerate({problem.partition(": ")[2].partition(" (was")[0] for problem in problems})
    )
    assert [p for row in prove(Workbench(read(write(book_folder, source + cells)))) for p in row.problems] == []


def test_a_mutant_listed_as_equivalent_that_fails_is_a_problem(book_folder):
    cell = '\n# %% name="double-equivalent"\n# %%equivalent double\n# Not true.\nreturn 3 * x\n'
    problems = [p for row in prove(Workbench(read(write(book_folder, SOURCE + cell)))) for p in row.problems]
    assert problems == ["a listed mutant is not equivalent: return 3 * x"]


def test_two_mistakes_with_the_same_outcome_are_a_problem(book_folder):
    source = SOURCE.replace("return 3 * x", "return x * x")
    problems = [p for row in prove(Workbench(read(write(book_folder, source)))) for p in row.problems]
    assert any("is named as" in problem for problem in problems)


def test_a_mistake_has_a_mark_wherever_the_check_finds_it_wrong(book_folder):
    """1.528 and 1.532 have the same three digits, and are still wrong and right."""
    question = FunctionQuestion("f", returns=("y",), atol=1e-5, because="one product")
    question.cases = [Case("near", "...", 1, lambda draw: {"x": 1.0}), Case("same", "...", 1, lambda draw: {"x": 0.0})]
    bench = Workbench(read(write(book_folder, SOURCE)))
    bench.module.f = question
    marks = bench.wrong_marks("f", {"f": lambda x: 1.528 * x}, {"f": lambda x: 1.532 * x}, 0)
    assert marks["near"] == fingerprint(Outcome(1.532), "f/near")
    assert marks["same"] is None


def test_mutants_change_scale_axis_sign_mask_dtype_and_leave_out_statements():
    source = (
        "def f(x, mask):\n    ### BEGIN SOLUTION\n    x = x.masked_fill(mask, -1.5)\n"
        "    return torch.softmax(x / 8, dim=-1)\n    ### END SOLUTION\n"
    )
    now = {mutant.now for mutant in mutants(source)}
    assert {
        "return torch.softmax(x * 8, dim=-1)",
        "return torch.softmax(x / 9, dim=-1)",
        "return torch.softmax(x / 8, dim=-2)",
        "return torch.softmax(x / 8)",
        "return -torch.softmax(x / 8, dim=-1)",
        "return torch.softmax(x / 8, dim=-1).double()",
        "return torch.softmax(x / 8, dim=-1) + 0.001",
        "x = x",
        "x = x.masked_fill(mask, 1.5)",
        "x = x.masked_fill(-1.5, mask)",
        "if False:\n    x = x.masked_fill(mask, -1.5)",
    } <= now
    assert len({mutant.source for mutant in mutants(source)}) == len(mutants(source))


def test_mutants_change_nothing_outside_the_solution():
    source = "a = 1\n### BEGIN SOLUTION\nb = 2\n### END SOLUTION\n"
    assert {mutant.was for mutant in mutants(source)} == {"b = 2"}


def test_an_assignment_is_found_by_chapter_and_name_or_by_name_alone(book_folder):
    path = write(book_folder, SOURCE)
    for name in ("t", "01_test/t", "solutions/01_test/t.py"):
        assert find_path(book_folder, name) == path
    with pytest.raises(AssignmentError, match="nothing: there is no such assignment; solutions/ has 01_test/t"):
        find_path(book_folder, "nothing")
    (book_folder / "solutions" / "02_more").mkdir()
    (book_folder / "solutions" / "02_more" / "t.py").write_text(SOURCE, "utf-8")
    with pytest.raises(AssignmentError, match="write CHAPTER/t"):
        find_path(book_folder, "t")


def test_a_mistake_may_be_called_parts(book_folder):
    source = SOURCE.replace("double-mistake-triple", "double-mistake-parts")
    assert source != SOURCE
    assert [p for row in prove(Workbench(read(write(book_folder, source)))) for p in row.problems] == []


def test_a_new_assignment_is_complete_released_and_executed(book_folder, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    new.start_assignment("03_algorithms/02_encoder")
    said = capsys.readouterr().out
    assert "solutions/03_algorithms/02_encoder.py is a complete assignment" in said
    executed = json.loads((book_folder / "solutions/03_algorithms/02_encoder.ipynb").read_text("utf-8"))
    assert "perplexity: 2 of 2 points" in json.dumps(executed, ensure_ascii=False)
    assert (book_folder / "exercises/03_algorithms/02_encoder.ipynb").exists()
    style = [sys.executable, "-m", "ruff", "format", "--check", "--config", ROOT / "pyproject.toml", "solutions"]
    assert subprocess.run(style, check=False).returncode == 0
    assert "{{" not in (book_folder / "solutions/03_algorithms/02_encoder.py").read_text("utf-8")
    with pytest.raises(AssignmentError, match="already"):
        new.start_assignment("04_mathematics/02_encoder")


@pytest.mark.parametrize("name", ["encoder", "03_algorithms/encoder", "../x/01_a", "03_Algorithms/02_encoder"])
def test_a_name_of_another_form_is_refused(book_folder, name):
    with pytest.raises(AssignmentError, match="with two digits first"):
        new.start_assignment(name)


def test_lists_of_numbers_are_joined_and_texts_are_left_alone():
    data = {"value": "tokens [ 1, 2 ]", "shape": [1, 2]}
    text = release._one_line_a_list(json.dumps(data, indent=1))
    assert '"shape": [1, 2]' in text
    assert json.loads(text) == data
