"""Attention maps: those of the model, rolled out by hand-worked numbers, flowing as an independent solver says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_flow as scipy_flow

from lmlib.interpret.attention_maps import attention_flow, attention_maps, maximum_flow, rollout
from lmlib.models.recurrent import RecurrentConfig, RecurrentLM
from tests.lmlib.decoding import tiny


def random_maps(seed: int, n_layers: int = 3, n_heads: int = 2, length: int = 5) -> torch.Tensor:
    scores = torch.randn(n_layers, 1, n_heads, length, length, generator=torch.Generator().manual_seed(seed))
    return scores.double().softmax(-1)


TWO_LAYERS = torch.tensor([[1.0, 0.0], [0.5, 0.5]]).expand(2, 1, 1, 2, 2)  # with the residual: [[1, 0], [1/4, 3/4]]


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_maps_are_those_of_the_peer(kind: str, seed: int, tmp_path: Path) -> None:
    peer, ours = tiny.pair(kind, seed, tmp_path)
    ids = torch.randint(3, tiny.VOCAB, (2, 7), generator=torch.Generator().manual_seed(seed))
    peer.config._attn_implementation = "eager"
    reference = torch.stack(peer(ids, output_attentions=True).attentions)
    maps = attention_maps(ours, input_ids=ids)
    assert set(maps) == {"self"}
    torch.testing.assert_close(maps["self"], reference, atol=1e-5, rtol=0)


def test_a_model_of_two_sides_gives_three_kinds_of_maps(seed: int, tmp_path: Path) -> None:
    _, ours = tiny.pair("bart", seed, tmp_path)
    maps = attention_maps(ours, input_ids=torch.tensor([[3, 4, 5]]), decoder_input_ids=torch.tensor([[1, 6]]))
    shapes = {kind: tuple(one.shape) for kind, one in maps.items()}
    assert shapes == {"self": (2, 1, 2, 2, 2), "cross": (2, 1, 2, 2, 3), "encoder": (2, 1, 2, 3, 3)}


def test_rollout_of_two_layers_by_hand() -> None:
    expected = torch.tensor([[[1, 0], [1 / 4, 3 / 4]], [[1, 0], [1 / 4 + 3 / 16, 9 / 16]]])
    torch.testing.assert_close(rollout(TWO_LAYERS)[:, 0], expected)


def test_rows_of_a_rollout_sum_to_one(seed: int) -> None:
    sums = rollout(random_maps(seed)).sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_rollout_of_identity_attention_is_the_identity() -> None:
    maps = torch.eye(4).expand(3, 2, 5, 4, 4)
    assert torch.equal(rollout(maps), torch.eye(4).expand(3, 2, 4, 4))


def test_rollout_keeps_the_future_out_where_attention_does(seed: int) -> None:
    causal = random_maps(seed).tril()
    seen = rollout(causal / causal.sum(-1, keepdim=True))
    assert torch.equal(seen, seen.tril())


def test_a_position_that_attends_nothing_stays_itself() -> None:
    maps = torch.zeros(2, 1, 1, 3, 3)
    assert torch.equal(rollout(maps), torch.eye(3).expand(2, 1, 3, 3))


def test_flow_through_two_layers_by_hand() -> None:
    # to token 0: down at once (1/4), and by position 1 (the narrower of 3/4 and 1/4); to token 1: 3/4 twice
    assert attention_flow(TWO_LAYERS[:, 0], 1).tolist() == pytest.approx([0.5, 0.75])
    assert attention_flow(TWO_LAYERS[:, 0], -2).tolist() == pytest.approx([1.0, 0.0])


def test_flow_equals_that_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    capacity = rng.integers(0, 50, (12, 12)) * (rng.random((12, 12)) < 0.4)
    np.fill_diagonal(capacity, 0)
    expected = scipy_flow(csr_matrix(capacity.astype(np.int32)), 0, 11).flow_value
    assert maximum_flow(torch.tensor(capacity, dtype=torch.double), 0, 11) == expected


def test_what_flows_is_at_most_one_and_at_least_the_rollout(seed: int) -> None:
    maps = random_maps(seed)
    flow, rolled = attention_flow(maps[:, 0], 4), rollout(maps)[-1, 0, 4]
    assert (flow <= 1 + 1e-9).all()
    assert (flow >= rolled - 1e-9).all()  # rollout is a flow too, to all tokens at once


def test_bad_input_is_named(seed: int, tmp_path: Path) -> None:
    ours = tiny.pair("gpt2", seed, tmp_path)[1]
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        attention_maps(ours.train(), input_ids=torch.tensor([[3]]))
    recurrent = RecurrentLM(RecurrentConfig(vocab_size=9, d_model=4)).eval()
    with pytest.raises(ValueError, match="RecurrentLM returns no attention weights"):
        attention_maps(recurrent, input_ids=torch.tensor([[3]]))
    with pytest.raises(ValueError, match=r"\(L, B, H, T, T\) are needed; got \(2, 2, 3\)"):
        rollout(torch.ones(2, 2, 3))
    with pytest.raises(ValueError, match=r"position must lie in -2..1; got 2"):
        attention_flow(TWO_LAYERS[:, 0], 2)
