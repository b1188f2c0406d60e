"""From meaning to Chinese: measure words, 了, 正在, 没有, 把, 的, and the order of adverbials before the verb."""

from random import Random

from lmlib.data.world.lexicon import SORTS, Adjective, Noun, Phrase, sort_of
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

DIGITS = "零一二三四五六七八九"
WH = {"person": "谁", "thing": "什么", "place": "哪里", "time": "什么时候"}
LOCALISER = {"at": "里", "in": "里", "on": "上", "by": "边"}
# Verbs that say what comes of the deed; only they stand well with 把 and 被.
RESULTS = "好净亮平干坏掉走开脏破完花裂弯凹熟短丢快错松下出"


def numeral(n: int) -> str:
    """An integer from 0 to 999 in Chinese numerals."""
    if not 0 <= n < 1000:
        raise ValueError(f"numbers from 0 to 999 have numerals here, got {n}")
    if n < 10:
        return DIGITS[n]
    if n < 20:
        return "十" + (DIGITS[n % 10] if n % 10 else "")
    if n < 100:
        return DIGITS[n // 10] + "十" + (DIGITS[n % 10] if n % 10 else "")
    hundreds, rest = divmod(n, 100)
    if rest == 0:
        return DIGITS[hundreds] + "百"
    if rest < 10:
        return f"{DIGITS[hundreds]}百零{DIGITS[rest]}"
    return DIGITS[hundreds] + "百" + ("一" if rest < 20 else "") + numeral(rest)


class Chinese:
    """Says plans in Chinese. Where a meaning has several wordings, `rng` draws one."""

    language = "zh"

    def __init__(self, rng: Random, discourse: Discourse):
        self.rng = rng
        self.discourse = discourse

    def say(self, plan: Plan) -> list[Token]:
        """The tokens of one sentence, with its final mark."""
        if isinstance(plan, Said):
            return self._pattern(self.rng.choice(plan.zh), dict(plan.roles))
        if isinstance(plan, Question):
            return self._question(plan)
        tokens = self._joined(plan) if isinstance(plan, Joined) else self._clause(plan)
        return [*tokens, Token("。")]

    # noun phrases

    def noun_phrase(self, role: object) -> list[Token]:
        """The words for a role; people and things by what the discourse knows of them."""
        if isinstance(role, Person):
            return self._person(role)
        if isinstance(role, Thing):
            return self._thing(role)
        if isinstance(role, Place):
            return words(role.noun.zh, "place", role.id)
        if isinstance(role, Town):
            return words(role.name.zh, "town", role.id)
        if isinstance(role, Both):
            return self._both(role)
        if isinstance(role, PartOf):
            self.discourse.mention_thing(role.thing)
            return [*words(role.thing.noun.zh, "thing", role.thing.id), Token("的"), *words(role.part.zh)]
        return self._other(role)

    def _other(self, role: object) -> list[Token]:
        if isinstance(role, Crowd):
            return [*words(role.count.zh), *words(role.noun.zh)]
        if isinstance(role, Topic):
            return self._topic(role.noun)
        if isinstance(role, Noun):
            return words(role.zh)
        if isinstance(role, Coins):
            return [Token("两" if role.n == 2 else numeral(role.n), "number"), Token("枚"), Token("硬币")]
        if isinstance(role, Quality):
            return self._quality(role)
        if isinstance(role, Wh):
            return [Token(WH[role.kind])]
        if isinstance(role, Phrase):
            return words(role.zh)
        if isinstance(role, Adjective):
            return _attribute(role)
        if isinstance(role, Clause):
            return self._clause(role)
        if isinstance(role, int):
            return [Token(numeral(role), "number")]
        raise TypeError(f"no Chinese noun phrase for {role!r}")

    @staticmethod
    def _quality(role: Quality) -> list[Token]:
        """很高, 相当贵; without degree 是…的."""
        if not role.adjective.degree:
            return words(role.adjective.zh)
        return words(f"{role.degree.zh if role.degree else '很'} {role.adjective.zh}")

    def _person(self, person: Person) -> list[Token]:
        d = self.discourse
        if person in (d.speaker, d.hearer):
            return [Token("我" if person == d.speaker else "你", "pronoun", person.id)]
        if d.pronoun_is_clear(person) and (person in d.here or self.rng.random() < 0.75):
            d.mention(person)
            return [Token("她" if person.female else "他", "pronoun", person.id)]
        d.mention(person)
        return words(person.name.zh, "name", person.id)

    def _both(self, role: Both) -> list[Token]:
        d = self.discourse
        first, second = role.people
        if set(d.focus) == {first, second} and not d.here:
            d.mention(first)
            d.mention(second)
            return [Token("她们" if first.female and second.female else "他们", "pronoun", f"{first.id}+{second.id}")]
        return [*self._named(first), Token("和"), *self._named(second)]

    def _named(self, person: Person) -> list[Token]:
        self.discourse.mention(person)
        return words(person.name.zh, "name", person.id)

    def possessive(self, person: Person) -> list[Token]:
        """我的, 她的, 安娜的; before words for relatives too."""
        d = self.discourse
        if person in (d.speaker, d.hearer):
            return [Token("我" if person == d.speaker else "你", "pronoun", person.id), Token("的")]
        if d.subject == person or d.pronoun_is_clear(person):
            return [Token("她" if person.female else "他", "pronoun", person.id), Token("的")]
        d.mention(person)
        return [*words(person.name.zh, "name", person.id), Token("的")]

    def _thing(self, thing: Thing) -> list[Token]:
        d = self.discourse
        noun = words(thing.noun.zh, "thing", thing.id)
        measure = words(thing.noun.measure)
        if thing.id in d.known:
            d.mention_thing(thing)
            if thing.is_pair:
                return [*words("那 双"), *noun]
            if thing.count != 1 and not thing.noun.plural_only:
                return [Token("那些"), *noun]
            return [Token("那"), *measure, *noun]
        d.mention_thing(thing)
        described = [token for adjective in _long_first(thing.adjectives) for token in _attribute(adjective)]
        if thing.is_pair:
            return [*words("一 双"), *described, *noun]
        if thing.count == 0:
            return [Token("一些"), *described, *noun]
        if thing.noun.plural_only or thing.count == 1:
            return [Token("一"), *measure, *described, *noun]
        count = "两" if thing.count == 2 else numeral(thing.count)
        return [Token(count, "number"), *measure, *described, *noun]

    @staticmethod
    def _topic(noun: Noun) -> list[Token]:
        if noun.kind == "trade":
            return words(f"一 {noun.measure} {noun.zh}")
        if noun.kind == "topic" and noun.measure not in ("个", "种") and not noun.uncountable:
            return [Token("那"), *words(noun.measure), *words(noun.zh)]
        return words(noun.zh)

    # clauses

    def _clause(self, clause: Clause, subject: list[Token] | None = None) -> list[Token]:
        """Opener, time, subject, time, adverbs, place, manner, predicate. `subject`: said instead."""
        front = [*words(clause.opener.zh), *self._comma(clause.opener)] if clause.opener else []
        moments = words(clause.day.zh if clause.day else "") + words(clause.time.zh if clause.time else "")
        who = clause["S"]
        early = bool(moments) and subject is None and self.rng.random() < 0.6
        if early:
            front += [*moments, *([Token("，")] if self.rng.random() < 0.5 else [])]
        self.discourse.subject = who if isinstance(who, Person) else None
        said = self._subject(clause) if subject is None else subject
        return [*front, *said, *([] if early else moments), *self.predicate(clause)]

    def _comma(self, opener: Phrase) -> list[Token]:
        return [Token("，")] if len(opener.zh) > 2 or self.rng.random() < 0.3 else []

    def _subject(self, clause: Clause) -> list[Token]:
        who = clause["S"]
        if not isinstance(who, Person):
            return self.noun_phrase(who)
        if not clause.introduce:
            if self.discourse.opens(who):
                return [Token("她" if who.female else "他", "pronoun", who.id)]
            return self._person(who)
        self.discourse.mention(who)
        said = words(who.name.zh, "name", who.id)
        if clause.introduce == "trade":
            return [*words(who.trade.zh), *said]
        if clause.introduce == "town":
            town = words(who.town.name.zh, "town", who.town.id)
            return [Token("来自"), *town, Token("的"), *words(who.trade.zh), *said]
        return [*words(who.traits[0].zh), Token("的"), *words(who.trade.zh), *said]

    def predicate(self, clause: Clause, finite: bool = True) -> list[Token]:
        """The clause without its subject. Not `finite`: no mark of tense (想…, 决定…)."""
        lead = words(clause.frequency.zh) if clause.frequency else []
        if finite and clause.tense in ("progressive", "future"):
            lead.append(Token("正在" if clause.tense == "progressive" else "会"))
        if clause.negated:
            lead.append(Token("没有" if clause.tense == "past" and finite else "不"))
        if clause.companion:
            lead += [Token("和"), *self.noun_phrase(clause.companion), Token("一起")]
        if clause.place:
            lead += self._place(clause.place, clause.name_town)
        if clause.manner:
            lead += words(clause.manner.zh)
        return [*lead, *self._complements(clause, finite)]

    def _place(self, place: Place, named: bool) -> list[Token]:
        town = place.town
        where = [*words(town.name.zh, "town", town.id), Token("的")] if town and named else []
        noun = self.noun_phrase(place)
        bare = place.noun.kind == "building" and place.noun.zh.endswith(("口", "头", "场", "站", "林"))
        return [Token("在"), *where, *noun, *([] if bare else [Token(LOCALISER[place.noun.preposition])])]

    def _complements(self, clause: Clause, finite: bool) -> list[Token]:
        """The frame's pattern, or the verb's own where it fixes the place of its object (^)."""
        le = self._le(clause, finite)
        verb = clause.verb.zh.strip("-_")
        if "^" in verb or clause.frame == "play":
            return self._fixed(clause, verb, le)
        patterns = frames()[clause.frame].zh
        pattern = self.rng.choice(patterns) if self._takes_ba(clause, verb) else patterns[0]
        said: list[Token] = []
        for word in pattern:
            if word == "{V}":
                before, tilde, after = verb.partition("~")
                said += [*words(before), *(le if tilde else []), *words(after)]
            elif word == "~":
                said += le if "~" not in verb else []
            elif word.startswith("{"):
                said += self._complement(clause, word.strip("{}"))
            else:
                said.append(Token(word))
        return said

    def _le(self, clause: Clause, finite: bool) -> list[Token]:
        done = finite and clause.tense == "past"
        stative = clause.verb.zh.endswith("-")
        return [Token("了")] if done and not clause.negated and not clause.frequency and not stative else []

    def _fixed(self, clause: Clause, verb: str, le: list[Token]) -> list[Token]:
        """给^剪~毛: ^ is the object, ~ is 了."""
        if clause.frame == "play":
            instrument = clause["B"]
            played = instrument.noun.played if isinstance(instrument, Topic) else ""
            verb = (verb or played) + "~一会儿^"
        said: list[Token] = []
        part = ""
        for letter in [*verb, ""]:
            if letter not in ("^", "~", ""):
                part += letter
                continue
            said += words(part)
            part = ""
            if letter == "^":
                role = next(role for role in ("O", "R", "P", "B") if clause[role])
                said += self.noun_phrase(clause[role])
            elif letter == "~":
                said += le
        return said

    @staticmethod
    def _takes_ba(clause: Clause, verb: str) -> bool:
        return clause.frame != "act" or verb[-1] in RESULTS

    def _complement(self, clause: Clause, role: str) -> list[Token]:
        filler = clause[role]
        if role == "I" and isinstance(filler, Clause):
            return self.predicate(filler, finite=False)
        if isinstance(filler, Quality) and clause.frame == "describe" and not filler.adjective.degree:
            return [Token("是"), *words(filler.adjective.zh), Token("的")]
        beside = isinstance(filler, Place) and filler.noun.preposition == "by" and clause.frame in ("go", "ride")
        return [*self.noun_phrase(filler), *([Token("边")] if beside else [])]

    # two clauses

    def _joined(self, plan: Joined) -> list[Token]:
        first, second, relation = plan.first, plan.second, plan.relation
        same = first["S"] == second["S"]
        if relation == "who":
            return self._relative(first, second)
        if relation in ("and", "then", "so", "while"):
            kind = "also" if first.lasts and second.lasts else relation if relation != "and" or same else "while"
            link = self.rng.choice(_LINKS[kind])
            omit: list[Token] | None = [] if same and relation in ("and", "then") else None
            return [*self._clause(first), Token("，"), *words(link), *self._clause(second.bare(), subject=omit)]
        before, between, after = self.rng.choice(_SUBORDINATE[relation])
        opener = [*words(first.opener.zh), Token("，")] if first.opener else []
        if relation == "before":
            first, second = second, first  # the earlier event is the main clause: 在…之前，…
        side = self._clause(first.bare())
        main = self._clause(second.bare())
        return [*opener, *words(before), *side, *words(between), Token("，"), *words(after), *main]

    def _relative(self, first: Clause, second: Clause) -> list[Token]:
        """住在…的安娜…: the first clause before the name."""
        who = second["S"]
        described = self._clause(first.bare(), subject=[])
        said = self._person(who) if isinstance(who, Person) else self.noun_phrase(who)
        if said[0].kind == "pronoun":
            return [*said, *described, Token("，"), *self._clause(second.bare(), subject=[])]
        return [*described, Token("的"), *said, *self._clause(second.bare(), subject=[])]

    # questions and patterns

    def _question(self, question: Question) -> list[Token]:
        clause, role = question.clause, question.role
        if role == "yes_no":
            return [*self._clause(clause), Token("吗"), Token("？")]
        if role == "S":
            return [*self._clause(clause, subject=[Token("谁")]), Token("？")]
        if role == "place":
            said = self._clause(_without_place(clause), subject=[*self._subject(clause), *words("是 在 哪里")])
            said = _strip_le(said)
            return [*said, *words("的 ？")]
        if role == "time":
            said = self._clause(clause.bare(), subject=[*self._subject(clause), *words("是 什么时候")])
            return [*_strip_le(said), *words("的 ？")]
        kind = "place" if role in ("P", "K") else "person" if isinstance(clause[role], (Person, Crowd)) else "thing"
        asked = self._clause(clause.with_role(role, Wh(kind)))
        return [*_where_without_localiser(asked), Token("？")]

    def _pattern(self, pattern: tuple[str, ...], roles: dict[str, object]) -> list[Token]:
        said: list[Token] = []
        for word in pattern:
            if word.startswith("{"):
                said += self._pattern_role(word.strip("{}"), roles)
            else:
                said.append(Token(word))
        return said

    def _pattern_role(self, name: str, roles: dict[str, object]) -> list[Token]:
        """{X} a role, {X:own} possessive, {X:name} by name, {X:bare} the noun alone, {X:one} with 一."""
        key, _, form = name.partition(":")
        role = roles[key]
        if form == "own" and isinstance(role, Person):
            return self.possessive(role)
        if form == "name" and isinstance(role, Person):
            self.discourse.mention(role)
            return words(role.name.zh, "name", role.id)
        if form == "bare":
            noun = role if isinstance(role, Noun) else role.noun  # type: ignore[attr-defined]
            kind = "thing" if isinstance(role, Thing) else "place" if isinstance(role, Place) else ""
            return words(noun.zh, kind, role.id if kind else "")  # type: ignore[attr-defined]
        if form == "vp" and isinstance(role, Clause):
            return self._clause(role, subject=[])
        if form == "measure":
            return words(role.noun.measure)  # type: ignore[attr-defined]
        if form == "one" and isinstance(role, Noun):
            return [*words("一"), *words(role.measure), *words(role.zh)]
        return self.noun_phrase(role)


_LINKS = {
    "and": ("", "还", "并且"),
    "also": ("", "", "也", "并且"),
    "then": ("然后", "接着", "随后"),
    "so": ("所以", "于是", "因此"),
    "while": ("而", "同时"),
}
_SUBORDINATE = {
    "after": (("", "之后", ""), ("", "以后", ""), ("在", "之后", "")),
    "before": (("", "之前", ""), ("在", "之前", ""), ("", "以前", "")),
    "when": (("", "的 时候", ""), ("当", "时", "")),
    "because": (("因为", "", "所以"), ("由于", "", ""), ("因为", "", "")),
    "although": (("虽然", "", "但是"), ("尽管", "", "不过"), ("虽然", "", "可是")),
}


def _attribute(adjective: Adjective) -> list[Token]:
    """旧, 橡木, 生锈的: one character or a material stands alone, more take 的."""
    return words(adjective.zh) if _closeness(adjective) else [*words(adjective.zh), Token("的")]


def _closeness(adjective: Adjective) -> int:
    """How near to the noun: 0 with 的, 1 of one character, 2 a material."""
    material = sort_of(adjective.en) == SORTS.index("material") and not adjective.zh.endswith(("制", "砌"))
    return 2 if material else int(len(adjective.zh) == 1)


def _long_first(adjectives: tuple[Adjective, ...]) -> list[Adjective]:
    return sorted(adjectives, key=_closeness)


def _without_place(clause: Clause) -> Clause:
    return Clause(clause.frame, clause.verb, clause.roles, clause.tense, manner=clause.manner)


def _strip_le(tokens: list[Token]) -> list[Token]:
    """是…的 questions have no 了."""
    return [token for token in tokens if token.text != "了"]


def _where_without_localiser(tokens: list[Token]) -> list[Token]:
    """'在哪里', not '在哪里里'."""
    done: list[Token] = []
    for token in tokens:
        if (
            done
            and done[-1].text == "哪里"
            and token.text in ("里", "里面", "上", "上面", "下面", "底下", "后面", "旁边", "附近", "边")
        ):
            continue
        done.append(token)
    return done
