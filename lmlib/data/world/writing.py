"""Writing a text: each plan becomes a sentence whose skeleton the split allows."""

from dataclasses import dataclass, replace
from random import Random

from lmlib.data.world.chinese_grammar import Chinese
from lmlib.data.world.english_grammar import English
from lmlib.data.world.lexicon import Phrase
from lmlib.data.world.meaning import Clause, Discourse, Joined, Plan
from lmlib.data.world.sentences import Mention, Sentence, Token, held_out, sentence, words
from lmlib.data.world.truth import Person

GRAMMARS = {"en": English, "zh": Chinese}
TRIES = 10
# Said before a sentence when none of its wordings may be used: they change its skeleton, not what it says.
TOLD_LEADS = {
    "en": ("that day ,", "after that ,", "by then ,", "before long ,", "once again ,", "at last ,", "then ,", "on that day ,",
           "in the end ,", "on the same day ,", "as it was ,", "there and then ,", "from then on ,"),
    "zh": ("那 天 ，", "然后 ，", "就 这样 ，", "这 时 ，", "当 时 ，", "在 那 之后 ，", "也 是 那 天 ，", "就 在 那 天 ，",
           "那 时候 ，", "又 一 天 ，", "再 往后 ，", "在 这 一 天 ，", "后来 ，"),
}  # fmt: skip
SPOKEN_LEADS = {
    "en": ("well ,", "now ,", "oh ,", "yes ,", "so ,", "by the way ,", "you know ,", "for me ,", "as you know ,",
           "to be honest ,", "after all ,", "all in all ,", "let me see :", "on the whole ,", "if you ask me ,"),
    "zh": ("嗯 ，", "那么 ，", "哦 ，", "对了 ，", "好 ，", "其实 ，", "你 知道 ，", "说 真的 ，", "是 这样 ，", "我 想 ，", "要 我 说 ，",
           "好的 ，", "你 看 ，", "不过 ，", "说 到 这 ，"),
}  # fmt: skip


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
        """Say a plan as the next sentence, after an opening. In training only skeletons that are not held out are used."""
        self.discourse.speaker, self.discourse.hearer = speaker, hearer
        done, discourse = self._allowed(plan, words(opening))
        discourse.next_sentence()
        self.discourse = discourse
        self.sentences.append(done)
        self.facts += facts_of(plan)
        return done

    def _allowed(self, plan: Plan, opening: list[Token]) -> tuple[Sentence, Discourse]:
        """The first wording that the split allows; in testing one that training never shows, if three tries give one."""
        wanted = self.split == "test"
        for attempt in range(TRIES):
            done, discourse = self._wording(plan, opening)
            if held_out(done.skeleton) == wanted or (wanted and attempt == 2):
                return done, discourse
        plan = _without_opener(plan)
        leads = (SPOKEN_LEADS if self.discourse.speaker or self.spoken else TOLD_LEADS)[self.language]
        for lead in self.rng.sample(leads, len(leads)):
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
