"""Pairs of texts or words and how alike people find them.

The splits are those of the sources; covid_question_similarity and wordsim353 are made for testing.
"""

from dataclasses import dataclass

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus
from lmlib.data.tasks.formats import comma_table, lines, number
from lmlib.data.tasks.splits import FILE_PARTS, Reader, Splits, read


@dataclass(frozen=True)
class ScoredPair:
    """Two texts and a score: 0 to 5 in stsb_images, 0 or 1 in covid_question_similarity, 0 to 10 in wordsim353."""

    first: str
    second: str
    score: float


def load(name: str, language: str | None = None) -> Splits[ScoredPair]:
    """The pairs of a corpus of READERS, in the first language it has or another. Raises DataError."""
    return read(READERS, name, language)


def stsb_images(corpus: Corpus, language: str) -> Splits[ScoredPair]:
    """CSV without a header; zh and de are translated by machine."""
    columns = ("sentence1", "sentence2", "score")
    return {
        split: [
            ScoredPair(first, second, number(score, 0, 5, place))
            for place, (first, second, score) in comma_table(
                corpus, f"stsb-images-{language}-{part}.csv", columns, header=False
            )
        ]
        for split, part in FILE_PARTS.items()
    }


def covid_question_similarity(corpus: Corpus, language: str) -> Splits[ScoredPair]:
    """CSV: two questions, and 1 where they ask for the same."""
    path, columns = f"eval_question_similarity_{language}.csv", ("question_1", "question_2", "similar")
    return {
        "test": [
            ScoredPair(first.strip(), second.strip(), number(score, 0, 1, place))
            for place, (first, second, score) in comma_table(corpus, path, columns)
        ]
    }


def wordsim353(corpus: Corpus, language: str) -> Splits[ScoredPair]:
    """Two words and the mean of what people scored, by tabs; comments start with #."""
    found = []
    for place, line in lines(corpus, "wordsim353.tsv"):
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != 3:
            raise DataError(f"{place}: two words and a score are expected; got {len(fields)} fields")
        found.append(ScoredPair(fields[0], fields[1], number(fields[2], 0, 10, place)))
    return {"test": found}


READERS: dict[str, Reader[ScoredPair]] = {
    "stsb_images": stsb_images,
    "covid_question_similarity": covid_question_similarity,
    "wordsim353": wordsim353,
}
