"""Bytes: the 256 bytes are the vocabulary, so there is nothing to train. Source: Xue et al. 2022 (ByT5)."""

from collections.abc import Iterable

from lmlib.text.byte_level import CHARACTER_OF, ByteLevel, visible
from lmlib.text.tokenizer import AddedToken, Template, numbered


class Bytes(ByteLevel):
    """The id of a byte is its value; added tokens have ids from 256 on, unless `vocabulary` gives them others."""

    def __init__(
        self,
        added: Iterable[str | AddedToken] = ("<|endoftext|>",),
        template: Template | None = None,
        padding: str | None = "<|endoftext|>",
        vocabulary: dict[str, int] | None = None,
    ):
        added = list(added)
        names = [token if isinstance(token, str) else token.text for token in added]
        super().__init__(vocabulary or numbered([*CHARACTER_OF, *names]), added, template, padding)

    def words(self, text: str) -> list[str]:
        """Every character is a word."""
        return list(text)

    def split(self, word: str) -> list[str]:
        """Its one to four bytes."""
        return list(visible(word))
