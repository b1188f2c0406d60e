"""What measures of bias are made with: word lists, pairs of sentences, sentences whose pronoun is to be resolved.

These sets hold offensive sentences by design. All are for testing; WinoBias has a part for validating, too.
"""

import re
from dataclasses import dataclass
from typing import Any

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus, load
from lmlib.data.tasks.formats import comma_table, field, json_document, lines, number, place_of, tab_table, texts
from lmlib.data.tasks.splits import Splits

GENDERS = {
    **dict.fromkeys(("she", "her", "hers", "herself"), "female"),
    **dict.fromkeys(("he", "him", "his", "himself"), "male"),
}
CROWS_COLUMNS = (
    *("", "sent_more", "sent_less", "stereo_antistereo", "bias_type"),
    *("annotations", "anon_writer", "anon_annotators"),
)


def weat(corpus: Corpus | None = None) -> dict[str, tuple[str, ...]]:
    """The word lists of the Word Embedding Association Test by name. Source: Caliskan et al. 2017."""
    corpus = corpus or load("weat")
    place = place_of(corpus, "WEAT.json")
    lists = json_document(corpus, "WEAT.json")
    return {name: texts(field(lists, name, list, place), f"{place}: {name}") for name in lists}


@dataclass(frozen=True)
class Profession:
    """How far the word itself has a gender, and how far a stereotype gives it one: -1 female, 1 male."""

    word: str
    definitional: float
    stereotype: float


@dataclass(frozen=True)
class GenderWords:
    """Pairs that define gender (woman, man), pairs to make equal, words that may have a gender, and professions."""

    definitional_pairs: tuple[tuple[str, str], ...]
    equalize_pairs: tuple[tuple[str, str], ...]
    gender_specific: tuple[str, ...]
    professions: tuple[Profession, ...]


def debiaswe_words(corpus: Corpus | None = None) -> GenderWords:
    """The word lists of Bolukbasi et al. 2016."""
    corpus = corpus or load("debiaswe_words")
    specific, rows = (_json_list(corpus, f"{name}.json") for name in ("gender_specific_seed", "professions"))
    place = place_of(corpus, "professions.json")
    return GenderWords(
        _pairs(corpus, "definitional_pairs.json"),
        _pairs(corpus, "equalize_pairs.json"),
        texts(specific, place_of(corpus, "gender_specific_seed.json")),
        tuple(_profession(row, f"{place}: entry {i}") for i, row in enumerate(rows)),
    )


def _json_list(corpus: Corpus, path: str) -> list[Any]:
    value = json_document(corpus, path)
    if not isinstance(value, list):
        raise DataError(f"{place_of(corpus, path)}:1: a list is expected; got {str(value)[:60]}")
    return value


def _pairs(corpus: Corpus, path: str) -> tuple[tuple[str, str], ...]:
    found = []
    for i, value in enumerate(_json_list(corpus, path)):
        place = f"{place_of(corpus, path)}: entry {i}"
        pair = texts(value, place)
        if len(pair) != 2:
            raise DataError(f"{place}: a pair is expected; got {len(pair)} words")
        found.append((pair[0], pair[1]))
    return tuple(found)


def _profession(row: Any, place: str) -> Profession:
    if not isinstance(row, list) or len(row) != 3 or not isinstance(row[0], str):
        raise DataError(f"{place}: a word and two scores are expected; got {str(row)[:60]}")
    return Profession(row[0], *(number(str(score), -1, 1, place) for score in row[1:]))


@dataclass(frozen=True)
class StereotypePair:
    """Two sentences that differ in the group they speak of; `more` says the stereotype, or what it is against.

    `direction`: "stereo" when `more` says a stereotype of a group that is at a disadvantage, else "antistereo".
    """

    more: str
    less: str
    direction: str
    bias_type: str


def crows_pairs(corpus: Corpus | None = None) -> Splits[StereotypePair]:
    """CrowS-Pairs. Source: Nangia et al. 2020."""
    corpus = corpus or load("crows_pairs")
    found = []
    for place, (_, more, less, direction, kind, *_) in comma_table(corpus, "crows_pairs_anonymized.csv", CROWS_COLUMNS):
        if direction not in ("stereo", "antistereo"):
            raise DataError(f"{place}: stereo or antistereo is expected; got {direction!r}")
        found.append(StereotypePair(more, less, direction, kind))
    return {"test": found}


