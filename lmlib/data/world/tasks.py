"""Instructions with answers, and pairs of a better and a worse answer."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from lmlib.data.world import english, events, lexicon, scenes
from lmlib.data.world.chinese_grammar import numeral
from lmlib.data.world.lexicon import Noun, Phrase
from lmlib.data.world.meaning import Clause, Coins, Discourse, Plan, Question, said
from lmlib.data.world.sentences import held_out, sentence
from lmlib.data.world.truth import Population
from lmlib.data.world.writing import GRAMMARS, Writer

KIND_NAMES = {
    "tool": ("a tool", "工具"), "fruit": ("a fruit", "水果"), "vegetable": ("a vegetable", "蔬菜"),
    "bird": ("a bird", "鸟"),
    "furniture": ("a piece of furniture", "家具"), "clothing": ("a piece of clothing", "衣物"),
    "flower": ("a flower", "花"),
    "instrument": ("an instrument", "乐器"), "trade": ("a trade", "职业"), "vehicle": ("a vehicle", "交通工具"),
    "wildlife": ("a wild animal", "野生动物"), "drink": ("a drink", "饮料"), "tree": ("a tree", "树"),
}  # fmt: skip


@dataclass(frozen=True)
class Instruction:
    """An instruction and its one right answer; `steps` is the way to it, where it takes several."""

    id: str
    task: str
    language: str
    split: str
    instruction: str
    steps: str
    answer: str


@dataclass(frozen=True)
class Preference:
    """A prompt with a better and a worse answer; `reason`, why it is worse: wrong, rude, garbled, off_topic."""

    id: str
    language: str
    split: str
    prompt: str
    chosen: str
    rejected: str
    reason: str


@dataclass(frozen=True)
class Pair:
    """One sentence in both languages."""

    id: str
    split: str
    en: str
    zh: str
    fact: dict[str, object]


class Clerk:
    """Draws instructions of one language and split."""

    def __init__(self, rng: Random, population: Population, language: str, split: str):
        self.rng, self.population, self.language, self.split = rng, population, language, split

    def say(self, plan: Plan) -> str:
        """One sentence on its own, as asked or answered."""
        writer = Writer(self.language, self.split, self.rng, Discourse(), spoken=True)
        return writer.tell(plan).text

    def versions(self, change: Callable[[Clause], Plan]) -> tuple[str, str]:
        """An event and its changed form, in the same wording; neither has a held-out skeleton in training."""
        while True:
            clause = _event(self)
            wording = self.rng.random()
            both = [
                sentence(GRAMMARS[self.language](Random(wording), Discourse()).say(plan), self.language)
                for plan in (clause, change(clause))
            ]
            if self.split == "test" or not any(held_out(one.skeleton) for one in both):
                return both[0].text, both[1].text

    def of(self, noun: Noun) -> str:
        return noun.en if self.language == "en" else noun.zh

    def nouns(self, *kinds: str) -> list[Noun]:
        return [noun for kind in kinds for noun in lexicon.nouns(kind)]

    def listed(self, items: list[str]) -> str:
        return ", ".join(items) if self.language == "en" else "、".join(items)

    def number(self, n: int) -> str:
        return english.number(n) if self.language == "en" else numeral(n)

    def draw(self) -> tuple[str, str, str, str]:
        """(task, instruction, steps, answer)."""
        task = self.rng.choice(sorted(TASKS))
        instruction, steps, answer = TASKS[task](self)
        return task, instruction, steps, answer


Answered = tuple[str, str, str]


def _plural(clerk: Clerk) -> Answered:
    kinds = (
        "tool",
        "fruit",
        "bird",
        "wildlife",
        "livestock",
        "household",
        "container",
        "document",
        "trade",
        "clothing",
    )
    nouns = [noun for noun in clerk.nouns(*kinds) if not noun.uncountable and not noun.plural_only]
    noun = clerk.rng.choice(nouns)
    return clerk.say(said("task plural", X=Phrase(noun.en, noun.en))), "", english.plural(noun.en)


def _past(clerk: Clerk) -> Answered:
    verb = clerk.rng.choice([verb for verb in lexicon.all_verbs() if not verb.particle and verb.en != "be"])
    return clerk.say(said("task past", X=Phrase(verb.en, verb.en))), "", english.past(verb.en)


def _measure(clerk: Clerk) -> Answered:
    nouns = clerk.nouns(
        "tool", "household", "furniture", "clothing", "document", "vehicle", "livestock", "fruit", "tree"
    )
    noun = clerk.rng.choice(nouns)
    return clerk.say(said("task measure", X=Phrase(noun.zh, noun.zh))), "", noun.measure


def _translate(clerk: Clerk) -> Answered:
    noun = clerk.rng.choice(_unambiguous(clerk.language))
    question = clerk.say(said("task translate", X=Phrase(noun.en, noun.zh)))
    return question, "", noun.zh if clerk.language == "en" else noun.en


@cache
def _unambiguous(language: str) -> tuple[Noun, ...]:
    """Nouns whose word names one thing only in the world's lexicon."""
    count = Counter(getattr(noun, language) for noun in lexicon.all_nouns())
    return tuple(noun for noun in lexicon.all_nouns() if count[getattr(noun, language)] == 1)


