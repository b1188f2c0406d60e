"""Sentences as tokens: how they are joined into text, what they mention, and what skeleton they have."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from lmlib.data.world import english, lexicon

HELD_OUT_SHARE = 8  # one skeleton in eight is kept for testing
NO_SPACE_BEFORE = frozenset({",", ".", "?", "!", ";", ":", "'s", "”", "'"})
OPENING = frozenset({"“"})
PUNCTUATION = NO_SPACE_BEFORE - {"'s"} | OPENING | frozenset("，。？！；：、（）")


class Token(NamedTuple):
    """A word or mark. `kind`: name, town, place, thing, number, article; else empty. `entity` is what it stands for."""

    text: str
    kind: str = ""
    entity: str = ""


@dataclass(frozen=True)
class Mention:
    """Where a text speaks of an entity: characters start to end. `kind`: person, town, place, thing; or pronoun."""

    start: int
    end: int
    entity: str
    kind: str


@dataclass(frozen=True)
class Sentence:
    """A sentence: its words, its text, its skeleton, and what it mentions (positions count from its own start)."""

    words: tuple[str, ...]
    text: str
    skeleton: str
    mentions: tuple[Mention, ...]
    tags: tuple[str, ...]  # BIO, one a word: PER, LOC, THING


def words(text: str, kind: str = "", entity: str = "") -> list[Token]:
    """Tokens of a phrase whose words are separated by spaces; 's is a word of its own."""
    return [Token(word, kind, entity) for word in text.replace("'s", " 's").split()]


def skeleton(tokens: Iterable[Token], language: str) -> str:
    """What is left of a sentence without its content: closed-class words and punctuation stay.

    A name of a person or town becomes NAME, a number NUM, and every run of other words one _. So two sentences have
    the same skeleton when they differ in names, numbers, nouns, verbs, adjectives and adverbs only, however many.
    """
    closed = lexicon.function_words(language)
    slots: list[str] = []
    before = Token("")
    for token in tokens:
        word = "a" if token.kind == "article" or token.text == "an" else token.text.lower()
        if token.kind in ("name", "town"):
            slot = "NAME"
        elif token.kind == "number":
            slot = "NUM"
        elif word in closed or word in PUNCTUATION:
            slot = word
        else:
            slot = "_"
        of_one_name = slot == "NAME" and token == before._replace(text=token.text)
        if not of_one_name and (slot != "_" or slots[-1:] != ["_"]):
            slots.append(slot)
        before = token
    return " ".join(slots)


def held_out(pattern: str) -> bool:
    """Whether a skeleton is kept for testing: by its CRC-32, so that no list is needed and no seed moves it."""
    return crc32(pattern.encode()) % HELD_OUT_SHARE == 0


def sentence(tokens: list[Token], language: str) -> Sentence:
    """Join tokens into a sentence. In English: spaces, a or an, a capital first; in Chinese nothing between words."""
    tokens = [token for token in tokens if token.text]
    pattern = skeleton(tokens, language)
    if language == "en":
        tokens = _capital(_articles(tokens))
    text, spans = _join(tokens, language)
    return Sentence(
        tuple(token.text for token in tokens),
        text,
        pattern,
        tuple(_mentions(tokens, spans, language)),
        tuple(_tags(tokens, language)),
    )


def _articles(tokens: list[Token]) -> list[Token]:
    following = [*tokens[1:], Token("")]
    return [
        token._replace(text=english.article(after.text)) if token.kind == "article" else token
        for token, after in zip(tokens, following, strict=True)
    ]


def _capital(tokens: list[Token]) -> list[Token]:
    """The first word, and the first of direct speech, with a capital."""
    capital = True
    done: list[Token] = []
    for token in tokens:
        opens_speech = token.text in OPENING and done[-1:] and done[-1].text == ":"
        if capital and token.text not in PUNCTUATION:
            token = token._replace(text=token.text[0].upper() + token.text[1:])
        capital = (capital and token.text in PUNCTUATION) or opens_speech or token.text in (".", "?", "!")
        done.append(token)
    return done


def _join(tokens: list[Token], language: str) -> tuple[str, list[tuple[int, int]]]:
    text, spans, glue = "", [], True
    for token in tokens:
        if language == "en" and not glue and token.text not in NO_SPACE_BEFORE:
            text += " "
        spans.append((len(text), len(text) + len(token.text)))
        text += token.text
        glue = token.text in OPENING
    return text, spans


ENTITY_KINDS = {"name": "person", "town": "town", "place": "place", "thing": "thing", "pronoun": "pronoun"}
TAGS = {"name": "PER", "town": "LOC", "place": "LOC", "thing": "THING"}


def _mentions(tokens: list[Token], spans: list[tuple[int, int]], language: str) -> Iterable[Mention]:
    """One mention a name; only in English does a name have several words."""
    start = 0
    while start < len(tokens):
        end = start + 1
        if tokens[start].entity:
            while language == "en" and end < len(tokens) and tokens[end][1:] == tokens[start][1:]:
                end += 1
            first = tokens[start]
            yield Mention(spans[start][0], spans[end - 1][1], first.entity, ENTITY_KINDS.get(first.kind, "thing"))
        start = end


def _tags(tokens: list[Token], language: str) -> Iterable[str]:
    before = Token("")
    for token in tokens:
        tag = TAGS.get(token.kind, "")
        yield "O" if not tag else f"I-{tag}" if language == "en" and token[1:] == before[1:] else f"B-{tag}"
        before = token
