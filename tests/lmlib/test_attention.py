"""Attention in both forms against float64 NumPy and torch.nn; masks, heads, grouped heads and the cache."""

import math
import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lmlib import attention as room
from lmlib.attention import (
    KeyValueCache,
    MultiHeadAttention,
    attention,
    band_mask,
    causal_mask,
    fused_attention,
    padding_mask,
)
from lmlib.layers import RMSNorm
from lmlib.positions import rotary_angles
from lmlib.transformer import Shape, Stack

BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}
N_DRAWS = 15


def draw_case(draw: random.Random) -> dict[str, Any]:
    """Sizes, a mask of any shape that broadcasts (rows without a key included), a bias and a scale, or none of them."""
    n_kv_heads, d_head = draw.choice([1, 2, 3]), draw.choice([1, 4, 8])
    batch, n_heads, n_queries = draw.choice([1, 3]), n_kv_heads * draw.choice([1, 2]), draw.choice([1, 2, 5])
    n_keys = draw.choice([1, 4, n_queries])
    torch.manual_seed(draw.getrandbits(32))

    def part_of_scores() -> list[int]:
        return [n if draw.random() < 0.6 else 1 for n in (batch, n_heads, n_queries, n_keys)]

    return {
        "query": torch.randn(batch, n_heads, n_queries, d_head),
        "key": torch.randn(batch, n_kv_heads, n_keys, d_head),
        "value": torch.randn(batch, n_kv_heads, n_keys, d_head),
        "mask": draw.choice([None, torch.rand(part_of_scores()) < 0.6]),
        "bias": draw.choice([None, torch.randn(part_of_scores())]),
        "scale": draw.choice([None, 0.3]),
    }