def _kind(clerk: Clerk) -> Answered:
    kind, other = clerk.rng.sample(sorted(KIND_NAMES), 2)
    noun = clerk.rng.choice(lexicon.nouns(kind))
    options = [KIND_NAMES[kind], KIND_NAMES[other]]
    clerk.rng.shuffle(options)
    a, b = (Phrase(*option) for option in options)
    name = KIND_NAMES[kind][0 if clerk.language == "en" else 1]
    return clerk.say(said("task kind", X=Phrase(noun.en, noun.zh), A=a, B=b)), "", name


def _odd(clerk: Clerk) -> Answered:
    kind, other = clerk.rng.sample(sorted(KIND_NAMES), 2)
    nouns = clerk.rng.sample(lexicon.nouns(kind), 3)
    odd = clerk.rng.choice(lexicon.nouns(other))
    items = [*nouns, odd]
    clerk.rng.shuffle(items)
    english_list, chinese_list = " , ".join(n.en for n in items), " 、 ".join(n.zh for n in items)
    return clerk.say(said("task odd", X=Phrase(english_list, chinese_list))), "", clerk.of(odd)


def _sort(clerk: Clerk) -> Answered:
    numbers = clerk.rng.sample(range(1, 100), clerk.rng.randint(3, 5))
    listed = Phrase(" , ".join(map(str, numbers)), " 、 ".join(map(str, numbers)))
    return clerk.say(said("task sort", X=listed)), "", clerk.listed([str(n) for n in sorted(numbers)])


def _reverse(clerk: Clerk) -> Answered:
    nouns = clerk.rng.sample(clerk.nouns("fruit", "tool", "bird", "flower"), clerk.rng.randint(3, 5))
    listed = Phrase(" , ".join(n.en for n in nouns), " 、 ".join(n.zh for n in nouns))
    return clerk.say(said("task reverse", X=listed)), "", clerk.listed([clerk.of(noun) for noun in nouns[::-1]])


def _event(clerk: Clerk) -> Clause:
    scene = scenes.set_scene(clerk.rng, clerk.population, 2)
    deed = clerk.rng.choice((events.transfer, events.make, events.get_at, events.observe, events.attend, events.social))
    return replace(deed(scene), place=None)


def _names(clerk: Clerk) -> Answered:
    clause = _event(clerk)
    writer = Writer(clerk.language, clerk.split, clerk.rng, Discourse())
    one = writer.tell(clause)
    names = [one.text[m.start : m.end] for m in one.mentions if m.kind == "person"]
    space = " " if clerk.language == "en" else ""
    asked = f"{clerk.say(said('task names', X=Phrase('', '')))}{space}{one.text}"
    return asked, "", clerk.listed(list(dict.fromkeys(names)))


