"""Greedy decoding, ours against transformers' generate: GPT-2's shape, the same random weights, the same tokens."""

from typing import Any

import torch
from transformers import GPT2Config as PeerConfig
from transformers import GPT2LMHeadModel

from lmlib.decoding import Stop, generate
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from tests.benchmarks.interleaved import Ratio, measure

SIZES = {"124M": (768, 12, 12), "tiny": (64, 2, 2)}  # d_model, layers, heads
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PROMPT_LENGTH = 16


def both(size: str, dtype: torch.dtype, device: str) -> tuple[Any, Any]:
    """The peer and our model with the same weights, drawn from seed 0."""
    d_model, n_layers, n_heads = SIZES[size]
    torch.manual_seed(0)
    peer = GPT2LMHeadModel(PeerConfig(n_embd=d_model, n_layer=n_layers, n_head=n_heads)).eval()
    ours = Gpt2(Gpt2Config(d_model=d_model, n_layers=n_layers, n_heads=n_heads), "language_model").eval()
    ours.load_stored(peer.state_dict())
    peer.generation_config.eos_token_id = None
    return peer.to(device, dtype), ours.to(device, dtype)


def compare(size: str, dtype: str, batch: int, n_new: int, rounds: int, device: str) -> Ratio:
    """Ratio of times for `n_new` tokens after each of `batch` prompts. Raises AssertionError when tokens differ."""
    peer, ours = both(size, DTYPES[dtype], device)
    vocab = ours.config.vocab_size
    ids = torch.randint(0, vocab, (batch, PROMPT_LENGTH), generator=torch.Generator().manual_seed(1)).to(device)
    options = {"max_new_tokens": n_new, "do_sample": False, "pad_token_id": 0, "attention_mask": torch.ones_like(ids)}

    def run_peer() -> list[list[int]]:
        return peer.generate(ids, **options)[:, PROMPT_LENGTH:].tolist()

    def run_ours() -> list[list[int]]:
        return [row.tokens for row in generate(ours, ids, n_new, stop=Stop(()))]

    if dtype == "float32":  # in bfloat16 scores tie, and the two may then go different ways
        assert run_ours() == run_peer(), "the two do not write the same tokens"
    return measure(f"greedy GPT-2 {size} {dtype} batch {batch}, {n_new} tokens", run_ours, run_peer, rounds)
