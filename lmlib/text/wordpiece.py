"""WordPiece, the tokenizer of BERT: split at spaces and punctuation, then take the longest known piece, repeatedly.

Source: Wu et al. 2016; Devlin et al. 2019, section 3.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from lmlib.text.merges import learn_merges
from lmlib.text.segments import CHINESE
from lmlib.text.tokenizer import AddedToken, Template, Tokenizer, count_words, numbered

CHINESE_CHARACTER = re.compile(f"[{CHINESE}]")
CONTINUES = "##"  # marks a piece inside a word
UNKNOWN = "[UNK]"
LONGEST_WORD = 100  # characters; a longer word becomes [UNK], as in BERT
SPECIAL = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")
BERT_TEMPLATE = Template(
    single=(("[CLS]", 0), ("$A", 0), ("[SEP]", 0)),
    pair=(("[CLS]", 0), ("$A", 0), ("[SEP]", 0), ("$B", 1), ("[SEP]", 1)),
)


class WordPiece(Tokenizer):
    """Pieces are characters of words; those inside a word begin with ##. The default adds what BERT has."""

    def __init__(
        self,
        vocabulary: dict[str, int],
        lowercase: bool = True,
        added: Iterable[str | AddedToken] | None = None,
        template: Template = BERT_TEMPLATE,
        padding: str | None = "[PAD]",
    ):
        if added is None:
            added = [token for token in SPECIAL if token != "[MASK]" or token in vocabulary]
        super().__init__(vocabulary, added, template, padding)
        self.check_has(UNKNOWN)
        self.lowercase = lowercase

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, *, lowercase: bool = True, min_count: int = 2) -> "WordPiece":
        """Special tokens, every character alone, those seen inside words with ##, then one piece a merge.

        Pieces are found by merging the most frequent pair, as the `tokenizers` library does; ties: `learn_merges`. (The
        first WordPiece merged the pair that made the training text most likely: Schuster & Nakajima 2012.)
        """
        words = count_words(cls(numbered(SPECIAL), lowercase), texts)
        characters = {word: (word[0], *(CONTINUES + char for char in word[1:])) for word in words}
        inside = {piece for pieces in characters.values() for piece in pieces[1:]}
        alphabet = [*SPECIAL, *sorted(set("".join(words))), *sorted(inside)]
        if vocab_size < len(alphabet):
            raise ValueError(f"vocab_size={vocab_size} is less than the {len(alphabet)} characters and special tokens")
        counts = Counter({characters[word]: n for word, n in words.items()})
        pieces, _ = learn_merges(counts, alphabet, vocab_size, min_count, prefix=CONTINUES)
        return cls(numbered(pieces), lowercase)

    def words(self, text: str) -> list[str]:
        """Clean, lower-case, and split at spaces, at punctuation and around each Chinese character."""
        text = "".join(_spaced(char) for char in text)
        if self.lowercase:
            text = unicodedata.normalize("NFD", "".join(map(str.lower, text)))  # one by one: no final ς for Σ
            text = "".join(char for char in text if unicodedata.category(char) != "Mn")  # accents go
        return "".join(f" {char} " if _is_punctuation(char) else char for char in text).split()

    def split(self, word: str) -> list[str]:
        """The longest piece first, then the longest continuation; [UNK] when some part is unknown."""
        pieces, start = [], 0
        while start < len(word) <= LONGEST_WORD:
            prefix = CONTINUES if start else ""
            ends = range(len(word), start, -1)
            end = next((e for e in ends if prefix + word[start:e] in self.vocabulary), None)
            if end is None:
                return [UNKNOWN]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces or [UNKNOWN]

    def join(self, pieces: list[str]) -> str:
        """Pieces with ## go on with the word before them; all others are set apart by a space."""
        return " ".join(pieces).replace(" " + CONTINUES, "")


def _spaced(char: str) -> str:
    """A space for white space, nothing for control characters, spaces around a Chinese character."""
    if char in "\t\n\r" or unicodedata.category(char) == "Zs":
        return " "
    if char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs"):
        return ""
    return f" {char} " if CHINESE_CHARACTER.match(char) else char


def _is_punctuation(char: str) -> bool:
    """Unicode punctuation, and every ASCII sign that is neither letter, digit nor space."""
    ascii_sign = char.isascii() and char.isprintable() and not char.isalnum() and char != " "
    return ascii_sign or unicodedata.category(char).startswith("P")
