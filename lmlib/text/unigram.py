"""Unigram: each piece has a probability, and a word is cut in the way that is most probable. Source: Kudo 2018.

A space is written as ▁, and words begin with it, so that pieces joined and ▁ made a space again are the text.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from lmlib.text.lattice import best_segmentation, build_trie, edges
from lmlib.text.tokenizer import (
    AddedToken,
    Normalization,
    Template,
    Tokenizer,
    count_words,
    numbered,
    padding_and_unknown,
)
from lmlib.text.unigram_training import learn_pieces

SPACE = "▁"
UNKNOWN_PENALTY = 10.0  # an unknown character scores so much less than the least likely piece


class Unigram(Tokenizer):
    """`scores` are the log probabilities of the pieces, in the order of their ids; other added tokens come after them.

    Unknown characters side by side become one `unknown` token. With `prefix_space` a text that begins without a space
    gets one, so that a word has the same pieces at its start as elsewhere; `decode` takes it off again.
    """

    def __init__(
        self,
        scores: dict[str, float],
        unknown: str = "<unk>",
        added: Iterable[str | AddedToken] = ("<pad>", "<unk>"),
        *,
        vocabulary: dict[str, int] | None = None,
        normalization: Normalization | None = None,
        prefix_space: bool = True,
        template: Template | None = None,
        padding: str | None = "<pad>",
    ):
        super().__init__(vocabulary or numbered(scores), added, template, padding)
        self.check_has(unknown)
        self.scores, self.unknown = scores, unknown
        self.normalization, self.prefix_space = normalization, prefix_space
        self._trie = build_trie(scores)
        self._unknown_score = min(scores.values()) - UNKNOWN_PENALTY

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        special_tokens: Sequence[str] = ("<pad>", "<unk>"),
        *,
        coverage: float = 1.0,
        normalization: Normalization | None = None,
    ) -> "Unigram":
        """Special tokens (the first pads, the second is for the unknown), then pieces, the likeliest first.

        The most frequent characters that make up `coverage` of the text become pieces; the others stay unknown, as is
        usual for Chinese (0.9995). Raises ValueError when `vocab_size` has no room for these characters.
        """
        if not 0 < coverage <= 1:
            raise ValueError(f"coverage must be above 0 and at most 1; got {coverage}")
        padding, unknown = padding_and_unknown(special_tokens)
        bare = cls(
            dict.fromkeys(special_tokens, 0.0), unknown, special_tokens, normalization=normalization, padding=padding
        )
        words = count_words(bare, texts)
        characters = covering_characters(words, coverage)
        if vocab_size < len(special_tokens) + len(characters):
            raise ValueError(
                f"vocab_size={vocab_size} has no room for the {len(characters)} characters of the texts and "
                f"{len(special_tokens)} special tokens; give more, or a coverage below {coverage}"
            )
        learned = learn_pieces(without_others(words, characters), vocab_size - len(special_tokens))
        scores = dict.fromkeys(special_tokens, 0.0) | learned
        return cls(scores, unknown, special_tokens, normalization=normalization, padding=padding)

    def words(self, text: str) -> list[str]:
        """The text in its normal form, where there is one, cut before each ▁ that stands for a space."""
        if self.normalization is not None:
            text = unicodedata.normalize(self.normalization, text)
        text = text.replace(" ", SPACE)
        if self.prefix_space and not text.startswith(SPACE):
            text = SPACE + text
        return re.findall(f"{SPACE}[^{SPACE}]*|[^{SPACE}]+", text)

    def split(self, word: str) -> list[str]:
        """The most probable pieces of a word."""
        path = best_segmentation(edges(self._trie, word), self.scores, self._unknown_score)
        pieces: list[str] = []
        for start, end in path:
            piece = word[start:end] if word[start:end] in self.scores else self.unknown
            if piece != self.unknown or pieces[-1:] != [self.unknown]:
                pieces.append(piece)
        return pieces

    def join(self, pieces: list[str]) -> str:
        """The pieces with spaces for ▁; the first piece loses the space that `words` gave it."""
        first = "".join(pieces[:1]).replace(SPACE, "" if self.prefix_space else " ")
        return first + "".join(pieces[1:]).replace(SPACE, " ")


def covering_characters(words: Counter[str], coverage: float) -> set[str]:
    """The most frequent characters that make up this share of the text; of equal ones the lower code points."""
    counts: Counter[str] = Counter()
    for word, n in words.items():
        for char in word:
            counts[char] += n
    missing = coverage * counts.total()
    covering = set()
    for char in sorted(counts, key=lambda char: (-counts[char], char)):
        if missing <= 0:
            break
        covering.add(char)
        missing -= counts[char]
    return covering


def without_others(words: Counter[str], characters: set[str]) -> Counter[str]:
    """The runs of these characters in the words."""
    runs: Counter[str] = Counter()
    for word, n in words.items():
        for is_covered, run in groupby(word, characters.__contains__):
            if is_covered:
                runs["".join(run)] += n
    return runs
