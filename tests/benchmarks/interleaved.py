"""Two programs timed in turns, so that what else the machine does falls on both; the result is a ratio."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is as the peer: median, smallest and largest over the rounds."""

    name: str
    median: float
    smallest: float
    largest: float
    seconds: float  # ours, median


def measure(name: str, ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> Ratio:
    """Run both once to warm up, then `rounds` times in turns, each going first every second time."""
    ours(), peer()
    ratios, own = [], []
    for i in range(rounds):
        order = (ours, peer) if i % 2 else (peer, ours)
        spent = {program: _seconds(program) for program in order}
        ratios.append(spent[peer] / spent[ours])
        own.append(spent[ours])
    return Ratio(name, statistics.median(ratios), min(ratios), max(ratios), statistics.median(own))


def _seconds(program: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    program()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def table(ratios: list[Ratio]) -> str:
    """One line for each comparison; above 1 ours is the faster one."""
    width = max(len(ratio.name) for ratio in ratios)
    head = f"{'':{width}}  {'ratio':>6}  {'min':>6}  {'max':>6}  {'ours':>9}"
    lines = [
        f"{r.name:{width}}  {r.median:6.2f}  {r.smallest:6.2f}  {r.largest:6.2f}  {r.seconds:7.3f} s" for r in ratios
    ]
    return "\n".join([head, *lines])
