"""Tags of words: they survive the way to pieces and back, are repaired to the same entities, and are learned."""

import random

import pytest
import torch
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2
from tokenizers import Tokenizer as Peer

from lmlib import hub
from lmlib.data.batching import Loader
from lmlib.data.tasks.tagging import TaggedSentence
from lmlib.evaluation.tagging import spans
from lmlib.finetuning.tagging import Collator, evaluate, predict, repaired, tags_of
from lmlib.models.base import IGNORED_LABEL
from lmlib.text.wordpiece import WordPiece
from tests.lmlib.finetuning import tiny

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def tagged(rng: random.Random, n: int) -> list[TaggedSentence]:
    """People and towns among other words; some names have two words."""
    names = {("ann", "o'hara"): "PER", ("bob",): "PER", ("paris",): "LOC", ("zurich", "zoo"): "LOC"}
    found = []
    for _ in range(n):
        words, tags = [], []
        for _ in range(rng.randint(1, 6)):
            name = rng.choice([*names, ("met",), ("the",), ("R2-D2",)])
            words += name
            kind = names.get(name)
            tags += ["O"] if kind is None else [f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1)]
        found.append(TaggedSentence(tuple(words), tuple(tags)))
    return found


@pytest.fixture
def collator() -> Collator:
    return Collator(tiny.tokenizer(), TAGS, max_length=64)


def test_tags_survive_the_way_to_pieces_and_back(collator, seed):
    examples = tagged(random.Random(seed), 50)
    batch = collator(examples)
    for example, labels in zip(examples, batch["labels"], strict=True):
        real = labels[labels != IGNORED_LABEL]
        assert tuple(TAGS[i] for i in real) == example.tags


def test_the_first_piece_of_a_word_bears_its_tag(collator):
    batch = collator([TaggedSentence(("bob", "met", "zoe"), ("B-PER", "O", "B-PER"))])
    tokens = collator.tokenizer.tokens(batch["input_ids"][0].tolist())
    assert tokens == ["[CLS]", "bob", "met", "z", "##o", "##e", "[SEP]"]
    assert batch["labels"].tolist() == [[-100, 1, 0, 1, -100, -100, -100]]


def test_first_pieces_are_where_the_peer_has_them(seed):
    folder = hub.find_model("all-MiniLM-L6-v2")
    peer = Peer.from_file(str(folder / "tokenizer.json"))
    peer.no_truncation()
    peer.no_padding()
    collator = Collator(WordPiece.from_folder(folder), TAGS, max_length=512)
    rng = random.Random(seed)
    for _ in range(20):
        words = [
            rng.choice(["unaffable", "naïve", "don't", "@user", "中文", "http://t.co/x1", "Zürich"]) for _ in range(9)
        ]
        theirs = peer.encode(words, is_pretokenized=True)
        found = collator.align(words)
        assert found.ids == theirs.ids
        assert found.first == [theirs.word_ids.index(i) for i in range(len(words))]


def test_a_word_of_which_nothing_is_left_still_has_a_tag(collator):
    found = collator.align(["bob", "\u200b", "met"])
    assert collator.tokenizer.tokens(found.ids) == ["[CLS]", "bob", "[UNK]", "met", "[SEP]"]
    assert found.first == [1, 2, 3]


def test_words_that_are_cut_off_are_outside():
    collator = Collator(tiny.tokenizer(), TAGS, max_length=6)
    words = ["bob", "met", "zoe", "in", "paris"]  # zoe has three pieces: there is no room for it whole
    assert collator.align(words).first == [1, 2]
    (tags,) = predict(tiny.model("tagging", len(TAGS)), collator, [words])
    assert len(tags) == 5
    assert tags[2:] == ["O", "O", "O"]
    batch = collator([TaggedSentence(tuple(words), ("B-PER", "O", "B-PER", "O", "B-LOC"))])
    assert batch["labels"].tolist() == [[-100, 1, 0, -100]]


def test_repair_keeps_the_entities_and_leaves_no_fault(seed):
    rng = random.Random(seed)
    for _ in range(200):
        tags = [rng.choice(TAGS) for _ in range(rng.randint(1, 8))]
        mended = repaired(tags)
        assert spans(mended) == spans(tags)
        assert repaired(mended) == mended
        # in strict mode seqeval counts no entity that does not begin with B-: all of ours must count
        expected = 1.0 if spans(tags) else 0.0
        assert f1_score([mended], [mended], mode="strict", scheme=IOB2, zero_division=0) == expected
        assert all(tag[0] != "I" or (i > 0 and mended[i - 1][2:] == tag[2:]) for i, tag in enumerate(mended))


def test_a_prediction_does_not_depend_on_the_batch_it_is_made_in(collator, seed):
    model = tiny.model("tagging", len(TAGS), seed).train()
    sentences = [example.words for example in tagged(random.Random(seed), 20)]
    assert predict(model, collator, sentences, batch_size=6) == [
        predict(model, collator, [words])[0] for words in sentences
    ]
    assert model.training


def test_scores_are_those_of_seqeval(collator, seed):
    model = tiny.model("tagging", len(TAGS), seed)
    examples = tagged(random.Random(seed), 40)
    predicted = predict(model, collator, [example.words for example in examples])
    true = [list(example.tags) for example in examples]
    assert evaluate(model, collator, examples)["span_f1"] == pytest.approx(f1_score(true, predicted, zero_division=0))


def test_tags_of_a_corpus_and_a_tag_that_is_not_known(collator):
    examples = [TaggedSentence(("a", "b"), ("I-LOC", "O")), TaggedSentence(("c",), ("B-PER",))]
    assert tags_of(examples) == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    with pytest.raises(ValueError, match="there is no tag 'B-ORG'; there are: O, B-PER"):
        collator([TaggedSentence(("a",), ("B-ORG",))])


def test_it_learns_who_is_a_person():
    rng = random.Random(0)
    collator = Collator(tiny.tokenizer(), TAGS)
    model = tiny.model("tagging", len(TAGS))
    held_out = tagged(rng, 100)
    tiny.fit(model, Loader(tagged(rng, 400), 32, collator), steps=100)
    assert evaluate(model, collator, held_out)["span_f1"] > 0.9
    assert torch.is_grad_enabled()
