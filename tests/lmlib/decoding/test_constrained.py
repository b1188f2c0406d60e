"""Constraints: what comes out is a listed choice, matches the pattern, or has the JSON shape; always."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmlib.decoding import OneOf, Regex, Sampling, Stop, generate, json_regex, regular
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from tests.lmlib.decoding.tiny import pair
from tests.lmlib.models.parity import randomised

STOP = 0
PIECES = [None, *'{}[]",:.-+eE \\/truefalsino0123456789abcdxyz"', "true", "null", "ab", '": ', "12", '", "', "中", "文"]


def writer(seed: int) -> Gpt2:
    """A model with random weights over PIECES, whose stop token is 0."""
    config = Gpt2Config(vocab_size=len(PIECES), d_model=16, n_layers=1, n_heads=2, max_positions=200, eos_token_id=STOP)
    return randomised(Gpt2(config, "language_model"), seed)


def text(tokens: list[int]) -> str:
    return "".join(PIECES[token] or "" for token in tokens)


def written_under(constraint: Any, seed: int, n: int = 8, most: int = 150) -> list[tuple[str, str | None]]:
    rows = generate(writer(seed), [[5]], most, constraint=constraint, sampling=Sampling(), n=n, seed=seed)
    return [(text(row.tokens), row.stopped_by) for row in rows]


def accepts(pattern: str, given_text: str) -> bool:
    state = regular.parse(pattern)
    for char in given_text:
        state = regular.after(state, char)
    return regular.may_end(state)


PATTERNS = [
    "", "a", "ab|cd", "(ab|a)(bc|c)", "a*", "(a|b)*abb", "a+b?", "(a*)*b", "a{2}", "a{2,}", "(ab){1,3}", "a{0,2}b{0}",
    "[a-c]+", "[^a-c]", "[]a]", "[a-]", r"\d+\.\d*", r"\w\s\W", r"\S+", ".a.", r"\(a\)", r"[\d.]+", r"(?:a|)b", "a||b",
    r"中|文+", r"\n|\t", "(a?){3}a{3}", r"[^\d]", r"[a\-c]",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(pattern=st.sampled_from(PATTERNS), given_text=st.text(alphabet="abcd01.()-] \n\t中文_", max_size=7))
def test_patterns_match_what_pythons_own_match(pattern: str, given_text: str) -> None:
    assert accepts(pattern, given_text) == bool(re.fullmatch(pattern, given_text, re.ASCII))


@pytest.mark.parametrize(
    "wrong",
    ["(", ")", "a(b", "[a", "*a", "a**?", "a{3,1}", "a{x}", "a{2", r"\b", "^a", "a$", "(?=a)", "(?P<n>a)", "[z-a]",
     "a\\", r"\p", "a{1001}", "[^", r"[\D]", "a+?", r"[+-\d]", r"[!-\D]"],
)  # fmt: skip
def test_patterns_that_are_wrong_or_not_supported_are_refused_by_name(wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"the pattern {wrong!r} has ")):
        regular.parse(wrong)


@pytest.mark.parametrize("pattern", [r"\d{3}-\d{3}", "(true|null)( (true|null)){2}", "[^0-9]{4,6}", "(a|ab|abc)x"])
def test_text_under_a_pattern_matches_it(pattern: str, seed: int) -> None:
    for written, stopped_by in written_under(Regex(pattern, PIECES), seed):
        assert re.fullmatch(pattern, written), written
        assert stopped_by in ("token", "constraint")


SHAPE = {
    "type": "object",
    "properties": {
        "ab": {"type": "string"},
        "n": {"type": "integer"},
        "list": {"type": "array", "items": {"enum": ["中文", 12, None]}, "minItems": 1, "maxItems": 3},
        "in": {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "boolean"}}},
        "none": {"type": "null"},
    },
}


def test_json_of_a_shape_can_be_read_and_has_it(seed: int) -> None:
    finished = 0
    for written, stopped_by in written_under(Regex(json_regex(SHAPE), PIECES), seed):
        if stopped_by == "length":
            continue  # a string or a number may go on for ever
        finished += 1
        value = json.loads(written)
        assert list(value) == ["ab", "n", "list", "in", "none"]
        assert isinstance(value["ab"], str)
        assert isinstance(value["n"], int)
        assert 1 <= len(value["list"]) <= 3
        assert all(tag in ("中文", 12, None) for tag in value["list"])
        assert isinstance(value["in"]["x"], int | float)
        assert isinstance(value["in"]["y"], bool)
        assert value["none"] is None
    assert finished


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def shape_of(value: Any) -> dict[str, Any]:
    """A shape that the value has."""
    if isinstance(value, dict):
        return {"type": "object", "properties": {name: shape_of(inner) for name, inner in value.items()}}
    if isinstance(value, list):
        return {"type": "array", "items": {"enum": value}} if value else {"type": "array", "items": {"type": "null"}}
    kinds = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}
    return {"type": kinds[type(value)]}


@settings(max_examples=150, deadline=None)
@given(value=JSON_VALUES)
def test_whatever_json_writes_is_of_its_shape(value: Any) -> None:
    assert accepts(json_regex(shape_of(value)), json.dumps(value, ensure_ascii=False))


@pytest.mark.parametrize(
    "wrong", [{}, {"type": "date"}, {"type": "string", "pattern": "a"}, {"type": "array"}, [], {"type": "array",
    "items": {"type": "null"}, "minItems": 2, "maxItems": 1}],
)  # fmt: skip
def test_shapes_that_are_not_supported_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"shape|maxItems"):
        json_regex(wrong)


def test_choice_is_one_of_the_list_and_the_likeliest_by_greedy_steps(seed: int, tmp_path: Path) -> None:
    _, model = pair("llama", seed, tmp_path)
    choices = [[5, 6], [5, 7, 8], [9], [9, 3, 3]]
    rows = generate(model, [[4, 4]], 10, constraint=OneOf(choices), sampling=Sampling(), n=50, seed=seed)
    seen = set()
    for row in rows:
        chosen = row.tokens[:-1] if row.stopped_by == "token" else row.tokens
        assert chosen in choices
        assert row.stopped_by == ("token" if chosen == [9] else "constraint")
        seen.add(tuple(chosen))
    assert len(seen) > 1
    greedy = generate(model, [[4, 4]], 10, constraint=OneOf(choices))[0].tokens
    with torch.no_grad():
        first = model(torch.tensor([[4, 4]])).logits[0, -1]
    assert greedy[0] == (5 if first[5] > first[9] else 9)


def test_constraint_that_no_token_can_go_on_from_is_an_error(seed: int) -> None:
    with pytest.raises(ValueError, match="no token of the vocabulary goes on"):
        written_under(Regex("aq", PIECES), seed)


def test_choices_must_be_there_and_not_empty() -> None:
    for wrong in ([], [[]], [[3], []]):
        with pytest.raises(ValueError, match="each choice needs at least one token"):
            OneOf(wrong)


def test_a_stop_string_that_completes_the_pattern_is_still_cut(seed: int) -> None:
    stop = Stop((), strings=("}",), decode=text)
    (row,) = generate(writer(seed), [[5]], 9, constraint=Regex(r"\{[ab]\}", PIECES), stop=stop)
    assert (row.stopped_by, row.text) in (("string", "{a"), ("string", "{b"))
