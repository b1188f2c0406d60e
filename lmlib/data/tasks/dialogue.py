"""Talks between a person who wants something and an assistant. The part for validating is there, no other."""

from dataclasses import dataclass
from typing import Any

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus
from lmlib.data.tasks.formats import field, parsed, texts, zipped_text
from lmlib.data.tasks.splits import Reader, Splits, read

SPEAKERS = {"usr": "user", "sys": "system"}


@dataclass(frozen=True)
class Act:
    """What a turn does: an intent (Inform, Request ...) in a domain (a restaurant ...), with a slot and its value."""

    intent: str
    domain: str
    slot: str
    value: str


@dataclass(frozen=True)
class Turn:
    """What "user" or "system" says, and what that does."""

    speaker: str
    text: str
    acts: tuple[Act, ...]


@dataclass(frozen=True)
class Dialogue:
    """The turns, and what the user was told to get."""

    id: str
    task: tuple[str, ...]
    turns: tuple[Turn, ...]


def load(name: str) -> Splits[Dialogue]:
    """The dialogues of crosswoz, in Chinese. Raises DataError for another name."""
    return read(READERS, name, None)


def crosswoz(corpus: Corpus, language: str) -> Splits[Dialogue]:
    """A zip file with a JSON object: id → dialogue."""
    place, text = zipped_text(corpus, "val.json.zip", "val.json")
    dialogues = parsed(text, place)
    if not isinstance(dialogues, dict):
        raise DataError(f"{place}:1: an object is expected; got {str(dialogues)[:60]}")
    return {"validation": [_dialogue(key, row, f"{place}: {key}") for key, row in dialogues.items()]}


def _dialogue(key: str, row: Any, place: str) -> Dialogue:
    task = texts(field(row, "task description", list, place), place)
    turns = [_turn(turn, f"{place}, turn {i}") for i, turn in enumerate(field(row, "messages", list, place))]
    return Dialogue(key, task, tuple(turns))


def _turn(row: Any, place: str) -> Turn:
    role = field(row, "role", str, place)
    if role not in SPEAKERS:
        raise DataError(f"{place}: the role must be usr or sys; it is {role!r}")
    acts = [texts(act, place) for act in field(row, "dialog_act", list, place)]
    wrong = [act for act in acts if len(act) != 4]
    if wrong:
        raise DataError(f"{place}: an act has an intent, a domain, a slot and a value; got {wrong[0]}")
    return Turn(SPEAKERS[role], field(row, "content", str, place), tuple(Act(*act) for act in acts))


READERS: dict[str, Reader[Dialogue]] = {"crosswoz": crosswoz}