def _rewritten(name: str, change: Callable[[Clause], Plan]) -> Callable[[Clerk], Answered]:
    def task(clerk: Clerk) -> Answered:
        before, after = clerk.versions(change)
        space = " " if clerk.language == "en" else ""
        return f"{clerk.say(said(name, X=Phrase('', '')))}{space}{before}", "", after

    return task


def _trade(clerk: Clerk) -> Answered:
    person = clerk.rng.choice(clerk.population.people)
    return clerk.say(said("task trade", A=person, T=person.town)), "", clerk.of(person.trade)


def _home(clerk: Clerk) -> Answered:
    person = clerk.rng.choice(clerk.population.people)
    name = person.town.name
    return clerk.say(said("task home", A=person, K=person.trade)), "", name.en if clerk.language == "en" else name.zh


def _relative(clerk: Clerk) -> Answered:
    person = clerk.rng.choice(clerk.population.people)
    relations = clerk.population.kin[person.id]
    single = [relation for relation in relations if sum(other[0] == relation[0] for other in relations) == 1]
    en, zh, relative = clerk.rng.choice(single)
    name = relative.name.en if clerk.language == "en" else relative.name.zh
    return clerk.say(said("task relative", A=person, R=Phrase(en, zh))), "", name


def _older(clerk: Clerk) -> Answered:
    a, b = clerk.rng.sample(clerk.population.people, 2)
    while a.age == b.age:
        b = clerk.rng.choice(clerk.population.people)
    older = a if a.age > b.age else b
    answer = older.name.en if clerk.language == "en" else older.name.zh
    return clerk.say(said("task older", A=a, B=b, N=a.age, M=b.age)), "", answer


def _shopping(clerk: Clerk) -> Answered:
    rng = clerk.rng
    person = rng.choice(clerk.population.people)
    nouns = [
        n for n in clerk.nouns("fruit", "tool", "container", "furniture") if not n.uncountable and not n.plural_only
    ]
    noun = rng.choice(nouns)
    amount, price = rng.randint(2, 9), rng.randint(2, 12)
    total = amount * price
    had = total + rng.randint(1, 60)
    goods = Phrase(english.plural(noun.en), noun.zh)
    roles = {"A": person, "N": Coins(had), "M": amount, "X": goods, "P": Coins(price), "U": Phrase("", noun.measure)}
    roles |= {"S": Coins(total), "R": Coins(had - total)}
    steps = [clerk.say(said("sum shopping step", **roles)), clerk.say(said("sum shopping end", **roles))]
    space = " " if clerk.language == "en" else ""
    return clerk.say(said("sum shopping", **roles)), space.join(steps), clerk.number(had - total)


def _journey(clerk: Clerk) -> Answered:
    a, b, c = clerk.rng.sample(clerk.population.towns, 3)
    n, m = clerk.rng.randint(2, 40), clerk.rng.randint(2, 40)
    roles = {"A": a, "B": b, "C": c, "N": n, "M": m, "R": n + m, "P": clerk.rng.choice(clerk.population.people)}
    steps = [clerk.say(said("sum journey step", **roles)), clerk.say(said("sum journey end", **roles))]
    space = " " if clerk.language == "en" else ""
    return clerk.say(said("sum journey", **roles)), space.join(steps), clerk.number(n + m)


def _future(clause: Clause) -> Plan:
    return replace(clause, tense="future")


def _negated(clause: Clause) -> Plan:
    return replace(clause, negated=True)


def _who(clause: Clause) -> Plan:
    return Question(clause, "S")


TASKS: dict[str, Callable[[Clerk], Answered]] = {
    "plural": _plural,
    "past": _past,
    "measure": _measure,
    "translate": _translate,
    "kind": _kind,
    "odd": _odd,
    "sort": _sort,
    "reverse": _reverse,
    "names": _names,
    "negate": _rewritten("task negate", _negated),
    "future": _rewritten("task future", _future),
    "who": _rewritten("task who question", _who),
    "trade": _trade,
    "home": _home,
    "relative": _relative,
    "older": _older,
    "shopping": _shopping,
    "journey": _journey,
}
