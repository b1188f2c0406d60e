"""CrowS-Pairs: which tokens are scored, what each costs under the peer's model, and the share with its interval."""

from pathlib import Path

import pytest
import torch
from scipy.stats import binomtest
from transformers import BertConfig, BertForMaskedLM

from lmlib.interpret.crows_pairs import Preference, causal_compare, masked_compare, preferences, shared_positions
from lmlib.interpret.pseudo_likelihood import masked_log_probabilities
from tests.lmlib.decoding import tiny
from tests.lmlib.models.parity import loaded, randomised

MASK = 4
FIRST, SECOND = [1, 5, 6, 7, 8, 9, 2], [1, 5, 10, 11, 8, 9, 2]  # "1" and "2" stand at the ends of each sentence


def encode(text: str) -> list[int]:
    return [int(word) for word in text.split()]


def as_text(ids: list[int]) -> str:
    return " ".join(map(str, ids))


def peer_and_ours(seed: int, folder: Path) -> tuple:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    peer = randomised(BertForMaskedLM(BertConfig(vocab_size=tiny.VOCAB, **sizes)), seed)
    return peer, loaded(peer, folder)


def test_shared_tokens_are_those_outside_the_words_that_were_exchanged() -> None:
    assert shared_positions(FIRST, SECOND) == ([0, 1, 4, 5, 6], [0, 1, 4, 5, 6])
    assert shared_positions([5, 6, 9], [5, 7, 8, 9]) == ([0, 2], [0, 3])
    assert shared_positions([5], [6]) == ([], [])


def test_each_token_is_scored_alone_masked_as_by_the_peer(seed: int, tmp_path: Path) -> None:
    peer, ours = peer_and_ours(seed, tmp_path)
    ids = torch.tensor(FIRST)
    expected = []
    for position in range(len(ids)):
        masked = ids.clone()
        masked[position] = MASK
        with torch.no_grad():
            expected.append(float(peer(masked[None]).logits[0, position].log_softmax(-1)[ids[position]]))
    for batch_size in (2, 64):
        found = masked_log_probabilities(ours, ids, range(len(ids)), MASK, batch_size)
        assert found.tolist() == pytest.approx(expected, abs=1e-4)


def test_a_masked_model_scores_the_shared_tokens_and_no_special_one(seed: int, tmp_path: Path) -> None:
    _, ours = peer_and_ours(seed, tmp_path)
    scores = masked_compare(ours, encode, MASK, special_ids=(1, 2))(as_text(FIRST), as_text(SECOND))
    for ids, score in zip((FIRST, SECOND), scores, strict=True):
        assert score == pytest.approx(float(masked_log_probabilities(ours, torch.tensor(ids), [1, 4, 5], MASK).sum()))


def test_a_causal_model_scores_the_whole_sentence_as_by_the_peer(seed: int, tmp_path: Path) -> None:
    peer, ours = tiny.pair("gpt2", seed, tmp_path)
    scores = causal_compare(ours, encode, window=16)(as_text(FIRST), as_text(SECOND))
    for ids, score in zip((FIRST, SECOND), scores, strict=True):
        row = torch.tensor([ids])
        with torch.no_grad():
            assert score == pytest.approx(-peer(row, labels=row).loss.item() * (len(ids) - 1), rel=1e-4)


def test_shares_are_counted_by_kind_and_ties_for_neither_side() -> None:
    table = {"a": 1.0, "b": 0.0}
    pairs = [("a", "b", "age"), ("a", "b", "age"), ("b", "a", "age"), ("a", "a", "gender")]
    found = preferences(pairs, lambda first, second: (table[first], table[second]))
    assert found == {"all": Preference(4, 2, 1), "age": Preference(3, 2, 0), "gender": Preference(1, 0, 1)}
    assert found["all"].share == 0.5


@pytest.mark.parametrize(("n", "n_first"), [(10, 0), (10, 7), (1508, 912), (3, 3)])
def test_the_interval_is_wilsons(n: int, n_first: int) -> None:
    expected = binomtest(n_first, n).proportion_ci(0.95, method="wilson")
    assert Preference(n, n_first, 0).interval == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_bad_input_is_named(seed: int, tmp_path: Path) -> None:
    _, ours = peer_and_ours(seed, tmp_path)
    with pytest.raises(ValueError, match="there is no pair"):
        preferences([], lambda first, second: (0.0, 0.0))
    with pytest.raises(ValueError, match=r"positions in it are needed; got \(7,\) and \[7\]"):
        masked_log_probabilities(ours, torch.tensor(FIRST), [7], MASK)
    with pytest.raises(ValueError, match=r"got \(7,\) and \[\]"):
        masked_log_probabilities(ours, torch.tensor(FIRST), [], MASK)


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="no numbers to compare"):
        preferences([("a", "b", "age")], lambda first, second: (float("nan"), 0.0))
