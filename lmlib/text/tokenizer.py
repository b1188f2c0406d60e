"""What all tokenizers share: text → words → pieces → ids, and back; special tokens stay whole; batches are padded.

A kind of tokenizer says three things: how text is cut into words (`words`), a word into pieces (`split`), and how
pieces become text again (`join`). Lone surrogates, which no UTF-8 text can hold, count as U+FFFD, as when malformed
bytes are read with errors="replace".
"""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor

WHITE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # Unicode's white space
Normalization = Literal["NFC", "NFD", "NFKC", "NFKD"]  # Unicode's normal forms
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
LONGEST_CACHED_WORD, CACHE_SIZE = 256, 100_000  # characters; words


@dataclass(frozen=True)
class AddedToken:
    """A token that stays whole in a text. Only a `special` one is left out when decoding skips special tokens."""

    text: str
    takes_white_left: bool = False  # white space before it becomes part of it
    takes_white_right: bool = False
    special: bool = True


@dataclass(frozen=True)
class Template:
    """What is put around one text and around two: tokens with their type id, "$A" and "$B" where the texts go."""

    single: tuple[tuple[str, int], ...] = (("$A", 0),)
    pair: tuple[tuple[str, int], ...] = (("$A", 0), ("$B", 1))

    def tokens(self) -> list[str]:
        """Every token of it, once."""
        return [token for token in dict(self.single + self.pair) if token not in ("$A", "$B")]


