"""Qwen2 and Qwen3 against transformers."""

import random
from typing import Any, ClassVar

import pytest
from transformers import (
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForSequenceClassification,
    Qwen2Model,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3ForSequenceClassification,
    Qwen3Model,
)

from lmlib.models import qwen
from tests.lmlib.models.causal_parity import CausalParity
from tests.lmlib.models.test_llama import tiny_llama_sizes


class TestQwen2(CausalParity):
    PEERS: ClassVar[dict[str | None, Any]] = {
        None: Qwen2Model,
        "language_model": Qwen2ForCausalLM,
        "classification": Qwen2ForSequenceClassification,
    }
    WORD = "model.embed_tokens.weight"

    def peer_config(self, draw: random.Random) -> Qwen2Config:
        sizes = tiny_llama_sizes(draw)
        sizes.pop("head_dim")
        return Qwen2Config(**self.COMMON, **sizes)


class TestQwen3(CausalParity):
    PEERS: ClassVar[dict[str | None, Any]] = {
        None: Qwen3Model,
        "language_model": Qwen3ForCausalLM,
        "classification": Qwen3ForSequenceClassification,
    }
    WORD = "model.embed_tokens.weight"

    def peer_config(self, draw: random.Random) -> Qwen3Config:
        return Qwen3Config(**self.COMMON, **tiny_llama_sizes(draw), attention_bias=draw.choice([True, False]))


@pytest.mark.parametrize("values", [{"use_sliding_window": True}, {"layer_types": ["sliding_attention"]}])
def test_sliding_window_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sliding window"):
        qwen.Qwen2Config.from_peer(values)
