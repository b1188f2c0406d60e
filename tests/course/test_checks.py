"""What a check says to each kind of wrong answer, and how it reports under nbval and to a batch run."""

import json
import os
import sys

import numpy as np
import pytest
import torch

from lmlib.course.assignment import read
from lmlib.course.calling import call
from lmlib.course.checks import CheckError, Points, PointsShortError, check, find, hint, judge, known_mistakes
from lmlib.course.findings import form_findings, value_findings
from lmlib.course.plain_data import Outcome, fingerprint, is_fractional
from lmlib.course.questions import Case, FunctionQuestion
from lmlib.course.release import make
from lmlib.course.workbench import Workbench, compiled
from tests.course.small_assignment import SOURCE


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assignment") / "01_test"
    folder.mkdir()
    (folder / "t.py").write_text(SOURCE, "utf-8")
    bench = Workbench(read(folder / "t.py"))
    make(bench).write(folder)
    return folder


@pytest.fixture
def beside(released, monkeypatch):
    """Work in the folder of the released check, without a record."""
    monkeypatch.chdir(released)
    monkeypatch.delenv("LMBOOK_RECORD", raising=False)
    return released


def leave_nbval(monkeypatch):
    """pytest sets this for the call of each test, after its fixtures."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")


def verdict(function):
    return judge(find("t"), "double", {"double": function})


def in_place(x):
    return x.mul_(2)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x: None, "returns nothing (None); is there a `return`?"),
        (lambda x: (2 * x).numpy(), "is a NumPy array; expected a torch tensor"),
        (lambda x: (2 * x).tolist(), "is a list of"),
        (lambda x: (2 * x).double(), "is float64; expected float32"),
        (lambda x: (2 * x)[:1], "has shape (1,); expected (2,)"),
        (lambda x: 2 * x * torch.nan, "has NaN in it"),
        (lambda x: x / 0, "has infinite values in it"),
        (lambda x: (2 * x).to("meta"), "is on meta; expected cpu"),
        (lambda x: (2 * x).to_sparse(), "is a sparse tensor"),
        (lambda x: torch.nn.Parameter(2 * x), "requires a gradient"),
        (lambda x: -2 * x, "the sign must stay"),
        (lambda x: -2 * x, "the first at [0]: got -2, expected 2"),
        (lambda x: 2.00001 * x, "got 2.00001, expected 2"),
        (
            lambda x: 2 * x + 0.5,
            "has other values than expected (2 of 2 differ); the first at [0]: got 2.5, expected 2",
        ),
        (in_place, "changes its input `x` in place"),
        (lambda y: y, "unexpected keyword argument 'x'; keep the names of the arguments as they were given"),
        (5, "expected a function; got int"),
        (lambda x: sys.exit(3), "SystemExit"),
    ],
)
def test_each_kind_of_wrong_result_has_its_own_sentence(beside, function, sentence):
    found = verdict(function)
    assert any(sentence in finding for finding in found.results[0].findings), found.text()
    assert found.score == 0


def test_an_answer_that_is_not_written_is_called_so(beside):
    def stub(x):
        raise NotImplementedError

    text = verdict(stub).text()
    assert text.count("not written yet") == 1
    assert 'hint("t", "double", 1)' in text


def test_torchs_own_not_implemented_error_is_no_unwritten_answer(beside):
    text = verdict(lambda x: x > 0.5 & (x > 0)).text()  # brackets forgotten: `&` of a number and a mask
    assert "not written yet" not in text
    assert "not implemented for" in text


def test_an_exception_is_shown_at_the_students_line(beside):
    source = "def double(x):\n    y = x + 1\n    return torch.cat(y, 7)\n"
    namespace = {"torch": torch}
    exec(compiled(source, "<a student's cell>"), namespace)
    finding = verdict(namespace["double"]).results[0].findings[0]
    assert finding.endswith("in line 3 of the answer: `return torch.cat(y, 7)`")


def test_points_are_the_sum_of_the_passed_cases(beside):
    found = verdict(lambda x: 2 * x if x.dim() == 2 else x)
    assert (found.score, found.maximum) == (2.0, 3.0)


def test_a_known_mistake_is_named_and_another_wrong_answer_is_not(beside):
    assert list(verdict(lambda x: 3 * x).mistakes) == ["triple"]
    assert list(verdict(lambda x: x + x + x).mistakes) == ["triple"]
    assert verdict(lambda x: 4 * x).mistakes == {}


def test_an_exception_names_a_mistake_only_when_all_failed_cases_raise_it(beside):
    def raises(x):
        raise KeyError("another")

    def raises_once(x):
        if x.dim() == 1:
            raise KeyError
        return 5 * x

    assert list(verdict(raises).mistakes) == ["fails"]
    assert verdict(raises_once).mistakes == {}


def test_an_exception_that_only_some_cases_share_with_a_mistake_does_not_name_it(beside):
    """`fails` raises KeyError everywhere; here one case fails in another way that nobody knows."""

    def differs(x):
        if x.dim() == 2:
            raise KeyError
        raise RuntimeError

    assert verdict(differs).mistakes == {}


def test_a_right_answer_that_changes_its_input_makes_no_mistake_that_is_known(beside):
    """`in_place` gives what a mistake gives that is right up to rounding in both cases."""
    says = {"nearly": {"says": "...", "fingerprints": right_marks()}}
    released = find("t")
    released.data["questions"]["double"]["mistakes"] = says
    found = judge(released, "double", {"double": in_place})
    assert found.score == 0
    assert found.mistakes == {}


def right_marks():
    parts, _ = find("t").question("double")
    cases = [(case.name, parts.inputs(case)["x"]) for case in parts.cases]
    return {name: fingerprint(Outcome(2 * x), f"double/{name}") for name, x in cases}


def test_huge_whole_numbers_are_refused_or_told_apart():
    assert form_findings("n", 10**5000, 3) == ["n is a whole number beyond what a float can hold"]
    assert value_findings("n", 2**60 + 1, 2**60, 0.0) == [f"n is {2**60 + 1}; expected {2**60}"]
    assert not is_fractional(fingerprint(Outcome(10**5000), "f/a case"))


@pytest.mark.parametrize(
    ("known", "got", "is_named"),
    [
        ([0.25, 0.7, 0.9], [0.25, 0.7, 0.1], True),  # two equal fractions
        ([0.25, 0.7, 0.9], [0.25, 0.6, 0.1], False),  # one may be chance
        ([1.0, 2.0, 0.9], [1.0, 2.0, 0.1], False),  # and so may whole numbers
        ([1.0, 2.0, 0.9], [1.0, 2.0, 0.9], True),  # which have to explain everything
    ],
)
def test_a_mistake_in_numbers_is_named_beside_a_second_one_when_two_fractions_are_equal(known, got, is_named):
    parts = FunctionQuestion("f", returns=("y",), atol=0.0, because="exact")
    parts.cases = [Case(str(i), "a case", 1) for i in range(3)]
    marks = [[fingerprint(Outcome(x), str(i)) for i, x in enumerate(row)] for row in (known, got)]
    mistakes = {"slip": {"says": "A slip.", "fingerprints": {str(i): mark for i, mark in enumerate(marks[0])}}}
    assert (known_mistakes(parts, mistakes, marks[1]) == {"slip": "A slip."}) is is_named


@pytest.mark.parametrize("letter", ["B", " b ", "(b)", "b.", "ｂ", "（Ｂ）", "b。", "b、"])
def test_a_letter_counts_however_a_keyboard_gives_it(beside, letter):
    assert judge(find("t"), "choose", {"letter": letter, "size": 8}).score == 2


def test_two_mistakes_in_two_cases_are_both_named(beside):
    found = verdict(lambda x: 3 * x if x.dim() == 2 else x * x)
    assert set(found.mistakes) == {"triple", "square"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"letter": "", "size": 8}, "`letter` is not answered yet"),
        ({"letter": "b", "size": None}, "`size` is not answered yet"),
        ({"letter": "x", "size": 8}, "must be one of the letters a, b, c; got the text 'x'"),
        ({"letter": 2, "size": 8}, "must be one of the letters"),
        ({"letter": "b", "size": "8"}, "`size` must be a Python number; got the text '8'"),
        ({"letter": "b", "size": float("nan")}, "`size` must be a Python number; got nan"),
        ({"letter": "b", "size": True}, "`size` must be a Python number; got True"),
        ({"letter": "b", "size": 10**5000}, "got a whole number beyond what a float can hold"),
        ({"letter": "b", "size": 7.5}, "`size` is not right: its first three digits are compared"),
        ({"letter": "a", "size": 8}, "`letter` is not right"),
    ],
)
def test_each_kind_of_wrong_value_has_its_own_sentence(beside, values, sentence):
    found = judge(find("t"), "choose", values)
    assert found.score == 1
    assert sentence in found.text()


@pytest.mark.parametrize("size", [8, 8.0, np.float64(8), np.int64(8), torch.tensor(8), torch.tensor(8.0)])
def test_a_right_number_counts_in_every_type(beside, size):
    assert judge(find("t"), "choose", {"letter": " (B) ", "size": size}).score == 2


def test_the_result_is_a_bare_number_for_nbgrader_and_a_line_for_a_person(beside, capsys, monkeypatch):
    leave_nbval(monkeypatch)
    bundle = check("t", "double", lambda x: 2 * x)._repr_mimebundle_()
    assert bundle == {"text/plain": "3.0", "text/html": "<b>double: 3 of 3 points</b>"}
    assert "✓ two numbers (1 point)" in capsys.readouterr().out
    assert isinstance(check("t", "choose", letter="a", size=8), Points)


def test_under_nbval_short_points_raise_and_full_points_do_not(beside):
    check("t", "double", lambda x: 2 * x)
    with pytest.raises(PointsShortError, match="double: 0 of 3 points"):
        check("t", "double", lambda x: x)


def test_a_batch_run_gets_the_points_and_the_mistakes(beside, monkeypatch, tmp_path):
    leave_nbval(monkeypatch)
    monkeypatch.setenv("LMBOOK_RECORD", str(tmp_path / "record"))
    check("t", "double", lambda x: 3 * x)
    row = json.loads((tmp_path / "record").read_text("utf-8"))
    assert (row["kind"], row["name"], row["score"], row["max"]) == ("points", "double", 0.0, 3.0)
    assert row["mistakes"] == ["triple"]


def test_nothing_reaches_stderr_and_prints_are_shown_below_the_verdict(beside, capfd, monkeypatch):
    leave_nbval(monkeypatch)

    def noisy(x):
        print("a note")
        print("to stderr", file=sys.stderr)
        os.write(2, b"raw")
        return 2 * x

    check("t", "double", noisy)
    out, err = capfd.readouterr()
    assert err == ""
    assert out.index("✓ random numbers") < out.index("a note")
    os.write(2, b"back")
    assert capfd.readouterr().err == "back"


def test_what_a_right_answer_prints_is_no_part_of_the_compared_text(beside, capsys):
    def noisy(x):
        print("a note")
        return 2 * x

    check("t", "double", noisy)
    loud = capsys.readouterr().out
    check("t", "double", lambda x: 2 * x)
    assert loud == capsys.readouterr().out


def test_hints_come_in_steps(beside, capsys):
    hint("t", "double", 1)
    assert capsys.readouterr().out == 'Two is the number.\nThe next one: hint("t", "double", 2)\n'
    hint("t", "double", 2)
    assert capsys.readouterr().out == "Multiply.\n"
    with pytest.raises(CheckError, match="hints 1 to 2; there is no hint 3"):
        hint("t", "double", 3)


@pytest.mark.parametrize(
    ("arguments", "values", "sentence"),
    [
        (("t", "treble", abs), {}, "no question 'treble'; it has double, choose"),
        (("t", "double"), {}, "check the function"),
        (("other", "double", abs), {}, "are not beside the notebook"),
    ],
)
def test_a_check_that_cannot_be_made_says_why(beside, arguments, values, sentence):
    with pytest.raises(CheckError, match=sentence):
        check(*arguments, **values)


def test_an_exception_below_a_decorator_is_shown_at_the_students_line():
    source = "@torch.no_grad()\ndef generate(ids):\n    return torch.cat(ids, 7)\n"
    namespace = {"torch": torch}
    exec(compiled(source, "<a decorated cell>"), namespace)
    said = call(namespace["generate"], {"ids": torch.ones(2)}).sentence
    assert said.endswith("in line 3 of the answer: `return torch.cat(ids, 7)`")
