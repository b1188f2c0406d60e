"""Taking away what a model would answer to anything: contextual calibration, and scores relative to a domain.

Shapes: N examples, M inputs without content, K labels.
"""

import torch
from torch import Tensor


def calibrated(scores: Tensor, content_free: Tensor) -> Tensor:
    """Probabilities (N, K) that are even for an input without content, from ln P: scores (N, K), content_free (M, K).

    q ∝ p / p_cf, where p is normalised over the labels and p_cf is its mean over the M inputs. Source: Zhao et al.
    2021, section 5, W = diag(p_cf)⁻¹ and b = 0, divided by the sum in place of a softmax: the best label is the same.
    """
    _check(scores, content_free)
    even = content_free.log_softmax(-1).logsumexp(0)  # in logarithms, where nothing underflows; M falls out below
    if even.isneginf().any():
        raise ValueError("a label has probability 0 after every input without content; nothing can be divided by it")
    return (scores.log_softmax(-1) - even).softmax(-1)


def relative_to_domain(scores: Tensor, domain: Tensor) -> Tensor:
    """ln P(answer | prompt) - ln P(answer | domain), (N, K): how much likelier the prompt makes each answer.

    scores (N, K); domain (1, K), the scores after the end of the template alone ("All in all, it was"), or (N, K).
    Source: Holtzman et al. 2021, section 2.2 (domain-conditional pointwise mutual information).
    """
    _check(scores, domain)
    if domain.size(0) not in (1, scores.size(0)):
        raise ValueError(f"domain must be (1, K), or (N, K) as the scores are; got {tuple(domain.shape)}")
    return scores - domain


def _check(scores: Tensor, other: Tensor) -> None:
    shapes = tuple(scores.shape), tuple(other.shape)
    if scores.dim() != 2 or other.dim() != 2 or scores.size(1) != other.size(1) or not other.size(0):
        raise ValueError(
            f"both must be (rows, labels), one row or more, with the same labels; got {shapes[0]} and {shapes[1]}"
        )
    for values in (scores, other):
        if not (values <= 1e-4).all():  # NaN fails this as well
            raise ValueError(
                "scores must be log probabilities, at most 0 and not NaN; were probabilities or logits given?"
            )
        if torch.isneginf(values).all(1).any():
            raise ValueError("an example gives every label probability 0; there is nothing to compare")
