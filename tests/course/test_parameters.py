"""Parameters of notebooks, and values from the command line."""

import pytest

from lmlib.course import notebooks, parameters
from lmlib.course.errors import CourseError

from .conftest import write_text_notebook


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-1e-3", -0.001),
        ("true", True),
        ("False", False),
        ("None", None),
        ("[1, 2]", [1, 2]),
        ("cuda:1", "cuda:1"),
        ("'3'", "3"),
        ("", ""),
        ("__import__('os')", "__import__('os')"),
    ],
)
def test_values_are_literals_or_texts(text, value):
    assert parameters.parse_pairs([f"x={text}"]) == {"x": value}


def test_a_value_may_hold_an_equals_sign():
    assert parameters.parse_pairs(["pattern=a=b"]) == {"pattern": "a=b"}


def notebook_with(source):
    cell = {"cell_type": "code", "source": source, "metadata": {"tags": ["parameters"]}}
    return {"cells": [cell], "metadata": {}}


def test_names_and_defaults_come_from_the_tagged_cell():
    found = parameters.parameters_of(notebook_with("a = b = 1\nlr: float = 3e-4\nsizes = [1, 2]\nn = 2 * 3"))
    assert list(found) == ["a", "b", "lr", "sizes", "n"]
    assert (found["b"], found["lr"], found["sizes"]) == (1, 3e-4, [1, 2])


@pytest.mark.parametrize(
    ("source", "given", "fits"),
    [
        ("n = 1", 2.5, True),
        ("n = 1", True, False),
        ("n = True", 1, False),
        ("n = 'a'", "b", True),
        ("n = 'a'", 3, False),
        ("n = [1]", (1, 2), True),
        ("n = [1]", 1, False),
        ("n = None", "anything", True),
        ("n = 2 * 3", "anything", True),
    ],
)
def test_a_value_of_another_kind_than_the_default_is_refused(source, given, fits):
    if fits:
        parameters.refuse_unfit("nb", notebook_with(source), {"n": given})
    else:
        with pytest.raises(CourseError, match="the parameter n is"):
            parameters.refuse_unfit("nb", notebook_with(source), {"n": given})


def test_a_notebook_without_a_parameters_cell_says_so(tmp_path):
    nb = notebooks.read(write_text_notebook(tmp_path / "a.py", "1", parameters=False))
    with pytest.raises(CourseError, match=r"nb takes no parameters: .* \(given: seed\)"):
        parameters.refuse_unfit("nb", nb, {"seed": 1})
    parameters.refuse_unfit("nb", nb, {})


@pytest.mark.parametrize("text", ["{1, 2}", "b'a'", "1+2j", "...", "{[1]: 2}"])
def test_what_no_notebook_can_be_given_stays_text(text):
    assert parameters.parse_value(text) == text
