"""Byte-pair encoding: the merges of the peer's trainer, the ids of the peer's encoder, and no byte lost."""

import json
from collections import Counter
from itertools import pairwise

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers

from lmlib import data
from lmlib.data import registry
from lmlib.text.byte_level import CHARACTER_OF
from lmlib.text.byte_pair_encoding import BytePairEncoding
from lmlib.text.merges import apply_merges, learn_merges
from tests.lmlib.text.texts import CHINESE, CONTROL, EMOJI, ENGLISH, SAMPLES, some_text

CORPUS = [ENGLISH, CHINESE, EMOJI, CONTROL, "the other theory of them", "模型看见模型", "aaaa aaaaa aaa"] * 2
OURS = BytePairEncoding.train(CORPUS, 340)


def peer_trained(corpus: list[str], vocab_size: int) -> tokenizers.Tokenizer:
    peer = tokenizers.Tokenizer(models.BPE())
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    peer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    peer.train_from_iterator(corpus, trainer)
    return peer


PEER = peer_trained(CORPUS, 340)


def merges_of(peer: tokenizers.Tokenizer) -> list[tuple[str, ...]]:
    return [tuple(merge) for merge in json.loads(peer.to_str())["model"]["merges"]]


def test_visible_characters_are_the_peers():
    assert sorted(CHARACTER_OF) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert CHARACTER_OF[ord(" ")] == "Ġ"


def test_merges_worked_by_hand():
    words = Counter({("a", "b", "c"): 3, ("a", "b"): 2, ("b", "c"): 2})
    # ab and bc both occur 5 times: ab has the lower left id. Then bc is left in 2 words, abc in 3.
    pieces, merges = learn_merges(words, ["a", "b", "c"], vocab_size=10, min_count=2)
    assert merges == [("a", "b"), ("ab", "c"), ("b", "c")]
    assert pieces == ["a", "b", "c", "ab", "abc", "bc"]
    assert learn_merges(words, ["a", "b", "c"], vocab_size=10, min_count=3)[1] == [("a", "b"), ("ab", "c")]
    assert learn_merges(words, ["a", "b", "c"], vocab_size=4, min_count=2)[1] == [("a", "b")]


def test_merges_are_those_of_the_peers_trainer():
    assert OURS.merges == merges_of(PEER)
    assert OURS.vocabulary == PEER.get_vocab()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("ab \n中", max_size=20), min_size=1, max_size=6).filter(any))
def test_merges_are_the_peers_on_any_corpus_full_of_ties(corpus: list[str]):
    assert BytePairEncoding.train(corpus, 300).merges == merges_of(peer_trained(corpus, 300))


def test_the_order_of_the_texts_does_not_matter():
    assert BytePairEncoding.train(CORPUS[::-1], 340).merges == OURS.merges


@settings(max_examples=200, deadline=None)
@given(some_text)
def test_any_text_gives_the_ids_of_the_peer_and_comes_back(text: str):
    ids = OURS.encode(text)
    assert ids == PEER.encode(text).ids
    assert OURS.decode(ids) == text


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_malformed_bytes_come_back_and_their_pieces_concatenate(raw: bytes):
    ids = OURS.encode_bytes(raw)
    assert OURS.decode_bytes(ids) == raw
    assert "".join(OURS.tokens(ids)) == "".join(CHARACTER_OF[byte] for byte in raw)
    assert OURS.decode(ids) == raw.decode("utf-8", "replace") == PEER.decode(ids)


@pytest.mark.parametrize("text", SAMPLES)
def test_samples_give_the_ids_of_the_peer_and_come_back(text: str):
    assert OURS.encode(text) == PEER.encode(text).ids
    assert OURS.decode(OURS.encode(text)) == text


@settings(max_examples=300, deadline=None)
@given(st.permutations([("a", "b"), ("b", "a"), ("a", "a"), ("ab", "a"), ("a", "ba"), ("aa", "a")]), st.text("ab"))
def test_merging_takes_the_lowest_rank_and_the_leftmost_place(merges: list[tuple[str, str]], word: str):
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    pieces = list(word)
    while found := [(ranks[pair], i) for i, pair in enumerate(pairwise(pieces)) if pair in ranks]:
        _, i = min(found)
        pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
    assert apply_merges(list(word), ranks) == pieces


def test_a_word_of_a_hundred_thousand_letters_is_encoded():
    text = "a" * 100_000 + "模型" * 10_000
    assert OURS.decode(OURS.encode(text)) == text


def test_wrong_use_is_refused_with_a_reason():
    with pytest.raises(ValueError, match="vocab_size=200 is less than the 257 bytes and special tokens"):
        BytePairEncoding.train(["a"], 200)
    with pytest.raises(ValueError, match="the vocabulary lacks b, ab"):
        BytePairEncoding({"a": 0}, [("a", "b")], (), padding=None)
    with pytest.raises(ValueError, match="the vocabulary lacks b"):
        BytePairEncoding({"a": 0}, [], (), padding=None).encode("ab")


@pytest.mark.long
@pytest.mark.parametrize("name", ["tiny_shakespeare", "hongloumeng"])
@pytest.mark.skipif(not registry.is_here("hongloumeng"), reason="needs ../shared")
def test_a_thousand_merges_of_a_real_megabyte_are_the_peers(name: str):
    text = data.load(name).text().encode()[:1_000_000].decode("utf-8", "ignore")
    lines = text.splitlines(keepends=True)
    ours, peer = BytePairEncoding.train(lines, 1257), peer_trained(lines, 1257)
    assert len(ours.merges) == 1000
    assert ours.merges == merges_of(peer)
    assert ours.encode(text) == peer.encode(text).ids
    assert ours.decode(ours.encode(text)) == text
