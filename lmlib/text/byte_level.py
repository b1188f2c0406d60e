"""Text as bytes that can be read: each of the 256 bytes is written as one visible character.

Nothing is unknown to a byte-level tokenizer: any text, also malformed UTF-8, is a sequence of bytes, and the pieces
decode to exactly these bytes. Source: Radford et al. 2019, section 2.2.
"""

from collections.abc import Iterator, Sequence

import regex
from torch import Tensor

from lmlib.text.tokenizer import Tokenizer

# Contractions, letters, digits and other signs, each with one space before it, and runs of white space. Of a run before
# a word the last space goes to the word. (GPT-2's rule; \p{L} are letters and \p{N} numbers of every script.)
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def visible_characters() -> list[str]:
    """For each byte from 0 to 255 its character: itself where Latin-1 shows it, else the next one from U+0100 on."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in shown else chr(next(others)) for byte in range(256)]


CHARACTER_OF = visible_characters()  # a space, byte 32, is Ġ; a line feed Ċ
BYTE_OF = {char: byte for byte, char in enumerate(CHARACTER_OF)}


def visible(text: str) -> str:
    """The UTF-8 bytes of a text in visible characters; a surrogate of "surrogateescape" is the byte it stands for."""
    return "".join(CHARACTER_OF[byte] for byte in text.encode("utf-8", "surrogateescape"))


def isolated(pattern: "regex.Pattern[str]", text: str) -> Iterator[str]:
    """The text cut into the matches of a pattern and what lies between them; nothing is lost."""
    start = 0
    for match in pattern.finditer(text):
        if match.start() > start:
            yield text[start : match.start()]
        if match.end() > match.start():
            yield match[0]
        start = match.end()
    if start < len(text):
        yield text[start:]


class ByteLevel(Tokenizer):
    """A tokenizer whose pieces are byte strings, written in visible characters."""

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of bytes that need not be UTF-8, without a template; `decode_bytes` gives these bytes again.

        Not so where the tokenizer normalises texts, or puts a space before them.
        """
        return self.encode_plain(data.decode("utf-8", "surrogateescape"))

    def decode_bytes(self, ids: Sequence[int] | Tensor) -> bytes:
        """The bytes of these ids."""
        return self._bytes(self.tokens(ids))

    def join(self, pieces: list[str]) -> str:
        """The bytes of the pieces read as UTF-8; what is none becomes U+FFFD."""
        return self._bytes(pieces).decode("utf-8", "replace")

    def _bytes(self, pieces: list[str]) -> bytes:
        return b"".join(
            piece.encode() if piece in self.added else bytes(BYTE_OF[char] for char in piece) for piece in pieces
        )
