"""The small world: what its texts hold to, and that their ground truth is true."""

import hashlib
import re
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest

from lmlib.data.errors import DataError
from lmlib.data.world import LANGUAGES, SPLITS, english, make, pictures, truth
from lmlib.data.world import lexicon as words_of_the_world
from lmlib.data.world.sentences import held_out
from lmlib.data.world.writing import Writer

KINDS = (
    "stories", "news", "profiles", "reading", "reviews", "dialogues", "questions", "tagged", "summaries",
    "instructions", "preferences", "pictures",
)  # fmt: skip


@pytest.fixture(scope="module")
def world():
    return make(seed=0)


SIZES = {("train", "en"): 600_000, ("test", "en"): 250_000, ("train", "zh"): 240_000, ("test", "zh"): 100_000}


@pytest.fixture(scope="module")
def written(world):
    """The corpora, and how often each skeleton was written into them: every sentence goes through `Writer.tell`."""
    texts, counts = {}, {}
    tell = Writer.tell
    for (split, language), n_chars in SIZES.items():
        count = counts[split, language] = Counter()

        def counted(self, *args, count=count, **more):
            one = tell(self, *args, **more)
            count[one.skeleton] += 1
            return one

        Writer.tell = counted
        texts[split, language] = world.corpus(split, language, n_chars)
    Writer.tell = tell
    return texts, counts


@pytest.fixture(scope="module")
def corpora(written):
    return written[0]


@pytest.fixture(scope="module")
def skeletons(written):
    return written[1]


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
    assert digest(world) == "12e9357d5cd524c8a19cd0440402f184f5297c0c40e4b6fba82de170f6436ff3"


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
    entries = [noun.en for noun in words_of_the_world.all_nouns()] + [
        verb.en for verb in words_of_the_world.all_verbs()
    ]
    entries += [one.en for kind in ADJECTIVE_KINDS for one in words_of_the_world.adjectives(kind)]
    entries += [
        one.en for use in ("manner", "frequency", "opener", "degree") for one in words_of_the_world.phrases(use)
    ]
    closed = words_of_the_world.function_words("en")
    return {word.lower() for entry in entries for word in entry.split()} - closed


ADJECTIVE_KINDS = (
    *truth.DESCRIBED, "dish", "fruit", "drink", "pet", "wildlife", "flower", "part", "person", "feeling", "opinion",
    "town", "weather",
)  # fmt: skip


def dictionary_forms(seen: set[str]) -> set[str]:
    """The forms themselves, and the dictionary forms of inflected ones, by asking how each entry is inflected."""
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
    """The skeleton again, from the text alone: names by their list, closed words by theirs, all else one slot."""
    closed = words_of_the_world.function_words("en") | set(",.?!;:") | {"“", "”"}
    names = {
        part for kind in ("women", "men", "towns") for one in words_of_the_world.names(kind) for part in one.en.split()
    }
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


# ground truth


def test_both_languages_tell_the_same_story(world):
    english, chinese = (world.stories(20, "train", language) for language in LANGUAGES)
    assert [text.facts for text in english] == [text.facts for text in chinese]


@pytest.mark.parametrize("language", LANGUAGES)
def test_mentions_point_at_the_names_of_their_entities(world, language):
    names = {one.id: getattr(one.name, language) for one in (*world.people, *world.population.towns)}
    checked = 0
    for text in world.stories(30, "test", language):
        for mention in text.mentions:
            if mention.kind in ("person", "town"):
                assert text.text[mention.start : mention.end] == names[mention.entity]
                checked += 1
    assert checked > 100


def test_pronouns_agree_with_the_gender_of_whom_they_mean(world):
    female = {person.id: person.female for person in world.people}
    for language, forms in (("en", ({"she", "her"}, {"he", "him", "his"})), ("zh", ({"她"}, {"他"}))):
        said = [
            (text.text[m.start : m.end].lower(), m.entity)
            for text in world.stories(60, "train", language)
            for m in text.mentions
            if m.kind == "pronoun" and m.entity in female
        ]
        assert len(said) > 100
        assert all(word in forms[0 if female[entity] else 1] for word, entity in said)


def test_a_name_stands_before_its_pronoun(world):
    for text in world.stories(60):
        seen = set()
        for mention in text.mentions:
            if mention.kind == "pronoun" and "+" not in mention.entity:
                assert mention.entity in seen, text.text
            seen.add(mention.entity)


