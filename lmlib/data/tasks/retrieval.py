"""Questions that are asked often, and their answers: what a search is to find. All are for testing."""

from dataclasses import dataclass

from lmlib.data.registry import Corpus
from lmlib.data.tasks.formats import comma_table
from lmlib.data.tasks.splits import Reader, Splits, read

COLUMNS = ("question", "answer", "link", "name", "source", "category", "last_update")


@dataclass(frozen=True)
class Faq:
    """A question, its answer, and what both are about."""

    question: str
    answer: str
    topic: str


def load(name: str) -> Splits[Faq]:
    """The questions of cdc_faq, as of March 2020: no health advice. Raises DataError for another name."""
    return read(READERS, name, None)


def cdc_faq(corpus: Corpus, language: str) -> Splits[Faq]:
    """CSV; answers have several lines."""
    rows = comma_table(corpus, "faq_cdc.csv", COLUMNS)
    return {
        "test": [
            Faq(question.strip(), answer.strip(), topic.strip()) for _, (question, answer, _, _, _, topic, _) in rows
        ]
    }


READERS: dict[str, Reader[Faq]] = {"cdc_faq": cdc_faq}
