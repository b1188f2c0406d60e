"""LLaMA against transformers' Llama: rotary positions in each of its forms, grouped heads, biases."""

import random
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from transformers import LlamaConfig as PeerConfig
from transformers import LlamaForCausalLM, LlamaForSequenceClassification, LlamaModel

from lmlib.models.llama import Llama, LlamaConfig
from tests.lmlib.models.causal_parity import POSITIONS, VOCAB, CausalParity
from tests.lmlib.models.parity import assert_close, loaded, randomised

ROTARY: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default", "rope_theta": 500.0},
    "linear": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 3.0},
    "llama3": {
        "rope_type": "llama3",
        "rope_theta": 100.0,
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 3.0,
        "original_max_position_embeddings": 20,
    },
}


def tiny_llama_sizes(draw: random.Random) -> dict[str, Any]:
    """Sizes of a tiny LLaMA or Qwen, with heads that divide."""
    n_kv_heads, d_head = draw.choice([1, 2]), draw.choice([4, 8])
    n_heads = n_kv_heads * draw.choice([1, 2, 3])
    return {
        "hidden_size": n_heads * 8,
        "num_attention_heads": n_heads,
        "num_key_value_heads": n_kv_heads,
        "head_dim": d_head,
        "intermediate_size": draw.choice([12, 20]),
        "num_hidden_layers": draw.choice([1, 2, 3]),
        "max_position_embeddings": POSITIONS,
        "rms_norm_eps": draw.choice([1e-6, 1e-3]),
        "rope_parameters": dict(draw.choice(list(ROTARY.values()))),
        "tie_word_embeddings": draw.choice([True, False]),
    }


class TestLlama(CausalParity):
    PEERS: ClassVar[dict[str | None, Any]] = {
        None: LlamaModel,
        "language_model": LlamaForCausalLM,
        "classification": LlamaForSequenceClassification,
    }
    WORD = "model.embed_tokens.weight"

    def peer_config(self, draw: random.Random) -> PeerConfig:
        biases = {"attention_bias": draw.choice([True, False]), "mlp_bias": draw.choice([True, False])}
        return PeerConfig(**self.COMMON, **tiny_llama_sizes(draw), **biases)


@pytest.mark.parametrize("kind", ROTARY)
def test_rotary_positions_in_each_form_equal_the_peer(kind: str, seed: int, tmp_path: Path) -> None:
    config = PeerConfig(**CausalParity.COMMON, **tiny_llama_sizes(random.Random(seed)) | {"head_dim": 16})
    config.rope_parameters = dict(ROTARY[kind])
    peer = randomised(LlamaForCausalLM(config), seed)
    ids = torch.randint(0, VOCAB, (2, POSITIONS), generator=torch.Generator().manual_seed(seed))
    assert_close(loaded(peer, tmp_path)(ids).logits, peer(ids).logits)


def test_config_of_either_age_is_read_alike() -> None:
    old = {"rope_theta": 100.0, "rope_scaling": {"type": "linear", "factor": 3.0}}
    new = {"rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 3.0}}
    assert LlamaConfig.from_peer(old) == LlamaConfig.from_peer(new)


def test_unknown_stretching_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="default, linear, llama3; the config asks for 'yarn'"):
        LlamaConfig.from_peer({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}})


def test_rotary_rates_are_not_rounded_with_the_weights(seed: int, tmp_path: Path) -> None:
    peer = randomised(LlamaForCausalLM(TestLlama().peer_config(random.Random(seed))), seed)
    model = loaded(peer, tmp_path)
    before = model.rates.clone()
    assert torch.equal(model.bfloat16().rates, before)
    assert model.rates.dtype == torch.float32


def test_one_row_of_positions_serves_all_rows(seed: int) -> None:
    torch.manual_seed(seed)
    config = LlamaConfig(vocab_size=VOCAB, d_model=16, n_layers=1, n_heads=4, d_ff=12, max_positions=POSITIONS)
    model = Llama(config, "language_model").eval()
    for length in (4, 6):  # as many as there are heads, and not
        ids, positions = torch.randint(0, VOCAB, (3, length)), torch.arange(length)
        for given in (positions, positions[None], positions.expand(3, length)):
            assert_close(model(ids, position_ids=given).logits, model(ids).logits)
