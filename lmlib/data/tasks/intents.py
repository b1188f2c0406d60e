"""The queries of snips_nlu, which classification reads for their intent and tagging for their slots."""

from dataclasses import dataclass

from lmlib.data.registry import Corpus
from lmlib.data.tasks.formats import field, json_document, place_of

INTENTS = (
    *("AddToPlaylist", "BookRestaurant", "GetWeather", "PlayMusic"),
    *("RateBook", "SearchCreativeWork", "SearchScreeningEvent"),
)


@dataclass(frozen=True)
class Query:
    """What is intended, and the query as pieces of text, each with its slot or none."""

    intent: str
    pieces: tuple[tuple[str, str | None], ...]


def queries(corpus: Corpus) -> dict[str, list[Query]]:
    """A JSON object for each intent and split: intent → list of {data: list of {text, entity}}."""
    return {
        split: [query for intent in INTENTS for query in _part(corpus, f"{part}_{intent}.json", intent)]
        for split, part in {"train": "train", "validation": "validate"}.items()
    }


def _part(corpus: Corpus, path: str, intent: str) -> list[Query]:
    place = place_of(corpus, path)
    found = []
    for i, row in enumerate(field(json_document(corpus, path), intent, list, place)):
        where = f"{place}: {intent}[{i}]"
        pieces = field(row, "data", list, where)
        found.append(Query(intent, tuple((field(piece, "text", str, where), piece.get("entity")) for piece in pieces)))
    return found
