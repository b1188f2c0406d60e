"""The fit of a power law: exact where the points are, and its error as large as the noise makes it."""

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.cost import Curve, draw, fit, measured


def test_points_on_a_power_law_give_its_slope_and_factor_without_error() -> None:
    sizes = [4, 8, 16, 64]
    law = fit(sizes, [3e-4 * size**1.5 for size in sizes])
    assert (law.slope, law.factor) == pytest.approx((1.5, 3e-4))
    assert law.error < 1e-9


def test_the_error_is_that_of_a_regression() -> None:
    from scipy.stats import linregress

    sizes, noise = [2**i for i in range(3, 10)], np.random.default_rng(0).normal(0, 0.1, 7)
    seconds = list(np.array(sizes) ** 2.0 * np.exp(noise))
    law, expected = fit(sizes, seconds), linregress(np.log(sizes), np.log(seconds))
    assert (law.slope, law.error) == pytest.approx((expected.slope, expected.stderr))
    with pytest.raises(ValueError, match="needs at least 3 sizes; got 2"):
        fit([1, 2], [1.0, 2.0])


def test_sizes_take_turns_and_the_first_round_is_for_warming_up() -> None:
    calls: list[int] = []
    sizes, seconds = measured({1: lambda: calls.append(1), 2: lambda: calls.append(2)}, rounds=2)
    assert (sizes, calls) == ([1, 2], [1, 2] * 3)
    assert all(value > 0 for value in seconds)


def test_the_picture_has_a_panel_for_each_kind_of_cost(tmp_path: Path) -> None:
    curves = [Curve(panel, "a", "T, tokens", "1", [1, 2, 4], [0.1, 0.2, 0.4]) for panel in ("one", "two", "one")]
    draw(curves, tmp_path / "cost.png")
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")
