"""Questions a : b = c : ? for word vectors. All are for testing. Source: Mikolov et al. 2013; Chen et al. 2015."""

from collections.abc import Iterator
from dataclasses import dataclass

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus
from lmlib.data.tasks.formats import lines
from lmlib.data.tasks.splits import Reader, Splits, read


@dataclass(frozen=True)
class Analogy:
    """Words (a, b, c, d): a is to b as c is to d. `section` is the kind of relation."""

    section: str
    words: tuple[str, str, str, str]


def load(name: str) -> Splits[Analogy]:
    """The questions of word_analogy or word_analogy_zh. Raises DataError for another name."""
    return read(READERS, name, None)


def questions(corpus: Corpus, language: str) -> Splits[Analogy]:
    """ ": section" lines, each before its questions of four words a line."""
    return {"test": [analogy for path in corpus.files for analogy in _part(corpus, path)]}


def _part(corpus: Corpus, path: str) -> Iterator[Analogy]:
    section = ""
    for place, line in lines(corpus, path):
        words = line.split()
        if line.startswith(":") and len(words) == 2:
            section = words[1]
        elif len(words) == 4 and section:
            yield Analogy(section, (words[0], words[1], words[2], words[3]))
        elif words:
            raise DataError(f"{place}: ': section', or four words after one, is expected; got {line[:60]!r}")


READERS: dict[str, Reader[Analogy]] = {"word_analogy": questions, "word_analogy_zh": questions}
