"""A day of a few people: who is where, who has what, and what time it is."""

from dataclasses import dataclass, field
from random import Random

from lmlib.data.world import lexicon, truth
from lmlib.data.world.lexicon import Noun, Phrase, Verb
from lmlib.data.world.meaning import Both, Clause
from lmlib.data.world.truth import Person, Place, Population, Thing, Town

PORTABLE = ("tool", "household", "clothing", "jewel", "toy", "document", "fruit", "vegetable")
CROWD_COUNTS = (
    Phrase("several", "几位"),
    Phrase("two", "两位"),
    Phrase("three", "三位"),
    Phrase("some", "一些"),
    Phrase("a few", "几位"),
    Phrase("many", "许多"),
)


@dataclass
class Scene:
    """A day of a few people. `where` and `holder` are true at this moment; a holder is a person or (where, thing)."""

    rng: Random
    population: Population
    cast: tuple[Person, ...]
    town: Town
    where: dict[str, Place] = field(default_factory=dict)
    holder: dict[str, Person | tuple[str, Thing]] = field(default_factory=dict)
    things: list[Thing] = field(default_factory=list)
    last_actor: Person | None = None
    hour: int = 0  # of lexicon.phrases("time"), which are in the order of the day
    progress: float = 0.5  # how much of the story has been told, from 0 to 1

    def actor(self) -> Person:
        """Someone of the cast; whoever acted last is likely to go on."""
        if self.last_actor and self.rng.random() < 0.45:
            return self.last_actor
        self.last_actor = self.rng.choice(self.cast)
        return self.last_actor

    def other(self, person: Person) -> Person:
        return self.rng.choice([one for one in self.cast if one != person])

    def time(self) -> Phrase | None:
        """A time of day, later than the last; None when the day is over."""
        times = lexicon.phrases("time")[:-3]  # the last ones are for the ending
        self.hour += self.rng.randint(1, 4)
        return times[self.hour] if self.hour < len(times) else None

    def opener(self) -> Phrase:
        """A word to begin a sentence with: of the first and of the last there is a choice of its own."""
        use = "first" if self.progress == 0 else "last" if self.progress > 0.85 else "opener"
        return self.rng.choice(lexicon.phrases(use if self.rng.random() < 0.6 else "opener"))

    def new_thing(self, kinds: tuple[str, ...], n_adjectives: int | None = None) -> Thing:
        """A thing of one of the kinds."""
        return self.add(lexicon.nouns(self.rng.choice(kinds)), n_adjectives)

    def add(self, nouns: tuple[Noun, ...], n_adjectives: int | None = None) -> Thing:
        """A thing that is one of the nouns; one that has not come up in this scene, as long as there is one."""
        used = {thing.noun.en for thing in self.things}
        noun = self.rng.choice([noun for noun in nouns if noun.en not in used] or nouns)
        n = self.rng.choice((0, 1, 1, 1, 2)) if n_adjectives is None else n_adjectives
        made = truth.described(self.rng, f"thing{len(self.things)}", noun, n)
        few = noun.kind in ("fruit", "vegetable", "dish") or self.rng.random() < 0.08
        if few and made.count == 1 and self.rng.random() < 0.6:
            made = Thing(made.id, noun, made.adjectives, self.rng.randint(2, 6))
        self.things.append(made)
        return made

    def small_thing(self) -> Thing:
        """A thing that goes into a drawer."""
        kind = self.rng.choice(PORTABLE)
        return self.add(tuple(noun for noun in lexicon.nouns(kind) if noun.en not in lexicon.sized("bulky")))

    def keeper(self, relation: str, thing: Thing) -> Thing:
        """Something that a thing can be in, or else on, under, behind: small containers are for small things only."""
        nouns = lexicon.nouns("container" if relation == "in" else "furniture")
        small = thing.noun.kind == "jewel" or thing.noun.en in lexicon.sized("tiny")
        fitting = [
            noun
            for noun in nouns
            if noun.en != thing.noun.en and (small or noun.en not in lexicon.sized("small_container"))
        ]
        added = self.add(tuple(fitting), 1)
        self.things[-1] = Thing(added.id, added.noun, added.adjectives)
        return self.things[-1]

    def held_by(self, person: Person, kinds: tuple[str, ...] = PORTABLE) -> list[Thing]:
        """What a person carries, of these kinds."""
        return [thing for thing in self.things if self.holder.get(thing.id) == person and thing.noun.kind in kinds]

    def building(self) -> Place:
        return Place(self.rng.choice(lexicon.nouns("building")), self.town)

    def outdoors(self) -> Place:
        return Place(self.rng.choice(lexicon.nouns("nature")), self.town)

    def room(self) -> Place:
        return Place(self.rng.choice(lexicon.nouns("room")))

    def somewhere(self) -> Place:
        return self.rng.choice((self.building, self.outdoors))()

    def verb(self, frame: str, thing: Noun | None = None) -> Verb:
        return self.rng.choice(lexicon.verbs(frame) if thing is None else lexicon.verbs_for(frame, thing))

    def clause(self, frame: str, verb: Verb, subject: object, **roles: object) -> Clause:
        """A clause in the past."""
        return Clause(frame, verb, (("S", subject), *roles.items()))


def move(scene: Scene, clause: Clause) -> None:
    """Keep `where` true after an event: a place in the clause is where its people are; a journey or bed leaves none."""
    roles = [*clause["S"].people] if isinstance(clause["S"], Both) else [clause["S"]]
    people = [role for role in (*roles, clause["R"], clause.companion) if isinstance(role, Person)]
    place = clause.place or clause["P"]
    if clause.frame in ("get", "transfer", "control", "make_for"):
        return
    if clause.frame in ("ill", "travel"):
        for person in people:
            scene.where.pop(person.id, None)
    elif isinstance(place, Place):
        scene.where |= {person.id: place for person in people}


def set_scene(rng: Random, population: Population, n_cast: int) -> Scene:
    """A few people, related or of one town where it can be, on a day of theirs."""
    first = rng.choice(population.people)
    relatives = [relative for _, _, relative in population.kin[first.id]]
    neighbours = [one for one in population.people if one.town == first.town and one != first]
    others = [one for one in population.people if one != first]
    cast = [first]
    while len(cast) < n_cast:
        pool = rng.choice((relatives, neighbours, others)) or others
        person = rng.choice(pool)
        if person not in cast:
            cast.append(person)
    scene = Scene(rng, population, tuple(cast), first.town)
    for person in cast:
        scene.things += list(person.owns)
        scene.holder |= {thing.id: person for thing in person.owns}
    return scene
