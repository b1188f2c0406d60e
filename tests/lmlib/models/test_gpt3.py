"""GPT-3: dense it is GPT-2, and its sparse layers are an explicit band."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from lmlib.models import from_pretrained
from lmlib.models.gpt2 import Gpt2
from lmlib.models.gpt3 import Gpt3, Gpt3Config
from tests.lmlib.models.parity import assert_close, assert_strict, padded_batch, randomised

VOCAB, POSITIONS, LENGTH = 61, 24, 12


@pytest.fixture
def ids(seed: int) -> Tensor:
    return torch.randint(0, VOCAB, (2, LENGTH), generator=torch.Generator().manual_seed(seed))


def build(seed: int, **changes: Any) -> Gpt3:
    draw = random.Random(seed)
    n_heads = draw.choice([1, 2, 4])
    config = Gpt3Config(
        vocab_size=VOCAB,
        d_model=8 * n_heads,
        n_heads=n_heads,
        n_layers=draw.choice([2, 3, 4]),
        max_positions=POSITIONS,
        band_width=draw.choice([1, 3, 5]),
    )
    for name, value in changes.items():
        setattr(config, name, value)
    return randomised(Gpt3(config, "language_model"), seed)


def test_with_all_layers_dense_it_equals_gpt2(seed: int, ids: Tensor) -> None:
    dense = build(seed, banded_layers=[])
    gpt2 = Gpt2(dense.config, "language_model").eval()
    gpt2.load_state_dict(dense.state_dict())
    assert_close(dense(ids).logits, gpt2(ids).logits)
    c = dense.config
    peer = GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCAB, n_embd=c.d_model, n_head=c.n_heads, n_layer=c.n_layers, n_positions=POSITIONS)
    ).eval()
    stored = {name: tensor for name, tensor in peer.state_dict().items() if name != "lm_head.weight"}
    dense.load_stored(stored)
    assert_close(dense(ids).logits, peer(ids).logits)


def test_sparse_layers_equal_an_explicit_band(seed: int, ids: Tensor) -> None:
    sparse = build(seed)
    t = torch.arange(LENGTH)
    causal = t[:, None] >= t[None, :]
    band = causal & (t[:, None] - t[None, :] < sparse.config.band_width)
    masks = [band if i % 2 else causal for i in range(sparse.config.n_layers)]
    trace = sparse.decoder(sparse.embed(ids, t[None]), masks, collect=True)
    assert_close(sparse(ids).last_hidden_state, trace.output)
    for weights, mask in zip(sparse(ids, inspect=True).attentions, masks, strict=True):
        assert (weights[..., ~mask] == 0).all()
        assert (weights[..., mask] > 0).all()


def test_band_takes_effect(seed: int, ids: Tensor) -> None:
    sparse, dense = build(seed), build(seed, banded_layers=[])
    assert not torch.allclose(sparse(ids).logits, dense(ids).logits)


def test_cached_equals_uncached_and_padding_does_not_matter(seed: int) -> None:
    model = build(seed)
    ids, mask, _ = padded_batch(seed, VOCAB, [9, 4, 1], "left")
    whole = model(ids, attention_mask=mask).logits
    cache = model.decoder.allocate_cache(3, POSITIONS)
    for start, end in [(0, 4), (4, 5), (5, 9)]:
        out = model(ids[:, start:end], attention_mask=mask[:, :end], cache=cache)
        assert_close(out.logits, whole[:, start:end], where=mask[:, start:end])
    for row in range(3):
        alone = model(ids[row][mask[row].bool()][None]).logits[0]
        assert_close(whole[row][mask[row].bool()], alone)


def test_saved_model_comes_back_as_it_was(seed: int, ids: Tensor, tmp_path: Path) -> None:
    model = build(seed, banded_layers=[0])
    model.save_pretrained(tmp_path)
    again = from_pretrained(tmp_path)
    assert isinstance(again, Gpt3)
    assert again.config == model.config
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert_strict(tmp_path, seed)


@pytest.mark.parametrize("wrong", [{"banded_layers": [5]}, {"band_width": 0}])
def test_bands_that_no_layer_has_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="band"):
        Gpt3Config.from_peer({"n_layer": 4, **wrong})
