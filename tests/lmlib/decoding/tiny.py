"""Small models and their peers, drawn from a seed, to decode with."""

import random
from pathlib import Path
from typing import Any

from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

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


def gpt_neo(seed: int) -> Any:
    """A tiny GPT-Neo of the peer library, with a layer that sees three tokens."""
    sizes = {"hidden_size": 16, "num_heads": 2, "num_layers": 2, "window_size": 3, "max_position_embeddings": POSITIONS}
    config = GPTNeoConfig(vocab_size=VOCAB, attention_types=[[["global", "local"], 1]], **sizes, **SPECIAL)
    return randomised(GPTNeoForCausalLM(config), seed)


def t5(seed: int) -> Any:
    """A tiny T5 of the peer library."""
    sizes = {"d_model": 12, "d_kv": 4, "d_ff": 20, "num_layers": 2, "num_heads": 2}
    config = T5Config(vocab_size=VOCAB, **sizes, relative_attention_num_buckets=8, decoder_start_token_id=0, **SPECIAL)
    return randomised(T5ForConditionalGeneration(config), seed)


def bart(seed: int) -> Any:
    """A tiny BART of the peer library, in which no token is forced."""
    sizes = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in {"layers": 2, "ffn_dim": 20, "attention_heads": 2}.items()
    }
    config = BartConfig(
        vocab_size=VOCAB,
        d_model=16,
        max_position_embeddings=POSITIONS,
        decoder_start_token_id=1,
        forced_eos_token_id=None,
        **sizes,
        **SPECIAL,
    )
    return randomised(BartForConditionalGeneration(config), seed)


PEERS = {"gpt2": gpt2, "llama": llama, "gpt_neo": gpt_neo}  # decoder-only
READERS = {"t5": t5, "bart": bart}  # encoder-decoder


def pair(kind: str, seed: int, folder: Path) -> tuple[Any, Any]:
    """The peer and our model with the same weights."""
    peer = (PEERS | READERS)[kind](seed)
    return peer, loaded(peer, folder)


def prompts_of(seed: int, n: int = 3, longest: int = 7) -> list[list[int]]:
    """Prompts of different lengths without special tokens."""
    draw = random.Random(seed)
    return [[draw.randrange(3, VOCAB) for _ in range(draw.randint(1, longest))] for _ in range(n)]
