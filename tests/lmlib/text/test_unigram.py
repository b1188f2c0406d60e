"""Unigram: probabilities against all segmentations written out, pieces against the peer's encoder."""

import math
from collections import Counter
from itertools import combinations, pairwise

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers

from lmlib.text.lattice import best_segmentation, build_trie, edges, expected_counts
from lmlib.text.unigram import Unigram, covering_characters, without_others
from lmlib.text.unigram_training import drop_pieces, em_step, learn_pieces, log_shares, seed_pieces
from tests.lmlib.text.texts import CHINESE, CONTROL, EMOJI, ENGLISH, MALFORMED, SAMPLES, some_text

CORPUS = [ENGLISH, CHINESE, "the other theory of them, then the others", "模型看见模型，模型 看见 词"] * 3
OURS = Unigram.train(CORPUS, 220)
SCORES = {"a": -1.5, "b": -2.0, "c": -2.5, "ab": -2.2, "bc": -3.0, "abc": -6.0, "aa": -3.0}


def peer_of(tokenizer: Unigram) -> tokenizers.Tokenizer:
    unknown = list(tokenizer.scores).index(tokenizer.unknown)
    peer = tokenizers.Tokenizer(models.Unigram(list(tokenizer.scores.items()), unknown))
    peer.pre_tokenizer, peer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    peer.add_special_tokens(list(tokenizer.added))
    return peer


PEER = peer_of(OURS)


def segmentations(word: str, scores: dict[str, float]) -> list[list[str]]:
    """Every way to cut a word into pieces that have a score."""
    cuts = [c for n in range(len(word)) for c in combinations(range(1, len(word)), n)]
    ways = [[word[i:j] for i, j in zip((0, *c), (*c, len(word)), strict=True)] for c in cuts]
    return [way for way in ways if all(piece in scores for piece in way)]


@settings(max_examples=100, deadline=None)
@given(st.text("abc", min_size=1, max_size=8))
def test_expected_counts_are_those_of_all_segmentations_written_out(word: str):
    ways = segmentations(word, SCORES)
    weights = [math.exp(sum(SCORES[piece] for piece in way)) for way in ways]
    expected: Counter[str] = Counter()
    for way, weight in zip(ways, weights, strict=True):
        for piece in way:
            expected[piece] += weight / sum(weights)
    counts, log_probability = expected_counts(edges(build_trie(SCORES), word), SCORES)
    assert log_probability == pytest.approx(math.log(sum(weights)))
    assert {piece: count for piece, count in counts.items() if count} == pytest.approx(dict(expected))


@settings(max_examples=100, deadline=None)
@given(st.text("abc", min_size=1, max_size=8))
def test_the_best_segmentation_has_the_highest_score_of_all(word: str):
    path = best_segmentation(edges(build_trie(SCORES), word), SCORES, -20.0)
    found = [word[i:j] for i, j in path]
    assert "".join(found) == word
    best = max(sum(SCORES[piece] for piece in way) for way in segmentations(word, SCORES))
    assert sum(SCORES[piece] for piece in found) == pytest.approx(best)


def test_of_equal_segmentations_the_one_with_the_longest_last_piece_is_taken_as_in_the_peer():
    scores = {"<unk>": 0.0, "▁": -1.0, "a": -1.0, "b": -1.0, "ab": -2.0, "ba": -2.0}
    ours = Unigram(scores, added=["<unk>"], padding=None)
    for text, pieces in (("ab", ["▁", "ab"]), ("aba", ["▁", "a", "ba"])):
        assert ours.tokens(ours.encode(text)) == pieces == peer_of(ours).encode(text).tokens


def test_an_unknown_character_costs_ten_more_than_the_least_likely_piece_as_in_the_peer():
    scores = {"<unk>": 0.0, "▁": -1.0, "xa": -12.0, "yb": -9.0, "ayb": -1.0}
    ours = Unigram(scores, added=["<unk>"], padding=None)
    assert ours.tokens(ours.encode("xayb")) == ["▁", "xa", "yb"]  # -21; with x unknown it is -22 - 1
    assert ours.encode("xayb") == peer_of(ours).encode("xayb").ids


def test_em_never_makes_the_words_less_probable():
    words = Counter({"banana": 3, "bandana": 2, "ananas": 4, "and": 5})
    scores, likelihoods = seed_pieces(words, 40), []
    for _ in range(12):
        scores, _, log_likelihood = em_step(words, scores)
        likelihoods.append(log_likelihood)
    assert likelihoods[-1] > likelihoods[0] + 1
    assert all(b >= a - 1e-3 for a, b in pairwise(likelihoods))  # characters are kept
    assert sum(map(math.exp, scores.values())) == pytest.approx(1)


def test_the_seed_holds_all_characters_and_the_parts_that_occur_twice():
    words = {"abab": 1, "abc": 1}
    assert set(seed_pieces(words, 100)) == {"a", "b", "c", "ab"}
    counts = {"a": 3, "b": 3, "c": 1, "ab": 3}
    assert seed_pieces(words, 100) == pytest.approx(log_shares(counts))
    assert set(seed_pieces(words, 1)) == {"a", "b", "c"}