@dataclass(frozen=True)
class Coreference:
    """A sentence, the person in it that a pronoun means, and the pronouns, the first of which is to be resolved.

    `person` and `pronouns` are places in `text`: text[start:end]. `stereotyped`: the pronoun's gender is the one that
    most people in the occupation have, or the stereotype says. `kind` 1 needs knowledge of the world, 2 syntax alone.
    """

    text: str
    person: tuple[int, int]
    pronouns: tuple[tuple[int, int], ...]
    gender: str
    stereotyped: bool
    kind: int


def winobias(corpus: Corpus | None = None) -> Splits[Coreference]:
    """WinoBias: the same sentences with the pronoun of either gender. Source: Zhao et al. 2018."""
    corpus = corpus or load("winobias")
    return {
        split: [
            _coreference(line, side == "pro", kind, place)
            for kind in (1, 2)
            for side in ("pro", "anti")
            for place, line in lines(corpus, f"{side}_stereotyped_type{kind}.txt.{part}")
            if line.strip()
        ]
        for split, part in {"validation": "dev", "test": "test"}.items()
    }


def winobias_occupations(corpus: Corpus | None = None) -> dict[str, tuple[str, ...]]:
    """Occupations by the gender that most people in them have."""
    corpus = corpus or load("winobias")
    return {
        gender: tuple(line.strip() for _, line in lines(corpus, f"{gender}_occupations.txt") if line.strip())
        for gender in ("female", "male")
    }


def _coreference(line: str, stereotyped: bool, kind: int, place: str) -> Coreference:
    """ "1 [The developer] argued with the designer because [he] ..." """
    index, _, marked = line.strip().partition(" ")
    parts = re.split(r"\[([^\[\]]*)\]", marked)  # outside, inside, outside, inside ... outside
    spans: list[tuple[int, int]] = []
    text = ""
    for i, part in enumerate(parts):
        if i % 2:
            spans.append((len(text), len(text) + len(part.strip())))
            part = part.strip()
        text += part
    words = [text[start:end].lower() for start, end in spans]
    people = [span for span, word in zip(spans, words, strict=True) if word not in GENDERS]
    pronouns = [span for span, word in zip(spans, words, strict=True) if word in GENDERS]
    genders = {GENDERS[word] for word in words if word in GENDERS}
    if not index.isdecimal() or len(people) != 1 or len(genders) != 1:
        raise DataError(f"{place}: a number, one [person] and [pronouns] of one gender are expected; got {line[:80]!r}")
    return Coreference(text, people[0], tuple(pronouns), genders.pop(), stereotyped, kind)


@dataclass(frozen=True)
class WinogenderSentence:
    """A sentence in which a pronoun means the person with the occupation, or the other participant.

    `participant` is "someone" in half of the sentences. `gender`: of the pronoun; male, female or neutral (they).
    """

    text: str
    occupation: str
    participant: str
    means_occupation: bool
    gender: str


def winogender(corpus: Corpus | None = None) -> Splits[WinogenderSentence]:
    """Winogender schemas. Source: Rudinger et al. 2018."""
    corpus = corpus or load("winogender")
    found = []
    for place, (key, text) in tab_table(corpus, "all_sentences.tsv", ("sentid", "sentence"), header=True):
        parts = key.split(".")  # technician.customer.1.male.txt
        if len(parts) != 5 or parts[2] not in ("0", "1") or parts[3] not in ("male", "female", "neutral"):
            raise DataError(f"{place}: occupation.participant.0 or 1.gender.txt is expected; got {key!r}")
        found.append(WinogenderSentence(text, parts[0], parts[1], parts[2] == "0", parts[3]))
    return {"test": found}


def share_of_women(corpus: Corpus | None = None) -> dict[str, float]:
    """Per cent of women in the occupations of Winogender, in the United States in 2015 or 2016."""
    corpus = corpus or load("winogender")
    columns = ("occupation", "bergsma_pct_female", "bls_pct_female", "bls_year")
    rows = tab_table(corpus, "occupations-stats.tsv", columns, header=True)
    return {occupation: number(share, 0, 100, place) for place, (occupation, _, share, _) in rows}
