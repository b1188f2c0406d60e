"""Programs timed in turns, so that what else the machine does falls on all of them; the results are ratios."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Program = Callable[[], object]
QUIET = 1.2  # a round that takes so many times as long as the fastest one was disturbed, and is left out


@dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is as the peer: median, smallest and largest over the rounds."""

    work: str
    peer: str
    median: float
    smallest: float
    largest: float
    seconds: float  # ours, median
    rounds: int  # that were quiet


def measure(work: str, ours: Program, peers: Mapping[str, Program], rounds: int) -> list[Ratio]:
    """Run all once to warm up, then `rounds` times in turns, another one first each time; one ratio for each peer.

    Only quiet rounds count; whether a round is quiet is seen by the time of all programs together.
    """
    programs = [ours, *peers.values()]
    for program in programs:
        program()
    spent: dict[Program, list[float]] = {program: [] for program in programs}
    for i in range(rounds):
        first = i % len(programs)
        for program in programs[first:] + programs[:first]:
            spent[program].append(_seconds(program))
    quiet = quiet_rounds([sum(times) for times in zip(*spent.values(), strict=True)])
    kept = {program: [times[i] for i in quiet] for program, times in spent.items()}
    return [_ratio(work, name, kept[ours], kept[peer]) for name, peer in peers.items()]


def quiet_rounds(totals: list[float]) -> list[int]:
    """The numbers of the rounds that were not disturbed, by the seconds of each."""
    return [i for i, total in enumerate(totals) if total <= QUIET * min(totals)]


def _ratio(work: str, peer: str, ours: list[float], theirs: list[float]) -> Ratio:
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    middle = statistics.median(ratios)
    return Ratio(work, peer, middle, min(ratios), max(ratios), statistics.median(ours), len(ratios))


def _seconds(program: Program) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    program()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


HEAD = "| work | peer | ratio | min | max | rounds | ours |\n| --- | --- | --- | --- | --- | --- | --- |"


def row(r: Ratio) -> str:
    """One line of the table, in Markdown; above 1 ours is the faster one."""
    ratio = f"{r.median:.2f} | {r.smallest:.2f} | {r.largest:.2f}"
    return f"| {r.work} | {r.peer} | {ratio} | {r.rounds} | {r.seconds:.3f} s |"
