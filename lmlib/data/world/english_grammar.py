"""From meaning to English: noun phrases, verb groups, clauses, joined clauses and questions."""

from random import Random

from lmlib.data.world import english
from lmlib.data.world.lexicon import Adjective, Noun, Phrase, Verb
from lmlib.data.world.meaning import (
    Both,
    Clause,
    Coins,
    Crowd,
    Discourse,
    Joined,
    PartOf,
    Plan,
    Quality,
    Question,
    Said,
    Topic,
    Wh,
    frames,
)
from lmlib.data.world.sentences import Token, words
from lmlib.data.world.truth import Person, Place, Thing, Town

PRONOUNS = {True: ("she", "her", "her"), False: ("he", "him", "his")}  # subject, object, possessive
WH = {"person": "who", "thing": "what", "place": "where", "time": "when"}
PASSIVE_FRAMES = {"act", "make", "transfer"}
DATIVE = {"give", "lend", "hand", "sell", "bring", "send", "pass", "offer", "mail"}
MARK = {"“", "”"}


class English:
    """Says plans in English. Where a meaning has several wordings, `rng` draws one."""

    language = "en"

    def __init__(self, rng: Random, discourse: Discourse):
        self.rng = rng
        self.discourse = discourse

    def say(self, plan: Plan) -> list[Token]:
        """The tokens of one sentence, with its final mark."""
        if isinstance(plan, Said):
            return self._pattern(self.rng.choice(plan.en), dict(plan.roles))
        if isinstance(plan, Question):
            return self._question(plan)
        tokens = self._joined(plan) if isinstance(plan, Joined) else self._clause(plan)
        return [*tokens, Token(".")]

    # noun phrases

    def noun_phrase(self, role: object, subject: bool = False) -> list[Token]:
        """The words for a role; people and things by what the discourse knows of them."""
        if isinstance(role, Person):
            return self._person(role, subject)
        if isinstance(role, Thing):
            return self._thing(role, subject)
        if isinstance(role, Place):
            return [*words("the"), *words(role.noun.en, "place", role.id)]
        if isinstance(role, Town):
            return words(role.name.en, "town", role.id)
        if isinstance(role, Both):
            return self._both(role, subject)
        if isinstance(role, PartOf):
            self.discourse.mention_thing(role.thing)
            of = words(role.thing.noun.en, "thing", role.thing.id)
            return [*words(f"the {role.part.en} of the"), *of]
        return self._other(role, subject)

    def _other(self, role: object, subject: bool) -> list[Token]:
        if isinstance(role, Crowd):
            return words(f"{role.count.en} {english.plural(role.noun.en)}")
        if isinstance(role, Topic):
            return self._topic(role.noun)
        if isinstance(role, Noun):
            return self._kind(role)
        if isinstance(role, Coins):
            return [Token(english.number(role.n), "number"), Token("coin" if role.n == 1 else "coins")]
        if isinstance(role, Quality):
            degree = role.degree.en if role.degree and role.adjective.degree else ""
            return words(f"{degree} {role.adjective.en}")
        if isinstance(role, Wh):
            return [Token("whom" if role.kind == "person" and not subject else WH[role.kind])]
        if isinstance(role, (Phrase, Adjective)):
            return words(role.en)
        if isinstance(role, Clause):
            return self._clause(role)
        if isinstance(role, int):
            return [Token(english.number(role), "number")]
        raise TypeError(f"no English noun phrase for {role!r}")

    def _person(self, person: Person, subject: bool) -> list[Token]:
        d = self.discourse
        if person == d.speaker:
            return [Token("I" if subject else "me", "pronoun", person.id)]
        if person == d.hearer:
            return [Token("you", "pronoun", person.id)]
        if d.pronoun_is_clear(person) and (person in d.here or self.rng.random() < 0.85):
            d.mention(person)
            return [Token(PRONOUNS[person.female][0 if subject else 1], "pronoun", person.id)]
        d.mention(person)
        return words(person.name.en, "name", person.id)

    def _both(self, role: Both, subject: bool) -> list[Token]:
        d = self.discourse
        first, second = role.people
        if set(d.focus) == {first, second} and not d.here:
            d.mention(first)
            d.mention(second)
            return [Token("they" if subject else "them", "pronoun", f"{first.id}+{second.id}")]
        return [*self._named(first), Token("and"), *self._named(second)]

    def _named(self, person: Person) -> list[Token]:
        self.discourse.mention(person)
        return words(person.name.en, "name", person.id)

    def possessive(self, person: Person) -> list[Token]:
        """my, your, her, Anna's."""
        d = self.discourse
        if person in (d.speaker, d.hearer):
            return [Token("my" if person == d.speaker else "your", "pronoun", person.id)]
        if d.subject == person or d.pronoun_is_clear(person):
            return [Token(PRONOUNS[person.female][2], "pronoun", person.id)]
        d.mention(person)
        return [*words(person.name.en, "name", person.id), Token("'s")]

    def _thing(self, thing: Thing, subject: bool) -> list[Token]:
        d = self.discourse
        if thing.id in d.known:
            alone = d.thing == thing and thing.count <= 1 and not d.things_here
            d.mention_thing(thing)
            if alone and not thing.noun.uncountable and self.rng.random() < 0.5:
                return [Token("it", "pronoun", thing.id)]
            return [Token("the"), *words(_counted(thing), "thing", thing.id)]
        d.mention_thing(thing)
        adjectives = [word for adjective in thing.adjectives for word in words(adjective.en)]
        noun = words(_counted(thing), "thing", thing.id)
        if thing.is_pair:
            return [*words("a pair of"), *adjectives, *noun]
        if thing.noun.uncountable or (thing.count == 2 and thing.noun.plural_only):
            return [Token("some"), *adjectives, *noun]
        if thing.count > 1:
            return [Token(english.number(thing.count), "number"), *adjectives, *noun]
        return [Token("a", "article"), *adjectives, *noun]

    @staticmethod
    def _topic(noun: Noun) -> list[Token]:
        if noun.kind in ("illness", "trade"):
            return [Token("a", "article"), *words(noun.en)]
        if noun.kind in ("body", "hobby", "subject", "quality") or noun.en in ("money", "luck", "silence", "homework"):
            return words(noun.en)
        return words(f"the {noun.en}")

    @staticmethod
    def _kind(noun: Noun) -> list[Token]:
        """A noun for its kind as a whole: apples, music."""
        return words(noun.en if noun.uncountable or noun.plural_only else english.plural(noun.en))

    # verb groups

    def _agreement(self, role: object) -> str:
        if isinstance(role, Person) and role in (self.discourse.speaker, self.discourse.hearer):
            return "I" if role == self.discourse.speaker else "plural"
        if isinstance(role, Noun) and role.plural_only:
            return "plural"
        if isinstance(role, (Crowd, Both)) or (isinstance(role, Thing) and (role.count > 1 or role.noun.plural_only)):
            return "plural"
        return "singular"

    # clauses

    def _clause(self, clause: Clause, subject: list[Token] | None = None, tense: str = "") -> list[Token]:
        """A finite clause. `subject` given, even empty, stands for what would be said; `tense` overrides."""
        front: list[Token] = []
        if clause.opener:
            front += [*words(clause.opener.en), Token(",")]
        day_first = clause.day is not None and not clause.opener and subject is None and self.rng.random() < 0.5
        reports = clause["C"] is not None  # a time at the end would belong to what is reported
        time_first = clause.time is not None and subject is None and (reports or not clause.opener)
        time_first = time_first and (reports or self.rng.random() < 0.5)
        moments = [clause.time.en] if clause.time and time_first else []
        moments += [clause.day.en] if clause.day and day_first else []
        if moments:
            front += [*words(" ".join(moments)), Token(",")]
        who = clause["S"]
        if self._passive(clause, subject, tense):
            body = self._passive_body(clause)
        else:
            self.discourse.subject = who if isinstance(who, Person) else None
            said = self._subject(clause) if subject is None else subject
            body = [*said, *self.predicate(clause, tense)]
        end = self._place(clause) + (words(clause.time.en) if clause.time and not time_first else [])
        end += words(clause.day.en) if clause.day and not day_first else []
        return [*front, *body, *end]

    def _subject(self, clause: Clause) -> list[Token]:
        """The subject, with its apposition where the clause introduces it."""
        who = clause["S"]
        if not clause.introduce or not isinstance(who, Person):
            if isinstance(who, Person) and self.discourse.opens(who):
                return [Token(PRONOUNS[who.female][0], "pronoun", who.id)]
            return self.noun_phrase(who, subject=True)
        self.discourse.mention(who)
        town = words(who.town.name.en, "town", who.town.id)
        if clause.introduce == "trade":
            inner = [Token("a", "article"), *words(who.trade.en)]
        elif clause.introduce == "town":
            inner = [Token("a", "article"), *words(who.trade.en), Token("from"), *town]
        else:
            inner = [Token("a", "article"), *words(who.traits[0].en), *words(who.trade.en)]
        return [*words(who.name.en, "name", who.id), Token(","), *inner, Token(",")]

    def _passive(self, clause: Clause, subject: list[Token] | None, tense: str) -> bool:
        thing = clause["O"]
        known = isinstance(thing, Thing) and thing.id in self.discourse.known
        able = clause.frame in PASSIVE_FRAMES and clause.tense == "past" and not clause.companion
        return known and able and subject is None and not tense and not clause.introduce and self.rng.random() < 0.3

    def _passive_body(self, clause: Clause) -> list[Token]:
        thing = clause["O"]
        said = self.noun_phrase(thing, subject=True)
        be = "were" if self._agreement(thing) == "plural" else "was"
        done = words(f"{english.participle(clause.verb.en)} {clause.verb.particle}")
        to = [Token("to"), *self.noun_phrase(clause["R"])] if clause["R"] else []
        manner = words(clause.manner.en) if clause.manner else []
        no = [Token("not")] if clause.negated else []
        return [*said, Token(be), *no, *manner, *done, *to, Token("by"), *self.noun_phrase(clause["S"])]

    def predicate(self, clause: Clause, tense: str = "", drop: str = "") -> list[Token]:
        """The clause without its subject: verb, objects, manner, companion. `drop` leaves one role out (questions)."""
        agreement = self._agreement(clause["S"])
        auxiliaries, main = english.verb_group(clause.verb.en, tense or clause.tense, agreement, clause.negated)
        adverb = words(clause.frequency.en) if clause.frequency else []
        manner = words(clause.manner.en) if clause.manner else []
        heavy = clause.frame in ("talk", "transfer", "make_for") or clause.frame.startswith("put_") or clause.companion
        manner_first = bool(manner) and (bool(heavy) or self.rng.random() < 0.6)
        lead = adverb + (manner if manner_first else [])
        group = [*words(" ".join(auxiliaries)), *lead]
        body = self._complements(clause, group, main, drop)
        with_whom = [Token("with"), *self.noun_phrase(clause.companion)] if clause.companion else []
        return [*body, *([] if manner_first else manner), *with_whom]

    def _complements(self, clause: Clause, group: list[Token], main: str, drop: str) -> list[Token]:
        """The frame's pattern with its verb group and roles filled in."""
        patterns = frames()[clause.frame].en
        plain = drop or clause.verb.en not in DATIVE or not isinstance(clause["R"], Person)
        pattern = patterns[0] if (clause.frame == "transfer" and plain) or drop else self.rng.choice(patterns)
        said: list[Token] = []
        for position, word in enumerate(pattern):
            if word == "{V}":
                said += [*group, *words(main)]
                if clause.verb.particle and not (pattern[position + 1 :] == ("{O}",) and drop):
                    said += words(clause.verb.particle)
            elif word == "{his}":
                said += self.possessive(clause["S"])  # type: ignore[arg-type]
            elif word.startswith("{"):
                said += self._complement(clause, word.strip("{}"), drop)
            else:
                said.append(Token(word))
        return _particle_after_pronoun(said, clause.verb)

    def _complement(self, clause: Clause, role: str, drop: str) -> list[Token]:
        if role == drop:
            return []
        filler = clause[role]
        if role == "I" and isinstance(filler, Clause):
            return self.predicate(filler, "infinitive") + self._place(filler)
        if role == "C" and isinstance(filler, Clause):
            tense = "past_perfect" if clause.tense == "past" and filler.tense == "past" else ""
            return self._clause(filler, tense=tense if filler.verb.en != "be" else "")
        return self.noun_phrase(filler)

    def _place(self, clause: Clause) -> list[Token]:
        if clause.place is None:
            return []
        town = clause.place.town
        where = words(town.name.en, "town", town.id) if town and clause.name_town else []
        return [
            Token(clause.place.noun.preposition),
            *self.noun_phrase(clause.place),
            *([Token("in"), *where] if where else []),
        ]

    # two clauses

    def _joined(self, plan: Joined) -> list[Token]:
        first, second, relation = plan.first, plan.second, plan.relation
        if relation == "and" and first["S"] == second["S"]:
            return [*self._clause(first), Token("and"), *self._clause(second.bare(), subject=[])]
        if relation == "who":
            return self._relative(first, second)
        if relation in ("and", "then", "so", "while"):
            link = {"and": "and", "then": "and then", "so": "so", "while": "while"}[relation]
            return [*self._clause(first), Token(","), *words(link), *self._clause(second.bare())]
        return self._subordinate(relation, first, second)

    def _subordinate(self, relation: str, first: Clause, second: Clause) -> list[Token]:
        """after, before, when, because, although: `first` is the earlier event or the reason."""
        earlier = "past_perfect" if relation in ("after", "because") and first.verb.en != "be" else ""
        front = self.rng.random() < 0.5
        if relation == "before":
            if front:
                return [Token("before"), *self._clause(second.bare()), Token(","), *self._clause(first.bare())]
            return [*self._clause(first), Token("before"), *self._clause(second.bare())]
        if front or relation == "although":
            opening = [*words(first.opener.en), Token(",")] if first.opener else []
            side = self._clause(first.bare(), tense=earlier)
            return [*opening, Token(relation), *side, Token(","), *self._clause(second.bare())]
        main = self._clause(second.bare())
        return [*main, Token(relation), *self._clause(first.bare(), tense=earlier)]

    def _relative(self, first: Clause, second: Clause) -> list[Token]:
        """The second clause with its subject described by the first: Anna, who lived in Larkwell, ..."""
        who = second["S"]
        self.discourse.subject = who if isinstance(who, Person) else None
        said = self.noun_phrase(who, subject=True)
        if said[0].kind == "pronoun":
            return [*self._clause(first, subject=said), Token("and"), *self._clause(second.bare(), subject=[])]
        inner = [Token("who"), *self._clause(first.bare(), subject=[])]
        return [*said, Token(","), *inner, Token(","), *self._clause(second.bare(), subject=[])]

    # questions and patterns

    def _question(self, question: Question) -> list[Token]:
        clause, role = question.clause, question.role
        end = [Token("?")]
        if role == "S":
            return [Token("who"), *self._clause(clause, subject=[]), *end]
        agreement = self._agreement(clause["S"])
        auxiliaries, main = english.verb_group(clause.verb.en, clause.tense, agreement)
        if clause.verb.en == "be":
            auxiliaries, base = [main], ""
        elif not auxiliaries:
            auxiliaries = ["did"] if clause.tense == "past" else ["does" if agreement == "singular" else "do"]
            base = "infinitive"
        else:
            base = clause.tense
        asked = [] if role == "yes_no" else [Token(WH[_asked_for(clause, role)])]
        subject = self.noun_phrase(clause["S"], subject=True)
        self.discourse.subject = clause["S"] if isinstance(clause["S"], Person) else None
        rest = self._asked_rest(clause, role, base)
        return [*asked, *words(auxiliaries[0]), *subject, *rest, *end]

    def _asked_rest(self, clause: Clause, role: str, base: str) -> list[Token]:
        drop = "" if role == "yes_no" else role
        inner = self.predicate(clause, base or "infinitive", drop)
        if base not in ("", "infinitive"):  # the auxiliary stands before the subject already
            inner = inner[1:]
        if role in ("P", "K") and inner[-1].text in ("to", "in", "on", "under", "behind", "beside", "inside", "near"):
            inner = inner[:-1]
        place = [] if role == "place" else self._place(clause)
        time = words(clause.time.en) if clause.time and role != "time" else []
        return [*inner, *place, *time]

    def _pattern(self, pattern: tuple[str, ...], roles: dict[str, object]) -> list[Token]:
        said: list[Token] = []
        for word in pattern:
            if word in ("a", "an"):
                said.append(Token("a", "article"))
            elif word.startswith("{"):
                said += self._pattern_role(word.strip("{}"), roles)
            else:
                said.append(Token(word))
        return said

    def _pattern_role(self, name: str, roles: dict[str, object]) -> list[Token]:
        """{X} a role, {X:s} as subject, {X:own} possessive, {X:name} by name, {X:bare} no article, {X:is} is or are."""
        key, _, form = name.partition(":")
        role = roles[key]
        if form == "own" and isinstance(role, Person):
            return self.possessive(role)
        if form == "name" and isinstance(role, Person):
            self.discourse.mention(role)
            return words(role.name.en, "name", role.id)
        if form == "vp" and isinstance(role, Clause):
            return self._clause(role, subject=[])
        if form == "bare":
            return _bare(role)
        if form in ("are", "have"):
            several = isinstance(role, Noun) and not role.uncountable
            return [Token(form if several else {"are": "is", "have": "has"}[form])]
        if form in ("is", "was", "has", "does"):
            return [Token(_agreeing(form, self._agreement(role)))]
        return self.noun_phrase(role, subject=form == "s")


