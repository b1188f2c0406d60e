"""The block and the stack: order of sublayers, masks, biases, memory, cache, and what is collected on request."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lmlib.attention import band_mask, causal_mask, padding_mask
from lmlib.positions import alibi
from lmlib.transformer import Block, Shape, Stack

TINY = {"d_model": 12, "n_layers": 3, "n_heads": 2, "d_ff": 16}


def assert_near(ours: Tensor, reference: Tensor, bound: float = 1e-5) -> None:
    assert ours.shape == reference.shape
    assert (ours - reference).abs().max() <= bound * (1 + reference.abs().max())


@pytest.mark.parametrize("norm_first", [False, True])
def test_block_is_its_sublayers_with_residuals_and_norms_in_this_order(seed: int, norm_first: bool) -> None:
    torch.manual_seed(seed)
    block = Block(Shape(**TINY, norm_first=norm_first, cross_attention=True))
    for norm in (block.attention_norm, block.cross_attention_norm, block.feed_forward_norm):
        nn.init.normal_(norm.weight)
    x, memory = torch.randn(2, 4, 12), torch.randn(2, 5, 12)
    h = x
    for sublayer, norm in (
        (lambda y: block.attention(y)[0], block.attention_norm),
        (lambda y: block.cross_attention(y, memory)[0], block.cross_attention_norm),
        (block.feed_forward, block.feed_forward_norm),
    ):
        h = h + sublayer(norm(h)) if norm_first else norm(h + sublayer(h))
    assert_near(block(x, memory)[0], h)


def draw_shape(draw: random.Random) -> Shape:
    return Shape(
        d_model=12,
        n_layers=draw.choice([1, 2, 3]),
        n_heads=4,
        n_kv_heads=draw.choice([None, 1, 2]),
        d_head=draw.choice([None, 5]),
        d_ff=10,
        activation=draw.choice(["relu", "gelu", "silu"]),
        gated=draw.choice([False, True]),
        norm=draw.choice(["layer", "rms"]),
        norm_first=draw.choice([False, True]),
        final_norm=draw.choice([False, True]),
        head_norm=draw.choice([False, True]),
        qkv_bias=draw.choice([False, True]),
        scale=draw.choice([None, 1.0]),
        cross_attention=draw.choice([False, True]),
    )


def draw_given(draw: random.Random, shape: Shape, length: int = 5) -> dict[str, Any]:
    real = torch.ones(2, length, dtype=torch.bool)
    real[1, : draw.choice([0, 2])] = False  # padding on the left: with the causal rule, rows that may attend nothing
    masks: list[Any] = [None, padding_mask(real), [band_mask(length, length, i + 1) for i in range(shape.n_layers)]]
    given: dict[str, Any] = {
        "mask": draw.choice(masks),
        "causal": draw.choice([False, True]),
        "bias": draw.choice([None, alibi(4, length, length), torch.randn(1, 4, length, length)]),
    }
    if shape.cross_attention:
        given |= {"memory": torch.randn(2, 3, 12), "memory_mask": padding_mask(torch.tensor([[1, 1, 1], [1, 0, 0]]))}
    return given


def test_collecting_does_not_change_the_output(seed: int) -> None:
    """Explicit and fused attention agree for any switches, masks and biases, at every position."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    for _ in range(8):
        shape = draw_shape(draw)
        stack, given, x = Stack(shape).eval(), draw_given(draw, shape), torch.randn(2, 5, 12)
        trace = stack(x, **given, collect=True)
        assert_near(stack(x, **given).output, trace.output)
        assert len(trace.hidden_states) == shape.n_layers + 1
        assert len(trace.attentions) == shape.n_layers
        assert len(trace.cross_attentions) == (shape.n_layers if shape.cross_attention else 0)
        assert torch.equal(trace.hidden_states[-1], trace.output)
        if given["causal"]:
            assert all((w[..., ~causal_mask(5)] == 0).all() for w in trace.attentions)


def test_cached_equals_uncached_for_any_switches(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    for _ in range(6):
        shape = draw_shape(draw)
        stack, x = Stack(shape).eval(), torch.randn(2, 6, 12)
        memory = torch.randn(2, 3, 12) if shape.cross_attention else None
        real = torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])
        whole = stack(x, padding_mask(real), causal=True, bias=alibi(4, 6, 6), memory=memory).output
        cache, outs, start = stack.allocate_cache(2, 6), [], 0
        while start < 6:
            end = min(6, start + draw.choice([1, 2, 3]))
            mask, bias = padding_mask(real[:, :end]), alibi(4, end - start, end)
            given = {
                "mask": mask,
                "bias": bias,
                "memory": memory,
                "cache": cache,
                "collect": draw.choice([False, True]),
            }
            outs.append(stack(x[:, start:end], causal=True, **given).output)
            start = end
        assert_near(torch.cat(outs, 1)[real.bool()], whole[real.bool()])


def test_memory_is_projected_once_with_a_cache(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(seed)
    stack = Stack(Shape(**TINY, cross_attention=True)).eval()
    memory, x, cache = torch.randn(2, 3, 12), torch.randn(2, 4, 12), stack.allocate_cache(2, 4)
    calls: list[int] = []
    for i, block in enumerate(stack.blocks):
        project = block.cross_attention.project_memory
        monkeypatch.setattr(
            block.cross_attention, "project_memory", lambda m, i=i, project=project: calls.append(i) or project(m)
        )
    for t in range(4):
        stack(x[:, t : t + 1], causal=True, memory=memory, cache=cache)
    assert calls == [0, 1, 2]


def test_each_layer_takes_its_own_mask_from_a_list(seed: int) -> None:
    torch.manual_seed(seed)
    stack, x = Stack(Shape(**TINY)).eval(), torch.randn(1, 5, 12)
    masks = [causal_mask(5), band_mask(5, 5, 2), band_mask(5, 5, 1)]
    trace = stack(x, masks, collect=True)
    for weights, mask in zip(trace.attentions, masks, strict=True):
        assert ((weights[0] > 0) == mask).all()


def test_the_last_layer_sees_past_and_never_future(seed: int) -> None:
    torch.manual_seed(seed)
    stack, x = Stack(Shape(**TINY)).eval(), torch.randn(1, 6, 12, requires_grad=True)
    stack(x, causal=True).output[0, 3, 0].backward()
    assert (x.grad[0, 4:] == 0).all()
    assert (x.grad[0, :4] != 0).any(-1).all()


def test_without_positions_an_encoder_only_permutes(seed: int) -> None:
    torch.manual_seed(seed)
    stack, x, order = Stack(Shape(**TINY)).eval(), torch.randn(2, 7, 12), torch.randperm(7)
    assert_near(stack(x[:, order]).output, stack(x).output[:, order])


def test_each_dropout_acts_in_training_alone(seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(1, 5, 12)
    for name in ("dropout", "attention_dropout", "ff_dropout", "final_dropout"):
        stack = Stack(Shape(**TINY, **{name: 0.5}))
        assert not torch.equal(stack.train()(x).output, stack(x).output), name
        assert torch.equal(stack.eval()(x).output, stack(x).output), name


def test_gradients_equal_numeric_ones(seed: int) -> None:
    torch.manual_seed(seed)
    shape = Shape(d_model=4, n_layers=2, n_heads=2, n_kv_heads=1, d_ff=5, gated=True, norm="rms", cross_attention=True)
    stack = Stack(shape).double()
    x, memory = (torch.randn(1, n, 4, dtype=torch.double, requires_grad=True) for n in (3, 2))
    assert torch.autograd.gradcheck(lambda x, memory: stack(x, causal=True, memory=memory).output, (x, memory))
