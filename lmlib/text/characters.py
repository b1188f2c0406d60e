"""Characters: every code point of the text is a token. The shortest vocabulary to explain, the longest sequences."""

from collections.abc import Iterable, Sequence

from lmlib.text.tokenizer import AddedToken, Template, Tokenizer, count_words, numbered, padding_and_unknown


class Characters(Tokenizer):
    """One id a character. One that is not in the vocabulary becomes `unknown`, or is an error where that is None."""

    def __init__(
        self,
        vocabulary: dict[str, int],
        unknown: str | None = "<unk>",
        added: Iterable[str | AddedToken] = ("<pad>", "<unk>"),
        template: Template | None = None,
        padding: str | None = "<pad>",
    ):
        super().__init__(vocabulary, added, template, padding)
        self.unknown = unknown
        if unknown is not None:
            self.check_has(unknown)

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int | None = None, special_tokens: Sequence[str] = ("<pad>", "<unk>")
    ) -> "Characters":
        """All characters of the texts, or the most frequent ones that `vocab_size` has room for; then by code point.

        The first special token pads and the second stands for unknown characters. Of characters that are equally
        frequent the lower code points stay.
        """
        padding, unknown = padding_and_unknown(special_tokens)
        counts = count_words(cls(numbered(special_tokens), unknown, special_tokens, padding=padding), texts)
        room = None if vocab_size is None else vocab_size - len(special_tokens)
        if room is not None and room < 1:
            raise ValueError(f"vocab_size={vocab_size} has no room for a character beside {', '.join(special_tokens)}")
        kept = sorted(counts, key=lambda char: (-counts[char], char))[:room]
        return cls(numbered([*special_tokens, *sorted(kept)]), unknown, special_tokens, padding=padding)

    def words(self, text: str) -> list[str]:
        """Every character is a word."""
        return list(text)

    def split(self, word: str) -> list[str]:
        """The character itself, or the unknown token."""
        if word in self.vocabulary:
            return [word]
        if self.unknown is None:
            raise ValueError(
                f"the character {word!r} is not in the vocabulary, which has no token for unknown characters"
            )
        return [self.unknown]

    def join(self, pieces: list[str]) -> str:
        """The characters one after the other."""
        return "".join(pieces)
