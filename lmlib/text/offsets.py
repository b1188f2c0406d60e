"""Where in a text each piece stands: what turns a span of tokens back into a span of characters.

WordPiece lower-cases, drops accents and control characters and puts spaces in, so pieces and text differ. But it does
so character by character: each character of a word comes from one character of the text.
"""

from typing import NamedTuple

from lmlib.text.wordpiece import CONTINUES, WordPiece


class Piece(NamedTuple):
    """A token id, and the characters start..end-1 of the text that it stands for."""

    id: int
    start: int
    end: int


def pieces(tokenizer: WordPiece, text: str) -> list[Piece]:
    """The pieces of a text without [CLS] and [SEP], in order. Raises ValueError where characters do not line up."""
    normalised: dict[str, int] = {}  # a character → how many it becomes
    sources: list[int] = []  # of each character of the words, its place in the text
    for i, char in enumerate(text):
        if char not in normalised:
            normalised[char] = sum(map(len, tokenizer.words(char)))
        sources += [i] * normalised[char]
    found: list[Piece] = []
    at = 0
    for word in tokenizer.words(text):
        for piece in tokenizer.split(word):
            length = len(word) if piece == "[UNK]" else len(piece.removeprefix(CONTINUES))
            found.append(Piece(tokenizer.vocabulary[piece], sources[at], sources[at + length - 1] + 1))
            at += length
    if at != len(sources):
        raise ValueError(f"{len(sources)} characters of the text do not line up with {at} of its pieces: {text[:60]!r}")
    return found
