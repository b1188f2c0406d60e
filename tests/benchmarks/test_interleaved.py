"""The timing itself: the programs take turns, each first in its turn, and the ratio points the right way."""

import time
from functools import partial

from tests.benchmarks.interleaved import measure, quiet_rounds, row


def test_programs_take_turns_and_a_faster_one_has_a_ratio_above_one() -> None:
    calls: list[str] = []

    def run(name: str, seconds: float) -> None:
        calls.append(name)
        time.sleep(seconds)

    ours, slow, slower = partial(run, "ours", 0), partial(run, "slow", 0.02), partial(run, "slower", 0.06)
    first, second = measure("sleep", ours, {"slow": slow, "slower": slower}, rounds=3)
    assert calls[3:] == ["ours", "slow", "slower", "slow", "slower", "ours", "slower", "ours", "slow"]
    assert (first.peer, second.peer) == ("slow", "slower")
    assert 1 < first.smallest <= first.median <= first.largest
    assert second.median > first.median
    assert row(second).startswith("| sleep | slower |")


def test_a_round_that_was_disturbed_is_left_out() -> None:
    assert quiet_rounds([1.1, 3.0, 1.0, 1.19, 1.21]) == [0, 2, 3]
