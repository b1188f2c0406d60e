"""Speculative decoding keeps the distribution of the large model, whatever the draft proposes."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from lmlib.decoding import Sampling, Stop, Tally, generate, speculative
from lmlib.decoding.speculative import _Pair, accept
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from tests.lmlib.decoding.test_sampling import assert_follows, joint_of_two
from tests.lmlib.decoding.tiny import pair, prompts_of
from tests.lmlib.models.parity import randomised

SMALL_VOCAB = 3


def small(seed: int, **changes: Any) -> Gpt2:
    sizes = {"vocab_size": SMALL_VOCAB, "d_model": 8, "n_layers": 1, "n_heads": 1, "max_positions": 16} | changes
    return randomised(Gpt2(Gpt2Config(**sizes, eos_token_id=0), "language_model"), seed)


@pytest.mark.parametrize("n_draft", [0, 1, 3])
def test_accepted_and_redrawn_tokens_follow_the_wanted_distribution(n_draft: int, seed: int) -> None:
    """Tokens are independent here, so that the first one that comes out must follow the first wanted distribution."""
    generator = torch.Generator().manual_seed(seed)
    n, vocab = 50_000, 7
    drafted = (1.5 * torch.randn(n_draft, vocab, generator=generator)).softmax(-1)
    wanted = (1.5 * torch.randn(n_draft + 1, vocab, generator=generator)).softmax(-1)
    if n_draft:
        tokens = torch.stack([row.multinomial(n, True, generator=generator) for row in drafted], dim=1)
    else:
        tokens = torch.empty(n, 0, dtype=torch.long)
    n_accepted, last = accept(tokens, drafted.expand(n, -1, -1), wanted.expand(n, -1, -1), generator)
    out = torch.cat([tokens, last[:, None]], dim=1).scatter(1, n_accepted[:, None], last[:, None])
    for i in range(n_draft + 1):
        there = n_accepted >= i  # the i-th token came out of this round
        assert_follows(out[there, i].bincount(minlength=vocab), wanted[i])


def test_two_tokens_follow_the_joint_distribution_of_the_large_model(seed: int) -> None:
    model, draft = small(seed, n_layers=2), small(seed + 1)
    sampling, n = Sampling(temperature=0.3), 300
    written = speculative(model, draft, [[1, 2]] * n, 2, n_draft=2, sampling=sampling, seed=seed)
    counts = torch.zeros(SMALL_VOCAB, SMALL_VOCAB, dtype=torch.long)
    for tokens, count in Counter(tuple(w.tokens) for w in written).items():
        counts[tokens[0], tokens[1] if len(tokens) == 2 else 0] += count
    assert_follows(counts.flatten(), joint_of_two(model, [1, 2], sampling).flatten())


@pytest.mark.parametrize("n_draft", [1, 2, 5])
def test_greedy_equals_greedy_of_the_large_model_with_any_draft(n_draft: int, seed: int, tmp_path: Path) -> None:
    _, model = pair("llama", seed, tmp_path / "large")
    _, draft = pair("gpt2", seed + 1, tmp_path / "small")
    prompts = prompts_of(seed)
    for stop in (Stop(), Stop(())):
        expected = generate(model, prompts, 12, stop=stop)
        written = speculative(model, draft, prompts, 12, n_draft=n_draft, stop=stop)
        assert [(w.tokens, w.stopped_by) for w in written] == [(w.tokens, w.stopped_by) for w in expected]
        for row, reference in zip(written, expected, strict=True):
            assert row.log_probs == pytest.approx(reference.log_probs, abs=1e-4)


def test_a_draft_that_is_the_model_is_always_accepted_and_saves_passes(seed: int, tmp_path: Path) -> None:
    _, model = pair("gpt2", seed, tmp_path)
    tally = Tally()
    speculative(model, model, [[5, 6]], 15, n_draft=4, stop=Stop(()), tally=tally)
    assert tally.accepted == tally.drafted == 12
    assert tally.passes == 3  # 5 tokens a pass


def test_models_that_do_not_fit_are_refused(seed: int, tmp_path: Path) -> None:
    _, model = pair("gpt2", seed, tmp_path)
    with pytest.raises(ValueError, match="has 23 tokens, the draft 3"):
        speculative(model, small(seed), [[1]], 3)
    with pytest.raises(ValueError, match="n_draft must be 1 or more"):
        speculative(model, model, [[1]], 3, n_draft=0)
    with pytest.raises(ValueError, match="the model has 16"):
        speculative(small(seed, max_positions=40), small(seed), [[1]], 20)


def test_the_draft_reports_the_distribution_that_it_drew_from(seed: int) -> None:
    model, draft, sampling = small(seed, n_layers=2), small(seed + 1), Sampling(temperature=0.5, top_k=2)
    both = _Pair(model, draft, [1, 2], 6, sampling, torch.Generator().manual_seed(seed), Tally())
    with torch.inference_mode():
        tokens, chances = both._draft(3)
    for i in range(3):
        with torch.no_grad():
            logits = draft(torch.tensor([[1, 2, *tokens[0, :i].tolist()]])).logits[:, -1]
        torch.testing.assert_close(chances[:, i], sampling.probabilities(logits))