def _bare(role: object) -> list[Token]:
    if isinstance(role, Thing):
        return words(_counted(role), "thing", role.id)
    if isinstance(role, Place):
        return words(role.noun.en, "place", role.id)
    noun = role.noun if isinstance(role, Topic) else role
    return words(noun.en)  # type: ignore[attr-defined]


def _agreeing(form: str, agreement: str) -> str:
    plural = {"is": "are", "was": "were", "has": "have", "does": "do"}
    if form == "is" and agreement == "I":
        return "am"
    if agreement == "plural" or (agreement == "I" and form in ("has", "does")):
        return plural[form]
    return form


def _counted(thing: Thing) -> str:
    plural = thing.count > 1 and not thing.noun.plural_only and not thing.noun.uncountable
    return english.plural(thing.noun.en) if plural else thing.noun.en


def _particle_after_pronoun(tokens: list[Token], verb: Verb) -> list[Token]:
    """'picked it up', not 'picked up it': the particle of a verb goes behind a pronoun."""
    if verb.particle not in ("up", "out", "off", "on", "away", "down", "back"):
        return tokens
    for i in range(len(tokens) - 1):
        if tokens[i].text == verb.particle and tokens[i + 1].kind == "pronoun":
            tokens[i], tokens[i + 1] = tokens[i + 1], tokens[i]
            break
    return tokens


def _asked_for(clause: Clause, role: str) -> str:
    filler = clause[role]
    if role in ("P", "K", "place"):
        return "place"
    if role == "time":
        return "time"
    return "person" if isinstance(filler, (Person, Crowd)) else "thing"
