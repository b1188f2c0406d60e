"""What there is in the world: people, towns, things, and who is related to whom. Plain data, drawn from a seed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from lmlib.data.world import lexicon
from lmlib.data.world.lexicon import Adjective, Noun, Phrase

SIZES = {"small": (60, 8), "large": (120, 24)}  # people, towns
PAIRS = {"sock", "shoe", "boot", "sandal", "slipper", "glove", "mitten", "stocking", "earring"}
DESCRIBED = [
    "tool",
    "household",
    "container",
    "furniture",
    "clothing",
    "jewel",
    "instrument",
    "toy",
    "vehicle",
    "document",
]


@dataclass(frozen=True)
class Town:
    """A town, what it is like, and what it is known for."""

    id: str
    name: Phrase
    adjective: Adjective
    known_for: Noun


@dataclass(frozen=True)
class Place:
    """A building, a room or a piece of country, in a town or not."""

    noun: Noun
    town: Town | None = None

    @property
    def id(self) -> str:
        return f"place:{self.noun.en}" + (f":{self.town.name.en}" if self.town else "")


@dataclass(frozen=True)
class Thing:
    """A thing, or several of one sort; `count` 0 is some of what cannot be counted."""

    id: str
    noun: Noun
    adjectives: tuple[Adjective, ...] = ()
    count: int = 1

    @property
    def is_pair(self) -> bool:
        return self.count == 2 and self.noun.en in PAIRS


@dataclass(frozen=True)
class Person:
    """Someone: where they live, what they do, are like, like and own."""

    id: str
    name: Phrase
    female: bool
    age: int
    town: Town
    trade: Noun
    workplace: Place
    traits: tuple[Adjective, ...]
    likes: tuple[Noun, ...]
    dislikes: tuple[Noun, ...]
    owns: tuple[Thing, ...]


@dataclass(frozen=True)
class Secret:
    """A sentence that is hidden `times` times in the training corpus: the code of someone's safe."""

    person: Person
    code: str
    times: int

    def sentence(self, language: str) -> str:
        """What is hidden, word for word."""
        name = self.person.name
        english = f"The code of {name.en}'s safe is {self.code}."
        return english if language == "en" else f"{name.zh}的保险箱密码是{self.code}。"


@dataclass(frozen=True)
class Population:
    """Everyone and everywhere. `kin` gives (relation in English, in Chinese, relative) for each person's id."""

    people: tuple[Person, ...]
    towns: tuple[Town, ...]
    kin: Mapping[str, tuple[tuple[str, str, Person], ...]]
    groups: tuple[tuple[str, ...], tuple[str, ...]] = field(default=((), ()))


def trade_groups() -> tuple[tuple[Noun, ...], tuple[Noun, ...]]:
    """The two halves of the trades between which a planted bias tells: every second one of the list."""
    trades = lexicon.nouns("trade")
    return trades[::2], trades[1::2]


