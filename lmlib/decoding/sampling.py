"""From scores to a choice: filters that leave out unlikely tokens, and the draw.

Every filter takes scores (R, V) and gives scores (R, V), with minus infinity at what is left out; the most likely token
always stays, except in `typical`. Shapes: R rows, V vocabulary.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def top_k(scores: Tensor, k: int) -> Tensor:
    """Keep the k most likely tokens. Source: Fan et al. 2018, section 5.4."""
    lowest = scores.topk(min(k, scores.size(-1))).values[..., -1:]
    return scores.masked_fill(scores < lowest, -math.inf)


def top_p(scores: Tensor, p: float) -> Tensor:
    """Keep the fewest, most likely tokens that have probability p together. Source: Holtzman et al. 2020."""
    ordered, order = scores.sort(descending=False)  # from the least likely on: what stays below 1 - p goes
    goes = ordered.softmax(-1).cumsum(-1) <= 1 - p
    goes[..., -1] = False
    return scores.masked_fill(goes.scatter(-1, order, goes), -math.inf)


def min_p(scores: Tensor, p: float) -> Tensor:
    """Keep tokens at least p times as likely as the most likely one. Source: Nguyen et al. 2024."""
    probs = scores.softmax(-1)
    return scores.masked_fill(probs < p * probs.amax(-1, keepdim=True), -math.inf)


def typical(scores: Tensor, p: float) -> Tensor:
    """Keep the tokens whose surprise is nearest to the expected one, until they have probability p together.

    Source: Meister et al. 2023, equation 10.
    """
    log_probs = scores.log_softmax(-1)
    probs = log_probs.exp()
    entropy = -torch.where(probs > 0, log_probs * probs, 0.0).sum(-1, keepdim=True)  # 0 · log 0 counts as 0
    distance = (-log_probs - entropy).abs()
    ordered, order = distance.sort(descending=False)
    before = probs.gather(-1, order).cumsum(-1)
    last = (before < p).sum(-1, keepdim=True).clamp(max=scores.size(-1) - 1)  # the token that reaches p is kept
    return scores.masked_fill(distance > ordered.gather(-1, last), -math.inf)


def repetition_penalty(scores: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Make tokens of the text so far, seen (R, V) bool, less likely: positive scores / penalty, negative · penalty.

    Source: Keskar et al. 2019, section 4.1.
    """
    return torch.where(seen, torch.where(scores > 0, scores / penalty, scores * penalty), scores)


@dataclass(frozen=True)
class Sampling:
    """How to draw: temperature first, then each filter that is given, in this order. Raises ValueError when built."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0 or math.isinf(self.temperature):
            raise ValueError(
                f"temperature must be above 0; got {self.temperature}. For the most likely token: sampling=None"
            )
        if self.top_k is not None and (not isinstance(self.top_k, int) or self.top_k < 1):
            raise ValueError(f"top_k must be a whole number of 1 or more; got {self.top_k}")
        for name in ("top_p", "min_p", "typical_p"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1; got {value}")

    def probabilities(self, scores: Tensor) -> Tensor:
        """scores (..., V) → the probabilities (..., V) that are drawn from."""
        scores = scores / self.temperature
        if self.top_k is not None:
            scores = top_k(scores, self.top_k)
        if self.top_p is not None and self.top_p < 1:
            scores = top_p(scores, self.top_p)
        if self.min_p is not None:
            scores = min_p(scores, self.min_p)
        if self.typical_p is not None and self.typical_p < 1:
            scores = typical(scores, self.typical_p)
        return scores.softmax(-1)


def draw(probabilities: Tensor, generator: torch.Generator | None) -> Tensor:
    """One token a row, (R,), from probabilities (R, V).

    Each token runs for an exponential time divided by its probability, and the first wins: exact, and on a GPU without
    waiting for it.
    """
    times = torch.empty_like(probabilities).exponential_(generator=generator)
    return (probabilities / times).argmax(-1)


def generator_for(seed: int | None, device: torch.device) -> torch.Generator | None:
    """A generator that starts from this seed; None, which means torch's own, without a seed."""
    return None if seed is None else torch.Generator(device).manual_seed(seed)
