"""Constrained decoding: a choice from a list, a text that a pattern matches, or JSON of a given shape.

Each constraint is an automaton over tokens, as `engine.Constraint` says; the model chooses only among tokens that keep
the whole completable character by character.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from lmlib.decoding import regular
from lmlib.decoding.regular import Term


class OneOf:
    """Exactly one of several token sequences. A state is what is written so far."""

    def __init__(self, choices: Sequence[Sequence[int]]):
        self.choices = [tuple(choice) for choice in choices]
        if not self.choices or not all(self.choices):
            raise ValueError(f"each choice needs at least one token, and there must be one; got {list(choices)}")
        self.following: dict[tuple[int, ...], set[int]] = {}
        for choice in self.choices:
            for i, token in enumerate(choice):
                self.following.setdefault(choice[:i], set()).add(token)

    def start(self) -> tuple[int, ...]:
        """Nothing is written."""
        return ()

    def allowed(self, state: tuple[int, ...]) -> list[int]:
        """What follows in one of the choices that begin so."""
        return sorted(self.following.get(state, ()))

    def advance(self, state: tuple[int, ...], token: int) -> tuple[int, ...]:
        """One token more."""
        return (*state, token)

    def complete(self, state: tuple[int, ...]) -> bool:
        """Whether a whole choice is written."""
        return state in self.choices


class Regex:
    """A text that a regular expression matches as a whole (`regular` says which are supported).

    `pieces` is the text of every token id, in order; None where a token is no text of its own (special tokens, parts of
    a character), which is then never written. A state stands for the term of what may follow.
    """

    def __init__(self, pattern: str, pieces: Sequence[str | None]):
        self.pieces = list(pieces)
        self.branches: dict[str, Any] = {}  # the pieces as a tree of characters; "" holds the ids that end there
        for i, piece in enumerate(self.pieces):
            if piece:
                node = self.branches
                for char in piece:
                    node = node.setdefault(char, {})
                node.setdefault("", []).append(i)
        self.terms: list[Term] = []  # a state is a place in this list: terms are large, and slow to compare
        self.numbers: dict[Term, int] = {}
        self.steps: dict[tuple[int, str], int | None] = {}
        self.known: dict[int, list[int]] = {}
        self._number(regular.parse(pattern))

    def start(self) -> int:
        """The state of the pattern itself."""
        return 0

    def allowed(self, state: int) -> list[int]:
        """The tokens all of whose characters may follow; found once for each state."""
        if state not in self.known:
            self.known[state] = sorted(self._reachable(state, self.branches))
        return self.known[state]

    def advance(self, state: int, token: int) -> int:
        """The state after the token's text. Raises ValueError when it is not allowed."""
        now: int | None = state
        for char in self.pieces[token] or "":
            now = None if now is None else self._step(now, char)
        if now is None or not self.pieces[token]:
            raise ValueError(f"token {token}, {self.pieces[token]!r}, is not allowed here")
        return now

    def complete(self, state: int) -> bool:
        """Whether the text so far matches."""
        return regular.may_end(self.terms[state])

    def _reachable(self, state: int, node: dict[str, Any]) -> list[int]:
        ids = list(node.get("", ()))
        for char, below in node.items():
            follows = self._step(state, char) if char else None
            if follows is not None:
                ids += self._reachable(follows, below)
        return ids

    def _step(self, state: int, char: str) -> int | None:
        """The state after one character; None when it may not follow."""
        if (state, char) not in self.steps:
            term = regular.after(self.terms[state], char)
            self.steps[state, char] = None if term == regular.NOTHING else self._number(term)
        return self.steps[state, char]

    def _number(self, term: Term) -> int:
        if term not in self.numbers:
            self.numbers[term] = len(self.terms)
            self.terms.append(term)
        return self.numbers[term]


def json_regex(shape: dict[str, Any]) -> str:
    """The pattern of all JSON texts of a shape, written as `json.dumps` writes them.

    `shape` is JSON Schema with: type (object, array, string, integer, number, boolean, null), properties, all of which
    are written, in their order; items; minItems and maxItems; enum. Raises ValueError for anything else.
    """
    known = {"type", "properties", "required", "items", "minItems", "maxItems", "enum", "description"}
    if not isinstance(shape, dict) or set(shape) - known:
        raise ValueError(f"a shape may have the keys {', '.join(sorted(known))}; got {shape!r}")
    if "enum" in shape:
        return "(" + "|".join(re.escape(json.dumps(value, ensure_ascii=False)) for value in shape["enum"]) + ")"
    kind = shape.get("type")
    if kind in SCALARS:
        return SCALARS[kind]
    if kind == "object":
        members = [_literal(name) + ": " + json_regex(inner) for name, inner in shape.get("properties", {}).items()]
        return r"\{" + ", ".join(members) + r"\}"
    if kind == "array":
        return _array_regex(shape)
    raise ValueError(f"a shape needs a type (object, array, {', '.join(SCALARS)}) or an enum; got {shape!r}")


SCALARS = {
    "string": '"([^"\\\\\x00-\x1f]|\\\\["\\\\/bfnrt]|\\\\u[0-9a-f]{4})*"',
    "integer": r"-?(0|[1-9][0-9]*)",
    "number": r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+\-]?[0-9]+)?",
    "boolean": "(true|false)",
    "null": "null",
}


def _literal(text: str) -> str:
    return re.escape(json.dumps(text, ensure_ascii=False))


def _array_regex(shape: dict[str, Any]) -> str:
    item = json_regex(shape.get("items", {}))
    least, most = shape.get("minItems", 0), shape.get("maxItems")
    if most is not None and most < max(least, 0):
        raise ValueError(f"maxItems {most} is below minItems {least}")
    if most == 0:
        return r"\[\]"
    more = f"(, {item})" + (f"{{{max(least - 1, 0)},{'' if most is None else most - 1}}}")
    filled = rf"\[{item}{more}\]"
    return filled if least else rf"(\[\]|{filled})"
