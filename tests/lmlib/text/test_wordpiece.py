"""WordPiece cuts text as the tokenizer that trained with the model does, whatever the text."""

import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lmlib import hub
from lmlib.text.tokenizer import Template
from lmlib.text.wordpiece import SPECIAL as SPECIALS
from lmlib.text.wordpiece import WordPiece
from tests.lmlib.text.texts import CHINESE, CONTROL, EMOJI, ENGLISH, MALFORMED, some_text

FOLDER = hub.find_model("all-MiniLM-L6-v2")
OURS = WordPiece.from_folder(FOLDER)
PEER = tokenizers.Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
PEER.no_padding()
PEER.no_truncation()

SPECIAL = "[CLS] a [MASK] b[SEP]c [PAD] [UNK] [mask] [[MASK]] ##ing #[SEP]#"

some_pieces = st.lists(
    st.one_of(st.sampled_from(sorted(OURS.vocabulary)), st.sampled_from(SPECIAL.split()), some_text), max_size=8
)


@settings(max_examples=400, deadline=None)
@given(some_text)
@example(ENGLISH)
@example(CHINESE)
@example(EMOJI)
@example(CONTROL)
@example(MALFORMED)
@example(SPECIAL)
@example("")
@example(" \t\n")
@example("a" * 100 + " " + "a" * 101)
@example("ÄÄÄ" * 40)
@example("ΟΔΟΣ ΑΣ.")
def test_any_text_gives_the_ids_of_the_peer(text: str) -> None:
    assert OURS.encode(text) == PEER.encode(text).ids


@settings(max_examples=200, deadline=None)
@given(some_pieces, st.sampled_from([" ", ""]))
def test_texts_of_known_pieces_and_special_tokens_give_the_ids_of_the_peer(pieces: list[str], between: str) -> None:
    text = between.join(pieces)
    assert OURS.encode(text) == PEER.encode(text).ids


@settings(max_examples=100, deadline=None)
@given(some_text)
def test_case_and_accents_stay_when_the_model_has_them(text: str) -> None:
    vocabulary = {piece: i for i, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}
    for char in "aAéÉ中ßİ1$" + ENGLISH:
        vocabulary.setdefault(char, len(vocabulary))
        vocabulary.setdefault("##" + char, len(vocabulary))
    peer = tokenizers.BertWordPieceTokenizer(vocabulary, lowercase=False)
    assert WordPiece(vocabulary, lowercase=False).encode(text) == peer.encode(text).ids


def test_lone_surrogates_and_characters_of_no_meaning_do_no_harm() -> None:
    assert OURS.encode("a\ud800b") == OURS.encode("ab")
    assert OURS.encode("a\U0003fffeb") == PEER.encode("a\U0003fffeb").ids


def test_pieces_are_the_longest_known_ones() -> None:
    vocabulary = {
        p: i for i, p in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "una", "##aff", "##ff", "##able"])
    }
    tokenizer = WordPiece(vocabulary)
    assert tokenizer.split("unaffable") == ["una", "##ff", "##able"]
    assert tokenizer.split("unaf") == ["[UNK]"]


def test_training_merges_the_most_frequent_pair_within_words() -> None:
    # ##u ##g occurs 5 times, h ##u 4; then h ##ug 4 times, p ##ug once.
    trained = WordPiece.train(["Hug hug hug hug", "pug"], 13)
    assert list(trained.vocabulary) == [*SPECIALS, *"ghpu", "##g", "##u", "##ug", "hug"]
    assert trained.tokens(trained.encode("hug pug")) == ["[CLS]", "hug", "p", "##ug", "[SEP]"]


def test_trained_pieces_write_the_text_about_as_short_as_those_of_the_peer() -> None:
    corpus = [ENGLISH, CHINESE, "the other theory of them, then the others there", "unaffable unable affable"] * 2
    peer = tokenizers.BertWordPieceTokenizer()
    peer.train_from_iterator(corpus, vocab_size=300, show_progress=False, special_tokens=list(SPECIALS))
    ours = WordPiece.train(corpus, 300)
    alphabet = {piece for piece in peer.get_vocab() if len(piece.removeprefix("##")) == 1}
    assert alphabet <= set(ours.vocabulary)
    assert len(ours) == len(peer.get_vocab())
    mine = sum(len(ours.encode(text, add_special_tokens=False)) for text in corpus)
    theirs = sum(len(peer.encode(text, add_special_tokens=False)) for text in corpus)
    assert abs(mine - theirs) <= 0.05 * theirs  # its ids of pieces inside words, hence its ties, change at each run


def test_decoding_sets_words_apart_by_a_space() -> None:
    assert OURS.decode(OURS.encode("Unaffable, e.g.")) == "[CLS] unaffable , e . g . [SEP]"
    assert OURS.decode(OURS.encode("Unaffable"), skip_special_tokens=True) == "unaffable"


def test_a_batch_is_padded_and_cut_between_its_two_marks() -> None:
    batch = OURS(["hello", "a longer sentence than hello"], max_length=5)
    cls, sep, padding = (OURS.vocabulary[token] for token in ("[CLS]", "[SEP]", "[PAD]"))
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 5)
    assert batch["input_ids"][:, 0].tolist() == [cls, cls]
    assert batch["input_ids"][0, 2:].tolist() == [sep, padding, padding]
    assert batch["input_ids"][1, 4] == sep
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]


def test_ids_become_their_pieces_again() -> None:
    assert OURS.tokens(OURS.encode("unaffable 模型")) == ["[CLS]", "una", "##ffa", "##ble", "[UNK]", "[UNK]", "[SEP]"]


def test_line_separators_in_a_vocabulary_are_pieces(tmp_path: Path) -> None:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "\u2028", "b"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8", newline="\n")
    assert WordPiece.from_folder(tmp_path).vocabulary["b"] == 6


def test_settings_beside_the_vocabulary_are_followed(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nA\n", "utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}), "utf-8")
    assert WordPiece.from_folder(tmp_path).encode("A") == [2, 4, 3]


def test_wrong_use_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks \[UNK\], \[SEP\]"):
        WordPiece({"[PAD]": 0, "[CLS]": 1})
    with pytest.raises(FileNotFoundError, match=r"has no vocab\.txt"):
        WordPiece.from_folder(tmp_path)
    with pytest.raises(TypeError, match="a list of texts"):
        OURS("one text")
    with pytest.raises(ValueError, match="at least one text"):
        OURS([])
    with pytest.raises(ValueError, match=r"max_length=1 leaves no room"):
        OURS.encode("a", max_length=1)
    with pytest.raises(ValueError, match="no piece has the id 99999999"):
        OURS.tokens([99999999])
    with pytest.raises(ValueError, match="vocab_size=3 is less than the 6 characters and special tokens"):
        WordPiece.train(["a"], 3)
    with pytest.raises(ValueError, match=r"lacks \[UNK\]"):
        WordPiece({"a": 0}, added=(), template=Template(), padding=None)
