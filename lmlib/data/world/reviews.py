"""Reviews of things and places: aspects with an opinion each, a verdict, and the polarity of the whole."""

from dataclasses import dataclass
from random import Random

from lmlib.data.world import lexicon, truth
from lmlib.data.world.lexicon import Adjective, Noun
from lmlib.data.world.meaning import Coins, Plan, Quality, said
from lmlib.data.world.truth import Place, Population

ASPECTS = {
    "goods": ("quality", "colour", "shape", "size", "weight", "design", "finish", "packaging", "delivery", "value",
              "instructions", "smell"),
    "clothing": ("fabric", "colour", "size", "comfort", "style", "quality", "delivery", "value", "finish"),
    "instrument": ("sound", "weight", "finish", "quality", "design", "value", "packaging"),
    "dish": ("flavour", "smell", "portion", "value", "packaging", "quality"),
    "book": ("plot", "ending", "character", "style", "dialogue", "illustration", "value"),
    "building": ("service", "staff", "location", "atmosphere", "view", "noise", "light", "value"),
    "inn": ("bedding", "breakfast", "dinner", "service", "staff", "location", "view", "comfort",
            "background music", "lunch"),
}  # fmt: skip
BOOKS = {"novel", "memoir", "biography", "play", "comic", "poem", "guidebook"}
INNS = {"inn", "hotel", "restaurant", "café", "tavern", "tearoom"}


@dataclass(frozen=True)
class Opinion:
    """A review as meaning: what it is about, what it says of each aspect (1 good, -1 bad), and on the whole."""

    target: Noun
    aspects: dict[str, int]
    polarity: int
    stars: int
    plans: tuple[Plan, ...]


def opinion(rng: Random, population: Population) -> Opinion:
    """Draw a target, stars, and opinions of its aspects that add up to them."""
    polarity = rng.choice((1, -1))
    visit = rng.random() < 0.4
    kind, target, name = _target(rng, visit)
    n_mixed = rng.choice((0, 0, 1))
    named = rng.sample(
        [noun for noun in lexicon.nouns("aspect") if noun.en in ASPECTS[kind]], rng.randint(2, 3) + n_mixed
    )
    signs = [-polarity] * n_mixed + [polarity] * (len(named) - n_mixed)
    stars = (5 if n_mixed == 0 else 4) if polarity > 0 else (1 if n_mixed == 0 else 2)
    roles = _roles(rng, population, target, stars)
    opening = "place" if visit else "dish" if kind == "dish" else "thing"
    plans: list[Plan] = [said(f"review open {opening}", **roles)]
    plans += _remarks(rng, named, signs, roles)
    verdict = "visit" if visit else "verdict"
    mood = "good" if polarity > 0 else "bad"
    for _ in range(rng.choice((1, 2))):
        plans.append(said(f"review {verdict} {mood}", **roles | {"F": _feeling(rng, polarity)}))
    aspects = {noun.en: sign for noun, sign in zip(named, signs, strict=True)}
    return Opinion(name, aspects, polarity, stars, tuple(plans))


def _target(rng: Random, visit: bool) -> tuple[str, object, Noun]:
    """(kind of aspects, the thing or place, its noun)."""
    if visit:
        inn = rng.random() < 0.5
        places = [noun for noun in lexicon.nouns("building") if (noun.en in INNS) == inn]
        noun = rng.choice(places)
        return "inn" if inn else "building", Place(noun), noun
    kind = rng.choice(("tool", "household", "furniture", "toy", "container", "clothing", "instrument", "book", "dish"))
    nouns = [noun for noun in lexicon.nouns("document" if kind == "book" else kind) if not noun.plural_only]
    if kind == "book":
        nouns = [noun for noun in nouns if noun.en in BOOKS]
    noun = rng.choice([noun for noun in nouns if not noun.uncountable])
    thing = truth.described(rng, "review:thing", noun, 1)
    return kind if kind in ASPECTS else "goods", thing, noun


def _roles(rng: Random, population: Population, target: object, stars: int) -> dict[str, object]:
    """What openings and verdicts speak of."""
    weather = [Quality(sky, lexicon.phrases("degree")[0]) for sky in lexicon.adjectives("weather") if sky.degree]
    return {
        "X": target,
        "P": target if isinstance(target, Place) else Place(lexicon.noun("building", rng.choice(("market", "bazaar")))),
        "T": rng.choice(population.towns),
        "D": rng.choice(lexicon.phrases("day")[:4]),
        "A": rng.choice(population.people),
        "K": rng.choice(lexicon.nouns("kin")),
        "M": Coins(rng.randint(3, 90)),
        "N": stars,
        "H": rng.randint(2, 9),
        "W": rng.choice(weather),
    }


def _remarks(rng: Random, named: list[Noun], signs: list[int], roles: dict[str, object]) -> list[Plan]:
    """One sentence an aspect; the odd one out is said in contrast with the next."""
    plans: list[Plan] = []
    left = list(zip(named, signs, strict=True))
    if len({*signs}) == 2:
        (odd, sign), (other, other_sign) = left[0], left[1]
        contrast = {"B": odd, "Q": _quality(rng, sign), "C": other, "S": _quality(rng, other_sign)}
        plans.append(said("review contrast", **contrast))
        left = left[2:]
    for noun, sign in left:
        plain = Quality(rng.choice([one for one in _opinions(sign) if one.degree]), None)
        remark = {"B": noun, "Q": _quality(rng, sign), "R": plain.adjective, "K": roles["K"]}
        plans.append(said(f"review {'good' if sign > 0 else 'bad'}", **remark))
    rng.shuffle(plans)
    return plans


def _opinions(sign: int) -> list[Adjective]:
    return [one for one in lexicon.adjectives("opinion") if one.polarity == sign]


def _quality(rng: Random, sign: int) -> Quality:
    return Quality(rng.choice(_opinions(sign)), rng.choice(lexicon.phrases("degree")[:5]))


def _feeling(rng: Random, sign: int) -> Quality:
    wanted = (
        ("satisfied", "pleased", "content", "happy") if sign > 0 else ("disappointed", "upset", "annoyed", "frustrated")
    )
    moods = [mood for mood in lexicon.adjectives("feeling") if mood.en in wanted]
    return Quality(rng.choice(moods), lexicon.phrases("degree")[0])
