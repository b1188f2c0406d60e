"""Questions whose answer is a span of a text.

Both corpora have one part, made for testing or trying: the splits are drawn, and all questions on an article stay
together. Those of xquad are the same in every language.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus
from lmlib.data.tasks.formats import field, json_document, place_of
from lmlib.data.tasks.splits import Reader, Splits, read, seeded_split


@dataclass(frozen=True)
class Answer:
    """A span of the context: context[start : start + len(text)] == text."""

    text: str
    start: int


@dataclass(frozen=True)
class Question:
    """A question, the text that answers it, and the accepted answers; none where the text does not say."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...]
    article: str = ""


def load(name: str, language: str | None = None) -> Splits[Question]:
    """The questions of xquad (en, zh, de) or cmrc2018 (zh). Raises DataError for another name or language."""
    return read(READERS, name, language)


def xquad(corpus: Corpus, language: str) -> Splits[Question]:
    """SQuAD's JSON. An article is its number, for the paragraphs of xquad bear no titles."""
    questions = list(squad(json_document(corpus, f"xquad.{language}.json"), place_of(corpus, f"xquad.{language}.json")))
    return seeded_split(questions, lambda record: [record.article])


def cmrc2018(corpus: Corpus, language: str) -> Splits[Question]:
    """SQuAD's JSON. Where a stated start is wrong (5 questions), the nearest place that has the answer is taken."""
    document = json_document(corpus, "cmrc2018_trial.json")
    questions = list(squad(document, place_of(corpus, "cmrc2018_trial.json"), repair=True))
    return seeded_split(questions, lambda record: [record.article])


def squad(document: Any, place: str, repair: bool = False) -> Iterator[Question]:
    """The questions of a file in the format of SQuAD 1.1 and 2.0. Raises DataError that names the record."""
    for i, article in enumerate(field(document, "data", list, place)):
        for j, paragraph in enumerate(field(article, "paragraphs", list, f"{place}: data[{i}]")):
            where = f"{place}: data[{i}].paragraphs[{j}]"
            context = field(paragraph, "context", str, where)
            for k, row in enumerate(field(paragraph, "qas", list, where)):
                at = f"{where}.qas[{k}]"
                key, question = (field(row, name, str, at) for name in ("id", "question"))
                answers = tuple(_answer(one, context, at, repair) for one in field(row, "answers", list, at))
                yield Question(key, question, context, answers, str(article.get("title", i)))


def _answer(row: Any, context: str, place: str, repair: bool) -> Answer:
    text, start = field(row, "text", str, place), field(row, "answer_start", int, place)
    if not text:
        raise DataError(f"{place}: an answer is empty")
    if context[start : start + len(text)] != text:
        places = [i for i in range(len(context)) if context.startswith(text, i)]
        if not repair or not places:
            found = context[max(start, 0) : start + len(text)]
            raise DataError(f"{place}: the answer {text[:40]!r} must stand at {start}; there is {found[:40]!r}")
        start = min(places, key=lambda i: abs(i - start))
    return Answer(text, start)


READERS: dict[str, Reader[Question]] = {"xquad": xquad, "cmrc2018": cmrc2018}
