"""Feed-forward layers and norms against the peers, float64 and numbers worked by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm

from lmlib.layers import ACTIVATIONS, FeedForward, GatedFeedForward, RMSNorm, activation_named, norm_named


def test_feed_forward_by_hand() -> None:
    layer = FeedForward(2, 3, "relu")
    with torch.no_grad():
        layer.inner.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, -1]]))
        layer.inner.bias.copy_(torch.tensor([0.0, -1, 2]))
        layer.outer.weight.copy_(torch.tensor([[1.0, 10, 100], [0, 0, 1]]))
        layer.outer.bias.copy_(torch.tensor([0.5, 0]))
    assert layer(torch.tensor([[1.0, 3.0]])).tolist() == [[21.5, 0]]  # hidden 1, 2, relu(-2) = 0
    assert layer(torch.tensor([[1.0, 0.0]])).tolist() == [[101.5, 1]]  # hidden 1, relu(-1) = 0, 1


@pytest.mark.parametrize("activation", ["silu", "gelu", "relu"])
def test_gated_feed_forward_equals_that_of_llama(seed: int, activation: str) -> None:
    torch.manual_seed(seed)
    peer = LlamaMLP(LlamaConfig(hidden_size=6, num_attention_heads=1, intermediate_size=10, hidden_act=activation))
    ours = GatedFeedForward(6, 10, activation)
    with torch.no_grad():
        ours.gate_and_inner.weight.copy_(torch.cat([peer.gate_proj.weight, peer.up_proj.weight]))
        ours.outer.weight.copy_(peer.down_proj.weight)
    x = torch.randn(2, 3, 6)
    torch.testing.assert_close(ours(x), peer(x))


def test_positions_do_not_meet_in_a_feed_forward_layer(seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(1, 4, 6)
    other = x.clone()
    other[0, 2] += 1
    for layer in (FeedForward(6, 8), GatedFeedForward(6, 8)):
        changed = (layer(x) != layer(other)).any(-1)
        assert changed.tolist() == [[False, False, True, False]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rms_norm_equals_those_of_the_peers_to_the_bit_in_half_precision(seed: int, dtype: torch.dtype) -> None:
    torch.manual_seed(seed)
    x = (torch.randn(3, 5, 16) * 4).to(dtype)
    ours = RMSNorm(16, eps=1e-5).to(dtype)
    nn.init.normal_(ours.weight)
    for kind in (LlamaRMSNorm, T5LayerNorm):
        peer = kind(16, 1e-5).to(dtype)
        peer.load_state_dict(ours.state_dict())
        bound = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 0, "atol": 0}
        torch.testing.assert_close(ours(x), peer(x), **bound)
        assert ours(x).dtype == dtype


def test_rms_norm_of_large_half_numbers_is_finite() -> None:
    """Their squares are beyond float16, whose largest number is 65,504."""
    x = torch.full((1, 4), 3e4, dtype=torch.float16)
    assert RMSNorm(4).half()(x).tolist() == [[1, 1, 1, 1]]


def test_rms_norm_by_hand_and_in_float64() -> None:
    norm = RMSNorm(2, eps=0.0)
    torch.testing.assert_close(norm(torch.tensor([[3.0, 4.0]])), torch.tensor([[3.0, 4.0]]) / 12.5**0.5)
    x = torch.randn(2, 8, dtype=torch.double)
    exact = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(RMSNorm(8).double()(x), exact, rtol=1e-14, atol=0)


@pytest.mark.parametrize("layer", [FeedForward(3, 4, "gelu"), GatedFeedForward(3, 4), RMSNorm(3)])
def test_gradients_equal_numeric_ones(seed: int, layer: nn.Module) -> None:
    torch.manual_seed(seed)
    assert torch.autograd.gradcheck(layer.double(), torch.randn(2, 3, dtype=torch.double, requires_grad=True))


def test_activations_are_those_of_their_names() -> None:
    x = torch.linspace(-4, 4, 81, dtype=torch.double)
    exact = x * 0.5 * (1 + torch.erf(x / 2**0.5))
    torch.testing.assert_close(activation_named("gelu")(x), exact)
    by_tanh = 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))
    for name in ("gelu_tanh", "gelu_new"):
        torch.testing.assert_close(activation_named(name)(x), by_tanh)
    assert not torch.allclose(exact, by_tanh, atol=1e-5)
    torch.testing.assert_close(activation_named("silu")(x), x * torch.sigmoid(x))
    assert torch.equal(activation_named("relu")(x), x.clamp(min=0))
    assert torch.equal(activation_named("tanh")(x), torch.tanh(x))


def test_layer_norm_takes_off_the_mean_and_rms_norm_does_not() -> None:
    x = torch.tensor([[1.0, 3.0]])
    assert norm_named("layer", 2, 0.0)(x).tolist() == [[-1, 1]]
    torch.testing.assert_close(norm_named("rms", 2, 0.0)(x), x / 5**0.5)
    torch.testing.assert_close(norm_named("layer", 2, 0.1)(x), F.layer_norm(x, (2,), eps=0.1))


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=f"no activation 'swish'; there are: {', '.join(ACTIVATIONS)}"):
        FeedForward(2, 2, "swish")
    with pytest.raises(ValueError, match="no norm 'batch'; there are: layer, rms"):
        norm_named("batch", 2, 1e-5)
