"""Answers that are nearly the same: by the stretches of code that they share, whatever the names in it.

Source: Schleimer, Wilkerson & Aiken 2003 (MOSS), in small: all stretches are kept, none is sampled.
"""

import io
import itertools
import keyword
import tokenize
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

STRETCH = 6  # tokens
FEWEST = 12  # stretches: two answers of one line are alike by nature
COMMON = 0.5  # of the class: a stretch that so many share says nothing of who copied
SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}


@dataclass(frozen=True)
class Pair:
    """Two students, and which share of the shorter one's stretches the other has as well."""

    first: str
    second: str
    share: float


def near_identical(answers: Mapping[str, str], at_least: float = 0.9) -> list[Pair]:
    """Pairs of students whose code is nearly the same, the likest first."""
    stretches = {student: _stretches(source) for student, source in answers.items()}
    seen = Counter(one for of_student in stretches.values() for one in of_student)
    common = {one for one, n in seen.items() if n > max(2, COMMON * len(answers))}
    own = {student: found - common for student, found in stretches.items()}
    pairs = []
    for first, second in itertools.combinations(sorted(own), 2):
        shorter = min(len(own[first]), len(own[second]))
        if shorter >= FEWEST:
            share = len(own[first] & own[second]) / shorter
            if share >= at_least:
                pairs.append(Pair(first, second, share))
    return sorted(pairs, key=lambda pair: (-pair.share, pair.first, pair.second))


def _stretches(source: str) -> set[tuple[str, ...]]:
    tokens = _tokens(source)
    return {tuple(tokens[i : i + STRETCH]) for i in range(len(tokens) - STRETCH + 1)}


def _tokens(source: str) -> list[str]:
    """The code in tokens, each name replaced by NAME; as far as it can be read."""
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in SKIPPED:
                continue
            is_name = token.type == tokenize.NAME and not keyword.iskeyword(token.string)
            found.append("NAME" if is_name else token.string)
    except (tokenize.TokenError, SyntaxError):
        pass
    return found
