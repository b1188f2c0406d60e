"""Small models and their peers, drawn from a seed, to decode with."""

import random
from pathlib import Path
from typing import Any

from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tests.lmlib.models.parity import loaded, randomised

VOCAB, POSITIONS, STOP = 23, 40, 2
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": STOP}


def gpt2(seed: int, **changes: Any) -> Any:
    """A tiny GPT-2 of the peer library."""
    sizes = {"vocab_size": VOCAB, "n_embd": 16, "n_head": 2, "n_layer": 2, "n_positions": POSITIONS} | changes
    return randomised(GPT2LMHeadModel(GPT2Config(**sizes, **SPECIAL)), seed)


def llama(seed: int) -> Any:
    """A tiny LLaMA of the peer library, with grouped heads."""
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=24,
        num_hidden_layers=2,
        max_position_embeddings=POSITIONS,
        **SPECIAL,
    )
    return randomised(LlamaForCausalLM(config), seed)


PEERS = {"gpt2": gpt2, "llama": llama}


def pair(kind: str, seed: int, folder: Path) -> tuple[Any, Any]:
    """The peer and our model with the same weights."""
    peer = PEERS[kind](seed)
    return peer, loaded(peer, folder)


def prompts_of(seed: int, n: int = 3, longest: int = 7) -> list[list[int]]:
    """Prompts of different lengths without special tokens."""
    draw = random.Random(seed)
    return [[draw.randrange(3, VOCAB) for _ in range(draw.randint(1, longest))] for _ in range(n)]
