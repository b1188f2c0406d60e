"""Programs timed in turns, so that what else the machine does falls on all of them; the results are ratios."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Program = Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is as the peer: median, smallest and largest over the rounds."""

    work: str
    peer: str
    median: float
    smallest: float
    largest: float
    seconds: float  # ours, median


def measure(work: str, ours: Program, peers: Mapping[str, Program], rounds: int) -> list[Ratio]:
    """Run all once to warm up, then `rounds` times in turns, another one first each time; one ratio for each peer."""
    programs = [ours, *peers.values()]
    for program in programs:
        program()
    spent: dict[Program, list[float]] = {program: [] for program in programs}
    for i in range(rounds):
        first = i % len(programs)
        for program in programs[first:] + programs[:first]:
            spent[program].append(_seconds(program))
    own = statistics.median(spent[ours])
    return [_ratio(work, name, spent[ours], spent[peer], own) for name, peer in peers.items()]


def _ratio(work: str, peer: str, ours: list[float], theirs: list[float], own: float) -> Ratio:
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return Ratio(work, peer, statistics.median(ratios), min(ratios), max(ratios), own)


def _seconds(program: Program) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    program()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


HEAD = "| work | peer | ratio | min | max | ours |\n| --- | --- | --- | --- | --- | --- |"


def row(r: Ratio) -> str:
    """One line of the table, in Markdown; above 1 ours is the faster one."""
    return f"| {r.work} | {r.peer} | {r.median:.2f} | {r.smallest:.2f} | {r.largest:.2f} | {r.seconds:.3f} s |"
