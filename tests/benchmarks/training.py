"""One training step, ours against transformers: the same GPT-2 shape, weights, batch and optimiser, the same loss."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import GPT2Config as PeerConfig
from transformers import GPT2LMHeadModel

from lmlib.models.gpt2 import Gpt2, Gpt2Config
from tests.benchmarks.interleaved import Ratio, measure

SHAPES = {"4 × 128": (128, 4, 4, 64, 12), "6 × 384": (384, 6, 6, 256, 8)}  # d_model, layers, heads, context, batch
VOCAB_SIZE = 65  # characters of Shakespeare's plays


def compare(name: str, rounds: int, device: str, steps: int = 5) -> Ratio:
    """Ratio of times for some steps in float32. Raises AssertionError when the first losses differ."""
    d_model, n_layers, n_heads, context, batch = SHAPES[name]
    sizes = {"n_embd": d_model, "n_layer": n_layers, "n_head": n_heads, "n_positions": context}
    torch.manual_seed(0)
    peer = GPT2LMHeadModel(
        PeerConfig(
            vocab_size=VOCAB_SIZE,
            bos_token_id=None,
            eos_token_id=None,
            resid_pdrop=0,
            embd_pdrop=0,
            attn_pdrop=0,
            **sizes,
        )
    )
    own = {"d_model": d_model, "n_layers": n_layers, "n_heads": n_heads, "max_positions": context}
    dropout = {"dropout": 0.0, "residual_dropout": 0.0, "attention_dropout": 0.0}
    ours = Gpt2(Gpt2Config(vocab_size=VOCAB_SIZE, **own, **dropout), "language_model")
    ours.load_stored(peer.state_dict())
    ids = torch.randint(0, VOCAB_SIZE, (batch, context), generator=torch.Generator().manual_seed(1)).to(device)
    programs = [training(model.to(device).train(), ids, steps) for model in (ours, peer)]
    torch.testing.assert_close(*(program() for program in programs))
    return measure(f"training step {name}, context {context}, batch {batch}", *programs, rounds)


def training(model: Any, ids: torch.Tensor, steps: int) -> Callable[[], float]:
    """A program that takes some steps and returns the first loss of its call."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def run() -> float:
        losses = []
        for _ in range(steps):
            loss = model(ids, labels=ids).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
        return float(losses[0])

    return run
