"""GPT-Neo against transformers' GPTNeo."""

import random
from typing import Any, ClassVar

import pytest
from transformers import GPTNeoConfig, GPTNeoForCausalLM, GPTNeoForSequenceClassification, GPTNeoModel

from lmlib.models.gpt_neo import GptNeoConfig
from tests.lmlib.models.causal_parity import POSITIONS, CausalParity


class TestGptNeo(CausalParity):
    PEERS: ClassVar[dict[str | None, Any]] = {
        None: GPTNeoModel,
        "language_model": GPTNeoForCausalLM,
        "classification": GPTNeoForSequenceClassification,
    }
    WORD = "transformer.wte.weight"

    def peer_config(self, draw: random.Random) -> GPTNeoConfig:
        n_heads = draw.choice([1, 2, 4])
        types = draw.choice([[[["global", "local"], 1]], [[["local"], 2], [["global"], 1]], [[["global"], 1]]])
        return GPTNeoConfig(
            **self.COMMON,
            hidden_size=n_heads * draw.choice([8, 12]),
            num_heads=n_heads,
            attention_types=types,
            num_layers=sum(len(kinds) * times for kinds, times in types),
            intermediate_size=draw.choice([None, 20]),
            max_position_embeddings=POSITIONS,
            window_size=draw.choice([1, 2, 5]),
            activation_function=draw.choice(["gelu_new", "gelu"]),
        )


def test_attention_types_that_do_not_fill_the_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="attention_types"):
        GptNeoConfig.from_peer({"num_layers": 3, "attention_types": [[["global", "local"], 1]]})
