"""T5 against `transformers`: both versions, both directions, every head."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from lmlib.models import from_pretrained
from lmlib.models.base import CheckpointError
from lmlib.models.t5 import T5, T5Config
from tests.lmlib.models import parity, seq2seq_parity
from tests.lmlib.models.seq2seq_parity import VOCAB, batch

VERSIONS = ["relu", "gated-gelu", "gated-silu"]


def tiny_peer(seed: int, head: str = "T5ForConditionalGeneration", feed_forward: str = "relu", **changes: Any) -> Any:
    draw = random.Random(seed)
    config = transformers.T5Config(
        vocab_size=VOCAB,
        d_model=draw.choice([8, 12, 20]),
        d_kv=draw.choice([3, 4, 8]),
        d_ff=draw.choice([10, 24]),
        num_layers=draw.choice([1, 2, 3]),
        num_decoder_layers=draw.choice([1, 2]),
        num_heads=draw.choice([1, 2, 3]),
        relative_attention_num_buckets=draw.choice([4, 8, 10]),
        relative_attention_max_distance=draw.choice([6, 16]),
        feed_forward_proj=feed_forward,
        decoder_start_token_id=draw.choice([0, 5]),
        tie_word_embeddings=feed_forward == "relu",
        attn_implementation="eager",
        **changes,
    )
    return parity.randomised(getattr(transformers, head)(config), seed)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("feed_forward", VERSIONS)
def test_language_model_equals_peer(seed: int, tmp_path: Path, feed_forward: str, side: str) -> None:
    peer = tiny_peer(seed, feed_forward=feed_forward)
    ours, given = parity.loaded(peer, tmp_path), batch(seed, side)
    seq2seq_parity.assert_equals_peer(ours, peer, given)
    seq2seq_parity.assert_loss_equals_peer(ours, peer, given)


def test_states_without_a_head_equal_peer(seed: int, tmp_path: Path) -> None:
    peer = tiny_peer(seed, "T5Model")
    seq2seq_parity.assert_equals_peer(parity.loaded(peer, tmp_path), peer, batch(seed))


def test_encoder_alone_equals_peer(seed: int, tmp_path: Path) -> None:
    peer, given = tiny_peer(seed, "T5EncoderModel", "gated-gelu"), batch(seed, "left")
    ours = parity.loaded(peer, tmp_path)
    mask = given["attention_mask"]
    reference = peer(given["input_ids"], mask, output_hidden_states=True, output_attentions=True)
    out = ours(given["input_ids"], mask, inspect=True)
    parity.assert_close(out.last_hidden_state, reference.last_hidden_state, where=mask)
    parity.assert_close(out.hidden_states, reference.hidden_states, where=mask)
    real = [seq2seq_parity.real_weights(w, mask, mask) for w in (out.attentions, reference.attentions)]
    parity.assert_close(*real)
    parity.assert_close(ours.encode(given["input_ids"], mask), reference.last_hidden_state, where=mask)


def test_encoder_can_be_taken_from_a_whole_model(seed: int, tmp_path: Path) -> None:
    whole, given = parity.loaded(tiny_peer(seed), tmp_path), batch(seed)
    encoder = from_pretrained(tmp_path, new_head="encoder")
    read = encoder(given["input_ids"], given["attention_mask"]).last_hidden_state
    assert torch.equal(read, whole.encode(given["input_ids"], given["attention_mask"]))


def test_output_layer_of_its_own_is_loaded_and_written(seed: int, tmp_path: Path) -> None:
    """As version 1.1 is stored: tie_word_embeddings false, lm_head.weight beside shared.weight."""
    peer = tiny_peer(seed, feed_forward="gated-gelu")
    peer.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = torch.randn_like(tensors["shared.weight"])
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    del config["scale_decoder_outputs"]
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}), "utf-8")
    untied = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path, attn_implementation="eager")
    assert torch.equal(untied.lm_head.weight, tensors["lm_head.weight"])
    ours = from_pretrained(tmp_path)
    assert not ours.config.tied
    assert not ours.config.scaled_output
    seq2seq_parity.assert_equals_peer(ours, untied, batch(seed))
    parity.assert_peer_reads_back(ours, untied, tmp_path / "again")
    untied.save_pretrained(tmp_path / "rewritten")  # the peer writes tie_word_embeddings true all the same
    seq2seq_parity.assert_equals_peer(from_pretrained(tmp_path / "rewritten"), untied, batch(seed))


def test_missing_output_layer_is_an_error_where_the_config_says_untied(seed: int, tmp_path: Path) -> None:
    peer = tiny_peer(seed)
    peer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}), "utf-8")
    with pytest.raises(CheckpointError, match=r"missing: lm_head\.weight"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("head", ["T5Model", "T5ForConditionalGeneration", "T5EncoderModel"])
@pytest.mark.parametrize("feed_forward", ["relu", "gated-gelu"])
def test_peer_reads_what_we_save(seed: int, tmp_path: Path, head: str, feed_forward: str) -> None:
    peer = tiny_peer(seed, head, feed_forward)
    ours = parity.loaded(peer, tmp_path / "theirs")
    parity.assert_peer_reads_back(ours, peer, tmp_path / "ours")
    again = type(peer).from_pretrained(tmp_path / "ours")
    assert again.config.scale_decoder_outputs == peer.config.scale_decoder_outputs


def test_wrong_weights_are_named(seed: int, tmp_path: Path) -> None:
    peer = tiny_peer(seed, num_labels=2)
    ours = parity.loaded(peer, tmp_path)
    parity.assert_sharded_loads(peer, tmp_path / "sharded", ours)
    parity.assert_strict(tmp_path, seed)
    parity.assert_other_family_named(tmp_path, "bert")
    parity.assert_tied_must_agree(tmp_path, "decoder.embed_tokens.weight", "shared.weight")


def test_unread_table_of_old_checkpoints_is_ignored(seed: int, tmp_path: Path) -> None:
    before = parity.loaded(tiny_peer(seed), tmp_path).state_dict()
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = torch.zeros(4, 2)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    after = from_pretrained(tmp_path).state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("side", ["right", "left"])
def test_invariants_of_an_encoder_decoder(seed: int, tmp_path: Path, side: str) -> None:
    ours, given = parity.loaded(tiny_peer(seed, feed_forward="gated-gelu"), tmp_path), batch(seed, side)
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
    sizes = {"d_model": 4, "d_head": 2, "d_ff": 5, "n_layers": 1, "n_heads": 2, "n_buckets": 4}
    config = T5Config(vocab_size=6, feed_forward="gated-gelu", dropout=0.0, **sizes)  # relu has a kink
    model = T5(config, "language_model").double()
    ids, labels = torch.randint(6, (2, 3)), torch.randint(6, (2, 2))
    names = ["embedding.weight", "relative.decoder.weight", "encoder.blocks.0.attention.qkv.weight"]
    start = [dict(model.named_parameters())[name].detach().requires_grad_() for name in names]

    def loss(*values: torch.Tensor) -> torch.Tensor:
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(model, given, (ids,), {"labels": labels}).loss

    assert torch.autograd.gradcheck(loss, start, fast_mode=True)


def test_new_model_starts_with_scores_of_variance_near_one() -> None:
    """Unscaled scores of d_head = 64 would have variance 64 with equally large queries and keys."""
    torch.manual_seed(0)
    attention = T5(T5Config(vocab_size=10, n_layers=1), "encoder").encoder.blocks[0].attention
    x = torch.randn(1, 200, 512)
    query, key, _ = attention.qkv(x).split(attention.sizes, dim=-1)
    scores = query.unflatten(-1, (8, 64)).transpose(1, 2) @ key.unflatten(-1, (8, 64)).permute(0, 2, 3, 1)
    assert 0.8 < scores.var().item() < 1.25


def test_wrong_calls_say_what_is_needed(seed: int) -> None:
    config = T5Config(vocab_size=10, d_model=8, d_head=4, d_ff=8, n_layers=1, n_heads=2, decoder_start_token_id=7)
    model, ids = T5(config, "language_model").eval(), torch.tensor([[3, 4]])
    with pytest.raises(ValueError, match=r"needs decoder_input_ids.*start a new target with the token 7"):
        model(ids)
    with pytest.raises(ValueError, match="needs a source"):
        model(decoder_input_ids=ids)
    with pytest.raises(ValueError, match=r"one row for each row of decoder_input_ids; got \(1, 2, 8\)"):
        model(decoder_input_ids=ids.expand(3, 2), encoder_output=model.encode(ids))
    with pytest.raises(ValueError, match=r"attention_mask must be \(1, 2\).* got \(1, 3\)"):
        model(ids, attention_mask=torch.ones(1, 3), labels=ids)
    with pytest.raises(ValueError, match=r"attention_mask must be \(1, 3\).* got \(1, 2\)"):
        model(encoder_output=torch.zeros(1, 3, 8), attention_mask=torch.ones(1, 2), decoder_input_ids=ids)
    with pytest.raises(ValueError, match="the cache is for 1 layers and 2 rows"):
        model(ids, decoder_input_ids=ids, cache=model.decoder.allocate_cache(2, 4))
    with pytest.raises(ValueError, match="no label is left to learn from"):
        model(ids, labels=torch.full((1, 2), -100))
    with pytest.raises(ValueError, match=r"token ids must lie in 0\.\.9; got 3\.\.12"):
        model(torch.tensor([[3, 12]]), labels=ids)
    with pytest.raises(ValueError, match="without a head"):
        T5(config)(ids, labels=ids)
    with pytest.raises(ValueError, match="the cache holds 1 positions; 2 are needed"):
        model(ids, decoder_input_ids=ids, cache=model.decoder.allocate_cache(1, 1))
    with pytest.raises(ValueError, match="gated- and an activation; got 'glu-relu'"):
        T5Config(feed_forward="glu-relu").shape("encoder")


@pytest.mark.parametrize("says_tied", [False, True])  # the peer writes true all the same
def test_encoder_can_be_taken_from_a_model_with_an_output_layer_of_its_own(
    seed: int, tmp_path: Path, says_tied: bool
) -> None:
    torch.manual_seed(seed)
    sizes = {"d_model": 8, "d_head": 4, "d_ff": 8, "n_layers": 1, "n_heads": 2, "n_buckets": 4, "max_distance": 6}
    config = T5Config(vocab_size=VOCAB, feed_forward="gated-gelu", tied=False, scaled_output=False, **sizes)
    whole, given = T5(config, "language_model").eval(), batch(seed)
    whole.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text("utf-8")) | {"tie_word_embeddings": says_tied}
    (tmp_path / "config.json").write_text(json.dumps(values), "utf-8")
    encoder = from_pretrained(tmp_path, new_head="encoder")
    read = encoder(given["input_ids"], given["attention_mask"]).last_hidden_state
    assert torch.equal(read, whole.encode(given["input_ids"], given["attention_mask"]))
