"""Perplexity with a sliding window, and bits per byte, against loops and numbers worked by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from lmlib.evaluation.language_models import (
    bits_per_byte,
    bits_per_character,
    perplexity,
    token_log_probabilities,
)
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from lmlib.models.ngram import KneserNey
from lmlib.models.recurrent import RecurrentConfig, RecurrentLM

VOCAB_SIZE = 11


def text_and_model(seed: int, length: int = 37) -> tuple[Tensor, RecurrentLM]:
    torch.manual_seed(seed)
    return torch.randint(VOCAB_SIZE, (length,)), RecurrentLM(RecurrentConfig(VOCAB_SIZE, 6, 1)).eval()


def one_by_one(model: RecurrentLM, ids: Tensor, window: int, stride: int) -> list[float]:
    """The same windows, one token at a time: target t is scored in the first window that reaches it."""
    n = len(ids) - 1
    width = min(window, n)
    starts = [*range(0, n - width, stride), n - width]
    scores = []
    for t in range(n):
        start = next(s for s in starts if s + width > t)
        logits = model(input_ids=ids[None, start : t + 1]).logits[0, -1]
        scores.append(torch.log_softmax(logits, dim=-1)[ids[t + 1]].item())
    return scores


@pytest.mark.parametrize(("window", "stride"), [(5, 1), (5, 2), (5, 5), (8, 3), (36, 7), (35, 4), (100, 9)])
def test_windows_score_each_token_once_with_the_context_they_promise(seed: int, window: int, stride: int):
    ids, model = text_and_model(seed)
    scores = token_log_probabilities(model, ids, window, stride, batch_size=3)
    assert scores.tolist() == pytest.approx(one_by_one(model, ids, window, stride), abs=1e-5)


def test_a_window_over_the_whole_text_gives_the_exact_loss(seed: int):
    ids, model = text_and_model(seed)
    loss = model(input_ids=ids[None], labels=ids[None]).loss
    assert perplexity(token_log_probabilities(model, ids, window=36)) == pytest.approx(math.exp(loss.item()), rel=1e-5)


def test_each_token_sees_at_least_window_minus_stride_tokens(seed: int):
    lengths = []

    def spy(input_ids: Tensor) -> SimpleNamespace:  # its score for a token tells how many tokens it saw before
        batch, width = input_ids.shape
        seen = torch.arange(1, width + 1).float().expand(batch, width)
        lengths.append(width)
        return SimpleNamespace(logits=torch.stack([seen, torch.zeros_like(seen)], dim=-1))

    scores = token_log_probabilities(spy, torch.zeros(30, dtype=torch.long), window=10, stride=4)
    seen = torch.log(scores.exp() / (1 - scores.exp()))  # invert the two-way softmax
    assert seen[:10].round().tolist() == list(range(1, 11))
    assert seen[10:].round().min() >= 10 - 4 + 1
    assert set(lengths) == {10}


def test_a_start_token_lets_the_first_token_be_scored(seed: int):
    ids, model = text_and_model(seed)
    with_start = token_log_probabilities(model, ids, window=100, start_id=3)
    assert len(with_start) == len(ids)
    first = torch.log_softmax(model(input_ids=torch.tensor([[3]])).logits[0, 0], dim=-1)[ids[0]]
    assert with_start[0].item() == pytest.approx(first.item(), abs=1e-5)


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary():
    scores = torch.full((20,), -math.log(50))
    assert perplexity(scores) == pytest.approx(50)


def test_an_ngram_model_is_scored_by_the_same_function():
    model = KneserNey([[0, 1, 0, 2]], order=2, vocab_size=3, discount=0.5)
    assert perplexity(model.log_probabilities([0, 1])) == pytest.approx((0.75 * 0.375) ** -0.5)


def test_bits_are_counted_against_bytes_or_characters():
    scores = torch.full((4,), -math.log(8))  # 12 bits
    assert bits_per_byte(scores, "abcdef") == pytest.approx(2)
    assert bits_per_byte(scores, "语言") == pytest.approx(2)  # three bytes each
    assert bits_per_character(scores, "语言") == pytest.approx(6)


def test_an_impossible_token_makes_perplexity_infinite_and_not_nan():
    assert perplexity(torch.tensor([-1.0, -math.inf])) == math.inf


class Uniform(nn.Module):
    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 4))


IDS = torch.zeros(6, dtype=torch.long)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: token_log_probabilities(Uniform(), IDS, 4), r"call model.eval\(\) first"),
        (lambda: token_log_probabilities(Uniform().eval(), IDS[None], 4), r"one text, \(T,\)"),
        (lambda: token_log_probabilities(Uniform().eval(), IDS[:1], 4), "nothing to predict"),
        (lambda: token_log_probabilities(Uniform().eval(), IDS, 4, 5), "got stride 5, window 4"),
        (lambda: token_log_probabilities(Uniform().eval(), IDS, 4, 0), "got stride 0, window 4"),
        (lambda: token_log_probabilities(Gpt2(Gpt2Config(9, 8, 1, 2, 8)).eval(), IDS, 4), "does not score a token"),
        (lambda: perplexity(torch.tensor([])), "no log probability"),
        (lambda: perplexity(torch.tensor([-1.0, math.nan])), "not NaN"),
        (lambda: perplexity(torch.tensor([0.5])), "were probabilities or logits given"),
        (lambda: bits_per_byte(torch.tensor([-1.0]), ""), "the text is empty"),
    ],
)
def test_wrong_input_is_refused_with_its_reason(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()
