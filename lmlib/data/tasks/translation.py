"""Sentences and their translations.

tatoeba_en_zh has no splits: they are drawn, and pairs that share a sentence stay together. ntrex128 is made for
testing: all of it is "test". sib200 has the splits of its source.
"""

from dataclasses import dataclass

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus, corpora
from lmlib.data.registry import load as load_corpus
from lmlib.data.tasks.formats import lines, place_of, tab_table
from lmlib.data.tasks.splits import FILE_PARTS, Splits, seeded_split

NTREX = {
    "en": "newstest2019-src.eng.txt",
    "de": "newstest2019-ref.deu.txt",
    "zh": "newstest2019-ref.zho-CN.txt",
}
SIB = {"en": "eng_Latn", "zh": "zho_Hans", "de": "deu_Latn"}


@dataclass(frozen=True)
class SentencePair:
    """A sentence and the same in another language."""

    source: str
    target: str


def load(name: str, source: str = "en", target: str = "zh") -> Splits[SentencePair]:
    """The pairs of tatoeba_en_zh, ntrex128 or sib200, from language `source` to `target` (en, zh, de).

    Raises DataError for another name or a language that the corpus has not.
    """
    readers = {"tatoeba_en_zh": tatoeba, "ntrex128": ntrex, "sib200": sib}
    if name not in readers:
        raise DataError(f"no corpus {name!r} is read for this task; there are: {', '.join(readers)}")
    languages = corpora()[name].languages
    if source == target or {source, target} - set(languages):
        raise DataError(f"{name}: two of the languages {', '.join(languages)} are needed; got {source!r}, {target!r}")
    return readers[name](load_corpus(name), source, target)


def tatoeba(corpus: Corpus, source: str, target: str) -> Splits[SentencePair]:
    """English, Chinese (both scripts) and who wrote them, by tabs."""
    sides = [dict(zip(("en", "zh"), row, strict=False)) for _, row in tab_table(corpus, "cmn.txt", ("en", "zh", "by"))]
    pairs = [SentencePair(side[source], side[target]) for side in sides]
    # the split is the same in both directions: the keys are in the order of the file
    return seeded_split(pairs, lambda pair: _keys(pair, source))


def _keys(pair: SentencePair, source: str) -> tuple[str, str]:
    english, chinese = (pair.source, pair.target) if source == "en" else (pair.target, pair.source)
    return f"en {english}", f"zh {chinese}"


def ntrex(corpus: Corpus, source: str, target: str) -> Splits[SentencePair]:
    """One sentence a line; line n of every file is the same sentence."""
    sides = [[line for _, line in lines(corpus, NTREX[language])] for language in (source, target)]
    if len(sides[0]) != len(sides[1]):
        raise DataError(
            f"{place_of(corpus, NTREX[target])}:{len(sides[1])}: as many lines as in {NTREX[source]} are expected, "
            f"{len(sides[0])}"
        )
    return {"test": [SentencePair(*pair) for pair in zip(*sides, strict=True)]}


def sib(corpus: Corpus, source: str, target: str) -> Splits[SentencePair]:
    """Sentences with an index, which is the same in every language."""
    return {split: _sib_part(corpus, part, source, target) for split, part in FILE_PARTS.items()}


def _sib_part(corpus: Corpus, part: str, source: str, target: str) -> list[SentencePair]:
    columns = ("index_id", "category", "text")
    path = f"{SIB[target]}/{part}.tsv"
    ours, theirs = (
        {index: text for _, (index, _, text) in tab_table(corpus, f"{SIB[language]}/{part}.tsv", columns, header=True)}
        for language in (source, target)
    )
    if ours.keys() != theirs.keys():
        raise DataError(f"{place_of(corpus, path)}:1: the same index_id as in {SIB[source]} are expected")
    return [SentencePair(text, theirs[index]) for index, text in ours.items()]
