"""Characters and bytes: nothing to learn but the alphabet, and nothing lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmlib.text.bytes import Bytes
from lmlib.text.characters import Characters
from tests.lmlib.text.texts import SAMPLES, some_text


def test_every_character_has_an_id_in_the_order_of_code_points():
    tokenizer = Characters.train(["ba", "中a"])
    assert tokenizer.vocabulary == {"<pad>": 0, "<unk>": 1, "a": 2, "b": 3, "中": 4}
    assert tokenizer.encode("a中z") == [2, 4, 1]


def test_a_small_vocabulary_keeps_the_most_frequent_characters_and_of_equal_ones_the_lower():
    assert Characters.train(["ccbaab", "cd"], vocab_size=4).vocabulary == {"<pad>": 0, "<unk>": 1, "a": 2, "c": 3}


def test_an_unknown_character_is_an_error_where_no_token_stands_for_it():
    tokenizer = Characters({"a": 0}, unknown=None, added=(), padding=None)
    assert tokenizer.encode("aa") == [0, 0]
    with pytest.raises(ValueError, match="the character 'b' is not in the vocabulary"):
        tokenizer.encode("ab")


def test_characters_refuse_wrong_use():
    with pytest.raises(ValueError, match="vocab_size=2 has no room"):
        Characters.train(["ab"], vocab_size=2)
    with pytest.raises(ValueError, match="two special tokens are needed"):
        Characters.train(["ab"], special_tokens=["<pad>"])
    with pytest.raises(ValueError, match="the vocabulary lacks <none>"):
        Characters({"a": 0}, unknown="<none>", added=(), padding=None)


def test_the_id_of_a_byte_is_its_value():
    assert Bytes().encode("A é中") == [65, 32, *"é中".encode()]
    assert Bytes().id_of("<|endoftext|>") == 256
    assert len(Bytes()) == 257


@settings(max_examples=100, deadline=None)
@given(some_text)
def test_text_of_known_characters_and_bytes_comes_back(text: str):
    characters = Characters.train([text, "x"])
    assert characters.decode(characters.encode(text)) == text
    assert Bytes().decode(Bytes().encode(text)) == text
    assert Bytes().encode(text) == list(text.encode())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_come_back_and_read_as_text_they_are_replaced_where_they_are_none(data: bytes):
    ids = Bytes().encode_bytes(data)
    assert ids == list(data)
    assert Bytes().decode_bytes(ids) == data
    assert Bytes().decode(ids) == data.decode("utf-8", "replace")


@pytest.mark.parametrize("text", SAMPLES)
def test_samples_come_back_from_bytes(text: str):
    assert Bytes().decode(Bytes().encode(text)) == text
