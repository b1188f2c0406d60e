"""Schedules against torch's own and numbers by hand."""

import pytest
import torch

from lmlib.training.schedules import SCHEDULES, rate_at


def rates(schedule: str, steps: int, warmup_steps: int = 0, final_rate: float = 0.0) -> list[float]:
    return [rate_at(step, schedule, steps, warmup_steps, final_rate) for step in range(steps)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_rises_in_even_parts_to_the_whole(schedule: str) -> None:
    assert rates(schedule, 10, warmup_steps=3)[:4] == [0.25, 0.5, 0.75, 1.0]
    assert max(rates(schedule, 10, warmup_steps=3)) == 1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_step_moves_and_the_rate_never_rises_again(schedule: str) -> None:
    after = rates(schedule, 50, warmup_steps=5)[5:]
    assert min(after) > 0
    assert after == sorted(after, reverse=True)


def peer(kind: type, **options: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = kind(optimizer, **options)
    found = []
    for _ in range(8):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


def test_cosine_and_linear_equal_those_of_torch() -> None:
    cosine = peer(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=8, eta_min=0.1)
    assert rates("cosine", 8, final_rate=0.1) == pytest.approx(cosine)
    linear = peer(torch.optim.lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.1, total_iters=8)
    assert rates("linear", 8, final_rate=0.1) == pytest.approx(linear)


def test_other_schedules_by_hand() -> None:
    assert rates("constant", 3) == [1, 1, 1]
    stable = rates("warmup_stable_decay", 20)
    assert stable[:17] == [1] * 17  # four fifths and the first step of the descent
    assert stable[17:] == pytest.approx([0.75, 0.5, 0.25])
    root = rates("inverse_square_root", 100, warmup_steps=3)
    assert root[15] == pytest.approx(0.5)  # √(4 / 16)
    assert root[99] == pytest.approx(0.2)  # √(4 / 100)
