"""`python -m tests.benchmarks.cost [--to cost.png]`: cost against size, measured, plotted, and fitted by a power law.

Seconds ≈ c · size^slope is a straight line when both are drawn in logarithms; its slope is fitted by least squares,
with its standard error. Sizes of a curve take turns, so that what else the machine does falls on all of them, and the
fastest of the rounds counts. A slope is that of the sizes measured: small ones also pay for the calls themselves.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.ticker import NullFormatter
from torch import Tensor

from lmlib import plots
from lmlib.attention import attention, fused_attention
from lmlib.course import report
from lmlib.course.batch import Result, Settings
from lmlib.decoding import Stop, generate
from lmlib.models.gpt2 import Gpt2
from tests.benchmarks import peers
from tests.benchmarks.training import steps_of

Program = Callable[[], object]


@dataclass(frozen=True)
class Fit:
    """A power law through measured points: seconds ≈ factor · size^slope."""

    slope: float
    error: float  # the standard error of the slope
    factor: float


@dataclass(frozen=True)
class Curve:
    """The cost of one thing against its size."""

    panel: str
    name: str
    unit: str  # of the size
    expected: str  # the slope for large sizes, and why
    sizes: list[int]
    seconds: list[float]

    @property
    def fit(self) -> Fit:
        """The power law of this curve."""
        return fit(self.sizes, self.seconds)


def fit(sizes: list[int], seconds: list[float]) -> Fit:
    """Least squares in logarithms. Raises ValueError for fewer than three points, which have no error."""
    if len(sizes) < 3:
        raise ValueError(f"a slope with its error needs at least 3 sizes; got {len(sizes)}")
    x, y = np.log(sizes), np.log(seconds)
    spread = ((x - x.mean()) ** 2).sum()
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / spread)
    rest = y - y.mean() - slope * (x - x.mean())
    error = math.sqrt(float((rest**2).sum()) / (len(x) - 2) / spread)
    return Fit(slope, error, float(np.exp(y.mean() - slope * x.mean())))


def measured(programs: Mapping[int, Program], rounds: int) -> tuple[list[int], list[float]]:
    """Sizes, and the fewest seconds of each over some rounds in which all take turns, after one to warm up."""
    seconds: dict[int, list[float]] = {size: [] for size in programs}
    for _ in range(rounds + 1):
        for size, program in programs.items():
            start = time.perf_counter()
            program()
            seconds[size].append(time.perf_counter() - start)
    return list(seconds), [min(times[1:]) for times in seconds.values()]


def attention_curves(rounds: int, largest: int) -> list[Curve]:
    """Attention without a cache, 8 heads of 64, causal."""
    sizes = _doubling(largest // 16, largest)
    draw = torch.Generator().manual_seed(0)
    inputs = {size: [torch.randn(1, 8, size, 64, generator=draw) for _ in range(3)] for size in sizes}

    def explicit(parts: list[Tensor]) -> Program:
        return lambda: attention(*parts)

    def fused(parts: list[Tensor]) -> Program:
        return lambda: fused_attention(*parts, causal=True)

    kinds = {"explicit": explicit, "fused": fused}
    return [
        Curve("attention", name, "T, tokens", "2: each of T queries meets T keys", *measured(programs, rounds))
        for name, kind in kinds.items()
        for programs in [{size: kind(parts) for size, parts in inputs.items()}]
    ]


def training_curves(rounds: int, largest: int) -> list[Curve]:
    """One step on 512 tokens: models of 4 layers, of growing width."""
    programs: dict[int, Program] = {}
    for width in _doubling(largest // 8, largest):
        model = peers.untrained(peers.Size(width, 4, 4, 128, 256))
        ids = torch.randint(0, 256, (4, 128), generator=torch.Generator().manual_seed(0))
        n_weights = sum(p.numel() for p in model.parameters())
        programs[n_weights] = steps_of(model, _loss_of(model), ids, 1)
    return [Curve("training", "one step", "N, weights", "1: 6 N operations a token", *measured(programs, rounds))]


def _loss_of(model: Gpt2) -> Callable[[Tensor], Tensor]:
    return lambda ids: model(ids, labels=ids).loss


def decoding_curves(rounds: int, largest: int) -> list[Curve]:
    """Writing T tokens, 4 layers of 128: with the cache, and reading everything again for each token."""
    model = peers.untrained(peers.Size(128, 4, 4, largest + 1, 256)).eval()

    @torch.inference_mode()
    def without(n: int) -> None:
        ids = torch.tensor([[1]])
        for _ in range(n):
            ids = torch.cat([ids, model(ids, last_only=True).logits[:, -1:].argmax(-1)], dim=1)

    def with_cache(n: int) -> None:
        generate(model, [[1]], n, stop=Stop(()))

    sizes = _doubling(largest // 16, largest)
    kinds: dict[str, tuple[Callable[[int], None], str]] = {
        "with cache": (with_cache, "1, and 2 when attention outweighs the weights"),
        "without cache": (without, "2, and 3 when attention outweighs the weights"),
    }
    return [
        Curve("decoding", name, "T, tokens", why, *measured({n: _call(kind, n) for n in sizes}, rounds))
        for name, (kind, why) in kinds.items()
    ]


def _call(program: Callable[[int], None], size: int) -> Program:
    return lambda: program(size)


def report_curves(rounds: int, largest: int) -> list[Curve]:
    """Writing the report of a run of n notebooks, each with ten checks and five metrics."""
    checks = [{"name": f"check {i}", "passed": True} for i in range(10)]
    metrics = [{"name": f"metric {i}", "value": i / 3, "unit": "nats"} for i in range(5)]

    def write(n: int) -> None:
        rows = [Result(f"chapters/{i:04d}", "passed", 1.0, checks, metrics) for i in range(n)]
        with tempfile.TemporaryDirectory() as folder:
            report.write(rows, Settings(Path(folder)), 1, 1, Path(folder))

    sizes = _doubling(largest // 16, largest)
    found = measured({n: _call(write, n) for n in sizes}, rounds)
    return [Curve("report", "one run", "notebooks", "1: a row for each", *found)]


def _doubling(smallest: int, largest: int) -> list[int]:
    """smallest, 2 · smallest, … up to largest."""
    return [smallest * 2**i for i in range(int(math.log2(largest // smallest)) + 1)]


def draw(curves: list[Curve], path: Path) -> None:
    """A panel for each kind of cost: the measured points, and the fitted lines through them."""
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    figure, axes = plots.figure(*panels, width=3.4 * len(panels), height=3.2)
    for ax, panel in zip(axes, panels, strict=True):
        own = [curve for curve in curves if curve.panel == panel]
        for i, curve in enumerate(own):
            law = curve.fit
            label = f"{curve.name}: {law.slope:.2f} ± {law.error:.2f}"
            colour, dash = plots.COLOURS[i], plots.DASHES[i]
            fitted = [law.factor * size**law.slope for size in curve.sizes]
            ax.plot(curve.sizes, fitted, color=colour, linestyle=dash, label=label)
            ax.plot(curve.sizes, curve.seconds, color=colour, linestyle="", marker=plots.MARKERS[i])
        ax.set(xscale="log", yscale="log", xlabel=own[0].unit, ylabel="seconds")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_minor_formatter(NullFormatter())
        ax.set_xticks(own[0].sizes, [f"{size:,}" if size < 1e5 else f"{size:.1e}" for size in own[0].sizes])
        ax.legend()
    path.write_bytes(plots.as_png(figure))


def main() -> None:
    """Measure every curve, print the table, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=Path("build/cost.png"), help="the PNG file to write")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the largest sizes; 0.25 for a quick look")
    given = parser.parse_args()
    kinds = {attention_curves: 2048, training_curves: 1024, decoding_curves: 512, report_curves: 1600}
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, the fastest of {given.rounds} rounds\n")
    print("| cost | sizes | seconds | slope | error | for large sizes |\n" + "| --- " * 6 + "|")
    curves: list[Curve] = []
    for kind, largest in kinds.items():
        for curve in kind(given.rounds, max(64, int(largest * given.scale))):
            curves.append(curve)
            sizes = f"{curve.sizes[0]:,} to {curve.sizes[-1]:,} {curve.unit.removeprefix('T, ').removeprefix('N, ')}"
            seconds = f"{curve.seconds[0]:.2g} to {curve.seconds[-1]:.2g}"
            law = f"{curve.fit.slope:.2f} | {curve.fit.error:.2f}"
            print(f"| {curve.panel}, {curve.name} | {sizes} | {seconds} | {law} | {curve.expected} |", flush=True)
    given.to.parent.mkdir(parents=True, exist_ok=True)
    draw(curves, given.to)
    print(f"\n{given.to}")


if __name__ == "__main__":
    main()
