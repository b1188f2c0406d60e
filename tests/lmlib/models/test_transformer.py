"""The Transformer of 2017 against `torch.nn.Transformer`, weight for weight."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.models import from_pretrained
from lmlib.models.base import CheckpointError
from lmlib.models.transformer import Transformer, TransformerConfig
from lmlib.positions import sinusoidal
from tests.lmlib.models import parity, seq2seq_parity
from tests.lmlib.models.seq2seq_parity import VOCAB, batch

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor")  # a path of torch's that the peer cannot take


def tiny_config(seed: int, **changes: Any) -> TransformerConfig:
    draw = random.Random(seed)
    return TransformerConfig(
        vocab_size=VOCAB,
        d_model=draw.choice([12, 24]),
        n_layers=draw.choice([1, 2, 3]),
        n_decoder_layers=draw.choice([1, 2]),
        n_heads=draw.choice([1, 2, 3]),
        d_ff=draw.choice([10, 30]),
        activation=draw.choice(["relu", "gelu"]),
        max_positions=20,
        final_norm=True,
        **changes,
    )


def tiny_peer(config: TransformerConfig, seed: int) -> nn.Transformer:
    torch.manual_seed(seed)
    peer = nn.Transformer(
        config.d_model,
        config.n_heads,
        config.n_layers,
        config.n_decoder_layers,
        config.d_ff,
        activation=config.activation,
        batch_first=True,
        norm_first=config.norm_first,
    )
    return parity.randomised(peer, seed)


def run_peer(peer: nn.Transformer, ours: Transformer, given: dict[str, Tensor]) -> Tensor:
    """The peer's decoder states, with embeddings and positions as the paper has them; its masks mean the opposite."""
    c = ours.config.d_model
    table, scale = sinusoidal(20, c), c**0.5
    source, target = (
        ours.embedding(given[key]) * scale + table[: given[key].size(1)] for key in ("input_ids", "decoder_input_ids")
    )
    padding = given["attention_mask"] == 0
    future = nn.Transformer.generate_square_subsequent_mask(target.size(1))
    return peer(source, target, tgt_mask=future, src_key_padding_mask=padding, memory_key_padding_mask=padding)


