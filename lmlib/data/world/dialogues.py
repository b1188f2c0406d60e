"""Dialogues of two people who buy, ask the way, invite, borrow or tell news; with the goal and how it ended."""

from dataclasses import dataclass
from random import Random

from lmlib.data.world import events, lexicon, scenes, truth
from lmlib.data.world.meaning import Clause, Coins, Plan, Quality, said
from lmlib.data.world.truth import Person, Place, Population, Thing

GOALS = ("buy", "way", "invite", "borrow", "news")


@dataclass(frozen=True)
class Talk:
    """A dialogue as meaning: turns of (speaker, plans), the goal, whether it was reached, and its slots."""

    goal: str
    people: tuple[Person, Person]
    turns: tuple[tuple[Person, tuple[Plan, ...]], ...]
    reached: bool
    slots: dict[str, object]


def talk(rng: Random, population: Population) -> Talk:
    """Draw two people and what the first wants of the second."""
    goal = rng.choice(GOALS)
    first, second = rng.sample(population.people, 2)
    reached = rng.random() < 0.6
    days = [day for day in lexicon.phrases("future_day") if day.en != "soon" and not day.en.startswith("in ")]
    common = {
        "R": rng.choice(lexicon.nouns("kin")),
        "Y": rng.choice(days),
        "T": rng.choice(population.towns),
        "A": rng.choice([one for one in population.people if one not in (first, second)]),
        "Q": Place(rng.choice(lexicon.nouns("building"))),
        "B": first,  # whom the second answers
    }
    body, slots = {"buy": _buy, "way": _way, "invite": _invite, "borrow": _borrow, "news": _news}[goal](
        rng, population, common, reached
    )
    people = (first, second)
    turns: list[tuple[Person, tuple[Plan, ...]]] = [
        (first, (said("talk hello", B=second),)),
        (second, (said("talk hello back", B=first),)),
    ]
    turns += [(people[i % 2], plans) for i, plans in enumerate(body)]
    last = people[len(body) % 2]
    turns.append((last, (said("talk bye", **(common | {"B": second if last is first else first})),)))
    return Talk(goal, people, tuple(turns), reached or goal in ("way", "news"), slots)


Body = tuple[list[tuple[Plan, ...]], dict[str, object]]


def _buy(rng: Random, population: Population, common: dict[str, object], reached: bool) -> Body:
    kind = rng.choice(("tool", "household", "furniture", "clothing", "instrument", "toy", "container", "jewel"))
    noun = rng.choice([noun for noun in lexicon.nouns(kind) if not noun.plural_only and not noun.uncountable])
    thing = truth.described(rng, "talk:thing", noun, 1)
    price = rng.randint(8, 90)
    lower = rng.randint(price // 2, price - 1)
    roles = common | {"X": thing, "K": noun, "N": Coins(price), "M": Coins(lower)}
    answer = said("talk deal" if reached else "talk no deal", **roles)
    body: list[tuple[Plan, ...]] = [(said("talk buy", **roles),), (said("talk offer", **roles),)]
    body += [(said("talk too much", **roles),), (answer,)]
    return body, {"thing": thing.noun.en, "asked": price, "offered": lower, "price": lower if reached else None}


def _way(rng: Random, population: Population, common: dict[str, object], reached: bool) -> Body:
    places = [Place(noun) for noun in rng.sample(lexicon.nouns("building"), 3)]
    roles = common | {"P": places[0], "Q": places[1], "R": places[2], "N": rng.randint(2, 30)}
    body: list[tuple[Plan, ...]] = [(said("talk where", **roles),), (said("talk way", **roles),)]
    return body, {"to": places[0].noun.en, "by": [place.noun.en for place in places[1:]]}


def _invite(rng: Random, population: Population, common: dict[str, object], reached: bool) -> Body:
    event = Thing("talk:event", rng.choice([noun for noun in lexicon.nouns("event") if noun.en not in SOLEMN]))
    roles = common | {"E": event, "P": Place(rng.choice(lexicon.nouns("building")))}
    answer = said("talk accept" if reached else "talk refuse", **roles)
    return [(said("talk invite", **roles),), (answer,)], {"event": event.noun.en, "day": common["Y"].en}  # type: ignore[attr-defined]


SOLEMN = {"funeral", "trial", "interview", "election"}


def _borrow(rng: Random, population: Population, common: dict[str, object], reached: bool) -> Body:
    kind = rng.choice(("tool", "household", "clothing", "instrument", "document", "vehicle"))
    noun = rng.choice([noun for noun in lexicon.nouns(kind) if not noun.plural_only and not noun.uncountable])
    thing = truth.described(rng, "talk:thing", noun, 0)
    roles = common | {"X": thing, "K": Place(rng.choice(lexicon.nouns("room")))}
    answer = said("talk lend" if reached else "talk not lend", **roles)
    return [(said("talk borrow", **roles),), (answer,)], {"thing": noun.en, "day": common["Y"].en}  # type: ignore[attr-defined]


def _news(rng: Random, population: Population, common: dict[str, object], reached: bool) -> Body:
    scene = scenes.set_scene(rng, population, 2)
    body: list[tuple[Plan, ...]] = []
    facts = []
    for _ in range(rng.choice((1, 2))):
        clause = _event(scene)
        facts.append(clause)
        opinions = [
            one for one in lexicon.adjectives("opinion") if one.en in ("wonderful", "shocking", "amazing", "great")
        ]
        good = Quality(rng.choice(opinions), rng.choice(lexicon.phrases("degree")[:4]))
        body.append((said("talk news", C=clause, A=common["A"]),))
        body.append((said("talk reaction good", A=clause["S"], Q=good),))
    return body, {"told": [(clause["S"].id, clause.verb.en) for clause in facts]}  # type: ignore[attr-defined]


def _event(scene: scenes.Scene) -> Clause:
    """Something good that one of the cast did."""
    event = scene.rng.choice((events.make, events.get_at, events.attend, events.shop, events.adopt, events.travel))
    return event(scene)
