"""Muon against torch's own, the singular values and a step by hand; which parameter is moved by which optimiser."""

import math

import pytest
import torch
from torch import nn

from lmlib.models.albert import Albert, AlbertConfig
from lmlib.models.llama import Llama, LlamaConfig
from lmlib.models.recurrent import RecurrentConfig, RecurrentLM
from lmlib.training.muon import Muon, orthogonalised
from lmlib.training.optimizers import decayed_parameters, hidden_matrices, make_optimizers, set_rate
from tests.lmlib.training.tiny import config, tiny_model


def tiny_llama(tied: bool = False) -> Llama:
    sizes = {"vocab_size": 11, "d_model": 8, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "d_ff": 12}
    return Llama(LlamaConfig(**sizes, tied=tied), "language_model")


@pytest.mark.parametrize("shape", [(12, 12), (8, 20), (20, 8)])
def test_orthogonalised_keeps_directions_and_levels_singular_values(shape: tuple[int, int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    n = min(shape)
    u = torch.linalg.qr(torch.randn(shape[0], n, generator=generator, dtype=torch.double))[0]
    v = torch.linalg.qr(torch.randn(shape[1], n, generator=generator, dtype=torch.double))[0]
    sizes = torch.logspace(0, -1.5, n, dtype=torch.double)
    levelled = u.T @ orthogonalised(7 * u * sizes @ v.T) @ v
    torch.testing.assert_close(levelled, levelled.diag().diag())  # the same directions
    assert levelled.diag().min() > 0.6
    assert levelled.diag().max() < 1.25


def test_orthogonalised_follows_the_polynomial_in_float64() -> None:
    values = torch.tensor([3.0, 1.0, 0.2], dtype=torch.double)
    expected = values / values.norm()
    for _ in range(5):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    torch.testing.assert_close(orthogonalised(values.diag()), expected.diag())


@pytest.mark.parametrize("shape", [(6, 6), (4, 10), (10, 4)])
def test_muon_steps_as_that_of_torch_does(shape: tuple[int, int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(shape, generator=generator)
    ours, peer = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    own = Muon([ours], lr=0.1, momentum=0.9, weight_decay=0.2)
    others = torch.optim.Muon([peer], lr=0.1, momentum=0.9, weight_decay=0.2)
    for _ in range(4):
        gradient = torch.randn(shape, generator=generator)
        ours.grad, peer.grad = gradient.clone(), gradient.clone()
        own.step()
        others.step()
    moved = (ours - start).norm()
    assert (ours - peer).norm() < 0.05 * moved  # torch multiplies in bfloat16


def test_parts_of_a_joint_matrix_move_as_if_they_stood_alone(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pieces = [torch.randn(rows, 5, generator=generator) for rows in (6, 4, 4)]
    gradients = [torch.randn(rows, 5, generator=generator) for rows in (6, 4, 4)]
    joint = nn.Parameter(torch.cat(pieces))
    alone = [nn.Parameter(piece.clone()) for piece in pieces]
    joint.grad = torch.cat(gradients)
    for piece, gradient in zip(alone, gradients, strict=True):
        piece.grad = gradient
    Muon([{"params": [joint], "parts": [6, 4, 4]}]).step()
    Muon(alone).step()
    torch.testing.assert_close(joint.data, torch.cat([piece.data for piece in alone]))


def test_muon_leaves_a_matrix_without_gradient_alone() -> None:
    still, moved = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3, 3))
    moved.grad = torch.eye(3)
    Muon([still, moved], weight_decay=0.5).step()
    assert torch.equal(still, torch.ones(3, 3))
    assert not torch.equal(moved, torch.ones(3, 3))


def test_muon_refuses_what_is_no_matrix() -> None:
    with pytest.raises(ValueError, match=r"Muon moves matrices .* got \(4,\) with parts None. Leave vectors to AdamW"):
        Muon([nn.Parameter(torch.ones(4))])
    with pytest.raises(ValueError, match=r"got \(4, 2\) with parts \[1, 2\]"):
        Muon([{"params": [nn.Parameter(torch.ones(4, 2))], "parts": [1, 2]}])
    with pytest.raises(ValueError, match="takes no closure"):
        Muon([nn.Parameter(torch.ones(4, 2))]).step(lambda: 1.0)


def test_only_matrices_that_multiply_are_decayed() -> None:
    attention = ["attention.qkv", "attention.out", "feed_forward.inner", "feed_forward.outer"]
    expected = {f"decoder.blocks.{i}.{part}.weight" for i in (0, 1) for part in attention}
    assert set(decayed_parameters(tiny_model())) == expected
    assert "output.weight" in decayed_parameters(tiny_llama())
    assert "output.weight" not in decayed_parameters(tiny_llama(tied=True))  # it is the embedding


def test_hidden_matrices_are_neither_embeddings_nor_of_a_head() -> None:
    parts = ["attention.qkv", "attention.out", "feed_forward.gate_and_inner", "feed_forward.outer"]
    for tied in (True, False):
        assert set(hidden_matrices(tiny_llama(tied))) == {f"decoder.blocks.0.{part}.weight" for part in parts}
    recurrent = RecurrentLM(RecurrentConfig(vocab_size=11, d_model=8, n_layers=1))
    assert set(hidden_matrices(recurrent)) == {"layers.0.input.weight", "layers.0.recurrent.weight"}


def test_every_trained_parameter_has_one_optimiser() -> None:
    albert = Albert(
        AlbertConfig(vocab_size=11, d_embedding=4, d_model=8, n_layers=2, n_heads=2, d_ff=12), "pretraining"
    )
    for model in (tiny_model(), tiny_llama(), albert):
        next(iter(model.parameters())).requires_grad_(False)
        for name in ("adamw", "muon"):
            optimizers = make_optimizers(model, config(1, optimizer=name))
            moved = [id(p) for o in optimizers for group in o.param_groups for p in group["params"]]
            assert sorted(moved) == sorted(id(p) for p in model.parameters() if p.requires_grad)


def test_rates_of_both_optimisers_follow_one_schedule() -> None:
    optimizers = make_optimizers(tiny_model(), config(1, optimizer="muon", learning_rate=1e-3, muon_learning_rate=0.02))
    set_rate(optimizers, 0.5)
    set_rate(optimizers, 0.25)
    rates = {type(o).__name__: {group["lr"] for group in o.param_groups} for o in optimizers}
    assert rates == {"Muon": {0.005}, "AdamW": {0.00025}}
    joint = [group["parts"] for group in optimizers[0].param_groups]
    assert joint == [[16, 16, 16], None]  # queries, keys, values; the others


def test_weight_decay_of_adamw_by_hand() -> None:
    model = tiny_model()
    optimizers = make_optimizers(model, config(1, learning_rate=0.1, weight_decay=0.5))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizers[0].step()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.data, before[name] * (0.95 if name in decayed_parameters(model) else 1.0))


def test_nothing_to_train_is_an_error() -> None:
    model = tiny_model().requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter is to be trained"):
        make_optimizers(model, config(1))
    with pytest.raises(ValueError, match='no hidden matrix that Muon could train; use optimizer="adamw"'):
        make_optimizers(nn.LayerNorm(4), config(1, optimizer="muon"))


def test_the_bound_on_singular_values_is_that_of_the_polynomial() -> None:
    values = [x / 1000 for x in range(40, 1001)]  # of the largest together; smaller ones are not yet levelled
    for _ in range(5):
        values = [3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5 for x in values]
    assert 0.6 < min(values) < max(values) < 1.25
    assert not math.isclose(min(values), max(values), rel_tol=0.1)
