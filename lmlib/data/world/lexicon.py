"""The words of the small world: nouns by kind, verbs by frame, adjectives, adverbs, names; from words/*.txt."""

from dataclasses import dataclass
from functools import cache
from importlib import resources

GOODS = ("tool", "household", "container", "furniture", "toy", "instrument", "clothing", "jewel")


@dataclass(frozen=True)
class Noun:
    """A noun with its Chinese word and measure word. `place` is where a trade is carried on."""

    kind: str
    en: str
    zh: str
    measure: str
    uncountable: bool = False
    plural_only: bool = False
    preposition: str = "at"
    place: str = ""
    played: str = ""  # the Chinese verb for playing this instrument


@dataclass(frozen=True)
class Verb:
    """A verb of a frame. `objects` are kinds or nouns that it may be said of; none means any of the frame."""

    frame: str
    en: str
    particle: str
    zh: str
    objects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Adjective:
    """An adjective; `degree` says whether 'very' goes with it, `polarity` is 1, -1 or 0."""

    en: str
    zh: str
    degree: bool
    polarity: int = 0


@dataclass(frozen=True)
class Phrase:
    """An adverb, adverbial or name: the same in every sentence."""

    en: str
    zh: str


@cache
def _entries(file: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(section header, fields) of every entry of a file of words."""
    header = ""
    found = []
    text = (resources.files("lmlib.data.world") / "words" / file).read_text("utf-8")
    for line in text.splitlines():
        if line.startswith("["):
            header = line.strip("[]")
        elif line and not line.startswith("#"):
            for entry in line.split(";"):
                found.append((header, tuple(entry.split())))
    return tuple(found)


def _spaced(word: str) -> str:
    return word.replace("_", " ")


def _noun(header: str, fields: tuple[str, ...]) -> Noun:
    kind, default_measure = header.split()
    zh, _, measure = fields[1].partition("/")
    flags = fields[2:]
    values = {flag[0]: flag[1:] for flag in flags if flag[0] in "@v" and len(flag) > 1}
    return Noun(
        kind,
        _spaced(fields[0]),
        zh,
        measure or default_measure,
        "u" in flags,
        "p" in flags,
        next((flag for flag in flags if flag in ("in", "on", "by")), "at"),
        _spaced(values.get("@", "")),
        values.get("v", "").lstrip("="),
    )


@cache
def nouns(kind: str) -> tuple[Noun, ...]:
    """The nouns of a kind, in the order of the file."""
    return tuple(noun for noun in all_nouns() if noun.kind == kind)


@cache
def all_nouns() -> tuple[Noun, ...]:
    return tuple(_noun(header, fields) for header, fields in _entries("nouns.txt"))


def noun(kind: str, en: str) -> Noun:
    """The noun of that kind with that English word; KeyError names what is missing."""
    for entry in nouns(kind):
        if entry.en == en:
            return entry
    raise KeyError(f"no noun '{en}' of kind '{kind}' in the lexicon")


@cache
def verbs(frame: str) -> tuple[Verb, ...]:
    """The verbs of a frame."""
    return tuple(verb for verb in all_verbs() if verb.frame == frame)


@cache
def all_verbs() -> tuple[Verb, ...]:
    return tuple(_verb(frame, fields) for frame, fields in _entries("verbs.txt"))


def _verb(frame: str, fields: tuple[str, ...]) -> Verb:
    en, _, particle = fields[0].partition("_")
    objects = [kind for field in fields[2:] for kind in (GOODS if field == "goods" else (field,))]
    return Verb(frame, en, _spaced(particle), fields[1], tuple(map(_spaced, objects)))


def fits(verb: Verb, thing: Noun) -> bool:
    """Whether the verb may be said of the noun."""
    return not verb.objects or thing.kind in verb.objects or thing.en in verb.objects


@cache
def verbs_for(frame: str, thing: Noun) -> tuple[Verb, ...]:
    """The verbs of a frame that fit a noun."""
    return tuple(verb for verb in verbs(frame) if fits(verb, thing))


@cache
def objects_of(verb: Verb) -> tuple[Noun, ...]:
    """Every noun that the verb may be said of, by kind or by name; kinds first."""
    return tuple(entry for entry in all_nouns() if entry.kind in verb.objects or entry.en in verb.objects)


@cache
def adjectives(kind: str, noun: str = "") -> tuple[Adjective, ...]:
    """The adjectives that may describe nouns of a kind, and those for this noun alone."""
    wanted = {kind, noun.replace(" ", "_") or kind}
    entries = [(header, fields) for header, fields in _entries("adjectives.txt") if header not in SORTS]
    return tuple(_adjective(fields) for header, fields in entries if wanted & set(header.split()))


SORTS = ("opinion_or_state", "size", "age", "shape", "colour", "origin", "material")


@cache
def sort_of(adjective: str) -> int:
    """What sort of quality an adjective names, by its place in English word order: size before age before colour."""
    for header, fields in _entries("adjectives.txt"):
        if header in SORTS and _spaced(fields[0]) == adjective:
            return SORTS.index(header)
    return 0


def _adjective(fields: tuple[str, ...]) -> Adjective:
    zh = fields[1]
    polarity = ("+" in zh) - ("-" in zh)
    return Adjective(_spaced(fields[0]), zh.strip("!+-"), "!" not in zh, polarity)


@cache
def phrases(use: str) -> tuple[Phrase, ...]:
    """The adverbs of a use: manner, frequency, opener, time, degree, day, future_day."""
    return _phrases("adverbs.txt", use)


@cache
def names(kind: str) -> tuple[Phrase, ...]:
    """Names of women, men or towns."""
    return _phrases("names.txt", kind)


def _phrases(file: str, section: str) -> tuple[Phrase, ...]:
    return tuple(Phrase(_spaced(fields[0]), fields[1]) for header, fields in _entries(file) if header == section)


@cache
def function_words(language: str) -> frozenset[str]:
    """The closed-class words of a language: they stay in a sentence's skeleton."""
    entries = _entries("function_words.txt")
    return frozenset(word for header, fields in entries if header == language for word in fields)


@cache
def sized(size: str) -> frozenset[str]:
    """The nouns of a size: bulky, tiny, small_container."""
    return frozenset(_spaced(fields[0]) for header, fields in _entries("sizes.txt") if header == size)
