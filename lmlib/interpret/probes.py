"""Linear probes: what a linear classifier reads from frozen states, and how much of it the probe learned itself.

A probe may know the answer because the states hold it, or because it learned which word has which label. A control task
tells: each word gets a label by chance, which no state can hold. Selectivity is the accuracy on the task minus that on
the control task. Source: Hewitt & Liang 2019.
Shapes: N tokens, C d_model, K classes.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_STEPS = 2000


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier, `weight` (K, C) and `bias` (K,), in float64."""

    weight: Tensor
    bias: Tensor

    def logits(self, states: Tensor) -> Tensor:
        """(N, C) → (N, K)."""
        return states.to(self.weight) @ self.weight.T + self.bias

    def accuracy(self, states: Tensor, labels: Tensor) -> float:
        """The share of tokens whose label is the most likely class."""
        check_labelled(states, labels)
        return float((self.logits(states).argmax(1) == labels.to(self.weight.device)).double().mean())


def fit_probe(states: Tensor, labels: Tensor, n_classes: int, penalty: float = 1e-3) -> LinearProbe:
    """The probe with the least mean cross-entropy + penalty/2 · |weight|², states (N, C), labels (N,) in 0..K-1.

    The objective is convex and starts at 0, so the result depends on nothing but the data. States are scaled to unit
    root mean square over all tokens for the fit, and the weights scaled back: the penalty then means the same in
    every layer. Raises ValueError when the steps do not settle.
    """
    check_labelled(states, labels)
    if penalty <= 0:
        raise ValueError(f"the penalty must be above 0, or weights may grow without end; got {penalty}")
    if not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        raise ValueError(f"labels must lie in 0..{n_classes - 1}; got {int(labels.min())}..{int(labels.max())}")
    x = states.detach().double()
    size = x.square().mean().sqrt()
    x = x / size
    weight = torch.zeros(n_classes, x.size(1), dtype=torch.double, device=x.device, requires_grad=True)
    bias = torch.zeros(n_classes, dtype=torch.double, device=x.device, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=MAX_STEPS, tolerance_grad=1e-6, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weight.T + bias, labels.to(x.device)) + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    steepest = max(float(part.grad.abs().max()) for part in (weight, bias) if part.grad is not None)
    if not steepest < 1e-4:
        raise ValueError(f"the probe did not settle (a slope of {steepest:.1e} is left); give a higher penalty")
    return LinearProbe((weight / size).detach(), bias.detach())


def control_labels(words: Sequence[Hashable], labels: Tensor, seed: int = 0) -> Tensor:
    """(N,) labels of the control task: each word has one of its own, drawn as often as labels occur in `labels`.

    The words of training and test must be given together, so that a word has the same label in both. Source: section 2.
    """
    if len(words) != len(labels):
        raise ValueError(f"each label needs its word; got {len(words)} words and {len(labels)} labels")
    observed = labels.tolist()
    rng = Random(seed)
    drawn = {word: rng.choice(observed) for word in dict.fromkeys(words)}
    return torch.tensor([drawn[word] for word in words])


@dataclass(frozen=True)
class ProbeResult:
    """Test accuracies from 0 to 1: of the probe, of the same probe on the control task, of the most frequent label."""

    accuracy: float
    control: float
    majority: float

    @property
    def selectivity(self) -> float:
        """The accuracy that is not the probe's own memory."""
        return self.accuracy - self.control


def probe_layers(
    layers: Sequence[Tensor],
    words: Sequence[Hashable],
    labels: Tensor,
    is_train: Tensor,
    *,
    penalty: float = 1e-3,
    seed: int = 0,
) -> list[ProbeResult]:
    """A probe on each layer's states (N, C), trained on the tokens where `is_train` (N,) and tested on the others.

    Words that the training tokens do not have are left out of the test: no probe can know their control label.
    """
    if is_train.dtype != torch.bool or is_train.shape != labels.shape:
        raise ValueError(
            f"is_train must be bool (N,), True at tokens to train on; got {is_train.dtype} {tuple(is_train.shape)}. "
            "From a 0/1 mask: is_train.bool()"
        )
    control = control_labels(words, labels, seed)
    known = {word for word, train in zip(words, is_train.tolist(), strict=True) if train}
    is_test = ~is_train & torch.tensor([word in known for word in words])
    if not is_train.any() or not is_test.any():
        raise ValueError("no tokens to train on, or none of the same words to test on; give more tokens of both")
    n_classes = int(labels.max()) + 1
    most_frequent = labels[is_train].bincount().argmax()
    majority = float((labels[is_test] == most_frequent).double().mean())
    results = []
    for states in layers:
        scores = []
        for target in (labels, control):
            probe = fit_probe(states[is_train], target[is_train], n_classes, penalty)
            scores.append(probe.accuracy(states[is_test], target[is_test]))
        results.append(ProbeResult(scores[0], scores[1], majority))
    return results


def check_labelled(states: Tensor, labels: Tensor) -> None:
    """Raise ValueError unless states are (N, C) and labels int64 (N,), N at least 1."""
    if states.dim() != 2 or labels.shape != states.shape[:1] or labels.dtype != torch.int64 or not len(labels):
        raise ValueError(
            f"states (N, C) and int64 labels (N,) are needed, N at least 1; "
            f"got {tuple(states.shape)} and {labels.dtype} {tuple(labels.shape)}"
        )
