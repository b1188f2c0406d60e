"""Texts and the classes they belong to.

sentence_polarity and xed_emotions have no splits: they are drawn, and equal texts stay together. banking77 and
snips_nlu have no part for validating in the first and none for testing in the second. opinion_lexicon is a list of
words to count with, all of it "train".
"""

import re
from dataclasses import dataclass

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus
from lmlib.data.tasks.formats import comma_table, json_document, lines, numbered, tab_table, zipped_text
from lmlib.data.tasks.intents import queries
from lmlib.data.tasks.splits import FILE_PARTS, Reader, Splits, read, seeded_split
from lmlib.data.tasks.translation import SIB

EMOTIONS = ("anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")  # 1 to 8 in the files
XED_FILES = {
    "en": ("en-annotated.tsv",),
    "zh": ("cn-projections.tsv", "zh-projections.tsv"),  # simplified, traditional
    "de": ("de-projections.tsv",),
}


@dataclass(frozen=True)
class LabelledText:
    """A text and its classes: one, or (xed_emotions) one and more."""

    text: str
    labels: tuple[str, ...]

    @property
    def label(self) -> str:
        """The one class. Raises ValueError where there are several."""
        if len(self.labels) != 1:
            raise ValueError(f"this text has {len(self.labels)} classes: {', '.join(self.labels)}; take `labels`")
        return self.labels[0]


def load(name: str, language: str | None = None) -> Splits[LabelledText]:
    """The texts of a corpus of READERS, in the first language it has or another. Raises DataError."""
    return read(READERS, name, language)


def sentence_polarity(corpus: Corpus, language: str) -> Splits[LabelledText]:
    """A zip file with one file for each of two classes, a text a line."""
    found = []
    for label, end in (("positive", "pos"), ("negative", "neg")):
        place, text = zipped_text(corpus, "sentence_polarity.zip", f"sentence_polarity/rt-polarity.{end}")
        found += [LabelledText(line.strip(), (label,)) for _, line in numbered(place, text)]
    return seeded_split(found, lambda record: [record.text])


def opinion_lexicon(corpus: Corpus, language: str) -> Splits[LabelledText]:
    """A zip file with one file for each of two classes, a word a line, comments after a semicolon, ISO-8859-1."""
    found = []
    for label in ("positive", "negative"):
        member = f"opinion_lexicon/{label}-words.txt"
        place, text = zipped_text(corpus, "opinion_lexicon.zip", member, encoding="iso-8859-1")
        words = (line.strip() for _, line in numbered(place, text) if not line.startswith(";"))
        found += [LabelledText(word, (label,)) for word in words if word]
    return {"train": found}


def banking77(corpus: Corpus, language: str) -> Splits[LabelledText]:
    """CSV; categories.json lists the classes."""
    classes = set(json_document(corpus, "categories.json"))
    found: Splits[LabelledText] = {}
    for split in ("train", "test"):
        found[split] = []
        for place, (text, label) in comma_table(corpus, f"{split}.csv", ("text", "category")):
            if label not in classes:
                raise DataError(f"{place}: a class of categories.json is expected; got {label!r}")
            found[split].append(LabelledText(text.strip(), (label,)))
    return found


def snips_nlu(corpus: Corpus, language: str) -> Splits[LabelledText]:
    """Queries to an assistant and what is intended; the same records with their slots are in tagging."""
    return {
        split: [LabelledText("".join(text for text, _ in query.pieces), (query.intent,)) for query in found]
        for split, found in queries(corpus).items()
    }


def sib200(corpus: Corpus, language: str) -> Splits[LabelledText]:
    """A table of index, topic and text."""
    columns = ("index_id", "category", "text")
    return {
        split: [
            LabelledText(text, (label,))
            for _, (_, label, text) in tab_table(corpus, f"{SIB[language]}/{part}.tsv", columns, header=True)
        ]
        for split, part in FILE_PARTS.items()
    }


def csl_category(corpus: Corpus, language: str) -> Splits[LabelledText]:
    """The words "to category", a title and a field of science, by tabs."""
    return {
        split: [
            LabelledText(title, (label,))
            for _, (_, title, label) in tab_table(corpus, f"{part}.tsv", ("prompt", "title", "category"))
        ]
        for split, part in FILE_PARTS.items()
    }


def xed_emotions(corpus: Corpus, language: str) -> Splits[LabelledText]:
    """A text and the numbers of its emotions, by a tab.

    The projected files hold lines of other tables (their source lost them in an open quote): these are passed over.
    """
    found = [
        record
        for path in XED_FILES[language]
        for place, line in lines(corpus, path)
        if language == "en" or line.count("\t") == 1
        for record in [_emotions(line, place)]
    ]
    return seeded_split(found, lambda record: [record.text])


def _emotions(line: str, place: str) -> LabelledText:
    match = re.fullmatch(r"([^\t]+)\t([1-8](?:, *[1-8])*)", line)
    if match is None:
        raise DataError(f"{place}: a text, a tab and numbers from 1 to 8 are expected; got {line[:60]!r}")
    numbers = sorted({int(part) for part in match[2].split(",")})
    return LabelledText(match[1].strip(), tuple(EMOTIONS[i - 1] for i in numbers))


READERS: dict[str, Reader[LabelledText]] = {
    "sentence_polarity": sentence_polarity,
    "opinion_lexicon": opinion_lexicon,
    "banking77": banking77,
    "snips_nlu": snips_nlu,
    "sib200": sib200,
    "xed_emotions": xed_emotions,
    "csl_category": csl_category,
}
