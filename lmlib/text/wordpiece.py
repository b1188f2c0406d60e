"""WordPiece, the tokenizer of BERT: split at spaces and punctuation, then take the longest known piece, repeatedly.

Source: Wu et al. 2016; Devlin et al. 2019, section 3.
"""

import json
import re
import unicodedata
from pathlib import Path

import torch
from torch import Tensor

from lmlib.text.segments import CHINESE

CHINESE_CHARACTER = re.compile(f"[{CHINESE}]")
CONTINUES = "##"  # marks a piece inside a word
LONGEST_WORD = 100  # characters; a longer word becomes [UNK], as in BERT


class WordPiece:
    """Text ↔ ids over a fixed vocabulary of pieces. Called with texts it gives a padded batch."""

    def __init__(self, vocabulary: dict[str, int], lowercase: bool = True):
        missing = [token for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if token not in vocabulary]
        if missing:
            raise ValueError(f"the vocabulary lacks {', '.join(missing)}")
        self.vocabulary, self.lowercase = vocabulary, lowercase
        self.pieces = {i: piece for piece, i in vocabulary.items()}
        self.special = [token for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if token in vocabulary]

    @classmethod
    def from_folder(cls, folder: Path) -> "WordPiece":
        """Read vocab.txt (one piece a line) and the settings beside it."""
        file = folder / "vocab.txt"
        if not file.is_file():
            raise FileNotFoundError(
                f"{folder} has no vocab.txt, one piece a line; it is no folder of a WordPiece tokenizer"
            )
        pieces = file.read_text("utf-8").removesuffix("\n").split("\n")  # other line separators are pieces
        settings_file = folder / "tokenizer_config.json"
        settings = json.loads(settings_file.read_text("utf-8")) if settings_file.is_file() else {}
        return cls({piece: i for i, piece in enumerate(pieces)}, settings.get("do_lower_case", True))

    def __call__(self, texts: list[str], max_length: int | None = None) -> dict[str, Tensor]:
        """[CLS] text [SEP] for each text, padded to the longest: input_ids and attention_mask, (B, T) int64."""
        if isinstance(texts, str):
            raise TypeError("the tokenizer takes a list of texts; put the one text into a list")
        if not texts:
            raise ValueError("the tokenizer needs at least one text; the list is empty")
        rows = [self.encode(text, max_length) for text in texts]
        longest = max(map(len, rows))
        padding = self.vocabulary["[PAD]"]
        return {
            "input_ids": torch.tensor([row + [padding] * (longest - len(row)) for row in rows]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
        }

    def encode(self, text: str, max_length: int | None = None) -> list[int]:
        """Ids of one text between [CLS] and [SEP], cut so that `max_length` holds with both."""
        if max_length is not None and max_length < 2:
            raise ValueError(f"max_length={max_length} leaves no room for [CLS] and [SEP]; 2 is the least")
        ids = [self.vocabulary[piece] for word in self.words(text) for piece in self.split(word)]
        if max_length is not None:
            ids = ids[: max_length - 2]
        return [self.vocabulary["[CLS]"], *ids, self.vocabulary["[SEP]"]]

    def tokens(self, ids: list[int]) -> list[str]:
        """The pieces of these ids."""
        unknown = [i for i in ids if i not in self.pieces]
        if unknown:
            raise ValueError(f"no piece has the id {unknown[0]}; the vocabulary has {len(self.pieces)} pieces")
        return [self.pieces[i] for i in ids]

    def words(self, text: str) -> list[str]:
        """Clean, lower-case, and split at spaces, at punctuation and around each Chinese character."""
        words, rest = [], text
        while rest:  # special tokens written in the text stay whole
            at, token = min(((rest.find(t), t) for t in self.special if t in rest), default=(len(rest), ""))
            words += self._plain_words(rest[:at]) + [token] * bool(token)
            rest = rest[at + len(token) :]
        return words

    def _plain_words(self, text: str) -> list[str]:
        text = "".join(_spaced(char) for char in text)
        if self.lowercase:
            text = unicodedata.normalize("NFD", text.lower())
            text = "".join(char for char in text if unicodedata.category(char) != "Mn")  # accents go
        return "".join(f" {char} " if _is_punctuation(char) else char for char in text).split()

    def split(self, word: str) -> list[str]:
        """The longest piece first, then the longest continuation; [UNK] when some part is unknown."""
        if word in self.special:
            return [word]
        pieces, start = [], 0
        while start < len(word) <= LONGEST_WORD:
            prefix = CONTINUES if start else ""
            ends = range(len(word), start, -1)
            end = next((e for e in ends if prefix + word[start:e] in self.vocabulary), None)
            if end is None:
                return ["[UNK]"]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces or ["[UNK]"]


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
