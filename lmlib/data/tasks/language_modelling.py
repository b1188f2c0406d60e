"""Running text, cut into poems, articles or chapters.

tiny_shakespeare is split as is the custom: the last tenth of its characters validates. wikitext2 is the part for
validating of its source. The other splits are drawn among the poems and chapters.
"""

import re
from dataclasses import dataclass
from typing import Any

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus
from lmlib.data.tasks.formats import field, json_document, place_of, texts
from lmlib.data.tasks.splits import Reader, Splits, read, seeded_split

HEADING = re.compile(r"^ = ([^=].*[^=]) = $", re.M)  # of an article; sections have more of these signs
BOOK = re.compile(r"\*\*\* ?START OF.*?\*\*\*\n(.*?)\*\*\* ?END OF", re.S)
BOOK_CHAPTER = re.compile(r"^(?:Chapter \d+|CHAPTER [IVX]+\..*|(?:ADVENTURE )?[IVX]+\. [A-Z ’'-]+)$", re.M)
NOVEL_CHAPTER = re.compile(r"^\s*(第[一二三四五六七八九十百零〇]+回\s+\S.*)$", re.M)


@dataclass(frozen=True)
class Text:
    """A title (may be empty) and the text below it."""

    title: str
    text: str


def load(name: str) -> Splits[Text]:
    """The texts of a corpus of READERS. Raises DataError for another name."""
    return read(READERS, name, None)


def tiny_shakespeare(corpus: Corpus, language: str) -> Splits[Text]:
    """One file of plays."""
    text = corpus.text()
    cut = int(0.9 * len(text))
    return {"train": [Text("", text[:cut])], "validation": [Text("", text[cut:])]}


def gutenberg_books(corpus: Corpus, language: str) -> Splits[Text]:
    """Three books; what stands before and after the text itself is left out."""
    found = []
    for path in corpus.files:
        body = BOOK.search(corpus.text(path))
        if body is None:
            raise DataError(f"{place_of(corpus, path)}:1: the lines *** START and *** END are expected; one is missing")
        title = path.removesuffix(".txt").replace("_", " ")
        found += [Text(f"{title}: {part.title}", part.text) for part in cut_at(BOOK_CHAPTER, corpus, path, body[1])]
    return _drawn(found)


def wikitext2(corpus: Corpus, language: str) -> Splits[Text]:
    """Articles below " = Title = "; words are set apart by spaces, rare ones are <unk>."""
    return {"validation": cut_at(HEADING, corpus)}


def cut_at(heading: re.Pattern[str], corpus: Corpus, path: str | None = None, text: str | None = None) -> list[Text]:
    """The text below each heading; what stands before the first (a title, a list of contents) is left out."""
    text = corpus.text(path) if text is None else text
    matches = list(heading.finditer(text))
    if not matches:
        raise DataError(f"{place_of(corpus, path)}:1: headings like {heading.pattern!r} are expected; there is none")
    ends = [*(match.start() for match in matches[1:]), len(text)]
    parts = [
        Text(match[match.lastindex or 0].strip(), text[match.end() : end].strip())
        for match, end in zip(matches, ends, strict=True)
    ]
    return [part for part in parts if part.text]


def chinese_poetry(corpus: Corpus, language: str) -> Splits[Text]:
    """JSON lists of poems; the lines of a poem are `paragraphs` or `content`, its title `title` or `rhythmic`."""
    found = []
    for path in corpus.files:
        for i, poem in enumerate(json_document(corpus, path)):
            place = f"{place_of(corpus, path)}: entry {i}"
            lines = "content" if isinstance(poem, dict) and "content" in poem else "paragraphs"
            title = "rhythmic" if isinstance(poem, dict) and "rhythmic" in poem else "title"
            verses = texts(field(poem, lines, list, place), place)
            found.append(Text(field(poem, title, str, place), "\n".join(verses)))
    return _drawn(found)


def chinese_classics(corpus: Corpus, language: str) -> Splits[Text]:
    """JSON: lists of chapters with `paragraphs`, or an object whose `content` holds such lists."""
    return _drawn([text for path in corpus.files for text in _chapters(json_document(corpus, path), path, corpus)])


def _chapters(value: Any, path: str, corpus: Corpus) -> list[Text]:
    if isinstance(value, list):
        return [text for part in value for text in _chapters(part, path, corpus)]
    place = place_of(corpus, path)
    if isinstance(value, dict) and "content" in value:
        return _chapters(field(value, "content", list, place), path, corpus)
    title = field(value, "chapter", str, place)
    return [Text(title, "\n".join(texts(field(value, "paragraphs", list, f"{place}: {title}"), place)))]


def hongloumeng(corpus: Corpus, language: str) -> Splits[Text]:
    """One file, the chapters below lines 第…回."""
    return _drawn(cut_at(NOVEL_CHAPTER, corpus))


def _drawn(found: list[Text]) -> Splits[Text]:
    return seeded_split(found, lambda part: [part.text])


READERS: dict[str, Reader[Text]] = {
    "tiny_shakespeare": tiny_shakespeare,
    "gutenberg_books": gutenberg_books,
    "wikitext2": wikitext2,
    "chinese_poetry": chinese_poetry,
    "chinese_classics": chinese_classics,
    "hongloumeng": hongloumeng,
}
