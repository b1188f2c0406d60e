"""Some training steps, ours against the peers: the same GPT-2, weights, batch and optimiser; the first losses agree."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.benchmarks import peers
from tests.benchmarks.interleaved import Program, Ratio, measure

BATCHES = {"4 × 128": 12, "6 × 384": 8}
SIZES = {
    "4 × 128": peers.Size(128, 4, 4, 64, 65),
    "6 × 384": peers.Size(384, 6, 6, 256, 65),
}  # Shakespeare's characters
LossOf = Callable[[Tensor], Tensor]  # ids (B, T) → loss


def compare(name: str, rounds: int, device: str, steps: int = 5) -> list[Ratio]:
    """Ratios of times for some steps in float32. Raises AssertionError when the first losses differ."""
    size = SIZES[name]
    ids = torch.randint(0, size.vocab_size, (BATCHES[name], size.context), generator=torch.Generator().manual_seed(1))
    ids = ids.to(device)
    programs = _programs(size, ids, steps, device)
    first = [program() for program in programs.values()]
    torch.testing.assert_close(first, [first[0]] * len(first), rtol=1e-4, atol=1e-4)
    work = f"training, {steps} steps, {name}, context {size.context}, batch {BATCHES[name]}, float32"
    return measure(work, programs.pop("ours"), programs, rounds)


def _programs(size: peers.Size, ids: Tensor, steps: int, device: str) -> dict[str, Program]:
    peer = peers.transformers_gpt2(size)
    stored = peer.state_dict()
    targets = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], -1)], dim=1)
    model = peers.ours(size, stored).to(device)
    script, fused, whole = (peers.script(size, stored).to(device) for _ in range(3))
    compiled = torch.compile(whole)
    plain, wrapped = peers.TorchGpt(size, stored).to(device), peers.x_transformers(size, stored).to(device)
    peer.to(device)

    def torch_loss(ids: Tensor) -> Tensor:
        return F.cross_entropy(plain(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    return {
        "ours": steps_of(model, lambda ids: model(ids, labels=ids).loss, ids, steps),
        "nanoGPT's style, eager, as published": steps_of(script, lambda i: script(i, targets), ids, steps, fused=False),
        "nanoGPT's style, eager, fused AdamW": steps_of(fused, lambda i: fused(i, targets), ids, steps),
        "nanoGPT's style, compiled, fused AdamW": steps_of(whole, lambda i: compiled(i, targets), ids, steps),
        "transformers": steps_of(peer, lambda ids: peer(ids, labels=ids).loss, ids, steps),
        "x-transformers": steps_of(wrapped, wrapped, ids, steps),
        "torch.nn.TransformerEncoder": steps_of(plain, torch_loss, ids, steps),
    }


def steps_of(
    model: nn.Module,
    loss_of: LossOf,
    ids: Tensor,
    steps: int,
    fused: bool = True,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Callable[[], float]:
    """A program that takes some steps, each inside of `around()`, and returns the first loss of its call."""
    optimiser = torch.optim.AdamW(model.train().parameters(), lr=1e-4, fused=fused)

    def run() -> float:
        losses = []
        for _ in range(steps):
            optimiser.zero_grad()
            with around():
                loss = loss_of(ids)
                loss.backward()
            optimiser.step()
            losses.append(loss.detach())
        return float(losses[0])

    return run
