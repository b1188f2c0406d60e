"""BART against `transformers`: both directions, every head."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from lmlib.models import from_pretrained
from lmlib.models.bart import Bart, BartConfig
from tests.lmlib.models import parity, seq2seq_parity
from tests.lmlib.models.seq2seq_parity import VOCAB, batch


def tiny_peer(seed: int, head: str = "BartForConditionalGeneration", **changes: Any) -> Any:
    draw = random.Random(seed)
    encoder_heads, decoder_heads = draw.choice([1, 2, 3]), draw.choice([1, 2, 4])
    config = transformers.BartConfig(
        vocab_size=VOCAB,
        d_model=draw.choice([12, 24]),
        encoder_layers=draw.choice([1, 2, 3]),
        decoder_layers=draw.choice([1, 2]),
        encoder_attention_heads=encoder_heads,
        decoder_attention_heads=decoder_heads,
        encoder_ffn_dim=draw.choice([10, 16]),
        decoder_ffn_dim=draw.choice([10, 16]),
        max_position_embeddings=draw.choice([8, 11]),
        activation_function=draw.choice(["gelu", "relu", "gelu_new"]),
        scale_embedding=draw.choice([True, False]),
        pad_token_id=0,
        attn_implementation="eager",
        **changes,
    )
    peer = parity.randomised(getattr(transformers, head)(config), seed)
    if head == "BartForConditionalGeneration":
        peer.final_logits_bias.copy_(torch.randn(1, VOCAB, generator=torch.Generator().manual_seed(seed)))
    return peer


def test_language_model_equals_peer(seed: int, tmp_path: Path) -> None:
    peer, given = tiny_peer(seed), batch(seed)
    ours = parity.loaded(peer, tmp_path)
    seq2seq_parity.assert_equals_peer(ours, peer, given)
    seq2seq_parity.assert_loss_equals_peer(ours, peer, given)


def test_padding_on_the_left_equals_the_peer_padded_on_the_right(seed: int, tmp_path: Path) -> None:
    """The peer counts padding as positions. Ours start at the first real token: a pair is read as it is alone."""
    peer, right, left = tiny_peer(seed), batch(seed), batch(seed, "left")
    ours = parity.loaded(peer, tmp_path)
    for key in ("input_ids", "decoder_input_ids"):  # the same tokens on the other side
        mask = "attention_mask" if key == "input_ids" else "decoder_attention_mask"
        assert torch.equal(left[key][left[mask].bool()], right[key][right[mask].bool()])
    logits, reference = ours(**left).logits, peer(**right).logits
    parity.assert_close(
        logits[left["decoder_attention_mask"].bool()], reference[right["decoder_attention_mask"].bool()]
    )


def test_states_without_a_head_equal_peer(seed: int, tmp_path: Path) -> None:
    peer = tiny_peer(seed, "BartModel")
    seq2seq_parity.assert_equals_peer(parity.loaded(peer, tmp_path), peer, batch(seed))


def test_without_a_target_the_source_is_read_again(seed: int, tmp_path: Path) -> None:
    peer, given = tiny_peer(seed), batch(seed)
    ours, ids = parity.loaded(peer, tmp_path), given["input_ids"]
    parity.assert_close(ours(ids, given["attention_mask"]).logits, peer(ids, given["attention_mask"]).logits)


def test_classification_equals_peer(seed: int, tmp_path: Path) -> None:
    peer, given = tiny_peer(seed, "BartForSequenceClassification", num_labels=4), batch(seed)
    ours, ids, mask = parity.loaded(peer, tmp_path), given["input_ids"], given["attention_mask"]
    ids[torch.arange(3), mask.sum(1) - 1] = ids[:, 0] = peer.config.eos_token_id  # two ends: the last one counts
    labels = torch.randint(4, (3,))
    reference, out = peer(ids, mask, labels=labels), ours(ids, mask, labels=labels)
    parity.assert_close(out.logits, reference.logits)
    parity.assert_close(out.loss, reference.loss)
    parity.assert_peer_reads_back(ours, peer, tmp_path / "again")


@pytest.mark.parametrize("head", ["BartModel", "BartForConditionalGeneration"])
def test_peer_reads_what_we_save(seed: int, tmp_path: Path, head: str) -> None:
    peer = tiny_peer(seed, head)
    parity.assert_peer_reads_back(parity.loaded(peer, tmp_path / "theirs"), peer, tmp_path / "ours")


def test_wrong_weights_are_named(seed: int, tmp_path: Path) -> None:
    peer = tiny_peer(seed)
    ours = parity.loaded(peer, tmp_path)
    parity.assert_sharded_loads(peer, tmp_path / "sharded", ours)
    parity.assert_strict(tmp_path, seed)
    parity.assert_other_family_named(tmp_path, "t5")
    parity.assert_tied_must_agree(tmp_path, "model.encoder.embed_tokens.weight", "model.shared.weight")
    ours.save_pretrained(tmp_path)
    parity.assert_tied_must_agree(tmp_path, "lm_head.weight", "model.shared.weight")


@pytest.mark.parametrize("side", ["right", "left"])
def test_invariants_of_an_encoder_decoder(seed: int, tmp_path: Path, side: str) -> None:
    ours, given = parity.loaded(tiny_peer(seed), tmp_path), batch(seed, side)
    seq2seq_parity.assert_cached_equals_uncached(ours, given)
    seq2seq_parity.assert_batch_equals_one_by_one(ours, given)
    seq2seq_parity.assert_future_cannot_change_past(ours, given)
    seq2seq_parity.assert_empty_source_is_finite(ours, given)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_float32(seed: int, tmp_path: Path, dtype: torch.dtype) -> None:
    peer, given = tiny_peer(seed), batch(seed)
    peer.to(dtype).save_pretrained(tmp_path)
    ours = from_pretrained(tmp_path).to(dtype)
    reference = peer.float()(**given).logits
    parity.assert_close_in_half(ours(**given).logits, reference, given["decoder_attention_mask"])


def test_gradients_equal_numeric_ones(seed: int) -> None:
    torch.manual_seed(seed)
    sizes = dict.fromkeys(["n_encoder_layers", "n_decoder_layers", "n_encoder_heads", "n_decoder_heads"], 1)
    config = BartConfig(vocab_size=6, d_model=4, encoder_d_ff=5, decoder_d_ff=5, max_positions=4, dropout=0.0, **sizes)
    model = Bart(config, "language_model").double()
    ids, labels = torch.randint(6, (2, 3)), torch.randint(6, (2, 2))
    names = ["embedding.weight", "positions.decoder.weight", "decoder.blocks.0.cross_attention.qkv.weight"]
    start = [dict(model.named_parameters())[name].detach().requires_grad_() for name in names]

    def loss(*values: torch.Tensor) -> torch.Tensor:
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(model, given, (ids,), {"labels": labels}).loss

    assert torch.autograd.gradcheck(loss, start, fast_mode=True)


def test_wrong_calls_say_what_is_needed(tmp_path: Path) -> None:
    sizes = dict.fromkeys(["n_encoder_layers", "n_decoder_layers", "n_encoder_heads", "n_decoder_heads"], 1)
    config = BartConfig(vocab_size=10, d_model=8, encoder_d_ff=8, decoder_d_ff=8, max_positions=3, **sizes)
    model, ids = Bart(config, "classification").eval(), torch.tensor([[3, 4]])
    with pytest.raises(ValueError, match="every row must hold the end token 2"):
        model(ids)
    with pytest.raises(ValueError, match="reads the same ids on both sides"):
        model(ids, decoder_input_ids=ids[:, :1])
    with pytest.raises(ValueError, match="4 tokens, the model has 3 positions; truncate it first"):
        model(ids.repeat(1, 2))
    writer = Bart(config, "language_model").eval()
    cache, memory = writer.decoder.allocate_cache(1, 8), writer.encode(ids)
    writer(decoder_input_ids=ids, encoder_output=memory, cache=cache)
    with pytest.raises(ValueError, match="the target has 4 tokens, the model has 3 positions; stop earlier"):
        writer(decoder_input_ids=ids, cache=cache)
    writer.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(values | {"tie_word_embeddings": False}), "utf-8")
    with pytest.raises(ValueError, match="ties its output layer"):
        from_pretrained(tmp_path)