@pytest.mark.parametrize("norm_first", [False, True])
def test_equals_torch_transformer_with_its_weights(seed: int, norm_first: bool) -> None:
    config, given = tiny_config(seed, norm_first=norm_first), batch(seed)
    ours, peer = Transformer(config).eval(), tiny_peer(config, seed)
    ours.load_torch(peer.state_dict())
    reference = run_peer(peer, ours, given)
    real = given["decoder_attention_mask"]
    for inspect in (False, True):
        out = ours(**given, inspect=inspect)
        parity.assert_close(out.last_hidden_state, reference, where=real)
        parity.assert_close(out.logits, reference @ ours.embedding.weight.T, where=real)
    labels = given["decoder_input_ids"].masked_fill(real == 0, -100)
    loss = F.cross_entropy(out.logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    parity.assert_close(ours(**given, labels=labels).loss, loss)


def test_attention_weights_equal_those_of_torch(seed: int) -> None:
    config, given = tiny_config(seed), batch(seed)
    ours, peer = Transformer(config).eval(), tiny_peer(config, seed)
    ours.load_torch(peer.state_dict())
    out, mask = ours(**given, inspect=True), given["attention_mask"]
    x, padding = out.encoder_hidden_states[0], mask == 0
    first = peer.encoder.layers[0].self_attn
    _, reference = first(x, x, x, key_padding_mask=padding, average_attn_weights=False)
    parity.assert_close(out.encoder_attentions[0], reference)


def test_torch_transformer_takes_our_weights(seed: int) -> None:
    config, given = tiny_config(seed), batch(seed)
    ours, peer = Transformer(config).eval(), tiny_peer(config, seed)
    peer.load_state_dict(ours.torch_state())
    real = given["decoder_attention_mask"]
    parity.assert_close(ours(**given).last_hidden_state, run_peer(peer, ours, given), where=real)


def test_gradients_equal_those_of_torch(seed: int) -> None:
    config, given = tiny_config(seed, dropout=0.0), batch(seed)
    ours, peer = Transformer(config), tiny_peer(config, seed)
    ours.load_torch(peer.state_dict())
    real = given["decoder_attention_mask"].bool()
    ours(**given).last_hidden_state[real].square().sum().backward()
    run_peer(peer, ours, given)[real].square().sum().backward()
    name = "blocks.0.attention.qkv.weight"
    pairs = [
        (ours.encoder.get_parameter(name), peer.encoder.layers[0].self_attn.in_proj_weight),
        (ours.decoder.get_parameter(name), peer.decoder.layers[0].self_attn.in_proj_weight),
    ]
    for mine, theirs in pairs:
        parity.assert_close(mine.grad, theirs.grad, 1e-4)


def test_torch_weights_of_another_shape_are_named(seed: int) -> None:
    config = tiny_config(seed)
    state = tiny_peer(config, seed).state_dict()
    with pytest.raises(CheckpointError, match=r"unused: encoder\.norm\.weight"):
        Transformer(TransformerConfig(**(vars(config) | {"final_norm": False}))).load_torch(state)
    with pytest.raises(CheckpointError, match=r"misshapen: encoder\.blocks\.0\.feed_forward\.inner\.weight"):
        Transformer(TransformerConfig(**(vars(config) | {"d_ff": 11}))).load_torch(state)


@pytest.mark.parametrize("changes", [{}, {"tied": False}, {"source_vocab": VOCAB + 3}])
def test_saved_and_loaded_again_it_is_the_same_model(seed: int, tmp_path: Path, changes: dict[str, Any]) -> None:
    torch.manual_seed(seed)
    ours, given = Transformer(tiny_config(seed, **changes)).eval(), batch(seed)
    ours.save_pretrained(tmp_path)
    again = from_pretrained(tmp_path)
    assert again.config == ours.config
    assert torch.equal(again(**given).logits, ours(**given).logits)
    parity.assert_strict(tmp_path, seed)


def test_own_source_vocabulary_and_output_layer_are_used(seed: int) -> None:
    torch.manual_seed(seed)
    model = Transformer(tiny_config(seed, tied=False, source_vocab=VOCAB + 3)).eval()
    given = batch(seed)
    given["input_ids"][0, 0] = VOCAB + 2  # beyond the target's vocabulary
    states = model(**given).last_hidden_state
    parity.assert_close(model(**given).logits, states @ model.output.weight.T)
    source = model.source_embedding(given["input_ids"]) * model.config.d_model**0.5 + model.table[:7]
    read = model(**given, inspect=True).encoder_hidden_states[0]
    parity.assert_close(read, source, where=given["attention_mask"])


@pytest.mark.parametrize("side", ["right", "left"])
def test_invariants_of_an_encoder_decoder(seed: int, side: str) -> None:
    torch.manual_seed(seed)
    ours, given = Transformer(tiny_config(seed, norm_first=side == "left")).eval(), batch(seed, side)
    seq2seq_parity.assert_cached_equals_uncached(ours, given)
    seq2seq_parity.assert_batch_equals_one_by_one(ours, given)
    seq2seq_parity.assert_future_cannot_change_past(ours, given)
    seq2seq_parity.assert_empty_source_is_finite(ours, given)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_float32(seed: int, dtype: torch.dtype) -> None:
    torch.manual_seed(seed)
    ours, given = Transformer(tiny_config(seed)).eval().to(dtype), batch(seed)
    rounded = ours(**given).logits
    parity.assert_close_in_half(rounded, ours.float()(**given).logits, given["decoder_attention_mask"])


def test_default_sizes_are_those_of_the_base_model() -> None:
    """Six encoder blocks of 3,152,384 weights and six decoder blocks of 4,204,032, counted by hand from table 3."""
    with torch.device("meta"):
        model = Transformer(TransformerConfig())
    n_weights = sum(p.numel() for p in model.parameters())
    assert n_weights - 37_000 * 512 == 6 * (3_152_384 + 4_204_032)
    assert [len(model.encoder.blocks), len(model.decoder.blocks), model.encoder.shape.n_heads] == [6, 6, 8]


def test_token_vectors_and_positions_start_equally_large() -> None:
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(vocab_size=1000, n_layers=1, max_positions=100))
    tokens = model.embedding.weight * model.config.d_model**0.5
    ratio = tokens.pow(2).mean() / model.table.pow(2).mean()
    assert 1.5 < ratio.item() < 2.5  # variance 1 against that of a sinusoid, 1/2


def test_an_emptied_cache_reads_a_new_source(seed: int) -> None:
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig(vocab_size=30, d_model=16, n_layers=1, n_heads=2, d_ff=16)).eval()
    cache, target, other = model.decoder.allocate_cache(1, 4), torch.tensor([[1, 6]]), torch.tensor([[9, 8, 7]])
    model(torch.tensor([[3, 4, 5]]), decoder_input_ids=target, cache=cache)
    cache.crop(0)
    fresh = model(other, decoder_input_ids=target).logits
    parity.assert_close(model(other, decoder_input_ids=target, cache=cache).logits, fresh)
