"""Every figure of the book, in one style: readable in grey, small, with a text alternative.

Lines differ in dash and marker as well as in colour, maps go from white (0) to dark (1).
"""

import base64
import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

MAX_BYTES = 60_000
DPI = 100
CHINESE_FONTS = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "PingFang SC", "Microsoft YaHei")
COLOURS = ("#08306b", "#d9541a", "#4f8f3a", "#7a5195", "#8c8c8c", "#00788c")
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (2, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")


def chinese_font() -> str | None:
    """The first installed font that shows Chinese, or None."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in CHINESE_FONTS if name in installed), None)


def figure(*titles: str, width: float = 7.0, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """A figure of one panel for each title, side by side; width and height in inches."""
    matplotlib.rcParams.update(
        {
            "font.family": [name for name in ("DejaVu Sans", chinese_font()) if name],
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#dddddd",
            "grid.linewidth": 0.6,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "lines.markersize": 4,
        }
    )
    fig = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(fig)
    axes = list(fig.subplots(1, len(titles), squeeze=False)[0])
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, loc="left")
    return fig, axes


def lines(
    ax: Axes,
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    x_label: str,
    y_label: str,
    markers: bool = True,
) -> None:
    """Draw one line for each named curve, each with its own colour, dash and marker; several get a legend."""
    for i, (name, y) in enumerate(curves.items()):
        (line,) = ax.plot(np.asarray(x), np.asarray(y), label=name, color=COLOURS[i % 6], linestyle=DASHES[i % 6])
        line.set_marker(MARKERS[i % 6] if markers else "")
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    if len(curves) > 1:
        ax.legend()


def level(ax: Axes, y: float, text: str, *, below: bool = False) -> None:
    """A thin horizontal line at y: what a formula predicts. The text stands on it, or below it, at the right."""
    ax.axhline(y, color="#555555", linewidth=0.9, linestyle=(0, (1, 2)))
    ax.annotate(
        text,
        xy=(1, y),
        xycoords=("axes fraction", "data"),
        xytext=(-2, -3 if below else 3),
        textcoords="offset points",
        ha="right",
        va="top" if below else "bottom",
        color="#333333",
        fontsize=8,
    )


def heat_map(
    ax: Axes,
    values: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    x_label: str,
    y_label: str,
    numbers: bool = False,
) -> None:
    """Draw a matrix of weights from 0 (white) to 1 (dark), rows downwards; `numbers` writes each weight into it."""
    matrix = np.asarray(values, dtype=float)
    if matrix.shape != (len(rows), len(columns)):
        raise ValueError(f"a map of shape {matrix.shape} needs as many labels; got {len(rows)} and {len(columns)}")
    ax.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.grid(visible=False)
    upright = max(len(name) for name in columns) <= 2
    ax.set_xticks(range(len(columns)), columns, rotation=0 if upright else 90)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    if numbers:
        for (i, j), value in np.ndenumerate(matrix):
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.5 else "black")


def show(fig: Figure, alt: str) -> None:
    """Display a figure as PNG with its text alternative. Raises ValueError when it has none or is over 60 kB."""
    from IPython.display import display

    if not alt.strip():
        raise ValueError("a figure needs a text alternative: say in a sentence what a reader should see in it")
    png = as_png(fig)
    if len(png) > MAX_BYTES:
        raise ValueError(f"the figure has {len(png)} bytes, over {MAX_BYTES}; draw fewer things or a smaller figure")
    content = {"image/png": base64.b64encode(png).decode(), "text/plain": alt}
    display(content, metadata={"image/png": {"alt": alt}}, raw=True)


def as_png(fig: Figure) -> bytes:
    """The figure as a PNG file, without a date or a version in it."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def training_curves(
    losses: ArrayLike,
    learning_rates: ArrayLike,
    gradient_norms: ArrayLike,
    evaluations: Mapping[str, tuple[Sequence[int], Sequence[float]]],
) -> Figure:
    """A run in three panels: loss and what was evaluated (nats), learning rate, norm of the gradients before clipping.

    Of long runs each point is the mean of a stretch of steps. `evaluations` are name → (steps done, values).
    """
    fig, (loss, rate, norm) = figure("Loss", "Learning rate", "Gradient norm", width=9.0, height=2.8)
    steps, smooth = stretches(losses)
    loss.plot(steps, smooth, color=COLOURS[0], label="training")
    for i, (name, (done, values)) in enumerate(evaluations.items(), 1):
        loss.plot(done, values, color=COLOURS[i % 6], linestyle=DASHES[i % 6], marker=MARKERS[i % 6], label=name)
    if evaluations:
        loss.legend()
    lines(rate, *_named("rate", learning_rates), x_label="step", y_label="learning rate", markers=False)
    lines(norm, *_named("norm", gradient_norms), x_label="step", y_label="norm of all gradients", markers=False)
    loss.set_xlabel("step")
    loss.set_ylabel("loss (nats)")
    norm.set_yscale("log")
    return fig


def stretches(values: ArrayLike, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """The middle step and the mean value of each of at most `n_points` stretches of about one length; steps from 1."""
    parts = np.array_split(np.asarray(values, dtype=float), min(n_points, len(np.asarray(values))))
    ends = np.cumsum([len(part) for part in parts])
    middles = ends - np.array([(len(part) - 1) / 2 for part in parts])
    return middles, np.array([part.mean() for part in parts])


def _named(name: str, values: ArrayLike) -> tuple[np.ndarray, dict[str, ArrayLike]]:
    steps, smooth = stretches(values)
    return steps, {name: smooth}
