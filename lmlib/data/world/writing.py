"""Writing a text: each plan becomes a sentence whose skeleton the split allows."""

from dataclasses import dataclass, replace
from random import Random

from lmlib.data.world.chinese_grammar import Chinese
from lmlib.data.world.english_grammar import English
from lmlib.data.world.lexicon import Phrase
from lmlib.data.world.meaning import Clause, Discourse, Joined, Plan, leads
from lmlib.data.world.sentences import Mention, Sentence, Token, held_out, sentence, words
from lmlib.data.world.truth import Person

GRAMMARS: dict[str, type[English] | type[Chinese]] = {"en": English, "zh": Chinese}
TRIES = 10
SHORT = 7  # slots; sentences of fewer are often worded anew, for their skeletons would be the most common


@dataclass(frozen=True)
class Text:
    """A text with its sentences and the ground truth it tells."""

    id: str
    kind: str
    language: str
    split: str
    text: str
    sentences: tuple[Sentence, ...]
    mentions: tuple[Mention, ...]  # positions in `text`
    facts: tuple[dict[str, object], ...]  # what the text states, in order


class Writer:
    """Puts plans into words, one after the other, with one discourse."""

    def __init__(
        self, language: str, split: str, rng: Random, discourse: Discourse | None = None, spoken: bool = False
    ):
        self.language, self.split, self.rng, self.spoken = language, split, rng, spoken
        self.discourse = discourse or Discourse()
        self.sentences: list[Sentence] = []
        self.breaks: set[int] = set()  # sentences that begin a paragraph
        self.facts: list[dict[str, object]] = []

    def tell(
        self, plan: Plan, speaker: Person | None = None, hearer: Person | None = None, opening: str = ""
    ) -> Sentence:
        """Say a plan as the next sentence, after an opening. Training uses only skeletons that are not held out."""
        self.discourse.speaker, self.discourse.hearer = speaker, hearer
        done, discourse = self._allowed(plan, words(opening))
        discourse.next_sentence()
        self.discourse = discourse
        self.sentences.append(done)
        self.facts += facts_of(plan)
        return done

    def _allowed(self, plan: Plan, opening: list[Token]) -> tuple[Sentence, Discourse]:
        """The first wording that the split allows; in testing a held-out one, if two tries give one."""
        wanted = self.split == "test"
        for attempt in range(TRIES):
            done, discourse = self._wording(plan, opening)
            if not wanted and done.skeleton.count(" ") < SHORT and attempt < 2 and self.rng.random() < 0.6:
                continue
            if held_out(done.skeleton) == wanted or (wanted and attempt == 1):
                return done, discourse
        plan = _without_opener(plan)
        possible = leads("spoken" if self.discourse.speaker or self.spoken else "told", self.language)
        for lead in self.rng.sample(possible, len(possible)):
            done, discourse = self._wording(plan, words(lead))
            if not held_out(done.skeleton):
                return done, discourse
        raise RuntimeError(f"every wording has a held-out skeleton: {done.text}")

    def _wording(self, plan: Plan, lead: list[Token]) -> tuple[Sentence, Discourse]:
        discourse = self.discourse.copy()
        tokens = GRAMMARS[self.language](self.rng, discourse).say(plan)
        return sentence([*lead, *tokens], self.language), discourse

    def new_paragraph(self) -> None:
        self.breaks.add(len(self.sentences))

    def text(self, id: str, kind: str) -> Text:
        """The sentences as one text: in English with spaces between them, paragraphs on lines of their own."""
        said, mentions = "", []
        for i, one in enumerate(self.sentences):
            if said:
                said += "\n" if i in self.breaks else " " if self.language == "en" else ""
            start = len(said)
            mentions += [Mention(m.start + start, m.end + start, m.entity, m.kind) for m in one.mentions]
            said += one.text
        return Text(
            id, kind, self.language, self.split, said, tuple(self.sentences), tuple(mentions), tuple(self.facts)
        )


def _without_opener(plan: Plan) -> Plan:
    if isinstance(plan, Joined):
        return replace(plan, first=replace(plan.first, opener=None))
    return replace(plan, opener=None) if isinstance(plan, Clause) else plan


def facts_of(plan: Plan) -> list[dict[str, object]]:
    """What a plan states, as plain data: the frame, the verb, and the roles by id or word."""
    if isinstance(plan, Joined):
        return [*facts_of(plan.first), *facts_of(plan.second)]
    if not isinstance(plan, Clause):
        return []
    roles = {name: _plain(filler) for name, filler in plan.roles}
    if plan.place:
        roles["place"] = plan.place.id
    if plan.companion:
        roles["companion"] = plan.companion.id
    fact: dict[str, object] = {"frame": plan.frame, "verb": plan.verb.en, "tense": plan.tense, **roles}
    return [fact | {"negated": True} if plan.negated else fact]


def _plain(filler: object) -> object:
    if isinstance(filler, Clause):
        return facts_of(filler)[0]
    if isinstance(filler, Phrase):
        return filler.en
    for name in ("id", "n"):
        if hasattr(filler, name):
            return getattr(filler, name)
    for name in ("noun", "adjective", "person", "thing"):
        if hasattr(filler, name):
            return _plain(getattr(filler, name))
    return getattr(filler, "en", filler)
