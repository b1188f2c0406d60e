"""News: something happened in a town. A headline, a lead, details, and the truth of it."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from lmlib.data.world import lexicon, truth
from lmlib.data.world.lexicon import Phrase
from lmlib.data.world.meaning import Coins, Crowd, Plan, Quality, Topic, said
from lmlib.data.world.scenes import CROWD_COUNTS, PORTABLE
from lmlib.data.world.truth import Place, Population, Thing, Town


@dataclass(frozen=True)
class Item:
    """A piece of news as meaning: its topic, plans in order, and the roles they were drawn from."""

    topic: str
    headline: Plan
    lead: Plan
    details: tuple[Plan, ...]
    roles: dict[str, object]


def item(rng: Random, population: Population) -> Item:
    """A piece of news of one of the topics."""
    topic = rng.choice(sorted(TOPICS))
    town = rng.choice(population.towns)
    place = Place(rng.choice(lexicon.nouns("building")))
    day = rng.choice(lexicon.phrases("day"))
    a, b, c = rng.sample(population.people, 3)
    roles = {"T": town, "P": place, "D": day, "A": a, "B": b, "C": c, "K": a.trade}
    details, more = TOPICS[topic](rng, roles)
    roles |= more
    plans: list[Plan] = [said(f"{topic} {name}", **roles) for name in details if rng.random() < 0.9]
    plans += _voices(rng, population, town)
    lead = said(f"{topic} lead", **roles)
    return Item(topic, said(f"{topic} headline", **roles), lead, tuple(plans), roles)


def _voices(rng: Random, population: Population, town: Town) -> list[Plan]:
    """What people say to it, and how the paper closes."""
    locals_ = [one for one in population.people if one.town == town] or list(population.people)
    heard = rng.choice(locals_)
    quote = said("news quote", A=heard, T=heard.town, P=heard.workplace, F=_mood(rng))
    later = rng.choice([day for day in lexicon.phrases("future_day") if day.en not in ("soon", "tonight")])
    close = said("news close", P=Place(rng.choice(lexicon.nouns("building"))), Y=later)
    return [plan for plan in (quote, close) if rng.random() < 0.7]


def _mood(rng: Random) -> Quality:
    moods = [mood for mood in lexicon.adjectives("feeling") if mood.en in MOODS]
    return Quality(rng.choice(moods), rng.choice(lexicon.phrases("degree")))


MOODS = {"surprised", "worried", "excited", "amused", "upset", "relieved", "confused", "hopeful", "annoyed", "nervous"}


def _theft(rng: Random, roles: dict[str, object]) -> tuple[tuple[str, ...], dict[str, object]]:
    kinds = ("jewel", "document", "instrument", "household", "tool")
    upset = [
        mood for mood in lexicon.adjectives("feeling") if mood.en in ("upset", "angry", "furious", "miserable", "sad")
    ]
    more: dict[str, object] = {
        "P": Place(rng.choice(lexicon.nouns("building"))),
        "X": truth.thing(rng, "news:thing", rng.choice(kinds)),
        "Q": truth.thing(rng, "news:hiding", "furniture"),
        "F": Quality(rng.choice(upset), rng.choice(lexicon.phrases("degree"))),
    }
    return ("owner", "outcome"), more


def _contest(rng: Random, roles: dict[str, object]) -> tuple[tuple[str, ...], dict[str, object]]:
    contests = [
        noun for noun in lexicon.nouns("event") if noun.en in ("contest", "race", "tournament", "competition", "debate")
    ]
    event = Thing("news:event", rng.choice(contests))
    return ("prize", "second"), {
        "E": event,
        "X": truth.thing(rng, "news:thing", rng.choice(("jewel", "toy", "household", "vehicle"))),
        "N": rng.randint(20, 99),
    }


def _opening(rng: Random, roles: dict[str, object]) -> tuple[tuple[str, ...], dict[str, object]]:
    crowd = Crowd(rng.choice(lexicon.nouns("crowd")), rng.choice(CROWD_COUNTS))
    shop = Place(rng.choice([noun for noun in lexicon.nouns("building") if not noun.en.endswith("s")]))
    return ("crowd", "cost"), {"C": crowd, "N": Coins(rng.randint(100, 999)), "P": shop}


def _price(rng: Random, roles: dict[str, object]) -> tuple[tuple[str, ...], dict[str, object]]:
    low, high = sorted(rng.sample(range(3, 90), 2))
    up = rng.random() < 0.5
    goods = rng.choice([noun for kind in ("grocery", "fruit", "vegetable") for noun in lexicon.nouns(kind)])
    causes = ("harvest", "storm", "flood", "drought", "holiday", "tax")
    return ("reason",), {
        "G": goods,
        "M": Phrase("dearer", "上涨") if up else Phrase("cheaper", "下跌"),
        "V": Phrase("rose", "涨") if up else Phrase("fell", "跌"),
        "N": Coins(low if up else high),
        "O": Coins(high if up else low),
        "R": Topic(lexicon.noun("topic", rng.choice(causes))),
    }


def _accident(rng: Random, roles: dict[str, object]) -> tuple[tuple[str, ...], dict[str, object]]:
    vehicles = [noun for noun in lexicon.nouns("vehicle") if noun.en in ROAD]
    return ("harm", "driver"), {
        "W": truth.described(rng, "news:vehicle", rng.choice(vehicles), 1),
        "B": Topic(rng.choice(lexicon.nouns("body"))),
    }


ROAD = {"cart", "wagon", "bicycle", "motorcycle", "car", "bus", "tram", "carriage", "lorry", "taxi", "tractor", "van"}


def _animal(rng: Random, roles: dict[str, object]) -> tuple[tuple[str, ...], dict[str, object]]:
    kind = rng.choice(("wildlife", "bird", "livestock", "pet"))
    on_land = [noun for noun in lexicon.nouns(kind) if noun.en not in SWIMMERS]
    crowd = Crowd(rng.choice(lexicon.nouns("crowd")), rng.choice(CROWD_COUNTS))
    home = "nature" if kind in ("wildlife", "bird") else "building"
    quiet = [
        noun for noun in lexicon.nouns(home) if home == "nature" or noun.en in ("farm", "stable", "zoo", "kennels")
    ]
    return ("outcome",), {
        "X": truth.described(rng, "news:animal", rng.choice(on_land), 1),
        "C": crowd,
        "P": Place(rng.choice(lexicon.nouns("building"))),
        "Q": Place(rng.choice(quiet)),
    }


SWIMMERS = {
    "dolphin",
    "whale",
    "trout",
    "salmon",
    "eel",
    "pike",
    "carp",
    "lobster",
    "jellyfish",
    "starfish",
    "goldfish",
}


def _discovery(rng: Random, roles: dict[str, object]) -> tuple[tuple[str, ...], dict[str, object]]:
    found = truth.thing(
        rng, "news:thing", rng.choice([kind for kind in PORTABLE if kind not in ("fruit", "vegetable")])
    )
    b = roles["B"]
    return ("worth",), {"X": found, "N": Coins(rng.randint(50, 999)), "M": rng.randint(50, 900), "K": b.trade}  # type: ignore[attr-defined]


TOPICS: dict[str, Callable[[Random, dict[str, object]], tuple[tuple[str, ...], dict[str, object]]]] = {
    "accident": _accident,
    "animal": _animal,
    "contest": _contest,
    "discovery": _discovery,
    "opening": _opening,
    "price": _price,
    "theft": _theft,
}
