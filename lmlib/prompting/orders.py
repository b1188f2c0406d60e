"""How much hangs on the order of the demonstrations.

Source: Lu et al. 2022. Shapes: P orders, N examples, K labels.
"""

import math
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from lmlib.evaluation.classification import accuracy
from lmlib.prompting.templates import Prompt


def orders(n: int, limit: int = 24, seed: int = 0) -> list[tuple[int, ...]]:
    """All orders of n things if there are at most `limit`; else `limit` different ones, drawn from the seed."""
    if n < 1 or limit < 1:
        raise ValueError(f"one demonstration and one order are the least; got n={n}, limit={limit}")
    if math.factorial(n) <= limit:
        return list(permutations(range(n)))
    draw = random.Random(seed)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < limit:
        found[tuple(draw.sample(range(n), n))] = None
    return list(found)


@dataclass(frozen=True)
class OrderSensitivity:
    """What each order gives: (P,) each. Entropies in bits."""

    orders: list[tuple[int, ...]]
    accuracy: Tensor
    mean_entropy: Tensor  # of one example's probabilities: near 0, the model is sure of every answer
    label_entropy: Tensor  # of the predicted labels of all examples: 0, it always says the same

    @property
    def spread(self) -> float:
        """The best accuracy less the worst."""
        return float(self.accuracy.max() - self.accuracy.min())


def order_sensitivity(
    score: Callable[[Prompt], Tensor],
    prompt: Prompt,
    labels: Sequence[Hashable],
    tried: Sequence[tuple[int, ...]] | None = None,
) -> OrderSensitivity:
    """Try the demonstrations of a prompt in these orders; `orders(n)` if none are given.

    score: from a prompt to scores or ln probabilities (N, K) of the same examples, whose true labels are `labels`.
    """
    tried = orders(len(prompt.demonstrations)) if tried is None else list(tried)
    rows = [_measure(score(prompt.ordered(order)), prompt, labels) for order in tried]
    right, mean, spread = torch.tensor(rows, dtype=torch.float64).T
    return OrderSensitivity(list(tried), right, mean, spread)


def _measure(scores: Tensor, prompt: Prompt, labels: Sequence[Hashable]) -> tuple[float, float, float]:
    verbaliser = prompt.verbaliser
    predicted = scores.argmax(1)
    shares = torch.bincount(predicted, minlength=len(verbaliser.labels)).double() / len(predicted)
    right = accuracy(verbaliser.predictions(scores), labels)
    return right, float(entropy(scores.double().softmax(1)).mean()), float(entropy(shares))


def entropy(probabilities: Tensor) -> Tensor:
    """Bits, over the last axis; 0 · log 0 counts as 0."""
    return -torch.special.xlogy(probabilities, probabilities).sum(-1) / math.log(2)