class Tokenizer(ABC):
    """Text ↔ ids over a vocabulary of pieces. Called with texts it gives a padded batch."""

    def __init__(
        self,
        vocabulary: dict[str, int],
        added: Iterable[str | AddedToken] = (),
        template: Template | None = None,
        padding: str | None = None,
    ):
        self.vocabulary, self.padding, self.template = vocabulary, padding, template or Template()
        self.added = {t.text: t for t in (AddedToken(t) if isinstance(t, str) else t for t in added)}
        self.check_has(*self.added, *self.template.tokens(), *([padding] if padding is not None else []))
        self.pieces = {i: piece for piece, i in vocabulary.items()}
        if len(self.pieces) < len(vocabulary):
            i = next(i for i, n in Counter(vocabulary.values()).items() if n > 1)
            raise ValueError(f"two pieces of the vocabulary have the id {i}; each needs its own")
        self._added_in_text = _pattern(self.added.values())
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """The tokenizer of this kind that a folder holds (`Tokenizer.from_folder` takes any); see tokenizer_json."""
        from lmlib.text import tokenizer_json  # which knows every kind, so it imports this file

        found = tokenizer_json.load(folder)
        if not isinstance(found, cls):
            raise ValueError(f"{folder} holds a tokenizer of the kind {type(found).__name__}, not {cls.__name__}")
        return found

    def save(self, folder: Path) -> None:
        """Write tokenizer.json, which the `tokenizers` library reads, and tokenizer_config.json; see tokenizer_json."""
        from lmlib.text import tokenizer_json

        tokenizer_json.save(self, folder)

    @abstractmethod
    def words(self, text: str) -> list[str]:
        """Text without special tokens → the words that are cut into pieces each on its own."""

    @abstractmethod
    def split(self, word: str) -> list[str]:
        """The pieces of one word, all of them in the vocabulary."""

    @abstractmethod
    def join(self, pieces: list[str]) -> str:
        """The text of these pieces, special tokens among them."""

    def __len__(self) -> int:
        """One more than the highest id: the rows that an embedding of these ids needs."""
        return max(self.pieces, default=-1) + 1

    def id_of(self, piece: str) -> int:
        """The id of one piece or special token. Raises ValueError when there is none."""
        self.check_has(piece)
        return self.vocabulary[piece]

    def tokens(self, ids: Sequence[int] | Tensor) -> list[str]:
        """The pieces of these ids."""
        ids = ids.tolist() if isinstance(ids, Tensor) else ids
        unknown = [i for i in ids if i not in self.pieces]
        if unknown:
            raise ValueError(f"no piece has the id {unknown[0]}; the vocabulary has {len(self.pieces)} pieces")
        return [self.pieces[i] for i in ids]

    def encode(self, text: str, max_length: int | None = None, add_special_tokens: bool = True) -> list[int]:
        """Ids of one text inside its template, cut so that `max_length` holds with the tokens of the template."""
        ids = self.encode_plain(LONE_SURROGATE.sub("\ufffd", text))
        template = self.template.single if add_special_tokens else (("$A", 0),)
        around = [token for token, _ in template if token != "$A"]
        if max_length is not None:
            if max_length < max(1, len(around)):
                room = " and ".join(around) or "any piece"
                raise ValueError(
                    f"max_length={max_length} leaves no room for {room}; {max(1, len(around))} is the least"
                )
            ids = ids[: max_length - len(around)]
        return [i for token, _ in template for i in (ids if token == "$A" else [self.vocabulary[token]])]

    def encode_pair(self, first: str, second: str) -> tuple[list[int], list[int]]:
        """Two texts inside the template for two: their ids, and the type of each (such as 0 and 1 in BERT)."""
        parts = {token: [self.vocabulary[token]] for token in self.template.tokens()}
        parts |= {"$A": self.encode(first, None, False), "$B": self.encode(second, None, False)}
        rows = [(i, kind) for name, kind in self.template.pair for i in parts[name]]
        return [i for i, _ in rows], [kind for _, kind in rows]

    def decode(self, ids: Sequence[int] | Tensor, skip_special_tokens: bool = False) -> str:
        """The text of these ids; special tokens are written out, or skipped."""
        pieces = self.tokens(ids)
        if skip_special_tokens:
            pieces = [piece for piece in pieces if piece not in self.added or not self.added[piece].special]
        return self.join(pieces)

    def __call__(self, texts: Sequence[str], max_length: int | None = None) -> dict[str, Tensor]:
        """Each text encoded, padded at the right to the longest: input_ids and attention_mask, (B, T) int64."""
        if isinstance(texts, str):
            raise TypeError("the tokenizer takes a list of texts; put the one text into a list")
        if not texts:
            raise ValueError("the tokenizer needs at least one text; the list is empty")
        rows = [self.encode(text, max_length) for text in texts]
        longest = max(map(len, rows))
        if self.padding is None and min(map(len, rows)) < longest:
            raise ValueError("texts of different lengths need a token that pads; give one: tokenizer.padding = ...")
        fill = 0 if self.padding is None else self.vocabulary[self.padding]
        padded = [row + [fill] * (longest - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        return {
            "input_ids": torch.tensor(padded, dtype=torch.long),
            "attention_mask": torch.tensor(mask, dtype=torch.long),
        }

    def encode_plain(self, text: str) -> list[int]:
        """The ids of a text without its template. Each word is cut into pieces once, then remembered."""
        ids: list[int] = []
        for part, is_added in self.sections(text):
            if is_added:
                ids.append(self.vocabulary[part])
            else:
                for word in self.words(part):
                    ids += self._cache.get(word) or self._ids_of(word)
        return ids

    def sections(self, text: str) -> Iterator[tuple[str, bool]]:
        """The text in parts: added tokens (True), the longest where several begin at one place, and what is between."""
        start = 0
        for match in self._added_in_text.finditer(text) if self._added_in_text else ():
            if match.start() > start:
                yield text[start : match.start()], False
            yield match[match.lastindex or 0], True
            start = match.end()
        if start < len(text):
            yield text[start:], False

    def check_has(self, *pieces: str) -> None:
        """Raises ValueError that names the pieces which are not in the vocabulary."""
        missing = [piece for piece in dict.fromkeys(pieces) if piece not in self.vocabulary]
        if missing:
            raise ValueError(f"the vocabulary lacks {', '.join(missing)}")

    def _ids_of(self, word: str) -> list[int]:
        ids = [self.vocabulary[piece] for piece in self.split(word)]
        if len(word) <= LONGEST_CACHED_WORD:
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            self._cache[word] = ids
        return ids


def _pattern(added: Iterable[AddedToken]) -> re.Pattern[str] | None:
    """Finds any of these tokens; the group that matched holds the token without the white space that it takes."""
    white = f"[{WHITE}]*"
    ways = [
        f"{white * token.takes_white_left}({re.escape(token.text)}){white * token.takes_white_right}"
        for token in sorted(added, key=lambda token: -len(token.text))
    ]
    return re.compile("|".join(ways)) if ways else None


def count_words(tokenizer: Tokenizer, texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs in the texts to train on; special tokens are no words.

    Raises TypeError for a string in place of texts, ValueError when there is no word.
    """
    if isinstance(texts, str):
        raise TypeError(f"training takes texts, such as the lines of a file; got the string {texts[:40]!r}")
    counts: Counter[str] = Counter()
    for text in texts:
        for part, is_added in tokenizer.sections(LONE_SURROGATE.sub("\ufffd", text)):
            if not is_added:
                counts.update(tokenizer.words(part))
    if not counts:
        raise ValueError("there is no word in the texts to train on; give texts that are not empty")
    return counts


def numbered(pieces: Iterable[str]) -> dict[str, int]:
    """Ids from 0 on, in this order; a piece that comes again keeps its first id."""
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}


def padding_and_unknown(special_tokens: Sequence[str]) -> tuple[str, str]:
    """The first two special tokens of a kind that has unknown characters. Raises ValueError for fewer."""
    if len(special_tokens) < 2 or isinstance(special_tokens, str):
        raise ValueError(f"two special tokens are needed, one to pad and one for the unknown; got {special_tokens!r}")
    return special_tokens[0], special_tokens[1]
