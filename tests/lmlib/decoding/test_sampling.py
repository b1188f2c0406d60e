"""Draws follow the exact distribution, and what the filters leave out is never drawn."""

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from lmlib.decoding import Sampling, generate
from lmlib.decoding.sampling import draw
from tests.lmlib.decoding.tiny import VOCAB, pair

ALPHA = 1e-6  # chance that a correct sampler fails one of these tests


def assert_follows(counts: Tensor, probabilities: Tensor) -> None:
    """Chi-square test of counts against probabilities; cells that expect fewer than 5 join the smallest other one."""
    expected = probabilities.double() / probabilities.double().sum() * counts.sum()
    assert (counts[expected == 0] == 0).all(), "a token with probability 0 was drawn"
    order = expected.argsort(descending=True)
    n = max(1, int((expected >= 5).sum()))
    cells = [torch.cat([x[order[: n - 1]], x[order[n - 1 :]].sum()[None]]) for x in (counts.double(), expected)]
    if n == 1:
        return  # one outcome: that it alone was drawn has been seen
    result = chisquare(*(cell.numpy() for cell in cells))
    assert result.pvalue > ALPHA, f"p = {result.pvalue:.1e}, observed {cells[0].tolist()}, expected {cells[1].tolist()}"


CHOICES = {
    "plain": Sampling(),
    "temperature": Sampling(temperature=0.5),
    "top_k": Sampling(top_k=5),
    "top_p": Sampling(top_p=0.8),
    "min_p": Sampling(min_p=0.1),
    "typical": Sampling(typical_p=0.7),
    "all": Sampling(1.5, top_k=15, top_p=0.95, min_p=0.01, typical_p=0.9),
}


def by_hand(scores: Tensor, sampling: Sampling) -> Tensor:
    """The distribution after each filter, from its definition, by a loop over the tokens of one row in float64."""
    probs = (scores.double() / sampling.temperature).softmax(-1)

    def keep(order: Tensor, mass: float) -> Tensor:
        total, kept = 0.0, torch.zeros_like(probs)
        for token in order.tolist():
            kept[token] = probs[token]
            total += probs[token].item()
            if total >= mass:
                break
        return kept / kept.sum()

    if sampling.top_k is not None:
        kept = torch.zeros_like(probs)
        best = probs.argsort(descending=True)[: sampling.top_k]
        kept[best] = probs[best]
        probs = kept / kept.sum()
    if sampling.top_p is not None:
        probs = keep(probs.argsort(descending=True), sampling.top_p)
    if sampling.min_p is not None:
        probs = torch.where(probs >= sampling.min_p * probs.max(), probs, 0)
        probs = probs / probs.sum()
    if sampling.typical_p is not None:
        surprise = -probs.log()
        entropy = (probs * surprise)[probs > 0].sum()
        probs = keep((surprise - entropy).abs().argsort(), sampling.typical_p)
    return probs


@pytest.mark.parametrize("name", CHOICES)
def test_each_filter_gives_the_distribution_of_its_definition(name: str, seed: int) -> None:
    scores = 2 * torch.randn(VOCAB, generator=torch.Generator().manual_seed(seed))
    expected = by_hand(scores, CHOICES[name])
    torch.testing.assert_close(CHOICES[name].probabilities(scores[None])[0].double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", CHOICES)
def test_draws_follow_the_distribution(name: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(VOCAB, generator=generator)
    expected = by_hand(scores, CHOICES[name])
    drawn = draw(CHOICES[name].probabilities(scores.expand(40_000, -1)), generator)
    assert_follows(drawn.bincount(minlength=VOCAB), expected)


def test_two_sampled_tokens_follow_the_joint_distribution_of_the_model(seed: int, tmp_path: Path) -> None:
    _, model = pair("llama", seed, tmp_path)
    sampling, n = Sampling(temperature=0.8, top_p=0.9), 4000
    written = generate(model, [[5, 7, 3]], 2, sampling=sampling, n=n, seed=seed)
    joint = joint_of_two(model, [5, 7, 3], sampling)
    counts = torch.zeros(VOCAB, VOCAB, dtype=torch.long)
    for row in written:
        first = row.tokens[0]
        counts[first, row.tokens[1] if len(row.tokens) == 2 else 0] += 1
    assert_follows(counts.flatten(), joint.flatten())


@torch.no_grad()
def joint_of_two(model: Any, prompt: list[int], sampling: Sampling) -> Tensor:
    """(V, V) probability of each pair of next tokens; after a stop token none follows, which counts as token 0."""
    first = sampling.probabilities(model(torch.tensor([prompt])).logits[0, -1].float())
    longer = torch.tensor([[*prompt, token] for token in range(len(first))])
    second = sampling.probabilities(model(longer).logits[:, -1].float())
    second[model.config.eos_token_id] = torch.nn.functional.one_hot(torch.tensor(0), len(first)).float()
    return first[:, None] * second


def test_same_seed_draws_the_same_and_another_seed_another(seed: int, tmp_path: Path) -> None:
    _, model = pair("gpt2", seed, tmp_path)

    def tokens(draw_seed: int) -> list[list[int]]:
        return [w.tokens for w in generate(model, [[5], [6, 7]], 12, sampling=Sampling(), n=3, seed=draw_seed)]

    assert tokens(seed) == tokens(seed)
    assert tokens(seed) != tokens(seed + 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0.*sampling=None"),
        ({"temperature": float("nan")}, "temperature must be above 0"),
        ({"temperature": float("inf")}, "temperature must be above 0"),
        ({"top_k": 0}, "top_k must be a whole number of 1 or more; got 0"),
        ({"top_k": 2.5}, "top_k must be a whole number"),
        ({"top_k": 2.0}, "top_k must be a whole number"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1; got 0.0"),
        ({"min_p": 1.5}, "min_p must be above 0 and at most 1"),
        ({"typical_p": -1}, "typical_p must be above 0 and at most 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sampling(**wrong)
