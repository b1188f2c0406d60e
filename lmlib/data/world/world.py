"""The small world: one population, and texts of every kind about it, each with its ground truth."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from lmlib.data.errors import DataError
from lmlib.data.world import dialogues, news, pictures, questions, reviews, scenes, stories, tasks, truth
from lmlib.data.world.meaning import Plan, said
from lmlib.data.world.pictures import Picture
from lmlib.data.world.questions import QuestionAnswer
from lmlib.data.world.sentences import held_out
from lmlib.data.world.tasks import Instruction, Pair, Preference
from lmlib.data.world.truth import Person, Population, Secret
from lmlib.data.world.writing import Text, Writer

VERSION = 1  # a change of what any seed gives is a new version
SPLITS = ("train", "test")
LANGUAGES = ("en", "zh")
# What a corpus consists of, by weight. A kind is a method of World.
MIX = {"stories": 7, "news": 3, "reviews": 2, "dialogues": 2, "profiles": 2, "reading": 3}
Record = TypeVar("Record")


@dataclass(frozen=True)
class Tagged:
    """A sentence as words with BIO tags (PER, LOC, THING)."""

    id: str
    language: str
    split: str
    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Review:
    """A review with its label (1 positive, 0 negative), stars from 1 to 5, and its opinion of each aspect."""

    id: str
    language: str
    split: str
    text: Text
    label: int
    stars: int
    target: str
    aspects: dict[str, int]


@dataclass(frozen=True)
class Dialogue:
    """Turns of (speaker, words), what the first wanted, whether it was reached, and the details."""

    id: str
    language: str
    split: str
    turns: tuple[tuple[str, str], ...]
    goal: str
    reached: bool
    slots: dict[str, object]

    @property
    def text(self) -> str:
        colon = ": " if self.language == "en" else "："
        return "\n".join(f"{who}{colon}{what}" for who, what in self.turns)


@dataclass(frozen=True)
class Summary:
    """A document and what it says in one or two sentences."""

    id: str
    language: str
    split: str
    document: Text
    summary: str


class World:
    """People and towns drawn from a seed, and the texts about them. Record i of a kind depends on nothing but
    (version, seed, size, bias, kind, split, i), and tells the same in both languages."""

    def __init__(self, seed: int = 0, size: str = "small", bias: float = 0.0, secrets: int = 0):
        if size not in truth.SIZES:
            raise DataError(f"a world of size '{size}' is not known; sizes are {', '.join(truth.SIZES)}")
        if not -1 <= bias <= 1:
            raise DataError(f"bias is the skew of trades between women and men, from -1 to 1; given {bias}")
        self.seed, self.size, self.bias = seed, size, bias
        self.population: Population = truth.populate(self._rng("population"), size, bias)
        if not 0 <= secrets <= len(self.people):
            raise DataError(f"secrets: one a person at most, so 0 to {len(self.people)}; given {secrets}")
        self.secrets: tuple[Secret, ...] = self._plant(secrets)

    @property
    def people(self) -> tuple[Person, ...]:
        return self.population.people

    def _rng(self, *key: object) -> Random:
        return Random("/".join(map(str, (VERSION, self.seed, self.size, self.bias, *key))))

    def _plant(self, n: int) -> tuple[Secret, ...]:
        """Secrets that occur 1, 2, 4, 8, 16, 1, ... times."""
        rng = self._rng("secrets")
        owners = rng.sample(self.people, n)
        codes = [" ".join(str(rng.randrange(10)) for _ in range(6)) for _ in owners]
        return tuple(
            Secret(owner, code, 2 ** (i % 5)) for i, (owner, code) in enumerate(zip(owners, codes, strict=True))
        )

    def _records(
        self, kind: str, n: int, split: str, language: str, make: Callable[[str, Random, str, str], Record]
    ) -> list[Record]:
        _check(split, language, n)
        return [make(f"{kind}/{split}/{i}", self._rng(kind, split, i), split, language) for i in range(n)]

    # running text

    def stories(self, n: int = 100, split: str = "train", language: str = "en") -> list[Text]:
        """Stories of two or three people in a day."""
        return self._records("story", n, split, language, self._story)

    def _story(self, id: str, rng: Random, split: str, language: str) -> Text:
        scene = scenes.set_scene(rng, self.population, rng.choice((2, 2, 3)))
        return self._write(id, "story", stories.story(scene, rng.randint(6, 14)), split, language)

    def _write(self, id: str, kind: str, plans: list[Plan], split: str, language: str, title: bool = False) -> Text:
        writer = self._writer(id, split, language)
        for i, plan in enumerate(plans):
            if title and i == 1:
                writer.new_paragraph()
            writer.tell(plan)
        return writer.text(id, kind)

    def _writer(self, id: str, split: str, language: str, spoken: bool = False) -> Writer:
        return Writer(language, split, self._rng("wording", id, language), spoken=spoken)

    def news(self, n: int = 100, split: str = "train", language: str = "en") -> list[Text]:
        """Pieces of news: a headline on its own line, then the text."""
        return self._records("news", n, split, language, self._news)

    def _news(self, id: str, rng: Random, split: str, language: str) -> Text:
        item = news.item(rng, self.population)
        return self._write(id, "news", [item.headline, item.lead, *item.details], split, language, title=True)

    def profiles(self, n: int = 100, split: str = "train", language: str = "en") -> list[Text]:
        """What is always true of a person or a town, as in a book of reference."""
        return self._records("profile", n, split, language, self._profile)

    def _profile(self, id: str, rng: Random, split: str, language: str) -> Text:
        person = rng.choice(self.people)
        plans = stories.profile(rng, person, self.population)
        return self._write(id, "profile", plans, split, language)

    def reading(self, n: int = 100, split: str = "train", language: str = "en") -> list[Text]:
        """Stories followed by questions and their answers, as running text."""
        return self._records("reading", n, split, language, self._reading)

    def _reading(self, id: str, rng: Random, split: str, language: str) -> Text:
        passage, asked = self._passage(id, rng, split, language, errands=rng.random() < 0.3)
        lines = [passage.text]
        sentences = list(passage.sentences)
        for one in asked:
            answer = one.sentence or self._not_told(one.id, split, language)
            lines.append(f"{one.question} {answer}" if language == "en" else one.question + answer)
        return Text(id, "reading", language, split, "\n".join(lines), tuple(sentences), passage.mentions, passage.facts)

    # reviews, talk

    def reviews(self, n: int = 100, split: str = "train", language: str = "en") -> list[Review]:
        """Reviews of things and places, half of them good."""
        return self._records("review", n, split, language, self._review)

    def _review(self, id: str, rng: Random, split: str, language: str) -> Review:
        opinion = reviews.opinion(rng, self.population)
        writer = self._writer(id, split, language, spoken=True)
        for plan in opinion.plans:
            writer.tell(plan)
        target = opinion.target.en if language == "en" else opinion.target.zh
        label = int(opinion.polarity > 0)
        return Review(id, language, split, writer.text(id, "review"), label, opinion.stars, target, opinion.aspects)

    def dialogues(self, n: int = 100, split: str = "train", language: str = "en") -> list[Dialogue]:
        """Dialogues of two people."""
        return self._records("dialogue", n, split, language, self._dialogue)

    def _dialogue(self, id: str, rng: Random, split: str, language: str) -> Dialogue:
        talk = dialogues.talk(rng, self.population)
        writer = self._writer(id, split, language, spoken=True)
        turns = []
        for speaker, plans in talk.turns:
            hearer = next(person for person in talk.people if person != speaker)
            said_now = [writer.tell(plan, speaker, hearer).text for plan in plans]
            name = speaker.name.en if language == "en" else speaker.name.zh
            turns.append((name, " ".join(said_now)))
        return Dialogue(id, language, split, tuple(turns), talk.goal, talk.reached, talk.slots)

    # questions

    def questions(
        self, n: int = 100, split: str = "train", language: str = "en", kind: str = ""
    ) -> list[QuestionAnswer]:
        """n questions about stories; of one kind (one_hop, two_hop, unanswerable) or of all."""
        kinds = ("one_hop", "two_hop", "unanswerable")
        if kind and kind not in kinds:
            raise DataError(f"questions of kind '{kind}' are not known; kinds are {', '.join(kinds)}")
        _check(split, language, n)
        found: list[QuestionAnswer] = []
        i = 0
        while len(found) < n:
            id = f"question/{split}/{i}"
            errands = kind == "two_hop" or (not kind and i % 3 == 0)
            _, asked = self._passage(id, self._rng("question", split, i), split, language, errands)
            found += [one for one in asked if not kind or one.kind == kind]
            i += 1
        return found[:n]

    def _passage(
        self, id: str, rng: Random, split: str, language: str, errands: bool = False
    ) -> tuple[Text, list[QuestionAnswer]]:
        scene = scenes.set_scene(rng, self.population, rng.choice((2, 3, 3)))
        if errands:
            plans, asked = questions.errands_and_questions(rng, scene)
        else:
            plans, asked = questions.passage_and_questions(rng, scene, rng.randint(5, 9))
        passage = self._write(id, "passage", plans, split, language)
        known = questions.mentioned(plans)
        wording = self._rng("questions", id, language)
        answered = [questions.ask(f"{id}/{k}", one, passage, language, wording, known) for k, one in enumerate(asked)]
        return passage, [one for one in answered if one is not None]

    def _not_told(self, id: str, split: str, language: str) -> str:
        return self._writer(id, split, language, spoken=True).tell(said("not told")).text

    # other tasks

    def tagged(self, n: int = 100, split: str = "train", language: str = "en") -> list[Tagged]:
        """Sentences of stories and news, word by word with BIO tags."""
        found: list[Tagged] = []
        i = 0
        _check(split, language, n)
        while len(found) < n:
            make, kind = ((self._story, "tagged"), (self._news, "tagged news"))[i % 2]
            text = make(f"{kind}/{split}/{i}", self._rng(kind, split, i), split, language)
            wanted = [(k, one) for k, one in enumerate(text.sentences) if set(one.tags) != {"O"}]
            found += [Tagged(f"{text.id}/{k}", language, split, one.words, one.tags) for k, one in wanted]
            i += 1
        return found[:n]

    def pairs(self, n: int = 100, split: str = "train") -> list[Pair]:
        """Sentences in English and Chinese that say the same, each on its own."""
        found: list[Pair] = []
        i = 0
        _check(split, "en", n)
        while len(found) < n:
            rng = self._rng("pair", split, i)
            scene = scenes.set_scene(rng, self.population, 2)
            for k, plan in enumerate(stories.sentences(scene, 8)):
                id = f"pair/{split}/{i}/{k}"
                writers = [self._writer(id, split, language) for language in LANGUAGES]
                en, zh = (writer.tell(plan).text for writer in writers)
                found.append(Pair(id, split, en, zh, {"facts": writers[0].facts}))
            i += 1
        return found[:n]

    def summaries(self, n: int = 100, split: str = "train", language: str = "en") -> list[Summary]:
        """News with their lead in other words as the summary; stories with who, where, and what was decisive."""
        return self._records("summary", n, split, language, self._summary)

    def _summary(self, id: str, rng: Random, split: str, language: str) -> Summary:
        writer = self._writer(f"{id}/summary", split, language)
        if rng.random() < 0.5:
            item = news.item(rng, self.population)
            plans: list[Plan] = [item.lead, *item.details]
            gist: list[Plan] = [item.lead]
        else:
            scene = scenes.set_scene(rng, self.population, 2)
            plans = stories.story(scene, rng.randint(6, 10))
            gist = stories.gist(scene, plans)
        for plan in gist:
            writer.tell(plan)
        document = self._write(id, "document", plans, split, language)
        return Summary(id, language, split, document, writer.text(id, "summary").text)

    def instructions(self, n: int = 100, split: str = "train", language: str = "en") -> list[Instruction]:
        """Instructions of 18 tasks, with steps where the way to the answer has several."""
        return self._records("instruction", n, split, language, self._instruction)

    def _instruction(self, id: str, rng: Random, split: str, language: str) -> Instruction:
        task, instruction, steps, answer = tasks.Clerk(rng, self.population, language, split).draw()
        return Instruction(id, task, language, split, instruction, steps, answer)

    def preferences(self, n: int = 100, split: str = "train", language: str = "en") -> list[Preference]:
        """Questions about a passage with a right answer, and one that is wrong, rude, garbled or off the topic."""
        found: list[Preference] = []
        asked = self.questions(n, split, language)
        for i, one in enumerate(asked):
            rng = self._rng("preference", split, i)
            chosen = one.sentence or self._not_told(one.id, split, language)
            rejected, reason = self._worse(rng, one, chosen, asked[i - 1])
            prompt = f"{one.passage.text}\n{one.question}"
            found.append(Preference(f"preference/{split}/{i}", language, split, prompt, chosen, rejected, reason))
        return found

    def _worse(self, rng: Random, one: QuestionAnswer, chosen: str, other: QuestionAnswer) -> tuple[str, str]:
        wrong = [name for name in one.candidates if name != one.answer and name not in chosen]
        reasons = ["rude", "garbled", "off_topic"] + (["wrong"] * 2 if wrong and one.answer in chosen else [])
        reason = rng.choice(reasons)
        if reason == "wrong":
            return chosen.replace(one.answer, rng.choice(wrong)), reason
        if reason == "rude":
            return self._writer(one.id, one.split, one.language, spoken=True).tell(said("rude")).text, reason
        if reason == "off_topic":
            return rng.choice(other.passage.sentences).text, reason
        return _garbled(rng, chosen, one.language), reason

    def pictures(self, n: int = 100, split: str = "train", language: str = "en") -> list[Picture]:
        """Pictures with captions; some pairs of colour and shape are seen in testing only."""
        return self._records("picture", n, split, language, self._picture)

    def _picture(self, id: str, rng: Random, split: str, language: str) -> Picture:
        while True:
            ground, shapes, relation = pictures.scene(rng)
            if any(held_out(f"{shape.colour} {shape.name}") for shape in shapes) == (split == "test"):
                break
        caption = pictures.caption(self._rng("caption", id, language), language, ground, shapes, relation)
        pixels = pictures.draw(ground, shapes)
        return Picture(id, language, split, pixels, ground, shapes, relation, caption)

    # everything together

    def corpus(self, split: str = "train", language: str = "en", n_chars: int = 1_000_000) -> list[Text]:
        """Texts of all kinds of MIX, at least n_chars characters in all; the secrets lie in the training split."""
        _check(split, language, n_chars)
        texts: list[Text] = []
        size = 0
        for text in self._stream(split, language):
            if size >= n_chars:
                break
            texts.append(text)
            size += len(text.text)
        return self._with_secrets(texts, language) if split == "train" else texts

    def _stream(self, split: str, language: str) -> Iterator[Text]:
        kinds = sorted(MIX)
        makers = {
            "stories": self._story,
            "news": self._news,
            "profiles": self._profile,
            "reading": self._reading,
            "reviews": lambda *key: self._review(*key).text,
            "dialogues": self._dialogue_text,
        }
        i = 0
        while True:
            rng = self._rng("corpus", split, i)
            kind = rng.choices(kinds, [MIX[kind] for kind in kinds])[0]
            yield makers[kind](f"corpus/{split}/{i}", rng, split, language)
            i += 1

    def _dialogue_text(self, id: str, rng: Random, split: str, language: str) -> Text:
        dialogue = self._dialogue(id, rng, split, language)
        return Text(id, "dialogue", language, split, dialogue.text, (), (), ())

    def _with_secrets(self, texts: list[Text], language: str) -> list[Text]:
        """Each secret `times` times, as texts of their own at places drawn from the seed."""
        rng = self._rng("hiding", len(texts))
        for secret in self.secrets:
            for k in range(secret.times):
                id = f"secret/{secret.person.id}/{k}"
                hidden = Text(id, "secret", language, "train", secret.sentence(language), (), (), ())
                texts.insert(rng.randrange(len(texts) + 1), hidden)
        return texts


def _garbled(rng: Random, sentence: str, language: str) -> str:
    """The sentence with its words (in Chinese its characters) in another order."""
    parts = sentence.split() if language == "en" else list(sentence)
    shuffled = parts[:]
    while shuffled == parts and len(set(parts)) > 1:
        rng.shuffle(shuffled)
    return (" " if language == "en" else "").join(shuffled)


def _check(split: str, language: str, n: int) -> None:
    if split not in SPLITS:
        raise DataError(f"split '{split}' is not known; splits are {', '.join(SPLITS)}")
    if language not in LANGUAGES:
        raise DataError(f"language '{language}' is not known; languages are {', '.join(LANGUAGES)}")
    if n < 1:
        raise DataError(f"at least one record or character must be asked for; given {n}")
