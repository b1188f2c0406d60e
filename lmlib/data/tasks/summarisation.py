"""Texts and their summaries.

scitldr: the abstract of a paper and what it says in one sentence, by its author and by reviewers; csl_title: the
abstract and the title. Of both there are the parts for validating and for testing, and none for training.
"""

from dataclasses import dataclass

from lmlib.data.registry import Corpus
from lmlib.data.tasks.formats import field, json_lines, tab_table, texts
from lmlib.data.tasks.splits import Reader, Splits, read


@dataclass(frozen=True)
class Document:
    """A text, sentence by sentence as far as the source splits it, and its summaries: any of them is right."""

    sentences: tuple[str, ...]
    summaries: tuple[str, ...]

    @property
    def text(self) -> str:
        """The sentences as one text."""
        return " ".join(self.sentences)


def load(name: str) -> Splits[Document]:
    """The documents of scitldr or csl_title. Raises DataError for another name."""
    return read(READERS, name, None)


def scitldr(corpus: Corpus, language: str) -> Splits[Document]:
    """JSON lines with the lists `source` and `target`."""
    return {split: _scitldr_part(corpus, f"{part}.jsonl") for split, part in PARTS.items()}


def _scitldr_part(corpus: Corpus, path: str) -> list[Document]:
    return [
        Document(*(texts(field(row, key, list, place), place) for key in ("source", "target")))
        for place, row in json_lines(corpus, path)
    ]


def csl_title(corpus: Corpus, language: str) -> Splits[Document]:
    """The words "to title", an abstract and a title, by tabs."""
    return {
        split: [
            Document((abstract,), (title,))
            for _, (_, abstract, title) in tab_table(corpus, f"{part}.tsv", ("prompt", "abstract", "title"))
        ]
        for split, part in PARTS.items()
    }


PARTS = {"validation": "dev", "test": "test"}
READERS: dict[str, Reader[Document]] = {"scitldr": scitldr, "csl_title": csl_title}
