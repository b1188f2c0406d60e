"""Induction scores: 1 for heads built by hand to do it, and what chance gives for heads that do nothing."""

import math

import pytest
import torch

from lmlib.interpret.induction import head_scores, losses_of_copies, repeated_sequences
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from tests.lmlib.interpret import by_hand

SEQUENCES = repeated_sequences(8, by_hand.PERIOD, by_hand.VOCAB, start_id=by_hand.START)


def test_sequences_come_twice_after_the_start_and_have_no_token_twice_before() -> None:
    assert SEQUENCES.shape == (8, 2 * by_hand.PERIOD + 1)
    assert (SEQUENCES[:, 0] == by_hand.START).all()
    once, again = SEQUENCES[:, 1:].chunk(2, dim=1)
    assert torch.equal(once, again)
    assert all(len(set(row)) == by_hand.PERIOD and by_hand.START not in row for row in once.tolist())
    assert torch.equal(SEQUENCES, repeated_sequences(8, by_hand.PERIOD, by_hand.VOCAB, start_id=by_hand.START))
    assert not torch.equal(SEQUENCES[0], SEQUENCES[1])
    assert repeated_sequences(2, 3, 5).shape == (2, 6)


def test_heads_built_to_look_back_and_to_continue_have_score_one() -> None:
    scores = head_scores(by_hand.copying_model(), SEQUENCES, by_hand.PERIOD)
    torch.testing.assert_close(scores.previous, torch.tensor([[1.0], [0.0]]), atol=1e-4, rtol=0)
    torch.testing.assert_close(scores.induction, torch.tensor([[0.0], [1.0]]), atol=1e-4, rtol=0)
    torch.testing.assert_close(scores.duplicate, torch.zeros(2, 1), atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_head_that_looks_for_its_own_token_shares_its_weight_between_the_two_copies() -> None:
    model = by_hand.copying_model()
    first = model.decoder.blocks[0].attention
    first.qkv.weight[: 2 * by_hand.D_MODEL] = 0
    token = torch.arange(by_hand.VOCAB)
    first.qkv.weight[token, token] = first.qkv.weight[by_hand.D_MODEL + token, token] = by_hand.SHARP
    scores = head_scores(model, SEQUENCES, by_hand.PERIOD)
    assert scores.duplicate[0, 0] == pytest.approx(0.5, abs=1e-4)


@torch.no_grad()
def test_a_head_without_preference_spreads_its_weight_evenly() -> None:
    model = Gpt2(Gpt2Config(by_hand.VOCAB, 8, 1, 2, by_hand.LENGTH), "language_model").eval()
    model.decoder.blocks[0].attention.qkv.weight.zero_()
    scores = head_scores(model, SEQUENCES, by_hand.PERIOD)
    queries = range(by_hand.PERIOD + 1, by_hand.LENGTH)
    expected = sum(1 / (q + 1) for q in queries) / len(queries)  # a query at q sees q + 1 tokens
    for name in ("induction", "previous", "duplicate"):
        torch.testing.assert_close(getattr(scores, name), torch.full((1, 2), expected))


def test_only_the_second_copy_is_predicted_by_copying() -> None:
    first, second = losses_of_copies(by_hand.copying_model(), SEQUENCES, by_hand.PERIOD)
    assert first > math.log(by_hand.VOCAB)
    assert second < 0.01


def test_losses_are_those_of_the_model_on_each_copy_without_its_first_token(seed: int) -> None:
    torch.manual_seed(seed)
    model = Gpt2(Gpt2Config(by_hand.VOCAB, 8, 1, 2, by_hand.LENGTH, initializer_std=0.5), "language_model").eval()
    labels = [torch.full_like(SEQUENCES, -100) for _ in range(2)]
    labels[0][:, 2 : by_hand.PERIOD + 1] = SEQUENCES[:, 2 : by_hand.PERIOD + 1]
    labels[1][:, by_hand.PERIOD + 2 :] = SEQUENCES[:, by_hand.PERIOD + 2 :]
    expected = [model(SEQUENCES, labels=one).loss.item() for one in labels]
    assert losses_of_copies(model, SEQUENCES, by_hand.PERIOD) == pytest.approx(expected, rel=1e-5)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"period must lie in 2..12, for its tokens differ; got 13"):
        repeated_sequences(1, 13, by_hand.VOCAB, start_id=0)
    with pytest.raises(ValueError, match="the last 5 tokens of each row must repeat"):
        head_scores(by_hand.copying_model(), SEQUENCES, 5)
    with pytest.raises(ValueError, match=r"2 · period or longer.*got \(8, 13\) and 7"):
        head_scores(by_hand.copying_model(), SEQUENCES, 7)
