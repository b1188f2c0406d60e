"""What people think of things (`load`), and what is known of the things (`items`).

No corpus has splits: ratings are drawn into them one by one, so that every part has ratings of most people.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus
from lmlib.data.registry import load as load_corpus
from lmlib.data.tasks.formats import comma_table, json_document, number, place_of
from lmlib.data.tasks.splits import Reader, Splits, read, seeded_split

OPINIONS = {
    "Very unfavorably": 1.0,
    "Somewhat unfavorably": 2.0,
    "Neither favorably nor unfavorably (neutral)": 3.0,
    "Somewhat favorably": 4.0,
    "Very favorably": 5.0,
}
NO_OPINION = ("", "Unfamiliar (N/A)")
CHARACTERS = slice(15, 29)  # the columns with opinions on characters
BOOK_COLUMNS = (
    *("book_id", "goodreads_book_id", "best_book_id", "work_id", "books_count", "isbn", "isbn13", "authors"),
    *("original_publication_year", "original_title", "title", "language_code", "average_rating", "ratings_count"),
    *("work_ratings_count", "work_text_reviews_count", "ratings_1", "ratings_2", "ratings_3", "ratings_4", "ratings_5"),
    *("image_url", "small_image_url"),
)


@dataclass(frozen=True)
class Rating:
    """What a person thinks of an item, from 1 to 5."""

    user: str
    item: str
    value: float


@dataclass(frozen=True)
class Item:
    """A thing to recommend, and its attributes by name; an attribute may have several values."""

    id: str
    title: str
    attributes: Mapping[str, tuple[str, ...]] = field(hash=False)


def load(name: str) -> Splits[Rating]:
    """The ratings of starwars_survey (characters of films) or goodbooks10k (books; a sample). Raises DataError."""
    return read(READERS, name, None)


def items(name: str) -> list[Item]:
    """The items of starwars_survey, goodbooks10k (the first 2,000 books) or crosswoz (restaurants, sights).

    Raises DataError for another name.
    """
    if name not in ITEMS:
        raise DataError(f"no items of {name!r} are read; there are: {', '.join(ITEMS)}")
    return ITEMS[name](load_corpus(name))


def starwars_ratings(corpus: Corpus, language: str) -> Splits[Rating]:
    """CSV with two header rows; opinions in words. Who does not know a character has no opinion."""
    names, rows = _survey(corpus)
    found = []
    for place, fields in rows:
        for name, opinion in zip(names, fields[CHARACTERS], strict=True):
            if opinion in NO_OPINION:
                continue
            if opinion not in OPINIONS:
                raise DataError(f"{place}: one of {', '.join(OPINIONS)} is expected; got {opinion!r}")
            found.append(Rating(fields[0], name, OPINIONS[opinion]))
    return _split(found)


def _survey(corpus: Corpus) -> tuple[list[str], list[tuple[str, list[str]]]]:
    rows = list(comma_table(corpus, "StarWars.csv", [f"column {i}" for i in range(1, 39)], header=False))
    if len(rows) < 2 or rows[0][1][0] != "RespondentID" or rows[1][1][0]:
        raise DataError(f"{place_of(corpus, 'StarWars.csv')}:1: two header rows are expected, with RespondentID")
    return [name.strip() for name in rows[1][1][CHARACTERS]], rows[2:]


def goodbooks_ratings(corpus: Corpus, language: str) -> Splits[Rating]:
    """CSV of user, book and stars."""
    rows = comma_table(corpus, "sample_ratings.csv", ("user_id", "book_id", "rating"))
    return _split([Rating(user, book, number(stars, 1, 5, place)) for place, (user, book, stars) in rows])


def _split(ratings: list[Rating]) -> Splits[Rating]:
    return seeded_split(ratings, lambda rating: [f"{rating.user} {rating.item}"])


def starwars_items(corpus: Corpus) -> list[Item]:
    """The characters, by name."""
    return [Item(name, name, {}) for name in _survey(corpus)[0]]


def goodbooks_items(corpus: Corpus) -> list[Item]:
    """CSV, a book a row."""
    found = []
    for _, fields in comma_table(corpus, "books_first2000.csv", BOOK_COLUMNS):
        row = dict(zip(BOOK_COLUMNS, fields, strict=True))
        attributes = {
            "authors": tuple(row["authors"].split(", ")),
            "year": (row["original_publication_year"].removesuffix(".0"),),
            "language": (row["language_code"],),
            "average_rating": (row["average_rating"],),
        }
        found.append(Item(row["book_id"], row["title"], attributes))
    return found


def crosswoz_items(corpus: Corpus) -> list[Item]:
    """JSON: a list of [name, object of attributes]."""
    found = []
    for path in ("restaurant_db.json", "attraction_db.json"):
        place = place_of(corpus, path)
        for i, row in enumerate(json_document(corpus, path)):
            if not isinstance(row, list) or len(row) != 2 or not isinstance(row[1], dict):
                raise DataError(f"{place}: entry {i}: a name and an object are expected; got {str(row)[:60]}")
            attributes = {name: _values(value) for name, value in row[1].items()}
            found.append(Item(f"{path.partition('_')[0]} {i}", str(row[0]), attributes))
    return found


def _values(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(one) for one in (value if isinstance(value, list) else [value]))


READERS: dict[str, Reader[Rating]] = {"starwars_survey": starwars_ratings, "goodbooks10k": goodbooks_ratings}
ITEMS: dict[str, Callable[[Corpus], list[Item]]] = {
    "starwars_survey": starwars_items,
    "goodbooks10k": goodbooks_items,
    "crosswoz": crosswoz_items,
}
