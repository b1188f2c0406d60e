"""Where a model looks: the attention maps of any family, and what they say together over all layers.

A map of one layer says which positions of the layer below it reads, and these have already mixed the tokens. Rollout
and flow follow the weights down to the tokens. Source: Abnar & Zuidema 2020.
Shapes: B batch, L layers, H heads, T query length, S key length.
"""

from collections import deque
from typing import Any

import torch
from torch import Tensor, nn

KINDS = {"self": "attentions", "cross": "cross_attentions", "encoder": "encoder_attentions"}


@torch.inference_mode()
def attention_maps(model: nn.Module, **batch: Any) -> dict[str, Tensor]:
    """The attention weights of one call, (L, B, H, T, S) each: "self", with two sides also "cross" and "encoder".

    `batch` is what the model takes by keyword. Raises ValueError for a model that attends nothing.
    """
    require_eval(model)
    out = model(**batch, inspect=True)
    found = {kind: getattr(out, name) for kind, name in KINDS.items()}
    maps = {kind: torch.stack(layers) for kind, layers in found.items() if layers}
    if not maps:
        raise ValueError(f"{type(model).__name__} returns no attention weights; a model with attention is needed")
    return maps


def require_eval(model: nn.Module) -> None:
    """Raise ValueError in training mode, where dropout changes what is looked at from call to call."""
    if model.training:
        raise ValueError("the model is in training mode, where dropout changes what is seen; call model.eval() first")


def with_residual(maps: Tensor) -> Tensor:
    """(L, B, H, T, T) → (L, B, T, T): the mean over heads, half of it replaced by a position's way to itself.

    The residual connection hands a position's own state on beside what it attends to: Â = ½ A + ½ I, each row divided
    by its sum. A row without any weight (nothing may be attended) becomes the position itself. Source: section 3.
    """
    if maps.dim() != 5 or maps.size(-1) != maps.size(-2):
        raise ValueError(f"self-attention maps (L, B, H, T, T) are needed; got {tuple(maps.shape)}")
    mixed = maps.mean(2) + torch.eye(maps.size(-1), dtype=maps.dtype, device=maps.device)
    return mixed / mixed.sum(-1, keepdim=True)


def rollout(maps: Tensor) -> Tensor:
    """(L, B, H, T, T) → (L, B, T, T): how much of each token is in each position after 1, 2, ... L layers.

    Layer by layer R = Â R, which starts from the identity; each row sums to 1. Source: equation 1.
    """
    rolled, seen = [], torch.eye(maps.size(-1), dtype=maps.dtype, device=maps.device)
    for mixed in with_residual(maps):
        seen = mixed @ seen  # (B, T, T)
        rolled.append(seen)
    return torch.stack(rolled)


def attention_flow(maps: Tensor, position: int) -> Tensor:
    """(L, H, T, T) of one text → (T,): the most that can flow from `position` at the top down to each token.

    The layers are a network of pipes whose widths are Â; the flow to a token is the maximum flow to it alone, so a row
    need not sum to 1. Source: section 3, attention flow.
    """
    widths = with_residual(maps[:, None])[:, 0].double()  # (L, T, T)
    n_layers, length = widths.shape[:2]
    if not -length <= position < length:
        raise ValueError(f"position must lie in -{length}..{length - 1}; got {position}")
    pipes = torch.zeros((n_layers + 1) * length, (n_layers + 1) * length, dtype=torch.double)
    for layer in range(n_layers):  # node layer · T + t is position t below that layer
        above, below = (slice(i * length, (i + 1) * length) for i in (layer + 1, layer))
        pipes[above, below] = widths[layer].cpu()
    top = n_layers * length + position % length
    return torch.tensor([maximum_flow(pipes, top, token) for token in range(length)], dtype=maps.dtype)


def maximum_flow(capacity: Tensor, source: int, sink: int) -> float:
    """The most that flows from source to sink through edges of capacity (N, N). Source: Edmonds & Karp 1972."""
    left = capacity.tolist()
    total = 0.0
    while path := _shortest_path(left, source, sink):
        amount = min(left[a][b] for a, b in path)
        for a, b in path:
            left[a][b] -= amount
            left[b][a] += amount  # what flows may be sent back
        total += amount
    return total


def _shortest_path(left: list[list[float]], source: int, sink: int, least: float = 1e-12) -> list[tuple[int, int]]:
    """The edges of a shortest path along which more than `least` can still flow; empty when there is none."""
    came_from, waiting = {source: source}, deque([source])
    while waiting and sink not in came_from:
        node = waiting.popleft()
        for following, capacity in enumerate(left[node]):
            if capacity > least and following not in came_from:
                came_from[following] = node
                waiting.append(following)
    if sink not in came_from:
        return []
    path, node = [], sink
    while node != source:
        path.append((came_from[node], node))
        node = came_from[node]
    return path
