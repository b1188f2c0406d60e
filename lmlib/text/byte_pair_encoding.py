"""Byte-pair encoding on bytes, as in GPT-2: words are cut by a pattern, then bytes merge in the order learned.

Source: Sennrich et al. 2016; on bytes, with the pattern: Radford et al. 2019, section 2.2.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import regex

from lmlib.text.byte_level import CHARACTER_OF, GPT2_PATTERN, ByteLevel, isolated, visible
from lmlib.text.merges import apply_merges, learn_merges
from lmlib.text.tokenizer import AddedToken, Normalization, Template, count_words, numbered


class BytePairEncoding(ByteLevel):
    """Pieces are byte strings. `pattern` cuts the text into words; no piece crosses their bounds.

    With `prefix_space` a text that begins without a space gets one (RoBERTa); with `whole_words` a word that is a piece
    is taken as it is, whatever the merges say (Llama 3).
    """

    def __init__(
        self,
        vocabulary: dict[str, int],
        merges: Sequence[tuple[str, str]],
        added: Iterable[str | AddedToken] = ("<|endoftext|>",),
        *,
        pattern: str = GPT2_PATTERN,
        normalization: Normalization | None = None,
        prefix_space: bool = False,
        whole_words: bool = False,
        template: Template | None = None,
        padding: str | None = "<|endoftext|>",
    ):
        super().__init__(vocabulary, added, template, padding)
        self.merges = list(merges)
        self.check_has(*(piece for left, right in merges for piece in (left, right, left + right)))
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.pattern, self._compiled = pattern, regex.compile(pattern)
        self.normalization, self.prefix_space, self.whole_words = normalization, prefix_space, whole_words

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        special_tokens: Sequence[str] = ("<|endoftext|>",),
        *,
        pattern: str = GPT2_PATTERN,
        min_count: int = 2,
    ) -> "BytePairEncoding":
        """Special tokens (the first one pads), the 256 bytes by their visible character, then one piece a merge.

        How ties are broken, and when it ends early: `learn_merges`.
        """
        pieces = list(dict.fromkeys([*special_tokens, *sorted(CHARACTER_OF)]))
        if vocab_size < len(pieces):
            raise ValueError(f"vocab_size={vocab_size} is less than the {len(pieces)} bytes and special tokens")
        padding = special_tokens[0] if special_tokens else None
        bare = cls(numbered(pieces), [], special_tokens, pattern=pattern, padding=padding)
        words = Counter({tuple(visible(word)): n for word, n in count_words(bare, texts).items()})
        pieces, merges = learn_merges(words, pieces, vocab_size, min_count)
        return cls(numbered(pieces), merges, special_tokens, pattern=pattern, padding=padding)

    def words(self, text: str) -> list[str]:
        """The text in its Unicode normal form, where there is one, cut by the pattern."""
        if self.normalization is not None:
            text = unicodedata.normalize(self.normalization, text)
        if self.prefix_space and not text.startswith(" "):
            text = " " + text
        return list(isolated(self._compiled, text))

    def split(self, word: str) -> list[str]:
        """The bytes of a word, merged. Raises ValueError for a byte that the vocabulary lacks."""
        symbols = visible(word)
        if self.whole_words and symbols in self.vocabulary:
            return [symbols]
        self.check_has(*symbols)
        return apply_merges(list(symbols), self.ranks)
