"""Greedy decoding, ours against the peers' own loops: GPT-2's shape, the same random weights, the same tokens."""

import torch

from lmlib.decoding import Stop, generate
from tests.benchmarks import peers
from tests.benchmarks.interleaved import Program, Ratio, measure

SIZES = {"124M": peers.Size(768, 12, 12, 1024, 50257), "tiny": peers.Size(64, 2, 2, 1024, 500)}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PROMPT_LENGTH = 16


def compare(size_name: str, dtype: str, batch: int, n_new: int, rounds: int, device: str) -> list[Ratio]:
    """Ratios of times for `n_new` tokens after each of `batch` prompts. Raises AssertionError when tokens differ."""
    programs = _programs(SIZES[size_name], DTYPES[dtype], batch, n_new, device)
    if dtype == "float32":  # in bfloat16 scores tie, and the programs may then go different ways
        written = {name: program() for name, program in programs.items()}
        for name, tokens in written.items():
            assert tokens == written["ours"], f"{name} and ours do not write the same tokens"
    work = f"greedy GPT-2 {size_name}, {n_new} tokens, batch {batch}, {dtype}"
    return measure(work, programs.pop("ours"), programs, rounds)


def _programs(size: peers.Size, dtype: torch.dtype, batch: int, n_new: int, device: str) -> dict[str, Program]:
    peer = peers.transformers_gpt2(size).eval()
    stored = peer.state_dict()
    model = peers.ours(size, stored).eval().to(device, dtype)
    wrapped = peers.x_transformers(size, stored).eval().to(device, dtype)
    peer.to(device, dtype)
    shape, drawn = (batch, PROMPT_LENGTH), torch.Generator().manual_seed(1)
    ids = torch.randint(0, size.vocab_size, shape, generator=drawn).to(device)
    options = {"max_new_tokens": n_new, "do_sample": False, "pad_token_id": 0, "attention_mask": torch.ones_like(ids)}
    return {
        "ours": lambda: [row.tokens for row in generate(model, ids, n_new, stop=Stop(()))],
        "transformers": lambda: peer.generate(ids, **options)[:, PROMPT_LENGTH:].tolist(),
        "x-transformers": lambda: wrapped.generate(ids, n_new, temperature=0.0).tolist(),
    }
