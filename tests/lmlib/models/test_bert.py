"""BERT equals its peer in every head, loads what the hub holds, and keeps its invariants."""

import random
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from lmlib.models import from_pretrained
from lmlib.models.base import CheckpointError
from lmlib.models.bert import Bert, BertConfig
from tests.lmlib.models import parity
from tests.lmlib.models.encoder_facts import EncoderFacts


class TestBert(EncoderFacts):
    MODEL_TYPE = "bert"
    PAIR_LABELS = "next_sentence_label"
    TIED = ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight")
    HEADS: ClassVar[dict[str | None, Any]] = {
        None: transformers.BertModel,
        "pretraining": transformers.BertForPreTraining,
        "masked_lm": transformers.BertForMaskedLM,
        "next_sentence": transformers.BertForNextSentencePrediction,
        "classification": transformers.BertForSequenceClassification,
        "tagging": transformers.BertForTokenClassification,
        "span": transformers.BertForQuestionAnswering,
    }

    def peer_config(self, rng: random.Random) -> Any:
        n_heads = rng.choice([1, 2, 4])
        return transformers.BertConfig(
            vocab_size=rng.randint(20, 60),
            hidden_size=n_heads * rng.choice([3, 4, 8]),
            num_hidden_layers=rng.randint(1, 3),
            num_attention_heads=n_heads,
            intermediate_size=rng.randint(5, 40),
            max_position_embeddings=rng.randint(8, 20),
            type_vocab_size=rng.randint(1, 3),
            hidden_act=rng.choice(["gelu", "relu", "silu", "gelu_new"]),
            layer_norm_eps=rng.choice([1e-12, 1e-5]),
            num_labels=rng.randint(2, 5),
        )

    def test_the_first_checkpoints_load_with_their_old_names_and_both_heads(self, seed: int, tmp_path: Path) -> None:
        peer = self.draw(seed, "pretraining")
        peer.config.architectures = ["BertForMaskedLM"]
        peer.save_pretrained(tmp_path)
        config = (tmp_path / "config.json").read_text("utf-8")
        (tmp_path / "config.json").write_text(config.replace("BertForPreTraining", "BertForMaskedLM"), "utf-8")
        old = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
            for name, tensor in load_file(tmp_path / "model.safetensors").items()
        }
        assert any(name.endswith("gamma") for name in old)
        save_file(old, tmp_path / "model.safetensors", {"format": "pt"})
        ours = from_pretrained(tmp_path)
        self.compare(ours, peer, self.batch(peer, seed, "right"), "pretraining", seed)

    def test_names_of_labels_survive_loading_and_saving(self, seed: int, tmp_path: Path) -> None:
        names = {0: "O", 1: "B-PER", 2: "I-PER"}
        config = self.peer_config(random.Random(seed))
        config.id2label, config.label2id = names, {name: i for i, name in names.items()}
        ours = parity.loaded(transformers.BertForTokenClassification(config), tmp_path / "theirs")
        ours.save_pretrained(tmp_path / "ours")
        again = transformers.BertForTokenClassification.from_pretrained(tmp_path / "ours")
        assert again.config.id2label == names
        assert again.config.label2id == {name: i for i, name in names.items()}

    def test_a_decoder_and_relative_positions_are_refused(self) -> None:
        for wrong in ({"is_decoder": True}, {"position_embedding_type": "relative_key"}):
            with pytest.raises(ValueError, match="encoder with absolute positions"):
                BertConfig.from_peer(wrong)

    def test_every_token_sees_every_other_but_not_padding(self, seed: int, tmp_path: Path) -> None:
        peer = self.draw(seed, None)
        ours = parity.loaded(peer, tmp_path)
        batch = self.batch(peer, seed, "right")
        before = ours(**batch).last_hidden_state
        ids = batch["input_ids"].clone()
        ids[1, 6] = 3  # padding
        assert torch.equal(ours(**(batch | {"input_ids": ids})).last_hidden_state[1, :4], before[1, :4])
        ids[1, 3] = 2 + (ids[1, 3] - 1) % (peer.config.vocab_size - 2)  # the last real token
        after = ours(**(batch | {"input_ids": ids})).last_hidden_state
        assert (after[1, :4] != before[1, :4]).any(-1).all()


def test_weights_of_the_backbone_that_a_new_head_leaves_unused_are_named(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=20, d_model=8, n_layers=3, n_heads=2, d_ff=8, max_positions=6)
    for head in (None, "masked_lm"):  # without and with the prefix
        Bert(config, head).save_pretrained(tmp_path / str(head))
        from_pretrained(tmp_path / str(head), new_head="classification")
        with pytest.raises(CheckpointError, match=r"unused: .*encoder\.layer\.2\."):
            from_pretrained(tmp_path / str(head), new_head="classification", n_layers=2)
