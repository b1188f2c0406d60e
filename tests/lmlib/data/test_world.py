"""The small world: what its texts hold to, and that their ground truth is true."""

import hashlib
import re
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest

from lmlib.data.errors import DataError
from lmlib.data.world import LANGUAGES, SPLITS, make, truth
from lmlib.data.world import lexicon as words_of_the_world
from lmlib.data.world.sentences import held_out
from lmlib.data.world.writing import Writer

KINDS = (
    "stories", "news", "profiles", "reading", "reviews", "dialogues", "questions", "tagged", "summaries", "instructions",
    "preferences", "pictures",
)  # fmt: skip


@pytest.fixture(scope="module")
def world():
    return make(seed=0)


@pytest.fixture(scope="module")
def corpora(world):
    return {(split, language): world.corpus(split, language, SIZES[language]) for split in SPLITS for language in LANGUAGES}


SIZES = {"en": 1_000_000, "zh": 400_000}


@pytest.fixture(scope="module")
def skeletons(world):
    """How often each skeleton was written into each corpus: every sentence goes through `Writer.tell`."""
    counts = {}
    tell = Writer.tell
    for split in SPLITS:
        for language in LANGUAGES:
            count = counts[split, language] = Counter()

            def counted(self, *args, count=count, **roles):
                one = tell(self, *args, **roles)
                count[one.skeleton] += 1
                return one

            Writer.tell = counted
            world.corpus(split, language, SIZES[language])
    Writer.tell = tell
    return counts


# reproducible


def digest(world) -> str:
    total = hashlib.sha256()
    for language in LANGUAGES:
        for text in world.corpus("train", language, 20_000):
            total.update(text.text.encode())
        for kind in KINDS:
            for record in getattr(world, kind)(5, "test", language):
                plain = [getattr(record, field.name) for field in fields(record) if field.name != "pixels"]
                total.update(repr(plain).encode())
    return total.hexdigest()


def test_version_and_seed_give_the_same_bytes_on_every_machine(world):
    assert digest(world) == "GOLDEN"


def test_another_seed_gives_another_world(world):
    assert make(seed=1).stories(3) != world.stories(3)


def test_a_record_does_not_depend_on_how_many_are_asked_for(world):
    for kind in KINDS[:-1]:
        assert getattr(world, kind)(7)[:3] == getattr(world, kind)(3)


# vocabulary


def test_english_corpus_has_two_thousand_words_without_names(corpora):
    """Words are counted by dictionary form; those of names and closed-class words are left out."""
    seen = {word.lower() for text in corpora["train", "en"] for one in text.sentences for word in one.words}
    assert len(english_lexicon() & dictionary_forms(seen)) >= 2000


def english_lexicon() -> set[str]:
    entries = [noun.en for noun in words_of_the_world.all_nouns()] + [verb.en for verb in words_of_the_world.all_verbs()]
    entries += [one.en for kind in ADJECTIVE_KINDS for one in words_of_the_world.adjectives(kind)]
    entries += [one.en for use in ("manner", "frequency", "opener", "degree") for one in words_of_the_world.phrases(use)]
    closed = words_of_the_world.function_words("en")
    return {word.lower() for entry in entries for word in entry.split()} - closed


ADJECTIVE_KINDS = (
    *truth.DESCRIBED, "dish", "fruit", "drink", "pet", "wildlife", "flower", "part", "person", "feeling", "opinion", "town",
    "weather",
)  # fmt: skip


def dictionary_forms(seen: set[str]) -> set[str]:
    """The forms themselves, and the dictionary forms of inflected ones, by asking how each entry is inflected."""
    from lmlib.data.world import english

    found = set(seen)
    for entry in english_lexicon():
        forms = {english.plural(entry), english.past(entry), english.participle(entry), english.ing(entry)}
        if (forms | {english.third_person(entry)}) & seen:
            found.add(entry)
    return found


def test_chinese_corpus_has_two_thousand_words_without_names(corpora):
    """Words are counted as the lexicon segments them; names and closed-class words are left out."""
    seen = {word for text in corpora["train", "zh"] for one in text.sentences for word in one.words}
    entries = {noun.zh for noun in words_of_the_world.all_nouns()}
    entries |= {re.sub("[~^_-]", "", verb.zh) for verb in words_of_the_world.all_verbs()}
    entries |= {one.zh for kind in ADJECTIVE_KINDS for one in words_of_the_world.adjectives(kind)}
    entries |= {one.zh for use in ("manner", "opener", "time", "degree") for one in words_of_the_world.phrases(use)}
    assert len((entries & seen) - words_of_the_world.function_words("zh")) >= 2000


def test_chinese_text_has_no_spaces_or_latin_letters(corpora):
    text = "".join(text.text for text in corpora["train", "zh"])
    assert not re.search("[A-Za-z ]", text)


# skeletons


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("split", SPLITS)
def test_no_skeleton_makes_up_more_than_half_a_percent(skeletons, split, language):
    count = skeletons[split, language]
    (skeleton, n), *_ = count.most_common(1)
    assert n <= 0.005 * count.total(), skeleton


@pytest.mark.parametrize("language", LANGUAGES)
def test_training_never_shows_a_held_out_skeleton_and_testing_does(skeletons, language):
    assert not [skeleton for skeleton in skeletons["train", language] if held_out(skeleton)]
    test = skeletons["test", language]
    new = sum(n for skeleton, n in test.items() if held_out(skeleton))
    assert new >= 0.15 * test.total()


def test_english_skeletons_can_be_read_off_the_text(world):
    """The skeleton again, from the text alone: names by their list, closed words by theirs, everything else one slot."""
    closed = words_of_the_world.function_words("en") | set(",.?!;:") | {"“", "”"}
    names = {part for kind in ("women", "men", "towns") for one in words_of_the_world.names(kind) for part in one.en.split()}
    numbers = re.compile(NUMBER_WORDS)
    for text in world.stories(40, "test"):
        for one in text.sentences:
            slots = []
            for word in re.findall(r"'s|[\w'-]+|[^\w\s]", one.text.replace("'s", " 's")):
                lower = "a" if word.lower() == "an" else word.lower()
                name = "NAME" if word in names else "NUM" if numbers.fullmatch(lower) else ""
                slots.append(name or (lower if lower in closed else "_"))
            merged = [slot for i, slot in enumerate(slots) if slot not in ("_", "NAME", "NUM") or slot != slots[i - 1]]
            assert collapsed(merged) == collapsed(one.skeleton.split()), one.text


NUMBER_WORDS = (
    "(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|"
    "nineteen|(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(-[a-z]+)?)"
)


def collapsed(slots: list[str]) -> list[str]:
    """Without what the text alone cannot tell apart: names of two words, and the number words of plain phrases."""
    kept = ["_" if slot in ("NUM", "one", "once") else slot for slot in slots]
    return [slot for i, slot in enumerate(kept) if slot != "_" or i == 0 or kept[i - 1] != "_"]
