"""Activation patching: all of it is the clean run, none of it the corrupted one, and in between what a loop says."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lmlib.interpret.patching import Site, logit_difference, patch_each, record, run_patched
from lmlib.models.albert import Albert, AlbertConfig
from lmlib.models.bert import Bert, BertConfig
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from lmlib.models.llama import Llama, LlamaConfig
from tests.lmlib.decoding import tiny
from tests.lmlib.interpret import by_hand
from tests.lmlib.models.parity import randomised

VOCAB = 17
CLEAN, CORRUPTED, OTHER = (
    {"input_ids": torch.tensor([ids])} for ids in ([3, 4, 5, 6, 7], [3, 9, 5, 6, 7], [8, 9, 10, 11, 12])
)


def model_of(family: str, seed: int) -> Any:
    sizes = {"vocab_size": VOCAB, "d_model": 8, "n_layers": 3, "n_heads": 2, "max_positions": 12}
    if family == "gpt2":
        model: Any = Gpt2(Gpt2Config(**sizes), "language_model")
    elif family == "llama":
        model = Llama(LlamaConfig(**sizes, d_ff=12, n_kv_heads=1), "language_model")
    elif family == "bert":
        model = Bert(BertConfig(**sizes, d_ff=12), "masked_lm")
    else:
        model = Albert(AlbertConfig(**sizes, d_ff=12, d_embedding=4), "masked_lm")
    return randomised(model, seed)


FAMILIES = pytest.mark.parametrize("family", ["gpt2", "llama", "bert", "albert"])


@FAMILIES
def test_patching_everything_gives_the_clean_run_exactly(family: str, seed: int) -> None:
    model = model_of(family, seed)
    patched = run_patched(model, [Site("residual", 0)], record(model, **CLEAN), **CORRUPTED)
    assert torch.equal(patched.logits, model(**CLEAN).logits)


@FAMILIES
def test_patching_nothing_or_a_run_into_itself_changes_nothing(family: str, seed: int) -> None:
    model = model_of(family, seed)
    corrupted = model(**CORRUPTED).logits
    assert torch.equal(run_patched(model, [], record(model, **CLEAN), **CORRUPTED).logits, corrupted)
    everywhere = [Site(part, layer) for part in ("residual", "attention", "feed_forward", "head") for layer in range(3)]
    itself = run_patched(model, everywhere, record(model, **CORRUPTED), **CORRUPTED)
    assert torch.equal(itself.logits, corrupted)


@FAMILIES
def test_a_recorded_residual_is_the_hidden_state_before_each_layer(family: str, seed: int) -> None:
    model = model_of(family, seed)
    kept, states = record(model, **CLEAN), model(**CLEAN, inspect=True).hidden_states
    for layer in range(3):
        torch.testing.assert_close(kept["residual", layer], states[layer])


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_patched_position_equals_a_loop_over_the_blocks(layer: int, seed: int) -> None:
    model = model_of("gpt2", seed)
    clean = model(**CLEAN, inspect=True).hidden_states
    with torch.no_grad():
        x = model(**CORRUPTED, inspect=True).hidden_states[0]
        for i, block in enumerate(model.decoder.blocks):
            if i == layer:
                x = x.clone()
                x[:, 1] = clean[i][:, 1]
            x = block(x, causal=True)[0]
        expected = model.output(model.decoder.final_norm(x))
    patched = run_patched(model, [Site("residual", layer, position=1)], record(model, **CLEAN), **CORRUPTED)
    torch.testing.assert_close(patched.logits, expected)


@FAMILIES
def test_all_heads_of_a_layer_are_its_attention(family: str, seed: int) -> None:
    model = model_of(family, seed)
    source = record(model, **OTHER)  # with one token changed, a head that looks elsewhere would stay the same
    heads = run_patched(model, [Site("head", 1, head=h) for h in range(2)], source, **CORRUPTED)
    attention = run_patched(model, [Site("attention", 1)], source, **CORRUPTED)
    torch.testing.assert_close(heads.logits, attention.logits)
    one = run_patched(model, [Site("head", 1, head=0)], source, **CORRUPTED)
    assert not torch.allclose(one.logits, attention.logits)


def test_a_shared_layer_is_patched_in_the_one_place_that_was_named(seed: int) -> None:
    model = model_of("albert", seed)  # all three layers are one module
    source = record(model, **OTHER)
    outcomes = [run_patched(model, [Site("attention", i)], source, **CORRUPTED).logits for i in range(3)]
    assert not torch.allclose(outcomes[0], outcomes[1])
    assert not torch.allclose(outcomes[1], outcomes[2])


@pytest.mark.parametrize("part", ["residual", "attention", "feed_forward", "head"])
def test_a_patch_in_a_causal_model_cannot_reach_earlier_positions(part: str, seed: int) -> None:
    model = model_of("llama", seed)
    patched = run_patched(model, [Site(part, 1, position=2)], record(model, **OTHER), **CORRUPTED).logits
    before = model(**CORRUPTED).logits
    assert torch.equal(patched[:, :2], before[:, :2])
    assert not torch.allclose(patched[:, 2], before[:, 2])


def test_no_hook_stays_behind_after_a_run_or_an_error(seed: int) -> None:
    model = model_of("gpt2", seed)
    source = record(model, **CLEAN)
    with pytest.raises(ValueError, match=r"same shape; their activations are \(1, 5, 8\) and \(1, 4, 8\)"):
        run_patched(model, [Site("attention", 0)], source, input_ids=torch.tensor([[3, 4, 5, 6]]))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_patching_finds_the_parts_of_a_model_that_was_built_to_copy() -> None:
    model = by_hand.copying_model()
    start = by_hand.START
    clean = {"input_ids": torch.tensor([[start, 3, 7, 5, 1, 2, 9, 3, 7]])}  # 5 follows 7
    corrupted = {"input_ids": torch.tensor([[start, 3, 7, 6, 1, 2, 9, 3, 7]])}  # 6 follows 7
    measure = logit_difference(torch.tensor([5]), torch.tensor([6]))
    residual = patch_each(model, "residual", clean, corrupted, measure)
    expected = torch.zeros(2, 9)
    expected[:, 3] = 1.0  # the answer waits where it was read, until the induction head fetches it
    torch.testing.assert_close(residual, expected, atol=1e-3, rtol=0)
    attention = patch_each(model, "attention", clean, corrupted, measure)
    assert attention[1, -1] == pytest.approx(1.0, abs=1e-3)
    assert attention[1, :-1].abs().max() < 1e-3
    heads = patch_each(model, "head", clean, corrupted, measure)
    torch.testing.assert_close(heads, torch.tensor([[0.0], [1.0]]), atol=1e-3, rtol=0)
    assert patch_each(model, "feed_forward", clean, corrupted, measure).abs().max() < 1e-3


def test_logit_difference_is_the_mean_over_rows() -> None:
    logits = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 2.0, 4.0]], [[9.0, 9.0, 9.0], [5.0, 1.0, 0.0]]])
    measure = logit_difference(torch.tensor([2, 0]), torch.tensor([0, 1]))
    assert measure(type("Output", (), {"logits": logits})()) == pytest.approx((3 + 4) / 2)


def test_bad_input_is_named(seed: int, tmp_path: Path) -> None:
    model = model_of("gpt2", seed)
    source = record(model, **CLEAN)
    wrong = {
        "there is no part 'mlp'; there are: residual, attention": Site("mlp", 0),
        r"layers are 0\.\.2; got 3": Site("residual", 3),
        r"positions are 0\.\.4; got 5": Site("residual", 0, position=5),
        r"heads are 0\.\.1 of the part 'head'; got": Site("head", 0, head=2),
        "of the part 'head'": Site("attention", 0, head=1),
    }
    for message, site in wrong.items():
        with pytest.raises(ValueError, match=message):
            run_patched(model, [site], source, **CORRUPTED)
    measure = logit_difference(torch.tensor([1]), torch.tensor([2]))
    with pytest.raises(ValueError, match="there is nothing to bring back"):
        patch_each(model, "residual", CLEAN, CLEAN, measure)
    with pytest.raises(ValueError, match=r"needs logits \(B, T, V\)"):
        patch_each(Gpt2(model.config).eval(), "residual", CLEAN, CORRUPTED, measure)
    with pytest.raises(ValueError, match="Bart has 2"):
        record(tiny.pair("bart", seed, tmp_path)[1], input_ids=torch.tensor([[3]]))
