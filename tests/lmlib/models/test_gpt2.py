"""GPT-2 against transformers' GPT2, and how its weights start."""

import math
import random
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel, GPT2Model

from lmlib.models.gpt2 import Gpt2, Gpt2Config
from tests.lmlib.models.causal_parity import POSITIONS, CausalParity
from tests.lmlib.models.parity import loaded


class TestGpt2(CausalParity):
    PEERS: ClassVar[dict[str | None, Any]] = {
        None: GPT2Model,
        "language_model": GPT2LMHeadModel,
        "classification": GPT2ForSequenceClassification,
    }
    WORD = "transformer.wte.weight"

    def peer_config(self, draw: random.Random) -> GPT2Config:
        n_heads = draw.choice([1, 2, 4])
        return GPT2Config(
            **self.COMMON,
            n_embd=n_heads * draw.choice([8, 12]),
            n_head=n_heads,
            n_layer=draw.choice([1, 2, 3]),
            n_inner=draw.choice([None, 20]),
            n_positions=POSITIONS,
            activation_function=draw.choice(["gelu_new", "gelu", "relu"]),
            scale_attn_weights=draw.choice([True, False]),
        )


def test_residual_projections_start_smaller_the_deeper_the_stack() -> None:
    model = Gpt2(Gpt2Config(vocab_size=50, d_model=64, n_layers=8, n_heads=4))
    block = model.decoder.blocks[3]
    assert block.feed_forward.outer.weight.std().item() == pytest.approx(0.02 / math.sqrt(16), rel=0.1)
    assert block.feed_forward.inner.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_124_million_parameters_by_default() -> None:
    with torch.device("meta"):
        model = Gpt2(Gpt2Config(), "language_model")
    assert sum(p.numel() for p in model.parameters()) == 124_439_808


def test_config_that_asks_for_what_is_not_here_is_refused() -> None:
    with pytest.raises(ValueError, match="add_cross_attention"):
        Gpt2Config.from_peer({"add_cross_attention": True})


def test_names_of_labels_survive_loading_and_saving(tmp_path: Path) -> None:
    names = {0: "bad", 1: "good", 2: "neither"}
    back = {name: i for i, name in names.items()}
    sizes = {"vocab_size": 20, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8}
    config = GPT2Config(**sizes, id2label=names, label2id=back)
    ours = loaded(GPT2ForSequenceClassification(config), tmp_path / "theirs")
    assert ours.config.label_names == list(names.values())
    ours.save_pretrained(tmp_path / "ours")
    again = GPT2ForSequenceClassification.from_pretrained(tmp_path / "ours").config
    assert (again.id2label, again.label2id) == (names, back)
