"""GPT against transformers' OpenAIGPT."""

import random
from typing import Any, ClassVar

from transformers import OpenAIGPTConfig, OpenAIGPTForSequenceClassification, OpenAIGPTLMHeadModel, OpenAIGPTModel

from tests.lmlib.models.causal_parity import POSITIONS, CausalParity


class TestGpt(CausalParity):
    PEERS: ClassVar[dict[str | None, Any]] = {
        None: OpenAIGPTModel,
        "language_model": OpenAIGPTLMHeadModel,
        "classification": OpenAIGPTForSequenceClassification,
    }
    WORD = "transformer.tokens_embed.weight"
    OTHER_FAMILY = "gpt2"
    PEER_HAS_CACHE = False

    def peer_config(self, draw: random.Random) -> OpenAIGPTConfig:
        n_heads = draw.choice([1, 2, 4])
        return OpenAIGPTConfig(
            **self.COMMON,
            n_embd=n_heads * draw.choice([8, 12]),
            n_head=n_heads,
            n_layer=draw.choice([1, 2, 3]),
            n_positions=POSITIONS,
            afn=draw.choice(["gelu", "relu", "silu"]),
            layer_norm_epsilon=draw.choice([1e-5, 1e-3]),
        )