def by_numpy(case: dict[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Output and weights, one query at a time, over the keys that it may attend and no others."""
    query, key, value = (case[name].double().numpy() for name in ("query", "key", "value"))
    shape = (*query.shape[:3], key.shape[2])
    mask = np.broadcast_to(np.ones(1, bool) if case["mask"] is None else case["mask"].numpy(), shape)
    bias = np.broadcast_to(np.zeros(1) if case["bias"] is None else case["bias"].double().numpy(), shape)
    scale = case["scale"] or 1 / math.sqrt(query.shape[-1])
    out, weights = np.zeros(query.shape), np.zeros(shape)
    group = query.shape[1] // key.shape[1]
    for b, h, t in np.ndindex(*query.shape[:3]):
        seen = np.flatnonzero(mask[b, h, t])
        scores = np.array([query[b, h, t] @ key[b, h // group, s] * scale + bias[b, h, t, s] for s in seen])
        if len(seen):
            weights[b, h, t, seen] = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
            out[b, h, t] = weights[b, h, t] @ value[b, h // group]
    return out, weights


def in_dtype(case: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    return {name: x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x for name, x in case.items()}


def assert_near(ours: Tensor, reference: Any, bound: float) -> None:
    reference = torch.as_tensor(reference).double()
    difference = (ours.double() - reference).abs().max()
    assert difference <= bound * (1 + reference.abs().max()), difference


@pytest.mark.parametrize("dtype", list(BOUNDS))
def test_both_forms_equal_numpy_one_query_at_a_time(seed: int, dtype: torch.dtype) -> None:
    draw = random.Random(seed)
    for _ in range(N_DRAWS):
        case = in_dtype(draw_case(draw), dtype)
        out, weights = by_numpy(case)
        ours, our_weights = attention(**case)
        assert ours.dtype == our_weights.dtype == dtype
        assert_near(ours, out, BOUNDS[dtype])
        assert_near(our_weights, weights, BOUNDS[dtype])
        assert_near(fused_attention(**case), out, BOUNDS[dtype])


def test_rows_of_weights_sum_to_one_or_to_zero(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(N_DRAWS):
        case = draw_case(draw)
        _, weights = attention(**case)
        mask = torch.ones(1, dtype=torch.bool) if case["mask"] is None else case["mask"]
        attends = mask.expand_as(weights).any(-1)
        torch.testing.assert_close(weights.sum(-1), attends.float())
        assert (weights[~mask.expand_as(weights)] == 0).all()


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", list(BOUNDS))
@pytest.mark.parametrize("form", ["explicit", "fused"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_fully_masked_row_gives_zeros_and_finite_gradients(
    dtype: torch.dtype, form: str, with_bias: bool, device: str
) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 2, 5, 8, dtype=dtype, device=device, requires_grad=True) for _ in range(3))
    bias = torch.randn(1, 2, 5, 5, dtype=dtype, device=device, requires_grad=True) if with_bias else None
    mask = causal_mask(5, device=torch.device(device)).expand(2, 1, 5, 5).clone()
    mask[0, 0, 2] = False
    mask[1] = False
    with warnings.catch_warnings(action="ignore"), torch.autograd.detect_anomaly(check_nan=True):
        out = attention(query, key, value, mask, bias=bias)[0] if form == "explicit" else None
        out = fused_attention(query, key, value, mask, bias=bias) if out is None else out
        out.float().square().sum().backward()
    assert (out[0, :, 2] == 0).all()
    assert (out[1] == 0).all()
    assert (out[0, :, 3] != 0).any()
    for tensor in (query, key, value, *([bias] if bias is not None else [])):
        assert tensor.grad.isfinite().all()
    assert (query.grad[1] == 0).all()


@pytest.mark.parametrize("form", [lambda *given: attention(*given)[0], fused_attention])
def test_gradients_equal_numeric_ones(seed: int, form: Any) -> None:
    torch.manual_seed(seed)
    query = torch.randn(1, 2, 3, 2, dtype=torch.double, requires_grad=True)
    key, value = (torch.randn(1, 1, 4, 2, dtype=torch.double, requires_grad=True) for _ in range(2))
    mask = torch.rand(1, 1, 3, 4) < 0.7
    mask[..., 0, :] = False
    assert torch.autograd.gradcheck(form, (query, key, value, mask))


def test_causal_flag_of_the_kernel_equals_the_causal_mask(seed: int) -> None:
    torch.manual_seed(seed)
    query, key, value = torch.randn(3, 2, 4, 6, 8)
    assert_near(fused_attention(query, key, value, causal=True), attention(query, key, value, causal_mask(6))[0], 1e-6)


def test_doubled_scale_equals_doubled_query(seed: int) -> None:
    torch.manual_seed(seed)
    query, key, value = torch.randn(3, 1, 2, 4, 8)
    assert_near(attention(query, key, value, scale=2 / math.sqrt(8))[0], attention(2 * query, key, value)[0], 1e-6)


def test_causal_mask_by_hand() -> None:
    assert causal_mask(3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert causal_mask(2, 4).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]  # two new positions after two cached


def test_band_mask_by_hand() -> None:
    assert band_mask(4, 4, 2).int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert band_mask(1, 4, 3).int().tolist() == [[0, 1, 1, 1]]
    assert torch.equal(band_mask(3, 5, 5), causal_mask(3, 5))


def test_padding_mask_opens_real_keys_to_every_query() -> None:
    assert padding_mask(torch.tensor([[1, 1, 0], [0, 1, 1]])).tolist() == [
        [[[True, True, False]]],
        [[[False, True, True]]],
    ]


def test_dropout_acts_in_training_alone_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    module = MultiHeadAttention(8, 2, dropout=0.5)
    x = torch.randn(1, 6, 8)
    still = module.eval()(x)[0]
    assert torch.equal(still, module(x)[0])
    for explicit in (False, True):
        runs = module.train()(x.expand(4000, 6, 8), return_weights=explicit)[0]  # each row drops other weights
        assert runs.std(0).min() > 0.01
        error = (runs.mean(0) - still) / (runs.std(0) / math.sqrt(len(runs)))  # in standard errors, 48 of them
        assert error.abs().max() < 5.9  # alpha 1e-6 in all, both forms


# ---------------------------------------------------------------------------------------------------- several heads


def torch_peer(d_model: int, n_heads: int, ours: MultiHeadAttention) -> nn.MultiheadAttention:
    peer = nn.MultiheadAttention(d_model, n_heads, batch_first=True)
    with torch.no_grad():
        peer.in_proj_weight.copy_(ours.qkv.weight)
        peer.in_proj_bias.copy_(ours.qkv.bias)
        peer.out_proj.load_state_dict(ours.out.state_dict())
    return peer


@pytest.mark.parametrize("cross", [False, True])
def test_heads_equal_torch_multihead_attention(seed: int, cross: bool) -> None:
    torch.manual_seed(seed)
    ours = MultiHeadAttention(12, 3)
    nn.init.normal_(ours.qkv.bias)
    peer = torch_peer(12, 3, ours)
    x, real = torch.randn(2, 5, 12), torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]])
    memory = torch.randn(2, 5, 12) if cross else x
    reference, weights = peer(x, memory, memory, key_padding_mask=real == 0, average_attn_weights=False)
    given = {"memory": memory if cross else None, "mask": padding_mask(real)}
    out, our_weights = ours(x, **given, return_weights=True)
    assert_near(out, reference, 1e-5)
    assert_near(our_weights, weights, 1e-5)
    fused, none = ours(x, **given)
    assert none is None
    assert_near(fused, reference, 1e-5)


@pytest.mark.parametrize(("n_heads", "n_kv_heads"), [(2, 1), (4, 2), (6, 2), (3, 1)])
@pytest.mark.parametrize("cross", [False, True])
def test_grouped_heads_equal_full_heads_with_repeated_keys(
    seed: int, n_heads: int, n_kv_heads: int, cross: bool
) -> None:
    torch.manual_seed(seed)
    d_model = 4 * n_heads
    grouped, full = MultiHeadAttention(d_model, n_heads, n_kv_heads=n_kv_heads), MultiHeadAttention(d_model, n_heads)
    with torch.no_grad():
        for ours, theirs in ((full.qkv.weight, grouped.qkv.weight), (full.qkv.bias, grouped.qkv.bias)):
            query, *shared = theirs.split(grouped.sizes)
            ours.copy_(torch.cat([query, *(repeat_heads(part, 4, n_heads // n_kv_heads) for part in shared)]))
        full.out.load_state_dict(grouped.out.state_dict())
    x, memory = torch.randn(2, 3, d_model), torch.randn(2, 5, d_model) if cross else None
    for explicit in (False, True):
        assert_near(grouped(x, memory, return_weights=explicit)[0], full(x, memory)[0], 1e-5)


def repeat_heads(weight: Tensor, d_head: int, times: int) -> Tensor:
    """Each block of d_head rows, `times` times."""
    return weight.unflatten(0, (-1, d_head)).repeat_interleave(times, dim=0).flatten(0, 1)


def test_projected_memory_equals_memory(seed: int) -> None:
    torch.manual_seed(seed)
    module = MultiHeadAttention(12, 3, n_kv_heads=1, head_norm=RMSNorm)
    nn.init.normal_(module.key_norm.weight)
    x, memory = torch.randn(2, 3, 12), torch.randn(2, 5, 12)
    assert torch.equal(module(x, module.project_memory(memory))[0], module(x, memory)[0])


def test_heads_norm_queries_and_keys_alone(seed: int) -> None:
    """Scores of normed queries and keys do not change when their projections grow; values do."""
    torch.manual_seed(seed)
    module = MultiHeadAttention(12, 3, bias=False, head_norm=RMSNorm)
    x = torch.randn(1, 4, 12)
    _, before = module(x, return_weights=True)
    with torch.no_grad():
        module.qkv.weight[:24] *= 7
    out, after = module(x, return_weights=True)
    assert_near(after, before, 1e-4)
    with torch.no_grad():
        module.qkv.weight[24:] *= 7
    assert_near(module(x)[0], 7 * out - 6 * module.out.bias if module.out.bias is not None else 7 * out, 1e-4)


def test_rotary_scores_do_not_change_when_all_positions_shift(seed: int) -> None:
    torch.manual_seed(seed)
    module, x = MultiHeadAttention(16, 2), torch.randn(1, 6, 16)
    here, there = (rotary_angles(torch.arange(6) + shift, 8) for shift in (0, 1000))
    _, before = module(x, rotary=here, return_weights=True)
    assert_near(module(x, rotary=there, return_weights=True)[1], before, 1e-3)
    assert (before - module(x, return_weights=True)[1]).abs().max() > 1e-3


def test_without_positions_a_permutation_permutes(seed: int) -> None:
    torch.manual_seed(seed)
    module, x, order = MultiHeadAttention(8, 2), torch.randn(1, 7, 8), torch.randperm(7)
    assert_near(module(x[:, order])[0], module(x)[0][:, order], 1e-5)


# ------------------------------------------------------------------------------------------------------------ cache


@pytest.mark.parametrize("pieces", [[1] * 6, [4, 1, 1], [2, 4], [6]])
@pytest.mark.parametrize("explicit", [False, True])
def test_cached_equals_uncached(seed: int, pieces: list[int], explicit: bool) -> None:
    torch.manual_seed(seed)
    module, x = MultiHeadAttention(12, 6, n_kv_heads=2), torch.randn(2, 6, 12)
    padding = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
    for mask in (None, padding_mask(padding)):
        cache = KeyValueCache.allocate(1, 2, 2, 6, 2).layers[0]
        outs, start = [], 0
        for n in pieces:
            seen = None if mask is None else mask[..., : start + n]
            piece = x[:, start : start + n]
            outs.append(module(piece, mask=seen, causal=True, cache=cache, return_weights=explicit)[0])
            start += n
        assert_near(torch.cat(outs, 1), module(x, mask=mask, causal=True)[0], 1e-5)


def test_cache_keeps_its_memory_and_refuses_what_does_not_fit() -> None:
    cache = KeyValueCache.allocate(2, 1, 3, 4, 5).layers[1]
    start = cache.key.data_ptr()
    key, _ = cache.extend(torch.ones(1, 3, 3, 5), torch.ones(1, 3, 3, 5))
    assert key.data_ptr() == cache.key.data_ptr() == start
    assert key.shape == (1, 3, 3, 5)
    with pytest.raises(ValueError, match="the cache holds 4 positions; 5 are needed"):
        cache.extend(torch.ones(1, 3, 2, 5), torch.ones(1, 3, 2, 5))
    assert cache.length == 3


def test_reordered_cache_goes_on_as_the_chosen_rows_would(seed: int) -> None:
    torch.manual_seed(seed)
    module, x, new = MultiHeadAttention(8, 2), torch.randn(3, 4, 8), torch.randn(3, 1, 8)
    rows = torch.tensor([2, 0, 0])
    caches = KeyValueCache.allocate(1, 3, 2, 5, 4)
    module(x, causal=True, cache=caches.layers[0])
    caches.memory = {0: (torch.arange(3.0), torch.arange(3.0))}
    caches.reorder(rows)
    after = module(new, causal=True, cache=caches.layers[0])[0]
    assert_near(after, module(torch.cat([x[rows], new], 1), causal=True)[0][:, -1:], 1e-5)
    assert caches.memory[0][1].tolist() == [2, 0, 0]
    assert caches.length == 5


def test_layers_share_one_causal_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, ...]] = []
    monkeypatch.setattr(room, "causal_mask", lambda *given: made.append(given[:2]) or causal_mask(*given))
    stack = Stack(Shape(d_model=8, n_layers=3, n_heads=2, d_ff=8))
    x, real = torch.randn(2, 5, 8), padding_mask(torch.ones(2, 5))
    stack(x, real, causal=True)
    assert made == [(5, 5)]
    stack(x, causal=True)  # the kernel needs none
    stack(x[:, :1], padding_mask(torch.ones(2, 5)), causal=True, cache=filled(stack, 4))  # nor does the newest position
    assert made == [(5, 5)]


def filled(stack: Stack, length: int) -> KeyValueCache:
    cache = stack.allocate_cache(2, 8)
    stack(torch.randn(2, length, 8), causal=True, cache=cache)
    return cache


# ----------------------------------------------------------------------------------------------------------- errors


def test_wrong_shapes_and_masks_are_refused_at_the_call() -> None:
    x = torch.randn(2, 4, 3, 8)
    for form in (attention, fused_attention):
        with pytest.raises(ValueError, match=r"query \(B, H, T, D\).* got query \(4, 3, 8\)"):
            form(x[0], x, x)
        with pytest.raises(ValueError, match=r"value \(2, 4, 2, 8\)"):
            form(x, x, x[:, :, :2])
        with pytest.raises(ValueError, match=r"key \(1, 4, 3, 8\)"):
            form(x, x[:1], x[:1])
        with pytest.raises(ValueError, match="share d_head; got 8 and 7"):
            form(x, x[..., :7], x)
        with pytest.raises(ValueError, match="the 3 key-value heads must divide the 4 query heads"):
            form(x, x[:, :3], x[:, :3])
        with pytest.raises(TypeError, match=r"mask must be bool.*got torch\.int64.*mask\.bool\(\)"):
            form(x, x, x, torch.ones(3, 3, dtype=torch.long))
        with pytest.raises(ValueError, match=r"mask must broadcast to .* = \(2, 4, 3, 3\); got \(2, 3\)"):
            form(x, x, x, torch.ones(2, 3, dtype=torch.bool))
        with pytest.raises(ValueError, match=r"bias must broadcast to .* got \(5, 1, 1\)"):
            form(x, x, x, bias=torch.zeros(5, 1, 1))
    for given in ({"mask": causal_mask(3)}, {"bias": torch.zeros(3, 3)}):
        with pytest.raises(ValueError, match="causal=True needs T = S, no mask and no bias"):
            fused_attention(x, x, x, causal=True, **given)
    with pytest.raises(ValueError, match="got T=3, S=2"):
        fused_attention(x, x[:, :, :2], x[:, :, :2], causal=True)
    with pytest.raises(ValueError, match=r"attention_mask must be \(B, S\); got \(3,\)"):
        padding_mask(torch.ones(3))


def test_impossible_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="d_model=10 cannot be split into 4 equal heads"):
        MultiHeadAttention(10, 4)
    with pytest.raises(ValueError, match="n_kv_heads=3 must divide n_heads=4"):
        MultiHeadAttention(8, 4, n_kv_heads=3)


def test_large_float16_scores_do_not_overflow() -> None:
    query, value = torch.full((1, 2, 5, 64), 40.0, dtype=torch.float16), torch.randn(1, 2, 5, 64).half()
    out, weights = attention(query, query, value)
    assert (weights - 0.2).abs().max() < 1e-3
    torch.testing.assert_close(out, fused_attention(query, query, value), rtol=0, atol=3e-3)
