"""Sentences with a tag for each word: O outside, B-KIND where an entity begins, I-KIND inside.

The splits are those of the sources: uner_en has a part for testing only, snips_nlu one for training and one for
validating. Source of the tags: Ramshaw & Marcus 1995; Tjong Kim Sang & De Meulder 2003.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus
from lmlib.data.tasks.formats import lines
from lmlib.data.tasks.intents import queries
from lmlib.data.tasks.splits import Reader, Splits, read

TAG = re.compile(r"O|[BI]-\S+")
WORD = re.compile(r"\w+|[^\w\s]")
WNUT_FILES = {"train": "wnut17train.conll", "validation": "emerging.dev.conll", "test": "emerging.test.annotated"}
UNER_FILES = {
    "uner_zh": {
        "train": "zh_gsdsimp-ud-train.iob2",
        "validation": "zh_gsdsimp-ud-dev.iob2",
        "test": "zh_gsdsimp-ud-test.iob2",
    },
    "uner_en": {"test": "en_ewt-ud-test.iob2"},
}


@dataclass(frozen=True)
class TaggedSentence:
    """As many tags as words."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


def load(name: str) -> Splits[TaggedSentence]:
    """The sentences of a corpus of READERS. Raises DataError for another name."""
    return read(READERS, name, None)


def wnut17(corpus: Corpus, language: str) -> Splits[TaggedSentence]:
    """A word, a tab and a tag a line; a line that is empty, or a tab only, ends a sentence."""
    return {split: list(_wnut_part(corpus, path)) for split, path in WNUT_FILES.items()}


def _wnut_part(corpus: Corpus, path: str) -> Iterator[TaggedSentence]:
    rows: list[tuple[str, str]] = []
    for place, line in lines(corpus, path):
        if line.strip():
            rows.append(_checked(line.split("\t"), place))
        elif rows:
            yield _sentence(rows)
            rows = []
    if rows:
        yield _sentence(rows)


def uner(corpus: Corpus, language: str) -> Splits[TaggedSentence]:
    """Number, word, tag and two more columns a line; comments start with "# ", an empty line ends a sentence."""
    return {split: list(_uner_part(corpus, path)) for split, path in UNER_FILES[corpus.entry.name].items()}


def _uner_part(corpus: Corpus, path: str) -> Iterator[TaggedSentence]:
    rows: list[tuple[str, str]] = []
    for place, line in lines(corpus, path):
        if line.startswith("# "):
            continue
        if line.strip():
            fields = line.split("\t")
            if len(fields) != 5 or fields[0] != str(len(rows) + 1):
                raise DataError(f"{place}: {len(rows) + 1} and 4 more fields are expected; got {line[:60]!r}")
            rows.append(_checked(fields[1:3], place))
        elif rows:
            yield _sentence(rows)
            rows = []
    if rows:
        yield _sentence(rows)


def _checked(fields: list[str], place: str) -> tuple[str, str]:
    if len(fields) != 2 or not fields[0].strip() or not TAG.fullmatch(fields[1]):
        raise DataError(f"{place}: a word, a tab and a tag (O, B-KIND, I-KIND) are expected; got {fields}")
    return fields[0], fields[1]


def _sentence(rows: list[tuple[str, str]]) -> TaggedSentence:
    return TaggedSentence(*(tuple(side) for side in zip(*rows, strict=True)))


def snips_nlu(corpus: Corpus, language: str) -> Splits[TaggedSentence]:
    """Queries to an assistant, split into words and punctuation; the tags name the slots."""
    return {split: [_slots(query.pieces) for query in found] for split, found in queries(corpus).items()}


def _slots(pieces: tuple[tuple[str, str | None], ...]) -> TaggedSentence:
    rows = []
    for text, slot in pieces:
        for i, word in enumerate(WORD.findall(text)):
            rows.append((word, "O" if slot is None else f"{'I' if i else 'B'}-{slot}"))
    return _sentence(rows)


READERS: dict[str, Reader[TaggedSentence]] = {
    "wnut17": wnut17,
    "snips_nlu": snips_nlu,
    "uner_en": uner,
    "uner_zh": uner,
}
