"""The timing itself: the programs take turns, each first every second time, and the ratio points the right way."""

import time

from tests.benchmarks.interleaved import measure, table


def test_programs_take_turns_and_a_faster_one_has_a_ratio_above_one() -> None:
    calls: list[str] = []

    def ours() -> None:
        calls.append("ours")

    def peer() -> None:
        calls.append("peer")
        time.sleep(0.02)

    ratio = measure("sleep", ours, peer, rounds=4)
    assert calls[2:] == ["peer", "ours", "ours", "peer"] * 2
    assert ratio.smallest > 1
    assert ratio.smallest <= ratio.median <= ratio.largest
    assert "sleep" in table([ratio])
