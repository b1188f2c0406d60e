"""What all tokenizers share: special tokens, templates, batches, errors."""

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from lmlib.text import tokenizer as shared
from lmlib.text.bytes import Bytes
from lmlib.text.characters import Characters
from lmlib.text.tokenizer import AddedToken, Template, Tokenizer
from lmlib.text.wordpiece import WordPiece

MARKS = ["<a>", "<a><b>", "<b>", "<mask>"]


def test_special_tokens_stay_whole_and_the_longest_wins():
    tokenizer = Bytes(MARKS, padding=None)
    assert tokenizer.tokens(tokenizer.encode("x<a><b><a>y<mask")) == ["x", "<a><b>", "<a>", "y", *"<mask"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*MARKS, " ", "  \n", "x", "<", "中", "\x1c", "\u3000"]), max_size=8).map("".join))
def test_white_space_goes_to_the_tokens_that_take_it_as_in_the_peer(text: str):
    left, right = AddedToken("<mask>", takes_white_left=True), AddedToken("<b>", takes_white_right=True)
    ours = Characters.train(["x< \n中\x1c\u3000"])
    ours = Characters(ours.vocabulary | {t: 20 + i for i, t in enumerate(MARKS)}, added=[*MARKS[:2], left, right])
    peer = tokenizers.Tokenizer(tokenizers.models.BPE(ours.vocabulary, [], unk_token="<unk>"))
    peer.add_special_tokens(
        [
            *MARKS[:2],
            tokenizers.AddedToken("<mask>", lstrip=True, normalized=False),
            tokenizers.AddedToken("<b>", rstrip=True, normalized=False),
        ]
    )
    assert ours.encode(text) == peer.encode(text).ids


def test_special_tokens_are_written_out_or_skipped_when_decoding():
    tokenizer = Bytes(["<s>", AddedToken("<call>", special=False)], padding=None)
    ids = tokenizer.encode("<s>a<call>b")
    assert tokenizer.decode(ids) == "<s>a<call>b"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a<call>b"


def test_a_lone_surrogate_counts_as_the_replacement_character():
    assert Bytes().encode("a\ud800b\udcff") == list("a\ufffdb\ufffd".encode())


def test_a_template_goes_around_one_text_and_around_two():
    template = Template((("<s>", 0), ("$A", 0)), (("<s>", 0), ("$A", 0), ("<s>", 1), ("$B", 1)))
    tokenizer = Bytes(["<s>"], template, padding=None)
    assert tokenizer.encode("ab") == [256, 97, 98]
    assert tokenizer.encode("ab", add_special_tokens=False) == [97, 98]
    assert tokenizer.encode("abc", max_length=2) == [256, 97]
    assert tokenizer.encode_pair("a", "b") == ([256, 97, 256, 98], [0, 0, 1, 1])
    assert tokenizer.encode_pair("a", "") == ([256, 97, 256], [0, 0, 1])


def test_a_batch_is_padded_at_the_right_with_int64():
    batch = Bytes()(["ab", "", "a"])
    assert batch["input_ids"].tolist() == [[97, 98], [256, 256], [97, 256]]
    assert batch["attention_mask"].tolist() == [[1, 1], [0, 0], [1, 0]]
    assert Bytes()([""])["input_ids"].dtype == Bytes()(["a"])["attention_mask"].dtype
    assert Bytes()([""])["input_ids"].shape == (1, 0)


def test_without_a_token_that_pads_only_texts_of_one_length_make_a_batch():
    tokenizer = Bytes(added=(), padding=None)
    assert tokenizer(["ab", "cd"])["input_ids"].tolist() == [[97, 98], [99, 100]]
    with pytest.raises(ValueError, match="need a token that pads"):
        tokenizer(["ab", "c"])


def test_a_full_cache_is_emptied_and_long_words_do_not_enter_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared, "CACHE_SIZE", 2)
    vocabulary = {piece: i for i, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "##a"])}
    tokenizer = WordPiece(vocabulary)
    assert tokenizer.encode(f"a b c {'a' * 300} a") == [2, 4, 5, 6, 1, 4, 3]
    assert list(tokenizer._cache) == ["c", "a"]


def test_wrong_use_is_refused_with_a_reason(tmp_path):
    with pytest.raises(ValueError, match="two pieces of the vocabulary have the id 0"):
        Characters({"a": 0, "b": 0}, None, (), padding=None)
    with pytest.raises(ValueError, match="the vocabulary lacks <s>"):
        Bytes((), Template((("<s>", 0), ("$A", 0))), padding=None)
    with pytest.raises(ValueError, match="the vocabulary lacks <pad>"):
        Bytes((), padding="<pad>")
    with pytest.raises(ValueError, match="the vocabulary lacks nothing"):
        Bytes().id_of("nothing")
    with pytest.raises(ValueError, match="max_length=0 leaves no room for any piece; 1 is the least"):
        Bytes().encode("a", max_length=0)
    with pytest.raises(TypeError, match=r"training takes texts.*got the string 'abc'"):
        Characters.train("abc")
    with pytest.raises(ValueError, match="no word in the texts"):
        Characters.train(["", "<pad>"])
    with pytest.raises(FileNotFoundError, match="no folder of a tokenizer"):
        Tokenizer.from_folder(tmp_path)
    Bytes().save(tmp_path)
    with pytest.raises(ValueError, match="holds a tokenizer of the kind Bytes, not WordPiece"):
        WordPiece.from_folder(tmp_path)


def test_a_row_of_a_batch_is_decoded_as_it_is():
    assert Bytes().decode(Bytes()(["ab中"])["input_ids"][0]) == "ab中"
