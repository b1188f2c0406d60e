"""Records of real data: small files in each format, the fault of each named with its place, and the whole corpora."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmlib.data import DataError
from lmlib.data.registry import Corpus, corpora
from lmlib.data.tasks import (
    analogies,
    bias,
    classification,
    dialogue,
    instructions,
    language_modelling,
    pictures,
    question_answering,
    recommendation,
    retrieval,
    similarity,
    summarisation,
    tagging,
    translation,
)
from lmlib.data.tasks.intents import INTENTS
from lmlib.data.tasks.splits import seeded_split

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
TASKS = (
    *(analogies, classification, dialogue, instructions, language_modelling, pictures),
    *(question_answering, recommendation, retrieval, similarity, summarisation, tagging),
)
BIAS = {
    "weat": bias.weat,
    "debiaswe_words": bias.debiaswe_words,
    "crows_pairs": bias.crows_pairs,
    "winobias": bias.winobias,
    "winogender": bias.winogender,
}


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def corpus(tmp_path: Path):
    """Makes a corpus of the registry out of files that the test writes."""

    def make(name: str, files: dict[str, str | bytes]) -> Corpus:
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(content if isinstance(content, bytes) else content.encode())
        return Corpus(corpora()[name], {path: tmp_path / path for path in files})

    return make


def squad(context: str, text: str, start: int, **changes: Any) -> str:
    row = {"id": "q", "question": "Who?", "answers": [{"text": text, "answer_start": start}]} | changes
    return json.dumps({"data": [{"title": "T", "paragraphs": [{"context": context, "qas": [row]}]}]})


def test_polarity_is_read_from_the_zip_file_and_split(corpus):
    good = {"sentence_polarity/rt-polarity.pos": b"good .\nfine .\n", "sentence_polarity/rt-polarity.neg": b"bad .\n"}
    found = classification.sentence_polarity(
        corpus("sentence_polarity", {"sentence_polarity.zip": zipped(**good)}), "en"
    )
    everything = {(record.text, record.label) for records in found.values() for record in records}
    assert everything == {("good .", "positive"), ("fine .", "positive"), ("bad .", "negative")}


def test_the_lexicon_leaves_comments_out_and_reads_latin_1(corpus):
    lists = {
        "opinion_lexicon/positive-words.txt": b";\n; words\n\nfine\n",
        "opinion_lexicon/negative-words.txt": b";\nna\xefve\n",
    }
    found = classification.opinion_lexicon(corpus("opinion_lexicon", {"opinion_lexicon.zip": zipped(**lists)}), "en")
    assert [(record.text, record.label) for record in found["train"]] == [("fine", "positive"), ("naïve", "negative")]


def test_a_quoted_field_holds_commas_and_line_ends(corpus):
    csv = 'text,category\r\n"Where, then,\nis it?",lost\r\n'
    files = {"train.csv": csv, "test.csv": "text,category\n", "categories.json": '["lost"]'}
    found = classification.banking77(corpus("banking77", files), "en")
    assert found == {"train": [classification.LabelledText("Where, then,\nis it?", ("lost",))], "test": []}


def test_a_quote_in_a_tab_table_is_only_a_character(corpus):
    table = 'index_id\tcategory\ttext\n1\tsport\t"Goal, he said.\n2\tart\tA "song".\n'
    files = {f"eng_Latn/{part}.tsv": table for part in ("train", "dev", "test")}
    found = classification.sib200(corpus("sib200", files), "en")
    assert [record.text for record in found["test"]] == ['"Goal, he said.', 'A "song".']


def test_other_line_separators_stay_inside_of_a_record(corpus):
    table = "to category\tone\u2028two\x85three\tx\n"
    files = {f"{part}.tsv": table for part in ("train", "dev", "test")}
    found = classification.csl_category(corpus("csl_category", files), "zh")
    assert [record.text for record in found["train"]] == ["one\u2028two\x85three"]


def test_a_byte_order_mark_and_line_ends_of_windows_are_no_part_of_the_text(corpus):
    found = classification.xed_emotions(corpus("xed_emotions", {"en-annotated.tsv": "\ufeffYes!\t7, 5\r\n"}), "en")
    (record,) = [record for records in found.values() for record in records]
    assert record == classification.LabelledText("Yes!", ("joy", "surprise"))
    with pytest.raises(ValueError, match="this text has 2 classes: joy, surprise; take `labels`"):
        _ = record.label


def test_stray_lines_are_passed_over_in_projected_files_only(corpus):
    stray = {"de-projections.tsv": "Ja!\t5\na\tb\tc\td\te\tf\n", "en-annotated.tsv": "Yes!\t5\na\tb\tc\td\te\tf\n"}
    emotions = corpus("xed_emotions", stray)
    assert sum(map(len, classification.xed_emotions(emotions, "de").values())) == 1
    with pytest.raises(DataError, match=r"en-annotated\.tsv:2: a text, a tab and numbers"):
        classification.xed_emotions(emotions, "en")


def test_pieces_of_a_query_become_its_text_and_its_tags(corpus):
    pieces = [{"text": "play "}, {"text": "Let It Be", "entity": "song"}, {"text": ", now"}]
    empty = {f"{part}_{intent}.json": json.dumps({intent: []}) for part in ("train", "validate") for intent in INTENTS}
    snips = corpus("snips_nlu", empty | {"train_PlayMusic.json": json.dumps({"PlayMusic": [{"data": pieces}]})})
    (text,) = classification.snips_nlu(snips, "en")["train"]
    assert (text.text, text.label) == ("play Let It Be, now", "PlayMusic")
    (sentence,) = tagging.snips_nlu(snips, "en")["train"]
    assert sentence.words == ("play", "Let", "It", "Be", ",", "now")
    assert sentence.tags == ("O", "B-song", "I-song", "I-song", "O", "O")


def test_a_line_with_a_tab_only_ends_a_sentence_too(corpus):
    conll = "Ann\tB-person\nsaw\tO\n\t\n\nhim\tO\n"
    wnut = corpus("wnut17", dict.fromkeys(tagging.WNUT_FILES.values(), conll))
    assert tagging.wnut17(wnut, "en")["test"] == [
        tagging.TaggedSentence(("Ann", "saw"), ("B-person", "O")),
        tagging.TaggedSentence(("him",), ("O",)),
    ]


def test_comments_are_left_out_but_a_word_may_be_a_number_sign(corpus):
    iob = "# sent_id = 1\n# text = Ann #\n1\tAnn\tB-PER\t-\t-\n2\t#\tO\t-\t-\n\n"
    found = tagging.uner(corpus("uner_en", {"en_ewt-ud-test.iob2": iob}), "en")
    assert found == {"test": [tagging.TaggedSentence(("Ann", "#"), ("B-PER", "O"))]}


def test_an_answer_stands_where_it_is_said_to(corpus):
    found = question_answering.xquad(corpus("xquad", {"xquad.en.json": squad("Ann and Bob.", "Bob", 8)}), "en")
    (question,) = found["train"]
    assert question.context[question.answers[0].start :] == "Bob."
    assert question.article == "T"


def test_a_start_that_is_a_little_off_is_put_right_in_cmrc_only(corpus):
    shifted = squad("Bob and Bob.", "Bob", 7)
    (question,) = question_answering.cmrc2018(corpus("cmrc2018", {"cmrc2018_trial.json": shifted}), "zh")["train"]
    assert question.answers == (question_answering.Answer("Bob", 8),)
    with pytest.raises(DataError, match=r"qas\[0\]: the answer 'Bob' must stand at 7; there is ' Bo'"):
        question_answering.xquad(corpus("xquad", {"xquad.en.json": shifted}), "en")


def test_translations_go_both_ways_with_one_split(corpus):
    pairs = "".join(f"word {i}\t词{i}\tby me\n" for i in range(40))
    tatoeba = corpus("tatoeba_en_zh", {"cmn.txt": pairs})
    there, back = (translation.tatoeba(tatoeba, *way) for way in (("en", "zh"), ("zh", "en")))
    assert [(p.source, p.target) for p in there["test"]] == [(p.target, p.source) for p in back["test"]]
    assert {name: len(records) for name, records in there.items()} == {"train": 32, "validation": 4, "test": 4}


def test_sentences_are_paired_by_line_or_by_index(corpus):
    ntrex = corpus("ntrex128", {translation.NTREX["en"]: "one\r\ntwo\r\n", translation.NTREX["de"]: "eins\nzwei\n"})
    assert translation.ntrex(ntrex, "de", "en")["test"][1] == translation.SentencePair("zwei", "two")
    header = "index_id\tcategory\ttext\n"
    files = {f"eng_Latn/{part}.tsv": f"{header}1\tx\tone\n2\tx\ttwo\n" for part in ("train", "dev", "test")}
    files |= {f"deu_Latn/{part}.tsv": f"{header}2\tx\tzwei\n1\tx\teins\n" for part in ("train", "dev", "test")}
    sib = corpus("sib200", files)
    assert translation.sib(sib, "en", "de")["train"][0] == translation.SentencePair("one", "eins")


def test_summaries_and_instructions(corpus):
    row = json.dumps({"source": ["A.", "B."], "target": ["C.", "D."]}) + "\n"
    (document,) = summarisation.scitldr(corpus("scitldr", {"dev.jsonl": row, "test.jsonl": row}), "en")["test"]
    assert (document.text, document.summaries) == ("A. B.", ("C.", "D."))
    task = json.dumps({"id": "1", "instruction": "Add.", "instances": [{"input": "1 1", "output": "2"}] * 2}) + "\n"
    files = {"seed_tasks.jsonl": task, "user_oriented_instructions.jsonl": ""}
    with pytest.raises(DataError, match=r"user_oriented_instructions\.jsonl:1: this is no JSON"):
        instructions.self_instruct(corpus("self_instruct", files), "en")
    found = instructions.self_instruct(
        corpus("self_instruct", files | {"user_oriented_instructions.jsonl": task}), "en"
    )
    assert found["train"] == [instructions.Instruction("1", "Add.", "1 1", "2")] * 2


def test_the_person_and_the_pronouns_of_winobias_are_found(corpus):
    line = "7 The chief told [the cook] that [she] could take [her] knife."
    names = [f"{s}_stereotyped_type{k}.txt.{p}" for s in ("pro", "anti") for k in (1, 2) for p in ("dev", "test")]
    wino = corpus("winobias", dict.fromkeys(names, line + "\n\n"))
    record = bias.winobias(wino)["test"][0]
    assert record.text == "The chief told the cook that she could take her knife."
    assert record.text[slice(*record.person)] == "the cook"
    assert [record.text[slice(*place)] for place in record.pronouns] == ["she", "her"]
    assert (record.gender, record.stereotyped, record.kind) == ("female", True, 1)


def test_ratings_are_read_from_words_and_left_out_where_there_is_none(corpus):
    header = ["RespondentID"] + [""] * 37
    characters = [""] * 15 + [f"C{i}" for i in range(14)] + [""] * 9
    row = ["1"] + [""] * 14 + ["Very favorably", "Unfamiliar (N/A)", "Very unfavorably"] + [""] * 20
    survey = "\n".join(",".join(fields) for fields in (header, characters, row)) + "\n"
    found = recommendation.starwars_ratings(corpus("starwars_survey", {"StarWars.csv": survey}), "en")
    everything = {(r.item, r.value) for records in found.values() for r in records}
    assert everything == {("C0", 5.0), ("C2", 1.0)}


def test_chapters_are_cut_at_their_headings(corpus):
    novel = "书名\n第一回  甲　乙\n话说。\n第二回中说过。\n第二回  丙　丁\n却说。\n"
    found = language_modelling.hongloumeng(corpus("hongloumeng", {"hongloumeng.txt": novel}), "zh")
    parts = {part.title: part.text for records in found.values() for part in records}
    assert parts == {"第一回  甲　乙": "话说。\n第二回中说过。", "第二回  丙　丁": "却说。"}


@pytest.mark.parametrize(
    ("name", "read", "files", "message"),
    [
        (
            "sib200",
            classification.sib200,
            {"eng_Latn/train.tsv": "text\n"},
            r"train\.tsv:1: the header must be index_id",
        ),
        (
            "sib200",
            classification.sib200,
            {"eng_Latn/train.tsv": "index_id\tcategory\ttext\n1\tx\n"},
            r"train\.tsv:2: 3 f",
        ),
        (
            "csl_category",
            classification.csl_category,
            {"train.tsv": b"a\tb\tc\na\t\xff\tc\n"},
            r"train\.tsv:2: .* no UTF-8",
        ),
        (
            "banking77",
            classification.banking77,
            {"train.csv": "text,category\nHi,other\n", "categories.json": '["lost"]'},
            r"train\.csv:2: a class of categories\.json is expected; got 'other'",
        ),
        (
            "banking77",
            classification.banking77,
            {"train.csv": 'text,category\n"Hi" there,lost\n', "categories.json": '["lost"]'},
            r"train\.csv:2: this is no CSV",
        ),
        (
            "xed_emotions",
            classification.xed_emotions,
            {"en-annotated.tsv": "Hm\t9\n"},
            r"tsv:1: a text, a tab and numbers",
        ),
        (
            "sentence_polarity",
            classification.sentence_polarity,
            {"sentence_polarity.zip": b"PK"},
            "no such file can be read",
        ),
        (
            "sentence_polarity",
            classification.sentence_polarity,
            {"sentence_polarity.zip": zipped(**{"sentence_polarity/rt-polarity.pos": b"a\n\xff\n"})},
            r"rt-polarity\.pos:2: these bytes are no utf-8",
        ),
        ("wnut17", tagging.wnut17, {"wnut17train.conll": "a\tO\nb\tperson\n"}, r"conll:2: a word, a tab and a tag"),
        ("uner_en", tagging.uner, {"en_ewt-ud-test.iob2": "1\ta\tO\t-\t-\n3\tb\tO\t-\t-\n"}, r"iob2:2: 2 and 4 more"),
        (
            "snips_nlu",
            tagging.snips_nlu,
            {"train_AddToPlaylist.json": "{}"},
            r"'AddToPlaylist' must be a list; there is noth",
        ),
        ("xquad", question_answering.xquad, {"xquad.en.json": '{"data":\n [}'}, r"xquad\.en\.json:2: this is no JSON"),
        ("xquad", question_answering.xquad, {"xquad.en.json": squad("A.", "", 0)}, r"qas\[0\]: an answer is empty"),
        (
            "xquad",
            question_answering.xquad,
            {"xquad.en.json": squad("A.", "A", 0, id=3)},
            "'id' must be a str; there is int",
        ),
        ("cmrc2018", question_answering.cmrc2018, {"cmrc2018_trial.json": squad("A.", "B", 0)}, r"'B' must stand at 0"),
        (
            "scitldr",
            summarisation.scitldr,
            {"dev.jsonl": '{"source": [1]}\n'},
            r"jsonl:1: a list of strings is expected",
        ),
        ("stsb_images", similarity.stsb_images, {"stsb-images-en-train.csv": "a,b,6\n"}, "csv:1: a number from 0 to 5"),
        ("wordsim353", similarity.wordsim353, {"wordsim353.tsv": "# x\na\tb\n"}, r"tsv:2: two words and a score"),
        ("wordsim353", similarity.wordsim353, {"wordsim353.tsv": "a\tb\tmuch\n"}, r"tsv:1: .* from 0 to 10 .* 'much'"),
        ("word_analogy", analogies.questions, {"questions-words.txt": "a b c d\n"}, r"txt:1: ': section'"),
        ("cdc_faq", retrieval.cdc_faq, {"faq_cdc.csv": "question\n"}, r"csv:1: the header must be question, answer"),
        (
            "crosswoz",
            dialogue.crosswoz,
            {"val.json.zip": zipped(**{"val.json": b'{"1": {"task description": [], "messages": [{"role": "me"}]}}'})},
            r"val\.json: 1, turn 0: the role must be usr or sys",
        ),
        ("crosswoz", dialogue.crosswoz, {"val.json.zip": zipped(**{"val.json": b"[]"})}, "an object is expected"),
        (
            "crosswoz",
            dialogue.crosswoz,
            {
                "val.json.zip": zipped(
                    **{
                        "val.json": b'{"1": {"task description": [], "messages": '
                        b'[{"role": "usr", "content": "x", "dialog_act": [["Inform"]]}]}}'
                    }
                )
            },
            "an act has an intent, a domain, a slot and a value",
        ),
        ("starwars_survey", recommendation.starwars_ratings, {"StarWars.csv": "," * 37 + "\n"}, "two header rows"),
        (
            "emoji_images",
            pictures.emoji_images,
            {"captions.tsv": "file\n"},
            r"captions\.tsv:1: the header must be file",
        ),
        ("photos", pictures.photos, {"captions.tsv": "file\tcaption\tlicence\na.png\tx\ty\n"}, r"tsv:2: a file of"),
        (
            "hongloumeng",
            language_modelling.hongloumeng,
            {"hongloumeng.txt": "话说。\n"},
            "headings like .* are expected",
        ),
        ("gutenberg_books", language_modelling.gutenberg_books, {"a.txt": "Chapter 1\n"}, r"the lines \*\*\* START"),
    ],
)
def test_a_fault_is_named_with_its_place(corpus, name, read, files, message):
    with pytest.raises(DataError, match=message):
        read(corpus(name, files), corpora()[name].languages[0])


@pytest.mark.parametrize(
    ("name", "read", "files", "message"),
    [
        ("weat", bias.weat, {"WEAT.json": '{"flowers": "rose"}'}, "'flowers' must be a list; there is str"),
        (
            "crows_pairs",
            bias.crows_pairs,
            {"crows_pairs_anonymized.csv": ",".join(bias.CROWS_COLUMNS) + "\n0,a,b,neither,age,,,\n"},
            r"csv:2: stereo or antistereo is expected; got 'neither'",
        ),
        (
            "winobias",
            bias.winobias,
            {"pro_stereotyped_type1.txt.dev": "1 [The cook] ate.\n"},
            r"dev:1: a number, one \[pers",
        ),
        (
            "winogender",
            bias.winogender,
            {"all_sentences.tsv": "sentid\tsentence\ncook.txt\tX.\n"},
            r"tsv:2: occupation\.part",
        ),
        (
            "winogender",
            bias.share_of_women,
            {"occupations-stats.tsv": "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\ncook\t1\t101\t2015\n"},
            r"tsv:2: a number from 0 to 100 is expected; got '101'",
        ),
        (
            "debiaswe_words",
            bias.debiaswe_words,
            {
                "definitional_pairs.json": '[["she"]]',
                "gender_specific_seed.json": "[]",
                "professions.json": "[]",
                "equalize_pairs.json": "[]",
            },
            r"definitional_pairs\.json: entry 0: a pair is expected; got 1 words",
        ),
        (
            "debiaswe_words",
            bias.debiaswe_words,
            {
                "definitional_pairs.json": "[]",
                "gender_specific_seed.json": "[]",
                "professions.json": '[["cook", 0]]',
                "equalize_pairs.json": "[]",
            },
            r"professions\.json: entry 0: a word and two scores are expected",
        ),
        (
            "debiaswe_words",
            bias.debiaswe_words,
            {"gender_specific_seed.json": "{}", "professions.json": "[]"},
            r"gender_specific_seed\.json:1: a list is expected",
        ),
        ("crosswoz", recommendation.crosswoz_items, {"restaurant_db.json": '["a"]'}, "entry 0: a name and an object"),
    ],
)
def test_a_fault_of_word_lists_and_items_is_named(corpus, name, read, files, message):
    with pytest.raises(DataError, match=message):
        read(corpus(name, files))


def test_translations_that_do_not_pair_are_named(corpus):
    ntrex = corpus("ntrex128", {translation.NTREX["en"]: "one\ntwo\n", translation.NTREX["de"]: "eins\n"})
    with pytest.raises(DataError, match=r"deu\.txt:1: as many lines as in newstest2019-src\.eng\.txt are expected, 2"):
        translation.ntrex(ntrex, "en", "de")
    table = "index_id\tcategory\ttext\n{}\tx\tone\n"
    files = {"eng_Latn/train.tsv": table.format(1), "deu_Latn/train.tsv": table.format(2)}
    with pytest.raises(DataError, match=r"deu_Latn/train\.tsv:1: the same index_id as in eng_Latn are expected"):
        translation.sib(corpus("sib200", files), "en", "de")


def test_an_unknown_name_or_language_says_what_there_is():
    with pytest.raises(DataError, match="no corpus 'sst2' is read for this task; there are: sentence_polarity, "):
        classification.load("sst2")
    with pytest.raises(DataError, match="sentence_polarity is in en; not in 'zh'"):
        classification.load("sentence_polarity", "zh")
    with pytest.raises(DataError, match="no corpus 'wmt' is read for this task"):
        translation.load("wmt")
    with pytest.raises(DataError, match="tatoeba_en_zh: two of the languages en, zh are needed; got 'en', 'de'"):
        translation.load("tatoeba_en_zh", "en", "de")
    with pytest.raises(DataError, match="no items of 'movielens' are read; there are: starwars_survey"):
        recommendation.items("movielens")


def test_a_drawn_split_keeps_together_what_shares_a_key():
    records = [(f"b{i}", f"a{i // 3}") for i in range(300)] + [("b299", "a0")]  # joins the first group and the last
    found = seeded_split(records, lambda record: record)
    assert sorted(record for part in found.values() for record in part) == sorted(records)
    parts = {key: {name for name, part in found.items() for record in part if key in record} for _, key in records}
    assert all(len(names) == 1 for names in parts.values())
    assert parts["a0"] == parts["a99"]
    sizes = {name: len(part) / len(records) for name, part in found.items()}
    assert sizes == pytest.approx({"train": 0.8, "validation": 0.1, "test": 0.1}, abs=0.03)


def test_a_drawn_split_depends_on_the_keys_alone():
    records = [str(i) for i in range(100)]
    one, other = (seeded_split(order, lambda record: [record]) for order in (records, records[::-1]))
    assert {name: sorted(part) for name, part in one.items()} == {name: sorted(part) for name, part in other.items()}
    assert one["test"] == sorted(one["test"], key=records.index)  # the order given is kept


def test_every_corpus_has_a_reader():
    read = {name for task in TASKS for name in task.READERS} | set(BIAS) | {"tatoeba_en_zh", "ntrex128", "sib200"}
    assert read | set(recommendation.ITEMS) == set(corpora())


@pytest.fixture(scope="module")
def manifest():
    """The number of records of each corpus, by name."""
    text = (SHARED / "MANIFEST.yml").read_text("utf-8")
    return {row["name"]: row["records"] for row in yaml.safe_load(text)["datasets"]}


@pytest.fixture
def shared(manifest, monkeypatch):
    monkeypatch.setenv("LMBOOK_DATA", str(SHARED))
    return manifest


# Where the unit of the manifest is another than ours, or a file of it is no part of the records.
OTHER_COUNTS = {
    "tiny_shakespeare": 2,  # one text for training, one for validating
    "gutenberg_books": 61 + 12 + 12,  # chapters
    "wikitext2": 60,  # articles
    "chinese_classics": 256,  # chapters; their paragraphs are counted below
    "hongloumeng": 120,  # chapters
    "wnut17": 3394 + 1009 + 1287,  # the manifest counts 3393 sentences for training; published are 3394
    "starwars_survey": 10677,  # opinions of 1186 people
    "goodbooks10k": 99,  # ratings; there are 2000 books, and samples of other tables
    "crosswoz": 500,  # dialogues; 951 + 465 items
}


@needs_shared
@pytest.mark.parametrize(
    ("task", "name"),
    [(task, name) for task in TASKS for name in task.READERS],
)
def test_every_record_of_the_manifest_is_read(shared, task, name):
    several = task in (classification, question_answering, similarity)
    languages = corpora()[name].languages if several else [None]
    found = sum(
        len(records)
        for language in languages
        for records in (task.load(name, language) if language else task.load(name)).values()
    )
    assert found == OTHER_COUNTS.get(name, shared[name])


@needs_shared
def test_every_record_of_translation_and_bias_is_read(shared):
    counts = {name: sum(map(len, translation.load(name).values())) for name in ("tatoeba_en_zh", "ntrex128", "sib200")}
    assert counts == {"tatoeba_en_zh": shared["tatoeba_en_zh"], "ntrex128": shared["ntrex128"], "sib200": 1004}
    for name in ("crows_pairs", "winobias", "winogender"):
        assert sum(map(len, BIAS[name]().values())) == shared[name]
    assert len(bias.weat()) == shared["weat"]
    words = bias.debiaswe_words()
    lists = (words.definitional_pairs, words.equalize_pairs, words.gender_specific, words.professions)
    assert sum(map(len, lists)) == shared["debiaswe_words"]
    assert len(bias.share_of_women()) == 60
    assert {gender: len(names) for gender, names in bias.winobias_occupations().items()} == {"female": 20, "male": 20}


@needs_shared
def test_items_and_paragraphs_are_all_there(shared):
    items = {name: len(recommendation.items(name)) for name in recommendation.ITEMS}
    assert items == {"starwars_survey": 14, "goodbooks10k": 2000, "crosswoz": 951 + 465}
    chapters = [part for records in language_modelling.load("chinese_classics").values() for part in records]
    assert sum(part.text.count("\n") + 1 for part in chapters) == shared["chinese_classics"]
    assert {name: len(records) for name, records in tagging.load("snips_nlu").items()} == {
        "train": 2100,
        "validation": 700,
    }


@needs_shared
def test_no_article_and_no_sentence_is_in_two_splits(shared):
    articles = [{q.article for q in records} for records in question_answering.load("xquad").values()]
    assert not articles[0] & articles[1] | articles[0] & articles[2] | articles[1] & articles[2]
    for side in ("source", "target"):
        sentences = [{getattr(p, side) for p in part} for part in translation.load("tatoeba_en_zh").values()]
        assert not sentences[0] & sentences[1] | sentences[0] & sentences[2] | sentences[1] & sentences[2]


@needs_shared
def test_the_same_questions_are_in_the_same_split_in_every_language(shared):
    ids = [[q.id for q in question_answering.load("xquad", language)["test"]] for language in ("en", "zh", "de")]
    assert ids[0] == ids[1] == ids[2]


@needs_shared
def test_shakespeare_is_split_as_is_the_custom(shared):
    parts = language_modelling.load("tiny_shakespeare")
    assert [len(parts[name][0].text) for name in ("train", "validation")] == [1003854, 111540]


@needs_shared
def test_a_damaged_picture_is_noticed(shared, tmp_path):
    source = SHARED / "emoji_images"
    (tmp_path / "png").mkdir()
    for picture in source.glob("png/*.png"):
        (tmp_path / "png" / picture.name).write_bytes(picture.read_bytes())
    (tmp_path / "captions.tsv").write_bytes((source / "captions.tsv").read_bytes())
    emoji = Corpus(corpora()["emoji_images"], {"captions.tsv": tmp_path / "captions.tsv"})
    assert sum(map(len, pictures.emoji_images(emoji, "zh").values())) == 300
    one = next((tmp_path / "png").iterdir())
    one.write_bytes(one.read_bytes()[:-1])
    with pytest.raises(DataError, match="some picture is damaged"):
        pictures.emoji_images(emoji, "zh")
    one.unlink()
    with pytest.raises(DataError, match=r"captions\.tsv:\d+: the picture .* is not there"):
        pictures.emoji_images(emoji, "zh")


def test_the_order_of_a_split_is_that_of_sha_256():
    records = [f"record {i}" for i in range(10)]
    last = max(records, key=lambda record: hashlib.sha256(f"0\n{record}".encode()).digest())
    assert seeded_split(records, lambda record: [record])["test"] == [last]