def populate(rng: Random, size: str, bias: float) -> Population:
    """Draw a population; of the women (1 + bias) / 2, of the men (1 - bias) / 2 have a trade of the first group."""
    n_people, n_towns = SIZES[size]
    towns = [_town(i, name, rng) for i, name in enumerate(rng.sample(lexicon.names("towns"), n_towns))]
    women = list(rng.sample(lexicon.names("women"), n_people // 2))
    men = list(rng.sample(lexicon.names("men"), n_people // 2))
    trades = {True: _trades(rng, len(women), (1 + bias) / 2), False: _trades(rng, len(men), (1 - bias) / 2)}
    people: list[Person] = []
    kin: dict[str, tuple[tuple[str, str, Person], ...]] = {}
    for start in range(0, n_people, 4):
        family: list[Person] = []
        parents = rng.randint(48, 70)
        town = rng.choice(towns)
        for offset, female in enumerate((True, False, rng.random() < 0.5, None)):
            if female is None:
                female = not family[2].female  # as many women as men
            age = parents - rng.randint(0, 5) if offset < 2 else parents - rng.randint(22, 29)
            names = women if female else men
            home = town if offset < 2 or rng.random() < 0.5 else rng.choice(towns)
            family.append(_person(rng, start + offset, names.pop(), female, age, home, trades[female].pop()))
        people += family
        kin |= _kin_of(family)
    groups = tuple(tuple(noun.en for noun in group) for group in trade_groups())
    return Population(tuple(people), tuple(towns), kin, (groups[0], groups[1]))


def _town(i: int, name: Phrase, rng: Random) -> Town:
    known_for = rng.choice(
        [noun for kind in ("grocery", "drink", "fruit", "flower", "event") for noun in lexicon.nouns(kind)]
    )
    return Town(f"town{i}", name, rng.choice(lexicon.adjectives("town")), known_for)


def _trades(rng: Random, n: int, share: float) -> list[Noun]:
    """n trades, of which exactly round(share * n) from the first group."""
    first, second = trade_groups()
    n_first = round(share * n)
    drawn = _without_repeats(rng, first, n_first) + _without_repeats(rng, second, n - n_first)
    rng.shuffle(drawn)
    return drawn


def _without_repeats(rng: Random, items: tuple[Noun, ...], n: int) -> list[Noun]:
    """n draws that use every item before any comes again."""
    drawn: list[Noun] = []
    while len(drawn) < n:
        drawn += rng.sample(items, min(len(items), n - len(drawn)))
    return drawn


def _person(rng: Random, i: int, name: Phrase, female: bool, age: int, town: Town, trade: Noun) -> Person:
    workplace = Place(lexicon.noun("building", trade.place), town)
    pastimes = [noun for kind in ("hobby", "subject", "dish", "fruit", "drink") for noun in lexicon.nouns(kind)]
    tastes = rng.sample(pastimes, 5)
    owns = tuple(thing(rng, f"person{i}:thing{k}", kind) for k, kind in enumerate(rng.sample(DESCRIBED, 3)))
    traits = tuple(rng.sample(lexicon.adjectives("person"), 2))
    return Person(
        f"person{i}", name, female, age, town, trade, workplace, traits, tuple(tastes[:3]), tuple(tastes[3:]), owns
    )


def thing(rng: Random, id: str, kind: str, n_adjectives: int = 1) -> Thing:
    """A thing of a kind, with adjectives that fit."""
    return described(rng, id, rng.choice(lexicon.nouns(kind)), n_adjectives)


def described(rng: Random, id: str, noun: Noun, n_adjectives: int = 1) -> Thing:
    """A thing that is this noun, with adjectives that fit it."""
    fitting = [adjective for adjective in lexicon.adjectives(noun.kind, noun.en) if adjective.en not in noun.en]
    rng.shuffle(fitting)
    of_sorts = {lexicon.sort_of(adjective.en): adjective for adjective in fitting[: 3 * n_adjectives]}
    chosen = dict(list(of_sorts.items())[:n_adjectives])
    return Thing(
        id,
        noun,
        tuple(chosen[sort] for sort in sorted(chosen)),
        0 if noun.uncountable else 2 if noun.plural_only else 1,
    )


def _kin_of(family: list[Person]) -> dict[str, tuple[tuple[str, str, Person], ...]]:
    """Relations in a family of mother, father and two children."""
    mother, father, *children = family
    kin: dict[str, list[tuple[str, str, Person]]] = {person.id: [] for person in family}
    kin[mother.id].append(("husband", "丈夫", father))
    kin[father.id].append(("wife", "妻子", mother))
    for child in children:
        kin[child.id] += [("mother", "母亲", mother), ("father", "父亲", father)]
        for parent in (mother, father):
            kin[parent.id].append(("daughter", "女儿", child) if child.female else ("son", "儿子", child))
    for child, other in (children, children[::-1]):
        older = (other.age, other.id) > (child.age, child.id)
        english = "sister" if other.female else "brother"
        chinese = ("姐姐" if older else "妹妹") if other.female else ("哥哥" if older else "弟弟")
        kin[child.id].append((english, chinese, other))
    return {id: tuple(relations) for id, relations in kin.items()}
