"""ALBERT equals its peer in every head; its layers share their weights in groups."""

import random
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import transformers

from lmlib.models.albert import Albert, AlbertConfig
from tests.lmlib.models import parity
from tests.lmlib.models.encoder_facts import EncoderFacts


class TestAlbert(EncoderFacts):
    MODEL_TYPE = "albert"
    PAIR_LABELS = "sentence_order_label"
    TIED = ("predictions.decoder.weight", "albert.embeddings.word_embeddings.weight")
    HEADS: ClassVar[dict[str | None, Any]] = {
        None: transformers.AlbertModel,
        "pretraining": transformers.AlbertForPreTraining,
        "masked_lm": transformers.AlbertForMaskedLM,
        "classification": transformers.AlbertForSequenceClassification,
        "tagging": transformers.AlbertForTokenClassification,
        "span": transformers.AlbertForQuestionAnswering,
    }

    def peer_config(self, rng: random.Random) -> Any:
        n_heads = rng.choice([1, 2, 4])
        n_layers = rng.randint(1, 5)
        return transformers.AlbertConfig(
            vocab_size=rng.randint(20, 60),
            embedding_size=rng.randint(2, 9),
            hidden_size=n_heads * rng.choice([3, 4, 8]),
            num_hidden_layers=n_layers,
            num_hidden_groups=rng.randint(1, n_layers),
            inner_group_num=rng.randint(1, 2),
            num_attention_heads=n_heads,
            intermediate_size=rng.randint(5, 40),
            max_position_embeddings=rng.randint(8, 20),
            type_vocab_size=rng.randint(1, 3),
            num_labels=rng.randint(2, 5),
        )

    def draw(self, seed: int, head: str | None) -> Any:
        peer = super().draw(seed, head)
        if head == "pretraining":  # the peer's head has as many outputs as there are labels; two make sense
            config = peer.config
            config.num_labels = 2
            peer = parity.randomised(self.HEADS[head](config), seed)
        return peer

    def test_layers_of_a_group_are_one_layer(self) -> None:
        config = AlbertConfig(20, d_embedding=4, d_model=8, n_layers=6, n_heads=2, d_ff=9, n_groups=2)
        ours = Albert(config)
        assert ours.run_order() == [0, 0, 0, 1, 1, 1]
        assert ours.encoder.blocks[0] is ours.encoder.blocks[2]
        assert ours.encoder.blocks[2] is not ours.encoder.blocks[3]
        twice = Albert(AlbertConfig(20, d_embedding=4, d_model=8, n_layers=2, n_heads=2, d_ff=9, n_groups=2))
        count = [sum(p.numel() for p in model.parameters()) for model in (ours, twice)]
        assert count[0] == count[1]

    def test_the_embedding_is_as_narrow_as_the_paper_counts(self) -> None:
        config = AlbertConfig(1000, d_embedding=4, d_model=32, n_layers=1, n_heads=2, d_ff=8)
        with torch.device("meta"):
            ours = Albert(config)
        assert ours.embeddings.word.weight.numel() + ours.embeddings.widen.weight.numel() == 1000 * 4 + 4 * 32

    def test_more_groups_than_layers_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"n_groups must lie in 1..2, .* got 3"):
            AlbertConfig.from_peer({"num_hidden_layers": 2, "num_hidden_groups": 3})

    def test_a_shared_layer_learns_from_each_of_its_uses(self, seed: int, tmp_path: Path) -> None:
        """The gradient of a shared weight is the sum over its uses, as the peer's is.

        In float64, for a norm over two numbers that are nearly equal multiplies what float32 rounds off.
        """
        peer = self.draw(seed, "masked_lm")
        ours = parity.loaded(peer, tmp_path).double()
        peer.double()
        batch = self.batch(peer, seed, "right")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        ours(**batch, labels=labels).loss.backward()
        peer(**batch, labels=labels).loss.backward()
        reference = peer.albert.encoder.albert_layer_groups[0].albert_layers[0].ffn.weight.grad
        parity.assert_close(ours.encoder.blocks[0].feed_forward.inner.weight.grad, reference)
