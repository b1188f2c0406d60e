"""Where in a text each piece stands: what turns a span of tokens back into a span of characters.

WordPiece lower-cases, drops accents and control characters and puts spaces in, so pieces and text differ. But it does
so character by character: each character of a word comes from one character of the text.
"""

from collections.abc import Iterator
from typing import NamedTuple

from lmlib.text.wordpiece import CONTINUES, UNKNOWN, WordPiece


class Piece(NamedTuple):
    """A token id, and the characters start..end-1 of the text that it stands for."""

    id: int
    start: int
    end: int


def pieces(tokenizer: WordPiece, text: str) -> list[Piece]:
    """The pieces of a text without [CLS] and [SEP], in order."""
    found: list[Piece] = []
    at = 0
    for part, is_added in tokenizer.sections(text):
        start = text.index(part, at)  # an added token may have taken the white space before it
        at = start + len(part)
        if is_added:
            found.append(Piece(tokenizer.vocabulary[part], start, at))
        else:
            found += _pieces_of_words(tokenizer, part, start)
    return found


def _pieces_of_words(tokenizer: WordPiece, text: str, offset: int) -> Iterator[Piece]:
    """The pieces of a text without added tokens, which begins at `offset` of the whole text."""
    n_made: dict[str, int] = {}  # a character → how many characters of words it becomes: none, one, or some
    sources: list[int] = []  # of each character of the words, its place in the whole text
    for place, char in enumerate(text, start=offset):
        if char not in n_made:
            n_made[char] = sum(map(len, tokenizer.words(char)))
        sources += [place] * n_made[char]
    at = 0
    for word in tokenizer.words(text):
        for piece in tokenizer.split(word):
            length = len(word) if piece == UNKNOWN else len(piece.removeprefix(CONTINUES))
            yield Piece(tokenizer.vocabulary[piece], sources[at], sources[at + length - 1] + 1)
            at += length
    assert at == len(sources), f"{len(sources)} characters do not line up with {at} of the pieces: {text[:60]!r}"
