"""RoBERTa equals its peer in every head; its positions are counted over real tokens."""

import random
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import transformers
from torch import Tensor

from lmlib.models.roberta import Roberta, RobertaConfig
from tests.lmlib.models import parity
from tests.lmlib.models.encoder_facts import EncoderFacts


class TestRoberta(EncoderFacts):
    MODEL_TYPE = "roberta"
    TIED = ("lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight")
    HEADS: ClassVar[dict[str | None, Any]] = {
        None: transformers.RobertaModel,
        "masked_lm": transformers.RobertaForMaskedLM,
        "classification": transformers.RobertaForSequenceClassification,
        "tagging": transformers.RobertaForTokenClassification,
        "span": transformers.RobertaForQuestionAnswering,
    }

    def peer_config(self, rng: random.Random) -> Any:
        n_heads = rng.choice([1, 2, 4])
        return transformers.RobertaConfig(
            vocab_size=rng.randint(20, 60),
            hidden_size=n_heads * rng.choice([3, 4, 8]),
            num_hidden_layers=rng.randint(1, 3),
            num_attention_heads=n_heads,
            intermediate_size=rng.randint(5, 40),
            max_position_embeddings=rng.randint(10, 20),
            type_vocab_size=rng.randint(1, 2),
            hidden_act=rng.choice(["relu", "silu"]),  # not the gelu of the masked head
            pad_token_id=rng.choice([0, 1]),
            num_labels=rng.randint(2, 5),
        )

    def batch(self, peer: Any, seed: int, side: str) -> dict[str, Tensor]:
        """Padding is marked by its id, and positions are left to the model."""
        batch = super().batch(peer, seed, side)
        del batch["position_ids"]
        batch["input_ids"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, peer.config.pad_token_id)
        return batch

    def test_positions_are_counted_from_the_padding_id_over_real_tokens(self) -> None:
        config = RobertaConfig(vocab_size=9, d_model=2, n_layers=1, n_heads=1, d_ff=2, max_positions=8)
        embeddings = Roberta(config).embeddings
        with torch.no_grad():
            embeddings.word.weight.zero_()
            embeddings.segment.weight.zero_()
            embeddings.position.weight.copy_(torch.arange(8.0)[:, None].expand(8, 2))
        padded = torch.tensor([[1, 1, 5, 6, 7], [5, 6, 7, 1, 1]])
        positions = embeddings.sum(padded, None, None)[..., 0].long()
        assert positions.tolist() == [[1, 1, 2, 3, 4], [2, 3, 4, 1, 1]]

    def test_positions_given_by_the_caller_are_used(self, seed: int, tmp_path: Path) -> None:
        peer = self.draw(seed, None)
        ours = parity.loaded(peer, tmp_path)
        ids = torch.tensor([[2, 3, 4, 5]])
        positions = torch.randperm(8, generator=torch.Generator().manual_seed(seed))[None, :4]
        reference = peer(ids, position_ids=positions).last_hidden_state
        parity.assert_close(ours(ids, position_ids=positions).last_hidden_state, reference)

    def test_the_longest_text_is_shorter_than_the_table_of_positions(self) -> None:
        config = RobertaConfig(vocab_size=9, d_model=2, n_layers=1, n_heads=1, d_ff=2, max_positions=8)
        ours = Roberta(config).eval()
        assert ours(torch.full((1, 6), 3)).last_hidden_state.isfinite().all()
        with pytest.raises(ValueError, match="7 tokens, the model has 6 positions"):
            ours(torch.full((1, 7), 3))