def test_long_range_facts_are_asked_for_far_later(world):
    """The last sentence of a story says where a thing is that was put away many sentences before."""
    distances = []
    for text in world.stories(200):
        end = text.facts[-1]
        state = end.get("C")
        if isinstance(state, dict) and state["frame"].startswith("be_"):
            put = [i for i, one in enumerate(text.sentences) if state["S"] in {m.entity for m in one.mentions}]
            distances.append(len(text.sentences) - 1 - put[0])
    assert len(distances) > 50
    assert np.mean(distances) > 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_stand_in_the_passage(world, language):
    for one in world.questions(150, "test", language):
        if one.kind == "unanswerable":
            assert (one.answer, one.span) == ("", None)
        else:
            start, end = one.span
            assert one.passage.text[start:end] == one.answer
            assert one.answer in one.candidates
            assert one.answer in one.sentence


def test_two_hop_answers_are_where_the_carrier_went(world):
    """The whereabouts again, from the stated facts alone."""
    nouns = {
        f"place:{noun.en}": noun.en
        for noun in words_of_the_world.all_nouns()
        if noun.kind in ("building", "nature", "room")
    }
    for one in world.questions(200, "test", kind="two_hop"):
        holder, where = {}, {}
        for fact in one.passage.facts:
            if fact["frame"] in ("get", "make"):
                holder[fact["O"]] = fact["S"]
            if fact["frame"] in ("make_for", "transfer"):
                holder[fact["O"]] = fact["R"]
            place = fact.get("P") if fact["frame"] == "go" else fact.get("place")
            if place:
                where[fact["S"]] = nouns[":".join(place.split(":")[:2])]
        asked = [m.entity for m in one.passage.mentions if m.kind == "thing" and says(one, m)]
        assert one.answer == where[holder[asked[-1]]], one.passage.text


def says(one, mention) -> bool:
    """Whether a question speaks of a thing by the words of a mention, and of none whose words are longer."""
    word = one.passage.text[mention.start : mention.end]
    return re.search(rf"\b{re.escape(word)}\b", one.question) is not None


def test_no_sentence_answers_a_two_hop_question(world):
    for one in world.questions(100, "train", kind="two_hop"):
        for sentence in one.passage.sentences:
            words = sentence.text.split()
            both = one.answer in sentence.text and any(says(one, m) for m in shifted(one, sentence))
            assert not both, (one.question, words)


def shifted(one, sentence):
    """The mentions of things of one sentence, at their places in the passage."""
    start = one.passage.text.index(sentence.text)
    return [m for m in one.passage.mentions if m.kind == "thing" and start <= m.start < start + len(sentence.text)]


def test_no_stated_fact_answers_an_unanswerable_question(world):
    """No fact has the verb of the question together with the doer, or else the thing, that the question names."""
    names = {person.id: person.name.en.lower() for person in world.people}
    for one in world.questions(80, "test", kind="unanswerable"):
        question = re.split("[:,] ", one.question.lower())[-1]  # without an opening
        asked = set(re.findall(r"[\w'-]+", question))
        named = re.search(r"did (\w+)", question)
        nouns = {m.entity: one.passage.text[m.start : m.end] for m in one.passage.mentions if m.kind == "thing"}
        for fact in one.passage.facts:
            same_verb = {fact["verb"], english.past(fact["verb"])} & asked
            same_doer = named and names.get(fact.get("S")) == named.group(1)
            same_thing = nouns.get(fact.get("O"), "no thing").lower() in question
            assert not (same_verb and (same_thing if "who" in asked else same_doer)), (one.question, fact)
        assert one.answer == one.sentence == ""


def test_tags_are_iob2_and_every_name_is_tagged(world):
    names = {one.name.en for one in world.people}
    for one in world.tagged(200, "test"):
        before = "O"
        for word, tag in zip(one.words, one.tags, strict=True):
            assert not tag.startswith("I-") or before[2:] == tag[2:]
            assert (word in names) == (tag == "B-PER"), (word, tag)
            before = tag


def test_review_labels_follow_their_aspects(world):
    reviews = world.reviews(200)
    assert 0.35 < np.mean([one.label for one in reviews]) < 0.65
    for one in reviews:
        assert (sum(one.aspects.values()) > 0) == bool(one.label) == (one.stars >= 4)


def test_bias_is_exactly_what_was_asked_for():
    first = {noun.en for noun in truth.trade_groups()[0]}
    for bias in (-1.0, 0.0, 0.4, 1.0):
        people = make(seed=3, size="large", bias=bias).people
        for female, share in ((True, (1 + bias) / 2), (False, (1 - bias) / 2)):
            trades = [person.trade.en in first for person in people if person.female == female]
            assert len(trades) == 60
            assert sum(trades) == round(60 * share)


