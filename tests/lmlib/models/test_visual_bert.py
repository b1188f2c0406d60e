"""VisualBERT equals its peer: words and regions, with padding in both."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from lmlib.models import from_pretrained
from lmlib.models.visual_bert import VisualBert, VisualBertConfig
from tests.lmlib.models import parity

HEADS = {
    None: transformers.VisualBertModel,
    "pretraining": transformers.VisualBertForPreTraining,
    "classification": transformers.VisualBertForVisualReasoning,
}


def draw(seed: int, head: str | None) -> Any:
    rng = random.Random(seed)
    n_heads = rng.choice([1, 2, 4])
    config = transformers.VisualBertConfig(
        vocab_size=rng.randint(20, 60),
        hidden_size=n_heads * rng.choice([3, 4, 8]),
        visual_embedding_dim=rng.randint(3, 12),
        num_hidden_layers=rng.randint(1, 3),
        num_attention_heads=n_heads,
        intermediate_size=rng.randint(5, 40),
        max_position_embeddings=rng.randint(8, 20),
        type_vocab_size=rng.randint(2, 3),
        num_labels=rng.randint(2, 5),
        attn_implementation="eager",
    )
    return parity.randomised(HEADS[head](config), seed)


def batch_of(peer: Any, seed: int) -> dict[str, Tensor]:
    """Three texts and three images of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    ids, mask, _ = parity.padded_batch(seed, peer.config.vocab_size, [6, 4, 2], "right")
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": torch.randint(2, ids.shape, generator=generator),
        "visual_embeds": torch.randn(3, 5, peer.config.visual_embedding_dim, generator=generator),
        "visual_attention_mask": parity.padded_batch(seed, 9, [1, 5, 3], "right")[1],
        "visual_token_type_ids": torch.randint(2, (3, 5), generator=generator),
    }


def test_every_head_equals_the_peer(seed: int, tmp_path: Path) -> None:
    for head in HEADS:
        peer = draw(seed, head)
        ours = parity.loaded(peer, tmp_path / str(head))
        assert ours.head == head
        batch = batch_of(peer, seed)
        mask = torch.cat([batch["attention_mask"], batch["visual_attention_mask"]], dim=1)
        generator = torch.Generator().manual_seed(seed)
        pair = torch.randint(2, (3,), generator=generator)
        labels = {
            None: {},
            "pretraining": {"labels": torch.randint(20, mask.shape, generator=generator).masked_fill(mask == 0, -100)},
            "classification": {"labels": torch.randint(2, (3,), generator=generator)},
        }[head]
        extra = {"sentence_image_labels": pair} if head == "pretraining" else {}
        reference = peer(**batch, **labels, **extra, output_hidden_states=True, output_attentions=True)
        out = ours(**batch, **labels, pair_labels=pair if extra else None, inspect=True)
        parity.assert_close(out.hidden_states, list(reference.hidden_states), where=mask)
        weights = [[w.transpose(1, 2) for w in both] for both in (out.attentions, reference.attentions)]
        parity.assert_close(*weights, where=mask)
        if head is None:
            parity.assert_close(out.pooled, reference.pooler_output)
            continue
        parity.assert_close(out.loss, reference.loss)
        if head == "pretraining":
            parity.assert_close(out.logits, reference.prediction_logits, where=mask)
            parity.assert_close(out.pair_logits, reference.seq_relationship_logits)
        else:
            parity.assert_close(out.logits, reference.logits)


def test_words_alone_and_regions_with_defaults_equal_the_peer(seed: int, tmp_path: Path) -> None:
    peer = draw(seed, None)
    ours = parity.loaded(peer, tmp_path)
    batch = batch_of(peer, seed)
    ids, regions = batch["input_ids"], batch["visual_embeds"]
    parity.assert_close(ours(ids).last_hidden_state, peer(ids).last_hidden_state)
    both = ours(ids, visual_embeds=regions).last_hidden_state
    parity.assert_close(both, peer(ids, visual_embeds=regions).last_hidden_state)


def test_what_we_save_the_peer_reads_back_and_what_does_not_fit_is_named(seed: int, tmp_path: Path) -> None:
    for head in HEADS:
        peer = draw(seed, head)
        ours = parity.loaded(peer, tmp_path / "theirs" / str(head))
        parity.assert_peer_reads_back(ours, peer, tmp_path / "ours" / str(head))
        assert from_pretrained(tmp_path / "ours" / str(head)).config.to_peer() == ours.config.to_peer()
    folder = tmp_path / "theirs" / "pretraining"
    parity.assert_sharded_loads(draw(seed, "pretraining"), tmp_path / "shards", from_pretrained(folder))
    parity.assert_strict(folder, seed, derived=("cls.predictions.decoder.weight",))
    word = "visual_bert.embeddings.word_embeddings.weight"
    parity.assert_tied_must_agree(folder, "cls.predictions.decoder.weight", word)
    parity.assert_other_family_named(folder, "bert")


def test_defaults_are_the_peers() -> None:
    peer, own = transformers.VisualBertConfig().to_dict(), VisualBertConfig().to_peer()
    assert own == {name: peer.get(name) for name in own} | {"id2label": own["id2label"]}


def test_bfloat16_stays_near_float32(seed: int, tmp_path: Path) -> None:
    peer = draw(seed, "pretraining").bfloat16().float()
    batch = batch_of(peer, seed)
    mask = torch.cat([batch["attention_mask"], batch["visual_attention_mask"]], dim=1)
    ours = parity.loaded(peer, tmp_path).bfloat16()
    half = batch | {"visual_embeds": batch["visual_embeds"].bfloat16()}
    whole = batch | {"visual_embeds": half["visual_embeds"].float()}
    parity.assert_close_in_half(ours(**half).logits, peer(**whole).prediction_logits, mask)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"visual_embeds": torch.zeros(2, 4, 6)},
            r"must be \(2, R, 5\) .* got torch.float32 \(2, 4, 6\)",
        ),
        ({"visual_embeds": torch.zeros(1, 4, 5)}, r"visual_embeds must be \(2, R, 5\)"),
        ({"visual_embeds": torch.zeros(2, 5)}, r"visual_embeds must be \(2, R, 5\)"),
        ({"visual_embeds": torch.zeros(2, 0, 5)}, r"visual_embeds must be \(2, R, 5\)"),
        ({"visual_embeds": torch.zeros(2, 4, 5).long()}, "floats.*int64"),
        ({"visual_embeds": None}, "without visual_embeds"),
        ({"visual_attention_mask": torch.ones(2, 3)}, r"attention_mask must be \(2, 4\).*\(2, 3\)"),
        ({"visual_token_type_ids": torch.full((2, 4), 7)}, r"visual_token_type_ids must lie in 0..1; got 7..7"),
        ({"labels": torch.zeros(2, 3).long()}, r"labels must be int64 of shape \(2, 7\)"),
    ],
)
def test_wrong_input_is_refused_with_a_reason(change: dict[str, Any], message: str) -> None:
    config = VisualBertConfig(20, d_model=8, n_layers=1, n_heads=2, d_ff=9, d_visual=5)
    batch = {
        "input_ids": torch.ones(2, 3).long(),
        "visual_embeds": torch.zeros(2, 4, 5),
        "visual_attention_mask": torch.ones(2, 4),
    }
    with pytest.raises(ValueError, match=message):
        VisualBert(config, "pretraining")(**(batch | change))


def test_regions_that_bypass_the_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="the config asks to bypass them"):
        VisualBertConfig.from_peer({"bypass_transformer": True})
