"""What a sentence means, before it is put into words: clauses with roles, and ways of joining them."""

from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources

from lmlib.data.world.lexicon import Adjective, Noun, Phrase, Verb
from lmlib.data.world.truth import Person, Place, Thing

# Frames of what is always so of a person or thing, rather than what happens.
LASTING = {"live", "work_at", "like", "own", "be_a", "describe", "aged", "regard"}


@dataclass(frozen=True)
class Quality:
    """A predicate: an adjective, with a degree word where it takes one."""

    adjective: Adjective
    degree: Phrase | None = None


@dataclass(frozen=True)
class Crowd:
    """Several people without names: three travellers, many villagers."""

    noun: Noun
    count: Phrase


@dataclass(frozen=True)
class Topic:
    """A noun for what it stands for, not a thing: a subject of study, a topic, an illness, a part of the body."""

    noun: Noun


@dataclass(frozen=True)
class Coins:
    """A sum of money, in coins."""

    n: int


@dataclass(frozen=True)
class Both:
    """Two people who do something together."""

    people: tuple[Person, Person]


@dataclass(frozen=True)
class PartOf:
    """A part of a thing: the handle of the lamp."""

    part: Noun
    thing: Thing


@dataclass(frozen=True)
class Wh:
    """What a question asks for: 'person', 'thing', 'place' or 'time'."""

    kind: str


@dataclass(frozen=True)
class Clause:
    """One event or state. `roles`: S subject, O object, R recipient, P place, K container, A quality, C content, ..."""

    frame: str
    verb: Verb
    roles: tuple[tuple[str, object], ...]
    tense: str = "past"  # past, present, future, progressive
    negated: bool = False
    opener: Phrase | None = None
    day: Phrase | None = None
    time: Phrase | None = None
    manner: Phrase | None = None
    frequency: Phrase | None = None
    place: Place | None = None
    companion: Person | None = None
    name_town: bool = False  # say in which town the place is
    introduce: str = ""  # an apposition to the subject: trade, town or trait

    def __getitem__(self, role: str) -> object:
        return dict(self.roles).get(role)

    @property
    def lasts(self) -> bool:
        """Whether this is always so, rather than something that happens once."""
        return self.frame in LASTING or self.frequency is not None

    def with_role(self, role: str, value: object) -> "Clause":
        """The clause with one role filled anew."""
        return replace(self, roles=tuple((dict(self.roles) | {role: value}).items()))

    def bare(self) -> "Clause":
        """The clause without opener, day and apposition: for use inside another sentence."""
        return replace(self, opener=None, day=None, introduce="")


@dataclass(frozen=True)
class Joined:
    """Two clauses in one sentence. `relation`: and, then, after, before, when, because, although, so, while, who."""

    relation: str
    first: Clause
    second: Clause


@dataclass(frozen=True)
class Said:
    """A pattern said in both languages, with roles: for what is not a plain clause (greetings, headlines, verdicts).

    Each language has one or several patterns, tuples of words and roles; the one of a sentence is drawn.
    """

    en: tuple[tuple[str, ...], ...]
    zh: tuple[tuple[str, ...], ...]
    roles: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class Question:
    """A question about a clause: the role that is asked for is a Wh there, or `yes_no`."""

    clause: Clause
    role: str


Plan = Clause | Joined | Said | Question


def clauses_of(plans: list[Plan]) -> list[Clause]:
    """Every clause that the plans state, in order."""
    found: list[Clause] = []
    for plan in plans:
        if isinstance(plan, Joined):
            found += [plan.first, plan.second]
        elif isinstance(plan, Clause):
            found.append(plan)
    return found


@dataclass
class Discourse:
    """What has been mentioned, as far as the next sentence needs it for pronouns and articles."""

    known: frozenset[str] = frozenset()
    focus: tuple[Person, ...] = ()  # the people of the sentence before
    here: tuple[Person, ...] = ()  # the people of this sentence so far
    thing: Thing | None = None  # the one thing of the sentence before
    things_here: tuple[Thing, ...] = ()
    speaker: Person | None = None
    hearer: Person | None = None
    subject: Person | None = None  # of the clause that is being said

    def copy(self) -> "Discourse":
        return replace(self)

    def next_sentence(self) -> None:
        """Close the sentence: its people and its one thing become the focus."""
        self.focus = self.here or self.focus[:0]
        self.thing = self.things_here[0] if len(self.things_here) == 1 else None
        self.here, self.things_here, self.subject = (), (), None

    def mention(self, person: Person) -> None:
        self.known |= {person.id}
        if person not in self.here:
            self.here += (person,)

    def mention_thing(self, thing: Thing) -> None:
        self.known |= {thing.id}
        if thing not in self.things_here:
            self.things_here += (thing,)

    def opens(self, person: Person) -> bool:
        """Whether a person is the first of this sentence: as a later subject 'she' is then read as her."""
        return self.here[:1] == (person,) and person not in (self.speaker, self.hearer)

    def pronoun_is_clear(self, person: Person) -> bool:
        """Whether 'he' or 'she' can only be this person: of those in this sentence, else in the one before too."""
        lately = self.here if person in self.here else self.focus + self.here
        return person in lately and all(other.female != person.female for other in lately if other != person)


@dataclass(frozen=True)
class Frame:
    """The patterns of a frame, each a tuple of words, roles and ~."""

    en: tuple[tuple[str, ...], ...] = field(default=())
    zh: tuple[tuple[str, ...], ...] = field(default=())


def frames() -> dict[str, Frame]:
    """The frames of frames.txt by name: how a clause goes on after its subject."""
    return _wordings("frames.txt")


def said(name: str, **roles: object) -> Said:
    """The sentence of patterns.txt with that name, with its roles filled."""
    found = _wordings("patterns.txt")[name]
    return Said(found.en, found.zh, tuple(roles.items()))


def leads(use: str, language: str) -> list[str]:
    """The phrases of leads.txt for a use: told, spoken, question, answer."""
    return [" ".join(phrase) for phrase in getattr(_wordings("leads.txt")[use], language)]


@cache
def _wordings(file: str) -> dict[str, Frame]:
    text = (resources.files("lmlib.data.world") / file).read_text("utf-8")
    found: dict[str, Frame] = {}
    name = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            name = line.strip()
            found[name] = Frame()
        else:
            language, *words = line.split()
            found[name] = replace(found[name], **{language: (*getattr(found[name], language), tuple(words))})
    return found
