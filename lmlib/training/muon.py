"""Muon: momentum whose every step, as a matrix, is made orthogonal. Source: Jordan et al. 2024, "Muon".

The gradient of a matrix is dominated by a few directions. Its nearest orthogonal matrix moves along all directions
alike, so rare ones are learned as fast as common ones. Only for matrices that take one hidden vector to another: in an
embedding each row stands alone, and there is no such geometry.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steepest at 0 of all quintics that stay near 1: five steps are enough
N_STEPS = 5


def orthogonalised(matrices: Tensor) -> Tensor:
    """(..., M, N) → about U Vᵀ of each U S Vᵀ: what is not tiny beside the norm goes to 0.68..1.14.

    Newton-Schulz: the odd polynomial a·x + b·x³ + c·x⁵ acts on the singular values alone, and needs only products of
    matrices. bfloat16 is exact enough for it, and is used where it is fast.
    """
    a, b, c = COEFFICIENTS
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else matrices.dtype)
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x  # the smaller side first: X Xᵀ is small then
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)  # no singular value above 1
    for _ in range(N_STEPS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised, for matrices (M, N).

    Each step has about the size lr · √max(1, M/N), whatever the gradient's. A group's `parts` are the numbers of rows
    of matrices that are stored as one (queries, keys and values) and are made orthogonal each by itself.
    """

    def __init__(
        self, groups: Iterable[Any], lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "parts": None})
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.dim() != 2 or sum(group["parts"] or matrix.shape[:1]) != matrix.size(0):
                    raise ValueError(
                        f"Muon moves matrices (M, N) whose parts have M rows together; got {tuple(matrix.shape)} "
                        f"with parts {group['parts']}. Leave vectors to AdamW"
                    )

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] # no loss is computed in here
        """Move every matrix that has a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure: compute the gradients first, then call step()")
        for group in self.param_groups:
            moved = [matrix for matrix in group["params"] if matrix.grad is not None]
            for matrix, update in zip(moved, self._updates(moved, group), strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.sub_(update, alpha=group["lr"])

    def _updates(self, moved: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        """The orthogonal step of each matrix; matrices of one shape are worked on together."""
        steps = [self._momentum(matrix, group["momentum"]) for matrix in moved]
        pieces = [piece for step in steps for piece in step.split(group["parts"] or step.size(0))]
        by_shape: dict[torch.Size, list[int]] = {}
        for i, piece in enumerate(pieces):
            by_shape.setdefault(piece.shape, []).append(i)
        for (n_rows, n_columns), places in by_shape.items():
            scale = max(1, n_rows / n_columns) ** 0.5
            together = orthogonalised(torch.stack([pieces[i] for i in places])) * scale
            for i, piece in zip(places, together, strict=True):
                pieces[i] = piece
        n_parts = len(group["parts"] or [0])
        return [torch.cat(pieces[i : i + n_parts]) for i in range(0, len(pieces), n_parts)]

    def _momentum(self, matrix: Tensor, momentum: float) -> Tensor:
        """Take the gradient into the running mean, and look one step ahead along it."""
        state = self.state[matrix]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(matrix)
        gradient = cast("Tensor", matrix.grad)
        running = state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(running, momentum)
