"""Does a model that is 80 % sure turn out right 80 % of the time?

Shapes: N examples, K classes; probabilities (N, K), labels (N,).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Reliability:
    """The examples by confidence, in bins of equal width over 0..1; a bin with none has 0 throughout."""

    count: Tensor  # (bins,)
    confidence: Tensor  # (bins,): the mean probability of the predicted class
    accuracy: Tensor  # (bins,): the share of right predictions


def reliability(probabilities: Tensor, labels: Tensor, n_bins: int = 15) -> Reliability:
    """Bins (0, 1/n], (1/n, 2/n] ... for a reliability diagram. Source: Guo et al. 2017, section 2."""
    _check(probabilities, labels)
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1; got {n_bins}")
    confidence, predicted = probabilities.double().max(dim=-1)
    edges = torch.linspace(0, 1, n_bins + 1, dtype=torch.float64, device=confidence.device)[1:-1]
    place = torch.bucketize(confidence, edges)  # an edge belongs to the bin below it
    right = (predicted == labels).double()
    count = torch.bincount(place, minlength=n_bins)
    sums = [torch.bincount(place, weights, minlength=n_bins) for weights in (confidence, right)]
    means = [total / count.clamp(min=1) for total in sums]
    return Reliability(count, *means)


def expected_calibration_error(probabilities: Tensor, labels: Tensor, n_bins: int = 15) -> float:
    """The mean gap between confidence and accuracy over the bins, weighted by size. Source: Guo et al. 2017, eq. 3."""
    bins = reliability(probabilities, labels, n_bins)
    return float((bins.count * (bins.confidence - bins.accuracy).abs()).sum() / bins.count.sum())


def brier_score(probabilities: Tensor, labels: Tensor) -> float:
    """The mean of Σₖ (pₖ - yₖ)², y being 1 at the label: 0 is best, 2 is worst. Source: Brier 1950."""
    _check(probabilities, labels)
    truth = F.one_hot(labels, probabilities.size(-1))
    return float(((probabilities.double() - truth) ** 2).sum(-1).mean())


def _check(probabilities: Tensor, labels: Tensor) -> None:
    if probabilities.dim() != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise ValueError(
            "probabilities (N, K) and labels (N,) are needed, N at least 1; "
            f"got {tuple(probabilities.shape)} and {tuple(labels.shape)}"
        )
    sums = probabilities.sum(-1)
    if not ((probabilities >= 0).all() and torch.allclose(sums, torch.ones_like(sums), atol=1e-2)):
        raise ValueError("each row of probabilities must sum to 1 without negatives; apply softmax to logits first")
    if labels.is_floating_point() or labels.min() < 0 or labels.max() >= probabilities.size(1):
        raise ValueError(
            f"labels must be class numbers in 0..{probabilities.size(1) - 1}; got {labels.unique().tolist()}"
        )