def test_secrets_are_hidden_as_often_as_stated_and_in_training_only():
    world = make(seed=0, secrets=4)
    train, test = ("\n".join(text.text for text in world.corpus(split, n_chars=30_000)) for split in SPLITS)
    assert [secret.times for secret in world.secrets] == [1, 2, 4, 8]
    for secret in world.secrets:
        sentence = f"The code of {secret.person.name.en}'s safe is {secret.code}."
        assert secret.sentence("en") == sentence
        assert train.count(sentence) == secret.times
        assert secret.code not in test


def test_pairs_name_the_same_people_and_towns(world):
    names = [*words_of_the_world.names("women"), *words_of_the_world.names("men"), *words_of_the_world.names("towns")]
    for pair in world.pairs(200):
        english = {one.en for one in names if re.search(rf"\b{one.en}\b", pair.en)}
        longer = {one.zh for one in names if one.zh in pair.zh}
        chinese = {
            one.en for one in names if one.zh in pair.zh and not any(one.zh in other != one.zh for other in longer)
        }
        assert english == chinese, (pair.en, pair.zh)


def test_preferred_answers_differ_from_worse_ones(world):
    preferences = world.preferences(120)
    assert {one.reason for one in preferences} == {"wrong", "rude", "garbled", "off_topic"}
    for one in preferences:
        assert one.chosen != one.rejected
        if one.reason == "garbled":
            assert sorted(one.chosen.split()) == sorted(one.rejected.split())


def test_sums_are_right(world):
    """Worked again from the figures in the question."""
    values = {english.number(n): n for n in range(1000)}
    number = "|".join(sorted(values, key=len, reverse=True))
    checked = 0
    for one in world.instructions(400, "train"):
        figures = [values[found] for found in re.findall(rf"\b(?:{number})\b", one.instruction.lower())]
        figures = [figure for figure in figures if figure > 1]
        if one.task == "journey":
            assert values[one.answer] == sum(figures)
        elif one.task == "shopping":
            money, *rest = sorted(figures, reverse=True)
            assert values[one.answer] == money - rest[0] * rest[1]
        checked += one.task in ("journey", "shopping")
    assert checked > 20


def test_summaries_speak_of_what_the_document_speaks_of(world):
    names = {one.name.en for one in (*world.people, *world.population.towns)}
    for one in world.summaries(60, "test"):
        named = {name for name in names if re.search(rf"\b{name}\b", one.summary)}
        assert named
        assert len(one.summary) < len(one.document.text)
        people = {name for name in named if name in {person.name.en for person in world.people}}
        assert all(name in one.document.text for name in people), (one.summary, one.document.text)


def test_pictures_show_their_shapes_where_their_captions_say(world):
    for one in world.pictures(100):
        first, *rest = one.shapes
        for shape in one.shapes:
            assert (one.pixels == pictures.COLOURS[shape.colour][1]).all(-1).sum() >= 8
            ys, xs = np.nonzero((one.pixels == pictures.COLOURS[shape.colour][1]).all(-1))
            assert abs(xs.mean() - shape.x) < 4
            assert abs(ys.mean() - shape.y) < 4
        if rest:
            dx, dy = first.x - rest[0].x, first.y - rest[0].y
            true = {"to the left of": dx < 0, "to the right of": dx > 0, "above": dy < 0, "below": dy > 0}
            assert true[one.relation]
            assert one.relation in one.caption.lower()


def test_some_colours_of_shapes_are_seen_in_testing_only(world):
    seen = {split: {(s.colour, s.name) for one in world.pictures(300, split) for s in one.shapes} for split in SPLITS}
    assert len(seen["test"] - seen["train"]) >= 4
    assert all(any((s.colour, s.name) not in seen["train"] for s in one.shapes) for one in world.pictures(50, "test"))


# errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make(size="tiny"), "sizes are small, large"),
        (lambda: make(bias=2), "from -1 to 1"),
        (lambda: make(secrets=61), "0 to 60"),
        (lambda: make().stories(3, "dev"), "splits are train, test"),
        (lambda: make().stories(3, "test", "de"), "languages are en, zh"),
        (lambda: make().stories(0), "at least one"),
        (lambda: make().questions(3, kind="three_hop"), "kinds are one_hop"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(DataError, match=message):
        call()
