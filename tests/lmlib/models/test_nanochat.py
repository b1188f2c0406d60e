"""NanoChat against transformers."""

import random
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from transformers import NanoChatConfig as PeerConfig
from transformers import NanoChatForCausalLM, NanoChatModel

from lmlib.models import from_pretrained
from lmlib.models.nanochat import NanoChat, NanoChatConfig
from tests.lmlib.models.causal_parity import CausalParity
from tests.lmlib.models.test_llama import tiny_llama_sizes


class TestNanoChat(CausalParity):
    PEERS: ClassVar[dict[str | None, Any]] = {None: NanoChatModel, "language_model": NanoChatForCausalLM}
    WORD = "model.embed_tokens.weight"

    def peer_config(self, draw: random.Random) -> PeerConfig:
        sizes = tiny_llama_sizes(draw)
        sizes["head_dim"] = sizes["hidden_size"] // sizes["num_attention_heads"]
        cap = draw.choice([None, 2.0, 15.0])
        return PeerConfig(
            **self.COMMON, **sizes, attention_bias=draw.choice([True, False]), final_logit_softcapping=cap
        )

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_classification_equals_the_peer(self, seed: int, tmp_path: Path, side: str) -> None:
        with pytest.raises(ValueError, match="NanoChat has no head 'classification'; it has: None, 'language_model'"):
            NanoChat(NanoChatConfig.from_peer(self.peer_config(random.Random(seed)).to_dict()), "classification")

    def test_new_head_starts_fresh_on_loaded_states(self, ours: Any, ids: Tensor, tmp_path: Path) -> None:
        fresh = from_pretrained(tmp_path / "peer", new_head="language_model")
        assert torch.equal(fresh(ids).last_hidden_state, ours(ids).last_hidden_state)
        assert not torch.equal(fresh(ids).logits, ours(ids).logits)


def test_scores_stay_below_their_cap() -> None:
    config = NanoChatConfig(vocab_size=5, d_model=8, n_layers=1, n_heads=2, d_ff=8, score_cap=3.0)
    model = NanoChat(config, "language_model")
    with torch.no_grad():
        model.output.weight.mul_(1e4)
    scores = model(torch.tensor([[0, 1, 2]])).logits
    assert scores.abs().max() <= 3
    assert scores.abs().max() > 2.9


def test_a_new_model_predicts_from_the_token_alone() -> None:
    model = NanoChat(NanoChatConfig(vocab_size=5, d_model=8, n_layers=3, n_heads=2, d_ff=8), "language_model")
    logits = model(torch.tensor([[0, 1, 2, 1]])).logits[0]
    torch.testing.assert_close(logits[1], logits[3])  # every sublayer adds 0 at first
