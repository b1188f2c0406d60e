"""Positions worked by hand, by complex numbers, and against `transformers`."""

import cmath
import math
import random

import pytest
import torch
from transformers.models.t5.modeling_t5 import T5Attention

from lmlib.positions import alibi, distances, relative_buckets, rotary_angles, rotate, sinusoidal


def test_sinusoids_by_hand() -> None:
    table = sinusoidal(50, 6)
    for position, i in ((0, 0), (1, 0), (7, 1), (49, 2)):
        angle = position / 10_000 ** (2 * i / 6)
        assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
        assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_sinusoids_of_two_positions_meet_in_a_product_of_their_offset_alone() -> None:
    table = sinusoidal(100, 64).double()
    products = table @ table.T
    for offset in (1, 5, 30):
        assert products.diagonal(offset).std() < 1e-4
    assert products.diagonal(0).mean() > products.diagonal(1).mean() > products.diagonal(2).mean()


def test_turning_is_multiplication_by_a_complex_number_of_length_one(seed: int) -> None:
    torch.manual_seed(seed)
    x, positions = torch.randn(1, 1, 5, 6), torch.tensor([0, 1, 2, 10, 100])
    turned = rotate(x, *rotary_angles(positions, 6, base=50.0))[0, 0]
    for t, position in enumerate(positions.tolist()):
        for i in range(3):
            pair = complex(x[0, 0, t, i].item(), x[0, 0, t, i + 3].item())
            expected = pair * cmath.exp(1j * position * 50.0 ** (-2 * i / 6))
            assert complex(turned[t, i].item(), turned[t, i + 3].item()) == pytest.approx(expected, abs=1e-4)


def test_turned_products_depend_on_the_offset_alone(seed: int) -> None:
    torch.manual_seed(seed)
    query, key = torch.randn(2, 1, 1, 1, 8, dtype=torch.double)

    def product(m: int, n: int) -> float:
        (cos_m, sin_m), (cos_n, sin_n) = (rotary_angles(torch.tensor([p]), 8, dtype=torch.double) for p in (m, n))
        return (rotate(query, cos_m, sin_m) * rotate(key, cos_n, sin_n)).sum().item()

    assert product(3, 1) == pytest.approx(product(103, 101), abs=1e-4)
    assert product(3, 1) != pytest.approx(product(1, 3), abs=1e-4)
    assert product(5, 5) == pytest.approx((query * key).sum().item(), abs=1e-6)


def test_turning_keeps_lengths(seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(2, 3, 40, 8)
    turned = rotate(x, *rotary_angles(torch.arange(40), 8))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_equal_those_of_transformers(seed: int, bidirectional: bool) -> None:
    draw = random.Random(seed)
    for _ in range(20):
        n_buckets, n_queries = draw.choice([4, 8, 10, 32]), draw.randint(1, 60)
        n_keys, most = n_queries + draw.randint(0, 200), draw.randint(20, 200)
        distance = distances(n_queries, n_keys)
        reference = T5Attention._relative_position_bucket(distance, bidirectional, n_buckets, most)
        assert torch.equal(relative_buckets(distance, n_buckets, most, bidirectional), reference)


def test_buckets_by_hand() -> None:
    near = relative_buckets(torch.tensor([-3, -2, -1, 0, 1, 2, 3]), 32, 128, bidirectional=True)
    assert near.tolist() == [3, 2, 1, 0, 17, 18, 19]
    far = relative_buckets(torch.tensor([-10_000, -128, 128, 10_000]), 32, 128, bidirectional=True)
    assert far.tolist() == [15, 15, 31, 31]
    assert relative_buckets(torch.tensor([5, 0, -15, -1000]), 32, 128, bidirectional=False).tolist() == [0, 0, 15, 31]


def test_distances_by_hand() -> None:
    assert distances(2, 3).tolist() == [[-1, 0, 1], [-2, -1, 0]]


def test_alibi_by_hand() -> None:
    bias = alibi(4, 2, 3)  # slopes 1/4, 1/16, 1/64, 1/256
    assert bias.shape == (4, 2, 3)
    assert bias[0].tolist() == [[-0.25, 0, 0], [-0.5, -0.25, 0]]
    assert bias[3, 1].tolist() == [-2 / 256, -1 / 256, 0]


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="d_model must be even, got 7"):
        sinusoidal(3, 7)
    with pytest.raises(ValueError, match="d_head must be even, got 5"):
        rotary_angles(torch.arange(3), 5)
    with pytest.raises(ValueError, match="power of two of heads, got 6"):
        alibi(6, 2, 2)
    with pytest.raises(ValueError, match="one bucket is too few"):
        relative_buckets(torch.arange(3), 2, 128, bidirectional=True)
    with pytest.raises(ValueError, match="need a max_distance above 16"):
        relative_buckets(torch.arange(3), 32, 16, bidirectional=False)
