"""Contrastive search against its definition, computed without a cache."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lmlib.decoding import Stop, contrastive_search, generate
from tests.lmlib.decoding.tiny import VOCAB, pair, prompts_of

NEW = 8


@torch.no_grad()
def by_definition(model: Any, prompt: list[int], k: int, alpha: float) -> list[int]:
    """Score every candidate by running the whole text with it."""
    text = list(prompt)
    for _ in range(NEW):
        probs = model(torch.tensor([text])).logits[0, -1].softmax(-1)
        best, best_score = -1, -float("inf")
        for token in probs.topk(k).indices.tolist():
            states = F.normalize(model(torch.tensor([[*text, token]])).last_hidden_state[0], dim=-1)
            score = (1 - alpha) * probs[token].item() - alpha * (states[:-1] @ states[-1]).max().item()
            if score > best_score:
                best, best_score = token, score
        text.append(best)
    return text[len(prompt) :]


@pytest.mark.parametrize(("kind", "alpha"), [("gpt2", 0.3), ("llama", 0.6), ("gpt_neo", 1.0)])
def test_tokens_are_those_of_the_definition(kind: str, alpha: float, seed: int, tmp_path: Path) -> None:
    _, model = pair(kind, seed, tmp_path)
    prompts = prompts_of(seed)
    written = contrastive_search(model, prompts, NEW, k=4, alpha=alpha, stop=Stop(()))
    assert [w.tokens for w in written] == [by_definition(model, prompt, 4, alpha) for prompt in prompts]


def test_alpha_zero_is_greedy(seed: int, tmp_path: Path) -> None:
    _, model = pair("gpt2", seed, tmp_path)
    prompts = prompts_of(seed)
    written = contrastive_search(model, prompts, NEW, alpha=0.0)
    assert [(w.tokens, w.stopped_by) for w in written] == [
        (w.tokens, w.stopped_by) for w in generate(model, prompts, NEW)
    ]


@pytest.mark.parametrize("options", [{"k": 0}, {"k": VOCAB + 1}, {"alpha": -0.1}, {"alpha": 1.1}])
def test_settings_out_of_range_are_refused(options: dict[str, Any], seed: int, tmp_path: Path) -> None:
    _, model = pair("gpt2", seed, tmp_path)
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.23 and alpha in 0\.\.1"):
        contrastive_search(model, [[5]], 3, **options)
