"""Questions about a story: answered by one sentence, by two, by none."""

from dataclasses import dataclass, replace
from random import Random

from lmlib.data.world import events, stories
from lmlib.data.world.lexicon import Verb
from lmlib.data.world.meaning import Clause, Discourse, Plan, Question, Said, Wh, clauses_of, leads, said
from lmlib.data.world.scenes import Scene
from lmlib.data.world.sentences import Sentence
from lmlib.data.world.truth import Person, Place, Thing
from lmlib.data.world.writing import Text, Writer

ASKED = ("S", "O", "R", "P", "K")
PLAIN = {"transfer", "get", "get_at", "act", "make", "make_for", "consume", "put_in", "put_on", "put_under", "find_in",
         "put_behind", "put_beside", "social", "observe", "attend", "tour", "go", "wear", "raise", "pay"}  # fmt: skip


@dataclass(frozen=True)
class QuestionAnswer:
    """A question about a passage. `answer` is empty when the passage does not say.

    `kind`: one_hop (one sentence of the passage answers), two_hop (only two together do), unanswerable.
    `span`: where the answer stands in the passage's text. `candidates`: everything of the answer's kind that the
    passage mentions, so that chance is known. `sentence` says the answer in full.
    """

    id: str
    kind: str
    language: str
    split: str
    passage: Text
    question: str
    answer: str
    span: tuple[int, int] | None
    candidates: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class Asked:
    """A question as meaning: what to say, the entity that answers, and a full answer."""

    kind: str
    question: Plan
    entity: object
    answer: Plan | None
    about: str = ""  # the id of what the question names; with two hops no sentence has both it and the answer


def one_hop(rng: Random, plans: list[Plan]) -> Asked | None:
    """A question about one role of one event, which no other event would answer as well."""
    clauses = [clause for clause in clauses_of(plans) if clause.frame in PLAIN and isinstance(clause["S"], Person)]
    rng.shuffle(clauses)
    for clause in clauses:
        roles = [role for role in ASKED if isinstance(clause[role], (Person, Thing, Place))]
        role = rng.choice(roles)
        asked = clause[role]
        if isinstance(asked, Thing) and asked.count != 1:
            continue
        if _is_unique(clause, role, clauses_of(plans)):
            bare = replace(clause.bare(), manner=None, companion=None)
            return Asked("one_hop", Question(bare, role), clause[role], bare)
    return None


def _is_unique(clause: Clause, role: str, clauses: list[Clause]) -> bool:
    """Whether no other clause of that verb has the same roles but for the one that is asked for."""
    rest = {name: filler for name, filler in clause.roles if name != role}
    same = [
        other
        for other in clauses
        if _same_word(other.verb, clause.verb) and all(other[name] == filler for name, filler in rest.items())
    ]
    return len(same) == 1


def _same_word(one: Verb, other: Verb) -> bool:
    """Whether two verbs are the same word in either language."""
    return one.en == other.en or one.zh == other.zh


def two_hop(scene: Scene, rng: Random, n: int) -> list[Asked]:
    """Where things are now: whoever has one takes it along, so its sentence and that of the place are needed."""
    carried = [
        (thing, holder)
        for thing in scene.things
        if isinstance(holder := scene.holder.get(thing.id), Person)
        and holder.id in scene.where
        and not thing.id.startswith("person")
        and thing.count == 1
    ]
    asked = []
    for thing, holder in rng.sample(carried, min(n, len(carried))):
        place = scene.where[holder.id]
        answer = Clause("be_at", stories.BE, (("S", thing),), tense="present", place=place)
        asked.append(Asked("two_hop", said("where is", X=thing), place, answer, thing.id))
    return asked


def two_hop_home(scene: Scene, rng: Random, plans: list[Plan]) -> Asked | None:
    """In which town the giver or owner of a thing lives."""
    clauses = clauses_of(plans)
    homes = {clause["S"] for clause in clauses if clause.frame == "live"}
    deeds = [
        clause
        for clause in clauses
        if clause["S"] in homes and clause.frame in ("transfer", "make_for", "make", "act", "get_at", "wear")
    ]
    deeds = [clause for clause in deeds if isinstance(clause["O"], Thing) and _is_unique(clause, "S", clauses)]
    if not deeds:
        return None
    clause = rng.choice(deeds)
    person = clause["S"]
    assert isinstance(person, Person)
    bare = Clause(clause.frame, clause.verb, (("S", Wh("person")), *[role for role in clause.roles if role[0] != "S"]))
    thing = clause["O"]
    assert isinstance(thing, Thing)
    return Asked("two_hop", said("where lives who", C=bare), person.town, stories.live(person), thing.id)