def test_the_pieces_that_are_missed_least_are_dropped():
    scores = {"a": -1.5, "b": -2.0, "c": -2.5, "ab": -2.2, "bc": -3.0}
    counts = {"ab": 5.0, "bc": 5.0}  # ab saves 1.3 nats each time, bc 1.5
    assert set(drop_pieces(scores, counts, 4)) == {"a", "b", "c", "bc"}
    assert set(drop_pieces(scores, {"ab": 6.0, "bc": 5.0}, 4)) == {"a", "b", "c", "ab"}
    assert set(drop_pieces(scores, counts, 1)) == {"a", "b", "c"}


def test_training_keeps_every_character_and_sorts_by_probability():
    words = Counter({"▁ababab": 5, "▁abc": 3, "▁z": 1})
    pieces = learn_pieces(words, 7)
    assert len(pieces) == 7
    assert {"▁", "a", "b", "c", "z"} <= set(pieces)
    assert list(pieces.values()) == sorted(pieces.values(), reverse=True)


def test_the_order_of_the_texts_does_not_matter_for_the_pieces():
    other = Unigram.train(CORPUS[::-1], 220)
    assert set(other.scores) == set(OURS.scores)
    assert other.scores == pytest.approx(OURS.scores)


def test_the_text_is_as_probable_as_under_the_peers_trainer():
    peer = tokenizers.Tokenizer(models.Unigram())
    peer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=220, special_tokens=["<pad>", "<unk>"], unk_token="<unk>")
    peer.train_from_iterator(CORPUS, trainer)
    ours, theirs = (sum(len(encode(text)) for text in CORPUS) for encode in (OURS.encode, lambda t: peer.encode(t).ids))
    assert ours <= 1.1 * theirs  # its EM differs (digamma of the counts), so the pieces do


@settings(max_examples=200, deadline=None)
@given(some_text)
def test_any_text_gives_the_ids_of_the_peer(text: str):
    assert OURS.encode(text) == PEER.encode(text).ids


@pytest.mark.parametrize("text", [*SAMPLES, "▁a ▁▁b", "a<unk> b<pad>", "  two  spaces "])
def test_samples_give_the_ids_of_the_peer_and_decode_as_it_does(text: str):
    ids = OURS.encode(text)
    assert ids == PEER.encode(text).ids
    assert OURS.decode(ids) == PEER.decode(ids, skip_special_tokens=False)


@settings(max_examples=100, deadline=None)
@given(st.text("abcé中 🙂", max_size=20))
def test_text_of_known_characters_comes_back(text: str):
    always = Unigram({"<pad>": 0.0, "<unk>": 0.0, "▁": -2.0} | dict.fromkeys("abcé中🙂", -3.0) | {"▁ab": -2.5})
    never = Unigram(always.scores, prefix_space=False)
    assert never.decode(never.encode(text)) == text
    assert always.decode(always.encode(text)) == text.removeprefix(" ")


def test_unknown_characters_side_by_side_are_one_token():
    assert OURS.tokens(OURS.encode("☃☃☃ the")) == ["▁", "<unk>", *OURS.tokens(OURS.encode("the"))]


def test_rare_characters_stay_unknown_below_full_coverage():
    words = Counter({"aab": 2, "a中c\0": 1})
    assert covering_characters(words, 0.6) == {"a", "b"}
    assert covering_characters(words, 1.0) == set("abc中\0")
    assert without_others(words, set("ac\0")) == Counter({"aa": 2, "a": 1, "c\0": 1})
    tokenizer = Unigram.train(["aab aab aab aa中"], 7, coverage=0.9)
    assert "中" not in tokenizer.scores
    assert tokenizer.encode("中")[-1] == tokenizer.id_of("<unk>")


def test_a_normal_form_comes_before_the_pieces():
    tokenizer = Unigram.train(["ａb ab"], 5, normalization="NFKC")
    assert tokenizer.encode("ａｂ") == tokenizer.encode("ab")


def test_wrong_use_is_refused_with_a_reason():
    with pytest.raises(ValueError, match="vocab_size=3 has no room for the 4 characters"):
        Unigram.train(["abc"], 3)
    with pytest.raises(ValueError, match="coverage must be above 0 and at most 1; got 0"):
        Unigram.train(["abc"], 9, coverage=0)
    with pytest.raises(ValueError, match="two special tokens are needed"):
        Unigram.train(["abc"], 9, ["<pad>"])
    with pytest.raises(ValueError, match="the vocabulary lacks <none>"):
        Unigram({"a": -1.0}, "<none>", (), padding=None)


@pytest.mark.parametrize("text", [EMOJI, CONTROL, MALFORMED])
def test_pieces_of_training_text_hold_no_space_inside(text: str):
    tokenizer = Unigram.train([text, text], 200)
    assert all("▁" not in piece[1:] for piece in tokenizer.scores)
    assert tokenizer.decode(tokenizer.encode(text)) == text.removeprefix(" ")
