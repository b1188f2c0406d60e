"""The first line of a notebook: a seed that reproduces, a device that is there, a profile that exists."""

import random

import numpy as np
import pytest
import torch

from lmlib.course import session


def draw():
    return random.random(), float(np.random.rand()), torch.rand(1).item()  # noqa: NPY002


def test_the_same_seed_gives_the_same_draws_and_another_seed_others():
    session.start(1, "cpu", "quick")
    first = draw()
    session.start(1, "cpu", "quick")
    assert draw() == first
    session.start(2, "cpu", "quick")
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_auto_is_the_gpu_where_there_is_one():
    assert session.start(0, "auto", "full").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_an_unknown_profile_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match='profile is "fast"; it must be one of quick, full'):
        session.start(0, "cpu", "fast")


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_with_what_to_use(device):
    with pytest.raises(ValueError, match=f'device "{device}" cannot be used: .*Use "auto" or "cpu"'):
        session.start(0, device, "quick")