def unanswerable(scene: Scene, rng: Random, plans: list[Plan]) -> Asked | None:
    """A question like the others, about an event that did not happen: another verb or another thing."""
    told = clauses_of(plans)
    for _ in range(20):
        event = rng.choice((events.transfer, events.make, events.get_at, events.observe, events.attend))
        clause = event(scene)
        if all(
            clause["O"] != other["O"] and not (clause["S"] == other["S"] and _same_word(clause.verb, other.verb))
            for other in told
        ):
            role = rng.choice([role for role in ("S", "R", "O") if clause[role]])
            return Asked("unanswerable", Question(Clause(clause.frame, clause.verb, clause.roles), role), None, None)
    return None


def ask(
    id: str, asked: Asked, passage: Text, language: str, rng: Random, known: frozenset[str]
) -> QuestionAnswer | None:
    """Put a question into words; None where the passage never says the answer by name."""
    if isinstance(asked.question, Question):
        known |= {role.id for _, role in asked.question.clause.roles if isinstance(role, Thing)}
    elif isinstance(asked.question, Said):
        known |= {role.id for _, role in asked.question.roles if isinstance(role, Thing)}
    question = _say(asked.question, passage.split, language, rng, known, "question")
    if asked.entity is None:
        return QuestionAnswer(id, asked.kind, language, passage.split, passage, question, "", None, (), "")
    found = [m for m in passage.mentions if m.entity == asked.entity.id and m.kind != "pronoun"]  # type: ignore[attr-defined]
    if not found:
        return None
    if asked.kind == "two_hop" and any({asked.about, asked.entity.id} <= _entities(one) for one in passage.sentences):  # type: ignore[attr-defined]
        return None
    first = found[0] if asked.kind == "one_hop" else found[-1]
    kind = first.kind
    others = [m for m in passage.mentions if m.kind == kind]
    candidates = tuple(dict.fromkeys(passage.text[m.start : m.end] for m in others))
    if asked.kind == "two_hop" and len(candidates) < 2:
        return None
    full = _say(asked.answer, passage.split, language, rng, known, "answer") if asked.answer else ""
    answer = passage.text[first.start : first.end]
    span = (first.start, first.end)
    return QuestionAnswer(id, asked.kind, language, passage.split, passage, question, answer, span, candidates, full)


def _entities(one: Sentence) -> set[str]:
    return {mention.entity for mention in one.mentions}


def _say(plan: Plan, split: str, language: str, rng: Random, known: frozenset[str], lead: str) -> str:
    writer = Writer(language, split, rng, Discourse(known=known), spoken=True)
    return writer.tell(plan, opening=rng.choice(leads(lead, language)) if rng.random() < 0.6 else "").text


def passage_and_questions(rng: Random, scene: Scene, n_events: int) -> tuple[list[Plan], list[Asked]]:
    """A story, and questions of every kind that it allows."""
    plans = stories.story(scene, n_events)
    asked = [one_hop(rng, plans), one_hop(rng, plans), *two_hop(scene, rng, 1), two_hop_home(scene, rng, plans)]
    asked.append(unanswerable(scene, rng, plans))
    return plans, [one for one in asked if one is not None]


def errands_and_questions(rng: Random, scene: Scene) -> tuple[list[Plan], list[Asked]]:
    """A passage in which people carry things about, and where the things are."""
    plans = stories.errands(scene)
    return plans, two_hop(scene, rng, 2)


def mentioned(plans: list[Plan]) -> frozenset[str]:
    """The ids of the things that plans speak of, so that a question says 'the lamp'."""
    ids = {f.id for clause in clauses_of(plans) for _, f in clause.roles if isinstance(f, Thing)}
    return frozenset(ids)
